// The fused operator at the document's sizes.
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <memory>
#include <utility>
#include <vector>

#include "ops/sparse_attention_pto/test_composition.h"
#include "registry/compare.h"
#include "registry/registry.h"
#include "tests/support/test_call.h"

namespace tamis::sparse_attention_pto {
namespace {

using test::DenseBytes;
using test::Random;

// Memory that is only touched where it is used.
struct Lazy {
  Lazy(DType dtype, std::vector<int64_t> shape) : view(nullptr, dtype, shape) {
    view.data = std::calloc(static_cast<size_t>(DenseBytes(view)) + 1, 1);
    memory.reset(view.data, std::free);
  }
  std::shared_ptr<void> memory;
  OutputView view;
};

// The 671B model's sizes.
class DocumentShape : public testing::Test {
 protected:
  static constexpr int64_t kPageTokens = 128;
  static constexpr int64_t kTableWidth = 1024;

  // Memory for every tensor but sparse_indices.
  void Lay(int64_t batch, int64_t tokens, int64_t pages) {
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
    p_.kv_cache = Keep(bf16, {pages, kPageTokens, 1, 512});
    p_.kr_cache = Keep(bf16, {pages, kPageTokens, 1, 64});
    p_.w_idx_qb = Keep(bf16, {1536, 8192});
    p_.w_idx_k = Keep(bf16, {7168, 128});
    p_.w_idx_proj = Keep(bf16, {7168, 64});
    p_.in_gamma_k = Keep(bf16, {128});
    p_.in_beta_k = Keep(bf16, {128});
    p_.index_k_cache = Keep(bf16, {pages, kPageTokens, 1, 128});
    p_.block_table = Keep(DType::kInt32, {batch, kTableWidth});
    p_.act_seqs = Keep(DType::kInt32, {batch});
    p_.cache_index = Keep(DType::kInt32, {batch, tokens});
    p_.out = Keep(bf16, {batch, tokens, 128, 512});
  }

  // The document's test: 4 sequences of these lengths, slots where the block table says.
  void Make(int64_t tokens) {
    constexpr int64_t kLengths[] = {768, 4097, 8192, 131071};
    constexpr int64_t kPages = 6 + 33 + 64 + 1024;
    Lay(4, tokens, kPages);
    p_.sparse_indices = Keep(DType::kInt32, {4, tokens, 1, 2048});
    const std::pair<TensorView, double> kSizes[] = {
        {p_.x, 1},         {p_.w_dq, 0.1},       {p_.w_uq_qr, 0.1},
        {p_.w_uk, 0.1},    {p_.w_dkv_kr, 0.1},   {p_.gamma_cq, 1},
        {p_.gamma_ckv, 1}, {p_.sin, 0.1},        {p_.cos, 0.1},
        {p_.kv_cache, 1},  {p_.kr_cache, 1},     {p_.w_idx_qb, 1},
        {p_.w_idx_k, 1},   {p_.w_idx_proj, 1},   {p_.in_gamma_k, 1},
        {p_.in_beta_k, 1}, {p_.index_k_cache, 1}};
    for (const auto& [view, size] : kSizes) FillUniform(view, size);
    auto* table = static_cast<int32_t*>(p_.block_table.data);
    std::fill(table, table + 4 * kTableWidth, -1);
    int32_t page = 0;
    for (int64_t b = 0; b < 4; ++b) {
      static_cast<int32_t*>(p_.act_seqs.data)[b] = static_cast<int32_t>(kLengths[b]);
      int32_t* const row = table + b * kTableWidth;
      for (int64_t i = 0; i < (kLengths[b] + kPageTokens - 1) / kPageTokens; ++i)
        row[i] = static_cast<int32_t>(page++ * 5 % kPages);  // 5 and 1127 are coprime
      for (int64_t t = 0; t < tokens; ++t) {
        const int64_t position = kLengths[b] - tokens + t;
        static_cast<int32_t*>(p_.cache_index.data)[b * tokens + t] = static_cast<int32_t>(
            row[position / kPageTokens] * kPageTokens + position % kPageTokens);
      }
    }
  }

  OutputView Keep(DType dtype, std::vector<int64_t> shape) {
    kept_.emplace_back(dtype, std::move(shape));
    return kept_.back().view;
  }

  // Uniform in (-size, size), 2^12 values of it.
  void FillUniform(const TensorView& view, double size) {
    std::vector<uint16_t> values(4096);
    for (size_t i = 0; i < values.size(); ++i)
      base::StoreDouble(values.data(), DType::kBFloat16, static_cast<int64_t>(i),
                        size * (static_cast<double>(i) - 2047.5) / 2048);
    const int64_t elems = DenseBytes(view) / 2;
    auto* data = static_cast<uint16_t*>(view.data);
    uint64_t bits = 0;
    for (int64_t i = 0; i < elems; ++i, bits >>= 12) {
      if (i % 5 == 0) bits = random_.Next();
      data[i] = values[bits & 4095];
    }
  }

  void ExpectEqualsCompositionAndReference(const std::vector<int64_t>& rows) {
    test_composition::ExpectEqualsComposition(p_, {});
    if (HasFatalFailure()) return;
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
    Lay(batch, tokens, 1024);
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
