#include "prim/call/cache_slots.h"

#include <algorithm>
#include <numeric>
#include <string>

#include "base/errors.h"

namespace tamis::prim {
namespace {

int64_t SlotAt(const TensorView& view, int64_t offset) {
  return view.dtype == DType::kInt32 ? static_cast<const int32_t*>(view.data)[offset]
                                     : static_cast<const int64_t*>(view.data)[offset];
}

}  // namespace

Status CacheSlots(const TensorView& cache_index, int64_t capacity, std::vector<int64_t>* slots,
                  std::vector<size_t>* order) {
  const bool batched = cache_index.rank == 2;
  const int64_t batch = batched ? cache_index.shape[0] : 1;
  const int64_t tokens = cache_index.shape[batched ? 1 : 0];
  const int64_t stride = cache_index.strides[batched ? 1 : 0];
  slots->clear();
  if (tokens == 0) return Status::Ok();
  for (int64_t b = 0; b < batch; ++b) {
    for (int64_t t = 0; t < tokens; ++t) {
      const int64_t slot =
          SlotAt(cache_index, (batched ? b * cache_index.strides[0] : 0) + t * stride);
      if (slot >= capacity) {
        const std::string at = (batched ? std::to_string(b) + ", " : "") + std::to_string(t);
        return base::Invalid("cache_index[" + at + "]",
                             "a slot below " + std::to_string(capacity) + ", or a negative one",
                             slot);
      }
      slots->push_back(std::max<int64_t>(slot, -1));
    }
  }
  std::vector<size_t>& by_slot = *order;
  by_slot.resize(slots->size());
  std::iota(by_slot.begin(), by_slot.end(), size_t{0});
  std::sort(by_slot.begin(), by_slot.end(), [&](size_t a, size_t b) {
    return (*slots)[a] != (*slots)[b] ? (*slots)[a] < (*slots)[b] : a < b;
  });
  // From behind, so that a slot that has been dropped is not compared again.
  for (size_t i = by_slot.size(); i > 1; --i) {
    const int64_t last = (*slots)[by_slot[i - 1]];
    for (; i > 1 && (*slots)[by_slot[i - 2]] == last; --i) (*slots)[by_slot[i - 2]] = -1;
  }
  return Status::Ok();
}

}  // namespace tamis::prim
