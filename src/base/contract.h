// The contract: the one description of an operator's call.
//
// Everything that lists arguments or defaults is made from it: the checks of shapes and dtypes, the
// command line, the C interface (typed and by name), Python and PyTorch, `tamis ops`, the tables in
// the READMEs, hostile calls and fuzzers.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <new>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

#include "base/views.h"
#include "tamis/plan.hpp"
#include "tamis/status.hpp"
#include "tamis/tensor.hpp"

namespace tamis::base {

/// kInOut, kOptionalInOut: an input that the run updates in place.
enum class Role {
  kInput,
  kOptionalInput,
  kOutput,
  kOptionalOutput,
  kInOut,
  kOptionalInOut,
  kAttribute
};
enum class Type { kTensor, kInt, kFloat, kBool, kChoice, kInts };

/// One admissible shape. `dims` is "T, N, D": each entry a product of dimension names, attribute
/// names and numbers, or "*" for any size. A name that is not known yet is bound to the size found.
/// `when` names a choice ("TND") of the operator's layout attribute, or a form of the tensor whose
/// rank selects ("TH"), or is empty.
struct ShapeForm {
  std::string when;
  std::string dims;
};

/// Leading dimensions that count result rows, by layout choice ("" where there is no layout).
using RowDimsByLayout = std::vector<std::pair<std::string, int>>;

/// What the document prints about one argument beyond its shape: enforced when `strict` is set,
/// listed always.
struct StrictRule {
  enum class Presence { kAsDeclared, kRequired, kNone };
  Presence presence = Presence::kAsDeclared;
  std::vector<DType> dtypes = {};  ///< Of the admissible ones; empty: all.
  bool contiguous = false;         ///< No strided tensor, the last dimension's stride included.
  /// An attribute that the document's call does not have: only its default, the device's choice.
  bool default_only = false;

  bool empty() const {
    return presence == Presence::kAsDeclared && dtypes.empty() && !contiguous && !default_only;
  }
};

struct Field {
  std::string name;
  Role role = Role::kAttribute;
  Type type = Type::kTensor;
  size_t offset = 0;  ///< In the params struct.
  std::string doc;

  // Tensors.
  std::vector<DType> dtypes;  ///< Admissible element types.
  std::string dtype_as;       ///< Or: the same as this tensor's.
  std::vector<ShapeForm> shapes;
  std::string layout;  ///< Choice attribute that selects among `shapes`; empty: the contract's.
  /// Choice attribute that may override the dtype: entry i is its choice i's; kNone: no override.
  std::string dtype_attribute;
  std::vector<DType> dtype_choices;
  std::string wanted_by;  ///< Boolean attribute without which this output must be absent.
  /// Optional inputs without which this output must be absent.
  std::vector<std::string> needs;
  RowDimsByLayout row_dims;  ///< Of this output, where they are not the contract's.
  std::string
      gradient_of;  ///< The tensor of the contract's `gradient_of` that this differentiates.
  bool ranked =
      false;  ///< Output of indices, best first: compared through the scores that ranked them.
  bool read_by_plan = false;  ///< Input whose elements the plan reads: a run binds no other.
  bool page_table = false;    ///< And of those only what lengths reach.

  StrictRule strict;

  // Attributes.
  bool required = false;             ///< No default.
  std::vector<std::string> choices;  ///< Names of the enumerators 0, 1, ...

  bool is_tensor() const { return type == Type::kTensor; }
  bool is_input() const {
    return role == Role::kInput || role == Role::kOptionalInput || is_updated();
  }
  bool is_output() const {
    return role == Role::kOutput || role == Role::kOptionalOutput || is_updated();
  }
  bool is_updated() const { return role == Role::kInOut || role == Role::kOptionalInOut; }
  bool is_required() const {
    return role == Role::kInput || role == Role::kOutput || role == Role::kInOut;
  }
};

/// A limit that the document prints: enforced when `strict` is set, listed always.
struct Limit {
  enum class Rule { kAtMost, kMultipleOf, kOneOf, kEqual, kAtLeast };
  std::string argument;  ///< Named in the message.
  std::string quantity;  ///< A product of dimension and attribute names.
  Rule rule = Rule::kAtMost;
  std::vector<std::string> bounds;  ///< Products too.

  std::string text() const;  ///< "a multiple of 16"
};

/// Sizes by name: dimensions found in shapes and those that a room derives (`Tc`, `B`, ...); and
/// how a packed one is cut into sequences.
class Dims {
 public:
  /// Null where the name is unknown.
  const int64_t* Find(std::string_view name) const;
  bool Has(std::string_view name) const { return Find(name) != nullptr; }
  /// -1 where the name is unknown.
  int64_t operator[](std::string_view name) const {
    const int64_t* size = Find(name);
    return size == nullptr ? -1 : *size;
  }
  void Set(std::string_view name, int64_t size);

