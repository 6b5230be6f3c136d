"""Encoding photographs: drop one, choose the face, watch the generator find it."""

from __future__ import annotations

import math
import time
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any, ClassVar, cast

import numpy as np
from PySide6.QtCore import QPointF, QRectF, QSize, Qt, QTimer, Signal
from PySide6.QtGui import (
    QColor,
    QDragEnterEvent,
    QDragLeaveEvent,
    QDropEvent,
    QIcon,
    QImage,
    QKeyEvent,
    QKeySequence,
    QMouseEvent,
    QPainter,
    QPaintEvent,
    QPen,
    QPixmap,
    QPolygonF,
    QShortcut,
    QWheelEvent,
)
from PySide6.QtWidgets import (
    QComboBox,
    QFormLayout,
    QFrame,
    QHBoxLayout,
    QLabel,
    QListView,
    QListWidget,
    QListWidgetItem,
    QProgressBar,
    QScrollArea,
    QStackedWidget,
    QVBoxLayout,
    QWidget,
)

from facelab import runs
from facelab.assets import SAMPLE_PHOTO, resource
from facelab.errors import FacelabError
from facelab.jobs import (
    Answer,
    Codes,
    Cropped,
    CropPhoto,
    Face,
    OpenPhoto,
    PhotoOpened,
    Pixels,
    Progress,
    Project,
    ProjectionDone,
    ProjectionSettings,
    ProjectionStep,
    Resolve,
    read_only,
)
from facelab.latent.code import Floats, frozen
from facelab.latent.recipe import Recipe
from facelab.project import Project as ProjectFile
from facelab.project import RunRow
from facelab.ui import theme
from facelab.ui.dialogs import PHOTO_FILTER, ask_open
from facelab.ui.panels.base import Panel
from facelab.ui.panels.library import keep_face, png_of
from facelab.ui.session import Session, plain
from facelab.ui.widgets import (
    FaceView,
    Section,
    Wait,
    Whole,
    button,
    files_of,
    heading,
    image_of,
    pixmap_of,
    quiet,
    tool,
)
from facelab.worker import Client, Ticket

STARTS = {
    "w_avg": ("Average face", "From the middle of W: the safest start"),
    "best": ("Best of 64", "From the nearest of 64 random faces"),
    "seed": ("Seed's face", "From the face of the seed below"),
    "code": ("Current face", "From the face that is shown now"),
}
SPACES = {"w+": ("W+, near the photo", "One code for each layer: comes nearest"), "w": ("W, easy to edit", "One code for all layers: farther off, but edits well")}  # fmt: skip
CROP_MS = 120  # a crop that is dragged is cut out anew at most so often
DIFFERENCE_MS = 150
DIFFERENCE_GAIN = 2.0
SMALLEST_CROP = 16.0  # px of the photograph
THUMB = 44


