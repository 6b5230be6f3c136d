"""Which generator is open: the one that a person opens, or that the current face belongs to."""

from __future__ import annotations

import contextlib
from functools import partial
from pathlib import Path

from PySide6.QtCore import QObject, Signal

from facelab import jobs
from facelab.errors import FacelabError
from facelab.jobs import Answer, GeneratorInfo
from facelab.latent.recipe import Recipe
from facelab.ui.session import Session, State
from facelab.worker import Client, Ticket


class Generators(QObject):
    """Opens generators, and follows the current face to the one that draws it.

    Signals:
        changed: one begins to be opened, or that has ended.
        failed: an error, or a sentence.
        noted: what to say for a while.
    """

    changed = Signal()
    failed = Signal(object)
    noted = Signal(str)

    def __init__(self, session: Session, client: Client, parent: QObject) -> None:
        super().__init__(parent)
        self.session, self.client = session, client
        self._opening: Ticket | None = None
        self._opening_for: str | None = None  # the generator that a face asked for, while it is being opened
        self._missing: str | None = None  # the generator that was asked for in vain
        session.changed.connect(self._changed)
        session.generator_changed.connect(self._note)
        session.project_changed.connect(self._project_changed)

    @property
    def opening(self) -> str | None:
        """What is being opened, in words; None while nothing is."""
        if self._opening is None:
            return None
        path = getattr(self._opening.job, "path", None)
        return Path(path).stem if path else "the generator"

    def open_first(self) -> None:
        """Open the one that the project's face belongs to, else the embedded one."""
        path, recipe = None, self.session.state.recipe
        if recipe is not None:
            with contextlib.suppress(KeyError):
                path = self._path_of(recipe.generator)
        self.open(path)

    def open(self, path: Path | None, wanted: str | None = None) -> Ticket:
        """Open a generator's file; None is the embedded one. ``wanted`` is the identity that a face asks for."""
        self._offer_tunings()
        ticket = self.client.submit(jobs.OpenGenerator(path=path, device=self.session.settings.device))
        self._opening, self._opening_for = ticket, wanted
        ticket.answered.connect(partial(self._opened, path))
        ticket.failed.connect(partial(self._not_opened, path, wanted))
        ticket.closed.connect(lambda _: self._ended(ticket))
        self.changed.emit()
        return ticket

    def _offer_tunings(self) -> None:
        """Let the engine take from the project what a generator was tuned to, before a face that needs it is drawn."""
        self.client.submit(jobs.UseTunings(project=self.session.project.path))

    def _opened(self, path: Path | None, answer: Answer) -> None:
        if isinstance(answer, GeneratorInfo):
            self._missing = None
            if path is not None:
                self._recent(self.session.settings.remember("recent_generators", path).recent_generators)
            self.session.open_generator(answer)
            self.noted.emit(f"Opened {answer.name}")

    def _not_opened(self, path: Path | None, wanted: str | None, error: object) -> None:
        self._missing = wanted
        if path is not None:
            self._recent(self.session.settings.forget("recent_generators", path).recent_generators)
        self.failed.emit(error)
        if self.session.generator is None and path is not None:
            self.open(None)  # the window is of no use without one; the bar says why it is not the wanted one

    def _ended(self, ticket: Ticket) -> None:
        if ticket is self._opening:
            self._opening = self._opening_for = None
            self.changed.emit()
            self._follow(self.session.state.recipe)

    def _recent(self, paths: tuple[str, ...]) -> None:
        try:
            self.session.configure(recent_generators=paths)
        except FacelabError as error:
            self.failed.emit(error)

    def _project_changed(self, _: object) -> None:
        self._offer_tunings()
        self._note(self.session.generator)

    def _note(self, info: GeneratorInfo | None) -> None:
        """Let the project know where the open one lies."""
        if info is not None:
            self.session.project.note_generator(
                info.sha256, info.path, info.name, family=info.family, resolution=info.resolution
            )

    # -- the current face -------------------------------------------------------------------------------------------
    def _changed(self, state: State, before: State | None = None) -> None:
        self._follow(state.recipe)

    def _follow(self, recipe: Recipe | None) -> None:
        """Open the generator that the current face belongs to, when it is another than the open one."""
        info = self.session.generator
        if recipe is None or info is None or recipe.generator == info.sha256:
            self._missing = None
            return
        if recipe.generator in (self._opening_for, self._missing):
            return
        try:
            path = self._path_of(recipe.generator)
        except KeyError:
            self._missing = recipe.generator
            self.failed.emit(
                f"this face belongs to a generator that is not here ({recipe.generator[:8]}…): open its file to see it, or undo"
            )
            return
        self.open(path, wanted=recipe.generator)

    def _path_of(self, generator: str) -> Path | None:
        with contextlib.suppress(KeyError):
            return self.session.path_of(generator)
        for row in self.session.project.generators():
            if row.sha256 == generator and (row.path is None or Path(row.path).is_file()):
                return None if row.path is None else Path(row.path)
        raise KeyError(generator)
