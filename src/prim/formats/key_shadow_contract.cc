#include "prim/formats/key_shadow_contract.h"

#include <string>
#include <utility>

#include "base/errors.h"
#include "prim/formats/key_shadow.h"

namespace tamis::prim {
namespace {

// In a page, or a sequence.
int64_t KeysOf(TokenLayout layout, const base::Dims& dims) {
  return dims[layout == TokenLayout::kPaged ? "page_size"
              : layout == TokenLayout::kTnd ? "T2"
                                            : "S2"];
}

Status CheckShadowed(const char* name, int64_t dim) {
  if (dim <= kShadowMostDims) return Status::Ok();
  return base::Invalid(name, "at most " + std::to_string(kShadowMostDims) + " dims", dim);
}

}  // namespace

std::vector<base::ShapeForm> KeyShadowForms() {
  return {{"BSND", "Bk, panels, panel_bytes"},
          {"TND", "panels, panel_bytes"},
          {"PA_BSND", "pages, panels, panel_bytes"}};
}

Status SetShadowDims(const char* name, TokenLayout layout, base::Dims* dims) {
  const int64_t dim = (*dims)["D"];
  TAMIS_RETURN_IF_ERROR(CheckShadowed(name, dim));
  dims->Set("panels", ShadowPanels(KeysOf(layout, *dims)));
  dims->Set("panel_bytes", ShadowPanelBytes(dim));
  return Status::Ok();
}

Status CheckShadowDims(const char* name, TokenLayout layout, int64_t dim, const base::Dims& dims) {
  TAMIS_RETURN_IF_ERROR(CheckShadowed(name, dim));
  const std::pair<const char*, int64_t> sizes[] = {{"panels", ShadowPanels(KeysOf(layout, dims))},
                                                   {"panel_bytes", ShadowPanelBytes(dim)}};
  for (const auto& [size, expected] : sizes) {
    if (dims[size] != expected) {
      return base::Invalid(name, std::to_string(expected) + " " + size + " beside these keys",
                           dims[size]);
    }
  }
  return Status::Ok();
}

}  // namespace tamis::prim
