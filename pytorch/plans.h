// The plans of a thread's calls, kept to be run again: the layers of a model differ in their
// tensors alone, its steps in lengths, page tables and slots too.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "arguments.h"
#include "operator.h"
#include "tamis/tamis.h"

namespace tamis::torch_ops {

struct DestroyPlan {
  void operator()(tamis_plan* plan) const { tamis_plan_destroy(plan); }
};

/// Tensors that a plan reads, and lists, of any operator.
inline constexpr size_t kMostIntegers = 8;

/// Throws where a call of the library has failed, with its line.
void Check(tamis_status status);

/// Runs a plan. Throws as `Check`.
void Run(const tamis_plan* plan, std::span<const tamis_named_tensor> tensors);

/// A plan, and what it was made of.
class KeptPlan {
 public:
  /// `key` is that of the arguments. Outputs that are not among them are inferred.
  KeptPlan(const Operator& op, const Arguments& arguments, const tamis_context* context,
           std::vector<unsigned char> key);

  bool IsFor(const Operator& op, const std::vector<unsigned char>& key) const {
    return op_ == &op && key_ == key;
  }
  bool IsOf(const Operator& op) const { return op_ == &op; }
  /// Gives the plan the call's integers. False: they do not fit it.
  bool Renew(const Arguments& arguments, bool* changed);
  /// The operator's output `i`; dtype 0: the call does not give it.
  const tamis_tensor& output(size_t i) const { return outputs_[i]; }
  void Run(std::span<const tamis_named_tensor> tensors) const {
    torch_ops::Run(plan_.get(), tensors);
  }

  uint64_t last_use = 0;

 private:
  const Operator* op_;
  std::vector<unsigned char> key_;
  std::vector<tamis_tensor> outputs_;
  std::unique_ptr<tamis_plan, DestroyPlan> plan_;
};

/// How the calling thread's calls came by their plans.
struct PlanCounts {
  int64_t made = 0;
  int64_t renewed = 0;
  int64_t reused = 0;  ///< As they were.
  int64_t kernel_nanoseconds = 0;
};
PlanCounts& CountsOfThisThread();

/// The plan of a call, renewed or new. The calling thread keeps a few of each operator.
KeptPlan& PlanFor(const Operator& op, const Arguments& arguments, const tamis_context* context,
                  int32_t threads);

}  // namespace tamis::torch_ops
