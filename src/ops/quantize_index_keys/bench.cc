// Named example calls.
#include "ops/quantize_index_keys/problem.h"

namespace tamis::quantize_index_keys {

const std::vector<base::Example>& Room::examples() {
  static const std::vector<base::Example> kExamples = {
      {.name = "cache-128k",
       .doc = "131072 keys of 128 dims, in pages of 128",
       .tensors = {{"key", {1024, 128, 1, 128}}},
       .attributes = {{"layout_key", "\"PA_BSND\""}},
       .timed = true},
      {.name = "small",
       .doc = "two sequences, odd dims",
       .tensors = {{"key", {2, 37, 1, 70}}},
       .attributes = {}},
  };
  return kExamples;
}

}  // namespace tamis::quantize_index_keys
