// Windows of a paged cache, written where slots say.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <numeric>

#include "tests/support/levels.h"
#include "tests/support/refusals.h"
#include "tests/support/sequences.h"

namespace tamis::test {
namespace {

constexpr DType kDTypes[] = {DType::kFloat16, DType::kBFloat16, DType::kFloat32};

struct Step {
  DType dtype = DType::kBFloat16;
  std::vector<int64_t> n = {40, 21};  // tokens per sequence
  std::vector<int64_t> q = {14, 6};   // of which are new
  int64_t block = 8;
  int64_t stride = 4;
  int64_t page = 5;
  int64_t heads = 2;
  int64_t dim = 12;
  int64_t rows = 30;
  int64_t gap = 0;

  bool EndsWindow(int64_t tokens) const {
    return tokens >= block && (tokens - block) % stride == 0;
  }
};

// An element of token `position` of sequence b, the same in every call.
double ElementOf(int64_t b, int64_t position, int64_t i) {
  return Draw(7, "input", (b * 100000 + position) * 1000 + i);
}

std::function<double(int64_t)> Weights() {
  return [](int64_t i) { return Draw(7, "weight", i); };
}

// What new tokens end no window has a slot past the cache.
std::vector<int64_t> SlotsOf(const Step& s, const std::vector<int64_t>& of_windows) {
  std::vector<int64_t> slots;
  auto next = of_windows.begin();
  for (size_t b = 0; b < s.n.size(); ++b) {
    for (int64_t end = s.n[b] - s.q[b] + 1; end <= s.n[b]; ++end)
      slots.push_back(s.EndsWindow(end) ? *next++ : s.rows);
  }
  return slots;
}

int64_t WindowsOf(const Step& s) {
  int64_t windows = 0;
  for (size_t b = 0; b < s.n.size(); ++b) {
    for (int64_t end = s.n[b] - s.q[b] + 1; end <= s.n[b]; ++end) windows += s.EndsWindow(end);
  }
  return windows;
}

// Rows that no sequence has hold NaN.
TestCall Infer(const Step& s, const std::vector<int64_t>& slots, uint64_t seed) {
  Random random(seed);
  const Pages pages(s.n, s.page, 2, &random);
  const int64_t width = s.heads * s.dim;
  std::vector<double> rows(static_cast<size_t>(pages.count * s.page * width), NAN);
  for (size_t b = 0; b < s.n.size(); ++b) {
    const auto sequence = static_cast<int64_t>(b);
    for (int64_t t = 0; t < s.n[b]; ++t) {
      for (int64_t i = 0; i < width; ++i)
        rows[static_cast<size_t>(pages.RowOf(sequence, t) * width + i)] = ElementOf(sequence, t, i);
    }
  }
  TestCall call("nsa_compress_infer");
  call.Strided("input", s.dtype, {pages.count, s.page, s.heads, s.dim}, s.gap, Elements(rows))
      .Strided("weight", s.dtype, {s.block, s.heads}, s.gap, Weights())
      .List("slot_mapping", DType::kInt32, slots)
      .Tensor("block_table", DType::kInt32, {static_cast<int64_t>(s.n.size()), pages.width},
              Elements(pages.table))
      .Strided("cache", s.dtype, {s.rows, s.heads, s.dim}, s.gap,
               [](int64_t i) { return Draw(7, "cache", i); })
      .Set("act_seq_len", s.n)
      .Set("actual_seq_qlen", s.q)
      .Set("compress_block_size", s.block)
      .Set("compress_stride", s.stride)
      .Set("page_block_size", s.page);
  return call;
}

TestCall Infer(const Step& s, uint64_t seed) {
  std::vector<int64_t> rows(static_cast<size_t>(s.rows));
  std::iota(rows.begin(), rows.end(), 0);
  Random(seed + 1).Shuffle(&rows);
  return Infer(s, SlotsOf(s, rows), seed);
}

// All windows of the sequences, one row after the other.
TestCall Whole(const Step& s) {
  const int64_t width = s.heads * s.dim;
  const std::vector<int64_t> prefix = Prefix(s.n);
  TestCall call("nsa_compress");
  call.Tensor("input", s.dtype, {prefix.back(), s.heads, s.dim},
              [&](int64_t i) {
                const int64_t token = i / width;
                const auto b =
                    std::upper_bound(prefix.begin(), prefix.end(), token) - prefix.begin();
                const int64_t first = b == 0 ? 0 : prefix[static_cast<size_t>(b - 1)];
                return ElementOf(b, token - first, i % width);
              })
      .Tensor("weight", s.dtype, {s.block, s.heads}, Weights())
      .Set("act_seq_len", prefix)
      .Set("compress_block_size", s.block)
      .Set("compress_stride", s.stride);
  return call;
}

TEST(NsaCompressInfer, AgreesOverRandomWindowsPagesAndSteps) {
  Random random(1301);
  for (int i = 0; i < 45; ++i) {
    Step s;
    s.dtype = kDTypes[i % 3];
    s.block = random.Between(1, 40);
    s.stride = random.Between(1, s.block);
    s.page = random.Between(1, 50);
    s.heads = random.Between(1, 4);
    s.dim = random.Between(1, 150);
    s.rows = random.Between(0, 40);
    s.gap = random.Between(0, 1) * 3;
    s.n.clear();
    s.q.clear();
    for (int64_t b = random.Between(1, 4); b > 0; --b) {
      s.n.push_back(random.Between(0, 4 * s.block));
      s.q.push_back(random.Below(3) == 0 ? std::min<int64_t>(s.n.back(), 1)
                                         : random.Between(0, s.n.back()));
    }
    TestCall call = Infer(s, SlotsOf(s, RandomSlots(WindowsOf(s), s.rows, &random)), random.Next());
    SCOPED_TRACE("case " + std::to_string(i));
    ExpectConforms(call);
  }
}

// Runs steps of `most` tokens at most for every sequence over the same cache, and compares it with
// nsa_compress of the whole.
void ExpectWindowsOfTheWhole(Step s, int64_t most, const Context& context) {
  TestCall whole = Whole(s);
  ASSERT_TRUE(whole.Run(context).ok());
  const int64_t width = s.heads * s.dim;
  const std::vector<int64_t> lengths = s.n;
  const int64_t windows = whole.OutputElems("output") / width;
  s.rows = windows + 3;
  std::vector<double> cache(static_cast<size_t>(s.rows * width), -7.0);
  Random random(1302);
  s.n.assign(lengths.size(), 0);
  while (s.n != lengths) {
    std::vector<int64_t> slots;
    int64_t row = 0;  // of the sequence's first window
    for (size_t b = 0; b < s.n.size(); ++b) {
      s.q[b] = random.Between(std::min<int64_t>(1, lengths[b] - s.n[b]),
                              std::min(most, lengths[b] - s.n[b]));
      for (int64_t end = s.n[b] + 1; end <= s.n[b] + s.q[b]; ++end) {
        if (s.EndsWindow(end)) slots.push_back(windows - 1 - row - (end - s.block) / s.stride);
      }
      s.n[b] += s.q[b];
      row += lengths[b] < s.block ? 0 : (lengths[b] - s.block) / s.stride + 1;
    }
    TestCall step = Infer(s, SlotsOf(s, slots), random.Next());
    step.Tensor("cache", s.dtype, {s.rows, s.heads, s.dim}, Elements(cache));
    const Result<Outputs> done = step.Run(context);
    ASSERT_TRUE(done.ok()) << done.status().message();
    for (size_t i = 0; i < cache.size(); ++i) cache[i] = step.Got("cache", static_cast<int64_t>(i));
  }
  for (int64_t i = 0; i < s.rows * width; ++i) {
    const int64_t window = windows - 1 - i / width;
    ASSERT_EQ(cache[static_cast<size_t>(i)],
              window < 0 ? -7.0 : whole.Got("output", window * width + i % width))
        << "row " << i / width;
  }
}

// Whatever the steps, the pages and the threads: the same bits.
TEST(NsaCompressInfer, AnyStepsGiveTheWindowsOfTheWhole) {
  struct Windows {
    int64_t block, stride;
  };
  for (const Windows& windows : {Windows{8, 8}, Windows{8, 4}, Windows{7, 5}, Windows{9, 2}}) {
    for (const DType dtype : kDTypes) {
      for (const Level level : TestedLevels()) {
        for (const int64_t most : {1, 13, 1000}) {
          Step s;
          s.dtype = dtype;
          s.n = {41, 0, 6, 64};
          s.q.resize(4);
          s.block = windows.block;
          s.stride = windows.stride;
          s.dim = 37;
          ExpectWindowsOfTheWhole(s, most, {.threads = most == 13 ? 3 : 1, .level = level});
        }
      }
    }
  }
}

TEST(NsaCompressInfer, OneTokenEachWithoutTheirCounts) {
  Step s;
  s.q = {1, 1};
  s.n = {40, 20};
  TestCall with = Infer(s, 1303);
  TestCall without = Infer(s, 1303);
  without.Without("actual_seq_qlen");
  ExpectSameBytes(with, without);
  // A sequence of no tokens has its slot all the same.
  without.Set("act_seq_len", std::vector<int64_t>{40, 0});
  ExpectConforms(without);
  with.Set("act_seq_len", std::vector<int64_t>{40, 0});
  ExpectRefused(with, StatusCode::kInvalidArgument, "actual_seq_qlen[1]");
}

TEST(NsaCompressInfer, TheLastOfEqualSlotsWinsAndNegativeOnesAreNotWritten) {
  Step s;
  ASSERT_EQ(WindowsOf(s), 6);  // tokens 28, 32, 36, 40 of one sequence, 16, 20 of the other
  TestCall call = Infer(s, SlotsOf(s, {3, -1, 5, -100, 3, 5}), 1304);
  ExpectConforms(call);
  TestCall whole = Whole(s);
  ASSERT_TRUE(call.Run({}).ok() && whole.Run({}).ok());
  const int64_t width = s.heads * s.dim;
  for (int64_t i = 0; i < width; ++i) {
    EXPECT_EQ(call.Got("cache", 3 * width + i), whole.Got("output", 11 * width + i));  // token 16
    EXPECT_EQ(call.Got("cache", 5 * width + i), whole.Got("output", 12 * width + i));  // token 20
  }
}

// Of both sequences every entry but those of the windows that are written may be anything.
TEST(NsaCompressInfer, PagesOfOtherTokensAreNotLookedAt) {
  Step s;
  s.n = {40, 21};
  s.page = 4;
  // Of tokens 24 to 35 of the first sequence.
  const std::vector<int64_t> slots = SlotsOf(s, {-1, 2, 7, -1, -1, -1});
  TestCall call = Infer(s, slots, 1305);
  TestCall blind = Infer(s, slots, 1305);
  const TensorView table = call.view("block_table");
  blind.Tensor("block_table", DType::kInt32, {2, table.shape[1]}, [&](int64_t i) {
    return i >= 6 && i < 9 ? static_cast<const int32_t*>(table.data)[i] : -1000.0;
  });
  ExpectSameBytes(call, blind);
  for (const int64_t i : {6, 7, 8}) {
    TestCall broken = call;
    broken.Tensor("block_table", DType::kInt32, {2, table.shape[1]}, [&](int64_t k) {
      return k == i ? 1000.0 : static_cast<const int32_t*>(table.data)[k];
    });
    ExpectRefused(broken, StatusCode::kInvalidArgument,
                  "block_table[0, " + std::to_string(i) + "]");
  }
}

TEST(NsaCompressInfer, AStepWithoutWindowsWritesNothing) {
  Step none;
  none.n = none.q = {};
  Step flat;
  flat.dim = 0;
  Step early;
  early.n = early.q = {7, 3};
  for (const Step& s : {none, flat, early}) {
    TestCall call = Infer(s, 1306);
    ExpectConforms(call);
    EXPECT_TRUE(call.OutputsUntouched());
  }
}

TEST(NsaCompressInfer, BadArgumentsAreRefusedByName) {
  Step s;
  const TestCall call = Infer(s, 1307);
  const auto refuse = [&](const Change& change, const std::string& argument) {
    ExpectRefusedAfter(call, change, argument);
  };
  const auto slot = [&](int64_t value) {
    return Listed("slot_mapping", DType::kInt64, SlotsOf(s, {0, 1, 2, 3, 4, value}));
  };
  refuse(slot(s.rows), "slot_mapping[18]");
  refuse(slot(int64_t{1} << 50), "slot_mapping[18]");
  refuse(Listed("slot_mapping", DType::kInt32, {0, 1}), "actual_seq_qlen");
  refuse(Without("actual_seq_qlen"), "slot_mapping");
  refuse(With("actual_seq_qlen", std::vector<int64_t>{20}), "actual_seq_qlen");
  refuse(With("actual_seq_qlen", std::vector<int64_t>{21, -1}), "actual_seq_qlen[1]");
  refuse(With("act_seq_len", std::vector<int64_t>{40}), "act_seq_len");
  refuse(With("act_seq_len", std::vector<int64_t>{13, 21}), "actual_seq_qlen[0]");
  refuse(With("act_seq_len", std::vector<int64_t>{40, INT64_MAX}), "act_seq_len");
  refuse(With("act_seq_len", std::vector<int64_t>{4000, 21}), "block_table");
  refuse(With("compress_stride", int64_t{9}), "compress_stride");
  refuse(With("compress_stride", int64_t{0}), "compress_stride");
  refuse(With("compress_block_size", int64_t{9}), "weight");
  refuse(With("page_block_size", int64_t{4}), "input");
  refuse(Filled("cache", DType::kFloat16, {30, 2, 12}), "cache");
  refuse(Filled("cache", DType::kBFloat16, {30, 2, 13}), "cache");
  ExpectRefusedAfter(call, Without("cache"), "cache", StatusCode::kNullArgument);
}

TEST(NsaCompressInfer, TheCacheSharesNoMemory) {
  Step s;
  s.page = 30;
  s.rows = 30;
  TestCall call = Infer(s, 1308);
  TensorView rows = call.view("input");
  rows.rank = 3;
  std::copy_n(rows.shape + 1, 3, rows.shape);
  std::copy_n(rows.strides + 1, 3, rows.strides);
  call.View("cache", rows);
  const Result<registry::Call> made = call.Inputs();
  ASSERT_TRUE(made.ok());
  const Result<Plan> plan = made->MakePlan({});
  ASSERT_FALSE(plan.ok());
  EXPECT_EQ(plan.status().message(),
            "cache: expected memory of its own, got memory that overlaps input");
}

TEST(NsaCompressInfer, StrictEnforcesTheDevicesLimits) {
  Step s;
  s.n = {64, 40};
  s.q = {1, 1};
  s.block = 32;
  s.stride = 16;
  s.heads = 64;
  s.dim = 16;
  s.page = 20;
  const auto call = [](const Step& step) {
    TestCall made = Infer(step, 1309);
    made.Without("actual_seq_qlen");
    return made;
  };
  ExpectAllowedByStrict(call(s));
  ExpectRefusedByStrictAlone(Infer(s, 1309), "actual_seq_qlen");
  const auto refuse = [&](const char* argument, int64_t Step::*member, int64_t value) {
    Step other = s;
    other.*member = value;
    ExpectRefusedByStrictAlone(call(other), argument);
  };
  refuse("input", &Step::heads, 65);
  refuse("input", &Step::dim, 24);
  refuse("compress_block_size", &Step::block, 24);
  refuse("compress_block_size", &Step::block, 80);
  refuse("compress_stride", &Step::stride, 8);
  Step full = s;
  full.dtype = DType::kFloat32;
  ExpectRefusedByStrictAlone(call(full), "input");
  TestCall wide = call(s);
  wide.List("slot_mapping", DType::kInt64, {0, 1});
  ExpectRefusedByStrictAlone(wide, "slot_mapping");
}

}  // namespace
}  // namespace tamis::test
