"""The pictures of docs/concepts/nsa.md."""

from __future__ import annotations

import numpy as np
from canvas import BLUE, GREEN, INK, ORANGE, PALE, RED, SOFT, Canvas
from licence import Array, Floats, Text, heads_of

import tamis

WINDOW, STRIDE, BLOCK, COUNT = 32, 16, 64, 6
PER_BLOCK, PER_WINDOW = BLOCK // STRIDE, WINDOW // STRIDE
DIM, HEADS = 64, 4
QUESTION = "copy of the attribution notices contained within such notice file"


def importance(probabilities: Floats, blocks: int, shift: int) -> Floats:
    """Scores of the blocks; shift 0 is the device's, 1 the true overlap."""
    scores = np.zeros(blocks)
    for block in range(blocks):
        for m in range(PER_BLOCK):
            for q in range(PER_WINDOW):
                at = PER_BLOCK * (block + 1) - shift - m - q
                if 0 <= at < probabilities.size:
                    scores[block] += probabilities[at]
    return scores


def windows() -> str:
    """Windows and blocks over tokens, and what each window counts towards block 1."""
    tokens, left, scale = 208, 20, 3.5
    count = (tokens - WINDOW) // STRIDE + 1
    ones = np.ones(count)
    sheet = Canvas(900, 420, "Compression windows and select blocks over tokens")
    x = [left + scale * token for token in range(tokens + 1)]
    sheet.text(left, 24, "tokens, in select blocks of 64", bold=True)
    for block in range((tokens + BLOCK - 1) // BLOCK):
        begin, end = BLOCK * block, min(BLOCK * (block + 1), tokens)
        sheet.rect(x[begin], 34, x[end] - x[begin] - 2, 22, GREEN if block == 1 else PALE)
        colour = "#fff" if block == 1 else INK
        sheet.text((x[begin] + x[end]) / 2, 50, f"block {block}", anchor="middle", fill=colour)
    sheet.text(left, 82, "windows of 32, one every 16: compressed tokens", bold=True)
    sheet.text(800, 66, "count towards block 1", anchor="middle", size=11)
    sheet.text(765, 82, "device", anchor="middle", bold=True, fill=ORANGE)
    sheet.text(840, 82, "overlap", anchor="middle", bold=True, fill=BLUE)
    for window in range(count):
        begin = window * STRIDE
        alone = np.where(np.arange(count) == window, ones, 0)
        device, overlap = (int(importance(alone, 4, shift)[1]) for shift in (0, 1))
        y = 94 + 24 * window
        touches = begin < 2 * BLOCK and begin + WINDOW > BLOCK
        sheet.rect(x[begin], y, x[begin + WINDOW] - x[begin], 16, GREEN if touches else SOFT)
        sheet.text(x[begin] + 6, y + 12, f"P[{window}]", size=11, fill="#fff")
        for at, weight, colour in ((765, device, ORANGE), (840, overlap, BLUE)):
            sheet.text(
                at, y + 13, str(weight) if weight else "-", anchor="middle", fill=colour, bold=True
            )
    for edge in (BLOCK, 2 * BLOCK):
        sheet.line([(x[edge] - 1, 34), (x[edge] - 1, 94 + 24 * count)], stroke=GREEN, dashed=True)
    return sheet.svg()


def run() -> tuple[Text, Floats, Array, Floats]:
    """The question's probabilities [heads, windows], its blocks, and dense attention's [tokens]."""
    text = Text(DIM)
    keys = text.keys(4)
    tokens = len(text)
    compressed = tamis.nsa_compress(
        keys[:, None].astype(np.float16),
        np.full((WINDOW, 1), WINDOW**-0.5, np.float16),
        act_seq_len=[tokens],
        compress_block_size=WINDOW,
        compress_stride=STRIDE,
        implementation="reference",
    )
    count = len(compressed)
    blocks = -(-count // PER_BLOCK)
    forced = np.zeros((1, blocks), np.bool_)
    forced[0, [0, -2, -1]] = True
    query = (16 * heads_of(text.query(QUESTION), HEADS)).astype(np.float16)
    # Values that are unit vectors make the output the probabilities.
    result = tamis.nsa_compress_attention(
        query[None],
        compressed,
        np.eye(count, dtype=np.float16)[:, None],
        scale_value=1.0,
        head_num=HEADS,
        compress_block_size=WINDOW,
        compress_stride=STRIDE,
        select_block_size=BLOCK,
        select_block_count=COUNT,
        actual_seq_qlen=[1],
        actual_cmp_seq_kvlen=[count],
        topk_mask=forced,
        implementation="reference",
    )
    logits = query.astype(np.float64) @ keys.T
    dense = np.exp(logits - logits.max(1, keepdims=True))
    dense = (dense / dense.sum(1, keepdims=True)).mean(0)
    return text, result.attention_out[0].astype(np.float64), result.topk_indices[0, 0], dense


def selection() -> str:
    """A real row: probabilities of every head, importance of the blocks, what is selected."""
    text, probabilities, chosen, dense = run()
    count = probabilities.shape[1]
    blocks = -(-count // PER_BLOCK)
    scores = importance(probabilities.sum(0), blocks, 0)
    forced = {0, blocks - 2, blocks - 1}
    tokens = np.concatenate([np.arange(BLOCK * b, min(BLOCK * (b + 1), len(text))) for b in chosen])
    held = dense[tokens].sum()
    by_score = [int(block) for block in chosen if block not in forced]
    left, scale = 90, 790 / len(text)
    sheet = Canvas(900, 400, "Compressed probabilities, block importance and selected blocks")
    sheet.text(20, 24, f'"{QUESTION}", asked of {len(text)} tokens', bold=True)
    sheet.text(20, 44, f"probabilities of {HEADS} heads over {count} compressed tokens", fill=SOFT)
    top = probabilities.max()
    for head in range(HEADS):
        y = 54 + 18 * head
        sheet.text(82, y + 12, f"head {head}", size=11, anchor="end")
        sheet.rect(left, y, scale * STRIDE * count, 16, PALE)
        for window in range(count):
            shade = float(np.sqrt(probabilities[head, window] / top))
            x = left + scale * STRIDE * window
            if shade >= 0.02:
                sheet.rect(x, y, scale * STRIDE, 16, BLUE, opacity=shade)
    sheet.text(20, 148, "importance of every block, summed over the heads", fill=SOFT)
    base = 300
    for block in range(blocks):
        x = left + scale * BLOCK * block
        width = scale * min(BLOCK, len(text) - BLOCK * block)
        colour = RED if block in forced else GREEN if block in by_score else SOFT
        sheet.rect(x, base, width - 1, 14, colour if block in chosen else PALE)
        height = 130 * scores[block] / scores.max()
        sheet.rect(x, base - height, width - 1, height, colour)
        sheet.text(x + width / 2, base + 28, str(block), size=10, anchor="middle", fill=SOFT)
    for at, colour, what in (
        (90, RED, f"forced: {', '.join(map(str, sorted(forced)))}"),
        (240, GREEN, f"selected by score, best first: {', '.join(map(str, by_score))}"),
        (560, SOFT, "not selected"),
    ):
        sheet.rect(at, 345, 12, 12, colour)
        sheet.text(at + 18, 355, what)
    sheet.text(
        90,
        382,
        f"The phrase begins in block {text.find(QUESTION) // BLOCK}. The {len(chosen)} blocks hold "
        f"{100 * held:.1f}% of dense attention over the raw tokens.",
    )
    return sheet.svg()


def pictures() -> dict[str, str]:
    """Files by name."""
    return {"nsa_windows.svg": windows(), "nsa_selection.svg": selection()}
