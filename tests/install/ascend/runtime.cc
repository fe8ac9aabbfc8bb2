#include <cmath>
#include <cstring>
#include <thread>

#include "aclnn/opdev/bfloat16.h"
#include "aclnn/opdev/fp16_t.h"
#include "aclnn/opdev/platform.h"
#include "checks.h"
#include "securec.h"

namespace {

void CheckHalves() {
  // Every float16 and back; and rounding between neighbours goes to the even one.
  int wrong = 0;
  for (uint32_t bits = 0; bits < 0x10000; ++bits) {
    const auto half = static_cast<aclFloat16>(bits);
    const float value = aclFloat16ToFloat(half);
    const bool nan = (bits & 0x7FFF) > 0x7C00;
    if (nan ? !std::isnan(value) : aclFloatToFloat16(value) != half) ++wrong;
    if ((bits & 0x7FFF) < 0x7BFF) {
      const float next = aclFloat16ToFloat(static_cast<aclFloat16>(bits + 1));
      const float middle = (value + next) / 2;  // exact
      const uint32_t even = bits + (bits & 1);
      if (aclFloatToFloat16(middle) != even) ++wrong;
      if (aclFloatToFloat16(std::nextafter(middle, value)) != bits) ++wrong;
      if (aclFloatToFloat16(std::nextafter(middle, next)) != bits + 1) ++wrong;
    }
  }
  Expect(wrong == 0, "float16 rounds to nearest, ties to even: " + std::to_string(wrong));
  Expect(aclFloatToFloat16(65519.0f) == 0x7BFF, "65519 is the largest float16");
  Expect(aclFloatToFloat16(65520.0f) == 0x7C00, "65520 is infinity");
  Expect(std::isnan(aclFloat16ToFloat(aclFloatToFloat16(NAN))), "NaN stays NaN");
  Expect(static_cast<int32_t>(op::fp16_t(-7)) == -7, "fp16_t converts like a number");
  Expect(op::fp16_t(1.5) + op::fp16_t(1) == 2.5f, "fp16_t computes like a number");
  Expect(op::bfloat16(1.0f).value == 0x3F80, "bfloat16 is the upper half of a float");
  Expect(op::bfloat16(1.00390625f).value == 0x3F80, "bfloat16 rounds ties to even");
  Expect(op::bfloat16(1.01171875f).value == 0x3F82, "bfloat16 rounds ties to even, upwards");
  Expect(std::isnan(static_cast<float>(op::bfloat16(NAN))), "bfloat16 keeps NaN");
  Expect(op::bfloat16(0x4049, op::bfloat16::from_bits()) == 3.140625f, "bfloat16 from bits");
  Expect(op::GetCurrentPlatformInfo().GetCurNpuArch() == NpuArch::DAV_3510, "the newest NPU");
}

void CheckMemory() {
  void* memory = nullptr;
  Expect(aclrtMalloc(&memory, 100, ACL_MEM_MALLOC_HUGE_FIRST) == ACL_SUCCESS, "aclrtMalloc");
  Expect(reinterpret_cast<uintptr_t>(memory) % 64 == 0, "memory is aligned to 64 bytes");
  char text[100];
  for (const auto kind :
       {ACL_MEMCPY_HOST_TO_HOST, ACL_MEMCPY_HOST_TO_DEVICE, ACL_MEMCPY_DEVICE_TO_HOST,
        ACL_MEMCPY_DEVICE_TO_DEVICE, ACL_MEMCPY_DEFAULT}) {
    std::memset(text, 'a' + static_cast<int>(kind), sizeof(text));
    Expect(aclrtMemcpy(memory, 100, text, 100, kind) == ACL_SUCCESS, "aclrtMemcpy of a kind");
    Expect(std::memcmp(memory, text, 100) == 0, "aclrtMemcpy copies");
  }
  ExpectRefused(aclrtMemcpy(memory, 99, text, 100, ACL_MEMCPY_HOST_TO_DEVICE),
                ACL_ERROR_RT_PARAM_INVALID, "count",
                "count: expected at most destMax, 99, got 100");
  ExpectRefused(aclrtMemcpy(Nothing(), 100, text, 100, ACL_MEMCPY_HOST_TO_DEVICE),
                ACL_ERROR_INVALID_PARAM, "dst");
  ExpectRefused(aclrtMemcpy(memory, 100, Nothing(), 100, ACL_MEMCPY_HOST_TO_DEVICE),
                ACL_ERROR_INVALID_PARAM, "src");
  ExpectRefused(aclrtMemcpy(memory, 100, text, 100, static_cast<aclrtMemcpyKind>(7)),
                ACL_ERROR_INVALID_PARAM, "kind");
  Expect(aclrtMemset(memory, 100, 0x5A, 50) == ACL_SUCCESS, "aclrtMemset");
  Expect(static_cast<char*>(memory)[49] == 0x5A && static_cast<char*>(memory)[50] != 0x5A,
         "aclrtMemset fills what it is told");
  ExpectRefused(aclrtMemset(memory, 100, 0, 101), ACL_ERROR_RT_PARAM_INVALID, "count");
  Expect(aclrtFree(memory) == ACL_SUCCESS, "aclrtFree");
  ExpectRefused(aclrtFree(nullptr), ACL_ERROR_INVALID_PARAM, "memory");
  ExpectRefused(aclrtMalloc(&memory, 0, ACL_MEM_MALLOC_HUGE_FIRST), ACL_ERROR_INVALID_PARAM,
                "size");
  ExpectRefused(aclrtMalloc(&memory, SIZE_MAX, ACL_MEM_MALLOC_HUGE_FIRST), ACL_ERROR_BAD_ALLOC,
                "size");
  Expect(memory == nullptr, "no memory is a null pointer");
  ExpectRefused(aclrtMalloc(nullptr, 1, ACL_MEM_MALLOC_HUGE_FIRST), ACL_ERROR_INVALID_PARAM,
                "devPtr");
  Expect(aclrtMallocHost(&memory, 1) == ACL_SUCCESS && aclrtFreeHost(memory) == ACL_SUCCESS,
         "memory of the host");
}

void CheckHandles() {
  uint32_t count = 0;
  int32_t device = 7;
  aclrtContext context = nullptr;
  aclrtEvent event = nullptr;
  Expect(aclrtGetDeviceCount(&count) == ACL_SUCCESS && count == 1, "there is one device");
  Expect(aclrtGetDevice(&device) == ACL_SUCCESS && device == 0, "it is number 0");
  ExpectRefused(aclrtSetDevice(3), ACL_ERROR_RT_INVALID_DEVICEID, "deviceId",
                "deviceId: expected 0, the only device here, got 3");
  Expect(aclrtCreateContext(&context, 0) == ACL_SUCCESS, "aclrtCreateContext");
  Expect(aclrtSetCurrentContext(context) == ACL_SUCCESS, "aclrtSetCurrentContext");
  Expect(aclrtDestroyContext(context) == ACL_SUCCESS, "aclrtDestroyContext");
  Expect(aclrtDestroyContext(&context) == ACL_SUCCESS, "what is no context is not freed");
  ExpectRefused(aclrtCreateContext(&context, 1), ACL_ERROR_RT_INVALID_DEVICEID, "deviceId");
  ExpectRefused(aclrtCreateStream(nullptr), ACL_ERROR_INVALID_PARAM, "stream");
  aclrtStream stream = nullptr, other = nullptr;
  Expect(aclrtCreateStream(&stream) == ACL_SUCCESS && aclrtCreateStream(&other) == ACL_SUCCESS,
         "aclrtCreateStream");
  Expect(stream != nullptr && other != nullptr && stream != other, "every stream is another");
  Expect(aclrtDestroyStream(&stream) == ACL_SUCCESS, "what is no stream is not freed");
  Expect(aclrtCreateEvent(&event) == ACL_SUCCESS, "aclrtCreateEvent");
  Expect(aclrtRecordEvent(event, nullptr) == ACL_SUCCESS, "aclrtRecordEvent");
  Expect(aclrtSynchronizeEvent(event) == ACL_SUCCESS, "aclrtSynchronizeEvent");
  Expect(aclrtDestroyEvent(event) == ACL_SUCCESS, "aclrtDestroyEvent");
}

void CheckArguments() {
  const int64_t shape[] = {2, 3, 4}, strides[] = {24, 8, 1};
  float values[64];
  aclTensor* tensor =
      aclCreateTensor(shape, 3, ACL_FLOAT, nullptr, 5, ACL_FORMAT_ND, shape, 3, values);
  Expect(tensor->strides[0] == 12 && tensor->strides[1] == 4 && tensor->strides[2] == 1,
         "a tensor without strides is dense");
  Expect(tensor->data == values + 5, "the offset counts elements");
  aclDestroyTensor(tensor);
  tensor = aclCreateTensor(shape, 3, ACL_FLOAT, strides, 0, ACL_FORMAT_ND, shape, 3, values);
  Expect(tensor->strides[0] == 24 && tensor->strides[1] == 8, "strides are kept");
  aclDestroyTensor(tensor);
  Expect(
      aclCreateTensor(shape, 9, ACL_FLOAT, nullptr, 0, ACL_FORMAT_ND, shape, 3, values) == nullptr,
      "nine dimensions are too many");
  ExpectRefused(ACL_ERROR_INVALID_PARAM, ACL_ERROR_INVALID_PARAM, "viewDims");
  Expect(aclCreateTensor(nullptr, 1, ACL_FLOAT, nullptr, 0, ACL_FORMAT_ND, nullptr, 0, values) ==
             nullptr,
         "sizes are needed");
  uint64_t size = 0;
  aclIntArray* array = aclCreateIntArray(shape, 3);
  Expect(aclGetIntArraySize(array, &size) == ACL_SUCCESS && size == 3, "aclGetIntArraySize");
  aclDestroyIntArray(array);
  Expect(aclCreateIntArray(nullptr, 3) == nullptr, "values are needed");
  array = aclCreateIntArray(nullptr, 0);
  Expect(array != nullptr, "a list may be empty");
  aclDestroyIntArray(array);
  aclScalar* scalar = aclCreateScalar(values, ACL_FLOAT);
  Expect(scalar != nullptr, "aclCreateScalar");
  aclDestroyScalar(scalar);
  Expect(aclCreateScalar(nullptr, ACL_FLOAT) == nullptr, "a value is needed");
  aclDestroyTensor(nullptr);
  aclDestroyIntArray(nullptr);
  aclDestroyScalar(nullptr);
  aclGetRecentErrMsg();
}

void CheckSecurec() {
  char text[4] = "abc";
  Expect(memcpy_s(text, sizeof(text), "xyz", 4) == EOK && text[0] == 'x', "memcpy_s");
  Expect(memcpy_s(text, sizeof(text), "12345", 6) == ERANGE && text[0] == 'x',
         "memcpy_s, too long");
  Expect(strcpy_s(text, sizeof(text), "1234") == ERANGE && text[0] == 'x', "strcpy_s, too long");
  Expect(memset_s(text, sizeof(text), 'a', 3) == EOK && text[2] == 'a', "memset_s");
}

// A line belongs to the thread whose call failed.
void CheckThreads() {
  aclrtSetDevice(5);
  const char* other = "";
  std::thread([&other] { other = aclGetRecentErrMsg(); }).join();
  Expect(other == nullptr, "another thread's line is not given");
  Expect(aclGetRecentErrMsg() != nullptr, "this thread's line is kept");
}

}  // namespace

void CheckRuntime() {
  CheckHalves();
  CheckMemory();
  CheckHandles();
  CheckArguments();
  CheckSecurec();
  CheckThreads();
}
