"""The device's calls, argument for argument: one table, from which all else is made or checked.

Keys are namespaces of `torch.ops`. Schemas 002, 003 and 004 say what those documents say; (a!)
marks what a call updates in place, which the documents say in words.
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

SCHEMAS: dict[str, tuple[str, ...]] = {
    "npu": (
        "npu_nsa_compress(Tensor input, Tensor weight, int compress_block_size, "
        "int compress_stride, *, int[]? actual_seq_len=None) -> Tensor",
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
        _LAYER,
    ),
    "custom_pypto": (_LAYER,),
}


# Calls whose weights are in the device's format NZ: see formats.py.
READ_WEIGHTS = frozenset({"npu_sparse_attention_pto"})


def name_of(schema: str) -> str:
    """The call that a schema describes."""
    return schema.partition("(")[0]


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
