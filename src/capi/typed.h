// The typed calls: one walk over the members of a params struct, for every operator.
#pragma once

#include <cstddef>
#include <span>

#include "base/contract.h"
#include "tamis/tamis.h"

namespace tamis::capi {

struct Member {
  const char* name;
  base::Type type;
  size_t offset;
};

/// A params struct of tamis_ops.h. Its members are the contract's fields, in their order.
struct Typed {
  const char* operator_name;
  std::span<const Member> members;
  size_t size;
};

/// `params` is the caller's struct, of which the first `struct_size` bytes exist.
tamis_status InitParams(const Typed& typed, void* params, size_t struct_size);
tamis_status PlanTyped(const Typed& typed, const tamis_context* context, const void* params,
                       tamis_plan** plan);
tamis_status RunTyped(const Typed& typed, const tamis_plan* plan, const void* params,
                      void* workspace, int64_t workspace_bytes, void* stream);

tamis_status RenewTyped(const Typed& typed, tamis_plan* plan, const void* params);

/// That the generated struct and the contract say the same; an error says what to do.
Status CheckFresh(const Typed& typed, const base::Contract& contract);

/// All generated structs.
std::span<const Typed> AllTyped();

}  // namespace tamis::capi
