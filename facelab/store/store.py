"""A project's file, opened: who may write and read it, and when what was asked for is in it.

Everything is written as it happens, so that nothing but the last moment is lost when the process is killed. Writes go through
one thread that owns the connection for writing; the caller never waits for the disk, and gets ids at once. Reads go over a
second connection that cannot write; they see every write that was asked for before them.
"""

from __future__ import annotations

import contextlib
import sqlite3
import threading
import weakref
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Self

from facelab.errors import ProjectError
from facelab.files import replacing
from facelab.store.database import back_up, sentence, transaction
from facelab.store.schema import prepare
from facelab.store.writer import Writer

READ_PATIENCE = 10.0  # seconds that a read waits for the writes before it


class Store:
    """An open project as a file: one connection that writes, on a thread of its own, and one that reads.

    Methods that write come back at once and never fail for the disk's sake: such an error goes to ``on_error`` (on the
    writer's thread) when it happens, and out of the next `flush` or `close`. A write that a full disk refused is kept and tried
    again. Methods that read raise `ProjectError`.
    """

    def __init__(
        self,
        path: Path,
        db: sqlite3.Connection,
        reader: sqlite3.Connection,
        on_error: Callable[[ProjectError], None] | None,
    ) -> None:
        self.path = path
        self._reader = reader
        self._lock = threading.Lock()
        self._writer = Writer(db, path, on_error)
        # Whoever forgets to close still gets what was asked for written.
        self._finalizer = weakref.finalize(self, _shut, self._writer, reader)

    @classmethod
    def open(cls, path: Path | str, on_error: Callable[[ProjectError], None] | None = None) -> Self:
        """Open a project; one that does not exist is made.

        Args:
            path: the file; its folder is made when it is missing.
            on_error: called on the writer's thread with the sentence of a write that failed.

        Raises:
            ProjectError: the file is not a project, is damaged, was written by a newer facelab, or cannot be written.
        """
        path = Path(path)
        try:
            path = path.absolute()
            if "\0" in str(path):
                raise ValueError("that is no file name")
            path.parent.mkdir(parents=True, exist_ok=True)
            if path.exists() and not path.is_file():
                raise ProjectError(f"cannot open the project {path.name!r}: it is not a file; choose another name")
            new = not path.exists()
            fresh = new or path.stat().st_size == 0
        except (OSError, ValueError) as error:
            reason = getattr(error, "strerror", None) or error
            raise ProjectError(f"cannot open the project {path.name!r}: {reason}; choose another folder") from error
        with contextlib.ExitStack() as stack:
            try:
                db = sqlite3.connect(path, timeout=5, isolation_level=None, check_same_thread=False)
                stack.callback(db.close)
                prepare(db, path, fresh)
                reader = sqlite3.connect(
                    path.as_uri() + "?mode=ro", uri=True, timeout=5, isolation_level=None, check_same_thread=False
                )
                stack.callback(reader.close)
                reader.execute("PRAGMA trusted_schema = OFF")
                reader.execute("PRAGMA query_only = ON")
                with transaction(db):
                    # Whatever still says "running" was cut off; a run that another window goes on with says so at its end.
                    db.execute("UPDATE runs SET status = 'interrupted' WHERE status = 'running'")
            except sqlite3.Error as error:
                stack.close()
                if new:  # on a full disk, say: what was begun is no project
                    for end in ("", "-wal", "-shm"):
                        path.with_name(path.name + end).unlink(missing_ok=True)
                raise sentence(path, error, "open") from error
            stack.pop_all()
        return cls(path, db, reader, on_error)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def on_error(self) -> Callable[[ProjectError], None] | None:
        """Called on the writer's thread with the sentence of a write that failed; of a full disk once, not at every attempt."""
        return self._writer.on_error

    @on_error.setter
    def on_error(self, listener: Callable[[ProjectError], None] | None) -> None:
        self._writer.on_error = listener

    # -- the file as a whole --
    def flush(self) -> None:
        """Wait until everything that was asked for is in the file.

        Raises:
            ProjectError: something could not be written. What a full disk refused is kept and tried again later.
        """
        self._writer.retry()
        self._writer.settle(None, late=True)
        for error in self._writer.take_errors():
            raise error

    def close(self) -> None:
        """Write what is left and let go of the file; further calls do nothing.

        Raises:
            ProjectError: something could not be written, and is lost.
        """
        if not self._finalizer.alive:
            return
        self._finalizer()
        errors, (_, left) = self._writer.take_errors(), self._writer.unwritten()
        if left and errors:
            raise ProjectError(f"{errors[-1]} ({len(left)} changes were not saved)") from errors[-1]
        for error in errors:
            raise error

    def save_as(self, path: Path | str) -> Path:
        """Write a copy of the project, whole or not at all; this one stays open.

        What a full disk would not take is in the copy: saving to another disk loses nothing.

        Raises:
            ProjectError, ExportError: it cannot be written.
        """
        wanted = Path(path).absolute()
        if wanted.exists() and wanted.samefile(self.path):
            raise ProjectError("a project cannot be saved as itself: choose another name")
        if any(wanted.with_name(wanted.name + end).exists() for end in ("-wal", "-journal")):
            # SQLite would pour the other project's unfinished writes into the new file.
            raise ProjectError(
                f"{wanted.name!r} is another project that is open, or was not closed: choose another name"
            )
        self._writer.retry()
        while True:
            self._writer.settle(None, late=True)
            done, left = self._writer.unwritten()
            with self._reading(wanted, "write"), replacing(wanted) as temporary, self._lock:
                back_up(self._reader, temporary, left)
            if self._writer.unwritten()[0] == done:
                return wanted
            # The disk has just taken something after all, which may be in the copy twice: once more.

    def check(self) -> list[str]:
        """What SQLite finds wrong in the file; empty for a sound one. Reads all of it."""
        self._writer.settle(READ_PATIENCE)
        found = [str(row[0]) for row in self._rows("", "PRAGMA integrity_check")]
        found += [f"{table} row {row} points nowhere" for table, row, *_ in self._rows("", "PRAGMA foreign_key_check")]
        return [] if found == ["ok"] else [f for f in found if f != "ok"]

    # -- for what says what is in it --
    def _write(self, topic: str, sql: str, values: tuple[Any, ...]) -> None:
        self._writer.submit(lambda db: db.execute(sql, values), topic)

    def _write_many(self, topic: str, sql: str, rows: Sequence[tuple[Any, ...]]) -> None:
        self._writer.submit(lambda db: db.executemany(sql, rows), topic)

    def _empty_log(self) -> None:
        """Carry the log over and empty it, so that nothing that was purged stays in it."""

        def write(db: sqlite3.Connection) -> None:
            db.execute("COMMIT")  # the log cannot be emptied inside a transaction
            db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
            db.execute("BEGIN")

        self._writer.submit(write)

    @contextlib.contextmanager
    def _reading(self, path: Path | None = None, doing: str = "read") -> Iterator[None]:
        if not self._finalizer.alive:
            raise ProjectError("the project is closed; open it again")
        try:
            yield
        except sqlite3.Error as error:
            raise sentence(path or self.path, error, doing) from error

    def _rows(self, topic: str, sql: str, values: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
        # Other topics' writes are not waited for: the checkpoint of a large run takes a third of a second.
        self._writer.settle(READ_PATIENCE, topic)
        with self._reading(), self._lock:
            return self._reader.execute(sql, values).fetchall()

    def _one(self, topic: str, sql: str, values: tuple[Any, ...], name: str) -> Any:
        rows = self._rows(topic, sql, values)
        if not rows:
            raise ProjectError(f"the project {self.path.name!r} has no {name}")
        return rows[0][0]


def _shut(writer: Writer, reader: sqlite3.Connection) -> None:
    # The reader first: the last connection to close folds the log into the file, and only one that can write does it.
    reader.close()
    writer.close()
