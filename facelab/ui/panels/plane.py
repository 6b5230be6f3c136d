"""The plane of faces: three faces span it, every point of it is a face."""

from __future__ import annotations

import contextlib
import math
import random
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import ClassVar, Literal, cast

import numpy as np
from PySide6.QtCore import QPoint, Qt, QTimer
from PySide6.QtGui import QAction, QActionGroup, QKeyEvent
from PySide6.QtWidgets import (
    QButtonGroup,
    QHBoxLayout,
    QInputDialog,
    QMenu,
    QToolButton,
)

from facelab.errors import FacelabError
from facelab.jobs import (
    Answer,
    Codes,
    Directions,
    FindDirections,
    GeneratorInfo,
    Images,
    RenderTiles,
    Resolve,
    Thumbnails,
    Tiles,
)
from facelab.latent.code import Code, Direction, Space
from facelab.latent.plane import Lattice, Plane
from facelab.latent.recipe import Recipe
from facelab.settings import Settings
from facelab.ui.canvas import FAR, MOST_TILES, Camera, Cell, Point
from facelab.ui.dialogs import ExportMorphDialog, ExportPlaneDialog
from facelab.ui.dragging import recipe_mime, start_drag
from facelab.ui.panels.faces import FacesPanel
from facelab.ui.pixels import pixmap_of
from facelab.ui.plane_view import CORNERS, HOME, Field, PlaneView, angles, distances, stations
from facelab.ui.session import SEEDS, Session, State, describe
from facelab.ui.widgets import button, quiet, tool
from facelab.worker import Client, Ticket

REQUEST_MS = 30  # movements of the camera within this make one request
WORLD_MS = 200  # psi, noise and directions are dragged in small steps; the plane follows when they rest
OVERLAYS = {"": "No overlay", "average": "Distance from the average face", "current": "Distance from the current face"}
SPACES: Mapping[Space, str] = {
    "z": "Mix the faces before the mapping network, on the sphere: every point is as likely a face as any other",
    "w": "Mix the faces after the mapping network: straighter ways from face to face",
    "w+": "Mix layer by layer: for faces whose layers differ, and directions that move some layers only",
}
World = tuple[str, ...]  # digests of all that tiles depend on; empty before anything can be drawn


@dataclass(frozen=True)
class _Asked:
    """The tiles that were asked for last."""

    ticket: Ticket
    world: World
    cells: frozenset[Cell]
    step: float
    resolution: int

    def covers(self, world: World, cells: tuple[Cell, ...], step: float, resolution: int) -> bool:
        same = (self.world, self.step, self.resolution) == (world, step, resolution)
        return same and self.cells.issuperset(cells)


@dataclass(frozen=True, eq=False)
class _Spanning:
    """Anchors that wait for their codes in W."""

    faces: Mapping[str, Recipe]
    directions: Mapping[str, Direction]
    text: str
    space: Literal["w", "w+"] | None


