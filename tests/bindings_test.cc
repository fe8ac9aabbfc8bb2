// Late binding: a plan made from shapes runs on the tensors that a run brings.
#include <gtest/gtest.h>

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

// Outputs of the second call have other strides, too.
TEST(Bindings, APlanOfShapesRunsOnTheTensorsOfEveryRun) {
  for (const base::Operator* op : AllOperators()) {
    for (uint64_t seed = 1; seed <= 12; ++seed) {
      TestCall alone = CallOf(*op, seed);
      const Result<Outputs> expected = alone.Run({});
      ASSERT_TRUE(expected.ok()) << expected.status().message();
      TestCall first = CallOf(*op, seed);
      const CCall shapes(&first);
      const CPlan plan(shapes);
      for (int64_t gap : {0, 3}) {
        TestCall source = CallOf(*op, seed);
        source.OutputGap(gap);
        if (gap > 0 && !source.Run({}).ok()) continue;  // strides that the operator refuses
        const CCall call(&source);
        ASSERT_EQ(plan.Run(call.tensors), TAMIS_OK)
            << op->contract->name << ": " << tamis_last_error();
        for (const auto& [name, bytes] : *expected) {
          EXPECT_TRUE(Same(ElementsOf(source, name), ElementsOf(alone, name)))
              << op->contract->name << "." << name << " from seed " << seed << ", gap " << gap;
        }
      }
    }
  }
}

TEST(Bindings, TheReferenceRunsOnThemToo) {
  tamis_context* context = nullptr;
  ASSERT_EQ(tamis_context_create(&context), TAMIS_OK);
  ASSERT_EQ(tamis_context_set_implementation(context, TAMIS_IMPLEMENTATION_REFERENCE), TAMIS_OK);
  for (const base::Operator* op : AllOperators()) {
    TestCall alone = CallOf(*op, 1);
    const Result<Outputs> expected = alone.Run({.implementation = Implementation::kReference});
    ASSERT_TRUE(expected.ok()) << expected.status().message();
    TestCall first = CallOf(*op, 1);
    const CPlan plan(CCall(&first), context);
    TestCall source = CallOf(*op, 1);
    const CCall call(&source);
    ASSERT_EQ(plan.Run(call.tensors), TAMIS_OK) << tamis_last_error();
    for (const auto& [name, bytes] : *expected)
      EXPECT_TRUE(source.memory(name).bytes == bytes) << op->contract->name << "." << name;
  }
  tamis_context_destroy(context);
}

TEST(Bindings, APlanOfShapesDoesNotRunWithoutThem) {
  for (const base::Operator* op : AllOperators()) {
    TestCall source = CallOf(*op, 2);
    const CPlan plan{CCall(&source)};
    bool any = false;  // has elements
    for (const tamis_named_tensor& tensor : CCall(&source).tensors) {
      int64_t elems = 1;
      for (int i = 0; i < tensor.tensor.rank; ++i) elems *= tensor.tensor.shape[i];
      any = any || (elems > 0 && !op->contract->Find(tensor.name)->read_by_plan);
    }
    EXPECT_EQ(tamis_plan_run(plan.get(), nullptr, 0, nullptr) == TAMIS_NULL_ARGUMENT, any)
        << op->contract->name << ": " << tamis_last_error();
  }
}

// One change of one tensor of a run; null: it does not apply.
struct Wrong {
  const char* what;
  bool (*apply)(std::vector<tamis_named_tensor>* tensors, size_t at);
};

int64_t ElemsOf(const tamis_tensor& tensor) {
  int64_t elems = 1;
  for (int i = 0; i < tensor.rank; ++i) elems *= tensor.shape[i];
  return elems;
}

