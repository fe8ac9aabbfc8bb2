#include <gtest/gtest.h>

#include <cmath>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <numeric>
#include <sstream>

#include "base/dtype.h"
#include "tests/support/invented_text.h"
#include "tools/tamis/command.h"
#include "tools/tamis/demo/answer.h"
#include "tools/tamis/demo/excerpt.h"
#include "tools/tamis/demo/mass.h"
#include "tools/tamis/demo/run.h"

namespace tamis::tools::demo {
namespace {

std::vector<std::string> Words(const std::string& bytes) {
  std::vector<std::string> words;
  for (const Token& t : Tokenise(bytes))
    words.push_back(
        bytes.substr(static_cast<size_t>(t.begin), static_cast<size_t>(t.end - t.begin)));
  return words;
}

Text TextOf(const std::string& bytes) {
  Text text;
  AppendBytes("invented", bytes, &text);
  return text;
}

double Dot(std::span<const float> a, std::span<const float> b) {
  return std::inner_product(a.begin(), a.end(), b.begin(), 0.0);
}

// One text through everything.
struct Pipeline {
  explicit Pipeline(const std::string& bytes, int32_t threads = 2)
      : text(TextOf(bytes)), features(text), embedding(text, features, threads) {
    context.threads = threads;
    memory.tokens = text.size();
    memory.key.resize(static_cast<size_t>(memory.tokens * kKeyHeads * kKeyDim));
    memory.value.resize(static_cast<size_t>(memory.tokens * kKeyHeads * kValueDim));
    embedding.Keys(0, memory.tokens, memory.key.data());
    embedding.Values(0, memory.tokens, memory.value.data());
    Measured measured;
    const Status status = Compress(context, &memory, &measured, &measured, &agreement);
    EXPECT_TRUE(status.ok()) << status.message();
  }

  void Ask(const std::vector<Question>& questions) {
    query.resize(questions.size() * kQueryHeads * kKeyDim);
    for (size_t q = 0; q < questions.size(); ++q)
      embedding.Question(questions[q].text, questions[q].tokens,
                         query.data() + q * kQueryHeads * kKeyDim);
    Decoder decoder(context, memory);
    agreements.resize(questions.size());
    const auto count = static_cast<int64_t>(questions.size());
    const Check check = {&agreements, 1};
    const Status status = decoder.Run(query, count, &step, &check);
    EXPECT_TRUE(status.ok()) << status.message();
  }

