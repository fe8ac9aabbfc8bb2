#include "registry/describe.h"

#include <algorithm>
#include <charconv>
#include <cstring>
#include <vector>

#include "base/cpu_features.h"
#include "base/dtype.h"
#include "registry/registry.h"
#include "tamis/tamis.hpp"

namespace tamis::registry {
namespace {

using base::Contract;
using base::Field;
using base::Limit;
using base::Role;
using base::ShapeForm;
using base::Type;

const char* RoleName(Role role) {
  static constexpr const char* kNames[] = {"input", "optional_input", "output",   "optional_output",
                                           "inout", "optional_inout", "attribute"};
  return kNames[static_cast<int>(role)];
}

const char* TypeName(Type type) {
  static constexpr const char* kNames[] = {"tensor", "int", "float", "bool", "choice", "ints"};
  return kNames[static_cast<int>(type)];
}

const char* RuleName(Limit::Rule rule) {
  static constexpr const char* kNames[] = {"at_most", "multiple_of", "one_of", "equal", "at_least"};
  return kNames[static_cast<int>(rule)];
}

const char* TypeForPeople(Type type) {
  static constexpr const char* kNames[] = {"tensor",  "integer", "number",
                                           "boolean", "choice",  "list of integers"};
  return kNames[static_cast<int>(type)];
}

template <class T>
T DefaultOf(const Contract& contract, const Field& field) {
  return Contract::At<const T>(contract.default_params.get(), field);
}

// The shortest text that reads back as the same number, whatever the locale.
std::string NumberText(double value) {
  char text[32];
  const std::to_chars_result end = std::to_chars(text, text + sizeof(text), value);
  return {text, end.ptr};
}

template <class Range, class Function>
std::string Join(const Range& range, std::string_view separator, Function&& function) {
  std::string text;
  bool first = true;
  for (const auto& item : range) {
    if (!first) text += separator;
    first = false;
    text += function(item);
  }
  return text;
}

std::string JsonList(const std::vector<std::string>& items) {
  return "[" + Join(items, ",", [](const std::string& item) { return JsonString(item); }) + "]";
}

std::string JsonOrNull(const std::string& text) { return text.empty() ? "null" : JsonString(text); }

const char* JsonBool(bool value) { return value ? "true" : "false"; }

std::vector<std::string> DTypeNames(const Field& field) {
  std::vector<std::string> names;
  for (DType dtype : field.dtypes) names.emplace_back(base::Name(dtype));
  return names;
}

std::string DefaultText(const Contract& contract, const Field& field) {
  if (field.required) return "required";
  switch (field.type) {
    case Type::kChoice: {
      const auto index = static_cast<size_t>(DefaultOf<int32_t>(contract, field));
      return field.choices[index];
    }
    case Type::kInts: return "absent";
    default: return DefaultJson(contract, field);
  }
}

// What strict asks of one argument, as rows of the tables of limits have it.
std::vector<std::string> StrictTexts(const Contract& contract, const Field& field) {
  using Presence = base::StrictRule::Presence;
  const base::StrictRule& rule = field.strict;
  std::vector<std::string> texts;
  if (rule.presence == Presence::kRequired) texts.emplace_back("required");
  if (rule.presence == Presence::kNone) texts.emplace_back("none");
  if (!rule.dtypes.empty()) {
    texts.push_back(Join(rule.dtypes, " or ", [](DType d) { return std::string(base::Name(d)); }));
  }
  if (rule.contiguous) texts.emplace_back("contiguous");
  if (rule.default_only) texts.push_back("= " + DefaultText(contract, field));
  return texts;
}

std::string ArgumentJson(const Contract& contract, const Field& field) {
  std::string json = "{\"name\":" + JsonString(field.name) + ",\"role\":\"" + RoleName(field.role) +
                     "\",\"type\":\"" + TypeName(field.type) +
                     "\",\"doc\":" + JsonString(field.doc);
  if (field.is_tensor()) {
    json += ",\"dtypes\":" + JsonList(DTypeNames(field)) +
            ",\"dtype_as\":" + JsonOrNull(field.dtype_as) + ",\"shapes\":[" +
            Join(field.shapes, ",",
                 [](const ShapeForm& form) {
                   return "{\"when\":" + JsonOrNull(form.when) +
                          ",\"dims\":" + JsonList(base::SplitDims(form.dims)) + "}";
                 }) +
            "],\"layout\":" +
            JsonOrNull(field.layout.empty() && field.shapes.size() > 1 ? contract.layout_attribute
                                                                       : field.layout) +
            ",\"dtype_attribute\":" + JsonOrNull(field.dtype_attribute) + ",\"dtype_choices\":[" +
            Join(field.dtype_choices, ",",
                 [](DType dtype) {
                   return dtype == DType::kNone ? std::string("null")
                                                : JsonString(std::string(base::Name(dtype)));
                 }) +
            "],\"wanted_by\":" + JsonOrNull(field.wanted_by) +
            ",\"needs\":" + JsonList(field.needs) + ",\"ranked\":" + JsonBool(field.ranked) +
            ",\"read_by_plan\":" + JsonBool(field.read_by_plan);
  } else {
    json += std::string(",\"required\":") + JsonBool(field.required);
    if (!field.required) json += ",\"default\":" + DefaultJson(contract, field);
    if (field.type == Type::kChoice) json += ",\"choices\":" + JsonList(field.choices);
  }
  if (!field.strict.empty()) json += ",\"strict\":" + JsonList(StrictTexts(contract, field));
  return json + "}";
}

std::string LimitJson(const Limit& limit) {
  return "{\"argument\":" + JsonString(limit.argument) +
         ",\"quantity\":" + JsonString(limit.quantity) + ",\"rule\":\"" + RuleName(limit.rule) +
         "\",\"bounds\":" + JsonList(limit.bounds) + ",\"text\":" + JsonString(limit.text()) + "}";
}

// --- for people -------------------------------------------------------------------------------

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

// "D a multiple of 16"
std::string LimitText(const Limit& limit) {
  const bool equality = limit.rule == Limit::Rule::kEqual || limit.rule == Limit::Rule::kOneOf;
  return (limit.quantity == limit.argument ? "" : limit.quantity + " ") + (equality ? "= " : "") +
         limit.text();
}

using Row = std::vector<std::string>;

// Columns of equal width but for the last, which runs free.
std::string Columns(const std::vector<Row>& rows) {
  std::vector<size_t> widths;
  for (const Row& row : rows) {
    widths.resize(std::max(widths.size(), row.size()));
    for (size_t i = 0; i < row.size(); ++i) widths[i] = std::max(widths[i], row[i].size());
  }
  std::string text;
  for (const Row& row : rows) {
    std::string line = " ";
    for (size_t i = 0; i < row.size(); ++i) {
      line += " " + row[i];
      if (i + 1 < row.size()) line += std::string(widths[i] - row[i].size() + 1, ' ');
    }
    line.erase(line.find_last_not_of(' ') + 1);
    text += line + "\n";
  }
  return text;
}

std::vector<Row> TensorRows(const Contract& contract) {
  std::vector<Row> rows;
  for (const Field& field : contract.fields) {
    if (!field.is_tensor()) continue;
    const std::string doc = field.doc + (field.ranked ? " (ranked)" : "");
    rows.push_back({field.name, RoleText(field.role), ShapesText(field), DTypesText(field), doc});
  }
  return rows;
}

std::vector<Row> AttributeRows(const Contract& contract) {
  std::vector<Row> rows;
  for (const Field& field : contract.fields) {
    if (field.is_tensor()) continue;
    rows.push_back({field.name, AttributeTypeText(field), DefaultText(contract, field), field.doc});
  }
  return rows;
}

std::vector<Row> LimitRows(const Contract& contract) {
  std::vector<Row> rows;
  for (const Field& field : contract.fields) {
    for (const std::string& text : StrictTexts(contract, field)) rows.push_back({field.name, text});
  }
  for (const Limit& limit : contract.limits) rows.push_back({limit.argument, LimitText(limit)});
  return rows;
}

std::vector<Row> ExampleRows(const base::Operator& op) {
  std::vector<Row> rows;
  for (const base::Example& example : *op.examples) rows.push_back({example.name, example.doc});
  return rows;
}

std::string Section(const std::string& title, const std::vector<Row>& rows) {
  return rows.empty() ? "" : "\n" + title + "\n" + Columns(rows);
}

// A cell of a markdown table: a bar would end it.
std::string Cell(const std::string& text) {
  return Join(text, "", [](char c) { return c == '|' ? std::string("\\|") : std::string(1, c); });
}

// `code` names the columns that are set as code.
std::string MarkdownTable(const Row& head, const std::vector<Row>& rows,
                          const std::vector<bool>& code) {
  const auto line = [](const Row& cells) {
    return "| " + Join(cells, " | ", [](const std::string& cell) { return Cell(cell); }) + " |\n";
  };
  std::string text = line(head) + line(Row(head.size(), "---"));
  for (Row row : rows) {
    for (size_t i = 0; i < row.size(); ++i) {
      if (code[i] && !row[i].empty()) row[i] = std::string("`").append(row[i]).append("`");
    }
    text += line(row);
  }
  return text;
}

// --- the typed C interface --------------------------------------------------------------------

constexpr const char* kGenerated =
    "// Made from the contracts by `dev generate` (cmake/generate.cc): do not edit.\n"
    "// clang-format off\n";

const char* CType(Type type) {
  static constexpr const char* kNames[] = {"tamis_tensor", "int64_t",     "double",
                                           "int64_t",      "const char*", "tamis_int_list"};
  return kNames[static_cast<int>(type)];
}

const char* TypeEnumerator(Type type) {
  static constexpr const char* kNames[] = {"kTensor", "kInt",    "kFloat",
                                           "kBool",   "kChoice", "kInts"};
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
    return RoleText(field.role) + " " + ShapesText(field) + " " + DTypesText(field) + ": " +
           field.doc;
  }
  std::string text = DefaultText(contract, field);
  if (field.type == Type::kChoice) {
    text = "one of " + AttributeTypeText(field) + "; " +
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

// "kNsaCompress"
std::string Constant(const std::string& name) {
  std::string text = "k";
  bool upper = true;
  for (const char c : name) {
    if (c != '_') text += upper ? static_cast<char>(c - 'a' + 'A') : c;
    upper = c == '_';
  }
  return text;
}

std::string CMembers(const Contract& contract) {
  const std::string type = "tamis_" + contract.name + "_params";
  const std::string constant = Constant(contract.name);
  std::string text = "constexpr Member " + constant + "Members[] = {\n";
  for (const Field& field : contract.fields) {
    text += "    {\"" + field.name + "\", base::Type::" + TypeEnumerator(field.type) +
            ", offsetof(" + type + ", " + field.name + ")},\n";
  }
  return text + "};\nconstexpr Typed " + constant + " = {\"" + contract.name + "\", " + constant +
         "Members, sizeof(" + type + ")};\n\n";
}

std::string CBodies(const Contract& contract) {
  const std::string name = "tamis_" + contract.name;
  const std::string typed = "tamis::capi::" + Constant(contract.name);
  const std::string params = name + "_params* params";
  return "tamis_status " + name + "_params_init_sized(\n    " + params +
         ", size_t struct_size) {\n  return tamis::capi::InitParams(" + typed +
         ", params, struct_size);\n}\n\ntamis_status " + name +
         "_plan(\n    const tamis_context* context, const " + params +
         ",\n    tamis_plan** plan) {\n  return tamis::capi::PlanTyped(" + typed +
         ", context, params, plan);\n}\n\ntamis_status " + name +
         "_run(\n    const tamis_plan* plan, const " + params +
         ",\n    void* workspace, int64_t workspace_bytes, void* stream) {\n"
         "  return tamis::capi::RunTyped(" +
         typed +
         ", plan, params, workspace, workspace_bytes,\n                               "
         "stream);\n}\n\ntamis_status " +
         name + "_renew(\n    tamis_plan* plan, const " + params +
         ") {\n  return tamis::capi::RenewTyped(" + typed + ", plan, params);\n}\n";
}

template <class Function>
std::string PerOperator(std::string_view separator, Function&& function) {
  return Join(Operators(), separator,
              [&](const base::Operator& op) { return function(*op.contract); });
}

}  // namespace

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
  return Join(DTypeNames(field), ", ", [](const std::string& name) { return name; });
}

std::string JsonString(std::string_view text) {
  static constexpr char kHex[] = "0123456789abcdef";
  std::string json = "\"";
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if (c == '"' || c == '\\') {
      json += {'\\', c};
    } else if (byte < 0x20 || byte == 0x7f) {
      json += {'\\', 'u', '0', '0', kHex[byte >> 4], kHex[byte & 15]};
    } else {
      json += c;
    }
  }
  return json + "\"";
}

