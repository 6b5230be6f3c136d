"""A disk that is full, without filling one."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager

import pytest

SmallDisk = Callable[[int], AbstractContextManager[None]]


@pytest.fixture
def small_disk() -> SmallDisk:
    """A context in which the system refuses to let any file of this process grow beyond some bytes."""
    resource = pytest.importorskip("resource", reason="file size limits are POSIX")

    @contextlib.contextmanager
    def limited(size: int) -> Iterator[None]:
        old = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (size, old[1]))
        try:
            yield
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, old)

    return limited
