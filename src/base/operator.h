// Operator: a room as the rest of the house sees it.
#pragma once

#include <vector>

#include "base/catalogue.h"
#include "base/contract.h"
#include "base/golden.h"
#include "tamis/plan.hpp"

namespace tamis::base {

/// `params` points to the params struct that the contract describes.
struct Operator {
  const char* folder = "";  ///< Of src/ops.
  const Contract* contract = nullptr;
  Result<Plan> (*plan)(const void* params, const Context& context) = nullptr;
  /// Checks the inputs and finds every dimension of the outputs, which may be absent still.
  Status (*infer)(const void* params, Dims* dims) = nullptr;
  /// Computes golden->rows in float64 on up to `threads` threads. Reads no output but with
  /// golden->follow_selection.
  Status (*reference)(const void* params, int32_t threads, Golden* golden) = nullptr;
  const std::vector<Example>* examples = nullptr;
  std::vector<Implementation> implementations = {};  ///< In the order in which `auto` asks them.
};

}  // namespace tamis::base
