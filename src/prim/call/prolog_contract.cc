#include "prim/call/prolog_contract.h"

namespace tamis::prim {

base::TensorSpec LikeX(const char* doc, const char* shape) {
  return {.shape = shape, .doc = doc, .dtype_as = "x"};
}

base::TensorSpec PerToken(const char* doc, const char* th, const char* bsh) {
  return {.doc = doc, .dtype_as = "x", .forms = {{"TH", th}, {"BSH", bsh}}};
}

base::TensorSpec Cache(const char* doc, const char* shape) {
  return {.shape = shape, .doc = doc, .dtype_as = "x", .row_dims = {{"", 2}}};
}

base::TensorSpec HiddenStates() {
  return {.doc = "hidden states",
          .dtypes = {DType::kFloat16, DType::kBFloat16, DType::kFloat32},
          .forms = {{"TH", "T, H"}, {"BSH", "B, S1, H"}}};
}

base::TensorSpec CacheIndex() {
  return {.doc =
              "slot = page * page_size + row; negative: not written; of equal ones the last "
              "wins; read when planning",
          .dtypes = {DType::kInt32, DType::kInt64},
          .forms = {{"TH", "T"}, {"BSH", "B, S1"}},
          .read_by_plan = true};
}

}  // namespace tamis::prim
