#include "base/contract.h"

#include "ops/sparse_flash_attention/problem.h"
#include "prim/call/token_contract.h"

namespace tamis::sparse_flash_attention {

const base::Contract& Room::contract() {
  using Rule = base::Limit::Rule;
  using Presence = base::StrictRule::Presence;
  const auto statistic = [](const char* doc) {
    base::TensorSpec spec = prim::Statistic(doc);
    spec.wanted_by = "return_softmax_lse";
    return spec;
  };
  static const base::Contract kContract =
      base::ContractBuilder<Params>(
          "sparse_flash_attention",
          "Attention of every query token over the keys it has selected, one latent key for all "
          "heads",
          "npu_sparse_flash_attention (document 004)")
          .Input("query", &Params::query,
                 {.doc = "latent part of the queries",
                  .dtypes = {DType::kFloat16, DType::kBFloat16, DType::kFloat32},
                  .forms = prim::QueryForms("N, D")})
          .InStrict({.dtypes = {DType::kBFloat16}, .contiguous = true})
          .Input("key", &Params::key,
                 {.doc = "latent keys, W = D, as query; or rows of W bytes, see kv_format",
                  .dtypes = {DType::kFloat16, DType::kBFloat16, DType::kFloat32, DType::kInt8,
                             DType::kUInt8},
                  .forms = prim::KeyForms("1, W"),
                  .layout = "layout_kv"})
          .InStrict({.contiguous = true})
          .Input(
              "sparse_indices", &Params::sparse_indices,
              {.doc = "blocks of each token's sequence, in any order; a negative one ends a list",
               .dtypes = {DType::kInt32},
               .forms = prim::QueryForms("1, K")})
          .InStrict({.contiguous = true})
          .OptionalInput("value", &Params::value,
                         {.doc = "values; absent: the latent part of key",
                          .dtype_as = "key",
                          .forms = prim::KeyForms("1, W"),
                          .layout = "layout_kv"})
          .InStrict({.presence = Presence::kRequired, .contiguous = true})
          .OptionalInput("block_table", &Params::block_table, prim::BlockTable())
          .OptionalInput("actual_seq_lengths_query", &Params::actual_seq_lengths_query,
                         prim::QueryLengths())
          .InStrict({.dtypes = {DType::kInt32}})
          .OptionalInput("actual_seq_lengths_kv", &Params::actual_seq_lengths_kv,
                         prim::KeyLengths())
          .InStrict({.dtypes = {DType::kInt32}})
          .OptionalInput(
              "query_rope", &Params::query_rope,
              {.doc = "rotary part of the queries; with key_rope or a kv_format of bytes",
               .dtype_as = "query",
               .forms = prim::QueryForms("N, Dr")})
          .InStrict({.contiguous = true})
          .OptionalInput("key_rope", &Params::key_rope,
                         {.doc = "rotary part of the keys, with query_rope",
                          .dtype_as = "query",
                          .forms = prim::KeyForms("1, Dr"),
                          .layout = "layout_kv"})
          .InStrict({.contiguous = true})
          .OptionalInput("sinks", &Params::sinks,
                         {.shape = "N",
                          .doc = "per head a score without a value that joins the softmax",
                          .dtypes = {DType::kFloat32}})
          .InStrict({.presence = Presence::kNone})
          .OptionalInput("key_starts", &Params::key_starts, prim::KeyStarts())
          .InStrict({.presence = Presence::kNone})
          .OptionalInput("key_limits", &Params::key_limits, prim::KeyLimits())
          .InStrict({.presence = Presence::kNone})
          .OptionalInput("actual_seq_lengths_tokens", &Params::actual_seq_lengths_tokens,
                         prim::RawTokenLengths())
          .InStrict({.presence = Presence::kNone})
          .OptionalInput(
              "window_key", &Params::window_key,
              {.doc = "keys that join the softmax by position: the last ones before each "
                      "token; as key",
               .dtype_as = "key",
               .forms = prim::KeyForms("1, W", prim::kWindowNames),
               .layout = "layout_kv"})
          .InStrict({.presence = Presence::kNone})
          .OptionalInput("window_key_rope", &Params::window_key_rope,
                         {.doc = "rotary part of window_key, with key_rope",
                          .dtype_as = "query",
                          .forms = prim::KeyForms("1, Dr", prim::kWindowNames),
                          .layout = "layout_kv"})
          .InStrict({.presence = Presence::kNone})
          .OptionalInput("window_value", &Params::window_value,
                         {.doc = "values of window_key, with value",
                          .dtype_as = "key",
                          .forms = prim::KeyForms("1, W", prim::kWindowNames),
                          .layout = "layout_kv"})
          .InStrict({.presence = Presence::kNone})
          .OptionalInput("window_block_table", &Params::window_block_table, prim::BlockTable())
          .InStrict({.presence = Presence::kNone})
          .OptionalInput("actual_seq_lengths_window", &Params::actual_seq_lengths_window,
                         prim::KeyLengths(prim::kWindowNames))
          .InStrict({.presence = Presence::kNone})
          .OptionalInput("window_starts", &Params::window_starts, prim::KeyStarts())
          .InStrict({.presence = Presence::kNone})
          .Required("scale_value", &Params::scale_value, "factor of the scores")
          .Optional("sparse_block_size", &Params::sparse_block_size,
                    "positions per id: id b names [b c, (b + 1) c) of the sequence")
          .Choice("layout_query", &Params::layout_query, {"BSND", "TND"},
                  "of query, query_rope, sparse_indices and the outputs")
          .Choice("layout_kv", &Params::layout_kv, {"BSND", "TND", "PA_BSND"},
                  "of key, value and key_rope: as layout_query, or paged")
          .Optional(
              "sparse_mode", &Params::sparse_mode,
              "3: token i of q sees positions up to n - q + i (causal from the end); 0: all n")
          .Optional("compress_ratio", &Params::compress_ratio, prim::kCompressRatioDoc)
          .InStrict({.default_only = true})
          .Optional("window_size", &Params::window_size,
                    "keys of window_key that a token sees, its own position the last; -1: all up "
                    "to that")
          .InStrict({.default_only = true})
          .Optional("return_softmax_lse", &Params::return_softmax_lse,
                    "whether softmax_max and softmax_sum are wanted")
          .InStrict({.default_only = true})
          .Choice("kv_format", &Params::kv_format,
                  {"split", "cann656", "flashmla656", "flashmla584"},
                  "split: key and key_rope as query; else key holds rows of bytes as pack_kv_rows "
                  "makes them, of flashmla584 a page at a time")
          .InStrict({.default_only = true})
          .Choice("accuracy", &Params::accuracy, {"storage", "fp32", "fp32_scores"},
                  "of the products: storage lets a level use 16-bit integers for values, and for "
                  "scores where no statistics are wanted, with an error below the rounding of a "
                  "bfloat16 output; fp32_scores: for values only, as with statistics")
          .Choice("out_dtype", &Params::out_dtype, {"input", "float32"}, "dtype of out")
          .InStrict({.default_only = true})
          .Optional("strict", &Params::strict,
                    "also enforce the document's limits: those of the table, and lengths one per "
                    "sequence, layout_kv BSND or PA_BSND, a block_table with room for the longest "
                    "sequence")
          .Output("out", &Params::out,
                  {.doc = "latent output",
                   .dtype_as = "query",
                   .forms = prim::QueryForms("N, D"),
                   .dtype_attribute = "out_dtype",
                   .dtype_choices = {DType::kNone, DType::kFloat32}})
          .OptionalOutput("softmax_max", &Params::softmax_max,
                          statistic("largest scaled score; with return_softmax_lse only"))
          .OptionalOutput("softmax_sum", &Params::softmax_sum,
                          statistic("sum of exp(score - max); with return_softmax_lse only"))
          .LayoutIs("layout_query")
          .RowDims({{"BSND", 2}, {"TND", 1}})
          .Strict("query", "rows", Rule::kAtLeast, {"1"})
          .Strict("query", "N", Rule::kOneOf, {"1", "2", "4", "8", "16", "32", "64", "128"})
          .Strict("query", "D", Rule::kEqual, {"512"})
          .Strict("query_rope", "Dr", Rule::kEqual, {"64"})
          .Strict("key", "page_size", Rule::kMultipleOf, {"16"})
          .Strict("key", "page_size", Rule::kAtMost, {"1024"})
          .Strict("sparse_block_size", "page_size", Rule::kMultipleOf, {"sparse_block_size"})
          .Envelope({"later versions: fp16, layout_kv TND with layout_query TND, sinks, "
                     "softmax_max and softmax_sum (not paged), any N of 1 to 128",
                     "sparse_block_size a power of two up to 128; value is key; K at least 1",
                     "656-byte rows: D 512, Dr 64, a page size as for 16 bits"})
          .Build();
  return kContract;
}

}  // namespace tamis::sparse_flash_attention
