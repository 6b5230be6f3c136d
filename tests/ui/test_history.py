"""The history shows each step with its face, and goes back to it."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from PySide6.QtCore import Qt
from PySide6.QtTest import QTest
from pytestqt.qtbot import QtBot

from facelab.jobs import Job, Thumbnails
from facelab.latent.code import Code
from facelab.latent.recipe import Recipe
from facelab.ui.panels.history import HistoryPanel
from facelab.ui.session import Session
from facelab.worker import Client
from tests import fakes


def face(seed: int) -> Recipe:
    return Recipe.of(Code.from_seed(seed, fakes.Z_DIM, fakes.SHA))


@pytest.fixture
def panel(qtbot: QtBot, opened: Session, client: Client) -> HistoryPanel:
    made = HistoryPanel(opened, client)
    qtbot.addWidget(made)
    made.resize(216, 400)
    made.show()
    return made


@pytest.mark.slow
def test_that_each_step_has_its_face(
    qtbot: QtBot, panel: HistoryPanel, opened: Session, idle: Callable[[], None]
) -> None:
    for seed in (3, 4):
        opened.take(face(seed), f"Seed {seed}")
    assert [panel.recipe(row) for row in range(3)] == [face(0), face(3), face(4)]
    qtbot.waitUntil(lambda: len(panel._pictures) == 3, timeout=5000)
    idle()
    model = panel.view.model()
    assert [model.index(row, 0).data() for row in range(3)] == ["The start", "Seed 3", "Seed 4"]


def test_that_a_click_goes_back_to_a_step(panel: HistoryPanel, opened: Session, idle: Callable[[], None]) -> None:
    for seed in (3, 4):
        opened.take(face(seed), f"Seed {seed}")
    where = panel.view.visualRect(panel.view.model().index(1, 0)).center()
    QTest.mouseClick(panel.view.viewport(), Qt.MouseButton.LeftButton, pos=where)
    assert opened.state.recipe == face(3)
    assert opened.stack.canRedo()
    idle()


@pytest.mark.slow
def test_that_a_drag_draws_one_face_where_it_rests(
    qtbot: QtBot,
    panel: HistoryPanel,
    opened: Session,
    idle: Callable[[], None],
    jobs_of: Callable[[type[Job]], list[Job]],
) -> None:
    qtbot.waitUntil(lambda: len(panel._pictures) == 1, timeout=5000)
    with opened.drag():
        for i in range(50):
            opened.change("Change psi", psi=(i / 50,))
            if i % 10 == 0:
                qtbot.wait(5)
    qtbot.waitUntil(lambda: len(panel._pictures) == 2, timeout=5000)
    idle()
    assert sum(len(job.recipes) for job in jobs_of(Thumbnails) if isinstance(job, Thumbnails)) <= 3
