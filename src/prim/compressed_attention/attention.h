// Attention over compressed keys: what nsa_compress_attention and nsa_compress_attention_infer have
// in common. The rooms say what a call means (lengths, layouts, masks, forced blocks); from the
// problem on, the way is one.
#pragma once

#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "base/errors.h"
#include "base/golden.h"
#include "prim/attention/call.h"
#include "prim/call/heads.h"
#include "prim/call/paging.h"
#include "prim/call/sequences.h"
#include "prim/call/work.h"
#include "tamis/ops/accuracy.hpp"
#include "tamis/ops/nsa.hpp"
#include "tamis/plan.hpp"

namespace tamis::prim {

inline constexpr int64_t kKeyTile = 64;

/// Query rows that share their keys.
struct AttentionSequence {
  int64_t row_begin = 0;  ///< First row of the outputs, leading dimensions flattened.
  int64_t rows = 0;       ///< Query tokens.
  int64_t batch = 0;
  int64_t token = 0;            ///< The first.
  int64_t keys = 0;             ///< n
  int64_t key_begin = 0;        ///< TND: first key row.
  int64_t table_offset = 0;     ///< Of its entries in the page table, where keys are paged.
  int64_t blocks = 0;           ///< J
  int64_t visible_tokens = -1;  ///< Raw tokens that the last query sees; -1: no key is hidden.
};

/// Sequences and rules, nothing left to check.
struct AttentionProblem : HeadGroups, attention::Call {
  PageTable page_table;
  std::vector<AttentionSequence> sequences;  // every output row is in one
  int query_batch_dims = 1;                  // leading dimensions of query: 1 TND, 2 BSND
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
  bool causal_selection = false;  // candidates are the blocks of the raw tokens that a query sees
  bool zero_masked_rows = false;
  std::vector<Span> query_spans;  // scratch of the rooms
  std::vector<Span> key_spans;
  std::vector<Span> raw_spans;

  /// l'
  int64_t select_block() const { return geometry.select_strides * compress_stride; }

