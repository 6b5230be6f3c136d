"""The loss plot: averages, ticks that never overlap, live curves, earlier runs, taking a kept step."""

from __future__ import annotations

import csv
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PySide6.QtCore import QPointF, Qt
from PySide6.QtGui import QImage
from pytestqt.qtbot import QtBot

from facelab.jobs import ExportDescent, Job, Project, ProjectionSettings, Thumbnails
from facelab.ui.dialogs import ExportDescentDialog
from facelab.ui.panels.loss import FIGURE, LossPanel, moving_average, thinned
from facelab.ui.plot import ticks
from facelab.ui.run_dialogs import ReportDialog
from facelab.ui.session import Session
from facelab.worker import Client
from tests import fakes


# -- numbers ----------------------------------------------------------------------------------------------------------------
def test_that_the_moving_average_is_the_mean_of_the_last_values() -> None:
    values = np.arange(1.0, 101.0)
    mean = moving_average(values, 50)
    assert mean[0] == 1
    assert mean[9] == pytest.approx(5.5)
    assert mean[99] == pytest.approx(values[50:].mean())


def test_that_missing_values_do_not_count_in_the_average() -> None:
    mean = moving_average(np.array([2.0, np.nan, 4.0, np.nan]), 3)
    np.testing.assert_allclose(mean, [2, 2, 3, 4])
    assert np.isnan(moving_average(np.array([np.nan, 1.0]))[0])


@given(st.integers(1, 50_000), st.booleans())
def test_that_a_long_curve_is_thinned_to_what_can_be_seen_with_both_its_ends(count: int, log: bool) -> None:
    places = thinned(count, log)
    assert len(places) <= 500
    assert places[0] == 0
    assert places[-1] == count - 1
    assert (np.diff(places) > 0).all()


@given(st.floats(-6, 4), st.floats(0.01, 12), st.floats(60, 1500))
def test_that_labels_of_a_logarithmic_axis_never_come_too_close(low: float, span: float, pixels: float) -> None:
    labelled, bare = ticks(low, low + span, pixels, 40)
    assert all(low - 1e-9 <= t <= low + span + 1e-9 for t in labelled + bare)
    gaps = np.diff(np.sort(labelled)) * pixels / span
    assert (gaps >= 39.5).all()
    assert not set(labelled) & set(bare)


def test_that_an_axis_of_some_decades_is_labelled_1_2_5() -> None:
    labelled, _ = ticks(0, 2, 600, 44)
    np.testing.assert_allclose(10 ** np.array(labelled), [1, 2, 5, 10, 20, 50, 100])


def test_that_an_axis_of_less_than_a_decade_has_labels_too() -> None:
    labelled, _ = ticks(np.log10(0.6), np.log10(1.9), 120, 20)
    assert len(labelled) >= 3


# -- the panel --------------------------------------------------------------------------------------------------------------
@pytest.fixture
def panel(qtbot: QtBot, opened: Session, client: Client) -> LossPanel:
    made = LossPanel(opened, client)
    qtbot.addWidget(made, before_close_func=lambda _: client.close())
    made.resize(640, 220)
    made.show()
    return made


def run(panel: LossPanel, name: str, steps: int = 80) -> str:
    """Encode something, and record it as the encode panel does."""
    project = panel.session.project
    settings = ProjectionSettings(steps=steps)
    project.start_run(name, fakes.SHA, {"steps": steps}, name)
    target = fakes.draw(np.zeros((fakes.NUM_WS, fakes.W_DIM), np.float32))
    ticket = panel.client.submit(Project(run=name, generator=fakes.SHA, target=target, settings=settings, name=name))

    def record(answer: object) -> None:
        if hasattr(answer, "losses"):
            project.add_losses(name, answer.steps[0], answer.losses)
            if answer.kept:
                project.keep_step(name, answer.steps[-1], answer.ws)

    ticket.answered.connect(record)
    return name


