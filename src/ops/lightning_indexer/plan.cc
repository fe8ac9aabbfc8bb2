#include <algorithm>
#include <string>

#include "base/checked.h"
#include "base/dtype.h"
#include "base/errors.h"
#include "ops/lightning_indexer/cpu/kernel_units.h"
#include "ops/lightning_indexer/cpu/scan.h"
#include "ops/lightning_indexer/problem.h"
#include "prim/call/room.h"
#include "prim/formats/key_shadow_contract.h"

namespace tamis::lightning_indexer {
namespace {

// Heads x tokens per item: a tile of widened keys serves all of them. 256 rows of 128 dims are 128
// KiB of queries.
constexpr int64_t kRowsPerItem = 256;

// Few tokens are cut along the keys too, so that one token keeps every thread busy: chunks of 8192
// keys take about a millisecond at the documents' sizes. Many tokens are items enough.
constexpr int64_t kKeysPerChunk = 8192;
constexpr int64_t kTokensWithoutChunks = 64;

// Fewer heads are scored as fast as their keys are read.
constexpr int64_t kLeastScanHeads = 16;

}  // namespace

Status Room::Normalise(const Params& params, base::Dims* dims, Problem* problem) {
  const base::Dims& d = *dims;
  if (params.sparse_count < 0)
    return base::Invalid("sparse_count", "at least 0", params.sparse_count);
  if (params.sparse_mode != 0 && params.sparse_mode != 3) {
    return base::Invalid("sparse_mode", "0 or 3", params.sparse_mode);
  }
  if (params.weights.dtype != params.query.dtype && params.weights.dtype != DType::kFloat32) {
    return base::Invalid("weights", "the dtype of query, or float32", "another");
  }
  prim::TokenLengths lengths;
  lengths.query_layout = prim::LayoutOf(params.layout_query);
  lengths.key_layout = prim::LayoutOf(params.layout_key);
  lengths.names.lengths = "actual_seq_lengths_key";
  lengths.names.layout = "layout_key";
  lengths.query_lengths = params.actual_seq_lengths_query;
  lengths.key_lengths = params.actual_seq_lengths_key;
  lengths.block_table = params.block_table;
  lengths.key_starts = params.key_starts;
  lengths.limited = !params.key_limits.absent();
  lengths.key_tokens = params.compress_ratio;
  lengths.token_lengths = params.actual_seq_lengths_tokens;
  TAMIS_RETURN_IF_ERROR(prim::FindSequences(lengths, dims, problem));

  problem->pruning = params.pruning;
  problem->heads = d["N"];
  problem->dim = d["D"];
  problem->sparse_count = params.sparse_count;
  problem->causal = params.sparse_mode == 3;
  if (params.key_shadow.absent()) return Status::Ok();
  return prim::CheckShadowDims("key_shadow", problem->key_layout, d["D"], d);
}

void Room::Bind(const Problem& p, const Params& in, KernelArgs* args) {
  const bool tnd = p.key_layout == prim::TokenLayout::kTnd;
  KernelArgs& a = *args;
  const int64_t bytes = base::ItemSize(in.query.dtype);
  const prim::Tokens query_at = p.TokensOf(in.query);
  a.query = prim::Data<const uint8_t>(in.query);
  a.query_at = {query_at.batch * bytes, query_at.token * bytes};
  a.query_head_stride = p.HeadStride(in.query) * bytes;
  a.weights = in.weights.data;
  a.weights_at = p.TokensOf(in.weights);
  a.key = prim::Data<const uint8_t>(in.key);
  a.page_stride = tnd ? 0 : in.key.strides[0] * bytes;
  a.key_stride = in.key.strides[tnd ? 0 : 1] * bytes;
  a.limits = prim::Data<const int32_t>(in.key_limits);
  a.limits_at = p.TokensOf(in.key_limits);
  a.scan.shadow = prim::Data<const uint8_t>(in.key_shadow);
  a.scan.shadow_page_stride = tnd ? 0 : in.key_shadow.strides[0];
  a.scan.shadow_panel_stride = in.key_shadow.strides[tnd ? 0 : 1];
  a.indices = prim::Data<int32_t>(in.sparse_indices);
  a.indices_at = p.TokensOf(in.sparse_indices);
  a.values = in.sparse_values.data;
  a.values_at = p.TokensOf(in.sparse_values);
}

namespace {

void FillArgs(Problem& p, const Params& in, int64_t most_keys) {
  KernelArgs& a = p.args;
  a = {};
  Room::Bind(p, in, &a);
  a.page_table = p.page_table.data();
  a.page_size = p.page_size;
  a.heads = p.heads;
  a.dim = p.dim;
  a.sparse_count = p.sparse_count;
  a.key_tokens = p.causal ? p.key_tokens : 1;
  a.element = prim::ElementOf(in.query.dtype);
  a.weights_float32 = in.weights.dtype == DType::kFloat32;
  a.values_float32 = in.sparse_values.dtype == DType::kFloat32;
  a.keep = std::min(p.sparse_count, most_keys);
  a.tokens_per_chunk =
      std::clamp<int64_t>(kRowsPerItem / std::max<int64_t>(p.heads, 1), 1, kMostTokens);
}

// One chunk of query tokens over one run of keys, whose lists begin at `list`.
Chunk ChunkOf(const Problem& p, const prim::TokenSequence& s, int64_t token, int64_t tokens,
              int64_t key_begin, int64_t key_end, int64_t list) {
  Chunk chunk = {};
  chunk.batch = s.batch;
  chunk.token = s.token + token;
  chunk.tokens = tokens;
  if (p.key_layout == prim::TokenLayout::kPaged) chunk.table_offset = p.page_table.offset(s.batch);
  chunk.first_key = s.key_begin;
  chunk.key_begin = key_begin;
  chunk.key_end = key_end;
  chunk.first = s.first;
  chunk.visible = p.causal ? s.tokens - s.rows + token + 1 : s.keys;
  chunk.visible_step = p.causal ? 1 : 0;
  chunk.list = list;
  return chunk;
}

// Fills the chunks of the first phase and the rows of the second; returns how many lists lie
// between them.
int64_t CutTokens(Problem& p, int64_t keys_per_chunk) {
  p.chunks.clear();
  p.rows.clear();
  p.groups.clear();
  int64_t lists = 0;
  int64_t tokens = 0;  // that see a key
  for (const prim::TokenSequence& s : p.sequences) {
    for (int64_t token = 0; token < s.rows; token += p.args.tokens_per_chunk) {
      const int64_t count = std::min(p.args.tokens_per_chunk, s.rows - token);
      // Of the last token: the farthest, but for limits.
      const int64_t reach = p.End(s, token + count - 1, p.causal, TensorView());
      const int64_t cuts = base::CeilDiv(reach - s.first, keys_per_chunk);
      for (int64_t t = 0; t < count; ++t) {
        p.rows.push_back({.list = lists + t,
                          .list_stride = count,
                          .lists = cuts,
                          .batch = s.batch,
                          .token = s.token + token + t});
      }
      if (reach > s.first) {
        p.groups.push_back({.chunk = static_cast<int64_t>(p.chunks.size()),
                            .chunks = cuts,
                            .key_end = reach,
                            .token = tokens});
        tokens += count;
      }
      for (int64_t begin = s.first; begin < reach; begin += keys_per_chunk) {
        const int64_t end = std::min(begin + keys_per_chunk, reach);
        p.chunks.push_back(ChunkOf(p, s, token, count, begin, end, lists));
        p.chunks.back().group = static_cast<int64_t>(p.groups.size()) - 1;
        lists += count;
      }
    }
  }
  return lists;
}

}  // namespace

namespace {

// Whether to scan, in case that pays for a token: the kernels look at a sample of its keys.
bool WantsScan(const Problem& p, Level level, int64_t most_keys) {
  if (p.pruning == Pruning::kOff || p.heads == 0 || p.dim == 0) return false;
  if (p.dim > prim::kShadowMostDims || p.heads > kMostScanHeads) return false;
  if (p.pruning == Pruning::kOn) return true;
  return base::Has(level, base::Feature::kFastIntegers) && p.heads >= kLeastScanHeads &&
         most_keys >= kLeastScanned && most_keys / kLeastPerSelected >= p.sparse_count;
}

// Lists of ranks, then what a scan leaves for later phases.
int64_t SharedBytes(KernelArgs& a, int64_t lists, int64_t groups, bool whole) {
  prim::ScratchLayout parts;  // of floats
  const auto take = [&](int64_t count, int64_t floats) {
    return prim::Times(parts.Take(prim::Times(count, floats)), sizeof(float));
  };
  take(lists, prim::Times(prim::Plus(a.keep, 1), 2));
  if (a.scan.wanted && !whole) {
    a.scan.states_at = take(prim::Times(groups, a.tokens_per_chunk), StateOf(a).total);
    a.scan.bins_at = take(lists, kBins);
    a.scan.uppers_at = take(lists, a.scan.keys_per_chunk);
  }
  return prim::Times(parts.Total(), sizeof(float));
}

}  // namespace

void Room::OnCpu(Problem& p, const Params& in, const prim::CpuTarget& target, prim::CpuWork* work) {
  static constexpr prim::KernelTable kScore = {prim::kLightningIndexerUnits};
  static constexpr prim::KernelTable kPrepare = {prim::kLightningIndexerPrepareUnits};
  static constexpr prim::KernelTable kScan = {prim::kLightningIndexerScanUnits};
  static constexpr prim::KernelTable kRescore = {prim::kLightningIndexerRescoreUnits};
  static constexpr prim::KernelTable kPruned = {prim::kLightningIndexerPrunedUnits};
  int64_t tokens = 0;
  int64_t most_keys = 0;
  for (const prim::TokenSequence& s : p.sequences) {
    tokens += s.rows;
    most_keys = std::max(most_keys, s.keys);
  }
  const bool whole = tokens >= kTokensWithoutChunks;
  const int64_t keys_per_chunk = whole ? std::max<int64_t>(most_keys, 1) : kKeysPerChunk;
  FillArgs(p, in, most_keys);
  KernelArgs& a = p.args;
  a.scan.wanted = WantsScan(p, target.level, most_keys);
  a.scan.always = p.pruning == Pruning::kOn;
  a.scan.keys_per_chunk = keys_per_chunk;
  const int64_t lists = CutTokens(p, keys_per_chunk);
  a.chunks = p.chunks.data();
  a.rows = p.rows.data();
  a.scan.groups = p.groups.data();

  const auto chunks = static_cast<int64_t>(p.chunks.size());
  const auto groups = static_cast<int64_t>(p.groups.size());
  if (!a.scan.wanted) {
    work->phases = {{chunks, kScore.at(target.level, a.element)}};
  } else if (whole) {
    work->phases = {{chunks, kPruned.at(target.level, a.element)}};
  } else {
    work->phases = {{groups, kPrepare.at(target.level, a.element)},
                    {chunks, kScan.at(target.level, a.element)},
                    {chunks, kRescore.at(target.level, a.element)}};
  }
  work->phases.push_back({static_cast<int64_t>(p.rows.size()), &FinishRow});
  work->scratch_bytes =
      prim::Times(a.scan.wanted ? LayOutScan(a, whole).total : LayOut(a).total, sizeof(float));
  work->shared_bytes = SharedBytes(a, lists, groups, whole);
}

std::string Room::Blocking(const Problem& p) {
  return std::to_string(p.args.tokens_per_chunk) + " tokens x " + std::to_string(p.heads) +
         " heads per item, " + std::to_string(p.args.scan.keys_per_chunk) + " keys at a time" +
         (p.args.scan.wanted ? ", after a scan in 8-bit integers" : "");
}

Cost Room::CountCost(const Problem& p, const Params& in) {
  Cost cost;
  double query_key_pairs = 0;
  double rows = 0;
  double keys = 0;
  for (const prim::TokenSequence& s : p.sequences) {
    for (int64_t i = 0; i < s.rows; ++i)
      query_key_pairs += static_cast<double>(p.End(s, i, p.causal, TensorView()) - s.first);
    rows += static_cast<double>(s.rows);
    keys += static_cast<double>(s.keys);
  }
  const auto heads = static_cast<double>(p.heads);
  const auto dim = static_cast<double>(p.dim);
  cost.flops = 2.0 * query_key_pairs * heads * dim;
  const auto bytes = static_cast<double>(base::ItemSize(in.query.dtype));
  cost.read_bytes = bytes * (keys * dim + rows * heads * dim) +
                    rows * heads * (in.weights.dtype == DType::kFloat32 ? 4 : 2);
  cost.write_bytes = rows * static_cast<double>(p.sparse_count) *
                     (4.0 + (in.sparse_values.absent()
                                 ? 0.0
                                 : static_cast<double>(base::ItemSize(in.sparse_values.dtype))));
  return cost;
}

Result<Plan> plan(const Params& params, const Context& context) {
  return prim::MakePlan<Room>(params, context);
}

Status run(const Params& params, const Context& context) {
  return prim::RunOnce<Room>(params, context);
}

}  // namespace tamis::lightning_indexer
