"""The attention of DeepSeek-V3.2: latent keys, and an indexer that says which to look at."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import fields
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import layer_norm

import tamis.torch  # noqa: F401  (registers torch.ops.tamis)
from tamis.nn.checkpoint import Checkpoint
from tamis.nn.counts import Counts
from tamis.nn.deepseek_parameters import parameters_of
from tamis.nn.deepseek_sources import (
    IndexQueries,
    MainQueries,
    Places,
    Sources,
    linear,
    scale_of,
)
from tamis.nn.flavour import Flavour
from tamis.nn.from_transformers import read
from tamis.nn.memory import sizes
from tamis.nn.page_table import PageTable, Rows
from tamis.nn.paged_cache import PagedCache
from tamis.nn.rope import NO_ROPE, rope_of
from tamis.nn.step import Step, new_step, run_step, step_of
from tamis.nn.training import Stage, Trained, attend_training, indexer_parameters

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

_OWN = Flavour()


class DeepSeekSparseAttention(torch.nn.Module):
    """Multi-head latent attention over the `topk` keys that the lightning indexer selects.

    The defaults are the 671B model's. Over a cache it infers; `attend_training` trains whole
    sequences. Parameters do not require grad until `requires_grad_()`. Weights are the operators'
    own arguments: `x @ w`, the transpose of `torch.nn.Linear.weight`; random at first.

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
        of weights, activations and caches; or torch.float16, torch.float32
    flavour : Flavour, optional
        what another family's layer does otherwise: `from_transformers` sets it
    """

    w_dq: torch.nn.Parameter | None
    w_idx_proj: torch.nn.Parameter | None

    def __init__(
        self,
        *,
        hidden: int = 7168,
        heads: int = 128,
        q_lora_rank: int | None = 1536,
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
        flavour: Flavour = _OWN,
    ) -> None:
        super().__init__()
        self.flavour = flavour
        self.topk, self.epsilon, self.rope_interleaved = topk, epsilon, rope_interleaved
        self.cache_rows = {"kv": (1, kv_lora_rank), "kr": (1, rope_dim)}
        if flavour.indexer:
            self.cache_rows["index_k"] = (1, index_dim)
        self.rope = rope_of(rope_scaling, rope_theta, rope_dim) if rope_dim else NO_ROPE
        self.scale_value = (nope_dim + rope_dim) ** -0.5 * self.rope.softmax_factor
        parameters = parameters_of(
            hidden=hidden,
            heads=heads,
            q_lora_rank=q_lora_rank,
            kv_lora_rank=kv_lora_rank,
            rope_dim=rope_dim,
            nope_dim=nope_dim,
            v_dim=v_dim,
            index_heads=index_heads,
            index_dim=index_dim,
            dtype=dtype,
            flavour=flavour,
        )
        for name, parameter in parameters.items():
            self.register_parameter(name, parameter)

    @classmethod
    def from_transformers(
        cls, module: torch.nn.Module, rotary: torch.nn.Module | None = None
    ) -> DeepSeekSparseAttention:
        """The attention of one layer of a model of transformers, over a paged cache.

        Families are those that `tamis.transformers.families` lists. Weights are copied; norms of
        the indexer that transformers keeps in fp32 are rounded to the layer's dtype.

        Parameters
        ----------
        module : torch.nn.Module
            such as `model.model.layers[3].self_attn`, on the CPU, in bfloat16, float16 or float32
        rotary : torch.nn.Module, optional
            the model's `rotary_emb`, for types of rope that `rope_scaling` does not know, and for
            mistral_large4, whose frequencies are learnt; by default the module's config tells

        Returns
        -------
        DeepSeekSparseAttention
            with the module's results. A layer that uses another's selection has no indexer: see
            `forward_and_select`

        Raises
        ------
        ValueError
            It is none of these, or does what this layer does not: a window in place of an indexer,
            another layer's keys and values, weights of 8 bits; one line that says what.
        """
        found = read(module, rotary)
        layer = cls(**found.sizes, rope_scaling=None, flavour=found.flavour, dtype=found.dtype)
        layer.rope, layer.scale_value = found.rope, found.scale_value
        with torch.no_grad():
            for name, tensor in found.parameters.items():
                parameter = layer.get_parameter(name)
                if name in found.kept:
                    parameter.data = parameter.to(tensor.dtype)
                parameter.copy_(tensor)
        return layer

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
        if self.flavour != _OWN:
            raise ValueError(f"state: expected a layer of DeepSeek-V3.2's kind, got {self.flavour}")
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
        return PagedCache(self.cache_rows, table, strides=None, dtype=self.w_dkv_kr.dtype, **sizes)

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

    def forward(
        self, x: Tensor, counts: Counts | Step, cache: PagedCache, selected: Tensor | None = None
    ) -> Tensor:
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
        selected : Tensor, optional
            where this layer has no indexer: what `forward_and_select` of another gave

        Returns
        -------
        Tensor [sum(counts), H]
            hidden states
        """
        return self.forward_and_select(x, counts, cache, selected)[0]

    def forward_and_select(
        self, x: Tensor, counts: Counts | Step, cache: PagedCache, selected: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """As `forward`, and what was selected, for layers of the same step without an indexer.

        A layer with an indexer does not look at `selected`, so layers may hand it on in turn.

        Returns
        -------
        hidden : Tensor [sum(counts), H]
            hidden states
        selected : Tensor [sum(counts), 1, topk] of int32
            positions in each token's sequence, best first, then -1
        """
        sources, latent, selected = self._run(x, counts, cache, selected)
        values = torch.einsum("tnl,nlv->tnv", latent, self.w_uv)
        return self.output(self.gated(sources, values)), selected

    def attend(
        self, x: Tensor, counts: Counts | Step, cache: PagedCache, selected: Tensor | None = None
    ) -> Tensor:
        """As `forward`, but in the latent space: [sum(counts), N, kv_lora_rank].

        The bits of a token's row do not depend on how its sequence was cut into calls, but where
        torch makes queries or head weights (A.X-K2; weights of heads that are kept in fp32). A
        call with counts that is refused leaves the cache's lengths as they were.
        """
        return self._run(x, counts, cache, selected)[1]

    def attend_training(self, x: Tensor, counts: Counts, stage: Stage) -> Trained:
        """Attention over whole sequences, with gradients, and the loss that trains the indexer.

        The stages are those in which DeepSeek-V3.2 was trained: attention to all keys, before there
        is an indexer; the same while the indexer learns from it ("warmup", where only
        `indexer_parameters` are to require grad); attention to what the indexer selects, while it
        goes on learning. The indexer sees hidden states detached: the loss of the model never
        reaches it, nor its loss anything else. Projections, norms and rope are torch's, rounded
        where inference rounds; attention, selection and losses are operators of Tamis, whose
        gradients are the same bits on any number of threads.

        Parameters
        ----------
        x : Tensor [sum(counts), H]
            hidden states of all tokens, packed
        counts : sequence or array of int
            tokens of each sequence
        stage : {"dense", "warmup", "sparse"}

        Returns
        -------
        Trained
            hidden states [sum(counts), H], and the indexer's loss per token or None

        Raises
        ------
        ValueError, NotImplementedError
            No such stage; or the layer is of a family that does what has no gradient here.
        """
        return attend_training(self, x, counts, stage)

    def indexer_parameters(self) -> Iterator[tuple[str, torch.nn.Parameter]]:
        """Names and parameters of the indexer: what "warmup" trains."""
        return indexer_parameters(self)

    def _run(
        self, x: Tensor, counts: Counts | Step, cache: PagedCache, selected: Tensor | None
    ) -> tuple[Sources, Tensor, Tensor]:
        if selected is None and not self.flavour.indexer:
            raise ValueError(
                "selected: expected another layer's, as this one has no indexer, got None"
            )
        return run_step(
            counts, cache, self._step, lambda s: self._attend(x, s, cache, selected), x=x
        )

    def _step(self, rows: Rows, table: PageTable) -> Step:
        return step_of(rows, table, self.rope, self.w_dkv_kr.dtype)

    def _attend(
        self, x: Tensor, step: Step, cache: PagedCache, selected: Tensor | None
    ) -> tuple[Sources, Tensor, Tensor]:
        ops, kv, kr = torch.ops.tamis, cache.tensors["kv"], cache.tensors["kr"]
        main = self.main_prolog(x, step, kv, kr)
        if self.flavour.indexer:
            index = self.index_prolog(x, main.normed, step, cache.tensors["index_k"])
            selected = ops.lightning_indexer(
                index.query,
                cache.tensors["index_k"],
                index.weights,
                actual_seq_lengths_query=step.ends,
                actual_seq_lengths_key=step.lengths,
                block_table=step.block_table,
                layout_query="TND",
                layout_key="PA_BSND",
                sparse_count=self.topk,
            )[0]
        rotated = kr.shape[-1] > 0
        out: Tensor = ops.sparse_flash_attention(
            main.query,
            kv,
            selected,
            scale_value=self.scale_value,
            block_table=step.block_table,
            actual_seq_lengths_query=step.ends,
            actual_seq_lengths_kv=step.lengths,
            query_rope=main.query_rope if rotated else None,
            key_rope=kr if rotated else None,
            sinks=self.sinks,
            layout_query="TND",
            layout_kv="PA_BSND",
        )[0]
        assert selected is not None
        return main.sources, out, selected

    def main_prolog(self, x: Tensor, places: Places, kv: Tensor, kr: Tensor) -> MainQueries:
        """Queries of the main attention; rows of new tokens are put into `kv` and `kr`."""
        sources = self._sources(x)
        low_rank = sources.queries is None
        query, query_rope, query_norm = torch.ops.tamis.mla_prolog(
            x,
            self.w_uq_qr,
            self.w_uk,
            self.w_dkv_kr,
            self.gamma_ckv,
            *self._turn(places),
            places.slots,
            kv,
            kr,
            query_source=sources.queries,
            w_dq=self.w_dq if low_rank else None,
            bias_dq=self.bias_dq if low_rank else None,
            bias_dkv_kr=self.bias_dkv_kr,
            gamma_cq=self.gamma_cq if low_rank else None,
            gamma_kr=self.gamma_kr,
            epsilon_cq=self.epsilon,
            epsilon_ckv=self.epsilon,
            epsilon_kr=self.epsilon,
            rope_interleaved=self.flavour.rope_interleaved,
        )
        if self.query_scale is not None:
            scale = scale_of(places, self.query_scale)
            query, query_rope = query.mul_(scale), query_rope.mul_(scale)
        normed = query_norm if sources.normed is None else sources.normed
        return MainQueries(sources, query, query_rope, normed)

    def index_prolog(
        self, x: Tensor, normed: Tensor, places: Places, index_k: Tensor
    ) -> IndexQueries:
        """Queries of the indexer; keys of new tokens are put into `index_k`."""
        assert self.w_idx_proj is not None
        # Weights of heads that a model keeps in fp32 are not rounded.
        wide = self.w_idx_proj.dtype != x.dtype
        query, weights = torch.ops.tamis.indexer_prolog(
            x,
            self.w_idx_k,
            self.in_gamma_k,
            self.in_beta_k,
            *self._turn(places),
            places.slots,
            index_k,
            query_norm=normed,
            w_idx_qb=self.w_idx_qb,
            w_idx_proj=None if wide else self.w_idx_proj,
            epsilon=self._index_epsilon(),
            rope_interleaved=self.rope_interleaved,
            rope_last=self.flavour.index_rope_last,
        )
        if wide:
            weights = x.to(self.w_idx_proj.dtype) @ self.w_idx_proj
        if self.index_query_scale is not None:
            query = query.mul_(scale_of(places, self.index_query_scale))
        return IndexQueries(query, weights)

    def gated(self, sources: Sources, values: Tensor) -> Tensor:
        """What the heads give, [T, N, Dv], weighed where the layer has gates."""
        if self.w_gate is None:
            return values
        gates = sources.gates @ self.w_gate
        weights = gates.view(*values.shape[:2], -1).float().sigmoid()
        return (values * weights).to(values.dtype)

    def output(self, values: Tensor) -> Tensor:
        """Hidden states of what the heads give after gates, [T, N, Dv]."""
        return linear(values.flatten(1), self.w_o, self.bias_o)

    def _turn(self, places: Places) -> tuple[Tensor, Tensor]:
        # A step of layers that turn is one of those, too, that do not.
        if self.cache_rows["kr"][1] > 0:
            return places.sin, places.cos
        return places.sin[:, :0], places.cos[:, :0]

    def _sources(self, x: Tensor) -> Sources:
        if self.flavour.queries == "low_rank":
            return Sources(None, None, x)
        if self.w_dq is None:
            normed = None
            if self.in_gamma_q is not None:
                weights = self.in_gamma_q, self.in_beta_q
                normed = layer_norm(x, x.shape[1:], *weights, self._index_epsilon())
            return Sources(x, normed, x)
        low = linear(x, self.w_dq, self.bias_dq)
        normed = torch.ops.tamis_nn.rms_norm(low, self.gamma_cq, self.epsilon)
        both = torch.cat((normed, low), -1)
        return Sources(both, normed, both)

    def _index_epsilon(self) -> float:
        own = self.flavour.index_epsilon
        return self.epsilon if own is None else own

    def extra_repr(self) -> str:
        """Sizes, as `repr` shows them."""
        heads, nope_dim, latent = self.w_uk.shape
        rope_dim, index_dim = self.cache_rows["kr"][1], self.cache_rows.get("index_k", (1, 0))[1]
        dtype = self.w_dkv_kr.dtype
        others = {
            field.name: getattr(self.flavour, field.name)
            for field in fields(Flavour)
            if getattr(self.flavour, field.name) != field.default
        }
        return sizes(
            hidden=self.w_dkv_kr.shape[0],
            heads=heads,
            q_lora_rank=None if self.w_dq is None else self.w_dq.shape[1],
            kv_lora_rank=latent,
            rope_dim=rope_dim,
            nope_dim=nope_dim,
            v_dim=self.w_uv.shape[-1],
            index_heads=0 if self.w_idx_proj is None else self.w_idx_proj.shape[1],
            index_dim=index_dim,
            topk=self.topk,
            rope=self.rope.kind,
            scale_value=f"{self.scale_value:.6g}",
            dtype=dtype,
            **others,
            bytes=sum(p.nbytes for p in self.parameters()),
            cache_bytes_per_token=(latent + rope_dim + index_dim) * dtype.itemsize,
        )
