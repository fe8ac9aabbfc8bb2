#include <map>
#include <span>

#include "base/cpu_features.h"
#include "tests/fuzz/targets.h"
#include "tests/support/allocations.h"
#include "tests/support/hostile.h"
#include "tests/support/random_calls.h"

namespace tamis::fuzz {
namespace {

using Outcome = test::Verdict::Outcome;

struct Count {
  int64_t sound = 0;
  int64_t refused = 0;
  int64_t agreed = 0;
  int64_t not_run = 0;
};

std::map<std::string, Count>& Counts() {
  static auto* const kCounts = new std::map<std::string, Count>;
  return *kCounts;
}

void CountIn(Outcome outcome, bool changed, Count* count) {
  if (!changed)
    ++count->sound;
  else if (outcome == Outcome::kRefused)
    ++count->refused;
  else if (outcome == Outcome::kAgreed)
    ++count->agreed;
  else
    ++count->not_run;
}

// One change of some argument, or none where the argument is not there.
std::string Change(test::CCall* call, test::Random* random, const test::Manner& manner, bool last,
                   test::Verdict* verdict) {
  const std::vector<base::Field>& fields = call->contract().fields;
  const base::Field& field =
      fields[static_cast<size_t>(random->Below(static_cast<int64_t>(fields.size())))];
  const std::vector<test::Change> changes = test::HostileChanges(*call, field);
  if (changes.empty()) {
    if (last) *verdict = test::Judge(call, manner);
    return field.name + " stays";
  }
  const test::Change& change =
      changes[static_cast<size_t>(random->Below(static_cast<int64_t>(changes.size())))];
  if (last) {
    *verdict = test::JudgeChange(call, field, change, manner);
  } else {
    change.apply(call);
  }
  return field.name + ": " + change.what;
}

}  // namespace

std::string TryCall(const uint8_t* bytes, size_t size) {
  const test::LargestAllocation largest(kLargestAllocation);
  test::Random random(bytes, size);
  const std::span<const base::Operator> operators = registry::Operators();
  const base::Operator& op =
      operators[static_cast<size_t>(random.Below(static_cast<int64_t>(operators.size())))];
  const std::vector<Level> levels = base::AvailableLevels();
  test::Manner manner;
  manner.threads = static_cast<int32_t>(random.Between(1, 3));
  manner.level = levels[static_cast<size_t>(random.Below(static_cast<int64_t>(levels.size())))];
  if (random.Below(8) == 0) manner.implementation = Implementation::kReference;
  const bool changed = random.Below(2) == 0;
  test::TestCall source = test::RandomCall(op, &random);
  if (const auto laid = source.WithOutputs(); !laid.ok())
    return op.contract->name + " refuses a sound call: " + laid.status().message();
  test::CCall call(&source);
  test::Verdict verdict;
  std::string what = "a sound call";
  if (changed) {
    what = Change(&call, &random, manner, true, &verdict);
  } else {
    verdict = test::Judge(&call, manner);
    if (verdict.failure.empty() && verdict.outcome == Outcome::kRefused)
      verdict.failure = "refused: " + verdict.line;
  }
  CountIn(verdict.outcome, changed, &Counts()[op.contract->name]);
  if (verdict.failure.empty()) return {};
  return op.contract->name + ", " + what + ": " + verdict.failure;
}

std::string Tried() {
  std::string lines;
  for (const auto& [name, count] : Counts()) {
    lines += name + ": " + std::to_string(count.sound) + " sound calls agreed; of changed calls " +
             std::to_string(count.refused) + " refused, " + std::to_string(count.agreed) +
             " agreed, " + std::to_string(count.not_run) + " planned only\n";
  }
  return lines;
}

}  // namespace tamis::fuzz
