// The specification: output[window, h, c] = sum_w weight[w, h] * input[token + w, h, c], in
// float64.
#include <cmath>

#include "base/dtype.h"
#include "ops/nsa_compress/problem.h"

namespace tamis::nsa_compress {
namespace {

int64_t FirstToken(const Problem& problem, int64_t window) {
  for (const Sequence& s : problem.sequences) {
    if (window < s.window_begin + s.windows)
      return s.token_begin + (window - s.window_begin) * problem.stride;
  }
  return -1;
}

double At(const TensorView& view, int64_t i, int64_t j, int64_t k) {
  return base::LoadAsDouble(view.data, view.dtype, i * view.strides[0] + j * view.strides[1] + k);
}

}  // namespace

void Room::ReferenceRow(const Problem& problem, const Params& in, int64_t row, size_t slot,
                        base::Golden* golden) {
  base::GoldenOutput& output = golden->outputs[0];
  double* value = output.Row(static_cast<int64_t>(slot));
  double* bound = output.BoundRow(static_cast<int64_t>(slot));
  const int64_t token = FirstToken(problem, row);
  for (int64_t h = 0; h < problem.heads; ++h) {
    for (int64_t c = 0; c < problem.dim; ++c) {
      double sum = 0;
      double magnitude = 0;
      for (int64_t w = 0; w < problem.block; ++w) {
        const double term = At(in.weight, w, 0, h) * At(in.input, token + w, h, c);
        sum += term;
        magnitude += std::fabs(term);
      }
      value[h * problem.dim + c] = sum;
      bound[h * problem.dim + c] =
          base::Fp32SumBound(static_cast<double>(problem.block), magnitude);
    }
  }
}

}  // namespace tamis::nsa_compress
