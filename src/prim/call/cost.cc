#include "prim/call/cost.h"

#include "base/dtype.h"

namespace tamis::prim {

double CountBytes(std::initializer_list<const TensorView*> views) {
  double count = 0;
  for (const TensorView* view : views) {
    if (view->absent()) continue;
    auto bytes = static_cast<double>(base::ItemSize(view->dtype));
    for (int i = 0; i < view->rank; ++i) bytes *= static_cast<double>(view->shape[i]);
    count += bytes;
  }
  return count;
}

}  // namespace tamis::prim
