"""The library: faces that were kept, with names and tags, by thousands."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from pathlib import Path
from time import perf_counter
from typing import ClassVar, cast

from PySide6.QtCore import (
    QAbstractListModel,
    QBuffer,
    QIODevice,
    QMimeData,
    QModelIndex,
    QPersistentModelIndex,
    QPoint,
    QRectF,
    QSize,
    Qt,
    QTimer,
    Signal,
)
from PySide6.QtGui import (
    QColor,
    QDragEnterEvent,
    QDragLeaveEvent,
    QDragMoveEvent,
    QDropEvent,
    QFontMetricsF,
    QIcon,
    QImage,
    QKeyEvent,
    QPainter,
    QPainterPath,
    QPaintEvent,
    QPen,
    QPixmap,
    QResizeEvent,
    QUndoCommand,
)
from PySide6.QtWidgets import (
    QAbstractItemView,
    QComboBox,
    QHBoxLayout,
    QInputDialog,
    QLineEdit,
    QListView,
    QMenu,
    QMessageBox,
    QStackedWidget,
    QStyle,
    QStyledItemDelegate,
    QStyleOptionViewItem,
    QVBoxLayout,
    QWidget,
)

from facelab.errors import FacelabError
from facelab.jobs import (
    Answer,
    Dropped,
    GeneratorInfo,
    Images,
    LookAtFile,
    OpenGenerator,
    Pixels,
    Thumbnails,
    WriteLatents,
)
from facelab.latent.recipe import Recipe
from facelab.project import FaceRow, Project
from facelab.ui import theme
from facelab.ui.dialogs import ExportMorphDialog, ExportPictureDialog, ask_save, file_name, folder, free_name
from facelab.ui.dragging import files_of, recipe_mime, recipe_of, start_drag
from facelab.ui.messages import Together
from facelab.ui.panels.base import Panel
from facelab.ui.pixels import image_of
from facelab.ui.session import Session, describe
from facelab.ui.widgets import EmptyState, button, quiet, tool
from facelab.worker import Client, Ticket

Index = QModelIndex | QPersistentModelIndex
FACE = Qt.ItemDataRole.UserRole  # the FaceRow of an index
DRAWN = 128  # px, in which a thumbnail is drawn
STORED = 96  # px, in which it is kept: sharp enough for the list on a dense screen, 15 kB as PNG
SIDE, LARGEST = 80, 112  # px, on the screen: as many in a row as fit, and then as large as fits
KEPT = 2000  # pixmaps of thumbnails in memory, 36 kB each
LOAD_MS = 3  # at a stretch for reading thumbnails, so that scrolling stays smooth
DRAW = 16  # thumbnails drawn in one job
SEARCH_MS = 120
MOST_DRAGGED = 200  # faces
BIN = "\0bin"  # the entry of the tags' box that shows what was deleted
NOTHING, EMPTY_BIN = (
    "No face of that name or tag.",
    "The bin is empty. Faces that you delete lie here until you delete them for good.",
)
ORDERS = {"newest": "Newest", "oldest": "Oldest", "name": "Name"}


class LibraryEdit(QUndoCommand):
    """A change of the library, as a step of undo; nothing is lost by it, deleted faces lie in the bin."""

    def __init__(
        self, text: str, session: Session, do: Callable[[Project], None], undo: Callable[[Project], None],
        face: Recipe | None = None,
    ) -> None:  # fmt: skip
        """``face`` is the one that the step is about, which the history shows beside it."""
        super().__init__(text)
        self._session, self._do, self._undo, self.face = session, do, undo, face

    def redo(self) -> None:
        self._change(self._do)

    def undo(self) -> None:
        self._change(self._undo)

    def _change(self, change: Callable[[Project], None]) -> None:
        try:
            change(self._session.project)
        except FacelabError as error:  # what is raised through Qt's stack ends the program
            self._session.project_failed.emit(error)
        self._session.library_changed.emit()


def keep_face(
    session: Session, recipe: Recipe, name: str, *, pixels: Pixels | None = None, photo: str | None = None,
    quad: object = None, run: str | None = None,
) -> int:  # fmt: skip
    """Put a face into the library, as a step of undo.

    Args:
        session: whose project it goes to.
        recipe: what draws it.
        name: taken as it is.
        pixels: its picture, uint8 [H, W, 3], for the thumbnail; without one the library draws it.
        photo, quad, run: where it came from, see `Project.add_face`.

    Returns:
        Its id.
    """
    png = None if pixels is None else thumbnail_png(image_of(pixels))
    face = session.project.add_face(recipe, name, thumbnail=png, photo=photo, quad=cast("None", quad), run=run)
    session.stack.push(
        LibraryEdit(f"Keep {name}", session, lambda p: p.restore([face]), lambda p: p.delete([face]), recipe)
    )
    return face


def png_of(image: QImage) -> bytes:
    """A picture as a PNG."""
    buffer = QBuffer()
    buffer.open(QIODevice.OpenModeFlag.WriteOnly)
    image.save(buffer, "PNG")
    return bytes(buffer.data().data())


def thumbnail_png(image: QImage) -> bytes:
    """A picture as the small PNG that the project keeps."""
    if max(image.width(), image.height()) > STORED:
        image = image.scaled(
            STORED, STORED, Qt.AspectRatioMode.KeepAspectRatio, Qt.TransformationMode.SmoothTransformation
        )
    return png_of(image)


class FaceModel(QAbstractListModel):
    """The rows of the library. Thumbnails are read when they are first asked for, a few at a time.

    Signals:
        thumbnails_missing: ids of faces in view that have no thumbnail yet.
    """

    thumbnails_missing = Signal(object)

    def __init__(self, session: Session, parent: QWidget) -> None:
        super().__init__(parent)
        self._session = session
        self._rows: list[FaceRow] = []
        self._places: dict[int, int] = {}
        self._pixmaps: OrderedDict[int, QPixmap | None] = OrderedDict()
        self._wanted: OrderedDict[int, None] = OrderedDict()
        self._loader = QTimer(self, interval=0)
        self._loader.timeout.connect(self._load)

    # -- rows --
    def set_rows(self, rows: Sequence[FaceRow]) -> None:
        """Show other rows; what stays keeps its place, its selection and its thumbnail."""
        rows = list(rows)
        old, new = [r.id for r in self._rows], [r.id for r in rows]
        head = 0
        while head < min(len(old), len(new)) and old[head] == new[head]:
            head += 1
        tail = 0
        while tail < min(len(old), len(new)) - head and old[-1 - tail] == new[-1 - tail]:
            tail += 1
        gone, come = len(old) - head - tail, len(new) - head - tail
        if gone and come:
            self.beginResetModel()
            self._take(rows)
            self.endResetModel()
            return
        changed = [i for i in range(len(rows)) if i < head and self._rows[i] != rows[i]]
        changed += [len(rows) - 1 - i for i in range(tail) if self._rows[-1 - i] != rows[-1 - i]]
        if gone:
            self.beginRemoveRows(QModelIndex(), head, head + gone - 1)
            self._take(rows)
            self.endRemoveRows()
        elif come:
            self.beginInsertRows(QModelIndex(), head, head + come - 1)
            self._take(rows)
            self.endInsertRows()
        else:
            self._take(rows)
        for place in changed:
            self.dataChanged.emit(self.index(place), self.index(place))

    def _take(self, rows: list[FaceRow]) -> None:
        self._rows = rows
        self._places = {row.id: place for place, row in enumerate(rows)}

    def rowCount(self, parent: Index = QModelIndex()) -> int:  # noqa: B008
        return 0 if parent.isValid() else len(self._rows)

    def row_of(self, face: int) -> int | None:
        """Where a face stands, or None."""
        return self._places.get(face)

    def flags(self, index: Index) -> Qt.ItemFlag:
        flags = super().flags(index)
        if index.isValid():
            flags |= Qt.ItemFlag.ItemIsDragEnabled | Qt.ItemFlag.ItemIsEditable
        return flags

    def data(self, index: Index, role: int = Qt.ItemDataRole.DisplayRole) -> object:
        if not index.isValid():
            return None
        row = self._rows[index.row()]
        if role in (Qt.ItemDataRole.DisplayRole, Qt.ItemDataRole.EditRole, Qt.ItemDataRole.AccessibleTextRole):
            return row.name
        if role == FACE:
            return row
        if role == Qt.ItemDataRole.DecorationRole:
            return self._pixmap(row.id)
        if role == Qt.ItemDataRole.ToolTipRole:
            return self._tip(row)
        return None

    def _tip(self, row: FaceRow) -> str:
        lines = [row.name]
        if row.tags:
            lines.append("tags: " + ", ".join(row.tags))
        if not self.drawable(row):
            lines.append("Made by another generator. The menu offers to open it.")
        return "\n".join(lines)

    def drawable(self, row: FaceRow) -> bool:
        """Whether the open generator draws a face."""
        info = self._session.generator
        return info is not None and info.sha256 == row.generator

    def setData(self, index: Index, value: object, role: int = Qt.ItemDataRole.EditRole) -> bool:
        if role != Qt.ItemDataRole.EditRole or not index.isValid():
            return False
        row, name = self._rows[index.row()], str(value).strip()[:1024]
        if not name or name == row.name:
            return False
        before = row.name
        self._session.stack.push(
            LibraryEdit(
                f"Rename {before}", self._session, lambda p: p.rename(row.id, name), lambda p: p.rename(row.id, before)
            )
        )
        return True

    # -- thumbnails --
    def _pixmap(self, face: int) -> QPixmap | None:
        if face in self._pixmaps:
            self._pixmaps.move_to_end(face)
            return self._pixmaps[face]
        self._wanted[face] = None
        self._wanted.move_to_end(face)
        if not self._loader.isActive():
            self._loader.start()
        return None

    def _load(self) -> None:
        """Read what was asked for last first: that is what is in view."""
        until, missing = perf_counter() + LOAD_MS / 1000, []
        while self._wanted and perf_counter() < until:
            face, _ = self._wanted.popitem()
            if face not in self._places:
                continue
            try:
                png = self._session.project.thumbnail(face)
            except FacelabError:
                png = None  # a damaged thumbnail is drawn anew
            pixmap = QPixmap()
            if png is None or not pixmap.loadFromData(png):
                missing.append(face)
            self.put(face, None if pixmap.isNull() else pixmap)
        if not self._wanted:
            self._loader.stop()
        if missing:
            self.thumbnails_missing.emit(missing)

    def put(self, face: int, pixmap: QPixmap | None) -> None:
        """Show a thumbnail; None is one that is being drawn."""
        self._pixmaps[face] = pixmap
        self._pixmaps.move_to_end(face)
        while len(self._pixmaps) > KEPT:
            self._pixmaps.popitem(last=False)
        place = self._places.get(face)
        if place is not None:
            self.dataChanged.emit(self.index(place), self.index(place), [Qt.ItemDataRole.DecorationRole])

    def rows(self) -> list[FaceRow]:
        return self._rows

    def forget_missing(self) -> None:
        """Ask again for thumbnails that could not be drawn: another generator is open."""
        for face in [f for f, pixmap in self._pixmaps.items() if pixmap is None]:
            del self._pixmaps[face]

    def forget(self) -> None:
        """Another project: its ids mean other faces."""
        self._pixmaps.clear()
        self._wanted.clear()

    # -- dragging --
    def mimeTypes(self) -> list[str]:
        return ["application/x-facelab-recipe"]

    def mimeData(self, indexes: Sequence[Index]) -> QMimeData:
        row = cast(FaceRow, indexes[0].data(FACE))
        pixmap = self._pixmaps.get(row.id)
        first, *others = (
            self._session.project.recipe(each)
            for each in dict.fromkeys(cast(FaceRow, index.data(FACE)).id for index in indexes[:MOST_DRAGGED])
        )
        mime = recipe_mime(first, others=others)
        if pixmap is not None:
            mime.setImageData(pixmap.toImage())
        mime.setText(row.name)
        return mime


class FaceDelegate(QStyledItemDelegate):
    """A face with its name below; what the open generator cannot draw is pale and carries a mark."""

    def __init__(self, view: FaceList) -> None:
        super().__init__(view)
        self._view = view

    def sizeHint(self, option: QStyleOptionViewItem, index: Index) -> QSize:
        return self._view.gridSize()

    def paint(self, painter: QPainter, option: QStyleOptionViewItem, index: Index) -> None:
        c = theme.colours()
        model = cast(FaceModel, index.model())
        row = cast(FaceRow, index.data(FACE))
        area = QRectF(option.rect)
        side = self._view.side
        picture = QRectF(area.x() + (area.width() - side) / 2, area.y() + 4, side, side)
        state = option.state
        chosen = bool(state & QStyle.StateFlag.State_Selected)
        painter.save()
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        painter.setRenderHint(QPainter.RenderHint.SmoothPixmapTransform)
        pixmap = cast(QPixmap | None, index.data(Qt.ItemDataRole.DecorationRole))
        clip = QPainterPath()
        clip.addRoundedRect(picture, 4, 4)
        if pixmap is None:
            painter.fillPath(clip, QColor(c.hover))
        else:
            painter.save()
            painter.setClipPath(clip)
            painter.setOpacity(1.0 if model.drawable(row) else 0.4)
            painter.drawPixmap(picture, pixmap, QRectF(pixmap.rect()))
            painter.restore()
        if not model.drawable(row):
            badge = QRectF(picture.right() - 24, picture.top() + 4, 20, 20)
            painter.setPen(Qt.PenStyle.NoPen)
            painter.setBrush(QColor(16, 16, 16, 200))
            painter.drawRoundedRect(badge, 4, 4)
            theme.paint_icon(painter, "chip", badge.adjusted(2, 2, -2, -2), "#f2f2f2")
        if chosen or state & QStyle.StateFlag.State_MouseOver or state & QStyle.StateFlag.State_HasFocus:
            painter.setBrush(Qt.BrushStyle.NoBrush)
            painter.setPen(QPen(QColor(c.accent if chosen else c.edge), 2 if chosen else 1))
            painter.drawRoundedRect(picture.adjusted(-1, -1, 1, 1), 5, 5)
        font = painter.font()
        font.setPixelSize(theme.SMALL)
        painter.setFont(font)
        painter.setPen(QColor(c.text if chosen else c.quiet))
        line = QRectF(area.x() + 2, picture.bottom() + 3, area.width() - 4, 18)
        name = QFontMetricsF(font).elidedText(row.name, Qt.TextElideMode.ElideRight, line.width())
        painter.drawText(line, Qt.AlignmentFlag.AlignCenter, name)
        painter.restore()

    def setEditorData(self, editor: QWidget, index: Index) -> None:
        # A thumbnail that comes while a name is typed must not take the typing back.
        if not (isinstance(editor, QLineEdit) and editor.isModified()):
            super().setEditorData(editor, index)

    def updateEditorGeometry(self, editor: QWidget, option: QStyleOptionViewItem, index: Index) -> None:
        area = option.rect
        editor.setGeometry(area.x(), area.y() + self._view.side + 2, area.width(), 26)


class FaceList(QListView):
    """The faces in rows; takes faces and files that are dropped on it.

    Signals:
        face_dropped: a `Recipe`; files_dropped: paths.
        taken, deleted: Enter or Delete was pressed.
    """

    taken = Signal()
    deleted = Signal()
    face_dropped = Signal(object)
    files_dropped = Signal(object)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.side = SIDE
        self.setViewMode(QListView.ViewMode.IconMode)
        self.setMovement(QListView.Movement.Static)
        self.setResizeMode(QListView.ResizeMode.Adjust)
        self.setUniformItemSizes(True)
        self.setSelectionMode(QAbstractItemView.SelectionMode.ExtendedSelection)
        self.setVerticalScrollMode(QAbstractItemView.ScrollMode.ScrollPerPixel)
        self.setEditTriggers(QAbstractItemView.EditTrigger.EditKeyPressed)
        self.setDragEnabled(True)
        self.setAcceptDrops(True)
        self.setMouseTracking(True)
        self.setContextMenuPolicy(Qt.ContextMenuPolicy.CustomContextMenu)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.setAccessibleName("Faces of the library")
        self._over = False
        self._fit()

    def _fit(self) -> None:
        """As many columns as there is room for, which share what is left."""
        # The scroll bar's room is left free when there is none: the layout must not depend on it, nor it on the layout.
        width = self.width() - self.verticalScrollBar().sizeHint().width() - 1
        wide = width // max(1, width // (SIDE + 10))
        self.side = min(max(wide - 10, SIDE), LARGEST)
        size = QSize(wide, self.side + 32)
        if size != self.gridSize():
            self.setGridSize(size)

    def resizeEvent(self, event: QResizeEvent) -> None:
        super().resizeEvent(event)
        self._fit()

    def keyPressEvent(self, event: QKeyEvent) -> None:
        if self.state() is QAbstractItemView.State.EditingState:
            super().keyPressEvent(event)  # Enter ends a name, and comes here too
        elif event.key() in (Qt.Key.Key_Return, Qt.Key.Key_Enter):
            self.taken.emit()
        elif event.key() in (Qt.Key.Key_Delete, Qt.Key.Key_Backspace):
            self.deleted.emit()
        else:
            super().keyPressEvent(event)

    def startDrag(self, actions: Qt.DropAction) -> None:
        indexes = self.selectedIndexes()
        if indexes:
            current = self.currentIndex()
            first = [current] if current in indexes else []
            mime = cast(FaceModel, self.model()).mimeData(first + indexes)
            start_drag(self, mime, cast(QPixmap | None, (first + indexes)[0].data(Qt.ItemDataRole.DecorationRole)))

    def _takes(self, event: QDropEvent) -> bool:
        return event.source() is not self and (
            recipe_of(event.mimeData()) is not None or bool(files_of(event.mimeData()))
        )

    def dragEnterEvent(self, event: QDragEnterEvent) -> None:
        if self._takes(event):
            event.acceptProposedAction()
            self._over = True
            self.viewport().update()
        else:
            event.ignore()

    def dragMoveEvent(self, event: QDragMoveEvent) -> None:
        event.acceptProposedAction()

    def dragLeaveEvent(self, event: QDragLeaveEvent) -> None:
        self._over = False
        self.viewport().update()

    def dropEvent(self, event: QDropEvent) -> None:
        self._over = False
        self.viewport().update()
        recipe, files = recipe_of(event.mimeData()), files_of(event.mimeData())
        event.acceptProposedAction()
        if recipe is not None:
            self.face_dropped.emit(recipe)
        elif files:
            self.files_dropped.emit(files)

    def paintEvent(self, event: QPaintEvent) -> None:
        super().paintEvent(event)
        if self._over:
            painter = QPainter(self.viewport())
            painter.fillRect(self.viewport().rect(), QColor(0, 0, 0, 120))
            painter.setPen(QColor("#ffffff"))
            painter.drawText(self.viewport().rect(), Qt.AlignmentFlag.AlignCenter, "Drop to keep it here")
            painter.end()


class LibraryPanel(Panel):
    """Named faces; drag them anywhere, drop faces and pictures in.

    Signals:
        slot_asked(index, recipe): put a face into the mixer's slot.
        anchor_asked(name, recipe): put it on "origin", "x" or "y" of the plane.
        paste_asked(recipe, photo): set it back into its photograph, of which the name and the crop are told, or None.
        photo_asked(path): a photograph was dropped here.
    """

    title: ClassVar[str] = "Library"
    area: ClassVar = Qt.DockWidgetArea.LeftDockWidgetArea
    hint: ClassVar[str] = "The faces that you kept"
    keys: ClassVar = (
        ("Double-click, Enter", "Take the face"),
        ("Ctrl or Shift and click", "Choose several"),
        ("Drag", "Use the faces anywhere"),
        ("F2", "Rename"),
        ("Delete", "Put into the bin"),
        ("Right click", "All that can be done with it"),
    )

    slot_asked = Signal(int, object)
    anchor_asked = Signal(str, object)
    paste_asked = Signal(object, object)
    photo_asked = Signal(object)

    def __init__(self, session: Session, client: Client) -> None:
        super().__init__(session, client)
        self._drawing: dict[Ticket, tuple[Project, tuple[int, ...]]] = {}
        self._opening: str = ""
        self._missing: list[int] = []
        self.model = FaceModel(session, self)
        self.model.thumbnails_missing.connect(self._draw_missing)
        self.list = FaceList()
        self.list.setModel(self.model)
        self.list.setItemDelegate(FaceDelegate(self.list))
        self.list.doubleClicked.connect(lambda index: self._take(index))
        self.list.customContextMenuRequested.connect(self._menu)
        self.list.face_dropped.connect(self.keep)
        self.list.files_dropped.connect(self._look_at)
        self.list.selectionModel().selectionChanged.connect(self._count)
        self.list.taken.connect(self._take_current)
        self.list.deleted.connect(self.delete_selected)

        self.search = QLineEdit(
            placeholderText="Search",
            toolTip="Words of a name or a tag",
            clearButtonEnabled=True,
            accessibleName="Search faces",
        )
        self.search.addAction(theme.icon("search"), QLineEdit.ActionPosition.LeadingPosition)
        self._later = QTimer(self, interval=SEARCH_MS, singleShot=True)
        self._later.timeout.connect(self.reload)
        self.search.textChanged.connect(lambda _: self._later.start())
        self.tag = QComboBox(accessibleName="Tag", toolTip="Show only faces with a tag, or the bin")
        self.tag.activated.connect(lambda _: self.reload())
        self.order = QComboBox(accessibleName="Order", toolTip="Order of the faces")
        for order, text in ORDERS.items():
            self.order.addItem(text, order)
        self.order.activated.connect(lambda _: self.reload())
        self.count = quiet("", small=True)
        self.keep_button = tool("Keep this face", "plus", self._keep_current, tip="Keep the current face (Ctrl+D)")

        top = QVBoxLayout()
        top.setContentsMargins(theme.GRID, theme.GRID, theme.GRID, 4)
        top.setSpacing(theme.GRID)
        first, second = QHBoxLayout(), QHBoxLayout()
        first.addWidget(self.search, 1)
        first.addWidget(self.keep_button)
        for box in (self.tag, self.order):
            box.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon)
            box.setMinimumContentsLength(8)
            second.addWidget(box, 1)
        top.addLayout(first)
        top.addLayout(second)
        self.empty = EmptyState(
            "faces",
            "Faces that you keep lie here, with their names and tags. Drop a face or a picture, or begin with the one you see.",
            button("Keep this face", self._keep_current, icon="plus", primary=True),
        )
        self.nothing = EmptyState("search", NOTHING, button("Show all", self._show_all))
        self.stack = QStackedWidget()
        self.stack.setContentsMargins(3, 0, 0, 0)  # the faces begin where the fields above do
        for page in (self.list, self.empty, self.nothing):
            self.stack.addWidget(page)
        self.empty.setAcceptDrops(True)
        foot = QHBoxLayout()
        foot.setContentsMargins(theme.GRID, 4, theme.GRID, 4)
        foot.addWidget(self.count, 1)
        self.body.addLayout(top)
        self.body.addWidget(self.stack, 1)
        self.body.addLayout(foot)
        self.setAcceptDrops(True)
        self.setMinimumWidth(2 * (SIDE + 10) + 28)

        session.library_changed.connect(self.reload)
        session.project_changed.connect(self._project_changed)
        session.generator_changed.connect(self._generator_changed)
        session.changed.connect(self._can_keep)
        self._can_keep()
        self.reload()

    # -- what is shown ----------------------------------------------------------------------------------------------------
    @property
    def in_bin(self) -> bool:
        return bool(self.tag.currentData() == BIN)

    def reload(self) -> None:
        """Read the rows anew."""
        project = self.session.project
        try:
            self._fill_tags(project.tags())
            tag = self.tag.currentData()
            rows = project.faces(
                self.search.text(), None if tag == BIN else tag, self.order.currentData(), deleted=tag == BIN
            )
        except FacelabError as error:
            self.say(error)
            return
        self.model.set_rows(rows)
        narrowed = bool(self.search.text().strip()) or self.tag.currentData() is not None
        self.nothing.sentence.setText(EMPTY_BIN if self.in_bin and not self.search.text().strip() else NOTHING)
        self.stack.setCurrentWidget(self.list if rows else self.nothing if narrowed else self.empty)
        self._count()

    def _fill_tags(self, tags: Sequence[str]) -> None:
        entries = [("All", None), *((t, t) for t in tags), ("Bin", BIN)]
        if [self.tag.itemData(i) for i in range(self.tag.count())] == [data for _, data in entries]:
            return
        now = self.tag.currentData()
        self.tag.clear()
        for text, data in entries:
            self.tag.addItem(theme.icon("trash") if data == BIN else QIcon(), text, data)
        self.tag.setCurrentIndex(next((i for i, (_, data) in enumerate(entries) if data == now), 0))

    def _count(self) -> None:
        chosen, all_ = len(self.list.selectionModel().selectedIndexes()), self.model.rowCount()
        what = "face" if all_ == 1 else "faces"
        self.count.setText(f"{chosen:,} of {all_:,} {what}" if chosen else f"{all_:,} {what}" if all_ else "")

    def _show_all(self) -> None:
        self.search.clear()
        self.tag.setCurrentIndex(0)
        self.reload()

    def _project_changed(self, _: object) -> None:
        self.model.forget()
        self.reload()

    def _generator_changed(self, info: GeneratorInfo | None) -> None:
        if info is not None:
            self.session.project.note_generator(
                info.sha256, info.path, info.name, family=info.family, resolution=info.resolution
            )
        self.model.forget_missing()
        self.list.viewport().update()
        self._can_keep()

    def _can_keep(self, *_: object) -> None:
        on = self.session.state.recipe is not None and self.session.generator is not None
        if on != self.keep_button.isEnabled():
            self.keep_button.setEnabled(on)
            for child in self.empty.findChildren(QWidget):
                child.setEnabled(on)

    # -- thumbnails that are not there yet ------------------------------------------------------------------------------------
    def _draw_missing(self, faces: Sequence[int]) -> None:
        rows = {r.id: r for r in self.model.rows()}
        self._missing += [f for f in faces if f in rows and self.model.drawable(rows[f]) and f not in self._missing]
        self._draw_next()

    def _draw_next(self) -> None:
        info = self.session.generator
        if self._drawing or not self._missing or info is None:
            return
        batch, self._missing = self._missing[-DRAW:], self._missing[:-DRAW]
        recipes: list[Recipe] = []
        known: list[int] = []
        for face in batch:
            try:
                recipes.append(self.session.project.recipe(face))
                known.append(face)
            except FacelabError as error:
                self.say(error)
        if recipes:
            ticket = self.client.submit(Thumbnails(recipes=tuple(recipes), resolution=min(DRAWN, info.resolution)))
            self._drawing[ticket] = self.session.project, tuple(known)
            ticket.answered.connect(self._drawn)
            ticket.failed.connect(self.say)
            ticket.closed.connect(self._drawing_closed)

    def _drawn(self, answer: Answer) -> None:
        if not isinstance(answer, Images):
            return
        project, faces = self._drawing[cast(Ticket, self.sender())]
        if project is not self.session.project:
            return  # its ids mean other faces now
        for face, pixels in zip(faces, answer.pixels, strict=True):
            png = thumbnail_png(image_of(pixels))
            pixmap = QPixmap()
            pixmap.loadFromData(png)
            try:
                project.set_thumbnail(face, png)
            except FacelabError as error:  # closed meanwhile
                self.say(error)
                return
            self.model.put(face, pixmap)

    def _drawing_closed(self, _: str) -> None:
        self._drawing.pop(cast(Ticket, self.sender()), None)
        self._draw_next()

    # -- what a person does ---------------------------------------------------------------------------------------------------
    def keep(self, recipe: Recipe, name: str | None = None, pixels: Pixels | None = None) -> int:
        """Put a face into the library and show it.

        Args:
            recipe: of the face.
            name: what to call it; its origin in a few words where none is given.
            pixels: its picture, where there is one already.
        """
        face = keep_face(self.session, recipe, name or describe(recipe), pixels=pixels)
        place = self.model.row_of(face)
        if place is None:  # a search or a tag hides it
            self._show_all()
            place = self.model.row_of(face)
        if place is not None:
            self.list.setCurrentIndex(self.model.index(place))
            self.list.scrollTo(self.model.index(place))
        return face

    def _keep_current(self) -> None:
        if self.session.state.recipe is not None:
            self.keep(self.session.state.recipe)

    def selected(self) -> list[FaceRow]:
        """The chosen faces, in the order in which they are shown."""
        indexes = sorted(self.list.selectionModel().selectedIndexes(), key=lambda i: i.row())
        return [cast(FaceRow, i.data(FACE)) for i in indexes]

    def _recipe(self, row: FaceRow) -> Recipe | None:
        """The recipe of a face that can be used now; else says what can be done."""
        if not self.model.drawable(row):
            self.say(f"{row.name} was made by {self._generator_name(row)}; open that generator to use it")
            return None
        try:
            return self.session.project.recipe(row.id)
        except FacelabError as error:
            self.say(error)
            return None

    def _generator_name(self, row: FaceRow) -> str:
        known = {g.sha256: g for g in self.session.project.generators()}
        found = known.get(row.generator)
        return found.name if found is not None else f"a generator that is not known here ({row.generator[:8]})"

    def _take(self, index: Index) -> None:
        row = cast(FaceRow, index.data(FACE))
        recipe = self._recipe(row)
        if recipe is not None:
            self.unsay()
            self.session.take(recipe, f"Take {row.name}")

    def _take_current(self) -> None:
        if self.list.currentIndex().isValid():
            self._take(self.list.currentIndex())

    def delete_selected(self) -> None:
        """Put the chosen faces into the bin; in the bin, ask and delete them for good."""
        rows = self.selected()
        if rows and self.in_bin:
            self._ask_purge(rows)
        if not rows or self.in_bin:
            return
        ids = [row.id for row in rows]
        what = rows[0].name if len(rows) == 1 else f"{len(rows)} faces"
        self.session.stack.push(
            LibraryEdit(f"Delete {what}", self.session, lambda p: p.delete(ids), lambda p: p.restore(ids))
        )

    def _restore(self, ids: Sequence[int]) -> None:
        self.session.stack.push(
            LibraryEdit("Restore faces", self.session, lambda p: p.restore(ids), lambda p: p.delete(ids))
        )

    def _ask_purge(self, rows: Sequence[FaceRow]) -> None:
        what = rows[0].name if len(rows) == 1 else f"{len(rows)} faces"
        box = QMessageBox(QMessageBox.Icon.Warning, "Delete for good", f"Delete {what} for good?", parent=self)
        box.setInformativeText("The photographs and runs that belong to them go, too. This cannot be undone.")
        box.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        gone = box.addButton("Delete for good", QMessageBox.ButtonRole.DestructiveRole)
        box.setDefaultButton(box.addButton(QMessageBox.StandardButton.Cancel))
        gone.clicked.connect(partial(self._purge, [row.id for row in rows]))
        box.open()

    def _purge(self, ids: Sequence[int]) -> None:
        # Not a step of undo, and the steps that would bring these faces back find nothing: that is what "for good" means.
        self.session.project.purge(ids)
        self.session.library_changed.emit()

    def _ask_tags(self, rows: Sequence[FaceRow]) -> None:
        dialog = QInputDialog(self)
        dialog.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        dialog.setWindowTitle("Tags")
        dialog.setLabelText("Tags, separated by commas:")
        shared = [t for t in rows[0].tags if all(t in row.tags for row in rows)]
        dialog.setTextValue(", ".join(shared))
        dialog.textValueSelected.connect(partial(self.set_tags, rows, tuple(shared)))
        dialog.open()

    def set_tags(self, rows: Sequence[FaceRow], shared: Iterable[str], text: str) -> None:
        """Give faces the tags of a text; those that not all of them had stay."""
        wanted = [t.strip() for t in text.split(",") if t.strip()]
        before = {row.id: row.tags for row in rows}
        shared = set(shared)
        after = {row.id: tuple(dict.fromkeys([*(t for t in row.tags if t not in shared), *wanted])) for row in rows}

        def give(tags: dict[int, tuple[str, ...]], project: Project) -> None:
            for face, each in tags.items():
                project.set_tags(face, each)

        self.session.stack.push(LibraryEdit("Tags", self.session, partial(give, after), partial(give, before)))

    # -- drops and menus ------------------------------------------------------------------------------------------------------
    def dragEnterEvent(self, event: QDragEnterEvent) -> None:
        if recipe_of(event.mimeData()) is not None or files_of(event.mimeData()):
            event.acceptProposedAction()

    def dropEvent(self, event: QDropEvent) -> None:
        self.list.dropEvent(event)

    def _look_at(self, paths: Sequence[Path]) -> None:
        together = Together(self.say)
        for path in paths:
            ticket = self.client.submit(LookAtFile(path=path))
            ticket.answered.connect(self._looked)
            together.watch(path.name, ticket)

    def _looked(self, answer: Answer) -> None:
        if not isinstance(answer, Dropped):
            return
        if answer.recipe is not None:
            self.keep(answer.recipe, answer.path.name.split(".")[0])
        elif answer.what == "photo":
            self.photo_asked.emit(answer.path)
        else:
            self.say(f"{answer.path.name} is no face; drop it on the middle of the window to open it")

    def _menu(self, at: QPoint) -> None:
        rows = self.selected()
        if not rows:
            return
        menu = QMenu(self)
        menu.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        ids = [row.id for row in rows]
        if self.in_bin:
            menu.addAction("Restore", partial(self._restore, ids))
            menu.addAction("Delete for good…\tDel", partial(self._ask_purge, rows))
        else:
            self._fill_menu(menu, rows)
        menu.popup(self.list.viewport().mapToGlobal(at))

    def _fill_menu(self, menu: QMenu, rows: Sequence[FaceRow]) -> None:
        first = rows[0]
        usable = [row for row in rows if self.model.drawable(row)]
        if not usable:
            note = menu.addAction(f"Made by {self._generator_name(first)}")
            note.setEnabled(False)
            path = {g.sha256: g.path for g in self.session.project.generators()}.get(first.generator)
            if path:
                menu.addAction(f"Open {Path(path).name}", partial(self._open_generator, first.generator, Path(path)))
            menu.addSeparator()
        elif len(rows) == 1:
            menu.addAction("Take", partial(self._take, self.list.currentIndex()))
            menu.addSeparator()
            for slot in range(len(self.session.state.slots)):
                menu.addAction(f"Put in slot {chr(65 + slot)}", partial(self._use, first, self.slot_asked.emit, slot))
            plane = menu.addMenu("Put on the plane")
            for name in ("origin", "x", "y"):
                plane.addAction(f"as {name}", partial(self._use, first, self.anchor_asked.emit, name))
            menu.addSeparator()
        if usable:
            menu.addAction(
                "Export picture…" if len(usable) == 1 else f"Export {len(usable)} pictures…",
                partial(self._export, usable),
            )
            if len(usable) > 1:
                menu.addAction(f"Export morph through {len(usable)} faces…", partial(self._morph, usable))
            menu.addAction("Save latents…" if len(usable) > 1 else "Save face…", partial(self._ask_save, usable))
            menu.addSeparator()
        if len(rows) == 1 and usable and first.has_photo:
            menu.addAction("Set back into photograph…", partial(self._paste_back, first))
        if len(rows) == 1:
            menu.addAction("Rename\tF2", lambda: self.list.edit(self.list.currentIndex()))
        menu.addAction("Tags…", partial(self._ask_tags, rows))
        menu.addAction("Delete\tDel", self.delete_selected)

    def _use(self, row: FaceRow, emit: Callable[[object, Recipe], None], where: object) -> None:
        recipe = self._recipe(row)
        if recipe is not None:
            emit(where, recipe)

    def _recipes(self, rows: Sequence[FaceRow]) -> tuple[list[Recipe], list[str]]:
        found = [(recipe, row.name) for row in rows if (recipe := self._recipe(row)) is not None]
        return [r for r, _ in found], [n for _, n in found]

    def _export(self, rows: Sequence[FaceRow]) -> None:
        recipes, names = self._recipes(rows)
        if recipes:
            ExportPictureDialog(self.session, self.client, recipes, names, self).open()

    def _paste_back(self, row: FaceRow) -> None:
        recipe = self._recipe(row)
        if recipe is not None:
            self.paste_asked.emit(recipe, self.session.project.photo(row.id))

    def _morph(self, rows: Sequence[FaceRow]) -> None:
        recipes, _ = self._recipes(rows)
        if recipes:
            ExportMorphDialog(self.session, self.client, recipes, self).open()

    def _ask_save(self, rows: Sequence[FaceRow]) -> None:
        recipes, names = self._recipes(rows)
        if recipes:
            suffix, filters = (
                (".face.safetensors", "Faces (*.face.safetensors)") if len(recipes) == 1 else (".npz", "Latents (*.npz *.npy *.pt)")
            )  # fmt: skip
            start = free_name(folder() / f"{file_name(names[0] if len(names) == 1 else 'faces')}{suffix}")
            ask_save(self, "Save", filters, start, partial(self.save, recipes))

    def save(self, recipes: Sequence[Recipe], path: Path) -> None:
        """Write faces as a file of latents; the suffix gives its format."""
        self.submit(WriteLatents(recipes=tuple(recipes), path=path))

    def _open_generator(self, sha256: str, path: Path) -> None:
        self._opening = sha256
        self.submit(OpenGenerator(path=path), self._opened)

    def _opened(self, answer: Answer) -> None:
        if not isinstance(answer, GeneratorInfo):
            return
        self.session.open_generator(answer)
        if answer.sha256 != self._opening:
            self.say(f"{answer.name} is open, but it is another generator than the one that made this face")
