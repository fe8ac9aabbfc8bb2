// nsa_selected_attention_infer: attention over the selected blocks of a paged cache of raw keys
// (the device's NsaSelectedAttentionInfer).
#pragma once

#include "tamis/ops/accuracy.hpp"
#include "tamis/ops/nsa.hpp"
#include "tamis/ops/out_dtype.hpp"
#include "tamis/plan.hpp"

namespace tamis::nsa_selected_attention_infer {

enum class Layout : int32_t { kTnd = 0, kBsnd = 1 };

/// nsa_selected_attention for decoding: keys and values lie in pages, and a sequence's query tokens
/// are its last, so that token i of q sees e = n - q + i + 1 keys (sparse_mode 3 there). Every kv
/// head has ids of its own; the device reads those of head 0 for all.
///
/// Rows past a sequence's length (BSND) are padding: attention_out 0, max -inf, sum 0. Entries of
/// the page table past a sequence's keys are not read. Deterministic, bit for bit, for any number
/// of threads and whatever other rows a call has. Outputs must not overlap inputs.
struct Params {
  static constexpr const char* kOperator = "nsa_selected_attention_infer";

  TensorView query = {};         // TND [T, N, D], BSND [B, S, N, D]; fp16, bf16 or fp32
  TensorView key = {};           // [pages, page_block_size, N2 D], as query
  TensorView value = {};         // [pages, page_block_size, N2 D2]
  TensorView topk_indices = {};  // TND [T, N2, K], BSND [B, S, N2, K] int32
  TensorView block_table = {};   // [B, max_pages] int32
  double scale_value = kNotGiven;
  int64_t head_num = kNotGiven;
  int64_t key_value_head_num = kNotGiven;  // N2
  int64_t select_block_size = kNotGiven;
  int64_t select_block_count = kNotGiven;  // K
  int64_t page_block_size = kNotGiven;
  Layout layout = Layout::kTnd;
  IntList actual_seq_qlen = {};   // query tokens per sequence; absent: one each
  IntList actual_seq_kvlen = {};  // keys per sequence, the query tokens' own included
  Accuracy accuracy = Accuracy::kStorage;
  OutDtype out_dtype = OutDtype::kInput;
  bool return_softmax_lse = false;
  bool strict = false;
  OutputView attention_out = {};  // TND [T, N, D2], BSND [B, S, N, D2] as query, or fp32
  OutputView softmax_max = {};    // TND [T, N], BSND [B, S, N] fp32; with return_softmax_lse
  OutputView softmax_sum = {};    // the same
};

/// Checks, normalises and chooses an implementation. Errors name the argument, what was expected
/// and what came.
TAMIS_API Result<Plan> plan(const Params& params, const Context& context = {});

/// plan() and run() in one call.
TAMIS_API Status run(const Params& params, const Context& context = {});

}  // namespace tamis::nsa_selected_attention_infer
