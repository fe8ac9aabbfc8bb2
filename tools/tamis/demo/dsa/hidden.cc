#include "tools/tamis/demo/dsa/hidden.h"

#include <algorithm>
#include <cmath>

#include "base/dtype.h"
#include "parallel/parallel.h"
#include "tools/tamis/demo/embed.h"
#include "tools/tamis/demo/features.h"

namespace tamis::tools::demo::dsa {
namespace {

constexpr uint64_t kSeed = 2001;
constexpr int64_t kTokensPerItem = 64;

// Stores one part of a hidden state with mean square 1; nothing where there are no features.
void StorePart(std::span<const float> sum, uint16_t* out) {
  double square = 0;
  for (float x : sum) square += static_cast<double>(x) * x;
  if (square == 0) return;
  const auto factor = static_cast<float>(std::sqrt(static_cast<double>(kPart) / square));
  for (size_t c = 0; c < sum.size(); ++c)
    if (sum[c] != 0) out[c] = base::FloatToBFloat16(sum[c] * factor);
}

void Clear(uint16_t* out) {
  std::fill_n(out, kHidden, uint16_t{0});
  out[kConstantChannel] = base::FloatToBFloat16(1);
}

}  // namespace

HiddenStates::HiddenStates(const Text& text, const Vocabulary& vocabulary, int32_t threads)
    : vocabulary_(vocabulary), threads_(threads) {
  for (const Source& source : text.sources)
    source_first_.resize(static_cast<size_t>(source.last), source.first);
  for (int64_t w = 0; w < vocabulary.distinct_tokens(); ++w) {
    entries_first_.push_back(static_cast<int64_t>(entries_.size()));
    const std::vector<Entry> entries = Embed(vocabulary.word(w));
    entries_.insert(entries_.end(), entries.begin(), entries.end());
  }
  entries_first_.push_back(static_cast<int64_t>(entries_.size()));
}

std::vector<HiddenStates::Entry> HiddenStates::Embed(std::string_view token) const {
  std::vector<float> part(kPart);
  for (const WeightedGram& g : vocabulary_.WeightedGrams(token))
    AddHashed(g.gram, kSeed, g.weight, part);
  std::vector<Entry> entries;
  for (size_t c = 0; c < part.size(); ++c)
    if (part[c] != 0) entries.push_back({static_cast<int32_t>(c), part[c]});
  return entries;
}

void HiddenStates::OfText(int64_t first, int64_t count, uint16_t* out) const {
  const int64_t items = (count + kTokensPerItem - 1) / kTokensPerItem;
  parallel::ForEach({}, threads_, items, [&](int64_t item, int32_t) {
    std::vector<float> sum(kPart);
    const int64_t end = std::min(count, (item + 1) * kTokensPerItem);
    for (int64_t row = item * kTokensPerItem; row < end; ++row) {
      const int64_t token = first + row;
      std::fill(sum.begin(), sum.end(), 0.0f);
      const int64_t source_first = source_first_[static_cast<size_t>(token)];
      for (int64_t t = std::max(source_first, token - kGather + 1); t <= token; ++t) {
        const auto word = static_cast<size_t>(vocabulary_.WordOf(t));
        for (int64_t e = entries_first_[word]; e < entries_first_[word + 1]; ++e) {
          const Entry& entry = entries_[static_cast<size_t>(e)];
          sum[static_cast<size_t>(entry.channel)] += entry.value;
        }
      }
      Clear(out + row * kHidden);
      StorePart(sum, out + row * kHidden + kContentChannel);
    }
  });
}

void HiddenStates::OfQuestion(const Question& question, int64_t count, uint16_t* out) const {
  std::vector<std::vector<Entry>> tokens;
  for (const Token& token : question.tokens) tokens.push_back(Embed(question.TextOf(token)));
  const auto question_tokens = static_cast<int64_t>(tokens.size());
  tokens.push_back(Embed("?"));
  const auto store = [&](int64_t first, int64_t last, uint16_t* part) {
    std::vector<float> sum(kPart);
    for (int64_t t = std::max<int64_t>(first, 0); t < last; ++t) {
      for (const Entry& entry : tokens[static_cast<size_t>(t)])
        sum[static_cast<size_t>(entry.channel)] += entry.value;
    }
    StorePart(sum, part);
  };
  for (int64_t i = 0; i < count; ++i) {
    uint16_t* row = out + i * kHidden;
    Clear(row);
    store(question_tokens + i - kGather, question_tokens + i, row + kContentChannel);
    store(0, question_tokens, row + kContextChannel);
  }
}

}  // namespace tamis::tools::demo::dsa
