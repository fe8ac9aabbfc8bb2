// nsa_compress_attention: attention over compressed keys with block selection (training and prefill
// form; document "npu_nsa_compress_attention").
#pragma once

#include "tamis/ops/accuracy.hpp"
#include "tamis/ops/nsa.hpp"
#include "tamis/ops/out_dtype.hpp"
#include "tamis/plan.hpp"

namespace tamis::nsa_compress_attention {

/// Per query token t, head h (kv head h / (N / N2)) over the n compressed keys of its sequence:
///   x[i] = scale_value * query . key[i], or -FLT_MAX where atten_mask[t, i] is set
///   P = exp(x - max) / sum;  attention_out = P value
/// and per kv head the select_block_count blocks of highest importance (P summed over the head
/// group and over the compressed tokens that touch a select block), best first, equal scores by
/// lower index. topk_mask forces blocks in. P is fp32; its products with values: see Accuracy.
///
/// A key is hidden, too, where i is not below key_limits[t] (any int32), and with `causal` where
/// its window ends after the token: i d + l > p + 1, p being the token's position. The last token
/// of a sequence is its last raw token: actual_raw_seq_kvlen are prefix sums over raw tokens, by
/// default actual_seq_qlen. So a causal call needs no mask of T x n bytes.
///
/// `selection` causal, with `causal`: a token that sees v = p + 1 raw tokens has the candidates
/// [0, ceil(v / select_block_size)), the blocks that hold one of them. The first, the last (its
/// own) and the one before come first, in order of index, then the others by importance. Of a token
/// that sees no key importance is 0. A sequence gives the same bits whole, in chunks, and in
/// nsa_compress_attention_infer; attention_out of tokens that see no key, with masked_rows zero.
///
/// global_max and global_sum, where the keys of the call are a part of all, are the statistics of
/// the softmax over all of them: importance is then of P = exp(x - global_max) / global_sum. Block
/// scores of parts that have all keys, each hiding those of the others, add up to those of all; of
/// parts that were cut apart, those of blocks beside a cut lack what the other part's keys give
/// them. attention_out and the statistics stay the part's. Deterministic, bit for bit, for any
/// number of threads. Outputs must not overlap inputs.
struct Params {
  static constexpr const char* kOperator = "nsa_compress_attention";

  TensorView query = {};       // [T, N, D] fp16, bf16 or fp32
  TensorView key = {};         // [Tc, N2, D]
  TensorView value = {};       // [Tc, N2, D2]
  TensorView atten_mask = {};  // [max_q, max_n] bool or uint8, 1 hides
  TensorView topk_mask = {};   // [max_q, ceil(max_n / M)] bool or uint8, 1 forces
  TensorView key_limits = {};  // [T] int32; absent: no limits
  TensorView global_max = {};  // [T, N] fp32, with global_sum
  TensorView global_sum = {};  // the same
  double scale_value = kNotGiven;
  int64_t head_num = kNotGiven;
  int64_t compress_block_size = kNotGiven;
  int64_t compress_stride = kNotGiven;
  int64_t select_block_size = kNotGiven;
  int64_t select_block_count = kNotGiven;  // 0: attention only
  IntList actual_seq_qlen = {};            // inclusive prefix sums over query
  IntList actual_cmp_seq_kvlen = {};       // inclusive prefix sums over key
  IntList actual_sel_seq_kvlen = {};       // accepted, unused
  bool causal = false;
  IntList actual_raw_seq_kvlen = {};  // inclusive prefix sums over raw tokens; with causal
  Importance importance = Importance::kCann;
  MaskedRows masked_rows = MaskedRows::kUniform;
  Selection selection = Selection::kDevice;  // causal: with `causal`, without topk_mask
  Accuracy accuracy = Accuracy::kStorage;
  OutDtype out_dtype = OutDtype::kInput;
  bool return_block_scores = false;
  bool strict = false;
  OutputView attention_out = {};  // [T, N, D2] as query, or fp32: see out_dtype
  OutputView topk_indices = {};   // [T, N2, select_block_count] int32
  OutputView softmax_max = {};    // [T, N] fp32, may be absent
  OutputView softmax_sum = {};    // [T, N] fp32, may be absent
  OutputView block_scores = {};   // [T, N2, blocks] fp32: importance; blocks = ceil(max_n / M), or
                                  // with selection causal ceil(max_raw / select_block_size); 0 past
                                  // the candidates of the token; with return_block_scores
};

/// Checks, normalises and chooses an implementation. Errors name the argument, what was expected
/// and what came.
TAMIS_API Result<Plan> plan(const Params& params, const Context& context = {});

/// plan() and run() in one call.
TAMIS_API Status run(const Params& params, const Context& context = {});

}  // namespace tamis::nsa_compress_attention
