// Named example calls.
#include "ops/sliding_window_attention/problem.h"

namespace tamis::sliding_window_attention {

const std::vector<base::Example>& Room::examples() {
  using base::Fill;
  static const std::vector<base::Example> kExamples = {
      {.name = "prefill",
       .doc = "2048 tokens of 64 heads over 4 kv heads, windows of 512 keys",
       .tensors = {{"query", {2048, 64, 192}},
                   {"key", {2048, 4, 192}},
                   {"value", {2048, 4, 128}},
                   {"actual_seq_lengths_query", {1}, Fill::kValues, {2048}},
                   {"actual_seq_lengths_kv", {1}, Fill::kValues, {2048}}},
       .attributes = {{"scale_value", "0.07216878364870322"},
                      {"window_size", "512"},
                      {"layout_query", "\"TND\""},
                      {"layout_kv", "\"TND\""}},
       .timed = true},
      {.name = "decode",
       .doc = "one token of each of 16 sequences of 8192 paged keys, windows of 512",
       .tensors = {{"query", {16, 1, 64, 192}},
                   {"key", {1024, 128, 4, 192}},
                   {"value", {1024, 128, 4, 128}},
                   {"block_table", {16, 64}, Fill::kPageTable},
                   {"actual_seq_lengths_kv", {1}, Fill::kValues, {8192}}},
       .attributes = {{"scale_value", "0.07216878364870322"},
                      {"window_size", "512"},
                      {"layout_kv", "\"PA_BSND\""}},
       .timed = true},
      {.name = "small",
       .doc = "two padded sequences, odd dims, windows of 7 keys",
       .tensors = {{"query", {2, 5, 6, 20}},
                   {"key", {2, 30, 2, 20}},
                   {"value", {2, 30, 2, 12}},
                   {"actual_seq_lengths_query", {2}, Fill::kValues, {5, 3}},
                   {"actual_seq_lengths_kv", {2}, Fill::kValues, {30, 2}}},
       .attributes = {{"scale_value", "0.22"}, {"window_size", "7"}}},
  };
  return kExamples;
}

}  // namespace tamis::sliding_window_attention
