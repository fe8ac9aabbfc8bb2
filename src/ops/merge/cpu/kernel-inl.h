// merge_attention_states, one level: an item is a run of rows (token, head).
//
// The parts of a row that are not empty are listed first, so that nothing of an empty one is read;
// their weights are computed on the lanes, normalised, and the outs added up in the parts' order.
#include "ops/merge/cpu/kernel.h"
#include "prim/blocks/elements-inl.h"

namespace tamis::TAMIS_LEVEL {
namespace {

namespace merge {

using tamis::merge_attention_states::KernelArgs;
using tamis::merge_attention_states::PaddedParts;

constexpr float kMinusInfinity = -__builtin_inff();
// The least positive normal float. No weight is smaller: exp() gives 0 far out, and 0 times the
// infinity that a part may hold would be NaN.
constexpr float kLeastWeight = 0x1p-126f;

/// The parts of a row that are not empty.
struct Parts {
  float* max;
  float* sum;
  float* weight;   // normalised
  int32_t* index;  // among all parts
  int64_t count;
};

inline void ListParts(const KernelArgs& a, int64_t token, int64_t head, Parts* parts) {
  parts->count = 0;
  for (int64_t r = 0; r < a.parts; ++r) {  // of no parts, there is no memory
    const float max = a.maxes[r * a.maxes_part_stride + token * a.maxes_token_stride + head];
    const float sum = a.sums[r * a.sums_part_stride + token * a.sums_token_stride + head];
    if (max == kMinusInfinity || sum <= 0.0f) continue;  // NaN is not empty
    parts->max[parts->count] = max;
    parts->sum[parts->count] = sum;
    parts->index[parts->count] = static_cast<int32_t>(r);
    ++parts->count;
  }
}

// Fills the weights; returns the merged max and sum.
inline void Weigh(const Parts& parts, float* merged_max, float* merged_sum) {
  float max = kMinusInfinity;
  for (int64_t i = 0; i < parts.count; ++i) {  // NaN stays
    max = max != max || max > parts.max[i] ? max : parts.max[i];
  }
  for (int64_t i = 0; i < parts.count; i += kLanes) {
    const int n = parts.count - i < kLanes ? static_cast<int>(parts.count - i) : kLanes;
    const V e = ExpNonPositive(Sub(LoadN(parts.max + i, n), Set(max)));
    StoreN(parts.weight + i, Mul(LoadN(parts.sum + i, n), e), n);
  }
  double sum = 0.0;  // float64 costs nothing here, and large sums do not overflow
  for (int64_t i = 0; i < parts.count; ++i) sum += static_cast<double>(parts.weight[i]);
  for (int64_t i = 0; i < parts.count; ++i) {
    const auto weight = static_cast<float>(static_cast<double>(parts.weight[i]) / sum);
    parts.weight[i] = weight < kLeastWeight ? kLeastWeight : weight;
  }
  *merged_max = max;
  *merged_sum = static_cast<float>(sum);
}

// kVectors vectors of columns from `c` on, or the first `n` columns of one, in the order of the
// parts; `outs` may be null where there are none.
template <class In, class Out, int kVectors, class InT, class OutT>
TAMIS_INLINE void MergeColumns(const KernelArgs& a, const Parts& parts, const InT* outs, int64_t c,
                               OutT* out, int n) {
  V sum[kVectors];
  for (int v = 0; v < kVectors; ++v) sum[v] = Zero();
  for (int64_t i = 0; i < parts.count; ++i) {
    const InT* from = outs + parts.index[i] * a.outs_part_stride + c;
    const V weight = Set(parts.weight[i]);
    for (int v = 0; v < kVectors; ++v) {
      const V x = n < kLanes ? In::LoadElementsN(from, n) : In::LoadElements(from + v * kLanes);
      sum[v] = i == 0 ? Mul(weight, x) : Fma(weight, x, sum[v]);  // 0 + -0 would be +0
    }
  }
  for (int v = 0; v < kVectors; ++v) {
    if (n < kLanes) {
      Out::StoreElementsN(out + c, sum[v], n);
    } else {
      Out::StoreElements(out + c + v * kLanes, sum[v]);
    }
  }
}

template <class In, class Out>
inline void MergeRow(const KernelArgs& a, const Parts& parts, int64_t token, int64_t head) {
  using InT = typename In::Stored;
  using OutT = typename Out::Stored;
  const InT* outs =
      static_cast<const InT*>(a.outs) + token * a.outs_token_stride + head * a.outs_head_stride;
  OutT* out = static_cast<OutT*>(a.out) + token * a.out_token_stride + head * a.out_head_stride;
  int64_t c = 0;
  for (; c + 4 * kLanes <= a.dim; c += 4 * kLanes)
    MergeColumns<In, Out, 4>(a, parts, outs, c, out, kLanes);
  for (; c < a.dim; c += kLanes) {
    const int n = a.dim - c < kLanes ? static_cast<int>(a.dim - c) : kLanes;
    MergeColumns<In, Out, 1>(a, parts, outs, c, out, n);
  }
}

template <class In>
inline void MergeRowOf(const KernelArgs& a, const Parts& parts, int64_t token, int64_t head) {
  if (a.out_float32) {
    MergeRow<In, F32>(a, parts, token, head);
  } else {
    MergeRow<In, In>(a, parts, token, head);
  }
}

}  // namespace merge
}  // namespace

void MergeAttentionStates(const void* args, int64_t item, void* scratch, void*) {
  using namespace merge;
  const auto& a = *static_cast<const KernelArgs*>(args);
  const int64_t padded = PaddedParts(a);
  float* floats = static_cast<float*>(scratch);
  Parts parts = {.max = floats,
                 .sum = floats + padded,
                 .weight = floats + 2 * padded,
                 .index = static_cast<int32_t*>(scratch) + 3 * padded,
                 .count = 0};
  const int64_t begin = item * a.rows_per_item;
  const int64_t end = a.rows - begin < a.rows_per_item ? a.rows : begin + a.rows_per_item;
  for (int64_t row = begin; row < end; ++row) {
    const int64_t token = row / a.heads;
    const int64_t head = row % a.heads;
    float max = 0.0f;
    float sum = 0.0f;
    ListParts(a, token, head, &parts);
    Weigh(parts, &max, &sum);
    if (a.max != nullptr) a.max[token * a.max_token_stride + head] = max;
    if (a.sum != nullptr) a.sum[token * a.sum_token_stride + head] = sum;
    WithElement(
        a.element, [&](auto e) __attribute__((always_inline)) {
          MergeRowOf<decltype(e)>(a, parts, token, head);
        });
  }
}

}  // namespace tamis::TAMIS_LEVEL
