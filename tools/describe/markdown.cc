#include "tools/describe/markdown.h"

#include <vector>

#include "registry/join.h"
#include "tools/describe/rows.h"

namespace tamis::describe {
namespace {

using base::Contract;
using registry::Join;

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

}  // namespace

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

}  // namespace tamis::describe
