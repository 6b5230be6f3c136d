"""What goes into the current face: other faces layer by layer, truncation, noise, StyleGAN3's position."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial

import numpy as np
from PySide6.QtCore import QPoint, QSize, Qt
from PySide6.QtWidgets import (
    QApplication,
    QCheckBox,
    QComboBox,
    QGridLayout,
    QHBoxLayout,
    QLabel,
    QMenu,
    QToolButton,
    QVBoxLayout,
    QWidget,
)

from facelab.jobs import Answer, Codes, GeneratorInfo, Images, Resolve, Thumbnails
from facelab.latent.code import Code, Floats
from facelab.latent.recipe import Noise, Recipe, Transform
from facelab.latent.spaces import layer_groups, psi_by_layer
from facelab.ui import theme
from facelab.ui.face_view import FaceView
from facelab.ui.numbers import ValueSlider, Whole
from facelab.ui.panels.base import Panel
from facelab.ui.session import FEWEST_SLOTS, SEEDS, Session, State, describe
from facelab.ui.widgets import Column, Section, Wide, quiet, tool
from facelab.worker import Client

SLOT, SMALL_SLOT = 72, 56  # px, of a face; the small ones where there are more than
FEW = 3
LABEL = 84  # px, of the names of rows
MOST_SLOTS = 12
ALL = "All layers"


def shares(recipe: Recipe, slots: int, num_ws: int) -> Floats:
    """How much of each slot's face is in each layer, [S, L], each layer's sum 1."""
    table = np.zeros((slots, num_ws), np.float32)
    for row, weights in zip(table, recipe.weights, strict=False):
        row[:] = weights
    total = table.sum(0)
    result: Floats = np.divide(table, total, out=np.zeros_like(table), where=np.abs(total) > 1e-6)
    return result


def mixed(recipe: Recipe, slots: Sequence[Recipe | None], table: Floats) -> Recipe:
    """The recipe with the slots' faces mixed by a table of shares [S, L]; slots at the end that have no part are left out."""
    filled = [slot.sources[0] for slot in slots if slot is not None]
    used = max([1, *(i + 1 for i in range(len(filled)) if np.any(table[i]))])
    return recipe.change(
        sources=tuple(filled[:used]),
        weights=tuple(_short(table[i]) for i in range(used)),
        noise=_noise_for(recipe, filled[:used]),
    )


def _short(row: Floats) -> tuple[float, ...]:
    values = tuple(round(float(x), 6) for x in row)
    return values[:1] if len(set(values)) == 1 else values


def _noise_for(recipe: Recipe, codes: Sequence[Code]) -> Noise:
    own = recipe.noise.mode == "own" and not any(code.noise for code in codes)
    return Noise() if own else recipe.noise


class Slot(QWidget):
    """One face of the mixer, with its letter."""

    def __init__(self, index: int) -> None:
        super().__init__()
        letter = chr(ord("A") + index)
        self.index = index
        first = index == 0
        self.face = FaceView(
            f"Face {letter}",
            side=SLOT,
            takes=True,
            takes_files=True,
            hint="" if first else "Drop a face, or click",
            drop_hint="Replace" if first else "Mix in",
        )
        self.face.setToolTip(
            f"Face {letter}: the others are mixed into it; drop another face here"
            if first
            else f"Face {letter}: drop a face here, or click for a menu"
        )
        self.name = QLabel(letter)
        self.name.setProperty("quiet", True)
        self.name.setProperty("small", True)
        self.name.setAlignment(Qt.AlignmentFlag.AlignCenter)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(2)
        column.addWidget(self.face)
        column.addWidget(self.name)


@dataclass(eq=False)
class _Fold:
    """The layers of a group: the line of the group in the grid, below which theirs are, and their widgets once they were unfolded."""

    rows: range
    line: int
    button: QToolButton
    lock: QToolButton
    widgets: list[QWidget] = field(default_factory=list)


