#include "tools/generate/python_words.h"

#include "registry/argument_text.h"
#include "registry/join.h"
#include "tools/generate/names.h"

namespace tamis::generate {

std::string PythonTuple(const std::string& indent, const Lines& items) {
  if (items.empty()) return "()";
  if (items.size() == 1) return "(" + items.front() + ",)";
  std::string text = "(\n";
  for (const std::string& item : items) text.append(indent).append("    ").append(item) += ",\n";
  return text + indent + ")";
}

Lines Names(const Contract& contract, bool (*which)(const Field&), bool quoted) {
  Lines names;
  for (const Field* field : Fields(contract, which))
    names.push_back(quoted ? Quoted(field->name) : field->name);
  return names;
}

std::string PythonChoices(const Field& field) {
  return registry::Join(field.choices, ", ", Quoted);
}

std::string PythonDefault(const Contract& contract, const Field& field) {
  if (field.type == Type::kInts) return "None";
  std::string json = registry::DefaultJson(contract, field);
  if (field.type == Type::kBool) return json == "true" ? "True" : "False";
  return json;
}

}  // namespace tamis::generate
