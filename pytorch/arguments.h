// PyTorch's boxed arguments as those of Tamis's calls by name.
#pragma once

#include <torch/csrc/stable/tensor.h>

#include <cstdint>
#include <deque>
#include <string>
#include <vector>

#include "operator.h"
#include "tamis/tamis.h"

namespace tamis::torch_ops {

/// Owns what the views borrow.
class Arguments {
 public:
  /// Takes ownership of the arguments on the stack, those of the overload `out` if `with_outputs`.
  /// Throws where a tensor is none that Tamis can read or, if the call writes it, write in place;
  /// or, with `strict`, where the document does not take one that is not contiguous.
  Arguments(const Operator& op, bool with_outputs, StableIValue* stack);
  Arguments(const Arguments&) = delete;
  Arguments& operator=(const Arguments&) = delete;

  /// Those that are given, with whose they are.
  struct Given {
    const Argument* argument;
    tamis_tensor view;
  };
  const std::vector<Given>& tensors() const { return tensors_; }
  const std::vector<tamis_named_attribute>& attributes() const { return attributes_; }

 private:
  void TakeTensor(const Argument& argument, torch::stable::Tensor tensor);
  bool IsStrict() const;
  void TakeAttribute(const Argument& argument, StableIValue value);
  void SetInts(std::vector<int64_t> ints, tamis_named_attribute* attribute);

  std::vector<Given> tensors_;
  std::vector<tamis_named_attribute> attributes_;
  std::vector<torch::stable::Tensor> owned_tensors_;
  std::deque<std::string> owned_strings_;
  std::deque<std::vector<int64_t>> owned_ints_;
};

/// "query: expected ..., got ...", thrown where a ValueError is meant.
[[noreturn]] void ThrowInvalid(const std::string& line);

/// PyTorch's number of a dtype; Tamis's is a value of tamis_dtype.
int32_t TorchDType(tamis_dtype dtype);

}  // namespace tamis::torch_ops
