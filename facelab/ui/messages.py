"""What went wrong, in a sentence beside what it is about."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from PySide6.QtCore import Qt
from PySide6.QtGui import QColor, QPainter, QPaintEvent
from PySide6.QtWidgets import QApplication, QFrame, QHBoxLayout, QLabel, QWidget

from facelab.errors import FacelabError
from facelab.ui import theme
from facelab.ui.widgets import button, tool
from facelab.worker import Bug, Ticket

FEW = 3  # files, and reasons, that a message names


class MessageBar(QFrame):
    """One sentence beside what it is about, until it is closed. A bug of facelab's own is shown as one, with its details to copy."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._details = ""
        self._bad = False
        self._label = QLabel()
        self._label.setWordWrap(True)
        self._label.setTextFormat(Qt.TextFormat.PlainText)
        self._label.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
        self._copy = button("Copy details", self._copy_details, tip="Copy the technical details, for a report")
        self._close = tool("Close message", "close", self.hide)
        row = QHBoxLayout(self)
        row.setContentsMargins(theme.GRID, 4, 4, 4)
        row.setSpacing(theme.GRID)
        row.addWidget(self._label, 1)
        row.addWidget(self._copy, 0, Qt.AlignmentFlag.AlignTop)
        row.addWidget(self._close, 0, Qt.AlignmentFlag.AlignTop)
        self.hide()

    @property
    def text(self) -> str:
        return self._label.text()

    def say(self, error: object) -> None:
        """Show an error or a sentence."""
        sentence = str(error).strip() or type(error).__name__
        sentence = sentence[0].upper() + sentence[1:]
        if sentence[-1] not in ".!?…":
            sentence += "."
        self._bad = isinstance(error, BaseException)
        self._details = error.details if isinstance(error, Bug) else ""
        self._copy.setVisible(bool(self._details))
        self._label.setText(sentence)
        self.setAccessibleName(sentence)
        self.setVisible(True)
        self.update()

    def _copy_details(self) -> None:
        QApplication.clipboard().setText(self._details)

    def paintEvent(self, event: QPaintEvent) -> None:
        c = theme.colours()
        p = QPainter(self)
        p.fillRect(self.rect(), QColor(c.error if self._bad else c.warning))
        p.end()


class Together:
    """Files that came at once: what failed of them is said in one message, when the last is through.

    Args of the constructor: ``say`` is called with the one error, or with one that names them all.
    """

    def __init__(self, say: Callable[[object], None]) -> None:
        self._say = say
        self._names: list[str] = []
        self._open = 0
        self._failed: dict[int, object] = {}

    def watch(self, name: str, ticket: Ticket) -> None:
        """One more of them, which ``ticket`` looks at."""
        place = len(self._names)
        self._names.append(name)
        self._open += 1
        ticket.failed.connect(lambda error: self._failed.update({place: error}))
        ticket.closed.connect(self._closed)

    def _closed(self, _: str) -> None:
        self._open -= 1
        if self._open or not self._failed:
            return
        # In the order in which they came, whichever was looked at first.
        failed = [(self._names[place], self._failed[place]) for place in sorted(self._failed)]
        self._say(failed[0][1] if len(failed) == 1 else FacelabError(not_opened(failed)))


def not_opened(failed: Sequence[tuple[str, object]]) -> str:
    """How many files could not be opened, which (the first few), and why, files of one reason together."""
    reasons: dict[str, list[tuple[str, str]]] = {}
    for name, error in failed:
        reasons.setdefault(str(error).replace(repr(name), "each"), []).append((name, str(error)))
    lines = [f"{len(failed)} files could not be opened"]
    for reason, files in list(reasons.items())[:FEW]:
        which = ", ".join(name for name, _ in files[:FEW])
        more = f" and {len(files) - FEW} more" if len(files) > FEW else ""
        lines.append(f"{which}{more}: {reason}" if len(files) > 1 else files[0][1])
    if len(reasons) > FEW:
        lines.append(f"{sum(map(len, list(reasons.values())[FEW:]))} more, for other reasons")
    return ".\n".join(lines)
