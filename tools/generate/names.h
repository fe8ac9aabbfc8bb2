// Names as the languages write them.
#pragma once

#include <string>

namespace tamis::generate {

/// "nsa_compress" to "NsaCompress".
std::string PascalCase(const std::string& name);
/// To "NSA_COMPRESS".
std::string UpperCase(std::string name);
/// A string literal of C++ and Python.
std::string Quoted(const std::string& text);

}  // namespace tamis::generate
