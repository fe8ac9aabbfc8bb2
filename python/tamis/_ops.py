"""Made from the contracts by `dev generate` (tools/generate): do not edit."""

from __future__ import annotations

from typing import Any, Generic, Literal, NamedTuple, overload

from tamis._call import Operator
from tamis._typing import Array, Implementation, Integers, Level, Nested, NumpyArray

__all__ = [
    "DenseLightningIndexerGradKlLoss",
    "DenseLightningIndexerSoftmaxLse",
    "IndexerProlog",
    "LightningIndexer",
    "LightningIndexerGrad",
    "LocalizeIndices",
    "MergeAttentionStates",
    "MergeTopk",
    "MlaProlog",
    "NsaCompressAttention",
    "NsaCompressAttentionGrad",
    "NsaCompressAttentionInfer",
    "NsaCompressGrad",
    "NsaSelectedAttention",
    "NsaSelectedAttentionGrad",
    "NsaSelectedAttentionInfer",
    "SlidingWindowAttention",
    "SlidingWindowAttentionGrad",
    "SparseAttentionPto",
    "SparseFlashAttention",
    "SparseFlashAttentionGrad",
    "SparseLightningIndexerGradKlLoss",
    "UnpackKvRows",
    "dense_lightning_indexer_grad_kl_loss",
    "dense_lightning_indexer_softmax_lse",
    "globalize_indices",
    "indexer_prolog",
    "lightning_indexer",
    "lightning_indexer_grad",
    "localize_indices",
    "merge_attention_states",
    "merge_topk",
    "mla_prolog",
    "nd_to_nz",
    "nsa_compress",
    "nsa_compress_attention",
    "nsa_compress_attention_grad",
    "nsa_compress_attention_infer",
    "nsa_compress_grad",
    "nsa_compress_infer",
    "nsa_selected_attention",
    "nsa_selected_attention_grad",
    "nsa_selected_attention_infer",
    "nz_to_nd",
    "pack_kv_rows",
    "quantize_index_keys",
    "sliding_window_attention",
    "sliding_window_attention_grad",
    "sparse_attention_pto",
    "sparse_flash_attention",
    "sparse_flash_attention_grad",
    "sparse_lightning_indexer_grad_kl_loss",
    "unpack_kv_rows",
]


_NSA_COMPRESS = Operator(
    "nsa_compress",
    inputs=(
        "input",
        "weight",
    ),
    updated=(),
    integers={},
    contiguous=(),
    read_by_plan=(),
    attributes=(
        ("act_seq_len", "ints"),
        ("compress_block_size", "int"),
        ("compress_stride", "int"),
        ("layout", "choice"),
        ("act_seq_len_type", "int"),
        ("strict", "bool"),
    ),
    outputs=("output",),
    results=None,
)


@overload
def nsa_compress(
    input: NumpyArray,
    weight: NumpyArray,
    *,
    act_seq_len: Integers,
    compress_block_size: int,
    compress_stride: int,
    layout: Literal["TND"] = "TND",
    act_seq_len_type: int = 0,
    strict: bool = False,
    output: NumpyArray | None = None,
    level: Level | None = None,
    implementation: Implementation | None = None,
    threads: int | None = None,
) -> NumpyArray: ...


@overload
def nsa_compress(
    input: Array,
    weight: Array,
    *,
    act_seq_len: Integers,
    compress_block_size: int,
    compress_stride: int,
    layout: Literal["TND"] = "TND",
    act_seq_len_type: int = 0,
    strict: bool = False,
    output: Array | None = None,
    level: Level | None = None,
    implementation: Implementation | None = None,
    threads: int | None = None,
) -> Array: ...


def nsa_compress(
    input: Array,
    weight: Array,
    *,
    act_seq_len: Integers,
    compress_block_size: int,
    compress_stride: int,
    layout: Literal["TND"] = "TND",
    act_seq_len_type: int = 0,
    strict: bool = False,
    output: Array | None = None,
    level: Level | None = None,
    implementation: Implementation | None = None,
    threads: int | None = None,
) -> Array:
    """Weighted window sums over packed sequences, per head.

    Source: NsaCompress (document 001).

    Parameters
    ----------
    input : array of float16, bfloat16, float32
        [T, N, D]: tokens, sequences packed
    weight : array, dtype as input
        [compress_block_size, N]: weight of each token of a window, per head
    act_seq_len : sequence or array of int
        inclusive prefix sums of the sequence lengths; the last is T
    compress_block_size : int
        tokens in a window (l)
    compress_stride : int
        tokens between the starts of windows (d); at most l
    layout : {"TND"}, default "TND"
        the document lists BSH, SBH, BSND, BNSD too and supports TND only
    act_seq_len_type : int, default 0
        0: act_seq_len holds prefix sums; 1: lengths (wide only)
    strict : bool, default False
        also enforce the document's limits
    output : array, optional
        where to write, never copied; None: allocated
    level : str, optional
        "scalar", "avx2", "avx2_vnni", "avx512", "avx512_vnni" or "avx512_bf16"; by default, "auto",
        `TAMIS_LEVEL`, else the best of this processor
    implementation : {"auto", "reference", "cpu"}, optional
        "reference" is float64: the specification
    threads : int, optional
        by default what `set_num_threads` says; results do not depend on it

    Returns
    -------
    output : array, dtype as input
        [Tc, N, D]: one row per window, sequences packed

    Raises
    ------
    ValueError
        an argument is absent or wrong; the message says which, what was expected and what came
    NotImplementedError
        the call is well formed, but nothing here can run it
    MemoryError
        an output or scratch cannot be allocated
    """
    result: Array = _NSA_COMPRESS(
        (
            input,
            weight,
        ),
        (
            act_seq_len,
            compress_block_size,
            compress_stride,
            layout,
            act_seq_len_type,
            strict,
        ),
        (output,),
        level,
        implementation,
        threads,
    )[0]
    return result


class NsaCompressGrad(NamedTuple, Generic[Array]):
    """Outputs of `nsa_compress_grad`; None where one was not asked for."""

    input_grad: Array | Any
    weight_grad: Array | Any


_NSA_COMPRESS_GRAD = Operator(
    "nsa_compress_grad",
    inputs=(
        "output_grad",
        "input",
        "weight",
    ),
    updated=(),
    integers={},
    contiguous=(),
    read_by_plan=(),
    attributes=(
        ("act_seq_len", "ints"),
        ("compress_block_size", "int"),
        ("compress_stride", "int"),
        ("layout", "choice"),
        ("act_seq_len_type", "int"),
        ("return_input_grad", "bool"),
        ("return_weight_grad", "bool"),
        ("strict", "bool"),
    ),
    outputs=(
        "input_grad",
        "weight_grad",
    ),
    results=NsaCompressGrad,
)


@overload
def nsa_compress_grad(
    output_grad: NumpyArray,
    input: NumpyArray,
    weight: NumpyArray,
    *,
    act_seq_len: Integers,
    compress_block_size: int,
    compress_stride: int,
    layout: Literal["TND"] = "TND",
    act_seq_len_type: int = 0,
    return_input_grad: bool = True,
    return_weight_grad: bool = True,
    strict: bool = False,
    input_grad: NumpyArray | Literal[False] | None = None,
    weight_grad: NumpyArray | Literal[False] | None = None,
    level: Level | None = None,
    implementation: Implementation | None = None,
    threads: int | None = None,
) -> NsaCompressGrad[NumpyArray]: ...


@overload
def nsa_compress_grad(
    output_grad: Array,
    input: Array,
    weight: Array,
    *,
    act_seq_len: Integers,
    compress_block_size: int,
    compress_stride: int,
    layout: Literal["TND"] = "TND",
    act_seq_len_type: int = 0,
    return_input_grad: bool = True,
    return_weight_grad: bool = True,
    strict: bool = False,
    input_grad: Array | Literal[False] | None = None,
    weight_grad: Array | Literal[False] | None = None,
    level: Level | None = None,
    implementation: Implementation | None = None,
    threads: int | None = None,
) -> NsaCompressGrad[Array]: ...


def nsa_compress_grad(
    output_grad: Array,
    input: Array,
    weight: Array,
    *,
    act_seq_len: Integers,
    compress_block_size: int,
    compress_stride: int,
    layout: Literal["TND"] = "TND",
    act_seq_len_type: int = 0,
    return_input_grad: bool = True,
    return_weight_grad: bool = True,
    strict: bool = False,
    input_grad: Array | Literal[False] | None = None,
    weight_grad: Array | Literal[False] | None = None,
    level: Level | None = None,
    implementation: Implementation | None = None,
    threads: int | None = None,
) -> NsaCompressGrad[Array]:
    """Gradients of tokens and weights of nsa_compress.

    Source: aclnnNsaCompressGrad, the gradient of nsa_compress; no document of its own.

    Parameters
    ----------
    output_grad : array of float16, bfloat16, float32
        [Tc, N, D]: gradient of the forward's output: one row per window
    input : array, dtype as output_grad
        [T, N, D]: tokens of the forward, sequences packed
    weight : array, dtype as output_grad
        [compress_block_size, N]: its weights
    act_seq_len : sequence or array of int
        inclusive prefix sums of the sequence lengths; the last is T
    compress_block_size : int
        tokens in a window (l)
    compress_stride : int
        tokens between the starts of windows (d); at most l
    layout : {"TND"}, default "TND"
        as the forward's
    act_seq_len_type : int, default 0
        0: act_seq_len holds prefix sums; 1: lengths (wide only)
    return_input_grad : bool, default True
        compute input_grad
    return_weight_grad : bool, default True
        compute weight_grad
    strict : bool, default False
        also enforce the limits of the forward's document
    input_grad, weight_grad : array, optional
        where to write, never copied; None: allocated; False, for what may be left out: not computed
    level : str, optional
        "scalar", "avx2", "avx2_vnni", "avx512", "avx512_vnni" or "avx512_bf16"; by default, "auto",
        `TAMIS_LEVEL`, else the best of this processor
    implementation : {"auto", "reference", "cpu"}, optional
        "reference" is float64: the specification
    threads : int, optional
        by default what `set_num_threads` says; results do not depend on it

    Returns
    -------
    input_grad : array, dtype as input, None without `return_input_grad`
        [T, N, D]: gradient of input; 0 where a token is in no window
    weight_grad : array, dtype as weight, None without `return_weight_grad`
        [compress_block_size, N]: gradient of weight

    Raises
    ------
    ValueError
        an argument is absent or wrong; the message says which, what was expected and what came
    NotImplementedError
        the call is well formed, but nothing here can run it
    MemoryError
        an output or scratch cannot be allocated
    """
    results = _NSA_COMPRESS_GRAD(
        (
            output_grad,
            input,
            weight,
        ),
        (
            act_seq_len,
            compress_block_size,
            compress_stride,
            layout,
            act_seq_len_type,
            return_input_grad,
            return_weight_grad,
            strict,
        ),
        (
            input_grad,
            weight_grad,
        ),
        level,
        implementation,
        threads,
    )
    return NsaCompressGrad(*results)


_NSA_COMPRESS_INFER = Operator(
    "nsa_compress_infer",
    inputs=(
        "input",
        "weight",
        "slot_mapping",
        "block_table",
        "cache",
    ),
    updated=("cache",),
    integers={
        "slot_mapping": ("int32", "int64"),
        "block_table": ("int32",),
    },
    contiguous=(),
    read_by_plan=(
        "slot_mapping",
        "block_table",
    ),
    attributes=(
        ("act_seq_len", "ints"),
        ("compress_block_size", "int"),
        ("compress_stride", "int"),
        ("page_block_size", "int"),
        ("actual_seq_qlen", "ints"),
        ("strict", "bool"),
    ),
    outputs=(),
    results=None,
)


@overload
def nsa_compress_infer(
    input: NumpyArray,
    weight: NumpyArray,
    slot_mapping: Integers | Nested,
    block_table: Integers | Nested,
    cache: NumpyArray,
    *,
    act_seq_len: Integers,
    compress_block_size: int,
    compress_stride: int,
    page_block_size: int,
    actual_seq_qlen: Integers | None = None,
    strict: bool = False,
    level: Level | None = None,
    implementation: Implementation | None = None,
    threads: int | None = None,
) -> None: ...


@overload
def nsa_compress_infer(
    input: Array,
    weight: Array,
    slot_mapping: Integers | Nested,
    block_table: Integers | Nested,
    cache: Array,
    *,
    act_seq_len: Integers,
    compress_block_size: int,
    compress_stride: int,
    page_block_size: int,
    actual_seq_qlen: Integers | None = None,
    strict: bool = False,
    level: Level | None = None,
    implementation: Implementation | None = None,
    threads: int | None = None,
) -> None: ...


def nsa_compress_infer(
    input: Array,
    weight: Array,
    slot_mapping: Integers | Nested,
    block_table: Integers | Nested,
    cache: Array,
    *,
    act_seq_len: Integers,
    compress_block_size: int,
    compress_stride: int,
    page_block_size: int,
    actual_seq_qlen: Integers | None = None,
    strict: bool = False,
    level: Level | None = None,
    implementation: Implementation | None = None,
    threads: int | None = None,
) -> None:
    """Window sums that new tokens complete, from a paged cache into a cache of compressed rows.

    Source: npu_nsa_compress_infer; no document of its own.

    Parameters
    ----------
    input : array of float16, bfloat16, float32
        [pages, page_block_size, N, D]: paged cache of raw rows, the new tokens' included
    weight : array, dtype as input
        [compress_block_size, N]: weight of each token of a window, per head
    slot_mapping : array or nested sequence of int32, int64
        [T]: row of cache for the window that ends at each new token; not looked at where none does;
        negative: not written; of equal ones the last wins; read when planning
    block_table : array or nested sequence of int32
        [B, max_pages]: page of each page_block_size tokens; entries before a sequence's first
        window that is written, and after its last, are not read
    cache : array, dtype as input, updated in place
        [R, N, D]: compressed rows, updated at the slots
    act_seq_len : sequence or array of int
        tokens per sequence, the new ones included
    compress_block_size : int
        tokens in a window (l)
    compress_stride : int
        tokens between the starts of windows (d); at most l
    page_block_size : int
        tokens in a page
    actual_seq_qlen : sequence or array of int, optional
        new tokens per sequence, its last ones; absent: one each
    strict : bool, default False
        also enforce the device's limits
    level : str, optional
        "scalar", "avx2", "avx2_vnni", "avx512", "avx512_vnni" or "avx512_bf16"; by default, "auto",
        `TAMIS_LEVEL`, else the best of this processor
    implementation : {"auto", "reference", "cpu"}, optional
        "reference" is float64: the specification
    threads : int, optional
        by default what `set_num_threads` says; results do not depend on it

    Raises
    ------
    ValueError
        an argument is absent or wrong; the message says which, what was expected and what came
    NotImplementedError
        the call is well formed, but nothing here can run it
    MemoryError
        an output or scratch cannot be allocated
    """
    _NSA_COMPRESS_INFER(
        (
            input,
            weight,
            slot_mapping,
            block_table,
            cache,
        ),
        (
            act_seq_len,
            compress_block_size,
            compress_stride,
            page_block_size,
            actual_seq_qlen,
            strict,
        ),
        (),
        level,
        implementation,
        threads,
    )


class NsaCompressAttention(NamedTuple, Generic[Array]):
    """Outputs of `nsa_compress_attention`; None where one was not asked for."""

    attention_out: Array
    topk_indices: Array | Any
    softmax_max: Array | Any
    softmax_sum: Array | Any
    block_scores: Array | Any


_NSA_COMPRESS_ATTENTION = Operator(
    "nsa_compress_attention",
    inputs=(
        "query",
        "key",
        "value",
        "atten_mask",
        "topk_mask",
        "key_limits",
        "global_max",
        "global_sum",
    ),
    updated=(),
    integers={
        "key_limits": ("int32",),
    },
    contiguous=(),
    read_by_plan=(),
    attributes=(
        ("scale_value", "float"),
        ("head_num", "int"),
        ("compress_block_size", "int"),
        ("compress_stride", "int"),
        ("select_block_size", "int"),
        ("select_block_count", "int"),
        ("actual_seq_qlen", "ints"),
        ("actual_cmp_seq_kvlen", "ints"),
        ("actual_sel_seq_kvlen", "ints"),
        ("causal", "bool"),
        ("actual_raw_seq_kvlen", "ints"),
        ("importance", "choice"),
        ("masked_rows", "choice"),
        ("selection", "choice"),
        ("accuracy", "choice"),
        ("out_dtype", "choice"),
        ("return_block_scores", "bool"),
        ("strict", "bool"),
    ),
    outputs=(
        "attention_out",
        "topk_indices",
        "softmax_max",
        "softmax_sum",
        "block_scores",
    ),
    results=NsaCompressAttention,
)


@overload
def nsa_compress_attention(
    query: NumpyArray,
    key: NumpyArray,
    value: NumpyArray,
    *,
    scale_value: float,
    head_num: int,
    compress_block_size: int,
    compress_stride: int,
    select_block_size: int,
    select_block_count: int,
    actual_seq_qlen: Integers,
    actual_cmp_seq_kvlen: Integers,
    atten_mask: NumpyArray | None = None,
    topk_mask: NumpyArray | None = None,
    key_limits: Integers | Nested | None = None,
    global_max: NumpyArray | None = None,
    global_sum: NumpyArray | None = None,
    actual_sel_seq_kvlen: Integers | None = None,
    causal: bool = False,
    actual_raw_seq_kvlen: Integers | None = None,
    importance: Literal["cann", "exact_overlap"] = "cann",
    masked_rows: Literal["uniform", "zero"] = "uniform",
    selection: Literal["device", "causal"] = "device",
    accuracy: Literal["storage", "fp32", "fp32_scores"] = "storage",
    out_dtype: Literal["input", "float32"] = "input",
    return_block_scores: bool = False,
    strict: bool = False,
    attention_out: NumpyArray | None = None,
    topk_indices: NumpyArray | Literal[False] | None = None,
    softmax_max: NumpyArray | Literal[False] | None = None,
    softmax_sum: NumpyArray | Literal[False] | None = None,
    block_scores: NumpyArray | Literal[False] | None = None,
    level: Level | None = None,
    implementation: Implementation | None = None,
    threads: int | None = None,
) -> NsaCompressAttention[NumpyArray]: ...


@overload
def nsa_compress_attention(
    query: Array,
    key: Array,
    value: Array,
    *,
    scale_value: float,
    head_num: int,
    compress_block_size: int,
    compress_stride: int,
    select_block_size: int,
    select_block_count: int,
    actual_seq_qlen: Integers,
    actual_cmp_seq_kvlen: Integers,
    atten_mask: Array | None = None,
    topk_mask: Array | None = None,
    key_limits: Integers | Nested | None = None,
    global_max: Array | None = None,
    global_sum: Array | None = None,
    actual_sel_seq_kvlen: Integers | None = None,
    causal: bool = False,
    actual_raw_seq_kvlen: Integers | None = None,
    importance: Literal["cann", "exact_overlap"] = "cann",
    masked_rows: Literal["uniform", "zero"] = "uniform",
    selection: Literal["device", "causal"] = "device",
    accuracy: Literal["storage", "fp32", "fp32_scores"] = "storage",
    out_dtype: Literal["input", "float32"] = "input",
    return_block_scores: bool = False,
    strict: bool = False,
    attention_out: Array | None = None,
    topk_indices: Array | Literal[False] | None = None,
    softmax_max: Array | Literal[False] | None = None,
    softmax_sum: Array | Literal[False] | None = None,
    block_scores: Array | Literal[False] | None = None,
    level: Level | None = None,
    implementation: Implementation | None = None,
    threads: int | None = None,
) -> NsaCompressAttention[Array]: ...


def nsa_compress_attention(
    query: Array,
    key: Array,
    value: Array,
    *,
    scale_value: float,
    head_num: int,
    compress_block_size: int,
    compress_stride: int,
    select_block_size: int,
    select_block_count: int,
    actual_seq_qlen: Integers,
    actual_cmp_seq_kvlen: Integers,
    atten_mask: Array | None = None,
    topk_mask: Array | None = None,
    key_limits: Integers | Nested | None = None,
    global_max: Array | None = None,
    global_sum: Array | None = None,
    actual_sel_seq_kvlen: Integers | None = None,
    causal: bool = False,
    actual_raw_seq_kvlen: Integers | None = None,
    importance: Literal["cann", "exact_overlap"] = "cann",
    masked_rows: Literal["uniform", "zero"] = "uniform",
    selection: Literal["device", "causal"] = "device",
    accuracy: Literal["storage", "fp32", "fp32_scores"] = "storage",
    out_dtype: Literal["input", "float32"] = "input",
    return_block_scores: bool = False,
    strict: bool = False,
    attention_out: Array | None = None,
    topk_indices: Array | Literal[False] | None = None,
    softmax_max: Array | Literal[False] | None = None,
    softmax_sum: Array | Literal[False] | None = None,
    block_scores: Array | Literal[False] | None = None,
    level: Level | None = None,
    implementation: Implementation | None = None,
    threads: int | None = None,
) -> NsaCompressAttention[Array]:
    """Attention over compressed keys, with the select blocks of highest importance.

    Source: npu_nsa_compress_attention (document 002).

    Parameters
    ----------
    query : array of float16, bfloat16, float32
        [T, N, D]: sequences packed
    key : array, dtype as query
        [Tc, N2, D]: compressed keys, sequences packed
    value : array, dtype as query
        [Tc, N2, D2]: compressed values
    scale_value : float
        factor of the scores
    head_num : int
        query heads N, a multiple of the key heads N2
    compress_block_size : int
        tokens in a compression window (l), at least compress_stride; Nn = floor(l / d)
    compress_stride : int
        tokens between the starts of windows (d)
    select_block_size : int
        tokens in a select block (l'), a multiple of compress_stride; M = l' / d
    select_block_count : int
        blocks to select; 0: attention only
    actual_seq_qlen : sequence or array of int
        inclusive prefix sums over query; the last is T
    actual_cmp_seq_kvlen : sequence or array of int
        inclusive prefix sums over key; the last is Tc
    atten_mask : array of bool, uint8, optional
        [max_q, max_n]: by positions in the sequence; not 0: the key is hidden from the query
    topk_mask : array of bool, uint8, optional
        [max_q, max_blocks]: not 0: the block is selected whatever its importance; max_blocks =
        ceil(max_n / M)
    key_limits : array or nested sequence of int32, optional
        [T]: per query token: only compressed keys before are seen
    global_max : array of float32, optional
        [T, N]: of the softmax over all keys, where these are a part: importance is of all; with
        global_sum
    global_sum : array of float32, optional
        [T, N]: likewise, with global_max
    actual_sel_seq_kvlen : sequence or array of int, optional
        prefix sums over the select blocks; not used, as on the device
    causal : bool, default False
        hide keys whose windows end after the query's token, by positions
    actual_raw_seq_kvlen : sequence or array of int, optional
        with causal: inclusive prefix sums over raw tokens, a sequence's last query being its last
        token; absent: actual_seq_qlen
    importance : {"cann", "exact_overlap"}, default "cann"
        how compressed tokens count towards a block: as the device (shifted by one token), or by
        overlap
    masked_rows : {"uniform", "zero"}, default "uniform"
        a row whose keys are all hidden: the mean of all values, as the device, or zero
    selection : {"device", "causal"}, default "device"
        candidates and forced blocks: device, the blocks of the keys, those of topk_mask forced;
        causal (with causal, without topk_mask), the blocks of the raw tokens that the query sees,
        the first and the last two forced
    accuracy : {"storage", "fp32", "fp32_scores"}, default "storage"
        of the products of probabilities and values: storage lets a level use 16-bit integers, with
        an error below the rounding of a bfloat16 output; fp32_scores: the same, scores are in fp32
        anyway
    out_dtype : {"input", "float32"}, default "input"
        dtype of attention_out
    return_block_scores : bool, default False
        whether block_scores are wanted
    strict : bool, default False
        also enforce the document's limits: those of the table, and actual_sel_seq_kvlen prefix
        sums, one per sequence
    attention_out, topk_indices, softmax_max, softmax_sum, block_scores : array, optional
        where to write, never copied; None: allocated; False, for what may be left out: not computed
    level : str, optional
        "scalar", "avx2", "avx2_vnni", "avx512", "avx512_vnni" or "avx512_bf16"; by default, "auto",
        `TAMIS_LEVEL`, else the best of this processor
    implementation : {"auto", "reference", "cpu"}, optional
        "reference" is float64: the specification
    threads : int, optional
        by default what `set_num_threads` says; results do not depend on it

    Returns
    -------
    attention_out : array, dtype as query, or by out_dtype
        [T, N, D2]: softmax-weighted sum of values
    topk_indices : array of int32
        [T, N2, select_block_count]: blocks of the sequence, best first, then -1
    softmax_max : array of float32
        [T, N]: largest scaled score
    softmax_sum : array of float32
        [T, N]: sum of exp(score - max)
    block_scores : array of float32, None without `return_block_scores`
        [T, N2, blocks]: importance of the candidates, before any is forced, then 0; blocks =
        ceil(max_n / M), with selection causal those of the most raw tokens

    Raises
    ------
    ValueError
        an argument is absent or wrong; the message says which, what was expected and what came
    NotImplementedError
        the call is well formed, but nothing here can run it
    MemoryError
        an output or scratch cannot be allocated
    """
    results = _NSA_COMPRESS_ATTENTION(
        (
            query,
            key,
            value,
            atten_mask,
            topk_mask,
            key_limits,
            global_max,
            global_sum,
        ),
        (
            scale_value,
            head_num,
            compress_block_size,
            compress_stride,
            select_block_size,
            select_block_count,
            actual_seq_qlen,
            actual_cmp_seq_kvlen,
            actual_sel_seq_kvlen,
            causal,
            actual_raw_seq_kvlen,
            importance,
            masked_rows,
            selection,
            accuracy,
            out_dtype,
            return_block_scores,
            strict,
        ),
        (
            attention_out,
            topk_indices,
            softmax_max,
            softmax_sum,
            block_scores,
        ),
        level,
        implementation,
        threads,
    )
    return NsaCompressAttention(*results)


class NsaCompressAttentionInfer(NamedTuple, Generic[Array]):
    """Outputs of `nsa_compress_attention_infer`; None where one was not asked for."""

    attention_out: Array
    topk_indices: Array | Any
    softmax_max: Array | Any
    softmax_sum: Array | Any
    block_scores: Array | Any


