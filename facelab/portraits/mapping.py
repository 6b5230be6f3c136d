"""The mapping network of the portraits, constructed in closed form instead of trained, and the read-out of factors.

All but the last layer are random and only entangle: they turn z into features from which a whitening projection takes K
independent, nearly normal coordinates y (central limit theorem). The last layer holds nine hinge units per factor, so
that w is a piecewise linear basis over y, and every factor coordinate phi is linear in w: phi = R w + b0. So Z is
entangled and W is not, which is what StyleGAN's mapping network is for (Karras et al. 2019, section 4), and the rows
of R are exact ground truth for directions, separability and the semantics of layers.
"""

from __future__ import annotations

import zipfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from facelab.errors import FacelabError
from facelab.files import replacing
from facelab.portraits.factors import FACTORS, GROUPS, NAMES, Floats, K, phi_from_y

DIM = 512  # of z and of w
LAYERS = 4  # more layers entangle Z further: a linear probe of z explains 0.73 of phi with 2, 0.34 with 4, 0.09 with 8
_UNITS = 9  # hinge units per factor
_SLOPE, _GAIN = 0.2, np.sqrt(2.0)  # StyleGAN2's leaky ReLU
_LR_MULTIPLIER = 0.01  # the stored weights of a StyleGAN2 mapping are divided by it
_AXES = 400  # principal axes of the features that y is drawn from; the weakest would only amplify noise


class DirectionsError(FacelabError):
    """A file of portrait directions cannot be read."""


@dataclass(frozen=True)
class Readout:
    """How factors are read from w and moved in w.

    Attributes:
        names: of the factors, K.
        groups: "coarse", "middle" or "fine" of each.
        R: float32 [K, 512] and
        b0: float32 [K]: phi = R w + b0, the standardised coordinates.
        directions: float32 [K, 512], unit vectors of w; each moves its own factor and no other.
        sigma: float32 [K]: w + sigma[i] * directions[i] raises phi[i] by one standard deviation.
        layers: int64 [K, 2]: first row of ws that shows the factor, and the one after the last.
    """

    names: tuple[str, ...]
    groups: tuple[str, ...]
    R: Floats
    b0: Floats
    directions: Floats
    sigma: Floats
    layers: np.ndarray

    def phi(self, w: Floats) -> Floats:
        """w [..., 512] -> phi float32 [..., K]."""
        return (np.asarray(w, np.float32) @ self.R.T + self.b0).astype(np.float32)

    def save(self, path: Path) -> None:
        """Write as .npz; see docs/portraits.md for the arrays."""
        with replacing(path) as temporary, temporary.open("wb") as file:
            np.savez_compressed(
                file, names=np.array(self.names), groups=np.array(self.groups), R=self.R, b0=self.b0,
                directions=self.directions, sigma=self.sigma, layers=self.layers,
            )  # fmt: skip

    @classmethod
    def load(cls, path: Path) -> Readout:
        """Read what ``save`` wrote.

        Raises:
            DirectionsError: the file is missing, damaged, or its arrays do not belong together.
        """
        try:
            with path.open("rb") as file, np.load(file, allow_pickle=False) as data:
                read = cls(
                    tuple(map(str, data["names"])), tuple(map(str, data["groups"])), data["R"], data["b0"],
                    data["directions"], data["sigma"], data["layers"],
                )  # fmt: skip
        except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
            raise DirectionsError(f"{path} is not a whole file of portrait directions; get it anew.") from error
        count = len(read.names)
        if read.R.shape != (count, DIM) or read.directions.shape != (count, DIM) or read.layers.shape != (count, 2):
            raise DirectionsError(f"{path} holds arrays of shapes that do not belong together; get it anew.")
        return read


def owner_layers(num_ws: int) -> np.ndarray:
    """First and one after last row of ws that each group owns, int64 [3, 2]: four, four, the rest."""
    return np.array([[0, 4], [4, 8], [8, num_ws]], np.int64)


def readout(names: tuple[str, ...], groups: tuple[str, ...], R: Floats, b0: Floats, w: Floats, num_ws: int) -> Readout:
    """Add exact directions to a read-out: along the data, C R_i, within the units that only this factor reads.

    Args:
        R, b0: [K, 512] with rows of disjoint support, and [K].
        w: samples of W, [N, 512], whose covariance C shapes the directions.
    """
    cov = np.cov(np.asarray(w, np.float64).T)
    steps = np.zeros_like(R, dtype=np.float64)
    for i, row in enumerate(np.asarray(R, np.float64)):
        own = np.flatnonzero(row)
        move = cov[np.ix_(own, own)] @ row[own]
        steps[i, own] = move / (row[own] @ move)
    sigma = np.linalg.norm(steps, axis=1)
    layers = owner_layers(num_ws)[[("coarse", "middle", "fine").index(g) for g in groups]]
    return Readout(
        names, groups, R.astype(np.float32), b0.astype(np.float32), (steps / sigma[:, None]).astype(np.float32),
        sigma.astype(np.float32), layers,
    )  # fmt: skip


