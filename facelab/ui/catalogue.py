"""The catalogue: well-known generators to fetch, with their size and their terms."""

from __future__ import annotations

from pathlib import Path

from PySide6.QtCore import Qt, QUrl, Signal
from PySide6.QtGui import QDesktopServices
from PySide6.QtWidgets import (
    QAbstractItemView,
    QCheckBox,
    QDialog,
    QDialogButtonBox,
    QHBoxLayout,
    QHeaderView,
    QLabel,
    QLineEdit,
    QProgressBar,
    QTreeWidget,
    QTreeWidgetItem,
    QVBoxLayout,
    QWidget,
)

from facelab.errors import FacelabError
from facelab.jobs import Answer, Catalogue, CatalogueEntry, Download, ListCatalogue, Progress, Written
from facelab.ui import theme
from facelab.ui.dialogs import size_text
from facelab.ui.messages import MessageBar
from facelab.ui.session import Session
from facelab.ui.widgets import button, heading, quiet
from facelab.worker import Client, Ticket

ENTRY = Qt.ItemDataRole.UserRole
FAMILIES = {
    "stylegan1": "StyleGAN",
    "stylegan2": "StyleGAN2",
    "stylegan3-t": "StyleGAN3-T",
    "stylegan3-r": "StyleGAN3-R",
}


