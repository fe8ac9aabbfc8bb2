// Recipes of random calls: what fits together, of each operator. See ContractCall.
#pragma once

#include <algorithm>
#include <cstdint>
#include <vector>

#include "tests/support/contract_call.h"
#include "tests/support/sequences.h"

namespace tamis::test {

inline std::vector<int64_t> Lengths(int64_t count, int64_t most, Random* random) {
  std::vector<int64_t> lengths(static_cast<size_t>(count));
  for (int64_t& length : lengths) length = random->Between(0, most);
  return lengths;
}

inline int64_t Sum(const std::vector<int64_t>& lengths) {
  return lengths.empty() ? 0 : Prefix(lengths).back();
}

inline int64_t Most(const std::vector<int64_t>& lengths) {
  return lengths.empty() ? 0 : *std::max_element(lengths.begin(), lengths.end());
}

inline void SetPages(ContractCall* c, const Pages& pages, int64_t sequences) {
  c->call().Tensor("block_table", DType::kInt32, {sequences, pages.width}, Elements(pages.table));
}

/// Statistics that need not be those of the scores.
void SetStatistics(ContractCall* c);

// Native Sparse Attention, but for its window: nsa_recipes.cc.
void NsaCompress(ContractCall* c);
void NsaCompressInfer(ContractCall* c);
void NsaCompressAttention(ContractCall* c);
void NsaCompressAttentionInfer(ContractCall* c);
void NsaCompressAttentionGrad(ContractCall* c);
void NsaSelectedAttention(ContractCall* c);
void NsaSelectedAttentionInfer(ContractCall* c);
void NsaSelectedAttentionGrad(ContractCall* c);

}  // namespace tamis::test
