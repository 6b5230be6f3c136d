"""The pieces that photographs are shown with: a photograph with its crop, two pictures under a wipe, pictures in a row."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
from PySide6.QtCore import QEvent, QPointF, QRectF, QSize, Qt, Signal
from PySide6.QtGui import (
    QColor,
    QImage,
    QKeyEvent,
    QMouseEvent,
    QPainter,
    QPaintEvent,
    QPen,
    QPixmap,
    QPolygonF,
    QWheelEvent,
)
from PySide6.QtWidgets import QHBoxLayout, QLabel, QVBoxLayout, QWidget

from facelab.jobs import Face, PhotoOpened, Pixels, read_only
from facelab.latent.code import Floats, frozen
from facelab.ui import theme
from facelab.ui.face_view import FaceView
from facelab.ui.pixels import pixmap_of
from facelab.ui.widgets import heading, quiet

SMALLEST_CROP = 16.0  # px of the photograph
DIFFERENCE_GAIN = 2.0
# From nothing to much, told apart by lightness alone too.
_HEAT = np.array([[0, 0, 0], [63, 15, 114], [187, 55, 84], [249, 142, 9], [252, 255, 164]], np.float32)


def difference(a: Pixels, b: Pixels, *, heat: bool = False) -> Pixels:
    """Where two pictures uint8 [H, W, 3] differ: grey, or as a heat map; black is alike."""
    away = np.abs(a.astype(np.int16) - b.astype(np.int16)).mean(2, dtype=np.float32) * DIFFERENCE_GAIN
    away = np.minimum(away, 255)
    if not heat:
        return read_only(np.repeat(away.astype(np.uint8)[..., None], 3, axis=2))
    at = np.linspace(0, 255, len(_HEAT))
    table = np.stack([np.interp(np.arange(256), at, _HEAT[:, c]) for c in range(3)], 1).round().astype(np.uint8)
    return read_only(table[away.astype(np.uint8)])


def face_mask(face: Face, quad: Floats, side: int) -> Pixels:
    """How much each pixel of a crop belongs to the face: 255 inside its landmarks' outline, fading to 0 around it.

    Args:
        face: with its 68 landmarks.
        quad: the crop, [4, 2], in the same photograph.
        side: of the crop in pixels.

    Returns:
        uint8 [side, side].
    """
    axes = np.stack([quad[3] - quad[0], quad[1] - quad[0]], 1).astype(np.float64)
    points = np.linalg.solve(axes, (face.landmarks - quad[0]).T.astype(np.float64)).T
    # The jaw, and the brows from right to left, lifted to take in some of the forehead.
    lift = np.array([0.0, 0.5 * (points[27, 1] - points[33, 1])])
    outline = np.concatenate([points[:17], points[26:16:-1] + lift])
    small = max(24, side // 8)  # painted small and enlarged smoothly, its edge is soft
    image = QImage(small, small, QImage.Format.Format_Grayscale8)
    image.fill(0)
    painter = QPainter(image)
    painter.setRenderHint(QPainter.RenderHint.Antialiasing)
    painter.setPen(Qt.PenStyle.NoPen)
    painter.setBrush(QColor("#ffffff"))
    painter.drawPolygon(QPolygonF([QPointF(x * small, y * small) for x, y in outline]))
    painter.end()
    large = image.scaled(side, side, Qt.AspectRatioMode.IgnoreAspectRatio, Qt.TransformationMode.SmoothTransformation)
    large = large.convertToFormat(QImage.Format.Format_Grayscale8)
    rows = np.frombuffer(large.constBits(), np.uint8).reshape(side, large.bytesPerLine())
    return read_only(rows[:, :side].copy())


class WipeView(FaceView):
    """A picture; the pointer wipes it off another one that lies under it, from the left."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.setMouseTracking(True)
        self.setToolTip("Move across to wipe the photograph over it")
        self._under = QPixmap()
        self._at: float | None = None

    def set_under(self, pixels: Pixels | None) -> None:
        """The picture under it, uint8 [H, W, 3]."""
        self._under = QPixmap() if pixels is None else pixmap_of(pixels)
        self.update()

    def mouseMoveEvent(self, event: QMouseEvent) -> None:
        super().mouseMoveEvent(event)
        self._at = event.position().x()
        self.update()

    def leaveEvent(self, event: QEvent) -> None:
        super().leaveEvent(event)
        self._at = None
        self.update()

    def paint_picture(self, p: QPainter, rect: QRectF) -> None:
        super().paint_picture(p, rect)
        if self._at is None or self._under.isNull() or not rect.left() < self._at < rect.right():
            return
        p.save()
        p.setClipRect(QRectF(rect.left(), rect.top(), self._at - rect.left(), rect.height()))
        p.setRenderHint(QPainter.RenderHint.SmoothPixmapTransform)
        p.drawPixmap(rect, self._under, QRectF(self._under.rect()))
        p.restore()
        p.setPen(QPen(QColor("#ffffff"), 1.5))
        p.drawLine(QPointF(self._at, rect.top()), QPointF(self._at, rect.bottom()))


