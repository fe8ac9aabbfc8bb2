// tamis demo: finds passages of a real text with sparse attention, and holds everything that it
// shows against the reference and against dense attention.
#include <CLI/CLI.hpp>
#include <memory>

#include "tools/tamis/command.h"
#include "tools/tamis/demo/run.h"

namespace tamis::tools {

void AddDemo(CLI::App& app, Action* action) {
  auto options = std::make_shared<demo::Options>();
  CLI::App* command =
      app.add_subcommand("demo", "Find passages of a real text with sparse attention");
  command->add_option("--text", options->text,
                      "A text file; without: the licences in /usr/share/common-licenses,\n"
                      "and in the second half the headers of g++");
  command->add_option("--ask", options->asks, "A question of yours, any number of times")
      ->allow_extra_args(false);
  command->add_flag("--quick", options->quick, "Shorter texts and fewer questions");
  command->add_option("--tokens", options->tokens,
                      "Tokens of the text to keep (65536 and 131070, with --quick 16384)");
  options->context.AddTo(command, false);
  command->callback([=] { *action = [=] { return demo::Run(*options); }; });
}

}  // namespace tamis::tools
