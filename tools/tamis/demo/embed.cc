#include "tools/tamis/demo/embed.h"

#include <algorithm>
#include <cmath>

#include "base/dtype.h"
#include "parallel/parallel.h"
#include "tools/tamis/demo/random.h"

namespace tamis::tools::demo {
namespace {

// The logit of a key that points exactly along the query and has the keys' mean length. Unrelated
// keys scatter by 1 / sqrt(192) of it.
constexpr double kSharpness = 24;

constexpr int64_t kTokensPerItem = 64;

constexpr size_t kKeySize = kKeyHeads * kKeyDim;

double SquareLength(std::span<const float> vector) {
  double sum = 0;
  for (float x : vector) sum += static_cast<double>(x) * x;
  return sum;
}

// body(token) for `count` tokens, split over threads.
template <class Body>
void ForTokens(int32_t threads, int64_t count, Body&& body) {
  const int64_t items = (count + kTokensPerItem - 1) / kTokensPerItem;
  parallel::ForEach({}, threads, items, [&](int64_t item, int32_t) {
    const int64_t end = std::min(count, (item + 1) * kTokensPerItem);
    for (int64_t t = item * kTokensPerItem; t < end; ++t) body(t);
  });
}

}  // namespace

double ScaleValue() { return 1 / std::sqrt(static_cast<double>(kKeyDim)); }

Embedding::Embedding(const Text& text, const Features& features, int32_t threads)
    : features_(features), threads_(threads), listens_(ChooseChannels(kQueryHeads, kKeyDim)) {
  for (const Source& source : text.sources)
    source_first_.resize(static_cast<size_t>(source.last), source.first);
  double square = 0;
  std::vector<float> sum(kKeySize);
  for (int64_t t = 0; t < text.size(); ++t) {
    Gather(t, kKeyGather, sum);
    square += SquareLength(sum);
  }
  const double mean = square / static_cast<double>(text.size() * kKeyHeads);
  key_scale_ = static_cast<float>(1 / std::sqrt(mean));
}

void Embedding::Gather(int64_t token, int64_t tokens, std::span<float> sum) const {
  std::fill(sum.begin(), sum.end(), 0.0f);
  const int64_t source_first = source_first_[static_cast<size_t>(token)];
  for (int64_t t = std::max(source_first, token - tokens + 1); t <= token; ++t) {
    const std::span<const float> key = features_.Key(t);
    for (size_t c = 0; c < sum.size(); ++c) sum[c] += key[c];
  }
}

void Embedding::Keys(int64_t first, int64_t count, uint16_t* out) const {
  ForTokens(threads_, count, [&](int64_t t) {
    float sum[kKeySize];
    Gather(first + t, kKeyGather, sum);
    for (size_t c = 0; c < kKeySize; ++c)
      out[static_cast<size_t>(t) * kKeySize + c] = base::FloatToBFloat16(sum[c] * key_scale_);
  });
}

void Embedding::Values(int64_t first, int64_t count, uint16_t* out) const {
  ForTokens(threads_, count, [&](int64_t t) {
    const std::span<const float> value = features_.Value(first + t);
    for (size_t c = 0; c < value.size(); ++c)
      out[static_cast<size_t>(t) * value.size() + c] = base::FloatToBFloat16(value[c] * key_scale_);
  });
}

void Embedding::Queries(int64_t first, int64_t count, uint16_t* out) const {
  ForTokens(threads_, count, [&](int64_t t) {
    float sum[kKeySize];
    Gather(first + t, kQueryGather, sum);
    StoreQuery(sum, out + t * kQueryHeads * kKeyDim);
  });
}

void Embedding::Question(std::string_view text, const std::vector<Token>& tokens,
                         uint16_t* out) const {
  std::vector<float> sum(kKeySize);
  for (const Token& token : tokens) {
    const std::vector<float> key = features_.KeyOf(text.substr(
        static_cast<size_t>(token.begin), static_cast<size_t>(token.end - token.begin)));
    for (size_t c = 0; c < kKeySize; ++c) sum[c] += key[c];
  }
  StoreQuery(sum, out);
}

void Embedding::StoreQuery(std::span<const float> sum, uint16_t* out) const {
  constexpr float kLouder = static_cast<float>(kLeftOut) / (kLeftOut - 1);
  for (int64_t head = 0; head < kQueryHeads; ++head) {
    const auto key = sum.subspan(static_cast<size_t>(head / kGroup * kKeyDim), kKeyDim);
    const double length = std::sqrt(SquareLength(key));
    const double target = kSharpness / ScaleValue() * kLouder;
    const auto factor = static_cast<float>(length > 0 ? target / length : 0);
    for (int64_t c = 0; c < kKeyDim; ++c) {
      const bool heard = listens_[static_cast<size_t>(head * kKeyDim + c)];
      out[head * kKeyDim + c] =
          base::FloatToBFloat16(heard ? key[static_cast<size_t>(c)] * factor : 0.0f);
    }
  }
}

}  // namespace tamis::tools::demo
