"""The start: the allocator's settings, which have to come before any thread, then the command line."""

from __future__ import annotations

import sys
from collections.abc import Sequence


def main(argv: Sequence[str] | None = None) -> int:
    """The command `facelab`; returns the exit code."""
    from facelab.engine.memory import keep_memory

    keep_memory()
    from facelab import cli

    return cli.main(sys.argv[1:] if argv is None else argv)


def window() -> int:
    """The window alone, for the desktop entry."""
    return main(["window", *sys.argv[1:]])


if __name__ == "__main__":
    sys.exit(main())
