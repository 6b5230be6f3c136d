"""Encoding photographs: drop one, choose the face, watch the generator find it."""

from __future__ import annotations

import time
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, ClassVar, cast

from PySide6.QtCore import QModelIndex, QPoint, QSize, Qt, QTimer
from PySide6.QtGui import (
    QAction,
    QDragEnterEvent,
    QDragLeaveEvent,
    QDropEvent,
    QIcon,
    QImage,
    QKeySequence,
)
from PySide6.QtWidgets import (
    QFrame,
    QHBoxLayout,
    QLabel,
    QListView,
    QListWidget,
    QListWidgetItem,
    QMenu,
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
    Images,
    OpenPhoto,
    PhotoOpened,
    Pixels,
    Progress,
    Project,
    ProjectionDone,
    ProjectionSettings,
    ProjectionStep,
    Resolve,
    Thumbnails,
)
from facelab.latent.recipe import Recipe
from facelab.project import RunRow
from facelab.ui import theme
from facelab.ui.dialogs import PHOTO_FILTER, ask_open
from facelab.ui.dragging import files_of
from facelab.ui.encode_settings import EncodeSettings
from facelab.ui.encoding import Item, Run, sentence, words
from facelab.ui.face_view import FaceView
from facelab.ui.panels.base import Panel
from facelab.ui.panels.library import keep_face, png_of
from facelab.ui.photo import Crop, DropZone, PhotoView, face_mask
from facelab.ui.pixels import image_of, pixels_of, pixmap_of
from facelab.ui.run_dialogs import PasteBackDialog
from facelab.ui.run_page import RunPage
from facelab.ui.session import Session, plain
from facelab.ui.tune_dialog import tune
from facelab.ui.widgets import Wait, button, quiet, tool
from facelab.worker import Client, Ticket

CROP_MS = 120  # a crop that is dragged is cut out anew at most so often
SEARCHES: tuple[tuple[str, str, dict[str, Any]], ...] = (
    ("For smaller faces", "Looking for smaller faces…", {"upsample": 1}),
    ("For turned and covered faces", "Looking for turned and covered faces, which takes a while…", {"detector": "cnn"}),
)
THUMB = 44
UNFINISHED = 3  # runs that are offered each for itself


