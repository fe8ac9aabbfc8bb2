#include "base/contract.h"
#include "ops/sparse_flash_attention/grad_problem.h"
#include "prim/attention_grad/contract.h"
#include "prim/call/token_contract.h"

namespace tamis::sparse_flash_attention_grad {

const base::Contract& Room::contract() {
  using prim::attention_grad::Gradient;
  const auto of_keys = [](const char* of, const char* inner) {
    return Gradient(of, prim::UnpagedKeyForms(inner), "layout_kv");
  };
  const auto needing = [](const char* input, base::TensorSpec spec) {
    spec.needs = {input};
    return spec;
  };
  static const base::Contract kContract =
      base::ContractBuilder<Params>(
          "sparse_flash_attention_grad",
          "Gradients of queries, keys, values, ropes and sinks of sparse_flash_attention",
          "aclnnSparseFlashAttentionGrad; no document of its own")
          .Input("query", &Params::query,
                 {.doc = "latent part of the queries of the forward",
                  .dtypes = {DType::kFloat16, DType::kBFloat16, DType::kFloat32},
                  .forms = prim::QueryForms("N, D")})
          .Input("key", &Params::key,
                 {.doc = "its latent keys",
                  .dtype_as = "query",
                  .forms = prim::UnpagedKeyForms("1, D"),
                  .layout = "layout_kv"})
          .Input("sparse_indices", &Params::sparse_indices,
                 {.doc = "its blocks of each token's sequence; a negative one ends a list",
                  .dtypes = {DType::kInt32},
                  .forms = prim::QueryForms("1, K")})
          .Input("out_grad", &Params::out_grad,
                 {.doc = "gradient of its result",
                  .dtype_as = "query",
                  .forms = prim::QueryForms("N, D"),
                  .gradient_of = "out"})
          .Input("softmax_max", &Params::softmax_max,
                 prim::Statistic("its largest scaled scores, taken as they are"))
          .Input("softmax_sum", &Params::softmax_sum,
                 prim::Statistic("its sums of exp(score - max), taken as they are"))
          .OptionalInput("value", &Params::value,
                         {.doc = "its values; absent: the latent part of key",
                          .dtype_as = "query",
                          .forms = prim::UnpagedKeyForms("1, D"),
                          .layout = "layout_kv"})
          .OptionalInput("actual_seq_lengths_query", &Params::actual_seq_lengths_query,
                         prim::QueryLengths())
          .OptionalInput("actual_seq_lengths_kv", &Params::actual_seq_lengths_kv,
                         prim::KeyLengths())
          .OptionalInput("query_rope", &Params::query_rope,
                         {.doc = "rotary part of its queries, with key_rope",
                          .dtype_as = "query",
                          .forms = prim::QueryForms("N, Dr")})
          .OptionalInput("key_rope", &Params::key_rope,
                         {.doc = "rotary part of its keys, with query_rope",
                          .dtype_as = "query",
                          .forms = prim::UnpagedKeyForms("1, Dr"),
                          .layout = "layout_kv"})
          .OptionalInput("sinks", &Params::sinks,
                         {.shape = "N",
                          .doc = "its scores without a value, by head",
                          .dtypes = {DType::kFloat32}})
          .OptionalInput("key_starts", &Params::key_starts, prim::KeyStarts())
          .OptionalInput("key_limits", &Params::key_limits, prim::KeyLimits())
          .Required("scale_value", &Params::scale_value, "factor of the scores")
          .Optional("sparse_block_size", &Params::sparse_block_size,
                    "positions per id: id b names [b c, (b + 1) c) of the sequence")
          .Choice("layout_query", &Params::layout_query, {"BSND", "TND"},
                  "of query, what belongs to it, and its gradients")
          .Choice("layout_kv", &Params::layout_kv, {"BSND", "TND"},
                  "of key, value, key_rope and their gradients: as layout_query")
          .Optional(
              "sparse_mode", &Params::sparse_mode,
              "3: token i of q sees positions up to n - q + i (causal from the end); 0: all n")
          .Optional("return_query_grad", &Params::return_query_grad, "compute query_grad")
          .Optional("return_key_grad", &Params::return_key_grad, "compute key_grad")
          .Optional("return_value_grad", &Params::return_value_grad, "compute value_grad")
          .Optional("return_query_rope_grad", &Params::return_query_rope_grad,
                    "compute query_rope_grad")
          .Optional("return_key_rope_grad", &Params::return_key_rope_grad, "compute key_rope_grad")
          .Optional("return_sinks_grad", &Params::return_sinks_grad, "compute sinks_grad")
          .Optional("strict", &Params::strict, "no limit of a document applies: changes nothing")
          .OptionalOutput("query_grad", &Params::query_grad,
                          Gradient("query", prim::QueryForms("N, D")))
          .OptionalOutput("key_grad", &Params::key_grad, of_keys("key", "1, D"))
          .OptionalOutput("value_grad", &Params::value_grad,
                          needing("value", of_keys("value", "1, D")))
          .OptionalOutput("query_rope_grad", &Params::query_rope_grad,
                          needing("query_rope", Gradient("query_rope", prim::QueryForms("N, Dr"))))
          .OptionalOutput("key_rope_grad", &Params::key_rope_grad,
                          needing("key_rope", of_keys("key_rope", "1, Dr")))
          .OptionalOutput("sinks_grad", &Params::sinks_grad,
                          needing("sinks", Gradient("sinks", "N")))
          .LayoutIs("layout_query")
          .GradientOf("sparse_flash_attention")
          .Rows("Rows")
          .Build();
  return kContract;
}

}  // namespace tamis::sparse_flash_attention_grad
