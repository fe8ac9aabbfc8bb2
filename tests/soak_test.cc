// A long decode: sequences that grow a token a step over a paged cache, are evicted and leave their
// pages to others. TAMIS_SOAK_STEPS says how many steps; ./dev test --soak takes 100000.
#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <memory>
#include <string>
#include <vector>

#include "tests/support/allocations.h"
#include "tests/support/composition.h"
#include "tests/support/test_call.h"

namespace tamis::test {
namespace {

constexpr int64_t kBatch = 3;
constexpr int64_t kPage = 8;
constexpr int64_t kMostTokens = 120;
constexpr int64_t kMaxPages = kMostTokens / kPage;
constexpr int64_t kPages = kBatch * kMaxPages * 2 / 3;  // fewer than all sequences at their longest
constexpr int64_t kHidden = 32, kQueryRank = 24, kHeads = 4, kNope = 8, kLatent = 16, kRope = 8;
constexpr int64_t kIndexHeads = 3, kIndexDim = 12, kCount = 24;

int64_t Steps() {
  const char* const text = std::getenv("TAMIS_SOAK_STEPS");
  return text == nullptr ? 1500 : std::atoll(text);
}

// The address sanitizer holds 256 MB of freed blocks back: what is resident then is its own, and
// only blocks are counted.
#if defined(__SANITIZE_ADDRESS__)
constexpr bool kResidentIsOurs = false;
#else
constexpr bool kResidentIsOurs = true;
#endif

int64_t ResidentBytes() {
  std::ifstream file("/proc/self/statm");
  int64_t all = 0, resident = 0;
  file >> all >> resident;
  return resident * sysconf(_SC_PAGESIZE);
}

// The pages that each sequence has, and those that none has.
class PageTable {
 public:
  explicit PageTable(Random* random) : table(kBatch * kMaxPages, -1), lengths(kBatch, 0) {
    for (int64_t page = 0; page < kPages; ++page) free_.push_back(page);
    random->Shuffle(&free_);
  }

  /// A token more for the sequence; false where no page is free.
  bool Grow(int64_t b) {
    int32_t* const row = table.data() + b * kMaxPages;
    const int64_t at = lengths[static_cast<size_t>(b)];
    if (at % kPage == 0) {
      if (free_.empty()) return false;
      row[at / kPage] = static_cast<int32_t>(free_.back());
      free_.pop_back();
    }
    ++lengths[static_cast<size_t>(b)];
    return true;
  }

  void Evict(int64_t b) {
    int32_t* const row = table.data() + b * kMaxPages;
    for (int64_t i = 0; i < kMaxPages; ++i) {
      if (row[i] >= 0) free_.push_back(row[i]);
      row[i] = -1;
    }
    lengths[static_cast<size_t>(b)] = 0;
    ++evictions;
  }

  int64_t Longest() const {
    return std::max_element(lengths.begin(), lengths.end()) - lengths.begin();
  }

  int64_t SlotOf(int64_t b, int64_t position) const {
    return table[static_cast<size_t>(b * kMaxPages + position / kPage)] * kPage + position % kPage;
  }

  std::vector<int32_t> table;
  std::vector<int32_t> lengths;
  int64_t evictions = 0;

