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

import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import ArrayLike
from torch import Tensor

from facelab import checkpoints
from facelab.assets import EMBEDDED_GENERATOR, resource
from facelab.engine.model import Look, Model, NoiseMaps, to_pixels
from facelab.errors import BadArgument
from facelab.jobs import Pixels
from facelab.latent.code import Floats
from facelab.latent.recipe import Noise
from facelab.latent.spaces import psi_by_layer, truncate


def open(path: str | os.PathLike[str] | None = None, device: str | None = None) -> Generator:
    """Open a generator.

    Args:
        path: a checkpoint of any format that facelab knows; no code from it runs. None is the embedded generator.
        device: "cpu", "cuda" or "mps"; None takes a GPU where there is one.

    Raises:
        CheckpointError: the file is missing, damaged, or no generator.
        BadArgument: the device is not here.
    """
    return Generator(Model.open(resource(EMBEDDED_GENERATOR) if path is None else Path(path), device))


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
        noise: Sequence[ArrayLike] | None = None,
        noise_strength: float | ArrayLike = 1.0,
        resolution: int | None = None,
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
    ) -> list[Tensor]:
        codes = _finite(ws, "ws", (None, self.num_ws, self.w_dim))
        side = self._model.check_resolution(resolution)
        look = self._look(noise_mode, noise, noise_strength, transform)
        return list(self._model.pictures(codes, look, side))

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
