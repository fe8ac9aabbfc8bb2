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

using torch::stable::Tensor;
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

tamis_dtype DTypeOf(const Argument& argument, const Tensor& tensor) {
  int32_t number = -1;
  TORCH_ERROR_CODE_CHECK(aoti_torch_get_dtype(tensor.get(), &number));
  const auto& dtypes = TorchDTypes();
  const auto found = std::find(dtypes.begin() + 1, dtypes.end(), number);
  if (found == dtypes.end()) {
    ThrowInvalid(std::string(argument.name) +
                 ": expected a dtype of float16, bfloat16, float32, float64, int8, uint8, int32, "
                 "int64, bool, got another");
  }
  return static_cast<tamis_dtype>(found - dtypes.begin());
}

template <class Sizes>
std::string Text(const Sizes& sizes) {
  std::string text;
  for (const int64_t size : sizes) text += (text.empty() ? "" : ", ") + std::to_string(size);
  return "[" + text + "]";
}

// The last dimension's stride is 1, or means nothing.
bool IsReadable(const Tensor& tensor) {
  const int64_t rank = tensor.dim();
  return rank == 0 || tensor.sizes()[rank - 1] <= 1 || tensor.strides()[rank - 1] == 1 ||
         tensor.numel() == 0;
}

Tensor Contiguous(const Tensor& tensor) {
  std::array<StableIValue, 2> stack = {
      torch::stable::detail::from(tensor),
      torch::stable::detail::from(aoti_torch_memory_format_contiguous_format())};
  TORCH_ERROR_CODE_CHECK(
      torch_call_dispatcher("aten::contiguous", "", stack.data(), TORCH_ABI_VERSION));
  return to<Tensor>(stack[0]);
}

std::string Name(const Argument& argument) { return argument.name; }

// A copy in 32 bits of a tensor of 64, whose last dimension is dense.
Tensor Narrowed(const Argument& argument, const Tensor& wide) {
  const Tensor dense = Contiguous(wide);
  const int64_t rank = dense.dim();
  std::array<int64_t, TAMIS_MAX_RANK> strides = {};
  std::copy_n(dense.strides().begin(), rank, strides.begin());
  AtenTensorHandle made = nullptr;
  TORCH_ERROR_CODE_CHECK(aoti_torch_empty_strided(rank, dense.sizes().data(), strides.data(),
                                                  TorchDType(TAMIS_INT32),
                                                  aoti_torch_device_type_cpu(), 0, &made));
  Tensor narrow(made);
  void* from = nullptr;
  void* to = nullptr;
  TORCH_ERROR_CODE_CHECK(aoti_torch_get_data_ptr(dense.get(), &from));
  TORCH_ERROR_CODE_CHECK(aoti_torch_get_data_ptr(narrow.get(), &to));
  for (int64_t i = 0, count = dense.numel(); i < count; ++i) {
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
bool IsRecorded(const Tensor& tensor) {
  std::array<StableIValue, 1> stack = {torch::stable::detail::from(tensor)};
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

Arguments::Arguments(const Operator& op, bool with_outputs, StableIValue* stack) {
  const size_t most = op.arguments.size() + op.outputs.size();
  tensors_.reserve(most);
  attributes_.reserve(op.arguments.size());
  owned_tensors_.reserve(most);
  std::vector<std::pair<const Argument*, Tensor>> given;
  given.reserve(most);
  const auto take = [&](const Argument& argument, StableIValue value) {
    switch (argument.kind) {
      case Kind::kTensor:
      case Kind::kInt32Tensor:
      case Kind::kUpdatedTensor: given.emplace_back(&argument, to<Tensor>(value)); break;
      case Kind::kOptionalTensor:
      case Kind::kOptionalInt32Tensor:
      case Kind::kOptionalUpdatedTensor:
        if (auto tensor = to<std::optional<Tensor>>(value))
          given.emplace_back(&argument, *std::move(tensor));
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
  for (auto& [argument, tensor] : given) {
    if (strict && argument->contiguous && !tensor.is_contiguous()) {
      ThrowInvalid(std::string(argument->name) +
                   ": expected (strict) a contiguous tensor, got shape " + Text(tensor.sizes()) +
                   " and strides " + Text(tensor.strides()));
    }
    TakeTensor(*argument, std::move(tensor));
  }
}

void Arguments::TakeTensor(const Argument& argument, Tensor tensor) {
  tamis_tensor view = {};
  view.dtype = DTypeOf(argument, tensor);
  const int64_t rank = tensor.dim();
  if (rank > TAMIS_MAX_RANK) {
    ThrowInvalid(std::string(argument.name) + ": expected a rank of 0 to 8, got " +
                 std::to_string(rank));
  }
  if (HasGradient(view.dtype) && aoti_torch_grad_mode_is_enabled() && IsRecorded(tensor)) {
    throw std::runtime_error(
        std::string(argument.name) +
        ": expected a tensor without gradient (there is no backward yet: call it under "
        "torch.no_grad() or pass .detach()), got one that requires grad");
  }
  if (!IsReadable(tensor)) {
    if (argument.kind == Kind::kUpdatedTensor || argument.kind == Kind::kOptionalUpdatedTensor) {
      ThrowInvalid(std::string(argument.name) +
                   ": expected a contiguous last dimension (it is written in place), got shape " +
                   Text(tensor.sizes()) + " with other strides");
    }
    tensor = Contiguous(tensor);
  }
  // The document's limits speak of dtypes: a strict call is judged as it came.
  if (view.dtype == TAMIS_INT64 && IsInt32(argument) && !IsStrict()) {
    tensor = Narrowed(argument, tensor);
    view.dtype = TAMIS_INT32;
  }
  TORCH_ERROR_CODE_CHECK(aoti_torch_get_data_ptr(tensor.get(), &view.data));
  view.rank = static_cast<int32_t>(rank);
  std::copy_n(tensor.sizes().begin(), rank, view.shape);
  std::copy_n(tensor.strides().begin(), rank, view.strides);
  if (rank > 0) view.strides[rank - 1] = 1;
  tensors_.push_back({&argument, view});
  owned_tensors_.push_back(std::move(tensor));
}

bool Arguments::IsStrict() const {
  return std::any_of(attributes_.begin(), attributes_.end(), [](const auto& attribute) {
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
      owned_strings_.push_back(TakeString(value));
      attribute.value.as_string = owned_strings_.back().c_str();
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
  attributes_.push_back(attribute);
}

void Arguments::SetInts(std::vector<int64_t> ints, tamis_named_attribute* attribute) {
  const auto size = static_cast<int64_t>(ints.size());
  ints.reserve(1);  // null data would mean an absent list, not an empty one
  owned_ints_.push_back(std::move(ints));
  attribute->type = TAMIS_ATTRIBUTE_INTS;
  attribute->value.as_ints = {owned_ints_.back().data(), size};
}

}  // namespace tamis::torch_ops
