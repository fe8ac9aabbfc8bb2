// The machine's peaks at one level: fused multiply-adds from registers, and reads from memory.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "tamis/context.hpp"
#include "tamis/status.hpp"

namespace tamis::bench {

struct Peaks {
  double gflops = 0;
  double read_gbytes_per_s = 0;
};

/// Holds the memory that is read: 512 MiB, more than any cache.
class Calibration {
 public:
  static Result<Calibration> Make(int32_t threads);

  /// Takes some 50 ms. Meant to be called in every round, beside what is measured: other work on
  /// the machine and its clock then touch both.
  Peaks Measure(Level level, int32_t threads);

 private:
  std::shared_ptr<float> data_;
  std::vector<float> sums_;
  std::vector<int64_t> flops_;
};

}  // namespace tamis::bench
