#include "plans.h"

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <stdexcept>
#include <string>

namespace tamis::torch_ops {
namespace {

// Of an operator: a model's layers may be of a few kinds.
constexpr size_t kMostKept = 4;

void Append(std::vector<unsigned char>* bytes, const void* data, size_t size) {
  const size_t at = bytes->size();
  bytes->resize(at + size);
  if (size > 0) std::memcpy(bytes->data() + at, data, size);
}
template <class T>
void Append(std::vector<unsigned char>* bytes, const T& value) {
  Append(bytes, &value, sizeof(value));
}

void AppendAddress(std::vector<unsigned char>* bytes, const void* address) {
  Append(bytes, reinterpret_cast<uintptr_t>(address));
}

// The first tensor of the call that is the same view: `value` may be `key` itself.
const char* FirstWithViewOf(const Arguments& arguments, const tamis_tensor& view) {
  for (const auto& [name, other] : arguments.tensors()) {
    if (other.data == view.data && std::memcmp(&other, &view, sizeof(view)) == 0) return name;
  }
  return nullptr;
}

// What a plan depends on beside its integers: dtypes, shapes, which tensors are one, attributes,
// sizes of lists, and how to run.
void WriteKey(const Arguments& arguments, int32_t threads, std::vector<unsigned char>* key) {
  key->clear();
  Append(key, threads);
  const char* const level = std::getenv("TAMIS_LEVEL");
  if (level != nullptr) Append(key, level, std::strlen(level) + 1);
  for (const auto& [name, view] : arguments.tensors()) {
    AppendAddress(key, name);
    Append(key, view.dtype);
    Append(key, view.rank);
    Append(key, view.shape, static_cast<size_t>(view.rank) * sizeof(int64_t));
    AppendAddress(key, FirstWithViewOf(arguments, view));
  }
  for (const tamis_named_attribute& attribute : arguments.attributes()) {
    AppendAddress(key, attribute.name);
    switch (attribute.type) {
      case TAMIS_ATTRIBUTE_STRING:
        Append(key, attribute.value.as_string, std::strlen(attribute.value.as_string) + 1);
        break;
      case TAMIS_ATTRIBUTE_INTS: Append(key, attribute.value.as_ints.size); break;
      default: Append(key, attribute.value.as_int); break;  // a double's bits, too
    }
  }
}

}  // namespace

void Check(tamis_status status) {
  if (status == TAMIS_OK) return;
  const std::string line = tamis_last_error();
  if (status == TAMIS_NULL_ARGUMENT || status == TAMIS_INVALID_ARGUMENT) ThrowInvalid(line);
  throw std::runtime_error(line);
}

void Run(const tamis_plan* plan, std::span<const tamis_named_tensor> tensors) {
  Check(tamis_plan_run_by_name(plan, tensors.data(), static_cast<int64_t>(tensors.size()), nullptr,
                               0, nullptr));
}

KeptPlan::KeptPlan(const Operator& op, const Arguments& arguments, const tamis_context* context,
                   std::vector<unsigned char> key)
    : op_(&op), key_(std::move(key)) {
  std::vector<tamis_named_tensor> tensors(arguments.tensors().begin(), arguments.tensors().end());
  const auto is_output = [&](const Argument& argument) {
    return &argument >= op.outputs.data() && &argument < op.outputs.data() + op.outputs.size();
  };
  bool infers = true;
  for (size_t i = 0; i < arguments.tensors().size(); ++i)
    infers = infers && !is_output(arguments.ArgumentOf(i));
  tamis_tensor inferred = {};
  inferred.rank = TAMIS_INFERRED;
  for (const Argument& output : op.outputs) {
    if (infers) tensors.push_back({output.name, inferred});
  }
  tamis_plan* made = nullptr;
  Check(tamis_plan_by_name(context, op.name, tensors.data(), static_cast<int64_t>(tensors.size()),
                           arguments.attributes().data(),
                           static_cast<int64_t>(arguments.attributes().size()), &made));
  plan_.reset(made);
  for (const Argument& output : op.outputs)
    Check(tamis_plan_tensor(made, output.name, &outputs_.emplace_back()));
}

bool KeptPlan::Renew(const Arguments& arguments, bool* changed) {
  tamis_named_tensor tensors[kMostIntegers];
  tamis_named_attribute lists[kMostIntegers];
  int64_t tensor_count = 0;
  int64_t list_count = 0;
  for (size_t i = 0; i < arguments.tensors().size(); ++i) {
    if (arguments.ArgumentOf(i).read_by_plan) tensors[tensor_count++] = arguments.tensors()[i];
  }
  for (const tamis_named_attribute& attribute : arguments.attributes()) {
    if (attribute.type == TAMIS_ATTRIBUTE_INTS) lists[list_count++] = attribute;
  }
  int32_t differs = 0;
  const tamis_status status =
      tamis_plan_renew_by_name(plan_.get(), tensors, tensor_count, lists, list_count, &differs);
  *changed = differs != 0;
  return status == TAMIS_OK;
}

PlanCounts& CountsOfThisThread() {
  thread_local PlanCounts counts;
  return counts;
}

KeptPlan& PlanFor(const Operator& op, const Arguments& arguments, const tamis_context* context,
                  int32_t threads) {
  thread_local std::vector<std::unique_ptr<KeptPlan>> kept;
  thread_local std::vector<unsigned char> key;
  thread_local uint64_t uses = 0;
  WriteKey(arguments, threads, &key);
  const auto same = [&](const auto& plan) { return plan->IsFor(op, key); };
  auto found = std::find_if(kept.begin(), kept.end(), same);
  PlanCounts& counts = CountsOfThisThread();
  if (found != kept.end()) {
    bool changed = false;
    if ((*found)->Renew(arguments, &changed)) {
      ++(changed ? counts.renewed : counts.reused);
    } else {
      kept.erase(found);  // planning anew says what is wrong, or makes other outputs
      found = kept.end();
    }
  }
  if (found == kept.end()) {
    ++counts.made;
    auto made = std::make_unique<KeptPlan>(op, arguments, context, key);
    const auto of_op = [&](const auto& plan) { return plan->IsOf(op); };
    if (std::count_if(kept.begin(), kept.end(), of_op) == kMostKept) {
      kept.erase(std::min_element(kept.begin(), kept.end(), [&](const auto& a, const auto& b) {
        return of_op(a) && (!of_op(b) || a->last_use < b->last_use);
      }));
    }
    found = kept.insert(kept.end(), std::move(made));
  }
  (*found)->last_use = ++uses;
  return **found;
}

}  // namespace tamis::torch_ops

// For ctypes: see tamis.torch.plan_counts.
extern "C" __attribute__((visibility("default"))) void tamis_torch_plan_counts(int64_t* counts) {
  const tamis::torch_ops::PlanCounts& here = tamis::torch_ops::CountsOfThisThread();
  counts[0] = here.made;
  counts[1] = here.renewed;
  counts[2] = here.reused;
  counts[3] = here.kernel_nanoseconds;
}