class MixerPanel(Panel):
    """A slider for every layer and every face that is mixed in, groups of layers, psi, noise, position."""

    title = "Mixer"
    area = Qt.DockWidgetArea.RightDockWidgetArea
    hint = "Mix faces layer by layer; truncation and noise"
    keys = (
        ("Arrow keys", "Move a slider; with Shift in larger steps"),
        ("Double-click", "Reset a slider"),
        ("Shift and drag", "Move all layers of the group"),
        ("Right click on a row, or the menu key", "Insert or reset its layers, copy it to all"),
        ("Delete on a face", "Take it out of the mix"),
    )

    def __init__(self, session: Session, client: Client) -> None:
        super().__init__(session, client)
        self._random = np.random.default_rng()
        self._asked: dict[int, Recipe] = {}
        self._built_for = ""  # the generator that the rows were made for
        self._heads: list[QLabel] = []  # the letters over the columns, one for each face that is mixed in
        self._groups: list[tuple[str, range]] = []
        self._layer_rows: dict[tuple[int, int], ValueSlider] = {}  # (slot, layer), of groups that were unfolded
        self._folds: dict[str, _Fold] = {}
        self._group_rows: dict[tuple[int, str], ValueSlider] = {}
        self._psi_rows: list[ValueSlider] = []
        self._strength_rows: list[ValueSlider] = []
        self._open_groups: set[str] = set()
        self._locks: list[tuple[range, QToolButton]] = []

        content = QWidget()
        self._column = QVBoxLayout(content)
        self._column.setContentsMargins(theme.GRID, theme.GRID, theme.GRID, theme.GRID)
        self._column.setSpacing(theme.GRID)
        self.body.addWidget(Column(content))

        self._slots: list[Slot] = []
        matrix = QWidget()
        columns = QVBoxLayout(matrix)
        columns.setContentsMargins(0, 0, 0, 0)
        columns.setSpacing(theme.GRID)
        self._column.addWidget(Wide(matrix))
        self._slot_row = QHBoxLayout()
        self._slot_row.setSpacing(theme.GRID)
        columns.addLayout(self._slot_row)
        self._swap = tool("Swap A and B", "swap", self.swap, tip="Swap the faces A and B")
        self._add = tool("Add a face", "plus", self.add_slot, tip="Mix in one face more")
        self._mix = QWidget()
        self._mix_grid = QGridLayout(self._mix)
        self._mix_grid.setContentsMargins(0, 0, 0, 0)
        self._mix_grid.setHorizontalSpacing(theme.GRID)
        self._mix_grid.setVerticalSpacing(2)
        columns.addWidget(self._mix)
        self._build_truncation()
        self._build_noise()
        self._build_position()
        self._column.addStretch(1)

        session.changed.connect(self._changed)
        session.generator_changed.connect(lambda _: self._changed(session.state))
        session.locks_changed.connect(self._show_locks)
        self._changed(session.state)

    # -- what is shown ----------------------------------------------------------------------------------------------
    def _changed(self, state: State, before: State | None = None) -> None:
        g, recipe = self.session.generator, state.recipe
        ready = g is not None and recipe is not None and recipe.generator == g.sha256
        self.setEnabled(ready)
        self._show_slots(state, drawable=ready)
        if g is None or recipe is None or not ready:
            return
        if self._built_for != g.sha256:
            self._built_for = g.sha256
            self._drop_layers(g)
            self._build_rows(g)
            for name in self._folds:
                self._show_fold(name, g)
            self._show_locks()
        if len(self._heads) != len(state.slots) - 1:
            self._fit_columns(g, len(state.slots))
        self._show_weights(recipe, state, g)
        self._show_truncation(recipe, g)
        self._show_noise(recipe, g)
        self._show_position(recipe, g)

    # -- faces ------------------------------------------------------------------------------------------------------
    def _show_slots(self, state: State, drawable: bool) -> None:
        if len(self._slots) != len(state.slots):
            self._place_slots(len(state.slots))
        wanted: list[tuple[int, Recipe]] = []
        for slot, face in zip(self._slots, state.slots, strict=True):
            slot.face.setToolTip(slot.face.toolTip())
            if slot.face.recipe != face:
                slot.face.set_face(face)
            slot.name.setText(chr(ord("A") + slot.index))
            if face is not None:
                slot.face.setAccessibleDescription(describe(face))
                if drawable and self._asked.get(slot.index) != face:
                    wanted.append((slot.index, face))
            else:
                self._asked.pop(slot.index, None)
        if wanted:
            self._asked.update(wanted)
            self.submit(
                Thumbnails(recipes=tuple(face for _, face in wanted), resolution=128), partial(self._thumbnails, wanted)
            )

    def _thumbnails(self, wanted: Sequence[tuple[int, Recipe]], answer: Answer) -> None:
        if isinstance(answer, Images):
            for (index, face), pixels in zip(wanted, answer.pixels, strict=True):
                if index < len(self._slots) and self._slots[index].face.recipe == face:
                    self._slots[index].face.set_pixels(pixels)

    def _place_slots(self, count: int) -> None:
        while (item := self._slot_row.takeAt(0)) is not None:
            widget = item.widget()
            if isinstance(widget, Slot):
                widget.hide()
        for slot in self._slots[count:]:
            slot.deleteLater()
        del self._slots[count:]
        while len(self._slots) < count:
            slot = Slot(len(self._slots))
            slot.face.dropped.connect(partial(self.put, slot.index))
            slot.face.files_dropped.connect(self.session.files_offered)
            slot.face.clicked.connect(partial(self._slot_menu, slot.index))
            slot.face.cleared.connect(partial(self.clear, slot.index))
            slot.face.setContextMenuPolicy(Qt.ContextMenuPolicy.CustomContextMenu)
            slot.face.customContextMenuRequested.connect(lambda _, index=slot.index: self._slot_menu(index))
            self._slots.append(slot)
        side = SLOT if count <= FEW else SMALL_SLOT
        for slot in self._slots:
            slot.face.setFixedSize(side, side)
            self._slot_row.addWidget(slot, 0, Qt.AlignmentFlag.AlignTop)
            slot.show()
            if slot.index == 0:
                self._slot_row.addWidget(self._swap)
        self._slot_row.addWidget(self._add)
        self._slot_row.addStretch(1)
        self._add.setVisible(count < MOST_SLOTS)
        for index in [i for i in self._asked if i >= count]:
            del self._asked[index]

    def _slot_menu(self, index: int) -> None:
        slot = self._slots[index]
        menu = QMenu(self)
        menu.addAction("Random face", partial(self.random, index))
        face = slot.face.recipe
        if index > 0:
            take = menu.addAction("Make it the current face", lambda: self.session.take(face) if face else None)
            take.setEnabled(face is not None)
            gone = menu.addAction("Clear" if len(self._slots) <= FEWEST_SLOTS else "Remove", partial(self.clear, index))
            gone.setEnabled(face is not None or len(self._slots) > FEWEST_SLOTS)
        menu.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        menu.popup(slot.face.mapToGlobal(QPoint(0, slot.face.height())))

    def random(self, index: int) -> None:
        """Put a random face into a slot."""
        made = self.session.of_seed(int(self._random.integers(SEEDS)))
        if made is not None:
            self._put_code(index, made.sources[0], "Random face")

    def put(self, index: int, face: Recipe) -> None:
        """Put a face into a slot. One that is more than a code (mixed, truncated, moved) is worked out to one first."""
        now = self.session.state.recipe
        if now is None or face.generator != now.generator:
            self.say("this face belongs to another generator; open that one, or choose another face")
            return
        bare = face.change(noise=Noise())
        # What wears the same psi and directions as the current face looks the same as its bare code here.
        if (
            bare == now.change(sources=face.sources, weights=face.weights, noise=Noise()) and len(face.sources) == 1
        ) or bare == Recipe.of(face.sources[0]).change(noise=Noise()):
            self._put_code(index, face.sources[0], "Drop face")
        else:
            self.submit(Resolve(recipes=(face,)), partial(self._resolved, index, describe(face)))

    def _resolved(self, index: int, name: str, answer: Answer) -> None:
        if isinstance(answer, Codes) and index < len(self._slots):
            code = answer.codes[0]
            if not {"name", "photo", "seed"} & set(code.origin):
                code = Code(array=code.array, space=code.space, generator=code.generator, origin={"name": name}, noise=code.noise)  # fmt: skip
            self._put_code(index, code, "Drop face")

    def _put_code(self, index: int, code: Code, text: str) -> None:
        state, g = self.session.state, self.session.generator
        if state.recipe is None or g is None or code.generator != g.sha256:
            return
        slots = list(state.slots)
        filled = sum(s is not None for s in slots)
        index = min(index, filled)  # the empty slots are the last
        table = shares(state.recipe, len(slots), g.num_ws)
        if index > 0 and not np.any(table[index]):
            # A face that comes in without a part would change nothing to be seen.
            table *= 0.5
            table[index] = 0.5
        slots[index] = Recipe.of(code)
        self.session.edit(text, recipe=mixed(state.recipe, slots, table), slots=tuple(slots))

    def clear(self, index: int) -> None:
        """Empty a slot; further ones are taken away. The face A stays."""
        state, g = self.session.state, self.session.generator
        if index == 0 or state.recipe is None or g is None:
            return
        slots = [s for i, s in enumerate(state.slots) if i != index]
        table = np.delete(shares(state.recipe, len(state.slots), g.num_ws), index, 0)
        table[0, np.abs(table.sum(0)) < 1e-6] = 1  # what only that face had goes back to A
        slots += [None] * (FEWEST_SLOTS - len(slots))
        self.session.edit("Clear face", recipe=mixed(state.recipe, slots, _normalised(table)), slots=tuple(slots))

    def add_slot(self) -> None:
        """One slot more."""
        state = self.session.state
        if len(state.slots) < MOST_SLOTS:
            self.session.edit("Add a place", slots=(*state.slots, None))

    def swap(self) -> None:
        """A becomes B and B becomes A; the sliders stay where they are."""
        state, g = self.session.state, self.session.generator
        if state.recipe is None or g is None or state.slots[1] is None:
            return
        slots = (state.slots[1], state.slots[0], *state.slots[2:])
        table = shares(state.recipe, len(slots), g.num_ws)
        self.session.edit("Swap faces", recipe=mixed(state.recipe, slots, table), slots=slots)

    # -- weights ----------------------------------------------------------------------------------------------------
    def _build_rows(self, g: GeneratorInfo) -> None:
        """The rows without their sliders: names, folds and locks. A column of sliders comes with each face."""
        _empty(self._mix_grid)
        self._layer_rows.clear()
        self._folds.clear()
        self._group_rows.clear()
        self._locks.clear()
        self._heads.clear()
        self._groups = [(name, rows) for name, rows in layer_groups(g.family, g.num_ws).items() if rows]
        grid, line = self._mix_grid, 1  # the letters of the columns stand in the first
        grid.addWidget(self._row_name(ALL, "All layers together", range(g.num_ws)), line, 1)
        for name, rows in self._groups:
            line += 1
            title = name.capitalize()
            fold = tool(f"Layers of {title}", "right", tip=f"Show the {len(rows)} layers one by one")
            fold.setIconSize(QSize(14, 14))
            grid.addWidget(fold, line, 0)
            lock = self._lock(grid, line, rows, title)
            sizes = [g.layers[i].resolution for i in rows]
            span = f"{sizes[0]}–{sizes[-1]} px" if sizes[0] != sizes[-1] else f"{sizes[0]} px"
            grid.addWidget(self._row_name(title, f"{title}: layers {rows[0]} to {rows[-1]}, {span}", rows), line, 1)
            self._folds[name] = _Fold(rows, line, fold, lock)
            fold.clicked.connect(partial(self._turn, name))
            line += len(rows)  # kept free: layers are built when they are first asked for
        self._last = line + 1
        self._hard = QCheckBox("Hard: all of one face in a layer")
        self._hard.setToolTip("Sliders snap to nothing or all of a face")
        grid.setColumnMinimumWidth(0, 24)
        grid.setColumnMinimumWidth(1, LABEL)

    def _fit_columns(self, g: GeneratorInfo, slots: int) -> None:
        """A column for each face that is mixed in. Those that are there stay: to build them all takes long."""
        while len(self._heads) > slots - 1:
            self._drop_column(len(self._heads))
        while len(self._heads) < slots - 1:
            self._add_column(g, len(self._heads) + 1)
        self._mix_grid.removeWidget(self._hard)
        self._mix_grid.addWidget(self._hard, self._last, 1, 1, slots)  # no wider: columns that it spans take room
        few = slots == FEWEST_SLOTS  # there is room for a number beside each slider
        if self._heads[0].isHidden() != few:
            self._heads[0].setVisible(not few)
            for (source, _), row in [*self._group_rows.items(), *self._layer_rows.items()]:
                if source == 1:
                    row.number.setVisible(few)

    def _add_column(self, g: GeneratorInfo, source: int) -> None:
        head = quiet(chr(ord("A") + source), small=True)
        head.setAlignment(Qt.AlignmentFlag.AlignCenter)
        self._heads.append(head)
        grid = self._mix_grid
        if source == 1:
            head.hide()
        grid.addWidget(head, 0, source + 1)
        grid.setColumnStretch(source + 1, 1)
        for name, line, rows in [("all", 1, range(g.num_ws)), *((n, f.line, f.rows) for n, f in self._folds.items())]:
            row = self._weight(line, source, ALL if name == "all" else name.capitalize(), rows, self._group_moved)
            before = self._group_rows.get((source - 1, name))
            self._group_rows[source, name] = row
            _tab_after(before or (self._add if name == "all" else self._folds[name].lock), row)
        for fold in self._folds.values():
            if fold.widgets:
                for line, layer in enumerate(fold.rows, fold.line + 1):
                    row = self._layer_weight(line, source, layer)
                    if fold.widgets[0].isHidden():
                        row.hide()  # else the layout shows it, at its time
                    fold.widgets.append(row)
                    _tab_after(self._layer_rows[source - 1, layer], row)

    def _drop_column(self, source: int) -> None:
        gone: list[QWidget] = [self._heads.pop()]
        gone += [self._group_rows.pop(key) for key in list(self._group_rows) if key[0] == source]
        gone += [self._layer_rows.pop(key) for key in list(self._layer_rows) if key[0] == source]
        for fold in self._folds.values():
            fold.widgets = [widget for widget in fold.widgets if widget not in gone]
        self._mix_grid.setColumnStretch(source + 1, 0)
        for widget in gone:
            self._mix_grid.removeWidget(widget)
            widget.hide()
            widget.deleteLater()

    def _build_layers(self, fold: _Fold, g: GeneratorInfo) -> list[QWidget]:
        """A row for each layer of a group, where the group left room for them."""
        made = list[QWidget]()
        for line, layer in enumerate(fold.rows, fold.line + 1):
            info, only = g.layers[layer], range(layer, layer + 1)
            label = self._row_name(f"{layer} · {info.resolution} px", f"Layer {layer}: {info.name}", only)
            label.setProperty("quiet", True)
            self._mix_grid.addWidget(label, line, 1)
            made.append(label)
            made += [self._layer_weight(line, source, layer) for source in range(1, len(self._heads) + 1)]
            made.append(self._lock(self._mix_grid, line, only, f"layer {layer}"))
        before: QWidget = fold.button  # the Tab key goes through them in their places, not last
        for widget in made:
            before = _tab_after(before, widget)
        return made

    def _layer_weight(self, line: int, source: int, layer: int) -> ValueSlider:
        row = self._weight(line, source, f"Layer {layer}", range(layer, layer + 1), self._layer_moved)
        self._layer_rows[source, layer] = row
        return row

    def _turn(self, name: str) -> None:
        """Unfold a group of layers, or fold it."""
        g, recipe = self.session.generator, self.session.state.recipe
        self._open_groups ^= {name}
        if g is not None and recipe is not None:
            self._show_fold(name, g)
            self._show_locks()
            self._show_weights(recipe, self.session.state, g)

    def _show_fold(self, name: str, g: GeneratorInfo) -> None:
        fold, shown = self._folds[name], name in self._open_groups
        if shown and not fold.widgets:
            fold.widgets = self._build_layers(fold, g)
        fold.button.setIcon(theme.icon("down" if shown else "right"))
        for widget in fold.widgets:
            widget.setVisible(shown)

    def _lock(self, grid: QGridLayout, line: int, rows: range, name: str) -> QToolButton:
        made = tool(
            f"Lock {name}", "unlock", tip=f"Lock {name}: random faces and surprises leave it alone", checkable=True
        )
        made.setIconSize(QSize(14, 14))
        made.clicked.connect(lambda on: self.session.lock(rows, on))
        grid.addWidget(made, line, MOST_SLOTS + 1)
        self._locks.append((rows, made))
        return made

    def _show_locks(self) -> None:
        for rows, each in self._locks:
            on = all(layer in self.session.locked for layer in rows)
            each.setChecked(on)
            each.setIcon(theme.icon("lock" if on else "unlock"))

    def _weight(
        self, line: int, source: int, name: str, rows: range, moved: Callable[[int, range, float], None]
    ) -> ValueSlider:
        letter = chr(ord("A") + source)
        row = ValueSlider(
            f"{name}, face {letter}",
            0.0,
            1.0,
            0.0,
            label="",
            reach=(-2.0, 3.0),
            numbered=source == 1,
            tip=f"How much of face {letter}; double-click for none, Shift moves the whole group",
        )
        if source == 1:
            row.number.setVisible(len(self._slots) == FEWEST_SLOTS)
        self._wire(row, partial(moved, source, rows))
        # The menu of the row from the slider, too: that has the focus, so that the menu key opens it.
        row.slider.setContextMenuPolicy(Qt.ContextMenuPolicy.CustomContextMenu)
        row.slider.customContextMenuRequested.connect(partial(self._row_menu, row.slider, rows))
        self._mix_grid.addWidget(row, line, source + 1)
        return row

    def _row_name(self, text: str, tip: str, rows: range) -> QLabel:
        label = QLabel(text)
        label.setToolTip(f"{tip}; right click to insert, reset or copy")
        label.setContextMenuPolicy(Qt.ContextMenuPolicy.CustomContextMenu)
        label.customContextMenuRequested.connect(partial(self._row_menu, label, rows))
        return label

    def _row_menu(self, of: QWidget, rows: range, at: QPoint) -> None:
        menu = QMenu(self)
        menu.addAction("Reset to face A", partial(self._set_rows, rows, None, "Reset layers"))
        for slot in self._slots[1:]:
            if slot.face.recipe is not None:
                letter = chr(ord("A") + slot.index)
                menu.addAction(f"All of {letter} here", partial(self._set_rows, rows, slot.index, "Insert layers"))
                menu.addAction(f"All of {letter} here, A elsewhere", partial(self._solo, rows, slot.index))
        if len(rows) == 1:
            menu.addAction("Copy to all layers", partial(self._copy_row, rows[0]))
        menu.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        menu.popup(of.mapToGlobal(at))

    def _wire(self, row: ValueSlider, moved: Callable[[float], None]) -> None:
        row.pressed.connect(self.session.begin_drag)
        row.released.connect(self.session.end_drag)
        row.changed.connect(moved)

    def _table(self) -> Floats | None:
        state, g = self.session.state, self.session.generator
        return None if state.recipe is None or g is None else shares(state.recipe, len(state.slots), g.num_ws)

    def _set_table(self, text: str, table: Floats, merge: object = None) -> None:
        state = self.session.state
        if state.recipe is not None:
            self.session.edit(text, merge=merge, recipe=mixed(state.recipe, state.slots, table))

    def _layer_moved(self, source: int, rows: range, value: float) -> None:
        layer = rows[0]
        if (
            QApplication.keyboardModifiers() & Qt.KeyboardModifier.ShiftModifier
            and self._layer_rows[source, layer].slider.isSliderDown()
        ):
            rows = next(group for _, group in self._groups if layer in group)
        self._move(source, rows, value, f"Mix layer {layer}" if len(rows) == 1 else "Mix group")

    def _group_moved(self, source: int, rows: range, value: float) -> None:
        self._move(source, rows, value, "Mix layers")

    def _move(self, source: int, rows: range, value: float, text: str) -> None:
        table = self._table()
        if table is None or self.session.state.slots[source] is None:
            return
        if self._hard.isChecked():
            value = float(value >= 0.5)
        for layer in rows:
            _give(table, source, layer, value)
        self._set_table(text, table, ("weights", source, rows))
        # What the slider shows is what the state says, even when nothing changed in it (a hard slider on its way).
        self._changed(self.session.state)

    def _set_rows(self, rows: range, source: int | None, text: str) -> None:
        table = self._table()
        if table is not None:
            table[:, rows] = 0
            table[source or 0, rows] = 1
            self._set_table(text, table)

    def _solo(self, rows: range, source: int) -> None:
        table = self._table()
        if table is not None:
            table[:] = 0
            table[0] = 1
            table[0, rows] = 0
            table[source, rows] = 1
            self._set_table("Insert layers", table)

    def _copy_row(self, layer: int) -> None:
        table = self._table()
        if table is not None:
            self._set_table("Copy layer", np.repeat(table[:, layer : layer + 1], table.shape[1], 1))

    def _show_weights(self, recipe: Recipe, state: State, g: GeneratorInfo) -> None:
        table = shares(recipe, len(state.slots), g.num_ws)
        for s in range(1, len(state.slots)):
            on = state.slots[s] is not None
            for name, rows in [("all", range(g.num_ws)), *self._groups]:
                row = self._group_rows[s, name]
                row.setEnabled(on)
                row.set_value(float(table[s, rows].mean()))
        for (s, layer), row in self._layer_rows.items():
            row.setEnabled(state.slots[s] is not None)
            row.set_value(float(table[s, layer]))
        self._hard.setEnabled(any(s is not None for s in state.slots[1:]))
        self._swap.setEnabled(state.slots[1] is not None)

    # -- truncation -------------------------------------------------------------------------------------------------
    def _build_truncation(self) -> None:
        self._truncation = Section("Truncation ψ", tip="Pull the face toward the average one")
        self._psi = ValueSlider(
            "Truncation psi", -1.0, 2.0, 1.0, label="ψ", label_width=LABEL, reach=(-10.0, 10.0),
            tip="1 is the face, 0 the average one, below 0 its opposite, above 1 a caricature",
        )  # fmt: skip
        self._wire(self._psi, self._psi_moved)
        self._cutoff = Whole()
        self._cutoff.setAccessibleName("Truncation cutoff")
        self._cutoff.setToolTip("Truncate only the layers before this one")
        self._cutoff.setSpecialValueText("all layers")
        self._cutoff.setPrefix("layers before ")
        self._cutoff.valueChanged.connect(self._cutoff_moved)
        self._psi_fold = Section("By layer", folded=True, indent=0, tip="A psi for each layer")
        row = QHBoxLayout()
        row.setSpacing(theme.GRID)
        name = QLabel("Applies to")
        name.setFixedWidth(LABEL)
        row.addWidget(name)
        row.addWidget(self._cutoff, 1)
        self._truncation.body.addWidget(self._psi)
        self._truncation.body.addLayout(row)
        self._truncation.body.addWidget(self._psi_fold)
        self._psi_fold.folded.connect(lambda _: self._changed(self.session.state))
        self._column.addWidget(self._truncation)

    def _drop_layers(self, g: GeneratorInfo) -> None:
        """Another generator has other layers; the rows that each has here are made when they are unfolded."""
        for fold, rows in ((self._psi_fold, self._psi_rows), (self._strength_fold, self._strength_rows)):
            _empty(fold.body)
            rows.clear()
        self._cutoff.blockSignals(True)
        self._cutoff.setRange(0, g.num_ws - 1)
        self._cutoff.blockSignals(False)

    def _build_psi_rows(self, g: GeneratorInfo) -> None:
        for layer, info in enumerate(g.layers):
            row = ValueSlider(
                f"Truncation psi, layer {layer}", -1.0, 2.0, 1.0, label=f"{layer} · {info.resolution} px", label_width=LABEL,
                reach=(-10.0, 10.0), tip=f"Psi of layer {layer} ({info.name})",
            )  # fmt: skip
            self._wire(row, partial(self._layer_psi_moved, layer))
            self._psi_fold.body.addWidget(row)
            self._psi_rows.append(row)

    def _show_truncation(self, recipe: Recipe, g: GeneratorInfo) -> None:
        by_layer = psi_by_layer(recipe.psi, g.num_ws, recipe.cutoff)
        self._psi.set_value(recipe.psi[0] if len(recipe.psi) == 1 else float(by_layer.mean()))
        if not self._psi_fold.is_folded and not self._psi_rows:
            self._build_psi_rows(g)
        for row, value in zip(self._psi_rows, by_layer, strict=False):
            row.set_value(float(value))
        self._cutoff.blockSignals(True)
        self._cutoff.setValue(recipe.cutoff if recipe.cutoff is not None and recipe.cutoff < g.num_ws else 0)
        self._cutoff.blockSignals(False)

    def _psi_moved(self, value: float) -> None:
        self.session.change("Change psi", merge="psi", psi=(value,))

    def _cutoff_moved(self, layer: int) -> None:
        recipe = self.session.state.recipe
        if recipe is not None:
            psi = recipe.psi if len(recipe.psi) == 1 else (float(np.mean(recipe.psi)),)
            self.session.change("Change cutoff", merge="cutoff", cutoff=layer or None, psi=psi)

    def _layer_psi_moved(self, layer: int, value: float) -> None:
        recipe, g = self.session.state.recipe, self.session.generator
        if recipe is not None and g is not None:
            psi = psi_by_layer(recipe.psi, g.num_ws, recipe.cutoff).copy()
            psi[layer] = value
            self.session.change("Change psi by layer", merge=("psi", layer), psi=_short(psi), cutoff=None)

    # -- noise ------------------------------------------------------------------------------------------------------
    def _build_noise(self) -> None:
        self._noise = Section("Noise", tip="The fine detail that the code does not decide")
        self._noise_note = quiet("", wrap=True, small=True)
        self._mode = QComboBox()
        self._mode.setAccessibleName("Noise mode")
        self._mode.setToolTip("Where the noise comes from")
        self._mode.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        for text, mode in (("Constant", "const"), ("None", "none"), ("From a seed", "seed"), ("The face's own", "own")):
            self._mode.addItem(text, mode)
        self._mode.activated.connect(lambda _: self._noise_changed("Change noise", mode=self._mode.currentData()))
        self._noise_seed = Whole()
        self._noise_seed.setRange(0, 2**31 - 1)
        self._noise_seed.setFixedWidth(96)
        self._noise_seed.hide()
        self._noise_seed.setAccessibleName("Noise seed")
        self._noise_seed.setToolTip("The seed of the noise")
        self._noise_seed.valueChanged.connect(
            lambda seed: self._noise_changed("Change noise seed", merge="seed", seed=seed)
        )
        self._strength = ValueSlider(
            "Noise strength", 0.0, 2.0, 1.0, label="Strength", label_width=LABEL, reach=(-10.0, 10.0),
            tip="Times the generator's own strength",
        )  # fmt: skip
        self._wire(
            self._strength,
            lambda value: self._noise_changed("Change noise strength", merge="strength", strength=(value,)),
        )
        self._strength_fold = Section("By layer", folded=True, indent=0, tip="A strength for each noise map")
        row = QHBoxLayout()
        row.setSpacing(theme.GRID)
        name = QLabel("Mode")
        name.setFixedWidth(LABEL)
        row.addWidget(name)
        row.addWidget(self._mode, 1)
        row.addWidget(self._noise_seed)
        self._noise_controls = QWidget()
        controls = QVBoxLayout(self._noise_controls)
        controls.setContentsMargins(0, 0, 0, 0)
        controls.setSpacing(4)
        controls.addLayout(row)
        controls.addWidget(self._strength)
        controls.addWidget(self._strength_fold)
        self._strength_fold.folded.connect(lambda _: self._changed(self.session.state))
        self._noise.body.addWidget(self._noise_note)
        self._noise.body.addWidget(self._noise_controls)
        self._column.addWidget(self._noise)

    def _build_strength_rows(self, g: GeneratorInfo) -> None:
        for index, (side, _) in enumerate(g.noise_shapes):
            row = ValueSlider(
                f"Noise strength, map {index}", 0.0, 2.0, 1.0, label=f"{index} · {side} px", label_width=LABEL,
                reach=(-10.0, 10.0), tip=f"Strength of noise map {index}",
            )  # fmt: skip
            self._wire(row, partial(self._map_strength_moved, index))
            self._strength_fold.body.addWidget(row)
            self._strength_rows.append(row)

    def _show_noise(self, recipe: Recipe, g: GeneratorInfo) -> None:
        works = g.noise_works and bool(g.noise_shapes)
        self._noise_controls.setEnabled(works)
        self._noise_controls.setVisible(bool(g.noise_shapes))
        self._noise_note.setVisible(not works)
        self._noise_note.setText(
            "This generator takes no noise."
            if not g.noise_shapes
            else "Noise does nothing here: this generator learned a strength of zero for every noise map."
        )
        noise = recipe.noise
        item = self._mode.model().item(self._mode.findData("own"))  # type: ignore[attr-defined]
        item.setEnabled(any(code.noise for code in recipe.sources))
        self._mode.setCurrentIndex(self._mode.findData(noise.mode))
        self._noise_seed.blockSignals(True)
        self._noise_seed.setValue(noise.seed)
        self._noise_seed.blockSignals(False)
        self._noise_seed.setVisible(noise.mode == "seed")
        self._strength.setEnabled(noise.mode != "none")
        self._strength.set_value(float(np.mean(noise.strength)))
        if not self._strength_fold.is_folded and not self._strength_rows:
            self._build_strength_rows(g)
        for index, row in enumerate(self._strength_rows):
            row.set_value(noise.strength[index] if index < len(noise.strength) else noise.strength[-1])
            row.setEnabled(noise.mode != "none")

    def _noise_changed(self, text: str, merge: str | None = None, **fields: object) -> None:
        recipe = self.session.state.recipe
        if recipe is not None:
            now = {"mode": recipe.noise.mode, "seed": recipe.noise.seed, "strength": recipe.noise.strength} | fields
            self.session.change(text, merge=merge, noise=Noise(**now))  # type: ignore[arg-type]

    def _map_strength_moved(self, index: int, value: float) -> None:
        recipe, g = self.session.state.recipe, self.session.generator
        if recipe is not None and g is not None:
            count = len(g.noise_shapes)
            strength = np.broadcast_to(np.asarray(recipe.noise.strength, np.float32), (count,)).copy()
            strength[index] = value
            self._noise_changed("Change noise strength", merge=f"strength {index}", strength=_short(strength))

    # -- position ---------------------------------------------------------------------------------------------------
    def _build_position(self) -> None:
        self._position = Section("Position", tip="StyleGAN3 moves and turns the picture by its input")
        self._moves: dict[str, ValueSlider] = {}
        for name, label, reach, tip in (
            ("x", "Right", 0.5, "Move to the right, in picture widths"),
            ("y", "Down", 0.5, "Move down, in picture widths"),
            ("degrees", "Turn", 180.0, "Turn counter-clockwise, in degrees"),
        ):
            row = ValueSlider(
                label, -reach, reach, 0.0, step=reach / 50, decimals=2 if reach < 1 else 0, label_width=LABEL, tip=tip,
                reach=(-4 * reach, 4 * reach),
            )  # fmt: skip
            self._wire(row, partial(self._moved, name))
            self._position.body.addWidget(row)
            self._moves[name] = row
        self._column.addWidget(self._position)
        self._position.hide()

    def _show_position(self, recipe: Recipe, g: GeneratorInfo) -> None:
        self._position.setVisible(g.family.startswith("stylegan3"))
        now = recipe.transform or Transform()
        for name, row in self._moves.items():
            row.set_value(getattr(now, name))

    def _moved(self, name: str, value: float) -> None:
        recipe = self.session.state.recipe
        if recipe is not None:
            now = recipe.transform or Transform()
            fields = {"x": now.x, "y": now.y, "degrees": now.degrees, name: value}
            self.session.change("Move picture", merge=("transform", name), transform=Transform(**fields))


