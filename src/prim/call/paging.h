// Page tables from outside, checked, of which a plan keeps the entries that it needs.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "tamis/status.hpp"
#include "tamis/tensor.hpp"

namespace tamis::prim {

/// The entries of a [batch, max_pages] int32 tensor that hold the keys of its sequences: copies, so
/// that it does not matter what becomes of the tensor.
class PageTable {
 public:
  /// Nothing has been read yet, of a table of `batch` sequences. Keeps its memory.
  void Begin(int64_t batch);
  void NotPaged();
  /// Reads the pages that hold keys [first, keys) of a sequence. They must be in the row, and below
  /// `pages`. Errors call the tensor `name`.
  Status Read(const TensorView& block_table, int64_t sequence, int64_t keys, int64_t page_size,
              int64_t pages, int64_t first = 0, const char* name = "block_table");

  /// Whether the tensor has the entries that were read.
  bool Holds(const TensorView& block_table) const;

  bool paged() const { return paged_; }
  /// Entry i of a sequence's row is at data()[offset(sequence) + i]. Null: not paged.
  const int32_t* data() const { return paged_ ? entries_.data() : nullptr; }
  int64_t offset(int64_t sequence) const { return rows_[static_cast<size_t>(sequence)].offset; }
  int32_t page(int64_t sequence, int64_t i) const {
    return entries_[static_cast<size_t>(offset(sequence) + i)];
  }

 private:
  struct Row {
    int64_t offset = 0;
    int64_t first = 0;  // entries [first, end) were read
    int64_t end = 0;
  };

  bool paged_ = false;
  std::vector<Row> rows_;
  std::vector<int32_t> entries_;
};

}  // namespace tamis::prim
