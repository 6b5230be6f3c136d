"""Directions: from pairs and groups of faces, from the spread of W, from the network's own weights; and what is done with them.

A method is a function of a `Material` in `METHODS`; it gives unit vectors, and `find` measures how far one sigma is along each.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from facelab.errors import BadArgument
from facelab.latent.code import Direction, Floats

SHRINKAGE = 0.01  # of the mean variance of W, added to that of every axis where its covariance is inverted
_TINY = 1e-12


@dataclass(frozen=True, eq=False)
class Material:
    """What a method may find directions in.

    Attributes:
        samples: codes of W, [N, C], as the generator maps random z: sigmas are measured on them.
        groups: faces by group, each [n, C] or [n, L, C], all in one space.
        affines: weights of the affine layers that turn w into styles, each [styles, C], of the layers that are asked for.
        w_avg: the mean of W, [C]; the mean of the samples when None.
    """

    samples: Floats
    groups: tuple[Floats, ...] = ()
    affines: tuple[Floats, ...] = ()
    w_avg: Floats | None = None


@dataclass(frozen=True, eq=False)
class Found:
    """Unit vectors [K, C] or [K, L, C], the most telling first; of each its share of the whole, where there is such."""

    vectors: Floats
    shares: tuple[float, ...] = ()


@dataclass(frozen=True)
class Method:
    """One way to find directions.

    Attributes:
        find: from a material and a number of directions to at most so many.
        needs: which field of the material has to be filled.
        groups: the least and the largest number of groups of faces that it takes.
        label: what a person chooses by.
        help: one sentence.
    """

    find: Callable[[Material, int], Found]
    needs: Literal["groups", "samples", "affines"]
    groups: tuple[int, int]
    label: str
    help: str


# -- methods --------------------------------------------------------------------------------------------------------------------
def pair(material: Material, count: int = 1) -> Found:
    """From the first face to the second: the whole way between them is one line, of which this is the unit."""
    one, other = _two_groups(material)
    if len(one) != 1 or len(other) != 1:
        raise BadArgument("a pair is one face in each group; for more faces use groups")
    return Found(_unit(other[0] - one[0], "the two faces are the same")[None])


def groups(material: Material, count: int = 1) -> Found:
    """From the mean of the first group to the mean of the second; with one group, from the mean of W to it."""
    if len(material.groups) == 1:
        other = _group(material.groups[0])
        one = _centre(material) if other.ndim == 2 else np.broadcast_to(_centre(material), other.shape[1:])
        return Found(_unit(other.mean(0, np.float64) - one, "the group's mean is that of all faces")[None])
    one, other = _two_groups(material)
    return Found(_unit(other.mean(0, np.float64) - one.mean(0, np.float64), "the two groups have the same mean")[None])


def pca(material: Material, count: int) -> Found:
    """The principal components of W, by falling variance; the shares are of the variance.

    Source: Harkonen et al. 2020, GANSpace (arXiv:2004.02546).
    """
    samples = np.asarray(material.samples, np.float64)
    if samples.ndim != 2 or len(samples) < 2:
        raise BadArgument(f"principal components need samples [N, C], not {samples.shape}")
    away = samples - samples.mean(0)
    return _by_eigenvalue(away.T @ away / len(away), min(count, len(samples) - 1))


def sefa(material: Material, count: int) -> Found:
    """The directions that move the styles most, from the affine weights alone; the shares are of the eigenvalues.

    Each style's row of weights is brought to length 1 first, so that no layer speaks louder than another.

    Source: Shen and Zhou 2021, closed-form factorisation (arXiv:2007.06600). Eigenvalues come sorted, unlike there.
    """
    if not material.affines:
        raise BadArgument("factorisation needs the affine weights of at least one layer")
    rows = np.concatenate([np.asarray(a, np.float64) for a in material.affines])
    if rows.ndim != 2 or not np.isfinite(rows).all():
        raise BadArgument("affine weights are finite and have the shape [styles, C]")
    length = np.linalg.norm(rows, axis=1, keepdims=True)
    rows = np.divide(rows, length, out=np.zeros_like(rows), where=length > _TINY)
    return _by_eigenvalue(rows.T @ rows, count)


METHODS: dict[str, Method] = {
    "pair": Method(pair, "groups", (2, 2), "Between two faces", "From one face to another."),
    "groups": Method(
        groups, "groups", (1, 2), "Between two groups", "From the mean of one group of faces to that of another."
    ),
    "pca": Method(
        pca, "samples", (0, 0), "Principal components", "The directions in which the faces of W differ most."
    ),
    "sefa": Method(
        sefa,
        "affines",
        (0, 0),
        "Factorised weights",
        "The directions to which the network's layers answer most (SeFa).",
    ),
}


def find(
    method: str,
    material: Material,
    *,
    generator: str,
    count: int = 16,
    layers: tuple[int, int] | None = None,
    name: str = "",
) -> tuple[tuple[Direction, ...], tuple[float, ...]]:
    """Directions by one of `METHODS`, with their sigmas.

    Args:
        method: a name in `METHODS`.
        material: see there.
        generator: SHA-256.
        count: how many at most.
        layers: half-open range of layers that they are meant for, or None for all.
        name: what they are called; numbered when there is more than one.

    Returns:
        The directions, and the share of each where the method has one.

    Raises:
        BadArgument: an unknown method, or material that it can find nothing in.
    """
    if method not in METHODS:
        raise BadArgument(f"directions are found by {', '.join(METHODS)}, not {method!r}")
    if count < 1:
        raise BadArgument("ask for at least one direction")
    how = METHODS[method]
    least, most = how.groups
    if not least <= len(material.groups) <= max(most, least) and most:
        raise BadArgument(
            f"{how.label.lower()}: give {least if least == most else f'{least} or {most}'} groups of faces"
        )
    found = how.find(material, count)
    title = name or how.label
    return tuple(
        Direction(
            name=f"{title} {i + 1}" if len(found.vectors) > 1 else title,
            vector=v, sigma=sigma_of(v, material.samples), generator=generator, layers=layers, method=method,
        )
        for i, v in enumerate(found.vectors)
    ), found.shares  # fmt: skip


def group_of(mapped: Sequence[Floats]) -> Floats:
    """Faces as one group of a `Material`: [n, C] when all lie in W, [n, L, C] when any lies in W+.

    Args:
        mapped: each face as W [C] or W+ [L, C] (z already through the mapping network).
    """
    if not mapped:
        raise BadArgument("a group holds at least one face")
    full = next((m.shape for m in mapped if m.ndim == 2), mapped[0].shape)
    if any(m.shape not in (full, full[-1:]) for m in mapped):
        raise BadArgument("the faces of a group have different shapes")
    return np.stack([np.broadcast_to(m, full) for m in mapped])


# -- measures -------------------------------------------------------------------------------------------------------------------
def sigma_of(vector: npt.ArrayLike, samples: npt.ArrayLike) -> float:
    """How far the generator's own faces spread along a unit vector.

    For a vector of W it is the standard deviation of the samples' coordinates. For one of W+, whose layers may pull apart, it is
    that length at which its layers move as much as samples spread there: sqrt(n sum_l |v_l|^2 s_l^2), where s_l^2 is the variance
    along v_l, and n = 1 / sum_l |v_l|^4 for unit v, the number of layers that take part. A vector that is the same in all layers
    so has the sigma of its row, scaled to the length of the whole.

    Args:
        vector: [C] or [L, C].
        samples: codes of W, [N, C].

    Raises:
        BadArgument: shapes that do not go together, or samples that do not spread along the vector.
    """
    v, w = np.asarray(vector, np.float64), np.asarray(samples, np.float64)
    if w.ndim != 2 or len(w) < 2 or v.ndim not in (1, 2) or v.shape[-1] != w.shape[1]:
        raise BadArgument(f"a direction {v.shape} and samples {w.shape} do not go together")
    v = _unit(v, "a direction has a length").astype(np.float64)
    rows = np.atleast_2d(v)
    variance = (w @ rows.T).var(0)  # of the coordinates along v_l, which is |v_l|^2 s_l^2
    spread = math.sqrt(float(variance.sum()) / float((rows**2).sum(1) @ (rows**2).sum(1)))
    if not (math.isfinite(spread) and spread > _TINY):
        raise BadArgument("the faces of this generator do not differ along that direction")
    return spread


def amount_of(
    code: npt.ArrayLike, direction: Direction, w_avg: npt.ArrayLike, layers: tuple[int, int] | None = None
) -> float:
    """How many sigmas a face lies along a direction from the mean of W: the amount whose step comes nearest to it.

    Args:
        code: W [C] or W+ [L, C].
        direction: its own layers count unless ``layers`` are given.
        w_avg: [C].
        layers: half-open range.
    """
    away = np.atleast_2d(np.asarray(code, np.float64) - np.asarray(w_avg, np.float64))
    step = np.broadcast_to(np.asarray(direction.vector, np.float64), _rows(direction.vector, len(away)))
    away = np.broadcast_to(away, step.shape) if len(away) == 1 else away
    if away.shape != step.shape:
        raise BadArgument(f"a code {away.shape} and a direction {step.shape} do not go together")
    use = layers or direction.layers
    if use and len(step) > 1:
        away, step = away[slice(*use)], step[slice(*use)]
    length = float((step**2).sum())
    return 0.0 if length < _TINY else float((away * step).sum()) / (length * direction.sigma)


def orthogonalise(direction: Direction, others: Sequence[Direction], samples: npt.ArrayLike) -> Direction:
    """The part of a direction that leaves alone what others change; it keeps its name and layers.

    What the others span is taken away, whatever angles they have to one another. Right angles are those of W's own spread: a
    direction d, the difference of two groups' means, moves along d, but what tells the groups apart is read along C^-1 d (Fisher's
    discriminant, C the covariance of W), and it is the reading that is to stay the same.

    Args:
        direction: [C] or [L, C].
        others: to be left alone, of the same generator.
        samples: codes of W, [N, C], for C and for the new sigma.

    Raises:
        BadArgument: another generator, or nothing is left.

    Source: Shen et al. 2020, InterFaceGAN, conditional manipulation (arXiv:1907.10786), which takes C for the identity.
    """
    if not others:
        return direction
    if any(o.generator != direction.generator for o in others):
        raise BadArgument("the directions belong to different generators")
    shapes = {d.vector.shape for d in (direction, *others) if d.vector.ndim == 2}
    if len(shapes) > 1 or len({d.vector.shape[-1] for d in (direction, *others)}) > 1:
        raise BadArgument("the directions have different shapes")
    shape = shapes.pop() if shapes else direction.vector.shape
    whiten, back = _whitening(np.asarray(samples, np.float64))
    vector = (np.broadcast_to(direction.vector, shape) @ whiten).ravel()
    basis = np.stack([(np.broadcast_to(o.vector, shape) @ whiten).ravel() for o in others], 1)
    # An orthonormal basis by singular values: others that are nearly the same count once.
    span, weight, _ = np.linalg.svd(basis / np.linalg.norm(basis, axis=0), full_matrices=False)
    span = span[:, weight > 1e-6 * weight[0]]
    left = vector - span @ (span.T @ vector)
    left -= span @ (span.T @ left)  # once more: what rounding left
    if np.linalg.norm(left) < 1e-4 * np.linalg.norm(vector):
        raise BadArgument(f"{direction.name!r} lies wholly within the others: nothing of it is left")
    new = _unit(left.reshape(shape) @ back, "nothing is left")
    return Direction(
        name=direction.name, vector=new, sigma=sigma_of(new, samples), generator=direction.generator, layers=direction.layers,
        method=direction.method,
    )  # fmt: skip


def _whitening(samples: npt.NDArray[np.float64]) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """What makes all axes of W spread alike, [C, C], and its inverse; axes that hardly spread are not blown up without bound."""
    values, axes = np.linalg.eigh(np.atleast_2d(np.cov(samples.T)))
    spreads = np.sqrt(np.maximum(values, 0) + SHRINKAGE * max(values.mean(), _TINY))
    return (axes / spreads) @ axes.T, (axes * spreads) @ axes.T


def layer_shares(vector: npt.ArrayLike, samples: npt.ArrayLike) -> Floats:
    """What share each layer has in a direction of W+, [L]: its movement in units of the samples' spread there; sums to 1."""
    v, w = np.asarray(vector, np.float64), np.asarray(samples, np.float64)
    if v.ndim != 2 or w.ndim != 2 or v.shape[1] != w.shape[1]:
        raise BadArgument(f"a direction {v.shape} of W+ and samples {w.shape} do not go together")
    lengths = np.linalg.norm(v, axis=1)
    unit = np.divide(v, lengths[:, None], out=np.zeros_like(v), where=lengths[:, None] > _TINY)
    spread = (w @ unit.T).std(0)
    moved = np.divide(lengths, spread, out=np.zeros_like(lengths), where=spread > _TINY)
    if not moved.any():
        raise BadArgument("the faces of this generator do not differ along that direction")
    return np.asarray(moved / moved.sum(), np.float32)


