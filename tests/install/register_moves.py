"""register_moves.py OBJDUMP OBJECT_DIR BUILD_DIR: loops of integer products move no registers.

gcc 12 copies the accumulator around the intrinsics of VNNI, two moves a product, and may spill it.
The SIMD layer has them in assembly; this reads what came of it. In every object of a level with
VNNI, each innermost loop with at least 8 products, a quarter of its instructions, may have no move
from register to register and no access of a vector to the stack. Every source that sums products of
integers must have such a loop.
"""

from __future__ import annotations

import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

LEAST_PRODUCTS = 8
SUFFIXES = ("_avx2_vnni.cc", "_avx512_vnni.cc")
INSTRUCTION = re.compile(r"^\s*([0-9a-f]+):\s+(?:\{vex\} )?(\S+)\s*(.*)$")
JUMP = re.compile(r"^([0-9a-f]+)\b")
PRODUCT = re.compile(r"^vpdp(busd|wssd)s?$")
VECTOR = re.compile(r"%[xyz]mm\d+")
STACK = re.compile(r"\(%r[sb]p\b")


@dataclass
class Instruction:
    """One line of a function."""

    at: int
    name: str
    operands: str

    @property
    def target(self) -> int | None:
        """Where a jump goes."""
        found = JUMP.match(self.operands) if self.name.startswith("j") else None
        return int(found.group(1), 16) if found else None

    @property
    def moves_a_register(self) -> bool:
        """From one vector register to another, whole."""
        parts = self.operands.split(",")
        plain = self.name.startswith("vmov") and len(parts) == 2
        return plain and all(VECTOR.fullmatch(part.strip()) for part in parts)

    @property
    def spills(self) -> bool:
        """A vector to the stack or from it."""
        moved = self.name.startswith("vmov") and VECTOR.search(self.operands) is not None
        return moved and STACK.search(self.operands) is not None


def functions(objdump: str, path: Path) -> list[list[Instruction]]:
    """The instructions of every function of an object."""
    command = [objdump, "-d", "--no-show-raw-insn", str(path)]
    listing = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    found: list[list[Instruction]] = []
    for line in listing.splitlines():
        if line.endswith(">:"):
            found.append([])
        match = INSTRUCTION.match(line)
        if match and found:
            found[-1].append(Instruction(int(match.group(1), 16), match.group(2), match.group(3)))
    return found


def innermost_loops(body: list[Instruction]) -> list[list[Instruction]]:
    """What lies between a jump backwards and its target, and holds no such jump."""
    loops, after = [], 0
    for i, instruction in enumerate(body):
        target = instruction.target
        if target is None or target > instruction.at or target < body[0].at:
            continue
        if target >= after:
            loops.append([other for other in body[: i + 1] if other.at >= target])
        after = instruction.at
    return loops


def main(objdump: str, objects: Path, build: Path) -> int:
    """Complain about every loop that is not as it should be; the exit status."""
    bad = loops = 0
    files = sorted(path for path in (build / "units").rglob("*.cc") if path.name.endswith(SUFFIXES))
    for file in files:
        path = objects / f"{file.relative_to(build)}.o"
        tight = 0
        for body in functions(objdump, path):
            for loop in innermost_loops(body):
                products = sum(PRODUCT.match(i.name) is not None for i in loop)
                if products < LEAST_PRODUCTS or 4 * products < len(loop):
                    continue
                tight += 1
                wrong = [i for i in loop if i.moves_a_register or i.spills]
                for i in wrong:
                    print(
                        f"{path}: {i.at:x}: {i.name} {i.operands}, in a loop of {products} products"
                    )
                bad += len(wrong)
        if tight == 0:
            print(f"{path}: expected a loop of products of integers, found none")
            bad += 1
        loops += tight
    if not files:
        print(f"{build}/units: expected files of levels with VNNI, found none")
        bad += 1
    print(f"{bad} moves in {loops} loops of {len(files)} objects")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3])))
