// What the files of this program share: claims that are counted, tensors on the device, runs.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "acl/acl.h"
#include "aclnn/acl_meta.h"
#include "aclnnop/aclnn_nsa_compress.h"

// A claim: printed, and counted as failed, where it does not hold.
void Expect(bool holds, const std::string& claim);

// The call failed with this code, and the line that aclGetRecentErrMsg gives begins with
// `argument`.
void ExpectRefused(int status, int expected, const std::string& argument,
                   const std::string& line = "");

// A tensor and its memory on the device. Numbers are fixed by the seed: multiples of 1/32 below 1.
struct Tensor {
  Tensor() = default;
  Tensor(std::vector<int64_t> sizes, aclDataType type, uint32_t seed);
  Tensor(std::vector<int64_t> sizes, std::vector<int32_t> values);
  ~Tensor();
  Tensor(const Tensor&) = delete;
  Tensor& operator=(const Tensor&) = delete;

  size_t bytes() const;
  size_t count() const;
  double At(size_t index) const;
  void Fill(int byte) const { aclrtMemset(memory, bytes(), byte, bytes()); }
  // The same memory for tamis.h.
  tamis_tensor View() const;

  std::vector<int64_t> shape;
  aclDataType dtype = ACL_DT_UNDEFINED;
  void* memory = nullptr;
  aclTensor* acl = nullptr;  // what the device's calls take; a null pointer: absent
};

// A null pointer that compilers do not see through, and warn about.
void* Nothing();

struct Ints {
  explicit Ints(const std::vector<int64_t>& values)
      : values(values), acl(aclCreateIntArray(values.data(), values.size())) {}
  ~Ints() { aclDestroyIntArray(acl); }
  Ints(const Ints&) = delete;
  Ints& operator=(const Ints&) = delete;
  tamis_int_list View() const { return {values.data(), static_cast<int64_t>(values.size())}; }

  std::vector<int64_t> values;
  aclIntArray* acl;
};

using Stage = aclnnStatus (*)(void*, uint64_t, aclOpExecutor*, aclrtStream);

// The second stage, after a first one that gave `status`.
void Run(const std::string& what, int status, Stage stage, uint64_t workspace_size,
         aclOpExecutor* executor);

// Plans of tamis.h run by the reference: what the calls are compared with.
void RunReference(const std::string& what, tamis_status planned, tamis_plan** plan);
const tamis_context* Reference();

// The same integers, and numbers that differ by no more than neighbours of their dtype do.
void ExpectEqual(const std::string& what, const Tensor& found, const Tensor& expected);

void CheckCalls();     // results are the reference's
void CheckRefusals();  // codes and lines
void CheckRuntime();   // memory, numbers, arguments
extern "C" int FailInC(void);
