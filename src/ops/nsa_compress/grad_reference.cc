// The specification of the gradient, in float64: rows are those of input_grad, then those of
// weight_grad.
#include <algorithm>
#include <cmath>

#include "base/dtype.h"
#include "ops/nsa_compress/grad_problem.h"

namespace tamis::nsa_compress_grad {
namespace {

using nsa_compress::Sequence;

double At(const TensorView& view, int64_t row, int64_t head, int64_t c) {
  return base::LoadAsDouble(
      view.data, view.dtype,
      row * view.strides[0] + head * view.strides[1] + (view.rank > 2 ? c * view.strides[2] : 0));
}

struct Sum {
  double value = 0;
  double magnitude = 0;

  void Add(double term) {
    value += term;
    magnitude += std::fabs(term);
  }
  void Put(double terms, int64_t at, size_t slot, base::GoldenOutput* output) const {
    output->Row(static_cast<int64_t>(slot))[at] = value;
    output->BoundRow(static_cast<int64_t>(slot))[at] = base::Fp32SumBound(terms, magnitude);
  }
};

// input_grad[t] = sum over the windows i of its sequence that have it, weight[t - i d] *
// output_grad[i]
void PutToken(const Problem& p, const Params& in, int64_t token, size_t slot,
              base::GoldenOutput* output) {
  for (int64_t h = 0; h < p.heads; ++h) {
    for (int64_t c = 0; c < p.dim; ++c) {
      Sum sum;
      double terms = 0;
      for (const Sequence& s : p.sequences) {
        const int64_t t = token - s.token_begin;
        if (t < 0 || t >= (s.windows - 1) * p.stride + p.block) continue;
        const int64_t last = std::min(t / p.stride, s.windows - 1);
        for (int64_t i = last; i >= 0 && t - i * p.stride < p.block; --i, ++terms)
          sum.Add(At(in.weight, t - i * p.stride, h, 0) *
                  At(in.output_grad, s.window_begin + i, h, c));
      }
      sum.Put(terms, h * p.dim + c, slot, output);
    }
  }
}

// weight_grad[w, h] = sum over windows i and channels c, output_grad[i, h, c] * input[t + w, h, c],
// t the window's first token
void PutWeight(const Problem& p, const Params& in, int64_t w, size_t slot,
               base::GoldenOutput* output) {
  for (int64_t h = 0; h < p.heads; ++h) {
    Sum sum;
    for (const Sequence& s : p.sequences) {
      for (int64_t i = 0; i < s.windows; ++i) {
        for (int64_t c = 0; c < p.dim; ++c)
          sum.Add(At(in.output_grad, s.window_begin + i, h, c) *
                  At(in.input, s.token_begin + i * p.stride + w, h, c));
      }
    }
    sum.Put(static_cast<double>(p.windows) * static_cast<double>(p.dim), h, slot, output);
  }
}

}  // namespace

void Room::ReferenceRow(const Problem& p, const Params& in, int64_t row, size_t slot,
                        base::Golden* golden) {
  const bool token = row < p.tokens;
  base::GoldenOutput& output = golden->outputs[token ? 0 : 1];
  output.rows[slot] = token ? row : row - p.tokens;
  if (token) {
    PutToken(p, in, row, slot, &output);
  } else {
    PutWeight(p, in, row - p.tokens, slot, &output);
  }
}

}  // namespace tamis::nsa_compress_grad
