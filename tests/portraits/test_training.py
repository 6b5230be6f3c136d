"""Training, its resumption and its result, on a real network of 64 pixels, the smallest that has three groups of layers."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from facelab.checkpoints import load
from facelab.nets import Network
from facelab.portraits import dataset, export, mapping, training
from facelab.portraits.evaluation import draw_ws, sharpness
from facelab.portraits.factors import GROUP, TEACHER_VERSION, K, sample_phi

PLAN = training.Plan(resolution=64, channel_base=512, channel_max=8, batch=4, rate=0.004)


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A teacher that a small network can learn: a disc whose place and colours follow a few factors."""
    folder = tmp_path_factory.mktemp("pictures")

    def draw(phi: np.ndarray) -> np.ndarray:
        y, x = np.mgrid[-1:1:64j, -1:1:64j]
        groups = [phi[:, np.flatnonzero(group == GROUP)[:3]] for group in range(3)]
        coarse, middle, fine = groups
        inside = (
            np.hypot(x - 0.3 * coarse[:, :1, None], y - 0.3 * coarse[:, 1:2, None]) < 0.6 + 0.1 * middle[:, :1, None]
        )
        colour = 128 + 50 * np.tanh(fine)[:, None, None, :]
        return np.where(inside[..., None], colour, 40).astype(np.uint8)

    held = dataset.held_out_phi(0)
    dataset.write(folder / "held-out.npz", held, draw(held))
    phi = sample_phi(np.random.default_rng(1), 400)
    dataset.write(folder / "chunk-00000.npz", phi, draw(phi))
    return folder


def _steps(run: training.Run, count: int, seed: int = 0) -> list[float]:
    rng, torch_rng = np.random.default_rng(seed), torch.Generator().manual_seed(seed)
    batches = run.pictures.batches(rng, run.plan.batch)
    return [run.step(*next(batches), run.plan.rate, 0.2, torch_rng) for _ in range(count)]


def _equal(a: Network, b: Network) -> bool:
    return all(torch.equal(x, y) for x, y in zip(a.synthesis.parameters(), b.synthesis.parameters(), strict=True))


@pytest.fixture(scope="module")
def trained(pictures: Path, tmp_path_factory: pytest.TempPathFactory) -> training.Run:
    run = training.Run(tmp_path_factory.mktemp("run"), pictures, PLAN)
    _steps(run, 150)
    run.save()
    return run


@pytest.mark.slow
def test_that_training_brings_the_picture_nearer(trained: training.Run, pictures: Path, tmp_path: Path) -> None:
    fresh = training.Run(tmp_path, pictures, PLAN)
    assert trained.held_out() > fresh.held_out() + 3


@pytest.mark.slow
def test_that_a_resumed_run_goes_on_as_if_it_had_not_stopped(trained: training.Run, pictures: Path) -> None:
    resumed = training.Run(trained.folder, pictures, training.Plan(rate=1.0))
    assert resumed.plan == PLAN
    assert resumed.progress.pictures == 600
    assert _equal(resumed.average, trained.average)
    assert _steps(resumed, 3, seed=9) == _steps(training.Run(trained.folder, pictures), 3, seed=9)
    straight = training.Run(trained.folder / "straight", pictures, PLAN)
    _steps(straight, 5, seed=1)
    straight.save()
    again = training.Run(trained.folder / "straight", pictures)
    _steps(straight, 5, seed=2)
    _steps(again, 5, seed=2)
    assert _equal(straight.network, again.network)
    assert _equal(straight.average, again.average)


@pytest.mark.slow
def test_that_styles_never_read_factors_of_another_group(trained: training.Run) -> None:
    for name, mask in training.owner_masks(trained.network).items():
        weight = training.style(trained.network, name).weight
        assert torch.count_nonzero(weight[:, mask == 0]) == 0
        assert torch.count_nonzero(weight[:, mask == 1]) > 0
    rows = training.owner_masks(training.student(training.Plan()))
    assert torch.equal(rows["b4.conv1.affine"], torch.from_numpy(np.float32(GROUP == 0)))
    assert torch.equal(rows["b16.conv1.affine"], torch.from_numpy(np.float32(GROUP == 1)))
    assert torch.equal(rows["b64.torgb.affine"], torch.from_numpy(np.float32(GROUP == 2)))


def test_that_codes_pulled_apart_keep_their_mean_over_the_owners() -> None:
    phi = torch.randn(6, K, generator=torch.Generator().manual_seed(0))
    ws = training.spread(phi, 12, 1.0, torch.Generator().manual_seed(1))
    for group, (first, last) in enumerate(mapping.owner_layers(12)):
        own = torch.from_numpy(np.flatnonzero(group == GROUP))
        assert torch.allclose(ws[:, first:last, own].mean(1), phi[:, own], atol=1e-5)
        assert (ws[:, first:last, own] - phi[:, None, own]).std() > 0.1
    assert torch.equal(training.spread(phi, 12, 0.0, torch.Generator()), phi[:, None].expand(-1, 12, -1))


@pytest.fixture(scope="module")
def mapped() -> tuple[mapping.Mapping, mapping.Readout]:
    made = mapping.construct(samples=8192)
    return made, mapping.fit_readout(made, training.student(PLAN).num_ws, samples=6000)


