"""The pictures of docs/concepts/dsa.md."""

from __future__ import annotations

import numpy as np
from canvas import BLUE, GREEN, INK, ORANGE, PALE, SOFT, Canvas
from licence import Array, Floats, Text, heads_of

import tamis

INDEX_HEADS, INDEX_DIM = 8, 64
HEADS, LATENT = 8, 128
SELECTED = 64
QUESTION = "copy of the attribution notices contained within such notice file"


def index() -> tuple[Text, Array, Floats]:
    """Positions of all tokens, best first, and the score of every position."""
    text = Text(INDEX_DIM, seed=1)
    query = heads_of(text.query(QUESTION), INDEX_HEADS)
    result = tamis.lightning_indexer(
        query[None, None].astype(np.float16),
        text.keys(8)[None, :, None].astype(np.float16),
        np.full((1, 1, INDEX_HEADS), 1 / INDEX_HEADS, np.float32),
        sparse_count=len(text),
        return_value=True,
        value_dtype="float32",
        implementation="reference",
    )
    assert result.sparse_values is not None
    order = result.sparse_indices[0, 0, 0]
    scores = np.empty(len(text))
    scores[order] = result.sparse_values[0, 0, 0]
    return text, order, scores


def scores() -> str:
    """A real row: the score of every position, and the best of them."""
    text, order, score = index()
    left, scale, base, height = 60, 820 / len(text), 250, 180
    sheet = Canvas(900, 372, "Index scores of all positions, and the best 64")
    sheet.text(20, 24, f'"{QUESTION}", asked of {len(text)} tokens', bold=True)
    sheet.text(20, 44, f"index score of every position: {INDEX_HEADS} heads, relu, sum", fill=SOFT)
    chosen = set(order[:SELECTED].tolist())
    for picked in (False, True):
        tops = [
            (left + scale * at, base - height * score[at] / score.max())
            for at in range(len(text))
            if (at in chosen) == picked and score[at] > 0
        ]
        sheet.bars(tops, base, GREEN if picked else SOFT, width=0.6)
    sheet.line([(left, base), (left + 820, base)], stroke=INK)
    limit = score[order[SELECTED - 1]]
    y = base - height * limit / score.max()
    sheet.line([(left, y), (left + 820, y)], stroke=ORANGE, dashed=True)
    sheet.text(
        left + scale * 912, y - 8, f"the {SELECTED}th best", fill=ORANGE, anchor="middle", size=11
    )
    zero = int((score == 0).sum())
    for token in range(0, len(text), 250):
        sheet.text(left + scale * token, base + 16, str(token), size=10, fill=SOFT, anchor="middle")
    sheet.rect(left, 282, 12, 12, GREEN)
    sheet.text(left + 18, 292, f"selected: {SELECTED} positions, best first")
    sheet.text(
        left + 18,
        312,
        ", ".join(f'{at} "{text.words[at]}"' for at in order[:8].tolist()) + ", ...",
        size=11,
    )
    sheet.text(
        left + 18,
        340,
        f"{zero} positions score exactly 0 (no head's product is positive): "
        "among them the lower position comes first.",
    )
    return sheet.svg()


def held(order: Array, counts: list[int]) -> list[float]:
    """The share of dense attention that the first positions of a list hold, mean of the heads."""
    text = Text(LATENT, seed=2)
    query = (20 * heads_of(text.query(QUESTION), HEADS))[None, None].astype(np.float16)
    key = text.keys(4)[None, :, None].astype(np.float16)

    def lse(positions: Array) -> Floats:
        state = tamis.sparse_flash_attention(
            query,
            key,
            np.ascontiguousarray(positions[None, None, None], np.int32),
            scale_value=1.0,
            sparse_mode=0,
            return_softmax_lse=True,
            implementation="reference",
        )
        assert state.softmax_max is not None
        assert state.softmax_sum is not None
        return np.asarray(state.softmax_max + np.log(state.softmax_sum), np.float64)

    everything = lse(np.arange(len(text)))
    return [float(np.exp(lse(order[:count]) - everything).mean()) for count in counts]


def mass() -> str:
    """What selections of growing size hold, and what the latest tokens would."""
    text, order, _ = index()
    counts = [1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024, len(text)]
    best = held(order, counts)
    latest = held(np.arange(len(text))[::-1], counts)
    left, right, top, bottom = 70, 640, 60, 300
    sheet = Canvas(900, 360, "Share of dense attention held by the best k positions")
    sheet.text(20, 24, "share of dense attention that k positions hold, mean of 8 heads", bold=True)

    def x(count: int) -> float:
        return float(left + (right - left) * np.log2(count) / np.log2(len(text)))

    def y(share: float) -> float:
        return bottom - (bottom - top) * share

    for percent in range(0, 101, 25):
        sheet.line([(left, y(percent / 100)), (right, y(percent / 100))], stroke=PALE)
        sheet.text(left - 8, y(percent / 100) + 4, f"{percent}%", size=11, anchor="end", fill=SOFT)
    for count in counts:
        sheet.text(x(count), bottom + 18, str(count), size=11, anchor="middle", fill=SOFT)
    sheet.text((left + right) / 2, bottom + 40, "k", anchor="middle", fill=SOFT)
    for shares, colour in ((latest, BLUE), (best, GREEN)):
        points = [(x(count), y(share)) for count, share in zip(counts, shares, strict=True)]
        sheet.line(points, stroke=colour, width=2.5)
        for px, py in points:
            sheet.rect(px - 3, py - 3, 6, 6, colour)
    sheet.text(670, 110, "the k of highest index score", fill=GREEN, bold=True)
    for row, count in enumerate((8, 32, 64, 256)):
        share = best[counts.index(count)]
        sheet.text(670, 132 + 18 * row, f"k = {count}: {100 * share:.1f}%")
    sheet.text(670, 236, "the k latest", fill=BLUE, bold=True)
    sheet.text(670, 258, f"k = 256: {100 * latest[counts.index(256)]:.1f}%")
    return sheet.svg()


def pictures() -> dict[str, str]:
    """Files by name."""
    return {"dsa_scores.svg": scores(), "dsa_mass.svg": mass()}
