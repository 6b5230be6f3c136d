"""The project: a person's library of faces, their directions and their projection runs, in one SQLite file (.facelab).

Everything is written as it happens, so that nothing but the last moment is lost when the process is killed. Writes go through
one thread that owns the connection for writing; the caller never waits for the disk, and gets ids at once. Reads go over a
second connection that cannot write; they see every write that was asked for before them.

The schema is described in docs/formats.md. A project may come from anybody: its schema is compared with ours before anything
is read, sizes are checked before memory is taken, recipes go through `Recipe.from_json`, and no path that it names is opened.
"""

from __future__ import annotations

import base64
import binascii
import contextlib
import hashlib
import json
import sqlite3
import threading
import time
import weakref
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from facelab.errors import BadArgument, ProjectError
from facelab.files import replacing
from facelab.latent.code import Code, Direction, Floats, frozen
from facelab.latent.recipe import Recipe

SUFFIX = ".facelab"
# "FLAB": tells a project from any other SQLite file.
APPLICATION_ID = 0x464C4142
# user_version is 1000 * major + minor. A minor step only adds; an older facelab can still work with it.
MAJOR = 1

SECONDS = "seconds"  # the term under which the times of a run lie among its losses

_MAX_TEXT = 1024
_MAX_JSON = 64 << 20
_MAX_PICTURE = 64 << 20
_MAX_ARRAYS = 512 << 20
_MAX_TUNING = 512 << 20
_TUNING = "SELECT data FROM tunings WHERE sha256 = ? AND length(data) <= ?"
_ID_BLOCK = 256
_READ_PATIENCE = 10.0  # seconds that a read waits for the writes before it
_RETRY = 2.0  # seconds between attempts while the disk refuses
# A checkpoint is rewritten at most so often, and never takes more than a twentieth of the time.
_CHECKPOINT_EVERY = 1.0
_CHECKPOINT_SHARE = 20.0

Write: TypeAlias = Callable[[sqlite3.Connection], object]
# By digest: the type as `latent.code.pack` names it, the shape as JSON, and the bytes.
_Array: TypeAlias = tuple[str, str, bytes]
_Arrays: TypeAlias = dict[str, _Array]


# -- what reads give --------------------------------------------------------------------------------------------------------
@dataclass(frozen=True)
class FaceRow:
    """One face of the library, without its codes and pictures.

    Attributes:
        id: of the face in this project; never given again.
        name, tags: a person's.
        created: seconds since 1970.
        generator: SHA-256 of the generator that draws it.
        family, resolution: of that generator, where `Project.note_generator` told them; else "" and 0.
        has_photo: whether it was encoded from a photograph that is named.
        run: the projection run that it came from, or None.
        deleted: whether it is in the bin.
    """

    id: int
    name: str
    tags: tuple[str, ...]
    created: float
    generator: str
    family: str
    resolution: int
    has_photo: bool
    run: str | None
    deleted: bool


@dataclass(frozen=True, eq=False)
class RunRow:
    """One projection run.

    Attributes:
        id: the one given to `Project.start_run`.
        name: of the photograph.
        status: "running", "interrupted" (the process ended during it), or what `Project.finish_run` was told.
        steps_done: one more than the last step whose loss is known.
        best: the lowest total loss, or infinity.
        created: seconds since 1970.
        generator: SHA-256 of the generator.
        settings: plain JSON.
    """

    id: str
    name: str
    status: str
    steps_done: int
    best: float
    created: float
    generator: str
    settings: Mapping[str, Any]


@dataclass(frozen=True)
class TuningRow:
    """One pivotal tuning of a generator, without what it changed.

    Attributes:
        sha256: its identity, which recipes name.
        generator: SHA-256 of the generator.
        run: the encoding whose code was the pivot, or None.
        created: seconds since 1970.
        size: bytes.
    """

    sha256: str
    generator: str
    run: str | None
    created: float
    size: int


@dataclass(frozen=True)
class GeneratorRow:
    """Where a generator once lay. The path is a hint of a file that may be anybody's: offer it, never open it unasked."""

    sha256: str
    name: str
    path: str | None
    family: str
    resolution: int
    seen: float


# -- the schema, and how it came about ----------------------------------------------------------------------------------------
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


def _columns(db: sqlite3.Connection) -> dict[str, set[str]]:
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


def _expected(version: int) -> dict[str, set[str]]:
    with contextlib.closing(sqlite3.connect(":memory:", isolation_level=None)) as db:
        for step, migrate in MIGRATIONS:
            if step <= version:
                migrate(db)
        return _columns(db)


# -- errors ---------------------------------------------------------------------------------------------------------------------
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


