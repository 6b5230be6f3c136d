"""What the window asks before it writes or opens a file, and what it says of a generator.

Dialogs are opened, never executed: the window goes on. An export closes its dialog and runs as a job, which the jobs panel
shows; when it fails, the dialog comes back with the sentence that says why, and all that was set in it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import cast

from PySide6.QtCore import QSize, QStandardPaths, Qt, QUrl, Signal
from PySide6.QtGui import QDesktopServices, QFontDatabase, QShowEvent
from PySide6.QtWidgets import (
    QButtonGroup,
    QCheckBox,
    QComboBox,
    QDialog,
    QDialogButtonBox,
    QFileDialog,
    QFormLayout,
    QHBoxLayout,
    QLabel,
    QLineEdit,
    QPlainTextEdit,
    QPushButton,
    QRadioButton,
    QScrollArea,
    QVBoxLayout,
    QWidget,
)

from facelab import runs
from facelab.errors import FacelabError
from facelab.jobs import (
    Answer,
    ExportDescent,
    ExportMorph,
    ExportPictures,
    ExportPlane,
    GeneratorInfo,
    Images,
    Job,
    Thumbnails,
    Written,
)
from facelab.latent.path import EASINGS, INTERPOLATIONS
from facelab.latent.plane import Surface
from facelab.latent.recipe import Recipe
from facelab.project import RunRow
from facelab.ui import theme
from facelab.ui.face_view import FaceView
from facelab.ui.messages import MessageBar
from facelab.ui.numbers import Number
from facelab.ui.session import Session, describe
from facelab.ui.widgets import button, quiet
from facelab.worker import Client, Ticket

PICTURES = {".png": "PNG, exact", ".jpg": "JPEG, small", ".webp": "WebP, small"}
VIDEOS = {".mp4": "MP4, plays everywhere", ".webm": "WebM, for the web", ".gif": "GIF, 256 colours"}
PHOTO_FILTER = "Photographs (*.jpg *.jpeg *.png *.webp *.heic *.heif *.tif *.tiff *.bmp);;All files (*)"
GENERATOR_FILTER = "Generators (*.pkl *.pt *.pth *.safetensors);;All files (*)"
PROJECT_FILTER = "facelab projects (*.facelab);;All files (*)"
MOST_SECONDS = 3600.0

_folder: Path | None = None  # where the last file of this session was written


def folder() -> Path:
    """Where the next export is offered: beside the last one, else among the person's pictures."""
    if _folder is not None and _folder.is_dir():
        return _folder
    pictures = QStandardPaths.writableLocation(QStandardPaths.StandardLocation.PicturesLocation)
    return Path(pictures) if pictures and Path(pictures).is_dir() else Path.home()


def _remember(path: Path) -> None:
    global _folder
    _folder = path.parent


def free_name(wanted: Path) -> Path:
    """The path, or with " 2", " 3"... after its name when there is a file already."""
    path, number = wanted, 2
    while path.exists():
        path = wanted.with_name(f"{wanted.stem} {number}{wanted.suffix}")
        number += 1
    return path


def file_name(text: str) -> str:
    """A text as a file name that every system takes."""
    kept = "".join(c if c.isalnum() or c in " -_.+()" else " " for c in text)
    return " ".join(kept.split()).strip(". ")[:80] or "face"


def ask_open(parent: QWidget, title: str, filters: str, done: Callable[[list[Path]], object], *, many: bool = False) -> QFileDialog:  # fmt: skip
    """Ask for files to open; ``done`` gets them, and is not called when the person turns back."""
    dialog = QFileDialog(parent, title, str(folder()), filters)
    dialog.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
    dialog.setFileMode(QFileDialog.FileMode.ExistingFiles if many else QFileDialog.FileMode.ExistingFile)
    dialog.filesSelected.connect(lambda names: done([Path(n) for n in names]))
    dialog.open()
    return dialog


def ask_save(parent: QWidget, title: str, filters: str, start: Path, done: Callable[[Path], object]) -> QFileDialog:
    """Ask for a file to write; an existing one is asked about. ``done`` gets the path."""
    dialog = QFileDialog(parent, title, str(start), filters)
    dialog.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
    dialog.setAcceptMode(QFileDialog.AcceptMode.AcceptSave)
    dialog.setDefaultSuffix(start.suffix.removeprefix("."))
    dialog.selectFile(start.name)

    def chosen(name: str) -> None:
        _remember(Path(name))
        done(Path(name))

    dialog.fileSelected.connect(chosen)
    dialog.open()
    return dialog


