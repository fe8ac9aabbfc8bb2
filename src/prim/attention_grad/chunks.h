// How groups of query tokens come in chunks, and which key rows each chunk adds to.
#pragma once

#include <cstdint>
#include <functional>
#include <vector>

#include "prim/attention_grad/cpu/args.h"

namespace tamis::prim::attention_grad {

/// Where the rows of keys lie.
struct KeyLayout {
  bool packed = true;   // [T2, ...] instead of [B, S2, ...]
  int64_t batches = 1;  // B; of packed keys 1
  int64_t rows = 0;     // S2 or T2
};

/// The query tokens of every sequence, at most `most` in a group.
void CutGroups(const std::vector<attention::Sequence>& sequences, int64_t most,
               std::vector<Group>* groups);

/// Parts of a call, chunk by chunk.
struct Parts {
  const std::vector<attention::Sequence>& sequences;
  const std::vector<Group>& groups;
  KeyLayout keys;
  std::function<int64_t(int64_t keys)> items_of;  // items of the second phase
  std::vector<Part>* parts;
  int64_t items = 0;  // so far

  /// Of the chunk of groups [first, first + count). The first chunk, also one of no groups, has
  /// the key rows that no sequence with query tokens has, too: their gradients are 0.
  void AddChunk(int64_t first, int64_t count);

 private:
  void Add(Part part);
  void AddUnseen();
};

/// Says where the sums of sequences wait that go over the ends of chunks; how many rows those are.
int64_t PlaceSums(std::vector<Part>* parts);

}  // namespace tamis::prim::attention_grad
