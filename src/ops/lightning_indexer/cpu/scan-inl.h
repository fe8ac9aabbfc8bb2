// The scan: products of 8-bit integers of 64 keys at a time with all heads of a token, and what
// bounds the keys' scores.
//
// A register tile is 4 heads x 4 panels: a panel has 4 dims of 16 keys in a vector, so that the sum
// over the heads needs no sum of lanes, and 16 products share 8 loads. With 16 registers it is 4
// heads x 3 vectors, half panels: 12 accumulators cover a latency of 5 on 2 ports, 4 x 4 would
// spill. 64 keys of 128 dims are 9 KiB, which stay in L1 beside 8 KiB of queries; the next 64 are
// asked for meanwhile.
#pragma once

#include "ops/lightning_indexer/cpu/bound-inl.h"

namespace tamis::TAMIS_LEVEL {
namespace {

namespace indexer {

using tamis::lightning_indexer::kBins;
using tamis::lightning_indexer::kScanKeys;
using tamis::lightning_indexer::kScanPanels;
using tamis::prim::kShadowKeys;

// Keys position, position + 1, ... of the sequence, from `lane` of a panel on.
struct PanelKeys {
  const uint8_t* panel;
  int64_t position;
  int64_t lane;
  int64_t count;
};

struct Block {
  PanelKeys parts[kScanPanels];
  int64_t end;  // the position after the last
  // Without a shadow:
  int64_t keys;
  const void* rows[kScanKeys];
};

// The keys from `position` on that lie in one panel.
inline PanelKeys FindKeys(const Item& it, int64_t position, int64_t end) {
  const auto& scan = it.a.scan;
  const auto least = [](int64_t a, int64_t b) { return a < b ? a : b; };
  if (scan.shadow == nullptr) {
    return {.panel = nullptr,
            .position = position,
            .lane = 0,
            .count = least(kShadowKeys, end - position)};
  }
  const uint8_t* panels = scan.shadow;
  int64_t key = position + it.chunk.first_key;
  int64_t count = end - position;
  if (it.a.page_table == nullptr) {
    panels += it.chunk.batch * scan.shadow_page_stride;
  } else {
    panels += it.a.page_table[it.chunk.table_offset + position / it.a.page_size] *
              scan.shadow_page_stride;
    key = position % it.a.page_size;
    count = least(count, it.a.page_size - key);
  }
  const int64_t lane = key % kShadowKeys;
  return {.panel = panels + key / kShadowKeys * scan.shadow_panel_stride,
          .position = position,
          .lane = lane,
          .count = least(count, kShadowKeys - lane)};
}

inline void AddKeys(const Item& it, const PanelKeys& keys, PanelKeys* part, Block* block) {
  *part = keys;
  block->end = keys.position + keys.count;
  if (it.a.scan.shadow != nullptr) return;
  for (int64_t k = 0; k < keys.count; ++k)
    block->rows[block->keys++] = KeyRow(it, keys.position + k);
}

// Up to 64 keys from `position` on.
inline void FindBlock(const Item& it, int64_t position, int64_t end, Block* block) {
  block->keys = 0;
  block->end = position;
  for (PanelKeys& part : block->parts) {
    part = {.panel = block->parts[0].panel, .position = block->end, .lane = 0, .count = 0};
    if (block->end < end) AddKeys(it, FindKeys(it, block->end, end), &part, block);
  }
}

// Asks for part `part` of `parts` of a block.
TAMIS_INLINE void PrefetchPart(const Item& it, const Block& block, int64_t part, int64_t parts) {
  if (it.a.scan.shadow == nullptr) {
    const int64_t end = (part + 1) * block.keys / parts;
    for (int64_t k = part * block.keys / parts; k < end; ++k) {
      const char* const row = reinterpret_cast<const char*>(block.rows[k]);
      const int64_t bytes = it.a.dim * BytesOf(it.a.element);
      for (int64_t byte = 0; byte < bytes; byte += 64) __builtin_prefetch(row + byte, 0, 3);
    }
    return;
  }
  const int64_t lines = (tamis::prim::ShadowPanelBytes(it.a.dim) + 63) / 64;
  const int64_t end = (part + 1) * lines / parts;
  for (int64_t line = part * lines / parts; line < end; ++line) {
    for (const PanelKeys& keys : block.parts) __builtin_prefetch(keys.panel + line * 64, 0, 3);
  }
}

// Quantises the keys of a block that has no shadow.
inline void QuantiseBlock(const Item& it, const ScanScratch& at, float* scratch, Block* block) {
  if (it.a.scan.shadow != nullptr) return;
  auto* const bytes = reinterpret_cast<uint8_t*>(scratch + at.bytes);
  const void* const* rows = block->rows;
  for (int64_t p = 0; p < kScanPanels; ++p) {
    PanelKeys& part = block->parts[p];
    auto* const panel = reinterpret_cast<uint8_t*>(scratch + at.panels + p * at.panel);
    part.panel = p == 0 || part.count > 0 ? panel : block->parts[0].panel;
    if (part.count == 0) continue;
    ShadowPanel(it.a.element, rows, part.count, it.a.dim, bytes, panel);
    rows += part.count;
  }
}

// Bounds of the scores of kVectors vectors of keys, from key k of a block on. between() before each
// 4 heads.
template <int kVectors, class Between>
TAMIS_INLINE void ScanVectors(const Item& it, const Block& block, int64_t k, const float* state,
                              float* lowers, float* uppers, const Between& between) {
  const StateLayout at = StateOf(it.a);
  const int64_t dim_groups = tamis::prim::ShadowGroups(it.a.dim);
  const int64_t quads = tamis::lightning_indexer::QuadsOf(it.a.heads);
  const auto* const queries = reinterpret_cast<const int32_t*>(state + at.queries);
  const auto* const starts = reinterpret_cast<const int32_t*>(state + at.starts);
  const float* const factors = state + at.factors;
  const auto& bound = *reinterpret_cast<const TokenBound*>(state + at.bound);
  const uint8_t* keys[kVectors];
  for (int v = 0; v < kVectors; ++v) {
    const int64_t key = k + v * kLanes;
    keys[v] = block.parts[key / kShadowKeys].panel + key % kShadowKeys * 4;
  }
  V total[kVectors];
  for (V& t : total) t = Zero();
  for (int64_t quad = 0; quad < quads; ++quad) {
    between();
    const int32_t* const query = queries + quad * dim_groups * kScanHeads;
    I sum[kScanHeads][kVectors];
    for (int h = 0; h < kScanHeads; ++h) {
      for (int v = 0; v < kVectors; ++v) sum[h][v] = SetInts(starts[quad * kScanHeads + h]);
    }
    for (int64_t g = 0; g < dim_groups; ++g) {
      I key[kVectors];
      for (int v = 0; v < kVectors; ++v) key[v] = LoadInts(keys[v] + g * kShadowKeys * 4);
      for (int h = 0; h < kScanHeads; ++h) {
        const I q = SetInts(query[g * kScanHeads + h]);
        for (int v = 0; v < kVectors; ++v) sum[h][v] = DotInt8(key[v], q, sum[h][v]);
      }
    }
    for (int h = 0; h < kScanHeads; ++h) {
      const V factor = Set(factors[quad * kScanHeads + h]);
      for (int v = 0; v < kVectors; ++v)
        total[v] = Fma(FloatsOf(MaxInts(sum[h][v], ZeroInts())), factor, total[v]);
    }
  }
  for (int v = 0; v < kVectors; ++v) {
    const uint8_t* const from = keys[v] + dim_groups * kShadowKeys * 4;
    const auto load = [&](int64_t which) __attribute__((always_inline)) {
      return FloatBits(LoadInts(from + which * kShadowKeys * 4));
    };
    const V score = Mul(total[v], load(0));
    const V off =
        Fma(Set(bound.per_error), load(1), Fma(Set(bound.per_norm), load(2), Set(bound.constant)));
    Store(lowers + k + v * kLanes, Sub(score, off));
    Store(uppers + k + v * kLanes, Add(score, off));
  }
}

// Bounds of the scores of the keys of a block, [panel][16 keys]. between(part, parts) before each 4
// heads of a register tile.
template <class Between>
inline void ScanBlock(const Item& it, const Block& block, const float* state, float* lowers,
                      float* uppers, const Between& between) {
  constexpr int kVectors = kLanes == 8 ? 3 : 4;
  constexpr int64_t kStep = kVectors * kLanes;
  constexpr int64_t kRest = kScanKeys % kStep;
  constexpr int64_t kTiles = (kScanKeys + kStep - 1) / kStep;
  const int64_t parts = kTiles * tamis::lightning_indexer::QuadsOf(it.a.heads);
  int64_t part = 0;
  const auto next = [&]() __attribute__((always_inline)) { between(part++, parts); };
  for (int64_t k = 0; k + kStep <= kScanKeys; k += kStep)
    ScanVectors<kVectors>(it, block, k, state, lowers, uppers, next);
  if constexpr (kRest > 0)
    ScanVectors<kRest / kLanes>(it, block, kScanKeys - kRest, state, lowers, uppers, next);
}

}  // namespace indexer
}  // namespace
}  // namespace tamis::TAMIS_LEVEL
