#include <cmath>
#include <cstdio>
#include <cstring>

#include "checks.h"

namespace {

int claims = 0;
int failed = 0;

uint16_t Bits(const Tensor& tensor, size_t index) {
  uint16_t bits;
  std::memcpy(&bits, static_cast<const char*>(tensor.memory) + index * sizeof(bits), sizeof(bits));
  return bits;
}

float FromBfloat16(uint16_t half) {
  const uint32_t bits = static_cast<uint32_t>(half) << 16;
  float value;
  std::memcpy(&value, &bits, sizeof(value));
  return value;
}

}  // namespace

void* Nothing() { return nullptr; }

void Expect(bool holds, const std::string& claim) {
  ++claims;
  if (holds) return;
  ++failed;
  std::printf("FAILED: %s\n", claim.c_str());
}

void ExpectRefused(int status, int expected, const std::string& argument, const std::string& line) {
  const char* said = aclGetRecentErrMsg();
  const std::string text = said == nullptr ? "" : said;
  Expect(status == expected, argument + ": expected " + std::to_string(expected) + ", got " +
                                 std::to_string(status) + ", " + text);
  Expect(text.rfind(argument + ": ", 0) == 0 || text.rfind(argument + "[", 0) == 0,
         argument + ": expected its name first, got " + text);
  Expect(text.find('\n') == std::string::npos, argument + ": expected one line");
  Expect(line.empty() || text == line, "expected the line '" + line + "', got '" + text + "'");
  Expect(aclGetRecentErrMsg() == nullptr, argument + ": expected that a line is given once");
}

Tensor::Tensor(std::vector<int64_t> sizes, aclDataType type, uint32_t seed)
    : shape(std::move(sizes)), dtype(type) {
  aclrtMalloc(&memory, bytes(), ACL_MEM_MALLOC_HUGE_FIRST);
  Fill(0);
  for (size_t i = 0; i < count() && seed != 0; ++i) {
    seed = seed * 1664525u + 1013904223u;
    const float value = static_cast<float>(static_cast<int>(seed >> 26) - 32) / 32.0f;
    uint32_t bits;
    std::memcpy(&bits, &value, sizeof(bits));
    const uint16_t half =
        type == ACL_BF16 ? static_cast<uint16_t>(bits >> 16) : aclFloatToFloat16(value);
    if (aclDataTypeSize(type) == 2) {
      std::memcpy(static_cast<char*>(memory) + i * 2, &half, 2);
    } else {
      std::memcpy(static_cast<char*>(memory) + i * 4, &value, 4);
    }
  }
  acl = aclCreateTensor(shape.data(), shape.size(), dtype, nullptr, 0, ACL_FORMAT_ND, shape.data(),
                        shape.size(), memory);
}

Tensor::Tensor(std::vector<int64_t> sizes, std::vector<int32_t> values)
    : Tensor(std::move(sizes), ACL_INT32, 0) {
  aclrtMemcpy(memory, bytes(), values.data(), values.size() * sizeof(int32_t),
              ACL_MEMCPY_HOST_TO_DEVICE);
}

Tensor::~Tensor() {
  aclDestroyTensor(acl);
  if (memory != nullptr) aclrtFree(memory);
}

size_t Tensor::count() const {
  size_t product = 1;
  for (const int64_t size : shape) product *= static_cast<size_t>(size);
  return product;
}

size_t Tensor::bytes() const { return count() * aclDataTypeSize(dtype); }

double Tensor::At(size_t index) const {
  if (dtype == ACL_FLOAT16) return aclFloat16ToFloat(Bits(*this, index));
  if (dtype == ACL_BF16) return FromBfloat16(Bits(*this, index));
  if (dtype == ACL_INT32) return static_cast<const int32_t*>(memory)[index];
  return static_cast<const float*>(memory)[index];
}

tamis_tensor Tensor::View() const {
  if (acl == nullptr) return tamis_tensor{};
  const tamis_dtype type = dtype == ACL_FLOAT16 ? TAMIS_FLOAT16
                           : dtype == ACL_BF16  ? TAMIS_BFLOAT16
                           : dtype == ACL_INT32 ? TAMIS_INT32
                           : dtype == ACL_INT8  ? TAMIS_INT8
                           : dtype == ACL_UINT8 ? TAMIS_UINT8
                                                : TAMIS_FLOAT32;
  return tamis_dense_tensor(memory, type, static_cast<int32_t>(shape.size()), shape.data());
}

