// What both contracts of the room say in the same words.
#include "base/contract.h"

#include "ops/dense_lightning_indexer/problem.h"
#include "prim/call/token_contract.h"

namespace tamis::dense_lightning_indexer {

base::TensorSpec Weights(const char* query) {
  return {
      .doc = "weight of each index head, as " + std::string(query) + " or float32; may be negative",
      .dtypes = {DType::kFloat16, DType::kBFloat16, DType::kFloat32},
      .forms = prim::QueryForms("Ni")};
}

base::TensorSpec TokenNumbers(const char* doc) {
  return {.doc = doc, .dtypes = {DType::kFloat32}, .forms = {{"BSND", "B, S1"}, {"TND", "T1"}}};
}

base::TensorSpec KeyLengths() {
  base::TensorSpec spec = prim::KeyLengths(kKeyNames);
  spec.doc =
      "BSND: keys per sequence, or one for all; absent: S2. TND: inclusive prefix sums, required";
  return spec;
}

}  // namespace tamis::dense_lightning_indexer
