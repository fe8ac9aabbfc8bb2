// nsa_compress, one level: an item is a run of consecutive windows of the packed output, all heads.
#include "ops/nsa_compress/cpu/kernel.h"
#include "prim/cpu/half-inl.h"

namespace tamis::TAMIS_LEVEL {
namespace {

namespace compress {

using tamis::nsa_compress::KernelArgs;
using tamis::nsa_compress::Sequence;

// kVectors vectors of one window and head. The sum runs in the order of the tokens at every width,
// so the result does not depend on how a row is cut into vectors.
template <class Half, int kVectors>
TAMIS_INLINE void Columns(const uint16_t* tokens, int64_t token_stride, const float* weights,
                          int64_t block, uint16_t* out) {
  V sum[kVectors];
  for (int v = 0; v < kVectors; ++v) sum[v] = Zero();
  for (int64_t w = 0; w < block; ++w) {
    const V weight = Set(weights[w]);
    for (int v = 0; v < kVectors; ++v)
      sum[v] = Fma(Half::LoadHalf(tokens + v * kLanes), weight, sum[v]);
    tokens += token_stride;
  }
  for (int v = 0; v < kVectors; ++v) Half::StoreHalf(out + v * kLanes, sum[v]);
}

template <class Half>
TAMIS_INLINE void LastColumns(const uint16_t* tokens, int64_t token_stride, const float* weights,
                              int64_t block, uint16_t* out, int count) {
  V sum = Zero();
  for (int64_t w = 0; w < block; ++w) {
    sum = Fma(Half::LoadHalfN(tokens, count), Set(weights[w]), sum);
    tokens += token_stride;
  }
  Half::StoreHalfN(out, sum, count);
}

template <class Half>
void Window(const KernelArgs& a, const uint16_t* tokens, const float* weights, uint16_t* out) {
  for (int64_t h = 0; h < a.heads; ++h) {
    const uint16_t* in_head = tokens + h * a.input_head_stride;
    uint16_t* out_head = out + h * a.output_head_stride;
    const float* w = weights + h * a.block;
    int64_t c = 0;
    for (; c + 4 * kLanes <= a.dim; c += 4 * kLanes) {
      Columns<Half, 4>(in_head + c, a.input_token_stride, w, a.block, out_head + c);
    }
    for (; c + kLanes <= a.dim; c += kLanes) {
      Columns<Half, 1>(in_head + c, a.input_token_stride, w, a.block, out_head + c);
    }
    if (c < a.dim) {
      LastColumns<Half>(in_head + c, a.input_token_stride, w, a.block, out_head + c,
                        static_cast<int>(a.dim - c));
    }
  }
}

// Weights as [head][token], fp32.
template <class Half>
void WidenWeights(const KernelArgs& a, float* weights) {
  for (int64_t w = 0; w < a.block; ++w) {
    for (int64_t h = 0; h < a.heads; ++h) {
      StoreN(weights + h * a.block + w, Half::LoadHalfN(a.weight + w * a.weight_row_stride + h, 1),
             1);
    }
  }
}

// The last sequence that begins at or before window `window`.
inline int64_t SequenceOf(const KernelArgs& a, int64_t window) {
  int64_t low = 0;
  int64_t high = a.sequence_count - 1;
  while (low < high) {
    const int64_t middle = (low + high + 1) / 2;
    if (a.sequences[middle].window_begin <= window) {
      low = middle;
    } else {
      high = middle - 1;
    }
  }
  return low;
}

template <class Half>
void Item(const KernelArgs& a, int64_t item, float* scratch) {
  WidenWeights<Half>(a, scratch);
  const int64_t begin = item * a.windows_per_item;
  const int64_t end =
      begin + a.windows_per_item < a.windows ? begin + a.windows_per_item : a.windows;
  int64_t s = SequenceOf(a, begin);
  for (int64_t window = begin; window < end; ++window) {
    while (window >= a.sequences[s].window_begin + a.sequences[s].windows) ++s;
    const int64_t token =
        a.sequences[s].token_begin + (window - a.sequences[s].window_begin) * a.stride;
    Window<Half>(a, a.input + token * a.input_token_stride, scratch,
                 a.output + window * a.output_row_stride);
  }
}

}  // namespace compress
}  // namespace

void NsaCompress(const void* args, int64_t item, void* scratch) {
  const auto& a = *static_cast<const tamis::nsa_compress::KernelArgs*>(args);
  if (a.bfloat16) {
    compress::Item<BF16>(a, item, static_cast<float*>(scratch));
  } else {
    compress::Item<F16>(a, item, static_cast<float*>(scratch));
  }
}

}  // namespace tamis::TAMIS_LEVEL
