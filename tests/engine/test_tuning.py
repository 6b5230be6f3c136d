"""Pivotal tuning of a tiny generator: it bends a copy, keeps the neighbours, and comes back from its delta."""

from __future__ import annotations

import json
import math
import threading
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load as load_tensors
from safetensors.torch import save as save_tensors

from facelab import checkpoints
from facelab.checkpoints import Checkpoint
from facelab.engine import tuning
from facelab.engine.losses import PixelPyramid
from facelab.engine.model import Model, to_pixels, to_tensor
from facelab.errors import BadArgument, Diverged, FacelabError, WrongGenerator
from facelab.jobs import Answer, Pixels, Progress, Tune, TuningDone, TuningSettings, TuningStep
from facelab.latent.code import Code, Floats
from facelab.nets import build, estimate_w_avg

SMALL = {"resolution": 32, "channels": [16, 16, 16, 16], "z_dim": 16, "w_dim": 16, "mapping_features": [16, 16]}


def open_small(seed: int = 5) -> Model:
    network = build("stylegan2", SMALL, seed=seed)
    with torch.no_grad():
        for name, tensor in network.state_dict().items():
            if name.endswith("torgb.weight"):
                tensor.mul_(0.25)  # else the picture lies far out of [-1, 1]
        network.mapping.w_avg.copy_(estimate_w_avg(network))
    network.requires_grad_(False)
    found = Checkpoint(network=network, sha256=checkpoints.identity(network), file_sha256="", format="made here")
    return Model(found, None, torch.device("cpu"))


@pytest.fixture(scope="module")
def model() -> Model:
    return open_small()


def photograph() -> Pixels:
    """What the generator cannot draw: a disk on a slope."""
    y, x = np.mgrid[:32, :32] / 31
    disk = (x - 0.5) ** 2 + (y - 0.4) ** 2 < 0.08
    return np.stack([255 * x, 255 * y, 255 * disk], -1).round().astype(np.uint8)


def job(model: Model, **settings: Any) -> Tune:
    pivot = Code(array=model.w_avg, space="w", generator=model.sha256)
    return Tune(
        run="run", generator=model.sha256, code=pivot, target=photograph(),
        settings=TuningSettings(**{"steps": 40, "learning_rate": 0.02, **settings}),
    )  # fmt: skip


def answers(model: Model, task: Tune) -> list[Answer]:
    found = []
    for answer in tuning.tune(model, task, threading.Event()):
        assert torch.is_grad_enabled()
        assert not torch.is_inference_mode_enabled()
        if answer is not None:
            found.append(answer)
    return found


def finish(model: Model, task: Tune) -> TuningDone:
    done = answers(model, task)[-1]
    assert isinstance(done, TuningDone)
    return done


def draw(model: Model, w: Floats) -> Pixels:
    with torch.no_grad():
        ws = to_tensor(np.broadcast_to(w, (1, model.network.num_ws, 16)))
        return to_pixels(model.network.synthesize(ws))[0]


def psnr(a: Pixels, b: Pixels) -> float:
    return 10 * math.log10(255**2 / max(float(((a.astype(float) - b) ** 2).mean()), 1e-9))


def near(model: Model, distance: float = 1.5) -> Floats:
    away = np.random.RandomState(3).randn(16)
    return (model.w_avg + distance * away / np.linalg.norm(away)).astype(np.float32)


@pytest.mark.slow
def test_that_a_tuned_copy_draws_the_photograph_and_the_generator_stays_as_it_was(model: Model) -> None:
    before = {name: tensor.clone() for name, tensor in model.network.state_dict().items()}
    task = job(model)
    done = finish(model, task)
    assert psnr(done.pixels, task.target) > psnr(draw(model, model.w_avg), task.target) + 6
    for name, tensor in model.network.state_dict().items():
        assert torch.equal(tensor, before[name])
    assert not any(p.requires_grad for p in model.network.parameters())
    assert all(p.grad is None for p in model.network.parameters())


@pytest.mark.slow
def test_that_a_kept_tuning_draws_the_same_picture_again(model: Model) -> None:
    task = job(model, steps=20)
    done = finish(model, task)
    sha256, tuned = tuning.apply(model, done.blob)
    assert sha256 == done.tuning
    assert tuned.sha256 == model.sha256
    assert np.array_equal(draw(tuned, model.w_avg), done.pixels)
    assert psnr(draw(tuned, near(model)), draw(model, near(model))) < 60  # neighbours moved along
    tensors = load_tensors(done.blob)
    assert all(tensor.dtype == torch.float16 for tensor in tensors.values())
    assert len(done.blob) < tuning.cost(model.network)[0] + 20_000


@pytest.mark.slow
def test_that_locality_holds_the_neighbours(model: Model) -> None:
    free, held = (
        tuning.apply(model, finish(model, job(model, locality=weight, locality_distance=2.0)).blob)[1]
        for weight in (0.0, 10.0)
    )
    face = draw(model, near(model))
    assert psnr(draw(held, near(model)), face) > psnr(draw(free, near(model)), face) + 2


