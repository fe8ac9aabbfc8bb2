// Places among one holder's keys as positions of the sequence.
#include <gtest/gtest.h>

#include <algorithm>
#include <numeric>

#include "ops/merge/test_ranks.h"
#include "tests/support/conformance.h"
#include "tests/support/levels.h"

namespace tamis::test {
namespace {

struct Deal {
  int64_t rank, world, interleave, ranks;
};

TestCall Globalize(const std::vector<int64_t>& places, const Deal& deal) {
  TestCall call("globalize_indices");
  call.Tensor("indices", DType::kInt32, {1, static_cast<int64_t>(places.size())}, Elements(places))
      .Set("rank", deal.rank)
      .Set("world", deal.world)
      .Set("interleave", deal.interleave)
      .Set("ranks", deal.ranks);
  return call;
}

TEST(GlobalizeIndices, AgreesOverAnyInt32) {
  Random random(760);
  for (int i = 0; i < 60; ++i) {
    const int64_t tokens = random.Between(0, 4);
    const int64_t entries = random.Between(0, 50);
    const int64_t world = i % 10 == 0 ? INT64_MAX : random.Between(1, 9);
    const int64_t rank = random.Below(std::min<int64_t>(world, 9));
    const int64_t most = world - rank;
    const int64_t ranks = random.Between(1, std::min<int64_t>(most, 9));
    TestCall call("globalize_indices");
    call.Strided("indices", DType::kInt32, {tokens, entries}, random.Below(2) * 3,
                 [&](int64_t) {
                   switch (random.Below(20)) {
                     case 0: return -1.0;
                     case 1: return -2147483648.0;
                     case 2: return 2147483647.0;
                     case 3: return static_cast<double>(random.Between(0, INT32_MAX));
                     default: return static_cast<double>(random.Between(0, 1000));
                   }
                 })
        .Set("world", world)
        .Set("rank", rank)
        .Set("interleave", i % 7 == 0 ? INT64_MAX : random.Between(1, 20))
        .Set("ranks", i % 20 == 3 || i % 20 == 10 ? most : ranks)
        .OutputGap(random.Below(2) * 2);
    SCOPED_TRACE("case " + std::to_string(i));
    ExpectConforms(call);
  }
}

// Of every holder, place i is its i-th key, and localize_indices takes it back.
TEST(GlobalizeIndices, IsTheInverseOfLocalizeIndices) {
  for (int64_t world : {1, 2, 5, 8}) {
    for (int64_t interleave : {1, 3, 16, 1000}) {
      for (int64_t rank = 0; rank < world; ++rank) {
        for (int64_t ranks = 1; rank + ranks <= world; ++ranks) {
          const Deal deal = {rank, world, interleave, ranks};
          const std::vector<int64_t> held = HeldBy(rank, ranks, world, interleave, 2500);
          std::vector<int64_t> places(held.size());
          std::iota(places.begin(), places.end(), 0);
          for (Level level : TestedLevels()) {
            TestCall call = Globalize(places, deal);
            ASSERT_TRUE(call.Run({.level = level}).ok());
            ASSERT_EQ(call.GotInts("sparse_indices"), held)
                << rank << " + " << ranks << " of " << world << ", " << interleave;
          }
          TestCall back("localize_indices");
          back.Tensor("indices", DType::kInt32, {1, static_cast<int64_t>(held.size())},
                      Elements(held))
              .Set("rank", rank)
              .Set("world", world)
              .Set("interleave", interleave)
              .Set("ranks", ranks);
          ASSERT_TRUE(back.Run({}).ok());
          EXPECT_EQ(back.GotInts("sparse_indices"), places);
        }
      }
    }
  }
}

TEST(GlobalizeIndices, ANegativeEntryIsNoneAndEndsNothing) {
  TestCall call = Globalize({2, -5, 0, INT32_MIN, 1, -1}, {1, 2, 1, 1});
  ASSERT_TRUE(call.Run({}).ok());
  EXPECT_EQ(call.GotInts("sparse_indices"), (std::vector<int64_t>{5, -1, 1, -1, 3, -1}));
  ExpectConforms(call);
}

// The last position of int32 is given, the next one is not.
TEST(GlobalizeIndices, APositionPastInt32IsNone) {
  const auto expect = [](int64_t place, const Deal& deal, int64_t position) {
    TestCall call = Globalize({place}, deal);
    ASSERT_TRUE(call.Run({}).ok());
    EXPECT_EQ(call.GotInts("sparse_indices"), std::vector<int64_t>{position})
        << "place " << place << " of rank " << deal.rank << " of " << deal.world;
    ExpectConforms(call);
  };
  const int64_t most = INT32_MAX;
  expect(most, {0, 1, 1, 1}, most);
  expect(most / 2, {1, 2, 1, 1}, most);
  expect(most / 2 + 1, {0, 2, 1, 1}, -1);
  expect(most, {1, 2, 1, 1}, -1);
  expect(7, {1, 2, most - 7, 1}, most);
  expect(8, {1, 2, most - 7, 1}, -1);
  expect(0, {most, INT64_MAX, 1, 1}, most);
  expect(0, {most + 1, INT64_MAX, 1, 1}, -1);
  expect(1, {0, INT64_MAX, 1, 1}, -1);
}

// Nothing overflows: ranks, sizes and their products are far above what an int32 reaches.
TEST(GlobalizeIndices, HugeDealsGiveWhatTheirFormulaGives) {
  const auto expect = [](const Deal& deal, std::vector<int64_t> positions) {
    TestCall call = Globalize({0, 3, INT32_MAX}, deal);
    ASSERT_TRUE(call.Run({}).ok());
    EXPECT_EQ(call.GotInts("sparse_indices"), positions);
    ExpectConforms(call);
  };
  const std::vector<int64_t> same = {0, 3, INT32_MAX};
  expect({0, INT64_MAX, INT64_MAX, 1}, same);
  expect({0, INT64_MAX, INT64_MAX, INT64_MAX}, same);
  expect({0, INT64_MAX, 1, INT64_MAX}, same);
  expect({5, INT64_MAX, 1, INT64_MAX - 5}, {5, 8, -1});
  expect({INT64_MAX - 1, INT64_MAX, INT64_MAX, 1}, {-1, -1, -1});
  expect({0, int64_t{1} << 32, 1, 1}, {0, -1, -1});
  expect({0, INT64_MAX, int64_t{1} << 31, 1}, same);
}

TEST(GlobalizeIndices, RowsWithoutEntriesTakeNoTime) {
  TestCall call("globalize_indices");
  call.Tensor("indices", DType::kInt32, {int64_t{1} << 50, 0}, [](int64_t) { return 0.0; })
      .Set("rank", 0)
      .Set("world", 2);
  ASSERT_TRUE(call.Run({}).ok());
}

TEST(GlobalizeIndices, BadArgumentsAreRefusedByName) { ExpectBadDealsRefused("globalize_indices"); }

}  // namespace
}  // namespace tamis::test
