#include "base/contract.h"
#include "ops/nsa_compress/grad_problem.h"

namespace tamis::nsa_compress_grad {

const base::Contract& Room::contract() {
  using Rule = base::Limit::Rule;
  static const base::Contract kContract =
      base::ContractBuilder<Params>("nsa_compress_grad",
                                    "Gradients of tokens and weights of nsa_compress",
                                    "aclnnNsaCompressGrad, the gradient of nsa_compress; no "
                                    "document of its own")
          .Input("output_grad", &Params::output_grad,
                 {.shape = "Tc, N, D",
                  .doc = "gradient of the forward's output: one row per window",
                  .dtypes = {DType::kFloat16, DType::kBFloat16, DType::kFloat32},
                  .gradient_of = "output"})
          .InStrict({.dtypes = {DType::kFloat16, DType::kBFloat16}})
          .Input("input", &Params::input,
                 {.shape = "T, N, D",
                  .doc = "tokens of the forward, sequences packed",
                  .dtype_as = "output_grad"})
          .Input(
              "weight", &Params::weight,
              {.shape = "compress_block_size, N", .doc = "its weights", .dtype_as = "output_grad"})
          .Required("act_seq_len", &Params::act_seq_len,
                    "inclusive prefix sums of the sequence lengths; the last is T")
          .Required("compress_block_size", &Params::compress_block_size, "tokens in a window (l)")
          .Required("compress_stride", &Params::compress_stride,
                    "tokens between the starts of windows (d); at most l")
          .Choice("layout", &Params::layout, {"TND"}, "as the forward's")
          .Optional("act_seq_len_type", &Params::act_seq_len_type,
                    "0: act_seq_len holds prefix sums; 1: lengths (wide only)")
          .Optional("return_input_grad", &Params::return_input_grad, "compute input_grad")
          .Optional("return_weight_grad", &Params::return_weight_grad, "compute weight_grad")
          .Optional("strict", &Params::strict, "also enforce the limits of the forward's document")
          .OptionalOutput("input_grad", &Params::input_grad,
                          {.shape = "T, N, D",
                           .doc = "gradient of input; 0 where a token is in no window",
                           .dtype_as = "input",
                           .wanted_by = "return_input_grad",
                           .gradient_of = "input"})
          .OptionalOutput("weight_grad", &Params::weight_grad,
                          {.shape = "compress_block_size, N",
                           .doc = "gradient of weight",
                           .dtype_as = "weight",
                           .wanted_by = "return_weight_grad",
                           .gradient_of = "weight"})
          .RowDims({{"", 1}})
          .GradientOf("nsa_compress")
          .Rows("Rows")
          .Strict("input", "T", Rule::kAtLeast, {"1"})
          .Strict("act_seq_len", "B", Rule::kAtLeast, {"1"})
          .Strict("act_seq_len_type", "act_seq_len_type", Rule::kEqual, {"0"})
          .Strict("input", "N", Rule::kAtLeast, {"1"})
          .Strict("input", "D", Rule::kAtLeast, {"1"})
          .Strict("input", "N", Rule::kAtMost, {"128"})
          .Strict("input", "D", Rule::kMultipleOf, {"16"})
          .Strict("input", "D", Rule::kAtMost, {"256"})
          .Strict("compress_block_size", "compress_block_size", Rule::kMultipleOf, {"16"})
          .Strict("compress_block_size", "compress_block_size", Rule::kAtMost, {"128"})
          .Strict("compress_stride", "compress_stride", Rule::kMultipleOf, {"16"})
          .Build();
  return kContract;
}

}  // namespace tamis::nsa_compress_grad
