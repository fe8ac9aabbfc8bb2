#include <gtest/gtest.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>
#include <limits>
#include <numeric>

#include "base/cpu_features.h"
#include "base/golden.h"
#include "prim/kv_row.h"
#include "tests/support/conformance.h"

namespace tamis::test {
namespace {

constexpr int64_t kIntMin = std::numeric_limits<int32_t>::min();
constexpr int64_t kIntMax = std::numeric_limits<int32_t>::max();

enum class Keys { kBsnd, kTnd, kPaged };
enum class Format { kSplit, kCann, kFlashMla };

struct Shape {
  DType dtype = DType::kBFloat16;
  bool tnd = false;
  Keys keys = Keys::kBsnd;
  Format format = Format::kSplit;
  int64_t heads = 4;
  int64_t latent = 24;
  int64_t rope = 8;  // -1: no rope tensors
  int64_t page = 16;
  int64_t count = 12;
  int64_t block = 1;
  int64_t mode = 3;
  std::vector<int64_t> q = {3};   // query tokens per sequence
  std::vector<int64_t> n = {40};  // keys per sequence
  int64_t padding = 0;  // query rows past the last token: of every entry (BSND) or of all (TND)
  DType lengths = DType::kInt32;
  int64_t gap = 0;
  bool value = false;
  bool sinks = false;

  prim::KvRow row() const {
    return format == Format::kCann ? prim::KvRow::Cann(latent, rope)
                                   : prim::KvRow::FlashMla(latent, rope);
  }
};

std::vector<int64_t> Prefix(const std::vector<int64_t>& lengths) {
  std::vector<int64_t> prefix(lengths.size());
  std::partial_sum(lengths.begin(), lengths.end(), prefix.begin());
  return prefix;
}

// Where the keys of a call lie. Pages are dealt at random; entries that must not be read are -1.
class Placement {
 public:
  Placement(const Shape& s, Random* random) : s_(s) {
    const auto batch = static_cast<int64_t>(s.n.size());
    if (s.keys == Keys::kTnd) {
      shape_ = {Prefix(s.n).back(), 1};
    } else if (s.keys == Keys::kBsnd) {
      shape_ = {batch, *std::max_element(s.n.begin(), s.n.end()) + 3, 1};
    } else {
      int64_t used = 0;
      for (int64_t n : s.n) {
        used += (n + s.page - 1) / s.page;
        widest_ = std::max(widest_, (n + s.page - 1) / s.page);
      }
      std::vector<int64_t> pages(static_cast<size_t>(used + 2));
      std::iota(pages.begin(), pages.end(), 0);
      for (size_t i = pages.size(); i > 1; --i)
        std::swap(pages[i - 1], pages[static_cast<size_t>(random->Below(static_cast<int64_t>(i)))]);
      shape_ = {used + 2, s.page, 1};
      ++widest_;
      table_.assign(static_cast<size_t>(batch * widest_), -1);
      size_t next = 0;
      for (int64_t b = 0; b < batch; ++b) {
        for (int64_t i = 0; i < (s.n[static_cast<size_t>(b)] + s.page - 1) / s.page; ++i)
          table_[static_cast<size_t>(b * widest_ + i)] = pages[next++];
      }
    }
  }

  /// Row of `position` of sequence b, leading dimensions flattened.
  int64_t RowOf(int64_t b, int64_t position) const {
    if (s_.keys == Keys::kTnd)
      return Prefix(s_.n)[static_cast<size_t>(b)] - s_.n[static_cast<size_t>(b)] + position;
    if (s_.keys == Keys::kBsnd) return b * shape_[1] + position;
    return table_[static_cast<size_t>(b * widest_ + position / s_.page)] * s_.page +
           position % s_.page;
  }
  std::vector<int64_t> shape(int64_t inner) const {
    std::vector<int64_t> shape = shape_;
    shape.push_back(inner);
    return shape;
  }
  int64_t rows() const { return shape_[0] * (shape_.size() == 3 ? shape_[1] : 1); }
  int64_t widest() const { return widest_; }
  int64_t PageAt(int64_t i) const { return table_[static_cast<size_t>(i)]; }

