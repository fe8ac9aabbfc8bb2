#include "prim/formats/key_shadow_reference.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>

namespace tamis::prim {

ShadowedKey EncodeShadow(const std::vector<float>& key) {
  const auto dim = static_cast<int64_t>(key.size());
  ShadowedKey shadow = EmptyShadow(dim);
  float most = 0;
  bool finite = true;
  for (float x : key) {
    finite = finite && std::isfinite(x);
    most = std::max(most, std::abs(x));
  }
  const float root = std::sqrt(static_cast<float>(dim));
  if (!finite || most > kShadowMost) {
    shadow.bounds.error = std::numeric_limits<float>::infinity();
    return shadow;
  }
  if (most < kShadowLeast) {
    shadow.bounds.error = 0x1p-99f * root;
    return shadow;
  }
  const float factor = 32512.0f / most;
  int64_t integers = 0;
  int64_t rests = 0;
  for (size_t d = 0; d < key.size(); ++d) {
    const int z = static_cast<int>(std::nearbyint(key[d] * factor));
    const int integer = (z + 128) >> 8;
    shadow.integers[d] = integer;
    integers += int64_t{integer} * integer;
    rests += int64_t{z - 256 * integer} * (z - 256 * integer);
  }
  const float scale = most / 127.0f;
  const float rounded = std::sqrt(static_cast<float>(rests)) + 0.51f * root;
  const float norm = std::sqrt(static_cast<float>(integers));
  shadow.bounds = {scale, (scale * rounded) * kErrorUnit, (scale * norm) * kNormUnit};
  return shadow;
}

ShadowedKey EmptyShadow(int64_t dim) {
  return {std::vector<int>(static_cast<size_t>(dim)), {0.0f, 0.0f, 0.0f}};
}

void StoreShadow(const ShadowedKey& key, int64_t dim, int64_t index, uint8_t* panel) {
  for (int64_t g = 0; g < ShadowGroups(dim); ++g) {
    for (int64_t b = 0; b < 4; ++b) {
      const int64_t d = ShadowDim(g, b);
      const int integer = d < dim ? key.integers[static_cast<size_t>(d)] : 0;
      panel[(g * kShadowKeys + index) * 4 + b] = static_cast<uint8_t>(integer + 128);
    }
  }
  const float bounds[] = {key.bounds.scale, key.bounds.error, key.bounds.norm};
  for (int64_t i = 0; i < 3; ++i)
    std::memcpy(panel + ShadowScalesAt(dim) + (i * kShadowKeys + index) * 4, &bounds[i], 4);
}

ShadowedKey LoadShadow(const uint8_t* panel, int64_t dim, int64_t index) {
  ShadowedKey key = EmptyShadow(dim);
  for (int64_t g = 0; g < ShadowGroups(dim); ++g) {
    for (int64_t b = 0; b < 4; ++b) {
      const int64_t d = ShadowDim(g, b);
      if (d < dim)
        key.integers[static_cast<size_t>(d)] = panel[(g * kShadowKeys + index) * 4 + b] - 128;
    }
  }
  float bounds[3];
  for (int64_t i = 0; i < 3; ++i)
    std::memcpy(&bounds[i], panel + ShadowScalesAt(dim) + (i * kShadowKeys + index) * 4, 4);
  key.bounds = {bounds[0], bounds[1], bounds[2]};
  return key;
}

}  // namespace tamis::prim
