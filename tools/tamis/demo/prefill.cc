#include "tools/tamis/demo/prefill.h"

#include <algorithm>
#include <cmath>

#include "base/dtype.h"
#include "base/errors.h"
#include "registry/compare.h"

namespace tamis::tools::demo {
namespace {

constexpr DType kType = DType::kBFloat16;
constexpr int64_t kChunkTokens = 4096;
constexpr int64_t kCheckedWindows = 64;
constexpr int64_t kCheckedRowsPerChunk = 3;

// The same weight for every token of a window and every head.
Status CompressOne(const Context& context, int64_t tokens, int64_t windows, int64_t dim,
                   float weight, const std::vector<uint16_t>& input, std::vector<uint16_t>* output,
                   Measured* measured, Agreement* agreement) {
  const std::vector<uint16_t> weights(kWindow * kKeyHeads, base::FloatToBFloat16(weight));
  const std::vector<int64_t> prefix = {tokens};
  output->resize(static_cast<size_t>(windows * kKeyHeads * dim));
  nsa_compress::Params params;
  params.input = {input.data(), kType, {tokens, kKeyHeads, dim}};
  params.weight = {weights.data(), kType, {kWindow, kKeyHeads}};
  params.act_seq_len = prefix;
  params.compress_block_size = kWindow;
  params.compress_stride = kStride;
  params.output = {output->data(), kType, {windows, kKeyHeads, dim}};
  Workspace workspace;
  TAMIS_RETURN_IF_ERROR(RunTimed(nsa_compress::plan, params, context, &workspace, measured));
  return CompareRows("nsa_compress", &params, registry::SpreadRows(windows, kCheckedWindows),
                     context.threads, agreement);
}

// One chunk's tensors, used again by the next.
struct Chunk {
  int64_t first = 0;
  int64_t tokens = 0;
  int64_t windows = 0;
  int64_t blocks = 0;  // as nsa_compress_attention counts them: ceil(windows / 4)
  std::vector<uint16_t> query;
  std::vector<uint8_t> atten_mask;
  std::vector<uint8_t> topk_mask;
  std::vector<uint16_t> out;
  std::vector<int32_t> topk;
};

void FillChunk(const Embedding& embedding, int64_t first, int64_t tokens, Chunk* chunk) {
  chunk->first = first;
  chunk->tokens = tokens;
  chunk->windows = CountWindows(first + tokens);
  chunk->blocks = (chunk->windows + kBlock / kStride - 1) / (kBlock / kStride);
  chunk->query.resize(static_cast<size_t>(tokens * kQueryHeads * kKeyDim));
  chunk->out.resize(static_cast<size_t>(tokens * kQueryHeads * kValueDim));
  chunk->topk.resize(static_cast<size_t>(tokens * kKeyHeads * kBlocksPerHead));
  chunk->atten_mask.assign(static_cast<size_t>(tokens * chunk->windows), 0);
  chunk->topk_mask.assign(static_cast<size_t>(tokens * chunk->blocks), 0);
  embedding.Queries(first, tokens, chunk->query.data());
  for (int64_t row = 0; row < tokens; ++row) {
    const int64_t t = first + row;
    const int64_t seen = std::min(CountWindows(t + 1), chunk->windows);
    uint8_t* hidden = chunk->atten_mask.data() + row * chunk->windows;
    std::fill(hidden + seen, hidden + chunk->windows, uint8_t{1});
    uint8_t* forced = chunk->topk_mask.data() + row * chunk->blocks;
    for (int64_t block : {int64_t{0}, t / kBlock - 1, t / kBlock}) {
      if (block >= 0 && block < chunk->blocks) forced[block] = 1;
    }
  }
}

Status RunChunk(const Context& context, const Memory& memory, Chunk* chunk, Workspace* workspace,
                Measured* measured, Agreement* agreement) {
  const std::vector<int64_t> query_prefix = {chunk->tokens};
  const std::vector<int64_t> key_prefix = {chunk->windows};
  nsa_compress_attention::Params params;
  params.query = {chunk->query.data(), kType, {chunk->tokens, kQueryHeads, kKeyDim}};
  params.key = {memory.compressed_key.data(), kType, {chunk->windows, kKeyHeads, kKeyDim}};
  params.value = {memory.compressed_value.data(), kType, {chunk->windows, kKeyHeads, kValueDim}};
  params.atten_mask = {chunk->atten_mask.data(), DType::kBool, {chunk->tokens, chunk->windows}};
  params.topk_mask = {chunk->topk_mask.data(), DType::kBool, {chunk->tokens, chunk->blocks}};
  params.scale_value = ScaleValue();
  params.head_num = kQueryHeads;
  params.compress_block_size = kWindow;
  params.compress_stride = kStride;
  params.select_block_size = kBlock;
  params.select_block_count = kBlocksPerHead;
  params.actual_seq_qlen = query_prefix;
  params.actual_cmp_seq_kvlen = key_prefix;
  params.masked_rows = MaskedRows::kZero;
  params.attention_out = {chunk->out.data(), kType, {chunk->tokens, kQueryHeads, kValueDim}};
  params.topk_indices = {
      chunk->topk.data(), DType::kInt32, {chunk->tokens, kKeyHeads, kBlocksPerHead}};
  TAMIS_RETURN_IF_ERROR(
      RunTimed(nsa_compress_attention::plan, params, context, workspace, measured));
  return CompareRows("nsa_compress_attention", &params,
                     registry::SpreadRows(chunk->tokens, kCheckedRowsPerChunk), context.threads,
                     agreement);
}

}  // namespace

Status Compress(const Context& context, Memory* memory, Measured* key, Measured* value,
                Agreement* agreement) {
  memory->windows = CountWindows(memory->tokens);
  memory->blocks = CountBlocks(memory->windows);
  // Weights of length 1 keep a sum of 32 unlike keys as long as one key; values are averaged.
  TAMIS_RETURN_IF_ERROR(CompressOne(context, memory->tokens, memory->windows, kKeyDim,
                                    1 / std::sqrt(static_cast<float>(kWindow)), memory->key,
                                    &memory->compressed_key, key, agreement));
  return CompressOne(context, memory->tokens, memory->windows, kValueDim,
                     1 / static_cast<float>(kWindow), memory->value, &memory->compressed_value,
                     value, agreement);
}

Status RunPrefill(const Context& context, const Memory& memory, const Embedding& embedding,
                  const std::function<void(int64_t done, int64_t total)>& progress,
                  Prefill* prefill, Agreement* agreement) {
  Chunk chunk;
  Workspace workspace;
  for (int64_t first = 0; first < memory.tokens; first += kChunkTokens) {
    // The work done grows with the square of the position.
    progress(first * first, memory.tokens * memory.tokens);
    FillChunk(embedding, first, std::min(kChunkTokens, memory.tokens - first), &chunk);
    TAMIS_RETURN_IF_ERROR(
        RunChunk(context, memory, &chunk, &workspace, &prefill->measured, agreement));
    ++prefill->chunks;
  }
  return Status::Ok();
}

}  // namespace tamis::tools::demo
