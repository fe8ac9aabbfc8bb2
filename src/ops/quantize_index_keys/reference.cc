// The specification: a panel, one key at a time. Bytes are exact: they are the format.
#include <algorithm>
#include <vector>

#include "base/dtype.h"
#include "ops/quantize_index_keys/problem.h"
#include "prim/formats/key_shadow_reference.h"

namespace tamis::quantize_index_keys {

void Room::ReferenceRow(const Problem& p, const Params& in, int64_t row, size_t slot,
                        base::Golden* golden) {
  const int page = in.key.rank == 4 ? 0 : -1;
  const int64_t first = row % p.panels * prim::kShadowKeys;
  std::vector<uint8_t> panel(static_cast<size_t>(prim::ShadowPanelBytes(p.dim)));
  for (int64_t k = 0; k < prim::kShadowKeys; ++k) {
    std::vector<float> key(static_cast<size_t>(p.dim));
    for (int64_t c = 0; first + k < p.page_size && c < p.dim; ++c) {
      const int64_t at = (page < 0 ? 0 : row / p.panels * in.key.strides[0]) +
                         (first + k) * in.key.strides[page + 1] + c;
      key[static_cast<size_t>(c)] =
          static_cast<float>(base::LoadAsDouble(in.key.data, in.key.dtype, at));
    }
    const prim::ShadowedKey shadow =
        first + k < p.page_size ? prim::EncodeShadow(key) : prim::EmptyShadow(p.dim);
    prim::StoreShadow(shadow, p.dim, k, panel.data());
  }
  std::copy(panel.begin(), panel.end(), golden->outputs[0].Row(static_cast<int64_t>(slot)));
}

}  // namespace tamis::quantize_index_keys
