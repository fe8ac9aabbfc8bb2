#include "tools/generate/python_module.h"

#include <algorithm>
#include <string>
#include <vector>

#include "registry/argument_text.h"
#include "registry/join.h"
#include "registry/registry.h"
#include "tools/generate/fields.h"
#include "tools/generate/head.h"
#include "tools/generate/names.h"
#include "tools/generate/python_docstring.h"
#include "tools/generate/python_signature.h"
#include "tools/generate/python_words.h"

namespace tamis::generate {
namespace {

using registry::Join;

constexpr const char* kBegin =
    R"(from __future__ import annotations

from typing import Any, Generic, Literal, NamedTuple, overload

from tamis._call import Operator
from tamis._typing import Array, Implementation, Integers, Level, Nested, NumpyArray
)";

std::string ResultClass(const Contract& contract) {
  const std::vector<const Field*> results = Fields(contract, IsResult);
  if (results.size() <= 1) return "";
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
    attributes.push_back("(" + Quoted(field->name) + ", " +
                         Quoted(registry::TypeName(field->type)) + ")");
  }
  std::string integers;
  for (const Field* field : Fields(contract, IsIntegers)) {
    const Lines dtypes = registry::DTypeNames(*field);
    integers += "        " + Quoted(field->name) + ": (" + Join(dtypes, ", ", Quoted) +
                (dtypes.size() == 1 ? "," : "") + "),\n";
  }
  const Lines parts = {
      Quoted(contract.name),
      "inputs=" + PythonTuple("    ", Names(contract, IsInput, true)),
      "updated=" + PythonTuple("    ", Names(contract, IsUpdated, true)),
      "integers={" + (integers.empty() ? "" : "\n" + integers + "    ") + "}",
      "contiguous=" + PythonTuple("    ", Names(contract, IsContiguousInStrict, true)),
      "read_by_plan=" + PythonTuple("    ", Names(contract, IsReadByPlan, true)),
      "attributes=" + PythonTuple("    ", attributes),
      "outputs=" + PythonTuple("    ", Names(contract, IsResult, true)),
      "results=" +
          (ResultClass(contract).empty() ? std::string("None") : PascalCase(contract.name))};
  return "\n\n_" + UpperCase(contract.name) + " = Operator(\n    " + Join(parts, ",\n    ") +
         ",\n)\n";
}

std::string Body(const Contract& contract) {
  const size_t results = Fields(contract, IsResult).size();
  const Lines parts = {PythonTuple("        ", Names(contract, IsInput, false)),
                       PythonTuple("        ", Names(contract, IsAttribute, false)),
                       PythonTuple("        ", Names(contract, IsResult, false)),
                       "level",
                       "implementation",
                       "threads"};
  const std::string call =
      "_" + UpperCase(contract.name) + "(\n        " + Join(parts, ",\n        ") + ",\n    )";
  if (results == 0) return "    " + call + "\n";
  if (results == 1) return "    result: Array = " + call + "[0]\n    return result\n";
  return "    results = " + call + "\n    return " + PascalCase(contract.name) + "(*results)\n";
}

}  // namespace

std::string PythonModule() {
  Lines names;
  for (const base::Operator& op : registry::Operators()) {
    names.push_back(Quoted(op.contract->name));
    if (!ResultClass(*op.contract).empty()) names.push_back(Quoted(PascalCase(op.contract->name)));
  }
  std::sort(names.begin(), names.end());
  std::string text = "\"\"\"" + std::string(kHead) + "\"\"\"\n\n" + kBegin + "\n__all__ = [\n    " +
                     Join(names, ",\n    ") + ",\n]\n";
  for (const base::Operator& op : registry::Operators()) {
    const Contract& contract = *op.contract;
    text += ResultClass(contract) + Constant(contract) + "\n\n" + PythonSignatures(contract) +
            PythonDocstring(contract) + Body(contract);
  }
  return text;
}

}  // namespace tamis::generate
