// tamis info: what this build and this machine offer.
#include <CLI/CLI.hpp>
#include <cstdio>
#include <memory>
#include <nlohmann/json.hpp>

#include "base/cpu_features.h"
#include "base/errors.h"
#include "registry/registry.h"
#include "tamis/tamis.hpp"
#include "tools/tamis/command.h"

namespace tamis::tools {
namespace {

Result<int> RunInfo(bool json) {
  int32_t threads = 0;
  Level level = Level::kAuto;
  TAMIS_RETURN_IF_ERROR(base::ResolveThreads(0, &threads));
  TAMIS_RETURN_IF_ERROR(base::ResolveLevel(Level::kAuto, &level));
  nlohmann::ordered_json levels = nlohmann::ordered_json::array();
  std::string level_text;
  for (Level available : base::AvailableLevels()) {
    levels.push_back(base::Name(available));
    level_text += (level_text.empty() ? "" : ", ") + std::string(base::Name(available));
  }
  if (json) {
    nlohmann::ordered_json operators = nlohmann::ordered_json::array();
    for (const base::Operator& op : registry::Operators()) operators.push_back(op.contract->name);
    const nlohmann::ordered_json info = {
        {"version", version()},  {"processor", base::ProcessorName()},
        {"levels", levels},      {"level", base::Name(level)},
        {"threads", threads},    {"gpu", nullptr},
        {"operators", operators}};
    std::printf("%s\n", info.dump().c_str());
    return kDone;
  }
  std::printf("tamis      %s\n", version());
  std::printf("processor  %s\n", base::ProcessorName().c_str());
  std::printf("levels     %s (used: %s)\n", level_text.c_str(),
              std::string(base::Name(level)).c_str());
  std::printf("threads    %d\n", threads);
  std::printf("gpu        none: this build has no CUDA\n");
  std::printf("operators  %s\n", registry::Names().c_str());
  return kDone;
}

}  // namespace

void AddInfo(CLI::App& app, Action* action) {
  CLI::App* command = app.add_subcommand("info", "Version, processor, levels, threads");
  auto json = std::make_shared<bool>(false);
  command->add_flag("--json", *json, "One JSON object");
  command->callback([=] { *action = [=] { return RunInfo(*json); }; });
}

}  // namespace tamis::tools
