// Join: one text of many.
#pragma once

#include <string>
#include <string_view>

namespace tamis::registry {

/// What `function` makes of each item.
template <class Range, class Function>
std::string Join(const Range& range, std::string_view separator, Function&& function) {
  std::string text;
  bool first = true;
  for (const auto& item : range) {
    if (!first) text += separator;
    first = false;
    text += function(item);
  }
  return text;
}

/// Of texts.
template <class Range>
std::string Join(const Range& range, std::string_view separator) {
  return Join(range, separator, [](std::string_view item) { return item; });
}

}  // namespace tamis::registry
