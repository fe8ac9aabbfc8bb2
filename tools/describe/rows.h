// A contract as rows of cells: what the listings for a terminal and for a page have in common.
#pragma once

#include <string>
#include <vector>

#include "base/operator.h"

namespace tamis::describe {

using Row = std::vector<std::string>;

/// Name, role, shapes, dtypes, what it is.
std::vector<Row> TensorRows(const base::Contract& contract);
/// Name, type, default, what it is.
std::vector<Row> AttributeRows(const base::Contract& contract);
/// Argument and what strict asks of it.
std::vector<Row> LimitRows(const base::Contract& contract);
/// Name and what it shows.
std::vector<Row> ExampleRows(const base::Operator& op);

}  // namespace tamis::describe
