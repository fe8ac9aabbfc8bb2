#include <string>

#include "base/checked.h"
#include "base/dtype.h"
#include "base/errors.h"
#include "ops/quantize_index_keys/cpu/kernel_units.h"
#include "ops/quantize_index_keys/problem.h"
#include "prim/call/room.h"
#include "prim/formats/key_shadow_contract.h"

namespace tamis::quantize_index_keys {

Status Room::Normalise(const Params& params, base::Dims* dims, Problem* problem) {
  const prim::TokenLayout layout = prim::LayoutOf(params.layout_key);
  TAMIS_RETURN_IF_ERROR(prim::SetShadowDims("key", layout, dims));
  const base::Dims& d = *dims;
  problem->pages = layout == prim::TokenLayout::kPaged ? d["pages"]
                   : layout == prim::TokenLayout::kTnd ? 1
                                                       : d["Bk"];
  problem->page_size = layout == prim::TokenLayout::kPaged ? d["page_size"]
                       : layout == prim::TokenLayout::kTnd ? d["T2"]
                                                           : d["S2"];
  problem->panels = d["panels"];
  problem->dim = d["D"];
  return Status::Ok();
}

void Room::Bind(const Problem&, const Params& in, KernelArgs* args) {
  const int page = in.key.rank == 4 ? 0 : -1;  // the dimension that counts pages
  KernelArgs& a = *args;
  const int64_t bytes = base::ItemSize(in.key.dtype);
  a.key = prim::Data<const uint8_t>(in.key);
  a.key_page_stride = page < 0 ? 0 : in.key.strides[0] * bytes;
  a.key_stride = in.key.strides[page + 1] * bytes;
  a.shadow = prim::Data<uint8_t>(in.key_shadow);
  a.shadow_page_stride = page < 0 ? 0 : in.key_shadow.strides[0];
  a.panel_stride = in.key_shadow.strides[page + 1];
}

void Room::OnCpu(Problem& p, const Params& in, const prim::CpuTarget& target, prim::CpuWork* work) {
  static constexpr prim::KernelTable kKernels = {prim::kQuantizeIndexKeysUnits};
  KernelArgs& a = p.args;
  a = {};
  Bind(p, in, &a);
  a.panels = p.panels;
  a.page_size = p.page_size;
  a.dim = p.dim;
  a.element = prim::ElementOf(in.key.dtype);
  a.count = prim::Times(p.pages, p.panels);
  work->phases = {{base::CeilDiv(a.count, kPanelsPerItem), kKernels.at(target.level)}};
  work->scratch_bytes = prim::Times(prim::kShadowKeys * 4, prim::ShadowGroups(p.dim));
}

std::string Room::Blocking(const Problem&) {
  return std::to_string(kPanelsPerItem) + " panels of 16 keys per item";
}

Cost Room::CountCost(const Problem& p, const Params& in) {
  const double keys = static_cast<double>(p.pages) * static_cast<double>(p.page_size);
  Cost cost;
  cost.flops = keys * static_cast<double>(p.dim);
  cost.read_bytes =
      static_cast<double>(base::ItemSize(in.key.dtype)) * keys * static_cast<double>(p.dim);
  cost.write_bytes = static_cast<double>(p.pages) * static_cast<double>(p.panels) *
                     static_cast<double>(prim::ShadowPanelBytes(p.dim));
  return cost;
}

Result<Plan> plan(const Params& params, const Context& context) {
  return prim::MakePlan<Room>(params, context);
}

Status run(const Params& params, const Context& context) {
  return prim::RunOnce<Room>(params, context);
}

}  // namespace tamis::quantize_index_keys
