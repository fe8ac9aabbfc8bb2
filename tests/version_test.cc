#include <gtest/gtest.h>

#include "tamis/tamis.hpp"

TEST(Version, HasThreeNumbers) {
  int major = -1, minor = -1, patch = -1;
  EXPECT_EQ(std::sscanf(tamis::version(), "%d.%d.%d", &major, &minor, &patch), 3);
}
