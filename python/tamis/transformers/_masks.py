"""What tokens see: a first key and a position per row, instead of a mask of all pairs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from transformers.masking_utils import causal_mask_function, prepare_padding_mask, sdpa_mask

from tamis.transformers._refuse import refuse


@dataclass(frozen=True)
class Visible:
    """Token `i` of a row sees keys [starts, positions + i].

    Parameters
    ----------
    starts, positions : Tensor
        [B] int64: a row's first key that is no padding, and the place of its first query token.
    ends : Tensor
        [B] int64: where padding on the right begins.
    """

    starts: Tensor
    positions: Tensor
    ends: Tensor

    def lengths(self, tokens: int) -> Tensor:
        """Keys of each row, its `tokens` query tokens included."""
        return self.positions + tokens

    def pack(self) -> Tensor:
        """As a tensor that a model hands on: [B, 1, 1, 3] int64."""
        return torch.stack([self.starts, self.positions, self.ends], dim=-1)[:, None, None]

    @staticmethod
    def is_packed(mask: Tensor | None) -> bool:
        """Whether it is what `pack` made, or its slice [:, 0]."""
        return mask is not None and mask.dtype == torch.int64 and mask.shape[-2:] == (1, 3)

    @classmethod
    def unpack(cls, mask: Tensor) -> Visible:
        """From what `pack` made, or its slice [:, 0]."""
        return cls(*mask.reshape(-1, 3).unbind(dim=-1))


def require_visible(mask: Tensor | None) -> None:
    """Refuse every mask that `visible_mask` did not make."""
    if not Visible.is_packed(mask):
        got = "none" if mask is None else f"shape {list(mask.shape)} and dtype {mask.dtype}"
        refuse("attention_mask", "causal attention, and zeros for padding", got)


def visible_mask(
    batch_size: int,
    q_length: int,
    kv_length: int,
    q_offset: int | Tensor = 0,
    kv_offset: int = 0,
    mask_function: Callable[..., Any] = causal_mask_function,
    attention_mask: Tensor | None = None,
    device: torch.device | str = "cpu",
    **others: Any,
) -> Tensor | None:
    """Transformers' mask function of the implementation "tamis": `Visible.pack`.

    Other patterns than causal (the windows of some layers) are sdpa's, whose layers they are for.
    """
    if mask_function != causal_mask_function:
        mask: Tensor | None = sdpa_mask(
            batch_size,
            q_length,
            kv_length,
            q_offset=q_offset,
            kv_offset=kv_offset,
            mask_function=mask_function,
            attention_mask=attention_mask,
            device=device,
            **others,
        )
        return mask
    padding = prepare_padding_mask(attention_mask, kv_length, kv_offset)
    starts = torch.zeros(batch_size, dtype=torch.int64, device=device)
    ends = starts + q_offset + q_length
    if padding is not None:
        seen = padding[:, : q_offset + q_length].int()
        starts = seen.argmax(dim=-1)
        ends = starts + seen.sum(dim=-1)
        # Padding on the right is in no token's sight but its own, whose outputs nobody wants.
        if bool(((seen.diff(dim=-1) > 0).sum(dim=-1) > (seen[:, 0] == 0)).any()):
            refuse("attention_mask", "ones in one piece, padding around it", "zeros between ones")
    return Visible(starts, torch.zeros_like(starts) + q_offset, ends).pack()