@dataclass(frozen=True)
class Crop:
    """A square in a photograph, in its upright full-resolution pixels.

    Attributes:
        x, y: its centre.
        half: half of its side.
        degrees: its turn, clockwise on the screen.
    """

    x: float
    y: float
    half: float
    degrees: float = 0.0

    @classmethod
    def of_quad(cls, quad: Floats) -> Crop:
        """The square of corners [4, 2]: top left, bottom left, bottom right, top right."""
        across = (quad[2] + quad[3] - quad[0] - quad[1]) / 4
        x, y = quad.mean(0)
        return cls(
            float(x), float(y), float(np.hypot(*across)), math.degrees(math.atan2(float(across[1]), float(across[0])))
        )

    @classmethod
    def middle(cls, width: int, height: int) -> Crop:
        """Where a face may be that was not found."""
        return cls(width / 2, height / 2, 0.4 * min(width, height))

    def quad(self) -> Floats:
        """Its corners, [4, 2]: top left, bottom left, bottom right, top right."""
        c, s = math.cos(math.radians(self.degrees)), math.sin(math.radians(self.degrees))
        across, down = np.array([c, s]) * self.half, np.array([-s, c]) * self.half
        centre = np.array([self.x, self.y])
        corners = [centre - across - down, centre - across + down, centre + across + down, centre + across - down]
        return frozen(np.array(corners), "the crop")

    def within(self, width: int, height: int) -> Crop:
        """The crop with its centre in the photograph, and of a side that makes sense."""
        most = 1.5 * max(width, height)
        return replace(
            self, x=min(max(self.x, 0.0), float(width)), y=min(max(self.y, 0.0), float(height)),
            half=min(max(self.half, SMALLEST_CROP / 2), most / 2), degrees=(self.degrees + 180) % 360 - 180,
        )  # fmt: skip


