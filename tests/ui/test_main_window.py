"""The whole window over the real worker and a fake engine, by events as a person makes them."""

from __future__ import annotations

import base64
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from PySide6.QtCore import QMimeData, QPoint, Qt, QUrl
from PySide6.QtGui import QAction, QImage, QKeySequence, QShortcut
from PySide6.QtTest import QTest
from PySide6.QtWidgets import (
    QAbstractButton,
    QAbstractItemView,
    QAbstractSlider,
    QAbstractSpinBox,
    QApplication,
    QComboBox,
    QDialog,
    QLabel,
    QLineEdit,
    QMessageBox,
    QScrollBar,
    QWidget,
)
from pytestqt.qtbot import QtBot

from facelab import jobs
from facelab.errors import AmbiguousLatent, CheckpointError
from facelab.jobs import FetchPicture, Job, OpenPhoto
from facelab.latent.code import Code
from facelab.latent.recipe import Recipe
from facelab.project import Project
from facelab.settings import Settings
from facelab.ui import theme
from facelab.ui.commands import CommandPalette, ShortcutSheet, actions_of
from facelab.ui.main_window import MainWindow
from facelab.ui.panels import PANELS
from facelab.ui.panels.directions import DirectionsPanel
from facelab.ui.panels.encode import EncodePanel
from facelab.ui.panels.history import HistoryPanel
from facelab.ui.panels.library import LibraryPanel, png_of
from facelab.ui.panels.mixer import MixerPanel
from facelab.ui.panels.preview import PreviewPanel
from facelab.ui.session import Session
from facelab.ui.settings_dialog import SettingsDialog
from facelab.worker import Client
from tests import fakes
from tests.ui.test_widgets import drop

Idle = Callable[[], None]
Jobs = Callable[[type[Job]], list[Job]]


def face(seed: int) -> Recipe:
    return Recipe.of(Code.from_seed(seed, fakes.Z_DIM, fakes.SHA))


@pytest.fixture(scope="module")
def engine() -> fakes.FakeEngine:
    return fakes.FakeEngine()


@pytest.fixture(scope="module")
def desk() -> fakes.FakeDesk:
    return fakes.FakeDesk()


@pytest.fixture(scope="module")
def client(qapp: QApplication, engine: fakes.FakeEngine, desk: fakes.FakeDesk) -> Iterator[Client]:
    made = Client(lambda: engine, lambda: desk)
    yield made
    made.close()


@pytest.fixture(scope="module")
def session(qapp: QApplication, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Session]:
    made = Session(Project.open(tmp_path_factory.mktemp("first") / "library.facelab"))
    yield made
    made.close()


@pytest.fixture(scope="module")
def shared(qapp: QApplication, session: Session, client: Client) -> Iterator[MainWindow]:
    """One window for all tests here, since to build one takes a third of a second; `window` makes it as new."""
    theme.apply(qapp, "dark")
    made = MainWindow(session, client)
    made.resize(1280, 800)
    made.show()
    made.start()
    yield made
    made._sure = True
    made.close()
    made.deleteLater()
    qapp.processEvents()


@pytest.fixture
def window(
    qapp: QApplication,
    qtbot: QtBot,
    shared: MainWindow,
    engine: fakes.FakeEngine,
    desk: fakes.FakeDesk,
    idle: Idle,
    tmp_path: Path,
) -> Iterator[MainWindow]:
    session = shared.session
    session.settings = Settings()
    session.settings_changed.emit(session.settings)
    session.lock(range(99), False)
    session.clock = time.monotonic
    session.open_project(Project.open(tmp_path / "library.facelab"))
    if session.generator is None or session.generator.sha256 != fakes.SHA:
        shared.generators.open(None)
        qtbot.waitUntil(lambda: session.generator is not None and session.generator.sha256 == fakes.SHA, timeout=20_000)
    assert session.generator is not None
    session._show(session._start(session.generator))
    session.stack.clear()
    shared._messages.hide()
    shared.reset_layout.trigger()
    idle()
    for each in (engine, desk):
        each.done.clear()
        each.fail.clear()
        each.pause = 0.0
    yield shared
    for dialog in shared.findChildren(QDialog):
        dialog.close()
    idle()


@pytest.fixture
def idle(qtbot: QtBot, client: Client) -> Idle:
    return lambda: qtbot.waitUntil(lambda: not client._tickets, timeout=30_000)


def files(*paths: Path) -> QMimeData:
    mime = QMimeData()
    mime.setUrls([QUrl.fromLocalFile(str(path)) for path in paths])
    return mime


