// What a run brings, and what a renewal brings, beside what was planned.
#include <algorithm>
#include <functional>
#include <numeric>
#include <string>

#include "base/contract.h"
#include "base/dtype.h"
#include "base/errors.h"
#include "base/nowhere.h"
#include "base/views.h"

namespace tamis::base {
namespace {

// A view of a run beside the one that was planned with.
Status CheckBinding(const Field& field, const TensorView& planned, const TensorView& view,
                    bool strict) {
  if (view.absent() != planned.absent()) {
    return planned.absent() ? Invalid(field.name, "none, as when the plan was made", "a tensor")
                            : NullArgument(field.name);
  }
  if (view.absent()) return Status::Ok();
  TAMIS_RETURN_IF_ERROR(CheckView(field.name, view, true));
  if (view.dtype != planned.dtype) {
    return Invalid(field.name, "dtype " + std::string(Name(planned.dtype)) + " of the plan",
                   Name(view.dtype));
  }
  if (!SameShape(view, planned))
    return Invalid(field.name, "shape " + ShapeText(planned) + " of the plan", ShapeText(view));
  if (field.is_output() && Memory(view).bytes > 0 && !HasDistinctElements(view))
    return Invalid(field.name, "strides that keep elements apart", "overlapping ones");
  return strict && field.strict.contiguous ? CheckContiguous(field.name, view) : Status::Ok();
}

Status CheckList(const Field& field, const IntList& planned, const IntList& given) {
  if (given.absent() != planned.absent()) {
    return planned.absent() ? Invalid(field.name, "none, as when the plan was made", "a list")
                            : NullArgument(field.name);
  }
  if (given.size() == planned.size()) return Status::Ok();
  return Invalid(field.name, "as many entries as the plan has, " + std::to_string(planned.size()),
                 given.size());
}

}  // namespace

Status CheckOperator(const Contract& contract, const Bindings& bindings) {
  if (bindings.operator_name() != contract.name)
    return Invalid("bindings", "params of " + contract.name, bindings.operator_name());
  if (bindings.size() != contract.params_size)
    return Invalid("bindings", "params of this library", "a struct of another size");
  return Status::Ok();
}

Status Contract::Bind(const void* planned, const void* given, void* bound) const {
  const bool strict = At<const bool>(planned, *Find("strict"));
  for (const Field& field : fields) {
    if (!field.is_tensor()) continue;
    const TensorView& plan = tensor(planned, field);
    const TensorView& view = field.read_by_plan ? plan : tensor(given, field);
    if (!field.read_by_plan) TAMIS_RETURN_IF_ERROR(CheckBinding(field, plan, view, strict));
    tensor(bound, field) = view;
  }
  ForgetUnusedStrides(bound);
  TAMIS_RETURN_IF_ERROR(CheckOverlaps(bound));
  StandIn(bound);  // where there are no elements
  return Status::Ok();
}

Status Contract::CheckIntegers(const void* planned, const void* given) const {
  for (const Field& field : fields) {
    if (field.type == Type::kInts) {
      TAMIS_RETURN_IF_ERROR(
          CheckList(field, At<const IntList>(planned, field), At<const IntList>(given, field)));
    } else if (field.read_by_plan) {
      TAMIS_RETURN_IF_ERROR(
          CheckBinding(field, tensor(planned, field), tensor(given, field), false));
    }
  }
  return Status::Ok();
}

void Contract::TakeIntegers(void* planned, const void* given) const {
  for (const Field& field : fields) {
    if (field.type == Type::kInts) At<IntList>(planned, field) = At<const IntList>(given, field);
    if (field.read_by_plan) tensor(planned, field) = tensor(given, field);
  }
  ForgetUnusedStrides(planned);
}

namespace {

// The elements of an integer tensor in row-major order.
template <class Each>
void EachInteger(const TensorView& view, const Each& each) {
  const int64_t elems =
      std::accumulate(view.shape, view.shape + view.rank, int64_t{1}, std::multiplies<>());
  int64_t index[kMaxRank] = {};
  for (int64_t i = 0; i < elems; ++i) {
    int64_t offset = 0;
    for (int d = 0; d < view.rank; ++d) offset += index[d] * view.strides[d];
    each(view.dtype == DType::kInt64 ? static_cast<const int64_t*>(view.data)[offset]
                                     : int64_t{static_cast<const int32_t*>(view.data)[offset]});
    for (int d = view.rank - 1; d >= 0 && ++index[d] == view.shape[d]; --d) index[d] = 0;
  }
}

bool IsCopied(const Field& field, const void* params) {
  return field.read_by_plan && !field.page_table && !Contract::tensor(params, field).absent();
}

}  // namespace

void Contract::CopyIntegers(const void* params, std::vector<int64_t>* copies) const {
  copies->clear();
  for (const Field& field : fields) {
    if (!IsCopied(field, params)) continue;
    EachInteger(tensor(params, field), [&](int64_t value) { copies->push_back(value); });
  }
}

void Contract::ForgetIntegers(void* params) const {
  for (const Field& field : fields) {
    if (field.read_by_plan) tensor(params, field).data = nullptr;
  }
}

bool Contract::HasIntegers(const void* planned, const std::vector<int64_t>& copies,
                           const void* given) const {
  auto copy = copies.begin();
  bool same = true;
  for (const Field& field : fields) {
    if (field.type == Type::kInts) {
      const auto& a = At<const IntList>(planned, field);
      const auto& b = At<const IntList>(given, field);
      same = same && std::equal(a.begin(), a.end(), b.begin(), b.end());
    } else if (IsCopied(field, planned)) {
      EachInteger(tensor(given, field), [&](int64_t value) { same = value == *copy++ && same; });
    }
  }
  return same;
}

const std::string* Contract::StandIn(void* params) const {
  const std::string* lacking = nullptr;
  for (const Field& field : fields) {
    if (!field.is_tensor()) continue;
    TensorView& view = tensor(params, field);
    int64_t bytes = 0;
    if (view.absent() || view.data != nullptr || !Extent(view, &bytes)) continue;
    view.data = Nowhere();
    if (bytes > 0) lacking = &field.name;
  }
  return lacking;
}

void Contract::CopyTensors(const void* from, void* to) const {
  for (const Field& field : fields) {
    if (field.is_tensor()) tensor(to, field) = tensor(from, field);
  }
}

}  // namespace tamis::base
