"""A face on the screen, which can be dragged away and takes what is dropped."""

from __future__ import annotations

from PySide6.QtCore import QEvent, QMimeData, QPointF, QRectF, QSize, Qt, QTimer, Signal
from PySide6.QtGui import (
    QColor,
    QDragEnterEvent,
    QDragLeaveEvent,
    QDropEvent,
    QImage,
    QKeyEvent,
    QMouseEvent,
    QPainter,
    QPaintEvent,
    QPen,
    QPixmap,
    QResizeEvent,
)
from PySide6.QtWidgets import QApplication, QSizePolicy, QWidget

from facelab.jobs import Pixels
from facelab.latent.recipe import Recipe
from facelab.ui import theme
from facelab.ui.dragging import RECIPE_MIME, files_of, recipe_mime, recipe_of, recipes_of, start_drag
from facelab.ui.pixels import image_of

WAIT_MS = 100  # what takes longer shows that it waits


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
