// Named example calls: DeepSeek-V3.2 (671B), and small ones.
#include "ops/indexer_prolog/problem.h"

namespace tamis::indexer_prolog {
namespace {

struct Sizes {
  int64_t hidden, rank, heads, dim, rope, page_size;
};
constexpr Sizes kModel = {
    .hidden = 7168, .rank = 1536, .heads = 64, .dim = 128, .rope = 64, .page_size = 128};
constexpr Sizes kSmall = {
    .hidden = 96, .rank = 48, .heads = 16, .dim = 32, .rope = 16, .page_size = 4};

// Slots are a permutation of the first `tokens` rows of `pages` pages.
std::vector<base::ExampleTensor> CacheTensors(const Sizes& s, int64_t tokens, int64_t pages) {
  return {{"x", {tokens, s.hidden}},
          {"w_idx_k", {s.hidden, s.dim}},
          {"in_gamma_k", {s.dim}},
          {"in_beta_k", {s.dim}},
          {"sin", {tokens, s.rope}},
          {"cos", {tokens, s.rope}},
          {"cache_index", {tokens}, base::Fill::kPageTable},
          {"index_k_cache", {pages, s.page_size, 1, s.dim}}};
}

std::vector<base::ExampleTensor> Tensors(const Sizes& s, int64_t tokens, int64_t pages) {
  std::vector<base::ExampleTensor> tensors = CacheTensors(s, tokens, pages);
  tensors.push_back({"query_norm", {tokens, s.rank}});
  tensors.push_back({"w_idx_qb", {s.rank, s.heads * s.dim}});
  tensors.push_back({"w_idx_proj", {s.hidden, s.heads}});
  return tensors;
}

}  // namespace

const std::vector<base::Example>& Room::examples() {
  static const std::vector<base::Example> kExamples = {
      {.name = "decode",
       .doc = "one token of DeepSeek-V3.2, weights in NZ",
       .tensors = Tensors(kModel, 1, 1),
       .attributes = {{"weight_format", "\"NZ\""}},
       .timed = true},
      {.name = "decode-nd",
       .doc = "the same, weights in ND",
       .tensors = Tensors(kModel, 1, 1),
       .attributes = {},
       .timed = true},
      {.name = "prefill-256",
       .doc = "256 tokens",
       .tensors = Tensors(kModel, 256, 2),
       .attributes = {},
       .timed = true},
      {.name = "prefill-256-cache",
       .doc = "256 tokens, cache rows only",
       .tensors = CacheTensors(kModel, 256, 2),
       .attributes = {},
       .timed = true},
      {.name = "small",
       .doc = "5 tokens, 16 heads, rope by halves",
       .tensors = Tensors(kSmall, 5, 2),
       .attributes = {{"weight_format", "\"NZ\""}, {"rope_interleaved", "false"}}},
  };
  return kExamples;
}

}  // namespace tamis::indexer_prolog
