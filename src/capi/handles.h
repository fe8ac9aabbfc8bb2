// What stands behind the opaque types, and the steps that the typed calls and those by name share.
#pragma once

#include "registry/call.h"
#include "tamis/tamis.h"
#include "tamis/tamis.hpp"

struct tamis_context {
  tamis::Context context;
};

struct tamis_plan {
  tamis::Plan plan;
};

namespace tamis::capi {

TensorView ViewOf(const tamis_tensor& tensor);

/// Each sets one argument of the call from what C passed.
Status SetBool(registry::Call* call, std::string_view name, int64_t value);
Status SetInts(registry::Call* call, std::string_view name, const tamis_int_list& list);

/// Plans the filled call; `context` may be null.
Status MakePlan(const registry::Call& call, const tamis_context* context, tamis_plan** plan);

}  // namespace tamis::capi
