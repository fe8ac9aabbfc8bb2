// Named example calls of the gradient.
#include "ops/lightning_indexer/grad_problem.h"

namespace tamis::lightning_indexer_grad {

const std::vector<base::Example>& Room::examples() {
  using base::Fill;
  static const std::vector<base::Example> kExamples = {
      {.name = "train",
       .doc = "2048 tokens of 64 heads of 128 that select 512",
       .tensors = {{"query", {2048, 64, 128}},
                   {"key", {2048, 1, 128}},
                   {"sparse_values_grad", {2048, 1, 512}},
                   {"sparse_indices", {2048, 1, 512}, Fill::kDistinctIds, {2048}},
                   {"weights", {2048, 64}},
                   {"actual_seq_lengths_query", {1}, Fill::kValues, {2048}},
                   {"actual_seq_lengths_key", {1}, Fill::kValues, {2048}}},
       .attributes = {{"layout_query", "\"TND\""}, {"layout_key", "\"TND\""}, {"sparse_mode", "0"}},
       .timed = true},
      {.name = "small",
       .doc = "two padded sequences, odd dims",
       .tensors = {{"query", {2, 5, 6, 20}},
                   {"key", {2, 30, 1, 20}},
                   {"sparse_values_grad", {2, 5, 1, 8}},
                   {"sparse_indices", {2, 5, 1, 8}, Fill::kDistinctIds, {30}},
                   {"weights", {2, 5, 6}},
                   {"actual_seq_lengths_query", {2}, Fill::kValues, {5, 3}},
                   {"actual_seq_lengths_key", {2}, Fill::kValues, {30, 7}}},
       .attributes = {}},
  };
  return kExamples;
}

}  // namespace tamis::lightning_indexer_grad
