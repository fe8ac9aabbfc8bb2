// Tokens in blocks, whose intermediates stay in the shared part of the workspace; an item takes a
// part of one block.
#pragma once

#include <stdint.h>

namespace tamis::prim {

/// A block bounds the workspace and has items enough for many threads. A chunk is what a widened
/// block of weights is reused for: widening costs a thirtieth of the products.
inline constexpr int64_t kBlockTokens = 1024;
inline constexpr int64_t kChunkTokens = 128;
/// Tokens of an item whose work is rows of norms.
inline constexpr int64_t kNormTokens = 16;

struct TokenBlocks {
  int64_t tokens;
  int64_t block_tokens;
  int64_t chunk_tokens;
};

/// Part of a block. `count` is not positive where the last block ends before it.
struct TokenPart {
  int64_t first;     // of the call
  int64_t in_block;  // the same token, of its block
  int64_t count;
};

static inline TokenBlocks MakeTokenBlocks(int64_t tokens) {
  const TokenBlocks blocks = {tokens, tokens < kBlockTokens ? tokens : kBlockTokens,
                              tokens < kChunkTokens ? tokens : kChunkTokens};
  return blocks;
}

/// Parts of `size` tokens in a block.
static inline int64_t PartsOf(const TokenBlocks& b, int64_t size) {
  return (b.block_tokens + size - 1) / size;
}
static inline int64_t ChunksOf(const TokenBlocks& b) { return PartsOf(b, b.chunk_tokens); }

static inline TokenPart PartOf(const TokenBlocks& b, int64_t block, int64_t part, int64_t size) {
  const int64_t begin = part * size;
  const int64_t first = block * b.block_tokens + begin;
  int64_t count = b.block_tokens - begin < size ? b.block_tokens - begin : size;
  if (b.tokens - first < count) count = b.tokens - first;
  const TokenPart part_of_block = {first, begin, count};
  return part_of_block;
}

}  // namespace tamis::prim
