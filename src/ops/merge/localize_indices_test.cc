// A selection's positions as places among one holder's keys.
#include <gtest/gtest.h>

#include <algorithm>
#include <numeric>

#include "ops/merge/test_ranks.h"
#include "tests/support/conformance.h"
#include "tests/support/levels.h"

namespace tamis::test {
namespace {

TEST(LocalizeIndices, AgreesOverAnyInt32) {
  Random random(740);
  for (int i = 0; i < 60; ++i) {
    const int64_t tokens = random.Between(0, 4);
    const int64_t entries = random.Between(0, 50);
    const int64_t world = i % 10 == 0 ? INT64_MAX : random.Between(1, 9);
    const int64_t rank = random.Below(std::min<int64_t>(world, 9));
    const int64_t most = world - rank;
    const int64_t ranks = i % 4 < 2 ? 1 : random.Between(1, std::min<int64_t>(most, 9));
    TestCall call("localize_indices");
    call.Strided("indices", DType::kInt32, {tokens, entries}, random.Below(2) * 3,
                 [&](int64_t) {
                   switch (random.Below(20)) {
                     case 0: return -1.0;
                     case 1: return -2147483648.0;
                     case 2: return 2147483647.0;
                     default: return static_cast<double>(random.Between(0, 1000));
                   }
                 })
        .Set("world", world)
        .Set("rank", rank)
        .Set("interleave", i % 7 == 0 ? INT64_MAX : random.Between(1, 20))
        .Set("ranks", i % 20 == 3 ? most : ranks)
        .OutputGap(random.Below(2) * 2);
    SCOPED_TRACE("case " + std::to_string(i));
    ExpectConforms(call);
  }
}

TEST(LocalizeIndices, EveryPositionGoesToOneRankInOrder) {
  Random random(741);
  const int64_t entries = 200;
  for (int64_t world : {1, 2, 5, 8}) {
    for (int64_t interleave : {1, 3, 16}) {
      std::vector<int64_t> positions(entries);
      std::iota(positions.begin(), positions.end(), 0);
      random.Shuffle(&positions);
      std::vector<std::vector<int64_t>> ranks(static_cast<size_t>(world));
      for (int64_t p : positions) {
        ranks[static_cast<size_t>(OwnerOf(p, world, interleave))].push_back(
            LocalOf(p, world, interleave));
      }
      for (int64_t rank = 0; rank < world; ++rank) {
        TestCall call("localize_indices");
        call.Tensor("indices", DType::kInt32, {1, entries}, Elements(positions))
            .Set("world", world)
            .Set("rank", rank)
            .Set("interleave", interleave);
        for (Level level : TestedLevels()) {
          ASSERT_TRUE(call.Run({.level = level}).ok());
          std::vector<int64_t> expected = ranks[static_cast<size_t>(rank)];
          const auto count = static_cast<int64_t>(expected.size());
          EXPECT_EQ(call.Got("counts", 0), static_cast<double>(count));
          // A rank's positions are the first of its keys, each once.
          std::vector<int64_t> sorted = expected;
          std::sort(sorted.begin(), sorted.end());
          for (int64_t i = 0; i < count; ++i) EXPECT_EQ(sorted[static_cast<size_t>(i)], i);
          expected.resize(entries, -1);
          EXPECT_EQ(call.GotInts("sparse_indices"), expected);
        }
      }
    }
  }
}

// The holder of ranks rank to rank + ranks - 1 has their keys in the sequence's order.
TEST(LocalizeIndices, AHolderOfSeveralRanksHasTheirKeysInOrder) {
  Random random(742);
  const int64_t entries = 200;
  std::vector<int64_t> positions(entries);
  std::iota(positions.begin(), positions.end(), 0);
  random.Shuffle(&positions);
  for (int64_t world : {1, 2, 5, 8}) {
    for (int64_t interleave : {1, 3, 16, 1000}) {
      for (int64_t rank = 0; rank < world; ++rank) {
        for (int64_t ranks = 1; rank + ranks <= world; ++ranks) {
          const std::vector<int64_t> held = HeldBy(rank, ranks, world, interleave, entries);
          std::vector<int64_t> expected;
          for (int64_t p : positions) {
            const auto place = std::lower_bound(held.begin(), held.end(), p);
            if (place != held.end() && *place == p) expected.push_back(place - held.begin());
          }
          expected.resize(entries, -1);
          TestCall call("localize_indices");
          call.Tensor("indices", DType::kInt32, {1, entries}, Elements(positions))
              .Set("world", world)
              .Set("rank", rank)
              .Set("interleave", interleave)
              .Set("ranks", ranks);
          ASSERT_TRUE(call.Run({}).ok());
          EXPECT_EQ(call.Got("counts", 0), static_cast<double>(held.size()));
          EXPECT_EQ(call.GotInts("sparse_indices"), expected);
        }
      }
    }
  }
}

TEST(LocalizeIndices, TheHolderOfAllRanksHasEveryPositionWhereItIs) {
  const int64_t world = INT64_MAX;
  for (int64_t interleave : {int64_t{1}, int64_t{7}, INT64_MAX}) {
    TestCall call("localize_indices");
    call.Tensor("indices", DType::kInt32, {1, 4}, Elements({5, 0, INT32_MAX, 8}))
        .Set("world", world)
        .Set("rank", 0)
        .Set("interleave", interleave)
        .Set("ranks", world);
    ASSERT_TRUE(call.Run({}).ok());
    EXPECT_EQ(call.GotInts("sparse_indices"), (std::vector<int64_t>{5, 0, INT32_MAX, 8}));
    ExpectConforms(call);
  }
}

TEST(LocalizeIndices, ANegativeEntryEndsTheRow) {
  TestCall call("localize_indices");
  call.Tensor("indices", DType::kInt32, {1, 6}, Elements({4, 7, 2, -5, 6, 0}))
      .Set("world", 2)
      .Set("rank", 0);
  ASSERT_TRUE(call.Run({}).ok());
  EXPECT_EQ(call.GotInts("sparse_indices"), (std::vector<int64_t>{2, 1, -1, -1, -1, -1}));
  EXPECT_EQ(call.Got("counts", 0), 2.0);
  ExpectConforms(call);
}

TEST(LocalizeIndices, ARankThatOwnsNothingIsNormal) {
  TestCall call("localize_indices");
  call.Tensor("indices", DType::kInt32, {2, 3},
              [](int64_t i) { return static_cast<double>(2 * i); })
      .Set("world", 2)
      .Set("rank", 1)
      .Omit("counts");
  ASSERT_TRUE(call.Run({}).ok());
  EXPECT_EQ(call.GotInts("sparse_indices"), std::vector<int64_t>(6, -1));
  ExpectConforms(call);
}

TEST(LocalizeIndices, RowsOfWhichNothingIsWrittenTakeNoTime) {
  TestCall call("localize_indices");
  call.Tensor("indices", DType::kInt32, {int64_t{1} << 50, 0}, [](int64_t) { return 0.0; })
      .Set("rank", 0)
      .Set("world", 2)
      .Omit("counts");
  ASSERT_TRUE(call.Run({}).ok());
}

TEST(LocalizeIndices, BadArgumentsAreRefusedByName) { ExpectBadDealsRefused("localize_indices"); }

}  // namespace
}  // namespace tamis::test
