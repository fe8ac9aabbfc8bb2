#include "base/contract.h"

#include "ops/kv_rows/problem.h"

namespace tamis {
namespace {

constexpr const char* kStrict = "no limit of a document applies: changes nothing";
constexpr const char* kFormatDoc =
    "int8 | rope | scales; fp8 e4m3fn | scales | rope; or fp8 | rope of all rows, then their "
    "scales";
constexpr const char* kSource =
    "rows of npu_kv_quant_sparse_flash_attention and of FlashMLA; no document of its own";

}  // namespace

const base::Contract& pack_kv_rows::Room::contract() {
  static const base::Contract kContract =
      base::ContractBuilder<Params>("pack_kv_rows", "Keys as rows of bytes, 8 bits a channel",
                                    kSource)
          .Input("latent", &Params::latent,
                 {.shape = "R, D",
                  .doc = "latent part of the keys, D a multiple of 128, of 64 with flashmla584",
                  .dtypes = {DType::kFloat16, DType::kBFloat16, DType::kFloat32}})
          .Input("rope", &Params::rope,
                 {.shape = "R, Dr",
                  .doc = "rotary part, kept as it is; of float32 in bfloat16",
                  .dtype_as = "latent"})
          .Choice("kv_format", &Params::kv_format, {"cann656", "flashmla656", "flashmla584"},
                  kFormatDoc)
          .Optional("strict", &Params::strict, kStrict)
          .Output(
              "rows", &Params::rows,
              {.shape = "R, width",
               .doc = "width = D + 2 Dr + D / 32 bytes a key; flashmla584: D + 2 Dr + D / 64 + 1, "
                      "dense",
               .dtypes = {DType::kUInt8}})
          .RowDims({{"", 1}})
          .Build();
  return kContract;
}

const base::Contract& unpack_kv_rows::Room::contract() {
  static const base::Contract kContract =
      base::ContractBuilder<Params>("unpack_kv_rows", "Keys from rows of bytes", kSource)
          .Input("rows", &Params::rows,
                 {.shape = "R, width",
                  .doc = "width = D + 2 rope_dim + D / 32 bytes a key, D a multiple of 128; "
                         "flashmla584: D + 2 rope_dim + D / 64 + 1, D a multiple of 64, dense",
                  .dtypes = {DType::kUInt8, DType::kInt8}})
          .Optional("rope_dim", &Params::rope_dim, "dims of the rotary part")
          .Choice("kv_format", &Params::kv_format, {"cann656", "flashmla656", "flashmla584"},
                  kFormatDoc)
          .Choice("dtype", &Params::dtype, {"bfloat16", "float16", "float32"},
                  "dtype of the outputs; that of the packed rope, float32 beside bfloat16")
          .Optional("strict", &Params::strict, kStrict)
          .Output("latent", &Params::latent,
                  {.shape = "R, D",
                   .doc = "latent part of the keys",
                   .dtypes = {DType::kBFloat16},
                   .dtype_attribute = "dtype",
                   .dtype_choices = {DType::kBFloat16, DType::kFloat16, DType::kFloat32}})
          .OptionalOutput("rope", &Params::rope,
                          {.shape = "R, rope_dim",
                           .doc = "rotary part",
                           .dtypes = {DType::kBFloat16},
                           .dtype_attribute = "dtype",
                           .dtype_choices = {DType::kBFloat16, DType::kFloat16, DType::kFloat32}})
          .RowDims({{"", 1}})
          .Build();
  return kContract;
}

}  // namespace tamis
