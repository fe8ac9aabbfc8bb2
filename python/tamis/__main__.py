"""`python -m tamis`: the command line, with its exit code."""

from __future__ import annotations

import os
import sys

from tamis import _library


def main() -> int:
    """Become the `tamis` binary.

    Returns
    -------
    int
        2 where there is none; else this does not return.
    """
    try:
        binary = _library.find(_library.HERE / "bin" / "tamis", "TAMIS_BINARY", "bin/tamis")
    except FileNotFoundError as error:
        print(f"tamis: {error}", file=sys.stderr)
        return 2
    os.execv(binary, [str(binary), *sys.argv[1:]])


if __name__ == "__main__":
    sys.exit(main())
