"""What the window is about: the current face, the plane, the mixer's faces, and the way back.

Everything that a person does makes a new `State`; one kind of undo command goes from one state to another. Panels read
``session.state``, call ``session.edit`` and listen to ``session.changed``, which fires on every edit, undo and redo.
"""

from __future__ import annotations

import contextlib
import json
import tempfile
import time
from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import zip_longest
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
from PySide6.QtCore import QObject, QTimer, Signal
from PySide6.QtGui import QUndoCommand, QUndoStack

from facelab import settings
from facelab.errors import FacelabError
from facelab.jobs import GeneratorInfo
from facelab.latent.code import Code
from facelab.latent.mixing_table import MixingTable
from facelab.latent.plane import Lattice, Plane, Surface, surface_from_json
from facelab.latent.recipe import Recipe
from facelab.latent.spaces import layer_groups
from facelab.settings import Settings

if TYPE_CHECKING:
    from facelab.project import Project

MERGE_SECONDS = 0.6  # turns of the wheel and keys that follow one another so soon are one step of undo
UNDO_STEPS = 500
SAVE_AFTER_MS = 800
FEWEST_SLOTS = 2
SEEDS = 10_000  # random faces come from seeds below, which a person can remember


@dataclass(frozen=True)
class State:
    """All that undo brings back.

    Attributes:
        recipe: the current face; None only before the first generator is open.
        plane: the plane of faces, or the lattice of seeds.
        slots: the mixer's faces, at least two places, the empty ones last; the first is the face that the others are mixed
            into. A face in a slot is a recipe of one source. ``recipe.sources`` are those of the first slots, in order; what
            part each has is told by ``recipe.weights``, and slots beyond have none.
        table: the mixing table's faces and layers.
    """

    recipe: Recipe | None = None
    plane: Surface | None = None
    slots: tuple[Recipe | None, ...] = (None,) * FEWEST_SLOTS
    table: MixingTable | None = None

    def to_json(self) -> dict[str, Any]:
        """What the project keeps of it: plain JSON."""
        return {
            "recipe": None if self.recipe is None else self.recipe.to_json(),
            "plane": None if self.plane is None else self.plane.to_json(),
            "slots": [None if slot is None else slot.to_json() for slot in self.slots],
            "table": None if self.table is None else self.table.to_json(),
        }

    @classmethod
    def from_json(cls, value: object) -> State:
        """The state of `to_json`.

        Raises:
            BadArgument: a recipe or the plane in it cannot be read.
        """
        if not isinstance(value, dict):
            return cls()
        recipe, plane, slots, table = (value.get(name) for name in ("recipe", "plane", "slots", "table"))
        places = tuple(None if s is None else Recipe.from_json(s) for s in slots) if isinstance(slots, list) else ()
        return cls(
            recipe=None if recipe is None else Recipe.from_json(recipe),
            plane=None if plane is None else surface_from_json(plane),
            slots=places + (None,) * (FEWEST_SLOTS - len(places)),
            table=None if table is None else MixingTable.from_json(table),
        )


class Edit(QUndoCommand):
    """One step from a state to another."""

    def __init__(self, session: Session, text: str, after: State, merge: Hashable | None) -> None:
        super().__init__(text)
        self._session = session
        self.before = session.state
        self.after = after
        self.merge = merge
        self.when = session.clock()

    def redo(self) -> None:
        self._session._show(self.after)

    def undo(self) -> None:
        self._session._show(self.before)

    def id(self) -> int:
        return 1 if self.merge is not None else -1

    def mergeWith(self, other: QUndoCommand) -> bool:
        """Take a later edit in, when both belong to one drag, or to one quick row of keys."""
        if not isinstance(other, Edit) or other.merge != self.merge:
            return False
        if not isinstance(self.merge, _Drag) and other.when - self.when > MERGE_SECONDS:
            return False
        self.after, self.when = other.after, other.when
        self.setText(other.text())
        self.setObsolete(self.after == self.before)
        return True


@dataclass(frozen=True)
class _Drag:
    """The merge token of everything between a press and its release."""

    number: int


