// What a query token sees can be said in several ways: the same keys give the same bits.
#include <gtest/gtest.h>

#include <functional>
#include <string>

#include "ops/nsa_compress_attention/test_calls.h"
#include "ops/sliding_window_attention/test_calls.h"
#include "ops/sparse_flash_attention/test_calls.h"

namespace tamis::test {
namespace {

constexpr DType kDTypes[] = {DType::kBFloat16, DType::kFloat16, DType::kFloat32};

// A limit for every token of one sequence of `q`.
void SetLimits(TestCall* call, int64_t q, const std::function<int64_t(int64_t)>& limit) {
  call->Tensor("key_limits", DType::kInt32, {1, q},
               [&](int64_t i) { return static_cast<double>(limit(i)); });
}

TEST(Visibility, ALimitAtTheTokensOwnPositionIsCausality) {
  for (DType dtype : kDTypes) {
    attention::Shape sparse;
    sparse.dtype = dtype;
    sparse.q = {7};
    sparse.n = {40};
    TestCall causal = attention::Attention(sparse, 301);
    sparse.mode = 0;
    TestCall limited = attention::Attention(sparse, 301);
    SetLimits(&limited, 7, [](int64_t i) { return 40 - 7 + i + 1; });
    ExpectSameBytes(causal, limited);

    window::Shape sliding;
    sliding.dtype = dtype;
    sliding.q = {7};
    sliding.n = {40};
    TestCall plain = window::Attention(sliding, 302);
    TestCall with_limits = window::Attention(sliding, 302);
    SetLimits(&with_limits, 7, [](int64_t i) { return 40 - 7 + i + 1; });
    ExpectSameBytes(plain, with_limits);
  }
}

TEST(Visibility, ALimitIsASequenceThatEndsThere) {
  for (DType dtype : kDTypes) {
    window::Shape s;
    s.dtype = dtype;
    s.q = {1};
    s.n = {200};
    s.window = 150;
    for (int64_t limit : {0, 1, 64, 131, 199}) {
      TestCall limited = window::Attention(s, 303);
      SetLimits(&limited, 1, [&](int64_t) { return limit; });
      TestCall cut = window::Attention(s, 303);
      cut.List("actual_seq_lengths_kv", DType::kInt32, {limit});
      ExpectSameBytes(limited, cut);
    }
  }
}

TEST(Visibility, KeysPaddedOnTheLeftAreAShorterSequence) {
  for (DType dtype : kDTypes) {
    window::Shape s;
    s.dtype = dtype;
    s.q = {3};
    s.n = {200};
    s.window = 150;
    s.starts = {64};  // whole tiles: sums keep their order
    TestCall padded = window::Attention(s, 304);
    s.starts = {};
    s.n = {136};
    TestCall cut = window::Attention(s, 304);
    for (const char* name : {"key", "value"}) {
      const TensorView view = padded.view(name);
      const int64_t row = view.shape[2] * view.shape[3];
      cut.Tensor(name, dtype, {1, 136, view.shape[2], view.shape[3]},
                 [&](int64_t i) { return base::LoadAsDouble(view.data, dtype, 64 * row + i); });
    }
    ExpectSameBytes(padded, cut);

    attention::Shape sparse;
    sparse.dtype = dtype;
    sparse.q = {1};
    sparse.n = {90};
    sparse.starts = {20};
    TestCall some = attention::Attention(sparse, 305);
    attention::SetIds(some, {1, 1, 1, 6}, {3, 40, 19, 20, 89, 0});
    TestCall those = attention::Attention(sparse, 305);
    attention::SetIds(those, {1, 1, 1, 6}, {40, 20, 89, -1, -1, -1});
    ExpectSameBytes(some, those);
  }
}

TEST(Visibility, TheStaircaseIsALimitOfItsOwnForEveryToken) {
  for (DType dtype : kDTypes) {
    attention::Shape s;
    s.dtype = dtype;
    s.q = {9};
    s.n = {30};
    TestCall stairs = attention::Attention(s, 306);
    stairs.Set("compress_ratio", int64_t{4}).List("actual_seq_lengths_tokens", DType::kInt32, {77});
    s.mode = 0;
    TestCall limited = attention::Attention(s, 306);
    SetLimits(&limited, 9, [](int64_t i) { return (77 - 9 + i + 1) / 4; });
    ExpectSameBytes(stairs, limited);
  }
}

TEST(Visibility, CausalityByPositionsIsTheMask) {
  for (DType dtype : kDTypes) {
    for (const char* rows : {"uniform", "zero"}) {
      compressed::Shape s;
      s.dtype = dtype;
      s.queries = {90, 33};
      s.keys = {5, 2};
      TestCall masked = compressed::Attention(s, 307);
      compressed::AddCausalMask(masked, s);
      TestCall causal = compressed::Attention(s, 307);
      causal.Set("causal", true);
      TestCall limited = compressed::Attention(s, 307);
      limited.Tensor("key_limits", DType::kInt32, {123}, [&](int64_t i) {
        const int64_t token = i < 90 ? i : i - 90;
        return token + 1 < s.block ? 0.0
                                   : static_cast<double>((token + 1 - s.block) / s.stride + 1);
      });
      for (TestCall* call : {&masked, &causal, &limited})
        call->Set("masked_rows", rows).Set("return_block_scores", true);
      ExpectSameBytes(masked, causal);
      ExpectSameBytes(masked, limited);
    }
  }
}

}  // namespace
}  // namespace tamis::test
