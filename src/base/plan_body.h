// What stands behind a Plan.
#pragma once

#include <string>

#include "tamis/plan.hpp"

namespace tamis::internal {

class PlanBody {
 public:
  virtual ~PlanBody() = default;
  /// `workspace` is aligned and large enough.
  virtual Status Run(void* workspace) const = 0;
  virtual Cost CountCost() const = 0;

  Implementation implementation = Implementation::kCpu;
  Level level = Level::kScalar;
  int64_t workspace_bytes = 0;
  std::string explanation;
};

}  // namespace tamis::internal
