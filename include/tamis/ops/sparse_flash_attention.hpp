// sparse_flash_attention: attention of every query token over the keys that it has selected, with
// one latent key and value for all heads (DeepSeek sparse attention; document
// "npu_sparse_flash_attention").
#pragma once

#include "tamis/ops/accuracy.hpp"
#include "tamis/ops/out_dtype.hpp"
#include "tamis/plan.hpp"

namespace tamis::sparse_flash_attention {

enum class QueryLayout : int32_t { kBsnd = 0, kTnd = 1 };
enum class KvLayout : int32_t { kBsnd = 0, kTnd = 1, kPaBsnd = 2 };
enum class KvFormat : int32_t { kSplit = 0, kCann656 = 1, kFlashMla656 = 2, kFlashMla584 = 3 };

/// For query token i of a sequence with q query tokens and n keys, and every head h, over the
/// positions j that the row's sparse_indices name:
///   s[j] = scale_value * (query[i, h] . key[j] + query_rope[i, h] . key_rope[j])
///   max = max_j s[j], sum = sum_j exp(s[j] - max), out = sum_j exp(s[j] - max) value[j] / sum
///
/// Which positions: with thr = n - q + i + 1, at most n (sparse_mode 3), or n (sparse_mode 0), or
/// key_limits[b, i] where that is less, and blocks of c = sparse_block_size, the first min(K,
/// ceil(thr / c)) ids are looked at, in order. A negative id ends the list; a block that begins at
/// or past thr is skipped; else the block's positions before thr are appended, but for those before
/// key_starts[b]: of a sequence that is padded on the left. Ids named twice count twice. Positions
/// are logical. key_limits may hold any int32. Keys that each stand for r = compress_ratio raw
/// tokens: with sparse_mode 3 thr = floor((t - q + i + 1) / r), at most n, of t =
/// actual_seq_lengths_tokens[b] raw tokens (q where absent). No position: out 0, max -inf, sum 0.
/// With sinks a head's max is max(max, sink) and its sum grows by exp(sink - max); with no position
/// max = sink, sum = 1. Padding rows: out 0, max -inf, sum 0.
///
/// With window_key, keys of a second tensor join the same softmax. Of its m positions in the
/// sequence, token i sees those j with e - window_size <= j < e and j >= window_starts[b], where
/// e = m - q + i + 1. window_size -1: all before e; 0: none. sparse_mode, key_limits and
/// compress_ratio say nothing of them. window_key, window_key_rope and window_value are as key,
/// key_rope and value, in the same layout and format, with sizes and pages of their own. A model
/// that attends over chosen compressed keys and over its last tokens (DeepSeek-V4) has both in one
/// call. Entries of window_block_table before all windows are not read.
///
/// The value is the latent part of the key where `value` is absent. With a kv_format other than
/// split, key holds rows of bytes as pack_kv_rows writes them, and key_rope and value are absent;
/// for a query in fp32 the rotary part of a row is bf16, and its latent is not rounded. A key of
/// flashmla584 is D - 64 channels of latent and 64 of the rotary part, and the value is all of it;
/// query_rope is absent. Its rows are dense: with PA_BSND a page, with BSND a sequence, with TND
/// the tensor has all rows, then their scales (the stride of pages or sequences may be any). Scores
/// and softmax in fp32; products of probabilities and values: see Accuracy. Ids may hold any int32;
/// page-table entries of a sequence's keys are checked by plan, others are never read.
/// Deterministic, bit for bit, for any number of threads and whatever other rows a call has.
/// Outputs must not overlap inputs.
struct Params {
  static constexpr const char* kOperator = "sparse_flash_attention";

  TensorView query = {};  // BSND [B, S1, N, D], TND [T1, N, D]; fp16, bf16 or fp32
  TensorView key = {};    // BSND [B, S2, 1, D], TND [T2, 1, D], PA_BSND [pages, page_size, 1, D];
                          // as query, or bytes: see kv_format
  TensorView sparse_indices = {};             // BSND [B, S1, 1, K], TND [T1, 1, K] int32
  TensorView value = {};                      // as key; absent: the first D channels of key
  TensorView block_table = {};                // [B, max_pages] int32, with PA_BSND only
  TensorView actual_seq_lengths_query = {};   // [B] int32 or int64; TND prefix sums, else counts
  TensorView actual_seq_lengths_kv = {};      // [B] int32 or int64; TND prefix sums, else counts
  TensorView query_rope = {};                 // as query, last dimension Dr
  TensorView key_rope = {};                   // as key, last dimension Dr
  TensorView sinks = {};                      // [N] fp32
  TensorView key_starts = {};                 // [B] or [1] int32 or int64; absent: 0
  TensorView key_limits = {};                 // BSND [B, S1], TND [T1] int32; absent: no limits
  TensorView actual_seq_lengths_tokens = {};  // [B] or [1] int32 or int64; with compress_ratio
  TensorView window_key = {};                 // as key, of other sizes; absent: no window
  TensorView window_key_rope = {};            // as key_rope; with both
  TensorView window_value = {};               // as value; with both
  TensorView window_block_table = {};         // [B, max_pages] int32, with PA_BSND only
  TensorView actual_seq_lengths_window = {};  // as actual_seq_lengths_kv
  TensorView window_starts = {};              // as key_starts
  double scale_value = kNotGiven;
  int64_t sparse_block_size = 1;
  QueryLayout layout_query = QueryLayout::kBsnd;
  KvLayout layout_kv = KvLayout::kBsnd;
  int64_t sparse_mode = 3;
  int64_t compress_ratio = 1;
  int64_t window_size = -1;  // of window_key; -1: all before the token's own position and that
  bool return_softmax_lse = false;
  KvFormat kv_format = KvFormat::kSplit;
  Accuracy accuracy = Accuracy::kStorage;
  OutDtype out_dtype = OutDtype::kInput;
  bool strict = false;
  OutputView out = {};          // as query, or fp32: see out_dtype
  OutputView softmax_max = {};  // BSND [B, S1, N], TND [T1, N] fp32; with return_softmax_lse
  OutputView softmax_sum = {};  // the same
};

/// Checks, normalises and chooses an implementation. Errors name the argument, what was expected
/// and what came.
TAMIS_API Result<Plan> plan(const Params& params, const Context& context = {});

/// plan() and run() in one call.
TAMIS_API Status run(const Params& params, const Context& context = {});

}  // namespace tamis::sparse_flash_attention
