#include "tools/tamis/demo/excerpt.h"

#include <vector>

namespace tamis::tools::demo {
namespace {

constexpr unsigned char kLeadOfU3000 = 0xe3;

// Bytes of the well-formed UTF-8 character at the start, 0 if there is none. Overlong forms and
// surrogates are not worth refusing: no terminal acts on them.
size_t CharacterBytes(std::string_view bytes) {
  const auto lead = static_cast<unsigned char>(bytes[0]);
  const size_t size = lead < 0x80 ? 1 : lead < 0xc2 ? 0 : lead < 0xe0 ? 2 : lead < 0xf0 ? 3 : 4;
  if (lead > 0xf4 || size > bytes.size()) return 0;
  for (size_t i = 1; i < size; ++i) {
    if ((static_cast<unsigned char>(bytes[i]) & 0xc0) != 0x80) return 0;
  }
  // U+0080 to U+009f are control characters to some terminals.
  return size == 2 && lead == 0xc2 && static_cast<unsigned char>(bytes[1]) < 0xa0 ? 0 : size;
}

bool IsSpace(char c) { return static_cast<unsigned char>(c) <= 0x20 || c == 0x7f; }

// One token as it is shown: text, and whether spaces stand before it.
struct Shown {
  std::string text;
  bool spaced = false;
  float weight = 0;  // above 0: in common with the question
};

std::vector<Shown> ShowTokens(const Text& text, const Vocabulary& vocabulary,
                              const Question& question, int64_t first, int64_t last) {
  std::vector<Shown> shown;
  for (int64_t t = first; t < last; ++t) {
    const std::string_view token = text.TokenText(t);
    Shown s;
    s.text = OnOneLine(token);
    s.spaced = t > first && text.token(t - 1).end < text.token(t).begin;
    if (text.token(t).word && question.Holds(token)) s.weight = vocabulary.Weight(Grams(token)[0]);
    shown.push_back(std::move(s));
  }
  return shown;
}

// The stretch from `begin` that fits, with brackets around runs of common words.
std::string Line(const std::vector<Shown>& shown, size_t begin, int64_t columns, float* weight) {
  std::string line;
  bool open = false;
  *weight = 0;
  for (size_t i = begin; i < shown.size(); ++i) {
    const bool common = shown[i].weight > 0;
    std::string piece = open && !common ? "]" : "";
    if (shown[i].spaced && i > begin) piece += ' ';
    if (common && !open) piece += '[';
    piece += shown[i].text;
    if (Columns(line) + Columns(piece) + (common ? 1 : 0) > columns) break;
    line += piece;
    open = common;
    *weight += shown[i].weight;
  }
  return open ? line + ']' : line;
}

}  // namespace

std::string OnOneLine(std::string_view bytes) {
  std::string line;
  for (size_t at = 0; at < bytes.size();) {
    if (IsSpace(bytes[at])) {
      if (!line.empty() && line.back() != ' ') line += ' ';
      ++at;
      continue;
    }
    const size_t size = CharacterBytes(bytes.substr(at));
    if (size == 0) {
      line += '?';
      ++at;
    } else {
      line += bytes.substr(at, size);
      at += size;
    }
  }
  if (!line.empty() && line.back() == ' ') line.pop_back();
  return line;
}

int64_t Columns(std::string_view line) {
  int64_t columns = 0;
  for (char c : line) {
    const auto byte = static_cast<unsigned char>(c);
    if ((byte & 0xc0) != 0x80) columns += byte >= kLeadOfU3000 ? 2 : 1;
  }
  return columns;
}

std::string Excerpt(const Text& text, const Vocabulary& vocabulary, const Question& question,
                    int64_t first, int64_t last, int64_t columns) {
  const std::vector<Shown> shown = ShowTokens(text, vocabulary, question, first, last);
  std::string best;
  float best_weight = -1;
  for (size_t begin = 0; begin < shown.size(); ++begin) {
    float weight = 0;
    std::string line = Line(shown, begin, columns, &weight);
    if (weight <= best_weight) continue;
    best = std::move(line);
    best_weight = weight;
  }
  return best;
}

}  // namespace tamis::tools::demo