 private:
  std::vector<int64_t> free_;
};

// The layer, its caches, and what each live sequence has written, kept beside the pages.
class Decoder {
 public:
  explicit Decoder(uint64_t seed)
      : random_(seed),
        pages_(&random_),
        slots_(kBatch),
        x_(DType::kBFloat16, {kBatch, 1, kHidden}),
        sin_(DType::kBFloat16, {kBatch, 1, kRope}),
        cos_(DType::kBFloat16, {kBatch, 1, kRope}),
        kv_(DType::kBFloat16, {kPages, kPage, 1, kLatent}),
        kr_(DType::kBFloat16, {kPages, kPage, 1, kRope}),
        index_k_(DType::kBFloat16, {kPages, kPage, 1, kIndexDim}),
        indices_(DType::kInt32, {kBatch, 1, 1, kCount}),
        out_(DType::kBFloat16, {kBatch, 1, kHeads, kLatent}) {
    p_.w_dq = Weight({kHidden, kQueryRank});
    p_.w_uq_qr = Weight({kQueryRank, kHeads * (kNope + kRope)});
    p_.w_uk = Weight({kHeads, kNope, kLatent});
    p_.w_dkv_kr = Weight({kHidden, kLatent + kRope});
    p_.gamma_cq = Weight({kQueryRank});
    p_.gamma_ckv = Weight({kLatent});
    p_.w_idx_qb = Weight({kQueryRank, kIndexHeads * kIndexDim});
    p_.w_idx_k = Weight({kHidden, kIndexDim});
    p_.w_idx_proj = Weight({kHidden, kIndexHeads});
    p_.in_gamma_k = Weight({kIndexDim});
    p_.in_beta_k = Weight({kIndexDim});
    p_.x = x_.view;
    p_.sin = sin_.view;
    p_.cos = cos_.view;
    p_.cache_index = {slots_.data(), DType::kInt64, {kBatch, 1}};
    p_.kv_cache = kv_.view;
    p_.kr_cache = kr_.view;
    p_.index_k_cache = index_k_.view;
    p_.block_table = {pages_.table.data(), DType::kInt32, {kBatch, kMaxPages}};
    p_.act_seqs = {pages_.lengths.data(), DType::kInt32, {kBatch}};
    p_.sparse_count = kCount;
    p_.scale_value = 0.2;
    p_.out = out_.view;
    p_.sparse_indices = indices_.view;
    for (Held* cache : {&kv_, &kr_, &index_k_})  // nobody may read what nobody has written
      std::fill(cache->memory.begin(), cache->memory.end(), 0xFF);
  }

  /// The next token of every sequence: where it goes, and its hidden state.
  void Prepare() {
    for (int64_t b = 0; b < kBatch; ++b) {
      const bool ends =
          pages_.lengths[static_cast<size_t>(b)] == kMostTokens || random_.Below(200) == 0;
      if (ends) pages_.Evict(b);
      while (!pages_.Grow(b))
        pages_.Evict(pages_.Longest());  // frees a third of all pages at least
    }
    // A sequence that made room for a later one has its first token again.
    for (int64_t b = 0; b < kBatch; ++b) {
      if (pages_.lengths[static_cast<size_t>(b)] == 0) (void)pages_.Grow(b);
      slots_[static_cast<size_t>(b)] = pages_.SlotOf(b, pages_.lengths[static_cast<size_t>(b)] - 1);
    }
    for (Held* held : {&x_, &sin_, &cos_}) Draw(held, 1);
  }

  Status Run() { return sparse_attention_pto::run(p_, {.threads = 2}); }

  /// Rows that the step wrote, beside those that the sequences have written before.
  void Remember() {
    for (int64_t b = 0; b < kBatch; ++b) {
      const int64_t at = pages_.lengths[static_cast<size_t>(b)] - 1;
      std::vector<unsigned char>& rows = written_[b];
      rows.resize(static_cast<size_t>(at * RowBytes()));
      for (const Held* cache : {&kv_, &kr_, &index_k_}) {
        const int64_t bytes = cache->view.shape[3] * 2;
        const auto* row = cache->memory.data() + slots_[static_cast<size_t>(b)] * bytes;
        rows.insert(rows.end(), row, row + bytes);
      }
    }
  }

  /// The pages of every sequence hold what it has written, and nothing else does.
  bool PagesHoldWhatWasWritten() const {
    for (int64_t b = 0; b < kBatch; ++b) {
      const unsigned char* expected = written_[b].data();
      for (int64_t t = 0; t < pages_.lengths[static_cast<size_t>(b)]; ++t) {
        for (const Held* cache : {&kv_, &kr_, &index_k_}) {
          const int64_t bytes = cache->view.shape[3] * 2;
          if (!std::equal(expected, expected + bytes,
                          cache->memory.data() + pages_.SlotOf(b, t) * bytes))
            return false;
          expected += bytes;
        }
      }
    }
    return true;
  }