def shown(window: MainWindow, kind: type[QDialog]) -> QDialog:
    return next(d for d in QApplication.topLevelWidgets() if isinstance(d, kind) and d.isVisible())


# -- what is there ----------------------------------------------------------------------------------------------------------


def test_that_the_engine_is_told_where_tunings_lie_before_a_generator_opens(
    qtbot: QtBot, window: MainWindow, engine: fakes.FakeEngine
) -> None:
    engine.done.clear()
    window.generators.open(None)
    qtbot.waitUntil(lambda: any(isinstance(job, jobs.OpenGenerator) for job in engine.done), timeout=5000)
    told = next(job for job in engine.done if isinstance(job, jobs.UseTunings | jobs.OpenGenerator))
    assert isinstance(told, jobs.UseTunings)
    assert told.project == window.session.project.path


def test_that_every_panel_is_in_the_view_menu(window: MainWindow) -> None:
    named = {action.text() for path, action in actions_of(window.menuBar()) if path == "View"}
    assert {kind.title for kind in PANELS} <= named
    assert set(window.panels) == set(PANELS)


def test_that_every_control_has_a_name_for_a_screen_reader_and_can_be_reached(window: MainWindow) -> None:
    kinds = (QAbstractButton, QAbstractSlider, QAbstractSpinBox, QComboBox, QLineEdit, QAbstractItemView)
    for widget in window.findChildren(QWidget):
        if not isinstance(widget, kinds) or isinstance(widget, QScrollBar):
            continue
        inner = isinstance(widget.parent(), QAbstractSpinBox | QComboBox | QLineEdit) or widget.objectName().startswith(
            "qt_"
        )
        if inner or (
            isinstance(widget, QAbstractButton) and type(widget).__name__ in ("CloseButton", "QDockWidgetTitleButton")
        ):
            continue
        if type(widget.parent()).__name__ in ("QTabBar", "QToolBar", "QLineEdit") or widget.window() is not window:
            continue
        text = widget.text() if isinstance(widget, QAbstractButton) else ""
        assert widget.accessibleName() or text, f"{widget} in {widget.parent()}"
        if isinstance(widget, QAbstractButton) and not text:
            assert widget.toolTip(), f"{widget.accessibleName()} has no tooltip"


def test_that_no_two_commands_share_their_keys(window: MainWindow) -> None:
    seen: dict[str, str] = {}
    for _, action in actions_of(window.menuBar()):
        for keys in action.shortcuts():
            assert keys.toString() not in seen, f"{action.text()} and {seen.get(keys.toString())}: {keys.toString()}"
            seen[keys.toString()] = action.text()


def test_that_the_title_names_the_project(window: MainWindow) -> None:
    assert window.windowTitle() == "library — facelab"


def test_that_it_fits_a_small_screen_and_stays_as_large_as_it_was_made(window: MainWindow) -> None:
    assert (window.width(), window.height()) == (1280, 800)
    assert window.minimumSizeHint().width() <= 1280
    assert window.minimumSizeHint().height() <= 720
    for kind in PANELS:
        window.show_panel(kind)
        QApplication.processEvents()
        assert (window.width(), window.height()) == (1280, 800), kind


# -- doing things -----------------------------------------------------------------------------------------------------------
def test_that_the_seed_field_takes_the_face_of_a_seed_and_undo_brings_the_former_back(
    window: MainWindow, session: Session, idle: Idle
) -> None:
    window.seed.setFocus()
    window.seed.lineEdit().selectAll()
    QTest.keyClicks(window.seed, "12")
    QTest.keyClick(window.seed, Qt.Key.Key_Return)
    assert session.state.recipe == face(12)
    assert window.undo.text() == "&Undo seed 12"
    assert "Undo seed 12 (Ctrl+Z)" in window.undo.toolTip()
    window.undo.trigger()
    assert session.state.recipe == face(0)
    assert window.seed.value() == 0
    idle()


def test_that_the_arrow_keys_go_through_seeds_as_one_step(window: MainWindow, session: Session, idle: Idle) -> None:
    session.clock = lambda: 1.0
    for _ in range(3):
        QTest.keyClick(window.seed, Qt.Key.Key_Up)
    assert session.state.recipe == face(3)
    assert session.stack.count() == 1
    idle()


def test_that_a_picture_copied_is_pasted_as_the_same_face(window: MainWindow, session: Session, idle: Idle) -> None:
    session.take(face(5))
    idle()
    window.copy.trigger()
    assert QApplication.clipboard().mimeData().hasImage()
    session.take(face(6))
    window.paste.trigger()
    assert session.state.recipe == face(5)
    idle()


