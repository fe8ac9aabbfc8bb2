// Queries, keys and values into scratch, as the products take them.
#pragma once

#include "prim/attention/cpu/walk-inl.h"
#include "prim/blocks/attention_tile-inl.h"
#include "prim/formats/kv_row-inl.h"

namespace tamis::TAMIS_LEVEL {
namespace {

namespace attention {

// --- queries

// Query row `row` of the item.
TAMIS_INLINE const uint8_t* QueryRow(const Item& it, const Heads& heads, int64_t row) {
  const int64_t t = row / it.heads;
  return heads.data + it.OffsetOf(heads.at, t) + (it.head + row - t * it.heads) * heads.head_stride;
}

// All lines at once: they come from memory, and a block of lanes x lanes would wait for each line
// in turn. Inlined by force: gcc 12 takes a function that only prefetches for one without effect
// and drops its calls.
// kHint 3: into L1; 2: into L2.
template <int kHint = 3>
TAMIS_INLINE void PrefetchBytes(const uint8_t* row, int64_t bytes) {
  for (int64_t byte = 0; byte < bytes; byte += 64) __builtin_prefetch(row + byte, 0, kHint);
}
TAMIS_INLINE void PrefetchQueries(const Item& it) {
  const int64_t bytes = BytesOf(it.a.element);
  for (int64_t row = 0; row < it.rows; ++row) {
    PrefetchBytes(QueryRow(it, it.a.query, row), it.a.dim * bytes);
    if (it.a.rope_dim > 0) PrefetchBytes(QueryRow(it, it.a.query_rope, row), it.a.rope_dim * bytes);
  }
}

// Vectors [begin, end) of rows as panels [vector of rows][column][lane]; rows past the last are 0.
inline void PackHeads(const Item& it, const Heads& heads, int64_t dim, int64_t column,
                      int64_t begin, int64_t end) {
  for (int64_t v = begin; v < end; ++v) {
    const void* from[kLanes];
    for (int i = 0; i < kLanes; ++i) {
      const int64_t row = v * kLanes + i;
      from[i] = row < it.rows ? QueryRow(it, heads, row) : nullptr;
    }
    PackRows(it.a.element, from, dim, it.query + (v * it.columns + column) * kLanes);
  }
}
inline void PackColumns(const Item& it, int64_t begin, int64_t end) {
  PackHeads(it, it.a.query, it.a.dim, 0, begin, end);
  if (it.a.rope_dim > 0)
    PackHeads(it, it.a.query_rope, it.a.rope_dim, ColumnsOf(it.a.dim), begin, end);
}
inline void PackColumns(const Item& it) { PackColumns(it, 0, it.vectors); }

// Rows of vectors [begin, end), a group of heads, as panels of integers. Before any key is loaded,
// their rows stand in the keys' place.
template <class Element>
inline void PairUpQueries(const Item& it, int64_t begin, int64_t end, Quanta* quanta) {
  *quanta = Quanta();
  const int64_t pairs = it.dim_pairs;
  auto* rows = reinterpret_cast<int32_t*>(it.key);
  for (int64_t v = begin; v < end; ++v) {
    for (int i = 0; i < kLanes; ++i) {
      const int64_t row = v * kLanes + i;
      int32_t* to = rows + i * pairs;
      it.query_factor[row] = 0.0f;
      if (row < it.rows) {
        const HalfRow halves = {
            .first = reinterpret_cast<const uint16_t*>(QueryRow(it, it.a.query, row)),
            .first_dims = it.a.dim,
            .second = it.a.rope_dim > 0
                          ? reinterpret_cast<const uint16_t*>(QueryRow(it, it.a.query_rope, row))
                          : nullptr,
            .second_dims = it.a.rope_dim};
        const RowQuantum quantum = QuantumOf<Element>(halves);
        quanta->Add(quantum);
        it.query_factor[row] = it.a.scale * quantum.step;
        PairUpRow<Element>(halves, quantum.scale, to);
      } else {
        for (int64_t c = 0; c < pairs; c += kLanes) StoreInts(to + c, ZeroInts());
      }
    }
    for (int64_t c = 0; c < pairs; c += kLanes) {
      V block[kLanes];
      for (int i = 0; i < kLanes; ++i) block[i] = FloatBits(LoadInts(rows + i * pairs + c));
      Transpose(block);
      int32_t* panel = it.int16_query + (v * pairs + c) * kLanes;
      for (int i = 0; i < kLanes; ++i) StoreInts(panel + i * kLanes, IntBits(block[i]));
    }
  }
}

// A group of the item's rows as the first product takes them.
inline void PackGroup(const Item& it, int64_t group) {
  constexpr int64_t kVectors = kHeadGroup / kLanes;
  const int64_t begin = group * kVectors;
  const int64_t end = it.vectors < begin + kVectors ? it.vectors : begin + kVectors;
  if (!it.int16_scores) return PackColumns(it, begin, end);
  WithHalf(
      it.a.element, [&](auto e) __attribute__((always_inline)) {
        PairUpQueries<decltype(e)>(it, begin, end, it.quanta + group);
      });
}

// --- keys and values

// Where the tile's rows begin, to be found once per tile: found for each row, a call of 16 heads
// takes 4% longer.
TAMIS_INLINE Bases BasesOf(const Item& it, const Tile& tile) { return it.from[tile.source]; }

// Asks for the entries of the pages of all rows, at once, unless the row before has it: they are
// looked up side by side, and what follows a prefetch whose page is not known waits. In bursts of 8
// rows, between products, a call took 1 to 2% longer.
TAMIS_INLINE bool OnOnePage(const uint8_t* row, const uint8_t* other) {
  constexpr int kPageBits = 12;
  return ((reinterpret_cast<uintptr_t>(row) ^ reinterpret_cast<uintptr_t>(other)) >> kPageBits) ==
         0;
}
// Of rows that lie `offsets` from `base`.
TAMIS_INLINE void PrefetchPagesOf(const uint8_t* base, const int64_t* offsets, int64_t count) {
  if (base == nullptr) return;
  const uint8_t* before = nullptr;
  for (int64_t k = 0; k < count; ++k) {
    const uint8_t* row = base + offsets[k];
    if (!OnOnePage(row, before)) __builtin_prefetch(row, 0, 2);
    before = row;
  }
}
TAMIS_INLINE void PrefetchPages(const Item& it, const Tile& tile) {
  const Bases from = BasesOf(it, tile);
  if (tile.count == 0 || !it.fetches[tile.source]) return;
  PrefetchPagesOf(from.key, tile.key, tile.count);
  PrefetchPagesOf(from.key_rope, tile.key_rope, tile.count);
  PrefetchPagesOf(from.value, tile.value, tile.count);
}

// Rows come from random places: 6 on their way keep memory busy (of 4, a call took 1 to 3% longer).
// Asking for all of a tile's lines ahead, between the products of the tile before, makes this a
// quarter shorter and those as much longer.
constexpr int64_t kRowsAhead = 5;

// What is asked for of the rows of a tile.
struct Fetches {
  const Tile* tile;
  Bases from;
  int64_t count;  // 0: nothing
  int64_t key_bytes;
  int64_t rope_bytes;
  int64_t value_bytes;  // 0 where keys hold the values

