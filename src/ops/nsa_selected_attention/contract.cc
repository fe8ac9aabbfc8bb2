#include "base/contract.h"

#include "ops/nsa_selected_attention/problem.h"
#include "prim/call/token_contract.h"

namespace tamis::nsa_selected_attention {

const base::Contract& Room::contract() {
  using Rule = base::Limit::Rule;
  static const base::Contract kContract =
      base::ContractBuilder<Params>(
          "nsa_selected_attention",
          "Attention of every query token over the blocks of raw keys selected for it",
          "npu_nsa_select_attention; no document of its own")
          .Input("query", &Params::query,
                 {.shape = "T, N, D",
                  .doc = "sequences packed",
                  .dtypes = {DType::kFloat16, DType::kBFloat16, DType::kFloat32}})
          .InStrict({.dtypes = {DType::kFloat16, DType::kBFloat16}})
          .Input("key", &Params::key,
                 {.shape = "Tk, N2, D", .doc = "raw keys, sequences packed", .dtype_as = "query"})
          .Input("value", &Params::value,
                 {.shape = "Tk, N2, D2", .doc = "raw values", .dtype_as = "query"})
          .Input("topk_indices", &Params::topk_indices,
                 {.shape = "T, N2, K",
                  .doc = "blocks of the token's sequence, in any order; a negative one ends a list",
                  .dtypes = {DType::kInt32}})
          .Required("scale_value", &Params::scale_value, "factor of the scores")
          .Required("head_num", &Params::head_num, "query heads N, a multiple of the key heads N2")
          .Required("select_block_size", &Params::select_block_size, "keys in a block (l')")
          .Required("select_block_count", &Params::select_block_count,
                    "ids of a list, the last dimension of topk_indices")
          .Required("actual_seq_qlen", &Params::actual_seq_qlen,
                    "inclusive prefix sums over query; the last is T")
          .Required("actual_seq_kvlen", &Params::actual_seq_kvlen,
                    "inclusive prefix sums over key; the last is Tk")
          .Optional(
              "sparse_mode", &Params::sparse_mode,
              "0: all keys; 2: token i sees keys up to i (causal from the top left); 3: up to "
              "n - q + i (from the bottom right)")
          .Choice("accuracy", &Params::accuracy, {"storage", "fp32", "fp32_scores"},
                  "of the products of probabilities and values: storage lets a level use 16-bit "
                  "integers, with an error below the rounding of a bfloat16 output; fp32_scores: "
                  "the same, scores are in fp32 anyway")
          .Choice("out_dtype", &Params::out_dtype, {"input", "float32"}, "dtype of attention_out")
          .InStrict({.default_only = true})
          .Optional("strict", &Params::strict, "also enforce the device's limits")
          .Output("attention_out", &Params::attention_out,
                  {.shape = "T, N, D2",
                   .doc = "weighted sums of the selected values",
                   .dtype_as = "query",
                   .dtype_attribute = "out_dtype",
                   .dtype_choices = {DType::kNone, DType::kFloat32}})
          .OptionalOutput("softmax_max", &Params::softmax_max,
                          prim::Statistic("T", "largest scaled score"))
          .OptionalOutput("softmax_sum", &Params::softmax_sum,
                          prim::Statistic("T", "sum of exp(score - max)"))
          .RowDims({{"", 1}})
          .Strict("query", "B", Rule::kAtLeast, {"1"})
          .Strict("query", "N", Rule::kAtMost, {"128"})
          .Strict("query", "D", Rule::kEqual, {"192"})
          .Strict("value", "D2", Rule::kEqual, {"128"})
          .Strict("head_num", "group", Rule::kAtMost, {"32"})
          .Strict("select_block_size", "select_block_size", Rule::kMultipleOf, {"16"})
          .Strict("select_block_size", "select_block_size", Rule::kAtMost, {"128"})
          .Strict("select_block_count", "select_block_count", Rule::kAtMost, {"32"})
          .Strict("actual_seq_kvlen", "keys of the shortest sequence", Rule::kAtLeast,
                  {"select_block_count*select_block_size"})
          .Envelope(
              {"D up to 768, values no wider than keys; B at most 1024",
               "every sequence's keys a multiple of select_block_size; ids below their number"})
          .Build();
  return kContract;
}

}  // namespace tamis::nsa_selected_attention