void Run(const std::string& what, int status, Stage stage, uint64_t workspace_size,
         aclOpExecutor* executor) {
  const char* why = status == ACLNN_SUCCESS ? nullptr : aclGetRecentErrMsg();
  Expect(status == ACLNN_SUCCESS, what + ": " + (why == nullptr ? "" : why));
  if (status != ACLNN_SUCCESS) return;
  void* workspace = nullptr;
  if (workspace_size > 0) aclrtMalloc(&workspace, workspace_size, ACL_MEM_MALLOC_HUGE_FIRST);
  aclrtStream stream = nullptr;
  aclrtCreateStream(&stream);
  Expect(stage(workspace, workspace_size, executor, stream) == ACLNN_SUCCESS, what + " runs");
  Expect(aclrtSynchronizeStream(stream) == ACL_SUCCESS, what + " ends");
  aclrtDestroyStream(stream);
  if (workspace != nullptr) aclrtFree(workspace);
}

const tamis_context* Reference() {
  static const struct Owner {
    Owner() {
      tamis_context_create(&context);
      tamis_context_set_implementation(context, TAMIS_IMPLEMENTATION_REFERENCE);
    }
    ~Owner() { tamis_context_destroy(context); }
    tamis_context* context = nullptr;
  } owner;
  return owner.context;
}

void RunReference(const std::string& what, tamis_status planned, tamis_plan** plan) {
  Expect(planned == TAMIS_OK, what + " by the reference: " + tamis_last_error());
  if (planned == TAMIS_OK) {
    Expect(tamis_plan_run(*plan, nullptr, 0, nullptr) == TAMIS_OK, what + " by the reference runs");
  }
  tamis_plan_destroy(*plan);
  *plan = nullptr;
}

void ExpectEqual(const std::string& what, const Tensor& found, const Tensor& expected) {
  // Values that are nearer than half a step round to the same 16 bits or to neighbours. Sums of at
  // most 64 fp32 terms differ by 8 sqrt(64) 2^-24 of themselves. Near 0 values of up to 1 have
  // cancelled, which a level may multiply as 16-bit integers: steps of 2^-15, twice.
  const double step = expected.dtype == ACL_BF16      ? 0x1p-7
                      : expected.dtype == ACL_FLOAT16 ? 0x1p-10
                      : expected.dtype == ACL_FLOAT   ? 0x1p-18
                                                      : 0;
  const double near_zero = aclDataTypeSize(expected.dtype) == 2 ? 0x1p-14 : 0;
  size_t wrong = 0, first = 0, nonzero = 0;
  for (size_t i = 0; i < expected.count(); ++i) {
    const double a = found.At(i), b = expected.At(i);
    nonzero += b != 0;
    if (a == b || std::abs(a - b) <= step * std::abs(b) + near_zero) continue;
    if (wrong++ == 0) first = i;
  }
  Expect(wrong == 0, what + ": " + std::to_string(wrong) + " values differ, first [" +
                         std::to_string(first) + "]: " + std::to_string(found.At(first)) + " not " +
                         std::to_string(expected.At(first)));
  Expect(nonzero > 0, what + ": expected a result that is not all zeros");
}

int main() {
  Expect(aclInit(nullptr) == ACL_SUCCESS, "aclInit");
  Expect(aclrtSetDevice(0) == ACL_SUCCESS, "aclrtSetDevice");
  CheckRuntime();
  CheckRefusals();
  CheckCalls();
  // What a file of C complained about is read here: the line is the program's, not the file's.
  ExpectRefused(FailInC(), ACLNN_ERR_PARAM_NULLPTR, "input", "input: required, but absent");
  Expect(aclrtResetDevice(0) == ACL_SUCCESS, "aclrtResetDevice");
  Expect(aclFinalize() == ACL_SUCCESS, "aclFinalize");
  std::printf("consumer: tamis %s, %d claims, %d failed\n", tamis_version(), claims, failed);
  return failed == 0 ? 0 : 1;
}