  /// To be filled: sequence i of the dimension ends before entry i; what lies past the last end is
  /// padding.
  std::vector<int64_t>& NewEnds(std::string_view name);
  /// Null where the dimension is not packed.
  const std::vector<int64_t>* Ends(std::string_view name) const;

 private:
  struct Size {
    std::string name;
    int64_t size;
  };
  struct Cut {
    std::string name;
    std::vector<int64_t> ends;
  };
  std::vector<Size> sizes_;  // a handful: searched faster than any map
  std::vector<Cut> cuts_;
};

class Contract {
 public:
  std::string name;
  std::string summary;
  std::string source;  ///< The document.
  std::vector<Field> fields;
  std::vector<Limit> limits;
  std::vector<std::string>
      envelope;  ///< What the device's host code enforces beyond the document; information only.
  std::string layout_attribute;  ///< Selects among shape forms; empty if there is one form only.
  std::string layout_tensor;     ///< Or: the tensor whose rank selects.
  RowDimsByLayout row_dims;      ///< Of every output that brings none of its own.
  std::string rows;              ///< Where the reference says which row of an output each of its
                                 ///< own rows is about: how many of those, a dim.
  std::string gradient_of;       ///< The operator whose gradient this is; empty: none.
  std::shared_ptr<const void> default_params;  ///< A default-constructed params struct.
  size_t params_size = 0;
  /// A default-constructed params struct in memory of params_size bytes, and its end.
  void (*construct_params)(void* memory) = nullptr;
  void (*destroy_params)(void* params) = nullptr;
  /// Another params struct, a copy of this one.
  std::shared_ptr<void> (*copy_params)(const void* params) = nullptr;

  const Field* Find(std::string_view field_name) const;

  static TensorView& tensor(void* params, const Field& field) {
    return At<TensorView>(params, field);
  }
  static const TensorView& tensor(const void* params, const Field& f) {
    return At<const TensorView>(params, f);
  }
  template <class T>
  static T& At(std::conditional_t<std::is_const_v<T>, const void, void>* params,
               const Field& field) {
    using Byte = std::conditional_t<std::is_const_v<T>, const char, char>;
    return *reinterpret_cast<T*>(static_cast<Byte*>(params) + field.offset);
  }

  /// Index of the choice that this call makes for the attribute.
  size_t ChoiceOf(std::string_view attribute, const void* params) const {
    return static_cast<size_t>(At<const int32_t>(params, *Find(attribute)));
  }
  /// Whether the argument has a value; a number without one is kNotGiven.
  static bool IsGiven(const Field& field, const void* params);
  /// Whether this call asks for the output.
  bool Wants(const Field& field, const void* params) const {
    return field.wanted_by.empty() || At<const bool>(params, *Find(field.wanted_by));
  }
  /// Name of the first input that the output needs and the call lacks; null: none.
  const std::string* Missing(const Field& field, const void* params) const;
  /// The shape form that this call's layout selects.
  const std::string& FormOf(const Field& field, const void* params) const;
  int RowDimsOf(const Field& field, const void* params) const;

  /// Strides of dimensions of size 1, and of tensors without elements, become 0: nobody checks
  /// them, and a kernel may add them up.
  void ForgetUnusedStrides(void* params) const;

  /// Presence, dtype, device, rank, strides, alignment, extent and dimensions of every input;
  /// ranges of choices; binds dimension names. After it, a present tensor may be indexed within its
  /// shape.
  Status CheckInputs(const void* params, Dims* dims) const;
  /// Outputs that are to be inferred: those that this call gives get their dtype, the others become
  /// absent. Bit i: field i still lacks its shape.
  uint64_t ClaimInferred(void* params) const;
  /// Gives them their shapes: dense, without memory.
  Status ShapeInferred(uint64_t fields_without_shape, void* params, const Dims& dims) const;
  /// As CheckInputs for the outputs, whose dimensions are all known by now; and that no output
  /// shares an element with another tensor, as far as first and last elements tell.
  Status CheckOutputs(const void* params, const Dims& dims) const;
  /// Fills the tensors of `bound`, params that are otherwise default: those that the plan reads
  /// from `planned`, all others from `given`, with the checks of a run (see Plan::run). Allocates
  /// nothing unless it complains.
  Status Bind(const void* planned, const void* given, void* bound) const;
  /// That the integers of `given`, lists and tensors that a plan reads, are as many as those of
  /// `planned`, in tensors of the same dtypes and shapes. Allocates nothing unless it complains.
  Status CheckIntegers(const void* planned, const void* given) const;
  /// Puts them in their place.
  void TakeIntegers(void* planned, const void* given) const;
  /// Copies the elements of tensors that a plan reads, page tables left out, to `copies`, one
  /// behind the other.
  void CopyIntegers(const void* params, std::vector<int64_t>* copies) const;
  /// Lets the views of all tensors that a plan has read have no memory.
  void ForgetIntegers(void* params) const;
  /// Whether the lists of `given` are those of `planned`, and its tensors have the copied elements.
  bool HasIntegers(const void* planned, const std::vector<int64_t>& copies,
                   const void* given) const;
  /// Gives every tensor without an address one behind which nothing is. The name of one that has
  /// elements there; null: none has.
  const std::string* StandIn(void* params) const;
  void CopyTensors(const void* from, void* to) const;
  /// The document's limits, if the call asks for `strict`.
  Status CheckLimits(const void* params, const Dims& dims) const;

