"""What is done with any connection to SQLite: transactions, copies, and its errors as sentences that a person can act on."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import TypeAlias

from facelab.errors import ProjectError

Write: TypeAlias = Callable[[sqlite3.Connection], object]


# Errors after which the same write may succeed later.
_PASSING = {
    sqlite3.SQLITE_FULL: "the disk is full; free some space",
    sqlite3.SQLITE_IOERR: "the disk reports an error; check it, or save the project elsewhere",
    sqlite3.SQLITE_BUSY: "another program holds it; close that",
    sqlite3.SQLITE_LOCKED: "another program holds it; close that",
    sqlite3.SQLITE_READONLY: "it cannot be written; allow it, or copy it to a folder of yours",
    sqlite3.SQLITE_CANTOPEN: "its folder cannot be written; copy it to a folder of yours",
    sqlite3.SQLITE_PERM: "it cannot be written; allow it, or copy it to a folder of yours",
}
_DAMAGED = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)


def _code(error: sqlite3.Error) -> int:
    return getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR) & 0xFF


def passes(error: sqlite3.Error) -> bool:
    """Whether the same write may succeed later."""
    return _code(error) in _PASSING


def sentence(path: Path, error: sqlite3.Error, doing: str) -> ProjectError:
    """What a person is told of it; ``doing`` is "open", "read" or "write to"."""
    code = _code(error)
    if code in _PASSING:
        return ProjectError(f"cannot {doing} the project {path.name!r}: {_PASSING[code]}")
    if code in _DAMAGED:
        return ProjectError(f"the project {path.name!r} is damaged: open a copy or a backup of it")
    if code == sqlite3.SQLITE_TOOBIG:
        return ProjectError(f"cannot {doing} the project {path.name!r}: one entry is too large")
    return ProjectError(f"cannot {doing} the project {path.name!r}: {error}")


@contextlib.contextmanager
def transaction(db: sqlite3.Connection) -> Iterator[None]:
    """All or nothing of what is written inside."""
    db.execute("BEGIN IMMEDIATE")
    try:
        yield
        db.execute("COMMIT")
    except BaseException:
        if db.in_transaction:
            db.execute("ROLLBACK")
        raise


def back_up(source: sqlite3.Connection, path: Path, more: Iterable[Write] = ()) -> None:
    """Copy a database to a file, and make further writes in the copy."""
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as copy:
        source.backup(copy)
        copy.execute("PRAGMA journal_mode = DELETE").fetchall()  # one file, without a log beside it
        copy.execute("PRAGMA foreign_keys = ON")
        for write in more:
            with transaction(copy):
                write(copy)
