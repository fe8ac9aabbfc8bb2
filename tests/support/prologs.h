// What the tests of both prologs have in common: calls, and claims that hold for either.
#pragma once

#include <cstdint>
#include <numeric>
#include <string>
#include <vector>

#include "tests/support/conformance.h"
#include "tests/support/levels.h"
#include "tests/support/sequences.h"

namespace tamis::test {

struct Prolog {
  DType dtype = DType::kBFloat16;
  int64_t tokens = 3;
  int64_t first_token = 0;  // of a longer call with the same seed
  int64_t batch = 0;        // not 0: [B, S1, ...]
  int64_t hidden = 48;
  int64_t rank = 32;
  int64_t rope = 16;
  int64_t pages = 3;
  int64_t page = 4;
  bool nz = false;
  std::vector<int64_t> slots = {5, 0, 7};
  DType index = DType::kInt32;
  int64_t gap = 0;
  uint64_t seed = 1;
};

/// A tensor with a row per token.
void SetPerToken(TestCall* call, const Prolog& s, const char* name, int64_t width);
/// A vector of the norms.
void SetVector(TestCall* call, const Prolog& s, const char* name, int64_t width);
/// A cache that holds NaN before: nobody reads it.
void SetCache(TestCall* call, const Prolog& s, const char* name, int64_t width);
/// A weight [rows, columns], scaled so that products stay near 1; the values do not depend on the
/// format.
void SetWeight(TestCall* call, const Prolog& s, const char* name, int64_t rows, int64_t columns);
/// x, sin, cos, cache_index and weight_format.
void SetCommon(TestCall* call, const Prolog& s);

/// Random numbers and types of tokens, format and size of a matrix' side, pages, slots and gaps.
void DrawTokens(Prolog* s, int round, Random* random);
int64_t DrawSize(const Prolog& s, int64_t most, Random* random);
void DrawCache(Prolog* s, Random* random);

/// The second halves of sin and cos become the first ones.
void RepeatHalves(TestCall* call, const Prolog& s);

/// An output or a cache, and the elements of its rows.
struct Rows {
  const char* name;
  int64_t width;
};
/// Row `row` of a cache, or of an output with rows of `width` elements.
std::vector<double> Row(const TestCall& call, const std::string& name, int64_t row, int64_t width);

template <class Shape>
using Builder = TestCall (*)(const Shape&);

/// Tokens of a long call give the bits that they give in a call of their own.
template <class Shape>
void ExpectTokensGiveTheirBitsAlone(Builder<Shape> build, Shape s, const std::vector<Rows>& outputs,
                                    const std::vector<Rows>& caches) {
  s.tokens = 141;  // more than a chunk, and a tail of every tile size
  s.pages = 40;
  std::vector<int64_t> slots(static_cast<size_t>(s.tokens));
  std::iota(slots.begin(), slots.end(), 3);
  s.slots = slots;
  TestCall together = build(s);
  for (Level level : TestedLevels()) {
    ASSERT_TRUE(together.Run({.level = level}).ok());
    for (int64_t token : {0, 1, 64, 127, 128, 136, 139, 140}) {
      for (int64_t count : {1, 2, 5, 20}) {
        if (token + count > s.tokens) continue;
        Shape part = s;
        part.first_token = token;
        part.tokens = count;
        part.slots.assign(s.slots.begin() + token, s.slots.begin() + token + count);
        TestCall alone = build(part);
        ASSERT_TRUE(alone.Run({.level = level}).ok());
        const int64_t slot = s.slots[static_cast<size_t>(token)];
        for (const auto& [name, width] : outputs)
          EXPECT_EQ(Row(together, name, token, width), Row(alone, name, 0, width)) << name;
        for (const auto& [name, width] : caches)
          EXPECT_EQ(Row(together, name, slot, width), Row(alone, name, slot, width)) << name;
      }
    }
  }
}

template <class Shape>
void ExpectLastTokenOfASlotWins(Builder<Shape> build, const std::vector<Rows>& caches) {
  Shape s;
  s.tokens = 4;
  s.batch = 2;
  s.slots = {6, 1, 6, 6};
  TestCall call = build(s);
  ExpectConforms(call);
  Shape last = s;
  last.batch = 0;
  last.tokens = 1;
  last.first_token = 3;
  last.slots = {6};
  TestCall alone = build(last);
  ASSERT_TRUE(call.Run({.threads = 7}).ok());
  ASSERT_TRUE(alone.Run({}).ok());
  for (const auto& [name, width] : caches)
    EXPECT_EQ(Row(call, name, 6, width), Row(alone, name, 6, width)) << name;
}

/// Without a slot to write, the caches' weights are not read, and the outputs stay as they are.
template <class Shape>
void ExpectNoSlotReadsNoCacheWeights(Builder<Shape> build,
                                     const std::vector<const char*>& outputs) {
  Shape s;
  s.slots = {0, 1, 2};
  TestCall writing = build(s);
  s.slots = {-1, -5, -1};
  TestCall silent = build(s);
  const auto cost = [](TestCall& call) { return call.WithOutputs()->MakePlan({})->cost(); };
  EXPECT_LT(cost(silent).read_bytes, cost(writing).read_bytes);
  EXPECT_LT(cost(silent).write_bytes, cost(writing).write_bytes);
  ExpectConforms(silent);
  for (Level level : TestedLevels()) {
    const auto all = writing.Run({.level = level});
    const auto some = silent.Run({.level = level});
    ASSERT_TRUE(all.ok() && some.ok());
    for (const char* name : outputs) EXPECT_EQ(all->at(name), some->at(name)) << name;
  }
}

template <class Shape>
void ExpectNoTokensWriteNothing(Builder<Shape> build) {
  for (int64_t batch : {0, 2}) {
    Shape s;
    s.tokens = 0;
    s.batch = batch;
    s.slots.clear();
    TestCall call = build(s);
    ExpectConforms(call);
    EXPECT_TRUE(call.OutputsUntouched());
  }
}

}  // namespace tamis::test