  const sparse_attention_pto::Params& params() const { return p_; }
  const Held& out() const { return out_; }
  const Held& indices() const { return indices_; }
  int64_t evictions() const { return pages_.evictions; }

 private:
  static int64_t RowBytes() { return 2 * (kLatent + kRope + kIndexDim); }

  void Draw(Held* held, double scale) {
    const int64_t elems = DenseBytes(held->view) / 2;
    for (int64_t i = 0; i < elems; ++i)
      base::StoreDouble(held->view.data, DType::kBFloat16, i, scale * random_.Normal());
  }

  TensorView Weight(const std::vector<int64_t>& shape) {
    weights_.push_back(std::make_unique<Held>(DType::kBFloat16, shape));
    Draw(weights_.back().get(), shape.size() > 1 ? 0.25 : 1);
    return weights_.back()->view;
  }

  Random random_;
  PageTable pages_;
  std::vector<int64_t> slots_;
  std::vector<std::unique_ptr<Held>> weights_;
  Held x_, sin_, cos_, kv_, kr_, index_k_, indices_, out_;
  std::vector<unsigned char> written_[kBatch];
  sparse_attention_pto::Params p_;
};

// On its own: nothing of an operator's is compared with itself. Each of the four operators is held
// against its float64 reference, and the fused one against the four, bit for bit.
void ExpectStepIsRight(Decoder* decoder, int64_t step) {
  const Composed composed(decoder->params(), {.threads = 1}, Composed::Judged::kByTheReference);
  ASSERT_TRUE(decoder->Run().ok());
  EXPECT_TRUE(composed.status.ok()) << step << ": " << composed.status.message();
  EXPECT_TRUE(SameElements(composed.out.view, decoder->out().view)) << step;
  EXPECT_TRUE(SameElements(composed.indices.view, decoder->indices().view)) << step;
  EXPECT_TRUE(SameElements(composed.kv.view, decoder->params().kv_cache)) << step;
}

TEST(Soak, DecodingOverReusedPagesStaysRightAndTakesNoMemory) {
  const int64_t steps = Steps();
  constexpr int64_t kEvery = 50;
  Decoder decoder(1);
  int64_t live = 0;
  int64_t resident = 0;
  for (int64_t step = 0; step < steps && !HasFailure(); ++step) {
    decoder.Prepare();
    if (step % kEvery == kEvery - 1) {
      ExpectStepIsRight(&decoder, step);
    } else {
      const Status status = decoder.Run();
      ASSERT_TRUE(status.ok()) << step << ": " << status.message();
    }
    decoder.Remember();
    if (step % kEvery != kEvery - 1) continue;
    EXPECT_TRUE(decoder.PagesHoldWhatWasWritten()) << step;
    // The first samples warm up what is made once and what grows to the longest sequence.
    if (step < steps / 4) {
      live = LiveAllocations();
      resident = ResidentBytes();
    }
  }
  EXPECT_LE(LiveAllocations(), live) << "blocks were lost";
  if (kResidentIsOurs) {
    EXPECT_LT(ResidentBytes() - resident, int64_t{4} << 20) << "memory grows";
  }
  EXPECT_GT(decoder.evictions(), steps / 200);
  RecordProperty("steps", std::to_string(steps));
  RecordProperty("evictions", std::to_string(decoder.evictions()));
  std::printf(
      "%lld steps, %lld evictions, %lld steps against the reference, %lld KiB more at the end\n",
      static_cast<long long>(steps), static_cast<long long>(decoder.evictions()),
      static_cast<long long>(steps / kEvery),
      static_cast<long long>((ResidentBytes() - resident) / 1024));
}

}  // namespace
}  // namespace tamis::test
