#include "capi/typed.h"

#include <algorithm>
#include <cstring>
#include <type_traits>

#include "base/errors.h"
#include "capi/error.h"
#include "capi/handles.h"

namespace tamis::capi {
namespace {

// More than any params struct: what is above was never initialised.
constexpr size_t kMaxStructSize = 65536;

size_t SizeInC(base::Type type) {
  switch (type) {
    case base::Type::kTensor: return sizeof(tamis_tensor);
    case base::Type::kInt:
    case base::Type::kBool: return sizeof(int64_t);
    case base::Type::kFloat: return sizeof(double);
    case base::Type::kChoice: return sizeof(const char*);
    case base::Type::kInts: return sizeof(tamis_int_list);
  }
  return 0;
}

template <class T>
T Read(const void* params, size_t offset) {
  T value;
  std::memcpy(&value, static_cast<const char*>(params) + offset, sizeof(T));
  return value;
}

template <class T>
void Write(void* params, size_t offset, const T& value) {
  std::memcpy(static_cast<char*>(params) + offset, &value, sizeof(T));
}

Status CheckStructSize(const Typed& typed, const void* params, size_t size) {
  bool at_an_end = size >= typed.size || size == sizeof(size_t);
  for (const Member& member : typed.members)
    at_an_end = at_an_end || size == member.offset + SizeInC(member.type);
  if (!at_an_end || size > kMaxStructSize) {
    return base::Invalid(
        "struct_size",
        "sizeof(tamis_" + std::string(typed.operator_name) + "_params), set by its params_init",
        std::to_string(size));
  }
  if (params == nullptr || size <= typed.size) return Status::Ok();
  const char* extra = static_cast<const char*>(params) + typed.size;
  if (std::any_of(extra, extra + (size - typed.size), [](char byte) { return byte != 0; })) {
    return base::Invalid("struct_size",
                         "zeros in the members that this version does not know (past byte " +
                             std::to_string(typed.size) + ")",
                         "others");
  }
  return Status::Ok();
}

// A required number that still is what params_init has set stays unset.
Status SetMember(const Member& member, const void* params, registry::Call* call) {
  const bool required = call->contract().Find(member.name)->required;
  switch (member.type) {
    case base::Type::kTensor:
      return call->SetTensor(member.name, ViewOf(Read<tamis_tensor>(params, member.offset)));
    case base::Type::kInt: {
      const auto value = Read<int64_t>(params, member.offset);
      return required && !is_given(value) ? Status::Ok() : call->SetInt(member.name, value);
    }
    case base::Type::kFloat: {
      const auto value = Read<double>(params, member.offset);
      return required && !is_given(value) ? Status::Ok() : call->SetFloat(member.name, value);
    }
    case base::Type::kBool: return SetBool(call, member.name, Read<int64_t>(params, member.offset));
    case base::Type::kChoice: {
      const char* choice = Read<const char*>(params, member.offset);
      return choice == nullptr ? Status::Ok() : call->SetChoice(member.name, choice);
    }
    case base::Type::kInts:
      return SetInts(call, member.name, Read<tamis_int_list>(params, member.offset));
  }
  return {StatusCode::kInternal, std::string(member.name) + ": an unknown type"};
}

// Choices and lists default to absent, which means the same and needs no storage here.
void WriteDefault(const Member& member, const base::Contract& contract, void* params) {
  const base::Field& field = *contract.Find(member.name);
  const void* defaults = contract.default_params.get();
  switch (member.type) {
    case base::Type::kTensor: return Write(params, member.offset, tamis_tensor{});
    case base::Type::kInt:
      return Write(params, member.offset, Read<int64_t>(defaults, field.offset));
    case base::Type::kFloat:
      return Write(params, member.offset, Read<double>(defaults, field.offset));
    case base::Type::kBool:
      return Write<int64_t>(params, member.offset, Read<bool>(defaults, field.offset) ? 1 : 0);
    case base::Type::kChoice: return Write<const char*>(params, member.offset, nullptr);
    case base::Type::kInts: return Write(params, member.offset, tamis_int_list{});
  }
}

Result<registry::Call> Start(const Typed& typed) {
  Result<registry::Call> call = registry::Call::Of(typed.operator_name);
  if (call.ok()) TAMIS_RETURN_IF_ERROR(CheckFresh(typed, call->contract()));
  return call;
}

}  // namespace

Status CheckFresh(const Typed& typed, const base::Contract& contract) {
  const auto same = [](const Member& member, const base::Field& field) {
    return member.name == field.name && member.type == field.type;
  };
  if (std::equal(typed.members.begin(), typed.members.end(), contract.fields.begin(),
                 contract.fields.end(), same)) {
    return Status::Ok();
  }
  return {StatusCode::kInternal, contract.name +
                                     ": tamis_ops.h is older than the contract; run "
                                     "`dev generate` and build again"};
}

tamis_status InitParams(const Typed& typed, void* params, size_t struct_size) {
  return Guard([&]() -> Status {
    if (params == nullptr) return base::NullArgument("params");
    TAMIS_RETURN_IF_ERROR(CheckStructSize(typed, nullptr, struct_size));
    const Result<registry::Call> call = Start(typed);
    if (!call.ok()) return call.status();
    std::memset(params, 0, struct_size);  // members of a later version too
    Write(params, 0, struct_size);
    for (const Member& member : typed.members) {
      if (member.offset < struct_size) WriteDefault(member, call->contract(), params);
    }
    return Status::Ok();
  });
}

tamis_status PlanTyped(const Typed& typed, const tamis_context* context, const void* params,
                       tamis_plan** plan) {
  return Guard([&]() -> Status {
    if (plan == nullptr) return base::NullArgument("plan");
    *plan = nullptr;
    if (params == nullptr) return base::NullArgument("params");
    const auto struct_size = Read<size_t>(params, 0);
    TAMIS_RETURN_IF_ERROR(CheckStructSize(typed, params, struct_size));
    Result<registry::Call> call = Start(typed);
    if (!call.ok()) return call.status();
    for (const Member& member : typed.members) {
      if (member.offset < struct_size) TAMIS_RETURN_IF_ERROR(SetMember(member, params, &*call));
    }
    return MakePlan(*call, context, plan);
  });
}

namespace {

// The members that lie within the caller's struct, of one type.
template <class Value>
Status SetEach(const Typed& typed, base::Type type, const void* params, PlanArguments* arguments) {
  const auto struct_size = Read<size_t>(params, 0);
  for (const Member& member : typed.members) {
    if (member.type != type || member.offset >= struct_size) continue;
    if constexpr (std::is_same_v<Value, tamis_tensor>) {
      TAMIS_RETURN_IF_ERROR(
          arguments->Set(member.name, ViewOf(Read<tamis_tensor>(params, member.offset))));
    } else {
      TAMIS_RETURN_IF_ERROR(arguments->Set(member.name, Read<Value>(params, member.offset)));
    }
  }
  return Status::Ok();
}

Status CheckPlan(const Typed& typed, const tamis_plan* plan, const void* params) {
  if (plan == nullptr) return base::NullArgument("plan");
  if (params == nullptr) return base::NullArgument("params");
  if (plan->contract->name != typed.operator_name)
    return base::Invalid("plan", std::string("one of ") + typed.operator_name,
                         plan->contract->name);
  return CheckStructSize(typed, params, Read<size_t>(params, 0));
}

}  // namespace

tamis_status RunTyped(const Typed& typed, const tamis_plan* plan, const void* params,
                      void* workspace, int64_t workspace_bytes, void* stream) {
  return Guard([&]() -> Status {
    TAMIS_RETURN_IF_ERROR(CheckPlan(typed, plan, params));
    PlanArguments run(*plan->contract);
    TAMIS_RETURN_IF_ERROR(SetEach<tamis_tensor>(typed, base::Type::kTensor, params, &run));
    return plan->plan.run(run.bindings(), workspace, workspace_bytes, stream);
  });
}

tamis_status RenewTyped(const Typed& typed, tamis_plan* plan, const void* params) {
  return Guard([&]() -> Status {
    TAMIS_RETURN_IF_ERROR(CheckPlan(typed, plan, params));
    PlanArguments integers(*plan->contract);
    TAMIS_RETURN_IF_ERROR(SetEach<tamis_tensor>(typed, base::Type::kTensor, params, &integers));
    TAMIS_RETURN_IF_ERROR(SetEach<tamis_int_list>(typed, base::Type::kInts, params, &integers));
    return Renew(plan, integers, nullptr);
  });
}

}  // namespace tamis::capi
