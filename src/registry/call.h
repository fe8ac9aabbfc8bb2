// Call: one call of an operator, its params filled field by field by name. The command line, the C
// interface and the language bindings come through here; what a field is, the contract says.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "registry/registry.h"

namespace tamis::registry {

class Call {
 public:
  /// Starts from the operator's defaults.
  static Result<Call> Of(std::string_view operator_name);

  Call(Call&&) = default;
  Call& operator=(Call&&) = default;
  Call(const Call&) = delete;  // two would set the same params
  Call& operator=(const Call&) = delete;

  const base::Operator& op() const { return *op_; }
  const base::Contract& contract() const { return *op_->contract; }
  const void* params() const { return params_.get(); }

  /// Each refuses unknown names, names of another type, and a name given twice.
  Status SetTensor(std::string_view name, const TensorView& view);
  Status SetInt(std::string_view name, int64_t value);
  Status SetFloat(std::string_view name, double value);
  Status SetBool(std::string_view name, bool value);
  Status SetChoice(std::string_view name, std::string_view value);
  Status SetInts(std::string_view name, std::vector<int64_t> values);

  /// A required attribute that was never set is an error.
  Status CheckComplete() const;

  struct Output {
    std::string name;
    bool optional = false;
    DType dtype = DType::kNone;
    std::vector<int64_t> shape;
  };
  /// Shapes and dtypes of all outputs, from the inputs alone. Checks the inputs. A tensor that is
  /// updated in place is an input.
  Result<std::vector<Output>> Outputs() const;

  Result<Plan> MakePlan(const Context& context) const;

 private:
  explicit Call(const base::Operator* op);
  Status Claim(std::string_view name, base::Type type, const base::Field** field);

  const base::Operator* op_;
  std::shared_ptr<void> params_;
  std::vector<std::string> given_;
};

}  // namespace tamis::registry
