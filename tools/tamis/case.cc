#include "tools/tamis/case.h"

#include <algorithm>
#include <cstdlib>
#include <limits>
#include <map>

#include "base/checked.h"
#include "base/dtype.h"
#include "base/errors.h"
#include "tools/tamis/strict_json.h"

namespace tamis::tools {
namespace {

constexpr char kOp[] = "tamis.op";
constexpr char kAttrs[] = "tamis.attrs";
constexpr char kSource[] = "tamis.source";
constexpr std::string_view kExpected = "expected.";
constexpr char kStrict[] = "strict";  // the one attribute that every operator has

// {"name": scalar, string or list of integers}, straight into the call.
class AttributesHandler final : public JsonHandler {
 public:
  AttributesHandler(bool strict, registry::Call* call) : strict_(strict), call_(call) {}

  std::string Document() const override { return kAttrs; }
  std::string Where() const override { return name_.empty() ? kAttrs : name_; }
  bool saw_strict() const { return saw_strict_; }

  Status BeginObject() override {
    if (depth_ > 0) return Unexpected("an object");
    ++depth_;
    return Status::Ok();
  }
  Status EndObject() override {
    --depth_;
    name_.clear();
    return Status::Ok();
  }
  Status Key(std::string name) override {
    name_ = std::move(name);
    if (name_.empty()) return base::Invalid(kAttrs, "names of attributes", "an empty one");
    return Status::Ok();
  }
  Status BeginArray() override {
    if (depth_ == 0 || in_list_) return Unexpected("a list");
    in_list_ = true;
    list_.clear();
    return Status::Ok();
  }
  Status EndArray() override {
    in_list_ = false;
    return call_->SetInts(name_, std::move(list_));
  }
  Status Scalar(JsonScalar value) override {
    if (depth_ == 0) return Unexpected(JsonTypeName(value));
    if (in_list_) {
      const auto* integer = std::get_if<int64_t>(&value);
      if (integer == nullptr)
        return base::Invalid(name_, "a list of integers",
                             std::string(JsonTypeName(value)) + " in it");
      list_.push_back(*integer);
      return Status::Ok();
    }
    if (const auto* flag = std::get_if<bool>(&value)) {
      if (name_ != kStrict) return call_->SetBool(name_, *flag);
      saw_strict_ = true;
      return call_->SetBool(name_, *flag || strict_);
    }
    if (const auto* integer = std::get_if<int64_t>(&value)) return call_->SetInt(name_, *integer);
    if (const auto* number = std::get_if<double>(&value)) return call_->SetFloat(name_, *number);
    if (const auto* text = std::get_if<std::string>(&value)) return call_->SetChoice(name_, *text);
    return Unexpected("null");
  }

 private:
  Status Unexpected(const char* got) const {
    return base::Invalid(
        Where(), depth_ == 0 ? "an object" : "a number, boolean, string or list of integers", got);
  }

