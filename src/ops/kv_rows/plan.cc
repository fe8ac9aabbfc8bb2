#include <limits>
#include <string>

#include "base/checked.h"
#include "base/dtype.h"
#include "base/errors.h"
#include "ops/kv_rows/cpu/kernel_units.h"
#include "ops/kv_rows/problem.h"
#include "prim/call/room.h"

namespace tamis {
namespace {

// Of either operator's own enumeration.
template <class KvFormat>
prim::KvRow FormatOf(KvFormat format, int64_t latent_dim, int64_t rope_dim, DType dtype) {
  prim::KvRow row = format == KvFormat::kCann656 ? prim::KvRow::Cann(latent_dim, rope_dim)
                    : format == KvFormat::kFlashMla656
                        ? prim::KvRow::FlashMla(latent_dim, rope_dim)
                        : prim::KvRow::FlashMlaApart(latent_dim, rope_dim);
  if (dtype == DType::kFloat16) row.rope = prim::Element::kFloat16;
  return row;
}

// Rows whose scales lie apart are a page: where they lie follows from their number.
Status CheckDense(const kv_rows::Problem& p, const TensorView& rows) {
  const int64_t width = p.format.width();
  if (!p.format.scales_apart || p.count <= 1 || rows.strides[0] == width) return Status::Ok();
  return base::Invalid("rows", "dense rows with this kv_format, of stride " + std::to_string(width),
                       rows.strides[0]);
}

// Either way: the kernels write some of the three and read the others.
template <class Params>
void BindRows(const Params& in, kv_rows::KernelArgs* args) {
  args->rows = prim::Data<uint8_t>(in.rows);
  args->rows_stride = in.rows.strides[0];
  const int64_t bytes = base::ItemSize(in.latent.dtype);
  args->latent = prim::Data<uint8_t>(in.latent);
  args->latent_stride = in.latent.strides[0] * bytes;
  args->rope = prim::Data<uint8_t>(in.rope);
  args->rope_stride = in.rope.strides[0] * bytes;
}

template <class Params>
void MakeWork(kv_rows::Problem& p, const Params& in, prim::CpuKernel* kernel,
              int64_t scratch_floats, prim::CpuWork* work) {
  kv_rows::KernelArgs& a = p.args;
  a = {};
  BindRows(in, &a);
  a.count = p.count;
  a.format = p.format;
  a.element = prim::ElementOf(p.dtype);
  // Without a byte a row there is nothing to do, and no limit to how many rows there are.
  const int64_t rows = p.format.width() > 0 ? p.count : 0;
  work->phases = {{base::CeilDiv(rows, kv_rows::kRowsPerItem), kernel}};
  work->scratch_bytes = prim::Times(scratch_floats, sizeof(float));
}

std::string BlockingOfEither() { return std::to_string(kv_rows::kRowsPerItem) + " rows per item"; }

Cost CostOf(const kv_rows::Problem& p, bool pack) {
  const double bytes = static_cast<double>(p.count) * static_cast<double>(p.format.width());
  const double elements = static_cast<double>(base::ItemSize(p.dtype)) *
                          static_cast<double>(p.count) *
                          static_cast<double>(p.format.latent_dim + p.format.rope_dim);
  Cost cost;
  cost.flops = static_cast<double>(p.count) * static_cast<double>(p.format.latent_dim);
  cost.read_bytes = pack ? elements : bytes;
  cost.write_bytes = pack ? bytes : elements;
  return cost;
}

}  // namespace

Status pack_kv_rows::Room::Normalise(const Params& params, base::Dims* dims, Problem* problem) {
  const int64_t latent_dim = (*dims)["D"];
  const int64_t rope_dim = (*dims)["Dr"];
  problem->format = FormatOf(params.kv_format, latent_dim, rope_dim, params.latent.dtype);
  const prim::KvRow& format = problem->format;
  if (latent_dim % format.group != 0) {
    return base::Invalid("latent", "D a multiple of " + std::to_string(format.group), latent_dim);
  }
  // Sizes of dimensions that no element stands behind are the caller's word alone.
  if (format.width() == std::numeric_limits<int64_t>::max())
    return base::Invalid("rope", "rows below 2^57 bytes", rope_dim);
  dims->Set("width", format.width());
  problem->count = (*dims)["R"];
  problem->dtype = params.latent.dtype;
  return Status::Ok();
}

Status pack_kv_rows::Room::CheckStrides(const Problem& p, const Params& in) {
  return CheckDense(p, in.rows);
}

void pack_kv_rows::Room::Bind(const Problem&, const Params& in, kv_rows::KernelArgs* args) {
  BindRows(in, args);
}

void pack_kv_rows::Room::OnCpu(Problem& p, const Params& in, const prim::CpuTarget& target,
                               prim::CpuWork* work) {
  static constexpr prim::KernelTable kKernels = {prim::kPackKvRowsUnits};
  MakeWork(p, in, kKernels.at(target.level), 0, work);
}

std::string pack_kv_rows::Room::Blocking(const Problem&) { return BlockingOfEither(); }

Cost pack_kv_rows::Room::CountCost(const Problem& p, const Params&) { return CostOf(p, true); }

Status unpack_kv_rows::Room::Normalise(const Params& params, base::Dims* dims, Problem* problem) {
  const int64_t width = (*dims)["width"];
  if (params.rope_dim < 0) return base::Invalid("rope_dim", "at least 0", params.rope_dim);
  problem->dtype = params.dtype == KeyDtype::kBFloat16  ? DType::kBFloat16
                   : params.dtype == KeyDtype::kFloat16 ? DType::kFloat16
                                                        : DType::kFloat32;
  const prim::KvRow one = FormatOf(params.kv_format, 0, 0, problem->dtype);
  const int64_t group_bytes = one.group + (one.scale == prim::KvScale::kE8M0 ? 1 : 4);
  const bool roomy = params.rope_dim <= (width - one.padding) / 2;
  const int64_t latent_bytes = roomy ? width - one.padding - 2 * params.rope_dim : -1;
  if (latent_bytes < 0 || latent_bytes % group_bytes != 0) {
    return base::Invalid("rows",
                         "2 rope_dim = " + std::to_string(params.rope_dim) +
                             " * 2 bytes and a multiple of " + std::to_string(group_bytes) +
                             (one.padding > 0 ? ", and 1" : ""),
                         width);
  }
  const int64_t latent_dim = latent_bytes / group_bytes * one.group;
  problem->format = FormatOf(params.kv_format, latent_dim, params.rope_dim, problem->dtype);
  dims->Set("D", latent_dim);
  problem->count = (*dims)["R"];
  return CheckStrides(*problem, params);
}

Status unpack_kv_rows::Room::CheckStrides(const Problem& p, const Params& in) {
  return CheckDense(p, in.rows);
}

void unpack_kv_rows::Room::Bind(const Problem&, const Params& in, kv_rows::KernelArgs* args) {
  BindRows(in, args);
}

void unpack_kv_rows::Room::OnCpu(Problem& p, const Params& in, const prim::CpuTarget& target,
                                 prim::CpuWork* work) {
  static constexpr prim::KernelTable kKernels = {prim::kUnpackKvRowsUnits};
  MakeWork(p, in, kKernels.at(target.level), p.format.latent_dim, work);
}

std::string unpack_kv_rows::Room::Blocking(const Problem&) { return BlockingOfEither(); }

Cost unpack_kv_rows::Room::CountCost(const Problem& p, const Params&) { return CostOf(p, false); }

Result<Plan> pack_kv_rows::plan(const Params& params, const Context& context) {
  return prim::MakePlan<Room>(params, context);
}
Status pack_kv_rows::run(const Params& params, const Context& context) {
  return prim::RunOnce<Room>(params, context);
}
Result<Plan> unpack_kv_rows::plan(const Params& params, const Context& context) {
  return prim::MakePlan<Room>(params, context);
}
Status unpack_kv_rows::run(const Params& params, const Context& context) {
  return prim::RunOnce<Room>(params, context);
}

}  // namespace tamis
