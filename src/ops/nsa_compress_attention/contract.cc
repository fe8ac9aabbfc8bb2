#include "base/contract.h"

#include "ops/nsa_compress_attention/problem.h"
#include "prim/call/token_contract.h"

namespace tamis::nsa_compress_attention {

const base::Contract& Room::contract() {
  using Rule = base::Limit::Rule;
  static const base::Contract kContract =
      base::ContractBuilder<Params>(
          "nsa_compress_attention",
          "Attention over compressed keys, with the select blocks of highest importance",
          "npu_nsa_compress_attention (document 002)")
          .Input("query", &Params::query,
                 {.shape = "T, N, D",
                  .doc = "sequences packed",
                  .dtypes = {DType::kFloat16, DType::kBFloat16, DType::kFloat32}})
          .InStrict({.dtypes = {DType::kFloat16, DType::kBFloat16}})
          .Input("key", &Params::key,
                 {.shape = "Tc, N2, D",
                  .doc = "compressed keys, sequences packed",
                  .dtype_as = "query"})
          .Input("value", &Params::value,
                 {.shape = "Tc, N2, D2", .doc = "compressed values", .dtype_as = "query"})
          .OptionalInput(
              "atten_mask", &Params::atten_mask,
              {.shape = "max_q, max_n",
               .doc = "by positions in the sequence; not 0: the key is hidden from the query",
               .dtypes = {DType::kBool, DType::kUInt8}})
          .InStrict({.dtypes = {DType::kBool}})
          .OptionalInput("topk_mask", &Params::topk_mask,
                         {.shape = "max_q, max_blocks",
                          .doc = "not 0: the block is selected whatever its importance; max_blocks "
                                 "= ceil(max_n / M)",
                          .dtypes = {DType::kBool, DType::kUInt8}})
          .InStrict({.dtypes = {DType::kBool}})
          .OptionalInput("key_limits", &Params::key_limits,
                         {.shape = "T",
                          .doc = "per query token: only compressed keys before are seen",
                          .dtypes = {DType::kInt32}})
          .InStrict({.presence = base::StrictRule::Presence::kNone})
          .OptionalInput("global_max", &Params::global_max,
                         prim::Statistic("T",
                                         "of the softmax over all keys, where these are a "
                                         "part: importance is of all; with global_sum"))
          .InStrict({.presence = base::StrictRule::Presence::kNone})
          .OptionalInput("global_sum", &Params::global_sum,
                         prim::Statistic("T", "likewise, with global_max"))
          .InStrict({.presence = base::StrictRule::Presence::kNone})
          .Required("scale_value", &Params::scale_value, "factor of the scores")
          .Required("head_num", &Params::head_num, "query heads N, a multiple of the key heads N2")
          .Required(
              "compress_block_size", &Params::compress_block_size,
              "tokens in a compression window (l), at least compress_stride; Nn = floor(l / d)")
          .Required("compress_stride", &Params::compress_stride,
                    "tokens between the starts of windows (d)")
          .Required("select_block_size", &Params::select_block_size,
                    "tokens in a select block (l'), a multiple of compress_stride; M = l' / d")
          .Required("select_block_count", &Params::select_block_count,
                    "blocks to select; 0: attention only")
          .Required("actual_seq_qlen", &Params::actual_seq_qlen,
                    "inclusive prefix sums over query; the last is T")
          .Required("actual_cmp_seq_kvlen", &Params::actual_cmp_seq_kvlen,
                    "inclusive prefix sums over key; the last is Tc")
          .Optional("actual_sel_seq_kvlen", &Params::actual_sel_seq_kvlen,
                    "prefix sums over the select blocks; not used, as on the device")
          .InStrict({.presence = base::StrictRule::Presence::kRequired})
          .Optional("causal", &Params::causal,
                    "hide keys whose windows end after the query's token, by positions")
          .InStrict({.default_only = true})
          .Optional("actual_raw_seq_kvlen", &Params::actual_raw_seq_kvlen,
                    "with causal: inclusive prefix sums over raw tokens, a sequence's last query "
                    "being its last token; absent: actual_seq_qlen")
          .InStrict({.presence = base::StrictRule::Presence::kNone})
          .Choice("importance", &Params::importance, {"cann", "exact_overlap"},
                  "how compressed tokens count towards a block: as the device (shifted by one "
                  "token), or by overlap")
          .InStrict({.default_only = true})
          .Choice("masked_rows", &Params::masked_rows, {"uniform", "zero"},
                  "a row whose keys are all hidden: the mean of all values, as the device, or zero")
          .InStrict({.default_only = true})
          .Choice(
              "selection", &Params::selection, {"device", "causal"},
              "candidates and forced blocks: device, the blocks of the keys, those of topk_mask "
              "forced; causal (with causal, without topk_mask), the blocks of the raw tokens "
              "that the query sees, the first and the last two forced")
          .InStrict({.default_only = true})
          .Choice("accuracy", &Params::accuracy, {"storage", "fp32", "fp32_scores"},
                  "of the products of probabilities and values: storage lets a level use 16-bit "
                  "integers, with an error below the rounding of a bfloat16 output; fp32_scores: "
                  "the same, scores are in fp32 anyway")
          .Choice("out_dtype", &Params::out_dtype, {"input", "float32"}, "dtype of attention_out")
          .InStrict({.default_only = true})
          .Optional("return_block_scores", &Params::return_block_scores,
                    "whether block_scores are wanted")
          .InStrict({.default_only = true})
          .Optional("strict", &Params::strict,
                    "also enforce the document's limits: those of the table, and "
                    "actual_sel_seq_kvlen prefix sums, one per sequence")
          .Output("attention_out", &Params::attention_out,
                  {.shape = "T, N, D2",
                   .doc = "softmax-weighted sum of values",
                   .dtype_as = "query",
                   .dtype_attribute = "out_dtype",
                   .dtype_choices = {DType::kNone, DType::kFloat32}})
          .OptionalOutput("topk_indices", &Params::topk_indices,
                          {.shape = "T, N2, select_block_count",
                           .doc = "blocks of the sequence, best first, then -1",
                           .dtypes = {DType::kInt32},
                           .ranked = true})
          .OptionalOutput("softmax_max", &Params::softmax_max,
                          prim::Statistic("T", "largest scaled score"))
          .OptionalOutput("softmax_sum", &Params::softmax_sum,
                          prim::Statistic("T", "sum of exp(score - max)"))
          .OptionalOutput(
              "block_scores", &Params::block_scores,
              {.shape = "T, N2, blocks",
               .doc = "importance of the candidates, before any is forced, then 0; blocks = "
                      "ceil(max_n / M), with selection causal those of the most raw tokens",
               .dtypes = {DType::kFloat32},
               .wanted_by = "return_block_scores"})
          .RowDims({{"", 1}})
          .Strict("query", "T", Rule::kAtLeast, {"1"})
          .Strict("query", "D", Rule::kAtLeast, {"1"})
          .Strict("key", "Tc", Rule::kAtLeast, {"1"})
          .Strict("value", "D2", Rule::kAtLeast, {"1"})
          .Strict("value", "D2", Rule::kAtMost, {"D"})
          .Strict("compress_block_size", "compress_block_size", Rule::kMultipleOf, {"16"})
          .Strict("compress_stride", "compress_stride", Rule::kMultipleOf, {"16"})
          .Strict("select_block_size", "select_block_size", Rule::kMultipleOf, {"16"})
          .Strict("actual_cmp_seq_kvlen", "keys of the shortest sequence", Rule::kAtLeast, {"1"})
          .Envelope({"layout TND; sparse_mode is not consulted",
                     "select_block_count at most the candidates of the shortest sequence",
                     "D at most 768, N / N2 one of 1, 2, 4, 8, 16, 32, 64",
                     "compress_stride one of 16, 32, 48, 64; compress_block_size and "
                     "select_block_size 16 to 128",
                     "compress_block_size at most select_block_size; select_block_count 1 to 32",
                     "at most 14000 compressed keys and 4096 sequences",
                     "statistics are declared [T, N, 8] and lie as [N, S, 8] per sequence"})
          .Build();
  return kContract;
}

}  // namespace tamis::nsa_compress_attention
