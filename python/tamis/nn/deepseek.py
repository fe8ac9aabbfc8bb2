"""The attention of DeepSeek-V3.2: latent keys, and an indexer that says which to look at."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

import tamis.torch  # noqa: F401  (registers torch.ops.tamis)
from tamis.nn.checkpoint import Checkpoint
from tamis.nn.counts import Counts
from tamis.nn.memory import sizes
from tamis.nn.page_table import PageTable, Rows
from tamis.nn.paged_cache import PagedCache
from tamis.nn.rope import rope_of
from tamis.nn.step import Step, new_step, run_step, step_of

# Weights of a linear layer, by their names in the checkpoint, where they are transposed.
_LINEAR = {
    "w_dq": "q_a_proj.weight",
    "w_uq_qr": "q_b_proj.weight",
    "w_dkv_kr": "kv_a_proj_with_mqa.weight",
    "w_o": "o_proj.weight",
    "w_idx_qb": "indexer.wq_b.weight",
    "w_idx_k": "indexer.wk.weight",
    "w_idx_proj": "indexer.weights_proj.weight",
}
_KV = "kv_b_proj.weight"  # what keys are absorbed with, and what values are made of
_NORMS = {
    "gamma_cq": "q_a_layernorm.weight",
    "gamma_ckv": "kv_a_layernorm.weight",
    "in_gamma_k": "indexer.k_norm.weight",
    "in_beta_k": "indexer.k_norm.bias",
}
# `rope_scaling` in the config of DeepSeek-V3.2.
YARN: dict[str, Any] = {
    "type": "yarn",
    "factor": 40,
    "original_max_position_embeddings": 4096,
    "beta_fast": 32,
    "beta_slow": 1,
    "mscale": 1.0,
    "mscale_all_dim": 1.0,
}


class DeepSeekSparseAttention(torch.nn.Module):
    """Multi-head latent attention over the `topk` keys that the lightning indexer selects.

    The defaults are the 671B model's. Inference only: parameters do not require grad, and the
    operators refuse tensors that do. Weights are the operators' own arguments: `x @ w`, the
    transpose of `torch.nn.Linear.weight`; random at first.

    Parameters
    ----------
    hidden, heads, q_lora_rank, kv_lora_rank : int
        H, N, ranks of queries and of cached keys
    rope_dim, nope_dim, v_dim : int
        channels of a head: with positions, without, and of its values
    index_heads, index_dim, topk : int
        the indexer's heads, their channels, keys that it selects
    rope_scaling : mapping, optional
        how positions turn, as the checkpoint's config has it: `rope_scaling` or `rope_parameters`
        of its `config.json` (`rope_type` or `type` "default", "linear" or "yarn", with its keys),
        or the keys of DeepSeek's own inference config; None: default. By default the model's, yarn
    rope_theta : float, optional
        base of the frequencies; 10000 if `rope_scaling` has none
    rope_interleaved : bool, default False
        the indexer's rope takes interleaved pairs, as document 003 has it; the released checkpoint
        takes halves
    epsilon : float, default 1e-6
        of all norms, as in the checkpoint
    dtype : torch.dtype, default torch.bfloat16
        of weights, activations and caches; or torch.float16
    """

    def __init__(
        self,
        *,
        hidden: int = 7168,
        heads: int = 128,
        q_lora_rank: int = 1536,
        kv_lora_rank: int = 512,
        rope_dim: int = 64,
        nope_dim: int = 128,
        v_dim: int = 128,
        index_heads: int = 64,
        index_dim: int = 128,
        topk: int = 2048,
        rope_scaling: Mapping[str, Any] | None = YARN,
        rope_theta: float | None = None,
        rope_interleaved: bool = False,
        epsilon: float = 1e-6,
        dtype: torch.dtype = torch.bfloat16,
    ) -> None:
        super().__init__()
        self.topk, self.epsilon, self.rope_interleaved = topk, epsilon, rope_interleaved
        self.cache_rows = {
            "kv": (1, kv_lora_rank),
            "kr": (1, rope_dim),
            "index_k": (1, index_dim),
        }
        self.rope = rope_of(rope_scaling, rope_theta, rope_dim)
        self.scale_value = (nope_dim + rope_dim) ** -0.5 * self.rope.softmax_factor

        def weight(*shape: int) -> torch.nn.Parameter:
            scaled = torch.randn(shape, dtype=dtype) * shape[-2] ** -0.5
            return torch.nn.Parameter(scaled, requires_grad=False)

        def constant(value: float, size: int) -> torch.nn.Parameter:
            return torch.nn.Parameter(torch.full((size,), value, dtype=dtype), requires_grad=False)

        self.w_dq = weight(hidden, q_lora_rank)
        self.w_uq_qr = weight(q_lora_rank, heads * (nope_dim + rope_dim))
        self.w_uk = weight(heads, nope_dim, kv_lora_rank)
        self.w_dkv_kr = weight(hidden, kv_lora_rank + rope_dim)
        self.gamma_cq = constant(1.0, q_lora_rank)
        self.gamma_ckv = constant(1.0, kv_lora_rank)
        self.w_idx_qb = weight(q_lora_rank, index_heads * index_dim)
        self.w_idx_k = weight(hidden, index_dim)
        self.w_idx_proj = weight(hidden, index_heads)
        self.in_gamma_k = constant(1.0, index_dim)
        self.in_beta_k = constant(0.0, index_dim)
        self.w_uv = weight(heads, kv_lora_rank, v_dim)
        self.w_o = weight(heads * v_dim, hidden)

    def load_checkpoint(self, state: Mapping[str, Tensor], prefix: str = "") -> None:
        """Takes one layer's weights under the names of the released checkpoint.

        Parameters
        ----------
        state : mapping of str to Tensor
            `q_a_proj.weight` and so on: names below `model.layers.<i>.self_attn`, in 16, 32 or 64
            bits, or weights in float8_e4m3fn with their `<name>_scale_inv`, one for every 128 x 128
            elements or one for all. The product of both is rounded to float32, then to the layer's
            dtype, as the release's own conversion does
        prefix : str, default ""
            such as "model.layers.3.self_attn.": names that begin otherwise are left alone

        Raises
        ------
        ValueError
            A tensor is missing, is none of the layer's, or has another shape or dtype; one line
            that names all of them. Nothing has changed.
        """
        heads, nope_dim, latent = self.w_uk.shape
        v_dim = self.w_uv.shape[-1]
        shapes = {source: self.get_parameter(n).shape[::-1] for n, source in _LINEAR.items()}
        shapes |= {source: self.get_parameter(n).shape for n, source in _NORMS.items()}
        shapes[_KV] = torch.Size((heads * (nope_dim + v_dim), latent))
        checkpoint = Checkpoint(state, shapes, prefix)
        with torch.no_grad():
            for name, source in _LINEAR.items():
                self.get_parameter(name).copy_(checkpoint[source].T)
            for name, source in _NORMS.items():
                self.get_parameter(name).copy_(checkpoint[source])
            both = checkpoint[_KV].reshape(heads, -1, latent)  # [N, nope + v, latent]
            self.w_uk.copy_(both[:, :nope_dim])
            self.w_uv.copy_(both[:, nope_dim:].mT)

    def make_cache(self, table: PageTable | None = None, **sizes: int) -> PagedCache:
        """An empty cache for this layer: with a table of its own, or with the model's.

        Parameters
        ----------
        table : PageTable, optional
            one for all layers of a model
        **sizes : int
            without `table`: `sequences`, `pages` and so on of a `PageTable`
        """
        return PagedCache(self.cache_rows, table, strides=None, dtype=self.w_dq.dtype, **sizes)

    def step(self, counts: Counts, table: PageTable) -> Step:
        """Makes room for new tokens in the caches of all layers that share a table.

        Parameters
        ----------
        counts : sequence or array of int
            new tokens of each sequence, 0 for none
        table : PageTable
            the new tokens are appended

        Returns
        -------
        Step
            for this layer, and all others whose positions turn as this one's

        Raises
        ------
        TypeError, ValueError, MemoryError
            As `PageTable.append`.
        """
        return new_step(counts, table, self._step)

    def forward(self, x: Tensor, counts: Counts | Step, cache: PagedCache) -> Tensor:
        """Attention of new tokens to themselves and to all before them.

        Parameters
        ----------
        x : Tensor [sum(counts), H]
            hidden states of the new tokens, packed
        counts : sequence or array of int, or Step
            new tokens of each sequence of the cache, 0 for none, which are appended; or, where
            layers share a table, what `step` made of them
        cache : PagedCache
            of `make_cache`

        Returns
        -------
        Tensor [sum(counts), H]
            hidden states
        """
        values = torch.einsum("tnl,nlv->tnv", self.attend(x, counts, cache), self.w_uv)
        return values.flatten(1) @ self.w_o

    def attend(self, x: Tensor, counts: Counts | Step, cache: PagedCache) -> Tensor:
        """As `forward`, but in the latent space: [sum(counts), N, kv_lora_rank].

        The bits of a token's row do not depend on how its sequence was cut into calls. A call with
        counts that is refused leaves the cache's lengths as they were.
        """
        return run_step(counts, cache, self._step, lambda s: self._attend(x, s, cache), x=x)

    def _step(self, rows: Rows, table: PageTable) -> Step:
        return step_of(rows, table, self.rope, self.w_dq.dtype)

    def _attend(self, x: Tensor, step: Step, cache: PagedCache) -> Tensor:
        ops, kv, kr, index_k = torch.ops.tamis, *cache.tensors.values()
        turn = step.sin, step.cos, step.slots
        query, query_rope, query_norm = ops.mla_prolog(
            x,
            self.w_dq,
            self.w_uq_qr,
            self.w_uk,
            self.w_dkv_kr,
            self.gamma_cq,
            self.gamma_ckv,
            *turn,
            kv,
            kr,
            epsilon_cq=self.epsilon,
            epsilon_ckv=self.epsilon,
        )
        index_query, index_weights = ops.indexer_prolog(
            x,
            self.w_idx_k,
            self.in_gamma_k,
            self.in_beta_k,
            *turn,
            index_k,
            query_norm=query_norm,
            w_idx_qb=self.w_idx_qb,
            w_idx_proj=self.w_idx_proj,
            epsilon=self.epsilon,
            rope_interleaved=self.rope_interleaved,
        )
        selected, _ = ops.lightning_indexer(
            index_query,
            index_k,
            index_weights,
            actual_seq_lengths_query=step.ends,
            actual_seq_lengths_key=step.lengths,
            block_table=step.block_table,
            layout_query="TND",
            layout_key="PA_BSND",
            sparse_count=self.topk,
        )
        out: Tensor = ops.sparse_flash_attention(
            query,
            kv,
            selected,
            scale_value=self.scale_value,
            block_table=step.block_table,
            actual_seq_lengths_query=step.ends,
            actual_seq_lengths_kv=step.lengths,
            query_rope=query_rope,
            key_rope=kr,
            layout_query="TND",
            layout_kv="PA_BSND",
        )[0]
        return out

    def extra_repr(self) -> str:
        """Sizes, as `repr` shows them."""
        heads, nope_dim, latent = self.w_uk.shape
        rope_dim, index_dim = self.cache_rows["kr"][1], self.cache_rows["index_k"][1]
        return sizes(
            hidden=self.w_dq.shape[0],
            heads=heads,
            q_lora_rank=self.w_dq.shape[1],
            kv_lora_rank=latent,
            rope_dim=rope_dim,
            nope_dim=nope_dim,
            v_dim=self.w_uv.shape[-1],
            index_heads=self.w_idx_proj.shape[1],
            index_dim=index_dim,
            topk=self.topk,
            rope=self.rope.kind,
            scale_value=f"{self.scale_value:.6g}",
            dtype=self.w_dq.dtype,
            bytes=sum(p.nbytes for p in self.parameters()),
            cache_bytes_per_token=(latent + rope_dim + index_dim) * self.w_dq.itemsize,
        )