std::string DefaultJson(const Contract& contract, const Field& field) {
  switch (field.type) {
    case Type::kInt: return std::to_string(DefaultOf<int64_t>(contract, field));
    case Type::kFloat: return NumberText(DefaultOf<double>(contract, field));
    case Type::kBool: return JsonBool(DefaultOf<bool>(contract, field));
    case Type::kChoice:
      return JsonString(field.choices[static_cast<size_t>(DefaultOf<int32_t>(contract, field))]);
    case Type::kInts:
    case Type::kTensor: break;
  }
  return "null";  // absent
}

std::string DescribeJson(const base::Operator& op) {
  const Contract& contract = *op.contract;
  const auto argument = [&](const Field& field) { return ArgumentJson(contract, field); };
  const auto example = [](const base::Example& e) {
    return "{\"name\":" + JsonString(e.name) + ",\"doc\":" + JsonString(e.doc) +
           ",\"timed\":" + JsonBool(e.timed) + "}";
  };
  const auto implementation = [](Implementation i) {
    return JsonString(std::string(base::Name(i)));
  };
  return "{\"name\":" + JsonString(contract.name) + ",\"summary\":" + JsonString(contract.summary) +
         ",\"source\":" + JsonString(contract.source) +
         ",\"layout_attribute\":" + JsonOrNull(contract.layout_attribute) +
         ",\"layout_tensor\":" + JsonOrNull(contract.layout_tensor) + ",\"arguments\":[" +
         Join(contract.fields, ",", argument) + "],\"limits\":[" +
         Join(contract.limits, ",", LimitJson) + "],\"envelope\":" + JsonList(contract.envelope) +
         ",\"implementations\":[" + Join(op.implementations, ",", implementation) + "]" +
         ",\"examples\":[" + Join(*op.examples, ",", example) + "]}";
}

