"""Training of the encoder: it learns, it resumes, its file carries the generator's codes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from facelab.nets.encoder import Encoder
from facelab.portraits import dataset, encoding, mapping
from facelab.portraits.factors import K, phi_from_raw, sample_phi


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("pictures")
    for name, phi in (("held-out", dataset.held_out_phi(0)), ("chunk-00000", sample_phi(np.random.default_rng(1), 64))):
        # Three factors show as the colour of the whole picture.
        colour = (128 + 40 * np.tanh(phi[:, :3])).astype(np.uint8)
        dataset.write(folder / f"{name}.npz", phi, np.tile(colour[:, None, None], (1, 32, 32, 1)))
    return folder


@pytest.mark.slow
def test_that_an_encoder_run_learns_and_resumes(pictures: Path, tmp_path: Path) -> None:
    run = encoding.EncoderRun(tmp_path, pictures)
    batches = run.pictures.batches(np.random.default_rng(0), 16)
    rng = torch.Generator().manual_seed(0)
    losses = [run.step(*next(batches), 0.002, rng) for _ in range(16)]
    run.save()
    resumed = encoding.EncoderRun(tmp_path, pictures)
    assert resumed.seen == 256
    assert torch.equal(resumed.held_out(), run.held_out())
    assert np.mean(losses[-4:]) < 0.97 * np.mean(losses[:4])


@pytest.mark.slow
def test_that_the_written_encoder_gives_codes_of_the_generator(pictures: Path, tmp_path: Path) -> None:
    made = mapping.construct(samples=8192)
    read = mapping.fit_readout(made, 14, samples=6000)
    w = made.w(np.random.default_rng(5).standard_normal((4000, mapping.DIM))).astype(np.float32)
    run = encoding.EncoderRun(tmp_path / "run", pictures)
    run.export(tmp_path / "encoder.safetensors", read, w.mean(0))
    encoder = Encoder.load(tmp_path / "encoder.safetensors")
    phi = torch.randn(3, K, generator=torch.Generator().manual_seed(0))
    codes = encoder.codes(phi)
    assert codes.shape == (3, 14, 512)
    assert read.phi(codes[:, 0].numpy()) == pytest.approx(phi.numpy(), abs=0.02)


@pytest.mark.slow
def test_that_a_new_run_begins_with_the_weights_of_a_given_encoder(pictures: Path, tmp_path: Path) -> None:
    with torch.random.fork_rng():
        torch.manual_seed(5)
        start = Encoder(encoding.NAMES)
    run = encoding.EncoderRun(tmp_path / "started", pictures, start=start)
    assert torch.equal(run.average.head.weight, start.head.weight)
    assert torch.equal(run.encoder.stem.weight, start.stem.weight)


@pytest.mark.slow
def test_that_coordinates_beyond_the_ends_are_learned_as_the_ends(pictures: Path, tmp_path: Path) -> None:
    run = encoding.EncoderRun(tmp_path, pictures)
    phi, images = next(run.pictures.batches(np.random.default_rng(0), 8))
    low, high = phi_from_raw(np.zeros(K)), phi_from_raw(np.ones(K))
    beyond = np.where(phi > 0, high + 1, low - 1).astype(np.float32)
    ends = np.where(phi > 0, high, low).astype(np.float32)
    again = encoding.EncoderRun(tmp_path / "again", pictures)
    assert run.step(beyond, images, 0.0, torch.Generator().manual_seed(0)) == again.step(
        ends, images, 0.0, torch.Generator().manual_seed(0)
    )
