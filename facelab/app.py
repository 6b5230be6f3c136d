"""The composition root: settings, project, engine and window are put together here, and nowhere else."""

from __future__ import annotations

import datetime
import gc
import logging
import logging.handlers
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING

import platformdirs
from PySide6.QtCore import (
    QEvent,
    QEventLoop,
    QMessageLogContext,
    QObject,
    QSize,
    QTimer,
    QtMsgType,
    qInstallMessageHandler,
)
from PySide6.QtGui import QWindow
from PySide6.QtWidgets import QApplication

from facelab import __version__, settings
from facelab.errors import ExportError, FacelabError, ProjectError
from facelab.project import Project
from facelab.settings import Settings
from facelab.ui import theme
from facelab.ui.main_window import MainWindow
from facelab.ui.session import Session
from facelab.worker import Bug, Client, Status

if TYPE_CHECKING:
    from facelab.jobs import Engine

log = logging.getLogger(__name__)

# A thread that only runs Python is asked for the interpreter after so long; Qt's turn comes sooner than by default (5 ms).
SWITCH_INTERVAL = 0.002
SIZE = QSize(1280, 800)
FIRST_PAINT_MS = 2000  # the longest that loading waits for the window to be painted


def run(files: Sequence[Path] = ()) -> int:
    """Open the window and stay until it is closed.

    Args:
        files: generators, photographs, faces or a project to open.

    Returns:
        The exit code.

    Raises:
        FacelabError: there is no display.
    """
    if sys.platform == "linux" and not any(
        os.environ.get(n) for n in ("DISPLAY", "WAYLAND_DISPLAY", "QT_QPA_PLATFORM")
    ):
        raise FacelabError("there is no display to open a window on; see `facelab --help` for what works without one")
    _write_log()
    app = application()
    projects = [path for path in files if path.suffix.lower() == ".facelab"]
    project = Project.open(projects[-1]) if projects else None
    with _window(project) as window:
        window.show()
        others = [path for path in files if path not in projects]
        painted = _FirstPaint(window, lambda: _start(window, others))
        with _interruptible(window):
            code = app.exec()
        painted.deleteLater()
        return code


def screenshot(path: Path, files: Sequence[Path] = (), *, size: QSize = SIZE, seconds: float = 60.0) -> Path:
    """Render the real window, with the real engine and an empty project, to a picture, without a display.

    Args:
        path: of the picture, .png.
        files: faces to open in it; the last is the current one.
        size: of the window, in pixels.
        seconds: the longest wait until nothing is being drawn any more.

    Raises:
        ExportError: the picture cannot be written.
    """
    os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")
    application()
    with _window(Project.open(path.with_suffix(".facelab")), Settings(), own_layout=False) as window:
        window.resize(size)
        window.show()
        _start(window)
        wait_until_idle(window, seconds)
        for file in files:
            window.intake.open([file])
            wait_until_idle(window, seconds)
        done = window.grab().save(str(path), "PNG")
    for suffix in (".facelab", ".facelab-wal", ".facelab-shm"):
        path.with_suffix(suffix).unlink(missing_ok=True)
    if not done:
        raise ExportError(f"cannot write {path}; choose another folder")
    return path


def wait_until_idle(window: MainWindow, seconds: float = 60.0) -> None:
    """Run the event loop until the worker has had nothing to do for a moment, or the time is up."""
    loop = QEventLoop()
    quiet = QTimer(singleShot=True, interval=700)
    quiet.timeout.connect(loop.quit)
    last = QTimer(singleShot=True, interval=int(1000 * seconds))
    last.timeout.connect(loop.quit)
    window.client.status.connect(lambda status: quiet.stop() if status.busy else quiet.start())
    last.start()
    loop.exec()


def application() -> QApplication:
    """The one QApplication, dressed."""
    sys.setswitchinterval(SWITCH_INTERVAL)
    qInstallMessageHandler(_on_qt_message)
    logging.getLogger("qt").addHandler(logging.NullHandler())  # without a log file, not onto stderr
    existing = QApplication.instance()
    app = existing if isinstance(existing, QApplication) else QApplication([sys.argv[0] or "facelab"])
    app.setApplicationName("facelab")
    app.setApplicationDisplayName("facelab")
    app.setApplicationVersion(__version__)
    app.setDesktopFileName("facelab")
    return app


@contextmanager
def _window(
    project: Project | None = None, chosen: Settings | None = None, *, own_layout: bool = True
) -> Iterator[MainWindow]:
    """The window with all that it needs, closed in order at the end; ``own_layout``: as the person left it last."""
    messages: list[str] = []
    if chosen is None:
        chosen, messages = settings.load()
    if project is None:
        project, trouble = _project(chosen)
        messages += trouble
    app = application()
    theme.apply(app, chosen.theme)
    client = Client(lambda: _engine(chosen), _desk)
    session = Session(project, chosen)
    window = MainWindow(session, client, own_layout=own_layout)
    hook, collector = _Hook(window), _Collector(window)
    for message in messages:
        window.say(FacelabError(message))
    try:
        yield window
    finally:
        hook.remove()
        collector.stop()
        session.save()
        client.close()
        session.project.close()
        window.deleteLater()
        app.processEvents()


def _engine(chosen: Settings) -> Engine:
    # On the worker's thread: what takes long to load loads here, while the window is already on screen. Nothing that uses Qt's
    # widgets, the plot least of all: classes of Qt that two threads make at once can crash.
    import torch

    from facelab.engine.engine import TorchEngine

    if chosen.threads:
        torch.set_num_threads(int(chosen.threads))
    return TorchEngine(chosen.device, cache_bytes=int(chosen.cache_megabytes) << 20)


