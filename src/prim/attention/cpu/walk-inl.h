// The walk over the positions that an item needs, a tile at a time.
#pragma once

#include "prim/attention/cpu/item-inl.h"

namespace tamis::TAMIS_LEVEL {
namespace {

namespace attention {

// Positions of one source. Their rows lie at these offsets from the member's first ones, in bytes;
// those of tensors that the source lacks are not set.
struct Tile {
  int64_t count;
  int64_t source;
  int64_t begin;  // the first position, where they are adjacent: key k is at begin + k. Of a list
                  // this holds for the last run
  bool whole;     // every token sees all of it
  int64_t key[kMostKeyTile];
  int64_t key_rope[kMostKeyTile];
  int64_t value[kMostKeyTile];
};

// Where a walk stands.
struct Cursor {
  int64_t source;
  int64_t at;          // a position, or a slot of the list
  int64_t offset;      // within the slot's block
  const int32_t* ids;  // null: no list
  int64_t slots;
};

inline Cursor StartOf(const Item& it, int64_t i) {
  if (i >= it.a.source_count) return {i, 0, 0, nullptr, 0};
  const List& list = it.a.sources[i].list;
  if (list.ids == nullptr) return {i, it.span[i].begin, 0, nullptr, 0};
  const int32_t* ids = list.ids + it.OffsetOf(list.at, 0) + it.kv_head * list.head_stride;
  return {i, 0, 0, ids, SlotsOf(list, it.span[i])};
}

// The next run of at most `most` adjacent positions of the list, from *begin; returns its length, 0
// at the end.
TAMIS_INLINE int64_t NextRun(const Item& it, Cursor* cursor, int64_t most, int64_t* begin) {
  const int64_t block = it.a.sources[cursor->source].list.block;
  const Range& seen = it.span[cursor->source];
  while (cursor->at < cursor->slots) {
    const int64_t id = cursor->ids[cursor->at];
    if (id < 0) {
      cursor->at = cursor->slots;
      return 0;
    }
    const int64_t first = id * block;
    const int64_t end = first + block < seen.end ? first + block : seen.end;
    *begin = first + cursor->offset;
    if (*begin < seen.begin) *begin = seen.begin < end ? seen.begin : end;
    const int64_t left = end - *begin;
    if (left > most) {
      cursor->offset = *begin + most - first;
      return most;
    }
    ++cursor->at;
    cursor->offset = 0;
    if (left > 0) return left;  // else nothing that the token sees: never read
  }
  return 0;
}

TAMIS_INLINE void PutRows(const Rows& rows, int64_t* to, int64_t page, int64_t slot,
                          int64_t count) {
  if (rows.data == nullptr) return;
  const int64_t first = page * rows.page_stride + slot * rows.row_stride;
  for (int64_t k = 0; k < count; ++k) to[k] = first + k * rows.row_stride;
}

// Adds `count` adjacent positions.
inline void Put(const Item& it, Tile* tile, int64_t begin, int64_t count) {
  const Source& source = it.a.sources[tile->source];
  const auto put = [&](int64_t page, int64_t slot, int64_t run) __attribute__((always_inline)) {
    PutRows(source.key, tile->key + tile->count, page, slot, run);
    PutRows(source.key_rope, tile->key_rope + tile->count, page, slot, run);
    PutRows(source.value, tile->value + tile->count, page, slot, run);
    tile->count += run;
  };
  if (source.page_table == nullptr) return put(0, begin, count);
  // Positions are below 2^31: 32-bit division is faster.
  const auto first = static_cast<uint32_t>(begin);
  const auto size = static_cast<uint32_t>(source.page_size);
  const int32_t* entry = source.page_table + it.s.of[tile->source].table_offset + first / size;
  for (int64_t slot = first % size; count > 0; slot = 0, ++entry) {
    const int64_t run = source.page_size - slot < count ? source.page_size - slot : count;
    put(*entry, slot, run);
    count -= run;
  }
}

TAMIS_INLINE bool AllSee(const Item& it, int64_t source, int64_t begin, int64_t end) {
  if (it.a.sources[source].hidden != nullptr) return false;
  for (int64_t t = 0; t < it.tokens; ++t) {
    if (begin < SeenOf(it, source)[t].begin || end > SeenOf(it, source)[t].end) return false;
  }
  return true;
}

// Tokens that share a list see the same blocks, and of the last one different parts: a run that
// reaches its end ends the tile, so that a row meets the same keys in the same tiles whether other
// tokens are in its item or not, and what a token does not see lies in the last run.
inline void NextOfList(const Item& it, Cursor* cursor, Tile* tile) {
  const bool shared = it.a.sources[cursor->source].list.shared;
  const Range& span = it.span[cursor->source];
  int64_t end = 0;
  while (tile->count < it.a.key_tile && !(shared && end == span.end)) {
    int64_t begin = 0;
    const int64_t run = NextRun(it, cursor, it.a.key_tile - tile->count, &begin);
    if (run == 0) break;
    Put(it, tile, begin, run);
    end = begin + run;
  }
  tile->begin = end - tile->count;
  tile->whole = !shared || AllSee(it, cursor->source, span.begin, end);
}

// Tiles begin at multiples of their size, so that a row meets the same ones whatever other tokens
// are in its item.
inline void NextInOrder(const Item& it, Cursor* cursor, Tile* tile) {
  const Range& span = it.span[cursor->source];
  const int64_t size = it.a.key_tile;
  while (cursor->at < span.end && tile->count == 0) {
    const int64_t begin = cursor->at;
    int64_t end = (begin / size + 1) * size;
    cursor->at = end;
    end = end < span.end ? end : span.end;
    if (it.a.sources[cursor->source].hidden != nullptr) {
      const int64_t needed = begin / size * size + it.needed[begin / size];
      end = needed < end ? needed : end;
    }
    if (end <= begin) continue;
    tile->begin = begin;
    tile->whole = AllSee(it, cursor->source, begin, end);
    Put(it, tile, begin, end - begin);
  }
}

// Empty where the walk has ended.
inline void NextTile(const Item& it, Cursor* cursor, Tile* tile) {
  tile->count = 0;
  tile->begin = 0;
  tile->whole = true;
  for (; cursor->source < it.a.source_count; *cursor = StartOf(it, cursor->source + 1)) {
    tile->source = cursor->source;
    if (cursor->ids != nullptr) {
      NextOfList(it, cursor, tile);
    } else {
      NextInOrder(it, cursor, tile);
    }
    if (tile->count > 0) return;
  }
}

// Past the next `tiles`, of lists and of sources without a mask.
inline void Skip(const Item& it, Cursor* cursor, int64_t tiles) {
  const int64_t size = it.a.key_tile;
  while (tiles > 0 && cursor->source < it.a.source_count) {
    int64_t left = size;
    if (cursor->ids == nullptr && cursor->at < it.span[cursor->source].end) {
      cursor->at = (cursor->at / size + 1) * size;
      left = 0;
    }
    int64_t begin = 0;
    for (int64_t run = 1; cursor->ids != nullptr && left > 0 && run > 0; left -= run)
      run = NextRun(it, cursor, left, &begin);
    if (left < size) {
      --tiles;
    } else {
      *cursor = StartOf(it, cursor->source + 1);
    }
  }
}

}  // namespace attention
}  // namespace
}  // namespace tamis::TAMIS_LEVEL
