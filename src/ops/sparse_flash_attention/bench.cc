// Named example calls.
#include "ops/sparse_flash_attention/problem.h"

namespace tamis::sparse_flash_attention {

const std::vector<base::Example>& Room::examples() {
  using base::Fill;
  // One token over 131072 paged keys.
  const auto decode = [](const char* name, const char* doc, int64_t heads) {
    return base::Example{
        .name = name,
        .doc = doc,
        .tensors = {{"query", {1, 1, heads, 512}},
                    {"key", {1024, 128, 1, 512}},
                    {"sparse_indices", {1, 1, 1, 2048}, Fill::kDistinctIds, {131072}},
                    {"block_table", {1, 1024}, Fill::kPageTable},
                    {"actual_seq_lengths_kv", {1}, Fill::kValues, {131072}},
                    {"query_rope", {1, 1, heads, 64}},
                    {"key_rope", {1024, 128, 1, 64}}},
        .attributes = {{"scale_value", "0.041666666666666664"}, {"layout_kv", "\"PA_BSND\""}},
        .timed = true};
  };
  static const std::vector<base::Example> kExamples = {
      decode("decode-128k", "one token of 128 heads over 2048 of 131072 paged keys", 128),
      decode("decode-16h", "one token of 16 heads over 2048 of 131072 paged keys", 16),
      {.name = "prefill",
       .doc = "the last 32 of 32768 tokens, 128 heads, each over 2048 keys of its own",
       .tensors = {{"query", {32, 128, 512}},
                   {"key", {32768, 1, 512}},
                   {"sparse_indices", {32, 1, 2048}, Fill::kDistinctIds, {32737}},
                   {"actual_seq_lengths_query", {1}, Fill::kValues, {32}},
                   {"actual_seq_lengths_kv", {1}, Fill::kValues, {32768}},
                   {"query_rope", {32, 128, 64}},
                   {"key_rope", {32768, 1, 64}}},
       .attributes = {{"scale_value", "0.041666666666666664"},
                      {"layout_query", "\"TND\""},
                      {"layout_kv", "\"TND\""}},
       .timed = true},
      {.name = "small",
       .doc = "two sequences, odd dims, blocks of 4 keys, statistics",
       .tensors = {{"query", {2, 5, 7, 40}},
                   {"key", {2, 90, 1, 40}},
                   {"sparse_indices", {2, 5, 1, 9}, Fill::kDistinctIds, {22}},
                   {"query_rope", {2, 5, 7, 10}},
                   {"key_rope", {2, 90, 1, 10}}},
       .attributes = {{"scale_value", "0.14"},
                      {"sparse_block_size", "4"},
                      {"return_softmax_lse", "true"}}},
  };
  return kExamples;
}

}  // namespace tamis::sparse_flash_attention
