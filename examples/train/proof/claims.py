"""What a run is expected to show, with its limits: the command fails where one does not hold."""

from __future__ import annotations

import math
from dataclasses import dataclass

from proof.comparison import Agreement
from proof.plan import Plan
from proof.stages import Staged
from proof.training import Row

_SOON = 50  # steps after the conversion


@dataclass(frozen=True)
class Claim:
    """One of them.

    Parameters
    ----------
    text : str
        what is claimed
    value : float
        what was seen
    holds : bool
        whether it is so
    """

    text: str
    value: float
    holds: bool

    def line(self) -> str:
        """It in words."""
        return f"{'holds' if self.holds else 'FAILS'}: {self.text}: {self.value:.4g}"


def of_control(agreement: Agreement) -> list[Claim]:
    """Of the first steps beside PyTorch's attention."""
    name = f"{agreement.kind}, {agreement.steps} steps beside PyTorch's attention"
    return [
        Claim(f"{name}: losses within 0.02", agreement.loss, agreement.loss <= 0.02),
        Claim(f"{name}: cosine of gradients > 0.999", agreement.cosine, agreement.cosine > 0.999),
    ]


def of_needles(plan: Plan, curves: dict[str, list[Row]]) -> list[Claim]:
    """Of the trainings that began with dense weights, by kind."""
    native, window = curves["nsa"], curves["window"]
    soon = min(row.score.needles for row in native if row.step <= _SOON)
    guess = 0.92 * math.log(plan.vocabulary)
    blind = min(row.score.needles for row in window)
    score = native[-1].score
    ratio = max(score.selected) / score.chance
    return [
        Claim(f"nsa: needles < 2 within {_SOON} steps", soon, soon < 2),
        Claim(f"window: needles > {guess:.2f} throughout", blind, blind > guess),
        Claim("nsa: sources selected >= 2.5 x chance, better layer", ratio, ratio >= 2.5),
    ]


def of_stages(plan: Plan, staged: Staged) -> list[Claim]:
    """Of the training of an indexer."""
    warm, sparse = staged.rows["warmup"], staged.rows["sparse"]
    guess = 0.92 * math.log(plan.vocabulary)
    blind, warmed, last = warm[0].score, warm[-1].score, sparse[-1].score
    share = min(choice.mass / choice.best for choice in warmed.choices)
    apart = last.text - staged.dense.text
    steps = f"{warm[-1].step} steps of warm-up"
    return [
        Claim(f"dsa: needles > {guess:.2f}, random indexer", blind.needles, blind.needles > guess),
        Claim(f"dsa: needles < 1 after {steps}", warmed.needles, warmed.needles < 1),
        Claim(f"dsa: mass >= 0.8 of the best in every layer after {steps}", share, share >= 0.8),
        Claim("dsa: needles < 0.3 after sparse training", last.needles, last.needles < 0.3),
        Claim("dsa: text within 0.06 of dense attention", apart, apart <= 0.06),
        Claim("dsa: weights with another's gradient", staged.crossing, staged.crossing == 0),
    ]
