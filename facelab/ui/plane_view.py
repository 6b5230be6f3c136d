"""What is seen of the plane: tiles with anchors, axes, a cross-hair, a measure on every face, and the gestures on them."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache, partial
from typing import cast

import numpy as np
from PySide6.QtCore import QPointF, QRectF, Qt, Signal
from PySide6.QtGui import (
    QColor,
    QContextMenuEvent,
    QDragEnterEvent,
    QDragLeaveEvent,
    QDragMoveEvent,
    QDropEvent,
    QFont,
    QFontMetricsF,
    QKeyEvent,
    QMouseEvent,
    QPainter,
    QPainterPath,
    QPen,
    QPixmap,
    QPolygonF,
)
from PySide6.QtWidgets import QApplication, QWidget

from facelab.latent.code import Floats
from facelab.latent.plane import Lattice, Plane, Surface
from facelab.latent.recipe import Recipe
from facelab.ui import theme
from facelab.ui.canvas import Camera, Canvas, Point
from facelab.ui.dragging import direction_of, recipe_mime, recipe_of, start_drag

CORNERS: Mapping[str, Point] = {"origin": (0.0, 0.0), "x": (1.0, 0.0), "y": (0.0, 1.0)}
AXES = ("x", "y")
TAG = 30  # px, the height of an anchor's tag with its round thumbnail
STATIONS = 24  # keys of the morph that a drawn path becomes
HOME = Camera(0.5, 0.5, 240.0)


@dataclass(frozen=True, eq=False)
class Field:
    """A number for every point of a plane.

    Attributes:
        at: the number at (u, v).
        far: the number that is tinted fully.
        text: the number as it is written on a tile.
    """

    at: Callable[[float, float], float]
    far: float
    text: Callable[[float], str]


def distances(plane: Plane, target: Floats, w_std: float) -> Field:
    """How far each point of a plane in W lies from a code, in units of a usual face's distance from the average one.

    Args:
        plane: in W or W+.
        target: a code [C] or [L, C].
        w_std: root mean square distance of one channel of W from its mean.
    """
    o, x, y = (plane.at(u, v).array.astype(np.float64) for u, v in CORNERS.values())
    vectors = np.stack([o - target, x - o, y - o]).reshape(3, -1)
    gram = vectors @ vectors.T
    unit = w_std * math.sqrt(vectors.shape[1])

    def at(u: float, v: float) -> float:
        point = np.array([1.0, u, v])
        return math.sqrt(max(float(point @ gram @ point), 0.0)) / max(unit, 1e-12)

    return Field(at, 2.0, lambda value: f"{value:.2f}")


def angles(plane: Surface, target: Floats) -> Field:
    """The angle between each point of a plane in Z and a code [Z], in degrees: on the sphere only directions count."""
    if isinstance(plane, Lattice):
        return _lattice_angles(plane, target)
    o, x, y = (plane.at(u, v).array.astype(np.float64) for u, v in CORNERS.values())
    vectors = np.stack([o, x - o, y - o])
    gram, along = vectors @ vectors.T, vectors @ (target / max(float(np.linalg.norm(target)), 1e-12))

    def at(u: float, v: float) -> float:
        point = np.array([1.0, u, v])
        length = math.sqrt(max(float(point @ gram @ point), 1e-24))
        return math.degrees(math.acos(min(max(float(point @ along) / length, -1.0), 1.0)))

    return Field(at, 90.0, lambda value: f"{value:.0f}°")


def _lattice_angles(lattice: Lattice, target: Floats) -> Field:
    @lru_cache(4096)  # asked anew at every repaint
    def at(u: float, v: float) -> float:
        z = lattice.at(u, v).array
        lengths = max(float(np.linalg.norm(z) * np.linalg.norm(target)), 1e-12)
        return math.degrees(math.acos(min(max(float(z @ target) / lengths, -1.0), 1.0)))

    return Field(at, 90.0, lambda value: f"{value:.0f}°")


def _tint(share: float) -> QColor:
    """From clear green over yellow to red."""
    share = min(max(share, 0.0), 1.0)
    return QColor.fromHslF((1 - share) * 0.36, 0.85, 0.5, 0.12 + 0.4 * share)


def stations(path: Sequence[Point], step: float) -> list[Point]:
    """Points along a drawn path, about a tile apart, both its ends among them; at least 2, at most `STATIONS`."""
    points = np.asarray(path, np.float64)
    lengths = (
        np.concatenate([[0.0], np.cumsum(np.hypot(*np.diff(points, axis=0).T))]) if len(points) > 1 else np.zeros(1)
    )
    if lengths[-1] == 0:
        return [path[0]]
    count = min(max(2, round(lengths[-1] / step) + 1), STATIONS)
    at = np.linspace(0, lengths[-1], count)
    return [(float(u), float(v)) for u, v in zip(*(np.interp(at, lengths, points[:, k]) for k in (0, 1)), strict=True)]


class PlaneView(Canvas):
    """The canvas with what lies on it: anchors, axes, and the cross-hair at the current face.

    Signals:
        anchor_dropped(name, recipe): a face was dropped on, or nearest to, an anchor.
        direction_dropped(name, direction): a direction was dropped nearest to "x" or "y".
        anchor_moved(name, u, v): an anchor was dragged to another point.
        anchor_taken(name): it was clicked.
        menu_wanted(name, point, global position): right click; ``name`` is empty away from the anchors.
        stepped(i, j): Ctrl and an arrow key.
        dragged_out(u, v): a tile is dragged away, with Ctrl.
    """

    anchor_dropped = Signal(str, object)
    direction_dropped = Signal(str, object)
    anchor_moved = Signal(str, float, float)
    anchor_taken = Signal(str)
    menu_wanted = Signal(str, object, object)
    stepped = Signal(int, int)
    dragged_out = Signal(float, float)
    take_middle = Signal()

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.names: dict[str, str] = {}
        self.faces: dict[str, QPixmap] = {}
        self.recipes: dict[str, Recipe] = {}
        self.path: list[Point] = []
        self.field: Field | None = None
        self.lattice: Lattice | None = None  # when seeds lie on it
        self.cross: Point | None = None
        self.cross_on_plane = True
        self.waiting = "Opening the generator…"
        self._under: Point | None = None
        self._grabbed = ""
        self._dragging = ""
        self._dropping: str | None = None
        self._leaving: QPointF | None = None  # where a tile was pressed that is to be dragged away
        self._along = False  # what is dragged over it is a direction
        self._small = QFont(self.font())
        self._small.setPixelSize(theme.SMALL)
        self.setAcceptDrops(True)
        self.setAccessibleName("Plane of faces")
        self.setAccessibleDescription(
            "Arrow keys move, plus and minus zoom, Enter takes the face in the middle, Ctrl and arrows step the current face"
        )
        self.hovered.connect(self._hover)
        self.left.connect(partial(self._hover, None, None))

    # -- where things are -------------------------------------------------------------------------------------------------
    def tags(self) -> dict[str, QRectF]:
        """Where the tag of each anchor is drawn: at the foot of its tile, or at the edge on the way there."""
        box = QRectF(self.rect()).adjusted(4, 4, -4, -36)
        low = min(max(self.step * self.camera.scale / 2 - TAG - 4, 8), 120)
        found: dict[str, QRectF] = {}
        for name, (u, v) in CORNERS.items():
            x, y = self.camera.screen(u, v, self.width(), self.height())
            width = TAG + 8 + self._metrics().horizontalAdvance(self._said(name)) + 10
            tag = QRectF(x - width / 2, y + low, width, TAG)
            tag.moveLeft(min(max(tag.left(), box.left()), box.right() - width))
            tag.moveTop(min(max(tag.top(), box.top()), box.bottom() - TAG))
            while any(tag.intersects(other) for other in found.values()):
                tag.translate(0, TAG + 4 if tag.top() < box.center().y() else -TAG - 4)
            found[name] = tag
        return found

    def tag_at(self, position: QPointF) -> str:
        """The anchor whose tag is under a pixel, or an empty string."""
        return next((name for name, tag in self.tags().items() if name in self.recipes and tag.contains(position)), "")

    def _said(self, name: str) -> str:
        if self._dropping == name:
            return f"Drop as {name}"
        sign = {"origin": "origin", "x": "x →", "y": "y ↑"}[name]
        return f"{sign}  {self._metrics().elidedText(self.names.get(name, ''), Qt.TextElideMode.ElideMiddle, 140)}"

    def _metrics(self) -> QFontMetricsF:
        return QFontMetricsF(self._small)

    def _nearest(self, position: QPointF, among: Iterable[str] = CORNERS) -> str:
        tags = {name: tag for name, tag in self.tags().items() if name in among}
        return min(tags, key=lambda name: math.hypot(*(position - tags[name].center()).toTuple()))

    def snapped(self, u: float, v: float) -> Point:
        """The middle of the tile over a point: the very face that is seen there."""
        step = self.step
        return round(u / step) * step, round(v / step) * step

    def picture(self, u: float, v: float) -> QPixmap | None:
        """The tile at a point, where it is drawn."""
        tile = self.cache.get((u, v))
        return None if tile is None else tile.pixmap

    # -- painting -----------------------------------------------------------------------------------------------------------
    def paint_over(self, painter: QPainter) -> None:
        c = theme.colours()
        if not self.recipes:
            painter.setPen(QColor(c.quiet))
            painter.drawText(self.rect(), Qt.AlignmentFlag.AlignCenter, self.waiting)
            return
        if self.field is not None:
            self._paint_field(painter, self.field)
        self._paint_axes(painter)
        if self._under is not None and not self._dragging and self._mode != "scrub":
            self._paint_hover(painter)
        if self.cross is not None:
            self._paint_cross(painter)
        if self.path:
            self._paint_path(painter)
        for name, tag in self.tags().items():
            self._paint_tag(painter, name, tag)
        self._paint_coordinates(painter)
        if self.hasFocus():
            painter.setPen(QPen(QColor(c.link), 1))
            painter.setBrush(Qt.BrushStyle.NoBrush)
            painter.drawRect(QRectF(self.rect()).adjusted(0.5, 0.5, -0.5, -0.5))

    def _paint_axes(self, painter: QPainter) -> None:
        x, y = self.camera.screen(0, 0, self.width(), self.height())
        painter.save()
        for colour, width in ((QColor(0, 0, 0, 110), 3), (QColor(255, 255, 255, 150), 1)):
            painter.setPen(QPen(colour, width))
            if 0 <= y <= self.height():
                painter.drawLine(QPointF(0, y), QPointF(self.width(), y))
            if 0 <= x <= self.width():
                painter.drawLine(QPointF(x, 0), QPointF(x, self.height()))
        painter.restore()

    def _paint_hover(self, painter: QPainter) -> None:
        u, v = self.snapped(*cast(Point, self._under))
        x, y = self.camera.screen(u, v, self.width(), self.height())
        side = self.step * self.camera.scale - 2
        painter.setBrush(Qt.BrushStyle.NoBrush)
        painter.setPen(QPen(QColor(255, 255, 255, 200), 1.5))
        painter.drawRoundedRect(QRectF(x - side / 2, y - side / 2, side, side), 3, 3)

    def _paint_cross(self, painter: QPainter) -> None:
        u, v = cast(Point, self.cross)
        x, y = self.camera.screen(u, v, self.width(), self.height())
        side = self.step * self.camera.scale / 2 - 2
        painter.setBrush(Qt.BrushStyle.NoBrush)
        for colour, width in ((QColor(0, 0, 0, 140), 4.0), (QColor(theme.DARK.accent), 2.0)):
            pen = QPen(colour, width)
            if not self.cross_on_plane:  # near here, not here: a broken ring without hairs
                pen.setDashPattern([6 / width, 4 / width])
            painter.setPen(pen)
            painter.drawEllipse(QPointF(x, y), *((5, 5) if self.cross_on_plane else (10, 10)))
            for dx, dy in ((1, 0), (-1, 0), (0, 1), (0, -1)) if self.cross_on_plane else ():
                painter.drawLine(
                    QPointF(x + 0.72 * side * dx, y + 0.72 * side * dy), QPointF(x + side * dx, y + side * dy)
                )

    def _paint_field(self, painter: QPainter, field: Field) -> None:
        """A tint and a number on every tile."""
        step, metrics = self.step, self._metrics()
        painter.setFont(self._small)
        for cell in self.cells():
            value = field.at(cell[0] * step, cell[1] * step)
            area = self._area(cell, step).adjusted(1, 1, -1, -1)
            painter.setPen(Qt.PenStyle.NoPen)
            painter.setBrush(_tint(value / field.far))
            painter.drawRect(area)
            text = field.text(value)
            box = QRectF(0, 0, metrics.horizontalAdvance(text) + 8, metrics.height())
            box.moveTopRight(area.topRight() + QPointF(-3, 3))
            painter.setBrush(QColor(16, 16, 16, 190))
            painter.drawRoundedRect(box, 3, 3)
            painter.setPen(QColor("#f2f2f2"))
            painter.drawText(box, Qt.AlignmentFlag.AlignCenter, text)

    def _paint_path(self, painter: QPainter) -> None:
        line = QPolygonF([QPointF(*self.camera.screen(u, v, self.width(), self.height())) for u, v in self.path])
        painter.setBrush(Qt.BrushStyle.NoBrush)
        for colour, width in ((QColor(0, 0, 0, 150), 6.0), (QColor(theme.DARK.accent), 3.0)):
            painter.setPen(
                QPen(colour, width, Qt.PenStyle.SolidLine, Qt.PenCapStyle.RoundCap, Qt.PenJoinStyle.RoundJoin)
            )
            painter.drawPolyline(line)
        painter.setBrush(QColor("#ffffff"))
        for u, v in stations(self.path, self.step):
            painter.drawEllipse(QPointF(*self.camera.screen(u, v, self.width(), self.height())), 4, 4)

    def _paint_tag(self, painter: QPainter, name: str, tag: QRectF) -> None:
        c = theme.colours()
        wanted = self._dropping == name
        painter.setPen(QPen(QColor(c.accent), 2) if self._dropping is not None else Qt.PenStyle.NoPen)
        painter.setBrush(QColor(c.accent) if wanted else QColor(16, 16, 16, 215))
        painter.drawRoundedRect(tag, TAG / 2, TAG / 2)
        disc = QRectF(tag.left() + 2, tag.top() + 2, TAG - 4, TAG - 4)
        painter.setPen(Qt.PenStyle.NoPen)
        painter.setBrush(QColor(c.raised))
        painter.drawEllipse(disc)
        face = self.faces.get(name)
        if face is not None:
            clip = QPainterPath()
            clip.addEllipse(disc)
            painter.save()
            painter.setClipPath(clip)
            painter.setRenderHint(QPainter.RenderHint.SmoothPixmapTransform)
            painter.drawPixmap(disc, face, QRectF(face.rect()))
            painter.restore()
        painter.setFont(self._small)
        painter.setPen(QColor(c.on_accent if wanted else "#f2f2f2"))
        painter.drawText(tag.adjusted(TAG + 4, 0, -6, 0), Qt.AlignmentFlag.AlignVCenter, self._said(name))

    def _pill(self, painter: QPainter, at: QPointF, text: str, *, above: bool, left: bool = False) -> None:
        """A short text on a dark strip, legible on any face."""
        metrics = self._metrics()
        width, height = metrics.horizontalAdvance(text) + 14, metrics.height() + 4
        x = at.x() if left else at.x() - width / 2
        x = min(max(x, 4), self.width() - width - 4)
        box = QRectF(x, at.y() - height if above else at.y(), width, height)
        painter.setFont(self._small)
        painter.setPen(Qt.PenStyle.NoPen)
        painter.setBrush(QColor(16, 16, 16, 205))
        painter.drawRoundedRect(box, height / 2, height / 2)
        painter.setPen(QColor("#f2f2f2"))
        painter.drawText(box, Qt.AlignmentFlag.AlignCenter, text)

    def _paint_coordinates(self, painter: QPainter) -> None:
        digits = max(2, math.ceil(-math.log10(self.step)) + 1)
        at = QPointF(8, self.height() - 8)
        if self._under is not None and self._mode != "scrub":
            u, v = self.snapped(*self._under)
            said = f"u {u:.{digits}f}   v {v:.{digits}f}"
            if self.lattice is not None and u.is_integer() and v.is_integer():
                said = f"seed {self.lattice.seed(int(u), int(v))}"
            self._pill(painter, at, said, above=True, left=True)
        elif self.cross is not None:
            off = "" if self.cross_on_plane else "   nearest point; the face lies off this plane"
            self._pill(
                painter,
                at,
                f"face at  u {self.cross[0]:.{digits}f}   v {self.cross[1]:.{digits}f}{off}",
                above=True,
                left=True,
            )

    # -- events -----------------------------------------------------------------------------------------------------------
    def _hover(self, u: float | None, v: float | None) -> None:
        under = None if u is None or v is None else (u, v)
        if under != self._under:
            moved = under is None or self._under is None or self.snapped(*under) != self.snapped(*self._under)
            self._under = under
            if moved:
                self.update()

    def mousePressEvent(self, event: QMouseEvent) -> None:
        name = "" if self.drawing else self.tag_at(event.position())
        if name and event.button() == Qt.MouseButton.LeftButton:
            self._grabbed, self._press = name, event.position()
            return
        if event.button() == Qt.MouseButton.LeftButton and event.modifiers() & Qt.KeyboardModifier.ControlModifier:
            self._leaving = event.position()
            return
        super().mousePressEvent(event)

    def mouseMoveEvent(self, event: QMouseEvent) -> None:
        leaving = self._leaving
        if leaving is not None:
            if (event.position() - leaving).manhattanLength() >= QApplication.startDragDistance():
                self._leaving = None
                self.dragged_out.emit(*self.snapped(*self._point(leaving)))
            return
        if not self._grabbed:
            over = self.tag_at(event.position())
            if self._press is None:
                self.setCursor(Qt.CursorShape.OpenHandCursor if over else Qt.CursorShape.CrossCursor)
            super().mouseMoveEvent(event)
            return
        if self._press and (event.position() - self._press).manhattanLength() >= QApplication.startDragDistance():
            name, self._grabbed, self._press = self._grabbed, "", None
            self._drag(name)

    def mouseReleaseEvent(self, event: QMouseEvent) -> None:
        if self._leaving is not None:  # no drag came of it: a click like others
            self._leaving = None
            self.clicked.emit(*self._point(event.position()))
            return
        if self._grabbed:
            name, self._grabbed, self._press = self._grabbed, "", None
            self.anchor_taken.emit(name)
            return
        super().mouseReleaseEvent(event)

    def _drag(self, name: str) -> None:
        self._dragging = name
        start_drag(self, recipe_mime(self.recipes[name]), self.faces.get(name))
        self._dragging = ""
        self._dropping = None
        self.update()

    def dragEnterEvent(self, event: QDragEnterEvent) -> None:
        mime = event.mimeData()
        self._along = direction_of(mime) is not None
        if self.recipes and (self._along or recipe_of(mime) is not None):
            event.acceptProposedAction()
            self._show_target(event.position())
        else:
            event.ignore()

    def dragMoveEvent(self, event: QDragMoveEvent) -> None:
        self._show_target(event.position())
        event.acceptProposedAction()

    def dragLeaveEvent(self, event: QDragLeaveEvent) -> None:
        self._dropping = None
        self.update()

    def _show_target(self, position: QPointF) -> None:
        # An anchor of this plane may be put anywhere; what comes from elsewhere goes to the nearest anchor.
        if self._dragging:
            target = self.tag_at(position)
        else:
            target = self._nearest(position, AXES if self._along else CORNERS)
        if target != self._dropping:
            self._dropping = target
            self.update()

    def dropEvent(self, event: QDropEvent) -> None:
        recipe, direction = recipe_of(event.mimeData()), direction_of(event.mimeData())
        self._dropping = None
        self.update()
        if recipe is None and direction is None:
            event.ignore()
            return
        event.acceptProposedAction()
        if direction is not None:
            self.direction_dropped.emit(self._nearest(event.position(), AXES), direction)
        elif self._dragging and not self.tag_at(event.position()):
            self.anchor_moved.emit(self._dragging, *self._point(event.position()))
        else:
            self.anchor_dropped.emit(self._nearest(event.position()), recipe)

    def contextMenuEvent(self, event: QContextMenuEvent) -> None:
        if self.recipes:
            at = QPointF(event.pos())
            self.menu_wanted.emit(self.tag_at(at), self.snapped(*self._point(at)), event.globalPos())

    def keyPressEvent(self, event: QKeyEvent) -> None:
        arrows = {
            Qt.Key.Key_Left: (-1, 0),
            Qt.Key.Key_Right: (1, 0),
            Qt.Key.Key_Up: (0, 1),
            Qt.Key.Key_Down: (0, -1),
        }
        if event.key() in arrows and event.modifiers() & Qt.KeyboardModifier.ControlModifier:
            self.stepped.emit(*arrows[Qt.Key(event.key())])
        elif event.key() in (Qt.Key.Key_Return, Qt.Key.Key_Enter):
            self.take_middle.emit()
        elif event.key() == Qt.Key.Key_Home:
            self.look(HOME, glide=True)
        else:
            super().keyPressEvent(event)
