// nsa_compress_attention_infer: attention over a paged cache of compressed keys with block
// selection (decode form; document "NsaCompressAttentionInfer").
#pragma once

#include "tamis/ops/accuracy.hpp"
#include "tamis/ops/nsa.hpp"
#include "tamis/ops/out_dtype.hpp"
#include "tamis/plan.hpp"

namespace tamis::nsa_compress_attention_infer {

enum class Layout : int32_t { kTnd = 0, kBsnd = 1 };

/// Attention and block importance as in nsa_compress_attention, over keys that block_table finds in
/// pages. Blocks 0, J-2 and J-1 are always selected and come first. `atten_mask` is a switch whose
/// content is not read: when given, query token q of a step of L tokens does not see compressed
/// keys whose window ends after actual_sel_seq_kvlen - (L - 1 - q). `selection` causal hides them,
/// too, and candidates and forced blocks are then those of so many raw tokens, as in
/// nsa_compress_attention. key_limits, global_max and global_sum are as there. All lengths are
/// counts, one per sequence. Only table entries below ceil(n / page_block_size) and rows below n
/// are read. Deterministic, bit for bit, for any number of threads. Outputs must not overlap
/// inputs.
struct Params {
  static constexpr const char* kOperator = "nsa_compress_attention_infer";

  TensorView query = {};        // TND [T, N, D], BSND [B, S, N, D]; fp16, bf16 or fp32
  TensorView key = {};          // [pages, page_block_size, N2 * D]
  TensorView value = {};        // [pages, page_block_size, N2 * D2]
  TensorView block_table = {};  // [B, max_pages] int32
  TensorView atten_mask = {};   // [max_q, max_n] bool or uint8: presence only
  TensorView key_limits = {};   // TND [T], BSND [B, S] int32; absent: no limits
  TensorView global_max = {};   // TND [T, N], BSND [B, S, N] fp32, with global_sum
  TensorView global_sum = {};   // the same
  double scale_value = kNotGiven;
  int64_t head_num = kNotGiven;
  int64_t key_value_head_num = kNotGiven;
  int64_t select_block_size = kNotGiven;
  int64_t select_block_count = kNotGiven;  // 0: attention only
  int64_t page_block_size = kNotGiven;
  int64_t compress_block_size = kNotGiven;
  int64_t compress_stride = kNotGiven;
  Layout layout = Layout::kTnd;
  IntList actual_seq_qlen = {};       // absent: one query per sequence
  IntList actual_cmp_seq_kvlen = {};  // compressed keys per sequence
  IntList actual_sel_seq_kvlen = {};  // raw tokens per sequence; needed with atten_mask and with
                                      // selection causal
  Importance importance = Importance::kCann;
  MaskedRows masked_rows = MaskedRows::kUniform;
  Selection selection = Selection::kDevice;
  Accuracy accuracy = Accuracy::kStorage;
  OutDtype out_dtype = OutDtype::kInput;
  bool return_softmax_lse = false;
  bool return_block_scores = false;
  bool strict = false;
  OutputView attention_out = {};  // as query with D2, or fp32: see out_dtype
  OutputView topk_indices = {};   // TND [T, N2, k], BSND [B, S, N2, k] int32
  OutputView softmax_max = {};    // TND [T, N], BSND [B, S, N] fp32; with return_softmax_lse
  OutputView softmax_sum = {};    // the same
  OutputView block_scores = {};   // TND [T, N2, J], BSND [B, S, N2, J] fp32: importance, J of the
                                  // longest sequence; 0 past the candidates of the token; with
                                  // return_block_scores
};

/// Checks, normalises and chooses an implementation. Errors name the argument, what was expected
/// and what came.
TAMIS_API Result<Plan> plan(const Params& params, const Context& context = {});

/// plan() and run() in one call.
TAMIS_API Status run(const Params& params, const Context& context = {});

}  // namespace tamis::nsa_compress_attention_infer
