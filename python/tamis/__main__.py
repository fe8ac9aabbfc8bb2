"""`tamis` and `python -m tamis`: the command line, with its exit code."""

from __future__ import annotations

import os
import sys

from tamis import _library

# `pip install .` leaves the command line out where these headers are absent.
REMEDY = (
    "install CLI11 and nlohmann-json (Debian: libcli11-dev, nlohmann-json3-dev) and then tamis "
    "again, build it with `./dev build`"
)


def main() -> int:
    """Become the `tamis` binary.

    Returns
    -------
    int
        2 where there is none; else this does not return.
    """
    try:
        packaged = _library.HERE / "bin" / "tamis"
        binary = _library.find(packaged, "TAMIS_BINARY", "bin/tamis", REMEDY)
    except FileNotFoundError as error:
        print(f"tamis: {error}", file=sys.stderr)
        return 2
    os.execv(binary, [str(binary), *sys.argv[1:]])


if __name__ == "__main__":
    sys.exit(main())
