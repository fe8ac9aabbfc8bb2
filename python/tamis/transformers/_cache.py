"""A cache whose rows are laid out beforehand, in pages."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, TypeAlias

import torch
import transformers
from torch import Tensor
from transformers.cache_utils import DYNAMIC_LAYER_TYPE_MAPPING, get_layer_types_and_kwargs

from tamis.nn import PageTable
from tamis.nn.memory import sizes
from tamis.nn.page_table import Rows
from tamis.transformers._paged import PANEL, PagedLayer

Tokens: TypeAlias = "Tensor | Sequence[int]"


class Packed(NamedTuple):
    """New tokens of some sequences, one after the other.

    Parameters
    ----------
    inputs : dict
        arguments of the model's call
    last : Tensor of int64
        where the last new token of each of these sequences lies among all
    """

    inputs: dict[str, Any]
    last: Tensor


class Cache(transformers.Cache):
    """Latents, rotated keys and index keys of a model with `attn_implementation="tamis"`.

    A call writes its new rows, whatever the length of the context: nothing is concatenated, copied
    or repeated. Index keys are kept in 8 bits, too, which the indexer scans first; its selection
    stays exact. Rows lie in pages of one pool: beams share what they have in common, and sequences
    come, grow and go one by one (`pack`, `free`). It is for the model's calls and for `generate`,
    as `cache`. Layers with a sliding window, of families that have them, keep transformers' own
    cache. Not for `torch.compile`.

    Parameters
    ----------
    model : PreTrainedModel
        its attention modules say which rows there are
    batch : int
        sequences: rows of a batch, times beams
    tokens : int
        that a sequence may have
    pages : int, optional
        of the pool; by default what all sequences take at their longest. Fewer are enough where
        sequences come and go
    page_size : int, default 64
        tokens in a page, a multiple of 16
    shadow : bool, default True
        whether index keys are kept in 8 bits, too

    Raises
    ------
    ValueError
        The model has no layer with an indexer, or a size is none; in a call: a batch that the cache
        has no sequences for.
    MemoryError
        In a call: there is no room for its tokens; no length has changed.
    RuntimeError
        In a call: the one before failed half way, and neither `crop` nor `truncate` nor `reset` has
        made the layers alike again.
    """

    def __init__(
        self,
        model: Any,
        batch: int,
        tokens: int,
        *,
        pages: int | None = None,
        page_size: int = 64,
        shadow: bool = True,
    ) -> None:
        for name, size in {"batch": batch, "tokens": tokens}.items():
            if size < 1:
                raise ValueError(f"{name}: expected at least 1, got {size}")
        if page_size < PANEL or page_size % PANEL:
            raise ValueError(f"page_size: expected a multiple of {PANEL}, got {page_size}")
        config = model.config.get_text_config(decoder=True)
        kinds, arguments = get_layer_types_and_kwargs(config)
        if "indexed_attention" not in kinds:
            raise ValueError(f"model: expected layers with an indexer, got {config.model_type}")
        most = -(-tokens // page_size)
        self.tokens = tokens
        self.table = PageTable(
            sequences=batch,
            pages=batch * most if pages is None else pages,
            page_size=page_size,
            pages_per_sequence=most,
        )
        self.rows = self.table.reserve([0] * batch)  # of the last call
        self.pages = torch.empty(0, dtype=torch.int64)  # that the last call wrote to
        self._calls, self._calls_of = 0, [0] * len(kinds)
        self._packed: list[int] | None = None  # new tokens of each sequence in the call to come
        decoders = model.get_decoder().layers
        super().__init__(
            layers=[
                PagedLayer(self, decoder.self_attn, model.dtype, shadow)
                if kind == "indexed_attention"
                else DYNAMIC_LAYER_TYPE_MAPPING[kind](**named)
                for kind, named, decoder in zip(kinds, arguments, decoders, strict=False)
            ]
        )

    def __repr__(self) -> str:
        """Sizes, not contents."""
        held = sizes(
            layers=len(self.layers),
            lengths=self.lengths,
            tokens=self.tokens,
            page_size=self.table.page_size,
            pages=self.table.pages,
            unused=self.table.unused,
            bytes=sum(layer.nbytes for layer in self._paged()),
        )
        return f"Cache({held})"

    @property
    def lengths(self) -> list[int]:
        """Tokens of each sequence."""
        return self.table.lengths

    def pack(self, tokens: Mapping[int, Tokens]) -> Packed:
        """Prepares a call with new tokens of some sequences: whole prompts, parts, single tokens.

            inputs, last = cache.pack({0: prompt, 3: [token]})
            logits = model(**inputs).logits[0, last]

        Parameters
        ----------
        tokens : mapping of int to Tensor or sequence of int
            new token ids, at least one, by the number of their sequence

        Returns
        -------
        Packed
            arguments of the model's next call, and where the last token of each sequence lies, in
            the order of their numbers

        Raises
        ------
        ValueError
            A number is no sequence's, a sequence has no new tokens, or the model has layers that
            keep transformers' own cache.
        MemoryError
            There is no room for the tokens.
        """
        stock = self._stock()
        if stock:
            raise ValueError(
                f"cache: expected a model of layers with an indexer, got {type(stock[0]).__name__}"
            )
        new = {b: torch.as_tensor(tokens[b], dtype=torch.int64) for b in sorted(tokens)}
        counts = [0] * len(self.lengths)
        for b, ids in new.items():
            if not 0 <= b < len(counts):
                raise ValueError(f"tokens: expected sequences below {len(counts)}, got {b}")
            if ids.dim() != 1 or len(ids) == 0:
                raise ValueError(
                    f"tokens[{b}]: expected one dimension of at least 1, got {list(ids.shape)}"
                )
            counts[b] = len(ids)
        rows = self._reserve(counts)
        self._packed = counts
        inputs = {
            "input_ids": torch.cat(list(new.values()))[None],
            "position_ids": rows.positions[None],
            "cache": self,
            "use_cache": True,
        }
        return Packed(inputs, rows.ends[list(new)].long() - 1)

    def free(self, sequence: int) -> None:
        """Empties a sequence: its pages are the others' to take."""
        self.truncate([0 if b == sequence else n for b, n in enumerate(self.lengths)])

    def truncate(self, lengths: Sequence[int]) -> None:
        """Forgets the last tokens of sequences.

        Parameters
        ----------
        lengths : sequence of int
            tokens that each keeps

        Raises
        ------
        ValueError
            There is not one number for each, or a sequence has fewer.
        MemoryError
            As `PageTable.truncate`, where beams share pages.
        """
        self.table.truncate(lengths)
        self._align()

    def update(
        self, key_states: Tensor, value_states: Tensor, layer_idx: int, *args: Any, **kwargs: Any
    ) -> Any:
        """Writes the rows of a call for one layer; the first that asks makes room for all."""
        calls = self._calls_of[layer_idx]
        if calls == self._calls:
            batch, tokens = key_states.shape[0], key_states.shape[2]
            self.rows = self._reserve(self._new_tokens(batch, tokens))
            self.table.commit(self.rows)
            self.pages = torch.unique(self.rows.slots // self.table.page_size)
            self._calls += 1
        elif calls != self._calls - 1:
            raise RuntimeError(
                "cache: expected layers that have had the same calls, got one that failed half "
                "way; crop, truncate or reset the cache"
            )
        self._calls_of[layer_idx] = self._calls
        return super().update(key_states, value_states, layer_idx, *args, **kwargs)

    def _reserve(self, counts: list[int]) -> Rows:
        try:
            return self.table.reserve(counts)
        except MemoryError:
            raise MemoryError(
                f"cache: expected at most {self.tokens} tokens a sequence, and in all "
                f"{self.table.unused} more pages of {self.table.page_size}, got {counts} tokens "
                f"for sequences of {self.lengths}"
            ) from None

    def _new_tokens(self, batch: int, tokens: int) -> list[int]:
        """Of each sequence in a call."""
        counts, self._packed = self._packed, None
        lengths = self.lengths
        if counts is None:
            idle = len(lengths) - batch
            if idle < 0 or len(set(lengths[:batch])) > 1 or any(lengths[batch:]):
                raise ValueError(
                    "cache: expected a batch of sequences of one length, or what pack() returned, "
                    f"got {batch} rows for sequences of {lengths} tokens"
                )
            return [tokens] * batch + [0] * idle
        if (batch, tokens) != (1, sum(counts)):
            raise ValueError(
                f"cache: expected the {sum(counts)} tokens of pack() in one row, got "
                f"{tokens} in {batch}"
            )
        return counts

    def crop(self, tokens_to_remove: int) -> None:
        """Forgets the last `-tokens_to_remove` tokens of every sequence."""
        if tokens_to_remove > 0:
            raise ValueError(f"tokens_to_remove: expected at most 0, got {tokens_to_remove}")
        self.truncate([max(0, n + tokens_to_remove) for n in self.lengths])
        for layer in self._stock():
            layer.crop(tokens_to_remove)

    def reset(self) -> None:
        """Empties all sequences."""
        self.truncate([0] * len(self.lengths))
        for layer in self._stock():
            layer.reset()

    def reorder_cache(self, beam_idx: Tensor) -> None:
        """Every row of the batch becomes another one of it: pages are shared, not copied."""
        self._become(beam_idx.tolist())
        for layer in self._stock():
            layer.reorder_cache(beam_idx)

    def batch_select_indices(self, indices: Tensor) -> None:
        """The batch has only these rows."""
        self._become(torch.arange(len(self.lengths))[indices].tolist())
        for layer in self._stock():
            layer.batch_select_indices(indices)

    def batch_repeat_interleave(self, repeats: int) -> None:
        """Every row of the batch is there so many times."""
        self._become([b for b, n in enumerate(self.lengths) if n > 0 for _ in range(repeats)])
        for layer in self._stock():
            layer.batch_repeat_interleave(repeats)

    def _become(self, sources: list[int]) -> None:
        empty = len(self.lengths) - len(sources)
        if empty < 0:
            raise ValueError(
                f"batch: expected at most {len(self.lengths)} rows of the cache, got {len(sources)}"
            )
        self.table.reorder(sources + [-1] * empty)
        self._align()

    def _align(self) -> None:
        """All layers have had the same calls, as far as rows are left."""
        self._packed = None
        self._calls_of = [self._calls] * len(self.layers)

    def _paged(self) -> list[PagedLayer]:
        return [layer for layer in self.layers if isinstance(layer, PagedLayer)]

    def _stock(self) -> list[Any]:
        return [layer for layer in self.layers if not isinstance(layer, PagedLayer)]
