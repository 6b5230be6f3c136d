"""The gallery: random faces without end, axes of Z, strips over psi, the faces at zero, neighbours."""

from __future__ import annotations

import random
from functools import partial
from typing import ClassVar

import numpy as np
from PySide6.QtCore import Qt, QTimer
from PySide6.QtGui import QResizeEvent
from PySide6.QtWidgets import (
    QButtonGroup,
    QHBoxLayout,
    QLabel,
    QSizePolicy,
    QStackedWidget,
    QToolButton,
    QVBoxLayout,
    QWidget,
)

from facelab.jobs import Answer, Codes, GeneratorInfo, Pixels, Resolve
from facelab.latent.code import Code
from facelab.latent.expression import distance_in_sigmas
from facelab.latent.recipe import Recipe
from facelab.latent.spaces import layer_groups, psi_by_layer
from facelab.ui import theme
from facelab.ui.face_view import FaceView
from facelab.ui.grid import Drawer, FaceGrid, Matrix, side_for
from facelab.ui.numbers import Slider, ValueSlider, Whole
from facelab.ui.panels.faces import FacesPanel
from facelab.ui.session import Session, State, describe
from facelab.ui.widgets import EmptyState, heading, quiet, tool
from facelab.worker import Client

REST_MS = 200  # psi, noise and directions are dragged in small steps; the faces follow when they rest
SEEDS = 10_000
ENDLESS = 2**31 - 1
PSIS = (-1.0, -0.5, 0.0, 0.25, 0.5, 0.75, 1.0, 1.5, 2.0)
NEIGHBOURS = 96
SMALLEST, LARGEST = 56, 200  # px, of a face
PAGES = {
    "random": ("Random", "Faces of seeds, one after the other, without end"),
    "axes": ("Axes of Z", "The faces on the axes of Z: one coordinate is 1, all others are 0"),
    "psi": ("ψ strips", "The current face over truncation psi, in all layers and group by group"),
    "zeros": ("Zeros", "The faces at z = 0, at w = 0, and the average face"),
    "near": ("Neighbours", "Faces around the current one, at a distance"),
}


class _Zero(QWidget):
    """One of the faces at zero, with its name and what it is."""

    def __init__(self, name: str, what: str) -> None:
        super().__init__()
        self.face = FaceView(name)
        self.face.setMinimumSize(96, 96)
        self.title = heading(name)
        self.title.setAlignment(Qt.AlignmentFlag.AlignCenter)
        self.what = quiet(what, wrap=True)
        self.what.setAlignment(Qt.AlignmentFlag.AlignHCenter | Qt.AlignmentFlag.AlignTop)
        self.far = quiet("", small=True)
        self.far.setAlignment(Qt.AlignmentFlag.AlignCenter)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(theme.GRID)
        column.addWidget(self.face, 3)
        column.addWidget(self.title)
        column.addWidget(self.far)
        column.addWidget(self.what, 1)

    def resizeEvent(self, event: QResizeEvent) -> None:
        self.face.setMaximumHeight(min(self.width(), 320))  # square, so that its name stands close below
        super().resizeEvent(event)


