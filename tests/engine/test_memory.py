"""The allocator keeps what is given back, also on a second thread."""

from __future__ import annotations

import subprocess
import sys

import psutil
import pytest

from facelab.engine import memory

PROGRAM = """
import resource, sys, threading
from facelab.engine import memory
assert "torch" not in sys.modules and "PySide6" not in sys.modules
assert memory.keep_memory()
import numpy as np

def faults():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    np.ones(16 << 20, np.float32)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

def work():
    first, *later = [faults() for _ in range(5)]
    print(first, max(later))
    held = memory.resident()
    memory.give_back()
    print(held >> 20, memory.resident() >> 20)

thread = threading.Thread(target=work)
thread.start()
thread.join()
"""


@pytest.mark.skipif(memory._glibc() is None, reason="only glibc's allocator has these settings")
def test_that_memory_is_kept_on_a_second_thread_until_it_is_given_back() -> None:
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    first, later, held, after = map(int, done.stdout.split())
    # Huge pages make few faults of the first touch; without the settings every touch has as many.
    assert later <= max(first // 4, 8)
    assert after < held - 40


def test_that_the_memory_in_use_is_told() -> None:
    assert abs(memory.resident() - psutil.Process().memory_info().rss) < 16 << 20
