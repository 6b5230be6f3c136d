"""The pieces of panels, by mouse and keys."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PySide6.QtCore import QMimeData, QPoint, QPointF, Qt, QUrl
from PySide6.QtGui import QDragEnterEvent, QDropEvent, QWheelEvent
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QApplication, QWidget
from pytestqt.qtbot import QtBot

from facelab.errors import PictureError
from facelab.latent.code import Code
from facelab.latent.recipe import Recipe
from facelab.ui.dragging import MORE_MIME, RECIPE_MIME, files_of, recipe_mime, recipe_of, recipes_of
from facelab.ui.face_view import FaceView
from facelab.ui.messages import MessageBar, not_opened
from facelab.ui.numbers import ValueSlider
from facelab.ui.pixels import image_of
from facelab.ui.widgets import Elided
from facelab.worker import Bug
from tests import fakes

FACE = Recipe.of(Code.from_seed(7, fakes.Z_DIM, fakes.SHA))


def test_that_files_that_failed_are_counted_named_and_explained_by_reason() -> None:
    failed = [(f"{n}.jpg", PictureError(f"'{n}.jpg' is no picture")) for n in "abcde"]
    failed.append(("far.png", PictureError("'far.png' is not there")))
    said = not_opened(failed).splitlines()
    assert said == [
        "6 files could not be opened.",
        "a.jpg, b.jpg, c.jpg and 2 more: each is no picture.",
        "'far.png' is not there",
    ]


def drop(target: QWidget, mime: QMimeData) -> bool:
    """Drag something over a widget and let go; whether it was taken."""
    at, buttons, keys = target.rect().center(), Qt.MouseButton.LeftButton, Qt.KeyboardModifier.NoModifier
    enter = QDragEnterEvent(at, Qt.DropAction.CopyAction, mime, buttons, keys)
    QApplication.sendEvent(target, enter)
    if not enter.isAccepted():
        return False
    event = QDropEvent(QPointF(at), Qt.DropAction.CopyAction, mime, buttons, keys)
    QApplication.sendEvent(target, event)
    return event.isAccepted()


def wheel(widget: QWidget, turns: int) -> None:
    centre = QPointF(widget.rect().center())
    QApplication.sendEvent(
        widget,
        QWheelEvent(
            centre, widget.mapToGlobal(centre), QPoint(), QPoint(0, 120 * turns), Qt.MouseButton.NoButton,
            Qt.KeyboardModifier.NoModifier, Qt.ScrollPhase.NoScrollPhase, False,
        ),
    )  # fmt: skip


@pytest.fixture
def slider(qtbot: QtBot) -> ValueSlider:
    made = ValueSlider("Psi", -1.0, 2.0, 1.0)
    qtbot.addWidget(made)
    made.resize(360, 28)
    made.show()
    return made


def test_that_a_face_survives_the_clipboard() -> None:
    mime = recipe_mime(FACE, fakes.draw(fakes.ws_of(FACE), 32))
    assert recipe_of(mime) == FACE
    assert mime.hasImage()


def test_that_several_faces_are_dragged_as_one(qtbot: QtBot) -> None:
    faces = [Recipe.of(Code.from_seed(seed, 8, "ab" * 32)) for seed in range(3)]
    mime = recipe_mime(faces[0], others=faces[1:])
    assert recipe_of(mime) == faces[0], "what takes one takes the first"
    assert recipes_of(mime) == faces
    assert recipes_of(recipe_mime(faces[1])) == [faces[1]]
    mime.setData(MORE_MIME, b'["junk", 3]')
    assert recipes_of(mime) == [faces[0]]
    assert recipes_of(QMimeData()) == []
    view = FaceView("All of them", takes=True)
    view.takes_many = True
    qtbot.addWidget(view)
    view.show()
    with qtbot.waitSignal(view.many_dropped) as taken:
        drop(view, recipe_mime(faces[0], others=faces[1:]))
    assert taken.args == [faces]


@pytest.mark.parametrize("junk", [b"", b"{", b"\xff\xfe", b'{"facelab": "recipe", "version": 99}', b"[]"])
def test_that_junk_on_the_clipboard_is_no_face(junk: bytes) -> None:
    mime = QMimeData()
    mime.setData(RECIPE_MIME, junk)
    assert recipe_of(mime) is None


def test_that_only_local_files_are_files() -> None:
    mime = QMimeData()
    mime.setUrls([QUrl("https://example.org/a.jpg"), QUrl.fromLocalFile("/tmp/b.jpg")])
    assert files_of(mime) == [Path("/tmp/b.jpg")]


def test_that_pixels_become_the_same_image() -> None:
    pixels = np.arange(5 * 7 * 3, dtype=np.uint8).reshape(5, 7, 3)
    image = image_of(pixels)
    assert (image.width(), image.height()) == (7, 5)
    assert image.pixelColor(6, 4).getRgb()[:3] == tuple(pixels[4, 6])


def test_that_a_drag_says_when_it_begins_and_ends(slider: ValueSlider) -> None:
    said: list[object] = []
    slider.pressed.connect(lambda: said.append("press"))
    slider.released.connect(lambda: said.append("release"))
    slider.changed.connect(said.append)
    inner = slider.slider
    middle = inner.height() // 2
    QTest.mousePress(inner, Qt.MouseButton.LeftButton, pos=QPoint(7, middle))
    QTest.mouseMove(inner, QPoint(inner.width() - 7, middle))
    QTest.mouseRelease(inner, Qt.MouseButton.LeftButton, pos=QPoint(inner.width() - 7, middle))
    assert said[0] == "press"
    assert said[-1] == "release"
    assert said[1] == -1.0
    assert said[-2] == 2.0
    assert slider.value == 2.0


def test_that_what_the_program_shows_is_no_change(slider: ValueSlider) -> None:
    said: list[float] = []
    slider.changed.connect(said.append)
    slider.set_value(0.25)
    assert not said
    assert slider.number.value() == 0.25


def test_that_a_double_click_resets(slider: ValueSlider, qtbot: QtBot) -> None:
    slider.set_value(0.2)
    with qtbot.waitSignal(slider.changed) as heard:
        QTest.mouseDClick(slider.slider, Qt.MouseButton.LeftButton, pos=slider.slider.rect().center())
    assert heard.args == [1.0]
    slider.set_value(0.2)
    QTest.mouseDClick(slider.label, Qt.MouseButton.LeftButton)
    assert slider.value == 1.0


def test_that_arrows_step_and_shift_steps_larger(slider: ValueSlider) -> None:
    slider.set_value(0.0)
    QTest.keyClick(slider.slider, Qt.Key.Key_Right)
    small = slider.value
    QTest.keyClick(slider.slider, Qt.Key.Key_Right, Qt.KeyboardModifier.ShiftModifier)
    assert small == pytest.approx(0.01, abs=0.003)
    assert slider.value - small == pytest.approx(0.1, abs=0.02)


def test_that_the_wheel_acts_only_with_focus(slider: ValueSlider) -> None:
    slider.set_value(0.0)
    slider.slider.clearFocus()
    wheel(slider.slider, 1)
    assert slider.value == 0.0
    slider.slider.setFocus()
    slider.activateWindow()
    wheel(slider.slider, 1)
    assert slider.value > 0.0


def test_that_a_number_may_reach_further_than_its_slider(qtbot: QtBot) -> None:
    row = ValueSlider("Psi", -1.0, 2.0, 1.0, reach=(-10.0, 10.0))
    qtbot.addWidget(row)
    with qtbot.waitSignal(row.changed) as heard:
        row.number.setValue(5.5)
    assert heard.args == [5.5]
    assert row.slider.value() == row.slider.maximum()
    assert row.value == 5.5


def test_that_a_face_view_takes_what_it_should(qtbot: QtBot) -> None:
    view = FaceView("Face", side=64, takes=True)
    qtbot.addWidget(view)
    heard: list[Recipe] = []
    view.dropped.connect(heard.append)
    files = QMimeData()
    files.setUrls([QUrl.fromLocalFile("/tmp/a.jpg")])
    assert drop(view, recipe_mime(FACE))
    assert heard == [FACE]
    assert not drop(view, files)


def test_that_a_face_view_draws_its_picture_at_any_size(qtbot: QtBot) -> None:
    view = FaceView("Face")
    qtbot.addWidget(view)
    view.resize(301, 200)
    red = np.zeros((16, 16, 3), np.uint8)
    red[..., 0] = 200
    view.set_face(FACE, red)
    shot = view.grab().toImage()
    assert shot.pixelColor(150, 100).red() == 200
    assert view.picture_rect().width() == view.picture_rect().height() == 200


def test_that_waiting_shows_only_after_a_tenth_of_a_second(qtbot: QtBot) -> None:
    view = FaceView("Face", side=64)
    qtbot.addWidget(view)
    view.set_waiting(True)
    assert not view._waiting
    qtbot.waitUntil(lambda: view._waiting, timeout=1000)
    view.set_pixels(None)
    assert not view._waiting


def test_that_a_message_is_a_sentence_and_a_bug_has_details(qtbot: QtBot) -> None:
    bar = MessageBar()
    qtbot.addWidget(bar)
    bar.say(ValueError("the file is gone"))
    assert bar.text == "The file is gone."
    assert bar._copy.isHidden()
    try:
        raise KeyError("x")
    except KeyError as error:
        bar.say(Bug(error))
    assert not bar._copy.isHidden()
    bar._copy.click()
    assert "KeyError" in QApplication.clipboard().text()


def test_that_a_long_name_is_cut_and_told_in_full(qtbot: QtBot) -> None:
    label = Elided("a very long name of a face that will not fit")
    qtbot.addWidget(label)
    label.resize(80, 20)
    label.show()
    assert label.text().endswith("…")
    assert label.toolTip() == "a very long name of a face that will not fit"
