#include "call.h"

#include <torch/csrc/stable/library.h>
#include <torch/csrc/stable/tensor.h>

#include <array>
#include <new>
#include <vector>

#include "arguments.h"
#include "host.h"
#include "plans.h"
#include "tamis/tamis.h"

namespace tamis::torch_ops {
namespace {

using torch::stable::Tensor;

Tensor Empty(tamis_dtype dtype, int32_t rank, const int64_t* shape, int64_t* strides) {
  int64_t stride = 1;
  for (int32_t d = rank - 1; d >= 0; --d) {
    strides[d] = stride;
    if (shape[d] > 0 && __builtin_mul_overflow(stride, shape[d], &stride)) throw std::bad_alloc();
  }
  AtenTensorHandle made = nullptr;
  TORCH_ERROR_CODE_CHECK(aoti_torch_empty_strided(rank, shape, strides, TorchDType(dtype),
                                                  aoti_torch_device_type_cpu(), 0, &made));
  return Tensor(made);
}

// Allocates what the call gives, in the schema's order, and adds it to `arguments`. An
// output that the call does not give is an empty tensor.
std::vector<Tensor> Allocate(const Operator& op, const KeptPlan& plan, Arguments* arguments) {
  std::vector<Tensor> results;
  results.reserve(op.outputs.size());
  for (size_t i = 0; i < op.outputs.size(); ++i) {
    tamis_named_tensor named = {op.outputs[i].name, plan.output(i)};
    tamis_tensor& view = named.tensor;
    if (view.dtype == TAMIS_DTYPE_NONE) {
      const int64_t none = 0;
      results.push_back(Empty(TAMIS_FLOAT32, 1, &none, view.strides));
      continue;
    }
    results.push_back(Empty(view.dtype, view.rank, view.shape, view.strides));
    TORCH_ERROR_CODE_CHECK(aoti_torch_get_data_ptr(results.back().get(), &view.data));
    arguments->AddOutput(named);
  }
  return results;
}

KeptPlan& PlanFor(const Operator& op, const Arguments& arguments) {
  const Host& host = ThisHost();
  return PlanFor(op, arguments, host.context.get(), static_cast<int32_t>(host.threads));
}

}  // namespace

void Call(const Operator& op, StableIValue* stack) {
  Arguments arguments(op, false, stack);
  const KeptPlan& plan = PlanFor(op, arguments);
  const std::vector<Tensor> results = Allocate(op, plan, &arguments);
  plan.Run(arguments.tensors());
  for (size_t i = 0; i < results.size(); ++i) stack[i] = torch::stable::detail::from(results[i]);
}

void CallOut(const Operator& op, StableIValue* stack) {
  const Arguments arguments(op, true, stack);
  PlanFor(op, arguments).Run(arguments.tensors());
}

}  // namespace tamis::torch_ops
