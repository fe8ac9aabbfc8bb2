#include "registry/call.h"

#include <algorithm>
#include <utility>

#include "base/errors.h"

namespace tamis::registry {
namespace {

const char* TypeName(base::Type type) {
  static constexpr const char* kNames[] = {"a tensor",  "an integer", "a number",
                                           "a boolean", "a string",   "a list of integers"};
  return kNames[static_cast<int>(type)];
}

}  // namespace

Call::Call(const base::Operator* op)
    : op_(op), params_(op->contract->copy_params(op->contract->default_params.get())) {}

Result<Call> Call::Of(std::string_view operator_name) {
  const base::Operator* op = Find(operator_name);
  if (op == nullptr) return base::Invalid("operator", "one of " + Names(), operator_name);
  return Call(op);
}

Status Call::Claim(std::string_view name, base::Type type, const base::Field** field) {
  *field = contract().Find(name);
  if (*field == nullptr) {
    std::string known;
    for (const base::Field& f : contract().fields) {
      if (f.is_tensor() == (type == base::Type::kTensor))
        known += (known.empty() ? "" : ", ") + f.name;
    }
    return base::Invalid(name, "an argument of " + contract().name + " (" + known + ")",
                         "an unknown name");
  }
  // An integer is a valid number.
  const bool fits =
      (*field)->type == type || ((*field)->type == base::Type::kFloat && type == base::Type::kInt);
  if (!fits) return base::Invalid(name, TypeName((*field)->type), TypeName(type));
  if (std::find(given_.begin(), given_.end(), name) != given_.end()) {
    return base::Invalid(name, "to be given once", "it twice");
  }
  given_.emplace_back(name);
  return Status::Ok();
}

Status Call::SetTensor(std::string_view name, const TensorView& view) {
  const base::Field* field = nullptr;
  TAMIS_RETURN_IF_ERROR(Claim(name, base::Type::kTensor, &field));
  base::Contract::At<TensorView>(params_.get(), *field) = view;
  return Status::Ok();
}

Status Call::SetInt(std::string_view name, int64_t value) {
  const base::Field* field = nullptr;
  TAMIS_RETURN_IF_ERROR(Claim(name, base::Type::kInt, &field));
  if (field->type == base::Type::kFloat) {
    base::Contract::At<double>(params_.get(), *field) = static_cast<double>(value);
  } else if (field->required && !is_given(value)) {
    return base::Invalid(name, "an integer above -2^63", value);
  } else {
    base::Contract::At<int64_t>(params_.get(), *field) = value;
  }
  return Status::Ok();
}

Status Call::SetFloat(std::string_view name, double value) {
  const base::Field* field = nullptr;
  TAMIS_RETURN_IF_ERROR(Claim(name, base::Type::kFloat, &field));
  if (!is_given(value)) return base::Invalid(name, "a finite number, in float32 too", "nan");
  base::Contract::At<double>(params_.get(), *field) = value;
  return Status::Ok();
}

Status Call::SetBool(std::string_view name, bool value) {
  const base::Field* field = nullptr;
  TAMIS_RETURN_IF_ERROR(Claim(name, base::Type::kBool, &field));
  base::Contract::At<bool>(params_.get(), *field) = value;
  return Status::Ok();
}

Status Call::SetChoice(std::string_view name, std::string_view value) {
  const base::Field* field = nullptr;
  TAMIS_RETURN_IF_ERROR(Claim(name, base::Type::kChoice, &field));
  const auto found = std::find(field->choices.begin(), field->choices.end(), value);
  if (found == field->choices.end()) {
    std::string known;
    for (const std::string& choice : field->choices) known += (known.empty() ? "" : ", ") + choice;
    return base::Invalid(name, (field->choices.size() > 1 ? "one of " : "") + known, value);
  }
  base::Contract::At<int32_t>(params_.get(), *field) =
      static_cast<int32_t>(found - field->choices.begin());
  return Status::Ok();
}

Status Call::SetInts(std::string_view name, std::vector<int64_t> values) {
  const base::Field* field = nullptr;
  TAMIS_RETURN_IF_ERROR(Claim(name, base::Type::kInts, &field));
  base::Contract::At<IntList>(params_.get(), *field) = std::move(values);
  return Status::Ok();
}

Status Call::CheckComplete() const {
  for (const base::Field& field : contract().fields) {
    if (field.required && std::find(given_.begin(), given_.end(), field.name) == given_.end()) {
      return base::NullArgument(field.name);
    }
  }
  return Status::Ok();
}

Result<std::vector<Call::Output>> Call::Outputs() const {
  TAMIS_RETURN_IF_ERROR(CheckComplete());
  base::Dims dims;
  TAMIS_RETURN_IF_ERROR(op_->infer(params(), &dims));
  std::vector<Output> outputs;
  for (const base::Field& field : contract().fields) {
    if (!field.is_output() || field.is_updated()) continue;
    if (!contract().Wants(field, params())) continue;
    if (contract().Missing(field, params()) != nullptr) continue;
    Output output;
    output.name = field.name;
    output.optional = field.role == base::Role::kOptionalOutput;
    TAMIS_RETURN_IF_ERROR(
        contract().OutputShape(field, params(), dims, &output.dtype, &output.shape));
    outputs.push_back(std::move(output));
  }
  return outputs;
}

Result<Plan> Call::MakePlan(const Context& context) const {
  TAMIS_RETURN_IF_ERROR(CheckComplete());
  return op_->plan(params(), context);
}

}  // namespace tamis::registry
