// The calls that a run is made of.
#include <algorithm>

#include "base/dtype.h"
#include "ops/sparse_attention_pto/problem.h"
#include "prim/call/scratch.h"

namespace tamis::sparse_attention_pto {
namespace {

constexpr int64_t kAlignment = 64;

// Hands out dense tensors, one after the other; without memory for plans.
class Arena {
 public:
  explicit Arena(char* begin) : begin_(begin) {}

  OutputView Take(DType dtype, std::initializer_list<int64_t> shape) {
    int64_t bytes = base::ItemSize(dtype);
    for (int64_t size : shape) bytes = prim::Times(bytes, size);
    const OutputView view(begin_ == nullptr ? nullptr : begin_ + used_, dtype, shape);
    used_ = prim::Plus(used_, prim::RoundedUp(bytes, kAlignment));
    return view;
  }
  int64_t used() const { return used_; }

 private:
  char* begin_;
  int64_t used_ = 0;
};

// Entries [chunk.first, + batch) of the first dimension, [chunk.token, + tokens) of the second.
template <class View>
View Part(const View& view, const Chunk& chunk) {
  return Slice(Slice(view, 0, chunk.first, chunk.batch), 1, chunk.token, chunk.tokens);
}

mla_prolog::Params MlaCall(const Params& p, const Chunk& chunk) {
  mla_prolog::Params mla;
  mla.x = Part(p.x, chunk);
  mla.w_dq = p.w_dq;
  mla.w_uq_qr = p.w_uq_qr;
  mla.w_uk = p.w_uk;
  mla.w_dkv_kr = p.w_dkv_kr;
  mla.gamma_cq = p.gamma_cq;
  mla.gamma_ckv = p.gamma_ckv;
  mla.sin = Part(p.sin, chunk);
  mla.cos = Part(p.cos, chunk);
  mla.cache_index = Part(p.cache_index, chunk);
  mla.kv_cache = p.kv_cache;
  mla.kr_cache = p.kr_cache;
  mla.epsilon_cq = p.epsilon_cq;
  mla.epsilon_ckv = p.epsilon_ckv;
  mla.weight_format = p.weight_format;
  return mla;
}

indexer_prolog::Params IndexerCall(const Params& p, const Chunk& chunk) {
  indexer_prolog::Params indexer;
  indexer.x = Part(p.x, chunk);
  indexer.w_idx_qb = p.w_idx_qb;
  indexer.w_idx_k = p.w_idx_k;
  indexer.w_idx_proj = p.w_idx_proj;
  indexer.in_gamma_k = p.in_gamma_k;
  indexer.in_beta_k = p.in_beta_k;
  indexer.sin = Part(p.sin, chunk);
  indexer.cos = Part(p.cos, chunk);
  indexer.cache_index = Part(p.cache_index, chunk);
  indexer.index_k_cache = p.index_k_cache;
  indexer.epsilon = p.epsilon_k;
  indexer.rope_interleaved = p.rope_interleaved;
  indexer.weight_format = p.weight_format;
  return indexer;
}

lightning_indexer::Params SelectCall(const Params& p, const Chunk& chunk) {
  lightning_indexer::Params select;
  select.key = p.index_k_cache;
  select.block_table = Slice(p.block_table, 0, chunk.first, chunk.batch);
  select.layout_key = lightning_indexer::KeyLayout::kPaBsnd;
  select.sparse_count = p.sparse_count;
  return select;
}

sparse_flash_attention::Params AttendCall(const Params& p, const Chunk& chunk) {
  sparse_flash_attention::Params attend;
  attend.key = p.kv_cache;
  attend.key_rope = p.kr_cache;
  attend.block_table = Slice(p.block_table, 0, chunk.first, chunk.batch);
  attend.layout_kv = sparse_flash_attention::KvLayout::kPaBsnd;
  attend.scale_value = p.scale_value;
  attend.accuracy = p.accuracy;
  attend.out = Part(p.out, chunk);
  return attend;
}

}  // namespace

// Whole sequences as long as those are short, else parts of one.
std::vector<Chunk> ChunksOf(const Problem& problem) {
  std::vector<Chunk> chunks;
  if (problem.tokens == 0) return chunks;
  const int64_t sequences = std::max<int64_t>(kTokensPerChunk / problem.tokens, 1);
  const int64_t tokens = std::min(kTokensPerChunk, problem.tokens);
  for (int64_t b = 0; b < problem.batch; b += sequences) {
    for (int64_t t = 0; t < problem.tokens; t += tokens) {
      chunks.push_back({.first = b,
                        .batch = std::min(sequences, problem.batch - b),
                        .token = t,
                        .tokens = std::min(tokens, problem.tokens - t)});
    }
  }
  return chunks;
}

CacheCalls CacheCallsOf(const Problem& problem, const Params& in) {
  const Chunk all = {.first = 0, .batch = problem.batch, .token = 0, .tokens = problem.tokens};
  return {MlaCall(in, all), IndexerCall(in, all)};
}

ChunkCalls ChunkCallsOf(const Problem& problem, const Params& in, const Chunk& chunk, bool writes,
                        char* workspace) {
  const int64_t b = chunk.batch;
  const int64_t t = chunk.tokens;
  const DType dtype = in.x.dtype;
  Arena arena(workspace);
  ChunkCalls calls;
  calls.mla = MlaCall(in, chunk);
  calls.mla.query = arena.Take(dtype, {b, t, problem.heads, problem.latent_dim});
  calls.mla.query_rope = arena.Take(dtype, {b, t, problem.heads, problem.rope_dim});
  calls.mla.query_norm = arena.Take(dtype, {b, t, problem.norm_dim});
  calls.indexer = IndexerCall(in, chunk);
  calls.indexer.query_norm = calls.mla.query_norm;
  calls.indexer.query = arena.Take(dtype, {b, t, problem.index_heads, problem.index_dim});
  calls.indexer.weights = arena.Take(dtype, {b, t, problem.index_heads});
  if (!writes) {
    const TensorView none(problem.no_slots.data(), DType::kInt64, {b, t});
    calls.mla.cache_index = calls.indexer.cache_index = none;
  }
  calls.select = SelectCall(in, chunk);
  calls.select.query = calls.indexer.query;
  calls.select.weights = calls.indexer.weights;
  calls.select.sparse_indices =
      in.sparse_indices.absent() ? arena.Take(DType::kInt32, {b, t, 1, problem.params.sparse_count})
                                 : Part(in.sparse_indices, chunk);
  calls.attend = AttendCall(in, chunk);
  calls.attend.query = calls.mla.query;
  calls.attend.query_rope = calls.mla.query_rope;
  calls.attend.sparse_indices = calls.select.sparse_indices;
  calls.workspace_bytes = arena.used();
  return calls;
}

void SetLengths(const Problem& problem, const Chunk& chunk, std::vector<int64_t>* lengths,
                ChunkCalls* calls) {
  lengths->clear();
  for (int64_t i = chunk.first; i < chunk.first + chunk.batch; ++i)
    lengths->push_back(problem.Visible(i, chunk.token + chunk.tokens - 1));
  const TensorView view(lengths->data(), DType::kInt64, {chunk.batch});
  calls->select.actual_seq_lengths_key = calls->attend.actual_seq_lengths_kv = view;
}

}  // namespace tamis::sparse_attention_pto
