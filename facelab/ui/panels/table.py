"""The mixing table: each cell is its column's face with some layers of its row's."""

from __future__ import annotations

import random
from collections.abc import Sequence
from functools import partial
from typing import ClassVar, Literal

from PySide6.QtCore import QPoint, Qt
from PySide6.QtWidgets import QButtonGroup, QComboBox, QHBoxLayout, QStackedWidget, QToolButton, QWidget

from facelab.errors import FacelabError
from facelab.jobs import Answer, Codes, ExportTable, GeneratorInfo, Resolve
from facelab.latent.code import Code
from facelab.latent.mixing_table import MOST, MixingTable, crossed
from facelab.latent.recipe import Recipe
from facelab.latent.spaces import layer_groups
from facelab.ui import theme
from facelab.ui.dialogs import PICTURES, ExportDialog
from facelab.ui.face_view import FaceView
from facelab.ui.grid import Drawer, Matrix
from facelab.ui.numbers import Whole
from facelab.ui.panels.faces import FacesPanel
from facelab.ui.session import Session, State, describe
from facelab.ui.widgets import EmptyState, button, quiet, tool
from facelab.worker import Client

Side = Literal["columns", "rows"]
SEEDS = 10_000
COLUMNS, ROWS = 5, 3  # of a table of random faces, as in the paper
TAIL = 40  # px, of the places where one face more is dropped
MEANING = {"coarse": "pose, shape", "middle": "features", "fine": "colours"}
CODES = 256  # kept