  /// An entry of a shape with what it means: "heads N" of "N"; "key heads" of "1", always theirs.
  static std::string InWords(std::string_view entry);

  /// Shape and dtype that an output must have.
  Status OutputShape(const Field& field, const void* params, const Dims& dims, DType* dtype,
                     std::vector<int64_t>* shape) const;

  /// Value of a product of names and numbers, or the end of int64 where it leaves that; false if a
  /// name is unknown.
  bool Evaluate(std::string_view product, const void* params, const Dims& dims,
                int64_t* value) const;

 private:
  Status CheckStrict(const Field& field, const void* params) const;
  bool IsDefault(const Field& field, const void* params) const;
  std::string ValueText(const Field& field, const void* params) const;
  Status CheckInputTensor(const Field& field, const void* params, Dims* dims) const;
  DType OutputDType(const Field& field, const void* params) const;
  Status ShapeOutput(const Field& field, const void* params, const Dims& dims,
                     TensorView* output) const;
  Status CheckOutputTensor(const Field& field, const void* params, const Dims& dims) const;
  Status BindShape(const Field& field, const void* params, Dims* dims) const;
  Status Disagreement(const Field& field, const std::string& symbol, const void* params,
                      const Dims& dims) const;
  int64_t SizeIn(const Field& field, const std::string& symbol, const void* params) const;
  std::string ShapeWanted(const Field& field, const void* params, const Dims& dims,
                          const std::string& symbol = {}, const std::string& witness = {}) const;
  Status CheckOverlaps(const void* params) const;
  std::string_view LayoutName(std::string_view attribute, const void* params) const;
};

/// That the bindings are params of the contract's operator.
Status CheckOperator(const Contract& contract, const Bindings& bindings);

/// The entries of "T, N, D".
std::vector<std::string> SplitDims(std::string_view dims);

struct TensorSpec {
  std::string shape = {};
  std::string doc = {};
  std::vector<DType> dtypes = {};
  std::string dtype_as = {};
  std::vector<ShapeForm> forms = {};
  bool ranked = false;
  std::string layout = {};
  std::string dtype_attribute = {};
  std::vector<DType> dtype_choices = {};
  std::string wanted_by = {};
  std::vector<std::string> needs = {};
  RowDimsByLayout row_dims = {};
  std::string gradient_of = {};
  bool read_by_plan = false;
  bool page_table = false;
};

/// Describes a params struct field by field; defaults are those of a default-constructed Params.
template <class Params>
class ContractBuilder {
 public:
  ContractBuilder(std::string name, std::string summary, std::string source) {
    contract_.name = std::move(name);
    contract_.summary = std::move(summary);
    contract_.source = std::move(source);
    contract_.default_params = std::make_shared<const Params>();
    contract_.params_size = sizeof(Params);
    contract_.construct_params = [](void* memory) { new (memory) Params; };
    contract_.destroy_params = [](void* params) { static_cast<Params*>(params)->~Params(); };
    contract_.copy_params = [](const void* params) -> std::shared_ptr<void> {
      return std::make_shared<Params>(*static_cast<const Params*>(params));
    };
  }

  ContractBuilder& Input(const char* name, TensorView Params::*member, TensorSpec spec) {
    return Tensor(Role::kInput, name, member, std::move(spec));
  }
  ContractBuilder& OptionalInput(const char* name, TensorView Params::*member, TensorSpec spec) {
    return Tensor(Role::kOptionalInput, name, member, std::move(spec));
  }
  ContractBuilder& Output(const char* name, OutputView Params::*member, TensorSpec spec) {
    return Tensor(Role::kOutput, name, member, std::move(spec));
  }
  ContractBuilder& OptionalOutput(const char* name, OutputView Params::*member, TensorSpec spec) {
    return Tensor(Role::kOptionalOutput, name, member, std::move(spec));
  }

