#include "prim/call/heads.h"

#include <string>

#include "base/errors.h"

namespace tamis::prim {

Status CheckHeads(int64_t head_num, int64_t heads, int64_t kv_heads, HeadGroups* groups) {
  if (head_num != heads)
    return base::Invalid("head_num", "the heads of query = " + std::to_string(heads), head_num);
  if (heads < 1) return base::Invalid("query", "at least 1 head", heads);
  if (kv_heads < 1) return base::Invalid("key", "at least 1 head", kv_heads);
  if (heads % kv_heads != 0) {
    return base::Invalid("head_num", "a multiple of the key heads = " + std::to_string(kv_heads),
                         heads);
  }
  *groups = {kv_heads, heads / kv_heads};
  return Status::Ok();
}

Status CheckHeads(int64_t heads, int64_t kv_heads, HeadGroups* groups) {
  if (heads < 1) return base::Invalid("query", "at least 1 head", heads);
  if (kv_heads < 1) return base::Invalid("key", "at least 1 head", kv_heads);
  if (heads % kv_heads != 0) {
    return base::Invalid("key", "heads that divide those of query = " + std::to_string(heads),
                         kv_heads);
  }
  *groups = {kv_heads, heads / kv_heads};
  return Status::Ok();
}

}  // namespace tamis::prim
