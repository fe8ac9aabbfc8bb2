#include "base/contract.h"
#include "ops/dense_lightning_indexer/problem.h"
#include "prim/call/token_contract.h"

namespace tamis::dense_lightning_indexer_softmax_lse {

const base::Contract& Room::contract() {
  using dense_lightning_indexer::kKeyNames;
  using Rule = base::Limit::Rule;
  static const base::Contract kContract =
      base::ContractBuilder<Params>("dense_lightning_indexer_softmax_lse",
                                    "Softmax statistics of every query token's index scores over "
                                    "all keys",
                                    "npu_dense_lightning_indexer_softmax_lse")
          .Input("query_index", &Params::query_index,
                 {.doc = "index queries",
                  .dtypes = {DType::kFloat16, DType::kBFloat16, DType::kFloat32},
                  .forms = prim::QueryForms("Ni, Di")})
          .InStrict({.dtypes = {DType::kFloat16, DType::kBFloat16}})
          .Input("key_index", &Params::key_index,
                 {.doc = "index keys, one head",
                  .dtype_as = "query_index",
                  .forms = prim::UnpagedKeyForms("1, Di", kKeyNames)})
          .Input("weights", &Params::weights, dense_lightning_indexer::Weights("query_index"))
          .OptionalInput("actual_seq_lengths_query", &Params::actual_seq_lengths_query,
                         prim::QueryLengths())
          .OptionalInput("actual_seq_lengths_key", &Params::actual_seq_lengths_key,
                         dense_lightning_indexer::KeyLengths())
          .Choice("layout", &Params::layout, {"BSND", "TND"}, "of all tensors")
          .Optional("sparse_mode", &Params::sparse_mode, dense_lightning_indexer::kSparseModeDoc)
          .Optional("strict", &Params::strict, "also enforce the document's limits")
          .Output("softmax_max_index", &Params::softmax_max_index,
                  dense_lightning_indexer::TokenNumbers(
                      "largest index score; -inf where a token sees no key"))
          .Output("softmax_sum_index", &Params::softmax_sum_index,
                  dense_lightning_indexer::TokenNumbers("sum of exp(score - max); 0 there"))
          .LayoutIs("layout")
          .RowDims({{"BSND", 2}, {"TND", 1}})
          .Strict("query_index", "Ni", Rule::kOneOf, {"8", "16", "32", "64"})
          .Strict("query_index", "Di", Rule::kEqual, {"128"})
          .Strict("sparse_mode", "sparse_mode", Rule::kEqual, {"3"})
          .Envelope(
              {"B 1 to 256, S1 and S2 1 to 131072, S1 at most S2; outputs [B, 1, S1] or [1, T1]"})
          .Build();
  return kContract;
}

}  // namespace tamis::dense_lightning_indexer_softmax_lse
