"""The pieces that panels are made of: faces that can be dragged and dropped, sliders with numbers, empty states, messages."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from PySide6.QtCore import (
    QByteArray,
    QEvent,
    QMimeData,
    QObject,
    QPoint,
    QPointF,
    QRectF,
    QSize,
    Qt,
    QTimer,
    QUrl,
    Signal,
)
from PySide6.QtGui import (
    QAction,
    QColor,
    QDrag,
    QDragEnterEvent,
    QDragLeaveEvent,
    QDropEvent,
    QFontMetrics,
    QImage,
    QKeyEvent,
    QKeySequence,
    QMouseEvent,
    QPainter,
    QPaintEvent,
    QPen,
    QPixmap,
    QResizeEvent,
    QWheelEvent,
)
from PySide6.QtWidgets import (
    QApplication,
    QDoubleSpinBox,
    QFrame,
    QHBoxLayout,
    QLabel,
    QPushButton,
    QScrollArea,
    QSizePolicy,
    QSlider,
    QSpinBox,
    QStyle,
    QStyleOptionSlider,
    QToolButton,
    QVBoxLayout,
    QWidget,
)

from facelab.errors import FacelabError
from facelab.jobs import Pixels, read_only
from facelab.latent.code import Direction
from facelab.latent.recipe import Recipe
from facelab.ui import theme
from facelab.worker import Bug, Ticket

RECIPE_MIME = "application/x-facelab-recipe"
MORE_MIME = "application/x-facelab-recipes"
DIRECTION_MIME = "application/x-facelab-direction"
DRAG_SIZE = 96  # px, of the face beside the pointer
WAIT_MS = 100  # what takes longer shows that it waits
FEW = 3  # files, and reasons, that a message names


# -- drag and drop ------------------------------------------------------------------------------------------------------
def recipe_mime(recipe: Recipe, pixels: Pixels | None = None, *, others: Sequence[Recipe] = ()) -> QMimeData:
    """What is dragged or copied for a face: its recipe, and its picture for other programs.

    Where several are dragged, ``others`` go along; what takes one face takes the first.
    """
    mime = QMimeData()
    mime.setData(RECIPE_MIME, recipe.to_json().encode())
    if others:
        mime.setData(MORE_MIME, json.dumps([other.to_json() for other in others]).encode())
    if pixels is not None:
        mime.setImageData(image_of(pixels))
    return mime


def recipe_of(mime: QMimeData) -> Recipe | None:
    """The face in what was dragged or copied; None where there is none that can be read."""
    if not mime.hasFormat(RECIPE_MIME):
        return None
    try:
        return Recipe.from_json(bytes(mime.data(RECIPE_MIME).data()).decode("utf-8"))
    except (FacelabError, UnicodeDecodeError, json.JSONDecodeError):
        return None


def recipes_of(mime: QMimeData) -> list[Recipe]:
    """All faces in what was dragged, the first one first; those that cannot be read are left out."""
    first = recipe_of(mime)
    if first is None or not mime.hasFormat(MORE_MIME):
        return [] if first is None else [first]
    try:
        return [first, *(Recipe.from_json(text) for text in json.loads(bytes(mime.data(MORE_MIME).data())))]
    except (FacelabError, ValueError, TypeError, RecursionError):
        return [first]


def direction_mime(direction: Direction) -> QMimeData:
    """What is dragged for a direction."""
    mime = QMimeData()
    mime.setData(DIRECTION_MIME, json.dumps(direction.to_json()).encode())
    return mime


def direction_of(mime: QMimeData) -> Direction | None:
    """The direction in what was dragged; None where there is none that can be read."""
    if not mime.hasFormat(DIRECTION_MIME):
        return None
    try:
        return Direction.from_json(json.loads(bytes(mime.data(DIRECTION_MIME).data())))
    except (FacelabError, ValueError, RecursionError):
        return None


def files_of(mime: QMimeData) -> list[Path]:
    """The local files in what was dragged or copied."""
    return [Path(url.toLocalFile()) for url in mime.urls() if url.isLocalFile()]


def link_of(mime: QMimeData) -> str:
    """The address of what a browser gave only a link to; an empty string where there is none."""
    return next(
        (
            url.toString(QUrl.ComponentFormattingOption.FullyEncoded)
            for url in mime.urls()
            if url.scheme() in ("http", "https")
        ),
        "",
    )


def picture_in(mime: QMimeData) -> QImage:
    """The picture itself in what was dragged or copied, an address that holds its data included; else a null one."""
    if mime.hasImage():
        return QImage(mime.imageData())
    for url in mime.urls():
        head, _, data = url.toString(QUrl.ComponentFormattingOption.FullyEncoded).partition(",")
        if head.startswith("data:image/") and head.endswith(";base64"):
            return QImage.fromData(QByteArray.fromBase64(QByteArray.fromPercentEncoding(data.encode("ascii"))))
    return QImage()


def start_drag(source: QWidget, mime: QMimeData, picture: QPixmap | None) -> None:
    """Begin a drag with a small picture beside the pointer."""
    drag = QDrag(source)
    drag.setMimeData(mime)
    if picture is not None and not picture.isNull():
        ratio = source.devicePixelRatioF()
        side = round(DRAG_SIZE * ratio)
        small = picture.scaled(
            side, side, Qt.AspectRatioMode.KeepAspectRatio, Qt.TransformationMode.SmoothTransformation
        )
        small.setDevicePixelRatio(ratio)
        drag.setPixmap(small)
        size = small.deviceIndependentSize().toSize()
        drag.setHotSpot(QPoint(size.width() // 2, size.height() // 2))
    drag.exec(Qt.DropAction.CopyAction)


def image_of(pixels: Pixels) -> QImage:
    """A QImage of its own of pixels, uint8 [H, W, 3]."""
    pixels = np.ascontiguousarray(pixels)
    h, w = pixels.shape[:2]
    return QImage(pixels.data, w, h, 3 * w, QImage.Format.Format_RGB888).copy()


def pixels_of(image: QImage) -> Pixels:
    """uint8 [H, W, 3] of a picture."""
    image = image.convertToFormat(QImage.Format.Format_RGB888)
    rows = np.frombuffer(image.constBits(), np.uint8).reshape(image.height(), image.bytesPerLine())
    return read_only(rows[:, : 3 * image.width()].reshape(image.height(), image.width(), 3).copy())


def pixmap_of(pixels: Pixels) -> QPixmap:
    """A QPixmap of pixels, uint8 [H, W, 3]."""
    return QPixmap.fromImage(image_of(pixels))


# -- faces --------------------------------------------------------------------------------------------------------------
class FaceView(QWidget):
    """Shows a face, as large as fits; a drag source when it has a recipe, a drop target when it takes something.

    Signals:
        dropped: a `Recipe` was dropped here.
        many_dropped: a list of them was, where it ``takes_many``.
        files_dropped: a list of paths was.
        clicked: by mouse, Enter or Space.
        cleared: Delete was pressed here.
    """

    dropped = Signal(object)
    many_dropped = Signal(object)
    files_dropped = Signal(object)
    clicked = Signal()
    cleared = Signal()
    takes_many = False

    def __init__(
        self,
        name: str,
        *,
        side: int | None = None,
        takes: bool = False,
        takes_files: bool = False,
        hint: str = "",
        drop_hint: str = "Drop here",
        parent: QWidget | None = None,
    ) -> None:
        """
        Args:
            name: for a screen reader.
            side: a fixed size in px; None grows with the space.
            takes: whether faces can be dropped here; takes_files: whether files can.
            hint: what stands here while there is no picture; drop_hint: while something is dragged over it.
        """
        super().__init__(parent)
        self.recipe: Recipe | None = None
        self.pixels: Pixels | None = None
        self.takes, self.takes_files = takes, takes_files
        self.hint, self.drop_hint = hint, drop_hint
        self._image = QImage()
        self._scaled = QPixmap()
        self._pressed: QPointF | None = None
        self._over = False
        self._waiting = False
        self._wait = QTimer(self, singleShot=True, interval=WAIT_MS)
        self._wait.timeout.connect(self._show_waiting)
        self.setAccessibleName(name)
        self.setAcceptDrops(takes or takes_files)
        self.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        if side is not None:
            self.setFixedSize(side, side)
        else:
            self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Expanding)
            self.setMinimumSize(64, 64)

    # -- what it shows --
    def set_face(self, recipe: Recipe | None, pixels: Pixels | None = None) -> None:
        """Another face; its picture may come later by `set_pixels`."""
        self.recipe = recipe
        if recipe is None or pixels is not None:
            self.set_pixels(pixels)
        self.setCursor(Qt.CursorShape.OpenHandCursor if recipe is not None else Qt.CursorShape.ArrowCursor)

    def set_pixels(self, pixels: Pixels | None) -> None:
        """Show pixels, uint8 [H, W, 3], or nothing."""
        self.pixels = pixels
        self._image = QImage() if pixels is None else image_of(pixels)
        self._scaled = QPixmap()
        self.set_waiting(False)
        self.update()

    def set_waiting(self, waiting: bool) -> None:
        """Mark that a picture is on its way; it shows after 100 ms."""
        if waiting and not self._waiting:
            if not self._wait.isActive():
                self._wait.start()
        elif not waiting:
            self._wait.stop()
            if self._waiting:
                self._waiting = False
                self.update()

    def _show_waiting(self) -> None:
        self._waiting = True
        self.update()

    @property
    def image(self) -> QImage:
        return self._image

    def picture_rect(self) -> QRectF:
        """Where the picture lies, in widget coordinates."""
        if self._image.isNull():
            side = float(min(self.width(), self.height()))
            size = QSize(round(side), round(side))
        else:
            size = self._image.size().scaled(self.size(), Qt.AspectRatioMode.KeepAspectRatio)
        return QRectF(
            (self.width() - size.width()) // 2, (self.height() - size.height()) // 2, size.width(), size.height()
        )

    def paintEvent(self, event: QPaintEvent) -> None:
        p = QPainter(self)
        c = theme.colours()
        rect = self.picture_rect()
        if self._image.isNull():
            self._paint_empty(p, rect, c)
        else:
            self.paint_picture(p, rect)
        if self._waiting:
            bar = QRectF(rect.left(), rect.bottom() - 3, rect.width(), 3)
            p.fillRect(bar, QColor(c.accent))
        if self._over:
            p.fillRect(rect, QColor(0, 0, 0, 150))
            p.setPen(QColor("#ffffff"))
            p.drawText(
                rect.adjusted(4, 4, -4, -4),
                int(Qt.AlignmentFlag.AlignCenter | Qt.TextFlag.TextWordWrap),
                self.drop_hint,
            )
        if self._over or self.hasFocus():
            p.setPen(QPen(QColor(c.link if self.hasFocus() and not self._over else c.accent), 2))
            p.setBrush(Qt.BrushStyle.NoBrush)
            p.drawRect(rect.adjusted(1, 1, -1, -1))
        p.end()

    def paint_picture(self, p: QPainter, rect: QRectF) -> None:
        """Draw the picture into its rectangle."""
        ratio = self.devicePixelRatioF()
        wanted = QSize(round(rect.width() * ratio), round(rect.height() * ratio))
        if self._scaled.size() != wanted:
            self._scaled = QPixmap.fromImage(
                self._image.scaled(
                    wanted, Qt.AspectRatioMode.IgnoreAspectRatio, Qt.TransformationMode.SmoothTransformation
                )
            )
            self._scaled.setDevicePixelRatio(ratio)
        p.drawPixmap(rect.topLeft(), self._scaled)

    def _paint_empty(self, p: QPainter, rect: QRectF, c: theme.Colours) -> None:
        p.setRenderHint(QPainter.RenderHint.Antialiasing)
        p.setBrush(QColor(c.canvas))
        p.setPen(QPen(QColor(c.edge), 1, Qt.PenStyle.DashLine if self.takes or self.takes_files else Qt.PenStyle.NoPen))
        p.drawRoundedRect(rect.adjusted(0.5, 0.5, -0.5, -0.5), theme.ROUND, theme.ROUND)
        if self.hint:
            p.setPen(QColor(c.quiet))
            p.drawText(
                rect.adjusted(6, 6, -6, -6), int(Qt.AlignmentFlag.AlignCenter | Qt.TextFlag.TextWordWrap), self.hint
            )

    # -- mouse and keys --
    def mousePressEvent(self, event: QMouseEvent) -> None:
        if event.button() is Qt.MouseButton.LeftButton:
            self._pressed = event.position()

    def mouseMoveEvent(self, event: QMouseEvent) -> None:
        if self._pressed is None or self.recipe is None:
            return
        if (event.position() - self._pressed).manhattanLength() >= QApplication.startDragDistance():
            self._pressed = None
            start_drag(self, self.drag_mime(self.recipe), QPixmap.fromImage(self._image))

    def drag_mime(self, recipe: Recipe) -> QMimeData:
        """What goes along when the face is dragged away."""
        return recipe_mime(recipe, self.pixels)

    def mouseReleaseEvent(self, event: QMouseEvent) -> None:
        if self._pressed is not None and event.button() is Qt.MouseButton.LeftButton:
            self._pressed = None
            self.clicked.emit()

    def keyPressEvent(self, event: QKeyEvent) -> None:
        if event.key() in (Qt.Key.Key_Return, Qt.Key.Key_Enter, Qt.Key.Key_Space):
            self.clicked.emit()
        elif event.key() in (Qt.Key.Key_Delete, Qt.Key.Key_Backspace):
            self.cleared.emit()
        else:
            super().keyPressEvent(event)

    # -- drops --
    def _takes_it(self, mime: QMimeData) -> bool:
        return (self.takes and mime.hasFormat(RECIPE_MIME)) or (self.takes_files and bool(files_of(mime)))

    def dragEnterEvent(self, event: QDragEnterEvent) -> None:
        if event.source() is not self and self._takes_it(event.mimeData()):
            event.acceptProposedAction()
            self._over = True
            self.update()

    def dragLeaveEvent(self, event: QDragLeaveEvent) -> None:
        self._over = False
        self.update()

    def dropEvent(self, event: QDropEvent) -> None:
        self._over = False
        self.update()
        mime = event.mimeData()
        recipe = recipe_of(mime) if self.takes else None
        if recipe is not None:
            event.acceptProposedAction()
            if self.takes_many:
                self.many_dropped.emit(recipes_of(mime))
            else:
                self.dropped.emit(recipe)
        elif self.takes_files and (files := files_of(mime)):
            event.acceptProposedAction()
            self.files_dropped.emit(files)

    def resizeEvent(self, event: QResizeEvent) -> None:
        self._scaled = QPixmap()
        super().resizeEvent(event)

    def event(self, event: QEvent) -> bool:
        if event.type() in (QEvent.Type.FocusIn, QEvent.Type.FocusOut):
            self.update()
        return super().event(event)


# -- numbers ------------------------------------------------------------------------------------------------------------
class Slider(QSlider):
    """A horizontal slider that goes where it is clicked, is filled from its default, and heeds the wheel only with focus."""

    reset = Signal()
    STEPS = 1000

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(Qt.Orientation.Horizontal, parent)
        self.setRange(0, self.STEPS)
        self.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        self.setMinimumWidth(48)
        self.setMinimumHeight(20)
        self.origin = 0

    def sizeHint(self) -> QSize:
        return QSize(120, 20)

    def _value_at(self, x: float) -> int:
        span = max(1.0, self.width() - 14.0)
        return QStyle.sliderValueFromPosition(self.minimum(), self.maximum(), round(x - 7), round(span))

    def mousePressEvent(self, event: QMouseEvent) -> None:
        if event.button() is not Qt.MouseButton.LeftButton:
            return
        self.setSliderDown(True)  # emits sliderPressed
        if abs(event.position().x() - self._x_of(self.sliderPosition())) > 7:  # a press on the handle moves nothing
            self.setSliderPosition(self._value_at(event.position().x()))
        event.accept()

    def mouseMoveEvent(self, event: QMouseEvent) -> None:
        if self.isSliderDown():
            self.setSliderPosition(self._value_at(event.position().x()))

    def mouseReleaseEvent(self, event: QMouseEvent) -> None:
        if self.isSliderDown():
            self.setSliderDown(False)  # emits sliderReleased

    def mouseDoubleClickEvent(self, event: QMouseEvent) -> None:
        self.reset.emit()

    def keyPressEvent(self, event: QKeyEvent) -> None:
        steps = {Qt.Key.Key_Left: -1, Qt.Key.Key_Down: -1, Qt.Key.Key_Right: 1, Qt.Key.Key_Up: 1}.get(
            Qt.Key(event.key())
        )
        if steps is None:
            super().keyPressEvent(event)
            return
        large = event.modifiers() & Qt.KeyboardModifier.ShiftModifier
        self.setSliderPosition(self.sliderPosition() + steps * (self.pageStep() if large else self.singleStep()))

    def wheelEvent(self, event: QWheelEvent) -> None:
        if self.hasFocus():
            super().wheelEvent(event)
        else:
            event.ignore()

    def _x_of(self, value: int) -> float:
        return 7 + QStyle.sliderPositionFromValue(self.minimum(), self.maximum(), value, max(1, self.width() - 14))

    def paintEvent(self, event: QPaintEvent) -> None:
        option = QStyleOptionSlider()
        self.initStyleOption(option)
        c = theme.colours()
        p = QPainter(self)
        p.setRenderHint(QPainter.RenderHint.Antialiasing)
        on = self.isEnabled()
        y = self.height() / 2
        here, start = self._x_of(self.sliderPosition()), self._x_of(self.origin)
        p.setPen(Qt.PenStyle.NoPen)
        p.setBrush(QColor(c.edge if on else c.hover))
        p.setOpacity(0.55 if on else 1)
        p.drawRoundedRect(QRectF(7, y - 1.5, self.width() - 14, 3), 1.5, 1.5)
        p.setOpacity(1)
        if on:
            p.setBrush(QColor(c.accent))
            p.drawRect(QRectF(min(here, start), y - 1.5, abs(here - start), 3))
            if self.minimum() < self.origin < self.maximum():
                p.drawRect(QRectF(start - 0.75, y - 4, 1.5, 8))
        hot = option.state & QStyle.StateFlag.State_MouseOver or self.isSliderDown()
        p.setBrush(QColor((c.link if hot else c.text) if on else c.faint))
        if self.hasFocus():
            p.setPen(QPen(QColor(c.link), 2))
        else:
            p.setPen(QPen(QColor(c.panel), 1.5))
        p.drawEllipse(QPointF(here, y), 6, 6)
        p.end()


class Number(QDoubleSpinBox):
    """A number field (the theme hides its arrows) that heeds the wheel only with focus."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        self.setKeyboardTracking(False)
        self.lineEdit().setTextMargins(4, 0, 4, 0)

    def wheelEvent(self, event: QWheelEvent) -> None:
        if self.hasFocus():
            super().wheelEvent(event)
        else:
            event.ignore()


