// Choices that look random and are the same everywhere.
#pragma once

#include <cstdint>
#include <vector>

namespace tamis::tools::demo {

/// The finaliser of splitmix64: every input bit reaches every output bit.
uint64_t Mix(uint64_t x);

/// A linear congruential generator.
class Random {
 public:
  explicit Random(uint64_t seed = 1) : state_(seed) {}
  /// 31 bits.
  uint64_t Next() {
    state_ = state_ * 6364136223846793005u + 1442695040888963407u;
    return state_ >> 33;
  }

 private:
  uint64_t state_;
};

/// Physical pages of `logical` logical ones, in shuffled order among `logical + spare`.
std::vector<int32_t> DealPages(int64_t logical, int64_t spare);

inline constexpr int64_t kLeftOut = 4;  ///< A query head leaves out one channel in this many.

/// [heads, channels]: which channels each query head listens to.
std::vector<bool> ChooseChannels(int64_t heads, int64_t channels);

}  // namespace tamis::tools::demo