const Wrong kWrongs[] = {
    {"absent",
     [](std::vector<tamis_named_tensor>* tensors, size_t at) {
       tensors->erase(tensors->begin() + static_cast<std::ptrdiff_t>(at));
       return true;
     }},
    {"of another dtype",
     [](std::vector<tamis_named_tensor>* tensors, size_t at) {
       tamis_dtype& dtype = (*tensors)[at].tensor.dtype;
       dtype = dtype == TAMIS_BOOL ? TAMIS_INT8 : TAMIS_BOOL;
       return true;
     }},
    {"a row less",
     [](std::vector<tamis_named_tensor>* tensors, size_t at) {
       tamis_tensor& tensor = (*tensors)[at].tensor;
       if (tensor.rank == 0 || tensor.shape[0] == 0) return false;
       --tensor.shape[0];
       return true;
     }},
    {"of another rank",
     [](std::vector<tamis_named_tensor>* tensors, size_t at) {
       tamis_tensor& tensor = (*tensors)[at].tensor;
       if (tensor.rank == 0) return false;
       --tensor.rank;
       return true;
     }},
    {"without memory",
     [](std::vector<tamis_named_tensor>* tensors, size_t at) {
       tamis_tensor& tensor = (*tensors)[at].tensor;
       if (ElemsOf(tensor) == 0) return false;
       tensor.data = nullptr;
       return true;
     }},
    {"misaligned",
     [](std::vector<tamis_named_tensor>* tensors, size_t at) {
       tamis_tensor& tensor = (*tensors)[at].tensor;
       if (ElemsOf(tensor) == 0 || base::ItemSize(static_cast<DType>(tensor.dtype)) == 1)
         return false;
       tensor.data = static_cast<char*>(tensor.data) + 1;
       return true;
     }},
    {"of a negative stride",
     [](std::vector<tamis_named_tensor>* tensors, size_t at) {
       tamis_tensor& tensor = (*tensors)[at].tensor;
       if (ElemsOf(tensor) == 0 || tensor.rank == 0 || tensor.shape[0] < 2) return false;
       tensor.strides[0] = -tensor.strides[0];
       return true;
     }},
    {"a stride beyond memory",
     [](std::vector<tamis_named_tensor>* tensors, size_t at) {
       tamis_tensor& tensor = (*tensors)[at].tensor;
       if (ElemsOf(tensor) == 0 || tensor.rank == 0 || tensor.shape[0] < 2) return false;
       tensor.strides[0] = int64_t{1} << 60;
       return true;
     }},
};

// Each tensor that a run brings, wrong in every way: refused by its name, nothing written.
TEST(Bindings, WrongOnesAreRefusedByNameAndNothingIsWritten) {
  int64_t tried = 0;
  for (const base::Operator* op : AllOperators()) {
    for (uint64_t seed : {3, 4}) {
      TestCall source = CallOf(*op, seed);
      const CCall call(&source);
      const CPlan plan(call);
      for (size_t i = 0; i < call.tensors.size(); ++i) {
        if (op->contract->Find(call.tensors[i].name)->read_by_plan) continue;
        for (const Wrong& wrong : kWrongs) {
          std::vector<tamis_named_tensor> tensors = call.tensors;
          if (!wrong.apply(&tensors, i)) continue;
          ++tried;
          EXPECT_NE(plan.Run(tensors), TAMIS_OK)
              << op->contract->name << "." << call.tensors[i].name << " " << wrong.what;
          EXPECT_EQ(ArgumentOf(tamis_last_error()), call.tensors[i].name) << tamis_last_error();
          EXPECT_TRUE(source.OutputsUntouched());
        }
      }
    }
  }
  EXPECT_GT(tried, 1000);
}

// Outputs that share memory with any tensor of the run.
TEST(Bindings, OutputsThatOverlapAreRefused) {
  int64_t tried = 0;
  for (const base::Operator* op : AllOperators()) {
    TestCall source = CallOf(*op, 5);
    const CCall call(&source);
    const CPlan plan(call);
    for (size_t i = 0; i < call.tensors.size(); ++i) {
      if (!op->contract->Find(call.tensors[i].name)->is_output()) continue;
      for (size_t k = 0; k < call.tensors.size(); ++k) {
        if (k == i || ElemsOf(call.tensors[i].tensor) == 0 || ElemsOf(call.tensors[k].tensor) == 0)
          continue;
        // Those are not looked at: the plan keeps what it has read.
        if (op->contract->Find(call.tensors[k].name)->read_by_plan) continue;
        std::vector<tamis_named_tensor> tensors = call.tensors;
        tensors[i].tensor.data = tensors[k].tensor.data;
        ++tried;
        EXPECT_EQ(plan.Run(tensors), TAMIS_INVALID_ARGUMENT) << op->contract->name;
        EXPECT_TRUE(source.OutputsUntouched());
      }
    }
  }
  EXPECT_GT(tried, 100);
}

TEST(Bindings, NamesThatAreNoTensorsAndParamsOfOthersAreRefused) {
  const std::vector<const base::Operator*> operators = AllOperators();
  TestCall source = CallOf(*operators[0], 1);
  const CCall call(&source);
  const CPlan plan(call);
  std::vector<tamis_named_tensor> tensors = call.tensors;
  tensors.push_back(tensors.back());
  EXPECT_EQ(plan.Run(tensors), TAMIS_INVALID_ARGUMENT);
  EXPECT_EQ(std::string(tamis_last_error()),
            std::string(tensors.back().name) + ": expected to be given once, got it twice");
  tensors.back().name = "strict";
  EXPECT_EQ(plan.Run(tensors), TAMIS_INVALID_ARGUMENT);
  EXPECT_EQ(ArgumentOf(tamis_last_error()), "strict");
  EXPECT_EQ(tamis_plan_run_by_name(nullptr, tensors.data(), 0, nullptr, 0, nullptr),
            TAMIS_NULL_ARGUMENT);

  const Result<registry::Call> other = source.WithOutputs();
  ASSERT_TRUE(other.ok());
  const Result<Plan> made = other->MakePlan({});
  ASSERT_TRUE(made.ok());
  const Status status = made->run(Bindings(other->params(), "merge_topk", 8));
  EXPECT_EQ(status.message().rfind("bindings: expected params of ", 0), 0u) << status.message();
}

