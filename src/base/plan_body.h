// What stands behind a Plan.
#pragma once

#include <string>

#include "tamis/plan.hpp"

namespace tamis::internal {

class PlanBody {
 public:
  virtual ~PlanBody() = default;
  /// `workspace` is aligned and large enough. Without bindings: on the tensors of the plan.
  virtual Status Run(const Bindings* bindings, void* workspace) const = 0;
  virtual Cost CountCost() const = 0;

  Implementation implementation = Implementation::kCpu;
  Level level = Level::kScalar;
  int64_t workspace_bytes = 0;
  std::string explanation;
};

}  // namespace tamis::internal
