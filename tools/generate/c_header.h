// include/tamis/tamis_ops.h: a params struct and the functions of every operator.
#pragma once

#include <string>

namespace tamis::generate {

std::string CHeader();

}  // namespace tamis::generate
