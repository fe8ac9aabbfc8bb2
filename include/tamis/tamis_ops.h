// Made from the contracts by `dev generate` (tools/generate): do not edit.
// clang-format off
// The typed calls of the C interface. Included by tamis.h.
#ifndef TAMIS_TAMIS_OPS_H_
#define TAMIS_TAMIS_OPS_H_

#include "tamis.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Weighted window sums over packed sequences, per head. NsaCompress (document 001). */
typedef struct tamis_nsa_compress_params {
  /* sizeof(tamis_nsa_compress_params) of the caller */
  size_t struct_size;
  /* input [T, N, D] float16, bfloat16, float32: tokens, sequences packed */
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
/* Runs a plan on the tensors of `params`: see tamis_plan_run_by_name. */
TAMIS_C_API tamis_status tamis_nsa_compress_run(
    const tamis_plan* plan, const tamis_nsa_compress_params* params,
    void* workspace, int64_t workspace_bytes, void* stream);
/* Gives a plan the integers of `params`: see tamis_plan_renew_by_name. */
TAMIS_C_API tamis_status tamis_nsa_compress_renew(
    tamis_plan* plan, const tamis_nsa_compress_params* params);

/* Gradients of tokens and weights of nsa_compress. aclnnNsaCompressGrad, the gradient of
 * nsa_compress; no document of its own. */
typedef struct tamis_nsa_compress_grad_params {
  /* sizeof(tamis_nsa_compress_grad_params) of the caller */
  size_t struct_size;
  /* input [Tc, N, D] float16, bfloat16, float32: gradient of the forward's output: one row per
   * window */
  tamis_tensor output_grad;
  /* input [T, N, D] as output_grad: tokens of the forward, sequences packed */
  tamis_tensor input;
  /* input [compress_block_size, N] as output_grad: its weights */
  tamis_tensor weight;
  /* required: inclusive prefix sums of the sequence lengths; the last is T */
  tamis_int_list act_seq_len;
  /* required: tokens in a window (l) */
  int64_t compress_block_size;
  /* required: tokens between the starts of windows (d); at most l */
  int64_t compress_stride;
  /* one of TND; NULL means TND: as the forward's */
  const char* layout;
  /* default 0: 0: act_seq_len holds prefix sums; 1: lengths (wide only) */
  int64_t act_seq_len_type;
  /* 0 or 1, default true: compute input_grad */
  int64_t return_input_grad;
  /* 0 or 1, default true: compute weight_grad */
  int64_t return_weight_grad;
  /* 0 or 1, default false: also enforce the limits of the forward's document */
  int64_t strict;
  /* output, optional [T, N, D] as input: gradient of input; 0 where a token is in no window */
  tamis_tensor input_grad;
  /* output, optional [compress_block_size, N] as weight: gradient of weight */
  tamis_tensor weight_grad;
} tamis_nsa_compress_grad_params;

/* Sets struct_size and the defaults of the members that lie within `struct_size` bytes. */
TAMIS_C_API tamis_status tamis_nsa_compress_grad_params_init_sized(
    tamis_nsa_compress_grad_params* params, size_t struct_size);
/* The same for the struct as this header knows it. */
static inline tamis_status tamis_nsa_compress_grad_params_init(
    tamis_nsa_compress_grad_params* params) {
  return tamis_nsa_compress_grad_params_init_sized(params, sizeof(*params));
}
/* Checks and prepares a call: see tamis_plan_run and tamis_plan_destroy. */
TAMIS_C_API tamis_status tamis_nsa_compress_grad_plan(
    const tamis_context* context, const tamis_nsa_compress_grad_params* params,
    tamis_plan** plan);
/* Runs a plan on the tensors of `params`: see tamis_plan_run_by_name. */
TAMIS_C_API tamis_status tamis_nsa_compress_grad_run(
    const tamis_plan* plan, const tamis_nsa_compress_grad_params* params,
    void* workspace, int64_t workspace_bytes, void* stream);
/* Gives a plan the integers of `params`: see tamis_plan_renew_by_name. */
TAMIS_C_API tamis_status tamis_nsa_compress_grad_renew(
    tamis_plan* plan, const tamis_nsa_compress_grad_params* params);

/* Window sums that new tokens complete, from a paged cache into a cache of compressed rows.
 * npu_nsa_compress_infer; no document of its own. */
typedef struct tamis_nsa_compress_infer_params {
  /* sizeof(tamis_nsa_compress_infer_params) of the caller */
  size_t struct_size;
  /* input [pages, page_block_size, N, D] float16, bfloat16, float32: paged cache of raw rows,
   * the new tokens' included */
  tamis_tensor input;
  /* input [compress_block_size, N] as input: weight of each token of a window, per head */
  tamis_tensor weight;
  /* input [T] int32, int64: row of cache for the window that ends at each new token; not looked
   * at where none does; negative: not written; of equal ones the last wins; read when planning */
  tamis_tensor slot_mapping;
  /* input [B, max_pages] int32: page of each page_block_size tokens; entries before a sequence's
   * first window that is written, and after its last, are not read */
  tamis_tensor block_table;
  /* updated in place [R, N, D] as input: compressed rows, updated at the slots */
  tamis_tensor cache;
  /* required: tokens per sequence, the new ones included */
  tamis_int_list act_seq_len;
  /* required: tokens in a window (l) */
  int64_t compress_block_size;
  /* required: tokens between the starts of windows (d); at most l */
  int64_t compress_stride;
  /* required: tokens in a page */
  int64_t page_block_size;
  /* optional: new tokens per sequence, its last ones; absent: one each */
  tamis_int_list actual_seq_qlen;
  /* 0 or 1, default false: also enforce the device's limits */
  int64_t strict;
} tamis_nsa_compress_infer_params;

/* Sets struct_size and the defaults of the members that lie within `struct_size` bytes. */
TAMIS_C_API tamis_status tamis_nsa_compress_infer_params_init_sized(
    tamis_nsa_compress_infer_params* params, size_t struct_size);
/* The same for the struct as this header knows it. */
static inline tamis_status tamis_nsa_compress_infer_params_init(
    tamis_nsa_compress_infer_params* params) {
  return tamis_nsa_compress_infer_params_init_sized(params, sizeof(*params));
}
/* Checks and prepares a call: see tamis_plan_run and tamis_plan_destroy. */
TAMIS_C_API tamis_status tamis_nsa_compress_infer_plan(
    const tamis_context* context, const tamis_nsa_compress_infer_params* params,
    tamis_plan** plan);
/* Runs a plan on the tensors of `params`: see tamis_plan_run_by_name. */
TAMIS_C_API tamis_status tamis_nsa_compress_infer_run(
    const tamis_plan* plan, const tamis_nsa_compress_infer_params* params,
    void* workspace, int64_t workspace_bytes, void* stream);
/* Gives a plan the integers of `params`: see tamis_plan_renew_by_name. */
TAMIS_C_API tamis_status tamis_nsa_compress_infer_renew(
    tamis_plan* plan, const tamis_nsa_compress_infer_params* params);

/* Attention over compressed keys, with the select blocks of highest importance.
 * npu_nsa_compress_attention (document 002). */
typedef struct tamis_nsa_compress_attention_params {
  /* sizeof(tamis_nsa_compress_attention_params) of the caller */
  size_t struct_size;
  /* input [T, N, D] float16, bfloat16, float32: sequences packed */
  tamis_tensor query;
  /* input [Tc, N2, D] as query: compressed keys, sequences packed */
  tamis_tensor key;
  /* input [Tc, N2, D2] as query: compressed values */
  tamis_tensor value;
  /* input, optional [max_q, max_n] bool, uint8: by positions in the sequence; not 0: the key is
   * hidden from the query */
  tamis_tensor atten_mask;
  /* input, optional [max_q, max_blocks] bool, uint8: not 0: the block is selected whatever its
   * importance; max_blocks = ceil(max_n / M) */
  tamis_tensor topk_mask;
  /* input, optional [T] int32: per query token: only compressed keys before are seen */
  tamis_tensor key_limits;
  /* input, optional [T, N] float32: of the softmax over all keys, where these are a part:
   * importance is of all; with global_sum */
  tamis_tensor global_max;
  /* input, optional [T, N] float32: likewise, with global_max */
  tamis_tensor global_sum;
  /* required: factor of the scores */
  double scale_value;
  /* required: query heads N, a multiple of the key heads N2 */
  int64_t head_num;
  /* required: tokens in a compression window (l), at least compress_stride; Nn = floor(l / d) */
  int64_t compress_block_size;
  /* required: tokens between the starts of windows (d) */
  int64_t compress_stride;
  /* required: tokens in a select block (l'), a multiple of compress_stride; M = l' / d */
  int64_t select_block_size;
  /* required: blocks to select; 0: attention only */
  int64_t select_block_count;
  /* required: inclusive prefix sums over query; the last is T */
  tamis_int_list actual_seq_qlen;
  /* required: inclusive prefix sums over key; the last is Tc */
  tamis_int_list actual_cmp_seq_kvlen;
  /* optional: prefix sums over the select blocks; not used, as on the device */
  tamis_int_list actual_sel_seq_kvlen;
  /* 0 or 1, default false: hide keys whose windows end after the query's token, by positions */
  int64_t causal;
  /* optional: with causal: inclusive prefix sums over raw tokens, a sequence's last query being
   * its last token; absent: actual_seq_qlen */
  tamis_int_list actual_raw_seq_kvlen;
  /* one of cann, exact_overlap; NULL means cann: how compressed tokens count towards a block: as
   * the device (shifted by one token), or by overlap */
  const char* importance;
  /* one of uniform, zero; NULL means uniform: a row whose keys are all hidden: the mean of all
   * values, as the device, or zero */
  const char* masked_rows;
  /* one of device, causal; NULL means device: candidates and forced blocks: device, the blocks
   * of the keys, those of topk_mask forced; causal (with causal, without topk_mask), the blocks
   * of the raw tokens that the query sees, the first and the last two forced */
  const char* selection;
  /* one of storage, fp32, fp32_scores; NULL means storage: of the products of probabilities and
   * values: storage lets a level use 16-bit integers, with an error below the rounding of a
   * bfloat16 output; fp32_scores: the same, scores are in fp32 anyway */
  const char* accuracy;
  /* one of input, float32; NULL means input: dtype of attention_out */
  const char* out_dtype;
  /* 0 or 1, default false: whether block_scores are wanted */
  int64_t return_block_scores;
  /* 0 or 1, default false: also enforce the document's limits: those of the table, and
   * actual_sel_seq_kvlen prefix sums, one per sequence */
  int64_t strict;
  /* output [T, N, D2] as query, or by out_dtype: softmax-weighted sum of values */
  tamis_tensor attention_out;
  /* output, optional [T, N2, select_block_count] int32: blocks of the sequence, best first, then
   * -1 */
  tamis_tensor topk_indices;
  /* output, optional [T, N] float32: largest scaled score */
  tamis_tensor softmax_max;
  /* output, optional [T, N] float32: sum of exp(score - max) */
  tamis_tensor softmax_sum;
  /* output, optional [T, N2, blocks] float32: importance of the candidates, before any is
   * forced, then 0; blocks = ceil(max_n / M), with selection causal those of the most raw tokens */
  tamis_tensor block_scores;
} tamis_nsa_compress_attention_params;

/* Sets struct_size and the defaults of the members that lie within `struct_size` bytes. */
TAMIS_C_API tamis_status tamis_nsa_compress_attention_params_init_sized(
    tamis_nsa_compress_attention_params* params, size_t struct_size);
/* The same for the struct as this header knows it. */
static inline tamis_status tamis_nsa_compress_attention_params_init(
    tamis_nsa_compress_attention_params* params) {
  return tamis_nsa_compress_attention_params_init_sized(params, sizeof(*params));
}
/* Checks and prepares a call: see tamis_plan_run and tamis_plan_destroy. */
TAMIS_C_API tamis_status tamis_nsa_compress_attention_plan(
    const tamis_context* context, const tamis_nsa_compress_attention_params* params,
    tamis_plan** plan);
/* Runs a plan on the tensors of `params`: see tamis_plan_run_by_name. */
TAMIS_C_API tamis_status tamis_nsa_compress_attention_run(
    const tamis_plan* plan, const tamis_nsa_compress_attention_params* params,
    void* workspace, int64_t workspace_bytes, void* stream);
/* Gives a plan the integers of `params`: see tamis_plan_renew_by_name. */
TAMIS_C_API tamis_status tamis_nsa_compress_attention_renew(
    tamis_plan* plan, const tamis_nsa_compress_attention_params* params);

/* Attention over a paged cache of compressed keys, with the select blocks of highest importance.
 * NsaCompressAttentionInfer (document 000). */
typedef struct tamis_nsa_compress_attention_infer_params {
  /* sizeof(tamis_nsa_compress_attention_infer_params) of the caller */
  size_t struct_size;
  /* input TND [T, N, D]; BSND [B, S, N, D] float16, bfloat16, float32: TND: sequences packed;
   * BSND: rows past a sequence's length are padding */
  tamis_tensor query;
  /* input [pages, page_block_size, key_value_head_num*D] as query: paged cache of compressed
   * keys */
  tamis_tensor key;
  /* input [pages, page_block_size, key_value_head_num*D2] as query: paged cache of compressed
   * values */
  tamis_tensor value;
  /* input [B, max_pages] int32: page of each page_block_size compressed keys; entries past a
   * sequence's keys are not read */
  tamis_tensor block_table;
  /* input, optional [*, *] bool, uint8: a switch, its content is not read: hide windows that end
   * after the query's token */
  tamis_tensor atten_mask;
  /* input, optional TND [T]; BSND [B, S] int32: per query token: only compressed keys before are
   * seen */
  tamis_tensor key_limits;
  /* input, optional TND [T, N]; BSND [B, S, N] float32: of the softmax over all keys, where
   * these are a part: importance is of all; with global_sum */
  tamis_tensor global_max;
  /* input, optional TND [T, N]; BSND [B, S, N] float32: likewise, with global_max */
  tamis_tensor global_sum;
  /* required: factor of the scores */
  double scale_value;
  /* required: query heads N, a multiple of key_value_head_num */
  int64_t head_num;
  /* required: key heads N2 */
  int64_t key_value_head_num;
  /* required: tokens in a select block (l'), a multiple of compress_stride */
  int64_t select_block_size;
  /* required: blocks to select; 0: attention only */
  int64_t select_block_count;
  /* required: compressed keys in a page */
  int64_t page_block_size;
  /* required: tokens in a compression window (l), at least compress_stride; Nn = floor(l / d) */
  int64_t compress_block_size;
  /* required: tokens between the starts of windows (d) */
  int64_t compress_stride;
  /* one of TND, BSND; NULL means TND: of query and the outputs */
  const char* layout;
  /* optional: query tokens per sequence; absent: one each */
  tamis_int_list actual_seq_qlen;
  /* required: compressed keys per sequence */
  tamis_int_list actual_cmp_seq_kvlen;
  /* optional: raw tokens per sequence; needed with atten_mask and with selection causal */
  tamis_int_list actual_sel_seq_kvlen;
  /* one of cann, exact_overlap; NULL means cann: how compressed tokens count towards a block: as
   * the device (shifted by one token), or by overlap */
  const char* importance;
  /* one of uniform, zero; NULL means uniform: a row whose keys are all hidden: the mean of all
   * values, as the device, or zero */
  const char* masked_rows;
  /* one of device, causal; NULL means device: candidates: device, the blocks of the keys;
   * causal, the blocks of the raw tokens that the query sees, and windows that end later are
   * hidden */
  const char* selection;
  /* one of storage, fp32, fp32_scores; NULL means storage: of the products of probabilities and
   * values: storage lets a level use 16-bit integers, with an error below the rounding of a
   * bfloat16 output; fp32_scores: the same, scores are in fp32 anyway */
  const char* accuracy;
  /* one of input, float32; NULL means input: dtype of attention_out */
  const char* out_dtype;
  /* 0 or 1, default false: whether softmax_max and softmax_sum are wanted */
  int64_t return_softmax_lse;
  /* 0 or 1, default false: whether block_scores are wanted */
  int64_t return_block_scores;
  /* 0 or 1, default false: also enforce the document's limits: those of the table, and, where a
   * step has several tokens, actual_sel_seq_kvlen with no fewer tokens than the step */
  int64_t strict;
  /* output TND [T, N, D2]; BSND [B, S, N, D2] as query, or by out_dtype: 0 in padding rows */
  tamis_tensor attention_out;
  /* output, optional TND [T, key_value_head_num, select_block_count]; BSND [B, S,
   * key_value_head_num, select_block_count] int32: blocks 0, J-2, J-1, then best first, then -1;
   * -1 in padding rows */
  tamis_tensor topk_indices;
  /* output, optional TND [T, N]; BSND [B, S, N] float32: largest scaled score; -inf in padding
   * rows */
  tamis_tensor softmax_max;
  /* output, optional TND [T, N]; BSND [B, S, N] float32: sum of exp(score - max); 0 in padding
   * rows */
  tamis_tensor softmax_sum;
  /* output, optional TND [T, key_value_head_num, blocks]; BSND [B, S, key_value_head_num,
   * blocks] float32: importance of the candidates, before any is forced, then 0; blocks of the
   * longest sequence */
  tamis_tensor block_scores;
} tamis_nsa_compress_attention_infer_params;

/* Sets struct_size and the defaults of the members that lie within `struct_size` bytes. */
TAMIS_C_API tamis_status tamis_nsa_compress_attention_infer_params_init_sized(
    tamis_nsa_compress_attention_infer_params* params, size_t struct_size);
/* The same for the struct as this header knows it. */
static inline tamis_status tamis_nsa_compress_attention_infer_params_init(
    tamis_nsa_compress_attention_infer_params* params) {
  return tamis_nsa_compress_attention_infer_params_init_sized(params, sizeof(*params));
}
/* Checks and prepares a call: see tamis_plan_run and tamis_plan_destroy. */
TAMIS_C_API tamis_status tamis_nsa_compress_attention_infer_plan(
    const tamis_context* context, const tamis_nsa_compress_attention_infer_params* params,
    tamis_plan** plan);
/* Runs a plan on the tensors of `params`: see tamis_plan_run_by_name. */
TAMIS_C_API tamis_status tamis_nsa_compress_attention_infer_run(
    const tamis_plan* plan, const tamis_nsa_compress_attention_infer_params* params,
    void* workspace, int64_t workspace_bytes, void* stream);
/* Gives a plan the integers of `params`: see tamis_plan_renew_by_name. */
TAMIS_C_API tamis_status tamis_nsa_compress_attention_infer_renew(
    tamis_plan* plan, const tamis_nsa_compress_attention_infer_params* params);

/* Gradients of queries, keys and values of nsa_compress_attention. the gradient of
 * nsa_compress_attention; no document of its own. */
typedef struct tamis_nsa_compress_attention_grad_params {
  /* sizeof(tamis_nsa_compress_attention_grad_params) of the caller */
  size_t struct_size;
  /* input [T, N, D] float16, bfloat16, float32: queries of the forward, sequences packed */
  tamis_tensor query;
  /* input [Tc, N2, D] as query: its keys */
  tamis_tensor key;
  /* input [Tc, N2, D2] as query: its values */
  tamis_tensor value;
  /* input [T, N, D2] as query: gradient of its result */
  tamis_tensor attention_out_grad;
  /* input [T, N] float32: its largest scaled scores, taken as they are */
  tamis_tensor softmax_max;
  /* input [T, N] float32: its sums of exp(score - max), taken as they are */
  tamis_tensor softmax_sum;
  /* input, optional [max_q, max_n] bool, uint8: by positions in the sequence; not 0: the key is
   * hidden from the query */
  tamis_tensor atten_mask;
  /* input, optional [T] int32: per query token: only compressed keys before are seen */
  tamis_tensor key_limits;
  /* required: factor of the scores */
  double scale_value;
  /* required: query heads N, a multiple of the key heads N2 */
  int64_t head_num;
  /* required: inclusive prefix sums over query; the last is T */
  tamis_int_list actual_seq_qlen;
  /* required: inclusive prefix sums over key; the last is Tc */
  tamis_int_list actual_cmp_seq_kvlen;
  /* 0 or 1, default false: keys whose windows end after the query's token were hidden, by
   * positions */
  int64_t causal;
  /* default 0: with causal: tokens in a compression window (l) */
  int64_t compress_block_size;
  /* default 0: with causal: tokens between the starts of windows (d) */
  int64_t compress_stride;
  /* optional: with causal: inclusive prefix sums over raw tokens, a sequence's last query being
   * its last token; absent: actual_seq_qlen */
  tamis_int_list actual_raw_seq_kvlen;
  /* one of uniform, zero; NULL means uniform: what a row gave whose keys are all hidden: the
   * mean of all values, or zero */
  const char* masked_rows;
  /* 0 or 1, default true: compute query_grad */
  int64_t return_query_grad;
  /* 0 or 1, default true: compute key_grad */
  int64_t return_key_grad;
  /* 0 or 1, default true: compute value_grad */
  int64_t return_value_grad;
  /* 0 or 1, default false: no limit of a document applies: changes nothing */
  int64_t strict;
  /* output, optional [T, N, D] as query: gradient of query */
  tamis_tensor query_grad;
  /* output, optional [Tc, N2, D] as key: gradient of key */
  tamis_tensor key_grad;
  /* output, optional [Tc, N2, D2] as value: gradient of value */
  tamis_tensor value_grad;
} tamis_nsa_compress_attention_grad_params;

/* Sets struct_size and the defaults of the members that lie within `struct_size` bytes. */
TAMIS_C_API tamis_status tamis_nsa_compress_attention_grad_params_init_sized(
    tamis_nsa_compress_attention_grad_params* params, size_t struct_size);
/* The same for the struct as this header knows it. */
static inline tamis_status tamis_nsa_compress_attention_grad_params_init(
    tamis_nsa_compress_attention_grad_params* params) {
  return tamis_nsa_compress_attention_grad_params_init_sized(params, sizeof(*params));
}
/* Checks and prepares a call: see tamis_plan_run and tamis_plan_destroy. */
TAMIS_C_API tamis_status tamis_nsa_compress_attention_grad_plan(
    const tamis_context* context, const tamis_nsa_compress_attention_grad_params* params,
    tamis_plan** plan);
/* Runs a plan on the tensors of `params`: see tamis_plan_run_by_name. */
TAMIS_C_API tamis_status tamis_nsa_compress_attention_grad_run(
    const tamis_plan* plan, const tamis_nsa_compress_attention_grad_params* params,
    void* workspace, int64_t workspace_bytes, void* stream);
/* Gives a plan the integers of `params`: see tamis_plan_renew_by_name. */
TAMIS_C_API tamis_status tamis_nsa_compress_attention_grad_renew(
    tamis_plan* plan, const tamis_nsa_compress_attention_grad_params* params);

/* Attention of every query token over the blocks of raw keys selected for it.
 * npu_nsa_select_attention; no document of its own. */
typedef struct tamis_nsa_selected_attention_params {
  /* sizeof(tamis_nsa_selected_attention_params) of the caller */
  size_t struct_size;
  /* input [T, N, D] float16, bfloat16, float32: sequences packed */
  tamis_tensor query;
  /* input [Tk, N2, D] as query: raw keys, sequences packed */
  tamis_tensor key;
  /* input [Tk, N2, D2] as query: raw values */
  tamis_tensor value;
  /* input [T, N2, K] int32: blocks of the token's sequence, in any order; a negative one ends a
   * list */
  tamis_tensor topk_indices;
  /* required: factor of the scores */
  double scale_value;
  /* required: query heads N, a multiple of the key heads N2 */
  int64_t head_num;
  /* required: keys in a block (l') */
  int64_t select_block_size;
  /* required: ids of a list, the last dimension of topk_indices */
  int64_t select_block_count;
  /* required: inclusive prefix sums over query; the last is T */
  tamis_int_list actual_seq_qlen;
  /* required: inclusive prefix sums over key; the last is Tk */
  tamis_int_list actual_seq_kvlen;
  /* default 2: 0: all keys; 2: token i sees keys up to i (causal from the top left); 3: up to n
   * - q + i (from the bottom right) */
  int64_t sparse_mode;
  /* one of storage, fp32, fp32_scores; NULL means storage: of the products of probabilities and
   * values: storage lets a level use 16-bit integers, with an error below the rounding of a
   * bfloat16 output; fp32_scores: the same, scores are in fp32 anyway */
  const char* accuracy;
  /* one of input, float32; NULL means input: dtype of attention_out */
  const char* out_dtype;
  /* 0 or 1, default false: also enforce the device's limits */
  int64_t strict;
  /* output [T, N, D2] as query, or by out_dtype: weighted sums of the selected values */
  tamis_tensor attention_out;
  /* output, optional [T, N] float32: largest scaled score */
  tamis_tensor softmax_max;
  /* output, optional [T, N] float32: sum of exp(score - max) */
  tamis_tensor softmax_sum;
} tamis_nsa_selected_attention_params;

/* Sets struct_size and the defaults of the members that lie within `struct_size` bytes. */
TAMIS_C_API tamis_status tamis_nsa_selected_attention_params_init_sized(
    tamis_nsa_selected_attention_params* params, size_t struct_size);
/* The same for the struct as this header knows it. */
static inline tamis_status tamis_nsa_selected_attention_params_init(
    tamis_nsa_selected_attention_params* params) {
  return tamis_nsa_selected_attention_params_init_sized(params, sizeof(*params));
}
/* Checks and prepares a call: see tamis_plan_run and tamis_plan_destroy. */
TAMIS_C_API tamis_status tamis_nsa_selected_attention_plan(
    const tamis_context* context, const tamis_nsa_selected_attention_params* params,
    tamis_plan** plan);
/* Runs a plan on the tensors of `params`: see tamis_plan_run_by_name. */
TAMIS_C_API tamis_status tamis_nsa_selected_attention_run(
    const tamis_plan* plan, const tamis_nsa_selected_attention_params* params,
    void* workspace, int64_t workspace_bytes, void* stream);
/* Gives a plan the integers of `params`: see tamis_plan_renew_by_name. */
TAMIS_C_API tamis_status tamis_nsa_selected_attention_renew(
    tamis_plan* plan, const tamis_nsa_selected_attention_params* params);

/* Attention of every query token over the selected blocks of a paged cache of raw keys.
 * npu_nsa_select_attention_infer; no document of its own. */
typedef struct tamis_nsa_selected_attention_infer_params {
  /* sizeof(tamis_nsa_selected_attention_infer_params) of the caller */
  size_t struct_size;
  /* input TND [T, N, D]; BSND [B, S, N, D] float16, bfloat16, float32: TND: sequences packed;
   * BSND: rows past a sequence's length are padding */
  tamis_tensor query;
  /* input [pages, page_block_size, key_value_head_num*D] as query: paged cache of raw keys */
  tamis_tensor key;
  /* input [pages, page_block_size, key_value_head_num*D2] as query: paged cache of raw values */
  tamis_tensor value;
  /* input TND [T, key_value_head_num, K]; BSND [B, S, key_value_head_num, K] int32: blocks of
   * the token's sequence, in any order; a negative one ends a list */
  tamis_tensor topk_indices;
  /* input [B, max_pages] int32: page of each page_block_size keys; entries past a sequence's
   * keys are not read */
  tamis_tensor block_table;
  /* required: factor of the scores */
  double scale_value;
  /* required: query heads N, a multiple of key_value_head_num */
  int64_t head_num;
  /* required: key heads N2 */
  int64_t key_value_head_num;
  /* required: keys in a block (l') */
  int64_t select_block_size;
  /* required: ids of a list, the last dimension of topk_indices */
  int64_t select_block_count;
  /* required: keys in a page */
  int64_t page_block_size;
  /* one of TND, BSND; NULL means TND: of query and the outputs */
  const char* layout;
  /* optional: query tokens per sequence; absent: one each */
  tamis_int_list actual_seq_qlen;
  /* required: keys per sequence */
  tamis_int_list actual_seq_kvlen;
  /* one of storage, fp32, fp32_scores; NULL means storage: of the products of probabilities and
   * values: storage lets a level use 16-bit integers, with an error below the rounding of a
   * bfloat16 output; fp32_scores: the same, scores are in fp32 anyway */
  const char* accuracy;
  /* one of input, float32; NULL means input: dtype of attention_out */
  const char* out_dtype;
  /* 0 or 1, default false: whether softmax_max and softmax_sum are wanted */
  int64_t return_softmax_lse;
  /* 0 or 1, default false: also enforce the device's limits */
  int64_t strict;
  /* output TND [T, N, D2]; BSND [B, S, N, D2] as query, or by out_dtype: 0 in padding rows */
  tamis_tensor attention_out;
  /* output, optional TND [T, N]; BSND [B, S, N] float32: largest scaled score; -inf in padding
   * rows */
  tamis_tensor softmax_max;
  /* output, optional TND [T, N]; BSND [B, S, N] float32: sum of exp(score - max); 0 in padding
   * rows */
  tamis_tensor softmax_sum;
} tamis_nsa_selected_attention_infer_params;

/* Sets struct_size and the defaults of the members that lie within `struct_size` bytes. */
TAMIS_C_API tamis_status tamis_nsa_selected_attention_infer_params_init_sized(
    tamis_nsa_selected_attention_infer_params* params, size_t struct_size);
/* The same for the struct as this header knows it. */
static inline tamis_status tamis_nsa_selected_attention_infer_params_init(
    tamis_nsa_selected_attention_infer_params* params) {
  return tamis_nsa_selected_attention_infer_params_init_sized(params, sizeof(*params));
}
/* Checks and prepares a call: see tamis_plan_run and tamis_plan_destroy. */
TAMIS_C_API tamis_status tamis_nsa_selected_attention_infer_plan(
    const tamis_context* context, const tamis_nsa_selected_attention_infer_params* params,
    tamis_plan** plan);
/* Runs a plan on the tensors of `params`: see tamis_plan_run_by_name. */
TAMIS_C_API tamis_status tamis_nsa_selected_attention_infer_run(
    const tamis_plan* plan, const tamis_nsa_selected_attention_infer_params* params,
    void* workspace, int64_t workspace_bytes, void* stream);
/* Gives a plan the integers of `params`: see tamis_plan_renew_by_name. */
TAMIS_C_API tamis_status tamis_nsa_selected_attention_infer_renew(
    tamis_plan* plan, const tamis_nsa_selected_attention_infer_params* params);

/* Gradients of queries, keys and values of nsa_selected_attention.
 * npu_nsa_select_attention_grad; no document of its own. */
typedef struct tamis_nsa_selected_attention_grad_params {
  /* sizeof(tamis_nsa_selected_attention_grad_params) of the caller */
  size_t struct_size;
  /* input [T, N, D] float16, bfloat16, float32: queries of the forward, sequences packed */
  tamis_tensor query;
  /* input [Tk, N2, D] as query: its keys */
  tamis_tensor key;
  /* input [Tk, N2, D2] as query: its values */
  tamis_tensor value;
  /* input [T, N, D2] as query: gradient of its result */
  tamis_tensor attention_out_grad;
  /* input [T, N] float32: its largest scaled scores, taken as they are */
  tamis_tensor softmax_max;
  /* input [T, N] float32: its sums of exp(score - max), taken as they are */
  tamis_tensor softmax_sum;
  /* input [T, N2, K] int32: its blocks of the token's sequence; a negative one ends a list */
  tamis_tensor topk_indices;
  /* required: factor of the scores */
  double scale_value;
  /* required: query heads N, a multiple of the key heads N2 */
  int64_t head_num;
  /* required: keys in a block (l') */
  int64_t select_block_size;
  /* required: ids of a list, the last dimension of topk_indices */
  int64_t select_block_count;
  /* required: inclusive prefix sums over query; the last is T */
  tamis_int_list actual_seq_qlen;
  /* required: inclusive prefix sums over key; the last is Tk */
  tamis_int_list actual_seq_kvlen;
  /* default 2: 0: all keys; 2: token i sees keys up to i (causal from the top left); 3: up to n
   * - q + i (from the bottom right) */
  int64_t sparse_mode;
  /* 0 or 1, default true: compute query_grad */
  int64_t return_query_grad;
  /* 0 or 1, default true: compute key_grad */
  int64_t return_key_grad;
  /* 0 or 1, default true: compute value_grad */
  int64_t return_value_grad;
  /* 0 or 1, default false: also enforce the device's limits */
  int64_t strict;
  /* output, optional [T, N, D] as query: gradient of query */
  tamis_tensor query_grad;
  /* output, optional [Tk, N2, D] as key: gradient of key */
  tamis_tensor key_grad;
  /* output, optional [Tk, N2, D2] as value: gradient of value */
  tamis_tensor value_grad;
} tamis_nsa_selected_attention_grad_params;

/* Sets struct_size and the defaults of the members that lie within `struct_size` bytes. */
TAMIS_C_API tamis_status tamis_nsa_selected_attention_grad_params_init_sized(
    tamis_nsa_selected_attention_grad_params* params, size_t struct_size);
/* The same for the struct as this header knows it. */
static inline tamis_status tamis_nsa_selected_attention_grad_params_init(
    tamis_nsa_selected_attention_grad_params* params) {
  return tamis_nsa_selected_attention_grad_params_init_sized(params, sizeof(*params));
}
/* Checks and prepares a call: see tamis_plan_run and tamis_plan_destroy. */
TAMIS_C_API tamis_status tamis_nsa_selected_attention_grad_plan(
    const tamis_context* context, const tamis_nsa_selected_attention_grad_params* params,
    tamis_plan** plan);
/* Runs a plan on the tensors of `params`: see tamis_plan_run_by_name. */
TAMIS_C_API tamis_status tamis_nsa_selected_attention_grad_run(
    const tamis_plan* plan, const tamis_nsa_selected_attention_grad_params* params,
    void* workspace, int64_t workspace_bytes, void* stream);
/* Gives a plan the integers of `params`: see tamis_plan_renew_by_name. */
TAMIS_C_API tamis_status tamis_nsa_selected_attention_grad_renew(
    tamis_plan* plan, const tamis_nsa_selected_attention_grad_params* params);

/* Causal attention of every query token over the last keys up to its own. Native Sparse
 * Attention's window branch; no document of its own. */
typedef struct tamis_sliding_window_attention_params {
  /* sizeof(tamis_sliding_window_attention_params) of the caller */
  size_t struct_size;
  /* input BSND [B, S1, N, D]; TND [T1, N, D] float16, bfloat16, float32: queries */
  tamis_tensor query;
  /* input BSND [Bk, S2, N2, D]; TND [T2, N2, D]; PA_BSND [pages, page_size, N2, D] as query:
   * keys; query head h reads kv head h / (N / N2) */
  tamis_tensor key;
  /* input BSND [Bk, S2, N2, D2]; TND [T2, N2, D2]; PA_BSND [pages, page_size, N2, D2] as query:
   * values */
  tamis_tensor value;
  /* input, optional [*, *] int32: [B, max_pages], with PA_BSND only; entries of pages without a
   * key in a window are not read, with key_limits those before key_starts */
  tamis_tensor block_table;
  /* input, optional [*] int32, int64: BSND: tokens per sequence, or one for all; absent: S1.
   * TND: inclusive prefix sums, required; rows past the last are padding */
  tamis_tensor actual_seq_lengths_query;
  /* input, optional [*] int32, int64: keys per sequence, or one for all (BSND, PA_BSND); TND:
   * inclusive prefix sums; absent: S2 (BSND only) */
  tamis_tensor actual_seq_lengths_kv;
  /* input, optional [*] int32, int64: per sequence, or one for all, its first key that counts:
   * those before, as of a sequence padded on the left, are seen by no token; absent: 0 */
  tamis_tensor key_starts;
  /* input, optional BSND [B, S1]; TND [T1] int32: per query token: of the keys that it would
   * see, only those before this position of its sequence; absent: all */
  tamis_tensor key_limits;
  /* required: factor of the scores */
  double scale_value;
  /* required: keys that a token sees at most, that of its own position among them; 0: none */
  int64_t window_size;
  /* one of BSND, TND; NULL means BSND: of query and the outputs */
  const char* layout_query;
  /* one of BSND, TND, PA_BSND; NULL means BSND: of key and value: as layout_query, or paged */
  const char* layout_kv;
  /* one of input, float32; NULL means input: dtype of attention_out */
  const char* out_dtype;
  /* 0 or 1, default false: no limit of a document applies: changes nothing */
  int64_t strict;
  /* output BSND [B, S1, N, D2]; TND [T1, N, D2] as query, or by out_dtype: attention */
  tamis_tensor attention_out;
  /* output, optional BSND [B, S1, N]; TND [T1, N] float32: largest scaled score */
  tamis_tensor softmax_max;
  /* output, optional BSND [B, S1, N]; TND [T1, N] float32: sum of exp(score - max) */
  tamis_tensor softmax_sum;
} tamis_sliding_window_attention_params;

/* Sets struct_size and the defaults of the members that lie within `struct_size` bytes. */
TAMIS_C_API tamis_status tamis_sliding_window_attention_params_init_sized(
    tamis_sliding_window_attention_params* params, size_t struct_size);
/* The same for the struct as this header knows it. */
static inline tamis_status tamis_sliding_window_attention_params_init(
    tamis_sliding_window_attention_params* params) {
  return tamis_sliding_window_attention_params_init_sized(params, sizeof(*params));
}
/* Checks and prepares a call: see tamis_plan_run and tamis_plan_destroy. */
TAMIS_C_API tamis_status tamis_sliding_window_attention_plan(
    const tamis_context* context, const tamis_sliding_window_attention_params* params,
    tamis_plan** plan);
/* Runs a plan on the tensors of `params`: see tamis_plan_run_by_name. */
TAMIS_C_API tamis_status tamis_sliding_window_attention_run(
    const tamis_plan* plan, const tamis_sliding_window_attention_params* params,
    void* workspace, int64_t workspace_bytes, void* stream);
/* Gives a plan the integers of `params`: see tamis_plan_renew_by_name. */
TAMIS_C_API tamis_status tamis_sliding_window_attention_renew(
    tamis_plan* plan, const tamis_sliding_window_attention_params* params);

/* Gradients of queries, keys and values of sliding_window_attention. the gradient of
 * sliding_window_attention; no document of its own. */
typedef struct tamis_sliding_window_attention_grad_params {
  /* sizeof(tamis_sliding_window_attention_grad_params) of the caller */
  size_t struct_size;
  /* input BSND [B, S1, N, D]; TND [T1, N, D] float16, bfloat16, float32: queries of the forward */
  tamis_tensor query;
  /* input BSND [Bk, S2, N2, D]; TND [T2, N2, D] as query: its keys */
  tamis_tensor key;
  /* input BSND [Bk, S2, N2, D2]; TND [T2, N2, D2] as query: its values */
  tamis_tensor value;
  /* input BSND [B, S1, N, D2]; TND [T1, N, D2] as query: gradient of its result */
  tamis_tensor attention_out_grad;
  /* input BSND [B, S1, N]; TND [T1, N] float32: its largest scaled scores, taken as they are */
  tamis_tensor softmax_max;
  /* input BSND [B, S1, N]; TND [T1, N] float32: its sums of exp(score - max), taken as they are */
  tamis_tensor softmax_sum;
  /* input, optional [*] int32, int64: BSND: tokens per sequence, or one for all; absent: S1.
   * TND: inclusive prefix sums, required; rows past the last are padding */
  tamis_tensor actual_seq_lengths_query;
  /* input, optional [*] int32, int64: keys per sequence, or one for all (BSND, PA_BSND); TND:
   * inclusive prefix sums; absent: S2 (BSND only) */
  tamis_tensor actual_seq_lengths_kv;
  /* input, optional [*] int32, int64: per sequence, or one for all, its first key that counts:
   * those before, as of a sequence padded on the left, are seen by no token; absent: 0 */
  tamis_tensor key_starts;
  /* input, optional BSND [B, S1]; TND [T1] int32: per query token: of the keys that it would
   * see, only those before this position of its sequence; absent: all */
  tamis_tensor key_limits;
  /* required: factor of the scores */
  double scale_value;
  /* required: keys that a token sees at most, that of its own position among them; 0: none */
  int64_t window_size;
  /* one of BSND, TND; NULL means BSND: of query, what belongs to it, and its gradient */
  const char* layout_query;
  /* one of BSND, TND; NULL means BSND: of key, value and their gradients: as layout_query */
  const char* layout_kv;
  /* 0 or 1, default true: compute query_grad */
  int64_t return_query_grad;
  /* 0 or 1, default true: compute key_grad */
  int64_t return_key_grad;
  /* 0 or 1, default true: compute value_grad */
  int64_t return_value_grad;
  /* 0 or 1, default false: no limit of a document applies: changes nothing */
  int64_t strict;
  /* output, optional BSND [B, S1, N, D]; TND [T1, N, D] as query: gradient of query */
  tamis_tensor query_grad;
  /* output, optional BSND [Bk, S2, N2, D]; TND [T2, N2, D] as key: gradient of key */
  tamis_tensor key_grad;
  /* output, optional BSND [Bk, S2, N2, D2]; TND [T2, N2, D2] as value: gradient of value */
  tamis_tensor value_grad;
} tamis_sliding_window_attention_grad_params;

/* Sets struct_size and the defaults of the members that lie within `struct_size` bytes. */
TAMIS_C_API tamis_status tamis_sliding_window_attention_grad_params_init_sized(
    tamis_sliding_window_attention_grad_params* params, size_t struct_size);
/* The same for the struct as this header knows it. */
static inline tamis_status tamis_sliding_window_attention_grad_params_init(
    tamis_sliding_window_attention_grad_params* params) {
  return tamis_sliding_window_attention_grad_params_init_sized(params, sizeof(*params));
}
/* Checks and prepares a call: see tamis_plan_run and tamis_plan_destroy. */
TAMIS_C_API tamis_status tamis_sliding_window_attention_grad_plan(
    const tamis_context* context, const tamis_sliding_window_attention_grad_params* params,
    tamis_plan** plan);
/* Runs a plan on the tensors of `params`: see tamis_plan_run_by_name. */
TAMIS_C_API tamis_status tamis_sliding_window_attention_grad_run(
    const tamis_plan* plan, const tamis_sliding_window_attention_grad_params* params,
    void* workspace, int64_t workspace_bytes, void* stream);
/* Gives a plan the integers of `params`: see tamis_plan_renew_by_name. */
TAMIS_C_API tamis_status tamis_sliding_window_attention_grad_renew(
    tamis_plan* plan, const tamis_sliding_window_attention_grad_params* params);

/* Absorbed queries and latent cache rows of multi-head latent attention.
 * npu_sparse_attention_pto (document 003), section MLA prolog. */
typedef struct tamis_mla_prolog_params {
  /* sizeof(tamis_mla_prolog_params) of the caller */
  size_t struct_size;
  /* input TH [T, H]; BSH [B, S1, H] float16, bfloat16, float32: hidden states */
  tamis_tensor x;
  /* input, optional TH [T, Lq]; BSH [B, S1, Lq] as x: what w_uq_qr takes in place of query_norm,
   * where w_dq and gamma_cq are absent */
  tamis_tensor query_source;
  /* input, optional [H, Lq] as x: down-projection of queries; or query_source */
  tamis_tensor w_dq;
  /* input [Lq, uq_width] as x: up-projection, N heads of nope + rope columns */
  tamis_tensor w_uq_qr;
  /* input [N, nope, latent] as x: key up-projection, absorbed into queries; always ND */
  tamis_tensor w_uk;
  /* input [H, kv_width] as x: down-projection of keys and values, latent + rope columns */
  tamis_tensor w_dkv_kr;
  /* input, optional [Lq] as x: added to the product with w_dq */
  tamis_tensor bias_dq;
  /* input, optional [kv_width] as x: added to the product with w_dkv_kr */
  tamis_tensor bias_dkv_kr;
  /* input, optional [Lq] as x: RMS norm of queries; or query_source */
  tamis_tensor gamma_cq;
  /* input [latent] as x: RMS norm of cache rows */
  tamis_tensor gamma_ckv;
  /* input, optional [rope] as x: RMS norm of rope rows, before rope */
  tamis_tensor gamma_kr;
  /* input TH [T, rope]; BSH [B, S1, rope] as x: full width; its halves may differ */
  tamis_tensor sin;
  /* input TH [T, rope]; BSH [B, S1, rope] as x: full width; its halves may differ */
  tamis_tensor cos;
  /* input TH [T]; BSH [B, S1] int32, int64: slot = page * page_size + row; negative: not
   * written; of equal ones the last wins; read when planning */
  tamis_tensor cache_index;
  /* updated in place [pages, page_size, 1, latent] as x: latent rows, updated at the slots */
  tamis_tensor kv_cache;
  /* updated in place [pages, page_size, 1, rope] as x: rope rows, updated at the slots */
  tamis_tensor kr_cache;
  /* default 1e-05: of the RMS norm of queries, at least 0 */
  double epsilon_cq;
  /* default 1e-05: of the RMS norm of cache rows, at least 0 */
  double epsilon_ckv;
  /* default 1e-05: of the RMS norm of rope rows, at least 0 */
  double epsilon_kr;
  /* 0 or 1, default true: true: rope takes interleaved pairs, as the document's; false: halves */
  int64_t rope_interleaved;
  /* one of ND, NZ; NULL means ND: of w_dq, w_uq_qr and w_dkv_kr; NZ: dense panels of 16 columns */
  const char* weight_format;
  /* 0 or 1, default false: no limit of a document applies: changes nothing */
  int64_t strict;
  /* output, optional TH [T, N, latent]; BSH [B, S1, N, latent] as x: queries in the latent space */
  tamis_tensor query;
  /* output, optional TH [T, N, rope]; BSH [B, S1, N, rope] as x: rotated part of the queries */
  tamis_tensor query_rope;
  /* output, optional TH [T, Lq]; BSH [B, S1, Lq] as x: normed low-rank queries, the indexer's
   * input */
  tamis_tensor query_norm;
} tamis_mla_prolog_params;

/* Sets struct_size and the defaults of the members that lie within `struct_size` bytes. */
TAMIS_C_API tamis_status tamis_mla_prolog_params_init_sized(
    tamis_mla_prolog_params* params, size_t struct_size);
/* The same for the struct as this header knows it. */
static inline tamis_status tamis_mla_prolog_params_init(
    tamis_mla_prolog_params* params) {
  return tamis_mla_prolog_params_init_sized(params, sizeof(*params));
}
/* Checks and prepares a call: see tamis_plan_run and tamis_plan_destroy. */
TAMIS_C_API tamis_status tamis_mla_prolog_plan(
    const tamis_context* context, const tamis_mla_prolog_params* params,
    tamis_plan** plan);
/* Runs a plan on the tensors of `params`: see tamis_plan_run_by_name. */
TAMIS_C_API tamis_status tamis_mla_prolog_run(
    const tamis_plan* plan, const tamis_mla_prolog_params* params,
    void* workspace, int64_t workspace_bytes, void* stream);
/* Gives a plan the integers of `params`: see tamis_plan_renew_by_name. */
TAMIS_C_API tamis_status tamis_mla_prolog_renew(
    tamis_plan* plan, const tamis_mla_prolog_params* params);

/* Index queries, head weights and index key rows of sparse attention. npu_sparse_attention_pto
 * (document 003), section indexer prolog. */
typedef struct tamis_indexer_prolog_params {
  /* sizeof(tamis_indexer_prolog_params) of the caller */
  size_t struct_size;
  /* input TH [T, H]; BSH [B, S1, H] float16, bfloat16, float32: hidden states */
  tamis_tensor x;
  /* input, optional TH [T, Lq]; BSH [B, S1, Lq] as x: normed low-rank queries of mla_prolog; for
   * query only */
  tamis_tensor query_norm;
  /* input, optional [Lq, qb_width] as x: up-projection, Ni heads of Di columns; for query only */
  tamis_tensor w_idx_qb;
  /* input [H, Di] as x: projection of keys */
  tamis_tensor w_idx_k;
  /* input, optional [H, Ni] as x: projection of head weights; for weights only */
  tamis_tensor w_idx_proj;
  /* input [Di] as x: layer norm of keys */
  tamis_tensor in_gamma_k;
  /* input [Di] as x: layer norm of keys */
  tamis_tensor in_beta_k;
  /* input TH [T, rope]; BSH [B, S1, rope] as x: full width; its halves may differ; rope at most
   * Di */
  tamis_tensor sin;
  /* input TH [T, rope]; BSH [B, S1, rope] as x: full width; its halves may differ */
  tamis_tensor cos;
  /* input TH [T]; BSH [B, S1] int32, int64: slot = page * page_size + row; negative: not
   * written; of equal ones the last wins; read when planning */
  tamis_tensor cache_index;
  /* updated in place [pages, page_size, 1, Di] as x: index keys, updated at the slots */
  tamis_tensor index_k_cache;
  /* updated in place, optional [pages, panels, panel_bytes] uint8: the cache in 8 bits, of
   * quantize_index_keys, updated with it */
  tamis_tensor index_k_shadow;
  /* default 1e-06: of the layer norm, at least 0 */
  double epsilon;
  /* 0 or 1, default true: true: rope takes interleaved pairs, as the document's; false: halves,
   * as the released checkpoints' */
  int64_t rope_interleaved;
  /* 0 or 1, default false: rope rotates the last channels of a head, not the first */
  int64_t rope_last;
  /* one of ND, NZ; NULL means ND: of the three weights; NZ: dense panels of 16 columns */
  const char* weight_format;
  /* 0 or 1, default false: no limit of a document applies: changes nothing */
  int64_t strict;
  /* output, optional TH [T, Ni, Di]; BSH [B, S1, Ni, Di] as x: index queries */
  tamis_tensor query;
  /* output, optional TH [T, Ni]; BSH [B, S1, Ni] as x: weight of each head, unscaled */
  tamis_tensor weights;
} tamis_indexer_prolog_params;

/* Sets struct_size and the defaults of the members that lie within `struct_size` bytes. */
TAMIS_C_API tamis_status tamis_indexer_prolog_params_init_sized(
    tamis_indexer_prolog_params* params, size_t struct_size);
/* The same for the struct as this header knows it. */
static inline tamis_status tamis_indexer_prolog_params_init(
    tamis_indexer_prolog_params* params) {
  return tamis_indexer_prolog_params_init_sized(params, sizeof(*params));
}
/* Checks and prepares a call: see tamis_plan_run and tamis_plan_destroy. */
TAMIS_C_API tamis_status tamis_indexer_prolog_plan(
    const tamis_context* context, const tamis_indexer_prolog_params* params,
    tamis_plan** plan);
/* Runs a plan on the tensors of `params`: see tamis_plan_run_by_name. */
TAMIS_C_API tamis_status tamis_indexer_prolog_run(
    const tamis_plan* plan, const tamis_indexer_prolog_params* params,
    void* workspace, int64_t workspace_bytes, void* stream);
/* Gives a plan the integers of `params`: see tamis_plan_renew_by_name. */
TAMIS_C_API tamis_status tamis_indexer_prolog_renew(
    tamis_plan* plan, const tamis_indexer_prolog_params* params);

/* A weight matrix from row-major into panels of 16 columns. npu_sparse_attention_pto (document
 * 003), format NZ of its weights. */
typedef struct tamis_nd_to_nz_params {
  /* sizeof(tamis_nd_to_nz_params) of the caller */
  size_t struct_size;
  /* input [rows, columns] float16, bfloat16, float32: row-major; rows and columns are multiples
   * of 16 */
  tamis_tensor weight;
  /* 0 or 1, default false: no limit of a document applies: changes nothing */
  int64_t strict;
  /* output [rows, columns] as weight: panels of 16 columns, dense */
  tamis_tensor output;
} tamis_nd_to_nz_params;

/* Sets struct_size and the defaults of the members that lie within `struct_size` bytes. */
TAMIS_C_API tamis_status tamis_nd_to_nz_params_init_sized(
    tamis_nd_to_nz_params* params, size_t struct_size);
/* The same for the struct as this header knows it. */
static inline tamis_status tamis_nd_to_nz_params_init(
    tamis_nd_to_nz_params* params) {
  return tamis_nd_to_nz_params_init_sized(params, sizeof(*params));
}
/* Checks and prepares a call: see tamis_plan_run and tamis_plan_destroy. */
TAMIS_C_API tamis_status tamis_nd_to_nz_plan(
    const tamis_context* context, const tamis_nd_to_nz_params* params,
    tamis_plan** plan);
/* Runs a plan on the tensors of `params`: see tamis_plan_run_by_name. */
TAMIS_C_API tamis_status tamis_nd_to_nz_run(
    const tamis_plan* plan, const tamis_nd_to_nz_params* params,
    void* workspace, int64_t workspace_bytes, void* stream);
/* Gives a plan the integers of `params`: see tamis_plan_renew_by_name. */
TAMIS_C_API tamis_status tamis_nd_to_nz_renew(
    tamis_plan* plan, const tamis_nd_to_nz_params* params);

/* A weight matrix from panels of 16 columns into row-major. npu_sparse_attention_pto (document
 * 003), format NZ of its weights. */
typedef struct tamis_nz_to_nd_params {
  /* sizeof(tamis_nz_to_nd_params) of the caller */
  size_t struct_size;
  /* input [rows, columns] float16, bfloat16, float32: panels of 16 columns, dense; rows and
   * columns are multiples of 16 */
  tamis_tensor weight;
  /* 0 or 1, default false: no limit of a document applies: changes nothing */
  int64_t strict;
  /* output [rows, columns] as weight: row-major */
  tamis_tensor output;
} tamis_nz_to_nd_params;

/* Sets struct_size and the defaults of the members that lie within `struct_size` bytes. */
TAMIS_C_API tamis_status tamis_nz_to_nd_params_init_sized(
    tamis_nz_to_nd_params* params, size_t struct_size);
/* The same for the struct as this header knows it. */
static inline tamis_status tamis_nz_to_nd_params_init(
    tamis_nz_to_nd_params* params) {
  return tamis_nz_to_nd_params_init_sized(params, sizeof(*params));
}
/* Checks and prepares a call: see tamis_plan_run and tamis_plan_destroy. */
TAMIS_C_API tamis_status tamis_nz_to_nd_plan(
    const tamis_context* context, const tamis_nz_to_nd_params* params,
    tamis_plan** plan);
/* Runs a plan on the tensors of `params`: see tamis_plan_run_by_name. */
TAMIS_C_API tamis_status tamis_nz_to_nd_run(
    const tamis_plan* plan, const tamis_nz_to_nd_params* params,
    void* workspace, int64_t workspace_bytes, void* stream);
/* Gives a plan the integers of `params`: see tamis_plan_renew_by_name. */
TAMIS_C_API tamis_status tamis_nz_to_nd_renew(
    tamis_plan* plan, const tamis_nz_to_nd_params* params);

/* The int8 shadow of index keys, which lightning_indexer scans. no document of its own. */
typedef struct tamis_quantize_index_keys_params {
  /* sizeof(tamis_quantize_index_keys_params) of the caller */
  size_t struct_size;
  /* input BSND [Bk, S2, 1, D]; TND [T2, 1, D]; PA_BSND [pages, page_size, 1, D] float16,
   * bfloat16, float32: index keys, one head of at most 1024 dims */
  tamis_tensor key;
  /* one of BSND, TND, PA_BSND; NULL means BSND: of key */
  const char* layout_key;
  /* 0 or 1, default false: no limit of a document applies: changes nothing */
  int64_t strict;
  /* output BSND [Bk, panels, panel_bytes]; TND [panels, panel_bytes]; PA_BSND [pages, panels,
   * panel_bytes] uint8: panels of 16 keys: bytes, scales, errors, norms */
  tamis_tensor key_shadow;
} tamis_quantize_index_keys_params;

/* Sets struct_size and the defaults of the members that lie within `struct_size` bytes. */
TAMIS_C_API tamis_status tamis_quantize_index_keys_params_init_sized(
    tamis_quantize_index_keys_params* params, size_t struct_size);
/* The same for the struct as this header knows it. */
static inline tamis_status tamis_quantize_index_keys_params_init(
    tamis_quantize_index_keys_params* params) {
  return tamis_quantize_index_keys_params_init_sized(params, sizeof(*params));
}
/* Checks and prepares a call: see tamis_plan_run and tamis_plan_destroy. */
TAMIS_C_API tamis_status tamis_quantize_index_keys_plan(
    const tamis_context* context, const tamis_quantize_index_keys_params* params,
    tamis_plan** plan);
/* Runs a plan on the tensors of `params`: see tamis_plan_run_by_name. */
TAMIS_C_API tamis_status tamis_quantize_index_keys_run(
    const tamis_plan* plan, const tamis_quantize_index_keys_params* params,
    void* workspace, int64_t workspace_bytes, void* stream);
/* Gives a plan the integers of `params`: see tamis_plan_renew_by_name. */
TAMIS_C_API tamis_status tamis_quantize_index_keys_renew(
    tamis_plan* plan, const tamis_quantize_index_keys_params* params);

/* Positions of the keys with the highest index scores, for every query token.
 * npu_sparse_attention_pto (document 003), section lightning indexer. */
typedef struct tamis_lightning_indexer_params {
  /* sizeof(tamis_lightning_indexer_params) of the caller */
  size_t struct_size;
  /* input BSND [B, S1, N, D]; TND [T1, N, D] float16, bfloat16, float32: index queries */
  tamis_tensor query;
  /* input BSND [Bk, S2, 1, D]; TND [T2, 1, D]; PA_BSND [pages, page_size, 1, D] as query: index
   * keys, one head */
  tamis_tensor key;
  /* input BSND [B, S1, N]; TND [T1, N] float16, bfloat16, float32: weight of each head, as query
   * or float32; may be negative */
  tamis_tensor weights;
  /* input, optional [*] int32, int64: BSND: tokens per sequence, or one for all; absent: S1.
   * TND: inclusive prefix sums, required; rows past the last are padding */
  tamis_tensor actual_seq_lengths_query;
  /* input, optional [*] int32, int64: keys per sequence, or one for all (BSND, PA_BSND); TND:
   * inclusive prefix sums; absent: S2 (BSND only) */
  tamis_tensor actual_seq_lengths_key;
  /* input, optional [*, *] int32: [B, max_pages], with PA_BSND only; entries past a sequence's
   * keys are not read */
  tamis_tensor block_table;
  /* input, optional BSND [Bk, panels, panel_bytes]; TND [panels, panel_bytes]; PA_BSND [pages,
   * panels, panel_bytes] uint8: key in 8 bits, of quantize_index_keys or indexer_prolog; saves
   * time, changes nothing */
  tamis_tensor key_shadow;
  /* input, optional [*] int32, int64: per sequence, or one for all, its first key that counts:
   * those before, as of a sequence padded on the left, are seen by no token; absent: 0 */
  tamis_tensor key_starts;
  /* input, optional BSND [B, S1]; TND [T1] int32: per query token: of the keys that it would
   * see, only those before this position of its sequence; absent: all */
  tamis_tensor key_limits;
  /* input, optional [*] int32, int64: with a compress_ratio above 1: raw tokens per sequence, or
   * one for all, of which the query tokens are the last; absent: there are no others */
  tamis_tensor actual_seq_lengths_tokens;
  /* one of BSND, TND; NULL means BSND: of query, weights and the outputs */
  const char* layout_query;
  /* one of BSND, TND, PA_BSND; NULL means BSND: as layout_query, or paged */
  const char* layout_key;
  /* default 2048: positions to select */
  int64_t sparse_count;
  /* default 3: 3: token i of q sees keys up to n - q + i (causal from the end); 0: all n */
  int64_t sparse_mode;
  /* default 1: raw tokens that a key stands for: with sparse_mode 3 a token at position t sees
   * the first floor((t + 1) / compress_ratio) keys */
  int64_t compress_ratio;
  /* 0 or 1, default false: whether sparse_values is wanted */
  int64_t return_value;
  /* one of input, float32; NULL means input: dtype of sparse_values */
  const char* value_dtype;
  /* one of auto, off, on; NULL means auto: whether keys that a scan in 8-bit integers rules out
   * get no score: the same result, in less time; auto: where that pays */
  const char* pruning;
  /* 0 or 1, default false: no limit of a document applies: changes nothing */
  int64_t strict;
  /* output BSND [B, S1, 1, sparse_count]; TND [T1, 1, sparse_count] int32: positions in the
   * sequence, best first, then -1; -1 in padding rows */
  tamis_tensor sparse_indices;
  /* output, optional BSND [B, S1, 1, sparse_count]; TND [T1, 1, sparse_count] as query, or by
   * value_dtype: their scores, then -inf; with return_value only */
  tamis_tensor sparse_values;
} tamis_lightning_indexer_params;

/* Sets struct_size and the defaults of the members that lie within `struct_size` bytes. */
TAMIS_C_API tamis_status tamis_lightning_indexer_params_init_sized(
    tamis_lightning_indexer_params* params, size_t struct_size);
/* The same for the struct as this header knows it. */
static inline tamis_status tamis_lightning_indexer_params_init(
    tamis_lightning_indexer_params* params) {
  return tamis_lightning_indexer_params_init_sized(params, sizeof(*params));
}
/* Checks and prepares a call: see tamis_plan_run and tamis_plan_destroy. */
TAMIS_C_API tamis_status tamis_lightning_indexer_plan(
    const tamis_context* context, const tamis_lightning_indexer_params* params,
    tamis_plan** plan);
/* Runs a plan on the tensors of `params`: see tamis_plan_run_by_name. */
TAMIS_C_API tamis_status tamis_lightning_indexer_run(
    const tamis_plan* plan, const tamis_lightning_indexer_params* params,
    void* workspace, int64_t workspace_bytes, void* stream);
/* Gives a plan the integers of `params`: see tamis_plan_renew_by_name. */
TAMIS_C_API tamis_status tamis_lightning_indexer_renew(
    tamis_plan* plan, const tamis_lightning_indexer_params* params);

/* Gradients of queries, keys and weights of lightning_indexer's sparse_values.
 * aclnnLightningIndexerGrad; no document of its own. */
typedef struct tamis_lightning_indexer_grad_params {
  /* sizeof(tamis_lightning_indexer_grad_params) of the caller */
  size_t struct_size;
  /* input BSND [B, S1, N, D]; TND [T1, N, D] float16, bfloat16, float32: index queries of the
   * forward */
  tamis_tensor query;
  /* input BSND [Bk, S2, 1, D]; TND [T2, 1, D] as query: its index keys */
  tamis_tensor key;
  /* input BSND [B, S1, 1, K]; TND [T1, 1, K] float16, bfloat16, float32: gradient of the scores
   * it selects, by slot; not read in slots that count nothing */
  tamis_tensor sparse_values_grad;
  /* input BSND [B, S1, 1, K]; TND [T1, 1, K] int32: positions of each token's sequence, in any
   * order; a negative one ends a list */
  tamis_tensor sparse_indices;
  /* input BSND [B, S1, N]; TND [T1, N] float16, bfloat16, float32: its weights, as query or
   * float32 */
  tamis_tensor weights;
  /* input, optional [*] int32, int64: BSND: tokens per sequence, or one for all; absent: S1.
   * TND: inclusive prefix sums, required; rows past the last are padding */
  tamis_tensor actual_seq_lengths_query;
  /* input, optional [*] int32, int64: keys per sequence, or one for all (BSND, PA_BSND); TND:
   * inclusive prefix sums; absent: S2 (BSND only) */
  tamis_tensor actual_seq_lengths_key;
  /* input, optional [*] int32, int64: per sequence, or one for all, its first key that counts:
   * those before, as of a sequence padded on the left, are seen by no token; absent: 0 */
  tamis_tensor key_starts;
  /* input, optional BSND [B, S1]; TND [T1] int32: per query token: of the keys that it would
   * see, only those before this position of its sequence; absent: all */
  tamis_tensor key_limits;
  /* input, optional [*] int32, int64: with a compress_ratio above 1: raw tokens per sequence, or
   * one for all, of which the query tokens are the last; absent: there are no others */
  tamis_tensor actual_seq_lengths_tokens;
  /* one of BSND, TND; NULL means BSND: of query, what belongs to it, and its gradients */
  const char* layout_query;
  /* one of BSND, TND; NULL means BSND: of key and its gradient: as layout_query */
  const char* layout_key;
  /* default 3: 3: token i of q sees keys up to n - q + i (causal from the end); 0: all n */
  int64_t sparse_mode;
  /* default 1: raw tokens that a key stands for: with sparse_mode 3 a token at position t sees
   * the first floor((t + 1) / compress_ratio) keys */
  int64_t compress_ratio;
  /* 0 or 1, default true: compute query_grad */
  int64_t return_query_grad;
  /* 0 or 1, default true: compute key_grad */
  int64_t return_key_grad;
  /* 0 or 1, default true: compute weights_grad */
  int64_t return_weights_grad;
  /* 0 or 1, default false: no limit of a document applies: changes nothing */
  int64_t strict;
  /* output, optional BSND [B, S1, N, D]; TND [T1, N, D] as query: gradient of query */
  tamis_tensor query_grad;
  /* output, optional BSND [Bk, S2, 1, D]; TND [T2, 1, D] as key: gradient of key */
  tamis_tensor key_grad;
  /* output, optional BSND [B, S1, N]; TND [T1, N] as weights: gradient of weights */
  tamis_tensor weights_grad;
} tamis_lightning_indexer_grad_params;

/* Sets struct_size and the defaults of the members that lie within `struct_size` bytes. */
TAMIS_C_API tamis_status tamis_lightning_indexer_grad_params_init_sized(
    tamis_lightning_indexer_grad_params* params, size_t struct_size);
/* The same for the struct as this header knows it. */
static inline tamis_status tamis_lightning_indexer_grad_params_init(
    tamis_lightning_indexer_grad_params* params) {
  return tamis_lightning_indexer_grad_params_init_sized(params, sizeof(*params));
}
/* Checks and prepares a call: see tamis_plan_run and tamis_plan_destroy. */
TAMIS_C_API tamis_status tamis_lightning_indexer_grad_plan(
    const tamis_context* context, const tamis_lightning_indexer_grad_params* params,
    tamis_plan** plan);
/* Runs a plan on the tensors of `params`: see tamis_plan_run_by_name. */
TAMIS_C_API tamis_status tamis_lightning_indexer_grad_run(
    const tamis_plan* plan, const tamis_lightning_indexer_grad_params* params,
    void* workspace, int64_t workspace_bytes, void* stream);
/* Gives a plan the integers of `params`: see tamis_plan_renew_by_name. */
TAMIS_C_API tamis_status tamis_lightning_indexer_grad_renew(
    tamis_plan* plan, const tamis_lightning_indexer_grad_params* params);

/* Softmax statistics of every query token's index scores over all keys.
 * npu_dense_lightning_indexer_softmax_lse. */
typedef struct tamis_dense_lightning_indexer_softmax_lse_params {
  /* sizeof(tamis_dense_lightning_indexer_softmax_lse_params) of the caller */
  size_t struct_size;
  /* input BSND [B, S1, Ni, Di]; TND [T1, Ni, Di] float16, bfloat16, float32: index queries */
  tamis_tensor query_index;
  /* input BSND [Bk, S2, 1, Di]; TND [T2, 1, Di] as query_index: index keys, one head */
  tamis_tensor key_index;
  /* input BSND [B, S1, Ni]; TND [T1, Ni] float16, bfloat16, float32: weight of each index head,
   * as query_index or float32; may be negative */
  tamis_tensor weights;
  /* input, optional [*] int32, int64: BSND: tokens per sequence, or one for all; absent: S1.
   * TND: inclusive prefix sums, required; rows past the last are padding */
  tamis_tensor actual_seq_lengths_query;
  /* input, optional [*] int32, int64: BSND: keys per sequence, or one for all; absent: S2. TND:
   * inclusive prefix sums, required */
  tamis_tensor actual_seq_lengths_key;
  /* one of BSND, TND; NULL means BSND: of all tensors */
  const char* layout;
  /* default 3: 3: token i of q sees keys up to n - q + i (causal from the end); 0: all n */
  int64_t sparse_mode;
  /* 0 or 1, default false: also enforce the document's limits */
  int64_t strict;
  /* output BSND [B, S1]; TND [T1] float32: largest index score; -inf where a token sees no key */
  tamis_tensor softmax_max_index;
  /* output BSND [B, S1]; TND [T1] float32: sum of exp(score - max); 0 there */
  tamis_tensor softmax_sum_index;
} tamis_dense_lightning_indexer_softmax_lse_params;

/* Sets struct_size and the defaults of the members that lie within `struct_size` bytes. */
TAMIS_C_API tamis_status tamis_dense_lightning_indexer_softmax_lse_params_init_sized(
    tamis_dense_lightning_indexer_softmax_lse_params* params, size_t struct_size);
/* The same for the struct as this header knows it. */
static inline tamis_status tamis_dense_lightning_indexer_softmax_lse_params_init(
    tamis_dense_lightning_indexer_softmax_lse_params* params) {
  return tamis_dense_lightning_indexer_softmax_lse_params_init_sized(params, sizeof(*params));
}
/* Checks and prepares a call: see tamis_plan_run and tamis_plan_destroy. */
TAMIS_C_API tamis_status tamis_dense_lightning_indexer_softmax_lse_plan(
    const tamis_context* context, const tamis_dense_lightning_indexer_softmax_lse_params* params,
    tamis_plan** plan);
/* Runs a plan on the tensors of `params`: see tamis_plan_run_by_name. */
TAMIS_C_API tamis_status tamis_dense_lightning_indexer_softmax_lse_run(
    const tamis_plan* plan, const tamis_dense_lightning_indexer_softmax_lse_params* params,
    void* workspace, int64_t workspace_bytes, void* stream);
/* Gives a plan the integers of `params`: see tamis_plan_renew_by_name. */
TAMIS_C_API tamis_status tamis_dense_lightning_indexer_softmax_lse_renew(
    tamis_plan* plan, const tamis_dense_lightning_indexer_softmax_lse_params* params);

/* Divergence of the indexer's softmax from the main attention over all keys, and its gradients.
 * npu_dense_lightning_indexer_grad_kl_loss. */
typedef struct tamis_dense_lightning_indexer_grad_kl_loss_params {
  /* sizeof(tamis_dense_lightning_indexer_grad_kl_loss_params) of the caller */
  size_t struct_size;
  /* input BSND [B, S1, N, D]; TND [T1, N, D] float16, bfloat16, float32: queries of the main
   * attention */
  tamis_tensor query;
  /* input BSND [Bk, S2, N2, D]; TND [T2, N2, D] as query: its keys; query head h reads kv head h
   * / (N / N2) */
  tamis_tensor key;
  /* input BSND [B, S1, Ni, Di]; TND [T1, Ni, Di] as query: index queries */
  tamis_tensor query_index;
  /* input BSND [Bk, S2, 1, Di]; TND [T2, 1, Di] as query: index keys, one head */
  tamis_tensor key_index;
  /* input BSND [B, S1, Ni]; TND [T1, Ni] float16, bfloat16, float32: weight of each index head,
   * as query or float32; may be negative */
  tamis_tensor weights;
  /* input BSND [B, S1, N]; TND [T1, N] float32: largest scaled scores of the main attention,
   * taken as they are */
  tamis_tensor softmax_max;
  /* input BSND [B, S1, N]; TND [T1, N] float32: its sums of exp(score - max), taken as they are */
  tamis_tensor softmax_sum;
  /* input BSND [B, S1]; TND [T1] float32: largest index scores, taken as they are */
  tamis_tensor softmax_max_index;
  /* input BSND [B, S1]; TND [T1] float32: their sums of exp(score - max), taken as they are */
  tamis_tensor softmax_sum_index;
  /* input, optional BSND [B, S1, N, Dr]; TND [T1, N, Dr] as query: second part of the queries */
  tamis_tensor query_rope;
  /* input, optional BSND [Bk, S2, N2, Dr]; TND [T2, N2, Dr] as query: second part of the keys,
   * with query_rope only */
  tamis_tensor key_rope;
  /* input, optional BSND [B, S1]; TND [T1] float32: factor of a token's loss and gradients; 0:
   * as padding; absent: 1 */
  tamis_tensor row_scale;
  /* input, optional [*] int32, int64: BSND: tokens per sequence, or one for all; absent: S1.
   * TND: inclusive prefix sums, required; rows past the last are padding */
  tamis_tensor actual_seq_lengths_query;
  /* input, optional [*] int32, int64: BSND: keys per sequence, or one for all; absent: S2. TND:
   * inclusive prefix sums, required */
  tamis_tensor actual_seq_lengths_key;
  /* required: factor of the main attention's scores */
  double scale_value;
  /* one of BSND, TND; NULL means BSND: of all tensors */
  const char* layout;
  /* default 3: 3: token i of q sees keys up to n - q + i (causal from the end); 0: all n */
  int64_t sparse_mode;
  /* 0 or 1, default true: compute query_index_grad */
  int64_t return_query_index_grad;
  /* 0 or 1, default true: compute key_index_grad */
  int64_t return_key_index_grad;
  /* 0 or 1, default true: compute weights_grad */
  int64_t return_weights_grad;
  /* 0 or 1, default false: whether row_loss is wanted */
  int64_t return_row_loss;
  /* 0 or 1, default false: also enforce the document's limits */
  int64_t strict;
  /* output [1] float32: sum of the losses of all tokens */
  tamis_tensor loss;
  /* output, optional BSND [B, S1, Ni, Di]; TND [T1, Ni, Di] as query_index: gradient of
   * query_index */
  tamis_tensor query_index_grad;
  /* output, optional BSND [Bk, S2, 1, Di]; TND [T2, 1, Di] as key_index: gradient of key_index */
  tamis_tensor key_index_grad;
  /* output, optional BSND [B, S1, Ni]; TND [T1, Ni] as weights: gradient of weights */
  tamis_tensor weights_grad;
  /* output, optional BSND [B, S1]; TND [T1] float32: row_scale times the divergence of each
   * token */
  tamis_tensor row_loss;
} tamis_dense_lightning_indexer_grad_kl_loss_params;

/* Sets struct_size and the defaults of the members that lie within `struct_size` bytes. */
TAMIS_C_API tamis_status tamis_dense_lightning_indexer_grad_kl_loss_params_init_sized(
    tamis_dense_lightning_indexer_grad_kl_loss_params* params, size_t struct_size);
/* The same for the struct as this header knows it. */
static inline tamis_status tamis_dense_lightning_indexer_grad_kl_loss_params_init(
    tamis_dense_lightning_indexer_grad_kl_loss_params* params) {
  return tamis_dense_lightning_indexer_grad_kl_loss_params_init_sized(params, sizeof(*params));
}
/* Checks and prepares a call: see tamis_plan_run and tamis_plan_destroy. */
TAMIS_C_API tamis_status tamis_dense_lightning_indexer_grad_kl_loss_plan(
    const tamis_context* context, const tamis_dense_lightning_indexer_grad_kl_loss_params* params,
    tamis_plan** plan);
/* Runs a plan on the tensors of `params`: see tamis_plan_run_by_name. */
TAMIS_C_API tamis_status tamis_dense_lightning_indexer_grad_kl_loss_run(
    const tamis_plan* plan, const tamis_dense_lightning_indexer_grad_kl_loss_params* params,
    void* workspace, int64_t workspace_bytes, void* stream);
/* Gives a plan the integers of `params`: see tamis_plan_renew_by_name. */
TAMIS_C_API tamis_status tamis_dense_lightning_indexer_grad_kl_loss_renew(
    tamis_plan* plan, const tamis_dense_lightning_indexer_grad_kl_loss_params* params);

/* Divergence of the indexer's softmax from the main attention over lists of keys, and its
 * gradients. npu_sparse_lightning_indexer_grad_kl_loss. */
typedef struct tamis_sparse_lightning_indexer_grad_kl_loss_params {
  /* sizeof(tamis_sparse_lightning_indexer_grad_kl_loss_params) of the caller */
  size_t struct_size;
  /* input BSND [B, S1, N, D]; TND [T1, N, D] float16, bfloat16, float32: queries of the main
   * attention */
  tamis_tensor query;
  /* input BSND [Bk, S2, 1, D]; TND [T2, 1, D] as query: its keys, one head */
  tamis_tensor key;
  /* input BSND [B, S1, Ni, Di]; TND [T1, Ni, Di] as query: index queries */
  tamis_tensor query_index;
  /* input BSND [Bk, S2, 1, Di]; TND [T2, 1, Di] as query: index keys, one head */
  tamis_tensor key_index;
  /* input BSND [B, S1, Ni]; TND [T1, Ni] float16, bfloat16, float32: weight of each index head,
   * as query or float32; may be negative */
  tamis_tensor weights;
  /* input BSND [B, S1, 1, K]; TND [T1, 1, K] int32: positions of each token's sequence, in any
   * order; a negative one ends a list */
  tamis_tensor sparse_indices;
  /* input BSND [B, S1, N]; TND [T1, N] float32: largest scaled scores of the main attention,
   * taken as they are */
  tamis_tensor softmax_max;
  /* input BSND [B, S1, N]; TND [T1, N] float32: its sums of exp(score - max), taken as they are */
  tamis_tensor softmax_sum;
  /* input, optional BSND [B, S1, N, Dr]; TND [T1, N, Dr] as query: second part of the queries */
  tamis_tensor query_rope;
  /* input, optional BSND [Bk, S2, 1, Dr]; TND [T2, 1, Dr] as query: second part of the keys,
   * with query_rope only */
  tamis_tensor key_rope;
  /* input, optional [N] float32: where the main attention has sinks: what is left to keys is
   * normalised over the list; not read */
  tamis_tensor sinks;
  /* input, optional BSND [B, S1]; TND [T1] float32: factor of a token's loss and gradients; 0:
   * as padding; absent: 1 */
  tamis_tensor row_scale;
  /* input, optional [*] int32, int64: BSND: tokens per sequence, or one for all; absent: S1.
   * TND: inclusive prefix sums, required; rows past the last are padding */
  tamis_tensor actual_seq_lengths_query;
  /* input, optional [*] int32, int64: BSND: keys per sequence, or one for all; absent: S2. TND:
   * inclusive prefix sums, required */
  tamis_tensor actual_seq_lengths_key;
  /* required: factor of the main attention's scores */
  double scale_value;
  /* one of BSND, TND; NULL means BSND: of all tensors */
  const char* layout;
  /* default 3: 3: token i of q sees keys up to n - q + i (causal from the end); 0: all n */
  int64_t sparse_mode;
  /* 0 or 1, default true: compute query_index_grad */
  int64_t return_query_index_grad;
  /* 0 or 1, default true: compute key_index_grad */
  int64_t return_key_index_grad;
  /* 0 or 1, default true: compute weights_grad */
  int64_t return_weights_grad;
  /* 0 or 1, default false: whether row_loss is wanted */
  int64_t return_row_loss;
  /* 0 or 1, default false: also enforce the document's limits */
  int64_t strict;
  /* output [1] float32: sum of the losses of all tokens */
  tamis_tensor loss;
  /* output, optional BSND [B, S1, Ni, Di]; TND [T1, Ni, Di] as query_index: gradient of
   * query_index */
  tamis_tensor query_index_grad;
  /* output, optional BSND [Bk, S2, 1, Di]; TND [T2, 1, Di] as key_index: gradient of key_index */
  tamis_tensor key_index_grad;
  /* output, optional BSND [B, S1, Ni]; TND [T1, Ni] as weights: gradient of weights */
  tamis_tensor weights_grad;
  /* output, optional BSND [B, S1]; TND [T1] float32: row_scale times the divergence of each
   * token */
  tamis_tensor row_loss;
} tamis_sparse_lightning_indexer_grad_kl_loss_params;

/* Sets struct_size and the defaults of the members that lie within `struct_size` bytes. */
TAMIS_C_API tamis_status tamis_sparse_lightning_indexer_grad_kl_loss_params_init_sized(
    tamis_sparse_lightning_indexer_grad_kl_loss_params* params, size_t struct_size);
/* The same for the struct as this header knows it. */
static inline tamis_status tamis_sparse_lightning_indexer_grad_kl_loss_params_init(
    tamis_sparse_lightning_indexer_grad_kl_loss_params* params) {
  return tamis_sparse_lightning_indexer_grad_kl_loss_params_init_sized(params, sizeof(*params));
}
/* Checks and prepares a call: see tamis_plan_run and tamis_plan_destroy. */
TAMIS_C_API tamis_status tamis_sparse_lightning_indexer_grad_kl_loss_plan(
    const tamis_context* context, const tamis_sparse_lightning_indexer_grad_kl_loss_params* params,
    tamis_plan** plan);
/* Runs a plan on the tensors of `params`: see tamis_plan_run_by_name. */
TAMIS_C_API tamis_status tamis_sparse_lightning_indexer_grad_kl_loss_run(
    const tamis_plan* plan, const tamis_sparse_lightning_indexer_grad_kl_loss_params* params,
    void* workspace, int64_t workspace_bytes, void* stream);
/* Gives a plan the integers of `params`: see tamis_plan_renew_by_name. */
TAMIS_C_API tamis_status tamis_sparse_lightning_indexer_grad_kl_loss_renew(
    tamis_plan* plan, const tamis_sparse_lightning_indexer_grad_kl_loss_params* params);

/* Attention of every query token over the keys it has selected, one latent key for all heads.
 * npu_sparse_flash_attention (document 004). */
typedef struct tamis_sparse_flash_attention_params {
  /* sizeof(tamis_sparse_flash_attention_params) of the caller */
  size_t struct_size;
  /* input BSND [B, S1, N, D]; TND [T1, N, D] float16, bfloat16, float32: latent part of the
   * queries */
  tamis_tensor query;
  /* input BSND [Bk, S2, 1, W]; TND [T2, 1, W]; PA_BSND [pages, page_size, 1, W] float16,
   * bfloat16, float32, int8, uint8: latent keys, W = D, as query; or rows of W bytes, see
   * kv_format */
  tamis_tensor key;
  /* input BSND [B, S1, 1, K]; TND [T1, 1, K] int32: blocks of each token's sequence, in any
   * order; a negative one ends a list */
  tamis_tensor sparse_indices;
  /* input, optional BSND [Bk, S2, 1, W]; TND [T2, 1, W]; PA_BSND [pages, page_size, 1, W] as
   * key: values; absent: the latent part of key */
  tamis_tensor value;
  /* input, optional [*, *] int32: [B, max_pages], with PA_BSND only; entries past a sequence's
   * keys are not read */
  tamis_tensor block_table;
  /* input, optional [*] int32, int64: BSND: tokens per sequence, or one for all; absent: S1.
   * TND: inclusive prefix sums, required; rows past the last are padding */
  tamis_tensor actual_seq_lengths_query;
  /* input, optional [*] int32, int64: keys per sequence, or one for all (BSND, PA_BSND); TND:
   * inclusive prefix sums; absent: S2 (BSND only) */
  tamis_tensor actual_seq_lengths_kv;
  /* input, optional BSND [B, S1, N, Dr]; TND [T1, N, Dr] as query: rotary part of the queries;
   * with key_rope or a kv_format of bytes */
  tamis_tensor query_rope;
  /* input, optional BSND [Bk, S2, 1, Dr]; TND [T2, 1, Dr]; PA_BSND [pages, page_size, 1, Dr] as
   * query: rotary part of the keys, with query_rope */
  tamis_tensor key_rope;
  /* input, optional [N] float32: per head a score without a value that joins the softmax */
  tamis_tensor sinks;
  /* input, optional [*] int32, int64: per sequence, or one for all, its first key that counts:
   * those before, as of a sequence padded on the left, are seen by no token; absent: 0 */
  tamis_tensor key_starts;
  /* input, optional BSND [B, S1]; TND [T1] int32: per query token: of the keys that it would
   * see, only those before this position of its sequence; absent: all */
  tamis_tensor key_limits;
  /* input, optional [*] int32, int64: with a compress_ratio above 1: raw tokens per sequence, or
   * one for all, of which the query tokens are the last; absent: there are no others */
  tamis_tensor actual_seq_lengths_tokens;
  /* input, optional BSND [Bw, S3, 1, W]; TND [T3, 1, W]; PA_BSND [window_pages,
   * window_page_size, 1, W] as key: keys that join the softmax by position: the last ones before
   * each token; as key */
  tamis_tensor window_key;
  /* input, optional BSND [Bw, S3, 1, Dr]; TND [T3, 1, Dr]; PA_BSND [window_pages,
   * window_page_size, 1, Dr] as query: rotary part of window_key, with key_rope */
  tamis_tensor window_key_rope;
  /* input, optional BSND [Bw, S3, 1, W]; TND [T3, 1, W]; PA_BSND [window_pages,
   * window_page_size, 1, W] as key: values of window_key, with value */
  tamis_tensor window_value;
  /* input, optional [*, *] int32: [B, max_pages], with PA_BSND only; entries past a sequence's
   * keys are not read */
  tamis_tensor window_block_table;
  /* input, optional [*] int32, int64: keys per sequence, or one for all (BSND, PA_BSND); TND:
   * inclusive prefix sums; absent: S3 (BSND only) */
  tamis_tensor actual_seq_lengths_window;
  /* input, optional [*] int32, int64: per sequence, or one for all, its first key that counts:
   * those before, as of a sequence padded on the left, are seen by no token; absent: 0 */
  tamis_tensor window_starts;
  /* required: factor of the scores */
  double scale_value;
  /* default 1: positions per id: id b names [b c, (b + 1) c) of the sequence */
  int64_t sparse_block_size;
  /* one of BSND, TND; NULL means BSND: of query, query_rope, sparse_indices and the outputs */
  const char* layout_query;
  /* one of BSND, TND, PA_BSND; NULL means BSND: of key, value and key_rope: as layout_query, or
   * paged */
  const char* layout_kv;
  /* default 3: 3: token i of q sees positions up to n - q + i (causal from the end); 0: all n */
  int64_t sparse_mode;
  /* default 1: raw tokens that a key stands for: with sparse_mode 3 a token at position t sees
   * the first floor((t + 1) / compress_ratio) keys */
  int64_t compress_ratio;
  /* default -1: keys of window_key that a token sees, its own position the last; -1: all up to
   * that */
  int64_t window_size;
  /* 0 or 1, default false: whether softmax_max and softmax_sum are wanted */
  int64_t return_softmax_lse;
  /* one of split, cann656, flashmla656, flashmla584; NULL means split: split: key and key_rope
   * as query; else key holds rows of bytes as pack_kv_rows makes them, of flashmla584 a page at
   * a time */
  const char* kv_format;
  /* one of storage, fp32, fp32_scores; NULL means storage: of the products: storage lets a level
   * use 16-bit integers for values, and for scores where no statistics are wanted, with an error
   * below the rounding of a bfloat16 output; fp32_scores: for values only, as with statistics */
  const char* accuracy;
  /* one of input, float32; NULL means input: dtype of out */
  const char* out_dtype;
  /* 0 or 1, default false: also enforce the document's limits: those of the table, and lengths
   * one per sequence, layout_kv BSND or PA_BSND, a block_table with room for the longest
   * sequence */
  int64_t strict;
  /* output BSND [B, S1, N, D]; TND [T1, N, D] as query, or by out_dtype: latent output */
  tamis_tensor out;
  /* output, optional BSND [B, S1, N]; TND [T1, N] float32: largest scaled score; with
   * return_softmax_lse only */
  tamis_tensor softmax_max;
  /* output, optional BSND [B, S1, N]; TND [T1, N] float32: sum of exp(score - max); with
   * return_softmax_lse only */
  tamis_tensor softmax_sum;
} tamis_sparse_flash_attention_params;

/* Sets struct_size and the defaults of the members that lie within `struct_size` bytes. */
TAMIS_C_API tamis_status tamis_sparse_flash_attention_params_init_sized(
    tamis_sparse_flash_attention_params* params, size_t struct_size);
/* The same for the struct as this header knows it. */
static inline tamis_status tamis_sparse_flash_attention_params_init(
    tamis_sparse_flash_attention_params* params) {
  return tamis_sparse_flash_attention_params_init_sized(params, sizeof(*params));
}
/* Checks and prepares a call: see tamis_plan_run and tamis_plan_destroy. */
TAMIS_C_API tamis_status tamis_sparse_flash_attention_plan(
    const tamis_context* context, const tamis_sparse_flash_attention_params* params,
    tamis_plan** plan);
/* Runs a plan on the tensors of `params`: see tamis_plan_run_by_name. */
TAMIS_C_API tamis_status tamis_sparse_flash_attention_run(
    const tamis_plan* plan, const tamis_sparse_flash_attention_params* params,
    void* workspace, int64_t workspace_bytes, void* stream);
/* Gives a plan the integers of `params`: see tamis_plan_renew_by_name. */
TAMIS_C_API tamis_status tamis_sparse_flash_attention_renew(
    tamis_plan* plan, const tamis_sparse_flash_attention_params* params);

/* Gradients of queries, keys, values, ropes and sinks of sparse_flash_attention.
 * aclnnSparseFlashAttentionGrad; no document of its own. */
typedef struct tamis_sparse_flash_attention_grad_params {
  /* sizeof(tamis_sparse_flash_attention_grad_params) of the caller */
  size_t struct_size;
  /* input BSND [B, S1, N, D]; TND [T1, N, D] float16, bfloat16, float32: latent part of the
   * queries of the forward */
  tamis_tensor query;
  /* input BSND [Bk, S2, 1, D]; TND [T2, 1, D] as query: its latent keys */
  tamis_tensor key;
  /* input BSND [B, S1, 1, K]; TND [T1, 1, K] int32: its blocks of each token's sequence; a
   * negative one ends a list */
  tamis_tensor sparse_indices;
  /* input BSND [B, S1, N, D]; TND [T1, N, D] as query: gradient of its result */
  tamis_tensor out_grad;
  /* input BSND [B, S1, N]; TND [T1, N] float32: its largest scaled scores, taken as they are */
  tamis_tensor softmax_max;
  /* input BSND [B, S1, N]; TND [T1, N] float32: its sums of exp(score - max), taken as they are */
  tamis_tensor softmax_sum;
  /* input, optional BSND [Bk, S2, 1, D]; TND [T2, 1, D] as query: its values; absent: the latent
   * part of key */
  tamis_tensor value;
  /* input, optional [*] int32, int64: BSND: tokens per sequence, or one for all; absent: S1.
   * TND: inclusive prefix sums, required; rows past the last are padding */
  tamis_tensor actual_seq_lengths_query;
  /* input, optional [*] int32, int64: keys per sequence, or one for all (BSND, PA_BSND); TND:
   * inclusive prefix sums; absent: S2 (BSND only) */
  tamis_tensor actual_seq_lengths_kv;
  /* input, optional BSND [B, S1, N, Dr]; TND [T1, N, Dr] as query: rotary part of its queries,
   * with key_rope */
  tamis_tensor query_rope;
  /* input, optional BSND [Bk, S2, 1, Dr]; TND [T2, 1, Dr] as query: rotary part of its keys,
   * with query_rope */
  tamis_tensor key_rope;
  /* input, optional [N] float32: its scores without a value, by head */
  tamis_tensor sinks;
  /* input, optional [*] int32, int64: per sequence, or one for all, its first key that counts:
   * those before, as of a sequence padded on the left, are seen by no token; absent: 0 */
  tamis_tensor key_starts;
  /* input, optional BSND [B, S1]; TND [T1] int32: per query token: of the keys that it would
   * see, only those before this position of its sequence; absent: all */
  tamis_tensor key_limits;
  /* required: factor of the scores */
  double scale_value;
  /* default 1: positions per id: id b names [b c, (b + 1) c) of the sequence */
  int64_t sparse_block_size;
  /* one of BSND, TND; NULL means BSND: of query, what belongs to it, and its gradients */
  const char* layout_query;
  /* one of BSND, TND; NULL means BSND: of key, value, key_rope and their gradients: as
   * layout_query */
  const char* layout_kv;
  /* default 3: 3: token i of q sees positions up to n - q + i (causal from the end); 0: all n */
  int64_t sparse_mode;
  /* 0 or 1, default true: compute query_grad */
  int64_t return_query_grad;
  /* 0 or 1, default true: compute key_grad */
  int64_t return_key_grad;
  /* 0 or 1, default true: compute value_grad */
  int64_t return_value_grad;
  /* 0 or 1, default true: compute query_rope_grad */
  int64_t return_query_rope_grad;
  /* 0 or 1, default true: compute key_rope_grad */
  int64_t return_key_rope_grad;
  /* 0 or 1, default true: compute sinks_grad */
  int64_t return_sinks_grad;
  /* 0 or 1, default false: no limit of a document applies: changes nothing */
  int64_t strict;
  /* output, optional BSND [B, S1, N, D]; TND [T1, N, D] as query: gradient of query */
  tamis_tensor query_grad;
  /* output, optional BSND [Bk, S2, 1, D]; TND [T2, 1, D] as key: gradient of key */
  tamis_tensor key_grad;
  /* output, optional BSND [Bk, S2, 1, D]; TND [T2, 1, D] as value: gradient of value */
  tamis_tensor value_grad;
  /* output, optional BSND [B, S1, N, Dr]; TND [T1, N, Dr] as query_rope: gradient of query_rope */
  tamis_tensor query_rope_grad;
  /* output, optional BSND [Bk, S2, 1, Dr]; TND [T2, 1, Dr] as key_rope: gradient of key_rope */
  tamis_tensor key_rope_grad;
  /* output, optional [N] as sinks: gradient of sinks */
  tamis_tensor sinks_grad;
} tamis_sparse_flash_attention_grad_params;

/* Sets struct_size and the defaults of the members that lie within `struct_size` bytes. */
TAMIS_C_API tamis_status tamis_sparse_flash_attention_grad_params_init_sized(
    tamis_sparse_flash_attention_grad_params* params, size_t struct_size);
/* The same for the struct as this header knows it. */
static inline tamis_status tamis_sparse_flash_attention_grad_params_init(
    tamis_sparse_flash_attention_grad_params* params) {
  return tamis_sparse_flash_attention_grad_params_init_sized(params, sizeof(*params));
}
/* Checks and prepares a call: see tamis_plan_run and tamis_plan_destroy. */
TAMIS_C_API tamis_status tamis_sparse_flash_attention_grad_plan(
    const tamis_context* context, const tamis_sparse_flash_attention_grad_params* params,
    tamis_plan** plan);
/* Runs a plan on the tensors of `params`: see tamis_plan_run_by_name. */
TAMIS_C_API tamis_status tamis_sparse_flash_attention_grad_run(
    const tamis_plan* plan, const tamis_sparse_flash_attention_grad_params* params,
    void* workspace, int64_t workspace_bytes, void* stream);
/* Gives a plan the integers of `params`: see tamis_plan_renew_by_name. */
TAMIS_C_API tamis_status tamis_sparse_flash_attention_grad_renew(
    tamis_plan* plan, const tamis_sparse_flash_attention_grad_params* params);

/* Hidden states to sparse attention: MLA prolog, indexer prolog, lightning indexer and sparse
 * flash attention in one call. npu_sparse_attention_pto (document 003). */
typedef struct tamis_sparse_attention_pto_params {
  /* sizeof(tamis_sparse_attention_pto_params) of the caller */
  size_t struct_size;
  /* input [B, S1, H] bfloat16, float16, float32: hidden states of the new tokens */
  tamis_tensor x;
  /* input [H, Lq] as x: down projection of queries */
  tamis_tensor w_dq;
  /* input [Lq, Q] as x: up projection: per head Dq columns, then Dr for the rope; Q = N * (Dq +
   * Dr) */
  tamis_tensor w_uq_qr;
  /* input [N, Dq, D] as x: absorbed key up projection, never NZ */
  tamis_tensor w_uk;
  /* input [H, C] as x: projection to the latent and its rope; C = D + Dr */
  tamis_tensor w_dkv_kr;
  /* input [Lq] as x: scale of the queries' RMS norm */
  tamis_tensor gamma_cq;
  /* input [D] as x: scale of the latent's RMS norm */
  tamis_tensor gamma_ckv;
  /* input [B, S1, Dr] as x: sines of the new tokens, full width */
  tamis_tensor sin;
  /* input [B, S1, Dr] as x: cosines of the new tokens, full width */
  tamis_tensor cos;
  /* input [B, S1] int32, int64: row of all three caches that each new token gets: page *
   * page_size + offset; negative: none */
  tamis_tensor cache_index;
  /* updated in place [pages, page_size, 1, D] as x: latents */
  tamis_tensor kv_cache;
  /* updated in place [pages, page_size, 1, Dr] as x: rope keys */
  tamis_tensor kr_cache;
  /* input [B, max_pages] int32: pages of each sequence; entries past its positions are not read */
  tamis_tensor block_table;
  /* input [B] int32, int64: positions of each sequence, the new tokens included */
  tamis_tensor act_seqs;
  /* input [Lq, I] as x: index queries; I = Ni * Di */
  tamis_tensor w_idx_qb;
  /* input [H, Di] as x: index keys */
  tamis_tensor w_idx_k;
  /* input [H, Ni] as x: weights of the index heads */
  tamis_tensor w_idx_proj;
  /* input [Di] as x: scale of the index keys' norm */
  tamis_tensor in_gamma_k;
  /* input [Di] as x: shift of the index keys' norm */
  tamis_tensor in_beta_k;
  /* updated in place [pages, page_size, 1, Di] as x: index keys */
  tamis_tensor index_k_cache;
  /* default 0.041666666666666664: factor of the logits; the document's is 576^-0.5 and lacks the
   * model's correction */
  double scale_value;
  /* default 1e-05: of the queries' RMS norm */
  double epsilon_cq;
  /* default 1e-05: of the latent's RMS norm */
  double epsilon_ckv;
  /* default 1e-06: of the index keys' norm */
  double epsilon_k;
  /* 0 or 1, default true: the indexer's rope takes pairs (0, 1), (2, 3), ...; else (0, Dr/2),
   * ... */
  int64_t rope_interleaved;
  /* default 2048: positions to select */
  int64_t sparse_count;
  /* one of ND, NZ; NULL means ND: of w_dq, w_uq_qr, w_dkv_kr, w_idx_qb, w_idx_k and w_idx_proj */
  const char* weight_format;
  /* one of storage, fp32, fp32_scores; NULL means storage: of the attention's products: storage
   * lets a level use 16-bit integers, with an error below the rounding of a bfloat16 output;
   * fp32_scores: for values only */
  const char* accuracy;
  /* 0 or 1, default false: also enforce the document's limits */
  int64_t strict;
  /* output [B, S1, N, D] as x: latent output */
  tamis_tensor out;
  /* output, optional [B, S1, 1, sparse_count] int32: the positions selected, best first, then -1 */
  tamis_tensor sparse_indices;
} tamis_sparse_attention_pto_params;

/* Sets struct_size and the defaults of the members that lie within `struct_size` bytes. */
TAMIS_C_API tamis_status tamis_sparse_attention_pto_params_init_sized(
    tamis_sparse_attention_pto_params* params, size_t struct_size);
/* The same for the struct as this header knows it. */
static inline tamis_status tamis_sparse_attention_pto_params_init(
    tamis_sparse_attention_pto_params* params) {
  return tamis_sparse_attention_pto_params_init_sized(params, sizeof(*params));
}
/* Checks and prepares a call: see tamis_plan_run and tamis_plan_destroy. */
TAMIS_C_API tamis_status tamis_sparse_attention_pto_plan(
    const tamis_context* context, const tamis_sparse_attention_pto_params* params,
    tamis_plan** plan);
/* Runs a plan on the tensors of `params`: see tamis_plan_run_by_name. */
TAMIS_C_API tamis_status tamis_sparse_attention_pto_run(
    const tamis_plan* plan, const tamis_sparse_attention_pto_params* params,
    void* workspace, int64_t workspace_bytes, void* stream);
/* Gives a plan the integers of `params`: see tamis_plan_renew_by_name. */
TAMIS_C_API tamis_status tamis_sparse_attention_pto_renew(
    tamis_plan* plan, const tamis_sparse_attention_pto_params* params);

/* Keys as rows of bytes, 8 bits a channel. rows of npu_kv_quant_sparse_flash_attention and of
 * FlashMLA; no document of its own. */
typedef struct tamis_pack_kv_rows_params {
  /* sizeof(tamis_pack_kv_rows_params) of the caller */
  size_t struct_size;
  /* input [R, D] float16, bfloat16, float32: latent part of the keys, D a multiple of 128, of 64
   * with flashmla584 */
  tamis_tensor latent;
  /* input [R, Dr] as latent: rotary part, kept as it is; of float32 in bfloat16 */
  tamis_tensor rope;
  /* one of cann656, flashmla656, flashmla584; NULL means cann656: int8 | rope | scales; fp8
   * e4m3fn | scales | rope; or fp8 | rope of all rows, then their scales */
  const char* kv_format;
  /* 0 or 1, default false: no limit of a document applies: changes nothing */
  int64_t strict;
  /* output [R, width] uint8: width = D + 2 Dr + D / 32 bytes a key; flashmla584: D + 2 Dr + D /
   * 64 + 1, dense */
  tamis_tensor rows;
} tamis_pack_kv_rows_params;

/* Sets struct_size and the defaults of the members that lie within `struct_size` bytes. */
TAMIS_C_API tamis_status tamis_pack_kv_rows_params_init_sized(
    tamis_pack_kv_rows_params* params, size_t struct_size);
/* The same for the struct as this header knows it. */
static inline tamis_status tamis_pack_kv_rows_params_init(
    tamis_pack_kv_rows_params* params) {
  return tamis_pack_kv_rows_params_init_sized(params, sizeof(*params));
}
/* Checks and prepares a call: see tamis_plan_run and tamis_plan_destroy. */
TAMIS_C_API tamis_status tamis_pack_kv_rows_plan(
    const tamis_context* context, const tamis_pack_kv_rows_params* params,
    tamis_plan** plan);
/* Runs a plan on the tensors of `params`: see tamis_plan_run_by_name. */
TAMIS_C_API tamis_status tamis_pack_kv_rows_run(
    const tamis_plan* plan, const tamis_pack_kv_rows_params* params,
    void* workspace, int64_t workspace_bytes, void* stream);
/* Gives a plan the integers of `params`: see tamis_plan_renew_by_name. */
TAMIS_C_API tamis_status tamis_pack_kv_rows_renew(
    tamis_plan* plan, const tamis_pack_kv_rows_params* params);

/* Keys from rows of bytes. rows of npu_kv_quant_sparse_flash_attention and of FlashMLA; no
 * document of its own. */
typedef struct tamis_unpack_kv_rows_params {
  /* sizeof(tamis_unpack_kv_rows_params) of the caller */
  size_t struct_size;
  /* input [R, width] uint8, int8: width = D + 2 rope_dim + D / 32 bytes a key, D a multiple of
   * 128; flashmla584: D + 2 rope_dim + D / 64 + 1, D a multiple of 64, dense */
  tamis_tensor rows;
  /* default 64: dims of the rotary part */
  int64_t rope_dim;
  /* one of cann656, flashmla656, flashmla584; NULL means cann656: int8 | rope | scales; fp8
   * e4m3fn | scales | rope; or fp8 | rope of all rows, then their scales */
  const char* kv_format;
  /* one of bfloat16, float16, float32; NULL means bfloat16: dtype of the outputs; that of the
   * packed rope, float32 beside bfloat16 */
  const char* dtype;
  /* 0 or 1, default false: no limit of a document applies: changes nothing */
  int64_t strict;
  /* output [R, D] bfloat16: latent part of the keys */
  tamis_tensor latent;
  /* output, optional [R, rope_dim] bfloat16: rotary part */
  tamis_tensor rope;
} tamis_unpack_kv_rows_params;

/* Sets struct_size and the defaults of the members that lie within `struct_size` bytes. */
TAMIS_C_API tamis_status tamis_unpack_kv_rows_params_init_sized(
    tamis_unpack_kv_rows_params* params, size_t struct_size);
/* The same for the struct as this header knows it. */
static inline tamis_status tamis_unpack_kv_rows_params_init(
    tamis_unpack_kv_rows_params* params) {
  return tamis_unpack_kv_rows_params_init_sized(params, sizeof(*params));
}
/* Checks and prepares a call: see tamis_plan_run and tamis_plan_destroy. */
TAMIS_C_API tamis_status tamis_unpack_kv_rows_plan(
    const tamis_context* context, const tamis_unpack_kv_rows_params* params,
    tamis_plan** plan);
/* Runs a plan on the tensors of `params`: see tamis_plan_run_by_name. */
TAMIS_C_API tamis_status tamis_unpack_kv_rows_run(
    const tamis_plan* plan, const tamis_unpack_kv_rows_params* params,
    void* workspace, int64_t workspace_bytes, void* stream);
/* Gives a plan the integers of `params`: see tamis_plan_renew_by_name. */
TAMIS_C_API tamis_status tamis_unpack_kv_rows_renew(
    tamis_plan* plan, const tamis_unpack_kv_rows_params* params);

/* Attention over all keys from attention over parts of them. decode context parallelism around
 * sparse attention; no document of its own. */
typedef struct tamis_merge_attention_states_params {
  /* sizeof(tamis_merge_attention_states_params) of the caller */
  size_t struct_size;
  /* input [parts, T, N, D] float16, bfloat16, float32: attention over each part; not read where
   * the part is empty */
  tamis_tensor outs;
  /* input [parts, T, N] float32: largest score, natural logarithm; -inf: the part is empty */
  tamis_tensor softmax_maxes;
  /* input [parts, T, N] float32: sum of exp(score - max); at most 0: the part is empty */
  tamis_tensor softmax_sums;
  /* one of input, float32; NULL means input: dtype of out */
  const char* out_dtype;
  /* 0 or 1, default false: no limit of a document applies: changes nothing */
  int64_t strict;
  /* output [T, N, D] as outs, or by out_dtype: attention over all parts; 0 where all are empty */
  tamis_tensor out;
  /* output, optional [T, N] float32: -inf where all are empty */
  tamis_tensor softmax_max;
  /* output, optional [T, N] float32: 0 where all are empty */
  tamis_tensor softmax_sum;
} tamis_merge_attention_states_params;

/* Sets struct_size and the defaults of the members that lie within `struct_size` bytes. */
TAMIS_C_API tamis_status tamis_merge_attention_states_params_init_sized(
    tamis_merge_attention_states_params* params, size_t struct_size);
/* The same for the struct as this header knows it. */
static inline tamis_status tamis_merge_attention_states_params_init(
    tamis_merge_attention_states_params* params) {
  return tamis_merge_attention_states_params_init_sized(params, sizeof(*params));
}
/* Checks and prepares a call: see tamis_plan_run and tamis_plan_destroy. */
TAMIS_C_API tamis_status tamis_merge_attention_states_plan(
    const tamis_context* context, const tamis_merge_attention_states_params* params,
    tamis_plan** plan);
/* Runs a plan on the tensors of `params`: see tamis_plan_run_by_name. */
TAMIS_C_API tamis_status tamis_merge_attention_states_run(
    const tamis_plan* plan, const tamis_merge_attention_states_params* params,
    void* workspace, int64_t workspace_bytes, void* stream);
/* Gives a plan the integers of `params`: see tamis_plan_renew_by_name. */
TAMIS_C_API tamis_status tamis_merge_attention_states_renew(
    tamis_plan* plan, const tamis_merge_attention_states_params* params);

/* The best of several lists of scored positions. decode context parallelism around sparse
 * attention; no document of its own. */
typedef struct tamis_merge_topk_params {
  /* sizeof(tamis_merge_topk_params) of the caller */
  size_t struct_size;
  /* input [parts, T, K] float32: scores */
  tamis_tensor values;
  /* input [parts, T, K] int32: their positions; a negative one is no entry */
  tamis_tensor indices;
  /* required: entries to keep */
  int64_t sparse_count;
  /* 0 or 1, default false: no limit of a document applies: changes nothing */
  int64_t strict;
  /* output [T, sparse_count] int32: best first, then -1 */
  tamis_tensor sparse_indices;
  /* output, optional [T, sparse_count] float32: their scores, then -inf */
  tamis_tensor sparse_values;
} tamis_merge_topk_params;

/* Sets struct_size and the defaults of the members that lie within `struct_size` bytes. */
TAMIS_C_API tamis_status tamis_merge_topk_params_init_sized(
    tamis_merge_topk_params* params, size_t struct_size);
/* The same for the struct as this header knows it. */
static inline tamis_status tamis_merge_topk_params_init(
    tamis_merge_topk_params* params) {
  return tamis_merge_topk_params_init_sized(params, sizeof(*params));
}
/* Checks and prepares a call: see tamis_plan_run and tamis_plan_destroy. */
TAMIS_C_API tamis_status tamis_merge_topk_plan(
    const tamis_context* context, const tamis_merge_topk_params* params,
    tamis_plan** plan);
/* Runs a plan on the tensors of `params`: see tamis_plan_run_by_name. */
TAMIS_C_API tamis_status tamis_merge_topk_run(
    const tamis_plan* plan, const tamis_merge_topk_params* params,
    void* workspace, int64_t workspace_bytes, void* stream);
/* Gives a plan the integers of `params`: see tamis_plan_renew_by_name. */
TAMIS_C_API tamis_status tamis_merge_topk_renew(
    tamis_plan* plan, const tamis_merge_topk_params* params);

/* Of selected positions, those that one holder has. decode context parallelism around sparse
 * attention; no document of its own. */
typedef struct tamis_localize_indices_params {
  /* sizeof(tamis_localize_indices_params) of the caller */
  size_t struct_size;
  /* input [T, K] int32: positions; the first negative one ends its row */
  tamis_tensor indices;
  /* required: whose positions to keep; 0 to world - 1 */
  int64_t rank;
  /* required: ranks that the keys are dealt to */
  int64_t world;
  /* default 1: neighbouring keys dealt to a rank at once */
  int64_t interleave;
  /* default 1: how many ranks, from rank on, are one holder's */
  int64_t ranks;
  /* 0 or 1, default false: no limit of a document applies: changes nothing */
  int64_t strict;
  /* output [T, K] int32: places among the holder's keys, in the given order, then -1 */
  tamis_tensor sparse_indices;
  /* output, optional [T] int32: how many there are */
  tamis_tensor counts;
} tamis_localize_indices_params;

/* Sets struct_size and the defaults of the members that lie within `struct_size` bytes. */
TAMIS_C_API tamis_status tamis_localize_indices_params_init_sized(
    tamis_localize_indices_params* params, size_t struct_size);
/* The same for the struct as this header knows it. */
static inline tamis_status tamis_localize_indices_params_init(
    tamis_localize_indices_params* params) {
  return tamis_localize_indices_params_init_sized(params, sizeof(*params));
}
/* Checks and prepares a call: see tamis_plan_run and tamis_plan_destroy. */
TAMIS_C_API tamis_status tamis_localize_indices_plan(
    const tamis_context* context, const tamis_localize_indices_params* params,
    tamis_plan** plan);
/* Runs a plan on the tensors of `params`: see tamis_plan_run_by_name. */
TAMIS_C_API tamis_status tamis_localize_indices_run(
    const tamis_plan* plan, const tamis_localize_indices_params* params,
    void* workspace, int64_t workspace_bytes, void* stream);
/* Gives a plan the integers of `params`: see tamis_plan_renew_by_name. */
TAMIS_C_API tamis_status tamis_localize_indices_renew(
    tamis_plan* plan, const tamis_localize_indices_params* params);

/* Places among one holder's keys as positions of the sequence. decode context parallelism around
 * sparse attention; no document of its own. */
typedef struct tamis_globalize_indices_params {
  /* sizeof(tamis_globalize_indices_params) of the caller */
  size_t struct_size;
  /* input [T, K] int32: places among the holder's keys; a negative one is no entry */
  tamis_tensor indices;
  /* required: whose places they are; 0 to world - 1 */
  int64_t rank;
  /* required: ranks that the keys are dealt to */
  int64_t world;
  /* default 1: neighbouring keys dealt to a rank at once */
  int64_t interleave;
  /* default 1: how many ranks, from rank on, are one holder's */
  int64_t ranks;
  /* 0 or 1, default false: no limit of a document applies: changes nothing */
  int64_t strict;
  /* output [T, K] int32: their positions; -1 for no entry, and for a position of 2^31 or more */
  tamis_tensor sparse_indices;
} tamis_globalize_indices_params;

/* Sets struct_size and the defaults of the members that lie within `struct_size` bytes. */
TAMIS_C_API tamis_status tamis_globalize_indices_params_init_sized(
    tamis_globalize_indices_params* params, size_t struct_size);
/* The same for the struct as this header knows it. */
static inline tamis_status tamis_globalize_indices_params_init(
    tamis_globalize_indices_params* params) {
  return tamis_globalize_indices_params_init_sized(params, sizeof(*params));
}
/* Checks and prepares a call: see tamis_plan_run and tamis_plan_destroy. */
TAMIS_C_API tamis_status tamis_globalize_indices_plan(
    const tamis_context* context, const tamis_globalize_indices_params* params,
    tamis_plan** plan);
/* Runs a plan on the tensors of `params`: see tamis_plan_run_by_name. */
TAMIS_C_API tamis_status tamis_globalize_indices_run(
    const tamis_plan* plan, const tamis_globalize_indices_params* params,
    void* workspace, int64_t workspace_bytes, void* stream);
/* Gives a plan the integers of `params`: see tamis_plan_renew_by_name. */
TAMIS_C_API tamis_status tamis_globalize_indices_renew(
    tamis_plan* plan, const tamis_globalize_indices_params* params);

#ifdef __cplusplus
}
#endif

#endif
