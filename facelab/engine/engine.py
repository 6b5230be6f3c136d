"""The engine: one method per job, each a generator that yields answers; see ``jobs.Engine`` for the protocol.

It owns the open generators and what was drawn lately. It runs on one thread; no yield stands inside a torch context.
"""

from __future__ import annotations

import contextlib
import math
import threading
import time
from collections.abc import Generator, Iterator, Sequence
from dataclasses import replace
from functools import singledispatchmethod
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from PIL import Image

from facelab import checkpoints
from facelab.assets import EMBEDDED_DIRECTIONS, EMBEDDED_GENERATOR, resource
from facelab.engine import directions, latents, losses, memory, tuning
from facelab.engine.model import Look, Model, Recent, is_out_of_memory, to_pixels
from facelab.engine.projection import knows, project
from facelab.engine.renderer import CACHE_BYTES
from facelab.errors import BadArgument, MissingPart, OutOfMemory, WrongGenerator
from facelab.faces.photo import MAX_PIXELS
from facelab.jobs import (
    Answer,
    Codes,
    Directions,
    ExportDescent,
    ExportMorph,
    ExportPictures,
    ExportPlane,
    ExportTable,
    FindDirections,
    Images,
    Job,
    OpenGenerator,
    Orthogonalise,
    Pixels,
    Progress,
    Project,
    ReadLatents,
    Render,
    RenderTiles,
    Resolve,
    SaveGenerator,
    Thumbnails,
    Tiles,
    Tune,
    TuningDone,
    TuningReady,
    UseTuning,
    UseTunings,
    WriteLatents,
    WriteReport,
    Written,
    read_only,
)
from facelab.latent import direction
from facelab.latent.code import Code, Direction, Floats, digest_of
from facelab.latent.descent import Descent
from facelab.latent.mixing_table import crossed
from facelab.latent.path import Morph, lerp, times
from facelab.latent.recipe import Recipe
from facelab.media.curve import CurvePicture
from facelab.media.picture import save_picture
from facelab.media.sheet import PAPER, sheet
from facelab.media.video import MAX_SIDE, VideoWriter
from facelab.project import read_tuning

MODELS = 3  # generators that stay in memory
TILES = 128 << 20  # bytes of finished tiles that are kept
TUNINGS = 512 << 20  # bytes of tunings that are kept
MAX_FRAMES = 1_000_000  # of one video
DESCENT_SIDE = (
    512  # pixels of the picture in a descent's video, at least: below it the words of its curve cannot be read
)
COARSE = 32  # pixels; a picture smaller than this shows nobody anything
PATIENCE = 0.03  # seconds for which nobody needs a coarse picture; its colours are not those of the whole one
SLOW = 256  # pixels; from this size on a generator takes so long that coarse tiles come first


_Batch: TypeAlias = tuple[list[int], Model, Floats, Look]  # places among the recipes, generator, codes, look


