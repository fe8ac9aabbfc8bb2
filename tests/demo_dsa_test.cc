// The second half of the demo: texts, hidden states, tied weights, the layer, what it says.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <fstream>
#include <memory>
#include <set>

#include "base/dtype.h"
#include "tests/support/invented_text.h"
#include "tools/tamis/demo/corpus.h"
#include "tools/tamis/demo/dsa/report.h"
#include "tools/tamis/demo/dsa/selection.h"

namespace tamis::tools::demo::dsa {
namespace {

Text TextOf(const std::string& bytes) {
  Text text;
  AppendBytes("invented", bytes, &text);
  return text;
}

float Float(uint16_t bits) { return base::BFloat16ToFloat(bits); }

// --- the text ------------------------------------------------------------------------------------

class DemoCorpus : public testing::Test {
 protected:
  void SetUp() override { std::filesystem::create_directories(folder_); }
  void TearDown() override { std::filesystem::remove_all(folder_); }

  const std::filesystem::path folder_ =
      std::filesystem::temp_directory_path() /
      ("tamis_corpus_" +
       std::string(testing::UnitTest::GetInstance()->current_test_info()->name()));
};

TEST_F(DemoCorpus, HeadersAreThoseOfTheNewestVersion) {
  EXPECT_EQ(NewestVersion(folder_.string()), "");
  EXPECT_EQ(NewestVersion((folder_ / "missing").string()), "");
  for (const char* name : {"9", "12", "11.2", "v1", "x99"})
    std::filesystem::create_directory(folder_ / name);
  std::ofstream(folder_ / "14") << "a file";
  EXPECT_EQ(NewestVersion(folder_.string()), (folder_ / "12").string());
}

TEST_F(DemoCorpus, AFileOfTheUsersStandsAlone) {
  const std::string path = (folder_ / "own.txt").string();
  std::ofstream(path) << "one two three";
  Corpus corpus;
  const Status status = ReadCorpus({.file = path, .headers = true, .most_tokens = 2}, &corpus);
  ASSERT_TRUE(status.ok()) << status.message();
  EXPECT_EQ(corpus.text.sources.size(), 1u);
  EXPECT_EQ(corpus.text.size(), 2);
  EXPECT_EQ(corpus.text.dropped_tokens, 1);
  EXPECT_EQ(corpus.name, path);
}

// --- hidden states -------------------------------------------------------------------------------

struct Hidden {
  explicit Hidden(Text invented) : text(std::move(invented)), vocabulary(text) {}

  std::vector<uint16_t> Of(int64_t first, int64_t count) const {
    std::vector<uint16_t> x(static_cast<size_t>(count * kHidden), 0x7fc0);
    states.OfText(first, count, x.data());
    return x;
  }
  std::vector<uint16_t> Of(const Question& question, int64_t count) const {
    std::vector<uint16_t> x(static_cast<size_t>(count * kHidden), 0x7fc0);
    states.OfQuestion(question, count, x.data());
    return x;
  }

