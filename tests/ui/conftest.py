"""The window's pieces over the real worker and a fake engine, with an empty project of its own."""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from PySide6.QtWidgets import QApplication
from pytestqt.qtbot import QtBot

from facelab.jobs import Job
from facelab.project import Project
from facelab.ui import theme
from facelab.ui.session import Session
from facelab.worker import Client
from tests import fakes


@pytest.fixture(autouse=True)
def garbage_is_collected_on_this_thread() -> Iterator[None]:
    """Windows hold cycles; the interpreter collects them on whatever thread is at work, and Qt's objects may only die on their own."""
    gc.disable()
    gc.freeze()  # what was there before the test need not be gone through after it: 0.1 s each time, once torch is loaded
    yield
    gc.collect()
    gc.enable()


@pytest.fixture
def engine() -> fakes.FakeEngine:
    return fakes.FakeEngine()


@pytest.fixture
def desk() -> fakes.FakeDesk:
    return fakes.FakeDesk()


@pytest.fixture
def client(qapp: QApplication, engine: fakes.FakeEngine, desk: fakes.FakeDesk) -> Iterator[Client]:
    theme.apply(qapp, "dark")
    made = Client(lambda: engine, lambda: desk)
    yield made
    made.close()


@pytest.fixture
def session(qapp: QApplication, tmp_path: Path) -> Iterator[Session]:
    made = Session(Project.open(tmp_path / "library.facelab"))
    yield made
    made.close()


@pytest.fixture
def opened(session: Session, engine: fakes.FakeEngine) -> Session:
    """A session in which the fake generator is open."""
    engine.open.add(fakes.SHA)
    session.open_generator(fakes.info())
    return session


@pytest.fixture
def jobs_of(engine: fakes.FakeEngine, desk: fakes.FakeDesk) -> Callable[[type[Job]], list[Job]]:
    """The jobs of a class that began, in order."""
    return lambda kind: [job for job in (*engine.done, *desk.done) if isinstance(job, kind)]


@pytest.fixture
def idle(qtbot: QtBot, client: Client) -> Callable[[], None]:
    """Waits until every job that was submitted has ended."""

    def wait() -> None:
        qtbot.waitUntil(lambda: not client._tickets, timeout=10_000)

    return wait


@pytest.fixture(autouse=True)
def empty_clipboard(qapp: QApplication) -> Iterator[None]:
    """The offscreen platform crashes at exit over what Python put on the clipboard; a real one does not."""
    yield
    qapp.clipboard().clear()
