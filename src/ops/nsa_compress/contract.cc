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

namespace tamis::nsa_compress_infer {

const base::Contract& Room::contract() {
  using Rule = base::Limit::Rule;
  static const base::Contract kContract =
      base::ContractBuilder<Params>(
          "nsa_compress_infer",
          "Window sums that new tokens complete, from a paged cache into a cache of compressed "
          "rows",
          "npu_nsa_compress_infer; no document of its own")
          .Input("input", &Params::input,
                 {.shape = "pages, page_block_size, N, D",
                  .doc = "paged cache of raw rows, the new tokens' included",
                  .dtypes = {DType::kFloat16, DType::kBFloat16, DType::kFloat32}})
          .InStrict({.dtypes = {DType::kFloat16, DType::kBFloat16}})
          .Input("weight", &Params::weight,
                 {.shape = "compress_block_size, N",
                  .doc = "weight of each token of a window, per head",
                  .dtype_as = "input"})
          .Input("slot_mapping", &Params::slot_mapping,
                 {.shape = "T",
                  .doc = "row of cache for the window that ends at each new token; not looked at "
                         "where none does; negative: not written; of equal ones the last wins; "
                         "read when planning",
                  .dtypes = {DType::kInt32, DType::kInt64},
                  .read_by_plan = true})
          .InStrict({.dtypes = {DType::kInt32}})
          .Input(
              "block_table", &Params::block_table,
              {.shape = "B, max_pages",
               .doc =
                   "page of each page_block_size tokens; entries before a sequence's first window "
                   "that is written, and after its last, are not read",
               .dtypes = {DType::kInt32},
               .read_by_plan = true,
               .page_table = true})
          .InOut("cache", &Params::cache,
                 {.shape = "R, N, D",
                  .doc = "compressed rows, updated at the slots",
                  .dtype_as = "input"})
          .Required("act_seq_len", &Params::act_seq_len,
                    "tokens per sequence, the new ones included")
          .Required("compress_block_size", &Params::compress_block_size, "tokens in a window (l)")
          .Required("compress_stride", &Params::compress_stride,
                    "tokens between the starts of windows (d); at most l")
          .Required("page_block_size", &Params::page_block_size, "tokens in a page")
          .Optional("actual_seq_qlen", &Params::actual_seq_qlen,
                    "new tokens per sequence, its last ones; absent: one each")
          .InStrict({.default_only = true})
          .Optional("strict", &Params::strict, "also enforce the device's limits")
          .Rows("T")
          .Strict("block_table", "B", Rule::kAtLeast, {"1"})
          .Strict("block_table", "B", Rule::kAtMost, {"2048"})
          .Strict("input", "pages", Rule::kAtLeast, {"1"})
          .Strict("input", "N", Rule::kAtLeast, {"1"})
          .Strict("input", "N", Rule::kAtMost, {"64"})
          .Strict("input", "D", Rule::kAtLeast, {"1"})
          .Strict("input", "D", Rule::kMultipleOf, {"16"})
          .Strict("cache", "R", Rule::kAtLeast, {"1"})
          .Strict("compress_block_size", "compress_block_size", Rule::kMultipleOf, {"16"})
          .Strict("compress_block_size", "compress_block_size", Rule::kAtMost, {"64"})
          .Strict("compress_stride", "compress_stride", Rule::kMultipleOf, {"16"})
          .Envelope({"N above 50 is even; D at most 256; page_block_size 64 or 128",
                     "R above (pages * page_block_size - l) / d",
                     "equal slots: any of their tokens may win"})
          .Build();
  return kContract;
}

}  // namespace tamis::nsa_compress_infer
