#include "tools/tamis/demo/text.h"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <fstream>

#include "base/errors.h"

namespace tamis::tools::demo {
namespace {

// A text is read whole; what pretends to be an endless one is not.
constexpr size_t kMostBytes = size_t{256} << 20;

// More control characters than this share, or any NUL: not a text.
constexpr double kMostControl = 0.02;

constexpr unsigned char kLeadOfU2000 = 0xe2;  // U+2000 to U+2fff: punctuation and symbols

enum class Kind { kSpace, kLetter, kDigit, kSymbol, kAlone };

Kind KindOf(unsigned char c) {
  if (c <= 0x20 || c == 0x7f) return Kind::kSpace;
  if (c >= '0' && c <= '9') return Kind::kDigit;
  if ((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z')) return Kind::kLetter;
  if (c >= kLeadOfU2000 && c <= 0xf4) return Kind::kAlone;
  return c >= 0x80 ? Kind::kLetter : Kind::kSymbol;
}

// Bytes of the UTF-8 character at `at`, cut where continuation bytes end.
size_t CharacterBytes(std::string_view bytes, size_t at) {
  size_t end = at + 1;
  while (end < bytes.size() && end - at < 4 &&
         (static_cast<unsigned char>(bytes[end]) & 0xc0) == 0x80)
    ++end;
  return end - at;
}

// The end of the token that begins at `at`.
size_t TokenEnd(std::string_view bytes, size_t at) {
  const auto kind = [&](size_t i) { return KindOf(static_cast<unsigned char>(bytes[i])); };
  const Kind first = kind(at);
  if (first == Kind::kAlone) return at + CharacterBytes(bytes, at);
  size_t end = at + 1;
  for (; end < bytes.size(); ++end) {
    if (first == Kind::kSymbol) {
      if (bytes[end] != bytes[at]) break;
      continue;
    }
    if (kind(end) == first) continue;
    const char joint = first == Kind::kLetter ? '\'' : '.';
    if (bytes[end] == joint && end + 1 < bytes.size() && kind(end + 1) == first) continue;
    break;
  }
  return end;
}

Status CheckIsText(const std::string& path, const std::string& bytes) {
  if (bytes.empty()) return base::Invalid(path, "a text", "an empty file");
  int64_t control = 0;
  for (char c : bytes) {
    const auto byte = static_cast<unsigned char>(c);
    if (byte == 0) return base::Invalid(path, "a text", "binary data (it holds NUL bytes)");
    if (byte < 0x20 && (byte < '\t' || byte > '\r') && byte != 0x1b) ++control;
  }
  if (static_cast<double>(control) > kMostControl * static_cast<double>(bytes.size()))
    return base::Invalid(path, "a text", "binary data (it holds control characters)");
  return Status::Ok();
}

}  // namespace

std::string_view Text::Span(int64_t first, int64_t last) const {
  if (first >= last) return {};
  const int64_t begin = token(first).begin;
  return std::string_view(bytes).substr(static_cast<size_t>(begin),
                                        static_cast<size_t>(token(last - 1).end - begin));
}

const Source& Text::SourceOf(int64_t index) const {
  return *std::find_if(sources.begin(), sources.end(),
                       [&](const Source& source) { return index < source.last; });
}

std::vector<Token> Tokenise(std::string_view bytes) {
  std::vector<Token> tokens;
  for (size_t at = 0; at < bytes.size();) {
    const Kind kind = KindOf(static_cast<unsigned char>(bytes[at]));
    if (kind == Kind::kSpace) {
      ++at;
      continue;
    }
    const size_t end = TokenEnd(bytes, at);
    const bool symbol =
        kind == Kind::kSymbol || static_cast<unsigned char>(bytes[at]) == kLeadOfU2000;
    tokens.push_back({static_cast<int64_t>(at), static_cast<int64_t>(end), !symbol});
    at = end;
  }
  return tokens;
}

void AppendBytes(std::string_view title, std::string_view bytes, Text* text) {
  const auto offset = static_cast<int64_t>(text->bytes.size());
  Source source = {std::string(title), text->size(), 0};
  for (Token token : Tokenise(bytes)) {
    token.begin += offset;
    token.end += offset;
    text->tokens.push_back(token);
  }
  source.last = text->size();
  text->bytes.append(bytes);
  text->bytes.push_back('\n');
  if (source.last > source.first) text->sources.push_back(std::move(source));
}

Status AppendFile(const std::string& path, Text* text) {
  std::error_code error;
  if (std::filesystem::is_directory(path, error))
    return base::Invalid(path, "a file", "a directory");
  std::ifstream file(path, std::ios::binary);
  if (!file) return base::Invalid(path, "a text that can be read", std::strerror(errno));
  std::string bytes;
  std::vector<char> part(size_t{1} << 16);
  while (file.read(part.data(), static_cast<std::streamsize>(part.size())) || file.gcount() > 0) {
    bytes.append(part.data(), static_cast<size_t>(file.gcount()));
    if (bytes.size() > kMostBytes)
      return base::Invalid(path, "at most " + std::to_string(kMostBytes) + " bytes", "more");
  }
  if (file.bad()) return base::Invalid(path, "a text that can be read", std::strerror(errno));
  TAMIS_RETURN_IF_ERROR(CheckIsText(path, bytes));
  AppendBytes(std::filesystem::path(path).filename().string(), bytes, text);
  return Status::Ok();
}

void Truncate(int64_t limit, Text* text) {
  if (text->size() <= limit) return;
  text->dropped_tokens += text->size() - limit;
  text->tokens.resize(static_cast<size_t>(limit));
  auto& sources = text->sources;
  while (!sources.empty() && sources.back().first >= limit) sources.pop_back();
  if (!sources.empty()) sources.back().last = std::min(sources.back().last, limit);
  if (limit > 0) text->bytes.resize(static_cast<size_t>(text->tokens.back().end));
}

std::vector<std::string> RegularFiles(const std::string& directory) {
  std::vector<std::string> files;
  std::error_code error;
  for (std::filesystem::directory_iterator it(directory, error), end; !error && it != end;
       it.increment(error)) {
    std::error_code ignored;
    if (it->symlink_status(ignored).type() == std::filesystem::file_type::regular)
      files.push_back(it->path().string());
  }
  std::sort(files.begin(), files.end());
  return files;
}

}  // namespace tamis::tools::demo
