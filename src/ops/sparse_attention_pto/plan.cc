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
#include "prim/cache_slots.h"
#include "prim/paging.h"
#include "prim/prologs.h"
#include "prim/room.h"

namespace tamis::sparse_attention_pto {
namespace {

Status CheckLengths(const Params& params, Problem* problem) {
  const TensorView& lengths = params.act_seqs;
  const int64_t page_size = params.kv_cache.shape[1];
  if (page_size < 1) return base::Invalid("kv_cache", "pages of at least 1 row", page_size);
  for (int64_t b = 0; b < problem->batch; ++b) {
    const int64_t at = b * lengths.strides[0];
    const int64_t length = lengths.dtype == DType::kInt32
                               ? static_cast<const int32_t*>(lengths.data)[at]
                               : static_cast<const int64_t*>(lengths.data)[at];
    if (length < 0 || length > std::numeric_limits<int32_t>::max())
      return base::Invalid(base::Indexed("act_seqs", b), "a length in [0, 2^31)", length);
    problem->lengths.push_back(length);
    if (problem->tokens > 0) {
      TAMIS_RETURN_IF_ERROR(
          prim::CheckPageTable(params.block_table, b, length, page_size, params.kv_cache.shape[0]));
    }
  }
  return Status::Ok();
}

// The plans of the calls of a chunk.
struct ChunkPlans {
  Chunk chunk;
  Plan mla;
  Plan indexer;
  Plan select;
  Plan attend;
};

class Body final : public internal::PlanBody {
 public:
  Status Prepare(Params params, const Context& context) {
    base::Dims dims;
    TheContract().ForgetUnusedStrides(&params);
    TAMIS_RETURN_IF_ERROR(TheContract().CheckInputs(&params, &dims));
    TAMIS_RETURN_IF_ERROR(Normalise(params, &dims, &problem_));
    TAMIS_RETURN_IF_ERROR(TheContract().CheckLimits(&params, dims));
    TAMIS_RETURN_IF_ERROR(TheContract().CheckOutputs(&params, dims));
    params_ = params;
    context_ = context;
    TAMIS_RETURN_IF_ERROR(base::ResolveThreads(context.threads, &context_.threads));
    Params standing = params;
    lacking_ = TheContract().StandIn(&standing);
    return PlanCalls();
  }

  Status Run(const Bindings* bindings, void* workspace) const override {
    if (bindings == nullptr) {
      if (lacking_ != nullptr) return base::NoData(*lacking_);
      return RunOn(problem_.params, static_cast<char*>(workspace));
    }
    TAMIS_RETURN_IF_ERROR(base::CheckOperator(TheContract(), *bindings));
    Params bound;
    TAMIS_RETURN_IF_ERROR(TheContract().Bind(&params_, bindings->params(), &bound));
    return RunOn(bound, static_cast<char*>(workspace));
  }

  Cost CountCost() const override;

 private:
  // Then the prologs write the caches as they make the queries.
  bool OneChunk() const { return chunks_.size() == 1; }

  Status RunOn(const Params& in, char* between) const {
    char* const scratch = between + between_bytes_;
    if (!OneChunk()) {
      const CacheCalls calls = CacheCallsOf(problem_, in);
      TAMIS_RETURN_IF_ERROR(cache_mla_->run(calls.mla, scratch, scratch_bytes_));
      TAMIS_RETURN_IF_ERROR(cache_indexer_->run(calls.indexer, scratch, scratch_bytes_));
    }
    for (const ChunkPlans& plans : chunks_) {
      const ChunkCalls calls = ChunkCallsOf(problem_, in, plans.chunk, OneChunk(), between);
      TAMIS_RETURN_IF_ERROR(plans.mla.run(calls.mla, scratch, scratch_bytes_));
      TAMIS_RETURN_IF_ERROR(plans.indexer.run(calls.indexer, scratch, scratch_bytes_));
      TAMIS_RETURN_IF_ERROR(plans.select.run(calls.select, scratch, scratch_bytes_));
      TAMIS_RETURN_IF_ERROR(plans.attend.run(calls.attend, scratch, scratch_bytes_));
    }
    return Status::Ok();
  }

  // Adds a plan's workspace to the largest.
  Status Need(const Result<Plan>& plan) {
    if (!plan.ok()) return plan.status();
    scratch_bytes_ = std::max(scratch_bytes_, plan->workspace_bytes());
    return Status::Ok();
  }

