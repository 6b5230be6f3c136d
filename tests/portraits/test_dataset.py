"""Training pictures: whole files only, batches from all of them, drawing in a process of its own."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from facelab.portraits import dataset as d
from facelab.portraits.factors import GATES, INDEX, K, phi_from_y


def _chunk(folder: Path, number: int, count: int, level: int) -> None:
    phi = np.full((count, K), level, np.float32)
    d.write(folder / f"chunk-{number:05d}.npz", phi, np.full((count, 8, 8, 3), level, np.uint8))


def test_that_batches_draw_from_every_chunk_and_keep_pairs_together(tmp_path: Path) -> None:
    _chunk(tmp_path, 0, 5, 10)
    _chunk(tmp_path, 1, 20, 200)
    pictures = d.Pictures(tmp_path)
    assert len(pictures) == 25
    phi, images = next(pictures.batches(np.random.default_rng(0), 200))
    assert (phi[:, 0] == images[:, 0, 0, 0]).all()
    assert 0.1 < (phi[:, 0] == 10).mean() < 0.3


def test_that_chunks_rendered_meanwhile_are_taken_in(tmp_path: Path) -> None:
    pictures = d.Pictures(tmp_path)
    batches = pictures.batches(np.random.default_rng(0), 4)
    with pytest.raises(d.DatasetError, match="holds no portraits"):
        next(batches)
    _chunk(tmp_path, 0, 5, 10)
    pictures.rescan()
    assert len(pictures) == 5


def test_that_a_damaged_chunk_or_one_of_another_teacher_is_refused(tmp_path: Path) -> None:
    _chunk(tmp_path, 0, 5, 10)
    path = tmp_path / "chunk-00000.npz"
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(d.DatasetError, match="not a whole file"):
        d.read(path)
    np.savez(path, phi=np.zeros((1, K), np.float32), pictures=np.zeros((1, 8, 8, 3), np.uint8), teacher=np.int64(-1))
    with pytest.raises(d.DatasetError, match="version -1"):
        d.read(path)


def test_that_the_held_out_faces_depend_on_the_seed_alone() -> None:
    assert d.held_out_phi(0).shape == (d.HELD_OUT, K)
    assert np.array_equal(d.held_out_phi(0), d.held_out_phi(0))
    assert not np.array_equal(d.held_out_phi(0), d.held_out_phi(1))


@pytest.fixture(scope="module")
def renderer() -> None:
    """Skips where portraits cannot be drawn."""
    try:
        d.draw(np.zeros((1, K), np.float32), 16)
    except d.DatasetError as error:
        pytest.skip(str(error))


@pytest.mark.slow
@pytest.mark.usefixtures("renderer")
def test_that_the_same_coordinates_draw_the_same_picture() -> None:
    phi = phi_from_y(np.random.default_rng(5).standard_normal((2, K)))
    first, second = d.draw(phi, 32), d.draw(phi[::-1], 32)
    assert first.shape == (2, 32, 32, 3)
    assert np.array_equal(first, second[::-1])
    assert np.abs(first[0].astype(int) - first[1]).mean() > 5


@pytest.mark.usefixtures("renderer")
@pytest.mark.slow
def test_that_factors_show_where_they_should() -> None:
    """Lit from the right is brighter there, a hat changes the top, a collar the bottom, a background its corner."""
    base = np.zeros((5, K), np.float32)
    for row, (name, raw) in enumerate([("hat", 1.0), ("background_lightness", 1.0), ("skin", 1.0), ("collar", 1.0)], 1):
        base[row, INDEX[name]] = 6.0 if GATES[INDEX[name]] else (raw - 0.5) * np.sqrt(12)
    plain, hat, light, dark, collar = d.draw(base, 64).astype(float)
    change = np.abs(hat - plain).mean(2)
    assert change[:20].mean() > 5 * change[44:].mean()
    assert light[:6, :6].mean() > plain[:6, :6].mean() + 30
    assert dark[30:40, 28:36].mean() < plain[30:40, 28:36].mean() - 20
    assert np.abs(collar - plain)[:40].mean() < 0.2 * np.abs(collar - plain)[52:].mean()


@pytest.mark.usefixtures("renderer")
@pytest.mark.slow
def test_that_rendering_goes_on_where_it_stopped(tmp_path: Path) -> None:
    phi = np.zeros((3, K), np.float32)
    d.write(tmp_path / "held-out.npz", phi, np.zeros((3, 16, 16, 3), np.uint8))
    kept = (tmp_path / "held-out.npz").stat().st_mtime_ns
    # A process of its own: the renderer refuses to work beside torch.
    code = f"from pathlib import Path; from facelab.portraits.dataset import render; render(Path({str(tmp_path)!r}), 4, resolution=16, chunk=2)"
    for _ in range(2):
        done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert not done.stdout
    assert (tmp_path / "held-out.npz").stat().st_mtime_ns == kept
    coordinates, pictures = d.read(tmp_path / "chunk-00000.npz")
    assert pictures.shape == (2, 16, 16, 3)
    assert not list(tmp_path.glob("*.tmp*"))
    assert not np.array_equal(coordinates, d.read(tmp_path / "chunk-00001.npz")[0])


@pytest.mark.slow
def test_that_drawing_where_there_is_no_driver_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MESA_LOADER_DRIVER_OVERRIDE", "no-such-driver")
    monkeypatch.setenv("LIBGL_DRIVERS_PATH", "/nonexistent")
    monkeypatch.setenv("__EGL_VENDOR_LIBRARY_FILENAMES", "/nonexistent.json")
    with pytest.raises(d.DatasetError, match="cannot be drawn here"):
        d.draw(np.zeros((1, K), np.float32), 16)
