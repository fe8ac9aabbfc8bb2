// Named example calls of the gradient.
#include "ops/nsa_compress_attention/grad_problem.h"

namespace tamis::nsa_compress_attention_grad {

const std::vector<base::Example>& Room::examples() {
  using base::Fill;
  static const std::vector<base::Example> kExamples = {
      {.name = "train",
       .doc = "2048 tokens of 16 heads over 4 kv heads, 127 keys of windows of 32, causal",
       .tensors = {{"query", {2048, 16, 128}},
                   {"key", {127, 4, 128}},
                   {"value", {127, 4, 128}},
                   {"attention_out_grad", {2048, 16, 128}},
                   {"softmax_max", {2048, 16}, Fill::kValues, {4}},
                   {"softmax_sum", {2048, 16}, Fill::kValues, {16}}},
       .attributes = {{"scale_value", "0.08838834764831845"},
                      {"head_num", "16"},
                      {"causal", "true"},
                      {"compress_block_size", "32"},
                      {"compress_stride", "16"},
                      {"actual_seq_qlen", "[2048]"},
                      {"actual_cmp_seq_kvlen", "[127]"}},
       .timed = true},
      {.name = "small",
       .doc = "two sequences under a mask, odd dims",
       .tensors = {{"query", {9, 6, 20}},
                   {"key", {8, 2, 20}},
                   {"value", {8, 2, 12}},
                   {"attention_out_grad", {9, 6, 12}},
                   {"softmax_max", {9, 6}, Fill::kValues, {1}},
                   {"softmax_sum", {9, 6}, Fill::kValues, {5}},
                   {"atten_mask", {6, 5}, Fill::kValues, {0, 1, 0, 0, 1}}},
       .attributes = {{"scale_value", "0.22"},
                      {"head_num", "6"},
                      {"compress_block_size", "4"},
                      {"compress_stride", "2"},
                      {"actual_seq_qlen", "[6, 9]"},
                      {"actual_cmp_seq_kvlen", "[3, 8]"}}},
  };
  return kExamples;
}

}  // namespace tamis::nsa_compress_attention_grad
