// What the C++ programs of this folder share: a tensor with its memory on the device, and the two
// stages of a call.
#pragma once

#include <cstdio>
#include <cstdlib>
#include <vector>

#include "acl/acl.h"
#include "aclnn/aclnn_base.h"

// Ends the program where the runtime or an operator says no.
inline void Check(int status, const char* what) {
  if (status == ACL_SUCCESS) return;
  const char* why = aclGetRecentErrMsg();
  std::printf("%s: %d: %s\n", what, status, why == nullptr ? "" : why);
  std::exit(1);
}

// Values copied to the device, and the dense tensor of them; both go with it.
template <typename T>
class DeviceTensor {
 public:
  DeviceTensor(const std::vector<T>& values, const std::vector<int64_t>& shape, aclDataType dtype)
      : count_(values.size()) {
    const size_t size = count_ * sizeof(T);
    Check(aclrtMalloc(&memory_, size, ACL_MEM_MALLOC_HUGE_FIRST), "aclrtMalloc");
    Check(aclrtMemcpy(memory_, size, values.data(), size, ACL_MEMCPY_HOST_TO_DEVICE),
          "aclrtMemcpy");
    tensor_ = aclCreateTensor(shape.data(), shape.size(), dtype, nullptr, 0, ACL_FORMAT_ND,
                              shape.data(), shape.size(), memory_);
  }
  ~DeviceTensor() {
    aclDestroyTensor(tensor_);
    aclrtFree(memory_);
  }
  DeviceTensor(const DeviceTensor&) = delete;
  DeviceTensor& operator=(const DeviceTensor&) = delete;

  aclTensor* get() const { return tensor_; }

  std::vector<T> Read() const {
    std::vector<T> values(count_);
    const size_t size = count_ * sizeof(T);
    Check(aclrtMemcpy(values.data(), size, memory_, size, ACL_MEMCPY_DEVICE_TO_HOST),
          "aclrtMemcpy");
    return values;
  }

 private:
  size_t count_;
  void* memory_ = nullptr;
  aclTensor* tensor_ = nullptr;
};

// The second stage with a workspace of the size that the first wants.
template <typename Stage>
void Run(Stage stage, uint64_t workspace_size, aclOpExecutor* executor, aclrtStream stream) {
  void* workspace = nullptr;
  if (workspace_size > 0) {
    Check(aclrtMalloc(&workspace, workspace_size, ACL_MEM_MALLOC_HUGE_FIRST), "workspace");
  }
  Check(stage(workspace, workspace_size, executor, stream), "second stage");
  Check(aclrtSynchronizeStream(stream), "aclrtSynchronizeStream");
  if (workspace != nullptr) aclrtFree(workspace);
}
