// The shadow of index keys as contracts have it: its shapes, and its sizes beside the keys'.
#pragma once

#include <vector>

#include "base/contract.h"
#include "prim/call/token_sequences.h"

namespace tamis::prim {

/// Forms of a shadow, by the layout of the keys.
std::vector<base::ShapeForm> KeyShadowForms();

/// Sets `panels` and `panel_bytes` from the dims of the keys (D, and S2, T2 or page_size). Keys of
/// too many dims are `name`'s fault.
Status SetShadowDims(const char* name, TokenLayout layout, base::Dims* dims);

/// Compares the dims `panels` and `panel_bytes` of a shadow that came with its keys'.
Status CheckShadowDims(const char* name, TokenLayout layout, int64_t dim, const base::Dims& dims);

}  // namespace tamis::prim
