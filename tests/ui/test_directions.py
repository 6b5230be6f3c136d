"""Directions are found, kept in the project, and moved along."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PySide6.QtWidgets import QApplication
from pytestqt.qtbot import QtBot

from facelab.errors import ProjectError
from facelab.jobs import FindDirections, Job, WriteDirections
from facelab.latent.code import Code, Direction
from facelab.latent.direction import orthogonalise
from facelab.latent.recipe import Applied, Recipe
from facelab.ui.panels.directions import DirectionsPanel, HoldDialog, applied
from facelab.ui.panels.plane import PlanePanel
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
    panel.find_by("pca")
    idle()
    placed(panel)
    assert [row.direction.name for row in panel.rows][:2] == ["pca 1", "pca 2"]
    assert opened.project.directions(fakes.SHA) == [row.direction for row in panel.rows]
    assert not panel._empty.isVisible()


def test_that_a_slider_moves_the_recipe_by_sigmas_and_zero_takes_the_direction_out(
    panel: DirectionsPanel, opened: Session, idle: Idle
) -> None:
    panel.find_by("pca")
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
    panel.find_by("sefa")
    idle()
    first = panel.rows[0].direction
    panel.rows[0].value.number.setValue(1.0)
    panel._set_layers(first, (0, 4))
    assert opened.state.recipe is not None
    assert opened.state.recipe.directions == (Applied(first, 1.0, (0, 4)),)
    panel.remove([first])
    assert opened.state.recipe == face(0)
    opened.project.flush()
    assert first not in opened.project.directions(fakes.SHA)


def test_that_pointing_at_a_direction_draws_both_its_ends(
    qtbot: QtBot, panel: DirectionsPanel, opened: Session, idle: Idle
) -> None:
    panel.find_by("pca")
    idle()
    panel.rows[0].value.hovered.emit(True)
    qtbot.waitUntil(lambda: panel._more.pixels is not None, timeout=2000)
    idle()
    more = face(0).change(directions=(Applied(panel.rows[0].direction, 2.5),))
    np.testing.assert_array_equal(panel._more.pixels, fakes.draw(fakes.ws_of(more), 128, 0.03, 1))
    assert opened.stack.count() == 1, "pointing changes nothing; finding was the only step"


def test_that_two_tags_of_the_library_give_two_groups(
    panel: DirectionsPanel, opened: Session, idle: Idle, jobs_of: Callable[[type[Job]], list[Job]]
) -> None:
    for seed, tag in ((1, "smiling"), (2, "smiling"), (3, "serious")):
        opened.project.add_face(face(seed), f"face {seed}", thumbnail=None, tags=(tag,))
    opened.project.flush()
    panel.show_finder()
    panel.without.add_tag("serious")
    panel.having.add_tag("smiling")
    panel.called.setText("smile")
    panel.find_between()
    idle()
    (job,) = jobs_of(FindDirections)
    assert isinstance(job, FindDirections)
    assert (job.method, job.name) == ("groups", "smile")
    assert [set(group) for group in job.groups] == [{face(3).sources[0]}, {face(1).sources[0], face(2).sources[0]}]


def test_that_one_face_on_each_side_is_a_pair_and_none_on_the_left_the_average(
    qtbot: QtBot, panel: DirectionsPanel, idle: Idle, jobs_of: Callable[[type[Job]], list[Job]]
) -> None:
    panel.show_finder()
    assert not panel._find_between.isEnabled()
    panel.having.drop.many_dropped.emit([face(2)])
    panel.find_between()
    panel.without.drop.many_dropped.emit([face(1), face(1)])
    idle()
    panel.find_between()
    idle()
    average, pair = jobs_of(FindDirections)
    assert isinstance(average, FindDirections)
    assert isinstance(pair, FindDirections)
    assert (average.method, average.groups) == ("groups", ((face(2).sources[0],),))
    assert (pair.method, pair.groups) == ("pair", ((face(1).sources[0],), (face(2).sources[0],)))
    qtbot.waitUntil(lambda: all(view.pixels is not None for view in panel.without._views))


def test_that_a_project_that_fails_is_told_and_ends_nothing(
    qtbot: QtBot, panel: DirectionsPanel, opened: Session, idle: Idle, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise ProjectError("the disk is full")

    monkeypatch.setattr(opened.project, "add_direction", full)
    with qtbot.waitSignal(opened.project_failed) as failed:
        panel.find_by("pca")
    idle()
    assert str(failed.args[0]) == "the disk is full"
    assert not panel.rows


def test_that_a_mixed_face_counts_as_what_it_draws(
    panel: DirectionsPanel, idle: Idle, jobs_of: Callable[[type[Job]], list[Job]]
) -> None:
    a, b = face(1).sources[0], face(2).sources[0]
    mixed = Recipe(sources=(a, b), weights=((0.5,), (0.5,)))
    panel.having.add([mixed, face(3).change(psi=(0.5,))])
    panel.find_between()
    idle()
    (job,) = jobs_of(FindDirections)
    assert isinstance(job, FindDirections)
    ((one, other),) = job.groups
    np.testing.assert_allclose(one.array, fakes.ws_of(mixed), atol=1e-6)
    assert other == face(3).sources[0]


def test_that_finding_and_removing_are_undone(panel: DirectionsPanel, opened: Session, idle: Idle) -> None:
    panel.find_by("pca")
    idle()
    placed(panel)
    found = [row.direction for row in panel.rows]
    panel.rows[0].value.number.setValue(2.0)
    moved = opened.state.recipe
    panel.remove(found[:2])
    assert [row.direction for row in panel.rows] == found[2:]
    assert opened.state.recipe == face(0)
    opened.stack.undo()
    assert {row.direction for row in panel.rows} == set(found)
    assert opened.state.recipe == moved
    opened.stack.undo()
    opened.stack.undo()
    assert not panel.rows
    assert opened.project.directions() == []
    opened.stack.redo()
    placed(panel)
    assert len(panel.rows) == len(found)


def placed(panel: DirectionsPanel) -> None:
    """Until all rows are there: they are made a few at a time."""
    while panel._soon.isActive():
        QApplication.processEvents()


def test_that_rows_of_many_directions_are_made_a_few_at_a_time_in_their_order(
    panel: DirectionsPanel, opened: Session
) -> None:
    for i in range(20):
        opened.project.add_direction(direction(f"d{i}", i))
    panel.reload()
    assert 0 < len(panel.rows) < 20
    placed(panel)
    assert [row.direction.name for row in panel.rows] == [f"d{i}" for i in range(20)]


def test_that_a_direction_is_renamed_where_it_stands_with_its_share_and_its_amount(
    panel: DirectionsPanel, opened: Session, idle: Idle
) -> None:
    panel.find_by("pca")
    idle()
    assert panel.rows[1].share.text() == "33.3 %"
    panel.rows[1].value.number.setValue(2.0)
    panel.rename(panel.rows[1].direction, "age")
    assert [row.direction.name for row in panel.rows][:3] == ["pca 1", "age", "pca 3"]
    assert panel.rows[1].share.text() == "33.3 %"
    assert panel.rows[1].value.value == 2.0
    assert opened.state.recipe is not None
    assert opened.state.recipe.directions[0].direction.name == "age"
    opened.stack.undo()
    assert [row.direction.name for row in panel.rows][:2] == ["pca 1", "pca 2"]
    assert panel.rows[1].value.value == 2.0


def test_that_a_direction_that_holds_others_fixed_is_made_beside_it(
    panel: DirectionsPanel, opened: Session, idle: Idle
) -> None:
    a = Direction(
        name="a", vector=np.ones(fakes.W_DIM, np.float32) / np.sqrt(fakes.W_DIM), sigma=1.0, generator=fakes.SHA
    )
    b, c = direction("b", 0), direction("c", 5)
    for each in (a, b, c):
        opened.project.add_direction(each)
    panel.reload()
    dialog = HoldDialog(a, [b, c], {b}, panel)
    assert dialog.chosen() == [b]
    panel.hold(a, dialog.chosen())
    idle()
    dialog.deleteLater()
    new = panel.rows[-1].direction
    assert new.name == "a, 1 fixed"
    # At right angles as the samples of W spread, which is not the angle of the vectors as they stand.
    samples = np.stack([fakes.mapped(Code.from_seed(seed, fakes.Z_DIM, fakes.SHA)) for seed in range(64)])
    np.testing.assert_allclose(new.vector, orthogonalise(a, [b], samples).vector, atol=1e-6)
    assert not np.allclose(new.vector, a.vector, atol=1e-3)


def test_that_layers_are_typed_as_a_range(panel: DirectionsPanel, opened: Session, idle: Idle) -> None:
    panel.find_by("sefa", layers=(0, 4))
    idle()
    first = panel.rows[0].direction
    panel.rows[0].value.number.setValue(1.0)
    panel.set_layers_text(first, "2-5")
    assert opened.state.recipe is not None
    assert opened.state.recipe.directions == (Applied(first, 1.0, (2, 6)),)
    for wrong in ("", "a-b", "5-2", "0-12", "1-2-3"):
        before = opened.state
        panel.set_layers_text(first, wrong)
        assert opened.state is before
        assert "layers from 0 to 11" in panel._messages.text


def test_that_directions_come_from_a_file(
    panel: DirectionsPanel, idle: Idle, jobs_of: Callable[[type[Job]], list[Job]], tmp_path: Path
) -> None:
    panel.find_by("file", path=tmp_path / "age.npy")
    idle()
    (job,) = jobs_of(FindDirections)
    assert isinstance(job, FindDirections)
    assert job.path == tmp_path / "age.npy"
    assert panel._sections["file"].isVisible()


def test_that_all_directions_are_saved_to_a_file(
    panel: DirectionsPanel, idle: Idle, jobs_of: Callable[[type[Job]], list[Job]], tmp_path: Path
) -> None:
    panel.find_by("pca")
    idle()
    placed(panel)
    panel.save(tmp_path / "all.npz")
    idle()
    (job,) = jobs_of(WriteDirections)
    assert isinstance(job, WriteDirections)
    assert job.directions == tuple(row.direction for row in panel.rows)
    assert (job.path, job.num_ws) == (tmp_path / "all.npz", fakes.NUM_WS)


def test_that_many_directions_can_be_searched(panel: DirectionsPanel, opened: Session) -> None:
    assert not panel.search.isVisible()
    for i in range(20):
        opened.project.add_direction(direction(f"eye {i}" if i % 2 else f"mouth {i}", i))
    panel.reload()
    placed(panel)
    panel.search.setText("eye")
    assert [row.isVisible() for row in panel.rows] == [bool(i % 2) for i in range(20)]
    panel.search.clear()
    assert all(row.isVisible() for row in panel.rows)


def test_that_known_factors_are_offered_where_a_generator_was_built_from_them(
    panel: DirectionsPanel, opened: Session, jobs_of: Callable[[type[Job]], list[Job]], idle: Idle
) -> None:
    assert not panel._known.isVisible()
    opened.open_generator(replace(fakes.info(), metadata={"teacher_version": "1"}))
    assert panel._known.isVisible()
    panel._known.click()
    idle()
    (job,) = jobs_of(FindDirections)
    assert isinstance(job, FindDirections)
    assert job.method == "factor"


def test_that_a_direction_is_offered_to_the_plane(qtbot: QtBot, panel: DirectionsPanel, idle: Idle) -> None:
    panel.find_by("pca")
    idle()
    menu = panel.menu_of(panel.rows[0])
    assert menu is not None
    plane = next(a.menu() for a in menu.actions() if a.text() == "Put on the plane")
    with qtbot.waitSignal(panel.axis_asked) as asked:
        plane.actions()[1].trigger()
    assert asked.args == ["y", panel.rows[0].direction]
    menu.deleteLater()


def test_that_a_direction_becomes_an_axis_of_the_plane_one_sigma_a_step(
    qtbot: QtBot, opened: Session, client: Client, idle: Idle
) -> None:
    plane = PlanePanel(opened, client)
    qtbot.addWidget(plane)
    up = direction("up", 3)
    plane.set_axis("y", up)
    idle()
    spanned = opened.state.plane
    assert spanned is not None
    assert spanned.y == up
    away = spanned.at(0.0, 2.0).array - spanned.origin.array
    np.testing.assert_allclose(away, np.broadcast_to(2 * up.sigma * up.vector, away.shape), atol=1e-6)
    before = opened.state
    plane.set_axis("x", replace(up, generator="00" * 32))
    assert opened.state is before


def test_that_directions_keep_their_order_in_a_recipe() -> None:
    a, b, c = (direction(name, i) for i, name in enumerate("abc"))
    recipe = face(0)
    for use in (Applied(a, 1.0), Applied(b, 2.0), Applied(c, 3.0), Applied(b, 5.0)):
        recipe = applied(recipe, use)
    assert [(d.direction.name, d.amount) for d in recipe.directions] == [("a", 1.0), ("b", 5.0), ("c", 3.0)]
