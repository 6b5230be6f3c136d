"""The canvas's geometry and cache, and the plane: what it asks for, shows and takes."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PySide6.QtCore import QMimeData, QPoint, QPointF, Qt
from PySide6.QtGui import QColor, QDragEnterEvent, QDropEvent, QPixmap, QWheelEvent
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QApplication
from pytestqt.qtbot import QtBot

from facelab.errors import OutOfMemory
from facelab.jobs import Job, RenderTiles, Resolve
from facelab.latent.code import Code, Direction
from facelab.latent.plane import ROW, Lattice, Plane
from facelab.latent.recipe import Recipe
from facelab.ui.canvas import Camera, TileCache, cells_in_view, resolution_for, step_of
from facelab.ui.dialogs import ExportMorphDialog
from facelab.ui.dragging import direction_mime, recipe_mime, recipe_of
from facelab.ui.panels.plane import PlanePanel
from facelab.ui.plane_view import HOME, angles, distances, stations
from facelab.ui.session import Session, State
from facelab.worker import Client
from tests import fakes

coordinates = st.floats(-100, 100)
scales = st.floats(20, 1e5)


# -- geometry ---------------------------------------------------------------------------------------------------------------
@given(coordinates, coordinates, scales, st.floats(0, 800), st.floats(0, 600))
def test_that_a_pixel_and_its_point_belong_together(u: float, v: float, scale: float, x: float, y: float) -> None:
    camera = Camera(u, v, scale)
    there = camera.screen(*camera.point(x, y, 800, 600), 800, 600)
    assert there == pytest.approx((x, y), abs=1e-3)


@given(coordinates, coordinates, scales, st.floats(0.2, 5), st.floats(0, 800), st.floats(0, 600))
def test_that_zooming_keeps_the_point_under_the_cursor(
    u: float, v: float, scale: float, factor: float, x: float, y: float
) -> None:
    camera = Camera(u, v, scale)
    nearer = camera.zoomed(factor, x, y, 800, 600)
    before, after = camera.point(x, y, 800, 600), nearer.point(x, y, 800, 600)
    assert math.hypot(after[0] - before[0], after[1] - before[1]) * nearer.scale < 0.01


@given(coordinates, coordinates, scales)
def test_that_the_tiles_in_view_cover_it_once_from_the_middle_outwards(u: float, v: float, scale: float) -> None:
    camera, width, height = Camera(u, v, scale), 700, 500
    step = step_of(scale, width, height)
    cells = cells_in_view(camera, step, width, height)
    assert len(set(cells)) == len(cells)
    for x, y in ((0.5, 0.5), (width - 0.5, 0.5), (0.5, height - 0.5), (width / 2, height / 2)):
        a, b = camera.point(x, y, width, height)
        assert (round(a / step), round(b / step)) in cells
    away = [math.hypot(i * step - u, j * step - v) for i, j in cells]
    assert away == sorted(away)
    assert step == 2.0 ** round(math.log2(step))
    assert 80 <= step * scale < 160.001


def test_that_a_tile_is_drawn_as_sharp_as_it_is_shown_and_no_sharper() -> None:
    assert [resolution_for(side, 1024) for side in (20, 64, 65, 118, 129)] == [32, 64, 128, 128, 256]
    assert resolution_for(118, 16) == 16


# -- cache ------------------------------------------------------------------------------------------------------------------
def test_that_the_cache_holds_its_bound_and_drops_what_was_seen_longest_ago(qapp: QApplication) -> None:
    cache = TileCache(most=10 * 32 * 32 * 4)
    for i in range(10):
        cache.put((i, 0), QPixmap(32, 32), 32)
    assert cache.get((0, 0)) is not None
    for i in range(10, 14):
        cache.put((i, 0), QPixmap(32, 32), 32)
    assert cache.bytes <= cache.most
    assert cache.get((0, 0)) is not None
    assert cache.get((1, 0)) is None


def test_that_a_coarse_tile_never_replaces_a_sharp_one_of_its_world(qapp: QApplication) -> None:
    cache = TileCache()
    cache.put((0, 0), QPixmap(64, 64), 64)
    cache.put((0, 0), QPixmap(32, 32), 32)
    assert cache.resolution((0, 0)) == 64
    cache.world += 1
    assert cache.resolution((0, 0)) == 0, "another world's tile does not count"
    assert cache.get((0, 0)) is not None, "but it is shown until its successor comes"
    cache.put((0, 0), QPixmap(32, 32), 32)
    assert cache.resolution((0, 0)) == 32


# -- the panel --------------------------------------------------------------------------------------------------------------
@pytest.fixture
def panel(qtbot: QtBot, opened: Session, client: Client) -> PlanePanel:
    made = PlanePanel(opened, client)
    qtbot.addWidget(made, before_close_func=lambda _: client.close())
    made.resize(400, 320)
    made.show()
    qtbot.waitUntil(lambda: made.view.wanted() is None, timeout=20_000)
    return made


def full(panel: PlanePanel) -> Callable[[], bool]:
    return lambda: panel.view.wanted() is None


def test_that_three_seeds_span_the_plane_as_soon_as_the_generator_is_open(
    qtbot: QtBot, session: Session, engine: fakes.FakeEngine, client: Client
) -> None:
    panel = PlanePanel(session, client)
    qtbot.addWidget(panel, before_close_func=lambda _: client.close())
    panel.resize(400, 320)
    panel.show()
    assert panel.view.wanted() is None
    assert not panel.isEnabled()
    engine.open.add(fakes.SHA)
    session.open_generator(fakes.info())
    qtbot.waitUntil(lambda: panel.view.resolution == 128 and panel.view.wanted() is None, timeout=20_000)
    assert panel.view.names == {"origin": "seed 0", "x": "seed 1", "y": "seed 2"}
    qtbot.waitUntil(lambda: set(panel.view.faces) == {"origin", "x", "y"}, timeout=5000)


def test_that_a_tile_shows_the_face_of_its_point(panel: PlanePanel) -> None:
    view, plane = panel.view, panel.session.state.plane
    assert plane is not None
    tile = view.cache.get((0.5, 0.5))
    assert tile is not None
    shown = tile.pixmap.toImage()
    drawn = fakes.draw(fakes.ws_of(panel.session.dressed(plane.at(0.5, 0.5))), tile.resolution, 0.03, 1)
    middle = tile.resolution // 2
    colour = QColor(*(int(c) for c in drawn[middle, middle]))
    assert shown.pixelColor(middle, middle) == colour


def test_that_only_tiles_in_view_are_asked_for_from_the_middle_outwards(
    panel: PlanePanel, jobs_of: Callable[[type[Job]], list[RenderTiles]]
) -> None:
    view = panel.view
    asked = jobs_of(RenderTiles)[-1]
    assert set(asked.cells) <= set(view.cells())
    away = [math.hypot(i * asked.step - view.camera.u, j * asked.step - view.camera.v) for i, j in asked.cells]
    assert away == sorted(away)


def test_that_a_tile_already_there_is_not_asked_for_again(
    qtbot: QtBot, panel: PlanePanel, jobs_of: Callable[[type[Job]], list[RenderTiles]]
) -> None:
    before = len(jobs_of(RenderTiles))
    there = set(panel.view.cells())
    side = panel.view.step * panel.view.camera.scale
    panel.view.look(panel.view.camera.panned(-side, 0))
    qtbot.waitUntil(full(panel), timeout=20_000)
    asked = {cell for job in jobs_of(RenderTiles)[before:] for cell in job.cells}
    assert asked
    assert not asked & there


def test_that_a_click_takes_the_face_under_it_and_undo_brings_the_former_back(qtbot: QtBot, panel: PlanePanel) -> None:
    view, session = panel.view, panel.session
    former = session.state.recipe
    x, y = view.camera.screen(0.5, 0.5, view.width(), view.height())
    qtbot.mouseClick(view, Qt.MouseButton.LeftButton, pos=QPoint(round(x) + 9, round(y) - 7))
    plane, recipe = session.state.plane, session.state.recipe
    assert plane is not None
    assert recipe is not None
    assert recipe.sources == (plane.at(0.5, 0.5),)
    assert view.cross == pytest.approx((0.5, 0.5), abs=1e-4)
    session.stack.undo()
    assert session.state.recipe == former


def test_that_a_drag_pans_and_takes_nothing(qtbot: QtBot, panel: PlanePanel) -> None:
    view, former = panel.view, panel.session.state.recipe
    camera = view.camera
    qtbot.mousePress(view, Qt.MouseButton.LeftButton, pos=QPoint(200, 100))
    qtbot.mouseMove(view, QPoint(160, 110))
    qtbot.mouseMove(view, QPoint(150, 120))
    qtbot.mouseRelease(view, Qt.MouseButton.LeftButton, pos=QPoint(150, 120))
    view.settle()
    assert view.camera.u > camera.u
    assert view.camera.v > camera.v
    assert panel.session.state.recipe == former


def test_that_a_shift_drag_moves_through_faces_as_one_step_of_undo(qtbot: QtBot, panel: PlanePanel) -> None:
    view, session = panel.view, panel.session
    former, steps = session.state.recipe, session.stack.count()
    shift = Qt.KeyboardModifier.ShiftModifier
    qtbot.mousePress(view, Qt.MouseButton.LeftButton, shift, QPoint(120, 100))
    seen = set()
    for x in range(130, 200, 10):
        qtbot.mouseMove(view, QPoint(x, 120))
        seen.add(session.state.recipe)
    qtbot.mouseRelease(view, Qt.MouseButton.LeftButton, shift, QPoint(200, 120))
    assert len(seen) > 3, "the face follows the cursor"
    assert session.stack.count() == steps + 1
    session.stack.undo()
    assert session.state.recipe == former


def test_that_the_wheel_zooms_about_the_cursor(panel: PlanePanel) -> None:
    view = panel.view
    at = QPointF(70, 40)
    before = view.camera.point(at.x(), at.y(), view.width(), view.height())
    event = QWheelEvent(
        at, view.mapToGlobal(at), QPoint(), QPoint(0, 240), Qt.MouseButton.NoButton,
        Qt.KeyboardModifier.NoModifier, Qt.ScrollPhase.NoScrollPhase, False,
    )  # fmt: skip
    scale = view.camera.scale
    QApplication.sendEvent(view, event)
    view.settle()
    after = view.camera.point(at.x(), at.y(), view.width(), view.height())
    assert view.camera.scale > 1.3 * scale
    assert after == pytest.approx(before, abs=1e-6)


def test_that_keys_move_zoom_take_and_come_home(qtbot: QtBot, panel: PlanePanel) -> None:
    view = panel.view
    qtbot.keyClick(view, Qt.Key.Key_Right)
    view.settle()
    assert view.camera.u > HOME.u
    qtbot.keyClick(view, Qt.Key.Key_Plus)
    view.settle()
    assert view.camera.scale > HOME.scale
    qtbot.keyClick(view, Qt.Key.Key_Home)
    view.settle()
    assert view.camera == HOME
    qtbot.keyClick(view, Qt.Key.Key_Return)
    plane, recipe = panel.session.state.plane, panel.session.state.recipe
    assert plane is not None
    assert recipe is not None
    assert recipe.sources[0] == plane.at(0.5, 0.5)
    steps = panel.session.stack.count()
    for _ in range(3):
        qtbot.keyClick(view, Qt.Key.Key_Right, Qt.KeyboardModifier.ControlModifier)
    assert view.cross == pytest.approx((2.0, 0.5), abs=1e-4)
    assert panel.session.stack.count() == steps + 1, "keys that follow one another are one step of undo"


def drop(view: object, recipe: Recipe, at: QPointF) -> None:
    mime = recipe_mime(recipe)
    button, keys = Qt.MouseButton.LeftButton, Qt.KeyboardModifier.NoModifier
    enter = QDragEnterEvent(at.toPoint(), Qt.DropAction.CopyAction, mime, button, keys)
    QApplication.sendEvent(view, enter)
    assert enter.isAccepted()
    QApplication.sendEvent(view, QDropEvent(at, Qt.DropAction.CopyAction, mime, button, keys))


def test_that_a_dropped_face_becomes_the_nearest_anchor(qtbot: QtBot, panel: PlanePanel) -> None:
    view, session = panel.view, panel.session
    face = Code.from_seed(77, fakes.Z_DIM, fakes.SHA)
    drop(view, Recipe.of(face), view.tags()["x"].center() + QPointF(12, 4))
    plane = session.state.plane
    assert plane is not None
    assert plane.x == face
    assert view.names["x"] == "seed 77"
    session.stack.undo()
    assert session.state.plane is not None
    assert session.state.plane.x == Code.from_seed(1, fakes.Z_DIM, fakes.SHA)


def test_that_an_encoded_face_takes_the_whole_plane_into_w(
    qtbot: QtBot, panel: PlanePanel, jobs_of: Callable[[type[Job]], list[Resolve]]
) -> None:
    ws = np.random.RandomState(3).randn(fakes.NUM_WS, fakes.W_DIM).astype(np.float32)
    face = Code(array=ws, space="w+", generator=fakes.SHA, origin={"photo": "me.jpg"})
    panel.set_anchor("y", Recipe.of(face))
    qtbot.waitUntil(
        lambda: panel.session.state.plane is not None and panel.session.state.plane.space == "w+", timeout=5000
    )
    plane = panel.session.state.plane
    assert plane is not None
    np.testing.assert_allclose(plane.y.array, ws, atol=1e-6)  # type: ignore[union-attr]
    in_z, in_w, in_wplus = panel.spaces.buttons()
    assert not in_z.isEnabled(), "an encoded face has no place in Z"
    assert not in_w.isEnabled(), "and none in W: its layers differ"
    assert "layers" in in_w.toolTip()
    assert in_wplus.isChecked()


def test_that_a_mixed_face_becomes_an_anchor_that_looks_like_it(qtbot: QtBot, panel: PlanePanel) -> None:
    a, b = (Code.from_seed(s, fakes.Z_DIM, fakes.SHA) for s in (5, 6))
    mixed = Recipe(sources=(a, b), weights=((1.0,), (1.0,)))
    panel.set_anchor("origin", mixed)
    qtbot.waitUntil(
        lambda: panel.session.state.plane is not None and panel.session.state.plane.space == "w", timeout=5000
    )
    plane = panel.session.state.plane
    assert plane is not None
    np.testing.assert_allclose(plane.origin.array, fakes.ws_of(mixed)[0], atol=1e-5)


def test_that_the_plane_goes_to_w_and_back_to_the_same_seeds(qtbot: QtBot, panel: PlanePanel) -> None:
    session = panel.session
    in_z = session.state.plane
    panel.set_space("w")
    qtbot.waitUntil(lambda: session.state.plane is not None and session.state.plane.space == "w", timeout=5000)
    assert [b.isEnabled() for b in panel.spaces.buttons()] == [True] * 3, "the seeds are still known"
    assert panel.spaces.checkedButton().text() == "W"
    panel.set_space("w+")
    qtbot.waitUntil(lambda: session.state.plane is not None and session.state.plane.space == "w+", timeout=5000)
    assert panel.spaces.checkedButton().text() == "W+"
    panel.set_space("w")
    qtbot.waitUntil(lambda: session.state.plane is not None and session.state.plane.space == "w", timeout=5000)
    panel.set_space("z")
    assert session.state.plane == in_z


def test_that_a_face_of_another_generator_is_refused_in_a_sentence(panel: PlanePanel) -> None:
    before = panel.session.state.plane
    panel.set_anchor("x", Recipe.of(Code.from_seed(1, fakes.Z_DIM, "another")))
    assert panel.session.state.plane == before
    assert "another generator" in panel._messages.text


def test_that_shuffle_spans_three_other_seeds_and_can_be_undone(qtbot: QtBot, panel: PlanePanel) -> None:
    before = panel.session.state.plane
    qtbot.mouseClick(panel.shuffle_button, Qt.MouseButton.LeftButton)
    after = panel.session.state.plane
    assert after is not None
    assert after != before
    assert all("seed" in end.origin for end in (after.origin, after.x, after.y))  # type: ignore[union-attr]
    panel.session.stack.undo()
    assert panel.session.state.plane == before


@pytest.mark.slow
def test_that_another_psi_draws_the_plane_anew_while_the_old_one_stays(qtbot: QtBot, panel: PlanePanel) -> None:
    count = len(panel.view.cache)
    panel.session.change("Psi", psi=(0.5,))
    qtbot.waitUntil(lambda: panel.view.wanted() is not None, timeout=2000)
    assert len(panel.view.cache) == count
    qtbot.waitUntil(full(panel), timeout=20_000)


@pytest.mark.slow
def test_that_a_failing_generator_is_said_once_and_not_asked_again_and_again(
    qtbot: QtBot, panel: PlanePanel, engine: fakes.FakeEngine, idle: Callable[[], None],
    jobs_of: Callable[[type[Job]], list[Job]],
) -> None:  # fmt: skip
    engine.fail[RenderTiles] = OutOfMemory("not even one face fits; close other programs")
    before = len(jobs_of(RenderTiles))
    panel.shuffle()
    qtbot.waitUntil(lambda: "close other programs" in panel._messages.text, timeout=5000)
    qtbot.wait(300)
    idle()
    assert len(jobs_of(RenderTiles)) == before + 1


def test_that_an_anchor_can_be_dragged_out_as_a_face(
    panel: PlanePanel, qtbot: QtBot, monkeypatch: pytest.MonkeyPatch
) -> None:
    dragged: list[Recipe | None] = []
    monkeypatch.setattr(
        "facelab.ui.plane_view.start_drag", lambda source, mime, picture: dragged.append(recipe_of(mime))
    )
    view = panel.view
    middle = view.tags()["y"].center().toPoint()
    qtbot.mousePress(view, Qt.MouseButton.LeftButton, pos=middle)
    qtbot.mouseMove(view, middle + QPoint(30, 5))
    assert dragged == [panel.session.dressed(Code.from_seed(2, fakes.Z_DIM, fakes.SHA))]


def test_that_the_current_face_and_two_random_ones_span_a_plane(qtbot: QtBot, panel: PlanePanel) -> None:
    face = Code.from_seed(31, fakes.Z_DIM, fakes.SHA)
    panel.session.take(Recipe.of(face))
    panel.around_current()
    plane = panel.session.state.plane
    assert plane is not None
    assert plane.origin == face
    assert panel.session.stack.undoText() == "This face and two random ones"


def test_that_principal_components_span_a_plane_around_the_current_face(qtbot: QtBot, panel: PlanePanel) -> None:
    panel.along_components()
    qtbot.waitUntil(
        lambda: panel.session.state.plane is not None and isinstance(panel.session.state.plane.x, Direction),
        timeout=5000,
    )
    plane, recipe = panel.session.state.plane, panel.session.state.recipe
    assert plane is not None
    assert recipe is not None
    np.testing.assert_allclose(plane.origin.array, fakes.ws_of(recipe)[0], atol=1e-5)
    assert panel.view.names["x"] == "pca 1"
    qtbot.waitUntil(full(panel), timeout=20_000)


def test_that_two_saved_directions_are_asked_for_when_there_are_none(panel: PlanePanel) -> None:
    panel.along_saved()
    assert "save two directions" in panel._messages.text.lower()


def test_that_a_drawn_path_becomes_the_keys_of_a_morph(qtbot: QtBot, panel: PlanePanel) -> None:
    view, camera = panel.view, panel.view.camera
    qtbot.mouseClick(panel.path_button, Qt.MouseButton.LeftButton)
    qtbot.mousePress(view, Qt.MouseButton.LeftButton, pos=QPoint(60, 60))
    for x in range(80, 340, 20):
        qtbot.mouseMove(view, QPoint(x, 60 + x // 4))
    qtbot.mouseRelease(view, Qt.MouseButton.LeftButton, pos=QPoint(340, 150))
    assert view.camera == camera, "drawing does not move the canvas"
    dialog = panel.findChild(ExportMorphDialog)
    assert dialog is not None
    plane = panel.session.state.plane
    assert plane is not None
    assert len(dialog.keys) >= 3
    first, last = (panel.session.dressed(plane.at(*view.path[n])) for n in (0, -1))
    assert (dialog.keys[0], dialog.keys[-1]) == (first, last)
    dialog.close()
    qtbot.mouseClick(panel.path_button, Qt.MouseButton.LeftButton)
    assert not view.path


@given(st.lists(st.tuples(coordinates, coordinates), min_size=1, max_size=50), st.floats(0.01, 10))
def test_that_stations_of_a_path_run_from_its_start_to_its_end(path: list[tuple[float, float]], step: float) -> None:
    found = stations(path, step)
    assert 1 <= len(found) <= 24
    assert found[0] == pytest.approx(path[0])
    if len(found) > 1:
        assert found[-1] == pytest.approx(path[-1])


def in_w(seed: int) -> Code:
    return Code(array=fakes.mapped(Code.from_seed(seed, fakes.Z_DIM, fakes.SHA)), space="w", generator=fakes.SHA)


@given(st.floats(-3, 3), st.floats(-3, 3))
def test_that_the_distance_overlay_is_the_distance_of_the_codes(u: float, v: float) -> None:
    plane = Plane(origin=in_w(0), x=in_w(1), y=in_w(2))
    field = distances(plane, in_w(3).array, 0.7)
    away = np.linalg.norm(plane.at(u, v).array - in_w(3).array) / (0.7 * math.sqrt(fakes.W_DIM))
    assert field.at(u, v) == pytest.approx(float(away), rel=1e-3, abs=1e-4)


def test_that_the_angle_overlay_is_zero_at_the_face_itself_and_knows_no_length() -> None:
    z = [Code.from_seed(s, fakes.Z_DIM, fakes.SHA) for s in range(3)]
    field = angles(Plane(origin=z[0], x=z[1], y=z[2]), 5 * z[1].array)
    assert field.at(1, 0) == pytest.approx(0, abs=0.1)
    cosine = float(z[0].array @ z[1].array / np.linalg.norm(z[0].array) / np.linalg.norm(z[1].array))
    assert field.at(0, 0) == pytest.approx(math.degrees(math.acos(cosine)), abs=0.1)


def test_that_an_overlay_follows_the_face_and_says_where_it_means_nothing(qtbot: QtBot, panel: PlanePanel) -> None:
    none, average, current = panel.overlays.actions()
    current.trigger()
    assert panel.view.field is not None
    assert panel.view.field.at(0, 0) == pytest.approx(0, abs=0.1)
    panel.session.take_code(Code.from_seed(1, fakes.Z_DIM, fakes.SHA))
    assert panel.view.field.at(1, 0) == pytest.approx(0, abs=0.1)
    average.trigger()
    assert panel.view.field is None
    assert "go to W" in panel._messages.text
    panel.set_space("w")
    qtbot.waitUntil(lambda: panel.view.field is not None, timeout=5000)
    assert panel.view.grab().toImage().width() > 0
    current.trigger()
    assert panel.view.field is None
    assert "not of W" in panel._messages.text, "the current face is a code in Z"
    none.trigger()
    assert panel.view.field is None


def test_that_anchors_which_come_after_another_generator_was_opened_are_dropped(
    qtbot: QtBot, panel: PlanePanel, engine: fakes.FakeEngine, idle: Callable[[], None]
) -> None:
    panel.set_space("w")
    other = fakes.info("other", "cd" * 32)
    engine.open.add(other.sha256)
    panel.session.open_generator(other)
    idle()
    qtbot.wait(50)
    plane = panel.session.state.plane
    assert plane is not None
    assert plane.generator == other.sha256
    qtbot.waitUntil(full(panel), timeout=20_000)


# -- directions that are dropped, and the lattice ------------------------------------------------------------------------------
def dropped(panel: PlanePanel, mime: QMimeData, at: QPointF) -> None:
    button, keys = Qt.MouseButton.LeftButton, Qt.KeyboardModifier.NoModifier
    enter = QDragEnterEvent(at.toPoint(), Qt.DropAction.CopyAction, mime, button, keys)
    QApplication.sendEvent(panel.view, enter)
    assert enter.isAccepted()
    QApplication.sendEvent(panel.view, QDropEvent(at, Qt.DropAction.CopyAction, mime, button, keys))


def test_that_a_dropped_direction_becomes_the_nearest_axis_and_never_the_origin(
    qtbot: QtBot, panel: PlanePanel
) -> None:
    vector = np.random.RandomState(1).randn(fakes.W_DIM).astype(np.float32)
    smile = Direction(name="smile", vector=vector, sigma=1.0, generator=fakes.SHA)
    tags = panel.view.tags()
    dropped(panel, direction_mime(smile), tags["y"].center())
    qtbot.waitUntil(lambda: panel.session.state.plane is not None and panel.session.state.plane.y == smile)
    assert panel.session.stack.undoText() == "smile on y"
    other = Direction(name="age", vector=vector[::-1], sigma=1.0, generator=fakes.SHA)
    dropped(panel, direction_mime(other), panel.view.tags()["origin"].center())
    qtbot.waitUntil(lambda: panel.session.state.plane is not None and other in (panel.session.state.plane.x, panel.session.state.plane.y))  # fmt: skip
    foreign = Direction(name="age", vector=vector, sigma=1.0, generator="another")
    before = panel.session.state.plane
    dropped(panel, direction_mime(foreign), tags["x"].center())
    assert panel.session.state.plane == before
    assert "another generator" in panel._messages.text


def test_that_all_seeds_lie_side_by_side_from_the_current_one_on(qtbot: QtBot, panel: PlanePanel) -> None:
    session = panel.session
    session.take_code(Code.from_seed(7, fakes.Z_DIM, fakes.SHA))
    panel.all_seeds()
    panel.view.settle()
    assert isinstance(session.state.plane, Lattice)
    assert panel.view.step == 1.0
    assert panel.view.cross == (0.0, 0.0)
    panel._take(3, 2)
    assert session.state.recipe == session.of_seed(7 + 3 + 2 * ROW)
    assert panel.view.cross == (3.0, 2.0)
    assert panel.view.cross_on_plane
    qtbot.waitUntil(full(panel), timeout=20_000)
    panel.overlays.actions()[2].trigger()
    assert panel.view.field is not None
    assert panel.view.field.at(3, 2) == pytest.approx(0, abs=0.1)
    assert panel.view.grab().toImage().width() > 0
    panel.set_anchor("x", Recipe.of(Code.from_seed(99, fakes.Z_DIM, fakes.SHA)))
    plane = session.state.plane
    assert isinstance(plane, Plane)
    assert [end.origin["seed"] for end in (plane.origin, plane.x, plane.y)] == [7, 99, 7 + ROW]  # type: ignore[union-attr]
    session.stack.undo()
    assert State.from_json(session.state.to_json()) == session.state


def test_that_two_fingers_on_a_screen_zoom_about_the_point_between_them(qtbot: QtBot, panel: PlanePanel) -> None:
    view, state = panel.view, panel.session.state
    device = QTest.createTouchDevice()
    middle = QPoint(200, 120)
    fixed = view.camera.point(200, 120, view.width(), view.height())
    scale = view.camera.scale
    fingers = [middle - QPoint(30, 0), middle + QPoint(30, 0)]
    QTest.touchEvent(view, device).press(0, fingers[0], view).press(1, fingers[1], view).commit()
    for spread in range(32, 62, 2):
        apart = QPoint(spread, 0)
        QTest.touchEvent(view, device).move(0, middle - apart, view).move(1, middle + apart, view).commit()
        qtbot.wait(10)
    QTest.touchEvent(view, device).release(0, middle, view).release(1, middle, view).commit()
    assert 1.5 * scale < view.camera.scale < 2.5 * scale
    assert view.camera.point(200, 120, view.width(), view.height()) == pytest.approx(fixed, abs=0.02)
    assert panel.session.state is state, "no face was taken"
