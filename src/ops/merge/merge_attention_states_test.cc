// States of attention over parts of the keys, merged.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstring>

#include "base/cpu_features.h"
#include "base/golden.h"
#include "registry/registry.h"
#include "tests/support/levels.h"
#include "tests/support/refusals.h"

namespace tamis::test {
namespace {

struct States {
  int64_t parts = 3;
  int64_t tokens = 2;
  int64_t heads = 3;
  int64_t dim = 5;
  DType dtype = DType::kFloat32;
  int64_t gap = 0;
  bool out_float32 = false;
};

// Random states; where empty(part, row) there is nothing but NaN beside the mark of an empty part.
TestCall MergeStates(const States& s, uint64_t seed,
                     const std::function<bool(int64_t, int64_t)>& empty) {
  Random random(seed);
  const int64_t rows = s.tokens * s.heads;
  TestCall call("merge_attention_states");
  call.Strided("outs", s.dtype, {s.parts, s.tokens, s.heads, s.dim}, s.gap,
               [&](int64_t i) {
                 const int64_t row = i / s.dim;
                 return empty(row / rows, row % rows) ? NAN : random.Normal();
               })
      .Strided(
          "softmax_maxes", DType::kFloat32, {s.parts, s.tokens, s.heads}, s.gap,
          [&](int64_t i) { return empty(i / rows, i % rows) ? -kInfinity : 4 * random.Normal(); })
      .Strided(
          "softmax_sums", DType::kFloat32, {s.parts, s.tokens, s.heads}, s.gap,
          [&](int64_t i) { return empty(i / rows, i % rows) ? 0.0 : 1 + 40 * random.Uniform(); })
      .Set("out_dtype", s.out_float32 ? "float32" : "input");
  return call;
}

bool None(int64_t, int64_t) { return false; }

TEST(MergeAttentionStates, AgreesOverRandomShapesDtypesAndEmptyParts) {
  Random random(701);
  constexpr DType kDtypes[] = {DType::kFloat32, DType::kFloat16, DType::kBFloat16};
  for (int i = 0; i < 60; ++i) {
    States s;
    s.parts = random.Between(0, i % 7 == 0 ? 40 : 6);
    s.tokens = random.Between(0, 6);
    s.heads = random.Between(0, 7);
    s.dim = random.Between(0, i % 3 == 0 ? 150 : 20);
    s.dtype = kDtypes[i % 3];
    s.gap = random.Between(0, 1) * 3;
    s.out_float32 = random.Below(2) == 0;
    const auto seed = random.Next();
    const int64_t of = random.Between(1, 3);
    TestCall call = MergeStates(s, seed, [&](int64_t part, int64_t row) {
      return Random(seed + static_cast<uint64_t>(part * 977 + row)).Below(of + 1) == 0;
    });
    call.OutputGap(s.gap);
    SCOPED_TRACE("case " + std::to_string(i));
    ExpectConforms(call);
  }
}

// The documents' sizes: more than one item, whole vectors.
TEST(MergeAttentionStates, AgreesOverManyItems) {
  TestCall call =
      MergeStates({.parts = 8, .tokens = 3, .heads = 128, .dim = 512, .dtype = DType::kBFloat16},
                  702, [](int64_t part, int64_t row) { return (part + row) % 5 == 0; });
  ExpectConforms(call);
}

TEST(MergeAttentionStates, FarApartMaximaAgree) {
  States s = {.parts = 6, .tokens = 4, .heads = 4, .dim = 9};
  TestCall call = MergeStates(s, 703, None);
  Random random(704);
  call.Tensor("softmax_maxes", DType::kFloat32, {6, 4, 4},
              [&](int64_t) { return 100 * random.Normal(); });
  ExpectConforms(call);
  call.Tensor("softmax_sums", DType::kFloat32, {6, 4, 4},
              [&](int64_t) { return std::exp(40 * random.Normal()); });
  ExpectConforms(call);
}

// One row of softmax attention in float64 over the keys in `members`.
struct Row {
  std::vector<double> out;
  double max = -kInfinity;
  double sum = 0;
};

Row Attend(const std::vector<double>& scores, const std::vector<std::vector<double>>& values,
           const std::vector<size_t>& members, size_t dim) {
  Row row;
  row.out.assign(dim, 0.0);
  for (size_t j : members) row.max = std::max(row.max, scores[j]);
  for (size_t j : members) row.sum += std::exp(scores[j] - row.max);
  for (size_t j : members) {
    for (size_t c = 0; c < dim; ++c)
      row.out[c] += std::exp(scores[j] - row.max) / row.sum * values[j][c];
  }
  return row;
}

// Conformance list of the family, line 14: split-merge equals whole.
TEST(MergeAttentionStates, SplitMergeEqualsWhole) {
  Random random(705);
  const base::Operator* op = registry::Find("merge_attention_states");
  ASSERT_NE(op, nullptr);
  for (const DType dtype : {DType::kFloat32, DType::kFloat16, DType::kBFloat16}) {
    for (int round = 0; round < 10; ++round) {
      const int64_t parts = random.Between(1, 9);
      const int64_t keys = random.Between(0, 60);
      const auto dim = static_cast<size_t>(random.Between(1, 40));
      std::vector<double> scores;
      std::vector<std::vector<double>> values;
      std::vector<std::vector<size_t>> members(static_cast<size_t>(parts));
      std::vector<size_t> all;
      for (int64_t j = 0; j < keys; ++j) {
        scores.push_back(static_cast<double>(static_cast<float>(5 * random.Normal())));
        values.emplace_back();
        for (size_t c = 0; c < dim; ++c) values.back().push_back(random.Normal());
        members[static_cast<size_t>(random.Below(parts))].push_back(static_cast<size_t>(j));
        all.push_back(static_cast<size_t>(j));
      }
      std::vector<Row> split;
      for (const auto& part : members) split.push_back(Attend(scores, values, part, dim));
      const auto of = [&](int64_t i) -> const Row& { return split[static_cast<size_t>(i)]; };
      TestCall call("merge_attention_states");
      call.Tensor("outs", dtype, {parts, 1, 1, static_cast<int64_t>(dim)},
                  [&](int64_t i) {
                    const auto width = static_cast<int64_t>(dim);
                    return of(i / width).out[static_cast<size_t>(i % width)];
                  })
          .Tensor("softmax_maxes", DType::kFloat32, {parts, 1, 1},
                  [&](int64_t i) { return of(i).max; })
          .Tensor("softmax_sums", DType::kFloat32, {parts, 1, 1},
                  [&](int64_t i) { return of(i).sum; });
      const Row whole = Attend(scores, values, all, dim);
      const auto with_outputs = call.WithOutputs();
      ASSERT_TRUE(with_outputs.ok());
      base::Golden golden;
      golden.rows = {0};
      ASSERT_TRUE(op->reference(with_outputs->params(), 1, &golden).ok());
      for (Level level : TestedLevels()) {
        SCOPED_TRACE("round " + std::to_string(round) + " level " + std::string(base::Name(level)));
        ASSERT_TRUE(call.Run({.level = level}).ok());
        EXPECT_EQ(call.Got("softmax_max", 0), whole.max);
        // The sums were rounded when they were stored, once each, and so are weights made of them.
        EXPECT_NEAR(call.Got("softmax_sum", 0), whole.sum,
                    golden.outputs[2].bound[0] + 3 * 0x1p-24 * whole.sum);
        for (size_t c = 0; c < dim; ++c) {
          double stored = 0;
          for (const Row& part : split) {
            if (part.sum == 0) continue;
            const double weight = part.sum * std::exp(part.max - whole.max) / whole.sum;
            stored += weight * (base::RoundingBound(dtype, part.out[c]) +
                                2 * 0x1p-24 * std::fabs(part.out[c]));
          }
          const double bound = golden.outputs[0].bound[c] + stored;
          EXPECT_NEAR(call.Got("out", static_cast<int64_t>(c)), whole.out[c],
                      bound + base::RoundingBound(dtype, std::fabs(whole.out[c]) + bound));
        }
      }
    }
  }
}

TEST(MergeAttentionStates, OnePartAmongEmptyOnesComesOutBitForBit) {
  for (const DType dtype : {DType::kFloat32, DType::kFloat16, DType::kBFloat16}) {
    const States s = {.parts = 4, .tokens = 3, .heads = 2, .dim = 37, .dtype = dtype};
    TestCall call = MergeStates(s, 706, [](int64_t part, int64_t row) { return part != row % 4; });
    // Negative zeros stay.
    Random random(707);
    call.Tensor("outs", dtype, {4, 3, 2, 37}, [&](int64_t i) {
      const int64_t row = i / 37;
      return row / 6 != row % 6 % 4 ? NAN : random.Below(4) == 0 ? -0.0 : random.Normal();
    });
    for (Level level : TestedLevels()) {
      const auto outputs = call.Run({.level = level});
      ASSERT_TRUE(outputs.ok());
      const auto size = static_cast<size_t>(base::ItemSize(dtype)) * 37;
      for (int64_t row = 0; row < 6; ++row) {
        const auto* in = static_cast<const unsigned char*>(call.view("outs").data) +
                         static_cast<size_t>(row % 4 * 6 + row) * size;
        EXPECT_EQ(
            std::memcmp(in, outputs->at("out").data() + static_cast<size_t>(row) * size, size), 0)
            << "row " << row << " level " << base::Name(level);
        const int64_t at = row % 4 * 6 + row;
        EXPECT_EQ(
            call.Got("softmax_max", row),
            static_cast<double>(static_cast<const float*>(call.view("softmax_maxes").data)[at]));
        EXPECT_EQ(
            call.Got("softmax_sum", row),
            static_cast<double>(static_cast<const float*>(call.view("softmax_sums").data)[at]));
      }
    }
  }
}

void ExpectEmptyStates(TestCall& call) {
  for (Level level : TestedLevels()) {
    const auto outputs = call.Run({.level = level});
    ASSERT_TRUE(outputs.ok()) << outputs.status().message();
    for (int64_t i = 0; i < call.OutputElems("out"); ++i) EXPECT_EQ(call.Got("out", i), 0.0);
    for (int64_t i = 0; i < call.OutputElems("softmax_max"); ++i) {
      EXPECT_EQ(call.Got("softmax_max", i), -kInfinity);
      EXPECT_EQ(call.Got("softmax_sum", i), 0.0);
    }
  }
  ExpectConforms(call);
}

TEST(MergeAttentionStates, AllPartsEmptyOrNoneGiveTheEmptyState) {
  TestCall all = MergeStates({.parts = 3}, 708, [](int64_t, int64_t) { return true; });
  ExpectEmptyStates(all);
  for (const int64_t dim : {5, 150}) {
    TestCall none = MergeStates({.parts = 0, .dim = dim}, 709, None);
    ExpectEmptyStates(none);
  }
}

// -inf beside any sum, and a sum of 0 or less beside any max, mark an empty part.
TEST(MergeAttentionStates, EitherMarkMakesAPartEmpty) {
  const double maxes[] = {-kInfinity, -kInfinity, 90, -3.402823466e38, NAN};
  const double sums[] = {NAN, 3, 0, -0.0, -1};
  TestCall call = MergeStates({.parts = 6, .tokens = 1, .heads = 1}, 710,
                              [](int64_t part, int64_t) { return part != 2; });
  const auto at = [](int64_t i) { return static_cast<size_t>(i < 2 ? i : i - 1); };
  call.Tensor("softmax_maxes", DType::kFloat32, {6, 1, 1},
              [&](int64_t i) { return i == 2 ? 1.5 : maxes[at(i)]; })
      .Tensor("softmax_sums", DType::kFloat32, {6, 1, 1},
              [&](int64_t i) { return i == 2 ? 7.0 : sums[at(i)]; });
  for (Level level : TestedLevels()) {
    ASSERT_TRUE(call.Run({.level = level}).ok());
    EXPECT_EQ(call.Got("softmax_max", 0), 1.5);
    EXPECT_EQ(call.Got("softmax_sum", 0), 7.0);
    for (int64_t c = 0; c < 5; ++c) EXPECT_TRUE(std::isfinite(call.Got("out", c)));
  }
  ExpectConforms(call);
}

// Lines 14 and 15: a rank that holds only the sink has the state (0, sink, 1).
TEST(MergeAttentionStates, TheStateOfASinkMergesLikeAnyOther) {
  TestCall call("merge_attention_states");
  call.Tensor("outs", DType::kFloat32, {2, 1, 1, 2}, [](int64_t i) { return i < 2 ? 0.0 : 8.0; })
      .Tensor("softmax_maxes", DType::kFloat32, {2, 1, 1}, [](int64_t) { return 2.0; })
      .Tensor("softmax_sums", DType::kFloat32, {2, 1, 1},
              [](int64_t i) { return i == 0 ? 1.0 : 3.0; });
  for (Level level : TestedLevels()) {
    ASSERT_TRUE(call.Run({.level = level}).ok());
    EXPECT_EQ(call.Got("out", 0), 6.0);
    EXPECT_EQ(call.Got("softmax_max", 0), 2.0);
    EXPECT_EQ(call.Got("softmax_sum", 0), 4.0);
  }
  ExpectConforms(call);
}

TEST(MergeAttentionStates, NanStaysInItsRow) {
  const States s = {.parts = 3, .tokens = 2, .heads = 4, .dim = 20};
  TestCall clean = MergeStates(s, 711, None);
  for (const char* where : {"outs", "softmax_maxes", "softmax_sums"}) {
    TestCall call = MergeStates(s, 711, None);
    const TensorView& view = call.view(where);
    const bool outs = std::string(where) == "outs";
    // Part 1, token 0, head 2; of outs the first channel.
    static_cast<float*>(view.data)[outs ? (8 + 2) * 20 : 8 + 2] = NAN;
    for (Level level : TestedLevels()) {
      ASSERT_TRUE(clean.Run({.level = level}).ok());
      ASSERT_TRUE(call.Run({.level = level}).ok());
      for (int64_t i = 0; i < 8 * 20; ++i) {
        const bool hit = i / 20 == 2 && (!outs || i % 20 == 0);
        EXPECT_EQ(std::isnan(call.Got("out", i)), hit) << where << " " << i;
        if (!hit) {
          EXPECT_EQ(call.Got("out", i), clean.Got("out", i)) << where << " " << i;
        }
      }
    }
    ExpectConforms(call);
  }
}

TEST(MergeAttentionStates, AnInfinityInAFarPartStaysOne) {
  TestCall call("merge_attention_states");
  call.Tensor("outs", DType::kFloat16, {2, 1, 1, 20},
              [](int64_t i) { return i < 20 ? 1.0 : -kInfinity; })
      .Tensor("softmax_maxes", DType::kFloat32, {2, 1, 1},
              [](int64_t i) { return i == 0 ? 500.0 : -900.0; })
      .Tensor("softmax_sums", DType::kFloat32, {2, 1, 1}, [](int64_t) { return 1.0; });
  for (Level level : TestedLevels()) {
    ASSERT_TRUE(call.Run({.level = level}).ok());
    for (int64_t c = 0; c < 20; ++c) EXPECT_EQ(call.Got("out", c), -kInfinity);
  }
  ExpectConforms(call);
}

TEST(MergeAttentionStates, ATokenAloneGivesTheBitsOfATokenAmongMany) {
  const States s = {.parts = 5, .tokens = 9, .heads = 3, .dim = 70, .dtype = DType::kFloat16};
  TestCall many = MergeStates(s, 712, [](int64_t part, int64_t row) { return part == row % 7; });
  for (Level level : TestedLevels()) {
    const auto all = many.Run({.level = level});
    ASSERT_TRUE(all.ok());
    for (int64_t t = 0; t < s.tokens; ++t) {
      TestCall one("merge_attention_states");
      for (const char* name : {"outs", "softmax_maxes", "softmax_sums"}) {
        TensorView view = many.view(name);
        view.data = static_cast<unsigned char*>(view.data) +
                    t * view.strides[1] * base::ItemSize(view.dtype);
        view.shape[1] = 1;
        one.View(name, view);
      }
      const auto alone = one.Run({.level = level});
      ASSERT_TRUE(alone.ok());
      const size_t size = 3 * 70 * sizeof(uint16_t);
      EXPECT_EQ(std::memcmp(alone->at("out").data(),
                            all->at("out").data() + static_cast<size_t>(t) * size, size),
                0);
    }
  }
}

TEST(MergeAttentionStates, MaxAndSumNeedNotBeWanted) {
  TestCall call = MergeStates({}, 713, None);
  call.Omit("softmax_max").Omit("softmax_sum");
  ExpectConforms(call);
}

TEST(MergeAttentionStates, RowsOfWhichNothingIsWrittenTakeNoTime) {
  const int64_t tokens = int64_t{1} << 50;
  TestCall call("merge_attention_states");
  call.Tensor("outs", DType::kFloat16, {0, tokens, 1, 0}, [](int64_t) { return 0.0; })
      .Tensor("softmax_maxes", DType::kFloat32, {0, tokens, 1}, [](int64_t) { return 0.0; })
      .Tensor("softmax_sums", DType::kFloat32, {0, tokens, 1}, [](int64_t) { return 0.0; })
      .Omit("softmax_max")
      .Omit("softmax_sum");
  ASSERT_TRUE(call.Run({}).ok());
}

TEST(MergeAttentionStates, BadArgumentsAreRefusedByName) {
  const auto refuse = [](const Change& change, const std::string& argument,
                         StatusCode code = StatusCode::kInvalidArgument) {
    ExpectRefusedAfter(MergeStates({}, 714, None), change, argument, code);
  };
  refuse(Without("softmax_sums"), "softmax_sums", StatusCode::kNullArgument);
  refuse(Filled("softmax_maxes", DType::kFloat32, {2, 2, 3}), "softmax_maxes");
  refuse(Filled("softmax_sums", DType::kFloat16, {3, 2, 3}), "softmax_sums");
  refuse(Filled("outs", DType::kFloat32, {3, 2, 15}), "outs");
}

}  // namespace
}  // namespace tamis::test
