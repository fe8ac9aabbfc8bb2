// Selection with a scan: bounds of all scores, a threshold from them, and scores, the plain way's
// own, of the keys that may be among the best. A key is left out only where its upper bound lies
// below `keep` other keys' lower bounds, so the selection is the plain way's, bit for bit.
#pragma once

#include "ops/lightning_indexer/cpu/scan-inl.h"

namespace tamis::TAMIS_LEVEL {
namespace {

namespace indexer {

using tamis::lightning_indexer::Group;
using tamis::lightning_indexer::kLeastPerSelected;
using tamis::lightning_indexer::kLeastSample;
using tamis::lightning_indexer::kLeastScanned;
using tamis::lightning_indexer::kMostSample;
using tamis::lightning_indexer::LayOutScan;

// Above this share of keys that need a score all the same the plain way is faster: a scan takes
// about a quarter of the plain way's time (half, where that multiplies pairs of bfloat16),
// quantising on the way as much again (half as much), and a score out of order a quarter more than
// in order.
constexpr float kMostCandidates = kBf16Pairs ? 0.35f : 0.5f;
constexpr float kMostCandidatesWithoutShadow = kBf16Pairs ? 0.12f : 0.35f;

// Of keys that score alike none can be left out. A few of them say so at no cost that was seen; by
// bounds of a sample alone such a call took 1 to 2% longer.
constexpr float kMostAlike = 0.4f;
constexpr int64_t kMostCompared = 4 * kIndexerKeyTile;
constexpr int64_t kKeysPerCompared = 1024;

// Where what the scan leaves lies: in the shared part of the workspace or in a worker's scratch.
struct ScanSpace {
  float* states;
  uint32_t* bins;
  float* uppers;
  int64_t first_list;  // whose bins and uppers come first
};

TAMIS_INLINE float* StateOfToken(const Item& it, const ScanSpace& space, int64_t token) {
  return space.states + token * StateOf(it.a).total;
}
TAMIS_INLINE TokenBound* BoundOf(const Item& it, float* state) {
  return reinterpret_cast<TokenBound*>(state + StateOf(it.a).bound);
}
TAMIS_INLINE bool Scanned(const Item& it, const ScanSpace& space) {
  return BoundOf(it, StateOfToken(it, space, 0))->scanned != 0;
}
// Bounds of a sample, spread evenly over the `keys` from the first on; the share of it that would
// need a score. Not inlined: in one function with all else, gcc 12 keeps an accumulator of the
// scan's loop on the stack at level avx2_vnni.
__attribute__((noinline)) float Sample(const Item& it, const ScanScratch& at, int64_t keys,
                                       float* scratch, float* state) {
  int64_t panels = keys / 32;
  panels = panels < kLeastSample ? kLeastSample : panels > kMostSample ? kMostSample : panels;
  panels /= kShadowKeys;
  if (panels * kShadowKeys > keys) panels = (keys + kShadowKeys - 1) / kShadowKeys;
  float* const lowers = scratch + at.lowers;
  float* const uppers = scratch + at.uppers;
  int64_t count = 0;
  for (int64_t first = 0; first < panels; first += kScanPanels) {
    Block block = {};
    block.keys = 0;
    for (int64_t p = 0; p < kScanPanels; ++p) {
      block.parts[p] = {.panel = block.parts[0].panel, .position = 0, .lane = 0, .count = 0};
      if (first + p >= panels) continue;
      const int64_t position = it.chunk.first + (first + p) * keys / panels;
      AddKeys(it, FindKeys(it, position, it.chunk.first + keys), &block.parts[p], &block);
    }
    QuantiseBlock(it, at, scratch, &block);
    float low[kScanKeys];
    float high[kScanKeys];
    ScanBlock(it, block, state, low, high, [](int64_t, int64_t) {});
    for (int64_t p = 0; p < kScanPanels; ++p) {
      const PanelKeys& part = block.parts[p];
      for (int64_t i = p * kShadowKeys + part.lane; i < p * kShadowKeys + part.lane + part.count;
           ++i) {
        lowers[count] = low[i] > -__FLT_MAX__ ? low[i] : -__FLT_MAX__;  // also for NaN
        uppers[count++] = high[i];
      }
    }
  }
  return tamis::lightning_indexer::Decide(lowers, uppers, count, keys, it.a.keep,
                                          BoundOf(it, state));
}

inline void LoadKeysAt(const Item& it, const int32_t* positions, int64_t count) {
  for (int64_t k = 0; k < count; ++k) {
    Spread(it.a.element, KeyRow(it, positions[k]), it.a.dim, it.key + k * it.key_stride);
  }
  for (int64_t k = count; k < kIndexerKeyTile; ++k) {
    for (int64_t c = 0; c < it.columns; ++c) it.key[k * it.key_stride + c] = 0.0f;
  }
}

// Whether, of a few of the `keys` from the first on, too many score what a selected one does, or
// more.
inline bool ManyScoreAlike(const Item& it, int64_t token, int64_t keys) {
  int64_t count = keys / kKeysPerCompared / kIndexerKeyTile * kIndexerKeyTile;
  count = count < kIndexerKeyTile ? kIndexerKeyTile : count > kMostCompared ? kMostCompared : count;
  if (count > keys) return false;
  float scores[kMostCompared];
  for (int64_t first = 0; first < count; first += kIndexerKeyTile) {
    int32_t positions[kIndexerKeyTile];
    for (int64_t k = 0; k < kIndexerKeyTile; ++k) {
      const int64_t position = it.chunk.first + (first + k) * keys / count;
      positions[k] = static_cast<int32_t>(position);
      Prefetch(it, position);
    }
    LoadKeysAt(it, positions, kIndexerKeyTile);
    Scores(it, token, it.chunk.key_end);
    for (int64_t k = 0; k < kIndexerKeyTile; ++k) {
      const float score = it.scores[k];
      scores[first + k] = score > -__FLT_MAX__ ? score : -__FLT_MAX__;  // also for NaN
    }
  }
  return tamis::lightning_indexer::ShareAlike(scores, count, keys, it.a.keep) > kMostAlike;
}

// Prepares a token; true where a scan pays for it.
inline bool PrepareOne(const Item& it, int64_t token, float* scratch, float* state) {
  const auto& scan = it.a.scan;
  const int64_t keys = VisibleTo(it, token) - it.chunk.first;
  if (keys <= 0) return false;
  if (!scan.always && (keys < kLeastScanned || keys / kLeastPerSelected < it.a.keep)) return false;
  if (!scan.always && ManyScoreAlike(it, token, keys)) return false;
  const ScanScratch at = LayOutScan(it.a, false);  // the parts that both ways have
  WithElement(
      it.a.element, [&](auto e) __attribute__((always_inline)) {
        PrepareToken<decltype(e)>(it, at, token, scratch, state);
      });
  if (BoundOf(it, state)->scanned == 0) return false;
  const float most = scan.shadow != nullptr ? kMostCandidates : kMostCandidatesWithoutShadow;
  return Sample(it, at, keys, scratch, state) <= most || scan.always;
}

// Prepares the tokens of the chunk, which holds all their keys; true where a scan pays for all.
inline bool PrepareTokens(const Item& it, const ScanSpace& space, float* scratch) {
  bool pays = true;
  for (int64_t t = 0; t < it.chunk.tokens && pays; ++t)
    pays = PrepareOne(it, t, scratch, StateOfToken(it, space, t));
  BoundOf(it, StateOfToken(it, space, 0))->scanned = pays ? 1 : 0;
  return pays;
}

// Upper bounds of the chunk's scores, and its lower bounds counted.
inline void ScanChunk(const Item& it, const ScanSpace& space, float* scratch) {
  const Chunk& chunk = it.chunk;
  const ScanScratch at = LayOutScan(it.a, false);
  const int64_t tokens = chunk.tokens;
  uint32_t* const bins = space.bins + (chunk.list - space.first_list) * kBins;
  float* const all = space.uppers + (chunk.list - space.first_list) * it.a.scan.keys_per_chunk;
  __builtin_memset(bins, 0, static_cast<size_t>(tokens * kBins) * sizeof(*bins));
  Block blocks[2] = {};
  FindBlock(it, chunk.key_begin, chunk.key_end, &blocks[0]);
  for (int now = 0;; now ^= 1) {
    Block& block = blocks[now];
    Block& ahead = blocks[now ^ 1];
    FindBlock(it, block.end, chunk.key_end, &ahead);
    QuantiseBlock(it, at, scratch, &block);
    for (int64_t t = 0; t < tokens; ++t) {
      const int64_t visible = VisibleTo(it, t);
      if (visible <= block.parts[0].position) continue;
      float* const state = StateOfToken(it, space, t);
      float low[kScanKeys];
      float high[kScanKeys];
      const auto ask = [&](int64_t part, int64_t parts) __attribute__((always_inline)) {
        if (t == 0 && ahead.parts[0].count > 0) PrefetchPart(it, ahead, part, parts);
      };
      ScanBlock(it, block, state, low, high, ask);
      const TokenBound bound = *BoundOf(it, state);
      uint32_t* const count = bins + t * kBins;
      float* const uppers = all + t * it.a.scan.keys_per_chunk - chunk.key_begin;
      for (int64_t p = 0; p < kScanPanels; ++p) {
        const PanelKeys& part = block.parts[p];
        const int64_t end =
            part.position + part.count < visible ? part.position + part.count : visible;
        const int64_t lane = p * kShadowKeys + part.lane - part.position;
        for (int64_t key = part.position; key < end; ++key) {
          uppers[key] = high[lane + key];
          const float lower = low[lane + key];
          if (!(lower >= bound.floor)) continue;
          const float bin = (lower - bound.floor) * bound.bins_per_unit;
          ++count[bin < static_cast<float>(kBins - 1) ? static_cast<int64_t>(bin) : kBins - 1];
        }
      }
    }
    if (block.end >= chunk.key_end) return;
  }
}

// What `keep` lower bounds reach, of the bins that the chunks of a token left; -infinity where the
// sample has misled.
inline float Threshold(const Item& it, const TokenBound& bound, const uint32_t* bins,
                       int64_t chunks, int64_t step) {
  int64_t count = 0;
  for (int64_t bin = kBins - 1; bin >= 0; --bin) {
    for (int64_t c = 0; c < chunks; ++c) count += bins[c * step + bin];
    if (count < it.a.keep) continue;
    if (bin == 0) return bound.floor;
    // A bin's lower bounds are above its beginning but for the rounding of their place.
    const float begin = static_cast<float>(bin) * bound.bin_width;
    const float size = (bound.floor < 0.0f ? -bound.floor : bound.floor) + begin;
    return bound.floor + begin - 0x1p-20f * size;
  }
  return -__builtin_inff();
}

// Scores of the chunk's candidates, into the lists of its tokens. `bins`: of the first chunk of the
// group, `chunks` in all.
inline void RescoreChunk(const Item& it, const ScanSpace& space, const uint32_t* bins,
                         int64_t chunks, float* scratch, void* shared) {
  const Chunk& chunk = it.chunk;
  const float* const all =
      space.uppers + (chunk.list - space.first_list) * it.a.scan.keys_per_chunk;
  for (int64_t t = 0; t < chunk.tokens; ++t) {
    prim::Selector selector = SelectorOf(it.a, t, scratch);
    const float* const uppers = all + t * it.a.scan.keys_per_chunk;
    const int64_t count = VisibleTo(it, t) - chunk.key_begin;
    const float threshold = Threshold(it, *BoundOf(it, StateOfToken(it, space, t)),
                                      bins + t * kBins, chunks, chunk.tokens * kBins);
    // A tile is scored when the next one has been found, and asked for.
    int32_t found[3 * kIndexerKeyTile];
    int64_t many = 0;
    const auto score = [&](int64_t keys) {
      LoadKeysAt(it, found, keys);
      Scores(it, t, chunk.key_end);
      prim::OfferEntries(&selector, it.scores, found, keys);
      for (int64_t i = keys; i < many; ++i) found[i - keys] = found[i];
      many -= keys;
    };
    for (int64_t i = 0; i < count; i += kLanes) {
      const int64_t left = count - i;
      uint32_t hits = left < kLanes
                          ? NotBelow(LoadN(uppers + i, static_cast<int>(left)), Set(threshold)) &
                                ((1u << left) - 1u)
                          : NotBelow(Load(uppers + i), Set(threshold));
      for (; hits != 0; hits &= hits - 1) {
        const int64_t position = chunk.key_begin + i + __builtin_ctz(hits);
        Prefetch(it, position);
        found[many++] = static_cast<int32_t>(position);
      }
      if (many >= 2 * kIndexerKeyTile) score(kIndexerKeyTile);
    }
    while (many > 0) score(many < kIndexerKeyTile ? many : kIndexerKeyTile);
    StoreList(it.a, &selector, chunk.list + t, shared);
  }
}

// The plain way: the scores of all keys.
inline void ScoreChunk(const Item& it, float* scratch, void* shared) {
  const KernelArgs& a = it.a;
  const Chunk& chunk = it.chunk;
  prim::Selector selectors[tamis::lightning_indexer::kMostTokens];
  for (int64_t t = 0; t < chunk.tokens; ++t) selectors[t] = SelectorOf(a, t, scratch);
  for (int64_t first = chunk.key_begin; first < chunk.key_end; first += kIndexerKeyTile) {
    const int64_t count =
        chunk.key_end - first < kIndexerKeyTile ? chunk.key_end - first : kIndexerKeyTile;
    LoadKeys(it, first, count);
    for (int64_t t = 0; t < chunk.tokens; ++t) {
      const int64_t visible = VisibleTo(it, t) - first;
      if (visible <= 0) continue;
      // Two tiles are some 2 us of work: enough for a line, and a page's entry, from memory.
      Scores(it, t, t == 0 ? first + kIndexerKeyTile : chunk.key_end);
      prim::Offer(&selectors[t], it.scores, visible < count ? visible : count, first);
    }
  }
  for (int64_t t = 0; t < chunk.tokens; ++t) StoreList(a, &selectors[t], chunk.list + t, shared);
}

inline ScanSpace SharedSpace(const KernelArgs& a, const Group& group, void* shared) {
  char* const bytes = static_cast<char*>(shared);
  const int64_t first_token = group.token * StateOf(a).total;
  return {.states = reinterpret_cast<float*>(bytes + a.scan.states_at) + first_token,
          .bins = reinterpret_cast<uint32_t*>(bytes + a.scan.bins_at),
          .uppers = reinterpret_cast<float*>(bytes + a.scan.uppers_at),
          .first_list = 0};
}

}  // namespace indexer
}  // namespace
}  // namespace tamis::TAMIS_LEVEL
