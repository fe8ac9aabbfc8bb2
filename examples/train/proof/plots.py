"""Curves of a run, by matplotlib, into files."""

from __future__ import annotations

import math
from pathlib import Path

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from proof.plan import Plan
from proof.report import Result
from proof.stages import Staged
from proof.training import Row

mpl.rcParams["svg.hashsalt"] = "tamis"  # the same run gives the same file


def write(folder: Path, result: Result) -> list[Path]:
    """Write all pictures; returns their paths."""
    pictures = {
        "scratch": _curves(result.scratch, result.plan, "from scratch"),
        "continued": _curves(result.continued, result.plan, "from dense weights"),
        "selected": _selected(result.continued["nsa"]),
        "stages": _stages(result.staged, result.plan),
    }
    paths = []
    for name, figure in pictures.items():
        paths.append(folder / f"{name}.svg")
        figure.savefig(paths[-1], metadata={"Date": None})
    return paths


def _axes(count: int) -> tuple[Figure, list[Axes]]:
    figure = Figure(figsize=(5 * count, 3.6), layout="constrained")
    axes = figure.subplots(1, count, squeeze=False)[0]
    return figure, list(axes)


def _curves(curves: dict[str, list[Row]], plan: Plan, title: str) -> Figure:
    """Needles by tokens and by time, and text by tokens, for each kind."""
    figure, axes = _axes(3)
    for kind, rows in curves.items():
        tokens, seconds = [row.tokens / 1e6 for row in rows], [row.seconds for row in rows]
        needles = [row.score.needles for row in rows]
        axes[0].plot(tokens, needles, label=kind)
        axes[1].plot(seconds, needles, label=kind)
        axes[2].plot(tokens, [row.score.text for row in rows], label=kind)
    for part, x in zip(axes[:2], ("million tokens", "seconds of processor time"), strict=True):
        _guess(part, plan)
        _label(part, x, "loss of needles", f"Needles, {title}")
    _label(axes[2], "million tokens", "median loss", f"Text, {title}")
    return figure


def _selected(rows: list[Row]) -> Figure:
    """How often each layer selects the source's block, beside chance."""
    figure, (axes,) = _axes(1)
    tokens = [row.tokens / 1e6 for row in rows]
    shares = zip(*(row.score.selected for row in rows), strict=True)
    for layer, share in enumerate(shares):
        axes.plot(tokens, share, label=f"layer {layer}")
    axes.plot(tokens, [row.score.chance for row in rows], "k:", label="chance")
    axes.set_ylim(0, 1)
    _label(axes, "million tokens", "share", "Sources selected, from dense weights")
    return figure


def _stages(staged: Staged, plan: Plan) -> Figure:
    """Needles, the indexers' losses, and the share of the best mass, past the dense stage."""
    figure, axes = _axes(3)
    offset = staged.rows["warmup"][-1].tokens
    rows = [*staged.rows["warmup"], *staged.rows["sparse"]]
    after = [0] * len(staged.rows["warmup"]) + [offset] * len(staged.rows["sparse"])
    tokens = [(row.tokens + more) / 1e6 for row, more in zip(rows, after, strict=True)]
    axes[0].plot(tokens, [row.score.needles for row in rows], label="sparse")
    axes[0].axhline(staged.dense.needles, color="black", linestyle="--", label="dense")
    for layer, choices in enumerate(zip(*(row.score.choices for row in rows), strict=True)):
        axes[1].plot(tokens, [c.divergence for c in choices], label=f"layer {layer}")
        axes[2].plot(tokens, [c.mass / c.best for c in choices], label=f"layer {layer}")
    for part in axes:
        part.axvline(offset / 1e6, color="gray", linewidth=0.8)  # the indexer alone, then all
    _guess(axes[0], plan)
    axes[2].set_ylim(0, 1)
    _label(axes[0], "million tokens", "loss of needles", "Needles, warm-up and sparse")
    _label(axes[1], "million tokens", "divergence", "The indexers' losses")
    _label(axes[2], "million tokens", "share of the best mass", "Keys selected")
    return figure


def _guess(axes: Axes, plan: Plan) -> None:
    """What is lost by who guesses a needle's token."""
    axes.axhline(math.log(plan.vocabulary), color="gray", linestyle=":", label="guessing")
    axes.set_ylim(bottom=0)


def _label(axes: Axes, x: str, y: str, title: str) -> None:
    axes.set_xlabel(x)
    axes.set_ylabel(y)
    axes.set_title(title)
    axes.legend()
