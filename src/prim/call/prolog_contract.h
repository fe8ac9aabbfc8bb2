// What the contracts of the prologs, and of the operator that runs both, say in the same words.
#pragma once

#include "base/contract.h"

namespace tamis::prim {

/// A tensor with the dtype of x.
base::TensorSpec LikeX(const char* doc, const char* shape);

/// The same, a row per token: `th` where x is [T, H], `bsh` where it is [B, S1, H].
base::TensorSpec PerToken(const char* doc, const char* th, const char* bsh);

/// Pages of rows, updated in place.
base::TensorSpec Cache(const char* doc, const char* shape);

base::TensorSpec HiddenStates();
base::TensorSpec CacheIndex();

}  // namespace tamis::prim
