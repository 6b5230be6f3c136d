"""Small faces are drawn when they are in view, a few at a time, and only those that are wanted now."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from PySide6.QtCore import QEvent, QMimeData, QObject, QPointF, Qt
from PySide6.QtGui import QMouseEvent
from PySide6.QtWidgets import QApplication, QLabel
from pytestqt.qtbot import QtBot

from facelab.errors import BadArgument
from facelab.jobs import Job, Thumbnails
from facelab.latent.code import Code
from facelab.latent.recipe import Recipe
from facelab.ui import grid as module
from facelab.ui.dragging import recipe_of
from facelab.ui.grid import PAGE, Drawer, FaceGrid, Matrix, side_for
from facelab.ui.session import Session
from facelab.worker import Client
from tests import fakes

Idle = Callable[[], None]
JobsOf = Callable[[type[Job]], list[Job]]


def face(seed: int) -> Recipe:
    return Recipe.of(Code.from_seed(seed, fakes.Z_DIM, fakes.SHA))


@pytest.fixture
def drawer(opened: Session, client: Client) -> Drawer:
    return Drawer(client, opened)


@pytest.fixture
def grid(qtbot: QtBot, drawer: Drawer) -> FaceGrid:
    made = FaceGrid("Faces", drawer, side=64)
    made.resolution = fakes.RESOLUTION
    qtbot.addWidget(made)
    made.resize(500, 300)
    made.show()
    return made


@pytest.mark.parametrize(
    ("shown", "resolution", "drawn"), [(64, 128, 64), (70, 128, 64), (90, 128, 128), (96, 1024, 128), (300, 128, 128)]
)
def test_that_faces_are_drawn_in_a_size_that_the_generator_stops_at(shown: int, resolution: int, drawn: int) -> None:
    assert side_for(shown, resolution) == drawn


def test_that_a_drawer_draws_what_is_wanted_and_keeps_it(drawer: Drawer, idle: Idle, jobs_of: JobsOf) -> None:
    drawer.want([face(1), face(2)], 64)
    idle()
    np.testing.assert_array_equal(drawer.pixels(face(1)), fakes.draw(fakes.ws_of(face(1)), 64, 0.03, 1))
    count = len(jobs_of(Thumbnails))
    drawer.want([face(2), face(1)], 64)
    idle()
    assert len(jobs_of(Thumbnails)) == count
    drawer.want([face(1)], 128)
    idle()
    pixels = drawer.pixels(face(1))
    assert pixels is not None
    assert len(pixels) == 128, "a larger picture takes the place of the smaller"


def test_that_what_is_wanted_no_more_is_not_drawn(drawer: Drawer, idle: Idle, engine: fakes.FakeEngine) -> None:
    engine.pause = 0.02
    drawer.want([face(i) for i in range(100)], 32)
    drawer.want([face(500)], 32)
    idle()
    assert drawer.pixels(face(500)) is not None
    drawn = [r for job in engine.done if isinstance(job, Thumbnails) for r in job.recipes]
    assert len(drawn) <= 5


def test_that_a_face_that_cannot_be_drawn_is_told_once(
    qtbot: QtBot, drawer: Drawer, idle: Idle, engine: fakes.FakeEngine, jobs_of: JobsOf
) -> None:
    engine.fail[Thumbnails] = BadArgument("no")
    with qtbot.waitSignal(drawer.failed):
        drawer.want([face(1)], 64)
    idle()
    drawer.want([face(1)], 64)
    idle()
    assert len(jobs_of(Thumbnails)) == 1


@pytest.mark.slow
def test_that_an_endless_grid_draws_what_is_in_view_and_grows_by_scrolling(
    qtbot: QtBot, grid: FaceGrid, idle: Idle, engine: fakes.FakeEngine
) -> None:
    grid.show_faces(face, str, 10**9)
    qtbot.waitUntil(lambda: grid.drawer.pixels(face(0)) is not None)
    idle()
    drawn = {r.digest for job in engine.done if isinstance(job, Thumbnails) for r in job.recipes}
    assert face(PAGE - 1).digest not in drawn
    for _ in range(3):
        bar = grid.verticalScrollBar()
        bar.setValue(bar.maximum())
        qtbot.wait(60)
    assert grid.faces.rowCount() > 2 * PAGE
    last = grid.in_view()[0]
    assert last > PAGE
    qtbot.waitUntil(lambda: grid.drawer.pixels(face(last)) is not None)


def test_that_a_click_and_enter_take_a_face(qtbot: QtBot, grid: FaceGrid) -> None:
    grid.show_faces(face, str, 50)
    third = grid.visualRect(grid.faces.index(2)).center()
    with qtbot.waitSignal(grid.taken) as taken:
        qtbot.mouseClick(grid.viewport(), Qt.MouseButton.LeftButton, pos=third)
    assert taken.args == [face(2)]
    qtbot.keyClick(grid, Qt.Key.Key_Right)
    with qtbot.waitSignal(grid.taken) as taken:
        qtbot.keyClick(grid, Qt.Key.Key_Return)
    assert taken.args == [face(3)]


def test_that_a_face_is_dragged_out_of_the_grid(
    qtbot: QtBot, grid: FaceGrid, idle: Idle, monkeypatch: pytest.MonkeyPatch
) -> None:
    dragged: list[QMimeData] = []
    monkeypatch.setattr(module, "start_drag", lambda source, mime, picture: dragged.append(mime))
    grid.show_faces(face, str, 50)
    qtbot.waitUntil(lambda: grid.drawer.pixels(face(1)) is not None)
    idle()
    start = QPointF(grid.visualRect(grid.faces.index(1)).center())
    left, none = Qt.MouseButton.LeftButton, Qt.MouseButton.NoButton
    view = grid.viewport()

    def mouse(kind: QEvent.Type, at: QPointF, button: Qt.MouseButton, held: Qt.MouseButton) -> None:
        QApplication.sendEvent(
            view,
            QMouseEvent(
                kind, at, QPointF(view.mapToGlobal(at.toPoint())), button, held, Qt.KeyboardModifier.NoModifier
            ),
        )

    mouse(QEvent.Type.MouseButtonPress, start, left, left)
    for step in (10, 30, 60):
        mouse(QEvent.Type.MouseMove, start + QPointF(step, step / 2), none, left)
    assert [recipe_of(mime) for mime in dragged[:1]] == [face(1)]
    assert dragged[0].hasImage()
    mouse(QEvent.Type.MouseButtonRelease, start, left, none)


def test_that_faces_go_on_being_drawn_while_a_person_scrolls(qtbot: QtBot, grid: FaceGrid) -> None:
    grid.show_faces(face, str, 10**9)
    asked: list[int] = []
    grid._look.timeout.connect(lambda: asked.append(grid.verticalScrollBar().value()))
    for _ in range(20):
        grid.verticalScrollBar().setValue(grid.verticalScrollBar().value() + 20)
        qtbot.wait(10)
    assert len(asked) >= 4


def test_that_rows_of_the_grid_fill_its_width(qtbot: QtBot, grid: FaceGrid) -> None:
    grid.show_faces(face, str, 50)
    for side in (56, 90, 200):
        grid.set_side(side)
        columns = grid.viewport().width() // grid.gridSize().width()
        assert 0 <= grid.viewport().width() - columns * grid.gridSize().width() <= columns + 1


def test_that_a_matrix_shows_faces_under_heads_as_large_as_fits(
    qtbot: QtBot, drawer: Drawer, idle: Idle, opened: Session
) -> None:
    holder = QObject()
    matrix = Matrix("Faces", drawer, left=60, top=20)
    matrix.resolution = fakes.RESOLUTION
    qtbot.addWidget(matrix)
    matrix.resize(420, 260)
    matrix.show()
    matrix.set_heads([QLabel(str(i)) for i in range(4)], [QLabel("a"), QLabel("b")])
    matrix.fill([[face(10 * row + column) for column in range(4)] for row in range(2)], lambda r, c: f"{r},{c}")
    qtbot.waitUntil(lambda: all(view.pixels is not None for view in matrix.views()))
    cells = [view.geometry() for row in matrix.cells for view in row]
    assert all(matrix.widget().rect().contains(cell) for cell in cells)
    assert all(not a.intersects(b) for i, a in enumerate(cells) for b in cells[:i])
    assert matrix.side >= 75
    with qtbot.waitSignal(matrix.taken) as taken:
        qtbot.mouseClick(matrix.cells[1][2], Qt.MouseButton.LeftButton)
    assert taken.args == [face(12)]
    matrix.fill([[face(1)]], lambda r, c: "one")
    assert [len(row) for row in matrix.cells] == [1]
    holder.deleteLater()
