// Named example calls of all operators of the room.
#include "ops/dense_lightning_indexer/grad_kl_loss_problem.h"
#include "ops/dense_lightning_indexer/problem.h"
#include "ops/dense_lightning_indexer/sparse_kl_loss_problem.h"

namespace tamis::dense_lightning_indexer_softmax_lse {

const std::vector<base::Example>& Room::examples() {
  using base::Fill;
  static const std::vector<base::Example> kExamples = {
      {.name = "warm-up",
       .doc = "2048 tokens, 64 index heads of 128",
       .tensors = {{"query_index", {2048, 64, 128}},
                   {"key_index", {2048, 1, 128}},
                   {"weights", {2048, 64}},
                   {"actual_seq_lengths_query", {1}, Fill::kValues, {2048}},
                   {"actual_seq_lengths_key", {1}, Fill::kValues, {2048}}},
       .attributes = {{"layout", "\"TND\""}},
       .timed = true},
      {.name = "small",
       .doc = "two padded sequences, 3 index heads of 20",
       .tensors = {{"query_index", {2, 5, 3, 20}},
                   {"key_index", {2, 70, 1, 20}},
                   {"weights", {2, 5, 3}},
                   {"actual_seq_lengths_query", {2}, Fill::kValues, {5, 3}},
                   {"actual_seq_lengths_key", {2}, Fill::kValues, {70, 2}}},
       .attributes = {}},
  };
  return kExamples;
}

}  // namespace tamis::dense_lightning_indexer_softmax_lse

namespace tamis::dense_lightning_indexer_grad_kl_loss {

const std::vector<base::Example>& Room::examples() {
  using base::Fill;
  static const std::vector<base::Example> kExamples = {
      {.name = "warm-up",
       .doc = "2048 tokens, 16 heads of 512 + 64 over one latent head, 64 index heads of 128",
       .tensors = {{"query", {2048, 16, 512}},
                   {"key", {2048, 1, 512}},
                   {"query_index", {2048, 64, 128}},
                   {"key_index", {2048, 1, 128}},
                   {"weights", {2048, 64}},
                   {"softmax_max", {2048, 16}, Fill::kValues, {4}},
                   {"softmax_sum", {2048, 16}, Fill::kValues, {64}},
                   {"softmax_max_index", {2048}, Fill::kValues, {300}},
                   {"softmax_sum_index", {2048}, Fill::kValues, {4}},
                   {"query_rope", {2048, 16, 64}},
                   {"key_rope", {2048, 1, 64}},
                   {"actual_seq_lengths_query", {1}, Fill::kValues, {2048}},
                   {"actual_seq_lengths_key", {1}, Fill::kValues, {2048}}},
       .attributes = {{"scale_value", "0.041666666666666664"}, {"layout", "\"TND\""}},
       .timed = true},
      {.name = "small",
       .doc = "two padded sequences, odd dims, a token that does not count",
       .tensors = {{"query", {2, 5, 6, 20}},
                   {"key", {2, 30, 2, 20}},
                   {"query_index", {2, 5, 3, 12}},
                   {"key_index", {2, 30, 1, 12}},
                   {"weights", {2, 5, 3}},
                   {"softmax_max", {2, 5, 6}, Fill::kValues, {1}},
                   {"softmax_sum", {2, 5, 6}, Fill::kValues, {5}},
                   {"softmax_max_index", {2, 5}, Fill::kValues, {2}},
                   {"softmax_sum_index", {2, 5}, Fill::kValues, {5}},
                   {"row_scale", {2, 5}, Fill::kValues, {1, 3, 0, 1, 2, 1, 1, 1, 1, 1}},
                   {"actual_seq_lengths_query", {2}, Fill::kValues, {5, 3}},
                   {"actual_seq_lengths_key", {2}, Fill::kValues, {30, 2}}},
       .attributes = {{"scale_value", "0.22"}, {"return_row_loss", "true"}}},
  };
  return kExamples;
}

}  // namespace tamis::dense_lightning_indexer_grad_kl_loss

namespace tamis::sparse_lightning_indexer_grad_kl_loss {

const std::vector<base::Example>& Room::examples() {
  using base::Fill;
  static const std::vector<base::Example> kExamples = {
      {.name = "sparse",
       .doc = "2048 tokens that select 512, 16 heads of 512 + 64 over latent keys, 64 index heads "
              "of 128",
       .tensors = {{"query", {2048, 16, 512}},
                   {"key", {2048, 1, 512}},
                   {"query_index", {2048, 64, 128}},
                   {"key_index", {2048, 1, 128}},
                   {"weights", {2048, 64}},
                   {"sparse_indices", {2048, 1, 512}, Fill::kDistinctIds, {2048}},
                   {"softmax_max", {2048, 16}, Fill::kValues, {4}},
                   {"softmax_sum", {2048, 16}, Fill::kValues, {64}},
                   {"query_rope", {2048, 16, 64}},
                   {"key_rope", {2048, 1, 64}},
                   {"actual_seq_lengths_query", {1}, Fill::kValues, {2048}},
                   {"actual_seq_lengths_key", {1}, Fill::kValues, {2048}}},
       .attributes = {{"scale_value", "0.041666666666666664"},
                      {"layout", "\"TND\""},
                      {"sparse_mode", "0"}},
       .timed = true},
      {.name = "small",
       .doc = "two padded sequences, odd dims, a token that does not count",
       .tensors = {{"query", {2, 5, 6, 20}},
                   {"key", {2, 30, 1, 20}},
                   {"query_index", {2, 5, 3, 12}},
                   {"key_index", {2, 30, 1, 12}},
                   {"weights", {2, 5, 3}},
                   {"sparse_indices", {2, 5, 1, 8}, Fill::kDistinctIds, {30}},
                   {"softmax_max", {2, 5, 6}, Fill::kValues, {1}},
                   {"softmax_sum", {2, 5, 6}, Fill::kValues, {5}},
                   {"row_scale", {2, 5}, Fill::kValues, {1, 3, 0, 1, 2, 1, 1, 1, 1, 1}},
                   {"actual_seq_lengths_query", {2}, Fill::kValues, {5, 3}},
                   {"actual_seq_lengths_key", {2}, Fill::kValues, {30, 2}}},
       .attributes = {{"scale_value", "0.22"}, {"return_row_loss", "true"}}},
  };
  return kExamples;
}

}  // namespace tamis::sparse_lightning_indexer_grad_kl_loss
