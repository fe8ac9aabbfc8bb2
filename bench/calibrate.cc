#include "bench/calibrate.h"

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <numeric>

#include "bench/calibrate_kernel.h"
#include "bench/calibrate_units.h"
#include "parallel/parallel.h"
#include "prim/call/work.h"

namespace tamis::bench {
namespace {

constexpr int64_t kReadFloats = int64_t{512} << 18;  // 512 MiB
constexpr int64_t kFloatsPerItem = 1 << 20;          // 4 MiB
constexpr int64_t kReadItems = kReadFloats / kFloatsPerItem;
// About 1 ms an item at the peak of current processors, so that threads end together.
constexpr int64_t kFmaIterations = 200'000;
constexpr int64_t kFmaItemsPerThread = 16;

using Clock = std::chrono::steady_clock;

double SecondsSince(Clock::time_point begin) {
  return std::chrono::duration<double>(Clock::now() - begin).count();
}

}  // namespace

Result<Calibration> Calibration::Make(int32_t threads) {
  Calibration calibration;
  auto* data =
      static_cast<float*>(std::aligned_alloc(64, static_cast<size_t>(kReadFloats) * sizeof(float)));
  if (data == nullptr) return Status(StatusCode::kNoMemory, "calibration: cannot allocate 512 MiB");
  calibration.data_ = std::shared_ptr<float>(data, std::free);
  parallel::ForEach({}, threads, kReadItems, [&](int64_t item, int32_t) {
    std::fill_n(data + item * kFloatsPerItem, kFloatsPerItem, 1.0f);
  });
  return calibration;
}

Peaks Calibration::Measure(Level level, int32_t threads) {
  static constexpr prim::KernelTable kFma = {prim::kCalibrateFmaUnits};
  static constexpr prim::KernelTable kRead = {prim::kCalibrateReadUnits};
  const int64_t fma_items = kFmaItemsPerThread * threads;
  sums_.resize(static_cast<size_t>(std::max(fma_items, kReadItems)));
  flops_.assign(static_cast<size_t>(fma_items), 0);

  const FmaArgs fma = {.iterations = kFmaIterations,
                       .factor = 0.999f,
                       .addend = 0.001f,
                       .sums = sums_.data(),
                       .flops_done = flops_.data()};
  prim::CpuKernel* kernel = kFma.at(level);
  Clock::time_point begin = Clock::now();
  parallel::ForEach({}, threads, fma_items,
                    [&](int64_t item, int32_t) { kernel(&fma, item, nullptr, nullptr); });
  const double fma_seconds = SecondsSince(begin);

  const ReadArgs read = {.data = data_.get(),
                         .floats = kReadFloats,
                         .floats_per_item = kFloatsPerItem,
                         .sums = sums_.data()};
  kernel = kRead.at(level);
  begin = Clock::now();
  parallel::ForEach({}, threads, kReadItems,
                    [&](int64_t item, int32_t) { kernel(&read, item, nullptr, nullptr); });
  const double read_seconds = SecondsSince(begin);

  const double flops =
      static_cast<double>(std::accumulate(flops_.begin(), flops_.end(), int64_t{0}));
  return {flops / fma_seconds * 1e-9,
          static_cast<double>(kReadFloats) * sizeof(float) / read_seconds * 1e-9};
}

}  // namespace tamis::bench