class EncodePanel(Panel):
    """From a photograph to a face of the generator."""

    title: ClassVar[str] = "Encode"
    area: ClassVar = "centre"
    hint: ClassVar[str] = "Find the face of the generator that looks like a photograph"
    keys: ClassVar = (
        ("Click a face", "Encode that one"),
        ("Drag the square, arrow keys", "Move the crop; with Shift in larger steps"),
        ("Drag a corner, wheel, + and −", "Make it larger or smaller"),
        ("Drag the knob, [ and ]", "Turn it"),
        ("Drag in the queue", "Change the order"),
        ("Right click in the queue", "What can be done with that photograph"),
    )

    def __init__(self, session: Session, client: Client) -> None:
        super().__init__(session, client)
        self.items: list[Item] = []
        self.item: Item | None = None
        self._opening: dict[Ticket, Item] = {}
        self._cropping: dict[Ticket, Item] = {}
        self._runs: dict[Ticket, Item] = {}
        self._resolving: dict[Ticket, tuple[Item, ProjectionSettings]] = {}
        self._starting: list[Item] = []
        self._baselines: dict[Ticket, tuple[str, ProjectionSettings]] = {}
        self._photo_shown: PhotoOpened | None = None
        self._crop_soon = QTimer(self, interval=CROP_MS, singleShot=True)
        self._crop_soon.timeout.connect(self._cut)
        self.setAcceptDrops(True)

        self.pages = QStackedWidget()
        self.drop_page, self.wait_page = self._build_drop(), self._build_wait()
        self.choose_page = self._build_choose()
        self.run_page = RunPage(
            pause=self._pause, cancel=self._cancel, go_on=self._go_on, take=self._take, tune=self._tune,
            paste_back=self._paste_back, remove=self._remove_item,
        )  # fmt: skip
        for page in (self.drop_page, self.wait_page, self.choose_page, self.run_page):
            self.pages.addWidget(page)
        self.notice = self._build_notice()
        self.queue = self._build_queue()
        self.body.addWidget(self.notice)
        self.body.addWidget(self.pages, 1)
        self.body.addWidget(self.queue)

        session.generator_changed.connect(self._generator_changed)
        session.project_changed.connect(self._project_changed)
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
            button("Open photos…", self.ask_photo, icon="open", primary=True),
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
        self.search_ring = Wait(16)
        self.search_button = button("Search again", tip="Where a face was overlooked: search longer")
        searches = QMenu(self.search_button)
        for text, doing, how in SEARCHES:
            searches.addAction(text).triggered.connect(partial(self._search_again, doing, how))
        self.search_button.setMenu(searches)
        below = QHBoxLayout()
        below.setContentsMargins(theme.GRID, 4, theme.GRID, 4)
        below.setSpacing(theme.GRID)
        below.addWidget(self.search_ring)
        below.addWidget(self.photo_note, 1)
        below.addWidget(self.search_button)
        left.addWidget(self.photo, 1)
        left.addLayout(below)
        row.addLayout(left, 1)

        side = QWidget()
        column = QVBoxLayout(side)
        column.setContentsMargins(*(theme.GRID,) * 4)
        column.setSpacing(theme.GRID)
        self.cut_view = FaceView("Aligned crop", side=112, hint="Aligned crop")
        column.addWidget(self.cut_view, 0, Qt.AlignmentFlag.AlignHCenter)
        self.how = EncodeSettings(self.session, self.client)
        column.addWidget(self.how)
        column.addStretch(1)
        self.encode_button = button(
            "Encode", self._encode, primary=True, tip="Begin; exploring goes on meanwhile (Ctrl+Return)"
        )
        encode = QAction("Encode the photograph", self)
        encode.setShortcut(QKeySequence("Ctrl+Return"))  # a button's own is lost with its text
        encode.triggered.connect(self.encode_button.click)
        self.addAction(encode)
        self.encode_all = button("Encode all", self._encode_all)
        self.back_button = tool("Add photographs", "plus", self.ask_photo, tip="Add photographs to the queue")
        area = QScrollArea(widgetResizable=True, frameShape=QFrame.Shape.NoFrame)
        area.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        area.setWidget(side)
        buttons = QVBoxLayout()
        buttons.setContentsMargins(theme.GRID, 4, theme.GRID, theme.GRID)
        buttons.setSpacing(4)
        below = QHBoxLayout()
        below.setSpacing(4)
        below.addWidget(self.encode_button, 1)
        below.addWidget(self.back_button)
        buttons.addLayout(below)
        buttons.addWidget(self.encode_all)
        right = QWidget()
        right.setFixedWidth(232)
        rows = QVBoxLayout(right)
        rows.setContentsMargins(0, 0, 0, 0)
        rows.setSpacing(0)
        rows.addWidget(area, 1)
        rows.addLayout(buttons)
        row.addWidget(right)
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
        queue.setAccessibleDescription("Drag to change the order; the menu key offers what can be done with one")
        queue.setDragDropMode(QListView.DragDropMode.InternalMove)
        queue.setDefaultDropAction(Qt.DropAction.MoveAction)
        queue.setContextMenuPolicy(Qt.ContextMenuPolicy.CustomContextMenu)
        queue.customContextMenuRequested.connect(self._ask_queue)
        queue.model().rowsMoved.connect(self._reordered)
        queue.currentRowChanged.connect(self._select)
        remove = QAction("Remove from the list", queue)
        remove.setShortcut(QKeySequence.StandardKey.Delete)
        remove.setShortcutContext(Qt.ShortcutContext.WidgetShortcut)
        remove.triggered.connect(self._remove_item)
        queue.addAction(remove)
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
        ticket.closed.connect(self._forget_ticket)

    def _add(self, item: Item) -> None:
        self.items.append(item)
        self._add_row(item)
        self._show_queue()
        # What comes is shown; of several that come at once, the first.
        if self.item is None or self.item.state != "opening":
            self.queue.setCurrentRow(len(self.items) - 1)
            self._select(len(self.items) - 1)

    def _add_row(self, item: Item) -> None:
        row = QListWidgetItem(item.name)
        # A photograph is dropped between others, never on one.
        row.setFlags(row.flags() & ~Qt.ItemFlag.ItemIsDropEnabled)
        self.queue.addItem(row)

    def _opened(self, answer: Answer) -> None:
        item = self._opening[cast(Ticket, self.sender())]
        if not isinstance(answer, PhotoOpened):
            return
        self._take_opened(item, answer)
        if answer.notice and not self.session.settings.notice_accepted:
            self.notice_text.setText(answer.notice)
            self.notice.show()
        if item is self.item:
            self._show()
        else:
            self._cut_item(item)
        self._show_queue()

    @staticmethod
    def _take_opened(item: Item, answer: PhotoOpened) -> None:
        """Put the crop round the largest face, or in the middle where there is none."""
        item.opened = answer
        item.face = 0 if answer.faces else None
        item.crop = Crop.of_quad(answer.faces[0].quad) if answer.faces else Crop.middle(*answer.size)

    def _search_again(self, doing: str, how: Mapping[str, Any]) -> None:
        """Look for faces once more, at more length; the crop stays where it is if there is none."""
        item = self.item
        if item is None or item.path is None or item.searching:
            return
        item.searching = doing
        ticket = self.client.submit(OpenPhoto(path=item.path, **how))
        self._opening[ticket] = item
        ticket.answered.connect(self._searched)
        ticket.failed.connect(self._search_failed)
        ticket.closed.connect(self._search_closed)
        self._note_photo()

    def _searched(self, answer: Answer) -> None:
        item = self._opening[cast(Ticket, self.sender())]
        if not isinstance(answer, PhotoOpened) or item.run is not None:
            return
        if answer.faces:
            self._take_opened(item, answer)
        elif item.opened is not None:
            item.opened = replace(item.opened, message=answer.message)

    def _search_failed(self, error: object) -> None:
        self.say(error)

    def _search_closed(self, end: str) -> None:
        item = self._opening.pop(cast(Ticket, self.sender()))
        item.searching = ""
        if item is self.item:
            self._show()

    def _open_failed(self, error: object) -> None:
        item = self._opening[cast(Ticket, self.sender())]
        item.error = str(error)
        self._show_queue()
        if item is self.item:
            self._show()

    def _forget_ticket(self, _: str) -> None:
        for held in (self._opening, self._resolving):
            held.pop(cast(Ticket, self.sender()), None)

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
        # A generator or a project that is dropped here is the window's.
        if any(path.suffix.lower() in SUFFIXES or path.is_dir() for path in files_of(event.mimeData())):
            event.acceptProposedAction()
            self.zone.set_over(True)
        else:
            event.ignore()

    def dragLeaveEvent(self, event: QDragLeaveEvent) -> None:
        self.zone.set_over(False)

    def dropEvent(self, event: QDropEvent) -> None:
        self.zone.set_over(False)
        files = files_of(event.mimeData())
        if files:
            event.acceptProposedAction()
            self.session.files_offered.emit(files)  # a picture that carries its recipe is a face, not a photograph

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
        self.search_ring.setVisible(bool(item.searching))
        self.search_button.setEnabled(not item.searching)
        if item.searching:
            self.photo_note.setText(item.searching)
            return
        said = [item.opened.message] if item.opened.message else []
        if not item.opened.faces:
            said.append("Put the eyes into the upper third of the square, and the chin near its lower edge.")
        elif len(item.opened.faces) > 1:
            said.append(f"{len(item.opened.faces)} faces: click the one to encode.")
        if item.cut is not None and item.cut.outside > 0.1:
            said.append(f"{item.cut.outside:.0%} of the crop lies outside the photograph and is filled in.")
        self.photo_note.setText(" ".join(sentence(s) for s in said))

    # -- what is shown ----------------------------------------------------------------------------------------------------------------
    def _generator_changed(self, info: object) -> None:
        for item in self.items:
            if item.run is None:
                item.cut = None  # another generator may have another size
        self.how.set_generator(self.session.generator)
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
            self.run_page.show_item(item, after_others=len(self._runs) > 1)
            self.pages.setCurrentWidget(self.run_page)
        elif item.opened is None:
            self.wait_ring.setVisible(not item.error)
            self.wait_text.setText(sentence(item.error) if item.error else f"Opening {item.name}…")
            self.forget_button.setVisible(bool(item.error))
            self.pages.setCurrentWidget(self.wait_page)
        else:
            if self._photo_shown is not item.opened:
                self.photo.show_photo(item.opened)
                self._photo_shown = item.opened
            self.photo.chosen, self.photo.crop = item.face, item.crop
            self.photo.update()
            self.cut_view.set_pixels(None if item.cut is None else item.cut.pixels)
            self._note_photo()
            self.pages.setCurrentWidget(self.choose_page)
            self._cut()
        self._buttons()

    def _buttons(self) -> None:
        item, info = self.item, self.session.generator
        ready = [i for i in self.items if i.state == "ready"]
        self.encode_button.setEnabled(info is not None and item is not None and item.state == "ready")
        self.encode_button.setText("Encode" if info is not None else "The generator is loading…")
        self.encode_all.setVisible(len(ready) > 1)
        self.encode_all.setText(f"Encode all {len(ready)}")

    def _show_queue(self) -> None:
        for number, item in enumerate(self.items):
            row = self.queue.item(number)
            name = self.queue.fontMetrics().elidedText(item.name, Qt.TextElideMode.ElideRight, 96)
            row.setText(f"{name}\n{words(item)}")
            row.setToolTip(item.error or item.name)
            picture = item.run.target if item.run is not None else None if item.cut is None else item.cut.pixels
            if picture is not None and picture is not item.listed:
                item.listed = picture
                icon = QIcon(pixmap_of(picture))
                icon.addPixmap(pixmap_of(picture), QIcon.Mode.Selected)  # a chosen face is not tinted
                row.setIcon(icon)
        self.queue.setVisible(len(self.items) > 1)

    def _ask_queue(self, at: QPoint) -> None:
        """Offer what can be done with the photograph under the pointer."""
        found = self.queue.itemAt(at)
        row = self.queue.currentRow() if found is None else self.queue.row(found)
        if not 0 <= row < len(self.items):
            return
        item = self.items[row]
        open_run = item.run is not None and item.run.open
        menu = QMenu(self)
        if open_run:
            paused = item.run is not None and item.run.state == "paused"
            menu.addAction(
                theme.icon("play" if paused else "pause"), "Resume" if paused else "Pause", partial(self._pause, item)
            )
            menu.addAction(theme.icon("close"), "Cancel", partial(self._cancel, item))
            menu.addSeparator()
        for text, place in (("Move to the front", 0), ("Move earlier", row - 1), ("Move later", row + 1)):
            action = menu.addAction(text, partial(self.put, row, place))
            action.setEnabled(0 <= place < len(self.items) and place != row)
        menu.addSeparator()
        remove = menu.addAction(theme.icon("trash"), "Remove", partial(self._remove, item))
        remove.setEnabled(not open_run)
        menu.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        menu.popup(self.queue.viewport().mapToGlobal(at))

    def put(self, row: int, place: int) -> None:
        """Put a photograph of the queue at another place; those that wait are encoded in the order in which they stand."""
        model, nothing = self.queue.model(), QModelIndex()
        if row != place:
            model.moveRow(nothing, row, nothing, place + (place > row))

    def _reordered(self, _: QModelIndex, first: int, last: int, __: QModelIndex, before: int) -> None:
        """Rows ``first`` to ``last`` now stand before what was row ``before``."""
        taken = self.items[first : last + 1]
        rest = [*self.items[:first], *self.items[last + 1 :]]
        place = before if before <= first else before - len(taken)
        self.items = [*rest[:place], *taken, *rest[place:]]
        tickets = [item.run.ticket for item in self.items if item.run is not None and item.run.ticket is not None]
        self.client.order(tickets)
        self._show_queue()

    def _remove(self, item: Item) -> None:
        """Take a photograph out of the queue; what was encoded stays in the project."""
        if item not in self.items or (item.run is not None and item.run.open):
            return
        if item is self.item:
            self._remove_item()
            return
        number = self.items.index(item)
        del self.items[number]
        self.queue.blockSignals(True)
        self.queue.takeItem(number)
        self.queue.blockSignals(False)
        self._show_queue()

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
    def _encode(self) -> None:
        if self.item is not None:
            self._encode_these([self.item])

    def _encode_all(self) -> None:
        self._encode_these(self.items)

    def _encode_these(self, items: Sequence[Item]) -> None:
        if self.how.problem:
            self.say(self.how.problem)
            return
        for item in items:
            if item.state == "ready":
                self._begin_when_cut(item)

    def _begin_when_cut(self, item: Item) -> None:
        if item.ready:
            self._begin(item)
        elif item not in self._starting:
            self._starting.append(item)
            self._cut_item(item)

    def _begin(self, item: Item) -> None:
        settings = replace(self.how.value(), mask=self._mask(item))
        face = self.how.start_face() if settings.start == "code" else None
        if settings.start != "code":
            self._start_run(item, settings)
        elif face is not None and plain(face):
            self._start_run(item, replace(settings, start_code=face.sources[0]))
        elif face is not None:
            ticket = self.client.submit(Resolve(recipes=(face,)))
            self._resolving[ticket] = item, settings
            ticket.answered.connect(self._start_resolved)
            ticket.failed.connect(self.say)
            ticket.closed.connect(self._forget_ticket)

    def _start_resolved(self, answer: Answer) -> None:
        item, settings = self._resolving[cast(Ticket, self.sender())]
        if isinstance(answer, Codes) and item.run is None:
            self._start_run(item, replace(settings, start_code=replace(answer.codes[0], noise=None)))

    def _mask(self, item: Item) -> Pixels | None:
        """What of the crop counts, when only the face shall; None where the face has no landmarks."""
        if not self.how.only_face.isChecked() or item.opened is None or item.face is None or item.cut is None:
            return None
        face = item.opened.faces[item.face]
        return face_mask(face, item.cut.quad, len(item.cut.pixels)) if len(face.landmarks) == 68 else None

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
        if self.how.baseline.isChecked():
            self._want_baseline(settings)

    def _want_baseline(self, settings: ProjectionSettings) -> None:
        """Encode the zero face with the same settings, unless that was done or is under way."""
        info = self.session.generator
        if info is None:
            return
        name, own = runs.zero_run(settings, info.sha256)
        here = {item.run.id for item in self.items if item.run is not None} | {n for n, _ in self._baselines.values()}
        try:
            done = {row.id for row in self.session.project.runs() if row.status == "done"}
        except FacelabError as error:
            self.say(error)
            return
        if name not in here | done:
            face = Recipe.of(runs.zero_face(info.sha256, info.z_dim, info.c_dim))
            ticket = self.client.submit(Thumbnails(recipes=(face,), resolution=info.resolution))
            self._baselines[ticket] = name, own
            ticket.answered.connect(self._begin_baseline)
            ticket.failed.connect(self.say)

    def _begin_baseline(self, answer: Answer) -> None:
        name, own = self._baselines.pop(cast(Ticket, self.sender()))
        info = self.session.generator
        if not isinstance(answer, Images) or info is None:
            return
        run = Run(
            id=name, project=self.session.project, name=runs.ZERO_NAME, target=answer.pixels[0], settings=own,
            generator=info.sha256, photo=None, quad=None,
        )  # fmt: skip
        try:
            runs.begin(run.project, run.job(), png_of(image_of(run.target)))
        except FacelabError as error:
            self.say(error)
            return
        item = Item(run.name, run=run)
        self.items.append(item)
        self._add_row(item)
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
        if run.project is not self.session.project or runs.is_zero_run(run.id):
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
            self.run_page.text.setToolTip(progress.message)

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
            self.run_page.show_item(item, after_others=len(self._runs) > 1)
            self._buttons()

    def _pause(self, item: Item | None = None) -> None:
        """Pause a run, or let it go on; that on screen unless another is named."""
        item = item or self.item
        run = None if item is None else item.run
        if item is None or run is None or run.ticket is None:
            return
        if run.state == "paused":
            run.ticket.resume()
            run.state = "running" if run.ticket.state == "running" else "waiting"
            run.times.clear()
        else:
            run.ticket.pause()
            run.state = "paused"
        self._changed(item)

    def _cancel(self, item: Item | None = None) -> None:
        """Stop a run; that on screen unless another is named."""
        item = item or self.item
        run = None if item is None else item.run
        if run is not None and run.ticket is not None:
            run.ticket.cancel()

    def _take(self) -> None:
        run = None if self.item is None else self.item.run
        if run is not None and run.recipe is not None:
            self.session.take(run.recipe, f"Take {run.name}")

    def _tune(self) -> None:
        run = None if self.item is None else self.item.run
        if run is not None and run.recipe is not None:
            try:
                tune(self.session, self.client, run.recipe, self)
            except FacelabError as error:
                self.say(error)

    def _paste_back(self) -> None:
        """Set the face back into its photograph: the current one, when it was made from what was found."""
        item, now = self.item, self.session.state.recipe
        if item is None or item.path is None or item.run is None or item.run.recipe is None or item.run.quad is None:
            return
        edited = now is not None and any(code.origin.get("run") == item.run.id for code in now.sources)
        recipe = cast(Recipe, now) if edited else item.run.recipe
        dialog = PasteBackDialog(self.session, self.client, recipe, item.path.name, item.run.quad, self)
        dialog.photo.setText(str(item.path))
        dialog.open()

    # -- runs that were stopped -----------------------------------------------------------------------------------------------------------
    def _go_on(self, item: Item | None = None) -> None:
        item = item or self.item
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
                if row.status != "done" and row.generator == info.sha256 and row.id not in here
                and (row.steps_done or row.status == "interrupted") and not runs.is_zero_run(row.id)
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
        found = self.unfinished_runs()[::-1]  # the oldest first, as they were queued
        for row in found[:UNFINISHED]:
            total = row.settings.get("steps")
            of = f" of {total:,}" if isinstance(total, int) else ""
            said = (
                f"{row.name} was stopped at step {row.steps_done:,}{of}"
                if row.steps_done
                else f"{row.name} was waiting"
            )
            self.unfinished.addWidget(
                self._offer(
                    said,
                    button("Go on", partial(self.resume, [row]), icon="play"),
                    tool(f"Forget {row.name}", "trash", partial(self._forget, [row]), tip="Delete this run"),
                )
            )
        if len(found) > 1:
            self.unfinished.addWidget(
                self._offer(
                    f"{len(found)} were not finished",
                    button("Go on with all", partial(self.resume, found), icon="play"),
                    tool("Forget all", "trash", partial(self._forget, found), tip="Delete all of these runs"),
                )
            )

    def _offer(self, text: str, *controls: QWidget) -> QFrame:
        """A line about what was left unfinished, with what can be done about it."""
        offer = QFrame()
        offer.setObjectName("unfinished")
        inside = QHBoxLayout(offer)
        inside.setContentsMargins(theme.GRID, 4, 4, 4)
        inside.setSpacing(theme.GRID)
        inside.addWidget(quiet(text), 1)
        for each in controls:
            inside.addWidget(each)
        return offer

    def resume(self, rows: Sequence[RunRow]) -> None:
        """Go on with runs that were stopped, each from its last checkpoint, in this order."""
        first = len(self.items)
        for row in rows:
            self._resume(row)
        if first < len(self.items):
            self.queue.setCurrentRow(first)

    def _resume(self, row: RunRow) -> None:
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
        item = Item(row.name, run=run)
        self._add(item)
        self._go_on(item)

    def _forget(self, rows: Sequence[RunRow]) -> None:
        for row in rows:
            self.session.project.delete_run(row.id)
        self._show_unfinished()


SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".heic", ".heif", ".tif", ".tiff", ".bmp")
