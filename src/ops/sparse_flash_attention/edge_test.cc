// What must hold beside the formula: hostile ids, empty and strided tensors, bits that do not
// depend on the rest of the call, the documents' sizes, refusals.
#include <gtest/gtest.h>

#include <cmath>
#include <numeric>

#include "base/golden.h"
#include "ops/sparse_flash_attention/test_calls.h"
#include "tests/support/levels.h"

namespace tamis::test::attention {
namespace {

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
  for (Level level : TestedLevels()) {
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

// So many rows that they are not cut into segments for several workers, against each of them alone.
void ExpectRowsStandAlone(int64_t heads, bool statistics, int64_t rows = 70) {
  Shape s;
  s.statistics = statistics;
  s.tnd = true;
  s.keys = Keys::kPaged;
  s.page = 32;
  s.heads = heads;
  s.latent = 17;
  s.rope = 5;
  s.q = {rows};
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
  for (Level level : TestedLevels()) {
    ASSERT_TRUE(all.Run({.level = level}).ok());
    for (int64_t row : {int64_t{0}, rows / 5, rows - 1}) {
      TestCall one = Attention(s, 109);
      for (const char* name : {"query", "query_rope", "sparse_indices"})
        one.View(name, view(all.view(name), row));
      one.Tensor("actual_seq_lengths_query", DType::kInt32, {1}, [](int64_t) { return 1.0; });
      ASSERT_TRUE(one.Run({.level = level}).ok());
      for (int64_t i = 0; i < s.heads * s.latent; ++i)
        ASSERT_EQ(one.Got("out", i), all.Got("out", row * s.heads * s.latent + i));
      for (int64_t h = 0; statistics && h < s.heads; ++h) {
        ASSERT_EQ(one.Got("softmax_max", h), all.Got("softmax_max", row * s.heads + h));
        ASSERT_EQ(one.Got("softmax_sum", h), all.Got("softmax_sum", row * s.heads + h));
      }
    }
  }
  ExpectConforms(all);
}

TEST(SparseFlashAttention, ARowGivesTheSameBitsAloneAndAmongMany) {
  ExpectRowsStandAlone(3, true);
  ExpectRowsStandAlone(11, false);
  ExpectRowsStandAlone(40, false);      // groups of 16 heads, and 8
  ExpectRowsStandAlone(897, false, 9);  // blocks of 128 heads, and 1
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
  SelectInOrder(call, 150);
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

Cost CostOf(TestCall& call) {
  auto with_outputs = call.WithOutputs();
  EXPECT_TRUE(with_outputs.ok());
  const auto plan = with_outputs->MakePlan({});
  EXPECT_TRUE(plan.ok());
  return plan->cost();
}

TEST(SparseFlashAttention, CostCountsTheVisibleSelectedKeys) {
  Shape s;
  s.q = {2};
  s.n = {10};
  s.heads = 3;
  TestCall call = Attention(s, 113);
  SetIds(call, {1, 2, 1, 4}, {9, 1, 1, -1});  // token 0 sees 9 keys: two of these; token 1: three
  EXPECT_EQ(CostOf(call).flops, 2.0 * 5 * 3 * (24 + 8 + 24));
}

TEST(SparseFlashAttention, BadArgumentsAreRefusedByName) {
  const auto refuse = [](Shape s, const Change& change, const std::string& argument,
                         StatusCode code = StatusCode::kInvalidArgument) {
    s.q = {3, 2};
    s.n = {40, 17};
    ExpectRefusedAfter(Attention(s, 114), change, argument, code);
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

  refuse(bsnd, Without("scale_value"), "scale_value", kNull);
  refuse(bsnd, Without("sparse_indices"), "sparse_indices", kNull);
  refuse(bsnd, Without("key_rope"), "key_rope", kNull);
  refuse(bsnd, Without("query_rope"), "query_rope", kNull);
  refuse(bsnd, With("sparse_block_size", 0), "sparse_block_size");
  refuse(bsnd, With("sparse_mode", 1), "sparse_mode");
  refuse(bsnd, With("layout_kv", "TND"), "key");
  refuse(bsnd, With("kv_format", "cann656"), "key");
  refuse(bsnd, Filled("key", DType::kFloat16, {2, 43, 1, 24}), "key");
  refuse(bsnd, Filled("key", DType::kUInt8, {2, 43, 1, 24}), "key");
  refuse(bsnd, Filled("key", DType::kBFloat16, {2, 43, 1, 23}), "key");
  refuse(bsnd, Filled("key", DType::kBFloat16, {3, 43, 1, 24}), "key");
  refuse(bsnd, Filled("key", DType::kBFloat16, {2, 43, 2, 24}), "key");
  refuse(bsnd, Filled("key_rope", DType::kBFloat16, {2, 42, 1, 8}), "key_rope");
  refuse(bsnd, Filled("key_rope", DType::kBFloat16, {2, 43, 1, 7}), "key_rope");
  refuse(bsnd, Filled("query_rope", DType::kFloat16, {2, 3, 4, 8}), "query_rope");
  refuse(bsnd, Filled("value", DType::kBFloat16, {2, 43, 1, 25}), "value");
  refuse(bsnd, Filled("sparse_indices", DType::kInt64, {2, 3, 1, 12}), "sparse_indices");
  refuse(bsnd, Filled("sparse_indices", DType::kInt32, {2, 4, 1, 12}), "sparse_indices");
  refuse(bsnd, Filled("sparse_indices", DType::kInt32, {2, 3, 2, 12}), "sparse_indices");
  refuse(bsnd, Filled("sinks", DType::kFloat32, {3}), "sinks");
  refuse(bsnd, Filled("sinks", DType::kBFloat16, {4}), "sinks");
  refuse(bsnd, Filled("block_table", DType::kInt32, {2, 3}), "block_table");
  refuse(bsnd, Listed("actual_seq_lengths_query", DType::kInt64, {4, 1}),
         "actual_seq_lengths_query[0]");
  refuse(bsnd, Listed("actual_seq_lengths_kv", DType::kInt64, {44, 1}), "actual_seq_lengths_kv[0]");
  refuse(bsnd, Listed("actual_seq_lengths_kv", DType::kInt64, {1, 1, 1}), "actual_seq_lengths_kv");

  refuse(tnd, Without("actual_seq_lengths_query"), "actual_seq_lengths_query", kNull);
  refuse(tnd, Without("actual_seq_lengths_kv"), "actual_seq_lengths_kv", kNull);
  refuse(tnd, Listed("actual_seq_lengths_query", DType::kInt64, {3, 2}),
         "actual_seq_lengths_query[1]");
  refuse(tnd, Listed("actual_seq_lengths_kv", DType::kInt64, {40, 58}), "actual_seq_lengths_kv[1]");
  refuse(tnd, Listed("actual_seq_lengths_kv", DType::kInt64, {57}), "actual_seq_lengths_kv");
  refuse(
      tnd,
      [&](TestCall& c) {
        Filled("key", DType::kBFloat16, {2, 43, 1, 24})(c);
        Filled("key_rope", DType::kBFloat16, {2, 43, 1, 8})(c);
        c.Set("layout_kv", "BSND");
      },
      "layout_kv");

  refuse(paged, Without("block_table"), "block_table", kNull);
  refuse(paged, Without("actual_seq_lengths_kv"), "actual_seq_lengths_kv", kNull);
  refuse(paged, Listed("actual_seq_lengths_kv", DType::kInt64, {40, -1}),
         "actual_seq_lengths_kv[1]");
  refuse(paged, Listed("actual_seq_lengths_kv", DType::kInt64, {int64_t{1} << 40, 1}),
         "block_table");
  refuse(paged, Filled("block_table", DType::kInt32, {2, 2}), "block_table");
  refuse(paged, Filled("block_table", DType::kInt32, {3, 4}), "block_table");
  for (double entry : {-1.0, 7.0, 2147483647.0, -2147483648.0}) {  // the cache has 7 pages
    refuse(
        paged,
        [=](TestCall& c) {
          c.Tensor("block_table", DType::kInt32, {2, 4},
                   [=](int64_t i) { return i == 5 ? entry : 0.0; });
        },
        "block_table[1, 1]");
  }

  refuse(bytes, Without("query_rope"), "query_rope", kNull);
  refuse(bytes, Filled("key_rope", DType::kBFloat16, {2, 43, 1, 8}), "key_rope");
  refuse(bytes, Filled("key", DType::kUInt8, {2, 43, 1, 147}), "key");
  refuse(bytes, Filled("key", DType::kBFloat16, {2, 43, 1, 148}), "key");
  refuse(bytes, Filled("value", DType::kUInt8, {2, 43, 1, 148}), "value");
  refuse(bytes, Filled("query", DType::kBFloat16, {2, 3, 4, 120}), "query");
}

TEST(SparseFlashAttention, KeyItselfMayBeGivenAsTheValue) {
  for (Format format : {Format::kSplit, Format::kCann}) {
    Shape s;
    s.format = format;
    s.latent = 128;
    TestCall absent = Attention(s, 115);
    TestCall given = Attention(s, 115);
    given.View("value", given.view("key"));
    ExpectSameBytes(absent, given);
    EXPECT_EQ(CostOf(given).read_bytes, CostOf(absent).read_bytes);  // once
  }
}

}  // namespace
}  // namespace tamis::test::attention
