// The fused operator against the four that it is made of, and against their float64 composition.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <cstring>
#include <memory>

#include "base/cpu_features.h"
#include "ops/sparse_attention_pto/problem.h"
#include "registry/compare.h"
#include "tests/support/refusals.h"
#include "tests/support/sequences.h"

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

struct Shape {
  DType dtype = DType::kBFloat16;
  int64_t tokens = 2;                      // new ones per sequence
  std::vector<int64_t> lengths = {9, 21};  // positions per sequence, new ones included
  int64_t hidden = 40;
  int64_t norm = 24;
  int64_t heads = 3;
  int64_t nope = 8;
  int64_t latent = 16;
  int64_t rope = 6;
  int64_t index_heads = 5;
  int64_t index_dim = 12;
  int64_t page = 4;
  int64_t count = 6;

  int64_t batch() const { return static_cast<int64_t>(lengths.size()); }
};

// The new tokens' slots are where the page table puts their positions, and -1 before position 0.
std::vector<int64_t> SlotsOf(const Shape& s, const test::Pages& pages) {
  std::vector<int64_t> slots;
  for (int64_t b = 0; b < s.batch(); ++b) {
    for (int64_t t = 0; t < s.tokens; ++t) {
      const int64_t position = s.lengths[static_cast<size_t>(b)] - s.tokens + t;
      slots.push_back(position < 0 ? -1 : pages.RowOf(b, position));
    }
  }
  return slots;
}

// The caches hold older positions, and NaN where the new ones will be, past a sequence's end and on
// spare pages.
TestCall Fused(const Shape& s, uint64_t seed) {
  Random random(seed);
  const test::Pages pages(s.lengths, s.page, 2, &random);
  std::vector<int64_t> older = s.lengths;
  for (int64_t& length : older) length -= s.tokens;
  const std::vector<bool> holds = pages.Holds(older);
  const auto normal = [&random](double scale) {
    return [&random, scale](int64_t) { return scale * random.Normal(); };
  };
  const auto cache = [&](int64_t width) {
    return [&random, &holds, width](int64_t i) {
      return holds[static_cast<size_t>(i / width)] ? random.Normal() : NAN;
    };
  };
  const auto scale = [](int64_t terms) { return 1 / std::sqrt(static_cast<double>(terms)); };
  const int64_t b = s.batch();
  const int64_t t = s.tokens;
  TestCall call("sparse_attention_pto");
  call.Tensor("x", s.dtype, {b, t, s.hidden}, normal(1))
      .Tensor("w_dq", s.dtype, {s.hidden, s.norm}, normal(scale(s.hidden)))
      .Tensor("w_uq_qr", s.dtype, {s.norm, s.heads * (s.nope + s.rope)}, normal(scale(s.norm)))
      .Tensor("w_uk", s.dtype, {s.heads, s.nope, s.latent}, normal(scale(s.nope)))
      .Tensor("w_dkv_kr", s.dtype, {s.hidden, s.latent + s.rope}, normal(scale(s.hidden)))
      .Tensor("gamma_cq", s.dtype, {s.norm}, normal(1))
      .Tensor("gamma_ckv", s.dtype, {s.latent}, normal(1))
      .Tensor("sin", s.dtype, {b, t, s.rope}, normal(1))
      .Tensor("cos", s.dtype, {b, t, s.rope}, normal(1))
      .Tensor("cache_index", DType::kInt32, {b, t}, Elements(SlotsOf(s, pages)))
      .Tensor("kv_cache", s.dtype, {pages.count, s.page, 1, s.latent}, cache(s.latent))
      .Tensor("kr_cache", s.dtype, {pages.count, s.page, 1, s.rope}, cache(s.rope))
      .Tensor("block_table", DType::kInt32, {b, pages.width}, Elements(pages.table))
      .List("act_seqs", DType::kInt32, s.lengths)
      .Tensor("w_idx_qb", s.dtype, {s.norm, s.index_heads * s.index_dim}, normal(scale(s.norm)))
      .Tensor("w_idx_k", s.dtype, {s.hidden, s.index_dim}, normal(scale(s.hidden)))
      .Tensor("w_idx_proj", s.dtype, {s.hidden, s.index_heads}, normal(scale(s.hidden)))
      .Tensor("in_gamma_k", s.dtype, {s.index_dim}, normal(1))
      .Tensor("in_beta_k", s.dtype, {s.index_dim}, normal(1))
      .Tensor("index_k_cache", s.dtype, {pages.count, s.page, 1, s.index_dim}, cache(s.index_dim))
      .Set("sparse_count", s.count);
  return call;
}

