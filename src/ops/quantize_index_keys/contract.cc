#include "base/contract.h"

#include "ops/quantize_index_keys/problem.h"
#include "prim/call/token_contract.h"
#include "prim/formats/key_shadow_contract.h"

namespace tamis::quantize_index_keys {

const base::Contract& Room::contract() {
  static const base::Contract kContract =
      base::ContractBuilder<Params>("quantize_index_keys",
                                    "The int8 shadow of index keys, which lightning_indexer scans",
                                    "no document of its own")
          .Input("key", &Params::key,
                 {.doc = "index keys, one head of at most 1024 dims",
                  .dtypes = {DType::kFloat16, DType::kBFloat16, DType::kFloat32},
                  .forms = prim::KeyForms("1, D")})
          .Choice("layout_key", &Params::layout_key, {"BSND", "TND", "PA_BSND"}, "of key")
          .Optional("strict", &Params::strict, "no limit of a document applies: changes nothing")
          .Output("key_shadow", &Params::key_shadow,
                  {.doc = "panels of 16 keys: bytes, scales, errors, norms",
                   .dtypes = {DType::kUInt8},
                   .forms = prim::KeyShadowForms()})
          .LayoutIs("layout_key")
          .RowDims({{"BSND", 2}, {"TND", 1}, {"PA_BSND", 2}})
          .Build();
  return kContract;
}

}  // namespace tamis::quantize_index_keys
