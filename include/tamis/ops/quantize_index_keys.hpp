// quantize_index_keys: the int8 shadow of index keys, for lightning_indexer.
#pragma once

#include "tamis/plan.hpp"

namespace tamis::quantize_index_keys {

enum class KeyLayout : int32_t { kBsnd = 0, kTnd = 1, kPaBsnd = 2 };

/// A panel holds 16 keys of one sequence's or page's rows (TND: of all rows): first, for every 4
/// dims, 4 bytes of each key; then 16 fp32 scales, 16 errors, 16 norms, little-endian. With m the
/// largest magnitude of a key, in fp32:
///   z = x * (32512 / m) to the nearest integer, ties to even;  integer = (z + 128) >> 8
///   byte = integer + 128      scale = m / 127
///   error >= |x - scale * integer|      norm >= |scale * integer|      (lengths of vectors)
/// Dims count as zeros up to a multiple of 64; of 64 dims, group i of 4 has i, i + 32, i + 16 and
/// i + 48. A key that is not finite, or beyond 2^20, gets the error infinity; panels end with keys
/// of zeros. Deterministic, and the same bytes at every level. The output must not overlap inputs.
struct Params {
  static constexpr const char* kOperator = "quantize_index_keys";

  TensorView key = {};  // BSND [B, S2, 1, D], TND [T2, 1, D], PA_BSND [pages, page_size, 1, D]
  KeyLayout layout_key = KeyLayout::kBsnd;
  bool strict = false;
  // BSND [B, panels, panel_bytes], TND [panels, panel_bytes], PA_BSND [pages, panels, panel_bytes]
  // uint8; panels = ceil(S2, T2 or page_size / 16), panel_bytes = 16 (64 ceil(D / 64) + 12)
  OutputView key_shadow = {};
};

/// Checks, normalises and chooses an implementation. Errors name the argument, what was expected
/// and what came.
TAMIS_API Result<Plan> plan(const Params& params, const Context& context = {});

/// plan() and run() in one call.
TAMIS_API Status run(const Params& params, const Context& context = {});

}  // namespace tamis::quantize_index_keys