_NSA_COMPRESS_ATTENTION_INFER = Operator(
    "nsa_compress_attention_infer",
    inputs=(
        "query",
        "key",
        "value",
        "block_table",
        "atten_mask",
        "key_limits",
        "global_max",
        "global_sum",
    ),
    updated=(),
    integers={
        "block_table": ("int32",),
        "key_limits": ("int32",),
    },
    contiguous=(),
    read_by_plan=("block_table",),
    attributes=(
        ("scale_value", "float"),
        ("head_num", "int"),
        ("key_value_head_num", "int"),
        ("select_block_size", "int"),
        ("select_block_count", "int"),
        ("page_block_size", "int"),
        ("compress_block_size", "int"),
        ("compress_stride", "int"),
        ("layout", "choice"),
        ("actual_seq_qlen", "ints"),
        ("actual_cmp_seq_kvlen", "ints"),
        ("actual_sel_seq_kvlen", "ints"),
        ("importance", "choice"),
        ("masked_rows", "choice"),
        ("selection", "choice"),
        ("accuracy", "choice"),
        ("out_dtype", "choice"),
        ("return_softmax_lse", "bool"),
        ("return_block_scores", "bool"),
        ("strict", "bool"),
    ),
    outputs=(
        "attention_out",
        "topk_indices",
        "softmax_max",
        "softmax_sum",
        "block_scores",
    ),
    results=NsaCompressAttentionInfer,
)


@overload
def nsa_compress_attention_infer(
    query: NumpyArray,
    key: NumpyArray,
    value: NumpyArray,
    block_table: Integers | Nested,
    *,
    scale_value: float,
    head_num: int,
    key_value_head_num: int,
    select_block_size: int,
    select_block_count: int,
    page_block_size: int,
    compress_block_size: int,
    compress_stride: int,
    actual_cmp_seq_kvlen: Integers,
    atten_mask: NumpyArray | None = None,
    key_limits: Integers | Nested | None = None,
    global_max: NumpyArray | None = None,
    global_sum: NumpyArray | None = None,
    layout: Literal["TND", "BSND"] = "TND",
    actual_seq_qlen: Integers | None = None,
    actual_sel_seq_kvlen: Integers | None = None,
    importance: Literal["cann", "exact_overlap"] = "cann",
    masked_rows: Literal["uniform", "zero"] = "uniform",
    selection: Literal["device", "causal"] = "device",
    accuracy: Literal["storage", "fp32", "fp32_scores"] = "storage",
    out_dtype: Literal["input", "float32"] = "input",
    return_softmax_lse: bool = False,
    return_block_scores: bool = False,
    strict: bool = False,
    attention_out: NumpyArray | None = None,
    topk_indices: NumpyArray | Literal[False] | None = None,
    softmax_max: NumpyArray | Literal[False] | None = None,
    softmax_sum: NumpyArray | Literal[False] | None = None,
    block_scores: NumpyArray | Literal[False] | None = None,
    level: Level | None = None,
    implementation: Implementation | None = None,
    threads: int | None = None,
) -> NsaCompressAttentionInfer[NumpyArray]: ...


@overload
def nsa_compress_attention_infer(
    query: Array,
    key: Array,
    value: Array,
    block_table: Integers | Nested,
    *,
    scale_value: float,
    head_num: int,
    key_value_head_num: int,
    select_block_size: int,
    select_block_count: int,
    page_block_size: int,
    compress_block_size: int,
    compress_stride: int,
    actual_cmp_seq_kvlen: Integers,
    atten_mask: Array | None = None,
    key_limits: Integers | Nested | None = None,
    global_max: Array | None = None,
    global_sum: Array | None = None,
    layout: Literal["TND", "BSND"] = "TND",
    actual_seq_qlen: Integers | None = None,
    actual_sel_seq_kvlen: Integers | None = None,
    importance: Literal["cann", "exact_overlap"] = "cann",
    masked_rows: Literal["uniform", "zero"] = "uniform",
    selection: Literal["device", "causal"] = "device",
    accuracy: Literal["storage", "fp32", "fp32_scores"] = "storage",
    out_dtype: Literal["input", "float32"] = "input",
    return_softmax_lse: bool = False,
    return_block_scores: bool = False,
    strict: bool = False,
    attention_out: Array | None = None,
    topk_indices: Array | Literal[False] | None = None,
    softmax_max: Array | Literal[False] | None = None,
    softmax_sum: Array | Literal[False] | None = None,
    block_scores: Array | Literal[False] | None = None,
    level: Level | None = None,
    implementation: Implementation | None = None,
    threads: int | None = None,
) -> NsaCompressAttentionInfer[Array]: ...


def nsa_compress_attention_infer(
    query: Array,
    key: Array,
    value: Array,
    block_table: Integers | Nested,
    *,
    scale_value: float,
    head_num: int,
    key_value_head_num: int,
    select_block_size: int,
    select_block_count: int,
    page_block_size: int,
    compress_block_size: int,
    compress_stride: int,
    actual_cmp_seq_kvlen: Integers,
    atten_mask: Array | None = None,
    key_limits: Integers | Nested | None = None,
    global_max: Array | None = None,
    global_sum: Array | None = None,
    layout: Literal["TND", "BSND"] = "TND",
    actual_seq_qlen: Integers | None = None,
    actual_sel_seq_kvlen: Integers | None = None,
    importance: Literal["cann", "exact_overlap"] = "cann",
    masked_rows: Literal["uniform", "zero"] = "uniform",
    selection: Literal["device", "causal"] = "device",
    accuracy: Literal["storage", "fp32", "fp32_scores"] = "storage",
    out_dtype: Literal["input", "float32"] = "input",
    return_softmax_lse: bool = False,
    return_block_scores: bool = False,
    strict: bool = False,
    attention_out: Array | None = None,
    topk_indices: Array | Literal[False] | None = None,
    softmax_max: Array | Literal[False] | None = None,
    softmax_sum: Array | Literal[False] | None = None,
    block_scores: Array | Literal[False] | None = None,
    level: Level | None = None,
    implementation: Implementation | None = None,
    threads: int | None = None,
) -> NsaCompressAttentionInfer[Array]:
    """Attention over a paged cache of compressed keys, with the select blocks of highest
    importance.

    Source: NsaCompressAttentionInfer (document 000).

    Parameters
    ----------
    query : array of float16, bfloat16, float32
        TND [T, N, D]; BSND [B, S, N, D]: TND: sequences packed; BSND: rows past a sequence's length
        are padding
    key : array, dtype as query
        [pages, page_block_size, key_value_head_num*D]: paged cache of compressed keys
    value : array, dtype as query
        [pages, page_block_size, key_value_head_num*D2]: paged cache of compressed values
    block_table : array or nested sequence of int32
        [B, max_pages]: page of each page_block_size compressed keys; entries past a sequence's keys
        are not read
    scale_value : float
        factor of the scores
    head_num : int
        query heads N, a multiple of key_value_head_num
    key_value_head_num : int
        key heads N2
    select_block_size : int
        tokens in a select block (l'), a multiple of compress_stride
    select_block_count : int
        blocks to select; 0: attention only
    page_block_size : int
        compressed keys in a page
    compress_block_size : int
        tokens in a compression window (l), at least compress_stride; Nn = floor(l / d)
    compress_stride : int
        tokens between the starts of windows (d)
    actual_cmp_seq_kvlen : sequence or array of int
        compressed keys per sequence
    atten_mask : array of bool, uint8, optional
        [*, *]: a switch, its content is not read: hide windows that end after the query's token
    key_limits : array or nested sequence of int32, optional
        TND [T]; BSND [B, S]: per query token: only compressed keys before are seen
    global_max : array of float32, optional
        TND [T, N]; BSND [B, S, N]: of the softmax over all keys, where these are a part: importance
        is of all; with global_sum
    global_sum : array of float32, optional
        TND [T, N]; BSND [B, S, N]: likewise, with global_max
    layout : {"TND", "BSND"}, default "TND"
        of query and the outputs
    actual_seq_qlen : sequence or array of int, optional
        query tokens per sequence; absent: one each
    actual_sel_seq_kvlen : sequence or array of int, optional
        raw tokens per sequence; needed with atten_mask and with selection causal
    importance : {"cann", "exact_overlap"}, default "cann"
        how compressed tokens count towards a block: as the device (shifted by one token), or by
        overlap
    masked_rows : {"uniform", "zero"}, default "uniform"
        a row whose keys are all hidden: the mean of all values, as the device, or zero
    selection : {"device", "causal"}, default "device"
        candidates: device, the blocks of the keys; causal, the blocks of the raw tokens that the
        query sees, and windows that end later are hidden
    accuracy : {"storage", "fp32", "fp32_scores"}, default "storage"
        of the products of probabilities and values: storage lets a level use 16-bit integers, with
        an error below the rounding of a bfloat16 output; fp32_scores: the same, scores are in fp32
        anyway
    out_dtype : {"input", "float32"}, default "input"
        dtype of attention_out
    return_softmax_lse : bool, default False
        whether softmax_max and softmax_sum are wanted
    return_block_scores : bool, default False
        whether block_scores are wanted
    strict : bool, default False
        also enforce the document's limits: those of the table, and, where a step has several
        tokens, actual_sel_seq_kvlen with no fewer tokens than the step
    attention_out, topk_indices, softmax_max, softmax_sum, block_scores : array, optional
        where to write, never copied; None: allocated; False, for what may be left out: not computed
    level : str, optional
        "scalar", "avx2", "avx2_vnni", "avx512", "avx512_vnni" or "avx512_bf16"; by default, "auto",
        `TAMIS_LEVEL`, else the best of this processor
    implementation : {"auto", "reference", "cpu"}, optional
        "reference" is float64: the specification
    threads : int, optional
        by default what `set_num_threads` says; results do not depend on it

    Returns
    -------
    attention_out : array, dtype as query, or by out_dtype
        TND [T, N, D2]; BSND [B, S, N, D2]: 0 in padding rows
    topk_indices : array of int32
        TND [T, key_value_head_num, select_block_count]; BSND [B, S, key_value_head_num,
        select_block_count]: blocks 0, J-2, J-1, then best first, then -1; -1 in padding rows
    softmax_max : array of float32, None without `return_softmax_lse`
        TND [T, N]; BSND [B, S, N]: largest scaled score; -inf in padding rows
    softmax_sum : array of float32, None without `return_softmax_lse`
        TND [T, N]; BSND [B, S, N]: sum of exp(score - max); 0 in padding rows
    block_scores : array of float32, None without `return_block_scores`
        TND [T, key_value_head_num, blocks]; BSND [B, S, key_value_head_num, blocks]: importance of
        the candidates, before any is forced, then 0; blocks of the longest sequence

    Raises
    ------
    ValueError
        an argument is absent or wrong; the message says which, what was expected and what came
    NotImplementedError
        the call is well formed, but nothing here can run it
    MemoryError
        an output or scratch cannot be allocated
    """
    results = _NSA_COMPRESS_ATTENTION_INFER(
        (
            query,
            key,
            value,
            block_table,
            atten_mask,
            key_limits,
            global_max,
            global_sum,
        ),
        (
            scale_value,
            head_num,
            key_value_head_num,
            select_block_size,
            select_block_count,
            page_block_size,
            compress_block_size,
            compress_stride,
            layout,
            actual_seq_qlen,
            actual_cmp_seq_kvlen,
            actual_sel_seq_kvlen,
            importance,
            masked_rows,
            selection,
            accuracy,
            out_dtype,
            return_softmax_lse,
            return_block_scores,
            strict,
        ),
        (
            attention_out,
            topk_indices,
            softmax_max,
            softmax_sum,
            block_scores,
        ),
        level,
        implementation,
        threads,
    )
    return NsaCompressAttentionInfer(*results)


class NsaCompressAttentionGrad(NamedTuple, Generic[Array]):
    """Outputs of `nsa_compress_attention_grad`; None where one was not asked for."""

    query_grad: Array | Any
    key_grad: Array | Any
    value_grad: Array | Any


_NSA_COMPRESS_ATTENTION_GRAD = Operator(
    "nsa_compress_attention_grad",
    inputs=(
        "query",
        "key",
        "value",
        "attention_out_grad",
        "softmax_max",
        "softmax_sum",
        "atten_mask",
        "key_limits",
    ),
    updated=(),
    integers={
        "key_limits": ("int32",),
    },
    contiguous=(),
    read_by_plan=(),
    attributes=(
        ("scale_value", "float"),
        ("head_num", "int"),
        ("actual_seq_qlen", "ints"),
        ("actual_cmp_seq_kvlen", "ints"),
        ("causal", "bool"),
        ("compress_block_size", "int"),
        ("compress_stride", "int"),
        ("actual_raw_seq_kvlen", "ints"),
        ("masked_rows", "choice"),
        ("return_query_grad", "bool"),
        ("return_key_grad", "bool"),
        ("return_value_grad", "bool"),
        ("strict", "bool"),
    ),
    outputs=(
        "query_grad",
        "key_grad",
        "value_grad",
    ),
    results=NsaCompressAttentionGrad,
)


@overload
def nsa_compress_attention_grad(
    query: NumpyArray,
    key: NumpyArray,
    value: NumpyArray,
    attention_out_grad: NumpyArray,
    softmax_max: NumpyArray,
    softmax_sum: NumpyArray,
    *,
    scale_value: float,
    head_num: int,
    actual_seq_qlen: Integers,
    actual_cmp_seq_kvlen: Integers,
    atten_mask: NumpyArray | None = None,
    key_limits: Integers | Nested | None = None,
    causal: bool = False,
    compress_block_size: int = 0,
    compress_stride: int = 0,
    actual_raw_seq_kvlen: Integers | None = None,
    masked_rows: Literal["uniform", "zero"] = "uniform",
    return_query_grad: bool = True,
    return_key_grad: bool = True,
    return_value_grad: bool = True,
    strict: bool = False,
    query_grad: NumpyArray | Literal[False] | None = None,
    key_grad: NumpyArray | Literal[False] | None = None,
    value_grad: NumpyArray | Literal[False] | None = None,
    level: Level | None = None,
    implementation: Implementation | None = None,
    threads: int | None = None,
) -> NsaCompressAttentionGrad[NumpyArray]: ...


@overload
def nsa_compress_attention_grad(
    query: Array,
    key: Array,
    value: Array,
    attention_out_grad: Array,
    softmax_max: Array,
    softmax_sum: Array,
    *,
    scale_value: float,
    head_num: int,
    actual_seq_qlen: Integers,
    actual_cmp_seq_kvlen: Integers,
    atten_mask: Array | None = None,
    key_limits: Integers | Nested | None = None,
    causal: bool = False,
    compress_block_size: int = 0,
    compress_stride: int = 0,
    actual_raw_seq_kvlen: Integers | None = None,
    masked_rows: Literal["uniform", "zero"] = "uniform",
    return_query_grad: bool = True,
    return_key_grad: bool = True,
    return_value_grad: bool = True,
    strict: bool = False,
    query_grad: Array | Literal[False] | None = None,
    key_grad: Array | Literal[False] | None = None,
    value_grad: Array | Literal[False] | None = None,
    level: Level | None = None,
    implementation: Implementation | None = None,
    threads: int | None = None,
) -> NsaCompressAttentionGrad[Array]: ...


def nsa_compress_attention_grad(
    query: Array,
    key: Array,
    value: Array,
    attention_out_grad: Array,
    softmax_max: Array,
    softmax_sum: Array,
    *,
    scale_value: float,
    head_num: int,
    actual_seq_qlen: Integers,
    actual_cmp_seq_kvlen: Integers,
    atten_mask: Array | None = None,
    key_limits: Integers | Nested | None = None,
    causal: bool = False,
    compress_block_size: int = 0,
    compress_stride: int = 0,
    actual_raw_seq_kvlen: Integers | None = None,
    masked_rows: Literal["uniform", "zero"] = "uniform",
    return_query_grad: bool = True,
    return_key_grad: bool = True,
    return_value_grad: bool = True,
    strict: bool = False,
    query_grad: Array | Literal[False] | None = None,
    key_grad: Array | Literal[False] | None = None,
    value_grad: Array | Literal[False] | None = None,
    level: Level | None = None,
    implementation: Implementation | None = None,
    threads: int | None = None,
) -> NsaCompressAttentionGrad[Array]:
    """Gradients of queries, keys and values of nsa_compress_attention.

    Source: the gradient of nsa_compress_attention; no document of its own.

    Parameters
    ----------
    query : array of float16, bfloat16, float32
        [T, N, D]: queries of the forward, sequences packed
    key : array, dtype as query
        [Tc, N2, D]: its keys
    value : array, dtype as query
        [Tc, N2, D2]: its values
    attention_out_grad : array, dtype as query
        [T, N, D2]: gradient of its result
    softmax_max : array of float32
        [T, N]: its largest scaled scores, taken as they are
    softmax_sum : array of float32
        [T, N]: its sums of exp(score - max), taken as they are
    scale_value : float
        factor of the scores
    head_num : int
        query heads N, a multiple of the key heads N2
    actual_seq_qlen : sequence or array of int
        inclusive prefix sums over query; the last is T
    actual_cmp_seq_kvlen : sequence or array of int
        inclusive prefix sums over key; the last is Tc
    atten_mask : array of bool, uint8, optional
        [max_q, max_n]: by positions in the sequence; not 0: the key is hidden from the query
    key_limits : array or nested sequence of int32, optional
        [T]: per query token: only compressed keys before are seen
    causal : bool, default False
        keys whose windows end after the query's token were hidden, by positions
    compress_block_size : int, default 0
        with causal: tokens in a compression window (l)
    compress_stride : int, default 0
        with causal: tokens between the starts of windows (d)
    actual_raw_seq_kvlen : sequence or array of int, optional
        with causal: inclusive prefix sums over raw tokens, a sequence's last query being its last
        token; absent: actual_seq_qlen
    masked_rows : {"uniform", "zero"}, default "uniform"
        what a row gave whose keys are all hidden: the mean of all values, or zero
    return_query_grad : bool, default True
        compute query_grad
    return_key_grad : bool, default True
        compute key_grad
    return_value_grad : bool, default True
        compute value_grad
    strict : bool, default False
        no limit of a document applies: changes nothing
    query_grad, key_grad, value_grad : array, optional
        where to write, never copied; None: allocated; False, for what may be left out: not computed
    level : str, optional
        "scalar", "avx2", "avx2_vnni", "avx512", "avx512_vnni" or "avx512_bf16"; by default, "auto",
        `TAMIS_LEVEL`, else the best of this processor
    implementation : {"auto", "reference", "cpu"}, optional
        "reference" is float64: the specification
    threads : int, optional
        by default what `set_num_threads` says; results do not depend on it

    Returns
    -------
    query_grad : array, dtype as query, None without `return_query_grad`
        [T, N, D]: gradient of query
    key_grad : array, dtype as key, None without `return_key_grad`
        [Tc, N2, D]: gradient of key
    value_grad : array, dtype as value, None without `return_value_grad`
        [Tc, N2, D2]: gradient of value

    Raises
    ------
    ValueError
        an argument is absent or wrong; the message says which, what was expected and what came
    NotImplementedError
        the call is well formed, but nothing here can run it
    MemoryError
        an output or scratch cannot be allocated
    """
    results = _NSA_COMPRESS_ATTENTION_GRAD(
        (
            query,
            key,
            value,
            attention_out_grad,
            softmax_max,
            softmax_sum,
            atten_mask,
            key_limits,
        ),
        (
            scale_value,
            head_num,
            actual_seq_qlen,
            actual_cmp_seq_kvlen,
            causal,
            compress_block_size,
            compress_stride,
            actual_raw_seq_kvlen,
            masked_rows,
            return_query_grad,
            return_key_grad,
            return_value_grad,
            strict,
        ),
        (
            query_grad,
            key_grad,
            value_grad,
        ),
        level,
        implementation,
        threads,
    )
    return NsaCompressAttentionGrad(*results)


class NsaSelectedAttention(NamedTuple, Generic[Array]):
    """Outputs of `nsa_selected_attention`; None where one was not asked for."""

    attention_out: Array
    softmax_max: Array | Any
    softmax_sum: Array | Any


_NSA_SELECTED_ATTENTION = Operator(
    "nsa_selected_attention",
    inputs=(
        "query",
        "key",
        "value",
        "topk_indices",
    ),
    updated=(),
    integers={
        "topk_indices": ("int32",),
    },
    contiguous=(),
    read_by_plan=(),
    attributes=(
        ("scale_value", "float"),
        ("head_num", "int"),
        ("select_block_size", "int"),
        ("select_block_count", "int"),
        ("actual_seq_qlen", "ints"),
        ("actual_seq_kvlen", "ints"),
        ("sparse_mode", "int"),
        ("accuracy", "choice"),
        ("out_dtype", "choice"),
        ("strict", "bool"),
    ),
    outputs=(
        "attention_out",
        "softmax_max",
        "softmax_sum",
    ),
    results=NsaSelectedAttention,
)


@overload
def nsa_selected_attention(
    query: NumpyArray,
    key: NumpyArray,
    value: NumpyArray,
    topk_indices: Integers | Nested,
    *,
    scale_value: float,
    head_num: int,
    select_block_size: int,
    select_block_count: int,
    actual_seq_qlen: Integers,
    actual_seq_kvlen: Integers,
    sparse_mode: int = 2,
    accuracy: Literal["storage", "fp32", "fp32_scores"] = "storage",
    out_dtype: Literal["input", "float32"] = "input",
    strict: bool = False,
    attention_out: NumpyArray | None = None,
    softmax_max: NumpyArray | Literal[False] | None = None,
    softmax_sum: NumpyArray | Literal[False] | None = None,
    level: Level | None = None,
    implementation: Implementation | None = None,
    threads: int | None = None,
) -> NsaSelectedAttention[NumpyArray]: ...


@overload
def nsa_selected_attention(
    query: Array,
    key: Array,
    value: Array,
    topk_indices: Integers | Nested,
    *,
    scale_value: float,
    head_num: int,
    select_block_size: int,
    select_block_count: int,
    actual_seq_qlen: Integers,
    actual_seq_kvlen: Integers,
    sparse_mode: int = 2,
    accuracy: Literal["storage", "fp32", "fp32_scores"] = "storage",
    out_dtype: Literal["input", "float32"] = "input",
    strict: bool = False,
    attention_out: Array | None = None,
    softmax_max: Array | Literal[False] | None = None,
    softmax_sum: Array | Literal[False] | None = None,
    level: Level | None = None,
    implementation: Implementation | None = None,
    threads: int | None = None,
) -> NsaSelectedAttention[Array]: ...


def nsa_selected_attention(
    query: Array,
    key: Array,
    value: Array,
    topk_indices: Integers | Nested,
    *,
    scale_value: float,
    head_num: int,
    select_block_size: int,
    select_block_count: int,
    actual_seq_qlen: Integers,
    actual_seq_kvlen: Integers,
    sparse_mode: int = 2,
    accuracy: Literal["storage", "fp32", "fp32_scores"] = "storage",
    out_dtype: Literal["input", "float32"] = "input",
    strict: bool = False,
    attention_out: Array | None = None,
    softmax_max: Array | Literal[False] | None = None,
    softmax_sum: Array | Literal[False] | None = None,
    level: Level | None = None,
    implementation: Implementation | None = None,
    threads: int | None = None,
) -> NsaSelectedAttention[Array]:
    """Attention of every query token over the blocks of raw keys selected for it.

    Source: npu_nsa_select_attention; no document of its own.

    Parameters
    ----------
    query : array of float16, bfloat16, float32
        [T, N, D]: sequences packed
    key : array, dtype as query
        [Tk, N2, D]: raw keys, sequences packed
    value : array, dtype as query
        [Tk, N2, D2]: raw values
    topk_indices : array or nested sequence of int32
        [T, N2, K]: blocks of the token's sequence, in any order; a negative one ends a list
    scale_value : float
        factor of the scores
    head_num : int
        query heads N, a multiple of the key heads N2
    select_block_size : int
        keys in a block (l')
    select_block_count : int
        ids of a list, the last dimension of topk_indices
    actual_seq_qlen : sequence or array of int
        inclusive prefix sums over query; the last is T
    actual_seq_kvlen : sequence or array of int
        inclusive prefix sums over key; the last is Tk
    sparse_mode : int, default 2
        0: all keys; 2: token i sees keys up to i (causal from the top left); 3: up to n - q + i
        (from the bottom right)
    accuracy : {"storage", "fp32", "fp32_scores"}, default "storage"
        of the products of probabilities and values: storage lets a level use 16-bit integers, with
        an error below the rounding of a bfloat16 output; fp32_scores: the same, scores are in fp32
        anyway
    out_dtype : {"input", "float32"}, default "input"
        dtype of attention_out
    strict : bool, default False
        also enforce the device's limits
    attention_out, softmax_max, softmax_sum : array, optional
        where to write, never copied; None: allocated; False, for what may be left out: not computed
    level : str, optional
        "scalar", "avx2", "avx2_vnni", "avx512", "avx512_vnni" or "avx512_bf16"; by default, "auto",
        `TAMIS_LEVEL`, else the best of this processor
    implementation : {"auto", "reference", "cpu"}, optional
        "reference" is float64: the specification
    threads : int, optional
        by default what `set_num_threads` says; results do not depend on it

    Returns
    -------
    attention_out : array, dtype as query, or by out_dtype
        [T, N, D2]: weighted sums of the selected values
    softmax_max : array of float32
        [T, N]: largest scaled score
    softmax_sum : array of float32
        [T, N]: sum of exp(score - max)

    Raises
    ------
    ValueError
        an argument is absent or wrong; the message says which, what was expected and what came
    NotImplementedError
        the call is well formed, but nothing here can run it
    MemoryError
        an output or scratch cannot be allocated
    """
    results = _NSA_SELECTED_ATTENTION(
        (
            query,
            key,
            value,
            topk_indices,
        ),
        (
            scale_value,
            head_num,
            select_block_size,
            select_block_count,
            actual_seq_qlen,
            actual_seq_kvlen,
            sparse_mode,
            accuracy,
            out_dtype,
            strict,
        ),
        (
            attention_out,
            softmax_max,
            softmax_sum,
        ),
        level,
        implementation,
        threads,
    )
    return NsaSelectedAttention(*results)


