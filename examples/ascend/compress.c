/* As for the device: averages of pairs of tokens with aclnnNsaCompress, 6 tokens of 1 head and 16
 * channels, windows of 2 every 2.
 *
 * cc -std=c99 compress.c $(pkg-config --cflags --libs tamis-ascend) -o compress
 */
#include <stdio.h>

#include "acl/acl.h"
#include "aclnnop/aclnn_nsa_compress.h"

enum { TOKENS = 6, CHANNELS = 16, WINDOW = 2, WINDOWS = 3 };

/* The tensor of `values` in memory of the device, *memory. */
static aclTensor* on_device(const aclFloat16* values, const int64_t* shape, uint64_t rank,
                            void** memory) {
  size_t size = sizeof(aclFloat16);
  uint64_t i;
  for (i = 0; i < rank; ++i) size *= (size_t)shape[i];
  if (aclrtMalloc(memory, size, ACL_MEM_MALLOC_HUGE_FIRST) != ACL_SUCCESS) return NULL;
  if (aclrtMemcpy(*memory, size, values, size, ACL_MEMCPY_HOST_TO_DEVICE) != ACL_SUCCESS)
    return NULL;
  return aclCreateTensor(shape, rank, ACL_FLOAT16, NULL, 0, ACL_FORMAT_ND, shape, rank, *memory);
}

int main(void) {
  aclFloat16 tokens[TOKENS * CHANNELS], weights[WINDOW], averages[WINDOWS * CHANNELS] = {0};
  const int64_t tokens_shape[] = {TOKENS, 1, CHANNELS}, weights_shape[] = {WINDOW, 1};
  const int64_t averages_shape[] = {WINDOWS, 1, CHANNELS}, prefix[] = {TOKENS};
  void *tokens_memory = NULL, *weights_memory = NULL, *averages_memory = NULL, *workspace = NULL;
  aclTensor *input, *weight, *output;
  aclIntArray* lengths;
  uint64_t workspace_size = 0;
  aclOpExecutor* executor = NULL;
  aclrtStream stream = NULL;
  int status, i;

  aclInit(NULL);
  aclrtSetDevice(0);
  aclrtCreateStream(&stream);
  for (i = 0; i < TOKENS * CHANNELS; ++i) tokens[i] = aclFloatToFloat16((float)(i / CHANNELS + 1));
  for (i = 0; i < WINDOW; ++i) weights[i] = aclFloatToFloat16(0.5f);
  input = on_device(tokens, tokens_shape, 3, &tokens_memory);
  weight = on_device(weights, weights_shape, 2, &weights_memory);
  output = on_device(averages, averages_shape, 3, &averages_memory);
  lengths = aclCreateIntArray(prefix, 1);

  status = aclnnNsaCompressGetWorkspaceSize(input, weight, lengths, "TND", WINDOW, WINDOW, 0,
                                            output, &workspace_size, &executor);
  if (status == ACL_SUCCESS && workspace_size > 0) {
    status = aclrtMalloc(&workspace, workspace_size, ACL_MEM_MALLOC_HUGE_FIRST);
  }
  if (status == ACL_SUCCESS) status = aclnnNsaCompress(workspace, workspace_size, executor, stream);
  if (status == ACL_SUCCESS) status = aclrtSynchronizeStream(stream);
  if (status == ACL_SUCCESS) {
    status = aclrtMemcpy(averages, sizeof(averages), averages_memory, sizeof(averages),
                         ACL_MEMCPY_DEVICE_TO_HOST);
  }
  if (status == ACL_SUCCESS) {
    printf("windows:");
    for (i = 0; i < WINDOWS; ++i) printf(" %g", (double)aclFloat16ToFloat(averages[i * CHANNELS]));
    printf("\n");
  } else {
    printf("%d: %s\n", status, aclGetRecentErrMsg());
  }

  aclDestroyTensor(input);
  aclDestroyTensor(weight);
  aclDestroyTensor(output);
  aclDestroyIntArray(lengths);
  aclrtFree(tokens_memory);
  aclrtFree(weights_memory);
  aclrtFree(averages_memory);
  if (workspace != NULL) aclrtFree(workspace);
  aclrtDestroyStream(stream);
  aclrtResetDevice(0);
  aclFinalize();
  return status == ACL_SUCCESS ? 0 : 1;
}
