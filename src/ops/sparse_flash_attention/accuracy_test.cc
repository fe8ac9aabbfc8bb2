// Accuracy::kStorage promises an error below that of storing the output in bfloat16. Inputs that
// bfloat16 holds, outputs in float16, whose own rounding is an eighth of bfloat16's: so the error
// shows. Level scalar multiplies the integers that the fast levels multiply.
#include <gtest/gtest.h>

#include <cmath>
#include <functional>

#include "base/golden.h"
#include "ops/sparse_flash_attention/test_calls.h"

namespace tamis::test::attention {
namespace {

constexpr int64_t kHeads = 16;
constexpr int64_t kLatent = 512;
constexpr int64_t kRope = 64;
constexpr int64_t kKeys = 2048;

struct Inputs {
  const char* name;
  double scale;  // of the scores
  /// Element c (latent, then rope) of key k.
  std::function<double(Random*, int64_t k, int64_t c)> key;
  int64_t first_column = 0;  // columns before it are left out
};

double InBF16(double x) {
  uint16_t bits = 0;
  base::StoreDouble(&bits, DType::kBFloat16, 0, x);
  return base::LoadAsDouble(&bits, DType::kBFloat16, 0);
}

struct Errors {
  double seen = 0;
  double store = 0;  // of rounding to bfloat16
};

// Largest errors over the root mean square of the output.
Errors ErrorsOf(const Inputs& in, const char* accuracy) {
  Random random(23);
  std::vector<double> row(kLatent + kRope);
  std::vector<double> latent;
  std::vector<double> rope;
  for (int64_t k = 0; k < kKeys; ++k) {
    for (int64_t c = 0; c < kLatent; ++c) latent.push_back(InBF16(in.key(&random, k, c)));
    for (int64_t c = 0; c < kRope; ++c) rope.push_back(InBF16(in.key(&random, k, kLatent + c)));
  }
  const auto normal = [&](int64_t) { return InBF16(random.Normal()); };
  TestCall call("sparse_flash_attention");
  call.Tensor("query", DType::kFloat16, {1, 1, kHeads, kLatent}, normal)
      .Tensor("query_rope", DType::kFloat16, {1, 1, kHeads, kRope}, normal)
      .Tensor("key", DType::kFloat16, {1, kKeys, 1, kLatent}, Elements(latent))
      .Tensor("key_rope", DType::kFloat16, {1, kKeys, 1, kRope}, Elements(rope))
      .Tensor("sparse_indices", DType::kInt32, {1, 1, 1, kKeys},
              [](int64_t i) { return static_cast<double>(i); })
      .Set("scale_value", in.scale)
      .Set("sparse_mode", int64_t{0})
      .Set("accuracy", accuracy);
  const Result<registry::Call> made = call.WithOutputs();
  EXPECT_TRUE(made.ok() && made->MakePlan({.level = Level::kScalar})->run().ok());
  base::Golden golden;
  golden.rows = {0};
  EXPECT_TRUE(made->op().reference(made->params(), 1, &golden).ok());
  Errors errors;
  double squares = 0;
  for (int64_t i = 0; i < kHeads * kLatent; ++i) {
    if (i % kLatent < in.first_column) continue;
    const double want = golden.outputs[0].value[static_cast<size_t>(i)];
    squares += want * want;
    errors.seen = std::max(errors.seen, std::fabs(call.Got("out", i) - want));
    errors.store = std::max(errors.store, std::fabs(InBF16(want) - want));
  }
  const double rms = std::sqrt(squares / static_cast<double>(kHeads * kLatent));
  return {errors.seen / rms, errors.store / rms};
}

TEST(SparseFlashAttention, StorageAccuracyIsBelowTheRoundingOfTheOutput) {
  const auto normal = [](Random* random, int64_t, int64_t) { return random->Normal(); };
  const Inputs inputs[] = {
      {"scores of deviation 1", 1 / 24.0, normal},
      {"of deviation 4", 4 / 24.0, normal},
      {"of deviation 16", 16 / 24.0, normal},
      {"of deviation 64", 64 / 24.0, normal},
      {"a channel of the keys times 50", 2 / 24.0,
       [](Random* random, int64_t, int64_t c) { return random->Normal() * (c == 0 ? 50 : 1); }, 1},
      {"exponents over 2^16", 1 / 512.0,
       [](Random* random, int64_t, int64_t) {
         return random->Normal() * std::exp2(16 * random->Uniform() - 8);
       }},
      {"rope dims times 8", 1 / 64.0,
       [](Random* random, int64_t, int64_t c) { return random->Normal() * (c < kLatent ? 1 : 8); }},
      {"norms of rows over 2^6", 1 / 24.0,
       [](Random* random, int64_t k, int64_t) {
         return random->Normal() * std::exp2(static_cast<double>(k % 7) - 3);
       }},
  };
  for (const Inputs& in : inputs) {
    SCOPED_TRACE(in.name);
    const Errors storage = ErrorsOf(in, "storage");
    EXPECT_LT(storage.seen, storage.store);
    const Errors fp32 = ErrorsOf(in, "fp32");
    EXPECT_LT(fp32.seen, storage.seen * 1.0001);
  }
}

}  // namespace
}  // namespace tamis::test::attention
