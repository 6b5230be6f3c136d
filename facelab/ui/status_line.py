"""The line at the bottom of the window: what the worker does, how fast, with how much memory, and how much can be undone."""

from __future__ import annotations

import contextlib
from pathlib import Path

from PySide6.QtCore import QTimer
from PySide6.QtWidgets import QLabel, QStatusBar

from facelab.ui.session import Session
from facelab.worker import Client, Status, Ticket

MEMORY_MS = 2000
NOTE_MS = 6000  # how long a note stays


class StatusLine(QStatusBar):
    """Follows the worker and the session by itself; `note` says something else for a while."""

    def __init__(self, session: Session, client: Client) -> None:
        super().__init__()
        self.session = session
        self._status = Status("", False)
        self.setSizeGripEnabled(False)
        self._doing, self._speed, self._memory, self._depth = QLabel("Ready"), QLabel(), QLabel(), QLabel()
        for label, tip in (
            (self._doing, "What the worker does"),
            (self._speed, "How long the last picture took"),
            (self._memory, "Memory that facelab uses"),
            (self._depth, "Steps that can be undone"),
        ):
            label.setToolTip(tip)
        self.addWidget(self._doing, 1)
        for label in (self._speed, self._memory, self._depth):
            self.addPermanentWidget(label)
        self._note_ends = QTimer(self, singleShot=True, interval=NOTE_MS)
        self._note_ends.timeout.connect(self._show_status)
        self._measure = QTimer(self, interval=MEMORY_MS)
        self._measure.timeout.connect(self._show_counts)
        self._measure.start()
        client.status.connect(self._status_changed)
        client.submitted.connect(self._submitted)
        session.changed.connect(lambda *_: self._show_counts())
        session.generator_changed.connect(lambda _: self._show_status())
        self._show_counts()
        self._show_status()

    def note(self, text: str) -> None:
        """Say something for a while."""
        self._doing.setText(text)
        self._note_ends.start()

    def unsay(self) -> None:
        """Take a note away."""
        self._note_ends.stop()
        self._show_status()

    def stop(self) -> None:
        """Measure no more: the window closes."""
        self._measure.stop()

    def _submitted(self, ticket: Ticket) -> None:
        ticket.closed.connect(lambda _: self._show_counts())

    def _status_changed(self, status: Status) -> None:
        self._status = status
        self._show_status()

    def _show_status(self) -> None:
        s = self._status
        self._speed.setText("" if s.milliseconds is None else f"{s.milliseconds:.0f} ms per picture")
        if self._note_ends.isActive():
            return
        self._doing.setText(
            f"{s.text[:1].upper()}{s.text[1:]}…" if s.busy else "Ready" if self.session.generator else "Starting…"
        )

    def _show_counts(self) -> None:
        used = memory_used()
        self._memory.setText("" if used is None else f"{used / 2**20:,.0f} MB")
        depth = self.session.stack.index()
        self._depth.setText(f"{depth} step{'' if depth == 1 else 's'} to undo")


def memory_used() -> int | None:
    """The resident memory of this process in bytes; None where the system does not tell it simply."""
    try:
        import resource

        with contextlib.suppress(OSError, ValueError, IndexError):
            return int(Path("/proc/self/statm").read_text("ascii").split()[1]) * resource.getpagesize()
    except ImportError:  # Windows
        pass
    return None
