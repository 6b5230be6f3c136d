"""The current face, large."""

from __future__ import annotations

from functools import partial
from pathlib import Path

from PySide6.QtCore import QElapsedTimer, QMimeData, QPointF, QRectF, Qt, QTimer, QUrl, Signal
from PySide6.QtGui import QColor, QImage, QKeyEvent, QMouseEvent, QPainter, QPen, QWheelEvent
from PySide6.QtWidgets import QHBoxLayout, QVBoxLayout, QWidget

from facelab.jobs import Answer, Images, Pixels, Render, SavePicture, Written
from facelab.latent.recipe import Recipe
from facelab.ui import theme
from facelab.ui.dialogs import file_name
from facelab.ui.face_view import FaceView
from facelab.ui.panels.base import Panel
from facelab.ui.pixels import image_of
from facelab.ui.session import Edit, Session, State, describe
from facelab.ui.widgets import Elided, quiet, tool
from facelab.worker import Client

PATIENCE_MS = 60  # a coarse picture is held back so long: where the fine one is quicker, nothing flickers
ZOOM = 1.25
MOST_ZOOM = 32.0
GRIP = 8  # px, to both sides of the edge between two faces
HELD_MS = 300  # a button that is pressed for longer is held, not clicked


class Hero(FaceView):
    """The large picture: fits, or is shown at a zoom and moved with the mouse.

    Signals:
        zoomed: the zoom, picture pixels to screen pixels; None when it fits.
        grabbed: the picture was pressed and may be dragged away.
    """

    zoomed = Signal(object)
    grabbed = Signal()

    def __init__(self, name: str, **options: object) -> None:
        super().__init__(name, **options)  # type: ignore[arg-type]
        self.zoom: float | None = None
        self._centre = QPointF(0.5, 0.5)  # of the view, in picture widths
        self._pan: QPointF | None = None
        self.file: Path | None = None  # the picture as a file, for programs that take one
        self.other = QImage()  # another face, which is wiped over this one
        self.wipe = 0.5  # how far it reaches, of the width
        self._wiping = False
        self.setMouseTracking(True)

    def set_other(self, other: QImage) -> None:
        """Wipe another face over this one; a null one takes it away."""
        self.other = other
        self.update()

    def set_wipe(self, share: float) -> None:
        self.wipe = min(max(share, 0.0), 1.0)
        self.update()

    def _on_edge(self, position: QPointF) -> bool:
        rect = self.picture_rect()
        return not self.other.isNull() and abs(position.x() - rect.left() - self.wipe * rect.width()) < GRIP

    def set_zoom(self, zoom: float | None, at: QPointF | None = None) -> None:
        """Show at a zoom (1 is a pixel for a pixel), keeping the point ``at`` of the widget where it is; None fits."""
        if self.image.isNull():
            return
        if zoom is None:
            self.zoom = None
        else:
            at = at or QRectF(self.rect()).center()
            before = self.picture_rect()
            share = QPointF((at.x() - before.x()) / before.width(), (at.y() - before.y()) / before.height())
            self.zoom = min(max(zoom, 0.05), MOST_ZOOM)
            side = self._size()
            middle = QRectF(self.rect()).center()
            self._centre = QPointF(
                share.x() + (middle.x() - at.x()) / side.x(), share.y() + (middle.y() - at.y()) / side.y()
            )
            self._bound()
        self.zoomed.emit(self.zoom)
        self.update()

    def fitted(self) -> float:
        """The zoom at which the picture fits."""
        if self.image.isNull():
            return 1.0
        return min(self.width() / self.image.width(), self.height() / self.image.height()) * self.devicePixelRatioF()

    def _size(self) -> QPointF:
        zoom = (self.zoom or 1.0) / self.devicePixelRatioF()
        return QPointF(self.image.width() * zoom, self.image.height() * zoom)

    def _bound(self) -> None:
        """Keep the picture in sight: the middle of the view never leaves it, and a small picture stays centred."""
        size = self._size()
        bound = []
        for at, room, whole in (
            (self._centre.x(), self.width(), size.x()),
            (self._centre.y(), self.height(), size.y()),
        ):
            half = room / 2 / whole
            bound.append(0.5 if whole <= room else min(max(at, half), 1 - half))
        self._centre = QPointF(*bound)

    def picture_rect(self) -> QRectF:
        if self.zoom is None or self.image.isNull():
            return super().picture_rect()
        size = self._size()
        middle = QRectF(self.rect()).center()
        left = middle.x() - self._centre.x() * size.x()
        return QRectF(left, middle.y() - self._centre.y() * size.y(), size.x(), size.y())

    def paint_picture(self, p: QPainter, rect: QRectF) -> None:
        if self.zoom is None:
            super().paint_picture(p, rect)
        else:
            p.setRenderHint(QPainter.RenderHint.SmoothPixmapTransform, self.zoom < 2)
            p.drawImage(rect, self.image)
        if not self.other.isNull():
            self._paint_other(p, rect)

    def _paint_other(self, p: QPainter, rect: QRectF) -> None:
        edge = rect.left() + self.wipe * rect.width()
        p.save()
        p.setClipRect(QRectF(rect.left(), rect.top(), edge - rect.left(), rect.height()))
        p.setRenderHint(QPainter.RenderHint.SmoothPixmapTransform, (self.zoom or 1) < 2)
        p.drawImage(rect, self.other)
        p.restore()
        p.setRenderHint(QPainter.RenderHint.Antialiasing)
        for colour, width in ((QColor(0, 0, 0, 140), 4), (QColor("#ffffff"), 2)):
            p.setPen(QPen(colour, width))
            p.drawLine(QPointF(edge, rect.top()), QPointF(edge, rect.bottom()))
        p.setBrush(QColor("#ffffff"))
        p.setPen(QPen(QColor(0, 0, 0, 140), 1))
        p.drawEllipse(QPointF(edge, rect.center().y()), 7, 7)
        for text, left in (("before", True), ("now", False)):
            box = QRectF(0, 0, p.fontMetrics().horizontalAdvance(text) + 14, 20)
            room = edge - rect.left() if left else rect.right() - edge
            if room < box.width() + 2 * theme.GRID:
                continue
            corner = QPointF(
                rect.left() + theme.GRID if left else rect.right() - box.width() - theme.GRID, rect.top() + theme.GRID
            )
            box.moveTopLeft(corner)
            p.setPen(Qt.PenStyle.NoPen)
            p.setBrush(QColor(16, 16, 16, 190))
            p.drawRoundedRect(box, 10, 10)
            p.setPen(QColor("#f2f2f2"))
            p.drawText(box, Qt.AlignmentFlag.AlignCenter, text)

    def wheelEvent(self, event: QWheelEvent) -> None:
        turns = event.angleDelta().y() / 120
        if not turns or self.image.isNull():
            event.ignore()
            return
        zoom = (self.zoom or self.fitted()) * ZOOM**turns
        self.set_zoom(None if zoom <= self.fitted() else zoom, event.position())
        event.accept()

    def mousePressEvent(self, event: QMouseEvent) -> None:
        if event.button() is Qt.MouseButton.LeftButton and self._on_edge(event.position()):
            self._wiping = True
        elif self.zoom is not None and event.button() is Qt.MouseButton.LeftButton:
            self._pan = event.position()
            self.setCursor(Qt.CursorShape.ClosedHandCursor)
        else:
            super().mousePressEvent(event)
            if event.button() is Qt.MouseButton.LeftButton and self.recipe is not None:
                self.grabbed.emit()

    def drag_mime(self, recipe: Recipe) -> QMimeData:
        mime = super().drag_mime(recipe)
        if self.file is not None:
            mime.setUrls([QUrl.fromLocalFile(str(self.file))])
        return mime

    def mouseMoveEvent(self, event: QMouseEvent) -> None:
        if self._wiping:
            rect = self.picture_rect()
            self.set_wipe((event.position().x() - rect.left()) / rect.width())
            return
        if self._pan is None:
            if not event.buttons():
                self._show_cursor(event.position())
            super().mouseMoveEvent(event)
            return
        size, moved = self._size(), event.position() - self._pan
        self._pan = event.position()
        self._centre = QPointF(self._centre.x() - moved.x() / size.x(), self._centre.y() - moved.y() / size.y())
        self._bound()
        self.update()

    def _show_cursor(self, position: QPointF) -> None:
        shape = Qt.CursorShape.ArrowCursor if self.recipe is None else Qt.CursorShape.OpenHandCursor
        if self._on_edge(position):
            shape = Qt.CursorShape.SplitHCursor
        if self.cursor().shape() is not shape:
            self.setCursor(shape)

    def mouseReleaseEvent(self, event: QMouseEvent) -> None:
        if self._wiping:
            self._wiping = False
            return
        if self._pan is None:
            super().mouseReleaseEvent(event)
            return
        self._pan = None
        self.setCursor(Qt.CursorShape.OpenHandCursor)