class Whole(QSpinBox):
    """A field for whole numbers that heeds the wheel only with focus."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        self.setKeyboardTracking(False)
        self.lineEdit().setTextMargins(4, 0, 4, 0)

    def wheelEvent(self, event: QWheelEvent) -> None:
        if self.hasFocus():
            super().wheelEvent(event)
        else:
            event.ignore()


class ValueSlider(QWidget):
    """A name, a slider and its number in one row.

    A double click on the name or the slider goes back to the default; arrow keys step, with Shift larger.

    Signals:
        changed: the new value (float), only when a person changed it.
        pressed, released: of the slider, around a drag; `facelab.ui.session.Session.begin_drag` and ``end_drag`` belong there.
        hovered: the pointer came (True) or went (False).
    """

    changed = Signal(float)
    pressed = Signal()
    released = Signal()
    hovered = Signal(bool)

    def __init__(
        self,
        name: str,
        low: float,
        high: float,
        default: float,
        *,
        step: float = 0.01,
        decimals: int = 2,
        label: str | None = None,
        label_width: int | None = None,
        reach: tuple[float, float] | None = None,
        numbered: bool = True,
        tip: str = "",
        parent: QWidget | None = None,
    ) -> None:
        """
        Args:
            name: for a screen reader, and the label where none is given.
            low, high: of the slider. reach: of the number, which may go further.
            numbered: whether there is a number at all; it takes longer to make than all the rest.
            default: where a double click goes back to, and where the filled part begins.
            step: of an arrow key; ten of them with Shift.
        """
        super().__init__(parent)
        self._low, self._high, self.default = low, high, default
        self._value = default
        self.label = QLabel(name if label is None else label)
        self.label.setToolTip(tip)
        self.label.installEventFilter(self)
        if label_width is not None:
            self.label.setFixedWidth(label_width)
        self.slider = Slider()
        self.slider.setAccessibleName(name)
        self.slider.setToolTip(tip)
        units = max(1, round(step / (high - low) * Slider.STEPS))
        self.slider.setSingleStep(units)
        self.slider.setPageStep(10 * units)
        self.slider.origin = self._to_slider(default)
        self._decimals = decimals
        row = QHBoxLayout(self)
        row.setContentsMargins(0, 0, 0, 0)
        row.setSpacing(theme.GRID)
        if self.label.text():
            row.addWidget(self.label)
        else:
            self.label.hide()
        row.addWidget(self.slider, 1)
        self._number = self._make_number(name, reach or (low, high), step, tip) if numbered else None
        if self._number is not None:
            row.addWidget(self._number)
        self.set_value(default)
        self.slider.valueChanged.connect(self._slid)
        self.slider.sliderPressed.connect(self.pressed)
        self.slider.sliderReleased.connect(self.released)
        self.slider.reset.connect(self.reset)

    def _make_number(self, name: str, reach: tuple[float, float], step: float, tip: str) -> Number:
        number = Number()
        number.setRange(*reach)
        number.setDecimals(self._decimals)
        number.setSingleStep(step)
        number.setFixedWidth(56)
        number.lineEdit().setTextMargins(0, 0, 0, 0)
        number.setAlignment(Qt.AlignmentFlag.AlignRight)
        number.setAccessibleName(f"{name}, number")
        number.setToolTip(tip)
        number.valueChanged.connect(self._typed)
        return number

    @property
    def number(self) -> Number:
        """The field of the number, where there is one."""
        assert self._number is not None, "made without a number"
        return self._number

    @property
    def value(self) -> float:
        return self._value

    def set_value(self, value: float) -> None:
        """Show a value; not a change by a person, so no signal."""
        self._value = float(value)
        self.slider.blockSignals(True)
        self.slider.setValue(self._to_slider(value))
        self.slider.blockSignals(False)
        self._write(value)
        self.slider.update()

    def _write(self, value: float) -> None:
        if self._number is not None:
            self._number.blockSignals(True)
            self._number.setValue(value)
            self._number.blockSignals(False)

    def reset(self) -> None:
        """Back to the default, as a change by the person."""
        if self._value != self.default:
            self.set_value(self.default)
            self.changed.emit(self.default)

    def _to_slider(self, value: float) -> int:
        return round((min(max(value, self._low), self._high) - self._low) / (self._high - self._low) * Slider.STEPS)

    def _slid(self, position: int) -> None:
        value = self._low + (self._high - self._low) * position / Slider.STEPS
        self._value = round(value, self._decimals)
        self._write(self._value)
        self.changed.emit(self._value)

    def _typed(self, value: float) -> None:
        self.set_value(value)
        self.changed.emit(value)

    def eventFilter(self, watched: object, event: QEvent) -> bool:
        if watched is self.label and event.type() is QEvent.Type.MouseButtonDblClick:
            self.reset()
            return True
        return super().eventFilter(watched, event)  # type: ignore[arg-type]

    def enterEvent(self, event: QEvent) -> None:
        self.hovered.emit(True)
        super().enterEvent(event)  # type: ignore[arg-type]

    def leaveEvent(self, event: QEvent) -> None:
        self.hovered.emit(False)
        super().leaveEvent(event)


# -- words --------------------------------------------------------------------------------------------------------------
class Elided(QLabel):
    """One line of text that ends in … where the room ends; the tooltip has all of it."""

    def __init__(self, text: str = "", mode: Qt.TextElideMode = Qt.TextElideMode.ElideRight) -> None:
        super().__init__()
        self._text, self._mode = text, mode
        self.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Preferred)
        self.setMinimumWidth(24)
        self.setText(text)

    def setText(self, text: str) -> None:
        self._text = text
        self.setAccessibleName(text)
        self._fit()

    def full_text(self) -> str:
        return self._text

    def _fit(self) -> None:
        short = QFontMetrics(self.font()).elidedText(self._text, self._mode, max(0, self.contentsRect().width()))
        super().setText(short)
        self.setToolTip(self.tip(short))

    def tip(self, short: str) -> str:
        """What the tooltip says: all of the text, where it was cut."""
        return self._text if short != self._text else ""

    def resizeEvent(self, event: QResizeEvent) -> None:
        self._fit()
        super().resizeEvent(event)

    def sizeHint(self) -> QSize:
        return QSize(QFontMetrics(self.font()).horizontalAdvance(self._text) + 2, super().sizeHint().height())


def keys_text(shortcuts: Sequence[QKeySequence]) -> str:
    """Keys as the system writes them: "Ctrl+K or Ctrl+Shift+P"."""
    return " or ".join(each.toString(QKeySequence.SequenceFormat.NativeText) for each in shortcuts)


def plain_text(action: QAction) -> str:
    """What an action is called, without what a menu adds; the same whatever there is to undo."""
    return action.iconText().replace("&", "").removesuffix("…")


def quiet(text: str, *, wrap: bool = False, small: bool = False) -> QLabel:
    """A note in the quieter colour."""
    label = QLabel(text)
    label.setProperty("quiet", True)
    label.setProperty("small", small)
    label.setWordWrap(wrap)
    return label


def heading(text: str) -> QLabel:
    """The name of a section."""
    label = QLabel(text)
    label.setProperty("heading", True)
    return label


def button(
    text: str,
    action: Callable[[], object] | None = None,
    *,
    tip: str = "",
    icon: str | None = None,
    primary: bool = False,
) -> QPushButton:
    """A push button; ``primary`` is the one that the eye should find."""
    made = QPushButton(text if icon is None else f" {text}")  # the style leaves no gap after an icon
    made.setAccessibleName(text)
    made.setToolTip(tip)
    made.setProperty("primary", primary)
    made.setAutoDefault(False)
    if icon is not None:
        made.setIcon(theme.icon(icon, on_accent=primary))
    if action is not None:
        made.clicked.connect(lambda: action())
    return made


def tool(name: str, icon: str, action: Callable[[], object] | None = None, *, tip: str = "", checkable: bool = False) -> QToolButton:  # fmt: skip
    """A small button with an icon; ``name`` is for a screen reader, ``tip`` for the pointer (the name where none is given)."""
    made = QToolButton()
    made.setIcon(theme.icon(icon))
    made.setIconSize(QSize(18, 18))
    made.setAccessibleName(name)
    made.setToolTip(tip or name)
    made.setCheckable(checkable)
    made.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
    if action is not None:
        made.clicked.connect(lambda: action())
    return made


class EmptyState(QWidget):
    """What an empty panel shows: what to do in it, and the first steps as buttons."""

    def __init__(self, icon: str, sentence: str, *buttons: QPushButton, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._picture = _Glyph(icon)
        self.sentence = quiet(sentence, wrap=True)
        self.sentence.setAlignment(Qt.AlignmentFlag.AlignCenter)
        self.sentence.setMaximumWidth(360)
        column = QVBoxLayout(self)
        column.setContentsMargins(*(2 * theme.GRID,) * 4)
        column.setSpacing(theme.GRID)
        column.addStretch(1)
        column.addWidget(self._picture, 0, Qt.AlignmentFlag.AlignHCenter)
        middle = QHBoxLayout()
        middle.addStretch(1)
        middle.addWidget(self.sentence, 100)
        middle.addStretch(1)
        column.addLayout(middle)
        self._buttons = sum(each.sizeHint().height() + theme.GRID for each in buttons)
        for each in buttons:
            column.addWidget(each, 0, Qt.AlignmentFlag.AlignHCenter)
        column.addStretch(1)

    def resizeEvent(self, event: QResizeEvent) -> None:
        # Where room is short, the sentence and the button matter more than the picture.
        words = self.sentence.heightForWidth(min(self.sentence.maximumWidth(), self.width() - 4 * theme.GRID))
        self._picture.setVisible(event.size().height() >= words + 40 + 5 * theme.GRID + self._buttons)
        super().resizeEvent(event)


class Wait(QWidget):
    """A small ring that turns while something is on its way; it costs nothing while it is hidden."""

    def __init__(self, side: int = 16, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setFixedSize(side, side)
        self.setAccessibleName("Waiting")
        self._turn = 0
        self._timer = QTimer(self, interval=60)
        self._timer.timeout.connect(self._tick)

    def _tick(self) -> None:
        self._turn = (self._turn + 24) % 360
        self.update()

    def showEvent(self, event: QEvent) -> None:
        self._timer.start()

    def hideEvent(self, event: QEvent) -> None:
        self._timer.stop()

    def paintEvent(self, event: QPaintEvent) -> None:
        p = QPainter(self)
        p.setRenderHint(QPainter.RenderHint.Antialiasing)
        p.setPen(QPen(QColor(theme.colours().accent), 2, Qt.PenStyle.SolidLine, Qt.PenCapStyle.RoundCap))
        p.drawArc(QRectF(self.rect()).adjusted(2, 2, -2, -2), -self._turn * 16, 270 * 16)
        p.end()


class _Glyph(QWidget):
    """An icon as a picture, in the quieter colour."""

    def __init__(self, icon: str, side: int = 40) -> None:
        super().__init__()
        self._icon = icon
        self.setFixedSize(side, side)

    def paintEvent(self, event: QPaintEvent) -> None:
        p = QPainter(self)
        theme.paint_icon(p, self._icon, QRectF(self.rect()), theme.colours().quiet)
        p.end()


class MessageBar(QFrame):
    """One sentence beside what it is about, until it is closed. A bug of facelab's own is shown as one, with its details to copy."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._details = ""
        self._bad = False
        self._label = QLabel()
        self._label.setWordWrap(True)
        self._label.setTextFormat(Qt.TextFormat.PlainText)
        self._label.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
        self._copy = button("Copy details", self._copy_details, tip="Copy the technical details, for a report")
        self._close = tool("Close message", "close", self.hide)
        row = QHBoxLayout(self)
        row.setContentsMargins(theme.GRID, 4, 4, 4)
        row.setSpacing(theme.GRID)
        row.addWidget(self._label, 1)
        row.addWidget(self._copy, 0, Qt.AlignmentFlag.AlignTop)
        row.addWidget(self._close, 0, Qt.AlignmentFlag.AlignTop)
        self.hide()

    @property
    def text(self) -> str:
        return self._label.text()

    def say(self, error: object) -> None:
        """Show an error or a sentence."""
        sentence = str(error).strip() or type(error).__name__
        sentence = sentence[0].upper() + sentence[1:]
        if sentence[-1] not in ".!?…":
            sentence += "."
        self._bad = isinstance(error, BaseException)
        self._details = error.details if isinstance(error, Bug) else ""
        self._copy.setVisible(bool(self._details))
        self._label.setText(sentence)
        self.setAccessibleName(sentence)
        self.setVisible(True)
        self.update()

    def _copy_details(self) -> None:
        QApplication.clipboard().setText(self._details)

    def paintEvent(self, event: QPaintEvent) -> None:
        c = theme.colours()
        p = QPainter(self)
        p.fillRect(self.rect(), QColor(c.error if self._bad else c.warning))
        p.end()


