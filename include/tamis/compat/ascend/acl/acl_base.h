/* Types, codes and conversions that every program for the device uses, for CPUs: see docs/acl.md.
 * C99 or C++11. */
#ifndef TAMIS_COMPAT_ASCEND_ACL_ACL_BASE_H_
#define TAMIS_COMPAT_ASCEND_ACL_ACL_BASE_H_

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "../detail/message.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef int aclError;
typedef uint16_t aclFloat16;
typedef void* aclrtStream;
typedef void* aclrtEvent;
typedef void* aclrtContext;

static const int ACL_SUCCESS = 0;
static const int ACL_ERROR_NONE = 0;
static const int ACL_ERROR_INVALID_PARAM = 100000;
static const int ACL_ERROR_RT_PARAM_INVALID = 107000;
static const int ACL_ERROR_RT_INVALID_DEVICEID = 107001;
static const int ACL_ERROR_BAD_ALLOC = 200000;
static const int ACL_ERROR_INTERNAL_ERROR = 500000;
static const int ACL_ERROR_FAILURE = 500001;

/* Those without a counterpart in tamis.h can be named, and are refused by every operator. */
typedef enum {
  ACL_DT_UNDEFINED = -1,
  ACL_FLOAT = 0,
  ACL_FLOAT16 = 1,
  ACL_INT8 = 2,
  ACL_INT32 = 3,
  ACL_UINT8 = 4,
  ACL_INT16 = 6,
  ACL_UINT16 = 7,
  ACL_UINT32 = 8,
  ACL_INT64 = 9,
  ACL_UINT64 = 10,
  ACL_DOUBLE = 11,
  ACL_BOOL = 12,
  ACL_STRING = 13,
  ACL_COMPLEX64 = 16,
  ACL_COMPLEX128 = 17,
  ACL_BF16 = 27,
  ACL_INT4 = 29,
  ACL_UINT1 = 30,
  ACL_COMPLEX32 = 33,
  ACL_HIFLOAT8 = 34,
  ACL_FLOAT8_E5M2 = 35,
  ACL_FLOAT8_E4M3FN = 36,
  ACL_FLOAT8_E8M0 = 37,
  ACL_FLOAT6_E3M2 = 38,
  ACL_FLOAT6_E2M3 = 39,
  ACL_FLOAT4_E2M1 = 40,
  ACL_FLOAT4_E1M2 = 41
} aclDataType;

/* Row-major all, but for the blocked ones: FRACTAL_NZ is taken where an operator's weights may be
 * NZ, and the others nowhere. */
typedef enum {
  ACL_FORMAT_UNDEFINED = -1,
  ACL_FORMAT_NCHW = 0,
  ACL_FORMAT_NHWC = 1,
  ACL_FORMAT_ND = 2,
  ACL_FORMAT_NC1HWC0 = 3,
  ACL_FORMAT_FRACTAL_Z = 4,
  ACL_FORMAT_NC1HWC0_C04 = 12,
  ACL_FORMAT_HWCN = 16,
  ACL_FORMAT_NDHWC = 27,
  ACL_FORMAT_FRACTAL_NZ = 29,
  ACL_FORMAT_NCDHW = 30,
  ACL_FORMAT_NDC1HWC0 = 32,
  ACL_FRACTAL_Z_3D = 33,
  ACL_FORMAT_NC = 35,
  ACL_FORMAT_NCL = 47,
  ACL_FORMAT_FRACTAL_NZ_C0_16 = 50,
  ACL_FORMAT_FRACTAL_NZ_C0_32 = 51
} aclFormat;

/* Bytes of one element; 0 where an element is no whole byte, and for ACL_STRING. */
TAMIS_ACL_FUNCTION size_t aclDataTypeSize(aclDataType dataType) {
  switch (dataType) {
    case ACL_INT8:
    case ACL_UINT8:
    case ACL_BOOL:
    case ACL_HIFLOAT8:
    case ACL_FLOAT8_E5M2:
    case ACL_FLOAT8_E4M3FN:
    case ACL_FLOAT8_E8M0: return 1;
    case ACL_FLOAT16:
    case ACL_BF16:
    case ACL_INT16:
    case ACL_UINT16: return 2;
    case ACL_FLOAT:
    case ACL_INT32:
    case ACL_UINT32:
    case ACL_COMPLEX32: return 4;
    case ACL_DOUBLE:
    case ACL_INT64:
    case ACL_UINT64:
    case ACL_COMPLEX64: return 8;
    case ACL_COMPLEX128: return 16;
    default: return 0;
  }
}

/* Exact. */
TAMIS_ACL_FUNCTION float aclFloat16ToFloat(aclFloat16 value) {
  const uint32_t sign = (uint32_t)(value & 0x8000u) << 16;
  const uint32_t exponent = (value >> 10) & 0x1Fu;
  const uint32_t fraction = value & 0x3FFu;
  uint32_t bits;
  float result;
  if (exponent == 0) {
    const float magnitude = (float)fraction * 5.9604644775390625e-8f; /* 2^-24: subnormal */
    return sign != 0 ? -magnitude : magnitude;
  }
  bits = sign | (exponent == 31 ? 0x7F800000u : (exponent + 112) << 23) | (fraction << 13);
  memcpy(&result, &bits, sizeof(result));
  return result;
}

/* To nearest, ties to even; what is too large becomes infinity. */
TAMIS_ACL_FUNCTION aclFloat16 aclFloatToFloat16(float value) {
  uint32_t bits, sign, magnitude;
  memcpy(&bits, &value, sizeof(bits));
  sign = (bits >> 16) & 0x8000u;
  magnitude = bits & 0x7FFFFFFFu;
  if (magnitude > 0x7F800000u) return (aclFloat16)(sign | 0x7E00u);  /* nan */
  if (magnitude >= 0x477FF000u) return (aclFloat16)(sign | 0x7C00u); /* 65520 and more */
  if (magnitude < 0x38800000u) { /* below 2^-14: the sum's last bits count units of 2^-24 */
    float shifted;
    memcpy(&shifted, &magnitude, sizeof(shifted));
    shifted += 0.5f;
    memcpy(&bits, &shifted, sizeof(bits));
    return (aclFloat16)(sign | (bits - 0x3F000000u));
  }
  magnitude += 0xFFFu + ((magnitude >> 13) & 1u);
  return (aclFloat16)(sign | ((magnitude - 0x38000000u) >> 13));
}

/* One line that says why the last failed call of this thread failed: argument, what was expected,
 * what came. Takes it: NULL until another call fails. The line stands until then. */
TAMIS_ACL_FUNCTION const char* aclGetRecentErrMsg(void) { return tamis_acl_take_message(); }

#ifdef __cplusplus
}
#endif

#endif
