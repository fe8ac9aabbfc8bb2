#include "base/contract.h"

#include "ops/nsa_compress/problem.h"

namespace tamis::nsa_compress {

const base::Contract& Room::contract() {
  using Rule = base::Limit::Rule;
  static const base::Contract kContract =
      base::ContractBuilder<Params>("nsa_compress",
                                    "Weighted window sums over packed sequences, per head",
                                    "NsaCompress (document 001)")
          .Input("input", &Params::input,
                 {.shape = "T, N, D",
                  .doc = "tokens, sequences packed",
                  .dtypes = {DType::kFloat16, DType::kBFloat16, DType::kFloat32}})
          .InStrict({.dtypes = {DType::kFloat16, DType::kBFloat16}})
          .Input("weight", &Params::weight,
                 {.shape = "compress_block_size, N",
                  .doc = "weight of each token of a window, per head",
                  .dtype_as = "input"})
          .Required("act_seq_len", &Params::act_seq_len,
                    "inclusive prefix sums of the sequence lengths; the last is T")
          .Required("compress_block_size", &Params::compress_block_size, "tokens in a window (l)")
          .Required("compress_stride", &Params::compress_stride,
                    "tokens between the starts of windows (d); at most l")
          .Choice("layout", &Params::layout, {"TND"},
                  "the document lists BSH, SBH, BSND, BNSD too and supports TND only")
          .Optional("act_seq_len_type", &Params::act_seq_len_type,
                    "0: act_seq_len holds prefix sums; 1: lengths (wide only)")
          .Optional("strict", &Params::strict, "also enforce the document's limits")
          .Output("output", &Params::output,
                  {.shape = "Tc, N, D",
                   .doc = "one row per window, sequences packed",
                   .dtype_as = "input"})
          .RowDims({{"", 1}})
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
          .Envelope({"N, D, T and l: the device checks none of the document's upper limits",
                     "every sequence shorter than l: the device rejects the call; here it gives an "
                     "empty output"})
          .Build();
  return kContract;
}

}  // namespace tamis::nsa_compress