  Text text;
  Features features;
  Embedding embedding;
  Context context;
  Memory memory;
  Agreement agreement;
  std::vector<uint16_t> query;
  Step step;
  std::vector<Agreement> agreements;
};

// --- text ----------------------------------------------------------------------------------------

TEST(DemoText, WordsNumbersAndRunsOfPunctuationAreTokens) {
  const std::vector<std::string> expected = {"Don't", "copy", "v",    "2.1", ",", "(",
                                             "c",     ")",    "----", "ok",  "."};
  EXPECT_EQ(Words("Don't copy\n v2.1, (c) ----ok."), expected);
}

TEST(DemoText, JointsNeedBothSides) {
  const std::vector<std::string> expected = {"dogs", "'", "3", ".", "x"};
  EXPECT_EQ(Words("dogs' 3. x"), expected);
}

TEST(DemoText, CharactersFromU2000StandAloneAndAccentsBelongToWords) {
  const std::vector<std::string> expected = {"na\xc3\xafve", "\xe6\xb0\xb4", "\xe7\x81\xab",
                                             "\xe2\x80\x94", "x"};
  EXPECT_EQ(Words("na\xc3\xafve \xe6\xb0\xb4\xe7\x81\xab\xe2\x80\x94x"), expected);
}

TEST(DemoText, TokensAndSeparatorsCoverEveryByteInOrder) {
  std::string bytes;
  for (int i = 0; i < 20000; ++i) bytes += static_cast<char>((i * 7919 + i / 251) % 256);
  int64_t at = 0;
  for (const Token& token : Tokenise(bytes)) {
    ASSERT_GE(token.begin, at);
    ASSERT_GT(token.end, token.begin);
    for (; at < token.begin; ++at) {
      const auto skipped = static_cast<unsigned char>(bytes[static_cast<size_t>(at)]);
      ASSERT_TRUE(skipped <= 0x20 || skipped == 0x7f) << "at " << at;
    }
    at = token.end;
  }
  ASSERT_LE(at, static_cast<int64_t>(bytes.size()));
}

TEST(DemoText, OffsetsAreThoseOfTheJoinedText) {
  Text text;
  AppendBytes("one", "alpha beta", &text);
  AppendBytes("empty", " \n", &text);
  AppendBytes("two", "gamma, delta", &text);
  ASSERT_EQ(text.size(), 5);
  EXPECT_EQ(text.TokenText(1), "beta");
  EXPECT_EQ(text.Span(2, 5), "gamma, delta");
  ASSERT_EQ(text.sources.size(), 2u);
  EXPECT_EQ(text.SourceOf(1).title, "one");
  EXPECT_EQ(text.SourceOf(2).title, "two");
}

TEST(DemoText, TruncatingKeepsWholeTokensAndDropsLaterFiles) {
  Text text;
  AppendBytes("one", "alpha beta gamma", &text);
  AppendBytes("two", "delta", &text);
  Truncate(2, &text);
  EXPECT_EQ(text.size(), 2);
  EXPECT_EQ(text.dropped_tokens, 2);
  EXPECT_EQ(text.bytes, "alpha beta");
  ASSERT_EQ(text.sources.size(), 1u);
  EXPECT_EQ(text.sources[0].last, 2);
}

// --- features ------------------------------------------------------------------------------------

TEST(DemoFeatures, HashingIsTheSameEverywhere) {
  std::vector<float> vector(192);
  AddHashed(Grams("Warranty")[0], 1, 2.0f, vector);
  std::vector<size_t> places;
  for (size_t i = 0; i < vector.size(); ++i) {
    if (vector[i] != 0) places.push_back(i);
  }
  EXPECT_EQ(places, (std::vector<size_t>{6, 35, 84, 126}));
  for (size_t place : places) EXPECT_EQ(std::fabs(vector[place]), 1.0f);
}

TEST(DemoFeatures, CaseDoesNotCountAndAWholeTokenIsNoNgram) {
  EXPECT_EQ(Grams("ABC"), Grams("abc"));
  EXPECT_NE(Grams("abc"), Grams("abd"));
  const std::vector<uint64_t> one = Grams("a");  // "<a>" as a token and as its only 3-gram
  ASSERT_EQ(one.size(), 2u);
  EXPECT_NE(one[0], one[1]);
  EXPECT_EQ(Grams("ab").size(), 1u + 2 + 1);  // "<ab>": two 3-grams, one 4-gram
}

TEST(DemoFeatures, RareNgramsWeighMoreAndUnknownOnesNothing) {
  const Features features(TextOf("the the the the zebra the the the"));
  EXPECT_FLOAT_EQ(features.Weight(Grams("the")[0]), std::log1p(8.0f / 7));
  EXPECT_FLOAT_EQ(features.Weight(Grams("zebra")[0]), std::log1p(8.0f));
  EXPECT_EQ(features.Weight(Grams("yak")[0]), 0);
  EXPECT_TRUE(features.Knows("zebras"));  // by "<zeb" and others
  EXPECT_FALSE(features.Knows("yak"));
}

// Accidental likeness of different words must not repeat from head to head.
TEST(DemoFeatures, HeadsHashIndependently) {
  const Text text = TextOf(test::InventedText(4000, 5));
  const Features features(text);
  double ab = 0, aa = 0, bb = 0;
  int pairs = 0;
  for (int64_t t = 0; t + 500 < text.size(); t += 3) {
    const std::vector<uint64_t> one = Grams(text.TokenText(t));
    const std::vector<uint64_t> two = Grams(text.TokenText(t + 500));
    bool share = false;
    for (uint64_t gram : one) share = share || std::find(two.begin(), two.end(), gram) != two.end();
    if (share) continue;
    const auto x = features.Key(t);
    const auto y = features.Key(t + 500);
    const double a = Dot(x.subspan(0, kKeyDim), y.subspan(0, kKeyDim));
    const double b = Dot(x.subspan(kKeyDim, kKeyDim), y.subspan(kKeyDim, kKeyDim));
    ab += a * b;
    aa += a * a;
    bb += b * b;
    ++pairs;
  }
  ASSERT_GT(pairs, 300);
  EXPECT_GT(aa, 0);
  EXPECT_LT(std::fabs(ab) / std::sqrt(aa * bb), 0.2);
}

TEST(DemoEmbedding, KeysHaveMeanSquareLengthOneAndQueriesAFixedLength) {
  const Pipeline run(test::InventedText(3000, 6));
  double square = 0;
  for (uint16_t x : run.memory.key) square += std::pow(base::BFloat16ToFloat(x), 2);
  EXPECT_NEAR(square / static_cast<double>(run.memory.tokens * kKeyHeads), 1, 0.01);
  std::vector<uint16_t> query(kQueryHeads * kKeyDim);
  run.embedding.Queries(100, 1, query.data());
  for (int64_t head = 0; head < kQueryHeads; ++head) {
    int64_t silent = 0;
    for (int64_t c = 0; c < kKeyDim; ++c)
      silent += query[static_cast<size_t>(head * kKeyDim + c)] == 0 ? 1 : 0;
    EXPECT_GE(silent, kKeyDim / 4) << "head " << head;
    EXPECT_LT(silent, kKeyDim / 2) << "head " << head;
  }
  for (int64_t head = 1; head < kQueryHeads; ++head)
    EXPECT_FALSE(std::equal(query.begin(), query.begin() + kKeyDim, query.begin() + head * kKeyDim))
        << "head " << head;
}

TEST(DemoEmbedding, DoesNotDependOnThreads) {
  const std::string bytes = test::InventedText(500, 7);
  EXPECT_EQ(Pipeline(bytes, 1).memory.key, Pipeline(bytes, 3).memory.key);
}

TEST(DemoEmbedding, NothingIsGatheredAcrossFiles) {
  const auto first_key_of_second_file = [](const std::string& first_file) {
    Text text;
    AppendBytes("one", first_file, &text);
    AppendBytes("two", "gamma delta", &text);
    // The same counts of every n-gram in both texts, so that the weights are equal.
    AppendBytes("three", first_file == "alpha beta" ? "beta alpha" : "alpha beta", &text);
    const Features features(text);
    const Embedding embedding(text, features, 1);
    std::vector<uint16_t> query(kQueryHeads * kKeyDim);
    embedding.Queries(2, 1, query.data());
    return query;
  };
  EXPECT_EQ(first_key_of_second_file("alpha beta"), first_key_of_second_file("beta alpha"));
}

// --- questions -----------------------------------------------------------------------------------

TEST(DemoQuestions, PhrasesAreEightWordsFromUnforcedBlocks) {
  const Text text = TextOf(test::InventedText(3000, 8));
  const int64_t blocks = CountBlocks(CountWindows(text.size()));
  const std::vector<Question> questions = PhrasesOfText(text, blocks, 10);
  ASSERT_EQ(questions.size(), 10u);
  for (const Question& question : questions) {
    int64_t words = 0;
    for (const Token& token : question.tokens) words += token.word ? 1 : 0;
    EXPECT_EQ(words, 8);
    EXPECT_EQ(question.text, text.Span(question.first, question.last));
    EXPECT_EQ(static_cast<int64_t>(question.tokens.size()), question.last - question.first);
    EXPECT_GT(question.HomeBlock(), 0);
    EXPECT_LT(question.HomeBlock(), blocks - 2);
  }
}

TEST(DemoQuestions, HomeIsTheBlockThatHoldsMost) {
  Question question;
  question.first = 60;
  question.last = 68;
  EXPECT_EQ(question.HomeBlock(), 0);  // four tokens each
  question.last = 69;
  EXPECT_EQ(question.HomeBlock(), 1);
  question.first = 64;
  EXPECT_EQ(question.HomeBlock(), 1);
}

TEST(DemoQuestions, UnknownWordsAreRefused) {
  const Features features(TextOf("the zebra sleeps"));
  EXPECT_TRUE(CheckKnown("--ask", MakeQuestion("where is the zebra?"), features).ok());
  for (const char* unknown : {"qqq xxx", "", " \n", "..."}) {
    const Status status = CheckKnown("--ask", MakeQuestion(unknown), features);
    EXPECT_EQ(status.code(), StatusCode::kInvalidArgument) << unknown;
    EXPECT_EQ(status.message().rfind("--ask: expected words", 0), 0u) << status.message();
  }
}

TEST(DemoExcerpt, ShowsTheBestStretchWithinTheColumns) {
  const Text text = TextOf("one two three four five six seven the red zebra sleeps here now");
  const Features features(text);
  const std::string line = Excerpt(text, features, MakeQuestion("red ZEBRA"), 0, text.size(), 24);
  EXPECT_NE(line.find("[red zebra]"), std::string::npos) << line;
  EXPECT_LE(Columns(line), 24);
}

TEST(DemoExcerpt, ControlCharactersDoNotReachTheTerminal) {
  EXPECT_EQ(OnOneLine("a\x1b[31m\n\tb \xff \xc2\x9b \xc3\xa9"), "a [31m b ? ?? \xc3\xa9");
}

// --- retrieval -----------------------------------------------------------------------------------

TEST(DemoRetrieval, FindsThePassagesThatPhrasesComeFrom) {
  Pipeline run(test::InventedText(6000, 9));
  EXPECT_TRUE(run.agreement.ok()) << run.agreement.first_mismatch;
  const std::vector<Question> questions = PhrasesOfText(run.text, run.memory.blocks, 8);
  ASSERT_EQ(questions.size(), 8u);
  run.Ask(questions);
  const std::vector<double> mass = DenseMass(run.memory, run.query, 8, 2);
  int64_t by_accident = 0;
  for (int64_t q = 0; q < 8; ++q) {
    const auto at = static_cast<size_t>(q);
    const Answer answer = MakeAnswer(questions[at], q, run.memory, run.step, mass);
    EXPECT_TRUE(answer.found()) << questions[at].text;
    EXPECT_EQ(answer.blocks_per_head, kBlocksPerHead);
    EXPECT_EQ(answer.forced_blocks, 3);
    EXPECT_TRUE(run.agreements[at].ok()) << run.agreements[at].first_mismatch;
    EXPECT_GT(answer.selected_mass, 0.3) << questions[at].text;
    const Question& other = questions[(at + 4) % 8];
    by_accident += MakeAnswer(other, q, run.memory, run.step, mass).found() ? 1 : 0;
  }
  // 13 of 94 blocks are selected by score: a home that was not asked for is met now and then.
  EXPECT_LE(by_accident, 2);
}

TEST(DemoRetrieval, ABatchGivesTheBitsOfEachQuestionAlone) {
  Pipeline run(test::InventedText(3000, 10));
  const std::vector<Question> questions = PhrasesOfText(run.text, run.memory.blocks, 3);
  run.Ask(questions);
  Decoder decoder(run.context, run.memory);
  const std::vector<uint16_t> second(run.query.begin() + kQueryHeads * kKeyDim,
                                     run.query.begin() + 2 * kQueryHeads * kKeyDim);
  Step alone;
  ASSERT_TRUE(decoder.Run(second, 1, &alone).ok());
  EXPECT_TRUE(alone.SameOutputs(run.step, 1));
  EXPECT_FALSE(alone.SameOutputs(run.step, 2));
}

TEST(DemoRetrieval, WhereEveryBlockIsSelectedSparseIsDense) {
  Pipeline run(test::InventedText(700, 11));  // at most 11 blocks of 64, the last one partly filled
  ASSERT_NE(run.memory.tokens % kBlock, 0);
  const std::vector<Question> questions = {MakeQuestion("ba de fi")};
  run.Ask(questions);
  const std::vector<double> mass = DenseMass(run.memory, run.query, 1, 1);
  const Answer answer = MakeAnswer(questions[0], 0, run.memory, run.step, mass);
  EXPECT_EQ(answer.blocks_per_head, run.memory.blocks);
  // Fewer than 16 tokens, which no window reaches, may be missing.
  EXPECT_GT(answer.selected_mass, 0.9);
  EXPECT_GT(answer.cosine, 0.999);
  EXPECT_TRUE(run.agreements[0].ok()) << run.agreements[0].first_mismatch;
}

TEST(DemoRetrieval, DenseMassIsThatOfASoftmax) {
  const Pipeline run(test::InventedText(150, 12));
  std::vector<uint16_t> query(kQueryHeads * kKeyDim);
  run.embedding.Queries(run.memory.tokens - 1, 1, query.data());
  const std::vector<double> mass = DenseMass(run.memory, query, 1, 1);
  const int64_t blocks = (run.memory.tokens + kBlock - 1) / kBlock;
  ASSERT_EQ(static_cast<int64_t>(mass.size()), kKeyHeads * blocks);
  const int64_t group = 2;
  std::vector<double> expected(static_cast<size_t>(blocks));
  for (int64_t head = group * kGroup; head < (group + 1) * kGroup; ++head) {
    std::vector<double> weights;
    for (int64_t t = 0; t < run.memory.tokens; ++t) {
      double dot = 0;
      for (int64_t c = 0; c < kKeyDim; ++c) {
        const auto key = static_cast<size_t>((t * kKeyHeads + group) * kKeyDim + c);
        dot += static_cast<double>(
                   base::BFloat16ToFloat(query[static_cast<size_t>(head * kKeyDim + c)])) *
               base::BFloat16ToFloat(run.memory.key[key]);
      }
      weights.push_back(std::exp(dot * ScaleValue()));
    }
    const double sum = std::accumulate(weights.begin(), weights.end(), 0.0);
    for (size_t t = 0; t < weights.size(); ++t) expected[t / kBlock] += weights[t] / sum / kGroup;
  }
  for (int64_t block = 0; block < blocks; ++block)
    EXPECT_NEAR(mass[static_cast<size_t>(group * blocks + block)],
                expected[static_cast<size_t>(block)], 1e-12);
}

// --- the command ---------------------------------------------------------------------------------

struct Outcome {
  Result<int> code;
  std::string out;
};

Outcome RunCommand(const Options& options) {
  testing::internal::CaptureStdout();
  Result<int> code = Run(options);
  return {std::move(code), testing::internal::GetCapturedStdout()};
}

class DemoCommand : public testing::Test {
 protected:
  std::string Write(const std::string& name, const std::string& bytes) {
    const std::string path = (folder_ / name).string();
    std::ofstream(path, std::ios::binary) << bytes;
    return path;
  }
  void ExpectRefused(const Options& options, const std::string& message) {
    const Outcome outcome = RunCommand(options);
    ASSERT_FALSE(outcome.code.ok());
    EXPECT_NE(outcome.code.status().message().find(message), std::string::npos)
        << outcome.code.status().message();
    EXPECT_EQ(outcome.out, "");
  }
  void SetUp() override { std::filesystem::create_directories(folder_); }
  void TearDown() override { std::filesystem::remove_all(folder_); }