def size_text(count: float) -> str:
    """Bytes as a person says them."""
    for unit in ("bytes", "kB", "MB"):
        if count < 1000:
            return f"{count:.0f} {unit}" if unit == "bytes" or count >= 10 else f"{count:.1f} {unit}"
        count /= 1000
    return f"{count:.1f} GB"


class ExportDialog(QDialog):
    """What all exports share: where to, the button, and coming back when it failed.

    Signals:
        written: the `Path` that is whole now.
    """

    written = Signal(object)

    def __init__(self, session: Session, client: Client, title: str, name: str, suffixes: Mapping[str, str], parent: QWidget) -> None:  # fmt: skip
        super().__init__(parent)
        self.session, self.client = session, client
        self.setWindowTitle(title)
        self.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        self.setMinimumWidth(480)
        self.form = QFormLayout()
        self.form.setHorizontalSpacing(2 * theme.GRID)
        self.form.setVerticalSpacing(theme.GRID)
        self.form.setFieldGrowthPolicy(QFormLayout.FieldGrowthPolicy.AllNonFixedFieldsGrow)
        self.message = MessageBar()
        self.format = QComboBox(accessibleName="Format")
        for suffix, text in suffixes.items():
            self.format.addItem(text, suffix)
        self.path = QLineEdit(
            str(free_name(folder() / f"{file_name(name)}{next(iter(suffixes))}")), accessibleName="File"
        )
        self.buttons = QDialogButtonBox(QDialogButtonBox.StandardButton.Cancel)
        self.export_button = button("Export", self._export, primary=True)
        self.buttons.addButton(self.export_button, QDialogButtonBox.ButtonRole.ActionRole)
        self.buttons.rejected.connect(self.close)
        self.column = QVBoxLayout(self)
        self.column.setContentsMargins(*(2 * theme.GRID,) * 4)
        self.column.setSpacing(2 * theme.GRID)
        self.column.addWidget(self.message)
        self.column.addLayout(self.form)
        self.column.addStretch(1)
        self.column.addWidget(self.buttons)
        main_button(self.export_button)
        self.format.currentIndexChanged.connect(self._format_changed)
        self.path.textChanged.connect(self._path_changed)

    def add_target(self) -> None:
        """The rows for the format and the file; a subclass puts them where they belong, usually last."""
        row = QHBoxLayout()
        row.setSpacing(theme.GRID)
        row.addWidget(self.path, 1)
        row.addWidget(button("Choose…", self._browse, tip="Choose a folder and a name"))
        self.form.addRow("Format", self.format)
        self.form.addRow("File", row)

    def showEvent(self, event: QShowEvent) -> None:
        super().showEvent(event)
        # No higher than it needs: notes that are wrapped ask for more than they take at this width.
        needed = self.column.totalHeightForWidth(self.width())
        if needed > 0:
            self.resize(self.width(), needed)

    def target(self) -> Path:
        """The path as written; the format's suffix is added where there is none."""
        path = Path(self.path.text().strip()).expanduser()
        return path if path.suffix else path.with_suffix(self.format.currentData())

    def problem(self) -> str | None:
        """What keeps this from being exported, in a sentence; None when nothing does."""
        if not self.path.text().strip():
            return "Give the file a name"
        path = self.target()
        if path.suffix.lower() not in [self.format.itemData(i) for i in range(self.format.count())]:
            return f"{path.suffix} is not a format that this can be written in; choose one of the list"
        if not path.parent.is_dir():
            return f"The folder {path.parent} does not exist; choose another one"
        return None

    def job(self) -> Job:
        """The job, with all that is set.

        Raises:
            FacelabError: something that it needs cannot be read.
        """
        raise NotImplementedError

    def _format_changed(self) -> None:
        path = Path(self.path.text().strip())
        if path.name:
            self.path.setText(str(free_name(path.with_suffix(self.format.currentData()))))

    def _path_changed(self, text: str) -> None:
        self.message.hide()
        place = self.format.findData(Path(text.strip()).suffix.lower())
        if place >= 0 and place != self.format.currentIndex():
            self.format.blockSignals(True)  # the name stands as it was typed
            self.format.setCurrentIndex(place)
            self.format.blockSignals(False)

    def _browse(self) -> None:
        suffix = self.format.currentData()
        ask_save(self, self.windowTitle(), f"{self.format.currentText()} (*{suffix})", self.target(), self._chosen)

    def _chosen(self, path: Path) -> None:
        self.path.setText(str(path))

    def _export(self) -> None:
        problem = self.problem()
        if problem is not None:
            self.message.say(problem)
            return
        try:
            job = self.job()
        except FacelabError as error:
            self.message.say(error)
            return
        _remember(self.target())
        self.hide()
        ticket = self.client.submit(job)
        ticket.answered.connect(self._answered)
        ticket.failed.connect(self._failed)
        ticket.closed.connect(self._ended)

    def _answered(self, answer: Answer) -> None:
        if isinstance(answer, Written):
            self.written.emit(answer.path)

    def _failed(self, error: object) -> None:
        self.message.say(error)
        self.show()

    def _ended(self, end: str) -> None:
        if end != "failed":
            self.close()
            self.deleteLater()  # a hidden window is not deleted by closing it


