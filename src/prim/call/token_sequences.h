// Sequences of the DSA operators: query tokens and the keys that belong to them, from layouts and
// length tensors.
#pragma once

#include <algorithm>
#include <cstdint>
#include <limits>
#include <vector>

#include "base/contract.h"
#include "prim/call/paging.h"
#include "prim/call/sequences.h"
#include "prim/call/tokens.h"
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
  int64_t key_begin = 0;  ///< Row of the first key in the packed tensor (TND); 0 elsewhere.
  int64_t first = 0;      ///< Keys before are seen by no token.
  int64_t tokens = 0;  ///< Up to the last query token: keys, or the raw tokens that they stand for.
  int64_t key_tokens = 1;  ///< Raw tokens that a key stands for.
  bool padding = false;

  /// The end of the keys that token i of this sequence may see.
  int64_t Visible(int64_t i, bool causal) const {
    if (!causal) return keys;
    const int64_t visible = tokens - rows + i + 1;
    return visible < 0 ? 0 : std::min(keys, visible / key_tokens);
  }
};

/// Where a key lies: row `slot` of `rows`, `stride` apart, of a page that begins at `page`, all in
/// elements. A sequence of BSND keys is a page, and so is a packed tensor.
struct KeyPlace {
  int64_t page;
  int64_t slot;
  int64_t rows;
  int64_t stride;
};

/// What the problems of operators on query tokens and keys have in common: where both lie.
struct TokenProblem {
  std::vector<TokenSequence> sequences;  // every output row is in one
  bool padded_queries = true;            // [B, S1, ...] instead of [T1, ...]
  TokenLayout key_layout = TokenLayout::kBsnd;
  PageTable page_table;
  int64_t page_size = 0;
  int64_t key_tokens = 1;         // raw tokens that a key stands for
  std::vector<Span> query_spans;  // scratch of FindSequences
  std::vector<Span> key_spans;
  std::vector<Span> start_spans;
  std::vector<Span> token_spans;

  /// Offset of query token `token` of a sequence, in elements of a tensor with the queries' leading
  /// dimensions.
  int64_t TokenOffset(const TensorView& view, const TokenSequence& s, int64_t token) const {
    return OffsetOf(TokensOf(view), s.batch, s.token + token);
  }
  /// Where the tokens of such a tensor lie, and the stride of the dimension after them.
  Tokens TokensOf(const TensorView& view) const {
    return padded_queries ? Tokens{view.strides[0], view.strides[1]} : Tokens{0, view.strides[0]};
  }
  int64_t HeadStride(const TensorView& view) const { return view.strides[padded_queries ? 2 : 1]; }
  /// The end of the keys that token i of a sequence sees, `limits` (a tensor with the queries'
  /// leading dimensions, or absent) among them. Not before the sequence's first key.
  int64_t End(const TokenSequence& s, int64_t i, bool causal, const TensorView& limits) const;
  /// Of a position of a sequence, in a tensor with the keys' leading dimensions.
  KeyPlace PlaceOf(const TensorView& view, const TokenSequence& s, int64_t position) const;
  /// Its offset, in elements.
  int64_t KeyOffset(const TensorView& view, const TokenSequence& s, int64_t position) const;
};

/// What an operator calls its keys: arguments, and the dimensions of the contract.
struct KeyNames {
  const char* tensor = "key";
  const char* lengths = "actual_seq_lengths_kv";
  const char* layout = "layout_kv";
  const char* table = "block_table";
  const char* starts = "key_starts";
  const char* batch = "Bk";  // BSND
  const char* padded = "S2";
  const char* packed = "T2";    // TND
  const char* pages = "pages";  // PA_BSND
  const char* page_size = "page_size";
};
/// Of keys beside those that a list selects from: the last ones before each query token.
inline constexpr KeyNames kWindowNames = {.tensor = "window_key",
                                          .lengths = "actual_seq_lengths_window",
                                          .table = "window_block_table",
                                          .starts = "window_starts",
                                          .batch = "Bw",
                                          .padded = "S3",
                                          .packed = "T3",
                                          .pages = "window_pages",
                                          .page_size = "window_page_size"};

/// Of an operator's own enumeration of layouts.
template <class Layout>
TokenLayout LayoutOf(Layout layout) {
  return layout == Layout::kBsnd  ? TokenLayout::kBsnd
         : layout == Layout::kTnd ? TokenLayout::kTnd
                                  : TokenLayout::kPaged;
}

/// Entry of a tensor of lengths, int32 or int64.
int64_t LengthAt(const TensorView& lengths, int64_t i);

/// What a call says of layouts and lengths. Tensors that are absent stay absent.
struct TokenLengths {
  TokenLayout query_layout = TokenLayout::kBsnd;
  TokenLayout key_layout = TokenLayout::kBsnd;
  KeyNames names;
  const char* query = "query";  ///< The tensor of query tokens.
  TensorView query_lengths;
  TensorView key_lengths;
  TensorView block_table;
  TensorView key_starts;
  int64_t key_tokens = 1;    ///< Raw tokens that a key stands for.
  TensorView token_lengths;  ///< Raw tokens of each sequence, where a key stands for several.
  bool limited = false;      ///< Query tokens have limits of their own.
  int64_t window = std::numeric_limits<int64_t>::max();  ///< Keys that a query token sees at most.
};

/// Checks layout pairs, presence and values of lengths, and the reach of the page table; fills
/// `problem`, whose sequences cover every output row in order. `dims` are those of the contracts:
/// B, S1 or T1 of the queries, and those that `names` has of the keys. Says where the sequences of
/// T1 end.
Status FindSequences(const TokenLengths& lengths, base::Dims* dims, TokenProblem* problem);

}  // namespace tamis::prim
