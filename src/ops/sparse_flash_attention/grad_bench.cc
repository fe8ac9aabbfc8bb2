// Named example calls of the gradient.
#include "ops/sparse_flash_attention/grad_problem.h"

namespace tamis::sparse_flash_attention_grad {

const std::vector<base::Example>& Room::examples() {
  using base::Fill;
  static const std::vector<base::Example> kExamples = {
      {.name = "train",
       .doc = "1024 tokens of 16 heads, latent keys of 512 + 64 channels, each token over 512 of "
              "1024 keys",
       .tensors = {{"query", {1024, 16, 512}},
                   {"key", {1024, 1, 512}},
                   {"sparse_indices", {1024, 1, 512}, Fill::kDistinctIds, {1024}},
                   {"out_grad", {1024, 16, 512}},
                   {"softmax_max", {1024, 16}, Fill::kValues, {4}},
                   {"softmax_sum", {1024, 16}, Fill::kValues, {64}},
                   {"actual_seq_lengths_query", {1}, Fill::kValues, {1024}},
                   {"actual_seq_lengths_kv", {1}, Fill::kValues, {1024}},
                   {"query_rope", {1024, 16, 64}},
                   {"key_rope", {1024, 1, 64}}},
       .attributes = {{"scale_value", "0.041666666666666664"},
                      {"layout_query", "\"TND\""},
                      {"layout_kv", "\"TND\""},
                      {"sparse_mode", "0"}},
       .timed = true},
      {.name = "small",
       .doc = "two padded sequences, odd dims, blocks of 2 keys, sinks",
       .tensors = {{"query", {2, 5, 6, 20}},
                   {"key", {2, 30, 1, 20}},
                   {"sparse_indices", {2, 5, 1, 4}, Fill::kDistinctIds, {15}},
                   {"out_grad", {2, 5, 6, 20}},
                   {"softmax_max", {2, 5, 6}, Fill::kValues, {1}},
                   {"softmax_sum", {2, 5, 6}, Fill::kValues, {5}},
                   {"value", {2, 30, 1, 20}},
                   {"actual_seq_lengths_query", {2}, Fill::kValues, {5, 3}},
                   {"actual_seq_lengths_kv", {2}, Fill::kValues, {30, 7}},
                   {"query_rope", {2, 5, 6, 6}},
                   {"key_rope", {2, 30, 1, 6}},
                   {"sinks", {6}}},
       .attributes = {{"scale_value", "0.2"}, {"sparse_block_size", "2"}}},
  };
  return kExamples;
}

}  // namespace tamis::sparse_flash_attention_grad
