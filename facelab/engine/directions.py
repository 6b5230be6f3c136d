"""Files of directions: those that people exchange, and the exact ones of the factors that the embedded generator was built from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from facelab.engine import latents
from facelab.errors import BadArgument, LatentError, WrongGenerator
from facelab.files import replacing
from facelab.latent.code import Direction, Floats
from facelab.latent.direction import from_array, to_arrays

MAX_DIRECTIONS = 4096
MAX_AWAY = 0.1  # of a factor's step; another sample of W moves it by a hundredth, another generator by its own length


def read(path: Path, generator: str, num_ws: int, samples: Floats) -> tuple[Direction, ...]:
    """The directions of a file, for a generator.

    facelab's own .npz (see ``latent.direction.to_arrays``) keeps names, sigmas and layers; any other file of arrays that
    ``latents`` reads gives its array, or each of its arrays under its name, with the sigma that ``samples`` have along it.

    Args:
        path: .npz, .npy, .pt, .pkl or .safetensors.
        generator: SHA-256 of the generator.
        num_ws: its number of layers.
        samples: its W, [N, C].

    Raises:
        LatentError: the file is missing, damaged, asks for code to be run, or holds no directions.
        BadArgument: the directions do not fit the generator.
    """
    arrays = latents.arrays_of(path)
    name = path.stem
    try:
        if {"vectors", "sigmas", "layers", "names"} <= arrays.keys():
            return _whole(arrays, path.name, generator, num_ws, samples)
        numbers = {key: a for key, a in arrays.items() if a.dtype.kind in "fiu" and a.ndim}
        if not numbers:
            raise LatentError(f"{path.name!r} holds no array of numbers; choose a file of directions")
        found: list[Direction] = []
        for key, array in numbers.items():
            title = name if len(numbers) == 1 or not key else key
            found += from_array(array, name=title, generator=generator, num_ws=num_ws, samples=samples)
        if len(found) > MAX_DIRECTIONS:
            raise LatentError(f"{path.name!r} holds more than {MAX_DIRECTIONS} directions")
        return tuple(found)
    except BadArgument as error:
        raise LatentError(str(error)) from error


def _whole(
    arrays: Mapping[str, npt.NDArray[np.generic]], name: str, generator: str, num_ws: int, samples: Floats
) -> tuple[Direction, ...]:
    vectors, sigmas, layers, names = (arrays[key] for key in ("vectors", "sigmas", "layers", "names"))
    count = len(vectors) if vectors.ndim else 0
    if (
        not 0 < count <= MAX_DIRECTIONS or sigmas.shape != (count,) or layers.shape != (count, 2) or names.shape != (count,)
        or sigmas.dtype.kind != "f" or layers.dtype.kind not in "iu"
    ):  # fmt: skip
        raise LatentError(f"{name!r} is damaged: its arrays do not belong together; write it anew")
    if int(layers.max()) > num_ws:
        raise LatentError(f"{name!r} holds directions for {int(layers.max())} layers; this generator has {num_ws}")
    measured = from_array(vectors, name="direction", generator=generator, num_ws=num_ws, samples=samples)
    return tuple(
        Direction(
            name=str(title)[:200] or "direction", vector=one.vector, sigma=float(sigma) * float(np.linalg.norm(one.vector)),
            generator=generator, layers=None if (first, last) == (0, num_ws) else (int(first), int(last)), method="file",
        )
        for one, title, sigma, (first, last) in zip(measured, names, sigmas, layers.tolist(), strict=True)
    )  # fmt: skip


def write(path: Path, directions: Sequence[Direction], num_ws: int) -> Path:
    """Write directions as an .npz that `read` gives back; see ``latent.direction.to_arrays`` for its arrays.

    Raises:
        BadArgument: there are none, or they have different shapes.
        ExportError: the file cannot be written; nothing half-written is left.
    """
    arrays = to_arrays(directions, num_ws)
    with replacing(path) as temporary, temporary.open("wb") as file:
        np.savez_compressed(file, **arrays)  # type: ignore[arg-type]  # its stub takes a keyword for allow_pickle
    return path


def factors(path: Path, generator: str, num_ws: int, samples: Floats) -> tuple[Direction, ...]:
    """The exact directions of the factors that a generator of procedural portraits was built from.

    One sigma is one unit of the factor. The file belongs to a mapping network, not to one file of a generator, so it is asked
    whether its steps are those that the generator's own W gives: step_i = C R_i / (R_i C R_i), C the covariance of W within
    the units that only factor i reads.

    Raises:
        WrongGenerator: they are not.
        LatentError: the file is damaged.
    """
    arrays = latents.arrays_of(path)
    try:
        names, R, vectors, sigmas, layers = (arrays[key] for key in ("names", "R", "directions", "sigma", "layers"))
    except KeyError as error:
        raise LatentError(f"{path.name!r} is damaged; install facelab again") from error
    w = np.asarray(samples, np.float64)
    apart = WrongGenerator(
        "this generator has no known factors: only the one that comes with facelab was built from them; find directions in it "
        "by another way"
    )
    if vectors.shape[1:] != w.shape[1:] or R.shape != vectors.shape or int(layers.max()) > num_ws:
        raise apart
    covariance = np.cov(w.T)
    for row, vector, sigma in zip(np.asarray(R, np.float64), vectors, sigmas, strict=True):
        own = np.flatnonzero(row)
        move = covariance[np.ix_(own, own)] @ row[own]
        spread = float(row[own] @ move)
        step = np.zeros(row.size)
        if spread > 0:
            step[own] = move / spread
        if np.linalg.norm(step - vector * sigma) > MAX_AWAY * sigma:
            raise apart
    return tuple(
        Direction(
            name=str(name).replace("_", " "), vector=vector, sigma=float(sigma), generator=generator,
            layers=(int(first), int(last)), method="factor",
        )
        for name, vector, sigma, (first, last) in zip(names, vectors, sigmas, layers.tolist(), strict=True)
    )  # fmt: skip
