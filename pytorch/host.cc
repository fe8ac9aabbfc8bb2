#include "host.h"

#include <torch/csrc/stable/library.h>

#include <chrono>

#include "plans.h"

namespace tamis::torch_ops {
namespace {

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

}  // namespace

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

}  // namespace tamis::torch_ops
