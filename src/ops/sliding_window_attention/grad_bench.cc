// Named example calls of the gradient.
#include "ops/sliding_window_attention/grad_problem.h"

namespace tamis::sliding_window_attention_grad {

const std::vector<base::Example>& Room::examples() {
  using base::Fill;
  static const std::vector<base::Example> kExamples = {
      {.name = "train",
       .doc = "2048 tokens of 16 heads over 4 kv heads, windows of 512 keys",
       .tensors = {{"query", {2048, 16, 128}},
                   {"key", {2048, 4, 128}},
                   {"value", {2048, 4, 128}},
                   {"attention_out_grad", {2048, 16, 128}},
                   {"softmax_max", {2048, 16}, Fill::kValues, {4}},
                   {"softmax_sum", {2048, 16}, Fill::kValues, {64}},
                   {"actual_seq_lengths_query", {1}, Fill::kValues, {2048}},
                   {"actual_seq_lengths_kv", {1}, Fill::kValues, {2048}}},
       .attributes = {{"scale_value", "0.08838834764831845"},
                      {"window_size", "512"},
                      {"layout_query", "\"TND\""},
                      {"layout_kv", "\"TND\""}},
       .timed = true},
      {.name = "small",
       .doc = "two padded sequences, odd dims, windows of 7 keys",
       .tensors = {{"query", {2, 5, 6, 20}},
                   {"key", {2, 30, 2, 20}},
                   {"value", {2, 30, 2, 12}},
                   {"attention_out_grad", {2, 5, 6, 12}},
                   {"softmax_max", {2, 5, 6}, Fill::kValues, {1}},
                   {"softmax_sum", {2, 5, 6}, Fill::kValues, {5}},
                   {"actual_seq_lengths_query", {2}, Fill::kValues, {5, 3}},
                   {"actual_seq_lengths_kv", {2}, Fill::kValues, {30, 2}}},
       .attributes = {{"scale_value", "0.22"}, {"window_size", "7"}}},
  };
  return kExamples;
}

}  // namespace tamis::sliding_window_attention_grad
