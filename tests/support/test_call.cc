#include "tests/support/test_call.h"

#include <algorithm>
#include <cmath>
#include <numbers>

#include "base/errors.h"

namespace tamis::test {
namespace {

constexpr unsigned char kUntouched = 0xAB;

int64_t Product(const std::vector<int64_t>& shape) {
  int64_t product = 1;
  for (int64_t size : shape) product *= size;
  return product;
}

// Strides of a tensor whose rows of every dimension but the last are followed by `gap` elements.
std::vector<int64_t> StridesWithGap(const std::vector<int64_t>& shape, int64_t gap) {
  std::vector<int64_t> strides(shape.size());
  int64_t stride = 1;
  for (size_t i = shape.size(); i-- > 0;) {
    strides[i] = stride;
    stride = stride * shape[i] + gap;
  }
  return strides;
}

// Alignment is that of new, 16 bytes: enough for every dtype.
TensorView Lay(std::vector<unsigned char>* bytes, DType dtype, const std::vector<int64_t>& shape,
               int64_t gap) {
  const std::vector<int64_t> strides = StridesWithGap(shape, gap);
  const int64_t elems = shape.empty() ? 1 : strides[0] * shape[0] + gap;
  bytes->assign(static_cast<size_t>((elems + 1) * base::ItemSize(dtype)),
                0xFF);  // 0xFF.. is a NaN in every format
  TensorView view(bytes->data(), dtype, shape);
  std::copy(strides.begin(), strides.end(), view.strides);
  return view;
}

}  // namespace

int64_t OffsetOf(const TensorView& view, int64_t index) {
  int64_t offset = 0;
  for (int i = view.rank - 1; i >= 0; --i) {
    offset += index % view.shape[i] * view.strides[i];
    index /= view.shape[i];
  }
  return offset;
}

uint64_t HashOf(const void* data, size_t size) {
  uint64_t hash = 0xcbf29ce484222325u;
  for (size_t i = 0; i < size; ++i)
    hash = (hash ^ static_cast<const uint8_t*>(data)[i]) * 0x100000001b3u;
  return hash;
}

// What follows the bytes depends on all of them.
Random::Random(const uint8_t* bytes, size_t size)
    : state_(HashOf(bytes, size)), bytes_(bytes), size_(size) {}

// As many bytes as the bound needs, so that one byte is one decision where it can be.
uint64_t Random::FromBytes(uint64_t bound) {
  uint64_t number = 0;
  do {
    number = number << 8 | *bytes_++;
    bound >>= 8;
  } while (--size_ > 0 && bound > 0);
  return number;
}

uint64_t Random::Next() {
  uint64_t z = (state_ += 0x9e3779b97f4a7c15u);
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
  z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
  return z ^ (z >> 31);
}

double Random::Normal() {
  const double radius = std::sqrt(-2 * std::log(1 - Uniform()));
  return radius * std::cos(2 * std::numbers::pi * Uniform());
}

double Draw(uint64_t seed, const char* name, int64_t place) {
  uint64_t state = seed;
  for (; *name != 0; ++name) state = Random(state ^ static_cast<unsigned char>(*name)).Next();
  return Random(state + static_cast<uint64_t>(place)).Normal();
}

TensorView TestCall::Store(DType dtype, const std::vector<int64_t>& shape, int64_t gap,
                           const std::function<double(int64_t)>& value) {
  memory_.emplace_back();
  const TensorView view = Lay(&memory_.back(), dtype, shape, gap);
  const int64_t elems = Product(shape);
  for (int64_t i = 0; i < elems; ++i)
    base::StoreDouble(view.data, dtype, OffsetOf(view, i), value(i));
  return view;
}

TestCall& TestCall::Tensor(const std::string& name, DType dtype, std::vector<int64_t> shape,
                           const std::function<double(int64_t)>& value) {
  return View(name, Store(dtype, shape, 0, value));
}

TestCall& TestCall::Strided(const std::string& name, DType dtype, std::vector<int64_t> shape,
                            int64_t gap, const std::function<double(int64_t)>& value) {
  return View(name, Store(dtype, shape, gap, value));
}

TestCall& TestCall::View(const std::string& name, const TensorView& view) {
  Without(name);
  tensors_.emplace_back(name, view);
  return *this;
}

TestCall& TestCall::Set(const std::string& name, Attribute value) {
  Without(name);
  attributes_.emplace_back(name, std::move(value));
  return *this;
}

TestCall& TestCall::Without(const std::string& name) {
  std::erase_if(tensors_, [&](const auto& entry) { return entry.first == name; });
  std::erase_if(attributes_, [&](const auto& entry) { return entry.first == name; });
  return *this;
}

const TensorView& TestCall::view(const std::string& name) const {
  return std::find_if(tensors_.begin(), tensors_.end(),
                      [&](const auto& e) { return e.first == name; })
      ->second;
}

Result<registry::Call> TestCall::Inputs() const { return Build(tensors_); }

Result<registry::Call> TestCall::Build(
    const std::vector<std::pair<std::string, TensorView>>& tensors) const {
  Result<registry::Call> call = registry::Call::Of(op_);
  if (!call.ok()) return call;
  for (const auto& [name, view] : tensors) TAMIS_RETURN_IF_ERROR(call->SetTensor(name, view));
  for (const auto& [name, value] : attributes_) {
    Status status;
    if (const auto* i = std::get_if<int64_t>(&value)) status = call->SetInt(name, *i);
    if (const auto* d = std::get_if<double>(&value)) status = call->SetFloat(name, *d);
    if (const auto* b = std::get_if<bool>(&value)) status = call->SetBool(name, *b);
    if (const auto* s = std::get_if<std::string>(&value)) status = call->SetChoice(name, *s);
    if (const auto* v = std::get_if<std::vector<int64_t>>(&value)) status = call->SetInts(name, *v);
    TAMIS_RETURN_IF_ERROR(status);
  }
  return call;
}

// A view of the call's own memory, moved to a copy of that memory. Others stay as they are.
TensorView TestCall::Copy(const TensorView& view, Memory* copy) const {
  copy->view = view;
  const auto address = reinterpret_cast<uintptr_t>(view.data);
  for (const std::vector<unsigned char>& bytes : memory_) {
    const auto begin = reinterpret_cast<uintptr_t>(bytes.data());
    if (address < begin || address >= begin + bytes.size()) continue;
    copy->before = copy->bytes = bytes;
    copy->view.data = copy->bytes.data() + (address - begin);
  }
  return copy->view;
}

Result<registry::Call> TestCall::WithOutputs() {
  outputs_.clear();
  const base::Operator* op = registry::Find(op_);
  std::vector<std::pair<std::string, TensorView>> tensors = tensors_;
  for (auto& [name, view] : tensors) {
    const base::Field* field = op == nullptr ? nullptr : op->contract->Find(name);
    if (field != nullptr && field->is_updated()) view = Copy(view, &outputs_[name]);
  }
  Result<registry::Call> call = Build(tensors);
  if (!call.ok()) return call;
  Result<std::vector<registry::Call::Output>> outputs = call->Outputs();
  if (!outputs.ok()) return outputs.status();
  for (const registry::Call::Output& output : *outputs) {
    if (std::find(omitted_.begin(), omitted_.end(), output.name) != omitted_.end()) continue;
    Memory& memory = outputs_[output.name];
    memory.view = Lay(&memory.bytes, output.dtype, output.shape, output_gap_);
    std::fill(memory.bytes.begin(), memory.bytes.end(), kUntouched);
    memory.before = memory.bytes;
    TAMIS_RETURN_IF_ERROR(call->SetTensor(output.name, memory.view));
  }
  return call;
}

Result<Outputs> TestCall::Run(const Context& context) {
  Result<registry::Call> call = WithOutputs();
  if (!call.ok()) return call.status();
  Result<Plan> plan = call->MakePlan(context);
  if (!plan.ok()) return plan.status();
  TAMIS_RETURN_IF_ERROR(plan->run());
  Outputs bytes;
  for (const auto& [name, output] : outputs_) bytes[name] = output.bytes;
  return bytes;
}

double TestCall::Got(const std::string& output, int64_t index) const {
  const TensorView& view = outputs_.at(output).view;
  return base::LoadAsDouble(view.data, view.dtype, OffsetOf(view, index));
}

std::vector<int64_t> TestCall::GotInts(const std::string& output) const {
  std::vector<int64_t> values;
  for (int64_t i = 0; i < OutputElems(output); ++i)
    values.push_back(static_cast<int64_t>(Got(output, i)));
  return values;
}

int64_t TestCall::OutputElems(const std::string& output) const {
  const TensorView& view = outputs_.at(output).view;
  return Product(std::vector<int64_t>(view.shape, view.shape + view.rank));
}

bool TestCall::OutputsUntouched() const {
  return std::all_of(outputs_.begin(), outputs_.end(), [](const auto& output) {
    return output.second.bytes == output.second.before;
  });
}

}  // namespace tamis::test
