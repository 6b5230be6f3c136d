"""What was done, step by step, with its faces; a click goes back to it."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence

from PySide6.QtCore import QModelIndex, QPersistentModelIndex, QRect, QSize, Qt, QTimer
from PySide6.QtGui import QColor, QPainter, QPixmap
from PySide6.QtWidgets import QStyle, QStyledItemDelegate, QStyleOptionViewItem, QUndoView

from facelab.jobs import Answer, Images, Thumbnails
from facelab.latent.recipe import Recipe
from facelab.ui import theme
from facelab.ui.panels.base import Panel
from facelab.ui.panels.library import LibraryEdit
from facelab.ui.pixels import pixmap_of
from facelab.ui.session import Edit, Session
from facelab.worker import Client, Ticket

SIDE = 40  # px
REST_MS = 300  # a drag passes through many faces; only where it rests one is drawn
AT_ONCE = 16
KEPT = 600  # pictures, a little more than steps of undo

Index = QModelIndex | QPersistentModelIndex


class HistoryPanel(Panel):
    """A row for each step of undo; the current one is marked, those that were undone are faint."""

    title = "History"
    area = Qt.DockWidgetArea.LeftDockWidgetArea
    hint = "Every step, with its face; a click goes back to it"
    keys = (("Click", "Go to a step"), ("Up, Down", "Go through the steps"))

    def __init__(self, session: Session, client: Client) -> None:
        super().__init__(session, client)
        self._pictures: OrderedDict[str, QPixmap] = OrderedDict()
        self._wanted: dict[str, Recipe] = {}
        self._drawing: Ticket | None = None
        self.view = QUndoView(session.stack)
        self.view.setEmptyLabel("The start")
        self.view.setAccessibleName("Steps")
        self.view.setItemDelegate(_Step(self))
        self.view.setUniformItemSizes(True)
        self.body.setContentsMargins(0, theme.GRID // 2, 0, 0)
        self.body.addWidget(self.view)
        self._rest = QTimer(self, singleShot=True, interval=REST_MS)
        self._rest.timeout.connect(self._draw)
        session.changed.connect(lambda *_: self._stir())
        session.generator_changed.connect(lambda _: self._stir())

    def recipe(self, row: int) -> Recipe | None:
        """The face that a row's step is about: the current one after it, or that which was kept; row 0 is the start."""
        stack = self.session.stack
        here = stack.command(row - 1) if row else None
        if isinstance(here, LibraryEdit) and here.face is not None:
            return here.face
        for index in range(row - 1, -1, -1):
            command = stack.command(index)
            if isinstance(command, Edit):
                return command.after.recipe
        for index in range(row, stack.count()):  # steps before this one changed the library, not the face
            command = stack.command(index)
            if isinstance(command, Edit):
                return command.before.recipe
        return self.session.state.recipe

    def picture(self, recipe: Recipe | None) -> QPixmap | None:
        """The small picture of a face; None while it is not drawn, which is then seen to."""
        info = self.session.generator
        if recipe is None or info is None or recipe.generator != info.sha256:
            return None
        found = self._pictures.get(recipe.digest)
        if found is None:
            self._wanted[recipe.digest] = recipe
            if not self._rest.isActive():
                self._rest.start()
        return found

    def _stir(self) -> None:
        self._wanted.clear()  # what is still seen asks again when it is painted
        self._rest.start()
        self.view.viewport().update()

    def _draw(self) -> None:
        if self._drawing is not None or not self._wanted:
            return
        recipes = tuple(list(self._wanted.values())[-AT_ONCE:])
        self._wanted.clear()
        self._drawing = self.submit(
            Thumbnails(recipes=recipes, resolution=64), lambda answer: self._drawn(recipes, answer)
        )
        self._drawing.closed.connect(self._ended)

    def _drawn(self, recipes: Sequence[Recipe], answer: Answer) -> None:
        if isinstance(answer, Images):
            for recipe, pixels in zip(recipes, answer.pixels, strict=True):
                self._pictures[recipe.digest] = pixmap_of(pixels)
            while len(self._pictures) > KEPT:
                self._pictures.popitem(last=False)

    def _ended(self, end: str) -> None:
        self._drawing = None
        if end != "failed":  # a picture that cannot be drawn is not asked for again and again
            self.view.viewport().update()


class _Step(QStyledItemDelegate):
    """A step: its face and its name."""

    def __init__(self, panel: HistoryPanel) -> None:
        super().__init__(panel)
        self._panel = panel

    def sizeHint(self, option: QStyleOptionViewItem, index: Index) -> QSize:
        return QSize(120, SIDE + theme.GRID)

    def paint(self, painter: QPainter, option: QStyleOptionViewItem, index: Index) -> None:
        c, stack = theme.colours(), self._panel.session.stack
        rect: QRect = option.rect
        current, undone = index.row() == stack.index(), index.row() > stack.index()
        if current:
            painter.fillRect(rect, QColor(c.accent))
        elif option.state & QStyle.StateFlag.State_MouseOver:
            painter.fillRect(rect, QColor(c.hover))
        place = QRect(rect.left() + theme.GRID, rect.top() + theme.GRID // 2, SIDE, SIDE)
        picture = self._panel.picture(self._panel.recipe(index.row()))
        if picture is None:
            painter.fillRect(place, QColor(c.canvas))
        else:
            painter.setRenderHint(QPainter.RenderHint.SmoothPixmapTransform)
            painter.setOpacity(0.45 if undone else 1)
            painter.drawPixmap(place, picture)
            painter.setOpacity(1)
        painter.setPen(QColor(c.on_accent if current else c.quiet if undone else c.text))
        words = rect.adjusted(SIDE + 2 * theme.GRID, 0, -theme.GRID, 0)
        name = painter.fontMetrics().elidedText(index.data(), Qt.TextElideMode.ElideRight, words.width())
        painter.drawText(words, Qt.AlignmentFlag.AlignVCenter, name)
