// What the second half prints, at most 100 columns wide. Everything shown was measured or computed.
#pragma once

#include <string>
#include <vector>

#include "tools/tamis/demo/dsa/decode.h"
#include "tools/tamis/demo/dsa/selection.h"
#include "tools/tamis/demo/vocabulary.h"

namespace tamis::tools::demo::dsa {

/// One question, asked with one new token and with two.
struct Asked {
  Question question;
  Selection selection;     ///< Of the one.
  Selection second;        ///< Of the second of two.
  double mass = 0;         ///< Of dense attention, on the selection of the one,
  double second_mass = 0;  ///< of the second.
  double cosine = 0;       ///< Of the one's output with dense attention's.
  Step one, two;           ///< Times are medians.
  bool same_first = true;  ///< The first of two has the bits of the one.
  bool checked = false;    ///< By the reference.
  Agreement agreement;

  bool agrees() const {
    return same_first && one.fused_agrees && two.fused_agrees && agreement.ok();
  }
};

std::string Describe(const Text& text, const Vocabulary& vocabulary, int64_t number,
                     int64_t passages, const Asked& asked);

/// Stages by row: times are medians over the questions.
std::string StageTable(const std::vector<Asked>& asked);

}  // namespace tamis::tools::demo::dsa
