// The exponential of level scalar where no exponential is asked for: beside a NaN, scores may
// exceed what was taken for the largest.
#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "simd/scalar.h"

namespace tamis::scalar {
namespace {

TEST(ScalarExp, LargeNumbersStayWhatTheyAre) {
  for (const float x : {88.0f, 1e4f, 1e30f, std::numeric_limits<float>::infinity()})
    EXPECT_EQ(ExpNonPositive(x), x);
  EXPECT_TRUE(std::isnan(ExpNonPositive(std::numeric_limits<float>::quiet_NaN())));
}

TEST(ScalarExp, AgreesFromTheLowestOn) {
  for (float x = -86.0f; x <= 1.0f; x += 0.37f) {
    const double want = std::exp(static_cast<double>(x));
    EXPECT_NEAR(ExpNonPositive(x), want, want * 0x1p-22) << x;
  }
  EXPECT_EQ(ExpNonPositive(-std::numeric_limits<float>::infinity()), 0.0f);
}

}  // namespace
}  // namespace tamis::scalar
