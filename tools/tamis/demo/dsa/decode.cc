#include "tools/tamis/demo/dsa/decode.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "base/errors.h"

namespace tamis::tools::demo::dsa {
namespace {

constexpr DType kType = DType::kBFloat16;
constexpr uint16_t kNan = 0x7fc0;
constexpr int64_t kDenseBlock = 2048;  // positions that one id of dense attention names

template <class T>
void Reset(int64_t elems, std::vector<T>* out) {
  out->assign(static_cast<size_t>(elems), T{});
}

void Reset(int64_t tokens, Attention* attention) {
  Reset(tokens * kHeads * kLatent, &attention->out);
  Reset(tokens * kHeads, &attention->max);
  Reset(tokens * kHeads, &attention->sum);
}

template <class T>
bool Begins(const std::vector<T>& with, const std::vector<T>& other) {
  const size_t size = std::min(with.size(), other.size());
  return std::equal(with.begin(), with.begin() + static_cast<ptrdiff_t>(size), other.begin());
}

Status Compare(const char* name, const void* params, int64_t rows, int32_t threads,
               Agreement* agreement) {
  if (agreement == nullptr) return Status::Ok();
  std::vector<int64_t> all(static_cast<size_t>(rows));
  std::iota(all.begin(), all.end(), int64_t{0});
  return CompareRows(name, params, all, threads, agreement);
}

// The rows of the caches at `slots`, one after the other.
std::vector<uint16_t> CacheRows(const Caches& caches, const std::vector<int32_t>& slots) {
  std::vector<uint16_t> rows;
  for (int64_t slot : slots) {
    const auto append = [&](const std::vector<uint16_t>& cache, int64_t dim) {
      rows.insert(rows.end(), cache.begin() + slot * dim, cache.begin() + (slot + 1) * dim);
    };
    append(caches.kv, kLatent);
    append(caches.kr, kRope);
    append(caches.index, kIndexDim);
  }
  return rows;
}

void Forget(const std::vector<int32_t>& slots, Caches* caches) {
  for (int64_t slot : slots) {
    std::fill_n(caches->kv.begin() + slot * kLatent, kLatent, kNan);
    std::fill_n(caches->kr.begin() + slot * kRope, kRope, kNan);
    std::fill_n(caches->index.begin() + slot * kIndexDim, kIndexDim, kNan);
  }
}

}  // namespace

double Attention::LogSumExp(int64_t row) const {
  const auto at = static_cast<size_t>(row);
  return static_cast<double>(max[at]) + std::log(static_cast<double>(sum[at]));
}

bool Step::SameFirst(const Step& other) const {
  return Begins(query, other.query) && Begins(query_rope, other.query_rope) &&
         Begins(index_query, other.index_query) && Begins(selected, other.selected) &&
         Begins(sparse.out, other.sparse.out) && Begins(dense.out, other.dense.out);
}

Tokens Decoder::MakeTokens(const std::vector<uint16_t>& x, int64_t tokens) const {
  Tokens made;
  made.count = tokens;
  made.x.assign(x.begin(), x.begin() + tokens * kHidden);
  FillRope(length_, tokens, &made.cos, &made.sin);
  made.slots = caches_.Slots(length_, tokens);
  return made;
}

Status Decoder::Prologs(const Tokens& tokens, Step* step, const Check* check) {
  const int64_t count = tokens.count;
  Agreement* agreement = check == nullptr ? nullptr : check->agreement;
  Reset(count * kHeads * kLatent, &step->query);
  Reset(count * kHeads * kRope, &step->query_rope);
  Reset(count * kQueryRank, &step->query_norm);
  mla_prolog::Params mla = MlaParams(weights_, tokens, &caches_);
  mla.query = {step->query.data(), kType, {1, count, kHeads, kLatent}};
  mla.query_rope = {step->query_rope.data(), kType, {1, count, kHeads, kRope}};
  mla.query_norm = {step->query_norm.data(), kType, {1, count, kQueryRank}};
  TAMIS_RETURN_IF_ERROR(RunTimed(mla_prolog::plan, mla, context_, &workspace_, &step->times.mla));
  TAMIS_RETURN_IF_ERROR(Compare("mla_prolog", &mla, count, context_.threads, agreement));

  Reset(count * kIndexHeads * kIndexDim, &step->index_query);
  Reset(count * kIndexHeads, &step->index_weights);
  indexer_prolog::Params index = IndexParams(weights_, tokens, &caches_);
  index.query_norm = mla.query_norm;
  index.w_idx_qb = {weights_.w_idx_qb.data(), kType, {kQueryRank, kIndexHeads * kIndexDim}};
  index.w_idx_proj = {weights_.w_idx_proj.data(), kType, {kHidden, kIndexHeads}};
  index.query = {step->index_query.data(), kType, {1, count, kIndexHeads, kIndexDim}};
  index.weights = {step->index_weights.data(), kType, {1, count, kIndexHeads}};
  TAMIS_RETURN_IF_ERROR(
      RunTimed(indexer_prolog::plan, index, context_, &workspace_, &step->times.index));
  return Compare("indexer_prolog", &index, count, context_.threads, agreement);
}

Status Decoder::Select(Step* step, const Check* check) {
  const int64_t length = length_ + step->tokens;
  Reset(step->tokens * kTop, &step->selected);
  lightning_indexer::Params params;
  params.query = {step->index_query.data(), kType, {1, step->tokens, kIndexHeads, kIndexDim}};
  params.key = caches_.index_view();
  params.weights = {step->index_weights.data(), kType, {1, step->tokens, kIndexHeads}};
  params.actual_seq_lengths_key = {&length, DType::kInt64, {1}};
  params.block_table = {
      caches_.page_of.data(), DType::kInt32, {1, static_cast<int64_t>(caches_.page_of.size())}};
  params.layout_key = lightning_indexer::KeyLayout::kPaBsnd;
  params.sparse_count = kTop;
  params.sparse_indices = {step->selected.data(), DType::kInt32, {1, step->tokens, 1, kTop}};
  TAMIS_RETURN_IF_ERROR(
      RunTimed(lightning_indexer::plan, params, context_, &workspace_, &step->times.select));
  return Compare("lightning_indexer", &params, step->tokens, context_.threads,
                 check == nullptr ? nullptr : check->agreement);
}

Status Decoder::Attend(const Step& step, const std::vector<int32_t>& ids, int64_t block,
                       Attention* out, Measured* measured, Agreement* agreement) {
  const int64_t length = length_ + step.tokens;
  Reset(step.tokens, out);
  sparse_flash_attention::Params params;
  params.query = {step.query.data(), kType, {1, step.tokens, kHeads, kLatent}};
  params.query_rope = {step.query_rope.data(), kType, {1, step.tokens, kHeads, kRope}};
  params.key = caches_.kv_view();
  params.key_rope = caches_.kr_view();
  params.sparse_indices = {ids.data(),
                           DType::kInt32,
                           {1, step.tokens, 1, static_cast<int64_t>(ids.size()) / step.tokens}};
  params.block_table = {
      caches_.page_of.data(), DType::kInt32, {1, static_cast<int64_t>(caches_.page_of.size())}};
  params.actual_seq_lengths_kv = {&length, DType::kInt64, {1}};
  params.scale_value = ScaleValue();
  params.sparse_block_size = block;
  params.layout_kv = sparse_flash_attention::KvLayout::kPaBsnd;
  params.return_softmax_lse = true;
  params.out = {out->out.data(), kType, {1, step.tokens, kHeads, kLatent}};
  params.softmax_max = {out->max.data(), DType::kFloat32, {1, step.tokens, kHeads}};
  params.softmax_sum = {out->sum.data(), DType::kFloat32, {1, step.tokens, kHeads}};
  TAMIS_RETURN_IF_ERROR(
      RunTimed(sparse_flash_attention::plan, params, context_, &workspace_, measured));
  return Compare("sparse_flash_attention", &params, step.tokens, context_.threads, agreement);
}

// The tokens' cache rows are forgotten first: the fused call must write them itself.
Status Decoder::Fused(const Tokens& tokens, Step* step) {
  const int64_t length = length_ + tokens.count;
  const std::vector<uint16_t> rows = CacheRows(caches_, tokens.slots);
  Forget(tokens.slots, &caches_);
  std::vector<uint16_t> out(step->sparse.out.size());
  std::vector<int32_t> selected(step->selected.size());
  sparse_attention_pto::Params params = FusedParams(weights_, tokens, &caches_);
  params.block_table = {
      caches_.page_of.data(), DType::kInt32, {1, static_cast<int64_t>(caches_.page_of.size())}};
  params.act_seqs = {&length, DType::kInt64, {1}};
  params.out = {out.data(), kType, {1, tokens.count, kHeads, kLatent}};
  params.sparse_indices = {selected.data(), DType::kInt32, {1, tokens.count, 1, kTop}};
  TAMIS_RETURN_IF_ERROR(
      RunTimed(sparse_attention_pto::plan, params, context_, &workspace_, &step->times.fused));
  step->fused_agrees = out == step->sparse.out && selected == step->selected &&
                       rows == CacheRows(caches_, tokens.slots);
  return Status::Ok();
}

Status Decoder::Run(const std::vector<uint16_t>& x, int64_t tokens, Step* step,
                    const Check* check) {
  step->tokens = tokens;
  step->times = {};
  const Tokens made = MakeTokens(x, tokens);
  TAMIS_RETURN_IF_ERROR(Prologs(made, step, check));
  TAMIS_RETURN_IF_ERROR(Select(step, check));
  TAMIS_RETURN_IF_ERROR(Attend(*step, step->selected, 1, &step->sparse, &step->times.attend,
                               check == nullptr ? nullptr : check->agreement));
  const int64_t blocks = (length_ + tokens + kDenseBlock - 1) / kDenseBlock;
  std::vector<int32_t> everything(static_cast<size_t>(tokens * blocks));
  for (size_t i = 0; i < everything.size(); ++i)
    everything[i] = static_cast<int32_t>(i) % static_cast<int32_t>(blocks);
  TAMIS_RETURN_IF_ERROR(Attend(*step, everything, kDenseBlock, &step->dense, &step->times.dense,
                               check == nullptr || !check->dense ? nullptr : check->agreement));
  return Fused(made, step);
}

}  // namespace tamis::tools::demo::dsa
