// nsa_compress_infer: the windows that new tokens end, from a paged cache of raw rows into a cache
// of compressed ones (the device's NsaCompressWithCache).
#pragma once

#include "tamis/plan.hpp"

namespace tamis::nsa_compress_infer {

/// nsa_compress while a sequence grows. With l = compress_block_size and d = compress_stride, for
/// every new token, the t-th of its sequence (from 1), where t >= l and (t - l) % d == 0:
///   cache[slot, h, :] = sum_{w < l} weight[w, h] * row(t - l + w)[h, :]
/// where row(p) is input[block_table[b, p / page_block_size], p % page_block_size] and slot the
/// token's entry of slot_mapping. The last actual_seq_qlen[b] of a sequence's act_seq_len[b] tokens
/// are new; without actual_seq_qlen the last one of each, and a sequence may be empty then.
///
/// A negative slot is not written; one at or past R is an error; of equal ones the last token's
/// wins. Slots of tokens that end no window are not looked at. Of a sequence with windows to write,
/// the pages of all rows from the first of them to the last are checked; no others, and no row
/// outside those windows is read. Slots, lengths and pages are read by plan(). The cache must not
/// overlap another tensor, and keeps all other rows.
///
/// Sums and rounding are those of nsa_compress, bit for bit: a text in steps of any size gives the
/// windows of the whole. Deterministic for any number of threads.
struct Params {
  static constexpr const char* kOperator = "nsa_compress_infer";

  TensorView input = {};         // [pages, page_block_size, N, D] fp16, bf16 or fp32
  TensorView weight = {};        // [compress_block_size, N]
  TensorView slot_mapping = {};  // [T] int32 or int64: row of cache for each new token's window
  TensorView block_table = {};   // [B, max_pages] int32
  OutputView cache = {};         // [R, N, D], updated
  IntList act_seq_len = {};      // raw tokens per sequence, the new ones included
  int64_t compress_block_size = kNotGiven;  // tokens in a window
  int64_t compress_stride = kNotGiven;      // tokens between the starts of windows
  int64_t page_block_size = kNotGiven;      // tokens in a page
  IntList actual_seq_qlen = {};             // new tokens per sequence; absent: one each
  bool strict = false;
};

/// Checks, normalises and chooses an implementation. Errors name the argument, what was expected
/// and what came; then nothing has been written.
TAMIS_API Result<Plan> plan(const Params& params, const Context& context = {});

/// plan() and run() in one call.
TAMIS_API Status run(const Params& params, const Context& context = {});

}  // namespace tamis::nsa_compress_infer
