// A plan as the C interface makes, runs and renews it by name.
#pragma once

#include <vector>

#include "tests/support/c_call.h"

namespace tamis::test {

class CPlan {
 public:
  /// From the shapes of a call alone, and what plans read. Fails the test where that is refused.
  explicit CPlan(const CCall& call, const tamis_context* context = nullptr);
  ~CPlan() { tamis_plan_destroy(plan_); }
  CPlan(const CPlan&) = delete;
  CPlan& operator=(const CPlan&) = delete;

  tamis_status Run(const std::vector<tamis_named_tensor>& tensors) const;
  /// With the call's tensors and lists.
  tamis_status Renew(const CCall& call, int32_t* changed = nullptr);
  const tamis_plan* get() const { return plan_; }

 private:
  tamis_plan* plan_ = nullptr;
};

/// The output's elements after a run, gaps left out.
std::vector<double> ElementsOf(const TestCall& call, const std::string& output);

/// Equal, or both NaN.
bool Same(const std::vector<double>& a, const std::vector<double>& b);

}  // namespace tamis::test
