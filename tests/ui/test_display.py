"""The window on a real display: started as a person starts it, driven with xdotool, looked at from outside."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageGrab

from facelab.assets import SAMPLE_PHOTO, resource
from facelab.project import Project

pytestmark = [
    pytest.mark.display,
    pytest.mark.slow,
    pytest.mark.skipif(not shutil.which("Xvfb") or not shutil.which("xdotool"), reason="needs xvfb and xdotool"),
]


@pytest.fixture
def display() -> Iterator[str]:
    """A virtual screen of its own; Xvfb chooses a free number."""
    read, write = os.pipe()
    server = subprocess.Popen(
        ["Xvfb", "-displayfd", str(write), "-screen", "0", "1280x800x24", "-nolisten", "tcp"],
        pass_fds=[write],
        stderr=subprocess.DEVNULL,
    )
    os.close(write)
    with os.fdopen(read) as number:
        name = f":{number.readline().strip()}"
    yield name
    server.terminate()
    server.wait(10)


class Person:
    """Somebody in front of the screen."""

    def __init__(self, display: str, home: Path) -> None:
        self.display = display
        self.environment = {k: v for k, v in os.environ.items() if k != "QT_QPA_PLATFORM"} | {
            "DISPLAY": display,
            "XDG_CONFIG_HOME": str(home / "config"),
            "XDG_DATA_HOME": str(home / "data"),
            "XDG_STATE_HOME": str(home / "state"),
            "XDG_CACHE_HOME": str(home / "cache"),
        }

    def start(self, *words: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "-m", "facelab", *words],
            env=self.environment,
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )

    def xdotool(self, *words: object) -> str:
        done = subprocess.run(
            ["xdotool", *map(str, words)], env=self.environment, capture_output=True, text=True, timeout=20, check=False
        )
        return done.stdout.strip()

    def look(self) -> Image.Image:
        return ImageGrab.grab(xdisplay=self.display).convert("RGB")

    def wait(self, what: Callable[[], object], seconds: float = 90) -> None:
        end = time.monotonic() + seconds
        while not what():
            if time.monotonic() > end:
                raise AssertionError("what was waited for did not come")
            time.sleep(0.2)

    def colourful(self, box: tuple[int, int, int, int]) -> bool:
        """Whether there is a picture: the window itself is grey."""
        pixels = np.asarray(self.look().crop(box)).astype(int)
        return float((pixels.max(2) - pixels.min(2)).mean()) > 12


def test_that_the_window_starts_draws_takes_a_click_and_closes(display: str, tmp_path: Path) -> None:
    person = Person(display, tmp_path)
    process = person.start()
    try:
        person.wait(lambda: person.xdotool("search", "--onlyvisible", "--name", "facelab"))
        window = person.xdotool("search", "--onlyvisible", "--name", "facelab").split()[0]
        person.xdotool("windowmove", window, 0, 0)
        person.xdotool("windowsize", window, 1280, 800)
        preview, plane = (920, 100, 1250, 420), (230, 150, 890, 550)
        person.wait(lambda: person.colourful(preview) and person.colourful(plane))
        before = np.asarray(person.look().crop(preview)).astype(int)
        person.xdotool("mousemove", 760, 260, "click", 1)
        person.wait(lambda: np.abs(np.asarray(person.look().crop(preview)).astype(int) - before).mean() > 5)
        person.xdotool("mousemove", 640, 700)
        person.xdotool("key", "ctrl+z")
        person.wait(lambda: np.abs(np.asarray(person.look().crop(preview)).astype(int) - before).mean() < 2)
        process.send_signal(signal.SIGTERM)
        output, errors = process.communicate(timeout=30)
        assert process.returncode == 0, errors
        assert (output, errors) == ("", "")
    finally:
        process.kill()
        process.communicate()


def test_that_a_killed_encoding_is_there_at_the_next_start(display: str, tmp_path: Path) -> None:
    person = Person(display, tmp_path)
    project = tmp_path / "people.facelab"
    Project.open(project).close()
    process = person.start("window", str(project), str(resource(SAMPLE_PHOTO)))
    try:
        person.wait(lambda: person.xdotool("search", "--onlyvisible", "--name", "facelab"))
        window = person.xdotool("search", "--onlyvisible", "--name", "facelab").split()[0]
        person.xdotool("windowmove", window, 0, 0)
        person.xdotool("windowsize", window, 1280, 800)
        person.wait(lambda: person.colourful((920, 100, 1250, 420)))
        person.xdotool("mousemove", 700, 16, "click", 1)  # without a window manager a click gives the focus

        def begun() -> bool:
            person.xdotool("key", "ctrl+Return")  # does nothing until the crop is there, and nothing once it has begun
            with contextlib.closing(sqlite3.connect(f"file:{project}?mode=ro", uri=True)) as db:
                return bool(db.execute("SELECT count(*) FROM checkpoints").fetchone()[0])

        person.wait(begun)
    finally:
        process.kill()
        process.communicate()
    with Project.open(project) as opened:
        assert opened.check() == []
        (run,) = opened.runs()
        assert run.status == "interrupted"
        assert opened.kept_steps(run.id)
        assert opened.last_checkpoint(run.id) is not None
