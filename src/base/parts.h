// The parts of a text between separators, without copies: entries of "T, N, D", factors of "N*D".
#pragma once

#include <cstddef>
#include <string_view>

namespace tamis::base {

inline std::string_view Trimmed(std::string_view text) {
  const size_t first = text.find_first_not_of(' ');
  if (first == std::string_view::npos) return {};
  return text.substr(first, text.find_last_not_of(' ') - first + 1);
}

/// Whether a term is a number, and no name.
inline bool IsNumber(std::string_view term) {
  return !term.empty() && term.find_first_not_of("0123456789") == std::string_view::npos;
}

/// A range of trimmed parts; of an empty text there is none.
class Parts {
 public:
  Parts(std::string_view text, char separator) : text_(text), separator_(separator) {}

  class Iterator {
   public:
    Iterator(std::string_view rest, char separator) : rest_(rest), separator_(separator) {}
    std::string_view operator*() const { return Trimmed(rest_.substr(0, rest_.find(separator_))); }
    Iterator& operator++() {
      const size_t end = rest_.find(separator_);
      rest_ = end == std::string_view::npos ? std::string_view{} : rest_.substr(end + 1);
      return *this;
    }
    bool operator!=(const Iterator& other) const { return rest_.size() != other.rest_.size(); }

   private:
    std::string_view rest_;
    char separator_;
  };
  Iterator begin() const { return {text_, separator_}; }
  Iterator end() const { return {{}, separator_}; }

  /// Of a list of entries, as many as a tensor has dimensions.
  int size() const {
    int count = 0;
    for (Iterator i = begin(); i != end(); ++i) ++count;
    return count;
  }

 private:
  std::string_view text_;
  char separator_;
};

}  // namespace tamis::base
