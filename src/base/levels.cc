#include "base/levels.h"

namespace tamis::base {
namespace {

constexpr Features kIntegers = Feature::kInt16 | Feature::kFastIntegers;
constexpr Features kAvx512 = Feature::kAvx2 | Feature::kAvx512;
constexpr Features kAvx512Vnni = kAvx512 | Feature::kAvx512Vnni | kIntegers;

// `scalar` multiplies 16-bit integers, which is not fast, so that every processor tests it.
constexpr LevelTraits kLevels[] = {
    {Level::kScalar, "scalar", Feature::kInt16, 1},
    {Level::kAvx2, "avx2", Feature::kAvx2, 8},
    {Level::kAvx2Vnni, "avx2_vnni", Feature::kAvx2 | Feature::kAvxVnni | kIntegers, 8},
    {Level::kAvx512, "avx512", kAvx512, 16},
    {Level::kAvx512Vnni, "avx512_vnni", kAvx512Vnni, 16},
    {Level::kAvx512Bf16, "avx512_bf16", kAvx512Vnni | Feature::kAvx512Bf16 | Feature::kBf16Pairs,
     16},
};

}  // namespace

std::span<const LevelTraits> Levels() { return kLevels; }

const LevelTraits& TraitsOf(Level level) {
  for (const LevelTraits& traits : kLevels) {
    if (traits.level == level) return traits;
  }
  return kLevels[0];
}

}  // namespace tamis::base