class Together:
    """Files that came at once: what failed of them is said in one message, when the last is through.

    Args of the constructor: ``say`` is called with the one error, or with one that names them all.
    """

    def __init__(self, say: Callable[[object], None]) -> None:
        self._say = say
        self._open = 0
        self._failed: list[tuple[str, object]] = []

    def watch(self, name: str, ticket: Ticket) -> None:
        """One more of them, which ``ticket`` looks at."""
        self._open += 1
        ticket.failed.connect(lambda error: self._failed.append((name, error)))
        ticket.closed.connect(self._closed)

    def _closed(self, _: str) -> None:
        self._open -= 1
        if not self._open and self._failed:
            errors = [error for _, error in self._failed]
            self._say(errors[0] if len(errors) == 1 else FacelabError(not_opened(self._failed)))


def not_opened(failed: Sequence[tuple[str, object]]) -> str:
    """How many files could not be opened, which (the first few), and why, files of one reason together."""
    reasons: dict[str, list[tuple[str, str]]] = {}
    for name, error in failed:
        reasons.setdefault(str(error).replace(repr(name), "each"), []).append((name, str(error)))
    lines = [f"{len(failed)} files could not be opened"]
    for reason, files in list(reasons.items())[:FEW]:
        which = ", ".join(name for name, _ in files[:FEW])
        more = f" and {len(files) - FEW} more" if len(files) > FEW else ""
        lines.append(f"{which}{more}: {reason}" if len(files) > 1 else files[0][1])
    if len(reasons) > FEW:
        lines.append(f"{sum(map(len, list(reasons.values())[FEW:]))} more, for other reasons")
    return ".\n".join(lines)


