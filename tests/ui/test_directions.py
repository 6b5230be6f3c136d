"""Directions are found, kept in the project, and moved along."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from pytestqt.qtbot import QtBot

from facelab.jobs import FindDirections, Job
from facelab.latent.code import Code, Direction
from facelab.latent.recipe import Applied, Recipe
from facelab.ui.panels.directions import DirectionsPanel, _GroupsDialog, applied
from facelab.ui.session import Session
from facelab.worker import Client
from tests import fakes

Idle = Callable[[], None]


def face(seed: int) -> Recipe:
    return Recipe.of(Code.from_seed(seed, fakes.Z_DIM, fakes.SHA))


def direction(name: str, axis: int) -> Direction:
    return Direction(name=name, vector=np.eye(fakes.W_DIM, dtype=np.float32)[axis], sigma=0.5, generator=fakes.SHA)


@pytest.fixture
def panel(qtbot: QtBot, opened: Session, client: Client) -> DirectionsPanel:
    made = DirectionsPanel(opened, client)
    qtbot.addWidget(made)
    made.resize(376, 500)
    made.show()
    return made


def test_that_directions_found_have_a_slider_each_and_stay_in_the_project(
    panel: DirectionsPanel, opened: Session, idle: Idle
) -> None:
    assert panel._empty.isVisible()
    panel.find("pca")
    idle()
    assert [row.direction.name for row in panel.rows][:2] == ["pca 1", "pca 2"]
    assert opened.project.directions(fakes.SHA) == [row.direction for row in panel.rows]
    assert not panel._empty.isVisible()


def test_that_a_slider_moves_the_recipe_by_sigmas_and_zero_takes_the_direction_out(
    panel: DirectionsPanel, opened: Session, idle: Idle
) -> None:
    panel.find("pca")
    idle()
    row = panel.rows[1]
    row.value.number.setValue(1.5)
    assert opened.state.recipe == face(0).change(directions=(Applied(row.direction, 1.5),))
    row.value.number.setValue(0.0)
    assert opened.state.recipe == face(0)
    row.value.number.setValue(-2.0)
    panel.reset()
    assert opened.state.recipe == face(0)
    opened.stack.undo()
    assert row.value.value == -2.0


def test_that_a_face_with_a_direction_of_its_own_brings_its_slider(panel: DirectionsPanel, opened: Session) -> None:
    own = direction("smile", 3)
    opened.take(face(4).change(directions=(Applied(own, 2.0),)))
    (row,) = panel.rows
    assert row.direction == own
    assert row.value.value == 2.0


def test_that_a_direction_can_be_kept_to_some_layers_and_removed(
    panel: DirectionsPanel, opened: Session, idle: Idle
) -> None:
    panel.find("sefa")
    idle()
    first = panel.rows[0].direction
    panel.rows[0].value.number.setValue(1.0)
    panel._set_layers(first, (0, 4))
    assert opened.state.recipe is not None
    assert opened.state.recipe.directions == (Applied(first, 1.0, (0, 4)),)
    panel.remove(first)
    assert opened.state.recipe == face(0)
    opened.project.flush()
    assert first not in opened.project.directions(fakes.SHA)


def test_that_pointing_at_a_direction_draws_both_its_ends(
    qtbot: QtBot, panel: DirectionsPanel, opened: Session, idle: Idle
) -> None:
    panel.find("pca")
    idle()
    panel.rows[0].value.hovered.emit(True)
    qtbot.waitUntil(lambda: panel._more.pixels is not None, timeout=2000)
    idle()
    more = face(0).change(directions=(Applied(panel.rows[0].direction, 2.5),))
    np.testing.assert_array_equal(panel._more.pixels, fakes.draw(fakes.ws_of(more), 128, 0.03, 1))
    assert opened.stack.count() == 0, "pointing changes nothing"


def test_that_two_tags_of_the_library_give_two_groups(
    panel: DirectionsPanel, opened: Session, idle: Idle, jobs_of: Callable[[type[Job]], list[Job]], qtbot: QtBot
) -> None:
    for seed, tag in ((1, "smiling"), (2, "smiling"), (3, "serious")):
        opened.project.add_face(face(seed), f"face {seed}", thumbnail=None, tags=(tag,))
    opened.project.flush()
    dialog = _GroupsDialog(opened, panel)
    qtbot.addWidget(dialog)
    dialog.one.setCurrentIndex(dialog.one.findData("serious"))
    dialog.other.setCurrentIndex(dialog.other.findData("smiling"))
    dialog._find()
    panel.find("groups", dialog.groups, dialog.called)
    idle()
    (job,) = jobs_of(FindDirections)
    assert isinstance(job, FindDirections)
    assert [len(group) for group in job.groups] == [1, 2]
    assert job.name == "serious to smiling"


def test_that_directions_keep_their_order_in_a_recipe() -> None:
    a, b, c = (direction(name, i) for i, name in enumerate("abc"))
    recipe = face(0)
    for use in (Applied(a, 1.0), Applied(b, 2.0), Applied(c, 3.0), Applied(b, 5.0)):
        recipe = applied(recipe, use)
    assert [(d.direction.name, d.amount) for d in recipe.directions] == [("a", 1.0), ("b", 5.0), ("c", 3.0)]
