#include "tools/tamis/demo/dsa/report.h"

#include <algorithm>
#include <utility>

#include "tools/tamis/demo/excerpt.h"
#include "tools/tamis/demo/report.h"
#include "tools/tamis/text.h"

namespace tamis::tools::demo::dsa {
namespace {

std::string DescribePassage(const Text& text, const Vocabulary& vocabulary, const Asked& asked,
                            size_t number, const Passage& passage) {
  const bool source = asked.selection.IsSource(passage, asked.question);
  return Format("  %3zu. %-42s %2lld of the best %lld, from rank %lld%s\n", number,
                Place(text, passage.first, passage.last).c_str(),
                static_cast<long long>(passage.count), static_cast<long long>(kBest),
                static_cast<long long>(passage.best_rank), source ? ", its source" : "") +
         "       | " +
         Excerpt(text, vocabulary, asked.question, passage.first, passage.last, kColumns - 9) +
         "\n";
}

std::string DescribeAgreement(const Asked& asked) {
  if (!asked.agreement.ok()) return "reference DISAGREES; ";
  if (!asked.same_first) return "the first of two DIFFERS from the one; ";
  if (!asked.one.fused_agrees || !asked.two.fused_agrees)
    return "sparse_attention_pto DIFFERS from the four; ";
  return asked.checked ? "reference agrees; " : "";
}

double FourSeconds(const Times& times) {
  return times.mla.seconds + times.index.seconds + times.select.seconds + times.attend.seconds;
}

}  // namespace

std::string Describe(const Text& text, const Vocabulary& vocabulary, int64_t number,
                     int64_t passages, const Asked& asked) {
  const Selection& selection = asked.selection;
  std::string out = Heading(text, number, asked.question);
  if (asked.question.from_text()) {
    out += Format(": %s, %lld of %lld tokens selected", selection.found() ? "found" : "NOT FOUND",
                  static_cast<long long>(selection.own_selected),
                  static_cast<long long>(selection.own_tokens));
    if (selection.own_median > 0)
      out += Format(", median rank %lld", static_cast<long long>(selection.own_median));
  }
  out += "\n";
  for (size_t i = 0; i < selection.passages.size(); ++i) {
    const Passage& passage = selection.passages[i];
    if (static_cast<int64_t>(i) < passages || selection.IsSource(passage, asked.question))
      out += DescribePassage(text, vocabulary, asked, i + 1, passage);
  }
  out += Format(
      "    holds %.1f%% of dense attention's mass in %lld of %lld tokens; output cosine %.4f\n",
      100 * asked.mass, static_cast<long long>(selection.selected),
      static_cast<long long>(text.size()) + 1, asked.cosine);
  const int64_t rank = asked.second.new_ranks[0];
  out += "    of two new tokens the second " +
         (rank == 0 ? std::string("does not select the first")
                    : Format("has the first at rank %lld", static_cast<long long>(rank))) +
         Format(" and holds %.1f%% of the mass\n", 100 * asked.second_mass);
  const Times& times = asked.one.times;
  const double sparse = times.select.seconds + times.attend.seconds;
  out += "    " + DescribeAgreement(asked) + "layer " + Duration(FourSeconds(times)) + "; select " +
         Duration(times.select.seconds) + " + attend " + Duration(times.attend.seconds) +
         ", dense " + Duration(times.dense.seconds) +
         Format(": %.1fx\n", times.dense.seconds / sparse);
  if (!asked.agreement.ok()) out += "    " + asked.agreement.first_mismatch + "\n";
  return out;
}

std::string StageTable(const std::vector<Asked>& asked) {
  using Stage = Measured Times::*;
  const std::vector<std::pair<const char*, Stage>> stages = {
      {"mla_prolog", &Times::mla},
      {"indexer_prolog", &Times::index},
      {"lightning_indexer", &Times::select},
      {"sparse_flash_attention, the selected", &Times::attend},
      {"sparse_attention_pto, these four", &Times::fused},
      {"sparse_flash_attention, all tokens", &Times::dense},
  };
  std::vector<std::vector<std::string>> cells = {
      {"stage", ">1 new token", ">touched", ">2 new tokens", ">touched"}};
  for (const auto& [name, stage] : stages) {
    std::vector<std::string> row = {name};
    for (Step Asked::*step : {&Asked::one, &Asked::two}) {
      std::vector<double> seconds(asked.size());
      std::transform(
          asked.begin(), asked.end(), seconds.begin(),
          [step, stage = stage](const Asked& a) { return ((a.*step).times.*stage).seconds; });
      row.push_back(Duration(Median(std::move(seconds))));
      row.push_back(Bytes(((asked[0].*step).times.*stage).bytes));
    }
    cells.push_back(std::move(row));
  }
  return Table(std::move(cells));
}

}  // namespace tamis::tools::demo::dsa