  Text text;
  Vocabulary vocabulary;
  HiddenStates states = HiddenStates(text, vocabulary, 2);
};

std::vector<float> Part(const std::vector<uint16_t>& x, int64_t row, int64_t channel) {
  const auto begin = x.begin() + row * kHidden + channel;
  std::vector<float> part(kPart);
  std::transform(begin, begin + kPart, part.begin(), Float);
  return part;
}

double MeanSquare(const std::vector<float>& part) {
  double sum = 0;
  for (float v : part) sum += static_cast<double>(v) * v;
  return sum / static_cast<double>(part.size());
}

TEST(DemoHidden, ContentHasMeanSquareOneAndContextIsForQuestions) {
  const Hidden hidden(TextOf(test::InventedText(300, 1)));
  const std::vector<uint16_t> x = hidden.Of(100, 50);
  const std::vector<float> nothing(kPart, 0.0f);
  for (int64_t row = 0; row < 50; ++row) {
    EXPECT_NEAR(MeanSquare(Part(x, row, kContentChannel)), 1, 0.01);
    EXPECT_EQ(Part(x, row, kContextChannel), nothing);
    EXPECT_EQ(Float(x[static_cast<size_t>(row * kHidden + kConstantChannel)]), 1);
  }
  const Question question = MakeQuestion(std::string(hidden.text.Span(20, 30)));
  const std::vector<uint16_t> asked = hidden.Of(question, 2);
  for (int64_t row : {0, 1}) {
    EXPECT_NEAR(MeanSquare(Part(asked, row, kContentChannel)), 1, 0.01);
    EXPECT_NEAR(MeanSquare(Part(asked, row, kContextChannel)), 1, 0.01);
  }
  EXPECT_EQ(Part(asked, 0, kContextChannel), Part(asked, 1, kContextChannel));
}

TEST(DemoHidden, AQuestionEndsAsThePhraseInTheTextDoes) {
  const Hidden hidden(TextOf(test::InventedText(300, 2)));
  const Question question = MakeQuestion(std::string(hidden.text.Span(40, 52)));
  const std::vector<uint16_t> one = hidden.Of(question, 1);
  EXPECT_EQ(Part(one, 0, kContentChannel), Part(hidden.Of(51, 1), 0, kContentChannel));
  std::vector<uint16_t> two = hidden.Of(question, 2);
  two.resize(kHidden);
  EXPECT_EQ(two, one);
}

TEST(DemoHidden, NothingIsGatheredAcrossFilesNorDependsOnChunks) {
  Text text;
  AppendBytes("one", test::InventedText(100, 3), &text);
  AppendBytes("two", test::InventedText(100, 4), &text);
  const int64_t first = text.sources[1].first;
  const Hidden hidden(std::move(text));
  const std::vector<uint16_t> chunk = hidden.Of(first - 3, 20);
  EXPECT_EQ(Part(chunk, 3, kContentChannel), Part(hidden.Of(first, 1), 0, kContentChannel));
  // The first token of a file is made of itself: as if it stood alone.
  const Question alone = MakeQuestion(std::string(hidden.text.TokenText(first)));
  EXPECT_EQ(Part(hidden.Of(first, 1), 0, kContentChannel),
            Part(hidden.Of(alone, 1), 0, kContentChannel));
}

// --- weights -------------------------------------------------------------------------------------

std::vector<float> Unpack(const std::vector<uint16_t>& packed, int64_t rows) {
  const int64_t columns = static_cast<int64_t>(packed.size()) / rows;
  std::vector<float> matrix(packed.size());
  for (int64_t k = 0; k < rows; ++k) {
    for (int64_t n = 0; n < columns; ++n)
      matrix[static_cast<size_t>(k * columns + n)] =
          Float(packed[static_cast<size_t>(n / 16 * rows * 16 + k * 16 + n % 16)]);
  }
  return matrix;
}

class DemoWeights : public testing::Test {
 protected:
  static void SetUpTestSuite() {
    weights = new Weights;
    const Status status = MakeWeights({}, weights);
    ASSERT_TRUE(status.ok()) << status.message();
  }
  static void TearDownTestSuite() {
    delete weights;
    weights = nullptr;
  }
  static Weights* weights;
};
Weights* DemoWeights::weights = nullptr;

// The product of one row of w_dq with a column of the matrix `up` [kQueryRank, columns].
double Product(const std::vector<float>& down, int64_t row, const std::vector<float>& up,
               int64_t column) {
  const int64_t columns = static_cast<int64_t>(up.size()) / kQueryRank;
  double sum = 0;
  for (int64_t k = 0; k < kQueryRank; ++k)
    sum += static_cast<double>(down[static_cast<size_t>(row * kQueryRank + k)]) *
           up[static_cast<size_t>(k * columns + column)];
  return sum;
}

TEST_F(DemoWeights, KeysOfTheContentAreMadeAsQueriesOfTheContext) {
  const std::vector<float> down = Unpack(weights->w_dq, kHidden);
  const std::vector<float> latent = Unpack(weights->w_dkv_kr, kHidden);
  const std::vector<float> up = Unpack(weights->w_uq_qr, kQueryRank);
  for (int64_t channel : {int64_t{0}, int64_t{77}, kPart - 1}) {
    for (int64_t c = 0; c < kLatent + kRope; c += 7) {
      // Head c / 128 of the first four looks at the latent's channel c; every head has the rope.
      const int64_t column =
          c < kLatent ? c / kNope * (kNope + kRope) + c % kNope : kNope + c - kLatent;
      EXPECT_EQ(latent[static_cast<size_t>((kContentChannel + channel) * (kLatent + kRope) + c)],
                Product(down, kContextChannel + channel, up, column))
          << "channel " << channel << ", column " << c;
    }
  }
}

TEST_F(DemoWeights, IndexKeysAreMadeAsTheHeadsOfIndexQueries) {
  const std::vector<float> down = Unpack(weights->w_dq, kHidden);
  const std::vector<float> key = Unpack(weights->w_idx_k, kHidden);
  const std::vector<float> up = Unpack(weights->w_idx_qb, kQueryRank);
  for (int64_t head : {0, 31, 63}) {
    int64_t heard = 0;
    for (int64_t c = 0; c < kIndexDim; ++c) {
      if (up[static_cast<size_t>(head * kIndexDim + c)] == 0) continue;
      ++heard;
      EXPECT_EQ(key[static_cast<size_t>((kContentChannel + 5) * kIndexDim + c)],
                Product(down, kContextChannel + 5, up, head * kIndexDim + c));
    }
    EXPECT_EQ(heard, kIndexDim * 3 / 4);
  }
}

TEST_F(DemoWeights, QueriesReadTheContextKeysTheContentAndHeadsWeighTheSame) {
  const auto rows_used = [](const std::vector<uint16_t>& w) {
    const std::vector<float> matrix = Unpack(w, kHidden);
    const size_t columns = matrix.size() / kHidden;
    std::set<int64_t> used;
    for (size_t i = 0; i < matrix.size(); ++i)
      if (matrix[i] != 0) used.insert(static_cast<int64_t>(i / columns));
    return used;
  };
  const std::set<int64_t> queries = rows_used(weights->w_dq);
  EXPECT_EQ(*queries.begin(), kContextChannel);
  EXPECT_EQ(*queries.rbegin(), kContextChannel + kPart - 1);
  for (const auto* w : {&weights->w_dkv_kr, &weights->w_idx_k}) {
    const std::set<int64_t> keys = rows_used(*w);
    EXPECT_EQ(*keys.begin(), kContentChannel);
    EXPECT_EQ(*keys.rbegin(), kContentChannel + kPart - 1);
  }
  EXPECT_EQ(rows_used(weights->w_idx_proj), std::set<int64_t>{kConstantChannel});
  const std::vector<float> projection = Unpack(weights->w_idx_proj, kHidden);
  for (int64_t head = 0; head < kIndexHeads; ++head)
    EXPECT_EQ(projection[static_cast<size_t>(kConstantChannel * kIndexHeads + head)], 1.0f / 64);
}

TEST(DemoRope, RowsTurnByTheirPositionAndHaveEqualHalves) {
  std::vector<uint16_t> cos, sin;
  FillRope(130, 3, &cos, &sin);
  for (int64_t t = 0; t < 3; ++t) {
    for (int64_t k = 0; k < kRope; ++k) {
      const auto at = static_cast<size_t>(t * kRope + k);
      const double angle =
          static_cast<double>(130 + t) / std::pow(10000.0, static_cast<double>(k % 32) / 32);
      EXPECT_EQ(cos[at], base::DoubleToBFloat16(std::cos(angle)));
      EXPECT_EQ(sin[at], base::DoubleToBFloat16(std::sin(angle)));
    }
  }
}

// --- the layer -----------------------------------------------------------------------------------

TEST(DemoCaches, EveryPositionHasItsOwnSlotAndPagesAreShuffled) {
  const Caches caches(1000);
  EXPECT_EQ(caches.page_of.size(), 8u);
  EXPECT_FALSE(std::is_sorted(caches.page_of.begin(), caches.page_of.end()));
  const std::vector<int32_t> slots = caches.Slots(0, 1000);
  EXPECT_EQ(std::set<int32_t>(slots.begin(), slots.end()).size(), 1000u);
  EXPECT_LT(*std::max_element(slots.begin(), slots.end()), caches.pages * kPage);
  EXPECT_EQ(slots[129], caches.page_of[1] * kPage + 1);
}

class DemoLayer : public DemoWeights {
 protected:
  void Fill(Text text) {
    hidden = std::make_unique<Hidden>(std::move(text));
    caches = std::make_unique<Caches>(hidden->text.size() + 2);
    dsa::Fill fill;
    Agreement agreement;
    const Status status = FillCaches(
        context, *weights, hidden->states, hidden->text.size(), [](int64_t, int64_t) {},
        caches.get(), &fill, &agreement);
    ASSERT_TRUE(status.ok()) << status.message();
    EXPECT_TRUE(agreement.ok()) << agreement.first_mismatch;
  }
  Step Ask(const Question& question, int64_t tokens) {
    Decoder decoder(context, *weights, hidden->text.size(), caches.get());
    Step step;
    const Status status = decoder.Run(hidden->Of(question, tokens), tokens, &step);
    EXPECT_TRUE(status.ok()) << status.message();
    return step;
  }