def test_that_history_goes_back_to_any_step(window: MainWindow, session: Session, idle: Idle) -> None:
    for seed in (3, 4, 5):
        session.take(face(seed), f"Seed {seed}")
    window._fill_history()
    entries = window._history.actions()
    assert [a.text() for a in entries] == ["Seed 5", "Seed 4", "Seed 3", "The start"]
    assert entries[0].isChecked()
    entries[2].trigger()
    assert session.state.recipe == face(3)
    assert session.stack.canRedo()
    idle()


def test_that_a_face_is_kept_in_the_library(window: MainWindow, session: Session, idle: Idle) -> None:
    window.keep.trigger()
    session.project.flush()
    (row,) = session.project.faces()
    assert row.name == "seed 0"
    assert session.project.recipe(row.id) == face(0)
    idle()


def test_that_a_command_is_found_by_a_part_of_its_name(
    window: MainWindow, session: Session, qtbot: QtBot, idle: Idle
) -> None:
    window.find_command.trigger()
    palette = shown(window, CommandPalette)
    assert isinstance(palette, CommandPalette)
    QTest.keyClicks(palette.field, "rndm")
    assert palette.list.currentItem().text() == "Random face"
    QTest.keyClick(palette.field, Qt.Key.Key_Return)
    assert session.stack.undoText() == "Random face"
    idle()


def test_that_the_sheet_shows_every_key_that_is_bound(window: MainWindow) -> None:
    window.shortcuts.trigger()
    sheet = shown(window, ShortcutSheet)
    said = [line for part in sheet.findChildren(QWidget) for line in part.accessibleName().splitlines()]
    bound = [action for action in window.findChildren(QAction) if action.shortcuts()]
    assert len(bound) > len([action for _, action in actions_of(window.menuBar()) if action.shortcuts()])
    for action in bound:
        keys = " or ".join(each.toString(QKeySequence.SequenceFormat.NativeText) for each in action.shortcuts())
        assert f"{keys}: {action.iconText().replace('&', '').removesuffix('…')}" in said
    assert not window.findChildren(QShortcut), "keys are bound to actions, which have a name for the sheet"
    for panel in window.panels.values():
        for keys, what in panel.keys:
            assert f"{keys}: {what}" in said


@pytest.mark.slow
def test_that_the_theme_changes_at_once_and_is_remembered(window: MainWindow, session: Session) -> None:
    light = next(a for _, a in actions_of(window.menuBar()) if a.data() == "light")
    light.trigger()
    assert session.settings.theme == "light"
    assert window.palette().window().color().lightness() > 200
    assert light.isChecked()


def test_that_the_settings_dialog_changes_settings(window: MainWindow, session: Session, qtbot: QtBot) -> None:
    dialog = SettingsDialog(session, window)
    qtbot.addWidget(dialog)
    for number in range(dialog.pages.count()):
        dialog.pages.setCurrentIndex(number)
    field = next(w for w in dialog.findChildren(QAbstractSpinBox) if w.accessibleName() == "Steps")
    field.setValue(250)  # type: ignore[attr-defined]
    assert session.settings.encode_steps == 250
    for widget in dialog.findChildren(QWidget):
        if isinstance(widget, QAbstractSpinBox | QComboBox):
            assert widget.accessibleName()


# -- files ------------------------------------------------------------------------------------------------------------------
def test_that_a_dropped_picture_with_a_recipe_restores_its_face(
    window: MainWindow, session: Session, tmp_path: Path, idle: Idle
) -> None:
    assert drop(window, files(tmp_path / "a.face.png"))
    idle()
    assert session.state.recipe == face(42)


def test_that_a_dropped_photograph_opens_in_the_encode_panel(
    window: MainWindow, tmp_path: Path, idle: Idle, jobs_of: Jobs
) -> None:
    assert drop(window, files(tmp_path / "me.jpg"))
    idle()
    assert window.tabs.currentWidget() is window.panel(EncodePanel)
    (job,) = jobs_of(jobs.OpenPhoto)
    assert isinstance(job, jobs.OpenPhoto)
    assert job.path == tmp_path / "me.jpg"


