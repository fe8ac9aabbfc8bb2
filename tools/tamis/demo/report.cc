#include "tools/tamis/demo/report.h"

#include <algorithm>

#include "tools/tamis/demo/excerpt.h"
#include "tools/tamis/text.h"

namespace tamis::tools::demo {
namespace {

constexpr int64_t kLongestTitle = 24;

// At most `columns` columns, cut between characters.
std::string Shorten(std::string line, int64_t columns) {
  if (Columns(line) <= columns) return line;
  while (Columns(line) > columns - 3) line.pop_back();
  return line + "...";
}

// The part of a block that lies in the file which has most of it.
std::pair<int64_t, int64_t> MainPart(const Text& text, int64_t block) {
  const int64_t first = block * kBlock;
  const int64_t last = std::min(first + kBlock, text.size());
  const int64_t boundary = text.SourceOf(first).last;
  if (boundary >= last || boundary - first >= last - boundary)
    return {first, std::min(last, boundary)};
  return {boundary, std::min(last, text.SourceOf(boundary).last)};
}

std::string DescribePassage(const Text& text, const Features& features, const Question& question,
                            size_t rank, const Passage& passage) {
  const auto [first, last] = MainPart(text, passage.block);
  const bool home = question.from_text() && passage.block == question.HomeBlock();
  std::string line =
      Format("  %3zu. %-42s %lld of %lld kv heads, %5.1f%% of dense mass%s\n", rank,
             Place(text, first, last).c_str(), static_cast<long long>(passage.heads),
             static_cast<long long>(kKeyHeads), 100 * passage.mass, home ? ", its source" : "");
  return line + "       | " + Excerpt(text, features, question, first, last, kColumns - 9) + "\n";
}

}  // namespace

std::string Place(const Text& text, int64_t first, int64_t last) {
  const Source& source = text.SourceOf(first);
  const int64_t end = std::min(last, source.last);
  return Shorten(OnOneLine(source.title), kLongestTitle) +
         Format(", tokens %lld-%lld", static_cast<long long>(first - source.first),
                static_cast<long long>(end - 1 - source.first));
}

std::string DescribeText(const Corpus& corpus, const Vocabulary& vocabulary) {
  const Text& text = corpus.text;
  std::string out = "text      " + corpus.name + "\n          " +
                    Bytes(static_cast<double>(text.bytes.size())) +
                    Format(", %lld tokens, %lld distinct", static_cast<long long>(text.size()),
                           static_cast<long long>(vocabulary.distinct_tokens()));
  if (text.dropped_tokens > 0)
    out +=
        Format(" (the first; %lld more are left out)", static_cast<long long>(text.dropped_tokens));
  return out + "\n";
}

std::string Heading(const Text& text, int64_t number, const Question& question) {
  return Format("%2lld  ", static_cast<long long>(number)) + "\"" +
         Shorten(OnOneLine(question.text), kColumns - 6) + "\"\n    " +
         (question.from_text() ? "from " + Place(text, question.first, question.last)
          : question.users     ? "asked by you"
                               : "a well-known phrase");
}

std::string Duration(double seconds) {
  return seconds < 1 ? Format("%.3g ms", seconds * 1e3) : Format("%.3g s", seconds);
}

std::string CallTable(const std::vector<CallRow>& rows) {
  std::vector<std::vector<std::string>> cells = {
      {"call", "size", ">time", ">GFLOP/s", ">workspace"}};
  for (const CallRow& row : rows) {
    const Measured& m = row.measured;
    cells.push_back({row.call, row.size, Duration(m.seconds),
                     Format("%.1f", m.flops / m.seconds * 1e-9),
                     Bytes(static_cast<double>(m.workspace_bytes))});
  }
  return Table(std::move(cells));
}

std::string Describe(const Text& text, const Features& features, const Memory& memory,
                     int64_t number, int64_t passages, const QuestionReport& report) {
  const Question& question = report.question;
  const Answer& answer = report.answer;
  std::string out = Heading(text, number, question);
  if (question.from_text()) {
    out += Format(": %s, selected by %lld of %lld kv heads", answer.found() ? "found" : "NOT FOUND",
                  static_cast<long long>(answer.home_heads), static_cast<long long>(kKeyHeads));
  }
  out += "\n";
  for (size_t i = 0; i < answer.passages.size(); ++i) {
    const Passage& passage = answer.passages[i];
    const bool home = question.from_text() && passage.block == question.HomeBlock();
    if (static_cast<int64_t>(i) < passages || home)
      out += DescribePassage(text, features, question, i + 1, passage);
  }
  out += Format(
      "    holds %.1f%% of dense attention's mass (%.1f%% forced) in %lld of %lld blocks; output "
      "cosine %.4f\n",
      100 * answer.selected_mass, 100 * answer.forced_mass,
      static_cast<long long>(answer.blocks_per_head), static_cast<long long>(memory.blocks),
      answer.cosine);
  const Timing& t = report.timing;
  const double sparse = t.select + t.attend;
  out += "    reference " + std::string(report.agreement.ok() ? "agrees" : "DISAGREES") +
         "; sparse " + Duration(sparse) + " (select " + Duration(t.select) + ", attend " +
         Duration(t.attend) + "), dense " + Duration(t.dense) +
         Format(": %.1fx\n", t.dense / sparse);
  if (!report.agreement.ok()) out += "    " + report.agreement.first_mismatch + "\n";
  return out;
}

}  // namespace tamis::tools::demo