@pytest.mark.slow
def test_that_the_same_tuning_twice_is_the_same_and_has_the_same_name(model: Model) -> None:
    first, second = finish(model, job(model, steps=8)), finish(model, job(model, steps=8))
    a, b = load_tensors(first.blob), load_tensors(second.blob)
    assert all(torch.equal(a[name], b[name]) for name in a)
    assert first.tuning == second.tuning != finish(model, job(model, steps=9)).tuning


def test_that_the_cost_is_said_before_the_first_step(model: Model) -> None:
    found = answers(model, job(model, steps=2))
    assert isinstance(found[0], Progress)
    assert "MB" in found[0].message
    count = sum(t.numel() for n, t in model.network.synthesis.named_parameters() if not n.endswith("noise_strength"))
    assert tuning.cost(model.network) == (2 * count, 16 * count)


@pytest.mark.slow
def test_that_every_step_is_told_and_the_total_is_the_weighted_sum(model: Model) -> None:
    steps = [a for a in answers(model, job(model, steps=30, losses={"pixels": 2.0})) if isinstance(a, TuningStep)]
    assert [n for a in steps for n in a.steps] == list(range(30))
    for step in steps:
        for total, pixels, local in zip(*(step.losses[n] for n in ("total", "pixels", "locality")), strict=True):
            assert total == pytest.approx(2 * pixels + 0.1 * local, rel=1e-4)


def test_that_optimised_noise_of_the_pivot_is_drawn_with(model: Model) -> None:
    task = job(model, steps=1)
    maps = tuple(np.zeros(shape, np.float32) for shape in model.network.noise_shapes)
    assert finish(model, replace(task, code=replace(task.code, noise=maps)))
    with pytest.raises(BadArgument, match="noise"):
        answers(model, replace(task, code=replace(task.code, noise=maps[:-1])))


@pytest.mark.slow
def test_that_it_stops_by_loss_and_by_cancel(model: Model) -> None:
    done = finish(model, job(model, steps=5000, stop_loss=0.2))
    assert done.stopped == "loss"
    assert done.step < 5000
    cancel = threading.Event()
    found = []
    for answer in tuning.tune(model, job(model, steps=5000), cancel):
        if isinstance(answer, TuningStep):
            cancel.set()
        found.append(answer)
    assert isinstance(found[-1], TuningDone)
    assert found[-1].stopped == "cancelled"


def test_that_a_loss_which_is_no_longer_finite_is_said(model: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(PixelPyramid, "__call__", lambda self, images: images.sum((1, 2, 3)) * math.nan)
    with pytest.raises(Diverged, match="learning rate"):
        answers(model, job(model))


@pytest.mark.parametrize(
    "settings",
    [
        {"steps": 0}, {"learning_rate": 0.0}, {"learning_rate": math.inf}, {"seed": -1}, {"locality": -1.0},
        {"losses": {"beauty": 1.0}}, {"stop_loss": math.nan}, {"features": "/nowhere/vgg.pth"},
    ],
)  # fmt: skip
def test_that_settings_that_cannot_be_run_are_refused(model: Model, settings: dict[str, Any]) -> None:
    with pytest.raises(FacelabError) as caught:
        answers(model, job(model, **settings))
    assert "\n" not in str(caught.value)


def test_that_a_broken_or_foreign_tuning_is_refused_in_one_sentence(model: Model) -> None:
    good = finish(model, job(model, steps=1)).blob
    tensors = load_tensors(good)
    about = json.loads(good[8 : 8 + int.from_bytes(good[:8], "little")])["__metadata__"]
    name = next(iter(tensors))

    def made(about: dict[str, str], **changes: torch.Tensor) -> bytes:
        return save_tensors(tensors | changes, about)

    bad = [
        b"", b"\0" * 100, good[:-3], b"\xff" * 8 + good[8:], good + b"\0" * (4 << 20), save_tensors(tensors),
        made(about | {"version": "2"}), made(about | {"format": "other"}), made(about | {"sha256": "0" * 64}),
        made(about, **{name: tensors[name] * 2}), made(about, **{name: tensors[name].float()}),
        made(about, **{name: torch.full_like(tensors[name], math.nan)}), made(about, more=torch.zeros(1).half()),
        save_tensors({n: t for n, t in tensors.items() if n != name}, about),
        made(about, **{name: tensors[name][:1]}),
    ]  # fmt: skip
    for blob in bad:
        with pytest.raises(BadArgument, match="tuning") as caught:
            tuning.apply(model, blob)
        assert "\n" not in str(caught.value)
    with pytest.raises(WrongGenerator):
        tuning.apply(open_small(seed=6), good)
    with pytest.raises(WrongGenerator):
        answers(open_small(seed=6), job(model))
