// Named example calls.
#include "ops/nsa_selected_attention/problem.h"

namespace tamis::nsa_selected_attention {

const std::vector<base::Example>& Room::examples() {
  using base::Fill;
  static const std::vector<base::Example> kExamples = {
      {.name = "prefill",
       .doc = "the document's heads, 1024 tokens, each over 16 of 16 blocks of 64 keys",
       .tensors = {{"query", {1024, 64, 192}},
                   {"key", {1024, 4, 192}},
                   {"value", {1024, 4, 128}},
                   {"topk_indices", {1024, 4, 16}, Fill::kDistinctIds, {16}}},
       .attributes = {{"scale_value", "0.07216878364870322"},
                      {"head_num", "64"},
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

}  // namespace tamis::nsa_selected_attention

namespace tamis::nsa_selected_attention_infer {

const std::vector<base::Example>& Room::examples() {
  using base::Fill;
  static const std::vector<base::Example> kExamples = {
      {.name = "decode",
       .doc = "20 sequences of 4096 keys in pages of 128, each over 16 blocks of 64",
       .tensors = {{"query", {20, 64, 192}},
                   {"key", {640, 128, 768}},
                   {"value", {640, 128, 512}},
                   {"topk_indices", {20, 4, 16}, Fill::kDistinctIds, {64}},
                   {"block_table", {20, 32}, Fill::kPageTable}},
       .attributes = {{"scale_value", "0.07216878364870322"},
                      {"head_num", "64"},
                      {"key_value_head_num", "4"},
                      {"select_block_size", "64"},
                      {"select_block_count", "16"},
                      {"page_block_size", "128"},
                      {"actual_seq_kvlen",
                       "[4096, 4096, 4096, 4096, 4096, 4096, 4096, 4096, 4096, 4096, 4096, 4096, "
                       "4096, 4096, 4096, 4096, 4096, 4096, 4096, 4096]"}},
       .timed = true},
      {.name = "small",
       .doc = "two sequences, odd dims, blocks of 4 keys in pages of 5",
       .tensors = {{"query", {3, 6, 20}},
                   {"key", {8, 5, 40}},
                   {"value", {8, 5, 24}},
                   {"topk_indices", {3, 2, 3}, Fill::kDistinctIds, {4}},
                   {"block_table", {2, 4}, Fill::kPageTable}},
       .attributes = {{"scale_value", "0.22"},
                      {"head_num", "6"},
                      {"key_value_head_num", "2"},
                      {"select_block_size", "4"},
                      {"select_block_count", "3"},
                      {"page_block_size", "5"},
                      {"actual_seq_qlen", "[1, 2]"},
                      {"actual_seq_kvlen", "[13, 18]"}}},
  };
  return kExamples;
}

}  // namespace tamis::nsa_selected_attention_infer
