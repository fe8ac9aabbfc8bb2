// What this processor offers, and which level and how many threads a call gets.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/levels.h"
#include "tamis/context.hpp"
#include "tamis/status.hpp"

namespace tamis::base {

/// "unknown" where it has none.
std::string_view Name(Level level);
std::string_view Name(Implementation implementation);

/// Levels that this build holds and this processor runs, ascending; never empty.
const std::vector<Level>& AvailableLevels();

/// The last of them, unless another is faster on this processor.
Level FastestLevel();

/// The level of a call: context, else TAMIS_LEVEL, else the fastest. An unknown or unavailable one
/// is an error.
Status ResolveLevel(Level wanted, Level* level);

/// That it is one of the named ones.
Status CheckImplementation(Implementation wanted);

/// The thread count of a call: context, else TAMIS_NUM_THREADS, else the processors this process
/// may use.
Status ResolveThreads(int32_t wanted, int32_t* threads);

/// "AMD EPYC ..." or the architecture's name.
std::string ProcessorName();

}  // namespace tamis::base
