// The signature of a Python function, with its overloads.
#pragma once

#include <string>

#include "base/contract.h"

namespace tamis::generate {

std::string PythonSignatures(const base::Contract& contract);

}  // namespace tamis::generate
