#include "prim/call/paging.h"

#include <algorithm>
#include <string>

#include "base/checked.h"
#include "base/errors.h"

namespace tamis::prim {
namespace {

const int32_t* RowOf(const TensorView& block_table, int64_t sequence) {
  return static_cast<const int32_t*>(block_table.data) + sequence * block_table.strides[0];
}

}  // namespace

void PageTable::Begin(int64_t batch) {
  paged_ = true;
  rows_.assign(static_cast<size_t>(batch), Row{});
  entries_.assign(1, -1);  // so that data() is not null
}

void PageTable::NotPaged() { paged_ = false; }

Status PageTable::Read(const TensorView& block_table, int64_t sequence, int64_t keys,
                       int64_t page_size, int64_t pages, int64_t first, const char* name) {
  const int64_t needed = base::CeilDiv(keys, page_size);
  if (needed > block_table.shape[1]) {
    return base::Invalid(name,
                         "at least " + std::to_string(needed) + " pages for the " +
                             std::to_string(keys) + " keys of sequence " + std::to_string(sequence),
                         block_table.shape[1]);
  }
  const int32_t* const table = RowOf(block_table, sequence);
  const int64_t begin = std::min(first / page_size, needed);
  for (int64_t i = begin; i < needed; ++i) {
    if (table[i] < 0 || table[i] >= pages) {
      return base::Invalid(
          std::string(name) + "[" + std::to_string(sequence) + ", " + std::to_string(i) + "]",
          "a page in [0, " + std::to_string(pages) + ")", table[i]);
    }
  }
  rows_[static_cast<size_t>(sequence)] = {static_cast<int64_t>(entries_.size()) - begin, begin,
                                          needed};
  entries_.insert(entries_.end(), table + begin, table + needed);
  return Status::Ok();
}

bool PageTable::Holds(const TensorView& block_table) const {
  for (size_t i = 0; i < rows_.size(); ++i) {
    const Row& row = rows_[i];
    const int32_t* const table = RowOf(block_table, static_cast<int64_t>(i));
    if (!std::equal(table + row.first, table + row.end, entries_.begin() + row.offset + row.first))
      return false;
  }
  return true;
}

}  // namespace tamis::prim
