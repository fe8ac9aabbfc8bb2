/* What all headers here share: how their functions are declared, and the line that says why a call
 * of this thread failed. */
#ifndef TAMIS_COMPAT_ASCEND_DETAIL_MESSAGE_H_
#define TAMIS_COMPAT_ASCEND_DETAIL_MESSAGE_H_

#if !defined(__GNUC__)
#error "tamis/compat/ascend needs g++, gcc or clang"
#endif

#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>

/* A program may include these headers in any number of files: C++ merges inline functions, and each
 * file of C has its own. State is one weak object, which files of C and C++ share. */
#ifdef __cplusplus
#define TAMIS_ACL_FUNCTION inline
extern "C" {
#else
#define TAMIS_ACL_FUNCTION static inline
#endif
#define TAMIS_ACL_STATE __attribute__((weak, visibility("default")))

typedef struct tamis_acl_message {
  char text[1024];
  int unread;
} tamis_acl_message;

TAMIS_ACL_STATE __thread tamis_acl_message tamis_acl_recent_message;

/* Keeps the line and returns `status`. */
__attribute__((format(printf, 2, 3))) TAMIS_ACL_FUNCTION int tamis_acl_fail(int status,
                                                                            const char* format,
                                                                            ...) {
  va_list arguments;
  va_start(arguments, format);
  vsnprintf(tamis_acl_recent_message.text, sizeof(tamis_acl_recent_message.text), format,
            arguments);
  va_end(arguments);
  tamis_acl_recent_message.unread = 1;
  return status;
}

TAMIS_ACL_FUNCTION const char* tamis_acl_take_message(void) {
  if (!tamis_acl_recent_message.unread) return NULL;
  tamis_acl_recent_message.unread = 0;
  return tamis_acl_recent_message.text;
}

#ifdef __cplusplus
}
#endif

#endif