def finished(panel: LossPanel, name: str, steps: int = 80) -> Callable[[], bool]:
    return lambda: name in panel.curves and panel.curves[name].count == steps and not panel.curves[name].live


def test_that_an_empty_plot_says_what_comes_here(panel: LossPanel) -> None:
    assert panel.stack.currentWidget() is panel.empty


@pytest.mark.slow
def test_that_a_run_is_drawn_while_it_goes_on(qtbot: QtBot, panel: LossPanel, engine: fakes.FakeEngine) -> None:
    engine.pause = 0.005
    run(panel, "anna")
    qtbot.waitUntil(lambda: "anna" in panel._lines and np.size(panel._lines["anna"].mean.xData) > 3, timeout=5000)
    assert panel.curves["anna"].live
    qtbot.waitUntil(finished(panel, "anna"), timeout=20_000)
    lines = panel._lines["anna"]
    np.testing.assert_allclose(lines.raw.yData, panel.curves["anna"].values("total"))
    assert {panel.term.itemData(i) for i in range(panel.term.count())} == {"total", "pixels", "noise"}


def test_that_earlier_runs_are_offered_and_read_when_they_are_ticked(
    qtbot: QtBot, opened: Session, client: Client
) -> None:
    for name in ("old", "new"):
        opened.project.start_run(name, fakes.SHA, {}, name)
        opened.project.add_losses(name, 0, {"total": np.geomspace(1, 0.1, 30).tolist()})
    panel = LossPanel(opened, client)
    qtbot.addWidget(panel, before_close_func=lambda _: client.close())
    qtbot.waitUntil(lambda: panel.curves["new"].shown)  # the newest is drawn by itself
    assert not panel.curves["old"].loaded
    row = panel._row("old")
    assert row is not None
    row.setCheckState(Qt.CheckState.Checked)
    np.testing.assert_allclose(panel.curves["old"].values("total"), np.geomspace(1, 0.1, 30), rtol=1e-6)
    assert panel._lines["old"].mean.isVisible()
    row.setCheckState(Qt.CheckState.Unchecked)
    assert not panel._lines["old"].mean.isVisible()


def scene(panel: LossPanel, step: int) -> QPointF:
    value = moving_average(panel.curves["anna"].values("total"))[step]
    return panel.plot.getPlotItem().vb.mapViewToScene(QPointF(np.log10(step + 1), np.log10(value)))  # type: ignore[no-any-return]


def test_that_pointing_says_step_and_loss_and_shows_the_face_of_a_kept_step(
    qtbot: QtBot, panel: LossPanel, jobs_of: Callable[[type[Job]], list[Job]]
) -> None:
    run(panel, "anna")
    qtbot.waitUntil(finished(panel, "anna"), timeout=20_000)
    qtbot.wait(50)
    panel._moved(scene(panel, 16))
    assert "step 17" in panel.note.full_text()
    assert "click to take" in panel.note.full_text()
    assert panel.minimumSizeHint().width() < 330, "what is said does not make the window wider"
    qtbot.waitUntil(panel.picture.isVisible, timeout=5000)
    assert len(jobs_of(Thumbnails)) == 1


def test_that_a_click_on_a_kept_step_takes_its_face_and_undo_gives_the_former_back(
    qtbot: QtBot, panel: LossPanel
) -> None:
    run(panel, "anna")
    qtbot.waitUntil(finished(panel, "anna"), timeout=20_000)
    qtbot.wait(50)
    former = panel.session.state.recipe
    at = panel.plot.mapFromScene(scene(panel, 16))
    qtbot.mouseClick(panel.plot.viewport(), Qt.MouseButton.LeftButton, pos=at)
    recipe = panel.session.state.recipe
    assert recipe is not None
    np.testing.assert_allclose(recipe.sources[0].array, panel.session.project.kept("anna", 16))
    panel.session.stack.undo()
    assert panel.session.state.recipe == former


