"""The device's calls, argument for argument: one table, from which all else is made or checked.

Keys are namespaces of `torch.ops`. Schemas 002, 003 and 004 say what those documents say, the
others what the device's public packages register; (a!) marks what a call updates in place, which
those say in words.
"""

from __future__ import annotations

import inspect

import torch

_LAYER = (  # document 003
    "npu_sparse_attention_pto(Tensor x, Tensor w_dq, Tensor w_uq_qr, Tensor w_uk, Tensor w_dkv_kr, "
    "Tensor gamma_cq, Tensor gamma_ckv, Tensor sin, Tensor cos, Tensor cache_index, "
    "Tensor(a!) kv_cache, Tensor(b!) kr_cache, Tensor block_table, Tensor act_seqs, "
    "Tensor w_idx_qb, Tensor w_idx_k, Tensor w_idx_proj, Tensor in_gamma_k, Tensor in_beta_k, "
    "Tensor(c!) index_k_cache) -> Tensor"
)

_TO_ROTATE = (  # what all forms of mla_prolog begin with
    "Tensor token_x, Tensor weight_dq, Tensor weight_uq_qr, Tensor weight_uk, "
    "Tensor weight_dkv_kr, Tensor rmsnorm_gamma_cq, Tensor rmsnorm_gamma_ckv, Tensor rope_sin, "
    "Tensor rope_cos, "
)
_SCALES = (
    "Tensor? dequant_scale_x=None, Tensor? dequant_scale_w_dq=None, "
    "Tensor? dequant_scale_w_uq_qr=None, Tensor? dequant_scale_w_dkv_kr=None, "
    "Tensor? quant_scale_ckv=None, Tensor? quant_scale_ckr=None, Tensor? smooth_scales_cq=None, "
)
_EPSILONS = (
    "float rmsnorm_epsilon_cq=1e-05, float rmsnorm_epsilon_ckv=1e-05, str cache_mode='PA_BSND'"
)
_PROLOG = (
    f"({_TO_ROTATE}Tensor cache_index, Tensor(a!) kv_cache, Tensor(b!) kr_cache, *, "
    f"{_SCALES}{_EPSILONS})"
)
_PROLOG_V3 = (
    f"*, Tensor? cache_index=None, {_SCALES}Tensor? actual_seq_len=None, "
    f"Tensor? k_nope_clip_alpha=None, {_EPSILONS}, bool query_norm_flag=False, "
    "int weight_quant_mode=0, int kv_cache_quant_mode=0, int query_quant_mode=0, "
    "int ckvkr_repo_mode=0, int quant_scale_repo_mode=0, int tile_size=128, "
    "float qc_qr_scale=1.0, float kc_scale=1.0"
)
_DTYPES = (
    "int? token_x_dtype=None, int? weight_dq_dtype=None, int? weight_uq_qr_dtype=None, "
    "int? weight_dkv_kr_dtype=None, int? kv_cache_dtype=None"
)
_IN_PLACE = f"{_TO_ROTATE}Tensor(a!) kv_cache, Tensor(b!) kr_cache, {_PROLOG_V3}"
_FUNCTIONAL = f"{_TO_ROTATE}Tensor kv_cache, Tensor kr_cache, {_PROLOG_V3}"
_LENGTHS = (  # what all calls that train the indexer have
    "SymInt[]? actual_seq_qlen=None, SymInt[]? actual_seq_klen=None, str? layout='BSND', "
    "int? sparse_mode=3, int? pre_tokens=9223372036854775807, "
    "int? next_tokens=9223372036854775807"
)
_ROPES = "Tensor? query_rope=None, Tensor? key_rope=None"
_FOUR = "(Tensor, Tensor, Tensor, Tensor)"
_FIVE = "(Tensor, Tensor, Tensor, Tensor, Tensor)"
_SEVEN = "(Tensor, Tensor, Tensor, Tensor, Tensor, Tensor, Tensor)"

