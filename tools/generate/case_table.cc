#include "tools/generate/case_table.h"

#include <algorithm>

#include "registry/argument_text.h"
#include "registry/join.h"
#include "registry/registry.h"
#include "tools/generate/fields.h"
#include "tools/generate/names.h"
#include "tools/generate/python_words.h"

namespace tamis::generate {
namespace {

using registry::Join;

// "TND: T, N, D; BSND: B, S, N, D".
std::string FormsText(const Field& field) {
  Lines forms;
  for (const base::ShapeForm& form : field.shapes)
    forms.push_back((form.when.empty() ? "" : form.when + ": ") + form.dims);
  return Join(forms, "; ");
}

// The attribute that selects among several forms, or the tensor whose rank does.
std::string FormBy(const Contract& contract, const Field& field) {
  if (field.shapes.size() < 2) return "";
  if (!field.layout.empty()) return field.layout;
  return contract.layout_attribute.empty() ? contract.layout_tensor : contract.layout_attribute;
}

Lines TensorEntry(const Contract& contract, const Field& field) {
  Lines needs = field.needs;
  if (!field.wanted_by.empty()) needs.push_back(field.wanted_by);
  return {registry::RoleName(field.role),
          field.dtype_as.empty() ? Join(registry::DTypeNames(field), " ") : "as " + field.dtype_as,
          FormsText(field), FormBy(contract, field), Join(needs, " ")};
}

Lines AttributeEntry(const Contract& contract, const Field& field) {
  std::string otherwise;
  if (!field.required && field.type != Type::kInts)
    otherwise = field.type == Type::kChoice ? registry::DefaultText(contract, field)
                                            : PythonDefault(contract, field);
  return {field.required ? "required" : "optional", registry::TypeName(field.type),
          Join(field.choices, " "), otherwise};
}

// As the formatter leaves it: on one line where that fits; else an item a line, and of one that is
// too long a form a line.
std::string CaseEntry(const Contract& contract, const Field& field) {
  constexpr size_t kColumns = 100;
  Lines entry = field.is_tensor() ? TensorEntry(contract, field) : AttributeEntry(contract, field);
  while (entry.back().empty()) entry.pop_back();
  for (std::string& text : entry) text = Quoted(text);
  const std::string begin = "        " + Quoted(field.name) + ": _Field(";
  std::string line = begin + Join(entry, ", ") + "),\n";
  if (line.size() <= kColumns + 1) return line;
  const std::string indent = "\n            ";
  std::string text = begin;
  for (const std::string& item : entry) {
    const bool fits = indent.size() + item.size() <= kColumns;
    text += indent;
    for (size_t from = 0, to = 0; from < item.size(); from = to) {
      to = fits ? std::string::npos : item.find("; ", from);
      to = std::min(to == std::string::npos ? to : to + 2, item.size());
      text += item.substr(from, to - from) + (to < item.size() ? "\"" + indent + "\"" : "");
    }
    text += ",";
  }
  return text + "\n        ),\n";
}

}  // namespace

std::string CaseTable() {
  std::string text = "_CONTRACTS: dict[str, dict[str, _Field]] = {\n";
  for (const base::Operator& op : registry::Operators()) {
    const Contract& contract = *op.contract;
    text += "    " + Quoted(contract.name) + ": {\n";
    for (const Field& field : contract.fields) text += CaseEntry(contract, field);
    text += "    },\n";
  }
  return text + "}\n";
}

}  // namespace tamis::generate
