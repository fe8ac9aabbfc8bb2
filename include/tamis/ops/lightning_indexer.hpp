// lightning_indexer: the keys of highest index score for every query token (DeepSeek sparse
// attention; described in document "npu_sparse_attention_pto").
#pragma once

#include "tamis/plan.hpp"

namespace tamis::lightning_indexer {

enum class QueryLayout : int32_t { kBsnd = 0, kTnd = 1 };
enum class KeyLayout : int32_t { kBsnd = 0, kTnd = 1, kPaBsnd = 2 };
enum class Pruning : int32_t { kAuto = 0, kOff = 1, kOn = 2 };
enum class ValueDtype : int32_t { kInput = 0, kFloat32 = 1 };

/// For query token i of a sequence with q query tokens and n keys, over the keys j < thr(i):
///   score[j] = sum_g weights[i, g] * max(0, query[i, g] . key[j])
/// thr(i) = n - q + i + 1, at most n (sparse_mode 3), or n (sparse_mode 0), or key_limits[b, i]
/// where that is less; keys before key_starts[b], of a sequence that is padded on the left, are
/// none to select. Keys that each stand for r = compress_ratio raw tokens: with sparse_mode 3
/// thr(i) = floor((t - q + i + 1) / r), at most n, of t = actual_seq_lengths_tokens[b] raw tokens
/// (q where absent). key_limits may hold any int32. sparse_indices are the positions of the
/// sparse_count best, best first, equal scores (-0 equals +0) by lower position, NaN last; then -1.
/// Scores are fp32. Never a score matrix: selection streams over the keys. With `pruning`, keys
/// that a scan in 8-bit integers proves not to be among the best get no score: the same selection,
/// bit for bit, in less time. kAuto: where that pays, by size and by a sample of the keys; kOn:
/// always, for tests. key_shadow saves quantising the keys; one that is not of these keys may make
/// the selection wrong, and nothing worse. Deterministic, bit for bit, for any number of threads.
/// Outputs must not overlap inputs.
struct Params {
  static constexpr const char* kOperator = "lightning_indexer";

  TensorView query = {};    // BSND [B, S1, N, D], TND [T1, N, D]; fp16, bf16 or fp32
  TensorView key = {};      // BSND [B, S2, 1, D], TND [T2, 1, D], PA_BSND [pages, page_size, 1, D]
  TensorView weights = {};  // BSND [B, S1, N], TND [T1, N]; as query or fp32
  TensorView actual_seq_lengths_query =
      {};  // [B] int32 or int64; BSND counts, TND inclusive prefix sums
  TensorView actual_seq_lengths_key = {};  // [B] int32 or int64; TND prefix sums, else counts
  TensorView block_table = {};             // [B, max_pages] int32, with PA_BSND only
  TensorView key_shadow = {};              // as quantize_index_keys made it of key; optional, uint8
  TensorView key_starts = {};              // [B] or [1] int32 or int64; absent: 0
  TensorView key_limits = {};              // BSND [B, S1], TND [T1] int32; absent: no limits
  TensorView actual_seq_lengths_tokens = {};  // [B] or [1] int32 or int64; with compress_ratio
  QueryLayout layout_query = QueryLayout::kBsnd;
  KeyLayout layout_key = KeyLayout::kBsnd;
  int64_t sparse_count = 2048;
  int64_t sparse_mode = 3;
  int64_t compress_ratio = 1;
  bool return_value = false;
  ValueDtype value_dtype = ValueDtype::kInput;
  Pruning pruning = Pruning::kAuto;
  bool strict = false;
  OutputView sparse_indices = {};  // BSND [B, S1, 1, sparse_count], TND [T1, 1, sparse_count] int32
  OutputView sparse_values = {};   // the same shape; with return_value only
};

/// Checks, normalises and chooses an implementation. Errors name the argument, what was expected
/// and what came.
TAMIS_API Result<Plan> plan(const Params& params, const Context& context = {});

/// plan() and run() in one call.
TAMIS_API Status run(const Params& params, const Context& context = {});

}  // namespace tamis::lightning_indexer
