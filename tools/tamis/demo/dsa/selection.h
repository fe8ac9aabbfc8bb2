// What the outputs of a step say about one question.
#pragma once

#include <cstdint>
#include <vector>

#include "tools/tamis/demo/dsa/decode.h"
#include "tools/tamis/demo/questions.h"

namespace tamis::tools::demo::dsa {

inline constexpr int64_t kBest = 64;  ///< Positions that passages are made of.

/// Neighbours among the best positions: tokens [first, last) of one file.
struct Passage {
  int64_t first = 0;
  int64_t last = 0;
  int64_t best_rank = 0;  ///< 1 is the first.
  int64_t count = 0;      ///< Of the best positions.
  int64_t points = 0;     ///< kBest for the first rank, 1 for the last, added up.
};

struct Selection {
  int64_t selected = 0;            ///< Positions that the indexer gave, new tokens included.
  std::vector<Passage> passages;   ///< Most points first. New tokens are in none.
  int64_t own_tokens = 0;          ///< Of a phrase of the text.
  int64_t own_selected = 0;        ///< Of these, how many were selected,
  int64_t own_median = 0;          ///< and their median rank; 0: most were not selected.
  std::vector<int64_t> new_ranks;  ///< Of the new tokens that the row sees; 0: not selected.

  /// Most of the phrase's tokens are selected, at a median rank in the first quarter.
  bool found() const { return own_median > 0 && 4 * own_median <= selected; }
  bool IsSource(const Passage& passage, const Question& question) const;
};

/// `selected` [kTop] is a row of lightning_indexer's over the text and then `new_tokens` others.
Selection Examine(const Text& text, const Question& question, const int32_t* selected,
                  int64_t new_tokens);

/// Of dense attention's mass, what lies on the selected positions: exp(lse_sparse - lse_dense),
/// averaged over the heads.
double DenseMass(const Step& step, int64_t token);

/// Between sparse and dense output, averaged over the heads.
double MeanCosine(const Step& step, int64_t token);

}  // namespace tamis::tools::demo::dsa