namespace tamis::nsa_selected_attention_infer {

const base::Contract& Room::contract() {
  using Rule = base::Limit::Rule;
  const auto statistic = [](const char* doc) {
    return base::TensorSpec{.doc = doc,
                            .dtypes = {DType::kFloat32},
                            .forms = {{"TND", "T, N"}, {"BSND", "B, S, N"}},
                            .wanted_by = "return_softmax_lse"};
  };
  static const base::Contract kContract =
      base::ContractBuilder<Params>(
          "nsa_selected_attention_infer",
          "Attention of every query token over the selected blocks of a paged cache of raw keys",
          "npu_nsa_select_attention_infer; no document of its own")
          .Input("query", &Params::query,
                 {.doc = "TND: sequences packed; BSND: rows past a sequence's length are padding",
                  .dtypes = {DType::kFloat16, DType::kBFloat16, DType::kFloat32},
                  .forms = {{"TND", "T, N, D"}, {"BSND", "B, S, N, D"}}})
          .InStrict({.dtypes = {DType::kFloat16, DType::kBFloat16}})
          .Input("key", &Params::key,
                 {.shape = "pages, page_block_size, key_value_head_num*D",
                  .doc = "paged cache of raw keys",
                  .dtype_as = "query"})
          .Input("value", &Params::value,
                 {.shape = "pages, page_block_size, key_value_head_num*D2",
                  .doc = "paged cache of raw values",
                  .dtype_as = "query"})
          .Input("topk_indices", &Params::topk_indices,
                 {.doc = "blocks of the token's sequence, in any order; a negative one ends a list",
                  .dtypes = {DType::kInt32},
                  .forms = {{"TND", "T, key_value_head_num, K"},
                            {"BSND", "B, S, key_value_head_num, K"}}})
          .Input(
              "block_table", &Params::block_table,
              {.shape = "B, max_pages",
               .doc = "page of each page_block_size keys; entries past a sequence's keys are not "
                      "read",
               .dtypes = {DType::kInt32},
               .read_by_plan = true,
               .page_table = true})
          .Required("scale_value", &Params::scale_value, "factor of the scores")
          .Required("head_num", &Params::head_num,
                    "query heads N, a multiple of key_value_head_num")
          .Required("key_value_head_num", &Params::key_value_head_num, "key heads N2")
          .Required("select_block_size", &Params::select_block_size, "keys in a block (l')")
          .Required("select_block_count", &Params::select_block_count,
                    "ids of a list, the last dimension of topk_indices")
          .Required("page_block_size", &Params::page_block_size, "keys in a page")
          .Choice("layout", &Params::layout, {"TND", "BSND"}, "of query and the outputs")
          .Optional("actual_seq_qlen", &Params::actual_seq_qlen,
                    "query tokens per sequence; absent: one each")
          .Required("actual_seq_kvlen", &Params::actual_seq_kvlen, "keys per sequence")
          .Choice("accuracy", &Params::accuracy, {"storage", "fp32", "fp32_scores"},
                  "of the products of probabilities and values: storage lets a level use 16-bit "
                  "integers, with an error below the rounding of a bfloat16 output; fp32_scores: "
                  "the same, scores are in fp32 anyway")
          .Choice("out_dtype", &Params::out_dtype, {"input", "float32"}, "dtype of attention_out")
          .InStrict({.default_only = true})
          .Optional("return_softmax_lse", &Params::return_softmax_lse,
                    "whether softmax_max and softmax_sum are wanted")
          .InStrict({.default_only = true})
          .Optional("strict", &Params::strict, "also enforce the device's limits")
          .Output("attention_out", &Params::attention_out,
                  {.doc = "0 in padding rows",
                   .dtype_as = "query",
                   .forms = {{"TND", "T, N, D2"}, {"BSND", "B, S, N, D2"}},
                   .dtype_attribute = "out_dtype",
                   .dtype_choices = {DType::kNone, DType::kFloat32}})
          .OptionalOutput("softmax_max", &Params::softmax_max,
                          statistic("largest scaled score; -inf in padding rows"))
          .OptionalOutput("softmax_sum", &Params::softmax_sum,
                          statistic("sum of exp(score - max); 0 in padding rows"))
          .LayoutIs("layout")
          .RowDims({{"TND", 1}, {"BSND", 2}})
          .Strict("query", "B", Rule::kAtLeast, {"1"})
          .Strict("query", "B", Rule::kAtMost, {"3072"})
          .Strict("query", "tokens of a step", Rule::kAtMost, {"4"})
          .Strict("key_value_head_num", "key_value_head_num", Rule::kAtMost, {"256"})
          .Strict("head_num", "group", Rule::kAtMost, {"16"})
          .Strict("query", "D", Rule::kEqual, {"192"})
          .Strict("value", "D2", Rule::kEqual, {"128"})
          .Strict("page_block_size", "page_block_size", Rule::kOneOf, {"64", "128"})
          .Strict("select_block_size", "select_block_size", Rule::kMultipleOf, {"16"})
          .Strict("select_block_size", "select_block_size", Rule::kAtMost, {"128"})
          .Envelope({"ids distinct and below ceil(n / l'); the ids of kv head 0 serve all heads"})
          .Build();
  return kContract;
}

}  // namespace tamis::nsa_selected_attention_infer
