"""Screenshots of the real window, every panel, menu and dialog in both themes: ``python -m tests.ui.gallery out/gallery``.

On a screen (Xvfb) of the size, with ``QT_QPA_PLATFORM=xcb``, it looks as for a person; ``QT_SCALE_FACTOR`` gives dense screens. With ``--fake`` the pictures come from the tests' fake engine, which takes seconds; without it from the embedded generator.
"""

from __future__ import annotations

import argparse
import math
import os
import tempfile
from collections.abc import Callable
from pathlib import Path

os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # as facelab.__main__ does

from PySide6.QtCore import QEventLoop, QPoint, QTimer
from PySide6.QtGui import QImage
from PySide6.QtWidgets import QApplication, QDialog, QLabel, QMenu, QTabWidget, QToolButton, QWidget

from facelab.assets import SAMPLE_PHOTO, resource
from facelab.jobs import Engine
from facelab.latent.recipe import Recipe
from facelab.project import Project
from facelab.settings import Settings
from facelab.ui import theme
from facelab.ui.main_window import MainWindow
from facelab.ui.panels import PANELS, Panel
from facelab.ui.panels.arithmetic import ArithmeticPanel
from facelab.ui.panels.directions import DirectionsPanel
from facelab.ui.panels.encode import EncodePanel
from facelab.ui.panels.gallery import GalleryPanel
from facelab.ui.panels.library import LibraryPanel
from facelab.ui.panels.loss import LossPanel
from facelab.ui.panels.mixer import MixerPanel
from facelab.ui.panels.plane import PlanePanel
from facelab.ui.panels.preview import FullScreen, PreviewPanel
from facelab.ui.panels.table import TablePanel
from facelab.ui.plane_view import HOME
from facelab.ui.session import Session
from facelab.ui.widgets import Column, Section
from facelab.worker import Bug, Client

SIZES = ((1280, 800), (1920, 1200))
MANY = 120  # further faces of the library
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
            Visit(window, size, keep).walk()
        finally:
            client.close()
        app.processEvents()


