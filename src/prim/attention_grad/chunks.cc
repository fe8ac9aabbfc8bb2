#include "prim/attention_grad/chunks.h"

#include <algorithm>

#include "prim/call/scratch.h"

namespace tamis::prim::attention_grad {
namespace {

// Adds a part of the chunk's items.
void AddPart(const Cutting& cutting, Part part, Chunks* chunks, int64_t* items) {
  part.item_begin = *items;
  const int64_t of_part = Times(cutting.items_of(part.keys), cutting.kv_heads);
  *items = Plus(*items, of_part);
  if (of_part > 0) chunks->parts.push_back(part);
}

// Key rows that no sequence with query tokens has: their gradients are 0.
void AddUnseen(const Cutting& cutting, Chunks* chunks, int64_t* items) {
  const std::vector<attention::Sequence>& sequences = cutting.sequences;
  size_t next = 0;
  for (int64_t batch = 0; batch < cutting.key_batches; ++batch) {
    int64_t row = 0;
    const auto fill = [&](int64_t end) {
      if (end > row)
        AddPart(cutting,
                {.sequence = -1,
                 .batch = batch,
                 .key_begin = row,
                 .keys = end - row,
                 .first = true,
                 .last = true},
                chunks, items);
    };
    for (; next < sequences.size() && (cutting.packed_keys || sequences[next].batch <= batch);
         ++next) {
      const attention::SequenceKeys& keys = sequences[next].of[0];
      if (sequences[next].padding || sequences[next].rows == 0 || keys.keys == 0) continue;
      fill(keys.key_begin);
      row = keys.key_begin + keys.keys;
    }
    fill(cutting.rows_of_batch);
  }
}

// Phases of one chunk, groups [first, first + count).
void AddChunk(const Cutting& cutting, int64_t first, int64_t count, Chunks* chunks, int64_t* items,
              CpuWork* work) {
  work->phases.push_back({.items = count * cutting.kv_heads,
                          .kernel = cutting.of_queries,
                          .first = first * cutting.kv_heads});
  const int64_t begin = *items;
  const int64_t all = static_cast<int64_t>(chunks->groups.size());
  const auto sequence_of = [&](int64_t group) {
    return chunks->groups[static_cast<size_t>(group)].sequence;
  };
  if (first == 0) AddUnseen(cutting, chunks, items);
  for (int64_t group = first; group < first + count;) {
    int64_t end = group;
    while (end < first + count && sequence_of(end) == sequence_of(group)) ++end;
    const attention::Sequence& s = cutting.sequences[static_cast<size_t>(sequence_of(group))];
    const bool began = group > 0 && sequence_of(group - 1) == sequence_of(group);
    const bool goes_on = end < all && sequence_of(end) == sequence_of(group);
    if (!s.padding) {
      AddPart(cutting,
              {.sequence = sequence_of(group),
               .batch = s.batch,
               .key_begin = s.of[0].key_begin,
               .keys = s.of[0].keys,
               .group_begin = group,
               .groups = end - group,
               .first = !began,
               .last = !goes_on},
              chunks, items);
    }
    group = end;
  }
  if (cutting.of_keys == nullptr) return;
  work->phases.push_back({.items = *items - begin, .kernel = cutting.of_keys, .first = begin});
}

// Where the sums of sequences wait that go over the ends of chunks. In one chunk at most two do:
// one that ends there and one that begins.
void PlaceSums(Chunks* chunks) {
  int64_t waiting = 0;
  int64_t most = 0;
  for (Part& part : chunks->parts) {
    if (part.first && part.last) continue;
    if (part.first) ++waiting;
    part.sum_begin = (waiting + 1) % 2;
    most = std::max(most, part.keys);
  }
  for (Part& part : chunks->parts) part.sum_begin *= most;
  chunks->sum_rows = Times(std::min<int64_t>(waiting, 2), most);
}

}  // namespace

void CutGroups(const std::vector<attention::Sequence>& sequences, int64_t tokens_per_group,
               Chunks* chunks) {
  chunks->groups.clear();
  for (size_t i = 0; i < sequences.size(); ++i) {
    for (int64_t t = 0; t < sequences[i].rows; t += tokens_per_group) {
      chunks->groups.push_back(
          {static_cast<int64_t>(i), t, std::min(tokens_per_group, sequences[i].rows - t)});
    }
  }
}

void AddChunks(const Cutting& cutting, Chunks* chunks, CpuWork* work) {
  chunks->parts.clear();
  int64_t items = 0;
  const auto groups = static_cast<int64_t>(chunks->groups.size());
  if (groups == 0) AddChunk(cutting, 0, 0, chunks, &items, work);
  for (int64_t first = 0; first < groups; first += cutting.groups_per_chunk) {
    AddChunk(cutting, first, std::min(cutting.groups_per_chunk, groups - first), chunks, &items,
             work);
  }
  PlaceSums(chunks);
}

}  // namespace tamis::prim::attention_grad
