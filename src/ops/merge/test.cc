#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <numeric>

#include "base/cpu_features.h"
#include "base/golden.h"
#include "registry/registry.h"
#include "tests/support/conformance.h"

namespace tamis::test {
namespace {

constexpr double kInfinity = std::numeric_limits<double>::infinity();

int64_t LocalOf(int64_t position, int64_t world, int64_t interleave) {
  return position / interleave / world * interleave + position % interleave;
}
int64_t OwnerOf(int64_t position, int64_t world, int64_t interleave) {
  return position / interleave % world;
}

// --- merge_attention_states ---

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
      .Set("out_dtype", std::string(s.out_float32 ? "float32" : "input"));
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
      for (Level level : base::AvailableLevels()) {
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
    for (Level level : base::AvailableLevels()) {
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
  for (Level level : base::AvailableLevels()) {
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
  TestCall none = MergeStates({.parts = 0}, 709, None);
  ExpectEmptyStates(none);
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
  for (Level level : base::AvailableLevels()) {
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
  for (Level level : base::AvailableLevels()) {
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
    for (Level level : base::AvailableLevels()) {
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
  for (Level level : base::AvailableLevels()) {
    ASSERT_TRUE(call.Run({.level = level}).ok());
    for (int64_t c = 0; c < 20; ++c) EXPECT_EQ(call.Got("out", c), -kInfinity);
  }
  ExpectConforms(call);
}

TEST(MergeAttentionStates, ATokenAloneGivesTheBitsOfATokenAmongMany) {
  const States s = {.parts = 5, .tokens = 9, .heads = 3, .dim = 70, .dtype = DType::kFloat16};
  TestCall many = MergeStates(s, 712, [](int64_t part, int64_t row) { return part == row % 7; });
  for (Level level : base::AvailableLevels()) {
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

TEST(MergeAttentionStates, BadArgumentsAreRefusedByName) {
  const auto refuse = [](const std::function<void(TestCall&)>& spoil, const std::string& argument,
                         StatusCode code = StatusCode::kInvalidArgument) {
    TestCall call = MergeStates({}, 714, None);
    ASSERT_TRUE(call.Run({}).ok());
    spoil(call);
    SCOPED_TRACE(argument);
    ExpectRefused(call, code, argument);
  };
  const auto zeros = [](TestCall& c, const char* name, DType dtype, std::vector<int64_t> shape) {
    c.Tensor(name, dtype, std::move(shape), [](int64_t) { return 0.0; });
  };
  refuse([](TestCall& c) { c.Without("softmax_sums"); }, "softmax_sums", StatusCode::kNullArgument);
  refuse(
      [&](TestCall& c) {
        zeros(c, "softmax_maxes", DType::kFloat32, {2, 2, 3});
      },
      "softmax_maxes");
  refuse(
      [&](TestCall& c) {
        zeros(c, "softmax_sums", DType::kFloat16, {3, 2, 3});
      },
      "softmax_sums");
  refuse([&](TestCall& c) { zeros(c, "outs", DType::kFloat32, {3, 2, 15}); }, "outs");
}

// --- merge_topk ---

TEST(MergeTopk, AgreesOverRandomListsWithTiesGapsAndNan) {
  Random random(720);
  for (int i = 0; i < 60; ++i) {
    const int64_t parts = random.Between(0, 5);
    const int64_t tokens = random.Between(0, 4);
    const int64_t entries = random.Between(0, i % 5 == 0 ? 900 : 30);
    TestCall call("merge_topk");
    call.Strided("values", DType::kFloat32, {parts, tokens, entries}, random.Below(2) * 3,
                 [&](int64_t) {
                   switch (random.Below(8)) {
                     case 0: return static_cast<double>(NAN);
                     case 1: return -0.0;
                     case 2: return random.Below(2) == 0 ? kInfinity : -kInfinity;
                     case 3: return random.Normal();
                     default: return static_cast<double>(random.Between(-2, 2));
                   }
                 })
        .Strided("indices", DType::kInt32, {parts, tokens, entries}, random.Below(2) * 3,
                 [&](int64_t) {
                   switch (random.Below(10)) {
                     case 0: return -1.0;
                     case 1: return -2147483648.0;
                     case 2: return 2147483647.0;
                     default: return static_cast<double>(random.Between(0, 200));  // often twice
                   }
                 })
        .Set("sparse_count", random.Between(0, 60))
        .OutputGap(random.Below(2) * 2);
    SCOPED_TRACE("case " + std::to_string(i));
    ExpectConforms(call);
  }
}

TEST(MergeTopk, OrdersByValueThenIndexWithNanLast) {
  TestCall call("merge_topk");
  const double values[] = {0, 5, NAN, -0.0, -kInfinity, 5, 99, 0};
  const double indices[] = {9, 8, 1, 3, 2, 4, -7, 9};
  call.Tensor("values", DType::kFloat32, {2, 1, 4}, [&](int64_t i) { return values[i]; })
      .Tensor("indices", DType::kInt32, {2, 1, 4}, [&](int64_t i) { return indices[i]; })
      .Set("sparse_count", int64_t{9});
  for (Level level : base::AvailableLevels()) {
    ASSERT_TRUE(call.Run({.level = level}).ok());
    EXPECT_EQ(call.GotInts("sparse_indices"), (std::vector<int64_t>{4, 8, 3, 9, 9, 2, 1, -1, -1}));
    EXPECT_EQ(call.Got("sparse_values", 5), -kInfinity);
    EXPECT_TRUE(std::isnan(call.Got("sparse_values", 6)));
    EXPECT_EQ(call.Got("sparse_values", 7), -kInfinity);
  }
  ExpectConforms(call);
}

TEST(MergeTopk, ValuesNeedNotBeWanted) {
  TestCall call("merge_topk");
  call.Tensor("values", DType::kFloat32, {2, 1, 4},
              [](int64_t i) { return static_cast<double>(i % 3); })
      .Tensor("indices", DType::kInt32, {2, 1, 4}, [](int64_t i) { return static_cast<double>(i); })
      .Set("sparse_count", int64_t{3})
      .Omit("sparse_values");
  ExpectConforms(call);
}

TEST(MergeTopk, BadArgumentsAreRefusedByName) {
  TestCall call("merge_topk");
  call.Tensor("values", DType::kFloat32, {2, 3, 4}, [](int64_t) { return 0.0; })
      .Tensor("indices", DType::kInt32, {2, 3, 4}, [](int64_t) { return 0.0; })
      .Set("sparse_count", int64_t{-1});
  ExpectRefused(call, StatusCode::kInvalidArgument, "sparse_count");
  call.Set("sparse_count", int64_t{4}).Tensor("indices", DType::kInt32, {2, 3, 5}, [](int64_t) {
    return 0.0;
  });
  ExpectRefused(call, StatusCode::kInvalidArgument, "indices");
  call.Tensor("indices", DType::kInt64, {2, 3, 4}, [](int64_t) { return 0.0; });
  ExpectRefused(call, StatusCode::kInvalidArgument, "indices");
}

// Index queries and weights of `tokens`, and the keys of `positions`: the same values whichever
// keys are asked for. Key j is a copy of key j % 5 every third time, and some score 0.
TestCall IndexerOver(const std::vector<int64_t>& positions, int64_t tokens, int64_t count) {
  const auto uniform = [](uint64_t seed, int64_t i) {
    return Random(seed + static_cast<uint64_t>(i)).Uniform() - 0.5;
  };
  const int64_t dim = 24;
  const int64_t heads = 5;
  TestCall call("lightning_indexer");
  call.Tensor("query", DType::kBFloat16, {1, tokens, heads, dim},
              [&](int64_t i) { return uniform(7301, i); })
      .Tensor("weights", DType::kFloat32, {1, tokens, heads},
              [&](int64_t i) { return uniform(7302, i); })
      .Tensor("key", DType::kBFloat16, {1, static_cast<int64_t>(positions.size()), 1, dim},
              [&](int64_t i) {
                int64_t position = positions[static_cast<size_t>(i / dim)];
                if (position % 4 == 1) return 0.0;
                if (position % 3 == 0) position %= 5;
                return uniform(7303, position * dim + i % dim);
              })
      .Set("sparse_count", count)
      .Set("sparse_mode", int64_t{0})
      .Set("return_value", true)
      .Set("value_dtype", std::string("float32"));
  return call;
}

// Selection over shards, merged, is the selection over all keys: indices and values, bit for bit.
TEST(MergeTopk, LightningIndexerOverShardsGivesTheWholeSelection) {
  struct Case {
    int64_t keys, world, interleave, count;
  };
  // The last: ranks without a key.
  for (const Case& c : {Case{500, 4, 1, 64}, Case{777, 3, 16, 700}, Case{500, 7, 64, 500},
                        Case{9000, 2, 128, 300}, Case{5, 8, 1, 9}}) {
    const int64_t tokens = 3;
    std::vector<int64_t> all(static_cast<size_t>(c.keys));
    std::iota(all.begin(), all.end(), 0);
    TestCall whole = IndexerOver(all, tokens, c.count);
    for (Level level : base::AvailableLevels()) {
      const auto expected = whole.Run({.level = level});
      ASSERT_TRUE(expected.ok()) << expected.status().message();
      std::vector<double> values;
      std::vector<double> indices;
      for (int64_t rank = 0; rank < c.world; ++rank) {
        std::vector<int64_t> held;
        for (int64_t p : all) {
          if (OwnerOf(p, c.world, c.interleave) == rank) held.push_back(p);
        }
        TestCall shard = IndexerOver(held, tokens, c.count);
        const auto part = shard.Run({.level = level});
        ASSERT_TRUE(part.ok()) << part.status().message();
        for (int64_t i = 0; i < tokens * c.count; ++i) {
          const auto local = static_cast<int64_t>(shard.Got("sparse_indices", i));
          indices.push_back(local < 0 ? -1.0
                                      : static_cast<double>(held[static_cast<size_t>(local)]));
          values.push_back(shard.Got("sparse_values", i));
        }
      }
      TestCall merge("merge_topk");
      const auto element = [](const std::vector<double>& v) {
        return [&v](int64_t i) { return v[static_cast<size_t>(i)]; };
      };
      merge.Tensor("values", DType::kFloat32, {c.world, tokens, c.count}, element(values))
          .Tensor("indices", DType::kInt32, {c.world, tokens, c.count}, element(indices))
          .Set("sparse_count", c.count);
      const auto merged = merge.Run({.level = level});
      ASSERT_TRUE(merged.ok()) << merged.status().message();
      EXPECT_TRUE(merged->at("sparse_indices") == expected->at("sparse_indices"))
          << c.keys << " keys at level " << base::Name(level);
      EXPECT_TRUE(merged->at("sparse_values") == expected->at("sparse_values"))
          << c.keys << " keys at level " << base::Name(level);
    }
  }
}

// --- localize_indices ---

TEST(LocalizeIndices, AgreesOverAnyInt32) {
  Random random(740);
  for (int i = 0; i < 60; ++i) {
    const int64_t tokens = random.Between(0, 4);
    const int64_t entries = random.Between(0, 50);
    const int64_t world = i % 10 == 0 ? INT64_MAX : random.Between(1, 9);
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
        .Set("rank", random.Below(std::min<int64_t>(world, 9)))
        .Set("interleave", i % 7 == 0 ? INT64_MAX : random.Between(1, 20))
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
      for (size_t i = positions.size(); i > 1; --i) {
        std::swap(positions[i - 1],
                  positions[static_cast<size_t>(random.Below(static_cast<int64_t>(i)))]);
      }
      std::vector<std::vector<int64_t>> ranks(static_cast<size_t>(world));
      for (int64_t p : positions) {
        ranks[static_cast<size_t>(OwnerOf(p, world, interleave))].push_back(
            LocalOf(p, world, interleave));
      }
      for (int64_t rank = 0; rank < world; ++rank) {
        TestCall call("localize_indices");
        call.Tensor(
                "indices", DType::kInt32, {1, entries},
                [&](int64_t i) { return static_cast<double>(positions[static_cast<size_t>(i)]); })
            .Set("world", world)
            .Set("rank", rank)
            .Set("interleave", interleave);
        for (Level level : base::AvailableLevels()) {
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

TEST(LocalizeIndices, ANegativeEntryEndsTheRow) {
  TestCall call("localize_indices");
  const double row[] = {4, 7, 2, -5, 6, 0};
  call.Tensor("indices", DType::kInt32, {1, 6}, [&](int64_t i) { return row[i]; })
      .Set("world", int64_t{2})
      .Set("rank", int64_t{0});
  ASSERT_TRUE(call.Run({}).ok());
  EXPECT_EQ(call.GotInts("sparse_indices"), (std::vector<int64_t>{2, 1, -1, -1, -1, -1}));
  EXPECT_EQ(call.Got("counts", 0), 2.0);
  ExpectConforms(call);
}

TEST(LocalizeIndices, ARankThatOwnsNothingIsNormal) {
  TestCall call("localize_indices");
  call.Tensor("indices", DType::kInt32, {2, 3},
              [](int64_t i) { return static_cast<double>(2 * i); })
      .Set("world", int64_t{2})
      .Set("rank", int64_t{1})
      .Omit("counts");
  ASSERT_TRUE(call.Run({}).ok());
  EXPECT_EQ(call.GotInts("sparse_indices"), std::vector<int64_t>(6, -1));
  ExpectConforms(call);
}

TEST(LocalizeIndices, BadArgumentsAreRefusedByName) {
  const auto refuse = [](const char* argument, int64_t rank, int64_t world, int64_t interleave) {
    TestCall call("localize_indices");
    call.Tensor("indices", DType::kInt32, {2, 3}, [](int64_t) { return 0.0; })
        .Set("rank", rank)
        .Set("world", world)
        .Set("interleave", interleave);
    SCOPED_TRACE(argument);
    ExpectRefused(call, StatusCode::kInvalidArgument, argument);
  };
  refuse("world", 0, 0, 1);
  refuse("rank", 2, 2, 1);
  refuse("rank", -1, 2, 1);
  refuse("interleave", 0, 2, 0);
}

// --- all three around sparse_flash_attention ---

constexpr int64_t kLatent = 24;
constexpr int64_t kRope = 8;
constexpr int64_t kHeads = 3;

// Attention of `tokens` over the keys of `positions`, whose values depend on the position alone.
TestCall AttentionOver(const std::vector<int64_t>& positions, int64_t tokens,
                       const std::vector<int64_t>& ids, bool sinks) {
  const auto normal = [](uint64_t seed, int64_t i) {
    return Random(seed + static_cast<uint64_t>(i)).Normal();
  };
  const auto keys = static_cast<int64_t>(positions.size());
  const auto key = [&](uint64_t seed, int64_t dim) {
    return [&positions, &normal, seed, dim](int64_t i) {
      return normal(seed, positions[static_cast<size_t>(i / dim)] * dim + i % dim);
    };
  };
  const auto count = static_cast<int64_t>(ids.size()) / tokens;
  TestCall call("sparse_flash_attention");
  call.Tensor("query", DType::kBFloat16, {1, tokens, kHeads, kLatent},
              [&](int64_t i) { return normal(7501, i); })
      .Tensor("query_rope", DType::kBFloat16, {1, tokens, kHeads, kRope},
              [&](int64_t i) { return normal(7502, i); })
      .Tensor("key", DType::kBFloat16, {1, keys, 1, kLatent}, key(7503, kLatent))
      .Tensor("key_rope", DType::kBFloat16, {1, keys, 1, kRope}, key(7504, kRope))
      .Tensor("sparse_indices", DType::kInt32, {1, tokens, 1, count},
              [&](int64_t i) { return static_cast<double>(ids[static_cast<size_t>(i)]); })
      .Set("scale_value", 0.25)
      .Set("return_softmax_lse", true);
  if (sinks)
    call.Tensor("sinks", DType::kFloat32, {kHeads},
                [&](int64_t i) { return 0.5 * static_cast<double>(i); });
  return call;
}

base::Golden GoldenOf(const char* op, TestCall& call, int64_t rows) {
  base::Golden golden;
  for (int64_t row = 0; row < rows; ++row) golden.rows.push_back(row);
  const auto inputs = call.Inputs();
  EXPECT_TRUE(inputs.ok());
  EXPECT_TRUE(registry::Find(op)->reference(inputs->params(), 1, &golden).ok());
  return golden;
}

constexpr int64_t kTokens = 4;
constexpr int64_t kKeys = 150;
constexpr int64_t kCount = 60;

// Token 0 selects keys of rank 0 alone, token 1 none, the others any that a causal mask shows.
std::vector<int64_t> SelectAtRandom(int64_t world, int64_t interleave, Random* random) {
  std::vector<int64_t> ids;
  for (int64_t t = 0; t < kTokens; ++t) {
    std::vector<int64_t> row(static_cast<size_t>(kKeys - kTokens + t + 1));
    std::iota(row.begin(), row.end(), 0);
    for (size_t i = row.size(); i > 1; --i)
      std::swap(row[i - 1], row[static_cast<size_t>(random->Below(static_cast<int64_t>(i)))]);
    if (t == 0) std::erase_if(row, [&](int64_t p) { return OwnerOf(p, world, interleave) != 0; });
    row.resize(t == 1 ? 0 : std::min<size_t>(row.size(), t == 2 ? 7 : kCount));
    row.resize(kCount, -1);
    ids.insert(ids.end(), row.begin(), row.end());
  }
  return ids;
}

// What every rank makes of a selection: the states as it stored them, and what they should be.
struct Ranks {
  std::vector<double> outs, maxes, sums;
  std::vector<base::Golden> golden;
};

void AttendAtRank(int64_t rank, int64_t world, int64_t interleave, const std::vector<int64_t>& ids,
                  bool sinks, Level level, Ranks* ranks) {
  TestCall localize("localize_indices");
  localize
      .Tensor("indices", DType::kInt32, {kTokens, kCount},
              [&](int64_t i) { return static_cast<double>(ids[static_cast<size_t>(i)]); })
      .Set("rank", rank)
      .Set("world", world)
      .Set("interleave", interleave);
  ASSERT_TRUE(localize.Run({.level = level}).ok());
  std::vector<int64_t> held;
  for (int64_t p = 0; p < kKeys; ++p) {
    if (OwnerOf(p, world, interleave) == rank) held.push_back(p);
  }
  TestCall part = AttentionOver(held, kTokens, localize.GotInts("sparse_indices"),
                                sinks && rank == 0);  // a sink belongs to one rank
  part.Set("sparse_mode", int64_t{0});
  const auto ran = part.Run({.level = level});
  ASSERT_TRUE(ran.ok()) << ran.status().message();
  ranks->golden.push_back(GoldenOf("sparse_flash_attention", part, kTokens));
  for (int64_t i = 0; i < part.OutputElems("out"); ++i) ranks->outs.push_back(part.Got("out", i));
  for (int64_t i = 0; i < part.OutputElems("softmax_max"); ++i) {
    ranks->maxes.push_back(part.Got("softmax_max", i));
    ranks->sums.push_back(part.Got("softmax_sum", i));
  }
}

TestCall MergeOf(const Ranks& ranks) {
  const auto world = static_cast<int64_t>(ranks.golden.size());
  const auto element = [](const std::vector<double>& v) {
    return [&v](int64_t i) { return v[static_cast<size_t>(i)]; };
  };
  TestCall merge("merge_attention_states");
  merge.Tensor("outs", DType::kBFloat16, {world, kTokens, kHeads, kLatent}, element(ranks.outs))
      .Tensor("softmax_maxes", DType::kFloat32, {world, kTokens, kHeads}, element(ranks.maxes))
      .Tensor("softmax_sums", DType::kFloat32, {world, kTokens, kHeads}, element(ranks.sums))
      .Set("out_dtype", std::string("float32"));
  return merge;
}

// A row of the merged result against the whole. Beside the merge's own error, a rank's state is off
// by its bounds and by the rounding of what was stored: of max absolutely, of sum relatively, which
// move its weight, and of out.
void ExpectTheWholeRow(const base::Golden& whole, const Ranks& ranks, const base::Golden& own,
                       const TestCall& merge, int64_t row) {
  const auto r = static_cast<size_t>(row);
  const double max = whole.outputs[1].value[r];
  const double sum = whole.outputs[2].value[r];
  if (sum == 0) {
    EXPECT_EQ(merge.Got("softmax_max", row), -kInfinity);
    EXPECT_EQ(merge.Got("softmax_sum", row), 0.0);
    for (int64_t c = 0; c < kLatent; ++c) EXPECT_EQ(merge.Got("out", row * kLatent + c), 0.0);
    return;
  }
  double max_bound = whole.outputs[1].bound[r];
  double of_weights = 0;
  std::vector<double> weight(ranks.golden.size());
  std::vector<double> error(ranks.golden.size());
  for (size_t i = 0; i < ranks.golden.size(); ++i) {
    const auto& outputs = ranks.golden[i].outputs;
    if (outputs[2].value[r] == 0) continue;
    weight[i] = outputs[2].value[r] * std::exp(outputs[1].value[r] - max) / sum;
    error[i] = outputs[1].bound[r] + base::RoundingBound(DType::kFloat32, outputs[1].value[r]) +
               outputs[2].bound[r] / outputs[2].value[r] + 0x1p-24;
    max_bound = std::max(max_bound, outputs[1].bound[r]);
    of_weights += weight[i] * error[i];
  }
  max_bound += base::RoundingBound(DType::kFloat32, max);
  EXPECT_NEAR(merge.Got("softmax_max", row), max, max_bound);
  EXPECT_NEAR(merge.Got("softmax_sum", row), sum,
              own.outputs[2].bound[r] + sum * (of_weights + max_bound + 0x1p-24));
  for (int64_t c = 0; c < kLatent; ++c) {
    const auto e = static_cast<size_t>(row * kLatent + c);
    double bound = own.outputs[0].bound[e];
    for (size_t i = 0; i < ranks.golden.size(); ++i) {
      const base::GoldenOutput& out = ranks.golden[i].outputs[0];
      const double size = std::fabs(out.value[e]);
      bound += weight[i] * (size * (error[i] + of_weights) + out.bound[e] +
                            base::RoundingBound(DType::kBFloat16, size + out.bound[e]));
    }
    const double want = whole.outputs[0].value[e];
    EXPECT_NEAR(merge.Got("out", row * kLatent + c), want,
                bound + base::RoundingBound(DType::kFloat32, std::fabs(want) + bound))
        << "row " << row << " channel " << c;
  }
}

// Line 14 again, with the operators themselves: every rank takes its share of the selection
// (localize_indices), attends over its own keys with sparse_mode 0, and the states are merged.
TEST(MergeAttentionStates, SparseFlashAttentionOverRanksMergesToTheWhole) {
  Random random(750);
  std::vector<int64_t> all(kKeys);
  std::iota(all.begin(), all.end(), 0);
  for (const auto& [world, interleave] : {std::pair<int64_t, int64_t>{2, 1}, {4, 16}, {5, 64}}) {
    for (const bool sinks : {false, true}) {
      const std::vector<int64_t> ids = SelectAtRandom(world, interleave, &random);
      TestCall attention = AttentionOver(all, kTokens, ids, sinks);
      const base::Golden whole = GoldenOf("sparse_flash_attention", attention, kTokens);
      for (Level level : base::AvailableLevels()) {
        SCOPED_TRACE(std::to_string(world) + " ranks, level " + std::string(base::Name(level)) +
                     (sinks ? ", sinks" : ""));
        Ranks ranks;
        for (int64_t rank = 0; rank < world; ++rank)
          AttendAtRank(rank, world, interleave, ids, sinks, level, &ranks);
        TestCall merge = MergeOf(ranks);
        const base::Golden own = GoldenOf("merge_attention_states", merge, kTokens);
        ASSERT_TRUE(merge.Run({.level = level}).ok());
        for (int64_t row = 0; row < kTokens * kHeads; ++row)
          ExpectTheWholeRow(whole, ranks, own, merge, row);
      }
    }
  }
}

}  // namespace
}  // namespace tamis::test
