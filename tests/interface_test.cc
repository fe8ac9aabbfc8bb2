// The C++ interface as its users meet it: lists of integers, views of outputs, 16-bit elements,
// answers that are true or false, numbers that must be given.
#include <gtest/gtest.h>

#include <array>
#include <cmath>
#include <limits>
#include <span>
#include <string>
#include <type_traits>
#include <vector>

#include "base/dtype.h"
#include "tamis/tamis.hpp"
#include "tests/support/random_calls.h"

namespace tamis::test {
namespace {

// --- IntList ------------------------------------------------------------------------------------

std::vector<int64_t> Entries(const IntList& list) { return {list.begin(), list.end()}; }

TEST(IntLists, HoldIntegersOfTheirOwn) {
  IntList list = std::vector<int64_t>{3, 5};  // the vector is gone
  EXPECT_EQ(Entries(list), (std::vector<int64_t>{3, 5}));
  std::vector<int64_t> source = {7, 8};
  list = source;
  source.assign({0, 0});
  EXPECT_EQ(Entries(list), (std::vector<int64_t>{7, 8}));
}

TEST(IntLists, TakeLiteralsSpansArraysAndNarrowerIntegers) {
  IntList list = {64};
  EXPECT_EQ(Entries(list), std::vector<int64_t>{64});
  list = {1, 2, 3};
  EXPECT_EQ(Entries(list), (std::vector<int64_t>{1, 2, 3}));
  const std::vector<int32_t> narrow = {4, -5};
  list = narrow;
  EXPECT_EQ(Entries(list), (std::vector<int64_t>{4, -5}));
  list = std::span(narrow).first(1);
  EXPECT_EQ(Entries(list), std::vector<int64_t>{4});
  list = std::array<int64_t, 2>{6, 7};
  EXPECT_EQ(Entries(list), (std::vector<int64_t>{6, 7}));
  static_assert(!std::is_constructible_v<IntList, std::string>);
  static_assert(!std::is_constructible_v<IntList, std::vector<double>>);
}

TEST(IntLists, AbsentIsNotEmpty) {
  IntList list;
  EXPECT_TRUE(list.absent());
  list = std::vector<int64_t>();
  EXPECT_FALSE(list.absent());
  EXPECT_TRUE(list.empty());
  list = {};
  EXPECT_TRUE(list.absent());
}

// 64 tokens of 4 heads in windows of 32 every 16.
struct Windows {
  std::vector<bfloat16> input = std::vector<bfloat16>(64 * 4 * 32, bfloat16(1));
  std::vector<bfloat16> weight = std::vector<bfloat16>(32 * 4, bfloat16(1));
  std::vector<bfloat16> output = std::vector<bfloat16>(3 * 4 * 32);

