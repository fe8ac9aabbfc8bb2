#include "tools/tamis/demo/dsa/cache.h"

#include <algorithm>

#include "base/errors.h"
#include "registry/compare.h"
#include "tools/tamis/demo/dsa/prologs.h"
#include "tools/tamis/demo/random.h"

namespace tamis::tools::demo::dsa {
namespace {

constexpr uint16_t kNan = 0x7fc0;
constexpr int64_t kSparePages = 3;
constexpr int64_t kChunkTokens = 2048;
constexpr int64_t kCheckedRowsPerChunk = 2;

}  // namespace

Caches::Caches(int64_t positions) {
  const int64_t logical = (positions + kPage - 1) / kPage;
  pages = logical + kSparePages;
  page_of = DealPages(logical, kSparePages);
  kv.assign(static_cast<size_t>(pages * kPage * kLatent), kNan);
  kr.assign(static_cast<size_t>(pages * kPage * kRope), kNan);
  index.assign(static_cast<size_t>(pages * kPage * kIndexDim), kNan);
}

std::vector<int32_t> Caches::Slots(int64_t first, int64_t count) const {
  std::vector<int32_t> slots;
  for (int64_t p = first; p < first + count; ++p) slots.push_back(static_cast<int32_t>(Slot(p)));
  return slots;
}

OutputView Caches::kv_view() { return {kv.data(), DType::kBFloat16, {pages, kPage, 1, kLatent}}; }
OutputView Caches::kr_view() { return {kr.data(), DType::kBFloat16, {pages, kPage, 1, kRope}}; }
OutputView Caches::index_view() {
  return {index.data(), DType::kBFloat16, {pages, kPage, 1, kIndexDim}};
}

int64_t Caches::bytes() const {
  return static_cast<int64_t>((kv.size() + kr.size() + index.size()) * sizeof(uint16_t));
}

Status FillCaches(const Context& context, const Weights& weights, const HiddenStates& hidden,
                  int64_t tokens, const std::function<void(int64_t done, int64_t total)>& progress,
                  Caches* caches, Fill* fill, Agreement* agreement) {
  Tokens chunk;
  Workspace workspace;
  for (int64_t first = 0; first < tokens; first += kChunkTokens) {
    progress(first, tokens);
    Stopwatch hashing;
    chunk.count = std::min(kChunkTokens, tokens - first);
    chunk.x.resize(static_cast<size_t>(chunk.count * kHidden));
    hidden.OfText(first, chunk.count, chunk.x.data());
    FillRope(first, chunk.count, &chunk.cos, &chunk.sin);
    chunk.slots = caches->Slots(first, chunk.count);
    fill->hidden_seconds += hashing.Seconds();

    const mla_prolog::Params mla = MlaParams(weights, chunk, caches);
    const indexer_prolog::Params index = IndexParams(weights, chunk, caches);
    TAMIS_RETURN_IF_ERROR(RunTimed(mla_prolog::plan, mla, context, &workspace, &fill->mla));
    TAMIS_RETURN_IF_ERROR(RunTimed(indexer_prolog::plan, index, context, &workspace, &fill->index));
    const std::vector<int64_t> rows = registry::SpreadRows(chunk.count, kCheckedRowsPerChunk);
    TAMIS_RETURN_IF_ERROR(CompareRows("mla_prolog", &mla, rows, context.threads, agreement));
    TAMIS_RETURN_IF_ERROR(CompareRows("indexer_prolog", &index, rows, context.threads, agreement));
    ++fill->chunks;
  }
  return Status::Ok();
}

}  // namespace tamis::tools::demo::dsa
