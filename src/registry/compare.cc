#include "registry/compare.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <limits>

#include "base/dtype.h"
#include "base/errors.h"
#include "parallel/parallel.h"

namespace tamis::registry {
namespace {

// Small enough that the golden values of the largest rows (128 heads x 512) stay below 100 MB.
constexpr int64_t kRowsPerReference = 64;
constexpr int64_t kRowsPerItem = 64;

// The rank of an element carries the score's error twice: once in where the list is cut, once in
// the element's own score.
constexpr double kRankErrors = 2;

constexpr double kInfinity = std::numeric_limits<double>::infinity();

bool IsFloat(DType dtype) {
  return dtype == DType::kFloat16 || dtype == DType::kBFloat16 || dtype == DType::kFloat32 ||
         dtype == DType::kFloat64;
}

double RoundedTo(DType dtype, double value) {
  uint64_t bits = 0;
  base::StoreDouble(&bits, dtype, 0, value);
  return base::LoadAsDouble(&bits, dtype, 0);
}

std::string Text(double value) {
  char text[32];
  std::snprintf(text, sizeof(text), "%.9g", value);
  return text;
}

// Elements of a strided output by (row, element within the row).
class RowReader {
 public:
  RowReader(const TensorView& view, int row_dims) : view_(view), row_dims_(row_dims) {
    // Sizes beside one of 0 are the caller's word alone, and may be any number.
    if (std::find(view.shape, view.shape + view.rank, 0) != view.shape + view.rank) return;
    int64_t elems = 1;
    for (int i = row_dims; i < view.rank; ++i) elems *= view.shape[i];
    offsets_.reserve(static_cast<size_t>(elems));
    for (int64_t e = 0; e < elems; ++e) {
      offsets_.push_back(Offset(row_dims, view.rank, e));
    }
  }

  /// That hold an element.
  int64_t rows() const {
    if (offsets_.empty()) return 0;
    int64_t rows = 1;
    for (int i = 0; i < row_dims_; ++i) rows *= view_.shape[i];
    return rows;
  }
  int64_t row_elems() const { return static_cast<int64_t>(offsets_.size()); }
  int64_t list_elems() const { return view_.shape[view_.rank - 1]; }

  void Read(int64_t row, std::vector<double>* values) const {
    values->resize(offsets_.size());
    if (offsets_.empty()) return;
    const int64_t begin = Offset(0, row_dims_, row);
    for (size_t e = 0; e < offsets_.size(); ++e)
      (*values)[e] = base::LoadAsDouble(view_.data, view_.dtype, begin + offsets_[e]);
  }

 private:
  int64_t Offset(int first_dim, int end_dim, int64_t index) const {
    int64_t offset = 0;
    for (int i = end_dim - 1; i >= first_dim; --i) {
      offset += index % view_.shape[i] * view_.strides[i];
      index /= view_.shape[i];
    }
    return offset;
  }

