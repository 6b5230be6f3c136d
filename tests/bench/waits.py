"""How long the window's thread is busy at a stretch, by what a person does: ``python -m tests.bench.waits``.

A stretch is a turn of the event loop, in which nothing else is heard; its CPU time counts, so that a busy machine does not. With a
display (xvfb-run) it is the real window there, else one drawn off the screen. ``--profile`` prints where the time of those over
the limit goes (and makes all take longer).
"""

from __future__ import annotations

import contextlib
import cProfile
import os
import pstats
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

LIMIT_MS = 16.0


def main() -> int:
    if not os.environ.get("DISPLAY"):
        os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    from facelab.engine.memory import keep_memory

    keep_memory()
    from PySide6.QtCore import QAbstractEventDispatcher, QEventLoop, Qt, QTimer
    from PySide6.QtTest import QTest
    from PySide6.QtWidgets import QDialog

    from facelab import app
    from facelab.project import Project
    from facelab.settings import Settings
    from facelab.ui.panels.encode import EncodePanel
    from facelab.ui.panels.gallery import GalleryPanel

    app.application()
    turns: list[float] = []
    last = [time.thread_time()]

    def turned() -> None:
        now = time.thread_time()
        turns.append(1e3 * (now - last[0]))
        last[0] = now

    QAbstractEventDispatcher.instance().aboutToBlock.connect(turned)
    missed = 0

    def spin(milliseconds: int) -> None:
        loop = QEventLoop()
        QTimer.singleShot(milliseconds, loop.quit)
        loop.exec()

    def until(done: Callable[[], object]) -> Callable[[], None]:
        def wait() -> None:
            end = time.monotonic() + 120
            while not done() and time.monotonic() < end:
                spin(30)

        return wait

    def told(what: str, do: Callable[[], object], wait: Callable[[], object] = lambda: spin(500)) -> None:
        """Do a thing in a turn of its own, wait until it is through, and print the longest turns."""
        nonlocal missed
        turns.clear()
        last[0] = time.thread_time()
        profile = cProfile.Profile(time.thread_time)
        if "--profile" in sys.argv:
            profile.enable()
        QTimer.singleShot(0, do)
        spin(20)
        wait()
        profile.disable()
        missed += max(turns) > LIMIT_MS
        if "--profile" in sys.argv and max(turns) > LIMIT_MS:
            pstats.Stats(profile).sort_stats("cumulative").print_stats(40)
        print(f"{what:<28} {sum(turns):5.0f} ms, longest", *(f"{t:.0f}" for t in sorted(turns)[:-6:-1]), flush=True)

    def closed() -> None:
        spin(400)
        for dialog in window.findChildren(QDialog):
            dialog.close()
        spin(200)

    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        project = Project.open(folder / "bench.facelab")
        window = stack.enter_context(app._window(project, Settings(), own_layout=False))
        encode, gallery = window.panel(EncodePanel), window.panel(GalleryPanel)
        print(f"{'made after':<28} {1e3 * time.thread_time():5.0f} ms")

        def loaded() -> None:
            until(lambda: window.session.generator is not None)()
            app.wait_until_idle(window)

        told("shown", window.show)
        told("after the first paint", lambda: app._start(window), loaded)
        for name, number in (("light", 1), ("dark", 0)) * 2:
            told(name, window._themes.actions()[number].trigger)
        for action in (
            window.shortcuts, window.settings_action, window.about, window.catalogue, window.find_command,
            window.about_generator, window.export_picture, window.export_morph,
        ):  # fmt: skip
            told(action.text().replace("&", ""), action.trigger, closed)
        for number in range(1, window.tabs.count()):
            told(f"first {window.tabs.tabText(number)}", lambda n=number: window.tabs.setCurrentIndex(n))
        window.show_panel(GalleryPanel)
        for name in ("axes", "psi", "zeros", "near", "random"):
            told(f"gallery, {name}", lambda name=name: gallery.show_page(name))
        for kind in window.docks:
            told(f"dock {kind.title}", lambda kind=kind: window.show_panel(kind))
        window.reset_layout.trigger()
        window.show_panel(EncodePanel)
        spin(500)
        told("a photograph", encode._try_sample, until(lambda: encode.item is not None and encode.item.ready))
        encode.how.steps.setValue(60)
        told(
            "the first encoding",
            lambda: QTest.mouseClick(encode.encode_button, Qt.MouseButton.LeftButton),
            until(lambda: encode.item.run is not None and not encode.item.run.open),
        )
        told("resized", lambda: window.resize(1500, 900))
    print(f"limit {LIMIT_MS:.0f} ms: {'met' if not missed else f'missed by {missed}'}")
    return 0 if not missed else 1


if __name__ == "__main__":
    sys.exit(main())
