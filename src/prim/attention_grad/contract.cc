#include "prim/attention_grad/contract.h"

#include <utility>

namespace tamis::prim::attention_grad {
namespace {

base::TensorSpec GradientOf(const std::string& of) {
  base::TensorSpec spec;
  spec.doc = "gradient of " + of;
  spec.dtype_as = of;
  spec.wanted_by = "return_" + of + "_grad";
  spec.row_dims = {{"BSND", 2}, {"TND", 1}};
  spec.gradient_of = of;
  return spec;
}

}  // namespace

base::TensorSpec Gradient(const std::string& of, std::vector<base::ShapeForm> forms,
                          const std::string& layout) {
  base::TensorSpec spec = GradientOf(of);
  spec.forms = std::move(forms);
  spec.layout = layout;
  return spec;
}

base::TensorSpec Gradient(const std::string& of, const std::string& shape) {
  base::TensorSpec spec = GradientOf(of);
  spec.shape = shape;
  spec.row_dims = {{"", 1}};
  return spec;
}

}  // namespace tamis::prim::attention_grad
