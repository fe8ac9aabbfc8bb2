// Selection of the k best of a row of scores: higher first, equal scores (-0 equals +0) by lower
// index, NaN last.
#pragma once

#include <stdint.h>

namespace tamis::TAMIS_LEVEL {
namespace {

// Larger is better, and no two are equal: the score's order in the upper half, the index reversed
// in the lower.
inline uint64_t RankOf(float score, uint32_t index) {
  const uint32_t bits = __builtin_bit_cast(uint32_t, score + 0.0f);  // -0 becomes +0
  const uint32_t order = score != score ? 0 : (bits >> 31) != 0 ? ~bits : bits | 0x80000000u;
  return (static_cast<uint64_t>(order) << 32) | (0xffffffffu - index);
}

// Restores the heap (smallest rank on top) below `at`.
inline void SiftDown(uint64_t* heap, int64_t size, int64_t at, uint64_t rank) {
  for (;;) {
    int64_t child = 2 * at + 1;
    if (child >= size) break;
    if (child + 1 < size && heap[child + 1] < heap[child]) ++child;
    if (rank <= heap[child]) break;
    heap[at] = heap[child];
    at = child;
  }
  heap[at] = rank;
}

// Sorted ranks in registers: a new one goes to its place by a minimum and a maximum for each
// vector, without a branch. By samples a heap of 16 was half of selecting blocks: its branches go
// either way.
template <int kVectors>
inline void SelectShort(const float* scores, int64_t count, int64_t k, int32_t* indices) {
  R sorted[kVectors];
  uint64_t ranks[kVectors * kRanks];
  const auto store = [&]() __attribute__((always_inline)) {
    for (int v = 0; v < kVectors; ++v) StoreRanks(ranks + v * kRanks, sorted[v]);
  };
  for (int v = 0; v < kVectors; ++v) sorted[v] = SetRank(0);
  constexpr int64_t kStep = 16;
  for (int64_t begin = 0; begin < count; begin += kStep) {
    const int64_t end = begin + kStep < count ? begin + kStep : count;
    if (begin >= kVectors * kRanks) {  // does one of these beat the last place?
      store();
      const uint64_t last = ranks[k - 1] | 0xffffffffu;
      bool any = false;
      for (int64_t j = begin; j < end; ++j) any |= RankOf(scores[j], 0) > last;
      if (!any) continue;
    }
    for (int64_t j = begin; j < end; ++j) {
      const R rank = SetRank(RankOf(scores[j], static_cast<uint32_t>(j)));
      R before = SetRank(~uint64_t{0});
      for (int v = 0; v < kVectors; ++v) {
        const R shifted = ShiftRanks(sorted[v], before);
        before = sorted[v];
        sorted[v] = MaxRanks(MinRanks(rank, shifted), sorted[v]);
      }
    }
  }
  store();
  for (int64_t j = 0; j < k && j < count; ++j)
    indices[j] = static_cast<int32_t>(0xffffffffu - static_cast<uint32_t>(ranks[j]));
  for (int64_t j = count; j < k; ++j) indices[j] = -1;
}

// Writes the indices of the `k` best of `count` scores, best first, -1 past the last. `heap` holds
// min(k, count): once it is full, most scores cost one comparison.
inline void SelectTopK(const float* scores, int64_t count, int64_t k, uint64_t* heap,
                       int32_t* indices) {
  if (k > 0 && k <= 16) return SelectShort<16 / kRanks>(scores, count, k, indices);
  if (k > 0 && k <= 32) return SelectShort<32 / kRanks>(scores, count, k, indices);
  const int64_t size = k < count ? k : count;
  for (int64_t j = 0; j < size; ++j) heap[j] = RankOf(scores[j], static_cast<uint32_t>(j));
  for (int64_t at = size / 2 - 1; at >= 0; --at) SiftDown(heap, size, at, heap[at]);
  for (int64_t j = size; j < count && size > 0; ++j) {
    const uint64_t rank = RankOf(scores[j], static_cast<uint32_t>(j));
    if (rank > heap[0]) SiftDown(heap, size, 0, rank);
  }
  for (int64_t left = size; left > 0; --left) {  // the worst leaves first and takes the last place
    indices[left - 1] = static_cast<int32_t>(0xffffffffu - static_cast<uint32_t>(heap[0]));
    SiftDown(heap, left - 1, 0, heap[left - 1]);
  }
  for (int64_t j = size; j < k; ++j) indices[j] = -1;
}

}  // namespace
}  // namespace tamis::TAMIS_LEVEL