class NsaSelectedAttentionInfer(NamedTuple, Generic[Array]):
    """Outputs of `nsa_selected_attention_infer`; None where one was not asked for."""

    attention_out: Array
    softmax_max: Array | Any
    softmax_sum: Array | Any


_NSA_SELECTED_ATTENTION_INFER = Operator(
    "nsa_selected_attention_infer",
    inputs=(
        "query",
        "key",
        "value",
        "topk_indices",
        "block_table",
    ),
    updated=(),
    integers={
        "topk_indices": ("int32",),
        "block_table": ("int32",),
    },
    contiguous=(),
    read_by_plan=("block_table",),
    attributes=(
        ("scale_value", "float"),
        ("head_num", "int"),
        ("key_value_head_num", "int"),
        ("select_block_size", "int"),
        ("select_block_count", "int"),
        ("page_block_size", "int"),
        ("layout", "choice"),
        ("actual_seq_qlen", "ints"),
        ("actual_seq_kvlen", "ints"),
        ("accuracy", "choice"),
        ("out_dtype", "choice"),
        ("return_softmax_lse", "bool"),
        ("strict", "bool"),
    ),
    outputs=(
        "attention_out",
        "softmax_max",
        "softmax_sum",
    ),
    results=NsaSelectedAttentionInfer,
)


@overload
def nsa_selected_attention_infer(
    query: NumpyArray,
    key: NumpyArray,
    value: NumpyArray,
    topk_indices: Integers | Nested,
    block_table: Integers | Nested,
    *,
    scale_value: float,
    head_num: int,
    key_value_head_num: int,
    select_block_size: int,
    select_block_count: int,
    page_block_size: int,
    actual_seq_kvlen: Integers,
    layout: Literal["TND", "BSND"] = "TND",
    actual_seq_qlen: Integers | None = None,
    accuracy: Literal["storage", "fp32", "fp32_scores"] = "storage",
    out_dtype: Literal["input", "float32"] = "input",
    return_softmax_lse: bool = False,
    strict: bool = False,
    attention_out: NumpyArray | None = None,
    softmax_max: NumpyArray | Literal[False] | None = None,
    softmax_sum: NumpyArray | Literal[False] | None = None,
    level: Level | None = None,
    implementation: Implementation | None = None,
    threads: int | None = None,
) -> NsaSelectedAttentionInfer[NumpyArray]: ...


@overload
def nsa_selected_attention_infer(
    query: Array,
    key: Array,
    value: Array,
    topk_indices: Integers | Nested,
    block_table: Integers | Nested,
    *,
    scale_value: float,
    head_num: int,
    key_value_head_num: int,
    select_block_size: int,
    select_block_count: int,
    page_block_size: int,
    actual_seq_kvlen: Integers,
    layout: Literal["TND", "BSND"] = "TND",
    actual_seq_qlen: Integers | None = None,
    accuracy: Literal["storage", "fp32", "fp32_scores"] = "storage",
    out_dtype: Literal["input", "float32"] = "input",
    return_softmax_lse: bool = False,
    strict: bool = False,
    attention_out: Array | None = None,
    softmax_max: Array | Literal[False] | None = None,
    softmax_sum: Array | Literal[False] | None = None,
    level: Level | None = None,
    implementation: Implementation | None = None,
    threads: int | None = None,
) -> NsaSelectedAttentionInfer[Array]: ...


def nsa_selected_attention_infer(
    query: Array,
    key: Array,
    value: Array,
    topk_indices: Integers | Nested,
    block_table: Integers | Nested,
    *,
    scale_value: float,
    head_num: int,
    key_value_head_num: int,
    select_block_size: int,
    select_block_count: int,
    page_block_size: int,
    actual_seq_kvlen: Integers,
    layout: Literal["TND", "BSND"] = "TND",
    actual_seq_qlen: Integers | None = None,
    accuracy: Literal["storage", "fp32", "fp32_scores"] = "storage",
    out_dtype: Literal["input", "float32"] = "input",
    return_softmax_lse: bool = False,
    strict: bool = False,
    attention_out: Array | None = None,
    softmax_max: Array | Literal[False] | None = None,
    softmax_sum: Array | Literal[False] | None = None,
    level: Level | None = None,
    implementation: Implementation | None = None,
    threads: int | None = None,
) -> NsaSelectedAttentionInfer[Array]:
    """Attention of every query token over the selected blocks of a paged cache of raw keys.

    Source: npu_nsa_select_attention_infer; no document of its own.

    Parameters
    ----------
    query : array of float16, bfloat16, float32
        TND [T, N, D]; BSND [B, S, N, D]: TND: sequences packed; BSND: rows past a sequence's length
        are padding
    key : array, dtype as query
        [pages, page_block_size, key_value_head_num*D]: paged cache of raw keys
    value : array, dtype as query
        [pages, page_block_size, key_value_head_num*D2]: paged cache of raw values
    topk_indices : array or nested sequence of int32
        TND [T, key_value_head_num, K]; BSND [B, S, key_value_head_num, K]: blocks of the token's
        sequence, in any order; a negative one ends a list
    block_table : array or nested sequence of int32
        [B, max_pages]: page of each page_block_size keys; entries past a sequence's keys are not
        read
    scale_value : float
        factor of the scores
    head_num : int
        query heads N, a multiple of key_value_head_num
    key_value_head_num : int
        key heads N2
    select_block_size : int
        keys in a block (l')
    select_block_count : int
        ids of a list, the last dimension of topk_indices
    page_block_size : int
        keys in a page
    actual_seq_kvlen : sequence or array of int
        keys per sequence
    layout : {"TND", "BSND"}, default "TND"
        of query and the outputs
    actual_seq_qlen : sequence or array of int, optional
        query tokens per sequence; absent: one each
    accuracy : {"storage", "fp32", "fp32_scores"}, default "storage"
        of the products of probabilities and values: storage lets a level use 16-bit integers, with
        an error below the rounding of a bfloat16 output; fp32_scores: the same, scores are in fp32
        anyway
    out_dtype : {"input", "float32"}, default "input"
        dtype of attention_out
    return_softmax_lse : bool, default False
        whether softmax_max and softmax_sum are wanted
    strict : bool, default False
        also enforce the device's limits
    attention_out, softmax_max, softmax_sum : array, optional
        where to write, never copied; None: allocated; False, for what may be left out: not computed
    level : str, optional
        "scalar", "avx2", "avx2_vnni", "avx512", "avx512_vnni" or "avx512_bf16"; by default, "auto",
        `TAMIS_LEVEL`, else the best of this processor
    implementation : {"auto", "reference", "cpu"}, optional
        "reference" is float64: the specification
    threads : int, optional
        by default what `set_num_threads` says; results do not depend on it

    Returns
    -------
    attention_out : array, dtype as query, or by out_dtype
        TND [T, N, D2]; BSND [B, S, N, D2]: 0 in padding rows
    softmax_max : array of float32, None without `return_softmax_lse`
        TND [T, N]; BSND [B, S, N]: largest scaled score; -inf in padding rows
    softmax_sum : array of float32, None without `return_softmax_lse`
        TND [T, N]; BSND [B, S, N]: sum of exp(score - max); 0 in padding rows

    Raises
    ------
    ValueError
        an argument is absent or wrong; the message says which, what was expected and what came
    NotImplementedError
        the call is well formed, but nothing here can run it
    MemoryError
        an output or scratch cannot be allocated
    """
    results = _NSA_SELECTED_ATTENTION_INFER(
        (
            query,
            key,
            value,
            topk_indices,
            block_table,
        ),
        (
            scale_value,
            head_num,
            key_value_head_num,
            select_block_size,
            select_block_count,
            page_block_size,
            layout,
            actual_seq_qlen,
            actual_seq_kvlen,
            accuracy,
            out_dtype,
            return_softmax_lse,
            strict,
        ),
        (
            attention_out,
            softmax_max,
            softmax_sum,
        ),
        level,
        implementation,
        threads,
    )
    return NsaSelectedAttentionInfer(*results)


class NsaSelectedAttentionGrad(NamedTuple, Generic[Array]):
    """Outputs of `nsa_selected_attention_grad`; None where one was not asked for."""

    query_grad: Array | Any
    key_grad: Array | Any
    value_grad: Array | Any


_NSA_SELECTED_ATTENTION_GRAD = Operator(
    "nsa_selected_attention_grad",
    inputs=(
        "query",
        "key",
        "value",
        "attention_out_grad",
        "softmax_max",
        "softmax_sum",
        "topk_indices",
    ),
    updated=(),
    integers={
        "topk_indices": ("int32",),
    },
    contiguous=(),
    read_by_plan=(),
    attributes=(
        ("scale_value", "float"),
        ("head_num", "int"),
        ("select_block_size", "int"),
        ("select_block_count", "int"),
        ("actual_seq_qlen", "ints"),
        ("actual_seq_kvlen", "ints"),
        ("sparse_mode", "int"),
        ("return_query_grad", "bool"),
        ("return_key_grad", "bool"),
        ("return_value_grad", "bool"),
        ("strict", "bool"),
    ),
    outputs=(
        "query_grad",
        "key_grad",
        "value_grad",
    ),
    results=NsaSelectedAttentionGrad,
)


@overload
def nsa_selected_attention_grad(
    query: NumpyArray,
    key: NumpyArray,
    value: NumpyArray,
    attention_out_grad: NumpyArray,
    softmax_max: NumpyArray,
    softmax_sum: NumpyArray,
    topk_indices: Integers | Nested,
    *,
    scale_value: float,
    head_num: int,
    select_block_size: int,
    select_block_count: int,
    actual_seq_qlen: Integers,
    actual_seq_kvlen: Integers,
    sparse_mode: int = 2,
    return_query_grad: bool = True,
    return_key_grad: bool = True,
    return_value_grad: bool = True,
    strict: bool = False,
    query_grad: NumpyArray | Literal[False] | None = None,
    key_grad: NumpyArray | Literal[False] | None = None,
    value_grad: NumpyArray | Literal[False] | None = None,
    level: Level | None = None,
    implementation: Implementation | None = None,
    threads: int | None = None,
) -> NsaSelectedAttentionGrad[NumpyArray]: ...


@overload
def nsa_selected_attention_grad(
    query: Array,
    key: Array,
    value: Array,
    attention_out_grad: Array,
    softmax_max: Array,
    softmax_sum: Array,
    topk_indices: Integers | Nested,
    *,
    scale_value: float,
    head_num: int,
    select_block_size: int,
    select_block_count: int,
    actual_seq_qlen: Integers,
    actual_seq_kvlen: Integers,
    sparse_mode: int = 2,
    return_query_grad: bool = True,
    return_key_grad: bool = True,
    return_value_grad: bool = True,
    strict: bool = False,
    query_grad: Array | Literal[False] | None = None,
    key_grad: Array | Literal[False] | None = None,
    value_grad: Array | Literal[False] | None = None,
    level: Level | None = None,
    implementation: Implementation | None = None,
    threads: int | None = None,
) -> NsaSelectedAttentionGrad[Array]: ...


def nsa_selected_attention_grad(
    query: Array,
    key: Array,
    value: Array,
    attention_out_grad: Array,
    softmax_max: Array,
    softmax_sum: Array,
    topk_indices: Integers | Nested,
    *,
    scale_value: float,
    head_num: int,
    select_block_size: int,
    select_block_count: int,
    actual_seq_qlen: Integers,
    actual_seq_kvlen: Integers,
    sparse_mode: int = 2,
    return_query_grad: bool = True,
    return_key_grad: bool = True,
    return_value_grad: bool = True,
    strict: bool = False,
    query_grad: Array | Literal[False] | None = None,
    key_grad: Array | Literal[False] | None = None,
    value_grad: Array | Literal[False] | None = None,
    level: Level | None = None,
    implementation: Implementation | None = None,
    threads: int | None = None,
) -> NsaSelectedAttentionGrad[Array]:
    """Gradients of queries, keys and values of nsa_selected_attention.

    Source: npu_nsa_select_attention_grad; no document of its own.

    Parameters
    ----------
    query : array of float16, bfloat16, float32
        [T, N, D]: queries of the forward, sequences packed
    key : array, dtype as query
        [Tk, N2, D]: its keys
    value : array, dtype as query
        [Tk, N2, D2]: its values
    attention_out_grad : array, dtype as query
        [T, N, D2]: gradient of its result
    softmax_max : array of float32
        [T, N]: its largest scaled scores, taken as they are
    softmax_sum : array of float32
        [T, N]: its sums of exp(score - max), taken as they are
    topk_indices : array or nested sequence of int32
        [T, N2, K]: its blocks of the token's sequence; a negative one ends a list
    scale_value : float
        factor of the scores
    head_num : int
        query heads N, a multiple of the key heads N2
    select_block_size : int
        keys in a block (l')
    select_block_count : int
        ids of a list, the last dimension of topk_indices
    actual_seq_qlen : sequence or array of int
        inclusive prefix sums over query; the last is T
    actual_seq_kvlen : sequence or array of int
        inclusive prefix sums over key; the last is Tk
    sparse_mode : int, default 2
        0: all keys; 2: token i sees keys up to i (causal from the top left); 3: up to n - q + i
        (from the bottom right)
    return_query_grad : bool, default True
        compute query_grad
    return_key_grad : bool, default True
        compute key_grad
    return_value_grad : bool, default True
        compute value_grad
    strict : bool, default False
        also enforce the device's limits
    query_grad, key_grad, value_grad : array, optional
        where to write, never copied; None: allocated; False, for what may be left out: not computed
    level : str, optional
        "scalar", "avx2", "avx2_vnni", "avx512", "avx512_vnni" or "avx512_bf16"; by default, "auto",
        `TAMIS_LEVEL`, else the best of this processor
    implementation : {"auto", "reference", "cpu"}, optional
        "reference" is float64: the specification
    threads : int, optional
        by default what `set_num_threads` says; results do not depend on it

    Returns
    -------
    query_grad : array, dtype as query, None without `return_query_grad`
        [T, N, D]: gradient of query
    key_grad : array, dtype as key, None without `return_key_grad`
        [Tk, N2, D]: gradient of key
    value_grad : array, dtype as value, None without `return_value_grad`
        [Tk, N2, D2]: gradient of value

    Raises
    ------
    ValueError
        an argument is absent or wrong; the message says which, what was expected and what came
    NotImplementedError
        the call is well formed, but nothing here can run it
    MemoryError
        an output or scratch cannot be allocated
    """
    results = _NSA_SELECTED_ATTENTION_GRAD(
        (
            query,
            key,
            value,
            attention_out_grad,
            softmax_max,
            softmax_sum,
            topk_indices,
        ),
        (
            scale_value,
            head_num,
            select_block_size,
            select_block_count,
            actual_seq_qlen,
            actual_seq_kvlen,
            sparse_mode,
            return_query_grad,
            return_key_grad,
            return_value_grad,
            strict,
        ),
        (
            query_grad,
            key_grad,
            value_grad,
        ),
        level,
        implementation,
        threads,
    )
    return NsaSelectedAttentionGrad(*results)


class SlidingWindowAttention(NamedTuple, Generic[Array]):
    """Outputs of `sliding_window_attention`; None where one was not asked for."""

    attention_out: Array
    softmax_max: Array | Any
    softmax_sum: Array | Any


_SLIDING_WINDOW_ATTENTION = Operator(
    "sliding_window_attention",
    inputs=(
        "query",
        "key",
        "value",
        "block_table",
        "actual_seq_lengths_query",
        "actual_seq_lengths_kv",
        "key_starts",
        "key_limits",
    ),
    updated=(),
    integers={
        "block_table": ("int32",),
        "actual_seq_lengths_query": ("int32", "int64"),
        "actual_seq_lengths_kv": ("int32", "int64"),
        "key_starts": ("int32", "int64"),
        "key_limits": ("int32",),
    },
    contiguous=(),
    read_by_plan=(
        "block_table",
        "actual_seq_lengths_query",
        "actual_seq_lengths_kv",
        "key_starts",
    ),
    attributes=(
        ("scale_value", "float"),
        ("window_size", "int"),
        ("layout_query", "choice"),
        ("layout_kv", "choice"),
        ("out_dtype", "choice"),
        ("strict", "bool"),
    ),
    outputs=(
        "attention_out",
        "softmax_max",
        "softmax_sum",
    ),
    results=SlidingWindowAttention,
)


@overload
def sliding_window_attention(
    query: NumpyArray,
    key: NumpyArray,
    value: NumpyArray,
    *,
    scale_value: float,
    window_size: int,
    block_table: Integers | Nested | None = None,
    actual_seq_lengths_query: Integers | Nested | None = None,
    actual_seq_lengths_kv: Integers | Nested | None = None,
    key_starts: Integers | Nested | None = None,
    key_limits: Integers | Nested | None = None,
    layout_query: Literal["BSND", "TND"] = "BSND",
    layout_kv: Literal["BSND", "TND", "PA_BSND"] = "BSND",
    out_dtype: Literal["input", "float32"] = "input",
    strict: bool = False,
    attention_out: NumpyArray | None = None,
    softmax_max: NumpyArray | Literal[False] | None = None,
    softmax_sum: NumpyArray | Literal[False] | None = None,
    level: Level | None = None,
    implementation: Implementation | None = None,
    threads: int | None = None,
) -> SlidingWindowAttention[NumpyArray]: ...


@overload
def sliding_window_attention(
    query: Array,
    key: Array,
    value: Array,
    *,
    scale_value: float,
    window_size: int,
    block_table: Integers | Nested | None = None,
    actual_seq_lengths_query: Integers | Nested | None = None,
    actual_seq_lengths_kv: Integers | Nested | None = None,
    key_starts: Integers | Nested | None = None,
    key_limits: Integers | Nested | None = None,
    layout_query: Literal["BSND", "TND"] = "BSND",
    layout_kv: Literal["BSND", "TND", "PA_BSND"] = "BSND",
    out_dtype: Literal["input", "float32"] = "input",
    strict: bool = False,
    attention_out: Array | None = None,
    softmax_max: Array | Literal[False] | None = None,
    softmax_sum: Array | Literal[False] | None = None,
    level: Level | None = None,
    implementation: Implementation | None = None,
    threads: int | None = None,
) -> SlidingWindowAttention[Array]: ...


def sliding_window_attention(
    query: Array,
    key: Array,
    value: Array,
    *,
    scale_value: float,
    window_size: int,
    block_table: Integers | Nested | None = None,
    actual_seq_lengths_query: Integers | Nested | None = None,
    actual_seq_lengths_kv: Integers | Nested | None = None,
    key_starts: Integers | Nested | None = None,
    key_limits: Integers | Nested | None = None,
    layout_query: Literal["BSND", "TND"] = "BSND",
    layout_kv: Literal["BSND", "TND", "PA_BSND"] = "BSND",
    out_dtype: Literal["input", "float32"] = "input",
    strict: bool = False,
    attention_out: Array | None = None,
    softmax_max: Array | Literal[False] | None = None,
    softmax_sum: Array | Literal[False] | None = None,
    level: Level | None = None,
    implementation: Implementation | None = None,
    threads: int | None = None,
) -> SlidingWindowAttention[Array]:
    """Causal attention of every query token over the last keys up to its own.

    Source: Native Sparse Attention's window branch; no document of its own.

    Parameters
    ----------
    query : array of float16, bfloat16, float32
        BSND [B, S1, N, D]; TND [T1, N, D]: queries
    key : array, dtype as query
        BSND [Bk, S2, N2, D]; TND [T2, N2, D]; PA_BSND [pages, page_size, N2, D]: keys; query head h
        reads kv head h / (N / N2)
    value : array, dtype as query
        BSND [Bk, S2, N2, D2]; TND [T2, N2, D2]; PA_BSND [pages, page_size, N2, D2]: values
    scale_value : float
        factor of the scores
    window_size : int
        keys that a token sees at most, that of its own position among them; 0: none
    block_table : array or nested sequence of int32, optional
        [*, *]: [B, max_pages], with PA_BSND only; entries of pages without a key in a window are
        not read, with key_limits those before key_starts
    actual_seq_lengths_query : array or nested sequence of int32, int64, optional
        [*]: BSND: tokens per sequence, or one for all; absent: S1. TND: inclusive prefix sums,
        required; rows past the last are padding
    actual_seq_lengths_kv : array or nested sequence of int32, int64, optional
        [*]: keys per sequence, or one for all (BSND, PA_BSND); TND: inclusive prefix sums; absent:
        S2 (BSND only)
    key_starts : array or nested sequence of int32, int64, optional
        [*]: per sequence, or one for all, its first key that counts: those before, as of a sequence
        padded on the left, are seen by no token; absent: 0
    key_limits : array or nested sequence of int32, optional
        BSND [B, S1]; TND [T1]: per query token: of the keys that it would see, only those before
        this position of its sequence; absent: all
    layout_query : {"BSND", "TND"}, default "BSND"
        of query and the outputs
    layout_kv : {"BSND", "TND", "PA_BSND"}, default "BSND"
        of key and value: as layout_query, or paged
    out_dtype : {"input", "float32"}, default "input"
        dtype of attention_out
    strict : bool, default False
        no limit of a document applies: changes nothing
    attention_out, softmax_max, softmax_sum : array, optional
        where to write, never copied; None: allocated; False, for what may be left out: not computed
    level : str, optional
        "scalar", "avx2", "avx2_vnni", "avx512", "avx512_vnni" or "avx512_bf16"; by default, "auto",
        `TAMIS_LEVEL`, else the best of this processor
    implementation : {"auto", "reference", "cpu"}, optional
        "reference" is float64: the specification
    threads : int, optional
        by default what `set_num_threads` says; results do not depend on it

    Returns
    -------
    attention_out : array, dtype as query, or by out_dtype
        BSND [B, S1, N, D2]; TND [T1, N, D2]: attention
    softmax_max : array of float32
        BSND [B, S1, N]; TND [T1, N]: largest scaled score
    softmax_sum : array of float32
        BSND [B, S1, N]; TND [T1, N]: sum of exp(score - max)

    Raises
    ------
    ValueError
        an argument is absent or wrong; the message says which, what was expected and what came
    NotImplementedError
        the call is well formed, but nothing here can run it
    MemoryError
        an output or scratch cannot be allocated
    """
    results = _SLIDING_WINDOW_ATTENTION(
        (
            query,
            key,
            value,
            block_table,
            actual_seq_lengths_query,
            actual_seq_lengths_kv,
            key_starts,
            key_limits,
        ),
        (
            scale_value,
            window_size,
            layout_query,
            layout_kv,
            out_dtype,
            strict,
        ),
        (
            attention_out,
            softmax_max,
            softmax_sum,
        ),
        level,
        implementation,
        threads,
    )
    return SlidingWindowAttention(*results)


class SlidingWindowAttentionGrad(NamedTuple, Generic[Array]):
    """Outputs of `sliding_window_attention_grad`; None where one was not asked for."""

    query_grad: Array | Any
    key_grad: Array | Any
    value_grad: Array | Any


_SLIDING_WINDOW_ATTENTION_GRAD = Operator(
    "sliding_window_attention_grad",
    inputs=(
        "query",
        "key",
        "value",
        "attention_out_grad",
        "softmax_max",
        "softmax_sum",
        "actual_seq_lengths_query",
        "actual_seq_lengths_kv",
        "key_starts",
        "key_limits",
    ),
    updated=(),
    integers={
        "actual_seq_lengths_query": ("int32", "int64"),
        "actual_seq_lengths_kv": ("int32", "int64"),
        "key_starts": ("int32", "int64"),
        "key_limits": ("int32",),
    },
    contiguous=(),
    read_by_plan=(
        "actual_seq_lengths_query",
        "actual_seq_lengths_kv",
        "key_starts",
    ),
    attributes=(
        ("scale_value", "float"),
        ("window_size", "int"),
        ("layout_query", "choice"),
        ("layout_kv", "choice"),
        ("return_query_grad", "bool"),
        ("return_key_grad", "bool"),
        ("return_value_grad", "bool"),
        ("strict", "bool"),
    ),
    outputs=(
        "query_grad",
        "key_grad",
        "value_grad",
    ),
    results=SlidingWindowAttentionGrad,
)


@overload
def sliding_window_attention_grad(
    query: NumpyArray,
    key: NumpyArray,
    value: NumpyArray,
    attention_out_grad: NumpyArray,
    softmax_max: NumpyArray,
    softmax_sum: NumpyArray,
    *,
    scale_value: float,
    window_size: int,
    actual_seq_lengths_query: Integers | Nested | None = None,
    actual_seq_lengths_kv: Integers | Nested | None = None,
    key_starts: Integers | Nested | None = None,
    key_limits: Integers | Nested | None = None,
    layout_query: Literal["BSND", "TND"] = "BSND",
    layout_kv: Literal["BSND", "TND"] = "BSND",
    return_query_grad: bool = True,
    return_key_grad: bool = True,
    return_value_grad: bool = True,
    strict: bool = False,
    query_grad: NumpyArray | Literal[False] | None = None,
    key_grad: NumpyArray | Literal[False] | None = None,
    value_grad: NumpyArray | Literal[False] | None = None,
    level: Level | None = None,
    implementation: Implementation | None = None,
    threads: int | None = None,
) -> SlidingWindowAttentionGrad[NumpyArray]: ...


@overload
def sliding_window_attention_grad(
    query: Array,
    key: Array,
    value: Array,
    attention_out_grad: Array,
    softmax_max: Array,
    softmax_sum: Array,
    *,
    scale_value: float,
    window_size: int,
    actual_seq_lengths_query: Integers | Nested | None = None,
    actual_seq_lengths_kv: Integers | Nested | None = None,
    key_starts: Integers | Nested | None = None,
    key_limits: Integers | Nested | None = None,
    layout_query: Literal["BSND", "TND"] = "BSND",
    layout_kv: Literal["BSND", "TND"] = "BSND",
    return_query_grad: bool = True,
    return_key_grad: bool = True,
    return_value_grad: bool = True,
    strict: bool = False,
    query_grad: Array | Literal[False] | None = None,
    key_grad: Array | Literal[False] | None = None,
    value_grad: Array | Literal[False] | None = None,
    level: Level | None = None,
    implementation: Implementation | None = None,
    threads: int | None = None,
) -> SlidingWindowAttentionGrad[Array]: ...