def rank_layers(vector: npt.ArrayLike, samples: npt.ArrayLike) -> tuple[int, ...]:
    """The layers of a direction of W+, that which moves most first."""
    return tuple(int(i) for i in np.argsort(-layer_shares(vector, samples), kind="stable"))


# -- arrays of files ------------------------------------------------------------------------------------------------------------
def from_array(
    array: npt.ArrayLike, *, name: str, generator: str, num_ws: int, samples: npt.ArrayLike, method: str = "file"
) -> tuple[Direction, ...]:
    """The directions in an array that was read from a file: [C], [1, C], [L, C], [1, L, C], [K, L, C], or [K, C] with K other than L.

    The length of a vector in a file says nothing that files agree on; each is brought to length 1, and its sigma measured.

    Raises:
        BadArgument: the array has another shape, is empty, zero or not finite.
    """
    a = np.asarray(array)
    if a.dtype.kind not in "fiu":
        raise BadArgument(f"{name!r} does not hold numbers")
    width = np.asarray(samples).shape[-1]
    if a.ndim not in (1, 2, 3) or a.shape[-1] != width or (a.ndim == 3 and a.shape[1] not in (1, num_ws)) or not a.size:
        raise BadArgument(
            f"{name!r} has the shape {list(a.shape)}; directions of this generator are [{width}] or [{num_ws}, {width}]"
        )
    if len(a) > 4096:
        raise BadArgument(f"{name!r} holds more than 4096 directions")
    if a.ndim == 1 or a.shape == (num_ws, width):
        vectors = [a]
    else:
        vectors = [v.reshape(-1, width) for v in a]
    if not np.isfinite(a).all():
        raise BadArgument(f"{name!r} holds numbers that are not finite")
    flat = [v[0] if v.ndim == 2 and (len(v) == 1 or (v == v[0]).all()) else v for v in vectors]
    return tuple(
        Direction(
            name=f"{name} {i + 1}" if len(flat) > 1 else name,
            vector=_unit(v, f"{name!r} holds a direction of no length"), sigma=sigma_of(v, samples), generator=generator,
            method=method,
        )
        for i, v in enumerate(flat)
    )  # fmt: skip


