// Selection with a scan in 8-bit integers: the bounds hold, and the selection is the plain way's.
#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>
#include <limits>
#include <vector>

#include "base/dtype.h"
#include "ops/lightning_indexer/cpu/scan.h"
#include "ops/lightning_indexer/problem.h"
#include "prim/call/work.h"
#include "prim/formats/key_shadow_reference.h"
#include "tamis/ops/quantize_index_keys.hpp"
#include "tests/support/levels.h"
#include "tests/support/refusals.h"
#include "tests/support/token_calls.h"

namespace tamis::test {
namespace {

namespace indexer = tamis::lightning_indexer;

// What keys and queries may look like.
enum class Structure {
  kNormal,
  kLowRank,
  kNearDuplicates,
  kLargeChannel,
  kTies,
  kOneKey,
  kZeros,
  kManySizes,
  kSpikes,
  kHuge,
  kTiny,
  kNotFinite
};
constexpr Structure kStructures[] = {
    Structure::kNormal, Structure::kLowRank, Structure::kNearDuplicates, Structure::kLargeChannel,
    Structure::kTies,   Structure::kOneKey,  Structure::kZeros,          Structure::kManySizes,
    Structure::kSpikes, Structure::kHuge,    Structure::kTiny,           Structure::kNotFinite};

struct Data {
  DType dtype = DType::kBFloat16;
  int64_t tokens = 1;
  int64_t heads = 8;
  int64_t dim = 32;
  int64_t keys = 500;
  std::vector<uint16_t> query, key;
  std::vector<float> weights;

