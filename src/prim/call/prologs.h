// What the plans of both prologs do alike: the tokens of x, the slots that they write, the work in
// blocks of tokens.
#pragma once

#include <cstdint>
#include <limits>
#include <string>
#include <vector>

#include "base/checked.h"
#include "base/errors.h"
#include "prim/call/cache_slots.h"
#include "prim/call/token_blocks.h"
#include "tamis/tensor.hpp"

namespace tamis::prim {

struct PrologProblem {
  DType dtype = DType::kNone;
  bool batched = false;  // [B, S1, ...] instead of [T, ...]
  int64_t tokens = 0;
  int64_t rope = 0;
  std::vector<int64_t> slots;  // that each token writes; -1: none
  std::vector<size_t> order;   // scratch
};

/// Rows of a cache [pages, page_size, ...]; as many as can be counted where the rows are empty.
inline int64_t CacheRows(const TensorView& cache) {
  int64_t rows = 0;
  const bool countable = base::CheckedMul(cache.shape[0], cache.shape[1], &rows);
  return countable ? rows : std::numeric_limits<int64_t>::max();
}

/// Fills a problem but for `rope`; `cache` is one of those that the slots are rows of.
template <class Params>
Status TakeTokens(const Params& params, const TensorView& cache, PrologProblem* problem) {
  TAMIS_RETURN_IF_ERROR(
      CacheSlots(params.cache_index, CacheRows(cache), &problem->slots, &problem->order));
  problem->dtype = params.x.dtype;
  problem->batched = params.x.rank == 3;
  problem->tokens = static_cast<int64_t>(problem->slots.size());
  return Status::Ok();
}

inline std::string BlockingOf(const TokenBlocks& blocks) {
  return "blocks of " + std::to_string(blocks.block_tokens) + " tokens, " +
         std::to_string(blocks.chunk_tokens) + " per item";
}

}  // namespace tamis::prim