@dataclass(frozen=True)
class Mapping:
    """Weights [512, 512] and biases [512] of each layer, applied as they stand, and what they compute."""

    weights: tuple[Floats, ...]
    biases: tuple[Floats, ...]
    whiten: Floats  # [512, K]
    mean: Floats  # [512]

    def features(self, z: Floats) -> Floats:
        """z [N, 512] -> what enters the last layer, float64 [N, 512]."""
        x: Floats = np.asarray(z, np.float64)
        x = x / np.sqrt((x * x).mean(1, keepdims=True) + 1e-8)
        for weight, bias in zip(self.weights[:-1], self.biases[:-1], strict=True):
            x = _activate(x @ weight.T + bias)
        return x

    def w(self, z: Floats) -> Floats:
        """z [N, 512] -> w float64 [N, 512]."""
        return _activate(self.features(z) @ self.weights[-1].T + self.biases[-1])

    def y(self, z: Floats) -> Floats:
        """z [N, 512] -> the normal coordinates of its face, float64 [N, K]."""
        y: Floats = (self.features(z) - self.mean) @ self.whiten
        return y

    def state(self) -> dict[str, Floats]:
        """Tensors under StyleGAN2's names, before its runtime gains (lr_multiplier / sqrt(512) and lr_multiplier)."""
        state = {}
        for i, (weight, bias) in enumerate(zip(self.weights, self.biases, strict=True)):
            state[f"mapping.fc{i}.weight"] = (weight * (np.sqrt(DIM) / _LR_MULTIPLIER)).astype(np.float32)
            state[f"mapping.fc{i}.bias"] = (bias / _LR_MULTIPLIER).astype(np.float32)
        return state


def _activate(x: Floats) -> Floats:
    y: Floats = np.where(x < 0, _SLOPE * x, x) * _GAIN
    return y


def _knots(i: int) -> Floats:
    """Where the hinges of factor i lie on y: over the whole range, or around the threshold of a gate."""
    factor = FACTORS[i]
    if factor.gate:
        around = np.array([-1.6, -0.95, -0.6, -0.3, 0.1, 0.5, 1.2])
        return np.append(factor.low + around * factor.high, -1.0)
    return np.array([-2.0, -1.3, -0.7, -0.2, 0.2, 0.7, 1.3, 2.0])


def construct(seed: int = 9, samples: int = 32768) -> Mapping:
    """Build the mapping network; ten seconds on one core.

    Args:
        seed: of the random layers and of the rotation that hands coordinates to factors.
        samples: number of z from which mean and covariance of the features are taken.
    """
    rng = np.random.default_rng(seed)
    hidden = tuple(rng.standard_normal((DIM, DIM)) / np.sqrt(DIM) for _ in range(LAYERS - 1))
    zeros = tuple(np.zeros(DIM) for _ in range(LAYERS - 1))
    partial = Mapping((*hidden, np.eye(DIM)), (*zeros, np.zeros(DIM)), np.empty((0,)), np.empty((0,)))
    h = np.concatenate([partial.features(rng.standard_normal((4096, DIM))) for _ in range(max(samples // 4096, 1))])
    mean = h.mean(0)
    values, axes = np.linalg.eigh(np.cov(h.T))
    # eigh leaves signs open; a fixed one keeps the construction the same on every machine.
    axes = axes * np.where(axes[np.abs(axes).argmax(0), np.arange(DIM)] < 0, -1.0, 1.0)
    rotation, _ = np.linalg.qr(rng.standard_normal((_AXES, K)))
    whiten = (axes[:, ::-1][:, :_AXES] / np.sqrt(values[::-1][:_AXES])) @ rotation
    rows, biases = [], []
    for i in range(K):
        for j, knot in enumerate(_knots(i)):
            sign = 1.0 if j % 2 == 0 else -1.0
            rows.append(sign * whiten[:, i])
            biases.append(-sign * (whiten[:, i] @ mean + knot))
        rows.append(whiten[:, i])  # a unit far from its hinge, nearly linear
        biases.append(3.0 - whiten[:, i] @ mean)
    spare = 0.5 * rng.standard_normal((DIM - len(rows), DIM)) / np.sqrt(DIM)
    last = np.concatenate([np.array(rows), spare]) / _GAIN
    bias = np.concatenate([np.array(biases), np.zeros(len(spare))]) / _GAIN
    return Mapping((*hidden, last), (*zeros, bias), whiten, mean)


def fit_readout(mapping: Mapping, num_ws: int, seed: int = 1, samples: int = 24000) -> Readout:
    """Least squares of every factor's phi on its own nine units of w, and nothing else."""
    z = np.random.default_rng(seed).standard_normal((samples, DIM))
    w, phi = mapping.w(z), phi_from_y(mapping.y(z)).astype(np.float64)
    R, b0 = np.zeros((K, DIM)), np.zeros(K)
    for i in range(K):
        own = slice(_UNITS * i, _UNITS * (i + 1))
        units = np.column_stack([w[:, own], np.ones(len(w))])
        solution = np.linalg.solve(units.T @ units + 1e-3 * np.eye(_UNITS + 1), units.T @ phi[:, i])
        R[i, own], b0[i] = solution[:-1], solution[-1]
    return readout(NAMES, tuple(f.group for f in FACTORS), R, b0, w, num_ws)


__all__ = [
    "DIM",
    "GROUPS",
    "LAYERS",
    "DirectionsError",
    "Mapping",
    "Readout",
    "construct",
    "fit_readout",
    "owner_layers",
    "readout",
]
