#include "tools/tamis/demo/nsa.h"

#include <algorithm>
#include <cstdio>

#include "base/cpu_features.h"
#include "base/errors.h"
#include "tools/tamis/command.h"
#include "tools/tamis/demo/answer.h"
#include "tools/tamis/demo/mass.h"
#include "tools/tamis/demo/report.h"
#include "tools/tamis/progress.h"
#include "tools/tamis/text.h"

namespace tamis::tools::demo {
namespace {

constexpr int64_t kSparseRepeats = 5;  // times are medians

int64_t MostTokens(const Options& options) {
  return options.tokens.value_or(options.quick ? 16384 : 65536);
}

int64_t CountPhrases(const Options& options) { return options.quick ? 6 : 12; }

// What a run gathers; stages fill it in turn.
struct Demo {
  Context context;
  Corpus corpus;
  std::vector<Question> questions;
  Memory memory;
  std::vector<uint16_t> query;  // [questions, kQueryHeads, kKeyDim]
  Step batch;
  std::vector<Timing> timings;
  std::vector<Agreement> agreements;  // per question
  Agreement calls;                    // compression and prefill
  bool same_alone = true;             // a question alone gives the bits of the batch

  int64_t question_count() const { return static_cast<int64_t>(questions.size()); }
};

void PrintHeader(const Demo& demo, const Features& features) {
  std::printf("Native Sparse Attention: compressed attention selects blocks\n\n%s",
              DescribeText(demo.corpus, features).c_str());
  std::printf(
      "model     untrained: hashed character n-grams; q_heads %lld, kv_heads %lld, qk_dim "
      "%lld, v_dim %lld, bf16\n",
      static_cast<long long>(kQueryHeads), static_cast<long long>(kKeyHeads),
      static_cast<long long>(kKeyDim), static_cast<long long>(kValueDim));
  std::printf(
      "sparse    windows of l = %lld tokens every d = %lld; %lld blocks of l' = %lld tokens "
      "selected per kv head\n",
      static_cast<long long>(kWindow), static_cast<long long>(kStride),
      static_cast<long long>(kBlocksPerHead), static_cast<long long>(kBlock));
  std::printf("machine   %s, %s, %d threads\n", base::ProcessorName().c_str(),
              std::string(base::Name(demo.context.level)).c_str(), demo.context.threads);
}

// Keys, values, compression and the whole text's attention.
Status RunText(const Embedding& embedding, Demo* demo, double embed_seconds) {
  Memory& memory = demo->memory;
  Stopwatch embedding_time;
  memory.tokens = demo->corpus.text.size();
  memory.key.resize(static_cast<size_t>(memory.tokens * kKeyHeads * kKeyDim));
  memory.value.resize(static_cast<size_t>(memory.tokens * kKeyHeads * kValueDim));
  embedding.Keys(0, memory.tokens, memory.key.data());
  embedding.Values(0, memory.tokens, memory.value.data());
  embed_seconds += embedding_time.Seconds();

  Measured key, value;
  TAMIS_RETURN_IF_ERROR(Compress(demo->context, &memory, &key, &value, &demo->calls));
  Prefill prefill;
  {
    ProgressLine progress("attention over the whole text");
    const auto update = [&](int64_t done, int64_t total) { progress.Update(done, total); };
    TAMIS_RETURN_IF_ERROR(
        RunPrefill(demo->context, memory, embedding, update, &prefill, &demo->calls));
  }
  const std::string tokens = std::to_string(memory.tokens);
  const std::string windows = std::to_string(memory.windows);
  std::printf("features  hashed in %s\n\n%s", Duration(embed_seconds).c_str(),
              CallTable({{"nsa_compress K", tokens + " x 4 x 192 to " + windows, key},
                         {"nsa_compress V", tokens + " x 4 x 128 to " + windows, value},
                         {"nsa_compress_attention",
                          tokens + " x 64 queries, " + windows + " keys, " +
                              std::to_string(prefill.chunks) + " chunks",
                          prefill.measured}})
                  .c_str());
  std::printf(
      "The float64 reference %s on %lld of the rows; largest error %.2f of what fp32 admits.\n\n",
      demo->calls.ok() ? "agrees" : "DISAGREES", static_cast<long long>(demo->calls.rows),
      demo->calls.max_ratio);
  if (!demo->calls.ok()) std::printf("%s\n\n", demo->calls.first_mismatch.c_str());
  std::fflush(stdout);
  return Status::Ok();
}

// Each question alone, as a decode step would: for the times, and for equal bits.
Status AskAlone(Decoder* decoder, Demo* demo) {
  ProgressLine progress("asking one by one");
  const auto size = static_cast<int64_t>(kQueryHeads * kKeyDim);
  for (int64_t q = 0; q < demo->question_count(); ++q) {
    progress.Update(q, demo->question_count());
    const std::vector<uint16_t> query(demo->query.begin() + q * size,
                                      demo->query.begin() + (q + 1) * size);
    std::vector<double> select, attend, dense;
    Step step;
    for (int64_t repeat = 0; repeat < kSparseRepeats; ++repeat) {
      TAMIS_RETURN_IF_ERROR(decoder->Run(query, 1, &step));
      select.push_back(step.select.seconds);
      attend.push_back(step.attend.seconds);
      dense.push_back(step.dense.seconds);
    }
    demo->timings.push_back({Median(select), Median(attend), Median(dense)});
    demo->same_alone = demo->same_alone && step.SameOutputs(demo->batch, q);
  }
  return Status::Ok();
}

Status Ask(const Embedding& embedding, Demo* demo) {
  const int64_t count = demo->question_count();
  demo->query.resize(static_cast<size_t>(count * kQueryHeads * kKeyDim));
  for (int64_t q = 0; q < count; ++q) {
    const Question& question = demo->questions[static_cast<size_t>(q)];
    embedding.Question(question.text, question.tokens,
                       demo->query.data() + q * kQueryHeads * kKeyDim);
  }
  Decoder decoder(demo->context, demo->memory);
  demo->agreements.resize(demo->questions.size());
  TAMIS_RETURN_IF_ERROR(decoder.Run(demo->query, count, &demo->batch));  // first touch
  {
    ProgressLine progress("comparing with the reference");
    const Check check = {&demo->agreements, 1,
                         [&](int64_t done, int64_t total) { progress.Update(done, total); }};
    TAMIS_RETURN_IF_ERROR(decoder.Run(demo->query, count, &demo->batch, &check));
  }
  return AskAlone(&decoder, demo);
}

void PrintBatch(const Demo& demo) {
  const Step& batch = demo.batch;
  const std::string queries = std::to_string(demo.question_count()) + " x 64 queries, ";
  std::printf("The %lld questions as one batch: sequences whose block tables share pages.\n%s",
              static_cast<long long>(demo.question_count()),
              CallTable({{"select, nsa_compress_attention_infer",
                          queries + std::to_string(demo.memory.windows) + " keys", batch.select},
                         {"attend, nsa_selected_attention_infer",
                          queries + std::to_string(kBlocksPerHead) + " blocks of 64", batch.attend},
                         {"dense, over raw keys",
                          queries + std::to_string(demo.memory.tokens) + " keys", batch.dense}})
                  .c_str());
  std::printf("%s\n\n", demo.same_alone ? "The batch gives the same bits as each question alone."
                                        : "The batch DIFFERS from the questions asked alone.");
}

// Prints the answers; whether enough phrases were found and everything agrees.
bool PrintAnswers(const Demo& demo, const Features& features) {
  const std::vector<double> mass =
      DenseMass(demo.memory, demo.query, demo.question_count(), demo.context.threads);
  std::printf(
      "Questions: compressed attention selects blocks, attention runs over their tokens; "
      "dense beside it.\n\n");
  int64_t found = 0, phrases = 0;
  bool agrees = demo.calls.ok() && demo.same_alone;
  for (int64_t q = 0; q < demo.question_count(); ++q) {
    const auto at = static_cast<size_t>(q);
    const Question& question = demo.questions[at];
    const Answer answer = MakeAnswer(question, q, demo.memory, demo.batch, mass);
    phrases += question.from_text() ? 1 : 0;
    found += question.from_text() && answer.found() ? 1 : 0;
    agrees = agrees && demo.agreements[at].ok();
    std::printf("%s\n", Describe(demo.corpus.text, features, demo.memory, q + 1,
                                 question.from_text() ? 1 : 3,
                                 {question, answer, demo.agreements[at], demo.timings[at]})
                            .c_str());
  }
  PrintBatch(demo);
  if (phrases == 0)
    std::printf("The text has %lld blocks, too few to choose phrases from.\n",
                static_cast<long long>(demo.memory.blocks));
  std::printf("found %lld of %lld phrases of the text; the reference %s\n",
              static_cast<long long>(found), static_cast<long long>(phrases),
              agrees ? "agrees" : "DISAGREES");
  return agrees && static_cast<double>(found) >= kShareToFind * static_cast<double>(phrases);
}

}  // namespace

Result<int> RunNsa(const Options& options, const Context& context) {
  Demo demo;
  demo.context = context;
  TAMIS_RETURN_IF_ERROR(ReadCorpus(
      {.file = options.text, .most_tokens = MostTokens(options), .least_tokens = kWindow},
      &demo.corpus));
  Stopwatch hashing;
  const Features features(demo.corpus.text);
  TAMIS_RETURN_IF_ERROR(ChooseQuestions(options, demo.corpus.text, features,
                                        CountBlocks(CountWindows(demo.corpus.text.size())),
                                        CountPhrases(options), &demo.questions));
  const Embedding embedding(demo.corpus.text, features, demo.context.threads);
  const double hash_seconds = hashing.Seconds();
  PrintHeader(demo, features);
  TAMIS_RETURN_IF_ERROR(RunText(embedding, &demo, hash_seconds));
  if (demo.questions.empty()) {
    std::printf("The text has %lld blocks, too few to choose phrases from: ask with --ask.\n",
                static_cast<long long>(demo.memory.blocks));
    return demo.calls.ok() ? kDone : kComparisonFailed;
  }
  TAMIS_RETURN_IF_ERROR(Ask(embedding, &demo));
  return PrintAnswers(demo, features) ? kDone : kComparisonFailed;
}

}  // namespace tamis::tools::demo
