#include "tools/tamis/demo/decode.h"

#include <algorithm>
#include <cstring>
#include <numeric>

#include "base/errors.h"
#include "tools/tamis/demo/random.h"

namespace tamis::tools::demo {
namespace {

constexpr DType kType = DType::kBFloat16;
constexpr uint16_t kNan = 0x7fc0;
constexpr int64_t kCompressedPageRows = 128;
constexpr int64_t kSparePages = 3;

PagedCache MakeCache(int64_t logical_pages, int64_t page_rows, int64_t key_row, int64_t value_row) {
  PagedCache cache;
  cache.page_rows = page_rows;
  cache.pages = logical_pages + kSparePages;
  cache.key.assign(static_cast<size_t>(cache.pages * page_rows * key_row), kNan);
  cache.value.assign(static_cast<size_t>(cache.pages * page_rows * value_row), kNan);
  cache.page_of = DealPages(logical_pages, kSparePages);
  return cache;
}

int64_t CeilDiv(int64_t a, int64_t b) { return (a + b - 1) / b; }

PagedCache PageCompressed(const Memory& memory) {
  constexpr int64_t kKeyRow = kKeyHeads * kKeyDim;
  constexpr int64_t kValueRow = kKeyHeads * kValueDim;
  PagedCache cache = MakeCache(CeilDiv(memory.windows, kCompressedPageRows), kCompressedPageRows,
                               kKeyRow, kValueRow);
  for (int64_t i = 0; i < memory.windows; ++i) {
    const int64_t page = cache.page_of[static_cast<size_t>(i / kCompressedPageRows)];
    const int64_t row = page * kCompressedPageRows + i % kCompressedPageRows;
    std::copy_n(memory.compressed_key.begin() + i * kKeyRow, kKeyRow,
                cache.key.begin() + row * kKeyRow);
    std::copy_n(memory.compressed_value.begin() + i * kValueRow, kValueRow,
                cache.value.begin() + row * kValueRow);
  }
  return cache;
}

PagedCache PageRaw(const Memory& memory) {
  PagedCache cache =
      MakeCache(CeilDiv(memory.tokens, kBlock) * kKeyHeads, kBlock, kKeyDim, kValueDim);
  for (int64_t t = 0; t < memory.tokens; ++t) {
    for (int64_t head = 0; head < kKeyHeads; ++head) {
      const int64_t page = cache.page_of[static_cast<size_t>(t / kBlock * kKeyHeads + head)];
      const int64_t row = page * kBlock + t % kBlock;
      std::copy_n(memory.key.begin() + (t * kKeyHeads + head) * kKeyDim, kKeyDim,
                  cache.key.begin() + row * kKeyDim);
      std::copy_n(memory.value.begin() + (t * kKeyHeads + head) * kValueDim, kValueDim,
                  cache.value.begin() + row * kValueDim);
    }
  }
  return cache;
}

std::vector<int64_t> FirstRows(int64_t count) {
  std::vector<int64_t> rows(static_cast<size_t>(count));
  std::iota(rows.begin(), rows.end(), int64_t{0});
  return rows;
}

// One entry per question: the reference is asked for `rows_per_question` consecutive rows.
Status CompareQuestions(const nsa_compress_attention_infer::Params& params, int64_t questions,
                        int64_t rows_per_question, int32_t threads, const Check& check) {
  for (int64_t q = 0; q < questions; ++q) {
    if (check.progress) check.progress(q, questions);
    std::vector<int64_t> rows = FirstRows(rows_per_question);
    for (int64_t& row : rows) row += q * rows_per_question;
    TAMIS_RETURN_IF_ERROR(CompareRows("nsa_compress_attention_infer", &params, rows, threads,
                                      &(*check.agreements)[static_cast<size_t>(q)]));
  }
  return Status::Ok();
}

template <class T>
bool SameRow(const std::vector<T>& one, const std::vector<T>& all, int64_t row) {
  return std::memcmp(one.data(), all.data() + static_cast<size_t>(row) * one.size(),
                     one.size() * sizeof(T)) == 0;
}

}  // namespace

bool Step::SameOutputs(const Step& other, int64_t question) const {
  return SameRow(compressed_out, other.compressed_out, question) &&
         SameRow(selected, other.selected, question) &&
         SameRow(sparse_out, other.sparse_out, question) &&
         SameRow(dense_out, other.dense_out, question);
}

Decoder::Decoder(const Context& context, const Memory& memory)
    : context_(context),
      tokens_(memory.tokens),
      windows_(memory.windows),
      compressed_(PageCompressed(memory)),
      raw_(PageRaw(memory)) {}

Status Decoder::Select(const std::vector<uint16_t>& query, int64_t questions, Step* step,
                       const Check* check) {
  const auto pages = static_cast<int64_t>(compressed_.page_of.size());
  // Every question is a sequence of its own; their rows of the table name the same pages.
  std::vector<int32_t> table;
  for (int64_t q = 0; q < questions; ++q)
    table.insert(table.end(), compressed_.page_of.begin(), compressed_.page_of.end());
  const std::vector<int64_t> windows(static_cast<size_t>(questions), windows_);
  step->compressed_out.resize(static_cast<size_t>(questions * kQueryHeads * kValueDim));
  step->selected.resize(static_cast<size_t>(questions * kKeyHeads * kBlocksPerHead));
  nsa_compress_attention_infer::Params params;
  params.query = {query.data(), kType, {questions, kQueryHeads, kKeyDim}};
  params.key = {compressed_.key.data(),
                kType,
                {compressed_.pages, compressed_.page_rows, kKeyHeads * kKeyDim}};
  params.value = {compressed_.value.data(),
                  kType,
                  {compressed_.pages, compressed_.page_rows, kKeyHeads * kValueDim}};
  params.block_table = {table.data(), DType::kInt32, {questions, pages}};
  params.scale_value = ScaleValue();
  params.head_num = kQueryHeads;
  params.key_value_head_num = kKeyHeads;
  params.select_block_size = kBlock;
  params.select_block_count = kBlocksPerHead;
  params.page_block_size = compressed_.page_rows;
  params.compress_block_size = kWindow;
  params.compress_stride = kStride;
  params.actual_cmp_seq_kvlen = windows;
  params.attention_out = {step->compressed_out.data(), kType, {questions, kQueryHeads, kValueDim}};
  params.topk_indices = {
      step->selected.data(), DType::kInt32, {questions, kKeyHeads, kBlocksPerHead}};
  TAMIS_RETURN_IF_ERROR(
      RunTimed(nsa_compress_attention_infer::plan, params, context_, &workspace_, &step->select));
  if (check == nullptr) return Status::Ok();
  return CompareQuestions(params, questions, 1, context_.threads, *check);
}

Status Decoder::Attend(const std::vector<uint16_t>& query, const RawPages& pages,
                       std::vector<uint16_t>* out, Measured* measured, int64_t checked_questions,
                       const Check* check) {
  const auto sequences = static_cast<int64_t>(pages.tokens.size());
  out->resize(static_cast<size_t>(sequences * kGroup * kValueDim));
  nsa_compress_attention_infer::Params params;
  params.query = {query.data(), kType, {sequences, kGroup, kKeyDim}};
  params.key = {raw_.key.data(), kType, {raw_.pages, kBlock, kKeyDim}};
  params.value = {raw_.value.data(), kType, {raw_.pages, kBlock, kValueDim}};
  params.block_table = {pages.table.data(),
                        DType::kInt32,
                        {sequences, static_cast<int64_t>(pages.table.size()) / sequences}};
  params.scale_value = ScaleValue();
  params.head_num = kGroup;
  params.key_value_head_num = 1;
  // Raw tokens: windows of one token, and nothing is selected.
  params.compress_block_size = 1;
  params.compress_stride = 1;
  params.select_block_size = 1;
  params.select_block_count = 0;
  params.page_block_size = kBlock;
  params.actual_cmp_seq_kvlen = pages.tokens;
  params.attention_out = {out->data(), kType, {sequences, kGroup, kValueDim}};
  TAMIS_RETURN_IF_ERROR(
      RunTimed(nsa_compress_attention_infer::plan, params, context_, &workspace_, measured));
  if (check == nullptr) return Status::Ok();
  return CompareQuestions(params, checked_questions, kKeyHeads, context_.threads, *check);
}

// The selected blocks in ascending order, so that only the last page may be partly filled.
Decoder::RawPages Decoder::SelectedPages(const std::vector<int32_t>& selected) const {
  RawPages pages;
  pages.table.assign(selected.size(), -1);
  pages.tokens.assign(selected.size() / kBlocksPerHead, 0);
  for (size_t s = 0; s < pages.tokens.size(); ++s) {
    const auto begin = selected.begin() + static_cast<ptrdiff_t>(s * kBlocksPerHead);
    std::vector<int32_t> blocks(begin, begin + kBlocksPerHead);
    std::sort(blocks.begin(), blocks.end());
    size_t place = s * kBlocksPerHead;
    for (int64_t block : blocks) {
      if (block < 0) continue;  // fewer blocks than were asked for
      pages.table[place++] = RawPage(block, s);
      pages.tokens[s] += std::min(kBlock, tokens_ - block * kBlock);
    }
  }
  return pages;
}

Decoder::RawPages Decoder::AllPages(int64_t questions) const {
  RawPages pages;
  pages.tokens.assign(static_cast<size_t>(questions * kKeyHeads), tokens_);
  for (size_t s = 0; s < pages.tokens.size(); ++s) {
    for (int64_t block = 0; block * kBlock < tokens_; ++block)
      pages.table.push_back(RawPage(block, s));
  }
  return pages;
}

int32_t Decoder::RawPage(int64_t block, size_t sequence) const {
  return raw_.page_of[static_cast<size_t>(block * kKeyHeads) + sequence % kKeyHeads];
}

Status Decoder::Run(const std::vector<uint16_t>& query, int64_t questions, Step* step,
                    const Check* check) {
  step->select = step->attend = step->dense = {};
  TAMIS_RETURN_IF_ERROR(Select(query, questions, step, check));
  Stopwatch gathering;
  const RawPages selected = SelectedPages(step->selected);
  step->attend.seconds = gathering.Seconds();
  TAMIS_RETURN_IF_ERROR(
      Attend(query, selected, &step->sparse_out, &step->attend, questions, check));
  return Attend(query, AllPages(questions), &step->dense_out, &step->dense,
                check == nullptr ? 0 : check->dense_questions, check);
}

}  // namespace tamis::tools::demo
