"""Directions: a slider for each, in sigmas of the generator's own faces."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

from PySide6.QtCore import QPoint, QPointF, Qt, QTimer, Signal
from PySide6.QtGui import QKeyEvent, QMouseEvent
from PySide6.QtWidgets import (
    QApplication,
    QDialog,
    QDialogButtonBox,
    QHBoxLayout,
    QInputDialog,
    QLabel,
    QLineEdit,
    QListWidget,
    QListWidgetItem,
    QMenu,
    QVBoxLayout,
    QWidget,
)

from facelab.errors import FacelabError
from facelab.jobs import (
    Answer,
    Codes,
    Directions,
    FindDirections,
    GeneratorInfo,
    Images,
    Orthogonalise,
    Render,
    Resolve,
    Thumbnails,
    WriteDirections,
)
from facelab.latent.code import Code, Direction
from facelab.latent.direction import METHODS
from facelab.latent.recipe import Applied, Recipe
from facelab.latent.spaces import layer_groups
from facelab.project import Project
from facelab.ui import dialogs, theme
from facelab.ui.dragging import direction_mime, start_drag
from facelab.ui.face_view import FaceView
from facelab.ui.numbers import ValueSlider
from facelab.ui.panels.base import Panel
from facelab.ui.session import Edit, Session, State, describe
from facelab.ui.widgets import Column, Elided, EmptyState, Section, button, quiet, rule, tool
from facelab.worker import Client

LABEL = 148  # px
SHARE = 46  # px
REACH = 4.0  # sigmas to each side; numbers go further
END = 2.5  # sigmas, of the two faces that a direction shows when it is pointed at
COUNT = 10  # found at once
MOST_READ = 200  # of one file
HOVER_MS = 120
SIDE = 72
AT_ONCE = 3  # rows that are made at a stretch
MANY = 12  # rows, from which on a field to search in is worth its place
SMALL = 44  # px, of the faces of a group
MOST_FACES = 200  # of a group
SHARES = "direction shares"  # the project's key: what share of the variance a direction has, by its digest
SECTIONS = {
    "factor": "Known factors",
    "pca": "Principal components",
    "sefa": "Factorised weights",
    "groups": "From faces",
    "file": "Imported",
}
Do = Callable[[Project], None]
Groups = tuple[tuple[Recipe, ...], tuple[Recipe, ...]]
FILES = "Directions (*.npz *.npy *.pt *.pkl *.safetensors);;All files (*)"


def section_of(direction: Direction) -> str:
    """Under which of `SECTIONS` a direction stands."""
    return direction.method if direction.method in SECTIONS else "groups"


def amount_of(recipe: Recipe, direction: Direction) -> Applied:
    """How a direction stands in a recipe; an amount of zero where it does not."""
    return next((a for a in recipe.directions if a.direction == direction), Applied(direction, 0.0))


def applied(recipe: Recipe, use: Applied) -> Recipe:
    """The recipe with a direction at an amount; one without an amount and without layers of its own is left out."""
    others = tuple(a for a in recipe.directions if a.direction != use.direction)
    there = [i for i, a in enumerate(recipe.directions) if a.direction == use.direction]
    if use.amount == 0 and use.layers is None:
        return recipe.change(directions=others)
    at = there[0] if there else len(others)
    return recipe.change(directions=(*others[:at], use, *others[at:]))


def renamed(direction: Direction, name: str) -> Direction:
    """The direction under another name."""
    return Direction(
        name=name, vector=direction.vector, sigma=direction.sigma, generator=direction.generator, layers=direction.layers,
        method=direction.method,
    )  # fmt: skip


def _add(directions: Sequence[Direction], project: Project) -> None:
    for direction in directions:
        project.add_direction(direction)


def _drop(directions: Sequence[Direction], project: Project) -> None:
    for direction in directions:
        project.delete_direction(direction)


class DirectionsEdit(Edit):
    """A change of the project's directions together with the current face's, as one step of undo."""

    def __init__(self, session: Session, text: str, after: State, do: Do, undo: Do) -> None:
        super().__init__(session, text, after, None)
        self._do, self._undo = do, undo

    def redo(self) -> None:
        self._write(self._do)
        super().redo()
        self._session.library_changed.emit()

    def undo(self) -> None:
        self._write(self._undo)
        super().undo()
        self._session.library_changed.emit()

    def _write(self, change: Do) -> None:
        try:
            change(self._session.project)
        except FacelabError as error:  # what is raised through Qt's stack ends the program
            self._session.project_failed.emit(error)


class _Handle(Elided):
    """The name of a direction, by which it is dragged to an axis of the plane."""

    def __init__(self, direction: Direction) -> None:
        super().__init__(direction.name)
        self._direction = direction
        self._pressed: QPointF | None = None
        self.setCursor(Qt.CursorShape.OpenHandCursor)

    def tip(self, short: str) -> str:
        return f"{self.full_text()}: drag it to x or y of the plane"

    def mousePressEvent(self, event: QMouseEvent) -> None:
        if event.button() is Qt.MouseButton.LeftButton:
            self._pressed = event.position()

    def mouseMoveEvent(self, event: QMouseEvent) -> None:
        start = self._pressed
        if start is not None and (event.position() - start).manhattanLength() >= QApplication.startDragDistance():
            self._pressed = None
            start_drag(self, direction_mime(self._direction), self.grab())

    def mouseReleaseEvent(self, event: QMouseEvent) -> None:
        self._pressed = None


class DirectionRow(QWidget):
    """One direction: its name, its share, its slider, and a menu.

    Signals:
        renaming, removing: F2 or Delete was pressed here.
    """

    renaming = Signal()
    removing = Signal()

    def __init__(self, direction: Direction) -> None:
        super().__init__()
        self.direction = direction
        self.name = _Handle(direction)
        self.name.setMaximumWidth(LABEL)
        self.share = quiet("", small=True)
        self.share.setFixedWidth(SHARE)
        self.share.setAlignment(Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter)
        self.share.hide()
        layers = f", layers {direction.layers[0]}–{direction.layers[1] - 1}" if direction.layers else ""
        self.value = ValueSlider(
            direction.name, -REACH, REACH, 0.0, step=0.1, label="", reach=(-40.0, 40.0),
            tip=f"{direction.name}{layers}: how many sigmas to move; double-click for none",
        )  # fmt: skip
        self.more = tool(f"More for {direction.name}", "more", tip="Layers, rename, hold others fixed, remove")
        row = QHBoxLayout(self)
        row.setContentsMargins(0, 0, 0, 0)
        row.setSpacing(4)
        row.addWidget(self.name, 3)
        row.addWidget(self.share)
        row.addWidget(self.value, 4)
        row.addWidget(self.more)

    def show_share(self, share: float | None) -> None:
        """What share of the whole the direction has; None where there is no such."""
        self.share.setVisible(share is not None)
        self.name.setMaximumWidth(LABEL - (SHARE + 4 if share is not None else 0))
        if share is not None:
            self.share.setText(f"{100 * share:.1f} %")
            self.share.setToolTip("Share of the whole that this direction explains")

    def keyPressEvent(self, event: QKeyEvent) -> None:
        if event.key() == Qt.Key.Key_F2:
            self.renaming.emit()
        elif event.key() == Qt.Key.Key_Delete:
            self.removing.emit()
        else:
            super().keyPressEvent(event)


class Group(QWidget):
    """Some faces, of which a direction takes the mean: drop them here, or add all of a tag.

    Signals:
        changed: faces came or went.
    """

    changed = Signal()

    def __init__(self, name: str, hint: str, panel: DirectionsPanel) -> None:
        super().__init__()
        self._panel = panel
        self.faces: list[Recipe] = []
        self._views: list[FaceView] = []
        self.count = quiet(name, small=True)
        self._name = name
        self.tags = tool(f"{name}: add a tag", "tag", self._ask_tag, tip="Add all faces of a tag")
        self.clear_button = tool(f"{name}: take all out", "close", self.clear, tip="Take all faces out")
        top = QHBoxLayout()
        top.setSpacing(0)
        top.addWidget(self.count, 1)
        top.addWidget(self.tags)
        top.addWidget(self.clear_button)
        self.drop = FaceView(f"{name}: one face more", side=SMALL, takes=True, hint="+", drop_hint="Add")
        self.drop.setToolTip(f"{hint}; click to add the current face")
        self.drop.takes_many = True
        self.drop.many_dropped.connect(self.add)
        self.drop.clicked.connect(self._add_current)
        self._strip = QHBoxLayout()
        self._strip.setContentsMargins(0, 0, 0, 0)
        self._strip.setSpacing(4)
        self._strip.addWidget(self.drop)
        self._strip.addStretch(1)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(4)
        column.addLayout(top)
        column.addLayout(self._strip)
        self._show()

    def add(self, recipes: Sequence[Recipe]) -> None:
        """Some faces more; those that are here already, and those of another generator, are left out."""
        info = self._panel.session.generator
        fitting = [r for r in recipes if info is not None and r.generator == info.sha256]
        if len(fitting) < len(recipes):
            self._panel.say("faces of another generator were left out; directions are found among those of one")
        self.faces = list(dict.fromkeys([*self.faces, *fitting]))[:MOST_FACES]
        self._show()
        self.changed.emit()

    def clear(self) -> None:
        """Take all faces out."""
        self.faces = []
        self._show()
        self.changed.emit()

    def _add_current(self) -> None:
        if self._panel.session.state.recipe is not None:
            self.add([self._panel.session.state.recipe])

    def _ask_tag(self) -> None:
        menu = QMenu(self)
        menu.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        for tag in self._panel.session.project.tags():
            menu.addAction(tag, partial(self.add_tag, tag))
        if menu.isEmpty():
            menu.addAction("No face of the library has a tag yet").setEnabled(False)
        menu.popup(self.tags.mapToGlobal(QPoint(0, self.tags.height())))

    def add_tag(self, tag: str) -> None:
        """Add the library's faces of a tag."""
        project = self._panel.session.project
        try:
            self.add([project.recipe(row.id) for row in project.faces(tag=tag)[:MOST_FACES]])
        except FacelabError as error:
            self._panel.say(error)

    def _show(self) -> None:
        count = len(self.faces)
        self.count.setText(self._name if not count else f"{self._name}: {count}")
        self.clear_button.setEnabled(bool(count))
        shown = self.faces[-2:]
        for view in self._views:
            self._strip.removeWidget(view)
            view.hide()
            view.deleteLater()
        self._views = []
        for recipe in shown:
            view = FaceView(describe(recipe), side=SMALL)
            view.setToolTip(f"{describe(recipe)}; Delete takes it out")
            view.set_face(recipe)
            view.cleared.connect(partial(self._remove, recipe))
            self._strip.insertWidget(len(self._views), view)
            self._views.append(view)
        if shown:
            self._panel.submit(
                Thumbnails(recipes=tuple(shown), resolution=self._panel.small()), partial(self._drawn, shown)
            )

    def _drawn(self, recipes: Sequence[Recipe], answer: Answer) -> None:
        if isinstance(answer, Images):
            pictures = dict(zip(recipes, answer.pixels, strict=True))
            for view in self._views:
                if view.recipe in pictures:
                    view.set_pixels(pictures[view.recipe])

    def _remove(self, recipe: Recipe) -> None:
        self.faces.remove(recipe)
        self._show()
        self.changed.emit()


