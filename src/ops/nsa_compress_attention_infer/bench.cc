// Named example calls.
#include "ops/nsa_compress_attention_infer/problem.h"

namespace tamis::nsa_compress_attention_infer {

const std::vector<base::Example>& Room::examples() {
  using base::Fill;
  static const std::vector<base::Example> kExamples = {
      {.name = "doc",
       .doc = "20 sequences of 4096 compressed keys, 64 query and 4 key heads, one token each",
       .tensors = {{"query", {20, 64, 192}},
                   {"key", {640, 128, 768}},
                   {"value", {640, 128, 512}},
                   {"block_table", {20, 32}, Fill::kPageTable}},
       .attributes = {{"scale_value", "0.07216878364870322"},
                      {"head_num", "64"},
                      {"key_value_head_num", "4"},
                      {"select_block_size", "64"},
                      {"select_block_count", "16"},
                      {"page_block_size", "128"},
                      {"compress_block_size", "32"},
                      {"compress_stride", "16"},
                      {"actual_cmp_seq_kvlen",
                       "[4096, 4096, 4096, 4096, 4096, 4096, 4096, 4096, 4096, 4096, 4096, 4096, "
                       "4096, 4096, 4096, 4096, 4096, 4096, 4096, 4096]"}},
       .timed = true},
      {.name = "mtp",
       .doc = "two tokens a step in BSND, one sequence with a single token, windows hidden from "
              "earlier tokens",
       .tensors = {{"query", {3, 2, 8, 65}},
                   {"key", {12, 16, 130}},
                   {"value", {12, 16, 36}},
                   {"block_table", {3, 4}, Fill::kPageTable},
                   {"atten_mask", {2, 62}, Fill::kZero}},
       .attributes = {{"scale_value", "0.125"},
                      {"head_num", "8"},
                      {"key_value_head_num", "2"},
                      {"select_block_size", "64"},
                      {"select_block_count", "5"},
                      {"page_block_size", "16"},
                      {"compress_block_size", "32"},
                      {"compress_stride", "16"},
                      {"layout", "\"BSND\""},
                      {"actual_seq_qlen", "[2, 1, 2]"},
                      {"actual_cmp_seq_kvlen", "[62, 3, 31]"},
                      {"actual_sel_seq_kvlen", "[1008, 70, 525]"}}},
  };
  return kExamples;
}

}  // namespace tamis::nsa_compress_attention_infer
