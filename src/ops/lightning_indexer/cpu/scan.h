// The scan in 8-bit integers: how a token's queries, its thresholds and its bounds lie in memory.
#pragma once

#include <stdint.h>

#include "ops/lightning_indexer/cpu/kernel.h"
#include "prim/formats/key_shadow.h"

namespace tamis::lightning_indexer {

/// Heads of a register tile of the scan, and panels of keys.
inline constexpr int64_t kScanHeads = 4;
/// A token's bound takes products of heads x heads.
inline constexpr int64_t kMostScanHeads = 256;
inline constexpr int64_t kScanPanels = 4;
inline constexpr int64_t kScanKeys = kScanPanels * prim::kShadowKeys;

/// Lower bounds of scores are counted in bins between what a sample says of the threshold.
inline constexpr int64_t kBins = 256;

/// Keys of the sample: a 32nd of the keys within these.
inline constexpr int64_t kLeastSample = 256;
inline constexpr int64_t kMostSample = 1024;

/// Fewer keys, or fewer for each that is selected, are scored without a scan.
inline constexpr int64_t kLeastScanned = 4096;
inline constexpr int64_t kLeastPerSelected = 8;

/// |score - scanned score| <= per_error e + per_norm n + constant, with e and n of the key's
/// shadow. Lower bounds from `floor` on are counted, `bins_per_unit` bins in a unit.
struct TokenBound {
  float per_error;
  float per_norm;
  float constant;
  float floor;
  float bin_width;
  float bins_per_unit;
  int32_t scanned;  // 0: the plain way
};

/// A token's state, in 4-byte elements.
struct StateLayout {
  int64_t queries;  // int32 [quads][groups of 4 dims][4 heads], four 8-bit integers each
  int64_t starts;   // int32 [quads][4 heads]: takes back the 128 that a shadow adds
  int64_t factors;  // float [quads][4 heads]: weight * scale
  int64_t bound;    // TokenBound
  int64_t total;
};

/// What a worker's scratch holds beyond IndexerScratch, in floats.
struct ScanScratch {
  int64_t step;     // from one row of weighted queries to the next
  int64_t queries;  // [heads][step], weighted
  int64_t errors;   // [heads][step]: what quantising leaves of them
  int64_t columns;  // [dim][rows]: the transpose of either
  int64_t gram;     // [rows][rows]
  int64_t power;    // [rows][rows]
  int64_t bytes;    // rows of 8-bit integers, for one panel
  int64_t panels;   // [kScanPanels][panel]
  int64_t panel;    // of those, in floats
  int64_t lowers;   // [kMostSample]
  int64_t uppers;   // [kMostSample]
  int64_t states;   // where chunks hold all keys: [token][state],
  int64_t bins;     // [token][kBins],
  int64_t scanned;  // [token][keys_per_chunk]
  int64_t total;
};

namespace {  // inline functions: no level's copy may be merged with another's

inline int64_t QuadsOf(int64_t heads) { return (heads + kScanHeads - 1) / kScanHeads; }

inline StateLayout StateOf(const KernelArgs& a) {
  // kMostScanHeads heads of kShadowMostDims dims at most: a scan is for no others.
  const int64_t heads = QuadsOf(a.heads) * kScanHeads;
  StateLayout at = {};
  at.starts = heads * prim::ShadowGroups(a.dim);
  at.factors = at.starts + heads;
  at.bound = at.factors + heads;
  at.total = prim::RoundedUp(at.bound + static_cast<int64_t>(sizeof(TokenBound)) / 4, 16);
  return at;
}

inline ScanScratch LayOutScan(const KernelArgs& a, bool whole_chunks) {
  const IndexerScratch plain = LayOut(a);
  const int64_t tokens = whole_chunks ? a.tokens_per_chunk : 0;
  prim::ScratchLayout parts;
  (void)parts.Take(plain.total);
  ScanScratch at = {};
  at.step = prim::RoundedUp(a.dim, 16);
  at.panel = prim::RoundedUp(prim::ShadowPanelBytes(a.dim) / 4, 16);
  at.queries = parts.Take(prim::Times(plain.rows, at.step));
  at.errors = parts.Take(prim::Times(plain.rows, at.step));
  at.columns = parts.Take(prim::Times(plain.rows, a.dim));
  at.gram = parts.Take(prim::Times(plain.rows, plain.rows));
  at.power = parts.Take(prim::Times(plain.rows, plain.rows));
  at.bytes = parts.Take(prim::Times(prim::kShadowKeys, prim::RoundedUp(a.dim, 64) / 4));
  at.panels = parts.Take(prim::Times(kScanPanels, at.panel));
  at.lowers = parts.Take(kMostSample);
  at.uppers = parts.Take(kMostSample);
  at.states = parts.Take(prim::Times(tokens, StateOf(a).total));
  at.bins = parts.Take(prim::Times(tokens, kBins));
  at.scanned = parts.Take(prim::Times(tokens, a.scan.keys_per_chunk));
  at.total = parts.Total();
  return at;
}

}  // namespace

/// Sets floor and bins from a sample of `count` bounds out of `keys`, of which `keep` are wanted;
/// reorders `lowers`. Returns the share of the sample that would need a score. In decide.cc.
float Decide(float* lowers, const float* uppers, int64_t count, int64_t keys, int64_t keep,
             TokenBound* bound);

/// The share of `count` scores, spread over `keys`, that are no lower than that of the last of the
/// `keep` best among them. Reorders them; none may be NaN. In decide.cc.
float ShareAlike(float* scores, int64_t count, int64_t keys, int64_t keep);

}  // namespace tamis::lightning_indexer
