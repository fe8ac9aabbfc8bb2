// Keys in rows of bytes: the conformance list of the family, line 20.
#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <numeric>

#include "base/cpu_features.h"
#include "ops/sparse_flash_attention/test_calls.h"
#include "tests/support/levels.h"

namespace tamis::test::attention {
namespace {

TEST(SparseFlashAttention, RowsOfBytesInBothOrders) {
  for (Format format : {Format::kCann, Format::kFlashMla}) {
    for (DType dtype : {DType::kBFloat16, DType::kFloat16, DType::kFloat32}) {
      Shape s;
      s.format = format;
      s.dtype = dtype;
      s.latent = 512;
      s.rope = 64;
      s.heads = 9;
      s.keys = Keys::kPaged;
      s.tnd = true;
      s.q = {1, 2};
      s.n = {70, 33};
      s.count = 60;
      TestCall call = Attention(s, 102);
      ASSERT_EQ(call.view("key").shape[3], 656);
      ExpectConforms(call);
      s.latent = 128;  // rows that begin at odd addresses
      s.rope = 3;
      s.gap = 1;
      s.keys = Keys::kTnd;
      TestCall odd = Attention(s, 103);
      ExpectConforms(odd);
    }
  }
}

// Rows whose scales follow those of their page; a page's end may be padded.
TEST(SparseFlashAttention, RowsOfBytesWithScalesApart) {
  for (DType dtype : {DType::kBFloat16, DType::kFloat16, DType::kFloat32}) {
    for (Keys keys : {Keys::kPaged, Keys::kTnd, Keys::kBsnd}) {
      Shape s;
      s.format = Format::kApart;
      s.dtype = dtype;
      s.latent = keys == Keys::kPaged ? 512 : 128;
      s.rope = -1;
      s.heads = 9;
      s.keys = keys;
      s.tnd = keys != Keys::kBsnd;
      s.q = {1, 2};
      s.n = {70, 33};
      s.count = 60;
      s.window = {90, 20};
      s.window_size = 30;
      s.sinks = true;
      TestCall call = Attention(s, 105);
      if (keys == Keys::kPaged) {
        EXPECT_EQ(call.view("key").shape[3], 584);
      }
      ExpectConforms(call);
      if (keys == Keys::kTnd) continue;
      TestCall padded = Attention(s, 105);
      TensorView view = padded.view("key");
      const int64_t page = view.shape[1] * view.shape[3];
      const int64_t stride = (page + 575) / 576 * 576;
      std::vector<uint8_t> memory(static_cast<size_t>(view.shape[0] * stride), 0xff);
      for (int64_t b = 0; b < view.shape[0]; ++b)
        std::memcpy(memory.data() + b * stride, static_cast<uint8_t*>(view.data) + b * page,
                    static_cast<size_t>(page));
      view.data = memory.data();
      view.strides[0] = stride;
      padded.View("key", view);
      ExpectSameBytes(call, padded);
    }
  }
}

TEST(SparseFlashAttention, RowsOfBytesWithScalesApartAreDense) {
  Shape s;
  s.format = Format::kApart;
  s.latent = 128;
  s.rope = -1;
  const TestCall call = Attention(s, 106);
  ExpectRefusedAfter(
      call,
      [&](TestCall& changed) {
        changed.Strided("key", DType::kUInt8, {1, 40, 1, s.row().width()}, 1,
                        [](int64_t) { return 0.0; });
      },
      "key");
  ExpectRefusedAfter(call, Filled("query_rope", s.dtype, {1, 3, 4, 64}), "query_rope");
  ExpectRefusedAfter(call, Filled("query", s.dtype, {1, 3, 4, 100}), "query");
  ExpectRefusedAfter(call, Filled("query", s.dtype, {1, 3, 4, 32}), "query");
  ExpectRefusedAfter(call, Filled("query", s.dtype, {1, 3, 4, 192}), "key");
}

// What a code of a latent stands for, without its scale.
double CodeValue(const prim::KvRow& row, int code) {
  if (!row.fp8) return static_cast<int8_t>(code);
  const int exponent = code >> 3 & 15;
  const double size =
      exponent == 0 ? (code & 7) * 0x1p-9 : std::ldexp(8 + (code & 7), exponent - 10);
  return code >= 128 ? -size : size;
}

// Every code of a byte, through a row that holds them all: with one key, out is its latent.
TEST(SparseFlashAttention, EveryByteOfALatentIsDecodedExactly) {
  for (Format format : {Format::kCann, Format::kFlashMla}) {
    for (DType dtype : {DType::kBFloat16, DType::kFloat16}) {
      Shape s;
      s.format = format;
      s.dtype = dtype;
      s.latent = 256;
      s.rope = 2;
      s.heads = 1;
      s.q = {1};
      s.n = {1};
      s.mode = 0;
      TestCall call = Attention(s, 104);
      call.Tensor("query", dtype, {1, 1, 1, 256}, [](int64_t) { return 0.0; });
      call.Tensor("query_rope", dtype, {1, 1, 1, 2}, [](int64_t) { return 0.0; });
      SetIds(call, {1, 1, 1, 1}, {0});
      const prim::KvRow row = s.row();
      std::vector<uint8_t> bytes(static_cast<size_t>(row.width()), 0);
      std::iota(bytes.begin(), bytes.begin() + 256, uint8_t{0});
      if (row.fp8) bytes[0x7f] = bytes[0xff] = 0;  // NaN is a case of its own
      const float scales[] = {0.5f, 2.0f};
      std::memcpy(bytes.data() + row.scales_at(), scales, 8);
      call.Tensor("key", DType::kUInt8, {1, 4, 1, row.width()}, [&](int64_t i) {
        return i < row.width() ? static_cast<double>(bytes[static_cast<size_t>(i)]) : 0xff;
      });
      for (Level level : TestedLevels()) {
        ASSERT_TRUE(call.Run({.level = level}).ok());
        for (int code = 0; code < 256; ++code) {
          const bool nan = row.fp8 && (code & 0x7f) == 0x7f;
          const double value = nan ? 0 : CodeValue(row, code);
          EXPECT_EQ(call.Got("out", code), value * static_cast<double>(scales[code / 128]))
              << code << " at level " << base::Name(level);
        }
      }
      if (!row.fp8) continue;
      bytes[0xff] = 0xff;
      call.Tensor("key", DType::kInt8, {1, 4, 1, row.width()}, [&](int64_t i) {
        return i < row.width()
                   ? static_cast<double>(static_cast<int8_t>(bytes[static_cast<size_t>(i)]))
                   : 0.0;
      });
      for (Level level : TestedLevels()) {
        ASSERT_TRUE(call.Run({.level = level}).ok());
        EXPECT_TRUE(std::isnan(call.Got("out", 0xff)));
      }
    }
  }
}

}  // namespace
}  // namespace tamis::test::attention