  bool strict_;
  registry::Call* call_;
  int depth_ = 0;
  bool in_list_ = false;
  bool saw_strict_ = false;
  std::string name_;
  std::vector<int64_t> list_;
};

Status CheckMetadata(const std::map<std::string, std::string>& metadata) {
  for (const auto& [key, value] : metadata) {
    if (key.rfind("tamis.", 0) == 0 && key != kOp && key != kAttrs && key != kSource) {
      return base::Invalid(key, "metadata tamis.op, tamis.attrs or tamis.source",
                           "an unknown name");
    }
  }
  if (metadata.count(kOp) == 0) return base::NullArgument(kOp);
  return Status::Ok();
}

}  // namespace

Result<CaseData> ReadCase(const std::string& path) {
  const Result<Safetensors> file = Safetensors::Open(path);
  if (!file.ok()) return file.status();
  const auto& metadata = file->metadata();
  if (Status status = CheckMetadata(metadata); !status.ok())
    return Status(status.code(), path + ": " + status.message());
  CaseData data;
  data.op = metadata.at(kOp);
  if (const auto attrs = metadata.find(kAttrs); attrs != metadata.end()) data.attrs = attrs->second;
  if (const auto source = metadata.find(kSource); source != metadata.end())
    data.source = source->second;
  for (StoredTensor tensor : file->tensors()) {
    const bool expected = std::string_view(tensor.name).substr(0, kExpected.size()) == kExpected;
    if (expected) tensor.name.erase(0, kExpected.size());
    (expected ? data.expected : data.inputs).push_back(std::move(tensor));
  }
  data.memory.push_back(file->mapping());
  return data;
}

Status WriteCase(const std::string& path, const CaseData& data, const WriteProgress& progress) {
  std::map<std::string, std::string> metadata = {{kOp, data.op}, {kAttrs, data.attrs}};
  if (!data.source.empty()) metadata[kSource] = data.source;
  std::vector<StoredTensor> tensors = data.inputs;
  for (StoredTensor tensor : data.expected) {
    tensor.name.insert(0, kExpected);
    tensors.push_back(std::move(tensor));
  }
  return WriteSafetensors(path, metadata, tensors, progress);
}

Status SetAttributes(const std::string& json, bool strict, registry::Call* call) {
  AttributesHandler handler(strict, call);
  TAMIS_RETURN_IF_ERROR(ParseJson(json, &handler));
  if (strict && !handler.saw_strict()) return call->SetBool(kStrict, true);
  return Status::Ok();
}

Result<registry::Call> BuildCall(const CaseData& data, bool strict) {
  Result<registry::Call> call = registry::Call::Of(data.op);
  if (!call.ok()) return call.status();
  TAMIS_RETURN_IF_ERROR(SetAttributes(data.attrs, strict, &*call));
  for (const StoredTensor& tensor : data.inputs) {
    const base::Field* field = call->contract().Find(tensor.name);
    if (field == nullptr || !field->is_input()) {
      std::string known;
      for (const base::Field& f : call->contract().fields) {
        if (f.is_input()) known += (known.empty() ? "" : ", ") + f.name;
      }
      return base::Invalid(tensor.name, "an input of " + data.op + " (" + known + ")",
                           field != nullptr && field->is_output()
                               ? "an output (known results are named expected." + tensor.name + ")"
                               : "an unknown name");
    }
    TAMIS_RETURN_IF_ERROR(call->SetTensor(tensor.name, tensor.view()));
  }
  for (const base::Field& field : call->contract().fields) {
    const bool needed = field.is_input() && field.is_required();
    if (needed && base::Contract::tensor(call->params(), field).absent())
      return base::NullArgument(field.name);
  }
  TAMIS_RETURN_IF_ERROR(call->CheckComplete());
  return call;
}

Result<std::shared_ptr<void>> AllocateBytes(const std::string& what, int64_t bytes) {
  constexpr int64_t kAlignment = 64;
  void* memory = nullptr;
  if (bytes <= std::numeric_limits<int64_t>::max() - kAlignment) {
    const int64_t rounded = base::RoundUp(bytes > 0 ? bytes : 1, kAlignment);
    memory = std::aligned_alloc(kAlignment, static_cast<size_t>(rounded));
  }
  if (memory == nullptr)
    return Status(StatusCode::kNoMemory,
                  what + ": cannot allocate " + std::to_string(bytes) + " bytes");
  return std::shared_ptr<void>(memory, std::free);
}

Result<Outputs> AllocateOutputs(registry::Call* call, const std::vector<std::string>& omit) {
  const Result<std::vector<registry::Call::Output>> wanted = call->Outputs();
  if (!wanted.ok()) return wanted.status();
  Outputs outputs;
  for (const registry::Call::Output& output : *wanted) {
    if (std::find(omit.begin(), omit.end(), output.name) != omit.end()) continue;
    int64_t bytes = base::ItemSize(output.dtype);
    for (int64_t size : output.shape) {
      if (!base::CheckedMul(bytes, size, &bytes))
        return base::Invalid(output.name, "fewer than 2^63 bytes", base::ShapeText(output.shape));
    }
    const Result<std::shared_ptr<void>> memory = AllocateBytes(output.name, bytes);
    if (!memory.ok()) return memory.status();
    outputs.memory.push_back(*memory);
    outputs.tensors.push_back({.name = output.name,
                               .dtype = output.dtype,
                               .shape = output.shape,
                               .data = memory->get(),
                               .bytes = bytes});
    TAMIS_RETURN_IF_ERROR(call->SetTensor(output.name, outputs.tensors.back().view()));
  }
  for (const base::Field& field : call->contract().fields) {
    if (!field.is_updated()) continue;
    const TensorView& view = base::Contract::tensor(call->params(), field);
    if (view.absent()) continue;
    StoredTensor updated = {.name = field.name,
                            .dtype = view.dtype,
                            .shape = {view.shape, view.shape + view.rank},
                            .data = view.data,
                            .bytes = base::ItemSize(view.dtype)};
    for (int64_t size : updated.shape) updated.bytes *= size;
    outputs.tensors.push_back(std::move(updated));
  }
  return outputs;
}

registry::Expected ExpectedViews(const CaseData& data) {
  registry::Expected expected;
  for (const StoredTensor& tensor : data.expected)
    expected.emplace_back(tensor.name, tensor.view());
  return expected;
}

}  // namespace tamis::tools
