// nsa_compress, one level: an item is a run of consecutive windows of the packed output, all heads.
#include "ops/nsa_compress/cpu/kernel.h"
#include "prim/blocks/elements-inl.h"
#include "prim/blocks/find-inl.h"

namespace tamis::TAMIS_LEVEL {
namespace {

namespace compress {

using tamis::nsa_compress::KernelArgs;
using tamis::nsa_compress::Sequence;

template <class Element>
using Stored = typename Element::Stored;

// kVectors vectors of a row, or the first `count` elements of one: what every step below works on.
template <class Element, int kVectors, bool kPartial>
struct Strip {
  static TAMIS_INLINE V LoadTokens(const Stored<Element>* p, int v, int count) {
    return kPartial ? Element::LoadElementsN(p, count) : Element::LoadElements(p + v * kLanes);
  }
  static TAMIS_INLINE void StoreRow(Stored<Element>* p, const V* sum, int count) {
    if (kPartial) return Element::StoreElementsN(p, sum[0], count);
    for (int v = 0; v < kVectors; ++v) Element::StoreElements(p + v * kLanes, sum[v]);
  }
  // Rows of one head lie a row of all heads apart, which the hardware does not foresee: without
  // this a core read a third of what it can.
  static TAMIS_INLINE void Prefetch(const Stored<Element>* p) {
    constexpr int kLine = 64 / sizeof(*p);
    for (int i = 0; i < kVectors * kLanes; i += kLine) __builtin_prefetch(p + i);
  }
};

// One window of one head. Sums run in the order of the tokens on every path and at every width, so
// the result depends on neither.
template <class Element, int kVectors, bool kPartial>
TAMIS_INLINE void WindowStrip(const Stored<Element>* tokens, int64_t token_stride,
                              const float* weights, int64_t block, Stored<Element>* out,
                              int count) {
  using S = Strip<Element, kVectors, kPartial>;
  V sum[kVectors];
  for (int v = 0; v < kVectors; ++v) sum[v] = Zero();
  for (int64_t w = 0; w < block; ++w) {
    const Stored<Element>* row = tokens + w * token_stride;
    S::Prefetch(row + block * token_stride);
    const V weight = Set(weights[w]);
    for (int v = 0; v < kVectors; ++v) sum[v] = Fma(S::LoadTokens(row, v, count), weight, sum[v]);
  }
  S::StoreRow(out, sum, count);
}

// One stride of tokens of one head where stride < block <= 2 stride: the window that begins here
// gets its first products, the one before gets its last. Every token is loaded and widened once.
struct Overlap {
  const float* begin_weights;  // of the window that begins here
  int64_t begin_count;         // 0: none begins here
  const float* end_weights;    // of the window that ends here
  int64_t end_count;           // 0: none ends here; else at most begin_count where one begins
};

template <class Element, int kVectors, bool kPartial>
TAMIS_INLINE void OverlapStrip(const Stored<Element>* tokens, int64_t token_stride,
                               const Overlap& o, int64_t stride, float* carry, Stored<Element>* out,
                               int count) {
  using S = Strip<Element, kVectors, kPartial>;
  V begin[kVectors];
  V end[kVectors];
  for (int v = 0; v < kVectors; ++v) {
    begin[v] = Zero();
    end[v] = o.end_count > 0 ? Load(carry + v * kLanes) : Zero();
  }
  int64_t t = 0;
  for (; t < o.end_count; ++t) {
    const Stored<Element>* row = tokens + t * token_stride;
    S::Prefetch(row + stride * token_stride);
    const V begin_weight = Set(t < o.begin_count ? o.begin_weights[t] : 0.0f);
    const V end_weight = Set(o.end_weights[t]);
    for (int v = 0; v < kVectors; ++v) {
      const V x = S::LoadTokens(row, v, count);
      begin[v] = Fma(x, begin_weight, begin[v]);
      end[v] = Fma(x, end_weight, end[v]);
    }
  }
  for (; t < o.begin_count; ++t) {
    const Stored<Element>* row = tokens + t * token_stride;
    S::Prefetch(row + stride * token_stride);
    const V weight = Set(o.begin_weights[t]);
    for (int v = 0; v < kVectors; ++v) {
      begin[v] = Fma(S::LoadTokens(row, v, count), weight, begin[v]);
    }
  }
  if (o.end_count > 0) S::StoreRow(out, end, count);
  for (int v = 0; v < kVectors; ++v) Store(carry + v * kLanes, begin[v]);
}

// A cache line of a row at a time: with two the prefetches of a stride are 4 KiB, and some are
// lost.
constexpr int kLineVectors = kLanes == 16 ? 2 : 4;

// Calls step.template operator()<kVectors, kPartial>(column, count) over the columns of a head.
template <class Step>
TAMIS_INLINE void ForColumns(int64_t dim, Step&& step) {
  int64_t c = 0;
  for (; c + kLineVectors * kLanes <= dim; c += kLineVectors * kLanes)
    step.template operator()<kLineVectors, false>(c, kLanes);
  for (; c + kLanes <= dim; c += kLanes) step.template operator()<1, false>(c, kLanes);
  if (c < dim) step.template operator()<1, true>(c, static_cast<int>(dim - c));
}

// Windows [first, first + count) of a sequence, each on its own.
template <class Element>
void Windows(const KernelArgs& a, const Stored<Element>* tokens, int64_t count,
             const float* weights, Stored<Element>* out) {
  for (int64_t i = 0; i < count; ++i) {
    for (int64_t h = 0; h < a.heads; ++h) {
      const Stored<Element>* in =
          tokens + i * a.stride * a.input_token_stride + h * a.input_head_stride;
      Stored<Element>* to = out + i * a.output_row_stride + h * a.output_head_stride;
      ForColumns(a.dim, [&]<int kVectors, bool kPartial>(int64_t c, int n) {
        WindowStrip<Element, kVectors, kPartial>(in + c, a.input_token_stride,
                                                 weights + h * a.block, a.block, to + c, n);
      });
    }
  }
}

// The same, stride by stride; `carry` holds what the window begun last has so far, [head][padded
// dim].
template <class Element>
void OverlappingWindows(const KernelArgs& a, const Stored<Element>* tokens, int64_t count,
                        const float* weights, float* carry, Stored<Element>* out) {
  for (int64_t i = 0; i <= count; ++i) {
    for (int64_t h = 0; h < a.heads; ++h) {
      const float* w = weights + h * a.block;
      const Overlap overlap = {.begin_weights = w,
                               .begin_count = i < count ? a.stride : 0,
                               .end_weights = w + a.stride,
                               .end_count = i > 0 ? a.block - a.stride : 0};
      const Stored<Element>* in =
          tokens + i * a.stride * a.input_token_stride + h * a.input_head_stride;
      Stored<Element>* to = out + (i - 1) * a.output_row_stride + h * a.output_head_stride;
      ForColumns(a.dim, [&]<int kVectors, bool kPartial>(int64_t c, int n) {
        OverlapStrip<Element, kVectors, kPartial>(in + c, a.input_token_stride, overlap, a.stride,
                                                  carry + h * PaddedDim(a) + c, to + c, n);
      });
    }
  }
}

// Weights as [head][token], fp32.
template <class Element>
void WidenWeights(const KernelArgs& a, float* weights) {
  for (int64_t w = 0; w < a.block; ++w) {
    for (int64_t h = 0; h < a.heads; ++h) {
      StoreN(weights + h * a.block + w,
             Element::LoadElementsN(
                 static_cast<const Stored<Element>*>(a.weight) + w * a.weight_row_stride + h, 1),
             1);
    }
  }
}

template <class Element>
void Item(const KernelArgs& a, int64_t item, float* scratch) {
  WidenWeights<Element>(a, scratch);
  const int64_t begin = item * a.windows_per_item;
  const int64_t end =
      begin + a.windows_per_item < a.windows ? begin + a.windows_per_item : a.windows;
  float* carry = scratch + a.block * a.heads;
  int64_t window = begin;
  int64_t s = LastBeginningBy(a.sequences, a.sequence_count, &Sequence::window_begin, begin);
  for (; window < end; ++s) {
    const Sequence& sequence = a.sequences[s];
    const int64_t sequence_end = sequence.window_begin + sequence.windows;
    const int64_t count = (end < sequence_end ? end : sequence_end) - window;
    const int64_t token = sequence.token_begin + (window - sequence.window_begin) * a.stride;
    const Stored<Element>* tokens =
        static_cast<const Stored<Element>*>(a.input) + token * a.input_token_stride;
    Stored<Element>* out = static_cast<Stored<Element>*>(a.output) + window * a.output_row_stride;
    if (a.stride < a.block && a.block <= 2 * a.stride) {
      OverlappingWindows<Element>(a, tokens, count, scratch, carry, out);
    } else {
      Windows<Element>(a, tokens, count, scratch, out);
    }
    window += count;
  }
}

}  // namespace compress
}  // namespace

void NsaCompress(const void* args, int64_t item, void* scratch, void*) {
  const auto& a = *static_cast<const tamis::nsa_compress::KernelArgs*>(args);
  WithElement(
      a.element, [&](auto e) __attribute__((always_inline)) {
        compress::Item<decltype(e)>(a, item, static_cast<float*>(scratch));
      });
}

}  // namespace tamis::TAMIS_LEVEL
