// Calibration, one level.
#include "bench/calibrate_kernel.h"
#include "simd/simd.h"

namespace tamis::TAMIS_LEVEL {
namespace {

namespace calibrate {

// Latency 4 on 2 ports asks for 8 accumulators; more hide what is left. 16 registers (AVX2, SSE)
// hold 12 and the two operands, 32 (AVX-512) hold 24.
constexpr int kAccumulators = kLanes == 16 ? 24 : 12;
constexpr int kStreams = 8;

TAMIS_INLINE float SumOf(const V* vectors, int count) {
  V sum = vectors[0];
  for (int i = 1; i < count; ++i) sum = Add(sum, vectors[i]);
  float lanes[kLanes];
  Store(lanes, sum);
  float total = 0;
  for (int i = 0; i < kLanes; ++i) total += lanes[i];
  return total;
}

}  // namespace calibrate
}  // namespace

void CalibrateFma(const void* args, int64_t item, void*, void*) {
  using namespace calibrate;
  const auto& a = *static_cast<const tamis::bench::FmaArgs*>(args);
  const V factor = Set(a.factor);
  const V addend = Set(a.addend);
  V sum[kAccumulators];
  // Unrolled by force: g++ 12 keeps an array in registers only if every index is a constant.
#pragma GCC unroll 24
  for (int i = 0; i < kAccumulators; ++i) sum[i] = Set(static_cast<float>(i));
  for (int64_t n = 0; n < a.iterations; ++n) {
#pragma GCC unroll 24
    for (int i = 0; i < kAccumulators; ++i) sum[i] = Fma(sum[i], factor, addend);
  }
  a.sums[item] = SumOf(sum, kAccumulators);
  a.flops_done[item] = a.iterations * kAccumulators * kLanes * 2;
}

void CalibrateRead(const void* args, int64_t item, void*, void*) {
  using namespace calibrate;
  const auto& a = *static_cast<const tamis::bench::ReadArgs*>(args);
  const int64_t begin = item * a.floats_per_item;
  const int64_t end = begin + a.floats_per_item < a.floats ? begin + a.floats_per_item : a.floats;
  V sum[kStreams];
#pragma GCC unroll 8
  for (int i = 0; i < kStreams; ++i) sum[i] = Zero();
  for (int64_t at = begin; at + kStreams * kLanes <= end; at += kStreams * kLanes) {
#pragma GCC unroll 8
    for (int i = 0; i < kStreams; ++i) sum[i] = Add(sum[i], Load(a.data + at + i * kLanes));
  }
  a.sums[item] = SumOf(sum, kStreams);
}

}  // namespace tamis::TAMIS_LEVEL
