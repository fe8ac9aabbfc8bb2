// The specification: prim's attention row; blocks 0, J - 2 and J - 1 are forced.
#include "ops/nsa_compress_attention_infer/problem.h"

namespace tamis::nsa_compress_attention_infer {

void Room::ReferenceRow(const Problem& problem, const Params& in, int64_t row, size_t slot,
                        base::Golden* golden) {
  const prim::AttentionRules rules = {
      .hidden = [](const prim::AttentionSequence&, int64_t, int64_t) { return false; },
      .forced = [](const prim::AttentionSequence& s, int64_t,
                   int64_t block) { return block == 0 || block >= s.blocks - 2; },
  };
  prim::CompressedAttentionReferenceRow(problem, prim::TensorsOf(in), rules, row, slot, golden);
}

}  // namespace tamis::nsa_compress_attention_infer
