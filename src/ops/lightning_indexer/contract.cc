#include "base/contract.h"

#include "ops/lightning_indexer/problem.h"
#include "prim/call/token_contract.h"
#include "prim/formats/key_shadow_contract.h"

namespace tamis::lightning_indexer {

const base::Contract& Room::contract() {
  static const base::Contract kContract =
      base::ContractBuilder<Params>(
          "lightning_indexer",
          "Positions of the keys with the highest index scores, for every query token",
          "npu_sparse_attention_pto (document 003), section lightning indexer")
          .Input("query", &Params::query,
                 {.doc = "index queries",
                  .dtypes = {DType::kFloat16, DType::kBFloat16, DType::kFloat32},
                  .forms = prim::QueryForms("N, D")})
          .Input("key", &Params::key,
                 {.doc = "index keys, one head",
                  .dtype_as = "query",
                  .forms = prim::KeyForms("1, D"),
                  .layout = "layout_key"})
          .Input("weights", &Params::weights,
                 {.doc = "weight of each head, as query or float32; may be negative",
                  .dtypes = {DType::kFloat16, DType::kBFloat16, DType::kFloat32},
                  .forms = prim::QueryForms("N")})
          .OptionalInput("actual_seq_lengths_query", &Params::actual_seq_lengths_query,
                         prim::QueryLengths())
          .OptionalInput("actual_seq_lengths_key", &Params::actual_seq_lengths_key,
                         prim::KeyLengths())
          .OptionalInput("block_table", &Params::block_table, prim::BlockTable())
          .OptionalInput("key_shadow", &Params::key_shadow,
                         {.doc = "key in 8 bits, of quantize_index_keys or indexer_prolog; saves "
                                 "time, changes nothing",
                          .dtypes = {DType::kUInt8},
                          .forms = prim::KeyShadowForms(),
                          .layout = "layout_key"})
          .OptionalInput("key_starts", &Params::key_starts, prim::KeyStarts())
          .OptionalInput("key_limits", &Params::key_limits, prim::KeyLimits())
          .OptionalInput("actual_seq_lengths_tokens", &Params::actual_seq_lengths_tokens,
                         prim::RawTokenLengths())
          .Choice("layout_query", &Params::layout_query, {"BSND", "TND"},
                  "of query, weights and the outputs")
          .Choice("layout_key", &Params::layout_key, {"BSND", "TND", "PA_BSND"},
                  "as layout_query, or paged")
          .Optional("sparse_count", &Params::sparse_count, "positions to select")
          .Optional("sparse_mode", &Params::sparse_mode,
                    "3: token i of q sees keys up to n - q + i (causal from the end); 0: all n")
          .Optional("compress_ratio", &Params::compress_ratio, prim::kCompressRatioDoc)
          .Optional("return_value", &Params::return_value, "whether sparse_values is wanted")
          .Choice("value_dtype", &Params::value_dtype, {"input", "float32"},
                  "dtype of sparse_values")
          .Choice("pruning", &Params::pruning, {"auto", "off", "on"},
                  "whether keys that a scan in 8-bit integers rules out get no score: the same "
                  "result, in less time; auto: where that pays")
          .Optional("strict", &Params::strict, "no limit of a document applies: changes nothing")
          .Output("sparse_indices", &Params::sparse_indices,
                  {.doc = "positions in the sequence, best first, then -1; -1 in padding rows",
                   .dtypes = {DType::kInt32},
                   .forms = prim::QueryForms("1, sparse_count"),
                   .ranked = true})
          .OptionalOutput("sparse_values", &Params::sparse_values,
                          {.doc = "their scores, then -inf; with return_value only",
                           .dtype_as = "query",
                           .forms = prim::QueryForms("1, sparse_count"),
                           .dtype_attribute = "value_dtype",
                           .dtype_choices = {DType::kNone, DType::kFloat32},
                           .wanted_by = "return_value"})
          .LayoutIs("layout_query")
          .RowDims({{"BSND", 2}, {"TND", 1}})
          .Envelope(
              {"64 heads (later versions 8 to 64) of 128; page_size 16 to 1024 by 16",
               "sparse_count 1 to 2048 (later versions also 3072 to 8192 by 1024); lengths int32",
               "sparse_mode 0 or 3; sparse_values in the dtype of query, from keys that are not "
               "paged"})
          .Build();
  return kContract;
}

}  // namespace tamis::lightning_indexer
