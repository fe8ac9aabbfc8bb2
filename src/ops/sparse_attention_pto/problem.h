// The normalised sparse_attention_pto: four calls of other operators, chunk by chunk. It owns no
// maths.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "base/dtype.h"
#include "base/operator.h"
#include "prim/call/paging.h"
#include "tamis/ops/indexer_prolog.hpp"
#include "tamis/ops/lightning_indexer.hpp"
#include "tamis/ops/mla_prolog.hpp"
#include "tamis/ops/sparse_attention_pto.hpp"
#include "tamis/ops/sparse_flash_attention.hpp"

namespace tamis::sparse_attention_pto {

/// What every call of a run shares.
struct Problem {
  Params params;
  int64_t batch = 0;
  int64_t tokens = 0;  ///< New ones, of each sequence.
  int64_t heads = 0;
  int64_t latent_dim = 0;
  int64_t rope_dim = 0;
  int64_t norm_dim = 0;  ///< Lq
  int64_t index_heads = 0;
  int64_t index_dim = 0;
  std::vector<int64_t> lengths;  ///< act_seqs
  prim::PageTable page_table;
  std::vector<int64_t> no_slots;  ///< -1 per token of a chunk: nothing to write
  std::vector<int64_t> slots;     // scratch, as what follows
  std::vector<size_t> order;
  std::vector<int64_t> chunk_lengths;

  /// Positions that token `token` of sequence `b` sees.
  int64_t Visible(int64_t b, int64_t token) const {
    const int64_t visible = lengths[static_cast<size_t>(b)] - (tokens - 1 - token);
    return visible < 0 ? 0 : visible;
  }
};

/// Tokens [token, token + tokens) of sequences [first, first + batch).
struct Chunk {
  int64_t first = 0;
  int64_t batch = 0;
  int64_t token = 0;
  int64_t tokens = 0;
};

/// The queries of a chunk at a time, so that the workspace of a long prefill stays bounded: 64
/// tokens take 11 MB between the calls at the document's sizes, and read the weights of 150 MB
/// once.
inline constexpr int64_t kTokensPerChunk = 64;
std::vector<Chunk> ChunksOf(const Problem& problem);

/// Rows of the caches, written by the prologs alone.
struct CacheCalls {
  mla_prolog::Params mla;
  indexer_prolog::Params indexer;
};
CacheCalls CacheCallsOf(const Problem& problem, const Params& in);

/// The four calls of a chunk, with what passes between them in `workspace`.
struct ChunkCalls {
  mla_prolog::Params mla;
  indexer_prolog::Params indexer;
  lightning_indexer::Params select;
  sparse_flash_attention::Params attend;
  int64_t workspace_bytes = 0;
};
/// `in` says where the tensors are. `writes`: the prologs write the chunk's rows of the caches too.
/// A null workspace: what passes between has no memory. Without lengths: plans alone read them.
ChunkCalls ChunkCallsOf(const Problem& problem, const Params& in, const Chunk& chunk, bool writes,
                        char* workspace);
/// Sets the lengths of the sequences as the chunk's last token sees them, in `lengths`.
void SetLengths(const Problem& problem, const Chunk& chunk, std::vector<int64_t>* lengths,
                ChunkCalls* calls);

/// `count` entries of dimension `dim` from `begin`.
template <class View>
View Slice(View view, int dim, int64_t begin, int64_t count) {
  view.shape[dim] = count;
  if (view.data != nullptr) {
    view.data =
        static_cast<char*>(view.data) + begin * view.strides[dim] * base::ItemSize(view.dtype);
  }
  return view;
}

struct Room {
  using Params = sparse_attention_pto::Params;
  using Problem = sparse_attention_pto::Problem;

  static const base::Contract& contract();
  static Status Normalise(const Params& params, base::Dims* dims, Problem* problem);
  static const std::vector<base::Example>& examples();
};

/// Of checked params.
Status ReferenceRows(const Problem& problem, const base::Dims& dims, const Params& params,
                     const Executor& executor, int32_t threads, base::Golden* golden);

/// The operator as the rest of the house takes it.
base::Operator MakeOperator();

}  // namespace tamis::sparse_attention_pto
