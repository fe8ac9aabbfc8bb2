#include "tools/tamis/demo/dsa/selection.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <utility>

#include "tools/tamis/demo/answer.h"
#include "tools/tamis/demo/embed.h"

namespace tamis::tools::demo::dsa {
namespace {

constexpr int64_t kGap = 8;  // tokens between best positions of one passage
constexpr int64_t kUnselected = std::numeric_limits<int64_t>::max();

std::vector<Passage> Group(const Text& text, std::vector<std::pair<int64_t, int64_t>> best) {
  std::sort(best.begin(), best.end());  // (position, rank)
  std::vector<Passage> passages;
  for (const auto& [position, rank] : best) {
    const int64_t source_first = text.SourceOf(position).first;
    // A key is made of the token and those before it.
    const int64_t first = std::max(source_first, position - kGather + 1);
    if (passages.empty() || passages.back().last + kGap < first ||
        passages.back().first < source_first)
      passages.push_back({.first = first, .best_rank = rank});
    Passage& passage = passages.back();
    passage.last = position + 1;
    passage.best_rank = std::min(passage.best_rank, rank);
    ++passage.count;
    passage.points += kBest + 1 - rank;
  }
  std::stable_sort(passages.begin(), passages.end(),
                   [](const Passage& a, const Passage& b) { return a.points > b.points; });
  return passages;
}

}  // namespace

bool Selection::IsSource(const Passage& passage, const Question& question) const {
  return question.from_text() && passage.first < question.last && question.first < passage.last;
}

Selection Examine(const Text& text, const Question& question, const int32_t* selected,
                  int64_t new_tokens) {
  Selection selection;
  selection.new_ranks.assign(static_cast<size_t>(new_tokens), 0);
  std::vector<int64_t> own_ranks;
  std::vector<std::pair<int64_t, int64_t>> best;
  for (int64_t rank = 1; rank <= kTop && selected[rank - 1] >= 0; ++rank) {
    const int64_t position = selected[rank - 1];
    selection.selected = rank;
    if (position >= text.size())
      selection.new_ranks[static_cast<size_t>(position - text.size())] = rank;
    else if (rank <= kBest)
      best.emplace_back(position, rank);
    if (question.from_text() && position >= question.first && position < question.last)
      own_ranks.push_back(rank);
  }
  selection.passages = Group(text, std::move(best));
  if (!question.from_text()) return selection;
  selection.own_tokens = question.last - question.first;
  selection.own_selected = static_cast<int64_t>(own_ranks.size());
  own_ranks.resize(static_cast<size_t>(selection.own_tokens), kUnselected);
  // The upper of two middle ones.
  const int64_t median = own_ranks[own_ranks.size() / 2];
  selection.own_median = median == kUnselected ? 0 : median;
  return selection;
}

double DenseMass(const Step& step, int64_t token) {
  double mass = 0;
  for (int64_t row = token * kHeads; row < (token + 1) * kHeads; ++row)
    mass += std::exp(step.sparse.LogSumExp(row) - step.dense.LogSumExp(row)) / kHeads;
  return mass;
}

double MeanCosine(const Step& step, int64_t token) {
  const int64_t first = token * kHeads * kLatent;
  return demo::MeanCosine(step.sparse.out.data() + first, step.dense.out.data() + first, kHeads,
                          kLatent);
}

}  // namespace tamis::tools::demo::dsa
