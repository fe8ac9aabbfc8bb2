// What the calibration kernels take. Included by files compiled for one level.
#pragma once

#include <stdint.h>

#include "prim/call/kernel.h"

namespace tamis::bench {

struct FmaArgs {
  int64_t iterations;
  float factor;
  float addend;
  float* sums;          // one per item, so that the work is not optimised away
  int64_t* flops_done;  // one per item
};

struct ReadArgs {
  const float* data;
  int64_t floats;
  int64_t floats_per_item;
  float* sums;  // one per item
};

}  // namespace tamis::bench
