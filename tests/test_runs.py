"""Runs in a project: settings there and back, what is recorded, how a run goes on, the baseline."""

from __future__ import annotations

from dataclasses import fields, replace
from pathlib import Path

import numpy as np
import pytest

from facelab import runs
from facelab.errors import BadArgument, ProjectError
from facelab.jobs import Project, ProjectionDone, ProjectionSettings, ProjectionState, ProjectionStep
from facelab.latent.code import Code
from facelab.latent.recipe import Recipe
from facelab.project import Project as ProjectFile

SHA = "a" * 64
CODE = Code(array=np.ones((2, 4), np.float32), space="w+", generator=SHA, origin={"run": "r"})
PICTURE = np.zeros((4, 4, 3), np.uint8)


def job(**settings: object) -> Project:
    return Project(run="r", generator=SHA, target=PICTURE, settings=ProjectionSettings(**settings), name="me")  # type: ignore[arg-type]


def test_that_settings_come_back_from_the_project_as_they_were(tmp_path: Path) -> None:
    settings = ProjectionSettings(
        space="w", steps=77, start="code", start_code=Code.from_seed(3, 8, SHA), losses={"pixels": 2.0}, learn_layers=(0, 3),
        mask=np.arange(64, dtype=np.uint8).reshape(8, 8), stop_loss=0.5,
    )  # fmt: skip
    with ProjectFile.open(tmp_path / "p.facelab") as project:
        runs.begin(project, replace(job(), settings=settings))
        back = runs.settings_of(project.runs()[0].settings)
    for field in fields(settings):
        if field.name != "mask":
            assert getattr(back, field.name) == getattr(settings, field.name), field.name
    np.testing.assert_array_equal(back.mask, settings.mask)


@pytest.mark.parametrize(
    "value",
    [
        {"steps": "many"}, {"unheard_of": 1}, {"losses": 3}, {"start_code": {"space": "q"}}, {"mask": 3}, {"mask": {"side": 2}},
        {"mask": {"side": 10**6, "zlib": ""}}, {"mask": {"side": 2, "zlib": "eJwDAAAAAAE="}}, {"mask": {"side": 2, "zlib": "!"}},
    ],
)  # fmt: skip
def test_that_settings_of_another_hand_are_refused(value: dict[str, object]) -> None:
    with pytest.raises(BadArgument):
        runs.settings_of(value)


def test_that_a_run_is_recorded_answer_by_answer_and_goes_on_from_its_state(tmp_path: Path) -> None:
    path = tmp_path / "p.facelab"
    with ProjectFile.open(path) as project:
        runs.begin(project, job(steps=9), b"png", "me.jpg", np.zeros((4, 2)))
        ws = np.ones((2, 4), np.float32)
        for answer in (
            ProjectionStep(run="r", steps=(0, 1), losses={"total": (3.0, 2.0)}, ws=ws, kept=True, seconds=0.5),
            ProjectionState(run="r", step=2, blob=b"state"),
            ProjectionStep(run="r", steps=(2,), losses={"total": (1.0,)}, ws=ws, seconds=0.75),
        ):
            runs.record(project, answer)
    with ProjectFile.open(path) as project:
        (row,) = project.runs()
        assert (row.status, row.steps_done, row.best, row.name) == ("interrupted", 3, 1.0, "me")
        assert list(project.losses("r")) == ["total"]
        assert project.losses("r")["total"].tolist() == [3, 2, 1]
        np.testing.assert_array_equal(project.seconds("r"), np.array([np.nan, 0.5, 0.75], np.float32))
        assert project.kept_steps("r") == [1]
        again, step = runs.resumed(project, job(steps=9))
        assert (again.resume, step) == (b"state", 2)
        assert runs.face_of(project, "r") is None
        face = project.add_face(Recipe.of(CODE), "me", run="r")
        runs.record(project, ProjectionDone(run="r", code=CODE, loss=1.0, step=2, pixels=PICTURE))
        assert project.runs()[0].status == "done"
        assert runs.face_of(project, "r") == face
        project.delete([face])
        assert runs.face_of(project, "r") == face
        assert runs.resumed(project, job(steps=9))[0].resume is None


def test_that_a_run_that_was_cancelled_can_still_go_on(tmp_path: Path) -> None:
    with ProjectFile.open(tmp_path / "p.facelab") as project:
        runs.begin(project, job())
        runs.record(project, ProjectionState(run="r", step=2, blob=b"state"))
        runs.record(project, ProjectionDone(run="r", code=CODE, loss=1.0, step=2, pixels=PICTURE, stopped="cancelled"))
        assert project.runs()[0].status == "cancelled"
        assert project.run_code("r") == CODE
        assert runs.resumed(project, job())[1] == 2


def test_that_a_report_tells_how_photographs_were_encoded(tmp_path: Path) -> None:
    with ProjectFile.open(tmp_path / "p.facelab") as project:
        runs.begin(project, job(steps=9, near_w=0.01, losses={"pixels": 1.0}, mask=np.ones((4, 4), np.uint8)))
        project.add_losses("r", 0, {"total": [1.0]})
        made = runs.report(project, runs.reported(project, SHA), [tmp_path / "r.html"])
        assert runs.zeros_missing(project, project.runs())
        with pytest.raises(ProjectError, match="no photograph"):
            runs.reported(project, "b" * 64)
    (photo,) = made.runs
    assert photo.settings == "W+, 9 steps, adam, from the average face, pixels, near W 0.01, face only"
    assert photo.zero is None


def test_that_runs_of_equal_settings_share_one_baseline() -> None:
    settings = ProjectionSettings(steps=20, seed=3)
    name, own = runs.zero_run(replace(settings, stop_loss=0.1, mask=np.ones((4, 4), np.uint8)), SHA)
    assert runs.is_zero_run(name)
    assert own.stop_loss is None
    assert own.mask is None
    assert runs.zero_run(settings, SHA)[0] == name
    assert runs.zero_run(replace(settings, seed=4), SHA)[0] != name
    assert runs.zero_run(settings, "b" * 64)[0] != name
    assert not runs.is_zero_run("0123")
    assert not runs.zero_face(SHA, 8).array.any()
