#include "base/views.h"

#include <algorithm>
#include <utility>

#include "base/checked.h"
#include "base/dtype.h"
#include "base/errors.h"

namespace tamis::base {
namespace {

// No processor has more for a program: what lies in it may be multiplied by an element's size, or
// stepped over once more, and still be counted.
constexpr int64_t kAddressSpace = int64_t{1} << 56;

// Each dimension steps over exactly the ones inside.
bool IsContiguous(const TensorView& view) {
  int64_t stride = 1;
  bool contiguous = true;
  for (int i = view.rank - 1; i >= 0; --i) {
    contiguous = contiguous && (view.shape[i] <= 1 || view.strides[i] == stride);
    stride = WrappingMul(stride, view.shape[i]);  // of elements that exist: it fits
    if (view.shape[i] == 0) return true;
  }
  return contiguous;
}

}  // namespace

bool Extent(const TensorView& view, int64_t* bytes) {
  *bytes = 0;
  if (std::find(view.shape, view.shape + view.rank, 0) != view.shape + view.rank) return true;
  int64_t last = 0;
  for (int i = 0; i < view.rank; ++i) {
    int64_t step = 0;
    if (!CheckedMul(view.shape[i] - 1, view.strides[i], &step) || !CheckedAdd(last, step, &last))
      return false;
  }
  int64_t elems = 0;
  return CheckedAdd(last, 1, &elems) && CheckedMul(elems, ItemSize(view.dtype), bytes);
}

bool HasDistinctElements(const TensorView& view) {
  int order[kMaxRank];
  int count = 0;
  for (int i = 0; i < view.rank; ++i) {
    if (view.shape[i] > 1) order[count++] = i;
  }
  for (int i = 1; i < count; ++i) {
    for (int j = i; j > 0 && view.strides[order[j]] < view.strides[order[j - 1]]; --j)
      std::swap(order[j], order[j - 1]);
  }
  int64_t inner = 1;
  for (int i = 0; i < count; ++i) {
    if (view.strides[order[i]] < inner) return false;
    inner = view.strides[order[i]] * (view.shape[order[i]] - 1) + inner;
  }
  return true;
}

Memory::Memory(const TensorView& view) {
  int64_t extent = 0;
  if (view.data == nullptr || !Extent(view, &extent) || extent == 0) return;
  bytes = static_cast<uintptr_t>(extent);
  begin = reinterpret_cast<uintptr_t>(view.data);
  int64_t filled = ItemSize(view.dtype);
  for (int i = 0; i < view.rank; ++i) {
    if (!CheckedMul(filled, view.shape[i], &filled)) return;
  }
  without_gaps = filled == extent && HasDistinctElements(view);
}

bool Overlap(const Memory& a, const Memory& b) {
  if (a.bytes == 0 || b.bytes == 0) return false;
  return a.begin == b.begin || a.Covers(b) || b.Covers(a);
}

bool SameShape(const TensorView& a, const TensorView& b) {
  return std::equal(a.shape, a.shape + a.rank, b.shape, b.shape + b.rank);
}

std::string ShapeText(const std::vector<int64_t>& shape) {
  std::string text = "[";
  for (size_t i = 0; i < shape.size(); ++i) text += (i == 0 ? "" : ", ") + std::to_string(shape[i]);
  return text + "]";
}

std::string ShapeText(const TensorView& view) {
  return ShapeText(std::vector<int64_t>(view.shape, view.shape + std::max(view.rank, 0)));
}

std::string StridesText(const TensorView& view) {
  return ShapeText(std::vector<int64_t>(view.strides, view.strides + view.rank));
}

Status CheckContiguous(std::string_view name, const TensorView& view) {
  if (IsContiguous(view)) return Status::Ok();
  return Invalid(name, "(strict) a contiguous tensor",
                 "shape " + ShapeText(view) + " and strides " + StridesText(view));
}

Status CheckView(std::string_view name, const TensorView& view, bool needs_memory) {
  if (ItemSize(view.dtype) == 0) return Invalid(name, "a dtype", static_cast<int64_t>(view.dtype));
  if (view.device != DeviceType::kCpu)
    return Unsupported(name, "tensors in CPU memory", "another device");
  if (view.rank < 0 || view.rank > kMaxRank) return Invalid(name, "a rank of 0 to 8", view.rank);
  int64_t elems = 1;
  bool empty = false;
  for (int i = 0; i < view.rank; ++i) {
    if (view.shape[i] < 0) return Invalid(name, "sizes of at least 0", ShapeText(view));
    empty = empty || view.shape[i] == 0;
  }
  for (int i = 0; i < view.rank && !empty; ++i) {
    if (!CheckedMul(elems, view.shape[i], &elems))
      return Invalid(name, "fewer than 2^63 elements", ShapeText(view));
    if (view.shape[i] > 1 && view.strides[i] < 0)
      return Invalid(name, "strides of at least 0", view.strides[i]);
  }
  if (empty) return Status::Ok();
  if (view.data == nullptr && needs_memory) return NoData(name);
  if (view.rank > 0 && view.shape[view.rank - 1] > 1 && view.strides[view.rank - 1] != 1) {
    return Invalid(name, "a last dimension of stride 1", view.strides[view.rank - 1]);
  }
  int64_t bytes = 0;
  if (!Extent(view, &bytes) || bytes > kAddressSpace) {
    return Invalid(name, "an extent of at most 2^56 bytes",
                   "shape " + ShapeText(view) + " and strides " + StridesText(view));
  }
  if (reinterpret_cast<uintptr_t>(view.data) % static_cast<uintptr_t>(ItemSize(view.dtype)) != 0) {
    return Invalid(name, "data aligned to its element size", "a misaligned pointer");
  }
  if (bytes > 0 &&
      reinterpret_cast<uintptr_t>(view.data) > UINTPTR_MAX - static_cast<uintptr_t>(bytes)) {
    return Invalid(name, "an extent within the address space", ShapeText(view));
  }
  return Status::Ok();
}

}  // namespace tamis::base
