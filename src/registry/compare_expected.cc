// Comparing with results from elsewhere: see registry/compare.h.
#include <algorithm>
#include <cmath>
#include <limits>
#include <memory>

#include "base/dtype.h"
#include "base/errors.h"
#include "parallel/parallel.h"
#include "registry/judged_output.h"

namespace tamis::registry {
namespace {

constexpr int64_t kMostParts = 64;

bool IsFloat(DType dtype) {
  return dtype == DType::kFloat16 || dtype == DType::kBFloat16 || dtype == DType::kFloat32 ||
         dtype == DType::kFloat64;
}

double SizeOf(const std::vector<double>& values) {
  double squares = 0;
  for (const double x : values) squares += std::isfinite(x) ? x * x : 0;
  return values.empty() ? 0 : std::sqrt(squares / static_cast<double>(values.size()));
}

// How far apart two rows are, beside the size of ours. 0: they are the same.
double Apart(const std::vector<double>& got, const std::vector<double>& want) {
  double most = 0;
  for (size_t e = 0; e < got.size(); ++e) {
    if (SameBits(got[e], want[e]) || got[e] == want[e]) continue;
    const double error = std::fabs(got[e] - want[e]);
    most = std::max(most, std::isfinite(error) ? error : std::numeric_limits<double>::infinity());
  }
  if (most == 0) return 0;
  const double size = SizeOf(got);
  return size > 0 ? most / size : std::numeric_limits<double>::infinity();
}

// Calls visit(row, findings) for all rows, split over threads.
template <class Visit>
void ForRows(int32_t threads, Judged* output, Visit&& visit) {
  const int64_t rows = output->got.rows();
  const int64_t parts = std::min(rows, kMostParts);
  std::vector<Findings> found(static_cast<size_t>(parts),
                              Findings(output->c.shape, &output->c.differs));
  parallel::ForEach({}, threads, parts, [&](int64_t part, int32_t) {
    const int64_t begin = rows * part / parts;
    const int64_t end = rows * (part + 1) / parts;
    for (int64_t row = begin; row < end; ++row) visit(row, &found[static_cast<size_t>(part)]);
  });
  for (const Findings& part : found) output->findings.Merge(part);
}

void DifferFromExpected(int64_t element, double got, double want, double admitted,
                        const GoldenElement* golden, Findings* findings) {
  Mismatch m;
  m.tamis = got;
  m.expected = want;
  if (golden != nullptr) m.reference = golden->value;
  m.admitted = admitted;
  m.complaint = "expected " + NumberText(want) + " within " + NumberText(admitted) + ", got " +
                NumberText(got);
  findings->Differ(element, std::move(m));
}

std::vector<int64_t> Suspects(const Judged& output) {
  std::vector<int64_t> rows;
  for (size_t row = 0; row < output.worst.size(); ++row) {
    if (output.worst[row] > 0) rows.push_back(static_cast<int64_t>(row));
  }
  return rows;
}

// Which rows differ, and by how much; where the tolerance needs no reference, which elements.
void CompareRows(int32_t threads, Judged* output) {
  const Tolerance& tolerance = output->c.tolerance;
  output->worst.assign(static_cast<size_t>(output->got.rows()), 0);
  output->judged.assign(output->worst.size(), 0);
  const bool by_itself = !output->field->ranked && (tolerance.kind == Tolerance::Kind::kBits ||
                                                    tolerance.kind == Tolerance::Kind::kNumber);
  ForRows(threads, output, [&](int64_t row, Findings* findings) {
    std::vector<double> got, want;
    output->got.Read(row, &got);
    output->want->Read(row, &want);
    for (size_t e = 0; e < got.size(); ++e) {
      const int64_t element = row * output->got.row_elems() + static_cast<int64_t>(e);
      output->Difference(element, want[e] - got[e]);
      if (!by_itself) continue;
      const bool bits = tolerance.kind == Tolerance::Kind::kBits;
      const double admitted = bits ? 0 : tolerance.number * (1 + std::fabs(want[e]));
      Verdict verdict = JudgeValue(output->c.dtype, want[e], admitted, got[e]);
      if (bits) verdict.ok = SameBits(want[e], got[e]);
      findings->Error(verdict.error, verdict.ratio);
      if (!verdict.ok) DifferFromExpected(element, got[e], want[e], admitted, nullptr, findings);
    }
    if (!by_itself) output->worst[static_cast<size_t>(row)] = Apart(got, want);
  });
  output->c.differing_rows = static_cast<int64_t>(Suspects(*output).size());
}

void SortOnce(std::vector<int64_t>* rows) {
  std::sort(rows->begin(), rows->end());
  rows->erase(std::unique(rows->begin(), rows->end()), rows->end());
}

// Rows for the reference: those whose lists differ; of the others that differ all, or the worst of
// every output and as many between; any, to reach those of outputs with rows of their own.
std::vector<int64_t> ChooseRows(const std::vector<std::unique_ptr<Judged>>& outputs, int64_t total,
                                int64_t limit) {
  std::vector<int64_t> chosen, others;
  std::vector<std::vector<int64_t>> by_output;
  for (const auto& output : outputs) {
    std::vector<int64_t> rows = Suspects(*output);
    if (rows.empty()) continue;
    if (output->own_rows) rows = SpreadRows(total, limit);
    std::vector<int64_t>& to = output->field->ranked ? chosen : others;
    to.insert(to.end(), rows.begin(), rows.end());
    if (output->field->ranked || output->own_rows) continue;
    std::stable_sort(rows.begin(), rows.end(), [&](int64_t a, int64_t b) {
      return output->worst[static_cast<size_t>(a)] > output->worst[static_cast<size_t>(b)];
    });
    by_output.push_back(std::move(rows));
  }
  SortOnce(&others);
  const auto count = static_cast<int64_t>(others.size());
  if (count <= limit) {
    chosen.insert(chosen.end(), others.begin(), others.end());
  } else {
    for (const std::vector<int64_t>& rows : by_output) {
      const auto most = std::max<size_t>(1, static_cast<size_t>(limit) / 2 / by_output.size());
      chosen.insert(chosen.end(), rows.begin(),
                    rows.begin() + static_cast<ptrdiff_t>(std::min(most, rows.size())));
    }
    for (const int64_t at : SpreadRows(count, (limit + 1) / 2))
      chosen.push_back(others[static_cast<size_t>(at)]);
  }
  SortOnce(&chosen);
  return chosen;
}

// One row of both, by the reference. `golden` follows our selection, `theirs` that of the results.
void JudgeRow(const base::GoldenOutput& golden, const base::GoldenOutput& theirs, size_t slot,
              Judged* output) {
  const int64_t row = golden.rows[slot];
  // What follows from another selection should not be the same.
  const bool follow = &golden != &theirs;
  if (row < 0 || (output->worst[static_cast<size_t>(row)] == 0 && !follow)) return;
  output->judged[static_cast<size_t>(row)] = 1;
  ++output->c.judged_rows;
  std::vector<double> got, want;
  output->got.Read(row, &got);
  output->want->Read(row, &want);
  if (output->field->ranked) {
    CompareRanked(golden, slot, row, want.data(), true, output);
    return;
  }
  const Tolerance::Kind kind = output->c.tolerance.kind;
  const DType dtype = output->c.dtype;
  double most = 0;
  for (int64_t e = 0; e < golden.row_elems; ++e) {
    const auto at = static_cast<size_t>(e);
    const GoldenElement ours = ElementOf(golden, slot, e);
    const GoldenElement other = ElementOf(theirs, slot, e);
    const double both = ours.Evaluation(Tolerance::Kind::kFp32) + other.Evaluation(kind);
    if (std::isfinite(both)) most = std::max(most, both);
    if (got[at] == want[at] && !follow) continue;
    const double admitted =
        std::max(other.Admitted(kind, dtype), other.Admitted(kind, output->want_dtype));
    const Verdict they = JudgeValue(dtype, other.value, admitted, want[at]);
    const double own = ours.Admitted(Tolerance::Kind::kFp32, dtype);
    const Verdict we = JudgeValue(dtype, ours.value, own, got[at]);
    const double error = std::fabs(got[at] - want[at]);
    output->findings.Error(std::isfinite(error) ? error : 0, std::max(they.ratio, we.ratio));
    if (they.ok && we.ok) continue;
    DifferFromExpected(row * golden.row_elems + e, got[at], want[at], they.ok ? own : admitted,
                       they.ok ? &ours : &other, &output->findings);
  }
  output->most_admitted = std::max(output->most_admitted, most);
  const double size = SizeOf(got);
  if (size > 0) output->most_relative = std::max(output->most_relative, most / size);
}

// Rows that differ and that the reference was not asked for, or that it does not write.
void CompareOthers(int32_t threads, Judged* output) {
  if (output->field->ranked) return;
  ForRows(threads, output, [&](int64_t row, Findings* findings) {
    const auto at = static_cast<size_t>(row);
    if (output->worst[at] == 0 || output->judged[at] != 0) return;
    std::vector<double> got, want;
    output->got.Read(row, &got);
    output->want->Read(row, &want);
    const double evaluation = std::min(output->most_admitted, output->most_relative * SizeOf(got));
    for (size_t e = 0; e < got.size(); ++e) {
      const double size = std::fabs(want[e]) + evaluation;
      const double own = base::RoundingBound(output->c.dtype, size);
      const double rounding = own + std::max(own, base::RoundingBound(output->want_dtype, size));
      const double admitted = output->complete ? 0 : evaluation + rounding;
      const Verdict verdict = JudgeValue(output->c.dtype, want[e], admitted, got[e]);
      findings->Error(verdict.error, verdict.ratio);
      if (verdict.ok) continue;
      DifferFromExpected(row * output->got.row_elems() + static_cast<int64_t>(e), got[e], want[e],
                         admitted, nullptr, findings);
    }
  });
}

// A call's params with another call's selections.
class WithSelections {
 public:
  WithSelections(const base::Operator& op, const void* params,
                 const std::vector<std::unique_ptr<Judged>>& outputs)
      : params_(op.contract->copy_params(params)) {
    for (const auto& output : outputs) {
      if (!output->field->ranked || Suspects(*output).empty()) continue;
      differ_ = true;
      std::vector<int64_t>& list = lists_.emplace_back();
      list.resize(static_cast<size_t>(output->got.rows() * output->got.row_elems()));
      std::vector<double> row;
      size_t at = 0;
      for (int64_t r = 0; r < output->got.rows(); ++r) {
        output->want->Read(r, &row);
        for (const double index : row)
          base::StoreDouble(list.data(), output->c.dtype, static_cast<int64_t>(at++), index);
      }
      base::Contract::tensor(params_.get(), *output->field) = {list.data(), output->c.dtype,
                                                               output->c.shape};
    }
  }

