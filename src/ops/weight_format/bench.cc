// Named example calls.
#include "ops/weight_format/problem.h"

namespace tamis::weight_format {

const std::vector<base::Example>& Steps::examples() {
  static const std::vector<base::Example> kExamples = {
      {.name = "w_uq_qr",
       .doc = "the largest weight of mla_prolog, 1536 x 24576",
       .tensors = {{"weight", {1536, 24576}}},
       .attributes = {},
       .timed = true},
      {.name = "small", .doc = "48 x 32", .tensors = {{"weight", {48, 32}}}, .attributes = {}},
  };
  return kExamples;
}

}  // namespace tamis::weight_format
