"""What is made of encodings: a face set back into its photograph, and the report on all photographs of the project."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path

import numpy as np
from PySide6.QtWidgets import QCheckBox, QHBoxLayout, QLineEdit, QWidget

from facelab import runs
from facelab.errors import FacelabError
from facelab.jobs import Answer, Images, PasteBack, Pixels, Project, ProjectionSettings, Thumbnails, WriteReport
from facelab.latent.code import Floats
from facelab.latent.recipe import Recipe
from facelab.project import RunRow
from facelab.ui import theme
from facelab.ui.dialogs import PHOTO_FILTER, PICTURES, ExportDialog, ask_open, folder
from facelab.ui.face_view import FaceView
from facelab.ui.numbers import Number
from facelab.ui.panels.library import png_of
from facelab.ui.pixels import image_of
from facelab.ui.session import Session
from facelab.ui.widgets import button, quiet
from facelab.worker import Client, Ticket

REPORTS = {".html": "Page, with plots and pictures", ".csv": "Table, for spreadsheets"}


class PasteBackDialog(ExportDialog):
    """A face, edited or not, set into the photograph that it was encoded from.

    The project knows the photograph's name and where in it the face was, not where the file lies; so it is asked for.
    """

    def __init__(
        self, session: Session, client: Client, recipe: Recipe, name: str, quad: Floats, parent: QWidget
    ) -> None:
        super().__init__(session, client, "Set back into photograph", f"{Path(name).stem} edited", PICTURES, parent)
        self.recipe, self.quad, self._name = recipe, quad, name
        self._pixels: Pixels | None = None
        near = folder() / Path(name).name
        self.face = FaceView("Face", side=112)
        self.face.set_face(recipe)
        self.face.set_waiting(True)
        self.photo = QLineEdit(str(near) if near.is_file() else "", accessibleName="Photograph")
        self.photo.setPlaceholderText(f"Where is {name}?")
        self.photo.textChanged.connect(lambda _: self.message.hide())
        row = QHBoxLayout()
        row.setSpacing(theme.GRID)
        row.addWidget(self.photo, 1)
        row.addWidget(button("Choose…", self._ask_photo, tip="Choose the photograph"))
        self.face_only = QCheckBox("Only the face itself, without hair and background")
        self.feather = Number()
        self.feather.setDecimals(0)
        self.feather.setRange(0, 50)
        self.feather.setValue(10)
        self.feather.setSuffix(" %")
        self.feather.setAccessibleName("Soft edge")
        self.feather.setToolTip("Over which share of its side the picture fades into the photograph")
        self.form.addRow("Face", self.face)
        self.form.addRow("Photograph", row)
        self.form.addRow("Soft edge", self.feather)
        self.form.addRow("", self.face_only)
        self.add_target()
        self.form.addRow("", quiet("The file is marked as a photograph with a generated part.", small=True))
        self.export_button.setEnabled(False)
        side = 64 if session.generator is None else session.generator.resolution
        ticket = client.submit(Thumbnails(recipes=(recipe,), resolution=side))
        ticket.answered.connect(self._drawn)
        ticket.failed.connect(self.message.say)

    def _drawn(self, answer: Answer) -> None:
        if isinstance(answer, Images) and answer.final:
            self._pixels = answer.pixels[0]
            self.face.set_pixels(self._pixels)
            self.export_button.setEnabled(True)

    def _ask_photo(self) -> None:
        ask_open(self, f"Where is {self._name}?", PHOTO_FILTER, lambda paths: self.photo.setText(str(paths[0])))

    def problem(self) -> str | None:
        text = self.photo.text().strip()
        if not text or not Path(text).expanduser().is_file():
            return f"Choose the photograph first: {self._name}"
        if Path(text).expanduser().resolve() == self.target().resolve():
            return "This would write over the photograph itself; choose another name"
        return super().problem()

    def job(self) -> PasteBack:
        assert self._pixels is not None, "the button is off until the face is drawn"
        return PasteBack(
            photo=Path(self.photo.text().strip()).expanduser(), quad=self.quad, pixels=self._pixels, path=self.target(),
            feather=self.feather.value() / 100, mask=self.face_only.isChecked(),
        )  # fmt: skip


class ReportDialog(ExportDialog):
    """How well the photographs of the project conform to the generator, against the zero face's own curve.

    A baseline that is not in the project yet is encoded first, and stays there.
    """

    def __init__(self, session: Session, client: Client, rows: Sequence[RunRow], parent: QWidget) -> None:
        super().__init__(session, client, "Conformity report", "conformity", REPORTS, parent)
        self.rows = list(rows)
        self.project = session.project
        self._missing = runs.zeros_missing(self.project, self.rows)
        self._open: list[Ticket] = []
        self._broken = False
        steps = sum(settings.steps for settings in self._missing.values())
        self.zero = QCheckBox("Encode the zero face first, to compare with", checked=bool(self._missing))
        self.zero.setToolTip(f"{steps:,} steps in all; it is done once for these settings")
        self.zero.setVisible(bool(self._missing))
        many = len(self.rows)
        self.form.addRow("Photographs", quiet(f"{many} encoded" if many > 1 else "1 encoded"))
        self.form.addRow("", self.zero)
        self.add_target()

    def job(self) -> WriteReport:
        return runs.report(self.session.project, self.rows, [self.target()])

    def _export(self) -> None:
        info = self.session.generator
        problem = self.problem()
        if problem is not None or not self._missing or not self.zero.isChecked() or info is None:
            super()._export()
            return
        self.hide()
        face = Recipe.of(runs.zero_face(info.sha256, info.z_dim, info.c_dim))
        ticket = self.client.submit(Thumbnails(recipes=(face,), resolution=info.resolution))
        ticket.answered.connect(self._begin)
        ticket.failed.connect(self._failed)

    def _begin(self, answer: Answer) -> None:
        if not isinstance(answer, Images) or not answer.final:
            return
        missing, self._missing, self._broken = self._missing, {}, False
        try:
            for name, settings in missing.items():
                self._encode(name, settings, answer.pixels[0])
        except FacelabError as error:
            self._failed(error)

    def _encode(self, name: str, settings: ProjectionSettings, target: Pixels) -> None:
        job = Project(
            run=name,
            generator=self.rows[0].generator,
            target=np.ascontiguousarray(target),
            settings=settings,
            name=runs.ZERO_NAME,
        )
        job, _ = runs.resumed(self.project, job)
        runs.begin(self.project, job, png_of(image_of(target)))
        ticket = self.client.submit(job)
        self._open.append(ticket)
        ticket.answered.connect(self._record)
        ticket.failed.connect(self.message.say)
        ticket.closed.connect(partial(self._closed, ticket, name))

    def _record(self, answer: Answer) -> None:
        if self.project is self.session.project:  # else it was closed; there it can go on
            try:
                runs.record(self.project, answer)
            except FacelabError as error:
                self.message.say(error)

    def _closed(self, ticket: Ticket, name: str, end: str) -> None:
        self._open.remove(ticket)
        if end != "done":
            self._broken = True
            if self.project is self.session.project:
                self.project.finish_run(name, "failed" if end == "failed" else "cancelled")
        if self._open:
            return
        if self._broken:
            self._missing = runs.zeros_missing(self.project, self.rows) if self.project is self.session.project else {}
            self.show()
        else:
            super()._export()
