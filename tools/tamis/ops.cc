// tamis ops: the contracts.
#include <CLI/CLI.hpp>
#include <cstdio>
#include <memory>

#include "base/cpu_features.h"
#include "base/errors.h"
#include "registry/describe.h"
#include "registry/join.h"
#include "registry/json.h"
#include "registry/registry.h"
#include "tamis/tamis.hpp"
#include "tools/describe/markdown.h"
#include "tools/describe/text.h"
#include "tools/tamis/command.h"

namespace tamis::tools {
namespace {

struct OpsOptions {
  std::string op;
  bool json = false;
  bool markdown = false;
};

std::string ImplementationsText(const base::Operator& op) {
  std::string text = "\nImplementations here, the first that takes a call is what `auto` chooses\n";
  for (const Implementation implementation : op.implementations) {
    text += "  " + std::string(base::Name(implementation));
    if (implementation == Implementation::kReference) text += ": float64, when asked for";
    if (implementation == Implementation::kCpu) {
      text += ": levels";
      for (const Level level : base::AvailableLevels())
        text += " " + std::string(base::Name(level));
    }
    text += "\n";
  }
  return text;
}

std::string AllJson() {
  return "{\"version\":" + registry::JsonString(version()) + ",\"operators\":[" +
         registry::Join(registry::Operators(), ",", registry::DescribeJson) + "]}";
}

Result<int> RunOps(const OpsOptions& options) {
  std::string text;
  if (options.op.empty()) {
    if (options.json) {
      text = AllJson() + "\n";
    } else if (options.markdown) {
      for (const base::Operator& op : registry::Operators())
        text += (text.empty() ? "" : "\n") + describe::DescribeMarkdown(op);
    } else {
      text = describe::DescribeAllText();
    }
  } else {
    const base::Operator* op = registry::Find(options.op);
    if (op == nullptr) {
      return base::Invalid("operator", "one of " + registry::Names(), options.op);
    }
    if (options.json) {
      text = registry::DescribeJson(*op) + "\n";
    } else if (options.markdown) {
      text = describe::DescribeMarkdown(*op);
    } else {
      text = describe::DescribeText(*op) + ImplementationsText(*op);
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
