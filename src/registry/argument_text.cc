#include "registry/argument_text.h"

#include <charconv>
#include <cstddef>
#include <cstdint>

#include "base/dtype.h"
#include "registry/join.h"
#include "registry/json.h"

namespace tamis::registry {
namespace {

using base::Contract;
using base::Field;
using base::Type;

template <class T>
T DefaultOf(const Contract& contract, const Field& field) {
  return Contract::At<const T>(contract.default_params.get(), field);
}

const std::string& DefaultChoice(const Contract& contract, const Field& field) {
  return field.choices[static_cast<size_t>(DefaultOf<int32_t>(contract, field))];
}

// The shortest text that reads back as the same number, whatever the locale.
std::string NumberText(double value) {
  char text[32];
  const std::to_chars_result end = std::to_chars(text, text + sizeof(text), value);
  return {text, end.ptr};
}

}  // namespace

const char* RoleName(base::Role role) {
  static constexpr const char* kNames[] = {"input", "optional_input", "output",   "optional_output",
                                           "inout", "optional_inout", "attribute"};
  return kNames[static_cast<int>(role)];
}

const char* TypeName(Type type) {
  static constexpr const char* kNames[] = {"tensor", "int", "float", "bool", "choice", "ints"};
  return kNames[static_cast<int>(type)];
}

std::vector<std::string> DTypeNames(const Field& field) {
  std::vector<std::string> names;
  for (DType dtype : field.dtypes) names.emplace_back(base::Name(dtype));
  return names;
}

std::string DefaultJson(const Contract& contract, const Field& field) {
  switch (field.type) {
    case Type::kInt: return std::to_string(DefaultOf<int64_t>(contract, field));
    case Type::kFloat: return NumberText(DefaultOf<double>(contract, field));
    case Type::kBool: return JsonBool(DefaultOf<bool>(contract, field));
    case Type::kChoice: return JsonString(DefaultChoice(contract, field));
    case Type::kInts:
    case Type::kTensor: break;
  }
  return "null";  // absent
}

std::string DefaultText(const Contract& contract, const Field& field) {
  if (field.required) return "required";
  switch (field.type) {
    case Type::kChoice: return DefaultChoice(contract, field);
    case Type::kInts: return "absent";
    default: return DefaultJson(contract, field);
  }
}

std::vector<std::string> StrictTexts(const Contract& contract, const Field& field) {
  using Presence = base::StrictRule::Presence;
  const base::StrictRule& rule = field.strict;
  std::vector<std::string> texts;
  if (rule.presence == Presence::kRequired) texts.emplace_back("required");
  if (rule.presence == Presence::kNone) texts.emplace_back("none");
  if (!rule.dtypes.empty()) {
    texts.push_back(Join(rule.dtypes, " or ", [](DType dtype) { return base::Name(dtype); }));
  }
  if (rule.contiguous) texts.emplace_back("contiguous");
  if (rule.default_only) texts.push_back("= " + DefaultText(contract, field));
  return texts;
}

}  // namespace tamis::registry