def _desk() -> Engine:
    from facelab.engine.desk import Desk

    return Desk()


def _project(chosen: Settings) -> tuple[Project, list[str]]:
    """The project of last time; where it cannot be opened, a new one beside it, and a sentence that says so."""
    path = settings.default_project(chosen)
    try:
        return Project.open(path), []
    except ProjectError as error:
        now = datetime.datetime.now().strftime("%Y-%m-%d %H-%M-%S")
        instead = settings.data_folder() / f"library {now}.facelab"
        return Project.open(instead), [f"{error}. A new project was begun: {instead}"]


def _start(window: MainWindow, files: Sequence[Path] = ()) -> None:
    """Load what the first picture of the window did without: a generator, then the files."""
    window.start()
    window.intake.open(files)


class _FirstPaint(QObject):
    """Calls a function once, when a window has been painted: what loads from then on holds its thread up no more."""

    def __init__(self, window: MainWindow, then: Callable[[], None]) -> None:
        super().__init__()
        self._then: Callable[[], None] | None = then
        window.windowHandle().installEventFilter(self)
        # A window that comes up minimised or behind others is perhaps not painted at all.
        QTimer.singleShot(FIRST_PAINT_MS, self, self._call)

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        if event.type() is QEvent.Type.Expose and isinstance(watched, QWindow) and watched.isExposed():
            QTimer.singleShot(0, self, self._call)  # the event itself paints
        return False

    def _call(self) -> None:
        then, self._then = self._then, None
        if then is not None:
            then()


class _Collector(QTimer):
    """Collects garbage on the window's thread, and nowhere else.

    The interpreter collects on whatever thread happens to be at work, and a Qt object that dies on the worker's, as part
    of a cycle, takes timers and children of the window's thread with it: Qt warns, or crashes.
    """

    def __init__(self, window: MainWindow) -> None:
        super().__init__(window, interval=50)  # often, so that each time there is little to go through
        gc.disable()
        self.timeout.connect(self._collect)
        window.client.status.connect(self._begin)

    def _begin(self, status: Status) -> None:
        """From the first idle moment on; what has loaded by then, torch above all, is set aside: to go through it takes 100 ms."""
        if not status.busy and not self.isActive():
            gc.freeze()
            self.start()

    def _collect(self) -> None:
        """The oldest generation that is due by the interpreter's own count."""
        due = (n for n in (2, 1, 0) if gc.get_count()[n] > gc.get_threshold()[n])
        if (generation := next(due, None)) is not None:
            gc.collect(generation)

    def stop(self) -> None:
        super().stop()
        gc.unfreeze()
        gc.enable()


class _Hook:
    """Shows a mistake on the window's thread, or on a plain one, as what it is, in place of a silent traceback."""

    def __init__(self, window: MainWindow) -> None:
        self._window = window
        self._former = (sys.excepthook, threading.excepthook)
        sys.excepthook = self._on_error
        threading.excepthook = lambda args: log.critical("in a thread", exc_info=args.exc_value)

    def _on_error(self, kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
        if isinstance(error, KeyboardInterrupt):
            self._window.close()
            return
        log.critical("on the window's thread", exc_info=(kind, error, trace))
        self._window.say(error if isinstance(error, FacelabError) else Bug(error))

    def remove(self) -> None:
        sys.excepthook, threading.excepthook = self._former


@contextmanager
def _interruptible(window: MainWindow) -> Iterator[None]:
    """Ctrl+C in the terminal, and a polite kill, close the window as its own button does."""
    former = {s: signal.signal(s, lambda *_: window.close()) for s in (signal.SIGINT, signal.SIGTERM)}
    beat = QTimer(interval=250)  # Python hears a signal only when it runs
    beat.timeout.connect(lambda: None)
    beat.start()
    try:
        yield
    finally:
        for number, handler in former.items():
            signal.signal(number, handler)


def _on_qt_message(kind: QtMsgType, context: QMessageLogContext, text: str) -> None:
    """What Qt says goes to the log, not onto a person's terminal; but for why it ends the program."""
    levels = {
        QtMsgType.QtWarningMsg: logging.WARNING,
        QtMsgType.QtCriticalMsg: logging.ERROR,
        QtMsgType.QtFatalMsg: logging.CRITICAL,
    }
    logging.getLogger("qt").log(levels.get(kind, logging.DEBUG), "%s", text)
    if kind is QtMsgType.QtFatalMsg and "platform plugin" in text:
        shown = os.environ.get("WAYLAND_DISPLAY") or os.environ.get("DISPLAY") or "this computer"
        sys.stderr.write(
            f"facelab: no window can be opened on {shown}: the display does not answer, or a system library is missing "
            "(README names them); `facelab --help` tells what works without a window\n"
        )
        logging.shutdown()
        os._exit(2)  # Qt would abort, and leave no word but a core dump
    if kind is QtMsgType.QtFatalMsg:
        sys.stderr.write(f"facelab: {text}\n")


def _write_log() -> None:
    """A log of the last runs in the person's log folder; where that cannot be written, on stderr."""
    handler: logging.Handler
    try:
        folder = platformdirs.user_log_path("facelab", appauthor=False, ensure_exists=True)
        handler = logging.handlers.RotatingFileHandler(
            folder / "facelab.log", maxBytes=1 << 20, backupCount=2, encoding="utf-8"
        )
    except OSError:
        handler = logging.StreamHandler()
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    logging.getLogger().addHandler(handler)
    logging.getLogger("facelab").setLevel(logging.INFO)