class TablePanel(FacesPanel):
    """Rows by columns: faces are dropped on the heads, the layers that rows give are chosen above."""

    title: ClassVar[str] = "Table"
    area: ClassVar = "centre"
    hint: ClassVar[str] = "Mix faces in rows and columns: rows give some layers, columns the rest"
    keys: ClassVar = (("Delete on a face at the edge", "Take its row or column out"),)

    def __init__(self, session: Session, client: Client) -> None:
        super().__init__(session, client)
        self._random = random.Random()
        self._codes: dict[str, Code] = {}
        self._asked: frozenset[str] = frozenset()
        self._heads: dict[Side, list[FaceView]] = {"columns": [], "rows": []}
        self.drawer = Drawer(client, self)
        self.drawer.failed.connect(self.say)
        self.matrix = Matrix("Mixing table", self.drawer, tail=TAIL, least=48)
        self.matrix.taken.connect(self.take)
        self.matrix.menu_wanted.connect(self.face_menu)
        self.corner = quiet("", wrap=True, small=True)
        self.corner.setAlignment(Qt.AlignmentFlag.AlignCenter)
        self.matrix.set_corner(self.corner)
        self.empty = EmptyState(
            "plane",
            "Faces at the top and at the left, and in each cell the two mixed: see what the layers do. Drop faces on the edges, or "
            "begin with random ones.",
            button("Random faces", self.fill, icon="shuffle", primary=True),
        )
        self.pages = QStackedWidget()
        self.pages.addWidget(self.empty)
        self.pages.addWidget(self.matrix)
        self.body.addLayout(self._bar())
        self.body.addWidget(self.pages, 1)
        session.changed.connect(self._changed)
        session.generator_changed.connect(self._generator_changed)
        self._generator_changed(session.generator)

    def _bar(self) -> QHBoxLayout:
        row = QHBoxLayout()
        row.setContentsMargins(theme.GRID, 4, theme.GRID, 4)
        row.setSpacing(4)
        row.addWidget(button("Random faces", self.fill, icon="shuffle", tip="Other faces in all rows and columns"))
        row.addSpacing(theme.GRID)
        row.addWidget(quiet("Rows give"))
        self.groups = QButtonGroup(self)
        self.groups.setExclusive(False)
        for index, (name, what) in enumerate(MEANING.items()):
            choice = QToolButton(text=name.capitalize(), checkable=True, accessibleName=f"Rows give the {name} layers")
            choice.setToolTip(f"Rows give the {name} layers: {what}")
            choice.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
            choice.clicked.connect(partial(self._choose_group, name))
            self.groups.addButton(choice, index)
            row.addWidget(choice)
        row.addSpacing(theme.GRID)
        self.first, self.last = Whole(), Whole()
        for field, name in ((self.first, "First layer of the rows"), (self.last, "Last layer of the rows")):
            field.setFixedWidth(44)
            field.setAccessibleName(name)
            field.setToolTip(name)
            field.valueChanged.connect(partial(self._layers_typed, field))
        row.addWidget(quiet("layers"))
        row.addWidget(self.first)
        row.addWidget(quiet("–"))
        row.addWidget(self.last)
        row.addStretch(1)
        self.clear_button = tool("Empty the table", "trash", self.clear, tip="Take all faces out")
        self.export_button = tool("Export table", "export", self._export, tip="Export the table as one picture…")
        row.addWidget(self.clear_button)
        row.addWidget(self.export_button)
        return row

    # -- what is shown --
    @property
    def table(self) -> MixingTable | None:
        """The table, when the open generator draws it."""
        table, info = self.session.state.table, self.session.generator
        return table if table is not None and info is not None and table.generator in (None, info.sha256) else None

    def _generator_changed(self, info: GeneratorInfo | None) -> None:
        self.setEnabled(info is not None)
        self.drawer.forget()
        self._codes.clear()
        self._asked = frozenset()
        self.matrix.resolution = 0 if info is None else info.resolution
        if info is not None:
            for field in (self.first, self.last):
                _quietly(field, field.value(), info.num_ws - 1)
            for index, name in enumerate(MEANING):
                self.groups.button(index).setVisible(bool(layer_groups(info.family, info.num_ws)[name]))
        self._show()

    def _changed(self, after: State, before: State) -> None:
        if after.table is not before.table:
            self._show()

    def _layers(self, info: GeneratorInfo) -> tuple[int, int]:
        """Those of the table, or the coarse ones to begin with."""
        table = self.table
        if table is not None:
            return table.layers
        return 0, max(1, len(layer_groups(info.family, info.num_ws)["coarse"]))

    def _show(self) -> None:
        info, table = self.session.generator, self.table
        there = table is not None and bool(table.columns or table.rows)
        self.pages.setCurrentIndex(int(there))
        self.clear_button.setEnabled(there)
        self.export_button.setEnabled(table is not None and bool(table.columns and table.rows))
        if info is None:
            return
        first, last = self._layers(info)
        _quietly(self.first, first, info.num_ws - 1)
        _quietly(self.last, last - 1, info.num_ws - 1)
        for index, name in enumerate(MEANING):
            group = layer_groups(info.family, info.num_ws)[name]
            self.groups.button(index).setChecked((group.start, group.stop) == (first, last))
        layers = f"layer {first}" if last - first == 1 else f"layers {first}–{last - 1}"
        self.corner.setText(f"→ {layers}\n\n↓ the rest")
        if table is not None and there:
            self._show_heads(table)
            self._show_cells(table, info)

    def _show_heads(self, table: MixingTable) -> None:
        sides: dict[Side, Sequence[Recipe]] = {"columns": table.columns, "rows": table.rows}
        for side, recipes in sides.items():
            heads = self._heads[side]
            while len(heads) > len(recipes) + 1:
                heads.pop(-2)  # `set_heads` lets go of it; the last is where one more is dropped
            while len(heads) < len(recipes) + 1:
                heads.insert(max(0, len(heads) - 1), self._head(side, adds=not heads))
            for index, (view, recipe) in enumerate(zip(heads, recipes, strict=False)):
                said = f"{'Column' if side == 'columns' else 'Row'} {index + 1}: {describe(recipe)}"
                view.setAccessibleName(said)
                view.setToolTip(f"{said}\nClick to take, drop another face here, Delete takes it out")
                if view.recipe != recipe:
                    view.set_face(recipe, self.drawer.pixels(recipe))
        self.matrix.set_heads(self._heads["columns"], self._heads["rows"])

    def _head(self, side: Side, *, adds: bool) -> FaceView:
        one = "column" if side == "columns" else "row"
        view = FaceView(f"One {one} more", takes=True, hint="+" if adds else "", drop_hint="Add" if adds else "Replace")
        view.setMinimumSize(16, 16)
        view.dropped.connect(partial(self._dropped, side, view))
        if adds:
            view.takes_many = True
            view.many_dropped.connect(partial(self._add_faces, side))
            view.setToolTip(f"Drop a face here for one {one} more, or click for a random one")
            view.clicked.connect(partial(self._add_random, side))
        else:
            view.clicked.connect(partial(self._take_head, view))
            view.cleared.connect(partial(self._remove, side, view))
            view.setContextMenuPolicy(Qt.ContextMenuPolicy.CustomContextMenu)
            view.customContextMenuRequested.connect(partial(self._head_menu, side, view))
        return view

    def _show_cells(self, table: MixingTable, info: GeneratorInfo) -> None:
        faces = {r.digest: r for r in (*table.columns, *table.rows)}
        missing = {digest: r for digest, r in faces.items() if digest not in self._codes}
        if missing:
            if not self._asked.issuperset(missing):
                self._asked = frozenset(missing)
                ticket = self.submit(Resolve(recipes=tuple(missing.values())))
                ticket.answered.connect(partial(self._resolved, tuple(missing)))
                ticket.closed.connect(self._resolve_ended)
            if not all(r.digest in self._codes for r in (*table.columns, *table.rows)):
                self.matrix.fill([[] for _ in table.rows] if not self.matrix.cells else self._as_before(table), _cell)
                return
        code = self._codes
        self.matrix.fill(
            [
                [crossed(c, code[c.digest], code[r.digest], table.layers, info.num_ws) for c in table.columns]
                for r in table.rows
            ],
            _cell,
        )

    def _as_before(self, table: MixingTable) -> list[list[Recipe]]:
        """The cells that there are, while codes are being worked out."""
        rows = [[view.recipe for view in row if view.recipe is not None] for row in self.matrix.cells]
        kept = [row[: len(table.columns)] for row in rows[: len(table.rows)]]
        return kept + [[] for _ in range(len(table.rows) - len(kept))]

    def _resolved(self, digests: Sequence[str], answer: Answer) -> None:
        if isinstance(answer, Codes):
            while len(self._codes) > CODES:
                del self._codes[next(iter(self._codes))]
            self._codes.update(zip(digests, answer.codes, strict=True))
            self._show()

    def _resolve_ended(self, _: str) -> None:
        self._asked = frozenset()

    # -- what a person does --
    def _edit(self, text: str, table: MixingTable | None, merge: str | None = None) -> None:
        self.unsay()
        self.session.edit(text, merge=merge, table=table)

    def _seed(self) -> Recipe | None:
        return self.session.of_seed(self._random.randrange(SEEDS))

    def fill(self) -> None:
        """Random faces in all rows and columns: as many as there are, else as in the paper."""
        info, table = self.session.generator, self.table
        if info is None:
            return
        counts = (len(table.columns) or COLUMNS, len(table.rows) or ROWS) if table else (COLUMNS, ROWS)
        faces = [self.session.of_seed(seed) for seed in self._random.sample(range(SEEDS), sum(counts))]
        found = [face for face in faces if face is not None]
        self._edit(
            "Random table",
            MixingTable(columns=tuple(found[: counts[0]]), rows=tuple(found[counts[0] :]), layers=self._layers(info)),
        )

    def clear(self) -> None:
        """Take all faces out."""
        if self.table is not None:
            self._edit("Empty the table", None)

    def put(self, side: Side, index: int, recipe: Recipe) -> None:
        """Put a face at the head of a row or column; one beyond the last is one more."""
        info = self.session.generator
        if info is None:
            return
        if recipe.generator != info.sha256:
            self.say(f"this face was made by another generator than {info.name}; open that one to use it here")
            return
        table = self.table or MixingTable(columns=(), rows=(), layers=self._layers(info))
        now = table.columns if side == "columns" else table.rows
        if len(now) >= MOST and index >= len(now):
            self.say(f"a mixing table has at most {MOST} {side}")
            return
        self._edit(f"Face in the {side}", table.change(**{side: (*now[:index], recipe, *now[index + 1 :])}))

    def _dropped(self, side: Side, view: FaceView, recipe: Recipe) -> None:
        self.put(side, self._heads[side].index(view), recipe)

    def _add_faces(self, side: Side, recipes: Sequence[Recipe]) -> None:
        with self.session.drag():  # one step of undo
            for recipe in recipes[:MOST]:
                self.put(side, len(self._heads[side]) - 1, recipe)

    def _add_random(self, side: Side) -> None:
        face = self._seed()
        if face is not None:
            self.put(side, len(self._heads[side]) - 1, face)

    def _remove(self, side: Side, view: FaceView) -> None:
        table, index = self.table, self._heads[side].index(view)
        if table is not None:
            now = table.columns if side == "columns" else table.rows
            self._edit(f"Remove from the {side}", table.change(**{side: (*now[:index], *now[index + 1 :])}))

    def _take_head(self, view: FaceView) -> None:
        if view.recipe is not None:
            self.take(view.recipe)

    def _head_menu(self, side: Side, view: FaceView, at: QPoint) -> None:
        if view.recipe is None:
            return
        menu = self.menu_of(view.recipe)
        menu.addSeparator()
        menu.addAction("Another random face", partial(self._replace_random, side, view))
        menu.addAction("Take out of the table\tDel", partial(self._remove, side, view))
        menu.popup(view.mapToGlobal(at))

    def _replace_random(self, side: Side, view: FaceView) -> None:
        face = self._seed()
        if face is not None:
            self._dropped(side, view, face)

    # -- layers --
    def _choose_group(self, name: str) -> None:
        info = self.session.generator
        if info is not None:
            group = layer_groups(info.family, info.num_ws)[name]
            self.set_layers((group.start, group.stop))

    def _layers_typed(self, field: Whole, value: int) -> None:
        """The other end comes along where the one that was typed passes it."""
        if field is self.first:
            first, last = value, max(value, self.last.value())
        else:
            first, last = min(value, self.first.value()), value
        self.set_layers((first, last + 1), merge="table layers")

    def set_layers(self, layers: tuple[int, int], merge: str | None = None) -> None:
        """Which layers the rows give, a half-open range."""
        info = self.session.generator
        if info is None:
            return
        try:
            table = self.table or MixingTable(columns=(), rows=(), layers=layers)
            self._edit("Layers of the table", table.change(layers=layers), merge)
        except FacelabError as error:
            self.say(error)
        self._show()

    # -- export --
    def _export(self) -> None:
        if self.table is not None:
            ExportTableDialog(self.session, self.client, self.table, self).open()


