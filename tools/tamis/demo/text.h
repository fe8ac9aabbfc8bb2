// The demo's text: files read, joined and cut into tokens that remember where they stand.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "tamis/status.hpp"

namespace tamis::tools::demo {

/// A word, a number, or a run of one punctuation mark: bytes [begin, end) of the text.
struct Token {
  int64_t begin = 0;
  int64_t end = 0;
  bool word = false;  ///< Letters or digits, not punctuation.
};

/// One file: tokens [first, last) of the text.
struct Source {
  std::string title;
  int64_t first = 0;
  int64_t last = 0;
};

struct Text {
  std::string bytes;
  std::vector<Token> tokens;
  std::vector<Source> sources;
  int64_t dropped_tokens = 0;  ///< Past the limit that was asked for.

  int64_t size() const { return static_cast<int64_t>(tokens.size()); }
  const Token& token(int64_t index) const { return tokens[static_cast<size_t>(index)]; }
  /// The bytes from token `first` to before token `last`.
  std::string_view Span(int64_t first, int64_t last) const;
  std::string_view TokenText(int64_t index) const { return Span(index, index + 1); }
  const Source& SourceOf(int64_t index) const;
};

/// Offsets are relative to `bytes`. Letters are those of ASCII, everything from U+0080 to U+1FFF,
/// and an apostrophe between letters; from U+2000 on (symbols, scripts without spaces) every
/// character is a token. Digits join over '.' between digits. Spaces and control characters
/// separate.
std::vector<Token> Tokenise(std::string_view bytes);

/// Appends one file. Refuses what cannot be read, is empty, or is no text.
Status AppendFile(const std::string& path, Text* text);

/// Appends text from memory under a title.
void AppendBytes(std::string_view title, std::string_view bytes, Text* text);

/// Keeps the first `limit` tokens.
void Truncate(int64_t limit, Text* text);

/// The regular files of a directory, symbolic links skipped, sorted by name; empty where there are
/// none.
std::vector<std::string> RegularFiles(const std::string& directory);

}  // namespace tamis::tools::demo
