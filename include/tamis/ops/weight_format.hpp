// Storage formats of weight matrices, and the operators nd_to_nz and nz_to_nd that convert
// between them.
#pragma once

#include "tamis/plan.hpp"

namespace tamis {

/// How a weight W [K, N] lies in memory. ND: row-major. NZ: panels of 16 columns, element (k, n) at
/// n / 16 * K * 16 + k * 16 + n % 16; K and N are multiples of 16, the shape stays [K, N], dense.
/// Panels have 16 columns in every dtype. (The device takes no such weights in fp32.)
enum class WeightFormat : int32_t { kNd = 0, kNz = 1 };

namespace nd_to_nz {

/// Rearranges `weight` (ND) into `output` (NZ). Bits are copied: nz_to_nd gives them back. K and N
/// must be multiples of 16, `output` dense; they must not overlap. Deterministic.
struct Params {
  static constexpr const char* kOperator = "nd_to_nz";

  TensorView weight = {};  // [K, N] fp16, bf16 or fp32, rows may be strided
  bool strict = false;
  OutputView output = {};  // [K, N] as weight, NZ
};

/// Checks, normalises and chooses an implementation. Errors name the argument, what was expected
/// and what came.
TAMIS_API Result<Plan> plan(const Params& params, const Context& context = {});

/// plan() and run() in one call.
TAMIS_API Status run(const Params& params, const Context& context = {});

}  // namespace nd_to_nz

namespace nz_to_nd {

/// Rearranges `weight` (NZ) into `output` (ND): the inverse of nd_to_nz. `weight` must be dense.
struct Params {
  static constexpr const char* kOperator = "nz_to_nd";

  TensorView weight = {};  // [K, N] fp16, bf16 or fp32, NZ
  bool strict = false;
  OutputView output = {};  // [K, N] as weight; rows may be strided
};

/// Checks, normalises and chooses an implementation. Errors name the argument, what was expected
/// and what came.
TAMIS_API Result<Plan> plan(const Params& params, const Context& context = {});

/// plan() and run() in one call.
TAMIS_API Status run(const Params& params, const Context& context = {});

}  // namespace nz_to_nd

}  // namespace tamis
