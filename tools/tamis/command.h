// How a subcommand of `tamis` is written: one file per subcommand, one Add function in this header.
//
// AddX(app, action) adds the subcommand `x` with its options to `app`. When the user asks for it,
// its CLI11 callback stores in *action what is to be done; main runs that once everything is
// parsed:
//
//   void AddX(CLI::App& app, Action* action) {
//     auto options = std::make_shared<XOptions>();
//     CLI::App* command = app.add_subcommand("x", "One line for the help");
//     command->add_option("--rows", options->rows, "...")->capture_default_str();
//     command->callback([=] { *action = [=] { return RunX(*options); }; });
//   }
//
// An Action prints results to stdout and nothing to stderr: an error is a Status, which main prints
// as exactly one line, with exit code 2.
#pragma once

#include <functional>

#include "tamis/status.hpp"

namespace CLI {
class App;
}

namespace tamis::tools {

inline constexpr int kDone = 0;
inline constexpr int kComparisonFailed = 1;
inline constexpr int kBadInput = 2;

/// Gives the exit code: kDone or kComparisonFailed; or the error.
using Action = std::function<Result<int>()>;

void AddInfo(CLI::App& app, Action* action);
void AddOps(CLI::App& app, Action* action);
void AddCase(CLI::App& app, Action* action);
void AddRun(CLI::App& app, Action* action);
void AddVerify(CLI::App& app, Action* action);
void AddBench(CLI::App& app, Action* action);
void AddDemo(CLI::App& app, Action* action);

}  // namespace tamis::tools
