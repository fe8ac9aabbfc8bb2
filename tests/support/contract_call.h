// A call filled in from its contract: what a recipe leaves open is drawn.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "tests/support/test_call.h"

namespace tamis::test {

/// A call of one operator under construction. A recipe says what the contract cannot: sizes,
/// lengths and attributes that fit together, and the integers in tensors. Build() draws the rest:
/// dtypes, values, gaps between rows, choices, which optional tensors there are.
class ContractCall {
 public:
  ContractCall(const base::Operator& op, Random* random);

  Random& random() { return *random_; }
  /// What is set here stays as it is.
  TestCall& call() { return call_; }

  /// A dimension of the contract's shapes.
  ContractCall& Size(const std::string& name, int64_t size);
  /// An attribute; an integer is a size, too.
  ContractCall& Set(const std::string& name, const Attribute& value);
  /// The form of the tensors' shapes, where the rank of a tensor selects it.
  ContractCall& Form(const std::string& form);
  ContractCall& Type(const std::string& tensor, DType dtype);
  ContractCall& Need(const std::string& tensor);
  ContractCall& Omit(const std::string& argument);
  /// No gap between the rows of any tensor.
  ContractCall& Dense();
  /// Integers for a tensor of the contract's shape and one of its dtypes.
  ContractCall& Values(const std::string& tensor, const std::function<double(int64_t)>& value);

  int64_t size(const std::string& name) const { return sizes_.at(name); }
  /// A size of 1 to `most`, seldom 0.
  int64_t SomeSize(int64_t most);
  bool Coin() { return random_->Below(2) == 0; }

  TestCall Build();

 private:
  bool IsSet(const std::string& name) const;
  void SetAttribute(const base::Field& field);
  void SetTensor(const base::Field& field);
  DType TypeOf(const base::Field& field);
  std::vector<int64_t> ShapeOf(const base::Field& field) const;
  std::function<double(int64_t)> SomeValues(DType dtype);

  const base::Contract& contract_;
  Random* random_;
  TestCall call_;
  std::map<std::string, int64_t> sizes_;
  std::map<std::string, DType> types_;
  std::map<std::string, std::function<double(int64_t)>> values_;
  std::set<std::string> needed_;
  std::set<std::string> omitted_;
  std::string form_;
  bool dense_ = false;
};

}  // namespace tamis::test
