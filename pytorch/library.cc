// libtamis_torch.so: loading it registers torch.ops.tamis.*, with kernels for CPU tensors.
#include <torch/csrc/stable/library.h>

#include <cstdint>
#include <iterator>
#include <utility>

#include "call.h"
#include "operators.h"

namespace {

using tamis::torch_ops::kOperators;

// PyTorch tells a kernel nothing of the operator that it serves: each has one of its own.
template <size_t kIndex>
void Kernel(StableIValue* stack, uint64_t /*arguments*/, uint64_t /*results*/) {
  tamis::torch_ops::Call(kOperators[kIndex], stack);
}

template <size_t... kIndices>
void Implement(torch::stable::detail::StableLibrary* library, std::index_sequence<kIndices...>) {
  (library->impl(kOperators[kIndices].name, Kernel<kIndices>), ...);
}

}  // namespace

STABLE_TORCH_LIBRARY(tamis, library) {
  for (const auto& op : kOperators) library.def(op.schema);
}

STABLE_TORCH_LIBRARY_IMPL(tamis, CPU, library) {
  Implement(&library, std::make_index_sequence<std::size(kOperators)>());
}
