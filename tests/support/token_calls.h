// Layouts and lengths of the operators on query tokens and keys, and where the keys of a call lie.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "tests/support/sequences.h"
#include "tests/support/test_call.h"

namespace tamis::test {

enum class Keys { kBsnd, kTnd, kPaged };

struct Tokens {
  DType dtype = DType::kBFloat16;
  bool tnd = false;
  Keys keys = Keys::kBsnd;
  int64_t page = 16;
  std::vector<int64_t> q = {3};   // query tokens per sequence
  std::vector<int64_t> n = {40};  // keys per sequence
  int64_t padding = 0;  // query rows past the last token: of every entry (BSND) or of all (TND)
  DType lengths = DType::kInt32;
  int64_t gap = 0;
  std::vector<int64_t> starts = {};  // first keys that count, per sequence; none: absent
  bool limits = false;               // query tokens have limits of their own, of any size
  bool out_float32 = false;
  int64_t ratio = 1;              // raw tokens that a key stands for
  std::vector<int64_t> raw = {};  // tokens per sequence; none: absent

  /// Shape of a tensor with these dimensions per query token.
  std::vector<int64_t> QueryShape(const std::vector<int64_t>& inner) const;
};

/// Where the keys of a call lie. There are rows that no sequence has: past the ends (BSND), on
/// spare pages and on the rest of the last ones (PA_BSND).
class Placement {
 public:
  Placement(const Tokens& tokens, Random* random);

  /// Shape of a tensor with `dim` elements per key, and head.
  std::vector<int64_t> Shape(int64_t dim, int64_t heads = 1) const;
  /// Elements of a tensor of `row` elements per key: normal, and NaN in rows that no sequence has.
  std::function<double(int64_t)> Values(int64_t row, Random* random) const;
  int64_t rows() const { return static_cast<int64_t>(held_.size()); }
  /// Whether a sequence has the row, leading dimensions flattened.
  bool Holds(int64_t row) const { return held_[static_cast<size_t>(row)]; }
  const std::optional<Pages>& pages() const { return pages_; }
  /// Row of a position of a sequence.
  int64_t RowOf(int64_t sequence, int64_t position) const;

 private:
  std::vector<int64_t> shape_;
  std::vector<int64_t> prefix_;  // where sequences begin, where keys are packed
  std::vector<bool> held_;
  std::optional<Pages> pages_;
};

/// Of a random call: some sequences are padded on the left, some tokens have limits, and the output
/// may be fp32.
void HideSomeKeys(Tokens* tokens, Random* random);
/// Of a random call: keys stand for several tokens.
void CompressSomeKeys(Tokens* tokens, Random* random);

/// Sets layouts, lengths, starts, limits and page table; `keys` names the keys in layout_<keys> and
/// actual_seq_lengths_<keys>.
void SetSequences(TestCall* call, const Tokens& tokens, const Placement& place,
                  const std::string& keys);

}  // namespace tamis::test
