#include <string>

#include "base/checked.h"
#include "base/errors.h"
#include "ops/kv_rows/cpu/kernel_units.h"
#include "ops/kv_rows/problem.h"
#include "prim/call/room.h"

namespace tamis {
namespace {

prim::KvRow FormatOf(bool flash_mla, int64_t latent_dim, int64_t rope_dim, DType dtype) {
  prim::KvRow row = flash_mla ? prim::KvRow::FlashMla(latent_dim, rope_dim)
                              : prim::KvRow::Cann(latent_dim, rope_dim);
  row.rope = prim::ElementOf(dtype);
  return row;
}

// Either way: the kernels write some of the three and read the others.
template <class Params>
void BindRows(const Params& in, kv_rows::KernelArgs* args) {
  args->rows = prim::Data<uint8_t>(in.rows);
  args->rows_stride = in.rows.strides[0];
  args->latent = prim::Data<uint16_t>(in.latent);
  args->latent_stride = in.latent.strides[0];
  args->rope = prim::Data<uint16_t>(in.rope);
  args->rope_stride = in.rope.strides[0];
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
  const double halves = 2.0 * static_cast<double>(p.count) *
                        static_cast<double>(p.format.latent_dim + p.format.rope_dim);
  Cost cost;
  cost.flops = static_cast<double>(p.count) * static_cast<double>(p.format.latent_dim);
  cost.read_bytes = pack ? halves : bytes;
  cost.write_bytes = pack ? bytes : halves;
  return cost;
}

}  // namespace

Status pack_kv_rows::Room::Normalise(const Params& params, base::Dims* dims, Problem* problem) {
  const int64_t latent_dim = (*dims)["D"];
  const int64_t rope_dim = (*dims)["Dr"];
  if (latent_dim % prim::kKvRowGroup != 0)
    return base::Invalid("latent", "D a multiple of 128", latent_dim);
  // Sizes of dimensions that no element stands behind are the caller's word alone.
  int64_t width = 0;
  if (!base::CheckedMul(rope_dim, 2, &width) || !base::CheckedAdd(width, latent_dim, &width) ||
      !base::CheckedAdd(width, latent_dim / 32, &width)) {
    return base::Invalid("rope", "rows below 2^63 bytes", rope_dim);
  }
  problem->format = FormatOf(params.kv_format == KvFormat::kFlashMla656, latent_dim, rope_dim,
                             params.latent.dtype);
  dims->Set("width", width);
  problem->count = (*dims)["R"];
  problem->dtype = params.latent.dtype;
  return Status::Ok();
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
  constexpr int64_t kGroupBytes = prim::kKvRowGroup + 4;  // with their scale
  const int64_t width = (*dims)["width"];
  if (params.rope_dim < 0) return base::Invalid("rope_dim", "at least 0", params.rope_dim);
  if (params.rope_dim > width / 2 || (width - 2 * params.rope_dim) % kGroupBytes != 0) {
    return base::Invalid(
        "rows",
        "2 rope_dim = " + std::to_string(params.rope_dim) + " * 2 bytes and a multiple of 132",
        width);
  }
  const int64_t latent_dim = (width - 2 * params.rope_dim) / kGroupBytes * prim::kKvRowGroup;
  problem->dtype = params.dtype == HalfDtype::kBFloat16 ? DType::kBFloat16 : DType::kFloat16;
  problem->format = FormatOf(params.kv_format == KvFormat::kFlashMla656, latent_dim,
                             params.rope_dim, problem->dtype);
  dims->Set("D", latent_dim);
  problem->count = (*dims)["R"];
  return Status::Ok();
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