  const std::filesystem::path folder_ =
      std::filesystem::temp_directory_path() /
      ("tamis_demo_" + std::string(testing::UnitTest::GetInstance()->current_test_info()->name()));
};

TEST_F(DemoCommand, FindsItsPhrasesAndAnswersQuestions) {
  const std::string bytes = test::InventedText(4000, 13);
  const Text text = TextOf(bytes);
  const std::string asked = OnOneLine(text.Span(1000, 1006));
  const Outcome outcome =
      RunCommand({.text = Write("invented.txt", bytes), .asks = {asked}, .quick = true});
  ASSERT_TRUE(outcome.code.ok()) << outcome.code.status().message();
  EXPECT_EQ(*outcome.code, kDone) << outcome.out;
  for (const char* line : {"found 6 of 6 phrases", "found 5 of 5 phrases", "reference agrees",
                           "sparse_attention_pto, these four"})
    EXPECT_NE(outcome.out.find(line), std::string::npos) << line << "\n" << outcome.out;
  EXPECT_NE(outcome.out.find("\"" + asked + "\"\n    asked by you"), std::string::npos)
      << outcome.out;
  std::istringstream lines(outcome.out);
  for (std::string line; std::getline(lines, line);) EXPECT_LE(Columns(line), 100) << line;
}

TEST_F(DemoCommand, TakesATextTooShortForPhrases) {
  const Outcome outcome = RunCommand({.text = Write("short", test::InventedText(100, 14))});
  ASSERT_TRUE(outcome.code.ok()) << outcome.code.status().message();
  EXPECT_EQ(*outcome.code, kDone);
  EXPECT_NE(outcome.out.find("too few to choose phrases from"), std::string::npos) << outcome.out;
  EXPECT_NE(outcome.out.find("no phrases of it are asked"), std::string::npos) << outcome.out;
}

TEST_F(DemoCommand, TakesATextOfOneWindow) {
  std::string bytes;
  for (int i = 0; i < 32; ++i) bytes += "word" + std::to_string(i % 5) + "\n";
  const Outcome outcome =
      RunCommand({.text = Write("window", bytes), .asks = {"word3"}, .tokens = 32});
  ASSERT_TRUE(outcome.code.ok()) << outcome.code.status().message();
  EXPECT_EQ(*outcome.code, kDone) << outcome.out;
}

TEST_F(DemoCommand, ReadsEachRealFileOfAFolderOnceByName) {
  const std::string second = Write("b", "x");
  const std::string first = Write("a", "x");
  std::filesystem::create_symlink(second, folder_ / "c");
  std::filesystem::create_directory(folder_ / "d");
  EXPECT_EQ(RegularFiles(folder_.string()), (std::vector<std::string>{first, second}));
  EXPECT_TRUE(RegularFiles((folder_ / "missing").string()).empty());
}

TEST_F(DemoCommand, RefusesWhatIsNoText) {
  ExpectRefused({.text = (folder_ / "missing").string()}, "No such file");
  ExpectRefused({.text = folder_.string()}, "a directory");
  ExpectRefused({.text = Write("empty", "")}, "an empty file");
  ExpectRefused({.text = "/dev/zero"}, "at most");
  ExpectRefused({.text = Write("nul", std::string("abc\0def", 7))}, "NUL bytes");
  ExpectRefused({.text = Write("control", "a\x01\x02\x03\x04\x05")}, "control characters");
  ExpectRefused({.text = Write("spaces", std::string(500, ' '))}, "32 tokens");
  ExpectRefused({.text = Write("short", "only five words in it")}, "got 5");
}

TEST_F(DemoCommand, RefusesQuestionsAndLimitsThatCannotBe) {
  const std::string path = Write("text", test::InventedText(500, 15));
  ExpectRefused({.text = path, .asks = {"qqq xxx"}}, "--ask: expected words");
  ExpectRefused({.text = path, .asks = {""}}, "--ask: expected words");
  ExpectRefused({.text = path, .tokens = 31}, "--tokens: expected at least");
  ExpectRefused({.text = path, .context = {.level = "none"}}, "--level");
  ExpectRefused({.text = path, .context = {.threads = -1}}, "threads");
}

}  // namespace
}  // namespace tamis::tools::demo
