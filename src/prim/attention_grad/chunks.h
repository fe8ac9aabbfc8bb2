// How the gradients of keys are cut: query tokens into groups, groups into chunks, and the keys
// that a chunk sees into parts. In each chunk a first phase takes its groups, a second its parts:
// every key has one owner, who adds up what the groups have left, in their order.
#pragma once

#include <cstdint>
#include <functional>
#include <vector>

#include "prim/attention/cpu/args.h"
#include "prim/attention_grad/cpu/args.h"
#include "prim/call/work.h"

namespace tamis::prim::attention_grad {

struct Cutting {
  const std::vector<attention::Sequence>& sequences;  // with one source
  bool packed_keys = true;                            // [T2, ...] instead of [B, S2, ...]
  int64_t key_batches = 1;                            // B; of packed keys 1
  int64_t rows_of_batch = 0;                          // S2 or T2
  int64_t groups_per_chunk = 1;
  int64_t kv_heads = 1;
  /// Items of the second phase that so many keys are, for one kv head.
  std::function<int64_t(int64_t keys)> items_of;
  CpuKernel* of_queries = nullptr;
  CpuKernel* of_keys = nullptr;  // null: no gradient of keys is wanted
};

struct Chunks {
  std::vector<Group> groups;
  std::vector<Part> parts;
  int64_t sum_rows = 0;  // keys whose sums wait from chunk to chunk
};

/// The groups alone.
void CutGroups(const std::vector<attention::Sequence>& sequences, int64_t tokens_per_group,
               Chunks* chunks);

/// The parts, and both phases of every chunk.
void AddChunks(const Cutting& cutting, Chunks* chunks, CpuWork* work);

}  // namespace tamis::prim::attention_grad
