// Calls of nsa_compress_attention_infer for its tests.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <vector>

#include "tests/support/refusals.h"
#include "tests/support/sequences.h"

namespace tamis::test::decoding {

struct Shape {
  DType dtype = DType::kFloat16;
  bool bsnd = false;
  int64_t kv_heads = 2;
  int64_t group = 4;
  int64_t qk_dim = 24;
  int64_t v_dim = 10;
  int64_t page = 16;
  int64_t spare_pages = 3;  // never named by the table, filled with NaN
  int64_t block = 32;
  int64_t stride = 16;
  int64_t select = 64;
  int64_t count = 4;
  int64_t padded_len = 0;             // BSND: S; 0: the longest
  std::vector<int64_t> queries = {};  // empty: one each, actual_seq_qlen absent
  std::vector<int64_t> keys = {37, 5};
  std::vector<int64_t> tokens = {};  // actual_sel_seq_kvlen
  bool mask = false;
  double scale = 0.2;

  int64_t q(size_t b) const { return queries.empty() ? 1 : queries[b]; }
  int64_t Windows(int64_t raw) const { return raw < block ? 0 : (raw - block) / stride + 1; }
  int64_t batch() const { return static_cast<int64_t>(keys.size()); }
};

// Rows past a sequence's keys and spare pages hold NaN, and table entries that must not be read are
// out of range.
inline TestCall Infer(const Shape& s, uint64_t seed, uint64_t page_seed = 1) {
  Random random(seed);
  Random shuffle(page_seed);
  const Pages pages(s.keys, s.page, s.spare_pages, &shuffle);
  const int64_t key_row = s.kv_heads * s.qk_dim;
  const int64_t value_row = s.kv_heads * s.v_dim;
  std::vector<double> key(static_cast<size_t>(pages.count * s.page * key_row), NAN);
  std::vector<double> value(static_cast<size_t>(pages.count * s.page * value_row), NAN);
  const auto fill = [&](std::vector<double>* rows, int64_t width, int64_t row) {
    const auto begin = rows->begin() + row * width;
    std::generate(begin, begin + width, [&] { return random.Normal(); });
  };
  for (int64_t b = 0; b < s.batch(); ++b) {  // the same values wherever the pages are
    for (int64_t i = 0; i < s.keys[static_cast<size_t>(b)]; ++i) {
      fill(&key, key_row, pages.RowOf(b, i));
      fill(&value, value_row, pages.RowOf(b, i));
    }
  }
  int64_t rows = 0;
  int64_t max_q = s.padded_len;
  for (size_t b = 0; b < s.keys.size(); ++b) {
    rows += s.q(b);
    max_q = std::max(max_q, s.q(b));
  }
  const int64_t heads = s.kv_heads * s.group;
  TestCall call("nsa_compress_attention_infer");
  call.Tensor("query", s.dtype,
              s.bsnd ? std::vector<int64_t>{s.batch(), max_q, heads, s.qk_dim}
                     : std::vector<int64_t>{rows, heads, s.qk_dim},
              [&](int64_t) { return random.Normal(); })
      .Strided("key", s.dtype, {pages.count, s.page, key_row}, 3, Elements(key))
      .Tensor("value", s.dtype, {pages.count, s.page, value_row}, Elements(value))
      .Tensor("block_table", DType::kInt32, {s.batch(), pages.width}, Elements(pages.table))
      .Set("scale_value", s.scale)
      .Set("head_num", heads)
      .Set("key_value_head_num", s.kv_heads)
      .Set("select_block_size", s.select)
      .Set("select_block_count", s.count)
      .Set("page_block_size", s.page)
      .Set("compress_block_size", s.block)
      .Set("compress_stride", s.stride)
      .Set("layout", s.bsnd ? "BSND" : "TND")
      .Set("actual_cmp_seq_kvlen", s.keys);
  if (!s.queries.empty()) call.Set("actual_seq_qlen", s.queries);
  if (!s.tokens.empty()) call.Set("actual_sel_seq_kvlen", s.tokens);
  if (s.mask) call.Tensor("atten_mask", DType::kBool, {max_q, 40}, [](int64_t) { return 0.0; });
  return call;
}

// Limits of query tokens, statistics of other keys, and outputs that are not always wanted.
inline void AskForMore(TestCall& call, Random* random) {
  const TensorView query = call.view("query");
  std::vector<int64_t> tokens(query.shape, query.shape + query.rank - 2);
  if (random->Below(3) == 0) {
    call.Tensor("key_limits", DType::kInt32, tokens,
                [&](int64_t) { return static_cast<double>(random->Between(-2, 90)); });
  }
  if (random->Below(3) == 0) {
    tokens.push_back(query.shape[query.rank - 2]);
    call.Tensor("global_max", DType::kFloat32, tokens,
                [&](int64_t) { return 3 * random->Normal(); })
        .Tensor("global_sum", DType::kFloat32, tokens,
                [&](int64_t) { return 1 + 50 * random->Uniform(); });
  }
  call.Set("out_dtype", random->Below(3) == 0 ? "float32" : "input");
  call.Set("return_softmax_lse", random->Below(3) == 0);
  call.Set("return_block_scores", random->Below(3) == 0);
}

}  // namespace tamis::test::decoding
