#include "base/contract.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstdio>
#include <functional>
#include <limits>
#include <numeric>
#include <span>
#include <string_view>
#include <utility>

#include "base/checked.h"
#include "base/dtype.h"
#include "base/errors.h"
#include "base/nowhere.h"
#include "base/parts.h"

namespace tamis::base {
namespace {

// Kernels compute with it in float32.
bool IsFiniteFloat(double number) {
  return std::fabs(number) <= static_cast<double>(std::numeric_limits<float>::max());
}

std::string NumberText(double number) {
  char text[32];
  std::snprintf(text, sizeof(text), "%.9g", number);
  return text;
}

bool IsNumber(std::string_view term) {
  return !term.empty() && term.find_first_not_of("0123456789") == std::string_view::npos;
}

// What dimension names mean: in complaints they stand beside the name, "heads N = 8". Names that
// are words already, and those of attributes, need none.
constexpr std::pair<std::string_view, std::string_view> kWords[] = {
    {"1", "key heads"},   {"B", "batch"},       {"Bk", "batch"},        {"C", "width"},
    {"D", "dim"},         {"D2", "value dim"},  {"Di", "index dim"},    {"Dq", "nope dim"},
    {"Dr", "rope dim"},   {"H", "hidden size"}, {"I", "width"},         {"K", "entries"},
    {"Lq", "query rank"}, {"N", "heads"},       {"N2", "key heads"},    {"Ni", "index heads"},
    {"Q", "width"},       {"R", "rows"},        {"S", "query tokens"},  {"S1", "query tokens"},
    {"S2", "keys"},       {"T", "tokens"},      {"T1", "query tokens"}, {"T2", "keys"},
    {"Tc", "windows"},    {"W", "width"},
};

bool HasTerm(std::string_view product, std::string_view name) {
  for (const std::string_view term : Parts(product, '*')) {
    if (term == name) return true;
  }
  return false;
}

std::string DTypeList(const std::vector<DType>& dtypes) {
  std::string text;
  for (size_t i = 0; i < dtypes.size(); ++i) {
    text += (i == 0 ? "" : i + 1 == dtypes.size() ? " or " : ", ") + std::string(Name(dtypes[i]));
  }
  return text;
}

// No processor has more for a program: what lies in it may be multiplied by an element's size, or
// stepped over once more, and still be counted.
constexpr int64_t kAddressSpace = int64_t{1} << 56;

// Of an operator.
constexpr size_t kMostFields = 48;

// Bytes from the first to one past the last that a view touches. False where that overflows.
bool Extent(const TensorView& view, int64_t* bytes) {
  *bytes = 0;
  if (std::find(view.shape, view.shape + view.rank, 0) != view.shape + view.rank) return true;
  int64_t last = 0;
  for (int i = 0; i < view.rank; ++i) {
    int64_t step = 0;
    if (!CheckedMul(view.shape[i] - 1, view.strides[i], &step) || !CheckedAdd(last, step, &last))
      return false;
  }
  int64_t elems = 0;
  return CheckedAdd(last, 1, &elems) && CheckedMul(elems, ItemSize(view.dtype), bytes);
}

// Every element of an output has an address of its own: sorted by stride, each dimension steps over
// the ones inside.
bool HasDistinctElements(const TensorView& view) {
  int order[kMaxRank];
  int count = 0;
  for (int i = 0; i < view.rank; ++i) {
    if (view.shape[i] > 1) order[count++] = i;
  }
  for (int i = 1; i < count; ++i) {
    for (int j = i; j > 0 && view.strides[order[j]] < view.strides[order[j - 1]]; --j)
      std::swap(order[j], order[j - 1]);
  }
  int64_t inner = 1;
  for (int i = 0; i < count; ++i) {
    if (view.strides[order[i]] < inner) return false;
    inner = view.strides[order[i]] * (view.shape[order[i]] - 1) + inner;
  }
  return true;
}

// Where a view that passed CheckView lies.
struct Memory {
  Memory() = default;
  explicit Memory(const TensorView& view) {
    int64_t extent = 0;
    if (view.data == nullptr || !Extent(view, &extent) || extent == 0) return;
    bytes = static_cast<uintptr_t>(extent);
    begin = reinterpret_cast<uintptr_t>(view.data);
    int64_t filled = ItemSize(view.dtype);
    for (int i = 0; i < view.rank; ++i) {
      if (!CheckedMul(filled, view.shape[i], &filled)) return;
    }
    without_gaps = filled == extent && HasDistinctElements(view);
  }

