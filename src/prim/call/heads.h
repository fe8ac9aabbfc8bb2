// Query heads that share key heads.
#pragma once

#include <cstdint>

#include "tamis/status.hpp"

namespace tamis::prim {

struct HeadGroups {
  int64_t kv_heads = 1;
  int64_t group = 1;  // query heads of a kv head
};

/// head_num against the heads of query, and the key heads against both.
Status CheckHeads(int64_t head_num, int64_t heads, int64_t kv_heads, HeadGroups* groups);

/// The same without a head_num.
Status CheckHeads(int64_t heads, int64_t kv_heads, HeadGroups* groups);

}  // namespace tamis::prim
