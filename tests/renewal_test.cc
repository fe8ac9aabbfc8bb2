// Renewal: a plan that gets new integers is the plan that they would have made.
#include <gtest/gtest.h>

#include <bit>
#include <cstring>
#include <string>
#include <vector>

#include "tests/support/allocations.h"
#include "tests/support/c_call.h"
#include "tests/support/c_plan.h"
#include "tests/support/random_calls.h"

namespace tamis::test {
namespace {

TestCall CallOf(const base::Operator& op, uint64_t seed) {
  Random random(seed);
  return RandomCall(op, &random);
}

// An integer of a tensor or list, whatever its width.
struct Integer {
  void* at;
  int bytes;

  int64_t Get() const {
    int64_t value = 0;
    if (bytes == 8) {
      std::memcpy(&value, at, 8);
    } else {
      int32_t narrow = 0;
      std::memcpy(&narrow, at, 4);
      value = narrow;
    }
    return value;
  }
  void Set(int64_t value) const {
    const auto narrow = static_cast<int32_t>(value);
    std::memcpy(at, bytes == 8 ? static_cast<const void*>(&value) : &narrow,
                static_cast<size_t>(bytes));
  }
};

// The tensor that plans read, or list, in memory of the call's own; and its integers.
std::vector<std::vector<Integer>> OwnIntegers(CCall* call) {
  std::vector<std::vector<Integer>> found;
  for (tamis_named_tensor& named : call->tensors) {
    if (!call->contract().Find(named.name)->read_by_plan) continue;
    const TensorView view = std::bit_cast<TensorView>(named.tensor);
    int64_t elems = 1;
    for (int i = 0; i < view.rank; ++i) elems *= view.shape[i];
    if (elems == 0) continue;
    const auto bytes = static_cast<int>(base::ItemSize(view.dtype));
    int64_t extent = 1;
    for (int i = 0; i < view.rank; ++i) extent += (view.shape[i] - 1) * view.strides[i];
    auto* const memory =
        static_cast<char*>(call->Memory(static_cast<size_t>(extent * bytes), 0xFF));
    std::memcpy(memory, view.data, static_cast<size_t>(extent * bytes));
    named.tensor.data = memory;
    std::vector<Integer>& integers = found.emplace_back();
    for (int64_t i = 0; i < elems; ++i)
      integers.push_back({memory + OffsetOf(view, i) * bytes, bytes});
  }
  for (tamis_named_attribute& attribute : call->attributes) {
    if (attribute.type != TAMIS_ATTRIBUTE_INTS || attribute.value.as_ints.size == 0) continue;
    tamis_int_list& list = attribute.value.as_ints;
    list = call->List(std::vector<int64_t>(list.data, list.data + list.size));
    std::vector<Integer>& integers = found.emplace_back();
    for (int64_t i = 0; i < list.size; ++i)
      integers.push_back({const_cast<int64_t*>(list.data) + i, 8});
  }
  return found;
}

// Values of one tensor or list change, or change places; sometimes to what no call may have.
void Change(std::vector<std::vector<Integer>>* all, Random* random) {
  std::vector<Integer>& integers =
      (*all)[static_cast<size_t>(random->Below(static_cast<int64_t>(all->size())))];
  const auto any = [&] {
    return integers[static_cast<size_t>(random->Below(static_cast<int64_t>(integers.size())))];
  };
  const Integer one = any();
  switch (random->Below(3)) {
    case 0: {
      const Integer other = any();
      const int64_t value = one.Get();
      one.Set(other.Get());
      return other.Set(value);
    }
    case 1: return one.Set(one.Get() + random->Between(-2, 2));
    default: return one.Set(random->Below(4) == 0 ? random->Between(-2, 1000) : one.Get() / 2);
  }
}

std::string RunOf(const CPlan& plan, CCall* call, std::vector<std::vector<double>>* elements) {
  elements->clear();
  const tamis_status status = plan.Run(call->tensors);
  if (status != TAMIS_OK) return tamis_last_error();
  for (const base::Field& field : call->contract().fields) {
    if (field.is_output() && call->Tensor(field.name) != nullptr)
      elements->push_back(ElementsOf(call->source(), field.name));
  }
  return {};
}

// Integers as drawn: what planning refuses, renewal refuses with the same line; else a run has the
// same bits. A refused plan runs again when it is renewed with what it had.
TEST(Renewal, IsPlanningAnewWithTheNewIntegers) {
  int64_t renewed = 0;
  int64_t refused = 0;
  for (const base::Operator* op : AllOperators()) {
    for (uint64_t seed = 1; seed <= 12; ++seed) {
      TestCall source = CallOf(*op, seed);
      CCall call(&source);
      std::vector<std::vector<Integer>> integers = OwnIntegers(&call);
      if (integers.empty()) continue;
      CPlan plan(call);
      Random random(1000 + seed);
      for (int change = 0; change < 20; ++change) {
        SCOPED_TRACE(op->contract->name + " from seed " + std::to_string(seed) + ", change " +
                     std::to_string(change));
        std::vector<int64_t> before;
        for (const auto& list : integers) {
          for (const Integer& integer : list) before.push_back(integer.Get());
        }
        Change(&integers, &random);
        tamis_plan* anew = nullptr;
        const tamis_status planned = call.Plan(nullptr, &anew);
        const std::string line = planned == TAMIS_OK ? "" : tamis_last_error();
        const tamis_status status = plan.Renew(call);
        EXPECT_EQ(status, planned) << line << "\n"
                                   << (status == TAMIS_OK ? "" : tamis_last_error());
        if (planned != TAMIS_OK) {
          ++refused;
          if (status != TAMIS_OK) {
            EXPECT_EQ(std::string(tamis_last_error()), line);
          }
          EXPECT_NE(plan.Run(call.tensors), TAMIS_OK);
          EXPECT_EQ(ArgumentOf(tamis_last_error()), "plan");
          size_t i = 0;
          for (const auto& list : integers) {
            for (const Integer& integer : list) integer.Set(before[i++]);
          }
          ASSERT_EQ(plan.Renew(call), TAMIS_OK) << tamis_last_error();
          continue;
        }
        ++renewed;
        EXPECT_EQ(tamis_plan_workspace_bytes(plan.get()), tamis_plan_workspace_bytes(anew));
        EXPECT_STREQ(tamis_plan_explanation(plan.get()), tamis_plan_explanation(anew));
        std::vector<std::vector<double>> got;
        std::vector<std::vector<double>> want;
        ASSERT_EQ(tamis_plan_run(anew, nullptr, 0, nullptr), TAMIS_OK) << tamis_last_error();
        tamis_plan_destroy(anew);
        for (const base::Field& field : op->contract->fields) {
          if (field.is_output() && call.Tensor(field.name) != nullptr)
            want.push_back(ElementsOf(source, field.name));
        }
        int32_t changed = 1;
        ASSERT_EQ(plan.Renew(call, &changed), TAMIS_OK) << tamis_last_error();
        EXPECT_EQ(changed, 0);
        // The plan keeps what it has read: its tensors may change, or go.
        std::vector<int64_t> now;
        for (const auto& list : integers) {
          for (const Integer& integer : list) {
            now.push_back(integer.Get());
            integer.Set(-77);
          }
        }
        EXPECT_EQ(RunOf(plan, &call, &got), "");
        size_t at = 0;
        for (const auto& list : integers) {
          for (const Integer& integer : list) integer.Set(now[at++]);
        }
        ASSERT_EQ(got.size(), want.size());
        for (size_t i = 0; i < got.size(); ++i) EXPECT_TRUE(Same(got[i], want[i])) << i;
      }
    }
  }
  EXPECT_GT(renewed, 500);
  EXPECT_GT(refused, 200);
}

// Shapes, dtypes and presence are the plan's: refused before anything has changed, so it runs on.
TEST(Renewal, OtherShapesAreRefusedAndThePlanIsAsItWas) {
  int64_t tried = 0;
  for (const base::Operator* op : AllOperators()) {
    for (uint64_t seed = 1; seed <= 4; ++seed) {
      TestCall source = CallOf(*op, seed);
      CCall call(&source);
      CPlan plan(call);
      for (size_t i = 0; i < call.tensors.size(); ++i) {
        if (!op->contract->Find(call.tensors[i].name)->read_by_plan) continue;
        CCall other(&source);
        tamis_tensor& tensor = other.tensors[i].tensor;
        if (tensor.rank == 0 || tensor.shape[0] == 0) continue;
        ++tried;
        --tensor.shape[0];
        EXPECT_EQ(plan.Renew(other), TAMIS_INVALID_ARGUMENT);
        EXPECT_EQ(ArgumentOf(tamis_last_error()), call.tensors[i].name) << tamis_last_error();
        ++tensor.shape[0];
        tensor.dtype = TAMIS_FLOAT32;
        EXPECT_NE(plan.Renew(other), TAMIS_OK);
        other.Drop(call.tensors[i].name);
        EXPECT_EQ(plan.Renew(other), TAMIS_NULL_ARGUMENT);
        CCall again(&source);
        EXPECT_EQ(plan.Run(again.tensors), TAMIS_OK) << tamis_last_error();
      }
    }
  }
  EXPECT_GT(tried, 30);
}

// Of the operators whose integers all are tensors; copies of lists are the C interface's.
TEST(Renewal, AllocatesNothing) {
  for (const base::Operator* op : AllOperators()) {
    TestCall source = CallOf(*op, 6);
    const Result<registry::Call> call = source.WithOutputs();
    ASSERT_TRUE(call.ok());
    Result<Plan> plan = call->MakePlan({.threads = 2});
    ASSERT_TRUE(plan.ok()) << plan.status().message();
    const Bindings integers(call->params(), op->contract->name.c_str(), op->contract->params_size);
    const FailingAllocation next(0);
    EXPECT_TRUE(plan->renew(integers).ok()) << op->contract->name;
    EXPECT_FALSE(next.failed()) << op->contract->name;
  }
}

}  // namespace
}  // namespace tamis::test