// --- the composition --------------------------------------------------------------------------

struct Tensor {
  Tensor(DType dtype, std::vector<int64_t> shape) : view(nullptr, dtype, shape) {
    int64_t bytes = base::ItemSize(dtype);
    for (int64_t size : shape) bytes *= size;
    memory.resize(static_cast<size_t>(bytes));
    view.data = memory.data();
  }
  std::vector<unsigned char> memory;
  TensorView view;
};

int64_t DenseBytes(const TensorView& view) {
  int64_t bytes = base::ItemSize(view.dtype);
  for (int i = 0; i < view.rank; ++i) bytes *= view.shape[i];
  return bytes;
}

// The four operators one after the other, on copies of the caches.
struct Composed {
  Composed(const Params& p, const Context& context)
      : kv(Copy(p.kv_cache)),
        kr(Copy(p.kr_cache)),
        index_k(Copy(p.index_k_cache)),
        out(p.x.dtype, {p.x.shape[0], p.x.shape[1], p.w_uk.shape[0], p.w_uk.shape[2]}),
        indices(DType::kInt32, {p.x.shape[0], p.x.shape[1], 1, p.sparse_count}) {
    const int64_t b = p.x.shape[0];
    const int64_t t = p.x.shape[1];
    const int64_t index_dim = p.w_idx_k.shape[1];
    const int64_t index_heads = p.w_idx_proj.shape[1];
    Tensor query(p.x.dtype, {b, t, p.w_uk.shape[0], p.w_uk.shape[2]});
    Tensor query_rope(p.x.dtype, {b, t, p.w_uk.shape[0], p.sin.shape[2]});
    Tensor query_norm(p.x.dtype, {b, t, p.w_dq.shape[1]});
    Tensor index_query(p.x.dtype, {b, t, index_heads, index_dim});
    Tensor weights(p.x.dtype, {b, t, index_heads});
    mla_prolog::Params mla = {.x = p.x,
                              .w_dq = p.w_dq,
                              .w_uq_qr = p.w_uq_qr,
                              .w_uk = p.w_uk,
                              .w_dkv_kr = p.w_dkv_kr,
                              .gamma_cq = p.gamma_cq,
                              .gamma_ckv = p.gamma_ckv,
                              .sin = p.sin,
                              .cos = p.cos,
                              .cache_index = p.cache_index,
                              .kv_cache = kv.view,
                              .kr_cache = kr.view,
                              .epsilon_cq = p.epsilon_cq,
                              .epsilon_ckv = p.epsilon_ckv,
                              .weight_format = p.weight_format};
    mla.query = query.view;
    mla.query_rope = query_rope.view;
    mla.query_norm = query_norm.view;
    Expect(mla_prolog::run(mla, context));
    indexer_prolog::Params indexer = {.x = p.x,
                                      .query_norm = query_norm.view,
                                      .w_idx_qb = p.w_idx_qb,
                                      .w_idx_k = p.w_idx_k,
                                      .w_idx_proj = p.w_idx_proj,
                                      .in_gamma_k = p.in_gamma_k,
                                      .in_beta_k = p.in_beta_k,
                                      .sin = p.sin,
                                      .cos = p.cos,
                                      .cache_index = p.cache_index,
                                      .index_k_cache = index_k.view,
                                      .epsilon = p.epsilon_k,
                                      .rope_interleaved = p.rope_interleaved,
                                      .weight_format = p.weight_format};
    indexer.query = index_query.view;
    indexer.weights = weights.view;
    Expect(indexer_prolog::run(indexer, context));
    lightning_indexer::Params select;
    select.query = index_query.view;
    select.key = index_k.view;
    select.weights = weights.view;
    select.actual_seq_lengths_key = p.act_seqs;
    select.block_table = p.block_table;
    select.layout_key = lightning_indexer::KeyLayout::kPaBsnd;
    select.sparse_count = p.sparse_count;
    select.sparse_indices = indices.view;
    Expect(lightning_indexer::run(select, context));
    sparse_flash_attention::Params attend;
    attend.query = query.view;
    attend.key = kv.view;
    attend.sparse_indices = indices.view;
    attend.block_table = p.block_table;
    attend.actual_seq_lengths_kv = p.act_seqs;
    attend.query_rope = query_rope.view;
    attend.key_rope = kr.view;
    attend.scale_value = p.scale_value;
    attend.layout_kv = sparse_flash_attention::KvLayout::kPaBsnd;
    attend.out = out.view;
    Expect(sparse_flash_attention::run(attend, context));
  }