class ExportTableDialog(ExportDialog):
    """The table as one picture, its faces at the edges."""

    def __init__(self, session: Session, client: Client, table: MixingTable, parent: QWidget) -> None:
        super().__init__(session, client, "Export table", "table", PICTURES, parent)
        self.table = table
        own = 64 if session.generator is None else session.generator.resolution
        columns, rows = len(table.columns), len(table.rows)
        self.tile = QComboBox(accessibleName="Size of a face")
        for side in (s for s in (32, 64, 128, 256, 512, 1024) if s <= own):
            self.tile.addItem(f"{side} px each, {side * (columns + 1):,} × {side * (rows + 1):,} px in all", side)
        self.tile.setCurrentIndex(max(0, self.tile.findData(min(256, own))))
        self.form.addRow("Faces", quiet(f"{columns} columns × {rows} rows, and those at the edges"))
        self.form.addRow("Size", self.tile)
        self.add_target()

    def job(self) -> ExportTable:
        return ExportTable(
            columns=self.table.columns, rows=self.table.rows, layers=self.table.layers, path=self.target(),
            tile=self.tile.currentData(),
        )  # fmt: skip


def _cell(row: int, column: int) -> str:
    return f"Row {row + 1} in column {column + 1}"


def _quietly(field: Whole, value: int, most: int) -> None:
    field.blockSignals(True)
    field.setRange(0, most)
    field.setValue(value)
    field.blockSignals(False)
