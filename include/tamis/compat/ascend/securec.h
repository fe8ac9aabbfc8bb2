/* The checked copies that device code includes as securec.h. What does not fit is not written. */
#ifndef TAMIS_COMPAT_ASCEND_SECUREC_H_
#define TAMIS_COMPAT_ASCEND_SECUREC_H_

#include <errno.h>
#include <stddef.h>
#include <string.h>

#include "detail/message.h"

#ifdef __cplusplus
extern "C" {
#endif

#ifndef EOK
#define EOK 0
#endif
typedef int errno_t;

TAMIS_ACL_FUNCTION errno_t memcpy_s(void* dest, size_t destMax, const void* src, size_t count) {
  if (dest == NULL || src == NULL) return EINVAL;
  if (count > destMax) return ERANGE;
  memcpy(dest, src, count);
  return EOK;
}

TAMIS_ACL_FUNCTION errno_t memmove_s(void* dest, size_t destMax, const void* src, size_t count) {
  if (dest == NULL || src == NULL) return EINVAL;
  if (count > destMax) return ERANGE;
  memmove(dest, src, count);
  return EOK;
}

TAMIS_ACL_FUNCTION errno_t memset_s(void* dest, size_t destMax, int c, size_t count) {
  if (dest == NULL) return EINVAL;
  if (count > destMax) return ERANGE;
  memset(dest, c, count);
  return EOK;
}

TAMIS_ACL_FUNCTION errno_t strcpy_s(char* dest, size_t destMax, const char* src) {
  return src == NULL ? EINVAL : memcpy_s(dest, destMax, src, strlen(src) + 1);
}

#ifdef __cplusplus
}
#endif

#endif