def to_arrays(directions: Sequence[Direction], num_ws: int) -> dict[str, npt.NDArray[np.generic]]:
    """Directions as the arrays of an .npz without objects, from which anybody reads them.

    ``vectors`` float32 [K, L, C] unit vectors, ``sigmas`` float32 [K], ``layers`` int32 [K, 2] half-open ranges, ``names`` [K].
    """
    if not directions:
        raise BadArgument("there are no directions to write")
    rows = [np.broadcast_to(d.vector, _rows(d.vector, num_ws)) for d in directions]
    if len({r.shape for r in rows}) > 1:
        raise BadArgument("the directions have different shapes")
    return {
        "vectors": np.stack(rows).astype(np.float32),
        "sigmas": np.array([d.sigma for d in directions], np.float32),
        "layers": np.array([d.layers or (0, num_ws) for d in directions], np.int32),
        "names": np.array([d.name for d in directions], np.str_),
    }


# -- inside ---------------------------------------------------------------------------------------------------------------------
def _rows(vector: Floats, num_ws: int) -> tuple[int, ...]:
    return vector.shape if vector.ndim == 2 else (num_ws, vector.size)


def _unit(vector: npt.ArrayLike, otherwise: str) -> Floats:
    v = np.asarray(vector, np.float64)
    length = np.linalg.norm(v)
    if not np.isfinite(length):
        raise BadArgument("a direction holds numbers that are not finite")
    if length < _TINY:
        raise BadArgument(otherwise)
    return np.asarray(v / length, np.float32)


