#include "tools/describe/rows.h"

#include "registry/argument_text.h"
#include "tools/describe/argument_words.h"

namespace tamis::describe {

using base::Contract;
using base::Field;
using base::Limit;

namespace {

// "D a multiple of 16"
std::string LimitText(const Limit& limit) {
  const bool equality = limit.rule == Limit::Rule::kEqual || limit.rule == Limit::Rule::kOneOf;
  return (limit.quantity == limit.argument ? "" : limit.quantity + " ") + (equality ? "= " : "") +
         limit.text();
}

}  // namespace

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
    rows.push_back(
        {field.name, AttributeTypeText(field), registry::DefaultText(contract, field), field.doc});
  }
  return rows;
}

std::vector<Row> LimitRows(const Contract& contract) {
  std::vector<Row> rows;
  for (const Field& field : contract.fields) {
    for (const std::string& text : registry::StrictTexts(contract, field))
      rows.push_back({field.name, text});
  }
  for (const Limit& limit : contract.limits) rows.push_back({limit.argument, LimitText(limit)});
  return rows;
}

std::vector<Row> ExampleRows(const base::Operator& op) {
  std::vector<Row> rows;
  for (const base::Example& example : *op.examples) rows.push_back({example.name, example.doc});
  return rows;
}

}  // namespace tamis::describe
