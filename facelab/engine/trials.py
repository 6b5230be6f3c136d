"""What was tried on this machine and found fastest, kept from one start to the next.

Ways of computing that differ in the last digit, and a descent of hundreds of steps, end in faces that differ in the first:
were the choice made anew at each start, the same seed would not give the same result tomorrow, and a run that goes on
after a stop not the one that would have been. Where nothing can be kept, each start tries again.
"""

from __future__ import annotations

import contextlib
import functools
import json
import os
import platform
from pathlib import Path

import platformdirs
import torch

from facelab import __version__
from facelab.errors import ExportError
from facelab.files import replacing


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


def keep(question: str, answer: str) -> None:
    """Remember an answer for later starts."""
    document = {"machine": _machine(), "found": {**_kept(), question: answer}}
    with contextlib.suppress(OSError, ExportError):
        _path().parent.mkdir(parents=True, exist_ok=True)
        with replacing(_path()) as temporary:
            temporary.write_text(json.dumps(document, indent=1), encoding="utf-8")
