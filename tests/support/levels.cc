#include "tests/support/levels.h"

#include <cstdio>
#include <cstdlib>
#include <string_view>

#include "base/cpu_features.h"

namespace tamis::test {
namespace {

std::vector<Level> Choose() {
  const std::vector<Level>& all = base::AvailableLevels();
  const char* text = std::getenv("TAMIS_TEST_LEVELS");
  const std::string_view wanted = text == nullptr || *text == 0 ? "all" : text;
  if (wanted == "all") return all;
  if (wanted != "ends") {
    std::fprintf(stderr, "TAMIS_TEST_LEVELS: expected all or ends, got %s\n", text);
    std::exit(2);
  }
  if (all.size() == 1) return all;
  return {all.front(), all.back()};
}

}  // namespace

const std::vector<Level>& TestedLevels() {
  static const std::vector<Level> levels = Choose();
  return levels;
}

}  // namespace tamis::test
