#include "generate_torch.h"

#include <string>
#include <vector>

#include "generate_text.h"
#include "registry/describe.h"
#include "registry/registry.h"

namespace tamis::generate {
namespace {

constexpr const char* kHead =
    R"(// Made from the contracts by `dev generate` (cmake/generate.cc): do not edit.
// clang-format off
// The operators as PyTorch sees them.
#pragma once

#include "operator.h"

namespace tamis::torch_ops {

)";

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

// "nsa_compress(Tensor input, Tensor weight, *, SymInt[] act_seq_len, ...) -> Tensor output": the
// arguments in the order of the Python function, without those that say how to run.
std::string Schema(const Contract& contract) {
  Lines arguments;
  char alias = 'a';
  const auto type = [&](const Field& field) {
    return "Tensor" + (IsUpdated(field) ? std::string("(") + alias++ + "!)" : "");
  };
  for (const Field* field : Fields(contract, IsPositional))
    arguments.push_back(type(*field) + " " + field->name);
  arguments.emplace_back("*");
  for (const Field* field : Fields(contract, IsRequiredAttribute))
    arguments.push_back(SchemaType(*field) + " " + field->name);
  for (const Field* field : Fields(contract, IsOptionalInput))
    arguments.push_back(type(*field) + "? " + field->name + "=None");
  for (const Field* field : Fields(contract, IsOptionalAttribute)) {
    arguments.push_back(SchemaType(*field) + " " + field->name + "=" +
                        SchemaDefault(contract, *field));
  }
  Lines results;
  for (const Field* field : Fields(contract, IsResult)) results.push_back("Tensor " + field->name);
  const std::string returned =
      results.size() == 1 ? results.front() : "(" + Joined(results, ", ") + ")";
  return contract.name + "(" + Joined(arguments, ", ") + ") -> " + returned;
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

std::string Arguments(const Contract& contract) {
  std::string text = "inline constexpr Argument k" + PascalCase(contract.name) + "[] = {\n";
  for (auto* which : {IsPositional, IsRequiredAttribute, IsOptionalInput, IsOptionalAttribute}) {
    for (const Field* field : Fields(contract, which))
      text += "    {" + Quoted(field->name) + ", Kind::" + Kind(*field) +
              (field->strict.contiguous ? ", kContiguous" : "") + "},\n";
  }
  return text + "};\n";
}

std::string Results(const Contract& contract) {
  Lines names;
  for (const Field* field : Fields(contract, IsResult)) names.push_back(Quoted(field->name));
  return "inline constexpr const char* k" + PascalCase(contract.name) + "Results[] = {" +
         Joined(names, ", ") + "};\n";
}

// A string literal of C++.
std::string Literal(const std::string& text) {
  std::string escaped;
  for (const char c : text) escaped += c == '"' ? "\\\"" : std::string(1, c);
  return Quoted(escaped);
}

}  // namespace

std::string TorchOperators() {
  std::string text = kHead;
  std::string table = "\ninline constexpr Operator kOperators[] = {\n";
  for (const base::Operator& op : registry::Operators()) {
    const Contract& contract = *op.contract;
    const std::string constant = "k" + PascalCase(contract.name);
    text += Arguments(contract) + Results(contract);
    table += "    {" + Quoted(contract.name) + ",\n     " + Literal(Schema(contract)) + ",\n     " +
             constant + ", std::size(" + constant + "), " + constant + "Results, std::size(" +
             constant + "Results)},\n";
  }
  return text + table + "};\n\n}  // namespace tamis::torch_ops\n";
}

}  // namespace tamis::generate
