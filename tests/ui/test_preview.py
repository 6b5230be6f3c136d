"""The preview draws what the state says, and shows what was before."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from PySide6.QtCore import QPoint, Qt
from PySide6.QtTest import QTest
from pytestqt.qtbot import QtBot

from facelab.errors import OutOfMemory
from facelab.jobs import Job, Render
from facelab.latent.code import Code
from facelab.latent.recipe import Recipe
from facelab.ui.dragging import files_of, recipe_mime, recipe_of
from facelab.ui.panels.preview import PreviewPanel
from facelab.ui.pixels import image_of
from facelab.ui.session import Session
from facelab.worker import Client
from tests import fakes
from tests.ui.test_widgets import drop, wheel

Jobs = Callable[[type[Job]], list[Job]]


def face(seed: int) -> Recipe:
    return Recipe.of(Code.from_seed(seed, fakes.Z_DIM, fakes.SHA))


def picture(recipe: Recipe) -> np.ndarray:
    return fakes.draw(fakes.ws_of(recipe), 128, 0.03, 1)


@pytest.fixture
def preview(qtbot: QtBot, opened: Session, client: Client) -> PreviewPanel:
    made = PreviewPanel(opened, client)
    qtbot.addWidget(made)
    made.resize(376, 420)
    made.show()
    return made


def test_that_the_current_face_is_drawn_and_named(
    preview: PreviewPanel, opened: Session, idle: Callable[[], None]
) -> None:
    opened.take(face(7))
    idle()
    np.testing.assert_array_equal(preview.pixels, picture(face(7)))
    assert preview._name.full_text() == "seed 7"
    assert preview._size.text() == "128 px"


def test_that_undo_draws_the_face_before(preview: PreviewPanel, opened: Session, idle: Callable[[], None]) -> None:
    opened.take(face(7))
    opened.stack.undo()
    idle()
    np.testing.assert_array_equal(preview.pixels, picture(face(0)))


def test_that_of_a_hundred_moves_only_some_are_drawn_and_the_last_is_shown(
    preview: PreviewPanel, opened: Session, engine: fakes.FakeEngine, idle: Callable[[], None], jobs_of: Jobs
) -> None:
    idle()
    engine.pause = 0.01
    with opened.drag():
        for i in range(100):
            opened.change("Change psi", psi=(i / 100,))
    idle()
    np.testing.assert_array_equal(preview.pixels, picture(face(0).change(psi=(0.99,))))
    assert len(jobs_of(Render)) < 20


def test_that_pictures_are_rough_while_something_is_dragged_and_exact_when_it_is_let_go(
    preview: PreviewPanel, opened: Session, idle: Callable[[], None], jobs_of: Jobs
) -> None:
    opened.take(face(7))
    idle()
    opened.begin_drag()
    for psi in (0.9, 0.8):
        opened.change("Drag", psi=(psi,))
        idle()
    assert [job.rough for job in jobs_of(Render)][-2:] == [True, True]
    opened.end_drag()
    idle()
    rendered = jobs_of(Render)
    assert rendered[-1].recipes == rendered[-2].recipes
    assert not rendered[-1].rough
    np.testing.assert_array_equal(preview.pixels, picture(opened.state.recipe))
    opened.begin_drag()
    opened.end_drag()
    idle()
    assert jobs_of(Render) == rendered  # what is exact already is not drawn again


def test_that_what_is_let_go_before_its_picture_is_there_ends_exact(
    preview: PreviewPanel, opened: Session, idle: Callable[[], None], jobs_of: Jobs
) -> None:
    opened.take(face(7))
    idle()
    with opened.drag():
        opened.change("Drag", psi=(0.8,))
    idle()
    assert [job.rough for job in jobs_of(Render)][-2:] == [True, False]
    np.testing.assert_array_equal(preview.pixels, picture(opened.state.recipe))


@pytest.mark.slow
def test_that_a_coarse_picture_is_shown_only_where_the_fine_one_takes_a_while(
    qtbot: QtBot, preview: PreviewPanel, opened: Session, engine: fakes.FakeEngine, idle: Callable[[], None]
) -> None:
    idle()
    engine.pause = 0.25
    opened.take(face(3))
    qtbot.waitUntil(lambda: preview._size.text() == "32 px…", timeout=2000)
    assert preview.view._waiting or preview.view._wait.isActive()
    qtbot.waitUntil(lambda: preview._size.text() == "128 px", timeout=2000)
    idle()


def test_that_the_face_before_the_edits_shows_while_the_key_is_held(
    qtbot: QtBot, preview: PreviewPanel, opened: Session, idle: Callable[[], None]
) -> None:
    opened.change("Change psi", psi=(0.2,))
    idle()
    after = preview.pixels
    QTest.keyPress(preview, Qt.Key.Key_B)
    qtbot.waitUntil(lambda: preview.view.pixels is not after and preview.view.pixels is not None, timeout=2000)
    idle()
    np.testing.assert_array_equal(preview.view.pixels, picture(face(0)))
    assert preview._name.full_text() == "Before: seed 0"
    QTest.keyRelease(preview, Qt.Key.Key_B)
    assert preview.view.pixels is after
    assert opened.stack.count() == 1, "looking changes nothing"


def test_that_the_face_before_the_edits_can_be_wiped_over_the_one_now(
    qtbot: QtBot, preview: PreviewPanel, opened: Session, idle: Callable[[], None]
) -> None:
    opened.change("Change psi", psi=(0.2,))
    idle()
    view = preview.view
    QTest.mouseClick(preview._compare, Qt.MouseButton.LeftButton)
    idle()
    assert preview.wipes
    assert preview._compare.isChecked()
    assert view.other == image_of(picture(face(0)))
    assert view.pixels is preview.pixels, "the picture itself is the one now"
    rect = view.picture_rect()
    at, to = (QPoint(round(rect.left() + share * rect.width()), 40) for share in (0.5, 0.8))
    QTest.mousePress(view, Qt.MouseButton.LeftButton, pos=at)
    QTest.mouseMove(view, to)
    QTest.mouseRelease(view, Qt.MouseButton.LeftButton, pos=to)
    assert view.wipe == pytest.approx(0.8, abs=0.01)
    shown = view.grab().toImage()
    opened.change("Change psi", psi=(-1.0,))
    idle()
    assert view.other == image_of(picture(face(0)))
    left, right = QPoint(round(rect.left()) + 30, 60), QPoint(round(rect.right()) - 10, 60)
    again = view.grab().toImage()
    assert again.pixelColor(left) == shown.pixelColor(left)
    assert again.pixelColor(right) != shown.pixelColor(right)
    QTest.keyClick(preview, Qt.Key.Key_A)
    assert not preview.wipes
    assert view.other.isNull()


def test_that_a_face_dropped_on_the_preview_becomes_the_current_one(
    preview: PreviewPanel, opened: Session, idle: Callable[[], None]
) -> None:
    assert drop(preview.view, recipe_mime(face(9)))
    assert opened.state.recipe == face(9)
    idle()


def test_that_a_face_dragged_to_another_program_is_a_file_that_goes_with_the_session(
    preview: PreviewPanel, opened: Session, idle: Callable[[], None]
) -> None:
    idle()
    QTest.mousePress(preview.view, Qt.MouseButton.LeftButton)
    idle()
    QTest.mouseRelease(preview.view, Qt.MouseButton.LeftButton)
    mime = preview.view.drag_mime(face(0))
    (file,) = files_of(mime)
    assert file.is_file()
    assert file.name.startswith("seed 0")
    assert recipe_of(mime) == face(0), "inside facelab it is still the face"
    opened.take(face(1))
    idle()
    assert not files_of(preview.view.drag_mime(face(1))), "another face is another file"
    opened.close()
    assert not file.exists()


def test_that_the_wheel_zooms_at_the_pointer_and_back_to_the_whole(
    preview: PreviewPanel, idle: Callable[[], None]
) -> None:
    idle()
    whole = preview.view.picture_rect()
    wheel(preview.view, 3)
    assert preview.view.zoom is not None
    assert preview.view.picture_rect().width() > whole.width() * 1.5
    wheel(preview.view, -4)
    assert preview.view.zoom is None
    preview.actual()
    assert preview.view.picture_rect().width() == 128
    assert preview._fit.isChecked()
    preview.fit()
    assert not preview._fit.isChecked()


def test_that_a_zoomed_picture_follows_the_mouse_and_stays_in_sight(
    preview: PreviewPanel, idle: Callable[[], None]
) -> None:
    idle()
    preview.view.set_zoom(8.0)
    before = preview.view.picture_rect().topLeft()
    QTest.mousePress(preview.view, Qt.MouseButton.LeftButton, pos=QPoint(100, 100))
    QTest.mouseMove(preview.view, QPoint(120, 90))
    QTest.mouseMove(preview.view, QPoint(3000, 3000))
    QTest.mouseRelease(preview.view, Qt.MouseButton.LeftButton, pos=QPoint(3000, 3000))
    after = preview.view.picture_rect().topLeft()
    assert after != before
    assert (after.x(), after.y()) == (0, 0)


def test_that_an_error_is_said_beside_the_picture_which_stays(
    preview: PreviewPanel, opened: Session, engine: fakes.FakeEngine, idle: Callable[[], None]
) -> None:
    idle()
    kept = preview.pixels
    engine.fail[Render] = OutOfMemory("there is not enough memory for one picture; close other programs")
    opened.take(face(4))
    idle()
    assert "not enough memory" in preview._messages.text
    assert preview.pixels is kept
    engine.fail.clear()
    opened.take(face(5))
    idle()
    assert preview._messages.isHidden()


def test_that_a_face_of_another_generator_is_not_asked_for(
    preview: PreviewPanel, opened: Session, idle: Callable[[], None], jobs_of: Jobs
) -> None:
    idle()
    count = len(jobs_of(Render))
    opened.take(Recipe.of(Code.from_seed(1, fakes.Z_DIM, "0b" * 32)))
    idle()
    assert len(jobs_of(Render)) == count
    assert not preview._export.isEnabled()