def main_button(made: QPushButton) -> None:
    """Let Enter press this button of the dialog that it is in; said before it is in one, Qt forgets it for Cancel."""
    made.setDefault(True)
    made.setFocus()


def show_folder(path: Path) -> None:
    """Open the folder of a file in the system's file manager."""
    QDesktopServices.openUrl(QUrl.fromLocalFile(str(path.parent)))


class ExportPictureDialog(ExportDialog):
    """Faces as pictures: format, size, and whether the recipe goes along."""

    def __init__(self, session: Session, client: Client, recipes: Sequence[Recipe], names: Sequence[str], parent: QWidget) -> None:  # fmt: skip
        title = "Export picture" if len(recipes) == 1 else f"Export {len(recipes)} pictures"
        super().__init__(session, client, title, names[0] if len(names) == 1 else "faces", PICTURES, parent)
        self.recipes, self.names = tuple(recipes), tuple(names)
        side = 0 if session.generator is None else session.generator.resolution
        self.scale = QComboBox(accessibleName="Size")
        for factor in (1, 2, 3, 4):
            note = "as drawn" if factor == 1 else f"{factor} times, Lanczos"
            self.scale.addItem(f"{side * factor} × {side * factor} px, {note}" if side else f"{factor} times", factor)
        self.form.addRow("Size", self.scale)
        bytes_each = max(len(r.to_json()) for r in self.recipes)
        self.with_recipe = QRadioButton("Picture and recipe", checked=True)
        self.without = QRadioButton("Picture only")
        group = QButtonGroup(self)
        choice = QVBoxLayout()
        choice.setSpacing(4)
        for option, note in (
            (self.with_recipe, f"Dropped back on facelab it restores the face. Adds {size_text(bytes_each)}."),
            (
                self.without,
                "Only pixels. A recipe is a code of a face: leave it out for a person who would not want it passed on.",
            ),
        ):
            group.addButton(option)
            choice.addWidget(option)
            said = quiet(note, wrap=True, small=True)
            said.setContentsMargins(24, 0, 0, 4)
            choice.addWidget(said)
        photo = any(c.origin.get("photo") is not None for r in self.recipes for c in r.sources)
        keep = session.settings.keep_recipe_in_exports and not photo
        (self.with_recipe if keep else self.without).setChecked(True)
        if photo:
            choice.addWidget(
                quiet(
                    "This face was encoded from a photograph, so the recipe is left out unless you choose it.",
                    wrap=True,
                )
            )
        self.form.addRow("Keep", choice)
        self.add_target()
        if len(self.recipes) > 1:
            self.form.addRow("", quiet("Each is written beside this file under its own name.", wrap=True))

    def paths(self) -> tuple[Path, ...]:
        """A file for each face."""
        target = self.target()
        if len(self.recipes) == 1:
            return (target,)
        taken: set[Path] = set()
        found = []
        for name in self.names:
            path = target.with_name(f"{file_name(name)}{target.suffix}")
            number = 2
            while path in taken or path.exists():
                path = target.with_name(f"{file_name(name)} {number}{target.suffix}")
                number += 1
            taken.add(path)
            found.append(path)
        return tuple(found)

    def job(self) -> ExportPictures:
        return ExportPictures(
            recipes=self.recipes,
            paths=self.paths(),
            scale=self.scale.currentData(),
            keep_recipe=self.with_recipe.isChecked(),
        )


