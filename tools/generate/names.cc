#include "tools/generate/names.h"

#include <algorithm>
#include <cctype>

namespace tamis::generate {
namespace {

char Upper(char c) { return static_cast<char>(std::toupper(static_cast<unsigned char>(c))); }

}  // namespace

std::string PascalCase(const std::string& name) {
  std::string text;
  bool upper = true;
  for (const char c : name) {
    if (c != '_') text += upper ? Upper(c) : c;
    upper = c == '_';
  }
  return text;
}

std::string UpperCase(std::string name) {
  std::transform(name.begin(), name.end(), name.begin(), Upper);
  return name;
}

std::string Quoted(const std::string& text) {
  std::string quoted = "\"";
  for (const char c : text) quoted += c == '"' ? "\\\"" : std::string(1, c);
  return quoted + "\"";
}

}  // namespace tamis::generate
