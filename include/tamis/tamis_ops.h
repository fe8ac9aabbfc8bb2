// Made from the contracts by `dev generate` (cmake/generate.cc): do not edit.
// clang-format off
// The typed calls of the C interface. Included by tamis.h.
#ifndef TAMIS_TAMIS_OPS_H_
#define TAMIS_TAMIS_OPS_H_

#include "tamis/tamis.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Weighted window sums over packed sequences, per head. NsaCompress (document 001). */
typedef struct tamis_nsa_compress_params {
  /* sizeof(tamis_nsa_compress_params) of the caller */
  size_t struct_size;
  /* input [T, N, D] float16, bfloat16: tokens, sequences packed */
  tamis_tensor input;
  /* input [compress_block_size, N] as input: weight of each token of a window, per head */
  tamis_tensor weight;
  /* required: inclusive prefix sums of the sequence lengths; the last is T */
  tamis_int_list act_seq_len;
  /* required: tokens in a window (l) */
  int64_t compress_block_size;
  /* required: tokens between the starts of windows (d); at most l */
  int64_t compress_stride;
  /* one of TND; NULL means TND: the document lists BSH, SBH, BSND, BNSD too and supports TND
   * only */
  const char* layout;
  /* default 0: 0: act_seq_len holds prefix sums; 1: lengths (wide only) */
  int64_t act_seq_len_type;
  /* 0 or 1, default false: also enforce the document's limits */
  int64_t strict;
  /* output [Tc, N, D] as input: one row per window, sequences packed */
  tamis_tensor output;
} tamis_nsa_compress_params;

/* Sets struct_size and the defaults of the members that lie within `struct_size` bytes. */
TAMIS_C_API tamis_status tamis_nsa_compress_params_init_sized(
    tamis_nsa_compress_params* params, size_t struct_size);
/* The same for the struct as this header knows it. */
static inline tamis_status tamis_nsa_compress_params_init(
    tamis_nsa_compress_params* params) {
  return tamis_nsa_compress_params_init_sized(params, sizeof(*params));
}
/* Checks and prepares a call: see tamis_plan_run and tamis_plan_destroy. */
TAMIS_C_API tamis_status tamis_nsa_compress_plan(
    const tamis_context* context, const tamis_nsa_compress_params* params,
    tamis_plan** plan);

#ifdef __cplusplus
}
#endif

#endif
