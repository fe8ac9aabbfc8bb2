// Named example calls.
#include "ops/nsa_compress_attention/problem.h"

namespace tamis::nsa_compress_attention {
namespace {

// The sizes of document 002, and what else a call says.
std::vector<base::ExampleAttribute> AtDocumentSizes(
    std::vector<base::ExampleAttribute> attributes) {
  for (const base::ExampleAttribute& size :
       std::vector<base::ExampleAttribute>{{"scale_value", "0.07216878364870322"},
                                           {"head_num", "64"},
                                           {"compress_block_size", "32"},
                                           {"compress_stride", "16"},
                                           {"select_block_size", "64"},
                                           {"select_block_count", "16"}}) {
    attributes.push_back(size);
  }
  return attributes;
}

// Prefix sums of 20 equal lengths.
std::string Prefix(int64_t length) {
  std::string text = "[";
  for (int64_t b = 1; b <= 20; ++b) text += (b > 1 ? ", " : "") + std::to_string(b * length);
  return text + "]";
}

}  // namespace

const std::vector<base::Example>& Room::examples() {
  using base::Fill;
  static const std::vector<base::Example> kExamples = {
      {.name = "doc",
       .doc = "the call of document 002: 65536 queries of 64 heads, 4096 compressed keys of 4, no "
              "mask",
       .tensors = {{"query", {65536, 64, 192}}, {"key", {4096, 4, 192}}, {"value", {4096, 4, 128}}},
       .attributes = AtDocumentSizes({{"actual_seq_qlen", "[65536]"},
                                      {"actual_cmp_seq_kvlen", "[4096]"},
                                      {"actual_sel_seq_kvlen", "[1024]"}}),
       .timed = true},
      {.name = "causal-8k",
       .doc = "8192 tokens over their own 511 windows, causal, first and local blocks forced",
       .tensors = {{"query", {8192, 64, 192}},
                   {"key", {511, 4, 192}},
                   {"value", {511, 4, 128}},
                   {"atten_mask", {8192, 511}, Fill::kCausalMask},
                   {"topk_mask", {8192, 128}, Fill::kLocalBlocks}},
       .attributes = AtDocumentSizes({{"actual_seq_qlen", "[8192]"},
                                      {"actual_cmp_seq_kvlen", "[511]"},
                                      {"actual_sel_seq_kvlen", "[128]"},
                                      {"masked_rows", "\"zero\""}}),
       .timed = true},
      {.name = "million",
       .doc = "a million tokens in 20 sequences, 4 heads of 64 with keys of their own",
       .tensors = {{"query", {1000000, 4, 64}}, {"key", {62480, 4, 64}}, {"value", {62480, 4, 64}}},
       .attributes = {{"scale_value", "0.125"},
                      {"head_num", "4"},
                      {"compress_block_size", "32"},
                      {"compress_stride", "16"},
                      {"select_block_size", "64"},
                      {"select_block_count", "16"},
                      {"actual_seq_qlen", Prefix(50000)},
                      {"actual_cmp_seq_kvlen", Prefix(3124)}}},
      {.name = "ragged",
       .doc = "three sequences, one of them without keys, odd dims, group 3",
       .tensors = {{"query", {343, 6, 65}},
                   {"key", {18, 2, 65}},
                   {"value", {18, 2, 18}},
                   {"atten_mask", {213, 12}, Fill::kCausalMask},
                   {"topk_mask", {213, 3}, Fill::kLocalBlocks}},
       .attributes = {{"scale_value", "0.125"},
                      {"head_num", "6"},
                      {"compress_block_size", "32"},
                      {"compress_stride", "16"},
                      {"select_block_size", "64"},
                      {"select_block_count", "4"},
                      {"actual_seq_qlen", "[123, 130, 343]"},
                      {"actual_cmp_seq_kvlen", "[6, 6, 18]"}}},
  };
  return kExamples;
}

}  // namespace tamis::nsa_compress_attention
