// Calls of sparse_flash_attention for its tests: layouts, pages, formats and ids from a seed.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>
#include <string>
#include <vector>

#include "prim/kv_row.h"
#include "tests/support/refusals.h"

namespace tamis::test::attention {

inline constexpr int64_t kIntMin = std::numeric_limits<int32_t>::min();
inline constexpr int64_t kIntMax = std::numeric_limits<int32_t>::max();

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

inline std::vector<int64_t> Prefix(const std::vector<int64_t>& lengths) {
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
inline std::vector<uint8_t> RandomKvRow(const Shape& s, Random* random) {
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
inline TestCall Attention(const Shape& s, uint64_t seed) {
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

inline void SetIds(TestCall& call, const std::vector<int64_t>& shape,
                   const std::vector<int64_t>& ids) {
  call.Tensor("sparse_indices", DType::kInt32, shape, [&](int64_t i) {
    return static_cast<double>(ids[static_cast<size_t>(i) % ids.size()]);
  });
}

inline void ExpectEmptyRow(const TestCall& call, const Shape& s, int64_t row) {
  for (int64_t h = 0; h < s.heads; ++h) {
    for (int64_t c = 0; c < s.latent; ++c)
      EXPECT_EQ(call.Got("out", (row * s.heads + h) * s.latent + c), 0.0);
    EXPECT_EQ(call.Got("softmax_max", row * s.heads + h), -kInfinity);
    EXPECT_EQ(call.Got("softmax_sum", row * s.heads + h), 0.0);
  }
}

}  // namespace tamis::test::attention
