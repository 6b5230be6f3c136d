"""Directions come from files, and those of known factors only for the generator that was built from them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from facelab.engine import directions
from facelab.errors import BadArgument, ExportError, LatentError, WrongGenerator
from facelab.latent.code import Direction
from facelab.latent.direction import sigma_of

C, L = 24, 6
SHA = "ab" * 32
W = (np.random.RandomState(0).randn(4000, C) * np.linspace(0.5, 2, C)).astype(np.float32)


def unit(axis: int) -> np.ndarray:
    return np.eye(C, dtype=np.float32)[axis]


def test_that_directions_written_by_facelab_come_back_with_names_sigmas_and_layers(tmp_path: Path) -> None:
    kept = [
        Direction(name="smile", vector=unit(3), sigma=1.5, generator=SHA, layers=(1, 4), method="groups"),
        Direction(name="age", vector=unit(5), sigma=0.25, generator=SHA),
    ]
    path = directions.write(tmp_path / "mine.npz", kept, L)
    smile, age = directions.read(path, SHA, L, W)
    assert (smile.name, smile.sigma, smile.layers) == ("smile", 1.5, (1, 4))
    assert (age.name, age.sigma, age.layers) == ("age", 0.25, None)
    # Written as the same row in each layer, it moves a face as before.
    np.testing.assert_allclose(smile.sigma * smile.vector, 1.5 * unit(3), rtol=1e-6)


def test_that_directions_that_cannot_be_written_leave_nothing(tmp_path: Path) -> None:
    one = Direction(name="a", vector=unit(1), sigma=1.0, generator=SHA)
    with pytest.raises(BadArgument, match="no directions"):
        directions.write(tmp_path / "none.npz", [], L)
    with pytest.raises(ExportError):
        directions.write(tmp_path / "missing" / "a.npz", [one], L)
    assert not list(tmp_path.iterdir())


def test_that_a_bare_array_gives_unit_directions_with_measured_sigmas(tmp_path: Path) -> None:
    path = tmp_path / "boundary.npy"
    np.save(path, 7 * unit(2)[None])
    (found,) = directions.read(path, SHA, L, W)
    assert found.name == "boundary"
    assert found.sigma == pytest.approx(sigma_of(unit(2), W))
    np.testing.assert_allclose(found.vector, unit(2))


def test_that_each_array_of_a_file_is_called_by_its_name(tmp_path: Path) -> None:
    path = tmp_path / "several.npz"
    np.savez(path, age=unit(1), pose=unit(2))
    assert [d.name for d in directions.read(path, SHA, L, W)] == ["age", "pose"]


@pytest.mark.parametrize(
    ("arrays", "says"),
    [
        ({"x": np.ones(C + 1, np.float32)}, "shape"),
        ({"x": np.full(C, np.nan, np.float32)}, "not finite"),
        ({"x": np.zeros(C, np.float32)}, "no length"),
        ({"x": np.array(["a", "b"])}, "no array of numbers"),
        (
            {
                "vectors": np.ones((2, L, C)),
                "sigmas": np.ones(3),
                "layers": np.zeros((2, 2), int),
                "names": np.array(["a", "b"]),
            },
            "do not belong together",
        ),
        (
            {
                "vectors": np.ones((1, L, C)),
                "sigmas": np.ones(1),
                "layers": np.array([[0, L + 1]]),
                "names": np.array(["a"]),
            },
            "this generator has 6",
        ),
        (
            {
                "vectors": np.ones((1, L, C)),
                "sigmas": -np.ones(1),
                "layers": np.array([[0, L]]),
                "names": np.array(["a"]),
            },
            "positive",
        ),
    ],
)
def test_that_a_file_that_does_not_fit_is_refused_in_a_sentence(
    tmp_path: Path, arrays: dict[str, np.ndarray], says: str
) -> None:
    path = tmp_path / "bad.npz"
    np.savez(path, **arrays)
    with pytest.raises(LatentError, match=says):
        directions.read(path, SHA, L, W)


def test_that_a_missing_file_is_said(tmp_path: Path) -> None:
    with pytest.raises(LatentError, match="not there"):
        directions.read(tmp_path / "none.npz", SHA, L, W)


def factor_file(path: Path, w: np.ndarray) -> None:
    """As the portraits are exported: each factor is read from three units of w that no other reads."""
    random = np.random.RandomState(1)
    R = np.zeros((2, C), np.float32)
    R[0, 0:3], R[1, 3:6] = random.randn(3), random.randn(3)
    covariance = np.cov(w.T.astype(np.float64))
    steps = np.zeros((2, C))
    for row, step in zip(R, steps, strict=True):
        own = np.flatnonzero(row)
        move = covariance[np.ix_(own, own)] @ row[own]
        step[own] = move / (row[own] @ move)
    sigma = np.linalg.norm(steps, axis=1)
    np.savez(
        path, names=np.array(["yaw", "face_width"]), groups=np.array(["coarse", "coarse"]), R=R, b0=np.zeros(2),
        directions=(steps / sigma[:, None]).astype(np.float32), sigma=sigma.astype(np.float32),
        layers=np.array([[0, 4], [0, 4]]),
    )  # fmt: skip


def test_that_known_factors_move_their_own_reading_by_one(tmp_path: Path) -> None:
    path = tmp_path / "factors.npz"
    factor_file(path, W)
    again = (np.random.RandomState(9).randn(4000, C) * np.linspace(0.5, 2, C)).astype(np.float32)
    yaw, width = directions.factors(path, SHA, L, again)
    assert (yaw.name, width.name) == ("yaw", "face width")
    assert (yaw.layers, yaw.method, yaw.generator) == ((0, 4), "factor", SHA)
    with np.load(path) as data:
        np.testing.assert_allclose(data["R"] @ (yaw.sigma * yaw.vector), [1, 0], atol=1e-6)


def test_that_another_generator_has_no_known_factors(tmp_path: Path) -> None:
    path = tmp_path / "factors.npz"
    factor_file(path, W)
    with pytest.raises(WrongGenerator, match="no known factors"):
        directions.factors(path, SHA, L, W @ np.linalg.qr(np.random.RandomState(3).randn(C, C))[0].astype(np.float32))
    with pytest.raises(WrongGenerator):
        directions.factors(path, SHA, L, W[:, :-1])
