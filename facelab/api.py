"""The Python API: a generator as an object of numpy, the encoding of a photograph as a loop.

    import facelab
    g = facelab.open()                              # the embedded generator; or open("ffhq.pkl")
    ws = g.map(z, truncation_psi=0.7)               # [N, num_ws, w_dim]
    pixels = g.render(ws)                           # uint8 [N, H, W, 3]
    run = facelab.encode(g, "photo.jpg", steps=300)
    pixels = g.render(run.ws, noise=run.noise)

Wrong arguments raise ``BadArgument``, a ``ValueError``; everything else that can go wrong in the world another child of
``FacelabError``.
"""

from __future__ import annotations

import contextlib
import os
import signal
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from types import FrameType
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from facelab import checkpoints
from facelab.assets import EMBEDDED_GENERATOR, resource
from facelab.engine import latents, tuning
from facelab.engine.latents import write_face
from facelab.engine.model import Look, Model, NoiseMaps, to_pixels
from facelab.engine.projection import check, project
from facelab.errors import BadArgument, Diverged
from facelab.faces import align
from facelab.faces.detect import find_faces
from facelab.faces.photo import open_photo
from facelab.files import replacing
from facelab.jobs import (
    Pixels,
    Project,
    ProjectionDone,
    ProjectionSettings,
    ProjectionStep,
    Tune,
    TuningDone,
    TuningSettings,
    read_only,
)
from facelab.latent.code import Code, Floats
from facelab.latent.recipe import Noise, Recipe, broadcast
from facelab.latent.spaces import psi_by_layer, truncate

MADE_UP = 0.1  # share of a crop outside of its photograph from which on it is said


def open(path: str | os.PathLike[str] | None = None, device: str | None = None) -> Generator:
    """Open a generator.

    Args:
        path: a checkpoint of any format that facelab knows; no code from it runs. None is the embedded generator.
        device: "cpu", "cuda" or "mps"; None takes a GPU where there is one.

    Raises:
        CheckpointError: the file is missing, damaged, or no generator.
        BadArgument: the device is not here.
    """
    file = resource(EMBEDDED_GENERATOR) if path is None else Path(path)
    # What is measured through this interface is the network itself, so never half precision.
    return Generator(Model.open(file, device, half=False))


