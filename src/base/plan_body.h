// What stands behind a Plan.
#pragma once

#include <string>
#include <string_view>

#include "tamis/plan.hpp"

namespace tamis::internal {

class PlanBody {
 public:
  virtual ~PlanBody() = default;
  /// `workspace` is aligned and large enough. Without bindings: on the tensors of the plan.
  virtual Status Run(const Bindings* bindings, void* workspace) const = 0;
  /// See Plan::renew.
  virtual Status Renew(const Bindings& integers, bool* changed) = 0;
  /// The tensor of that name as the plan knows it; null: its operator has none.
  virtual const TensorView* Find(std::string_view name) const = 0;
  virtual Cost CountCost() const = 0;
  /// See Plan::explanation.
  virtual std::string Explain() const = 0;

  Implementation implementation = Implementation::kCpu;
  Level level = Level::kScalar;
  int64_t workspace_bytes = 0;
};

}  // namespace tamis::internal
