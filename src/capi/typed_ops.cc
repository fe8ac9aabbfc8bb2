// Made from the contracts by `dev generate` (cmake/generate.cc): do not edit.
// clang-format off
#include <cstddef>

#include "capi/typed.h"
#include "tamis/tamis.h"

namespace tamis::capi {
namespace {

constexpr Member kNsaCompressMembers[] = {
    {"input", base::Type::kTensor, offsetof(tamis_nsa_compress_params, input)},
    {"weight", base::Type::kTensor, offsetof(tamis_nsa_compress_params, weight)},
    {"act_seq_len", base::Type::kInts, offsetof(tamis_nsa_compress_params, act_seq_len)},
    {"compress_block_size", base::Type::kInt, offsetof(tamis_nsa_compress_params, compress_block_size)},
    {"compress_stride", base::Type::kInt, offsetof(tamis_nsa_compress_params, compress_stride)},
    {"layout", base::Type::kChoice, offsetof(tamis_nsa_compress_params, layout)},
    {"act_seq_len_type", base::Type::kInt, offsetof(tamis_nsa_compress_params, act_seq_len_type)},
    {"strict", base::Type::kBool, offsetof(tamis_nsa_compress_params, strict)},
    {"output", base::Type::kTensor, offsetof(tamis_nsa_compress_params, output)},
};
constexpr Typed kNsaCompress = {"nsa_compress", kNsaCompressMembers, sizeof(tamis_nsa_compress_params)};

}  // namespace

std::span<const Typed> AllTyped() {
  static constexpr Typed kAll[] = {kNsaCompress};
  return kAll;
}

}  // namespace tamis::capi

extern "C" {

tamis_status tamis_nsa_compress_params_init_sized(
    tamis_nsa_compress_params* params, size_t struct_size) {
  return tamis::capi::InitParams(tamis::capi::kNsaCompress, params, struct_size);
}

tamis_status tamis_nsa_compress_plan(
    const tamis_context* context, const tamis_nsa_compress_params* params,
    tamis_plan** plan) {
  return tamis::capi::PlanTyped(tamis::capi::kNsaCompress, context, params, plan);
}

}  // extern "C"
