// What both forms of selected attention do alike: checks, the call of the engine, costs.
#include <algorithm>
#include <limits>
#include <string>

#include "base/dtype.h"
#include "base/errors.h"
#include "ops/nsa_selected_attention/problem.h"
#include "prim/attention/tokens.h"

namespace tamis::selected_attention {
namespace {

// Tokens that share a list share its keys as they are widened: with 64 rows a call takes 2% longer
// in fp32 and 8% with pairs, with 256 1% less.
constexpr int64_t kRowsPerItem = 128;

}  // namespace

Status CheckBlocks(int64_t block_size, int64_t block_count, int64_t slots, Sizes* sizes) {
  if (block_size < 1) return base::Invalid("select_block_size", "at least 1", block_size);
  if (block_count != slots) {
    return base::Invalid("select_block_count",
                         "the last dimension of topk_indices = " + std::to_string(slots),
                         block_count);
  }
  sizes->block_size = std::min(block_size, kMostBlock);
  sizes->top_k = slots;
  return Status::Ok();
}

void BindList(const Sizes& p, const TensorView& topk_indices, prim::attention::Source* source) {
  source->list.ids = prim::Data<const int32_t>(topk_indices);
  source->list.at = p.TokensOf(topk_indices);
  source->list.head_stride = p.HeadStride(topk_indices);
}

void FillSource(const Sizes& p, const TensorView& query, prim::attention::Call* call) {
  prim::attention::Args& a = call->args;
  a.sources[0].list.slots = p.top_k;
  a.sources[0].list.block = p.block_size;
  a.sources[0].list.all = true;
  AddSequences(p, p.causal, call);
  a.kv_heads = p.kv_heads;
  a.group = p.group;
  a.dim = p.qk_dim;
  a.value_dim = p.v_dim;
  a.scale = static_cast<float>(p.scale);
  a.element = prim::ElementOf(query.dtype);
}

double CountPairs(const Sizes& p, const TensorView& topk_indices) {
  double pairs = 0;
  for (const prim::TokenSequence& s : p.sequences) {
    for (int64_t i = 0; i < s.rows; ++i) {
      const int64_t seen = p.End(s, i, p.causal, TensorView());
      for (int64_t g = 0; g < p.kv_heads; ++g) {
        pairs += topk_indices.data == nullptr
                     ? static_cast<double>(std::min(seen, prim::Times(p.top_k, p.block_size)))
                     : static_cast<double>(Selected(p, topk_indices, s, i, g).size());
      }
    }
  }
  return pairs;
}

void Steps::BindTensors(const Problem& p, const Tensors& in, prim::attention::Args* args) {
  prim::attention::Args& a = *args;
  prim::attention::Source& source = a.sources[0];
  a.query = HeadsOf(p, in.query);
  source.key = RowsOf(p, in.key);
  source.value = RowsOf(p, in.value);
  BindList(p, in.topk_indices, &source);
  a.out = HeadsOf(p, in.out);
  a.max = prim::Data<float>(in.max);
  a.max_at = p.TokensOf(in.max);
  a.sum = prim::Data<float>(in.sum);
  a.sum_at = p.TokensOf(in.sum);
}

void Steps::MakeWork(Problem& p, const Tensors& in, const prim::CpuTarget& target,
                     prim::CpuWork* work) {
  prim::attention::Begin(&p);
  prim::attention::Args& a = p.args;
  FillSource(p, in.query, &p);
  BindTensors(p, in, &a);
  SetPages(p, &a.sources[0]);
  a.sources[0].list.shared = true;
  a.head_block = p.group;
  a.tokens_first = true;
  int64_t most_tokens = 1;
  for (const prim::TokenSequence& s : p.sequences) most_tokens = std::max(most_tokens, s.rows);
  a.tokens_per_item = std::min(std::max<int64_t>(kRowsPerItem / p.group, 1), most_tokens);
  a.out_element = prim::ElementOf(in.out.dtype);
  a.storage = p.storage;
  a.key_tile = kKeyTile;
  prim::attention::MakeWork(target, &p, work);
}

std::string Steps::Blocking(const Problem& p) {
  return std::to_string(p.args.tokens_per_item) + " tokens x " + std::to_string(p.group) +
         " heads of a kv head per item, those with one list walked together, tiles of " +
         std::to_string(kKeyTile) + " keys";
}

Cost Steps::CostOf(const Problem& p, const Tensors& in) {
  const double pairs = CountPairs(p, in.topk_indices);
  double rows = 0;
  for (const prim::TokenSequence& s : p.sequences) rows += static_cast<double>(s.rows);
  const auto group = static_cast<double>(p.group);
  const auto heads = static_cast<double>(p.kv_heads * p.group);
  const auto dims = static_cast<double>(p.qk_dim + p.v_dim);
  const auto bytes = static_cast<double>(base::ItemSize(in.query.dtype));
  const auto out_bytes = static_cast<double>(base::ItemSize(in.out.dtype));
  Cost cost;
  cost.flops = 2.0 * pairs * group * dims;
  cost.read_bytes = bytes * (pairs * dims + rows * heads * static_cast<double>(p.qk_dim)) +
                    4.0 * rows * static_cast<double>(p.kv_heads * p.top_k);
  cost.write_bytes = rows * heads *
                     (out_bytes * static_cast<double>(p.v_dim) + (in.max.absent() ? 0.0 : 4.0) +
                      (in.sum.absent() ? 0.0 : 4.0));
  return cost;
}

}  // namespace tamis::selected_attention
