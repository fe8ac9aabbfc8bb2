// Calls of sparse_flash_attention for its tests: layouts, pages, formats and ids from a seed.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <limits>
#include <numeric>
#include <vector>

#include "prim/formats/kv_row.h"
#include "tests/support/kv_rows.h"
#include "tests/support/refusals.h"
#include "tests/support/token_calls.h"

namespace tamis::test::attention {

inline constexpr int64_t kIntMin = std::numeric_limits<int32_t>::min();
inline constexpr int64_t kIntMax = std::numeric_limits<int32_t>::max();

enum class Format { kSplit, kCann, kFlashMla, kApart };

struct Shape : Tokens {
  Format format = Format::kSplit;
  int64_t heads = 4;
  int64_t latent = 24;
  int64_t rope = 8;  // -1: no rope tensors
  int64_t count = 12;
  int64_t block = 1;
  int64_t mode = 3;
  bool value = false;
  bool sinks = false;
  bool statistics = true;
  std::vector<int64_t> window = {};  // keys of the window per sequence; none: no window
  int64_t window_size = 5;
  std::vector<int64_t> window_starts = {};

  std::string kv_format() const {
    return format == Format::kSplit      ? "split"
           : format == Format::kCann     ? "cann656"
           : format == Format::kFlashMla ? "flashmla656"
                                         : "flashmla584";
  }
  /// Where the rotary part is in the key, it is its last 64 channels.
  prim::KvRow row() const {
    return format == Format::kApart ? KvFormatOf(kv_format(), latent - 64, 64)
                                    : KvFormatOf(kv_format(), latent, rope);
  }
  bool query_rope() const { return rope >= 0 && format != Format::kApart; }
};

// Keys of the call, in the tensors of these names.
inline void SetKeys(TestCall* call, const Shape& s, const Placement& place, const std::string& key,
                    const std::string& rope, const std::string& value, Random* random) {
  const auto keys = [&](const std::string& name, int64_t dim) {
    call->Strided(name, s.dtype, place.Shape(dim), s.gap, place.Values(dim, random));
  };
  if (s.format == Format::kSplit) {
    keys(key, s.latent);
    if (s.rope >= 0) keys(rope, s.rope);
    if (s.value) keys(value, s.latent);
    return;
  }
  const std::vector<int64_t> shape = place.Shape(s.row().width());
  const int64_t rows = shape[shape.size() - 3];
  const std::vector<uint8_t> bytes = RandomKvPages(
      s.row(), rows > 0 ? place.rows() / rows : 0, rows, [&](int64_t r) { return place.Holds(r); },
      s.dtype, random);
  call->Set("kv_format", s.kv_format());
  call->Strided(key, DType::kUInt8, shape, s.format == Format::kApart ? 0 : s.gap, Elements(bytes));
}

inline void SetWindow(TestCall* call, const Shape& s, Random* random) {
  Tokens tokens = s;
  tokens.n = s.window;
  tokens.starts = s.window_starts;
  tokens.page = s.page + 3;
  const Placement place(tokens, random);
  SetKeys(call, s, place, "window_key", "window_key_rope", "window_value", random);
  call->Set("window_size", s.window_size)
      .List("actual_seq_lengths_window", s.lengths,
            s.keys == Keys::kTnd ? Prefix(s.window) : s.window);
  if (!s.window_starts.empty()) call->List("window_starts", s.lengths, s.window_starts);
  if (const std::optional<Pages>& pages = place.pages()) {
    call->Tensor("window_block_table", DType::kInt32,
                 {static_cast<int64_t>(s.window.size()), pages->width}, Elements(pages->table));
  }
}

// Of a random call.
inline void AddSomeWindow(Shape* s, Random* random) {
  if (random->Below(3) != 0) return;
  for (size_t b = 0; b < s->n.size(); ++b) s->window.push_back(random->Between(0, 200));
  s->window_size = random->Between(-1, 150);
  if (random->Below(2) == 0) return;
  for (int64_t n : s->window) s->window_starts.push_back(random->Between(0, n));
}

// Rows of keys that no sequence has, spare pages and gaps hold NaN or bytes of ones.
inline TestCall Attention(const Shape& s, uint64_t seed) {
  Random random(seed);
  const auto normal = [&](int64_t) { return random.Normal(); };
  const Placement place(s, &random);
  TestCall call("sparse_flash_attention");
  call.Strided("query", s.dtype, s.QueryShape({s.heads, s.latent}), s.gap, normal)
      .Set("scale_value", 0.3)
      .Set("sparse_block_size", s.block)
      .Set("sparse_mode", s.mode)
      .Set("return_softmax_lse", s.statistics);
  SetSequences(&call, s, place, "kv");
  if (s.query_rope())
    call.Strided("query_rope", s.dtype, s.QueryShape({s.heads, s.rope}), s.gap, normal);
  SetKeys(&call, s, place, "key", "key_rope", "value", &random);
  if (!s.window.empty()) SetWindow(&call, s, &random);
  if (s.sinks) call.Tensor("sinks", DType::kFloat32, {s.heads}, normal);
  // Ids of every kind: mostly good, some twice, some past the end, seldom the end of the list.
  const int64_t longest = *std::max_element(s.n.begin(), s.n.end()) / s.block + 2;
  call.Strided("sparse_indices", DType::kInt32, s.QueryShape({1, s.count}), s.gap, [&](int64_t) {
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

// One row's list: positions [0, count).
inline void SelectInOrder(TestCall& call, int64_t count) {
  std::vector<int64_t> ids(static_cast<size_t>(count));
  std::iota(ids.begin(), ids.end(), 0);
  SetIds(call, {1, 1, 1, count}, ids);
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
