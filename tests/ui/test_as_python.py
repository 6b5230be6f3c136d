"""Copy as Python in the window: the lines are on the clipboard, or a sentence says why not."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import pytest
from PySide6.QtWidgets import QApplication
from pytestqt.qtbot import QtBot

from facelab.assets import EMBEDDED_GENERATOR, resource
from facelab.jobs import Job, Resolve
from facelab.latent.code import Code
from facelab.latent.recipe import Recipe
from facelab.ui.main_window import MainWindow
from facelab.ui.session import Session
from facelab.worker import Client
from tests import fakes

Idle = Callable[[], None]


@pytest.fixture
def window(
    qtbot: QtBot, session: Session, client: Client, engine: fakes.FakeEngine, idle: Idle
) -> Iterator[MainWindow]:
    made = MainWindow(session, client)
    made.start()
    idle()
    yield made
    idle()
    made.status_line.stop()
    made.deleteLater()


def copied(window: MainWindow, idle: Idle) -> str:
    QApplication.clipboard().clear()
    window.copy_python.trigger()
    idle()
    return QApplication.clipboard().text()


def test_that_the_lines_of_the_current_face_are_copied(window: MainWindow, session: Session, idle: Idle) -> None:
    session.change("psi", psi=(0.5,))
    text = copied(window, idle)
    assert "RandomState(0)" in text
    assert "np.float32(0.5)" in text
    assert "facelab.open()" in text
    compile(text, "<lines>", "exec")


def test_that_the_embedded_generator_needs_no_path_and_a_file_its_own(
    window: MainWindow, session: Session, idle: Idle
) -> None:
    session.open_generator(fakes.info(path=str(resource(EMBEDDED_GENERATOR))))
    assert "facelab.open()" in copied(window, idle)
    session.open_generator(fakes.info(path="/models/it's.pkl"))
    assert 'facelab.open("/models/it\'s.pkl")' in copied(window, idle)


def test_that_noise_of_its_own_is_worked_out_by_the_worker(
    window: MainWindow, session: Session, idle: Idle, jobs_of: Callable[[type[Job]], list[Job]]
) -> None:
    noise = tuple(np.zeros(shape, np.float32) for shape in fakes.info().noise_shapes)
    code = Code(array=np.zeros(fakes.W_DIM, np.float32), space="w", generator=fakes.SHA, noise=noise)
    session.take(Recipe.of(code))
    idle()
    copied(window, idle)
    assert [job.recipes for job in jobs_of(Resolve) if isinstance(job, Resolve)][-1] == (Recipe.of(code),)


def test_that_what_cannot_be_written_is_said_beside_it(window: MainWindow, session: Session, idle: Idle) -> None:
    assert session.state.recipe is not None
    session.take(session.state.recipe.change(tuning="ab" * 32))
    idle()
    assert copied(window, idle) == ""
    assert "tuned" in window._messages.text