std::string DescribeAllJson() {
  return "{\"version\":" + JsonString(version()) + ",\"operators\":[" +
         Join(Operators(), ",", [](const base::Operator& op) { return DescribeJson(op); }) + "]}";
}

std::string DescribeText(const base::Operator& op) {
  const Contract& contract = *op.contract;
  std::vector<Row> envelope;
  for (const std::string& line : contract.envelope) envelope.push_back({line});
  return contract.name + ": " + contract.summary + "\nsource: " + contract.source + "\n" +
         Section("tensors", TensorRows(contract)) + Section("attributes", AttributeRows(contract)) +
         Section("limits with strict", LimitRows(contract)) +
         Section("the device, for information", envelope) + Section("examples", ExampleRows(op));
}

std::string DescribeAllText() {
  std::vector<Row> rows;
  for (const base::Operator& op : Operators())
    rows.push_back({op.contract->name, op.contract->summary});
  return Columns(rows);
}

std::string DescribeMarkdown(const base::Operator& op) {
  const Contract& contract = *op.contract;
  std::string text = MarkdownTable({"tensor", "role", "shape", "dtype", ""}, TensorRows(contract),
                                   {true, false, true, false, false}) +
                     "\n" +
                     MarkdownTable({"attribute", "type", "default", ""}, AttributeRows(contract),
                                   {true, false, false, false});
  if (!LimitRows(contract).empty()) {
    text += "\nWith `strict`, the document's limits too:\n\n" +
            MarkdownTable({"argument", "limit"}, LimitRows(contract), {true, false});
  }
  if (!contract.envelope.empty()) {
    text += "\nThe device, for information:\n\n";
    for (const std::string& line : contract.envelope) text += "* " + line + "\n";
  }
  if (!op.examples->empty()) {
    text += "\n" + MarkdownTable({"example", ""}, ExampleRows(op), {true, false});
  }
  return text;
}

