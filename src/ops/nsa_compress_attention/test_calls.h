// Calls of nsa_compress_attention for its tests.
#pragma once

#include <algorithm>
#include <cstdint>
#include <vector>

#include "tests/support/refusals.h"
#include "tests/support/sequences.h"

namespace tamis::test::compressed {

struct Shape {
  DType dtype = DType::kBFloat16;
  int64_t kv_heads = 2;
  int64_t group = 3;
  int64_t qk_dim = 20;
  int64_t v_dim = 12;
  int64_t block = 32;
  int64_t stride = 16;
  int64_t select = 64;
  int64_t count = 4;
  std::vector<int64_t> queries = {9};
  std::vector<int64_t> keys = {23};
  int64_t gap = 0;
  double scale = 0.25;

  int64_t max_q() const { return *std::max_element(queries.begin(), queries.end()); }
  int64_t max_n() const { return *std::max_element(keys.begin(), keys.end()); }
  int64_t max_blocks() const { return (max_n() + select / stride - 1) / (select / stride); }
};

inline TestCall Attention(const Shape& s, uint64_t seed) {
  Random random(seed);
  const auto normal = [&](int64_t) { return random.Normal(); };
  const int64_t tokens = Prefix(s.queries).back();
  const int64_t keys = Prefix(s.keys).back();
  TestCall call("nsa_compress_attention");
  call.Strided("query", s.dtype, {tokens, s.kv_heads * s.group, s.qk_dim}, s.gap, normal)
      .Strided("key", s.dtype, {keys, s.kv_heads, s.qk_dim}, s.gap, normal)
      .Strided("value", s.dtype, {keys, s.kv_heads, s.v_dim}, s.gap, normal)
      .Set("scale_value", s.scale)
      .Set("head_num", s.kv_heads * s.group)
      .Set("compress_block_size", s.block)
      .Set("compress_stride", s.stride)
      .Set("select_block_size", s.select)
      .Set("select_block_count", s.count)
      .Set("actual_seq_qlen", Prefix(s.queries))
      .Set("actual_cmp_seq_kvlen", Prefix(s.keys))
      .OutputGap(s.gap);
  return call;
}

inline void AddRandomMask(TestCall& call, const char* name, int64_t rows, int64_t columns,
                          double share, uint64_t seed) {
  Random random(seed);
  call.Strided(name, DType::kUInt8, {rows, columns}, 5,
               [&](int64_t) { return random.Uniform() < share ? 1.0 : 0.0; });
}

inline void AddCausalMask(TestCall& call, const Shape& s) {
  const int64_t n = s.max_n();
  call.Tensor("atten_mask", DType::kBool, {s.max_q(), n},
              [=](int64_t i) { return i % n * s.stride + s.block - 1 > i / n ? 1.0 : 0.0; });
}

// Causality by positions; of some calls, the queries are the end of longer sequences.
inline void HideByPosition(TestCall& call, const Shape& s, Random* random) {
  call.Set("causal", true);
  if (random->Below(2) == 0) return;
  std::vector<int64_t> raw;
  for (size_t b = 0; b < s.queries.size(); ++b)
    raw.push_back(random->Between(0, s.keys[b] * s.stride + 2 * s.block));
  call.Set("actual_raw_seq_kvlen", Prefix(raw));
}

inline void AddLimits(TestCall& call, const Shape& s, Random* random) {
  call.Tensor("key_limits", DType::kInt32, {Prefix(s.queries).back()},
              [&](int64_t) { return static_cast<double>(random->Between(-2, s.max_n() + 2)); });
}

// As if there were other keys.
inline void AddGlobals(TestCall& call, const Shape& s, Random* random) {
  const std::vector<int64_t> shape = {Prefix(s.queries).back(), s.kv_heads * s.group};
  call.Tensor("global_max", DType::kFloat32, shape, [&](int64_t) { return 3 * random->Normal(); })
      .Tensor("global_sum", DType::kFloat32, shape,
              [&](int64_t) { return 1 + 50 * random->Uniform(); });
}

}  // namespace tamis::test::compressed