  bool Holds(uintptr_t address) const { return address - begin < bytes; }
  /// Holds the first or last byte of `other`, and has no gap in which it might lie.
  bool Covers(const Memory& other) const {
    return without_gaps && (Holds(other.begin) || Holds(other.begin + other.bytes - 1));
  }

  uintptr_t begin = 0;
  uintptr_t bytes = 0;
  bool without_gaps = false;
};

// Whether an element is certainly shared. Strided views may interleave without sharing one: for
// those the caller's word is taken.
bool Overlap(const Memory& a, const Memory& b) {
  if (a.bytes == 0 || b.bytes == 0) return false;
  return a.begin == b.begin || a.Covers(b) || b.Covers(a);
}

std::string StridesText(const TensorView& view) {
  return ShapeText(std::vector<int64_t>(view.strides, view.strides + view.rank));
}

bool SameShape(const TensorView& a, const TensorView& b) {
  return std::equal(a.shape, a.shape + a.rank, b.shape, b.shape + b.rank);
}

// Each dimension steps over exactly the ones inside.
bool IsContiguous(const TensorView& view) {
  int64_t stride = 1;
  bool contiguous = true;
  for (int i = view.rank - 1; i >= 0; --i) {
    contiguous = contiguous && (view.shape[i] <= 1 || view.strides[i] == stride);
    stride = WrappingMul(stride, view.shape[i]);  // of elements that exist: it fits
    if (view.shape[i] == 0) return true;
  }
  return contiguous;
}

Status CheckContiguous(const Field& field, const TensorView& view) {
  if (IsContiguous(view)) return Status::Ok();
  return Invalid(field.name, "(strict) a contiguous tensor",
                 "shape " + ShapeText(view) + " and strides " + StridesText(view));
}

// What any tensor must be before its dimensions mean something.
Status CheckView(const Field& field, const TensorView& view, bool needs_memory) {
  if (ItemSize(view.dtype) == 0)
    return Invalid(field.name, "a dtype", static_cast<int64_t>(view.dtype));
  if (view.device != DeviceType::kCpu)
    return Unsupported(field.name, "tensors in CPU memory", "another device");
  if (view.rank < 0 || view.rank > kMaxRank)
    return Invalid(field.name, "a rank of 0 to 8", view.rank);
  int64_t elems = 1;
  bool empty = false;
  for (int i = 0; i < view.rank; ++i) {
    if (view.shape[i] < 0) return Invalid(field.name, "sizes of at least 0", ShapeText(view));
    empty = empty || view.shape[i] == 0;
  }
  for (int i = 0; i < view.rank && !empty; ++i) {
    if (!CheckedMul(elems, view.shape[i], &elems))
      return Invalid(field.name, "fewer than 2^63 elements", ShapeText(view));
    if (view.shape[i] > 1 && view.strides[i] < 0)
      return Invalid(field.name, "strides of at least 0", view.strides[i]);
  }
  if (empty) return Status::Ok();
  if (view.data == nullptr && needs_memory) return NoData(field.name);
  if (view.rank > 0 && view.shape[view.rank - 1] > 1 && view.strides[view.rank - 1] != 1) {
    return Invalid(field.name, "a last dimension of stride 1", view.strides[view.rank - 1]);
  }
  int64_t bytes = 0;
  if (!Extent(view, &bytes) || bytes > kAddressSpace) {
    return Invalid(field.name, "an extent of at most 2^56 bytes",
                   "shape " + ShapeText(view) + " and strides " + StridesText(view));
  }
  if (reinterpret_cast<uintptr_t>(view.data) % static_cast<uintptr_t>(ItemSize(view.dtype)) != 0) {
    return Invalid(field.name, "data aligned to its element size", "a misaligned pointer");
  }
  if (bytes > 0 &&
      reinterpret_cast<uintptr_t>(view.data) > UINTPTR_MAX - static_cast<uintptr_t>(bytes)) {
    return Invalid(field.name, "an extent within the address space", ShapeText(view));
  }
  return Status::Ok();
}

}  // namespace

std::vector<std::string> SplitDims(std::string_view dims) {
  std::vector<std::string> entries;
  for (const std::string_view entry : Parts(dims, ',')) entries.emplace_back(entry);
  return entries;
}

std::string ShapeText(const std::vector<int64_t>& shape) {
  std::string text = "[";
  for (size_t i = 0; i < shape.size(); ++i) text += (i == 0 ? "" : ", ") + std::to_string(shape[i]);
  return text + "]";
}

std::string ShapeText(const TensorView& view) {
  return ShapeText(std::vector<int64_t>(view.shape, view.shape + std::max(view.rank, 0)));
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
  std::string text;
  for (const std::string_view entry : Parts(FormOf(field, params), ',')) {
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
  TAMIS_RETURN_IF_ERROR(CheckView(field, view, field.read_by_plan));
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
  TAMIS_RETURN_IF_ERROR(CheckView(field, view, false));
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

namespace {

// A view of a run beside the one that was planned with.
Status CheckBinding(const Field& field, const TensorView& planned, const TensorView& view,
                    bool strict) {
  if (view.absent() != planned.absent()) {
    return planned.absent() ? Invalid(field.name, "none, as when the plan was made", "a tensor")
                            : NullArgument(field.name);
  }
  if (view.absent()) return Status::Ok();
  TAMIS_RETURN_IF_ERROR(CheckView(field, view, true));
  if (view.dtype != planned.dtype) {
    return Invalid(field.name, "dtype " + std::string(Name(planned.dtype)) + " of the plan",
                   Name(view.dtype));
  }
  if (!SameShape(view, planned))
    return Invalid(field.name, "shape " + ShapeText(planned) + " of the plan", ShapeText(view));
  if (field.is_output() && Memory(view).bytes > 0 && !HasDistinctElements(view))
    return Invalid(field.name, "strides that keep elements apart", "overlapping ones");
  return strict && field.strict.contiguous ? CheckContiguous(field, view) : Status::Ok();
}

Status CheckList(const Field& field, const IntList& planned, const IntList& given) {
  if (given.absent() != planned.absent()) {
    return planned.absent() ? Invalid(field.name, "none, as when the plan was made", "a list")
                            : NullArgument(field.name);
  }
  if (given.size() == planned.size()) return Status::Ok();
  return Invalid(field.name, "as many entries as the plan has, " + std::to_string(planned.size()),
                 given.size());
}

}  // namespace

Status CheckOperator(const Contract& contract, const Bindings& bindings) {
  if (bindings.operator_name() != contract.name)
    return Invalid("bindings", "params of " + contract.name, bindings.operator_name());
  if (bindings.size() != contract.params_size)
    return Invalid("bindings", "params of this library", "a struct of another size");
  return Status::Ok();
}

Status Contract::Bind(const void* planned, const void* given, void* bound) const {
  const bool strict = At<const bool>(planned, *Find("strict"));
  for (const Field& field : fields) {
    if (!field.is_tensor()) continue;
    const TensorView& plan = tensor(planned, field);
    const TensorView& view = field.read_by_plan ? plan : tensor(given, field);
    if (!field.read_by_plan) TAMIS_RETURN_IF_ERROR(CheckBinding(field, plan, view, strict));
    tensor(bound, field) = view;
  }
  ForgetUnusedStrides(bound);
  TAMIS_RETURN_IF_ERROR(CheckOverlaps(bound));
  StandIn(bound);  // where there are no elements
  return Status::Ok();
}

Status Contract::CheckIntegers(const void* planned, const void* given) const {
  for (const Field& field : fields) {
    if (field.type == Type::kInts) {
      TAMIS_RETURN_IF_ERROR(
          CheckList(field, At<const IntList>(planned, field), At<const IntList>(given, field)));
    } else if (field.read_by_plan) {
      TAMIS_RETURN_IF_ERROR(
          CheckBinding(field, tensor(planned, field), tensor(given, field), false));
    }
  }
  return Status::Ok();
}

void Contract::TakeIntegers(void* planned, const void* given) const {
  for (const Field& field : fields) {
    if (field.type == Type::kInts) At<IntList>(planned, field) = At<const IntList>(given, field);
    if (field.read_by_plan) tensor(planned, field) = tensor(given, field);
  }
  ForgetUnusedStrides(planned);
}

namespace {

// The elements of an integer tensor in row-major order.
template <class Each>
void EachInteger(const TensorView& view, const Each& each) {
  const int64_t elems =
      std::accumulate(view.shape, view.shape + view.rank, int64_t{1}, std::multiplies<>());
  int64_t index[kMaxRank] = {};
  for (int64_t i = 0; i < elems; ++i) {
    int64_t offset = 0;
    for (int d = 0; d < view.rank; ++d) offset += index[d] * view.strides[d];
    each(view.dtype == DType::kInt64 ? static_cast<const int64_t*>(view.data)[offset]
                                     : int64_t{static_cast<const int32_t*>(view.data)[offset]});
    for (int d = view.rank - 1; d >= 0 && ++index[d] == view.shape[d]; --d) index[d] = 0;
  }
}

bool IsCopied(const Field& field, const void* params) {
  return field.read_by_plan && !field.page_table && !Contract::tensor(params, field).absent();
}

}  // namespace

void Contract::CopyIntegers(const void* params, std::vector<int64_t>* copies) const {
  copies->clear();
  for (const Field& field : fields) {
    if (!IsCopied(field, params)) continue;
    EachInteger(tensor(params, field), [&](int64_t value) { copies->push_back(value); });
  }
}

void Contract::ForgetIntegers(void* params) const {
  for (const Field& field : fields) {
    if (field.read_by_plan) tensor(params, field).data = nullptr;
  }
}

bool Contract::HasIntegers(const void* planned, const std::vector<int64_t>& copies,
                           const void* given) const {
  auto copy = copies.begin();
  bool same = true;
  for (const Field& field : fields) {
    if (field.type == Type::kInts) {
      const auto& a = At<const IntList>(planned, field);
      const auto& b = At<const IntList>(given, field);
      same = same && std::equal(a.begin(), a.end(), b.begin(), b.end());
    } else if (IsCopied(field, planned)) {
      EachInteger(tensor(given, field), [&](int64_t value) { same = value == *copy++ && same; });
    }
  }
  return same;
}

const std::string* Contract::StandIn(void* params) const {
  const std::string* lacking = nullptr;
  for (const Field& field : fields) {
    if (!field.is_tensor()) continue;
    TensorView& view = tensor(params, field);
    int64_t bytes = 0;
    if (view.absent() || view.data != nullptr || !Extent(view, &bytes)) continue;
    view.data = Nowhere();
    if (bytes > 0) lacking = &field.name;
  }
  return lacking;
}

void Contract::CopyTensors(const void* from, void* to) const {
  for (const Field& field : fields) {
    if (field.is_tensor()) tensor(to, field) = tensor(from, field);
  }
}

bool Contract::IsDefault(const Field& field, const void* params) const {
  const void* const defaults = default_params.get();
  switch (field.type) {
    case Type::kChoice:
      return At<const int32_t>(params, field) == At<const int32_t>(defaults, field);
    case Type::kInt: return At<const int64_t>(params, field) == At<const int64_t>(defaults, field);
    case Type::kFloat: return At<const double>(params, field) == At<const double>(defaults, field);
    case Type::kBool: return At<const bool>(params, field) == At<const bool>(defaults, field);
    case Type::kTensor: return tensor(params, field).absent();
    case Type::kInts: return At<const IntList>(params, field).absent();
  }
  return false;
}

// "fp32", "0.5", "true": of attributes that have a value.
std::string Contract::ValueText(const Field& field, const void* params) const {
  switch (field.type) {
    case Type::kChoice: return field.choices[static_cast<size_t>(At<const int32_t>(params, field))];
    case Type::kInt: return std::to_string(At<const int64_t>(params, field));
    case Type::kFloat: return NumberText(At<const double>(params, field));
    case Type::kBool: return At<const bool>(params, field) ? "true" : "false";
    case Type::kTensor:
    case Type::kInts: break;
  }
  return {};
}

Status Contract::CheckStrict(const Field& field, const void* params) const {
  using Presence = StrictRule::Presence;
  const StrictRule& rule = field.strict;
  const auto refused = [&](const std::string& expected, std::string_view got) {
    return Invalid(field.name, "(strict) " + expected, got);
  };
  if (rule.default_only) {
    return IsDefault(field, params) ? Status::Ok()
                                    : refused(ValueText(field, default_params.get()) +
                                                  ", which the document's call cannot change",
                                              ValueText(field, params));
  }
  if (!field.is_tensor() && field.type != Type::kInts) return Status::Ok();
  const bool absent = IsDefault(field, params);
  const char* const kind = field.is_tensor() ? "a tensor" : "a list";
  if (rule.presence == Presence::kRequired && absent) return refused(kind, "none");
  if (rule.presence == Presence::kNone && !absent) return refused("none", kind);
  if (!field.is_tensor() || absent) return Status::Ok();
  const TensorView& view = tensor(params, field);
  if (!rule.dtypes.empty() &&
      std::find(rule.dtypes.begin(), rule.dtypes.end(), view.dtype) == rule.dtypes.end()) {
    return refused("dtype " + DTypeList(rule.dtypes), Name(view.dtype));
  }
  return rule.contiguous ? CheckContiguous(field, view) : Status::Ok();
}

Status Contract::CheckLimits(const void* params, const Dims& dims) const {
  if (!At<const bool>(params, *Find("strict"))) return Status::Ok();
  for (const Field& field : fields) TAMIS_RETURN_IF_ERROR(CheckStrict(field, params));
  for (const Limit& limit : limits) {
    int64_t value = 0;
    if (!Evaluate(limit.quantity, params, dims, &value))
      continue;  // the quantity belongs to an absent argument
    bool holds = false;
    std::string known;  // of a bound by name: what it is here
    for (const std::string& bound_text : limit.bounds) {
      int64_t bound = 0;
      if (!Evaluate(bound_text, params, dims, &bound)) continue;
      if (!IsNumber(bound_text)) known = " = " + std::to_string(bound);
      switch (limit.rule) {
        case Limit::Rule::kAtMost: holds = holds || value <= bound; break;
        case Limit::Rule::kAtLeast: holds = holds || value >= bound; break;
        case Limit::Rule::kMultipleOf: holds = holds || (bound > 0 && value % bound == 0); break;
        case Limit::Rule::kOneOf:
        case Limit::Rule::kEqual: holds = holds || value == bound; break;
      }
    }
    if (!holds) {
      return Invalid(limit.argument,
                     "(strict) " + limit.quantity + " to be " + limit.text() + known, value);
    }
  }
  return Status::Ok();
}

}  // namespace tamis::base
