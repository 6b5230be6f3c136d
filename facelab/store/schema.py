"""The schema of a project, how it came about, and what makes a file one; docs/formats.md describes it.

A project may come from anybody: its schema is compared with ours before anything is read.
"""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Callable
from pathlib import Path

from facelab.errors import ProjectError
from facelab.files import replacing
from facelab.store.database import back_up, transaction

# "FLAB": tells a project from any other SQLite file.
APPLICATION_ID = 0x464C4142
# user_version is 1000 * major + minor. A minor step only adds; an older facelab can still work with it.
MAJOR = 1


def _found(db: sqlite3.Connection) -> None:
    """1.0: library, runs, directions."""
    for statement in (
        "CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID",
        "CREATE TABLE generators (sha256 TEXT PRIMARY KEY, name TEXT NOT NULL, path TEXT, family TEXT NOT NULL, "
        "resolution INTEGER NOT NULL, seen REAL NOT NULL)",
        "CREATE TABLE runs (id TEXT PRIMARY KEY, name TEXT NOT NULL, generator TEXT NOT NULL, status TEXT NOT NULL, "
        "created REAL NOT NULL, settings TEXT NOT NULL, steps INTEGER NOT NULL DEFAULT 0, best REAL, target BLOB, "
        "photo TEXT, quad TEXT, code TEXT)",
        "CREATE TABLE faces (id INTEGER PRIMARY KEY, name TEXT NOT NULL, tags TEXT NOT NULL, created REAL NOT NULL, "
        "deleted REAL, generator TEXT NOT NULL, recipe TEXT NOT NULL, photo TEXT, quad TEXT, run TEXT)",
        "CREATE TABLE thumbnails (face INTEGER PRIMARY KEY REFERENCES faces ON DELETE CASCADE, png BLOB NOT NULL)",
        # Arrays of codes lie once each, however many faces share them.
        "CREATE TABLE arrays (digest TEXT PRIMARY KEY, type TEXT NOT NULL, shape TEXT NOT NULL, data BLOB NOT NULL)",
        "CREATE TABLE uses (digest TEXT NOT NULL REFERENCES arrays, face INTEGER REFERENCES faces ON DELETE CASCADE, "
        "run TEXT REFERENCES runs ON DELETE CASCADE)",
        "CREATE INDEX uses_by_digest ON uses (digest)",
        "CREATE INDEX uses_by_face ON uses (face)",
        "CREATE INDEX uses_by_run ON uses (run)",
        "CREATE TABLE losses (run TEXT NOT NULL REFERENCES runs ON DELETE CASCADE, term TEXT NOT NULL, "
        "first INTEGER NOT NULL, data BLOB NOT NULL)",
        "CREATE INDEX losses_by_run ON losses (run)",
        "CREATE TABLE kept (run TEXT NOT NULL REFERENCES runs ON DELETE CASCADE, step INTEGER NOT NULL, "
        "shape TEXT NOT NULL, data BLOB NOT NULL, PRIMARY KEY (run, step))",
        "CREATE TABLE checkpoints (run TEXT PRIMARY KEY REFERENCES runs ON DELETE CASCADE, step INTEGER NOT NULL, "
        "data BLOB NOT NULL)",
        "CREATE TABLE directions (digest TEXT PRIMARY KEY, generator TEXT NOT NULL, name TEXT NOT NULL, value TEXT NOT NULL, "
        "created REAL NOT NULL)",
    ):
        db.execute(statement)


def _tunings(db: sqlite3.Connection) -> None:
    """1.1: what pivotal tuning changed in a generator."""
    db.execute(
        "CREATE TABLE tunings (sha256 TEXT PRIMARY KEY, generator TEXT NOT NULL, "
        "run TEXT REFERENCES runs ON DELETE SET NULL, created REAL NOT NULL, data BLOB NOT NULL)"
    )


