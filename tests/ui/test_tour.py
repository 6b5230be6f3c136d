"""Visits to the real window with the real engine, by mouse and keys: what is asserted stands on the screen or in a file."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image
from PySide6.QtCore import QMimeData, QPoint, QPointF, Qt, QUrl
from PySide6.QtGui import QDragEnterEvent, QDropEvent, QImage, QWheelEvent
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QApplication, QLineEdit, QMenu, QMessageBox, QWidget
from pytestqt.qtbot import QtBot

from facelab import app
from facelab.assets import SAMPLE_PHOTO, resource
from facelab.jobs import ExportMorph, ExportPictures, Written
from facelab.latent.recipe import Recipe
from facelab.media.picture import read_recipe
from facelab.project import Project
from facelab.settings import Settings
from facelab.ui.dialogs import ExportPictureDialog
from facelab.ui.main_window import MainWindow
from facelab.ui.panels.encode import EncodePanel
from facelab.ui.panels.library import LibraryPanel
from facelab.ui.panels.mixer import MixerPanel
from facelab.ui.panels.plane import PlanePanel
from facelab.ui.panels.preview import PreviewPanel
from facelab.worker import Ticket

pytestmark = pytest.mark.slow


@pytest.fixture
def window(qapp: QApplication, tmp_path: Path) -> Iterator[MainWindow]:
    with app._window(Project.open(tmp_path / "tour.facelab"), Settings(notice_accepted=True)) as made:
        made.resize(1280, 800)
        made.show()
        made.start()
        yield made


def drop(window: MainWindow, path: Path) -> None:
    mime = QMimeData()
    mime.setUrls([QUrl.fromLocalFile(str(path))])
    button, keys = Qt.MouseButton.LeftButton, Qt.KeyboardModifier.NoModifier
    at = QPoint(640, 300)
    enter = QDragEnterEvent(at, Qt.DropAction.CopyAction, mime, button, keys)
    QApplication.sendEvent(window, enter)
    assert enter.isAccepted()
    QApplication.sendEvent(window, QDropEvent(QPointF(at), Qt.DropAction.CopyAction, mime, button, keys))


def done(qtbot: QtBot, ticket: Ticket) -> list[object]:
    answers: list[object] = []
    ticket.answered.connect(answers.append)
    with qtbot.waitSignal(ticket.closed, timeout=120_000) as closed:
        pass
    assert closed.args == ["done"]
    return answers


def test_that_a_photograph_becomes_a_face_a_mix_a_video_and_comes_back(
    qtbot: QtBot, window: MainWindow, tmp_path: Path
) -> None:
    session = window.session
    preview = window.panel(PreviewPanel)

    # Faces are there by themselves.
    qtbot.waitUntil(lambda: session.generator is not None, timeout=60_000)
    qtbot.waitUntil(
        lambda: preview.view.pixels is not None and preview.view.pixels.shape == (256, 256, 3), timeout=60_000
    )
    first = session.state.recipe
    assert first is not None
    app.wait_until_idle(window)

    # A click in the plane takes a face.
    plane = window.panel(PlanePanel).view
    qtbot.mouseClick(plane, Qt.MouseButton.LeftButton, pos=QPoint(plane.width() * 3 // 4, plane.height() // 3))
    qtbot.waitUntil(lambda: session.state.recipe != first, timeout=5000)
    second = session.state.recipe
    assert second is not None
    assert session.stack.count() == 1

    # A photograph is dropped, its face is found and encoded, and becomes the current one.
    drop(window, resource(SAMPLE_PHOTO))
    encode = window.panel(EncodePanel)
    qtbot.waitUntil(lambda: encode.item is not None and encode.item.ready, timeout=60_000)
    assert window.tabs.currentWidget() is encode
    encode.how.steps.setValue(20)
    qtbot.mouseClick(encode.encode_button, Qt.MouseButton.LeftButton)
    qtbot.waitUntil(lambda: session.state.recipe != second, timeout=120_000)
    found = session.state.recipe
    assert found is not None
    assert found.sources[0].origin["photo"]
    (face,) = session.project.faces()
    assert face.name.startswith("astronaut")
    (run,) = session.project.runs()
    assert run.status == "done"
    assert len(session.project.losses(run.id)["total"]) == 20
    assert session.project.kept_steps(run.id)[0] == 0

    # Going back and forth through all of it.
    session.stack.undo()
    assert session.state.recipe == second
    session.stack.redo()
    assert session.state.recipe == found

    # A mix, and its picture with the recipe in it.
    mixed = Recipe(
        sources=(found.sources[0], first.sources[0]), weights=((1.0,), (0.5,)), psi=(0.9,), noise=found.noise
    )
    session.take(mixed, "Mix")
    picture = tmp_path / "mixed.png"
    answers = done(qtbot, window.client.submit(ExportPictures(recipes=(mixed,), paths=(picture,))))
    assert any(isinstance(a, Written) for a in answers)
    app.wait_until_idle(window)
    np.testing.assert_array_equal(np.asarray(Image.open(picture)), preview.view.pixels)

    # A morph video.
    video = tmp_path / "morph.mp4"
    done(qtbot, window.client.submit(ExportMorph(keys=(first, mixed), path=video, seconds=1.0, fps=12.0)))
    with av.open(str(video)) as container:
        frames = [f.to_ndarray(format="rgb24") for f in container.decode(video=0)]
    assert len(frames) == 12
    assert frames[0].shape == (256, 256, 3)
    assert np.abs(frames[0].astype(int) - frames[-1]).mean() > 5

    # The picture, dropped back, is the exact face.
    session.take(first, "Another")
    drop(window, picture)
    qtbot.waitUntil(lambda: session.state.recipe == mixed, timeout=20_000)
    assert not [w for w in QApplication.topLevelWidgets() if isinstance(w, QMessageBox)]


# -- the five-minute visit ---------------------------------------------------------------------------------------------------
CTRL = Qt.KeyboardModifier.ControlModifier


def press(widget: QWidget, at: QPoint, button: Qt.MouseButton = Qt.MouseButton.LeftButton) -> None:
    """A click that comes as from the system, through the window: with all that Qt makes of it, menus among it."""
    window = widget.window().windowHandle()
    assert window is not None
    QTest.mouseClick(window, button, Qt.KeyboardModifier.NoModifier, widget.mapTo(widget.window(), at))


def pull(widget: QWidget, start: QPoint, end: QPoint, steps: int = 8) -> None:
    """Press, move and let go."""
    QTest.mousePress(widget, Qt.MouseButton.LeftButton, Qt.KeyboardModifier.NoModifier, start)
    for i in range(1, steps + 1):
        QTest.mouseMove(widget, start + (end - start) * i / steps)
        QTest.qWait(15)
    QTest.mouseRelease(widget, Qt.MouseButton.LeftButton, Qt.KeyboardModifier.NoModifier, end)


def choose(qtbot: QtBot, text: str) -> None:
    """Click an entry of the menu that is open."""
    qtbot.waitUntil(lambda: isinstance(QApplication.activePopupWidget(), QMenu), timeout=5000)
    menu = QApplication.activePopupWidget()
    assert isinstance(menu, QMenu)
    action = next(a for a in menu.actions() if a.text() == text)
    press(menu, menu.actionGeometry(action).center())


def rest(qtbot: QtBot, window: MainWindow) -> None:
    """Until all that was asked for is drawn; what follows a movement waits for it to rest, so twice."""
    for _ in range(2):
        qtbot.wait(300)
        qtbot.waitUntil(lambda: not window.client._tickets, timeout=60_000)


def seen(window: MainWindow) -> np.ndarray:
    """The face that stands in the preview on the screen, float [H, W, 3]."""
    view = window.panel(PreviewPanel).view
    rect = view.picture_rect().toRect().translated(view.mapTo(window, QPoint(0, 0)))
    image = window.grab(rect).toImage().convertToFormat(QImage.Format.Format_RGB888)
    pixels = np.frombuffer(image.constBits(), np.uint8).reshape(image.height(), image.bytesPerLine())
    return pixels[:, : 3 * image.width()].reshape(image.height(), image.width(), 3).astype(float)


def test_that_in_five_minutes_a_face_is_found_mixed_kept_and_exported(
    qtbot: QtBot, window: MainWindow, tmp_path: Path
) -> None:
    session, preview = window.session, window.panel(PreviewPanel)
    qtbot.waitUntil(lambda: session.generator is not None, timeout=60_000)
    rest(qtbot, window)
    assert np.ptp(seen(window), axis=2).mean() > 10, "a face is there by itself: the window is grey, a face is not"

    # Look around: other seeds, nearer with the wheel, and a click takes a face.
    plane = window.panel(PlanePanel)
    press(plane.shuffle_button, plane.shuffle_button.rect().center())
    assert session.stack.undoText() == "Three random seeds"
    plane.view.settle()
    at = QPointF(plane.view.width() / 2, plane.view.height() / 2)
    step = plane.view.step
    for _ in range(4):
        QApplication.sendEvent(
            plane.view,
            QWheelEvent(at, plane.view.mapToGlobal(at), QPoint(), QPoint(0, 120), Qt.MouseButton.NoButton,
                        Qt.KeyboardModifier.NoModifier, Qt.ScrollPhase.NoScrollPhase, False),
        )  # fmt: skip
    plane.view.settle()
    assert plane.view.step < step
    rest(qtbot, window)
    assert plane.view.wanted() is None, "all tiles in view are drawn"
    before, start = seen(window), session.state.recipe
    press(plane.view, QPoint(plane.view.width() // 3, plane.view.height() // 3))
    qtbot.waitUntil(lambda: session.state.recipe != start, timeout=5000)
    rest(qtbot, window)
    assert np.abs(seen(window) - before).mean() > 2, "another face stands in the preview"
    liked = session.state.recipe
    assert liked is not None

    # Mix it with another: right click, slot B, and pull a slider.
    press(plane.view, QPoint(3 * plane.view.width() // 4, plane.view.height() // 4), Qt.MouseButton.RightButton)
    choose(qtbot, "Put in slot B")
    qtbot.waitUntil(lambda: session.state.slots[1] is not None, timeout=5000)
    mixer = window.panel(MixerPanel)
    coarse = mixer._group_rows[1, "coarse"].slider
    steps = session.stack.count()
    pull(coarse, QPoint(coarse.width() // 2, 10), QPoint(coarse.width() - 7, 10))
    assert session.stack.count() == steps + 1, "a drag is one step"
    mix = session.state.recipe
    assert mix is not None
    assert len(mix.sources) == 2
    assert mix.weights[1][0] == pytest.approx(1)
    assert mix.weights[1][-1] == pytest.approx(0.5)
    rest(qtbot, window)
    mixed_seen = seen(window)
    QTest.keyClick(window, Qt.Key.Key_Z, CTRL)
    rest(qtbot, window)
    assert np.abs(seen(window) - mixed_seen).mean() > 0.5
    QTest.keyClick(window, Qt.Key.Key_Z, CTRL | Qt.KeyboardModifier.ShiftModifier)
    rest(qtbot, window)
    assert session.state.recipe == mix
    assert np.abs(seen(window) - mixed_seen).max() == 0

    # Keep it, and call it something.
    QTest.keyClick(window, Qt.Key.Key_D, CTRL)
    library = window.panel(LibraryPanel)
    qtbot.waitUntil(lambda: library.model.rowCount() == 1, timeout=5000)
    library.list.setFocus()
    QTest.keyClick(library.list, Qt.Key.Key_F2)
    name = library.list.findChild(QLineEdit)
    assert name is not None
    QTest.keyClicks(name, "Mia")
    QTest.keyClick(name, Qt.Key.Key_Return)
    qtbot.waitUntil(lambda: [row.name for row in session.project.faces()] == ["Mia"], timeout=5000)
    (row,) = session.project.faces()
    assert session.project.recipe(row.id) == mix

    # Export it, twice as large, with the recipe.
    picture = tmp_path / "mia.png"
    QTest.keyClick(window, Qt.Key.Key_E, CTRL)
    qtbot.waitUntil(lambda: window.findChild(ExportPictureDialog) is not None, timeout=5000)
    dialog = window.findChild(ExportPictureDialog)
    assert dialog is not None
    dialog.scale.setFocus()
    QTest.keyClick(dialog.scale, Qt.Key.Key_Down)
    dialog.path.selectAll()
    QTest.keyClicks(dialog.path, str(picture))
    press(dialog.export_button, dialog.export_button.rect().center())
    qtbot.waitUntil(picture.is_file, timeout=30_000)
    rest(qtbot, window)
    with Image.open(picture) as image:
        assert image.size == (512, 512)
        small = np.asarray(image.resize((256, 256), Image.Resampling.BOX)).astype(int)
    assert preview.pixels is not None
    assert np.abs(small - preview.pixels).mean() < 3
    found = read_recipe(picture)
    assert found is not None
    assert Recipe.from_json(found) == mix

    # All of it is in the project file, and there again the next time.
    session.save()
    session.project.flush()
    copy = tmp_path / "copy.facelab"
    session.project.save_as(copy)
    with Project.open(copy) as again:
        assert [each.name for each in again.faces()] == ["Mia"]
        assert again.thumbnail(again.faces()[0].id) is not None
        assert again.meta("state")["recipe"] == mix.to_json()