  /// Required, checked as an input, updated by the run.
  ContractBuilder& InOut(const char* name, OutputView Params::*member, TensorSpec spec) {
    return Tensor(Role::kInOut, name, member, std::move(spec));
  }
  ContractBuilder& OptionalInOut(const char* name, OutputView Params::*member, TensorSpec spec) {
    return Tensor(Role::kOptionalInOut, name, member, std::move(spec));
  }

  /// An attribute without a default.
  template <class T>
  ContractBuilder& Required(const char* name, T Params::*member, const char* doc) {
    Add(name, member, doc).required = true;
    return *this;
  }
  template <class T>
  ContractBuilder& Optional(const char* name, T Params::*member, const char* doc) {
    Add(name, member, doc);
    return *this;
  }
  template <class Enum>
  ContractBuilder& Choice(const char* name, Enum Params::*member, std::vector<std::string> choices,
                          const char* doc) {
    static_assert(std::is_same_v<std::underlying_type_t<Enum>, int32_t>);
    Field& field = Add(name, member, doc);
    field.choices = std::move(choices);
    return *this;
  }
  /// The choice attribute that selects among shape forms.
  ContractBuilder& LayoutIs(const char* attribute) {
    contract_.layout_attribute = attribute;
    return *this;
  }
  /// Or the tensor whose rank does: the form of as many entries names the layout.
  ContractBuilder& LayoutByRank(const char* tensor) {
    contract_.layout_tensor = tensor;
    return *this;
  }
  ContractBuilder& RowDims(RowDimsByLayout row_dims) {
    contract_.row_dims = std::move(row_dims);
    return *this;
  }
  /// The dimension that counts rows of the reference where outputs have rows of their own: those
  /// that are updated in place, gradients of keys beside those of queries.
  ContractBuilder& Rows(const char* dimension) {
    contract_.rows = dimension;
    return *this;
  }
  /// The operator whose gradient this is. Arguments with the names of its arguments and outputs are
  /// those; gradients say by `gradient_of` of what.
  ContractBuilder& GradientOf(const char* op) {
    contract_.gradient_of = op;
    return *this;
  }
  ContractBuilder& Strict(const char* argument, const char* quantity, Limit::Rule rule,
                          std::vector<std::string> bounds) {
    contract_.limits.push_back({argument, quantity, rule, std::move(bounds)});
    return *this;
  }
  /// What strict asks of the field declared last.
  ContractBuilder& InStrict(StrictRule rule) {
    contract_.fields.back().strict = std::move(rule);
    return *this;
  }
  /// And contiguity of every tensor declared so far.
  ContractBuilder& ContiguousInStrict() {
    for (Field& field : contract_.fields) field.strict.contiguous |= field.is_tensor();
    return *this;
  }
  ContractBuilder& Envelope(std::vector<std::string> lines) {
    contract_.envelope = std::move(lines);
    return *this;
  }
  Contract Build() { return std::move(contract_); }

 private:
  template <class T>
  static constexpr Type TypeOf() {
    if constexpr (std::is_base_of_v<TensorView, T>) return Type::kTensor;
    if constexpr (std::is_same_v<T, int64_t>) return Type::kInt;
    if constexpr (std::is_same_v<T, double>) return Type::kFloat;
    if constexpr (std::is_same_v<T, bool>) return Type::kBool;
    if constexpr (std::is_same_v<T, IntList>) return Type::kInts;
    if constexpr (std::is_enum_v<T>) return Type::kChoice;
  }

  template <class T>
  Field& Add(const char* name, T Params::*member, const char* doc) {
    Field field;
    field.name = name;
    field.type = TypeOf<T>();
    field.doc = doc;
    field.offset = static_cast<size_t>(reinterpret_cast<const char*>(&(defaults_.*member)) -
                                       reinterpret_cast<const char*>(&defaults_));
    contract_.fields.push_back(std::move(field));
    return contract_.fields.back();
  }

  template <class View>
  ContractBuilder& Tensor(Role role, const char* name, View Params::*member, TensorSpec spec) {
    Field& field = Add(name, member, spec.doc.c_str());
    field.role = role;
    field.dtypes = std::move(spec.dtypes);
    field.dtype_as = std::move(spec.dtype_as);
    field.ranked = spec.ranked;
    field.layout = std::move(spec.layout);
    field.dtype_attribute = std::move(spec.dtype_attribute);
    field.dtype_choices = std::move(spec.dtype_choices);
    field.wanted_by = std::move(spec.wanted_by);
    field.needs = std::move(spec.needs);
    field.row_dims = std::move(spec.row_dims);
    field.gradient_of = std::move(spec.gradient_of);
    field.read_by_plan = spec.read_by_plan;
    field.page_table = spec.page_table;
    field.shapes = std::move(spec.forms);
    if (field.shapes.empty()) field.shapes.push_back({"", std::move(spec.shape)});
    return *this;
  }

  Params defaults_{};
  Contract contract_;
};

}  // namespace tamis::base
