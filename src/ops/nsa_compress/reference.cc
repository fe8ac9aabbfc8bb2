// The specification: output[window, h, c] = sum_w weight[w, h] * input[token + w, h, c], in
// float64.
#include <cmath>

#include "base/dtype.h"
#include "ops/nsa_compress/problem.h"

namespace tamis::nsa_compress {

void Steps::PutWindow(const Problem& problem, const TensorView& input,
                      const std::vector<int64_t>& tokens, int64_t head_stride,
                      const TensorView& weight, size_t slot, base::GoldenOutput* output) {
  double* value = output->Row(static_cast<int64_t>(slot));
  double* bound = output->BoundRow(static_cast<int64_t>(slot));
  for (int64_t h = 0; h < problem.heads; ++h) {
    for (int64_t c = 0; c < problem.dim; ++c) {
      double sum = 0;
      double magnitude = 0;
      for (int64_t w = 0; w < problem.block; ++w) {
        const int64_t at = tokens[static_cast<size_t>(w)] + h * head_stride + c;
        const double term =
            base::LoadAsDouble(weight.data, weight.dtype, w * weight.strides[0] + h) *
            base::LoadAsDouble(input.data, input.dtype, at);
        sum += term;
        magnitude += std::fabs(term);
      }
      value[h * problem.dim + c] = sum;
      bound[h * problem.dim + c] =
          base::Fp32SumBound(static_cast<double>(problem.block), magnitude);
    }
  }
}

void Room::ReferenceRow(const Problem& problem, const Params& in, int64_t row, size_t slot,
                        base::Golden* golden) {
  const int64_t first = FirstTokenOf(problem, row);
  std::vector<int64_t> tokens;
  for (int64_t w = 0; w < problem.block; ++w) tokens.push_back((first + w) * in.input.strides[0]);
  PutWindow(problem, in.input, tokens, in.input.strides[1], in.weight, slot, &golden->outputs[0]);
}

}  // namespace tamis::nsa_compress
