// The table of operators, and calls by name.
#pragma once

#include <span>
#include <string_view>

#include "base/operator.h"

namespace tamis::registry {

/// All operators, in the order of the documents.
std::span<const base::Operator> Operators();

/// The operator of that name, or null.
const base::Operator* Find(std::string_view name);

/// "nsa_compress, nsa_compress_attention, ..."
std::string Names();

}  // namespace tamis::registry
