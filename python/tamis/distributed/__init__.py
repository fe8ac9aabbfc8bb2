"""Sequences whose keys lie on several machines, over torch.distributed.

A `ContextGroup` is a process group whose ranks hold the keys of each sequence together.
`DealtSparseAttention` and `DealtNativeAttention` are the layers of `tamis.nn` over it, their caches
in the pages of a `DealtTable`; `select` and `attend` are the two halves for layers of your own.
Selection is that of one call over all keys, bit for bit, and no result depends on how many ranks
hold the shards. What fails on one rank is an error on all, and who is lost is named. `cache_state`
and `load_caches` put caches into checkpoints of torch, for any number of ranks; `attend_training`
and `sum_gradients` train.
"""

from tamis.distributed.attention import Latent, attend
from tamis.distributed.cache import DealtCache
from tamis.distributed.checkpoint import cache_state, load_caches
from tamis.distributed.deepseek import DealtSparseAttention
from tamis.distributed.errors import RankLost, RemoteError
from tamis.distributed.gradients import sum_gradients
from tamis.distributed.group import Call, ContextGroup
from tamis.distributed.layout import Layout
from tamis.distributed.memory import MemoryPlan, memory_plan
from tamis.distributed.native import DealtNativeAttention
from tamis.distributed.selection import Selected, Selection, select
from tamis.distributed.step import DealtStep
from tamis.distributed.table import DealtRows, DealtTable
from tamis.distributed.tensor import split_heads
from tamis.distributed.wire import decode_bytes, list_bytes, step_bytes
from tamis.distributed.zigzag import unzigzag, zigzag

__all__ = [
    "Call",
    "ContextGroup",
    "DealtCache",
    "DealtNativeAttention",
    "DealtRows",
    "DealtSparseAttention",
    "DealtStep",
    "DealtTable",
    "Latent",
    "Layout",
    "MemoryPlan",
    "RankLost",
    "RemoteError",
    "Selected",
    "Selection",
    "attend",
    "cache_state",
    "decode_bytes",
    "list_bytes",
    "load_caches",
    "memory_plan",
    "select",
    "split_heads",
    "step_bytes",
    "sum_gradients",
    "unzigzag",
    "zigzag",
]
