// Named example calls.
#include "ops/nsa_compress/problem.h"

namespace tamis::nsa_compress {

const std::vector<base::Example>& Room::examples() {
  using base::Fill;
  static const std::vector<base::Example> kExamples = {
      {.name = "doc",
       .doc = "65536 tokens, 4 heads of 192, windows of 32 every 16",
       .tensors = {{"input", {65536, 4, 192}}, {"weight", {32, 4}, Fill::kWindowWeight}},
       .attributes = {{"act_seq_len", "[65536]"},
                      {"compress_block_size", "32"},
                      {"compress_stride", "16"}},
       .timed = true},
      {.name = "million",
       .doc = "a million tokens in 20 sequences, 4 heads of 64",
       .tensors = {{"input", {1000000, 4, 64}}, {"weight", {32, 4}, Fill::kWindowWeight}},
       .attributes = {{"act_seq_len",
                       "[50000, 100000, 150000, 200000, 250000, 300000, 350000, 400000, 450000, "
                       "500000, 550000, 600000, "
                       "650000, 700000, 750000, 800000, 850000, 900000, 950000, 1000000]"},
                      {"compress_block_size", "32"},
                      {"compress_stride", "16"}},
       .timed = true},
      {.name = "ragged",
       .doc = "sequences shorter than a window, of exactly one, empty, and long",
       .tensors = {{"input", {163, 3, 40}}, {"weight", {32, 3}, Fill::kWindowWeight}},
       .attributes = {{"act_seq_len", "[31, 63, 63, 163]"},
                      {"compress_block_size", "32"},
                      {"compress_stride", "16"}}},
  };
  return kExamples;
}

}  // namespace tamis::nsa_compress
