// The docstring of a Python function.
#pragma once

#include <string>

#include "base/contract.h"

namespace tamis::generate {

std::string PythonDocstring(const base::Contract& contract);

}  // namespace tamis::generate