  /// Where the tokens of a tensor with the queries' leading dimensions lie.
  Tokens TokensOf(const TensorView& view) const {
    return query_batch_dims == 2 ? Tokens{view.strides[0], view.strides[1]}
                                 : Tokens{0, view.strides[0]};
  }
};

/// The tensors of either operator. The mask is read by position where keys are TND; where they
/// are paged, its presence alone counts, and there is no topk_mask.
struct AttentionTensors {
  const TensorView& query;
  const TensorView& key;
  const TensorView& value;
  const TensorView& atten_mask;
  const TensorView& topk_mask;
  const TensorView& key_limits;
  const TensorView& global_max;
  const TensorView& global_sum;
  const TensorView& out;
  const TensorView& topk;
  const TensorView& max;
  const TensorView& sum;
  const TensorView& block_scores;
};

inline constexpr TensorView kNoTensor;

template <class Params>
AttentionTensors TensorsOf(const Params& in) {
  const auto forced = [&]() -> const TensorView& {
    if constexpr (requires { in.topk_mask; }) {
      return in.topk_mask;
    } else {
      return kNoTensor;
    }
  };
  return {.query = in.query,
          .key = in.key,
          .value = in.value,
          .atten_mask = in.atten_mask,
          .topk_mask = forced(),
          .key_limits = in.key_limits,
          .global_max = in.global_max,
          .global_sum = in.global_sum,
          .out = in.attention_out,
          .topk = in.topk_indices,
          .max = in.softmax_max,
          .sum = in.softmax_sum,
          .block_scores = in.block_scores};
}

/// The attributes that both operators check alike.
struct WindowAttributes {
  int64_t compress_block_size;
  int64_t compress_stride;
  int64_t select_block_size;
  int64_t select_block_count;
  bool exact_overlap;
};
Status CheckWindows(const WindowAttributes& attributes, AttentionProblem* problem);

/// Both or none.
Status CheckGlobals(const TensorView& max, const TensorView& sum);

/// What both calls say alike, under the same names: heads, windows, tensors, policies.
template <class Params>
Status TakeCommon(const Params& params, const base::Dims& dims, int64_t kv_heads,
                  AttentionProblem* problem) {
  TAMIS_RETURN_IF_ERROR(CheckHeads(params.head_num, dims["N"], kv_heads, problem));
  TAMIS_RETURN_IF_ERROR(CheckGlobals(params.global_max, params.global_sum));
  TAMIS_RETURN_IF_ERROR(
      CheckWindows({.compress_block_size = params.compress_block_size,
                    .compress_stride = params.compress_stride,
                    .select_block_size = params.select_block_size,
                    .select_block_count = params.select_block_count,
                    .exact_overlap = params.importance == Importance::kExactOverlap},
                   problem));
  problem->qk_dim = dims["D"];
  problem->v_dim = dims["D2"];
  problem->scale = params.scale_value;
  problem->storage = params.accuracy != Accuracy::kFp32 && params.query.dtype != DType::kFloat32;
  problem->zero_masked_rows = params.masked_rows == MaskedRows::kZero;
  problem->causal_selection = params.selection == Selection::kCausal;
  problem->force_ends = problem->causal_selection;
  return Status::Ok();
}

/// A call keeps a score of every block of a query row; raw tokens, which may be any number, are no
/// reason to ask for memory without end.
Status CheckBlocks(std::string_view argument, int64_t blocks);

/// The call of the engine, but for tensors and blocking: what a gradient needs of it, too.
void FillSource(const AttentionProblem& problem, const TensorView& query, attention::Call* call);
/// What hides keys.
void BindHidden(const AttentionProblem& problem, const TensorView& atten_mask,
                const TensorView& key_limits, attention::Source* source);
/// Query rows, and rows of keys or values.
attention::Heads HeadsOf(const AttentionProblem& problem, const TensorView& view);
attention::Rows RowsOf(const TensorView& view, bool paged, int64_t dim);
/// Pairs of a query token and a key that it sees.
double CountVisible(const AttentionProblem& problem, const TensorView& mask,
                    const AttentionSequence& sequence);

/// What both rooms are from the problem on.
struct CompressedAttentionRoom {
  using Problem = AttentionProblem;

  template <class Params>
  static void OnCpu(AttentionProblem& problem, const Params& in, const CpuTarget& target,
                    CpuWork* work) {
    MakeWork(problem, TensorsOf(in), target, work);
  }
  static std::string Blocking(const AttentionProblem& problem);
  template <class Params>
  static void Bind(const AttentionProblem& problem, const Params& in, attention::Args* args) {
    BindTensors(problem, TensorsOf(in), args);
  }
  template <class Params>
  static Cost CountCost(const AttentionProblem& problem, const Params& in) {
    return CostOf(problem, TensorsOf(in));
  }

 private:
  static void MakeWork(AttentionProblem& problem, const AttentionTensors& in,
                       const CpuTarget& target, CpuWork* work);
  static void BindTensors(const AttentionProblem& problem, const AttentionTensors& in,
                          attention::Args* args);
  static Cost CostOf(const AttentionProblem& problem, const AttentionTensors& in);
};

/// Whether query t's position or limit hides a key.
bool IsHiddenByPosition(const AttentionProblem& problem, const TensorView& key_limits,
                        const AttentionSequence& sequence, int64_t t, int64_t key);

/// What a room adds to the reference: which keys are hidden from a query token beside those that
/// its position or limit hides, and which blocks are forced on it where selection is not causal.
struct AttentionRules {
  std::function<bool(const AttentionSequence&, int64_t token, int64_t key)> hidden;
  std::function<bool(const AttentionSequence&, int64_t token, int64_t block)> forced;
};

/// Output row `row` in float64: attention, statistics where the contract has them (outputs 0: out,
/// 1: indices, 2: max, 3: sum, 4: block scores), importance by the double sum, order by score and
/// index.
void CompressedAttentionReferenceRow(const AttentionProblem& problem, const AttentionTensors& in,
                                     const AttentionRules& rules, int64_t row, size_t slot,
                                     base::Golden* golden);

}  // namespace tamis::prim
