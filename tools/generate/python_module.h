// python/tamis/_ops.py: a typed function for every operator.
#pragma once

#include <string>

namespace tamis::generate {

std::string PythonModule();

}  // namespace tamis::generate
