// Attention over compressed keys with block importance and selection, one level.
//
// An item is a few query tokens of one sequence and one kv head, or several where rows are few.
// For each kv head: rows = tokens x group, token-major, lying on the lanes. Keys come in tiles of
// 64, all kv heads of a tile after the other. Scores are held transposed,
// S[key][row]: keys need widening only, the softmax is lane-wise, and a tile is one product of
// broadcast keys with a panel of queries that stays in L1.
//
//   scores:     S = scale K Q; K widened once per tile (or, as pairs of bfloat16, copied), Q
//   transposed once
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
#include "prim/blocks/find-inl.h"
#include "prim/compressed_attention/cpu/blocks-inl.h"

namespace tamis::TAMIS_LEVEL {
namespace {

namespace attention {

inline Item MakeItem(const AttentionArgs& a, const AttentionScratch& at, int64_t item,
                     int64_t member, int64_t slot, TileRows& from, float* scratch) {
  const AttentionSequence& s = a.sequences[LastBeginningBy(a.sequences, a.sequence_count,
                                                           &AttentionSequence::item_begin, item)];
  const int64_t token_blocks = (s.rows + a.tokens_per_item - 1) / a.tokens_per_item;
  const int64_t head = (item - s.item_begin) / token_blocks * a.heads_per_item + member;
  const int64_t token = (item - s.item_begin) % token_blocks * a.tokens_per_item;
  const int64_t tokens = s.rows - token < a.tokens_per_item ? s.rows - token : a.tokens_per_item;
  float* state = scratch + at.states + member * at.state_floats;
  return Item{
      .a = a,
      .s = s,
      .from = from,
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
      .key = scratch + at.key + (slot * a.heads_per_item + member) * at.key_floats,
      .value = scratch + at.value + (slot * a.heads_per_item + member) * at.value_floats,
      .inverse = scratch + at.inverse + (slot * a.heads_per_item + member) * kKeyTile,
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
  static_assert(prim::kMostHeadsPerItem == 4);
  const int64_t last = a.heads_per_item - 1;
  TileRows from;
  const auto make = [&](int64_t member, int64_t slot) {
    return MakeItem(a, at, item, member < last ? member : last, slot, from, floats);
  };
  // One slot has the rows of the tile that is worked on, the other those of the next.
  const Item slots[2][prim::kMostHeadsPerItem] = {{make(0, 0), make(1, 0), make(2, 0), make(3, 0)},
                                                  {make(0, 1), make(1, 1), make(2, 1), make(3, 1)}};
  const Item* heads = slots[0];
  FindHidden(*heads);
  for (int64_t h = 0; h <= last; ++h) {
    PrefetchQueries(heads[h]);
    PackQueries(heads[h]);
    Begin(heads[h]);
  }
  const auto needed = [&](int64_t key) -> int64_t {
    return key < heads->s.keys ? heads->needed[key / kKeyTile] : 0;
  };
  RowCopy copies[2];
  bool copied = false;
  int64_t slot = 0;
  for (int64_t key = 0; key < heads->s.keys; key += kKeyTile) {
    const int64_t count = needed(key);
    if (count == 0) {
      copied = false;
      continue;
    }
    FindRows(*heads, key);
    if (heads->loaded && !copied) {
      copies[slot] = RowCopy(slots[slot], count, 0, 1);
      copies[slot].Finish();
    }
    copied = heads->loaded && needed(key + kKeyTile) > 0;
    RowCopy* next = &copies[1 - slot];
    if (copied) {
      *next = RowCopy(slots[1 - slot], needed(key + kKeyTile), kKeyTile,
                      a.heads_per_item * WorkOf(*heads, count));
    }
    for (int64_t h = 0; h <= last; ++h)
      AttendTile(slots[slot][h], key, count, copies[slot].Paired(h), next);
    next->Finish();
    if (copied) slot = 1 - slot;
  }
  for (int64_t h = 0; h <= last; ++h) {
    Normalise(heads[h]);
    WriteRows(heads[h]);
    if (a.topk != nullptr) SelectBlocks(heads[h]);
  }
}

}  // namespace tamis::TAMIS_LEVEL
