#include "base/contract.h"
#include "ops/nsa_compress_attention/grad_problem.h"
#include "prim/attention_grad/contract.h"
#include "prim/call/token_contract.h"

namespace tamis::nsa_compress_attention_grad {

const base::Contract& Room::contract() {
  using prim::attention_grad::Gradient;
  static const base::Contract kContract =
      base::ContractBuilder<Params>(
          "nsa_compress_attention_grad",
          "Gradients of queries, keys and values of nsa_compress_attention",
          "the gradient of nsa_compress_attention; no document of its own")
          .Input("query", &Params::query,
                 {.shape = "T, N, D",
                  .doc = "queries of the forward, sequences packed",
                  .dtypes = {DType::kFloat16, DType::kBFloat16, DType::kFloat32}})
          .Input("key", &Params::key,
                 {.shape = "Tc, N2, D", .doc = "its keys", .dtype_as = "query"})
          .Input("value", &Params::value,
                 {.shape = "Tc, N2, D2", .doc = "its values", .dtype_as = "query"})
          .Input("attention_out_grad", &Params::attention_out_grad,
                 {.shape = "T, N, D2",
                  .doc = "gradient of its result",
                  .dtype_as = "query",
                  .gradient_of = "attention_out"})
          .Input("softmax_max", &Params::softmax_max,
                 prim::Statistic("T", "its largest scaled scores, taken as they are"))
          .Input("softmax_sum", &Params::softmax_sum,
                 prim::Statistic("T", "its sums of exp(score - max), taken as they are"))
          .OptionalInput(
              "atten_mask", &Params::atten_mask,
              {.shape = "max_q, max_n",
               .doc = "by positions in the sequence; not 0: the key is hidden from the query",
               .dtypes = {DType::kBool, DType::kUInt8}})
          .OptionalInput("key_limits", &Params::key_limits,
                         {.shape = "T",
                          .doc = "per query token: only compressed keys before are seen",
                          .dtypes = {DType::kInt32}})
          .Required("scale_value", &Params::scale_value, "factor of the scores")
          .Required("head_num", &Params::head_num, "query heads N, a multiple of the key heads N2")
          .Required("actual_seq_qlen", &Params::actual_seq_qlen,
                    "inclusive prefix sums over query; the last is T")
          .Required("actual_cmp_seq_kvlen", &Params::actual_cmp_seq_kvlen,
                    "inclusive prefix sums over key; the last is Tc")
          .Optional("causal", &Params::causal,
                    "keys whose windows end after the query's token were hidden, by positions")
          .Optional("compress_block_size", &Params::compress_block_size,
                    "with causal: tokens in a compression window (l)")
          .Optional("compress_stride", &Params::compress_stride,
                    "with causal: tokens between the starts of windows (d)")
          .Optional("actual_raw_seq_kvlen", &Params::actual_raw_seq_kvlen,
                    "with causal: inclusive prefix sums over raw tokens, a sequence's last query "
                    "being its last token; absent: actual_seq_qlen")
          .Choice("masked_rows", &Params::masked_rows, {"uniform", "zero"},
                  "what a row gave whose keys are all hidden: the mean of all values, or zero")
          .Optional("return_query_grad", &Params::return_query_grad, "compute query_grad")
          .Optional("return_key_grad", &Params::return_key_grad, "compute key_grad")
          .Optional("return_value_grad", &Params::return_value_grad, "compute value_grad")
          .Optional("strict", &Params::strict, "no limit of a document applies: changes nothing")
          .OptionalOutput("query_grad", &Params::query_grad, Gradient("query", "T, N, D"))
          .OptionalOutput("key_grad", &Params::key_grad, Gradient("key", "Tc, N2, D"))
          .OptionalOutput("value_grad", &Params::value_grad, Gradient("value", "Tc, N2, D2"))
          .GradientOf("nsa_compress_attention")
          .Rows("Rows")
          .Build();
  return kContract;
}

}  // namespace tamis::nsa_compress_attention_grad