def sliding_window_attention_grad(
    query: Array,
    key: Array,
    value: Array,
    attention_out_grad: Array,
    softmax_max: Array,
    softmax_sum: Array,
    *,
    scale_value: float,
    window_size: int,
    actual_seq_lengths_query: Integers | Nested | None = None,
    actual_seq_lengths_kv: Integers | Nested | None = None,
    key_starts: Integers | Nested | None = None,
    key_limits: Integers | Nested | None = None,
    layout_query: Literal["BSND", "TND"] = "BSND",
    layout_kv: Literal["BSND", "TND"] = "BSND",
    return_query_grad: bool = True,
    return_key_grad: bool = True,
    return_value_grad: bool = True,
    strict: bool = False,
    query_grad: Array | Literal[False] | None = None,
    key_grad: Array | Literal[False] | None = None,
    value_grad: Array | Literal[False] | None = None,
    level: Level | None = None,
    implementation: Implementation | None = None,
    threads: int | None = None,
) -> SlidingWindowAttentionGrad[Array]:
    """Gradients of queries, keys and values of sliding_window_attention.

    Source: the gradient of sliding_window_attention; no document of its own.

    Parameters
    ----------
    query : array of float16, bfloat16, float32
        BSND [B, S1, N, D]; TND [T1, N, D]: queries of the forward
    key : array, dtype as query
        BSND [Bk, S2, N2, D]; TND [T2, N2, D]: its keys
    value : array, dtype as query
        BSND [Bk, S2, N2, D2]; TND [T2, N2, D2]: its values
    attention_out_grad : array, dtype as query
        BSND [B, S1, N, D2]; TND [T1, N, D2]: gradient of its result
    softmax_max : array of float32
        BSND [B, S1, N]; TND [T1, N]: its largest scaled scores, taken as they are
    softmax_sum : array of float32
        BSND [B, S1, N]; TND [T1, N]: its sums of exp(score - max), taken as they are
    scale_value : float
        factor of the scores
    window_size : int
        keys that a token sees at most, that of its own position among them; 0: none
    actual_seq_lengths_query : array or nested sequence of int32, int64, optional
        [*]: BSND: tokens per sequence, or one for all; absent: S1. TND: inclusive prefix sums,
        required; rows past the last are padding
    actual_seq_lengths_kv : array or nested sequence of int32, int64, optional
        [*]: keys per sequence, or one for all (BSND, PA_BSND); TND: inclusive prefix sums; absent:
        S2 (BSND only)
    key_starts : array or nested sequence of int32, int64, optional
        [*]: per sequence, or one for all, its first key that counts: those before, as of a sequence
        padded on the left, are seen by no token; absent: 0
    key_limits : array or nested sequence of int32, optional
        BSND [B, S1]; TND [T1]: per query token: of the keys that it would see, only those before
        this position of its sequence; absent: all
    layout_query : {"BSND", "TND"}, default "BSND"
        of query, what belongs to it, and its gradient
    layout_kv : {"BSND", "TND"}, default "BSND"
        of key, value and their gradients: as layout_query
    return_query_grad : bool, default True
        compute query_grad
    return_key_grad : bool, default True
        compute key_grad
    return_value_grad : bool, default True
        compute value_grad
    strict : bool, default False
        no limit of a document applies: changes nothing
    query_grad, key_grad, value_grad : array, optional
        where to write, never copied; None: allocated; False, for what may be left out: not computed
    level : str, optional
        "scalar", "avx2", "avx2_vnni", "avx512", "avx512_vnni" or "avx512_bf16"; by default, "auto",
        `TAMIS_LEVEL`, else the best of this processor
    implementation : {"auto", "reference", "cpu"}, optional
        "reference" is float64: the specification
    threads : int, optional
        by default what `set_num_threads` says; results do not depend on it

    Returns
    -------
    query_grad : array, dtype as query, None without `return_query_grad`
        BSND [B, S1, N, D]; TND [T1, N, D]: gradient of query
    key_grad : array, dtype as key, None without `return_key_grad`
        BSND [Bk, S2, N2, D]; TND [T2, N2, D]: gradient of key
    value_grad : array, dtype as value, None without `return_value_grad`
        BSND [Bk, S2, N2, D2]; TND [T2, N2, D2]: gradient of value

    Raises
    ------
    ValueError
        an argument is absent or wrong; the message says which, what was expected and what came
    NotImplementedError
        the call is well formed, but nothing here can run it
    MemoryError
        an output or scratch cannot be allocated
    """
    results = _SLIDING_WINDOW_ATTENTION_GRAD(
        (
            query,
            key,
            value,
            attention_out_grad,
            softmax_max,
            softmax_sum,
            actual_seq_lengths_query,
            actual_seq_lengths_kv,
            key_starts,
            key_limits,
        ),
        (
            scale_value,
            window_size,
            layout_query,
            layout_kv,
            return_query_grad,
            return_key_grad,
            return_value_grad,
            strict,
        ),
        (
            query_grad,
            key_grad,
            value_grad,
        ),
        level,
        implementation,
        threads,
    )
    return SlidingWindowAttentionGrad(*results)


class MlaProlog(NamedTuple, Generic[Array]):
    """Outputs of `mla_prolog`; None where one was not asked for."""

    query: Array | Any
    query_rope: Array | Any
    query_norm: Array | Any


_MLA_PROLOG = Operator(
    "mla_prolog",
    inputs=(
        "x",
        "query_source",
        "w_dq",
        "w_uq_qr",
        "w_uk",
        "w_dkv_kr",
        "bias_dq",
        "bias_dkv_kr",
        "gamma_cq",
        "gamma_ckv",
        "gamma_kr",
        "sin",
        "cos",
        "cache_index",
        "kv_cache",
        "kr_cache",
    ),
    updated=(
        "kv_cache",
        "kr_cache",
    ),
    integers={
        "cache_index": ("int32", "int64"),
    },
    contiguous=(),
    read_by_plan=("cache_index",),
    attributes=(
        ("epsilon_cq", "float"),
        ("epsilon_ckv", "float"),
        ("epsilon_kr", "float"),
        ("rope_interleaved", "bool"),
        ("weight_format", "choice"),
        ("strict", "bool"),
    ),
    outputs=(
        "query",
        "query_rope",
        "query_norm",
    ),
    results=MlaProlog,
)


@overload
def mla_prolog(
    x: NumpyArray,
    w_uq_qr: NumpyArray,
    w_uk: NumpyArray,
    w_dkv_kr: NumpyArray,
    gamma_ckv: NumpyArray,
    sin: NumpyArray,
    cos: NumpyArray,
    cache_index: Integers | Nested,
    kv_cache: NumpyArray,
    kr_cache: NumpyArray,
    *,
    query_source: NumpyArray | None = None,
    w_dq: NumpyArray | None = None,
    bias_dq: NumpyArray | None = None,
    bias_dkv_kr: NumpyArray | None = None,
    gamma_cq: NumpyArray | None = None,
    gamma_kr: NumpyArray | None = None,
    epsilon_cq: float = 1e-05,
    epsilon_ckv: float = 1e-05,
    epsilon_kr: float = 1e-05,
    rope_interleaved: bool = True,
    weight_format: Literal["ND", "NZ"] = "ND",
    strict: bool = False,
    query: NumpyArray | Literal[False] | None = None,
    query_rope: NumpyArray | Literal[False] | None = None,
    query_norm: NumpyArray | Literal[False] | None = None,
    level: Level | None = None,
    implementation: Implementation | None = None,
    threads: int | None = None,
) -> MlaProlog[NumpyArray]: ...


@overload
def mla_prolog(
    x: Array,
    w_uq_qr: Array,
    w_uk: Array,
    w_dkv_kr: Array,
    gamma_ckv: Array,
    sin: Array,
    cos: Array,
    cache_index: Integers | Nested,
    kv_cache: Array,
    kr_cache: Array,
    *,
    query_source: Array | None = None,
    w_dq: Array | None = None,
    bias_dq: Array | None = None,
    bias_dkv_kr: Array | None = None,
    gamma_cq: Array | None = None,
    gamma_kr: Array | None = None,
    epsilon_cq: float = 1e-05,
    epsilon_ckv: float = 1e-05,
    epsilon_kr: float = 1e-05,
    rope_interleaved: bool = True,
    weight_format: Literal["ND", "NZ"] = "ND",
    strict: bool = False,
    query: Array | Literal[False] | None = None,
    query_rope: Array | Literal[False] | None = None,
    query_norm: Array | Literal[False] | None = None,
    level: Level | None = None,
    implementation: Implementation | None = None,
    threads: int | None = None,
) -> MlaProlog[Array]: ...


def mla_prolog(
    x: Array,
    w_uq_qr: Array,
    w_uk: Array,
    w_dkv_kr: Array,
    gamma_ckv: Array,
    sin: Array,
    cos: Array,
    cache_index: Integers | Nested,
    kv_cache: Array,
    kr_cache: Array,
    *,
    query_source: Array | None = None,
    w_dq: Array | None = None,
    bias_dq: Array | None = None,
    bias_dkv_kr: Array | None = None,
    gamma_cq: Array | None = None,
    gamma_kr: Array | None = None,
    epsilon_cq: float = 1e-05,
    epsilon_ckv: float = 1e-05,
    epsilon_kr: float = 1e-05,
    rope_interleaved: bool = True,
    weight_format: Literal["ND", "NZ"] = "ND",
    strict: bool = False,
    query: Array | Literal[False] | None = None,
    query_rope: Array | Literal[False] | None = None,
    query_norm: Array | Literal[False] | None = None,
    level: Level | None = None,
    implementation: Implementation | None = None,
    threads: int | None = None,
) -> MlaProlog[Array]:
    """Absorbed queries and latent cache rows of multi-head latent attention.

    Source: npu_sparse_attention_pto (document 003), section MLA prolog.

    Parameters
    ----------
    x : array of float16, bfloat16, float32
        TH [T, H]; BSH [B, S1, H]: hidden states
    w_uq_qr : array, dtype as x
        [Lq, uq_width]: up-projection, N heads of nope + rope columns
    w_uk : array, dtype as x
        [N, nope, latent]: key up-projection, absorbed into queries; always ND
    w_dkv_kr : array, dtype as x
        [H, kv_width]: down-projection of keys and values, latent + rope columns
    gamma_ckv : array, dtype as x
        [latent]: RMS norm of cache rows
    sin : array, dtype as x
        TH [T, rope]; BSH [B, S1, rope]: full width; its halves may differ
    cos : array, dtype as x
        TH [T, rope]; BSH [B, S1, rope]: full width; its halves may differ
    cache_index : array or nested sequence of int32, int64
        TH [T]; BSH [B, S1]: slot = page * page_size + row; negative: not written; of equal ones the
        last wins; read when planning
    kv_cache : array, dtype as x, updated in place
        [pages, page_size, 1, latent]: latent rows, updated at the slots
    kr_cache : array, dtype as x, updated in place
        [pages, page_size, 1, rope]: rope rows, updated at the slots
    query_source : array, dtype as x, optional
        TH [T, Lq]; BSH [B, S1, Lq]: what w_uq_qr takes in place of query_norm, where w_dq and
        gamma_cq are absent
    w_dq : array, dtype as x, optional
        [H, Lq]: down-projection of queries; or query_source
    bias_dq : array, dtype as x, optional
        [Lq]: added to the product with w_dq
    bias_dkv_kr : array, dtype as x, optional
        [kv_width]: added to the product with w_dkv_kr
    gamma_cq : array, dtype as x, optional
        [Lq]: RMS norm of queries; or query_source
    gamma_kr : array, dtype as x, optional
        [rope]: RMS norm of rope rows, before rope
    epsilon_cq : float, default 1e-05
        of the RMS norm of queries, at least 0
    epsilon_ckv : float, default 1e-05
        of the RMS norm of cache rows, at least 0
    epsilon_kr : float, default 1e-05
        of the RMS norm of rope rows, at least 0
    rope_interleaved : bool, default True
        true: rope takes interleaved pairs, as the document's; false: halves
    weight_format : {"ND", "NZ"}, default "ND"
        of w_dq, w_uq_qr and w_dkv_kr; NZ: dense panels of 16 columns
    strict : bool, default False
        no limit of a document applies: changes nothing
    query, query_rope, query_norm : array, optional
        where to write, never copied; None: allocated; False, for what may be left out: not computed
    level : str, optional
        "scalar", "avx2", "avx2_vnni", "avx512", "avx512_vnni" or "avx512_bf16"; by default, "auto",
        `TAMIS_LEVEL`, else the best of this processor
    implementation : {"auto", "reference", "cpu"}, optional
        "reference" is float64: the specification
    threads : int, optional
        by default what `set_num_threads` says; results do not depend on it

    Returns
    -------
    query : array, dtype as x
        TH [T, N, latent]; BSH [B, S1, N, latent]: queries in the latent space
    query_rope : array, dtype as x
        TH [T, N, rope]; BSH [B, S1, N, rope]: rotated part of the queries
    query_norm : array, dtype as x, None without `w_dq` and `gamma_cq`
        TH [T, Lq]; BSH [B, S1, Lq]: normed low-rank queries, the indexer's input

    Raises
    ------
    ValueError
        an argument is absent or wrong; the message says which, what was expected and what came
    NotImplementedError
        the call is well formed, but nothing here can run it
    MemoryError
        an output or scratch cannot be allocated
    """
    results = _MLA_PROLOG(
        (
            x,
            query_source,
            w_dq,
            w_uq_qr,
            w_uk,
            w_dkv_kr,
            bias_dq,
            bias_dkv_kr,
            gamma_cq,
            gamma_ckv,
            gamma_kr,
            sin,
            cos,
            cache_index,
            kv_cache,
            kr_cache,
        ),
        (
            epsilon_cq,
            epsilon_ckv,
            epsilon_kr,
            rope_interleaved,
            weight_format,
            strict,
        ),
        (
            query,
            query_rope,
            query_norm,
        ),
        level,
        implementation,
        threads,
    )
    return MlaProlog(*results)


class IndexerProlog(NamedTuple, Generic[Array]):
    """Outputs of `indexer_prolog`; None where one was not asked for."""

    query: Array | Any
    weights: Array | Any


_INDEXER_PROLOG = Operator(
    "indexer_prolog",
    inputs=(
        "x",
        "query_norm",
        "w_idx_qb",
        "w_idx_k",
        "w_idx_proj",
        "in_gamma_k",
        "in_beta_k",
        "sin",
        "cos",
        "cache_index",
        "index_k_cache",
        "index_k_shadow",
    ),
    updated=(
        "index_k_cache",
        "index_k_shadow",
    ),
    integers={
        "cache_index": ("int32", "int64"),
    },
    contiguous=(),
    read_by_plan=("cache_index",),
    attributes=(
        ("epsilon", "float"),
        ("rope_interleaved", "bool"),
        ("rope_last", "bool"),
        ("weight_format", "choice"),
        ("strict", "bool"),
    ),
    outputs=(
        "query",
        "weights",
    ),
    results=IndexerProlog,
)


@overload
def indexer_prolog(
    x: NumpyArray,
    w_idx_k: NumpyArray,
    in_gamma_k: NumpyArray,
    in_beta_k: NumpyArray,
    sin: NumpyArray,
    cos: NumpyArray,
    cache_index: Integers | Nested,
    index_k_cache: NumpyArray,
    *,
    query_norm: NumpyArray | None = None,
    w_idx_qb: NumpyArray | None = None,
    w_idx_proj: NumpyArray | None = None,
    index_k_shadow: NumpyArray | None = None,
    epsilon: float = 1e-06,
    rope_interleaved: bool = True,
    rope_last: bool = False,
    weight_format: Literal["ND", "NZ"] = "ND",
    strict: bool = False,
    query: NumpyArray | Literal[False] | None = None,
    weights: NumpyArray | Literal[False] | None = None,
    level: Level | None = None,
    implementation: Implementation | None = None,
    threads: int | None = None,
) -> IndexerProlog[NumpyArray]: ...


@overload
def indexer_prolog(
    x: Array,
    w_idx_k: Array,
    in_gamma_k: Array,
    in_beta_k: Array,
    sin: Array,
    cos: Array,
    cache_index: Integers | Nested,
    index_k_cache: Array,
    *,
    query_norm: Array | None = None,
    w_idx_qb: Array | None = None,
    w_idx_proj: Array | None = None,
    index_k_shadow: Array | None = None,
    epsilon: float = 1e-06,
    rope_interleaved: bool = True,
    rope_last: bool = False,
    weight_format: Literal["ND", "NZ"] = "ND",
    strict: bool = False,
    query: Array | Literal[False] | None = None,
    weights: Array | Literal[False] | None = None,
    level: Level | None = None,
    implementation: Implementation | None = None,
    threads: int | None = None,
) -> IndexerProlog[Array]: ...


def indexer_prolog(
    x: Array,
    w_idx_k: Array,
    in_gamma_k: Array,
    in_beta_k: Array,
    sin: Array,
    cos: Array,
    cache_index: Integers | Nested,
    index_k_cache: Array,
    *,
    query_norm: Array | None = None,
    w_idx_qb: Array | None = None,
    w_idx_proj: Array | None = None,
    index_k_shadow: Array | None = None,
    epsilon: float = 1e-06,
    rope_interleaved: bool = True,
    rope_last: bool = False,
    weight_format: Literal["ND", "NZ"] = "ND",
    strict: bool = False,
    query: Array | Literal[False] | None = None,
    weights: Array | Literal[False] | None = None,
    level: Level | None = None,
    implementation: Implementation | None = None,
    threads: int | None = None,
) -> IndexerProlog[Array]:
    """Index queries, head weights and index key rows of sparse attention.

    Source: npu_sparse_attention_pto (document 003), section indexer prolog.

    Parameters
    ----------
    x : array of float16, bfloat16, float32
        TH [T, H]; BSH [B, S1, H]: hidden states
    w_idx_k : array, dtype as x
        [H, Di]: projection of keys
    in_gamma_k : array, dtype as x
        [Di]: layer norm of keys
    in_beta_k : array, dtype as x
        [Di]: layer norm of keys
    sin : array, dtype as x
        TH [T, rope]; BSH [B, S1, rope]: full width; its halves may differ; rope at most Di
    cos : array, dtype as x
        TH [T, rope]; BSH [B, S1, rope]: full width; its halves may differ
    cache_index : array or nested sequence of int32, int64
        TH [T]; BSH [B, S1]: slot = page * page_size + row; negative: not written; of equal ones the
        last wins; read when planning
    index_k_cache : array, dtype as x, updated in place
        [pages, page_size, 1, Di]: index keys, updated at the slots
    query_norm : array, dtype as x, optional
        TH [T, Lq]; BSH [B, S1, Lq]: normed low-rank queries of mla_prolog; for query only
    w_idx_qb : array, dtype as x, optional
        [Lq, qb_width]: up-projection, Ni heads of Di columns; for query only
    w_idx_proj : array, dtype as x, optional
        [H, Ni]: projection of head weights; for weights only
    index_k_shadow : array of uint8, updated in place, optional
        [pages, panels, panel_bytes]: the cache in 8 bits, of quantize_index_keys, updated with it
    epsilon : float, default 1e-06
        of the layer norm, at least 0
    rope_interleaved : bool, default True
        true: rope takes interleaved pairs, as the document's; false: halves, as the released
        checkpoints'
    rope_last : bool, default False
        rope rotates the last channels of a head, not the first
    weight_format : {"ND", "NZ"}, default "ND"
        of the three weights; NZ: dense panels of 16 columns
    strict : bool, default False
        no limit of a document applies: changes nothing
    query, weights : array, optional
        where to write, never copied; None: allocated; False, for what may be left out: not computed
    level : str, optional
        "scalar", "avx2", "avx2_vnni", "avx512", "avx512_vnni" or "avx512_bf16"; by default, "auto",
        `TAMIS_LEVEL`, else the best of this processor
    implementation : {"auto", "reference", "cpu"}, optional
        "reference" is float64: the specification
    threads : int, optional
        by default what `set_num_threads` says; results do not depend on it

    Returns
    -------
    query : array, dtype as x, None without `query_norm` and `w_idx_qb`
        TH [T, Ni, Di]; BSH [B, S1, Ni, Di]: index queries
    weights : array, dtype as x, None without `w_idx_proj`
        TH [T, Ni]; BSH [B, S1, Ni]: weight of each head, unscaled

    Raises
    ------
    ValueError
        an argument is absent or wrong; the message says which, what was expected and what came
    NotImplementedError
        the call is well formed, but nothing here can run it
    MemoryError
        an output or scratch cannot be allocated
    """
    results = _INDEXER_PROLOG(
        (
            x,
            query_norm,
            w_idx_qb,
            w_idx_k,
            w_idx_proj,
            in_gamma_k,
            in_beta_k,
            sin,
            cos,
            cache_index,
            index_k_cache,
            index_k_shadow,
        ),
        (
            epsilon,
            rope_interleaved,
            rope_last,
            weight_format,
            strict,
        ),
        (
            query,
            weights,
        ),
        level,
        implementation,
        threads,
    )
    return IndexerProlog(*results)


_ND_TO_NZ = Operator(
    "nd_to_nz",
    inputs=("weight",),
    updated=(),
    integers={},
    contiguous=(),
    read_by_plan=(),
    attributes=(("strict", "bool"),),
    outputs=("output",),
    results=None,
)


@overload
def nd_to_nz(
    weight: NumpyArray,
    *,
    strict: bool = False,
    output: NumpyArray | None = None,
    level: Level | None = None,
    implementation: Implementation | None = None,
    threads: int | None = None,
) -> NumpyArray: ...


@overload
def nd_to_nz(
    weight: Array,
    *,
    strict: bool = False,
    output: Array | None = None,
    level: Level | None = None,
    implementation: Implementation | None = None,
    threads: int | None = None,
) -> Array: ...


def nd_to_nz(
    weight: Array,
    *,
    strict: bool = False,
    output: Array | None = None,
    level: Level | None = None,
    implementation: Implementation | None = None,
    threads: int | None = None,
) -> Array:
    """A weight matrix from row-major into panels of 16 columns.

    Source: npu_sparse_attention_pto (document 003), format NZ of its weights.

    Parameters
    ----------
    weight : array of float16, bfloat16, float32
        [rows, columns]: row-major; rows and columns are multiples of 16
    strict : bool, default False
        no limit of a document applies: changes nothing
    output : array, optional
        where to write, never copied; None: allocated
    level : str, optional
        "scalar", "avx2", "avx2_vnni", "avx512", "avx512_vnni" or "avx512_bf16"; by default, "auto",
        `TAMIS_LEVEL`, else the best of this processor
    implementation : {"auto", "reference", "cpu"}, optional
        "reference" is float64: the specification
    threads : int, optional
        by default what `set_num_threads` says; results do not depend on it

    Returns
    -------
    output : array, dtype as weight
        [rows, columns]: panels of 16 columns, dense

    Raises
    ------
    ValueError
        an argument is absent or wrong; the message says which, what was expected and what came
    NotImplementedError
        the call is well formed, but nothing here can run it
    MemoryError
        an output or scratch cannot be allocated
    """
    result: Array = _ND_TO_NZ(
        (weight,),
        (strict,),
        (output,),
        level,
        implementation,
        threads,
    )[0]
    return result


_NZ_TO_ND = Operator(
    "nz_to_nd",
    inputs=("weight",),
    updated=(),
    integers={},
    contiguous=(),
    read_by_plan=(),
    attributes=(("strict", "bool"),),
    outputs=("output",),
    results=None,
)


@overload
def nz_to_nd(
    weight: NumpyArray,
    *,
    strict: bool = False,
    output: NumpyArray | None = None,
    level: Level | None = None,
    implementation: Implementation | None = None,
    threads: int | None = None,
) -> NumpyArray: ...


@overload
def nz_to_nd(
    weight: Array,
    *,
    strict: bool = False,
    output: Array | None = None,
    level: Level | None = None,
    implementation: Implementation | None = None,
    threads: int | None = None,
) -> Array: ...


def nz_to_nd(
    weight: Array,
    *,
    strict: bool = False,
    output: Array | None = None,
    level: Level | None = None,
    implementation: Implementation | None = None,
    threads: int | None = None,
) -> Array:
    """A weight matrix from panels of 16 columns into row-major.

    Source: npu_sparse_attention_pto (document 003), format NZ of its weights.

    Parameters
    ----------
    weight : array of float16, bfloat16, float32
        [rows, columns]: panels of 16 columns, dense; rows and columns are multiples of 16
    strict : bool, default False
        no limit of a document applies: changes nothing
    output : array, optional
        where to write, never copied; None: allocated
    level : str, optional
        "scalar", "avx2", "avx2_vnni", "avx512", "avx512_vnni" or "avx512_bf16"; by default, "auto",
        `TAMIS_LEVEL`, else the best of this processor
    implementation : {"auto", "reference", "cpu"}, optional
        "reference" is float64: the specification
    threads : int, optional
        by default what `set_num_threads` says; results do not depend on it

    Returns
    -------
    output : array, dtype as weight
        [rows, columns]: row-major

    Raises
    ------
    ValueError
        an argument is absent or wrong; the message says which, what was expected and what came
    NotImplementedError
        the call is well formed, but nothing here can run it
    MemoryError
        an output or scratch cannot be allocated
    """
    result: Array = _NZ_TO_ND(
        (weight,),
        (strict,),
        (output,),
        level,
        implementation,
        threads,
    )[0]
    return result


_QUANTIZE_INDEX_KEYS = Operator(
    "quantize_index_keys",
    inputs=("key",),
    updated=(),
    integers={},
    contiguous=(),
    read_by_plan=(),
    attributes=(
        ("layout_key", "choice"),
        ("strict", "bool"),
    ),
    outputs=("key_shadow",),
    results=None,
)


@overload
def quantize_index_keys(
    key: NumpyArray,
    *,
    layout_key: Literal["BSND", "TND", "PA_BSND"] = "BSND",
    strict: bool = False,
    key_shadow: NumpyArray | None = None,
    level: Level | None = None,
    implementation: Implementation | None = None,
    threads: int | None = None,
) -> NumpyArray: ...


@overload
def quantize_index_keys(
    key: Array,
    *,
    layout_key: Literal["BSND", "TND", "PA_BSND"] = "BSND",
    strict: bool = False,
    key_shadow: Array | None = None,
    level: Level | None = None,
    implementation: Implementation | None = None,
    threads: int | None = None,
) -> Array: ...


