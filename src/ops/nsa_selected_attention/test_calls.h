// Calls of nsa_selected_attention for its tests: packed sequences, ids of every kind from a seed.
#pragma once

#include <algorithm>
#include <limits>
#include <vector>

#include "tests/support/refusals.h"
#include "tests/support/sequences.h"

namespace tamis::test::selected {

struct Shape {
  DType dtype = DType::kBFloat16;
  std::vector<int64_t> q = {5};   // query tokens per sequence
  std::vector<int64_t> n = {70};  // keys per sequence
  int64_t kv_heads = 2;
  int64_t group = 3;
  int64_t dim = 20;
  int64_t value_dim = 12;
  int64_t count = 6;
  int64_t block = 8;
  int64_t mode = 2;
  int64_t alike = 1;  // so many tokens after each other have the same lists
  int64_t gap = 0;
  bool out_float32 = false;
};

// Mostly good ids, some named twice, some past the end, seldom one that ends the list.
inline std::function<double(int64_t)> SomeIds(int64_t longest, int64_t block, Random* random) {
  constexpr auto kMost = static_cast<double>(std::numeric_limits<int32_t>::max());
  const int64_t blocks = longest / block + 2;
  return [blocks, random](int64_t) {
    const int64_t kind = random->Below(150);
    if (kind == 0) return random->Below(2) == 0 ? -1.0 : -kMost - 1;
    return kind == 1 ? kMost : static_cast<double>(random->Below(blocks));
  };
}

inline TestCall Attention(const Shape& s, uint64_t seed) {
  Random random(seed);
  const auto normal = [&](int64_t) { return random.Normal(); };
  const int64_t tokens = Prefix(s.q).back();
  const int64_t keys = Prefix(s.n).back();
  const auto id = SomeIds(*std::max_element(s.n.begin(), s.n.end()), s.block, &random);
  const int64_t lists = s.kv_heads * s.count;  // ids of a token
  std::vector<double> ids(static_cast<size_t>((tokens / s.alike + 1) * lists));
  for (double& i : ids) i = id(0);
  TestCall call("nsa_selected_attention");
  call.Strided("query", s.dtype, {tokens, s.kv_heads * s.group, s.dim}, s.gap, normal)
      .Strided("key", s.dtype, {keys, s.kv_heads, s.dim}, s.gap, normal)
      .Strided("value", s.dtype, {keys, s.kv_heads, s.value_dim}, s.gap, normal)
      .Strided("topk_indices", DType::kInt32, {tokens, s.kv_heads, s.count}, s.gap,
               [&](int64_t i) {
                 return ids[static_cast<size_t>(i / (lists * s.alike) * lists + i % lists)];
               })
      .Set("scale_value", 0.3)
      .Set("head_num", s.kv_heads * s.group)
      .Set("select_block_size", s.block)
      .Set("select_block_count", s.count)
      .Set("actual_seq_qlen", Prefix(s.q))
      .Set("actual_seq_kvlen", Prefix(s.n))
      .Set("sparse_mode", s.mode);
  if (s.out_float32) call.Set("out_dtype", "float32");
  return call;
}

// The same list for every token and kv head.
inline void SetIds(TestCall* call, const Shape& s, const std::vector<int64_t>& ids) {
  call->Tensor("topk_indices", DType::kInt32, {Prefix(s.q).back(), s.kv_heads, s.count},
               [&](int64_t i) {
                 const auto slot = static_cast<size_t>(i % s.count);
                 return slot < ids.size() ? static_cast<double>(ids[slot]) : -1.0;
               });
}

}  // namespace tamis::test::selected
