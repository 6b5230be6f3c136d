"""Many small faces: a drawer that draws what is in view, an endless grid of them, and rows and columns under heads."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import cast

from PySide6.QtCore import (
    QAbstractListModel,
    QModelIndex,
    QObject,
    QPersistentModelIndex,
    QPoint,
    QRectF,
    QSize,
    Qt,
    QTimer,
    Signal,
)
from PySide6.QtGui import (
    QColor,
    QFontMetricsF,
    QKeyEvent,
    QPainter,
    QPainterPath,
    QPen,
    QPixmap,
    QResizeEvent,
    QShowEvent,
)
from PySide6.QtWidgets import (
    QAbstractItemView,
    QFrame,
    QListView,
    QScrollArea,
    QStyle,
    QStyledItemDelegate,
    QStyleOptionViewItem,
    QWidget,
)

from facelab.jobs import Answer, Images, Pixels, Thumbnails
from facelab.latent.recipe import Recipe
from facelab.ui import theme
from facelab.ui.dragging import recipe_mime, start_drag
from facelab.ui.face_view import FaceView
from facelab.ui.pixels import pixmap_of
from facelab.worker import Client, Ticket

Index = QModelIndex | QPersistentModelIndex
FACE = Qt.ItemDataRole.UserRole  # the Recipe of an index
SECONDS = 0.12  # that one job of small pictures may take, so that others come through between two
MOST_AT_ONCE = 16
KEPT_BYTES = 48 << 20  # of pictures that were drawn
KEPT = 1500  # pixmaps of a grid
MADE_UP = 16  # faces at a stretch
PAGE = 240  # rows that an endless grid grows by
NAME = 20  # px, the line below a face
PAD = 4  # px, around a face
CORNER = 72  # px; words in a smaller corner cannot be read


def side_for(pixels: float, resolution: int) -> int:
    """The side, a power of two that a generator can stop at, in which a face is drawn to be shown at so many pixels."""
    side = resolution
    while side % 2 == 0 and side // 2 >= max(16, 0.8 * pixels):
        side //= 2
    return side


class Drawer(QObject):
    """Draws small pictures for a view: only what is wanted now, a few in each job, and keeps those drawn last.

    Signals:
        drawn: a `Recipe` and its pixels, uint8 [H, W, 3].
        failed: an error; what could not be drawn is not asked for again until `forget`.
    """

    drawn = Signal(object, object)
    failed = Signal(object)

    def __init__(self, client: Client, parent: QObject) -> None:
        super().__init__(parent)
        self._client = client
        self._wanted: list[Recipe] = []
        self._side = 64
        self._kept: OrderedDict[str, Pixels] = OrderedDict()
        self._bytes = 0
        self._broken: set[str] = set()
        self._ticket: Ticket | None = None
        self._asked: tuple[Recipe, ...] = ()
        self._at_once = 4

    def want(self, recipes: Iterable[Recipe], side: int) -> None:
        """Draw these, in this order, at a side in pixels; what was wanted before and is not among them is dropped."""
        self._side = side
        self._wanted = [r for r in recipes if not self._ready(r)]
        self._next()

    def pixels(self, recipe: Recipe) -> Pixels | None:
        """The picture of a recipe as far as it was drawn, at whatever size."""
        found = self._kept.get(recipe.digest)
        if found is not None:
            self._kept.move_to_end(recipe.digest)
        return found

    def forget(self) -> None:
        """Let go of everything: another generator is open."""
        self._wanted, self._bytes = [], 0
        self._kept.clear()
        self._broken.clear()

    def _ready(self, recipe: Recipe) -> bool:
        found = self._kept.get(recipe.digest)
        return recipe.digest in self._broken or (found is not None and len(found) >= self._side)

    def _next(self) -> None:
        if self._ticket is not None:
            return
        self._wanted = [r for r in self._wanted if not self._ready(r)]
        self._asked, self._wanted = tuple(self._wanted[: self._at_once]), self._wanted[self._at_once :]
        if not self._asked:
            return
        ticket = self._ticket = self._client.submit(Thumbnails(recipes=self._asked, resolution=self._side))
        ticket.answered.connect(self._answered)
        ticket.failed.connect(self._not_drawn)
        ticket.closed.connect(self._closed)

    def _answered(self, answer: Answer) -> None:
        if not isinstance(answer, Images):
            return
        if answer.seconds > 0:
            each = answer.seconds / len(self._asked)
            self._at_once = max(1, min(MOST_AT_ONCE, 2 * self._at_once, round(SECONDS / each)))
        else:
            self._at_once = min(MOST_AT_ONCE, 2 * self._at_once)
        for recipe, pixels in zip(self._asked, answer.pixels, strict=True):
            self._keep(recipe.digest, pixels)
            self.drawn.emit(recipe, pixels)

    def _keep(self, digest: str, pixels: Pixels) -> None:
        former = self._kept.pop(digest, None)
        self._bytes += pixels.nbytes - (0 if former is None else former.nbytes)
        self._kept[digest] = pixels
        while self._bytes > KEPT_BYTES:
            _, old = self._kept.popitem(last=False)
            self._bytes -= old.nbytes

    def _not_drawn(self, error: object) -> None:
        self._broken.update(r.digest for r in self._asked)
        self.failed.emit(error)

    def _closed(self, _: str) -> None:
        self._ticket = None
        self._next()


class FaceModel(QAbstractListModel):
    """Faces by number: as many as there are, or without end.

    Args:
        drawer: draws them.
    """

    def __init__(self, drawer: Drawer, parent: QObject) -> None:
        super().__init__(parent)
        self._drawer = drawer
        self._face: Callable[[int], Recipe | None] = lambda _: None
        self._name: Callable[[int], str] = str
        self._most = 0
        self._rows = 0
        self._recipes: OrderedDict[int, Recipe | None] = OrderedDict()
        self._places: dict[str, int] = {}
        self._pixmaps: OrderedDict[int, tuple[str, QPixmap]] = OrderedDict()
        drawer.drawn.connect(self._drawn)

    def show(self, face: Callable[[int], Recipe | None], name: Callable[[int], str], most: int) -> None:
        """Other faces.

        Args:
            face: of a number, from 0 on; None where there is none.
            name: what is written below it.
            most: how many; a very large number is as good as endless, for rows are added as they come into view.
        """
        self.beginResetModel()
        self._face, self._name, self._most = face, name, most
        self._rows = min(PAGE, most)
        self._forget()
        self._pixmaps.clear()
        self.endResetModel()

    def refresh(self) -> None:
        """The same places, other faces: their pictures stay until the new ones are drawn."""
        self._forget()
        if self._rows:
            self.dataChanged.emit(self.index(0), self.index(self._rows - 1))

    def _forget(self) -> None:
        self._recipes.clear()
        self._places.clear()

    def recipe(self, row: int) -> Recipe | None:
        """The face at a place."""
        if row not in self._recipes:
            recipe = self._recipes[row] = self._face(row)
            if recipe is not None:
                self._places[recipe.digest] = row
            while len(self._recipes) > 4000:
                self._recipes.popitem(last=False)
        return self._recipes[row]

    def known(self, row: int) -> Recipe | None:
        """The face at a place, if it was asked for before: to make up all that are painted would take too long."""
        return self._recipes.get(row)

    def make_up(self, rows: Iterable[int]) -> bool:
        """Make up the faces at these places, at most `MADE_UP` new ones; whether all are known now."""
        new = [row for row in rows if row not in self._recipes]
        for row in new[:MADE_UP]:
            self.recipe(row)
        return len(new) <= MADE_UP

    def rowCount(self, parent: Index = QModelIndex()) -> int:  # noqa: B008
        return 0 if parent.isValid() else self._rows

    def canFetchMore(self, parent: Index) -> bool:
        return not parent.isValid() and self._rows < self._most

    def fetchMore(self, parent: Index) -> None:
        more = min(PAGE, self._most - self._rows)
        self.beginInsertRows(QModelIndex(), self._rows, self._rows + more - 1)
        self._rows += more
        self.endInsertRows()

    def data(self, index: Index, role: int = Qt.ItemDataRole.DisplayRole) -> object:
        if not index.isValid():
            return None
        row = index.row()
        if role in (Qt.ItemDataRole.DisplayRole, Qt.ItemDataRole.AccessibleTextRole):
            return self._name(row)
        if role == FACE:
            return self.recipe(row)
        if role == Qt.ItemDataRole.DecorationRole:
            return self._pixmap(row)
        return None

    def flags(self, index: Index) -> Qt.ItemFlag:
        return super().flags(index) | (Qt.ItemFlag.ItemIsDragEnabled if index.isValid() else Qt.ItemFlag.NoItemFlags)

    def _pixmap(self, row: int) -> QPixmap | None:
        """The picture of a place; the one before it while the new one is being drawn."""
        recipe, kept = self.known(row), self._pixmaps.get(row)
        if recipe is None or (kept is not None and kept[0] == recipe.digest):
            return None if kept is None else kept[1]
        pixels = self._drawer.pixels(recipe)
        if pixels is not None:
            return self._put(row, recipe, pixels)
        return None if kept is None else kept[1]

    def _put(self, row: int, recipe: Recipe, pixels: Pixels) -> QPixmap:
        made = pixmap_of(pixels)
        self._pixmaps[row] = (recipe.digest, made)
        self._pixmaps.move_to_end(row)
        while len(self._pixmaps) > KEPT:
            self._pixmaps.popitem(last=False)
        return made

    def _drawn(self, recipe: Recipe, pixels: Pixels) -> None:
        row = self._places.get(recipe.digest)
        if row is not None and row < self._rows:
            self._put(row, recipe, pixels)
            self.dataChanged.emit(self.index(row), self.index(row), [Qt.ItemDataRole.DecorationRole])


class _Delegate(QStyledItemDelegate):
    """A face with a line below it; the current face is framed."""

    def __init__(self, grid: FaceGrid) -> None:
        super().__init__(grid)
        self._grid = grid

    def sizeHint(self, option: QStyleOptionViewItem, index: Index) -> QSize:
        return self._grid.gridSize()

    def paint(self, painter: QPainter, option: QStyleOptionViewItem, index: Index) -> None:
        c = theme.colours()
        area = QRectF(cast(QRectF, option.rect))
        side = self._grid.side
        picture = QRectF(area.x() + (area.width() - side) / 2, area.y() + PAD, side, side)
        state = option.state
        painter.save()
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        painter.setRenderHint(QPainter.RenderHint.SmoothPixmapTransform)
        pixmap = cast(QPixmap | None, index.data(Qt.ItemDataRole.DecorationRole))
        clip = QPainterPath()
        clip.addRoundedRect(picture, theme.ROUND, theme.ROUND)
        if pixmap is None:
            painter.fillPath(clip, QColor(c.hover))
        else:
            painter.save()
            painter.setClipPath(clip)
            painter.drawPixmap(picture, pixmap, QRectF(pixmap.rect()))
            painter.restore()
        here = self._grid.is_current(self._grid.faces.known(index.row()))
        focused = bool(state & QStyle.StateFlag.State_HasFocus)
        if here or focused or state & QStyle.StateFlag.State_MouseOver:
            painter.setBrush(Qt.BrushStyle.NoBrush)
            painter.setPen(
                QPen(QColor(c.accent if here else c.link if focused else c.edge), 2 if here or focused else 1)
            )
            painter.drawRoundedRect(picture.adjusted(-1, -1, 1, 1), theme.ROUND + 1, theme.ROUND + 1)
        font = painter.font()
        font.setPixelSize(theme.SMALL)
        painter.setFont(font)
        painter.setPen(QColor(c.text if here else c.quiet))
        line = QRectF(area.x() + 2, picture.bottom() + 1, area.width() - 4, NAME - 2)
        name = QFontMetricsF(font).elidedText(str(index.data()), Qt.TextElideMode.ElideRight, line.width())
        painter.drawText(line, Qt.AlignmentFlag.AlignCenter, name)
        painter.restore()


class FaceGrid(QListView):
    """An endless grid of faces: each is a drag source, a click or Enter takes it, right click asks for a menu.

    Signals:
        taken: a `Recipe`.
        menu_wanted: a `Recipe` and a global position.
    """

    taken = Signal(object)
    menu_wanted = Signal(object, object)

    def __init__(self, name: str, drawer: Drawer, *, side: int = 96, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.drawer = drawer
        self.faces = FaceModel(drawer, self)
        self.side, self._wish = side, side
        self.resolution = 0  # of the generator; nothing is drawn before there is one
        self._current: Recipe | None = None
        self._look = QTimer(self, singleShot=True, interval=20)
        self._look.timeout.connect(self._see)
        self.setModel(self.faces)
        self.setItemDelegate(_Delegate(self))
        self.setFlow(QListView.Flow.LeftToRight)
        self.setWrapping(True)
        self.setMovement(QListView.Movement.Static)
        self.setResizeMode(QListView.ResizeMode.Adjust)
        self.setUniformItemSizes(True)
        self.setSelectionMode(QAbstractItemView.SelectionMode.SingleSelection)  # without one Qt drags nothing
        self.setVerticalScrollMode(QAbstractItemView.ScrollMode.ScrollPerPixel)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.setVerticalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOn)
        self.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
        self.setDragEnabled(True)
        self.setMouseTracking(True)
        self.setContextMenuPolicy(Qt.ContextMenuPolicy.CustomContextMenu)
        self.setAccessibleName(name)
        self.clicked.connect(self._take)
        self.customContextMenuRequested.connect(self._menu)
        self.verticalScrollBar().valueChanged.connect(lambda _: self._look_soon())
        self.faces.rowsInserted.connect(lambda *_: self._look_soon())

    # -- what it shows --
    def show_faces(self, face: Callable[[int], Recipe | None], name: Callable[[int], str], most: int) -> None:
        """Other faces, from the top; see `FaceModel.show`."""
        self.faces.show(face, name, most)
        self.scrollToTop()
        self._look_soon()

    def refresh(self) -> None:
        """The same places, other faces."""
        self.faces.refresh()
        self._look_soon()

    def set_current(self, recipe: Recipe | None) -> None:
        """Frame a face, where it is among them."""
        self._current = recipe
        self.viewport().update()

    def is_current(self, recipe: Recipe | None) -> bool:
        return recipe is not None and recipe == self._current

    def set_side(self, side: int) -> None:
        """How large faces are, about: they are stretched a little so that a row fills the width."""
        self._wish = side
        self._fit()

    def _fit(self) -> None:
        width = self.viewport().width() - 1
        columns = max(1, width // (self._wish + 2 * PAD))
        self.side = min(width // columns - 2 * PAD, 2 * self._wish)
        self.setGridSize(QSize(width // columns, self.side + PAD + NAME + PAD))
        self._look_soon()

    def in_view(self) -> range:
        """The rows in view, and a screen more below them."""
        size = self.gridSize()
        if size.isEmpty():
            return range(0)
        columns = max(1, (self.viewport().width() - 1) // size.width())
        top, height = self.verticalScrollBar().value(), self.viewport().height()
        first, last = top // size.height(), (top + 2 * height) // size.height() + 1
        return range(first * columns, min(last * columns, self.faces.rowCount()))

    def _look_soon(self) -> None:
        if not self._look.isActive():  # not put off for ever while a person scrolls
            self._look.start()

    def _see(self) -> None:
        """Have drawn what is in view, from the top."""
        if self.isVisible() and self.resolution:
            rows = self.in_view()
            if not self.faces.make_up(rows):
                self._look.start()  # the others in a moment
            faces = [recipe for row in rows if (recipe := self.faces.known(row)) is not None]
            self.drawer.want(faces, side_for(self.side * self.devicePixelRatioF(), self.resolution))
            self.viewport().update()  # some of them may have been drawn before

    def resizeEvent(self, event: QResizeEvent) -> None:
        super().resizeEvent(event)
        self._fit()

    def showEvent(self, event: QShowEvent) -> None:
        super().showEvent(event)
        self._look_soon()

    # -- what a person does --
    def _take(self, index: Index) -> None:
        recipe = cast(Recipe | None, index.data(FACE))
        if recipe is not None:
            self.taken.emit(recipe)

    def keyPressEvent(self, event: QKeyEvent) -> None:
        if event.key() in (Qt.Key.Key_Return, Qt.Key.Key_Enter, Qt.Key.Key_Space):
            if self.currentIndex().isValid():
                self._take(self.currentIndex())
        else:
            super().keyPressEvent(event)

    def startDrag(self, actions: Qt.DropAction) -> None:
        index = self.currentIndex()
        recipe = cast(Recipe | None, index.data(FACE)) if index.isValid() else None
        if recipe is not None:
            start_drag(self, recipe_mime(recipe, self.drawer.pixels(recipe)), cast(QPixmap | None, index.data(Qt.ItemDataRole.DecorationRole)))  # fmt: skip

    def _menu(self, at: QPoint) -> None:
        recipe = cast(Recipe | None, self.indexAt(at).data(FACE)) if self.indexAt(at).isValid() else None
        if recipe is not None:
            self.menu_wanted.emit(recipe, self.viewport().mapToGlobal(at))


class Matrix(QScrollArea):
    """Faces in rows and columns under heads, as large as fits; each is a drag source, a click takes it, right click asks for a menu.

    Signals:
        taken: a `Recipe`.
        menu_wanted: a `Recipe` and a global position.
    """

    taken = Signal(object)
    menu_wanted = Signal(object, object)
    GAP = 4

    def __init__(
        self, name: str, drawer: Drawer, *, left: int = 0, top: int = 0, tail: int = 0, least: int = 40, most: int = 192,
        parent: QWidget | None = None,
    ) -> None:  # fmt: skip
        """
        Args:
            name: for a screen reader.
            left, top: px of the heads at the left and at the top; 0 makes them as large as the faces.
            tail: px of one head more at the end of both, beyond the faces; 0 where there is none.
            least, most: px of a face.
        """
        super().__init__(parent)
        self.drawer = drawer
        self.resolution = 0
        self.cells: list[list[FaceView]] = []
        self.side = least
        self._left, self._top, self._tail, self._least, self._most = left, top, tail, least, most
        self._heads: tuple[tuple[QWidget, ...], tuple[QWidget, ...]] = ((), ())
        self._corner: QWidget | None = None
        self._content = QWidget()
        self.setWidget(self._content)
        self.setFrameShape(QFrame.Shape.NoFrame)
        self.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        self.setAccessibleName(name)
        self._look = QTimer(self, singleShot=True, interval=20)
        self._look.timeout.connect(self._see)
        drawer.drawn.connect(self._drawn)

    def set_heads(self, top: Sequence[QWidget], left: Sequence[QWidget]) -> None:
        """What stands over the columns and before the rows; those before them go. With a tail, the last of each stands there."""
        for widget in (*self._heads[0], *self._heads[1]):
            if widget not in (*top, *left):
                widget.hide()
                widget.deleteLater()
        self._heads = (tuple(top), tuple(left))
        for widget in (*top, *left):
            widget.setParent(self._content)
            widget.show()
        self._arrange()

    def set_corner(self, widget: QWidget) -> None:
        """What stands in the corner between the heads, where there is room for it."""
        self._corner = widget
        widget.setParent(self._content)

    def fill(self, faces: Sequence[Sequence[Recipe]], name: Callable[[int, int], str]) -> None:
        """Show faces by row and column; ``name`` says what one is. Old pictures stay until the new ones are drawn."""
        while len(self.cells) > len(faces):
            for view in self.cells.pop():
                view.deleteLater()
        while len(self.cells) < len(faces):
            self.cells.append([])
        for row, (views, recipes) in enumerate(zip(self.cells, faces, strict=True)):
            while len(views) > len(recipes):
                views.pop().deleteLater()
            while len(views) < len(recipes):
                views.append(self._new())
            for column, (view, recipe) in enumerate(zip(views, recipes, strict=True)):
                said = name(row, column)
                view.setAccessibleName(said)
                view.setToolTip(f"{said}: click to take, drag to use")
                if view.recipe != recipe:
                    view.set_face(recipe, self.drawer.pixels(recipe))
        self._arrange()

    def _new(self) -> FaceView:
        view = FaceView("", parent=self._content)
        view.setMinimumSize(16, 16)
        view.clicked.connect(partial(self._take, view))
        self.give_menu(view)
        view.show()
        return view

    def give_menu(self, view: FaceView) -> None:
        """Let a right click on a face ask for its menu."""
        view.setContextMenuPolicy(Qt.ContextMenuPolicy.CustomContextMenu)
        view.customContextMenuRequested.connect(partial(self._menu, view))

    def _take(self, view: FaceView) -> None:
        if view.recipe is not None:
            self.taken.emit(view.recipe)

    def _menu(self, view: FaceView, at: QPoint) -> None:
        if view.recipe is not None:
            self.menu_wanted.emit(view.recipe, view.mapToGlobal(at))

    def views(self) -> list[FaceView]:
        """Every face, the heads first."""
        heads = [w for w in (*self._heads[0], *self._heads[1]) if isinstance(w, FaceView)]
        return heads + [view for row in self.cells for view in row]

    def _arrange(self) -> None:
        """Give everything its place."""
        gap, rows, columns = self.GAP, len(self.cells), max([0, *(len(row) for row in self.cells)])
        tail = self._tail + gap if self._tail else 0
        apart = gap if self._left else 3 * gap  # heads that are faces stand a little off those in the table
        wide = self.viewport().width() - 2 * theme.GRID - self._left - tail - apart - gap * columns
        high = self.viewport().height() - 2 * theme.GRID - self._top - tail - apart - gap * rows
        across, down = columns + (not self._left), rows + (not self._top)
        side = self.side = max(self._least, min(wide // max(1, across), high // max(1, down), self._most))
        left, top = self._left or side, self._top or side
        whole = (
            2 * theme.GRID + left + apart + columns * (side + gap) + tail,
            2 * theme.GRID + top + apart + rows * (side + gap) + tail,
        )
        self._content.resize(max(whole[0], self.viewport().width()), max(whole[1], self.viewport().height()))
        x0 = max(theme.GRID, (self._content.width() - whole[0]) // 2 + theme.GRID)
        xs = [x0 + left + apart + i * (side + gap) for i in range(columns + 1)]
        ys = [theme.GRID + top + apart + i * (side + gap) for i in range(rows + 1)]
        if self._corner is not None:
            self._corner.setGeometry(x0, theme.GRID, left, top)
            self._corner.setVisible(min(left, top) >= CORNER)
        for i, widget in enumerate(self._heads[0]):
            widget.setGeometry(xs[min(i, columns)], theme.GRID, side if i < columns else self._tail, top)
        for i, widget in enumerate(self._heads[1]):
            widget.setGeometry(x0, ys[min(i, rows)], left, side if i < rows else self._tail)
        for y, row in zip(ys, self.cells, strict=False):
            for x, view in zip(xs, row, strict=False):
                view.setGeometry(x, y, side, side)
        self._look.start()

    def _see(self) -> None:
        if not self.isVisible() or not self.resolution:
            return
        wanted = side_for(self.side * self.devicePixelRatioF(), self.resolution)
        self.drawer.want([view.recipe for view in self.views() if view.recipe is not None], wanted)

    def _drawn(self, recipe: Recipe, pixels: Pixels) -> None:
        for view in self.views():
            if view.recipe == recipe:
                view.set_pixels(pixels)

    def resizeEvent(self, event: QResizeEvent) -> None:
        super().resizeEvent(event)
        self._arrange()

    def showEvent(self, event: QShowEvent) -> None:
        super().showEvent(event)
        self._look.start()
