"""The state, its one undo command, and what merges."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PySide6.QtWidgets import QApplication

from facelab.latent.code import Code, Direction
from facelab.latent.mixing_table import MixingTable
from facelab.latent.plane import Lattice, Plane
from facelab.latent.recipe import Applied, Noise, Recipe
from facelab.project import Project
from facelab.ui.panels.directions import DirectionsEdit
from facelab.ui.panels.library import keep_face
from facelab.ui.session import Session, State, describe
from tests import fakes


def code(seed: int) -> Code:
    return Code.from_seed(seed, fakes.Z_DIM, fakes.SHA)


def face(seed: int) -> Recipe:
    return Recipe.of(code(seed))


def direction(number: int) -> Direction:
    vector = np.random.RandomState(number).randn(fakes.W_DIM)
    return Direction(name=f"direction {number}", vector=vector, sigma=1.0, generator=fakes.SHA)


def find(session: Session, new: Direction) -> None:
    """What the panel does when a direction was found."""
    if new not in session.project.directions():
        do, undo = (lambda project: project.add_direction(new)), (lambda project: project.delete_direction(new))
        session.stack.push(DirectionsEdit(session, "find", session.state, do, undo))


EDITS: list[Callable[[Session, int], None]] = [
    lambda s, n: s.take(face(n)),
    lambda s, n: s.take_code(code(n)),
    lambda s, n: s.change("psi", psi=(n / 10,)),
    lambda s, n: s.change("psi", merge="psi", psi=(n / 7,)),
    lambda s, n: s.change("noise", noise=Noise("seed", n)),
    lambda s, n: s.edit("plane", plane=Plane(origin=code(n), x=code(n + 1), y=code(n + 2))),
    lambda s, n: s.edit("slots", slots=(*s.state.slots[:1], face(n))),
    lambda s, n: s.take(Recipe(sources=(code(n), code(n + 3)), weights=((0.5,), (0.5,)))),
    lambda s, n: s.edit("seeds", plane=Lattice(first=n, z_dim=fakes.Z_DIM, generator=fakes.SHA)),
    lambda s, n: s.edit("table", table=MixingTable(columns=(face(n),), rows=(face(n + 1),), layers=(0, 1 + n % 3))),
    lambda s, n: s.change("move", directions=(Applied(direction(n), n / 3, None),)),
    lambda s, n: s.surprise(np.random.default_rng(n)),
    lambda s, n: keep_face(s, face(n), f"face {n}"),
    lambda s, n: find(s, direction(n)),
    lambda s, n: s.begin_drag(),
    lambda s, n: s.end_drag(),
    lambda s, n: s.stack.undo(),
    lambda s, n: s.stack.redo(),
]


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.tuples(st.sampled_from(EDITS), st.integers(0, 9)), max_size=40))
def test_that_undoing_everything_gives_the_start_and_redoing_it_the_end(
    opened: Session, edits: list[tuple[Any, int]]
) -> None:
    opened.end_drag()
    opened.stack.clear()
    opened.project.delete([row.id for row in opened.project.faces()])

    def everything() -> tuple[object, ...]:
        project = opened.project
        return opened.state, [r.id for r in project.faces()], {d.digest for d in project.directions()}

    start = everything()
    for edit, number in edits:
        edit(opened, number)
    end, count = everything(), opened.stack.index()
    while opened.stack.canUndo():
        opened.stack.undo()
    assert everything() == start
    opened.stack.setIndex(count)
    assert everything() == end


def test_that_every_edit_undo_and_redo_leaves_through_one_signal(opened: Session) -> None:
    heard: list[tuple[State, State]] = []
    opened.changed.connect(lambda after, before: heard.append((after, before)))
    start = opened.state
    opened.take(face(5))
    end = opened.state
    opened.stack.undo()
    opened.stack.redo()
    assert heard == [(end, start), (start, end), (end, start)]


def test_that_a_drag_is_one_step_and_two_drags_are_two(opened: Session) -> None:
    for _ in range(2):
        opened.begin_drag()
        for i in range(10):
            opened.change("Change psi", psi=(i / 10 + opened.stack.count(),))
        opened.end_drag()
    assert opened.stack.count() == 2


def test_that_a_drag_back_to_where_it_began_leaves_no_step(opened: Session) -> None:
    with opened.drag():
        opened.change("Change psi", psi=(0.5,))
        opened.change("Change psi", psi=(1.0,))
    assert opened.stack.count() == 0
    assert opened.state.recipe is not None
    assert opened.state.recipe.psi == (1.0,)


def test_that_keys_merge_within_six_tenths_of_a_second(opened: Session) -> None:
    now = 0.0
    opened.clock = lambda: now
    for when, count in ((0.0, 1), (0.5, 1), (1.0, 1), (1.7, 2), (1.8, 2)):
        now = when
        opened.change("Change psi", merge="psi", psi=(when + 2,))
        assert opened.stack.count() == count
    opened.change("Change cutoff", merge="cutoff", cutoff=3)
    assert opened.stack.count() == 3, "another control does not merge"


def test_that_nothing_changed_is_no_step(opened: Session) -> None:
    opened.take(face(0))
    assert opened.stack.count() == 0


def test_that_a_face_taken_leaves_the_second_slot_alone(opened: Session) -> None:
    opened.edit("slots", slots=(face(0), face(8)))
    opened.take(face(3))
    assert opened.state.slots == (face(3), face(8))
    opened.take(Recipe(sources=(code(1), code(2), code(3))))
    assert opened.state.slots == (face(1), face(2), face(3))


def test_that_a_seed_wears_what_the_current_face_wears(opened: Session) -> None:
    opened.change("Change psi", psi=(0.6,), noise=Noise("none"))
    dressed = opened.of_seed(9)
    assert dressed == face(9).change(psi=(0.6,), noise=Noise("none"))


def test_that_another_generator_comes_as_a_step_that_undo_takes_back(opened: Session) -> None:
    opened.take(face(4))
    opened.open_generator(fakes.info("other", "0b" * 32, "/models/other.pkl"))
    assert opened.state.recipe is not None
    assert opened.state.recipe.generator == "0b" * 32
    assert opened.stack.undoText() == "Open other"
    assert all(slot is None or slot.generator == "0b" * 32 for slot in opened.state.slots)
    opened.stack.undo()
    assert opened.state.recipe == face(4)
    assert opened.path_of("0b" * 32) == Path("/models/other.pkl")


def test_that_the_state_is_in_the_project_when_it_is_opened_again(qapp: QApplication, tmp_path: Path) -> None:
    path = tmp_path / "kept.facelab"
    first = Session(Project.open(path))
    first.open_generator(fakes.info())
    first.take(Recipe(sources=(code(1), code(2)), weights=((0.3,), (0.7,)), psi=(0.5,)))
    kept = first.state
    first.save()
    first.project.close()
    second = Session(Project.open(path))
    assert second.state == kept
    assert not second.stack.canUndo()
    second.project.close()


def test_that_a_state_nobody_can_read_costs_the_view_only(qapp: QApplication, tmp_path: Path) -> None:
    project = Project.open(tmp_path / "odd.facelab")
    project.set_meta("state", {"recipe": "{}", "slots": 3})
    project.flush()
    session = Session(project)
    assert session.state == State()
    project.close()


def test_that_another_project_brings_its_own_state_and_a_new_history(opened: Session, tmp_path: Path) -> None:
    opened.take(face(4))
    opened.open_project(Project.open(tmp_path / "second.facelab"))
    assert not opened.stack.canUndo()
    assert opened.state.recipe == face(4), "a project without a face keeps the one that is seen"


def rows(recipe: Recipe | None) -> np.ndarray:
    assert recipe is not None
    return fakes.ws_of(recipe)


def test_that_locked_layers_stay_when_the_rest_is_left_to_chance(opened: Session) -> None:
    opened.take(Recipe(sources=(code(1), code(2)), weights=((0.3,), (0.7,))))
    before = rows(opened.state.recipe)
    opened.lock(range(4), True)
    opened.take_random(77)
    after = rows(opened.state.recipe)
    np.testing.assert_allclose(after[:4], before[:4], atol=1e-5)
    np.testing.assert_allclose(after[4:], rows(face(77))[4:], atol=1e-5)
    for number in range(5):
        opened.surprise(np.random.default_rng(number))
        np.testing.assert_allclose(rows(opened.state.recipe)[:4], before[:4], atol=1e-4)
    opened.lock(range(4), False)
    opened.take_random(77)
    assert opened.state.recipe == face(77)


def test_that_a_surprise_is_one_step_and_mixes_two_faces(opened: Session) -> None:
    opened.surprise(np.random.default_rng(4))
    assert opened.stack.count() == 1
    assert opened.state.recipe is not None
    assert len(opened.state.recipe.sources) == 2


def test_that_settings_change_for_all_and_are_written(opened: Session) -> None:
    heard: list[object] = []
    opened.settings_changed.connect(heard.append)
    opened.configure(theme="light")
    assert opened.settings.theme == "light"
    assert heard == [opened.settings]


@pytest.mark.parametrize(
    ("recipe", "words"),
    [
        (face(7), "seed 7"),
        (Recipe(sources=(code(1), code(2)), weights=((0.5,), (0.5,)), psi=(0.7,)), "seed 1 + seed 2 · ψ 0.70"),
        (Recipe(sources=(code(1), code(2))), "seed 1"),
        (None, "no face"),
    ],
)
def test_that_a_face_is_described_in_a_few_words(recipe: Recipe | None, words: str) -> None:
    assert describe(recipe) == words