class ExportMorphDialog(ExportDialog):
    """A morph through faces as a video."""

    def __init__(self, session: Session, client: Client, keys: Sequence[Recipe], parent: QWidget) -> None:
        super().__init__(session, client, "Export morph", "morph", VIDEOS, parent)
        self.setMinimumWidth(560)
        self.keys: list[Recipe] = []
        self._views: list[FaceView] = []
        self._drawing: dict[Ticket, FaceView] = {}
        self._milliseconds: float | None = None
        client.status.connect(self._status)

        self.strip = QHBoxLayout()
        self.strip.setSpacing(theme.GRID)
        self.strip.setContentsMargins(0, 0, 0, 0)
        self._add = FaceView("Another face", side=64, takes=True, hint="Drop a face")
        self._add.takes_many = True
        self._add.many_dropped.connect(self._add_keys)
        self.strip.addWidget(self._add)
        self.strip.addStretch(1)
        holder = QWidget()
        holder.setLayout(self.strip)
        area = QScrollArea(widgetResizable=True, frameShape=QScrollArea.Shape.NoFrame)
        area.setWidget(holder)
        area.setFixedHeight(64 + 14)
        area.setVerticalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        faces = QVBoxLayout()
        faces.setSpacing(4)
        faces.addWidget(area)
        faces.addWidget(quiet("The morph goes through these from left to right. Delete takes one out.", small=True))
        self.form.addRow("Faces", faces)

        self.seconds = _number("Seconds", 0.1, MOST_SECONDS, session.settings.video_seconds, 0.5, 1, " s")
        self.fps = _number("Pictures a second", 1, 120, session.settings.video_fps, 1, 0, "")
        self.side = QComboBox(accessibleName="Size")
        own = 0 if session.generator is None else session.generator.resolution
        self.side.addItem(f"{own} px, as drawn" if own else "As drawn", None)
        for side in (256, 512, 720, 1024, 1080, 2048):
            if side > own:
                self.side.addItem(f"{side} px", side)
        self.side.setCurrentIndex(max(0, self.side.findData(session.settings.video_size or None)))
        row = QHBoxLayout()
        row.setSpacing(theme.GRID)
        for widget, label in ((self.seconds, ""), (self.fps, "pictures a second,"), (self.side, "")):
            row.addWidget(widget)
            if label:
                row.addWidget(quiet(label))
        row.addStretch(1)
        self.form.addRow("Length", row)
        self.easing = _choice("Easing", EASINGS)
        self.easing.setCurrentIndex(max(0, self.easing.findData(session.settings.video_easing)))
        self.interpolation = _choice("Way", INTERPOLATIONS)
        self.loop = QCheckBox("Go back to the first face at the end")
        self.form.addRow("Easing", self.easing)
        self.form.addRow("Way", self.interpolation)
        self.form.addRow("", self.loop)
        self.add_target()
        self.estimate = quiet("")
        self.form.addRow("", self.estimate)
        for changed in (self.seconds.valueChanged, self.fps.valueChanged):
            changed.connect(self._estimate)
        for key in keys:
            self.add_key(key)
        self._estimate()

    def add_key(self, recipe: Recipe) -> None:
        """Another face at the end."""
        view = FaceView(describe(recipe), side=64, takes=True)
        view.setToolTip(describe(recipe))
        view.set_face(recipe)
        view.set_waiting(True)
        view.cleared.connect(lambda: self._remove(view))
        view.dropped.connect(lambda other: self._replace(view, other))
        self.keys.append(recipe)
        self._views.append(view)
        self.strip.insertWidget(len(self._views) - 1, view)
        self._draw(view)
        self._estimate()

    def _add_keys(self, recipes: Sequence[Recipe]) -> None:
        for recipe in recipes:
            self.add_key(recipe)

    def _draw(self, view: FaceView) -> None:
        own = 64 if self.session.generator is None else min(64, self.session.generator.resolution)
        ticket = self.client.submit(Thumbnails(recipes=(self.keys[self._views.index(view)],), resolution=own))
        self._drawing[ticket] = view
        ticket.answered.connect(self._drawn)
        ticket.failed.connect(self.message.say)

    def _drawn(self, answer: Answer) -> None:
        view = self._drawing.pop(cast(Ticket, self.sender()))
        if isinstance(answer, Images) and view in self._views:
            view.set_pixels(answer.pixels[0])

    def _remove(self, view: FaceView) -> None:
        place = self._views.index(view)
        del self._views[place], self.keys[place]
        self.strip.removeWidget(view)
        view.deleteLater()
        self._estimate()

    def _replace(self, view: FaceView, recipe: Recipe) -> None:
        self.keys[self._views.index(view)] = recipe
        view.set_face(recipe)
        view.setToolTip(describe(recipe))
        view.setAccessibleName(describe(recipe))
        self._draw(view)

    def _status(self, status: object) -> None:
        self._milliseconds = getattr(status, "milliseconds", None) or self._milliseconds
        self._estimate()

    def _estimate(self) -> None:
        pictures = max(2, round(self.seconds.value() * self.fps.value()))
        said = f"{pictures:,} pictures"
        if self._milliseconds:
            seconds = pictures * self._milliseconds / 1000
            said += f", about {seconds / 60:.0f} min" if seconds > 90 else f", about {max(1, round(seconds))} s"
        self.estimate.setText(said)

    def problem(self) -> str | None:
        if len(self.keys) < 2:
            return "A morph needs at least two faces; drop another one on the row of faces"
        if len({key.generator for key in self.keys}) > 1:
            return "These faces were made by different generators; a morph goes through faces of one"
        return super().problem()

    def job(self) -> ExportMorph:
        return ExportMorph(
            keys=tuple(self.keys), path=self.target(), seconds=self.seconds.value(), fps=self.fps.value(),
            size=self.side.currentData(), easing=self.easing.currentData(), interpolation=self.interpolation.currentData(),
            loop=self.loop.isChecked(),
        )  # fmt: skip


