// The operators of the room that move integers about: a few thousand a token, no -m flags needed.
#include <cstdint>
#include <limits>

#include "ops/merge/cpu/kernel.h"

namespace tamis::merge_topk {

void MergeToken(const void* args, int64_t token, void* scratch, void*) {
  const auto& a = *static_cast<const KernelArgs*>(args);
  prim::Selector selector = prim::MakeSelector(static_cast<uint64_t*>(scratch), a.keep);
  for (int64_t part = 0; part < a.parts; ++part) {
    prim::OfferEntries(
        &selector, a.values + part * a.values_part_stride + token * a.values_token_stride,
        a.indices + part * a.indices_part_stride + token * a.indices_token_stride, a.entries);
  }
  const int64_t count = prim::Finish(&selector);
  int32_t* indices = a.out_indices + token * a.out_indices_stride;
  for (int64_t i = 0; i < a.sparse_count; ++i)
    indices[i] = i < count ? prim::IndexOfRank(selector.ranks[i]) : -1;
  if (a.out_values == nullptr) return;
  float* values = a.out_values + token * a.out_values_stride;
  for (int64_t i = 0; i < a.sparse_count; ++i) {
    values[i] =
        i < count ? prim::ScoreOfRank(selector.ranks[i]) : -std::numeric_limits<float>::infinity();
  }
}

}  // namespace tamis::merge_topk

namespace tamis::localize_indices {

void LocalizeToken(const void* args, int64_t token, void*, void*) {
  const auto& a = *static_cast<const KernelArgs*>(args);
  const int32_t* in = a.indices + token * a.indices_stride;
  int32_t* out = a.out_indices + token * a.out_indices_stride;
  int64_t count = 0;
  for (int64_t i = 0; i < a.entries && in[i] >= 0; ++i) {
    const int64_t run = in[i] / a.interleave;
    const int64_t among = run % a.world - a.rank;
    if (among < 0 || among >= a.ranks) continue;
    // Each product and their sum are at most in[i], so nothing overflows or leaves int32.
    out[count++] = static_cast<int32_t>(run / a.world * a.interleave * a.ranks +
                                        among * a.interleave + in[i] % a.interleave);
  }
  for (int64_t i = count; i < a.entries; ++i) out[i] = -1;
  if (a.counts != nullptr) a.counts[token * a.counts_stride] = static_cast<int32_t>(count);
}

}  // namespace tamis::localize_indices

namespace tamis::globalize_indices {

void GlobalizeToken(const void* args, int64_t token, void*, void*) {
  const auto& a = *static_cast<const KernelArgs*>(args);
  const int32_t* in = a.indices + token * a.indices_stride;
  int32_t* out = a.out_indices + token * a.out_indices_stride;
  for (int64_t i = 0; i < a.entries; ++i) {
    out[i] = -1;
    if (in[i] < 0) continue;
    const int64_t run = in[i] / a.interleave;
    const int64_t dealt = run / a.ranks * a.world + a.rank + run % a.ranks;
    if (dealt > INT32_MAX) continue;  // no later than its product with interleave
    const int64_t position = dealt * a.interleave + in[i] % a.interleave;
    if (position <= INT32_MAX) out[i] = static_cast<int32_t>(position);
  }
}

}  // namespace tamis::globalize_indices
