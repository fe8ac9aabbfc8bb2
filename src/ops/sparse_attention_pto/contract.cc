#include "base/contract.h"

#include "ops/sparse_attention_pto/problem.h"

namespace tamis::sparse_attention_pto {
namespace {

base::TensorSpec AsX(const char* shape, const char* doc) {
  return {.shape = shape, .doc = doc, .dtype_as = "x"};
}

base::TensorSpec Integers(const char* shape, const char* doc) {
  return {.shape = shape, .doc = doc, .dtypes = {DType::kInt32, DType::kInt64}};
}

base::TensorSpec Cache(const char* shape, const char* doc) {
  return {.shape = shape, .doc = doc, .dtype_as = "x", .row_dims = {{"", 2}}};
}

}  // namespace

const base::Contract& TheContract() {
  static const base::Contract kContract =
      base::ContractBuilder<Params>(
          "sparse_attention_pto",
          "Hidden states to sparse attention: MLA prolog, indexer prolog, lightning indexer and "
          "sparse flash attention in one call",
          "npu_sparse_attention_pto (document 003)")
          .Input("x", &Params::x,
                 {.shape = "B, S1, H",
                  .doc = "hidden states of the new tokens",
                  .dtypes = {DType::kBFloat16, DType::kFloat16}})
          .Input("w_dq", &Params::w_dq, AsX("H, Lq", "down projection of queries"))
          .Input("w_uq_qr", &Params::w_uq_qr,
                 AsX("Lq, Q",
                     "up projection: per head Dq columns, then Dr for the rope; "
                     "Q = N * (Dq + Dr)"))
          .Input("w_uk", &Params::w_uk, AsX("N, Dq, D", "absorbed key up projection, never NZ"))
          .Input("w_dkv_kr", &Params::w_dkv_kr,
                 AsX("H, C", "projection to the latent and its rope; C = D + Dr"))
          .Input("gamma_cq", &Params::gamma_cq, AsX("Lq", "scale of the queries' RMS norm"))
          .Input("gamma_ckv", &Params::gamma_ckv, AsX("D", "scale of the latent's RMS norm"))
          .Input("sin", &Params::sin, AsX("B, S1, Dr", "sines of the new tokens, full width"))
          .Input("cos", &Params::cos, AsX("B, S1, Dr", "cosines of the new tokens, full width"))
          .Input("cache_index", &Params::cache_index,
                 Integers("B, S1",
                          "row of all three caches that each new token gets: page * "
                          "page_size + offset; negative: none"))
          .InOut("kv_cache", &Params::kv_cache, Cache("pages, page_size, 1, D", "latents"))
          .InOut("kr_cache", &Params::kr_cache, Cache("pages, page_size, 1, Dr", "rope keys"))
          .Input("block_table", &Params::block_table,
                 {.shape = "B, max_pages",
                  .doc = "pages of each sequence; entries past its positions are not read",
                  .dtypes = {DType::kInt32}})
          .Input("act_seqs", &Params::act_seqs,
                 Integers("B", "positions of each sequence, the new tokens included"))
          .Input("w_idx_qb", &Params::w_idx_qb, AsX("Lq, I", "index queries; I = Ni * Di"))
          .Input("w_idx_k", &Params::w_idx_k, AsX("H, Di", "index keys"))
          .Input("w_idx_proj", &Params::w_idx_proj, AsX("H, Ni", "weights of the index heads"))
          .Input("in_gamma_k", &Params::in_gamma_k, AsX("Di", "scale of the index keys' norm"))
          .Input("in_beta_k", &Params::in_beta_k, AsX("Di", "shift of the index keys' norm"))
          .InOut("index_k_cache", &Params::index_k_cache,
                 Cache("pages, page_size, 1, Di", "index keys"))
          .Optional("scale_value", &Params::scale_value,
                    "factor of the logits; the document's is 576^-0.5 and lacks the model's "
                    "correction")
          .Optional("epsilon_cq", &Params::epsilon_cq, "of the queries' RMS norm")
          .Optional("epsilon_ckv", &Params::epsilon_ckv, "of the latent's RMS norm")
          .Optional("epsilon_k", &Params::epsilon_k, "of the index keys' norm")
          .Optional("rope_interleaved", &Params::rope_interleaved,
                    "the indexer's rope takes pairs (0, 1), (2, 3), ...; else (0, Dr/2), ...")
          .Optional("sparse_count", &Params::sparse_count, "positions to select")
          .Choice("weight_format", &Params::weight_format, {"ND", "NZ"},
                  "of w_dq, w_uq_qr, w_dkv_kr, w_idx_qb, w_idx_k and w_idx_proj")
          .Optional("strict", &Params::strict, "only bfloat16, as the document")
          .Output("out", &Params::out,
                  {.shape = "B, S1, N, D", .doc = "latent output", .dtype_as = "x"})
          .OptionalOutput("sparse_indices", &Params::sparse_indices,
                          {.shape = "B, S1, 1, sparse_count",
                           .doc = "the positions selected, best first, then -1",
                           .dtypes = {DType::kInt32},
                           .ranked = true})
          .RowDims({{"", 2}})
          .Envelope({"B 4, S1 1 or 2, H 7168, Lq 1536, N 128, Dq 128, D 512, Dr 64, Ni 64, Di 128",
                     "page_size 128, max_pages at most 1024, pages at most 1024 B; sparse_count "
                     "2048; cache_index, block_table and act_seqs int32",
                     "scale_value 1/24, epsilon_cq and epsilon_ckv 1e-5, epsilon_k 1e-6, "
                     "rope_interleaved true"})
          .Build();
  return kContract;
}

}  // namespace tamis::sparse_attention_pto
