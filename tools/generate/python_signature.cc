#include "tools/generate/python_signature.h"

#include "registry/argument_text.h"
#include "tools/generate/fields.h"
#include "tools/generate/names.h"
#include "tools/generate/python_words.h"

namespace tamis::generate {
namespace {

std::string AttributeAnnotation(const Field& field) {
  switch (field.type) {
    case Type::kChoice: return "Literal[" + PythonChoices(field) + "]";
    case Type::kInts: return field.required ? "Integers" : "Integers | None";
    default: return registry::TypeName(field.type);
  }
}

// Integers may be nested sequences, too, and of another library than the rest: but for the first
// tensor, whose library is that of the results.
std::string InputAnnotation(const Contract& contract, const Field& field,
                            const std::string& array) {
  if (!IsIntegers(field)) return array;
  return &field == Fields(contract, IsInput).front() ? array + " | Nested" : "Integers | Nested";
}

std::string OutputAnnotation(const Field& field, const std::string& array) {
  return array + (field.is_required() ? " | None = None" : " | Literal[False] | None = None");
}

// `array` is the type of all arrays.
std::string ResultType(const Contract& contract, const std::string& array) {
  const size_t results = Fields(contract, IsResult).size();
  if (results == 0) return "None";
  if (results == 1) return array;
  return PascalCase(contract.name) + "[" + array + "]";
}

std::string Signature(const Contract& contract, const std::string& array) {
  Lines lines;
  for (const Field* field : Fields(contract, IsPositional))
    lines.push_back(field->name + ": " + InputAnnotation(contract, *field, array));
  lines.emplace_back("*");
  for (const Field* field : Fields(contract, IsRequiredAttribute))
    lines.push_back(field->name + ": " + AttributeAnnotation(*field));
  for (const Field* field : Fields(contract, IsOptionalInput))
    lines.push_back(field->name + ": " + InputAnnotation(contract, *field, array) +
                    " | None = None");
  for (const Field* field : Fields(contract, IsOptionalAttribute)) {
    lines.push_back(field->name + ": " + AttributeAnnotation(*field) + " = " +
                    PythonDefault(contract, *field));
  }
  for (const Field* field : Fields(contract, IsResult))
    lines.push_back(field->name + ": " + OutputAnnotation(*field, array));
  lines.emplace_back("level: Level | None = None");
  lines.emplace_back("implementation: Implementation | None = None");
  lines.emplace_back("threads: int | None = None");
  std::string text = "def " + contract.name + "(\n";
  for (const std::string& line : lines) text += "    " + line + ",\n";
  return text + ") -> " + ResultType(contract, array) + ":";
}

}  // namespace

// numpy's arrays have a dtype in their type, which is not that of all results; others' have none.
std::string PythonSignatures(const Contract& contract) {
  return "@overload\n" + Signature(contract, "NumpyArray") + " ...\n\n\n@overload\n" +
         Signature(contract, "Array") + " ...\n\n\n" + Signature(contract, "Array") + "\n";
}

}  // namespace tamis::generate
