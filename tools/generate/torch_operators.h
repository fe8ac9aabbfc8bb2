// pytorch/operators.h: schemas and arguments of PyTorch's operators, made from the contracts.
#pragma once

#include <string>

namespace tamis::generate {

std::string TorchOperators();

}  // namespace tamis::generate
