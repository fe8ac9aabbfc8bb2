// The judge judged: an operator of a few lines whose outputs are tampered with.
#include "registry/compare.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "base/dtype.h"
#include "base/golden.h"

namespace tamis::registry {
namespace {

using Kind = Tolerance::Kind;

constexpr double kInf = std::numeric_limits<double>::infinity();
constexpr double kNan = std::numeric_limits<double>::quiet_NaN();
constexpr int64_t kRows = 100;
constexpr double kBound = 1e-3;
constexpr double kDeviceBound = 1e-2;
// Scores of the candidates 0 to 5: 1 and 2 are as good as equal, 4 and 5 are equal.
const std::vector<double> kScores = {9, 5, 5 - 1.5 * kBound, 3, 1, 1};

struct Params {
  TensorView input;  // [rows]
  bool strict = false;
  OutputView twice;  // [rows, 2] fp32: input, 2 x input
  OutputView best;   // [rows, 1, 4] int32: 0, 1, 2, then -1
};

const base::Contract& FakeContract() {
  static const base::Contract kContract =
      base::ContractBuilder<Params>("fake", "", "")
          .Input("input", &Params::input, {.shape = "T", .dtypes = {DType::kFloat32}})
          .Optional("strict", &Params::strict, "")
          .OptionalOutput("twice", &Params::twice, {.shape = "T, 2", .dtypes = {DType::kFloat32}})
          .OptionalOutput("best", &Params::best,
                          {.shape = "T, 1, 4", .dtypes = {DType::kInt32}, .ranked = true})
          .RowDims({{"", 1}})
          .Build();
  return kContract;
}

base::Operator Fake() {
  base::Operator op;
  op.contract = &FakeContract();
  op.infer = [](const void* params, base::Dims* dims) {
    return FakeContract().CheckInputs(params, dims);
  };
  op.reference = [](const void* params, int32_t, base::Golden* golden) {
    const auto& p = *static_cast<const Params*>(params);
    base::Dims dims;
    Status status = FakeContract().CheckInputs(params, &dims);
    if (status.ok()) status = base::PrepareGolden(FakeContract(), params, dims, golden);
    if (!status.ok()) return status;
    for (size_t slot = 0; slot < golden->rows.size(); ++slot) {
      const double x = base::LoadAsDouble(p.input.data, p.input.dtype, golden->rows[slot]);
      double* twice = golden->outputs[0].Row(static_cast<int64_t>(slot));
      twice[0] = x;
      twice[1] = 2 * x;
      golden->outputs[0].BoundRow(static_cast<int64_t>(slot))[1] = kBound;
      golden->outputs[0].DeviceBoundRow(static_cast<int64_t>(slot))[1] = kDeviceBound;
      double* best = golden->outputs[1].Row(static_cast<int64_t>(slot));
      for (int i = 0; i < 4; ++i) best[i] = i < 3 ? i : -1;
      golden->outputs[1].scores[slot] = kScores;
      golden->outputs[1].score_bound[slot] = kBound;
    }
    return Status::Ok();
  };
  return op;
}

class CompareTest : public testing::Test {
 protected:
  CompareTest() {
    for (int64_t row = 0; row < kRows; ++row) {
      const auto r = static_cast<size_t>(row);
      input_[r] = static_cast<float>(row) - 50;
      twice_[2 * r] = input_[r];
      twice_[2 * r + 1] = 2 * input_[r];
      for (int i = 0; i < 4; ++i) best_[4 * r + static_cast<size_t>(i)] = i < 3 ? i : -1;
    }
    params_.input = {input_, DType::kFloat32, {kRows}};
    params_.twice = {twice_, DType::kFloat32, {kRows, 2}};
    params_.best = {best_, DType::kInt32, {kRows, 1, 4}};
  }

