#include "base/binder.h"

#include <algorithm>
#include <type_traits>

#include "base/checked.h"
#include "base/dtype.h"
#include "base/nowhere.h"

namespace tamis::base {
namespace {

constexpr size_t kMostTensors = 32;

}  // namespace

Binder::Binder(const Contract& contract, const void* planned) : contract_(&contract) {
  const bool strict = Contract::At<const bool>(planned, *contract.Find("strict"));
  for (const Field& field : contract.fields) {
    if (!field.is_tensor()) continue;
    const TensorView& view = Contract::tensor(planned, field);
    Planned& tensor = tensors_.emplace_back();
    tensor.offset = static_cast<uint32_t>(field.offset);
    tensor.dtype = view.dtype;
    tensor.rank = static_cast<int8_t>(view.rank);
    tensor.read_by_plan = field.read_by_plan;
    tensor.output = field.is_output();
    tensor.contiguous = tensor.output || (strict && field.strict.contiguous);
    tensor.empty = std::find(view.shape, view.shape + view.rank, 0) != view.shape + view.rank;
    std::copy_n(view.shape, kMaxRank, tensor.shape);
  }
}

Status Binder::Bind(const void* planned, const void* given, void* bound) const {
  return FitAll(planned, given, bound) ? Status::Ok() : contract_->Bind(planned, given, bound);
}

// False where the view is none that the plan takes, or one that needs a longer look: an output with
// gaps between its rows.
bool Binder::Fits(const Planned& planned, const TensorView& view, TensorView* bound,
                  Extent* extent) {
  if (view.dtype != planned.dtype) return false;
  if (view.absent()) return true;
  if (view.rank != planned.rank || view.device != DeviceType::kCpu) return false;
  *bound = view;
  int64_t last = 0;   // element
  int64_t dense = 1;  // the stride that leaves no gap
  for (int i = planned.rank - 1; i >= 0; --i) {
    const int64_t size = view.shape[i];
    const int64_t stride = view.strides[i];
    if (size != planned.shape[i]) return false;
    if (size <= 1 || planned.empty) {
      bound->strides[i] = 0;
      continue;
    }
    if (stride < 0 || (i == planned.rank - 1 && stride != 1)) return false;
    if (planned.contiguous && stride != dense) return false;
    int64_t step = 0;
    if (!CheckedMul(size - 1, stride, &step) || !CheckedAdd(last, step, &last)) return false;
    dense *= size;
  }
  if (planned.empty) {
    if (view.data == nullptr) bound->data = Nowhere();
    return true;
  }
  constexpr int64_t kMostElems = int64_t{1} << 52;
  const auto begin = reinterpret_cast<uintptr_t>(view.data);
  const auto item = static_cast<uintptr_t>(ItemSize(view.dtype));
  if (begin == 0 || begin % item != 0 || last >= kMostElems) return false;
  const uintptr_t bytes = (static_cast<uintptr_t>(last) + 1) * item;
  if (begin > UINTPTR_MAX - bytes) return false;
  *extent = {begin, begin + bytes};
  return true;
}

bool Binder::FitAll(const void* planned, const void* given, void* bound) const {
  const auto at = [](auto* params, const Planned& tensor) {
    using Byte = std::conditional_t<std::is_const_v<std::remove_pointer_t<decltype(params)>>,
                                    const char, char>;
    using View = std::conditional_t<std::is_const_v<Byte>, const TensorView, TensorView>;
    return reinterpret_cast<View*>(static_cast<Byte*>(params) + tensor.offset);
  };
  if (tensors_.size() > kMostTensors) return false;
  Extent extents[kMostTensors] = {};
  for (size_t i = 0; i < tensors_.size(); ++i) {
    const Planned& tensor = tensors_[i];
    TensorView* const view = at(bound, tensor);
    if (tensor.read_by_plan) {
      *view = *at(planned, tensor);
      if (!view->absent()) view->data = Nowhere();
    } else if (!Fits(tensor, *at(given, tensor), view, &extents[i])) {
      return false;
    }
  }
  for (size_t i = 0; i < tensors_.size(); ++i) {
    if (!tensors_[i].output) continue;
    for (size_t k = 0; k < tensors_.size(); ++k) {
      if (k != i && extents[i].begin < extents[k].end && extents[k].begin < extents[i].end)
        return false;  // near each other: whether they share an element, the contract finds out
    }
  }
  return true;
}

}  // namespace tamis::base
