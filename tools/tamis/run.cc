// tamis run: a case in, its outputs out.
#include <CLI/CLI.hpp>
#include <chrono>
#include <cstdio>
#include <memory>

#include "base/dtype.h"
#include "base/errors.h"
#include "tools/tamis/case.h"
#include "tools/tamis/command.h"
#include "tools/tamis/options.h"
#include "tools/tamis/progress.h"
#include "tools/tamis/text.h"

namespace tamis::tools {
namespace {

struct RunOptions {
  std::string path;
  std::string output;
  bool strict = false;
  ContextOptions context;
};

Result<int> Run(const RunOptions& options) {
  const Result<Context> context = options.context.Resolve();
  if (!context.ok()) return context.status();
  TAMIS_RETURN_IF_ERROR(CheckWritable(options.output));
  const Result<CaseData> data = ReadCase(options.path);
  if (!data.ok()) return data.status();
  Result<registry::Call> call = BuildCall(*data, options.strict);
  if (!call.ok()) return call.status();
  const Result<Outputs> outputs = AllocateOutputs(&*call);
  if (!outputs.ok()) return outputs.status();
  const Result<Plan> plan = call->MakePlan(*context);
  if (!plan.ok()) return plan.status();
  const auto begin = std::chrono::steady_clock::now();
  TAMIS_RETURN_IF_ERROR(plan->run());
  const std::chrono::duration<double, std::milli> elapsed =
      std::chrono::steady_clock::now() - begin;
  ProgressLine progress("writing");
  TAMIS_RETURN_IF_ERROR(WriteSafetensors(
      options.output,
      {{"tamis.op", data->op}, {"tamis.attrs", data->attrs}, {"tamis.source", data->source}},
      outputs->tensors, [&](int64_t done, int64_t all) { progress.Update(done, all); }));
  progress.Clear();
  std::vector<std::vector<std::string>> rows = {{"output", "dtype", "shape"}};
  for (const StoredTensor& tensor : outputs->tensors) {
    rows.push_back(
        {tensor.name, std::string(base::Name(tensor.dtype)), base::ShapeText(tensor.shape)});
  }
  std::fputs(Table(rows).c_str(), stdout);
  std::printf("\n%s\n%d threads, %s ms, workspace %s\n", plan->explanation().c_str(),
              context->threads, Number(elapsed.count(), 4).c_str(),
              Bytes(static_cast<double>(plan->workspace_bytes())).c_str());
  return kDone;
}

}  // namespace

void AddRun(CLI::App& app, Action* action) {
  auto options = std::make_shared<RunOptions>();
  CLI::App* command = app.add_subcommand("run", "Run a case and write its outputs");
  command->add_option("case", options->path, "A case file")->required();
  command->add_option("-o,--output", options->output, "The file to write")->required();
  command->add_flag("--strict", options->strict, "Also enforce the document's limits");
  options->context.AddTo(command, true);
  command->callback([=] { *action = [=] { return Run(*options); }; });
}

}  // namespace tamis::tools
