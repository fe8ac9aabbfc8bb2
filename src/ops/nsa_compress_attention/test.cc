#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

#include "base/cpu_features.h"
#include "prim/block_importance.h"
#include "tests/support/refusals.h"
#include "tests/support/sequences.h"

namespace tamis::test {
namespace {

struct Shape {
  DType dtype = DType::kBFloat16;
  int64_t kv_heads = 2;
  int64_t group = 3;
  int64_t qk_dim = 20;
  int64_t v_dim = 12;
  int64_t block = 32;
  int64_t stride = 16;
  int64_t select = 64;
  int64_t count = 4;
  std::vector<int64_t> queries = {9};
  std::vector<int64_t> keys = {23};
  int64_t gap = 0;
  double scale = 0.25;

  int64_t max_q() const { return *std::max_element(queries.begin(), queries.end()); }
  int64_t max_n() const { return *std::max_element(keys.begin(), keys.end()); }
  int64_t max_blocks() const { return (max_n() + select / stride - 1) / (select / stride); }
};

TestCall Attention(const Shape& s, uint64_t seed) {
  Random random(seed);
  const auto normal = [&](int64_t) { return random.Normal(); };
  const int64_t tokens = Prefix(s.queries).back();
  const int64_t keys = Prefix(s.keys).back();
  TestCall call("nsa_compress_attention");
  call.Strided("query", s.dtype, {tokens, s.kv_heads * s.group, s.qk_dim}, s.gap, normal)
      .Strided("key", s.dtype, {keys, s.kv_heads, s.qk_dim}, s.gap, normal)
      .Strided("value", s.dtype, {keys, s.kv_heads, s.v_dim}, s.gap, normal)
      .Set("scale_value", s.scale)
      .Set("head_num", s.kv_heads * s.group)
      .Set("compress_block_size", s.block)
      .Set("compress_stride", s.stride)
      .Set("select_block_size", s.select)
      .Set("select_block_count", s.count)
      .Set("actual_seq_qlen", Prefix(s.queries))
      .Set("actual_cmp_seq_kvlen", Prefix(s.keys))
      .OutputGap(s.gap);
  return call;
}

void AddRandomMask(TestCall& call, const char* name, int64_t rows, int64_t columns, double share,
                   uint64_t seed) {
  Random random(seed);
  call.Strided(name, DType::kUInt8, {rows, columns}, 5,
               [&](int64_t) { return random.Uniform() < share ? 1.0 : 0.0; });
}

void AddCausalMask(TestCall& call, const Shape& s) {
  const int64_t n = s.max_n();
  call.Tensor("atten_mask", DType::kBool, {s.max_q(), n},
              [=](int64_t i) { return i % n * s.stride + s.block - 1 > i / n ? 1.0 : 0.0; });
}

TEST(NsaCompressAttention, AgreesOverRandomShapesMasksAndPolicies) {
  Random random(21);
  for (int i = 0; i < 24; ++i) {
    Shape s;
    s.dtype = i % 2 == 0 ? DType::kBFloat16 : DType::kFloat16;
    s.kv_heads = random.Between(1, 3);
    s.group = random.Between(1, 9);
    s.qk_dim = random.Between(1, 70);
    s.v_dim = random.Between(1, 70);
    s.stride = random.Between(1, 16);
    s.block = s.stride * random.Between(1, 4);
    s.select = s.stride * random.Between(1, 6);
    s.count = random.Between(0, 8);
    s.gap = random.Between(0, 1) * 3;
    s.queries.clear();
    s.keys.clear();
    for (int64_t b = random.Between(1, 4); b > 0; --b) {
      s.queries.push_back(random.Between(0, 12));
      s.keys.push_back(random.Between(0, 150));
    }
    TestCall call = Attention(s, random.Next());
    if (random.Below(2) == 0)
      AddRandomMask(call, "atten_mask", s.max_q(), s.max_n(), 0.3, random.Next());
    if (random.Below(2) == 0)
      AddRandomMask(call, "topk_mask", s.max_q(), s.max_blocks(), 0.2, random.Next());
    call.Set("importance", std::string(random.Below(2) == 0 ? "cann" : "exact_overlap"));
    call.Set("masked_rows", std::string(random.Below(2) == 0 ? "uniform" : "zero"));
    SCOPED_TRACE("case " + std::to_string(i));
    ExpectConforms(call);
  }
}

TEST(NsaCompressAttention, AgreesForGroupsFrom1To64) {
  for (int64_t group : {1, 2, 4, 5, 7, 8, 15, 16, 17, 32, 33, 48, 64}) {
    Shape s;
    s.group = group;
    s.kv_heads = group > 16 ? 1 : 2;
    s.queries = {5, 37};
    s.keys = {70, 129};
    TestCall call = Attention(s, static_cast<uint64_t>(group));
    SCOPED_TRACE("group " + std::to_string(group));
    ExpectConforms(call);
  }
}

TEST(NsaCompressAttention, AgreesAtTheDocumentsDimsUnderACausalMask) {
  for (const char* policy : {"uniform", "zero"}) {
    Shape s;
    s.kv_heads = 2;
    s.group = 16;
    s.qk_dim = 192;
    s.v_dim = 128;
    s.queries = {150};
    s.keys = {8};
    s.scale = 1 / std::sqrt(192.0);
    TestCall call = Attention(s, 5);
    AddCausalMask(call, s);
    call.Set("masked_rows", std::string(policy));
    ExpectConforms(call);
  }
}

TEST(NsaCompressAttention, AgreesWithOddDims) {
  Shape s;
  s.qk_dim = 65;
  s.v_dim = 18;
  s.gap = 1;
  TestCall call = Attention(s, 6);
  ExpectConforms(call);
}

// 33000 keys of 32 rows outgrow the kept tile.
TEST(NsaCompressAttention, TwoPassesAgreeBeyondTheKeptTile) {
  Shape s;
  s.kv_heads = 1;
  s.group = 32;
  s.qk_dim = 4;
  s.v_dim = 3;
  s.queries = {2};
  s.keys = {33000};
  TestCall call = Attention(s, 8);
  Result<registry::Call> made = call.WithOutputs();
  ASSERT_TRUE(made.ok());
  EXPECT_NE(made->MakePlan({})->explanation().find("two passes"), std::string::npos);
  ExpectConforms(call);
}

TEST(NsaCompressAttention, SingleKeyGivesItsValue) {
  Shape s;
  s.keys = {1};
  s.queries = {3};
  s.count = 1;
  TestCall call = Attention(s, 9);
  for (Level level : {Level::kScalar, Level::kAuto}) {
    ASSERT_TRUE(call.Run({.level = level}).ok());
    for (int64_t t = 0; t < 3; ++t) {
      for (int64_t h = 0; h < 6; ++h) {
        EXPECT_EQ(call.Got("softmax_sum", t * 6 + h), 1.0);
        for (int64_t c = 0; c < s.v_dim; ++c) {
          const TensorView& value = call.view("value");
          EXPECT_EQ(call.Got("attention_out", (t * 6 + h) * s.v_dim + c),
                    base::LoadAsDouble(value.data, value.dtype, h / 3 * s.v_dim + c));
        }
      }
      EXPECT_EQ(call.Got("topk_indices", t * 2), 0.0);
    }
  }
}

TEST(NsaCompressAttention, EqualKeysGiveTheMean) {
  Shape s;
  s.keys = {64};
  TestCall call = Attention(s, 10);
  call.Tensor("key", s.dtype, {64, 2, 20},
              [](int64_t i) { return static_cast<double>(i % 20) / 8; })
      .Tensor("value", s.dtype, {64, 2, 12}, [](int64_t i) { return static_cast<double>(i / 24); });
  ASSERT_TRUE(call.Run({}).ok());
  for (int64_t i = 0; i < call.OutputElems("attention_out"); ++i)
    EXPECT_EQ(call.Got("attention_out", i), 31.5);
  for (int64_t i = 0; i < call.OutputElems("softmax_sum"); ++i)
    EXPECT_EQ(call.Got("softmax_sum", i), 64.0);
}

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
      .Set("head_num", int64_t{1})
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
      call.Set("importance", std::string(kind));
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
  call.Set("scale_value", 0.25)
      .Set("select_block_size", int64_t{16})
      .Set("select_block_count", int64_t{1});
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

TEST(NsaCompressAttention, FullyMaskedRowsAverageOrVanish) {
  Shape s;
  s.queries = {2};
  s.keys = {20};
  s.count = 5;
  TestCall call = Attention(s, 13);
  call.Tensor("atten_mask", DType::kBool, {2, 20}, [](int64_t i) { return i < 20 ? 1.0 : 0.0; })
      .Tensor("value", s.dtype, {20, 2, 12}, [](int64_t i) { return static_cast<double>(i / 24); });
  ASSERT_TRUE(call.Run({}).ok());
  const double lowest = -static_cast<double>(std::numeric_limits<float>::max());
  for (int64_t h = 0; h < 6; ++h) {
    EXPECT_EQ(call.Got("softmax_max", h), lowest);
    EXPECT_EQ(call.Got("softmax_sum", h), 20.0);
    EXPECT_EQ(call.Got("attention_out", h * 12), 9.5);
  }
  // All complete blocks tie, the last one is cut.
  for (int64_t j = 0; j < 5; ++j) EXPECT_EQ(call.Got("topk_indices", j), static_cast<double>(j));
  ExpectConforms(call);

  call.Set("masked_rows", std::string("zero"));
  ASSERT_TRUE(call.Run({}).ok());
  for (int64_t h = 0; h < 6; ++h) {
    EXPECT_EQ(call.Got("softmax_max", h), lowest);
    EXPECT_EQ(call.Got("softmax_sum", h), 0.0);
    EXPECT_EQ(call.Got("attention_out", h * 12), 0.0);
  }
  ExpectConforms(call);
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

TEST(NsaCompressAttention, CausalZeroRowsDoNotHearTheFuture) {
  Shape s;
  s.queries = {100};
  s.keys = {5};
  s.count = 2;
  const auto with_future = [&](double future) {
    TestCall call = Attention(s, 17);
    AddCausalMask(call, s);
    call.Set("masked_rows", std::string("zero"));
    call.Tensor("value", s.dtype, {5, 2, 12},
                [=](int64_t i) { return i / 24 < 2 ? 1.0 + static_cast<double>(i % 7) : future; });
    return call;
  };
  TestCall a = with_future(3.0);
  TestCall b = with_future(-8.0);
  ASSERT_TRUE(a.Run({}).ok());
  ASSERT_TRUE(b.Run({}).ok());
  // Window 2 ends at token 2 * 16 + 31 = 63: earlier tokens see windows 0 and 1 only.
  for (int64_t i = 0; i < 63 * 6 * 12; ++i)
    ASSERT_EQ(a.Got("attention_out", i), b.Got("attention_out", i)) << i;
  for (int64_t i = 0; i < 31 * 6 * 12; ++i) ASSERT_EQ(a.Got("attention_out", i), 0.0);
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
  call.Set("strict", true).Set("actual_sel_seq_kvlen", std::vector<int64_t>{6});
  ExpectRefused(call, StatusCode::kInvalidArgument, "select_block_count");
}

TEST(NsaCompressAttention, NoKeysGiveZeroMinusInfinityAndMinusOne) {
  Shape s;
  s.queries = {2, 3};
  s.keys = {0, 7};
  for (const char* policy : {"uniform", "zero"}) {
    TestCall call = Attention(s, 19);
    call.Set("masked_rows", std::string(policy));
    ASSERT_TRUE(call.Run({}).ok());
    for (int64_t h = 0; h < 12; ++h) {
      EXPECT_EQ(call.Got("softmax_max", h), -kInfinity);
      EXPECT_EQ(call.Got("softmax_sum", h), 0.0);
      for (int64_t c = 0; c < 12; ++c) EXPECT_EQ(call.Got("attention_out", h * 12 + c), 0.0);
    }
    for (int64_t i = 0; i < 2 * 2 * 4; ++i) EXPECT_EQ(call.Got("topk_indices", i), -1.0);
    ExpectConforms(call);
  }
  TestCall strict = Attention(s, 19);
  strict.Set("strict", true).Set("compress_block_size", int64_t{32});
  ExpectRefused(strict, StatusCode::kInvalidArgument, "actual_cmp_seq_kvlen");
}

TEST(NsaCompressAttention, OutputsNotAskedForChangeNothing) {
  Shape s;
  TestCall call = Attention(s, 20);
  const Result<Outputs> all = call.Run({});
  ASSERT_TRUE(all.ok());
  call.Omit("topk_indices").Omit("softmax_max").Omit("softmax_sum");
  const Result<Outputs> one = call.Run({});
  ASSERT_TRUE(one.ok()) << one.status().message();
  EXPECT_EQ(one->size(), 1u);
  EXPECT_TRUE(one->at("attention_out") == all->at("attention_out"));
}

TEST(NsaCompressAttention, NanStaysInItsRow) {
  Shape s;
  s.queries = {4};
  s.keys = {70};
  TestCall call = Attention(s, 22);
  Random random(22);
  call.Tensor("query", s.dtype, {4, 6, 20},
              [&](int64_t i) { return i == (2 * 6 + 4) * 20 + 3 ? NAN : random.Normal(); });
  for (Level level : base::AvailableLevels()) {
    ASSERT_TRUE(call.Run({.level = level}).ok());
    for (int64_t row = 0; row < 24; ++row) {
      EXPECT_EQ(std::isnan(call.Got("softmax_sum", row)), row == 16);
      EXPECT_EQ(std::isnan(call.Got("softmax_max", row)), row == 16);
      for (int64_t c = 0; c < 12; ++c)
        EXPECT_EQ(std::isnan(call.Got("attention_out", row * 12 + c)), row == 16);
    }
  }
}

TEST(NsaCompressAttention, LargeScoresStayFinite) {
  Shape s;
  s.scale = 300;
  s.keys = {130};
  TestCall call = Attention(s, 23);
  ExpectConforms(call);
}

TEST(NsaCompressAttention, BadArgumentsAreRefusedByName) {
  const auto refuse = [](const Change& change, const std::string& argument,
                         StatusCode code = StatusCode::kInvalidArgument) {
    ExpectRefusedAfter(Attention({}, 24), change, argument, code);
  };
  using Ints = std::vector<int64_t>;
  refuse(Without("query"), "query", StatusCode::kNullArgument);
  refuse(Without("actual_seq_qlen"), "actual_seq_qlen", StatusCode::kNullArgument);
  refuse(With("head_num", 5), "head_num");
  refuse(Filled("key", DType::kFloat16, {23, 2, 20}, 1), "key");
  refuse(Filled("key", DType::kBFloat16, {23, 2, 21}, 1), "key");
  refuse(Filled("key", DType::kBFloat16, {23, 4, 20}, 1), "value");
  refuse(Filled("value", DType::kBFloat16, {22, 2, 12}, 1), "value");
  refuse(Filled("atten_mask", DType::kBool, {9, 22}, 1), "atten_mask");
  refuse(Filled("atten_mask", DType::kInt32, {9, 23}, 1), "atten_mask");
  refuse(Filled("topk_mask", DType::kBool, {9, 23}, 1), "topk_mask");
  refuse(With("actual_seq_qlen", Ints{8}), "actual_seq_qlen");
  refuse(With("actual_seq_qlen", Ints{10, 9}), "actual_seq_qlen");
  refuse(With("actual_cmp_seq_kvlen", Ints{24}), "actual_cmp_seq_kvlen");
  refuse(With("actual_cmp_seq_kvlen", Ints{3, 23}), "actual_cmp_seq_kvlen");
  refuse(With("actual_cmp_seq_kvlen", Ints{-1}), "actual_cmp_seq_kvlen");
  for (int64_t bad : {int64_t{0}, int64_t{-1}, INT64_MIN, INT64_MAX}) {
    refuse(With("compress_stride", bad), "compress_stride");
    refuse(With("select_block_size", bad), "select_block_size");
  }
  refuse(With("compress_block_size", 24), "compress_block_size");
  refuse(With("select_block_size", 40), "select_block_size");
  refuse(With("select_block_count", -1), "select_block_count");
  refuse(With("select_block_count", INT64_MAX), "topk_indices");
  refuse(With("scale_value", kInfinity), "scale_value");
}

TEST(NsaCompressAttention, HugeBlocksAreWellDefined) {
  Shape s;
  s.stride = 1;
  s.block = int64_t{1} << 40;
  s.select = int64_t{1} << 39;
  s.count = 2;
  TestCall call = Attention(s, 25);
  ExpectConforms(call);
}

TEST(NsaCompressAttention, StrictEnforcesTheDocumentsLimits) {
  const auto strict = [](const Shape& s) {
    TestCall call = Attention(s, 26);
    call.Set("strict", true).Set("actual_sel_seq_kvlen", std::vector<int64_t>{6});
    return call;
  };
  Shape fine;
  TestCall accepted = strict(fine);
  const auto result = accepted.Run({});
  EXPECT_TRUE(result.ok()) << result.status().message();
  Shape wide_value = fine;
  wide_value.v_dim = 21;
  TestCall value = strict(wide_value);
  ExpectRefused(value, StatusCode::kInvalidArgument, "value");
  Shape odd_stride = fine;
  odd_stride.stride = 8;
  TestCall stride = strict(odd_stride);
  ExpectRefused(stride, StatusCode::kInvalidArgument, "compress_stride");
  TestCall no_sel = strict(fine);
  no_sel.Without("actual_sel_seq_kvlen");
  ExpectRefused(no_sel, StatusCode::kInvalidArgument, "actual_sel_seq_kvlen");
}

}  // namespace
}  // namespace tamis::test