  nsa_compress::Params params() {
    nsa_compress::Params p;
    p.input = {input.data(), {64, 4, 32}};
    p.weight = {weight.data(), {32, 4}};
    p.output = {output.data(), {3, 4, 32}};
    p.act_seq_len = {64};
    p.compress_block_size = 32;
    p.compress_stride = 16;
    return p;
  }
};

TEST(IntLists, ACallTakesATemporaryVector) {
  Windows windows;
  nsa_compress::Params params = windows.params();
  params.act_seq_len = std::vector<int64_t>(1, 64);
  const std::vector<int64_t> other(1, 1000);  // where the temporary lay, perhaps
  const Status status = nsa_compress::run(params);
  EXPECT_TRUE(status) << status.message();
  for (const bfloat16 x : windows.output) EXPECT_EQ(x, 32.0f);
}

// --- OutputView
// -----------------------------------------------------------------------------------

template <class View, class Pointer>
constexpr bool kMadeOf = std::is_constructible_v<View, Pointer, DType, std::span<const int64_t>>;
template <class View, class Pointer>
constexpr bool kTypedOf = std::is_constructible_v<View, Pointer, std::span<const int64_t>>;

TEST(OutputViews, AreOfMemoryThatIsNotConst) {
  static_assert(kMadeOf<TensorView, const void*> && kMadeOf<TensorView, const uint16_t*>);
  static_assert(kTypedOf<TensorView, const float*> && kTypedOf<TensorView, float*>);
  static_assert(kMadeOf<OutputView, void*> && kMadeOf<OutputView, uint16_t*>);
  static_assert(kTypedOf<OutputView, float*>);
  static_assert(!kMadeOf<OutputView, const void*> && !kMadeOf<OutputView, const uint16_t*>);
  static_assert(!kTypedOf<OutputView, const float*>);
  static_assert(std::is_convertible_v<OutputView, TensorView>);
  static_assert(!std::is_convertible_v<TensorView, OutputView>);
  static_assert(!std::is_assignable_v<OutputView&, TensorView>);
}

// What a contract calls an output, or updates in place, a params struct holds as an OutputView: the
// builder takes no other member. Of each kind:
TEST(OutputViews, AreWhatOutputsAndCachesAre) {
  static_assert(std::is_same_v<decltype(nsa_compress::Params::output), OutputView>);
  static_assert(std::is_same_v<decltype(sparse_flash_attention::Params::softmax_max), OutputView>);
  static_assert(std::is_same_v<decltype(mla_prolog::Params::kv_cache), OutputView>);
  static_assert(std::is_same_v<decltype(indexer_prolog::Params::index_k_shadow), OutputView>);
  static_assert(std::is_same_v<decltype(sparse_attention_pto::Params::kr_cache), OutputView>);
  static_assert(std::is_same_v<decltype(lightning_indexer::Params::key), TensorView>);
}

TEST(TensorViews, KnowTheDtypeOfAPointer) {
  static_assert(kDTypeOf<float16> == DType::kFloat16 && kDTypeOf<bfloat16> == DType::kBFloat16);
  static_assert(!kTypedOf<TensorView, const uint16_t*>);  // which of the two?
  const std::vector<int32_t> table(6);
  const TensorView view(table.data(), {2, 3});
  EXPECT_EQ(view.dtype, DType::kInt32);
  EXPECT_EQ(view.rank, 2);
  EXPECT_EQ(view.strides[0], 3);
  EXPECT_EQ(view.data, table.data());
}

// --- float16, bfloat16
// ----------------------------------------------------------------------------

template <class Half>
void ExpectEveryRounding(uint16_t (*reference)(double)) {
  static_assert(sizeof(Half) == 2 && std::is_standard_layout_v<Half>);
  static_assert(std::is_trivially_copyable_v<Half> && !std::is_convertible_v<float, Half>);
  for (uint32_t bits = 0; bits < 65536; ++bits) {
    const Half half = Half::from_bits(static_cast<uint16_t>(bits));
    const float value = half;
    if (std::isnan(value)) {
      EXPECT_TRUE(std::isnan(static_cast<float>(Half(value)))) << bits;
      continue;
    }
    ASSERT_EQ(Half(value).bits, bits);
    // Around the value, and around the middle between it and the next.
    const float next = Half::from_bits(static_cast<uint16_t>(bits + 1));
    const float middle = std::isfinite(next) ? value / 2 + next / 2 : value;
    for (const float x : {std::nextafter(value, 0.0f), std::nextafter(value, 1e38f), middle,
                          std::nextafter(middle, 0.0f), std::nextafter(middle, -1e38f)})
      ASSERT_EQ(Half(x).bits, reference(static_cast<double>(x))) << x;
  }
  const float infinity = std::numeric_limits<float>::infinity();
  EXPECT_EQ(static_cast<float>(Half(std::numeric_limits<float>::max())), infinity);
  EXPECT_EQ(static_cast<float>(Half(-infinity)), -infinity);
}

TEST(Float16, RoundsToNearestEvenAndBackExactly) {
  ExpectEveryRounding<float16>(base::DoubleToFloat16);
  static_assert(float16(65519.0f).bits == 0x7BFF && float16(65520.0f).bits == 0x7C00);
}

TEST(BFloat16, RoundsToNearestEvenAndBackExactly) {
  ExpectEveryRounding<bfloat16>(base::DoubleToBFloat16);
  static_assert(bfloat16(1).bits == 0x3F80);
}

// --- Status, Result
// -------------------------------------------------------------------------------

TEST(Answers, AreTrueWhereAllWentWell) {
  Windows windows;
  nsa_compress::Params params = windows.params();
  EXPECT_TRUE(static_cast<bool>(nsa_compress::plan(params)));
  if (const Result<Plan> plan = nsa_compress::plan(params)) {
    EXPECT_TRUE(plan->run());
  }
  params.weight = {};
  const Result<Plan> plan = nsa_compress::plan(params);
  EXPECT_FALSE(plan);
  EXPECT_FALSE(plan.status());
  EXPECT_EQ(plan.status().message(), "weight: required, but absent");
  static_assert(!std::is_convertible_v<Status, bool> && !std::is_convertible_v<Result<Plan>, bool>);
}

// --- numbers that must be given
// -------------------------------------------------------------------

class Numbers : public testing::TestWithParam<const base::Operator*> {
 protected:
  Numbers() : random_(7), call_(RandomCall(*GetParam(), &random_)), laid_(call_.WithOutputs()) {}

