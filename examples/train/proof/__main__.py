"""The command: `./dev train`, or python -m proof."""

from __future__ import annotations

import argparse
import dataclasses
import sys
from pathlib import Path

import torch

from proof import plots, report
from proof.plan import FULL, QUICK
from proof.reading import read
from proof.run import run


def main() -> int:
    """Train, report, and say whether all holds that is claimed."""
    parser = argparse.ArgumentParser(prog="train", description="small models that find needles")
    parser.add_argument("--quick", action="store_true", help="a small run, in minutes")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, help="of PyTorch and Tamis; default: all cores")
    parser.add_argument("--folder", type=Path, default=Path("build/train"), help="of all it writes")
    parser.add_argument("--fresh", action="store_true", help="begin anew, where it was interrupted")
    options = parser.parse_args()
    if options.threads is not None:
        torch.set_num_threads(options.threads)
    plan = dataclasses.replace(QUICK if options.quick else FULL, seed=options.seed)
    folder = options.folder / f"{'quick' if options.quick else 'full'}-{plan.seed}"
    folder.mkdir(parents=True, exist_ok=True)
    if options.fresh:
        for path in folder.glob("*.safetensors"):
            path.unlink()
    try:
        reading = read(plan.vocabulary)
        result = run(plan, reading, folder)
    except KeyboardInterrupt:
        print("train: interrupted; the same command goes on from the last checkpoint")
        return 130
    except (FileNotFoundError, ValueError) as error:
        print(f"train: {error}", file=sys.stderr)
        return 2
    print(report.write(folder, result, reading))
    print(*plots.write(folder, result), sep="\n")
    return 0 if all(claim.holds for claim in result.claims()) else 1


if __name__ == "__main__":
    sys.exit(main())
