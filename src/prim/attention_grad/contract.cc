#include "prim/attention_grad/contract.h"

namespace tamis::prim::attention_grad {

base::TensorSpec Gradient(const std::string& of) {
  base::TensorSpec spec;
  spec.doc = "gradient of " + of;
  spec.dtype_as = of;
  spec.wanted_by = "return_" + of + "_grad";
  spec.row_dims = {{"BSND", 2}, {"TND", 1}};
  spec.gradient_of = of;
  return spec;
}

base::TensorSpec Gradient(const std::string& of, const std::string& shape) {
  base::TensorSpec spec = Gradient(of);
  spec.shape = shape;
  spec.row_dims = {{"", 1}};
  return spec;
}

}  // namespace tamis::prim::attention_grad
