// Queries, keys and values into scratch, as the products take them.
#pragma once

#include "ops/sparse_flash_attention/cpu/item-inl.h"
#include "prim/blocks/attention_tile-inl.h"
#include "prim/blocks/int16_scores-inl.h"
#include "prim/formats/kv_row-inl.h"

namespace tamis::TAMIS_LEVEL {
namespace {

namespace sparse_attention {

TAMIS_INLINE const uint16_t* HeadOf(const Item& it, const Heads& heads, int64_t head) {
  return heads.data + OffsetOf(it, heads.at) + (it.head + head) * heads.head_stride;
}

inline void PackHeads(const Item& it, const Heads& heads, int64_t dim, int64_t begin) {
  for (int64_t v = 0; v < it.vectors; ++v) {
    const void* from[kLanes];
    for (int i = 0; i < kLanes; ++i) {
      const int64_t head = v * kLanes + i;
      from[i] = head < it.heads ? HeadOf(it, heads, head) : nullptr;
    }
    PackRows(it.a.element, from, dim, it.query + (v * it.columns + ColumnsOf(begin)) * kLanes);
  }
}

inline void PackQueries(const Item& it) {
  PackHeads(it, it.a.query, it.a.latent_dim, 0);
  if (it.a.rope_dim == 0) return;
  PackHeads(it, it.a.query_rope, it.a.rope_dim, it.a.latent_dim);
}

// Queries of a group of heads as panels of integers. Before any key is loaded, their rows stand in
// the keys' place.
template <class Element>
inline void PairUpQueries(const Item& it) {
  Quanta& quanta = *it.quanta;
  quanta = Quanta();
  auto* rows = reinterpret_cast<int32_t*>(it.key);
  for (int64_t v = 0; v < it.vectors; ++v) {
    for (int i = 0; i < kLanes; ++i) {
      const int64_t head = v * kLanes + i;
      int32_t* row = rows + i * it.dim_pairs;
      it.query_factor[head] = 0.0f;
      if (head < it.heads) {
        const HalfRow halves = {
            .first = HeadOf(it, it.a.query, head),
            .first_dims = it.a.latent_dim,
            .second = it.a.rope_dim > 0 ? HeadOf(it, it.a.query_rope, head) : nullptr,
            .second_dims = it.a.rope_dim};
        const RowQuantum quantum = QuantumOf<Element>(halves);
        quanta.Add(quantum);
        it.query_factor[head] = it.a.scale * quantum.step;
        PairUpRow<Element>(halves, quantum.scale, row);
      } else {
        for (int64_t c = 0; c < it.dim_pairs; c += kLanes) StoreInts(row + c, ZeroInts());
      }
    }
    for (int64_t c = 0; c < it.dim_pairs; c += kLanes) {
      V block[kLanes];
      for (int i = 0; i < kLanes; ++i) block[i] = FloatBits(LoadInts(rows + i * it.dim_pairs + c));
      Transpose(block);
      int32_t* panel = it.int16_query + (v * it.dim_pairs + c) * kLanes;
      for (int i = 0; i < kLanes; ++i) StoreInts(panel + i * kLanes, IntBits(block[i]));
    }
  }
}

// Queries of a group of heads as the first product takes them.
inline void PackGroup(const Item& it) {
  if (!it.int16_scores) return PackQueries(it);
  it.a.element == prim::Element::kBFloat16 ? PairUpQueries<BF16>(it) : PairUpQueries<F16>(it);
}

TAMIS_INLINE const uint8_t* RowOf(const Rows& rows, int64_t offset, const Tile& tile, int64_t k) {
  return rows.data + offset + tile.page[k] * rows.page_stride + tile.slot[k] * rows.row_stride;
}
TAMIS_INLINE const uint16_t* HalvesOf(const Rows& rows, int64_t offset, const Tile& tile,
                                      int64_t k) {
  return reinterpret_cast<const uint16_t*>(RowOf(rows, offset, tile, k));
}

// Rows come from random places: 6 on their way keep memory busy (of 4, a call took 1 to 3% longer).
// Asking for all of a tile's lines ahead, between the products of the tile before, makes this a
// quarter shorter and those as much longer. Inlined by force: gcc 12 takes a function that only
// prefetches for one without effect and drops its calls.
constexpr int64_t kRowsAhead = 5;

TAMIS_INLINE void PrefetchBytes(const uint8_t* row, int64_t bytes) {
  for (int64_t byte = 0; byte < bytes; byte += 64) __builtin_prefetch(row + byte, 0, 3);
}
// Asks for the entries of the pages of all rows, at once: they are looked up side by side, and what
// follows a prefetch whose page is not known waits. In bursts of 8 rows, between products, a call
// took 1 to 2% longer.
TAMIS_INLINE void PrefetchPages(const Item& it, const Tile& tile) {
  for (int64_t k = 0; k < tile.count; ++k) {
    __builtin_prefetch(RowOf(it.a.key, it.key_offset, tile, k), 0, 2);
    if (it.a.key_rope.data != nullptr)
      __builtin_prefetch(RowOf(it.a.key_rope, it.key_rope_offset, tile, k), 0, 2);
  }
}

TAMIS_INLINE void PrefetchRow(const Item& it, const Tile& tile, int64_t k) {
  if (k >= tile.count) return;
  const int64_t key_bytes = it.a.byte_rows ? it.a.kv_row.width() : 2 * it.a.latent_dim;
  PrefetchBytes(RowOf(it.a.key, it.key_offset, tile, k), key_bytes);
  if (it.a.key_rope.data != nullptr)
    PrefetchBytes(RowOf(it.a.key_rope, it.key_rope_offset, tile, k), 2 * it.a.rope_dim);
  if (it.a.value.data != nullptr)
    PrefetchBytes(RowOf(it.a.value, it.value_offset, tile, k), 2 * it.a.latent_dim);
}

// Key k of the tile, latent then rope, and the values that lie in its latent part.
TAMIS_INLINE void LoadKey(const Item& it, const Tile& tile, int64_t k) {
  const KernelArgs& a = it.a;
  float* key = it.key + k * it.at.key_stride;
  float* value = it.value + k * it.at.key_stride;
  if (a.byte_rows) {
    const uint8_t* row = RowOf(a.key, it.key_offset, tile, k);
    WidenKvLatent(a.element, a.kv_row, row, value);
    WidenKvRope(a.element, a.kv_row, row, value + a.latent_dim);
    if (kBf16Pairs) {
      StoreN(key + it.columns - 1, Zero(), 1);  // half of it remains where dims are odd
      Narrow(prim::Element::kBFloat16, value, 1.0f, it.at.dim, key);  // exact
    }
    return;
  }
  const uint16_t* latent = HalvesOf(a.key, it.key_offset, tile, k);
  Spread(a.element, latent, a.latent_dim, key);
  if (a.rope_dim > 0) {
    Spread(a.element, HalvesOf(a.key_rope, it.key_rope_offset, tile, k), a.rope_dim,
           key + ColumnsOf(a.latent_dim));
  }
  if (a.value.data != nullptr) latent = HalvesOf(a.value, it.value_offset, tile, k);
  if (value != key && !(kBf16Pairs && it.int16)) Widen(a.element, latent, a.latent_dim, value);
}

// The value of key k in bfloat16, at levels of bfloat16 pairs: beside its key, or in it.
TAMIS_INLINE const uint16_t* ValueHalves(const Item& it, const Tile& tile, int64_t k) {
  if (it.a.value.data != nullptr) return HalvesOf(it.a.value, it.value_offset, tile, k);
  return reinterpret_cast<const uint16_t*>(it.key + k * it.at.key_stride);
}

// Values of keys k and k + 1, where there is one more, as a pair of integers. Returns whether they
// are in range.
TAMIS_INLINE bool PairUpValues(const Item& it, const Tile& tile, int64_t k) {
  const bool two = k + 1 < tile.count;
  int32_t* to = it.int16_value + k / 2 * it.at.key_stride;
  if constexpr (kBf16Pairs) {
    return PairValues<BF16>(ValueHalves(it, tile, k), two ? ValueHalves(it, tile, k + 1) : nullptr,
                            it.a.latent_dim, to, it.inverse + k);
  } else {
    const float* first = it.value + k * it.at.key_stride;
    return PairValues<F16>(first, two ? first + it.at.key_stride : nullptr, it.a.latent_dim, to,
                           it.inverse + k);
  }
}

// Keys and values of the tile; zeros up to a whole register tile. Returns whether values are pairs
// of integers.
inline bool LoadTile(const Item& it, const Tile& tile) {
  bool int16 = it.int16;
  for (int64_t k = 0; k < kRowsAhead; ++k) PrefetchRow(it, tile, k);
  for (int64_t k = 0; k < tile.count; ++k) {
    PrefetchRow(it, tile, k + kRowsAhead);
    LoadKey(it, tile, k);
    if (int16 && (k % 2 == 1 || k + 1 == tile.count)) int16 = PairUpValues(it, tile, k & ~1);
  }
  for (int64_t k = tile.count; k % (2 * kTileHeight) != 0; ++k) {
    for (int64_t c = 0; c < it.columns; ++c) it.key[k * it.at.key_stride + c] = 0.0f;
  }
  return int16;
}

TAMIS_INLINE HalfRow KeyOf(const Item& it, const Tile& tile, int64_t k) {
  const KernelArgs& a = it.a;
  return {.first = HalvesOf(a.key, it.key_offset, tile, k),
          .first_dims = a.latent_dim,
          .second = a.rope_dim > 0 ? HalvesOf(a.key_rope, it.key_rope_offset, tile, k) : nullptr,
          .second_dims = a.rope_dim};
}

// Keys k and k + 1, and their values, as pairs of integers. Returns whether the values are in
// range. The last key of an odd number of them stands for the one after it, too, whose weight is 0.
template <class Element>
TAMIS_INLINE bool PairUpKeys(const Item& it, const Tile& tile, int64_t k,
                             const RowQuantum* quanta) {
  const KernelArgs& a = it.a;
  const int64_t second = k + 1 < tile.count ? 1 : 0;
  const uint16_t* latent[2];
  int32_t* to[2];
  for (int i = 0; i < 2; ++i) {
    const int64_t at = i * second;
    const HalfRow key = KeyOf(it, tile, k + at);
    latent[i] = key.first;
    to[i] = reinterpret_cast<int32_t*>(it.key) + (k + at) * it.at.key_stride;
    it.key_step[k + at] = quanta[at].step;
    PairUpPart<Element>(key.second, key.second_dims, quanta[at].scale,
                     to[i] + DimPairsOf(a.latent_dim));
  }
  int32_t* values = it.int16_value + k / 2 * it.at.key_stride;
  if (a.value.data == nullptr) {
    const RowScale first_value = ScaleOf(quanta[0].most);
    const RowScale second_value = ScaleOf(quanta[second].most);
    if (!first_value.fits || !second_value.fits) return false;
    it.inverse[k] = first_value.inverse;
    it.inverse[k + 1] = second_value.inverse;
    PairUpKeysAndValues<Element>(latent, a.latent_dim, {quanta[0].scale, quanta[second].scale},
                              {first_value, second_value}, to, values);
    return true;
  }
  for (int i = 0; i < 2; ++i)
    PairUpPart<Element>(latent[i], a.latent_dim, quanta[i * second].scale, to[i]);
  return PairValues<Element>(HalvesOf(a.value, it.value_offset, tile, k),
                          HalvesOf(a.value, it.value_offset, tile, k + second), a.latent_dim,
                          values, it.inverse + k);
}

// Keys and values of the tile as pairs of integers. Returns whether they are in range, and scores
// as good in integers as they have to be.
template <class Element>
inline bool PairUpTileAs(const Item& it, const Quanta& queries, const Tile& tile) {
  Quanta keys;
  for (int64_t k = 0; k < kRowsAhead; ++k) PrefetchRow(it, tile, k);
  for (int64_t k = 0; k < tile.count; k += 2) {
    RowQuantum quanta[2];
    for (int64_t i = k; i < k + 2 && i < tile.count; ++i) {
      PrefetchRow(it, tile, i + kRowsAhead);
      quanta[i - k] = QuantumOf<Element>(KeyOf(it, tile, i));
      keys.Add(quanta[i - k]);
    }
    if (!PairUpKeys<Element>(it, tile, k, quanta)) return false;
  }
  for (int64_t k = tile.count; k % (2 * kTileHeight) != 0; ++k) {
    it.key_step[k] = 0.0f;
    __builtin_memset(it.key + k * it.at.key_stride, 0, static_cast<size_t>(it.dim_pairs) * 4);
  }
  return ScoresFit(queries, keys, it.a.scale);
}
inline bool PairUpTile(const Item& it, const Quanta& queries, const Tile& tile) {
  return it.a.element == prim::Element::kBFloat16 ? PairUpTileAs<BF16>(it, queries, tile)
                       : PairUpTileAs<F16>(it, queries, tile);
}

// Where values were meant to be integers and are out of range.
inline void WidenValues(const Item& it, const Tile& tile) {
  for (int64_t k = 0; k < tile.count; ++k) {
    Widen(prim::Element::kBFloat16, ValueHalves(it, tile, k), it.a.latent_dim, it.value + k * it.at.key_stride);
  }
}

}  // namespace sparse_attention
}  // namespace
}  // namespace tamis::TAMIS_LEVEL
