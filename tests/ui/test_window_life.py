"""The window's beginning and its end: what it shows before anything is loaded, its layout, and what it leaves behind."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from PySide6.QtCore import Qt
from PySide6.QtGui import QAction
from PySide6.QtWidgets import QApplication, QDialog, QMessageBox
from pytestqt.qtbot import QtBot

from facelab import jobs
from facelab.latent.code import Code
from facelab.latent.recipe import Recipe
from facelab.ui.layout import layout_file
from facelab.ui.main_window import MainWindow
from facelab.ui.panels.encode import EncodePanel
from facelab.ui.panels.jobs import JobsPanel
from facelab.ui.panels.loss import LossPanel
from facelab.ui.panels.mixer import MixerPanel
from facelab.ui.panels.preview import PreviewPanel
from facelab.ui.session import Session
from facelab.worker import Client
from tests import fakes


def face(seed: int) -> Recipe:
    return Recipe.of(Code.from_seed(seed, fakes.Z_DIM, fakes.SHA))


@pytest.fixture
def window(qtbot: QtBot, session: Session, client: Client, idle: Callable[[], None]) -> Iterator[MainWindow]:
    made = MainWindow(session, client)
    made.show()
    made.start()
    qtbot.waitUntil(lambda: session.generator is not None, timeout=20_000)
    idle()
    yield made
    for dialog in made.findChildren(QDialog):
        dialog.close()
    made._sure = True
    made.close()
    made.deleteLater()
    QApplication.processEvents()


def test_that_it_shows_before_anything_is_loaded_and_says_so(
    qtbot: QtBot, session: Session, engine: fakes.FakeEngine, desk: fakes.FakeDesk, request: pytest.FixtureRequest
) -> None:
    may_go_on = threading.Event()

    def slow() -> fakes.FakeEngine:
        may_go_on.wait(10)
        return engine

    client = Client(slow, lambda: desk)
    window = MainWindow(session, client)
    request.addfinalizer(lambda: (may_go_on.set(), window.close(), window.deleteLater()))
    window.show()
    window.start()
    assert window.isVisible()
    assert "Loading" in window.chip.text()
    assert window._wait.isVisible()
    assert not window.export_picture.isEnabled()
    may_go_on.set()
    qtbot.waitUntil(lambda: session.generator is not None, timeout=20_000)
    assert window.chip.text().split() == ["portraits", "·", "128", "px", "·", "CPU"]
    assert not window._wait.isVisible()
    assert window.export_picture.isEnabled()


PAINTED = """
import sys
from facelab import app
from facelab.ui.main_window import MainWindow
paint, painted = MainWindow.paintEvent, []
def note(self, event):
    painted.append(sorted({"torch", "scipy", "sklearn", "cv2", "dlib", "pyqtgraph"} & set(sys.modules)))
    paint(self, event)
def start(self, path=None):
    print(painted[:1], "torch" in sys.modules)
    self.close()
MainWindow.paintEvent, MainWindow.start = note, start
sys.exit(app.run())
"""


@pytest.mark.slow
def test_that_nothing_heavy_loads_before_the_window_is_painted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("QT_QPA_PLATFORM", "offscreen")
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", PAINTED], capture_output=True, text=True, check=False, timeout=120
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "[[]] False\n", "")


COLLECTED = """
import gc, threading
from pathlib import Path
from facelab import app
from facelab.project import Project
from facelab.settings import Settings
class Cycle:
    threads = set()
    def __init__(self):
        self.me = self
    def __del__(self):
        self.threads.add(threading.current_thread())
def work():
    for _ in range(100_000):
        Cycle()
app.application()
with app._window(Project.open(Path("a.facelab")), Settings(), own_layout=False) as window:
    window.show()
    window.start()
    app.wait_until_idle(window)
    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert not Cycle.threads
    app.wait_until_idle(window, 1)
    assert Cycle.threads == {threading.main_thread()}
