// Named example calls: DeepSeek-V3.2 (671B), and small ones.
#include "ops/mla_prolog/problem.h"

namespace tamis::mla_prolog {
namespace {

struct Sizes {
  int64_t hidden, rank, heads, nope, rope, latent, page_size;
};
constexpr Sizes kModel = {.hidden = 7168,
                          .rank = 1536,
                          .heads = 128,
                          .nope = 128,
                          .rope = 64,
                          .latent = 512,
                          .page_size = 128};
constexpr Sizes kSmall = {
    .hidden = 96, .rank = 48, .heads = 3, .nope = 16, .rope = 16, .latent = 32, .page_size = 4};

// Slots are a permutation of the first `tokens` rows of `pages` pages.
std::vector<base::ExampleTensor> Tensors(const Sizes& s, int64_t tokens, int64_t pages) {
  return {{"x", {tokens, s.hidden}},
          {"w_dq", {s.hidden, s.rank}},
          {"w_uq_qr", {s.rank, s.heads * (s.nope + s.rope)}},
          {"w_uk", {s.heads, s.nope, s.latent}},
          {"w_dkv_kr", {s.hidden, s.latent + s.rope}},
          {"gamma_cq", {s.rank}},
          {"gamma_ckv", {s.latent}},
          {"sin", {tokens, s.rope}},
          {"cos", {tokens, s.rope}},
          {"cache_index", {tokens}, base::Fill::kPageTable},
          {"kv_cache", {pages, s.page_size, 1, s.latent}},
          {"kr_cache", {pages, s.page_size, 1, s.rope}}};
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
       .doc = "256 tokens, timed without query, query_rope and query_norm: cache rows only",
       .tensors = Tensors(kModel, 256, 2),
       .attributes = {},
       .omit = {"query", "query_rope", "query_norm"},
       .timed = true},
      {.name = "small",
       .doc = "5 tokens, 3 heads",
       .tensors = Tensors(kSmall, 5, 2),
       .attributes = {{"weight_format", "\"NZ\""}}},
  };
  return kExamples;
}

}  // namespace tamis::mla_prolog
