"""Directions: a slider for each, in sigmas of the generator's own faces."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from PySide6.QtCore import QPoint, Qt, QTimer
from PySide6.QtWidgets import (
    QComboBox,
    QDialog,
    QDialogButtonBox,
    QFormLayout,
    QFrame,
    QHBoxLayout,
    QMenu,
    QScrollArea,
    QSizePolicy,
    QVBoxLayout,
    QWidget,
)

from facelab.errors import FacelabError
from facelab.jobs import Answer, Directions, FindDirections, Images, Render
from facelab.latent.code import Code, Direction
from facelab.latent.direction import METHODS
from facelab.latent.recipe import Applied, Recipe
from facelab.latent.spaces import layer_groups
from facelab.ui import theme
from facelab.ui.panels.base import Panel
from facelab.ui.session import Session, State
from facelab.ui.widgets import Elided, EmptyState, FaceView, MessageBar, ValueSlider, button, quiet, tool
from facelab.worker import Client

LABEL = 112  # px
REACH = 4.0  # sigmas to each side; numbers go further
END = 2.5  # sigmas, of the two faces that a direction shows when it is pointed at
COUNT = 10  # found at once
HOVER_MS = 120
SIDE = 96


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


class DirectionRow(QWidget):
    """One direction: its name, its slider, and a menu."""

    def __init__(self, direction: Direction, note: str) -> None:
        super().__init__()
        self.direction = direction
        self.name = Elided(direction.name)
        self.name.setFixedWidth(LABEL)
        self.name.setSizePolicy(QSizePolicy.Policy.Fixed, QSizePolicy.Policy.Preferred)
        self.value = ValueSlider(
            direction.name, -REACH, REACH, 0.0, step=0.1, label="", reach=(-40.0, 40.0),
            tip=f"{direction.name}{note}: how many sigmas to move; double-click for none",
        )  # fmt: skip
        self.more = tool(f"More for {direction.name}", "more", tip="Layers, remove")
        row = QHBoxLayout(self)
        row.setContentsMargins(0, 0, 0, 0)
        row.setSpacing(4)
        row.addWidget(self.name)
        row.addWidget(self.value, 1)
        row.addWidget(self.more)


class DirectionsPanel(Panel):
    """Finds directions, keeps them in the project, and moves the current face along them."""

    title = "Directions"
    area = Qt.DockWidgetArea.RightDockWidgetArea
    hint = "Move the face along directions, by sigmas"
    keys = (("Point at a direction", f"See the face {END} sigmas to both sides"),)

    def __init__(self, session: Session, client: Client) -> None:
        super().__init__(session, client)
        self._rows: list[DirectionRow] = []
        self._shares: dict[str, float] = {}
        self._pointed: DirectionRow | None = None
        self._hover = QTimer(self, singleShot=True, interval=HOVER_MS)
        self._hover.timeout.connect(self._draw_ends)

        self._find = button(
            "Find directions", tip="By statistics of W, by the network's weights, or from faces", icon="search"
        )
        self._menu = QMenu(self._find)
        self._menu.aboutToShow.connect(self._fill_menu)
        self._find.setMenu(self._menu)
        self._reset = tool("Reset all directions", "reset", self.reset, tip="All directions back to nothing")
        top = QHBoxLayout()
        top.setContentsMargins(theme.GRID, theme.GRID, theme.GRID, 4)
        top.addWidget(self._find)
        top.addStretch(1)
        top.addWidget(self._reset)

        first = button(
            "Find principal components",
            partial(self.find, "pca"),
            tip="The directions in which faces differ most",
            primary=True,
        )
        self._empty = EmptyState(
            "target",
            "Directions change one thing about a face: turn it, age it, light it. Find some in this generator, "
            "or mix face A with B and take the way between them.",
            first,
        )
        self._list = QWidget()
        self._column = QVBoxLayout(self._list)
        self._column.setContentsMargins(theme.GRID, 0, theme.GRID, theme.GRID)
        self._column.setSpacing(2)
        self._column.addStretch(1)
        self._area = QScrollArea()
        self._area.setWidget(self._list)
        self._area.setWidgetResizable(True)
        self._area.setFrameShape(QFrame.Shape.NoFrame)
        self._area.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self._area.setFocusPolicy(Qt.FocusPolicy.NoFocus)

        self._less, self._more = (
            FaceView("The face at one end", side=SIDE),
            FaceView("The face at the other end", side=SIDE),
        )
        self._ends_note = quiet("", wrap=True, small=True)
        self._ends_note.setAlignment(Qt.AlignmentFlag.AlignCenter)
        self._ends = QWidget()
        ends = QHBoxLayout(self._ends)
        ends.setContentsMargins(*(theme.GRID,) * 4)
        ends.addWidget(self._less)
        ends.addWidget(self._ends_note, 1)
        ends.addWidget(self._more)
        self._ends.hide()
        for view in (self._less, self._more):
            view.setToolTip("Drag it, or click to take it")
            view.clicked.connect(partial(self._take_end, view))

        self.body.addLayout(top)
        self.body.addWidget(self._empty, 1)
        self.body.addWidget(self._area, 1)
        self.body.addWidget(self._ends)
        session.changed.connect(self._changed)
        session.generator_changed.connect(lambda _: self.reload())
        session.project_changed.connect(lambda _: self.reload())
        self.reload()

    @property
    def rows(self) -> tuple[DirectionRow, ...]:
        return tuple(self._rows)

    # -- what is shown ----------------------------------------------------------------------------------------------
    def reload(self) -> None:
        """Read the project's directions anew."""
        info = self.session.generator
        found: list[Direction] = []
        if info is not None:
            try:
                found = self.session.project.directions(info.sha256)
            except FacelabError as error:
                self.say(error)
        recipe = self.session.state.recipe
        known = set(found)
        if recipe is not None and info is not None and recipe.generator == info.sha256:
            found += [a.direction for a in recipe.directions if a.direction not in known]
        self._place(found)
        self._changed(self.session.state)

    def _place(self, directions: Sequence[Direction]) -> None:
        if [row.direction for row in self._rows] == list(directions):
            return
        self._pointed = None
        self._ends.hide()
        for row in self._rows:
            self._column.removeWidget(row)
            row.hide()
            row.deleteLater()
        self._rows = []
        for direction in directions:
            share = self._shares.get(direction.digest)
            row = DirectionRow(direction, "" if share is None else f" ({100 * share:.1f} % of the spread)")
            row.value.pressed.connect(self.session.begin_drag)
            row.value.released.connect(self.session.end_drag)
            row.value.changed.connect(partial(self._moved, direction))
            row.value.hovered.connect(partial(self._point, row))
            row.more.clicked.connect(partial(self._row_menu, row))
            self._column.insertWidget(self._column.count() - 1, row)
            self._rows.append(row)

    def _changed(self, state: State, before: State | None = None) -> None:
        info, recipe = self.session.generator, state.recipe
        ready = info is not None and recipe is not None and recipe.generator == info.sha256
        self.setEnabled(ready)
        if not ready or recipe is None:
            return
        shown = {row.direction for row in self._rows}
        if any(a.direction not in shown for a in recipe.directions):
            self.reload()  # a face came with a direction of its own
            return
        for row in self._rows:
            row.value.set_value(amount_of(recipe, row.direction).amount)
        self._empty.setVisible(not self._rows)
        self._area.setVisible(bool(self._rows))
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
        info, recipe = self.session.generator, self.session.state.recipe
        if info is None or recipe is None:
            return
        now = amount_of(recipe, row.direction)
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
            action = layers.addAction(name, partial(self._set_layers, row.direction, span))
            action.setCheckable(True)
            action.setChecked(now.layers == span)
        menu.addAction("Reset", row.value.reset)
        menu.addSeparator()
        menu.addAction("Remove", partial(self.remove, row.direction))
        menu.popup(row.more.mapToGlobal(QPoint(0, row.more.height())))

    def _set_layers(self, direction: Direction, layers: tuple[int, int] | None) -> None:
        recipe = self.session.state.recipe
        if recipe is not None:
            use = Applied(direction, amount_of(recipe, direction).amount, layers)
            self.session.edit(f"Layers of {direction.name}", recipe=applied(recipe, use))

    def remove(self, direction: Direction) -> None:
        """Take a direction out of the face and out of the project."""
        self.session.project.delete_direction(direction)
        recipe = self.session.state.recipe
        if recipe is not None:
            self.session.edit(f"Remove {direction.name}", recipe=applied(recipe, Applied(direction, 0.0)))
        self.reload()

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
        self._ends.show()
        for view, end in zip((self._less, self._more), ends, strict=True):
            view.set_face(end)
            view.set_waiting(True)
        self.submit(Render(recipes=tuple(ends), resolution=None, lane="ends"), partial(self._show_ends, ends))

    def _show_ends(self, ends: Sequence[Recipe], answer: Answer) -> None:
        if isinstance(answer, Images) and answer.final:
            for view, end, pixels in zip((self._less, self._more), ends, answer.pixels, strict=True):
                if view.recipe == end:
                    view.set_pixels(pixels)

    def _take_end(self, view: FaceView) -> None:
        if view.recipe is not None:
            self.session.take(view.recipe, "Move to the end")

    # -- finding ----------------------------------------------------------------------------------------------------
    def _fill_menu(self) -> None:
        self._menu.clear()
        for name in ("pca", "sefa"):
            action = self._menu.addAction(METHODS[name].label, partial(self.find, name))
            action.setToolTip(METHODS[name].help)
        self._menu.addSeparator()
        slots = self.session.state.slots
        pair = self._menu.addAction("From face A to face B", self._find_pair)
        pair.setEnabled(slots[0] is not None and slots[1] is not None)
        groups = self._menu.addAction("Between two tags of the library…", self._ask_groups)
        groups.setEnabled(bool(self.session.project.tags()))
        self._menu.setToolTipsVisible(True)

    def find(self, method: str, groups: tuple[tuple[Code, ...], ...] = (), name: str = "") -> None:
        """Look for directions by a method, and keep what is found in the project."""
        info = self.session.generator
        if info is None:
            return
        self._find.setEnabled(False)
        name = name or {"pca": "Component", "sefa": "Factor"}.get(method, METHODS[method].label)
        ticket = self.submit(
            FindDirections(generator=info.sha256, method=method, count=COUNT, groups=groups, name=name), self._found
        )
        ticket.closed.connect(lambda _: self._find.setEnabled(True))

    def _found(self, answer: Answer) -> None:
        if not isinstance(answer, Directions):
            return
        for direction in answer.directions:
            self.session.project.add_direction(direction)
        for direction, share in zip(answer.directions, answer.shares, strict=False):
            self._shares[direction.digest] = share
        try:
            self.session.project.flush()  # what is read below is what was written
        except FacelabError as error:
            self.say(error)
        self.reload()

    def _find_pair(self) -> None:
        a, b = self.session.state.slots[:2]
        if a is not None and b is not None:
            self.find("pair", ((a.sources[0],), (b.sources[0],)), "A to B")

    def _ask_groups(self) -> None:
        dialog = _GroupsDialog(self.session, self)
        dialog.accepted.connect(lambda: self.find("groups", dialog.groups, dialog.called))
        dialog.open()


