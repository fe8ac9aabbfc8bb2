#include "base/contract.h"
#include "ops/lightning_indexer/grad_problem.h"
#include "prim/attention_grad/contract.h"
#include "prim/call/token_contract.h"

namespace tamis::lightning_indexer_grad {

const base::Contract& Room::contract() {
  using prim::attention_grad::Gradient;
  static const base::Contract kContract =
      base::ContractBuilder<Params>(
          "lightning_indexer_grad",
          "Gradients of queries, keys and weights of lightning_indexer's sparse_values",
          "aclnnLightningIndexerGrad; no document of its own")
          .Input("query", &Params::query,
                 {.doc = "index queries of the forward",
                  .dtypes = {DType::kFloat16, DType::kBFloat16, DType::kFloat32},
                  .forms = prim::QueryForms("N, D")})
          .Input("key", &Params::key,
                 {.doc = "its index keys",
                  .dtype_as = "query",
                  .forms = prim::UnpagedKeyForms("1, D"),
                  .layout = "layout_key"})
          .Input("sparse_values_grad", &Params::sparse_values_grad,
                 {.doc = "gradient of the scores it selects, by slot; not read in slots that count "
                         "nothing",
                  .dtypes = {DType::kFloat16, DType::kBFloat16, DType::kFloat32},
                  .forms = prim::QueryForms("1, K"),
                  .gradient_of = "sparse_values"})
          .Input("sparse_indices", &Params::sparse_indices,
                 {.doc = "positions of each token's sequence, in any order; a negative one ends a "
                         "list",
                  .dtypes = {DType::kInt32},
                  .forms = prim::QueryForms("1, K")})
          .Input("weights", &Params::weights,
                 {.doc = "its weights, as query or float32",
                  .dtypes = {DType::kFloat16, DType::kBFloat16, DType::kFloat32},
                  .forms = prim::QueryForms("N")})
          .OptionalInput("actual_seq_lengths_query", &Params::actual_seq_lengths_query,
                         prim::QueryLengths())
          .OptionalInput("actual_seq_lengths_key", &Params::actual_seq_lengths_key,
                         prim::KeyLengths())
          .OptionalInput("key_starts", &Params::key_starts, prim::KeyStarts())
          .OptionalInput("key_limits", &Params::key_limits, prim::KeyLimits())
          .OptionalInput("actual_seq_lengths_tokens", &Params::actual_seq_lengths_tokens,
                         prim::RawTokenLengths())
          .Choice("layout_query", &Params::layout_query, {"BSND", "TND"},
                  "of query, what belongs to it, and its gradients")
          .Choice("layout_key", &Params::layout_key, {"BSND", "TND"},
                  "of key and its gradient: as layout_query")
          .Optional("sparse_mode", &Params::sparse_mode,
                    "3: token i of q sees keys up to n - q + i (causal from the end); 0: all n")
          .Optional("compress_ratio", &Params::compress_ratio, prim::kCompressRatioDoc)
          .Optional("return_query_grad", &Params::return_query_grad, "compute query_grad")
          .Optional("return_key_grad", &Params::return_key_grad, "compute key_grad")
          .Optional("return_weights_grad", &Params::return_weights_grad, "compute weights_grad")
          .Optional("strict", &Params::strict, "no limit of a document applies: changes nothing")
          .OptionalOutput("query_grad", &Params::query_grad,
                          Gradient("query", prim::QueryForms("N, D")))
          .OptionalOutput("key_grad", &Params::key_grad,
                          Gradient("key", prim::UnpagedKeyForms("1, D"), "layout_key"))
          .OptionalOutput("weights_grad", &Params::weights_grad,
                          Gradient("weights", prim::QueryForms("N")))
          .LayoutIs("layout_query")
          .GradientOf("lightning_indexer")
          .Rows("Rows")
          .Build();
  return kContract;
}

}  // namespace tamis::lightning_indexer_grad