class ExportDescentDialog(ExportDialog):
    """The way of an encoding as a video: its kept steps in exponential time, then back to the start."""

    def __init__(self, session: Session, client: Client, row: RunRow, parent: QWidget) -> None:
        super().__init__(session, client, "Export descent", f"{row.name} descent", VIDEOS, parent)
        self.setMinimumWidth(560)
        self.row = row
        self.seconds = _number("Seconds down", 0.5, MOST_SECONDS, 6, 0.5, 1, " s")
        self.back = _number("Seconds back", 0, MOST_SECONDS, 2, 0.5, 1, " s")
        self.fps = _number("Pictures a second", 1, 120, 30, 1, 0, "")
        row_of_numbers = QHBoxLayout()
        row_of_numbers.setSpacing(theme.GRID)
        for widget, text in ((self.seconds, "down,"), (self.back, "back,"), (self.fps, "pictures a second")):
            row_of_numbers.addWidget(widget)
            row_of_numbers.addWidget(quiet(text))
        row_of_numbers.addStretch(1)
        self.curve = QCheckBox("Draw the loss along", checked=True)
        self.form.addRow("Run", quiet(f"{row.name}, {row.steps_done:,} steps"))
        self.form.addRow("Length", row_of_numbers)
        self.form.addRow("Curve", self.curve)
        self.add_target()

    def job(self) -> ExportDescent:
        return runs.descent(
            self.session.project, self.row, self.target(), curve=self.curve.isChecked(), seconds=self.seconds.value(),
            back=self.back.value(), fps=self.fps.value(),
        )  # fmt: skip


class ExportPlaneDialog(ExportDialog):
    """A rectangle of the plane as one picture with labelled axes."""

    def __init__(
        self, session: Session, client: Client, plane: Surface, template: Recipe, columns: Sequence[float],
        rows: Sequence[float], parent: QWidget,
    ) -> None:  # fmt: skip
        super().__init__(session, client, "Export plane", "plane", PICTURES, parent)
        self.plane, self.template = plane, template
        self.columns, self.rows = tuple(columns), tuple(rows)
        own = 64 if session.generator is None else session.generator.resolution
        self.tile = QComboBox(accessibleName="Size of a face")
        for side in (s for s in (32, 64, 128, 256, 512, 1024) if s <= own):
            width, height = side * len(self.columns), side * len(self.rows)
            self.tile.addItem(f"{side} px each, {width:,} × {height:,} px in all", side)
        self.tile.setCurrentIndex(max(0, self.tile.findData(min(128, own))))
        self.labels = QCheckBox("Write the coordinates along the edges", checked=True)
        self.form.addRow("Faces", quiet(f"{len(self.columns)} columns × {len(self.rows)} rows, as seen now"))
        self.form.addRow("Size", self.tile)
        self.form.addRow("Axes", self.labels)
        self.add_target()

    def job(self) -> ExportPlane:
        return ExportPlane(
            plane=self.plane, template=self.template, columns=self.columns, rows=self.rows, path=self.target(),
            tile=self.tile.currentData(), labels=self.labels.isChecked(),
        )  # fmt: skip


