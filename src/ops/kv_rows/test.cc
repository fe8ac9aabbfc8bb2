#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <limits>
#include <tuple>

#include "base/dtype.h"
#include "prim/formats/kv_row_reference.h"
#include "tests/support/kv_rows.h"
#include "tests/support/levels.h"
#include "tests/support/refusals.h"

namespace tamis::test {
namespace {

const char* const kFormats[] = {"cann656", "flashmla656", "flashmla584"};
constexpr DType kHalves[] = {DType::kBFloat16, DType::kFloat16};
constexpr DType kDTypes[] = {DType::kBFloat16, DType::kFloat16, DType::kFloat32};

TestCall Pack(const std::string& format, DType dtype, int64_t rows, int64_t latent_dim,
              int64_t rope_dim, uint64_t seed, int64_t gap = 0) {
  Random random(seed);
  TestCall call("pack_kv_rows");
  // Groups of all sizes, from nothing to large.
  call.Strided("latent", dtype, {rows, latent_dim}, gap, [&](int64_t i) {
    const int64_t group = i / KvFormatOf(format, 0, 0).group;
    return group % 5 == 4 ? 0.0
                          : random.Normal() * std::exp2(static_cast<double>(group % 7) * 3 - 12);
  });
  call.Strided("rope", dtype, {rows, rope_dim}, gap, [&](int64_t) { return random.Normal(); });
  call.Set("kv_format", format);
  return call;
}

// Unpacks rows of the format; they come later.
TestCall Unpack(const std::string& format, DType dtype, int64_t rope_dim) {
  TestCall call("unpack_kv_rows");
  call.Set("kv_format", format).Set("rope_dim", rope_dim);
  call.Set("dtype", std::string(base::Name(dtype)));
  return call;
}

// The output of a run as an input: rows of bytes, or halves.
void Take(TestCall& to, const char* name, const TestCall& from, const char* output, DType dtype,
          std::vector<int64_t> shape) {
  to.Tensor(name, dtype, std::move(shape), [&](int64_t i) { return from.Got(output, i); });
}

TEST(KvRows, AgreeOverFormatsDtypesAndSizes) {
  uint64_t seed = 121;
  for (const char* format : kFormats) {
    for (DType dtype : kDTypes) {
      const int64_t kSizes[][3] = {{70, 512, 64}, {3, 128, 1}, {5, 256, 0}, {2, 0, 3}, {0, 128, 4}};
      for (const auto& [rows, latent_dim, rope_dim] : kSizes) {
        const int64_t width = KvFormatOf(format, latent_dim, rope_dim).width();
        TestCall pack = Pack(format, dtype, rows, latent_dim, rope_dim, ++seed);
        ExpectConforms(pack);
        TestCall unpack = Unpack(format, dtype, rope_dim);
        Take(unpack, "rows", pack, "rows", DType::kUInt8, {rows, width});
        ExpectConforms(unpack);
        for (int64_t i = 0; i < rows * rope_dim; ++i) {
          const double rope = base::LoadAsDouble(pack.view("rope").data, dtype, i);
          EXPECT_EQ(unpack.Got("rope", i),
                    dtype != DType::kFloat32
                        ? rope
                        : base::BFloat16ToFloat(base::FloatToBFloat16(static_cast<float>(rope))));
        }
      }
    }
  }
}

TEST(KvRows, StridedRowsAtOddAddresses) {
  for (const char* format : {"cann656", "flashmla656"}) {
    TestCall pack = Pack(format, DType::kFloat16, 4, 128, 3, 122, 5);
    pack.OutputGap(3);
    ExpectConforms(pack);
    TestCall unpack = Unpack(format, DType::kFloat16, 3);
    unpack.Strided("rows", DType::kUInt8, {4, 138}, 1,
                   [&](int64_t i) { return pack.Got("rows", i); });
    unpack.OutputGap(1);
    ExpectConforms(unpack);
  }
}

TEST(KvRows, BytesOfADeepSeekKey) {
  const std::tuple<const char*, int64_t, int64_t> formats[] = {
      {"cann656", 512, 656}, {"flashmla656", 512, 656}, {"flashmla584", 448, 584}};
  for (const auto& [format, latent_dim, bytes] : formats) {
    TestCall pack = Pack(format, DType::kBFloat16, 1, latent_dim, 64, 123);
    ASSERT_TRUE(pack.Run({}).ok());
    EXPECT_EQ(pack.OutputElems("rows"), bytes);
  }
}

// A page of two keys, worked by hand: rows of 64 codes and one rotary channel, then a scale and a
// byte of padding for each.
TEST(KvRows, ScalesApartFollowTheRowsOfThePage) {
  TestCall pack("pack_kv_rows");
  pack.Tensor("latent", DType::kBFloat16, {2, 64}, [](int64_t i) {
    return i == 0 ? 448.0 : i == 64 ? -3.5 : 0.0;
  });
  pack.Tensor("rope", DType::kBFloat16, {2, 1}, [](int64_t i) { return i == 0 ? 1.0 : -2.0; });
  pack.Set("kv_format", "flashmla584");
  for (Level level : TestedLevels()) {
    ASSERT_TRUE(pack.Run({.level = level}).ok());
    EXPECT_EQ(pack.Got("rows", 0), 0x7e);   // 448, scale 1
    EXPECT_EQ(pack.Got("rows", 64), 0x80);  // 1 in bfloat16 is 0x3f80
    EXPECT_EQ(pack.Got("rows", 65), 0x3f);
    EXPECT_EQ(pack.Got("rows", 66), 0xfe);       // -448, scale 2^-7
    EXPECT_EQ(pack.Got("rows", 66 + 65), 0xc0);  // -2 is 0xc000
    EXPECT_EQ(pack.Got("rows", 132), 127);
    EXPECT_EQ(pack.Got("rows", 133), 0);
    EXPECT_EQ(pack.Got("rows", 134), 120);
    EXPECT_EQ(pack.Got("rows", 135), 0);
  }
  ExpectConforms(pack);
}

// 0 is 2^-127, 255 is NaN.
TEST(KvRows, EveryScaleOfE8M0IsDecodedExactly) {
  const prim::KvRow row = prim::KvRow::FlashMlaApart(64, 0);
  TestCall unpack = Unpack("flashmla584", DType::kBFloat16, 0);
  unpack.Tensor("rows", DType::kUInt8, {256, row.width()}, [&](int64_t i) {
    const int64_t apart = i - 256 * 64;
    return static_cast<double>(apart < 0 ? 0x38 : apart % 2 == 0 ? apart / 2 : 0xff);  // 1.0
  });
  ExpectConforms(unpack);
  for (int64_t code = 0; code < 255; ++code)
    EXPECT_EQ(unpack.Got("latent", code * 64), std::ldexp(1.0, static_cast<int>(code) - 127));
  EXPECT_TRUE(std::isnan(unpack.Got("latent", 255 * 64)));
}

// Values of exact arithmetic: amax 127 gives scale 1.
TEST(KvRows, Int8IsTheNearestMultipleOfTheScaleTiesToEven) {
  TestCall pack("pack_kv_rows");
  const double kValues[] = {127, -127, 0.5, 1.5, 2.5, -0.5, -1.5, 63.25, 0, -0.0};
  const int kCodes[] = {127, -127, 0, 2, 2, 0, -2, 63, 0, 0};
  pack.Tensor("latent", DType::kFloat16, {1, 128},
              [&](int64_t i) { return i < 10 ? kValues[i] : 0.0; });
  pack.Tensor("rope", DType::kFloat16, {1, 0}, [](int64_t) { return 0.0; });
  for (Level level : TestedLevels()) {
    ASSERT_TRUE(pack.Run({.level = level}).ok());
    for (int64_t i = 0; i < 10; ++i)
      EXPECT_EQ(static_cast<int8_t>(static_cast<uint8_t>(pack.Got("rows", i))), kCodes[i]) << i;
    EXPECT_EQ(pack.Got("rows", 128 + 2), 0x80);  // 1.0f
    EXPECT_EQ(pack.Got("rows", 128 + 3), 0x3f);
  }
  ExpectConforms(pack);
}

// Every finite half is encoded, at a scale of 1: the group's largest value is 448.
TEST(KvRows, Fp8IsTheNearestCodeTiesToEven) {
  for (DType dtype : kHalves) {
    std::vector<double> values;
    for (int bits = 0; bits < 0x10000; ++bits) {
      const auto half = static_cast<uint16_t>(bits);
      const float x =
          dtype == DType::kBFloat16 ? base::BFloat16ToFloat(half) : base::Float16ToFloat(half);
      if (std::fabs(x) <= 448) values.push_back(static_cast<double>(x));
    }
    const auto rows = static_cast<int64_t>(values.size() + 126) / 127;
    TestCall pack("pack_kv_rows");
    pack.Tensor("latent", dtype, {rows, 128}, [&](int64_t i) {
      const auto at = static_cast<size_t>(i / 128 * 127 + i % 128 - 1);
      return i % 128 == 0 ? 448.0 : at < values.size() ? values[at] : 0.0;
    });
    pack.Tensor("rope", dtype, {rows, 0}, [](int64_t) { return 0.0; });
    pack.Set("kv_format", "flashmla656");
    ExpectConforms(pack);
    for (int64_t row = 0; row < rows; ++row) ASSERT_EQ(pack.Got("rows", row * 132), 0x7e);
  }
}

TEST(KvRows, Fp8CodesAndTheirValues) {
  EXPECT_EQ(prim::E4M3ToFloat(0x00), 0.0f);
  EXPECT_TRUE(std::signbit(prim::E4M3ToFloat(0x80)));
  EXPECT_EQ(prim::E4M3ToFloat(0x01), 0x1p-9f);  // least subnormal
  EXPECT_EQ(prim::E4M3ToFloat(0x07), 7 * 0x1p-9f);
  EXPECT_EQ(prim::E4M3ToFloat(0x08), 0x1p-6f);  // least normal
  EXPECT_EQ(prim::E4M3ToFloat(0x38), 1.0f);
  EXPECT_EQ(prim::E4M3ToFloat(0xb9), -1.125f);
  EXPECT_EQ(prim::E4M3ToFloat(0x7e), 448.0f);
  EXPECT_TRUE(std::isnan(prim::E4M3ToFloat(0x7f)));
  EXPECT_TRUE(std::isnan(prim::E4M3ToFloat(0xff)));
}

// All 256 codes, with several scales, at every level.
TEST(KvRows, EveryCodeIsDecodedExactly) {
  for (const char* format : {"cann656", "flashmla656"}) {
    for (DType dtype : kHalves) {
      const prim::KvRow row = KvFormatOf(format, 256, 0);
      const float scales[] = {1.0f, 0x1p-13f, 0.3f};
      TestCall unpack = Unpack(format, dtype, 0);
      unpack.Tensor("rows", DType::kUInt8, {3, row.width()}, [&](int64_t i) {
        const int64_t at = i % row.width();
        if (at < 256) return static_cast<double>(at);
        unsigned char bytes[4];
        std::memcpy(bytes, &scales[i / row.width()], 4);
        return static_cast<double>(bytes[at % 4]);
      });
      ExpectConforms(unpack);
      for (int64_t i = 0; i < 3 * 256; ++i) {
        const auto code = static_cast<uint8_t>(i % 256);
        const float q =
            row.fp8 ? prim::E4M3ToFloat(code) : static_cast<float>(static_cast<int8_t>(code));
        const float product = q * scales[i / 256];
        const float want = dtype == DType::kBFloat16
                               ? base::BFloat16ToFloat(base::FloatToBFloat16(product))
                               : base::Float16ToFloat(base::FloatToFloat16(product));
        if (std::isnan(want)) {
          EXPECT_TRUE(std::isnan(unpack.Got("latent", i)));
        } else {
          EXPECT_EQ(unpack.Got("latent", i), static_cast<double>(want)) << i;
        }
      }
    }
  }
}

void ExpectStable(const char* format, DType dtype, Level level) {
  constexpr int64_t kRows = 40;
  const int64_t width = KvFormatOf(format, 256, 6).width();
  const auto pack = [&]() { return Pack(format, dtype, kRows, 256, 6, 124); };
  TestCall packed[3] = {pack(), pack(), pack()};  // the last two of what was unpacked
  std::vector<double> latents[2];
  ASSERT_TRUE(packed[0].Run({.level = level}).ok());
  for (int round = 0; round < 2; ++round) {
    TestCall unpack = Unpack(format, dtype, 6);
    Take(unpack, "rows", packed[round], "rows", DType::kUInt8, {kRows, width});
    ASSERT_TRUE(unpack.Run({.level = level}).ok());
    for (int64_t i = 0; i < kRows * 256; ++i) latents[round].push_back(unpack.Got("latent", i));
    Take(packed[round + 1], "latent", unpack, "latent", dtype, {kRows, 256});
    ASSERT_TRUE(packed[round + 1].Run({.level = level}).ok());
  }
  EXPECT_EQ(latents[0], latents[1]);
  const bool fp8 = std::string(format) != "cann656";
  for (int64_t i = 0; i < kRows * width; ++i) {
    const double again = packed[1].Got("rows", i);
    ASSERT_EQ(fp8 ? again : packed[0].Got("rows", i), again) << i;
    ASSERT_EQ(packed[2].Got("rows", i), again) << i;
  }
}

TEST(KvRows, PackingWhatWasUnpackedChangesNothing) {
  for (const char* format : kFormats) {
    for (DType dtype : kDTypes) {
      for (Level level : TestedLevels()) ExpectStable(format, dtype, level);
    }
  }
}

TEST(KvRows, AGroupThatIsNotFiniteDecodesToNan) {
  for (const char* format : kFormats) {
    for (double bad : {static_cast<double>(NAN), -kInfinity}) {
      TestCall pack = Pack(format, DType::kBFloat16, 1, 384, 2, 125);
      base::StoreDouble(pack.view("latent").data, DType::kBFloat16, 200, bad);
      ExpectConforms(pack);
      TestCall unpack = Unpack(format, DType::kBFloat16, 2);
      const prim::KvRow row = KvFormatOf(format, 384, 2);
      Take(unpack, "rows", pack, "rows", DType::kUInt8, {1, row.width()});
      ASSERT_TRUE(unpack.Run({}).ok());
      for (int64_t i = 0; i < 384; ++i)
        EXPECT_EQ(std::isnan(unpack.Got("latent", i)), i / row.group == 200 / row.group) << i;
    }
  }
}

// Line 20 of the family's conformance list. The rotary part of flashmla584 is in the key, and in
// the value.
TEST(KvRows, AttentionOverRowsOfBytesIsAttentionOverWhatTheyHold) {
  constexpr int64_t kKeys = 700;
  for (const char* format : kFormats) {
    for (DType dtype : kDTypes) {
      const bool apart = std::string(format) == "flashmla584";
      const int64_t rope_dim = apart ? 64 : 16;
      TestCall pack = Pack(format, dtype, kKeys, 256, rope_dim, 126);
      ASSERT_TRUE(pack.Run({}).ok());
      const int64_t width = KvFormatOf(format, 256, rope_dim).width();
      TestCall unpack = Unpack(format, dtype, rope_dim);
      Take(unpack, "rows", pack, "rows", DType::kUInt8, {kKeys, width});
      ASSERT_TRUE(unpack.Run({}).ok());
      const int64_t dim = 256 + (apart ? 64 : 0);
      const auto attention = [&]() {
        Random random(127);
        const auto normal = [&](int64_t) { return random.Normal(); };
        TestCall call("sparse_flash_attention");
        call.Tensor("query", dtype, {1, 2, 5, dim}, normal)
            .Tensor("sparse_indices", DType::kInt32, {1, 2, 1, 600},
                    [&](int64_t) { return static_cast<double>(random.Below(kKeys)); })
            .Set("scale_value", 0.05)
            .Set("return_softmax_lse", true);
        if (!apart) call.Tensor("query_rope", dtype, {1, 2, 5, rope_dim}, normal);
        return call;
      };
      TestCall bytes = attention();
      Take(bytes, "key", pack, "rows", DType::kUInt8, {1, kKeys, 1, width});
      bytes.Set("kv_format", format);
      TestCall split = attention();
      if (apart) {
        split.Tensor("key", dtype, {1, kKeys, 1, dim}, [&](int64_t i) {
          const int64_t c = i % dim;
          return c < 256 ? unpack.Got("latent", i / dim * 256 + c)
                         : unpack.Got("rope", i / dim * 64 + c - 256);
        });
      } else {
        Take(split, "key", unpack, "latent", dtype, {1, kKeys, 1, 256});
        Take(split, "key_rope", unpack, "rope", dtype, {1, kKeys, 1, rope_dim});
      }
      ExpectSameBytes(bytes, split);
      ExpectConforms(bytes);
    }
  }
}

TEST(KvRows, BadArgumentsAreRefusedByName) {
  const TestCall pack = Pack("cann656", DType::kBFloat16, 2, 128, 4, 128);
  ExpectRefusedAfter(pack, Filled("latent", DType::kBFloat16, {2, 100}), "latent");
  ExpectRefusedAfter(pack, Filled("rope", DType::kFloat16, {2, 4}), "rope");
  ExpectRefusedAfter(pack, Filled("rope", DType::kBFloat16, {3, 4}), "rope");
  ExpectRefusedAfter(pack, Without("rope"), "rope", StatusCode::kNullArgument);

  TestCall apart = Pack("flashmla584", DType::kBFloat16, 2, 64, 4, 129);
  ExpectRefusedAfter(apart, Filled("latent", DType::kBFloat16, {2, 100}), "latent");
  apart.OutputGap(1);
  ExpectRefused(apart, StatusCode::kInvalidArgument, "rows");
  TestCall page = Unpack("flashmla584", DType::kBFloat16, 4);
  page.Strided("rows", DType::kUInt8, {2, 74}, 1, [](int64_t) { return 0.0; });
  ExpectRefused(page, StatusCode::kInvalidArgument, "rows");
  page.Tensor("rows", DType::kUInt8, {2, 75}, [](int64_t) { return 0.0; });
  ExpectRefused(page, StatusCode::kInvalidArgument, "rows");

  TestCall unpack("unpack_kv_rows");
  unpack.Tensor("rows", DType::kInt8, {2, 656}, [](int64_t) { return 0.0; });
  for (int64_t rope_dim : {int64_t{-1}, std::numeric_limits<int64_t>::min()})
    ExpectRefusedAfter(unpack, With("rope_dim", rope_dim), "rope_dim");
  for (int64_t rope_dim : {int64_t{63}, int64_t{329}, std::numeric_limits<int64_t>::max()})
    ExpectRefusedAfter(unpack, With("rope_dim", rope_dim), "rows");
  ExpectRefusedAfter(unpack, Filled("rows", DType::kInt32, {2, 656}), "rows");
  for (const char* format : kFormats) {
    TestCall empty = Unpack(format, DType::kBFloat16, 4);
    empty.Tensor("rows", DType::kUInt8, {2, 0}, [](int64_t) { return 0.0; });
    ExpectRefused(empty, StatusCode::kInvalidArgument, "rows");
  }
}

}  // namespace
}  // namespace tamis::test
