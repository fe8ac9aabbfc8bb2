// Pieces of JSON.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace tamis::registry {

/// `text` as a JSON string, quotes included.
std::string JsonString(std::string_view text);
/// The same; null where it is empty.
std::string JsonOrNull(std::string_view text);
/// A list of strings.
std::string JsonList(const std::vector<std::string>& items);
const char* JsonBool(bool value);

}  // namespace tamis::registry
