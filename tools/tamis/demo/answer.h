// What the outputs of a step say about one question.
#pragma once

#include <cstdint>
#include <vector>

#include "tools/tamis/demo/decode.h"
#include "tools/tamis/demo/questions.h"

namespace tamis::tools::demo {

/// A select block that some kv head chose by score.
struct Passage {
  int64_t block = 0;
  int64_t heads = 0;  ///< kv heads that chose it
  int64_t ranks = 0;  ///< Sum over the kv heads of the place in the list, one past the end if none.
  double mass = 0;    ///< Of dense attention, averaged over all heads.
};

struct Answer {
  std::vector<Passage> passages;  ///< Best first.
  int64_t blocks_per_head = 0;
  int64_t forced_blocks = 0;
  int64_t home_heads = 0;  ///< kv heads that chose the home block by score.
  double selected_mass =
      0;  ///< Dense attention's mass on each head's selected blocks, forced or not.
  double forced_mass = 0;  ///< The part of it on forced blocks.
  double cosine = 0;       ///< Between sparse and dense output, averaged over the query heads.

  /// By most kv heads.
  bool found() const { return 2 * home_heads > kKeyHeads; }
};

/// Of the rows of two [rows, dim] in bf16; rows of zeros count as 0.
double MeanCosine(const uint16_t* a, const uint16_t* b, int64_t rows, int64_t dim);

/// `mass` is that of DenseMass for the same questions.
Answer MakeAnswer(const Question& question, int64_t index, const Memory& memory, const Step& step,
                  const std::vector<double>& mass);

}  // namespace tamis::tools::demo
