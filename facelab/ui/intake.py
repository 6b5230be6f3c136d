"""What comes in from outside, dropped, pasted or opened: looked at by its contents, and handed to where it belongs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import partial
from pathlib import Path
from urllib.parse import unquote, urlsplit

from PySide6.QtCore import QMimeData, QObject, Qt, Signal
from PySide6.QtGui import QImage
from PySide6.QtWidgets import QMessageBox, QWidget

from facelab import jobs
from facelab.errors import AmbiguousLatent
from facelab.jobs import Answer
from facelab.latent.recipe import Recipe
from facelab.ui import dialogs
from facelab.ui.dragging import files_of, link_of, picture_in, recipe_of
from facelab.ui.messages import Together
from facelab.ui.session import Session
from facelab.worker import Client


class Intake(QObject):
    """A face becomes the current one here; all else goes out as a signal.

    Signals:
        photos: paths of photographs, or of folders of them.
        generator, project: the path of one.
        faces: several recipes that came in one file, and its name.
        failed: an error, or a sentence.
        noted: what to say for a while.
    """

    photos = Signal(object)
    generator = Signal(object)
    project = Signal(object)
    faces = Signal(object, str)
    failed = Signal(object)
    noted = Signal(str)

    def __init__(self, session: Session, client: Client, window: QWidget) -> None:
        super().__init__(window)
        self.session, self.client, self._window = session, client, window

    def take(self, mime: QMimeData, text: str) -> bool:
        """Take what was dropped or pasted: a face, files, or a picture from another program. ``text`` names the step of undo."""
        recipe = recipe_of(mime)
        if recipe is not None:
            self.session.take(recipe, text)
        elif files := files_of(mime):
            self.open(files)
        elif not (image := picture_in(mime)).isNull():
            self._open_image(image)
        elif link := link_of(mime):
            self.ask_fetch(link)
        else:
            self.noted.emit("There is no face, picture or file in it that facelab can take")
            return False
        return True

    # -- pictures without a file ------------------------------------------------------------------------------------
    def ask_fetch(self, address: str) -> None:
        """A browser gave a link instead of its picture: nothing is fetched unless the person says so."""
        host = urlsplit(address).hostname or address
        box = QMessageBox(
            QMessageBox.Icon.Question, "Fetch picture", f"Fetch this picture from {host}?", parent=self._window
        )
        box.setInformativeText(
            f"The browser gave only a link. If facelab fetches it, {host} sees that this computer asks for it. "
            "Without that: copy the picture in the browser, and paste it here."
        )
        box.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        box.addButton("Fetch", QMessageBox.ButtonRole.AcceptRole).clicked.connect(partial(self._fetch, address))
        box.addButton(QMessageBox.StandardButton.Cancel)
        box.open()

    def _fetch(self, address: str) -> None:
        name = dialogs.file_name(Path(unquote(urlsplit(address).path)).name)
        ticket = self.client.submit(
            jobs.FetchPicture(address=address, path=dialogs.free_name(self.session.scratch() / name))
        )
        ticket.answered.connect(lambda answer: self.open([answer.path]) if isinstance(answer, jobs.Written) else None)
        ticket.failed.connect(self.failed)

    def _open_image(self, image: QImage) -> None:
        """A picture that comes without a file is written to one that goes when the window closes."""
        path = dialogs.free_name(self.session.scratch() / "pasted.png")
        if image.isNull() or not image.save(str(path), "PNG"):
            self.failed.emit("the picture cannot be read; save it to a file and drop that")
        else:
            self.photos.emit([path])

    # -- files ------------------------------------------------------------------------------------------------------
    def open(self, paths: Iterable[Path]) -> None:
        """Look what each file is, by its contents, and take it where it belongs."""
        together = Together(self.failed.emit)
        for path in paths:
            if path.is_dir():
                self.photos.emit([path])
                continue
            ticket = self.client.submit(jobs.LookAtFile(path=path))
            ticket.answered.connect(self._route)
            together.watch(path.name, ticket)

    def _route(self, answer: Answer) -> None:
        if not isinstance(answer, jobs.Dropped):
            return
        path = answer.path
        match answer.what:
            case "photo":
                self.photos.emit([path])
            case "recipe":
                if answer.recipe is not None:
                    self.session.take(answer.recipe, f"Open {path.name}")
            case "generator":
                self.generator.emit(path)
            case "project":
                self.project.emit(path)
            case "latents":
                self._read_latents(path)
            case other:
                self.failed.emit(f"{path.name} is a {other}, which the window cannot open")

    # -- latents ----------------------------------------------------------------------------------------------------
    def _read_latents(self, path: Path, settled: Mapping[str, str] | None = None) -> None:
        """Read a file of latents; ``settled`` holds what the person has answered about it, by what was asked."""
        info = self.session.generator
        if info is None:
            self.failed.emit("wait until the generator is loaded, then drop the latents again")
            return
        settled = settled or {}
        ticket = self.client.submit(jobs.ReadLatents(path=path, generator=info.sha256, **settled))
        ticket.answered.connect(partial(self._latents_read, path))
        ticket.failed.connect(partial(self._latents_failed, path, settled))

    def _latents_read(self, path: Path, answer: Answer) -> None:
        if not isinstance(answer, jobs.Codes):
            return
        recipes = [Recipe.of(code) for code in answer.codes]
        if recipes:
            self.session.take(recipes[0], f"Open {path.name}")
        if len(recipes) > 1:
            self.faces.emit(recipes, path.stem)
            self.noted.emit(f"{len(recipes)} faces of {path.name} are in the library")

    def _latents_failed(self, path: Path, settled: Mapping[str, str], error: object) -> None:
        if not isinstance(error, AmbiguousLatent):
            self.failed.emit(error)
            return
        box = QMessageBox(
            QMessageBox.Icon.Question, "Latents", str(error), QMessageBox.StandardButton.Cancel, self._window
        )
        box.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        for choice in error.choices:
            shown = choice.upper() if error.asks == "space" else choice
            box.addButton(shown.replace("&", "&&"), QMessageBox.ButtonRole.AcceptRole).clicked.connect(
                partial(self._read_latents, path, {**settled, error.asks: choice})
            )
        box.open()