def quantize_index_keys(
    key: Array,
    *,
    layout_key: Literal["BSND", "TND", "PA_BSND"] = "BSND",
    strict: bool = False,
    key_shadow: Array | None = None,
    level: Level | None = None,
    implementation: Implementation | None = None,
    threads: int | None = None,
) -> Array:
    """The int8 shadow of index keys, which lightning_indexer scans.

    Source: no document of its own.

    Parameters
    ----------
    key : array of float16, bfloat16, float32
        BSND [Bk, S2, 1, D]; TND [T2, 1, D]; PA_BSND [pages, page_size, 1, D]: index keys, one head
        of at most 1024 dims
    layout_key : {"BSND", "TND", "PA_BSND"}, default "BSND"
        of key
    strict : bool, default False
        no limit of a document applies: changes nothing
    key_shadow : array, optional
        where to write, never copied; None: allocated
    level : str, optional
        "scalar", "avx2", "avx2_vnni", "avx512", "avx512_vnni" or "avx512_bf16"; by default, "auto",
        `TAMIS_LEVEL`, else the best of this processor
    implementation : {"auto", "reference", "cpu"}, optional
        "reference" is float64: the specification
    threads : int, optional
        by default what `set_num_threads` says; results do not depend on it

    Returns
    -------
    key_shadow : array of uint8
        BSND [Bk, panels, panel_bytes]; TND [panels, panel_bytes]; PA_BSND [pages, panels,
        panel_bytes]: panels of 16 keys: bytes, scales, errors, norms

    Raises
    ------
    ValueError
        an argument is absent or wrong; the message says which, what was expected and what came
    NotImplementedError
        the call is well formed, but nothing here can run it
    MemoryError
        an output or scratch cannot be allocated
    """
    result: Array = _QUANTIZE_INDEX_KEYS(
        (key,),
        (
            layout_key,
            strict,
        ),
        (key_shadow,),
        level,
        implementation,
        threads,
    )[0]
    return result


class LightningIndexer(NamedTuple, Generic[Array]):
    """Outputs of `lightning_indexer`; None where one was not asked for."""

    sparse_indices: Array
    sparse_values: Array | Any


_LIGHTNING_INDEXER = Operator(
    "lightning_indexer",
    inputs=(
        "query",
        "key",
        "weights",
        "actual_seq_lengths_query",
        "actual_seq_lengths_key",
        "block_table",
        "key_shadow",
        "key_starts",
        "key_limits",
        "actual_seq_lengths_tokens",
    ),
    updated=(),
    integers={
        "actual_seq_lengths_query": ("int32", "int64"),
        "actual_seq_lengths_key": ("int32", "int64"),
        "block_table": ("int32",),
        "key_starts": ("int32", "int64"),
        "key_limits": ("int32",),
        "actual_seq_lengths_tokens": ("int32", "int64"),
    },
    contiguous=(),
    read_by_plan=(
        "actual_seq_lengths_query",
        "actual_seq_lengths_key",
        "block_table",
        "key_starts",
        "actual_seq_lengths_tokens",
    ),
    attributes=(
        ("layout_query", "choice"),
        ("layout_key", "choice"),
        ("sparse_count", "int"),
        ("sparse_mode", "int"),
        ("compress_ratio", "int"),
        ("return_value", "bool"),
        ("value_dtype", "choice"),
        ("pruning", "choice"),
        ("strict", "bool"),
    ),
    outputs=(
        "sparse_indices",
        "sparse_values",
    ),
    results=LightningIndexer,
)


@overload
def lightning_indexer(
    query: NumpyArray,
    key: NumpyArray,
    weights: NumpyArray,
    *,
    actual_seq_lengths_query: Integers | Nested | None = None,
    actual_seq_lengths_key: Integers | Nested | None = None,
    block_table: Integers | Nested | None = None,
    key_shadow: NumpyArray | None = None,
    key_starts: Integers | Nested | None = None,
    key_limits: Integers | Nested | None = None,
    actual_seq_lengths_tokens: Integers | Nested | None = None,
    layout_query: Literal["BSND", "TND"] = "BSND",
    layout_key: Literal["BSND", "TND", "PA_BSND"] = "BSND",
    sparse_count: int = 2048,
    sparse_mode: int = 3,
    compress_ratio: int = 1,
    return_value: bool = False,
    value_dtype: Literal["input", "float32"] = "input",
    pruning: Literal["auto", "off", "on"] = "auto",
    strict: bool = False,
    sparse_indices: NumpyArray | None = None,
    sparse_values: NumpyArray | Literal[False] | None = None,
    level: Level | None = None,
    implementation: Implementation | None = None,
    threads: int | None = None,
) -> LightningIndexer[NumpyArray]: ...


@overload
def lightning_indexer(
    query: Array,
    key: Array,
    weights: Array,
    *,
    actual_seq_lengths_query: Integers | Nested | None = None,
    actual_seq_lengths_key: Integers | Nested | None = None,
    block_table: Integers | Nested | None = None,
    key_shadow: Array | None = None,
    key_starts: Integers | Nested | None = None,
    key_limits: Integers | Nested | None = None,
    actual_seq_lengths_tokens: Integers | Nested | None = None,
    layout_query: Literal["BSND", "TND"] = "BSND",
    layout_key: Literal["BSND", "TND", "PA_BSND"] = "BSND",
    sparse_count: int = 2048,
    sparse_mode: int = 3,
    compress_ratio: int = 1,
    return_value: bool = False,
    value_dtype: Literal["input", "float32"] = "input",
    pruning: Literal["auto", "off", "on"] = "auto",
    strict: bool = False,
    sparse_indices: Array | None = None,
    sparse_values: Array | Literal[False] | None = None,
    level: Level | None = None,
    implementation: Implementation | None = None,
    threads: int | None = None,
) -> LightningIndexer[Array]: ...


def lightning_indexer(
    query: Array,
    key: Array,
    weights: Array,
    *,
    actual_seq_lengths_query: Integers | Nested | None = None,
    actual_seq_lengths_key: Integers | Nested | None = None,
    block_table: Integers | Nested | None = None,
    key_shadow: Array | None = None,
    key_starts: Integers | Nested | None = None,
    key_limits: Integers | Nested | None = None,
    actual_seq_lengths_tokens: Integers | Nested | None = None,
    layout_query: Literal["BSND", "TND"] = "BSND",
    layout_key: Literal["BSND", "TND", "PA_BSND"] = "BSND",
    sparse_count: int = 2048,
    sparse_mode: int = 3,
    compress_ratio: int = 1,
    return_value: bool = False,
    value_dtype: Literal["input", "float32"] = "input",
    pruning: Literal["auto", "off", "on"] = "auto",
    strict: bool = False,
    sparse_indices: Array | None = None,
    sparse_values: Array | Literal[False] | None = None,
    level: Level | None = None,
    implementation: Implementation | None = None,
    threads: int | None = None,
) -> LightningIndexer[Array]:
    """Positions of the keys with the highest index scores, for every query token.

    Source: npu_sparse_attention_pto (document 003), section lightning indexer.

    Parameters
    ----------
    query : array of float16, bfloat16, float32
        BSND [B, S1, N, D]; TND [T1, N, D]: index queries
    key : array, dtype as query
        BSND [Bk, S2, 1, D]; TND [T2, 1, D]; PA_BSND [pages, page_size, 1, D]: index keys, one head
    weights : array of float16, bfloat16, float32
        BSND [B, S1, N]; TND [T1, N]: weight of each head, as query or float32; may be negative
    actual_seq_lengths_query : array or nested sequence of int32, int64, optional
        [*]: BSND: tokens per sequence, or one for all; absent: S1. TND: inclusive prefix sums,
        required; rows past the last are padding
    actual_seq_lengths_key : array or nested sequence of int32, int64, optional
        [*]: keys per sequence, or one for all (BSND, PA_BSND); TND: inclusive prefix sums; absent:
        S2 (BSND only)
    block_table : array or nested sequence of int32, optional
        [*, *]: [B, max_pages], with PA_BSND only; entries past a sequence's keys are not read
    key_shadow : array of uint8, optional
        BSND [Bk, panels, panel_bytes]; TND [panels, panel_bytes]; PA_BSND [pages, panels,
        panel_bytes]: key in 8 bits, of quantize_index_keys or indexer_prolog; saves time, changes
        nothing
    key_starts : array or nested sequence of int32, int64, optional
        [*]: per sequence, or one for all, its first key that counts: those before, as of a sequence
        padded on the left, are seen by no token; absent: 0
    key_limits : array or nested sequence of int32, optional
        BSND [B, S1]; TND [T1]: per query token: of the keys that it would see, only those before
        this position of its sequence; absent: all
    actual_seq_lengths_tokens : array or nested sequence of int32, int64, optional
        [*]: with a compress_ratio above 1: raw tokens per sequence, or one for all, of which the
        query tokens are the last; absent: there are no others
    layout_query : {"BSND", "TND"}, default "BSND"
        of query, weights and the outputs
    layout_key : {"BSND", "TND", "PA_BSND"}, default "BSND"
        as layout_query, or paged
    sparse_count : int, default 2048
        positions to select
    sparse_mode : int, default 3
        3: token i of q sees keys up to n - q + i (causal from the end); 0: all n
    compress_ratio : int, default 1
        raw tokens that a key stands for: with sparse_mode 3 a token at position t sees the first
        floor((t + 1) / compress_ratio) keys
    return_value : bool, default False
        whether sparse_values is wanted
    value_dtype : {"input", "float32"}, default "input"
        dtype of sparse_values
    pruning : {"auto", "off", "on"}, default "auto"
        whether keys that a scan in 8-bit integers rules out get no score: the same result, in less
        time; auto: where that pays
    strict : bool, default False
        no limit of a document applies: changes nothing
    sparse_indices, sparse_values : array, optional
        where to write, never copied; None: allocated; False, for what may be left out: not computed
    level : str, optional
        "scalar", "avx2", "avx2_vnni", "avx512", "avx512_vnni" or "avx512_bf16"; by default, "auto",
        `TAMIS_LEVEL`, else the best of this processor
    implementation : {"auto", "reference", "cpu"}, optional
        "reference" is float64: the specification
    threads : int, optional
        by default what `set_num_threads` says; results do not depend on it

    Returns
    -------
    sparse_indices : array of int32
        BSND [B, S1, 1, sparse_count]; TND [T1, 1, sparse_count]: positions in the sequence, best
        first, then -1; -1 in padding rows
    sparse_values : array, dtype as query, or by value_dtype, None without `return_value`
        BSND [B, S1, 1, sparse_count]; TND [T1, 1, sparse_count]: their scores, then -inf; with
        return_value only

    Raises
    ------
    ValueError
        an argument is absent or wrong; the message says which, what was expected and what came
    NotImplementedError
        the call is well formed, but nothing here can run it
    MemoryError
        an output or scratch cannot be allocated
    """
    results = _LIGHTNING_INDEXER(
        (
            query,
            key,
            weights,
            actual_seq_lengths_query,
            actual_seq_lengths_key,
            block_table,
            key_shadow,
            key_starts,
            key_limits,
            actual_seq_lengths_tokens,
        ),
        (
            layout_query,
            layout_key,
            sparse_count,
            sparse_mode,
            compress_ratio,
            return_value,
            value_dtype,
            pruning,
            strict,
        ),
        (
            sparse_indices,
            sparse_values,
        ),
        level,
        implementation,
        threads,
    )
    return LightningIndexer(*results)


class LightningIndexerGrad(NamedTuple, Generic[Array]):
    """Outputs of `lightning_indexer_grad`; None where one was not asked for."""

    query_grad: Array | Any
    key_grad: Array | Any
    weights_grad: Array | Any


_LIGHTNING_INDEXER_GRAD = Operator(
    "lightning_indexer_grad",
    inputs=(
        "query",
        "key",
        "sparse_values_grad",
        "sparse_indices",
        "weights",
        "actual_seq_lengths_query",
        "actual_seq_lengths_key",
        "key_starts",
        "key_limits",
        "actual_seq_lengths_tokens",
    ),
    updated=(),
    integers={
        "sparse_indices": ("int32",),
        "actual_seq_lengths_query": ("int32", "int64"),
        "actual_seq_lengths_key": ("int32", "int64"),
        "key_starts": ("int32", "int64"),
        "key_limits": ("int32",),
        "actual_seq_lengths_tokens": ("int32", "int64"),
    },
    contiguous=(),
    read_by_plan=(
        "actual_seq_lengths_query",
        "actual_seq_lengths_key",
        "key_starts",
        "actual_seq_lengths_tokens",
    ),
    attributes=(
        ("layout_query", "choice"),
        ("layout_key", "choice"),
        ("sparse_mode", "int"),
        ("compress_ratio", "int"),
        ("return_query_grad", "bool"),
        ("return_key_grad", "bool"),
        ("return_weights_grad", "bool"),
        ("strict", "bool"),
    ),
    outputs=(
        "query_grad",
        "key_grad",
        "weights_grad",
    ),
    results=LightningIndexerGrad,
)


@overload
def lightning_indexer_grad(
    query: NumpyArray,
    key: NumpyArray,
    sparse_values_grad: NumpyArray,
    sparse_indices: Integers | Nested,
    weights: NumpyArray,
    *,
    actual_seq_lengths_query: Integers | Nested | None = None,
    actual_seq_lengths_key: Integers | Nested | None = None,
    key_starts: Integers | Nested | None = None,
    key_limits: Integers | Nested | None = None,
    actual_seq_lengths_tokens: Integers | Nested | None = None,
    layout_query: Literal["BSND", "TND"] = "BSND",
    layout_key: Literal["BSND", "TND"] = "BSND",
    sparse_mode: int = 3,
    compress_ratio: int = 1,
    return_query_grad: bool = True,
    return_key_grad: bool = True,
    return_weights_grad: bool = True,
    strict: bool = False,
    query_grad: NumpyArray | Literal[False] | None = None,
    key_grad: NumpyArray | Literal[False] | None = None,
    weights_grad: NumpyArray | Literal[False] | None = None,
    level: Level | None = None,
    implementation: Implementation | None = None,
    threads: int | None = None,
) -> LightningIndexerGrad[NumpyArray]: ...


@overload
def lightning_indexer_grad(
    query: Array,
    key: Array,
    sparse_values_grad: Array,
    sparse_indices: Integers | Nested,
    weights: Array,
    *,
    actual_seq_lengths_query: Integers | Nested | None = None,
    actual_seq_lengths_key: Integers | Nested | None = None,
    key_starts: Integers | Nested | None = None,
    key_limits: Integers | Nested | None = None,
    actual_seq_lengths_tokens: Integers | Nested | None = None,
    layout_query: Literal["BSND", "TND"] = "BSND",
    layout_key: Literal["BSND", "TND"] = "BSND",
    sparse_mode: int = 3,
    compress_ratio: int = 1,
    return_query_grad: bool = True,
    return_key_grad: bool = True,
    return_weights_grad: bool = True,
    strict: bool = False,
    query_grad: Array | Literal[False] | None = None,
    key_grad: Array | Literal[False] | None = None,
    weights_grad: Array | Literal[False] | None = None,
    level: Level | None = None,
    implementation: Implementation | None = None,
    threads: int | None = None,
) -> LightningIndexerGrad[Array]: ...


def lightning_indexer_grad(
    query: Array,
    key: Array,
    sparse_values_grad: Array,
    sparse_indices: Integers | Nested,
    weights: Array,
    *,
    actual_seq_lengths_query: Integers | Nested | None = None,
    actual_seq_lengths_key: Integers | Nested | None = None,
    key_starts: Integers | Nested | None = None,
    key_limits: Integers | Nested | None = None,
    actual_seq_lengths_tokens: Integers | Nested | None = None,
    layout_query: Literal["BSND", "TND"] = "BSND",
    layout_key: Literal["BSND", "TND"] = "BSND",
    sparse_mode: int = 3,
    compress_ratio: int = 1,
    return_query_grad: bool = True,
    return_key_grad: bool = True,
    return_weights_grad: bool = True,
    strict: bool = False,
    query_grad: Array | Literal[False] | None = None,
    key_grad: Array | Literal[False] | None = None,
    weights_grad: Array | Literal[False] | None = None,
    level: Level | None = None,
    implementation: Implementation | None = None,
    threads: int | None = None,
) -> LightningIndexerGrad[Array]:
    """Gradients of queries, keys and weights of lightning_indexer's sparse_values.

    Source: aclnnLightningIndexerGrad; no document of its own.

    Parameters
    ----------
    query : array of float16, bfloat16, float32
        BSND [B, S1, N, D]; TND [T1, N, D]: index queries of the forward
    key : array, dtype as query
        BSND [Bk, S2, 1, D]; TND [T2, 1, D]: its index keys
    sparse_values_grad : array of float16, bfloat16, float32
        BSND [B, S1, 1, K]; TND [T1, 1, K]: gradient of the scores it selects, by slot; not read in
        slots that count nothing
    sparse_indices : array or nested sequence of int32
        BSND [B, S1, 1, K]; TND [T1, 1, K]: positions of each token's sequence, in any order; a
        negative one ends a list
    weights : array of float16, bfloat16, float32
        BSND [B, S1, N]; TND [T1, N]: its weights, as query or float32
    actual_seq_lengths_query : array or nested sequence of int32, int64, optional
        [*]: BSND: tokens per sequence, or one for all; absent: S1. TND: inclusive prefix sums,
        required; rows past the last are padding
    actual_seq_lengths_key : array or nested sequence of int32, int64, optional
        [*]: keys per sequence, or one for all (BSND, PA_BSND); TND: inclusive prefix sums; absent:
        S2 (BSND only)
    key_starts : array or nested sequence of int32, int64, optional
        [*]: per sequence, or one for all, its first key that counts: those before, as of a sequence
        padded on the left, are seen by no token; absent: 0
    key_limits : array or nested sequence of int32, optional
        BSND [B, S1]; TND [T1]: per query token: of the keys that it would see, only those before
        this position of its sequence; absent: all
    actual_seq_lengths_tokens : array or nested sequence of int32, int64, optional
        [*]: with a compress_ratio above 1: raw tokens per sequence, or one for all, of which the
        query tokens are the last; absent: there are no others
    layout_query : {"BSND", "TND"}, default "BSND"
        of query, what belongs to it, and its gradients
    layout_key : {"BSND", "TND"}, default "BSND"
        of key and its gradient: as layout_query
    sparse_mode : int, default 3
        3: token i of q sees keys up to n - q + i (causal from the end); 0: all n
    compress_ratio : int, default 1
        raw tokens that a key stands for: with sparse_mode 3 a token at position t sees the first
        floor((t + 1) / compress_ratio) keys
    return_query_grad : bool, default True
        compute query_grad
    return_key_grad : bool, default True
        compute key_grad
    return_weights_grad : bool, default True
        compute weights_grad
    strict : bool, default False
        no limit of a document applies: changes nothing
    query_grad, key_grad, weights_grad : array, optional
        where to write, never copied; None: allocated; False, for what may be left out: not computed
    level : str, optional
        "scalar", "avx2", "avx2_vnni", "avx512", "avx512_vnni" or "avx512_bf16"; by default, "auto",
        `TAMIS_LEVEL`, else the best of this processor
    implementation : {"auto", "reference", "cpu"}, optional
        "reference" is float64: the specification
    threads : int, optional
        by default what `set_num_threads` says; results do not depend on it

    Returns
    -------
    query_grad : array, dtype as query, None without `return_query_grad`
        BSND [B, S1, N, D]; TND [T1, N, D]: gradient of query
    key_grad : array, dtype as key, None without `return_key_grad`
        BSND [Bk, S2, 1, D]; TND [T2, 1, D]: gradient of key
    weights_grad : array, dtype as weights, None without `return_weights_grad`
        BSND [B, S1, N]; TND [T1, N]: gradient of weights

    Raises
    ------
    ValueError
        an argument is absent or wrong; the message says which, what was expected and what came
    NotImplementedError
        the call is well formed, but nothing here can run it
    MemoryError
        an output or scratch cannot be allocated
    """
    results = _LIGHTNING_INDEXER_GRAD(
        (
            query,
            key,
            sparse_values_grad,
            sparse_indices,
            weights,
            actual_seq_lengths_query,
            actual_seq_lengths_key,
            key_starts,
            key_limits,
            actual_seq_lengths_tokens,
        ),
        (
            layout_query,
            layout_key,
            sparse_mode,
            compress_ratio,
            return_query_grad,
            return_key_grad,
            return_weights_grad,
            strict,
        ),
        (
            query_grad,
            key_grad,
            weights_grad,
        ),
        level,
        implementation,
        threads,
    )
    return LightningIndexerGrad(*results)


class DenseLightningIndexerSoftmaxLse(NamedTuple, Generic[Array]):
    """Outputs of `dense_lightning_indexer_softmax_lse`; None where one was not asked for."""

    softmax_max_index: Array
    softmax_sum_index: Array


_DENSE_LIGHTNING_INDEXER_SOFTMAX_LSE = Operator(
    "dense_lightning_indexer_softmax_lse",
    inputs=(
        "query_index",
        "key_index",
        "weights",
        "actual_seq_lengths_query",
        "actual_seq_lengths_key",
    ),
    updated=(),
    integers={
        "actual_seq_lengths_query": ("int32", "int64"),
        "actual_seq_lengths_key": ("int32", "int64"),
    },
    contiguous=(),
    read_by_plan=(
        "actual_seq_lengths_query",
        "actual_seq_lengths_key",
    ),
    attributes=(
        ("layout", "choice"),
        ("sparse_mode", "int"),
        ("strict", "bool"),
    ),
    outputs=(
        "softmax_max_index",
        "softmax_sum_index",
    ),
    results=DenseLightningIndexerSoftmaxLse,
)


@overload
def dense_lightning_indexer_softmax_lse(
    query_index: NumpyArray,
    key_index: NumpyArray,
    weights: NumpyArray,
    *,
    actual_seq_lengths_query: Integers | Nested | None = None,
    actual_seq_lengths_key: Integers | Nested | None = None,
    layout: Literal["BSND", "TND"] = "BSND",
    sparse_mode: int = 3,
    strict: bool = False,
    softmax_max_index: NumpyArray | None = None,
    softmax_sum_index: NumpyArray | None = None,
    level: Level | None = None,
    implementation: Implementation | None = None,
    threads: int | None = None,
) -> DenseLightningIndexerSoftmaxLse[NumpyArray]: ...


@overload
def dense_lightning_indexer_softmax_lse(
    query_index: Array,
    key_index: Array,
    weights: Array,
    *,
    actual_seq_lengths_query: Integers | Nested | None = None,
    actual_seq_lengths_key: Integers | Nested | None = None,
    layout: Literal["BSND", "TND"] = "BSND",
    sparse_mode: int = 3,
    strict: bool = False,
    softmax_max_index: Array | None = None,
    softmax_sum_index: Array | None = None,
    level: Level | None = None,
    implementation: Implementation | None = None,
    threads: int | None = None,
) -> DenseLightningIndexerSoftmaxLse[Array]: ...


def dense_lightning_indexer_softmax_lse(
    query_index: Array,
    key_index: Array,
    weights: Array,
    *,
    actual_seq_lengths_query: Integers | Nested | None = None,
    actual_seq_lengths_key: Integers | Nested | None = None,
    layout: Literal["BSND", "TND"] = "BSND",
    sparse_mode: int = 3,
    strict: bool = False,
    softmax_max_index: Array | None = None,
    softmax_sum_index: Array | None = None,
    level: Level | None = None,
    implementation: Implementation | None = None,
    threads: int | None = None,
) -> DenseLightningIndexerSoftmaxLse[Array]:
    """Softmax statistics of every query token's index scores over all keys.

    Source: npu_dense_lightning_indexer_softmax_lse.

    Parameters
    ----------
    query_index : array of float16, bfloat16, float32
        BSND [B, S1, Ni, Di]; TND [T1, Ni, Di]: index queries
    key_index : array, dtype as query_index
        BSND [Bk, S2, 1, Di]; TND [T2, 1, Di]: index keys, one head
    weights : array of float16, bfloat16, float32
        BSND [B, S1, Ni]; TND [T1, Ni]: weight of each index head, as query_index or float32; may be
        negative
    actual_seq_lengths_query : array or nested sequence of int32, int64, optional
        [*]: BSND: tokens per sequence, or one for all; absent: S1. TND: inclusive prefix sums,
        required; rows past the last are padding
    actual_seq_lengths_key : array or nested sequence of int32, int64, optional
        [*]: BSND: keys per sequence, or one for all; absent: S2. TND: inclusive prefix sums,
        required
    layout : {"BSND", "TND"}, default "BSND"
        of all tensors
    sparse_mode : int, default 3
        3: token i of q sees keys up to n - q + i (causal from the end); 0: all n
    strict : bool, default False
        also enforce the document's limits
    softmax_max_index, softmax_sum_index : array, optional
        where to write, never copied; None: allocated
    level : str, optional
        "scalar", "avx2", "avx2_vnni", "avx512", "avx512_vnni" or "avx512_bf16"; by default, "auto",
        `TAMIS_LEVEL`, else the best of this processor
    implementation : {"auto", "reference", "cpu"}, optional
        "reference" is float64: the specification
    threads : int, optional
        by default what `set_num_threads` says; results do not depend on it

    Returns
    -------
    softmax_max_index : array of float32
        BSND [B, S1]; TND [T1]: largest index score; -inf where a token sees no key
    softmax_sum_index : array of float32
        BSND [B, S1]; TND [T1]: sum of exp(score - max); 0 there

    Raises
    ------
    ValueError
        an argument is absent or wrong; the message says which, what was expected and what came
    NotImplementedError
        the call is well formed, but nothing here can run it
    MemoryError
        an output or scratch cannot be allocated
    """
    results = _DENSE_LIGHTNING_INDEXER_SOFTMAX_LSE(
        (
            query_index,
            key_index,
            weights,
            actual_seq_lengths_query,
            actual_seq_lengths_key,
        ),
        (
            layout,
            sparse_mode,
            strict,
        ),
        (
            softmax_max_index,
            softmax_sum_index,
        ),
        level,
        implementation,
        threads,
    )
    return DenseLightningIndexerSoftmaxLse(*results)


class DenseLightningIndexerGradKlLoss(NamedTuple, Generic[Array]):
    """Outputs of `dense_lightning_indexer_grad_kl_loss`; None where one was not asked for."""

    loss: Array
    query_index_grad: Array | Any
    key_index_grad: Array | Any
    weights_grad: Array | Any
    row_loss: Array | Any