class TorchEngine:
    """Runs interactive, short and long jobs with torch."""

    def __init__(self, device: str = "auto", *, cache_bytes: int = CACHE_BYTES) -> None:
        """
        Args:
            device: where generators go that are opened with device "auto": "auto", "cpu", "cuda" or "mps".
            cache_bytes: limit for feature maps that each generator keeps between pictures.
        """
        self._device, self._cache_bytes = device, cache_bytes
        self._models: Recent[tuple[str, str | None], Model] = Recent(MODELS)
        # Where a generator lay that has been put out of memory since, and the device that it was on.
        self._known: dict[str, tuple[Path, str]] = {}
        self._tunings: Recent[str, bytes] = Recent(TUNINGS, len)
        self._tuned_in: Path | None = None  # the project in which tunings are looked for
        self._tiles: Recent[tuple[object, ...], Pixels] = Recent(TILES, lambda tile: tile.nbytes)

    def run(self, job: Job, cancel: threading.Event) -> Iterator[Answer | None]:
        """Work a job off; see ``jobs.Engine``."""
        return self._run(job, cancel)

    def trim(self) -> None:
        """Give memory back that is only cached."""
        self._tiles.clear()
        for model in self._models.values():
            model.trim()
        memory.give_back()

    def close(self) -> None:
        """Give everything back."""
        self._tiles.clear()
        for model in self._models.clear():
            model.close()
        memory.give_back()

    @singledispatchmethod
    def _run(self, job: Job, cancel: threading.Event) -> Iterator[Answer | None]:
        raise TypeError(f"no engine method for {type(job).__name__}")

    # -- generators -------------------------------------------------------------------------------------------------
    @_run.register
    def _open(self, job: OpenGenerator, cancel: threading.Event) -> Iterator[Answer | None]:
        model = self.open(job.path, job.device)
        yield None
        for _ in model.measure():
            yield None
        try:
            encoder = knows(model)
        except MissingPart:
            encoder = False
        yield replace(model.info(), losses=losses.described(), encoder=encoder, tuning=tuning.cost(model.network))

    def open(self, path: Path | None = None, device: str = "auto") -> Model:
        """Read a generator's file (None is the embedded one) and keep it; see ``checkpoints.load`` for what can go wrong."""
        return self._load(
            resource(EMBEDDED_GENERATOR) if path is None else path, self._device if device == "auto" else device
        )

    @_run.register
    def _save(self, job: SaveGenerator, cancel: threading.Event) -> Iterator[Answer | None]:
        model = self.model(job.generator)
        yield None
        checkpoints.save(model.network, job.path, model.checkpoint.metadata)
        yield Written(job.path)

    def model(self, sha256: str, tuned: str | None = None) -> Model:
        """The open generator of an identity; one that was put out of memory is read again.

        Raises:
            WrongGenerator: it was never opened here, or the tuning is not here.
        """
        model = self._models.get((sha256, tuned))
        if model is not None:
            return model
        if tuned is not None:
            blob = self._tunings.get(tuned)
            if blob is None and self._tuned_in is not None:
                blob = read_tuning(self._tuned_in, tuned)
            if blob is not None:
                name, model = self._tuned(sha256, blob)
                if name == tuned:
                    return model
            raise WrongGenerator(
                "this face was drawn with a generator that was tuned to its photograph, and that tuning is not here; "
                "tune it again, or draw it with the generator as it was"
            )
        if sha256 in self._known:
            path, device = self._known[sha256]
            model = self._load(path, device)
        elif all(path != resource(EMBEDDED_GENERATOR) for path, _ in self._known.values()):
            # Perhaps it is the embedded one, whose faces can be drawn though nobody opened it.
            model = self._load(resource(EMBEDDED_GENERATOR), self._device)
        if model is None or model.sha256 != sha256:
            raise WrongGenerator(
                f"this face belongs to a generator ({sha256[:12]}) that is not open; open its checkpoint first"
            )
        return model

    def _load(self, path: Path, device: str) -> Model:
        model = Model.open(path, device, cache_bytes=self._cache_bytes)
        model.when_full = self.trim
        self._known[model.sha256] = (path, device)
        self._keep(None, model)
        return model

    def _keep(self, name: str | None, model: Model) -> None:
        for old in self._models.put((model.sha256, name), model):
            old.trim()  # not closed: a job that waits its turn may still draw with it

    # -- pictures ---------------------------------------------------------------------------------------------------
    @_run.register
    def _render(self, job: Render, cancel: threading.Event) -> Iterator[Answer | None]:
        yield from self.draw(job.recipes, job.resolution, coarse=True, rough=job.rough)

    @_run.register
    def _thumbnails(self, job: Thumbnails, cancel: threading.Event) -> Iterator[Answer | None]:
        yield from self.draw(job.recipes, job.resolution, exact=True, rough=True)

    @_run.register
    def _resolve(self, job: Resolve, cancel: threading.Event) -> Iterator[Answer | None]:
        codes = []
        for recipe in job.recipes:
            codes.append(self.resolve(recipe))
            yield None
        yield Codes(tuple(codes))

    def resolve(self, recipe: Recipe) -> Code:
        """The one W+ code that a recipe draws, with the noise maps of a seed or of its own where it is drawn with such."""
        model = self.model(recipe.generator, recipe.tuning)
        return Code(
            array=model.ws(recipe),
            space="w+",
            generator=recipe.generator,
            origin=recipe.sources[0].origin if len(recipe.sources) == 1 else {},
            noise=model.maps(recipe),
        )

    @_run.register
    def _render_tiles(self, job: RenderTiles, cancel: threading.Event) -> Iterator[Answer | None]:
        plane = job.plane
        template = (job.template or Recipe.of(plane.origin)).change(sources=(plane.origin,), weights=())
        model = self.model(plane.generator, template.tuning)
        side = job.resolution
        name = (plane.generator, template.digest, plane.digest, job.step)
        found = [cell for cell in job.cells if self._tiles.get((*name, cell, side)) is not None]
        if found:
            yield self._cached(name, found, side)
        left = [cell for cell in job.cells if cell not in set(found)]
        own = model.network.resolution
        coarse = max((size for size in model.network.preview_resolutions() if size < side), default=side)
        for size in (coarse, side) if model.network.has_previews and own >= SLOW and coarse < side else (side,):
            count = model.batch(size if size < side else own)
            for start in range(0, len(left), count):
                cells = left[start : start + count]
                fresh = [cell for cell in cells if self._tiles.get((*name, cell, size)) is None]
                codes = [plane.at(i * job.step, j * job.step) for i, j in fresh]
                recipes = [template.change(sources=(c,)) for c in codes]
                for images in self.draw(recipes, size, exact=size == side, rough=True) if fresh else ():
                    if images is None:
                        yield None
                        continue
                    for cell, pixels in zip(fresh, images.pixels, strict=True):
                        self._tiles.put((*name, cell, size), pixels)
                yield self._cached(name, cells, size)

    def _cached(self, name: tuple[object, ...], cells: Sequence[tuple[int, int]], side: int) -> Tiles:
        tiles = [self._tiles.get((*name, cell, side)) for cell in cells]
        return Tiles(tuple(cells), read_only(np.stack([t for t in tiles if t is not None])), side)

    def draw(
        self,
        recipes: Sequence[Recipe],
        resolution: int | None = None,
        *,
        coarse: bool = False,
        exact: bool = False,
        rough: bool = False,
    ) -> Iterator[Images | None]:
        """Draw recipes, each with its own generator.

        Args:
            recipes: at least one; their generators give one size.
            resolution: where to stop; None is the generator's own.
            coarse: answer with coarse pictures on the way, where it takes long.
            exact: draw at the generator's own size, and bring the pictures to ``resolution`` (any one). A picture that
                stops early costs less, but only looks like the whole one: later layers add to its colours.
            rough: for the eye: a lower precision may be used (see ``Renderer.steps``).

        Yields:
            ``Images`` of all recipes in their order, the last one ``final``; None between the stages.

        Raises:
            BadArgument: a code or the resolution does not fit, or the sizes differ.
            WrongGenerator: a generator is not open.
            OutOfMemory: not even one picture fits.
        """
        if exact and resolution is not None and not 1 <= resolution <= MAX_SIDE:
            raise BadArgument(f"a picture is 1 to {MAX_SIDE} pixels wide, not {resolution}")
        clock = _Clock()
        batches = self._batches(recipes, None if exact else resolution)
        models = {model.sha256: model for _, model, _, _ in batches}.values()
        whole = resolution if exact and resolution is not None else 0
        sides = {whole or model.check_resolution(resolution) for model in models}
        if len(sides) > 1:
            raise BadArgument(
                "these faces belong to generators of different sizes; give a resolution that all can draw"
            )
        side = sides.pop()
        previews = coarse and all(m.network.has_previews for m in models)
        for pixels in self._drawing(batches, side, previews, exact, rough):
            clock.stop()
            if pixels is None or (pixels.shape[1] < side and clock.spent < PATIENCE):
                yield None
            else:
                lower = rough and any(model.renderer.rough_layers for model in models)
                yield Images(read_only(pixels), pixels.shape[1], pixels.shape[1] == side, clock.spent, lower)
            clock.start()

    def _drawing(
        self, batches: Sequence[_Batch], side: int, coarse: bool, exact: bool, rough: bool
    ) -> Iterator[Pixels | None]:
        """The pictures of all batches, coarse ones first when wanted; None between the stages."""
        if len(batches) == 1:
            ((places, model, ws, look),) = batches
            order = np.argsort(places)
            for pixels in self._draw(model, ws, look, model.network.resolution if exact else side, coarse, rough):
                yield None if pixels is None else resized(pixels[order], side) if exact else pixels[order]
            return
        count = sum(len(places) for places, *_ in batches)
        for size in (COARSE, side) if coarse and side > 2 * COARSE else (side,):
            pictures = np.empty((count, size, size, 3), np.uint8)
            for places, model, ws, look in batches:
                for pixels in self._draw(model, ws, look, model.network.resolution if exact else size, False, rough):
                    if pixels is not None:
                        pictures[places] = resized(pixels, size)
                    yield None
            yield pictures

    def _batches(self, recipes: Sequence[Recipe], resolution: int | None) -> list[_Batch]:
        """What can be drawn together, up to a resolution."""
        if not recipes:
            raise BadArgument("there is nothing to draw: give at least one recipe")
        groups: dict[tuple[str, str | None, Look], list[int]] = {}
        codes = []
        for index, recipe in enumerate(recipes):
            model = self.model(recipe.generator, recipe.tuning)
            codes.append(model.ws(recipe))
            groups.setdefault((recipe.generator, recipe.tuning, model.look(recipe)), []).append(index)
        batches = []
        for (sha256, tuned, look), places in groups.items():
            model = self.model(sha256, tuned)
            count = model.batch(resolution or model.network.resolution)
            for start in range(0, len(places), count):
                part = places[start : start + count]
                batches.append((part, model, np.stack([codes[i] for i in part]), look))
        return batches

    def _draw(
        self, model: Model, ws: Floats, look: Look, side: int, coarse: bool, rough: bool
    ) -> Iterator[Pixels | None]:
        """Draw one batch; the last item is the whole pictures, earlier ones are coarse or None."""
        for picture in model.draw(ws, look, side, rough=rough):
            size = 0 if picture is None else picture.shape[-1]
            shown = size == side or (coarse and size >= COARSE)
            yield to_pixels(picture) if picture is not None and shown else None

    # -- directions -------------------------------------------------------------------------------------------------
    @_run.register
    def _find_directions(self, job: FindDirections, cancel: threading.Event) -> Iterator[Answer | None]:
        model = self.model(job.generator)
        layers = job.layers
        if layers is not None and not 0 <= layers[0] < layers[1] <= model.network.num_ws:
            raise BadArgument(f"layers {layers[0]} to {layers[1]} are not a range within 0 to {model.network.num_ws}")
        samples = yield from model.samples()
        if job.method == "file":
            if job.path is None:
                raise BadArgument("name the file of directions")
            found = directions.read(job.path, model.sha256, model.network.num_ws, samples)
            yield Directions(found[: job.count])
            return
        if job.method == "factor":
            yield Directions(
                directions.factors(resource(EMBEDDED_DIRECTIONS), model.sha256, model.network.num_ws, samples)
            )
            return
        material = direction.Material(
            samples=samples,
            groups=tuple(direction.group_of(model.mapped(group)) for group in job.groups),
            affines=model.affines(layers) if job.method == "sefa" else (),
            w_avg=model.w_avg,
        )
        yield None
        found, shares = direction.find(
            job.method, material, generator=job.generator, count=job.count, layers=layers, name=job.name
        )
        yield Directions(found, shares)

    @_run.register
    def _orthogonalise(self, job: Orthogonalise, cancel: threading.Event) -> Iterator[Answer | None]:
        samples = yield from self.model(job.direction.generator).samples()
        yield Directions((direction.orthogonalise(job.direction, job.others, samples),))

    # -- projection -------------------------------------------------------------------------------------------------
    @_run.register
    def _project(self, job: Project, cancel: threading.Event) -> Iterator[Answer | None]:
        with self._memory("this encoding"):
            yield from project(self.model(job.generator), job, cancel)

    # -- tuning -----------------------------------------------------------------------------------------------------
    @_run.register
    def _tune(self, job: Tune, cancel: threading.Event) -> Iterator[Answer | None]:
        with self._memory("tuning this generator"):
            for answer in tuning.tune(self.model(job.generator), job, cancel):
                if isinstance(answer, TuningDone):
                    self._tuned(job.generator, answer.blob)
                yield answer

    @_run.register
    def _use_tuning(self, job: UseTuning, cancel: threading.Event) -> Iterator[Answer | None]:
        name, _ = self._tuned(job.generator, job.blob)
        yield TuningReady(name)

    @_run.register
    def _use_tunings(self, job: UseTunings, cancel: threading.Event) -> Iterator[Answer | None]:
        self._tuned_in = job.project
        yield from ()

    def _tuned(self, generator: str, blob: bytes) -> tuple[str, Model]:
        """Make a tuning ready; its delta is kept, to be applied again after its copy of the generator had to go."""
        name, model = tuning.apply(self.model(generator), blob)
        model.when_full = self.trim
        self._tunings.put(name, blob)
        self._keep(name, model)
        return name, model

    @contextlib.contextmanager
    def _memory(self, what: str) -> Iterator[None]:
        """Say it when work that cannot be halved does not fit in memory; no torch context, so it may stand over a yield."""
        try:
            yield
        except (MemoryError, RuntimeError) as error:
            if not is_out_of_memory(error):
                raise
            failed = True
        else:
            failed = False
        if failed:  # only here are the tensors gone, with the traceback
            self.trim()
            raise OutOfMemory(f"{what} does not fit in memory; close other programs or take a smaller generator")

    # -- latents ----------------------------------------------------------------------------------------------------
    @_run.register
    def _read_latents(self, job: ReadLatents, cancel: threading.Event) -> Iterator[Answer | None]:
        network = self.model(job.generator).network
        yield None
        sizes = network.num_ws, network.w_dim, network.z_dim
        yield Codes(latents.codes_of(job.path, job.generator, *sizes, space=job.space, array=job.array))

    @_run.register
    def _write_latents(self, job: WriteLatents, cancel: threading.Event) -> Iterator[Answer | None]:
        codes = []
        for recipe in job.recipes:
            codes.append(self.resolve(recipe))
            yield None
        latents.write_latents(job.path, job.recipes, codes)
        yield Written(job.path)

    # -- exports ----------------------------------------------------------------------------------------------------
    @_run.register
    def _export_morph(self, job: ExportMorph, cancel: threading.Event) -> Iterator[Answer | None]:
        if not (math.isfinite(job.seconds) and math.isfinite(job.fps) and 0 < job.seconds * job.fps <= MAX_FRAMES):
            raise BadArgument(
                f"a video has up to {MAX_FRAMES:,} frames; {job.seconds} s at {job.fps} a second do not fit"
            )
        codes = []
        for key in job.keys:
            codes.append(self.resolve(key))
            yield None
        morph = Morph(job.keys, codes, interpolation=job.interpolation, easing=job.easing, loop=job.loop)
        instants = times(max(2, round(job.seconds * job.fps)), job.loop)
        model = self.model(morph.keys[0].generator, morph.keys[0].tuning)
        side = job.size or model.network.resolution
        # What the frames are made of, by which a folder that was begun is gone on with.
        made = digest_of(
            [[k.digest for k in job.keys], job.seconds, job.fps, side, job.easing, job.interpolation, job.loop]
        )
        video = VideoWriter(
            job.path, (side, side), job.fps, description=_described(model), resume_key=None if job.path.suffix else made
        )
        try:
            while video.frames < len(instants):
                chunk = instants[video.frames : video.frames + model.batch(model.network.resolution)]
                for frame in (yield from self._whole([morph(t) for t in chunk], side)):
                    video.add(frame)
                yield Progress(video.frames, len(instants), "drawing frames")
                if cancel.is_set():
                    return
            video.finish()
        finally:
            video.close()
        yield Written(job.path, f"{len(instants)} frames of {side} px")

    @_run.register
    def _export_descent(self, job: ExportDescent, cancel: threading.Event) -> Iterator[Answer | None]:
        model = self.model(job.generator)
        total = job.seconds + job.rest + job.back
        if not (math.isfinite(total) and math.isfinite(job.fps) and 0 < total * job.fps <= MAX_FRAMES):
            raise BadArgument(f"a video has up to {MAX_FRAMES:,} frames; {total} s at {job.fps} a second do not fit")
        result = None if job.result is None else model.ws(Recipe.of(job.result))
        descent = Descent(
            job.steps, job.codes, result, down=job.seconds, rest=job.rest, back=job.back, fps=job.fps
        )  # fmt: skip
        # A run begins with the generator's own noise, which turns into what it found.
        found = None if job.result is None else job.result.noise
        own = [m.detach().cpu().numpy() for m in model.network.noise_consts()] if found else []
        if found is not None and [m.shape for m in own] != [m.shape for m in found]:
            raise BadArgument("the noise of this run does not fit the generator")
        side = job.size or max(DESCENT_SIDE, model.network.resolution)
        strip = 0 if job.losses is None else max(64, round(0.36 * side))
        curve = None if job.losses is None else CurvePicture(job.losses, (side, strip))
        made = digest_of([
            job.generator, job.steps, [Code(array=c, space="w+", generator=job.generator).digest for c in job.codes],
            None if job.result is None else job.result.digest, None if job.losses is None else job.losses.tolist(),
            job.seconds, job.rest, job.back, job.fps, side,
        ])  # fmt: skip
        video = VideoWriter(
            job.path, (side, side + strip), job.fps, description=_described(model),
            resume_key=None if job.path.suffix else made,
        )  # fmt: skip
        try:
            while video.frames < len(descent):
                first = video.frames
                frames = [
                    descent[i] for i in range(first, min(first + model.batch(model.network.resolution), len(descent)))
                ]
                recipes = [
                    Recipe.of(Code(
                        array=frame.ws, space="w+", generator=job.generator,
                        noise=tuple(lerp(a, b, frame.share) for a, b in zip(own, found, strict=True)) if found else None,
                    ))
                    for frame in frames
                ]  # fmt: skip
                for frame, pixels in zip(frames, (yield from self._whole(recipes, side)), strict=True):
                    video.add(pixels if curve is None else np.concatenate([pixels, curve.at(frame.step)]))
                yield Progress(video.frames, len(descent), "drawing frames")
                if cancel.is_set():
                    return
            video.finish()
        finally:
            video.close()
        yield Written(job.path, f"{len(descent)} frames of {side} px")

    @_run.register
    def _write_report(self, job: WriteReport, cancel: threading.Event) -> Iterator[Answer | None]:
        from facelab.engine import report  # dlib takes a while to load, and most never need it

        def drawn(recipe: Recipe) -> Generator[None, None, Pixels]:
            picture: Pixels = (yield from self._whole([recipe], None))[0]
            return picture

        yield from report.write(job, drawn, self.model(job.generator).name, cancel)

    @_run.register
    def _export_pictures(self, job: ExportPictures, cancel: threading.Event) -> Iterator[Answer | None]:
        if len(job.recipes) != len(job.paths) or len(set(job.paths)) != len(job.paths):
            raise BadArgument(f"{len(job.recipes)} pictures need as many names of their own, not {len(set(job.paths))}")
        for done, (recipe, path) in enumerate(zip(job.recipes, job.paths, strict=True), 1):
            if cancel.is_set():
                return
            (pixels,) = yield from self._whole([recipe], None)
            model = self.model(recipe.generator, recipe.tuning)
            keep = job.keep_recipe and path.suffix.lower() == ".png"
            save_picture(
                path, pixels, recipe.to_json() if keep else None, description=_described(model), scale=job.scale
            )
            yield Progress(done, len(job.paths), "saving pictures")
            yield Written(path)

    @_run.register
    def _export_plane(self, job: ExportPlane, cancel: threading.Event) -> Iterator[Answer | None]:
        plane = job.plane
        template = (job.template or Recipe.of(plane.origin)).change(sources=(plane.origin,), weights=())
        model = self.model(plane.generator, template.tuning)
        side = _tile_side(job.tile or model.network.resolution, len(job.columns), len(job.rows))
        places = [(u, v) for v in job.rows for u in job.columns]
        recipes = [template.change(sources=(plane.at(u, v),)) for u, v in places]
        pictures = yield from self._grid(recipes, side, cancel)
        if pictures is None:
            return
        labels: dict[str, Any] = {}
        if job.labels:
            labels = {
                "column_labels": [f"{u:.3g}" for u in job.columns],
                "row_labels": [f"{v:.3g}" for v in job.rows],
                "x_title": _name(plane.x),
                "y_title": _name(plane.y),
            }
        save_picture(job.path, sheet(pictures, len(job.columns), **labels), description=_described(model))
        yield Written(job.path)

    @_run.register
    def _export_table(self, job: ExportTable, cancel: threading.Event) -> Iterator[Answer | None]:
        if not job.columns or not job.rows:
            raise BadArgument("a mixing table needs at least one face for its rows and one for its columns")
        model = self.model(job.columns[0].generator, job.columns[0].tuning)
        first, last = job.layers
        if not 0 <= first < last <= model.network.num_ws:
            raise BadArgument(
                f"the layers of a mixing table are a range within 0 to {model.network.num_ws}, not {first} to {last}"
            )
        side = _tile_side(job.tile or model.network.resolution, len(job.columns) + 1, len(job.rows) + 1)
        columns, rows = ([self.resolve(r) for r in recipes] for recipes in (job.columns, job.rows))
        recipes = list(job.columns)
        for row, code in zip(job.rows, rows, strict=True):
            recipes.append(row)
            recipes += [
                crossed(column, of, code, job.layers, model.network.num_ws)
                for column, of in zip(job.columns, columns, strict=True)
            ]
        pictures = yield from self._grid(recipes, side, cancel)
        if pictures is None:
            return
        corner = np.full_like(pictures[0], PAPER)
        save_picture(job.path, sheet([corner, *pictures], len(columns) + 1), description=_described(model))
        yield Written(job.path)

    def _grid(
        self, recipes: Sequence[Recipe], side: int, cancel: threading.Event
    ) -> Generator[Answer | None, None, list[Pixels] | None]:
        """The pictures of a sheet; None when it was cancelled."""
        model = self.model(recipes[0].generator, recipes[0].tuning)
        count = model.batch(model.network.resolution)
        pictures: list[Pixels] = []
        while len(pictures) < len(recipes):
            chunk = recipes[len(pictures) : len(pictures) + count]
            pictures += list((yield from self._whole(chunk, side)))
            yield Progress(len(pictures), len(recipes), "drawing faces")
            if cancel.is_set():
                return None
        return pictures

    def _whole(self, recipes: Sequence[Recipe], side: int | None) -> Generator[None, None, Pixels]:
        """The finished pixels [N, side, side, 3] of recipes."""
        for images in self.draw(recipes, side, exact=True):
            if images is not None:
                return images.pixels
            yield None
        raise AssertionError("draw always ends with pictures")


