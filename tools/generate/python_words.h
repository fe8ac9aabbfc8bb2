// How Python writes what contracts hold, as the formatter leaves it.
#pragma once

#include <string>

#include "tools/generate/fields.h"

namespace tamis::generate {

/// The comma behind the last of several items keeps one a line.
std::string PythonTuple(const std::string& indent, const Lines& items);
/// Of those fields.
Lines Names(const Contract& contract, bool (*which)(const Field&), bool quoted);
/// "TND", "BSND"
std::string PythonChoices(const Field& field);
/// The default of an attribute: 16, "TND", True, None.
std::string PythonDefault(const Contract& contract, const Field& field);

}  // namespace tamis::generate
