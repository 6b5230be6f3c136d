"""What was tried on this machine and found fastest, kept from one start to the next.

Ways of computing that differ in the last digit, and a descent of hundreds of steps, end in faces that differ in the first:
were the choice made anew at each start, the same seed would not give the same result tomorrow, and a run that goes on
after a stop not the one that would have been. Where nothing can be kept, each start tries again; so does one that finds the
processor free where it was busy when the answer was found.
"""

from __future__ import annotations

import contextlib
import functools
import json
import math
import os
import platform
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import platformdirs
import torch
from torch.nn import functional

from facelab import __version__
from facelab.errors import ExportError
from facelab.files import replacing

_CLEARLY = 1.03  # times faster than one named before it; what is nearer is as fast
_DOUBTFUL = "?"  # behind an answer that was found while the processor was busy
_FREE = 0.8  # of the processor's time that all threads together get when nothing else runs


@functools.cache
def _machine() -> str:
    """What the answers hold for."""
    processor = platform.processor()
    with contextlib.suppress(OSError, UnicodeDecodeError):
        lines = Path("/proc/cpuinfo").read_text("utf-8").splitlines()
        processor = next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), processor)
    parts = processor, platform.machine(), os.cpu_count(), torch.backends.cpu.get_cpu_capability(), torch.__version__
    return ", ".join(map(str, (*parts, f"facelab {__version__}")))


def _path() -> Path:
    return platformdirs.user_cache_path("facelab", appauthor=False) / "fastest.json"


def _kept() -> dict[str, str]:
    try:
        document = json.loads(_path().read_text("utf-8"))
        found = document["found"] if document["machine"] == _machine() else {}
        return {str(question): str(answer) for question, answer in found.items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return {}


def recall(question: str) -> str | None:
    """What an earlier start found on this machine, or None."""
    return _kept().get(question)


def standing(question: str, threads: int) -> str | None:
    """The same, unless the processor was busy then and is free now: what was found in ``threads`` threads may then be wrong."""
    known = recall(question)
    if known is None or not known.endswith(_DOUBTFUL):
        return known
    return known.removesuffix(_DOUBTFUL) if busy(threads) else None


def keep(question: str, answer: str, *, doubtful: bool = False) -> None:
    """Remember an answer for later starts; a doubtful one was found while the processor was busy."""
    document = {"machine": _machine(), "found": {**_kept(), question: answer + _DOUBTFUL * doubtful}}
    with contextlib.suppress(OSError, ExportError):
        _path().parent.mkdir(parents=True, exist_ok=True)
        with replacing(_path()) as temporary:
            temporary.write_text(json.dumps(document, indent=1), encoding="utf-8")


def fastest(
    question: str, ways: Sequence[str], runs: Callable[[], Mapping[str, Callable[[], object]]], threads: int
) -> str:
    """The fastest of some ways to compute the same, as it was found before, or by trying.

    Args:
        question: what is asked; an answer holds for equal questions.
        ways: their names; of two that are as fast, the first is taken.
        runs: gives something to run for each; called only where they are tried.
        threads: that torch uses.
    """
    answer = standing(question, threads)
    if answer is not None and answer in ways:
        return answer
    now = time.thread_time if threads == 1 else time.perf_counter  # of one thread, what else runs does not count
    doubtful = busy(threads)
    left = dict(runs())
    times = dict.fromkeys(ways, math.inf)
    for near in (3.0, 1.2, 1.1):  # the first run of each also touches new memory
        for way, run in left.items():
            start = now()
            run()
            times[way] = min(times[way], now() - start)
        least = min(times.values())
        left = {way: run for way, run in left.items() if times[way] < near * least}
        if len(left) == 1:
            break
    answer = next(way for way in ways if times[way] <= _CLEARLY * min(times.values()))
    keep(question, answer, doubtful=doubtful or busy(threads))
    return answer


def busy(threads: int) -> bool:
    """Whether others use the processor, so that the time of what runs in several threads says little."""
    if threads == 1:
        return False
    x, weight = torch.full((1, 128, 64, 64), 0.5), torch.full((128, 128, 3, 3), 0.01)
    with torch.no_grad():
        functional.conv2d(x, weight)
        wall, work = time.perf_counter(), time.process_time()
        for _ in range(3):
            functional.conv2d(x, weight)
    return time.process_time() - work < _FREE * threads * (time.perf_counter() - wall)
