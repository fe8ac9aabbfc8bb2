// nsa_compress: weighted window sums over packed sequences (Native Sparse Attention, document
// "NsaCompress").
#pragma once

#include "tamis/plan.hpp"

namespace tamis::nsa_compress {

enum class Layout : int32_t { kTnd = 0 };

/// For every sequence of length s, window i in [0, floor((s - l) / d)] and head h,
///   output[off + i, h, :] = sum_{w < l} weight[w, h] * input[begin + i * d + w, h, :]
/// with l = compress_block_size and d = compress_stride. Windows never cross sequences; a sequence
/// shorter than l gives none; the outputs of all sequences are packed without gaps. Sums are taken
/// in fp32, in the order of w, and rounded once to nearest even. Deterministic, bit for bit, for
/// any number of threads.
///
/// The output must not overlap an input. Field by field description: README.md of the room, `tamis
/// ops nsa_compress`.
struct Params {
  static constexpr const char* kOperator = "nsa_compress";

  TensorView input = {};                    // [T, N, D] fp16, bf16 or fp32
  TensorView weight = {};                   // [compress_block_size, N]
  IntList act_seq_len = {};                 // inclusive prefix sums
  int64_t compress_block_size = kNotGiven;  // tokens in a window
  int64_t compress_stride = kNotGiven;      // tokens between the starts of windows
  Layout layout = Layout::kTnd;
  int64_t act_seq_len_type = 0;  // 0: prefix sums, 1: lengths
  bool strict = false;
  OutputView output = {};  // [Tc, N, D]
};

/// Checks, normalises and chooses an implementation. Errors name the argument, what was expected
/// and what came.
TAMIS_API Result<Plan> plan(const Params& params, const Context& context = {});

/// plan() and run() in one call.
TAMIS_API Status run(const Params& params, const Context& context = {});

}  // namespace tamis::nsa_compress
