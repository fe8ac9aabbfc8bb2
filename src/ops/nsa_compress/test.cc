#include <gtest/gtest.h>

#include <cmath>

#include "tests/support/refusals.h"
#include "tests/support/sequences.h"

namespace tamis::test {
namespace {

TestCall Compress(DType dtype, int64_t heads, int64_t dim, int64_t block, int64_t stride,
                  const std::vector<int64_t>& lengths, uint64_t seed, int64_t gap = 0) {
  Random random(seed);
  const std::vector<int64_t> prefix = Prefix(lengths);
  const int64_t tokens = prefix.empty() ? 0 : prefix.back();
  TestCall call("nsa_compress");
  const auto normal = [&](int64_t) { return random.Normal(); };
  call.Strided("input", dtype, {tokens, heads, dim}, gap, normal)
      .Strided("weight", dtype, {block, heads}, gap, normal)
      .Set("act_seq_len", prefix)
      .Set("compress_block_size", block)
      .Set("compress_stride", stride)
      .OutputGap(gap);
  return call;
}

TEST(NsaCompress, AgreesOverDtypesShapesAndRaggedLengths) {
  Random random(1);
  for (DType dtype : {DType::kFloat16, DType::kBFloat16, DType::kFloat32}) {
    for (int i = 0; i < 12; ++i) {
      const int64_t block = random.Between(1, 40);
      const int64_t stride = random.Between(1, block);
      std::vector<int64_t> lengths;
      for (int64_t b = random.Between(1, 5); b > 0; --b)
        lengths.push_back(random.Between(0, 3 * block));
      TestCall call = Compress(dtype, random.Between(1, 5), random.Between(1, 200), block, stride,
                               lengths, random.Next(), random.Between(0, 1) * 3);
      ExpectConforms(call);
    }
  }
}

TEST(NsaCompress, AgreesAtTheDocumentsDims) {
  for (int64_t dim : {32, 64, 128, 192, 256}) {
    TestCall call = Compress(DType::kBFloat16, 4, dim, 32, 16, {300, 31, 0, 32}, 7);
    ExpectConforms(call);
  }
}

TEST(NsaCompress, ShortSequencesGiveNothingAndOutputsStayPacked) {
  // Lengths 31, 32, 0, 100 with windows of 32 every 16: 0, 1, 0, 5 windows.
  TestCall call = Compress(DType::kFloat16, 1, 16, 32, 16, {31, 32, 0, 100}, 3);
  ASSERT_TRUE(call.Run({}).ok());
  EXPECT_EQ(call.OutputElems("output"), 6 * 16);
  TestCall none = Compress(DType::kFloat16, 1, 16, 32, 16, {31, 31}, 3);
  ASSERT_TRUE(none.Run({}).ok());
  EXPECT_EQ(none.OutputElems("output"), 0);
}

TEST(NsaCompress, AllOnesGiveTheWindowSize) {
  TestCall call("nsa_compress");
  const auto one = [](int64_t) { return 1.0; };
  call.Tensor("input", DType::kFloat16, {64, 4, 32}, one)
      .Tensor("weight", DType::kFloat16, {32, 4}, one)
      .Set("act_seq_len", std::vector<int64_t>{64})
      .Set("compress_block_size", 32)
      .Set("compress_stride", 32);
  ASSERT_TRUE(call.Run({}).ok());
  ASSERT_EQ(call.OutputElems("output"), 2 * 4 * 32);
  for (int64_t i = 0; i < call.OutputElems("output"); ++i) EXPECT_EQ(call.Got("output", i), 32.0);
}

TEST(NsaCompress, OneHotWeightCopiesStridedTokens) {
  TestCall call("nsa_compress");
  call.Tensor("input", DType::kBFloat16, {50, 2, 5},
              [](int64_t i) { return static_cast<double>(i % 251); })
      .Tensor("weight", DType::kBFloat16, {8, 2}, [](int64_t i) { return i / 2 == 3 ? 1.0 : 0.0; })
      .Set("act_seq_len", std::vector<int64_t>{50})
      .Set("compress_block_size", 8)
      .Set("compress_stride", 5);
  ASSERT_TRUE(call.Run({}).ok());
  const int64_t windows = (50 - 8) / 5 + 1;
  ASSERT_EQ(call.OutputElems("output"), windows * 10);
  for (int64_t i = 0; i < windows; ++i) {
    for (int64_t c = 0; c < 10; ++c) {
      EXPECT_EQ(call.Got("output", i * 10 + c), static_cast<double>(((i * 5 + 3) * 10 + c) % 251));
    }
  }
}

TEST(NsaCompress, PermutingSequencesPermutesTheirOutputs) {
  Random random(11);
  std::vector<double> tokens(90 * 6);
  for (double& x : tokens) x = random.Normal();
  std::vector<double> weights(16 * 2);
  for (double& x : weights) x = random.Normal();
  const auto make = [&](std::vector<int64_t> prefix, int64_t rotate) {
    TestCall call("nsa_compress");
    call.Tensor("input", DType::kFloat16, {90, 2, 3},
                [&](int64_t i) { return tokens[static_cast<size_t>((i + rotate * 6) % (90 * 6))]; })
        .Tensor("weight", DType::kFloat16, {16, 2}, Elements(weights))
        .Set("act_seq_len", std::move(prefix))
        .Set("compress_block_size", 16)
        .Set("compress_stride", 8);
    return call;
  };
  TestCall forward = make({40, 90}, 0);    // 40 tokens, then 50
  TestCall backward = make({50, 90}, 40);  // the 50 first
  ASSERT_TRUE(forward.Run({}).ok());
  ASSERT_TRUE(backward.Run({}).ok());
  const int64_t first = 4 * 6;   // (40 - 16) / 8 + 1 windows
  const int64_t second = 5 * 6;  // (50 - 16) / 8 + 1
  for (int64_t i = 0; i < first; ++i)
    EXPECT_EQ(forward.Got("output", i), backward.Got("output", second + i));
  for (int64_t i = 0; i < second; ++i)
    EXPECT_EQ(forward.Got("output", first + i), backward.Got("output", i));
}

TEST(NsaCompress, LengthsMayBeGivenAsCounts) {
  TestCall prefix = Compress(DType::kFloat16, 2, 24, 16, 8, {40, 20, 33}, 5);
  TestCall counts = Compress(DType::kFloat16, 2, 24, 16, 8, {40, 20, 33}, 5);
  counts.Set("act_seq_len", std::vector<int64_t>{40, 20, 33}).Set("act_seq_len_type", 1);
  ExpectSameBytes(prefix, counts);
  counts.Set("strict", true);
  ExpectRefused(counts, StatusCode::kInvalidArgument, "act_seq_len_type");
}

TEST(NsaCompress, NanStaysInItsWindowsAndColumn) {
  TestCall call("nsa_compress");
  call.Tensor("input", DType::kBFloat16, {40, 1, 20},
              [](int64_t i) { return i == 17 * 20 + 4 ? NAN : 1.0; })
      .Tensor("weight", DType::kBFloat16, {8, 1}, [](int64_t) { return 0.5; })
      .Set("act_seq_len", std::vector<int64_t>{40})
      .Set("compress_block_size", 8)
      .Set("compress_stride", 4);
  for (Level level : {Level::kScalar, Level::kAuto}) {
    ASSERT_TRUE(call.Run({.level = level}).ok());
    for (int64_t i = 0; i < call.OutputElems("output"); ++i) {
      const int64_t window = i / 20;
      const bool touched = i % 20 == 4 && window * 4 <= 17 && 17 < window * 4 + 8;
      EXPECT_EQ(std::isnan(call.Got("output", i)), touched)
          << "window " << window << " column " << i % 20;
    }
  }
}

TEST(NsaCompress, EmptyInputGivesEmptyOutputUnlessStrict) {
  ExpectRefusedByStrictAlone(Compress(DType::kFloat16, 2, 16, 16, 16, {}, 1), "input");
  ExpectRefusedByStrictAlone(Compress(DType::kFloat16, 2, 16, 16, 16, {0, 0}, 1), "input");
  ExpectRefusedByStrictAlone(Compress(DType::kFloat16, 0, 16, 16, 16, {40}, 1), "input");
  ExpectRefusedByStrictAlone(Compress(DType::kFloat16, 2, 0, 16, 16, {40}, 1), "input");
}

TEST(NsaCompress, StrictTakesSequencesWithoutAWindow) {
  ExpectAllowedByStrict(Compress(DType::kFloat16, 2, 16, 32, 16, {31, 0, 31}, 1));
}

TEST(NsaCompress, BadLengthsAreRefusedByName) {
  const auto with = [](std::vector<int64_t> lengths) {
    TestCall call = Compress(DType::kFloat16, 2, 16, 16, 16, {40, 20}, 1);
    call.Set("act_seq_len", std::move(lengths));
    return call;
  };
  for (const auto& bad : std::vector<std::vector<int64_t>>{
           {41}, {59}, {61}, {}, {40, 30, 60}, {-1, 60}, {INT64_MAX, 60}, {INT64_MIN, 60}}) {
    TestCall call = with(bad);
    ExpectRefused(call, StatusCode::kInvalidArgument, "act_seq_len");
  }
  TestCall overflow = with({INT64_MAX, INT64_MAX});
  overflow.Set("act_seq_len_type", 1);
  ExpectRefused(overflow, StatusCode::kInvalidArgument, "act_seq_len");
}

TEST(NsaCompress, LengthsAreRequired) {
  TestCall call = Compress(DType::kFloat16, 2, 16, 16, 16, {40}, 1);
  ExpectRefusedAfter(call, Without("act_seq_len"), "act_seq_len", StatusCode::kNullArgument);
}

TEST(NsaCompress, ShapesAndDtypesThatDisagreeAreRefusedByName) {
  const auto refuse = [](const Change& change, const char* argument) {
    ExpectRefusedAfter(Compress(DType::kFloat16, 2, 16, 16, 16, {40}, 1), change, argument);
  };
  refuse(Filled("weight", DType::kFloat16, {16, 3}), "weight");
  refuse(Filled("weight", DType::kFloat16, {15, 2}), "weight");
  refuse(Filled("weight", DType::kFloat16, {16}), "weight");
  refuse(Filled("weight", DType::kBFloat16, {16, 2}), "weight");
  refuse(Filled("input", DType::kInt32, {40, 2, 16}), "input");
  refuse(Filled("input", DType::kFloat16, {40, 32}), "input");
  for (const char* layout : {"BSH", "SBH", "BSND", "BNSD", "tnd"})
    refuse(With("layout", std::string(layout)), "layout");
}

TEST(NsaCompress, BadAttributesAreRefusedByName) {
  const auto with = [](const char* name, int64_t value) {
    TestCall call = Compress(DType::kFloat16, 2, 16, 16, 16, {40}, 1);
    call.Set(name, value);
    return call;
  };
  for (int64_t bad : {int64_t{0}, int64_t{-16}, int64_t{17}, INT64_MAX, INT64_MIN}) {
    TestCall call = with("compress_stride", bad);
    ExpectRefused(call, StatusCode::kInvalidArgument, "compress_stride");
  }
  TestCall block = with("compress_block_size", 32);  // disagrees with weight
  ExpectRefused(block, StatusCode::kInvalidArgument, "weight");
  TestCall type = with("act_seq_len_type", 2);
  ExpectRefused(type, StatusCode::kInvalidArgument, "act_seq_len_type");
}

TEST(NsaCompress, StrictEnforcesTheDocumentsLimits) {
  struct Case {
    int64_t heads, dim, block, stride;
    const char* argument;  // null: accepted
  };
  for (const Case& c :
       {Case{128, 256, 128, 128, nullptr}, Case{1, 16, 48, 32, nullptr},
        Case{129, 16, 16, 16, "input"}, Case{1, 24, 16, 16, "input"}, Case{1, 272, 16, 16, "input"},
        Case{1, 16, 24, 16, "compress_block_size"}, Case{1, 16, 144, 16, "compress_block_size"},
        Case{1, 16, 32, 8, "compress_stride"}}) {
    TestCall call = Compress(DType::kFloat16, c.heads, c.dim, c.block, c.stride, {150}, 2);
    if (c.argument == nullptr) {
      ExpectAllowedByStrict(call);
    } else {
      ExpectRefusedByStrictAlone(call, c.argument);
    }
  }
}

}  // namespace
}  // namespace tamis::test
