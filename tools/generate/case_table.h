// The table of python/tamis/case.py, which is copied alone to other machines: what stands between
// its markers.
#pragma once

#include <string>

namespace tamis::generate {

std::string CaseTable();

}  // namespace tamis::generate