def _group(group: npt.ArrayLike) -> Floats:
    g = np.asarray(group, np.float32)
    if g.ndim not in (2, 3) or not len(g):
        raise BadArgument(f"a group holds at least one face of W or W+, not the shape {g.shape}")
    return g


def _two_groups(material: Material) -> tuple[Floats, Floats]:
    if len(material.groups) != 2:
        raise BadArgument("give two groups of faces")
    one, other = (_group(g) for g in material.groups)
    if one.ndim != other.ndim:  # W beside W+: the same in every layer
        one, other = (
            np.broadcast_to(g[:, None], (len(g), *h.shape[1:])) if g.ndim < h.ndim else g
            for g, h in ((one, other), (other, one))
        )
    if one.shape[1:] != other.shape[1:]:
        raise BadArgument(f"the faces of the two groups have different shapes, {one.shape[1:]} and {other.shape[1:]}")
    return one, other


def _centre(material: Material) -> Floats:
    return np.asarray(material.samples.mean(0) if material.w_avg is None else material.w_avg, np.float32)


def _by_eigenvalue(matrix: npt.NDArray[np.float64], count: int) -> Found:
    """The eigenvectors of a symmetric matrix with the largest eigenvalues; of v and -v that whose largest entry is positive."""
    if not np.isfinite(matrix).all():
        raise BadArgument("the numbers to find directions in are not finite")
    values, vectors = np.linalg.eigh(matrix)
    order = np.argsort(values)[::-1][:count]
    chosen = vectors[:, order].T
    largest = np.take_along_axis(chosen, np.abs(chosen).argmax(1)[:, None], 1)
    total = float(values.clip(0).sum())
    shares = values[order].clip(0) / total if total > 0 else np.zeros(len(order))
    return Found(np.asarray(chosen * np.sign(largest), np.float32), tuple(float(s) for s in shares))