class DirectionsPanel(Panel):
    """Finds directions, keeps them in the project, and moves the current face along them.

    Signals:
        axis_asked(name, direction): make it the "x" or "y" axis of the plane.
    """

    title = "Directions"
    area = Qt.DockWidgetArea.RightDockWidgetArea
    hint = "Move the face along directions, by sigmas"
    keys = (
        ("Point at a direction", f"See the face {END} sigmas to both sides"),
        ("Drag a direction's name", "Make it an axis of the plane"),
        ("F2, Delete on a direction", "Rename it, remove it"),
    )

    axis_asked = Signal(str, object)

    def __init__(self, session: Session, client: Client) -> None:
        super().__init__(session, client)
        self._wanted: list[Direction] = []  # the directions that have a row, or get one soon
        self._shares: dict[str, float] = {}
        self._soon = QTimer(self, singleShot=True, interval=0)
        self._soon.timeout.connect(self._place_more)
        self._rows: list[DirectionRow] = []
        self._pointed: DirectionRow | None = None
        self._hover = QTimer(self, singleShot=True, interval=HOVER_MS)
        self._hover.timeout.connect(self._draw_ends)

        self._find = button(
            "Find directions",
            tip="By statistics of W, by the network's weights, from faces, or from a file",
            icon="search",
        )
        self._menu = QMenu(self._find)
        self._menu.setToolTipsVisible(True)
        self._menu.aboutToShow.connect(self._fill_menu)
        self._find.setMenu(self._menu)
        self._reset = tool("Reset all directions", "reset", self.reset, tip="All directions back to nothing")
        top = QHBoxLayout()
        top.setContentsMargins(theme.GRID, theme.GRID, theme.GRID, 4)
        top.setSpacing(theme.GRID)
        self.search = QLineEdit(placeholderText="Search", clearButtonEnabled=True, accessibleName="Search directions")
        self.search.addAction(theme.icon("search"), QLineEdit.ActionPosition.LeadingPosition)
        self.search.textChanged.connect(lambda _: self._filter())
        top.addWidget(self._find)
        top.addWidget(self.search, 1)
        top.addStretch(0)
        top.addWidget(self._reset)

        self._first = button(
            "Find principal components",
            partial(self.find_by, "pca"),
            tip="The directions in which faces differ most",
            primary=True,
        )
        self._known = button(
            "Load the known factors",
            partial(self.find_by, "factor"),
            tip="What this generator was built from: yaw, age, smile…",
            primary=True,
        )
        self._empty = EmptyState(
            "target",
            "Directions change one thing about a face: turn it, age it, light it. Find some in this generator, "
            "or between faces that differ in one thing.",
            self._known,
            self._first,
        )
        self._list = QWidget()
        self._column = QVBoxLayout(self._list)
        self._column.setContentsMargins(theme.GRID, 0, theme.GRID, theme.GRID)
        self._column.setSpacing(4)
        self._sections: dict[str, Section] = {}
        for method, title in SECTIONS.items():
            section = self._sections[method] = Section(title, indent=0)
            section.body.setSpacing(2)
            section.hide()
            remove = tool(
                f"Remove all of {title.lower()}", "trash", partial(self._remove_all, method), tip="Remove all of these"
            )
            section.extra.addWidget(remove)
            self._column.addWidget(section)
        self._column.addStretch(1)
        self._area = Column(self._list)

        self.body.addLayout(top)
        self.body.addWidget(self._build_finder())
        self.body.addWidget(self._empty, 1)
        self.body.addWidget(self._area, 1)
        self.body.addWidget(self._build_ends())
        session.changed.connect(self._changed)
        session.generator_changed.connect(self._generator_changed)
        session.project_changed.connect(lambda _: self.reload())
        session.library_changed.connect(self.reload)
        self._generator_changed(session.generator)

    def _build_ends(self) -> QWidget:
        self._less, self._more = (
            FaceView("The face at one end", side=SIDE),
            FaceView("The face at the other end", side=SIDE),
        )
        self._ends_note = quiet("", wrap=True, small=True)
        self._ends_note.setAlignment(Qt.AlignmentFlag.AlignCenter)
        self._ends = QWidget()
        column = QVBoxLayout(self._ends)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(0)
        column.addWidget(rule())
        ends = QHBoxLayout()
        ends.setContentsMargins(*(theme.GRID,) * 4)
        ends.addWidget(self._less)
        ends.addWidget(self._ends_note, 1)
        ends.addWidget(self._more)
        column.addLayout(ends)
        for view in (self._less, self._more):
            view.setToolTip("Drag it, or click to take it")
            view.clicked.connect(partial(self._take_end, view))
        self._no_ends()
        return self._ends

    def _no_ends(self) -> None:
        self._pointed = None
        self._ends_note.setText("Point at a direction to see where it leads")
        for view in (self._less, self._more):
            view.set_face(None)

    def _build_finder(self) -> QWidget:
        """Two groups of faces, and the button that finds what is between them."""
        self.finder = QWidget()
        self.without = Group("From", "Drop faces without it; none is the average face", self)
        self.having = Group("To", "Drop faces that have it", self)
        self.called = QLineEdit(placeholderText="Name of the direction", accessibleName="Name of the direction")
        self._find_between = button(
            "Find", self.find_between, tip="From the mean of the one to the mean of the other", primary=True
        )
        self.called.returnPressed.connect(self.find_between)
        for group in (self.without, self.having):
            group.changed.connect(self._can_find)
        column = QVBoxLayout(self.finder)
        column.setContentsMargins(theme.GRID, 4, theme.GRID, theme.GRID)
        column.setSpacing(4)
        groups = QHBoxLayout()
        groups.setSpacing(theme.GRID)
        groups.addWidget(self.without, 1)
        arrow = QLabel("→")
        groups.addWidget(arrow)
        groups.addWidget(self.having, 1)
        column.addLayout(groups)
        foot = QHBoxLayout()
        foot.addWidget(self.called, 1)
        foot.addWidget(self._find_between)
        foot.addWidget(tool("Close", "close", self.finder.hide, tip="Put this away"))
        column.addLayout(foot)
        column.addWidget(rule())
        self.finder.hide()
        self._can_find()
        return self.finder

    @property
    def rows(self) -> tuple[DirectionRow, ...]:
        return tuple(self._rows)

    def small(self) -> int:
        """px in which small faces are drawn."""
        info = self.session.generator
        return 64 if info is None else min(64, info.resolution)

    # -- what is shown ----------------------------------------------------------------------------------------------
    def _generator_changed(self, info: GeneratorInfo | None) -> None:
        self._known.setVisible(_has_factors(info))
        self._first.setProperty("primary", not _has_factors(info))  # one button is the first step
        self._first.style().polish(self._first)
        for group in (self.without, self.having):
            if any(info is None or face.generator != info.sha256 for face in group.faces):
                group.clear()
        self.reload()

    def reload(self) -> None:
        """Read the project's directions anew."""
        info = self.session.generator
        found: list[Direction] = []
        shares: dict[str, float] = {}
        if info is not None:
            try:
                found = self.session.project.directions(info.sha256)
                shares = self.session.project.meta(SHARES, {})
            except FacelabError as error:
                self.say(error)
        recipe = self.session.state.recipe
        known = set(found)
        if recipe is not None and info is not None and recipe.generator == info.sha256:
            found += [a.direction for a in recipe.directions if a.direction not in known]
        order = list(SECTIONS)
        found.sort(key=lambda d: order.index(section_of(d)))
        self._wanted, self._shares = found, shares
        self._place_more()

    def _place_more(self) -> None:
        """Rows for all that have one and a few that have none; for the others at the next turn, so that the window goes on."""
        have = {row.direction for row in self._rows}
        come = [direction for direction in self._wanted if direction not in have]
        later = set(come[AT_ONCE:])
        self._place([direction for direction in self._wanted if direction not in later], self._shares)
        self._changed(self.session.state)
        if later:
            self._soon.start()

    def _place(self, directions: Sequence[Direction], shares: dict[str, float]) -> None:
        """Rows for these; those that stay are kept as they are."""
        kept = {row.direction: row for row in self._rows}
        wanted = set(directions)
        for direction, row in kept.items():
            if direction not in wanted:
                if row is self._pointed:
                    self._no_ends()
                self._sections[section_of(direction)].body.removeWidget(row)
                row.hide()
                row.deleteLater()
        self._rows = []
        places = dict.fromkeys(SECTIONS, 0)
        for direction in directions:
            section = section_of(direction)
            row = kept.get(direction) or self._row(direction)
            body = self._sections[section].body
            if body.indexOf(row) != places[section]:
                body.insertWidget(places[section], row)
            places[section] += 1
            share = shares.get(direction.digest)
            row.show_share(share if isinstance(share, float) else None)
            self._rows.append(row)
        for section, count in places.items():
            self._sections[section].setVisible(bool(count))
        self._filter()

    def _row(self, direction: Direction) -> DirectionRow:
        row = DirectionRow(direction)
        row.value.pressed.connect(self.session.begin_drag)
        row.value.released.connect(self.session.end_drag)
        row.value.changed.connect(partial(self._moved, direction))
        row.value.hovered.connect(partial(self._point, row))
        row.more.clicked.connect(partial(self._row_menu, row))
        row.renaming.connect(partial(self._ask_name, direction))
        row.removing.connect(partial(self.remove, [direction]))
        return row

    def _filter(self) -> None:
        """Show the rows whose names hold what is searched for."""
        self.search.setVisible(len(self._rows) > MANY)
        words = self.search.text().lower().split() if self.search.isVisibleTo(self) else []
        seen = dict.fromkeys(SECTIONS, 0)
        for row in self._rows:
            there = all(word in row.direction.name.lower() for word in words)
            row.setVisible(there)
            seen[section_of(row.direction)] += there
        for section, count in seen.items():
            self._sections[section].setVisible(bool(count))
        if words:
            for shown in self._sections.values():
                shown.set_folded(False)

    def _changed(self, state: State, before: State | None = None) -> None:
        info, recipe = self.session.generator, state.recipe
        ready = info is not None and recipe is not None and recipe.generator == info.sha256
        self.setEnabled(ready)
        if not ready or recipe is None:
            return
        shown = set(self._wanted)
        if any(a.direction not in shown for a in recipe.directions):
            self.reload()  # a face came with a direction of its own
            return
        for row in self._rows:
            amount = amount_of(recipe, row.direction).amount
            if row.value.value != amount:
                row.value.set_value(amount)
        self._empty.setVisible(not self._rows)
        self._area.setVisible(bool(self._rows))
        self._ends.setVisible(bool(self._rows))
        self._reset.setEnabled(any(a.amount for a in recipe.directions))

    # -- moving -----------------------------------------------------------------------------------------------------
    def _moved(self, direction: Direction, amount: float) -> None:
        recipe = self.session.state.recipe
        if recipe is None:
            return
        use = Applied(direction, amount, amount_of(recipe, direction).layers)
        try:
            after = applied(recipe, use)
        except FacelabError as error:
            self.say(error)
            return
        self.session.edit(f"Move along {direction.name}", merge=("direction", direction.digest), recipe=after)
        if self._pointed is not None:
            self._hover.start()

    def reset(self) -> None:
        """All directions back to nothing."""
        self.session.change("Reset directions", directions=())

    def _row_menu(self, row: DirectionRow) -> None:
        menu = self.menu_of(row)
        if menu is not None:
            menu.popup(row.more.mapToGlobal(QPoint(0, row.more.height())))

    def menu_of(self, row: DirectionRow) -> QMenu | None:
        """What can be done with a direction."""
        info, recipe = self.session.generator, self.session.state.recipe
        if info is None or recipe is None:
            return None
        direction = row.direction
        now = amount_of(recipe, direction)
        menu = QMenu(self)
        menu.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        layers = menu.addMenu("Layers")
        choices: list[tuple[str, tuple[int, int] | None]] = [("As found", None), ("All", (0, info.num_ws))]
        choices += [
            (name.capitalize(), (rows[0], rows[-1] + 1))
            for name, rows in layer_groups(info.family, info.num_ws).items()
            if rows
        ]
        for name, span in choices:
            action = layers.addAction(name, partial(self._set_layers, direction, span))
            action.setCheckable(True)
            action.setChecked(now.layers == span)
        layers.addSeparator()
        layers.addAction("From … to …", partial(self._ask_layers, direction))
        menu.addAction("Reset", row.value.reset)
        menu.addSeparator()
        hold = menu.addAction("Hold others fixed…", partial(self._ask_others, direction))
        hold.setEnabled(len(self._wanted) > 1)
        plane = menu.addMenu("Put on the plane")
        for axis in ("x", "y"):
            plane.addAction(f"as {axis}", partial(self.axis_asked.emit, axis, direction))
        menu.addSeparator()
        menu.addAction("Rename…\tF2", partial(self._ask_name, direction))
        menu.addAction("Remove\tDel", partial(self.remove, [direction]))
        return menu

    def _set_layers(self, direction: Direction, layers: tuple[int, int] | None) -> None:
        recipe = self.session.state.recipe
        if recipe is not None:
            use = Applied(direction, amount_of(recipe, direction).amount, layers)
            self.session.edit(f"Layers of {direction.name}", recipe=applied(recipe, use))

    def _ask_layers(self, direction: Direction) -> None:
        info, recipe = self.session.generator, self.session.state.recipe
        if info is None or recipe is None:
            return
        first, last = amount_of(recipe, direction).layers or direction.layers or (0, info.num_ws)
        dialog = QInputDialog(self)
        dialog.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        dialog.setWindowTitle(f"Layers of {direction.name}")
        dialog.setLabelText(f"First and last layer, from 0 to {info.num_ws - 1}:")
        dialog.setTextValue(f"{first}-{last - 1}")
        dialog.textValueSelected.connect(partial(self.set_layers_text, direction))
        dialog.open()

    def set_layers_text(self, direction: Direction, text: str) -> None:
        """Keep a direction to the layers of a text such as "2-5"."""
        info = self.session.generator
        ends = text.replace("–", "-").split("-")
        try:
            first, last = int(ends[0]), int(ends[-1])
        except ValueError:
            first, last = 1, 0
        if info is None or len(ends) > 2 or not 0 <= first <= last < info.num_ws:
            most = 0 if info is None else info.num_ws - 1
            self.say(f"type two layers from 0 to {most}, such as 0-{min(3, most)}")
            return
        self.unsay()
        self._set_layers(direction, (first, last + 1))

    # -- keeping ----------------------------------------------------------------------------------------------------
    def _keep(self, text: str, directions: Sequence[Direction]) -> None:
        """Put directions into the project, as a step of undo."""
        there = set(self._wanted)
        new = [d for d in directions if d not in there]
        if not new:
            self.say("these directions are here already")
            return
        self._push(text, self.session.state.recipe, partial(_add, new), partial(_drop, new))

    def remove(self, directions: Sequence[Direction]) -> None:
        """Take directions out of the face and out of the project, as a step of undo."""
        gone = list(directions)
        if not gone:
            return
        text = f"Remove {gone[0].name}" if len(gone) == 1 else f"Remove {len(gone)} directions"
        recipe = self.session.state.recipe
        if recipe is not None:
            recipe = recipe.change(directions=tuple(a for a in recipe.directions if a.direction not in gone))
        self._push(text, recipe, partial(_drop, gone), partial(_add, gone))

    def _remove_all(self, section: str) -> None:
        self.remove([direction for direction in self._wanted if section_of(direction) == section])

    def _ask_name(self, direction: Direction) -> None:
        dialog = QInputDialog(self)
        dialog.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        dialog.setWindowTitle("Rename direction")
        dialog.setLabelText("Name:")
        dialog.setTextValue(direction.name)
        dialog.textValueSelected.connect(partial(self.rename, direction))
        dialog.open()

    def rename(self, direction: Direction, name: str) -> None:
        """Give a direction another name, in the project and in the current face, as a step of undo."""
        name = name.strip()[:200]
        if not name or name == direction.name:
            return
        new = renamed(direction, name)
        share = next((row.share.text() for row in self._rows if row.direction == direction), "")
        if share:
            self._keep_shares({new.digest: float(share.removesuffix(" %")) / 100})
        recipe = self.session.state.recipe
        if recipe is not None:
            uses = tuple(Applied(new, a.amount, a.layers) if a.direction == direction else a for a in recipe.directions)
            recipe = recipe.change(directions=uses)
        self._push(
            f"Rename {direction.name}", recipe, lambda p: p.replace_direction(direction, new),
            lambda p: p.replace_direction(new, direction),
        )  # fmt: skip

    def _push(self, text: str, recipe: Recipe | None, do: Do, undo: Do) -> None:
        self.session.stack.push(
            DirectionsEdit(self.session, text, replace(self.session.state, recipe=recipe), do, undo)
        )

    def _keep_shares(self, shares: dict[str, float]) -> None:
        project = self.session.project
        try:
            project.set_meta(SHARES, {**project.meta(SHARES, {}), **shares})
        except FacelabError as error:
            self.say(error)

    # -- holding others fixed ---------------------------------------------------------------------------------------
    def _ask_others(self, direction: Direction) -> None:
        recipe = self.session.state.recipe
        others = [each for each in self._wanted if each != direction]
        used = {a.direction for a in recipe.directions if a.amount} if recipe is not None else set()
        dialog = HoldDialog(direction, others, used, self)
        dialog.accepted.connect(lambda: self.hold(direction, dialog.chosen()))
        dialog.open()

    def hold(self, direction: Direction, others: Sequence[Direction]) -> None:
        """Make of a direction one that leaves others alone, and keep it."""
        if others:
            self.submit(Orthogonalise(direction=direction, others=tuple(others)), partial(self._held, len(others)))

    def _held(self, count: int, answer: Answer) -> None:
        if isinstance(answer, Directions):
            new = [renamed(d, f"{d.name}, {count} fixed") for d in answer.directions]
            self._keep(f"Hold {count} fixed", new)

    # -- both ends --------------------------------------------------------------------------------------------------
    def _point(self, row: DirectionRow, here: bool) -> None:
        if here:
            self._pointed = row
            self._hover.start()
        else:
            self._hover.stop()

    def _draw_ends(self) -> None:
        recipe, row = self.session.state.recipe, self._pointed
        if recipe is None or row is None:
            return
        now = amount_of(recipe, row.direction)
        ends = [applied(recipe, Applied(row.direction, sign * END, now.layers)) for sign in (-1, 1)]
        self._ends_note.setText(f"{row.direction.name}\n−{END} σ   +{END} σ")
        for view, end in zip((self._less, self._more), ends, strict=True):
            view.set_face(end)
            view.set_waiting(True)
        self.submit(Render(recipes=tuple(ends), resolution=None, lane="ends"), partial(self._show_ends, ends))

    def _show_ends(self, ends: Sequence[Recipe], answer: Answer) -> None:
        if isinstance(answer, Images):
            for view, end, pixels in zip((self._less, self._more), ends, answer.pixels, strict=True):
                if view.recipe == end:
                    view.set_pixels(pixels)

    def _take_end(self, view: FaceView) -> None:
        if view.recipe is not None:
            self.session.take(view.recipe, "Move to the end")

    # -- finding ----------------------------------------------------------------------------------------------------
    def _fill_menu(self) -> None:
        info, menu = self.session.generator, self._menu
        menu.clear()
        if info is None:
            return
        if _has_factors(info):
            known = menu.addAction("Known factors", partial(self.find_by, "factor"))
            known.setToolTip("Exactly what this generator was built from: yaw, age, smile…")
        pca = menu.addAction(METHODS["pca"].label, partial(self.find_by, "pca"))
        pca.setToolTip(METHODS["pca"].help)
        sefa = menu.addMenu(METHODS["sefa"].label)
        sefa.setToolTipsVisible(True)
        for name, layers in [
            ("All layers", None),
            *((k.capitalize(), v) for k, v in layer_groups(info.family, info.num_ws).items() if v),
        ]:
            action = sefa.addAction(
                name, partial(self._find_sefa, name, None if layers is None else (layers.start, layers.stop))
            )
            action.setToolTip(METHODS["sefa"].help)
        menu.addSeparator()
        slots = self.session.state.slots
        pair = menu.addAction("From face A to face B", self._find_pair)
        pair.setToolTip("The faces in the mixer's first two slots")
        pair.setEnabled(slots[0] is not None and slots[1] is not None)
        menu.addAction("Between groups of faces", self.show_finder).setToolTip(
            "Faces without it, and faces that have it"
        )
        menu.addSeparator()
        menu.addAction("From a file…", self._ask_file).setToolTip("Directions that others found: .npz, .npy, .pt")
        save = menu.addAction("Save all to a file…", self._ask_save)
        save.setToolTip("An .npz with all directions of this generator, for others and for numpy")
        save.setEnabled(bool(self._wanted))

    def find_by(
        self, method: str, groups: tuple[tuple[Code, ...], ...] = (), name: str = "", *,
        layers: tuple[int, int] | None = None, path: Path | None = None,
    ) -> None:  # fmt: skip
        """Look for directions by a method, and keep what is found in the project."""
        info = self.session.generator
        if info is None:
            return
        self.unsay()
        self._find.setEnabled(False)
        name = name or {"pca": "Component", "sefa": "SeFa"}.get(method, "")
        job = FindDirections(
            generator=info.sha256, method=method, count=MOST_READ if method == "file" else COUNT, groups=groups, name=name,
            layers=layers, path=path,
        )  # fmt: skip
        ticket = self.submit(job, self._found)
        ticket.closed.connect(lambda _: self._find.setEnabled(True))

    def _found(self, answer: Answer) -> None:
        if not isinstance(answer, Directions) or not answer.directions:
            return
        if answer.shares:
            self._keep_shares({d.digest: round(s, 6) for d, s in zip(answer.directions, answer.shares, strict=False)})
        self.finder.hide()  # what was found is to be seen
        count = len(answer.directions)
        self._keep(f"Find {answer.directions[0].name}" if count == 1 else f"Find {count} directions", answer.directions)

    def _find_sefa(self, name: str, layers: tuple[int, int] | None) -> None:
        self.find_by("sefa", name="SeFa" if layers is None else f"SeFa {name.lower()}", layers=layers)

    def _find_pair(self) -> None:
        a, b = self.session.state.slots[:2]
        if a is not None and b is not None:
            self.find_by("pair", ((a.sources[0],), (b.sources[0],)), f"{describe(a)} to {describe(b)}"[:60])

    def show_finder(self) -> None:
        """Open the two groups of faces."""
        self.finder.show()
        self.called.setFocus()

    def _can_find(self) -> None:
        self._find_between.setEnabled(bool(self.having.faces))

    def find_between(self) -> None:
        """Find the direction from one group of faces to the other."""
        if not self.having.faces:
            self.say("drop at least one face that has it on the right")
            return
        faces = (tuple(self.without.faces), tuple(self.having.faces))
        mixed = tuple(dict.fromkeys(r for group in faces for r in group if len(r.sources) > 1 or r.directions))
        name = self.called.text().strip() or "Direction"
        if mixed:
            self.submit(Resolve(recipes=mixed), partial(self._mixed_resolved, faces, mixed, name))
        else:
            self._find_groups(faces, {}, name)

    def _mixed_resolved(self, faces: Groups, mixed: Sequence[Recipe], name: str, answer: Answer) -> None:
        if isinstance(answer, Codes):
            self._find_groups(faces, dict(zip(mixed, answer.codes, strict=True)), name)

    def _find_groups(self, faces: Groups, resolved: Mapping[Recipe, Code], name: str) -> None:
        """A face that is one code counts as that, whatever its psi: psi changes how far it lies, not in which direction."""
        one, other = (tuple(resolved.get(r) or r.sources[0] for r in group) for group in faces)
        if len(one) == len(other) == 1:
            self.find_by("pair", (one, other), name)
        else:
            self.find_by("groups", (one, other) if one else (other,), name)

    def _ask_save(self) -> None:
        info = self.session.generator
        if info is not None:
            start = dialogs.free_name(dialogs.folder() / f"{dialogs.file_name(info.name)} directions.npz")
            dialogs.ask_save(self, "Save directions", "Directions (*.npz)", start, self.save)

    def save(self, path: Path) -> None:
        """Write all directions to a file."""
        info = self.session.generator
        if info is not None and self._wanted:
            found = tuple(self._wanted)
            self.submit(WriteDirections(directions=found, num_ws=info.num_ws, path=path))

    def _ask_file(self) -> None:
        dialogs.ask_open(self, "Directions", FILES, lambda paths: self.find_by("file", path=paths[0]))


