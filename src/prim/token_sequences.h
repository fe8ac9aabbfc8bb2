// Sequences of the DSA operators: query tokens and the keys that belong to them, from layouts and
// length tensors.
#pragma once

#include <cstdint>
#include <vector>

#include "tamis/status.hpp"
#include "tamis/tensor.hpp"

namespace tamis::prim {

enum class TokenLayout { kBsnd, kTnd, kPaged };

/// Query tokens that share their keys. Padding rows are a sequence of their own, without keys.
struct TokenSequence {
  int64_t row_begin = 0;  ///< First output row, leading dimensions flattened.
  int64_t rows = 0;
  int64_t batch = 0;  ///< Entry of the batch.
  int64_t token = 0;  ///< First token within the entry (BSND) or the packed tensor (TND).
  int64_t keys = 0;
  int64_t key_begin = 0;   ///< Row of the first key in the packed tensor (TND); 0 elsewhere.
  int64_t item_begin = 0;  ///< For plans to number their work.
  bool padding = false;

  /// Keys that token i of this sequence may see.
  int64_t Visible(int64_t i, bool causal) const {
    if (!causal) return keys;
    const int64_t visible = keys - rows + i + 1;
    return visible < 0 ? 0 : visible;
  }
};

/// What the length checks need to know of a call. Tensors that are absent stay absent.
struct TokenLengths {
  TokenLayout query_layout = TokenLayout::kBsnd;
  TokenLayout key_layout = TokenLayout::kBsnd;
  const char* query_name = "actual_seq_lengths_query";
  const char* key_name = "actual_seq_lengths_kv";
  const char* key_layout_name = "layout_kv";
  TensorView query_lengths;
  TensorView key_lengths;
  TensorView block_table;
  int64_t batch = 0;         ///< BSND queries: B.
  int64_t query_tokens = 0;  ///< BSND: S1; TND: T1.
  int64_t key_batch = 0;     ///< BSND keys: B of the keys.
  int64_t key_tokens = 0;    ///< BSND: S2; TND: T2.
  int64_t pages = 0;
  int64_t page_size = 0;
};

/// Layout pairs, presence and values of lengths, reach of the page table. `sequences` cover every
/// output row in order.
Status TokenSequences(const TokenLengths& lengths, std::vector<TokenSequence>* sequences);

}  // namespace tamis::prim
