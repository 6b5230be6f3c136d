"""The explorer under load: ``python -m tests.bench.explorer``. 5,000 faces in the library, tiles arriving, the real engine at work.

Every event that the window's thread handles (paint, timer, answer of the worker, mouse, wheel) is timed by the CPU time of that
thread, so a busy machine does not count. With a display (xvfb-run) it is the real window there, else one drawn off the screen.
"""

from __future__ import annotations

import os
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

FACES = 5000
LIMIT_MS = 8.0


def main() -> int:
    if not os.environ.get("DISPLAY"):
        os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    from facelab.engine.memory import keep_memory

    keep_memory()
    from PySide6.QtCore import QEvent, QObject
    from PySide6.QtTest import QTest
    from PySide6.QtWidgets import QApplication

    class Timed(QApplication):
        """Notes how long each event took, those that it sent in turn included."""

        depth = 0

        def __init__(self) -> None:
            super().__init__([sys.argv[0]])
            self.times: list[float] = []

        def notify(self, receiver: QObject, event: QEvent) -> bool:
            self.depth += 1
            start = time.thread_time()
            try:
                return super().notify(receiver, event)
            finally:
                self.depth -= 1
                if not self.depth:
                    self.times.append(time.thread_time() - start)

    timed = Timed()
    from facelab import app
    from facelab.project import Project
    from facelab.settings import Settings
    from facelab.ui.panels.library import LibraryPanel
    from facelab.ui.panels.plane import PlanePanel

    def told(what: str) -> float:
        times = 1e3 * np.array(timed.times or [0.0])
        p95, p99 = np.quantile(times[times > 0.02], [0.95, 0.99]) if (times > 0.02).any() else (0.0, 0.0)
        print(
            f"{what:<34} p95 {p95:5.1f} ms   p99 {p99:5.1f} ms   longest {times.max():6.1f} ms   {len(times):6,} events"
        )
        timed.times.clear()
        return float(p95)

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "many.facelab"
        project = Project.open(path)
        _fill(project)
        size = path.stat().st_size
        began = time.thread_time()
        with app._window(project, Settings()) as window:
            window.resize(1280, 800)
            window.show()
            timed.processEvents()
            print(
                f"{FACES:,} faces, {size / 1e6:.0f} MB: on screen after {time.thread_time() - began:.2f} s of the window's thread"
            )
            window.start()
            plane, library = window.panel(PlanePanel), window.panel(LibraryPanel)
            _wait(lambda: window.session.generator is not None and plane.view.wanted() is None)
            QTest.qWait(500)
            timed.times.clear()

            bar = library.list.verticalScrollBar()
            for place in np.linspace(0, bar.maximum(), 150).astype(int):
                bar.setValue(int(place))
                QTest.qWait(12)
            worst = told("scrolling through the library")
            for turn in range(120):
                plane.view.look(plane.view.camera.panned(9 if turn < 60 else -6, 5))
                QTest.qWait(12)
            worst = max(worst, told("panning while tiles arrive"))
            for factor in (1.25,) * 8 + (0.8,) * 14:
                plane.view.zoom(factor, 300, 200)
                QTest.qWait(90)
            worst = max(worst, told("zooming while tiles arrive"))
            for turn in range(60):
                plane.shuffle() if turn % 20 == 0 else None
                QTest.qWait(30)
            worst = max(worst, told("other seeds"))
    print(f"p95 at most {worst:.1f} ms, limit {LIMIT_MS:.0f} ms: {'met' if worst <= LIMIT_MS else 'MISSED'}")
    return 0 if worst <= LIMIT_MS else 1


def _fill(project: object) -> None:
    """Faces in W+ of the embedded generator, as encoded ones are."""
    from facelab import api
    from facelab.latent.code import Code
    from facelab.latent.recipe import Recipe
    from facelab.project import Project
    from facelab.ui.panels.library import thumbnail_png
    from facelab.ui.pixels import image_of

    assert isinstance(project, Project)
    generator = api.open()
    random = np.random.RandomState(0)
    mean = np.broadcast_to(generator.w_avg, (generator.num_ws, generator.w_dim))
    pictures = generator.render(generator.map(random.randn(16, generator.z_dim).astype(np.float32)))
    thumbnails = [thumbnail_png(image_of(p)) for p in pictures]
    for number in range(FACES):
        code = Code(
            array=mean + random.randn(*mean.shape).astype(np.float32), space="w+", generator=generator.sha256,
            origin={"photo": f"face {number}"},
        )  # fmt: skip
        project.add_face(Recipe.of(code), f"face {number}", thumbnail=thumbnails[number % 16], tags=("many",))
    project.flush()


def _wait(done: object, seconds: float = 120.0) -> None:
    from PySide6.QtTest import QTest

    assert callable(done)
    end = time.monotonic() + seconds
    while not done() and time.monotonic() < end:
        QTest.qWait(30)


if __name__ == "__main__":
    sys.exit(main())
