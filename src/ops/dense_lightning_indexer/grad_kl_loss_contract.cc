#include "base/contract.h"
#include "ops/dense_lightning_indexer/grad_kl_loss_problem.h"
#include "prim/attention_grad/contract.h"
#include "prim/call/token_contract.h"

namespace tamis::dense_lightning_indexer_grad_kl_loss {

const base::Contract& Room::contract() {
  using dense_lightning_indexer::kKeyNames;
  using dense_lightning_indexer::TokenNumbers;
  using Rule = base::Limit::Rule;
  using prim::attention_grad::Gradient;
  const auto row_loss = [] {
    base::TensorSpec spec = TokenNumbers("row_scale times the divergence of each token");
    spec.wanted_by = "return_row_loss";
    spec.row_dims = {{"BSND", 2}, {"TND", 1}};
    return spec;
  };
  static const base::Contract kContract =
      base::ContractBuilder<Params>(
          "dense_lightning_indexer_grad_kl_loss",
          "Divergence of the indexer's softmax from the main attention over all keys, and its "
          "gradients",
          "npu_dense_lightning_indexer_grad_kl_loss")
          .Input("query", &Params::query,
                 {.doc = "queries of the main attention",
                  .dtypes = {DType::kFloat16, DType::kBFloat16, DType::kFloat32},
                  .forms = prim::QueryForms("N, D")})
          .InStrict({.dtypes = {DType::kFloat16, DType::kBFloat16}})
          .Input("key", &Params::key,
                 {.doc = "its keys; query head h reads kv head h / (N / N2)",
                  .dtype_as = "query",
                  .forms = prim::UnpagedKeyForms("N2, D", kKeyNames)})
          .Input("query_index", &Params::query_index,
                 {.doc = "index queries", .dtype_as = "query", .forms = prim::QueryForms("Ni, Di")})
          .Input("key_index", &Params::key_index,
                 {.doc = "index keys, one head",
                  .dtype_as = "query",
                  .forms = prim::UnpagedKeyForms("1, Di", kKeyNames)})
          .Input("weights", &Params::weights, dense_lightning_indexer::Weights("query"))
          .Input("softmax_max", &Params::softmax_max,
                 prim::Statistic("largest scaled scores of the main attention, taken as they are"))
          .Input("softmax_sum", &Params::softmax_sum,
                 prim::Statistic("its sums of exp(score - max), taken as they are"))
          .Input("softmax_max_index", &Params::softmax_max_index,
                 TokenNumbers("largest index scores, taken as they are"))
          .Input("softmax_sum_index", &Params::softmax_sum_index,
                 TokenNumbers("their sums of exp(score - max), taken as they are"))
          .OptionalInput("query_rope", &Params::query_rope,
                         {.doc = "second part of the queries",
                          .dtype_as = "query",
                          .forms = prim::QueryForms("N, Dr")})
          .OptionalInput("key_rope", &Params::key_rope,
                         {.doc = "second part of the keys, with query_rope only",
                          .dtype_as = "query",
                          .forms = prim::UnpagedKeyForms("N2, Dr", kKeyNames)})
          .OptionalInput("row_scale", &Params::row_scale,
                         TokenNumbers("factor of a token's loss and gradients; 0: as padding; "
                                      "absent: 1"))
          .OptionalInput("actual_seq_lengths_query", &Params::actual_seq_lengths_query,
                         prim::QueryLengths())
          .OptionalInput("actual_seq_lengths_key", &Params::actual_seq_lengths_key,
                         dense_lightning_indexer::KeyLengths())
          .Required("scale_value", &Params::scale_value, "factor of the main attention's scores")
          .Choice("layout", &Params::layout, {"BSND", "TND"}, "of all tensors")
          .Optional("sparse_mode", &Params::sparse_mode, dense_lightning_indexer::kSparseModeDoc)
          .Optional("return_query_index_grad", &Params::return_query_index_grad,
                    "compute query_index_grad")
          .Optional("return_key_index_grad", &Params::return_key_index_grad,
                    "compute key_index_grad")
          .Optional("return_weights_grad", &Params::return_weights_grad, "compute weights_grad")
          .Optional("return_row_loss", &Params::return_row_loss, "whether row_loss is wanted")
          .Optional("strict", &Params::strict, "also enforce the document's limits")
          .Output("loss", &Params::loss,
                  {.shape = "1",
                   .doc = "sum of the losses of all tokens",
                   .dtypes = {DType::kFloat32},
                   .row_dims = {{"BSND", 1}, {"TND", 1}}})
          .OptionalOutput("query_index_grad", &Params::query_index_grad,
                          Gradient("query_index", prim::QueryForms("Ni, Di")))
          .OptionalOutput("key_index_grad", &Params::key_index_grad,
                          Gradient("key_index", prim::UnpagedKeyForms("1, Di", kKeyNames)))
          .OptionalOutput("weights_grad", &Params::weights_grad,
                          Gradient("weights", prim::QueryForms("Ni")))
          .OptionalOutput("row_loss", &Params::row_loss, row_loss())
          .LayoutIs("layout")
          .Rows("Rows")
          .Strict("query", "N", Rule::kOneOf, {"32", "64", "128"})
          .Strict("key", "N2", Rule::kEqual, {"N"})
          .Strict("query", "D", Rule::kEqual, {"128"})
          .Strict("query_rope", "Dr", Rule::kEqual, {"64"})
          .Strict("query_index", "Ni", Rule::kOneOf, {"8", "16", "32", "64"})
          .Strict("query_index", "Di", Rule::kEqual, {"128"})
          .Strict("sparse_mode", "sparse_mode", Rule::kEqual, {"3"})
          .Envelope({"B 1 to 256, S1 and S2 1 to 131072; no row_scale, no row_loss",
                     "statistics of the main attention [B, N2, S1, N / N2] or [N2, T1, N / N2], of "
                     "the indexer [B, 1, S1] or [1, T1]"})
          .Build();
  return kContract;
}

}  // namespace tamis::dense_lightning_indexer_grad_kl_loss
