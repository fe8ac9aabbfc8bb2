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

namespace tamis::nsa_compress_infer {
namespace {

std::string Json(const std::vector<int64_t>& values) {
  std::string text;
  for (const int64_t value : values) text += (text.empty() ? "[" : ", ") + std::to_string(value);
  return text + "]";
}

}  // namespace

const std::vector<base::Example>& Room::examples() {
  using base::Fill;
  // The last token of 20 sequences ends a window in each.
  static const std::vector<base::Example> kExamples = {
      {.name = "decode",
       .doc = "the window that a token ends in each of 20 sequences of 4096, pages of 128",
       .tensors = {{"input", {640, 128, 4, 192}},
                   {"weight", {32, 4}, Fill::kWindowWeight},
                   {"slot_mapping", {20}, Fill::kPageTable},
                   {"block_table", {20, 32}, Fill::kPageTable},
                   {"cache", {5100, 4, 192}}},
       .attributes = {{"act_seq_len", Json(std::vector<int64_t>(20, 4096))},
                      {"compress_block_size", "32"},
                      {"compress_stride", "16"},
                      {"page_block_size", "128"}},
       .timed = true},
      {.name = "prefill",
       .doc = "a text of 65536 tokens at once, pages of 128",
       .tensors = {{"input", {512, 128, 4, 192}},
                   {"weight", {32, 4}, Fill::kWindowWeight},
                   {"slot_mapping", {65536}, Fill::kPageTable},
                   {"block_table", {1, 512}, Fill::kPageTable},
                   {"cache", {65536, 4, 192}}},
       .attributes = {{"act_seq_len", "[65536]"},
                      {"compress_block_size", "32"},
                      {"compress_stride", "16"},
                      {"page_block_size", "128"},
                      {"actual_seq_qlen", "[65536]"}},
       .timed = true},
      {.name = "small",
       .doc = "three sequences, steps of several tokens, windows across pages of 5",
       .tensors = {{"input", {12, 5, 3, 20}},
                   {"weight", {8, 3}, Fill::kWindowWeight},
                   {"slot_mapping", {9}, Fill::kPageTable},
                   {"block_table", {3, 4}, Fill::kPageTable},
                   {"cache", {12, 3, 20}}},
       .attributes = {{"act_seq_len", "[18, 7, 11]"},
                      {"compress_block_size", "8"},
                      {"compress_stride", "3"},
                      {"page_block_size", "5"},
                      {"actual_seq_qlen", "[6, 2, 1]"}}},
  };
  return kExamples;
}

}  // namespace tamis::nsa_compress_infer
