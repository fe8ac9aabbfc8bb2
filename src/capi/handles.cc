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

TensorView ViewOf(const tamis_tensor& tensor) { return std::bit_cast<TensorView>(tensor); }

RunTensors::RunTensors(const tamis_plan& plan) : plan_(plan) {
  static_assert(kMostBytes >= sizeof(sparse_attention_pto::Params));
  plan_.contract->construct_params(params_);
}
RunTensors::~RunTensors() { plan_.contract->destroy_params(params_); }

Status RunTensors::Set(const char* name, const TensorView& view) {
  const base::Contract& contract = *plan_.contract;
  const base::Field* field = contract.Find(name);
  if (field == nullptr || !field->is_tensor())
    return base::Invalid(name, "a tensor of " + contract.name, "another name");
  const uint64_t bit = uint64_t{1} << (field - contract.fields.data());
  if ((given_ & bit) != 0) return base::Invalid(name, "to be given once", "it twice");
  given_ |= bit;
  base::Contract::At<TensorView>(params_, *field) = view;
  return Status::Ok();
}

Status RunTensors::Run(void* workspace, int64_t workspace_bytes, void* stream) const {
  const base::Contract& contract = *plan_.contract;
  return plan_.plan.run(Bindings(params_, contract.name.c_str(), contract.params_size), workspace,
                        workspace_bytes, stream);
}

Status SetBool(registry::Call* call, std::string_view name, int64_t value) {
  if (value != 0 && value != 1) return base::Invalid(name, "0 or 1", value);
  return call->SetBool(name, value != 0);
}

Status SetInts(registry::Call* call, std::string_view name, const tamis_int_list& list) {
  if (list.data == nullptr && list.size == 0) return Status::Ok();
  if (list.size < 0) return base::Invalid(name, "a list size of at least 0", list.size);
  if (list.data == nullptr && list.size > 0) {
    return {StatusCode::kNullArgument, std::string(name) + ": expected data of " +
                                           std::to_string(list.size) +
                                           " integers, got a null pointer"};
  }
  return call->SetInts(name, std::vector<int64_t>(list.data, list.data + list.size));
}

Status MakePlan(const registry::Call& call, const tamis_context* context, tamis_plan** plan) {
  Result<Plan> made = call.MakePlan(context == nullptr ? Context{} : context->context);
  if (!made.ok()) return made.status();
  *plan = new tamis_plan{std::move(*made), &call.contract()};
  return Status::Ok();
}

}  // namespace tamis::capi