 private:
  const Shape& s_;
  std::vector<int64_t> shape_;
  std::vector<int64_t> table_;
  int64_t widest_ = 0;
};

// One row of bytes, of random content in the format.
std::vector<uint8_t> RandomKvRow(const Shape& s, Random* random) {
  const prim::KvRow row = s.row();
  std::vector<uint8_t> bytes(static_cast<size_t>(row.width()));
  for (int64_t c = 0; c < s.latent; ++c) {
    auto code = static_cast<uint8_t>(random->Next());
    if (row.fp8 && (code & 0x7f) == 0x7f) code = 0x7e;  // not NaN
    bytes[static_cast<size_t>(c)] = code;
  }
  for (int64_t g = 0; g < s.latent / prim::kKvRowGroup; ++g) {
    const auto scale = static_cast<float>((0.5 + random->Uniform()) / (row.fp8 ? 200 : 100));
    std::memcpy(bytes.data() + row.scales_at() + 4 * g, &scale, 4);
  }
  for (int64_t c = 0; c < s.rope; ++c)
    base::StoreDouble(bytes.data() + row.rope_at(), s.dtype, c, random->Normal());
  return bytes;
}

// Rows of keys that no sequence has, spare pages and gaps hold NaN or bytes of ones.
TestCall Attention(const Shape& s, uint64_t seed) {
  Random random(seed);
  const auto normal = [&](int64_t) { return random.Normal(); };
  const auto batch = static_cast<int64_t>(s.q.size());
  const int64_t s1 = *std::max_element(s.q.begin(), s.q.end()) + s.padding;
  const int64_t t1 = Prefix(s.q).back() + s.padding;
  const Placement place(s, &random);
  TestCall call("sparse_flash_attention");
  const auto query_shape = [&](std::vector<int64_t> inner) {
    std::vector<int64_t> shape = s.tnd ? std::vector<int64_t>{t1} : std::vector<int64_t>{batch, s1};
    shape.insert(shape.end(), inner.begin(), inner.end());
    return shape;
  };
  const auto lengths = [&](const char* name, std::vector<int64_t> values) {
    call.Tensor(name, s.lengths, {static_cast<int64_t>(values.size())}, [values](int64_t i) {
      return static_cast<double>(values[static_cast<size_t>(i)]);
    });
  };
  std::vector<char> owned(static_cast<size_t>(place.rows()), 0);
  for (int64_t b = 0; b < batch; ++b) {
    for (int64_t i = 0; i < s.n[static_cast<size_t>(b)]; ++i)
      owned[static_cast<size_t>(place.RowOf(b, i))] = 1;
  }
  const auto keys = [&](const char* name, int64_t dim) {
    call.Strided(name, s.dtype, place.shape(dim), s.gap, [&](int64_t i) {
      return owned[static_cast<size_t>(i / dim)] != 0 ? random.Normal() : NAN;
    });
  };
  call.Strided("query", s.dtype, query_shape({s.heads, s.latent}), s.gap, normal)
      .Set("scale_value", 0.3)
      .Set("sparse_block_size", s.block)
      .Set("sparse_mode", s.mode)
      .Set("return_softmax_lse", true)
      .Set("layout_query", std::string(s.tnd ? "TND" : "BSND"))
      .Set("layout_kv", std::string(s.keys == Keys::kPaged ? "PA_BSND"
                                    : s.keys == Keys::kTnd ? "TND"
                                                           : "BSND"));
  if (s.rope >= 0)
    call.Strided("query_rope", s.dtype, query_shape({s.heads, s.rope}), s.gap, normal);
  if (s.format == Format::kSplit) {
    keys("key", s.latent);
    if (s.rope >= 0) keys("key_rope", s.rope);
    if (s.value) keys("value", s.latent);
  } else {
    const int64_t width = s.row().width();
    std::vector<uint8_t> bytes(static_cast<size_t>(place.rows() * width), 0xff);
    for (int64_t r = 0; r < place.rows(); ++r) {
      if (owned[static_cast<size_t>(r)] == 0) continue;
      const std::vector<uint8_t> row = RandomKvRow(s, &random);
      std::copy(row.begin(), row.end(), bytes.begin() + r * width);
    }
    call.Set("kv_format", std::string(s.format == Format::kCann ? "cann656" : "flashmla656"));
    call.Strided("key", DType::kUInt8, place.shape(width), s.gap,
                 [&](int64_t i) { return static_cast<double>(bytes[static_cast<size_t>(i)]); });
  }
  if (s.sinks) call.Tensor("sinks", DType::kFloat32, {s.heads}, normal);
  lengths("actual_seq_lengths_query", s.tnd ? Prefix(s.q) : s.q);
  lengths("actual_seq_lengths_kv", s.keys == Keys::kTnd ? Prefix(s.n) : s.n);
  if (s.keys == Keys::kPaged) {
    call.Tensor("block_table", DType::kInt32, {batch, place.widest()},
                [&](int64_t i) { return static_cast<double>(place.PageAt(i)); });
  }
  // Ids of every kind: mostly good, some twice, some past the end, seldom the end of the list.
  const int64_t longest = *std::max_element(s.n.begin(), s.n.end()) / s.block + 2;
  call.Strided("sparse_indices", DType::kInt32, query_shape({1, s.count}), s.gap, [&](int64_t) {
    const int64_t kind = random.Below(200);
    if (kind == 0) return static_cast<double>(random.Below(2) == 0 ? -1 : kIntMin);
    if (kind == 1) return static_cast<double>(kIntMax);
    return static_cast<double>(random.Below(longest));
  });
  return call;
}

void SetIds(TestCall& call, const std::vector<int64_t>& shape, const std::vector<int64_t>& ids) {
  call.Tensor("sparse_indices", DType::kInt32, shape, [&](int64_t i) {
    return static_cast<double>(ids[static_cast<size_t>(i) % ids.size()]);
  });
}

TEST(SparseFlashAttention, AgreesOverRandomLayoutsShapesAndLengths) {
  Random random(81);
  for (int i = 0; i < 60; ++i) {
    Shape s;
    s.dtype = i % 2 == 0 ? DType::kBFloat16 : DType::kFloat16;
    s.tnd = random.Below(2) == 0;
    s.keys = random.Below(2) == 0 ? Keys::kPaged : s.tnd ? Keys::kTnd : Keys::kBsnd;
    s.heads = random.Between(1, 40);
    s.latent = random.Between(1, 70);
    s.rope = random.Below(3) == 0 ? -1 : random.Between(1, 20);
    s.page = random.Between(1, 40);
    s.count = random.Between(0, 90);
    s.block = random.Below(2) == 0 ? 1 : random.Between(1, 20);
    s.mode = random.Below(2) == 0 ? 3 : 0;
    s.padding = random.Between(0, 2);
    s.gap = random.Between(0, 1) * 5;
    s.lengths = random.Below(2) == 0 ? DType::kInt32 : DType::kInt64;
    s.value = random.Below(3) == 0;
    s.sinks = random.Below(3) == 0;
    s.q.clear();
    s.n.clear();
    for (int64_t b = random.Between(1, 3); b > 0; --b) {
      s.q.push_back(random.Between(0, 6));
      s.n.push_back(random.Between(0, 150));
    }
    if (Prefix(s.n).back() == 0) s.n[0] = 1;
    TestCall call = Attention(s, random.Next());
    SCOPED_TRACE("case " + std::to_string(i));
    ExpectConforms(call);
  }
}

// --- the conformance list of the family, line by line

// Line 1. The dense formula is written out here once more.
TEST(SparseFlashAttention, SelectingAllKeysEqualsDenseCausalAttention) {
  Shape s;
  s.q = {5};
  s.n = {9};
  s.count = 16;
  s.heads = 3;
  s.latent = 6;
  s.rope = 2;
  TestCall call = Attention(s, 82);
  std::vector<int64_t> ids(16, -1);
  std::iota(ids.begin(), ids.begin() + 9, 0);
  SetIds(call, {1, 5, 1, 16}, ids);
  ASSERT_TRUE(call.Run({.implementation = Implementation::kReference}).ok());
  const auto at = [&](const char* name, int64_t i) {
    return base::LoadAsDouble(call.view(name).data, s.dtype, i);
  };
  const auto scale = static_cast<double>(0.3f);
  for (int64_t t = 0; t < 5; ++t) {
    for (int64_t h = 0; h < 3; ++h) {
      const int64_t row = t * 3 + h;
      std::vector<double> e;
      for (int64_t j = 0; j <= 4 + t; ++j) {
        double dot = 0;
        for (int64_t c = 0; c < 6; ++c) dot += at("query", row * 6 + c) * at("key", j * 6 + c);
        for (int64_t c = 0; c < 2; ++c)
          dot += at("query_rope", row * 2 + c) * at("key_rope", j * 2 + c);
        e.push_back(std::exp(scale * dot));
      }
      const double sum = std::accumulate(e.begin(), e.end(), 0.0);
      for (int64_t c = 0; c < 6; ++c) {
        double want = 0;
        for (size_t j = 0; j < e.size(); ++j)
          want += e[j] / sum * at("key", static_cast<int64_t>(j) * 6 + c);
        EXPECT_NEAR(call.Got("out", row * 6 + c), want, base::RoundingBound(s.dtype, want) + 1e-13);
      }
    }
  }
  ExpectConforms(call);
}

// Line 2.
TEST(SparseFlashAttention, ANegativeIdEndsTheListWhateverFollows) {
  Shape s;
  s.q = {1};
  s.count = 6;
  TestCall ended = Attention(s, 83);
  SetIds(ended, {1, 1, 1, 6}, {7, 3, -1, 4, 5, 6});
  TestCall suffix = Attention(s, 83);
  SetIds(suffix, {1, 1, 1, 6}, {7, 3, kIntMin, -1, -1, -1});
  TestCall two = Attention(s, 83);
  SetIds(two, {1, 1, 1, 2}, {7, 3});
  for (Level level : base::AvailableLevels()) {
    const auto a = ended.Run({.level = level});
    const auto b = suffix.Run({.level = level});
    const auto c = two.Run({.level = level});
    ASSERT_TRUE(a.ok() && b.ok() && c.ok());
    EXPECT_TRUE(*a == *b);
    EXPECT_TRUE(*a == *c);
  }
  ExpectConforms(ended);
}

void ExpectEmptyRow(const TestCall& call, const Shape& s, int64_t row) {
  for (int64_t h = 0; h < s.heads; ++h) {
    for (int64_t c = 0; c < s.latent; ++c)
      EXPECT_EQ(call.Got("out", (row * s.heads + h) * s.latent + c), 0.0);
    EXPECT_EQ(call.Got("softmax_max", row * s.heads + h), -std::numeric_limits<double>::infinity());
    EXPECT_EQ(call.Got("softmax_sum", row * s.heads + h), 0.0);
  }
}

TEST(SparseFlashAttention, AListThatBeginsWithMinusOneGivesAnEmptyRow) {
  Shape s;
  s.q = {2};
  TestCall call = Attention(s, 84);
  SetIds(call, {1, 2, 1, 2}, {-1, 5, 5, -1});
  for (Level level : base::AvailableLevels()) {
    ASSERT_TRUE(call.Run({.level = level}).ok());
    ExpectEmptyRow(call, s, 0);
    EXPECT_GE(call.Got("softmax_sum", s.heads), 1.0);
  }
  ExpectConforms(call);
}

// Line 3: of 10 keys, token 0 of 4 sees 7 in mode 3.
TEST(SparseFlashAttention, IdsPastTheDiagonalAreSkippedInMode3AndUsedInMode0) {
  Shape s;
  s.q = {4};
  s.n = {10};
  s.count = 4;
  TestCall call = Attention(s, 85);
  SetIds(call, {1, 4, 1, 4}, {8, 2, 10, 4});  // 8 is visible to tokens 2 and 3 only, 10 to none
  TestCall seen = Attention(s, 85);
  SetIds(seen, {1, 4, 1, 4}, {2, 4, -1, -1});
  for (Level level : base::AvailableLevels()) {
    ASSERT_TRUE(call.Run({.level = level}).ok());
    ASSERT_TRUE(seen.Run({.level = level}).ok());
    for (int64_t i = 0; i < 2 * s.heads * s.latent; ++i) {  // tokens 0 and 1
      EXPECT_EQ(call.Got("out", i), seen.Got("out", i));
    }
    EXPECT_NE(call.Got("softmax_sum", 3 * s.heads), seen.Got("softmax_sum", 3 * s.heads));
  }
  ExpectConforms(call);
  call.Set("sparse_mode", int64_t{0});
  seen.Set("sparse_mode", int64_t{0});
  SetIds(seen, {1, 4, 1, 4}, {8, 2, 4, -1});
  const auto a = call.Run({});
  const auto b = seen.Run({});
  ASSERT_TRUE(a.ok() && b.ok());
  EXPECT_TRUE(*a == *b);
  ExpectConforms(call);
}

TEST(SparseFlashAttention, OnlyAsManyIdsAsThereAreVisibleBlocksAreLookedAt) {
  Shape s;
  s.q = {1};
  s.n = {3};
  TestCall call = Attention(s, 86);
  SetIds(call, {1, 1, 1, 5}, {9, 9, 1, 0, 2});  // three keys: the first three ids
  TestCall one = Attention(s, 86);
  SetIds(one, {1, 1, 1, 1}, {1});
  const auto a = call.Run({});
  const auto b = one.Run({});
  ASSERT_TRUE(a.ok() && b.ok());
  EXPECT_TRUE(*a == *b);
  ExpectConforms(call);
}

// Line 4: with queries of 0 every e is 1, and everything is exact.
TEST(SparseFlashAttention, IdsNamedTwiceCountTwice) {
  Shape s;
  s.q = {1};
  s.n = {8};
  s.heads = 1;
  s.latent = 1;
  s.rope = -1;
  TestCall call = Attention(s, 87);
  call.Tensor("query", s.dtype, {1, 1, 1, 1}, [](int64_t) { return 0.0; });
  call.Tensor("key", s.dtype, {1, 11, 1, 1}, [](int64_t i) { return static_cast<double>(i); });
  SetIds(call, {1, 1, 1, 4}, {3, 7, 3, 3});
  for (Level level : base::AvailableLevels()) {
    ASSERT_TRUE(call.Run({.level = level}).ok());
    EXPECT_EQ(call.Got("softmax_sum", 0), 4.0);
    EXPECT_EQ(call.Got("softmax_max", 0), 0.0);
    EXPECT_EQ(call.Got("out", 0), 4.0);
  }
}

// Line 5.
TEST(SparseFlashAttention, BlocksAreCutByTheDiagonalAndTheEnd) {
  for (int64_t block : {4, 16}) {
    for (int64_t mode : {0, 3}) {
      Shape s;
      s.block = block;
      s.mode = mode;
      s.q = {7};
      s.n = {37};
      s.count = 12;
      s.keys = Keys::kPaged;
      TestCall call = Attention(s, 88);
      std::vector<int64_t> ids =
          block == 4 ? std::vector<int64_t>{9, 8, 0, 7} : std::vector<int64_t>{1, 0, 2};
      SetIds(call, {1, 7, 1, static_cast<int64_t>(ids.size())}, ids);
      SCOPED_TRACE("blocks of " + std::to_string(block) + ", mode " + std::to_string(mode));
      ExpectConforms(call);
      // The same positions one by one.
      std::vector<int64_t> positions;
      for (int64_t id : ids) {
        for (int64_t i = 0; i < block; ++i) positions.push_back(id * block + i);
      }
      // As many ids are looked at as positions are visible: those must come first.
      std::sort(positions.begin(), positions.end());
      TestCall single = Attention(s, 88);
      single.Set("sparse_block_size", int64_t{1});
      SetIds(single, {1, 7, 1, static_cast<int64_t>(positions.size())}, positions);
      ASSERT_TRUE(call.Run({}).ok());
      ASSERT_TRUE(single.Run({}).ok());
      for (int64_t i = 0; i < 7 * s.heads; ++i) {
        EXPECT_NEAR(call.Got("softmax_sum", i), single.Got("softmax_sum", i),
                    base::Fp32SumBound(40, call.Got("softmax_sum", i)));
      }
    }
  }
}

TEST(SparseFlashAttention, BlocksMayStraddlePagesAndExceedAnySequence) {
  Shape s;
  s.keys = Keys::kPaged;
  s.page = 10;
  s.q = {2};
  s.n = {95};
  for (int64_t block : {7, 64, 1000}) {
    s.block = block;
    TestCall call = Attention(s, 89);
    ExpectConforms(call);
  }
  TestCall call = Attention(s, 89);
  call.Set("sparse_block_size", std::numeric_limits<int64_t>::max());
  SetIds(call, {1, 2, 1, 2}, {0, 1});
  ExpectConforms(call);
}

// A page whose rows all lie in one place: a view may say so.
TEST(SparseFlashAttention, PagesMayBeLongerThanAnySequence) {
  for (int64_t page : {int64_t{1} << 31, int64_t{1} << 32, (int64_t{1} << 32) + 1}) {
    Shape s;
    s.keys = Keys::kPaged;
    s.rope = -1;
    s.q = {1};
    TestCall call = Attention(s, 117);
    call.Tensor("key", s.dtype, {1, 1, 1, s.latent},
                [](int64_t i) { return 0.25 * static_cast<double>(i); });
    TensorView key = call.view("key");
    key.shape[1] = page;
    key.strides[0] = key.strides[1] = 0;
    call.View("key", key);
    call.Tensor("block_table", DType::kInt32, {1, 1}, [](int64_t) { return 0.0; });
    SetIds(call, {1, 1, 1, 3}, {7, 39, 12});
    ExpectConforms(call);
    EXPECT_EQ(call.Got("out", 1), 0.25);
  }
}

// Line 6.
TEST(SparseFlashAttention, MoreQueriesThanKeysLeaveLeadingRowsEmpty) {
  Shape s;
  s.q = {6};
  s.n = {2};
  TestCall call = Attention(s, 90);
  SetIds(call, {1, 6, 1, 2}, {0, 1});
  for (Level level : base::AvailableLevels()) {
    ASSERT_TRUE(call.Run({.level = level}).ok());
    for (int64_t row = 0; row < 4; ++row) ExpectEmptyRow(call, s, row);
    EXPECT_EQ(call.Got("softmax_sum", 4 * s.heads), 1.0);
  }
  ExpectConforms(call);
}

// Line 7.
TEST(SparseFlashAttention, ASequenceWithoutKeysGivesEmptyRows) {
  for (Keys keys : {Keys::kBsnd, Keys::kPaged}) {
    Shape s;
    s.keys = keys;
    s.q = {2, 2};
    s.n = {0, 5};
    s.mode = 0;
    TestCall call = Attention(s, 91);
    SetIds(call, {2, 2, 1, 2}, {0, 1});
    ASSERT_TRUE(call.Run({}).ok());
    ExpectEmptyRow(call, s, 0);
    ExpectEmptyRow(call, s, 1);
    EXPECT_GE(call.Got("softmax_sum", 2 * s.heads), 1.0);
    ExpectConforms(call);
  }
}

// Line 8. Padding is not a query: sinks do not reach it.
TEST(SparseFlashAttention, PaddingRowsAreEmpty) {
  for (bool sinks : {false, true}) {
    for (bool tnd : {false, true}) {
      Shape s;
      s.tnd = tnd;
      s.keys = tnd ? Keys::kTnd : Keys::kBsnd;
      s.q = {2, 1};
      s.n = {9, 7};
      s.padding = 2;
      s.sinks = sinks;
      TestCall call = Attention(s, 92);
      ASSERT_TRUE(call.Run({}).ok());
      for (int64_t row : tnd ? std::vector<int64_t>{3, 4} : std::vector<int64_t>{2, 3, 5, 6, 7})
        ExpectEmptyRow(call, s, row);
      ExpectConforms(call);
    }
  }
}

// Line 9.
TEST(SparseFlashAttention, EqualPrefixSumsAreAnEmptySequence) {
  Shape s;
  s.tnd = true;
  s.keys = Keys::kTnd;
  s.q = {2, 0, 3};
  s.n = {11, 4, 20};
  TestCall call = Attention(s, 93);
  ExpectConforms(call);
  s.n = {11, 0, 20};
  s.q = {2, 1, 3};
  TestCall without_keys = Attention(s, 94);
  ExpectConforms(without_keys);
}

// Line 10: keys that are not selected hold NaN, and so do spare pages.
TEST(SparseFlashAttention, ReadsSelectedRowsOnlyThroughRandomPages) {
  for (int64_t page : {16, 128, 256, 1024}) {
    Shape s;
    s.tnd = true;
    s.keys = Keys::kPaged;
    s.page = page;
    s.q = {1, 2};
    s.n = {page + 7, 3 * page - 1};
    TestCall call = Attention(s, 95);
    std::vector<int64_t> ids = {page + 6, 0, page - 1, page, 3, 5};
    SetIds(call, {3, 1, 6}, ids);
    const TensorView key = call.view("key");
    const TensorView rope = call.view("key_rope");
    const TensorView table = call.view("block_table");
    std::vector<char> selected(static_cast<size_t>(key.shape[0] * page), 0);
    for (int64_t b = 0; b < 2; ++b) {
      for (int64_t id : ids) {
        const auto entry = static_cast<int64_t>(
            base::LoadAsDouble(table.data, DType::kInt32, b * table.strides[0] + id / page));
        selected[static_cast<size_t>(entry * page + id % page)] = 1;
      }
    }
    for (int64_t row = 0; row < key.shape[0] * page; ++row) {
      if (selected[static_cast<size_t>(row)] != 0) continue;
      for (int64_t c = 0; c < s.latent; ++c)
        base::StoreDouble(key.data, s.dtype, row * s.latent + c, NAN);
      for (int64_t c = 0; c < s.rope; ++c)
        base::StoreDouble(rope.data, s.dtype, row * s.rope + c, NAN);
    }
    ASSERT_TRUE(call.Run({}).ok());
    for (int64_t i = 0; i < call.OutputElems("out"); ++i)
      EXPECT_TRUE(std::isfinite(call.Got("out", i)));
    ExpectConforms(call);
  }
}

// Line 11.
TEST(SparseFlashAttention, OneLengthServesAllSequences) {
  Shape s;
  s.q = {3, 3};
  s.n = {31, 31};
  s.keys = Keys::kPaged;
  TestCall each = Attention(s, 96);
  TestCall one = Attention(s, 96);
  one.Tensor("actual_seq_lengths_kv", DType::kInt32, {1}, [](int64_t) { return 31.0; });
  one.Without("actual_seq_lengths_query");
  const auto a = each.Run({});
  const auto b = one.Run({});
  ASSERT_TRUE(a.ok() && b.ok());
  EXPECT_TRUE(*a == *b);
}

// Line 12, and past it: several blocks of heads.
TEST(SparseFlashAttention, AnyNumberOfHeads) {
  for (int64_t heads :
       {1, 2, 3, 4, 5, 7, 8, 9, 15, 16, 17, 24, 31, 33, 48, 64, 100, 128, 129, 300}) {
    Shape s;
    s.heads = heads;
    s.n = {140};
    s.count = 130;
    s.latent = 33;
    TestCall call = Attention(s, 97);
    SCOPED_TRACE(heads);
    ExpectConforms(call);
  }
}

// Line 13, at the dims that models have.
TEST(SparseFlashAttention, BothDtypesAtTheDimsOfModels) {
  const std::pair<int64_t, int64_t> kDims[] = {{512, 64}, {512, -1}, {128, 64}, {512, 0}, {0, 64}};
  for (DType dtype : {DType::kFloat16, DType::kBFloat16}) {
    for (const auto& [latent, rope] : kDims) {
      Shape s;
      s.dtype = dtype;
      s.latent = latent;
      s.rope = rope;
      s.heads = 16;
      s.q = {2};
      s.n = {200};
      s.count = 150;
      TestCall call = Attention(s, 98);
      ExpectConforms(call);
    }
  }
}

// Line 14. The halves of a selection, merged by hand in float64.
TEST(SparseFlashAttention, StatesOfTwoHalvesMergeIntoTheWhole) {
  Shape s;
  s.dtype = DType::kFloat16;
  s.q = {1};
  s.n = {60};
  s.mode = 0;
  std::vector<int64_t> ids(40);
  std::iota(ids.begin(), ids.end(), 11);
  const auto part = [&](size_t from, size_t to) {
    TestCall call = Attention(s, 99);
    SetIds(call, {1, 1, 1, static_cast<int64_t>(to - from)},
           std::vector<int64_t>(ids.begin() + static_cast<int64_t>(from),
                                ids.begin() + static_cast<int64_t>(to)));
    EXPECT_TRUE(call.Run({.implementation = Implementation::kReference}).ok());
    return call;
  };
  TestCall whole = part(0, 40);
  TestCall left = part(0, 13);
  TestCall right = part(13, 40);
  for (int64_t h = 0; h < s.heads; ++h) {
    const auto lse = [&](const TestCall& c) {
      return c.Got("softmax_max", h) + std::log(c.Got("softmax_sum", h));
    };
    const double total = std::log(std::exp(lse(left)) + std::exp(lse(right)));
    const double statistics = 8 * 0x1p-24 * (1 + std::fabs(total));  // four values of fp32
    EXPECT_NEAR(lse(whole), total, statistics);
    const double l = std::exp(lse(left) - total);
    const double r = std::exp(lse(right) - total);
    for (int64_t c = 0; c < s.latent; ++c) {
      const int64_t i = h * s.latent + c;
      const double a = left.Got("out", i);
      const double b = right.Got("out", i);
      const double rounding = l * base::RoundingBound(s.dtype, a) +
                              r * base::RoundingBound(s.dtype, b) +
                              base::RoundingBound(s.dtype, l * a + r * b);
      EXPECT_NEAR(whole.Got("out", i), l * a + r * b,
                  rounding + statistics * (std::fabs(l * a) + std::fabs(r * b)));
    }
  }
}

TEST(SparseFlashAttention, StatisticsAreOptional) {
  Shape s;
  TestCall call = Attention(s, 100);
  call.Set("return_softmax_lse", false);
  const auto without = call.Run({});
  ASSERT_TRUE(without.ok()) << without.status().message();
  EXPECT_EQ(without->size(), 1u);
  ExpectConforms(call);
  call.Set("return_softmax_lse", true).Omit("softmax_sum");
  ExpectConforms(call);
}

// Line 15.
TEST(SparseFlashAttention, SinksJoinTheSoftmaxWithoutAValue) {
  Shape s;
  s.q = {2};
  s.n = {30};
  s.sinks = true;
  TestCall call = Attention(s, 101);
  SetIds(call, {1, 2, 1, 3}, {5, 6, 7, -1, 0, 0});
  call.Tensor("sinks", DType::kFloat32, {s.heads}, [](int64_t h) {
    return h == 0 ? 50.0 : h == 1 ? -std::numeric_limits<double>::infinity() : 0.25;
  });
  TestCall without = Attention(s, 101);
  SetIds(without, {1, 2, 1, 3}, {5, 6, 7, -1, 0, 0});
  without.Without("sinks");
  ASSERT_TRUE(call.Run({}).ok());
  ASSERT_TRUE(without.Run({}).ok());
  EXPECT_EQ(call.Got("softmax_max", 0), 50.0);
  EXPECT_EQ(call.Got("softmax_sum", 1), without.Got("softmax_sum", 1));  // a sink of -inf: none
  EXPECT_EQ(call.Got("out", s.latent), without.Got("out", s.latent));
  for (int64_t h = 0; h < s.heads; ++h) {  // token 1 has no key
    EXPECT_EQ(call.Got("softmax_max", s.heads + h), h == 0 ? 50.0 : h == 1 ? -INFINITY : 0.25);
    EXPECT_EQ(call.Got("softmax_sum", s.heads + h), 1.0);
    EXPECT_EQ(call.Got("out", (s.heads + h) * s.latent), 0.0);
  }
  ExpectConforms(call);
}

// Line 20.
TEST(SparseFlashAttention, RowsOfBytesInBothOrders) {
  for (Format format : {Format::kCann, Format::kFlashMla}) {
    for (DType dtype : {DType::kBFloat16, DType::kFloat16}) {
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
      for (Level level : base::AvailableLevels()) {
        ASSERT_TRUE(call.Run({.level = level}).ok());
        for (int code = 0; code < 256; ++code) {
          const int exponent = code >> 3 & 15;
          double value = static_cast<int8_t>(code);
          if (row.fp8) {
            value = exponent == 0 ? (code & 7) * 0x1p-9 : std::ldexp(8 + (code & 7), exponent - 10);
            if (code >= 128) value = -value;
            if ((code & 0x7f) == 0x7f) value = 0;
          }
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
      for (Level level : base::AvailableLevels()) {
        ASSERT_TRUE(call.Run({.level = level}).ok());
        EXPECT_TRUE(std::isnan(call.Got("out", 0xff)));
      }
    }
  }
}

// --- what else must hold

TEST(SparseFlashAttention, HostileIdsAreSkippedOrEndTheList) {
  for (int64_t block : {1, 3, 1 << 20}) {
    Shape s;
    s.keys = Keys::kPaged;
    s.q = {2};
    s.n = {50};
    s.mode = 0;
    s.block = block;
    s.count = 12;
    TestCall call = Attention(s, 105);
    SetIds(call, {1, 2, 1, 12}, {kIntMax, 50, 51, 0, 0, 1, kIntMax, 49, 7, 1 << 30, -2, 3});
    ExpectConforms(call);
    SetIds(call, {1, 2, 1, 12}, {kIntMin, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10});
    ExpectConforms(call);
    ASSERT_TRUE(call.Run({}).ok());
    ExpectEmptyRow(call, s, 0);
  }
}

TEST(SparseFlashAttention, ANanReachesOnlyTheRowsThatSelectIt) {
  Shape s;
  s.q = {2};
  s.n = {10};
  s.mode = 0;
  TestCall call = Attention(s, 106);
  SetIds(call, {1, 2, 1, 3}, {1, 4, 5, 2, 3, 9});
  base::StoreDouble(call.view("key").data, s.dtype, 4 * s.latent + 2, NAN);
  for (Level level : base::AvailableLevels()) {
    ASSERT_TRUE(call.Run({.level = level}).ok());
    for (int64_t i = 0; i < s.heads * s.latent; ++i) {
      EXPECT_TRUE(std::isnan(call.Got("out", i)));
      EXPECT_TRUE(std::isfinite(call.Got("out", s.heads * s.latent + i)));
    }
    for (int64_t h = 0; h < s.heads; ++h) {
      EXPECT_TRUE(std::isnan(call.Got("softmax_max", h)));
      EXPECT_TRUE(std::isnan(call.Got("softmax_sum", h)));
    }
  }
  ExpectConforms(call);
}

TEST(SparseFlashAttention, EmptySizesAreFine) {
  const auto run = [](const Shape& s, const char* what) {
    SCOPED_TRACE(what);
    TestCall call = Attention(s, 107);
    ExpectConforms(call);
  };
  Shape s;
  s.count = 0;
  run(s, "K = 0");
  s = {};
  s.heads = 0;
  run(s, "N = 0");
  s = {};
  s.q = {0};
  run(s, "S1 = 0");
  s = {};
  s.tnd = true;
  s.keys = Keys::kTnd;
  s.q = {0, 0};
  s.n = {3, 4};
  run(s, "T1 = 0");
  s.n = {0, 0};
  run(s, "T2 = 0");
  s = {};
  TestCall no_batch = Attention(s, 107);
  no_batch.Tensor("query", s.dtype, {0, 3, 4, 24}, [](int64_t) { return 0.0; })
      .Tensor("query_rope", s.dtype, {0, 3, 4, 8}, [](int64_t) { return 0.0; })
      .Tensor("key", s.dtype, {0, 9, 1, 24}, [](int64_t) { return 0.0; })
      .Tensor("key_rope", s.dtype, {0, 9, 1, 8}, [](int64_t) { return 0.0; })
      .Tensor("sparse_indices", DType::kInt32, {0, 3, 1, 5}, [](int64_t) { return 0.0; })
      .Without("actual_seq_lengths_query")
      .Without("actual_seq_lengths_kv");
  ExpectConforms(no_batch);
  s.n = {0};
  TestCall no_keys = Attention(s, 107);
  no_keys.Tensor("key", s.dtype, {1, 0, 1, 24}, [](int64_t) { return 0.0; })
      .Tensor("key_rope", s.dtype, {1, 0, 1, 8}, [](int64_t) { return 0.0; });
  ExpectConforms(no_keys);
}

TEST(SparseFlashAttention, StridedInputsAndOutputs) {
  for (Keys keys : {Keys::kBsnd, Keys::kPaged}) {
    Shape s;
    s.keys = keys;
    s.gap = 3;
    s.value = true;
    s.q = {2, 3};
    s.n = {30, 44};
    TestCall call = Attention(s, 108);
    call.OutputGap(2);
    ExpectConforms(call);
  }
}

// More rows than are cut into segments for several workers, against each of them alone.
TEST(SparseFlashAttention, ARowGivesTheSameBitsAloneAndAmongMany) {
  Shape s;
  s.tnd = true;
  s.keys = Keys::kPaged;
  s.page = 32;
  s.heads = 3;
  s.latent = 17;
  s.rope = 5;
  s.q = {70};
  s.n = {1500};
  s.count = 1300;
  s.mode = 0;
  TestCall all = Attention(s, 109);
  const auto view = [](const TensorView& from, int64_t row) {
    TensorView one = from;
    one.shape[0] = 1;
    one.data = static_cast<char*>(from.data) + row * from.strides[0] * base::ItemSize(from.dtype);
    return one;
  };
  for (Level level : base::AvailableLevels()) {
    ASSERT_TRUE(all.Run({.level = level}).ok());
    for (int64_t row : {0, 13, 69}) {
      TestCall one = Attention(s, 109);
      for (const char* name : {"query", "query_rope", "sparse_indices"})
        one.View(name, view(all.view(name), row));
      one.Tensor("actual_seq_lengths_query", DType::kInt32, {1}, [](int64_t) { return 1.0; });
      ASSERT_TRUE(one.Run({.level = level}).ok());
      for (int64_t i = 0; i < s.heads * s.latent; ++i)
        ASSERT_EQ(one.Got("out", i), all.Got("out", row * s.heads * s.latent + i));
      for (int64_t h = 0; h < s.heads; ++h) {
        ASSERT_EQ(one.Got("softmax_max", h), all.Got("softmax_max", row * s.heads + h));
        ASSERT_EQ(one.Got("softmax_sum", h), all.Got("softmax_sum", row * s.heads + h));
      }
    }
  }
  ExpectConforms(all);
}

TEST(SparseFlashAttention, LongSelectionsHaveLongerSegments) {
  Shape s;
  s.q = {1};
  s.n = {9000};
  s.block = 64;
  s.count = 150;
  s.mode = 0;
  s.heads = 2;
  s.latent = 8;
  s.rope = -1;
  TestCall call = Attention(s, 110);
  std::vector<int64_t> ids(150);
  std::iota(ids.begin(), ids.end(), 0);
  SetIds(call, {1, 1, 1, 150}, ids);
  ExpectConforms(call);
}

// One token of 128 heads over 2048 of 131072 positions in pages of 128. The cache has fewer pages
// than the table has entries.
TEST(SparseFlashAttention, DecodesAtTheDocumentsDims) {
  for (Format format : {Format::kSplit, Format::kCann}) {
    Shape s;
    s.format = format;
    s.keys = Keys::kPaged;
    s.page = 128;
    s.heads = 128;
    s.latent = 512;
    s.rope = 64;
    s.q = {1};
    s.n = {16 * 128};
    TestCall call = Attention(s, 111);
    Random random(112);
    call.Tensor("actual_seq_lengths_kv", DType::kInt32, {1}, [](int64_t) { return 131072.0; });
    call.Set("scale_value", 1.0 / 24);
    const TensorView key = call.view("key");
    // Spare pages hold NaN and bytes of ones: the table names the others, again and again.
    std::vector<int64_t> owned;
    for (int64_t page = 0; page < key.shape[0]; ++page) {
      const bool bytes = format != Format::kSplit;
      const double first = base::LoadAsDouble(key.data, key.dtype, page * key.strides[0]);
      const double last =
          base::LoadAsDouble(key.data, key.dtype, page * key.strides[0] + key.shape[3] - 1);
      if (bytes ? !(first == 255 && last == 255) : !std::isnan(first)) owned.push_back(page);
    }
    call.Tensor("block_table", DType::kInt32, {1, 1024}, [&](int64_t) {
      return static_cast<double>(
          owned[static_cast<size_t>(random.Below(static_cast<int64_t>(owned.size())))]);
    });
    std::vector<int64_t> ids(131072);
    std::iota(ids.begin(), ids.end(), 0);
    for (size_t i = 0; i < 2048; ++i)
      std::swap(ids[i],
                ids[i + static_cast<size_t>(random.Below(131072 - static_cast<int64_t>(i)))]);
    ids.resize(2048);
    SetIds(call, {1, 1, 1, 2048}, ids);
    ExpectConforms(call);
  }
}

TEST(SparseFlashAttention, CostCountsTheVisibleSelectedKeys) {
  Shape s;
  s.q = {2};
  s.n = {10};
  s.heads = 3;
  TestCall call = Attention(s, 113);
  SetIds(call, {1, 2, 1, 4}, {9, 1, 1, -1});  // token 0 sees 9 keys: two of these; token 1: three
  auto with_outputs = call.WithOutputs();
  ASSERT_TRUE(with_outputs.ok());
  const auto plan = with_outputs->MakePlan({});
  ASSERT_TRUE(plan.ok());
  EXPECT_EQ(plan->cost().flops, 2.0 * 5 * 3 * (24 + 8 + 24));
}

TEST(SparseFlashAttention, BadArgumentsAreRefusedByName) {
  const auto refuse = [](Shape s, const std::function<void(TestCall&)>& spoil,
                         const std::string& argument,
                         StatusCode code = StatusCode::kInvalidArgument) {
    s.q = {3, 2};
    s.n = {40, 17};
    TestCall call = Attention(s, 114);
    const auto fine = call.Run({});
    ASSERT_TRUE(fine.ok()) << fine.status().message();
    spoil(call);
    SCOPED_TRACE(argument);
    ExpectRefused(call, code, argument);
  };
  const auto zero = [](const char* name, DType dtype, std::vector<int64_t> shape) {
    return [=](TestCall& c) { c.Tensor(name, dtype, shape, [](int64_t) { return 0.0; }); };
  };
  const auto ints = [](const char* name, std::vector<int64_t> v) {
    return [=](TestCall& c) {
      c.Tensor(name, DType::kInt64, {static_cast<int64_t>(v.size())},
               [v](int64_t i) { return static_cast<double>(v[static_cast<size_t>(i)]); });
    };
  };
  const auto without = [](const char* name) { return [=](TestCall& c) { c.Without(name); }; };
  const auto set = [](const char* name, auto value) {
    return [=](TestCall& c) { c.Set(name, value); };
  };
  constexpr auto kNull = StatusCode::kNullArgument;
  Shape bsnd;
  Shape tnd;
  tnd.tnd = true;
  tnd.keys = Keys::kTnd;
  Shape paged;
  paged.keys = Keys::kPaged;
  Shape bytes;
  bytes.format = Format::kCann;
  bytes.latent = 128;

  refuse(bsnd, without("scale_value"), "scale_value", kNull);
  refuse(bsnd, without("sparse_indices"), "sparse_indices", kNull);
  refuse(bsnd, without("key_rope"), "key_rope", kNull);
  refuse(bsnd, without("query_rope"), "query_rope", kNull);
  refuse(bsnd, set("sparse_block_size", int64_t{0}), "sparse_block_size");
  refuse(bsnd, set("sparse_mode", int64_t{1}), "sparse_mode");
  refuse(bsnd, set("layout_kv", std::string("TND")), "key");
  refuse(bsnd, set("kv_format", std::string("cann656")), "key");
  refuse(bsnd, zero("key", DType::kFloat16, {2, 43, 1, 24}), "key");
  refuse(bsnd, zero("key", DType::kUInt8, {2, 43, 1, 24}), "key");
  refuse(bsnd, zero("key", DType::kBFloat16, {2, 43, 1, 23}), "key");
  refuse(bsnd, zero("key", DType::kBFloat16, {3, 43, 1, 24}), "key");
  refuse(bsnd, zero("key", DType::kBFloat16, {2, 43, 2, 24}), "key");
  refuse(bsnd, zero("key_rope", DType::kBFloat16, {2, 42, 1, 8}), "key_rope");
  refuse(bsnd, zero("key_rope", DType::kBFloat16, {2, 43, 1, 7}), "key_rope");
  refuse(bsnd, zero("query_rope", DType::kFloat16, {2, 3, 4, 8}), "query_rope");
  refuse(bsnd, zero("value", DType::kBFloat16, {2, 43, 1, 25}), "value");
  refuse(bsnd, zero("sparse_indices", DType::kInt64, {2, 3, 1, 12}), "sparse_indices");
  refuse(bsnd, zero("sparse_indices", DType::kInt32, {2, 4, 1, 12}), "sparse_indices");
  refuse(bsnd, zero("sparse_indices", DType::kInt32, {2, 3, 2, 12}), "sparse_indices");
  refuse(bsnd, zero("sinks", DType::kFloat32, {3}), "sinks");
  refuse(bsnd, zero("sinks", DType::kBFloat16, {4}), "sinks");
  refuse(bsnd, zero("block_table", DType::kInt32, {2, 3}), "block_table");
  refuse(bsnd, ints("actual_seq_lengths_query", {4, 1}), "actual_seq_lengths_query[0]");
  refuse(bsnd, ints("actual_seq_lengths_kv", {44, 1}), "actual_seq_lengths_kv[0]");
  refuse(bsnd, ints("actual_seq_lengths_kv", {1, 1, 1}), "actual_seq_lengths_kv");

  refuse(tnd, without("actual_seq_lengths_query"), "actual_seq_lengths_query", kNull);
  refuse(tnd, without("actual_seq_lengths_kv"), "actual_seq_lengths_kv", kNull);
  refuse(tnd, ints("actual_seq_lengths_query", {3, 2}), "actual_seq_lengths_query[1]");
  refuse(tnd, ints("actual_seq_lengths_kv", {40, 58}), "actual_seq_lengths_kv[1]");
  refuse(tnd, ints("actual_seq_lengths_kv", {57}), "actual_seq_lengths_kv");
  refuse(
      tnd,
      [&](TestCall& c) {
        zero("key", DType::kBFloat16, {2, 43, 1, 24})(c);
        zero("key_rope", DType::kBFloat16, {2, 43, 1, 8})(c);
        c.Set("layout_kv", std::string("BSND"));
      },
      "layout_kv");

  refuse(paged, without("block_table"), "block_table", kNull);
  refuse(paged, without("actual_seq_lengths_kv"), "actual_seq_lengths_kv", kNull);
  refuse(paged, ints("actual_seq_lengths_kv", {40, -1}), "actual_seq_lengths_kv[1]");
  refuse(paged, ints("actual_seq_lengths_kv", {int64_t{1} << 40, 1}), "block_table");
  refuse(paged, zero("block_table", DType::kInt32, {2, 2}), "block_table");
  refuse(paged, zero("block_table", DType::kInt32, {3, 4}), "block_table");
  for (double entry : {-1.0, 7.0, 2147483647.0, -2147483648.0}) {  // the cache has 7 pages
    refuse(
        paged,
        [=](TestCall& c) {
          c.Tensor("block_table", DType::kInt32, {2, 4},
                   [=](int64_t i) { return i == 5 ? entry : 0.0; });
        },
        "block_table[1, 1]");
  }

  refuse(bytes, without("query_rope"), "query_rope", kNull);
  refuse(bytes, zero("key_rope", DType::kBFloat16, {2, 43, 1, 8}), "key_rope");
  refuse(bytes, zero("key", DType::kUInt8, {2, 43, 1, 147}), "key");
  refuse(bytes, zero("key", DType::kBFloat16, {2, 43, 1, 148}), "key");
  refuse(bytes, zero("value", DType::kUInt8, {2, 43, 1, 148}), "value");
  refuse(
      bytes,
      [&](TestCall& c) {
        zero("query", DType::kBFloat16, {2, 3, 4, 120})(c);
      },
      "query");
}

TEST(SparseFlashAttention, KeyItselfMayBeGivenAsTheValue) {
  for (Format format : {Format::kSplit, Format::kCann}) {
    Shape s;
    s.format = format;
    s.latent = 128;
    TestCall absent = Attention(s, 115);
    TestCall given = Attention(s, 115);
    given.View("value", given.view("key"));
    const auto a = absent.Run({});
    const auto b = given.Run({});
    ASSERT_TRUE(a.ok() && b.ok());
    EXPECT_TRUE(*a == *b);
  }
}

// Each limit of the document has a call that only strict refuses.
TEST(SparseFlashAttention, StrictEnforcesTheDocumentsLimits) {
  Shape fine;
  fine.keys = Keys::kPaged;
  fine.latent = 512;
  fine.rope = 64;
  fine.value = true;
  const auto prepare = [](const Shape& s) {
    TestCall call = Attention(s, 116);
    return std::move(call.Set("return_softmax_lse", false).Set("strict", true));
  };
  TestCall accepted = prepare(fine);
  const auto run = accepted.Run({});
  ASSERT_TRUE(run.ok()) << run.status().message();
  const auto refuse = [&](const Shape& s, const char* argument,
                          const std::function<void(TestCall&)>& change = {}) {
    TestCall call = prepare(s);
    if (change) change(call);
    SCOPED_TRACE(argument);
    call.Set("strict", false);
    const auto wide = call.Run({});
    EXPECT_TRUE(wide.ok()) << wide.status().message();
    call.Set("strict", true);
    ExpectRefused(call, StatusCode::kInvalidArgument, argument);
  };
  Shape s = fine;
  s.dtype = DType::kFloat16;
  refuse(s, "query");
  s = fine;
  s.heads = 3;
  refuse(s, "query");
  s = fine;
  s.latent = 256;
  refuse(s, "query");
  s = fine;
  s.rope = 32;
  refuse(s, "query_rope");
  s = fine;
  s.page = 24;
  refuse(s, "key");
  s = fine;
  s.page = 2048;
  refuse(s, "key");
  s = fine;
  s.block = 5;
  refuse(s, "sparse_block_size");
  s = fine;
  s.value = false;
  refuse(s, "value");
  s = fine;
  s.sinks = true;
  refuse(s, "sinks");
  s = fine;
  s.lengths = DType::kInt64;
  refuse(s, "actual_seq_lengths_query");
  s = fine;
  s.gap = 1;
  refuse(s, "query");
  s = fine;
  s.tnd = true;
  s.keys = Keys::kTnd;
  refuse(s, "layout_kv");
  s = fine;
  s.format = Format::kCann;
  s.value = false;
  refuse(s, "kv_format");
  s = fine;
  s.q = {0};
  refuse(s, "query");
  s = fine;
  s.q = {2, 2};
  s.n = {9, 9};
  refuse(s, "actual_seq_lengths_kv", [](TestCall& c) {
    c.Tensor("actual_seq_lengths_kv", DType::kInt32, {1}, [](int64_t) { return 9.0; });
  });
  refuse(fine, "return_softmax_lse", [](TestCall& c) { c.Set("return_softmax_lse", true); });
}

}  // namespace
}  // namespace tamis::test
