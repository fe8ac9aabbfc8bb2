// tamis verify: runs a case and judges its outputs.
#include <CLI/CLI.hpp>
#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstdio>
#include <memory>

#include "base/dtype.h"
#include "base/errors.h"
#include "registry/compare.h"
#include "tools/tamis/case.h"
#include "tools/tamis/command.h"
#include "tools/tamis/options.h"
#include "tools/tamis/progress.h"
#include "tools/tamis/verify_report.h"

namespace tamis::tools {
namespace {

using registry::Tolerance;
using registry::Tolerances;

struct VerifyOptions {
  std::string path;
  std::string against;
  int64_t rows = 256;
  std::vector<std::string> tolerances;
  std::string difference;
  bool json = false;
  bool strict = false;
  ContextOptions context;
};

constexpr char kTolerance[] = "--tolerance";

// A name, or a number where `number` allows one.
bool ParseTolerance(const std::string& text, bool number, Tolerance* tolerance) {
  for (const Tolerance::Kind kind :
       {Tolerance::Kind::kDevice, Tolerance::Kind::kFp32, Tolerance::Kind::kBits}) {
    *tolerance = {kind};
    if (tolerance->text() == text) return true;
  }
  tolerance->kind = Tolerance::Kind::kNumber;
  const char* const end = text.data() + text.size();
  const auto parsed = std::from_chars(text.data(), end, tolerance->number);
  return number && parsed.ec == std::errc() && parsed.ptr == end &&
         std::isfinite(tolerance->number) && tolerance->number >= 0;
}

// "device", "attention_out=fp32", "attention_out=1e-3".
Status ReadTolerances(const std::vector<std::string>& texts, const base::Contract& contract,
                      Tolerance::Kind otherwise, Tolerances* tolerances) {
  tolerances->all = {otherwise};
  bool given = false;
  for (const std::string& text : texts) {
    const size_t equals = text.find('=');
    Tolerance tolerance;
    if (equals == std::string::npos) {
      if (given || !ParseTolerance(text, false, &tolerance)) {
        return base::Invalid(kTolerance,
                             given ? "one for all outputs" : "device, fp32, bits or OUTPUT=NUMBER",
                             text);
      }
      tolerances->all = tolerance;
      given = true;
      continue;
    }
    const std::string output = text.substr(0, equals);
    const base::Field* field = contract.Find(output);
    if (field == nullptr || !field->is_output())
      return base::Invalid(kTolerance, "an output of " + contract.name, output);
    for (const auto& [name, known] : tolerances->own) {
      if (name == output) return base::Invalid(kTolerance, "one for " + output, text);
    }
    if (!ParseTolerance(text.substr(equals + 1), true, &tolerance)) {
      return base::Invalid(std::string(kTolerance) + " " + output,
                           "device, fp32, bits or a number of at least 0", text.substr(equals + 1));
    }
    tolerances->own.emplace_back(output, tolerance);
  }
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

Status JudgeByExpected(const VerifyOptions& options, const registry::Call& call,
                       const registry::Expected& expected, int32_t threads,
                       registry::CompareOptions how, std::vector<Judgement>* judged) {
  if (expected.empty()) return Status::Ok();
  TAMIS_RETURN_IF_ERROR(ReadTolerances(options.tolerances, call.contract(),
                                       Tolerance::Kind::kDevice, &how.tolerances));
  auto compared =
      registry::CompareWithExpected(call.op(), call.params(), expected, options.rows, threads, how);
  if (!compared.ok()) return compared.status();
  for (auto& c : *compared) judged->push_back({"expected", std::move(c)});
  return Status::Ok();
}

Status JudgeByReference(const VerifyOptions& options, const registry::Call& call,
                        const registry::Expected& expected, int32_t threads,
                        registry::CompareOptions how, std::vector<Judgement>* judged) {
  TAMIS_RETURN_IF_ERROR(
      ReadTolerances(options.tolerances, call.contract(), Tolerance::Kind::kFp32, &how.tolerances));
  size_t outputs = 0;
  for (const base::Field& field : call.contract().fields) outputs += field.is_output() ? 1 : 0;
  if (options.against == "expected" || expected.size() == outputs) return Status::Ok();
  const Result<int64_t> rows = registry::CountRows(call.op(), call.params());
  if (!rows.ok()) return rows.status();
  auto compared = registry::CompareWithReference(
      call.op(), call.params(), registry::SpreadRows(*rows, options.rows), threads, how);
  if (!compared.ok()) return compared.status();
  for (auto& c : *compared) {
    const bool known = std::any_of(expected.begin(), expected.end(),
                                   [&](const auto& e) { return e.first == c.output; });
    if (!known) judged->push_back({"reference", std::move(c)});
  }
  return Status::Ok();
}

// "attention_out.difference" in fp32, "attention_out.differs" as booleans.
Status WriteDifferences(const std::string& path, const CaseData& data,
                        std::vector<Judgement>* judged) {
  std::vector<StoredTensor> tensors;
  for (Judgement& j : *judged) {
    registry::OutputComparison& c = j.comparison;
    const auto elems = static_cast<int64_t>(c.difference.size());
    tensors.push_back({.name = c.output + ".difference",
                       .dtype = DType::kFloat32,
                       .shape = c.shape,
                       .data = c.difference.data(),
                       .bytes = elems * base::ItemSize(DType::kFloat32)});
    tensors.push_back({.name = c.output + ".differs",
                       .dtype = DType::kBool,
                       .shape = c.shape,
                       .data = c.differs.data(),
                       .bytes = elems});
  }
  ProgressLine progress("writing");
  return WriteSafetensors(path,
                          {{"tamis.op", data.op}, {"tamis.source", "tamis verify --difference"}},
                          tensors, [&](int64_t done, int64_t all) { progress.Update(done, all); });
}

Result<int> RunVerify(const VerifyOptions& options) {
  if (!options.against.empty() && options.against != "expected" && options.against != "reference")
    return base::Invalid("--against", "expected or reference", options.against);
  if (options.rows < 1) return base::Invalid("--rows", "at least 1", options.rows);
  const Result<Context> context = options.context.Resolve();
  if (!context.ok()) return context.status();
  if (!options.difference.empty()) TAMIS_RETURN_IF_ERROR(CheckWritable(options.difference));
  const Result<CaseData> data = ReadCase(options.path);
  if (!data.ok()) return data.status();
  Result<registry::Call> call = BuildCall(*data, options.strict);
  if (!call.ok()) return call.status();
  Tolerances tolerances;
  TAMIS_RETURN_IF_ERROR(
      ReadTolerances(options.tolerances, call->contract(), Tolerance::Kind::kFp32, &tolerances));
  const Result<registry::Expected> expected = ChooseExpected(options, *data, *call);
  if (!expected.ok()) return expected.status();
  const Result<Outputs> outputs = AllocateOutputs(&*call);
  if (!outputs.ok()) return outputs.status();
  const Result<Plan> plan = call->MakePlan(*context);
  if (!plan.ok()) return plan.status();
  TAMIS_RETURN_IF_ERROR(plan->run());

  std::vector<Judgement> judged;
  ProgressLine progress("comparing");
  registry::CompareOptions how;
  how.differences = !options.difference.empty();
  how.progress = [&](int64_t done, int64_t total) { progress.Update(done, total); };
  TAMIS_RETURN_IF_ERROR(JudgeByExpected(options, *call, *expected, context->threads, how, &judged));
  TAMIS_RETURN_IF_ERROR(
      JudgeByReference(options, *call, *expected, context->threads, how, &judged));
  progress.Clear();
  if (how.differences) TAMIS_RETURN_IF_ERROR(WriteDifferences(options.difference, *data, &judged));
  const std::string text = options.json ? VerifyJson(data->op, judged, plan->explanation())
                                        : VerifyText(judged) + "\n" + plan->explanation() + "\n";
  std::fputs(text.c_str(), stdout);
  const bool agrees = std::all_of(judged.begin(), judged.end(),
                                  [](const Judgement& j) { return j.comparison.ok(); });
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
  command
      ->add_option("--rows", options->rows, "Rows to compare with the reference, or to ask it for")
      ->capture_default_str();
  command
      ->add_option("--tolerance", options->tolerances,
                   "device (default against expected), fp32 (against the reference) or bits; "
                   "OUTPUT=device|fp32|bits|NUMBER for one output")
      ->expected(1)
      ->take_all();
  command->add_option("--difference", options->difference,
                      "A file to write: per output what it differs by, and where it is wrong");
  command->add_flag("--json", options->json, "One JSON object instead of text");
  command->add_flag("--strict", options->strict, "Also enforce the document's limits");
  options->context.AddTo(command, true);
  command->callback([=] { *action = [=] { return RunVerify(*options); }; });
}

}  // namespace tamis::tools
