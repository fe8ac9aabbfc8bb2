// Attention over selected blocks of a paged cache.
#include <gtest/gtest.h>

#include <cmath>

#include "base/dtype.h"
#include "ops/nsa_selected_attention/test_calls.h"
#include "tests/support/levels.h"

namespace tamis::test::selected {
namespace {

constexpr DType kDTypes[] = {DType::kBFloat16, DType::kFloat16, DType::kFloat32};

struct Paged : Shape {
  int64_t page = 16;
  bool bsnd = false;
  int64_t padding = 0;  // rows past the longest sequence's (BSND)
  bool statistics = true;

  int64_t tokens() const { return *std::max_element(q.begin(), q.end()) + padding; }
};

// Rows that no sequence has hold NaN.
TestCall Decode(const Paged& s, uint64_t seed) {
  Random random(seed);
  const auto normal = [&](int64_t) { return random.Normal(); };
  const Pages pages(s.n, s.page, 2, &random);
  const std::vector<bool> holds = pages.Holds(s.n);
  const auto batch = static_cast<int64_t>(s.n.size());
  const auto shape = [&](int64_t heads, int64_t width) {
    return s.bsnd ? std::vector<int64_t>{batch, s.tokens(), heads, width}
                  : std::vector<int64_t>{Prefix(s.q).back(), heads, width};
  };
  const auto cache = [&](int64_t width) {
    return [&random, &holds, width](int64_t i) {
      return holds[static_cast<size_t>(i / width)] ? random.Normal() : NAN;
    };
  };
  TestCall call("nsa_selected_attention_infer");
  call.Strided("query", s.dtype, shape(s.kv_heads * s.group, s.dim), s.gap, normal)
      .Strided("key", s.dtype, {pages.count, s.page, s.kv_heads * s.dim}, s.gap,
               cache(s.kv_heads * s.dim))
      .Strided("value", s.dtype, {pages.count, s.page, s.kv_heads * s.value_dim}, s.gap,
               cache(s.kv_heads * s.value_dim))
      .Strided("topk_indices", DType::kInt32, shape(s.kv_heads, s.count), s.gap,
               SomeIds(*std::max_element(s.n.begin(), s.n.end()), s.block, &random))
      .Tensor("block_table", DType::kInt32, {batch, pages.width}, Elements(pages.table))
      .Set("scale_value", 0.3)
      .Set("head_num", s.kv_heads * s.group)
      .Set("key_value_head_num", s.kv_heads)
      .Set("select_block_size", s.block)
      .Set("select_block_count", s.count)
      .Set("page_block_size", s.page)
      .Set("layout", s.bsnd ? "BSND" : "TND")
      .Set("actual_seq_qlen", s.q)
      .Set("actual_seq_kvlen", s.n)
      .Set("return_softmax_lse", s.statistics);
  if (s.out_float32) call.Set("out_dtype", "float32");
  return call;
}

TEST(NsaSelectedAttentionInfer, AgreesOverRandomLayoutsPagesAndLengths) {
  Random random(1211);
  for (int i = 0; i < 40; ++i) {
    Paged s;
    s.dtype = kDTypes[i % 3];
    s.kv_heads = random.Between(1, 3);
    s.group = random.Between(1, 20);
    s.dim = random.Between(1, 70);
    s.value_dim = random.Between(1, 40);
    s.count = random.Between(0, 12);
    s.block = random.Between(1, 40);
    s.page = random.Between(1, 40);
    s.bsnd = random.Below(2) == 0;
    s.padding = random.Between(0, 2);
    s.gap = random.Between(0, 1) * 5;
    s.statistics = random.Below(2) == 0;
    s.out_float32 = random.Below(3) == 0;
    s.q.clear();
    s.n.clear();
    for (int64_t b = random.Between(1, 3); b > 0; --b) {
      s.q.push_back(random.Between(0, 4));
      s.n.push_back(random.Between(0, 200));
    }
    TestCall call = Decode(s, random.Next());
    call.OutputGap(s.gap);
    SCOPED_TRACE("case " + std::to_string(i));
    ExpectConforms(call);
  }
}

// The same keys, packed: the same bits.
TEST(NsaSelectedAttentionInfer, IsSelectedAttentionOverWhatThePagesHold) {
  for (DType dtype : kDTypes) {
    Paged s;
    s.dtype = dtype;
    s.q = {3};
    s.n = {150};
    s.group = 16;
    s.page = 7;
    TestCall paged = Decode(s, 1212);
    s.mode = 3;
    TestCall packed = Attention(s, 1213);
    for (const char* name : {"query", "topk_indices"}) {
      const TensorView view = paged.view(name);
      packed.Tensor(name, view.dtype, {view.shape, view.shape + view.rank},
                    [&](int64_t i) { return base::LoadAsDouble(view.data, view.dtype, i); });
    }
    const auto* table = static_cast<const int32_t*>(paged.view("block_table").data);
    for (const char* name : {"key", "value"}) {
      const TensorView view = paged.view(name);
      const int64_t width = view.shape[2];
      packed.Tensor(name, dtype, {150, s.kv_heads, width / s.kv_heads}, [&](int64_t i) {
        const int64_t position = i / width;
        const int64_t row = table[position / s.page] * s.page + position % s.page;
        return base::LoadAsDouble(view.data, dtype, row * width + i % width);
      });
    }
    for (Level level : TestedLevels()) {
      ASSERT_TRUE(paged.Run({.level = level}).ok() && packed.Run({.level = level}).ok());
      for (int64_t i = 0; i < paged.OutputElems("attention_out"); ++i)
        ASSERT_EQ(paged.Got("attention_out", i), packed.Got("attention_out", i));
      for (int64_t i = 0; i < paged.OutputElems("softmax_sum"); ++i)
        ASSERT_EQ(paged.Got("softmax_sum", i), packed.Got("softmax_sum", i));
    }
  }
}

TEST(NsaSelectedAttentionInfer, OneTokenEachWithoutQueryLengths) {
  Paged s;
  s.q = {1, 1};
  s.n = {40, 9};
  TestCall with = Decode(s, 1214);
  TestCall without = Decode(s, 1214);
  without.Without("actual_seq_qlen");
  ExpectSameBytes(with, without);
}

TEST(NsaSelectedAttentionInfer, BadArgumentsAreRefusedByName) {
  Paged s;
  s.q = {2, 1};
  s.n = {40, 9};
  const TestCall call = Decode(s, 1215);
  const auto refuse = [&](const Change& change, const char* argument) {
    ExpectRefusedAfter(call, change, argument);
  };
  refuse(With("key_value_head_num", int64_t{1}), "query");
  refuse(With("page_block_size", int64_t{8}), "key");
  refuse(With("head_num", int64_t{5}), "head_num");
  refuse(With("select_block_size", int64_t{-1}), "select_block_size");
  refuse(With("select_block_count", int64_t{7}), "select_block_count");
  refuse(With("actual_seq_qlen", std::vector<int64_t>{2}), "actual_seq_qlen");
  refuse(With("actual_seq_qlen", std::vector<int64_t>{2, 2}), "actual_seq_qlen");
  refuse(With("actual_seq_kvlen", std::vector<int64_t>{40}), "actual_seq_kvlen");
  refuse(With("actual_seq_kvlen", std::vector<int64_t>{40, 900}), "block_table");
  refuse(
      [](TestCall& changed) {
        changed.Tensor("block_table", DType::kInt32, {2, 3}, [](int64_t) { return -1.0; });
      },
      "block_table[0, 0]");
}

}  // namespace
}  // namespace tamis::test::selected
