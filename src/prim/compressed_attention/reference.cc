// The float64 reference of attention over compressed keys: the specification, in obvious loops.
#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include "base/dtype.h"
#include "prim/compressed_attention/attention.h"
#include "prim/references/attention_reference.h"

namespace tamis::prim {
namespace {

constexpr double kHiddenScore = -static_cast<double>(std::numeric_limits<float>::max());
constexpr double kForcedScore = static_cast<double>(std::numeric_limits<float>::max());
// What fp32 adds up without passing its end, far above any share of a softmax.
constexpr double kMostImportance = 0x1p100;

double Element(const TensorView& view, int64_t offset) {
  return base::LoadAsDouble(view.data, view.dtype, offset);
}

const AttentionSequence& SequenceOfRow(const AttentionProblem& p, int64_t row) {
  size_t i = 0;
  while (row >= p.sequences[i].row_begin + p.sequences[i].rows) ++i;
  return p.sequences[i];
}

// Offset of row `key` of kv head `head`.
int64_t KeyOffset(const AttentionProblem& p, const AttentionSequence& s, const TensorView& view,
                  int64_t dim, int64_t key, int64_t head) {
  if (!p.page_table.paged()) return (s.key_begin + key) * view.strides[0] + head * view.strides[1];
  const int64_t page = p.page_table.page(s.batch, key / p.page_size);
  return page * view.strides[0] + key % p.page_size * view.strides[1] + head * dim;
}

// One query head.
struct HeadResult {
  std::vector<double> probabilities;  // [keys]
  std::vector<double> out;            // [v_dim]
  std::vector<double> out_bound;
  std::vector<double> out_device_bound;
  double max = -std::numeric_limits<double>::infinity();
  double sum = 0;
  double score_bound = 0;        // absolute, of a score
  double probability_bound = 0;  // relative, of a probability
};

HeadResult Attend(const AttentionProblem& p, const AttentionTensors& in, const AttentionSequence& s,
                  const std::vector<bool>& hidden, int64_t t, int64_t head) {
  const auto keys = static_cast<size_t>(s.keys);
  const int64_t kv_head = head / p.group;
  HeadResult r;
  r.probabilities.assign(keys, 0.0);
  r.out.assign(static_cast<size_t>(p.v_dim), 0.0);
  r.out_bound = r.out_device_bound = r.out;
  const bool all_hidden = std::find(hidden.begin(), hidden.end(), false) == hidden.end();
  if (keys == 0) return r;
  if (all_hidden && p.zero_masked_rows) {
    r.max = kHiddenScore;
    return r;
  }

  const int64_t q = OffsetOf(p.TokensOf(in.query), s.batch, s.token + t) +
                    head * in.query.strides[p.query_batch_dims];
  const auto scale = static_cast<double>(static_cast<float>(p.scale));
  double magnitude = 0;
  std::vector<double> score(keys, kHiddenScore);
  const std::vector<double> query = ReferenceElements(in.query, q, p.qk_dim);
  for (size_t i = 0; i < keys; ++i) {
    if (hidden[i]) continue;
    const std::vector<double> key = ReferenceElements(
        in.key, KeyOffset(p, s, in.key, p.qk_dim, static_cast<int64_t>(i), kv_head), p.qk_dim);
    double dot = 0;
    double absolute = 0;
    for (size_t c = 0; c < key.size(); ++c) {
      const double term = query[c] * key[c];
      dot += term;
      absolute += std::fabs(term);
    }
    score[i] = scale * dot;
    magnitude = std::max(magnitude, std::fabs(scale) * absolute);
  }
  for (double x : score)
    r.max = std::isnan(x) || std::isnan(r.max) ? std::nan("") : std::max(r.max, x);
  for (size_t i = 0; i < keys; ++i) {
    r.probabilities[i] = std::exp(score[i] - r.max);
    r.sum += r.probabilities[i];
  }
  for (double& probability : r.probabilities) probability /= r.sum;

  // Scores carry the error of a dot product and of the scaled query; e and its sum twice that, and
  // the exponential's 2 ulp.
  const auto terms = static_cast<double>(keys);
  r.score_bound =
      base::Fp32SumBound(static_cast<double>(p.qk_dim) + 1, magnitude) + 0x1p-23 * magnitude;
  r.probability_bound = 4 * r.score_bound + 8 * 0x1p-24 + 2 * base::Fp32SumBound(terms, 1);
  std::vector<double> weights(keys, 0.0);  // of the bound of Accuracy::kStorage
  std::vector<int64_t> tiles(keys);
  std::vector<double> absolute(r.out.size());
  std::vector<double> lost(r.out.size());  // with exponentials that are 0 in fp32
  for (size_t i = 0; i < keys; ++i) {
    const double probability = r.probabilities[i];
    tiles[i] = static_cast<int64_t>(i) / kKeyTile;
    if (probability == 0) continue;
    const std::vector<double> value = ReferenceElements(
        in.value, KeyOffset(p, s, in.value, p.v_dim, static_cast<int64_t>(i), kv_head), p.v_dim);
    weights[i] = probability * StorageMagnitude(value);
    const double rounding = ProbabilityRounding(in.query.dtype, probability, 1);
    const double vanishing = std::min(kLeastExponential, probability * r.sum) / r.sum;
    for (size_t c = 0; c < value.size(); ++c) {
      const double size = std::fabs(value[c]);
      r.out[c] += probability * value[c];
      absolute[c] += std::fabs(probability * value[c]);
      r.out_device_bound[c] += rounding * size;
      lost[c] += vanishing * size;
    }
  }
  const double storage_bound = p.storage ? StorageBound(weights, tiles) : 0;
  for (size_t c = 0; c < r.out.size(); ++c) {
    r.out_bound[c] = absolute[c] * r.probability_bound + base::Fp32SumBound(terms, absolute[c]) +
                     lost[c] + storage_bound;
  }
  return r;
}

// Raw tokens that query t sees.
int64_t VisibleTokens(const AttentionSequence& s, int64_t t) {
  return s.visible_tokens - (s.rows - 1 - t);
}

// What a probability among the call's keys is multiplied by to be one among all keys.
double ShareOfAll(const AttentionProblem& p, const AttentionTensors& in, const AttentionSequence& s,
                  int64_t t, int64_t head, const HeadResult& r) {
  if (in.global_max.absent()) return 1;
  const int64_t token = s.token + t;
  const double max =
      Element(in.global_max, OffsetOf(p.TokensOf(in.global_max), s.batch, token) + head);
  const double sum =
      Element(in.global_sum, OffsetOf(p.TokensOf(in.global_sum), s.batch, token) + head);
  return r.sum == 0 ? 1 : r.sum * std::exp(r.max - max) / sum;
}

// S[j] = sum over m < M, q < Nn of P[M (j + 1) - shift - m - q]. Where the two loops would
// outnumber the tokens, the pairs that meet each token are counted instead; a test holds the two
// against each other.
double Importance(const BlockGeometry& g, const std::vector<double>& probabilities, int64_t j) {
  const auto n = static_cast<int64_t>(probabilities.size());
  double sum = 0;
  if (g.select_strides <= n && g.compress_strides <= n) {
    for (int64_t m = 0; m < g.select_strides; ++m) {
      for (int64_t q = 0; q < g.compress_strides; ++q) {
        const int64_t x = g.select_strides * (j + 1) - g.shift - m - q;
        if (x >= 0 && x < n) sum += probabilities[static_cast<size_t>(x)];
      }
    }
    return sum;
  }
  for (int64_t x = 0; x < n; ++x) {
    const int64_t i = g.LastToken(j) - x;
    if (i >= 0)
      sum += static_cast<double>(g.Coefficient(i)) * probabilities[static_cast<size_t>(x)];
  }
  return sum;
}

// Blocks that query t may select: those of the sequence, or those that hold a token which it sees.
int64_t CandidatesOf(const AttentionProblem& p, const AttentionSequence& s, int64_t t) {
  if (!p.causal_selection) return s.blocks;
  int64_t candidates = 0;
  while (candidates < s.blocks && candidates * p.select_block() < VisibleTokens(s, t)) ++candidates;
  return candidates;
}

// Indices by falling score, equal scores by index, NaN last; -1 past the last.
void Rank(const std::vector<double>& scores, int64_t k, double* indices) {
  std::vector<size_t> order(scores.size());
  for (size_t j = 0; j < order.size(); ++j) order[j] = j;
  std::stable_sort(order.begin(), order.end(), [&](size_t a, size_t b) {
    if (std::isnan(scores[a]) || std::isnan(scores[b]))
      return !std::isnan(scores[a]) && std::isnan(scores[b]);
    return scores[a] > scores[b];
  });
  for (int64_t i = 0; i < k; ++i) {
    indices[i] = i < static_cast<int64_t>(order.size())
                     ? static_cast<double>(order[static_cast<size_t>(i)])
                     : -1.0;
  }
}

}  // namespace

bool IsHiddenByPosition(const AttentionProblem& p, const TensorView& key_limits,
                        const AttentionSequence& s, int64_t t, int64_t key) {
  if (!key_limits.absent()) {
    const int64_t limit =
        Data<const int32_t>(key_limits)[OffsetOf(p.TokensOf(key_limits), s.batch, s.token + t)];
    if (key >= limit) return true;
  }
  const int64_t window_end = key * p.compress_stride + p.compress_block;
  return s.visible_tokens >= 0 && window_end > VisibleTokens(s, t);
}

void CompressedAttentionReferenceRow(const AttentionProblem& p, const AttentionTensors& in,
                                     const AttentionRules& rules, int64_t row, size_t slot,
                                     base::Golden* golden) {
  const AttentionSequence& s = SequenceOfRow(p, row);
  const int64_t t = row - s.row_begin;
  const auto at = static_cast<int64_t>(slot);
  std::vector<bool> hidden(static_cast<size_t>(s.keys));
  for (size_t i = 0; i < hidden.size(); ++i) {
    const auto key = static_cast<int64_t>(i);
    hidden[i] = IsHiddenByPosition(p, in.key_limits, s, t, key) || rules.hidden(s, t, key);
  }

  base::GoldenOutput& out = golden->outputs[0];
  base::GoldenOutput& indices = golden->outputs[1];
  base::GoldenOutput& block_scores = golden->outputs[4];
  int64_t most_blocks = 0;
  for (const AttentionSequence& of : p.sequences) most_blocks = std::max(most_blocks, of.blocks);
  const int64_t candidates = CandidatesOf(p, s, t);
  const auto forced = [&](int64_t block) {
    return p.causal_selection ? block == 0 || block >= candidates - 2 : rules.forced(s, t, block);
  };
  // Causal importance is of what the token sees.
  const bool none = std::find(hidden.begin(), hidden.end(), false) == hidden.end();
  const auto counts = [&](size_t key) {
    return !p.causal_selection ||
           !(none || IsHiddenByPosition(p, in.key_limits, s, t, static_cast<int64_t>(key)));
  };
  for (int64_t kv_head = 0; kv_head < p.kv_heads; ++kv_head) {
    std::vector<double> grouped(static_cast<size_t>(s.keys), 0.0);
    double probability_bound = 0;
    double lost = 0;  // of a share, with exponentials that are 0 in fp32
    for (int64_t head = kv_head * p.group; head < (kv_head + 1) * p.group; ++head) {
      const HeadResult r = Attend(p, in, s, hidden, t, head);
      std::copy(r.out.begin(), r.out.end(), out.Row(at) + head * p.v_dim);
      std::copy(r.out_bound.begin(), r.out_bound.end(), out.BoundRow(at) + head * p.v_dim);
      std::copy(r.out_device_bound.begin(), r.out_device_bound.end(),
                out.DeviceBoundRow(at) + head * p.v_dim);
      golden->outputs[2].Row(at)[head] = r.max;
      golden->outputs[2].BoundRow(at)[head] = r.score_bound;
      golden->outputs[3].Row(at)[head] = r.sum;
      golden->outputs[3].BoundRow(at)[head] = r.sum * r.probability_bound;
      const double share = ShareOfAll(p, in, s, t, head, r);
      for (size_t i = 0; i < grouped.size(); ++i) {
        if (counts(i)) grouped[i] += r.probabilities[i] * share;
      }
      probability_bound = std::max(probability_bound, r.probability_bound);
      if (r.sum > 0) lost += kLeastExponential * share / r.sum;
    }
    std::vector<double> scores(static_cast<size_t>(candidates));
    double highest = 0;
    for (int64_t j = 0; j < candidates; ++j) {
      double& score = scores[static_cast<size_t>(j)];
      score = Importance(p.geometry, grouped, j);
      highest = std::max(highest, score);
      block_scores.Row(at)[kv_head * most_blocks + j] = score;
      if (forced(j)) score = kForcedScore;
    }
    const auto terms =
        static_cast<double>(p.group + p.geometry.select_strides + p.geometry.compress_strides);
    const auto pairs = static_cast<double>(p.geometry.select_strides) *
                       static_cast<double>(p.geometry.compress_strides);
    // Global statistics that are not of these keys may give shares of any size: near the end of
    // fp32, sums of them pass it or not by their roundings.
    const double bound =
        highest > kMostImportance
            ? std::numeric_limits<double>::infinity()
            : highest * (probability_bound + base::Fp32SumBound(terms, 1)) + lost * pairs;
    std::fill_n(block_scores.BoundRow(at) + kv_head * most_blocks, candidates, bound);
    if (p.top_k == 0) continue;
    Rank(scores, p.top_k, indices.Row(at) + kv_head * p.top_k);
    const auto list = slot * static_cast<size_t>(p.kv_heads) + static_cast<size_t>(kv_head);
    indices.score_bound[list] = bound;
    indices.scores[list] = std::move(scores);
  }
}

}  // namespace tamis::prim
