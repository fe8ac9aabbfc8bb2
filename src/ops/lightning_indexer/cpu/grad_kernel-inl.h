// lightning_indexer_grad, one level: a query token and its list.
//
//   dI[j] = sum of sparse_values_grad over the slots that name j
#include "ops/lightning_indexer/cpu/grad_kernel.h"
#include "prim/list_grad/cpu/index_scores-inl.h"

namespace tamis::TAMIS_LEVEL {
namespace {

namespace lightning_indexer_grad {

using list_grad::IndexWorker;
using tamis::lightning_indexer_grad::KernelArgs;
using tamis::lightning_indexer_grad::Scratch;

// A position that several slots name has the sum of theirs, in their order.
inline void FindScoreGrads(const KernelArgs& a, const Scratch& at, const IndexWorker& w) {
  const prim::list_grad::Args& list = a.index.list;
  float* const values = w.scratch + at.values_grad;
  WidenAny(a.values_grad_element, list_grad::HeadAt(a.values_grad, w.s, w.group.token, 0),
           list.slots, values);
  for (int64_t k = 0; k < w.token.count; ++k) w.score_grads()[k] = 0.0f;
  list_grad::ForListed(list, w.s, w.group.token, [&](int64_t slot, int64_t position) {
    w.score_grads()[list_grad::FirstFrom(w.token.positions, w.token.count, position)] +=
        values[slot];
  });
}

}  // namespace lightning_indexer_grad
}  // namespace

void LightningIndexerGradQueries(const void* args, int64_t item, void* scratch, void* shared) {
  using namespace lightning_indexer_grad;
  const auto& a = *static_cast<const KernelArgs*>(args);
  const prim::list_grad::Args& list = a.index.list;
  const Scratch at(a);
  const list_grad::Group& group = list.groups[item];
  const list_grad::Sequence& s = list.attend.sequences[group.sequence];
  IndexWorker w = {a.index, at.index, group, s, {}, static_cast<float*>(scratch)};
  float* const slot = list_grad::SlotOf(list, item, prim::list_grad::Slot(list), shared);
  list_grad::FindPositions(list, group, w.scratch + at.index.list, slot, &w.token);
  if (w.token.count > 0) {
    FindProducts(w, nullptr);
    FindScoreGrads(a, at, w);
  }
  FindIndexGrads(w);
}

}  // namespace tamis::TAMIS_LEVEL
