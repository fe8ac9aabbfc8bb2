// What Python has of the contracts: python/tamis/_ops.py, a typed function for every operator, and
// the table of python/tamis/case.py.
#pragma once

#include <string>

namespace tamis::generate {

std::string PythonModule();

/// What stands between the markers of case.py, which is copied alone to other machines.
std::string CaseTable();

}  // namespace tamis::generate
