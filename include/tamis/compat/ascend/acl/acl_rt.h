/* The runtime, for CPUs: one device, number 0, whose memory is the host's. A stream runs each call
 * when it is given, so there is never anything to wait for. */
#ifndef TAMIS_COMPAT_ASCEND_ACL_ACL_RT_H_
#define TAMIS_COMPAT_ASCEND_ACL_ACL_RT_H_

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "acl_base.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef enum {
  ACL_MEM_MALLOC_HUGE_FIRST = 0,
  ACL_MEM_MALLOC_HUGE_ONLY = 1,
  ACL_MEM_MALLOC_NORMAL_ONLY = 2,
  ACL_MEM_MALLOC_HUGE_FIRST_P2P = 3,
  ACL_MEM_MALLOC_HUGE_ONLY_P2P = 4,
  ACL_MEM_MALLOC_NORMAL_ONLY_P2P = 5
} aclrtMemMallocPolicy;

typedef enum {
  ACL_MEMCPY_HOST_TO_HOST = 0,
  ACL_MEMCPY_HOST_TO_DEVICE = 1,
  ACL_MEMCPY_DEVICE_TO_HOST = 2,
  ACL_MEMCPY_DEVICE_TO_DEVICE = 3,
  ACL_MEMCPY_DEFAULT = 4
} aclrtMemcpyKind;

typedef enum { ACL_DEVICE = 0, ACL_HOST = 1 } aclrtRunMode;

/* --- devices, contexts ----------------------------------------------------------------------- */

TAMIS_ACL_FUNCTION aclError tamis_acl_check_device(int32_t deviceId) {
  if (deviceId == 0) return ACL_SUCCESS;
  return tamis_acl_fail(ACL_ERROR_RT_INVALID_DEVICEID,
                        "deviceId: expected 0, the only device here, got %d", (int)deviceId);
}

TAMIS_ACL_FUNCTION aclError tamis_acl_check_out(const char* name, const void* out) {
  if (out != NULL) return ACL_SUCCESS;
  return tamis_acl_fail(ACL_ERROR_INVALID_PARAM, "%s: required, but absent", name);
}

TAMIS_ACL_FUNCTION aclError aclrtSetDevice(int32_t deviceId) {
  return tamis_acl_check_device(deviceId);
}

TAMIS_ACL_FUNCTION aclError aclrtResetDevice(int32_t deviceId) {
  return tamis_acl_check_device(deviceId);
}

TAMIS_ACL_FUNCTION aclError aclrtGetDevice(int32_t* deviceId) {
  if (deviceId == NULL) return tamis_acl_check_out("deviceId", deviceId);
  *deviceId = 0;
  return ACL_SUCCESS;
}

TAMIS_ACL_FUNCTION aclError aclrtGetDeviceCount(uint32_t* count) {
  if (count == NULL) return tamis_acl_check_out("count", count);
  *count = 1;
  return ACL_SUCCESS;
}

TAMIS_ACL_FUNCTION aclError aclrtSynchronizeDevice(void) { return ACL_SUCCESS; }

TAMIS_ACL_FUNCTION aclError aclrtGetRunMode(aclrtRunMode* runMode) {
  if (runMode == NULL) return tamis_acl_check_out("runMode", runMode);
  *runMode = ACL_HOST;
  return ACL_SUCCESS;
}

/* Contexts, streams and events are numbers, no memory: a program of the device may destroy what it
 * never created, and goes on. */
TAMIS_ACL_STATE uintptr_t tamis_acl_handles = 0;

TAMIS_ACL_FUNCTION aclError tamis_acl_create_handle(const char* name, void** handle) {
  if (handle == NULL) return tamis_acl_check_out(name, handle);
  *handle = (void*)__atomic_add_fetch(&tamis_acl_handles, 1, __ATOMIC_RELAXED);
  return ACL_SUCCESS;
}

TAMIS_ACL_FUNCTION aclError aclrtCreateContext(aclrtContext* context, int32_t deviceId) {
  const aclError status = tamis_acl_check_device(deviceId);
  return status != ACL_SUCCESS ? status : tamis_acl_create_handle("context", context);
}

TAMIS_ACL_FUNCTION aclError aclrtSetCurrentContext(aclrtContext context) {
  return tamis_acl_check_out("context", context);
}

TAMIS_ACL_FUNCTION aclError aclrtDestroyContext(aclrtContext context) {
  (void)context;
  return ACL_SUCCESS;
}

/* --- streams, events: NULL is the default stream --------------------------------------------- */

TAMIS_ACL_FUNCTION aclError aclrtCreateStream(aclrtStream* stream) {
  return tamis_acl_create_handle("stream", stream);
}

TAMIS_ACL_FUNCTION aclError aclrtCreateStreamWithConfig(aclrtStream* stream, uint32_t priority,
                                                        uint32_t flag) {
  (void)priority;
  (void)flag;
  return tamis_acl_create_handle("stream", stream);
}

TAMIS_ACL_FUNCTION aclError aclrtDestroyStream(aclrtStream stream) {
  (void)stream;
  return ACL_SUCCESS;
}

TAMIS_ACL_FUNCTION aclError aclrtDestroyStreamForce(aclrtStream stream) {
  return aclrtDestroyStream(stream);
}

TAMIS_ACL_FUNCTION aclError aclrtSynchronizeStream(aclrtStream stream) {
  (void)stream;
  return ACL_SUCCESS;
}

