#include "base/contract.h"
#include "ops/nsa_selected_attention/grad_problem.h"
#include "prim/attention_grad/contract.h"
#include "prim/call/token_contract.h"

namespace tamis::nsa_selected_attention_grad {

const base::Contract& Room::contract() {
  using Rule = base::Limit::Rule;
  using prim::attention_grad::Gradient;
  static const base::Contract kContract =
      base::ContractBuilder<Params>(
          "nsa_selected_attention_grad",
          "Gradients of queries, keys and values of nsa_selected_attention",
          "npu_nsa_select_attention_grad; no document of its own")
          .Input("query", &Params::query,
                 {.shape = "T, N, D",
                  .doc = "queries of the forward, sequences packed",
                  .dtypes = {DType::kFloat16, DType::kBFloat16, DType::kFloat32}})
          .InStrict({.dtypes = {DType::kFloat16, DType::kBFloat16}})
          .Input("key", &Params::key,
                 {.shape = "Tk, N2, D", .doc = "its keys", .dtype_as = "query"})
          .Input("value", &Params::value,
                 {.shape = "Tk, N2, D2", .doc = "its values", .dtype_as = "query"})
          .Input("attention_out_grad", &Params::attention_out_grad,
                 {.shape = "T, N, D2",
                  .doc = "gradient of its result",
                  .dtype_as = "query",
                  .gradient_of = "attention_out"})
          .Input("softmax_max", &Params::softmax_max,
                 prim::Statistic("T", "its largest scaled scores, taken as they are"))
          .Input("softmax_sum", &Params::softmax_sum,
                 prim::Statistic("T", "its sums of exp(score - max), taken as they are"))
          .Input("topk_indices", &Params::topk_indices,
                 {.shape = "T, N2, K",
                  .doc = "its blocks of the token's sequence; a negative one ends a list",
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
          .Optional("return_query_grad", &Params::return_query_grad, "compute query_grad")
          .Optional("return_key_grad", &Params::return_key_grad, "compute key_grad")
          .Optional("return_value_grad", &Params::return_value_grad, "compute value_grad")
          .Optional("strict", &Params::strict, "also enforce the device's limits")
          .OptionalOutput("query_grad", &Params::query_grad, Gradient("query", "T, N, D"))
          .OptionalOutput("key_grad", &Params::key_grad, Gradient("key", "Tk, N2, D"))
          .OptionalOutput("value_grad", &Params::value_grad, Gradient("value", "Tk, N2, D2"))
          .GradientOf("nsa_selected_attention")
          .Rows("Rows")
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
          .Envelope({"D up to 768, values no wider than keys; B at most 1024",
                     "every sequence's keys a multiple of select_block_size; ids below their "
                     "number",
                     "keys and values are added atomically: bits differ from run to run"})
          .Build();
  return kContract;
}

}  // namespace tamis::nsa_selected_attention_grad
