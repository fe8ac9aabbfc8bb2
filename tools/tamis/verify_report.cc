#include "tools/tamis/verify_report.h"

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>
#include <optional>

#include "base/dtype.h"
#include "tools/tamis/text.h"

namespace tamis::tools {
namespace {

using registry::Mismatch;
using registry::OutputComparison;
using Rows = std::vector<std::vector<std::string>>;

constexpr int kDigits = 9;

std::string Optional(const std::optional<double>& value) {
  return value ? Number(*value, kDigits) : "-";
}

// "attention_out differs at [200, 2, 0] (sequence 2, token 70, head 2): all 18 channels of ..."
std::string Location(const OutputComparison& c) {
  return c.output + " differs at " + registry::IndexText(c.first.front().index) +
         (c.where.empty() ? "" : " (" + c.where + ")") + ": " + c.pattern + "\n";
}

std::string Values(const std::vector<Judgement>& judged) {
  Rows rows = {{"output", "index", ">file", ">tamis", ">reference", ">within"}};
  for (const Judgement& j : judged) {
    if (j.comparison.ok()) continue;
    for (const Mismatch& m : j.comparison.first) {
      rows.push_back({j.comparison.output, registry::IndexText(m.index), Optional(m.expected),
                      Number(m.tamis, kDigits), Optional(m.reference),
                      m.admitted < 0 ? "0" : Number(m.admitted)});
    }
  }
  return Table(rows);
}

// Of a selection the numbers alone do not say what is wrong.
std::string Complaints(const std::vector<Judgement>& judged) {
  std::string text;
  for (const auto& [against, c] : judged) {
    if (!c.ok() && (c.dtype == DType::kInt32 || c.dtype == DType::kInt64))
      text += c.output + " " + c.first_mismatch + "\n";
  }
  return text.empty() ? "" : "\n" + text;
}

// Where rows were too many for the reference.
std::string Extrapolated(const std::vector<Judgement>& judged) {
  std::string text;
  for (const auto& [against, c] : judged) {
    if (c.judged_rows >= c.differing_rows) continue;
    text += c.output + ": of " + std::to_string(c.differing_rows) +
            " rows that are not the same the reference judged " + std::to_string(c.judged_rows) +
            "; the others lie within the largest of their bounds, or are counted (--rows)\n";
  }
  return text.empty() ? "" : "\n" + text;
}

nlohmann::json JsonNumber(const std::optional<double>& value) {
  if (!value) return nullptr;
  if (std::isfinite(*value)) return *value;
  return std::isnan(*value) ? "nan" : *value > 0 ? "inf" : "-inf";
}

nlohmann::json Json(const Mismatch& m) {
  return {{"index", m.index},
          {"file", JsonNumber(m.expected)},
          {"tamis", JsonNumber(m.tamis)},
          {"reference", JsonNumber(m.reference)},
          {"within", JsonNumber(std::max(m.admitted, 0.0))},
          {"complaint", m.complaint}};
}

nlohmann::json Json(const Judgement& judgement) {
  const OutputComparison& c = judgement.comparison;
  nlohmann::json first = nlohmann::json::array();
  for (const Mismatch& m : c.first) first.push_back(Json(m));
  return {{"output", c.output},
          {"dtype", std::string(base::Name(c.dtype))},
          {"shape", c.shape},
          {"against", judgement.against},
          {"tolerance", c.tolerance.text()},
          {"rows", c.rows},
          {"differing_rows", c.differing_rows},
          {"judged_rows", c.judged_rows},
          {"elements", c.elements},
          {"max_error", JsonNumber(c.max_error)},
          {"max_of_tolerance", JsonNumber(c.max_ratio)},
          {"swapped", c.swapped},
          {"mismatches", c.mismatches},
          {"admitted_mismatches", c.admitted_mismatches},
          {"agrees", c.ok()},
          {"where", c.where},
          {"pattern", c.pattern},
          {"first", first}};
}

}  // namespace

std::string VerifyText(const std::vector<Judgement>& judged) {
  Rows rows = {{"output", "dtype", "against", "tolerance", ">rows", ">max error", ">of tolerance",
                ">swapped", ">mismatches", "verdict"}};
  std::string located;
  for (const auto& [against, c] : judged) {
    rows.push_back({c.output, std::string(base::Name(c.dtype)), against, c.tolerance.text(),
                    std::to_string(c.rows), Number(c.max_error), Number(c.max_ratio),
                    std::to_string(c.swapped), std::to_string(c.mismatches),
                    c.ok() ? "agrees" : "DIFFERS"});
    if (!c.ok()) located += Location(c);
  }
  if (!located.empty()) located += "\n" + Values(judged) + Complaints(judged) + "\n";
  return located + Table(rows) + Extrapolated(judged);
}

std::string VerifyJson(const std::string& op, const std::vector<Judgement>& judged,
                       const std::string& explanation) {
  nlohmann::json outputs = nlohmann::json::array();
  bool agrees = true;
  for (const Judgement& j : judged) {
    outputs.push_back(Json(j));
    agrees = agrees && j.comparison.ok();
  }
  const nlohmann::json all = {
      {"operator", op}, {"agrees", agrees}, {"outputs", outputs}, {"plan", explanation}};
  return all.dump(-1, ' ', true, nlohmann::json::error_handler_t::replace) + "\n";
}

}  // namespace tamis::tools
