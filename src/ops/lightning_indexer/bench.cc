// Named example calls.
#include "ops/lightning_indexer/problem.h"

namespace tamis::lightning_indexer {

const std::vector<base::Example>& Room::examples() {
  using base::Fill;
  static const std::vector<base::Example> kExamples = {
      {.name = "decode-128k",
       .doc = "one token of 64 heads over 131072 paged keys, top 2048",
       .tensors = {{"query", {1, 1, 64, 128}},
                   {"key", {1024, 128, 1, 128}},
                   {"weights", {1, 1, 64}},
                   {"actual_seq_lengths_key", {1}, Fill::kValues, {131072}},
                   {"block_table", {1, 1024}, Fill::kPageTable}},
       .attributes = {{"layout_key", "\"PA_BSND\""}},
       .timed = true},
      {.name = "prefill-4k",
       .doc = "4096 tokens over themselves, causal, top 2048",
       .tensors = {{"query", {1, 4096, 64, 128}},
                   {"key", {1, 4096, 1, 128}},
                   {"weights", {1, 4096, 64}}},
       .attributes = {},
       .timed = true},
      {.name = "small",
       .doc = "two sequences, odd dims, values in fp32",
       .tensors = {{"query", {2, 5, 7, 40}}, {"key", {2, 90, 1, 40}}, {"weights", {2, 5, 7}}},
       .attributes = {{"sparse_count", "16"},
                      {"return_value", "true"},
                      {"value_dtype", "\"float32\""}}},
  };
  return kExamples;
}

}  // namespace tamis::lightning_indexer
