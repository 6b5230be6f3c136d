"""What the worker does, has before it, and has done."""

from __future__ import annotations

from pathlib import Path

from PySide6.QtCore import Qt, QTimer, QUrl, Signal
from PySide6.QtGui import QDesktopServices
from PySide6.QtWidgets import QFrame, QHBoxLayout, QProgressBar, QScrollArea, QVBoxLayout, QWidget

from facelab import jobs
from facelab.jobs import Answer, Job, Progress, Project, ProjectionStep, Tune, TuningStep, Written
from facelab.ui import theme
from facelab.ui.panels.base import Panel
from facelab.ui.session import Session
from facelab.ui.widgets import Elided, EmptyState, button, tool
from facelab.worker import Client, Ticket

SHOW_AFTER_MS = 400  # short work that is done sooner is not worth a row
KEPT_ROWS = 30


def name_of(job: Job) -> str:
    """A job as its row calls it: what is done, and with what."""
    said = f"{job.doing[:1].upper()}{job.doing[1:]}"
    if isinstance(job, jobs.Project) and job.name:
        return f"{said} {job.name}"
    if isinstance(job, jobs.Tune) and job.name:
        return f"{said} to {job.name}"
    if isinstance(job, jobs.ExportPictures):
        return f"{said}: {job.paths[0].name}" if len(job.paths) == 1 else f"{said}: {len(job.paths)}"
    path = getattr(job, "path", None)
    if isinstance(path, Path):
        return f"{said}: {path.name}"
    return f"{said}: {job.entry}" if isinstance(job, jobs.Download) else said


class JobRow(QFrame):
    """One job: its name, how far it is, pause and cancel, and in the end what came of it."""

    gone = Signal(object)

    def __init__(self, ticket: Ticket) -> None:
        super().__init__()
        self.ticket = ticket
        self._written: Path | None = None
        self._error = ""
        name = name_of(ticket.job)
        self.setAccessibleName(name)
        self.name = Elided(name, Qt.TextElideMode.ElideMiddle)
        self.note = Elided("waiting")
        self.note.setProperty("quiet", True)
        self.note.setProperty("small", True)
        self.bar = QProgressBar()
        self.bar.setTextVisible(False)
        self.bar.setRange(0, 0)
        self.bar.setAccessibleName(f"Progress of {name}")
        self.hold = tool("Pause", "pause", self._toggle_pause, tip="Pause; other work goes on")
        self.hold.setVisible(ticket.job.kind == "long")
        self.stop = tool("Cancel", "close", self._stop, tip="Cancel")
        self.show_file = button("Show", self._show_file, tip="Open the folder of this file")
        self.show_file.hide()
        words = QVBoxLayout()
        words.setSpacing(2)
        words.addWidget(self.name)
        words.addWidget(self.bar)
        words.addWidget(self.note)
        row = QHBoxLayout(self)
        row.setContentsMargins(theme.GRID, 4, 4, 4)
        row.setSpacing(4)
        row.addLayout(words, 1)
        row.addWidget(self.show_file)
        row.addWidget(self.hold)
        row.addWidget(self.stop)
        ticket.started.connect(lambda: self.note.setText("working"))
        ticket.progressed.connect(self._progressed)
        ticket.answered.connect(self._answered)
        ticket.failed.connect(self._failed)
        ticket.closed.connect(self._closed)

    def _progressed(self, progress: Progress) -> None:
        self.bar.setRange(0, min(progress.total, 2**31 - 1))
        self.bar.setValue(min(progress.done, 2**31 - 1))
        if self.ticket.state != "paused":
            share = f"{100 * progress.done // progress.total} %" if progress.total else ""
            self.note.setText(" · ".join(text for text in (share, progress.message) if text))

    def _answered(self, answer: Answer) -> None:
        if isinstance(answer, Written):
            self._written = answer.path
        elif isinstance(answer, ProjectionStep | TuningStep) and isinstance(self.ticket.job, Project | Tune):
            # An encoding tells how far it is by its steps.
            done, total = answer.steps[-1] + 1, self.ticket.job.settings.steps
            self._progressed(Progress(done, total, f"step {done:,} of {total:,}"))

    def _failed(self, error: object) -> None:
        self._error = str(error)

    def _closed(self, end: str) -> None:
        self.bar.hide()
        self.hold.hide()
        self.stop.setIcon(theme.icon("close"))
        self.stop.setAccessibleName("Remove")
        self.stop.setToolTip("Remove from the list")
        done = f"saved {self._written.name}" if self._written else "done"
        self.note.setText({"done": done, "failed": self._error, "cancelled": "cancelled", "replaced": "cancelled"}[end])
        self.show_file.setVisible(end == "done" and self._written is not None)

    def _toggle_pause(self) -> None:
        if self.ticket.state == "paused":
            self.ticket.resume()
            self.hold.setIcon(theme.icon("pause"))
            self.hold.setAccessibleName("Pause")
            self.hold.setToolTip("Pause; other work goes on")
            self.note.setText("working")
        else:
            self.ticket.pause()
            self.hold.setIcon(theme.icon("play"))
            self.hold.setAccessibleName("Resume")
            self.hold.setToolTip("Go on")
            self.note.setText("paused")

    def _stop(self) -> None:
        if self.ticket.open:
            self.note.setText("stopping…")
            self.ticket.cancel()
        else:
            self.gone.emit(self)

    def _show_file(self) -> None:
        if self._written is not None:
            QDesktopServices.openUrl(QUrl.fromLocalFile(str(self._written.parent)))


