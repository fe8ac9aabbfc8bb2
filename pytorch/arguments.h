// PyTorch's boxed arguments as those of Tamis's calls by name.
#pragma once

#include <torch/csrc/inductor/aoti_torch/c/shim.h>
#include <torch/csrc/stable/tensor.h>

#include <array>
#include <cstdint>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "operator.h"
#include "tamis/tamis.h"

namespace tamis::torch_ops {

/// A tensor of PyTorch that is released at the end. The header's own is shared, which costs an
/// allocation for every argument of every call.
class OwnedTensor {
 public:
  OwnedTensor() = default;
  explicit OwnedTensor(AtenTensorHandle handle) : handle_(handle) {}
  OwnedTensor(OwnedTensor&& other) noexcept : handle_(std::exchange(other.handle_, nullptr)) {}
  OwnedTensor& operator=(OwnedTensor&& other) noexcept {
    std::swap(handle_, other.handle_);
    return *this;
  }
  OwnedTensor(const OwnedTensor&) = delete;
  OwnedTensor& operator=(const OwnedTensor&) = delete;
  ~OwnedTensor() {
    if (handle_ != nullptr) (void)aoti_torch_delete_tensor_object(handle_);
  }
  AtenTensorHandle get() const { return handle_; }
  AtenTensorHandle release() { return std::exchange(handle_, nullptr); }

 private:
  AtenTensorHandle handle_ = nullptr;
};

/// Owns what the views borrow. Of an ordinary call, nothing in it is allocated.
class Arguments {
 public:
  Arguments() = default;
  /// Takes ownership of the arguments on the stack, those of the overload `out` if `with_outputs`.
  /// Throws where a tensor is none that Tamis can read or, if the call writes it, write in place;
  /// or, with `strict`, where the document does not take one that is not contiguous.
  Arguments(const Operator& op, bool with_outputs, StableIValue* stack);
  Arguments(const Arguments&) = delete;
  Arguments& operator=(const Arguments&) = delete;

  /// One tensor more. Throws as the constructor; not `strict`.
  void Add(const Argument& argument, OwnedTensor tensor);

  /// An output that the call allocates.
  void AddOutput(const tamis_named_tensor& output) { tensors_[tensor_count_++] = output; }

  /// Those that are given, in the schema's order.
  std::span<const tamis_named_tensor> tensors() const { return {tensors_.data(), tensor_count_}; }
  /// Whose tensor `i` is, of those that were given.
  const Argument& ArgumentOf(size_t i) const { return *whose_[i]; }
  std::span<const tamis_named_attribute> attributes() const {
    return {attributes_.data(), attribute_count_};
  }

 private:
  void Own(const Argument& argument, OwnedTensor tensor);
  void RefuseGradient(const Argument& argument) const;
  void SetView(size_t i);
  bool IsStrict() const;
  void TakeAttribute(const Argument& argument, StableIValue value);
  void SetInts(std::vector<int64_t> ints, tamis_named_attribute* attribute);

  const Operator* op_ = nullptr;  // none: a plan's, which is run by number
  size_t tensor_count_ = 0;
  size_t attribute_count_ = 0;
  size_t string_count_ = 0;
  std::array<tamis_named_tensor, kMostArguments> tensors_;
  std::array<const Argument*, kMostArguments> whose_;
  std::array<OwnedTensor, kMostArguments> owned_tensors_;
  std::array<tamis_named_attribute, kMostArguments> attributes_;
  std::array<std::string, kMostStrings> owned_strings_;
  std::vector<std::vector<int64_t>> owned_ints_;
};

/// "query: expected ..., got ...", thrown where a ValueError is meant.
[[noreturn]] void ThrowInvalid(const std::string& line);

/// PyTorch's number of a dtype; Tamis's is a value of tamis_dtype.
int32_t TorchDType(tamis_dtype dtype);

}  // namespace tamis::torch_ops
