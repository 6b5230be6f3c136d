"""The small pieces that panels are made of: words, buttons, empty states, what scrolls and what folds."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from PySide6.QtCore import QEvent, QObject, QRectF, QSize, Qt, QTimer, Signal
from PySide6.QtGui import (
    QAction,
    QColor,
    QFontMetrics,
    QKeySequence,
    QPainter,
    QPaintEvent,
    QPen,
    QResizeEvent,
    QWheelEvent,
)
from PySide6.QtWidgets import (
    QFrame,
    QHBoxLayout,
    QLabel,
    QPushButton,
    QScrollArea,
    QSizePolicy,
    QToolButton,
    QVBoxLayout,
    QWidget,
)

from facelab.ui import theme


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