class _GroupsDialog(QDialog):
    """Which tags of the library the two groups of faces have."""

    def __init__(self, session: Session, parent: QWidget) -> None:
        super().__init__(parent)
        self.setWindowTitle("Direction between two tags")
        self.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        self._session = session
        self.groups: tuple[tuple[Code, ...], ...] = ()
        self.called = ""
        self.message = MessageBar()
        self.one, self.other = QComboBox(accessibleName="From the faces"), QComboBox(accessibleName="To the faces")
        self.one.addItem("the average face", None)
        for tag in session.project.tags():
            self.one.addItem(tag, tag)
            self.other.addItem(tag, tag)
        form = QFormLayout()
        form.addRow("From", self.one)
        form.addRow("To", self.other)
        buttons = QDialogButtonBox(QDialogButtonBox.StandardButton.Cancel)
        buttons.addButton(button("Find", self._find, primary=True), QDialogButtonBox.ButtonRole.ActionRole)
        buttons.rejected.connect(self.reject)
        column = QVBoxLayout(self)
        column.setContentsMargins(*(2 * theme.GRID,) * 4)
        column.setSpacing(2 * theme.GRID)
        column.addWidget(self.message)
        column.addLayout(form)
        column.addWidget(buttons)
        self.setMinimumWidth(360)

    def _codes(self, tag: str) -> tuple[Code, ...]:
        project, info = self._session.project, self._session.generator
        faces = [row for row in project.faces(tag=tag) if info is not None and row.generator == info.sha256]
        return tuple(code for row in faces for code in project.recipe(row.id).sources[:1])

    def _find(self) -> None:
        one, other = self.one.currentData(), self.other.currentData()
        try:
            groups = tuple(self._codes(tag) for tag in (one, other) if tag is not None)
        except FacelabError as error:
            self.message.say(error)
            return
        if one == other or not all(groups):
            self.message.say("choose two tags that have faces of this generator")
            return
        self.groups, self.called = groups, f"{one or 'average'} to {other}"
        self.accept()
