// libtamis_torch.so: loading it registers torch.ops.tamis.*, with kernels for CPU tensors.
#include <torch/csrc/stable/library.h>

#include <algorithm>
#include <cstdint>
#include <iterator>
#include <utility>

#include "bound_plans.h"
#include "call.h"
#include "operators.h"
#include "plans.h"

namespace {

using tamis::torch_ops::kOperators;

constexpr bool HasFewArguments(const tamis::torch_ops::Operator& op) {
  size_t strings = 0;
  for (const auto& argument : op.arguments)
    strings += argument.kind == tamis::torch_ops::Kind::kString;
  return strings <= tamis::torch_ops::kMostStrings &&
         op.arguments.size() + op.outputs.size() <= tamis::torch_ops::kMostArguments;
}
static_assert(std::all_of(std::begin(kOperators), std::end(kOperators), HasFewArguments));

constexpr bool HasFewIntegers(const tamis::torch_ops::Operator& op) {
  size_t count = 0;
  for (const auto& argument : op.arguments) {
    count += argument.read_by_plan || argument.kind == tamis::torch_ops::Kind::kInts ||
             argument.kind == tamis::torch_ops::Kind::kOptionalInts;
  }
  return count <= tamis::torch_ops::kMostIntegers;
}
static_assert(std::all_of(std::begin(kOperators), std::end(kOperators), HasFewIntegers));

// PyTorch tells a kernel nothing of the operator that it serves: each has one of its own.
template <size_t kIndex>
void Kernel(StableIValue* stack, uint64_t /*arguments*/, uint64_t /*results*/) {
  tamis::torch_ops::Call(kOperators[kIndex], stack);
}

template <size_t kIndex>
void KernelOut(StableIValue* stack, uint64_t /*arguments*/, uint64_t /*results*/) {
  tamis::torch_ops::CallOut(kOperators[kIndex], stack);
}

void KernelOfRunPlan(StableIValue* stack, uint64_t /*arguments*/, uint64_t /*results*/) {
  tamis::torch_ops::RunPlan(stack);
}

template <size_t kIndex>
void ImplementOne(torch::stable::detail::StableLibrary* library) {
  constexpr const auto& kOperator = kOperators[kIndex];
  library->impl(kOperator.name, Kernel<kIndex>);
  if constexpr (!kOperator.outputs.empty()) library->impl(kOperator.out_name, KernelOut<kIndex>);
}

template <size_t... kIndices>
void Implement(torch::stable::detail::StableLibrary* library, std::index_sequence<kIndices...>) {
  (ImplementOne<kIndices>(library), ...);
}

}  // namespace

STABLE_TORCH_LIBRARY(tamis, library) {
  for (const auto& op : kOperators) {
    library.def(op.schema);
    if (!op.outputs.empty()) library.def(op.out_schema);
  }
  library.def(tamis::torch_ops::kRunPlanSchema);
}

STABLE_TORCH_LIBRARY_IMPL(tamis, CPU, library) {
  Implement(&library, std::make_index_sequence<std::size(kOperators)>());
  library.impl(tamis::torch_ops::kRunPlanName, KernelOfRunPlan);
}
