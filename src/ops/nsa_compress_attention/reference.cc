// The specification: prim's attention row, with hidden keys and forced blocks read from the
// caller's masks.
#include "ops/nsa_compress_attention/problem.h"

namespace tamis::nsa_compress_attention {
namespace {

bool IsSet(const TensorView& mask, int64_t i, int64_t j) {
  return !mask.absent() && static_cast<const uint8_t*>(mask.data)[i * mask.strides[0] + j] != 0;
}

}  // namespace

void Room::ReferenceRow(const Problem& problem, const Params& in, int64_t row, size_t slot,
                        base::Golden* golden) {
  const prim::AttentionRules rules = {
      .hidden = [&](const prim::AttentionSequence&, int64_t token,
                    int64_t key) { return IsSet(in.atten_mask, token, key); },
      .forced = [&](const prim::AttentionSequence&, int64_t token,
                    int64_t block) { return IsSet(in.topk_mask, token, block); },
  };
  prim::CompressedAttentionReferenceRow(problem, prim::TensorsOf(in), rules, row, slot, golden);
}

}  // namespace tamis::nsa_compress_attention
