// Tamis, the C++ interface: sparse-attention operators for CPUs.
#pragma once

#include "tamis/context.hpp"                                    // IWYU pragma: export
#include "tamis/ops/accuracy.hpp"                               // IWYU pragma: export
#include "tamis/ops/dense_lightning_indexer_grad_kl_loss.hpp"   // IWYU pragma: export
#include "tamis/ops/dense_lightning_indexer_softmax_lse.hpp"    // IWYU pragma: export
#include "tamis/ops/globalize_indices.hpp"                      // IWYU pragma: export
#include "tamis/ops/indexer_prolog.hpp"                         // IWYU pragma: export
#include "tamis/ops/lightning_indexer.hpp"                      // IWYU pragma: export
#include "tamis/ops/lightning_indexer_grad.hpp"                 // IWYU pragma: export
#include "tamis/ops/localize_indices.hpp"                       // IWYU pragma: export
#include "tamis/ops/merge_attention_states.hpp"                 // IWYU pragma: export
#include "tamis/ops/merge_topk.hpp"                             // IWYU pragma: export
#include "tamis/ops/mla_prolog.hpp"                             // IWYU pragma: export
#include "tamis/ops/nsa.hpp"                                    // IWYU pragma: export
#include "tamis/ops/nsa_compress.hpp"                           // IWYU pragma: export
#include "tamis/ops/nsa_compress_attention.hpp"                 // IWYU pragma: export
#include "tamis/ops/nsa_compress_attention_grad.hpp"            // IWYU pragma: export
#include "tamis/ops/nsa_compress_attention_infer.hpp"           // IWYU pragma: export
#include "tamis/ops/nsa_compress_grad.hpp"                      // IWYU pragma: export
#include "tamis/ops/nsa_compress_infer.hpp"                     // IWYU pragma: export
#include "tamis/ops/nsa_selected_attention.hpp"                 // IWYU pragma: export
#include "tamis/ops/nsa_selected_attention_grad.hpp"            // IWYU pragma: export
#include "tamis/ops/nsa_selected_attention_infer.hpp"           // IWYU pragma: export
#include "tamis/ops/pack_kv_rows.hpp"                           // IWYU pragma: export
#include "tamis/ops/quantize_index_keys.hpp"                    // IWYU pragma: export
#include "tamis/ops/sliding_window_attention.hpp"               // IWYU pragma: export
#include "tamis/ops/sliding_window_attention_grad.hpp"          // IWYU pragma: export
#include "tamis/ops/sparse_attention_pto.hpp"                   // IWYU pragma: export
#include "tamis/ops/sparse_flash_attention.hpp"                 // IWYU pragma: export
#include "tamis/ops/sparse_flash_attention_grad.hpp"            // IWYU pragma: export
#include "tamis/ops/sparse_lightning_indexer_grad_kl_loss.hpp"  // IWYU pragma: export
#include "tamis/ops/unpack_kv_rows.hpp"                         // IWYU pragma: export
#include "tamis/ops/weight_format.hpp"                          // IWYU pragma: export
#include "tamis/plan.hpp"                                       // IWYU pragma: export
#include "tamis/status.hpp"                                     // IWYU pragma: export
#include "tamis/tensor.hpp"                                     // IWYU pragma: export

namespace tamis {

/// "major.minor.patch".
TAMIS_API const char* version();

}  // namespace tamis
