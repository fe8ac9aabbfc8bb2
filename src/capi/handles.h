// What stands behind the opaque types, and the steps that the typed calls and those by name share.
#pragma once

#include <cstddef>
#include <cstdint>
#include <mutex>
#include <string>

#include "registry/call.h"
#include "tamis/tamis.h"
#include "tamis/tamis.hpp"

struct tamis_context {
  tamis::Context context;
};

struct tamis_plan {
  tamis::Plan plan;
  const tamis::base::Contract* contract;
  mutable std::mutex explaining = {};
  mutable std::string explanation = {};  ///< Made when somebody asks.
};

namespace tamis::capi {

TensorView ViewOf(const tamis_tensor& tensor);

/// What one run of a plan, or its renewal, brings. Allocates nothing but copies of lists, unless it
/// complains.
class PlanArguments {
 public:
  explicit PlanArguments(const base::Contract& contract);
  ~PlanArguments();
  PlanArguments(const PlanArguments&) = delete;
  PlanArguments& operator=(const PlanArguments&) = delete;

  /// Refuses names that are no tensor of the operator, and names given twice.
  Status Set(const char* name, const TensorView& view);
  /// The same of lists of integers.
  Status Set(const char* name, const tamis_int_list& list);
  Bindings bindings() const { return {params_, contract_.name.c_str(), contract_.params_size}; }

 private:
  static constexpr size_t kMostBytes = 8192;  // of a params struct

  // The field of that name, if it is of the type and was not given before.
  Status Take(const char* name, base::Type type, const char* kind, const base::Field** field);

  const base::Contract& contract_;
  uint64_t given_ = 0;  // bit i: field i
  alignas(std::max_align_t) char params_[kMostBytes];
};

/// Each sets one argument of the call from what C passed.
Status SetBool(registry::Call* call, std::string_view name, int64_t value);
Status SetInts(registry::Call* call, std::string_view name, const tamis_int_list& list);

/// What explains the plan is made anew, too.
Status Renew(tamis_plan* plan, const PlanArguments& integers, int32_t* changed);

/// Plans the filled call; `context` may be null.
Status MakePlan(const registry::Call& call, const tamis_context* context, tamis_plan** plan);

}  // namespace tamis::capi
