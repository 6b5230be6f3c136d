"""A face set back into its photograph, and the report, from the window."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from PySide6.QtCore import Qt
from PySide6.QtWidgets import QApplication, QDialog, QWidget
from pytestqt.qtbot import QtBot

from facelab import runs
from facelab.errors import ExportError
from facelab.jobs import Job, PasteBack, Project, ProjectionDone, ProjectionSettings, ProjectionStep, WriteReport
from facelab.latent.code import Code
from facelab.latent.recipe import Recipe
from facelab.ui import dialogs
from facelab.ui.main_window import MainWindow
from facelab.ui.panels.library import LibraryPanel, png_of
from facelab.ui.pixels import image_of
from facelab.ui.run_dialogs import PasteBackDialog, ReportDialog
from facelab.ui.session import Session
from facelab.worker import Client
from tests import fakes

QUAD = np.array([[1, 1], [1, 9], [9, 9], [9, 1]], np.float32)
STEPS = 12


@pytest.fixture
def parent(qtbot: QtBot, client: Client, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[QWidget]:
    monkeypatch.setattr(dialogs, "_folder", tmp_path)
    made = QWidget()
    qtbot.addWidget(made, before_close_func=lambda _: client.close())
    made.show()
    return made


def code() -> Code:
    ws = fakes.ws_of(Recipe.of(Code.from_seed(7, fakes.Z_DIM, fakes.SHA)))
    return Code(array=ws, space="w+", generator=fakes.SHA, origin={"run": "r1"})


@pytest.fixture
def encoded(opened: Session) -> Session:
    """A session with one photograph encoded."""
    target = fakes.draw(code().array)
    job = Project(run="r1", generator=fakes.SHA, target=target, settings=ProjectionSettings(steps=STEPS), name="me")
    runs.begin(opened.project, job, png_of(image_of(target)), "me.jpg", QUAD)
    losses = tuple(1 / (n + 1) for n in range(STEPS))
    runs.record(opened.project, ProjectionStep("r1", tuple(range(STEPS)), {"total": losses}, seconds=3.0))
    opened.project.add_face(Recipe.of(code()), "me", photo="me.jpg", quad=QUAD, run="r1")
    runs.record(opened.project, ProjectionDone("r1", code(), losses[-1], STEPS - 1, target))
    return opened


def test_that_an_edited_face_finds_the_photograph_that_it_came_from(encoded: Session) -> None:
    edited = Recipe.of(code()).change(psi=(0.5,))
    name, quad = runs.photo_of(encoded.project, edited) or ("", QUAD * 0)
    assert name == "me.jpg"
    np.testing.assert_array_equal(quad, QUAD)
    assert runs.photo_of(encoded.project, Recipe.of(Code.from_seed(7, fakes.Z_DIM, fakes.SHA))) is None


def test_that_a_face_is_set_back_where_the_project_says(
    qtbot: QtBot,
    encoded: Session,
    client: Client,
    parent: QWidget,
    tmp_path: Path,
    jobs_of: Callable[[type[Job]], list[PasteBack]],
) -> None:
    recipe = Recipe.of(code())
    dialog = PasteBackDialog(encoded, client, recipe, "me.jpg", QUAD, parent)
    dialog.open()
    qtbot.waitUntil(dialog.export_button.isEnabled)
    qtbot.mouseClick(dialog.export_button, Qt.MouseButton.LeftButton)
    assert "Choose the photograph first: me.jpg" in dialog.message.text
    photo = tmp_path / "elsewhere.jpg"
    photo.write_bytes(b"a photograph")
    dialog.photo.setText(str(photo))
    dialog.path.setText(str(photo))
    qtbot.mouseClick(dialog.export_button, Qt.MouseButton.LeftButton)
    assert "write over the photograph" in dialog.message.text
    dialog.path.setText(str(tmp_path / "out.png"))
    dialog.face_only.setChecked(True)
    dialog.feather.setValue(20)
    with qtbot.waitSignal(dialog.written, timeout=5000) as written:
        qtbot.mouseClick(dialog.export_button, Qt.MouseButton.LeftButton)
    assert written.args == [tmp_path / "out.png"]
    (job,) = jobs_of(PasteBack)
    assert (job.photo, job.mask, job.feather) == (photo, True, pytest.approx(0.2))
    np.testing.assert_array_equal(job.quad, QUAD)
    np.testing.assert_array_equal(job.pixels, fakes.draw(fakes.ws_of(recipe), grain=0.03, seed=1))


def test_that_a_photograph_beside_the_last_export_is_offered(
    qtbot: QtBot, encoded: Session, client: Client, parent: QWidget, tmp_path: Path
) -> None:
    (tmp_path / "me.jpg").write_bytes(b"a photograph")
    for name in ("me.jpg", "../../me.jpg"):  # of a path in a stranger's project only the name counts
        dialog = PasteBackDialog(encoded, client, Recipe.of(code()), name, QUAD, parent)
        assert dialog.photo.text() == str(tmp_path / "me.jpg")
        dialog.close()


def test_that_a_report_encodes_the_zero_face_once_and_then_tells_everything(
    qtbot: QtBot, encoded: Session, client: Client, parent: QWidget, jobs_of: Callable[[type[Job]], list[Job]]
) -> None:
    def written() -> WriteReport:
        dialog = ReportDialog(encoded, client, runs.reported(encoded.project, fakes.SHA), parent)
        dialog.open()
        with qtbot.waitSignal(dialog.written, timeout=10_000):
            qtbot.mouseClick(dialog.export_button, Qt.MouseButton.LeftButton)
        job = jobs_of(WriteReport)[-1]
        assert isinstance(job, WriteReport)
        return job

    job = written()
    (zero,) = jobs_of(Project)
    assert isinstance(zero, Project)
    assert runs.is_zero_run(zero.run)
    assert zero.settings.steps == STEPS
    (photo,) = job.runs
    assert (photo.name, len(photo.losses)) == ("me", STEPS)
    assert photo.seconds[-1] == 3
    assert photo.recipe == Recipe.of(code())
    assert photo.zero is not None
    np.testing.assert_array_equal(photo.zero, encoded.project.losses(zero.run)["total"])
    assert len(encoded.project.faces()) == 1
    written()
    assert len(jobs_of(Project)) == 1


def test_that_without_the_zero_face_the_report_is_written_at_once(
    qtbot: QtBot, encoded: Session, client: Client, parent: QWidget, jobs_of: Callable[[type[Job]], list[WriteReport]]
) -> None:
    dialog = ReportDialog(encoded, client, runs.reported(encoded.project, fakes.SHA), parent)
    dialog.open()
    dialog.zero.setChecked(False)
    with qtbot.waitSignal(dialog.written, timeout=5000):
        qtbot.mouseClick(dialog.export_button, Qt.MouseButton.LeftButton)
    assert jobs_of(WriteReport)[0].runs[0].zero is None


def test_that_a_baseline_that_fails_brings_the_dialog_back(
    qtbot: QtBot, encoded: Session, client: Client, parent: QWidget, engine: fakes.FakeEngine
) -> None:
    engine.fail[Project] = ExportError("the disk is full")
    dialog = ReportDialog(encoded, client, runs.reported(encoded.project, fakes.SHA), parent)
    dialog.open()
    qtbot.mouseClick(dialog.export_button, Qt.MouseButton.LeftButton)
    qtbot.waitUntil(lambda: dialog.isVisible() and "disk is full" in dialog.message.text, timeout=5000)
    assert {row.id: row.status for row in encoded.project.runs() if runs.is_zero_run(row.id)}.popitem()[1] == "failed"
    engine.fail.clear()
    with qtbot.waitSignal(dialog.written, timeout=10_000):
        qtbot.mouseClick(dialog.export_button, Qt.MouseButton.LeftButton)


@pytest.mark.slow
def test_that_the_window_offers_both_where_there_is_a_photograph(
    qtbot: QtBot, encoded: Session, client: Client
) -> None:
    window = MainWindow(encoded, client)
    window.show()
    window.start()
    qtbot.waitUntil(lambda: not client._tickets, timeout=20_000)
    encoded.take(Recipe.of(Code.from_seed(3, fakes.Z_DIM, fakes.SHA)))
    window.paste_back.trigger()
    assert "was not encoded from a photograph of this project" in window._messages.text
    encoded.take(Recipe.of(code()).change(psi=(0.7,)))
    window.paste_back.trigger()
    (dialog,) = window.findChildren(PasteBackDialog)
    assert dialog.recipe.psi == (0.7,)
    dialog.close()
    window.report.trigger()
    (report,) = window.findChildren(ReportDialog)
    assert [row.name for row in report.rows] == ["me"]
    report.close()
    library = window.panel(LibraryPanel)
    library.paste_asked.emit(Recipe.of(code()), encoded.project.photo(encoded.project.faces()[0].id))
    qtbot.waitUntil(lambda: any(d.isVisible() for d in window.findChildren(PasteBackDialog)))
    encoded.project.delete_run("r1")
    window.report.trigger()
    assert "no photograph that was encoded" in window._messages.text
    for each in window.findChildren(QDialog):
        each.close()
    qtbot.waitUntil(lambda: not client._tickets, timeout=20_000)
    window._sure = True
    window.close()
    window.deleteLater()
    QApplication.processEvents()