class FullScreen(FaceView):
    """The current face alone on the screen; Esc, F11 or a click ends it."""

    def __init__(self, parent: QWidget) -> None:
        super().__init__("The current face, full screen", parent=parent)
        self.setWindowFlag(Qt.WindowType.Window)
        self.setWindowTitle("facelab")
        self.clicked.connect(self.close)

    def paintEvent(self, event: object) -> None:
        p = QPainter(self)
        p.fillRect(self.rect(), QColor(theme.colours().canvas))
        if not self.image.isNull():
            self.paint_picture(p, self.picture_rect())
        p.end()

    def keyPressEvent(self, event: QKeyEvent) -> None:
        if event.key() in (Qt.Key.Key_Escape, Qt.Key.Key_F11):
            self.close()
        else:
            super().keyPressEvent(event)


class PreviewPanel(Panel):
    """Draws the current face whenever it changes: a coarse picture when the fine one takes a while, and only the newest.

    Signals:
        export_asked: the person wants the picture as a file.
        keep_asked: the person wants the face in the library.
    """

    title = "Preview"
    area = Qt.DockWidgetArea.RightDockWidgetArea
    hint = "The current face, large"

    keys = (
        ("Wheel", "Zoom at the pointer; back to the whole picture"),
        ("Drag", "Take the face to a slot, the library or another program; move the picture when zoomed"),
        ("B, held", "See the face before your edits"),
        ("A", "Wipe between before and now"),
        ("1", "Pixel for pixel, or fit"),
    )

    export_asked = Signal()
    keep_asked = Signal()

    def __init__(self, session: Session, client: Client) -> None:
        super().__init__(session, client)
        self.view = Hero(
            "The current face",
            takes=True,
            takes_files=True,
            hint="Loading the generator…",
            drop_hint="Drop to look at this face",
        )
        self.view.setToolTip("Drag the face to a slot, the library or another program; the wheel zooms")
        self.view.setMinimumSize(160, 160)
        self._full: FullScreen | None = None
        self._asked: Recipe | None = None
        self._count = 0
        self._shown = 0
        self._final = False
        self._rough = False  # what is shown is of a lower precision
        self._coarse: tuple[int, Pixels] | None = None
        self._hold = QTimer(self, singleShot=True, interval=PATIENCE_MS)
        self._hold.timeout.connect(self._show_coarse)
        self._picture: Pixels | None = None
        self._before: tuple[Recipe, Pixels] | None = None
        self._comparing = False
        self._wipes = False

        self._name = Elided()
        self._size = quiet(" ", small=True)
        self._fit = tool(
            "Pixel for pixel", "actual", self._toggle_zoom, tip="Pixel for pixel, or fit (1)", checkable=True
        )
        self._compare = tool(
            "Before and now", "compare", checkable=True,
            tip="Click to wipe between the face before your edits and now (A); hold to see it before (B)",
        )  # fmt: skip
        self._pressed_at = QElapsedTimer()
        self._compare.pressed.connect(self._press_compare)
        self._compare.clicked.connect(self._click_compare)
        self._keep = tool("Keep in library", "star", self.keep_asked.emit, tip="Keep this face in the library (Ctrl+D)")
        self._export = tool("Export picture", "export", self.export_asked.emit, tip="Export the picture (Ctrl+E)")
        self._wide = tool("Full screen", "expand", self.full_screen, tip="Show the face alone on the screen (F11)")
        row = QHBoxLayout()
        row.setContentsMargins(theme.GRID, 4, 4, 4)
        row.setSpacing(2)
        words = QVBoxLayout()
        words.setSpacing(0)
        words.addWidget(self._name)
        words.addWidget(self._size)
        row.addLayout(words, 1)
        row.addSpacing(theme.GRID)
        self._tools = (self._compare, self._fit, self._wide, self._keep, self._export)
        for each in self._tools:
            row.addWidget(each)
            each.setEnabled(False)
        self.body.addWidget(self.view, 1)
        self.body.addLayout(row)
        self.view.dropped.connect(lambda recipe: session.take(recipe, "Drop face"))
        self.view.files_dropped.connect(session.files_offered)
        self.view.grabbed.connect(self._write_file)
        self.view.zoomed.connect(lambda zoom: self._fit.setChecked(zoom == 1))
        session.changed.connect(self._changed)
        session.generator_changed.connect(lambda _: self._changed(session.state))
        session.drag_ended.connect(self._refine)
        self._changed(session.state)

    @property
    def pixels(self) -> Pixels | None:
        """The picture of the current face, as far as it is drawn; uint8 [H, W, 3]."""
        return self._picture

    # -- drawing ----------------------------------------------------------------------------------------------------
    def _changed(self, after: State, before: State | None = None) -> None:
        recipe = after.recipe
        drawable = (
            recipe is not None
            and self.session.generator is not None
            and recipe.generator == self.session.generator.sha256
        )
        self._name.setText(describe(recipe) if recipe is not None else "")
        for each in self._tools:
            each.setEnabled(drawable)
        if not drawable or recipe is None:
            self._asked = None
            self.view.set_waiting(recipe is not None)
            return
        if self._wipes:
            self._show_other()
        if recipe == self._asked:
            return
        self._asked = recipe
        self.view.recipe = recipe
        self.view.set_waiting(True)
        self.unsay()
        self._ask(recipe, rough=self.session.dragging)

    def _ask(self, recipe: Recipe, *, rough: bool) -> None:
        self._count += 1
        number = self._count
        job = Render(recipes=(recipe,), rough=rough, lane="preview")
        ticket = self.submit(job, lambda answer: self._answer(number, answer))
        ticket.failed.connect(lambda _: self._failed(number))

    def _answer(self, number: int, answer: Answer) -> None:
        # The one before the newest may still show its first picture: under a steady drag there would be none otherwise.
        if not isinstance(answer, Images) or number < self._shown:
            return
        if answer.final:
            self._hold.stop()
            self._coarse = None
            self._show(number, answer.pixels[0], final=True)
            self._rough = answer.rough
            self._refine()
        else:
            self._coarse = number, answer.pixels[0]
            if not self._hold.isActive():
                self._hold.start()

    def _refine(self) -> None:
        """Have the exact picture once what was dragged is let go."""
        if self._rough and not self.session.dragging and self._asked is not None and self._shown == self._count:
            self._rough = False
            self._ask(self._asked, rough=False)

    def _show_coarse(self) -> None:
        if self._coarse is not None:
            number, pixels = self._coarse
            self._coarse = None
            self._show(number, pixels, final=False)

    def _show(self, number: int, pixels: Pixels, *, final: bool) -> None:
        self._shown, self._final = number, final
        self._picture = pixels
        self.view.file = None
        self._size.setText(f"{pixels.shape[1]} px" if final else f"{pixels.shape[1]} px…")
        if not self._comparing:
            self._put(pixels)
        if not final or number != self._count:
            self.view.set_waiting(True)

    def _put(self, pixels: Pixels) -> None:
        self.view.set_face(self._asked, pixels)
        if self._full is not None and self._full.isVisible():
            self._full.set_face(self._asked, pixels)

    def _write_file(self) -> None:
        """Have the picture as a file by the time it is dragged to another program: the pixels alone, without the recipe."""
        if self._picture is None or self.view.file is not None or not self._final:
            return
        path = self.session.scratch() / f"{file_name(describe(self._asked))} {self._shown}.png"
        self.submit(SavePicture(pixels=self._picture, path=path), partial(self._file_written, self._shown))

    def _file_written(self, number: int, answer: Answer) -> None:
        if isinstance(answer, Written) and number == self._shown:
            self.view.file = answer.path

    def _failed(self, number: int) -> None:
        if number == self._count:
            self._asked = None
            self.view.set_waiting(False)

    # -- before and after -------------------------------------------------------------------------------------------
    def before(self) -> Recipe | None:
        """The face before the edits: the first slot's as it is; where that is what is shown, the one before the last step."""
        now, first = self.session.state.recipe, self.session.state.slots[0]
        if first is not None and first != now:
            return first
        stack = self.session.stack
        for index in range(stack.index() - 1, -1, -1):
            command = stack.command(index)
            if isinstance(command, Edit) and command.before.recipe not in (None, now):
                return command.before.recipe
        return None

    def _press_compare(self) -> None:
        self._pressed_at.start()
        self.compare(True)

    def _click_compare(self, _: bool) -> None:
        self.compare(False)
        held = self._pressed_at.isValid() and self._pressed_at.elapsed() > HELD_MS
        self._pressed_at.invalidate()
        self.wipe(not self._wipes if not held else self._wipes)

    @property
    def wipes(self) -> bool:
        """Whether the face before the edits is wiped over the one now."""
        return self._wipes

    def wipe(self, on: bool) -> None:
        """Show the face before the edits at the left and the one now at the right, with an edge to drag between them."""
        self._wipes = on
        self._show_other()

    def _show_other(self) -> None:
        recipe, generator = self.before() if self._wipes else None, self.session.generator
        self._compare.setChecked(self._wipes)
        if recipe is None or generator is None or recipe.generator != generator.sha256:
            self.view.set_other(QImage())
        elif self._before is not None and self._before[0] == recipe:
            self.view.set_other(image_of(self._before[1]))
        else:
            self.submit(Render(recipes=(recipe,), lane="before"), lambda answer: self._show_before(recipe, answer))

    def compare(self, on: bool) -> None:
        """Show the face before the edits for as long as it is on."""
        if on == self._comparing:
            return
        recipe = self.before() if on else None
        generator = self.session.generator
        if on and (recipe is None or generator is None or recipe.generator != generator.sha256):
            return
        self._comparing = on
        if recipe is None:
            self._name.setText(describe(self.session.state.recipe))
            if self._picture is not None:
                self._put(self._picture)
            return
        self._name.setText(f"Before: {describe(recipe)}")
        if self._before is not None and self._before[0] == recipe:
            self.view.set_pixels(self._before[1])
            return
        self.view.set_waiting(True)
        self.submit(Render(recipes=(recipe,), lane="before"), lambda answer: self._show_before(recipe, answer))

    def _show_before(self, recipe: Recipe, answer: Answer) -> None:
        if isinstance(answer, Images):
            if answer.final:
                self._before = recipe, answer.pixels[0]
            if self._comparing:
                self.view.set_pixels(answer.pixels[0])
            if self._wipes and recipe == self.before():
                self.view.set_other(image_of(answer.pixels[0]))

    # -- size -------------------------------------------------------------------------------------------------------
    def _toggle_zoom(self) -> None:
        self.view.set_zoom(None if self.view.zoom == 1 else 1.0)

    def fit(self) -> None:
        """Show the whole picture, as large as fits."""
        self.view.set_zoom(None)

    def actual(self) -> None:
        """Show a pixel for a pixel."""
        self.view.set_zoom(1.0)

    def full_screen(self) -> None:
        """Show the face alone on the screen."""
        if self._picture is None:
            return
        if self._full is None:
            self._full = FullScreen(self)
        self._full.set_face(self._asked, self._picture)
        self._full.showFullScreen()
        self._full.setFocus()

    # -- keys -------------------------------------------------------------------------------------------------------
    def keyPressEvent(self, event: QKeyEvent) -> None:
        if event.key() == Qt.Key.Key_B and not event.isAutoRepeat():
            self.compare(True)
        elif event.key() == Qt.Key.Key_A and event.modifiers() == Qt.KeyboardModifier.NoModifier:
            self.wipe(not self._wipes)
        elif event.key() == Qt.Key.Key_1:
            self._toggle_zoom()
        else:
            super().keyPressEvent(event)

    def keyReleaseEvent(self, event: QKeyEvent) -> None:
        if event.key() == Qt.Key.Key_B and not event.isAutoRepeat():
            self.compare(False)
        else:
            super().keyReleaseEvent(event)
