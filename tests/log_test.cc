// The logarithm of kernels, at level scalar: the others have the same arithmetic, but for fused
// multiplications.
#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#define TAMIS_LEVEL scalar
#include "prim/blocks/log-inl.h"

namespace tamis::scalar {
namespace {

TEST(Log, IsWithinTwoUnits) {
  for (double x = 0x1p-120; x < 0x1p120; x *= 1.0037) {
    const auto at = static_cast<float>(x);
    const double want = std::log(static_cast<double>(at));
    EXPECT_NEAR(Log(at), want, std::fabs(want) * 0x1p-22 + 0x1p-24) << x;
  }
  EXPECT_EQ(Log(1.0f), 0.0f);
}

TEST(Log, NaNStaysOneAndInfinityHasNone) {
  EXPECT_TRUE(std::isnan(Log(std::numeric_limits<float>::quiet_NaN())));
  EXPECT_TRUE(std::isnan(Log(std::numeric_limits<float>::infinity())));
}

TEST(IfPositive, TakesTheSecondWhereTheFirstIsAboveZero) {
  const float nan = std::numeric_limits<float>::quiet_NaN();
  EXPECT_EQ(IfPositive(0x1p-149f, 3.0f), 3.0f);
  EXPECT_EQ(IfPositive(0.0f, nan), 0.0f);
  EXPECT_EQ(IfPositive(-1.0f, nan), 0.0f);
  EXPECT_EQ(IfPositive(nan, 3.0f), 0.0f);
}

}  // namespace
}  // namespace tamis::scalar
