#include "base/contract.h"

#include "ops/mla_prolog/problem.h"
#include "prim/call/prolog_contract.h"

namespace tamis::mla_prolog {

const base::Contract& Room::contract() {
  static const base::Contract kContract =
      base::ContractBuilder<Params>(
          "mla_prolog", "Absorbed queries and latent cache rows of multi-head latent attention",
          "npu_sparse_attention_pto (document 003), section MLA prolog")
          .Input("x", &Params::x, prim::HiddenStates())
          .OptionalInput("query_source", &Params::query_source,
                         prim::PerToken("what w_uq_qr takes in place of query_norm, where w_dq and "
                                        "gamma_cq are absent",
                                        "T, Lq", "B, S1, Lq"))
          .OptionalInput("w_dq", &Params::w_dq,
                         prim::LikeX("down-projection of queries; or query_source", "H, Lq"))
          .Input("w_uq_qr", &Params::w_uq_qr,
                 prim::LikeX("up-projection, N heads of nope + rope columns", "Lq, uq_width"))
          .Input(
              "w_uk", &Params::w_uk,
              prim::LikeX("key up-projection, absorbed into queries; always ND", "N, nope, latent"))
          .Input("w_dkv_kr", &Params::w_dkv_kr,
                 prim::LikeX("down-projection of keys and values, latent + rope columns",
                             "H, kv_width"))
          .OptionalInput("bias_dq", &Params::bias_dq,
                         prim::LikeX("added to the product with w_dq", "Lq"))
          .OptionalInput("bias_dkv_kr", &Params::bias_dkv_kr,
                         prim::LikeX("added to the product with w_dkv_kr", "kv_width"))
          .OptionalInput("gamma_cq", &Params::gamma_cq,
                         prim::LikeX("RMS norm of queries; or query_source", "Lq"))
          .Input("gamma_ckv", &Params::gamma_ckv, prim::LikeX("RMS norm of cache rows", "latent"))
          .OptionalInput("gamma_kr", &Params::gamma_kr,
                         prim::LikeX("RMS norm of rope rows, before rope", "rope"))
          .Input("sin", &Params::sin,
                 prim::PerToken("full width; its halves may differ", "T, rope", "B, S1, rope"))
          .Input("cos", &Params::cos,
                 prim::PerToken("full width; its halves may differ", "T, rope", "B, S1, rope"))
          .Input("cache_index", &Params::cache_index, prim::CacheIndex())
          .InOut("kv_cache", &Params::kv_cache,
                 prim::Cache("latent rows, updated at the slots", "pages, page_size, 1, latent"))
          .InOut("kr_cache", &Params::kr_cache,
                 prim::Cache("rope rows, updated at the slots", "pages, page_size, 1, rope"))
          .Optional("epsilon_cq", &Params::epsilon_cq, "of the RMS norm of queries, at least 0")
          .Optional("epsilon_ckv", &Params::epsilon_ckv,
                    "of the RMS norm of cache rows, at least 0")
          .Optional("epsilon_kr", &Params::epsilon_kr, "of the RMS norm of rope rows, at least 0")
          .Optional("rope_interleaved", &Params::rope_interleaved,
                    "true: rope takes interleaved pairs, as the document's; false: halves")
          .Choice("weight_format", &Params::weight_format, {"ND", "NZ"},
                  "of w_dq, w_uq_qr and w_dkv_kr; NZ: dense panels of 16 columns")
          .Optional("strict", &Params::strict, "no limit of a document applies: changes nothing")
          .OptionalOutput(
              "query", &Params::query,
              prim::PerToken("queries in the latent space", "T, N, latent", "B, S1, N, latent"))
          .OptionalOutput(
              "query_rope", &Params::query_rope,
              prim::PerToken("rotated part of the queries", "T, N, rope", "B, S1, N, rope"))
          .OptionalOutput("query_norm", &Params::query_norm,
                          {.doc = "normed low-rank queries, the indexer's input",
                           .dtype_as = "x",
                           .forms = {{"TH", "T, Lq"}, {"BSH", "B, S1, Lq"}},
                           .needs = {"w_dq", "gamma_cq"}})
          .LayoutByRank("x")
          .RowDims({{"TH", 1}, {"BSH", 2}})
          .Envelope({"bfloat16; w_dq, w_uq_qr and w_dkv_kr in NZ; cache_index int32 (alone: int64)",
                     "H 1024 to 8192 (7168), Lq 1536 or 2048, N 1 to 128 by powers of two",
                     "nope 128, latent 512, rope 64; page_size 16 to 1024 by 16 (fused: 128)"})
          .Build();
  return kContract;
}

}  // namespace tamis::mla_prolog
