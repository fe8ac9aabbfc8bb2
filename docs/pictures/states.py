"""The pictures of docs/concepts/states.md."""

from __future__ import annotations

import numpy as np
from canvas import BLUE, GREEN, INK, ORANGE, PALE, RED, SOFT, Canvas
from licence import Floats

import tamis

KEYS, PARTS, DIM = 64, 4, 16
COLOURS = (BLUE, GREEN, ORANGE, RED)


def part_states() -> tuple[Floats, list[tuple[float, float]], tuple[float, float]]:
    """Scores of one row [keys]; (max, sum) of each part of them, and of all."""
    dice = np.random.default_rng(11)
    query = dice.standard_normal((1, 1, 1, DIM)).astype(np.float16)
    key = dice.standard_normal((1, KEYS, 1, DIM)).astype(np.float16)
    key[0, 24:28] += query[0, 0] / 2  # a few keys that matter, in the second part

    def state(begin: int, end: int) -> tuple[Floats, float, float]:
        result = tamis.sparse_flash_attention(
            query,
            np.ascontiguousarray(key[:, begin:end]),
            np.arange(end - begin, dtype=np.int32)[None, None, None],
            scale_value=0.25,
            sparse_mode=0,
            return_softmax_lse=True,
            implementation="reference",
        )
        assert result.softmax_max is not None
        assert result.softmax_sum is not None
        return result.out[0, 0], result.softmax_max.item(), result.softmax_sum.item()

    size = KEYS // PARTS
    parts = [state(size * part, size * (part + 1)) for part in range(PARTS)]
    whole = state(0, KEYS)
    merged = tamis.merge_attention_states(
        np.array([part[0] for part in parts])[:, None],
        np.array([part[1] for part in parts], np.float32)[:, None, None],
        np.array([part[2] for part in parts], np.float32)[:, None, None],
        implementation="reference",
    )
    assert np.allclose(merged.softmax_sum.item(), whole[2], rtol=1e-6)
    assert np.allclose(merged.out[0].astype(float), whole[0].astype(float), atol=1e-3)
    score = 0.25 * (key[0, :, 0].astype(np.float64) @ query[0, 0, 0].astype(np.float64))
    return score, [part[1:] for part in parts], whole[1:]


def merge() -> str:
    """exp(score - max) of each part by its own maximum, and of all by the common one."""
    score, parts, (top, total) = part_states()
    size = KEYS // PARTS
    sheet = Canvas(900, 440, "Four attention states and the state of their union")
    left, step, height = 40, 13, 100
    sheet.text(
        20, 24, "64 scores of one row, in four parts: exp(score - max of the part)", bold=True
    )
    sheet.text(20, 236, "the union: exp(score - max of all)", bold=True)
    for part, (most, amount) in enumerate(parts):
        start = left + part * size * step
        share = amount * np.exp(most - top) / total
        sheet.text(start, 48, f"max {most:.2f}, sum {amount:.2f}", fill=COLOURS[part])
        sheet.text(start, 260, f"weight {share:.3f}", fill=COLOURS[part], bold=bool(share > 0.5))
        for base, maximum in ((160, most), (372, top)):
            for index in range(part * size, (part + 1) * size):
                tall = height * float(np.exp(score[index] - maximum))
                x = left + step * index
                sheet.rect(x, base - height, step - 2, height, PALE, opacity=0.5)
                sheet.rect(x, base - tall, step - 2, tall, COLOURS[part])
            sheet.line([(start, base), (start + size * step - 2, base)], stroke=INK)
        sheet.text(
            start, 182, f"times exp({most:.2f} - {top:.2f}) = {np.exp(most - top):.3f}", size=11
        )
    sheet.text(left, 398, f"max {top:.2f}, sum {total:.2f}")
    sheet.text(
        left,
        422,
        "weight of a part = its sum, times its factor, over the sum of all; out = the parts' outs "
        "by these weights",
        fill=SOFT,
    )
    return sheet.svg()


def ranks() -> str:
    """Positions dealt to three ranks by pages of four, and one selection, shared out."""
    world, page, positions = 3, 4, 30
    chosen = np.array([[22, 3, 17, 9, 0, 12, 25, 14]], np.int32)
    local = [
        tamis.localize_indices(chosen, rank=rank, world=world, interleave=page)
        for rank in range(world)
    ]
    left, step = 110, 25
    sheet = Canvas(900, 330, "Positions of one sequence on three ranks, and a selection")
    sheet.text(20, 24, "positions of a sequence, dealt to 3 ranks by pages of 4", bold=True)
    picked = set(chosen[0].tolist())
    held: list[list[int]] = [[] for _ in range(world)]
    for at in range(positions):
        owner = at // page % world
        held[owner].append(at)
        x, colour = left + step * at, COLOURS[owner]
        sheet.rect(x, 36, step - 2, 26, colour, opacity=1 if at in picked else 0.25)
        shade = "#fff" if at in picked else INK
        sheet.text(x + step / 2 - 1, 53, str(at), size=11, anchor="middle", fill=shade)
    sheet.text(20, 53, "sequence")
    names = ", ".join(map(str, chosen[0].tolist()))
    sheet.text(left, 84, f"selected, best first: {names}")
    sheet.text(
        20, 122, "what each rank holds, and localize_indices makes of the selection", bold=True
    )
    for rank in range(world):
        y = 136 + 62 * rank
        sheet.text(20, y + 17, f"rank {rank}")
        for index, at in enumerate(held[rank]):
            x = left + step * index
            mine = at in picked
            sheet.rect(x, y, step - 2, 26, COLOURS[rank], opacity=1 if mine else 0.25)
            shade = "#fff" if mine else INK
            sheet.text(x + step / 2 - 1, y + 17, str(at), size=11, anchor="middle", fill=shade)
            sheet.text(x + step / 2 - 1, y + 40, str(index), size=10, anchor="middle", fill=SOFT)
        found = ", ".join(map(str, local[rank].sparse_indices[0].tolist()))
        sheet.text(left + step * 13, y + 17, f"[{found}]", fill=COLOURS[rank])
        sheet.text(left + step * 13, y + 37, f"counts: {local[rank].counts[0]}", size=11, fill=SOFT)
    return sheet.svg()


def pictures() -> dict[str, str]:
    """Files by name."""
    return {"states_merge.svg": merge(), "states_ranks.svg": ranks()}
