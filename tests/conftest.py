"""What all tests share: where foreign test data lies, and that no thread or window outlives its test."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

# Tests run without a screen unless they are marked as needing one and start a display of their own.
os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")
# Threads that spin for one another make tests ten times slower on a busy machine.
os.environ.setdefault("OMP_NUM_THREADS", "1")
# A shell that runs the tests behind it has them ignore Ctrl+C, and what they start inherits that; some of them interrupt it.
signal.signal(signal.SIGINT, signal.default_int_handler)


USER_FOLDERS = "XDG_CONFIG_HOME", "XDG_DATA_HOME", "XDG_CACHE_HOME", "XDG_STATE_HOME"


@pytest.fixture(scope="session")
def test_data() -> Path:
    """Checkpoint fixtures and portraits that are not the project's to ship."""
    where = os.environ.get("FACELAB_TEST_DATA")
    if not where:
        pytest.skip("FACELAB_TEST_DATA is not set: checkpoint fixtures and portraits are not here")
    return Path(where).resolve()


@pytest.fixture(autouse=True)
def no_thread_outlives_its_test() -> Iterator[None]:
    before = set(threading.enumerate())
    yield
    left = [t for t in threading.enumerate() if t not in before and t.is_alive() and not t.daemon]
    for thread in left:
        thread.join(2)
    left = [t for t in left if t.is_alive()]
    assert not left, f"threads left running: {left}"


@pytest.fixture(scope="session", autouse=True)
def session_folders(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Settings, data and caches of the person who runs the tests are never touched, by fixtures of whole modules neither.

    The cache is one for all tests: it holds which forms of a convolution were found fastest, and pictures that are to be
    equal to the last digit are drawn with the same forms.
    """
    folder = tmp_path_factory.mktemp("user")
    with pytest.MonkeyPatch.context() as patch:
        for name in USER_FOLDERS:
            patch.setenv(name, str(folder / name.lower()))
        yield


@pytest.fixture(autouse=True)
def own_user_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each test has settings and data of its own."""
    for name in USER_FOLDERS:
        if name != "XDG_CACHE_HOME":
            monkeypatch.setenv(name, str(tmp_path / name.lower()))
