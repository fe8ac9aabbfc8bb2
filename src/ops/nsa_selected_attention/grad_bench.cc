// Named example calls of the gradient.
#include "ops/nsa_selected_attention/grad_problem.h"

namespace tamis::nsa_selected_attention_grad {

const std::vector<base::Example>& Room::examples() {
  using base::Fill;
  static const std::vector<base::Example> kExamples = {
      {.name = "train",
       .doc = "1024 tokens of 16 heads over 4 kv heads, each over 16 of 16 blocks of 64 keys",
       .tensors = {{"query", {1024, 16, 128}},
                   {"key", {1024, 4, 128}},
                   {"value", {1024, 4, 128}},
                   {"attention_out_grad", {1024, 16, 128}},
                   {"softmax_max", {1024, 16}, Fill::kValues, {4}},
                   {"softmax_sum", {1024, 16}, Fill::kValues, {64}},
                   {"topk_indices", {1024, 4, 16}, Fill::kDistinctIds, {16}}},
       .attributes = {{"scale_value", "0.08838834764831845"},
                      {"head_num", "16"},
                      {"select_block_size", "64"},
                      {"select_block_count", "16"},
                      {"actual_seq_qlen", "[1024]"},
                      {"actual_seq_kvlen", "[1024]"},
                      {"sparse_mode", "0"}},
       .timed = true},
      {.name = "small",
       .doc = "two sequences, odd dims, blocks of 4 keys",
       .tensors = {{"query", {7, 6, 20}},
                   {"key", {31, 2, 20}},
                   {"value", {31, 2, 12}},
                   {"attention_out_grad", {7, 6, 12}},
                   {"softmax_max", {7, 6}, Fill::kValues, {1}},
                   {"softmax_sum", {7, 6}, Fill::kValues, {5}},
                   {"topk_indices", {7, 2, 3}, Fill::kDistinctIds, {4}}},
       .attributes = {{"scale_value", "0.22"},
                      {"head_num", "6"},
                      {"select_block_size", "4"},
                      {"select_block_count", "3"},
                      {"actual_seq_qlen", "[3, 7]"},
                      {"actual_seq_kvlen", "[13, 31]"},
                      {"sparse_mode", "3"}}},
  };
  return kExamples;
}

}  // namespace tamis::nsa_selected_attention_grad
