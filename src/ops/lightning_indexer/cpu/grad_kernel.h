// What the kernel of lightning_indexer_grad takes: plain structs of pointers and counts.
//
// An item of the first phase is a query token: its gradients, and dS for the gradients of keys,
// which the second phase adds up (prim/list_grad).
#pragma once

#include "prim/list_grad/cpu/index_scores.h"

namespace tamis::lightning_indexer_grad {

struct KernelArgs {
  prim::list_grad::IndexArgs index = {};
  prim::attention::Heads values_grad = {};  // one head, whose channels are slots
  prim::Element values_grad_element = {};
};

namespace {  // inline functions: no level's copy may be merged with another's

/// A worker's of the first phase, in floats.
struct Scratch {
  prim::list_grad::IndexScratch index;
  int64_t values_grad;  // [slots]
  int64_t total;

  explicit Scratch(const KernelArgs& a) : index(a.index) {
    prim::ScratchLayout parts = index.parts;
    values_grad = parts.Take(a.index.list.slots);
    total = parts.Total();
  }
};

}  // namespace
}  // namespace tamis::lightning_indexer_grad
