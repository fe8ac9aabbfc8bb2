#include "tools/generate/c_header.h"

#include <algorithm>
#include <cstring>

#include "registry/argument_text.h"
#include "tools/describe/argument_words.h"
#include "tools/generate/head.h"
#include "tools/generate/per_operator.h"

namespace tamis::generate {
namespace {

using base::Contract;
using base::Field;
using base::Type;

const char* CType(Type type) {
  static constexpr const char* kNames[] = {"tamis_tensor", "int64_t",     "double",
                                           "int64_t",      "const char*", "tamis_int_list"};
  return kNames[static_cast<int>(type)];
}

// A comment of at most 100 columns.
std::string CComment(const std::string& indent, const std::string& text) {
  constexpr size_t kColumns = 100;
  std::string comment = indent + "/*";
  size_t line = comment.size();
  for (size_t begin = 0; begin < text.size();) {
    const size_t end = std::min(text.find(' ', begin), text.size());
    if (line + 1 + (end - begin) + std::strlen(" */") > kColumns) {
      comment.append("\n").append(indent).append(" *");
      line = indent.size() + 2;
    }
    comment.append(" ").append(text, begin, end - begin);
    line += 1 + (end - begin);
    begin = end + 1;
  }
  return comment + " */\n";
}

std::string CDoc(const Contract& contract, const Field& field) {
  if (field.is_tensor()) {
    return describe::RoleText(field.role) + " " + describe::ShapesText(field) + " " +
           describe::DTypesText(field) + ": " + field.doc;
  }
  std::string text = registry::DefaultText(contract, field);
  if (field.type == Type::kChoice) {
    text = "one of " + describe::AttributeTypeText(field) + "; " +
           (field.required ? text : "NULL means " + text);
  } else if (!field.required && field.type == Type::kInts) {
    text = "optional";
  } else if (!field.required) {
    text = (field.type == Type::kBool ? "0 or 1, default " : "default ") + text;
  }
  return text + ": " + field.doc;
}

std::string CStruct(const Contract& contract) {
  const std::string type = "tamis_" + contract.name + "_params";
  std::string text = CComment("", contract.summary + ". " + contract.source + ".");
  text += "typedef struct " + type + " {\n";
  text += CComment("  ", "sizeof(" + type + ") of the caller");
  text += "  size_t struct_size;\n";
  for (const Field& field : contract.fields) {
    text += CComment("  ", CDoc(contract, field));
    text += std::string("  ") + CType(field.type) + " " + field.name + ";\n";
  }
  return text + "} " + type + ";\n";
}

std::string CFunctions(const Contract& contract) {
  const std::string name = "tamis_" + contract.name;
  const std::string params = name + "_params* params";
  return "/* Sets struct_size and the defaults of the members that lie within `struct_size` bytes. "
         "*/\n"
         "TAMIS_C_API tamis_status " +
         name + "_params_init_sized(\n    " + params +
         ", size_t struct_size);\n"
         "/* The same for the struct as this header knows it. */\n"
         "static inline tamis_status " +
         name + "_params_init(\n    " + params + ") {\n  return " + name +
         "_params_init_sized(params, sizeof(*params));\n}\n"
         "/* Checks and prepares a call: see tamis_plan_run and tamis_plan_destroy. */\n"
         "TAMIS_C_API tamis_status " +
         name + "_plan(\n    const tamis_context* context, const " + params +
         ",\n    tamis_plan** plan);\n"
         "/* Runs a plan on the tensors of `params`: see tamis_plan_run_by_name. */\n"
         "TAMIS_C_API tamis_status " +
         name + "_run(\n    const tamis_plan* plan, const " + params +
         ",\n    void* workspace, int64_t workspace_bytes, void* stream);\n"
         "/* Gives a plan the integers of `params`: see tamis_plan_renew_by_name. */\n"
         "TAMIS_C_API tamis_status " +
         name + "_renew(\n    tamis_plan* plan, const " + params + ");\n";
}

}  // namespace

std::string CHeader() {
  return HeadOfC() +
         "// The typed calls of the C interface. Included by tamis.h.\n"
         "#ifndef TAMIS_TAMIS_OPS_H_\n#define TAMIS_TAMIS_OPS_H_\n\n"
         "#include \"tamis.h\"\n\n"
         "#ifdef __cplusplus\nextern \"C\" {\n#endif\n\n" +
         PerOperator("\n", [](const Contract& c) { return CStruct(c) + "\n" + CFunctions(c); }) +
         "\n#ifdef __cplusplus\n}\n#endif\n\n#endif\n";
}

}  // namespace tamis::generate
