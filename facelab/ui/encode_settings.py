"""How a photograph is encoded, as a person sets it: result, space and start in view, all else behind two headings."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from PySide6.QtCore import Qt
from PySide6.QtWidgets import (
    QCheckBox,
    QComboBox,
    QFormLayout,
    QGridLayout,
    QHBoxLayout,
    QSizePolicy,
    QToolButton,
    QVBoxLayout,
    QWidget,
)

from facelab.assets import EMBEDDED_GENERATOR, resource
from facelab.errors import MissingPart
from facelab.jobs import LIKELY, Answer, GeneratorInfo, Images, LossInfo, ProjectionSettings, Thumbnails
from facelab.latent.recipe import Recipe
from facelab.latent.spaces import layer_groups
from facelab.ui import theme
from facelab.ui.face_view import FaceView
from facelab.ui.numbers import Number, Whole
from facelab.ui.session import Session
from facelab.ui.widgets import Section, button, quiet
from facelab.worker import Client

DEFAULTS = ProjectionSettings()
STARTS = {
    "w_avg": ("Average face", "From the middle of W: the safest start"),
    "encoder": ("Encoder's guess", "From what facelab's own encoder reads in the photograph"),
    "best": ("Best of 64", "From the nearest of 64 random faces"),
    "code": ("A face…", "From the current face, or one that is dropped here"),
    "seed": ("Seed's face", "From the face of the seed below"),
    "w0": ("w = 0", "From the origin of W, which is not its middle"),
}
SPACES = {"w+": ("W+, nearest", "One code for each layer: comes nearest"), "w": ("W, editable", "One code for all layers: farther off, but edits well")}  # fmt: skip
RESULTS: dict[str, tuple[str, str, Mapping[str, float]]] = {
    "near": ("Nearest", "Like the photograph, at the cost of being a face", {}),
    "edits": ("Near, editable", "The layers stay together", {"near_w": 0.03}),
    "likely": ("A likely face", "Among the faces that the generator knows", LIKELY),
    "": ("As set below", "The weights under Losses", {}),
}
OPTIMISERS = {
    "adam": ("Adam", "Many small steps; optimises noise too"),
    "lbfgs": ("L-BFGS", "Fewer, larger steps, on the code alone"),
}
PENALTIES = {
    "near_w": ("Layers together", "Keeps a W+ code near W, where faces edit well"),
    "near_w_avg": ("Near the average", "Keeps the code near the average face"),
    "noise_weight": ("Noise stays noise", "Keeps optimised noise from taking over the drawing"),
}
SLOPE = 0.01
NEEDS = {
    "vgg16": "Needs a VGG16 file: give one in the settings",
    "encoder": "Needs facelab's own encoder, which knows only facelab's own generator",
}
IN_ROW = 6  # layers


class LayerPicker(QWidget):
    """A button for each layer, from coarse to fine; those that are pressed in may move."""

    def __init__(self) -> None:
        super().__init__()
        self._grid = QGridLayout(self)
        self._grid.setContentsMargins(0, 0, 0, 0)
        self._grid.setSpacing(2)
        self._buttons: list[QToolButton] = []

    def set_generator(self, info: GeneratorInfo) -> None:
        """The layers of a generator; all of them may move."""
        for old in self._buttons:
            self._grid.removeWidget(old)
            old.hide()
            old.deleteLater()
        self._buttons = []
        names = {row: name for name, rows in layer_groups(info.family, info.num_ws).items() for row in rows}
        for row, layer in enumerate(info.layers):
            made = QToolButton(text=str(row), checkable=True, checked=True)
            made.setFixedWidth(28)
            made.setAccessibleName(f"Layer {row} may move")
            made.setToolTip(f"Layer {row}: {names.get(row, layer.name)}, {layer.resolution} px")
            self._grid.addWidget(made, row // IN_ROW, row % IN_ROW)
            self._buttons.append(made)
        self._grid.setColumnStretch(IN_ROW, 1)

    def value(self) -> tuple[int, ...] | None:
        """The layers that may move; None for all, and for none, which could not be run."""
        on = tuple(row for row, each in enumerate(self._buttons) if each.isChecked())
        return None if len(on) in (0, len(self._buttons)) else on

    def set_value(self, layers: tuple[int, ...] | None) -> None:
        """Press in these layers; None is all."""
        for row, each in enumerate(self._buttons):
            each.setChecked(layers is None or row in layers)


class EncodeSettings(QWidget):
    """All settings of the encodings to come.

    Attributes:
        face: what the start "A face…" begins from; None is the current face.
    """

    def __init__(self, session: Session, client: Client) -> None:
        super().__init__()
        self.session, self.client = session, client
        self.face: Recipe | None = None
        self._losses: tuple[LossInfo, ...] = ()
        self.weights: dict[str, Number] = {}
        now = session.settings
        self.result = choice("Result", {name: words[:2] for name, words in RESULTS.items()}, "near")
        self.result.activated.connect(lambda _: self._take_result())
        self.space = choice("Space", SPACES, now.encode_space)
        self.steps = Whole()
        self.steps.setRange(10, 20_000)
        self.steps.setSingleStep(50)
        self.steps.setValue(now.encode_steps)
        self.steps.setAccessibleName("Steps")
        self.steps.setToolTip("More steps come nearer; the first hundred do most")
        self.start = choice("Start", STARTS, "w_avg")
        self.start.currentIndexChanged.connect(self._show_face)
        self.slot = FaceView("Face to start from", side=72, takes=True, hint="Drop a face", drop_hint="Start here")
        self.slot.setToolTip("Drop any face here; click for the current one")
        self.slot.dropped.connect(self.set_face)
        self.slot.clicked.connect(lambda: self.set_face(None))
        self.slot.hide()
        form = _form()
        for name, field in (
            ("Result", self.result),
            ("Space", self.space),
            ("Steps", self.steps),
            ("Start", self.start),
        ):
            form.addRow(name, field)
        form.addRow("", self.slot)
        self.note = quiet("", wrap=True, small=True)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(theme.GRID)
        column.addLayout(form)
        column.addWidget(self.note)
        column.addWidget(self._build_losses())
        column.addWidget(self._build_more())
        session.changed.connect(lambda *_: self._show_face())
        session.settings_changed.connect(lambda _: self.show_losses())

    def _build_losses(self) -> QWidget:
        section = Section("Losses", folded=True, indent=0, tip="What is compared, and what keeps the code a face")
        self._weights_form = _form()
        self.penalties = {name: weight(title, tip) for name, (title, tip) in PENALTIES.items()}
        section.body.addLayout(self._weights_form)
        usual = button("As usual", self.reset, tip="All weights as they were")
        row = QHBoxLayout()
        row.addStretch(1)
        row.addWidget(usual)
        section.body.addLayout(row)
        for each in self.penalties.values():
            each.valueChanged.connect(self._weight_changed)
        self.losses_section = section
        return section

    def _build_more(self) -> QWidget:
        section = Section("More", folded=True, indent=0)
        self.optimiser = choice("Method", OPTIMISERS, "adam")
        self.rate = Number()
        _narrow(self.rate)
        self.rate.setDecimals(3)
        self.rate.setRange(0.001, 10)
        self.rate.setSingleStep(0.01)
        self.rate.setValue(self.session.settings.encode_learning_rate)
        self.rate.setAccessibleName("Learning rate")
        self.rate.setToolTip("How far a step goes, in standard deviations of W")
        self.seed = Whole()
        _narrow(self.seed)
        self.seed.setRange(0, 2**31 - 1)
        self.seed.setValue(DEFAULTS.seed)
        self.seed.setAccessibleName("Seed")
        self.seed.setToolTip("The same seed on the same machine gives the same result")
        self.noise = QCheckBox("Optimise noise", checked=True)
        self.noise.setToolTip("Fine grain comes nearer, but belongs to this picture alone")
        self.stop_rest = QCheckBox("Stop when it rests")
        self.stop_rest.setToolTip("Ends when 50 steps gain less than 1 % on the 50 before")
        self.stop_loss = _stop("Stop at loss", 4, "Ends at this loss; 0 for never")
        self.stop_minutes = _stop("Stop after minutes", 1, "Ends after so many minutes of work; 0 for never", " min")
        self.layers = LayerPicker()
        self.only_face = QCheckBox("Only the face counts")
        self.only_face.setToolTip("Hair and background may become what they like")
        self.baseline = QCheckBox("Compare with zero face")
        self.baseline.setToolTip("Encode the face of z = 0 too, once for these settings: what the generator knows best")
        form = _form()
        for name, field in (
            ("Method", self.optimiser), ("Rate", self.rate), ("Seed", self.seed), ("Stop at loss", self.stop_loss),
            ("Stop after", self.stop_minutes),
        ):  # fmt: skip
            form.addRow(name, field)
        section.body.addLayout(form)
        for each in (self.stop_rest, self.noise, self.only_face, self.baseline):
            section.body.addWidget(each)
        section.body.addWidget(quiet("Layers that may move", small=True))
        section.body.addWidget(self.layers)
        return section

    # -- the generator ----------------------------------------------------------------------------------------------
    def set_generator(self, info: GeneratorInfo | None) -> None:
        """Offer what a generator can do."""
        self.face = None
        if info is None:
            return
        self._losses = info.losses
        while self._weights_form.rowCount():
            taken = self._weights_form.takeRow(0)
            for item in (taken.labelItem, taken.fieldItem):
                found = None if item is None else item.widget()
                if found is not None and found not in self.penalties.values():
                    found.deleteLater()
        self.weights = {loss.name: weight(loss.title, "0 leaves it out") for loss in info.losses}
        for loss in info.losses:
            self._weights_form.addRow(_short(loss), self.weights[loss.name])
            self.weights[loss.name].valueChanged.connect(self._weight_changed)
        for name, (title, _) in PENALTIES.items():
            self._weights_form.addRow(title, self.penalties[name])
        place = self.start.findData("encoder")
        if info.encoder and place < 0:
            self.start.insertItem(1, STARTS["encoder"][0], "encoder")
            self.start.setItemData(1, STARTS["encoder"][1], Qt.ItemDataRole.ToolTipRole)
        elif not info.encoder and place >= 0:
            self.start.removeItem(place)
        self.layers.set_generator(info)
        self.noise.setEnabled(info.noise_works)
        # The embedded generator's faces are drawn ones: what comes nearest to a photograph pixel by pixel is a blur.
        self.result.setCurrentIndex(self.result.findData("likely" if is_embedded(info) else "near"))
        self.reset()

    # -- losses -----------------------------------------------------------------------------------------------------
    def _usual(self, loss: LossInfo) -> float:
        return loss.weight if self._has(loss) else 0.0

    def _has(self, loss: LossInfo) -> bool:
        """Whether what a loss needs is there."""
        info = self.session.generator
        if loss.needs == "vgg16":
            return self.session.settings.vgg16 is not None
        return loss.needs != "encoder" or (info is not None and info.encoder)

    def reset(self) -> None:
        """All weights as usual, for the result that is chosen."""
        for loss in self._losses:
            _put(self.weights[loss.name], self._usual(loss))
        _put(self.penalties["noise_weight"], DEFAULTS.noise_weight)
        if not self.result.currentData():
            self.result.setCurrentIndex(self.result.findData("near"))
        self._take_result()
        self.show_losses()

    def _take_result(self) -> None:
        if self.result.currentData():
            chosen = RESULTS[self.result.currentData()][2]
            for name in ("near_w", "near_w_avg"):
                _put(self.penalties[name], chosen.get(name, 0.0))

    def _weight_changed(self) -> None:
        """Say which result the penalties stand for, if one."""
        now = {name: self.penalties[name].value() for name in ("near_w", "near_w_avg")}
        for name, (_, _, wanted) in RESULTS.items():
            if name and all(abs(now[n] - wanted.get(n, 0.0)) < 1e-9 for n in now):
                break
        else:
            name = ""
        if self.result.currentData() != name and self.result.currentData() is not None:
            self.result.setCurrentIndex(self.result.findData(name))
        self.show_losses()

    def show_losses(self) -> None:
        """Switch weights off whose network is not there, and say what is compared."""
        for loss in self._losses:
            field, there = self.weights[loss.name], self._has(loss)
            if there and not field.isEnabled():
                _put(field, loss.weight)
            elif not there:
                _put(field, 0.0)
            field.setEnabled(there)
            field.setToolTip(f"{loss.title}; 0 leaves it out" if there else NEEDS[loss.needs])
        titles = [_short(loss).lower() for loss in self._losses if self.weights[loss.name].value()]
        path = self.session.settings.vgg16
        said = f"Compares {', '.join(titles)}." if titles else "Nothing is compared: give a loss a weight."
        if path is None and any(loss.needs == "vgg16" for loss in self._losses):
            said += " A VGG16 file, given in the settings, adds likeness."
        elif path is not None and "perceptual" in titles:
            said += f" Features are those of {Path(path).name}."
        self.note.setText(said)

    # -- the start --------------------------------------------------------------------------------------------------
    def set_face(self, recipe: Recipe | None) -> None:
        """Start from this face; None is the current one."""
        info = self.session.generator
        if recipe is None or (info is not None and recipe.generator == info.sha256):
            self.face = recipe
            self._show_face()

    def start_face(self) -> Recipe | None:
        """The face that the start "A face…" means now."""
        return self.face or self.session.state.recipe

    def _show_face(self) -> None:
        wanted = self.start.currentData() == "code"
        self.slot.setVisible(wanted)
        recipe = self.start_face()
        if wanted and recipe is not None and recipe != self.slot.recipe:
            self.slot.set_face(recipe)
            self.slot.set_waiting(True)
            ticket = self.client.submit(Thumbnails(recipes=(recipe,), resolution=72))
            ticket.answered.connect(lambda answer: self._drawn(recipe, answer))

    def _drawn(self, recipe: Recipe, answer: Answer) -> None:
        if isinstance(answer, Images) and answer.final and self.slot.recipe == recipe:
            self.slot.set_pixels(answer.pixels[0])

    # -- the value --------------------------------------------------------------------------------------------------
    @property
    def problem(self) -> str:
        """Why nothing can be encoded like this, or nothing."""
        if self._losses and not any(field.value() for field in self.weights.values()):
            return "nothing is compared: give a loss a weight first"
        return ""

    def value(self) -> ProjectionSettings:
        """What is set now, but for the mask and the code to start from, which belong to a photograph and its moment."""
        weights = {name: field.value() for name, field in self.weights.items()}
        usual = {loss.name: self._usual(loss) for loss in self._losses}
        losses = {} if weights == usual else {name: value for name, value in weights.items() if value}
        minutes = self.stop_minutes.value()
        penalties = {name: field.value() for name, field in self.penalties.items()}
        return ProjectionSettings(
            space=self.space.currentData(), steps=self.steps.value(), start=self.start.currentData(), seed=self.seed.value(),
            learning_rate=self.rate.value(), features=self.session.settings.vgg16, losses=losses,
            optimiser=self.optimiser.currentData(), optimise_noise=self.noise.isChecked(),
            learn_layers=self.layers.value(), stop_slope=SLOPE if self.stop_rest.isChecked() else None,
            stop_loss=self.stop_loss.value() or None, stop_seconds=60 * minutes if minutes else None,
            near_w=penalties["near_w"], near_w_avg=penalties["near_w_avg"], noise_weight=penalties["noise_weight"],
        )  # fmt: skip


def is_embedded(info: GeneratorInfo) -> bool:
    """Whether a generator is the one that comes with facelab."""
    try:
        return info.path is None or Path(info.path) == resource(EMBEDDED_GENERATOR)
    except MissingPart:
        return False


# -- pieces -------------------------------------------------------------------------------------------------------------
def choice(name: str, choices: Mapping[Any, tuple[str, str]], value: object) -> QComboBox:
    """A box of choices, by data: what each is called, and its tip."""
    box = QComboBox(accessibleName=name)
    for data, (text, tip) in choices.items():
        box.addItem(text, data)
        box.setItemData(box.count() - 1, tip, Qt.ItemDataRole.ToolTipRole)
    box.setCurrentIndex(max(0, list(choices).index(value) if value in choices else 0))
    box.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon)
    box.setMinimumContentsLength(6)
    return box


class _Weight(Number):
    """A number without zeros behind it: weights run from thousandths to thousands."""

    def textFromValue(self, value: float) -> str:
        return f"{value:.6g}"


def weight(name: str, tip: str) -> Number:
    """A field for the weight of a term."""
    field = _Weight()
    _narrow(field)
    field.setDecimals(4)
    field.setRange(0, 1e6)
    field.setSingleStep(0.1)
    field.setStepType(Number.StepType.AdaptiveDecimalStepType)
    field.setAccessibleName(name)
    field.setToolTip(tip)
    return field


def _short(loss: LossInfo) -> str:
    """A loss by its first words: the column is narrow."""
    return loss.title.split(" (")[0]


def _form() -> QFormLayout:
    form = QFormLayout()
    form.setHorizontalSpacing(theme.GRID)
    form.setVerticalSpacing(4)
    return form


def _narrow(field: QWidget) -> None:
    """Take the width that is there: the largest number of a range would ask for half the panel."""
    field.setMinimumWidth(64)
    field.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)


def _stop(name: str, decimals: int, tip: str, unit: str = "") -> Number:
    field = Number()
    _narrow(field)
    field.setDecimals(decimals)
    field.setRange(0, 100_000)
    field.setSpecialValueText("never")
    field.setSuffix(unit)
    field.setAccessibleName(name)
    field.setToolTip(tip)
    return field


def _put(field: Number, value: float) -> None:
    """Set a number without telling."""
    field.blockSignals(True)
    field.setValue(value)
    field.blockSignals(False)