def _sentence(path: Path, error: sqlite3.Error, doing: str) -> ProjectError:
    code = _code(error)
    if code in _PASSING:
        return ProjectError(f"cannot {doing} the project {path.name!r}: {_PASSING[code]}")
    if code in _DAMAGED:
        return ProjectError(f"the project {path.name!r} is damaged: open a copy or a backup of it")
    if code == sqlite3.SQLITE_TOOBIG:
        return ProjectError(f"cannot {doing} the project {path.name!r}: one entry is too large")
    return ProjectError(f"cannot {doing} the project {path.name!r}: {error}")


# -- arrays out of JSON, and back -----------------------------------------------------------------------------------------------
def _hoist(value: Any, arrays: _Arrays) -> Any:
    """The JSON value with every packed array replaced by the digest under which it is put into ``arrays``."""
    if isinstance(value, dict):
        kind = next((k for k in ("f32", "f16") if value.keys() == {"shape", k}), None)
        if kind is not None:
            data, shape = base64.b64decode(value[kind]), json.dumps(value["shape"])
            digest = hashlib.sha256(f"{kind}{shape}".encode() + data).hexdigest()
            arrays[digest] = (kind, shape, data)
            return {"array": digest}
        return {k: _hoist(v, arrays) for k, v in value.items()}
    if isinstance(value, list):
        return [_hoist(v, arrays) for v in value]
    return value


def _lower(value: Any, arrays: Mapping[str, _Array]) -> Any:
    """Undoes `_hoist`."""
    if isinstance(value, dict):
        if value.keys() == {"array"} and isinstance(value["array"], str):
            try:
                kind, shape, data = arrays[value["array"]]
            except KeyError:
                raise BadArgument("one of its arrays is missing") from None
            return {"shape": json.loads(shape), kind: base64.b64encode(data).decode("ascii")}
        return {k: _lower(v, arrays) for k, v in value.items()}
    if isinstance(value, list):
        return [_lower(v, arrays) for v in value]
    return value


def _keep_arrays(db: sqlite3.Connection, arrays: Mapping[str, _Array], **owner: int | str) -> None:
    ((column, key),) = owner.items()
    for digest, array in arrays.items():
        db.execute("INSERT OR IGNORE INTO arrays VALUES (?, ?, ?, ?)", (digest, *array))
        db.execute(f"INSERT INTO uses (digest, {column}) VALUES (?, ?)", (digest, key))


def _plain(value: object, name: str, most: int = _MAX_JSON) -> str:
    try:
        text = json.dumps(value, separators=(",", ":"), allow_nan=False)
    except (TypeError, ValueError) as error:
        raise BadArgument(f"{name} has to be plain JSON with finite numbers") from error
    if len(text) > most:
        raise BadArgument(f"{name} is too long to be kept")
    return text


def _short(text: str, name: str) -> str:
    """A person's text for the file: characters that cannot be stored (lone surrogates, NUL) replaced, bounded."""
    clean = str(text).replace("\0", "").encode("utf-8", "replace").decode("utf-8").strip()
    if len(clean) > _MAX_TEXT:
        raise BadArgument(f"{name} is longer than {_MAX_TEXT} characters; shorten it")
    return clean


def _quad(quad: npt.ArrayLike | None) -> str | None:
    if quad is None:
        return None
    corners = np.asarray(quad, np.float64)
    if corners.shape != (4, 2) or not np.isfinite(corners).all():
        raise BadArgument(f"a crop is four corners [4, 2] of finite numbers, not the shape {corners.shape}")
    return json.dumps(corners.tolist())


def _picture(png: bytes | None, name: str) -> bytes | None:
    if png is not None and len(png) > _MAX_PICTURE:
        raise BadArgument(f"{name} is larger than {_MAX_PICTURE >> 20} MB")
    return None if png is None else bytes(png)


# -- the writer -------------------------------------------------------------------------------------------------------------------
class _Writer:
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
                with _transaction(self._db):
                    write(self._db)
            except sqlite3.Error as e:
                error = _sentence(self._path, e, "write to")
                if _code(e) in _PASSING:
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


@contextlib.contextmanager
def _transaction(db: sqlite3.Connection) -> Iterator[None]:
    db.execute("BEGIN IMMEDIATE")
    try:
        yield
        db.execute("COMMIT")
    except BaseException:
        if db.in_transaction:
            db.execute("ROLLBACK")
        raise


