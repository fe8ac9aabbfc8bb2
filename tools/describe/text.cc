#include "tools/describe/text.h"

#include <algorithm>
#include <vector>

#include "registry/registry.h"
#include "tools/describe/rows.h"

namespace tamis::describe {
namespace {

using base::Contract;

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

std::string Section(const std::string& title, const std::vector<Row>& rows) {
  return rows.empty() ? "" : "\n" + title + "\n" + Columns(rows);
}

}  // namespace

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
  for (const base::Operator& op : registry::Operators())
    rows.push_back({op.contract->name, op.contract->summary});
  return Columns(rows);
}

}  // namespace tamis::describe
