// States of a softmax: begun, merged, and written as outputs.
#pragma once

#include "prim/attention/cpu/tile-inl.h"

namespace tamis::TAMIS_LEVEL {
namespace {

namespace attention {

inline void Begin(const Item& it, const State& state) {
  for (int64_t i = 0; i < it.vectors * kLanes; ++i) {
    state.max[i] = kLowest;
    state.sum[i] = 0.0f;
  }
}

// Of vectors [begin, end) of rows, the first state becomes the one over the keys of all `count`,
// merged in order, each read once. All have some. The others' sum and max become what `out` so far
// and their own are multiplied by.
inline void MergeStates(const Item& it, int64_t begin, int64_t end, const State* states,
                        int64_t count) {
  if (count == 1) return;
  const State& to = states[0];
  for (int64_t v = begin * kLanes; v < end * kLanes; v += kLanes) {
    V max = Load(to.max + v);
    V sum = Load(to.sum + v);
    for (int64_t i = 1; i < count; ++i) {
      const State& from = states[i];
      const V before = max;
      max = Max(before, Load(from.max + v));
      const V a = ExpNonPositive(Sub(before, max));
      const V b = ExpNonPositive(Sub(Load(from.max + v), max));
      sum = Fma(Load(from.sum + v), b, Mul(sum, a));
      Store(from.sum + v, a);
      Store(from.max + v, b);
    }
    Store(to.max + v, max);
    Store(to.sum + v, sum);
  }
  const int64_t last = it.rows < end * kLanes ? it.rows : end * kLanes;
  for (int64_t row = begin * kLanes; row < last; ++row) {
    const int64_t at = row * it.at.out_stride;
    for (int64_t c = at; c < at + it.at.out_stride; c += kLanes) {
      V out = Load(to.out + c);
      for (int64_t i = 1; i < count; ++i) {
        const State& from = states[i];
        out = Fma(Load(from.out + c), Set(from.max[row]), Mul(out, Set(from.sum[row])));
      }
      Store(to.out + c, out);
    }
  }
}

TAMIS_INLINE int64_t HeadOf(const Item& it, int64_t row) { return it.head + row % it.heads; }

// A sink is a key without a value.
inline void AddSink(const Item& it, const State& state, int64_t row) {
  const V sink = Set(it.a.sinks[HeadOf(it, row)]);
  const V before = Set(state.max[row]);
  const V max = Max(before, sink);
  const V a = ExpNonPositive(Sub(before, max));
  StoreN(state.sum + row, Fma(Set(state.sum[row]), a, ExpNonPositive(Sub(sink, max))), 1);
  StoreN(state.max + row, max, 1);
  float* out = state.out + row * it.at.out_stride;
  for (int64_t c = 0; c < it.at.out_stride; c += kLanes) Store(out + c, Mul(Load(out + c), a));
}

// `values` null: zeros.
inline void WriteRow(const Item& it, int64_t row, float max, float sum, const float* values,
                     float factor) {
  const Args& a = it.a;
  const int64_t t = row / it.heads;
  const int64_t head = HeadOf(it, row);
  uint8_t* out = a.out.data + it.OffsetOf(a.out.at, t) + head * a.out.head_stride;
  if (values == nullptr) {
    __builtin_memset(out, 0, static_cast<size_t>(a.value_dim * BytesOf(a.out_element)));
  } else if (a.out_element == prim::Element::kFloat32) {
    NarrowAs<F32>(values, factor, a.value_dim, reinterpret_cast<float*>(out));
  } else {
    WithHalf(
        a.out_element, [&](auto e) __attribute__((always_inline)) {
          NarrowAs<decltype(e)>(values, factor, a.value_dim, reinterpret_cast<uint16_t*>(out));
        });
  }
  if (a.max != nullptr) a.max[it.OffsetOf(a.max_at, t) + head] = max;
  if (a.sum != nullptr) a.sum[it.OffsetOf(a.sum_at, t) + head] = sum;
}

// A row that sees no key: padding gives zeros, others their sink.
inline void WriteEmpty(const Item& it, int64_t row) {
  if (it.a.sinks != nullptr && !it.s.padding) {
    const float sink = it.a.sinks[HeadOf(it, row)];
    return WriteRow(it, row, sink, sink != sink ? sink : 1.0f, nullptr, 0.0f);
  }
  const bool keys = it.s.of[0].keys > 0;
  WriteRow(it, row, keys ? it.a.hidden_max : kMinusInfinity, 0.0f, nullptr, 0.0f);
}

// The rows of vectors [begin, end).
inline void Write(const Item& it, int64_t begin, int64_t end, const State& state) {
  const int64_t last = it.rows < end * kLanes ? it.rows : end * kLanes;
  for (int64_t row = begin * kLanes; row < last; ++row) {
    if (it.nothing[row / it.heads] != 0) {
      WriteEmpty(it, row);
      continue;
    }
    if (it.a.sinks != nullptr) AddSink(it, state, row);
    float sum = state.sum[row];
    if (sum == 0.0f) sum = __builtin_nanf("");            // every score was -inf
    const float max = sum != sum ? sum : state.max[row];  // NaN among the scores
    WriteRow(it, row, max, sum, state.out + row * it.at.out_stride, 1.0f / sum);
  }
}

}  // namespace attention
}  // namespace
}  // namespace tamis::TAMIS_LEVEL