def as_panel(widget: QWidget) -> QWidget:
    """Give a widget the colour of panels; what lies between panels is darker."""
    widget.setProperty("panel", True)
    widget.setAttribute(Qt.WidgetAttribute.WA_StyledBackground)
    return widget


def rule() -> QFrame:
    """A thin line between sections."""
    line = QFrame()
    line.setFixedHeight(1)
    line.setAutoFillBackground(True)
    line.setBackgroundRole(line.backgroundRole())
    line.setStyleSheet("background: palette(light);")
    return line


class Column(QScrollArea):
    """Rows that scroll up and down, and are never narrower than the widest of them."""

    def __init__(self, content: QWidget) -> None:
        super().__init__()
        self._content = content
        content.installEventFilter(self)
        self.setWidget(content)
        self.setWidgetResizable(True)
        self.setFrameShape(QFrame.Shape.NoFrame)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.setFocusPolicy(Qt.FocusPolicy.NoFocus)

    def minimumSizeHint(self) -> QSize:
        bar = self.verticalScrollBar().sizeHint().width()
        return QSize(self._content.minimumSizeHint().width() + bar, super().minimumSizeHint().height())

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        if event.type() is QEvent.Type.LayoutRequest:
            self.updateGeometry()
        return super().eventFilter(watched, event)


