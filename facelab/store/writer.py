"""The thread that writes a project, so that nobody else waits for the disk."""

from __future__ import annotations

import sqlite3
import threading
import time
from collections import deque
from collections.abc import Callable
from pathlib import Path

from facelab.errors import ProjectError
from facelab.store.database import Write, passes, sentence, transaction

_RETRY = 2.0  # seconds between attempts while the disk refuses
# A checkpoint is rewritten at most so often, and never takes more than a twentieth of the time.
_CHECKPOINT_EVERY = 1.0
_CHECKPOINT_SHARE = 20.0


class Writer:
    """One thread, one connection, a queue of writes; each write is one transaction.

    A write that the disk refuses stays at the head of the queue and is tried again; nothing behind it overtakes it.
    """

    def __init__(self, db: sqlite3.Connection, path: Path, on_error: Callable[[ProjectError], None] | None) -> None:
        self._db, self._path, self.on_error = db, path, on_error
        self._change = threading.Condition()
        self._queue: deque[Write] = deque()
        self._late: dict[str, Write] = {}  # by run, the newest checkpoint that still has to be written
        self._due = 0.0
        self._asked = self._done = 0
        self._last: dict[str, int] = {}  # by topic, the number of the last write asked for
        self._hurry = 0  # who waits for the late ones too
        self._refused: ProjectError | None = None
        self._errors: list[BaseException] = []
        self._closing = False
        self._thread = threading.Thread(target=self._run, name="facelab project writer", daemon=True)
        self._thread.start()

    def submit(self, write: Write, *topics: str) -> None:
        """Make a write when those before it are made; reads of its topics wait for it."""
        with self._change:
            if self._closing:
                raise ProjectError("the project is closed; open it again")
            self._queue.append(write)
            self._asked += 1
            self._last |= dict.fromkeys(topics, self._asked)
            self._change.notify_all()

    def submit_late(self, key: str, write: Write) -> None:
        """Of the late writes of a key only the newest is made, when its time comes."""
        with self._change:
            if self._closing:
                raise ProjectError("the project is closed; open it again")
            self._late[key] = write
            self._change.notify_all()

    def forget_late(self, key: str) -> None:
        with self._change:
            self._late.pop(key, None)

    def settle(self, patience: float | None, topic: str | None = None, *, late: bool = False) -> None:
        """Wait until the writes of a topic, or all that were asked for so far, are made, or the disk refuses."""
        with self._change:
            goal = self._asked if topic is None else self._last.get(topic, 0)
            self._hurry += late
            self._change.notify_all()
            try:
                self._change.wait_for(
                    lambda: self._refused is not None or (self._done >= goal and not (late and self._late)), patience
                )
            finally:
                self._hurry -= late

    def retry(self) -> None:
        """Forget that the disk refused; the next attempt comes at once."""
        with self._change:
            self._refused = None
            self._change.notify_all()

    def take_errors(self) -> list[BaseException]:
        with self._change:
            errors, self._errors = self._errors, []
            if self._refused is not None:
                errors.append(self._refused)
            return errors

    def close(self) -> None:
        """Make what is left to make, as far as the disk lets it, and end the thread."""
        with self._change:
            self._closing = True
            self._refused = None
            self._change.notify_all()
        self._thread.join()

    def _next(self) -> Write | None:
        """The next write, or None at the end. Called with the lock held."""
        while True:
            now = time.monotonic()
            if self._refused is not None:
                if self._closing:
                    return None
                self._change.wait(_RETRY)
                self._refused, refused = None, self._refused
                if refused is not None and not (self._queue or self._late):
                    continue
            if self._queue:
                return self._queue[0]
            if self._late and (self._closing or self._hurry or now >= self._due):
                return next(iter(self._late.values()))
            if self._closing:
                return None
            self._change.wait(self._due - now if self._late else None)

    def _finished(self, write: Write) -> None:
        if self._queue and self._queue[0] is write:
            self._queue.popleft()
            self._done += 1
        else:
            for key in [k for k, w in self._late.items() if w is write]:
                del self._late[key]  # one that came meanwhile stays
        self._change.notify_all()

    def _run(self) -> None:
        told = False  # a full disk is told once, not at every attempt
        while True:
            with self._change:
                write = self._next()
            if write is None:
                break
            late = not (self._queue and self._queue[0] is write)
            error: BaseException | None = None
            started = time.monotonic()
            try:
                with transaction(self._db):
                    write(self._db)
            except sqlite3.Error as e:
                error = sentence(self._path, e, "write to")
                if passes(e):
                    with self._change:
                        self._refused = error
                        self._change.notify_all()
                    if not told:
                        self._tell(error)
                    told = True
                    continue
            except Exception as e:
                # A bug of ours in one write must not end the thread that saves all the others; flush raises it.
                error = e
            else:
                told = False
            with self._change:
                if late:
                    took = time.monotonic() - started
                    self._due = time.monotonic() + max(_CHECKPOINT_EVERY, _CHECKPOINT_SHARE * took)
                if error is not None:
                    self._errors.append(error)
                self._finished(write)
            if isinstance(error, ProjectError):
                self._tell(error)
        self._db.close()

    def _tell(self, error: ProjectError) -> None:
        if self.on_error is None:
            return
        try:
            self.on_error(error)
        except Exception as bug:
            # The listener's bug, such as a window that is gone, must not end the thread that saves.
            with self._change:
                self._errors.append(bug)

    def unwritten(self) -> tuple[int, list[Write]]:
        """How many writes were made since opening, and those that still have to be."""
        with self._change:
            return self._done, [*self._queue, *self._late.values()]