std::string CHeader() {
  return std::string(kGenerated) +
         "// The typed calls of the C interface. Included by tamis.h.\n"
         "#ifndef TAMIS_TAMIS_OPS_H_\n#define TAMIS_TAMIS_OPS_H_\n\n"
         "#include \"tamis.h\"\n\n"
         "#ifdef __cplusplus\nextern \"C\" {\n#endif\n\n" +
         PerOperator("\n", [](const Contract& c) { return CStruct(c) + "\n" + CFunctions(c); }) +
         "\n#ifdef __cplusplus\n}\n#endif\n\n#endif\n";
}

std::string CSource() {
  return std::string(kGenerated) +
         "#include <cstddef>\n\n#include \"capi/typed.h\"\n#include \"tamis/tamis.h\"\n\n"
         "namespace tamis::capi {\nnamespace {\n\n" +
         PerOperator("", CMembers) +
         "}  // namespace\n\nstd::span<const Typed> AllTyped() {\n  static constexpr Typed kAll[] "
         "= {" +
         PerOperator(", ", [](const Contract& c) { return Constant(c.name); }) +
         "};\n  return kAll;\n}\n\n}  // namespace tamis::capi\n\n" + "extern \"C\" {\n\n" +
         PerOperator("\n", CBodies) + "\n}  // extern \"C\"\n";
}

}  // namespace tamis::registry
