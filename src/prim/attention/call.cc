#include "prim/attention/call.h"

#include <algorithm>

#include "base/checked.h"
#include "base/dtype.h"
#include "prim/attention/cpu/kernel_units.h"
#include "prim/attention/cpu/scratch.h"

namespace tamis::prim::attention {
namespace {

// Items are cut into segments for several workers where, whole, they would leave more than a sixth
// of the workers' time unused, as long as their states take no more than this. For 32 tokens of 128
// heads, which one or two workers share evenly, states would be 38 MB to and from memory: a third
// more time.
constexpr int64_t kMostUnused = 6;
constexpr int64_t kMostSharedFloats = int64_t{1} << 26;

bool LeavesWorkersUnused(int64_t items, int64_t threads) {
  if (items >= kMostUnused * threads) return false;
  const int64_t turns = base::CeilDiv(items, threads) * threads;
  return (turns - items) * kMostUnused > turns;
}

// Whether rows are copied between the products of the tile before, which wait for no memory: where
// no other item has brought the keys into caches. Paged decoding takes 0.6 to 0.85 of the time then
// (a window of 512, 1 and 16 heads; selected keys, 1 to 16 heads), 128 heads 0.96; a prefill over
// keys that its items share would take 1.07.
bool CopiesAhead(const Args& a, Level level) {
  constexpr int64_t kLeastRows = 16;  // with 8 lanes; few rows are done before theirs have come
  if (a.members > 1) return true;
  if (a.int16_scores) return false;  // quantised from where they lie
  if (a.sources[0].list.ids != nullptr)
    return base::LanesOf(level) == 16 || a.head_block >= kLeastRows;
  for (int64_t i = 0; i < a.sequence_count; ++i)
    if (a.sequences[i].rows > a.tokens_per_item) return false;
  return true;
}

// Only items of one token and one member have segments of their own.
bool IsCut(const Args& a, const Scratch& at, int64_t items, int64_t threads) {
  if (!a.segmented || a.tokens_per_item > 1 || a.members > 1) return false;
  if (!LeavesWorkersUnused(items, threads)) return false;
  int64_t most = 0;
  for (int64_t i = 0; i < a.sequence_count; ++i) {
    const Sequence& s = a.sequences[i];
    if (s.rows > 0) most = std::max(most, SegmentsOf(a, s, s.rows - 1).count);  // the farthest
  }
  const int64_t of_one = Plus(Times(most, at.state), at.packed_query_floats);
  return most > 1 && Times(items, of_one) <= kMostSharedFloats;
}

// Every item is cut, into the segments of its token.
void CutItems(Call* call) {
  Args& a = call->args;
  int64_t partials = 0;
  for (const Sequence& s : call->key_sequences) {
    const int64_t of_token = a.kv_heads * a.head_blocks;
    for (int64_t i = 0; i < s.rows * of_token; ++i) {
      const int64_t token = a.tokens_first ? i / a.head_blocks % s.rows : i / of_token;
      const int64_t segments = SegmentsOf(a, s, token).count;
      const auto cut = static_cast<int64_t>(call->cuts.size());
      call->cuts.push_back({.item = s.item_begin + i, .partial = partials, .partials = segments});
      for (int64_t k = 0; k < segments; ++k)
        call->tasks.push_back({.cut = cut, .segment = k, .partial = partials++});
    }
  }
  a.cuts = call->cuts.data();
  a.cut_count = static_cast<int64_t>(call->cuts.size());
  a.tasks = call->tasks.data();
}

}  // namespace

Heads HeadsOf(const TensorView& view, const Tokens& at, int64_t head_stride) {
  if (view.absent()) return {};
  const int64_t bytes = base::ItemSize(view.dtype);
  return {
      static_cast<uint8_t*>(view.data), {at.batch * bytes, at.token * bytes}, head_stride * bytes};
}

void CutHeads(int64_t most, Args* args) {
  args->head_block = args->group;
  args->head_blocks = 1;
  if (args->group <= most) return;
  args->head_blocks = base::CeilDiv(args->group, most);
  args->head_block = RoundedUp(base::CeilDiv(args->group, args->head_blocks), kHeadGroup);
  args->head_blocks = base::CeilDiv(args->group, args->head_block);
}

void Begin(Call* call) {
  call->args = {};
  call->key_sequences.clear();
  call->cuts.clear();
  call->tasks.clear();
}

void MakeWork(const CpuTarget& target, Call* call, CpuWork* work) {
  static constexpr KernelTable kWhole = {kAttentionUnits};
  static constexpr KernelTable kQueries = {kAttentionQueriesUnits};
  static constexpr KernelTable kSegments = {kAttentionSegmentUnits};
  static constexpr KernelTable kMerge = {kAttentionMergeUnits};
  Args& a = call->args;
  const bool halves = a.element != Element::kFloat32;
  a.bf16_pairs =
      a.element == Element::kBFloat16 && base::Has(target.level, base::Feature::kBf16Pairs);
  a.storage = a.storage && halves && base::Has(target.level, base::Feature::kInt16);
  a.int16_scores = a.storage && !a.bf16_pairs && a.int16_scores;
  a.sequences = call->key_sequences.data();
  a.sequence_count = static_cast<int64_t>(call->key_sequences.size());
  a.ahead = CopiesAhead(a, target.level);

  int64_t items = 0;
  for (Sequence& s : call->key_sequences) {
    s.item_begin = items;
    const int64_t blocks = Times(base::CeilDiv(s.rows, a.tokens_per_item), a.head_blocks);
    items = Plus(items, Times(blocks, a.kv_heads / a.members));
  }
  if (a.group == 0) items = 0;
  const Scratch at(a);
  if (IsCut(a, at, items, target.threads)) {
    CutItems(call);
    const auto tasks = static_cast<int64_t>(call->tasks.size());
    const int64_t groups = a.cut_count * (at.rows / kHeadGroup);
    const int64_t queries = Times(a.cut_count, at.packed_query_floats);
    work->shared_bytes = Times(Plus(queries, Times(tasks, at.state)), sizeof(float));
    work->phases = {{groups, kQueries.at(target.level, a.element)},
                    {tasks, kSegments.at(target.level, a.element)},
                    {groups, kMerge.at(target.level, a.element)}};
  } else {
    work->phases = {{items, kWhole.at(target.level, a.element)}};
  }
  work->scratch_bytes = items > 0 ? Times(at.total, sizeof(float)) : 0;
}

}  // namespace tamis::prim::attention
