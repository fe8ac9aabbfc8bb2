#include "base/contract.h"

#include "ops/sparse_attention_pto/problem.h"
#include "prim/call/prolog_contract.h"

namespace tamis::sparse_attention_pto {
namespace {

// That say where things lie.
base::TensorSpec Integers(const char* shape, const char* doc) {
  return {
      .shape = shape, .doc = doc, .dtypes = {DType::kInt32, DType::kInt64}, .read_by_plan = true};
}

}  // namespace

const base::Contract& Room::contract() {
  using Rule = base::Limit::Rule;
  static const base::Contract kContract =
      base::ContractBuilder<Params>(
          "sparse_attention_pto",
          "Hidden states to sparse attention: MLA prolog, indexer prolog, lightning indexer and "
          "sparse flash attention in one call",
          "npu_sparse_attention_pto (document 003)")
          .Input("x", &Params::x,
                 {.shape = "B, S1, H",
                  .doc = "hidden states of the new tokens",
                  .dtypes = {DType::kBFloat16, DType::kFloat16, DType::kFloat32}})
          .InStrict({.dtypes = {DType::kBFloat16}})
          .Input("w_dq", &Params::w_dq, prim::LikeX("down projection of queries", "H, Lq"))
          .Input("w_uq_qr", &Params::w_uq_qr,
                 prim::LikeX("up projection: per head Dq columns, then Dr for the rope; "
                             "Q = N * (Dq + Dr)",
                             "Lq, Q"))
          .Input("w_uk", &Params::w_uk,
                 prim::LikeX("absorbed key up projection, never NZ", "N, Dq, D"))
          .Input("w_dkv_kr", &Params::w_dkv_kr,
                 prim::LikeX("projection to the latent and its rope; C = D + Dr", "H, C"))
          .Input("gamma_cq", &Params::gamma_cq, prim::LikeX("scale of the queries' RMS norm", "Lq"))
          .Input("gamma_ckv", &Params::gamma_ckv,
                 prim::LikeX("scale of the latent's RMS norm", "D"))
          .Input("sin", &Params::sin,
                 prim::LikeX("sines of the new tokens, full width", "B, S1, Dr"))
          .Input("cos", &Params::cos,
                 prim::LikeX("cosines of the new tokens, full width", "B, S1, Dr"))
          .Input("cache_index", &Params::cache_index,
                 Integers("B, S1",
                          "row of all three caches that each new token gets: page * "
                          "page_size + offset; negative: none"))
          .InStrict({.dtypes = {DType::kInt32}})
          .InOut("kv_cache", &Params::kv_cache, prim::Cache("latents", "pages, page_size, 1, D"))
          .InOut("kr_cache", &Params::kr_cache, prim::Cache("rope keys", "pages, page_size, 1, Dr"))
          .Input("block_table", &Params::block_table,
                 {.shape = "B, max_pages",
                  .doc = "pages of each sequence; entries past its positions are not read",
                  .dtypes = {DType::kInt32},
                  .read_by_plan = true,
                  .page_table = true})
          .Input("act_seqs", &Params::act_seqs,
                 Integers("B", "positions of each sequence, the new tokens included"))
          .InStrict({.dtypes = {DType::kInt32}})
          .Input("w_idx_qb", &Params::w_idx_qb, prim::LikeX("index queries; I = Ni * Di", "Lq, I"))
          .Input("w_idx_k", &Params::w_idx_k, prim::LikeX("index keys", "H, Di"))
          .Input("w_idx_proj", &Params::w_idx_proj,
                 prim::LikeX("weights of the index heads", "H, Ni"))
          .Input("in_gamma_k", &Params::in_gamma_k,
                 prim::LikeX("scale of the index keys' norm", "Di"))
          .Input("in_beta_k", &Params::in_beta_k,
                 prim::LikeX("shift of the index keys' norm", "Di"))
          .InOut("index_k_cache", &Params::index_k_cache,
                 prim::Cache("index keys", "pages, page_size, 1, Di"))
          .ContiguousInStrict()
          .Optional("scale_value", &Params::scale_value,
                    "factor of the logits; the document's is 576^-0.5 and lacks the model's "
                    "correction")
          .InStrict({.default_only = true})
          .Optional("epsilon_cq", &Params::epsilon_cq, "of the queries' RMS norm")
          .InStrict({.default_only = true})
          .Optional("epsilon_ckv", &Params::epsilon_ckv, "of the latent's RMS norm")
          .InStrict({.default_only = true})
          .Optional("epsilon_k", &Params::epsilon_k, "of the index keys' norm")
          .InStrict({.default_only = true})
          .Optional("rope_interleaved", &Params::rope_interleaved,
                    "the indexer's rope takes pairs (0, 1), (2, 3), ...; else (0, Dr/2), ...")
          .InStrict({.default_only = true})
          .Optional("sparse_count", &Params::sparse_count, "positions to select")
          .InStrict({.default_only = true})
          .Choice("weight_format", &Params::weight_format, {"ND", "NZ"},
                  "of w_dq, w_uq_qr, w_dkv_kr, w_idx_qb, w_idx_k and w_idx_proj")
          .Choice("accuracy", &Params::accuracy, {"storage", "fp32", "fp32_scores"},
                  "of the attention's products: storage lets a level use 16-bit integers, with an "
                  "error below the rounding of a bfloat16 output; fp32_scores: for values only")
          .Optional("strict", &Params::strict, "also enforce the document's limits")
          .Output("out", &Params::out,
                  {.shape = "B, S1, N, D", .doc = "latent output", .dtype_as = "x"})
          .OptionalOutput("sparse_indices", &Params::sparse_indices,
                          {.shape = "B, S1, 1, sparse_count",
                           .doc = "the positions selected, best first, then -1",
                           .dtypes = {DType::kInt32},
                           .ranked = true})
          .RowDims({{"", 2}})
          .Strict("x", "B*S1", Rule::kAtLeast, {"1"})
          .Envelope({"B 4, S1 1 or 2, H 7168, Lq 1536, N 128, Dq 128, D 512, Dr 64, Ni 64, Di 128",
                     "page_size 128, max_pages at most 1024, pages at most 1024 B; sparse_count "
                     "2048; cache_index, block_table and act_seqs int32",
                     "scale_value 1/24, epsilon_cq and epsilon_ckv 1e-5, epsilon_k 1e-6, "
                     "rope_interleaved true"})
          .Build();
  return kContract;
}

}  // namespace tamis::sparse_attention_pto
