#include "prim/call/cache_slots.h"

#include <algorithm>
#include <numeric>
#include <string>

#include "base/errors.h"

namespace tamis::prim {

Status ReadSlot(const char* name, const TensorView& slots, int64_t batch, int64_t token,
                int64_t capacity, int64_t* slot) {
  const bool batched = slots.rank == 2;
  const int64_t offset =
      batched ? batch * slots.strides[0] + token * slots.strides[1] : token * slots.strides[0];
  const int64_t found = slots.dtype == DType::kInt32
                            ? static_cast<const int32_t*>(slots.data)[offset]
                            : static_cast<const int64_t*>(slots.data)[offset];
  if (found >= capacity) {
    const std::string at = (batched ? std::to_string(batch) + ", " : "") + std::to_string(token);
    return base::Invalid(std::string(name) + "[" + at + "]",
                         "a slot below " + std::to_string(capacity) + ", or a negative one", found);
  }
  *slot = std::max<int64_t>(found, -1);
  return Status::Ok();
}

void KeepLastOfEach(std::vector<int64_t>* slots, std::vector<size_t>* order) {
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
}

Status CacheSlots(const TensorView& cache_index, int64_t capacity, std::vector<int64_t>* slots,
                  std::vector<size_t>* order) {
  const bool batched = cache_index.rank == 2;
  const int64_t tokens = cache_index.shape[batched ? 1 : 0];
  slots->clear();
  if (tokens == 0) return Status::Ok();
  for (int64_t b = 0; b < (batched ? cache_index.shape[0] : 1); ++b) {
    for (int64_t t = 0; t < tokens; ++t) {
      TAMIS_RETURN_IF_ERROR(
          ReadSlot("cache_index", cache_index, b, t, capacity, &slots->emplace_back()));
    }
  }
  KeepLastOfEach(slots, order);
  return Status::Ok();
}

}  // namespace tamis::prim
