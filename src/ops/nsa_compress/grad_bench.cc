// Named example calls of the gradient.
#include "ops/nsa_compress/grad_problem.h"

namespace tamis::nsa_compress_grad {

const std::vector<base::Example>& Room::examples() {
  using base::Fill;
  static const std::vector<base::Example> kExamples = {
      {.name = "doc",
       .doc = "65536 tokens, 4 heads of 192, windows of 32 every 16",
       .tensors = {{"output_grad", {4095, 4, 192}},
                   {"input", {65536, 4, 192}},
                   {"weight", {32, 4}, Fill::kWindowWeight}},
       .attributes = {{"act_seq_len", "[65536]"},
                      {"compress_block_size", "32"},
                      {"compress_stride", "16"}},
       .timed = true},
      {.name = "ragged",
       .doc = "sequences shorter than a window, of exactly one, empty, and long",
       .tensors = {{"output_grad", {6, 3, 40}},
                   {"input", {163, 3, 40}},
                   {"weight", {32, 3}, Fill::kWindowWeight}},
       .attributes = {{"act_seq_len", "[31, 63, 63, 163]"},
                      {"compress_block_size", "32"},
                      {"compress_stride", "16"}}},
  };
  return kExamples;
}

}  // namespace tamis::nsa_compress_grad
