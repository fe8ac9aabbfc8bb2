// src/capi/typed_ops.cc: where the members of the C structs lie, and the functions.
#pragma once

#include <string>

namespace tamis::generate {

std::string CSource();

}  // namespace tamis::generate
