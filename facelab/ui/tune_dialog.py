"""Pivotal tuning from the window: what it costs is said first, what it learnt is kept in the project."""

from __future__ import annotations

from PySide6.QtCore import Qt, Signal
from PySide6.QtGui import QImage
from PySide6.QtWidgets import QDialog, QDialogButtonBox, QFormLayout, QHBoxLayout, QProgressBar, QVBoxLayout, QWidget

from facelab import runs
from facelab.errors import FacelabError, ProjectError
from facelab.jobs import Answer, Images, Thumbnails, Tune, TuningDone, TuningSettings, TuningStep
from facelab.latent.recipe import Recipe
from facelab.ui import theme
from facelab.ui.dialogs import main_button, size_text
from facelab.ui.face_view import FaceView
from facelab.ui.messages import MessageBar
from facelab.ui.numbers import Number, Whole
from facelab.ui.panels.library import keep_face
from facelab.ui.pixels import pixels_of
from facelab.ui.session import Session
from facelab.ui.widgets import button, quiet
from facelab.worker import Client, Ticket

DEFAULTS = TuningSettings()


class TuneDialog(QDialog):
    """Bend a copy of the generator until a face draws its photograph; the tuned face becomes the current one.

    It stays open while the generator is tuned, and may be closed meanwhile: the work goes on, and the jobs panel shows it.
    """

    tuned = Signal(object)  # the Recipe

    def __init__(self, session: Session, client: Client, pivot: runs.Pivot, parent: QWidget) -> None:
        super().__init__(parent)
        self.session, self.client, self.pivot = session, client, pivot
        self._project = session.project
        self._ticket: Ticket | None = None
        self.setWindowTitle("Tune generator to photograph")
        self.setMinimumWidth(440)
        info = session.generator
        kept, memory = (0, 0) if info is None else info.tuning
        self.photo = FaceView("Photograph", side=160)
        self._target = pixels_of(QImage.fromData(pivot.png))
        self.photo.set_pixels(self._target)
        self.now = FaceView("Drawn now", side=160, hint="Drawn now")
        self.now.set_waiting(True)
        drawing = client.submit(Thumbnails(recipes=(Recipe.of(pivot.code),), resolution=160))
        drawing.answered.connect(self._drawn)
        pictures = QHBoxLayout()
        pictures.setSpacing(theme.GRID)
        pictures.addStretch(1)
        for view in (self.photo, self.now):
            pictures.addWidget(view)
        pictures.addStretch(1)
        about = quiet(
            "A copy of the generator learns this one photograph: the face comes nearer than any code can bring it. "
            "Other faces are held where they were. The generator itself stays as it is.", wrap=True,
        )  # fmt: skip
        self.cost = quiet(
            f"It needs about {size_text(memory)} of memory while it works, and {size_text(kept)} in the project.",
            wrap=True,
        )
        self.space = quiet(
            "This face was encoded into W+, whose codes edit less well; tuned from one in W it stays easier to edit.",
            wrap=True, small=True,
        )  # fmt: skip
        self.space.setVisible(pivot.code.space != "w")
        self.steps = Whole()
        self.steps.setRange(1, 5000)
        self.steps.setSingleStep(50)
        self.steps.setValue(DEFAULTS.steps)
        self.steps.setAccessibleName("Steps")
        self.locality = Number()
        self.locality.setRange(0, 100)
        self.locality.setSingleStep(0.1)
        self.locality.setValue(DEFAULTS.locality)
        self.locality.setAccessibleName("Hold other faces")
        self.locality.setToolTip("How strongly faces near this one are kept as they were; 0 is twice as fast")
        form = QFormLayout()
        form.setHorizontalSpacing(2 * theme.GRID)
        form.setVerticalSpacing(theme.GRID)
        form.addRow("Steps", self.steps)
        form.addRow("Hold other faces", self.locality)
        self.message = MessageBar()
        self.progress = QProgressBar(textVisible=False)
        self.progress.setAccessibleName("Steps done")
        self.said = quiet("", small=True)
        for each in (self.progress, self.said):
            room = each.sizePolicy()
            room.setRetainSizeWhenHidden(True)  # else the rows above are pressed together when it comes
            each.setSizePolicy(room)
            each.hide()
        self.buttons = QDialogButtonBox()
        self.tune_button = button("Tune", self._tune, primary=True)
        self.close_button = button("Cancel", self._turn_back)
        self.buttons.addButton(self.close_button, QDialogButtonBox.ButtonRole.RejectRole)
        self.buttons.addButton(self.tune_button, QDialogButtonBox.ButtonRole.ActionRole)
        column = QVBoxLayout(self)
        column.setContentsMargins(*(2 * theme.GRID,) * 4)
        column.setSpacing(2 * theme.GRID)
        column.addWidget(self.message)
        column.addLayout(pictures)
        for words in (about, self.cost, self.space):
            column.addWidget(words)
        column.addLayout(form)
        column.addWidget(self.progress)
        column.addWidget(self.said)
        column.addWidget(self.buttons)
        main_button(self.tune_button)

    def _drawn(self, answer: Answer) -> None:
        if isinstance(answer, Images) and answer.final and self._ticket is None:
            self.now.set_pixels(answer.pixels[0])

    def _tune(self) -> None:
        self.message.hide()
        settings = TuningSettings(
            steps=self.steps.value(), locality=self.locality.value(), features=self.session.settings.vgg16
        )
        job = Tune(
            run=self.pivot.run, generator=self.pivot.code.generator, code=self.pivot.code, target=self._target,
            settings=settings, name=self.pivot.name,
        )  # fmt: skip
        ticket = self._ticket = self.client.submit(job)
        self.progress.setRange(0, 0)
        self._working(True)
        self.said.setText("Preparing…")
        ticket.answered.connect(self._answered)
        ticket.failed.connect(self._failed)
        ticket.closed.connect(self._closed)

    def _working(self, on: bool) -> None:
        for field in (self.steps, self.locality, self.tune_button):
            field.setEnabled(not on)
        self.progress.setVisible(on)
        self.said.setVisible(on)
        self.close_button.setText("Stop" if on else "Cancel")
        self.close_button.setToolTip("Nothing of it is kept" if on else "")

    def _turn_back(self) -> None:
        if self._ticket is not None and self._ticket.open:
            self._ticket.cancel()
        else:
            self.close()
            self.deleteLater()

    def _answered(self, answer: Answer) -> None:
        if isinstance(answer, TuningStep):
            done = answer.steps[-1] + 1
            self.progress.setRange(0, self.steps.value())
            self.progress.setValue(done)
            self.said.setText(f"Step {done:,} of {self.steps.value():,}, loss {answer.losses['total'][-1]:.4g}")
            if answer.pixels is not None:
                self.now.set_pixels(answer.pixels)
        elif isinstance(answer, TuningDone):
            self._keep(answer)

    def _keep(self, done: TuningDone) -> None:
        pivot = self.pivot
        recipe = Recipe.of(pivot.code).change(tuning=done.tuning)
        if self._project is not self.session.project:
            return  # it was closed meanwhile; nobody would find the face in another
        try:
            self._project.add_tuning(done.tuning, pivot.code.generator, done.blob, pivot.run)
            keep_face(
                self.session,
                recipe,
                f"{pivot.name} tuned",
                pixels=done.pixels,
                photo=pivot.photo,
                quad=pivot.quad,
                run=pivot.run,
            )
        except FacelabError as error:
            self.message.say(error)
            return
        info = self.session.generator
        if info is not None and info.sha256 == pivot.code.generator:
            self.session.take(recipe, f"Tune to {pivot.name}")
        self.tuned.emit(recipe)

    def _failed(self, error: object) -> None:
        self.message.say(error)
        self.show()

    def _closed(self, end: str) -> None:
        if end == "done":
            self.close()
            self.deleteLater()
            return
        self._working(False)
        if end == "cancelled" and not self.isVisible():
            self.deleteLater()


def tune(session: Session, client: Client, recipe: Recipe, parent: QWidget) -> TuneDialog:
    """Open the dialog for the photograph that a face was encoded from.

    Raises:
        FacelabError: the face was not encoded from a photograph of this project, or that cannot be read.
    """
    pivot = runs.pivot_of(session.project, recipe)
    if QImage.fromData(pivot.png).isNull():
        raise ProjectError(f"the crop of {pivot.name!r} is damaged; encode its photograph again")
    dialog = TuneDialog(session, client, pivot, parent)
    dialog.setWindowModality(Qt.WindowModality.NonModal)
    dialog.show()
    return dialog
