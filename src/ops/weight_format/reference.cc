// The specification: nz[n / 16 * K * 16 + k * 16 + n % 16] = W[k][n]. A row of the output is N
// elements of its memory.
#include "base/dtype.h"
#include "ops/weight_format/problem.h"

namespace tamis::weight_format {

void Steps::ReferenceRowOf(const Problem& p, const TensorView& weight, int64_t row, size_t slot,
                           base::Golden* golden) {
  const int64_t rows = weight.shape[0];
  const int64_t columns = weight.shape[1];
  double* out = golden->outputs[0].Row(static_cast<int64_t>(slot));
  for (int64_t i = 0; i < columns; ++i) {
    int64_t at = 0;
    if (p.from == WeightFormat::kNz) {  // element [row, i] of W
      at = i / 16 * rows * 16 + row * 16 + i % 16;
    } else {  // element row * columns + i of the panels
      const int64_t panel_elem = (row * columns + i) % (rows * 16);
      const int64_t n = (row * columns + i) / (rows * 16) * 16 + panel_elem % 16;
      at = panel_elem / 16 * weight.strides[0] + n;
    }
    out[i] = base::LoadAsDouble(weight.data, weight.dtype, at);
  }
}

}  // namespace tamis::weight_format
