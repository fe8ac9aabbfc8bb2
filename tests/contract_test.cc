// The checks that every operator's arguments pass, over contracts made up for the purpose.
#include "base/contract.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "base/dtype.h"
#include "base/errors.h"
#include "tamis/tamis.hpp"

namespace tamis::base {
namespace {

enum class Layout : int32_t { kFlat = 0, kDeep = 1 };

struct Toy {
  TensorView a;
  TensorView b;
  TensorView mask;
  int64_t size = 3;
  double scale = 0.5;
  Layout layout = Layout::kFlat;
  IntList lengths;
  IntList extra;
  bool strict = false;
  OutputView out;
  OutputView sums;
};

const Contract& ToyContract() {
  static const Contract kContract =
      ContractBuilder<Toy>("toy", "a contract for tests", "none")
          .Input("a", &Toy::a,
                 {.doc = "a",
                  .dtypes = {DType::kFloat16, DType::kBFloat16},
                  .forms = {{"flat", "T, N"}, {"deep", "B, S, N"}}})
          .Input("b", &Toy::b, {.shape = "size, 2 * N", .doc = "b", .dtype_as = "a"})
          .OptionalInput("mask", &Toy::mask,
                         {.shape = "*, N", .doc = "m", .dtypes = {DType::kBool, DType::kUInt8}})
          .Required("size", &Toy::size, "rows of b")
          .Optional("scale", &Toy::scale, "a number")
          .Choice("layout", &Toy::layout, {"flat", "deep"}, "of a")
          .Required("lengths", &Toy::lengths, "needed")
          .Optional("extra", &Toy::extra, "not needed")
          .Optional("strict", &Toy::strict, "limits")
          .Output("out", &Toy::out,
                  {.doc = "o", .dtype_as = "a", .forms = {{"flat", "T, N"}, {"deep", "B, S, N"}}})
          .OptionalOutput("sums", &Toy::sums,
                          {.shape = "size, N", .doc = "s", .dtypes = {DType::kFloat32}})
          .LayoutIs("layout")
          .Strict("a", "N", Limit::Rule::kMultipleOf, {"2"})
          .Strict("size", "size", Limit::Rule::kAtMost, {"N"})
          .Strict("a", "T * N", Limit::Rule::kAtMost, {"1000"})
          .Build();
  return kContract;
}

// T = 5, N = 4, size = 3, each tensor with memory of its own.
class Contracts : public testing::Test {
 protected:
  Contracts() {
    toy_.a = {memory_, DType::kFloat16, {5, 4}};
    toy_.b = {memory_ + 512, DType::kFloat16, {3, 8}};
    toy_.mask = {memory_ + 1024, DType::kBool, {7, 4}};
    toy_.lengths = {2, 5};
    toy_.out = {memory_ + 1536, DType::kFloat16, {5, 4}};
    toy_.sums = {memory_ + 2048, DType::kFloat32, {3, 4}};
  }

  Status Check() const {
    Dims dims;
    TAMIS_RETURN_IF_ERROR(ToyContract().CheckInputs(&toy_, &dims));
    TAMIS_RETURN_IF_ERROR(ToyContract().CheckLimits(&toy_, dims));
    return ToyContract().CheckOutputs(&toy_, dims);
  }

