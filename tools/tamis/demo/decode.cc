#include "tools/tamis/demo/decode.h"

#include <algorithm>
#include <cstring>

#include "base/errors.h"
#include "tools/tamis/demo/random.h"

namespace tamis::tools::demo {
namespace {

constexpr DType kType = DType::kBFloat16;
constexpr uint16_t kNan = 0x7fc0;
constexpr int64_t kCompressedPageRows = 128;
constexpr int64_t kSparePages = 3;

int64_t CeilDiv(int64_t a, int64_t b) { return (a + b - 1) / b; }

// Rows of all heads, dealt to pages.
PagedCache Page(const std::vector<uint16_t>& key, const std::vector<uint16_t>& value, int64_t rows,
                int64_t page_rows) {
  constexpr int64_t kKeyRow = kKeyHeads * kKeyDim;
  constexpr int64_t kValueRow = kKeyHeads * kValueDim;
  PagedCache cache;
  cache.page_rows = page_rows;
  cache.page_of = DealPages(CeilDiv(rows, page_rows), kSparePages);
  cache.pages = static_cast<int64_t>(cache.page_of.size()) + kSparePages;
  cache.key.assign(static_cast<size_t>(cache.pages * page_rows * kKeyRow), kNan);
  cache.value.assign(static_cast<size_t>(cache.pages * page_rows * kValueRow), kNan);
  for (int64_t i = 0; i < rows; ++i) {
    const int64_t page = cache.page_of[static_cast<size_t>(i / page_rows)];
    const int64_t row = page * page_rows + i % page_rows;
    std::copy_n(key.begin() + i * kKeyRow, kKeyRow, cache.key.begin() + row * kKeyRow);
    std::copy_n(value.begin() + i * kValueRow, kValueRow, cache.value.begin() + row * kValueRow);
  }
  return cache;
}

// Every question is a sequence of its own; their rows of the table name the same pages.
std::vector<int32_t> TableOf(const PagedCache& cache, int64_t questions) {
  std::vector<int32_t> table;
  for (int64_t q = 0; q < questions; ++q)
    table.insert(table.end(), cache.page_of.begin(), cache.page_of.end());
  return table;
}

// What the calls of all operators have under the same names.
template <class Params>
Params ParamsOf(const std::vector<uint16_t>& query, int64_t questions, const PagedCache& cache,
                const std::vector<int32_t>& table, std::vector<uint16_t>* out) {
  out->resize(static_cast<size_t>(questions * kQueryHeads * kValueDim));
  Params params;
  params.query = {query.data(), kType, {questions, kQueryHeads, kKeyDim}};
  params.key = {cache.key.data(), kType, {cache.pages, cache.page_rows, kKeyHeads * kKeyDim}};
  params.value = {cache.value.data(), kType, {cache.pages, cache.page_rows, kKeyHeads * kValueDim}};
  params.block_table = {
      table.data(), DType::kInt32, {questions, static_cast<int64_t>(cache.page_of.size())}};
  params.scale_value = ScaleValue();
  params.head_num = kQueryHeads;
  params.key_value_head_num = kKeyHeads;
  params.select_block_size = kBlock;
  params.select_block_count = kBlocksPerHead;
  params.page_block_size = cache.page_rows;
  params.attention_out = {out->data(), kType, {questions, kQueryHeads, kValueDim}};
  return params;
}

// One row and one entry per question.
template <class Params>
Status CompareQuestions(const Params& params, int64_t questions, int32_t threads,
                        const Check& check) {
  for (int64_t q = 0; q < questions; ++q) {
    if (check.progress) check.progress(q, questions);
    TAMIS_RETURN_IF_ERROR(CompareRows(Params::kOperator, &params, {q}, threads,
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
      compressed_(Page(memory.compressed_key, memory.compressed_value, memory.windows,
                       kCompressedPageRows)),
      raw_(Page(memory.key, memory.value, memory.tokens, kBlock)) {}

Status Decoder::Select(const std::vector<uint16_t>& query, int64_t questions, Step* step,
                       const Check* check) {
  const std::vector<int32_t> table = TableOf(compressed_, questions);
  const std::vector<int64_t> windows(static_cast<size_t>(questions), windows_);
  step->selected.resize(static_cast<size_t>(questions * kKeyHeads * kBlocksPerHead));
  auto params = ParamsOf<nsa_compress_attention_infer::Params>(query, questions, compressed_, table,
                                                               &step->compressed_out);
  params.compress_block_size = kWindow;
  params.compress_stride = kStride;
  params.actual_cmp_seq_kvlen = windows;
  params.topk_indices = {
      step->selected.data(), DType::kInt32, {questions, kKeyHeads, kBlocksPerHead}};
  TAMIS_RETURN_IF_ERROR(
      RunTimed(nsa_compress_attention_infer::plan, params, context_, &workspace_, &step->select));
  if (check == nullptr) return Status::Ok();
  return CompareQuestions(params, questions, context_.threads, *check);
}

Status Decoder::Attend(const std::vector<uint16_t>& query, int64_t questions, Step* step,
                       const Check* check) {
  const std::vector<int32_t> table = TableOf(raw_, questions);
  const std::vector<int64_t> tokens(static_cast<size_t>(questions), tokens_);
  auto params = ParamsOf<nsa_selected_attention_infer::Params>(query, questions, raw_, table,
                                                               &step->sparse_out);
  params.actual_seq_kvlen = tokens;
  params.topk_indices = {
      step->selected.data(), DType::kInt32, {questions, kKeyHeads, kBlocksPerHead}};
  TAMIS_RETURN_IF_ERROR(
      RunTimed(nsa_selected_attention_infer::plan, params, context_, &workspace_, &step->attend));
  if (check == nullptr) return Status::Ok();
  return CompareQuestions(params, questions, context_.threads, *check);
}

// By the operator for compressed keys: without a selection it is plain attention, of any keys.
Status Decoder::AttendToAll(const std::vector<uint16_t>& query, int64_t questions, Step* step,
                            const Check* check) {
  const std::vector<int32_t> table = TableOf(raw_, questions);
  const std::vector<int64_t> tokens(static_cast<size_t>(questions), tokens_);
  auto params = ParamsOf<nsa_compress_attention_infer::Params>(query, questions, raw_, table,
                                                               &step->dense_out);
  params.compress_block_size = kWindow;
  params.compress_stride = kStride;
  params.select_block_count = 0;
  params.actual_cmp_seq_kvlen = tokens;
  TAMIS_RETURN_IF_ERROR(
      RunTimed(nsa_compress_attention_infer::plan, params, context_, &workspace_, &step->dense));
  if (check == nullptr) return Status::Ok();
  return CompareQuestions(params, check->dense_questions, context_.threads, *check);
}

Status Decoder::Run(const std::vector<uint16_t>& query, int64_t questions, Step* step,
                    const Check* check) {
  step->select = step->attend = step->dense = {};
  TAMIS_RETURN_IF_ERROR(Select(query, questions, step, check));
  TAMIS_RETURN_IF_ERROR(Attend(query, questions, step, check));
  return AttendToAll(query, questions, step, check);
}

}  // namespace tamis::tools::demo
