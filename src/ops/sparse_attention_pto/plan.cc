#include <algorithm>
#include <limits>
#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "base/checked.h"
#include "base/cpu_features.h"
#include "base/dtype.h"
#include "base/errors.h"
#include "base/plan_body.h"
#include "ops/sparse_attention_pto/problem.h"
#include "prim/call/cache_slots.h"
#include "prim/call/prologs.h"
#include "prim/call/room.h"

namespace tamis::sparse_attention_pto {
namespace {

Status CheckLengths(const Params& params, Problem* problem) {
  const TensorView& lengths = params.act_seqs;
  const int64_t page_size = params.kv_cache.shape[1];
  if (page_size < 1) return base::Invalid("kv_cache", "pages of at least 1 row", page_size);
  problem->lengths.clear();
  problem->page_table.Begin(problem->batch);
  for (int64_t b = 0; b < problem->batch; ++b) {
    const int64_t at = b * lengths.strides[0];
    const int64_t length = lengths.dtype == DType::kInt32
                               ? static_cast<const int32_t*>(lengths.data)[at]
                               : static_cast<const int64_t*>(lengths.data)[at];
    if (length < 0 || length > std::numeric_limits<int32_t>::max())
      return base::Invalid(base::Indexed("act_seqs", b), "a length in [0, 2^31)", length);
    problem->lengths.push_back(length);
    if (problem->tokens > 0) {
      TAMIS_RETURN_IF_ERROR(problem->page_table.Read(params.block_table, b, length, page_size,
                                                     params.kv_cache.shape[0]));
    }
  }
  return Status::Ok();
}

// The plans of the calls of a chunk.
struct ChunkPlans {
  Chunk chunk;
  std::optional<Plan> mla;
  std::optional<Plan> indexer;
  std::optional<Plan> select;
  std::optional<Plan> attend;
};

class Body final : public prim::BoundPlan<Room> {
 public:
  Cost CountCost() const override;
  std::string Explain() const override {
    return "four calls for " + std::to_string(kTokensPerChunk) +
           " tokens at a time; the first: " + cache_mla_->explanation();
  }

 private:
  // Then the prologs write the caches as they make the queries.
  bool OneChunk() const { return chunks_.size() == 1; }

  // Makes every plan that a run will use, so that what can be refused is refused now.
  Status Start() override {
    Room::contract().CopyTensors(&params_, &problem_.params);  // outputs are inferred by now
    const CacheCalls cache = CacheCallsOf(problem_, problem_.params);
    TAMIS_RETURN_IF_ERROR(Make(mla_prolog::plan(cache.mla, context_), &cache_mla_));
    TAMIS_RETURN_IF_ERROR(Make(indexer_prolog::plan(cache.indexer, context_), &cache_indexer_));
    const std::vector<Chunk> chunks = ChunksOf(problem_);
    for (const Chunk& chunk : chunks) TAMIS_RETURN_IF_ERROR(PlanChunk(chunk, chunks.size() == 1));
    implementation = cache_mla_->implementation();
    level = cache_mla_->level();
    return FindWorkspace();
  }

  Status Rework() override {
    const CacheCalls cache = CacheCallsOf(problem_, problem_.params);
    TAMIS_RETURN_IF_ERROR(cache_mla_->renew(cache.mla));
    TAMIS_RETURN_IF_ERROR(cache_indexer_->renew(cache.indexer));
    for (ChunkPlans& plans : chunks_) {
      ChunkCalls calls = ChunkCallsOf(problem_, problem_.params, plans.chunk, OneChunk(), nullptr);
      SetLengths(problem_, plans.chunk, &problem_.chunk_lengths, &calls);
      TAMIS_RETURN_IF_ERROR(plans.mla->renew(calls.mla));
      TAMIS_RETURN_IF_ERROR(plans.indexer->renew(calls.indexer));
      TAMIS_RETURN_IF_ERROR(plans.select->renew(calls.select));
      TAMIS_RETURN_IF_ERROR(plans.attend->renew(calls.attend));
    }
    return FindWorkspace();
  }

  Status RunOn(const Params& in, void* workspace) const override {
    char* const between = static_cast<char*>(workspace);
    char* const scratch = between + between_bytes_;
    if (!OneChunk()) {
      const CacheCalls calls = CacheCallsOf(problem_, in);
      TAMIS_RETURN_IF_ERROR(cache_mla_->run(calls.mla, scratch, scratch_bytes_));
      TAMIS_RETURN_IF_ERROR(cache_indexer_->run(calls.indexer, scratch, scratch_bytes_));
    }
    for (const ChunkPlans& plans : chunks_) {
      const ChunkCalls calls = ChunkCallsOf(problem_, in, plans.chunk, OneChunk(), between);
      TAMIS_RETURN_IF_ERROR(plans.mla->run(calls.mla, scratch, scratch_bytes_));
      TAMIS_RETURN_IF_ERROR(plans.indexer->run(calls.indexer, scratch, scratch_bytes_));
      TAMIS_RETURN_IF_ERROR(plans.select->run(calls.select, scratch, scratch_bytes_));
      TAMIS_RETURN_IF_ERROR(plans.attend->run(calls.attend, scratch, scratch_bytes_));
    }
    return Status::Ok();
  }

  static Status Make(const Result<Plan>& made, std::optional<Plan>* plan) {
    if (!made.ok()) return made.status();
    *plan = *made;
    return Status::Ok();
  }

