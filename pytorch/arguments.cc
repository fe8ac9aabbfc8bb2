#include "arguments.h"

#include <torch/csrc/stable/library.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <optional>
#include <stdexcept>
#include <utility>

namespace tamis::torch_ops {
namespace {

using torch::stable::detail::to;

// Entry i is PyTorch's number of tamis_dtype i.
const std::array<int32_t, 10>& TorchDTypes() {
  static const std::array<int32_t, 10> dtypes = {
      -1,
      aoti_torch_dtype_float16(),
      aoti_torch_dtype_bfloat16(),
      aoti_torch_dtype_float32(),
      aoti_torch_dtype_float64(),
      aoti_torch_dtype_int8(),
      aoti_torch_dtype_uint8(),
      aoti_torch_dtype_int32(),
      aoti_torch_dtype_int64(),
      aoti_torch_dtype_bool(),
  };
  return dtypes;
}

tamis_dtype DTypeOf(const Argument& argument, AtenTensorHandle tensor) {
  int32_t number = -1;
  TORCH_ERROR_CODE_CHECK(aoti_torch_get_dtype(tensor, &number));
  const auto& dtypes = TorchDTypes();
  const auto found = std::find(dtypes.begin() + 1, dtypes.end(), number);
  if (found == dtypes.end()) {
    ThrowInvalid(std::string(argument.name) +
                 ": expected a dtype of float16, bfloat16, float32, float64, int8, uint8, int32, "
                 "int64, bool, got another");
  }
  return static_cast<tamis_dtype>(found - dtypes.begin());
}

// Borrowed from a tensor.
struct Layout {
  explicit Layout(AtenTensorHandle tensor) {
    int64_t rank = 0;
    int64_t* borrowed = nullptr;
    TORCH_ERROR_CODE_CHECK(aoti_torch_get_dim(tensor, &rank));
    TORCH_ERROR_CODE_CHECK(aoti_torch_get_sizes(tensor, &borrowed));
    sizes = {borrowed, static_cast<size_t>(rank)};
    TORCH_ERROR_CODE_CHECK(aoti_torch_get_strides(tensor, &borrowed));
    strides = {borrowed, static_cast<size_t>(rank)};
  }

  // The last dimension's stride is 1, or means nothing.
  bool IsReadable() const {
    return sizes.empty() || sizes.back() <= 1 || strides.back() == 1 ||
           std::find(sizes.begin(), sizes.end(), 0) != sizes.end();
  }

