#include "registry/judge.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <limits>

#include "base/dtype.h"

namespace tamis::registry {
namespace {

constexpr size_t kShown = 6;
constexpr double kInfinity = std::numeric_limits<double>::infinity();

// Where nothing is admitted, any error is infinitely too large.
double RatioOf(double error, double admitted) {
  if (admitted > 0) return error / admitted;
  return error > 0 ? kInfinity : 0;
}

// Where an index stands that has stood before.
std::vector<int64_t> Repeated(const double* list, int64_t size) {
  std::vector<std::pair<double, int64_t>> seen;
  for (int64_t i = 0; i < size; ++i) {
    if (list[i] >= 0) seen.emplace_back(list[i], i);
  }
  std::sort(seen.begin(), seen.end());
  std::vector<int64_t> repeated;
  for (size_t i = 1; i < seen.size(); ++i) {
    if (seen[i].first == seen[i - 1].first) repeated.push_back(seen[i].second);
  }
  return repeated;
}

double ScoreDistance(double a, double b) {
  if (a == b || (std::isnan(a) && std::isnan(b))) return 0;  // equal infinities included
  const double distance = std::fabs(a - b);
  return std::isnan(distance) ? kInfinity : distance;
}

}  // namespace

RowReader::RowReader(const TensorView& view, int row_dims) : view_(view), row_dims_(row_dims) {
  // Sizes beside one of 0 are the caller's word alone, and may be any number.
  if (std::find(view.shape, view.shape + view.rank, 0) != view.shape + view.rank) return;
  int64_t elems = 1;
  for (int i = row_dims; i < view.rank; ++i) elems *= view.shape[i];
  offsets_.reserve(static_cast<size_t>(elems));
  for (int64_t e = 0; e < elems; ++e) offsets_.push_back(Offset(row_dims, view.rank, e));
}

int64_t RowReader::rows() const {
  if (offsets_.empty()) return 0;
  int64_t rows = 1;
  for (int i = 0; i < row_dims_; ++i) rows *= view_.shape[i];
  return rows;
}

void RowReader::Read(int64_t row, std::vector<double>* values) const {
  values->resize(offsets_.size());
  if (offsets_.empty()) return;
  const int64_t begin = Offset(0, row_dims_, row);
  for (size_t e = 0; e < offsets_.size(); ++e)
    (*values)[e] = base::LoadAsDouble(view_.data, view_.dtype, begin + offsets_[e]);
}

int64_t RowReader::Offset(int first_dim, int end_dim, int64_t index) const {
  int64_t offset = 0;
  for (int i = end_dim - 1; i >= first_dim; --i) {
    offset += index % view_.shape[i] * view_.strides[i];
    index /= view_.shape[i];
  }
  return offset;
}

void Findings::Error(double error, double ratio) {
  max_error_ = std::max(max_error_, error);
  max_ratio_ = std::max(max_ratio_, ratio);
}

void Findings::Differ(int64_t element, Mismatch mismatch) {
  if (!differs_->empty()) (*differs_)[static_cast<size_t>(element)] = 1;
  mismatch.index = IndexOf(spread_.shape(), element);
  spread_.Add(mismatch.index);
  const auto before = [](const Mismatch& a, const Mismatch& b) { return a.index < b.index; };
  if (first_.size() == kShown && !before(mismatch, first_.back())) return;
  first_.insert(std::upper_bound(first_.begin(), first_.end(), mismatch, before),
                std::move(mismatch));
  if (first_.size() > kShown) first_.pop_back();
}

void Findings::Merge(const Findings& other) {
  swapped_ += other.swapped_;
  Error(other.max_error_, other.max_ratio_);
  spread_.Merge(other.spread_);
  first_.insert(first_.end(), other.first_.begin(), other.first_.end());
  std::stable_sort(first_.begin(), first_.end(),
                   [](const Mismatch& a, const Mismatch& b) { return a.index < b.index; });
  if (first_.size() > kShown) first_.resize(kShown);
}

void Findings::Report(const Locator& locator, OutputComparison* c) const {
  c->swapped = swapped_;
  c->max_error = max_error_;
  c->max_ratio = max_ratio_;
  c->mismatches = spread_.count();
  c->first = first_;
  if (first_.empty()) return;
  c->where = locator.Describe(first_.front().index, spread_);
  c->pattern = locator.Pattern(spread_);
  c->first_mismatch = IndexText(first_.front().index) +
                      (c->where.empty() ? "" : " (" + c->where + ")") + ": " +
                      first_.front().complaint;
}

Verdict JudgeValue(DType dtype, double want, double admitted, double got) {
  if (got == want || (std::isnan(got) && std::isnan(want))) return {};
  // Ill-conditioned: an evaluation in fp32 may give anything, NaN included.
  const bool bounded = admitted <= static_cast<double>(std::numeric_limits<float>::max());
  if (std::isfinite(want) && !bounded) return {};
  if (std::isfinite(got) && std::isfinite(want)) {
    const double error = std::fabs(got - want);
    return {error <= admitted, error, RatioOf(error, admitted)};
  }
  if (std::isinf(got) && std::isfinite(want)) {
    // A value at the edge of the dtype's range may round to infinity.
    if (RoundedTo(dtype, want + std::copysign(admitted, got)) == got) return {};
  }
  return {false, 0, 0};
}

bool SameBits(double a, double b) {
  return (std::isnan(a) && std::isnan(b)) || (a == b && std::signbit(a) == std::signbit(b));
}

double RoundedTo(DType dtype, double value) {
  uint64_t bits = 0;
  base::StoreDouble(&bits, dtype, 0, value);
  return base::LoadAsDouble(&bits, dtype, 0);
}

std::string NumberText(double value) {
  char text[32];
  std::snprintf(text, sizeof(text), "%.9g", value);
  return text;
}

void JudgeLists(const RankedLists& l, Findings* findings) {
  const auto differ = [&](int64_t i, std::string complaint) {
    Mismatch m;
    m.tamis = l.got[i];
    if (l.expected) m.expected = l.want[i];
    m.reference = l.reference[i];
    m.admitted = l.admitted;
    m.complaint = std::move(complaint);
    findings->Differ(l.element + i, std::move(m));
  };
  // Results from elsewhere are looked through, too: a repeated index may be as good as its
  // neighbour.
  std::vector<bool> repeated(static_cast<size_t>(l.size));
  for (const double* list : {l.got, l.expected ? l.want : l.got}) {
    for (const int64_t i : Repeated(list, l.size)) {
      if (repeated[static_cast<size_t>(i)]) continue;
      repeated[static_cast<size_t>(i)] = true;
      differ(i, "expected distinct indices, got " + NumberText(list[i]) + " twice");
    }
  }
  const auto candidates = static_cast<double>(l.scores->size());
  for (int64_t i = 0; i < l.size; ++i) {
    if (l.got[i] == l.want[i]) continue;
    const bool known = l.admitted >= 0 && l.got[i] >= 0 && l.got[i] < candidates &&
                       l.want[i] >= 0 && l.want[i] < candidates;
    std::string complaint =
        "expected index " + NumberText(l.want[i]) + ", got " + NumberText(l.got[i]);
    if (known) {
      const double found = (*l.scores)[static_cast<size_t>(l.got[i])];
      const double best = (*l.scores)[static_cast<size_t>(l.want[i])];
      const double distance = ScoreDistance(found, best);
      findings->Error(distance, RatioOf(distance, l.admitted));
      if (distance <= l.admitted) {
        findings->Swap();
        continue;
      }
      complaint = "expected index " + NumberText(l.want[i]) + " of score " + NumberText(best) +
                  " within " + NumberText(l.admitted) + ", got " + NumberText(l.got[i]) +
                  " of score " + NumberText(found);
    }
    if (!repeated[static_cast<size_t>(i)]) differ(i, std::move(complaint));
  }
}

}  // namespace tamis::registry
