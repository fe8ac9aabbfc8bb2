// IntList: the documents' `list[int]`.
#pragma once

#include <concepts>
#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <type_traits>
#include <utility>
#include <vector>

namespace tamis {

/// Integers of its own: `{64}`, a vector, a std::span or any other contiguous container is copied
/// (a std::vector<int64_t> may be moved in). A default-constructed list, `{}`, is *absent*; a list
/// from an empty container is given, and empty.
class IntList {
 public:
  IntList() = default;
  IntList(std::initializer_list<int64_t> values)  // NOLINT(google-explicit-constructor)
      : values_(values), given_(true) {}
  IntList(std::vector<int64_t> values)  // NOLINT(google-explicit-constructor)
      : values_(std::move(values)), given_(true) {}
  template <class Container>
  requires requires(const Container& c) {
    { c.size() } -> std::convertible_to<size_t>;
    requires std::integral<std::remove_cvref_t<decltype(*c.data())>>;
    requires sizeof(*c.data()) >= sizeof(int32_t);  // no text
  }
  IntList(const Container& values)  // NOLINT(google-explicit-constructor)
      : values_(values.data(), values.data() + values.size()), given_(true) {}

  bool absent() const { return !given_; }
  bool empty() const { return values_.empty(); }
  int64_t size() const { return static_cast<int64_t>(values_.size()); }
  int64_t operator[](int64_t index) const { return values_[static_cast<size_t>(index)]; }
  const int64_t* data() const { return values_.data(); }
  const int64_t* begin() const { return values_.data(); }
  const int64_t* end() const { return values_.data() + values_.size(); }

 private:
  std::vector<int64_t> values_;
  bool given_ = false;
};

}  // namespace tamis