def resized(pictures: Pixels, side: int) -> Pixels:
    """Square pictures [N, r, r, 3] at another size, by Lanczos."""
    if pictures.shape[1] == side:
        return pictures
    images = (Image.fromarray(one).resize((side, side), Image.Resampling.LANCZOS) for one in pictures)
    return np.stack([np.asarray(image) for image in images])


def _tile_side(side: int, columns: int, rows: int) -> int:
    """The side of a sheet's pictures, when the sheet can be."""
    if columns < 1 or rows < 1:
        raise BadArgument("a sheet needs at least one row and one column")
    if side < 1 or columns * rows * side * side > MAX_PIXELS:
        raise BadArgument(
            f"{columns} × {rows} pictures of {side} px are more than {MAX_PIXELS // 10**6} million pixels; "
            "take fewer or smaller ones"
        )
    return side


def _described(model: Model) -> str:
    return f"Drawn by facelab with the generator {model.name}"


def _name(axis: Code | Direction) -> str:
    """What an axis of a plane is called in words."""
    if isinstance(axis, Direction):
        return axis.name
    for key in ("name", "photo", "expression", "seed"):
        if key in axis.origin:
            return f"seed {axis.origin[key]}" if key == "seed" else str(axis.origin[key])
    return ""


class _Clock:
    """Seconds spent working, without those in which others were served."""

    def __init__(self) -> None:
        self.spent = 0.0
        self.start()

    def start(self) -> None:
        self._since = time.perf_counter()

    def stop(self) -> None:
        self.spent += time.perf_counter() - self._since
