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

// Keys of `n` positions and of a window, one after the other in one tensor.
void Join(const TestCall& both, const std::string& name, int64_t n, TestCall* joined) {
  const TensorView first = both.view(name);
  const TensorView second = both.view("window_" + name);
  const int64_t width = first.shape[3];
  joined->Tensor(name, first.dtype, {1, n + second.shape[1], 1, width}, [&](int64_t i) {
    const TensorView& from = i < n * width ? first : second;
    return base::LoadAsDouble(from.data, from.dtype, i < n * width ? i : i - n * width);
  });
}

// Every token takes a whole tile from its list and then a window that begins with one, so that sums
// keep their order.
TEST(Visibility, AListAndAWindowAreOneListOfBoth) {
  constexpr int64_t kTokens = 5, kKeys = 300, kListed = 128, kWindow = 200;
  for (DType dtype : kDTypes) {
    for (int round = 0; round < 8; ++round) {
      attention::Shape s;
      s.dtype = dtype;
      s.heads = round < 4 ? 3 : 20;
      s.q = {kTokens};
      s.n = {kKeys};
      s.count = kListed;
      s.mode = 0;
      s.value = round % 2 == 1;
      s.sinks = round % 4 >= 2;
      s.statistics = round < 2;
      s.rope = round == 5 ? -1 : 8;
      std::vector<int64_t> ids(kListed);
      for (int64_t i = 0; i < kListed; ++i) ids[static_cast<size_t>(i)] = i * 7 % kKeys;
      s.window = {kWindow};
      s.window_size = -1;
      TestCall both = attention::Attention(s, 308);
      attention::SetIds(both, {1, kTokens, 1, kListed}, ids);
      s.window = {};
      s.n = {kKeys + kWindow};
      TestCall joined = attention::Attention(s, 308);
      std::vector<std::string> same = {"query"};
      std::vector<std::string> keys = {"key"};
      if (s.sinks) same.push_back("sinks");
      if (s.value) keys.push_back("value");
      if (s.rope >= 0) same.push_back("query_rope");
      if (s.rope >= 0) keys.push_back("key_rope");
      for (const std::string& name : same) {
        const TensorView view = both.view(name);
        joined.Tensor(name, view.dtype, {view.shape, view.shape + view.rank},
                      [&](int64_t i) { return base::LoadAsDouble(view.data, view.dtype, i); });
      }
      for (const std::string& name : keys) Join(both, name, kKeys, &joined);
      joined.List("actual_seq_lengths_kv", DType::kInt32, {kKeys + kWindow});
      joined.Tensor("sparse_indices", DType::kInt32, {1, kTokens, 1, kListed + kWindow},
                    [&](int64_t at) {
                      const int64_t i = at % (kListed + kWindow);
                      if (i < kListed) return static_cast<double>(ids[static_cast<size_t>(i)]);
                      const int64_t position = i - kListed;  // in the window
                      const int64_t end = kWindow - kTokens + at / (kListed + kWindow) + 1;
                      return position < end ? static_cast<double>(kKeys + position) : -1.0;
                    });
      SCOPED_TRACE("round " + std::to_string(round));
      ExpectSameBytes(both, joined);
    }
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
