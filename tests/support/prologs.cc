#include "tests/support/prologs.h"

#include <algorithm>
#include <cmath>

namespace tamis::test {
namespace {

// Where element `place` of the memory of a matrix [rows, columns] in NZ stands in row-major order.
int64_t RowMajorPlace(int64_t place, int64_t rows, int64_t columns) {
  const int64_t panel = place / (rows * 16);
  const int64_t row = place % (rows * 16) / 16;
  return row * columns + panel * 16 + place % 16;
}

// [T, inner...] or [B, S1, inner...]
std::vector<int64_t> TokenShape(const Prolog& s, const std::vector<int64_t>& inner) {
  std::vector<int64_t> shape = {s.tokens};
  if (s.batch > 0) shape = {s.batch, s.tokens / s.batch};
  shape.insert(shape.end(), inner.begin(), inner.end());
  return shape;
}

}  // namespace

void SetPerToken(TestCall* call, const Prolog& s, const char* name, int64_t width) {
  call->Strided(name, s.dtype, TokenShape(s, {width}), s.gap,
                [&](int64_t i) { return Draw(s.seed, name, s.first_token * width + i); });
}

void SetVector(TestCall* call, const Prolog& s, const char* name, int64_t width) {
  call->Tensor(name, s.dtype, {width}, [&](int64_t i) { return Draw(s.seed, name, i); });
}

void SetCache(TestCall* call, const Prolog& s, const char* name, int64_t width) {
  call->Strided(name, s.dtype, {s.pages, s.page, 1, width}, s.gap, [](int64_t) { return NAN; });
}

void SetWeight(TestCall* call, const Prolog& s, const char* name, int64_t rows, int64_t columns) {
  const double scale = 1 / std::sqrt(static_cast<double>(std::max<int64_t>(rows, 1)));
  call->Strided(name, s.dtype, {rows, columns}, s.nz ? 0 : s.gap, [&](int64_t i) {
    return scale * Draw(s.seed, name, s.nz ? RowMajorPlace(i, rows, columns) : i);
  });
}

void SetCommon(TestCall* call, const Prolog& s) {
  SetPerToken(call, s, "x", s.hidden);
  SetPerToken(call, s, "sin", s.rope);
  SetPerToken(call, s, "cos", s.rope);
  call->Tensor("cache_index", s.index, TokenShape(s, {}), Elements(s.slots));
  call->Set("weight_format", s.nz ? "NZ" : "ND");
}

void DrawTokens(Prolog* s, int round, Random* random) {
  s->seed = random->Next();
  constexpr DType kDTypes[] = {DType::kBFloat16, DType::kFloat16, DType::kFloat32};
  s->dtype = kDTypes[random->Below(3)];
  s->batch = round % 3 == 0 ? random->Between(1, 3) : 0;
  s->tokens = random->Between(0, 21);
  if (s->batch > 0) s->tokens -= s->tokens % s->batch;
  s->nz = round % 4 == 0;
}

int64_t DrawSize(const Prolog& s, int64_t most, Random* random) {
  return s.nz ? 16 * random->Between(1, most / 16) : random->Between(1, most);
}

void DrawCache(Prolog* s, Random* random) {
  s->pages = random->Between(0, 4);
  s->page = random->Between(1, 9);
  s->slots = RandomSlots(s->tokens, s->pages * s->page, random);
  s->index = random->Below(2) == 0 ? DType::kInt32 : DType::kInt64;
  s->gap = random->Between(0, 1) * 5;
}

void RepeatHalves(TestCall* call, const Prolog& s) {
  for (const char* name : {"sin", "cos"}) {
    call->Tensor(name, s.dtype, {s.tokens, s.rope}, [&](int64_t i) {
      return Draw(s.seed, name, i / s.rope * s.rope + i % (s.rope / 2));
    });
  }
}

std::vector<double> Row(const TestCall& call, const std::string& name, int64_t row, int64_t width) {
  std::vector<double> values;
  for (int64_t c = 0; c < width; ++c) values.push_back(call.Got(name, row * width + c));
  return values;
}

}  // namespace tamis::test
