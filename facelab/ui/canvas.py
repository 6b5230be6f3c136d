"""An endless canvas of square tiles: where a camera looks, which tiles that needs, and a widget to pan and zoom them.

Nothing here knows what a tile shows. The canvas asks for tiles through ``wanted``, is given pixels with ``put``, and draws what
it has: the right tile, else the tile of the level before, scaled.
"""

from __future__ import annotations

import math
import time
from collections import OrderedDict
from dataclasses import dataclass, replace

from PySide6.QtCore import QElapsedTimer, QEvent, QPointF, QRectF, Qt, QTimer, Signal
from PySide6.QtGui import (
    QColor,
    QKeyEvent,
    QMouseEvent,
    QNativeGestureEvent,
    QPainter,
    QPaintEvent,
    QPixmap,
    QResizeEvent,
    QWheelEvent,
)
from PySide6.QtWidgets import QApplication, QGestureEvent, QPinchGesture, QWidget

from facelab.jobs import Pixels
from facelab.ui import theme
from facelab.ui.pixels import pixmap_of

Cell = tuple[int, int]
Point = tuple[float, float]

TILE = 96  # logical pixels, about which a tile is large: from a sixth less to two thirds more
MOST_TILES = 160  # on large screens tiles grow instead of becoming more
SCALES = (4.0, 1e6)  # pixels per unit: beyond these, all is far outside the faces, or neighbours are one face
FAR = 1e4  # the camera goes no farther from the origin than this
GAP = 2


@dataclass(frozen=True)
class Camera:
    """Where the canvas looks: the plane's point in the middle, and logical pixels per unit; v points up.

    Attributes:
        u, v: the point in the middle.
        scale: pixels per unit.
    """

    u: float = 0.5
    v: float = 0.5
    scale: float = 240.0

    def screen(self, u: float, v: float, width: float, height: float) -> Point:
        """The pixel at which a point of the plane is drawn."""
        return width / 2 + (u - self.u) * self.scale, height / 2 - (v - self.v) * self.scale

    def point(self, x: float, y: float, width: float, height: float) -> Point:
        """The point of the plane under a pixel."""
        return self.u + (x - width / 2) / self.scale, self.v - (y - height / 2) / self.scale

    def at(self, u: float, v: float) -> Camera:
        """The camera over another point, within bounds."""
        return replace(self, u=min(max(u, -FAR), FAR), v=min(max(v, -FAR), FAR))

    def panned(self, dx: float, dy: float) -> Camera:
        """The camera after the picture was moved by (dx, dy) pixels."""
        return self.at(self.u - dx / self.scale, self.v + dy / self.scale)

    def zoomed(self, factor: float, x: float, y: float, width: float, height: float) -> Camera:
        """The camera nearer by ``factor``, with the same point under the pixel (x, y) as before."""
        u, v = self.point(x, y, width, height)
        scale = min(max(self.scale * factor, SCALES[0]), SCALES[1])
        nearer = replace(self, scale=scale)
        du, dv = nearer.point(x, y, width, height)
        return nearer.at(self.u + u - du, self.v + v - dv)


def step_of(scale: float, width: float = 0, height: float = 0, tile: float = TILE) -> float:
    """Distance between neighbouring tiles, a power of two, so that a level's tiles are among those of the next finer one."""
    smallest = max(tile / 1.2, math.sqrt(width * height / MOST_TILES))
    return 2.0 ** math.ceil(math.log2(smallest / scale) - 1e-9)


def cells_in_view(camera: Camera, step: float, width: float, height: float) -> list[Cell]:
    """The tiles that can be seen, from the middle outwards. Tile (i, j) is centred at (i * step, j * step)."""
    left, top = camera.point(0, 0, width, height)
    right, bottom = camera.point(width, height, width, height)
    columns = range(math.floor(left / step + 0.5), math.ceil(right / step - 0.5) + 1)
    rows = range(math.floor(bottom / step + 0.5), math.ceil(top / step - 0.5) + 1)
    cells = [(i, j) for i in columns for j in rows]
    return sorted(cells, key=lambda c: math.hypot(c[0] * step - camera.u, c[1] * step - camera.v))


def resolution_for(side: float, most: int) -> int:
    """The smallest resolution, a power of two, that fills ``side`` device pixels; the generator's own at the most."""
    return min(most, int(2 ** math.ceil(math.log2(max(side, 1)))))


