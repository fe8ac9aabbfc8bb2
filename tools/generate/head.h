// The first line of every generated file: a test looks for it where it must not be.
#pragma once

#include <string>

namespace tamis::generate {

inline constexpr const char* kHead =
    "Made from the contracts by `dev generate` (tools/generate): do not edit.";

/// Of C and C++.
inline std::string HeadOfC() { return std::string("// ") + kHead + "\n// clang-format off\n"; }

}  // namespace tamis::generate
