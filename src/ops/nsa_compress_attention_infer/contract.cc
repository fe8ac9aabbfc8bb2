#include "base/contract.h"

#include "ops/nsa_compress_attention_infer/problem.h"

namespace tamis::nsa_compress_attention_infer {

const base::Contract& Room::contract() {
  using Rule = base::Limit::Rule;
  const auto statistic = [](const char* doc) {
    return base::TensorSpec{
        .doc = doc, .dtypes = {DType::kFloat32}, .forms = {{"TND", "T, N"}, {"BSND", "B, S, N"}}};
  };
  const auto wanted = [&](const char* doc) {
    base::TensorSpec spec = statistic(doc);
    spec.wanted_by = "return_softmax_lse";
    return spec;
  };
  static const base::Contract kContract =
      base::ContractBuilder<Params>("nsa_compress_attention_infer",
                                    "Attention over a paged cache of compressed keys, with the "
                                    "select blocks of highest importance",
                                    "NsaCompressAttentionInfer (document 000)")
          .Input("query", &Params::query,
                 {.doc = "TND: sequences packed; BSND: rows past a sequence's length are padding",
                  .dtypes = {DType::kFloat16, DType::kBFloat16, DType::kFloat32},
                  .forms = {{"TND", "T, N, D"}, {"BSND", "B, S, N, D"}}})
          .InStrict({.dtypes = {DType::kFloat16, DType::kBFloat16}})
          .Input("key", &Params::key,
                 {.shape = "pages, page_block_size, key_value_head_num*D",
                  .doc = "paged cache of compressed keys",
                  .dtype_as = "query"})
          .Input("value", &Params::value,
                 {.shape = "pages, page_block_size, key_value_head_num*D2",
                  .doc = "paged cache of compressed values",
                  .dtype_as = "query"})
          .Input("block_table", &Params::block_table,
                 {.shape = "B, max_pages",
                  .doc = "page of each page_block_size compressed keys; entries past a sequence's "
                         "keys are not read",
                  .dtypes = {DType::kInt32},
                  .read_by_plan = true,
                  .page_table = true})
          .OptionalInput("atten_mask", &Params::atten_mask,
                         {.shape = "*, *",
                          .doc = "a switch, its content is not read: hide windows that end after "
                                 "the query's token",
                          .dtypes = {DType::kBool, DType::kUInt8}})
          .OptionalInput("key_limits", &Params::key_limits,
                         {.doc = "per query token: only compressed keys before are seen",
                          .dtypes = {DType::kInt32},
                          .forms = {{"TND", "T"}, {"BSND", "B, S"}}})
          .InStrict({.presence = base::StrictRule::Presence::kNone})
          .OptionalInput("global_max", &Params::global_max,
                         statistic("of the softmax over all keys, where these are a part: "
                                   "importance is of all; with global_sum"))
          .InStrict({.presence = base::StrictRule::Presence::kNone})
          .OptionalInput("global_sum", &Params::global_sum, statistic("likewise, with global_max"))
          .InStrict({.presence = base::StrictRule::Presence::kNone})
          .Required("scale_value", &Params::scale_value, "factor of the scores")
          .Required("head_num", &Params::head_num,
                    "query heads N, a multiple of key_value_head_num")
          .Required("key_value_head_num", &Params::key_value_head_num, "key heads N2")
          .Required("select_block_size", &Params::select_block_size,
                    "tokens in a select block (l'), a multiple of compress_stride")
          .Required("select_block_count", &Params::select_block_count,
                    "blocks to select; 0: attention only")
          .Required("page_block_size", &Params::page_block_size, "compressed keys in a page")
          .Required(
              "compress_block_size", &Params::compress_block_size,
              "tokens in a compression window (l), at least compress_stride; Nn = floor(l / d)")
          .Required("compress_stride", &Params::compress_stride,
                    "tokens between the starts of windows (d)")
          .Choice("layout", &Params::layout, {"TND", "BSND"}, "of query and the outputs")
          .Optional("actual_seq_qlen", &Params::actual_seq_qlen,
                    "query tokens per sequence; absent: one each")
          .Required("actual_cmp_seq_kvlen", &Params::actual_cmp_seq_kvlen,
                    "compressed keys per sequence")
          .Optional("actual_sel_seq_kvlen", &Params::actual_sel_seq_kvlen,
                    "raw tokens per sequence; needed with atten_mask and with selection causal")
          .Choice("importance", &Params::importance, {"cann", "exact_overlap"},
                  "how compressed tokens count towards a block: as the device (shifted by one "
                  "token), or by overlap")
          .InStrict({.default_only = true})
          .Choice("masked_rows", &Params::masked_rows, {"uniform", "zero"},
                  "a row whose keys are all hidden: the mean of all values, as the device, or zero")
          .InStrict({.default_only = true})
          .Choice(
              "selection", &Params::selection, {"device", "causal"},
              "candidates: device, the blocks of the keys; causal, the blocks of the raw tokens "
              "that the query sees, and windows that end later are hidden")
          .InStrict({.default_only = true})
          .Choice("accuracy", &Params::accuracy, {"storage", "fp32", "fp32_scores"},
                  "of the products of probabilities and values: storage lets a level use 16-bit "
                  "integers, with an error below the rounding of a bfloat16 output; fp32_scores: "
                  "the same, scores are in fp32 anyway")
          .Choice("out_dtype", &Params::out_dtype, {"input", "float32"}, "dtype of attention_out")
          .InStrict({.default_only = true})
          .Optional("return_softmax_lse", &Params::return_softmax_lse,
                    "whether softmax_max and softmax_sum are wanted")
          .InStrict({.default_only = true})
          .Optional("return_block_scores", &Params::return_block_scores,
                    "whether block_scores are wanted")
          .InStrict({.default_only = true})
          .Optional("strict", &Params::strict,
                    "also enforce the document's limits: those of the table, and, where a step has "
                    "several tokens, actual_sel_seq_kvlen with no fewer tokens than the step")
          .Output("attention_out", &Params::attention_out,
                  {.doc = "0 in padding rows",
                   .dtype_as = "query",
                   .forms = {{"TND", "T, N, D2"}, {"BSND", "B, S, N, D2"}},
                   .dtype_attribute = "out_dtype",
                   .dtype_choices = {DType::kNone, DType::kFloat32}})
          .OptionalOutput(
              "topk_indices", &Params::topk_indices,
              {.doc = "blocks 0, J-2, J-1, then best first, then -1; -1 in padding rows",
               .dtypes = {DType::kInt32},
               .forms = {{"TND", "T, key_value_head_num, select_block_count"},
                         {"BSND", "B, S, key_value_head_num, select_block_count"}},
               .ranked = true})
          .OptionalOutput("softmax_max", &Params::softmax_max,
                          wanted("largest scaled score; -inf in padding rows"))
          .OptionalOutput("softmax_sum", &Params::softmax_sum,
                          wanted("sum of exp(score - max); 0 in padding rows"))
          .OptionalOutput(
              "block_scores", &Params::block_scores,
              {.doc = "importance of the candidates, before any is forced, then 0; blocks of the "
                      "longest sequence",
               .dtypes = {DType::kFloat32},
               .forms = {{"TND", "T, key_value_head_num, blocks"},
                         {"BSND", "B, S, key_value_head_num, blocks"}},
               .wanted_by = "return_block_scores"})
          .LayoutIs("layout")
          .RowDims({{"TND", 1}, {"BSND", 2}})
          .Strict("query", "B", Rule::kAtLeast, {"1"})
          .Strict("query", "B", Rule::kAtMost, {"3072"})
          .Strict("query", "tokens of a step", Rule::kAtLeast, {"1"})
          .Strict("query", "tokens of a step", Rule::kAtMost, {"4"})
          .Strict("key_value_head_num", "key_value_head_num", Rule::kAtMost, {"256"})
          .Strict("head_num", "group", Rule::kAtMost, {"16"})
          .Strict("query", "D", Rule::kEqual, {"192"})
          .Strict("value", "D2", Rule::kEqual, {"128"})
          .Strict("page_block_size", "page_block_size", Rule::kOneOf, {"64", "128"})
          .Strict("select_block_size", "select_block_size", Rule::kMultipleOf, {"16"})
          .Strict("select_block_size", "select_block_size", Rule::kAtMost, {"128"})
          .Strict("actual_cmp_seq_kvlen", "keys of the shortest sequence", Rule::kAtLeast, {"1"})
          .Strict("select_block_count", "select_block_count*select_block_size", Rule::kAtMost,
                  {"tokens of the longest sequence"})
          .Envelope(
              {"D 1 to 192, D2 1 to 128 and at most D; 128 a multiple of N / N2; page_block_size "
               "16 to 128 by 16",
               "compress_stride one of 16, 32, 48, 64; block sizes 16 to 128 by 16",
               "select_block_count at most the candidates of the shortest sequence",
               "at most 8192 compressed keys and 4096 blocks per sequence; 1 to 4 query tokens",
               "the document's tighter limits belong to the sibling NsaSelectedAttentionInfer"})
          .Build();
  return kContract;
}

}  // namespace tamis::nsa_compress_attention_infer
