"""The main job in the real window with the real engine: look, mix, drop a photograph, encode, morph, come back."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image
from PySide6.QtCore import QMimeData, QPoint, QPointF, Qt, QUrl
from PySide6.QtGui import QDragEnterEvent, QDropEvent
from PySide6.QtWidgets import QApplication, QMessageBox
from pytestqt.qtbot import QtBot

from facelab import app
from facelab.assets import SAMPLE_PHOTO, resource
from facelab.jobs import ExportMorph, ExportPictures, Written
from facelab.latent.recipe import Recipe
from facelab.project import Project
from facelab.settings import Settings
from facelab.ui.main_window import MainWindow
from facelab.ui.panels.encode import EncodePanel
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
        lambda: preview.view.pixels is not None and preview.view.pixels.shape == (128, 128, 3), timeout=60_000
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
    encode.steps.setValue(20)
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
    assert frames[0].shape == (128, 128, 3)
    assert np.abs(frames[0].astype(int) - frames[-1]).mean() > 5

    # The picture, dropped back, is the exact face.
    session.take(first, "Another")
    drop(window, picture)
    qtbot.waitUntil(lambda: session.state.recipe == mixed, timeout=20_000)
    assert not [w for w in QApplication.topLevelWidgets() if isinstance(w, QMessageBox)]
