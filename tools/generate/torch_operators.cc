#include "tools/generate/torch_operators.h"

#include <algorithm>
#include <string>
#include <vector>

#include "registry/argument_text.h"
#include "registry/join.h"
#include "registry/registry.h"
#include "tools/generate/fields.h"
#include "tools/generate/head.h"
#include "tools/generate/names.h"

namespace tamis::generate {
namespace {

using registry::Join;

constexpr const char* kBegin =
    "// The operators as PyTorch sees them.\n#pragma once\n\n#include \"operator.h\"\n\n"
    "namespace tamis::torch_ops {\n\n";

// PyTorch's type of an attribute; sizes may be symbolic while a graph is traced.
std::string SchemaType(const Field& field) {
  switch (field.type) {
    case Type::kTensor: break;
    case Type::kInt: return "SymInt";
    case Type::kFloat: return "float";
    case Type::kBool: return "bool";
    case Type::kChoice: return "str";
    case Type::kInts: return field.required ? "SymInt[]" : "SymInt[]?";
  }
  return "Tensor";
}

std::string SchemaDefault(const Contract& contract, const Field& field) {
  const std::string json = registry::DefaultJson(contract, field);
  if (field.type == Type::kBool) return json == "true" ? "True" : "False";
  return json == "null" ? "None" : json;
}

// The order of a schema's arguments: tensors, those that may be absent last, then attributes, those
// that have a default last.
std::vector<const Field*> InOrder(const Contract& contract) {
  std::vector<const Field*> fields;
  for (auto* which : {IsPositional, IsOptionalInput, IsRequiredAttribute, IsOptionalAttribute}) {
    for (const Field* field : Fields(contract, which)) fields.push_back(field);
  }
  return fields;
}

// "Tensor(a!)? key_shadow=None"; `alias` is the next letter.
std::string TensorArgument(const Field& field, bool written, bool required, char* alias) {
  const std::string mark = written ? std::string("(") + (*alias)++ + "!)" : "";
  return "Tensor" + mark + (required ? " " + field.name : "? " + field.name + "=None");
}

// "nsa_compress(Tensor input, Tensor weight, *, SymInt[] act_seq_len, ...) -> Tensor output". No
// input stands after the "*": PyTorch's register_autograd takes no such schema. With `out`, outputs
// stand there instead of being results, as in PyTorch's own overloads of that name.
std::string Schema(const Contract& contract, bool out) {
  Lines tensors;
  Lines attributes;
  Lines results;
  char alias = 'a';
  for (const Field* field : InOrder(contract)) {
    if (IsAttribute(*field)) {
      attributes.push_back(SchemaType(*field) + " " + field->name +
                           (field->required ? "" : "=" + SchemaDefault(contract, *field)));
    } else {
      tensors.push_back(TensorArgument(*field, IsUpdated(*field), IsPositional(*field), &alias));
    }
  }
  for (const Field* field : Fields(contract, IsResult)) {
    if (out) {
      attributes.push_back(TensorArgument(*field, true, field->is_required(), &alias));
    } else {
      results.push_back("Tensor " + field->name);
    }
  }
  const std::string returned =
      results.size() == 1 ? results.front() : "(" + Join(results, ", ") + ")";
  return contract.name + (out ? ".out" : "") + "(" + Join(tensors, ", ") + ", *, " +
         Join(attributes, ", ") + ") -> " + returned;
}

// Without results there is nothing that the overload `out` could do beside the other.
bool HasResults(const Contract& contract) { return !Fields(contract, IsResult).empty(); }

// Whether an operator is its gradient, or it brings gradients of its own inputs.
bool HasGradient(const Contract& contract) {
  const bool brings =
      std::any_of(contract.fields.begin(), contract.fields.end(),
                  [](const auto& f) { return f.is_output() && !f.gradient_of.empty(); });
  if (brings && contract.gradient_of.empty()) return true;
  const auto all = registry::Operators();
  return std::any_of(all.begin(), all.end(), [&](const base::Operator& op) {
    return op.contract->gradient_of == contract.name;
  });
}

std::string Kind(const Field& field) {
  switch (field.type) {
    case Type::kTensor: break;
    case Type::kInt: return "kInt";
    case Type::kFloat: return "kFloat";
    case Type::kBool: return "kBool";
    case Type::kChoice: return "kString";
    case Type::kInts: return field.required ? "kInts" : "kOptionalInts";
  }
  if (IsUpdated(field)) return IsPositional(field) ? "kUpdatedTensor" : "kOptionalUpdatedTensor";
  if (IsIntegers(field) && field.dtypes.size() == 1)
    return IsPositional(field) ? "kInt32Tensor" : "kOptionalInt32Tensor";
  return IsPositional(field) ? "kTensor" : "kOptionalTensor";
}

std::string Row(const Field& field, const std::string& kind) {
  return "    {.name = " + Quoted(field.name) + ", .kind = Kind::" + kind +
         (field.strict.contiguous ? ", .contiguous = true" : "") +
         (field.read_by_plan ? ", .read_by_plan = true" : "") + "},\n";
}

std::string Arguments(const Contract& contract) {
  const std::string name = PascalCase(contract.name);
  std::string text = "inline constexpr Argument k" + name + "[] = {\n";
  for (const Field* field : InOrder(contract)) text += Row(*field, Kind(*field));
  text += "};\n";
  if (!HasResults(contract)) return text;
  text += "inline constexpr Argument k" + name + "Outputs[] = {\n";
  for (const Field* field : Fields(contract, IsResult))
    text += Row(*field, field->is_required() ? "kUpdatedTensor" : "kOptionalUpdatedTensor");
  return text + "};\n";
}

}  // namespace

std::string TorchOperators() {
  std::string text = HeadOfC() + kBegin;
  std::string table = "\ninline constexpr Operator kOperators[] = {\n";
  for (const base::Operator& op : registry::Operators()) {
    const Contract& contract = *op.contract;
    const std::string constant = "k" + PascalCase(contract.name);
    text += Arguments(contract);
    table += "    {.name = " + Quoted(contract.name) +
             ",\n     .schema = " + Quoted(Schema(contract, false));
    if (HasResults(contract)) {
      table += ",\n     .out_name = " + Quoted(contract.name + ".out") +
               ",\n     .out_schema = " + Quoted(Schema(contract, true));
    }
    table.append(",\n     .arguments = ").append(constant);
    if (HasResults(contract)) table.append(",\n     .outputs = ").append(constant) += "Outputs";
    if (HasGradient(contract)) table += ",\n     .has_backward = true";
    table += "},\n";
  }
  return text + table + "};\n\n}  // namespace tamis::torch_ops\n";
}

}  // namespace tamis::generate
