// Importance, and the blocks that are selected by it.
#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <numeric>
#include <string>

#include "base/golden.h"
#include "ops/nsa_compress_attention/test_calls.h"
#include "prim/attention/block_importance.h"

namespace tamis::test::compressed {
namespace {

// A row of probabilities proportional to 1, 2, ..., 9: keys whose only element is ln(1 + i) against
// a query of 1.
TestCall Ramp(int64_t block, int64_t stride, int64_t select, int64_t count) {
  TestCall call("nsa_compress_attention");
  call.Tensor("query", DType::kFloat16, {1, 1, 16}, [](int64_t) { return 1.0; })
      // ln(1 + i) as a sum of 16 fp16 numbers, each the rounding of what is left: exact to far
      // below fp32.
      .Tensor("key", DType::kFloat16, {9, 1, 16},
              [](int64_t i) {
                double rest = std::log(1.0 + static_cast<double>(i / 16));
                for (int64_t c = 0; c < i % 16; ++c)
                  rest -= base::Float16ToFloat(base::DoubleToFloat16(rest));
                return rest;
              })
      .Tensor("value", DType::kFloat16, {9, 1, 1}, [](int64_t) { return 1.0; })
      .Set("scale_value", 1.0)
      .Set("head_num", 1)
      .Set("compress_block_size", block)
      .Set("compress_stride", stride)
      .Set("select_block_size", select)
      .Set("select_block_count", count)
      .Set("actual_seq_qlen", std::vector<int64_t>{1})
      .Set("actual_cmp_seq_kvlen", std::vector<int64_t>{9});
  return call;
}

std::vector<double> ScoresOf(TestCall& call) {
  const Result<registry::Call> made = call.Inputs();
  base::Golden golden;
  golden.rows = {0};
  EXPECT_TRUE(made->op().reference(made->params(), 1, &golden).ok());
  std::vector<double> scores = golden.outputs[1].scores[0];
  for (double& score : scores) score *= 45;  // 1 + ... + 9
  return scores;
}

TEST(NsaCompressAttention, ImportanceOfTheRampIsAsWorkedByHand) {
  struct Case {
    int64_t block, select;
    std::vector<double> cann, exact;
  };
  const std::vector<Case> cases = {
      {32, 64, {24, 56, 9}, {16, 48, 26}},
      {64, 64, {33, 96, 50}, {20, 80, 80}},
      {16, 64, {14, 30, 0}, {10, 26, 9}},
      {32, 32, {8, 16, 24, 32, 9}, {4, 12, 20, 28, 26}},
      {16, 16, {2, 3, 4, 5, 6, 7, 8, 9, 0}, {1, 2, 3, 4, 5, 6, 7, 8, 9}},
  };
  for (const Case& c : cases) {
    TestCall call = Ramp(c.block, 16, c.select, 2);
    for (const auto& [kind, want] :
         {std::pair{"cann", c.cann}, std::pair{"exact_overlap", c.exact}}) {
      call.Set("importance", kind);
      const std::vector<double> got = ScoresOf(call);
      ASSERT_EQ(got.size(), want.size());
      for (size_t j = 0; j < want.size(); ++j)
        EXPECT_NEAR(got[j], want[j], 1e-5) << kind << " block " << j;
      ExpectConforms(call);
    }
  }
}

TEST(NsaCompressAttention, BandEqualsTheDoubleSum) {
  for (int64_t m = 1; m <= 8; ++m) {
    for (int64_t q = 1; q <= 8; ++q) {
      const prim::BlockGeometry g = {m, q, 0};
      std::vector<int64_t> pairs(static_cast<size_t>(m + q + 1), 0);
      for (int64_t i = 0; i < m; ++i) {
        for (int64_t j = 0; j < q; ++j) ++pairs[static_cast<size_t>(i + j)];
      }
      for (int64_t i = 0; i <= m + q; ++i)
        EXPECT_EQ(g.Coefficient(i), pairs[static_cast<size_t>(i)]);
    }
  }
}

// For l = d every token counts once, except token 0, which no block hears.
TEST(NsaCompressAttention, MassOfNonOverlappingWindowsIsConserved) {
  Shape s;
  s.block = 16;
  s.select = 64;
  TestCall call = Attention(s, 12);
  const Result<registry::Call> made = call.Inputs();
  base::Golden golden;
  golden.rows = {0, 4, 8};
  ASSERT_TRUE(made->op().reference(made->params(), 1, &golden).ok());
  call.Set("scale_value", 0.25).Set("select_block_size", 16).Set("select_block_count", 1);
  base::Golden single;
  single.rows = golden.rows;
  const Result<registry::Call> fine = call.Inputs();
  ASSERT_TRUE(fine->op().reference(fine->params(), 1, &single).ok());
  for (size_t list = 0; list < golden.outputs[1].scores.size(); ++list) {
    const auto& coarse = golden.outputs[1].scores[list];
    const auto& tokens = single.outputs[1].scores[list];  // block j hears token j + 1 alone
    EXPECT_NEAR(std::accumulate(coarse.begin(), coarse.end(), 0.0),
                std::accumulate(tokens.begin(), tokens.end(), 0.0), 1e-12);
    EXPECT_LT(std::accumulate(coarse.begin(), coarse.end(), 0.0), 3.0);
  }
}

// With 64 / 16 / 64 block 0's band is cut too, so the order of a uniform row begins at block 1.
TEST(NsaCompressAttention, UniformRowsOrderBlocksByTheirBand) {
  Shape s;
  s.queries = {1};
  s.keys = {16};
  s.block = 64;
  s.count = 4;
  TestCall call = Attention(s, 14);
  call.Tensor("atten_mask", DType::kBool, {1, 16}, [](int64_t) { return 1.0; });
  ASSERT_TRUE(call.Run({}).ok());
  const std::vector<int64_t> got = call.GotInts("topk_indices");
  EXPECT_EQ(std::vector<int64_t>(got.begin(), got.begin() + 4), (std::vector<int64_t>{1, 2, 3, 0}));
}

TEST(NsaCompressAttention, OwnBlockIsOnlyAZeroScoreFiller) {
  // Causal, n = 27, J = 7, t = 200: blocks 0 to 2 score, the rest follow in order.
  Shape s;
  s.queries = {201};
  s.keys = {27};
  s.count = 7;
  s.kv_heads = 1;
  TestCall call = Attention(s, 15);
  AddCausalMask(call, s);
  ASSERT_TRUE(call.Run({}).ok());
  std::vector<int64_t> got;
  for (int64_t i = 0; i < 7; ++i)
    got.push_back(static_cast<int64_t>(call.Got("topk_indices", 200 * 7 + i)));
  EXPECT_EQ(std::vector<int64_t>(got.begin() + 3, got.end()), (std::vector<int64_t>{3, 4, 5, 6}));
  std::sort(got.begin(), got.begin() + 3);
  EXPECT_EQ(std::vector<int64_t>(got.begin(), got.begin() + 3), (std::vector<int64_t>{0, 1, 2}));
}

TEST(NsaCompressAttention, ForcedBlocksComeFirstInOrderOfIndex) {
  Shape s;
  s.queries = {2};
  s.keys = {40};
  s.count = 3;
  TestCall call = Attention(s, 16);
  // Row 0 forces blocks 7 and 4; row 1 forces five, of which the three lowest win.
  call.Tensor("topk_mask", DType::kBool, {2, 10}, [](int64_t i) {
    return i == 7 || i == 4 || i == 11 || i == 13 || i == 15 || i == 17 || i == 19 ? 1.0 : 0.0;
  });
  ASSERT_TRUE(call.Run({}).ok());
  for (int64_t head = 0; head < 2; ++head) {
    EXPECT_EQ(call.Got("topk_indices", head * 3), 4.0);
    EXPECT_EQ(call.Got("topk_indices", head * 3 + 1), 7.0);
    for (int64_t i = 0; i < 3; ++i)
      EXPECT_EQ(call.Got("topk_indices", 6 + head * 3 + i), static_cast<double>(1 + 2 * i));
  }
  ExpectConforms(call);
}

TEST(NsaCompressAttention, SelectionIsDistinctInRangeAndFilledWithMinusOne) {
  Shape s;
  s.count = 9;  // of 6
  TestCall call = Attention(s, 18);
  ASSERT_TRUE(call.Run({}).ok());
  for (int64_t list = 0; list < 18; ++list) {
    std::vector<int64_t> row;
    for (int64_t i = 0; i < 9; ++i)
      row.push_back(static_cast<int64_t>(call.Got("topk_indices", list * 9 + i)));
    EXPECT_EQ(std::vector<int64_t>(row.begin() + 6, row.end()), (std::vector<int64_t>{-1, -1, -1}));
    std::sort(row.begin(), row.begin() + 6);
    for (int64_t i = 0; i < 6; ++i) EXPECT_EQ(row[static_cast<size_t>(i)], i);
  }
}

// --- causal selection

TEST(NsaCompressAttention, CausalSelectionAgreesOverRandomShapesAndLengths) {
  Random random(46);
  for (int i = 0; i < 36; ++i) {
    Shape s;
    constexpr std::array kDTypes = {DType::kBFloat16, DType::kFloat16, DType::kFloat32};
    s.dtype = kDTypes[static_cast<size_t>(i % 3)];
    s.kv_heads = random.Between(1, 3);
    s.group = random.Between(1, 9);
    s.stride = random.Between(1, 16);
    s.block = random.Between(s.stride, 4 * s.stride);
    s.select = s.stride * random.Between(1, 6);
    s.count = random.Between(0, 8);
    s.queries = {random.Between(0, 12), random.Between(1, 90)};
    s.keys = {random.Between(0, 150), random.Between(0, 9)};
    TestCall call = Attention(s, random.Next());
    HideByPosition(call, s, &random);
    call.Set("selection", "causal");
    if (random.Below(3) == 0)
      AddRandomMask(call, "atten_mask", s.max_q(), s.max_n(), 0.5, random.Next());
    if (random.Below(3) == 0) AddLimits(call, s, &random);
    if (random.Below(3) == 0) AddGlobals(call, s, &random);
    call.Set("importance", random.Below(2) == 0 ? "cann" : "exact_overlap");
    call.Set("masked_rows", random.Below(2) == 0 ? "uniform" : "zero");
    call.Set("return_block_scores", random.Below(2) == 0);
    SCOPED_TRACE("case " + std::to_string(i));
    ExpectConforms(call);
  }
}

// 32/16/64: the first 31 tokens see no window, token 300 lies in block 4.
TEST(NsaCompressAttention, CausalCandidatesHoldATokenThatTheQuerySees) {
  Shape s;
  s.kv_heads = 1;
  s.count = 4;
  s.queries = {301};
  s.keys = {17};
  TestCall call = Attention(s, 47);
  call.Set("causal", true).Set("selection", "causal").Set("return_block_scores", true);
  for (const char* masked_rows : {"uniform", "zero"}) {
    call.Set("masked_rows", masked_rows);
    ExpectConforms(call);
    ASSERT_TRUE(call.Run({}).ok());
    ASSERT_EQ(call.OutputElems("block_scores"), 301 * 5);
    const std::vector<int64_t> got = call.GotInts("topk_indices");
    const auto list = [&](int64_t token) {
      return std::vector<int64_t>(got.begin() + token * 4, got.begin() + token * 4 + 4);
    };
    EXPECT_EQ(list(0), (std::vector<int64_t>{0, -1, -1, -1}));
    EXPECT_EQ(list(63), (std::vector<int64_t>{0, -1, -1, -1}));
    EXPECT_EQ(list(64), (std::vector<int64_t>{0, 1, -1, -1}));
    EXPECT_EQ(list(191), (std::vector<int64_t>{0, 1, 2, -1}));
    EXPECT_EQ(list(192), (std::vector<int64_t>{0, 2, 3, 1}));
    const std::vector<int64_t> last = list(300);
    EXPECT_EQ(std::vector<int64_t>(last.begin(), last.begin() + 3),
              (std::vector<int64_t>{0, 3, 4}));
    EXPECT_EQ(last[3], call.Got("block_scores", 1501) >= call.Got("block_scores", 1502) ? 1 : 2);
    for (int64_t i = 0; i < 31 * 5; ++i) EXPECT_EQ(call.Got("block_scores", i), 0.0);
    EXPECT_GT(call.Got("block_scores", 31 * 5), 0.0);
    for (int64_t j = 1; j < 5; ++j) EXPECT_EQ(call.Got("block_scores", 63 * 5 + j), 0.0);
  }
}

// A text shorter than a window: the forced blocks, then the others in order.
TEST(NsaCompressAttention, CausalSelectionNeedsNoKeys) {
  Shape s;
  s.kv_heads = 1;
  s.count = 7;
  s.block = 90;
  s.select = 16;
  s.queries = {2};
  s.keys = {0};
  TestCall call = Attention(s, 48);
  call.Set("causal", true)
      .Set("selection", "causal")
      .Set("actual_raw_seq_kvlen", std::vector<int64_t>{81})
      .Set("return_block_scores", true);
  ExpectConforms(call);
  ASSERT_TRUE(call.Run({}).ok());
  EXPECT_EQ(call.GotInts("topk_indices"),
            (std::vector<int64_t>{0, 3, 4, 1, 2, -1, -1, 0, 4, 5, 1, 2, 3, -1}));
  for (int64_t i = 0; i < call.OutputElems("block_scores"); ++i)
    EXPECT_EQ(call.Got("block_scores", i), 0.0);
  for (int64_t i = 0; i < call.OutputElems("attention_out"); ++i)
    EXPECT_EQ(call.Got("attention_out", i), 0.0);
}

TEST(NsaCompressAttention, CausalSelectionWantsCausalityAndForcesItsOwn) {
  Shape s;
  TestCall call = Attention(s, 49);
  call.Set("causal", true).Set("selection", "causal");
  ExpectRefusedAfter(call, With("causal", false), "selection");
  ExpectRefusedAfter(call, Filled("topk_mask", DType::kBool, {9, 6}), "topk_mask");
  ExpectRefusedAfter(call, With("selection", std::string("future")), "selection");
  call.Set("select_block_size", 16).Set("compress_block_size", 16);
  const auto raw = [](int64_t tokens) {
    return With("actual_raw_seq_kvlen", std::vector<int64_t>{tokens});
  };
  ExpectRefusedAfter(call, raw((int64_t{1} << 28) + 1), "actual_raw_seq_kvlen");  // 2^24 + 1 blocks
}

}  // namespace
}  // namespace tamis::test::compressed
