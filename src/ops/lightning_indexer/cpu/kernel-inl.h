// lightning_indexer, one level: an item is a few query tokens over a run of keys.
//
// Without a scan, or where chunks hold all keys, an item is all there is to do but for merging
// lists. Few tokens, whose keys are in many chunks, are scanned in phases: prepare the tokens, scan
// the chunks, score what is left of them.
#include "ops/lightning_indexer/cpu/pruned-inl.h"

namespace tamis::TAMIS_LEVEL {

void LightningIndexer(const void* args, int64_t item, void* scratch, void* shared) {
  using namespace indexer;
  const auto& a = *static_cast<const KernelArgs*>(args);
  auto* const floats = static_cast<float*>(scratch);
  const Item it = MakeItem(a, a.chunks[item], floats);
  PackQueries(it);
  ScoreChunk(it, floats, shared);
}

void LightningIndexerPrepare(const void* args, int64_t item, void* scratch, void* shared) {
  using namespace indexer;
  const auto& a = *static_cast<const KernelArgs*>(args);
  const Group& group = a.scan.groups[item];
  Chunk all = a.chunks[group.chunk];
  all.key_end = group.key_end;
  auto* const floats = static_cast<float*>(scratch);
  const Item it = MakeItem(a, all, floats);
  PackQueries(it);
  PrepareTokens(it, SharedSpace(a, group, shared), floats);
}

void LightningIndexerScan(const void* args, int64_t item, void* scratch, void* shared) {
  using namespace indexer;
  const auto& a = *static_cast<const KernelArgs*>(args);
  const Chunk& chunk = a.chunks[item];
  auto* const floats = static_cast<float*>(scratch);
  const Item it = MakeItem(a, chunk, floats);
  const ScanSpace space = SharedSpace(a, a.scan.groups[chunk.group], shared);
  if (Scanned(it, space)) return ScanChunk(it, space, floats);
  PackQueries(it);
  ScoreChunk(it, floats, shared);
}

void LightningIndexerRescore(const void* args, int64_t item, void* scratch, void* shared) {
  using namespace indexer;
  const auto& a = *static_cast<const KernelArgs*>(args);
  const Chunk& chunk = a.chunks[item];
  const Group& group = a.scan.groups[chunk.group];
  auto* const floats = static_cast<float*>(scratch);
  const Item it = MakeItem(a, chunk, floats);
  const ScanSpace space = SharedSpace(a, group, shared);
  if (!Scanned(it, space)) return;
  PackQueries(it);
  RescoreChunk(it, space, space.bins + a.chunks[group.chunk].list * kBins, group.chunks, floats,
               shared);
}

void LightningIndexerPruned(const void* args, int64_t item, void* scratch, void* shared) {
  using namespace indexer;
  const auto& a = *static_cast<const KernelArgs*>(args);
  const Chunk& chunk = a.chunks[item];
  auto* const floats = static_cast<float*>(scratch);
  const Item it = MakeItem(a, chunk, floats);
  PackQueries(it);
  const ScanScratch at = LayOutScan(a, true);
  const ScanSpace space = {.states = floats + at.states,
                           .bins = reinterpret_cast<uint32_t*>(floats + at.bins),
                           .uppers = floats + at.scanned,
                           .first_list = chunk.list};
  if (!PrepareTokens(it, space, floats)) return ScoreChunk(it, floats, shared);
  ScanChunk(it, space, floats);
  RescoreChunk(it, space, space.bins, 1, floats, shared);
}

}  // namespace tamis::TAMIS_LEVEL