  static Tensor Copy(const TensorView& view) {
    Tensor copy(view.dtype, {view.shape, view.shape + view.rank});
    std::copy_n(static_cast<const unsigned char*>(view.data), copy.memory.size(),
                copy.memory.data());
    return copy;
  }
  static void Expect(const Status& status) { ASSERT_TRUE(status.ok()) << status.message(); }

  Tensor kv, kr, index_k, out, indices;
};

bool SameBytes(const Tensor& a, const TensorView& b) {
  return static_cast<int64_t>(a.memory.size()) == DenseBytes(b) &&
         std::equal(a.memory.begin(), a.memory.end(), static_cast<const unsigned char*>(b.data));
}

void ExpectEqualsComposition(TestCall& call) {
  for (Level level : base::AvailableLevels()) {
    SCOPED_TRACE(base::Name(level));
    const Context context = {.threads = 2, .level = level};
    Result<registry::Call> made = call.WithOutputs();
    ASSERT_TRUE(made.ok()) << made.status().message();
    const Params& params = *static_cast<const Params*>(made->params());
    const Composed composed(params, context);
    const Status status = run(params, context);
    ASSERT_TRUE(status.ok()) << status.message();
    EXPECT_TRUE(SameBytes(composed.kv, params.kv_cache));
    EXPECT_TRUE(SameBytes(composed.kr, params.kr_cache));
    EXPECT_TRUE(SameBytes(composed.index_k, params.index_k_cache));
    EXPECT_TRUE(SameBytes(composed.indices, params.sparse_indices));
    EXPECT_TRUE(SameBytes(composed.out, params.out));
  }
}

// --- tests ------------------------------------------------------------------------------------

