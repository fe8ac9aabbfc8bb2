#include "tools/describe/argument_words.h"

#include "registry/argument_text.h"
#include "registry/join.h"

namespace tamis::describe {
namespace {

using base::Field;
using base::Role;
using base::ShapeForm;
using base::Type;
using registry::Join;

const char* TypeForPeople(Type type) {
  static constexpr const char* kNames[] = {"tensor",  "integer", "number",
                                           "boolean", "choice",  "list of integers"};
  return kNames[static_cast<int>(type)];
}

}  // namespace

std::string RoleText(Role role) {
  switch (role) {
    case Role::kInput: return "input";
    case Role::kOptionalInput: return "input, optional";
    case Role::kOutput: return "output";
    case Role::kOptionalOutput: return "output, optional";
    case Role::kInOut: return "updated in place";
    case Role::kOptionalInOut: return "updated in place, optional";
    case Role::kAttribute: break;
  }
  return "attribute";
}

std::string AttributeTypeText(const Field& field) {
  if (field.type != Type::kChoice) return TypeForPeople(field.type);
  return Join(field.choices, ", ", [](const std::string& choice) { return choice; });
}

std::string ShapesText(const Field& field) {
  return Join(field.shapes, "; ", [](const ShapeForm& form) {
    return (form.when.empty() ? "" : form.when + " ") + "[" + form.dims + "]";
  });
}

std::string DTypesText(const Field& field) {
  if (!field.dtype_as.empty()) {
    return "as " + field.dtype_as +
           (field.dtype_attribute.empty() ? "" : ", or by " + field.dtype_attribute);
  }
  return Join(registry::DTypeNames(field), ", ");
}

}  // namespace tamis::describe