class PhotoView(QWidget):
    """A photograph with every face boxed, and the crop to be moved, scaled and turned.

    Signals:
        face_chosen: the number of a face.
        crop_changed: the crop was moved by hand.
    """

    face_chosen = Signal(int)
    crop_changed = Signal()

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.crop: Crop | None = None
        self.chosen: int | None = None
        self._pixmap = QPixmap()
        self._scaled = QPixmap()
        self._size = (1, 1)
        self._faces: tuple[Face, ...] = ()
        self._grip = ""
        self._from = QPointF()
        self._before: Crop | None = None
        self.setMouseTracking(True)
        self.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        self.setMinimumSize(180, 160)
        self.setAccessibleName("Photograph")
        self.setAccessibleDescription("Arrow keys move the crop, plus and minus scale it, square brackets turn it")
        self.setToolTip("Click a face to choose it. Drag the square to move it, a corner to scale, the knob to turn.")

    def show_photo(self, opened: PhotoOpened | None) -> None:
        """Another photograph."""
        self._pixmap = QPixmap() if opened is None else pixmap_of(opened.preview)
        self._scaled = QPixmap()
        self._size = (1, 1) if opened is None else opened.size
        self._faces = () if opened is None else opened.faces
        self.crop = self.chosen = None
        self.update()

    # -- where things are --
    def _area(self) -> QRectF:
        size = QSize(*self._size).scaled(self.size() - QSize(16, 16), Qt.AspectRatioMode.KeepAspectRatio)
        return QRectF(
            (self.width() - size.width()) / 2, (self.height() - size.height()) / 2, size.width(), size.height()
        )

    def _factor(self) -> float:
        return self._area().width() / self._size[0]

    def to_screen(self, x: float, y: float) -> QPointF:
        """The widget's pixel of a pixel of the photograph."""
        area, factor = self._area(), self._factor()
        return QPointF(area.x() + x * factor, area.y() + y * factor)

    def _photo(self, at: QPointF) -> tuple[float, float]:
        area, factor = self._area(), max(self._factor(), 1e-9)
        return (at.x() - area.x()) / factor, (at.y() - area.y()) / factor

    def corners(self) -> list[QPointF]:
        """The crop's corners on the screen."""
        return [] if self.crop is None else [self.to_screen(*map(float, point)) for point in self.crop.quad()]

    def knob(self) -> QPointF:
        """The handle that turns the crop."""
        corners = self.corners()
        top, centre = (corners[0] + corners[3]) / 2, (corners[0] + corners[2]) / 2
        out = top - centre
        return top + out * (18 / max(math.hypot(out.x(), out.y()), 1e-6))

    # -- painting --
    def paintEvent(self, event: QPaintEvent) -> None:
        p = QPainter(self)
        c = theme.colours()
        p.fillRect(self.rect(), QColor(c.canvas))
        if self._pixmap.isNull():
            return
        area = self._area()
        wanted = (area.size() * self.devicePixelRatioF()).toSize()
        if self._scaled.size() != wanted:
            self._scaled = self._pixmap.scaled(
                wanted, Qt.AspectRatioMode.IgnoreAspectRatio, Qt.TransformationMode.SmoothTransformation
            )
        p.drawPixmap(area, self._scaled, QRectF(self._scaled.rect()))
        p.setRenderHint(QPainter.RenderHint.Antialiasing)
        for number, face in enumerate(self._faces):
            self._paint_face(p, face, number == self.chosen)
        corners = self.corners()
        if not corners:
            return
        p.setBrush(Qt.BrushStyle.NoBrush)
        for colour, width in ((QColor(0, 0, 0, 150), 4), (QColor(c.accent), 2)):
            p.setPen(QPen(colour, width))
            p.drawPolygon(QPolygonF(corners))
            p.drawLine((corners[0] + corners[3]) / 2, self.knob())
        p.setPen(QPen(QColor("#ffffff"), 1.5))
        p.setBrush(QColor(c.accent))
        for corner in corners:
            p.drawRect(QRectF(corner.x() - 4, corner.y() - 4, 8, 8))
        p.drawEllipse(self.knob(), 5, 5)
        if self.hasFocus():
            p.setBrush(Qt.BrushStyle.NoBrush)
            p.setPen(QPen(QColor(c.link), 1))
            p.drawRect(QRectF(self.rect()).adjusted(0.5, 0.5, -0.5, -0.5))

    def _paint_face(self, p: QPainter, face: Face, chosen: bool) -> None:
        a, b = self.to_screen(*face.box[:2]), self.to_screen(*face.box[2:])
        p.setBrush(Qt.BrushStyle.NoBrush)
        for colour, width in ((QColor(0, 0, 0, 120), 3.0), (QColor(255, 255, 255, 235 if chosen else 150), 1.2)):
            p.setPen(QPen(colour, width))
            p.drawRoundedRect(QRectF(a, b), 4, 4)
        p.setPen(
            QPen(QColor(255, 255, 255, 230 if chosen else 120), 2.2, Qt.PenStyle.SolidLine, Qt.PenCapStyle.RoundCap)
        )
        for x, y in face.landmarks:
            p.drawPoint(self.to_screen(float(x), float(y)))

    # -- hands --
    def _grip_at(self, at: QPointF) -> str:
        corners = self.corners()
        if not corners:
            return ""
        if math.hypot(*(at - self.knob()).toTuple()) < 10:
            return "turn"
        if any(math.hypot(*(at - corner).toTuple()) < 10 for corner in corners):
            return "scale"
        return "move" if QPolygonF(corners).containsPoint(at, Qt.FillRule.WindingFill) else ""

    def mousePressEvent(self, event: QMouseEvent) -> None:
        if event.button() == Qt.MouseButton.LeftButton:
            self._from, self._before = event.position(), self.crop
            self._grip = self._grip_at(event.position())
            other = self._face_at(event.position())
            if other is not None and other != self.chosen and self._grip in ("", "move"):
                self._grip = ""

    def mouseMoveEvent(self, event: QMouseEvent) -> None:
        at = event.position()
        if not self._grip or self._before is None:
            shape = {
                "turn": Qt.CursorShape.PointingHandCursor,
                "scale": Qt.CursorShape.SizeFDiagCursor,
                "move": Qt.CursorShape.SizeAllCursor,
            }
            self.setCursor(shape.get(self._grip_at(at), Qt.CursorShape.ArrowCursor))
            return
        before, factor = self._before, max(self._factor(), 1e-9)
        centre = self.to_screen(before.x, before.y)
        if self._grip == "move":
            way = (at - self._from) / factor
            self._put(replace(before, x=before.x + way.x(), y=before.y + way.y()))
        else:
            old, new = self._from - centre, at - centre
            if self._grip == "scale":
                share = math.hypot(*new.toTuple()) / max(math.hypot(*old.toTuple()), 1e-6)
                self._put(replace(before, half=before.half * share))
            else:
                turn = math.degrees(math.atan2(new.y(), new.x()) - math.atan2(old.y(), old.x()))
                self._put(replace(before, degrees=before.degrees + turn))

    def mouseReleaseEvent(self, event: QMouseEvent) -> None:
        moved = (event.position() - self._from).manhattanLength() > 3
        grip, self._grip, self._before = self._grip, "", None
        number = self._face_at(event.position())
        if number is not None and not moved and number != self.chosen and grip in ("", "move"):
            self.face_chosen.emit(number)

    def _face_at(self, at: QPointF) -> int | None:
        x, y = self._photo(at)
        for number, face in enumerate(self._faces):
            left, top, right, bottom = face.box
            if left <= x <= right and top <= y <= bottom:
                return number
        return None

    def wheelEvent(self, event: QWheelEvent) -> None:
        if self.hasFocus() and self.crop is not None:
            self._put(replace(self.crop, half=self.crop.half * 1.001 ** -event.angleDelta().y()))
        else:
            event.ignore()

    def keyPressEvent(self, event: QKeyEvent) -> None:
        crop = self.crop
        if crop is None:
            super().keyPressEvent(event)
            return
        far = crop.half * (0.1 if event.modifiers() & Qt.KeyboardModifier.ShiftModifier else 0.02)
        key = event.key()
        moves = {
            Qt.Key.Key_Left: replace(crop, x=crop.x - far), Qt.Key.Key_Right: replace(crop, x=crop.x + far),
            Qt.Key.Key_Up: replace(crop, y=crop.y - far), Qt.Key.Key_Down: replace(crop, y=crop.y + far),
            Qt.Key.Key_Plus: replace(crop, half=crop.half * 1.04), Qt.Key.Key_Equal: replace(crop, half=crop.half * 1.04),
            Qt.Key.Key_Minus: replace(crop, half=crop.half / 1.04),
            Qt.Key.Key_BracketLeft: replace(crop, degrees=crop.degrees - 1),
            Qt.Key.Key_BracketRight: replace(crop, degrees=crop.degrees + 1),
        }  # fmt: skip
        moved = moves.get(Qt.Key(key))
        if moved is None:
            super().keyPressEvent(event)
        else:
            self._put(moved)

    def _put(self, crop: Crop) -> None:
        self.crop = crop.within(*self._size)
        self.update()
        self.crop_changed.emit()

    def resizeEvent(self, event: object) -> None:
        self._scaled = QPixmap()


