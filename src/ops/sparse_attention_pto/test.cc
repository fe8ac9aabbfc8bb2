// The fused operator against the four that it is made of, and against their float64 composition.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstring>

#include "base/cpu_features.h"
#include "ops/sparse_attention_pto/test_calls.h"
#include "ops/sparse_attention_pto/test_composition.h"
#include "tests/support/levels.h"

namespace tamis::sparse_attention_pto {
namespace {

using test::Change;
using test::Elements;
using test::ExpectConforms;
using test::ExpectRefusedAfter;
using test::Filled;
using test::kInfinity;
using test::Listed;
using test::Random;
using test::TestCall;
using test::With;
using test::Without;

constexpr DType kDTypes[] = {DType::kBFloat16, DType::kFloat16, DType::kFloat32};

void ExpectEqualsComposition(TestCall& call) {
  for (Level level : test::TestedLevels()) {
    SCOPED_TRACE(base::Name(level));
    Result<registry::Call> made = call.WithOutputs();
    ASSERT_TRUE(made.ok()) << made.status().message();
    test_composition::ExpectEqualsComposition(*static_cast<const Params*>(made->params()),
                                              {.threads = 2, .level = level});
  }
}

// Conformance list of the family, line 19.
TEST(SparseAttentionPto, EqualsTheCompositionBitForBit) {
  Random random(1901);
  for (int i = 0; i < 12; ++i) {
    Shape s;
    s.dtype = kDTypes[i % 3];
    s.tokens = random.Between(1, 4);
    s.lengths.clear();
    for (int64_t b = random.Between(1, 4); b > 0; --b) s.lengths.push_back(random.Between(0, 70));
    s.heads = random.Between(1, 20);
    s.index_heads = random.Between(1, 20);
    s.page = random.Between(1, 9);
    s.count = random.Between(0, 40);
    TestCall call = Fused(s, random.Next());
    SCOPED_TRACE("case " + std::to_string(i));
    ExpectEqualsComposition(call);
  }
}

TEST(SparseAttentionPto, ChunksOfALongPrefillEqualOneComposition) {
  Shape one;  // parts of one sequence
  one.tokens = 150;
  one.lengths = {150, 170};
  TestCall prefill = Fused(one, 1902);
  ExpectEqualsComposition(prefill);
  Shape many;  // many short sequences
  many.tokens = 3;
  many.lengths.assign(45, 12);
  TestCall decode = Fused(many, 1903);
  ExpectEqualsComposition(decode);
}

TEST(SparseAttentionPto, AgreesWithTheReference) {
  Random random(1904);
  for (int i = 0; i < 8; ++i) {
    Shape s;
    s.dtype = kDTypes[i % 3];
    s.tokens = random.Between(1, 3);
    s.lengths.clear();
    for (int64_t b = random.Between(1, 3); b > 0; --b) s.lengths.push_back(random.Between(0, 60));
    TestCall call = Fused(s, random.Next());
    call.Set("rope_interleaved", i % 3 != 0).Set("scale_value", 0.2);
    SCOPED_TRACE("case " + std::to_string(i));
    ExpectConforms(call);
  }
}

// Conformance list of the family, line 19.
TEST(SparseAttentionPto, TheSecondTokenSeesTheFirstAndNotTheOtherWayRound) {
  Shape s;
  s.lengths = {9};
  s.count = 9;  // everything visible is selected
  TestCall call = Fused(s, 1905);
  for (Level level : test::TestedLevels()) {
    ASSERT_TRUE(call.Run({.level = level}).ok());
    const std::vector<int64_t> ids = call.GotInts("sparse_indices");
    EXPECT_EQ(std::count(ids.begin(), ids.begin() + 9, 8), 0);  // token 0 does not see position 8
    EXPECT_EQ(std::count(ids.begin() + 9, ids.end(), 7), 1);    // token 1 sees token 0's
    EXPECT_EQ(std::count(ids.begin() + 9, ids.end(), 8), 1);    // and its own
  }
}

TEST(SparseAttentionPto, TokensBeforePositionZeroGiveZeros) {
  Shape s;
  s.tokens = 4;
  s.lengths = {2, 0};
  TestCall call = Fused(s, 1906);
  ExpectConforms(call);
  ASSERT_TRUE(call.Run({}).ok());
  const int64_t row = s.heads * s.latent;
  for (const int64_t token : {0, 1, 4, 5, 6, 7}) {
    for (int64_t e = 0; e < row; ++e) EXPECT_EQ(call.Got("out", token * row + e), 0.0);
    for (int64_t i = 0; i < s.count; ++i)
      EXPECT_EQ(call.Got("sparse_indices", token * s.count + i), -1.0);
  }
  EXPECT_NE(call.Got("out", 3 * row), 0.0);
}

// Conformance list of the family, line 19: the upstream test deals slots at random.
TEST(SparseAttentionPto, CachesChangeOnlyAtTheSlotsWhereverTheyAre) {
  Shape s;
  TestCall call = Fused(s, 1907);
  call.Tensor("cache_index", DType::kInt64, {2, 2}, [](int64_t i) {
    return std::vector<double>{3, -1, 3, 0}[static_cast<size_t>(i)];  // the later token's row stays
  });
  // Positions whose rows were not written are NaN: only the caches are of interest.
  for (Level level : test::TestedLevels()) {
    ASSERT_TRUE(call.Run({.level = level}).ok());
    for (const char* name : {"kv_cache", "kr_cache", "index_k_cache"}) {
      const TestCall::Memory& memory = call.memory(name);
      const auto row = static_cast<size_t>(memory.view.shape[3]) * 2;
      for (size_t slot = 0; slot < memory.bytes.size() / row; ++slot) {
        const bool same = std::memcmp(memory.bytes.data() + slot * row,
                                      memory.before.data() + slot * row, row) == 0;
        EXPECT_EQ(same, slot != 0 && slot != 3) << name << " slot " << slot;
      }
    }
  }
}

TEST(SparseAttentionPto, NothingIsWrittenWhenAnyArgumentIsBad) {
  const Shape s;
  const auto refuse = [&](const Change& change, const char* argument,
                          StatusCode code = StatusCode::kInvalidArgument) {
    ExpectRefusedAfter(Fused(s, 1908), change, argument, code);
  };
  for (const char* name : kTensors) {
    refuse(Without(name), name, StatusCode::kNullArgument);
    refuse(Filled(name, DType::kFloat64, {1}), name);
    refuse(
        [=](TestCall& call) {
          TensorView view = call.view(name);
          --view.rank;
          call.View(name, view);
        },
        name);
  }
  refuse(Filled("w_uq_qr", s.dtype, {s.norm, 41}), "w_uq_qr");
  refuse(Filled("w_dkv_kr", s.dtype, {s.hidden, 23}), "w_dkv_kr");
  refuse(Filled("w_idx_qb", s.dtype, {s.norm, 61}), "w_idx_qb");
  for (const double slot : {44.0, 2147483647.0}) {
    refuse(
        [=](TestCall& call) {
          call.Tensor("cache_index", DType::kInt32, {2, 2}, Elements({0, 1, 2, slot}));
        },
        "cache_index");
  }
  refuse(Listed("act_seqs", DType::kInt32, {9, -1}), "act_seqs");
  refuse(Listed("act_seqs", DType::kInt32, {9, 2147483647}), "block_table");
  for (const double page : {-1.0, -2147483648.0, 11.0, 2147483647.0}) {
    refuse(
        [=](TestCall& call) {
          const TensorView& view = call.view("block_table");
          const auto* table = static_cast<const int32_t*>(view.data);
          std::vector<double> entries(table, table + view.shape[0] * view.shape[1]);
          entries[0] = page;
          call.Tensor("block_table", DType::kInt32, {view.shape[0], view.shape[1]},
                      Elements(entries));
        },
        "block_table");
  }
  refuse(With("sparse_count", -1), "sparse_count");
  refuse(With("sparse_count", INT64_MAX), "sparse_count");
  refuse(With("scale_value", std::nan("")), "scale_value");
  refuse(With("epsilon_cq", kInfinity), "epsilon_cq");
  refuse(With("weight_format", "NZ"), "w_dq");  // 40 x 24
}

TEST(SparseAttentionPto, NoSequenceAndNoTokenAreEmptyCalls) {
  Shape none;
  none.tokens = 0;
  TestCall no_token = Fused(none, 1910);
  ExpectConforms(no_token);
  Shape s;
  s.lengths = {};
  TestCall no_sequence = Fused(s, 1911);
  ExpectConforms(no_sequence);
}

}  // namespace
}  // namespace tamis::sparse_attention_pto
