"""A small language model whose attention is exchanged."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor, nn
from torch.nn import functional

from proof.attention import Attention, linear


class Layer(nn.Module):
    """Attention, then what widens and narrows; each reads a norm and adds to what came."""

    def __init__(self, width: int, attention: Attention) -> None:
        super().__init__()
        self.norm, self.attention = nn.RMSNorm(width), attention
        self.wide_norm = nn.RMSNorm(width)
        self.up, self.down = linear(width, 4 * width), linear(4 * width, width)

    def forward(self, x: Tensor) -> Tensor:
        """Hidden states [B, T, width]."""
        x = x + self.attention(self.norm(x))
        out: Tensor = x + self.down(functional.gelu(self.up(self.wide_norm(x))))
        return out


class Model(nn.Module):
    """From tokens to scores of the next one.

    Parameters
    ----------
    vocabulary, width, layers : int
        sizes
    attention : callable
        makes that of a layer
    """

    def __init__(
        self, vocabulary: int, width: int, layers: int, attention: Callable[[], Attention]
    ) -> None:
        super().__init__()
        self.embedding = nn.Embedding(vocabulary, width)
        nn.init.normal_(self.embedding.weight, std=0.02)
        self.layers = nn.ModuleList(Layer(width, attention()) for _ in range(layers))
        self.norm = nn.RMSNorm(width)

    def attentions(self) -> list[Attention]:
        """Those of the layers."""
        return [layer.attention for layer in self.layers]

    def set_stage(self, stage: str) -> None:
        """Of all attention."""
        for attention in self.attentions():
            assert stage in attention.stages
            attention.stage = stage

    def forward(self, ids: Tensor) -> Tensor:
        """Scores [B, T, vocabulary] of [B, T] tokens."""
        x = self.embedding(ids)
        for layer in self.layers:
            x = layer(x)
        out: Tensor = self.norm(x) @ self.embedding.weight.T
        return out

    def losses(self, ids: Tensor, targets: Tensor) -> Tensor:
        """The loss [B, T] of every token that follows."""
        loss = functional.cross_entropy(
            self(ids).flatten(0, 1), targets.flatten(), reduction="none"
        )
        return loss.view_as(targets)