class DropZone(QWidget):
    """The first thing in an empty panel: what to drop, and what to press instead."""

    def __init__(self, *buttons: QWidget) -> None:
        super().__init__()
        self.over = False
        self._icon = QLabel(alignment=Qt.AlignmentFlag.AlignCenter)
        title = heading("Drop photographs, or a folder of them")
        title.setAlignment(Qt.AlignmentFlag.AlignCenter)
        note = quiet(
            "facelab finds the faces, and the generator draws them from its own codes. Nothing leaves this computer.",
            wrap=True,
        )
        note.setAlignment(Qt.AlignmentFlag.AlignCenter)
        note.setMaximumWidth(400)
        line, row = QHBoxLayout(), QHBoxLayout()
        line.addStretch(1)
        line.addWidget(note, 100)
        line.addStretch(1)
        row.setSpacing(theme.GRID)
        row.addStretch(1)
        for each in buttons:
            row.addWidget(each)
        row.addStretch(1)
        column = QVBoxLayout(self)
        column.setContentsMargins(*(2 * theme.GRID,) * 4)
        column.setSpacing(theme.GRID)
        column.addStretch(1)
        column.addWidget(self._icon)
        column.addWidget(title)
        column.addLayout(line)
        column.addSpacing(theme.GRID)
        column.addLayout(row)
        column.addStretch(1)

        self._dress()

    def _dress(self) -> None:
        self._icon.setPixmap(theme.icon("photo").pixmap(40, 40))

    def changeEvent(self, event: QEvent) -> None:
        super().changeEvent(event)
        if event.type() == QEvent.Type.PaletteChange:
            self._dress()

    def set_over(self, over: bool) -> None:
        """Whether something that can be dropped hovers here."""
        self.over = over
        self.update()

    def paintEvent(self, event: QPaintEvent) -> None:
        p = QPainter(self)
        p.setRenderHint(QPainter.RenderHint.Antialiasing)
        c = theme.colours()
        p.setPen(QPen(QColor(c.accent if self.over else c.edge), 2 if self.over else 1, Qt.PenStyle.DashLine))
        p.setBrush(QColor(c.hover) if self.over else Qt.BrushStyle.NoBrush)
        p.drawRoundedRect(QRectF(self.rect()).adjusted(1, 1, -1, -1), 2 * theme.ROUND, 2 * theme.ROUND)
        p.end()


class Squares(QWidget):
    """Pictures side by side, as large as fits, each with its name below."""

    LINE = 20

    def __init__(self, *views: tuple[FaceView, str]) -> None:
        super().__init__()
        self._views: list[tuple[FaceView, QLabel]] = []
        for view, text in views:
            said = quiet(text, small=True)
            said.setAlignment(Qt.AlignmentFlag.AlignCenter)
            for each in (view, said):
                each.setParent(self)
            self._views.append((view, said))
        self.setMinimumSize(len(views) * (96 + theme.GRID), 96 + self.LINE)

    def resizeEvent(self, event: object) -> None:
        count = len(self._views)
        side = min((self.width() - (count - 1) * theme.GRID) // count, self.height() - self.LINE)
        x = (self.width() - count * side - (count - 1) * theme.GRID) // 2
        y = (self.height() - side - self.LINE) // 2
        for view, said in self._views:
            view.setGeometry(x, y, side, side)
            said.setGeometry(x, y + side, side, self.LINE)
            x += side + theme.GRID
