#include "ops/dense_lightning_indexer/cpu/grad_kl_loss.h"
#include "ops/dense_lightning_indexer/cpu/sparse_kl_loss.h"

namespace tamis {
namespace {

template <class KernelArgs, class Shared>
void AddLossesOf(const void* args, void* shared) {
  const auto& a = *static_cast<const KernelArgs*>(args);
  const float* const losses = static_cast<const float*>(shared) + Shared(a).losses;
  double sum = 0;
  for (int64_t row = 0; row < a.rows; ++row) sum += static_cast<double>(losses[row]);
  *a.loss = static_cast<float>(sum);
}

}  // namespace

void dense_lightning_indexer_grad_kl_loss::AddLosses(const void* args, int64_t /*item*/,
                                                     void* /*scratch*/, void* shared) {
  AddLossesOf<KernelArgs, Shared>(args, shared);
}
void sparse_lightning_indexer_grad_kl_loss::AddLosses(const void* args, int64_t /*item*/,
                                                      void* /*scratch*/, void* shared) {
  AddLossesOf<KernelArgs, Shared>(args, shared);
}

}  // namespace tamis