TAMIS_ACL_FUNCTION aclError aclrtSynchronizeStreamWithTimeout(aclrtStream stream, int32_t timeout) {
  (void)timeout;
  return aclrtSynchronizeStream(stream);
}

TAMIS_ACL_FUNCTION aclError aclrtCreateEvent(aclrtEvent* event) {
  return tamis_acl_create_handle("event", event);
}

TAMIS_ACL_FUNCTION aclError aclrtDestroyEvent(aclrtEvent event) {
  (void)event;
  return ACL_SUCCESS;
}

TAMIS_ACL_FUNCTION aclError aclrtRecordEvent(aclrtEvent event, aclrtStream stream) {
  (void)stream;
  return tamis_acl_check_out("event", event);
}

TAMIS_ACL_FUNCTION aclError aclrtStreamWaitEvent(aclrtStream stream, aclrtEvent event) {
  (void)stream;
  return tamis_acl_check_out("event", event);
}

TAMIS_ACL_FUNCTION aclError aclrtSynchronizeEvent(aclrtEvent event) {
  return tamis_acl_check_out("event", event);
}

/* --- memory ---------------------------------------------------------------------------------- */

/* Aligned to 64 bytes, as operators want their workspace; not cleared. */
TAMIS_ACL_FUNCTION aclError tamis_acl_allocate(const char* name, void** memory, size_t size) {
  char* block;
  char* aligned;
  if (memory == NULL) return tamis_acl_check_out(name, memory);
  *memory = NULL;
  if (size == 0) {
    return tamis_acl_fail(ACL_ERROR_INVALID_PARAM, "size: expected at least 1 byte, got 0");
  }
  block = size > SIZE_MAX - 128 ? NULL : (char*)malloc(size + 64 + sizeof(void*));
  if (block == NULL) {
    return tamis_acl_fail(ACL_ERROR_BAD_ALLOC, "size: no memory for %llu bytes",
                          (unsigned long long)size);
  }
  aligned = block + sizeof(void*);
  aligned += (64 - (uintptr_t)aligned % 64) % 64;
  memcpy(aligned - sizeof(void*), &block, sizeof(void*));
  *memory = aligned;
  return ACL_SUCCESS;
}

TAMIS_ACL_FUNCTION aclError tamis_acl_release(void* memory) {
  char* block;
  if (memory == NULL) return tamis_acl_check_out("memory", memory);
  memcpy(&block, (char*)memory - sizeof(void*), sizeof(void*));
  free(block);
  return ACL_SUCCESS;
}

TAMIS_ACL_FUNCTION aclError aclrtMalloc(void** devPtr, size_t size, aclrtMemMallocPolicy policy) {
  (void)policy;
  return tamis_acl_allocate("devPtr", devPtr, size);
}

TAMIS_ACL_FUNCTION aclError aclrtMallocAlign32(void** devPtr, size_t size,
                                               aclrtMemMallocPolicy policy) {
  return aclrtMalloc(devPtr, size, policy);
}

TAMIS_ACL_FUNCTION aclError aclrtFree(void* devPtr) { return tamis_acl_release(devPtr); }

TAMIS_ACL_FUNCTION aclError aclrtMallocHost(void** hostPtr, size_t size) {
  return tamis_acl_allocate("hostPtr", hostPtr, size);
}

TAMIS_ACL_FUNCTION aclError aclrtFreeHost(void* hostPtr) { return tamis_acl_release(hostPtr); }

/* What copies and fills have in common: `count` bytes into room for `room`. */
TAMIS_ACL_FUNCTION aclError tamis_acl_check_span(const void* target, const char* room_name,
                                                 size_t room, const void* source, size_t count) {
  if (count > room) {
    return tamis_acl_fail(ACL_ERROR_RT_PARAM_INVALID, "count: expected at most %s, %llu, got %llu",
                          room_name, (unsigned long long)room, (unsigned long long)count);
  }
  if (target == NULL) return tamis_acl_check_out("dst", target);
  return tamis_acl_check_out("src", source);
}

TAMIS_ACL_FUNCTION aclError aclrtMemcpy(void* dst, size_t destMax, const void* src, size_t count,
                                        aclrtMemcpyKind kind) {
  aclError status;
  if ((int)kind < ACL_MEMCPY_HOST_TO_HOST || (int)kind > ACL_MEMCPY_DEFAULT) {
    return tamis_acl_fail(ACL_ERROR_INVALID_PARAM, "kind: expected 0 to 4, got %d", (int)kind);
  }
  status = tamis_acl_check_span(dst, "destMax", destMax, src, count);
  if (status == ACL_SUCCESS) memcpy(dst, src, count);
  return status;
}

TAMIS_ACL_FUNCTION aclError aclrtMemcpyAsync(void* dst, size_t destMax, const void* src,
                                             size_t count, aclrtMemcpyKind kind,
                                             aclrtStream stream) {
  (void)stream;
  return aclrtMemcpy(dst, destMax, src, count, kind);
}

TAMIS_ACL_FUNCTION aclError aclrtMemset(void* devPtr, size_t maxCount, int32_t value,
                                        size_t count) {
  const aclError status = tamis_acl_check_span(devPtr, "maxCount", maxCount, devPtr, count);
  if (status == ACL_SUCCESS) memset(devPtr, value, count);
  return status;
}

TAMIS_ACL_FUNCTION aclError aclrtMemsetAsync(void* devPtr, size_t maxCount, int32_t value,
                                             size_t count, aclrtStream stream) {
  (void)stream;
  return aclrtMemset(devPtr, maxCount, value, count);
}

#ifdef __cplusplus
}
#endif

#endif