class CatalogueDialog(QDialog):
    """What can be fetched; a download goes on when the dialog is closed.

    Signals:
        chosen: the `Path` of a generator that is to be opened.
    """

    chosen = Signal(object)

    def __init__(self, session: Session, client: Client, parent: QWidget) -> None:
        super().__init__(parent)
        self.setWindowTitle("Well-known generators")
        self.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        self.resize(760, 560)
        self._session, self._client = session, client
        self._tickets: dict[str, Ticket] = {}
        self.message = MessageBar()
        self.tree = QTreeWidget()
        self.tree.setAccessibleName("Catalogue")
        self.tree.setHeaderLabels(["Draws", "Family", "Pictures", "Size", ""])
        self.tree.setRootIsDecorated(False)
        self.tree.setUniformRowHeights(True)
        self.tree.setSelectionMode(QAbstractItemView.SelectionMode.SingleSelection)
        self.tree.currentItemChanged.connect(lambda *_: self._show())
        self.tree.itemDoubleClicked.connect(lambda *_: self._do())
        header = self.tree.header()
        header.setStretchLastSection(False)
        header.setSectionResizeMode(QHeaderView.ResizeMode.ResizeToContents)
        header.setSectionResizeMode(0, QHeaderView.ResizeMode.Stretch)
        self.search = QLineEdit(
            placeholderText="Search", clearButtonEnabled=True, accessibleName="Search the catalogue"
        )
        self.search.addAction(theme.icon("search"), QLineEdit.ActionPosition.LeadingPosition)
        self.search.textChanged.connect(self._filter)
        self.title = heading("")
        self.terms = QLabel(wordWrap=True, openExternalLinks=True)
        self.terms.setTextFormat(Qt.TextFormat.RichText)
        self.accept_terms = QCheckBox("I have read the terms and keep to them")
        self.accept_terms.toggled.connect(lambda _: self._enable())
        self.hint = quiet("", wrap=True, small=True)
        self.bar = QProgressBar(textVisible=False, accessibleName="Progress of the download")
        self.bar.hide()
        self.act = button("Download", self._do, primary=True)
        self.stop = button("Cancel download", self._cancel)
        buttons = QDialogButtonBox(QDialogButtonBox.StandardButton.Close)
        buttons.rejected.connect(self.close)
        row = QHBoxLayout()
        row.setSpacing(theme.GRID)
        row.addWidget(self.accept_terms)
        row.addStretch(1)
        row.addWidget(self.stop)
        row.addWidget(self.act)
        column = QVBoxLayout(self)
        column.setContentsMargins(*(2 * theme.GRID,) * 4)
        column.setSpacing(theme.GRID)
        column.addWidget(self.message)
        column.addWidget(self.search)
        column.addWidget(self.tree, 1)
        column.addWidget(self.title)
        column.addWidget(self.terms)
        column.addWidget(self.hint)
        column.addWidget(self.bar)
        column.addLayout(row)
        column.addWidget(buttons)
        self._show()
        self._list()

    # -- what there is ----------------------------------------------------------------------------------------------
    def _list(self) -> None:
        ticket = self._client.submit(ListCatalogue())
        ticket.answered.connect(self._listed)
        ticket.failed.connect(self.message.say)

    def _listed(self, answer: Answer) -> None:
        if not isinstance(answer, Catalogue):
            return
        now = self._entry()
        self.tree.clear()
        for entry in answer.entries:
            size = "" if entry.bytes is None else size_text(entry.bytes)
            state = "here" if entry.path is not None else "in the browser" if entry.by_hand else ""
            pictures = f"{entry.resolution} px" if entry.resolution else ""
            item = QTreeWidgetItem([entry.title, FAMILIES.get(entry.family, entry.family), pictures, size, state])
            item.setData(0, ENTRY, entry)
            self.tree.addTopLevelItem(item)
            if now is not None and entry.name == now.name:
                self.tree.setCurrentItem(item)
        self._filter(self.search.text())
        first = self.tree.topLevelItem(0)
        if self.tree.currentItem() is None and first is not None:
            self.tree.setCurrentItem(first)

    def _filter(self, text: str) -> None:
        words = text.lower().split()
        for index in range(self.tree.topLevelItemCount()):
            item = self.tree.topLevelItem(index)
            if item is not None:
                said = " ".join(item.text(column) for column in range(item.columnCount())).lower()
                item.setHidden(not all(word in said for word in words))

    def _entry(self) -> CatalogueEntry | None:
        item = self.tree.currentItem()
        found = None if item is None else item.data(0, ENTRY)
        return found if isinstance(found, CatalogueEntry) else None

    def _show(self) -> None:
        entry = self._entry()
        for part in (self.title, self.terms, self.hint, self.accept_terms, self.act):
            part.setVisible(entry is not None)
        self.stop.setVisible(entry is not None and entry.name in self._tickets)
        self.bar.setVisible(self.stop.isVisibleTo(self))
        if entry is None:
            return
        self.title.setText(entry.title)
        self.terms.setText(
            f'{_escape(entry.licence)} — <a href="{_escape(entry.licence_address)}" style="color:{theme.colours().link}">the terms in full</a>'
        )
        self.accept_terms.setChecked(False)
        self.accept_terms.setVisible(entry.path is None)
        if entry.path is not None:
            self.act.setText(_use(entry))
            self.hint.setText(f"It lies in {entry.path.parent}.")
        elif entry.by_hand:
            self.act.setText("Open its page")
            self.hint.setText(
                "Its publisher hands it out in the browser only: fetch it there, then drop the file on the window."
            )
        else:
            self.act.setText("Download")
            self.hint.setText(f"From {QUrl(entry.address).host()}. Only this file is fetched; nothing is sent.")
        self._enable()

    def _enable(self) -> None:
        entry = self._entry()
        if entry is not None:
            self.act.setEnabled(
                (entry.path is not None or self.accept_terms.isChecked()) and entry.name not in self._tickets
            )

    # -- what is done -----------------------------------------------------------------------------------------------
    def _do(self) -> None:
        entry = self._entry()
        if entry is None or not self.act.isEnabled():
            return
        self.message.hide()
        if entry.path is not None:
            self._use(entry, entry.path)
        elif entry.by_hand:
            QDesktopServices.openUrl(QUrl(entry.address))
        else:
            self._download(entry)

    def _use(self, entry: CatalogueEntry, path: Path) -> None:
        if entry.kind == "generator":
            self.chosen.emit(path)
            self.close()
        elif entry.kind == "features":
            try:
                self._session.configure(vgg16=str(path))
                self.message.say("Photographs are compared in these features from now on")
            except FacelabError as error:
                self.message.say(error)

    def _download(self, entry: CatalogueEntry) -> None:
        ticket = self._tickets[entry.name] = self._client.submit(Download(entry=entry.name))
        ticket.progressed.connect(self._progressed)
        ticket.answered.connect(self._downloaded)
        ticket.failed.connect(self.message.say)
        ticket.closed.connect(self._closed)
        self.bar.setRange(0, 0)
        self._show()

    def _cancel(self) -> None:
        entry = self._entry()
        if entry is not None and entry.name in self._tickets:
            self._tickets[entry.name].cancel()

    def _progressed(self, progress: Progress) -> None:
        self.bar.setRange(0, 1000 if progress.total else 0)
        if progress.total:
            self.bar.setValue(1000 * progress.done // progress.total)
            self.hint.setText(
                f"{size_text(progress.done)} of {size_text(progress.total)}; it goes on when this is closed."
            )

    def _downloaded(self, answer: Answer) -> None:
        if isinstance(answer, Written):
            self.message.say(f"{answer.path.name} is here")

    def _closed(self, end: str) -> None:
        self._tickets = {name: ticket for name, ticket in self._tickets.items() if ticket.open}
        self._show()
        self._list()


def _use(entry: CatalogueEntry) -> str:
    return {"generator": "Open", "features": "Use for encoding"}.get(entry.kind, "It is here")


def _escape(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;").replace('"', "&quot;")
