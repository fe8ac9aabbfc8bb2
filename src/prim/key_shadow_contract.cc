#include "prim/key_shadow_contract.h"

#include <string>

#include "base/errors.h"
#include "prim/key_shadow.h"

namespace tamis::prim {

std::vector<base::ShapeForm> KeyShadowForms() {
  return {{"BSND", "Bk, panels, panel_bytes"},
          {"TND", "panels, panel_bytes"},
          {"PA_BSND", "pages, panels, panel_bytes"}};
}

Status SetShadowDims(const char* name, TokenLayout layout, base::Dims* dims) {
  const base::Dims& d = *dims;
  if (d["D"] > kShadowMostDims)
    return base::Invalid(name, "at most " + std::to_string(kShadowMostDims) + " dims", d["D"]);
  const int64_t keys = layout == TokenLayout::kPaged ? d["page_size"]
                       : layout == TokenLayout::kTnd ? d["T2"]
                                                     : d["S2"];
  dims->Set("panels", ShadowPanels(keys));
  dims->Set("panel_bytes", ShadowPanelBytes(d["D"]));
  return Status::Ok();
}

Status CheckShadowDims(const char* name, TokenLayout layout, const base::Dims& dims) {
  base::Dims expected = dims;
  TAMIS_RETURN_IF_ERROR(SetShadowDims(name, layout, &expected));
  for (const char* size : {"panels", "panel_bytes"}) {
    if (dims[size] != expected[size]) {
      return base::Invalid(name, std::to_string(expected[size]) + " " + size + " beside these keys",
                           dims[size]);
    }
  }
  return Status::Ok();
}

}  // namespace tamis::prim
