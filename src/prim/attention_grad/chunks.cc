#include "prim/attention_grad/chunks.h"

#include <algorithm>

#include "prim/call/scratch.h"

namespace tamis::prim::attention_grad {

void CutGroups(const std::vector<attention::Sequence>& sequences, int64_t most,
               std::vector<Group>* groups) {
  groups->clear();
  for (size_t i = 0; i < sequences.size(); ++i) {
    for (int64_t t = 0; t < sequences[i].rows; t += most)
      groups->push_back({static_cast<int64_t>(i), t, std::min(most, sequences[i].rows - t)});
  }
}

void Parts::Add(Part part) {
  const int64_t count = items_of(part.keys);
  part.item_begin = items;
  items = Plus(items, count);
  if (count > 0) parts->push_back(part);
}

void Parts::AddUnseen() {
  size_t next = 0;
  for (int64_t batch = 0; batch < keys.batches; ++batch) {
    int64_t row = 0;
    const auto fill = [&](int64_t end) {
      if (end > row)
        Add({.sequence = -1,
             .batch = batch,
             .key_begin = row,
             .keys = end - row,
             .first = true,
             .last = true});
    };
    for (; next < sequences.size() && (keys.packed || sequences[next].batch <= batch); ++next) {
      const attention::SequenceKeys& of = sequences[next].of[0];
      if (sequences[next].padding || sequences[next].rows == 0 || of.keys == 0) continue;
      fill(of.key_begin);
      row = of.key_begin + of.keys;
    }
    fill(keys.rows);
  }
}

void Parts::AddChunk(int64_t first, int64_t count) {
  const auto all = static_cast<int64_t>(groups.size());
  const auto sequence_of = [&](int64_t group) {
    return groups[static_cast<size_t>(group)].sequence;
  };
  if (first == 0) AddUnseen();
  for (int64_t group = first; group < first + count;) {
    int64_t end = group;
    while (end < first + count && sequence_of(end) == sequence_of(group)) ++end;
    const attention::Sequence& s = sequences[static_cast<size_t>(sequence_of(group))];
    const bool began = group > 0 && sequence_of(group - 1) == sequence_of(group);
    const bool goes_on = end < all && sequence_of(end) == sequence_of(group);
    if (!s.padding) {
      Add({.sequence = sequence_of(group),
           .batch = s.batch,
           .key_begin = s.of[0].key_begin,
           .keys = s.of[0].keys,
           .group_begin = group,
           .groups = end - group,
           .first = !began,
           .last = !goes_on});
    }
    group = end;
  }
}

// In one chunk at most two wait: one that ends there and one that begins.
int64_t PlaceSums(std::vector<Part>* parts) {
  int64_t waiting = 0;
  int64_t most = 0;
  for (Part& part : *parts) {
    if (part.first && part.last) continue;
    if (part.first) ++waiting;
    part.sum_begin = (waiting + 1) % 2;
    most = std::max(most, part.keys);
  }
  for (Part& part : *parts) part.sum_begin *= most;
  return Times(std::min<int64_t>(waiting, 2), most);
}

}  // namespace tamis::prim::attention_grad