  alignas(64) unsigned char memory_[4096] = {};
  Toy toy_;
};

// One line that begins with the argument.
void ExpectNames(const Status& status, StatusCode code, const std::string& argument,
                 const std::string& what) {
  EXPECT_EQ(status.code(), code) << what << ": " << status.message();
  EXPECT_EQ(status.message().rfind(argument + ": ", 0), 0U) << what << ": " << status.message();
  EXPECT_EQ(status.message().find('\n'), std::string::npos) << what << ": " << status.message();
}

struct Fault {
  const char* what;
  StatusCode code;
  void (*inflict)(TensorView* view);
};

constexpr int64_t kHuge = int64_t{1} << 62;

// What makes any present tensor wrong, whatever its role.
constexpr Fault kFaults[] = {
    {"a value that is no dtype", StatusCode::kInvalidArgument,
     [](TensorView* v) { v->dtype = static_cast<DType>(77); }},
    {"a negative value for a dtype", StatusCode::kInvalidArgument,
     [](TensorView* v) { v->dtype = static_cast<DType>(-1); }},
    {"a dtype of another use", StatusCode::kInvalidArgument,
     [](TensorView* v) { v->dtype = DType::kInt8; }},
    {"another device", StatusCode::kUnsupported,
     [](TensorView* v) { v->device = DeviceType::kCuda; }},
    {"rank 0", StatusCode::kInvalidArgument, [](TensorView* v) { v->rank = 0; }},
    {"a dimension too few", StatusCode::kInvalidArgument, [](TensorView* v) { --v->rank; }},
    {"a dimension too many", StatusCode::kInvalidArgument,
     [](TensorView* v) {
       v->shape[v->rank] = 1;
       v->strides[v->rank++] = 1;
     }},
    {"a negative rank", StatusCode::kInvalidArgument, [](TensorView* v) { v->rank = -1; }},
    {"rank 9", StatusCode::kInvalidArgument, [](TensorView* v) { v->rank = 9; }},
    {"an absurd rank", StatusCode::kInvalidArgument, [](TensorView* v) { v->rank = 1 << 30; }},
    {"a negative size", StatusCode::kInvalidArgument, [](TensorView* v) { v->shape[0] = -1; }},
    {"a negative stride", StatusCode::kInvalidArgument,
     [](TensorView* v) { v->strides[0] = -v->strides[0]; }},
    {"a last dimension of stride 2", StatusCode::kInvalidArgument,
     [](TensorView* v) { v->strides[1] = 2; }},
    {"a last dimension of stride 0", StatusCode::kInvalidArgument,
     [](TensorView* v) { v->strides[1] = 0; }},
    {"more than 2^63 elements", StatusCode::kInvalidArgument,
     [](TensorView* v) { v->shape[0] = kHuge; }},
    {"an extent beyond 2^63 bytes", StatusCode::kInvalidArgument,
     [](TensorView* v) { v->strides[0] = kHuge; }},
    {"an extent beyond 2^56 bytes", StatusCode::kInvalidArgument,
     [](TensorView* v) { v->strides[0] = int64_t{1} << 56; }},
    {"the end of the address space", StatusCode::kInvalidArgument,
     [](TensorView* v) { v->data = reinterpret_cast<void*>(UINTPTR_MAX - 15); }},
};

TEST_F(Contracts, SoundCallPasses) {
  const Status status = Check();
  EXPECT_TRUE(status.ok()) << status.message();
}

TEST_F(Contracts, EveryFaultOfEveryTensorIsRefusedByItsName) {
  for (const Field& field : ToyContract().fields) {
    if (!field.is_tensor()) continue;
    for (const Fault& fault : kFaults) {
      const Toy sound = toy_;
      fault.inflict(&Contract::tensor(static_cast<void*>(&toy_), field));
      ExpectNames(Check(), fault.code, field.name, fault.what);
      toy_ = sound;
    }
  }
}

// A stride that no element is reached by may be any number, and is no number to compute with.
TEST_F(Contracts, UnusedStridesAreForgotten) {
  const int64_t kMost = std::numeric_limits<int64_t>::max();
  const TensorView sound = toy_.mask;
  toy_.mask.shape[0] = 1;
  toy_.mask.strides[0] = kMost;
  ToyContract().ForgetUnusedStrides(&toy_);
  EXPECT_EQ(toy_.mask.strides[0], 0);
  EXPECT_EQ(toy_.mask.strides[1], 1);
  toy_.mask = sound;
  toy_.mask.shape[1] = 0;
  toy_.mask.strides[0] = kMost;
  ToyContract().ForgetUnusedStrides(&toy_);
  EXPECT_EQ(toy_.mask.strides[0], 0);
  EXPECT_EQ(toy_.mask.strides[1], 0);
}

TEST_F(Contracts, MisalignedDataIsRefused) {
  for (const char* name : {"a", "b", "out", "sums"}) {
    const Toy sound = toy_;
    TensorView& view = Contract::tensor(static_cast<void*>(&toy_), *ToyContract().Find(name));
    view.data = static_cast<char*>(view.data) + 1;
    ExpectNames(Check(), StatusCode::kInvalidArgument, name, "misaligned");
    toy_ = sound;
  }
}

TEST_F(Contracts, OnlyOptionalTensorsMayBeAbsent) {
  for (const Field& field : ToyContract().fields) {
    if (!field.is_tensor()) continue;
    const Toy sound = toy_;
    Contract::tensor(static_cast<void*>(&toy_), field) = {};
    const Status status = Check();
    if (field.role == Role::kInput || field.role == Role::kOutput) {
      ExpectNames(status, StatusCode::kNullArgument, field.name, "absent");
    } else {
      EXPECT_TRUE(status.ok()) << field.name << ": " << status.message();
    }
    toy_ = sound;
  }
}

TEST_F(Contracts, ShapesMustAgreeWithEachOther) {
  toy_.b.shape[1] = 7;  // 2 * N = 8
  ExpectNames(Check(), StatusCode::kInvalidArgument, "b", "2 * N");
  EXPECT_NE(Check().message().find("2 * N = 8"), std::string::npos) << Check().message();
  toy_.b.shape[1] = 8;
  toy_.size = 4;
  ExpectNames(Check(), StatusCode::kInvalidArgument, "b", "size");
  toy_.size = std::numeric_limits<int64_t>::min() + 1;
  ExpectNames(Check(), StatusCode::kInvalidArgument, "b", "a hostile attribute");
  toy_.size = 3;
  toy_.out.shape[0] = 6;
  ExpectNames(Check(), StatusCode::kInvalidArgument, "out", "T");
}

TEST_F(Contracts, AComplaintSaysWhatDimensionsMean) {
  toy_.a = {memory_, DType::kFloat16, {5}};
  EXPECT_EQ(Check().message(), "a: expected shape [tokens T, heads N], got [5]");
  toy_.a = {memory_, DType::kFloat16, {5, 4}};
  toy_.out = {memory_ + 1536, DType::kFloat16, {5, 3}};
  EXPECT_EQ(Check().message(), "out: expected shape [tokens T = 5, heads N = 4], got [5, 3]");
}

// N is 4 in b, mask and the outputs, too.
TEST_F(Contracts, WhoDiffersFromTheOthersIsToBlame) {
  toy_.a = {memory_, DType::kFloat16, {5, 6}};
  EXPECT_EQ(Check().message(),
            "a: expected shape [tokens T = 5, heads N = 4 as b has], got [5, 6]");
  toy_.a = {memory_, DType::kFloat16, {5, 4}};
  toy_.mask = {memory_ + 1024, DType::kBool, {7, 3}};
  EXPECT_EQ(Check().message(), "mask: expected shape [*, heads N = 4 as a has], got [7, 3]");
}

TEST_F(Contracts, OfTwoWidthsTheOneThatNoModelHasIsToBlame) {
  toy_.mask = toy_.out = toy_.sums = {};
  toy_.a = {memory_, DType::kFloat16, {5, 9}};
  toy_.b = {memory_ + 512, DType::kFloat16, {3, 16}};
  EXPECT_EQ(Check().message(),
            "a: expected shape [tokens T = 5, heads N = 8 as b has], got [5, 9]");
  toy_.a = {memory_, DType::kFloat16, {5, 8}};
  toy_.b = {memory_ + 512, DType::kFloat16, {3, 18}};
  EXPECT_EQ(Check().message(), "b: expected shape [size = 3, 2 * N = 16 as a has], got [3, 18]");
}

TEST_F(Contracts, LayoutSelectsTheShape) {
  toy_.layout = Layout::kDeep;
  ExpectNames(Check(), StatusCode::kInvalidArgument, "a", "rank 2 in the deep layout");
  toy_.a = {memory_, DType::kFloat16, {1, 5, 4}};
  ExpectNames(Check(), StatusCode::kInvalidArgument, "out", "rank 2 in the deep layout");
  toy_.out = {memory_ + 1536, DType::kFloat16, {1, 5, 4}};
  EXPECT_TRUE(Check().ok()) << Check().message();
}

TEST_F(Contracts, DtypeFollowsTheNamedTensor) {
  toy_.a.dtype = DType::kBFloat16;
  ExpectNames(Check(), StatusCode::kInvalidArgument, "b", "float16 beside bfloat16");
  toy_.b.dtype = DType::kBFloat16;
  ExpectNames(Check(), StatusCode::kInvalidArgument, "out", "float16 beside bfloat16");
  toy_.out.dtype = DType::kBFloat16;
  EXPECT_TRUE(Check().ok()) << Check().message();
}

TEST_F(Contracts, InputsMayRepeatAndBeHuge) {
  toy_.a.strides[0] = 0;
  EXPECT_TRUE(Check().ok()) << Check().message();
  toy_.mask.shape[0] = int64_t{1} << 60;  // all the same row
  toy_.mask.strides[0] = 0;
  EXPECT_TRUE(Check().ok()) << Check().message();
}

TEST_F(Contracts, OutputsMayNotRepeat) {
  toy_.out.strides[0] = 0;
  ExpectNames(Check(), StatusCode::kInvalidArgument, "out", "stride 0");
  toy_.out.strides[0] = 3;  // rows of 4
  ExpectNames(Check(), StatusCode::kInvalidArgument, "out", "rows that overlap");
  toy_.out.strides[0] = 6;
  EXPECT_TRUE(Check().ok()) << Check().message();
}

TEST_F(Contracts, SizeOneDimensionsMayHaveAnyStride) {
  toy_.a = {memory_, DType::kFloat16, {1, 4}};
  toy_.out = {memory_ + 1536, DType::kFloat16, {1, 4}};
  toy_.a.strides[0] = -7;
  toy_.out.strides[0] = std::numeric_limits<int64_t>::max();
  EXPECT_TRUE(Check().ok()) << Check().message();
}

TEST_F(Contracts, EmptyTensorsNeedNoMemory) {
  toy_.a = {nullptr, DType::kFloat16, {0, 4}};
  toy_.out = {nullptr, DType::kFloat16, {0, 4}};
  toy_.a.strides[0] = toy_.out.strides[0] = kHuge;
  EXPECT_TRUE(Check().ok()) << Check().message();
  toy_.out.shape[1] = kHuge;
  ExpectNames(Check(), StatusCode::kInvalidArgument, "out", "an empty tensor of the wrong shape");
}

TEST_F(Contracts, OutputsShareNoMemory) {
  toy_.out.data = toy_.a.data;
  ExpectNames(Check(), StatusCode::kInvalidArgument, "out", "the input itself");
  EXPECT_NE(Check().message().find("overlaps a"), std::string::npos) << Check().message();
  toy_.out.data = memory_ + 512 + 46;  // the last element of b
  ExpectNames(Check(), StatusCode::kInvalidArgument, "out", "the end of an input");
  toy_.out.data = memory_ + 512 + 48;  // just past it
  EXPECT_TRUE(Check().ok()) << Check().message();
  toy_.sums.data = memory_ + 512 + 48 + 36;  // the last two elements of out
  ExpectNames(Check(), StatusCode::kInvalidArgument, "out", "another output");
}

TEST_F(Contracts, StridedOutputsShareNoMemoryWithWhatTheyCover) {
  toy_.out.strides[0] = 8;               // rows of 16 bytes, 8 of them a gap
  toy_.sums.data = memory_ + 1536 - 16;  // over the first row
  ExpectNames(Check(), StatusCode::kInvalidArgument, "out", "a dense output over a strided one");
  toy_.sums = {};
  toy_.mask = {memory_ + 1536, DType::kBool, {1, 4}};
  ExpectNames(Check(), StatusCode::kInvalidArgument, "out", "an input at the same address");
  toy_.mask.data = memory_ + 1536 + 8;  // in the gap
  EXPECT_TRUE(Check().ok()) << Check().message();
  toy_.mask = {};
  toy_.a = {memory_ + 1536 + 8, DType::kFloat16, {5, 4}};
  toy_.a.strides[0] = 8;  // one tensor in the gaps of the other
  EXPECT_TRUE(Check().ok()) << Check().message();
}

TEST_F(Contracts, BroadcastInputInsideAnOutputIsRefused) {
  toy_.a.data = memory_ + 1536 + 8;
  toy_.a.strides[0] = 0;
  ExpectNames(Check(), StatusCode::kInvalidArgument, "out", "a repeated row inside");
}

TEST_F(Contracts, AttributesAreChecked) {
  toy_.layout = static_cast<Layout>(2);
  ExpectNames(Check(), StatusCode::kInvalidArgument, "layout", "past the last choice");
  toy_.layout = static_cast<Layout>(-1);
  ExpectNames(Check(), StatusCode::kInvalidArgument, "layout", "before the first choice");
  toy_.layout = Layout::kFlat;
  for (const double bad : {std::nan(""), HUGE_VAL, -HUGE_VAL}) {
    toy_.scale = bad;
    ExpectNames(Check(), StatusCode::kInvalidArgument, "scale", "not finite");
  }
  toy_.scale = 0;
  toy_.lengths = {};
  ExpectNames(Check(), StatusCode::kNullArgument, "lengths", "absent");
  toy_.lengths = std::vector<int64_t>();
  EXPECT_TRUE(Check().ok()) << "an empty list is given: " << Check().message();
}

TEST_F(Contracts, LimitsHoldOnlyWithStrict) {
  toy_.a = {memory_, DType::kFloat16, {5, 3}};
  toy_.b = {memory_ + 512, DType::kFloat16, {3, 6}};
  toy_.out = {memory_ + 1536, DType::kFloat16, {5, 3}};
  toy_.mask = toy_.sums = {};
  EXPECT_TRUE(Check().ok()) << Check().message();
  toy_.strict = true;
  ExpectNames(Check(), StatusCode::kInvalidArgument, "a", "N = 3");
  EXPECT_NE(Check().message().find("a multiple of 2"), std::string::npos) << Check().message();
}

TEST_F(Contracts, RulesOfSingleArgumentsHoldOnlyWithStrict) {
  using Presence = base::StrictRule::Presence;
  const TensorSpec spec = {
      .shape = "*, N", .doc = "t", .dtypes = {DType::kFloat16, DType::kBool, DType::kUInt8}};
  const Contract contract =
      ContractBuilder<Toy>("toy", "rules", "none")
          .Input("a", &Toy::a, spec)
          .ContiguousInStrict()
          .OptionalInput("b", &Toy::b, spec)
          .InStrict({.presence = Presence::kNone})
          .OptionalInput("mask", &Toy::mask, spec)
          .InStrict({.presence = Presence::kRequired, .dtypes = {DType::kBool}})
          .Optional("scale", &Toy::scale, "a number")
          .InStrict({.default_only = true})
          .Choice("layout", &Toy::layout, {"flat", "deep"}, "a choice")
          .InStrict({.default_only = true})
          .Optional("extra", &Toy::extra, "a list")
          .InStrict({.presence = Presence::kRequired})
          .Optional("strict", &Toy::strict, "limits")
          .Build();
  Toy fine = toy_;
  fine.b = {};
  fine.extra = {2, 5};
  const auto refuses = [&](void (*change)(Toy*), const char* argument) {
    Toy toy = fine;
    change(&toy);
    EXPECT_TRUE(contract.CheckLimits(&toy, {}).ok()) << argument << " without strict";
    toy.strict = true;
    const Status status = contract.CheckLimits(&toy, {});
    ExpectNames(status, StatusCode::kInvalidArgument, argument, argument);
    EXPECT_NE(status.message().find("expected (strict) "), std::string::npos) << status.message();
  };
  const auto allows = [&](void (*change)(Toy*)) {
    Toy toy = fine;
    change(&toy);
    toy.strict = true;
    EXPECT_TRUE(contract.CheckLimits(&toy, {}).ok()) << contract.CheckLimits(&toy, {}).message();
  };
  allows([](Toy*) {});
  refuses([](Toy* toy) { toy->a.strides[0] = 5; }, "a");
  refuses([](Toy* toy) { toy->a.strides[0] = 0; }, "a");
  refuses([](Toy* toy) { toy->a.strides[1] = 2; }, "a");
  allows([](Toy* toy) { toy->a.shape[0] = 1, toy->a.strides[0] = 77; });
  allows([](Toy* toy) { toy->a.shape[1] = 0, toy->a.strides[0] = 77; });
  refuses([](Toy* toy) { toy->b = toy->a; }, "b");
  refuses([](Toy* toy) { toy->mask = {}; }, "mask");
  refuses([](Toy* toy) { toy->mask.dtype = DType::kUInt8; }, "mask");
  allows([](Toy* toy) { toy->mask.strides[0] = 9; });
  refuses([](Toy* toy) { toy->scale = std::nextafter(toy->scale, 1.0); }, "scale");
  refuses([](Toy* toy) { toy->layout = Layout::kDeep; }, "layout");
  refuses([](Toy* toy) { toy->extra = {}; }, "extra");
}

TEST_F(Contracts, LimitOnAProductThatOverflowsIsBroken) {
  Dims dims;
  dims.Set("T", kHuge);
  dims.Set("N", 4);
  toy_.strict = true;
  ExpectNames(ToyContract().CheckLimits(&toy_, dims), StatusCode::kInvalidArgument, "a", "T * N");
  int64_t value = 0;
  EXPECT_TRUE(ToyContract().Evaluate("T * N", &toy_, dims, &value));
  EXPECT_EQ(value, std::numeric_limits<int64_t>::max());
  EXPECT_FALSE(ToyContract().Evaluate("T * unknown", &toy_, dims, &value));
}

// A tensor that is updated in place, shapes by the rank of one tensor, and rows of one output's
// own.
struct Cache {
  TensorView x = {};
  OutputView cache = {};
  bool strict = false;
  OutputView out = {};
};

const Contract& CacheContract() {
  static const Contract kContract =
      ContractBuilder<Cache>("cache", "", "")
          .Input("x", &Cache::x,
                 {.dtypes = {DType::kFloat16}, .forms = {{"TH", "T, H"}, {"BSH", "B, S1, H"}}})
          .InOut("cache", &Cache::cache,
                 {.shape = "pages, size, H",
                  .dtypes = {DType::kFloat16, DType::kFloat32},
                  .row_dims = {{"", 2}}})
          .Optional("strict", &Cache::strict, "")
          .Output("out", &Cache::out,
                  {.dtype_as = "x", .forms = {{"TH", "T, 2 * H"}, {"BSH", "B, S1, 2 * H"}}})
          .LayoutByRank("x")
          .RowDims({{"TH", 1}, {"BSH", 2}})
          .Build();
  return kContract;
}

class CacheContracts : public testing::Test {
 protected:
  CacheContracts() {
    cache_.x = {memory_, DType::kFloat16, {6, 4}};
    cache_.cache = {memory_ + 256, DType::kFloat32, {3, 2, 4}};
    cache_.out = {memory_ + 1024, DType::kFloat16, {6, 8}};
  }
  Status Check() const {
    Dims dims;
    TAMIS_RETURN_IF_ERROR(CacheContract().CheckInputs(&cache_, &dims));
    return CacheContract().CheckOutputs(&cache_, dims);
  }
  int RowDims(const char* name) const {
    return CacheContract().RowDimsOf(*CacheContract().Find(name), &cache_);
  }

