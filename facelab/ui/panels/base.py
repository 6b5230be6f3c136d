"""What every panel is."""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar, Literal, TypeAlias

from PySide6.QtCore import Qt
from PySide6.QtGui import QAction
from PySide6.QtWidgets import QVBoxLayout, QWidget
from shiboken6 import isValid

from facelab.jobs import Answer, Job
from facelab.ui.messages import MessageBar
from facelab.ui.session import Session
from facelab.ui.widgets import as_panel, keys_text, plain_text
from facelab.worker import Client, Ticket

Area: TypeAlias = Qt.DockWidgetArea | Literal["centre"]


class Panel(QWidget):
    """A piece of the window: a dock, or a tab of its centre.

    A subclass gives ``title`` and ``area`` and puts its widgets into ``self.body``. All work goes through `submit`; an error is
    said beside the panel that asked.

    Attributes:
        title: on its tab and in the View menu.
        area: the dock area where it starts, or "centre".
        hint: one line for the View menu and the tab's tooltip.
        keys: gestures that work in it, and keys that are no actions, for the sheet of shortcuts: ("Wheel", "Zoom").
    """

    title: ClassVar[str]
    area: ClassVar[Area]
    hint: ClassVar[str] = ""
    keys: ClassVar[tuple[tuple[str, str], ...]] = ()

    def __init__(self, session: Session, client: Client) -> None:
        super().__init__()
        self.session = session
        self.client = client
        self.setObjectName(type(self).__name__)
        self.setAccessibleName(self.title)
        as_panel(self)
        self._messages = MessageBar()
        self.body = QVBoxLayout()
        self.body.setContentsMargins(0, 0, 0, 0)
        self.body.setSpacing(0)
        outer = QVBoxLayout(self)
        outer.setContentsMargins(0, 0, 0, 0)
        outer.setSpacing(0)
        outer.addWidget(self._messages)
        outer.addLayout(self.body, 1)

    def bindings(self) -> list[tuple[str, str]]:
        """All keys and gestures of the sheet of shortcuts: those of the actions in this panel, as they are bound, and ``keys``."""
        bound = [(keys_text(action.shortcuts()), plain_text(action)) for action in self.findChildren(QAction)]
        return [(keys, what) for keys, what in bound if keys] + list(self.keys)

    def submit(self, job: Job, answered: Callable[[Answer], None] | None = None) -> Ticket:
        """Hand a job to the worker; its answers go to ``answered`` and its error to `say`."""
        ticket = self.client.submit(job)
        if answered is not None:
            # An answer may come after the panel has gone, with the window that it was in.
            ticket.answered.connect(lambda answer: answered(answer) if isValid(self) else None)
        ticket.failed.connect(self.say)
        return ticket

    def say(self, error: object) -> None:
        """Show an error, or a plain sentence, at the top of this panel until it is closed or another takes its place."""
        self._messages.say(error)

    def unsay(self) -> None:
        """Take the sentence away."""
        self._messages.hide()
