#include "call.h"

#include <torch/csrc/stable/library.h>
#include <torch/csrc/stable/tensor.h>

#include <array>
#include <cstring>
#include <memory>
#include <new>
#include <stdexcept>
#include <string>
#include <vector>

#include "arguments.h"
#include "tamis/tamis.h"

namespace tamis::torch_ops {
namespace {

using torch::stable::Tensor;

struct DestroyPlan {
  void operator()(tamis_plan* plan) const { tamis_plan_destroy(plan); }
};
struct DestroyContext {
  void operator()(tamis_context* context) const { tamis_context_destroy(context); }
};

void Check(tamis_status status) {
  if (status == TAMIS_OK) return;
  const std::string line = tamis_last_error();
  if (status == TAMIS_NULL_ARGUMENT || status == TAMIS_INVALID_ARGUMENT) ThrowInvalid(line);
  throw std::runtime_error(line);
}

// --- threads ----------------------------------------------------------------------------------

struct Tasks {
  tamis_task task;
  void* argument;
};

// tamis_executor over at::parallel_for: one pool of threads in the process, PyTorch's.
void RunOnTorchThreads(void* /*state*/, int32_t count, tamis_task task, void* argument) {
  Tasks tasks = {task, argument};
  const auto some = [](int64_t begin, int64_t end, void* context) {
    const auto* all = static_cast<const Tasks*>(context);
    for (int64_t i = begin; i < end; ++i) all->task(all->argument, static_cast<int32_t>(i));
  };
  // Fails only if a task throws, and those of Tamis do not.
  TORCH_ERROR_CODE_CHECK(torch_parallel_for(0, count, 1, some, &tasks));
}

// A context may not change while a call uses it, hence one for every calling thread.
const tamis_context* Context() {
  thread_local std::unique_ptr<tamis_context, DestroyContext> context;
  thread_local uint32_t threads = 0;
  uint32_t wanted = 1;
  TORCH_ERROR_CODE_CHECK(torch_get_num_threads(&wanted));
  if (context == nullptr) {
    tamis_context* made = nullptr;
    Check(tamis_context_create(&made));
    context.reset(made);
    Check(tamis_context_set_executor(made, RunOnTorchThreads, nullptr));
  }
  if (threads != wanted) {
    Check(tamis_context_set_threads(context.get(), static_cast<int32_t>(wanted)));
    threads = wanted;
  }
  return context.get();
}

// --- results ----------------------------------------------------------------------------------

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

// Allocates what the call gives, in the schema's order, and adds views of it to `tensors`. An
// output that the call does not ask for is an empty tensor.
std::vector<Tensor> Allocate(const Operator& op, const Arguments& arguments,
                             std::vector<tamis_named_tensor>* tensors) {
  constexpr int64_t kMost = 8;
  tamis_output outputs[kMost];
  int64_t count = 0;
  Check(tamis_outputs_by_name(
      op.name, arguments.tensors().data(), static_cast<int64_t>(arguments.tensors().size()),
      arguments.attributes().data(), static_cast<int64_t>(arguments.attributes().size()), outputs,
      kMost, &count));
  std::vector<Tensor> results;
  results.reserve(op.result_count);
  for (size_t i = 0; i < op.result_count; ++i) {
    tamis_named_tensor named = {op.results[i], {}};
    const tamis_output* output = nullptr;
    for (int64_t o = 0; o < count; ++o) {
      if (std::strcmp(outputs[o].name, op.results[i]) == 0) output = &outputs[o];
    }
    if (output == nullptr) {
      const int64_t none = 0;
      results.push_back(Empty(TAMIS_FLOAT32, 1, &none, named.tensor.strides));
      continue;
    }
    named.tensor.dtype = output->dtype;
    named.tensor.rank = output->rank;
    std::memcpy(named.tensor.shape, output->shape, sizeof(output->shape));
    results.push_back(Empty(output->dtype, output->rank, output->shape, named.tensor.strides));
    TORCH_ERROR_CODE_CHECK(aoti_torch_get_data_ptr(results.back().get(), &named.tensor.data));
    tensors->push_back(named);
  }
  return results;
}

}  // namespace

void Call(const Operator& op, StableIValue* stack) {
  const Arguments arguments(op, stack);
  std::vector<tamis_named_tensor> tensors = arguments.tensors();
  const std::vector<Tensor> results = Allocate(op, arguments, &tensors);
  tamis_plan* made = nullptr;
  Check(tamis_plan_by_name(Context(), op.name, tensors.data(), static_cast<int64_t>(tensors.size()),
                           arguments.attributes().data(),
                           static_cast<int64_t>(arguments.attributes().size()), &made));
  const std::unique_ptr<tamis_plan, DestroyPlan> plan(made);
  Check(tamis_plan_run(plan.get(), nullptr, 0, nullptr));
  for (size_t i = 0; i < results.size(); ++i) stack[i] = torch::stable::detail::from(results[i]);
}

}  // namespace tamis::torch_ops
