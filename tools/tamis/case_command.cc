// tamis case new, tamis case show.
#include <CLI/CLI.hpp>
#include <cstdio>
#include <memory>

#include "base/dtype.h"
#include "base/errors.h"
#include "registry/registry.h"
#include "tools/tamis/case.h"
#include "tools/tamis/command.h"
#include "tools/tamis/example.h"
#include "tools/tamis/options.h"
#include "tools/tamis/progress.h"
#include "tools/tamis/text.h"

namespace tamis::tools {
namespace {

struct NewOptions {
  std::string op;
  std::string shape;
  std::string dtype = "bfloat16";
  std::string output;
  uint64_t seed = 1;
};

Result<int> ListShapes(const base::Operator& op) {
  std::vector<std::vector<std::string>> rows = {{"shape", "benchmark", "what"}};
  for (const base::Example& example : *op.examples)
    rows.push_back({example.name, example.timed ? "yes" : "", example.doc});
  std::fputs(Table(rows).c_str(), stdout);
  return kDone;
}

Result<int> RunNew(const NewOptions& options) {
  const base::Operator* op = registry::Find(options.op);
  if (op == nullptr) return base::Invalid("operator", "one of " + registry::Names(), options.op);
  if (options.shape == "list") return ListShapes(*op);
  if (options.output.empty()) return base::NullArgument("--output");
  const Result<const base::Example*> example = FindExample(*op, options.shape);
  if (!example.ok()) return example.status();
  const Result<DType> dtype = ExampleDType(options.dtype);
  if (!dtype.ok()) return dtype.status();
  TAMIS_RETURN_IF_ERROR(CheckWritable(options.output));
  const Result<Context> context = ContextOptions().Resolve();
  if (!context.ok()) return context.status();
  const Result<CaseData> data = MakeExample(*op, **example, *dtype, options.seed, context->threads);
  if (!data.ok()) return data.status();
  ProgressLine progress("writing");
  TAMIS_RETURN_IF_ERROR(WriteCase(options.output, *data,
                                  [&](int64_t done, int64_t all) { progress.Update(done, all); }));
  progress.Clear();
  std::printf("%s: %s, %s\n", OneLine(options.output).c_str(), op->contract->name.c_str(),
              (*example)->doc.c_str());
  return kDone;
}

Result<int> RunShow(const std::string& path) {
  const Result<CaseData> data = ReadCase(path);
  if (!data.ok()) return data.status();
  std::printf("operator    %s\n", OneLine(data->op).c_str());
  std::printf("attributes  %s\n", OneLine(data->attrs).c_str());
  std::printf("source      %s\n\n", OneLine(data->source).c_str());
  std::vector<std::vector<std::string>> rows = {{"tensor", "dtype", "shape", ">bytes"}};
  const auto add = [&](const std::string& prefix, const StoredTensor& tensor) {
    rows.push_back({OneLine(prefix + tensor.name), std::string(base::Name(tensor.dtype)),
                    base::ShapeText(tensor.shape), std::to_string(tensor.bytes)});
  };
  for (const StoredTensor& tensor : data->inputs) add("", tensor);
  for (const StoredTensor& tensor : data->expected) add("expected.", tensor);
  std::fputs(Table(rows).c_str(), stdout);
  // What the file holds is shown; whether it is a valid call is said after.
  const Result<registry::Call> call = BuildCall(*data);
  if (!call.ok()) return call.status();
  const Result<std::vector<registry::Call::Output>> outputs = call->Outputs();
  if (!outputs.ok()) return outputs.status();
  std::vector<std::vector<std::string>> output_rows = {{"gives", "dtype", "shape"}};
  for (const auto& output : *outputs) {
    output_rows.push_back(
        {output.name, std::string(base::Name(output.dtype)), base::ShapeText(output.shape)});
  }
  std::printf("\n%s", Table(output_rows).c_str());
  TAMIS_RETURN_IF_ERROR(registry::CheckExpected(call->op(), call->params(), ExpectedViews(*data)));
  return kDone;
}

}  // namespace

void AddCase(CLI::App& app, Action* action) {
  CLI::App* command = app.add_subcommand("case", "Make and look at case files");
  command->require_subcommand(1);

  auto options = std::make_shared<NewOptions>();
  CLI::App* make = command->add_subcommand("new", "A case from an operator's named examples");
  make->add_option("operator", options->op, "An operator's name")->required();
  make->add_option("--shape", options->shape, "An example's name, or list")->required();
  make->add_option("--dtype", options->dtype, kExampleDTypes)->capture_default_str();
  make->add_option("--seed", options->seed, "Of the generated values")->capture_default_str();
  make->add_option("-o,--output", options->output, "The case file to write");
  make->callback([=] { *action = [=] { return RunNew(*options); }; });

  auto path = std::make_shared<std::string>();
  CLI::App* show = command->add_subcommand("show", "What a case holds and gives");
  show->add_option("case", *path, "A case file")->required();
  show->callback([=] { *action = [=] { return RunShow(*path); }; });
}

}  // namespace tamis::tools
