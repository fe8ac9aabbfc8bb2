#include "base/contract.h"

#include "ops/indexer_prolog/problem.h"
#include "prim/call/prolog_contract.h"

namespace tamis::indexer_prolog {

const base::Contract& Room::contract() {
  static const base::Contract kContract =
      base::ContractBuilder<Params>(
          "indexer_prolog", "Index queries, head weights and index key rows of sparse attention",
          "npu_sparse_attention_pto (document 003), section indexer prolog")
          .Input("x", &Params::x, prim::HiddenStates())
          .OptionalInput("query_norm", &Params::query_norm,
                         prim::PerToken("normed low-rank queries of mla_prolog; for query only",
                                        "T, Lq", "B, S1, Lq"))
          .OptionalInput(
              "w_idx_qb", &Params::w_idx_qb,
              prim::LikeX("up-projection, Ni heads of Di columns; for query only", "Lq, qb_width"))
          .Input("w_idx_k", &Params::w_idx_k, prim::LikeX("projection of keys", "H, Di"))
          .OptionalInput("w_idx_proj", &Params::w_idx_proj,
                         prim::LikeX("projection of head weights; for weights only", "H, Ni"))
          .Input("in_gamma_k", &Params::in_gamma_k, prim::LikeX("layer norm of keys", "Di"))
          .Input("in_beta_k", &Params::in_beta_k, prim::LikeX("layer norm of keys", "Di"))
          .Input("sin", &Params::sin,
                 prim::PerToken("full width; its halves may differ; rope at most Di", "T, rope",
                                "B, S1, rope"))
          .Input("cos", &Params::cos,
                 prim::PerToken("full width; its halves may differ", "T, rope", "B, S1, rope"))
          .Input("cache_index", &Params::cache_index, prim::CacheIndex())
          .InOut("index_k_cache", &Params::index_k_cache,
                 prim::Cache("index keys, updated at the slots", "pages, page_size, 1, Di"))
          .OptionalInOut("index_k_shadow", &Params::index_k_shadow,
                         {.shape = "pages, panels, panel_bytes",
                          .doc = "the cache in 8 bits, of quantize_index_keys, updated with it",
                          .dtypes = {DType::kUInt8},
                          .row_dims = {{"", 2}}})
          .Optional("epsilon", &Params::epsilon, "of the layer norm, at least 0")
          .Optional("rope_interleaved", &Params::rope_interleaved,
                    "true: rope takes interleaved pairs, as the document's; false: halves, as the "
                    "released checkpoints'")
          .Optional("rope_last", &Params::rope_last,
                    "rope rotates the last channels of a head, not the first")
          .Choice("weight_format", &Params::weight_format, {"ND", "NZ"},
                  "of the three weights; NZ: dense panels of 16 columns")
          .Optional("strict", &Params::strict, "no limit of a document applies: changes nothing")
          .OptionalOutput("query", &Params::query,
                          {.doc = "index queries",
                           .dtype_as = "x",
                           .forms = {{"TH", "T, Ni, Di"}, {"BSH", "B, S1, Ni, Di"}},
                           .needs = {"query_norm", "w_idx_qb"}})
          .OptionalOutput("weights", &Params::weights,
                          {.doc = "weight of each head, unscaled",
                           .dtype_as = "x",
                           .forms = {{"TH", "T, Ni"}, {"BSH", "B, S1, Ni"}},
                           .needs = {"w_idx_proj"}})
          .LayoutByRank("x")
          .RowDims({{"TH", 1}, {"BSH", 2}})
          .Envelope({"bfloat16; weights in NZ; cache_index int32",
                     "H 7168, Lq 1536, Ni 64, Di 128, rope 64, page_size 128",
                     "interleaved rope, epsilon 1e-6"})
          .Build();
  return kContract;
}

}  // namespace tamis::indexer_prolog