  Context context = {.threads = 2};
  std::unique_ptr<Hidden> hidden;
  std::unique_ptr<Caches> caches;
};

TEST_F(DemoLayer, PhrasesOfTheTextRankFirst) {
  Fill(TextOf(test::InventedText(3000, 6)));
  for (int64_t first : {150, 1500, 2600}) {
    Question question = MakeQuestion(std::string(hidden->text.Span(first, first + 12)));
    question.first = first;
    question.last = first + 12;
    const Step step = Ask(question, 1);
    const Selection selection = Examine(hidden->text, question, step.selected.data(), 1);
    EXPECT_EQ(selection.selected, kTop);
    EXPECT_TRUE(selection.found());
    ASSERT_FALSE(selection.passages.empty());
    EXPECT_TRUE(selection.IsSource(selection.passages[0], question));
    EXPECT_GT(DenseMass(step, 0), 0.9);
    EXPECT_GT(MeanCosine(step, 0), 0.99);
  }
}

TEST_F(DemoLayer, ASelectionOfEverythingIsDenseAttention) {
  Fill(TextOf(test::InventedText(700, 7)));
  const Step step = Ask(MakeQuestion(std::string(hidden->text.Span(30, 40))), 2);
  for (int64_t token : {0, 1}) {
    EXPECT_NEAR(DenseMass(step, token), 1, 1e-5);
    EXPECT_NEAR(MeanCosine(step, token), 1, 1e-4);
  }
}

TEST_F(DemoLayer, OneTokenGivesTheBitsOfTheFirstOfTwoAndTheFusedCallThoseOfTheFour) {
  Fill(TextOf(test::InventedText(500, 8)));
  const Question question = MakeQuestion(std::string(hidden->text.Span(30, 40)));
  const Step one = Ask(question, 1);
  const Step two = Ask(question, 2);
  EXPECT_TRUE(one.SameFirst(two));
  EXPECT_TRUE(one.fused_agrees);
  EXPECT_TRUE(two.fused_agrees);
  const Selection second = Examine(hidden->text, question, two.selected.data() + kTop, 2);
  EXPECT_GT(second.new_ranks[0], 0);  // it sees the first
  const Selection first = Examine(hidden->text, question, two.selected.data(), 2);
  EXPECT_GT(first.new_ranks[0], 0);  // itself
  EXPECT_EQ(first.new_ranks[1], 0);
  Step other = two;
  other.sparse.out[0] ^= 1;
  EXPECT_FALSE(one.SameFirst(other));
}

// --- what it says --------------------------------------------------------------------------------

std::vector<int32_t> Ranked(const std::vector<int32_t>& best) {
  std::vector<int32_t> selected(kTop, -1);
  std::copy(best.begin(), best.end(), selected.begin());
  return selected;
}

TEST(DemoSelection, NeighboursAmongTheBestMakePassagesThatEndWithTheirFile) {
  Text text;
  AppendBytes("one", test::InventedText(100, 9), &text);
  AppendBytes("two", test::InventedText(100, 10), &text);
  const auto split = static_cast<int32_t>(text.sources[1].first);
  const std::vector<int32_t> selected =
      Ranked({50, 10, 52, split, split - 1, static_cast<int32_t>(text.size())});
  const Selection selection = Examine(text, MakeQuestion("x"), selected.data(), 1);
  EXPECT_EQ(selection.selected, 6);
  EXPECT_EQ(selection.new_ranks, std::vector<int64_t>{6});
  ASSERT_EQ(selection.passages.size(), 4u);
  EXPECT_EQ(selection.passages[0].last, 53);
  EXPECT_EQ(selection.passages[0].count, 2);
  EXPECT_EQ(selection.passages[0].best_rank, 1);
  EXPECT_EQ(selection.passages[1].last, 11);
  EXPECT_EQ(selection.passages[2].first, split);
  EXPECT_EQ(selection.passages[3].last, split);
}

TEST(DemoSelection, APhraseIsFoundIfMostOfItRanksInTheFirstQuarter) {
  const Text text = TextOf(test::InventedText(200, 11));
  Question question = MakeQuestion("x");
  question.first = 20;
  question.last = 24;
  const auto examine = [&](const std::vector<int32_t>& best) {
    return Examine(text, question, Ranked(best).data(), 1);
  };
  const Selection high = examine({20, 21, 22, 1, 2, 3, 4, 5, 6, 7, 8, 9});
  EXPECT_EQ(high.own_selected, 3);
  EXPECT_EQ(high.own_median, 3);
  EXPECT_TRUE(high.found());
  EXPECT_FALSE(examine({20, 21, 1, 22, 2, 3, 4, 5, 6, 7, 8, 9}).found());
  const Selection half = examine({20, 21, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10});
  EXPECT_EQ(half.own_median, 0);
  EXPECT_FALSE(half.found());
  EXPECT_FALSE(examine({}).found());
}

TEST(DemoSelection, MassIsThatOfTheStatisticsAveragedOverHeads) {
  Step step;
  step.sparse.max.assign(2 * kHeads, 1.0f);
  step.sparse.sum.assign(2 * kHeads, 3.0f);
  step.dense.max.assign(2 * kHeads, 1.0f);
  step.dense.sum.assign(2 * kHeads, 4.0f);
  for (size_t h = kHeads; h < 2 * kHeads; h += 2) step.dense.sum[h] = 12.0f;
  EXPECT_NEAR(DenseMass(step, 0), 0.75, 1e-12);
  EXPECT_NEAR(DenseMass(step, 1), 0.5, 1e-12);
}

TEST(DemoSelection, ReportsSayWhatDisagrees) {
  const Text text = TextOf(test::InventedText(200, 12));
  const Vocabulary vocabulary(text);
  Asked asked;
  asked.question = MakeQuestion("x");
  asked.second.new_ranks = {0, 1};
  const auto report = [&] { return Describe(text, vocabulary, 1, 3, asked); };
  EXPECT_TRUE(asked.agrees());
  EXPECT_EQ(report().find("DI"), std::string::npos) << report();
  EXPECT_NE(report().find("the second does not select the first"), std::string::npos);
  asked.two.fused_agrees = false;
  EXPECT_FALSE(asked.agrees());
  EXPECT_NE(report().find("sparse_attention_pto DIFFERS"), std::string::npos);
  asked.same_first = false;
  EXPECT_NE(report().find("first of two DIFFERS"), std::string::npos);
  asked.agreement.mismatches = 1;
  asked.agreement.first_mismatch = "row 5";
  EXPECT_NE(report().find("DISAGREES"), std::string::npos);
  EXPECT_NE(report().find("row 5"), std::string::npos);
}

}  // namespace
}  // namespace tamis::tools::demo::dsa