class Generator:
    """An open generator; made by `open`.

    Attributes:
        family: "stylegan1", "stylegan2", "stylegan3-t" or "stylegan3-r".
        resolution: height and width of its pictures.
        img_channels: 1 grey, 3 RGB, 4 RGBA.
        num_ws: rows of ws (L).
        z_dim, w_dim, c_dim: lengths of z, of w (C) and of the label; c_dim is 0 for an unconditional generator.
        w_avg: the mean of W, float32 [w_dim], read-only.
        noise_shapes: of its noise maps, coarse to fine; empty for StyleGAN3.
        sha256: its identity, the same for a file and its conversion.
        device: where it runs.
    """

    def __init__(self, model: Model) -> None:
        self._model = model
        network = model.network
        self.family: str = network.family
        self.resolution: int = network.resolution
        self.img_channels: int = network.img_channels
        self.num_ws: int = network.num_ws
        self.z_dim: int = network.z_dim
        self.w_dim: int = network.w_dim
        self.c_dim: int = network.c_dim
        self.w_avg: Floats = model.w_avg
        self.noise_shapes: tuple[tuple[int, int], ...] = network.noise_shapes
        self.sha256: str = model.sha256
        self.device: str = str(model.device)

    def __repr__(self) -> str:
        return (
            f"<facelab.Generator {self.family} {self.resolution} px, {self.num_ws} x {self.w_dim}, {self.sha256[:12]}, "
            f"on {self.device}>"
        )

    def map(
        self,
        z: ArrayLike,
        c: ArrayLike | None = None,
        truncation_psi: float | ArrayLike = 1.0,
        truncation_cutoff: int | None = None,
    ) -> Floats:
        """z to ws.

        Args:
            z: [N, z_dim], normally distributed; its length does not matter.
            c: labels [N, c_dim], one-hot for classes; only for a conditional generator, and then needed.
            truncation_psi: share of the distance from w_avg that is kept, a number or one per layer [num_ws].
            truncation_cutoff: with a single psi: the layers from here on keep psi 1.

        Returns:
            float32 [N, num_ws, w_dim].

        Raises:
            BadArgument: a shape does not fit, a number is not finite, c is missing, or a psi per layer is given together
                with a cutoff.
        """
        codes = _finite(z, "z", (None, self.z_dim))
        psi = _finite(truncation_psi, "truncation_psi")
        if psi.shape not in {(), (self.num_ws,)}:
            raise BadArgument(
                f"truncation_psi must be a number or [{self.num_ws}], one per layer, not {list(psi.shape)}"
            )
        if psi.ndim and truncation_cutoff is not None:
            raise BadArgument("give a truncation_psi per layer or a truncation_cutoff, not both")
        if truncation_cutoff is not None and (isinstance(truncation_cutoff, bool) or not _is_whole(truncation_cutoff)):
            raise BadArgument(f"truncation_cutoff must be a layer's number, not {truncation_cutoff!r}")
        strength = psi_by_layer(
            psi.reshape(-1).tolist(), self.num_ws, None if truncation_cutoff is None else int(truncation_cutoff)
        )
        w = self._model.map(codes, self._labels(c, len(codes)))
        ws = np.repeat(w[:, None], self.num_ws, axis=1)
        return truncate(ws, self.w_avg, strength)

    def synthesize(
        self,
        ws: ArrayLike,
        noise_mode: str | int = "const",
        noise: Sequence[ArrayLike] | None = None,
        noise_strength: float | ArrayLike = 1.0,
        resolution: int | None = None,
        transform: ArrayLike | None = None,
    ) -> Floats:
        """Draw, as float32.

        Args:
            ws: [N, num_ws, w_dim].
            noise_mode: "const", the maps in the file; "none"; or a seed, from which maps are drawn anew.
            noise: maps to use instead, one [r, r] array per entry of ``noise_shapes``.
            noise_strength: factor on the generator's own strengths, a number or one per map.
            resolution: stop at this size, the full one divided by a power of two; None is the full one.
            transform: StyleGAN3 only: the 3x3 matrix by which the picture moves (1.0 is its width; [0, 2] to the right,
                [1, 2] downwards); the network's buffer holds its inverse. None keeps the file's own.

        Returns:
            float32 [N, img_channels, H, W], about [-1, 1], not clipped.

        Raises:
            BadArgument: a shape does not fit, a number is not finite, or the family cannot do it.
            OutOfMemory: not even one picture fits in memory.
        """
        pictures = self._pictures(ws, noise_mode, noise, noise_strength, resolution, transform)
        return np.concatenate([p.to("cpu", torch.float32).numpy() for p in pictures])

    def render(
        self,
        ws: ArrayLike,
        noise_mode: str | int = "const",
        resolution: int | None = None,
        *,
        noise: Sequence[ArrayLike] | None = None,
        noise_strength: float | ArrayLike = 1.0,
        transform: ArrayLike | None = None,
    ) -> Pixels:
        """Draw, as pixels: uint8 [N, H, W, 3], round((x + 1) * 127.5); arguments as of `synthesize`.

        Grey is repeated, a transparent picture is laid on middle grey.
        """
        pictures = self._pictures(ws, noise_mode, noise, noise_strength, resolution, transform)
        return np.concatenate([to_pixels(p) for p in pictures])

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write it as facelab's own .safetensors.

        Raises:
            ExportError: it cannot be written there; nothing half-written is left.
        """
        checkpoints.save(self._model.network, path, self._model.checkpoint.metadata)

    def tuned(self, path: str | os.PathLike[str]) -> Generator:
        """A copy of it with the weights that a tuning changed; see `tune`.

        Raises:
            BadArgument: the file is no tuning, or it cannot be read.
            WrongGenerator: the tuning belongs to another generator.
        """
        return Generator(tuning.apply(self._model, tuning.read(path, self._model))[1])

    def _labels(self, c: ArrayLike | None, count: int) -> Floats | None:
        if self.c_dim == 0:
            if c is not None and np.size(np.asarray(c)) > 0:
                raise BadArgument("this generator is unconditional (c_dim 0): leave c away")
            return None
        if c is None:
            raise BadArgument(
                f"this generator is conditional (c_dim {self.c_dim}): give c as [N, {self.c_dim}], one-hot for classes"
            )
        return _finite(c, "c", (count, self.c_dim))

    def _pictures(
        self,
        ws: ArrayLike,
        noise_mode: str | int,
        noise: Sequence[ArrayLike] | None,
        noise_strength: float | ArrayLike,
        resolution: int | None,
        transform: ArrayLike | None,
    ) -> Iterator[Tensor]:
        codes = _finite(ws, "ws", (None, self.num_ws, self.w_dim))
        side = self._model.check_resolution(resolution)
        look = self._look(noise_mode, noise, noise_strength, transform)
        return self._model.pictures(codes, look, side)

    def _look(
        self,
        noise_mode: str | int,
        noise: Sequence[ArrayLike] | None,
        noise_strength: float | ArrayLike,
        transform: ArrayLike | None,
    ) -> Look:
        strength = _finite(noise_strength, "noise_strength")
        if strength.shape not in {(), (len(self.noise_shapes),)}:
            raise BadArgument(
                f"noise_strength must be a number or [{len(self.noise_shapes)}], one per noise map, not {list(strength.shape)}"
            )
        strengths = tuple(strength.reshape(-1).tolist())
        move: tuple[float, ...] | None = None
        if transform is not None:
            if not self.family.startswith("stylegan3"):
                raise BadArgument(f"only StyleGAN3 has an input transform; this generator is {self.family}")
            matrix = _finite(transform, "transform", (3, 3))
            if abs(float(np.linalg.det(matrix.astype(np.float64)))) < 1e-9:
                raise BadArgument(
                    "transform must be a 3x3 matrix with an inverse; this one squeezes the picture to nothing"
                )
            move = tuple(matrix.ravel().tolist())
        if noise is not None:
            if noise_mode != "const":
                raise BadArgument("give noise maps or a noise_mode, not both")
            if len(noise) != len(self.noise_shapes):
                raise BadArgument(f"this generator takes {len(self.noise_shapes)} noise maps, not {len(noise)}")
            maps = [
                _finite(one, f"noise map {i}", shape)
                for i, (one, shape) in enumerate(zip(noise, self.noise_shapes, strict=True))
            ]
            return Look(NoiseMaps(maps), strengths, move)
        if isinstance(noise_mode, str):
            if noise_mode not in ("const", "none"):
                raise BadArgument(f'noise_mode must be "const", "none" or a seed, not {noise_mode!r}')
            return Look("const" if noise_mode == "const" else "none", strengths, move)
        if isinstance(noise_mode, bool) or not _is_whole(noise_mode) or not 0 <= int(noise_mode) < 2**32:
            raise BadArgument(f'noise_mode must be "const", "none" or a seed from 0 to {2**32 - 1}, not {noise_mode!r}')
        return Look(self._model.noise(Noise("seed", int(noise_mode))), strengths, move)


# -- encoding -----------------------------------------------------------------------------------------------------------
@dataclass(frozen=True, eq=False)
class Step:
    """One step of an encoding.

    Attributes:
        step: its number, from 0.
        loss: the weighted sum of the losses, before the step was made.
        ws: the code that it was measured at, float32 [1, num_ws, w_dim].
        image: the picture of that code, uint8 [H, W, 3].
    """

    step: int
    loss: float
    ws: Floats
    image: Pixels


def encode(
    generator: Generator,
    photo: str | os.PathLike[str] | NDArray[np.uint8],
    space: Literal["w", "w+"] = "w+",
    steps: int = 500,
    *,
    start: str | ArrayLike = "w_avg",
    seed: int = 303,
    face: int = 0,
    crop: tuple[float, float, float, float] | None = None,
    upsample: int = 0,
    detector: str = "hog",
    **settings: Any,
) -> Encoding:
    """Find the code that draws a picture, by gradient descent.

    Nothing runs before the result is iterated over, or one of its results is touched.

    Args:
        generator: made by `open`.
        photo: a photograph, of which a face is found and cut out as FFHQ's were; or uint8 [S, S, 3], taken as it is.
        space: "w", one w for all layers, or "w+", one for each.
        steps: how many.
        start: "w_avg", "w0", "seed", "best", "encoder" (facelab's own generator only), or a code to start from, [num_ws, w_dim]
            or [w_dim].
        seed: of every random number; the same seed gives the same result on the same machine.
        face: which face of the photograph, the largest is 0.
        crop: instead of finding a face: x and y of the centre, side in pixels, and degrees clockwise.
        upsample, detector: how faces are sought, see `facelab.faces.detect.find_faces`.
        settings: other fields of ``jobs.ProjectionSettings``, by name.

    Raises:
        BadArgument: an argument is not as described.
        PictureError: the photograph cannot be read; NoFaceFound: it shows no face.
        MissingPart: the landmark model is not installed (``pip install "facelab[photos]"``).
    """
    known = {field.name for field in fields(ProjectionSettings)}
    if unknown := sorted(set(settings) - known):
        raise BadArgument(f"encode knows no {unknown[0]!r}; its settings are {', '.join(sorted(known))}")
    if not isinstance(start, str):
        shape = (generator.w_dim,) if np.ndim(start) == 1 else (generator.num_ws, generator.w_dim)
        code = _finite(np.reshape(start, shape) if np.size(start) == np.prod(shape) else start, "start", shape)
        settings["start_code"] = Code(array=code, space="w" if code.ndim == 1 else "w+", generator=generator.sha256)
        start = "code"
    values = ProjectionSettings(space=space, steps=steps, start=start, seed=seed, **settings)
    check(values, generator.num_ws)
    name, notes = "", list[str]()
    if isinstance(photo, np.ndarray):
        if photo.dtype != np.uint8 or photo.ndim != 3 or photo.shape[2] != 3 or photo.shape[0] != photo.shape[1]:
            raise BadArgument(
                f"a picture to encode is uint8 [S, S, 3], not {photo.dtype} {list(photo.shape)}; give a file's path to have "
                "its face cut out"
            )
        target = read_only(photo.copy())
    else:
        name = Path(photo).stem
        pixels, notes = cut_out(photo, generator.resolution, face, crop, upsample, detector)
        target = read_only(pixels)
    job = Project(
        run="api", generator=generator.sha256, target=target, settings=values, name=name, every_step=True
    )  # fmt: skip
    return Encoding(generator, job, tuple(notes))


def cut_out(
    photo: str | os.PathLike[str],
    size: int,
    face: int = 0,
    crop: tuple[float, float, float, float] | None = None,
    upsample: int = 0,
    detector: str = "hog",
) -> tuple[Pixels, list[str]]:
    """A face of a photograph as FFHQ would cut it, uint8 [size, size, 3], and what to know of it, a sentence each.

    Arguments and errors as of `encode`.
    """
    opened = open_photo(photo)
    notes = list(opened.warnings)
    if crop is not None:
        x, y, side, angle = crop
        quad = align.quad_at((x, y), side, angle)
    else:
        faces = find_faces(opened, upsample, detector)
        if not 0 <= face < len(faces):
            raise BadArgument(
                f"{opened.name!r} shows {len(faces)} face{'s' * (len(faces) > 1)}, numbered from 0, the largest; "
                f"there is no number {face}"
            )
        if len(faces) > 1:
            notes.append(f"{len(faces)} faces were found, numbered from 0, the largest; this is number {face}")
        quad = align.quad_of(faces[face])
    pixels, outside = align.crop(opened, quad, size)
    if outside > MADE_UP:
        notes.append(f"{outside:.0%} of the crop lie outside of the photograph and were made up")
    return pixels, notes


class Encoding:
    """A photograph that is being encoded: iterate over its steps, or take its results.

    Touching a result runs to the end; leaving the loop before (by ``break``, an error or Ctrl+C) keeps the best so far.

    Attributes:
        target: the picture that is encoded, uint8 [S, S, 3].
        steps: how many steps there will be at most.
        losses: the loss of each step so far.
        notes: what to know of the photograph, a sentence each: several faces, a crop that leaves it.
    """

    def __init__(self, generator: Generator, job: Project, notes: tuple[str, ...] = ()) -> None:
        self.notes = notes
        self.target, self.steps = job.target, job.settings.steps
        self.losses: list[float] = []
        self._generator, self._cancel = generator, threading.Event()
        self._answers = project(generator._model, job, self._cancel)
        self._done: ProjectionDone | None = None

    def __iter__(self) -> Iterator[Step]:
        try:
            while (step := self._next()) is not None:
                yield step
        finally:
            self._cancel.set()
            self._finish()

    @property
    def ws(self) -> Floats:
        """The best code, float32 [1, num_ws, w_dim]."""
        generator = self._generator
        return np.array(broadcast(self.code.array, generator.num_ws, generator.w_dim))[None]

    @property
    def noise(self) -> list[Floats] | None:
        """The optimised noise that belongs to it, one [r, r] array per layer; None where noise was not optimised."""
        maps = self.code.noise
        return None if maps is None else list(maps)

    @property
    def loss(self) -> float:
        """The loss of the best code."""
        return self._result().loss

    @property
    def image(self) -> Pixels:
        """The picture of the best code, uint8 [H, W, 3]."""
        return self._result().pixels

    @property
    def code(self) -> Code:
        """The best code as a value of facelab, in W or W+ with its noise."""
        return self._result().code

    def recipe(self, tuned: Tuning | None = None) -> Recipe:
        """How the best code is drawn, by the generator as it is or as it was tuned."""
        return Recipe.of(self.code).change(tuning=None if tuned is None else tuned.sha256)

    def save(self, path: str | os.PathLike[str], tuned: Tuning | None = None) -> None:
        """Write the best code as a .face.safetensors, which restores the face in the window and on the command line.

        Args:
            path: of the file.
            tuned: the tuning that the face is to be drawn with; it is saved in a file of its own.

        Raises:
            ExportError: it cannot be written there; nothing half-written is left.
        """
        recipe = self.recipe(tuned)
        model = self._generator._model
        write_face(
            Path(path),
            recipe,
            Code(
                array=model.ws(recipe),
                space="w+",
                generator=model.sha256,
                origin=self.code.origin,
                noise=self.code.noise,
            ),
        )

    def _result(self) -> ProjectionDone:
        self._finish()
        if self._done is None:
            raise Diverged("the encoding stopped before its first step, so there is no code to keep; run it again")
        return self._done

    def _finish(self) -> None:
        while self._next() is not None:
            pass

    def _next(self) -> Step | None:
        """The next step; an interrupt waits until it is whole, so that the best so far is not lost."""
        with _interrupts_wait():
            for answer in self._answers:
                if isinstance(answer, ProjectionDone):
                    self._done = answer
                elif isinstance(answer, ProjectionStep):
                    self.losses += answer.losses["total"]
                    if answer.ws is not None and answer.pixels is not None:
                        return Step(answer.steps[-1], answer.losses["total"][-1], answer.ws[None], answer.pixels)
        return None


@dataclass(frozen=True, eq=False)
class Tuning:
    """A generator that was bent to a photograph; made by `tune`.

    Attributes:
        generator: the bent copy.
        sha256: the tuning's identity, which recipes name.
        image: what the photograph's code now draws, uint8 [H, W, 3].
        loss: of that picture.
        steps: how many were made.
        blob: what was changed, as it is saved.
    """

    generator: Generator
    sha256: str
    image: Pixels
    loss: float
    steps: int
    blob: bytes

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write what was changed, float16, as .safetensors; ``Generator.tuned`` reads it.

        Raises:
            ExportError: it cannot be written there; nothing half-written is left.
        """
        with replacing(path) as temporary:
            temporary.write_bytes(self.blob)


def tune(encoding: Encoding, steps: int = 350, **settings: Any) -> Tuning:
    """Bend a copy of the generator until it draws an encoded photograph: pivotal tuning.

    Best after an encoding into W, whose codes stay easy to edit. The generator itself is not changed.

    Args:
        encoding: of the photograph; runs to its end first.
        steps: how many.
        settings: other fields of ``jobs.TuningSettings``, by name.

    Raises:
        BadArgument: a setting is not as described.
        Diverged: the loss is no longer a finite number.
    """
    known = {field.name for field in fields(TuningSettings)}
    if unknown := sorted(set(settings) - known):
        raise BadArgument(f"tune knows no {unknown[0]!r}; its settings are {', '.join(sorted(known))}")
    model = encoding._generator._model
    job = Tune(
        run="api", generator=model.sha256, code=encoding.code, target=encoding.target,
        settings=TuningSettings(steps=steps, **settings),
    )  # fmt: skip
    *_, done = (answer for answer in tuning.tune(model, job, threading.Event()) if answer is not None)
    assert isinstance(done, TuningDone), "a tuning that raises nothing ends with its result"
    bent = Generator(tuning.apply(model, done.blob)[1])
    return Tuning(bent, done.tuning, done.pixels, done.loss, done.step, done.blob)


@contextlib.contextmanager
def _interrupts_wait() -> Iterator[None]:
    """Hold Ctrl+C back until the end of the block, where Python itself would handle it."""
    if (
        threading.current_thread() is not threading.main_thread()
        or signal.getsignal(signal.SIGINT) is not signal.default_int_handler
    ):
        yield
        return
    pressed = False

    def note(number: int, frame: FrameType | None) -> None:
        nonlocal pressed
        pressed = True

    signal.signal(signal.SIGINT, note)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    if pressed:
        raise KeyboardInterrupt


def load_latents(path: str | os.PathLike[str], space: str | None = None) -> Floats:
    """The codes of a file, whatever wrote it: float32 [N, L, C] (W+) or [N, C] (W or Z).

    Args:
        path: .face.safetensors, .npz, .npy, .pt or .pkl; no code from it runs.
        space: "w+", "w" or "z", where an array [n, C] could be one W+ code of n rows or n codes; without it, n of
            6, 8, 10 ... 18 is read as one W+ code.

    Raises:
        LatentError: the file is missing, damaged, asks for code to be run, or holds no codes.
        AmbiguousLatent: it holds several arrays of which none is named as a code.
    """
    return latents.load_latents(path, space)


def _finite(value: ArrayLike, name: str, shape: tuple[int | None, ...] | None = None) -> Floats:
    """The value as float32, of a shape (None: any length but 0), all numbers finite."""
    try:
        array = np.asarray(value)
        if array.dtype.kind not in "fiub":
            raise BadArgument(f"{name} must hold numbers, not {array.dtype}")
        with np.errstate(over="ignore"):
            array = array.astype(np.float32)
    except (ValueError, TypeError) as error:
        raise BadArgument(f"{name} must be an array of numbers: {error}") from error
    if shape is not None:
        fits = len(shape) == array.ndim and all(
            n > 0 if want is None else n == want for n, want in zip(array.shape, shape, strict=True)
        )
        if not fits:
            wanted = ", ".join("N" if n is None else str(n) for n in shape)
            raise BadArgument(f"{name} must be [{wanted}] for this generator, not {list(array.shape)}")
    if not np.isfinite(array).all():
        raise BadArgument(f"{name} holds numbers that are not finite")
    return array


def _is_whole(value: object) -> bool:
    return isinstance(value, int | np.integer)
