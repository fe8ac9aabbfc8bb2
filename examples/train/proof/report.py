"""What a run came to, for people and for programs."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from proof import claims
from proof.claims import Claim
from proof.comparison import Agreement
from proof.latent import Choice
from proof.plan import Plan
from proof.reading import Reading
from proof.stages import Staged
from proof.training import Row

_HEAD = ("", "step", "seconds", "needles", "text", "source selected", "chance")


@dataclass(frozen=True)
class Result:
    """All of a run.

    Parameters
    ----------
    plan : Plan
    agreements : list of Agreement
        with PyTorch's attention
    scratch, continued : dict
        evaluations of the trainings that began with random and with dense weights, by kind
    reach : dict
        the last of those that began with dense weights, at several lengths
    staged : Staged
        DeepSeek's attention
    """

    plan: Plan
    agreements: list[Agreement]
    scratch: dict[str, list[Row]]
    continued: dict[str, list[Row]]
    reach: dict[str, list[Row]]
    staged: Staged

    def claims(self) -> list[Claim]:
        """What it is expected to show."""
        control = [claim for found in self.agreements for claim in claims.of_control(found)]
        native = claims.of_needles(self.plan, self.continued)
        return [*control, *native, *claims.of_stages(self.plan, self.staged)]


def at(rows: list[Row], seconds: float) -> Row:
    """The last evaluation within as much time."""
    return max((row for row in rows if row.seconds <= seconds), key=lambda row: row.step)


def write(folder: Path, result: Result, reading: Reading) -> str:
    """Write `report.json` and `report.txt`; returns the latter's text."""
    found: dict[str, Any] = asdict(result) | {
        "claims": [asdict(claim) for claim in result.claims()],
        "corpus": {
            "files": reading.files,
            "tokens": len(reading.text),
            "kept": len(reading.kept),
            "digest": reading.digest,
        },
    }
    (folder / "report.json").write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    text = "\n".join(lines(result, reading)) + "\n"
    (folder / "report.txt").write_text(text, encoding="utf-8")
    return text


def lines(result: Result, reading: Reading) -> list[str]:
    """The report."""
    text = [
        f"{reading.files} files, {len(reading.text)} tokens to learn from, {len(reading.kept)} "
        f"kept back, digest {reading.digest}; seed {result.plan.seed}"
    ]
    begin = {kind: rows[0] for kind, rows in result.continued.items()}
    last = {kind: rows[-1] for kind, rows in result.continued.items()}
    seconds = min(row.seconds for row in last.values())
    timed = {kind: at(rows, seconds) for kind, rows in result.continued.items()}
    scratch = {kind: rows[-1] for kind, rows in result.scratch.items()}
    text += ["", "from scratch", *table(scratch)]
    text += ["", "from the dense weights, before a step", *table(begin)]
    text += ["", "after as many tokens", *table(last)]
    text += ["", f"after {seconds:.0f} seconds of processor time or less", *table(timed)]
    reach = {f"{kind}, {r.length}": r for kind, rows in result.reach.items() for r in rows}
    text += ["", "after as many tokens, at several lengths", *table(reach)]
    text += ["", "in stages, DeepSeek's attention", *stages(result.staged)]
    return [*text, "", *(claim.line() for claim in result.claims())]


def table(rows: dict[str, Row]) -> list[str]:
    """Evaluations, aligned."""
    cells = [_HEAD, *(_cells(name, row) for name, row in rows.items())]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    return [
        "  ".join(f"{cell:<{width}}" for cell, width in zip(line, widths, strict=True)).rstrip()
        for line in cells
    ]


def stages(staged: Staged) -> list[str]:
    """Every evaluation of a training in stages, and what its layers' indexers choose."""
    rows = {
        f"{stage} {row.step}": row
        for stage, found in staged.rows.items()
        for row in (found[-1:] if stage == "dense" else found)
    }
    text = table(rows)
    layers = ("; ".join(map(_choice, row.score.choices)) for row in rows.values())
    return [text[0], *(f"{a}  {b}".rstrip() for a, b in zip(text[1:], layers, strict=True))]


def _choice(choice: Choice) -> str:
    others = f"best {choice.best:.3f}, last keys {choice.recent:.3f}"
    return f"mass {choice.mass:.3f} ({others}), loss {choice.divergence:.3f}"


def _cells(name: str, row: Row) -> tuple[str, ...]:
    score = row.score
    selected = " ".join(f"{share:.3f}" for share in score.selected) or "-"
    chance = f"{score.chance:.3f}" if score.selected else "-"
    losses = f"{score.needles:.3f}", f"{score.text:.3f}"
    return (name, str(row.step), f"{row.seconds:.0f}", *losses, selected, chance)
