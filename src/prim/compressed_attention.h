// Attention over compressed keys: what nsa_compress_attention and nsa_compress_attention_infer have
// in common. The rooms say what a call means (lengths, layouts, masks, forced blocks); from the
// problem on, the way is one.
#pragma once

#include <functional>
#include <string_view>
#include <vector>

#include "base/errors.h"
#include "base/golden.h"
#include "prim/block_importance.h"
#include "prim/cpu/compressed_attention.h"
#include "prim/cpu/work.h"
#include "tamis/ops/accuracy.hpp"
#include "tamis/ops/nsa.hpp"
#include "tamis/plan.hpp"

namespace tamis::prim {

/// Sequences, key views and rules, nothing left to check. Views of absent tensors stay absent.
struct AttentionProblem {
  TensorView query, key, value, page_table;
  TensorView atten_mask;  // read by position where keys are packed; where they are paged, its
                          // presence is all
  TensorView topk_mask;
  TensorView out, topk, max, sum;
  std::vector<AttentionSequence> sequences;  // without item_begin; every output row is in one
  int query_batch_dims = 1;  // leading dimensions of query: 1 packed, 2 padded batches
  int64_t kv_heads = 0;
  int64_t group = 0;
  int64_t qk_dim = 0;
  int64_t v_dim = 0;
  int64_t top_k = 0;
  double scale = 0;
  bool storage = true;  // of Accuracy
  int64_t page_size = 0;
  int64_t compress_block = 0;
  int64_t compress_stride = 0;
  BlockGeometry geometry;
  bool force_ends = false;
  bool zero_masked_rows = false;
  AttentionArgs args = {};  // the kernels' view, filled by OnCpu
};

/// The attributes that both operators check alike.
struct WindowAttributes {
  int64_t compress_block_size;
  int64_t compress_stride;
  int64_t select_block_size;
  int64_t select_block_count;
  bool exact_overlap;
};
Status CheckWindows(const WindowAttributes& attributes, AttentionProblem* problem);

/// head_num against the heads of query, and the key heads against both; fills kv_heads and group.
Status CheckHeads(int64_t head_num, int64_t heads, int64_t kv_heads, AttentionProblem* problem);

/// What both calls say alike, under the same names: heads, windows, tensors, policies.
template <class Params>
Status TakeCommon(const Params& params, const base::Dims& dims, int64_t kv_heads,
                  AttentionProblem* problem) {
  TAMIS_RETURN_IF_ERROR(CheckHeads(params.head_num, dims["N"], kv_heads, problem));
  TAMIS_RETURN_IF_ERROR(
      CheckWindows({params.compress_block_size, params.compress_stride, params.select_block_size,
                    params.select_block_count, params.importance == Importance::kExactOverlap},
                   problem));
  problem->query = params.query;
  problem->key = params.key;
  problem->value = params.value;
  problem->atten_mask = params.atten_mask;
  problem->out = params.attention_out;
  problem->topk = params.topk_indices;
  problem->qk_dim = dims["D"];
  problem->v_dim = dims["D2"];
  problem->scale = params.scale_value;
  problem->storage = params.accuracy == Accuracy::kStorage;
  problem->zero_masked_rows = params.masked_rows == MaskedRows::kZero;
  return Status::Ok();
}

/// Block indices are int32.
Status CheckBlocks(std::string_view argument, int64_t blocks);

/// What both rooms are from the problem on.
struct CompressedAttentionRoom {
  using Problem = AttentionProblem;

  static CpuWork OnCpu(AttentionProblem& problem, Level level);
  static Cost CountCost(const AttentionProblem& problem);
};

/// What a room adds to the reference: which keys are hidden from and which blocks are forced on a
/// query token.
struct AttentionRules {
  std::function<bool(const AttentionSequence&, int64_t token, int64_t key)> hidden;
  std::function<bool(const AttentionSequence&, int64_t token, int64_t block)> forced;
};

/// Output row `row` in float64: attention, statistics where the contract has them (outputs 0: out,
/// 1: indices, 2: max, 3: sum), importance by the double sum, order by score and index.
void CompressedAttentionReferenceRow(const AttentionProblem& problem, const AttentionRules& rules,
                                     int64_t row, size_t slot, base::Golden* golden);

}  // namespace tamis::prim
