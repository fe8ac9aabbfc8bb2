#include "base/contract.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <limits>
#include <span>
#include <string_view>
#include <utility>

#include "base/checked.h"
#include "base/dtype.h"
#include "base/errors.h"
#include "base/parts.h"
#include "base/views.h"

namespace tamis::base {
namespace {

// Kernels compute with it in float32.
bool IsFiniteFloat(double number) {
  return std::fabs(number) <= static_cast<double>(std::numeric_limits<float>::max());
}

// What dimension names mean: in complaints they stand beside the name, "heads N = 8". Names that
// are words already, and those of attributes, need none.
constexpr std::pair<std::string_view, std::string_view> kWords[] = {
    {"1", "key heads"},     {"B", "batch"},       {"Bk", "batch"},      {"Bw", "batch"},
    {"C", "width"},         {"D", "dim"},         {"D2", "value dim"},  {"Di", "index dim"},
    {"Dq", "nope dim"},     {"Dr", "rope dim"},   {"H", "hidden size"}, {"I", "width"},
    {"K", "entries"},       {"Lq", "query rank"}, {"N", "heads"},       {"N2", "key heads"},
    {"Ni", "index heads"},  {"Q", "width"},       {"R", "rows"},        {"S", "query tokens"},
    {"S1", "query tokens"}, {"S2", "keys"},       {"S3", "keys"},       {"T", "tokens"},
    {"T1", "query tokens"}, {"T2", "keys"},       {"T3", "keys"},       {"Tc", "windows"},
    {"Tk", "keys"},         {"W", "width"},
};

bool HasTerm(std::string_view product, std::string_view name) {
  for (const std::string_view term : Parts(product, '*')) {
    if (term == name) return true;
  }
  return false;
}

// Of an operator.
constexpr size_t kMostFields = 48;

}  // namespace

std::vector<std::string> SplitDims(std::string_view dims) {
  std::vector<std::string> entries;
  for (const std::string_view entry : Parts(dims, ',')) entries.emplace_back(entry);
  return entries;
}

const int64_t* Dims::Find(std::string_view name) const {
  for (const Size& size : sizes_) {
    if (size.name == name) return &size.size;
  }
  return nullptr;
}

void Dims::Set(std::string_view name, int64_t size) {
  for (Size& known : sizes_) {
    if (known.name == name) {
      known.size = size;
      return;
    }
  }
  sizes_.push_back({std::string(name), size});
}

std::vector<int64_t>& Dims::NewEnds(std::string_view name) {
  for (Cut& cut : cuts_) {
    if (cut.name == name) {
      cut.ends.clear();
      return cut.ends;
    }
  }
  cuts_.push_back({std::string(name), {}});
  return cuts_.back().ends;
}

const std::vector<int64_t>* Dims::Ends(std::string_view name) const {
  for (const Cut& cut : cuts_) {
    if (cut.name == name) return &cut.ends;
  }
  return nullptr;
}

std::string Limit::text() const {
  static constexpr const char* kWords[] = {"at most ", "a multiple of ", "", "", "at least "};
  std::string text = kWords[static_cast<int>(rule)];
  for (size_t i = 0; i < bounds.size(); ++i) text += (i == 0 ? "" : " or ") + bounds[i];
  return text;
}

const Field* Contract::Find(std::string_view field_name) const {
  for (const Field& field : fields) {
    if (field.name == field_name) return &field;
  }
  return nullptr;
}

// The layout of this call: the choice of `attribute`, or the form that fits the rank of the layout
// tensor.
std::string_view Contract::LayoutName(std::string_view attribute, const void* params) const {
  if (!attribute.empty()) return Find(attribute)->choices[ChoiceOf(attribute, params)];
  const Field* field = Find(layout_tensor);
  if (field == nullptr) return {};
  for (const ShapeForm& form : field->shapes) {
    if (Parts(form.dims, ',').size() == tensor(params, *field).rank) return form.when;
  }
  return {};
}

const std::string& Contract::FormOf(const Field& field, const void* params) const {
  if (field.shapes.size() > 1) {
    const std::string_view layout =
        LayoutName(field.layout.empty() ? layout_attribute : field.layout, params);
    for (const ShapeForm& form : field.shapes) {
      if (form.when == layout) return form.dims;
    }
  }
  return field.shapes.front().dims;
}

const std::string* Contract::Missing(const Field& field, const void* params) const {
  for (const std::string& needed : field.needs) {
    if (tensor(params, *Find(needed)).absent()) return &needed;
  }
  return nullptr;
}

int Contract::RowDimsOf(const Field& field, const void* params) const {
  const RowDimsByLayout& by_layout = field.row_dims.empty() ? row_dims : field.row_dims;
  if (by_layout.size() > 1) {
    const std::string_view layout = LayoutName(layout_attribute, params);
    for (const auto& [when, count] : by_layout) {
      if (when == layout) return count;
    }
  }
  return by_layout.empty() ? 1 : by_layout.front().second;
}

bool Contract::Evaluate(std::string_view product, const void* params, const Dims& dims,
                        int64_t* value) const {
  *value = 1;
  for (const std::string_view term : Parts(product, '*')) {
    int64_t factor = 0;
    if (IsNumber(term)) {
      std::from_chars(term.data(), term.data() + term.size(), factor);
    } else if (const int64_t* size = dims.Find(term); size != nullptr) {
      factor = *size;
    } else if (const Field* field = Find(term); field != nullptr && field->type == Type::kInt) {
      factor = At<const int64_t>(params, *field);
    } else {
      return false;
    }
    const bool negative = (*value < 0) != (factor < 0);
    if (!CheckedMul(*value, factor, value)) *value = negative ? INT64_MIN : INT64_MAX;
  }
  return true;
}

void Contract::ForgetUnusedStrides(void* params) const {
  for (const Field& field : fields) {
    if (!field.is_tensor()) continue;
    TensorView& view = tensor(params, field);
    if (view.rank < 0 || view.rank > kMaxRank) continue;
    int64_t* const end = view.shape + view.rank;
    const bool empty = std::find(view.shape, end, 0) != end;
    for (int i = 0; i < view.rank; ++i) {
      if (empty || view.shape[i] == 1) view.strides[i] = 0;
    }
  }
}

std::string Contract::InWords(std::string_view entry) {
  std::string word;
  for (const auto& [dimension, meaning] : kWords) {
    if (dimension == entry) word = meaning;
  }
  if (word.empty()) return std::string(entry);
  return IsNumber(entry) ? word : word + " " + std::string(entry);
}

// "[batch B = 2, keys S2 = 100, key heads = 1, dim D as query has = 64]": a form in words, with the
// sizes that are known.
std::string Contract::ShapeWanted(const Field& field, const void* params, const Dims& dims,
                                  const std::string& symbol, const std::string& witness) const {
  const std::string& form = FormOf(field, params);
  if (form == "1") return "shape [1]";  // a number: not of heads
  std::string text;
  for (const std::string_view entry : Parts(form, ',')) {
    int64_t size = 0;
    const bool known = entry != "*" && Evaluate(entry, params, dims, &size);
    text += text.empty() ? "[" : ", ";
    text += InWords(entry);
    if (known) text += " = " + std::to_string(size);
    if (!symbol.empty() && HasTerm(entry, symbol)) text += " as " + witness + " has";
  }
  return "shape " + (text.empty() ? "[" : text) + "]";
}

// The size of a dimension as this tensor has it; -1 where it does not say, or is absent.
int64_t Contract::SizeIn(const Field& field, const std::string& symbol, const void* params) const {
  if (!field.is_tensor()) return -1;
  const TensorView& view = tensor(params, field);
  const Parts entries(FormOf(field, params), ',');
  if (view.absent() || view.rank != entries.size()) return -1;
  const int64_t* size = view.shape;
  for (const std::string_view entry : entries) {
    const int64_t whole = *size++;
    int64_t others = 1;
    bool named = false;
    bool known = true;
    for (const std::string_view term : Parts(entry, '*')) {
      int64_t factor = 0;
      if (term == symbol) {
        named = true;
      } else {
        known = known && Evaluate(term, params, {}, &factor) && CheckedMul(others, factor, &others);
      }
    }
    if (named && known && others > 0 && whole >= 0 && whole % others == 0) return whole / others;
  }
  return -1;
}

// `field` and the tensors before it give a dimension different sizes. To blame is who has fewer
// tensors on its side; of two, the one whose width is no multiple of 8 as all models' are, else
// `field`.
Status Contract::Disagreement(const Field& field, const std::string& symbol, const void* params,
                              const Dims& dims) const {
  const int64_t before = dims[symbol];
  const int64_t here = SizeIn(field, symbol, params);
  const auto with = [&](int64_t size) {
    std::vector<const Field*> found;
    for (const Field& other : fields) {
      if (SizeIn(other, symbol, params) == size) found.push_back(&other);
    }
    return found;
  };
  const std::vector<const Field*> agree = with(before);
  const std::vector<const Field*> differ = with(here);
  if (here < 0 || agree.empty())
    return Invalid(field.name, ShapeWanted(field, params, dims), ShapeText(tensor(params, field)));
  const auto is_width = [&](const Field& tensor) {
    return HasTerm(SplitDims(FormOf(tensor, params)).back(), symbol);
  };
  const bool odd_width =
      is_width(*agree.front()) && is_width(field) && before % 8 != 0 && here % 8 == 0;
  const bool first_is_odd =
      agree.size() != differ.size() ? agree.size() < differ.size() : odd_width;
  const Field& odd = first_is_odd ? *agree.front() : field;
  const Field& witness = first_is_odd ? field : *agree.front();
  Dims agreed = dims;
  agreed.Set(symbol, first_is_odd ? here : before);
  return Invalid(odd.name, ShapeWanted(odd, params, agreed, symbol, witness.name),
                 ShapeText(tensor(params, odd)));
}

// Compares a shape with its form; an entry with one unknown name binds it.
Status Contract::BindShape(const Field& field, const void* params, Dims* dims) const {
  const TensorView& view = tensor(params, field);
  const Parts entries(FormOf(field, params), ',');
  const auto mismatch = [&]() {
    return Invalid(field.name, ShapeWanted(field, params, *dims), ShapeText(view));
  };
  if (view.rank != entries.size()) return mismatch();
  const int64_t* next = view.shape;
  for (const std::string_view entry : entries) {
    const int64_t size = *next++;
    if (entry == "*") continue;
    int64_t known = 1;
    std::string_view unknown;
    std::string_view symbol;
    for (const std::string_view term : Parts(entry, '*')) {
      int64_t factor = 0;
      if (dims->Has(term)) symbol = term;
      if (!Evaluate(term, params, *dims, &factor)) {
        unknown = term;
      } else if (!CheckedMul(known, factor, &known)) {
        return mismatch();
      }
    }
    if (unknown.empty()) {
      if (size == known) continue;
      return symbol.empty() ? mismatch() : Disagreement(field, std::string(symbol), params, *dims);
    }
    if (known <= 0 || size % known != 0) return mismatch();
    dims->Set(unknown, size / known);
  }
  return Status::Ok();
}

Status Contract::CheckInputTensor(const Field& field, const void* params, Dims* dims) const {
  const TensorView& view = tensor(params, field);
  if (view.absent()) return field.is_required() ? NullArgument(field.name) : Status::Ok();
  TAMIS_RETURN_IF_ERROR(CheckView(field.name, view, field.read_by_plan));
  if (!field.dtype_as.empty()) {
    const DType want = tensor(params, *Find(field.dtype_as)).dtype;
    if (view.dtype != want) {
      return Invalid(field.name, "dtype " + std::string(Name(want)) + " as " + field.dtype_as,
                     Name(view.dtype));
    }
  } else {
    bool admissible = false;
    for (DType dtype : field.dtypes) admissible = admissible || dtype == view.dtype;
    if (!admissible)
      return Invalid(field.name, "dtype " + DTypeList(field.dtypes), Name(view.dtype));
  }
  return BindShape(field, params, dims);
}

bool Contract::IsGiven(const Field& field, const void* params) {
  switch (field.type) {
    case Type::kTensor: return !tensor(params, field).absent();
    case Type::kInt: return is_given(At<const int64_t>(params, field));
    case Type::kFloat: return is_given(At<const double>(params, field));
    case Type::kInts: return !At<const IntList>(params, field).absent();
    case Type::kBool:
    case Type::kChoice: break;
  }
  return true;
}

Status Contract::CheckInputs(const void* params, Dims* dims) const {
  for (const Field& field : fields) {
    if (field.type == Type::kChoice) {
      const int32_t choice = At<const int32_t>(params, field);
      if (choice < 0 || choice >= static_cast<int32_t>(field.choices.size())) {
        return Invalid(field.name, "one of its named choices", choice);
      }
    } else if (!field.is_tensor() && field.required && !IsGiven(field, params)) {
      return NullArgument(field.name);
    } else if (field.type == Type::kFloat && !IsFiniteFloat(At<const double>(params, field))) {
      return Invalid(field.name, "a finite number, in float32 too",
                     NumberText(At<const double>(params, field)));
    }
  }
  for (const Field& field : fields) {
    if (field.is_tensor() && field.is_input())
      TAMIS_RETURN_IF_ERROR(CheckInputTensor(field, params, dims));
  }
  return Status::Ok();
}

Status Contract::OutputShape(const Field& field, const void* params, const Dims& dims, DType* dtype,
                             std::vector<int64_t>* shape) const {
  TensorView output;
  TAMIS_RETURN_IF_ERROR(ShapeOutput(field, params, dims, &output));
  *dtype = output.dtype;
  shape->assign(output.shape, output.shape + output.rank);
  return Status::Ok();
}

DType Contract::OutputDType(const Field& field, const void* params) const {
  if (!field.dtype_attribute.empty()) {
    const DType chosen = field.dtype_choices[ChoiceOf(field.dtype_attribute, params)];
    if (chosen != DType::kNone) return chosen;
  }
  return field.dtype_as.empty() ? field.dtypes.front()
                                : tensor(params, *Find(field.dtype_as)).dtype;
}

Status Contract::ShapeOutput(const Field& field, const void* params, const Dims& dims,
                             TensorView* output) const {
  output->dtype = OutputDType(field, params);
  output->rank = 0;
  int64_t elems = ItemSize(output->dtype);
  for (const std::string_view entry : Parts(FormOf(field, params), ',')) {
    int64_t size = 0;
    if (!Evaluate(entry, params, dims, &size)) {
      return {StatusCode::kInternal,
              field.name + ": the contract's dimension " + std::string(entry) + " is not known"};
    }
    if (size > 0 && !CheckedMul(elems, size, &elems)) {
      return Invalid(field.name, "fewer than 2^63 bytes",
                     std::string(entry) + " = " + std::to_string(size));
    }
    output->shape[output->rank++] = size;
  }
  return Status::Ok();
}

uint64_t Contract::ClaimInferred(void* params) const {
  uint64_t claimed = 0;
  for (const Field& field : fields) {
    if (!field.is_output() || field.is_updated()) continue;
    auto& view = At<OutputView>(params, field);
    if (!view.inferred()) continue;
    view = {};
    if (!Wants(field, params) || Missing(field, params) != nullptr) continue;
    view.dtype = OutputDType(field, params);
    claimed |= uint64_t{1} << (&field - fields.data());
  }
  return claimed;
}

Status Contract::ShapeInferred(uint64_t fields_without_shape, void* params,
                               const Dims& dims) const {
  for (const Field& field : fields) {
    if ((fields_without_shape >> (&field - fields.data()) & 1) == 0) continue;
    TensorView found;
    TAMIS_RETURN_IF_ERROR(ShapeOutput(field, params, dims, &found));
    tensor(params, field) =
        TensorView(nullptr, found.dtype, std::span(found.shape, static_cast<size_t>(found.rank)));
  }
  return Status::Ok();
}

Status Contract::CheckOutputTensor(const Field& field, const void* params, const Dims& dims) const {
  const TensorView& view = tensor(params, field);
  TAMIS_RETURN_IF_ERROR(CheckView(field.name, view, false));
  TensorView wanted;
  TAMIS_RETURN_IF_ERROR(ShapeOutput(field, params, dims, &wanted));
  if (view.dtype != wanted.dtype)
    return Invalid(field.name, "dtype " + std::string(Name(wanted.dtype)), Name(view.dtype));
  if (!SameShape(view, wanted)) {
    return Invalid(field.name, ShapeWanted(field, params, dims), ShapeText(view));
  }
  return Status::Ok();
}

Status Contract::CheckOutputs(const void* params, const Dims& dims) const {
  for (const Field& field : fields) {
    if (!field.is_output()) continue;
    const TensorView& view = tensor(params, field);
    if (view.absent()) {
      if (field.is_required()) return NullArgument(field.name);
      continue;
    }
    if (!Wants(field, params)) {
      return Invalid(field.name, "none without " + field.wanted_by, "a tensor");
    }
    if (const std::string* missing = Missing(field, params); missing != nullptr)
      return NullArgument(*missing);
    if (!field.is_updated()) TAMIS_RETURN_IF_ERROR(CheckOutputTensor(field, params, dims));
    if (Memory(view).bytes > 0 && !HasDistinctElements(view))
      return Invalid(field.name, "strides that keep elements apart", "overlapping ones");
  }
  return CheckOverlaps(params);
}

// All tensors have passed CheckView.
Status Contract::CheckOverlaps(const void* params) const {
  Memory memories[kMostFields];
  for (size_t i = 0; i < fields.size(); ++i) {
    if (fields[i].is_tensor() && !tensor(params, fields[i]).absent())
      memories[i] = Memory(tensor(params, fields[i]));
  }
  for (size_t i = 0; i < fields.size(); ++i) {
    if (!fields[i].is_output() || memories[i].bytes == 0) continue;
    for (size_t k = 0; k < fields.size(); ++k) {
      if (k != i && Overlap(memories[i], memories[k]))
        return Invalid(fields[i].name, "memory of its own",
                       "memory that overlaps " + fields[k].name);
    }
  }
  return Status::Ok();
}

}  // namespace tamis::base