  std::span<const int64_t> sizes;
  std::span<const int64_t> strides;
};

std::string Text(std::span<const int64_t> sizes) {
  std::string text;
  for (const int64_t size : sizes) text += (text.empty() ? "" : ", ") + std::to_string(size);
  return "[" + text + "]";
}

// What one argument of aten's functions is made of; they own it.
StableIValue Lend(AtenTensorHandle tensor) {
  AtenTensorHandle another = nullptr;
  TORCH_ERROR_CODE_CHECK(aoti_torch_new_tensor_handle(tensor, &another));
  return torch::stable::detail::from(another);
}

OwnedTensor Contiguous(AtenTensorHandle tensor) {
  std::array<StableIValue, 2> stack = {
      Lend(tensor), torch::stable::detail::from(aoti_torch_memory_format_contiguous_format())};
  TORCH_ERROR_CODE_CHECK(
      torch_call_dispatcher("aten::contiguous", "", stack.data(), TORCH_ABI_VERSION));
  return OwnedTensor(to<AtenTensorHandle>(stack[0]));
}

std::string Name(const Argument& argument) { return argument.name; }

// A copy in 32 bits of a tensor of 64, whose last dimension is dense.
OwnedTensor Narrowed(const Argument& argument, AtenTensorHandle wide) {
  const OwnedTensor dense = Contiguous(wide);
  const Layout layout(dense.get());
  AtenTensorHandle made = nullptr;
  TORCH_ERROR_CODE_CHECK(aoti_torch_empty_strided(
      static_cast<int64_t>(layout.sizes.size()), layout.sizes.data(), layout.strides.data(),
      TorchDType(TAMIS_INT32), aoti_torch_device_type_cpu(), 0, &made));
  OwnedTensor narrow(made);
  void* from = nullptr;
  void* to = nullptr;
  int64_t count = 0;
  TORCH_ERROR_CODE_CHECK(aoti_torch_get_data_ptr(dense.get(), &from));
  TORCH_ERROR_CODE_CHECK(aoti_torch_get_data_ptr(narrow.get(), &to));
  TORCH_ERROR_CODE_CHECK(aoti_torch_get_numel(dense.get(), &count));
  for (int64_t i = 0; i < count; ++i) {
    const int64_t value = static_cast<const int64_t*>(from)[i];
    if (value != static_cast<int32_t>(value)) {
      ThrowInvalid(Name(argument) + ": expected integers that fit int32, got " +
                   std::to_string(value));
    }
    static_cast<int32_t*>(to)[i] = static_cast<int32_t>(value);
  }
  return narrow;
}

bool IsInt32(const Argument& argument) {
  return argument.kind == Kind::kInt32Tensor || argument.kind == Kind::kOptionalInt32Tensor;
}

// A tensor whose gradient somebody wants. The stable interface has no question for it, but a view
// that is no leaf was recorded.
bool IsRecorded(AtenTensorHandle tensor) {
  std::array<StableIValue, 1> stack = {Lend(tensor)};
  TORCH_ERROR_CODE_CHECK(torch_call_dispatcher("aten::alias", "", stack.data(), TORCH_ABI_VERSION));
  TORCH_ERROR_CODE_CHECK(
      torch_call_dispatcher("aten::is_leaf", "", stack.data(), TORCH_ABI_VERSION));
  return !to<bool>(stack[0]);
}

bool HasGradient(tamis_dtype dtype) { return dtype >= TAMIS_FLOAT16 && dtype <= TAMIS_FLOAT64; }

// The header's own conversion leaks the string that it makes (torch 2.10 to 2.13).
std::string TakeString(StableIValue value) {
  const auto handle = to<StringHandle>(value);
  size_t length = 0;
  const char* data = nullptr;
  TORCH_ERROR_CODE_CHECK(torch_string_length(handle, &length));
  TORCH_ERROR_CODE_CHECK(torch_string_c_str(handle, &data));
  std::string text(data, length);
  TORCH_ERROR_CODE_CHECK(torch_delete_string(handle));
  return text;
}

}  // namespace

void ThrowInvalid(const std::string& line) { throw std::invalid_argument(line); }

int32_t TorchDType(tamis_dtype dtype) { return TorchDTypes()[static_cast<size_t>(dtype)]; }

Arguments::Arguments(const Operator& op, bool with_outputs, StableIValue* stack) : op_(&op) {
  const auto take = [&](const Argument& argument, StableIValue value) {
    switch (argument.kind) {
      case Kind::kTensor:
      case Kind::kInt32Tensor:
      case Kind::kUpdatedTensor: Own(argument, OwnedTensor(to<AtenTensorHandle>(value))); break;
      case Kind::kOptionalTensor:
      case Kind::kOptionalInt32Tensor:
      case Kind::kOptionalUpdatedTensor:
        if (const auto handle = to<std::optional<AtenTensorHandle>>(value))
          Own(argument, OwnedTensor(*handle));
        break;
      default: TakeAttribute(argument, value);
    }
  };
  // All is owned before anything is refused.
  for (const Argument& argument : op.arguments) take(argument, *stack++);
  if (with_outputs) {
    for (const Argument& argument : op.outputs) take(argument, *stack++);
  }
  const bool strict = IsStrict();
  for (size_t i = 0; i < tensor_count_; ++i) {
    bool contiguous = true;
    if (strict && whose_[i]->contiguous)
      TORCH_ERROR_CODE_CHECK(aoti_torch_is_contiguous(owned_tensors_[i].get(), &contiguous));
    if (!contiguous) {
      const Layout layout(owned_tensors_[i].get());
      ThrowInvalid(Name(*whose_[i]) + ": expected (strict) a contiguous tensor, got shape " +
                   Text(layout.sizes) + " and strides " + Text(layout.strides));
    }
    SetView(i);
  }
}

void Arguments::Add(const Argument& argument, OwnedTensor tensor) {
  Own(argument, std::move(tensor));
  SetView(tensor_count_ - 1);
}

void Arguments::Own(const Argument& argument, OwnedTensor tensor) {
  whose_[tensor_count_] = &argument;
  owned_tensors_[tensor_count_] = std::move(tensor);
  ++tensor_count_;
}

// May replace the tensor by a copy. In place: a view is 160 bytes, too many to hand on.
void Arguments::SetView(size_t i) {
  const Argument& argument = *whose_[i];
  OwnedTensor& tensor = owned_tensors_[i];
  tensors_[i] = {argument.name, {}};
  tamis_tensor& view = tensors_[i].tensor;
  view.dtype = DTypeOf(argument, tensor.get());
  const Layout given(tensor.get());
  if (given.sizes.size() > TAMIS_MAX_RANK) {
    ThrowInvalid(Name(argument) + ": expected a rank of 0 to 8, got " +
                 std::to_string(given.sizes.size()));
  }
  // Below a backward that is registered, grad mode is off.
  if (HasGradient(view.dtype) && aoti_torch_grad_mode_is_enabled() && IsRecorded(tensor.get()))
    RefuseGradient(argument);
  if (!given.IsReadable()) {
    if (argument.kind == Kind::kUpdatedTensor || argument.kind == Kind::kOptionalUpdatedTensor) {
      ThrowInvalid(Name(argument) +
                   ": expected a contiguous last dimension (it is written in place), got shape " +
                   Text(given.sizes) + " with other strides");
    }
    tensor = Contiguous(tensor.get());
  }
  // The document's limits speak of dtypes: a strict call is judged as it came.
  if (view.dtype == TAMIS_INT64 && IsInt32(argument) && !IsStrict()) {
    tensor = Narrowed(argument, tensor.get());
    view.dtype = TAMIS_INT32;
  }
  const Layout layout(tensor.get());
  TORCH_ERROR_CODE_CHECK(aoti_torch_get_data_ptr(tensor.get(), &view.data));
  view.rank = static_cast<int32_t>(layout.sizes.size());
  std::copy(layout.sizes.begin(), layout.sizes.end(), view.shape);
  std::copy(layout.strides.begin(), layout.strides.end(), view.strides);
  if (view.rank > 0) view.strides[view.rank - 1] = 1;
}

void Arguments::RefuseGradient(const Argument& argument) const {
  const std::string name = op_ == nullptr ? "a plan" : op_->name;
  const bool elsewhere = op_ != nullptr && op_->has_backward;
  throw std::runtime_error(
      Name(argument) + ": expected a tensor without gradient (" +
      (elsewhere ? "tamis.torch gives a backward to torch.ops.tamis." + name + ", not to this"
                 : name + " has no backward") +
      ": call it under torch.no_grad() or pass .detach()), got one that requires grad");
}

bool Arguments::IsStrict() const {
  const auto all = attributes();
  return std::any_of(all.begin(), all.end(), [](const auto& attribute) {
    return std::strcmp(attribute.name, "strict") == 0 && attribute.value.as_int != 0;
  });
}

void Arguments::TakeAttribute(const Argument& argument, StableIValue value) {
  tamis_named_attribute attribute = {argument.name, TAMIS_ATTRIBUTE_INT, 0, {}};
  switch (argument.kind) {
    case Kind::kInt: attribute.value.as_int = to<int64_t>(value); break;
    case Kind::kFloat:
      attribute.type = TAMIS_ATTRIBUTE_FLOAT;
      attribute.value.as_float = to<double>(value);
      break;
    case Kind::kBool:
      attribute.type = TAMIS_ATTRIBUTE_BOOL;
      attribute.value.as_int = to<bool>(value) ? 1 : 0;
      break;
    case Kind::kString:
      attribute.type = TAMIS_ATTRIBUTE_STRING;
      owned_strings_[string_count_] = TakeString(value);
      attribute.value.as_string = owned_strings_[string_count_++].c_str();
      break;
    case Kind::kInts: SetInts(to<std::vector<int64_t>>(value), &attribute); break;
    case Kind::kOptionalInts: {
      auto ints = to<std::optional<std::vector<int64_t>>>(value);
      if (!ints) return;
      SetInts(*std::move(ints), &attribute);
      break;
    }
    default: return;
  }
  attributes_[attribute_count_++] = attribute;
}

void Arguments::SetInts(std::vector<int64_t> ints, tamis_named_attribute* attribute) {
  const auto size = static_cast<int64_t>(ints.size());
  ints.reserve(1);  // null data would mean an absent list, not an empty one
  owned_ints_.push_back(std::move(ints));
  attribute->type = TAMIS_ATTRIBUTE_INTS;
  attribute->value.as_ints = {owned_ints_.back().data(), size};
}

}  // namespace tamis::torch_ops
