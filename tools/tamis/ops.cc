// tamis ops: the contracts.
#include <CLI/CLI.hpp>
#include <cstdio>
#include <memory>

#include "base/cpu_features.h"
#include "base/errors.h"
#include "registry/describe.h"
#include "registry/registry.h"
#include "tools/tamis/command.h"

namespace tamis::tools {
namespace {

struct OpsOptions {
  std::string op;
  bool json = false;
  bool markdown = false;
};

std::string ImplementationsText() {
  std::string text = "\nImplementations here\n  reference (float64)\n  cpu:";
  for (Level level : base::AvailableLevels()) text += " " + std::string(base::Name(level));
  return text + "\n  cuda: none, this build has no CUDA\n";
}

Result<int> RunOps(const OpsOptions& options) {
  std::string text;
  if (options.op.empty()) {
    if (options.json) {
      text = registry::DescribeAllJson() + "\n";
    } else if (options.markdown) {
      for (const base::Operator& op : registry::Operators())
        text += (text.empty() ? "" : "\n") + registry::DescribeMarkdown(op);
    } else {
      text = registry::DescribeAllText();
    }
  } else {
    const base::Operator* op = registry::Find(options.op);
    if (op == nullptr) {
      return base::Invalid("operator", "one of " + registry::Names(), options.op);
    }
    if (options.json) {
      text = registry::DescribeJson(*op) + "\n";
    } else if (options.markdown) {
      text = registry::DescribeMarkdown(*op);
    } else {
      text = registry::DescribeText(*op) + ImplementationsText();
    }
  }
  std::fputs(text.c_str(), stdout);
  return kDone;
}

}  // namespace

void AddOps(CLI::App& app, Action* action) {
  CLI::App* command =
      app.add_subcommand("ops", "The operators; with a name: its tensors, attributes and limits");
  auto options = std::make_shared<OpsOptions>();
  command->add_option("operator", options->op, "An operator's name");
  CLI::Option* json = command->add_flag("--json", options->json, "JSON");
  command->add_flag("--markdown", options->markdown, "The tables of the docs")->excludes(json);
  command->callback([=] { *action = [=] { return RunOps(*options); }; });
}

}  // namespace tamis::tools
