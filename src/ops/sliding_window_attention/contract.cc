#include "base/contract.h"

#include "ops/sliding_window_attention/problem.h"
#include "prim/call/token_contract.h"

namespace tamis::sliding_window_attention {

const base::Contract& Room::contract() {
  static const base::Contract kContract =
      base::ContractBuilder<Params>(
          "sliding_window_attention",
          "Causal attention of every query token over the last keys up to its own",
          "Native Sparse Attention's window branch; no document of its own")
          .Input("query", &Params::query,
                 {.doc = "queries",
                  .dtypes = {DType::kFloat16, DType::kBFloat16, DType::kFloat32},
                  .forms = prim::QueryForms("N, D")})
          .Input("key", &Params::key,
                 {.doc = "keys; query head h reads kv head h / (N / N2)",
                  .dtype_as = "query",
                  .forms = prim::KeyForms("N2, D"),
                  .layout = "layout_kv"})
          .Input("value", &Params::value,
                 {.doc = "values",
                  .dtype_as = "query",
                  .forms = prim::KeyForms("N2, D2"),
                  .layout = "layout_kv"})
          .OptionalInput(
              "block_table", &Params::block_table,
              {.shape = "*, *",
               .doc = "[B, max_pages], with PA_BSND only; entries of pages without a key "
                      "in a window are not read, with key_limits those before key_starts",
               .dtypes = {DType::kInt32},
               .read_by_plan = true,
               .page_table = true})
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
                  "of query and the outputs")
          .Choice("layout_kv", &Params::layout_kv, {"BSND", "TND", "PA_BSND"},
                  "of key and value: as layout_query, or paged")
          .Choice("out_dtype", &Params::out_dtype, {"input", "float32"}, "dtype of attention_out")
          .Optional("strict", &Params::strict, "no limit of a document applies: changes nothing")
          .Output("attention_out", &Params::attention_out,
                  {.doc = "attention",
                   .dtype_as = "query",
                   .forms = prim::QueryForms("N, D2"),
                   .dtype_attribute = "out_dtype",
                   .dtype_choices = {DType::kNone, DType::kFloat32}})
          .OptionalOutput("softmax_max", &Params::softmax_max,
                          prim::Statistic("largest scaled score"))
          .OptionalOutput("softmax_sum", &Params::softmax_sum,
                          prim::Statistic("sum of exp(score - max)"))
          .LayoutIs("layout_query")
          .RowDims({{"BSND", 2}, {"TND", 1}})
          .Build();
  return kContract;
}

}  // namespace tamis::sliding_window_attention