class Session(QObject):
    """The state of the window, its undo stack, the open generator and the open project.

    Signals:
        changed: (after, before), on every edit, undo and redo.
        generator_changed: the `GeneratorInfo` that was opened, or None.
        project_changed: the `Project` that was opened.
        library_changed: faces of the project came, went, or were named anew.
        locks_changed: other layers of the current face are locked.
        settings_changed: the `Settings`, after `configure`.
        project_failed: a `ProjectError` of a write in the background; may be emitted on any thread.
        drag_ended: what was dragged is let go.
        files_offered: paths were dropped or pasted somewhere; the window looks what they are.
    """

    changed = Signal(object, object)
    generator_changed = Signal(object)
    project_changed = Signal(object)
    library_changed = Signal()
    locks_changed = Signal()
    settings_changed = Signal(object)
    project_failed = Signal(object)
    drag_ended = Signal()
    files_offered = Signal(object)

    def __init__(self, project: Project, settings: Settings | None = None, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self.settings = settings or Settings()
        self.clock: Callable[[], float] = time.monotonic
        self.state = State()
        self.locked: frozenset[int] = frozenset()
        self.generator: GeneratorInfo | None = None
        self.stack = QUndoStack(self)
        self.stack.setUndoLimit(UNDO_STEPS)
        self._project = project
        project.on_error = self.project_failed.emit
        self._paths: dict[str, Path | None] = {}
        self._drag: _Drag | None = None
        self._drags = 0
        self._closed = False
        self._scratch: tempfile.TemporaryDirectory[str] | None = None
        self._save_soon = QTimer(self, singleShot=True, interval=SAVE_AFTER_MS)
        self._save_soon.timeout.connect(self.save)
        self._restore()

    # -- edits ----------------------------------------------------------------------------------------------------
    def edit(self, text: str, *, merge: Hashable | None = None, **fields: Any) -> None:
        """Change some fields of the state, as one step of undo.

        Args:
            text: what is done, as undo names it: "Move plane".
            merge: edits with equal tokens that follow one another within 0.6 s are one step (wheel and keys). Within a drag
                everything is one step anyway.
            fields: of `State`. The mixer's slots follow the sources of a recipe that is given alone.
        """
        recipe = fields.get("recipe")
        if recipe is not None and "slots" not in fields:
            fields["slots"] = self._slots_for(recipe)
        after = replace(self.state, **fields)
        if after != self.state:
            self.stack.push(Edit(self, text, after, self._drag or merge))

    def change(self, text: str, *, merge: Hashable | None = None, **fields: Any) -> None:
        """Change some fields of the current recipe, as one step of undo; nothing when there is no face yet."""
        if self.state.recipe is not None:
            self.edit(text, merge=merge, recipe=self.state.recipe.change(**fields))

    def begin_drag(self) -> None:
        """From here to `end_drag`, all edits are one step of undo."""
        self._drags += 1
        self._drag = _Drag(self._drags)

    def end_drag(self) -> None:
        self._drag = None
        self.drag_ended.emit()

    @property
    def dragging(self) -> bool:
        """Whether something is being dragged: the face will change again at once."""
        return self._drag is not None

    @contextlib.contextmanager
    def drag(self) -> Iterator[None]:
        """`begin_drag` and `end_drag` around a block."""
        self.begin_drag()
        try:
            yield
        finally:
            self.end_drag()

    def take(self, recipe: Recipe, text: str = "Take face", *, merge: Hashable | None = None) -> None:
        """Make a recipe the current face. Its sources go to the mixer's first slots; the faces in the further slots stay."""
        self.edit(text, merge=merge, recipe=recipe, slots=self._slots_for(recipe))

    def take_code(self, code: Code, text: str = "Take face", *, merge: Hashable | None = None) -> None:
        """Make a code the current face, dressed like the one before (see `dressed`)."""
        self.take(self.dressed(code), text, merge=merge)

    def dressed(self, code: Code) -> Recipe:
        """A code with the psi, directions, noise and transform of the current face, as far as they fit it."""
        now = self.state.recipe
        if now is None or now.generator != code.generator:
            return Recipe.of(code)
        noise = Recipe.of(code).noise if code.noise or now.noise.mode == "own" else now.noise
        return now.change(sources=(code,), weights=(), noise=noise)

    def of_seed(self, seed: int) -> Recipe | None:
        """The face of a seed, dressed like the current one; None before a generator is open."""
        g = self.generator
        return None if g is None else self.dressed(Code.from_seed(seed, g.z_dim, g.sha256, self.label))

    # -- chance -----------------------------------------------------------------------------------------------------
    def lock(self, layers: Iterable[int], on: bool) -> None:
        """Lock layers of the current face, which chance then leaves alone; or let them go."""
        locked = self.locked | set(layers) if on else self.locked - set(layers)
        if locked != self.locked:
            self.locked = frozenset(locked)
            self.locks_changed.emit()

    def take_random(self, seed: int) -> None:
        """Take the face of a seed, but for the layers that are locked."""
        made = self.of_seed(seed)
        if made is not None:
            self.take(self._keeping_locked(made), "Random face")

    def surprise(self, random: np.random.Generator) -> None:
        """Take a chance mix of two faces, layers that are locked left alone."""
        info = self.generator
        pair = [self.of_seed(int(seed)) for seed in random.integers(0, SEEDS, 2)]
        if info is None or pair[0] is None or pair[1] is None:
            return
        share = np.zeros(info.num_ws)
        for rows in layer_groups(info.family, info.num_ws).values():
            share[list(rows)] = random.choice([0.0, 0.5, 1.0])
        mixed = pair[0].change(
            sources=(*pair[0].sources, *pair[1].sources),
            weights=tuple(tuple(round(float(x), 6) for x in row) for row in (1 - share, share)),
        )
        self.take(self._keeping_locked(mixed), "Surprise")

    def _keeping_locked(self, new: Recipe) -> Recipe:
        """A new face with the locked layers of the current one: the current sources come along with their weights there."""
        now, info = self.state.recipe, self.generator
        if now is None or info is None or not self.locked or now.generator != new.generator:
            return new
        locked = np.isin(np.arange(info.num_ws), list(self.locked))

        def rows(recipe: Recipe, where: npt.NDArray[np.bool_]) -> npt.NDArray[np.float32]:
            table = np.stack([np.broadcast_to(np.asarray(w, np.float32), (info.num_ws,)) for w in recipe.weights])
            total = table.sum(0)
            return np.where(where, np.divide(table, total, out=np.zeros_like(table), where=np.abs(total) > 1e-6), 0)

        parts = {code: np.zeros(info.num_ws, np.float32) for code in (*new.sources, *now.sources)}
        for recipe, where in ((new, ~locked), (now, locked)):
            for code, row in zip(recipe.sources, rows(recipe, where), strict=True):
                parts[code] += row
        used = {code: row for code, row in parts.items() if np.any(row)}
        return new.change(
            sources=tuple(used), weights=tuple(tuple(round(float(x), 6) for x in row) for row in used.values())
        )

    def _slots_for(self, recipe: Recipe) -> tuple[Recipe | None, ...]:
        now = self.state.slots
        first = tuple(
            slot if slot is not None and slot.sources[0] == code else Recipe.of(code)
            for code, slot in zip_longest(recipe.sources, now[: len(recipe.sources)])
        )
        rest = tuple(s for s in now[len(first) :] if s is not None and s.generator == recipe.generator)
        return first + rest + (None,) * (FEWEST_SLOTS - len(first + rest))

    def _show(self, state: State) -> None:
        before, self.state = self.state, state
        self._save_soon.start()
        self.changed.emit(state, before)

    # -- the generator ----------------------------------------------------------------------------------------------
    def open_generator(self, info: GeneratorInfo, start: State | None = None) -> None:
        """A generator was opened. A current face that is another generator's gives way to ``start``, as a step of undo.

        Args:
            info: of the generator.
            start: what to show when the current face does not belong to it; the face of seed 0 where None is given.
        """
        self.generator = info
        self._paths[info.sha256] = None if info.path is None else Path(info.path)
        now = self.state.recipe
        self.generator_changed.emit(info)
        if now is not None and now.generator == info.sha256:
            self.changed.emit(self.state, self.state)  # what could not be drawn before can be drawn now
            return
        state = start or self._start(info)
        if now is None:
            self._show(state)  # the first face is where undo ends
        else:
            self.edit(f"Open {info.name}", recipe=state.recipe, plane=state.plane, slots=state.slots, table=state.table)

    def path_of(self, generator: str) -> Path | None:
        """Where a generator that was open in this session lies; None is the embedded one.

        Raises:
            KeyError: it was not open in this session.
        """
        return self._paths[generator]

    @property
    def label(self) -> int | None:
        """The class that new faces are drawn of: the current face's; None where the generator has no classes."""
        if self.generator is None or not self.generator.c_dim:
            return None
        sources = () if self.state.recipe is None else self.state.recipe.sources
        found = next((code.label for code in sources if code.label is not None), 0)
        return min(found, self.generator.c_dim - 1)

    def choose_class(self, label: int, *, merge: Hashable | None = "class") -> None:
        """Draw the current face, and the plane, of another class. A code in W has been mapped and keeps what it is."""
        recipe, plane = self.state.recipe, self.state.plane
        if recipe is None:
            return

        def of_class(code: Code) -> Code:
            return replace(code, label=label) if code.space == "z" else code

        if isinstance(plane, Lattice):
            plane = replace(plane, label=label)
        elif plane is not None and plane.space == "z":
            x, y = (of_class(end) if isinstance(end, Code) else end for end in (plane.x, plane.y))
            plane = Plane(origin=of_class(plane.origin), x=x, y=y)
        sources = tuple(of_class(code) for code in recipe.sources)
        self.edit(f"Class {label}", merge=merge, recipe=recipe.change(sources=sources), plane=plane)

    def _start(self, info: GeneratorInfo) -> State:
        label = 0 if info.c_dim else None
        a, b, c = (Code.from_seed(seed, info.z_dim, info.sha256, label) for seed in (0, 1, 2))
        return State(recipe=Recipe.of(a), plane=Plane(origin=a, x=b, y=c), slots=(Recipe.of(a), None))

    # -- settings ---------------------------------------------------------------------------------------------------
    def configure(self, **values: Any) -> None:
        """Change settings, and write them.

        Raises:
            BadArgument: a value is not allowed; nothing changes.
            ExportError: they hold now, but could not be written.
        """
        self.settings = self.settings.change(**values)
        self.settings_changed.emit(self.settings)
        settings.save(self.settings)

    # -- the project ------------------------------------------------------------------------------------------------
    @property
    def project(self) -> Project:
        return self._project

    def open_project(self, project: Project) -> None:
        """Go over to another project: its state, and a new undo stack. The former one is saved and closed."""
        self.save()
        former, self._project = self._project, project
        project.on_error = self.project_failed.emit
        try:
            former.close()
        except FacelabError as error:  # a full disk, say: the other project opens all the same
            self.project_failed.emit(error)
        self.stack.clear()
        before = self.state
        self._restore()
        if self.state.recipe is None:
            self.state = before
        self.project_changed.emit(project)
        self.changed.emit(self.state, before)

    def save(self) -> None:
        """Write the state into the project; called by itself soon after each change. Does nothing after `close`."""
        self._save_soon.stop()
        if self._closed:
            return
        self._project.set_meta("state", self.state.to_json())

    def scratch(self) -> Path:
        """A folder for files that other programs take or gave, gone when the session closes."""
        if self._scratch is None:
            self._scratch = tempfile.TemporaryDirectory(prefix="facelab-")
        return Path(self._scratch.name)

    def close(self) -> None:
        """Save, and close the project; further calls do nothing.

        Raises:
            ProjectError: something could not be written.
        """
        if not self._closed:
            try:
                self.save()
            finally:
                self._closed = True
                if self._scratch is not None:
                    self._scratch.cleanup()
                self._project.close()

    def _restore(self) -> None:
        # A state that cannot be read any more (a newer facelab wrote it) costs the view, never the library.
        with contextlib.suppress(FacelabError, json.JSONDecodeError):
            self.state = State.from_json(self._project.meta("state"))


def plain(recipe: Recipe) -> bool:
    """Whether a recipe is one code and nothing else (noise apart)."""
    return len(recipe.sources) == 1 and not recipe.directions and set(recipe.psi) == {1.0}


def describe(recipe: Recipe | None) -> str:
    """A face in a few words: "seed 7", "seed 7 + seed 12 · ψ 0.7"."""
    if recipe is None:
        return "no face"
    used = [c for c, w in zip(recipe.sources, recipe.weights, strict=True) if any(w)]
    said = " + ".join(_origin(c) for c in used[:3]) + (f" + {len(used) - 3} more" if len(used) > 3 else "")
    if recipe.tuning is not None:
        said += ", tuned"
    if set(recipe.psi) != {1.0}:
        said += f" · ψ {recipe.psi[0]:.2f}" if len(recipe.psi) == 1 else " · ψ by layer"
    if any(a.amount for a in recipe.directions):
        said += f" · {_directions(recipe)}"
    return said


def _directions(recipe: Recipe) -> str:
    used = [a for a in recipe.directions if a.amount]
    return used[0].direction.name if len(used) == 1 else f"{len(used)} directions"


def _origin(code: Code) -> str:
    origin = code.origin
    if "name" in origin:
        return str(origin["name"])
    if "seed" in origin:
        return f"seed {origin['seed']}"
    if "photo" in origin:
        return f"photo {origin['photo']}" if origin["photo"] else "a photograph"
    if "expression" in origin:
        return str(origin["expression"])
    if "plane" in origin:
        return "plane ({:.2f}, {:.2f})".format(*_pair(origin["plane"]))
    return {"z": "a code in Z", "w": "a code in W", "w+": "a code in W+"}[code.space]


def _pair(value: object) -> Sequence[float]:
    ok = isinstance(value, list) and len(value) == 2 and all(isinstance(x, int | float) for x in value)
    return value if ok else (0.0, 0.0)  # type: ignore[return-value]