def test_that_the_axes_can_be_linear(qtbot: QtBot, panel: LossPanel) -> None:
    run(panel, "anna")
    qtbot.waitUntil(finished(panel, "anna"), timeout=20_000)
    panel.log_button.click()
    qtbot.waitUntil(lambda: panel.plot.getPlotItem().vb.viewRange()[0][1] > 70, timeout=2000)
    assert panel.nearest(panel.plot.getPlotItem().vb.mapViewToScene(QPointF(40, 0.1))) is not None


def test_that_curves_are_exported_as_numbers_picture_and_drawing(
    qtbot: QtBot, panel: LossPanel, tmp_path: Path
) -> None:
    run(panel, "anna")
    qtbot.waitUntil(finished(panel, "anna"), timeout=20_000)
    for suffix in (".csv", ".png", ".svg"):
        panel.export(tmp_path / f"loss{suffix}")
    qtbot.waitUntil(lambda: len(list(tmp_path.glob("loss.*"))) == 3, timeout=5000)
    rows = list(csv.DictReader((tmp_path / "loss.csv").read_text(encoding="utf-8").splitlines()))
    assert len(rows) == 80
    assert float(rows[9]["total"]) == pytest.approx(panel.curves["anna"].values("total")[9], rel=1e-6)
    assert (tmp_path / "loss.png").read_bytes().startswith(b"\x89PNG")
    drawing = (tmp_path / "loss.svg").read_text(encoding="utf-8")
    assert "<svg" in drawing
    assert ">step <" in drawing
    assert ">anna " in drawing, "the legend names the curve"
    picture = QImage(str(tmp_path / "loss.png"))
    assert picture.size() == FIGURE, "of a size for a page, however small the panel is"
    assert {picture.pixelColor(x, 740).name() for x in range(4)} == {"#ffffff"}
    panel.export(tmp_path / "nowhere" / "loss.csv")
    qtbot.waitUntil(lambda: "does not exist" in panel._messages.text, timeout=5000)


@pytest.mark.slow
def test_that_a_figure_is_made_in_parts_between_which_the_window_goes_on(
    qtbot: QtBot, panel: LossPanel, tmp_path: Path
) -> None:
    for name in ("anna", "ben", "cleo"):
        run(panel, name)
    qtbot.waitUntil(finished(panel, "cleo"), timeout=20_000)
    assert len(list(panel._figure(".png"))) == 5, "the empty figure, its range, and each curve"
    assert len(list(panel._csv())) == 0, "so short a table is one part"


def test_that_a_descent_is_exported_as_a_video(
    qtbot: QtBot, panel: LossPanel, tmp_path: Path, jobs_of: Callable[[type[Job]], list[ExportDescent]]
) -> None:
    panel._export_descent()
    assert "choose a run" in panel._messages.text.lower()
    run(panel, "anna")
    qtbot.waitUntil(finished(panel, "anna"), timeout=20_000)
    panel._export_descent()
    dialog = panel.findChild(ExportDescentDialog)
    assert dialog is not None
    dialog.path.setText(str(tmp_path / "way.mp4"))
    dialog.back.setValue(0)
    qtbot.mouseClick(dialog.export_button, Qt.MouseButton.LeftButton)
    qtbot.waitUntil(lambda: bool(jobs_of(ExportDescent)), timeout=5000)
    (job,) = jobs_of(ExportDescent)
    assert job.steps == tuple(panel.session.project.kept_steps("anna"))
    assert job.losses is not None
    assert len(job.losses) == 80
    assert (job.back, job.path) == (0, tmp_path / "way.mp4")


def test_that_a_conformity_report_covers_the_photographs_of_the_project(qtbot: QtBot, panel: LossPanel) -> None:
    panel._export_report()
    assert "encode some first" in panel._messages.text
    run(panel, "anna")
    qtbot.waitUntil(finished(panel, "anna"), timeout=20_000)
    panel._export_report()
    dialog = panel.findChild(ReportDialog)
    assert dialog is not None
    assert [row.name for row in dialog.rows] == ["anna"]