class JobsPanel(Panel):
    """A row for each long job, and for short ones that take a while.

    Signals:
        first_step: the empty panel's button was pressed.
    """

    title = "Jobs"
    area = Qt.DockWidgetArea.BottomDockWidgetArea
    hint = "What is being worked on; pause and cancel"

    first_step = Signal()

    def __init__(self, session: Session, client: Client) -> None:
        super().__init__(session, client)
        self._rows: list[JobRow] = []
        self._empty = EmptyState(
            "film",
            "Encodings and exports show their progress here.",
            button("Export a morph…", self.first_step.emit, tip="A video from face A to face B"),
        )
        self._list = QWidget()
        self._column = QVBoxLayout(self._list)
        self._column.setContentsMargins(0, 0, 0, 0)
        self._column.setSpacing(0)
        self._column.addStretch(1)
        self._area = QScrollArea()
        self._area.setWidget(self._list)
        self._area.setWidgetResizable(True)
        self._area.setFrameShape(QFrame.Shape.NoFrame)
        self._area.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self._area.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        self.body.addWidget(self._empty, 1)
        self.body.addWidget(self._area, 1)
        self._refresh()
        client.submitted.connect(self._submitted)

    @property
    def rows(self) -> tuple[JobRow, ...]:
        """The rows; what was begun last comes first, before what was submitted last."""
        return tuple(self._rows)

    def running(self) -> list[Ticket]:
        """The long jobs that have not ended."""
        return [row.ticket for row in self._rows if row.ticket.open and row.ticket.job.kind == "long"]

    def _submitted(self, ticket: Ticket) -> None:
        if ticket.job.kind == "long":
            self._add(ticket)
        elif ticket.job.kind != "interactive":
            wait = QTimer(ticket, singleShot=True, interval=SHOW_AFTER_MS)
            ticket.closed.connect(lambda _: wait.stop())
            wait.timeout.connect(lambda: self._add(ticket, passing=True))
            wait.start()

    def _add(self, ticket: Ticket, passing: bool = False) -> None:
        row = JobRow(ticket)
        row.gone.connect(self._remove)
        ticket.started.connect(lambda: self._raise(row))
        if passing:  # its panel shows what came of it
            row.note.setText("working")
            ticket.closed.connect(lambda _: self._remove(row))
        self._rows.insert(0, row)
        self._column.insertWidget(0, row)
        ended = [r for r in self._rows if not r.ticket.open]
        for old in ended[KEPT_ROWS:]:
            self._remove(old)
        self._refresh()

    def _raise(self, row: JobRow) -> None:
        """What is worked on stands above what waits, however long the queue."""
        if row in self._rows:
            self._rows.remove(row)
            self._rows.insert(0, row)
            self._column.removeWidget(row)
            self._column.insertWidget(0, row)

    def _remove(self, row: JobRow) -> None:
        if row in self._rows:
            self._rows.remove(row)
            self._column.removeWidget(row)
            row.hide()
            row.deleteLater()
            self._refresh()

    def _refresh(self) -> None:
        self._empty.setVisible(not self._rows)
        self._area.setVisible(bool(self._rows))