# -- the project ------------------------------------------------------------------------------------------------------------------
class Project:
    """An open project. `open` makes one; `close` it in the end (``with Project.open(path) as project`` does).

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
        self._ids: Iterator[int] = iter(())
        self._writer = _Writer(db, path, on_error)
        # Whoever forgets to close still gets what was asked for written.
        self._finalizer = weakref.finalize(self, _shut, self._writer, reader)

    @classmethod
    def open(cls, path: Path | str, on_error: Callable[[ProjectError], None] | None = None) -> Project:
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
                _prepare(db, path, fresh)
                reader = sqlite3.connect(
                    path.as_uri() + "?mode=ro", uri=True, timeout=5, isolation_level=None, check_same_thread=False
                )
                stack.callback(reader.close)
                reader.execute("PRAGMA trusted_schema = OFF")
                reader.execute("PRAGMA query_only = ON")
                with _transaction(db):
                    # Whatever still says "running" was cut off; a run that another window goes on with says so at its end.
                    db.execute("UPDATE runs SET status = 'interrupted' WHERE status = 'running'")
            except sqlite3.Error as error:
                stack.close()
                if new:  # on a full disk, say: what was begun is no project
                    for end in ("", "-wal", "-shm"):
                        path.with_name(path.name + end).unlink(missing_ok=True)
                raise _sentence(path, error, "open") from error
            stack.pop_all()
        return cls(path, db, reader, on_error)

    def __enter__(self) -> Project:
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
                _back_up(self._reader, temporary, left)
            if self._writer.unwritten()[0] == done:
                return wanted
            # The disk has just taken something after all, which may be in the copy twice: once more.

    def check(self) -> list[str]:
        """What SQLite finds wrong in the file; empty for a sound one. Reads all of it."""
        self._writer.settle(_READ_PATIENCE)
        found = [str(row[0]) for row in self._rows("", "PRAGMA integrity_check")]
        found += [f"{table} row {row} points nowhere" for table, row, *_ in self._rows("", "PRAGMA foreign_key_check")]
        return [] if found == ["ok"] else [f for f in found if f != "ok"]

    # -- faces --
    def add_face(
        self,
        recipe: Recipe,
        name: str,
        *,
        thumbnail: bytes | None = None,
        tags: Iterable[str] = (),
        photo: str | None = None,
        quad: npt.ArrayLike | None = None,
        run: str | None = None,
    ) -> int:
        """Put a face into the library.

        Args:
            recipe: what draws it.
            name: up to 1,024 characters.
            thumbnail: a small PNG.
            tags: words to find it by.
            photo: the photograph that it was encoded from.
            quad: the crop in that photograph, [4, 2] pixels.
            run: the projection run that found it; purging the face purges the run.

        Returns:
            Its id.
        """
        face, created = self._new_id(), time.time()
        row = (_short(name, "a name"), _plain(_tags(tags), "the tags"), created, recipe.generator)
        source = (None if photo is None else _short(photo, "a photograph's name"), _quad(quad), run)
        png = _picture(thumbnail, "a thumbnail")

        def write(db: sqlite3.Connection) -> None:
            arrays: _Arrays = {}
            text = json.dumps(_hoist(json.loads(recipe.to_json()), arrays), separators=(",", ":"))
            db.execute(
                "INSERT INTO faces (id, name, tags, created, generator, recipe, photo, quad, run) VALUES (?,?,?,?,?,?,?,?,?)",
                (face, *row, text, *source),
            )
            _keep_arrays(db, arrays, face=face)
            if png is not None:
                db.execute("INSERT INTO thumbnails VALUES (?, ?)", (face, png))

        self._writer.submit(write, "faces")
        return face

    def faces(
        self, search: str = "", tag: str | None = None, order: str = "newest", deleted: bool = False
    ) -> list[FaceRow]:
        """The faces of the library, or of its bin.

        Args:
            search: words that all have to stand in the name or a tag, in any case.
            tag: only faces that carry it.
            order: "newest", "oldest" or "name".
            deleted: the bin instead of the library.
        """
        orders = {
            "newest": "f.created DESC, f.id DESC",
            "oldest": "f.created, f.id",
            "name": "f.name COLLATE NOCASE, f.id",
        }
        if order not in orders:
            raise BadArgument(f"faces are ordered by {', '.join(orders)}, not {order!r}")
        rows = self._rows(
            "faces",
            "SELECT f.id, f.name, f.tags, f.created, f.generator, coalesce(g.family, ''), coalesce(g.resolution, 0), "
            "f.photo IS NOT NULL, f.run, f.deleted IS NOT NULL "
            "FROM faces f LEFT JOIN generators g ON g.sha256 = f.generator "
            f"WHERE f.deleted IS {'NOT ' if deleted else ''}NULL ORDER BY {orders[order]}",
        )
        words = search.casefold().split()
        found = []
        for face, name, tags, created, generator, family, resolution, has_photo, run, gone in rows:
            own = self._tags_of(tags)
            text = " ".join((name, *own)).casefold()
            if (tag is None or tag in own) and all(word in text for word in words):
                found.append(
                    FaceRow(face, name, own, created, generator, family, resolution, bool(has_photo), run, bool(gone))
                )
        return found

    def face(self, face: int) -> FaceRow:
        """One face, in the library or the bin.

        Raises:
            ProjectError: there is none of that id.
        """
        for row in (*self.faces(), *self.faces(deleted=True)):
            if row.id == face:
                return row
        raise ProjectError(f"the project {self.path.name!r} has no face {face}")

    def tags(self) -> list[str]:
        """All tags of the library, in order of the alphabet."""
        rows = self._rows("faces", "SELECT DISTINCT tags FROM faces WHERE deleted IS NULL")
        return sorted({tag for (tags,) in rows for tag in self._tags_of(tags)}, key=lambda tag: (tag.casefold(), tag))

    def recipe(self, face: int) -> Recipe:
        """What draws a face.

        Raises:
            ProjectError: there is no such face, or its recipe is damaged.
        """
        text = self._one("faces", "SELECT recipe FROM faces WHERE id = ?", (face,), f"face {face}")
        value = self._lowered(text, "face", face)
        try:
            return Recipe.from_json(json.dumps(value))
        except (BadArgument, ValueError) as error:
            raise ProjectError(f"face {face} of {self.path.name!r} cannot be read: {error}") from error

    def thumbnail(self, face: int) -> bytes | None:
        """A face's small PNG, or None."""
        rows = self._rows(
            "faces",
            "SELECT CASE WHEN length(png) <= ? THEN png END FROM thumbnails WHERE face = ?",
            (_MAX_PICTURE, face),
        )
        return bytes(rows[0][0]) if rows and isinstance(rows[0][0], bytes) else None

    def photo(self, face: int) -> tuple[str, Floats | None] | None:
        """The photograph that a face was encoded from, and the crop in it [4, 2]; None for a face from nowhere else."""
        rows = self._rows("faces", "SELECT photo, quad FROM faces WHERE id = ?", (face,))
        return (rows[0][0], self._corners(rows[0][1])) if rows and rows[0][0] is not None else None

    def set_thumbnail(self, face: int, png: bytes) -> None:
        """Give a face its small PNG."""
        data = _picture(png, "a thumbnail")
        # A face that was purged meanwhile takes none.
        self._write("faces", "INSERT OR REPLACE INTO thumbnails SELECT id, ? FROM faces WHERE id = ?", (data, face))

    def rename(self, face: int, name: str) -> None:
        """Give a face another name."""
        self._write("faces", "UPDATE faces SET name = ? WHERE id = ?", (_short(name, "a name"), face))

    def set_tags(self, face: int, tags: Iterable[str]) -> None:
        """Give a face other tags."""
        self._write("faces", "UPDATE faces SET tags = ? WHERE id = ?", (_plain(_tags(tags), "the tags"), face))

    def delete(self, faces: Iterable[int]) -> None:
        """Put faces into the bin; `restore` brings them back."""
        now = time.time()
        self._write_many(
            "faces", "UPDATE faces SET deleted = ? WHERE id = ? AND deleted IS NULL", [(now, f) for f in faces]
        )

    def restore(self, faces: Iterable[int]) -> None:
        """Bring faces back from the bin."""
        self._write_many("faces", "UPDATE faces SET deleted = NULL WHERE id = ?", [(f,) for f in faces])

    def purge(self, faces: Iterable[int]) -> None:
        """Delete faces for good: with their photograph, thumbnail, codes, and the runs that no other face came from.

        The space that they took in the file is overwritten.
        """
        gone = [(int(f),) for f in faces]

        def write(db: sqlite3.Connection) -> None:
            runs = {run for face in gone for (run,) in db.execute("SELECT run FROM faces WHERE id = ?", face) if run}
            db.executemany("DELETE FROM faces WHERE id = ?", gone)
            for run in runs:
                if db.execute("SELECT 1 FROM faces WHERE run = ?", (run,)).fetchone() is None:
                    db.execute("DELETE FROM runs WHERE id = ?", (run,))
            _drop_unused(db)

        self._writer.submit(write, "faces", "runs", "tunings")
        self._empty_log()

    # -- runs --
    def start_run(
        self,
        run: str,
        generator: str,
        settings: Mapping[str, Any],
        name: str,
        target_png: bytes | None = None,
        photo: str | None = None,
        quad: npt.ArrayLike | None = None,
    ) -> None:
        """Begin to record a projection run; one that is there already goes on.

        Args:
            run: its id.
            generator: SHA-256.
            settings: plain JSON.
            name: of the photograph.
            target_png: the aligned crop.
            photo, quad: the photograph, and the crop in it [4, 2].
        """
        values = (
            _short(run, "a run's id"), _short(name, "a name"), _short(generator, "a generator"), time.time(),
            _plain(dict(settings), "a run's settings"), _picture(target_png, "the target"),
            None if photo is None else _short(photo, "a photograph's name"), _quad(quad),
        )  # fmt: skip
        self._write(
            "runs",
            "INSERT INTO runs (id, name, generator, status, created, settings, target, photo, quad) "
            "VALUES (?, ?, ?, 'running', ?, ?, ?, ?, ?) ON CONFLICT (id) DO UPDATE SET status = 'running'",
            values,
        )

    def add_losses(self, run: str, first_step: int, losses: Mapping[str, Sequence[float]]) -> None:
        """Record losses of consecutive steps from ``first_step`` on, by term; "total" counts for the best."""
        chunks = [(run, str(term), int(first_step), np.asarray(v, "<f4")) for term, v in losses.items() if len(v)]
        if first_step < 0 or any(c[3].ndim != 1 for c in chunks):
            raise BadArgument("losses are one row of numbers for each term, from step 0 on")
        if not chunks:
            return
        end = int(first_step) + max(c[3].size for c in chunks)
        total = np.asarray(losses.get("total", ()), np.float64)
        total = total[np.isfinite(total)]
        best = float(total.min()) if total.size else None

        def write(db: sqlite3.Connection) -> None:
            # A run that was purged while it still ran takes no more.
            if db.execute("SELECT 1 FROM runs WHERE id = ?", (run,)).fetchone() is None:
                return
            db.executemany("INSERT INTO losses VALUES (?, ?, ?, ?)", [(*c[:3], c[3].tobytes()) for c in chunks])
            db.execute(
                "UPDATE runs SET steps = max(steps, ?), best = CASE WHEN ? IS NULL THEN best "
                "WHEN best IS NULL OR ? < best THEN ? ELSE best END WHERE id = ?",
                (end, best, best, best, run),
            )

        self._writer.submit(write, "runs")

    def add_seconds(self, run: str, step: int, seconds: float) -> None:
        """Record how long a run had worked when a step was done."""
        self.add_losses(run, step, {SECONDS: [seconds]})

    def keep_step(self, run: str, step: int, ws: npt.ArrayLike) -> None:
        """Keep the code of a step, [L, C]."""
        array = frozen(ws, "the code")
        self._write(
            "runs",
            "INSERT OR REPLACE INTO kept SELECT id, ?, ?, ? FROM runs WHERE id = ?",
            (int(step), json.dumps(array.shape), array.astype("<f4").tobytes(), run),
        )

    def checkpoint(self, run: str, step: int, blob: bytes) -> None:
        """Keep what a run needs to go on after a stop, in place of what was kept before.

        Call it as often as you like: of those that wait only the newest is written, at most once a second and at most for a
        twentieth of the time.
        """
        data = bytes(blob)

        def write(db: sqlite3.Connection) -> None:
            # A finished run needs none.
            db.execute(
                "INSERT OR REPLACE INTO checkpoints SELECT id, ?, ? FROM runs WHERE id = ? AND status <> 'done'",
                (int(step), data, run),
            )

        self._writer.submit_late(run, write)

    def finish_run(self, run: str, status: str, code: Code | None = None) -> None:
        """End a run.

        Args:
            run: its id.
            status: "done", "cancelled" or "failed"; a run that is done gives up its checkpoint, any other can go on.
            code: what it found.
        """
        if status == "done":
            self._writer.forget_late(run)

        def write(db: sqlite3.Connection) -> None:
            arrays: _Arrays = {}
            text = None if code is None else json.dumps(_hoist(code.to_json(), arrays))
            if not db.execute("UPDATE runs SET status = ?, code = ? WHERE id = ?", (status, text, run)).rowcount:
                return
            db.execute("DELETE FROM uses WHERE run = ?", (run,))
            _keep_arrays(db, arrays, run=run)
            _drop_unused(db)
            if status == "done":
                db.execute("DELETE FROM checkpoints WHERE run = ?", (run,))

        self._writer.submit(write, "runs")

    def runs(self) -> list[RunRow]:
        """All runs, the newest first."""
        rows = self._rows(
            "runs",
            "SELECT id, name, status, steps, best, created, generator, settings FROM runs ORDER BY created DESC, rowid DESC",
        )
        return [
            RunRow(
                run,
                name,
                status,
                steps,
                float("inf") if best is None else best,
                created,
                generator,
                self._dict(settings),
            )
            for run, name, status, steps, best, created, generator, settings in rows
        ]

    def losses(self, run: str) -> dict[str, npt.NDArray[np.float32]]:
        """The loss curves of a run: by term one value for each step from 0 on, NaN where none was recorded.

        Where a run went on from a checkpoint, the later values count.
        """
        return {term: curve for term, curve in self._curves(run).items() if term != SECONDS}

    def seconds(self, run: str) -> npt.NDArray[np.float32]:
        """How long a run had worked after each step from 0 on; NaN where that was not recorded, empty where it never was."""
        return self._curves(run).get(SECONDS, np.empty(0, np.float32))

    def _curves(self, run: str) -> dict[str, npt.NDArray[np.float32]]:
        chunks: dict[str, list[tuple[int, npt.NDArray[np.float32]]]] = {}
        for term, first, data in self._rows(
            "runs", "SELECT term, first, data FROM losses WHERE run = ? ORDER BY rowid", (run,)
        ):
            if not (isinstance(data, bytes) and isinstance(first, int) and 0 <= first < 1 << 24 and len(data) % 4 == 0):
                raise ProjectError(f"the losses of run {run!r} in {self.path.name!r} are damaged")
            chunks.setdefault(str(term), []).append((first, np.frombuffer(data, "<f4")))
        curves = {}
        for term, parts in chunks.items():
            curve = np.full(max(first + part.size for first, part in parts), np.nan, np.float32)
            for first, part in parts:
                curve[first : first + part.size] = part
            curves[term] = curve
        return curves

    def kept_steps(self, run: str) -> list[int]:
        """The steps of a run whose codes are kept, in order."""
        return [step for (step,) in self._rows("runs", "SELECT step FROM kept WHERE run = ? ORDER BY step", (run,))]

    def kept(self, run: str, step: int) -> Floats:
        """The code of a kept step, [L, C].

        Raises:
            ProjectError: that step was not kept, or is damaged.
        """
        rows = self._rows("runs", "SELECT shape, data FROM kept WHERE run = ? AND step = ?", (run, step))
        if not rows:
            raise ProjectError(f"step {step} of run {run!r} was not kept")
        try:
            return frozen(np.frombuffer(rows[0][1], "<f4").reshape(json.loads(rows[0][0])), "the code")
        except (BadArgument, ValueError, TypeError) as error:
            raise ProjectError(f"step {step} of run {run!r} in {self.path.name!r} is damaged") from error

    def last_checkpoint(self, run: str) -> tuple[int, bytes] | None:
        """The step and the blob that a run can go on from, or None."""
        self._writer.settle(_READ_PATIENCE, late=True)
        rows = self._rows("runs", "SELECT step, data FROM checkpoints WHERE run = ?", (run,))
        return (rows[0][0], bytes(rows[0][1])) if rows else None

    def target(self, run: str) -> bytes | None:
        """The aligned crop that a run encodes, a PNG."""
        rows = self._rows(
            "runs", "SELECT CASE WHEN length(target) <= ? THEN target END FROM runs WHERE id = ?", (_MAX_PICTURE, run)
        )
        return bytes(rows[0][0]) if rows and isinstance(rows[0][0], bytes) else None

    def run_photo(self, run: str) -> tuple[str, Floats | None] | None:
        """The photograph that a run encodes, and the crop in it [4, 2]."""
        rows = self._rows("runs", "SELECT photo, quad FROM runs WHERE id = ?", (run,))
        return (rows[0][0], self._corners(rows[0][1])) if rows and rows[0][0] is not None else None

    def run_code(self, run: str) -> Code | None:
        """What a run found, or None.

        Raises:
            ProjectError: it is damaged.
        """
        rows = self._rows("runs", "SELECT code FROM runs WHERE id = ?", (run,))
        if not rows or rows[0][0] is None:
            return None
        try:
            return Code.from_json(self._lowered(rows[0][0], "run", run))
        except BadArgument as error:
            raise ProjectError(f"the code of run {run!r} in {self.path.name!r} cannot be read: {error}") from error

    def delete_run(self, run: str) -> None:
        """Delete a run for good; faces that came from it stay."""
        self._writer.forget_late(run)

        def write(db: sqlite3.Connection) -> None:
            db.execute("DELETE FROM runs WHERE id = ?", (run,))
            _drop_unused(db)

        self._writer.submit(write, "runs", "tunings")
        self._empty_log()

    # -- tunings --
    def add_tuning(self, sha256: str, generator: str, blob: bytes, run: str | None = None) -> None:
        """Keep what pivotal tuning changed in a generator; the same one twice is kept once.

        Args:
            sha256: the tuning's identity, which recipes name.
            generator: SHA-256.
            blob: the document of float16 differences.
            run: the encoding whose code was the pivot; when that and all faces that name the tuning are deleted for good, so
                is the tuning.
        """
        if len(blob) > _MAX_TUNING:
            raise BadArgument("this tuning is too large to be kept in a project")
        values = (_short(sha256, "a tuning"), _short(generator, "a generator"), time.time(), bytes(blob), run)
        self._write(
            "tunings",
            # A run that was deleted while its generator was tuned leaves its tuning to itself.
            "INSERT OR IGNORE INTO tunings (sha256, generator, created, data, run) "
            "VALUES (?, ?, ?, ?, (SELECT id FROM runs WHERE id = ?))",
            values,
        )

    def tunings(self) -> list[TuningRow]:
        """What is known of all tunings, the newest first."""
        rows = self._rows(
            "tunings",
            "SELECT sha256, generator, run, created, length(data) FROM tunings ORDER BY created DESC, rowid DESC",
        )
        return [TuningRow(*row) for row in rows]

    def tuning(self, sha256: str) -> bytes | None:
        """The document of a tuning, or None where it is not in this project."""
        rows = self._rows("tunings", _TUNING, (sha256, _MAX_TUNING))
        return bytes(rows[0][0]) if rows and isinstance(rows[0][0], bytes) else None

    # -- directions, generators, small values --
    def add_direction(self, direction: Direction) -> None:
        """Keep a direction; the same one twice is kept once."""
        value = _plain(direction.to_json(), "a direction")
        self._write(
            "directions",
            "INSERT OR IGNORE INTO directions VALUES (?, ?, ?, ?, ?)",
            (direction.digest, direction.generator, _short(direction.name, "a name"), value, time.time()),
        )

    def directions(self, generator: str | None = None) -> list[Direction]:
        """The directions that are kept, of one generator or all, in the order in which they came.

        Raises:
            ProjectError: one of them is damaged.
        """
        rows = self._rows(
            "directions",
            "SELECT value FROM directions WHERE ?1 IS NULL OR generator = ?1 ORDER BY created, rowid",
            (generator,),
        )
        try:
            return [Direction.from_json(json.loads(value)) for (value,) in rows]
        except (BadArgument, ValueError, RecursionError) as error:
            raise ProjectError(f"a direction in {self.path.name!r} cannot be read: {error}") from error

    def replace_direction(self, old: Direction, new: Direction) -> None:
        """Put a direction in the place of another."""
        value = _plain(new.to_json(), "a direction")
        self._write(
            "directions",
            "UPDATE OR REPLACE directions SET digest = ?, generator = ?, name = ?, value = ? WHERE digest = ?",
            (new.digest, new.generator, _short(new.name, "a name"), value, old.digest),
        )

    def delete_direction(self, direction: Direction) -> None:
        """Drop a direction."""
        self._write("directions", "DELETE FROM directions WHERE digest = ?", (direction.digest,))

    def note_generator(
        self, sha256: str, path: str | Path | None, name: str, *, family: str = "", resolution: int = 0
    ) -> None:
        """Remember where a generator lies, so that a face can say which file draws it."""
        row = (
            _short(sha256, "a generator"), _short(name, "a name"), None if path is None else _short(str(path), "a path"),
            _short(family, "a family"), int(resolution), time.time(),
        )  # fmt: skip
        self._writer.submit(
            lambda db: db.execute("INSERT OR REPLACE INTO generators VALUES (?, ?, ?, ?, ?, ?)", row),
            "generators",
            "faces",  # whose rows tell family and resolution
        )

    def generators(self) -> list[GeneratorRow]:
        """The generators that were noted, the last seen first."""
        rows = self._rows(
            "generators", "SELECT sha256, name, path, family, resolution, seen FROM generators ORDER BY seen DESC"
        )
        return [GeneratorRow(*row) for row in rows]

    def meta(self, key: str, default: Any = None) -> Any:
        """A small JSON value that was kept under a key."""
        rows = self._rows("meta", "SELECT value FROM meta WHERE key = ?", (key,))
        try:
            return json.loads(rows[0][0]) if rows else default
        except (ValueError, TypeError, RecursionError) as error:
            raise ProjectError(f"the entry {key!r} of {self.path.name!r} is damaged") from error

    def set_meta(self, key: str, value: Any) -> None:
        """Keep a small JSON value under a key; the key "facelab..." is the project's own."""
        if key.startswith("facelab"):
            raise BadArgument("keys that begin with facelab are the project's own")
        self._write(
            "meta",
            "INSERT OR REPLACE INTO meta VALUES (?, ?)",
            (_short(key, "a key"), _plain(value, f"the entry {key!r}")),
        )

    # -- inside --
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

    def _new_id(self) -> int:
        """The next id. Ids come in blocks, each reserved for one open project, so that two windows never give the same."""
        with self._lock:
            face = next(self._ids, None)
            if face is None:
                try:
                    with (
                        contextlib.closing(sqlite3.connect(self.path, timeout=5, isolation_level=None)) as db,
                        _transaction(db),
                    ):
                        rows = db.execute("SELECT value FROM meta WHERE key = 'facelab.next_id'").fetchall()
                        (top,) = db.execute("SELECT coalesce(max(id), 0) + 1 FROM faces").fetchone()
                        first = max(int(rows[0][0]) if rows else 1, top)
                        db.execute(
                            "INSERT OR REPLACE INTO meta VALUES ('facelab.next_id', ?)", (str(first + _ID_BLOCK),)
                        )
                except (sqlite3.Error, ValueError) as error:
                    broken = error if isinstance(error, sqlite3.Error) else sqlite3.DatabaseError(str(error))
                    raise _sentence(self.path, broken, "write to") from error
                self._ids = iter(range(first, first + _ID_BLOCK))
                face = next(self._ids)
            return face

    @contextlib.contextmanager
    def _reading(self, path: Path | None = None, doing: str = "read") -> Iterator[None]:
        if not self._finalizer.alive:
            raise ProjectError("the project is closed; open it again")
        try:
            yield
        except sqlite3.Error as error:
            raise _sentence(path or self.path, error, doing) from error

    def _rows(self, topic: str, sql: str, values: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
        # Other topics' writes are not waited for: the checkpoint of a large run takes a third of a second.
        self._writer.settle(_READ_PATIENCE, topic)
        with self._reading(), self._lock:
            return self._reader.execute(sql, values).fetchall()

    def _one(self, topic: str, sql: str, values: tuple[Any, ...], name: str) -> Any:
        rows = self._rows(topic, sql, values)
        if not rows:
            raise ProjectError(f"the project {self.path.name!r} has no {name}")
        return rows[0][0]

    def _lowered(self, text: object, column: str, owner: int | str) -> Any:
        """JSON text with its arrays put back."""
        (size,) = self._rows(
            f"{column}s",
            f"SELECT coalesce(sum(length(data)), 0) FROM arrays WHERE digest IN (SELECT digest FROM uses WHERE {column} = ?)",
            (owner,),
        )[0]
        if size > _MAX_ARRAYS:
            raise ProjectError(f"{column} {owner} of {self.path.name!r} is larger than a face can be")
        rows = self._rows(
            f"{column}s",
            f"SELECT digest, type, shape, data FROM arrays WHERE digest IN (SELECT digest FROM uses WHERE {column} = ?)",
            (owner,),
        )
        try:
            if any(list(map(type, row)) != [str, str, str, bytes] for row in rows):
                raise BadArgument("an array is not one")
            return _lower(json.loads(str(text)), {digest: (kind, shape, data) for digest, kind, shape, data in rows})
        except (BadArgument, ValueError, RecursionError, binascii.Error) as error:
            raise ProjectError(f"{column} {owner} of {self.path.name!r} cannot be read: {error}") from error

    def _tags_of(self, text: object) -> tuple[str, ...]:
        try:
            tags = json.loads(str(text))
        except (ValueError, RecursionError):
            tags = None
        if not isinstance(tags, list) or not all(isinstance(t, str) for t in tags):
            raise ProjectError(f"the project {self.path.name!r} is damaged: open a copy or a backup of it")
        return tuple(tags)

    def _dict(self, text: object) -> dict[str, Any]:
        try:
            value = json.loads(str(text))
        except (ValueError, RecursionError):
            value = None
        if not isinstance(value, dict):
            raise ProjectError(f"the project {self.path.name!r} is damaged: open a copy or a backup of it")
        return value

    def _corners(self, text: object) -> Floats | None:
        if text is None:
            return None
        try:
            corners = frozen(json.loads(str(text)), "a crop")
        except (ValueError, TypeError, RecursionError) as error:
            raise ProjectError(f"a crop in {self.path.name!r} is damaged") from error
        if corners.shape != (4, 2):
            raise ProjectError(f"a crop in {self.path.name!r} is damaged")
        return corners


def _tags(tags: Iterable[str]) -> list[str]:
    """Clean tags, each once, in the order given."""
    return list(dict.fromkeys(t for t in (_short(tag, "a tag") for tag in tags) if t))


def read_tuning(path: Path, sha256: str) -> bytes | None:
    """The document of a tuning in a project that may be open elsewhere, for who only draws; None where it is not there.

    Raises:
        ProjectError: the project cannot be read.
    """
    try:
        with contextlib.closing(sqlite3.connect(path.absolute().as_uri() + "?mode=ro", uri=True, timeout=5)) as db:
            db.execute("PRAGMA trusted_schema = OFF")
            row = db.execute(_TUNING, (sha256, _MAX_TUNING)).fetchone()
    except sqlite3.Error as error:
        raise _sentence(path, error, "read") from error
    return bytes(row[0]) if row is not None and isinstance(row[0], bytes) else None


def _drop_unused(db: sqlite3.Connection) -> None:
    db.execute("DELETE FROM arrays WHERE digest NOT IN (SELECT digest FROM uses)")
    # What a generator learnt of a photograph goes with the last that was made of it.
    db.execute(
        "DELETE FROM tunings WHERE run IS NULL AND NOT EXISTS "
        "(SELECT 1 FROM faces WHERE instr(faces.recipe, tunings.sha256))"
    )


def _shut(writer: _Writer, reader: sqlite3.Connection) -> None:
    # The reader first: the last connection to close folds the log into the file, and only one that can write does it.
    reader.close()
    writer.close()


def _back_up(source: sqlite3.Connection, path: Path, more: Iterable[Write] = ()) -> None:
    """Copy a database to a file, and make further writes in the copy."""
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as copy:
        source.backup(copy)
        copy.execute("PRAGMA journal_mode = DELETE").fetchall()  # one file, without a log beside it
        copy.execute("PRAGMA foreign_keys = ON")
        for write in more:
            with _transaction(copy):
                write(copy)


def _prepare(db: sqlite3.Connection, path: Path, fresh: bool) -> None:
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
            there, ours = _columns(db), _expected(version)
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
                _back_up(db, temporary)
        with _transaction(db):
            (now,) = db.execute("PRAGMA user_version").fetchone()
            if now >= step:
                continue  # another window was faster
            change(db)
            db.execute(f"PRAGMA application_id = {APPLICATION_ID}")
            db.execute(f"PRAGMA user_version = {step}")
        version = step
