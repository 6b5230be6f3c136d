"""The gallery's faces are those that it says, and wear what the current face wears."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from PySide6.QtCore import Qt
from pytestqt.qtbot import QtBot

from facelab.latent.code import Code
from facelab.latent.expression import distance_in_sigmas
from facelab.latent.recipe import Recipe
from facelab.ui.grid import FaceGrid
from facelab.ui.panels.gallery import NEIGHBOURS, PSIS, GalleryPanel
from facelab.ui.session import Session
from facelab.worker import Client
from tests import fakes

Idle = Callable[[], None]


def face(seed: int) -> Recipe:
    return Recipe.of(Code.from_seed(seed, fakes.Z_DIM, fakes.SHA))


@pytest.fixture
def panel(qtbot: QtBot, opened: Session, client: Client) -> GalleryPanel:
    made = GalleryPanel(opened, client)
    qtbot.addWidget(made)
    made.resize(690, 460)
    made.show()
    return made


def shown(grid: FaceGrid, row: int) -> Recipe:
    recipe = grid.faces.recipe(row)
    assert recipe is not None
    return recipe


def test_that_random_faces_are_those_of_the_seeds_in_their_order(
    qtbot: QtBot, panel: GalleryPanel, opened: Session, idle: Idle
) -> None:
    grid = panel.grids["random"]
    panel.first.setValue(40)
    assert [shown(grid, i) for i in range(3)] == [face(40), face(41), face(42)]
    assert grid.faces.index(2).data() == "42"
    qtbot.waitUntil(lambda: grid.drawer.pixels(face(40)) is not None)
    qtbot.mouseClick(grid.viewport(), Qt.MouseButton.LeftButton, pos=grid.visualRect(grid.faces.index(1)).center())
    assert opened.state.recipe == face(41)
    assert opened.stack.undoText() == "Take seed 41"


@pytest.mark.slow
def test_that_random_faces_follow_psi_when_it_rests(qtbot: QtBot, panel: GalleryPanel, opened: Session) -> None:
    grid = panel.grids["random"]
    opened.change("psi", psi=(0.5,))
    qtbot.waitUntil(lambda: shown(grid, 7) == face(7).change(psi=(0.5,)), timeout=2000)
    opened.take(shown(grid, 7))
    qtbot.wait(300)
    assert shown(grid, 8) == face(8).change(psi=(0.5,)), "a face that was taken leaves the others as they are"


def test_that_axes_have_one_coordinate_and_either_sign(panel: GalleryPanel) -> None:
    panel.show_page("axes")
    grid = panel.grids["axes"]
    assert grid.faces.rowCount() == fakes.Z_DIM
    np.testing.assert_array_equal(shown(grid, 5).sources[0].array, np.eye(fakes.Z_DIM, dtype=np.float32)[5])
    panel._set_sign(-1)
    np.testing.assert_array_equal(shown(grid, 5).sources[0].array, -np.eye(fakes.Z_DIM, dtype=np.float32)[5])


def test_that_strips_vary_psi_in_all_layers_and_by_group(
    qtbot: QtBot, panel: GalleryPanel, opened: Session, idle: Idle
) -> None:
    opened.change("psi", psi=(0.7,))
    panel.show_page("psi")
    cells = panel.strips.cells
    assert [len(row) for row in cells] == [len(PSIS)] * 4
    for row, layers in zip(cells, (range(12), range(4), range(4, 8), range(8, 12)), strict=True):
        for psi, view in zip(PSIS, row, strict=True):
            expected = tuple(psi if i in layers else 0.7 for i in range(12))
            assert view.recipe == face(0).change(psi=expected[:1] if len(set(expected)) == 1 else expected)
    qtbot.waitUntil(lambda: all(view.pixels is not None for row in cells for view in row))
    assert opened.state.recipe == face(0).change(psi=(0.7,))


def test_that_the_three_zero_faces_are_there_by_name(
    qtbot: QtBot, panel: GalleryPanel, opened: Session, idle: Idle
) -> None:
    panel.show_page("zeros")
    qtbot.waitUntil(lambda: all(zero.face.pixels is not None for zero in panel._zeros.values()))
    idle()
    arrays = {}
    for name, zero in panel._zeros.items():
        assert zero.face.recipe is not None
        arrays[name] = (zero.face.recipe.sources[0].space, zero.face.recipe.sources[0].array)
    assert arrays["z = 0"][0] == "z"
    assert not arrays["z = 0"][1].any()
    assert arrays["w = 0"][0] == "w"
    assert not arrays["w = 0"][1].any()
    np.testing.assert_array_equal(arrays["w_avg"][1], fakes.info().w_avg)
    assert "σ" in panel._zeros["z = 0"].far.text()
    panel._zeros["w_avg"].face.clicked.emit()
    assert opened.state.recipe == panel._zeros["w_avg"].face.recipe


@pytest.mark.slow
def test_that_neighbours_lie_at_the_radius_and_stay_when_one_is_taken(
    qtbot: QtBot, panel: GalleryPanel, opened: Session, idle: Idle
) -> None:
    opened.change("psi", psi=(0.5,))
    panel.show_page("near")
    grid = panel.grids["near"]
    qtbot.waitUntil(lambda: grid.faces.rowCount() == NEIGHBOURS)
    panel.radius.number.setValue(0.8)
    here = fakes.ws_of(opened.state.recipe)  # type: ignore[arg-type]
    for row in (0, 1, NEIGHBOURS - 1):
        assert distance_in_sigmas(fakes.ws_of(shown(grid, row)), here, 1.0) == pytest.approx(0.8, rel=1e-4)
    third = shown(grid, 3)
    opened.take(third)
    qtbot.wait(300)
    idle()
    assert shown(grid, 3) == third
    panel._other_neighbours()
    qtbot.waitUntil(lambda: shown(grid, 3) != third)


@pytest.mark.slow
def test_that_faces_are_of_the_class_that_is_chosen(
    qtbot: QtBot, panel: GalleryPanel, opened: Session, idle: Idle
) -> None:
    opened.open_generator(replace(fakes.info(), c_dim=3))
    opened.take(Recipe.of(Code.from_seed(1, fakes.Z_DIM, fakes.SHA, 0)))
    panel.show_page("random")
    opened.choose_class(2)
    expected = Recipe.of(Code.from_seed(5, fakes.Z_DIM, fakes.SHA, 2))
    qtbot.waitUntil(lambda: shown(panel.grids["random"], 5) == expected, timeout=2000)
    assert shown(panel.grids["axes"], 0).sources[0].label == 2
    zero = panel._zeros["z = 0"].face
    qtbot.waitUntil(lambda: zero.recipe is not None and zero.recipe.sources[0].label == 2, timeout=2000)
    idle()


def test_that_a_face_has_a_menu(panel: GalleryPanel, qtbot: QtBot) -> None:
    menu = panel.menu_of(face(3))
    actions = {action.text(): action for action in menu.actions()}
    with qtbot.waitSignal(panel.slot_asked) as asked:
        actions["Put in slot B"].trigger()
    assert asked.args == [1, face(3)]
    with qtbot.waitSignal(panel.keep_asked) as asked:
        actions["Keep in library"].trigger()
    assert asked.args == [face(3)]
    menu.deleteLater()


def test_that_before_a_generator_is_open_the_gallery_says_so(qtbot: QtBot, session: Session, client: Client) -> None:
    panel = GalleryPanel(session, client)
    qtbot.addWidget(panel)
    panel.show()
    assert panel._waiting.isVisible()
    assert not panel.isEnabled()
