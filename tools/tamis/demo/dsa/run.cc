#include "tools/tamis/demo/dsa/run.h"

#include <algorithm>
#include <cstdio>

#include "base/cpu_features.h"
#include "base/errors.h"
#include "tools/tamis/command.h"
#include "tools/tamis/demo/dsa/report.h"
#include "tools/tamis/demo/report.h"
#include "tools/tamis/progress.h"
#include "tools/tamis/text.h"

namespace tamis::tools::demo::dsa {
namespace {

constexpr int64_t kNewTokens = 2;
constexpr int64_t kRepeats = 3;                // times are medians
constexpr int64_t kMostTokensChecked = 16384;  // by the reference's dense attention

// Text and new tokens fill 128K positions.
int64_t MostTokens(const Options& options) {
  return options.tokens.value_or(options.quick ? 16384 : 131072 - kNewTokens);
}

// Where all tokens are selected, there is nothing to find.
int64_t CountPhrases(const Options& options, int64_t tokens) {
  return tokens <= kTop ? 0 : options.quick ? 5 : 10;
}

// What a run gathers; stages fill it in turn.
struct Demo {
  Context context;
  Corpus corpus;
  std::vector<Asked> asked;
  Agreement fill;

  int64_t tokens() const { return corpus.text.size(); }
};

void PrintHeader(const Demo& demo, const Vocabulary& vocabulary, const Weights& weights,
                 const Caches& caches, double weights_seconds) {
  std::printf("\n\nDeepSeek sparse attention: an indexer selects tokens\n\n%s",
              DescribeText(demo.corpus, vocabulary).c_str());
  std::printf(
      "model     untrained: one layer of DeepSeek-V3.2, hidden %lld, q_heads %lld, latent %lld + "
      "%lld,\n          %lld index heads of %lld, bf16; weights of %s made in %s\n",
      static_cast<long long>(kHidden), static_cast<long long>(kHeads),
      static_cast<long long>(kLatent), static_cast<long long>(kRope),
      static_cast<long long>(kIndexHeads), static_cast<long long>(kIndexDim),
      Bytes(static_cast<double>(weights.bytes())).c_str(), Duration(weights_seconds).c_str());
  std::printf("sparse    the %lld best tokens of each query token; caches in pages of %lld, %s\n",
              static_cast<long long>(kTop), static_cast<long long>(kPage),
              Bytes(static_cast<double>(caches.bytes())).c_str());
}

Status RunFill(const HiddenStates& hidden, const Weights& weights, Caches* caches, Demo* demo) {
  Fill fill;
  {
    ProgressLine progress("filling the caches");
    const auto update = [&](int64_t done, int64_t total) { progress.Update(done, total); };
    TAMIS_RETURN_IF_ERROR(FillCaches(demo->context, weights, hidden, demo->tokens(), update, caches,
                                     &fill, &demo->fill));
  }
  const std::string size = std::to_string(demo->tokens()) + " tokens, " +
                           std::to_string(fill.chunks) + " chunks, cache rows only";
  std::printf(
      "features  hashed in %s\n\n%s", Duration(fill.hidden_seconds).c_str(),
      CallTable({{"mla_prolog", size, fill.mla}, {"indexer_prolog", size, fill.index}}).c_str());
  std::printf(
      "The float64 reference %s on %lld of the rows; largest error %.2f of what fp32 admits.\n\n",
      demo->fill.ok() ? "agrees" : "DISAGREES", static_cast<long long>(demo->fill.rows),
      demo->fill.max_ratio);
  if (!demo->fill.ok()) std::printf("%s\n\n", demo->fill.first_mismatch.c_str());
  std::fflush(stdout);
  return Status::Ok();
}

// Runs one step several times; *step has the outputs of the last and the medians of the times.
Status RunStep(Decoder* decoder, const std::vector<uint16_t>& x, int64_t tokens, const Check* check,
               Step* step) {
  std::vector<Times> runs;
  for (int64_t repeat = 0; repeat < kRepeats; ++repeat) {
    TAMIS_RETURN_IF_ERROR(decoder->Run(x, tokens, step));
    runs.push_back(step->times);
  }
  if (check != nullptr) TAMIS_RETURN_IF_ERROR(decoder->Run(x, tokens, step, check));
  for (Measured Times::*stage :
       {&Times::mla, &Times::index, &Times::select, &Times::attend, &Times::fused, &Times::dense}) {
    std::vector<double> seconds(runs.size());
    std::transform(runs.begin(), runs.end(), seconds.begin(),
                   [&](const Times& run) { return (run.*stage).seconds; });
    (step->times.*stage).seconds = Median(std::move(seconds));
  }
  return Status::Ok();
}

// With `check`, the reference computes the two tokens; the one token must give the same bits.
Status AskOne(Decoder* decoder, const HiddenStates& hidden, const Text& text, const Check* check,
              Asked* asked) {
  std::vector<uint16_t> x(kNewTokens * kHidden);
  hidden.OfQuestion(asked->question, 1, x.data());
  TAMIS_RETURN_IF_ERROR(RunStep(decoder, x, 1, nullptr, &asked->one));
  hidden.OfQuestion(asked->question, kNewTokens, x.data());
  TAMIS_RETURN_IF_ERROR(RunStep(decoder, x, kNewTokens, check, &asked->two));
  asked->same_first = asked->one.SameFirst(asked->two);
  asked->selection = Examine(text, asked->question, asked->one.selected.data(), 1);
  asked->second = Examine(text, asked->question, asked->two.selected.data() + kTop, kNewTokens);
  asked->mass = DenseMass(asked->one, 0);
  asked->second_mass = DenseMass(asked->two, 1);
  asked->cosine = MeanCosine(asked->one, 0);
  return Status::Ok();
}

Status Ask(const HiddenStates& hidden, const Weights& weights, Caches* caches, Demo* demo) {
  Decoder decoder(demo->context, weights, demo->tokens(), caches);
  ProgressLine progress("asking");
  const auto count = static_cast<int64_t>(demo->asked.size());
  for (int64_t q = 0; q < count; ++q) {
    progress.Update(q, count);
    Asked& asked = demo->asked[static_cast<size_t>(q)];
    asked.checked = q == 0;
    const Check check = {demo->tokens() <= kMostTokensChecked, &asked.agreement};
    TAMIS_RETURN_IF_ERROR(
        AskOne(&decoder, hidden, demo->corpus.text, asked.checked ? &check : nullptr, &asked));
  }
  return Status::Ok();
}

// Prints the answers; whether enough phrases were found and everything agrees.
bool PrintAnswers(const Demo& demo, const Vocabulary& vocabulary) {
  std::printf(
      "Questions: the indexer selects tokens, attention runs over them; dense attention beside "
      "it.\n\n");
  int64_t found = 0, phrases = 0, number = 0;
  bool agrees = demo.fill.ok();
  for (const Asked& asked : demo.asked) {
    const bool from_text = asked.question.from_text();
    phrases += from_text ? 1 : 0;
    found += from_text && asked.selection.found() ? 1 : 0;
    agrees = agrees && asked.agrees();
    std::printf("%s\n",
                Describe(demo.corpus.text, vocabulary, ++number, from_text ? 1 : 3, asked).c_str());
  }
  std::printf("%s\n", StageTable(demo.asked).c_str());
  std::printf("found %lld of %lld phrases of the text; the reference %s\n",
              static_cast<long long>(found), static_cast<long long>(phrases),
              agrees ? "agrees" : "DISAGREES");
  return agrees && static_cast<double>(found) >= kShareToFind * static_cast<double>(phrases);
}

}  // namespace

Result<int> Run(const Options& options, const Context& context) {
  Demo demo;
  demo.context = context;
  TAMIS_RETURN_IF_ERROR(ReadCorpus({.file = options.text,
                                    .headers = true,
                                    .most_tokens = MostTokens(options),
                                    .least_tokens = 1},
                                   &demo.corpus));
  const Vocabulary vocabulary(demo.corpus.text);
  std::vector<Question> questions;
  // Phrases from anywhere but the first block.
  TAMIS_RETURN_IF_ERROR(ChooseQuestions(options, demo.corpus.text, vocabulary, demo.tokens(),
                                        CountPhrases(options, demo.tokens()), &questions));
  for (Question& question : questions) {
    demo.asked.emplace_back();
    demo.asked.back().question = std::move(question);
  }
  const HiddenStates hidden(demo.corpus.text, vocabulary, context.threads);
  Stopwatch making;
  Weights weights;
  TAMIS_RETURN_IF_ERROR(MakeWeights(context, &weights));
  const double weights_seconds = making.Seconds();
  Caches caches(demo.tokens() + kNewTokens);
  PrintHeader(demo, vocabulary, weights, caches, weights_seconds);
  TAMIS_RETURN_IF_ERROR(RunFill(hidden, weights, &caches, &demo));
  if (demo.asked.empty()) {
    std::printf(
        "The text has %lld tokens, all of which would be selected: no phrases of it are asked.\n",
        static_cast<long long>(demo.tokens()));
    return demo.fill.ok() ? kDone : kComparisonFailed;
  }
  TAMIS_RETURN_IF_ERROR(Ask(hidden, weights, &caches, &demo));
  return PrintAnswers(demo, vocabulary) ? kDone : kComparisonFailed;
}

}  // namespace tamis::tools::demo::dsa
