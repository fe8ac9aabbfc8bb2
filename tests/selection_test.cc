// Selection of causal candidates: a text read whole, in chunks, or token by token from a paged
// cache selects the same blocks, and gives the same bits.
#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <map>
#include <string>
#include <vector>

#include "base/cpu_features.h"
#include "tests/support/levels.h"
#include "tests/support/sequences.h"

namespace tamis::test {
namespace {

using Ints = std::vector<int64_t>;

// Tokens [begin, end) of a sequence, after which nothing is known.
struct Piece {
  int64_t sequence = 0;
  int64_t begin = 0;
  int64_t end = 0;
};

struct Text {
  DType dtype = DType::kBFloat16;
  int64_t kv_heads = 1;
  int64_t group = 2;
  int64_t qk_dim = 4;
  int64_t v_dim = 4;
  int64_t block = 2;
  int64_t stride = 1;
  int64_t select = 2;
  int64_t count = 4;
  int64_t page = 4;
  bool bsnd = false;
  int64_t large = 0;  // every so manieth value is out of the range of 16-bit integers; 0: none
  std::string importance = "cann";
  std::string masked_rows = "zero";
  uint64_t seed = 1;
  Ints lengths = {};

  int64_t Windows(int64_t raw) const { return raw < block ? 0 : (raw - block) / stride + 1; }
  int64_t heads() const { return kv_heads * group; }
  double Value(int64_t sequence, int64_t key, int64_t channel) const {
    const int64_t place = (sequence << 40) + key * kv_heads * v_dim + channel;
    const double value = Draw(seed, "value", place);
    return large > 0 && (sequence + key) % large == 0 ? value * 0x1p40 : value;
  }
  double Key(int64_t sequence, int64_t key, int64_t channel) const {
    return Draw(seed, "key", (sequence << 40) + key * kv_heads * qk_dim + channel);
  }
  double Query(int64_t sequence, int64_t token, int64_t channel) const {
    return Draw(seed, "query", (sequence << 40) + token * heads() * qk_dim + channel);
  }
};

// Every sequence from its first token to its last.
std::vector<Piece> Whole(const Text& text) {
  std::vector<Piece> pieces;
  for (size_t b = 0; b < text.lengths.size(); ++b)
    pieces.push_back({static_cast<int64_t>(b), 0, text.lengths[b]});
  return pieces;
}

// The same, cut at random into pieces of at most `most` tokens.
std::vector<Piece> Cut(const Text& text, int64_t most, Random* random) {
  std::vector<Piece> pieces;
  for (const Piece& of : Whole(text)) {
    for (int64_t at = 0; at < of.end; at = pieces.back().end)
      pieces.push_back({of.sequence, at, std::min(of.end, at + random->Between(1, most))});
  }
  return pieces;
}

void SetCommon(const Text& text, TestCall* call) {
  call->Set("scale_value", 0.7)
      .Set("head_num", text.heads())
      .Set("compress_block_size", text.block)
      .Set("compress_stride", text.stride)
      .Set("select_block_size", text.select)
      .Set("select_block_count", text.count)
      .Set("importance", text.importance)
      .Set("masked_rows", text.masked_rows)
      .Set("selection", "causal")
      .Set("return_block_scores", true);
}

// Of the packed tokens of pieces, the channels of each.
std::vector<double> Queries(const Text& text, const std::vector<Piece>& pieces) {
  std::vector<double> queries;
  for (const Piece& piece : pieces) {
    for (int64_t t = piece.begin; t < piece.end; ++t) {
      for (int64_t c = 0; c < text.heads() * text.qk_dim; ++c)
        queries.push_back(text.Query(piece.sequence, t, c));
    }
  }
  return queries;
}

TestCall Prefill(const Text& text, const std::vector<Piece>& pieces) {
  Ints tokens;
  Ints windows;
  Ints raw;
  std::vector<double> keys;
  std::vector<double> values;
  for (const Piece& piece : pieces) {
    tokens.push_back(piece.end - piece.begin);
    windows.push_back(text.Windows(piece.end));
    raw.push_back(piece.end);
    for (int64_t i = 0; i < windows.back(); ++i) {
      for (int64_t c = 0; c < text.kv_heads * text.qk_dim; ++c)
        keys.push_back(text.Key(piece.sequence, i, c));
      for (int64_t c = 0; c < text.kv_heads * text.v_dim; ++c)
        values.push_back(text.Value(piece.sequence, i, c));
    }
  }
  const int64_t n = Prefix(windows).back();
  TestCall call("nsa_compress_attention");
  call.Tensor("query", text.dtype, {Prefix(tokens).back(), text.heads(), text.qk_dim},
              Elements(Queries(text, pieces)))
      .Tensor("key", text.dtype, {n, text.kv_heads, text.qk_dim}, Elements(keys))
      .Tensor("value", text.dtype, {n, text.kv_heads, text.v_dim}, Elements(values))
      .Set("actual_seq_qlen", Prefix(tokens))
      .Set("actual_cmp_seq_kvlen", Prefix(windows))
      .Set("actual_raw_seq_kvlen", Prefix(raw))
      .Set("causal", true);
  SetCommon(text, &call);
  return call;
}

// Every piece a step of its own, on the pages of its sequence.
TestCall Decode(const Text& text, const std::vector<Piece>& pieces, Random* random) {
  Ints most;
  for (int64_t length : text.lengths) most.push_back(text.Windows(length));
  const Pages pages(most, text.page, 1, random);
  const int64_t key_row = text.kv_heads * text.qk_dim;
  const int64_t value_row = text.kv_heads * text.v_dim;
  std::vector<double> keys(static_cast<size_t>(pages.count * text.page * key_row), 0.0);
  std::vector<double> values(static_cast<size_t>(pages.count * text.page * value_row), 0.0);
  for (size_t b = 0; b < most.size(); ++b) {
    const auto sequence = static_cast<int64_t>(b);
    for (int64_t i = 0; i < most[b]; ++i) {
      const int64_t row = pages.RowOf(sequence, i);
      for (int64_t c = 0; c < key_row; ++c)
        keys[static_cast<size_t>(row * key_row + c)] = text.Key(sequence, i, c);
      for (int64_t c = 0; c < value_row; ++c)
        values[static_cast<size_t>(row * value_row + c)] = text.Value(sequence, i, c);
    }
  }
  Ints tokens;
  Ints windows;
  Ints raw;
  Ints table;
  for (const Piece& piece : pieces) {
    tokens.push_back(piece.end - piece.begin);
    windows.push_back(text.Windows(piece.end));
    raw.push_back(piece.end);
    const auto row = pages.table.begin() + piece.sequence * pages.width;
    table.insert(table.end(), row, row + pages.width);
  }
  const auto batch = static_cast<int64_t>(pieces.size());
  const int64_t width = text.heads() * text.qk_dim;
  const int64_t longest = *std::max_element(tokens.begin(), tokens.end());
  std::vector<double> queries = Queries(text, pieces);
  Ints shape = {Prefix(tokens).back(), text.heads(), text.qk_dim};
  if (text.bsnd) {
    shape.insert(shape.begin(), {batch, longest});
    shape.erase(shape.begin() + 2);
    std::vector<double> padded(static_cast<size_t>(batch * longest * width), 0.0);
    auto from = queries.begin();
    for (int64_t b = 0; b < batch; ++b) {
      const int64_t elems = tokens[static_cast<size_t>(b)] * width;
      std::copy_n(from, elems, padded.begin() + b * longest * width);
      from += elems;
    }
    queries = padded;
  }
  TestCall call("nsa_compress_attention_infer");
  call.Tensor("query", text.dtype, shape, Elements(queries))
      .Tensor("key", text.dtype, {pages.count, text.page, key_row}, Elements(keys))
      .Tensor("value", text.dtype, {pages.count, text.page, value_row}, Elements(values))
      .Tensor("block_table", DType::kInt32, {batch, pages.width}, Elements(table))
      .Set("key_value_head_num", text.kv_heads)
      .Set("page_block_size", text.page)
      .Set("layout", text.bsnd ? "BSND" : "TND")
      .Set("actual_seq_qlen", tokens)
      .Set("actual_cmp_seq_kvlen", windows)
      .Set("actual_sel_seq_kvlen", raw)
      .Set("return_softmax_lse", true);
  SetCommon(text, &call);
  return call;
}

// What a run gave each token, output by output, and whether the token sees a key.
struct Token {
  bool sees = false;
  std::map<std::string, std::string> bytes;
  Ints selected;
};
using Tokens = std::map<std::pair<int64_t, int64_t>, Token>;

Tokens Results(TestCall* call, const Text& text, const std::vector<Piece>& pieces, bool padded,
               Level level) {
  Tokens got;
  const Status status = call->Run({.level = level}).status();
  EXPECT_TRUE(status.ok()) << status.message();
  if (!status.ok()) return got;
  int64_t longest = 0;
  for (const Piece& piece : pieces) longest = std::max(longest, piece.end - piece.begin);
  int64_t packed = 0;
  for (size_t i = 0; i < pieces.size(); ++i) {
    const Piece& piece = pieces[i];
    for (int64_t t = piece.begin; t < piece.end; ++t, ++packed) {
      const int64_t row = padded ? static_cast<int64_t>(i) * longest + t - piece.begin : packed;
      Token& token = got[{piece.sequence, t}];
      token.sees = t + 1 >= text.block;
      for (const char* name :
           {"attention_out", "topk_indices", "softmax_max", "softmax_sum", "block_scores"}) {
        const TestCall::Memory& memory = call->memory(name);
        const int64_t of_row =
            call->OutputElems(name) /
            (padded ? memory.view.shape[0] * memory.view.shape[1] : memory.view.shape[0]);
        const auto size = static_cast<size_t>(of_row * base::ItemSize(memory.view.dtype));
        std::string bytes(size, '\0');
        if (size > 0)
          std::memcpy(bytes.data(), memory.bytes.data() + static_cast<size_t>(row) * size, size);
        if (name == std::string("topk_indices")) {
          token.selected.resize(size / sizeof(int32_t));
          for (size_t k = 0; k < token.selected.size(); ++k) {
            int32_t id = 0;
            std::memcpy(&id, bytes.data() + k * sizeof(id), sizeof(id));
            token.selected[k] = id;
          }
        }
        token.bytes[name] = bytes;
      }
    }
  }
  return got;
}

// Block scores of a kv head, one after the other: calls have as many as their longest sequence.
std::string ScoresOf(const Text& text, const Token& token, int64_t candidates) {
  const std::string& bytes = token.bytes.at("block_scores");
  const size_t of_head = bytes.size() / static_cast<size_t>(text.kv_heads);
  const size_t used = static_cast<size_t>(candidates) * sizeof(float);
  std::string scores;
  for (size_t head = 0; head < static_cast<size_t>(text.kv_heads); ++head) {
    scores += bytes.substr(head * of_head, used);
    EXPECT_EQ(bytes.substr(head * of_head + used, of_head - used),
              std::string(of_head - used, '\0'));
  }
  return scores;
}

void ExpectAlike(const Text& text, const Tokens& whole, const Tokens& pieces) {
  EXPECT_FALSE(pieces.empty());
  for (const auto& [place, got] : pieces) {
    const Token& want = whole.at(place);
    const std::string where =
        "sequence " + std::to_string(place.first) + ", token " + std::to_string(place.second);
    const int64_t candidates = place.second / text.select + 1;
    ASSERT_EQ(got.selected, want.selected) << where;
    ASSERT_EQ(ScoresOf(text, got, candidates), ScoresOf(text, want, candidates)) << where;
    if (!got.sees && text.masked_rows == "uniform") continue;  // the mean of the call's values
    ASSERT_EQ(got.bytes.at("attention_out"), want.bytes.at("attention_out")) << where;
    if (!got.sees) continue;  // the largest of no key, or of hidden ones
    ASSERT_EQ(got.bytes.at("softmax_max"), want.bytes.at("softmax_max")) << where;
    ASSERT_EQ(got.bytes.at("softmax_sum"), want.bytes.at("softmax_sum")) << where;
  }
}

// First, own and previous block come first; then the others; then -1.
void ExpectCausal(const Text& text, const Tokens& tokens) {
  for (const auto& [place, token] : tokens) {
    const int64_t own = place.second / text.select;
    Ints forced = {0};
    for (int64_t block : {own - 1, own})
      if (block > 0) forced.push_back(block);
    const auto count = static_cast<size_t>(text.count);
    for (size_t head = 0; head < static_cast<size_t>(text.kv_heads); ++head) {
      const auto begin = token.selected.begin() + static_cast<int64_t>(head * count);
      Ints list(begin, begin + text.count);
      for (size_t i = 0; i < std::min(count, forced.size()); ++i) ASSERT_EQ(list[i], forced[i]);
      const size_t found = std::min(count, static_cast<size_t>(own + 1));
      for (size_t i = found; i < count; ++i) ASSERT_EQ(list[i], -1);
      list.resize(found);
      std::sort(list.begin(), list.end());
      ASSERT_EQ(std::adjacent_find(list.begin(), list.end()), list.end());
      if (found > 0) {
        ASSERT_GE(list.front(), 0);
        ASSERT_LE(list.back(), own);
      }
    }
  }
}

void ExpectPiecesAlike(const Text& text, int64_t chunk, int64_t step, Random* random) {
  const std::vector<Piece> whole = Whole(text);
  const std::vector<Piece> chunks = Cut(text, chunk, random);
  const std::vector<Piece> steps = Cut(text, step, random);
  TestCall prefill = Prefill(text, whole);
  TestCall chunked = Prefill(text, chunks);
  TestCall decode = Decode(text, steps, random);
  for (Level level : TestedLevels()) {
    SCOPED_TRACE(base::Name(level));
    const Tokens want = Results(&prefill, text, whole, false, level);
    ExpectCausal(text, want);
    ExpectAlike(text, want, Results(&chunked, text, chunks, false, level));
    ExpectAlike(text, want, Results(&decode, text, steps, text.bsnd, level));
  }
}

Text RandomText(Random* random, int round) {
  constexpr DType kDTypes[] = {DType::kBFloat16, DType::kFloat16, DType::kFloat32};
  Text text;
  text.seed = random->Next();
  text.dtype = kDTypes[round % 3];
  text.kv_heads = random->Between(1, 4);
  text.group = random->Below(4) == 0 ? 16 : random->Between(1, 4);
  text.qk_dim = random->Between(1, 9);
  text.v_dim = random->Between(1, 9);
  text.stride = random->Between(1, 3);
  text.block = random->Between(text.stride, 5 * text.stride);
  text.select = text.stride * random->Between(1, 3);
  text.count = random->Between(1, 7);
  text.page = random->Between(1, 9);
  text.bsnd = random->Below(2) == 0;
  text.large = random->Below(2) == 0 && text.dtype != DType::kFloat16 ? random->Between(2, 9) : 0;
  text.importance = random->Below(2) == 0 ? "cann" : "exact_overlap";
  text.masked_rows = random->Below(3) == 0 ? "uniform" : "zero";
  return text;
}

TEST(Selection, TenThousandSequencesSelectAlikeWholeInChunksAndInDecoding) {
  Random random(401);
  constexpr int kRounds = 40;
  constexpr int kSequences = 250;
  for (int round = 0; round < kRounds; ++round) {
    SCOPED_TRACE("round " + std::to_string(round));
    Text text = RandomText(&random, round);
    for (int i = 0; i < kSequences; ++i) text.lengths.push_back(random.Between(1, 16));
    ExpectPiecesAlike(text, 6, 3, &random);
  }
}

// Of several tiles of keys, and of items of several tokens.
TEST(Selection, LongerSequencesSelectAlike) {
  Random random(402);
  for (int round = 0; round < 12; ++round) {
    SCOPED_TRACE("round " + std::to_string(round));
    Text text = RandomText(&random, round);
    text.count = random.Between(1, 40);
    for (int i = 0; i < 4; ++i) text.lengths.push_back(random.Between(1, 150 * text.stride));
    ExpectPiecesAlike(text, 90, 4, &random);
  }
}

bool InTwoPasses(TestCall* call) {
  const Result<registry::Call> made = call->WithOutputs();
  EXPECT_TRUE(made.ok());
  return made->MakePlan({})->explanation().find("two passes") != std::string::npos;
}

// Whether scores are kept follows the longest sequence of the call and the tokens of an item.
TEST(Selection, ScoresThatAreKeptAndScoresComputedAgainGiveTheSameBits) {
  Random random(403);
  for (int round = 0; round < 3; ++round) {
    SCOPED_TRACE("round " + std::to_string(round));
    Text text = RandomText(&random, round);
    text.kv_heads = 1;
    text.group = 4;
    text.stride = 1;
    text.block = 2;
    text.select = 3;
    text.count = 16;
    text.masked_rows = "zero";
    text.large = round == 0 ? 1000 : 0;
    text.lengths = {17000, 6000};
    const std::vector<Piece> both = {{0, 16970, 17000}, {1, 5960, 6000}};
    const std::vector<Piece> shorter = {both[1]};
    const std::vector<Piece> steps = {{0, 16990, 16991}, {0, 16999, 17000}, {1, 5999, 6000}};
    TestCall prefill = Prefill(text, both);
    TestCall alone = Prefill(text, shorter);
    TestCall decode = Decode(text, steps, &random);
    EXPECT_TRUE(InTwoPasses(&prefill));
    EXPECT_FALSE(InTwoPasses(&alone));
    EXPECT_FALSE(InTwoPasses(&decode));
    for (Level level : TestedLevels()) {
      const Tokens want = Results(&prefill, text, both, false, level);
      ExpectAlike(text, want, Results(&alone, text, shorter, false, level));
      ExpectAlike(text, want, Results(&decode, text, steps, text.bsnd, level));
    }
  }
}

}  // namespace
}  // namespace tamis::test
