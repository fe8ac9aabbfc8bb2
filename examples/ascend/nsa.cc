// As for the device: attention over compressed keys with aclnnNsaCompressAttention, for two
// sequences of 2 and 3 query tokens, 2 heads and one key head, over 4 and 8 compressed keys, whose
// statistics lie as the device lays them down.
#include <cstdio>
#include <vector>

#include "aclnn/opdev/fp16_t.h"
#include "aclnnop/aclnn_nsa_compress_attention.h"
#include "device.h"

int main() {
  constexpr int64_t kTokens = 5, kHeads = 2, kKeys = 12, kDims = 64, kBlocks = 2;
  aclrtStream stream = nullptr;
  Check(aclInit(nullptr), "aclInit");
  Check(aclrtSetDevice(0), "aclrtSetDevice");
  Check(aclrtCreateStream(&stream), "aclrtCreateStream");
  {
    // Head h of token t asks for key t + 4 h of its sequence: their score is 64, all others are 0.
    const std::vector<int64_t> q_prefix = {2, 5}, kv_prefix = {4, 12}, sel_prefix = {2, 5};
    std::vector<op::fp16_t> q(kTokens * kHeads * kDims), k(kKeys * kDims), v(kKeys * kDims);
    for (int64_t token = 0; token < kTokens; ++token) {
      const int64_t wanted = token < 2 ? token : token - 2;
      for (int64_t head = 0; head < kHeads; ++head) {
        q[(token * kHeads + head) * kDims + (wanted + 4 * head)] = 64.0f;
      }
    }
    for (int64_t key = 0; key < kKeys; ++key) {
      k[key * kDims + (key < 4 ? key : key - 4)] = 1.0f;
      for (int64_t d = 0; d < kDims; ++d) v[key * kDims + d] = key;
    }
    const std::vector<float> none(kTokens * kHeads * 8);
    const DeviceTensor<op::fp16_t> query(q, {kTokens, kHeads, kDims}, ACL_FLOAT16);
    const DeviceTensor<op::fp16_t> key(k, {kKeys, 1, kDims}, ACL_FLOAT16);
    const DeviceTensor<op::fp16_t> value(v, {kKeys, 1, kDims}, ACL_FLOAT16);
    const DeviceTensor<op::fp16_t> attention(q, {kTokens, kHeads, kDims}, ACL_FLOAT16);
    const DeviceTensor<float> maximum(none, {kTokens, kHeads, 8}, ACL_FLOAT);
    const DeviceTensor<float> sum(none, {kTokens, kHeads, 8}, ACL_FLOAT);
    const DeviceTensor<int32_t> blocks(std::vector<int32_t>(kTokens * kBlocks),
                                       {kTokens, 1, kBlocks}, ACL_INT32);
    aclIntArray* q_lengths = aclCreateIntArray(q_prefix.data(), q_prefix.size());
    aclIntArray* kv_lengths = aclCreateIntArray(kv_prefix.data(), kv_prefix.size());
    aclIntArray* sel_lengths = aclCreateIntArray(sel_prefix.data(), sel_prefix.size());
    char layout[] = "TND";

    uint64_t workspace_size = 0;
    aclOpExecutor* executor = nullptr;
    Check(aclnnNsaCompressAttentionGetWorkspaceSize(
              query.get(), key.get(), value.get(), nullptr, nullptr, q_lengths, kv_lengths,
              sel_lengths, 1.0, kHeads, layout, 0, 32, 16, 32, kBlocks, maximum.get(), sum.get(),
              attention.get(), blocks.get(), &workspace_size, &executor),
          "aclnnNsaCompressAttentionGetWorkspaceSize");
    Run(aclnnNsaCompressAttention, workspace_size, executor, stream);

    std::printf("attention:");
    const std::vector<op::fp16_t> found = attention.Read();
    for (int64_t row = 0; row < kTokens * kHeads; ++row) {
      std::printf(" %g", static_cast<float>(found[row * kDims]));
    }
    std::printf("\nmaxima as they lie:");
    const std::vector<float> maxima = maximum.Read();
    for (int64_t row = 0; row < kTokens * kHeads; ++row) std::printf(" %g", maxima[row * 8]);
    std::printf("\n");
    aclDestroyIntArray(q_lengths);
    aclDestroyIntArray(kv_lengths);
    aclDestroyIntArray(sel_lengths);
  }
  aclrtDestroyStream(stream);
  aclrtResetDevice(0);
  aclFinalize();
  return 0;
}
