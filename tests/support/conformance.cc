#include "tests/support/conformance.h"

#include <algorithm>
#include <numeric>

#include "base/cpu_features.h"
#include "registry/compare.h"
#include "tests/support/levels.h"

namespace tamis::test {
namespace {

std::string Differing(const registry::OutputComparison& c) {
  return c.output + ": " + std::to_string(c.mismatches) + " of " + std::to_string(c.elements) +
         " differ; " + c.first_mismatch;
}

std::vector<int64_t> AllRows(const registry::Call& call) {
  const Result<int64_t> count = registry::CountRows(call.op(), call.params());
  std::vector<int64_t> rows(count.ok() ? static_cast<size_t>(*count) : 0);
  std::iota(rows.begin(), rows.end(), 0);
  return rows;
}

// Copies a row (leading dimensions flattened) of one image of a tensor's memory into another.
void CopyRow(const TensorView& view, int row_dims, int64_t row,
             const std::vector<unsigned char>& from, std::vector<unsigned char>* to) {
  const int64_t item = base::ItemSize(view.dtype);
  const int64_t origin =
      static_cast<const unsigned char*>(view.data) - from.data();  // the view's first element
  int64_t elems = 1;
  for (int i = row_dims; i < view.rank; ++i) elems *= view.shape[i];
  for (int64_t e = 0; e < elems; ++e) {
    int64_t index = row * elems + e;
    int64_t offset = 0;
    for (int i = view.rank - 1; i >= 0; --i) {
      offset += index % view.shape[i] * view.strides[i];
      index /= view.shape[i];
    }
    const auto at = static_cast<size_t>(origin + offset * item);
    std::copy_n(from.begin() + static_cast<ptrdiff_t>(at), item,
                to->begin() + static_cast<ptrdiff_t>(at));
  }
}

// Tensors that the call updates in place keep every byte outside the rows that the reference names.
void ExpectUnchangedElsewhere(TestCall& call, const registry::Call& made) {
  base::Golden golden;
  golden.rows = AllRows(made);
  ASSERT_TRUE(made.op().reference(made.params(), 1, &golden).ok());
  size_t index = 0;
  for (const base::Field& field : made.contract().fields) {
    if (!field.is_output()) continue;
    const base::GoldenOutput& output = golden.outputs[index++];
    if (!field.is_updated() || base::Contract::tensor(made.params(), field).absent()) continue;
    const TestCall::Memory& memory = call.memory(field.name);
    std::vector<unsigned char> expected = memory.before;
    for (const int64_t row : output.rows) {
      if (row >= 0)
        CopyRow(memory.view, made.contract().RowDimsOf(field, made.params()), row, memory.bytes,
                &expected);
    }
    EXPECT_TRUE(memory.bytes == expected)
        << field.name << " changed where nothing was to be written";
  }
}

// The reference of one call, computed once and compared with what every level gives. It keeps
// nothing of an operator that updates tensors in place: what that reference reads has changed.
class RememberedReference {
 public:
  explicit RememberedReference(const base::Operator& op) : op_(op), outer_(current_) {
    const std::vector<base::Field>& fields = op.contract->fields;
    const bool updates = std::any_of(fields.begin(), fields.end(),
                                     [](const base::Field& f) { return f.is_updated(); });
    if (!updates) op_.reference = Recall;
    reference_ = op.reference;
    current_ = this;
  }
  ~RememberedReference() { current_ = outer_; }
  RememberedReference(const RememberedReference&) = delete;
  RememberedReference& operator=(const RememberedReference&) = delete;

  const base::Operator& op() const { return op_; }

 private:
  static constexpr size_t kMostElements = size_t{1} << 24;

  static Status Recall(const void* params, int32_t threads, base::Golden* golden) {
    for (const base::Golden& known : current_->known_) {
      if (known.rows == golden->rows) {
        *golden = known;
        return Status::Ok();
      }
    }
    const Status status = current_->reference_(params, threads, golden);
    size_t elements = 0;
    for (const base::GoldenOutput& output : golden->outputs) elements += output.value.size();
    if (status.ok() && current_->elements_ + elements <= kMostElements) {
      current_->elements_ += elements;
      current_->known_.push_back(*golden);
    }
    return status;
  }