_DENSE_LIGHTNING_INDEXER_GRAD_KL_LOSS = Operator(
    "dense_lightning_indexer_grad_kl_loss",
    inputs=(
        "query",
        "key",
        "query_index",
        "key_index",
        "weights",
        "softmax_max",
        "softmax_sum",
        "softmax_max_index",
        "softmax_sum_index",
        "query_rope",
        "key_rope",
        "row_scale",
        "actual_seq_lengths_query",
        "actual_seq_lengths_key",
    ),
    updated=(),
    integers={
        "actual_seq_lengths_query": ("int32", "int64"),
        "actual_seq_lengths_key": ("int32", "int64"),
    },
    contiguous=(),
    read_by_plan=(
        "actual_seq_lengths_query",
        "actual_seq_lengths_key",
    ),
    attributes=(
        ("scale_value", "float"),
        ("layout", "choice"),
        ("sparse_mode", "int"),
        ("return_query_index_grad", "bool"),
        ("return_key_index_grad", "bool"),
        ("return_weights_grad", "bool"),
        ("return_row_loss", "bool"),
        ("strict", "bool"),
    ),
    outputs=(
        "loss",
        "query_index_grad",
        "key_index_grad",
        "weights_grad",
        "row_loss",
    ),
    results=DenseLightningIndexerGradKlLoss,
)


@overload
def dense_lightning_indexer_grad_kl_loss(
    query: NumpyArray,
    key: NumpyArray,
    query_index: NumpyArray,
    key_index: NumpyArray,
    weights: NumpyArray,
    softmax_max: NumpyArray,
    softmax_sum: NumpyArray,
    softmax_max_index: NumpyArray,
    softmax_sum_index: NumpyArray,
    *,
    scale_value: float,
    query_rope: NumpyArray | None = None,
    key_rope: NumpyArray | None = None,
    row_scale: NumpyArray | None = None,
    actual_seq_lengths_query: Integers | Nested | None = None,
    actual_seq_lengths_key: Integers | Nested | None = None,
    layout: Literal["BSND", "TND"] = "BSND",
    sparse_mode: int = 3,
    return_query_index_grad: bool = True,
    return_key_index_grad: bool = True,
    return_weights_grad: bool = True,
    return_row_loss: bool = False,
    strict: bool = False,
    loss: NumpyArray | None = None,
    query_index_grad: NumpyArray | Literal[False] | None = None,
    key_index_grad: NumpyArray | Literal[False] | None = None,
    weights_grad: NumpyArray | Literal[False] | None = None,
    row_loss: NumpyArray | Literal[False] | None = None,
    level: Level | None = None,
    implementation: Implementation | None = None,
    threads: int | None = None,
) -> DenseLightningIndexerGradKlLoss[NumpyArray]: ...


@overload
def dense_lightning_indexer_grad_kl_loss(
    query: Array,
    key: Array,
    query_index: Array,
    key_index: Array,
    weights: Array,
    softmax_max: Array,
    softmax_sum: Array,
    softmax_max_index: Array,
    softmax_sum_index: Array,
    *,
    scale_value: float,
    query_rope: Array | None = None,
    key_rope: Array | None = None,
    row_scale: Array | None = None,
    actual_seq_lengths_query: Integers | Nested | None = None,
    actual_seq_lengths_key: Integers | Nested | None = None,
    layout: Literal["BSND", "TND"] = "BSND",
    sparse_mode: int = 3,
    return_query_index_grad: bool = True,
    return_key_index_grad: bool = True,
    return_weights_grad: bool = True,
    return_row_loss: bool = False,
    strict: bool = False,
    loss: Array | None = None,
    query_index_grad: Array | Literal[False] | None = None,
    key_index_grad: Array | Literal[False] | None = None,
    weights_grad: Array | Literal[False] | None = None,
    row_loss: Array | Literal[False] | None = None,
    level: Level | None = None,
    implementation: Implementation | None = None,
    threads: int | None = None,
) -> DenseLightningIndexerGradKlLoss[Array]: ...


def dense_lightning_indexer_grad_kl_loss(
    query: Array,
    key: Array,
    query_index: Array,
    key_index: Array,
    weights: Array,
    softmax_max: Array,
    softmax_sum: Array,
    softmax_max_index: Array,
    softmax_sum_index: Array,
    *,
    scale_value: float,
    query_rope: Array | None = None,
    key_rope: Array | None = None,
    row_scale: Array | None = None,
    actual_seq_lengths_query: Integers | Nested | None = None,
    actual_seq_lengths_key: Integers | Nested | None = None,
    layout: Literal["BSND", "TND"] = "BSND",
    sparse_mode: int = 3,
    return_query_index_grad: bool = True,
    return_key_index_grad: bool = True,
    return_weights_grad: bool = True,
    return_row_loss: bool = False,
    strict: bool = False,
    loss: Array | None = None,
    query_index_grad: Array | Literal[False] | None = None,
    key_index_grad: Array | Literal[False] | None = None,
    weights_grad: Array | Literal[False] | None = None,
    row_loss: Array | Literal[False] | None = None,
    level: Level | None = None,
    implementation: Implementation | None = None,
    threads: int | None = None,
) -> DenseLightningIndexerGradKlLoss[Array]:
    """Divergence of the indexer's softmax from the main attention over all keys, and its gradients.

    Source: npu_dense_lightning_indexer_grad_kl_loss.

    Parameters
    ----------
    query : array of float16, bfloat16, float32
        BSND [B, S1, N, D]; TND [T1, N, D]: queries of the main attention
    key : array, dtype as query
        BSND [Bk, S2, N2, D]; TND [T2, N2, D]: its keys; query head h reads kv head h / (N / N2)
    query_index : array, dtype as query
        BSND [B, S1, Ni, Di]; TND [T1, Ni, Di]: index queries
    key_index : array, dtype as query
        BSND [Bk, S2, 1, Di]; TND [T2, 1, Di]: index keys, one head
    weights : array of float16, bfloat16, float32
        BSND [B, S1, Ni]; TND [T1, Ni]: weight of each index head, as query or float32; may be
        negative
    softmax_max : array of float32
        BSND [B, S1, N]; TND [T1, N]: largest scaled scores of the main attention, taken as they are
    softmax_sum : array of float32
        BSND [B, S1, N]; TND [T1, N]: its sums of exp(score - max), taken as they are
    softmax_max_index : array of float32
        BSND [B, S1]; TND [T1]: largest index scores, taken as they are
    softmax_sum_index : array of float32
        BSND [B, S1]; TND [T1]: their sums of exp(score - max), taken as they are
    scale_value : float
        factor of the main attention's scores
    query_rope : array, dtype as query, optional
        BSND [B, S1, N, Dr]; TND [T1, N, Dr]: second part of the queries
    key_rope : array, dtype as query, optional
        BSND [Bk, S2, N2, Dr]; TND [T2, N2, Dr]: second part of the keys, with query_rope only
    row_scale : array of float32, optional
        BSND [B, S1]; TND [T1]: factor of a token's loss and gradients; 0: as padding; absent: 1
    actual_seq_lengths_query : array or nested sequence of int32, int64, optional
        [*]: BSND: tokens per sequence, or one for all; absent: S1. TND: inclusive prefix sums,
        required; rows past the last are padding
    actual_seq_lengths_key : array or nested sequence of int32, int64, optional
        [*]: BSND: keys per sequence, or one for all; absent: S2. TND: inclusive prefix sums,
        required
    layout : {"BSND", "TND"}, default "BSND"
        of all tensors
    sparse_mode : int, default 3
        3: token i of q sees keys up to n - q + i (causal from the end); 0: all n
    return_query_index_grad : bool, default True
        compute query_index_grad
    return_key_index_grad : bool, default True
        compute key_index_grad
    return_weights_grad : bool, default True
        compute weights_grad
    return_row_loss : bool, default False
        whether row_loss is wanted
    strict : bool, default False
        also enforce the document's limits
    loss, query_index_grad, key_index_grad, weights_grad, row_loss : array, optional
        where to write, never copied; None: allocated; False, for what may be left out: not computed
    level : str, optional
        "scalar", "avx2", "avx2_vnni", "avx512", "avx512_vnni" or "avx512_bf16"; by default, "auto",
        `TAMIS_LEVEL`, else the best of this processor
    implementation : {"auto", "reference", "cpu"}, optional
        "reference" is float64: the specification
    threads : int, optional
        by default what `set_num_threads` says; results do not depend on it

    Returns
    -------
    loss : array of float32
        [1]: sum of the losses of all tokens
    query_index_grad : array, dtype as query_index, None without `return_query_index_grad`
        BSND [B, S1, Ni, Di]; TND [T1, Ni, Di]: gradient of query_index
    key_index_grad : array, dtype as key_index, None without `return_key_index_grad`
        BSND [Bk, S2, 1, Di]; TND [T2, 1, Di]: gradient of key_index
    weights_grad : array, dtype as weights, None without `return_weights_grad`
        BSND [B, S1, Ni]; TND [T1, Ni]: gradient of weights
    row_loss : array of float32, None without `return_row_loss`
        BSND [B, S1]; TND [T1]: row_scale times the divergence of each token

    Raises
    ------
    ValueError
        an argument is absent or wrong; the message says which, what was expected and what came
    NotImplementedError
        the call is well formed, but nothing here can run it
    MemoryError
        an output or scratch cannot be allocated
    """
    results = _DENSE_LIGHTNING_INDEXER_GRAD_KL_LOSS(
        (
            query,
            key,
            query_index,
            key_index,
            weights,
            softmax_max,
            softmax_sum,
            softmax_max_index,
            softmax_sum_index,
            query_rope,
            key_rope,
            row_scale,
            actual_seq_lengths_query,
            actual_seq_lengths_key,
        ),
        (
            scale_value,
            layout,
            sparse_mode,
            return_query_index_grad,
            return_key_index_grad,
            return_weights_grad,
            return_row_loss,
            strict,
        ),
        (
            loss,
            query_index_grad,
            key_index_grad,
            weights_grad,
            row_loss,
        ),
        level,
        implementation,
        threads,
    )
    return DenseLightningIndexerGradKlLoss(*results)


class SparseLightningIndexerGradKlLoss(NamedTuple, Generic[Array]):
    """Outputs of `sparse_lightning_indexer_grad_kl_loss`; None where one was not asked for."""

    loss: Array
    query_index_grad: Array | Any
    key_index_grad: Array | Any
    weights_grad: Array | Any
    row_loss: Array | Any


_SPARSE_LIGHTNING_INDEXER_GRAD_KL_LOSS = Operator(
    "sparse_lightning_indexer_grad_kl_loss",
    inputs=(
        "query",
        "key",
        "query_index",
        "key_index",
        "weights",
        "sparse_indices",
        "softmax_max",
        "softmax_sum",
        "query_rope",
        "key_rope",
        "sinks",
        "row_scale",
        "actual_seq_lengths_query",
        "actual_seq_lengths_key",
    ),
    updated=(),
    integers={
        "sparse_indices": ("int32",),
        "actual_seq_lengths_query": ("int32", "int64"),
        "actual_seq_lengths_key": ("int32", "int64"),
    },
    contiguous=(),
    read_by_plan=(
        "actual_seq_lengths_query",
        "actual_seq_lengths_key",
    ),
    attributes=(
        ("scale_value", "float"),
        ("layout", "choice"),
        ("sparse_mode", "int"),
        ("return_query_index_grad", "bool"),
        ("return_key_index_grad", "bool"),
        ("return_weights_grad", "bool"),
        ("return_row_loss", "bool"),
        ("strict", "bool"),
    ),
    outputs=(
        "loss",
        "query_index_grad",
        "key_index_grad",
        "weights_grad",
        "row_loss",
    ),
    results=SparseLightningIndexerGradKlLoss,
)


@overload
def sparse_lightning_indexer_grad_kl_loss(
    query: NumpyArray,
    key: NumpyArray,
    query_index: NumpyArray,
    key_index: NumpyArray,
    weights: NumpyArray,
    sparse_indices: Integers | Nested,
    softmax_max: NumpyArray,
    softmax_sum: NumpyArray,
    *,
    scale_value: float,
    query_rope: NumpyArray | None = None,
    key_rope: NumpyArray | None = None,
    sinks: NumpyArray | None = None,
    row_scale: NumpyArray | None = None,
    actual_seq_lengths_query: Integers | Nested | None = None,
    actual_seq_lengths_key: Integers | Nested | None = None,
    layout: Literal["BSND", "TND"] = "BSND",
    sparse_mode: int = 3,
    return_query_index_grad: bool = True,
    return_key_index_grad: bool = True,
    return_weights_grad: bool = True,
    return_row_loss: bool = False,
    strict: bool = False,
    loss: NumpyArray | None = None,
    query_index_grad: NumpyArray | Literal[False] | None = None,
    key_index_grad: NumpyArray | Literal[False] | None = None,
    weights_grad: NumpyArray | Literal[False] | None = None,
    row_loss: NumpyArray | Literal[False] | None = None,
    level: Level | None = None,
    implementation: Implementation | None = None,
    threads: int | None = None,
) -> SparseLightningIndexerGradKlLoss[NumpyArray]: ...


@overload
def sparse_lightning_indexer_grad_kl_loss(
    query: Array,
    key: Array,
    query_index: Array,
    key_index: Array,
    weights: Array,
    sparse_indices: Integers | Nested,
    softmax_max: Array,
    softmax_sum: Array,
    *,
    scale_value: float,
    query_rope: Array | None = None,
    key_rope: Array | None = None,
    sinks: Array | None = None,
    row_scale: Array | None = None,
    actual_seq_lengths_query: Integers | Nested | None = None,
    actual_seq_lengths_key: Integers | Nested | None = None,
    layout: Literal["BSND", "TND"] = "BSND",
    sparse_mode: int = 3,
    return_query_index_grad: bool = True,
    return_key_index_grad: bool = True,
    return_weights_grad: bool = True,
    return_row_loss: bool = False,
    strict: bool = False,
    loss: Array | None = None,
    query_index_grad: Array | Literal[False] | None = None,
    key_index_grad: Array | Literal[False] | None = None,
    weights_grad: Array | Literal[False] | None = None,
    row_loss: Array | Literal[False] | None = None,
    level: Level | None = None,
    implementation: Implementation | None = None,
    threads: int | None = None,
) -> SparseLightningIndexerGradKlLoss[Array]: ...


def sparse_lightning_indexer_grad_kl_loss(
    query: Array,
    key: Array,
    query_index: Array,
    key_index: Array,
    weights: Array,
    sparse_indices: Integers | Nested,
    softmax_max: Array,
    softmax_sum: Array,
    *,
    scale_value: float,
    query_rope: Array | None = None,
    key_rope: Array | None = None,
    sinks: Array | None = None,
    row_scale: Array | None = None,
    actual_seq_lengths_query: Integers | Nested | None = None,
    actual_seq_lengths_key: Integers | Nested | None = None,
    layout: Literal["BSND", "TND"] = "BSND",
    sparse_mode: int = 3,
    return_query_index_grad: bool = True,
    return_key_index_grad: bool = True,
    return_weights_grad: bool = True,
    return_row_loss: bool = False,
    strict: bool = False,
    loss: Array | None = None,
    query_index_grad: Array | Literal[False] | None = None,
    key_index_grad: Array | Literal[False] | None = None,
    weights_grad: Array | Literal[False] | None = None,
    row_loss: Array | Literal[False] | None = None,
    level: Level | None = None,
    implementation: Implementation | None = None,
    threads: int | None = None,
) -> SparseLightningIndexerGradKlLoss[Array]:
    """Divergence of the indexer's softmax from the main attention over lists of keys, and its
    gradients.

    Source: npu_sparse_lightning_indexer_grad_kl_loss.

    Parameters
    ----------
    query : array of float16, bfloat16, float32
        BSND [B, S1, N, D]; TND [T1, N, D]: queries of the main attention
    key : array, dtype as query
        BSND [Bk, S2, 1, D]; TND [T2, 1, D]: its keys, one head
    query_index : array, dtype as query
        BSND [B, S1, Ni, Di]; TND [T1, Ni, Di]: index queries
    key_index : array, dtype as query
        BSND [Bk, S2, 1, Di]; TND [T2, 1, Di]: index keys, one head
    weights : array of float16, bfloat16, float32
        BSND [B, S1, Ni]; TND [T1, Ni]: weight of each index head, as query or float32; may be
        negative
    sparse_indices : array or nested sequence of int32
        BSND [B, S1, 1, K]; TND [T1, 1, K]: positions of each token's sequence, in any order; a
        negative one ends a list
    softmax_max : array of float32
        BSND [B, S1, N]; TND [T1, N]: largest scaled scores of the main attention, taken as they are
    softmax_sum : array of float32
        BSND [B, S1, N]; TND [T1, N]: its sums of exp(score - max), taken as they are
    scale_value : float
        factor of the main attention's scores
    query_rope : array, dtype as query, optional
        BSND [B, S1, N, Dr]; TND [T1, N, Dr]: second part of the queries
    key_rope : array, dtype as query, optional
        BSND [Bk, S2, 1, Dr]; TND [T2, 1, Dr]: second part of the keys, with query_rope only
    sinks : array of float32, optional
        [N]: where the main attention has sinks: what is left to keys is normalised over the list;
        not read
    row_scale : array of float32, optional
        BSND [B, S1]; TND [T1]: factor of a token's loss and gradients; 0: as padding; absent: 1
    actual_seq_lengths_query : array or nested sequence of int32, int64, optional
        [*]: BSND: tokens per sequence, or one for all; absent: S1. TND: inclusive prefix sums,
        required; rows past the last are padding
    actual_seq_lengths_key : array or nested sequence of int32, int64, optional
        [*]: BSND: keys per sequence, or one for all; absent: S2. TND: inclusive prefix sums,
        required
    layout : {"BSND", "TND"}, default "BSND"
        of all tensors
    sparse_mode : int, default 3
        3: token i of q sees keys up to n - q + i (causal from the end); 0: all n
    return_query_index_grad : bool, default True
        compute query_index_grad
    return_key_index_grad : bool, default True
        compute key_index_grad
    return_weights_grad : bool, default True
        compute weights_grad
    return_row_loss : bool, default False
        whether row_loss is wanted
    strict : bool, default False
        also enforce the document's limits
    loss, query_index_grad, key_index_grad, weights_grad, row_loss : array, optional
        where to write, never copied; None: allocated; False, for what may be left out: not computed
    level : str, optional
        "scalar", "avx2", "avx2_vnni", "avx512", "avx512_vnni" or "avx512_bf16"; by default, "auto",
        `TAMIS_LEVEL`, else the best of this processor
    implementation : {"auto", "reference", "cpu"}, optional
        "reference" is float64: the specification
    threads : int, optional
        by default what `set_num_threads` says; results do not depend on it

    Returns
    -------
    loss : array of float32
        [1]: sum of the losses of all tokens
    query_index_grad : array, dtype as query_index, None without `return_query_index_grad`
        BSND [B, S1, Ni, Di]; TND [T1, Ni, Di]: gradient of query_index
    key_index_grad : array, dtype as key_index, None without `return_key_index_grad`
        BSND [Bk, S2, 1, Di]; TND [T2, 1, Di]: gradient of key_index
    weights_grad : array, dtype as weights, None without `return_weights_grad`
        BSND [B, S1, Ni]; TND [T1, Ni]: gradient of weights
    row_loss : array of float32, None without `return_row_loss`
        BSND [B, S1]; TND [T1]: row_scale times the divergence of each token

    Raises
    ------
    ValueError
        an argument is absent or wrong; the message says which, what was expected and what came
    NotImplementedError
        the call is well formed, but nothing here can run it
    MemoryError
        an output or scratch cannot be allocated
    """
    results = _SPARSE_LIGHTNING_INDEXER_GRAD_KL_LOSS(
        (
            query,
            key,
            query_index,
            key_index,
            weights,
            sparse_indices,
            softmax_max,
            softmax_sum,
            query_rope,
            key_rope,
            sinks,
            row_scale,
            actual_seq_lengths_query,
            actual_seq_lengths_key,
        ),
        (
            scale_value,
            layout,
            sparse_mode,
            return_query_index_grad,
            return_key_index_grad,
            return_weights_grad,
            return_row_loss,
            strict,
        ),
        (
            loss,
            query_index_grad,
            key_index_grad,
            weights_grad,
            row_loss,
        ),
        level,
        implementation,
        threads,
    )
    return SparseLightningIndexerGradKlLoss(*results)


class SparseFlashAttention(NamedTuple, Generic[Array]):
    """Outputs of `sparse_flash_attention`; None where one was not asked for."""

    out: Array
    softmax_max: Array | Any
    softmax_sum: Array | Any


_SPARSE_FLASH_ATTENTION = Operator(
    "sparse_flash_attention",
    inputs=(
        "query",
        "key",
        "sparse_indices",
        "value",
        "block_table",
        "actual_seq_lengths_query",
        "actual_seq_lengths_kv",
        "query_rope",
        "key_rope",
        "sinks",
        "key_starts",
        "key_limits",
        "actual_seq_lengths_tokens",
        "window_key",
        "window_key_rope",
        "window_value",
        "window_block_table",
        "actual_seq_lengths_window",
        "window_starts",
    ),
    updated=(),
    integers={
        "sparse_indices": ("int32",),
        "block_table": ("int32",),
        "actual_seq_lengths_query": ("int32", "int64"),
        "actual_seq_lengths_kv": ("int32", "int64"),
        "key_starts": ("int32", "int64"),
        "key_limits": ("int32",),
        "actual_seq_lengths_tokens": ("int32", "int64"),
        "window_block_table": ("int32",),
        "actual_seq_lengths_window": ("int32", "int64"),
        "window_starts": ("int32", "int64"),
    },
    contiguous=(
        "query",
        "key",
        "sparse_indices",
        "value",
        "query_rope",
        "key_rope",
    ),
    read_by_plan=(
        "block_table",
        "actual_seq_lengths_query",
        "actual_seq_lengths_kv",
        "key_starts",
        "actual_seq_lengths_tokens",
        "window_block_table",
        "actual_seq_lengths_window",
        "window_starts",
    ),
    attributes=(
        ("scale_value", "float"),
        ("sparse_block_size", "int"),
        ("layout_query", "choice"),
        ("layout_kv", "choice"),
        ("sparse_mode", "int"),
        ("compress_ratio", "int"),
        ("window_size", "int"),
        ("return_softmax_lse", "bool"),
        ("kv_format", "choice"),
        ("accuracy", "choice"),
        ("out_dtype", "choice"),
        ("strict", "bool"),
    ),
    outputs=(
        "out",
        "softmax_max",
        "softmax_sum",
    ),
    results=SparseFlashAttention,
)


@overload
def sparse_flash_attention(
    query: NumpyArray,
    key: NumpyArray,
    sparse_indices: Integers | Nested,
    *,
    scale_value: float,
    value: NumpyArray | None = None,
    block_table: Integers | Nested | None = None,
    actual_seq_lengths_query: Integers | Nested | None = None,
    actual_seq_lengths_kv: Integers | Nested | None = None,
    query_rope: NumpyArray | None = None,
    key_rope: NumpyArray | None = None,
    sinks: NumpyArray | None = None,
    key_starts: Integers | Nested | None = None,
    key_limits: Integers | Nested | None = None,
    actual_seq_lengths_tokens: Integers | Nested | None = None,
    window_key: NumpyArray | None = None,
    window_key_rope: NumpyArray | None = None,
    window_value: NumpyArray | None = None,
    window_block_table: Integers | Nested | None = None,
    actual_seq_lengths_window: Integers | Nested | None = None,
    window_starts: Integers | Nested | None = None,
    sparse_block_size: int = 1,
    layout_query: Literal["BSND", "TND"] = "BSND",
    layout_kv: Literal["BSND", "TND", "PA_BSND"] = "BSND",
    sparse_mode: int = 3,
    compress_ratio: int = 1,
    window_size: int = -1,
    return_softmax_lse: bool = False,
    kv_format: Literal["split", "cann656", "flashmla656", "flashmla584"] = "split",
    accuracy: Literal["storage", "fp32", "fp32_scores"] = "storage",
    out_dtype: Literal["input", "float32"] = "input",
    strict: bool = False,
    out: NumpyArray | None = None,
    softmax_max: NumpyArray | Literal[False] | None = None,
    softmax_sum: NumpyArray | Literal[False] | None = None,
    level: Level | None = None,
    implementation: Implementation | None = None,
    threads: int | None = None,
) -> SparseFlashAttention[NumpyArray]: ...


@overload
def sparse_flash_attention(
    query: Array,
    key: Array,
    sparse_indices: Integers | Nested,
    *,
    scale_value: float,
    value: Array | None = None,
    block_table: Integers | Nested | None = None,
    actual_seq_lengths_query: Integers | Nested | None = None,
    actual_seq_lengths_kv: Integers | Nested | None = None,
    query_rope: Array | None = None,
    key_rope: Array | None = None,
    sinks: Array | None = None,
    key_starts: Integers | Nested | None = None,
    key_limits: Integers | Nested | None = None,
    actual_seq_lengths_tokens: Integers | Nested | None = None,
    window_key: Array | None = None,
    window_key_rope: Array | None = None,
    window_value: Array | None = None,
    window_block_table: Integers | Nested | None = None,
    actual_seq_lengths_window: Integers | Nested | None = None,
    window_starts: Integers | Nested | None = None,
    sparse_block_size: int = 1,
    layout_query: Literal["BSND", "TND"] = "BSND",
    layout_kv: Literal["BSND", "TND", "PA_BSND"] = "BSND",
    sparse_mode: int = 3,
    compress_ratio: int = 1,
    window_size: int = -1,
    return_softmax_lse: bool = False,
    kv_format: Literal["split", "cann656", "flashmla656", "flashmla584"] = "split",
    accuracy: Literal["storage", "fp32", "fp32_scores"] = "storage",
    out_dtype: Literal["input", "float32"] = "input",
    strict: bool = False,
    out: Array | None = None,
    softmax_max: Array | Literal[False] | None = None,
    softmax_sum: Array | Literal[False] | None = None,
    level: Level | None = None,
    implementation: Implementation | None = None,
    threads: int | None = None,
) -> SparseFlashAttention[Array]: ...