// From inputs alone: the plan finds what the outputs are, and a run brings them.
TEST(Bindings, InferredOutputsAreTheOnesThatTheCallGives) {
  for (const base::Operator* op : AllOperators()) {
    for (uint64_t seed = 1; seed <= 6; ++seed) {
      SCOPED_TRACE(op->contract->name + " from seed " + std::to_string(seed));
      TestCall alone = CallOf(*op, seed);
      const Result<Outputs> expected = alone.Run({});
      ASSERT_TRUE(expected.ok()) << expected.status().message();
      TestCall source = CallOf(*op, seed);
      TestCall shapes = CallOf(*op, seed);
      TestCall others = CallOf(*op, seed);
      const CCall call(&source);
      CCall all(&shapes);     // every output inferred
      CCall wanted(&others);  // those that the call asks for
      for (const base::Field& field : op->contract->fields) {
        if (!field.is_output() || field.is_updated()) continue;
        tamis_tensor inferred = {};
        inferred.rank = TAMIS_INFERRED;
        all.Drop(field.name);
        all.tensors.push_back({field.name.c_str(), inferred});
        if (tamis_named_tensor* tensor = wanted.Tensor(field.name)) tensor->tensor = inferred;
      }
      tamis_output listed[8];
      int64_t count = 0;
      ASSERT_EQ(
          tamis_outputs_by_name(op->contract->name.c_str(), call.tensors.data(),
                                static_cast<int64_t>(call.tensors.size()), call.attributes.data(),
                                static_cast<int64_t>(call.attributes.size()), listed, 8, &count),
          TAMIS_OK);
      const CPlan plan_of_all(all);
      int64_t found = 0;
      for (const base::Field& field : op->contract->fields) {
        if (!field.is_output() || field.is_updated()) continue;
        tamis_tensor known = {};
        ASSERT_EQ(tamis_plan_tensor(plan_of_all.get(), field.name.c_str(), &known), TAMIS_OK);
        if (known.dtype == TAMIS_DTYPE_NONE) continue;
        ASSERT_LT(found, count);
        const tamis_output& output = listed[found++];
        EXPECT_EQ(output.name, field.name);
        EXPECT_EQ(output.dtype, known.dtype);
        ASSERT_EQ(output.rank, known.rank);
        for (int i = 0; i < known.rank; ++i) EXPECT_EQ(output.shape[i], known.shape[i]);
      }
      EXPECT_EQ(found, count);
      const CPlan plan(wanted);
      ASSERT_EQ(plan.Run(call.tensors), TAMIS_OK) << tamis_last_error();
      for (const auto& [name, bytes] : *expected)
        EXPECT_TRUE(Same(ElementsOf(source, name), ElementsOf(alone, name))) << name;
    }
  }
}

TEST(Bindings, APlanTellsOfItsTensorsAndOfNoOthers) {
  TestCall source = CallOf(*AllOperators()[0], 1);
  const CPlan plan{CCall(&source)};
  tamis_tensor tensor = {};
  EXPECT_EQ(tamis_plan_tensor(nullptr, "input", &tensor), TAMIS_NULL_ARGUMENT);
  EXPECT_EQ(tamis_plan_tensor(plan.get(), nullptr, &tensor), TAMIS_NULL_ARGUMENT);
  EXPECT_EQ(tamis_plan_tensor(plan.get(), "input", nullptr), TAMIS_NULL_ARGUMENT);
  EXPECT_EQ(tamis_plan_tensor(plan.get(), "strict", &tensor), TAMIS_INVALID_ARGUMENT);
  EXPECT_EQ(ArgumentOf(tamis_last_error()), "name");
}

TEST(Bindings, ARunAllocatesNothing) {
  for (const base::Operator* op : AllOperators()) {
    TestCall source = CallOf(*op, 6);
    const CCall call(&source);
    tamis_context* context = nullptr;
    ASSERT_EQ(tamis_context_create(&context), TAMIS_OK);
    ASSERT_EQ(tamis_context_set_threads(context, 1), TAMIS_OK);
    const CPlan plan(call, context);
    tamis_context_destroy(context);
    ASSERT_EQ(plan.Run(call.tensors), TAMIS_OK) << tamis_last_error();  // makes the workspace
    const FailingAllocation next(0);
    EXPECT_EQ(plan.Run(call.tensors), TAMIS_OK) << op->contract->name << tamis_last_error();
    EXPECT_FALSE(next.failed()) << op->contract->name;
  }
}

}  // namespace
}  // namespace tamis::test