SCHEMAS: dict[str, tuple[str, ...]] = {
    "npu": (
        "npu_nsa_compress(Tensor input, Tensor weight, int compress_block_size, "
        "int compress_stride, *, int[]? actual_seq_len=None) -> Tensor",
        "npu_nsa_compress_grad(Tensor grad, Tensor input, Tensor weight, int compress_block_size, "
        "int compress_stride, *, int[]? actual_seq_len=None) -> (Tensor, Tensor)",
        "npu_nsa_compress_infer.cache(Tensor input, Tensor weight, Tensor slot_mapping, "
        "int compress_block_size, int compress_stride, int page_block_size, *, "
        "Tensor? block_table=None, int[]? actual_seq_len=None, Tensor(a!) cache) -> Tensor(a!)",
        # document 002
        "npu_nsa_compress_attention(Tensor query, Tensor key, Tensor value, float scale_value, "
        "int head_num, int compress_block_size, int compress_stride, int select_block_size, "
        "int select_block_count, Tensor? topk_mask=None, Tensor? atten_mask=None, "
        "int[]? actual_seq_qlen=None, int[]? actual_cmp_seq_kvlen=None, "
        "int[]? actual_sel_seq_kvlen=None) -> (Tensor, Tensor, Tensor, Tensor)",
        "npu_nsa_compress_attention_infer(Tensor query, Tensor key, Tensor value, "
        "float scale_value, int head_num, int key_value_head_num, int select_block_size, "
        "int select_block_count, int page_block_size, int compress_block_size, "
        "int compress_stride, Tensor? atten_mask=None, Tensor? block_table=None, "
        "Tensor? topk_mask=None, int[]? actual_seq_qlen=None, int[]? actual_cmp_seq_kvlen=None, "
        "int[]? actual_sel_seq_kvlen=None, *, str layout='TND') -> (Tensor, Tensor)",
        "npu_nsa_select_attention(Tensor query, Tensor key, Tensor value, Tensor topk_indices, "
        "float scale_value, int head_num, int select_block_size, int select_block_count, *, "
        "Tensor? atten_mask=None, int[]? actual_seq_qlen=None, int[]? actual_seq_kvlen=None) "
        "-> (Tensor, Tensor, Tensor)",
        "npu_nsa_select_attention_grad(Tensor grad, Tensor query, Tensor key, Tensor value, "
        "Tensor attention_out, Tensor softmax_max, Tensor softmax_sum, Tensor topk_indices, "
        "float scale_value, int head_num, int select_block_size, int select_block_count, *, "
        "Tensor? atten_mask=None, int[]? actual_seq_qlen=None, int[]? actual_seq_kvlen=None) "
        "-> (Tensor, Tensor, Tensor)",
        "npu_nsa_select_attention_infer(Tensor query, Tensor key, Tensor value, "
        "Tensor topk_indices, float scale_value, int head_num, int key_value_head_num, "
        "int select_block_size, int select_block_count, int page_block_size, *, "
        "str layout='BSND', Tensor? atten_mask=None, Tensor? block_table=None, "
        "int[]? actual_seq_qlen=None, int[]? actual_seq_kvlen=None) -> Tensor",
        "npu_sparse_flash_attention_grad(Tensor query, Tensor key, Tensor value, "
        "Tensor sparse_indices, Tensor d_out, Tensor out, Tensor softmax_max, Tensor softmax_sum, "
        "float scale_value, int sparse_block_size, Tensor? query_rope=None, "
        "Tensor? key_rope=None, Tensor? actual_seq_qlen=None, Tensor? actual_seq_kvlen=None, "
        "str? layout='BSND', int? sparse_mode=3, int? pre_tokens=9223372036854775807, "
        "int? next_tokens=9223372036854775807, int? attention_mode=0) "
        "-> (Tensor, Tensor, Tensor, Tensor, Tensor)",
        "npu_lightning_indexer(Tensor query, Tensor key, Tensor weights, *, "
        "Tensor? actual_seq_lengths_query=None, Tensor? actual_seq_lengths_key=None, "
        "Tensor? block_table=None, str layout_query='BSND', str layout_key='BSND', "
        "int sparse_count=2048, int sparse_mode=3, int pre_tokens=9223372036854775807, "
        "int next_tokens=9223372036854775807, bool return_value=False) -> (Tensor, Tensor)",
        "npu_lightning_indexer_grad(Tensor query, Tensor key, Tensor dy, Tensor sparse_indices, "
        "Tensor weights, Tensor? actual_seq_lengths_query=None, "
        "Tensor? actual_seq_lengths_key=None, str? layout='BSND', int? sparse_mode=3, "
        "int? pre_tokens=9223372036854775807, int? next_tokens=9223372036854775807) "
        "-> (Tensor, Tensor, Tensor)",
        "npu_sparse_flash_attention(Tensor query, Tensor key, Tensor value, Tensor sparse_indices, "
        "float scale_value, *, Tensor? block_table=None, Tensor? actual_seq_lengths_query=None, "
        "Tensor? actual_seq_lengths_kv=None, Tensor? query_rope=None, Tensor? key_rope=None, "
        "int sparse_block_size=1, str layout_query='BSND', str layout_kv='BSND', "
        "int sparse_mode=3, int pre_tokens=9223372036854775807, "
        "int next_tokens=9223372036854775807, int attention_mode=0, "
        "bool return_softmax_lse=False, Tensor? sinks=None) -> (Tensor, Tensor, Tensor)",
        "npu_dense_lightning_indexer_softmax_lse(Tensor query_index, Tensor key_index, "
        f"Tensor weights, *, {_LENGTHS}) -> (Tensor, Tensor)",
        "npu_dense_lightning_indexer_grad_kl_loss(Tensor query, Tensor key, Tensor query_index, "
        "Tensor key_index, Tensor weights, Tensor softmax_max, Tensor softmax_sum, "
        "Tensor softmax_max_index, Tensor softmax_sum_index, float scale_value, *, "
        f"{_ROPES}, {_LENGTHS}) -> {_FOUR}",
        "npu_sparse_lightning_indexer_grad_kl_loss(Tensor query, Tensor key, Tensor query_index, "
        "Tensor key_index, Tensor weights, Tensor sparse_indices, Tensor softmax_max, "
        f"Tensor softmax_sum, float scale_value, *, {_ROPES}, {_LENGTHS}, "
        f"Tensor? sinks=None) -> {_FOUR}",
        f"npu_mla_prolog{_PROLOG} -> (Tensor, Tensor, Tensor(a!), Tensor(b!))",
        f"npu_mla_prolog_v2{_PROLOG} -> (Tensor, Tensor, Tensor(a!), Tensor(b!), Tensor)",
        f"npu_mla_prolog_v3({_IN_PLACE}, {_DTYPES}) -> {_FIVE}",
        f"npu_mla_prolog_v3_functional({_FUNCTIONAL}, {_DTYPES}) -> {_SEVEN}",
    ),
    "custom": (
        # document 004
        "npu_sparse_flash_attention(Tensor query, Tensor key, Tensor value, Tensor sparse_indices, "
        "float scale_value, int sparse_block_size, *, Tensor? block_table=None, "
        "Tensor? actual_seq_lengths_query=None, Tensor? actual_seq_lengths_kv=None, "
        "Tensor? query_rope=None, Tensor? key_rope=None, str layout_query='BSND', "
        "str layout_kv='BSND', int sparse_mode=3) -> Tensor",
        "npu_lightning_indexer(Tensor query, Tensor key, Tensor weights, *, "
        "Tensor? actual_seq_lengths_query=None, Tensor? actual_seq_lengths_key=None, "
        "Tensor? block_table=None, str layout_query='BSND', str layout_key='BSND', "
        "int sparse_count=2048, int sparse_mode=3) -> Tensor",
        "npu_sparse_flash_attention_antiquant(Tensor query, Tensor key, Tensor value, "
        "Tensor sparse_indices, float scale_value, int sparse_block_size, int key_quant_mode, "
        "int value_quant_mode, *, Tensor? key_dequant_scale=None, "
        "Tensor? value_dequant_scale=None, Tensor? block_table=None, "
        "Tensor? actual_seq_lengths_query=None, Tensor? actual_seq_lengths_kv=None, "
        "str layout_query='BSND', str layout_kv='BSND', int sparse_mode=3, int attention_mode=0, "
        "int quant_scale_repo_mode=0, int tile_size=0, int rope_head_dim=0) -> Tensor",
        f"npu_mla_prolog_v3({_IN_PLACE}) -> {_FIVE}",
        f"npu_mla_prolog_v3_functional({_FUNCTIONAL}) -> {_SEVEN}",
        _LAYER,
    ),
    "custom_pypto": (
        _LAYER,
        "npu_lightning_indexer_pto(Tensor query, Tensor key, Tensor weights, *, "
        "Tensor? actual_seq_lengths_query=None, Tensor? actual_seq_lengths_key=None, "
        "Tensor? block_table=None, str layout_query='BSND', str layout_key='PA_BSND', "
        "int sparse_count=2048, int sparse_mode=3) -> Tensor",
        "npu_lightning_indexer_prolog_pto(Tensor token_x, Tensor q_norm, Tensor q_norm_scale, "
        "Tensor wq_b, Tensor wq_b_scale, Tensor wk, Tensor weights_proj, Tensor ln_gamma_k, "
        "Tensor ln_beta_k, Tensor cos_idx_rope, Tensor sin_idx_rope, Tensor hadamard_q, "
        "Tensor hadamard_k, Tensor(a!) idx_k_cache, Tensor idx_k_scale_cache, "
        "Tensor idx_k_cache_index, float layernorm_epsilon_k, *, str? layout_query='TND', "
        "str? layout_key='PA_BSND') -> (Tensor, Tensor, Tensor)",
    ),
}


