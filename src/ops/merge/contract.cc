#include "base/contract.h"

#include "ops/merge/problem.h"
#include "prim/call/token_contract.h"

namespace tamis {
namespace {

constexpr const char* kStrict = "no limit of a document applies: changes nothing";
constexpr const char* kSource =
    "decode context parallelism around sparse attention; no document of its own";
constexpr const char* kWorld = "ranks that the keys are dealt to";
constexpr const char* kInterleave = "neighbouring keys dealt to a rank at once";
constexpr const char* kRanks = "how many ranks, from rank on, are one holder's";

}  // namespace

const base::Contract& merge_attention_states::Room::contract() {
  static const base::Contract kContract =
      base::ContractBuilder<Params>("merge_attention_states",
                                    "Attention over all keys from attention over parts of them",
                                    kSource)
          .Input("outs", &Params::outs,
                 {.shape = "parts, T, N, D",
                  .doc = "attention over each part; not read where the part is empty",
                  .dtypes = {DType::kFloat16, DType::kBFloat16, DType::kFloat32}})
          .Input("softmax_maxes", &Params::softmax_maxes,
                 prim::Statistic("parts, T",
                                 "largest score, natural logarithm; -inf: the part is empty"))
          .Input(
              "softmax_sums", &Params::softmax_sums,
              prim::Statistic("parts, T", "sum of exp(score - max); at most 0: the part is empty"))
          .Choice("out_dtype", &Params::out_dtype, {"input", "float32"}, "dtype of out")
          .Optional("strict", &Params::strict, kStrict)
          .Output("out", &Params::out,
                  {.shape = "T, N, D",
                   .doc = "attention over all parts; 0 where all are empty",
                   .dtype_as = "outs",
                   .dtype_attribute = "out_dtype",
                   .dtype_choices = {DType::kNone, DType::kFloat32}})
          .OptionalOutput("softmax_max", &Params::softmax_max,
                          prim::Statistic("T", "-inf where all are empty"))
          .OptionalOutput("softmax_sum", &Params::softmax_sum,
                          prim::Statistic("T", "0 where all are empty"))
          .RowDims({{"", 1}})
          .Build();
  return kContract;
}

const base::Contract& merge_topk::Room::contract() {
  static const base::Contract kContract =
      base::ContractBuilder<Params>("merge_topk", "The best of several lists of scored positions",
                                    kSource)
          .Input("values", &Params::values,
                 {.shape = "parts, T, K", .doc = "scores", .dtypes = {DType::kFloat32}})
          .Input("indices", &Params::indices,
                 {.shape = "parts, T, K",
                  .doc = "their positions; a negative one is no entry",
                  .dtypes = {DType::kInt32}})
          .Required("sparse_count", &Params::sparse_count, "entries to keep")
          .Optional("strict", &Params::strict, kStrict)
          .Output(
              "sparse_indices", &Params::sparse_indices,
              {.shape = "T, sparse_count", .doc = "best first, then -1", .dtypes = {DType::kInt32}})
          .OptionalOutput("sparse_values", &Params::sparse_values,
                          {.shape = "T, sparse_count",
                           .doc = "their scores, then -inf",
                           .dtypes = {DType::kFloat32}})
          .RowDims({{"", 1}})
          .Build();
  return kContract;
}

const base::Contract& localize_indices::Room::contract() {
  static const base::Contract kContract =
      base::ContractBuilder<Params>("localize_indices",
                                    "Of selected positions, those that one holder has", kSource)
          .Input("indices", &Params::indices,
                 {.shape = "T, K",
                  .doc = "positions; the first negative one ends its row",
                  .dtypes = {DType::kInt32}})
          .Required("rank", &Params::rank, "whose positions to keep; 0 to world - 1")
          .Required("world", &Params::world, kWorld)
          .Optional("interleave", &Params::interleave, kInterleave)
          .Optional("ranks", &Params::ranks, kRanks)
          .Optional("strict", &Params::strict, kStrict)
          .Output("sparse_indices", &Params::sparse_indices,
                  {.shape = "T, K",
                   .doc = "places among the holder's keys, in the given order, then -1",
                   .dtypes = {DType::kInt32}})
          .OptionalOutput("counts", &Params::counts,
                          {.shape = "T", .doc = "how many there are", .dtypes = {DType::kInt32}})
          .RowDims({{"", 1}})
          .Build();
  return kContract;
}

const base::Contract& globalize_indices::Room::contract() {
  static const base::Contract kContract =
      base::ContractBuilder<Params>("globalize_indices",
                                    "Places among one holder's keys as positions of the sequence",
                                    kSource)
          .Input("indices", &Params::indices,
                 {.shape = "T, K",
                  .doc = "places among the holder's keys; a negative one is no entry",
                  .dtypes = {DType::kInt32}})
          .Required("rank", &Params::rank, "whose places they are; 0 to world - 1")
          .Required("world", &Params::world, kWorld)
          .Optional("interleave", &Params::interleave, kInterleave)
          .Optional("ranks", &Params::ranks, kRanks)
          .Optional("strict", &Params::strict, kStrict)
          .Output("sparse_indices", &Params::sparse_indices,
                  {.shape = "T, K",
                   .doc = "their positions; -1 for no entry, and for a position of 2^31 or more",
                   .dtypes = {DType::kInt32}})
          .RowDims({{"", 1}})
          .Build();
  return kContract;
}

}  // namespace tamis
