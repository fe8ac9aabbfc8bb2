// tamis verify: runs a case and judges its outputs.
#include <CLI/CLI.hpp>
#include <cmath>
#include <cstdio>
#include <memory>
#include <optional>

#include "base/dtype.h"
#include "base/errors.h"
#include "registry/compare.h"
#include "tools/tamis/case.h"
#include "tools/tamis/command.h"
#include "tools/tamis/options.h"
#include "tools/tamis/progress.h"
#include "tools/tamis/text.h"

namespace tamis::tools {
namespace {

struct VerifyOptions {
  std::string path;
  std::string against;
  int64_t rows = 256;
  std::optional<double> rtol;
  std::optional<double> atol;
  ContextOptions context;
};

struct Judged {
  const char* against;
  registry::OutputComparison comparison;
};

std::string Report(const std::vector<Judged>& judged) {
  std::vector<std::vector<std::string>> rows = {{"output", "dtype", "against", ">rows",
                                                 ">max error", ">of tolerance", ">swapped",
                                                 ">mismatches", "verdict"}};
  std::string details;
  for (const auto& [against, c] : judged) {
    rows.push_back({c.output, std::string(base::Name(c.dtype)), against, std::to_string(c.rows),
                    Number(c.max_error), Number(c.max_ratio), std::to_string(c.swapped),
                    std::to_string(c.mismatches), c.ok() ? "agrees" : "DIFFERS"});
    if (!c.ok()) details += c.output + ": " + c.first_mismatch + "\n";
  }
  return Table(rows) + (details.empty() ? "" : "\n" + details);
}

Status CheckTolerance(const char* option, const std::optional<double>& value) {
  if (value && (!std::isfinite(*value) || *value < 0))
    return base::Invalid(option, "a number of at least 0", Number(*value));
  return Status::Ok();
}

// Which outputs the case's own results judge; the reference judges the others.
Result<registry::Expected> ChooseExpected(const VerifyOptions& options, const CaseData& data,
                                          const registry::Call& call) {
  registry::Expected expected = ExpectedViews(data);
  TAMIS_RETURN_IF_ERROR(registry::CheckExpected(call.op(), call.params(), expected));
  if (options.against == "reference") expected.clear();
  if (options.against == "expected" && expected.empty())
    return base::Invalid("--against expected", "tensors named expected.<output> in the case",
                         "none");
  return expected;
}

Status Judge(const VerifyOptions& options, const registry::Call& call,
             const registry::Expected& expected, int32_t threads, std::vector<Judged>* judged) {
  std::optional<registry::Tolerance> tolerance;
  if (options.rtol || options.atol)
    tolerance = registry::Tolerance{options.rtol.value_or(0), options.atol.value_or(0)};
  ProgressLine progress("comparing");
  const auto update = [&](int64_t done, int64_t total) { progress.Update(done, total); };
  const auto with_expected =
      registry::CompareWithExpected(call.op(), call.params(), expected, threads, tolerance, update);
  if (!with_expected.ok()) return with_expected.status();
  for (const auto& c : *with_expected) judged->push_back({"expected", c});
  size_t outputs = 0;
  for (const base::Field& field : call.contract().fields) outputs += field.is_output() ? 1 : 0;
  if (options.against == "expected" || expected.size() == outputs) return Status::Ok();
  const Result<int64_t> rows = registry::CountRows(call.op(), call.params());
  if (!rows.ok()) return rows.status();
  const auto with_reference = registry::CompareWithReference(
      call.op(), call.params(), registry::SpreadRows(*rows, options.rows), threads, tolerance,
      update);
  if (!with_reference.ok()) return with_reference.status();
  for (const auto& c : *with_reference) {
    bool known = false;
    for (const auto& [name, view] : expected) known = known || name == c.output;
    if (!known) judged->push_back({"reference", c});
  }
  return Status::Ok();
}

Result<int> RunVerify(const VerifyOptions& options) {
  if (!options.against.empty() && options.against != "expected" && options.against != "reference")
    return base::Invalid("--against", "expected or reference", options.against);
  if (options.rows < 1) return base::Invalid("--rows", "at least 1", options.rows);
  TAMIS_RETURN_IF_ERROR(CheckTolerance("--rtol", options.rtol));
  TAMIS_RETURN_IF_ERROR(CheckTolerance("--atol", options.atol));
  const Result<Context> context = options.context.Resolve();
  if (!context.ok()) return context.status();
  const Result<CaseData> data = ReadCase(options.path);
  if (!data.ok()) return data.status();
  Result<registry::Call> call = BuildCall(*data);
  if (!call.ok()) return call.status();
  const Result<registry::Expected> expected = ChooseExpected(options, *data, *call);
  if (!expected.ok()) return expected.status();
  const Result<Outputs> outputs = AllocateOutputs(&*call);
  if (!outputs.ok()) return outputs.status();
  const Result<Plan> plan = call->MakePlan(*context);
  if (!plan.ok()) return plan.status();
  TAMIS_RETURN_IF_ERROR(plan->run());
  std::vector<Judged> judged;
  TAMIS_RETURN_IF_ERROR(Judge(options, *call, *expected, context->threads, &judged));
  bool agrees = true;
  for (const Judged& j : judged) agrees = agrees && j.comparison.ok();
  std::printf("%s\n%s\n", Report(judged).c_str(), plan->explanation().c_str());
  return agrees ? kDone : kComparisonFailed;
}

}  // namespace

void AddVerify(CLI::App& app, Action* action) {
  auto options = std::make_shared<VerifyOptions>();
  CLI::App* command =
      app.add_subcommand("verify", "Run a case and compare: exit code 1 where outputs differ");
  command->add_option("case", options->path, "A case file")->required();
  command->add_option("--against", options->against,
                      "expected or reference (default: expected where the case has it)");
  command->add_option("--rows", options->rows, "Rows to compare with the reference")
      ->capture_default_str();
  command->add_option("--rtol", options->rtol, "Instead of the bounds: relative tolerance");
  command->add_option("--atol", options->atol, "Instead of the bounds: absolute tolerance");
  options->context.AddTo(command, true);
  command->callback([=] { *action = [=] { return RunVerify(*options); }; });
}

}  // namespace tamis::tools