  // Makes every plan that a run will use, so that what can be refused is refused now.
  Status PlanCalls() {
    const CacheCalls cache = CacheCallsOf(problem_, problem_.params);
    Result<Plan> mla = mla_prolog::plan(cache.mla, context_);
    Result<Plan> indexer = indexer_prolog::plan(cache.indexer, context_);
    TAMIS_RETURN_IF_ERROR(Need(mla));
    TAMIS_RETURN_IF_ERROR(Need(indexer));
    cache_mla_ = *mla;
    cache_indexer_ = *indexer;
    const std::vector<Chunk> chunks = ChunksOf(problem_);
    for (const Chunk& chunk : chunks) TAMIS_RETURN_IF_ERROR(PlanChunk(chunk, chunks.size() == 1));
    workspace_bytes = prim::Plus(between_bytes_, scratch_bytes_);
    TAMIS_RETURN_IF_ERROR(prim::CheckWorkspace(workspace_bytes));
    implementation = mla->implementation();
    level = mla->level();
    explanation = "four calls for " + std::to_string(kTokensPerChunk) +
                  " tokens at a time; the first: " + mla->explanation();
    return Status::Ok();
  }

  Status PlanChunk(const Chunk& chunk, bool writes) {
    ChunkCalls calls = ChunkCallsOf(problem_, problem_.params, chunk, writes, nullptr);
    const std::vector<int64_t> lengths = SetLengths(problem_, chunk, &calls);
    between_bytes_ = std::max(between_bytes_, calls.workspace_bytes);
    TAMIS_RETURN_IF_ERROR(
        prim::CheckWorkspace(between_bytes_));  // else a call would name an argument of its own
    const Result<Plan> mla = mla_prolog::plan(calls.mla, context_);
    TAMIS_RETURN_IF_ERROR(Need(mla));
    const Result<Plan> indexer = indexer_prolog::plan(calls.indexer, context_);
    TAMIS_RETURN_IF_ERROR(Need(indexer));
    const Result<Plan> select = lightning_indexer::plan(calls.select, context_);
    TAMIS_RETURN_IF_ERROR(Need(select));
    const Result<Plan> attend = sparse_flash_attention::plan(calls.attend, context_);
    TAMIS_RETURN_IF_ERROR(Need(attend));
    chunks_.push_back({chunk, *mla, *indexer, *select, *attend});
    return Status::Ok();
  }

  Params params_;  // as given; those of the problem are not strict
  Problem problem_;
  Context context_;
  const std::string* lacking_ = nullptr;  // a tensor that the params brought no memory for
  std::optional<Plan> cache_mla_;         // of rows of the caches alone
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

Status Normalise(const Params& params, base::Dims* dims, Problem* problem) {
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
  std::vector<int64_t> slots;
  return prim::CacheSlots(params.cache_index, prim::CacheRows(params.kv_cache), &slots);
}

base::Operator MakeOperator() {
  base::Operator op;
  op.folder = "sparse_attention_pto";
  op.contract = &TheContract();
  op.examples = &TheExamples();
  op.plan = [](const void* params, const Context& context) {
    return plan(*static_cast<const Params*>(params), context);
  };
  op.infer = [](const void* params, base::Dims* dims) {
    return prim::WithoutThrowing([&]() -> Status {
      Problem problem;
      Params sound = *static_cast<const Params*>(params);
      TheContract().ForgetUnusedStrides(&sound);
      TAMIS_RETURN_IF_ERROR(TheContract().CheckInputs(&sound, dims));
      TAMIS_RETURN_IF_ERROR(Normalise(sound, dims, &problem));
      return TheContract().CheckLimits(&sound, *dims);
    });
  };
  op.reference = [](const void* params, int32_t threads, base::Golden* golden) {
    return prim::WithoutThrowing([&]() -> Status {
      Params sound = *static_cast<const Params*>(params);
      TheContract().ForgetUnusedStrides(&sound);
      return Reference(sound, threads, golden);
    });
  };
  return op;
}

Result<Plan> plan(const Params& params, const Context& context) {
  return prim::WithoutThrowing([&]() -> Result<Plan> {
    auto body = std::make_shared<Body>();
    TAMIS_RETURN_IF_ERROR(body->Prepare(params, context));
    return Plan(std::move(body));
  });
}

Status run(const Params& params, const Context& context) {
  const Result<Plan> made = plan(params, context);
  return made.ok() ? made->run() : made.status();
}

}  // namespace tamis::sparse_attention_pto
