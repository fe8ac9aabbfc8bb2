#include "capi/handles.h"

#include <bit>
#include <cstddef>

#include "base/errors.h"

namespace tamis::capi {

// One layout, so that arrays of either pass through without a copy.
static_assert(sizeof(tamis_tensor) == sizeof(TensorView));
static_assert(alignof(tamis_tensor) == alignof(TensorView));
static_assert(offsetof(tamis_tensor, data) == offsetof(TensorView, data));
static_assert(offsetof(tamis_tensor, dtype) == offsetof(TensorView, dtype));
static_assert(offsetof(tamis_tensor, rank) == offsetof(TensorView, rank));
static_assert(offsetof(tamis_tensor, shape) == offsetof(TensorView, shape));
static_assert(offsetof(tamis_tensor, strides) == offsetof(TensorView, strides));
static_assert(offsetof(tamis_tensor, device) == offsetof(TensorView, device));
static_assert(offsetof(tamis_tensor, device_index) == offsetof(TensorView, device_index));
static_assert(TAMIS_MAX_RANK == kMaxRank);

static_assert(TAMIS_OK == static_cast<int>(StatusCode::kOk));
static_assert(TAMIS_UNSUPPORTED == static_cast<int>(StatusCode::kUnsupported));
static_assert(TAMIS_NO_MEMORY == static_cast<int>(StatusCode::kNoMemory));
static_assert(TAMIS_DEVICE_ERROR == static_cast<int>(StatusCode::kDevice));
static_assert(TAMIS_INTERNAL_ERROR == static_cast<int>(StatusCode::kInternal));
static_assert(TAMIS_NULL_ARGUMENT == static_cast<int>(StatusCode::kNullArgument));
static_assert(TAMIS_INVALID_ARGUMENT == static_cast<int>(StatusCode::kInvalidArgument));

static_assert(TAMIS_DTYPE_NONE == static_cast<int>(DType::kNone));
static_assert(TAMIS_FLOAT16 == static_cast<int>(DType::kFloat16));
static_assert(TAMIS_BFLOAT16 == static_cast<int>(DType::kBFloat16));
static_assert(TAMIS_FLOAT32 == static_cast<int>(DType::kFloat32));
static_assert(TAMIS_FLOAT64 == static_cast<int>(DType::kFloat64));
static_assert(TAMIS_INT8 == static_cast<int>(DType::kInt8));
static_assert(TAMIS_UINT8 == static_cast<int>(DType::kUInt8));
static_assert(TAMIS_INT32 == static_cast<int>(DType::kInt32));
static_assert(TAMIS_INT64 == static_cast<int>(DType::kInt64));
static_assert(TAMIS_BOOL == static_cast<int>(DType::kBool));
static_assert(TAMIS_DEVICE_CPU == static_cast<int>(DeviceType::kCpu));
static_assert(TAMIS_DEVICE_CUDA == static_cast<int>(DeviceType::kCuda));

static_assert(TAMIS_LEVEL_AUTO == static_cast<int>(Level::kAuto));
static_assert(TAMIS_LEVEL_SCALAR == static_cast<int>(Level::kScalar));
static_assert(TAMIS_LEVEL_AVX2 == static_cast<int>(Level::kAvx2));
static_assert(TAMIS_LEVEL_AVX2_VNNI == static_cast<int>(Level::kAvx2Vnni));
static_assert(TAMIS_LEVEL_AVX512 == static_cast<int>(Level::kAvx512));
static_assert(TAMIS_LEVEL_AVX512_VNNI == static_cast<int>(Level::kAvx512Vnni));
static_assert(TAMIS_LEVEL_AVX512_BF16 == static_cast<int>(Level::kAvx512Bf16));
static_assert(TAMIS_IMPLEMENTATION_AUTO == static_cast<int>(Implementation::kAuto));
static_assert(TAMIS_IMPLEMENTATION_REFERENCE == static_cast<int>(Implementation::kReference));
static_assert(TAMIS_IMPLEMENTATION_CPU == static_cast<int>(Implementation::kCpu));
static_assert(TAMIS_IMPLEMENTATION_CUDA == static_cast<int>(Implementation::kCuda));

namespace {

Status CheckInts(std::string_view name, const tamis_int_list& list) {
  if (list.size < 0) return base::Invalid(name, "a list size of at least 0", list.size);
  if (list.data != nullptr || list.size == 0) return Status::Ok();
  return {StatusCode::kNullArgument, std::string(name) + ": expected data of " +
                                         std::to_string(list.size) +
                                         " integers, got a null pointer"};
}

}  // namespace

TensorView ViewOf(const tamis_tensor& tensor) { return std::bit_cast<TensorView>(tensor); }

PlanArguments::PlanArguments(const base::Contract& contract) : contract_(contract) {
  static_assert(kMostBytes >= sizeof(sparse_attention_pto::Params));
  contract_.construct_params(params_);
}
PlanArguments::~PlanArguments() { contract_.destroy_params(params_); }

Status PlanArguments::Take(const char* name, base::Type type, const char* kind,
                           const base::Field** field) {
  if (name == nullptr) return base::NullArgument("name");
  *field = contract_.Find(name);
  if (*field == nullptr || (*field)->type != type)
    return base::Invalid(name, kind + contract_.name, "another name");
  const uint64_t bit = uint64_t{1} << (*field - contract_.fields.data());
  if ((given_ & bit) != 0) return base::Invalid(name, "to be given once", "it twice");
  given_ |= bit;
  return Status::Ok();
}

Status PlanArguments::Set(const char* name, const TensorView& view) {
  const base::Field* field = nullptr;
  TAMIS_RETURN_IF_ERROR(Take(name, base::Type::kTensor, "a tensor of ", &field));
  base::Contract::At<TensorView>(params_, *field) = view;
  return Status::Ok();
}

Status PlanArguments::Set(const char* name, const tamis_int_list& list) {
  const base::Field* field = nullptr;
  TAMIS_RETURN_IF_ERROR(Take(name, base::Type::kInts, "a list of integers of ", &field));
  TAMIS_RETURN_IF_ERROR(CheckInts(name, list));
  if (list.data != nullptr || list.size > 0) {
    base::Contract::At<IntList>(params_, *field) =
        std::vector<int64_t>(list.data, list.data + list.size);
  }
  return Status::Ok();
}

Status SetBool(registry::Call* call, std::string_view name, int64_t value) {
  if (value != 0 && value != 1) return base::Invalid(name, "0 or 1", value);
  return call->SetBool(name, value != 0);
}

Status SetInts(registry::Call* call, std::string_view name, const tamis_int_list& list) {
  TAMIS_RETURN_IF_ERROR(CheckInts(name, list));
  if (list.data == nullptr) return Status::Ok();  // absent
  return call->SetInts(name, std::vector<int64_t>(list.data, list.data + list.size));
}

Status Renew(tamis_plan* plan, const PlanArguments& integers, int32_t* changed) {
  plan->explanation.clear();
  bool differs = false;
  TAMIS_RETURN_IF_ERROR(plan->plan.renew(integers.bindings(), &differs));
  if (changed != nullptr) *changed = differs ? 1 : 0;
  return Status::Ok();
}

Status MakePlan(const registry::Call& call, const tamis_context* context, tamis_plan** plan) {
  Result<Plan> made = call.MakePlan(context == nullptr ? Context{} : context->context);
  if (!made.ok()) return made.status();
  *plan = new tamis_plan{std::move(*made), &call.contract()};
  return Status::Ok();
}

}  // namespace tamis::capi
