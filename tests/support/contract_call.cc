#include "tests/support/contract_call.h"

#include <algorithm>
#include <cmath>
#include <sstream>
#include <utility>

namespace tamis::test {
namespace {

const Attribute* Find(const TestCall& call, const std::string& name) {
  for (const auto& [attribute, value] : call.attributes()) {
    if (attribute == name) return &value;
  }
  return nullptr;
}

}  // namespace

ContractCall::ContractCall(const base::Operator& op, Random* random)
    : contract_(*op.contract), random_(random), call_(op.contract->name) {}

ContractCall& ContractCall::Size(const std::string& name, int64_t size) {
  sizes_[name] = size;
  return *this;
}

ContractCall& ContractCall::Set(const std::string& name, const Attribute& value) {
  call_.Set(name, value);
  if (const auto* integer = std::get_if<int64_t>(&value)) sizes_[name] = *integer;
  return *this;
}

ContractCall& ContractCall::Form(const std::string& form) {
  form_ = form;
  return *this;
}

ContractCall& ContractCall::Type(const std::string& tensor, DType dtype) {
  types_[tensor] = dtype;
  return *this;
}

ContractCall& ContractCall::Need(const std::string& tensor) {
  needed_.insert(tensor);
  return *this;
}

ContractCall& ContractCall::Omit(const std::string& argument) {
  omitted_.insert(argument);
  return *this;
}

ContractCall& ContractCall::Dense() {
  dense_ = true;
  return *this;
}

ContractCall& ContractCall::Values(const std::string& tensor,
                                   const std::function<double(int64_t)>& value) {
  values_[tensor] = value;
  return *this;
}

int64_t ContractCall::SomeSize(int64_t most) {
  return random_->Below(24) == 0 ? 0 : random_->Between(1, most);
}

bool ContractCall::IsSet(const std::string& name) const {
  const auto& tensors = call_.tensors();
  return Find(call_, name) != nullptr ||
         std::any_of(tensors.begin(), tensors.end(),
                     [&](const auto& t) { return t.first == name; });
}

void ContractCall::SetAttribute(const base::Field& field) {
  switch (field.type) {
    case base::Type::kChoice:
      call_.Set(field.name, field.choices[static_cast<size_t>(
                                random_->Below(static_cast<int64_t>(field.choices.size())))]);
      break;
    case base::Type::kBool:
      if (field.name != "strict") call_.Set(field.name, Coin());
      break;
    case base::Type::kFloat: call_.Set(field.name, 0.01 + 0.5 * random_->Uniform()); break;
    default: break;  // integers and lists have defaults, or the recipe sets them
  }
}

DType ContractCall::TypeOf(const base::Field& field) {
  const std::string& name = field.dtype_as.empty() ? field.name : field.dtype_as;
  if (const auto known = types_.find(name); known != types_.end()) return known->second;
  const std::vector<DType>& dtypes = contract_.Find(name)->dtypes;
  return types_[name] =
             dtypes[static_cast<size_t>(random_->Below(static_cast<int64_t>(dtypes.size())))];
}

std::vector<int64_t> ContractCall::ShapeOf(const base::Field& field) const {
  std::string form = form_;
  const std::string& layout = field.layout.empty() ? contract_.layout_attribute : field.layout;
  if (const Attribute* choice = Find(call_, layout)) form = std::get<std::string>(*choice);
  std::string dims = field.shapes.front().dims;
  for (const base::ShapeForm& candidate : field.shapes) {
    if (candidate.when == form) dims = candidate.dims;
  }
  std::vector<int64_t> shape;
  for (const std::string& entry : base::SplitDims(dims)) {
    std::istringstream factors(entry);
    int64_t size = 1;
    for (std::string name; std::getline(factors, name, '*');)
      size *= name.find_first_not_of("0123456789") == std::string::npos ? std::stoll(name)
                                                                        : sizes_.at(name);
    shape.push_back(size);
  }
  return shape;
}

// Mostly random; also few distinct values, which meet as ties, and none but one.
std::function<double(int64_t)> ContractCall::SomeValues(DType dtype) {
  Random* const random = random_;
  if (dtype == DType::kBool || dtype == DType::kUInt8)
    return [=](int64_t) { return random->Uniform() < 0.4 ? 1.0 : 0.0; };
  switch (random_->Below(8)) {
    case 0: return [=](int64_t) { return std::floor(5 * random->Uniform()) - 2; };
    case 1: return [value = random->Uniform()](int64_t) { return value; };
    case 2: return [=](int64_t) { return 4 * random->Normal(); };
    default: return [=](int64_t) { return 1.5 * random->Uniform() - 0.75; };
  }
}

void ContractCall::SetTensor(const base::Field& field) {
  const bool absent =
      omitted_.count(field.name) > 0 ||
      (!field.is_required() && needed_.count(field.name) == 0 && random_->Below(4) == 0);
  if (!field.is_input() || absent) return;
  const DType dtype = TypeOf(field);
  const int64_t gap = dense_ || Coin() ? 0 : random_->Between(1, 5);
  const auto values = values_.find(field.name);
  call_.Strided(field.name, dtype, ShapeOf(field), gap,
                values == values_.end() ? SomeValues(dtype) : values->second);
}

TestCall ContractCall::Build() {
  for (const base::Field& field : contract_.fields) {
    if (!field.is_tensor() && !IsSet(field.name) && omitted_.count(field.name) == 0)
      SetAttribute(field);
  }
  for (const base::Field& field : contract_.fields) {
    if (field.is_tensor() && !IsSet(field.name)) SetTensor(field);
    if (field.role == base::Role::kOptionalOutput && random_->Below(4) == 0) call_.Omit(field.name);
  }
  if (!dense_ && Coin()) call_.OutputGap(random_->Between(1, 3));
  return std::move(call_);
}

}  // namespace tamis::test