  const TensorView& view_;
  int row_dims_;
  std::vector<int64_t> offsets_;  // of a row's elements from its beginning
};

void Mismatch(int64_t row, int64_t element, const std::string& complaint, OutputComparison* c) {
  if (c->mismatches++ == 0) {
    c->first_mismatch =
        "row " + std::to_string(row) + ", element " + std::to_string(element) + ": " + complaint;
  }
}

// Where nothing is admitted, any error is infinitely too large.
double RatioOf(double error, double admitted) {
  if (admitted > 0) return error / admitted;
  return error > 0 ? kInfinity : 0;
}

// One element: `want` is exact, `admitted` what it may be missed by before `dtype` rounds.
void CompareValue(DType dtype, double want, double admitted, double got, int64_t row,
                  int64_t element, OutputComparison* c) {
  if (got == want || (std::isnan(got) && std::isnan(want))) return;
  // Ill-conditioned: an evaluation in fp32 may give anything, NaN included.
  const bool bounded = admitted <= static_cast<double>(std::numeric_limits<float>::max());
  if (std::isfinite(want) && !bounded) return;
  if (std::isfinite(got) && std::isfinite(want)) {
    const double error = std::fabs(got - want);
    c->max_error = std::max(c->max_error, error);
    c->max_ratio = std::max(c->max_ratio, RatioOf(error, admitted));
    if (error <= admitted) return;
  } else if (std::isinf(got) && std::isfinite(want)) {
    // A value at the edge of the dtype's range may round to infinity.
    if (RoundedTo(dtype, want + std::copysign(admitted, got)) == got) return;
  }
  Mismatch(row, element,
           "expected " + Text(want) + " within " + Text(admitted) + ", got " + Text(got), c);
}

double ScoreDistance(double a, double b) {
  if (a == b || (std::isnan(a) && std::isnan(b))) return 0;  // equal infinities included
  const double distance = std::fabs(a - b);
  return std::isnan(distance) ? kInfinity : distance;
}

// One ranked list of `size` indices; `first` is its first element within the row.
void CompareList(const double* want, const double* got, int64_t size,
                 const std::vector<double>& scores, double admitted, int64_t row, int64_t first,
                 OutputComparison* c) {
  std::vector<std::pair<double, int64_t>> seen;
  for (int64_t i = 0; i < size; ++i) {
    if (got[i] >= 0) seen.emplace_back(got[i], i);
  }
  std::sort(seen.begin(), seen.end());
  for (size_t i = 1; i < seen.size(); ++i) {
    if (seen[i].first == seen[i - 1].first) {
      Mismatch(row, first + seen[i].second,
               "expected distinct indices, got " + Text(seen[i].first) + " twice", c);
    }
  }
  const auto candidates = static_cast<double>(scores.size());
  for (int64_t i = 0; i < size; ++i) {
    if (got[i] == want[i]) continue;
    const bool known = got[i] >= 0 && got[i] < candidates && want[i] >= 0 && want[i] < candidates;
    if (!known) {
      Mismatch(row, first + i, "expected index " + Text(want[i]) + ", got " + Text(got[i]), c);
      continue;
    }
    const double found = scores[static_cast<size_t>(got[i])];
    const double best = scores[static_cast<size_t>(want[i])];
    const double distance = ScoreDistance(found, best);
    c->max_error = std::max(c->max_error, distance);
    c->max_ratio = std::max(c->max_ratio, RatioOf(distance, admitted));
    if (distance <= admitted) {
      ++c->swapped;
    } else {
      Mismatch(row, first + i,
               "expected index " + Text(want[i]) + " of score " + Text(best) + " within " +
                   Text(admitted) + ", got " + Text(got[i]) + " of score " + Text(found),
               c);
    }
  }
}

void Merge(const OutputComparison& part, OutputComparison* whole) {
  if (whole->mismatches == 0) whole->first_mismatch = part.first_mismatch;
  whole->mismatches += part.mismatches;
  whole->swapped += part.swapped;
  whole->max_error = std::max(whole->max_error, part.max_error);
  whole->max_ratio = std::max(whole->max_ratio, part.max_ratio);
}

// Calls visit(golden) for consecutive parts of `rows`.
template <class Visit>
Status ForGolden(const base::Operator& op, const void* params, const std::vector<int64_t>& rows,
                 int32_t threads, const Progress& progress, Visit&& visit) {
  for (size_t begin = 0; begin < rows.size(); begin += kRowsPerReference) {
    const size_t end = std::min(rows.size(), begin + kRowsPerReference);
    base::Golden golden;
    golden.rows.assign(rows.begin() + static_cast<ptrdiff_t>(begin),
                       rows.begin() + static_cast<ptrdiff_t>(end));
    golden.follow_selection = true;  // the outputs are there
    TAMIS_RETURN_IF_ERROR(op.reference(params, threads, &golden));
    visit(golden);
    if (progress) progress(static_cast<int64_t>(end), static_cast<int64_t>(rows.size()));
  }
  return Status::Ok();
}

const double* GoldenRow(const base::GoldenOutput& golden, size_t slot) {
  return golden.value.data() + slot * static_cast<size_t>(golden.row_elems);
}

// One row of a ranked output against `want`, list by list, by the scores of golden's row `slot`.
void CompareRanked(const RowReader& reader, const base::GoldenOutput& golden, size_t slot,
                   int64_t row, const double* want, double errors, OutputComparison* c) {
  std::vector<double> got;
  reader.Read(row, &got);
  const int64_t size = reader.list_elems();
  const int64_t lists = size > 0 ? reader.row_elems() / size : 0;
  for (int64_t list = 0; list < lists; ++list) {
    const size_t place = slot * static_cast<size_t>(lists) + static_cast<size_t>(list);
    CompareList(want + list * size, got.data() + list * size, size, golden.scores[place],
                errors * golden.score_bound[place], row, list * size, c);
  }
}

void CompareGolden(const RowReader& reader, DType dtype, const base::Golden& golden,
                   const base::GoldenOutput& output, const std::optional<Tolerance>& tolerance,
                   OutputComparison* c) {
  std::vector<double> got;
  for (size_t slot = 0; slot < golden.rows.size(); ++slot) {
    const int64_t row = output.rows[slot];
    if (row < 0) continue;
    const double* want = GoldenRow(output, slot);
    const double* bound = output.bound.data() + slot * static_cast<size_t>(output.row_elems);
    reader.Read(row, &got);
    ++c->rows;
    for (int64_t e = 0; e < output.row_elems; ++e) {
      // The rounding is that of the value the evaluation found, not of the exact one.
      const double admitted =
          tolerance ? tolerance->atol + tolerance->rtol * std::fabs(want[e])
                    : bound[e] + base::RoundingBound(dtype, std::fabs(want[e]) + bound[e]);
      CompareValue(dtype, want[e], admitted, got[static_cast<size_t>(e)], row, e, c);
    }
  }
}

const TensorView* FindExpected(const Expected& expected, const std::string& output) {
  for (const auto& [name, view] : expected) {
    if (name == output) return &view;
  }
  return nullptr;
}

// Compares all rows of a plain output, split over threads.
void CompareAll(const RowReader& reader, DType dtype, const RowReader& expected,
                const Tolerance& tolerance, int64_t rows, int32_t threads, OutputComparison* c) {
  const int64_t items = (rows + kRowsPerItem - 1) / kRowsPerItem;
  std::vector<OutputComparison> parts(static_cast<size_t>(items));
  parallel::ForEach({}, threads, items, [&](int64_t item, int32_t) {
    std::vector<double> got;
    std::vector<double> want;
    OutputComparison part;
    for (int64_t row = item * kRowsPerItem; row < std::min(rows, (item + 1) * kRowsPerItem);
         ++row) {
      reader.Read(row, &got);
      expected.Read(row, &want);
      for (size_t e = 0; e < got.size(); ++e) {
        const double admitted = tolerance.atol + tolerance.rtol * std::fabs(want[e]);
        CompareValue(dtype, want[e], admitted, got[e], row, static_cast<int64_t>(e), &part);
      }
    }
    parts[static_cast<size_t>(item)] = std::move(part);
  });
  for (const OutputComparison& part : parts) Merge(part, c);
}

// Compares all rows of a ranked output: equal lists need no scores.
Status CompareAllRanked(const base::Operator& op, const void* params, size_t output_index,
                        const RowReader& reader, const RowReader& expected, int64_t rows,
                        int32_t threads, const Progress& progress, OutputComparison* c) {
  std::vector<char> same(static_cast<size_t>(rows));
  parallel::ForEach({}, threads, rows, [&](int64_t row, int32_t) {
    std::vector<double> got;
    std::vector<double> want;
    reader.Read(row, &got);
    expected.Read(row, &want);
    same[static_cast<size_t>(row)] = got == want ? 1 : 0;
  });
  std::vector<int64_t> different;
  for (int64_t row = 0; row < rows; ++row) {
    if (!same[static_cast<size_t>(row)]) different.push_back(row);
  }
  // Both sides carry the error of a rank.
  return ForGolden(op, params, different, threads, progress, [&](const base::Golden& golden) {
    std::vector<double> want;
    for (size_t slot = 0; slot < golden.rows.size(); ++slot) {
      expected.Read(golden.rows[slot], &want);
      CompareRanked(reader, golden.outputs[output_index], slot, golden.rows[slot], want.data(),
                    2 * kRankErrors, c);
    }
  });
}

}  // namespace

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

Result<std::vector<OutputComparison>> CompareWithReference(
    const base::Operator& op, const void* params, const std::vector<int64_t>& rows, int32_t threads,
    const std::optional<Tolerance>& tolerance, const Progress& progress) {
  const Result<int64_t> total = CountRows(op, params);
  if (!total.ok()) return total.status();
  for (int64_t row : rows) {
    if (row < 0 || row >= *total)
      return base::Invalid("rows", "0 to " + std::to_string(*total - 1), row);
  }
  struct Present {
    const base::Field* field;
    size_t golden_index;
    RowReader reader;
  };
  std::vector<Present> present;
  std::vector<OutputComparison> comparisons;
  size_t index = 0;
  for (const base::Field& field : op.contract->fields) {
    if (!field.is_output()) continue;
    const size_t golden_index = index++;
    const TensorView& view = base::Contract::tensor(params, field);
    if (view.absent()) continue;
    present.push_back(
        {&field, golden_index, RowReader(view, op.contract->RowDimsOf(field, params))});
    OutputComparison c;
    c.output = field.name;
    c.dtype = view.dtype;
    comparisons.push_back(std::move(c));
  }
  std::vector<double> outliers(present.size());
  const Status status =
      ForGolden(op, params, rows, threads, progress, [&](const base::Golden& golden) {
        for (size_t i = 0; i < present.size(); ++i) {
          const base::GoldenOutput& output = golden.outputs[present[i].golden_index];
          outliers[i] = output.outliers;
          if (!present[i].field->ranked) {
            CompareGolden(present[i].reader, comparisons[i].dtype, golden, output, tolerance,
                          &comparisons[i]);
            continue;
          }
          for (size_t slot = 0; slot < golden.rows.size(); ++slot) {
            CompareRanked(present[i].reader, output, slot, golden.rows[slot],
                          GoldenRow(output, slot), kRankErrors, &comparisons[i]);
            ++comparisons[i].rows;
          }
        }
      });
  TAMIS_RETURN_IF_ERROR(status);
  for (size_t i = 0; i < present.size(); ++i) {
    OutputComparison& c = comparisons[i];
    c.elements = c.rows * present[i].reader.row_elems();
    c.admitted_mismatches = static_cast<int64_t>(outliers[i] * static_cast<double>(c.elements));
  }
  return comparisons;
}

Tolerance DefaultTolerance(DType dtype) {
  switch (dtype) {
    case DType::kFloat16: return {1e-3, 1e-3};
    case DType::kBFloat16: return {8e-3, 8e-3};
    case DType::kFloat32:
    case DType::kFloat64: return {1e-5, 1e-5};
    default: return {0, 0};
  }
}

Status CheckExpected(const base::Operator& op, const void* params, const Expected& expected) {
  base::Dims dims;
  TAMIS_RETURN_IF_ERROR(op.infer(params, &dims));
  for (const auto& [name, view] : expected) {
    const std::string argument = "expected." + name;
    const base::Field* field = op.contract->Find(name);
    if (field == nullptr || !field->is_output()) {
      return base::Invalid(argument, "an output of " + op.contract->name, "an unknown name");
    }
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
                                                          const Expected& expected, int32_t threads,
                                                          const std::optional<Tolerance>& tolerance,
                                                          const Progress& progress) {
  TAMIS_RETURN_IF_ERROR(CheckExpected(op, params, expected));
  std::vector<OutputComparison> comparisons;
  size_t index = 0;
  for (const base::Field& field : op.contract->fields) {
    if (!field.is_output()) continue;
    const size_t golden_index = index++;
    const TensorView& view = base::Contract::tensor(params, field);
    const TensorView* want = FindExpected(expected, field.name);
    if (want == nullptr) continue;
    if (view.absent()) return base::NullArgument(field.name);
    const int row_dims = op.contract->RowDimsOf(field, params);
    const RowReader reader(view, row_dims);
    const RowReader expected_reader(*want, row_dims);
    OutputComparison c;
    c.output = field.name;
    c.dtype = view.dtype;
    c.rows = reader.rows();
    c.elements = c.rows * reader.row_elems();
    if (field.ranked) {
      TAMIS_RETURN_IF_ERROR(CompareAllRanked(op, params, golden_index, reader, expected_reader,
                                             c.rows, threads, progress, &c));
    } else {
      const Tolerance own = DefaultTolerance(view.dtype);
      const Tolerance theirs = DefaultTolerance(want->dtype);
      CompareAll(reader, view.dtype, expected_reader,
                 tolerance.value_or(own.rtol > theirs.rtol ? own : theirs), c.rows, threads, &c);
    }
    comparisons.push_back(std::move(c));
  }
  return comparisons;
}

}  // namespace tamis::registry