def sparse_flash_attention(
    query: Array,
    key: Array,
    sparse_indices: Integers | Nested,
    *,
    scale_value: float,
    value: Array | None = None,
    block_table: Integers | Nested | None = None,
    actual_seq_lengths_query: Integers | Nested | None = None,
    actual_seq_lengths_kv: Integers | Nested | None = None,
    query_rope: Array | None = None,
    key_rope: Array | None = None,
    sinks: Array | None = None,
    key_starts: Integers | Nested | None = None,
    key_limits: Integers | Nested | None = None,
    actual_seq_lengths_tokens: Integers | Nested | None = None,
    window_key: Array | None = None,
    window_key_rope: Array | None = None,
    window_value: Array | None = None,
    window_block_table: Integers | Nested | None = None,
    actual_seq_lengths_window: Integers | Nested | None = None,
    window_starts: Integers | Nested | None = None,
    sparse_block_size: int = 1,
    layout_query: Literal["BSND", "TND"] = "BSND",
    layout_kv: Literal["BSND", "TND", "PA_BSND"] = "BSND",
    sparse_mode: int = 3,
    compress_ratio: int = 1,
    window_size: int = -1,
    return_softmax_lse: bool = False,
    kv_format: Literal["split", "cann656", "flashmla656", "flashmla584"] = "split",
    accuracy: Literal["storage", "fp32", "fp32_scores"] = "storage",
    out_dtype: Literal["input", "float32"] = "input",
    strict: bool = False,
    out: Array | None = None,
    softmax_max: Array | Literal[False] | None = None,
    softmax_sum: Array | Literal[False] | None = None,
    level: Level | None = None,
    implementation: Implementation | None = None,
    threads: int | None = None,
) -> SparseFlashAttention[Array]:
    """Attention of every query token over the keys it has selected, one latent key for all heads.

    Source: npu_sparse_flash_attention (document 004).

    Parameters
    ----------
    query : array of float16, bfloat16, float32
        BSND [B, S1, N, D]; TND [T1, N, D]: latent part of the queries
    key : array of float16, bfloat16, float32, int8, uint8
        BSND [Bk, S2, 1, W]; TND [T2, 1, W]; PA_BSND [pages, page_size, 1, W]: latent keys, W = D,
        as query; or rows of W bytes, see kv_format
    sparse_indices : array or nested sequence of int32
        BSND [B, S1, 1, K]; TND [T1, 1, K]: blocks of each token's sequence, in any order; a
        negative one ends a list
    scale_value : float
        factor of the scores
    value : array, dtype as key, optional
        BSND [Bk, S2, 1, W]; TND [T2, 1, W]; PA_BSND [pages, page_size, 1, W]: values; absent: the
        latent part of key
    block_table : array or nested sequence of int32, optional
        [*, *]: [B, max_pages], with PA_BSND only; entries past a sequence's keys are not read
    actual_seq_lengths_query : array or nested sequence of int32, int64, optional
        [*]: BSND: tokens per sequence, or one for all; absent: S1. TND: inclusive prefix sums,
        required; rows past the last are padding
    actual_seq_lengths_kv : array or nested sequence of int32, int64, optional
        [*]: keys per sequence, or one for all (BSND, PA_BSND); TND: inclusive prefix sums; absent:
        S2 (BSND only)
    query_rope : array, dtype as query, optional
        BSND [B, S1, N, Dr]; TND [T1, N, Dr]: rotary part of the queries; with key_rope or a
        kv_format of bytes
    key_rope : array, dtype as query, optional
        BSND [Bk, S2, 1, Dr]; TND [T2, 1, Dr]; PA_BSND [pages, page_size, 1, Dr]: rotary part of the
        keys, with query_rope
    sinks : array of float32, optional
        [N]: per head a score without a value that joins the softmax
    key_starts : array or nested sequence of int32, int64, optional
        [*]: per sequence, or one for all, its first key that counts: those before, as of a sequence
        padded on the left, are seen by no token; absent: 0
    key_limits : array or nested sequence of int32, optional
        BSND [B, S1]; TND [T1]: per query token: of the keys that it would see, only those before
        this position of its sequence; absent: all
    actual_seq_lengths_tokens : array or nested sequence of int32, int64, optional
        [*]: with a compress_ratio above 1: raw tokens per sequence, or one for all, of which the
        query tokens are the last; absent: there are no others
    window_key : array, dtype as key, optional
        BSND [Bw, S3, 1, W]; TND [T3, 1, W]; PA_BSND [window_pages, window_page_size, 1, W]: keys
        that join the softmax by position: the last ones before each token; as key
    window_key_rope : array, dtype as query, optional
        BSND [Bw, S3, 1, Dr]; TND [T3, 1, Dr]; PA_BSND [window_pages, window_page_size, 1, Dr]:
        rotary part of window_key, with key_rope
    window_value : array, dtype as key, optional
        BSND [Bw, S3, 1, W]; TND [T3, 1, W]; PA_BSND [window_pages, window_page_size, 1, W]: values
        of window_key, with value
    window_block_table : array or nested sequence of int32, optional
        [*, *]: [B, max_pages], with PA_BSND only; entries past a sequence's keys are not read
    actual_seq_lengths_window : array or nested sequence of int32, int64, optional
        [*]: keys per sequence, or one for all (BSND, PA_BSND); TND: inclusive prefix sums; absent:
        S3 (BSND only)
    window_starts : array or nested sequence of int32, int64, optional
        [*]: per sequence, or one for all, its first key that counts: those before, as of a sequence
        padded on the left, are seen by no token; absent: 0
    sparse_block_size : int, default 1
        positions per id: id b names [b c, (b + 1) c) of the sequence
    layout_query : {"BSND", "TND"}, default "BSND"
        of query, query_rope, sparse_indices and the outputs
    layout_kv : {"BSND", "TND", "PA_BSND"}, default "BSND"
        of key, value and key_rope: as layout_query, or paged
    sparse_mode : int, default 3
        3: token i of q sees positions up to n - q + i (causal from the end); 0: all n
    compress_ratio : int, default 1
        raw tokens that a key stands for: with sparse_mode 3 a token at position t sees the first
        floor((t + 1) / compress_ratio) keys
    window_size : int, default -1
        keys of window_key that a token sees, its own position the last; -1: all up to that
    return_softmax_lse : bool, default False
        whether softmax_max and softmax_sum are wanted
    kv_format : {"split", "cann656", "flashmla656", "flashmla584"}, default "split"
        split: key and key_rope as query; else key holds rows of bytes as pack_kv_rows makes them,
        of flashmla584 a page at a time
    accuracy : {"storage", "fp32", "fp32_scores"}, default "storage"
        of the products: storage lets a level use 16-bit integers for values, and for scores where
        no statistics are wanted, with an error below the rounding of a bfloat16 output;
        fp32_scores: for values only, as with statistics
    out_dtype : {"input", "float32"}, default "input"
        dtype of out
    strict : bool, default False
        also enforce the document's limits: those of the table, and lengths one per sequence,
        layout_kv BSND or PA_BSND, a block_table with room for the longest sequence
    out, softmax_max, softmax_sum : array, optional
        where to write, never copied; None: allocated; False, for what may be left out: not computed
    level : str, optional
        "scalar", "avx2", "avx2_vnni", "avx512", "avx512_vnni" or "avx512_bf16"; by default, "auto",
        `TAMIS_LEVEL`, else the best of this processor
    implementation : {"auto", "reference", "cpu"}, optional
        "reference" is float64: the specification
    threads : int, optional
        by default what `set_num_threads` says; results do not depend on it

    Returns
    -------
    out : array, dtype as query, or by out_dtype
        BSND [B, S1, N, D]; TND [T1, N, D]: latent output
    softmax_max : array of float32, None without `return_softmax_lse`
        BSND [B, S1, N]; TND [T1, N]: largest scaled score; with return_softmax_lse only
    softmax_sum : array of float32, None without `return_softmax_lse`
        BSND [B, S1, N]; TND [T1, N]: sum of exp(score - max); with return_softmax_lse only

    Raises
    ------
    ValueError
        an argument is absent or wrong; the message says which, what was expected and what came
    NotImplementedError
        the call is well formed, but nothing here can run it
    MemoryError
        an output or scratch cannot be allocated
    """
    results = _SPARSE_FLASH_ATTENTION(
        (
            query,
            key,
            sparse_indices,
            value,
            block_table,
            actual_seq_lengths_query,
            actual_seq_lengths_kv,
            query_rope,
            key_rope,
            sinks,
            key_starts,
            key_limits,
            actual_seq_lengths_tokens,
            window_key,
            window_key_rope,
            window_value,
            window_block_table,
            actual_seq_lengths_window,
            window_starts,
        ),
        (
            scale_value,
            sparse_block_size,
            layout_query,
            layout_kv,
            sparse_mode,
            compress_ratio,
            window_size,
            return_softmax_lse,
            kv_format,
            accuracy,
            out_dtype,
            strict,
        ),
        (
            out,
            softmax_max,
            softmax_sum,
        ),
        level,
        implementation,
        threads,
    )
    return SparseFlashAttention(*results)


class SparseFlashAttentionGrad(NamedTuple, Generic[Array]):
    """Outputs of `sparse_flash_attention_grad`; None where one was not asked for."""

    query_grad: Array | Any
    key_grad: Array | Any
    value_grad: Array | Any
    query_rope_grad: Array | Any
    key_rope_grad: Array | Any
    sinks_grad: Array | Any


_SPARSE_FLASH_ATTENTION_GRAD = Operator(
    "sparse_flash_attention_grad",
    inputs=(
        "query",
        "key",
        "sparse_indices",
        "out_grad",
        "softmax_max",
        "softmax_sum",
        "value",
        "actual_seq_lengths_query",
        "actual_seq_lengths_kv",
        "query_rope",
        "key_rope",
        "sinks",
        "key_starts",
        "key_limits",
    ),
    updated=(),
    integers={
        "sparse_indices": ("int32",),
        "actual_seq_lengths_query": ("int32", "int64"),
        "actual_seq_lengths_kv": ("int32", "int64"),
        "key_starts": ("int32", "int64"),
        "key_limits": ("int32",),
    },
    contiguous=(),
    read_by_plan=(
        "actual_seq_lengths_query",
        "actual_seq_lengths_kv",
        "key_starts",
    ),
    attributes=(
        ("scale_value", "float"),
        ("sparse_block_size", "int"),
        ("layout_query", "choice"),
        ("layout_kv", "choice"),
        ("sparse_mode", "int"),
        ("return_query_grad", "bool"),
        ("return_key_grad", "bool"),
        ("return_value_grad", "bool"),
        ("return_query_rope_grad", "bool"),
        ("return_key_rope_grad", "bool"),
        ("return_sinks_grad", "bool"),
        ("strict", "bool"),
    ),
    outputs=(
        "query_grad",
        "key_grad",
        "value_grad",
        "query_rope_grad",
        "key_rope_grad",
        "sinks_grad",
    ),
    results=SparseFlashAttentionGrad,
)


@overload
def sparse_flash_attention_grad(
    query: NumpyArray,
    key: NumpyArray,
    sparse_indices: Integers | Nested,
    out_grad: NumpyArray,
    softmax_max: NumpyArray,
    softmax_sum: NumpyArray,
    *,
    scale_value: float,
    value: NumpyArray | None = None,
    actual_seq_lengths_query: Integers | Nested | None = None,
    actual_seq_lengths_kv: Integers | Nested | None = None,
    query_rope: NumpyArray | None = None,
    key_rope: NumpyArray | None = None,
    sinks: NumpyArray | None = None,
    key_starts: Integers | Nested | None = None,
    key_limits: Integers | Nested | None = None,
    sparse_block_size: int = 1,
    layout_query: Literal["BSND", "TND"] = "BSND",
    layout_kv: Literal["BSND", "TND"] = "BSND",
    sparse_mode: int = 3,
    return_query_grad: bool = True,
    return_key_grad: bool = True,
    return_value_grad: bool = True,
    return_query_rope_grad: bool = True,
    return_key_rope_grad: bool = True,
    return_sinks_grad: bool = True,
    strict: bool = False,
    query_grad: NumpyArray | Literal[False] | None = None,
    key_grad: NumpyArray | Literal[False] | None = None,
    value_grad: NumpyArray | Literal[False] | None = None,
    query_rope_grad: NumpyArray | Literal[False] | None = None,
    key_rope_grad: NumpyArray | Literal[False] | None = None,
    sinks_grad: NumpyArray | Literal[False] | None = None,
    level: Level | None = None,
    implementation: Implementation | None = None,
    threads: int | None = None,
) -> SparseFlashAttentionGrad[NumpyArray]: ...


@overload
def sparse_flash_attention_grad(
    query: Array,
    key: Array,
    sparse_indices: Integers | Nested,
    out_grad: Array,
    softmax_max: Array,
    softmax_sum: Array,
    *,
    scale_value: float,
    value: Array | None = None,
    actual_seq_lengths_query: Integers | Nested | None = None,
    actual_seq_lengths_kv: Integers | Nested | None = None,
    query_rope: Array | None = None,
    key_rope: Array | None = None,
    sinks: Array | None = None,
    key_starts: Integers | Nested | None = None,
    key_limits: Integers | Nested | None = None,
    sparse_block_size: int = 1,
    layout_query: Literal["BSND", "TND"] = "BSND",
    layout_kv: Literal["BSND", "TND"] = "BSND",
    sparse_mode: int = 3,
    return_query_grad: bool = True,
    return_key_grad: bool = True,
    return_value_grad: bool = True,
    return_query_rope_grad: bool = True,
    return_key_rope_grad: bool = True,
    return_sinks_grad: bool = True,
    strict: bool = False,
    query_grad: Array | Literal[False] | None = None,
    key_grad: Array | Literal[False] | None = None,
    value_grad: Array | Literal[False] | None = None,
    query_rope_grad: Array | Literal[False] | None = None,
    key_rope_grad: Array | Literal[False] | None = None,
    sinks_grad: Array | Literal[False] | None = None,
    level: Level | None = None,
    implementation: Implementation | None = None,
    threads: int | None = None,
) -> SparseFlashAttentionGrad[Array]: ...


def sparse_flash_attention_grad(
    query: Array,
    key: Array,
    sparse_indices: Integers | Nested,
    out_grad: Array,
    softmax_max: Array,
    softmax_sum: Array,
    *,
    scale_value: float,
    value: Array | None = None,
    actual_seq_lengths_query: Integers | Nested | None = None,
    actual_seq_lengths_kv: Integers | Nested | None = None,
    query_rope: Array | None = None,
    key_rope: Array | None = None,
    sinks: Array | None = None,
    key_starts: Integers | Nested | None = None,
    key_limits: Integers | Nested | None = None,
    sparse_block_size: int = 1,
    layout_query: Literal["BSND", "TND"] = "BSND",
    layout_kv: Literal["BSND", "TND"] = "BSND",
    sparse_mode: int = 3,
    return_query_grad: bool = True,
    return_key_grad: bool = True,
    return_value_grad: bool = True,
    return_query_rope_grad: bool = True,
    return_key_rope_grad: bool = True,
    return_sinks_grad: bool = True,
    strict: bool = False,
    query_grad: Array | Literal[False] | None = None,
    key_grad: Array | Literal[False] | None = None,
    value_grad: Array | Literal[False] | None = None,
    query_rope_grad: Array | Literal[False] | None = None,
    key_rope_grad: Array | Literal[False] | None = None,
    sinks_grad: Array | Literal[False] | None = None,
    level: Level | None = None,
    implementation: Implementation | None = None,
    threads: int | None = None,
) -> SparseFlashAttentionGrad[Array]:
    """Gradients of queries, keys, values, ropes and sinks of sparse_flash_attention.

    Source: aclnnSparseFlashAttentionGrad; no document of its own.

    Parameters
    ----------
    query : array of float16, bfloat16, float32
        BSND [B, S1, N, D]; TND [T1, N, D]: latent part of the queries of the forward
    key : array, dtype as query
        BSND [Bk, S2, 1, D]; TND [T2, 1, D]: its latent keys
    sparse_indices : array or nested sequence of int32
        BSND [B, S1, 1, K]; TND [T1, 1, K]: its blocks of each token's sequence; a negative one ends
        a list
    out_grad : array, dtype as query
        BSND [B, S1, N, D]; TND [T1, N, D]: gradient of its result
    softmax_max : array of float32
        BSND [B, S1, N]; TND [T1, N]: its largest scaled scores, taken as they are
    softmax_sum : array of float32
        BSND [B, S1, N]; TND [T1, N]: its sums of exp(score - max), taken as they are
    scale_value : float
        factor of the scores
    value : array, dtype as query, optional
        BSND [Bk, S2, 1, D]; TND [T2, 1, D]: its values; absent: the latent part of key
    actual_seq_lengths_query : array or nested sequence of int32, int64, optional
        [*]: BSND: tokens per sequence, or one for all; absent: S1. TND: inclusive prefix sums,
        required; rows past the last are padding
    actual_seq_lengths_kv : array or nested sequence of int32, int64, optional
        [*]: keys per sequence, or one for all (BSND, PA_BSND); TND: inclusive prefix sums; absent:
        S2 (BSND only)
    query_rope : array, dtype as query, optional
        BSND [B, S1, N, Dr]; TND [T1, N, Dr]: rotary part of its queries, with key_rope
    key_rope : array, dtype as query, optional
        BSND [Bk, S2, 1, Dr]; TND [T2, 1, Dr]: rotary part of its keys, with query_rope
    sinks : array of float32, optional
        [N]: its scores without a value, by head
    key_starts : array or nested sequence of int32, int64, optional
        [*]: per sequence, or one for all, its first key that counts: those before, as of a sequence
        padded on the left, are seen by no token; absent: 0
    key_limits : array or nested sequence of int32, optional
        BSND [B, S1]; TND [T1]: per query token: of the keys that it would see, only those before
        this position of its sequence; absent: all
    sparse_block_size : int, default 1
        positions per id: id b names [b c, (b + 1) c) of the sequence
    layout_query : {"BSND", "TND"}, default "BSND"
        of query, what belongs to it, and its gradients
    layout_kv : {"BSND", "TND"}, default "BSND"
        of key, value, key_rope and their gradients: as layout_query
    sparse_mode : int, default 3
        3: token i of q sees positions up to n - q + i (causal from the end); 0: all n
    return_query_grad : bool, default True
        compute query_grad
    return_key_grad : bool, default True
        compute key_grad
    return_value_grad : bool, default True
        compute value_grad
    return_query_rope_grad : bool, default True
        compute query_rope_grad
    return_key_rope_grad : bool, default True
        compute key_rope_grad
    return_sinks_grad : bool, default True
        compute sinks_grad
    strict : bool, default False
        no limit of a document applies: changes nothing
    query_grad, key_grad, value_grad, query_rope_grad, key_rope_grad, sinks_grad : array, optional
        where to write, never copied; None: allocated; False, for what may be left out: not computed
    level : str, optional
        "scalar", "avx2", "avx2_vnni", "avx512", "avx512_vnni" or "avx512_bf16"; by default, "auto",
        `TAMIS_LEVEL`, else the best of this processor
    implementation : {"auto", "reference", "cpu"}, optional
        "reference" is float64: the specification
    threads : int, optional
        by default what `set_num_threads` says; results do not depend on it

    Returns
    -------
    query_grad : array, dtype as query, None without `return_query_grad`
        BSND [B, S1, N, D]; TND [T1, N, D]: gradient of query
    key_grad : array, dtype as key, None without `return_key_grad`
        BSND [Bk, S2, 1, D]; TND [T2, 1, D]: gradient of key
    value_grad : array, dtype as value, None without `value`
        BSND [Bk, S2, 1, D]; TND [T2, 1, D]: gradient of value
    query_rope_grad : array, dtype as query_rope, None without `query_rope`
        BSND [B, S1, N, Dr]; TND [T1, N, Dr]: gradient of query_rope
    key_rope_grad : array, dtype as key_rope, None without `key_rope`
        BSND [Bk, S2, 1, Dr]; TND [T2, 1, Dr]: gradient of key_rope
    sinks_grad : array, dtype as sinks, None without `sinks`
        [N]: gradient of sinks

    Raises
    ------
    ValueError
        an argument is absent or wrong; the message says which, what was expected and what came
    NotImplementedError
        the call is well formed, but nothing here can run it
    MemoryError
        an output or scratch cannot be allocated
    """
    results = _SPARSE_FLASH_ATTENTION_GRAD(
        (
            query,
            key,
            sparse_indices,
            out_grad,
            softmax_max,
            softmax_sum,
            value,
            actual_seq_lengths_query,
            actual_seq_lengths_kv,
            query_rope,
            key_rope,
            sinks,
            key_starts,
            key_limits,
        ),
        (
            scale_value,
            sparse_block_size,
            layout_query,
            layout_kv,
            sparse_mode,
            return_query_grad,
            return_key_grad,
            return_value_grad,
            return_query_rope_grad,
            return_key_rope_grad,
            return_sinks_grad,
            strict,
        ),
        (
            query_grad,
            key_grad,
            value_grad,
            query_rope_grad,
            key_rope_grad,
            sinks_grad,
        ),
        level,
        implementation,
        threads,
    )
    return SparseFlashAttentionGrad(*results)


class SparseAttentionPto(NamedTuple, Generic[Array]):
    """Outputs of `sparse_attention_pto`; None where one was not asked for."""

    out: Array
    sparse_indices: Array | Any


_SPARSE_ATTENTION_PTO = Operator(
    "sparse_attention_pto",
    inputs=(
        "x",
        "w_dq",
        "w_uq_qr",
        "w_uk",
        "w_dkv_kr",
        "gamma_cq",
        "gamma_ckv",
        "sin",
        "cos",
        "cache_index",
        "kv_cache",
        "kr_cache",
        "block_table",
        "act_seqs",
        "w_idx_qb",
        "w_idx_k",
        "w_idx_proj",
        "in_gamma_k",
        "in_beta_k",
        "index_k_cache",
    ),
    updated=(
        "kv_cache",
        "kr_cache",
        "index_k_cache",
    ),
    integers={
        "cache_index": ("int32", "int64"),
        "block_table": ("int32",),
        "act_seqs": ("int32", "int64"),
    },
    contiguous=(
        "x",
        "w_dq",
        "w_uq_qr",
        "w_uk",
        "w_dkv_kr",
        "gamma_cq",
        "gamma_ckv",
        "sin",
        "cos",
        "cache_index",
        "kv_cache",
        "kr_cache",
        "block_table",
        "act_seqs",
        "w_idx_qb",
        "w_idx_k",
        "w_idx_proj",
        "in_gamma_k",
        "in_beta_k",
        "index_k_cache",
    ),
    read_by_plan=(
        "cache_index",
        "block_table",
        "act_seqs",
    ),
    attributes=(
        ("scale_value", "float"),
        ("epsilon_cq", "float"),
        ("epsilon_ckv", "float"),
        ("epsilon_k", "float"),
        ("rope_interleaved", "bool"),
        ("sparse_count", "int"),
        ("weight_format", "choice"),
        ("accuracy", "choice"),
        ("strict", "bool"),
    ),
    outputs=(
        "out",
        "sparse_indices",
    ),
    results=SparseAttentionPto,
)


@overload
def sparse_attention_pto(
    x: NumpyArray,
    w_dq: NumpyArray,
    w_uq_qr: NumpyArray,
    w_uk: NumpyArray,
    w_dkv_kr: NumpyArray,
    gamma_cq: NumpyArray,
    gamma_ckv: NumpyArray,
    sin: NumpyArray,
    cos: NumpyArray,
    cache_index: Integers | Nested,
    kv_cache: NumpyArray,
    kr_cache: NumpyArray,
    block_table: Integers | Nested,
    act_seqs: Integers | Nested,
    w_idx_qb: NumpyArray,
    w_idx_k: NumpyArray,
    w_idx_proj: NumpyArray,
    in_gamma_k: NumpyArray,
    in_beta_k: NumpyArray,
    index_k_cache: NumpyArray,
    *,
    scale_value: float = 0.041666666666666664,
    epsilon_cq: float = 1e-05,
    epsilon_ckv: float = 1e-05,
    epsilon_k: float = 1e-06,
    rope_interleaved: bool = True,
    sparse_count: int = 2048,
    weight_format: Literal["ND", "NZ"] = "ND",
    accuracy: Literal["storage", "fp32", "fp32_scores"] = "storage",
    strict: bool = False,
    out: NumpyArray | None = None,
    sparse_indices: NumpyArray | Literal[False] | None = None,
    level: Level | None = None,
    implementation: Implementation | None = None,
    threads: int | None = None,
) -> SparseAttentionPto[NumpyArray]: ...


@overload
def sparse_attention_pto(
    x: Array,
    w_dq: Array,
    w_uq_qr: Array,
    w_uk: Array,
    w_dkv_kr: Array,
    gamma_cq: Array,
    gamma_ckv: Array,
    sin: Array,
    cos: Array,
    cache_index: Integers | Nested,
    kv_cache: Array,
    kr_cache: Array,
    block_table: Integers | Nested,
    act_seqs: Integers | Nested,
    w_idx_qb: Array,
    w_idx_k: Array,
    w_idx_proj: Array,
    in_gamma_k: Array,
    in_beta_k: Array,
    index_k_cache: Array,
    *,
    scale_value: float = 0.041666666666666664,
    epsilon_cq: float = 1e-05,
    epsilon_ckv: float = 1e-05,
    epsilon_k: float = 1e-06,
    rope_interleaved: bool = True,
    sparse_count: int = 2048,
    weight_format: Literal["ND", "NZ"] = "ND",
    accuracy: Literal["storage", "fp32", "fp32_scores"] = "storage",
    strict: bool = False,
    out: Array | None = None,
    sparse_indices: Array | Literal[False] | None = None,
    level: Level | None = None,
    implementation: Implementation | None = None,
    threads: int | None = None,
) -> SparseAttentionPto[Array]: ...


