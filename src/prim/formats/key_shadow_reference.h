// The shadow of a key, one value at a time: the specification of prim/key_shadow.h.
#pragma once

#include <cstdint>
#include <vector>

#include "prim/formats/key_shadow.h"

namespace tamis::prim {

struct ShadowedKey {
  std::vector<int> integers;  // of each dim
  ShadowBounds bounds = {};
};

/// Of a key's values, those of a 16-bit type.
ShadowedKey EncodeShadow(const std::vector<float>& key);

/// What stands where there is no key.
ShadowedKey EmptyShadow(int64_t dim);

/// Into a panel, as its key `index`.
void StoreShadow(const ShadowedKey& key, int64_t dim, int64_t index, uint8_t* panel);

/// Out of a panel.
ShadowedKey LoadShadow(const uint8_t* panel, int64_t dim, int64_t index);

}  // namespace tamis::prim
