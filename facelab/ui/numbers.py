"""Sliders and fields for numbers, which heed the wheel only with focus."""

from __future__ import annotations

from PySide6.QtCore import QEvent, QPointF, QRectF, QSize, Qt, Signal
from PySide6.QtGui import QColor, QKeyEvent, QMouseEvent, QPainter, QPaintEvent, QPen, QWheelEvent
from PySide6.QtWidgets import (
    QDoubleSpinBox,
    QHBoxLayout,
    QLabel,
    QSlider,
    QSpinBox,
    QStyle,
    QStyleOptionSlider,
    QWidget,
)

from facelab.ui import theme


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
