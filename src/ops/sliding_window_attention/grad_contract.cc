#include "base/contract.h"
#include "ops/sliding_window_attention/grad_problem.h"
#include "prim/attention_grad/contract.h"
#include "prim/call/token_contract.h"

namespace tamis::sliding_window_attention_grad {

const base::Contract& Room::contract() {
  using prim::attention_grad::Gradient;
  const auto of_keys = [](const char* of, const char* inner) {
    return Gradient(of, prim::UnpagedKeyForms(inner), "layout_kv");
  };
  static const base::Contract kContract =
      base::ContractBuilder<Params>(
          "sliding_window_attention_grad",
          "Gradients of queries, keys and values of sliding_window_attention",
          "the gradient of sliding_window_attention; no document of its own")
          .Input("query", &Params::query,
                 {.doc = "queries of the forward",
                  .dtypes = {DType::kFloat16, DType::kBFloat16, DType::kFloat32},
                  .forms = prim::QueryForms("N, D")})
          .Input("key", &Params::key,
                 {.doc = "its keys",
                  .dtype_as = "query",
                  .forms = prim::UnpagedKeyForms("N2, D"),
                  .layout = "layout_kv"})
          .Input("value", &Params::value,
                 {.doc = "its values",
                  .dtype_as = "query",
                  .forms = prim::UnpagedKeyForms("N2, D2"),
                  .layout = "layout_kv"})
          .Input("attention_out_grad", &Params::attention_out_grad,
                 {.doc = "gradient of its result",
                  .dtype_as = "query",
                  .forms = prim::QueryForms("N, D2"),
                  .gradient_of = "attention_out"})
          .Input("softmax_max", &Params::softmax_max,
                 prim::Statistic("its largest scaled scores, taken as they are"))
          .Input("softmax_sum", &Params::softmax_sum,
                 prim::Statistic("its sums of exp(score - max), taken as they are"))
          .OptionalInput("actual_seq_lengths_query", &Params::actual_seq_lengths_query,
                         prim::QueryLengths())
          .OptionalInput("actual_seq_lengths_kv", &Params::actual_seq_lengths_kv,
                         prim::KeyLengths())
          .OptionalInput("key_starts", &Params::key_starts, prim::KeyStarts())
          .OptionalInput("key_limits", &Params::key_limits, prim::KeyLimits())
          .Required("scale_value", &Params::scale_value, "factor of the scores")
          .Required("window_size", &Params::window_size,
                    "keys that a token sees at most, that of its own position among them; 0: none")
          .Choice("layout_query", &Params::layout_query, {"BSND", "TND"},
                  "of query, what belongs to it, and its gradient")
          .Choice("layout_kv", &Params::layout_kv, {"BSND", "TND"},
                  "of key, value and their gradients: as layout_query")
          .Optional("return_query_grad", &Params::return_query_grad, "compute query_grad")
          .Optional("return_key_grad", &Params::return_key_grad, "compute key_grad")
          .Optional("return_value_grad", &Params::return_value_grad, "compute value_grad")
          .Optional("strict", &Params::strict, "no limit of a document applies: changes nothing")
          .OptionalOutput("query_grad", &Params::query_grad,
                          Gradient("query", prim::QueryForms("N, D")))
          .OptionalOutput("key_grad", &Params::key_grad, of_keys("key", "N2, D"))
          .OptionalOutput("value_grad", &Params::value_grad, of_keys("value", "N2, D2"))
          .LayoutIs("layout_query")
          .GradientOf("sliding_window_attention")
          .Rows("Rows")
          .Build();
  return kContract;
}

}  // namespace tamis::sliding_window_attention_grad