  template <int kHint = 3>
  TAMIS_INLINE void Key(int64_t k) const {
    if (k >= count) return;
    PrefetchBytes<kHint>(from.key + tile->key[k], key_bytes);
    if (rope_bytes > 0) PrefetchBytes<kHint>(from.key_rope + tile->key_rope[k], rope_bytes);
  }
  template <int kHint = 3>
  TAMIS_INLINE void Value(int64_t k) const {
    if (k < count && value_bytes > 0)
      PrefetchBytes<kHint>(from.value + tile->value[k], value_bytes);
  }
};
TAMIS_INLINE Fetches FetchesOf(const Item& it, const Tile& tile) {
  const Args& a = it.a;
  const Bases from = BasesOf(it, tile);
  const int64_t bytes = BytesOf(a.element);
  return {.tile = &tile,
          .from = from,
          .count = it.fetches[tile.source] ? tile.count : 0,
          .key_bytes = a.byte_rows ? a.kv_row.row_bytes() : a.dim * bytes,
          .rope_bytes = from.key_rope == nullptr ? 0
                        : a.byte_rows            ? a.kv_row.scale_bytes()
                                                 : a.rope_dim * bytes,
          .value_bytes = from.value != nullptr ? a.value_dim * bytes : 0};
}

// Key k of the tile as columns: its first part, then its second.
TAMIS_INLINE void LoadKey(const Item& it, const Bases& from, const Tile& tile, int64_t k) {
  const Args& a = it.a;
  float* key = it.key + k * it.at.key_stride;
  const uint8_t* row = from.key + tile.key[k];
  if (a.byte_rows) {
    float* widened = kBf16Pairs ? it.widened : key;
    const uint8_t* scales =
        a.kv_row.scales_apart ? from.key_rope + tile.key_rope[k] : row + a.kv_row.scales_at();
    WidenKvLatent(a.element, a.kv_row, row, scales, widened);
    WidenKvRope(a.kv_row, row, widened + a.kv_row.latent_dim);
    if (kBf16Pairs) {
      StoreN(key + it.columns - 1, Zero(), 1);  // half of it remains where dims are odd
      Narrow(prim::Element::kBFloat16, widened, 1.0f, a.dim + a.rope_dim, key);  // exact
    }
    return;
  }
  Spread(a.element, row, a.dim, key);
  if (a.rope_dim > 0)
    Spread(a.element, from.key_rope + tile.key_rope[k], a.rope_dim, key + ColumnsOf(a.dim));
}

// Zeros from key `count` of the tile up to a whole register tile.
inline void PadKeys(const Item& it, int64_t count) {
  for (int64_t k = count; k % (2 * kTileHeight) != 0; ++k) {
    for (int64_t c = 0; c < it.columns; ++c) it.key[k * it.at.key_stride + c] = 0.0f;
  }
}

// Value k as it lies in memory or, being its first part, in the key's columns of pairs. Not of
// values in keys of fp32 columns.
TAMIS_INLINE const void* StoredValue(const Item& it, const Bases& from, const Tile& tile,
                                     int64_t k) {
  if (it.a.value_in_key) return it.key + k * it.at.key_stride;
  return from.value + tile.value[k];
}

TAMIS_INLINE int32_t* PairsOf(const Item& it, int64_t k) {
  return reinterpret_cast<int32_t*>(it.value) + k / 2 * it.at.value_stride;
}

// Values of keys k and k + 1, where there is one more, as a pair of integers. Returns whether they
// are in range.
TAMIS_INLINE bool PairUpValues(const Item& it, const Bases& from, const Tile& tile, int64_t k) {
  const bool two = k + 1 < tile.count;
  if (it.a.value_in_key && !kBf16Pairs) {
    const float* first = it.key + k * it.at.key_stride;
    return PairValues<F16>(first, two ? first + it.at.key_stride : nullptr, it.a.value_dim,
                           PairsOf(it, k), it.inverse + k);
  }
  const auto* first = static_cast<const uint16_t*>(StoredValue(it, from, tile, k));
  const auto* second =
      static_cast<const uint16_t*>(two ? StoredValue(it, from, tile, k + 1) : nullptr);
  return WithHalf(
      it.a.element, [&](auto e) __attribute__((always_inline)) {
        return PairValues<decltype(e)>(first, second, it.a.value_dim, PairsOf(it, k),
                                       it.inverse + k);
      });
}

// Keys of the tile as columns, and where `pair`, values as pairs of integers. Returns whether these
// are in range.
inline bool LoadTile(const Item& it, const Tile& tile, bool pair) {
  const Fetches fetches = FetchesOf(it, tile);
  for (int64_t k = 0; k < kRowsAhead; ++k) fetches.Key(k);
  const bool in_key = it.a.value_in_key;
  bool paired = pair;
  for (int64_t k = 0; k < tile.count; ++k) {
    fetches.Key(k + kRowsAhead);
    LoadKey(it, fetches.from, tile, k);
    if (in_key && paired && (k % 2 == 1 || k + 1 == tile.count))
      paired = PairUpValues(it, fetches.from, tile, k & ~1);
  }
  PadKeys(it, tile.count);
  return paired;
}

// How many keys ahead values that are read whole are asked for.
constexpr int64_t kValuesAhead = 16;

// Values that do not lie in keys as pairs of integers. Returns whether they are in range.
inline bool PairUpTile(const Item& it, const Tile& tile) {
  const Fetches fetches = FetchesOf(it, tile);
  bool paired = true;
  for (int64_t k = 0; k < tile.count && paired; k += 2) {
    fetches.Value(k + kValuesAhead);
    fetches.Value(k + kValuesAhead + 1);
    paired = PairUpValues(it, fetches.from, tile, k);
  }
  return paired;
}

// Of values that are not all in range, those before the first that is not. Returns how many.
inline int64_t PairUpFirst(const Item& it, const Tile& tile) {
  const Bases from = BasesOf(it, tile);
  int64_t k = 0;
  while (k < tile.count && PairUpValues(it, from, tile, k)) k += 2;
  if (k >= tile.count) return tile.count;
  Tile single = tile;
  single.count = k + 1;
  return PairUpValues(it, from, single, k) ? k + 1 : k;
}

// Columns [c, c + width) of value k; zeros up to `padded`.
template <class Element>
TAMIS_INLINE void WidenPartAs(const Item& it, const Bases& from, const Tile& tile, int64_t k,
                              int64_t c, int64_t width, int64_t padded, float* to) {
  WidenAs<Element>(static_cast<const typename Element::Stored*>(StoredValue(it, from, tile, k)) + c,
                   width, to);
  for (int64_t i = width; i < padded; ++i) to[i] = 0.0f;
}

// The same of all values of the tile, `stride` apart.
inline void WidenParts(const Item& it, const Tile& tile, int64_t c, int64_t width, int64_t padded,
                       float* to, int64_t stride) {
  if (it.a.value_in_key && !kBf16Pairs) {  // keys are fp32
    for (int64_t k = 0; k < tile.count; ++k, to += stride) {
      __builtin_memcpy(to, it.key + k * it.at.key_stride + c, static_cast<size_t>(width) * 4);
      for (int64_t i = width; i < padded; ++i) to[i] = 0.0f;
    }
    return;
  }
  const Bases from = BasesOf(it, tile);
  WithElement(
      it.a.element, [&](auto e) __attribute__((always_inline)) {
        for (int64_t k = 0; k < tile.count; ++k)
          WidenPartAs<decltype(e)>(it, from, tile, k, c, width, padded, to + k * stride);
      });
}

// All of value k, of values that do not lie in keys.
TAMIS_INLINE void WidenValue(const Item& it, const Tile& tile, int64_t k) {
  WithElement(
      it.a.element, [&](auto e) __attribute__((always_inline)) {
        WidenPartAs<decltype(e)>(it, BasesOf(it, tile), tile, k, 0, it.a.value_dim,
                                 it.at.out_stride, it.value + k * it.at.value_stride);
      });
}

// --- keys as integers

TAMIS_INLINE HalfRow KeyHalves(const Item& it, const Bases& from, const Tile& tile, int64_t k) {
  const auto halves = [](const uint8_t* row) { return reinterpret_cast<const uint16_t*>(row); };
  return {.first = halves(from.key + tile.key[k]),
          .first_dims = it.a.dim,
          .second = it.a.rope_dim > 0 ? halves(from.key_rope + tile.key_rope[k]) : nullptr,
          .second_dims = it.a.rope_dim};
}

// Keys k and k + 1, and their values, as pairs of integers. Returns whether the values are in
// range. The last key of an odd number of them stands for the one after it, too, whose weight is 0.
template <class Element>
TAMIS_INLINE bool PairUpKeys(const Item& it, const Bases& from, const Tile& tile, int64_t k,
                             const RowQuantum* quanta) {
  const Args& a = it.a;
  const int64_t second = k + 1 < tile.count ? 1 : 0;
  const uint16_t* latent[2];
  int32_t* to[2];
  for (int i = 0; i < 2; ++i) {
    const int64_t at = i * second;
    const HalfRow key = KeyHalves(it, from, tile, k + at);
    latent[i] = key.first;
    to[i] = reinterpret_cast<int32_t*>(it.key) + (k + at) * it.at.key_stride;
    it.key_step[k + at] = quanta[at].step;
    PairUpPart<Element>(key.second, key.second_dims, quanta[at].scale, to[i] + DimPairsOf(a.dim));
  }
  if (a.value_in_key) {
    const RowScale first_value = ScaleOf(quanta[0].most);
    const RowScale second_value = ScaleOf(quanta[second].most);
    if (!first_value.fits || !second_value.fits) return false;
    it.inverse[k] = first_value.inverse;
    it.inverse[k + 1] = second_value.inverse;
    PairUpKeysAndValues<Element>(latent, a.dim, {quanta[0].scale, quanta[second].scale},
                                 {first_value, second_value}, to, PairsOf(it, k));
    return true;
  }
  for (int i = 0; i < 2; ++i)
    PairUpPart<Element>(latent[i], a.dim, quanta[i * second].scale, to[i]);
  return PairUpValues(it, from, tile, k);
}

// Keys and values of the tile as pairs of integers. Returns whether they are in range, and scores
// as good in integers as they have to be.
template <class Element>
inline bool PairUpAllAs(const Item& it, const Quanta& queries, const Tile& tile) {
  Quanta keys;
  const Fetches fetches = FetchesOf(it, tile);
  for (int64_t k = 0; k < kRowsAhead; ++k) fetches.Key(k);
  for (int64_t k = 0; k < tile.count; k += 2) {
    RowQuantum quanta[2];
    for (int64_t i = k; i < k + 2 && i < tile.count; ++i) {
      fetches.Key(i + kRowsAhead);
      fetches.Value(i + kRowsAhead);
      quanta[i - k] = QuantumOf<Element>(KeyHalves(it, fetches.from, tile, i));
      keys.Add(quanta[i - k]);
    }
    if (!PairUpKeys<Element>(it, fetches.from, tile, k, quanta)) return false;
  }
  for (int64_t k = tile.count; k % (2 * kTileHeight) != 0; ++k) {
    it.key_step[k] = 0.0f;
    __builtin_memset(it.key + k * it.at.key_stride, 0, static_cast<size_t>(it.dim_pairs) * 4);
  }
  return ScoresFit(queries, keys, it.a.scale);
}
inline bool PairUpAll(const Item& it, const Quanta& queries, const Tile& tile) {
  return WithHalf(
      it.a.element, [&](auto e) __attribute__((always_inline)) {
        return PairUpAllAs<decltype(e)>(it, queries, tile);
      });
}

}  // namespace attention
}  // namespace
}  // namespace tamis::TAMIS_LEVEL
