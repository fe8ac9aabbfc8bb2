// nsa_compress_grad, one level. First every run of windows, for a group of heads: the gradients of
// the tokens from its first window's on to where the next run's begin, and its sums for weights
// over the same tokens, each read once. Then the sums of all runs, and zeros for tokens of no
// window.
#include "ops/nsa_compress/cpu/grad_kernel.h"
#include "ops/nsa_compress/cpu/strips-inl.h"
#include "prim/blocks/find-inl.h"

namespace tamis::TAMIS_LEVEL {
namespace {

namespace compress_grad {

using compress::ForColumns;
using compress::Stored;
using compress::Strip;
using tamis::nsa_compress_grad::KernelArgs;
using tamis::nsa_compress_grad::kWindowsPerRun;
using tamis::nsa_compress_grad::Scratch;
using tamis::nsa_compress_grad::Sequence;

TAMIS_INLINE int64_t Smaller(int64_t a, int64_t b) { return a < b ? a : b; }

// Windows that have a token, ascending, and its place in the first of them.
struct Cover {
  int64_t first;
  int64_t count;
  int64_t place;
};

// What one token and head touches: its row, its gradient, its windows' gradients, and of each of
// them the weight and the sum of the place where the token lies there.
template <class Element>
struct Token {
  const Stored<Element>* row;
  Stored<Element>* grad;
  const Stored<Element>* window;
  int64_t window_stride;
  const float* weight;
  float* sum;
  int64_t place_stride;  // back, from a window to the next
};

// Columns of a token's row. The sums of a gradient run over windows in their order; those of a
// weight lie on the lanes until the run ends. `kWindows`: how many there are; 0: `windows`.
template <class Element, int kWindows, bool kTokens, bool kWeights>
TAMIS_INLINE void AddToken(const Token<Element>& t, int64_t dim, int64_t windows) {
  ForColumns(
      dim, [&]<int kVectors, bool kPartial>(int64_t c, int n) __attribute__((always_inline)) {
        using S = Strip<Element, kVectors, kPartial>;
        V x[kVectors];
        V grad[kVectors];
        for (int v = 0; v < kVectors; ++v) {
          if (kWeights) x[v] = S::LoadTokens(t.row + c, v, n);
          grad[v] = Zero();
        }
        const int64_t count = kWindows > 0 ? kWindows : windows;
        for (int64_t i = 0; i < count; ++i) {
          const Stored<Element>* const y = t.window + i * t.window_stride + c;
          const V weight = kTokens ? Set(t.weight[-i * t.place_stride]) : Zero();
          V part = Zero();
          for (int v = 0; v < kVectors; ++v) {
            const V dy = S::LoadTokens(y, v, n);
            if (kTokens) grad[v] = Fma(weight, dy, grad[v]);
            if (kWeights) part = v == 0 ? Mul(x[v], dy) : Fma(x[v], dy, part);
          }
          if (kWeights) {
            float* const sum = t.sum - i * t.place_stride * kLanes;
            Store(sum, Add(Load(sum), part));
          }
        }
        if (kTokens) S::StoreRow(t.grad + c, grad, n);
      });
}

// An item's heads, and its scratch.
struct Heads {
  int64_t begin;
  int64_t count;
  const float* weights;  // [count][block]
  float* sums;           // [count][block][kLanes]
};

template <class Element, bool kTokens, bool kWeights>
TAMIS_INLINE void TokenOfHeads(const KernelArgs& a, const Heads& heads, const Sequence& s,
                               int64_t token, const Cover& cover) {
  const int64_t at = s.token_begin + token;
  for (int64_t i = 0; i < heads.count; ++i) {
    const int64_t h = heads.begin + i;
    const int64_t place = i * a.block + cover.place;
    Token<Element> t = {};
    t.window_stride = a.output_grad_row_stride;
    t.window = ElementAt<Element>(a.output_grad, (s.window_begin + cover.first) * t.window_stride +
                                                     h * a.output_grad_head_stride);
    t.place_stride = a.stride;
    if (kTokens) {
      t.grad = ElementAt<Element>(a.input_grad,
                                  at * a.input_grad_token_stride + h * a.input_grad_head_stride);
      t.weight = heads.weights + place;
    }
    if (kWeights) {
      t.row = ElementAt<Element>(a.input, at * a.input_token_stride + h * a.input_head_stride);
      t.sum = heads.sums + place * kLanes;
    }
    switch (cover.count) {
      case 1: AddToken<Element, 1, kTokens, kWeights>(t, a.dim, 1); break;
      case 2: AddToken<Element, 2, kTokens, kWeights>(t, a.dim, 2); break;
      default: AddToken<Element, 0, kTokens, kWeights>(t, a.dim, cover.count);
    }
  }
}

// Tokens of windows [first, first + count) of a sequence: up to the beginning of the window after
// them, or to the end of the last.
template <class Element, bool kTokens, bool kWeights>
void Part(const KernelArgs& a, const Heads& heads, const Sequence& s, int64_t first,
          int64_t count) {
  const int64_t end =
      first + count < s.windows ? (first + count) * a.stride : (s.windows - 1) * a.stride + a.block;
  const int64_t begin = first * a.stride;
  int64_t low = begin < a.block ? 0 : (begin - a.block) / a.stride + 1;
  int64_t high = first;
  for (int64_t t = begin; t < end; ++t) {
    if (t - low * a.stride >= a.block) ++low;
    if (high + 1 < s.windows && (high + 1) * a.stride <= t) ++high;
    TokenOfHeads<Element, kTokens, kWeights>(a, heads, s, t,
                                             {low, high - low + 1, t - low * a.stride});
  }
}

// What the item's windows add to the weights, lanes added up, to [run][block][heads].
inline void PutSums(const KernelArgs& a, const Heads& heads, int64_t run, float* shared) {
  float* const to = shared + run * a.block * a.heads + heads.begin;
  for (int64_t w = 0; w < a.block; ++w) {
    for (int64_t i = 0; i < heads.count; ++i)
      to[w * a.heads + i] = SumLanes(Load(heads.sums + (i * a.block + w) * kLanes));
  }
}

template <class Element, bool kTokens, bool kWeights>
void Item(const KernelArgs& a, int64_t item, float* scratch, float* shared) {
  const int64_t run = item / a.head_groups;
  const int64_t head = item % a.head_groups * a.heads_per_item;
  const Scratch parts(a);
  float* const weights = scratch + parts.weights;
  const Heads heads = {head, Smaller(a.heads_per_item, a.heads - head), weights,
                       scratch + parts.sums};
  if (kTokens) {
    compress::WidenWeights<Element>(ElementAt<Element>(a.weight, head), a.weight_row_stride,
                                    a.block, heads.count, weights);
  }
  if (kWeights) {
    for (int64_t i = 0; i < heads.count * a.block; ++i) Store(heads.sums + i * kLanes, Zero());
  }
  int64_t window = run * kWindowsPerRun;
  const int64_t end = Smaller(window + kWindowsPerRun, a.windows);
  int64_t s = LastBeginningBy(a.sequences, a.sequence_count, &Sequence::window_begin, window);
  for (; window < end; ++s) {
    const Sequence& sequence = a.sequences[s];
    const int64_t count = Smaller(end, sequence.window_begin + sequence.windows) - window;
    Part<Element, kTokens, kWeights>(a, heads, sequence, window - sequence.window_begin, count);
    window += count;
  }
  if (kWeights) PutSums(a, heads, run, shared);
}

// Rows of weight_grad: the sums of the runs, added up in their order where those of the first lie.
template <class Element>
void AddRuns(const KernelArgs& a, int64_t item, float* shared) {
  const int64_t begin = item * a.weights_per_item;
  const int64_t end = Smaller(begin + a.weights_per_item, a.block);
  const int64_t all = a.block * a.heads;
  float* const sums = shared + begin * a.heads;
  const int64_t count = (end - begin) * a.heads;
  for (int64_t run = 1; run < a.runs; ++run) {
    const float* const more = sums + run * all;
    for (int64_t i = 0; i < count; i += kLanes) {
      const int n = static_cast<int>(Smaller(kLanes, count - i));
      StoreN(sums + i, Add(LoadN(sums + i, n), LoadN(more + i, n)), n);
    }
  }
  for (int64_t w = begin; w < end; ++w) {
    Stored<Element>* const row = ElementAt<Element>(a.weight_grad, w * a.weight_grad_row_stride);
    for (int64_t h = 0; h < a.heads; h += kLanes) {
      const int n = static_cast<int>(Smaller(kLanes, a.heads - h));
      const V sum = a.runs == 0 ? Zero() : LoadN(shared + w * a.heads + h, n);
      Element::StoreElementsN(row + h, sum, n);
    }
  }
}

template <class Element>
void PutZeros(const KernelArgs& a, int64_t begin, int64_t end) {
  for (int64_t t = begin; t < end; ++t) {
    for (int64_t h = 0; h < a.heads; ++h) {
      Stored<Element>* const row = ElementAt<Element>(
          a.input_grad, t * a.input_grad_token_stride + h * a.input_grad_head_stride);
      ForColumns(a.dim, [&]<int kVectors, bool kPartial>(int64_t c, int n) {
        V zeros[kVectors];
        for (int v = 0; v < kVectors; ++v) zeros[v] = Zero();
        Strip<Element, kVectors, kPartial>::StoreRow(row + c, zeros, n);
      });
    }
  }
}

// Those of an item's tokens that are in no window.
template <class Element>
void ZeroUncovered(const KernelArgs& a, int64_t item) {
  int64_t token = item * a.tokens_per_item;
  const int64_t end = Smaller(token + a.tokens_per_item, a.tokens);
  int64_t s = a.sequence_count == 0
                  ? 0
                  : LastBeginningBy(a.sequences, a.sequence_count, &Sequence::token_begin, token);
  for (; s < a.sequence_count && token < end; ++s) {
    const Sequence& sequence = a.sequences[s];
    const int64_t covered = sequence.token_begin + (sequence.windows - 1) * a.stride + a.block;
    PutZeros<Element>(a, token, Smaller(sequence.token_begin, end));
    if (covered > token) token = covered;
  }
  PutZeros<Element>(a, token, end);
}

}  // namespace compress_grad
}  // namespace

void NsaCompressGrad(const void* args, int64_t item, void* scratch, void* shared) {
  const auto& a = *static_cast<const tamis::nsa_compress_grad::KernelArgs*>(args);
  WithElement(
      a.element, [&](auto e) __attribute__((always_inline)) {
        using Element = decltype(e);
        auto* const floats = static_cast<float*>(scratch);
        auto* const sums = static_cast<float*>(shared);
        if (!a.wants_weights) {
          compress_grad::Item<Element, true, false>(a, item, floats, sums);
        } else if (!a.wants_tokens) {
          compress_grad::Item<Element, false, true>(a, item, floats, sums);
        } else {
          compress_grad::Item<Element, true, true>(a, item, floats, sums);
        }
      });
}

void NsaCompressGradRest(const void* args, int64_t item, void*, void* shared) {
  const auto& a = *static_cast<const tamis::nsa_compress_grad::KernelArgs*>(args);
  WithElement(
      a.element, [&](auto e) __attribute__((always_inline)) {
        using Element = decltype(e);
        if (item < a.weight_items)
          return compress_grad::AddRuns<Element>(a, item, static_cast<float*>(shared));
        compress_grad::ZeroUncovered<Element>(a, item - a.weight_items);
      });
}

}  // namespace tamis::TAMIS_LEVEL