  double Key(int64_t i) const { return base::LoadAsDouble(key.data(), dtype, i); }
  double Query(int64_t i) const { return base::LoadAsDouble(query.data(), dtype, i); }
};

Data Draw(Structure structure, Random* random) {
  Data d;
  constexpr std::array kDTypes = {DType::kBFloat16, DType::kFloat16, DType::kFloat32};
  d.dtype = kDTypes[static_cast<size_t>(random->Below(3))];
  const auto halves = static_cast<int64_t>(base::ItemSize(d.dtype) / 2);  // of an element
  d.heads = random->Between(1, 12);
  d.dim = random->Between(1, 80);
  d.keys = random->Between(40, 400);
  d.tokens = random->Below(8) == 0 ? 70 : random->Between(8, 60);  // 70: not cut along the keys
  const bool correlated = random->Below(3) == 0;
  const bool negative = random->Below(2) == 0;
  const bool heavy = random->Below(4) == 0;
  std::vector<double> base(static_cast<size_t>(4 * d.dim));
  for (double& x : base) x = random->Normal();
  d.key.resize(static_cast<size_t>(halves * d.keys * d.dim));
  for (int64_t j = 0; j < d.keys; ++j) {
    const double size = structure == Structure::kManySizes ? std::exp2(random->Uniform() * 24 - 12)
                        : structure == Structure::kTiny
                            ? std::exp2(d.dtype == DType::kFloat16 ? -20.0 : -115.0)
                        : structure == Structure::kHuge
                            ? std::exp2(d.dtype == DType::kFloat16 ? 12.0 : random->Uniform() * 100)
                            : 1.0;
    const double mix[] = {random->Normal(), random->Normal()};
    const int64_t near = random->Below(2);
    for (int64_t c = 0; c < d.dim; ++c) {
      const auto at = static_cast<size_t>(c);
      const auto row = static_cast<size_t>(d.dim);
      double x = random->Normal();
      switch (structure) {
        case Structure::kLowRank: x = mix[0] * base[at] + mix[1] * base[row + at] + 0.05 * x; break;
        case Structure::kNearDuplicates:
          x = base[static_cast<size_t>(near) * row + at] + 0.01 * x;
          break;
        case Structure::kLargeChannel: x *= c == d.dim / 2 ? 30 : 1; break;
        case Structure::kTies: x = static_cast<double>(random->Between(-1, 1)); break;
        case Structure::kOneKey: x = base[at]; break;
        case Structure::kZeros: x = 0; break;
        case Structure::kSpikes: x = c == static_cast<int64_t>(j % d.dim) ? x : 0.001 * x; break;
        case Structure::kNotFinite:
          if (j % 50 == 7 && c == 0) x = j % 100 == 7 ? NAN : kInfinity;
          break;
        default: break;
      }
      base::StoreDouble(d.key.data(), d.dtype, j * d.dim + c, size * x);
    }
  }
  d.query.resize(static_cast<size_t>(halves * d.tokens * d.heads * d.dim));
  d.weights.resize(static_cast<size_t>(d.tokens * d.heads));
  for (int64_t t = 0; t < d.tokens; ++t) {
    for (int64_t h = 0; h < d.heads; ++h) {
      const double weight = heavy ? std::exp(3 * random->Normal()) : std::abs(random->Normal());
      d.weights[static_cast<size_t>(t * d.heads + h)] =
          static_cast<float>(negative && random->Below(2) == 0 ? -weight : weight);
      for (int64_t c = 0; c < d.dim; ++c) {
        const double x = random->Normal();
        base::StoreDouble(d.query.data(), d.dtype, (t * d.heads + h) * d.dim + c,
                          correlated ? base[static_cast<size_t>(2 * d.dim + c)] + 0.2 * x : x);
      }
    }
  }
  return d;
}

std::vector<uint8_t> ShadowOf(const Data& d) {
  const int64_t panels = prim::ShadowPanels(d.keys);
  const int64_t bytes = prim::ShadowPanelBytes(d.dim);
  std::vector<uint8_t> shadow(static_cast<size_t>(panels * bytes));
  quantize_index_keys::Params params;
  params.key = {const_cast<uint16_t*>(d.key.data()), d.dtype, {1, d.keys, 1, d.dim}};
  params.key_shadow = {shadow.data(), DType::kUInt8, {1, panels, bytes}};
  const Status status = quantize_index_keys::run(params);
  EXPECT_TRUE(status.ok()) << status.message();
  return shadow;
}

// A call over the data; outputs are the caller's.
indexer::Params ParamsOf(Data& d, int64_t count, std::vector<int32_t>* indices,
                         std::vector<float>* values) {
  indices->assign(static_cast<size_t>(d.tokens * count), -7);
  values->assign(static_cast<size_t>(d.tokens * count), -7.0f);
  indexer::Params params;
  params.query = {d.query.data(), d.dtype, {1, d.tokens, d.heads, d.dim}};
  params.key = {d.key.data(), d.dtype, {1, d.keys, 1, d.dim}};
  params.weights = {d.weights.data(), DType::kFloat32, {1, d.tokens, d.heads}};
  params.sparse_count = count;
  params.return_value = true;
  params.value_dtype = indexer::ValueDtype::kFloat32;
  params.sparse_indices = {indices->data(), DType::kInt32, {1, d.tokens, 1, count}};
  params.sparse_values = {values->data(), DType::kFloat32, {1, d.tokens, 1, count}};
  return params;
}

// At the levels in turn: the plain way's indices and values, bit for bit, with a shadow and
// without.
TEST(LightningIndexerPruning, SelectsWhatThePlainWaySelects) {
  Random random(81);
  const std::vector<Level> levels = TestedLevels();
#if defined(__SANITIZE_ADDRESS__)  // ten times slower
  constexpr int64_t kSelections = 10000;
#else
  constexpr int64_t kSelections = 100000;
#endif
  int64_t selections = 0;
  for (int64_t i = 0; selections < kSelections; ++i) {
    Data d = Draw(kStructures[static_cast<size_t>(i) % std::size(kStructures)], &random);
    const int64_t count = random.Between(1, d.keys / 4);
    const Context context = {.threads = 1, .level = levels[static_cast<size_t>(i) % levels.size()]};
    std::vector<int32_t> plain, pruned;
    std::vector<float> plain_values, pruned_values;
    indexer::Params params = ParamsOf(d, count, &plain, &plain_values);
    params.pruning = indexer::Pruning::kOff;
    params.sparse_mode = i % 2 == 0 ? 3 : 0;
    ASSERT_TRUE(indexer::run(params, context).ok());
    std::vector<uint8_t> shadow = ShadowOf(d);
    for (const bool with_shadow : {false, true}) {
      indexer::Params scan = ParamsOf(d, count, &pruned, &pruned_values);
      scan.pruning = indexer::Pruning::kOn;
      scan.sparse_mode = params.sparse_mode;
      if (with_shadow) {
        scan.key_shadow = {shadow.data(),
                           DType::kUInt8,
                           {1, prim::ShadowPanels(d.keys), prim::ShadowPanelBytes(d.dim)}};
      }
      ASSERT_TRUE(indexer::run(scan, context).ok());
      ASSERT_EQ(plain, pruned) << "call " << i << (with_shadow ? " with" : " without") << " shadow";
      ASSERT_EQ(std::memcmp(plain_values.data(), pruned_values.data(),
                            plain_values.size() * sizeof(float)),
                0);
      selections += d.tokens;
    }
  }
}

// A call's phases, run by hand up to the scan.
class Scanned {
 public:
  Scanned(const indexer::Params& params, Level level) {
    base::Dims dims;
    EXPECT_TRUE(indexer::Room::contract().CheckInputs(&params, &dims).ok());
    EXPECT_TRUE(indexer::Room::Normalise(params, &dims, &problem_).ok());
    indexer::Room::OnCpu(problem_, params, {level, 1}, &work_);
    shared_.resize(static_cast<size_t>(work_.shared_bytes) / 4);
    std::vector<float> scratch(static_cast<size_t>(work_.scratch_bytes) / 4);
    EXPECT_EQ(work_.phases.size(), 4u) << "prepare, scan, rescore, finish";
    for (int phase = 0; phase < 2; ++phase) {
      for (int64_t item = 0; item < work_.phases[static_cast<size_t>(phase)].items; ++item)
        work_.phases[static_cast<size_t>(phase)].kernel(&problem_.args, item, scratch.data(),
                                                        shared_.data());
    }
  }