  bool differ() const { return differ_; }
  const void* params() const { return params_.get(); }

 private:
  std::shared_ptr<void> params_;
  std::vector<std::vector<int64_t>> lists_;
  bool differ_ = false;
};

// What the reference says of mismatches that were found without it.
Status FillReferences(const base::Operator& op, const void* params, int32_t threads,
                      std::vector<std::unique_ptr<Judged>>* outputs) {
  std::vector<int64_t> rows;
  const auto row_of = [](const Judged& output, const Mismatch& m) {
    int64_t element = 0;
    for (size_t d = 0; d < m.index.size(); ++d) element = element * output.c.shape[d] + m.index[d];
    return std::pair(element / output.got.row_elems(), element % output.got.row_elems());
  };
  for (const auto& output : *outputs) {
    if (output->own_rows) continue;
    for (const Mismatch& m : output->findings.first()) {
      if (!m.reference) rows.push_back(row_of(*output, m).first);
    }
  }
  SortOnce(&rows);
  return ForGolden(op, params, rows, threads, {}, [&](const base::Golden& golden) {
    for (auto& output : *outputs) {
      if (output->own_rows) continue;
      for (Mismatch& m : output->findings.first()) {
        const auto [row, e] = row_of(*output, m);
        const auto slot = std::find(golden.rows.begin(), golden.rows.end(), row);
        if (m.reference || slot == golden.rows.end()) continue;
        m.reference = ElementOf(golden.outputs[output->golden_index],
                                static_cast<size_t>(slot - golden.rows.begin()), e)
                          .value;
      }
    }
    return Status::Ok();
  });
}

const TensorView* FindExpected(const Expected& expected, const std::string& output) {
  for (const auto& [name, view] : expected) {
    if (name == output) return &view;
  }
  return nullptr;
}

}  // namespace

Status CheckExpected(const base::Operator& op, const void* params, const Expected& expected) {
  base::Dims dims;
  TAMIS_RETURN_IF_ERROR(op.infer(params, &dims));
  for (const auto& [name, view] : expected) {
    const std::string argument = "expected." + name;
    const base::Field* field = op.contract->Find(name);
    if (field == nullptr || !field->is_output()) {
      return base::Invalid(argument, "an output of " + op.contract->name, "an unknown name");
    }
    if (!op.contract->Wants(*field, params))
      return base::Invalid(argument, "none without " + field->wanted_by, "a tensor");
    if (const std::string* missing = op.contract->Missing(*field, params); missing != nullptr)
      return base::Invalid(argument, "none without " + *missing, "a tensor");
    if (field->is_updated() && base::Contract::tensor(params, *field).absent())
      return base::Invalid(argument, "none without " + field->name, "a tensor");
    DType dtype = DType::kNone;
    std::vector<int64_t> shape;
    TAMIS_RETURN_IF_ERROR(op.contract->OutputShape(*field, params, dims, &dtype, &shape));
    if (IsFloat(dtype) != IsFloat(view.dtype)) {
      return base::Invalid(argument,
                           std::string(IsFloat(dtype) ? "a floating dtype" : "an integer dtype") +
                               " for " + std::string(base::Name(dtype)),
                           base::Name(view.dtype));
    }
    if (view.rank < 0 || shape != std::vector<int64_t>(view.shape, view.shape + view.rank))
      return base::Invalid(argument, "shape " + base::ShapeText(shape), base::ShapeText(view));
  }
  return Status::Ok();
}

Result<std::vector<OutputComparison>> CompareWithExpected(const base::Operator& op,
                                                          const void* params,
                                                          const Expected& expected,
                                                          int64_t reference_rows, int32_t threads,
                                                          const CompareOptions& options) {
  TAMIS_RETURN_IF_ERROR(CheckExpected(op, params, expected));
  const Result<int64_t> total = CountRows(op, params);
  if (!total.ok()) return total.status();
  base::Dims dims;
  TAMIS_RETURN_IF_ERROR(op.infer(params, &dims));
  std::vector<std::unique_ptr<Judged>> outputs = Present(op, params, dims);
  for (const auto& [name, view] : expected) {
    if (base::Contract::tensor(params, *op.contract->Find(name)).absent())
      return base::NullArgument(name);
  }
  outputs.erase(std::remove_if(outputs.begin(), outputs.end(),
                               [&](const auto& output) {
                                 return FindExpected(expected, output->field->name) == nullptr;
                               }),
                outputs.end());
  for (auto& output : outputs) {
    const TensorView& want = *FindExpected(expected, output->field->name);
    output->want =
        std::make_unique<RowReader>(want, op.contract->RowDimsOf(*output->field, params));
    output->want_dtype = want.dtype;
    output->c.rows = output->got.rows();
    output->Prepare(options);
    CompareRows(threads, output.get());
  }

  const std::vector<int64_t> rows = ChooseRows(outputs, *total, reference_rows);
  for (auto& output : outputs)
    output->complete = output->own_rows && static_cast<int64_t>(rows.size()) == *total;
  const WithSelections theirs(op, params, outputs);
  const auto judge = [&](const base::Golden& golden) {
    base::Golden other;
    if (theirs.differ()) {
      other.rows = golden.rows;
      other.follow_selection = true;
      TAMIS_RETURN_IF_ERROR(op.reference(theirs.params(), threads, &other));
    }
    for (auto& output : outputs) {
      const base::GoldenOutput& values = golden.outputs[output->golden_index];
      output->outliers = values.outliers;
      const base::GoldenOutput& others =
          theirs.differ() ? other.outputs[output->golden_index] : values;
      for (size_t slot = 0; slot < golden.rows.size(); ++slot)
        JudgeRow(values, others, slot, output.get());
    }
    return Status::Ok();
  };
  TAMIS_RETURN_IF_ERROR(ForGolden(op, params, rows, threads, options.progress, judge));
  for (auto& output : outputs) CompareOthers(threads, output.get());
  TAMIS_RETURN_IF_ERROR(FillReferences(op, params, threads, &outputs));
  return Report(&outputs);
}

}  // namespace tamis::registry
