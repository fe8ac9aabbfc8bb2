#include "registry/json.h"

#include "registry/join.h"

namespace tamis::registry {

std::string JsonString(std::string_view text) {
  static constexpr char kHex[] = "0123456789abcdef";
  std::string json = "\"";
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if (c == '"' || c == '\\') {
      json += {'\\', c};
    } else if (byte < 0x20 || byte == 0x7f) {
      json += {'\\', 'u', '0', '0', kHex[byte >> 4], kHex[byte & 15]};
    } else {
      json += c;
    }
  }
  return json + "\"";
}

std::string JsonOrNull(std::string_view text) { return text.empty() ? "null" : JsonString(text); }

std::string JsonList(const std::vector<std::string>& items) {
  return "[" + Join(items, ",", JsonString) + "]";
}

const char* JsonBool(bool value) { return value ? "true" : "false"; }

}  // namespace tamis::registry