  // 0: twice, 1: best.
  OutputComparison Compare(size_t output, Tolerance tolerance = {}) {
    const auto compared =
        CompareWithReference(Fake(), &params_, SpreadRows(kRows, kRows), 2, {{tolerance}});
    EXPECT_TRUE(compared.ok()) << compared.status().message();
    EXPECT_EQ(compared->size(), 2u);
    return (*compared)[output];
  }
  OutputComparison CompareExpected(const std::string& name, const TensorView& view,
                                   Tolerance tolerance = {Kind::kDevice}, int64_t rows = kRows) {
    const auto compared =
        CompareWithExpected(Fake(), &params_, {{name, view}}, rows, 2, {{tolerance}});
    EXPECT_TRUE(compared.ok()) << compared.status().message();
    EXPECT_EQ(compared->size(), 1u);
    return compared->front();
  }
  void SetList(int64_t row, std::vector<int32_t> list) {
    std::copy(list.begin(), list.end(), best_ + 4 * row);
  }

  float input_[kRows];
  float twice_[2 * kRows];
  int32_t best_[4 * kRows];
  Params params_;
};

TEST_F(CompareTest, CorrectOutputsAgree) {
  for (size_t output : {0u, 1u}) {
    const OutputComparison c = Compare(output);
    EXPECT_TRUE(c.ok()) << c.first_mismatch;
    EXPECT_EQ(c.rows, kRows);
    EXPECT_EQ(c.max_error, 0);
    EXPECT_EQ(c.swapped, 0);
  }
  EXPECT_EQ(Compare(0).elements, 2 * kRows);
  EXPECT_EQ(Compare(1).elements, 4 * kRows);
}

TEST_F(CompareTest, AnErrorBeyondTheBoundIsAMismatch) {
  twice_[2 * 70 + 1] += static_cast<float>(1.01 * kBound);
  const OutputComparison c = Compare(0);
  EXPECT_EQ(c.mismatches, 1);
  EXPECT_EQ(c.first_mismatch.rfind("[70, 1] (token 70, element 1): expected 40 within 0.001", 0),
            0u)
      << c.first_mismatch;
  EXPECT_NEAR(c.max_error, 1.01 * kBound, 1e-5);
  EXPECT_GT(c.max_ratio, 1);
}

TEST_F(CompareTest, AnErrorWithinTheBoundAgrees) {
  twice_[2 * 70 + 1] += static_cast<float>(0.9 * kBound);
  const OutputComparison c = Compare(0);
  EXPECT_TRUE(c.ok());
  EXPECT_NEAR(c.max_ratio, 0.9, 0.01);
}

TEST_F(CompareTest, WithoutABoundOnlyTheRoundingIsAdmitted) {
  twice_[2 * 70] = std::nextafter(twice_[2 * 70], 100.0f);
  EXPECT_EQ(Compare(0).mismatches, 1);
}

TEST_F(CompareTest, ANumberReplacesTheBound) {
  twice_[2 * 70 + 1] += 0.5f;
  EXPECT_EQ(Compare(0, {Kind::kNumber, 0.012}).mismatches, 1);  // 0.492 at 40
  EXPECT_EQ(Compare(0, {Kind::kNumber, 0.0125}).mismatches, 0);
}

TEST_F(CompareTest, TheDevicesToleranceAddsTheRoundingOfItsProbabilities) {
  twice_[2 * 70 + 1] += static_cast<float>(0.9 * (kBound + kDeviceBound));
  EXPECT_EQ(Compare(0).mismatches, 1);
  EXPECT_EQ(Compare(0, {Kind::kDevice}).mismatches, 0);
  twice_[2 * 70 + 1] += static_cast<float>(0.2 * (kBound + kDeviceBound));
  EXPECT_EQ(Compare(0, {Kind::kDevice}).mismatches, 1);
}

TEST_F(CompareTest, BitsAdmitNothing) {
  EXPECT_TRUE(Compare(0, {Kind::kBits}).ok());
  twice_[2 * 70 + 1] = std::nextafter(twice_[2 * 70 + 1], 100.0f);
  EXPECT_EQ(Compare(0, {Kind::kBits}).mismatches, 1);
  twice_[2 * 50] = -0.0f;
  EXPECT_EQ(Compare(0, {Kind::kBits}).mismatches, 2);
  EXPECT_EQ(Compare(0).mismatches, 0);
  SetList(5, {0, 2, 1, -1});
  EXPECT_TRUE(Compare(1).ok());
  EXPECT_EQ(Compare(1, {Kind::kBits}).mismatches, 2);
}

TEST_F(CompareTest, AnOutputMayHaveAToleranceOfItsOwn) {
  const Tolerances tolerances = {{Kind::kBits}, {{"best", {Kind::kFp32}}}};
  EXPECT_EQ(tolerances.Of("best").kind, Kind::kFp32);
  EXPECT_EQ(tolerances.Of("twice").kind, Kind::kBits);
}

TEST_F(CompareTest, NanMeetsNanOnly) {
  input_[3] = twice_[6] = twice_[7] = static_cast<float>(kNan);
  EXPECT_EQ(Compare(0).mismatches, 0);
  twice_[6] = 0;
  EXPECT_EQ(Compare(0).mismatches, 1);
  twice_[0] = static_cast<float>(kNan);
  EXPECT_EQ(Compare(0).mismatches, 2);
}

TEST_F(CompareTest, AnInfinityMeetsTheSameInfinityOnly) {
  input_[3] = twice_[6] = twice_[7] = static_cast<float>(kInf);
  EXPECT_EQ(Compare(0).mismatches, 0);
  twice_[6] = static_cast<float>(-kInf);
  EXPECT_EQ(Compare(0).mismatches, 1);
  twice_[7] = std::numeric_limits<float>::max();
  EXPECT_EQ(Compare(0).mismatches, 2);
  twice_[0] = static_cast<float>(kInf);
  EXPECT_EQ(Compare(0).mismatches, 3);
  EXPECT_EQ(Compare(0, {Kind::kNumber, 1}).mismatches, 3);
}

TEST_F(CompareTest, OnlyTheRowsAskedForAreCompared) {
  twice_[2 * 70] += 1;
  const auto without = CompareWithReference(Fake(), &params_, {0, 69, 71, 99}, 1);
  ASSERT_TRUE(without.ok());
  EXPECT_TRUE((*without)[0].ok());
  const auto with = CompareWithReference(Fake(), &params_, {70}, 1);
  ASSERT_TRUE(with.ok());
  EXPECT_FALSE((*with)[0].ok());
  EXPECT_FALSE(CompareWithReference(Fake(), &params_, {kRows}, 1).ok());
  EXPECT_FALSE(CompareWithReference(Fake(), &params_, {-1}, 1).ok());
}

TEST_F(CompareTest, AbsentOutputsAreNotCompared) {
  params_.twice = {};
  const auto compared = CompareWithReference(Fake(), &params_, {0}, 1);
  ASSERT_TRUE(compared.ok());
  ASSERT_EQ(compared->size(), 1u);
  EXPECT_EQ((*compared)[0].output, "best");
}

TEST_F(CompareTest, StridedOutputsAreReadThroughTheirStrides) {
  float wide[3 * kRows];
  for (int64_t i = 0; i < kRows; ++i) {
    wide[3 * i] = twice_[2 * i];
    wide[3 * i + 1] = twice_[2 * i + 1];
    wide[3 * i + 2] = static_cast<float>(kNan);
  }
  params_.twice.data = wide;
  params_.twice.strides[0] = 3;
  EXPECT_TRUE(Compare(0).ok());
}

TEST_F(CompareTest, IndicesOfEqualScoreMaySwap) {
  SetList(5, {0, 2, 1, -1});
  const OutputComparison c = Compare(1);
  EXPECT_TRUE(c.ok()) << c.first_mismatch;
  EXPECT_EQ(c.swapped, 2);
  EXPECT_NEAR(c.max_error, 1.5 * kBound, 1e-9);
}

TEST_F(CompareTest, IndicesOfWorseScoreAreMismatches) {
  SetList(5, {0, 1, 3, -1});
  EXPECT_EQ(Compare(1).mismatches, 1);
  SetList(5, {1, 0, 2, -1});
  EXPECT_EQ(Compare(1).mismatches, 2);
}

TEST_F(CompareTest, RepeatedIndicesAreMismatches) {
  SetList(5, {0, 1, 1, -1});
  const OutputComparison c = Compare(1);
  EXPECT_EQ(c.mismatches, 1);
  EXPECT_NE(c.first_mismatch.find("distinct"), std::string::npos) << c.first_mismatch;
}

TEST_F(CompareTest, IndicesOutOfRangeAreMismatches) {
  SetList(5, {0, 1, 6, -1});
  EXPECT_EQ(Compare(1).mismatches, 1);
  SetList(5, {0, 1, -2, -1});
  EXPECT_EQ(Compare(1).mismatches, 1);
}

TEST_F(CompareTest, MinusOneStandsExactlyWhereTheReferencePutsIt) {
  SetList(5, {0, 1, -1, -1});
  EXPECT_EQ(Compare(1).mismatches, 1);
  SetList(5, {0, 1, 2, 3});
  EXPECT_EQ(Compare(1).mismatches, 1);
  SetList(5, {0, 1, -1, 2});
  EXPECT_EQ(Compare(1).mismatches, 2);
}

TEST_F(CompareTest, ExpectedResultsAreComparedRowByRow) {
  float expected[2 * kRows] = {};
  std::copy(std::begin(twice_), std::end(twice_), expected);
  const TensorView view(expected, DType::kFloat32, {kRows, 2});
  EXPECT_TRUE(CompareExpected("twice", view).ok());
  expected[2 * 99 + 1] += 0.02f;
  const OutputComparison c = CompareExpected("twice", view);
  EXPECT_EQ(c.mismatches, 1);
  EXPECT_EQ(c.differing_rows, 1);
  EXPECT_EQ(c.judged_rows, 1);
  EXPECT_EQ(c.first_mismatch.rfind("[99, 1] (token 99, element 1): ", 0), 0u) << c.first_mismatch;
  ASSERT_EQ(c.first.size(), 1u);
  EXPECT_EQ(c.first[0].tamis, 98);
  EXPECT_EQ(c.first[0].expected, static_cast<double>(98.02f));
  EXPECT_EQ(c.first[0].reference, 98);
}

TEST_F(CompareTest, AnExpectedValueMayMissTheReferenceByItsOwnToleranceAlone) {
  float expected[2 * kRows] = {};
  const TensorView view(expected, DType::kFloat32, {kRows, 2});
  std::copy(std::begin(twice_), std::end(twice_), expected);
  expected[2 * 70 + 1] += static_cast<float>(0.9 * (kBound + kDeviceBound));
  EXPECT_TRUE(CompareExpected("twice", view).ok());
  EXPECT_EQ(CompareExpected("twice", view, {Kind::kFp32}).mismatches, 1);
  expected[2 * 70] = std::nextafter(expected[2 * 70], 100.0f);  // statistics, say: no bound there
  EXPECT_EQ(CompareExpected("twice", view).mismatches, 1);
}

TEST_F(CompareTest, OurSideIsJudgedByTheReferenceToo) {
  float expected[2 * kRows] = {};
  std::copy(std::begin(twice_), std::end(twice_), expected);
  twice_[2 * 70 + 1] += static_cast<float>(2 * kBound);  // less than a device may err
  const OutputComparison c =
      CompareExpected("twice", TensorView(expected, DType::kFloat32, {kRows, 2}));
  EXPECT_EQ(c.mismatches, 1);
}

TEST_F(CompareTest, RowsThatTheReferenceIsNotAskedForLieWithinTheLargestBounds) {
  float expected[2 * kRows] = {};
  const TensorView view(expected, DType::kFloat32, {kRows, 2});
  for (int i = 0; i < 2 * kRows; ++i)
    expected[i] = twice_[i] + static_cast<float>(i % 2 == 1 ? 0.5 * kDeviceBound : 0);
  OutputComparison c = CompareExpected("twice", view, {Kind::kDevice}, 10);
  EXPECT_TRUE(c.ok()) << c.first_mismatch;
  EXPECT_EQ(c.differing_rows, kRows);
  EXPECT_LE(c.judged_rows, 10);
  // Planted: the worst are judged, and the others counted.
  for (int row = 20; row < 60; ++row) expected[2 * row + 1] += 1;
  c = CompareExpected("twice", view, {Kind::kDevice}, 10);
  EXPECT_EQ(c.mismatches, 40);
  EXPECT_EQ(c.pattern, "element 1, tokens 20 to 59");
  EXPECT_EQ(c.first[0].reference, -60) << "shown beside what was found without it";
}

TEST_F(CompareTest, TheCoarserDtypeIsThatOfTheRounding) {
  uint16_t expected[2 * kRows];
  for (int i = 0; i < 2 * kRows; ++i) expected[i] = base::FloatToBFloat16(twice_[i]);
  EXPECT_TRUE(CompareExpected("twice", TensorView(expected, DType::kBFloat16, {kRows, 2})).ok());
  for (int i = 0; i < 2 * kRows; ++i) expected[i] = base::FloatToBFloat16(twice_[i] * 1.01f);
  EXPECT_FALSE(CompareExpected("twice", TensorView(expected, DType::kBFloat16, {kRows, 2})).ok());
}

TEST_F(CompareTest, ARepeatedIndexAmongExpectedOnesIsAMismatch) {
  int64_t expected[4 * kRows];
  std::copy(std::begin(best_), std::end(best_), expected);
  expected[4 * 8 + 2] = 1;  // as good as the 2 that belongs there
  const OutputComparison c =
      CompareExpected("best", TensorView(expected, DType::kInt64, {kRows, 1, 4}));
  EXPECT_EQ(c.mismatches, 1);
  EXPECT_NE(c.first_mismatch.find("distinct"), std::string::npos) << c.first_mismatch;
}

TEST_F(CompareTest, DifferencesAreGivenElementByElementWhereAskedFor) {
  twice_[2 * 70 + 1] += 0.5f;
  const auto compared =
      CompareWithReference(Fake(), &params_, {0, 70}, 1, {.tolerances = {}, .differences = true});
  ASSERT_TRUE(compared.ok());
  const OutputComparison& c = (*compared)[0];
  ASSERT_EQ(c.difference.size(), static_cast<size_t>(2 * kRows));
  EXPECT_EQ(c.difference[141], 0.5f);
  EXPECT_EQ(c.difference[0], 0);
  EXPECT_TRUE(std::isnan(c.difference[2]));
  EXPECT_EQ(c.differs[141], 1);
  EXPECT_EQ(std::count(c.differs.begin(), c.differs.end(), 1), 1);
  EXPECT_TRUE(Compare(0).difference.empty());
}

TEST_F(CompareTest, ExpectedIndicesMayDifferWhereScoresDoNot) {
  int64_t expected[4 * kRows];  // another integer type is fine
  std::copy(std::begin(best_), std::end(best_), expected);
  const TensorView view(expected, DType::kInt64, {kRows, 1, 4});
  EXPECT_TRUE(CompareExpected("best", view).ok());
  std::swap(expected[4 * 8 + 1], expected[4 * 8 + 2]);
  OutputComparison c = CompareExpected("best", view);
  EXPECT_TRUE(c.ok()) << c.first_mismatch;
  EXPECT_EQ(c.swapped, 2);
  std::swap(expected[4 * 8], expected[4 * 8 + 1]);
  c = CompareExpected("best", view);
  EXPECT_EQ(c.mismatches, 2);
  EXPECT_EQ(c.first_mismatch.rfind("[8, 0, 0] (token 8, element 0): ", 0), 0u) << c.first_mismatch;
}

TEST(SpreadRows, HoldsFirstAndLastAndIsAscendingAndDistinct) {
  for (int64_t total : {1, 2, 3, 10, 256, 257, 1000, 65536}) {
    for (int64_t count : {1, 2, 3, 255, 256}) {
      const std::vector<int64_t> rows = SpreadRows(total, count);
      ASSERT_EQ(static_cast<int64_t>(rows.size()), std::min(total, count));
      EXPECT_EQ(rows.front(), 0);
      EXPECT_EQ(rows.back(), count > 1 ? total - 1 : 0);
      for (size_t i = 1; i < rows.size(); ++i) EXPECT_LT(rows[i - 1], rows[i]);
    }
  }
  EXPECT_TRUE(SpreadRows(0, 5).empty());
}

TEST(SpreadRows, MeetsEveryPhaseOfAPeriod) {
  std::vector<bool> met(16);
  for (int64_t row : SpreadRows(65536, 256)) met[static_cast<size_t>(row % 16)] = true;
  EXPECT_EQ(std::count(met.begin(), met.end(), true), 16);
}

}  // namespace
}  // namespace tamis::registry
