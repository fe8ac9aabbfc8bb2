// pack_kv_rows: keys of DeepSeek sparse attention as rows of bytes: 656 of them for 512 and 64
// dims, 584 for 448 and 64.
#pragma once

#include "tamis/plan.hpp"

namespace tamis::pack_kv_rows {

enum class KvFormat : int32_t { kCann656 = 0, kFlashMla656 = 1, kFlashMla584 = 2 };

/// A row: latent_dim bytes of quantised latent, a scale per group of them, and rope as it is (of
/// fp32 in bf16).
///   cann656:     q int8,     then rope, then scales;  amax = max(max |x|, 1e-8), scale = amax /
///                127, q = x / scale to the nearest integer, ties to even
///   flashmla656: q fp8 e4m3fn, then scales, then rope; scale = max(amax / 448, 1e-4) rounded up to
///                a power of two, q = x / scale to nearest, ties to even
///   flashmla584: the same of groups of 64; scales are e8m0, the exponent of the power of two plus
///                127, and a byte of padding. All rows are one page: q and rope of every row, then
///                the scales of every row. `rows` is dense
/// with one fp32 scale per group of 128 channels but for the last; arithmetic in fp32. A group with
/// a NaN or an infinity gets the scale NaN and decodes to NaN. Deterministic, and the same bytes at
/// every level. The output must not overlap inputs.
struct Params {
  static constexpr const char* kOperator = "pack_kv_rows";

  TensorView latent = {};  // [R, D], D a multiple of 128 (flashmla584: 64); fp16, bf16 or fp32
  TensorView rope = {};    // [R, Dr], as latent
  KvFormat kv_format = KvFormat::kCann656;
  bool strict = false;
  OutputView rows = {};  // [R, width] uint8; width = D + 2 Dr + D / 32 (flashmla584: D / 64 + 1)
};

/// Checks, normalises and chooses an implementation. Errors name the argument, what was expected
/// and what came.
TAMIS_API Result<Plan> plan(const Params& params, const Context& context = {});

/// plan() and run() in one call.
TAMIS_API Status run(const Params& params, const Context& context = {});

}  // namespace tamis::pack_kv_rows
