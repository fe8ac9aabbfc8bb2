// Calls by name.
#include <algorithm>
#include <string>
#include <vector>

#include "base/errors.h"
#include "capi/error.h"
#include "capi/handles.h"
#include "registry/describe.h"
#include "registry/registry.h"

namespace tamis::capi {
namespace {

Status CheckArray(const char* name, const void* array, int64_t count) {
  if (count < 0) return base::Invalid(std::string(name) + " count", "at least 0", count);
  return array == nullptr && count > 0 ? base::NullArgument(name) : Status::Ok();
}

Status SetAttribute(const tamis_named_attribute& attribute, registry::Call* call) {
  switch (attribute.type) {
    case TAMIS_ATTRIBUTE_INT: return call->SetInt(attribute.name, attribute.value.as_int);
    case TAMIS_ATTRIBUTE_FLOAT: return call->SetFloat(attribute.name, attribute.value.as_float);
    case TAMIS_ATTRIBUTE_BOOL: return SetBool(call, attribute.name, attribute.value.as_int);
    case TAMIS_ATTRIBUTE_STRING:
      if (attribute.value.as_string == nullptr) return base::NullArgument(attribute.name);
      return call->SetChoice(attribute.name, attribute.value.as_string);
    case TAMIS_ATTRIBUTE_INTS: return SetInts(call, attribute.name, attribute.value.as_ints);
    default:
      return base::Invalid(attribute.name, "a type of 1 to 5 (TAMIS_ATTRIBUTE_*)", attribute.type);
  }
}

Status SetTensors(const tamis_named_tensor* tensors, int64_t count, PlanArguments* arguments) {
  for (int64_t i = 0; i < count; ++i) {
    if (tensors[i].name == nullptr)
      return base::NullArgument(base::Indexed("tensors", i) + ".name");
    TAMIS_RETURN_IF_ERROR(arguments->Set(tensors[i].name, ViewOf(tensors[i].tensor)));
  }
  return Status::Ok();
}

Status SetLists(const tamis_named_attribute* attributes, int64_t count, PlanArguments* arguments) {
  for (int64_t i = 0; i < count; ++i) {
    const tamis_named_attribute& attribute = attributes[i];
    if (attribute.name == nullptr)
      return base::NullArgument(base::Indexed("attributes", i) + ".name");
    if (attribute.type != TAMIS_ATTRIBUTE_INTS)
      return base::Invalid(attribute.name, "a list of integers (TAMIS_ATTRIBUTE_INTS)",
                           attribute.type);
    TAMIS_RETURN_IF_ERROR(arguments->Set(attribute.name, attribute.value.as_ints));
  }
  return Status::Ok();
}

Result<registry::Call> FilledCall(const char* operator_name, const tamis_named_tensor* tensors,
                                  int64_t tensor_count, const tamis_named_attribute* attributes,
                                  int64_t attribute_count) {
  if (operator_name == nullptr) return base::NullArgument("operator_name");
  Result<registry::Call> call = registry::Call::Of(operator_name);
  if (!call.ok()) return call;
  TAMIS_RETURN_IF_ERROR(CheckArray("tensors", tensors, tensor_count));
  TAMIS_RETURN_IF_ERROR(CheckArray("attributes", attributes, attribute_count));
  for (int64_t i = 0; i < tensor_count; ++i) {
    if (tensors[i].name == nullptr)
      return base::NullArgument(base::Indexed("tensors", i) + ".name");
    TAMIS_RETURN_IF_ERROR(call->SetTensor(tensors[i].name, ViewOf(tensors[i].tensor)));
  }
  for (int64_t i = 0; i < attribute_count; ++i) {
    if (attributes[i].name == nullptr) {
      return base::NullArgument(base::Indexed("attributes", i) + ".name");
    }
    TAMIS_RETURN_IF_ERROR(SetAttribute(attributes[i], &*call));
  }
  return call;
}

tamis_output OutputInC(const registry::Call& call, const registry::Call::Output& output) {
  tamis_output c = {};
  c.name = call.contract().Find(output.name)->name.c_str();  // the contract's own: static storage
  c.dtype = static_cast<tamis_dtype>(output.dtype);
  c.rank = static_cast<int32_t>(output.shape.size());
  std::copy(output.shape.begin(), output.shape.end(), c.shape);
  c.optional = output.optional ? 1 : 0;
  return c;
}

// One text per operator, made at the first call.
const std::vector<std::string>& Descriptions() {
  static const std::vector<std::string> kTexts = [] {
    std::vector<std::string> texts;
    for (const base::Operator& op : registry::Operators())
      texts.push_back(registry::DescribeJson(op));
    return texts;
  }();
  return kTexts;
}

}  // namespace
}  // namespace tamis::capi