# Ordered; each takes a project from the version before it to its own, in one transaction.
MIGRATIONS: tuple[tuple[int, Callable[[sqlite3.Connection], None]], ...] = ((1000, _found), (1001, _tunings))


def columns(db: sqlite3.Connection) -> dict[str, set[str]]:
    """The columns of every table.

    Raises:
        ProjectError: there is something in the schema that facelab never writes.
    """
    tables = {}
    for kind, name, sql in db.execute("SELECT type, name, sql FROM sqlite_master"):
        if kind == "index":
            continue
        if kind != "table" or "virtual" in str(sql).lower().split()[:3]:
            raise ProjectError("has parts that facelab never writes")
        columns = db.execute("SELECT name, hidden FROM pragma_table_xinfo(?)", (name,)).fetchall()
        if any(hidden for _, hidden in columns):
            raise ProjectError("has parts that facelab never writes")
        tables[name] = {column for column, _ in columns}
    return tables


def expected(version: int) -> dict[str, set[str]]:
    """The columns that every table has in a version of facelab's own making."""
    with contextlib.closing(sqlite3.connect(":memory:", isolation_level=None)) as db:
        for step, migrate in MIGRATIONS:
            if step <= version:
                migrate(db)
        return columns(db)


def prepare(db: sqlite3.Connection, path: Path, fresh: bool) -> None:
    """Check that the file is a project, set the connection up, and bring an older project to today's schema."""
    db.execute("PRAGMA trusted_schema = OFF")
    (kind,) = db.execute("PRAGMA application_id").fetchone()
    (version,) = db.execute("PRAGMA user_version").fetchone()
    (pages,) = db.execute("PRAGMA page_count").fetchone()
    if not fresh and pages == 0:
        # SQLite takes any short file for an empty database and would write over it.
        raise ProjectError(f"{path.name!r} is not a project of facelab")
    if not fresh and kind == 0 and version == 0 and not db.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]:
        fresh = True  # the process was killed between making the file and filling it
    if not fresh:
        if kind != APPLICATION_ID or version < 1000:
            raise ProjectError(f"{path.name!r} is not a project of facelab")
        if version // 1000 > MAJOR:
            raise ProjectError(f"the project {path.name!r} was made by a newer facelab: update facelab to open it")
        try:
            there, ours = columns(db), expected(version)
        except ProjectError as error:
            raise ProjectError(f"the project {path.name!r} {error}; it was not opened") from error
        same = there == ours if version <= MIGRATIONS[-1][0] else all(ours[t] <= there.get(t, set()) for t in ours)
        if not same:
            raise ProjectError(f"the project {path.name!r} is not as facelab writes it; it was not opened")
    (mode,) = db.execute("PRAGMA journal_mode = WAL").fetchone()
    if mode != "wal":
        raise ProjectError(
            f"cannot open the project {path.name!r}: it cannot be written there; copy it to a folder of yours"
        )
    db.execute("PRAGMA synchronous = NORMAL")
    db.execute("PRAGMA foreign_keys = ON")
    db.execute("PRAGMA secure_delete = ON")
    db.execute("PRAGMA journal_size_limit = 16777216").fetchall()  # one large checkpoint must not leave its size behind
    migrate(db, path, 0 if fresh else version)


def migrate(db: sqlite3.Connection, path: Path, version: int) -> None:
    """Bring a project from ``version`` to today's, one transaction for each step.

    Before a step to another major version a backup is put beside the file, ``name.v1.facelab`` for major version 1.
    """
    for step, change in MIGRATIONS:
        if step <= version:
            continue
        if version and step // 1000 > version // 1000:
            with replacing(path.with_name(f"{path.stem}.v{version // 1000}{path.suffix}")) as temporary:
                back_up(db, temporary)
        with transaction(db):
            (now,) = db.execute("PRAGMA user_version").fetchone()
            if now >= step:
                continue  # another window was faster
            change(db)
            db.execute(f"PRAGMA application_id = {APPLICATION_ID}")
            db.execute(f"PRAGMA user_version = {step}")
        version = step
