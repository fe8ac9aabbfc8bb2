#include "registry/describe.h"

#include "base/cpu_features.h"
#include "base/dtype.h"
#include "registry/argument_text.h"
#include "registry/join.h"
#include "registry/json.h"

namespace tamis::registry {
namespace {

using base::Contract;
using base::Field;
using base::Limit;
using base::ShapeForm;
using base::Type;

const char* RuleName(Limit::Rule rule) {
  static constexpr const char* kNames[] = {"at_most", "multiple_of", "one_of", "equal", "at_least"};
  return kNames[static_cast<int>(rule)];
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
            ",\"needs\":" + JsonList(field.needs) +
            ",\"gradient_of\":" + JsonOrNull(field.gradient_of) +
            ",\"ranked\":" + JsonBool(field.ranked) +
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

}  // namespace

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
         ",\"gradient_of\":" + JsonOrNull(contract.gradient_of) +
         ",\"layout_attribute\":" + JsonOrNull(contract.layout_attribute) +
         ",\"layout_tensor\":" + JsonOrNull(contract.layout_tensor) + ",\"arguments\":[" +
         Join(contract.fields, ",", argument) + "],\"limits\":[" +
         Join(contract.limits, ",", LimitJson) + "],\"envelope\":" + JsonList(contract.envelope) +
         ",\"implementations\":[" + Join(op.implementations, ",", implementation) + "]" +
         ",\"examples\":[" + Join(*op.examples, ",", example) + "]}";
}

}  // namespace tamis::registry
