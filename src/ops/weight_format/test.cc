#include <gtest/gtest.h>

#include "tamis/ops/weight_format.hpp"
#include "tests/support/conformance.h"

namespace tamis::test {
namespace {

TestCall Convert(const char* op, DType dtype, int64_t rows, int64_t columns, int64_t gap) {
  TestCall call(op);
  call.Strided("weight", dtype, {rows, columns}, gap, [=](int64_t i) { return Draw(7, op, i); });
  return call;
}

TEST(WeightFormat, AgreesOverShapes) {
  for (const DType dtype : {DType::kBFloat16, DType::kFloat16, DType::kFloat32}) {
    for (const auto& [rows, columns] : {std::pair<int64_t, int64_t>{16, 16},
                                        {48, 32},
                                        {160, 16},
                                        {16, 176},
                                        {0, 32},
                                        {32, 0},
                                        {80, 112}}) {
      TestCall to = Convert("nd_to_nz", dtype, rows, columns, 5);
      ExpectConforms(to);
      TestCall from = Convert("nz_to_nd", dtype, rows, columns, 0);
      from.OutputGap(3);
      ExpectConforms(from);
    }
  }
}

TEST(WeightFormat, ElementsLieWhereTheFormulaSays) {
  TestCall call("nd_to_nz");
  call.Tensor("weight", DType::kFloat16, {32, 48},
              [](int64_t i) { return static_cast<double>(i); });
  ASSERT_TRUE(call.Run({}).ok());
  for (int64_t k = 0; k < 32; ++k) {
    for (int64_t n = 0; n < 48; ++n) {
      EXPECT_EQ(call.Got("output", n / 16 * 32 * 16 + k * 16 + n % 16),
                static_cast<double>(k * 48 + n));
    }
  }
}

// Every bit pattern, NaNs with payloads included.
TEST(WeightFormat, TheWayBackGivesEveryBit) {
  std::vector<uint16_t> bits(65536);
  for (size_t i = 0; i < bits.size(); ++i) bits[i] = static_cast<uint16_t>(i * 40503u);
  std::vector<uint16_t> nz(bits.size());
  std::vector<uint16_t> back(bits.size());
  const auto view = [](std::vector<uint16_t>& v) {
    return OutputView(v.data(), DType::kBFloat16, {512, 128});
  };
  ASSERT_TRUE(nd_to_nz::run({.weight = view(bits), .output = view(nz)}).ok());
  ASSERT_TRUE(nz_to_nd::run({.weight = view(nz), .output = view(back)}).ok());
  EXPECT_NE(nz, bits);
  EXPECT_EQ(back, bits);
}

TEST(WeightFormat, BadArgumentsAreRefusedByName) {
  for (const auto& [rows, columns] : {std::pair<int64_t, int64_t>{15, 16}, {16, 24}}) {
    for (const char* op : {"nd_to_nz", "nz_to_nd"}) {
      TestCall call = Convert(op, DType::kBFloat16, rows, columns, 0);
      ExpectRefused(call, StatusCode::kInvalidArgument, "weight");
    }
  }
  TestCall strided_input = Convert("nz_to_nd", DType::kBFloat16, 32, 32, 16);
  ExpectRefused(strided_input, StatusCode::kInvalidArgument, "weight");
  TestCall strided_output = Convert("nd_to_nz", DType::kBFloat16, 32, 32, 0);
  strided_output.OutputGap(16);
  ExpectRefused(strided_output, StatusCode::kInvalidArgument, "output");
  TestCall doubles = Convert("nd_to_nz", DType::kFloat64, 32, 32, 0);
  ExpectRefused(doubles, StatusCode::kInvalidArgument, "weight");
  TestCall flat("nd_to_nz");
  flat.Tensor("weight", DType::kBFloat16, {256}, [](int64_t) { return 0.0; });
  ExpectRefused(flat, StatusCode::kInvalidArgument, "weight");
}

}  // namespace
}  // namespace tamis::test
