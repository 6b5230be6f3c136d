"""The plane of faces: three faces span it, every point of it is a face."""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import ClassVar, cast

import numpy as np
from PySide6.QtCore import QPoint, QPointF, QRectF, Qt, QTimer, Signal
from PySide6.QtGui import (
    QActionGroup,
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
from PySide6.QtWidgets import (
    QApplication,
    QButtonGroup,
    QHBoxLayout,
    QInputDialog,
    QMenu,
    QToolButton,
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
    RenderTiles,
    Resolve,
    Thumbnails,
    Tiles,
)
from facelab.latent.code import Code, Direction, Floats
from facelab.latent.plane import Plane
from facelab.latent.recipe import Recipe
from facelab.settings import Settings
from facelab.ui import theme
from facelab.ui.canvas import Camera, Canvas, Cell, Point
from facelab.ui.dialogs import ExportMorphDialog, ExportPlaneDialog
from facelab.ui.panels.base import Panel
from facelab.ui.session import Session, State, describe
from facelab.ui.widgets import button, pixmap_of, quiet, recipe_mime, recipe_of, start_drag, tool
from facelab.worker import Client, Ticket

CORNERS: Mapping[str, Point] = {"origin": (0.0, 0.0), "x": (1.0, 0.0), "y": (0.0, 1.0)}
TAG = 30  # px, the height of an anchor's tag with its round thumbnail
REQUEST_MS = 30  # movements of the camera within this make one request
WORLD_MS = 200  # psi, noise and directions are dragged in small steps; the plane follows when they rest
OVERLAYS = {"": "No overlay", "average": "Distance from the average face", "current": "Distance from the current face"}
STATIONS = 24  # keys of the morph that a drawn path becomes
SEEDS = 10_000  # random seeds are drawn below this, so that a person can remember one
IN_Z = "Mix the faces before the mapping network: every point is as likely a face as any other"
IN_W = "Mix the faces after the mapping network: straighter ways from face to face"
World = tuple[str, ...]  # digests of all that tiles depend on; empty before anything can be drawn
HOME = Camera(0.5, 0.5, 240.0)


class PlaneView(Canvas):
    """The canvas with what lies on it: anchors, axes, and the cross-hair at the current face.

    Signals:
        anchor_dropped(name, recipe): a face was dropped on, or nearest to, an anchor.
        anchor_moved(name, u, v): an anchor was dragged to another point.
        anchor_taken(name): it was clicked.
        menu_wanted(name, point, global position): right click; ``name`` is empty away from the anchors.
        stepped(i, j): Ctrl and an arrow key.
    """

    anchor_dropped = Signal(str, object)
    anchor_moved = Signal(str, float, float)
    anchor_taken = Signal(str)
    menu_wanted = Signal(str, object, object)
    stepped = Signal(int, int)
    take_middle = Signal()

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.names: dict[str, str] = {}
        self.faces: dict[str, QPixmap] = {}
        self.recipes: dict[str, Recipe] = {}
        self.path: list[Point] = []
        self.field: Field | None = None
        self.cross: Point | None = None
        self.cross_on_plane = True
        self.waiting = "Opening the generator…"
        self._under: Point | None = None
        self._grabbed = ""
        self._dragging = ""
        self._dropping: str | None = None
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
        return f"{sign}  {self._metrics().elidedText(self.names.get(name, ''), Qt.TextElideMode.ElideRight, 140)}"

    def _metrics(self) -> QFontMetricsF:
        return QFontMetricsF(self._small)

    def _nearest(self, position: QPointF) -> str:
        tags = self.tags()
        return min(tags, key=lambda name: math.hypot(*(position - tags[name].center()).toTuple()))

    def snapped(self, u: float, v: float) -> Point:
        """The middle of the tile over a point: the very face that is seen there."""
        step = self.step
        return round(u / step) * step, round(v / step) * step

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
        if self._under is not None and not self._dragging:
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
        for colour, width in ((QColor(0, 0, 0, 140), 4.0), (QColor(theme.colours().accent), 2.0)):
            pen = QPen(colour, width)
            if not self.cross_on_plane:
                pen.setStyle(Qt.PenStyle.DotLine)
            painter.setPen(pen)
            painter.drawEllipse(QPointF(x, y), 5, 5)
            for dx, dy in ((1, 0), (-1, 0), (0, 1), (0, -1)):
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
        for colour, width in ((QColor(0, 0, 0, 150), 6.0), (QColor(theme.colours().accent), 3.0)):
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
        if self._under is not None:
            u, v = self.snapped(*self._under)
            self._pill(painter, at, f"u {u:.{digits}f}   v {v:.{digits}f}", above=True, left=True)
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
        super().mousePressEvent(event)

    def mouseMoveEvent(self, event: QMouseEvent) -> None:
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
        if self.recipes and recipe_of(event.mimeData()) is not None:
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
        target = self.tag_at(position) if self._dragging else self._nearest(position)
        if target != self._dropping:
            self._dropping = target
            self.update()

    def dropEvent(self, event: QDropEvent) -> None:
        recipe = recipe_of(event.mimeData())
        self._dropping = None
        self.update()
        if recipe is None:
            event.ignore()
            return
        event.acceptProposedAction()
        if self._dragging and not self.tag_at(event.position()):
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


def angles(plane: Plane, target: Floats) -> Field:
    """The angle between each point of a plane in Z and a code [Z], in degrees: on the sphere only directions count."""
    o, x, y = (plane.at(u, v).array.astype(np.float64) for u, v in CORNERS.values())
    vectors = np.stack([o, x - o, y - o])
    gram, along = vectors @ vectors.T, vectors @ (target / max(float(np.linalg.norm(target)), 1e-12))

    def at(u: float, v: float) -> float:
        point = np.array([1.0, u, v])
        length = math.sqrt(max(float(point @ gram @ point), 1e-24))
        return math.degrees(math.acos(min(max(float(point @ along) / length, -1.0), 1.0)))

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


@dataclass(frozen=True)
class _Asked:
    """The tiles that were asked for last."""

    ticket: Ticket
    world: World
    cells: frozenset[Cell]
    step: float
    resolution: int

    def covers(self, world: World, cells: tuple[Cell, ...], step: float, resolution: int) -> bool:
        same = (self.world, self.step, self.resolution) == (world, step, resolution)
        return same and self.cells.issuperset(cells)


@dataclass(frozen=True, eq=False)
class _Spanning:
    """Anchors that wait for their codes in W."""

    faces: Mapping[str, Recipe]
    directions: Mapping[str, Direction]
    text: str


class PlanePanel(Panel):
    """The endless plane: click takes a face, Shift-drag moves through, faces dropped on the anchors span it anew."""

    title: ClassVar[str] = "Plane"
    area: ClassVar = "centre"
    hint: ClassVar[str] = "An endless plane of faces, spanned by three"

    def __init__(self, session: Session, client: Client) -> None:
        super().__init__(session, client)
        self._random = random.Random()
        self._asked: _Asked | None = None
        self._spanning: _Spanning | None = None
        self._world: World = ()
        self.view = PlaneView(self)
        self._soon = QTimer(self, interval=REQUEST_MS, singleShot=True)
        self._soon.timeout.connect(self._request)
        self._later = QTimer(self, interval=WORLD_MS, singleShot=True)
        self._later.timeout.connect(self._new_world)
        self.body.addLayout(self._bar())
        self.body.addWidget(self.view, 1)

        view = self.view
        view.camera_moved.connect(self._camera_moved)
        view.clicked.connect(self._take)
        view.double_clicked.connect(self._centre_on)
        view.scrub.connect(self._scrub)
        view.drawn.connect(self._draw)
        view.anchor_dropped.connect(self.set_anchor)
        view.anchor_moved.connect(self._move_anchor)
        view.anchor_taken.connect(self._take_anchor)
        view.menu_wanted.connect(self._menu)
        view.stepped.connect(self._step)
        view.take_middle.connect(lambda: self._take(view.camera.u, view.camera.v))
        session.changed.connect(self._changed)
        session.generator_changed.connect(self._generator_changed)
        session.settings_changed.connect(self._set_tile)
        self._set_tile(session.settings)
        self._generator_changed(session.generator)
        self._changed(session.state, State())

    def _bar(self) -> QHBoxLayout:
        row = QHBoxLayout()
        row.setContentsMargins(8, 4, 8, 4)
        row.setSpacing(4)
        self.shuffle_button = button(
            "Three random seeds", self.shuffle, icon="shuffle", tip="Span the plane by three new faces (R)"
        )
        self.shuffle_button.setShortcut("R")
        row.addWidget(self.shuffle_button)
        others = tool("Other planes", "down", tip="Other ways to span the plane")
        menu = QMenu(others)
        for text, preset in (
            ("This face and two random ones", self.around_current),
            ("Two principal components around this face", self.along_components),
            ("Two saved directions around this face", self.along_saved),
        ):
            menu.addAction(text, preset)
        others.setMenu(menu)
        others.setPopupMode(QToolButton.ToolButtonPopupMode.InstantPopup)
        row.addWidget(others)
        row.addSpacing(8)
        row.addWidget(quiet("Space"))
        self.spaces = QButtonGroup(self)
        for name, hint in (("z", IN_Z), ("w", IN_W)):
            choice = QToolButton(
                text=name.upper(), checkable=True, toolTip=hint, accessibleName=f"Space {name.upper()}"
            )
            choice.setMinimumWidth(28)
            self.spaces.addButton(choice, ord(name))
            row.addWidget(choice)
        self.spaces.idClicked.connect(lambda code: self.set_space(chr(code)))
        row.addStretch(1)
        overlays = tool("Overlay", "chart", tip="Write a measure on every face")
        menu = QMenu(overlays)
        self.overlays = QActionGroup(menu)
        for name, text in OVERLAYS.items():
            choosing = menu.addAction(text)
            choosing.setCheckable(True)
            choosing.setChecked(not name)
            choosing.setData(name)
            self.overlays.addAction(choosing)
        self.overlays.triggered.connect(self._choose_field)
        overlays.setMenu(menu)
        overlays.setPopupMode(QToolButton.ToolButtonPopupMode.InstantPopup)
        row.addWidget(overlays)
        self.path_button = tool(
            "Draw a path", "film", tip="Draw a path over the faces; it becomes a morph", checkable=True
        )
        self.path_button.toggled.connect(self._draw_paths)
        row.addWidget(self.path_button)
        for icon, name, tip, action in (
            (
                "fit",
                "Back to the three faces",
                "Back to the three faces (Home)",
                lambda: self.view.look(HOME, glide=True),
            ),
            ("export", "Export plane", "Export what is seen as one picture with labelled axes…", self._export),
        ):
            row.addWidget(tool(name, icon, action, tip=tip))
        return row

    # -- what is shown ------------------------------------------------------------------------------------------------------
    def _set_tile(self, settings: Settings) -> None:
        if self.view.tile != settings.plane_tile:
            self.view.tile = settings.plane_tile
            self.view.update()
            self._camera_moved()

    def _generator_changed(self, info: GeneratorInfo | None) -> None:
        self.view.resolution = 0 if info is None else info.resolution
        self.view.forget()
        self._world, self._asked = (), None
        self.setEnabled(info is not None)

    def _changed(self, after: State, before: State) -> None:
        plane, info = after.plane, self.session.generator
        fits = plane is not None and info is not None and plane.generator == info.sha256
        if not fits:
            self.view.waiting = "Opening the generator…" if info is None else "This plane belongs to another generator"
            if self.view.recipes:
                self.view.recipes, self.view.faces, self.view.names, self.view.cross = {}, {}, {}, None
                self.view.update()
            return
        if not self._world or before.plane is not after.plane:
            self._new_world()
        elif before.recipe is not after.recipe:
            self._later.start()
        self._place_cross()

    def _template(self) -> Recipe | None:
        plane = self.session.state.plane
        return None if plane is None else self.session.dressed(plane.origin)

    def _new_world(self) -> None:
        """Draw all anew where the anchors, psi, noise or directions are other than what is drawn now."""
        plane, template, info = self.session.state.plane, self._template(), self.session.generator
        if plane is None or template is None or info is None or plane.generator != info.sha256:
            return
        world = (plane.digest, template.digest)
        if world == self._world:
            return
        other_plane = not self._world or self._world[0] != plane.digest
        self._world, self._asked = world, None
        self.view.new_world()
        self.view.names = {n: _name(end) for n, end in zip(CORNERS, (plane.origin, plane.x, plane.y), strict=True)}
        self.view.recipes = {name: self.session.dressed(plane.at(*at)) for name, at in CORNERS.items()}
        if other_plane:
            self.view.faces = {}
        z_possible = all(_as_z(end, info) is not None for end in (plane.origin, plane.x, plane.y))
        choice = self.spaces.button(ord("z"))
        choice.setEnabled(z_possible)
        choice.setToolTip(IN_Z if z_possible else "Only faces that come from seeds have a place in Z")
        self.spaces.button(ord("z" if plane.space == "z" else "w")).setChecked(True)
        ticket = self.client.submit(
            Thumbnails(recipes=tuple(self.view.recipes.values()), resolution=min(64, info.resolution))
        )
        ticket.answered.connect(self._show_anchors)
        ticket.failed.connect(self.say)
        self._soon.start()

    def _show_anchors(self, answer: Answer) -> None:
        job = cast(Thumbnails, cast(Ticket, self.sender()).job)
        if isinstance(answer, Images) and job.recipes == tuple(self.view.recipes.values()):
            self.view.faces = {name: pixmap_of(p) for name, p in zip(CORNERS, answer.pixels, strict=False)}
            self.view.update()

    def _choose_field(self, _: object) -> None:
        self._show_field()
        plane, chosen = self.session.state.plane, self.overlays.checkedAction()
        if plane is not None and plane.space == "z" and chosen is not None and chosen.data() == "average":
            self.say("in Z all points are alike; go to W to see how far faces lie from the average one")

    def _show_field(self) -> None:
        """The overlay that is chosen, for this plane and this face."""
        chosen = self.overlays.checkedAction()
        field = self._field("" if chosen is None else chosen.data())
        if field is not None or self.view.field is not None:
            self.view.field = field
            self.view.update()

    def _field(self, name: str) -> Field | None:
        plane, recipe, info = self.session.state.plane, self.session.state.recipe, self.session.generator
        if not name or plane is None or info is None or plane.generator != info.sha256:
            return None
        if name == "average":
            return None if plane.space == "z" else distances(plane, info.w_avg, info.w_std)
        code = None if recipe is None else recipe.sources[0]
        if code is None or code.generator != plane.generator or (code.space == "z") != (plane.space == "z"):
            return None  # their distance has no meaning
        return angles(plane, code.array) if plane.space == "z" else distances(plane, code.array, info.w_std)

    def _place_cross(self) -> None:
        self._show_field()
        plane, recipe = self.session.state.plane, self.session.state.recipe
        cross, on_plane = None, True
        if plane is not None and recipe is not None:
            code = recipe.sources[0]
            if (
                code.generator == plane.generator
                and code.space == plane.space
                and code.array.shape == plane.origin.array.shape
            ):
                u, v = plane.coordinates(code)
                if abs(u) < 1e4 and abs(v) < 1e4:
                    away = float(abs(plane.at(u, v).array - code.array).max())
                    cross, on_plane = (u, v), away < 1e-3 and len(recipe.sources) == 1
        if (cross, on_plane) != (self.view.cross, self.view.cross_on_plane):
            self.view.cross, self.view.cross_on_plane = cross, on_plane
            self.view.update()

    # -- tiles ----------------------------------------------------------------------------------------------------------------
    def _camera_moved(self) -> None:
        if not self._soon.isActive():
            self._soon.start()

    def _request(self) -> None:
        """Ask for the tiles that are missing, unless a job under way brings them or the same job has failed."""
        plane, template, wanted = self.session.state.plane, self._template(), self.view.wanted()
        if wanted is None or plane is None or template is None or not self._world:
            return
        cells, step, resolution = wanted
        asked = self._asked
        if asked is not None and asked.covers(self._world, cells, step, resolution):
            return
        job = RenderTiles(plane=plane, template=template, cells=cells, step=step, resolution=resolution, lane="plane")
        ticket = self.client.submit(job)
        self._asked = _Asked(ticket, self._world, frozenset(cells), step, resolution)
        ticket.answered.connect(self._show_tiles)
        ticket.failed.connect(self.say)
        ticket.closed.connect(self._tiles_closed)

    def _show_tiles(self, answer: Answer) -> None:
        job = cast(RenderTiles, cast(Ticket, self.sender()).job)
        if isinstance(answer, Tiles) and (job.plane.digest, cast(Recipe, job.template).digest) == self._world:
            self.view.put(answer.cells, job.step, answer.pixels, answer.resolution)

    def _tiles_closed(self, end: str) -> None:
        if self._asked is not None and self.sender() is self._asked.ticket and end != "failed":
            self._asked = None
            self._request()  # the next resolution, or what came into view meanwhile

    # -- what a person does -----------------------------------------------------------------------------------------------------
    def _take(self, u: float, v: float) -> None:
        plane = self.session.state.plane
        if plane is not None:
            self.session.take_code(plane.at(*self.view.snapped(u, v)))

    def _take_anchor(self, name: str) -> None:
        plane = self.session.state.plane
        if plane is not None:
            self.session.take_code(plane.at(*CORNERS[name]))
            u, v = self.view.camera.screen(*CORNERS[name], self.view.width(), self.view.height())
            if not self.view.rect().contains(round(u), round(v)):
                self._centre_on(*CORNERS[name])

    def _centre_on(self, u: float, v: float) -> None:
        u, v = self.view.snapped(u, v)
        self.view.look(self.view.camera.at(u, v), glide=True)

    def _scrub(self, u: float, v: float, phase: str) -> None:
        plane = self.session.state.plane
        if phase == "press":
            self.session.begin_drag()
        if plane is not None:
            self.session.take_code(plane.at(u, v), "Move through the plane")
        if phase == "release":
            self.session.end_drag()

    def _step(self, i: int, j: int) -> None:
        """Move the current face by one tile; keys that follow one another quickly are one step of undo."""
        plane, cross = self.session.state.plane, self.view.cross
        if plane is None:
            return
        u, v = self.view.snapped(*(cross or (self.view.camera.u, self.view.camera.v)))
        step = self.view.step
        self.session.take_code(plane.at(u + i * step, v + j * step), "Step through the plane", merge="plane step")

    def shuffle(self) -> None:
        """Three faces of random seeds, in Z."""
        info = self.session.generator
        if info is None:
            return
        label = self.session.label
        seeds = self._random.sample(range(SEEDS), 3)
        origin, x, y = (Code.from_seed(seed, info.z_dim, info.sha256, label) for seed in seeds)
        self.session.edit("Three random seeds", plane=Plane(origin=origin, x=x, y=y))
        self.view.look(HOME, glide=True)

    def set_space(self, space: str) -> None:
        """Mix in Z, or in W, with the same three faces."""
        plane, info = self.session.state.plane, self.session.generator
        if plane is None or info is None or (plane.space == "z") == (space == "z"):
            return
        if space == "z":
            ends = [_as_z(end, info) for end in (plane.origin, plane.x, plane.y)]
            if all(end is not None for end in ends):
                origin, x, y = cast(list[Code], ends)
                self.session.edit("Plane in Z", plane=Plane(origin=origin, x=x, y=y))
        else:
            self._span({"origin": plane.origin, "x": plane.x, "y": plane.y}, "Plane in W", in_w=True)

    def set_anchor(self, name: str, recipe: Recipe) -> None:
        """Put a face on "origin", "x" or "y"."""
        plane, info = self.session.state.plane, self.session.generator
        if plane is None or info is None:
            return
        if recipe.generator != info.sha256:
            self.say(f"This face was made by another generator than {info.name}; open that one to use it here.")
            return
        ends: dict[str, Code | Direction | Recipe] = {"origin": plane.origin, "x": plane.x, "y": plane.y}
        ends[name] = self._bare(recipe)
        self._span(ends, f"Face on {name}")

    def _bare(self, recipe: Recipe) -> Code | Recipe:
        """A face as an anchor. What only psi and directions add, and the plane adds too, is left to the plane."""
        worn = len(recipe.sources) == 1 and self.session.dressed(recipe.sources[0]).digest == recipe.digest
        return recipe.sources[0] if worn or recipe == Recipe.of(recipe.sources[0]) else recipe

    def set_axis(self, name: str, direction: Direction) -> None:
        """Make a direction the "x" or "y" axis; one step of the plane is one sigma of it."""
        plane = self.session.state.plane
        if plane is None or direction.generator != plane.generator:
            return
        ends: dict[str, Code | Direction | Recipe] = {"origin": plane.origin, "x": plane.x, "y": plane.y}
        ends[name] = direction
        self._span(ends, f"{direction.name} on {name}", in_w=True)

    def _move_anchor(self, name: str, u: float, v: float) -> None:
        plane = self.session.state.plane
        if plane is None:
            return
        ends: dict[str, Code | Direction | Recipe] = {"origin": plane.origin, "x": plane.x, "y": plane.y}
        ends[name] = plane.at(u, v)
        self._span(ends, f"Move {name}")

    def _span(self, ends: Mapping[str, Code | Direction | Recipe], text: str, *, in_w: bool = False) -> None:
        """Make these the plane; where their spaces differ, all go to W first, on the worker."""
        spaces = {
            end.space if isinstance(end, Code) else "w" if isinstance(end, Direction) else "w+" for end in ends.values()
        }
        if (
            len(spaces) == 1
            and not (in_w and spaces == {"z"})
            and not any(isinstance(e, Recipe) for e in ends.values())
        ):
            self._edit_plane(text, cast(Mapping[str, Code | Direction], ends))
            return
        faces = {
            n: e if isinstance(e, Recipe) else Recipe.of(e) for n, e in ends.items() if not isinstance(e, Direction)
        }
        asked = _Spanning(faces, {n: e for n, e in ends.items() if isinstance(e, Direction)}, text)
        self._spanning = asked
        self.submit(Resolve(recipes=tuple(faces.values())), partial(self._resolved, asked))

    def _resolved(self, asked: _Spanning, answer: Answer) -> None:
        info = self.session.generator
        if not isinstance(answer, Codes) or asked is not self._spanning:
            return  # another plane was asked for since
        if info is None or any(code.generator != info.sha256 for code in answer.codes):
            return  # another generator was opened since
        ends: dict[str, Code | Direction] = dict(asked.directions)
        for (name, recipe), code in zip(asked.faces.items(), answer.codes, strict=True):
            origin = recipe.sources[0].origin if len(recipe.sources) == 1 else {"name": describe(recipe)}
            ends[name] = replace(code, origin=origin, noise=None)
        self._edit_plane(asked.text, ends)

    def _edit_plane(self, text: str, ends: Mapping[str, Code | Direction]) -> None:
        try:
            plane = Plane(origin=cast(Code, ends["origin"]), x=ends["x"], y=ends["y"])
        except FacelabError as error:
            self.say(error)
            return
        self.unsay()
        self.session.edit(text, plane=plane)

    def around_current(self) -> None:
        """The current face and two random ones."""
        recipe, info = self.session.state.recipe, self.session.generator
        if recipe is None or info is None:
            return
        label = self.session.label
        x, y = (Code.from_seed(s, info.z_dim, info.sha256, label) for s in self._random.sample(range(SEEDS), 2))
        self._span({"origin": self._bare(recipe), "x": x, "y": y}, "This face and two random ones")
        self.view.look(HOME, glide=True)

    def along_components(self) -> None:
        """The current face, and the two directions in which W spreads most."""
        info = self.session.generator
        if info is not None:
            self.submit(FindDirections(generator=info.sha256, method="pca", count=2), self._components)

    def _components(self, answer: Answer) -> None:
        if isinstance(answer, Directions) and len(answer.directions) > 1:
            self._along(answer.directions[0], answer.directions[1], "Two principal components")

    def along_saved(self) -> None:
        """The current face, and the first two directions that the project keeps."""
        info = self.session.generator
        if info is None:
            return
        try:
            saved = self.session.project.directions(info.sha256)
        except FacelabError as error:
            self.say(error)
            return
        if len(saved) < 2:
            self.say("save two directions first, in the panel Directions")
        else:
            self._along(saved[0], saved[1], f"{saved[0].name} and {saved[1].name}")

    def _along(self, x: Direction, y: Direction, text: str) -> None:
        recipe = self.session.state.recipe
        if recipe is not None and recipe.generator == x.generator:
            self._span({"origin": self._bare(recipe), "x": x, "y": y}, text, in_w=True)
            self.view.look(Camera(0.0, 0.0, HOME.scale / 2), glide=True)

    # -- paths ------------------------------------------------------------------------------------------------------------------
    def _draw_paths(self, on: bool) -> None:
        self.view.drawing = on
        self.view.path = []
        self.view.update()

    def _draw(self, u: float, v: float, phase: str) -> None:
        if phase == "press":
            self.view.path = []
        self.view.path.append((u, v))
        self.view.update()
        if phase == "release":
            self._path_drawn()

    def path_keys(self) -> list[Recipe]:
        """The faces of the drawn path, about a tile apart."""
        plane = self.session.state.plane
        if plane is None or not self.view.path:
            return []
        return [self.session.dressed(plane.at(*at)) for at in stations(self.view.path, self.view.step)]

    def _path_drawn(self) -> None:
        keys = self.path_keys()
        if len(keys) > 1:
            ExportMorphDialog(self.session, self.client, keys, self).open()

    # -- menu and export --------------------------------------------------------------------------------------------------------
    def _menu(self, name: str, point: Point, at: QPoint) -> None:
        menu = QMenu(self)
        menu.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        if name:
            menu.addAction(f"Take {self.view.names.get(name, name)}", partial(self._take_anchor, name))
            menu.addAction("Put the current face here", partial(self._use_current, name))
            menu.addAction("Seed…", partial(self._ask_seed, name))
        else:
            menu.addAction("Take this face", partial(self._take, *point))
            menu.addAction("Look here", partial(self._centre_on, *point))
            menu.addSeparator()
            for corner in CORNERS:
                menu.addAction(f"Use as {corner}", partial(self._move_anchor, corner, *point))
        menu.popup(at)

    def _use_current(self, name: str) -> None:
        if self.session.state.recipe is not None:
            self.set_anchor(name, self.session.state.recipe)

    def _ask_seed(self, name: str) -> None:
        dialog = QInputDialog(self)
        dialog.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        dialog.setInputMode(QInputDialog.InputMode.IntInput)
        dialog.setIntRange(0, 2**31 - 1)
        dialog.setWindowTitle("Seed")
        dialog.setLabelText(f"The face of which seed goes on {name}?")
        dialog.intValueSelected.connect(partial(self._set_seed, name))
        dialog.open()

    def _set_seed(self, name: str, seed: int) -> None:
        info = self.session.generator
        if info is not None:
            self.set_anchor(name, Recipe.of(Code.from_seed(seed, info.z_dim, info.sha256, self.session.label)))

    def seen(self) -> tuple[tuple[float, ...], tuple[float, ...]]:
        """u of each column, left to right, and v of each row, top to bottom, of the tiles in view."""
        step, cells = self.view.step, self.view.cells()
        columns, rows = sorted({i for i, _ in cells}), sorted({j for _, j in cells}, reverse=True)
        return tuple(i * step for i in columns), tuple(j * step for j in rows)

    def _export(self) -> None:
        plane, template = self.session.state.plane, self._template()
        if plane is not None and template is not None:
            columns, rows = self.seen()
            ExportPlaneDialog(self.session, self.client, plane, template, columns, rows, self).open()


def _name(end: Code | Direction) -> str:
    return end.name if isinstance(end, Direction) else describe(Recipe.of(end))


def _as_z(end: Code | Direction, info: GeneratorInfo) -> Code | None:
    """The z of a code that has one: itself, or that of its seed."""
    if isinstance(end, Direction):
        return None
    if end.space == "z":
        return end
    seed = end.origin.get("seed")
    if not isinstance(seed, int):
        return None
    return Code.from_seed(seed, info.z_dim, info.sha256, (end.label or 0) if info.c_dim else None)