  static thread_local RememberedReference* current_;  // a reference is a plain function
  base::Operator op_;
  Status (*reference_)(const void* params, int32_t threads, base::Golden* golden);
  RememberedReference* outer_;
  std::vector<base::Golden> known_;
  size_t elements_ = 0;
};

thread_local RememberedReference* RememberedReference::current_ = nullptr;

void ExpectAgrees(TestCall& call, const base::Operator& op, const Context& context) {
  Result<registry::Call> with_outputs = call.WithOutputs();
  ASSERT_TRUE(with_outputs.ok()) << with_outputs.status().message();
  Result<Plan> plan = with_outputs->MakePlan(context);
  ASSERT_TRUE(plan.ok()) << plan.status().message();
  SCOPED_TRACE(plan->explanation());
  // A workspace of exactly the stated size, so that the sanitizers see a step beyond it, full of
  // NaN, so that what is read before it is written shows.
  std::vector<unsigned char> workspace(static_cast<size_t>(plan->workspace_bytes()) + 63, 0xFF);
  const auto begin = (reinterpret_cast<uintptr_t>(workspace.data()) + 63) / 64 * 64;
  const Status status = plan->run(reinterpret_cast<void*>(begin), plan->workspace_bytes());
  ASSERT_TRUE(status.ok()) << status.message();
  const auto comparisons =
      registry::CompareWithReference(op, with_outputs->params(), AllRows(*with_outputs), 1);
  ASSERT_TRUE(comparisons.ok()) << comparisons.status().message();
  for (const registry::OutputComparison& c : *comparisons) EXPECT_TRUE(c.ok()) << Differing(c);
  const std::vector<base::Field>& fields = with_outputs->contract().fields;
  if (std::any_of(fields.begin(), fields.end(),
                  [](const base::Field& f) { return f.is_updated(); }))
    ExpectUnchangedElsewhere(call, *with_outputs);
}

void ExpectConformsAsIs(TestCall& call) {
  const Result<registry::Call> inputs = call.Inputs();
  ASSERT_TRUE(inputs.ok()) << inputs.status().message();
  const RememberedReference reference(inputs->op());
  ExpectAgrees(call, reference.op(), {.threads = 1, .implementation = Implementation::kReference});
  std::string levels;
  for (Level level : TestedLevels()) {
    levels += std::string(base::Name(level)) + " ";
    ExpectAgrees(call, reference.op(), {.threads = 1, .level = level});
    const Result<Outputs> one = call.Run({.threads = 1, .level = level});
    ASSERT_TRUE(one.ok()) << one.status().message();
    for (int32_t threads : {2, 7}) {
      const Result<Outputs> several = call.Run({.threads = threads, .level = level});
      ASSERT_TRUE(several.ok()) << several.status().message();
      EXPECT_TRUE(*one == *several)
          << threads << " threads differ from one at level " << base::Name(level);
    }
  }
  // For the line at the end of `dev test` that says what was tested.
  ::testing::Test::RecordProperty("levels", levels);
}

}  // namespace

void ExpectConforms(TestCall& call) {
  const Result<registry::Call> inputs = call.Inputs();
  ASSERT_TRUE(inputs.ok()) << inputs.status().message();
  if (inputs->contract().Find("accuracy") != nullptr) {
    SCOPED_TRACE("accuracy fp32");
    call.Set("accuracy", "fp32");
    ExpectConformsAsIs(call);
    call.Set("accuracy", "storage");
  }
  ExpectConformsAsIs(call);
}

void ExpectSameBytes(TestCall& a, TestCall& b) {
  for (Level level : TestedLevels()) {
    const Result<Outputs> of_a = a.Run({.level = level});
    const Result<Outputs> of_b = b.Run({.level = level});
    ASSERT_TRUE(of_a.ok()) << of_a.status().message();
    ASSERT_TRUE(of_b.ok()) << of_b.status().message();
    EXPECT_TRUE(*of_a == *of_b) << "at level " << base::Name(level);
  }
}

void ExpectRefused(TestCall& call, StatusCode code, const std::string& argument) {
  Result<registry::Call> made = call.WithOutputs();
  Status status = made.status();
  if (made.ok()) {
    Result<Plan> plan = made->MakePlan({});
    ASSERT_FALSE(plan.ok()) << "accepted; expected a complaint about " << argument;
    status = plan.status();
    EXPECT_TRUE(call.OutputsUntouched()) << "written although refused: " << status.message();
  }
  EXPECT_EQ(static_cast<int>(status.code()), static_cast<int>(code)) << status.message();
  EXPECT_EQ(status.message().rfind(argument, 0), 0u)
      << "expected a complaint about " << argument << ", got: " << status.message();
  EXPECT_EQ(status.message().find('\n'), std::string::npos);
}

}  // namespace tamis::test
