// Which of a contract's fields are what to Python and PyTorch.
#pragma once

#include <algorithm>
#include <string>
#include <vector>

#include "base/contract.h"

namespace tamis::generate {

using base::Contract;
using base::Field;
using base::Role;
using base::Type;
using Lines = std::vector<std::string>;

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