class PlanePanel(FacesPanel):
    """The endless plane: click takes a face, Shift-drag moves through, faces dropped on the anchors span it anew."""

    title: ClassVar[str] = "Plane"
    area: ClassVar = "centre"
    hint: ClassVar[str] = "An endless plane of faces, spanned by three"
    keys: ClassVar = (
        ("Drag, arrow keys", "Move the plane"),
        ("Wheel, pinch, + and −", "Zoom"),
        ("Click, Enter", "Take the face"),
        ("Double-click", "Bring that face to the middle"),
        ("Shift and drag", "Move the current face through the plane"),
        ("Ctrl and drag", "Take that face to a slot, the library, another program"),
        ("Right click", "All that can be done with a face"),
        ("Ctrl and arrow keys", "Step the current face by one tile"),
        ("Drag an anchor", "Put it elsewhere, or use its face"),
        ("Home", "Back to the three faces"),
        ("R", "Three random seeds"),
    )

    def __init__(self, session: Session, client: Client) -> None:
        super().__init__(session, client)
        self._random = random.Random()
        self._asked: _Asked | None = None
        self._spanning: _Spanning | None = None
        self._world: World = ()
        self.view = PlaneView(self)
        self._soon = QTimer(self, interval=REQUEST_MS, singleShot=True)
        self._soon.timeout.connect(self._request)
        self._later = QTimer(self, interval=WORLD_MS, singleShot=True)
        self._later.timeout.connect(self._new_world)
        self.body.addLayout(self._bar())
        self.body.addWidget(self.view, 1)

        view = self.view
        view.camera_moved.connect(self._camera_moved)
        view.clicked.connect(self._take)
        view.double_clicked.connect(self._centre_on)
        view.scrub.connect(self._scrub)
        view.drawn.connect(self._draw)
        view.anchor_dropped.connect(self.set_anchor)
        view.direction_dropped.connect(self.set_axis)
        view.anchor_moved.connect(self._move_anchor)
        view.anchor_taken.connect(self._take_anchor)
        view.menu_wanted.connect(self._menu)
        view.stepped.connect(self._step)
        view.dragged_out.connect(self._drag_out)
        view.take_middle.connect(lambda: self._take(view.camera.u, view.camera.v))
        session.changed.connect(self._changed)
        session.generator_changed.connect(self._generator_changed)
        session.settings_changed.connect(self._set_tile)
        self._set_tile(session.settings)
        self._generator_changed(session.generator)
        self._changed(session.state, State())

    def _bar(self) -> QHBoxLayout:
        row = QHBoxLayout()
        row.setContentsMargins(8, 4, 8, 4)
        row.setSpacing(4)
        self.shuffle_button = button(
            "Three random seeds", self.shuffle, icon="shuffle", tip="Span the plane by three new faces (R)"
        )
        row.addWidget(self.shuffle_button)
        others = tool("Other planes", "down", tip="Other ways to span the plane")
        menu = QMenu(others)
        for text, preset in (
            ("This face and two random ones", self.around_current),
            ("Two principal components around this face", self.along_components),
            ("Two saved directions around this face", self.along_saved),
            ("All seeds, side by side", self.all_seeds),
        ):
            menu.addAction(text, preset)
        others.setMenu(menu)
        others.setPopupMode(QToolButton.ToolButtonPopupMode.InstantPopup)
        row.addWidget(others)
        row.addSpacing(8)
        row.addWidget(quiet("Space"))
        self.spaces = QButtonGroup(self)
        for index, (space, hint) in enumerate(SPACES.items()):
            choice = QToolButton(
                text=space.upper(), checkable=True, toolTip=hint, accessibleName=f"Space {space.upper()}"
            )
            choice.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
            choice.setMinimumWidth(28)
            self.spaces.addButton(choice, index)
            row.addWidget(choice)
        self.spaces.idClicked.connect(lambda index: self.set_space(list(SPACES)[index]))
        row.addStretch(1)
        overlays = tool("Overlay", "chart", tip="Write a measure on every face")
        menu = QMenu(overlays)
        self.overlays = QActionGroup(menu)
        for name, text in OVERLAYS.items():
            choosing = menu.addAction(text)
            choosing.setCheckable(True)
            choosing.setChecked(not name)
            choosing.setData(name)
            self.overlays.addAction(choosing)
        self.overlays.triggered.connect(self._choose_field)
        overlays.setMenu(menu)
        overlays.setPopupMode(QToolButton.ToolButtonPopupMode.InstantPopup)
        row.addWidget(overlays)
        self.path_button = tool(
            "Draw a path", "film", tip="Draw a path over the faces; it becomes a morph", checkable=True
        )
        self.path_button.toggled.connect(self._draw_paths)
        row.addWidget(self.path_button)
        for icon, name, tip, action in (
            (
                "fit",
                "Back to the three faces",
                "Back to the three faces (Home)",
                lambda: self.view.look(HOME, glide=True),
            ),
            ("export", "Export plane", "Export what is seen as one picture with labelled axes…", self._export),
        ):
            row.addWidget(tool(name, icon, action, tip=tip))
        return row

    # -- what is shown ------------------------------------------------------------------------------------------------------
    def _set_tile(self, settings: Settings) -> None:
        if self.view.tile != settings.plane_tile:
            self.view.tile = settings.plane_tile
            self.view.update()
            self._camera_moved()

    def _generator_changed(self, info: GeneratorInfo | None) -> None:
        self.view.resolution = 0 if info is None else info.resolution
        self.view.forget()
        self._world, self._asked = (), None
        self.setEnabled(info is not None)

    def _changed(self, after: State, before: State) -> None:
        plane, info = after.plane, self.session.generator
        fits = plane is not None and info is not None and plane.generator == info.sha256
        if not fits:
            self.view.waiting = "Opening the generator…" if info is None else "This plane belongs to another generator"
            if self.view.recipes:
                self.view.recipes, self.view.faces, self.view.names, self.view.cross = {}, {}, {}, None
                self.view.update()
            return
        if not self._world or before.plane is not after.plane:
            self._new_world()
        elif before.recipe is not after.recipe:
            self._later.start()
        self._place_cross()

    def _template(self) -> Recipe | None:
        plane = self.session.state.plane
        return None if plane is None else self.session.dressed(plane.origin)

    def _new_world(self) -> None:
        """Draw all anew where the anchors, psi, noise or directions are other than what is drawn now."""
        plane, template, info = self.session.state.plane, self._template(), self.session.generator
        if plane is None or template is None or info is None or plane.generator != info.sha256:
            return
        world = (plane.digest, template.digest)
        if world == self._world:
            return
        other_plane = not self._world or self._world[0] != plane.digest
        self._world, self._asked = world, None
        self.view.new_world()
        self.view.lattice = plane if isinstance(plane, Lattice) else None
        self.view.names = {n: _name(end) for n, end in zip(CORNERS, (plane.origin, plane.x, plane.y), strict=True)}
        self.view.recipes = {name: self.session.dressed(plane.at(*at)) for name, at in CORNERS.items()}
        if other_plane:
            self.view.faces = {}
        self._show_spaces(info)
        ticket = self.client.submit(
            Thumbnails(recipes=tuple(self.view.recipes.values()), resolution=min(64, info.resolution))
        )
        ticket.answered.connect(self._show_anchors)
        ticket.failed.connect(self.say)
        self._soon.start()

    def _show_spaces(self, info: GeneratorInfo) -> None:
        plane = self.session.state.plane
        if plane is None:
            return
        ends = (plane.origin, plane.x, plane.y)
        lost: dict[str, str] = {}
        if any(_as_z(end, info) is None for end in ends):
            lost["z"] = "Only faces that come from seeds have a place in Z"
        if not all(map(_flat, ends)):
            lost["w"] = "W has one code for all layers; the layers of these faces, or of this direction, differ"
        for index, name in enumerate(SPACES):
            choice = self.spaces.button(index)
            choice.setEnabled(name not in lost)
            choice.setToolTip(lost.get(name, SPACES[name]))
            choice.setChecked(name == plane.space)

    def _show_anchors(self, answer: Answer) -> None:
        job = cast(Thumbnails, cast(Ticket, self.sender()).job)
        if isinstance(answer, Images) and job.recipes == tuple(self.view.recipes.values()):
            self.view.faces = {name: pixmap_of(p) for name, p in zip(CORNERS, answer.pixels, strict=False)}
            self.view.update()

    def _choose_field(self, chosen: QAction) -> None:
        self._show_field()
        plane, name = self.session.state.plane, chosen.data()
        if not name or self.view.field is not None or plane is None:
            self.unsay()
        elif name == "average":
            self.say("in Z all points are alike; go to W to see how far faces lie from the average one")
        else:
            here = plane.space.upper()
            self.say(
                f"the current face is not of {here}, where this plane lies: click a face of the plane to measure from it"
            )

    def _show_field(self) -> None:
        """The overlay that is chosen, for this plane and this face."""
        chosen = self.overlays.checkedAction()
        field = self._field("" if chosen is None else chosen.data())
        if field is not None or self.view.field is not None:
            self.view.field = field
            self.view.update()

    def _field(self, name: str) -> Field | None:
        plane, recipe, info = self.session.state.plane, self.session.state.recipe, self.session.generator
        if not name or plane is None or info is None or plane.generator != info.sha256:
            return None
        flat = plane if isinstance(plane, Plane) and plane.space != "z" else None
        if name == "average":
            return None if flat is None else distances(flat, info.w_avg, info.w_std)
        code = None if recipe is None else recipe.sources[0]
        if code is None or code.generator != plane.generator or (code.space == "z") != (flat is None):
            return None  # their distance has no meaning
        return angles(plane, code.array) if flat is None else distances(flat, code.array, info.w_std)

    def _place_cross(self) -> None:
        self._show_field()
        plane, recipe = self.session.state.plane, self.session.state.recipe
        cross, on_plane = None, True
        if plane is not None and recipe is not None:
            code = recipe.sources[0]
            # A seed that was mapped to span the plane has its place there, though its own code lies in Z.
            for name, end in zip(CORNERS, (plane.origin, plane.x, plane.y), strict=True):
                if isinstance(end, Code) and "seed" in code.origin and end.origin.get("seed") == code.origin["seed"]:
                    cross, on_plane = CORNERS[name], len(recipe.sources) == 1
            with contextlib.suppress(FacelabError):  # a face that has no place here
                u, v = plane.coordinates(code)
                if abs(u) < FAR and abs(v) < FAR:
                    away = float(abs(plane.at(u, v).array - code.array).max())
                    cross, on_plane = (u, v), away < 1e-3 and len(recipe.sources) == 1
        if (cross, on_plane) != (self.view.cross, self.view.cross_on_plane):
            self.view.cross, self.view.cross_on_plane = cross, on_plane
            self.view.update()

    # -- tiles ----------------------------------------------------------------------------------------------------------------
    def _camera_moved(self) -> None:
        if not self._soon.isActive():
            self._soon.start()

    def _request(self) -> None:
        """Ask for the tiles that are missing, unless a job under way brings them or the same job has failed."""
        plane, template, wanted = self.session.state.plane, self._template(), self.view.wanted()
        if wanted is None or plane is None or template is None or not self._world:
            return
        cells, step, resolution = wanted
        asked = self._asked
        if asked is not None and asked.covers(self._world, cells, step, resolution):
            return
        job = RenderTiles(plane=plane, template=template, cells=cells, step=step, resolution=resolution, lane="plane")
        ticket = self.client.submit(job)
        self._asked = _Asked(ticket, self._world, frozenset(cells), step, resolution)
        ticket.answered.connect(self._show_tiles)
        ticket.failed.connect(self.say)
        ticket.closed.connect(self._tiles_closed)

    def _show_tiles(self, answer: Answer) -> None:
        job = cast(RenderTiles, cast(Ticket, self.sender()).job)
        if isinstance(answer, Tiles) and (job.plane.digest, cast(Recipe, job.template).digest) == self._world:
            self.view.put(answer.cells, job.step, answer.pixels, answer.resolution)

    def _tiles_closed(self, end: str) -> None:
        if self._asked is not None and self.sender() is self._asked.ticket and end != "failed":
            self._asked = None
            self._request()  # the next resolution, or what came into view meanwhile

    # -- what a person does -----------------------------------------------------------------------------------------------------
    def _take(self, u: float, v: float) -> None:
        plane = self.session.state.plane
        if plane is not None:
            self.session.take_code(plane.at(*self.view.snapped(u, v)))

    def _drag_out(self, u: float, v: float) -> None:
        plane = self.session.state.plane
        if plane is not None:
            start_drag(self.view, recipe_mime(self.session.dressed(plane.at(u, v))), self.view.picture(u, v))

    def _take_anchor(self, name: str) -> None:
        plane = self.session.state.plane
        if plane is not None:
            self.session.take_code(plane.at(*CORNERS[name]))
            u, v = self.view.camera.screen(*CORNERS[name], self.view.width(), self.view.height())
            if not self.view.rect().contains(round(u), round(v)):
                self._centre_on(*CORNERS[name])

    def _centre_on(self, u: float, v: float) -> None:
        u, v = self.view.snapped(u, v)
        self.view.look(self.view.camera.at(u, v), glide=True)

    def _scrub(self, u: float, v: float, phase: str) -> None:
        plane = self.session.state.plane
        if phase == "press":
            self.session.begin_drag()
        if plane is not None:
            self.session.take_code(plane.at(u, v), "Move through the plane")
        if phase == "release":
            self.session.end_drag()

    def _step(self, i: int, j: int) -> None:
        """Move the current face by one tile; keys that follow one another quickly are one step of undo."""
        plane, cross = self.session.state.plane, self.view.cross
        if plane is None:
            return
        u, v = self.view.snapped(*(cross or (self.view.camera.u, self.view.camera.v)))
        step = self.view.step
        self.session.take_code(plane.at(u + i * step, v + j * step), "Step through the plane", merge="plane step")

    def shuffle(self) -> None:
        """Three faces of random seeds, in Z."""
        info = self.session.generator
        if info is None:
            return
        label = self.session.label
        seeds = self._random.sample(range(SEEDS), 3)
        origin, x, y = (Code.from_seed(seed, info.z_dim, info.sha256, label) for seed in seeds)
        self.session.edit("Three random seeds", plane=Plane(origin=origin, x=x, y=y))
        self.view.look(HOME, glide=True)

    def all_seeds(self) -> None:
        """The lattice of all seeds, from the current face's on."""
        info, recipe = self.session.generator, self.session.state.recipe
        if info is None:
            return
        seed = None if recipe is None else recipe.sources[0].origin.get("seed")
        first = seed if type(seed) is int and 0 <= seed < 2**31 else 0
        lattice = Lattice(first=first, z_dim=info.z_dim, generator=info.sha256, label=self.session.label)
        self.session.edit("All seeds", plane=lattice)
        view = self.view
        # So near that every tile is a seed of its own.
        scale = 1.25 * max(view.tile / 1.2, math.sqrt(view.width() * view.height() / MOST_TILES))
        view.look(Camera(0.0, 0.0, scale), glide=True)

    def set_space(self, space: Space) -> None:
        """Mix in Z, in W, or layer by layer in W+, with the same three faces."""
        plane, info = self.session.state.plane, self.session.generator
        if plane is None or info is None or plane.space == space:
            return
        if space == "z":
            ends = [_as_z(end, info) for end in (plane.origin, plane.x, plane.y)]
            if all(end is not None for end in ends):
                origin, x, y = cast(list[Code], ends)
                self.session.edit("Plane in Z", plane=Plane(origin=origin, x=x, y=y))
        else:
            self._span(self._ends(), f"Plane in {space.upper()}", space=space)

    def _ends(self) -> dict[str, Code | Direction | Recipe]:
        """What spans the plane now, by the names of the anchors."""
        plane = self.session.state.plane
        return {} if plane is None else {"origin": plane.origin, "x": plane.x, "y": plane.y}

    def set_anchor(self, name: str, recipe: Recipe) -> None:
        """Put a face on "origin", "x" or "y"."""
        plane, info = self.session.state.plane, self.session.generator
        if plane is None or info is None:
            return
        if recipe.generator != info.sha256:
            self.say(f"This face was made by another generator than {info.name}; open that one to use it here.")
            return
        self._span(self._ends() | {name: self._bare(recipe)}, f"Face on {name}")

    def _bare(self, recipe: Recipe) -> Code | Recipe:
        """A face as an anchor. What only psi and directions add, and the plane adds too, is left to the plane."""
        worn = len(recipe.sources) == 1 and self.session.dressed(recipe.sources[0]).digest == recipe.digest
        return recipe.sources[0] if worn or recipe == Recipe.of(recipe.sources[0]) else recipe

    def set_axis(self, name: str, direction: Direction) -> None:
        """Make a direction the "x" or "y" axis; one step of the plane is one sigma of it."""
        plane, info = self.session.state.plane, self.session.generator
        if plane is None or info is None:
            return
        if direction.generator != info.sha256:
            self.say(f"this direction belongs to another generator than {info.name}; open that one to use it here")
            return
        self._span(self._ends() | {name: direction}, f"{direction.name} on {name}")

    def _move_anchor(self, name: str, u: float, v: float) -> None:
        plane = self.session.state.plane
        if plane is None:
            return
        self._span(self._ends() | {name: plane.at(u, v)}, f"Move {name}")

    def _span(
        self, ends: Mapping[str, Code | Direction | Recipe], text: str, *, space: Literal["w", "w+"] | None = None
    ) -> None:
        """Make these the plane, in ``space``, else in that which they share; faces of different spaces are mapped, on the worker."""
        spaces = {end.space for end in ends.values() if isinstance(end, Code)}
        others = [end for end in ends.values() if not isinstance(end, Code)]
        if len(spaces) == 1 and not others and (space is None or spaces == {space}):
            self._edit_plane(text, cast(Mapping[str, Code | Direction], ends))
            return
        faces = {
            n: e if isinstance(e, Recipe) else Recipe.of(e) for n, e in ends.items() if not isinstance(e, Direction)
        }
        asked = _Spanning(faces, {n: e for n, e in ends.items() if isinstance(e, Direction)}, text, space)
        self._spanning = asked
        self.submit(Resolve(recipes=tuple(faces.values())), partial(self._resolved, asked))

    def _resolved(self, asked: _Spanning, answer: Answer) -> None:
        info = self.session.generator
        if not isinstance(answer, Codes) or asked is not self._spanning:
            return  # another plane was asked for since
        if info is None or any(code.generator != info.sha256 for code in answer.codes):
            return  # another generator was opened since
        ends: dict[str, Code | Direction] = dict(asked.directions)
        each: list[Code | Direction] = [*answer.codes, *asked.directions.values()]
        level = asked.space != "w+" and all(map(_flat, each))
        for (name, recipe), code in zip(asked.faces.items(), answer.codes, strict=True):
            origin = recipe.sources[0].origin if len(recipe.sources) == 1 else {"name": describe(recipe)}
            ends[name] = replace(code, origin=origin, noise=None)
            if level and code.space == "w+":
                ends[name] = Code(array=code.array[0], space="w", generator=code.generator, origin=origin)
        self._edit_plane(asked.text, ends)

    def _edit_plane(self, text: str, ends: Mapping[str, Code | Direction]) -> None:
        try:
            plane = Plane(origin=cast(Code, ends["origin"]), x=ends["x"], y=ends["y"])
        except FacelabError as error:
            self.say(error)
            return
        self.unsay()
        self.session.edit(text, plane=plane)

    def around_current(self) -> None:
        """The current face and two random ones."""
        recipe, info = self.session.state.recipe, self.session.generator
        if recipe is None or info is None:
            return
        label = self.session.label
        x, y = (Code.from_seed(s, info.z_dim, info.sha256, label) for s in self._random.sample(range(SEEDS), 2))
        self._span({"origin": self._bare(recipe), "x": x, "y": y}, "This face and two random ones")
        self.view.look(HOME, glide=True)

    def along_components(self) -> None:
        """The current face, and the two directions in which W spreads most."""
        info = self.session.generator
        if info is not None:
            self.submit(FindDirections(generator=info.sha256, method="pca", count=2), self._components)

    def _components(self, answer: Answer) -> None:
        if isinstance(answer, Directions) and len(answer.directions) > 1:
            self._along(answer.directions[0], answer.directions[1], "Two principal components")

    def along_saved(self) -> None:
        """The current face, and the first two directions that the project keeps."""
        info = self.session.generator
        if info is None:
            return
        try:
            saved = self.session.project.directions(info.sha256)
        except FacelabError as error:
            self.say(error)
            return
        if len(saved) < 2:
            self.say("save two directions first, in the panel Directions")
        else:
            self._along(saved[0], saved[1], f"{saved[0].name} and {saved[1].name}")

    def _along(self, x: Direction, y: Direction, text: str) -> None:
        recipe = self.session.state.recipe
        if recipe is not None and recipe.generator == x.generator:
            self._span({"origin": self._bare(recipe), "x": x, "y": y}, text)
            self.view.look(Camera(0.0, 0.0, HOME.scale / 2), glide=True)

    # -- paths ------------------------------------------------------------------------------------------------------------------
    def _draw_paths(self, on: bool) -> None:
        self.view.drawing = on
        self.view.path = []
        self.view.update()

    def _draw(self, u: float, v: float, phase: str) -> None:
        if phase == "press":
            self.view.path = []
        self.view.path.append((u, v))
        self.view.update()
        if phase == "release":
            self._path_drawn()

    def path_keys(self) -> list[Recipe]:
        """The faces of the drawn path, about a tile apart."""
        plane = self.session.state.plane
        if plane is None or not self.view.path:
            return []
        return [self.session.dressed(plane.at(*at)) for at in stations(self.view.path, self.view.step)]

    def _path_drawn(self) -> None:
        keys = self.path_keys()
        if len(keys) > 1:
            ExportMorphDialog(self.session, self.client, keys, self).open()

    # -- keys, menu and export --------------------------------------------------------------------------------------------------------
    def keyPressEvent(self, event: QKeyEvent) -> None:
        # Not a shortcut: a letter that is typed elsewhere in the window is not meant for the plane.
        if event.key() == Qt.Key.Key_R and event.modifiers() == Qt.KeyboardModifier.NoModifier:
            self.shuffle()
        else:
            super().keyPressEvent(event)

    def _menu(self, name: str, point: Point, at: QPoint) -> None:
        plane = self.session.state.plane
        if name:
            menu = QMenu(self)
            menu.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
            menu.addAction(f"Take {self.view.names.get(name, name)}", partial(self._take_anchor, name))
            menu.addAction("Put the current face here", partial(self._use_current, name))
            menu.addAction("Seed…", partial(self._ask_seed, name))
            menu.popup(at)
        elif plane is not None:
            menu = self.menu_of(self.session.dressed(plane.at(*point)))
            menu.addSeparator()
            menu.addAction("Look here", partial(self._centre_on, *point))
            menu.popup(at)

    def _use_current(self, name: str) -> None:
        if self.session.state.recipe is not None:
            self.set_anchor(name, self.session.state.recipe)

    def _ask_seed(self, name: str) -> None:
        dialog = QInputDialog(self)
        dialog.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        dialog.setInputMode(QInputDialog.InputMode.IntInput)
        dialog.setIntRange(0, 2**31 - 1)
        dialog.setWindowTitle("Seed")
        dialog.setLabelText(f"The face of which seed goes on {name}?")
        dialog.intValueSelected.connect(partial(self._set_seed, name))
        dialog.open()

    def _set_seed(self, name: str, seed: int) -> None:
        info = self.session.generator
        if info is not None:
            self.set_anchor(name, Recipe.of(Code.from_seed(seed, info.z_dim, info.sha256, self.session.label)))

    def seen(self) -> tuple[tuple[float, ...], tuple[float, ...]]:
        """u of each column, left to right, and v of each row, top to bottom, of the tiles in view."""
        step, cells = self.view.step, self.view.cells()
        columns, rows = sorted({i for i, _ in cells}), sorted({j for _, j in cells}, reverse=True)
        return tuple(i * step for i in columns), tuple(j * step for j in rows)

    def _export(self) -> None:
        plane, template = self.session.state.plane, self._template()
        if plane is not None and template is not None:
            columns, rows = self.seen()
            ExportPlaneDialog(self.session, self.client, plane, template, columns, rows, self).open()


def _name(end: Code | Direction) -> str:
    return end.name if isinstance(end, Direction) else describe(Recipe.of(end))


def _flat(end: Code | Direction) -> bool:
    """Whether an anchor says the same of every layer, so that it has a place in W."""
    if isinstance(end, Direction):
        return end.vector.ndim == 1 and end.layers is None
    return end.space != "w+" or bool(np.all(end.array == end.array[0]))


def _as_z(end: Code | Direction, info: GeneratorInfo) -> Code | None:
    """The z of a code that has one: itself, or that of its seed."""
    if isinstance(end, Direction):
        return None
    if end.space == "z":
        return end
    seed = end.origin.get("seed")
    if not isinstance(seed, int):
        return None
    return Code.from_seed(seed, info.z_dim, info.sha256, (end.label or 0) if info.c_dim else None)
