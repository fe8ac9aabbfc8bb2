"""The attention of DeepSeek-V3.2 over the ranks of a group."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Literal, TypeAlias, get_args

import torch
from torch import Tensor

from tamis.distributed.attention import (
    Latent,
    Mode,
    attend_by_rows,
    attend_by_states,
    require_rows,
)
from tamis.distributed.cache import DealtCache
from tamis.distributed.group import Call, ContextGroup
from tamis.distributed.selection import Selection, best_of
from tamis.distributed.states import gather_heads, heads_of, states_message
from tamis.distributed.step import DealtStep, commit_step, pick, rank_keys, run_step, whole_keys
from tamis.distributed.table import DealtTable
from tamis.distributed.tensor import tensor_call, tensor_output
from tamis.distributed.training import attend_training
from tamis.distributed.weights import checksum
from tamis.nn.counts import Counts
from tamis.nn.deepseek import DeepSeekSparseAttention
from tamis.nn.deepseek_sources import MainQueries
from tamis.nn.training import Stage, Trained

IndexKeys: TypeAlias = Literal["dealt", "replicated"]
_Work: TypeAlias = Callable[[Call, Tensor, DealtStep, DealtCache], Tensor]


class DealtSparseAttention(torch.nn.Module):
    """A DeepSeek layer whose cache lies on all ranks of a group, each a share of every sequence.

    Two ways in: `forward`, where every rank has the hidden states of all new tokens, as in
    decoding; and `prefill`, where ranks share the tokens of a chunk by `zigzag`. Both append to the
    same cache; `attend_training` has none. Selection is that of one rank, bit for bit. Making one
    is a collective: sizes, dtypes and a checksum of the weights are compared.

    Parameters
    ----------
    layer : DeepSeekSparseAttention
        with an indexer; the same weights on all ranks
    group : ContextGroup
    mode : {"states", "rows"}
        "states": every rank attends to its own keys in fp32, and states are merged: few bytes, an
        error like that of one rank, the same bits on any number of ranks with as many shards.
        "rows": selected rows are fetched: many bytes, the bits of one rank
    index_keys : {"dealt", "replicated"}
        whether index keys lie on all ranks in parts, or each rank has all of them: then nothing is
        sent to select, and every rank looks at all keys
    rounds : {2, 1}
        of messages to select, see `Selection`

    tensor : ContextGroup, optional
        ranks that share the heads: `layer` is what `split_heads` made of the whole one. Each of
        them is in a `group` of its own, and all of those are in the same places of their groups:
        the dimensions "cp" and "tp" of a device mesh. Index queries are made on every rank

    Raises
    ------
    ValueError
        No such option; or ranks differ.
    """

    def __init__(
        self,
        layer: DeepSeekSparseAttention,
        group: ContextGroup,
        tensor: ContextGroup | None = None,
        *,
        mode: Mode = "states",
        index_keys: IndexKeys = "dealt",
        rounds: Literal[2, 1] = 2,
    ) -> None:
        super().__init__()
        with group.alike(0) as call:
            if not layer.flavour.indexer:
                raise ValueError("layer: expected one with an indexer, got one without")
            for name, value, known in (
                ("mode", mode, get_args(Mode)),
                ("index_keys", index_keys, get_args(IndexKeys)),
                ("rounds", rounds, (2, 1)),
            ):
                if value not in known:
                    raise ValueError(f"{name}: expected {', '.join(map(str, known))}, got {value}")
            call.agree()
        self.layer, self.group, self.mode, self.index_keys = layer, group, mode, index_keys
        self.tensor, self.heads = tensor, layer.w_uk.shape[0]
        self._replicated = ("index_k",) if index_keys == "replicated" else ()
        self._selection = Selection(group, layer.topk, rounds)
        self._weights = checksum(layer)
        group.require_equal(
            dtype=str(layer.w_dkv_kr.dtype),
            layer=repr(layer),
            mode=mode,
            index_keys=index_keys,
            rounds=rounds,
            weights=self._weights,
        )
        if tensor is not None:
            tensor.require_equal(layer=repr(layer), context_rank=group.rank)

    def make_table(self, *, sequences: int, tokens: int) -> DealtTable:
        """Lengths and pages for this layer's cache, and those of all others of a model."""
        replicated = bool(self._replicated)
        return DealtTable(self.group, sequences=sequences, tokens=tokens, replicated=replicated)

    def make_cache(self, table: DealtTable) -> DealtCache:
        """An empty cache of this rank."""
        rows, dtype = self.layer.cache_rows, self.layer.w_dkv_kr.dtype
        return DealtCache(rows, table, dtype=dtype, replicated=self._replicated)

    def step(self, counts: Counts, table: DealtTable) -> DealtStep:
        """Makes room for new tokens in the caches of all layers that share a table: a collective.

        Raises
        ------
        RemoteError
            A rank has other counts or lengths, or no room; nothing has changed anywhere.
        """
        return commit_step(counts, table, self.layer.rope, self.layer.w_dkv_kr.dtype)

    def forward(self, x: Tensor, counts: Counts | DealtStep, cache: DealtCache) -> Tensor:
        """Attention of new tokens, whose hidden states every rank has.

        Parameters
        ----------
        x : Tensor [sum(counts), H]
            the same on all ranks
        counts : sequence or array of int, or DealtStep
            new tokens of each sequence, which are appended; or what `step` made of them
        cache : DealtCache

        Returns
        -------
        Tensor [sum(counts), H]
            the same on all ranks

        Raises
        ------
        ValueError
            On all ranks: with mode "rows" and 16 bits a rank has too few heads for the bits of one.
        RemoteError
            A rank was given something wrong, or had other counts or lengths. Lengths are as before,
            and the next call is right.
        RankLost
            A rank does not answer; the group is dead.
        """
        return self._run(x, counts, cache, self._call, self._values)

    def attend(self, x: Tensor, counts: Counts | DealtStep, cache: DealtCache) -> Tensor:
        """As `forward`, but in the latent space, of this rank's heads: [T, own heads, latent]."""
        return self._run(
            x, counts, cache, self._call, lambda *given: self._attend(*given)[0], output=False
        )

    def prefill(self, x: Tensor, counts: Counts | DealtStep, cache: DealtCache) -> Tensor:
        """Attention of new tokens that ranks share by `zigzag`: long chunks.

        Parameters
        ----------
        x : Tensor [own tokens, H]
            hidden states of `zigzag(counts, rank, world)`
        counts, cache
            as `forward`: those of all tokens

        Returns
        -------
        Tensor [own tokens, H]
            `unzigzag` puts those of all ranks in order
        """
        return self._run(x, counts, cache, self._prefill_call, self._prefill_values, shared=True)

    def _run(
        self,
        x: Tensor,
        counts: Counts | DealtStep,
        cache: DealtCache,
        open_call: Callable[[DealtStep], Call],
        work: _Work,
        *,
        shared: bool = False,
        output: bool = True,
    ) -> Tensor:
        """What `work` makes in a call of its own, of all tokens or shared; then hidden states."""
        layer = self.layer

        def values_of(call: Call, step: DealtStep) -> Tensor:
            step.require(counts)
            call.compare((work.__name__, self._weights))
            return work(call, x, step, cache)

        def run(step: DealtStep) -> Tensor:
            if not output or self.tensor is None:
                with open_call(step) as call:
                    values = values_of(call, step)
                    return layer.output(values) if output else values
            # What fails on one rank reaches its group, and then whom each of these meets here.
            tokens = len(step.shares.own if shared else step.rows.positions)
            with tensor_call(self.tensor, layer, tokens) as heads_call:
                with open_call(step) as call:
                    values = values_of(call, step)
                return tensor_output(self.tensor, heads_call, layer, values)

        return run_step(counts, cache.table, layer.rope, layer.w_dkv_kr.dtype, run)

    def attend_training(self, x: Tensor, counts: Counts, stage: Stage) -> Trained:
        """Attention of whole sequences that ranks share by `zigzag`, with gradients: a collective.

        As `DeepSeekSparseAttention.attend_training`, without a cache. Each rank has the queries of
        its own tokens, and gets the keys of all: a latent, its rope and an index key per token. In
        `backward`, a collective, too, the gradients of keys go back to the ranks that made them,
        summed in the order of ranks in float32. Every rank calls `backward` of its own part of the
        loss, the same ones in the same order; then `sum_gradients` gives all ranks the gradients of
        the weights. They have the same bits every time, for one number of ranks.

        Parameters
        ----------
        x : Tensor [own tokens, H]
            hidden states of `zigzag(counts, rank, world)`
        counts : sequence or array of int
            tokens of each sequence, of all ranks together
        stage : {"dense", "warmup", "sparse"}

        Returns
        -------
        Trained
            hidden states [own tokens, H], and this rank's part of the indexer's loss or None: over
            all ranks they add up to the mean over all tokens

        Raises
        ------
        ValueError, NotImplementedError
            No such stage, another number of rows; or the layer does what has no gradient here, or
            its heads are split. On all ranks, where all made the mistake.
        RemoteError, RankLost
            As `Call`; or ranks have other counts or another stage.
        """
        if self.tensor is not None:
            raise NotImplementedError(
                "tensor: expected None in training, got ranks that share heads"
            )
        return attend_training(self.layer, self.group, x, counts, stage)

    # --- every rank has all tokens -------------------------------------------------------------

    def _call(self, step: DealtStep) -> Call:
        if self.mode == "rows":
            require_rows(self.layer.w_dkv_kr.dtype, self.heads, self.group.world)
        tokens = len(step.rows.positions)
        if self.index_keys == "dealt":
            return self.group.alike(self._selection.message_bytes(tokens))
        if self.mode == "states":
            dim = self.layer.w_uk.shape[2]
            return self.group.call(*states_message(self.group, tokens, self.heads, dim))
        return self.group.alike(0)

    def _values(self, call: Call, x: Tensor, step: DealtStep, cache: DealtCache) -> Tensor:
        latent, main = self._attend(call, x, step, cache)
        own = heads_of(self.heads, self.group.world)[self.group.rank]
        values = torch.einsum("tnl,nlv->tnv", latent, self.layer.w_uv[own])
        whole = gather_heads(self.group, call, values, self.heads)
        return self.layer.gated(main.sources, whole)

    def _attend(
        self, call: Call, x: Tensor, step: DealtStep, cache: DealtCache
    ) -> tuple[Tensor, MainQueries]:
        rows, pools, layer = step.rows, cache.tensors, self.layer
        main = layer.main_prolog(x, step.part(rows.slots), pools["kv"], pools["kr"])
        index_k = pools["index_k"]
        if self.index_keys == "dealt":
            index = layer.index_prolog(x, main.normed, step.part(rows.slots), index_k)
            keys = rank_keys(self.group.layout, self.group.rank, rows)
            selected = self._selection(call, index.query, index_k, index.weights, keys)
        else:
            assert rows.whole is not None
            index = layer.index_prolog(x, main.normed, step.part(rows.whole.slots), index_k)
            selected = best_of(index.query, index_k, index.weights, whole_keys(rows), layer.topk)
            if self.mode == "rows":
                call.agree()
        latent = self._latent(main, pools)
        if self.mode == "states":
            out = attend_by_states(self.group, call, latent, selected.indices, rows)
        else:
            out = attend_by_rows(self.group, call, latent, selected.indices, rows)
        return out, main

    def _latent(self, main: MainQueries, pools: Mapping[str, Tensor]) -> Latent:
        return Latent(
            main.query,
            main.query_rope,
            pools["kv"],
            pools["kr"],
            self.layer.scale_value,
            self.layer.sinks,
        )

    # --- ranks share the tokens ----------------------------------------------------------------

    def _prefill_call(self, step: DealtStep) -> Call:
        rows = self.layer.cache_rows
        names = [name for name in rows if name not in self._replicated]
        row_bytes = sum(rows[name][1] for name in names) * self.layer.w_dkv_kr.dtype.itemsize
        return self.group.call(*step.shares.row_sizes(row_bytes))

    def _prefill_values(self, call: Call, x: Tensor, step: DealtStep, cache: DealtCache) -> Tensor:
        group, rows, layer, pools = self.group, step.rows, self.layer, cache.tensors
        shares, own = step.shares, step.shares.own
        if len(x) != len(own):
            raise ValueError(f"x: expected {len(own)} rows, this rank's by zigzag, got {len(x)}")
        part = step.part(torch.arange(len(own)), own)
        new = {name: pool.new_empty(len(own), 1, *pool.shape[2:]) for name, pool in pools.items()}
        main = layer.main_prolog(x, part, new["kv"], new["kr"])
        index = layer.index_prolog(x, main.normed, part, new["index_k"])
        dealt = [name for name in pools if name not in self._replicated]
        shares.put(call, rows.slots, [new[name] for name in dealt], [pools[n] for n in dealt])
        index_k = pools["index_k"]
        if self.index_keys == "dealt":
            keys = rank_keys(group.layout, group.rank, rows)
            query, weights = (shares.gather(call, given) for given in index)
            selected = self._selection(call, query, index_k, weights, keys, shares.tokens)
        else:
            assert rows.whole is not None
            index_k.flatten(0, 1)[rows.whole.slots] = shares.gather(call, new["index_k"])[:, 0]
            keys = pick(whole_keys(rows), own)
            selected = best_of(index.query, index_k, index.weights, keys, layer.topk)
        latent, listed = self._latent(main, pools), selected.indices
        if self.mode == "states":
            latent = latent._replace(
                query=shares.gather(call, latent.query),
                query_rope=shares.gather(call, latent.query_rope),
            )
            listed = shares.gather(call, listed)
            out = attend_by_states(group, call, latent, listed, rows, shares.tokens)
        else:
            out = attend_by_rows(group, call, latent, listed, rows, own)
        return layer.gated(main.sources, torch.einsum("tnl,nlv->tnv", out, layer.w_uv))
