// The selection of the best scores, which the operators share.
#include "prim/blocks/selector.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <numeric>

#include "tests/support/test_call.h"

namespace tamis::test {
namespace {

TEST(Selector, KeepsTheBestWhateverTheOrder) {
  Random random(63);
  for (int round = 0; round < 200; ++round) {
    const int64_t count = random.Between(0, 3000);
    const int64_t keep = random.Between(0, 300);
    std::vector<float> scores(static_cast<size_t>(count));
    for (float& x : scores) {
      x = random.Below(3) == 0 ? static_cast<float>(random.Between(-2, 2))
                               : static_cast<float>(random.Normal());
      if (random.Below(50) == 0) x = NAN;
      if (random.Below(50) == 0) x = -0.0f;
      // Everything in one bin but a few far outliers; everything equal.
      if (round % 4 == 1) x = random.Below(99) == 0 ? INFINITY : 1 + x * 1e-6f;
      if (round % 4 == 2) x = 3;
    }
    std::vector<int64_t> order(scores.size());
    std::iota(order.begin(), order.end(), 0);
    std::stable_sort(order.begin(), order.end(), [&](int64_t a, int64_t b) {
      const float x = scores[static_cast<size_t>(a)];
      const float y = scores[static_cast<size_t>(b)];
      if (std::isnan(x) || std::isnan(y)) return !std::isnan(x) && std::isnan(y);
      return x > y;
    });
    std::vector<uint64_t> ranks(static_cast<size_t>(prim::SelectorCapacity(keep)));
    prim::Selector selector = prim::MakeSelector(ranks.data(), keep);
    for (int64_t first = 0; first < count; first += 32) {
      prim::Offer(&selector, scores.data() + first, std::min<int64_t>(32, count - first), first);
    }
    const int64_t kept = prim::Finish(&selector);
    ASSERT_EQ(kept, std::min(keep, count));
    for (int64_t i = 0; i < kept; ++i) {
      ASSERT_EQ(prim::IndexOfRank(selector.ranks[i]), order[static_cast<size_t>(i)])
          << "round " << round;
    }
  }
}

}  // namespace
}  // namespace tamis::test
