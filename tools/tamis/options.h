// Options that several subcommands take.
#pragma once

#include <cstdint>
#include <string>

#include "tamis/context.hpp"
#include "tamis/status.hpp"

namespace CLI {
class App;
}

namespace tamis::tools {

/// --level --threads, and --impl where asked for.
struct ContextOptions {
  std::string implementation = "auto";
  std::string level = "auto";
  int32_t threads = 0;

  void AddTo(CLI::App* command, bool with_implementation);
  Result<Context> Resolve() const;
};

}  // namespace tamis::tools
