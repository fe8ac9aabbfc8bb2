// Named example calls, at the document's sizes.
#include "ops/sparse_attention_pto/problem.h"

namespace tamis::sparse_attention_pto {
namespace {

using base::Fill;

// One layer of the 671B model: `batch` sequences of `length` positions each, `tokens` of them new.
base::Example Layer(const char* name, const char* doc, int64_t batch, int64_t tokens,
                    int64_t length, bool timed) {
  constexpr int64_t kPage = 128;
  const int64_t pages_each = (length + kPage - 1) / kPage;
  const int64_t pages = batch * pages_each;
  std::vector<int64_t> slots;
  std::vector<int64_t> table;
  for (int64_t b = 0; b < batch; ++b) {
    for (int64_t i = 0; i < pages_each; ++i) table.push_back(b * pages_each + i);
    for (int64_t t = 0; t < tokens; ++t)
      slots.push_back(b * pages_each * kPage + length - tokens + t);
  }
  const std::vector<int64_t> lengths(static_cast<size_t>(batch), length);
  return {.name = name,
          .doc = doc,
          .tensors = {{"x", {batch, tokens, 7168}},
                      {"w_dq", {7168, 1536}, Fill::kProjection},
                      {"w_uq_qr", {1536, 24576}, Fill::kProjection},
                      {"w_uk", {128, 128, 512}, Fill::kProjection},
                      {"w_dkv_kr", {7168, 576}, Fill::kProjection},
                      {"gamma_cq", {1536}},
                      {"gamma_ckv", {512}},
                      {"sin", {batch, tokens, 64}},
                      {"cos", {batch, tokens, 64}},
                      {"cache_index", {batch, tokens}, Fill::kValues, slots},
                      {"kv_cache", {pages, kPage, 1, 512}},
                      {"kr_cache", {pages, kPage, 1, 64}},
                      {"block_table", {batch, pages_each}, Fill::kValues, table},
                      {"act_seqs", {batch}, Fill::kValues, lengths},
                      {"w_idx_qb", {1536, 8192}, Fill::kProjection},
                      {"w_idx_k", {7168, 128}, Fill::kProjection},
                      {"w_idx_proj", {7168, 64}, Fill::kProjection},
                      {"in_gamma_k", {128}},
                      {"in_beta_k", {128}},
                      {"index_k_cache", {pages, kPage, 1, 128}}},
          .attributes = {{"weight_format", "\"NZ\""}},
          .timed = timed};
}

}  // namespace

const std::vector<base::Example>& Room::examples() {
  static const std::vector<base::Example> kExamples = {
      Layer("decode-128k", "one new token at 131071 positions, the 671B model", 1, 1, 131071, true),
      Layer("document", "4 sequences of 8192 positions, 2 new tokens each, the 671B model", 4, 2,
            8192, false),
      Layer("prefill-256", "256 new tokens of one sequence of 4096, the 671B model", 1, 256, 4096,
            false),
  };
  return kExamples;
}

}  // namespace tamis::sparse_attention_pto
