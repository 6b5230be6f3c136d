"""The jobs panel shows what runs, and stops it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from pytestqt.qtbot import QtBot

from facelab import jobs
from facelab.errors import ExportError
from facelab.latent.code import Code
from facelab.latent.recipe import Recipe
from facelab.ui.panels.jobs import JobsPanel, name_of
from facelab.ui.session import Session
from facelab.worker import Client
from tests import fakes

FACE = Recipe.of(Code.from_seed(7, fakes.Z_DIM, fakes.SHA))


@pytest.fixture
def panel(qtbot: QtBot, opened: Session, client: Client) -> JobsPanel:
    made = JobsPanel(opened, client)
    qtbot.addWidget(made)
    made.resize(400, 168)
    made.show()
    return made


def export(path: Path) -> jobs.ExportMorph:
    return jobs.ExportMorph(keys=(FACE, FACE), path=path / "morph.mp4")


def test_that_a_long_job_has_a_row_until_it_is_taken_away(
    panel: JobsPanel, client: Client, tmp_path: Path, idle: Callable[[], None]
) -> None:
    assert panel._empty.isVisible()
    client.submit(export(tmp_path))
    assert not panel._empty.isVisible()
    (row,) = panel.rows
    assert row.name.full_text() == "Writing a video: morph.mp4"
    idle()
    assert row.note.full_text() == "saved morph.mp4"
    assert row.show_file.isVisible()
    row.stop.click()
    assert panel.rows == ()
    assert panel._empty.isVisible()


def test_that_a_running_job_shows_how_far_it_is_and_is_cancelled(
    qtbot: QtBot, panel: JobsPanel, client: Client, engine: fakes.FakeEngine, tmp_path: Path, idle: Callable[[], None]
) -> None:
    engine.pause = 0.02
    client.submit(export(tmp_path))
    (row,) = panel.rows
    qtbot.waitUntil(lambda: row.bar.value() >= 3, timeout=3000)
    assert row.bar.maximum() == 20
    assert "picture" in row.note.full_text()
    assert panel.running() == [row.ticket]
    row.stop.click()
    idle()
    assert row.note.full_text() == "cancelled"
    assert not row.hold.isVisible()
    assert panel.running() == []


@pytest.mark.slow
def test_that_a_paused_job_stands_still_until_it_goes_on(
    qtbot: QtBot, panel: JobsPanel, client: Client, engine: fakes.FakeEngine, tmp_path: Path, idle: Callable[[], None]
) -> None:
    engine.pause = 0.01
    client.submit(export(tmp_path))
    (row,) = panel.rows
    qtbot.waitUntil(lambda: row.bar.value() >= 2, timeout=3000)
    row.hold.click()
    assert row.note.full_text() == "paused"
    assert row.hold.accessibleName() == "Resume"
    qtbot.wait(60)
    there = row.bar.value()
    qtbot.wait(100)
    assert row.bar.value() == there
    row.hold.click()
    idle()
    assert row.note.full_text() == "saved morph.mp4"


def test_that_a_failed_job_says_why(
    panel: JobsPanel, client: Client, engine: fakes.FakeEngine, tmp_path: Path, idle: Callable[[], None]
) -> None:
    engine.fail[jobs.ExportMorph] = ExportError("cannot write 'morph.mp4': the disk is full")
    client.submit(export(tmp_path))
    idle()
    (row,) = panel.rows
    assert row.note.full_text() == "cannot write 'morph.mp4': the disk is full"


@pytest.mark.slow
def test_that_short_work_has_a_row_only_while_it_takes_long(
    qtbot: QtBot, panel: JobsPanel, client: Client, engine: fakes.FakeEngine, idle: Callable[[], None]
) -> None:
    client.submit(jobs.Thumbnails(recipes=(FACE,)))
    idle()
    assert panel.rows == ()
    engine.pause = 0.8
    client.submit(jobs.Thumbnails(recipes=(FACE,)))
    qtbot.waitUntil(lambda: len(panel.rows) == 1, timeout=2000)
    idle()
    qtbot.waitUntil(lambda: panel.rows == (), timeout=2000)


def test_that_a_job_is_named_by_what_it_does_and_with_what() -> None:
    target = fakes.draw(fakes.ws_of(FACE), 8)
    assert name_of(jobs.Project(run="r", generator=fakes.SHA, target=target, name="me.jpg")) == "Encoding me.jpg"
    assert name_of(jobs.Resolve(recipes=(FACE,))) == "Working out codes"
    two = jobs.ExportPictures(recipes=(FACE, FACE), paths=(Path("a.png"), Path("b.png")))
    assert name_of(two) == "Writing pictures: 2"


def test_that_an_encoding_shows_how_far_it_is_by_its_steps(
    qtbot: QtBot, panel: JobsPanel, client: Client, engine: fakes.FakeEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine.pause = 0.01

    def steps_alone(self: fakes.FakeEngine, job: jobs.Project) -> Iterator[jobs.Answer | None]:
        return (answer for answer in fakes.FakeEngine.project(self, job) if not isinstance(answer, jobs.Progress))

    monkeypatch.setitem(fakes._ENGINE, jobs.Project, steps_alone)
    target = fakes.draw(fakes.ws_of(FACE))
    settings = jobs.ProjectionSettings(steps=60)
    client.submit(jobs.Project(run="r", generator=fakes.SHA, target=target, settings=settings, name="anna"))
    (row,) = panel.rows
    qtbot.waitUntil(lambda: row.bar.value() >= 5, timeout=5000)
    assert row.bar.maximum() == 60
    assert "of 60" in row.note.full_text()
    row.stop.click()
    qtbot.waitUntil(lambda: row.note.full_text() == "cancelled", timeout=5000)