// Conformance list of the family, line 19.
TEST(SparseAttentionPto, EqualsTheCompositionBitForBit) {
  Random random(1901);
  for (int i = 0; i < 12; ++i) {
    Shape s;
    s.dtype = i % 2 == 0 ? DType::kBFloat16 : DType::kFloat16;
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
    s.dtype = i % 2 == 0 ? DType::kBFloat16 : DType::kFloat16;
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
  for (Level level : base::AvailableLevels()) {
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
  for (Level level : base::AvailableLevels()) {
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
  const char* const kTensors[] = {
      "x",        "w_dq",    "w_uq_qr",     "w_uk",       "w_dkv_kr",  "gamma_cq",     "gamma_ckv",
      "sin",      "cos",     "cache_index", "kv_cache",   "kr_cache",  "block_table",  "act_seqs",
      "w_idx_qb", "w_idx_k", "w_idx_proj",  "in_gamma_k", "in_beta_k", "index_k_cache"};
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

TEST(SparseAttentionPto, StrictTakesOnlyBfloat16) {
  Shape s;
  s.dtype = DType::kFloat16;
  ExpectRefusedAfter(Fused(s, 1909), With("strict", true), "x");
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

// --- the document's sizes ---------------------------------------------------------------------

// Memory that is only touched where it is used.
struct Lazy {
  Lazy(DType dtype, std::vector<int64_t> shape) : view(nullptr, dtype, shape) {
    view.data = std::calloc(static_cast<size_t>(DenseBytes(view)) + 1, 1);
    memory.reset(view.data, std::free);
  }
  std::shared_ptr<void> memory;
  TensorView view;
};

// The document's test: 4 sequences of these lengths, the 671B model's sizes, slots where the block
// table says.
class DocumentShape : public testing::Test {
 protected:
  static constexpr int64_t kLengths[] = {768, 4097, 8192, 131071};
  static constexpr int64_t kPages = 6 + 33 + 64 + 1024;
  static constexpr int64_t kPage = 128;

  void Make(int64_t tokens) {
    const DType bf16 = DType::kBFloat16;
    Uniform(&p_.x, {4, tokens, 7168}, 1);
    Uniform(&p_.w_dq, {7168, 1536}, 0.1);
    Uniform(&p_.w_uq_qr, {1536, 24576}, 0.1);
    Uniform(&p_.w_uk, {128, 128, 512}, 0.1);
    Uniform(&p_.w_dkv_kr, {7168, 576}, 0.1);
    Uniform(&p_.gamma_cq, {1536}, 1);
    Uniform(&p_.gamma_ckv, {512}, 1);
    Uniform(&p_.sin, {4, tokens, 64}, 0.1);
    Uniform(&p_.cos, {4, tokens, 64}, 0.1);
    Uniform(&p_.kv_cache, {kPages, kPage, 1, 512}, 1);
    Uniform(&p_.kr_cache, {kPages, kPage, 1, 64}, 1);
    Uniform(&p_.w_idx_qb, {1536, 8192}, 1);
    Uniform(&p_.w_idx_k, {7168, 128}, 1);
    Uniform(&p_.w_idx_proj, {7168, 64}, 1);
    Uniform(&p_.in_gamma_k, {128}, 1);
    Uniform(&p_.in_beta_k, {128}, 1);
    Uniform(&p_.index_k_cache, {kPages, kPage, 1, 128}, 1);
    p_.block_table = Keep(DType::kInt32, {4, 1024});
    p_.act_seqs = Keep(DType::kInt32, {4});
    p_.cache_index = Keep(DType::kInt32, {4, tokens});
    p_.out = Keep(bf16, {4, tokens, 128, 512});
    p_.sparse_indices = Keep(DType::kInt32, {4, tokens, 1, 2048});
    auto* table = static_cast<int32_t*>(p_.block_table.data);
    std::fill(table, table + 4 * 1024, -1);
    int32_t page = 0;
    for (int64_t b = 0; b < 4; ++b) {
      static_cast<int32_t*>(p_.act_seqs.data)[b] = static_cast<int32_t>(kLengths[b]);
      for (int64_t i = 0; i < (kLengths[b] + kPage - 1) / kPage; ++i)
        table[b * 1024 + i] = static_cast<int32_t>(page++ * 5 % kPages);  // 5 and 1127 are coprime
      for (int64_t t = 0; t < tokens; ++t) {
        const int64_t position = kLengths[b] - tokens + t;
        static_cast<int32_t*>(p_.cache_index.data)[b * tokens + t] =
            static_cast<int32_t>(table[b * 1024 + position / kPage] * kPage + position % kPage);
      }
    }
  }

  TensorView Keep(DType dtype, std::vector<int64_t> shape) {
    kept_.emplace_back(dtype, std::move(shape));
    return kept_.back().view;
  }

  // Uniform in (-size, size), 2^12 values of it.
  void Uniform(TensorView* view, std::vector<int64_t> shape, double size) {
    std::vector<uint16_t> values(4096);
    for (size_t i = 0; i < values.size(); ++i)
      base::StoreDouble(values.data(), DType::kBFloat16, static_cast<int64_t>(i),
                        size * (static_cast<double>(i) - 2047.5) / 2048);
    *view = Keep(DType::kBFloat16, std::move(shape));
    const int64_t elems = DenseBytes(*view) / 2;
    auto* data = static_cast<uint16_t*>(view->data);
    uint64_t bits = 0;
    for (int64_t i = 0; i < elems; ++i, bits >>= 12) {
      if (i % 5 == 0) bits = random_.Next();
      data[i] = values[bits & 4095];
    }
  }

  void ExpectEqualsCompositionAndReference(const std::vector<int64_t>& rows) {
    const Composed composed(p_, {});
    const Status status = run(p_, {});
    ASSERT_TRUE(status.ok()) << status.message();
    EXPECT_TRUE(SameBytes(composed.kv, p_.kv_cache));
    EXPECT_TRUE(SameBytes(composed.kr, p_.kr_cache));
    EXPECT_TRUE(SameBytes(composed.index_k, p_.index_k_cache));
    EXPECT_TRUE(SameBytes(composed.indices, p_.sparse_indices));
    EXPECT_TRUE(SameBytes(composed.out, p_.out));
    const base::Operator* op = registry::Find("sparse_attention_pto");
    const auto comparisons = registry::CompareWithReference(*op, &p_, rows, 2);
    ASSERT_TRUE(comparisons.ok()) << comparisons.status().message();
    for (const registry::OutputComparison& c : *comparisons) {
      EXPECT_TRUE(c.ok()) << c.output << ": " << c.mismatches << " of " << c.elements << " differ; "
                          << c.first_mismatch;
    }
  }

  Random random_{1920};
  std::vector<Lazy> kept_;
  Params p_;
};

TEST_F(DocumentShape, OneNewTokenEqualsTheCompositionAndTheReference) {
  Make(1);
  ExpectEqualsCompositionAndReference({0, 1, 2, 3});
}

TEST_F(DocumentShape, TwoNewTokensEqualTheCompositionAndTheReference) {
  Make(2);
  ExpectEqualsCompositionAndReference({0, 3, 5});
}

// Inputs, outputs and 128 MiB, at any number of tokens.
TEST_F(DocumentShape, TheWorkspaceStaysBelow128MiB) {
  const auto plan_of = [&](int64_t batch, int64_t tokens) {
    kept_.clear();
    p_ = {};
    const DType bf16 = DType::kBFloat16;
    p_.x = Keep(bf16, {batch, tokens, 7168});
    p_.w_dq = Keep(bf16, {7168, 1536});
    p_.w_uq_qr = Keep(bf16, {1536, 24576});
    p_.w_uk = Keep(bf16, {128, 128, 512});
    p_.w_dkv_kr = Keep(bf16, {7168, 576});
    p_.gamma_cq = Keep(bf16, {1536});
    p_.gamma_ckv = Keep(bf16, {512});
    p_.sin = Keep(bf16, {batch, tokens, 64});
    p_.cos = Keep(bf16, {batch, tokens, 64});
    p_.kv_cache = Keep(bf16, {1024, 128, 1, 512});
    p_.kr_cache = Keep(bf16, {1024, 128, 1, 64});
    p_.w_idx_qb = Keep(bf16, {1536, 8192});
    p_.w_idx_k = Keep(bf16, {7168, 128});
    p_.w_idx_proj = Keep(bf16, {7168, 64});
    p_.in_gamma_k = Keep(bf16, {128});
    p_.in_beta_k = Keep(bf16, {128});
    p_.index_k_cache = Keep(bf16, {1024, 128, 1, 128});
    p_.block_table = Keep(DType::kInt32, {batch, 1024});
    p_.act_seqs = Keep(DType::kInt32, {batch});
    p_.cache_index = Keep(DType::kInt32, {batch, tokens});
    p_.out = Keep(bf16, {batch, tokens, 128, 512});
    for (int64_t b = 0; b < batch; ++b) static_cast<int32_t*>(p_.act_seqs.data)[b] = 131071;
    const Result<Plan> made = plan(p_, {.threads = 2});
    EXPECT_TRUE(made.ok()) << made.status().message();
    return made.ok() ? made->workspace_bytes() : INT64_MAX;
  };
  EXPECT_LE(plan_of(4, 1), int64_t{128} << 20);
  EXPECT_LE(plan_of(4, 2), int64_t{128} << 20);
  EXPECT_LE(plan_of(1, 4096), int64_t{128} << 20);
  EXPECT_LE(plan_of(256, 1), int64_t{128} << 20);
}

}  // namespace
}  // namespace tamis::sparse_attention_pto