_PROLOG_WEIGHTS = ("weight_dq", "weight_uq_qr", "weight_dkv_kr")

# Calls whose weights are in the device's format NZ, and which: see formats.py.
READ_WEIGHTS: dict[str, tuple[str, ...]] = {
    "npu_sparse_attention_pto": (
        "w_dq",
        "w_uq_qr",
        "w_dkv_kr",
        "w_idx_qb",
        "w_idx_k",
        "w_idx_proj",
    ),
    "npu_mla_prolog": _PROLOG_WEIGHTS,
    "npu_mla_prolog_v2": _PROLOG_WEIGHTS,
    "npu_mla_prolog_v3": _PROLOG_WEIGHTS,
    "npu_mla_prolog_v3_functional": _PROLOG_WEIGHTS,
    "npu_lightning_indexer_prolog_pto": ("wq_b", "wk", "weights_proj"),
}


def name_of(schema: str) -> str:
    """The call that a schema describes."""
    return overload_of(schema).partition(".")[0]


def overload_of(schema: str) -> str:
    """The same, with the name of the overload where the device has one."""
    return schema.partition("(")[0]


def is_opaque(schema: str) -> bool:
    """Whether compilers may not look into a call: it reads weights whose format they lose.

    An opaque operator cannot return what it updates; calls that do are made of one that does not.
    """
    returns = torch._C.parse_schema(schema).returns
    return name_of(schema) in READ_WEIGHTS and not any(found.alias_info for found in returns)


def signature_of(schema: str) -> inspect.Signature:
    """Names, order, defaults and keyword-only marks of a schema, as Python has them."""
    return inspect.Signature(
        [
            inspect.Parameter(
                argument.name,
                inspect.Parameter.KEYWORD_ONLY
                if argument.kwarg_only
                else inspect.Parameter.POSITIONAL_OR_KEYWORD,
                default=argument.default_value
                if argument.has_default_value()
                else inspect.Parameter.empty,
            )
            for argument in torch._C.parse_schema(schema).arguments
        ]
    )
