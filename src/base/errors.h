// The one form of every complaint: argument, what was expected, what came.
#pragma once

#include <cstdio>
#include <string>
#include <string_view>

#include "tamis/status.hpp"

namespace tamis::base {

/// A number as complaints show it.
inline std::string NumberText(double number) {
  char text[32];
  std::snprintf(text, sizeof(text), "%.9g", number);
  return text;
}

inline Status NullArgument(std::string_view argument) {
  return {StatusCode::kNullArgument, std::string(argument) + ": required, but absent"};
}

inline Status NoData(std::string_view argument) {
  return {StatusCode::kNullArgument, std::string(argument) + ": expected data, got a null pointer"};
}

/// "argument: expected E, got G"
inline Status Invalid(std::string_view argument, std::string_view expected, std::string_view got) {
  return {StatusCode::kInvalidArgument, std::string(argument) + ": expected " +
                                            std::string(expected) + ", got " + std::string(got)};
}
inline Status Invalid(std::string_view argument, std::string_view expected, int64_t got) {
  return Invalid(argument, expected, std::string_view(std::to_string(got)));
}
inline Status Unsupported(std::string_view argument, std::string_view expected,
                          std::string_view got) {
  return {StatusCode::kUnsupported, std::string(argument) + ": supported here: " +
                                        std::string(expected) + ", got " + std::string(got)};
}

/// "name[index]"
inline std::string Indexed(std::string_view name, int64_t index) {
  return std::string(name) + "[" + std::to_string(index) + "]";
}

#define TAMIS_RETURN_IF_ERROR(expression)                                                  \
  do {                                                                                     \
    if (::tamis::Status tamis_error = (expression); !tamis_error.ok()) return tamis_error; \
  } while (false)

}  // namespace tamis::base