  /// Of a token, one of those of item `group`.
  const indexer::TokenBound& bound(int64_t group, int64_t token) const {
    const int64_t state = indexer::StateOf(problem_.args).total;
    const int64_t first = problem_.groups[static_cast<size_t>(group)].token + token;
    return *reinterpret_cast<const indexer::TokenBound*>(
        At(problem_.args.scan.states_at) + first * state + indexer::StateOf(problem_.args).bound);
  }
  bool scanned(int64_t group) const { return bound(group, 0).scanned != 0; }
  float upper(int64_t group, int64_t token, int64_t key) const {
    const auto& chunk =
        problem_.chunks[static_cast<size_t>(problem_.groups[static_cast<size_t>(group)].chunk)];
    return At(problem_.args.scan
                  .uppers_at)[(chunk.list + token) * problem_.args.scan.keys_per_chunk + key];
  }
  int64_t groups() const { return static_cast<int64_t>(problem_.groups.size()); }
  int64_t tokens_per_group() const { return problem_.args.tokens_per_chunk; }

 private:
  const float* At(int64_t byte) const { return shared_.data() + byte / 4; }

  indexer::Problem problem_;
  prim::CpuWork work_;
  std::vector<float> shared_;
};

// Every score, in float64 and as every level computes it, lies within its bounds.
TEST(LightningIndexerPruning, BoundsHoldForEveryKey) {
  Random random(82);
  int64_t tried = 0;
  double tightest = kInfinity;
  for (int64_t i = 0; i < 240; ++i) {
    Data d = Draw(kStructures[static_cast<size_t>(i) % std::size(kStructures)], &random);
    d.tokens = std::min<int64_t>(d.tokens, 9);
    std::vector<uint8_t> shadow = ShadowOf(d);
    std::vector<int32_t> indices;
    std::vector<float> values;
    indexer::Params params = ParamsOf(d, d.keys, &indices, &values);
    params.sparse_mode = 0;
    params.query.shape[1] = params.weights.shape[1] = params.sparse_indices.shape[1] =
        params.sparse_values.shape[1] = d.tokens;
    if (i / std::ssize(kStructures) % 2 == 0) {
      params.key_shadow = {shadow.data(),
                           DType::kUInt8,
                           {1, prim::ShadowPanels(d.keys), prim::ShadowPanelBytes(d.dim)}};
    }
    for (Level level : TestedLevels()) {
      params.pruning = indexer::Pruning::kOff;
      ASSERT_TRUE(indexer::run(params, {.threads = 1, .level = level}).ok());
      params.pruning = indexer::Pruning::kOn;
      const Scanned scan(params, level);
      for (int64_t t = 0; t < d.tokens; ++t) {
        const int64_t group = t / scan.tokens_per_group();
        if (!scan.scanned(group)) continue;
        const auto& bound = scan.bound(group, t % scan.tokens_per_group());
        for (int64_t rank = 0; rank < d.keys; ++rank) {
          const int64_t key = indices[static_cast<size_t>(t * d.keys + rank)];
          double exact = 0;
          for (int64_t h = 0; h < d.heads; ++h) {
            double dot = 0;
            for (int64_t c = 0; c < d.dim; ++c)
              dot += d.Query((t * d.heads + h) * d.dim + c) * d.Key(key * d.dim + c);
            exact += static_cast<double>(d.weights[static_cast<size_t>(t * d.heads + h)]) *
                     (dot < 0 ? 0 : dot);
          }
          const prim::ShadowBounds of_key =
              prim::LoadShadow(shadow.data() + key / 16 * prim::ShadowPanelBytes(d.dim), d.dim,
                               key % 16)
                  .bounds;
          const double off = static_cast<double>(bound.per_error) * of_key.error +
                             static_cast<double>(bound.per_norm) * of_key.norm + bound.constant;
          const double upper = scan.upper(group, t % scan.tokens_per_group(), key);
          if (!std::isfinite(off)) {
            EXPECT_FALSE(upper < kInfinity);
            continue;
          }
          // The kernel rounds three operations on its way to `upper`.
          const double rounded = (std::abs(upper) + 2 * off) * 0x1p-22;
          for (const double score :
               {exact, static_cast<double>(values[static_cast<size_t>(t * d.keys + rank)])}) {
            ASSERT_LE(score, upper) << "call " << i << ", token " << t << ", key " << key;
            ASSERT_GE(score, upper - 2 * off - rounded)
                << "call " << i << ", token " << t << ", key " << key;
          }
          if (off > 0) tightest = std::min(tightest, (upper - exact) / off);
          ++tried;
        }
      }
    }
  }
  EXPECT_GT(tried, 200000);
  EXPECT_LT(tightest, 0.8) << "the bounds are far from what happens";
}

// At the documents' sizes, over more than one run of keys, paged: where the scan leaves few keys.
TEST(LightningIndexerPruning, AgreesAtTheDocumentsDims) {
  for (const bool shadowed : {false, true}) {
    Tokens s;
    s.keys = Keys::kPaged;
    s.page = 80;
    s.q = {2, 1};
    s.n = {17000, 9001};
    Random random(83);
    const Placement place(s, &random);
    TestCall call("lightning_indexer");
    const auto normal = [&](int64_t) { return random.Normal(); };
    call.Strided("query", s.dtype, s.QueryShape({64, 128}), 3, normal)
        .Strided("weights", s.dtype, s.QueryShape({64}), 1, normal)
        .Set("sparse_count", 256)
        .Set("return_value", true)
        .Set("value_dtype", "float32");
    SetSequences(&call, s, place, "key");
    call.Strided("key", s.dtype, place.Shape(128), 5, place.Values(128, &random));
    if (shadowed) {
      TestCall quantise("quantize_index_keys");
      quantise.View("key", call.view("key")).Set("layout_key", "PA_BSND");
      ASSERT_TRUE(quantise.Run({}).ok());
      const auto& shadow = quantise.memory("key_shadow");
      const TensorView view = shadow.view;
      call.Strided("key_shadow", DType::kUInt8, {view.shape[0], view.shape[1], view.shape[2]}, 9,
                   [&](int64_t i) { return quantise.Got("key_shadow", i); });
    }
    ExpectConforms(call);
  }
}

TEST(LightningIndexerPruning, AnUntrueShadowIsHarmless) {
  Random random(84);
  for (int i = 0; i < 50; ++i) {
    Data d = Draw(Structure::kNormal, &random);
    std::vector<uint8_t> shadow = ShadowOf(d);
    for (uint8_t& byte : shadow) {
      if (random.Below(3) == 0) byte = static_cast<uint8_t>(random.Below(256));
    }
    std::vector<int32_t> indices;
    std::vector<float> values;
    indexer::Params params = ParamsOf(d, 20, &indices, &values);
    params.sparse_mode = 0;
    params.pruning = indexer::Pruning::kOn;
    params.key_shadow = {shadow.data(),
                         DType::kUInt8,
                         {1, prim::ShadowPanels(d.keys), prim::ShadowPanelBytes(d.dim)}};
    for (Level level : TestedLevels()) {
      ASSERT_TRUE(indexer::run(params, {.threads = 2, .level = level}).ok());
      for (int64_t t = 0; t < d.tokens; ++t) {
        std::vector<int32_t> row(indices.begin() + t * 20, indices.begin() + (t + 1) * 20);
        std::sort(row.begin(), row.end());
        while (!row.empty() && row.front() == -1) row.erase(row.begin());
        for (size_t k = 0; k < row.size(); ++k) {
          EXPECT_GE(row[k], 0);
          EXPECT_LT(row[k], d.keys);
          EXPECT_TRUE(k == 0 || row[k] != row[k - 1]);
        }
      }
    }
  }
}

// Where nothing can be ruled out the sample says so, and the plain way does the work.
TEST(LightningIndexerPruning, HopelessKeysAreLeftToThePlainWay) {
  for (const double spread : {0.0, 1.0}) {
    Data d;
    d.heads = 16;
    d.keys = 5000;
    Random random(85);
    d.query.resize(static_cast<size_t>(d.heads * d.dim));
    d.key.resize(static_cast<size_t>(d.keys * d.dim));
    d.weights.assign(static_cast<size_t>(d.heads), 1.0f);
    for (int64_t c = 0; c < d.heads * d.dim; ++c)
      base::StoreDouble(d.query.data(), d.dtype, c, random.Normal());
    for (int64_t c = 0; c < d.keys * d.dim; ++c)
      base::StoreDouble(d.key.data(), d.dtype, c, spread * random.Normal() + 1.0 - spread);
    std::vector<int32_t> indices;
    std::vector<float> values;
    indexer::Params params = ParamsOf(d, 64, &indices, &values);
    params.pruning = indexer::Pruning::kAuto;
    for (Level level : TestedLevels()) {
      if (!base::Has(level, base::Feature::kFastIntegers)) continue;
      EXPECT_EQ(Scanned(params, level).scanned(0), spread > 0);
    }
  }
}

TEST(LightningIndexerPruning, AShadowOfOtherKeysIsRefused) {
  Random random(86);
  Tokens s;
  TestCall call("lightning_indexer");
  call.Tensor("query", s.dtype, {1, 3, 4, 70}, [&](int64_t) { return random.Normal(); })
      .Tensor("weights", s.dtype, {1, 3, 4}, [](int64_t) { return 1.0; })
      .Tensor("key", s.dtype, {1, 40, 1, 70}, [&](int64_t) { return random.Normal(); })
      .Tensor("key_shadow", DType::kUInt8, {1, 3, 2240}, [](int64_t) { return 255.0; })
      .Set("sparse_count", 7);
  ExpectConforms(call);
  for (const std::vector<int64_t>& shape :
       {std::vector<int64_t>{1, 2, 2240}, {1, 4, 2240}, {1, 3, 2239}, {1, 3, 1216}, {2, 3, 2240}}) {
    ExpectRefusedAfter(call, Filled("key_shadow", DType::kUInt8, shape), "key_shadow");
  }
  ExpectRefusedAfter(call, Filled("key_shadow", DType::kInt8, {1, 3, 2240}), "key_shadow");
}

}  // namespace
}  // namespace tamis::test