@pytest.mark.slow
def test_that_the_export_draws_what_the_run_draws(
    trained: training.Run, mapped: tuple[mapping.Mapping, mapping.Readout]
) -> None:
    made, read = mapped
    generator = export.compose(trained.average, made, read, half=False)
    z = torch.randn(4, 512, generator=torch.Generator().manual_seed(3))
    w = generator.map(z)
    phi = torch.from_numpy(read.phi(w.numpy()))
    mine = generator.synthesize(w[:, None].expand(-1, generator.num_ws, -1))
    assert torch.allclose(mine, training.draw_phi(trained.average, phi), atol=2e-4)
    # Style mixing at a border is exact: the middle rows carry nothing of the coarse factors.
    ws = w[:1, None].repeat(1, generator.num_ws, 1)
    ws[:, :4] = w[1:2, None]
    wanted = torch.where(torch.from_numpy(GROUP == 0), phi[1], phi[0])[None]
    assert torch.allclose(generator.synthesize(ws), training.draw_phi(trained.average, wanted), atol=2e-4)


@pytest.mark.slow
def test_that_the_exported_file_is_whole_and_tells_its_facts(trained: training.Run, tmp_path: Path) -> None:
    generator = export.export(trained, tmp_path / "portraits.safetensors", tmp_path / "directions.npz")
    back = load(tmp_path / "portraits.safetensors")
    read = mapping.Readout.load(tmp_path / "directions.npz")
    codes = back.network.map(torch.randn(2, 512, generator=torch.Generator().manual_seed(0))).numpy()
    assert all(torch.equal(value, back.network.state_dict()[name]) for name, value in generator.state_dict().items())
    assert np.abs(draw_ws(generator, codes).astype(int) - draw_ws(back.network, codes)).max() <= 1
    assert back.metadata["teacher_version"] == str(TEACHER_VERSION)
    assert back.metadata["noise"] == "none"
    assert back.metadata["licence"] == "CC0-1.0"
    assert int(back.metadata["pictures_seen"]) == trained.progress.pictures
    assert read.phi(back.network.w_avg.numpy()) == pytest.approx(np.zeros(K), abs=0.05)


@pytest.mark.slow
def test_that_a_run_can_begin_with_a_narrower_generator(
    trained: training.Run, mapped: tuple[mapping.Mapping, mapping.Readout], pictures: Path, tmp_path: Path
) -> None:
    made, read = mapped
    source = export.compose(trained.average, made, read, half=False)
    wider = training.Plan(resolution=64, channel_base=1024, channel_max=12)
    run = training.Run(tmp_path, pictures, wider, (source, read))
    phi = run.held_phi[:4]
    assert torch.allclose(training.draw_phi(run.network, phi), training.draw_phi(trained.average, phi), atol=2e-3)
    with pytest.raises(training.TrainingError, match="wider than the plan"):
        training.adopt(training.student(training.Plan(resolution=64, channel_base=256, channel_max=4)), source, read)


@pytest.mark.slow
def test_that_a_network_can_begin_with_a_smaller_one_and_draws_its_pictures_enlarged(
    trained: training.Run, mapped: tuple[mapping.Mapping, mapping.Readout]
) -> None:
    made, read = mapped
    source = export.compose(trained.average, made, read, half=False)
    larger = training.student(training.Plan(resolution=128, channel_base=512, channel_max=8))
    training.adopt(larger, source, read)
    phi = trained.held_phi[:4]
    small = training.draw_phi(trained.average, phi)
    enlarged = torch.nn.functional.interpolate(small, scale_factor=2, mode="bilinear")
    drawn = training.draw_phi(larger, phi)
    assert torch.allclose(drawn[..., 1:-1, 1:-1], enlarged[..., 1:-1, 1:-1], atol=2e-3)
    with pytest.raises(training.TrainingError, match="64 px network from one of 128"):
        training.adopt(training.student(PLAN), larger, read)


@pytest.mark.slow
def test_that_a_round_writes_state_log_and_sheet(pictures: Path, tmp_path: Path) -> None:
    run = training.Run(tmp_path, pictures, PLAN)
    run.train(0.02)
    log = json.loads((tmp_path / "log.json").read_text())["log"]
    assert log[-1]["pictures"] == run.progress.pictures > 0
    assert log[-1]["held_out_psnr"] > 0
    assert (tmp_path / "held-out.png").exists()
    assert training.Run(tmp_path, pictures).progress.rounds == 1
    with pytest.raises(training.TrainingError, match="above 0"):
        run.train(float("nan"))


def test_that_a_damaged_state_is_refused_in_one_sentence(pictures: Path, tmp_path: Path) -> None:
    (tmp_path / "state.pt").write_bytes(b"PK\x03\x04 not a state")
    with pytest.raises(training.TrainingError, match="not a whole training state"):
        training.Run(tmp_path, pictures, PLAN)


def test_that_held_out_pictures_of_another_size_are_refused(pictures: Path, tmp_path: Path) -> None:
    with pytest.raises(training.TrainingError, match="not 512 pictures of 128 px"):
        training.Run(tmp_path, pictures, training.Plan(channel_max=4))


def test_that_a_network_too_small_for_three_groups_is_refused(pictures: Path, tmp_path: Path) -> None:
    with pytest.raises(training.TrainingError, match="64 px"):
        training.Run(tmp_path, pictures, training.Plan(resolution=32))


def test_that_pixels_of_eyes_and_mouth_count_more_than_corners() -> None:
    weights = training.face_weights(128)[0, 0]
    assert weights.mean() == pytest.approx(1.0, abs=1e-5)
    assert weights[64, 50] > 2 * weights[5, 5]


def test_that_sharpness_falls_when_a_picture_is_softened() -> None:
    rng = np.random.default_rng(0)
    sharp = rng.integers(0, 255, (2, 16, 16, 3)).astype(np.uint8)
    soft = (sharp // 2 + np.roll(sharp, 1, 2) // 2).astype(np.uint8)
    assert (sharpness(soft) < 0.9 * sharpness(sharp)).all()
