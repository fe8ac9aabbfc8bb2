// What the generators of Python and of PyTorch's operators write alike.
#pragma once

#include <algorithm>
#include <cctype>
#include <string>
#include <vector>

#include "base/contract.h"

namespace tamis::generate {

using base::Contract;
using base::Field;
using base::Role;
using base::Type;
using Lines = std::vector<std::string>;

inline std::string Quoted(const std::string& text) { return "\"" + text + "\""; }

// "nsa_compress" to "NsaCompress".
inline std::string PascalCase(const std::string& name) {
  std::string text;
  bool upper = true;
  for (const char c : name) {
    if (c != '_') text += upper ? static_cast<char>(std::toupper(c)) : c;
    upper = c == '_';
  }
  return text;
}

inline std::string Joined(const Lines& items, const std::string& separator) {
  std::string text;
  for (const std::string& item : items) text += (text.empty() ? "" : separator) + item;
  return text;
}

inline bool IsInput(const Field& field) { return field.is_input(); }
inline bool IsResult(const Field& field) { return field.is_output() && !field.is_updated(); }
inline bool IsUpdated(const Field& field) { return field.is_updated(); }
// A tensor of lengths, positions or slots, and nothing else.
inline bool IsIntegers(const Field& field) {
  return field.is_input() && !field.dtypes.empty() &&
         std::all_of(field.dtypes.begin(), field.dtypes.end(),
                     [](DType dtype) { return dtype == DType::kInt32 || dtype == DType::kInt64; });
}
inline bool IsReadByPlan(const Field& field) { return field.read_by_plan; }
inline bool IsContiguousInStrict(const Field& field) { return field.strict.contiguous; }
inline bool IsAttribute(const Field& field) { return !field.is_tensor(); }
inline bool IsPositional(const Field& field) { return field.is_input() && field.is_required(); }
inline bool IsRequiredAttribute(const Field& field) { return IsAttribute(field) && field.required; }
inline bool IsOptionalInput(const Field& field) {
  return field.role == Role::kOptionalInput || field.role == Role::kOptionalInOut;
}
inline bool IsOptionalAttribute(const Field& field) {
  return IsAttribute(field) && !field.required;
}

inline std::vector<const Field*> Fields(const Contract& contract, bool (*which)(const Field&)) {
  std::vector<const Field*> found;
  for (const Field& field : contract.fields) {
    if (which(field)) found.push_back(&field);
  }
  return found;
}

}  // namespace tamis::generate
