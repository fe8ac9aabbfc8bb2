#include <gtest/gtest.h>

#include <cmath>

#include "base/cpu_features.h"
#include "base/dtype.h"
#include "prim/formats/key_shadow_reference.h"
#include "tests/support/refusals.h"

namespace tamis::test {
namespace {

// Keys of all sizes, some of them zeros, not finite, tiny or huge.
double SomeKey(int64_t row, Random* random) {
  switch (row % 23) {
    case 3: return 0.0;
    case 7: return random->Normal() * 0x1p-110;
    case 11: return random->Normal() * 0x1p90;
    case 13: return row % 2 == 0 ? NAN : kInfinity;
    case 17: return random->Normal() * 0x1p-20;
    default: return random->Normal() * std::exp2(static_cast<double>(row % 9) - 4);
  }
}

TestCall Quantise(const std::string& layout, DType dtype, std::vector<int64_t> shape,
                  uint64_t seed) {
  Random random(seed);
  TestCall call("quantize_index_keys");
  const int64_t dim = shape.back();
  call.Strided("key", dtype, std::move(shape), 5,
               [&](int64_t i) { return dim == 0 ? 0.0 : SomeKey(i / dim, &random); })
      .Set("layout_key", layout)
      .OutputGap(3);
  return call;
}

TEST(QuantizeIndexKeys, WritesTheSameBytesAtEveryLevel) {
  for (const DType dtype : {DType::kBFloat16, DType::kFloat16, DType::kFloat32}) {
    for (const int64_t dim : {1, 7, 16, 63, 64, 65, 100, 128, 200, 1024}) {
      for (const auto& [layout, shape] : std::vector<std::pair<std::string, std::vector<int64_t>>>{
               {"BSND", {2, 37, 1, dim}}, {"TND", {50, 1, dim}}, {"PA_BSND", {3, 24, 1, dim}}}) {
        TestCall call = Quantise(layout, dtype, shape, 91);
        SCOPED_TRACE(layout + ", dim " + std::to_string(dim));
        ExpectConforms(call);
      }
    }
  }
}

TEST(QuantizeIndexKeys, EmptyKeysAndDimsAreFine) {
  for (const std::vector<int64_t>& shape :
       {std::vector<int64_t>{0, 16, 1, 8}, {2, 0, 1, 8}, {2, 5, 1, 0}}) {
    TestCall call = Quantise("BSND", DType::kBFloat16, shape, 92);
    ExpectConforms(call);
  }
}

// What the bounds promise, in float64.
TEST(QuantizeIndexKeys, ErrorsAndNormsAreBounds) {
  Random random(93);
  double loosest = 0;
  for (int i = 0; i < 4000; ++i) {
    const DType dtype = i % 2 == 0 ? DType::kBFloat16 : DType::kFloat16;
    std::vector<float> key(static_cast<size_t>(random.Between(1, 200)));
    uint16_t half = 0;
    for (float& x : key) {
      base::StoreDouble(&half, dtype, 0, i % 7 == 0 ? 1.0 : SomeKey(i, &random));
      x = static_cast<float>(base::LoadAsDouble(&half, dtype, 0));
    }
    const prim::ShadowedKey shadow = prim::EncodeShadow(key);
    if (!std::isfinite(shadow.bounds.error)) continue;
    double error = 0;
    double norm = 0;
    for (size_t d = 0; d < key.size(); ++d) {
      const double value = static_cast<double>(shadow.bounds.scale) * shadow.integers[d];
      error += (key[d] - value) * (key[d] - value);
      norm += value * value;
    }
    EXPECT_LE(std::sqrt(error), shadow.bounds.error) << i;
    EXPECT_LE(std::sqrt(norm), shadow.bounds.norm) << i;
    // Neither of few bits nor of few values.
    if (dtype == DType::kBFloat16 && i % 7 != 0 && key.size() > 50 && shadow.bounds.norm > 0)
      loosest = std::max(loosest, shadow.bounds.error / std::sqrt(error));
  }
  EXPECT_LT(loosest, 1.1);
}

TEST(QuantizeIndexKeys, BadArgumentsAreRefusedByName) {
  TestCall call("quantize_index_keys");
  call.Tensor("key", DType::kFloat16, {2, 20, 1, 40}, [](int64_t) { return 1.0; });
  ExpectConforms(call);
  ExpectRefusedAfter(call, Without("key"), "key", StatusCode::kNullArgument);
  ExpectRefusedAfter(call, Filled("key", DType::kInt32, {2, 20, 1, 40}), "key");
  ExpectRefusedAfter(call, Filled("key", DType::kFloat16, {2, 20, 2, 40}), "key");
  ExpectRefusedAfter(call, Filled("key", DType::kFloat16, {1, 1, 1, 1025}), "key");
  ExpectRefusedAfter(call, With("layout_key", std::string("TND")), "key");
}

}  // namespace
}  // namespace tamis::test
