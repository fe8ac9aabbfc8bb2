// Where elements of an output differ, in the words of its contract: the shape symbols name what an
// index counts, and the call's lengths say whose token it is.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/contract.h"

namespace tamis::registry {

/// What an index of a dimension counts: {"token", "tokens"} for "T". Null where a symbol is not
/// known.
struct DimensionWord {
  const char* symbol;
  const char* one;
  const char* many;
};
const DimensionWord* FindWord(std::string_view symbol);

/// The multi-index of an element of a dense tensor of this shape.
std::vector<int64_t> IndexOf(const std::vector<int64_t>& shape, int64_t element);

/// "[200, 2, 0]"
std::string IndexText(const std::vector<int64_t>& index);

/// Which indices of every dimension elements have that were added. Their number may be that of the
/// box which these indices span, or less.
class Spread {
 public:
  explicit Spread(std::vector<int64_t> shape);
  void Add(const std::vector<int64_t>& index);
  void Merge(const Spread& other);

  int64_t count() const { return count_; }
  /// Ascending.
  std::vector<int64_t> Of(size_t dim) const;
  const std::vector<int64_t>& shape() const { return shape_; }

 private:
  std::vector<int64_t> shape_;
  std::vector<std::vector<bool>> met_;  // by dimension; empty until something is added
  int64_t count_ = 0;
};

/// The dimensions of one output of one call.
class Locator {
 public:
  /// `dims` are those that the operator inferred from the call.
  Locator(const base::Contract& contract, const base::Field& field, const void* params,
          const base::Dims& dims);

  /// "sequence 2, token 70, head 2": of the dimensions that `spread` does not fill; empty where it
  /// fills all.
  std::string Describe(const std::vector<int64_t>& index, const Spread& spread) const;

  /// "all 18 channels of head 2, tokens 200 to 202 (tokens 70 to 72 of sequence 2)", preceded by
  /// "51 of the 54 elements in " where not the whole box was added.
  std::string Pattern(const Spread& spread) const;

 private:
  struct Dimension {
    std::string symbol;
    const std::vector<int64_t>* ends = nullptr;  // of its sequences
  };
  std::vector<Dimension> dims_;
};

}  // namespace tamis::registry
