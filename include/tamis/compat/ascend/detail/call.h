/* What the operators' calls have in common: arguments into params of tamis.h, a plan into an
 * executor, and the executor's run. The first complaint of a call is the one that stands. */
#ifndef TAMIS_COMPAT_ASCEND_DETAIL_CALL_H_
#define TAMIS_COMPAT_ASCEND_DETAIL_CALL_H_

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../../../tamis.h"
#include "../acl/acl_base.h"
#include "../aclnn/acl_meta.h"
#include "../aclnn/aclnn_base.h"

#ifdef __cplusplus
extern "C" {
#endif

/* --- how to run ------------------------------------------------------------------------------ */

/* What all calls of the program run with: threads, level, implementation; NULL: the defaults. */
TAMIS_ACL_STATE const tamis_context* tamis_acl_context = NULL;

/* ours: set before the first call; the context must outlive the last. */
TAMIS_ACL_FUNCTION void tamis_ascend_set_context(const tamis_context* context) {
  tamis_acl_context = context;
}

/* --- executors ------------------------------------------------------------------------------- */

typedef struct aclOpExecutor aclOpExecutor;

/* A planned call. `after`, where it is set, turns `kept` into outputs when the plan has run. */
struct aclOpExecutor {
  tamis_plan* plan;
  int repeatable;
  void* kept;
  void (*after)(void* kept);
};

TAMIS_ACL_FUNCTION aclnnStatus aclDestroyAclOpExecutor(aclOpExecutor* executor) {
  if (executor != NULL) {
    tamis_plan_destroy(executor->plan);
    free(executor->kept);
    free(executor);
  }
  return ACLNN_SUCCESS;
}

/* Runs leave the executor as it is, until aclDestroyAclOpExecutor. */
TAMIS_ACL_FUNCTION aclnnStatus aclSetAclOpExecutorRepeatable(aclOpExecutor* executor) {
  if (executor == NULL) {
    return tamis_acl_fail(ACLNN_ERR_PARAM_NULLPTR, "executor: required, but absent");
  }
  executor->repeatable = 1;
  return ACLNN_SUCCESS;
}

/* --- arguments ------------------------------------------------------------------------------- */

/* An argument's name in tamis.h and in the device's call. */
typedef struct tamis_acl_name {
  const char* ours;
  const char* theirs;
} tamis_acl_name;

typedef struct tamis_acl_call {
  aclnnStatus status;
  const tamis_acl_name* names; /* ends with NULL */
  uint64_t* workspace_size;
  aclOpExecutor** executor;
  tamis_plan* plan;
} tamis_acl_call;

TAMIS_ACL_FUNCTION tamis_acl_call tamis_acl_begin(const tamis_acl_name* names,
                                                  uint64_t* workspace_size,
                                                  aclOpExecutor** executor) {
  tamis_acl_call call;
  call.status = ACLNN_SUCCESS;
  call.names = names;
  call.workspace_size = workspace_size;
  call.executor = executor;
  call.plan = NULL;
  if (workspace_size != NULL) *workspace_size = 0;
  if (executor != NULL) *executor = NULL;
  return call;
}

TAMIS_ACL_FUNCTION void tamis_acl_absent(tamis_acl_call* call, const char* name) {
  if (call->status != ACLNN_SUCCESS) return;
  call->status = tamis_acl_fail(ACLNN_ERR_PARAM_NULLPTR, "%s: required, but absent", name);
}

TAMIS_ACL_FUNCTION void tamis_acl_require(tamis_acl_call* call, const char* name,
                                          const void* argument) {
  if (argument == NULL) tamis_acl_absent(call, name);
}

/* An integer that has one right value here, or two. */
TAMIS_ACL_FUNCTION void tamis_acl_expect(tamis_acl_call* call, const char* name, int64_t value,
                                         int64_t expected, int64_t other) {
  if (call->status != ACLNN_SUCCESS || value == expected || value == other) return;
  if (expected == other) {
    call->status = tamis_acl_fail(ACLNN_ERR_PARAM_INVALID, "%s: expected %lld, got %lld", name,
                                  (long long)expected, (long long)value);
  } else {
    call->status = tamis_acl_fail(ACLNN_ERR_PARAM_INVALID, "%s: expected %lld or %lld, got %lld",
                                  name, (long long)expected, (long long)other, (long long)value);
  }
}

/* A tensor of the device's call that must be absent here. */
TAMIS_ACL_FUNCTION void tamis_acl_expect_absent(tamis_acl_call* call, const char* name,
                                                const aclTensor* tensor, const char* why) {
  if (call->status != ACLNN_SUCCESS || tensor == NULL) return;
  call->status = tamis_acl_fail(ACLNN_ERR_PARAM_INVALID,
                                "%s: expected a null pointer (%s), got a tensor", name, why);
}

TAMIS_ACL_FUNCTION tamis_dtype tamis_acl_dtype(aclDataType dtype) {
  switch (dtype) {
    case ACL_FLOAT16: return TAMIS_FLOAT16;
    case ACL_BF16: return TAMIS_BFLOAT16;
    case ACL_FLOAT: return TAMIS_FLOAT32;
    case ACL_DOUBLE: return TAMIS_FLOAT64;
    case ACL_INT8: return TAMIS_INT8;
    case ACL_UINT8: return TAMIS_UINT8;
    case ACL_INT32: return TAMIS_INT32;
    case ACL_INT64: return TAMIS_INT64;
    case ACL_BOOL: return TAMIS_BOOL;
    default: return TAMIS_DTYPE_NONE;
  }
}

TAMIS_ACL_FUNCTION int tamis_acl_is_row_major(aclFormat format) {
  switch (format) {
    case ACL_FORMAT_ND:
    case ACL_FORMAT_NCHW:
    case ACL_FORMAT_NHWC:
    case ACL_FORMAT_HWCN:
    case ACL_FORMAT_NDHWC:
    case ACL_FORMAT_NCDHW:
    case ACL_FORMAT_NC:
    case ACL_FORMAT_NCL: return 1;
    default: return 0;
  }
}

/* The view of a tensor whatever its format. Absent: all zero. */
TAMIS_ACL_FUNCTION tamis_tensor tamis_acl_view(tamis_acl_call* call, const char* name,
                                               const aclTensor* tensor) {
  tamis_tensor view;
  int elements = 1; /* 0: none */
  int32_t i;
  memset(&view, 0, sizeof(view));
  if (tensor == NULL || call->status != ACLNN_SUCCESS) return view;
  view.dtype = tamis_acl_dtype(tensor->dtype);
  if (view.dtype == TAMIS_DTYPE_NONE) {
    call->status =
        tamis_acl_fail(ACLNN_ERR_PARAM_INVALID,
                       "%s: expected float16, bfloat16, float, double, bool or an integer "
                       "of 8, 32 or 64 bits, got aclDataType %d",
                       name, (int)tensor->dtype);
  }
  view.data = tensor->data;
  view.rank = tensor->rank;
  for (i = 0; i < tensor->rank; ++i) {
    view.shape[i] = tensor->shape[i];
    view.strides[i] = tensor->strides[i];
    if (tensor->shape[i] == 0) elements = 0;
  }
  /* The device's first stage refuses what ours would leave to the run. */
  if (view.data == NULL && elements != 0 && call->status == ACLNN_SUCCESS) {
    call->status =
        tamis_acl_fail(ACLNN_ERR_PARAM_NULLPTR, "%s: expected data, got a null pointer", name);
  }
  return view;
}

TAMIS_ACL_FUNCTION tamis_tensor tamis_acl_optional(tamis_acl_call* call, const char* name,
                                                   const aclTensor* tensor) {
  if (tensor != NULL && call->status == ACLNN_SUCCESS && !tamis_acl_is_row_major(tensor->format)) {
    call->status = tamis_acl_fail(ACLNN_ERR_PARAM_INVALID, "%s: expected format ND, 2, got %d",
                                  name, (int)tensor->format);
  }
  return tamis_acl_view(call, name, tensor);
}

TAMIS_ACL_FUNCTION tamis_tensor tamis_acl_required(tamis_acl_call* call, const char* name,
                                                   const aclTensor* tensor) {
  tamis_acl_require(call, name, tensor);
  return tamis_acl_optional(call, name, tensor);
}

/* Letters of the longest shape, "[9223372036854775807, ...]" of TAMIS_MAX_RANK numbers. */
enum { TAMIS_ACL_SHAPE_TEXT = 22 * TAMIS_MAX_RANK + 4 };

/* "[1, 2, 4]", in `text`. */
TAMIS_ACL_FUNCTION const char* tamis_acl_shape_text(char text[TAMIS_ACL_SHAPE_TEXT],
                                                    const int64_t* shape, int32_t rank) {
  size_t used = 1;
  int32_t i;
  text[0] = '[';
  for (i = 0; i < rank; ++i) {
    used += (size_t)snprintf(text + used, TAMIS_ACL_SHAPE_TEXT - used, i == 0 ? "%lld" : ", %lld",
                             (long long)shape[i]);
  }
  memcpy(text + used, "]", 2);
  return text;
}

TAMIS_ACL_FUNCTION tamis_int_list tamis_acl_ints(const aclIntArray* array) {
  tamis_int_list list = {NULL, 0};
  if (array != NULL) {
    list.data = array->values;
    list.size = (int64_t)array->size;
  }
  return list;
}

/* --- from params to an executor -------------------------------------------------------------- */

TAMIS_ACL_FUNCTION aclnnStatus tamis_acl_status(tamis_status status) {
  switch (status) {
    case TAMIS_OK: return ACLNN_SUCCESS;
    case TAMIS_NULL_ARGUMENT: return ACLNN_ERR_PARAM_NULLPTR;
    case TAMIS_INVALID_ARGUMENT:
    case TAMIS_UNSUPPORTED: return ACLNN_ERR_PARAM_INVALID;
    default: return ACLNN_ERR_INNER;
  }
}

/* The device's name of the argument that the first `size` letters name here, or NULL. */
TAMIS_ACL_FUNCTION const char* tamis_acl_theirs(const tamis_acl_name* names, const char* word,
                                                size_t size) {
  for (; names != NULL && names->ours != NULL; ++names) {
    if (strlen(names->ours) == size && memcmp(names->ours, word, size) == 0) return names->theirs;
  }
  return NULL;
}

/* The library's complaint, with the device's names: of the argument that the line begins with, and
 * of those that cannot be an English word. */
TAMIS_ACL_FUNCTION aclnnStatus tamis_acl_complain(const tamis_acl_name* names,
                                                  tamis_status status) {
  static const char letters[] = "abcdefghijklmnopqrstuvwxyz0123456789_";
  const char* const line = tamis_last_error();
  const char* at = line;
  char text[sizeof(tamis_acl_recent_message.text)];
  size_t used = 0;
  while (*at != '\0' && used + 1 < sizeof(text)) {
    const size_t size = strspn(at, letters);
    const char* theirs = NULL;
    size_t room = sizeof(text) - 1 - used;
    if (size == 0) {
      text[used++] = *at++;
      continue;
    }
    if (at == line || memchr(at, '_', size) != NULL) theirs = tamis_acl_theirs(names, at, size);
    if (theirs != NULL && strlen(theirs) < room) room = strlen(theirs);
    if (theirs == NULL && size < room) room = size;
    memcpy(text + used, theirs != NULL ? theirs : at, room);
    used += room;
    at += size;
  }
  text[used] = '\0';
  return tamis_acl_fail(tamis_acl_status(status), "%s", text);
}

TAMIS_ACL_FUNCTION void tamis_acl_planned(tamis_acl_call* call, tamis_status status) {
  if (status != TAMIS_OK) call->status = tamis_acl_complain(call->names, status);
}

/* Hands the plan out, or takes everything back. Owns `kept` from here on. */
TAMIS_ACL_FUNCTION aclnnStatus tamis_acl_end_with(tamis_acl_call* call, void* kept,
                                                  void (*after)(void* kept)) {
  aclOpExecutor* executor = NULL;
  tamis_acl_require(call, "workspaceSize", call->workspace_size);
  tamis_acl_require(call, "executor", call->executor);
  if (call->status == ACLNN_SUCCESS) {
    executor = (aclOpExecutor*)malloc(sizeof(aclOpExecutor));
    if (executor == NULL) {
      call->status = tamis_acl_fail(ACLNN_ERR_INNER, "executor: no memory");
    }
  }
  if (executor == NULL) {
    tamis_plan_destroy(call->plan);
    free(kept);
    return call->status;
  }
  executor->plan = call->plan;
  executor->repeatable = 0;
  executor->kept = kept;
  executor->after = after;
  *call->workspace_size = (uint64_t)tamis_plan_workspace_bytes(call->plan);
  *call->executor = executor;
  return ACLNN_SUCCESS;
}

TAMIS_ACL_FUNCTION aclnnStatus tamis_acl_end(tamis_acl_call* call) {
  return tamis_acl_end_with(call, NULL, NULL);
}

/* The second stage of every operator: runs, and takes the executor unless it is repeatable. */
TAMIS_ACL_FUNCTION aclnnStatus tamis_acl_run(void* workspace, uint64_t workspace_size,
                                             aclOpExecutor* executor) {
  const int64_t size = workspace_size > INT64_MAX ? INT64_MAX : (int64_t)workspace_size;
  aclnnStatus status = ACLNN_SUCCESS;
  if (executor == NULL) {
    return tamis_acl_fail(ACLNN_ERR_PARAM_NULLPTR, "executor: required, but absent");
  }
  if (workspace == NULL && tamis_plan_workspace_bytes(executor->plan) > 0) {
    status = tamis_acl_fail(ACLNN_ERR_PARAM_NULLPTR,
                            "workspace: expected %lld bytes, got a null pointer",
                            (long long)tamis_plan_workspace_bytes(executor->plan));
  } else {
    const tamis_status run = tamis_plan_run(executor->plan, workspace, size, NULL);
    if (run != TAMIS_OK) {
      status = tamis_acl_complain(NULL, run);
    } else if (executor->after != NULL) {
      executor->after(executor->kept);
    }
  }
  if (!executor->repeatable) aclDestroyAclOpExecutor(executor);
  return status;
}

#ifdef __cplusplus
}
#endif

#endif