@pytest.mark.slow
def test_that_a_dropped_generator_opens_as_a_step_and_undo_opens_the_former_again(
    window: MainWindow, session: Session, tmp_path: Path, idle: Idle, qtbot: QtBot
) -> None:
    session.take(face(7))
    drop(window, files(tmp_path / "ffhq.pkl"))
    qtbot.waitUntil(lambda: session.generator is not None and session.generator.name == "ffhq", timeout=20_000)
    idle()
    assert session.stack.undoText() == "Open ffhq"
    assert session.settings.recent_generators == (str(tmp_path / "ffhq.pkl"),)
    (menu,) = (one.menu() for one in window.menuBar().actions() if one.text() == "&Generator")
    menu.aboutToShow.emit()
    (recent,) = (one.menu() for one in menu.actions() if one.text() == "Open &recent")
    assert recent.isEnabled()
    assert [one.text() for one in recent.actions()] == ["ffhq.pkl"]
    window.undo.trigger()
    qtbot.waitUntil(lambda: session.generator is not None and session.generator.sha256 == fakes.SHA, timeout=20_000)
    idle()
    assert session.state.recipe == face(7)
    np.testing.assert_array_equal(window.panel(PreviewPanel).pixels, fakes.draw(fakes.ws_of(face(7)), 128, 0.03, 1))


def test_that_what_latents_do_not_say_is_asked_one_after_the_other(
    window: MainWindow, engine: fakes.FakeEngine, tmp_path: Path, idle: Idle, jobs_of: Jobs
) -> None:
    def answer(text: str) -> None:
        boxes = [box for box in window.findChildren(QMessageBox) if box.isVisible()]
        (button,) = (one for one in boxes[-1].buttons() if one.text() == text)
        button.click()
        idle()

    engine.fail[jobs.ReadLatents] = AmbiguousLatent("several arrays", ("a", "b"), asks="array")
    drop(window, files(tmp_path / "codes.npz"))
    idle()
    engine.fail[jobs.ReadLatents] = AmbiguousLatent("in W or in Z", ("w", "z"))
    answer("b")
    del engine.fail[jobs.ReadLatents]
    answer("Z")
    job = jobs_of(jobs.ReadLatents)[-1]
    assert isinstance(job, jobs.ReadLatents)
    assert (job.array, job.space) == ("b", "z")


def test_that_a_file_that_is_none_of_these_is_refused_in_a_sentence(
    window: MainWindow, tmp_path: Path, idle: Idle
) -> None:
    drop(window, files(tmp_path / "notes.xyz"))
    idle()
    assert window._messages.text == "Notes.xyz is not a file that facelab knows."


def test_that_several_files_that_cannot_be_opened_are_said_together(
    window: MainWindow, tmp_path: Path, idle: Idle
) -> None:
    drop(window, files(*(tmp_path / f"{name}.xyz" for name in ("one", "two", "three", "four")), tmp_path / "good.npy"))
    idle()
    said = window._messages.text
    assert said.startswith("4 files could not be opened")
    assert all(f"{name}.xyz" in said for name in ("one", "two", "three"))
    drop(window, files(tmp_path / "good.npy"))
    idle()
    assert not window._messages.isVisible(), "what is dropped next is another matter"


def test_that_the_key_of_a_dock_brings_it_to_the_front_and_closes_it_only_there(
    window: MainWindow, qtbot: QtBot
) -> None:
    mixer, directions = window.panel(MixerPanel), window.panel(DirectionsPanel)
    qtbot.waitUntil(lambda: not mixer.visibleRegion().isEmpty(), timeout=2000)
    action = window._dock_actions[DirectionsPanel]
    assert action.isChecked()
    action.trigger()
    qtbot.waitUntil(lambda: not directions.visibleRegion().isEmpty(), timeout=2000)
    assert action.isChecked()
    action.trigger()
    assert window.docks[DirectionsPanel].isHidden()
    assert not action.isChecked()
    action.trigger()
    qtbot.waitUntil(lambda: not directions.visibleRegion().isEmpty(), timeout=2000)


def test_that_a_dock_that_is_left_alone_shows_its_title(window: MainWindow, qtbot: QtBot) -> None:
    library, history = window.docks[LibraryPanel], window.docks[HistoryPanel]
    title = history.titleBarWidget()
    qtbot.waitUntil(lambda: title.height() == 0 or not title.findChild(QLabel).isVisible(), timeout=2000)
    library.setFloating(True)
    qtbot.waitUntil(lambda: title.findChild(QLabel).isVisible(), timeout=2000)
    library.setFloating(False)


def test_that_a_generator_that_cannot_be_opened_leaves_the_one_that_is_open(
    window: MainWindow, session: Session, engine: fakes.FakeEngine, tmp_path: Path, idle: Idle
) -> None:
    engine.fail[jobs.OpenGenerator] = CheckpointError("bad.pkl is cut off; download it again")
    window.generators.open(tmp_path / "bad.pkl")
    idle()
    assert window._messages.text == "Bad.pkl is cut off; download it again."
    assert session.generator is not None
    assert session.generator.name == "portraits"
    assert "portraits" in window.chip.text()


