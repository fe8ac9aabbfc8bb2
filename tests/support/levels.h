// The levels that tests run at.
#pragma once

#include <vector>

#include "tamis/context.hpp"

namespace tamis::test {

/// All levels of this processor; only the lowest and the highest where TAMIS_TEST_LEVELS is `ends`,
/// for builds under sanitizers, where all take too long. Anything else there ends the program.
const std::vector<Level>& TestedLevels();

}  // namespace tamis::test