@dataclass(eq=False)
class Tile:
    """A picture of one point: as it came, and scaled to the size in which it is drawn now."""

    pixmap: QPixmap
    resolution: int
    world: int
    scaled: QPixmap | None = None

    @property
    def bytes(self) -> int:
        return sum(p.width() * p.height() * 4 for p in (self.pixmap, self.scaled) if p is not None)

    def drawn_at(self, side: int) -> QPixmap | None:
        """The pixmap that is ``side`` device pixels wide, if there is one."""
        if self.pixmap.width() == side:
            return self.pixmap
        return self.scaled if self.scaled is not None and self.scaled.width() == side else None


class TileCache:
    """Tiles by their point, the least lately seen dropped first when they take more than ``most`` bytes.

    A tile that belongs to an earlier world (other anchors, another psi) is kept and shown until its successor comes.
    """

    def __init__(self, most: int = 160 << 20) -> None:
        self.most = most
        self.bytes = 0
        self.world = 0
        self._tiles: OrderedDict[Point, Tile] = OrderedDict()

    def __len__(self) -> int:
        return len(self._tiles)

    def get(self, point: Point) -> Tile | None:
        tile = self._tiles.get(point)
        if tile is not None:
            self._tiles.move_to_end(point)
        return tile

    def resolution(self, point: Point) -> int:
        """That of the tile of this world at a point; 0 where there is none."""
        tile = self._tiles.get(point)
        return tile.resolution if tile is not None and tile.world == self.world else 0

    def put(self, point: Point, pixmap: QPixmap, resolution: int) -> None:
        """Keep a tile, unless a sharper one of this world is there."""
        if self.resolution(point) > resolution:
            return
        old = self._tiles.pop(point, None)
        self.bytes -= old.bytes if old else 0
        tile = Tile(pixmap, resolution, self.world)
        self._tiles[point] = tile
        self.bytes += tile.bytes
        self._shrink()

    def keep_scaled(self, point: Point, scaled: QPixmap) -> None:
        tile = self._tiles[point]
        self.bytes -= tile.bytes
        tile.scaled = scaled
        self.bytes += tile.bytes
        self._shrink()

    def clear(self) -> None:
        self._tiles.clear()
        self.bytes = 0

    def _shrink(self) -> None:
        while self.bytes > self.most and len(self._tiles) > 1:
            _, tile = self._tiles.popitem(last=False)
            self.bytes -= tile.bytes


