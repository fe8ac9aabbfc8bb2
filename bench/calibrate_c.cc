// libtamis_calibrate.so: the peaks, for the harness in Python.
#include <algorithm>
#include <cstdint>
#include <optional>
#include <utility>

#include "bench/calibrate.h"

/// `peaks`: GFLOP/s and GB/s of reads at the level, by `threads` threads. 0, or 1 without memory.
/// Levels above avx512 add instructions, not wider registers: their peak is that of its FMAs, as
/// avx2_vnni's is that of avx2's.
extern "C" __attribute__((visibility("default"))) int32_t tamis_calibrate(int32_t level,
                                                                          int32_t threads,
                                                                          double* peaks) {
  static std::optional<tamis::bench::Calibration> calibration;
  if (!calibration) {
    tamis::Result<tamis::bench::Calibration> made = tamis::bench::Calibration::Make(threads);
    if (!made.ok()) return 1;
    calibration = std::move(*made);
  }
  const auto capped =
      static_cast<tamis::Level>(std::min(level, static_cast<int32_t>(tamis::Level::kAvx512)));
  const tamis::bench::Peaks found = calibration->Measure(capped, threads);
  peaks[0] = found.gflops;
  peaks[1] = found.read_gbytes_per_s;
  return 0;
}
