// The `tamis` binary: parses, runs one subcommand, and turns every error into one line and exit
// code 2.
#include <CLI/CLI.hpp>
#include <csignal>
#include <cstdio>
#include <exception>
#include <new>

#include "tamis/tamis.hpp"
#include "tools/tamis/command.h"
#include "tools/tamis/text.h"

namespace {

using namespace tamis::tools;

int Fail(std::string_view message) {
  std::fflush(stdout);
  std::fprintf(stderr, "tamis: %s\n", OneLine(message).c_str());
  return kBadInput;
}

// CLI11 says of a missing or unknown subcommand only that one is required.
std::string SubcommandError(const CLI::App& app, int argc, char** argv) {
  const CLI::App* at = &app;
  int depth = 1;
  for (; !at->get_subcommands().empty(); ++depth) at = at->get_subcommands().front();
  std::string known;
  for (const CLI::App* command : at->get_subcommands([](const CLI::App*) { return true; }))
    known += (known.empty() ? "" : ", ") + command->get_name();
  const std::string got = depth < argc ? argv[depth] : "none";
  return (at == &app ? "command" : at->get_name()) + ": expected one of " + known + ", got " + got;
}

int Main(int argc, char** argv) {
  CLI::App app("Tamis: sparse-attention operators, exactly and fast, on any CPU", "tamis");
  app.set_version_flag("--version", std::string("tamis ") + tamis::version());
  app.require_subcommand(1);
  // A file-size limit is then a write that fails, and is reported as one.
  std::signal(SIGXFSZ, SIG_IGN);
  Action action;
  AddInfo(app, &action);
  AddOps(app, &action);
  AddCase(app, &action);
  AddRun(app, &action);
  AddVerify(app, &action);
  AddBench(app, &action);
  AddDemo(app, &action);
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    if (error.get_exit_code() == 0) return app.exit(error);  // --help, --version
    const bool no_command =
        std::string_view(error.what()).find("subcommand is required") != std::string_view::npos;
    return Fail(no_command ? SubcommandError(app, argc, argv) : error.what());
  }
  const tamis::Result<int> result = action();
  if (!result.ok()) return Fail(result.status().message());
  if (std::fflush(stdout) != 0 || std::ferror(stdout) != 0)
    return Fail("stdout: expected to take the output, got a write error");
  return *result;
}

}  // namespace

int main(int argc, char** argv) {
  try {
    return Main(argc, argv);
  } catch (const std::bad_alloc&) {
    return Fail("host memory: an allocation failed");
  } catch (const std::exception& error) {
    return Fail(error.what());
  }
}
