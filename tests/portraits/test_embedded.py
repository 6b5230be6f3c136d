"""The embedded generator and its directions belong together and keep their promises."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from facelab.assets import EMBEDDED_GENERATOR, resource
from facelab.checkpoints import Checkpoint, load
from facelab.portraits.evaluation import draw_ws, path_ratio
from facelab.portraits.mapping import Readout


@pytest.fixture(scope="module")
def embedded() -> tuple[Checkpoint, Readout]:
    return load(resource(EMBEDDED_GENERATOR)), Readout.load(resource("portraits_directions.npz"))


def _codes(embedded: tuple[Checkpoint, Readout], count: int) -> np.ndarray:
    network = embedded[0].network
    with torch.no_grad():
        return network.map(torch.from_numpy(np.random.RandomState(1).randn(count, 512).astype(np.float32))).numpy()


def test_that_it_is_small_and_free() -> None:
    path = resource(EMBEDDED_GENERATOR)
    assert path.stat().st_size <= 12e6
    assert load(path).metadata["licence"] == "CC0-1.0"


def test_that_factors_are_standardised_over_random_faces(embedded: tuple[Checkpoint, Readout]) -> None:
    phi = embedded[1].phi(_codes(embedded, 4000))
    assert np.abs(phi.mean(0)).max() < 0.08
    assert np.abs(phi.std(0) - 1).max() < 0.08


def test_that_the_mean_face_is_nobody_in_particular(embedded: tuple[Checkpoint, Readout]) -> None:
    network, read = embedded[0].network, embedded[1]
    assert np.abs(read.phi(network.w_avg.numpy())).max() < 0.05


def test_that_a_factor_shows_in_its_own_layers_and_nowhere_else(embedded: tuple[Checkpoint, Readout]) -> None:
    network, read = embedded[0].network, embedded[1]
    w = _codes(embedded, 1)
    for name in ("yaw", "smile", "skin"):
        i = read.names.index(name)
        first, last = read.layers[i]
        move = 2 * read.sigma[i] * read.directions[i]
        ws = np.repeat(w[:, None], network.num_ws, 1)
        own, other = ws.copy(), ws + move
        own[:, first:last] += move
        other[:, first:last] -= move
        plain, moved, unmoved = draw_ws(network, np.concatenate([ws, own, other])).astype(int)
        assert np.abs(moved - plain).max() > 25, name
        assert np.abs(unmoved - plain).max() <= 2, name  # float16 weights leave a trace


def test_that_lines_of_z_are_detours(embedded: tuple[Checkpoint, Readout]) -> None:
    z = np.random.RandomState(3).randn(9, 512).astype(np.float32)
    assert path_ratio(embedded[0].network, embedded[1], z) > 1.3