# -- the crop ---------------------------------------------------------------------------------------------------------------------
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
        icon = QLabel(alignment=Qt.AlignmentFlag.AlignCenter)
        icon.setPixmap(theme.icon("photo").pixmap(40, 40))
        title = heading("Drop a photograph")
        title.setAlignment(Qt.AlignmentFlag.AlignCenter)
        note = quiet(
            "facelab finds the face, and the generator draws it from its own codes. Nothing leaves this computer.",
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
        column.addWidget(icon)
        column.addWidget(title)
        column.addLayout(line)
        column.addSpacing(theme.GRID)
        column.addLayout(row)
        column.addStretch(1)

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


# -- what is worked on ----------------------------------------------------------------------------------------------------------------
@dataclass(eq=False)
class Run:
    """One encoding, from its start to its end.

    Attributes:
        project: where it is recorded.
        state: "waiting", "running", "paused", "done", "failed" or "cancelled".
        steps: done so far, of ``settings.steps``.
        pixels: the picture of a late step.
        face: its id in the library, when it is done.
    """

    id: str
    project: ProjectFile
    name: str
    target: Pixels
    settings: ProjectionSettings
    generator: str
    photo: str | None
    quad: Floats | None
    ticket: Ticket | None = None
    state: str = "waiting"
    steps: int = 0
    best: float = math.inf
    pixels: Pixels | None = None
    recipe: Recipe | None = None
    face: int | None = None
    times: list[tuple[float, int]] = field(default_factory=list)

    @property
    def open(self) -> bool:
        return self.state in ("waiting", "running", "paused")

    def job(self) -> Project:
        """What the worker is asked to do, from the beginning."""
        return Project(run=self.id, generator=self.generator, target=self.target, settings=self.settings, name=self.name)

    def rate(self) -> float | None:
        """Steps a second, lately."""
        if len(self.times) < 2 or self.times[-1][0] - self.times[0][0] < 0.2:
            return None
        return (self.times[-1][1] - self.times[0][1]) / (self.times[-1][0] - self.times[0][0])


@dataclass(eq=False)
class Item:
    """One photograph of the queue; a run that is taken up again has no photograph any more, only its crop."""

    name: str
    path: Path | None = None
    opened: PhotoOpened | None = None
    face: int | None = None
    crop: Crop | None = None
    cut: Cropped | None = None
    run: Run | None = None
    error: str = ""

    @property
    def ready(self) -> bool:
        """Whether its crop is cut out as it stands."""
        return self.run is None and self.cut is not None and self.crop is not None and np.array_equal(
            self.cut.quad, self.crop.quad()
        )  # fmt: skip

    @property
    def state(self) -> str:
        if self.run is not None:
            return self.run.state
        if self.error:
            return "failed"
        return "opening" if self.opened is None else "ready"


class EncodePanel(Panel):
    """From a photograph to a face of the generator."""

    title: ClassVar[str] = "Encode"
    area: ClassVar = "centre"
    hint: ClassVar[str] = "Find the face of the generator that looks like a photograph"

    def __init__(self, session: Session, client: Client) -> None:
        super().__init__(session, client)
        self.items: list[Item] = []
        self.item: Item | None = None
        self._opening: dict[Ticket, Item] = {}
        self._cropping: dict[Ticket, Item] = {}
        self._runs: dict[Ticket, Item] = {}
        self._resolving: Ticket | None = None
        self._starting: list[Item] = []
        self._crop_soon = QTimer(self, interval=CROP_MS, singleShot=True)
        self._crop_soon.timeout.connect(self._cut)
        self._compare_soon = QTimer(self, interval=DIFFERENCE_MS, singleShot=True)
        self._compare_soon.timeout.connect(self._show_difference)
        self.setAcceptDrops(True)

        self.pages = QStackedWidget()
        self.drop_page, self.wait_page = self._build_drop(), self._build_wait()
        self.choose_page, self.run_page = self._build_choose(), self._build_run()
        for page in (self.drop_page, self.wait_page, self.choose_page, self.run_page):
            self.pages.addWidget(page)
        self.notice = self._build_notice()
        self.queue = self._build_queue()
        self.body.addWidget(self.notice)
        self.body.addWidget(self.pages, 1)
        self.body.addWidget(self.queue)

        session.generator_changed.connect(self._generator_changed)
        session.project_changed.connect(self._project_changed)
        session.settings_changed.connect(lambda _: self._show_losses())
        self._generator_changed(session.generator)
        self._show()

    # -- building -------------------------------------------------------------------------------------------------------------
    def _build_drop(self) -> QWidget:
        page = QWidget()
        page.setObjectName("drop")
        column = QVBoxLayout(page)
        column.setContentsMargins(*(2 * theme.GRID,) * 4)
        column.setSpacing(theme.GRID)
        self.zone = DropZone(
            button("Open photo…", self.ask_photo, icon="open", primary=True),
            button("Try the sample photo", self._try_sample, tip="A portrait by NASA, in the public domain"),
        )
        column.addWidget(self.zone, 1)
        self.unfinished = QVBoxLayout()
        self.unfinished.setSpacing(4)
        column.addLayout(self.unfinished)
        return page

    def _build_wait(self) -> QWidget:
        page = QWidget()
        column = QVBoxLayout(page)
        self.wait_text = quiet("")
        self.wait_text.setAlignment(Qt.AlignmentFlag.AlignCenter)
        self.wait_text.setWordWrap(True)
        self.wait_ring = Wait(24)
        self.forget_button = button("Remove", self._remove_item)
        column.addStretch(1)
        column.addWidget(self.wait_ring, 0, Qt.AlignmentFlag.AlignHCenter)
        column.addWidget(self.wait_text)
        column.addWidget(self.forget_button, 0, Qt.AlignmentFlag.AlignHCenter)
        column.addStretch(1)
        return page

    def _build_choose(self) -> QWidget:
        page = QWidget()
        row = QHBoxLayout(page)
        row.setContentsMargins(0, 0, 0, 0)
        row.setSpacing(0)
        left = QVBoxLayout()
        left.setSpacing(0)
        self.photo = PhotoView()
        self.photo.face_chosen.connect(self._choose_face)
        self.photo.crop_changed.connect(self._crop_moved)
        self.photo_note = quiet("", wrap=True, small=True)
        self.photo_note.setContentsMargins(theme.GRID, 4, theme.GRID, 4)
        left.addWidget(self.photo, 1)
        left.addWidget(self.photo_note)
        row.addLayout(left, 1)

        side = QWidget()
        column = QVBoxLayout(side)
        column.setContentsMargins(*(theme.GRID,) * 4)
        column.setSpacing(theme.GRID)
        self.cut_view = FaceView("Aligned crop", side=112, hint="Aligned crop")
        column.addWidget(self.cut_view, 0, Qt.AlignmentFlag.AlignHCenter)
        form = QFormLayout()
        form.setHorizontalSpacing(theme.GRID)
        form.setVerticalSpacing(theme.GRID)
        now = self.session.settings
        self.space = _box("Space", SPACES, now.encode_space)
        self.steps = Whole()
        self.steps.setRange(10, 20_000)
        self.steps.setSingleStep(50)
        self.steps.setValue(now.encode_steps)
        self.steps.setAccessibleName("Steps")
        self.steps.setToolTip("More steps come nearer; the first hundred do most")
        self.start = _box("Start", STARTS, "w_avg")
        self.seed = Whole()
        self.seed.setRange(0, 2**31 - 1)
        self.seed.setValue(303)
        self.seed.setAccessibleName("Seed")
        self.seed.setToolTip("The same seed on the same machine gives the same result")
        form.addRow("Space", self.space)
        form.addRow("Steps", self.steps)
        form.addRow("Start", self.start)
        column.addLayout(form)
        more = Section("More", folded=True)
        inner = QFormLayout()
        inner.setHorizontalSpacing(theme.GRID)
        inner.addRow("Seed", self.seed)
        self.near_w = _box("Stay near W", {0.0: ("freely", "Layers go their own ways"), 1e-3: ("near W", "Layers stay together: edits better"), 1e-2: ("very near W", "Layers hardly part")}, 0.0)  # fmt: skip
        inner.addRow("Layers", self.near_w)
        more.body.addLayout(inner)
        column.addWidget(more)
        self.losses_note = quiet("", wrap=True, small=True)
        column.addWidget(self.losses_note)
        column.addStretch(1)
        self.encode_button = button(
            "Encode", self._encode, primary=True, tip="Begin; exploring goes on meanwhile (Ctrl+Return)"
        )
        QShortcut(QKeySequence("Ctrl+Return"), self, self.encode_button.click)  # a button's own is lost with its text
        self.encode_all = button("Encode all", self._encode_all)
        self.back_button = button("Another photo…", self.ask_photo)
        area = QScrollArea(widgetResizable=True, frameShape=QFrame.Shape.NoFrame)
        area.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        area.setWidget(side)
        buttons = QVBoxLayout()
        buttons.setContentsMargins(theme.GRID, 4, theme.GRID, theme.GRID)
        buttons.setSpacing(4)
        for each in (self.encode_button, self.encode_all, self.back_button):
            buttons.addWidget(each)
        right = QWidget()
        right.setFixedWidth(232)
        rows = QVBoxLayout(right)
        rows.setContentsMargins(0, 0, 0, 0)
        rows.setSpacing(0)
        rows.addWidget(area, 1)
        rows.addLayout(buttons)
        row.addWidget(right)
        return page

    def _build_run(self) -> QWidget:
        page = QWidget()
        column = QVBoxLayout(page)
        column.setContentsMargins(*(2 * theme.GRID,) * 4)
        column.setSpacing(theme.GRID)
        self.target_view = FaceView("Photograph")
        self.live_view = FaceView("Found")
        self.difference_view = FaceView("Difference")
        self.difference_view.setToolTip("Where the two differ: black is alike")
        squares = Squares(
            (self.target_view, "Photograph"), (self.live_view, "Found"), (self.difference_view, "Difference")
        )
        column.addWidget(squares, 1)
        self.progress = QProgressBar(textVisible=False)
        self.progress.setAccessibleName("Steps done")
        self.run_text = QLabel()
        self.run_text.setWordWrap(True)
        column.addWidget(self.progress)
        foot = QHBoxLayout()
        foot.setSpacing(theme.GRID)
        foot.addWidget(self.run_text, 1)
        self.pause_button = button("Pause", self._pause, icon="pause")
        self.cancel_button = button("Cancel", self._cancel, icon="close", tip="Stop; it can be taken up again")
        self.again_button = button("Go on", self._go_on, icon="play", primary=True)
        self.take_button = button("Take this face", self._take, icon="face", tip="Make it the current face")
        self.next_button = button("Encode another photo", self._remove_item, icon="photo")
        for each in (self.pause_button, self.cancel_button, self.again_button, self.take_button, self.next_button):
            foot.addWidget(each)
        column.addLayout(foot)
        return page

    def _build_notice(self) -> QWidget:
        bar = QFrame()
        bar.setObjectName("notice")
        row = QHBoxLayout(bar)
        row.setContentsMargins(theme.GRID, 4, theme.GRID, 4)
        row.setSpacing(theme.GRID)
        self.notice_text = QLabel(wordWrap=True)
        row.addWidget(self.notice_text, 1)
        row.addWidget(button("Understood", self._accept_notice))
        bar.hide()
        return bar

    def _build_queue(self) -> QListWidget:
        queue = QListWidget()
        queue.setFlow(QListView.Flow.LeftToRight)
        queue.setIconSize(QSize(THUMB, THUMB))
        queue.setFixedHeight(THUMB + 20)
        queue.setSpacing(4)
        queue.setHorizontalScrollMode(QListView.ScrollMode.ScrollPerPixel)
        queue.setVerticalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        queue.setAccessibleName("Photographs")
        queue.currentRowChanged.connect(self._select)
        queue.hide()
        return queue

    # -- photographs come ---------------------------------------------------------------------------------------------------------
    def open_photo(self, path: Path) -> None:
        """Put a photograph into the queue and find its faces."""
        item = Item(path.stem, path)
        self._add(item)
        ticket = self.client.submit(OpenPhoto(path=path))
        self._opening[ticket] = item
        ticket.answered.connect(self._opened)
        ticket.failed.connect(self._open_failed)

    def _add(self, item: Item) -> None:
        self.items.append(item)
        self.queue.addItem(QListWidgetItem(item.name))
        self._show_queue()
        # What a person is looking at stays, unless it is done with.
        if self.item is None or len(self.items) == 1 or self.item.state in ("done", "failed", "cancelled"):
            self.queue.setCurrentRow(len(self.items) - 1)
            self._select(len(self.items) - 1)

    def _opened(self, answer: Answer) -> None:
        item = self._opening[cast(Ticket, self.sender())]
        if not isinstance(answer, PhotoOpened):
            return
        item.opened = answer
        if answer.faces:
            item.face = 0
            item.crop = Crop.of_quad(answer.faces[0].quad)
        else:
            item.crop = Crop.middle(*answer.size)
        if answer.notice and not self.session.settings.notice_accepted:
            self.notice_text.setText(answer.notice)
            self.notice.show()
        if item is self.item:
            self._show()
        else:
            self._cut_item(item)
        self._show_queue()

    def _open_failed(self, error: object) -> None:
        item = self._opening[cast(Ticket, self.sender())]
        item.error = str(error)
        self._show_queue()
        if item is self.item:
            self._show()

    def _accept_notice(self) -> None:
        self.notice.hide()
        try:
            self.session.configure(notice_accepted=True)
        except FacelabError as error:
            self.say(error)

    def ask_photo(self) -> None:
        """Ask for photographs to open."""
        ask_open(self, "Open photographs", PHOTO_FILTER, self.open_photos, many=True)

    def open_photos(self, paths: Sequence[Path]) -> None:
        """Several photographs, or folders of them."""
        for path in paths:
            inside = sorted(p for p in path.iterdir() if p.suffix.lower() in SUFFIXES) if path.is_dir() else [path]
            if not inside:
                self.say(f"there is no photograph in the folder {path.name}")
            for each in inside:
                self.open_photo(each)

    def _try_sample(self) -> None:
        try:
            self.open_photo(resource(SAMPLE_PHOTO))
        except FacelabError as error:
            self.say(error)

    def dragEnterEvent(self, event: QDragEnterEvent) -> None:
        if files_of(event.mimeData()):
            event.acceptProposedAction()
            self.zone.set_over(True)

    def dragLeaveEvent(self, event: QDragLeaveEvent) -> None:
        self.zone.set_over(False)

    def dropEvent(self, event: QDropEvent) -> None:
        self.zone.set_over(False)
        files = files_of(event.mimeData())
        if files:
            event.acceptProposedAction()
            self.open_photos(files)

    # -- the crop -------------------------------------------------------------------------------------------------------------------
    def _choose_face(self, number: int) -> None:
        if self.item is None or self.item.opened is None:
            return
        self.item.face = number
        self.item.crop = Crop.of_quad(self.item.opened.faces[number].quad)
        self._show()

    def _crop_moved(self) -> None:
        if self.item is not None:
            self.item.crop = self.photo.crop
            self._buttons()
            if not self._crop_soon.isActive():
                self._crop_soon.start()

    def _cut(self) -> None:
        if self.item is not None:
            self._cut_item(self.item)

    def _cut_item(self, item: Item) -> None:
        info = self.session.generator
        if info is None or item.crop is None or item.path is None or item.ready or item in self._cropping.values():
            return  # the one under way asks again when it ends
        ticket = self.client.submit(CropPhoto(path=item.path, quad=item.crop.quad(), size=info.resolution))
        self._cropping[ticket] = item
        ticket.answered.connect(self._cropped)
        ticket.failed.connect(self.say)
        ticket.closed.connect(self._crop_closed)

    def _cropped(self, answer: Answer) -> None:
        item = self._cropping[cast(Ticket, self.sender())]
        if not isinstance(answer, Cropped):
            return
        item.cut = answer
        if item is self.item:
            self.cut_view.set_pixels(answer.pixels)
            self._note_photo()
            self._buttons()
        self._show_queue()

    def _crop_closed(self, end: str) -> None:
        item = self._cropping.pop(cast(Ticket, self.sender()))
        if end == "done":
            self._cut_item(item)  # the crop may have moved on meanwhile
        if item in self._starting and item.ready:
            self._starting.remove(item)
            self._begin(item)

    def _note_photo(self) -> None:
        item = self.item
        if item is None or item.opened is None:
            return
        said = [item.opened.message] if item.opened.message else []
        if not item.opened.faces:
            said.append("Place the square by hand: eyes in the upper third, chin near the lower edge.")
        elif len(item.opened.faces) > 1:
            said.append(f"{len(item.opened.faces)} faces: click the one to encode.")
        if item.cut is not None and item.cut.outside > 0.1:
            said.append(f"{item.cut.outside:.0%} of the crop lies outside the photograph and is filled in.")
        self.photo_note.setText(" ".join(_sentence(s) for s in said))
        self.photo_note.setVisible(bool(said))

    # -- what is shown ----------------------------------------------------------------------------------------------------------------
    def _generator_changed(self, info: object) -> None:
        for item in self.items:
            if item.run is None:
                item.cut = None  # another generator may have another size
        self._show_unfinished()
        self._show()

    def _project_changed(self, _: object) -> None:
        for item in self.items:
            if item.run is not None and item.run.open and item.run.ticket is not None:
                item.run.ticket.cancel()  # its project is closed; there it can be taken up again
        self._show_unfinished()

    def _select(self, number: int) -> None:
        self.item = self.items[number] if 0 <= number < len(self.items) else None
        self._show()

    def _show(self) -> None:
        """Bring the page to the item."""
        item = self.item
        if item is None:
            self._show_unfinished()
            self.pages.setCurrentWidget(self.drop_page)
            return
        if item.run is not None:
            self._show_run()
            self.pages.setCurrentWidget(self.run_page)
        elif item.opened is None:
            self.wait_ring.setVisible(not item.error)
            self.wait_text.setText(_sentence(item.error) if item.error else f"Opening {item.name}…")
            self.forget_button.setVisible(bool(item.error))
            self.pages.setCurrentWidget(self.wait_page)
        else:
            if self.photo_shown is not item:
                self.photo.show_photo(item.opened)
                self.photo_shown = item
            self.photo.chosen, self.photo.crop = item.face, item.crop
            self.photo.update()
            self.cut_view.set_pixels(None if item.cut is None else item.cut.pixels)
            self._note_photo()
            self._show_losses()
            self.pages.setCurrentWidget(self.choose_page)
            self._cut()
        self._buttons()

    photo_shown: Item | None = None

    def _show_losses(self) -> None:
        path = self.session.settings.vgg16
        self.losses_note.setText(
            "Pixels only: compares pixels and edges. A VGG16 file, given in the settings, adds likeness."
            if path is None else f"Compares pixels, edges, and features of {Path(path).name}."
        )  # fmt: skip

    def _buttons(self) -> None:
        item, info = self.item, self.session.generator
        ready = [i for i in self.items if i.state == "ready"]
        self.encode_button.setEnabled(info is not None and item is not None and item.state == "ready")
        self.encode_button.setText("Encode" if info is not None else "The generator is loading…")
        self.encode_all.setVisible(len(ready) > 1)
        self.encode_all.setText(f"Encode all {len(ready)}")
        if item is None or item.run is None:
            return
        state = item.run.state
        self.pause_button.setVisible(item.run.open)
        self.pause_button.setText("Resume" if state == "paused" else "Pause")
        self.pause_button.setIcon(theme.icon("play" if state == "paused" else "pause"))
        self.cancel_button.setVisible(item.run.open)
        self.again_button.setVisible(state in ("cancelled", "failed"))
        self.take_button.setVisible(item.run.recipe is not None)
        self.next_button.setVisible(not item.run.open)

    def _show_queue(self) -> None:
        for number, item in enumerate(self.items):
            row = self.queue.item(number)
            row.setText(f"{item.name}\n{self._words(item)}")
            row.setToolTip(item.error)
            if row.icon().isNull():
                picture = item.run.target if item.run is not None else None if item.cut is None else item.cut.pixels
                if picture is not None:
                    row.setIcon(QIcon(pixmap_of(picture)))
        self.queue.setVisible(len(self.items) > 1)

    @staticmethod
    def _words(item: Item) -> str:
        run = item.run
        if run is not None and run.state in ("running", "paused"):
            return f"{run.state}, {run.steps} of {run.settings.steps}"
        if run is not None and run.state == "done":
            return f"done, loss {run.best:.3g}"
        return {"failed": "could not be encoded" if item.run else "could not be opened"}.get(item.state, item.state)

    def _remove_item(self) -> None:
        """Done with this one; on to the next that needs a person, or a new photograph."""
        if self.item is not None and not (self.item.run is not None and self.item.run.open):
            number = self.items.index(self.item)
            del self.items[number]
            self.queue.blockSignals(True)
            self.queue.takeItem(number)
            self.queue.blockSignals(False)
        following = next((i for i, item in enumerate(self.items) if item.state == "ready"), len(self.items) - 1)
        self.queue.setCurrentRow(following)
        self._select(following)
        self._show_queue()

    # -- runs -------------------------------------------------------------------------------------------------------------------------
    def settings(self) -> ProjectionSettings:
        """What is set now."""
        return ProjectionSettings(
            space=self.space.currentData(), steps=self.steps.value(), start=self.start.currentData(), seed=self.seed.value(),
            learning_rate=self.session.settings.encode_learning_rate, features=self.session.settings.vgg16,
            near_w=self.near_w.currentData(),
        )  # fmt: skip

    def _encode(self) -> None:
        if self.item is not None and self.item.state == "ready":
            self._begin_when_cut(self.item)

    def _encode_all(self) -> None:
        for item in self.items:
            if item.state == "ready":
                self._begin_when_cut(item)

    def _begin_when_cut(self, item: Item) -> None:
        if item.ready:
            self._begin(item)
        elif item not in self._starting:
            self._starting.append(item)
            self._cut_item(item)

    def _begin(self, item: Item) -> None:
        settings, recipe = self.settings(), self.session.state.recipe
        if settings.start != "code":
            self._start_run(item, settings)
        elif recipe is not None and plain(recipe):
            self._start_run(item, replace(settings, start_code=recipe.sources[0]))
        elif recipe is not None:
            ticket = self.client.submit(Resolve(recipes=(recipe,)))
            self._runs[ticket] = item
            ticket.answered.connect(self._start_resolved)
            ticket.failed.connect(self.say)

    def _start_resolved(self, answer: Answer) -> None:
        item = self._runs.pop(cast(Ticket, self.sender()))
        if isinstance(answer, Codes) and item.run is None:
            self._start_run(item, replace(self.settings(), start_code=replace(answer.codes[0], noise=None)))

    def _start_run(self, item: Item, settings: ProjectionSettings) -> None:
        info = self.session.generator
        if info is None or item.cut is None:
            return
        run = Run(
            id=uuid.uuid4().hex, project=self.session.project, name=item.name, target=item.cut.pixels, settings=settings,
            generator=info.sha256, photo=item.path.name if item.path is not None else None, quad=item.cut.quad,
        )  # fmt: skip
        try:
            runs.begin(run.project, run.job(), png_of(image_of(run.target)), run.photo, run.quad)
        except FacelabError as error:
            self.say(error)
            return
        item.run = run
        self._submit(item, run, run.job())

    def _submit(self, item: Item, run: Run, job: Project) -> None:
        self.unsay()
        run.state = "waiting"
        run.times.clear()
        ticket = run.ticket = self.client.submit(job)
        self._runs[ticket] = item
        ticket.started.connect(self._started)
        ticket.answered.connect(self._answered)
        ticket.progressed.connect(self._progressed)
        ticket.failed.connect(self._run_failed)
        ticket.closed.connect(self._closed)
        self._show()
        self._show_queue()

    def _run(self) -> tuple[Item, Run]:
        """The item and the run whose ticket speaks now."""
        item = self._runs[cast(Ticket, self.sender())]
        return item, cast(Run, item.run)

    def _started(self) -> None:
        item, run = self._run()
        run.state = "running"
        self._changed(item)

    def _answered(self, answer: Answer) -> None:
        item, run = self._run()
        if isinstance(answer, ProjectionStep):
            run.steps, run.best = answer.steps[-1] + 1, answer.best
            run.times = [*run.times[-40:], (time.monotonic(), run.steps)]
            if answer.pixels is not None:
                run.pixels = answer.pixels
        elif isinstance(answer, ProjectionDone):
            self._finished(item, run, answer)
        if run.project is self.session.project:  # else it was closed, and the run can be taken up again there
            try:
                runs.record(run.project, answer)
            except FacelabError as error:
                self.say(error)
        self._changed(item)

    def _finished(self, item: Item, run: Run, done: ProjectionDone) -> None:
        run.state, run.pixels, run.best = "done", done.pixels, done.loss
        run.recipe = Recipe.of(done.code)
        if run.project is not self.session.project:
            return
        run.face = runs.face_of(run.project, run.id)
        if run.face is None:
            run.face = keep_face(
                self.session, run.recipe, run.name, pixels=done.pixels, photo=run.photo, quad=run.quad, run=run.id
            )
        info = self.session.generator
        if info is not None and info.sha256 == run.generator:
            self.session.take(run.recipe, f"Encode {run.name}")

    def _progressed(self, progress: Progress) -> None:
        item, run = self._run()
        if progress.total == run.settings.steps:
            run.steps = max(run.steps, progress.done)
        if progress.message and item is self.item:
            self.run_text.setToolTip(progress.message)

    def _run_failed(self, error: object) -> None:
        item, run = self._run()
        item.error = str(error)
        run.state = "failed"
        self.say(error)

    def _closed(self, end: str) -> None:
        item, run = self._run()
        del self._runs[cast(Ticket, self.sender())]
        run.ticket = None
        if end in ("cancelled", "failed"):
            run.state = end
            if run.project is self.session.project:
                try:
                    run.project.finish_run(run.id, end)
                except FacelabError as error:
                    self.say(error)
        self._changed(item)

    def _changed(self, item: Item) -> None:
        self._show_queue()
        if item is self.item:
            self._show_run()
            self._buttons()

    def _show_run(self) -> None:
        run = None if self.item is None else self.item.run
        if run is None:
            return
        if self.target_view.pixels is not run.target:
            self.target_view.set_pixels(run.target)
            self.live_view.set_face(None)
            self.difference_view.set_pixels(None)
        if run.pixels is not None and self.live_view.pixels is not run.pixels:
            self.live_view.set_pixels(run.pixels)
            if not self._compare_soon.isActive():
                self._compare_soon.start()
        self.live_view.recipe = run.recipe
        self.progress.setRange(0, run.settings.steps)
        self.progress.setValue(run.settings.steps if run.state == "done" else run.steps)
        self.run_text.setText(self._said(run))

    def _said(self, run: Run) -> str:
        at = f"step {run.steps:,} of {run.settings.steps:,}"
        loss = f", loss {run.best:.4g}" if math.isfinite(run.best) else ""
        if run.state == "waiting":
            return "Waiting for what was begun before" if len(self._runs) > 1 else "Preparing…"
        if run.state == "done":
            return f"Done{loss}. It is the current face now, and in the library as {run.name}."
        if run.state in ("cancelled", "failed"):
            return f"{'Stopped' if run.state == 'cancelled' else 'It failed'} at {at}{loss}. Nothing is lost."
        if run.state == "paused":
            return f"Paused at {at}{loss}"
        rate = run.rate()
        left = ""
        if rate:
            seconds = (run.settings.steps - run.steps) / rate
            left = f", {rate:.1f} steps a second, about {_duration(seconds)} left"
        return f"S{at[1:]}{loss}{left}"

    def _show_difference(self) -> None:
        run = None if self.item is None else self.item.run
        if run is None or run.pixels is None:
            return
        target, found = run.target, run.pixels
        if target.shape != found.shape:  # a picture of a step may be smaller than the target
            side = min(target.shape[0], found.shape[0], 256)
            target, found = (_resized(p, side) for p in (target, found))
        away = np.abs(target.astype(np.int16) - found.astype(np.int16)).mean(2, keepdims=True) * DIFFERENCE_GAIN
        self.difference_view.set_pixels(read_only(np.repeat(np.minimum(away, 255).astype(np.uint8), 3, axis=2)))

    def _pause(self) -> None:
        run = None if self.item is None else self.item.run
        if run is None or run.ticket is None:
            return
        if run.state == "paused":
            run.ticket.resume()
            run.state = "running" if run.ticket.state == "running" else "waiting"
            run.times.clear()
        else:
            run.ticket.pause()
            run.state = "paused"
        self._changed(cast(Item, self.item))

    def _cancel(self) -> None:
        run = None if self.item is None else self.item.run
        if run is not None and run.ticket is not None:
            run.ticket.cancel()

    def _take(self) -> None:
        run = None if self.item is None else self.item.run
        if run is not None and run.recipe is not None:
            self.session.take(run.recipe, f"Take {run.name}")

    # -- runs that were stopped -----------------------------------------------------------------------------------------------------------
    def _go_on(self) -> None:
        item = self.item
        if item is None or item.run is None:
            return
        run, info = item.run, self.session.generator
        if info is None or info.sha256 != run.generator:
            self.say("this encoding belongs to another generator; open that one to go on")
            return
        try:
            job, run.steps = runs.resumed(run.project, run.job())
            runs.begin(run.project, job)
        except FacelabError as error:
            self.say(error)
            return
        item.error = ""
        self._submit(item, run, job)

    def unfinished_runs(self) -> list[RunRow]:
        """Runs of the project that can go on with the open generator and are not on screen."""
        info = self.session.generator
        if info is None:
            return []
        here = {item.run.id for item in self.items if item.run is not None}
        try:
            return [
                row for row in self.session.project.runs()
                if row.status != "done" and row.generator == info.sha256 and row.id not in here and row.steps_done
                and not runs.is_zero_run(row.id)
            ]  # fmt: skip
        except FacelabError as error:
            self.say(error)
            return []

    def _show_unfinished(self) -> None:
        while self.unfinished.count():
            taken = self.unfinished.takeAt(0)
            line = None if taken is None else taken.widget()
            if line is not None:
                line.hide()
                line.deleteLater()
        for row in self.unfinished_runs()[:3]:
            offer = QFrame()
            offer.setObjectName("unfinished")
            inside = QHBoxLayout(offer)
            inside.setContentsMargins(theme.GRID, 4, 4, 4)
            inside.setSpacing(theme.GRID)
            total = row.settings.get("steps")
            inside.addWidget(
                quiet(
                    f"{row.name} was stopped at step {row.steps_done:,}"
                    + (f" of {total:,}" if isinstance(total, int) else "")
                ),
                1,
            )
            inside.addWidget(button("Go on", partial(self.resume, row), icon="play"))
            inside.addWidget(
                tool(f"Forget {row.name}", "trash", partial(self._forget, row), tip="Delete this run")
            )
            self.unfinished.addWidget(offer)

    def resume(self, row: RunRow) -> None:
        """Go on with a run that was stopped, from its last checkpoint."""
        project = self.session.project
        try:
            settings = runs.settings_of(row.settings)
            png, photo = project.target(row.id), project.run_photo(row.id)
        except FacelabError as error:
            self.say(error)
            return
        image = QImage.fromData(png or b"")
        if image.isNull():
            self.say(f"the crop of {row.name} is missing or damaged; encode the photograph again")
            return
        run = Run(
            id=row.id, project=project, name=row.name, target=pixels_of(image), settings=settings, generator=row.generator,
            photo=photo[0] if photo else None, quad=photo[1] if photo else None, steps=row.steps_done, best=row.best,
            state="cancelled",
        )  # fmt: skip
        self._add(Item(row.name, run=run))
        self.queue.setCurrentRow(len(self.items) - 1)
        self._select(len(self.items) - 1)
        self._go_on()

    def _forget(self, row: RunRow) -> None:
        self.session.project.delete_run(row.id)
        self._show_unfinished()


SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".heic", ".heif", ".tif", ".tiff", ".bmp")