class Wide(QScrollArea):
    """What scrolls sideways when it is wider than its place, and is always as high as it needs to be."""

    def __init__(self, content: QWidget) -> None:
        super().__init__()
        self._content = content
        content.installEventFilter(self)
        self.setWidget(content)
        self.setWidgetResizable(True)
        self.setFrameShape(QFrame.Shape.NoFrame)
        self.setVerticalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        self.setFocusPolicy(Qt.FocusPolicy.NoFocus)

    def sizeHint(self) -> QSize:
        return self.minimumSizeHint()

    def minimumSizeHint(self) -> QSize:
        needed = self._content.minimumSizeHint()
        bar = self.horizontalScrollBar().sizeHint().height() if needed.width() > self.width() else 0
        return QSize(0, self._content.sizeHint().height() + bar)

    def resizeEvent(self, event: QResizeEvent) -> None:
        super().resizeEvent(event)
        self.updateGeometry()

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        if event.type() is QEvent.Type.LayoutRequest:
            self.updateGeometry()
        return super().eventFilter(watched, event)

    def wheelEvent(self, event: QWheelEvent) -> None:
        event.ignore()  # up and down is for what this stands in


class Section(QWidget):
    """A heading that folds what is below it."""

    folded = Signal(bool)

    def __init__(
        self,
        title: str,
        *,
        folded: bool = False,
        tip: str = "",
        indent: int = 4 * theme.GRID,
        parent: QWidget | None = None,
    ) -> None:
        super().__init__(parent)
        self.head = QToolButton()
        self.head.setText(title)
        self.head.setToolTip(tip)
        self.head.setAccessibleName(title)
        self.head.setToolButtonStyle(Qt.ToolButtonStyle.ToolButtonTextBesideIcon)
        self.head.setCheckable(False)
        self.head.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        self.head.setIconSize(QSize(14, 14))
        self.head.setStyleSheet("text-align: left; font-weight: 600;")
        self.head.clicked.connect(self._turn)
        self.content = QWidget()
        self.body = QVBoxLayout(self.content)
        self.body.setContentsMargins(indent, 0, 0, 0)
        self.body.setSpacing(4)
        self.extra = QHBoxLayout()
        self.extra.setSpacing(4)
        top = QHBoxLayout()
        top.setContentsMargins(0, 0, 0, 0)
        top.setSpacing(4)
        top.addWidget(self.head, 1)
        top.addLayout(self.extra)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(4)
        column.addLayout(top)
        column.addWidget(self.content)
        self._folded = not folded
        self.set_folded(folded)

    @property
    def is_folded(self) -> bool:
        return self._folded

    def _turn(self) -> None:
        self.set_folded(not self._folded)

    def set_folded(self, folded: bool) -> None:
        """Hide or show what is below the heading."""
        if folded == self._folded:
            return
        self._folded = folded
        self.head.setIcon(theme.icon("right" if folded else "down"))
        self.content.setVisible(not folded)
        self.folded.emit(folded)
