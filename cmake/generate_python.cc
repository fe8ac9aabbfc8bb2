#include "generate_python.h"

#include <algorithm>
#include <cctype>
#include <string>
#include <vector>

#include "base/dtype.h"
#include "generate_text.h"
#include "registry/describe.h"
#include "registry/registry.h"

namespace tamis::generate {
namespace {

constexpr const char* kHead =
    R"("""Made from the contracts by `dev generate` (cmake/generate.cc): do not edit."""

from __future__ import annotations

from typing import Any, Generic, Literal, NamedTuple, overload

from tamis._call import Operator
from tamis._typing import Array, Implementation, Integers, Level, Nested, NumpyArray
)";

// What every operator's docstring says alike.
constexpr const char* kHowToRun =
    R"(    level : str, optional
        "scalar", "avx2", "avx2_vnni", "avx512", "avx512_vnni" or "avx512_bf16"; by default, "auto",
        `TAMIS_LEVEL`, else the best of this processor
    implementation : {"auto", "reference", "cpu"}, optional
        "reference" is float64: the specification
    threads : int, optional
        by default what `set_num_threads` says; results do not depend on it
)";
constexpr const char* kRaises = R"(
    Raises
    ------
    ValueError
        an argument is absent or wrong; the message says which, what was expected and what came
    NotImplementedError
        the call is well formed, but nothing here can run it
    MemoryError
        an output or scratch cannot be allocated
    """
)";

std::string UpperCase(std::string name) {
  std::transform(name.begin(), name.end(), name.begin(),
                 [](unsigned char c) { return static_cast<char>(std::toupper(c)); });
  return name;
}

// Words in lines of at most 100 columns, each behind `indent`.
std::string Wrapped(const std::string& indent, const std::string& text, size_t used = 0) {
  constexpr size_t kColumns = 100;
  std::string wrapped, line;
  for (size_t begin = 0; begin < text.size();) {
    const size_t end = std::min(text.find(' ', begin), text.size());
    const std::string word = text.substr(begin, end - begin);
    if (!line.empty() && indent.size() + used + line.size() + 1 + word.size() > kColumns) {
      wrapped += indent + line + "\n";
      line.clear();
      used = 0;
    }
    line += (line.empty() ? "" : " ") + word;
    begin = end + 1;
  }
  return wrapped + indent + line + "\n";
}

// A tuple as the formatter leaves it: the comma behind the last of several keeps one per line.
std::string Tuple(const std::string& indent, const Lines& items) {
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

std::string AttributeTypeName(Type type) {
  static constexpr const char* kNames[] = {"tensor", "int", "float", "bool", "choice", "ints"};
  return kNames[static_cast<int>(type)];
}

std::string Choices(const Field& field) {
  Lines choices;
  for (const std::string& choice : field.choices) choices.push_back(Quoted(choice));
  return Joined(choices, ", ");
}

std::string DefaultText(const Contract& contract, const Field& field) {
  if (field.type == Type::kInts) return "None";
  const std::string json = registry::DefaultJson(contract, field);
  if (field.type == Type::kBool) return json == "true" ? "True" : "False";
  return json;
}

// --- signature --------------------------------------------------------------------------------

std::string AttributeAnnotation(const Field& field) {
  switch (field.type) {
    case Type::kChoice: return "Literal[" + Choices(field) + "]";
    case Type::kInts: return field.required ? "Integers" : "Integers | None";
    default: return AttributeTypeName(field.type);
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
  if (Fields(contract, IsResult).size() == 1) return array;
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
                    DefaultText(contract, *field));
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

// numpy's arrays have a dtype in their type, which is not that of all results; others' have none.
std::string Signatures(const Contract& contract) {
  return "@overload\n" + Signature(contract, "NumpyArray") + " ...\n\n\n@overload\n" +
         Signature(contract, "Array") + " ...\n\n\n" + Signature(contract, "Array") + "\n";
}

// --- docstring --------------------------------------------------------------------------------

std::string ArrayType(const Field& field) {
  const std::string dtypes = registry::DTypesText(field);
  if (IsIntegers(field)) return "array or nested sequence of " + dtypes;
  return field.dtype_as.empty() ? "array of " + dtypes : "array, dtype " + dtypes;
}

std::string TensorDoc(const Field& field, const std::string& qualifier) {
  return "    " + field.name + " : " + ArrayType(field) + qualifier + "\n" +
         Wrapped("        ", registry::ShapesText(field) + ": " + field.doc);
}

std::string AttributeDoc(const Contract& contract, const Field& field) {
  std::string type = AttributeTypeName(field.type);
  if (field.type == Type::kChoice) type = "{" + Choices(field) + "}";
  if (field.type == Type::kInts) type = "sequence or array of int";
  if (!field.required) {
    type += field.type == Type::kInts ? ", optional" : ", default " + DefaultText(contract, field);
  }
  return "    " + field.name + " : " + type + "\n" + Wrapped("        ", field.doc);
}

std::string OutputsDoc(const Contract& contract) {
  const std::vector<const Field*> results = Fields(contract, IsResult);
  const bool optional = std::any_of(results.begin(), results.end(),
                                    [](const Field* field) { return !field->is_required(); });
  return "    " + Joined(Names(contract, IsResult, false), ", ") + " : array, optional\n" +
         Wrapped("        ",
                 std::string("where to write, never copied; None: allocated") +
                     (optional ? "; False, for what may be left out: not computed" : ""));
}

std::string ResultDoc(const Field& field) {
  std::string when;
  if (!field.wanted_by.empty()) when = ", None without `" + field.wanted_by + "`";
  if (!field.needs.empty()) {
    Lines needs;
    for (const std::string& need : field.needs) needs.push_back("`" + need + "`");
    when = ", None without " + Joined(needs, " and ");
  }
  return TensorDoc(field, when);
}

std::string Docstring(const Contract& contract) {
  // Three more columns on the first line: its quotes.
  std::string text = Wrapped("    ", contract.summary + ".", 3).replace(4, 0, "\"\"\"");
  text += "\n" + Wrapped("    ", "Source: " + contract.source + ".") +
          "\n    Parameters\n    ----------\n";
  for (const Field* field : Fields(contract, IsPositional)) {
    text += TensorDoc(*field, IsUpdated(*field) ? ", updated in place" : "");
  }
  for (const Field* field : Fields(contract, IsRequiredAttribute))
    text += AttributeDoc(contract, *field);
  for (const Field* field : Fields(contract, IsOptionalInput))
    text += TensorDoc(*field, IsUpdated(*field) ? ", updated in place, optional" : ", optional");
  for (const Field* field : Fields(contract, IsOptionalAttribute))
    text += AttributeDoc(contract, *field);
  text += OutputsDoc(contract) + kHowToRun + "\n    Returns\n    -------\n";
  for (const Field* field : Fields(contract, IsResult)) text += ResultDoc(*field);
  return text + kRaises;
}

// --- module -----------------------------------------------------------------------------------

std::string ResultClass(const Contract& contract) {
  const std::vector<const Field*> results = Fields(contract, IsResult);
  if (results.size() == 1) return "";
  std::string text = "\n\nclass " + PascalCase(contract.name) +
                     "(NamedTuple, Generic[Array]):\n    \"\"\"Outputs of `" + contract.name +
                     "`; None where one was not asked for.\"\"\"\n\n";
  for (const Field* field : results)
    text += "    " + field->name + ": Array" + (field->is_required() ? "" : " | Any") + "\n";
  return text;
}

std::string Constant(const Contract& contract) {
  Lines attributes;
  for (const Field* field : Fields(contract, IsAttribute)) {
    attributes.push_back("(" + Quoted(field->name) + ", " + Quoted(AttributeTypeName(field->type)) +
                         ")");
  }
  std::string integers;
  for (const Field* field : Fields(contract, IsIntegers)) {
    Lines dtypes;
    for (const DType dtype : field->dtypes)
      dtypes.push_back(Quoted(std::string(base::Name(dtype))));
    integers += "        " + Quoted(field->name) + ": (" + Joined(dtypes, ", ") +
                (dtypes.size() == 1 ? "," : "") + "),\n";
  }
  const Lines parts = {Quoted(contract.name),
                       "inputs=" + Tuple("    ", Names(contract, IsInput, true)),
                       "updated=" + Tuple("    ", Names(contract, IsUpdated, true)),
                       "integers={" + (integers.empty() ? "" : "\n" + integers + "    ") + "}",
                       "contiguous=" + Tuple("    ", Names(contract, IsContiguousInStrict, true)),
                       "read_by_plan=" + Tuple("    ", Names(contract, IsReadByPlan, true)),
                       "attributes=" + Tuple("    ", attributes),
                       "outputs=" + Tuple("    ", Names(contract, IsResult, true)),
                       "results=" + (ResultClass(contract).empty() ? std::string("None")
                                                                   : PascalCase(contract.name))};
  return "\n\n_" + UpperCase(contract.name) + " = Operator(\n    " + Joined(parts, ",\n    ") +
         ",\n)\n";
}

std::string Body(const Contract& contract) {
  const bool single = Fields(contract, IsResult).size() == 1;
  const Lines parts = {Tuple("        ", Names(contract, IsInput, false)),
                       Tuple("        ", Names(contract, IsAttribute, false)),
                       Tuple("        ", Names(contract, IsResult, false)),
                       "level",
                       "implementation",
                       "threads"};
  return std::string(single ? "    result: Array = _" : "    results = _") +
         UpperCase(contract.name) + "(\n        " + Joined(parts, ",\n        ") + ",\n    )" +
         (single ? "[0]\n    return result\n"
                 : "\n    return " + PascalCase(contract.name) + "(*results)\n");
}

// --- case.py ----------------------------------------------------------------------------------

std::string RoleName(Role role) {
  static constexpr const char* kNames[] = {"input",           "optional_input", "output",
                                           "optional_output", "inout",          "optional_inout"};
  return kNames[static_cast<int>(role)];
}

// "TND: T, N, D; BSND: B, S, N, D".
std::string FormsText(const Field& field) {
  Lines forms;
  for (const base::ShapeForm& form : field.shapes)
    forms.push_back((form.when.empty() ? "" : form.when + ": ") + form.dims);
  return Joined(forms, "; ");
}

// The attribute that selects among several forms, or the tensor whose rank does.
std::string FormBy(const Contract& contract, const Field& field) {
  if (field.shapes.size() < 2) return "";
  if (!field.layout.empty()) return field.layout;
  return contract.layout_attribute.empty() ? contract.layout_tensor : contract.layout_attribute;
}

Lines TensorEntry(const Contract& contract, const Field& field) {
  Lines dtypes;
  for (const DType dtype : field.dtypes) dtypes.emplace_back(base::Name(dtype));
  Lines needs = field.needs;
  if (!field.wanted_by.empty()) needs.push_back(field.wanted_by);
  return {RoleName(field.role),
          field.dtype_as.empty() ? Joined(dtypes, " ") : "as " + field.dtype_as, FormsText(field),
          FormBy(contract, field), Joined(needs, " ")};
}

Lines AttributeEntry(const Contract& contract, const Field& field) {
  std::string otherwise;
  if (!field.required && field.type != Type::kInts)
    otherwise = field.type == Type::kChoice ? registry::DefaultJson(contract, field)
                                            : DefaultText(contract, field);
  if (field.type == Type::kChoice) otherwise = otherwise.substr(1, otherwise.size() - 2);
  return {field.required ? "required" : "optional", AttributeTypeName(field.type),
          Joined(field.choices, " "), otherwise};
}

// As the formatter leaves it: on one line where that fits; else an item a line, and of one that is
// too long a form a line.
std::string CaseEntry(const Contract& contract, const Field& field) {
  constexpr size_t kColumns = 100;
  Lines entry = field.is_tensor() ? TensorEntry(contract, field) : AttributeEntry(contract, field);
  while (entry.back().empty()) entry.pop_back();
  for (std::string& text : entry) text = Quoted(text);
  const std::string begin = "        " + Quoted(field.name) + ": _Field(";
  const std::string line = begin + Joined(entry, ", ") + "),\n";
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

std::string PythonModule() {
  Lines names;
  for (const base::Operator& op : registry::Operators()) {
    names.push_back(Quoted(op.contract->name));
    if (!ResultClass(*op.contract).empty()) names.push_back(Quoted(PascalCase(op.contract->name)));
  }
  std::sort(names.begin(), names.end());
  std::string text =
      std::string(kHead) + "\n__all__ = [\n    " + Joined(names, ",\n    ") + ",\n]\n";
  for (const base::Operator& op : registry::Operators()) {
    const Contract& contract = *op.contract;
    text += ResultClass(contract) + Constant(contract) + "\n\n" + Signatures(contract) +
            Docstring(contract) + Body(contract);
  }
  return text;
}

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
