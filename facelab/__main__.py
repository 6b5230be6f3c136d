"""The start: what has to be set before any thread and before torch, then the command line."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence


def main(argv: Sequence[str] | None = None) -> int:
    """The command `facelab`; returns the exit code."""
    from facelab.engine.memory import keep_memory

    keep_memory()
    # OpenMP's threads wait for one another by spinning: where another program wants the processor too, a picture then takes
    # ten times as long. It has to be said before torch loads.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    from facelab import cli

    return cli.main(sys.argv[1:] if argv is None else argv)


def window() -> int:
    """The window alone, for the desktop entry."""
    return main(["window", *sys.argv[1:]])


if __name__ == "__main__":
    sys.exit(main())