class GalleryPanel(FacesPanel):
    """Faces to look through; a click takes one."""

    title: ClassVar[str] = "Gallery"
    area: ClassVar = "centre"
    hint: ClassVar[str] = "Random faces, axes of Z, strips over psi, the faces at zero, neighbours"
    keys: ClassVar = (
        ("Arrow keys, Enter", "Go through the faces, take one"),
        ("Right click on a face", "What can be done with it"),
    )

    def __init__(self, session: Session, client: Client) -> None:
        super().__init__(session, client)
        self._random = random.Random()
        self._sign = 1
        self._draw_seed = 0  # of the neighbours
        self._neighbours: tuple[Code, ...] = ()
        self._around: Recipe | None = None  # the face whose neighbours are shown
        self._template: str = ""
        self._placed: tuple[str, int | None] | None = None  # for which generator and class the faces at zero are
        self._zeros: dict[str, _Zero] = {}
        self.drawer = Drawer(client, self)
        self.drawer.failed.connect(self.say)
        self.drawer.drawn.connect(self._show_zero)
        self._rest = QTimer(self, singleShot=True, interval=REST_MS)
        self._rest.timeout.connect(self._follow)

        self.grids = {name: FaceGrid(PAGES[name][1], self.drawer) for name in ("random", "axes", "near")}
        self.strips = Matrix(PAGES["psi"][1], self.drawer, left=64, top=20)
        views: tuple[FaceGrid | Matrix, ...] = (*self.grids.values(), self.strips)
        for view in views:
            view.taken.connect(self.take)
            view.menu_wanted.connect(self.face_menu)
        self._waiting = EmptyState("faces", "Faces lie here as soon as the generator is loaded.")
        self._alone = EmptyState("face", "Take a face, then look around it here.")
        self.pages = QStackedWidget()
        widgets = {**self.grids, "psi": self.strips, "zeros": self._build_zeros()}
        self._places = {name: self.pages.addWidget(widgets[name]) for name in PAGES}
        self._places["waiting"] = self.pages.addWidget(self._waiting)
        self.body.addLayout(self._bar())
        self.body.addWidget(self.pages, 1)
        self._page = "random"
        session.changed.connect(self._changed)
        session.generator_changed.connect(self._generator_changed)
        self._generator_changed(session.generator)

    # -- what stands above --
    def _bar(self) -> QHBoxLayout:
        row = QHBoxLayout()
        row.setContentsMargins(theme.GRID, 4, theme.GRID, 4)
        row.setSpacing(4)
        self.choices = QButtonGroup(self)
        for index, (name, (text, hint)) in enumerate(PAGES.items()):
            choice = QToolButton(text=text, checkable=True, toolTip=hint, accessibleName=text)
            choice.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
            choice.setChecked(name == "random")
            self.choices.addButton(choice, index)
            row.addWidget(choice)
        self.choices.idClicked.connect(lambda index: self.show_page(list(PAGES)[index]))
        row.addSpacing(4)
        self._tools: dict[str, QWidget] = {
            "random": self._random_tools(),
            "axes": self._axes_tools(),
            "near": self._near_tools(),
        }
        for widget in self._tools.values():
            row.addWidget(widget, 1)
            widget.hide()
        self._filler = QWidget()
        row.addWidget(self._filler, 1)
        self.larger = Slider()
        self.larger.setRange(SMALLEST, LARGEST)
        self.larger.setFixedWidth(64)
        self.larger.setAccessibleName("Size of the faces")
        self.larger.setToolTip("Size of the faces; double-click for the usual one")
        self.larger.setSingleStep(8)
        self.larger.setPageStep(32)
        self.larger.origin = SMALLEST
        self.larger.setValue(96)
        self.larger.reset.connect(lambda: self.larger.setValue(96))
        self.larger.valueChanged.connect(self._resize)
        row.addWidget(self.larger)
        return row

    def _tool_row(self, *widgets: QWidget) -> QWidget:
        made = QWidget()
        row = QHBoxLayout(made)
        row.setContentsMargins(0, 0, 0, 0)
        row.setSpacing(4)
        for widget in widgets:
            row.addWidget(widget)
        row.addStretch(1)
        return made

    def _random_tools(self) -> QWidget:
        self.first = Whole()
        self.first.setRange(0, ENDLESS)
        self.first.setFixedWidth(72)
        self.first.setAccessibleName("First seed")
        self.first.setToolTip("The seed of the first face")
        self.first.valueChanged.connect(lambda _: self._show_random())
        return self._tool_row(
            quiet("from seed"), self.first, tool("Other seeds", "shuffle", self.shuffle, tip="Begin at another seed")
        )

    def _axes_tools(self) -> QWidget:
        signs = QButtonGroup(self)
        made: list[QWidget] = [quiet("coordinate")]
        for text, sign in (("+1", 1), ("−1", -1)):
            choice = QToolButton(text=text, checkable=True, accessibleName=f"Coordinate {text}")
            choice.setToolTip(f"The coordinate is {text}")
            choice.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
            choice.setChecked(sign == 1)
            choice.clicked.connect(partial(self._set_sign, sign))
            signs.addButton(choice)
            made.append(choice)
        return self._tool_row(*made)

    def _near_tools(self) -> QWidget:
        self.radius = ValueSlider(
            "Radius", 0.0, 2.0, 0.5, step=0.05, label="", reach=(0.0, 20.0),
            tip="How far from the current face, in σ: 1 is how far a face lies from the average",
        )  # fmt: skip
        self.radius.number.setSuffix(" σ")
        self.radius.number.setFixedWidth(68)
        self.radius.setMinimumWidth(140)
        self.radius.setMaximumWidth(260)
        self.radius.changed.connect(lambda _: self._show_near())
        return self._tool_row(
            self.radius, tool("Other neighbours", "shuffle", self._other_neighbours, tip="Others at the same distance")
        )

    # -- what is shown --
    @property
    def page(self) -> str:
        return self._page

    def show_page(self, name: str) -> None:
        """One of `PAGES`."""
        self._page = name
        self.choices.button(list(PAGES).index(name)).setChecked(True)
        for key, widget in self._tools.items():
            widget.setVisible(key == name)
        self._filler.setVisible(name not in self._tools)
        self.larger.setVisible(name in self.grids)
        ready = self.session.generator is not None and self.session.state.recipe is not None
        self.pages.setCurrentIndex(self._places[name if ready else "waiting"])
        self._follow()

    def _generator_changed(self, info: GeneratorInfo | None) -> None:
        self.setEnabled(info is not None)
        self.drawer.forget()
        self._around, self._neighbours, self._template = None, (), ""
        resolution = 0 if info is None else info.resolution
        for grid in self.grids.values():
            grid.resolution = resolution
        self.strips.resolution = resolution
        if info is not None:
            self._show_random()
            self._show_axes()
        self.show_page(self._page)

    def _changed(self, after: State, before: State) -> None:
        for grid in self.grids.values():
            grid.set_current(after.recipe)
        if after.recipe is not before.recipe:
            self._rest.start()

    def _follow(self) -> None:
        """Show what belongs to the current face and its psi, noise and directions, on the page that is seen."""
        now, info = self.session.state.recipe, self.session.generator
        if now is None or info is None or now.generator != info.sha256:
            return
        if self.pages.currentIndex() == self._places["waiting"]:
            self.show_page(self._page)
            return
        worn = f"{self.session.label} {_worn(now)}"
        if worn != self._template:
            self._template = worn
            self.grids["random"].refresh()
            self.grids["axes"].refresh()
        if (info.sha256, self.session.label) != self._placed:
            self._placed = (info.sha256, self.session.label)
            self._place_zeros(info)
        for grid in self.grids.values():
            grid.set_current(now)
        if self._page == "psi":
            self._show_strips(now, info)
        elif self._page == "near":
            self._ask_neighbours(now)
        elif self._page == "zeros":
            self._draw_zeros()

    def _resize(self, side: int) -> None:
        for grid in self.grids.values():
            grid.set_side(side)

    # -- random --
    def _show_random(self) -> None:
        first = self.first.value()
        self.grids["random"].show_faces(
            lambda row: self.session.of_seed(first + row), lambda row: f"{first + row}", ENDLESS - first
        )

    def shuffle(self) -> None:
        """Begin at another seed."""
        self.first.setValue(self._random.randrange(SEEDS))

    # -- axes --
    def _show_axes(self) -> None:
        info = self.session.generator
        if info is not None:
            self.grids["axes"].show_faces(self._axis, lambda row: f"z{row}", info.z_dim)

    def _axis(self, row: int) -> Recipe | None:
        info = self.session.generator
        if info is None:
            return None
        z = np.zeros(info.z_dim, np.float32)
        z[row] = self._sign
        name = f"{'−' if self._sign < 0 else ''}z{row}"
        return self.session.dressed(
            Code(array=z, space="z", generator=info.sha256, origin={"name": name}, label=self.session.label)
        )

    def _set_sign(self, sign: int) -> None:
        self._sign = sign
        self.grids["axes"].refresh()

    # -- psi --
    def _show_strips(self, now: Recipe, info: GeneratorInfo) -> None:
        groups = {"all layers": range(info.num_ws)} | {
            k: v for k, v in layer_groups(info.family, info.num_ws).items() if v
        }
        base = psi_by_layer(now.psi, info.num_ws, now.cutoff)
        faces = []
        for rows in groups.values():
            line = []
            for psi in PSIS:
                values = base.copy()
                values[rows.start : rows.stop] = psi
                by_layer = tuple(round(float(v), 6) for v in values)
                line.append(now.change(psi=by_layer[:1] if len(set(by_layer)) == 1 else by_layer, cutoff=None))
            faces.append(line)
        names = list(groups)
        if len(self.strips.cells) != len(groups):
            self.strips.set_heads(
                [_head(f"{psi:g}".replace("-", "−")) for psi in PSIS], [_head(name) for name in names]
            )
        self.strips.fill(faces, lambda row, column: f"psi {PSIS[column]:g} in {names[row]}")

    # -- zeros --
    def _build_zeros(self) -> QWidget:
        page = QWidget()
        row = QHBoxLayout(page)
        row.setContentsMargins(*(2 * theme.GRID,) * 4)
        row.setSpacing(3 * theme.GRID)
        for name, what in (
            ("z = 0", "The middle of Z. The mapping network brings every z to one length, but 0 has no direction: it is a face of its own."),
            ("w = 0", "The origin of W: what the layers draw when no style asks anything of them."),
            ("w_avg", "The mean of W, the average face. ψ = 0 brings every face here, and ψ below 0 beyond it."),
        ):  # fmt: skip
            made = self._zeros[name] = _Zero(name, what)
            made.face.clicked.connect(partial(self._take_zero, made))
            self.strips.give_menu(made.face)
            row.addWidget(made, 1)
        return page

    def _place_zeros(self, info: GeneratorInfo) -> None:
        label = self.session.label
        zero = np.zeros(info.w_dim, np.float32)
        codes = {
            "z = 0": Code(array=np.zeros(info.z_dim, np.float32), space="z", generator=info.sha256, origin={"name": "z = 0"}, label=label),
            "w = 0": Code(array=zero, space="w", generator=info.sha256, origin={"name": "w = 0"}),
            "w_avg": Code(array=info.w_avg, space="w", generator=info.sha256, origin={"name": "w_avg"}),
        }  # fmt: skip
        for name, code in codes.items():
            self._zeros[name].face.set_face(Recipe.of(code), self.drawer.pixels(Recipe.of(code)))
            self._zeros[name].face.setToolTip(f"{name}: click to take, drag to use")
        self._zeros["w_avg"].far.setText("0 σ")
        self._zeros["w = 0"].far.setText(self._far(zero, info))
        ticket = self.submit(Resolve(recipes=(Recipe.of(codes["z = 0"]),)))
        ticket.answered.connect(partial(self._zero_resolved, info))

    def _far(self, ws: object, info: GeneratorInfo) -> str:
        return f"{distance_in_sigmas(ws, info.w_avg, info.w_std):.2f} σ from the average"  # type: ignore[arg-type]

    def _zero_resolved(self, info: GeneratorInfo, answer: Answer) -> None:
        if isinstance(answer, Codes):
            self._zeros["z = 0"].far.setText(self._far(answer.codes[0].array, info))

    def _draw_zeros(self) -> None:
        info = self.session.generator
        if info is not None:
            side = max(zero.face.width() for zero in self._zeros.values()) * self.devicePixelRatioF()
            faces = [zero.face.recipe for zero in self._zeros.values() if zero.face.recipe is not None]
            self.drawer.want(faces, side_for(side, info.resolution))

    def _show_zero(self, recipe: Recipe, pixels: Pixels) -> None:
        for zero in self._zeros.values():
            if zero.face.recipe == recipe:
                zero.face.set_pixels(pixels)

    def _take_zero(self, zero: _Zero) -> None:
        if zero.face.recipe is not None:
            self.take(zero.face.recipe)

    # -- neighbours --
    def _other_neighbours(self) -> None:
        self._draw_seed = self._random.randrange(2**31)
        now = self.session.state.recipe
        if now is not None:
            self._ask_neighbours(now, other=True)

    def _ask_neighbours(self, now: Recipe, *, other: bool = False) -> None:
        """Have the current face, and the random ones that say where its neighbours lie, worked out."""
        if not other and (now == self._around or now in self._near_recipes()):
            return  # a neighbour that was taken leaves the others where they are
        self._around = now
        info = self.session.generator
        assert info is not None
        drawn = np.random.RandomState(self._draw_seed).randn(NEIGHBOURS, info.z_dim).astype(np.float32)
        others = [
            Recipe.of(Code(array=z, space="z", generator=info.sha256, label=self.session.label)) for z in drawn
        ]  # fmt: skip
        ticket = self.submit(Resolve(recipes=(now, *others)))
        ticket.answered.connect(partial(self._neighbours_resolved, now))

    def _neighbours_resolved(self, around: Recipe, answer: Answer) -> None:
        if isinstance(answer, Codes) and around == self._around:
            self._neighbours = answer.codes
            self._show_near()

    def _near_recipes(self) -> list[Recipe]:
        grid = self.grids["near"].faces
        return [recipe for row in range(grid.rowCount()) if (recipe := grid.recipe(row)) is not None]

    def _show_near(self) -> None:
        if not self._neighbours or self._around is None:
            return
        grid = self.grids["near"]
        if grid.faces.rowCount() == NEIGHBOURS:
            grid.refresh()
        else:
            grid.show_faces(self._near, lambda row: f"{row + 1}", NEIGHBOURS)

    def _near(self, row: int) -> Recipe | None:
        """The current face, moved the way in which a random face lies from the average, so far as the radius says."""
        info, around = self.session.generator, self._around
        if info is None or around is None or not self._neighbours:
            return None
        way = self._neighbours[1 + row].array.mean(0).astype(np.float64) - info.w_avg
        length = float(np.sqrt(np.mean(way**2)))
        step = way * (self.radius.value * info.w_std / length) if length > 0 else way
        code = Code(
            array=self._neighbours[0].array + step.astype(np.float32), space="w+", generator=info.sha256,
            origin={"name": f"{self.radius.value:g} σ from {describe(around)}"[:200]},
            noise=self._neighbours[0].noise if around.noise.mode == "own" else None,
        )  # fmt: skip
        return around.change(sources=(code,), weights=(), psi=(1.0,), cutoff=None, directions=())


def _worn(recipe: Recipe) -> str:
    """What random faces take over from the current one, as a digest."""
    marker = Code(array=np.ones(1, np.float32), space="w", generator=recipe.generator)
    return recipe.change(sources=(marker,), weights=()).digest


def _head(text: str) -> QLabel:
    label = quiet(text, small=True)
    label.setAlignment(Qt.AlignmentFlag.AlignCenter)
    label.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Ignored)
    return label