class Visit:
    """A walk through the window that keeps a picture of each place."""

    def __init__(self, window: MainWindow, size: tuple[int, int], keep: Callable[[QWidget, str], None]) -> None:
        self.window, self.session, self.size, self.keep = window, window.session, size, keep

    def walk(self) -> None:
        """All of it."""
        window = self.window
        window.resize(*self.size)
        window.show()
        spin(200)
        self.keep(window, "loading")
        window.start()
        while self.session.generator is None:
            spin(50)
        settle(window)
        self.keep(window, "start")
        self.empty()
        self.fill()
        for kind in PANELS:
            window.show_panel(kind)
            self.shoot(kind.title.lower())
            if kind in (steps := self.steps()):
                steps[kind]()
        self.menus()
        self.dialogs()
        self.messages()
        window.close()
        window.deleteLater()

    def shoot(self, name: str) -> None:
        """The window, once all is drawn."""
        settle(self.window)
        self.keep(self.window, name)

    def popup(self, name: str) -> None:
        """The menu that is open; closes it."""
        spin(50)
        menu = QApplication.activePopupWidget()
        assert menu is not None, name
        self.keep(menu, f"menu-{name}")
        menu.close()
        spin(20)

    def dialog(self, name: str, *pages: str) -> None:
        """The dialogs that are open, each of their tabs; closes them."""
        settle(self.window)
        found = [w for w in QApplication.topLevelWidgets() if isinstance(w, QDialog) and w.isVisible()]
        assert found, name
        for dialog in found:
            self.keep(dialog, name)
            for tabs in dialog.findChildren(QTabWidget):
                for index in range(1, tabs.count()):
                    tabs.setCurrentIndex(index)
                    spin(50)
                    self.keep(dialog, f"{name}-{index + 1}")
            dialog.close()
        spin(20)

    # -- the places ---------------------------------------------------------------------------------------------------
    def empty(self) -> None:
        for kind in PANELS:
            self.window.show_panel(kind)
            spin(50)
            if kind not in (PlanePanel, LibraryPanel, PreviewPanel, MixerPanel):
                self.shoot(f"empty-{kind.title.lower()}")
        self.window.reset_layout.trigger()
        for kind in (PlanePanel, MixerPanel, LibraryPanel):
            self.window.show_panel(kind)
        settle(self.window)

    def fill(self) -> None:
        """What a person has after a while: faces, directions, an encoded photograph."""
        window, session = self.window, self.session
        library = window.panel(LibraryPanel)
        for seed, name in enumerate(NAMES, 3):
            library.keep(self.face(seed), name)
        session.take_random(11)
        window.panel(MixerPanel).put(1, self.face(5))
        window.panel(DirectionsPanel).find_by("pca")
        window.panel(ArithmeticPanel).set_text("Ada + 2/3*(Bo - Cleo)")
        window.panel(TablePanel).fill()
        settle(window)

    def face(self, seed: int) -> Recipe:
        made = self.session.of_seed(seed)
        assert made is not None
        return made

    def steps(self) -> dict[type[Panel], Callable[[], None]]:
        """Further places within a panel."""
        return {
            PlanePanel: self.plane, GalleryPanel: self.gallery, EncodePanel: self.encode, LibraryPanel: self.library,
            PreviewPanel: self.preview, MixerPanel: self.mixer, DirectionsPanel: self.directions,
            ArithmeticPanel: self.arithmetic,
        }  # fmt: skip

    def plane(self) -> None:
        panel = self.window.panel(PlanePanel)
        panel.all_seeds()
        panel.view.settle()
        self.shoot("plane-seeds")
        panel.along_components()
        settle(self.window)
        panel.view.settle()
        panel.overlays.actions()[-1].trigger()
        self.shoot("plane-components-overlay")
        panel.unsay()
        panel.overlays.actions()[0].trigger()
        panel.view.menu_wanted.emit("", (0.5, 0.5), panel.mapToGlobal(panel.rect().center()))
        self.popup("face")
        panel.view.menu_wanted.emit("x", (0.0, 0.0), panel.mapToGlobal(panel.rect().center()))
        self.popup("anchor")
        panel._export()
        self.dialog("export-plane")
        self.session.stack.undo()
        self.session.stack.undo()
        panel.view.look(HOME)

    def gallery(self) -> None:
        for page in ("axes", "psi", "zeros", "near"):
            self.window.panel(GalleryPanel).show_page(page)
            self.shoot(f"gallery-{page}")

    def encode(self) -> None:
        window, panel = self.window, self.window.panel(EncodePanel)
        panel.open_photo(resource(SAMPLE_PHOTO))
        self.shoot("encode-ready")
        self.dropped(resource(SAMPLE_PHOTO).with_name("none.jpg"))
        panel.how.steps.setValue(60)
        panel.how.findChildren(Section)[-1].set_folded(False)
        self.shoot("encode-settings")
        bare = self.session.scratch() / "no face at all in this one.png"
        image = QImage(640, 480, QImage.Format.Format_RGB888)
        image.fill(0x6A7F5A)
        image.save(str(bare))
        panel.open_photo(bare)
        settle(window)
        panel.queue.setCurrentRow(1)
        self.shoot("encode-no-face")
        panel.queue.customContextMenuRequested.emit(panel.queue.visualItemRect(panel.queue.item(1)).center())
        self.popup("queue")
        panel.queue.setCurrentRow(0)
        panel.how.steps.setValue(400)
        panel.encode_all.click()
        while panel.items[0].run is None or panel.items[0].run.steps < 30:
            spin(50)
        spin(300)
        self.keep(window, "encode-running")
        panel.run_page.pause_button.click()
        spin(500)
        self.keep(window, "encode-paused")
        panel.run_page.cancel_button.click()
        while panel.items[1].run is None or panel.items[1].run.steps < 30:
            spin(50)
        panel.run_page.cancel_button.click()
        panel._cancel(panel.items[1])
        self.shoot("encode-cancelled")
        panel.how.steps.setValue(60)
        panel.open_photo(resource(SAMPLE_PHOTO))
        settle(window)
        panel.queue.setCurrentRow(len(panel.items) - 1)
        panel.encode_button.click()
        self.shoot("encode-done")
        loss = window.panel(LossPanel)
        curve = next(c for c in loss.curves.values() if c.shown and c.count == 60)
        step = sorted(curve.kept)[-2]
        loss._moved(loss.plot.scene_point(math.log10(step + 1), math.log10(curve.values("total")[step])))
        self.shoot("loss-pointed")
        loss._forget_hover()
        loss.log_button.click()
        self.shoot("loss-linear")
        loss.log_button.click()
        loss.legend.setCurrentRow(0)
        loss._export_descent()
        self.dialog("export-descent")
        window.report.trigger()
        self.dialog("report")
        window.paste_back.trigger()
        self.dialog("paste-back")
        window.tune.trigger()
        self.dialog("tune")
        window.export_picture.trigger()
        self.dialog("export-picture-of-photo")
        # What was left unfinished is offered again in an empty panel.
        while panel.items:
            panel._remove(panel.items[-1])
        self.shoot("encode-unfinished")

    def dropped(self, *paths: Path) -> None:
        """Files come as if they were dropped on the window; what was wrong with them is shown."""
        self.window.intake.open(paths)
        settle(self.window)

    def library(self) -> None:
        window, panel = self.window, self.window.panel(LibraryPanel)
        panel.list.selectAll()
        self.shoot("library-chosen")
        panel._menu(QPoint(40, 40))
        self.popup("faces-of-library")
        panel.list.setCurrentIndex(panel.model.index(0))
        panel._menu(QPoint(40, 40))
        self.popup("face-of-library")
        panel._ask_tags(panel.selected())
        self.dialog("tags")
        panel._ask_purge(panel.selected())
        self.dialog("delete-for-good")
        panel.list.edit(panel.model.index(1))
        spin(100)
        self.keep(window, "library-rename")
        panel.list.setFocus()
        panel.search.setText("nobody")
        spin(300)
        self.shoot("library-nothing-found")
        panel.search.clear()
        settle(window)
        panel.list.setCurrentIndex(panel.model.index(2))
        panel.delete_selected()
        panel.tag.setCurrentIndex(panel.tag.count() - 1)
        panel.reload()
        self.shoot("library-bin")
        panel.tag.setCurrentIndex(0)
        panel.reload()
        self.session.stack.undo()
        for seed in range(100, 100 + MANY):
            self.session.project.add_face(self.face(seed), f"seed {seed}, one of many")
        self.session.library_changed.emit()
        self.shoot("library-many")

    def preview(self) -> None:
        window, panel = self.window, self.window.panel(PreviewPanel)
        panel.wipe(True)
        self.shoot("preview-wipe")
        panel.wipe(False)
        panel.actual()
        self.shoot("preview-pixels")
        panel.fit()
        panel.full_screen()
        settle(window)
        for each in QApplication.topLevelWidgets():
            if isinstance(each, FullScreen):
                each.resize(*self.size)  # without a window manager nobody does
                self.keep(each, "full-screen")
                each.close()

    def mixer(self) -> None:
        panel = self.window.panel(MixerPanel)
        panel._slot_menu(1)
        self.popup("slot")
        label = next(each for each in panel.findChildren(QLabel) if each.text() == "Coarse")
        panel._row_menu(label, range(4), QPoint(4, 4))
        self.popup("layers")
        folds = [f for f in panel.findChildren(QToolButton) if f.accessibleName().startswith("Layers of")]
        for fold in folds:
            fold.click()
        self.shoot("mixer-layers")
        for fold in panel.findChildren(QToolButton):
            if fold.accessibleName().startswith("Layers of"):
                fold.click()
        inner = [section for section in panel.findChildren(Section) if section.head.text() == "By layer"]
        scroll = panel.findChildren(Column)[0].verticalScrollBar()
        scroll.setValue(scroll.maximum())
        self.shoot("mixer-below")
        for section in inner:
            section.set_folded(False)
        spin(50)
        scroll.setValue(scroll.maximum() // 2)
        self.shoot("mixer-psi-by-layer")
        for section in inner:
            section.set_folded(True)
        scroll.setValue(0)
        for slot in range(2, 5):
            if slot >= len(self.session.state.slots):
                panel.add_slot()
            panel.put(slot, self.face(20 + slot))
        self.shoot("mixer-five-faces")
        for slot in range(5, 12):
            panel.add_slot()
            panel.put(slot, self.face(20 + slot))
        self.shoot("mixer-twelve-faces")

    def directions(self) -> None:
        panel = self.window.panel(DirectionsPanel)
        panel._point(panel.rows[0], True)
        self.shoot("directions-ends")
        panel._point(panel.rows[0], False)
        menu = panel.menu_of(panel.rows[0])
        assert menu is not None
        menu.popup(panel.mapToGlobal(QPoint(40, 40)))
        self.popup("direction")
        panel.show_finder()
        self.shoot("directions-finder")
        panel._ask_others(panel.rows[0].direction)
        self.dialog("hold-others")

    def arithmetic(self) -> None:
        panel = self.window.panel(ArithmeticPanel)
        panel.set_text("Ada + 2 * (Bo - ")
        self.shoot("arithmetic-error")
        panel.set_text("Ada + 9 * (Bo - Cleo)")
        self.shoot("arithmetic-far")

    # -- menus, dialogs, messages ---------------------------------------------------------------------------------------
    def menus(self) -> None:
        window = self.window
        for action in window.menuBar().actions():
            menu = action.menu()
            assert isinstance(menu, QMenu)
            name = action.text().replace("&", "").lower()
            menu.popup(window.mapToGlobal(QPoint(40, 40)))
            self.popup(name)
            for inner in menu.actions():
                sub = inner.menu()
                if isinstance(sub, QMenu) and inner.isEnabled():
                    sub.popup(window.mapToGlobal(QPoint(40, 40)))
                    self.popup(f"{name}-{inner.text().replace('&', '').lower().replace(' ', '-')}")
        for button, name in ((window.chip, "chip"),):
            menu = button.menu()
            menu.popup(window.mapToGlobal(QPoint(40, 40)))
            self.popup(name)

    def dialogs(self) -> None:
        window = self.window
        for action, name in (
            (window.shortcuts, "shortcuts"), (window.settings_action, "settings"), (window.find_command, "palette"),
            (window.export_picture, "export-picture"), (window.export_morph, "export-morph"),
            (window.about_generator, "generator"), (window.catalogue, "catalogue"), (window.about, "about"),
        ):  # fmt: skip
            action.trigger()
            if name == "palette":
                spin(100)
                self.keep(window, "palette-in-window")
            self.dialog(name)
        window.panel(TablePanel)._export()
        self.dialog("export-table")
        window.intake.ask_fetch("https://example.org/pictures/face.jpg")
        self.dialog("fetch-picture")

    def messages(self) -> None:
        """What is said when something goes wrong, and about one's own mistakes."""
        window = self.window
        window.show_panel(PlanePanel)
        bad = [self.session.scratch() / f"{name}.jpg" for name in ("holiday", "portrait of my aunt", "cut off", "four")]
        for path in bad:
            path.write_bytes(b"not a picture")
        self.dropped(*bad)
        self.shoot("message")
        window.say(Bug(ValueError("shape (3, 512) does not fit (512,)")))
        self.shoot("message-bug")
        window._messages.hide()
        window.docks[LibraryPanel].setFloating(True)
        self.shoot("dock-taken-out")
        self.keep(window.docks[LibraryPanel], "floating-dock")
        window.docks[LibraryPanel].setFloating(False)


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
            engine = fakes.FakeEngine(pause=0.005)
            engine.sharp = True
            return engine

        make_desk = fakes.FakeDesk
    for look in [options.theme] if options.theme else list(theme.THEMES):
        for size in SIZES:
            if options.width in (None, size[0]):
                shoot(options.folder, look, size, make, make_desk)


if __name__ == "__main__":
    main()
