// sliding_window_attention: causal attention of every query token over the last keys before it, the
// window branch of Native Sparse Attention.
#pragma once

#include "tamis/ops/out_dtype.hpp"
#include "tamis/plan.hpp"

namespace tamis::sliding_window_attention {

enum class QueryLayout : int32_t { kBsnd = 0, kTnd = 1 };
enum class KvLayout : int32_t { kBsnd = 0, kTnd = 1, kPaBsnd = 2 };

/// For query token i of a sequence with q query tokens and n keys, and every query head h, over the
/// positions j with e - window_size <= j < e and j >= key_starts[b], where e = n - q + i + 1 is the
/// end of the token's own position, or key_limits[b, i] where that is less; head h reads kv head
/// h / (N / N2):
///   s[j] = scale_value * query[i, h] . key[j, h / (N / N2)]
///   max = max_j s[j], sum = sum_j exp(s[j] - max)
///   attention_out = sum_j exp(s[j] - max) value[j, h / (N / N2)] / sum
///
/// key_starts are the first keys of sequences that are padded on the left; key_limits may hold any
/// int32. window_size 0 sees nothing.
/// No position (more queries than keys): attention_out 0, max -inf, sum 0; padding rows the same.
/// fp32 accumulation, probabilities are not rounded. Keys and values outside of a token's window do
/// not touch its row, whatever they hold; those outside of all windows are not read, nor are their
/// page-table entries. Entries of keys in a window are checked by plan. Deterministic, bit for bit,
/// for any number of threads and whatever other rows a call has. Outputs must not overlap inputs.
struct Params {
  static constexpr const char* kOperator = "sliding_window_attention";

  TensorView query = {};  // BSND [B, S1, N, D], TND [T1, N, D]; fp16, bf16 or fp32
  TensorView key = {};    // BSND [B, S2, N2, D], TND [T2, N2, D], PA_BSND [pages, page_size, N2,
                          // D]; as query; N2 divides N
  TensorView value = {};  // as key, last dimension D2
  TensorView block_table = {};               // [B, max_pages] int32, with PA_BSND only
  TensorView actual_seq_lengths_query = {};  // [B] int32 or int64; TND prefix sums, else counts
  TensorView actual_seq_lengths_kv = {};     // [B] int32 or int64; TND prefix sums, else counts
  TensorView key_starts = {};                // [B] or [1] int32 or int64; absent: 0
  TensorView key_limits = {};                // BSND [B, S1], TND [T1] int32; absent: no limits
  double scale_value = kNotGiven;
  int64_t window_size = kNotGiven;
  QueryLayout layout_query = QueryLayout::kBsnd;
  KvLayout layout_kv = KvLayout::kBsnd;
  OutDtype out_dtype = OutDtype::kInput;
  bool strict = false;
  OutputView attention_out = {};  // as query, or fp32: see out_dtype; last dimension D2
  OutputView softmax_max = {};    // BSND [B, S1, N], TND [T1, N] fp32
  OutputView softmax_sum = {};    // the same
};

/// Checks, normalises and chooses an implementation. Errors name the argument, what was expected
/// and what came.
TAMIS_API Result<Plan> plan(const Params& params, const Context& context = {});

/// plan() and run() in one call.
TAMIS_API Status run(const Params& params, const Context& context = {});

}  // namespace tamis::sliding_window_attention
