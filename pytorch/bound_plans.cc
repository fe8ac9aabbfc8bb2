#include "bound_plans.h"

#include <torch/csrc/stable/library.h>

#include <algorithm>
#include <cstring>
#include <iterator>
#include <memory>
#include <mutex>
#include <span>
#include <string>
#include <unordered_map>
#include <vector>

#include "arguments.h"
#include "host.h"
#include "operators.h"
#include "plans.h"
#include "tamis/tamis.h"

namespace tamis::torch_ops {
namespace {

using torch::stable::detail::to;

struct BoundPlan {
  std::unique_ptr<tamis_plan, DestroyPlan> plan;
  std::vector<const Argument*> inputs;
  std::vector<const Argument*> written;
};

// A number never comes again: one whose plan is gone is refused.
class BoundPlans {
 public:
  int64_t Add(std::shared_ptr<const BoundPlan> plan) {
    const std::lock_guard lock(mutex_);
    plans_.emplace(++last_, std::move(plan));
    return last_;
  }
  void Remove(int64_t number) {
    const std::lock_guard lock(mutex_);
    plans_.erase(number);
  }
  std::shared_ptr<const BoundPlan> Find(int64_t number) {
    const std::lock_guard lock(mutex_);
    const auto found = plans_.find(number);
    return found == plans_.end() ? nullptr : found->second;
  }

 private:
  std::mutex mutex_;
  std::unordered_map<int64_t, std::shared_ptr<const BoundPlan>> plans_;
  int64_t last_ = 0;
};

// Outlives the modules of an interpreter that ends.
BoundPlans& AllPlans() {
  static auto* const plans = new BoundPlans;
  return *plans;
}

const Argument* FindArgument(const Operator& op, const char* name) {
  const auto has_name = [&](const Argument& a) { return std::strcmp(a.name, name) == 0; };
  for (const std::span<const Argument> some : {op.arguments, op.outputs}) {
    const auto found = std::find_if(some.begin(), some.end(), has_name);
    if (found != some.end()) return &*found;
  }
  return nullptr;
}

class OwnedList {
 public:
  explicit OwnedList(StableIValue value) : handle_(to<StableListHandle>(value)) {}
  OwnedList(const OwnedList&) = delete;
  OwnedList& operator=(const OwnedList&) = delete;
  ~OwnedList() { (void)torch_delete_list(handle_); }

  size_t size() const {
    size_t size = 0;
    TORCH_ERROR_CODE_CHECK(torch_list_size(handle_, &size));
    return size;
  }
  OwnedTensor operator[](size_t i) const {
    StableIValue item = 0;
    TORCH_ERROR_CODE_CHECK(torch_list_get_item(handle_, i, &item));
    return OwnedTensor(to<AtenTensorHandle>(item));
  }

 private:
  StableListHandle handle_;
};

void Take(const char* which, const OwnedList& list, const std::vector<const Argument*>& whose,
          Arguments* arguments) {
  const size_t size = list.size();
  if (size != whose.size()) {
    std::string names;
    for (const Argument* argument : whose)
      names += std::string(names.empty() ? "" : ", ") + argument->name;
    ThrowInvalid(std::string(which) + ": expected " + std::to_string(whose.size()) + " tensors (" +
                 names + "), got " + std::to_string(size));
  }
  for (size_t i = 0; i < size; ++i) arguments->Add(*whose[i], list[i]);
}

}  // namespace

void RunPlan(StableIValue* stack) {
  const auto number = to<int64_t>(stack[0]);
  const OwnedList inputs(stack[1]);
  const OwnedList written(stack[2]);
  const std::shared_ptr<const BoundPlan> bound = AllPlans().Find(number);
  if (bound == nullptr)
    ThrowInvalid("plan: expected the number of a plan that lives, got " + std::to_string(number));
  Arguments arguments;
  Take("inputs", inputs, bound->inputs, &arguments);
  Take("written", written, bound->written, &arguments);
  Run(bound->plan.get(), arguments.tensors());
}

}  // namespace tamis::torch_ops

// For ctypes: see tamis.torch.Plan. The context of the calling thread, on PyTorch's threads.
extern "C" __attribute__((visibility("default"))) const tamis_context* tamis_torch_context() {
  try {
    return tamis::torch_ops::ThisHost().context.get();
  } catch (...) {
    return nullptr;
  }
}

// For ctypes. Takes the plan, and returns its number; 0 where there is no memory. `names`: of the
// tensors of a run in their order, the last `written` of which it writes.
extern "C" __attribute__((visibility("default"))) int64_t tamis_torch_bind_plan(
    tamis_plan* plan, const char* op_name, const char* const* names, int64_t count,
    int64_t written) {
  using namespace tamis::torch_ops;
  std::unique_ptr<tamis_plan, DestroyPlan> owned(plan);
  try {
    const auto* const op =
        std::find_if(std::begin(kOperators), std::end(kOperators),
                     [&](const Operator& one) { return std::strcmp(one.name, op_name) == 0; });
    auto bound = std::make_shared<BoundPlan>();
    for (int64_t i = 0; i < count; ++i)
      (i < count - written ? bound->inputs : bound->written).push_back(FindArgument(*op, names[i]));
    bound->plan = std::move(owned);
    return AllPlans().Add(std::move(bound));
  } catch (...) {
    return 0;
  }
}

extern "C" __attribute__((visibility("default"))) void tamis_torch_release_plan(int64_t number) {
  tamis::torch_ops::AllPlans().Remove(number);
}
