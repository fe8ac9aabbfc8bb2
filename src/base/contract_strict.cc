// The document's limits, for calls that ask for them.
#include <algorithm>
#include <string>

#include "base/contract.h"
#include "base/dtype.h"
#include "base/errors.h"
#include "base/parts.h"
#include "base/views.h"

namespace tamis::base {

bool Contract::IsDefault(const Field& field, const void* params) const {
  const void* const defaults = default_params.get();
  switch (field.type) {
    case Type::kChoice:
      return At<const int32_t>(params, field) == At<const int32_t>(defaults, field);
    case Type::kInt: return At<const int64_t>(params, field) == At<const int64_t>(defaults, field);
    case Type::kFloat: return At<const double>(params, field) == At<const double>(defaults, field);
    case Type::kBool: return At<const bool>(params, field) == At<const bool>(defaults, field);
    case Type::kTensor: return tensor(params, field).absent();
    case Type::kInts: return At<const IntList>(params, field).absent();
  }
  return false;
}

// "fp32", "0.5", "true": of attributes that have a value.
std::string Contract::ValueText(const Field& field, const void* params) const {
  switch (field.type) {
    case Type::kChoice: return field.choices[static_cast<size_t>(At<const int32_t>(params, field))];
    case Type::kInt: return std::to_string(At<const int64_t>(params, field));
    case Type::kFloat: return NumberText(At<const double>(params, field));
    case Type::kBool: return At<const bool>(params, field) ? "true" : "false";
    case Type::kTensor:
    case Type::kInts: break;
  }
  return {};
}

Status Contract::CheckStrict(const Field& field, const void* params) const {
  using Presence = StrictRule::Presence;
  const StrictRule& rule = field.strict;
  const auto refused = [&](const std::string& expected, std::string_view got) {
    return Invalid(field.name, "(strict) " + expected, got);
  };
  if (rule.default_only) {
    return IsDefault(field, params) ? Status::Ok()
                                    : refused(ValueText(field, default_params.get()) +
                                                  ", which the document's call cannot change",
                                              ValueText(field, params));
  }
  if (!field.is_tensor() && field.type != Type::kInts) return Status::Ok();
  const bool absent = IsDefault(field, params);
  const char* const kind = field.is_tensor() ? "a tensor" : "a list";
  if (rule.presence == Presence::kRequired && absent) return refused(kind, "none");
  if (rule.presence == Presence::kNone && !absent) return refused("none", kind);
  if (!field.is_tensor() || absent) return Status::Ok();
  const TensorView& view = tensor(params, field);
  if (!rule.dtypes.empty() &&
      std::find(rule.dtypes.begin(), rule.dtypes.end(), view.dtype) == rule.dtypes.end()) {
    return refused("dtype " + DTypeList(rule.dtypes), Name(view.dtype));
  }
  return rule.contiguous ? CheckContiguous(field.name, view) : Status::Ok();
}

Status Contract::CheckLimits(const void* params, const Dims& dims) const {
  if (!At<const bool>(params, *Find("strict"))) return Status::Ok();
  for (const Field& field : fields) TAMIS_RETURN_IF_ERROR(CheckStrict(field, params));
  for (const Limit& limit : limits) {
    int64_t value = 0;
    if (!Evaluate(limit.quantity, params, dims, &value))
      continue;  // the quantity belongs to an absent argument
    bool holds = false;
    std::string known;  // of a bound by name: what it is here
    for (const std::string& bound_text : limit.bounds) {
      int64_t bound = 0;
      if (!Evaluate(bound_text, params, dims, &bound)) continue;
      if (!IsNumber(bound_text)) known = " = " + std::to_string(bound);
      switch (limit.rule) {
        case Limit::Rule::kAtMost: holds = holds || value <= bound; break;
        case Limit::Rule::kAtLeast: holds = holds || value >= bound; break;
        case Limit::Rule::kMultipleOf: holds = holds || (bound > 0 && value % bound == 0); break;
        case Limit::Rule::kOneOf:
        case Limit::Rule::kEqual: holds = holds || value == bound; break;
      }
    }
    if (!holds) {
      return Invalid(limit.argument,
                     "(strict) " + limit.quantity + " to be " + limit.text() + known, value);
    }
  }
  return Status::Ok();
}

}  // namespace tamis::base
