/* Arguments of operators: tensors, lists of integers, scalars. Each create returns NULL where an
 * argument is wrong or memory is short, and aclGetRecentErrMsg says which; each destroy takes NULL.
 */
#ifndef TAMIS_COMPAT_ASCEND_ACLNN_ACL_META_H_
#define TAMIS_COMPAT_ASCEND_ACLNN_ACL_META_H_

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "../acl/acl_base.h"

#ifdef __cplusplus
extern "C" {
#endif

enum { TAMIS_ACL_MAX_RANK = 8 };

typedef struct aclTensor {
  aclDataType dtype;
  aclFormat format;
  int32_t rank;
  int64_t shape[TAMIS_ACL_MAX_RANK];
  int64_t strides[TAMIS_ACL_MAX_RANK]; /* in elements */
  void* data;                          /* of element (0, ..., 0) */
} aclTensor;

typedef struct aclIntArray {
  uint64_t size;
  int64_t* values;
} aclIntArray;

typedef struct aclScalar {
  aclDataType dtype;
  unsigned char bytes[16];
} aclScalar;

/* A view of `tensorData`, borrowed. `stride` counts elements, and NULL means dense rows; `offset`
 * is the first element's. The storage's shape is not looked at: the view says where elements lie.
 */
TAMIS_ACL_FUNCTION aclTensor* aclCreateTensor(const int64_t* viewDims, uint64_t viewDimsNum,
                                              aclDataType dataType, const int64_t* stride,
                                              int64_t offset, aclFormat format,
                                              const int64_t* storageDims, uint64_t storageDimsNum,
                                              void* tensorData) {
  aclTensor* tensor;
  uint64_t i;
  (void)storageDims;
  (void)storageDimsNum;
  if (viewDimsNum > TAMIS_ACL_MAX_RANK || (viewDims == NULL && viewDimsNum > 0)) {
    tamis_acl_fail(ACL_ERROR_INVALID_PARAM, "viewDims: expected 0 to 8 sizes, got %llu%s",
                   (unsigned long long)viewDimsNum, viewDims == NULL ? " and a null pointer" : "");
    return NULL;
  }
  tensor = (aclTensor*)calloc(1, sizeof(aclTensor));
  if (tensor == NULL) {
    tamis_acl_fail(ACL_ERROR_BAD_ALLOC, "aclCreateTensor: no memory");
    return NULL;
  }
  tensor->dtype = dataType;
  tensor->format = format;
  tensor->rank = (int32_t)viewDimsNum;
  for (i = 0; i < viewDimsNum; ++i) tensor->shape[i] = viewDims[i];
  for (i = viewDimsNum; i-- > 0;) {
    /* Wraps where sizes are absurd: the operators refuse such shapes. */
    const uint64_t below = i + 1 == viewDimsNum ? 1 : (uint64_t)tensor->strides[i + 1];
    const uint64_t size = i + 1 == viewDimsNum ? 1 : (uint64_t)tensor->shape[i + 1];
    tensor->strides[i] = stride != NULL ? stride[i] : (int64_t)(below * size);
  }
  tensor->data =
      tensorData == NULL ? NULL : (char*)tensorData + offset * (int64_t)aclDataTypeSize(dataType);
  return tensor;
}

TAMIS_ACL_FUNCTION aclError aclDestroyTensor(const aclTensor* tensor) {
  free((void*)(uintptr_t)tensor);
  return ACL_SUCCESS;
}

/* A copy of the values; `value` may be NULL where `size` is 0. */
TAMIS_ACL_FUNCTION aclIntArray* aclCreateIntArray(const int64_t* value, uint64_t size) {
  aclIntArray* array;
  if (value == NULL && size > 0) {
    tamis_acl_fail(ACL_ERROR_INVALID_PARAM, "value: required, but absent");
    return NULL;
  }
  array = size > SIZE_MAX / sizeof(int64_t) - sizeof(aclIntArray)
              ? NULL
              : (aclIntArray*)malloc(sizeof(aclIntArray) + (size_t)size * sizeof(int64_t));
  if (array == NULL) {
    tamis_acl_fail(ACL_ERROR_BAD_ALLOC, "aclCreateIntArray: no memory for %llu values",
                   (unsigned long long)size);
    return NULL;
  }
  array->size = size;
  array->values = (int64_t*)(void*)(array + 1);
  if (size > 0) memcpy(array->values, value, (size_t)size * sizeof(int64_t));
  return array;
}

TAMIS_ACL_FUNCTION aclError aclDestroyIntArray(const aclIntArray* array) {
  free((void*)(uintptr_t)array);
  return ACL_SUCCESS;
}

TAMIS_ACL_FUNCTION aclError aclGetIntArraySize(const aclIntArray* array, uint64_t* size) {
  if (array == NULL || size == NULL) {
    return tamis_acl_fail(ACL_ERROR_INVALID_PARAM, "%s: required, but absent",
                          array == NULL ? "array" : "size");
  }
  *size = array->size;
  return ACL_SUCCESS;
}

/* A copy of one value of the dtype. */
TAMIS_ACL_FUNCTION aclScalar* aclCreateScalar(void* value, aclDataType dataType) {
  const size_t size = aclDataTypeSize(dataType);
  aclScalar* scalar;
  if (value == NULL || size == 0) {
    tamis_acl_fail(ACL_ERROR_INVALID_PARAM, "value: expected a value of whole bytes, got %s",
                   value == NULL ? "a null pointer" : "another dtype");
    return NULL;
  }
  scalar = (aclScalar*)calloc(1, sizeof(aclScalar));
  if (scalar == NULL) {
    tamis_acl_fail(ACL_ERROR_BAD_ALLOC, "aclCreateScalar: no memory");
    return NULL;
  }
  scalar->dtype = dataType;
  memcpy(scalar->bytes, value, size);
  return scalar;
}

TAMIS_ACL_FUNCTION aclError aclDestroyScalar(const aclScalar* scalar) {
  free((void*)(uintptr_t)scalar);
  return ACL_SUCCESS;
}

#ifdef __cplusplus
}
#endif

#endif
