// nsa_compress and nsa_compress_infer, one level: an item is a run of consecutive windows, all
// heads.
#include "ops/nsa_compress/cpu/kernel.h"
#include "ops/nsa_compress/cpu/strips-inl.h"
#include "prim/blocks/find-inl.h"

namespace tamis::TAMIS_LEVEL {
namespace {

namespace compress {

using tamis::nsa_compress::KernelArgs;
using tamis::nsa_compress::Sequence;

TAMIS_INLINE int64_t Smaller(int64_t a, int64_t b) { return a < b ? a : b; }

// Rows a token stride apart.
template <class Element>
struct Run {
  const Stored<Element>* row;
  int64_t count;
};

// Tokens of a sequence from one on, packed or in pages, at one column of one head.
template <class Element, bool kPaged>
struct Tokens {
  const KernelArgs& a;
  int64_t table_offset;
  int64_t first;
  int64_t count;
  int64_t column = 0;

  TAMIS_INLINE Tokens At(int64_t head, int64_t c) const {
    return {a, table_offset, first, count, head * a.input_head_stride + c};
  }
  // From token `t` on, as far as they lie side by side. What lies behind packed ones is theirs,
  // too, as far as this can tell.
  TAMIS_INLINE Run<Element> RunFrom(int64_t t) const {
    const auto* const input = static_cast<const Stored<Element>*>(a.input) + column;
    const int64_t token = first + t;
    if (!kPaged) return {input + token * a.input_token_stride, INT64_MAX};
    if (t >= count) return {nullptr, 0};
    const int64_t page = token / a.page_size;
    const int64_t slot = token - page * a.page_size;
    return {
        input + a.table[table_offset + page] * a.input_page_stride + slot * a.input_token_stride,
        Smaller(count - t, a.page_size - slot)};
  }
};

// Calls step(row, t) for tokens [begin, end), and asks for those of `ahead` meanwhile.
template <class S, class Element, bool kPaged, class Step>
TAMIS_INLINE void ForTokens(const Tokens<Element, kPaged>& tokens,
                            const Tokens<Element, kPaged>& ahead, int64_t begin, int64_t end,
                            Step&& step) {
  const int64_t stride = tokens.a.input_token_stride;
  while (begin < end) {
    Run<Element> run = tokens.RunFrom(begin);
    const Run<Element> next = ahead.RunFrom(begin);
    int64_t stop = begin + Smaller(end - begin, run.count);
    if (next.count > 0) stop = begin + Smaller(stop - begin, next.count);
    const Stored<Element>* fetched = next.count > 0 ? next.row : run.row;
    for (; begin < stop; ++begin) {
      S::Prefetch(fetched);
      step(run.row, begin);
      run.row += stride;
      fetched += stride;
    }
  }
}

// One window of one head. Sums run in the order of the tokens on every path and at every width, so
// the result depends on neither.
template <class Element, int kVectors, bool kPartial, bool kPaged>
TAMIS_INLINE void WindowStrip(const Tokens<Element, kPaged>& tokens,
                              const Tokens<Element, kPaged>& ahead, const float* weights,
                              int64_t block, Stored<Element>* out, int count) {
  using S = Strip<Element, kVectors, kPartial>;
  V sum[kVectors];
  for (int v = 0; v < kVectors; ++v) sum[v] = Zero();
  ForTokens<S>(tokens, ahead, 0, block, [&](const Stored<Element>* row, int64_t w) {
    const V weight = Set(weights[w]);
    for (int v = 0; v < kVectors; ++v) sum[v] = Fma(S::LoadTokens(row, v, count), weight, sum[v]);
  });
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

template <class Element, int kVectors, bool kPartial, bool kPaged>
TAMIS_INLINE void OverlapStrip(const Tokens<Element, kPaged>& tokens,
                               const Tokens<Element, kPaged>& ahead, const Overlap& o, float* carry,
                               Stored<Element>* out, int count) {
  using S = Strip<Element, kVectors, kPartial>;
  V begin[kVectors];
  V end[kVectors];
  for (int v = 0; v < kVectors; ++v) {
    begin[v] = Zero();
    end[v] = o.end_count > 0 ? Load(carry + v * kLanes) : Zero();
  }
  ForTokens<S>(tokens, ahead, 0, o.end_count, [&](const Stored<Element>* row, int64_t t) {
    const V begin_weight = Set(t < o.begin_count ? o.begin_weights[t] : 0.0f);
    const V end_weight = Set(o.end_weights[t]);
    for (int v = 0; v < kVectors; ++v) {
      const V x = S::LoadTokens(row, v, count);
      begin[v] = Fma(x, begin_weight, begin[v]);
      end[v] = Fma(x, end_weight, end[v]);
    }
  });
  ForTokens<S>(tokens, ahead, o.end_count, o.begin_count,
               [&](const Stored<Element>* row, int64_t t) {
                 const V weight = Set(o.begin_weights[t]);
                 for (int v = 0; v < kVectors; ++v)
                   begin[v] = Fma(S::LoadTokens(row, v, count), weight, begin[v]);
               });
  if (o.end_count > 0) S::StoreRow(out, end, count);
  for (int v = 0; v < kVectors; ++v) Store(carry + v * kLanes, begin[v]);
}

// Windows [first, first + count) of a sequence, of an item that ends before window `item_end`.
struct Part {
  int64_t sequence;
  int64_t first;
  int64_t count;
  int64_t item_end;
};

template <class Element, bool kPaged>
TAMIS_INLINE Tokens<Element, kPaged> TokensFrom(const KernelArgs& a, int64_t sequence,
                                                int64_t token) {
  const Sequence& s = a.sequences[sequence];
  const int64_t all = (s.windows - 1) * a.stride + a.block;
  return {a, s.table_offset, s.token_begin + token, all - token};
}

// What is read some time after: the sequence from `token` on; in pages, where it has ended, the
// item's next one.
template <class Element, bool kPaged>
TAMIS_INLINE Tokens<Element, kPaged> Ahead(const KernelArgs& a, const Part& part, int64_t token) {
  const auto tokens = TokensFrom<Element, kPaged>(a, part.sequence, token);
  const int64_t next = part.sequence + 1;
  if (!kPaged || tokens.count > 0 || next == a.sequence_count ||
      a.sequences[next].window_begin >= part.item_end)
    return tokens;
  return TokensFrom<Element, kPaged>(a, next, 0);
}

template <class Element>
TAMIS_INLINE Stored<Element>* OutputRow(const KernelArgs& a, int64_t window, int64_t head) {
  const int64_t row = a.output_rows == nullptr ? window : a.output_rows[window];
  return static_cast<Stored<Element>*>(a.output) + row * a.output_row_stride +
         head * a.output_head_stride;
}

// Each window on its own.
template <class Element, bool kPaged>
void Windows(const KernelArgs& a, const Part& part, const float* weights) {
  for (int64_t i = part.first; i < part.first + part.count; ++i) {
    const auto tokens = TokensFrom<Element, kPaged>(a, part.sequence, i * a.stride);
    const auto ahead = Ahead<Element, kPaged>(a, part, i * a.stride + a.block);
    for (int64_t h = 0; h < a.heads; ++h) {
      Stored<Element>* const to =
          OutputRow<Element>(a, a.sequences[part.sequence].window_begin + i, h);
      ForColumns(a.dim, [&]<int kVectors, bool kPartial>(int64_t c, int n) {
        WindowStrip<Element, kVectors, kPartial>(tokens.At(h, c), ahead.At(h, c),
                                                 weights + h * a.block, a.block, to + c, n);
      });
    }
  }
}

// The same, stride by stride; `carry` holds what the window begun last has so far, [head][padded
// dim].
template <class Element, bool kPaged>
void OverlappingWindows(const KernelArgs& a, const Part& part, const float* weights, float* carry) {
  const int64_t window_begin = a.sequences[part.sequence].window_begin;
  for (int64_t i = 0; i <= part.count; ++i) {
    const int64_t at = part.first + i;
    const auto tokens = TokensFrom<Element, kPaged>(a, part.sequence, at * a.stride);
    const auto ahead = Ahead<Element, kPaged>(a, part, (at + 1) * a.stride);
    for (int64_t h = 0; h < a.heads; ++h) {
      const float* w = weights + h * a.block;
      const Overlap overlap = {.begin_weights = w,
                               .begin_count = i < part.count ? a.stride : 0,
                               .end_weights = w + a.stride,
                               .end_count = i > 0 ? a.block - a.stride : 0};
      Stored<Element>* const to = OutputRow<Element>(a, window_begin + at - (i > 0 ? 1 : 0), h);
      ForColumns(a.dim, [&]<int kVectors, bool kPartial>(int64_t c, int n) {
        OverlapStrip<Element, kVectors, kPartial>(tokens.At(h, c), ahead.At(h, c), overlap,
                                                  carry + h * PaddedDim(a) + c, to + c, n);
      });
    }
  }
}

template <class Element, bool kPaged>
void Item(const KernelArgs& a, int64_t item, float* scratch) {
  WidenWeights<Element>(a.weight, a.weight_row_stride, a.block, a.heads, scratch);
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
    const Part part = {s, window - sequence.window_begin, count, end};
    if (count > 1 && a.stride < a.block && a.block <= 2 * a.stride) {
      OverlappingWindows<Element, kPaged>(a, part, scratch, carry);
    } else {
      Windows<Element, kPaged>(a, part, scratch);
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
        auto* const floats = static_cast<float*>(scratch);
        if (a.table != nullptr) return compress::Item<decltype(e), true>(a, item, floats);
        compress::Item<decltype(e), false>(a, item, floats);
      });
}

}  // namespace tamis::TAMIS_LEVEL
