"""The README's pictures, of the real window: ``python -m tests.ui.images docs/images``; again after a change that they show."""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # as facelab.__main__ does

from PIL import Image
from PySide6.QtCore import QSize

from facelab import app
from facelab.assets import SAMPLE_PHOTO, resource
from facelab.project import Project
from facelab.settings import Settings
from facelab.ui.main_window import MainWindow
from facelab.ui.panels.encode import EncodePanel
from facelab.ui.panels.library import LibraryPanel
from facelab.ui.panels.mixer import MixerPanel
from facelab.ui.panels.plane import PlanePanel
from tests.ui.gallery import settle, spin

SIZE = QSize(1280, 800)
KEPT = {"Ada": 3, "Bo": 4, "Cleo": 21, "Dag": 6, "Eve": 24, "Finn": 8, "Gus": 9, "Hana": 10}
FACE, OTHER = 11, 5
SHARE = 0.6  # of the encoding's steps that its picture shows


def keep(window: MainWindow, path: Path) -> None:
    """Write what the window shows, as small as it gets without loss."""
    window.grab().save(str(path))
    with Image.open(path) as picture:
        plain = picture.convert("RGB")
    plain.save(path, optimize=True)


def until(met: Callable[[], bool]) -> None:
    while not met():
        spin(20)


def draw(folder: Path) -> None:
    """Both pictures."""
    folder.mkdir(parents=True, exist_ok=True)
    with (
        tempfile.TemporaryDirectory() as home,
        app._window(
            Project.open(Path(home) / "portraits.facelab"), Settings(notice_accepted=True), own_layout=False
        ) as window,
    ):
        window.resize(SIZE)
        window.show()
        window.start()
        session = window.session
        until(lambda: session.generator is not None)
        settle(window)
        library = window.panel(LibraryPanel)
        for name, seed in KEPT.items():
            face = session.of_seed(seed)
            assert face is not None
            library.keep(face, name)
            settle(window)
        face, other = session.of_seed(FACE), session.of_seed(OTHER)
        assert face is not None
        assert other is not None
        session.take(face)
        window.panel(MixerPanel).put(1, other)
        window.show_panel(PlanePanel)
        settle(window)
        keep(window, folder / "window.png")

        panel = window.show_panel(EncodePanel)
        panel.open_photo(resource(SAMPLE_PHOTO))
        settle(window)
        panel.encode_button.click()
        until(lambda: panel.item is not None and panel.item.run is not None)
        assert panel.item is not None
        run = panel.item.run
        assert run is not None
        until(lambda: run.steps >= SHARE * run.settings.steps)
        keep(window, folder / "encode.png")
        assert run.ticket is not None
        run.ticket.cancel()
        settle(window)


if __name__ == "__main__":
    draw(Path(sys.argv[1] if len(sys.argv) > 1 else "docs/images"))
