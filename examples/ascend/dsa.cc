// As for the device: the lightning indexer selects 4 of 64 keys for one token, and sparse flash
// attention attends over what it has selected.
#include <cstdio>
#include <vector>

#include "aclnn/opdev/bfloat16.h"
#include "aclnnop/aclnn_lightning_indexer.h"
#include "aclnnop/aclnn_sparse_flash_attention.h"
#include "device.h"

int main() {
  constexpr int64_t kKeys = 64, kIndexDims = 128, kHeads = 16, kLatent = 512, kRope = 64,
                    kCount = 4;
  aclrtStream stream = nullptr;
  Check(aclInit(nullptr), "aclInit");
  Check(aclrtSetDevice(0), "aclrtSetDevice");
  Check(aclrtCreateStream(&stream), "aclrtCreateStream");
  {
    // Key j scores j; its latent is j in every channel. Queries of zeros attend evenly.
    using Bf16 = op::bfloat16;
    std::vector<Bf16> q_index(kIndexDims), k_index(kKeys * kIndexDims), latents(kKeys * kLatent);
    for (int64_t j = 0; j < kKeys; ++j) {
      q_index[j] = j;
      k_index[j * kIndexDims + j] = 1.0f;
      for (int64_t d = 0; d < kLatent; ++d) latents[j * kLatent + d] = j;
    }
    const DeviceTensor<Bf16> index_query(q_index, {1, 1, 1, kIndexDims}, ACL_BF16);
    const DeviceTensor<Bf16> index_key(k_index, {1, kKeys, 1, kIndexDims}, ACL_BF16);
    const DeviceTensor<Bf16> weights({Bf16(1.0f)}, {1, 1, 1}, ACL_BF16);
    const DeviceTensor<int32_t> indices(std::vector<int32_t>(kCount), {1, 1, 1, kCount}, ACL_INT32);
    const DeviceTensor<Bf16> scores(std::vector<Bf16>(kCount), {1, 1, 1, kCount}, ACL_BF16);
    const DeviceTensor<Bf16> query(std::vector<Bf16>(kHeads * kLatent), {1, 1, kHeads, kLatent},
                                   ACL_BF16);
    const DeviceTensor<Bf16> key(latents, {1, kKeys, 1, kLatent}, ACL_BF16);
    const DeviceTensor<Bf16> query_rope(std::vector<Bf16>(kHeads * kRope), {1, 1, kHeads, kRope},
                                        ACL_BF16);
    const DeviceTensor<Bf16> key_rope(std::vector<Bf16>(kKeys * kRope), {1, kKeys, 1, kRope},
                                      ACL_BF16);
    const DeviceTensor<Bf16> out(std::vector<Bf16>(kHeads * kLatent), {1, 1, kHeads, kLatent},
                                 ACL_BF16);
    char layout[] = "BSND";
    constexpr int64_t kAll = INT64_MAX;

    uint64_t workspace_size = 0;
    aclOpExecutor* executor = nullptr;
    Check(aclnnLightningIndexerGetWorkspaceSize(index_query.get(), index_key.get(), weights.get(),
                                                nullptr, nullptr, nullptr, layout, layout, kCount,
                                                3, kAll, kAll, true, indices.get(), scores.get(),
                                                &workspace_size, &executor),
          "aclnnLightningIndexerGetWorkspaceSize");
    Run(aclnnLightningIndexer, workspace_size, executor, stream);
    Check(aclnnSparseFlashAttentionGetWorkspaceSize(
              query.get(), key.get(), key.get(), indices.get(), nullptr, nullptr, nullptr,
              query_rope.get(), key_rope.get(), 0.0417, 1, layout, layout, 3, kAll, kAll, 2, false,
              out.get(), nullptr, nullptr, &workspace_size, &executor),
          "aclnnSparseFlashAttentionGetWorkspaceSize");
    Run(aclnnSparseFlashAttention, workspace_size, executor, stream);

    std::printf("selected:");
    for (const int32_t index : indices.Read()) std::printf(" %d", index);
    std::printf("\nscores:");
    for (const Bf16 score : scores.Read()) std::printf(" %g", static_cast<float>(score));
    std::printf("\nattention: %g\n", static_cast<float>(out.Read()[0]));
  }
  aclrtDestroyStream(stream);
  aclrtResetDevice(0);
  aclFinalize();
  return 0;
}
