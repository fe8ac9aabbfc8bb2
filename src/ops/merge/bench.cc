// Named example calls.
#include "ops/merge/problem.h"

namespace tamis {

const std::vector<base::Example>& merge_attention_states::Room::examples() {
  using base::Fill;
  static const std::vector<base::Example> kExamples = {
      {.name = "decode",
       .doc = "32 tokens of 128 heads of 512, 8 parts",
       .tensors = {{"outs", {8, 32, 128, 512}},
                   {"softmax_maxes", {8, 32, 128}},
                   {"softmax_sums", {8, 32, 128}, Fill::kWindowWeight}},
       .attributes = {},
       .timed = true},
      {.name = "small",
       .doc = "odd sizes, out in fp32",
       .tensors = {{"outs", {3, 4, 5, 21}},
                   {"softmax_maxes", {3, 4, 5}},
                   {"softmax_sums", {3, 4, 5}, Fill::kWindowWeight}},
       .attributes = {{"out_dtype", "\"float32\""}}},
  };
  return kExamples;
}

const std::vector<base::Example>& merge_topk::Room::examples() {
  using base::Fill;
  static const std::vector<base::Example> kExamples = {
      {.name = "decode",
       .doc = "32 tokens, the best 2048 of 8 lists of 2048",
       .tensors = {{"values", {8, 32, 2048}}, {"indices", {8, 32, 2048}, Fill::kPageTable}},
       .attributes = {{"sparse_count", "2048"}},
       .timed = true},
      {.name = "small",
       .doc = "more places than entries",
       .tensors = {{"values", {3, 4, 5}}, {"indices", {3, 4, 5}, Fill::kPageTable}},
       .attributes = {{"sparse_count", "20"}}},
  };
  return kExamples;
}

const std::vector<base::Example>& localize_indices::Room::examples() {
  using base::Fill;
  static const std::vector<base::Example> kExamples = {
      {.name = "decode",
       .doc = "32 tokens of 2048 positions, rank 3 of 8, 128 at a time",
       .tensors = {{"indices", {32, 2048}, Fill::kPageTable}},
       .attributes = {{"rank", "3"}, {"world", "8"}, {"interleave", "128"}},
       .timed = true},
      {.name = "small",
       .doc = "10 positions, rank 1 of 2",
       .tensors = {{"indices", {2, 5}, Fill::kPageTable}},
       .attributes = {{"rank", "1"}, {"world", "2"}}},
  };
  return kExamples;
}

const std::vector<base::Example>& globalize_indices::Room::examples() {
  using base::Fill;
  static const std::vector<base::Example> kExamples = {
      {.name = "decode",
       .doc = "32 tokens of 2048 places, rank 3 of 8, 128 at a time",
       .tensors = {{"indices", {32, 2048}, Fill::kPageTable}},
       .attributes = {{"rank", "3"}, {"world", "8"}, {"interleave", "128"}},
       .timed = true},
      {.name = "small",
       .doc = "10 places, ranks 1 and 2 of 3",
       .tensors = {{"indices", {2, 5}, Fill::kPageTable}},
       .attributes = {{"rank", "1"}, {"world", "3"}, {"ranks", "2"}}},
  };
  return kExamples;
}

}  // namespace tamis