using tamis::Result;
using tamis::Status;
using tamis::base::NullArgument;
using tamis::capi::Guard;
using tamis::registry::Call;

tamis_status tamis_plan_by_name(const tamis_context* context, const char* operator_name,
                                const tamis_named_tensor* tensors, int64_t tensor_count,
                                const tamis_named_attribute* attributes, int64_t attribute_count,
                                tamis_plan** plan) {
  return Guard([&]() -> Status {
    if (plan == nullptr) return NullArgument("plan");
    *plan = nullptr;
    Result<Call> call =
        tamis::capi::FilledCall(operator_name, tensors, tensor_count, attributes, attribute_count);
    return call.ok() ? tamis::capi::MakePlan(*call, context, plan) : call.status();
  });
}

tamis_status tamis_plan_run_by_name(const tamis_plan* plan, const tamis_named_tensor* tensors,
                                    int64_t tensor_count, void* workspace, int64_t workspace_bytes,
                                    void* stream) {
  return Guard([&]() -> Status {
    if (plan == nullptr) return NullArgument("plan");
    TAMIS_RETURN_IF_ERROR(tamis::capi::CheckArray("tensors", tensors, tensor_count));
    tamis::capi::PlanArguments run(*plan->contract);
    TAMIS_RETURN_IF_ERROR(tamis::capi::SetTensors(tensors, tensor_count, &run));
    return plan->plan.run(run.bindings(), workspace, workspace_bytes, stream);
  });
}

tamis_status tamis_plan_renew_by_name(tamis_plan* plan, const tamis_named_tensor* tensors,
                                      int64_t tensor_count, const tamis_named_attribute* attributes,
                                      int64_t attribute_count, int32_t* changed) {
  return Guard([&]() -> Status {
    if (plan == nullptr) return NullArgument("plan");
    TAMIS_RETURN_IF_ERROR(tamis::capi::CheckArray("tensors", tensors, tensor_count));
    TAMIS_RETURN_IF_ERROR(tamis::capi::CheckArray("attributes", attributes, attribute_count));
    tamis::capi::PlanArguments integers(*plan->contract);
    TAMIS_RETURN_IF_ERROR(tamis::capi::SetTensors(tensors, tensor_count, &integers));
    TAMIS_RETURN_IF_ERROR(tamis::capi::SetLists(attributes, attribute_count, &integers));
    return tamis::capi::Renew(plan, integers, changed);
  });
}

tamis_status tamis_outputs_by_name(const char* operator_name, const tamis_named_tensor* tensors,
                                   int64_t tensor_count, const tamis_named_attribute* attributes,
                                   int64_t attribute_count, tamis_output* outputs, int64_t capacity,
                                   int64_t* count) {
  return Guard([&]() -> Status {
    if (count == nullptr) return NullArgument("count");
    *count = 0;
    TAMIS_RETURN_IF_ERROR(tamis::capi::CheckArray("outputs", outputs, capacity));
    Result<Call> call =
        tamis::capi::FilledCall(operator_name, tensors, tensor_count, attributes, attribute_count);
    if (!call.ok()) return call.status();
    const Result<std::vector<Call::Output>> found = call->Outputs();
    if (!found.ok()) return found.status();
    *count = static_cast<int64_t>(found->size());
    for (int64_t i = 0; i < std::min(capacity, *count); ++i)
      outputs[i] = tamis::capi::OutputInC(*call, (*found)[static_cast<size_t>(i)]);
    return Status::Ok();
  });
}

int64_t tamis_operator_count(void) {
  return static_cast<int64_t>(tamis::registry::Operators().size());
}

const char* tamis_operator_name(int64_t index) {
  const char* name = nullptr;
  (void)Guard([&]() -> Status {
    const auto operators = tamis::registry::Operators();
    if (index < 0 || index >= static_cast<int64_t>(operators.size())) {
      return tamis::base::Invalid("index", "0 to " + std::to_string(operators.size() - 1), index);
    }
    name = operators[static_cast<size_t>(index)].contract->name.c_str();
    return Status::Ok();
  });
  return name;
}

const char* tamis_describe(const char* operator_name) {
  const char* text = nullptr;
  (void)Guard([&]() -> Status {
    if (operator_name == nullptr) return NullArgument("operator_name");
    const tamis::base::Operator* op = tamis::registry::Find(operator_name);
    if (op == nullptr) {
      return tamis::base::Invalid("operator", "one of " + tamis::registry::Names(), operator_name);
    }
    text =
        tamis::capi::Descriptions()[static_cast<size_t>(op - tamis::registry::Operators().data())]
            .c_str();
    return Status::Ok();
  });
  return text;
}
