// An item of sparse attention, and the walk over the positions that its token has selected.
#pragma once

#include "ops/sparse_flash_attention/cpu/kernel.h"
#include "prim/blocks/int16_scores-inl.h"

namespace tamis::TAMIS_LEVEL {
namespace {

namespace sparse_attention {

using sparse_flash_attention::Cut;
using sparse_flash_attention::Heads;
using sparse_flash_attention::KernelArgs;
using sparse_flash_attention::kHeadGroup;
using sparse_flash_attention::kKeyTile;
using sparse_flash_attention::Rows;
using sparse_flash_attention::Scratch;
using sparse_flash_attention::Sequence;
using sparse_flash_attention::Task;
using sparse_flash_attention::Walk;

constexpr float kMinusInfinity = -__builtin_inff();

// What a softmax over some of the keys leaves: sum exp(s - max) value, max, sum exp(s - max).
struct State {
  float* out;
  float* max;
  float* sum;
};

struct Item {
  const KernelArgs& a;
  const Sequence& s;
  const Scratch& at;
  Walk walk;
  int64_t token;  // of the sequence
  int64_t head;   // first
  int64_t heads;
  int64_t vectors;     // of heads
  int64_t columns;     // of a key
  int64_t key_offset;  // of position 0, in bytes, as the next two
  int64_t key_rope_offset;
  int64_t value_offset;
  const int32_t* ids;
  float* query;
  float* key;
  float* value;  // fp32, as far apart as keys; may be `key`
  bool int16;    // values are summed in 16-bit integers, where they are in range
  int32_t* int16_value;
  float* inverse;
  bool int16_scores;  // scores too, where little is lost
  int64_t dim_pairs;  // of a key in integers
  int32_t* int16_query;
  float* query_factor;
  Quanta* quanta;       // of groups of heads
  bool queries_packed;  // `query`, or those three, are filled
  float* key_step;
  float* scores;
  float* alpha;
  float* factor;
};

/// Where the item's token lies.
TAMIS_INLINE int64_t OffsetOf(const Item& it, const tamis::prim::Tokens& at) {
  return tamis::prim::OffsetOf(at, it.s.batch, it.s.token + it.token);
}

static_assert(sizeof(Quanta) <= sparse_flash_attention::kQuantaFloats * sizeof(float));

TAMIS_INLINE int64_t Groups(int64_t heads) { return (heads + kHeadGroup - 1) / kHeadGroup; }

// The item of one group of the heads.
inline Item GroupOf(Item it, int64_t group) {
  const int64_t head = group * kHeadGroup;
  it.head += head;
  it.heads = it.heads - head < kHeadGroup ? it.heads - head : kHeadGroup;
  it.vectors = (it.heads + kLanes - 1) / kLanes;
  it.query += head * it.columns;
  it.int16_query += head * it.dim_pairs;
  it.query_factor += head;
  it.quanta += group;
  return it;
}
inline State GroupOf(const Scratch& at, const State& state, int64_t group) {
  const int64_t head = group * kHeadGroup;
  return {state.out + head * at.value_dim, state.max + head, state.sum + head};
}

// Positions of a tile, as pages and slots (page 0 where keys are not paged).
struct Tile {
  int64_t count;
  int32_t page[kKeyTile];
  int32_t slot[kKeyTile];
};

// Where a walk over the selected positions stands.
struct Cursor {
  int64_t slot;    // of the ids
  int64_t offset;  // within its block
};

TAMIS_INLINE State StateAt(const Scratch& at, float* floats) {
  float* max = floats + at.rows * at.value_dim;
  return {floats, max, max + at.rows};
}

// The next run of at most `most` adjacent positions, from *begin; returns its length, 0 at the end.
TAMIS_INLINE int64_t NextRun(const Item& it, Cursor* at, int64_t most, int64_t* begin) {
  while (at->slot < it.walk.slots) {
    const int64_t id = it.ids[at->slot];
    if (id < 0) {
      at->slot = it.walk.slots;
      return 0;
    }
    const int64_t first = id * it.a.block_size;
    const int64_t end =
        first + it.a.block_size < it.walk.visible ? first + it.a.block_size : it.walk.visible;
    *begin = first + at->offset;
    const int64_t left = end - *begin;
    if (left > most) {
      at->offset += most;
      return most;
    }
    ++at->slot;
    at->offset = 0;
    if (left > 0) return left;  // else beyond the keys or the diagonal: never read
  }
  return 0;
}

inline void Skip(const Item& it, Cursor* at, int64_t positions) {
  int64_t begin = 0;
  while (positions > 0) {
    const int64_t run = NextRun(it, at, positions, &begin);
    if (run == 0) return;
    positions -= run;
  }
}

inline void NextTile(const Item& it, Cursor* at, Tile* tile) {
  tile->count = 0;
  while (tile->count < kKeyTile) {
    int64_t begin = 0;
    const int64_t run = NextRun(it, at, kKeyTile - tile->count, &begin);
    if (run == 0) return;
    for (int64_t position = begin; position < begin + run; ++position, ++tile->count) {
      // Positions are below 2^31: 32-bit division is faster.
      const auto p = static_cast<uint32_t>(position);
      if (it.a.page_table == nullptr) {
        tile->page[tile->count] = 0;
        tile->slot[tile->count] = static_cast<int32_t>(p);
      } else {
        const auto size = static_cast<uint32_t>(it.a.page_size);
        tile->page[tile->count] = it.a.page_table[it.s.table_offset + p / size];
        tile->slot[tile->count] = static_cast<int32_t>(p % size);
      }
    }
  }
}

}  // namespace sparse_attention
}  // namespace
}  // namespace tamis::TAMIS_LEVEL
