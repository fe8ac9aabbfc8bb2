// What one argument of a contract is called, in JSON and wherever else arguments are listed.
#pragma once

#include <string>
#include <vector>

#include "base/contract.h"

namespace tamis::registry {

/// input, optional_input, output, optional_output, inout, optional_inout, attribute.
const char* RoleName(base::Role role);
/// tensor, int, float, bool, choice, ints.
const char* TypeName(base::Type type);
std::vector<std::string> DTypeNames(const base::Field& field);

/// The default of an attribute as JSON: 16, 0.5, false, "TND", null.
std::string DefaultJson(const base::Contract& contract, const base::Field& field);
/// In words: 16, TND, absent, required.
std::string DefaultText(const base::Contract& contract, const base::Field& field);

/// What strict asks of the argument: "required", "int8 or int32", "contiguous", "= TND".
std::vector<std::string> StrictTexts(const base::Contract& contract, const base::Field& field);

}  // namespace tamis::registry
