"""Curves of a run, by matplotlib, into files."""

from __future__ import annotations

import math
from pathlib import Path

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from proof.plan import Plan
from proof.report import Result
from proof.training import Row

mpl.rcParams["svg.hashsalt"] = "tamis"  # the same run gives the same file


def write(folder: Path, result: Result) -> list[Path]:
    """Write all pictures; returns their paths."""
    pictures = {
        "dense": _dense(result),
        "continued": _continued(result.continued, result.plan),
        "selected": _selected(result.continued),
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


def _dense(result: Result) -> Figure:
    """Needles and text while dense attention learns."""
    rows = result.dense
    figure, (axes,) = _axes(1)
    tokens = [row.tokens / 1e6 for row in rows]
    axes.plot(tokens, [row.score.needles for row in rows], label="needles")
    axes.plot(tokens, [row.score.text for row in rows], label="text (median)")
    _guess(axes, result.plan)
    _label(axes, "million tokens", "loss", "Dense attention, from scratch")
    return figure


def _continued(curves: dict[str, list[Row]], plan: Plan) -> Figure:
    """Needles by tokens and by time, and text by tokens, for each kind."""
    figure, axes = _axes(3)
    for name, rows in curves.items():
        tokens, seconds = [row.tokens / 1e6 for row in rows], [row.seconds for row in rows]
        needles = [row.score.needles for row in rows]
        axes[0].plot(tokens, needles, label=name)
        axes[1].plot(seconds, needles, label=name)
        axes[2].plot(tokens, [row.score.text for row in rows], label=name)
    for part, x in zip(axes[:2], ("million tokens", "seconds of processor time"), strict=True):
        _guess(part, plan)
        _label(part, x, "loss of needles", "From dense weights: needles")
    _label(axes[2], "million tokens", "median loss", "Text")
    return figure


def _selected(curves: dict[str, list[Row]]) -> Figure:
    """How often the source's block is selected, beside chance."""
    figure, (axes,) = _axes(1)
    for rows in curves.values():
        tokens = [row.tokens / 1e6 for row in rows]
        for layer in range(len(rows[0].score.selected)):
            shares = [row.score.selected[layer] for row in rows]
            axes.plot(tokens, shares, label=f"layer {layer}")
        if rows[0].score.selected:
            axes.plot(tokens, [row.score.chance for row in rows], "k:", label="chance")
    axes.set_ylim(0, 1)
    _label(axes, "million tokens", "share", "Blocks with the source that are selected")
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
