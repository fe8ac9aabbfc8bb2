// Version, tensors, contexts and plans.
#include <bit>
#include <span>

#include "base/cpu_features.h"
#include "base/errors.h"
#include "capi/error.h"
#include "capi/handles.h"

using tamis::Status;
using tamis::base::Invalid;
using tamis::base::NullArgument;
using tamis::capi::Guard;

const char* tamis_version(void) { return tamis::version(); }

tamis_tensor tamis_dense_tensor(const void* data, tamis_dtype dtype, int32_t rank,
                                const int64_t* shape) {
  const bool sound = rank >= 0 && rank <= TAMIS_MAX_RANK && (shape != nullptr || rank == 0);
  const std::span<const int64_t> dims(shape, sound ? static_cast<size_t>(rank) : 0);
  tamis::TensorView view(data, static_cast<tamis::DType>(dtype), dims);
  if (!sound) view.rank = -1;
  return std::bit_cast<tamis_tensor>(view);
}

tamis_status tamis_context_create(tamis_context** context) {
  return Guard([&]() -> Status {
    if (context == nullptr) return NullArgument("context");
    *context = nullptr;
    *context = new tamis_context;
    return Status::Ok();
  });
}

void tamis_context_destroy(tamis_context* context) { delete context; }

tamis_status tamis_context_set_threads(tamis_context* context, int32_t threads) {
  return Guard([&]() -> Status {
    if (context == nullptr) return NullArgument("context");
    // 0 leaves the choice to the plan, which reads the environment.
    int32_t resolved = 0;
    if (threads != 0) TAMIS_RETURN_IF_ERROR(tamis::base::ResolveThreads(threads, &resolved));
    context->context.threads = threads;
    return Status::Ok();
  });
}

tamis_status tamis_context_set_level(tamis_context* context, int32_t level) {
  return Guard([&]() -> Status {
    if (context == nullptr) return NullArgument("context");
    if (level < TAMIS_LEVEL_AUTO || level > TAMIS_LEVEL_AVX512_BF16)
      return Invalid("level", "0 to 6 (TAMIS_LEVEL_*)", level);
    context->context.level = static_cast<tamis::Level>(level);
    return Status::Ok();
  });
}

tamis_status tamis_context_set_implementation(tamis_context* context, int32_t implementation) {
  return Guard([&]() -> Status {
    if (context == nullptr) return NullArgument("context");
    if (implementation < TAMIS_IMPLEMENTATION_AUTO || implementation > TAMIS_IMPLEMENTATION_CUDA)
      return Invalid("implementation", "0 to 3 (TAMIS_IMPLEMENTATION_*)", implementation);
    context->context.implementation = static_cast<tamis::Implementation>(implementation);
    return Status::Ok();
  });
}

tamis_status tamis_context_set_executor(tamis_context* context, tamis_executor run, void* state) {
  return Guard([&]() -> Status {
    if (context == nullptr) return NullArgument("context");
    context->context.executor = {state, run};
    return Status::Ok();
  });
}

int64_t tamis_plan_workspace_bytes(const tamis_plan* plan) {
  const tamis_status status =
      Guard([&]() -> Status { return plan == nullptr ? NullArgument("plan") : Status::Ok(); });
  return status == TAMIS_OK ? plan->plan.workspace_bytes() : -1;
}

tamis_status tamis_plan_run(const tamis_plan* plan, void* workspace, int64_t workspace_bytes,
                            void* stream) {
  return Guard([&]() -> Status {
    if (plan == nullptr) return NullArgument("plan");
    return plan->plan.run(workspace, workspace_bytes, stream);
  });
}

tamis_status tamis_plan_tensor(const tamis_plan* plan, const char* name, tamis_tensor* tensor) {
  return Guard([&]() -> Status {
    if (tensor == nullptr) return NullArgument("tensor");
    *tensor = {};
    if (plan == nullptr) return NullArgument("plan");
    if (name == nullptr) return NullArgument("name");
    const tamis::base::Field* field = plan->contract->Find(name);
    if (field == nullptr || !field->is_tensor())
      return Invalid("name", "a tensor of " + plan->contract->name, name);
    *tensor = std::bit_cast<tamis_tensor>(plan->plan.tensor(name));
    return Status::Ok();
  });
}

const char* tamis_plan_explanation(const tamis_plan* plan) {
  const tamis_status status = Guard([&]() -> Status {
    if (plan == nullptr) return NullArgument("plan");
    const std::lock_guard lock(plan->explaining);
    if (plan->explanation.empty()) plan->explanation = plan->plan.explanation();
    return Status::Ok();
  });
  return status == TAMIS_OK ? plan->explanation.c_str() : nullptr;
}

void tamis_plan_destroy(tamis_plan* plan) { delete plan; }