class HoldDialog(QDialog):
    """Which other directions a direction is to leave alone."""

    def __init__(
        self, direction: Direction, others: Sequence[Direction], used: set[Direction], parent: QWidget
    ) -> None:
        super().__init__(parent)
        self.setWindowTitle(f"Hold others fixed: {direction.name}")
        self.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        self.others = tuple(others)
        self.list = QListWidget(accessibleName="Directions to hold fixed", spacing=2)
        for other in self.others:
            item = QListWidgetItem(f"{other.name}   ({SECTIONS[section_of(other)].lower()})")
            item.setFlags(item.flags() | Qt.ItemFlag.ItemIsUserCheckable)
            item.setCheckState(
                Qt.CheckState.Checked if other in used or len(self.others) == 1 else Qt.CheckState.Unchecked
            )
            self.list.addItem(item)
        note = quiet(
            f"A new direction is made of {direction.name}, from which everything is taken away that moves along those checked here.",
            wrap=True,
        )
        buttons = QDialogButtonBox(QDialogButtonBox.StandardButton.Cancel)
        self.make = button("Make direction", self.accept, primary=True)
        buttons.addButton(self.make, QDialogButtonBox.ButtonRole.ActionRole)
        buttons.rejected.connect(self.reject)
        self.list.itemChanged.connect(lambda _: self.make.setEnabled(bool(self.chosen())))
        self.make.setEnabled(bool(self.chosen()))
        column = QVBoxLayout(self)
        column.setContentsMargins(*(2 * theme.GRID,) * 4)
        column.setSpacing(2 * theme.GRID)
        column.addWidget(note)
        column.addWidget(self.list, 1)
        column.addWidget(buttons)
        dialogs.main_button(self.make)
        self.list.setFocus()
        self.resize(400, 420)

    def chosen(self) -> list[Direction]:
        """Those that are checked."""
        return [d for i, d in enumerate(self.others) if self.list.item(i).checkState() is Qt.CheckState.Checked]


def _has_factors(info: GeneratorInfo | None) -> bool:
    """Whether a generator says of itself that it was built from known factors; whether it was is found out by the engine."""
    said = {} if info is None else info.metadata
    return "teacher_version" in said or said.get("origin", "").startswith("procedural portraits")
