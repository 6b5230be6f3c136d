"""The process's memory: an allocator that keeps what torch gives back, and how much is in use.

Imports nothing heavy, so that ``__main__`` can call ``keep_memory`` before Qt, torch and any thread.
"""

from __future__ import annotations

import ctypes
import functools
import os
import sys
from pathlib import Path

# glibc's mallopt parameters, from malloc.h.
_M_TRIM_THRESHOLD = -1
_M_MMAP_THRESHOLD = -3
_M_ARENA_MAX = -8


def keep_memory() -> bool:
    """Stop glibc from giving big blocks back to the kernel after each layer; half of a picture's time goes there.

    Call it before any thread starts: a second thread gets an arena of its own, to which the thresholds do not
    apply, unless there is only one arena.

    Returns:
        Whether it took effect: only on Linux with glibc.
    """
    libc = _glibc()
    if libc is None:
        return False
    settings = ((_M_ARENA_MAX, 1), (_M_MMAP_THRESHOLD, 1 << 30), (_M_TRIM_THRESHOLD, 2**31 - 1))
    taken = [libc.mallopt(name, value) == 1 for name, value in settings]  # all of them, also after a refusal
    return all(taken)


def give_back() -> None:
    """Return free memory to the system (``malloc_trim``); call it when caches were dropped or nothing is to be done."""
    libc = _glibc()
    if libc is not None:
        libc.malloc_trim(0)


def resident() -> int:
    """Memory of this process that lies in RAM, in bytes; where the system does not tell, its highest so far, or 0."""
    try:
        pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE")
    except (OSError, ValueError, IndexError):
        pass
    try:
        import resource
    except ImportError:  # Windows
        return 0
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


@functools.cache
def _glibc() -> ctypes.CDLL | None:
    if not sys.platform.startswith("linux"):
        return None
    libc = ctypes.CDLL(None)
    # musl has neither; its allocator is another.
    return libc if hasattr(libc, "mallopt") and hasattr(libc, "malloc_trim") else None