class Canvas(QWidget):
    """The widget. Drag pans and glides on, wheel and pinch zoom about the cursor, arrows and +/- do both by keyboard.

    Signals:
        camera_moved: after every change of what is seen.
        clicked(u, v), double_clicked(u, v): of the left button, without a drag.
        hovered(u, v): the point under the cursor.
        scrub(u, v, phase): Shift-drag; phase is "press", "move" or "release".
        drawn(u, v, phase): a drag while ``drawing`` is on, which draws instead of moving the canvas.
    """

    camera_moved = Signal()
    clicked = Signal(float, float)
    double_clicked = Signal(float, float)
    hovered = Signal(float, float)
    left = Signal()
    scrub = Signal(float, float, str)
    drawn = Signal(float, float, str)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.camera = Camera()
        self.cache = TileCache()
        self.resolution = 0  # the generator's; 0 draws no tiles
        self.tile: float = TILE
        self.drawing = False
        self._before: float | None = None  # the level that is shown where this one has nothing yet
        self._goal: Camera | None = None
        self._goal_at: tuple[Point, Point] | None = None  # a zoom's fixed pixel and point
        self._speed: Point = (0.0, 0.0)
        self._trail: list[tuple[float, QPointF]] = []
        self._press: QPointF | None = None
        self._mode = ""  # "", "press", "pan", "scrub", "drawn"
        self._clock = QElapsedTimer()
        self._ticker = QTimer(self, interval=16, timerType=Qt.TimerType.PreciseTimer)
        self._ticker.timeout.connect(self._tick)
        self._sharpener = QTimer(self, interval=0, singleShot=False)
        self._sharpener.timeout.connect(self._sharpen)
        self._settled = QTimer(self, interval=120, singleShot=True)
        self._settled.timeout.connect(self._sharpener.start)
        self.grabGesture(Qt.GestureType.PinchGesture)
        self.setMouseTracking(True)
        self.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        self.setAttribute(Qt.WidgetAttribute.WA_OpaquePaintEvent)
        self.setMinimumSize(240, 180)

    # -- tiles ----------------------------------------------------------------------------------------------------------
    @property
    def step(self) -> float:
        return step_of(self.camera.scale, self.width(), self.height(), self.tile)

    @property
    def side(self) -> int:
        """Of a tile, in device pixels, its gap left out."""
        return max(1, round(self.step * self.camera.scale * self.devicePixelRatioF()) - GAP)

    def cells(self) -> list[Cell]:
        return cells_in_view(self.camera, self.step, self.width(), self.height())

    def wanted(self) -> tuple[tuple[Cell, ...], float, int] | None:
        """The tiles that are missing: cells from the middle outwards, their step, and their resolution. None when all is there."""
        if not self.resolution or self.width() < 2:
            return None
        step, resolution = self.step, resolution_for(self.side, self.resolution)
        missing = tuple(c for c in self.cells() if self.cache.resolution((c[0] * step, c[1] * step)) < resolution)
        return (missing, step, resolution) if missing else None

    def put(self, cells: tuple[Cell, ...], step: float, pixels: Pixels, resolution: int) -> None:
        """Take tiles, uint8 [N, r, r, 3], and repaint where they can be seen."""
        for cell, picture in zip(cells, pixels, strict=True):
            self.cache.put((cell[0] * step, cell[1] * step), pixmap_of(picture), resolution)
            self.update(self._area(cell, step).toAlignedRect())
        self._settled.start()

    def new_world(self) -> None:
        """What tiles show has changed: those there are stay on screen until new ones come."""
        self.cache.world += 1
        self.update()

    def forget(self) -> None:
        """Drop all tiles at once (another generator)."""
        self.cache.clear()
        self.new_world()

    def _area(self, cell: Cell, step: float) -> QRectF:
        x, y = self.camera.screen(cell[0] * step, cell[1] * step, self.width(), self.height())
        side = step * self.camera.scale
        return QRectF(x - side / 2, y - side / 2, side, side)

    # -- camera ---------------------------------------------------------------------------------------------------------
    def look(self, camera: Camera, *, glide: bool = False) -> None:
        """Move the camera, at once or gliding there."""
        self._speed = (0.0, 0.0)
        self._goal_at = None
        if glide and self.isVisible():
            self._goal = camera
            self._start()
            return
        self._goal = None
        self._set(camera)

    def zoom(self, factor: float, x: float | None = None, y: float | None = None) -> None:
        """Zoom about a pixel (the middle, when none is given), gliding."""
        x = self.width() / 2 if x is None else x
        y = self.height() / 2 if y is None else y
        base = self._goal or self.camera
        self._speed = (0.0, 0.0)
        self._goal = base.zoomed(factor, x, y, self.width(), self.height())
        self._goal_at = ((x, y), self.camera.point(x, y, self.width(), self.height()))
        self._start()

    def settle(self) -> None:
        """Finish every movement at once."""
        if self._goal is not None:
            goal, self._goal = self._goal, None
            self._set(goal)
        self._speed = (0.0, 0.0)
        self._ticker.stop()

    def _set(self, camera: Camera) -> None:
        before = self.step
        self.camera = camera
        if self.step != before:
            self._before = before
        self.update()
        self._settled.start()
        self.camera_moved.emit()

    def _start(self) -> None:
        if not self._ticker.isActive():
            self._clock.start()
            self._ticker.start()

    def _tick(self) -> None:
        seconds = min(self._clock.restart() / 1000, 0.05)
        if self._goal is not None:
            self._approach(1 - math.exp(-18 * seconds))
            return
        fading = math.exp(-4.5 * seconds)
        self._speed = (self._speed[0] * fading, self._speed[1] * fading)
        if math.hypot(*self._speed) < 20:
            self._ticker.stop()
            return
        self._set(self.camera.panned(self._speed[0] * seconds, self._speed[1] * seconds))

    def _approach(self, share: float) -> None:
        goal, now = self._goal, self.camera
        assert goal is not None
        scale = now.scale * (goal.scale / now.scale) ** share
        near = abs(math.log(goal.scale / scale)) < 0.004
        if self._goal_at is not None and not near:
            (x, y), (u, v) = self._goal_at
            moved = replace(now, scale=scale)
            du, dv = moved.point(x, y, self.width(), self.height())
            self._set(moved.at(moved.u + u - du, moved.v + v - dv))
            return
        u, v = now.u + (goal.u - now.u) * share, now.v + (goal.v - now.v) * share
        if near and math.hypot(goal.u - u, goal.v - v) * scale < 0.5:
            self._goal = self._goal_at = None
            self._ticker.stop()
            self._set(goal)
        else:
            self._goal_at = None
            self._set(Camera(u, v, scale))

    # -- painting -------------------------------------------------------------------------------------------------------
    def paintEvent(self, event: QPaintEvent) -> None:
        painter = QPainter(self)
        painter.fillRect(event.rect(), QColor(theme.colours().canvas))
        if self.resolution:
            self._paint_tiles(painter, QRectF(event.rect()))
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        self.paint_over(painter)

    def paint_over(self, painter: QPainter) -> None:
        """What a subclass draws over the tiles."""

    def _paint_tiles(self, painter: QPainter, dirty: QRectF) -> None:
        step, ratio = self.step, self.devicePixelRatioF()
        bare = QColor(theme.colours().ground)
        moving = self._ticker.isActive() or self._mode == "pan"
        missing = [c for c in self.cells() if self.cache.get((c[0] * step, c[1] * step)) is None]
        for cell in missing:
            painter.fillRect(self._area(cell, step).adjusted(1, 1, -1, -1).toRect(), bare)
        if missing and self._before not in (None, step):
            self._paint_level(painter, dirty, self._before or step, smooth=False)
        side = self.side
        for cell in self.cells():
            point = (cell[0] * step, cell[1] * step)
            area = self._area(cell, step)
            if not area.intersects(dirty):
                continue
            tile = self.cache.get(point)
            if tile is None:
                continue
            # Whole device pixels: a tile of the right size is copied, not scaled, and its neighbours meet it evenly.
            x, y = round((area.x() + GAP / 2) * ratio) / ratio, round((area.y() + GAP / 2) * ratio) / ratio
            fit = tile.drawn_at(side)
            if fit is not None:
                painter.drawPixmap(QRectF(x, y, side / ratio, side / ratio), fit, QRectF(fit.rect()))
            else:
                painter.setRenderHint(QPainter.RenderHint.SmoothPixmapTransform, not moving)
                painter.drawPixmap(QRectF(x, y, side / ratio, side / ratio), tile.pixmap, QRectF(tile.pixmap.rect()))

    def _paint_level(self, painter: QPainter, dirty: QRectF, step: float, *, smooth: bool) -> None:
        painter.setRenderHint(QPainter.RenderHint.SmoothPixmapTransform, smooth)
        cells = cells_in_view(self.camera, step, self.width(), self.height())
        if len(cells) > 4 * MOST_TILES:  # far below: too small to be worth drawing
            return
        painter.setOpacity(0.6)
        for cell in cells:
            tile = self.cache.get((cell[0] * step, cell[1] * step))
            area = self._area(cell, step)
            if tile is not None and area.intersects(dirty):
                painter.drawPixmap(area, tile.pixmap, QRectF(tile.pixmap.rect()))
        painter.setOpacity(1)

    def _sharpen(self) -> None:
        """Scale the tiles in view to their size on the screen, a few milliseconds at a time, when nothing moves."""
        until = time.perf_counter() + 0.003
        if self._ticker.isActive() or self._mode == "pan":
            self._sharpener.stop()
            return
        step, side = self.step, self.side
        for cell in self.cells():
            point = (cell[0] * step, cell[1] * step)
            tile = self.cache.get(point)
            if tile is None or tile.drawn_at(side) is not None:
                continue
            scaled = tile.pixmap.scaled(
                side, side, Qt.AspectRatioMode.IgnoreAspectRatio, Qt.TransformationMode.SmoothTransformation
            )
            self.cache.keep_scaled(point, scaled)
            self.update(self._area(cell, step).toAlignedRect())
            if time.perf_counter() > until:
                return
        self._sharpener.stop()

    # -- events ---------------------------------------------------------------------------------------------------------
    def _point(self, position: QPointF) -> Point:
        return self.camera.point(position.x(), position.y(), self.width(), self.height())

    def mousePressEvent(self, event: QMouseEvent) -> None:
        if event.button() != Qt.MouseButton.LeftButton:
            event.ignore()
            return
        self.settle()
        self._press, self._trail = event.position(), []
        if event.modifiers() & Qt.KeyboardModifier.ShiftModifier:
            self._mode = "scrub"
            self.scrub.emit(*self._point(event.position()), "press")
        elif self.drawing:
            self._mode = "drawn"
            self.drawn.emit(*self._point(event.position()), "press")
        else:
            self._mode = "press"

    def mouseMoveEvent(self, event: QMouseEvent) -> None:
        position = event.position()
        self.hovered.emit(*self._point(position))
        if self._press is None:
            return
        if self._mode in ("scrub", "drawn"):
            getattr(self, self._mode).emit(*self._point(position), "move")
            return
        if self._mode == "press":
            if (position - self._press).manhattanLength() < QApplication.startDragDistance():
                return
            self._mode = "pan"
            self.setCursor(Qt.CursorShape.ClosedHandCursor)
        now = time.perf_counter()
        self._trail = [(t, p) for t, p in self._trail if now - t < 0.1] + [(now, position)]
        delta = position - self._press
        self._press = position
        self._set(self.camera.panned(delta.x(), delta.y()))

    def mouseReleaseEvent(self, event: QMouseEvent) -> None:
        if event.button() != Qt.MouseButton.LeftButton or self._press is None:
            return
        mode, self._mode, self._press = self._mode, "", None
        self.unsetCursor()
        if mode == "press":
            self.clicked.emit(*self._point(event.position()))
        elif mode in ("scrub", "drawn"):
            getattr(self, mode).emit(*self._point(event.position()), "release")
        elif mode == "pan":
            self._throw()

    def _throw(self) -> None:
        recent = [(t, p) for t, p in self._trail if time.perf_counter() - t < 0.1]
        if len(recent) > 1 and recent[-1][0] > recent[0][0]:
            seconds = recent[-1][0] - recent[0][0]
            way = recent[-1][1] - recent[0][1]
            speed = (way.x() / seconds, way.y() / seconds)
            if math.hypot(*speed) > 120:
                limit = min(1.0, 4000 / math.hypot(*speed))
                self._speed = (speed[0] * limit, speed[1] * limit)
                self._start()
        self._settled.start()

    def mouseDoubleClickEvent(self, event: QMouseEvent) -> None:
        if event.button() == Qt.MouseButton.LeftButton:
            self.double_clicked.emit(*self._point(event.position()))

    def leaveEvent(self, event: QEvent) -> None:
        self.left.emit()
        super().leaveEvent(event)

    def wheelEvent(self, event: QWheelEvent) -> None:
        pixels, angle = event.pixelDelta(), event.angleDelta()
        # Two fingers on a touchpad move the canvas, as they move every other page; with Ctrl they zoom, as a wheel does.
        if (
            not pixels.isNull()
            and event.phase() != Qt.ScrollPhase.NoScrollPhase
            and not (event.modifiers() & Qt.KeyboardModifier.ControlModifier)
        ):
            self.look(self.camera.panned(pixels.x(), pixels.y()))
        else:
            self.zoom(1.0015 ** angle.y(), event.position().x(), event.position().y())
        event.accept()

    def event(self, event: QEvent) -> bool:
        if isinstance(event, QNativeGestureEvent) and event.gestureType() == Qt.NativeGestureType.ZoomNativeGesture:
            at = event.position()
            self.look(self.camera.zoomed(1 + event.value(), at.x(), at.y(), self.width(), self.height()))
            return True
        if isinstance(event, QGestureEvent) and isinstance(
            pinch := event.gesture(Qt.GestureType.PinchGesture), QPinchGesture
        ):
            self._pinch(pinch)  # two fingers on a screen; those on a touchpad come as a native gesture
            event.accept()
            return True
        return super().event(event)

    def _pinch(self, pinch: QPinchGesture) -> None:
        self._press, self._mode = None, ""  # the first finger alone was about to move the canvas
        at, before = (self.mapFromGlobal(p) for p in (pinch.centerPoint(), pinch.lastCenterPoint()))
        moved = at - before if pinch.state() is not Qt.GestureState.GestureStarted else QPointF()
        camera = self.camera.panned(moved.x(), moved.y())
        self.look(camera.zoomed(pinch.scaleFactor(), at.x(), at.y(), self.width(), self.height()))

    def keyPressEvent(self, event: QKeyEvent) -> None:
        way = _ARROWS.get(event.key())
        far = 4 if event.modifiers() & Qt.KeyboardModifier.ShiftModifier else 1
        if way is not None:
            base = self._goal or self.camera
            pixels = self.step * self.camera.scale * far / 2
            self.look(base.panned(-way[0] * pixels, way[1] * pixels), glide=True)
        elif event.key() in (Qt.Key.Key_Plus, Qt.Key.Key_Equal):
            self.zoom(2**0.5)
        elif event.key() in (Qt.Key.Key_Minus, Qt.Key.Key_Underscore):
            self.zoom(0.5**0.5)
        else:
            super().keyPressEvent(event)

    def resizeEvent(self, event: QResizeEvent) -> None:
        super().resizeEvent(event)
        self.camera_moved.emit()


_ARROWS: dict[int, Cell] = {
    Qt.Key.Key_Left: (-1, 0),
    Qt.Key.Key_Right: (1, 0),
    Qt.Key.Key_Up: (0, 1),
    Qt.Key.Key_Down: (0, -1),
}
