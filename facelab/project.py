"""The project: a person's library of faces, their directions and their projection runs, in one SQLite file (.facelab).

What is in it, and how it is asked for; how it lies in the file is `facelab.store`'s. The schema is described in docs/formats.md. A
project may come from anybody: sizes are checked before memory is taken, recipes go through `Recipe.from_json`, and no path that it
names is opened.
"""

from __future__ import annotations

import binascii
import contextlib
import json
import sqlite3
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from facelab.errors import BadArgument, ProjectError
from facelab.latent.code import Code, Direction, Floats, frozen
from facelab.latent.recipe import Recipe
from facelab.store.database import sentence, transaction
from facelab.store.store import READ_PATIENCE, Store
from facelab.store.values import (
    MAX_PICTURE,
    Arrays,
    clean_tags,
    hoist,
    keep_arrays,
    lower,
    picture,
    plain,
    quad_json,
    short,
)

SECONDS = "seconds"  # the term under which the times of a run lie among its losses

_MAX_ARRAYS = 512 << 20
_MAX_TUNING = 512 << 20
_TUNING = "SELECT data FROM tunings WHERE sha256 = ? AND length(data) <= ?"
_ID_BLOCK = 256


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


class Project(Store):
    """An open project. `open` makes one; `close` it in the end (``with Project.open(path) as project`` does)."""

    _ids: Iterator[int] = iter(())  # of faces, that are reserved

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
        row = (short(name, "a name"), plain(clean_tags(tags), "the tags"), created, recipe.generator)
        source = (None if photo is None else short(photo, "a photograph's name"), quad_json(quad), run)
        png = picture(thumbnail, "a thumbnail")

        def write(db: sqlite3.Connection) -> None:
            arrays: Arrays = {}
            text = json.dumps(hoist(json.loads(recipe.to_json()), arrays), separators=(",", ":"))
            db.execute(
                "INSERT INTO faces (id, name, tags, created, generator, recipe, photo, quad, run) VALUES (?,?,?,?,?,?,?,?,?)",
                (face, *row, text, *source),
            )
            keep_arrays(db, arrays, face=face)
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
            (MAX_PICTURE, face),
        )
        return bytes(rows[0][0]) if rows and isinstance(rows[0][0], bytes) else None

    def photo(self, face: int) -> tuple[str, Floats | None] | None:
        """The photograph that a face was encoded from, and the crop in it [4, 2]; None for a face from nowhere else."""
        rows = self._rows("faces", "SELECT photo, quad FROM faces WHERE id = ?", (face,))
        return (rows[0][0], self._corners(rows[0][1])) if rows and rows[0][0] is not None else None

    def set_thumbnail(self, face: int, png: bytes) -> None:
        """Give a face its small PNG."""
        data = picture(png, "a thumbnail")
        # A face that was purged meanwhile takes none.
        self._write("faces", "INSERT OR REPLACE INTO thumbnails SELECT id, ? FROM faces WHERE id = ?", (data, face))

    def rename(self, face: int, name: str) -> None:
        """Give a face another name."""
        self._write("faces", "UPDATE faces SET name = ? WHERE id = ?", (short(name, "a name"), face))

    def set_tags(self, face: int, tags: Iterable[str]) -> None:
        """Give a face other tags."""
        self._write("faces", "UPDATE faces SET tags = ? WHERE id = ?", (plain(clean_tags(tags), "the tags"), face))

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
            short(run, "a run's id"), short(name, "a name"), short(generator, "a generator"), time.time(),
            plain(dict(settings), "a run's settings"), picture(target_png, "the target"),
            None if photo is None else short(photo, "a photograph's name"), quad_json(quad),
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
            arrays: Arrays = {}
            text = None if code is None else json.dumps(hoist(code.to_json(), arrays))
            if not db.execute("UPDATE runs SET status = ?, code = ? WHERE id = ?", (status, text, run)).rowcount:
                return
            db.execute("DELETE FROM uses WHERE run = ?", (run,))
            keep_arrays(db, arrays, run=run)
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
        self._writer.settle(READ_PATIENCE, late=True)
        rows = self._rows("runs", "SELECT step, data FROM checkpoints WHERE run = ?", (run,))
        return (rows[0][0], bytes(rows[0][1])) if rows else None

    def target(self, run: str) -> bytes | None:
        """The aligned crop that a run encodes, a PNG."""
        rows = self._rows(
            "runs", "SELECT CASE WHEN length(target) <= ? THEN target END FROM runs WHERE id = ?", (MAX_PICTURE, run)
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
        values = (short(sha256, "a tuning"), short(generator, "a generator"), time.time(), bytes(blob), run)
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
        value = plain(direction.to_json(), "a direction")
        self._write(
            "directions",
            "INSERT OR IGNORE INTO directions VALUES (?, ?, ?, ?, ?)",
            (direction.digest, direction.generator, short(direction.name, "a name"), value, time.time()),
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
        value = plain(new.to_json(), "a direction")
        self._write(
            "directions",
            "UPDATE OR REPLACE directions SET digest = ?, generator = ?, name = ?, value = ? WHERE digest = ?",
            (new.digest, new.generator, short(new.name, "a name"), value, old.digest),
        )

    def delete_direction(self, direction: Direction) -> None:
        """Drop a direction."""
        self._write("directions", "DELETE FROM directions WHERE digest = ?", (direction.digest,))

    def note_generator(
        self, sha256: str, path: str | Path | None, name: str, *, family: str = "", resolution: int = 0
    ) -> None:
        """Remember where a generator lies, so that a face can say which file draws it."""
        row = (
            short(sha256, "a generator"), short(name, "a name"), None if path is None else short(str(path), "a path"),
            short(family, "a family"), int(resolution), time.time(),
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
            (short(key, "a key"), plain(value, f"the entry {key!r}")),
        )

    # -- inside --
    def _new_id(self) -> int:
        """The next id. Ids come in blocks, each reserved for one open project, so that two windows never give the same."""
        with self._lock:
            face = next(self._ids, None)
            if face is None:
                try:
                    with (
                        contextlib.closing(sqlite3.connect(self.path, timeout=5, isolation_level=None)) as db,
                        transaction(db),
                    ):
                        rows = db.execute("SELECT value FROM meta WHERE key = 'facelab.next_id'").fetchall()
                        (top,) = db.execute("SELECT coalesce(max(id), 0) + 1 FROM faces").fetchone()
                        first = max(int(rows[0][0]) if rows else 1, top)
                        db.execute(
                            "INSERT OR REPLACE INTO meta VALUES ('facelab.next_id', ?)", (str(first + _ID_BLOCK),)
                        )
                except (sqlite3.Error, ValueError) as error:
                    broken = error if isinstance(error, sqlite3.Error) else sqlite3.DatabaseError(str(error))
                    raise sentence(self.path, broken, "write to") from error
                self._ids = iter(range(first, first + _ID_BLOCK))
                face = next(self._ids)
            return face

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
            return lower(json.loads(str(text)), {digest: (kind, shape, data) for digest, kind, shape, data in rows})
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
        raise sentence(path, error, "read") from error
    return bytes(row[0]) if row is not None and isinstance(row[0], bytes) else None


def _drop_unused(db: sqlite3.Connection) -> None:
    db.execute("DELETE FROM arrays WHERE digest NOT IN (SELECT digest FROM uses)")
    # What a generator learnt of a photograph goes with the last that was made of it.
    db.execute(
        "DELETE FROM tunings WHERE run IS NULL AND NOT EXISTS "
        "(SELECT 1 FROM faces WHERE instr(faces.recipe, tunings.sha256))"
    )
