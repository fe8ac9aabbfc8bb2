#include "tests/support/token_calls.h"

#include <algorithm>
#include <cmath>

namespace tamis::test {

std::vector<int64_t> Tokens::QueryShape(const std::vector<int64_t>& inner) const {
  std::vector<int64_t> shape = {static_cast<int64_t>(q.size()),
                                *std::max_element(q.begin(), q.end()) + padding};
  if (tnd) shape = {Prefix(q).back() + padding};
  shape.insert(shape.end(), inner.begin(), inner.end());
  return shape;
}

Placement::Placement(const Tokens& tokens, Random* random) {
  const std::vector<int64_t>& n = tokens.n;
  if (tokens.keys == Keys::kTnd) {
    shape_ = {Prefix(n).back()};
    held_.assign(static_cast<size_t>(shape_[0]), true);
  } else if (tokens.keys == Keys::kBsnd) {
    const int64_t padded = *std::max_element(n.begin(), n.end()) + 3;
    shape_ = {static_cast<int64_t>(n.size()), padded};
    for (int64_t length : n) {
      held_.insert(held_.end(), static_cast<size_t>(length), true);
      held_.insert(held_.end(), static_cast<size_t>(padded - length), false);
    }
  } else {
    pages_.emplace(n, tokens.page, 2, random);
    shape_ = {pages_->count, tokens.page};
    held_ = pages_->Holds(n);
  }
  if (tokens.keys == Keys::kTnd) {
    prefix_ = Prefix(n);
    prefix_.insert(prefix_.begin(), 0);
  }
  for (size_t b = 0; b < tokens.starts.size(); ++b) {
    for (int64_t position = 0; position < tokens.starts[b]; ++position)
      held_[static_cast<size_t>(RowOf(static_cast<int64_t>(b), position))] = false;
  }
}

int64_t Placement::RowOf(int64_t sequence, int64_t position) const {
  if (!prefix_.empty()) return prefix_[static_cast<size_t>(sequence)] + position;
  return pages_ ? pages_->RowOf(sequence, position) : sequence * shape_[1] + position;
}

std::vector<int64_t> Placement::Shape(int64_t dim, int64_t heads) const {
  std::vector<int64_t> shape = shape_;
  shape.push_back(heads);
  shape.push_back(dim);
  return shape;
}

std::function<double(int64_t)> Placement::Values(int64_t row, Random* random) const {
  return [this, row, random](int64_t i) { return Holds(i / row) ? random->Normal() : NAN; };
}

void HideSomeKeys(Tokens* tokens, Random* random) {
  if (random->Below(3) == 0) {
    for (int64_t n : tokens->n) tokens->starts.push_back(random->Between(0, n));
  }
  tokens->limits = random->Below(3) == 0;
  tokens->out_float32 = random->Below(3) == 0;
}

void CompressSomeKeys(Tokens* tokens, Random* random) {
  if (random->Below(3) != 0) return;
  tokens->ratio = random->Between(2, 7);
  if (random->Below(4) == 0) return;
  for (int64_t n : tokens->n) tokens->raw.push_back(random->Between(0, (n + 1) * tokens->ratio));
}

void SetSequences(TestCall* call, const Tokens& tokens, const Placement& place,
                  const std::string& keys) {
  const auto of = [](bool packed, const std::vector<int64_t>& lengths) {
    return packed ? Prefix(lengths) : lengths;
  };
  call->Set("layout_query", tokens.tnd ? "TND" : "BSND")
      .Set("layout_" + keys, tokens.keys == Keys::kPaged ? "PA_BSND"
                             : tokens.keys == Keys::kTnd ? "TND"
                                                         : "BSND")
      .List("actual_seq_lengths_query", tokens.lengths, of(tokens.tnd, tokens.q))
      .List("actual_seq_lengths_" + keys, tokens.lengths, of(tokens.keys == Keys::kTnd, tokens.n));
  if (!tokens.starts.empty()) call->List("key_starts", tokens.lengths, tokens.starts);
  if (tokens.limits) {
    Random random(tokens.q.size() + 77);
    const int64_t most = *std::max_element(tokens.n.begin(), tokens.n.end()) + 3;
    call->Strided("key_limits", DType::kInt32, tokens.QueryShape({}), 0,
                  [&](int64_t) { return static_cast<double>(random.Between(-3, most)); });
  }
  if (tokens.ratio > 1) call->Set("compress_ratio", tokens.ratio);
  if (!tokens.raw.empty()) call->List("actual_seq_lengths_tokens", tokens.lengths, tokens.raw);
  if (tokens.out_float32) call->Set("out_dtype", "float32");
  if (const std::optional<Pages>& pages = place.pages()) {
    call->Tensor("block_table", DType::kInt32,
                 {static_cast<int64_t>(tokens.n.size()), pages->width}, Elements(pages->table));
  }
}

}  // namespace tamis::test
