"""Screenshots of the real window, every panel in both themes: ``python -m tests.ui.gallery out/gallery``.

With ``--fake`` the pictures come from the tests' fake engine, which takes seconds; without it from the embedded generator.
"""

from __future__ import annotations

import argparse
import os
import tempfile
from collections.abc import Callable
from pathlib import Path

os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # as facelab.__main__ does

from PySide6.QtCore import QEventLoop, QTimer
from PySide6.QtWidgets import QApplication, QDialog, QToolButton, QWidget

from facelab.assets import SAMPLE_PHOTO, resource
from facelab.jobs import Engine
from facelab.project import Project
from facelab.settings import Settings
from facelab.ui import theme
from facelab.ui.main_window import MainWindow
from facelab.ui.panels import PANELS
from facelab.ui.panels.arithmetic import ArithmeticPanel
from facelab.ui.panels.directions import DirectionsPanel
from facelab.ui.panels.encode import EncodePanel
from facelab.ui.panels.gallery import GalleryPanel
from facelab.ui.panels.library import LibraryPanel
from facelab.ui.panels.mixer import MixerPanel
from facelab.ui.panels.plane import PlanePanel
from facelab.ui.panels.table import TablePanel
from facelab.ui.session import Session
from facelab.worker import Client

SIZES = ((1280, 800), (1920, 1200))
NAMES = ("Ada", "Bo", "Cleo", "Dag", "Eve", "Finn", "Gus", "Hana")


def spin(milliseconds: int) -> None:
    """Let the window run for a while."""
    loop = QEventLoop()
    QTimer.singleShot(milliseconds, loop.quit)
    loop.exec()


def settle(window: MainWindow, most: int = 60_000) -> None:
    """Until nothing is being worked on."""
    for _ in range(most // 100):
        spin(100)
        if not window.client._tickets:
            break
    spin(500)
    while window.client._tickets:
        spin(100)


def real() -> Engine:
    from facelab.engine.engine import TorchEngine

    return TorchEngine("cpu")


def desk() -> Engine:
    from facelab.engine.desk import Desk

    return Desk()


def shoot(
    folder: Path, look: str, size: tuple[int, int], make: Callable[[], Engine], make_desk: Callable[[], Engine]
) -> None:
    """All pictures of one theme at one size."""
    app = QApplication.instance() or QApplication(["facelab"])
    assert isinstance(app, QApplication)
    theme.apply(app, look)
    folder.mkdir(parents=True, exist_ok=True)

    def keep(widget: QWidget, name: str) -> None:
        widget.grab().save(str(folder / f"{look}-{size[0]}-{name}.png"))

    with tempfile.TemporaryDirectory() as home:
        for name in ("XDG_CONFIG_HOME", "XDG_DATA_HOME", "XDG_CACHE_HOME", "XDG_STATE_HOME"):
            os.environ[name] = home  # no layout of an earlier window
        client = Client(make, make_desk)
        try:
            window = MainWindow(Session(Project.open(Path(home) / "portraits.facelab"), Settings(theme=look)), client)
            visit(window, size, keep)
        finally:
            client.close()
        app.processEvents()


def visit(window: MainWindow, size: tuple[int, int], keep: Callable[[QWidget, str], None]) -> None:
    """Go through the window, keeping a picture of each place."""
    window.resize(*size)
    window.show()
    spin(200)
    keep(window, "loading")
    window.start()
    while window.session.generator is None:
        spin(50)
    settle(window)
    keep(window, "start")
    for kind in PANELS:
        window.show_panel(kind)
        spin(50)
        if kind in (GalleryPanel, TablePanel, EncodePanel, DirectionsPanel, ArithmeticPanel):
            settle(window)
            keep(window, f"empty-{kind.title.lower()}")
    window.reset_layout.trigger()
    window.show_panel(PlanePanel)
    window.show_panel(MixerPanel)
    window.show_panel(LibraryPanel)
    settle(window)
    session = window.session
    library = window.panel(LibraryPanel)
    for seed, name in enumerate(NAMES, 3):
        made = session.of_seed(seed)
        assert made is not None
        library.keep(made, name)
    session.take_random(11)
    other = session.of_seed(5)
    assert other is not None
    window.panel(MixerPanel).put(1, other)
    window.panel(DirectionsPanel).find_by("pca")
    window.panel(ArithmeticPanel).set_text("Ada + 2/3*(Bo - Cleo)")
    settle(window)
    window.panel(EncodePanel).open_photo(resource(SAMPLE_PHOTO))
    window.panel(TablePanel).fill()
    settle(window)
    for kind in PANELS:
        window.show_panel(kind)
        settle(window)
        keep(window, kind.title.lower())
        if kind is GalleryPanel:
            for page in ("axes", "psi", "zeros", "near"):
                window.panel(GalleryPanel).show_page(page)
                settle(window)
                keep(window, f"gallery-{page}")
        if kind is MixerPanel:
            for fold in window.panel(MixerPanel).findChildren(QToolButton):
                if fold.accessibleName().startswith("Layers of"):
                    fold.click()
            settle(window)
            keep(window, "mixer-layers")
    for action, name in (
        (window.shortcuts, "shortcuts"),
        (window.settings_action, "settings"),
        (window.export_picture, "export-picture"),
        (window.export_morph, "export-morph"),
        (window.about_generator, "generator"),
        (window.about, "about"),
    ):
        action.trigger()
        settle(window)
        for dialog in QApplication.topLevelWidgets():
            if isinstance(dialog, QDialog) and dialog.isVisible():
                keep(dialog, name)
                dialog.close()
    window.close()
    window.deleteLater()


def main() -> None:
    reader = argparse.ArgumentParser(description=__doc__)
    reader.add_argument("folder", type=Path, nargs="?", default=Path("out/gallery"))
    reader.add_argument("--fake", action="store_true")
    reader.add_argument("--theme", choices=tuple(theme.THEMES), help="only this one")
    reader.add_argument("--width", type=int, help="only the size of this width")
    options = reader.parse_args()
    make: Callable[[], Engine] = real
    make_desk: Callable[[], Engine] = desk
    if options.fake:
        from tests import fakes

        def make() -> Engine:
            engine = fakes.FakeEngine()
            engine.sharp = True
            return engine

        make_desk = fakes.FakeDesk
    for look in [options.theme] if options.theme else list(theme.THEMES):
        for size in SIZES:
            if options.width in (None, size[0]):
                shoot(options.folder, look, size, make, make_desk)


if __name__ == "__main__":
    main()