assert gc.isenabled() and not gc.get_freeze_count()
"""


@pytest.mark.slow
def test_that_garbage_is_collected_on_the_windows_thread_alone(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("QT_QPA_PLATFORM", "offscreen")
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[2]))
    done = subprocess.run([sys.executable, "-c", COLLECTED], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.slow
def test_that_a_display_that_does_not_answer_is_told_in_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("QT_QPA_PLATFORM", "no-such-platform")
    program = [sys.executable, "-m", "facelab"]
    done = subprocess.run(program, capture_output=True, text=True, check=False, timeout=120)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("facelab: no window can be opened")
    assert done.stderr.count("\n") == 1


def test_that_a_window_for_a_picture_has_the_first_layout_and_leaves_the_persons_alone(
    qtbot: QtBot, window: MainWindow, session: Session, client: Client
) -> None:
    window.docks[MixerPanel].close()
    window.places.save()
    kept = layout_file().read_text("utf-8")
    again = MainWindow(session, client, own_layout=False)
    qtbot.addWidget(again, before_close_func=lambda w: setattr(w, "_sure", True))
    again.show()
    assert not again.docks[MixerPanel].isHidden()
    again.docks[MixerPanel].close()
    again.places.save()
    assert layout_file().read_text("utf-8") == kept


@pytest.mark.slow
def test_that_the_layout_is_remembered_and_reset(
    qtbot: QtBot, window: MainWindow, session: Session, client: Client
) -> None:
    window.docks[MixerPanel].close()
    window.tabs.setCurrentWidget(window.panel(EncodePanel))
    window.places.save()
    kept = json.loads(layout_file().read_text("utf-8"))
    assert kept["version"] == 1
    again = MainWindow(session, client)
    qtbot.addWidget(again, before_close_func=lambda w: setattr(w, "_sure", True))
    again.show()
    assert again.docks[MixerPanel].isHidden()
    assert again.tabs.currentWidget() is again.panel(EncodePanel)
    again.reset_layout.trigger()
    assert not again.docks[MixerPanel].isHidden()


@pytest.mark.parametrize(
    "junk", ["", "{", "[]", '{"version": 1}', '{"version": 1, "geometry": "?", "docks": "", "tab": 0}']
)
def test_that_a_spoilt_layout_file_costs_the_layout_only(
    qtbot: QtBot, session: Session, client: Client, junk: str
) -> None:
    layout_file().parent.mkdir(parents=True)
    layout_file().write_text(junk)
    window = MainWindow(session, client)
    qtbot.addWidget(window)
    window.show()
    assert not window.docks[MixerPanel].isHidden()


def test_that_quitting_during_an_export_asks_first(
    qtbot: QtBot, window: MainWindow, client: Client, engine: fakes.FakeEngine, tmp_path: Path
) -> None:
    engine.pause = 0.02
    client.submit(jobs.ExportMorph(keys=(face(1), face(2)), path=tmp_path / "x.mp4"))
    assert len(window.panel(JobsPanel).running()) == 1
    window.close()
    assert window.isVisible()
    box = next(d for d in QApplication.topLevelWidgets() if isinstance(d, QMessageBox) and d.isVisible())
    assert isinstance(box, QMessageBox)
    stop = next(b for b in box.buttons() if b.text() == "Stop and quit")
    qtbot.mouseClick(stop, Qt.MouseButton.LeftButton)
    qtbot.waitUntil(lambda: not window.isVisible(), timeout=20_000)
    assert engine.closed


def test_that_closing_leaves_no_thread_and_a_whole_project(
    qtbot: QtBot, window: MainWindow, session: Session, engine: fakes.FakeEngine
) -> None:
    session.take(face(9))
    window.close()
    assert engine.closed
    assert not [t for t in threading.enumerate() if t.name.startswith("facelab-side")]
    again = Session(type(session.project).open(session.project.path))
    assert again.state.recipe == face(9)
    again.project.close()


def test_that_commands_that_need_a_face_wait_for_one(qtbot: QtBot, session: Session, client: Client) -> None:
    window = MainWindow(session, client)
    qtbot.addWidget(window)
    waiting: list[QAction] = window._need_face
    assert len(waiting) > 8
    assert not any(action.isEnabled() for action in waiting)


def test_that_the_sides_keep_their_share_when_the_window_is_maximised(qtbot: QtBot, window: MainWindow) -> None:
    window.resize(1280, 800)
    window.reset_layout.trigger()
    qtbot.wait(50)
    preview = window.docks[PreviewPanel]
    before = preview.width()
    window.resize(1920, 1200)
    qtbot.waitUntil(lambda: preview.width() > 1.4 * before, timeout=2000)
    assert preview.width() < 1.6 * before


def test_that_what_shows_work_comes_up_with_it_and_stays_closed_when_it_is_closed(
    qtbot: QtBot, window: MainWindow, client: Client, engine: fakes.FakeEngine, tmp_path: Path
) -> None:
    assert window.docks[LossPanel].isHidden()
    engine.pause = 0.02
    run = jobs.Project(run="r", generator=fakes.SHA, target=np.zeros((128, 128, 3), np.uint8), name="me.jpg")
    client.submit(run)
    assert not window.docks[LossPanel].isHidden()
    assert not window.docks[JobsPanel].isHidden()
    window.docks[LossPanel].close()
    client.submit(run)
    assert window.docks[LossPanel].isHidden()
