#include "registry/compare.h"

#include <cmath>

#include "base/errors.h"
#include "registry/judged_output.h"

namespace tamis::registry {
namespace {

void CompareElement(int64_t element, const GoldenElement& golden, double got, Judged* output) {
  const Tolerance& tolerance = output->c.tolerance;
  double want = golden.value;
  double admitted = 0;
  if (tolerance.kind == Tolerance::Kind::kBits) {
    want = RoundedTo(output->c.dtype, want);
  } else if (tolerance.kind == Tolerance::Kind::kNumber) {
    admitted = tolerance.number * (1 + std::fabs(want));
  } else {
    admitted = golden.Admitted(tolerance.kind, output->c.dtype);
  }
  Verdict verdict = JudgeValue(output->c.dtype, want, admitted, got);
  if (tolerance.kind == Tolerance::Kind::kBits) verdict.ok = SameBits(want, got);
  output->findings.Error(verdict.error, verdict.ratio);
  output->Difference(element, got - golden.value);
  if (verdict.ok) return;
  Mismatch m;
  m.tamis = got;
  m.reference = golden.value;
  m.admitted = admitted;
  m.complaint = "expected " + NumberText(want) + " within " + NumberText(admitted) + ", got " +
                NumberText(got);
  output->findings.Differ(element, std::move(m));
}

void CompareGoldenRow(const base::GoldenOutput& golden, size_t slot, Judged* output) {
  const int64_t row = golden.rows[slot];
  if (row < 0) return;
  ++output->c.rows;
  ++output->c.judged_rows;
  if (output->field->ranked) {
    CompareRanked(golden, slot, row, RowOf(golden, slot), false, output);
    return;
  }
  std::vector<double> got;
  output->got.Read(row, &got);
  for (int64_t e = 0; e < golden.row_elems; ++e) {
    CompareElement(row * golden.row_elems + e, ElementOf(golden, slot, e),
                   got[static_cast<size_t>(e)], output);
  }
}

}  // namespace

std::string Tolerance::text() const {
  switch (kind) {
    case Kind::kFp32: return "fp32";
    case Kind::kDevice: return "device";
    case Kind::kBits: return "bits";
    case Kind::kNumber: break;
  }
  return NumberText(number);
}

const Tolerance& Tolerances::Of(std::string_view output) const {
  for (const auto& [name, tolerance] : own) {
    if (name == output) return tolerance;
  }
  return all;
}

Result<int64_t> CountRows(const base::Operator& op, const void* params) {
  base::Dims dims;
  int64_t rows = 0;
  TAMIS_RETURN_IF_ERROR(op.infer(params, &dims));
  TAMIS_RETURN_IF_ERROR(base::CountRows(*op.contract, params, dims, &rows));
  return rows;
}

std::vector<int64_t> SpreadRows(int64_t total, int64_t count) {
  std::vector<int64_t> rows;
  if (total <= 0 || count <= 0) return rows;
  count = std::min(count, total);
  rows.reserve(static_cast<size_t>(count));
  uint64_t state = 0x9e3779b97f4a7c15u;
  for (int64_t i = 0; i < count; ++i) {
    // Stretch i; a random place in it, so that no pattern of the rows is always met at one phase.
    const int64_t quotient = total / count;
    const int64_t remainder = total % count;
    const int64_t begin = i * quotient + std::min(i, remainder);
    const int64_t length = quotient + (i < remainder ? 1 : 0);
    state = state * 6364136223846793005u + 1442695040888963407u;
    int64_t row = begin + static_cast<int64_t>((state >> 33) % static_cast<uint64_t>(length));
    if (i == 0) row = 0;
    if (i == count - 1 && count > 1) row = total - 1;
    rows.push_back(row);
  }
  return rows;
}

Result<std::vector<OutputComparison>> CompareWithReference(const base::Operator& op,
                                                           const void* params,
                                                           const std::vector<int64_t>& rows,
                                                           int32_t threads,
                                                           const CompareOptions& options) {
  const Result<int64_t> total = CountRows(op, params);
  if (!total.ok()) return total.status();
  for (int64_t row : rows) {
    if (row < 0 || row >= *total)
      return base::Invalid("rows", "0 to " + std::to_string(*total - 1), row);
  }
  base::Dims dims;
  TAMIS_RETURN_IF_ERROR(op.infer(params, &dims));
  std::vector<std::unique_ptr<Judged>> outputs = Present(op, params, dims);
  for (auto& output : outputs) output->Prepare(options);
  TAMIS_RETURN_IF_ERROR(
      ForGolden(op, params, rows, threads, options.progress, [&](const base::Golden& golden) {
        for (auto& output : outputs) {
          const base::GoldenOutput& values = golden.outputs[output->golden_index];
          output->outliers = values.outliers;
          for (size_t slot = 0; slot < golden.rows.size(); ++slot)
            CompareGoldenRow(values, slot, output.get());
        }
        return Status::Ok();
      }));
  return Report(&outputs);
}

}  // namespace tamis::registry
