// Text for people: safe lines, aligned tables, sizes.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace tamis::tools {

/// The text with control characters escaped and a bounded length: names come from files, and an
/// error is one line.
std::string OneLine(std::string_view text);

/// Rows of cells with aligned columns; those whose header begins with '>' are flush right.
std::string Table(std::vector<std::vector<std::string>> rows);

/// printf's "%.*g".
std::string Number(double value, int digits = 3);

/// "1.61 GB"
std::string Bytes(double bytes);

}  // namespace tamis::tools
