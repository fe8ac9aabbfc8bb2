// Attention over compressed keys with block importance and selection, one level.
//
// An item is a few query tokens of one sequence and one kv head, or several where rows are few.
// For each kv head: rows = tokens x group, token-major, lying on the lanes. Keys come in tiles of
// 64, all kv heads of a tile after the other. Scores are held transposed,
// S[key][row]: keys need widening only, the softmax is lane-wise, and a tile is one product of
// broadcast keys with a panel of queries that stays in L1.
//
//   scores:     S = scale K Q; K widened once per tile (or, as pairs, copied), Q transposed once
//
//   softmax:    online; e = exp(S - running max) replaces S, each tile's running max is noted
//
//   values:     O = alpha O + e V; V widened once per tile, a strip of columns at a time, or whole
//               in pairs of 16-bit integers
//
//   importance: P = e exp(tile max - max) / sum, summed over the group, then over a block's band
//
// Where the e of all keys are kept, every score is computed once and exponentiated once. Where they
// would not fit, the last step computes them again, tile by tile.
#include "prim/cpu/compressed_attention_blocks-inl.h"
#include "prim/cpu/find-inl.h"

namespace tamis::TAMIS_LEVEL {
namespace {

namespace attention {

inline Item MakeItem(const AttentionArgs& a, const AttentionScratch& at, int64_t item,
                     int64_t member, float* scratch) {
  const AttentionSequence& s = a.sequences[LastBeginningBy(a.sequences, a.sequence_count,
                                                           &AttentionSequence::item_begin, item)];
  const int64_t token_blocks = (s.rows + a.tokens_per_item - 1) / a.tokens_per_item;
  const int64_t head = (item - s.item_begin) / token_blocks * a.heads_per_item + member;
  const int64_t token = (item - s.item_begin) % token_blocks * a.tokens_per_item;
  const int64_t tokens = s.rows - token < a.tokens_per_item ? s.rows - token : a.tokens_per_item;
  float* state = scratch + at.heads + member * at.head_floats;
  return Item{
      .a = a,
      .s = s,
      .head = head,
      .member = member,
      .token = token,
      .tokens = tokens,
      .vectors = (tokens * a.group + kRowMultiple - 1) / kRowMultiple * (kRowMultiple / kLanes),
      .rows = at.rows,
      .value_dim = at.value_dim,
      .keep = a.keep_scores,
      .loaded = a.heads_per_item > 1,
      .int16 = kInt16 && a.storage,
      .key_stride = at.key_stride,
      .query = state + at.query,
      .key = scratch + at.key + member * at.key_floats,
      .value = scratch + at.value + member * at.value_floats,
      .inverse = scratch + at.inverse + member * kKeyTile,
      .weights = reinterpret_cast<int32_t*>(scratch + at.weights),
      .factor = scratch + at.factor,
      .scores = state + at.scores,
      .tile_max = state + at.tile_max,
      .out = state + at.out,
      .max = state + at.max,
      .sum = state + at.sum,
      .alpha = state + at.alpha,
      .group_sums = state + at.group_sums,
      .group_sums_stride = at.keys,
      .block_scores = scratch + at.block_scores,
      .heap = reinterpret_cast<uint64_t*>(scratch + at.heap),
      .hidden = reinterpret_cast<uint8_t*>(scratch + at.hidden),
      .needed = reinterpret_cast<uint8_t*>(scratch + at.needed)};
}

}  // namespace attention
}  // namespace

void CompressedAttention(const void* args, int64_t item, void* scratch, void*) {
  using namespace attention;
  const auto& a = *static_cast<const prim::AttentionArgs*>(args);
  const AttentionScratch at(a);
  auto* floats = static_cast<float*>(scratch);
  const auto make = [&](int64_t member) { return MakeItem(a, at, item, member, floats); };
  static_assert(prim::kMostHeadsPerItem == 4);
  const int64_t last = a.heads_per_item - 1;
  const Item heads[] = {make(0), make(last < 1 ? last : 1), make(last < 2 ? last : 2), make(last)};
  FindHidden(heads[0]);
  for (int64_t h = 0; h <= last; ++h) {
    PrefetchQueries(heads[h]);
    PackQueries(heads[h]);
    Begin(heads[h]);
  }
  for (int64_t key = 0; key < heads[0].s.keys; key += kKeyTile) {
    const int64_t count = heads[0].needed[key / kKeyTile];
    if (count == 0) continue;
    Paired paired = {};
    if (heads[0].loaded) paired = LoadHeads(heads, key, count);
    for (int64_t h = 0; h <= last; ++h) AttendTile(heads[h], key, count, paired.head[h]);
  }
  for (int64_t h = 0; h <= last; ++h) {
    Normalise(heads[h]);
    WriteRows(heads[h]);
    if (a.topk != nullptr) SelectBlocks(heads[h]);
  }
}

}  // namespace tamis::TAMIS_LEVEL
