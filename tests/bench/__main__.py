"""The speed table: ``python -m tests.bench [--checkpoint FILE] [--threads N]``.

Every figure is a ratio in one run, of medians of interleaved repetitions: machines differ, and this one may be busy. With one
thread the process's CPU time counts, with more the wall clock. The baseline is facelab's plain float32 network (NCHW, styles
scale the activations, the same allocator settings); its own GFLOP/s are printed, so that a slow baseline wins nothing.
The last column says what a figure must be and what is aimed at, and whether it falls short; the whole takes some six minutes.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from facelab.engine.memory import keep_memory


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m tests.bench", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--checkpoint", type=Path, help="time this generator in place of the embedded one and random ones"
    )
    parser.add_argument("--threads", type=int, default=1, help="threads for torch (default 1: CPU time counts)")
    parser.add_argument("--repeat", type=int, default=3, help="repetitions of which the median counts")
    parser.add_argument("--only", choices=["renderer", "projection", "window"], help="one part of the table")
    arguments = parser.parse_args()
    keep_memory()
    os.environ["OMP_NUM_THREADS"] = str(arguments.threads)
    import torch

    torch.set_num_threads(arguments.threads)
    clock = Clock(arguments.threads, arguments.repeat)
    from tests.bench import projection, renderer, window

    if arguments.only in (None, "renderer"):
        renderer.run(clock, arguments.checkpoint)
    if arguments.only in (None, "projection"):
        projection.run(clock, arguments.checkpoint)
    if arguments.only in (None, "window") and arguments.checkpoint is None:
        window.run()  # with as many threads as OMP_NUM_THREADS says
    return 0


class Clock:
    """Times functions in turn and takes medians."""

    def __init__(self, threads: int, repeat: int) -> None:
        self.threads, self.repeat = threads, repeat
        self.now: Callable[[], float] = time.process_time if threads == 1 else time.perf_counter

    def interleaved(self, *functions: Callable[[], object], warm: int = 1) -> list[float]:
        """Median seconds of each, all of them once per round."""
        times: list[list[float]] = [[] for _ in functions]
        for turn in range(warm + self.repeat):
            for mine, function in zip(times, functions, strict=True):
                start = self.now()
                function()
                if turn >= warm:
                    mine.append(self.now() - start)
        return [statistics.median(mine) for mine in times]


def judged(value: float, must: float, aim: float, unit: str, *, most: bool = True) -> str:
    """What a figure must be (at most, or at least), what is aimed at, and which of both it reached."""
    sign = 1 if most else -1
    reached = "aim reached" if sign * value <= sign * aim else "met" if sign * value <= sign * must else "SHORT"
    return f"must {'<=' if most else '>='} {must:g}{unit}, aim {aim:g}: {reached}"


def row(*cells: object, widths: Sequence[int] = (52, 16, 13, 14, 46, 40)) -> None:
    """One line of the table."""
    sys.stdout.write(
        "  ".join(str(cell).ljust(width) for cell, width in zip(cells, widths, strict=False)).rstrip() + "\n"
    )
    sys.stdout.flush()


if __name__ == "__main__":
    from tests.bench.__main__ import main as run  # one module, so that Clock and row are the ones the parts import

    sys.exit(run())