def pixels_of(image: QImage) -> Pixels:
    """uint8 [H, W, 3] of a picture."""
    image = image.convertToFormat(QImage.Format.Format_RGB888)
    rows = np.frombuffer(image.constBits(), np.uint8).reshape(image.height(), image.bytesPerLine())
    return read_only(rows[:, : 3 * image.width()].reshape(image.height(), image.width(), 3).copy())


def _resized(pixels: Pixels, side: int) -> Pixels:
    image = image_of(pixels).scaled(
        side, side, Qt.AspectRatioMode.IgnoreAspectRatio, Qt.TransformationMode.SmoothTransformation
    )
    return pixels_of(image)


def _box(name: str, choices: Mapping[Any, tuple[str, str]], value: object) -> QComboBox:
    box = QComboBox(accessibleName=name)
    for data, (text, tip) in choices.items():
        box.addItem(text, data)
        box.setItemData(box.count() - 1, tip, Qt.ItemDataRole.ToolTipRole)
    box.setCurrentIndex(max(0, list(choices).index(value) if value in choices else 0))
    box.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon)
    box.setMinimumContentsLength(6)
    return box


def _sentence(text: str) -> str:
    text = text.strip()
    return text[:1].upper() + text[1:] + ("" if text[-1:] in ".!?…:" else ".")


def _duration(seconds: float) -> str:
    if seconds < 90:
        return f"{max(1, round(seconds))} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
