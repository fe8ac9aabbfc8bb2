// What one argument of a contract is called where people read it.
#pragma once

#include <string>

#include "base/contract.h"

namespace tamis::describe {

/// "input, optional"
std::string RoleText(base::Role role);
/// Of an attribute: "integer", or its choices.
std::string AttributeTypeText(const base::Field& field);
/// Of a tensor: "[T, N, D]", or "TND [T, N, D]; BSND [B, S, N, D]".
std::string ShapesText(const base::Field& field);
/// Of a tensor: "float16, bfloat16", or "as query", or "as query, or by value_dtype".
std::string DTypesText(const base::Field& field);

}  // namespace tamis::describe
