// Attention over selected blocks of raw keys.
#include <gtest/gtest.h>

#include <cmath>
#include <numeric>

#include "base/dtype.h"
#include "ops/nsa_selected_attention/test_calls.h"
#include "tests/support/levels.h"

namespace tamis::test::selected {
namespace {

constexpr DType kDTypes[] = {DType::kBFloat16, DType::kFloat16, DType::kFloat32};

TEST(NsaSelectedAttention, AgreesOverRandomShapesLengthsAndModes) {
  Random random(1201);
  for (int i = 0; i < 40; ++i) {
    Shape s;
    s.dtype = kDTypes[i % 3];
    s.kv_heads = random.Between(1, 3);
    s.group = random.Between(1, 20);
    s.dim = random.Between(1, 70);
    s.value_dim = random.Between(1, 40);
    s.count = random.Between(0, 12);
    s.block = random.Between(1, 40);
    s.mode = std::vector<int64_t>{0, 2, 3}[static_cast<size_t>(random.Below(3))];
    s.alike = random.Below(2) == 0 ? 1 : random.Between(2, 9);
    s.gap = random.Between(0, 1) * 5;
    s.out_float32 = random.Below(3) == 0;
    s.q.clear();
    s.n.clear();
    for (int64_t b = random.Between(1, 3); b > 0; --b) {
      s.q.push_back(random.Between(0, s.alike > 1 ? 20 : 5));
      s.n.push_back(random.Between(0, 200));
    }
    TestCall call = Attention(s, random.Next());
    call.OutputGap(s.gap);
    SCOPED_TRACE("case " + std::to_string(i));
    ExpectConforms(call);
  }
}

TEST(NsaSelectedAttention, AgreesAtTheDocumentsDims) {
  for (DType dtype : kDTypes) {
    Shape s;
    s.dtype = dtype;
    s.q = {3};
    s.n = {1100};
    s.kv_heads = 4;
    s.group = 16;
    s.dim = 192;
    s.value_dim = 128;
    s.count = 16;
    s.block = 64;
    s.mode = 3;
    TestCall call = Attention(s, 1202);
    ExpectConforms(call);
  }
}

// With one head and one channel, zero queries average what is read: powers of two tell which.
TEST(NsaSelectedAttention, ReadsTheBlocksThatTheFormulaNames) {
  struct Case {
    int64_t mode;
    std::vector<int64_t> ids;
    std::vector<int64_t> positions;  // that the second of two tokens reads, of 7 keys
  };
  const std::vector<Case> cases = {
      {0, {0, 2}, {0, 1, 4, 5}},
      {0, {3, 1}, {6, 2, 3}},     // the last block is cut
      {0, {1, -1, 0}, {2, 3}},    // a negative id ends the list
      {0, {9, 1}, {2, 3}},        // a block past the end gives nothing
      {0, {1, 1}, {2, 3, 2, 3}},  // an id named twice counts twice
      {2, {0, 1}, {0, 1}},        // token 1 of the top left sees 2 keys
      {3, {0, 1, 2, 3}, {0, 1, 2, 3, 4, 5, 6}},
      {3, {5, 4, 3, 9, 9, 9, 9, 0}, {6, 0, 1}},  // every slot is looked at
  };
  for (const Case& c : cases) {
    Shape s;
    s.dtype = DType::kFloat32;
    s.q = {2};
    s.n = {7};
    s.kv_heads = s.group = s.dim = s.value_dim = 1;
    s.block = 2;
    s.mode = c.mode;
    s.count = static_cast<int64_t>(c.ids.size());
    TestCall call = Attention(s, 1203);
    call.Tensor("query", s.dtype, {2, 1, 1}, [](int64_t) { return 0.0; });
    call.Tensor("value", s.dtype, {7, 1, 1},
                [](int64_t i) { return std::exp2(static_cast<double>(i)); });
    SetIds(&call, s, c.ids);
    double want = 0;
    for (int64_t position : c.positions) want += std::exp2(static_cast<double>(position));
    const auto read = static_cast<double>(c.positions.size());
    for (Level level : TestedLevels()) {
      ASSERT_TRUE(call.Run({.level = level}).ok());
      EXPECT_EQ(call.Got("softmax_sum", 1), read);
      EXPECT_NEAR(call.Got("attention_out", 1), want / read, 1e-6 * want);
    }
  }
}

TEST(NsaSelectedAttention, EveryKvHeadHasIdsOfItsOwn) {
  for (DType dtype : kDTypes) {
    Shape s;
    s.dtype = dtype;
    s.kv_heads = 3;
    TestCall all = Attention(s, 1204);
    ASSERT_TRUE(all.Run({}).ok());
    for (int64_t g = 0; g < 3; ++g) {
      Shape one = s;
      one.kv_heads = 1;
      TestCall call = Attention(one, 1204);
      const auto part = [&](const char* name, int64_t heads, int64_t width) {
        const TensorView view = all.view(name);
        call.Tensor(name, view.dtype, {view.shape[0], heads, width}, [&](int64_t i) {
          const int64_t row = i / (heads * width);
          return base::LoadAsDouble(view.data, view.dtype,
                                    (row * 3 + g) * heads * width + i % (heads * width));
        });
      };
      part("query", s.group, s.dim);
      part("key", 1, s.dim);
      part("value", 1, s.value_dim);
      part("topk_indices", 1, s.count);
      for (Level level : TestedLevels()) {
        ASSERT_TRUE(all.Run({.level = level}).ok() && call.Run({.level = level}).ok());
        for (int64_t i = 0; i < 5 * s.group * s.value_dim; ++i) {
          const int64_t row = i / (s.group * s.value_dim);
          ASSERT_EQ(call.Got("attention_out", i),
                    all.Got("attention_out",
                            (row * 3 + g) * s.group * s.value_dim + i % (s.group * s.value_dim)));
        }
      }
    }
  }
}

TEST(NsaSelectedAttention, KeysThatNoTokenReadsAreNotRead) {
  for (DType dtype : kDTypes) {
    Shape s;
    s.dtype = dtype;
    s.mode = 0;
    TestCall clean = Attention(s, 1205);
    SetIds(&clean, s, {7, 1, 3});
    TestCall poisoned = Attention(s, 1205);
    SetIds(&poisoned, s, {7, 1, 3});
    for (const char* name : {"key", "value"}) {
      const TensorView view = poisoned.view(name);
      const int64_t row = view.shape[1] * view.shape[2];
      for (int64_t i = 0; i < 70 * row; ++i) {
        const int64_t block = i / row / s.block;
        if (block != 1 && block != 3 && block != 7) base::StoreDouble(view.data, dtype, i, NAN);
      }
    }
    ExpectSameBytes(clean, poisoned);
  }
}

// Of a token of `many`, alone with the keys that it sees.
TestCall Alone(const TestCall& many, const Shape& s, int64_t token) {
  Shape one = s;
  one.q = {1};
  one.n = {s.n[0] - s.q[0] + 1 + token};
  TestCall alone = Attention(one, 1);
  const auto take = [&](const char* name, int64_t first, int64_t rows) {
    const TensorView view = many.view(name);
    const int64_t width = view.shape[1] * view.shape[2];
    alone.Tensor(name, view.dtype, {rows, view.shape[1], view.shape[2]}, [&](int64_t i) {
      return base::LoadAsDouble(view.data, view.dtype, first * width + i);
    });
  };
  take("query", token, 1);
  take("topk_indices", token, 1);
  take("key", 0, one.n[0]);
  take("value", 0, one.n[0]);
  return alone;
}

// Tokens with one list are walked together, up to the end of the last block that they see.
TEST(NsaSelectedAttention, ARowGivesTheSameBitsAloneAndAmongMany) {
  for (DType dtype : kDTypes) {
    for (const auto& [alike, block] :
         {std::pair<int64_t, int64_t>{1, 8}, {40, 8}, {3, 8}, {40, 150}}) {
      Shape s;
      s.dtype = dtype;
      s.q = {40};
      s.n = {300};
      s.group = 16;
      s.mode = 3;
      s.alike = alike;
      s.block = block;
      TestCall many = Attention(s, 1206);
      for (int64_t token : {0, 3, 17, 18, 19, 20, 39}) {
        TestCall alone = Alone(many, s, token);
        for (Level level : TestedLevels()) {
          for (int32_t threads : {1, 3}) {
            ASSERT_TRUE(many.Run({.threads = threads, .level = level}).ok());
            ASSERT_TRUE(alone.Run({.threads = threads, .level = level}).ok());
            const int64_t width = s.kv_heads * s.group * s.value_dim;
            for (int64_t i = 0; i < width; ++i)
              ASSERT_EQ(alone.Got("attention_out", i),
                        many.Got("attention_out", token * width + i));
          }
        }
      }
    }
  }
}

TEST(NsaSelectedAttention, AValueThatIsNotFiniteReachesOnlyTokensThatSeeIt) {
  for (DType dtype : kDTypes) {
    Shape s;
    s.dtype = dtype;
    s.q = {8};
    s.n = {70};
    s.group = 8;
    s.mode = 3;
    TestCall call = Attention(s, 1208);
    SetIds(&call, s, {8, 7, 1});
    const TensorView value = call.view("value");
    base::StoreDouble(value.data, dtype, 66 * s.kv_heads * s.value_dim, INFINITY);
    for (Level level : TestedLevels()) {
      ASSERT_TRUE(call.Run({.level = level}).ok());
      const int64_t width = s.kv_heads * s.group * s.value_dim;
      for (int64_t token = 0; token < 8; ++token)
        ASSERT_EQ(std::isfinite(call.Got("attention_out", token * width)), 63 + token <= 66);
    }
  }
}

TEST(NsaSelectedAttention, BadArgumentsAreRefusedByName) {
  const Shape s;
  const TestCall call = Attention(s, 1207);
  const auto refuse = [&](const Change& change, const char* argument) {
    ExpectRefusedAfter(call, change, argument);
  };
  refuse(Filled("key", DType::kFloat16, {70, 2, 20}), "key");
  refuse(Filled("key", s.dtype, {70, 4, 20}), "key");
  refuse(Filled("value", s.dtype, {69, 2, 12}), "value");
  refuse(Filled("topk_indices", DType::kInt64, {5, 2, 6}), "topk_indices");
  refuse(Filled("topk_indices", DType::kInt32, {5, 1, 6}), "topk_indices");
  refuse(With("head_num", int64_t{7}), "head_num");
  refuse(With("select_block_size", int64_t{0}), "select_block_size");
  refuse(With("select_block_count", int64_t{5}), "select_block_count");
  refuse(With("sparse_mode", int64_t{1}), "sparse_mode");
  refuse(With("actual_seq_qlen", std::vector<int64_t>{4}), "actual_seq_qlen");
  refuse(With("actual_seq_qlen", std::vector<int64_t>{2, 5}), "actual_seq_kvlen");
  refuse(With("actual_seq_kvlen", std::vector<int64_t>{71}), "actual_seq_kvlen");
}

}  // namespace
}  // namespace tamis::test::selected