def _give(table: Floats, source: int, layer: int, value: float) -> None:
    """Set one face's share of a layer; the face A takes what is left, or the others scale when A has no part left."""
    others = [s for s in range(1, len(table)) if s != source]
    table[source, layer] = value
    left = 1 - value - sum(float(table[s, layer]) for s in others)
    if left < 0 and others and value <= 1:
        # A is used up: the other faces share what this one leaves.
        scale = (1 - value) / max(1e-6, sum(float(table[s, layer]) for s in others))
        for s in others:
            table[s, layer] *= scale
        left = 0
    table[0, layer] = left


def _tab_after(before: QWidget, widget: QWidget) -> QWidget:
    """Let the Tab key go from one widget, or the last in it, to another and what is in it; gives back the last of these."""
    before = [before, *(w for w in before.findChildren(QWidget) if w.focusPolicy() & Qt.FocusPolicy.TabFocus)][-1]
    for each in (widget, *widget.findChildren(QWidget)):
        if each.focusPolicy() & Qt.FocusPolicy.TabFocus:
            QWidget.setTabOrder(before, each)
            before = each
    return before


def _normalised(table: Floats) -> Floats:
    return np.asarray(table / table.sum(0), np.float32)


def _empty(layout: QGridLayout | QVBoxLayout) -> None:
    while (item := layout.takeAt(0)) is not None:
        widget = item.widget()
        if widget is not None:
            widget.hide()
            widget.deleteLater()
