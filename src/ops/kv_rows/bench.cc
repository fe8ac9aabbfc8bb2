// Named example calls.
#include "ops/kv_rows/problem.h"

namespace tamis {

const std::vector<base::Example>& pack_kv_rows::Room::examples() {
  static const std::vector<base::Example> kExamples = {
      {.name = "prefill-16k",
       .doc = "16384 keys of 512 and 64 dims, int8",
       .tensors = {{"latent", {16384, 512}}, {"rope", {16384, 64}}},
       .attributes = {},
       .timed = true},
      {.name = "small",
       .doc = "odd sizes, fp8",
       .tensors = {{"latent", {5, 256}}, {"rope", {5, 7}}},
       .attributes = {{"kv_format", "\"flashmla656\""}}},
  };
  return kExamples;
}

const std::vector<base::Example>& unpack_kv_rows::Room::examples() {
  using base::Fill;
  static const std::vector<base::Example> kExamples = {
      {.name = "prefill-16k",
       .doc = "16384 keys of 512 and 64 dims, fp8, all 0",
       .tensors = {{"rows", {16384, 656}, Fill::kZero}},
       .attributes = {{"kv_format", "\"flashmla656\""}},
       .timed = true},
      {.name = "small",
       .doc = "odd sizes, int8, all 0",
       .tensors = {{"rows", {5, 278}, Fill::kZero}},
       .attributes = {{"rope_dim", "7"}}},
  };
  return kExamples;
}

}  // namespace tamis
