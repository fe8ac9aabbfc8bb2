// Levels: each is a set of features that kernels compiled for it may use.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>

#include "tamis/context.hpp"

namespace tamis::base {

enum class Feature : uint32_t {
  // Of the processor.
  kAvx2 = 1u << 0,  ///< AVX2, FMA, F16C, BMI2.
  kAvxVnni = 1u << 1,
  kAvx512 = 1u << 2,  ///< F, BW, DQ, VL, CD.
  kAvx512Vnni = 1u << 3,
  kAvx512Bf16 = 1u << 4,
  // Of our kernels.
  kInt16 = 1u << 8,         ///< Products of 16-bit integers where they may be.
  kFastIntegers = 1u << 9,  ///< Integers of 8 and 16 bits are multiplied faster than fp32.
  kBf16Pairs = 1u << 10,    ///< Products of pairs of bfloat16.
};

/// A set of features.
class Features {
 public:
  constexpr Features() = default;
  constexpr Features(Feature feature)  // NOLINT(google-explicit-constructor): a set of one
      : bits_(static_cast<uint32_t>(feature)) {}

  constexpr Features operator|(Features other) const { return Features(bits_ | other.bits_); }
  constexpr Features Without(Features other) const { return Features(bits_ & ~other.bits_); }
  constexpr bool Include(Features other) const { return (bits_ & other.bits_) == other.bits_; }

 private:
  explicit constexpr Features(uint32_t bits) : bits_(bits) {}
  uint32_t bits_ = 0;
};
constexpr Features operator|(Feature a, Feature b) { return Features(a) | Features(b); }

struct LevelTraits {
  Level level;
  std::string_view name;
  Features features;
  int lanes;  ///< fp32 numbers in a vector.
};

/// All but `auto`. Of two that a processor has, the later one is the better one.
std::span<const LevelTraits> Levels();
const LevelTraits& TraitsOf(Level level);

inline bool Has(Level level, Feature feature) { return TraitsOf(level).features.Include(feature); }
inline int LanesOf(Level level) { return TraitsOf(level).lanes; }

}  // namespace tamis::base