def sparse_attention_pto(
    x: Array,
    w_dq: Array,
    w_uq_qr: Array,
    w_uk: Array,
    w_dkv_kr: Array,
    gamma_cq: Array,
    gamma_ckv: Array,
    sin: Array,
    cos: Array,
    cache_index: Integers | Nested,
    kv_cache: Array,
    kr_cache: Array,
    block_table: Integers | Nested,
    act_seqs: Integers | Nested,
    w_idx_qb: Array,
    w_idx_k: Array,
    w_idx_proj: Array,
    in_gamma_k: Array,
    in_beta_k: Array,
    index_k_cache: Array,
    *,
    scale_value: float = 0.041666666666666664,
    epsilon_cq: float = 1e-05,
    epsilon_ckv: float = 1e-05,
    epsilon_k: float = 1e-06,
    rope_interleaved: bool = True,
    sparse_count: int = 2048,
    weight_format: Literal["ND", "NZ"] = "ND",
    accuracy: Literal["storage", "fp32", "fp32_scores"] = "storage",
    strict: bool = False,
    out: Array | None = None,
    sparse_indices: Array | Literal[False] | None = None,
    level: Level | None = None,
    implementation: Implementation | None = None,
    threads: int | None = None,
) -> SparseAttentionPto[Array]:
    """Hidden states to sparse attention: MLA prolog, indexer prolog, lightning indexer and sparse
    flash attention in one call.

    Source: npu_sparse_attention_pto (document 003).

    Parameters
    ----------
    x : array of bfloat16, float16, float32
        [B, S1, H]: hidden states of the new tokens
    w_dq : array, dtype as x
        [H, Lq]: down projection of queries
    w_uq_qr : array, dtype as x
        [Lq, Q]: up projection: per head Dq columns, then Dr for the rope; Q = N * (Dq + Dr)
    w_uk : array, dtype as x
        [N, Dq, D]: absorbed key up projection, never NZ
    w_dkv_kr : array, dtype as x
        [H, C]: projection to the latent and its rope; C = D + Dr
    gamma_cq : array, dtype as x
        [Lq]: scale of the queries' RMS norm
    gamma_ckv : array, dtype as x
        [D]: scale of the latent's RMS norm
    sin : array, dtype as x
        [B, S1, Dr]: sines of the new tokens, full width
    cos : array, dtype as x
        [B, S1, Dr]: cosines of the new tokens, full width
    cache_index : array or nested sequence of int32, int64
        [B, S1]: row of all three caches that each new token gets: page * page_size + offset;
        negative: none
    kv_cache : array, dtype as x, updated in place
        [pages, page_size, 1, D]: latents
    kr_cache : array, dtype as x, updated in place
        [pages, page_size, 1, Dr]: rope keys
    block_table : array or nested sequence of int32
        [B, max_pages]: pages of each sequence; entries past its positions are not read
    act_seqs : array or nested sequence of int32, int64
        [B]: positions of each sequence, the new tokens included
    w_idx_qb : array, dtype as x
        [Lq, I]: index queries; I = Ni * Di
    w_idx_k : array, dtype as x
        [H, Di]: index keys
    w_idx_proj : array, dtype as x
        [H, Ni]: weights of the index heads
    in_gamma_k : array, dtype as x
        [Di]: scale of the index keys' norm
    in_beta_k : array, dtype as x
        [Di]: shift of the index keys' norm
    index_k_cache : array, dtype as x, updated in place
        [pages, page_size, 1, Di]: index keys
    scale_value : float, default 0.041666666666666664
        factor of the logits; the document's is 576^-0.5 and lacks the model's correction
    epsilon_cq : float, default 1e-05
        of the queries' RMS norm
    epsilon_ckv : float, default 1e-05
        of the latent's RMS norm
    epsilon_k : float, default 1e-06
        of the index keys' norm
    rope_interleaved : bool, default True
        the indexer's rope takes pairs (0, 1), (2, 3), ...; else (0, Dr/2), ...
    sparse_count : int, default 2048
        positions to select
    weight_format : {"ND", "NZ"}, default "ND"
        of w_dq, w_uq_qr, w_dkv_kr, w_idx_qb, w_idx_k and w_idx_proj
    accuracy : {"storage", "fp32", "fp32_scores"}, default "storage"
        of the attention's products: storage lets a level use 16-bit integers, with an error below
        the rounding of a bfloat16 output; fp32_scores: for values only
    strict : bool, default False
        also enforce the document's limits
    out, sparse_indices : array, optional
        where to write, never copied; None: allocated; False, for what may be left out: not computed
    level : str, optional
        "scalar", "avx2", "avx2_vnni", "avx512", "avx512_vnni" or "avx512_bf16"; by default, "auto",
        `TAMIS_LEVEL`, else the best of this processor
    implementation : {"auto", "reference", "cpu"}, optional
        "reference" is float64: the specification
    threads : int, optional
        by default what `set_num_threads` says; results do not depend on it

    Returns
    -------
    out : array, dtype as x
        [B, S1, N, D]: latent output
    sparse_indices : array of int32
        [B, S1, 1, sparse_count]: the positions selected, best first, then -1

    Raises
    ------
    ValueError
        an argument is absent or wrong; the message says which, what was expected and what came
    NotImplementedError
        the call is well formed, but nothing here can run it
    MemoryError
        an output or scratch cannot be allocated
    """
    results = _SPARSE_ATTENTION_PTO(
        (
            x,
            w_dq,
            w_uq_qr,
            w_uk,
            w_dkv_kr,
            gamma_cq,
            gamma_ckv,
            sin,
            cos,
            cache_index,
            kv_cache,
            kr_cache,
            block_table,
            act_seqs,
            w_idx_qb,
            w_idx_k,
            w_idx_proj,
            in_gamma_k,
            in_beta_k,
            index_k_cache,
        ),
        (
            scale_value,
            epsilon_cq,
            epsilon_ckv,
            epsilon_k,
            rope_interleaved,
            sparse_count,
            weight_format,
            accuracy,
            strict,
        ),
        (
            out,
            sparse_indices,
        ),
        level,
        implementation,
        threads,
    )
    return SparseAttentionPto(*results)


_PACK_KV_ROWS = Operator(
    "pack_kv_rows",
    inputs=(
        "latent",
        "rope",
    ),
    updated=(),
    integers={},
    contiguous=(),
    read_by_plan=(),
    attributes=(
        ("kv_format", "choice"),
        ("strict", "bool"),
    ),
    outputs=("rows",),
    results=None,
)


@overload
def pack_kv_rows(
    latent: NumpyArray,
    rope: NumpyArray,
    *,
    kv_format: Literal["cann656", "flashmla656", "flashmla584"] = "cann656",
    strict: bool = False,
    rows: NumpyArray | None = None,
    level: Level | None = None,
    implementation: Implementation | None = None,
    threads: int | None = None,
) -> NumpyArray: ...


@overload
def pack_kv_rows(
    latent: Array,
    rope: Array,
    *,
    kv_format: Literal["cann656", "flashmla656", "flashmla584"] = "cann656",
    strict: bool = False,
    rows: Array | None = None,
    level: Level | None = None,
    implementation: Implementation | None = None,
    threads: int | None = None,
) -> Array: ...


def pack_kv_rows(
    latent: Array,
    rope: Array,
    *,
    kv_format: Literal["cann656", "flashmla656", "flashmla584"] = "cann656",
    strict: bool = False,
    rows: Array | None = None,
    level: Level | None = None,
    implementation: Implementation | None = None,
    threads: int | None = None,
) -> Array:
    """Keys as rows of bytes, 8 bits a channel.

    Source: rows of npu_kv_quant_sparse_flash_attention and of FlashMLA; no document of its own.

    Parameters
    ----------
    latent : array of float16, bfloat16, float32
        [R, D]: latent part of the keys, D a multiple of 128, of 64 with flashmla584
    rope : array, dtype as latent
        [R, Dr]: rotary part, kept as it is; of float32 in bfloat16
    kv_format : {"cann656", "flashmla656", "flashmla584"}, default "cann656"
        int8 | rope | scales; fp8 e4m3fn | scales | rope; or fp8 | rope of all rows, then their
        scales
    strict : bool, default False
        no limit of a document applies: changes nothing
    rows : array, optional
        where to write, never copied; None: allocated
    level : str, optional
        "scalar", "avx2", "avx2_vnni", "avx512", "avx512_vnni" or "avx512_bf16"; by default, "auto",
        `TAMIS_LEVEL`, else the best of this processor
    implementation : {"auto", "reference", "cpu"}, optional
        "reference" is float64: the specification
    threads : int, optional
        by default what `set_num_threads` says; results do not depend on it

    Returns
    -------
    rows : array of uint8
        [R, width]: width = D + 2 Dr + D / 32 bytes a key; flashmla584: D + 2 Dr + D / 64 + 1, dense

    Raises
    ------
    ValueError
        an argument is absent or wrong; the message says which, what was expected and what came
    NotImplementedError
        the call is well formed, but nothing here can run it
    MemoryError
        an output or scratch cannot be allocated
    """
    result: Array = _PACK_KV_ROWS(
        (
            latent,
            rope,
        ),
        (
            kv_format,
            strict,
        ),
        (rows,),
        level,
        implementation,
        threads,
    )[0]
    return result


class UnpackKvRows(NamedTuple, Generic[Array]):
    """Outputs of `unpack_kv_rows`; None where one was not asked for."""

    latent: Array
    rope: Array | Any


_UNPACK_KV_ROWS = Operator(
    "unpack_kv_rows",
    inputs=("rows",),
    updated=(),
    integers={},
    contiguous=(),
    read_by_plan=(),
    attributes=(
        ("rope_dim", "int"),
        ("kv_format", "choice"),
        ("dtype", "choice"),
        ("strict", "bool"),
    ),
    outputs=(
        "latent",
        "rope",
    ),
    results=UnpackKvRows,
)


@overload
def unpack_kv_rows(
    rows: NumpyArray,
    *,
    rope_dim: int = 64,
    kv_format: Literal["cann656", "flashmla656", "flashmla584"] = "cann656",
    dtype: Literal["bfloat16", "float16", "float32"] = "bfloat16",
    strict: bool = False,
    latent: NumpyArray | None = None,
    rope: NumpyArray | Literal[False] | None = None,
    level: Level | None = None,
    implementation: Implementation | None = None,
    threads: int | None = None,
) -> UnpackKvRows[NumpyArray]: ...


@overload
def unpack_kv_rows(
    rows: Array,
    *,
    rope_dim: int = 64,
    kv_format: Literal["cann656", "flashmla656", "flashmla584"] = "cann656",
    dtype: Literal["bfloat16", "float16", "float32"] = "bfloat16",
    strict: bool = False,
    latent: Array | None = None,
    rope: Array | Literal[False] | None = None,
    level: Level | None = None,
    implementation: Implementation | None = None,
    threads: int | None = None,
) -> UnpackKvRows[Array]: ...


def unpack_kv_rows(
    rows: Array,
    *,
    rope_dim: int = 64,
    kv_format: Literal["cann656", "flashmla656", "flashmla584"] = "cann656",
    dtype: Literal["bfloat16", "float16", "float32"] = "bfloat16",
    strict: bool = False,
    latent: Array | None = None,
    rope: Array | Literal[False] | None = None,
    level: Level | None = None,
    implementation: Implementation | None = None,
    threads: int | None = None,
) -> UnpackKvRows[Array]:
    """Keys from rows of bytes.

    Source: rows of npu_kv_quant_sparse_flash_attention and of FlashMLA; no document of its own.

    Parameters
    ----------
    rows : array of uint8, int8
        [R, width]: width = D + 2 rope_dim + D / 32 bytes a key, D a multiple of 128; flashmla584: D
        + 2 rope_dim + D / 64 + 1, D a multiple of 64, dense
    rope_dim : int, default 64
        dims of the rotary part
    kv_format : {"cann656", "flashmla656", "flashmla584"}, default "cann656"
        int8 | rope | scales; fp8 e4m3fn | scales | rope; or fp8 | rope of all rows, then their
        scales
    dtype : {"bfloat16", "float16", "float32"}, default "bfloat16"
        dtype of the outputs; that of the packed rope, float32 beside bfloat16
    strict : bool, default False
        no limit of a document applies: changes nothing
    latent, rope : array, optional
        where to write, never copied; None: allocated; False, for what may be left out: not computed
    level : str, optional
        "scalar", "avx2", "avx2_vnni", "avx512", "avx512_vnni" or "avx512_bf16"; by default, "auto",
        `TAMIS_LEVEL`, else the best of this processor
    implementation : {"auto", "reference", "cpu"}, optional
        "reference" is float64: the specification
    threads : int, optional
        by default what `set_num_threads` says; results do not depend on it

    Returns
    -------
    latent : array of bfloat16
        [R, D]: latent part of the keys
    rope : array of bfloat16
        [R, rope_dim]: rotary part

    Raises
    ------
    ValueError
        an argument is absent or wrong; the message says which, what was expected and what came
    NotImplementedError
        the call is well formed, but nothing here can run it
    MemoryError
        an output or scratch cannot be allocated
    """
    results = _UNPACK_KV_ROWS(
        (rows,),
        (
            rope_dim,
            kv_format,
            dtype,
            strict,
        ),
        (
            latent,
            rope,
        ),
        level,
        implementation,
        threads,
    )
    return UnpackKvRows(*results)


class MergeAttentionStates(NamedTuple, Generic[Array]):
    """Outputs of `merge_attention_states`; None where one was not asked for."""

    out: Array
    softmax_max: Array | Any
    softmax_sum: Array | Any


_MERGE_ATTENTION_STATES = Operator(
    "merge_attention_states",
    inputs=(
        "outs",
        "softmax_maxes",
        "softmax_sums",
    ),
    updated=(),
    integers={},
    contiguous=(),
    read_by_plan=(),
    attributes=(
        ("out_dtype", "choice"),
        ("strict", "bool"),
    ),
    outputs=(
        "out",
        "softmax_max",
        "softmax_sum",
    ),
    results=MergeAttentionStates,
)


@overload
def merge_attention_states(
    outs: NumpyArray,
    softmax_maxes: NumpyArray,
    softmax_sums: NumpyArray,
    *,
    out_dtype: Literal["input", "float32"] = "input",
    strict: bool = False,
    out: NumpyArray | None = None,
    softmax_max: NumpyArray | Literal[False] | None = None,
    softmax_sum: NumpyArray | Literal[False] | None = None,
    level: Level | None = None,
    implementation: Implementation | None = None,
    threads: int | None = None,
) -> MergeAttentionStates[NumpyArray]: ...


@overload
def merge_attention_states(
    outs: Array,
    softmax_maxes: Array,
    softmax_sums: Array,
    *,
    out_dtype: Literal["input", "float32"] = "input",
    strict: bool = False,
    out: Array | None = None,
    softmax_max: Array | Literal[False] | None = None,
    softmax_sum: Array | Literal[False] | None = None,
    level: Level | None = None,
    implementation: Implementation | None = None,
    threads: int | None = None,
) -> MergeAttentionStates[Array]: ...


def merge_attention_states(
    outs: Array,
    softmax_maxes: Array,
    softmax_sums: Array,
    *,
    out_dtype: Literal["input", "float32"] = "input",
    strict: bool = False,
    out: Array | None = None,
    softmax_max: Array | Literal[False] | None = None,
    softmax_sum: Array | Literal[False] | None = None,
    level: Level | None = None,
    implementation: Implementation | None = None,
    threads: int | None = None,
) -> MergeAttentionStates[Array]:
    """Attention over all keys from attention over parts of them.

    Source: decode context parallelism around sparse attention; no document of its own.

    Parameters
    ----------
    outs : array of float16, bfloat16, float32
        [parts, T, N, D]: attention over each part; not read where the part is empty
    softmax_maxes : array of float32
        [parts, T, N]: largest score, natural logarithm; -inf: the part is empty
    softmax_sums : array of float32
        [parts, T, N]: sum of exp(score - max); at most 0: the part is empty
    out_dtype : {"input", "float32"}, default "input"
        dtype of out
    strict : bool, default False
        no limit of a document applies: changes nothing
    out, softmax_max, softmax_sum : array, optional
        where to write, never copied; None: allocated; False, for what may be left out: not computed
    level : str, optional
        "scalar", "avx2", "avx2_vnni", "avx512", "avx512_vnni" or "avx512_bf16"; by default, "auto",
        `TAMIS_LEVEL`, else the best of this processor
    implementation : {"auto", "reference", "cpu"}, optional
        "reference" is float64: the specification
    threads : int, optional
        by default what `set_num_threads` says; results do not depend on it

    Returns
    -------
    out : array, dtype as outs, or by out_dtype
        [T, N, D]: attention over all parts; 0 where all are empty
    softmax_max : array of float32
        [T, N]: -inf where all are empty
    softmax_sum : array of float32
        [T, N]: 0 where all are empty

    Raises
    ------
    ValueError
        an argument is absent or wrong; the message says which, what was expected and what came
    NotImplementedError
        the call is well formed, but nothing here can run it
    MemoryError
        an output or scratch cannot be allocated
    """
    results = _MERGE_ATTENTION_STATES(
        (
            outs,
            softmax_maxes,
            softmax_sums,
        ),
        (
            out_dtype,
            strict,
        ),
        (
            out,
            softmax_max,
            softmax_sum,
        ),
        level,
        implementation,
        threads,
    )
    return MergeAttentionStates(*results)


class MergeTopk(NamedTuple, Generic[Array]):
    """Outputs of `merge_topk`; None where one was not asked for."""

    sparse_indices: Array
    sparse_values: Array | Any


_MERGE_TOPK = Operator(
    "merge_topk",
    inputs=(
        "values",
        "indices",
    ),
    updated=(),
    integers={
        "indices": ("int32",),
    },
    contiguous=(),
    read_by_plan=(),
    attributes=(
        ("sparse_count", "int"),
        ("strict", "bool"),
    ),
    outputs=(
        "sparse_indices",
        "sparse_values",
    ),
    results=MergeTopk,
)


@overload
def merge_topk(
    values: NumpyArray,
    indices: Integers | Nested,
    *,
    sparse_count: int,
    strict: bool = False,
    sparse_indices: NumpyArray | None = None,
    sparse_values: NumpyArray | Literal[False] | None = None,
    level: Level | None = None,
    implementation: Implementation | None = None,
    threads: int | None = None,
) -> MergeTopk[NumpyArray]: ...


@overload
def merge_topk(
    values: Array,
    indices: Integers | Nested,
    *,
    sparse_count: int,
    strict: bool = False,
    sparse_indices: Array | None = None,
    sparse_values: Array | Literal[False] | None = None,
    level: Level | None = None,
    implementation: Implementation | None = None,
    threads: int | None = None,
) -> MergeTopk[Array]: ...


def merge_topk(
    values: Array,
    indices: Integers | Nested,
    *,
    sparse_count: int,
    strict: bool = False,
    sparse_indices: Array | None = None,
    sparse_values: Array | Literal[False] | None = None,
    level: Level | None = None,
    implementation: Implementation | None = None,
    threads: int | None = None,
) -> MergeTopk[Array]:
    """The best of several lists of scored positions.

    Source: decode context parallelism around sparse attention; no document of its own.

    Parameters
    ----------
    values : array of float32
        [parts, T, K]: scores
    indices : array or nested sequence of int32
        [parts, T, K]: their positions; a negative one is no entry
    sparse_count : int
        entries to keep
    strict : bool, default False
        no limit of a document applies: changes nothing
    sparse_indices, sparse_values : array, optional
        where to write, never copied; None: allocated; False, for what may be left out: not computed
    level : str, optional
        "scalar", "avx2", "avx2_vnni", "avx512", "avx512_vnni" or "avx512_bf16"; by default, "auto",
        `TAMIS_LEVEL`, else the best of this processor
    implementation : {"auto", "reference", "cpu"}, optional
        "reference" is float64: the specification
    threads : int, optional
        by default what `set_num_threads` says; results do not depend on it

    Returns
    -------
    sparse_indices : array of int32
        [T, sparse_count]: best first, then -1
    sparse_values : array of float32
        [T, sparse_count]: their scores, then -inf

    Raises
    ------
    ValueError
        an argument is absent or wrong; the message says which, what was expected and what came
    NotImplementedError
        the call is well formed, but nothing here can run it
    MemoryError
        an output or scratch cannot be allocated
    """
    results = _MERGE_TOPK(
        (
            values,
            indices,
        ),
        (
            sparse_count,
            strict,
        ),
        (
            sparse_indices,
            sparse_values,
        ),
        level,
        implementation,
        threads,
    )
    return MergeTopk(*results)


class LocalizeIndices(NamedTuple, Generic[Array]):
    """Outputs of `localize_indices`; None where one was not asked for."""

    sparse_indices: Array
    counts: Array | Any


_LOCALIZE_INDICES = Operator(
    "localize_indices",
    inputs=("indices",),
    updated=(),
    integers={
        "indices": ("int32",),
    },
    contiguous=(),
    read_by_plan=(),
    attributes=(
        ("rank", "int"),
        ("world", "int"),
        ("interleave", "int"),
        ("ranks", "int"),
        ("strict", "bool"),
    ),
    outputs=(
        "sparse_indices",
        "counts",
    ),
    results=LocalizeIndices,
)


@overload
def localize_indices(
    indices: NumpyArray | Nested,
    *,
    rank: int,
    world: int,
    interleave: int = 1,
    ranks: int = 1,
    strict: bool = False,
    sparse_indices: NumpyArray | None = None,
    counts: NumpyArray | Literal[False] | None = None,
    level: Level | None = None,
    implementation: Implementation | None = None,
    threads: int | None = None,
) -> LocalizeIndices[NumpyArray]: ...


@overload
def localize_indices(
    indices: Array | Nested,
    *,
    rank: int,
    world: int,
    interleave: int = 1,
    ranks: int = 1,
    strict: bool = False,
    sparse_indices: Array | None = None,
    counts: Array | Literal[False] | None = None,
    level: Level | None = None,
    implementation: Implementation | None = None,
    threads: int | None = None,
) -> LocalizeIndices[Array]: ...


def localize_indices(
    indices: Array | Nested,
    *,
    rank: int,
    world: int,
    interleave: int = 1,
    ranks: int = 1,
    strict: bool = False,
    sparse_indices: Array | None = None,
    counts: Array | Literal[False] | None = None,
    level: Level | None = None,
    implementation: Implementation | None = None,
    threads: int | None = None,
) -> LocalizeIndices[Array]:
    """Of selected positions, those that one holder has.

    Source: decode context parallelism around sparse attention; no document of its own.

    Parameters
    ----------
    indices : array or nested sequence of int32
        [T, K]: positions; the first negative one ends its row
    rank : int
        whose positions to keep; 0 to world - 1
    world : int
        ranks that the keys are dealt to
    interleave : int, default 1
        neighbouring keys dealt to a rank at once
    ranks : int, default 1
        how many ranks, from rank on, are one holder's
    strict : bool, default False
        no limit of a document applies: changes nothing
    sparse_indices, counts : array, optional
        where to write, never copied; None: allocated; False, for what may be left out: not computed
    level : str, optional
        "scalar", "avx2", "avx2_vnni", "avx512", "avx512_vnni" or "avx512_bf16"; by default, "auto",
        `TAMIS_LEVEL`, else the best of this processor
    implementation : {"auto", "reference", "cpu"}, optional
        "reference" is float64: the specification
    threads : int, optional
        by default what `set_num_threads` says; results do not depend on it

    Returns
    -------
    sparse_indices : array of int32
        [T, K]: places among the holder's keys, in the given order, then -1
    counts : array of int32
        [T]: how many there are

    Raises
    ------
    ValueError
        an argument is absent or wrong; the message says which, what was expected and what came
    NotImplementedError
        the call is well formed, but nothing here can run it
    MemoryError
        an output or scratch cannot be allocated
    """
    results = _LOCALIZE_INDICES(
        (indices,),
        (
            rank,
            world,
            interleave,
            ranks,
            strict,
        ),
        (
            sparse_indices,
            counts,
        ),
        level,
        implementation,
        threads,
    )
    return LocalizeIndices(*results)


_GLOBALIZE_INDICES = Operator(
    "globalize_indices",
    inputs=("indices",),
    updated=(),
    integers={
        "indices": ("int32",),
    },
    contiguous=(),
    read_by_plan=(),
    attributes=(
        ("rank", "int"),
        ("world", "int"),
        ("interleave", "int"),
        ("ranks", "int"),
        ("strict", "bool"),
    ),
    outputs=("sparse_indices",),
    results=None,
)


@overload
def globalize_indices(
    indices: NumpyArray | Nested,
    *,
    rank: int,
    world: int,
    interleave: int = 1,
    ranks: int = 1,
    strict: bool = False,
    sparse_indices: NumpyArray | None = None,
    level: Level | None = None,
    implementation: Implementation | None = None,
    threads: int | None = None,
) -> NumpyArray: ...


@overload
def globalize_indices(
    indices: Array | Nested,
    *,
    rank: int,
    world: int,
    interleave: int = 1,
    ranks: int = 1,
    strict: bool = False,
    sparse_indices: Array | None = None,
    level: Level | None = None,
    implementation: Implementation | None = None,
    threads: int | None = None,
) -> Array: ...


def globalize_indices(
    indices: Array | Nested,
    *,
    rank: int,
    world: int,
    interleave: int = 1,
    ranks: int = 1,
    strict: bool = False,
    sparse_indices: Array | None = None,
    level: Level | None = None,
    implementation: Implementation | None = None,
    threads: int | None = None,
) -> Array:
    """Places among one holder's keys as positions of the sequence.

    Source: decode context parallelism around sparse attention; no document of its own.

    Parameters
    ----------
    indices : array or nested sequence of int32
        [T, K]: places among the holder's keys; a negative one is no entry
    rank : int
        whose places they are; 0 to world - 1
    world : int
        ranks that the keys are dealt to
    interleave : int, default 1
        neighbouring keys dealt to a rank at once
    ranks : int, default 1
        how many ranks, from rank on, are one holder's
    strict : bool, default False
        no limit of a document applies: changes nothing
    sparse_indices : array, optional
        where to write, never copied; None: allocated
    level : str, optional
        "scalar", "avx2", "avx2_vnni", "avx512", "avx512_vnni" or "avx512_bf16"; by default, "auto",
        `TAMIS_LEVEL`, else the best of this processor
    implementation : {"auto", "reference", "cpu"}, optional
        "reference" is float64: the specification
    threads : int, optional
        by default what `set_num_threads` says; results do not depend on it

    Returns
    -------
    sparse_indices : array of int32
        [T, K]: their positions; -1 for no entry, and for a position of 2^31 or more

    Raises
    ------
    ValueError
        an argument is absent or wrong; the message says which, what was expected and what came
    NotImplementedError
        the call is well formed, but nothing here can run it
    MemoryError
        an output or scratch cannot be allocated
    """
    result: Array = _GLOBALIZE_INDICES(
        (indices,),
        (
            rank,
            world,
            interleave,
            ranks,
            strict,
        ),
        (sparse_indices,),
        level,
        implementation,
        threads,
    )[0]
    return result
