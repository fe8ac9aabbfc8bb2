// What stands behind the opaque types, and the steps that the typed calls and those by name share.
#pragma once

#include <cstddef>
#include <cstdint>

#include "registry/call.h"
#include "tamis/tamis.h"
#include "tamis/tamis.hpp"

struct tamis_context {
  tamis::Context context;
};

struct tamis_plan {
  tamis::Plan plan;
  const tamis::base::Contract* contract;
};

namespace tamis::capi {

TensorView ViewOf(const tamis_tensor& tensor);

/// The tensors of one run of a plan. Allocates nothing unless it complains.
class RunTensors {
 public:
  explicit RunTensors(const tamis_plan& plan);
  ~RunTensors();
  RunTensors(const RunTensors&) = delete;
  RunTensors& operator=(const RunTensors&) = delete;

  /// Refuses names that are no tensor of the operator, and names given twice.
  Status Set(const char* name, const TensorView& view);
  Status Run(void* workspace, int64_t workspace_bytes, void* stream) const;

 private:
  static constexpr size_t kMostBytes = 8192;  // of a params struct

  const tamis_plan& plan_;
  uint64_t given_ = 0;  // bit i: field i
  alignas(std::max_align_t) char params_[kMostBytes];
};

/// Each sets one argument of the call from what C passed.
Status SetBool(registry::Call* call, std::string_view name, int64_t value);
Status SetInts(registry::Call* call, std::string_view name, const tamis_int_list& list);

/// Plans the filled call; `context` may be null.
Status MakePlan(const registry::Call& call, const tamis_context* context, tamis_plan** plan);

}  // namespace tamis::capi
