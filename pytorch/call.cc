#include "call.h"

#include <torch/csrc/stable/library.h>
#include <torch/csrc/stable/tensor.h>

#include <array>
#include <chrono>
#include <cstring>
#include <memory>
#include <new>
#include <stdexcept>
#include <string>
#include <vector>

#include "arguments.h"
#include "plans.h"
#include "tamis/tamis.h"

namespace tamis::torch_ops {
namespace {

using torch::stable::Tensor;

struct DestroyContext {
  void operator()(tamis_context* context) const { tamis_context_destroy(context); }
};

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
  const auto begin = std::chrono::steady_clock::now();
  // Fails only if a task throws, and those of Tamis do not.
  TORCH_ERROR_CODE_CHECK(torch_parallel_for(0, count, 1, some, &tasks));
  const std::chrono::nanoseconds spent = std::chrono::steady_clock::now() - begin;
  CountsOfThisThread().kernel_nanoseconds += spent.count();
}

struct Host {
  std::unique_ptr<tamis_context, DestroyContext> context;
  uint32_t threads = 0;
};

// A context may not change while a call uses it, hence one for every calling thread.
const Host& ThisHost() {
  thread_local Host host;
  auto& [context, threads] = host;
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
  return host;
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

// A call's tensors by name.
struct Tensors {
  explicit Tensors(const Arguments& arguments) {
    for (const auto& [argument, view] : arguments.tensors()) Add({argument->name, view});
  }
  void Add(const tamis_named_tensor& tensor) { all[count++] = tensor; }

  std::array<tamis_named_tensor, kMostArguments> all;
  size_t count = 0;
};

// Allocates what the call gives, in the schema's order, and adds views of it to `tensors`. An
// output that the call does not give is an empty tensor.
std::vector<Tensor> Allocate(const Operator& op, const KeptPlan& plan, Tensors* tensors) {
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
    tensors->Add(named);
  }
  return results;
}

KeptPlan& PlanFor(const Operator& op, const Arguments& arguments) {
  const Host& host = ThisHost();
  return PlanFor(op, arguments, host.context.get(), static_cast<int32_t>(host.threads));
}

}  // namespace

void Call(const Operator& op, StableIValue* stack) {
  const Arguments arguments(op, false, stack);
  const KeptPlan& plan = PlanFor(op, arguments);
  Tensors tensors(arguments);
  const std::vector<Tensor> results = Allocate(op, plan, &tensors);
  plan.Run({tensors.all.data(), tensors.count});
  for (size_t i = 0; i < results.size(); ++i) stack[i] = torch::stable::detail::from(results[i]);
}

void CallOut(const Operator& op, StableIValue* stack) {
  const Arguments arguments(op, true, stack);
  const Tensors tensors(arguments);
  PlanFor(op, arguments).Run({tensors.all.data(), tensors.count});
}

}  // namespace tamis::torch_ops
