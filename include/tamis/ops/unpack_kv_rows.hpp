// unpack_kv_rows: the latent and rotary parts of keys from rows of bytes.
#pragma once

#include "tamis/plan.hpp"

namespace tamis::unpack_kv_rows {

enum class KvFormat : int32_t { kCann656 = 0, kFlashMla656 = 1, kFlashMla584 = 2 };
enum class KeyDtype : int32_t { kBFloat16 = 0, kFloat16 = 1, kFloat32 = 2 };

/// latent = round(float(q) * scale), the product in fp32, rounded to nearest even, and in float32
/// not rounded; rope as it is.
/// These are the keys that sparse_flash_attention sees in the same rows. See pack_kv_rows for the
/// formats; the rows of flashmla584 are dense, one page. Outputs must not overlap inputs.
struct Params {
  static constexpr const char* kOperator = "unpack_kv_rows";

  TensorView rows = {};  // [R, width] uint8 or int8: see pack_kv_rows
  int64_t rope_dim = 64;
  KvFormat kv_format = KvFormat::kCann656;
  KeyDtype dtype = KeyDtype::kBFloat16;  // of the outputs; rope was packed in it, or in bfloat16
  bool strict = false;
  OutputView latent = {};  // [R, D]
  OutputView rope = {};    // [R, rope_dim]; may be absent
};

/// Checks, normalises and chooses an implementation. Errors name the argument, what was expected
/// and what came.
TAMIS_API Result<Plan> plan(const Params& params, const Context& context = {});

/// plan() and run() in one call.
TAMIS_API Status run(const Params& params, const Context& context = {});

}  // namespace tamis::unpack_kv_rows
