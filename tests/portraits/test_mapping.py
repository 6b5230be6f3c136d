"""The constructed mapping network and its read-out."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from facelab.nets import build
from facelab.portraits import mapping as m
from facelab.portraits.evaluation import probe
from facelab.portraits.factors import GROUP, NAMES, K, phi_from_y


@pytest.fixture(scope="module")
def built() -> tuple[m.Mapping, m.Readout]:
    made = m.construct(samples=12288)
    return made, m.fit_readout(made, 12, samples=8000)


@pytest.mark.slow
def test_that_factors_are_linear_in_w_and_not_in_z(built: tuple[m.Mapping, m.Readout]) -> None:
    made, read = built
    z = np.random.default_rng(3).standard_normal((3000, m.DIM))
    truth = phi_from_y(made.y(z))
    w = made.w(z)
    error = ((read.phi(w) - truth) ** 2).mean(0) / truth.var(0)
    assert 1 - error.mean() > 0.995
    assert error.max() < 0.02, NAMES[int(error.argmax())]
    assert probe(w, truth) > 0.99
    assert probe(z, truth) < 0.5


@pytest.mark.slow
def test_that_y_is_white(built: tuple[m.Mapping, m.Readout]) -> None:
    y = built[0].y(np.random.default_rng(4).standard_normal((6000, m.DIM)))
    covariance = np.cov(y.T)
    assert np.abs(covariance - np.eye(K)).max() < 0.12
    assert abs(float((y**4).mean()) - 3) < 0.3


@pytest.mark.slow
def test_that_a_direction_moves_its_own_factor_and_no_other(built: tuple[m.Mapping, m.Readout]) -> None:
    read = built[1]
    assert np.linalg.norm(read.directions, axis=1) == pytest.approx(np.ones(K), abs=1e-5)
    moved = (read.sigma[:, None] * read.directions) @ read.R.T
    assert moved == pytest.approx(np.eye(K), abs=1e-4)


@pytest.mark.slow
def test_that_an_ordinary_stylegan2_mapping_computes_the_same_w(built: tuple[m.Mapping, m.Readout]) -> None:
    made = built[0]
    network = build("stylegan2", {"resolution": 8, "channels": [4, 4], "mapping_features": [m.DIM] * m.LAYERS})
    state = {name.removeprefix("mapping."): torch.from_numpy(value) for name, value in made.state().items()}
    network.mapping.load_state_dict({**state, "w_avg": torch.zeros(m.DIM)})
    z = np.random.default_rng(5).standard_normal((4, m.DIM)).astype(np.float32)
    assert network.map(torch.from_numpy(z)).detach().numpy() == pytest.approx(made.w(z), abs=2e-4)


@pytest.mark.slow
def test_that_layers_follow_the_groups(built: tuple[m.Mapping, m.Readout]) -> None:
    read = built[1]
    assert [tuple(row) for row in read.layers] == [((0, 4), (4, 8), (8, 12))[g] for g in GROUP]


@pytest.mark.slow
def test_that_a_readout_survives_its_file(built: tuple[m.Mapping, m.Readout], tmp_path: Path) -> None:
    read = built[1]
    read.save(tmp_path / "directions.npz")
    back = m.Readout.load(tmp_path / "directions.npz")
    assert back.names == read.names
    assert back.groups == read.groups
    for name in ("R", "b0", "directions", "sigma", "layers"):
        assert np.array_equal(getattr(back, name), getattr(read, name))


def test_that_a_damaged_file_of_directions_is_refused_in_one_sentence(
    built: tuple[m.Mapping, m.Readout], tmp_path: Path
) -> None:
    path = tmp_path / "directions.npz"
    built[1].save(path)
    path.write_bytes(path.read_bytes()[:2000])
    with pytest.raises(m.DirectionsError, match="not a whole file"):
        m.Readout.load(path)
    with pytest.raises(m.DirectionsError, match="not a whole file"):
        m.Readout.load(tmp_path / "missing.npz")
    np.savez(
        path,
        names=np.array(["a"]),
        groups=np.array(["fine"]),
        R=np.zeros((2, 512)),
        b0=0,
        directions=0,
        sigma=0,
        layers=0,
    )
    with pytest.raises(m.DirectionsError, match="do not belong together"):
        m.Readout.load(path)