def test_that_a_face_whose_generator_is_nowhere_is_said_once(window: MainWindow, session: Session, idle: Idle) -> None:
    session.take(Recipe.of(Code.from_seed(1, fakes.Z_DIM, "0b" * 32)))
    assert "0b0b0b0b" in window._messages.text
    window.undo.trigger()
    idle()
    assert session.state.recipe == face(0)


def test_that_another_project_is_opened_and_remembered(
    window: MainWindow, session: Session, tmp_path: Path, idle: Idle
) -> None:
    window.open_project(tmp_path / "second.facelab")
    idle()
    assert session.project.path.name == "second.facelab"
    assert window.windowTitle() == "second — facelab"
    assert session.settings.last_project == str(tmp_path / "second.facelab")
    (tmp_path / "broken.facelab").write_bytes(b"not a project at all" * 100)
    window.open_project(tmp_path / "broken.facelab")
    assert "broken.facelab" in window._messages.text.lower()
    assert session.project.path.name == "second.facelab"


def test_that_a_project_saved_elsewhere_holds_the_faces(
    window: MainWindow, session: Session, tmp_path: Path, idle: Idle
) -> None:
    window.keep.trigger()
    window._save_project(tmp_path / "copy.facelab")
    idle()
    assert session.project.path.name == "copy.facelab"
    assert [row.name for row in session.project.faces()] == ["seed 0"]
    assert session.state.recipe == face(0)


# -- layout and the end -----------------------------------------------------------------------------------------------------


def test_that_a_drag_of_a_mixer_slider_in_the_window_is_one_step(
    window: MainWindow, session: Session, idle: Idle
) -> None:
    window.panel(MixerPanel).put(1, face(5))
    before = session.stack.count()
    inner = window.panel(MixerPanel)._group_rows[1, "coarse"].slider
    y = inner.height() // 2
    QTest.mousePress(inner, Qt.MouseButton.LeftButton, pos=QPoint(inner.width() // 2, y))
    for x in range(inner.width() // 2, inner.width(), 3):
        QTest.mouseMove(inner, QPoint(x, y))
    QTest.mouseRelease(inner, Qt.MouseButton.LeftButton, pos=QPoint(inner.width() - 7, y))
    assert session.stack.count() == before + 1
    idle()


def links(*addresses: str) -> QMimeData:
    mime = QMimeData()
    mime.setUrls([QUrl(address) for address in addresses])
    return mime


def test_that_a_link_from_a_browser_is_fetched_only_when_the_person_says_so(
    qtbot: QtBot, window: MainWindow, jobs_of: Callable[[type[Job]], list[Job]]
) -> None:
    def question() -> QMessageBox:
        (box,) = window.findChildren(QMessageBox)
        assert "example.org" in box.text()
        return box

    drop(window, links("https://example.org/photos/me%20too.jpg?size=2"))
    question().close()
    qtbot.waitUntil(lambda: not window.findChildren(QMessageBox))
    assert not jobs_of(FetchPicture)
    drop(window, links("https://example.org/photos/me%20too.jpg?size=2"))
    fetch = next(b for b in question().buttons() if b.text() == "Fetch")
    qtbot.mouseClick(fetch, Qt.MouseButton.LeftButton)
    encode = window.panel(EncodePanel)
    qtbot.waitUntil(lambda: "me too.jpg" in [job.path.name for job in jobs_of(OpenPhoto)], timeout=5000)  # type: ignore[attr-defined]
    (job,) = jobs_of(FetchPicture)
    assert job.address.endswith("me%20too.jpg?size=2")  # type: ignore[attr-defined]
    assert window.tabs.currentWidget() is encode


def test_that_a_picture_that_comes_as_data_needs_no_network(
    qtbot: QtBot, window: MainWindow, jobs_of: Callable[[type[Job]], list[Job]]
) -> None:
    before = len(jobs_of(FetchPicture))
    png = base64.b64encode(png_of(QImage(8, 8, QImage.Format.Format_RGB888))).decode("ascii")
    drop(window, links(f"data:image/png;base64,{png}"))
    qtbot.waitUntil(lambda: "pasted.png" in [job.path.name for job in jobs_of(OpenPhoto)], timeout=5000)  # type: ignore[attr-defined]
    assert len(jobs_of(FetchPicture)) == before