class GeneratorDialog(QDialog):
    """What was opened: all that `GeneratorInfo` says."""

    def __init__(self, info: GeneratorInfo, parent: QWidget) -> None:
        super().__init__(parent)
        self.setWindowTitle(f"Generator: {info.name}")
        self.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        self.setMinimumSize(QSize(560, 480))
        form = QFormLayout()
        form.setHorizontalSpacing(2 * theme.GRID)
        form.setVerticalSpacing(4)
        for name, value in self.facts(info):
            label = QLabel(value, wordWrap=True)
            label.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
            form.addRow(name, label)
        layers = QPlainTextEdit(readOnly=True, accessibleName="Layers", lineWrapMode=QPlainTextEdit.LineWrapMode.NoWrap)
        layers.setFont(QFontDatabase.systemFont(QFontDatabase.SystemFont.FixedFont))
        head = f"{'ws':>3}  {'layer':<16}{'px':>6}{'in':>7}{'out':>7}{'style':>7}\n"
        layers.setPlainText(
            head + "\n".join(
                f"{i:>3}  {la.name:<16}{la.resolution:>6}{la.in_channels:>7}{la.out_channels:>7}{la.style:>7}"
                for i, la in enumerate(info.layers)
            )
        )  # fmt: skip
        layers.setMinimumHeight(140)
        column = QVBoxLayout(self)
        column.setContentsMargins(*(2 * theme.GRID,) * 4)
        column.setSpacing(2 * theme.GRID)
        column.addLayout(form)
        column.addWidget(layers, 1)
        buttons = QDialogButtonBox(QDialogButtonBox.StandardButton.Close)
        buttons.rejected.connect(self.close)
        column.addWidget(buttons)

    @staticmethod
    def facts(info: GeneratorInfo) -> list[tuple[str, str]]:
        """Names and values, as they are shown."""
        rows = [
            ("File", info.path or "embedded in facelab"),
            ("Format", info.format),
            ("Family", info.family),
            ("Pictures", f"{info.resolution} × {info.resolution} px, {info.img_channels} channels"),
            ("Latents", f"Z {info.z_dim}, W {info.w_dim}, {info.num_ws} layers"),
            ("Classes", f"{info.c_dim}" if info.c_dim else "none: not conditional"),
            ("Parameters", f"{info.parameters / 1e6:.1f} million"),
            ("Mean of W", f"length {float((info.w_avg**2).sum()) ** 0.5:.2f}; spread per channel {info.w_std:.3f}"),
            ("Noise", "works" if info.noise_works else "has no effect on this generator"),
            ("Runs on", f"{info.device}, {info.precision}"),
            ("Identity", _halves(info.sha256)),
            ("File SHA-256", _halves(info.file_sha256)),
        ]
        rows += [("Note", note) for note in info.notes]
        said = {name for name, _ in rows}
        more = [(_label(key), value) for key, value in info.metadata.items() if len(value) < 200]
        rows += [(name, value) for name, value in more if name not in said]
        if info.ignored:
            rows.append(("Not used", ", ".join(info.ignored)))
        return rows


def _label(key: str) -> str:
    """The name of a value in a file, as words."""
    text = " ".join(word.upper() if word in ("cpu", "psnr") else word for word in key.split("_"))
    return text[:1].upper() + text[1:]


def _halves(text: str) -> str:
    """A hash in two lines: it has no place to break."""
    return f"{text[:32]}\n{text[32:]}"


def _number(name: str, low: float, high: float, value: float, step: float, decimals: int, suffix: str) -> Number:
    field = Number()
    field.setAccessibleName(name)
    field.setDecimals(decimals)
    field.setRange(low, high)
    field.setSingleStep(step)
    field.setSuffix(suffix)
    field.setValue(value)
    return field


def _choice(name: str, values: object) -> QComboBox:
    box = QComboBox(accessibleName=name)
    for value in values:  # type: ignore[attr-defined]
        box.addItem(str(value).replace("_", " ").capitalize(), value)
    return box