  alignas(64) unsigned char memory_[2048] = {};
  Cache cache_;
};

TEST_F(CacheContracts, TheRankOfATensorSelectsTheForms) {
  EXPECT_TRUE(Check().ok()) << Check().message();
  EXPECT_EQ(RowDims("out"), 1);
  cache_.x = {memory_, DType::kFloat16, {2, 3, 4}};
  ExpectNames(Check(), StatusCode::kInvalidArgument, "out", "B, S1, 2 * H");
  cache_.out = {memory_ + 1024, DType::kFloat16, {2, 3, 8}};
  EXPECT_TRUE(Check().ok()) << Check().message();
  EXPECT_EQ(RowDims("out"), 2);
  EXPECT_EQ(RowDims("cache"), 2);
  cache_.x = {memory_, DType::kFloat16, {4}};
  ExpectNames(Check(), StatusCode::kInvalidArgument, "x", "no form has rank 1");
}

TEST_F(CacheContracts, ATensorUpdatedInPlaceIsBothInputAndOutput) {
  const Field& field = *CacheContract().Find("cache");
  EXPECT_TRUE(field.is_input() && field.is_output() && field.is_required());
  const Cache sound = cache_;
  cache_.cache = {};
  ExpectNames(Check(), StatusCode::kNullArgument, "cache", "absent");
  cache_ = sound;
  cache_.cache.dtype = DType::kInt32;
  ExpectNames(Check(), StatusCode::kInvalidArgument, "cache", "another dtype");
  cache_ = sound;
  cache_.cache.shape[2] = 5;
  ExpectNames(Check(), StatusCode::kInvalidArgument, "cache", "another width than x");
  cache_ = sound;
  cache_.cache.strides[0] = 4;
  ExpectNames(Check(), StatusCode::kInvalidArgument, "cache", "pages that share elements");
  cache_ = sound;
  cache_.x.data = memory_ + 256;
  ExpectNames(Check(), StatusCode::kInvalidArgument, "cache", "memory of x");
}

}  // namespace
}  // namespace tamis::base