  // Of the call with one number changed.
  template <class T>
  Status PlannedWith(const base::Field& field, T value) {
    const std::shared_ptr<void> params = GetParam()->contract->copy_params(laid_->params());
    base::Contract::At<T>(params.get(), field) = value;
    return GetParam()->plan(params.get(), {}).status();
  }

  Random random_;
  TestCall call_;
  Result<registry::Call> laid_;
};

INSTANTIATE_TEST_SUITE_P(Calls, Numbers, testing::ValuesIn(AllOperators()),
                         [](const auto& op) { return op.param->contract->name; });

TEST_P(Numbers, ARequiredOneThatIsNotSetIsNamed) {
  for (const base::Field& field : GetParam()->contract->fields) {
    if (field.is_tensor() || !field.required || field.type == base::Type::kInts) continue;
    SCOPED_TRACE(field.name);
    EXPECT_FALSE(base::Contract::IsGiven(field, GetParam()->contract->default_params.get()));
    const Status status = field.type == base::Type::kFloat ? PlannedWith<double>(field, kNotGiven)
                                                           : PlannedWith<int64_t>(field, kNotGiven);
    EXPECT_EQ(status.code(), StatusCode::kNullArgument);
    EXPECT_EQ(status.message(), field.name + ": required, but absent");
  }
}

TEST_P(Numbers, AScaleOrEpsilonThatIsNotFiniteIsRefused) {
  constexpr double kInf = std::numeric_limits<double>::infinity();
  for (const base::Field& field : GetParam()->contract->fields) {
    if (field.type != base::Type::kFloat) continue;
    for (const double number : {std::nan(""), kInf, -kInf, 3.5e38}) {
      const Status status = PlannedWith<double>(field, number);
      EXPECT_FALSE(status.ok()) << field.name << " = " << number;
      EXPECT_EQ(status.message().rfind(field.name + ": ", 0), 0u) << status.message();
    }
  }
}

TEST(NotGivenNumbers, AttentionHasNoScaleOfItsOwn) {
  EXPECT_TRUE(std::isnan(nsa_compress_attention::Params().scale_value));
  EXPECT_TRUE(std::isnan(nsa_compress_attention_infer::Params().scale_value));
  EXPECT_TRUE(std::isnan(sliding_window_attention::Params().scale_value));
  EXPECT_TRUE(std::isnan(sparse_flash_attention::Params().scale_value));
  EXPECT_EQ(sparse_attention_pto::Params().scale_value, 1.0 / 24);  // the document's
  EXPECT_FALSE(is_given(localize_indices::Params().rank));
}

}  // namespace
}  // namespace tamis::test