  Status PlanChunk(const Chunk& chunk, bool writes) {
    ChunkCalls calls = ChunkCallsOf(problem_, problem_.params, chunk, writes, nullptr);
    SetLengths(problem_, chunk, &problem_.chunk_lengths, &calls);
    between_bytes_ = std::max(between_bytes_, calls.workspace_bytes);
    TAMIS_RETURN_IF_ERROR(
        prim::CheckWorkspace(between_bytes_));  // else a call would name an argument of its own
    ChunkPlans& plans = chunks_.emplace_back();
    plans.chunk = chunk;
    TAMIS_RETURN_IF_ERROR(Make(mla_prolog::plan(calls.mla, context_), &plans.mla));
    TAMIS_RETURN_IF_ERROR(Make(indexer_prolog::plan(calls.indexer, context_), &plans.indexer));
    TAMIS_RETURN_IF_ERROR(Make(lightning_indexer::plan(calls.select, context_), &plans.select));
    return Make(sparse_flash_attention::plan(calls.attend, context_), &plans.attend);
  }

  Status FindWorkspace() {
    scratch_bytes_ = std::max(cache_mla_->workspace_bytes(), cache_indexer_->workspace_bytes());
    for (const ChunkPlans& plans : chunks_) {
      for (const auto* plan : {&plans.mla, &plans.indexer, &plans.select, &plans.attend})
        scratch_bytes_ = std::max(scratch_bytes_, (*plan)->workspace_bytes());
    }
    workspace_bytes = prim::Plus(between_bytes_, scratch_bytes_);
    return prim::CheckWorkspace(workspace_bytes);
  }

  std::optional<Plan> cache_mla_;  // of rows of the caches alone
  std::optional<Plan> cache_indexer_;
  std::vector<ChunkPlans> chunks_;
  int64_t between_bytes_ = 0;  // what passes between the calls of a chunk
  int64_t scratch_bytes_ = 0;  // the largest workspace of a call
};

Cost Body::CountCost() const {
  const Params& p = problem_.params;
  Cost cost;
  double weights = 0;
  for (const TensorView* w :
       {&p.w_dq, &p.w_uq_qr, &p.w_uk, &p.w_dkv_kr, &p.w_idx_qb, &p.w_idx_k, &p.w_idx_proj}) {
    double elems = 1;
    for (int i = 0; i < w->rank; ++i) elems *= static_cast<double>(w->shape[i]);
    weights += elems;
  }
  const auto heads = static_cast<double>(problem_.heads);
  const auto latent = static_cast<double>(problem_.latent_dim);
  const auto rope = static_cast<double>(problem_.rope_dim);
  const auto index_dim = static_cast<double>(problem_.index_dim);
  const auto index_heads = static_cast<double>(problem_.index_heads);
  const auto tokens = static_cast<double>(problem_.batch * problem_.tokens);
  cost.flops = 2 * tokens * weights;
  cost.read_bytes = 2 * (weights + tokens * (static_cast<double>(p.x.shape[2]) + 2 * rope));
  cost.write_bytes = 2 * tokens * (heads * latent + latent + rope + index_dim);
  for (int64_t b = 0; b < problem_.batch && problem_.tokens > 0; ++b) {
    for (int64_t t = 0; t < problem_.tokens; ++t) {
      const auto visible = static_cast<double>(problem_.Visible(b, t));
      const double selected = std::min(visible, static_cast<double>(p.sparse_count));
      cost.flops += 2 * visible * index_heads * index_dim;
      cost.flops += 2 * selected * heads * (2 * latent + rope);
      cost.read_bytes += 2 * selected * (latent + rope);
    }
    cost.read_bytes +=
        2 * index_dim * static_cast<double>(problem_.lengths[static_cast<size_t>(b)]);
  }
  return cost;
}

}  // namespace

Status Room::Normalise(const Params& params, base::Dims* dims, Problem* problem) {
  const base::Dims& d = *dims;
  const std::pair<const char*, double> epsilons[] = {{"epsilon_cq", params.epsilon_cq},
                                                     {"epsilon_ckv", params.epsilon_ckv},
                                                     {"epsilon_k", params.epsilon_k}};
  for (const auto& [name, epsilon] : epsilons) {
    if (!(epsilon >= 0)) return base::Invalid(name, "at least 0", std::to_string(epsilon));
  }
  if (params.sparse_count < 0 || params.sparse_count > std::numeric_limits<int32_t>::max())
    return base::Invalid("sparse_count", "0 to 2^31 - 1", params.sparse_count);
  problem->params = params;
  problem->params.strict = false;
  problem->batch = d["B"];
  problem->tokens = d["S1"];
  problem->heads = d["N"];
  problem->latent_dim = d["D"];
  problem->rope_dim = d["Dr"];
  problem->norm_dim = d["Lq"];
  problem->index_heads = d["Ni"];
  problem->index_dim = d["Di"];
  TAMIS_RETURN_IF_ERROR(CheckLengths(params, problem));
  problem->no_slots.assign(static_cast<size_t>(kTokensPerChunk), -1);
  return prim::CacheSlots(params.cache_index, prim::CacheRows(params.kv_cache), &problem->slots,
                          &problem->order);
}

Result<Plan> plan(const Params& params, const Context& context) {
  return prim::MakePlanOf<Body>(params, context);
}

base::Operator MakeOperator() {
  base::Operator op = prim::OperatorOf<Room, plan, ReferenceRows>();
  op.implementations = {Implementation::kCpu, Implementation::kReference};  // of its four calls
  return op;
}

Status run(const Params& params, const Context& context) {
  const Result<Plan> made = plan(params, context);
  return made.ok() ? made->run() : made.status();
}

}  // namespace tamis::sparse_attention_pto
