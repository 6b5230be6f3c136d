"""Jobs and their answers: the plain data that crosses between the window and whoever does the work.

A job is a frozen dataclass that has captured all its inputs; it reads no live state later and depends on no job before it.
Arrays in jobs and answers are read-only; pixels are contiguous uint8 [N, H, W, 3].

Who runs a job is told by its ``kind``:

- ``"interactive"``: on the worker's thread, at any yield of a longer job. Of those that wait in one ``lane`` only the newest
  is kept; a replaced ticket closes at once.
- ``"short"``: on the worker's thread, in order, at any yield of a long job (opening, thumbnails, directions).
- ``"long"``: on the worker's thread, one at a time, in order, pausable (projection, export).
- ``"side"``: on a plain thread beside the worker, never with a network (photographs, files, downloads).

To add a job: a dataclass here, and one method in ``engine/engine.py`` (or ``engine/desk.py`` for the side kind).
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any, ClassVar, Literal, Protocol, TypeAlias

import numpy as np
import numpy.typing as npt

from facelab.latent.code import Code, Direction, Floats
from facelab.latent.plane import Surface
from facelab.latent.recipe import Recipe

Kind: TypeAlias = Literal["interactive", "short", "long", "side"]
Pixels: TypeAlias = npt.NDArray[np.uint8]


def read_only(array: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """The array, contiguous and closed to writing; a copy only where it has to be one."""
    array = np.ascontiguousarray(array)
    array.flags.writeable = False
    return array


# -- answers ------------------------------------------------------------------------------------------------------------
@dataclass(frozen=True)
class Answer:
    """What a job gives; plain data."""


@dataclass(frozen=True)
class Progress(Answer):
    """How far a job is.

    Attributes:
        done, total: in units of the job's own; a total of 0 means that it is not known.
        message: what is being done, in a few words.
    """

    done: int
    total: int
    message: str = ""


@dataclass(frozen=True, eq=False)
class Images(Answer):
    """Pictures, in the order of the recipes that were asked for.

    Attributes:
        pixels: uint8 [N, H, W, 3].
        resolution: the side in pixels of what was computed; coarse ones come before ``final``.
        final: whether this is the resolution that was asked for.
        seconds: how long the generator took so far.
        rough: whether a lower precision was used.
    """

    pixels: Pixels
    resolution: int
    final: bool = True
    seconds: float = 0.0
    rough: bool = False


@dataclass(frozen=True, eq=False)
class Tiles(Answer):
    """Some tiles of a plane: their grid indices and pixels uint8 [N, r, r, 3]."""

    cells: tuple[tuple[int, int], ...]
    pixels: Pixels
    resolution: int


@dataclass(frozen=True)
class LayerInfo:
    """One row of W+ as a person sees it.

    Attributes:
        name: as in the network, "b8.conv0".
        resolution: of the block, in pixels.
        in_channels, out_channels: feature maps.
        style: length of the style vector that the row makes.
    """

    name: str
    resolution: int
    in_channels: int
    out_channels: int
    style: int


@dataclass(frozen=True)
class LossInfo:
    """A loss that photographs can be encoded with.

    Attributes:
        name: its key in ``ProjectionSettings.losses``.
        title: what a person calls it.
        weight: in a run that names no weights; 0 leaves it out.
        needs: "vgg16" (a file that a person gives), "encoder" (facelab's own), or "" for nothing.
    """

    name: str
    title: str
    weight: float
    needs: Literal["", "vgg16", "encoder"] = ""


@dataclass(frozen=True, eq=False)
class GeneratorInfo(Answer):
    """What was opened.

    Attributes:
        sha256: the generator's identity, over its canonical tensors and architecture.
        file_sha256: of the file, for the catalogue and display.
        family: "stylegan1", "stylegan2", "stylegan3-t", "stylegan3-r".
        format: the kind of file it came from.
        w_avg: mean of W, [C].
        w_std: root mean square distance of one channel of W from its mean (a single number, one layer's).
        layers: one entry per row of W+, coarse to fine.
        noise_shapes: of the noise maps, coarse to fine; empty for StyleGAN3.
        noise_works: whether any noise strength differs from zero.
        ignored: what the file holds that facelab does not use.
        notes: what a person should know ("w_avg was estimated from 10,000 z").
        losses: what photographs can be compared by.
        encoder: whether facelab's own encoder is here and knows this generator's codes.
        tuning: of a pivotal tuning, the bytes that are kept and the bytes of memory while it runs, pictures aside.
    """

    sha256: str
    file_sha256: str
    name: str
    path: str | None
    family: str
    format: str
    resolution: int
    img_channels: int
    num_ws: int
    z_dim: int
    w_dim: int
    c_dim: int
    parameters: int
    w_avg: Floats
    w_std: float
    layers: tuple[LayerInfo, ...]
    noise_shapes: tuple[tuple[int, int], ...]
    noise_works: bool
    device: str
    precision: str
    ignored: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    metadata: Mapping[str, str] = field(default_factory=dict)
    losses: tuple[LossInfo, ...] = ()
    encoder: bool = False
    tuning: tuple[int, int] = (0, 0)


@dataclass(frozen=True, eq=False)
class Codes(Answer):
    """Codes, in the order of what was asked for."""

    codes: tuple[Code, ...]


@dataclass(frozen=True, eq=False)
class Directions(Answer):
    """Directions found or read; ``shares`` is the share of variance or of eigenvalue of each, where there is one."""

    directions: tuple[Direction, ...]
    shares: tuple[float, ...] = ()


@dataclass(frozen=True)
class Written(Answer):
    """A file that is whole."""

    path: Path
    message: str = ""


@dataclass(frozen=True, eq=False)
class ProjectionStep(Answer):
    """A step of a projection.

    Attributes:
        run: the run's id.
        steps: numbers of the steps whose losses came since the last answer, from 0.
        losses: by term, one value per step; "total" is the weighted sum.
        ws: the code after the last step, [L, C], when the step is one that is kept; else None.
        pixels: the picture of that step, uint8 [H, W, 3], now and then; else None.
        kept: whether ``ws`` belongs to the geometric subset that is kept.
        best: the lowest loss so far.
        seconds: how long the run has worked so far, without what others did meanwhile.
    """

    run: str
    steps: tuple[int, ...]
    losses: Mapping[str, tuple[float, ...]]
    ws: Floats | None = None
    pixels: Pixels | None = None
    kept: bool = False
    best: float = float("inf")
    seconds: float = 0.0


@dataclass(frozen=True, eq=False)
class ProjectionState(Answer):
    """All that a run needs to go on after a stop: ws, noise, Adam moments, random state, step, best; an opaque blob of arrays."""

    run: str
    step: int
    blob: bytes


@dataclass(frozen=True, eq=False)
class ProjectionDone(Answer):
    """The end of a projection: the best code, with its optimised noise rounded to float16, and its picture uint8 [H, W, 3]."""

    run: str
    code: Code
    loss: float
    step: int
    pixels: Pixels
    stopped: str = ""


@dataclass(frozen=True, eq=False)
class TuningStep(Answer):
    """Steps of a pivotal tuning: their numbers, their losses by term ("total" is the weighted sum), a picture now and then."""

    run: str
    steps: tuple[int, ...]
    losses: Mapping[str, tuple[float, ...]]
    pixels: Pixels | None = None


@dataclass(frozen=True, eq=False)
class TuningDone(Answer):
    """The end of a pivotal tuning.

    Attributes:
        run: the run's id.
        tuning: SHA-256 of the tuning, for ``Recipe.tuning``.
        blob: the differences of the weights, float16, to be kept; ``UseTuning`` takes them.
        pixels: what the code now draws, uint8 [H, W, 3].
        loss: of that picture.
        step: number of steps made.
        stopped: "", "loss" or "cancelled".
    """

    run: str
    tuning: str
    blob: bytes
    pixels: Pixels
    loss: float
    step: int
    stopped: str = ""


@dataclass(frozen=True)
class TuningReady(Answer):
    """A tuning that recipes can be drawn with from now on, by its SHA-256."""

    tuning: str


@dataclass(frozen=True, eq=False)
class Face:
    """A face found in a photograph.

    Attributes:
        box: left, top, right, bottom in upright full-resolution pixels.
        landmarks: [68, 2], in the same pixels; empty where no landmark model is installed.
        quad: the FFHQ crop, [4, 2]: top left, bottom left, bottom right, top right.
        score: the detector's.
    """

    box: tuple[float, float, float, float]
    landmarks: Floats
    quad: Floats
    score: float


@dataclass(frozen=True, eq=False)
class PhotoOpened(Answer):
    """A photograph: a copy of at most 1024 px for the screen, its full size (width, height), and the faces, largest first.

    ``notice`` is what has to be said once about the licence of what found the faces; empty where nothing was used.
    """

    path: Path
    preview: Pixels
    size: tuple[int, int]
    faces: tuple[Face, ...]
    message: str = ""
    notice: str = ""


@dataclass(frozen=True, eq=False)
class Cropped(Answer):
    """An aligned crop, uint8 [size, size, 3], its quad in the photograph, and the share of it that lies outside the picture."""

    pixels: Pixels
    quad: Floats
    outside: float


@dataclass(frozen=True, eq=False)
class Dropped(Answer):
    """What a dropped file is: "generator", "photo", "recipe", "project", "latents"; a recipe comes along."""

    path: Path
    what: str
    recipe: Recipe | None = None


@dataclass(frozen=True)
class CatalogueEntry:
    """A well-known file that can be fetched.

    Attributes:
        name: by which ``Download`` takes it.
        title: what it draws or measures, for people.
        kind: "generator", "features" or "metric".
        family: "stylegan2" and so on, or the name of the feature network.
        resolution: height and width of its pictures, in pixels.
        licence: its terms in a few words, to be shown and accepted before a download.
        licence_address: where they stand in full.
        address: where its publisher keeps it.
        bytes: its size, or None where that is not known.
        by_hand: it can only be fetched with a browser, and then opened as a file.
        path: where it lies once it is downloaded, else None.
    """

    name: str
    title: str
    kind: str
    family: str
    resolution: int
    licence: str
    licence_address: str
    address: str
    bytes: int | None
    by_hand: bool
    path: Path | None


@dataclass(frozen=True)
class Catalogue(Answer):
    """The entries of the catalogue, in the order in which they are shown."""

    entries: tuple[CatalogueEntry, ...]


# -- jobs ---------------------------------------------------------------------------------------------------------------
@dataclass(frozen=True, kw_only=True, eq=False)
class Job:
    """Work to be done, with all its inputs."""

    kind: ClassVar[Kind]
    doing: ClassVar[str]  # for the status line, in a few words


@dataclass(frozen=True, kw_only=True, eq=False)
class Render(Job):
    """Draw each recipe with its own generator; answers with ``Images``, coarse to fine."""

    kind = "interactive"
    doing = "drawing"
    recipes: tuple[Recipe, ...]
    resolution: int | None = None  # stop at this size; None is the generator's own
    rough: bool = False  # a lower precision may be used, where that is faster: while the person drags
    lane: str = "preview"  # of the waiting jobs in a lane, the newest wins


@dataclass(frozen=True, kw_only=True, eq=False)
class RenderTiles(Job):
    """Draw tiles of a plane; answers with ``Tiles``, a batch at a time, in the order given.

    ``template`` gives psi, directions and noise to every tile; its sources are replaced by the tile's own code.
    Tile (i, j) is the code at (u, v) = (i * step, j * step).
    """

    kind = "interactive"
    doing = "drawing the plane"
    plane: Surface
    template: Recipe | None
    cells: tuple[tuple[int, int], ...]
    step: float
    resolution: int
    lane: str = "plane"


@dataclass(frozen=True, kw_only=True, eq=False)
class OpenGenerator(Job):
    """Open a checkpoint (None is the embedded one); answers with ``GeneratorInfo``."""

    kind = "short"
    doing = "opening a generator"
    path: Path | None = None
    device: str = "auto"


@dataclass(frozen=True, kw_only=True, eq=False)
class SaveGenerator(Job):
    """Write a generator as facelab's .safetensors; answers with ``Written``."""

    kind = "short"
    doing = "saving the generator"
    generator: str
    path: Path


@dataclass(frozen=True, kw_only=True, eq=False)
class Thumbnails(Job):
    """Draw small pictures of recipes; answers with ``Images``."""

    kind = "short"
    doing = "drawing thumbnails"
    recipes: tuple[Recipe, ...]
    resolution: int = 64


@dataclass(frozen=True, kw_only=True, eq=False)
class Resolve(Job):
    """Work each recipe out to the one W+ code that it draws; answers with ``Codes``."""

    kind = "short"
    doing = "working out codes"
    recipes: tuple[Recipe, ...]


@dataclass(frozen=True, kw_only=True, eq=False)
class FindDirections(Job):
    """Directions by a method of ``latent.direction.METHODS``, "file" or "factor"; answers with ``Directions``.

    ``groups`` holds one or two groups of codes for the methods that compare faces. "file" reads those of ``path``; "factor" gives
    the exact ones of the factors that the embedded generator was built from, and fails for any other.
    """

    kind = "short"
    doing = "finding directions"
    generator: str
    method: str
    path: Path | None = None
    count: int = 16
    layers: tuple[int, int] | None = None
    groups: tuple[tuple[Code, ...], ...] = ()
    name: str = ""


@dataclass(frozen=True, kw_only=True, eq=False)
class Orthogonalise(Job):
    """The part of a direction that leaves others alone; answers with ``Directions``, of one."""

    kind = "short"
    doing = "holding directions fixed"
    direction: Direction
    others: tuple[Direction, ...]


@dataclass(frozen=True, kw_only=True, eq=False)
class ProjectionSettings:
    """How a photograph is encoded.

    Attributes:
        space: "w" or "w+".
        steps: number of gradient steps.
        learning_rate: Adam's, in standard deviations of W along each of its principal axes; ramped up over the first 5 % of
            the steps and down over the last 25 %.
        start: "w_avg", "w0" (w = 0), "seed" (that of the run), "best" (of some random faces), "encoder", or "code" (then
            ``start_code``).
        seed: of every random number in the run.
        losses: weight of each loss by its name in ``engine.losses.LOSSES`` ("pixels", "gradients", "perceptual", "portraits",
            "ms-ssim");
            empty takes their own weights, and the perceptual one where there are ``features``.
        optimise_noise: whether noise maps are optimised along (a generator whose noise does nothing has none).
        noise_weight: weight of the noise regularisation; NVIDIA's 1e5 would outweigh these losses ten thousand times at the start.
        initial_noise: standard deviations of noise that is added to the code at the beginning, fading over 75 % of the steps.
        features: path of a VGG16 weight file for the perceptual loss, or None.
        near_w: weight of the penalty that keeps W+ near W.
        near_w_avg: weight of the mean absolute distance from the average face.
        stop_loss, stop_seconds: end early, at a loss or after a time; None does not.
        stop_slope: end when the mean loss of 50 steps is less than this share below that of the 50 before; None does not.
        optimiser: "adam" or "lbfgs" (which optimises the code alone).
        coarse_to_fine: a generator above 256 px is drawn at 256 px in the first 70 % of the steps.
        learn_layers: the rows of ws that may move; None is all.
        mask: how much each pixel of the target counts, uint8 [S, S]; None counts all alike.
    """

    space: Literal["w", "w+"] = "w+"
    steps: int = 500
    learning_rate: float = 0.05
    start: str = "w_avg"
    start_code: Code | None = None
    seed: int = 303
    losses: Mapping[str, float] = field(default_factory=dict)
    optimise_noise: bool = True
    noise_weight: float = 1e3
    initial_noise: float = 0.0
    features: str | None = None
    near_w: float = 0.0
    near_w_avg: float = 0.0
    stop_loss: float | None = None
    stop_seconds: float | None = None
    stop_slope: float | None = None
    optimiser: Literal["adam", "lbfgs"] = "adam"
    coarse_to_fine: bool = True
    learn_layers: tuple[int, ...] | None = None
    mask: Pixels | None = None


# What keeps a code among the faces that the generator knows: less like the photograph, more like a face.
LIKELY: Mapping[str, float] = MappingProxyType({"near_w": 30.0, "near_w_avg": 0.3})


@dataclass(frozen=True, kw_only=True, eq=False)
class Project(Job):
    """Find the code that draws a picture. Answers: ``ProjectionStep``..., ``ProjectionState`` now and then, ``ProjectionDone``.

    Attributes:
        run: the run's id, made by the caller.
        generator: SHA-256 of the open generator.
        target: uint8 [S, S, 3], aligned.
        settings: see `ProjectionSettings`.
        resume: the blob of a ``ProjectionState`` to go on from.
        name: of the photograph, for the code's origin.
        every_step: answer after every step, with its code and picture; slower on a GPU.
    """

    kind = "long"
    doing = "encoding"
    run: str
    generator: str
    target: Pixels
    settings: ProjectionSettings = field(default_factory=ProjectionSettings)
    resume: bytes | None = None
    name: str = ""
    every_step: bool = False


@dataclass(frozen=True, kw_only=True, eq=False)
class TuningSettings:
    """How a generator is tuned to a photograph.

    Attributes:
        steps: number of gradient steps.
        learning_rate: Adam's, as a share of the root mean square of each weight tensor; ramped as in a projection.
        losses: weight of each loss by its name in ``engine.losses.LOSSES``; empty takes their own weights.
        locality: weight of the penalty on changes of random faces; 0 leaves it out.
        locality_distance: how far from the pivot, in W, those faces lie at most.
        features: path of a VGG16 weight file for the perceptual loss, or None.
        seed: of the random faces.
        stop_loss: end when the loss of the photograph falls below it; None does not.
    """

    steps: int = 350
    learning_rate: float = 1e-3
    losses: Mapping[str, float] = field(default_factory=dict)
    locality: float = 0.1
    locality_distance: float = 30.0
    features: str | None = None
    seed: int = 303
    stop_loss: float | None = None


@dataclass(frozen=True, kw_only=True, eq=False)
class Tune(Job):
    """Tune a copy of the generator until a code draws a photograph. Answers: ``Progress`` with what it costs,
    ``TuningStep``..., ``TuningDone``; the tuning can then be drawn with.

    Attributes:
        run: the run's id, made by the caller.
        generator: SHA-256 of the open generator.
        code: the pivot, usually a result of a projection into W.
        target: uint8 [S, S, 3], aligned.
        name: of the photograph.
    """

    kind = "long"
    doing = "tuning the generator"
    run: str
    generator: str
    code: Code
    target: Pixels
    settings: TuningSettings = field(default_factory=TuningSettings)
    name: str = ""


@dataclass(frozen=True, kw_only=True, eq=False)
class UseTuning(Job):
    """Make a kept tuning ready to draw with; answers with ``TuningReady``."""

    kind = "short"
    doing = "making a tuning ready"
    generator: str
    blob: bytes


@dataclass(frozen=True, kw_only=True, eq=False)
class UseTunings(Job):
    """From now on, take tunings that recipes name from a project, when they are needed; answers with nothing.

    Attributes:
        project: the project's file; None forgets the one before.
    """

    kind = "short"
    doing = "looking for tunings"
    project: Path | None


@dataclass(frozen=True, kw_only=True, eq=False)
class ExportMorph(Job):
    """Write a morph through keyframes as a video; answers with ``Progress``..., ``Written``.

    Attributes:
        keys: the recipes it goes through, at least two.
        path: .mp4, .webm, .mkv, .gif, .webp, or a folder for PNG frames.
        seconds: length.
        fps: pictures a second.
        size: side in pixels; None is the generator's own.
        easing: a name in ``latent.path.EASINGS``.
        interpolation: "linear", "spherical" or "spline".
        loop: go back to the first key at the end.
    """

    kind = "long"
    doing = "writing a video"
    keys: tuple[Recipe, ...]
    path: Path
    seconds: float = 4.0
    fps: float = 30.0
    size: int | None = None
    easing: str = "ease"
    interpolation: str = "linear"
    loop: bool = False


@dataclass(frozen=True, kw_only=True, eq=False)
class ExportDescent(Job):
    """Write the way of a projection as a video: its kept steps in exponential time, then the result easing back to the start;
    answers with ``Progress``..., ``Written``.

    Attributes:
        generator: SHA-256 of the generator.
        steps: the kept steps, from 0, rising, at least two.
        codes: the code of each, [L, C].
        result: what the run found, with its noise; it takes the place of the last. None ends with the last.
        losses: the loss of each step from 0 on, drawn along under the picture; None leaves it out.
        path: as of ``ExportMorph``.
        seconds, rest, back: of the way down, of standing still at the result, and of the way back.
        fps: pictures a second.
        size: side of the picture in pixels; None is the generator's own, but at least 512.
    """

    kind = "long"
    doing = "writing a video"
    generator: str
    steps: tuple[int, ...]
    codes: tuple[Floats, ...]
    result: Code | None
    path: Path
    losses: Floats | None = None
    seconds: float = 6.0
    rest: float = 1.0
    back: float = 2.0
    fps: float = 30.0
    size: int | None = None


@dataclass(frozen=True, kw_only=True, eq=False)
class EncodedPhoto:
    """One photograph of a report, as the project knows it.

    Attributes:
        name: the photograph's.
        settings: how it was encoded, in a few words.
        losses, seconds: the total loss of each step from 0 on, and how long the run had worked by then; NaN where not known.
        zero: the zero face's losses with the same settings, or None.
        target: the crop, a PNG.
        recipe: what was found, or None.
    """

    name: str
    settings: str
    losses: Floats
    seconds: Floats
    zero: Floats | None
    target: bytes | None
    recipe: Recipe | None


@dataclass(frozen=True, kw_only=True, eq=False)
class WriteReport(Job):
    """Write how well photographs conform to a generator; answers with ``Progress``..., ``Written`` for each file.

    Attributes:
        generator: SHA-256 of the generator that all of them were encoded with.
        runs: the photographs.
        paths: .html for the page, .csv for the table.
        level: the loss to which times are told; None takes the lowest that all of them reached.
        steps: at which losses are told, from 1.
    """

    kind = "long"
    doing = "writing a report"
    generator: str
    runs: tuple[EncodedPhoto, ...]
    paths: tuple[Path, ...]
    level: float | None = None
    steps: tuple[int, ...] = (10, 100, 1000)


@dataclass(frozen=True, kw_only=True, eq=False)
class ExportPictures(Job):
    """Draw recipes at full size and write each; answers with ``Progress``..., ``Written``. The suffix of a path gives its format."""

    kind = "long"
    doing = "writing pictures"
    recipes: tuple[Recipe, ...]
    paths: tuple[Path, ...]
    scale: int = 1
    keep_recipe: bool = True


@dataclass(frozen=True, kw_only=True, eq=False)
class ExportPlane(Job):
    """Draw a rectangle of a plane as one picture with labelled axes; answers with ``Progress``..., ``Written``."""

    kind = "long"
    doing = "writing the plane"
    plane: Surface
    template: Recipe | None
    columns: tuple[float, ...]  # u of each column, left to right
    rows: tuple[float, ...]  # v of each row, top to bottom
    path: Path
    tile: int | None = None
    labels: bool = True


@dataclass(frozen=True, kw_only=True, eq=False)
class ExportTable(Job):
    """The rows-by-columns mixing table: each cell takes the layers in ``layers`` from its row's face, the rest from its column's."""

    kind = "long"
    doing = "writing the table"
    columns: tuple[Recipe, ...]
    rows: tuple[Recipe, ...]
    layers: tuple[int, int]
    path: Path
    tile: int | None = None


@dataclass(frozen=True, kw_only=True, eq=False)
class ReadLatents(Job):
    """Read a file of latents; answers with ``Codes``.

    ``space`` and ``array`` settle a file that can be read in more than one way (see ``AmbiguousLatent``).
    """

    kind = "short"
    doing = "reading latents"
    path: Path
    generator: str
    space: str | None = None
    array: str | None = None


@dataclass(frozen=True, kw_only=True, eq=False)
class WriteLatents(Job):
    """Write codes as .face.safetensors, .npz, .npy or .pt by the suffix; answers with ``Written``."""

    kind = "short"
    doing = "writing latents"
    recipes: tuple[Recipe, ...]
    path: Path


@dataclass(frozen=True, kw_only=True, eq=False)
class SavePicture(Job):
    """Write a picture that is drawn already, uint8 [H, W, 3], with the mark of synthetic media and no recipe; answers with ``Written``."""

    kind = "side"
    doing = "writing a picture"
    pixels: Pixels
    path: Path


@dataclass(frozen=True, kw_only=True, eq=False)
class WriteFile(Job):
    """Write what the window has made: bytes as they are, pixels, uint8 [H, W, 3], as a PNG; answers with ``Written``."""

    kind = "side"
    doing = "writing a file"
    data: bytes | Pixels
    path: Path


@dataclass(frozen=True, kw_only=True, eq=False)
class OpenPhoto(Job):
    """Open a photograph and find its faces; answers with ``PhotoOpened`` (no faces, and a message, where there is none)."""

    kind = "side"
    doing = "looking for faces"
    path: Path
    upsample: int = 0
    detector: Literal["hog", "cnn"] = "hog"


@dataclass(frozen=True, kw_only=True, eq=False)
class CropPhoto(Job):
    """Cut a quad [4, 2] out of a photograph, at full resolution; answers with ``Cropped``."""

    kind = "side"
    doing = "cropping"
    path: Path
    quad: Floats
    size: int = 1024


@dataclass(frozen=True, kw_only=True, eq=False)
class PasteBack(Job):
    """Set a picture into the photograph that it came from, and write that; answers with ``Progress``..., ``Written``.

    Attributes:
        photo: the photograph.
        quad: the crop [4, 2] that the picture stands for.
        pixels: the picture, uint8 [S, S, 3].
        path: .png, .jpg or .webp.
        feather: over which share of the side, from the edge inwards, the picture fades in.
        mask: take only the face itself, the hull of its landmarks, and leave hair and background as they were.
    """

    kind = "side"
    doing = "setting a face into its photograph"
    photo: Path
    quad: Floats
    pixels: Pixels
    path: Path
    feather: float = 0.1
    mask: bool = False


@dataclass(frozen=True, kw_only=True, eq=False)
class WriteDirections(Job):
    """Write directions as an .npz that facelab and numpy read; answers with ``Written``. ``num_ws`` is their generator's."""

    kind = "side"
    doing = "writing directions"
    directions: tuple[Direction, ...]
    num_ws: int
    path: Path


@dataclass(frozen=True, kw_only=True, eq=False)
class LookAtFile(Job):
    """Tell what a dropped file is, by its contents; answers with ``Dropped``."""

    kind = "side"
    doing = "looking at a file"
    path: Path


@dataclass(frozen=True, kw_only=True, eq=False)
class ListCatalogue(Job):
    """What the catalogue offers; answers with ``Catalogue``."""

    kind = "side"
    doing = "reading the catalogue"


@dataclass(frozen=True, kw_only=True, eq=False)
class Download(Job):
    """Fetch an entry of the catalogue by its name; answers with ``Progress`` in bytes..., ``Written``."""

    kind = "side"
    doing = "downloading"
    entry: str


@dataclass(frozen=True, kw_only=True, eq=False)
class FetchPicture(Job):
    """Fetch a picture from an address, which the person was asked about; answers with ``Progress`` in bytes..., ``Written``."""

    kind = "side"
    doing = "fetching a picture"
    address: str
    path: Path


# -- who does them ------------------------------------------------------------------------------------------------------
class Engine(Protocol):
    """Whatever runs jobs: the real engine, the desk of side jobs, or a test's fake."""

    def run(self, job: Job, cancel: threading.Event) -> Iterator[Answer | None]:
        """Work a job off.

        Each yield is a place to cancel (the generator is closed) and to serve waiting interactive jobs; ``None`` yields only
        that. No yield stands inside a torch context.

        Raises:
            FacelabError: the world is not as it must be.
        """
        ...

    def close(self) -> None:
        """Give back what is held; nothing is run afterwards."""
        ...

    def trim(self) -> None:
        """Give memory back that is only cached; called when nothing waits."""
        ...
