// Questions against paged caches: compressed attention selects blocks, selected attention reads
// their raw tokens; dense attention over all of them beside it.
#pragma once

#include <cstdint>
#include <functional>
#include <vector>

#include "tools/tamis/demo/calls.h"
#include "tools/tamis/demo/prefill.h"

namespace tamis::tools::demo {

/// Pages of `page_rows` rows in shuffled order; spare pages hold NaN, so that reading one shows.
struct PagedCache {
  int64_t page_rows = 0;
  int64_t pages = 0;
  std::vector<uint16_t> key;
  std::vector<uint16_t> value;
  std::vector<int32_t> page_of;  ///< Physical page of each logical one.
};

/// Outputs of a step of `questions` sequences, one query token each.
struct Step {
  std::vector<uint16_t> compressed_out;  ///< [questions, kQueryHeads, kValueDim]
  std::vector<int32_t> selected;         ///< [questions, kKeyHeads, kBlocksPerHead]
  std::vector<uint16_t> sparse_out;      ///< [questions, kQueryHeads, kValueDim]
  std::vector<uint16_t> dense_out;       ///< [questions, kQueryHeads, kValueDim]
  Measured select, attend, dense;

  bool SameOutputs(const Step& other, int64_t question) const;
};

/// What the reference is asked for.
struct Check {
  std::vector<Agreement>* agreements = nullptr;  ///< One per question.
  int64_t dense_questions = 0;                   ///< Dense attention of the first ones only.
  std::function<void(int64_t done, int64_t total)> progress = {};
};

class Decoder {
 public:
  /// Deals compressed rows to pages of 128, raw rows to pages of 64, all heads of a row together.
  Decoder(const Context& context, const Memory& memory);

  int64_t compressed_pages() const { return compressed_.pages; }
  int64_t raw_pages() const { return raw_.pages; }

  /// Runs the three calls on [questions, kQueryHeads, kKeyDim]. With `check`, the reference
  /// computes all rows of the first two and some of the third.
  Status Run(const std::vector<uint16_t>& query, int64_t questions, Step* step,
             const Check* check = nullptr);

 private:
  Status Select(const std::vector<uint16_t>& query, int64_t questions, Step* step,
                const Check* check);
  Status Attend(const std::vector<uint16_t>& query, int64_t questions, Step* step,
                const Check* check);
  Status AttendToAll(const std::vector<uint16_t>& query, int64_t questions, Step* step,
                     const Check* check);

  Context context_;
  int64_t tokens_;
  int64_t windows_;
  PagedCache compressed_;
  PagedCache raw_;
  Workspace workspace_;
};

}  // namespace tamis::tools::demo
