"""Projection on a tiny generator: that it descends, repeats itself, goes on after a stop, and keeps what it found."""

from __future__ import annotations

import itertools
import json
import math
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load as load_tensors
from safetensors.torch import save as save_tensors

from facelab import checkpoints
from facelab.checkpoints import Checkpoint
from facelab.engine import projection
from facelab.engine.losses import PixelPyramid
from facelab.engine.model import Model, to_pixels, to_tensor
from facelab.engine.projection import Basis, is_kept, project, ramp
from facelab.errors import BadArgument, Diverged, FacelabError, MissingPart, WrongGenerator
from facelab.jobs import (
    Answer,
    Pixels,
    Progress,
    Project,
    ProjectionDone,
    ProjectionSettings,
    ProjectionState,
    ProjectionStep,
)
from facelab.latent.code import Code, seed_to_z
from facelab.nets import build, estimate_w_avg
from facelab.nets.encoder import Encoder

SMALL = {"resolution": 32, "channels": [16, 16, 16, 16], "z_dim": 16, "w_dim": 16, "mapping_features": [16, 16]}


def open_small(noise: float = 0.0, **changes: Any) -> Model:
    """A generator of seeded weights; ``noise`` is the strength of its noise maps."""
    network = build("stylegan2", SMALL | changes, seed=5)
    with torch.no_grad():
        for name, tensor in network.state_dict().items():
            if name.endswith("noise_strength"):
                tensor.fill_(noise)
            elif name.endswith("affine.weight"):
                tensor.mul_(0.7)
            elif name.endswith("torgb.weight"):
                tensor.mul_(0.25)  # else the picture lies far out of [-1, 1]
        network.mapping.w_avg.copy_(estimate_w_avg(network))
    network.requires_grad_(False)
    found = Checkpoint(network=network, sha256=checkpoints.identity(network), file_sha256="", format="made here")
    return Model(found, None, torch.device("cpu"))


@pytest.fixture(scope="module")
def model() -> Model:
    return open_small()


@pytest.fixture(scope="module")
def noisy() -> Model:
    return open_small(noise=0.2)


def draw_w(model: Model, w: np.ndarray) -> Pixels:
    with torch.no_grad():
        return to_pixels(model.network.synthesize(to_tensor(w).expand(1, model.network.num_ws, -1)))[0]


def draw(model: Model, seed: int = 1) -> Pixels:
    return draw_w(model, model.map(seed_to_z(seed, model.network.z_dim)[None], None))


def job(model: Model, target: Pixels | None = None, *, resume: bytes | None = None, **settings: Any) -> Project:
    return Project(
        run="run", generator=model.sha256, target=draw(model) if target is None else target, resume=resume, name="face",
        settings=ProjectionSettings(**{"steps": 50, **settings}),
    )  # fmt: skip


def answers(model: Model, task: Project, cancel: threading.Event | None = None) -> list[Answer]:
    """All that a projection says; looks at every yield whether torch's mode is the caller's own."""
    found = []
    for answer in project(model, task, cancel or threading.Event()):
        assert torch.is_grad_enabled()
        assert not torch.is_inference_mode_enabled()
        if answer is not None:
            found.append(answer)
    return found


def finish(model: Model, task: Project) -> ProjectionDone:
    done = answers(model, task)[-1]
    assert isinstance(done, ProjectionDone)
    return done


def totals(found: list[Answer]) -> list[float]:
    return [loss for a in found if isinstance(a, ProjectionStep) for loss in a.losses["total"]]


def psnr(a: Pixels, b: Pixels) -> float:
    return 10 * math.log10(255**2 / max(float(((a.astype(float) - b) ** 2).mean()), 1e-9))


# -- it descends --------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    "settings",
    [
        {"optimiser": "lbfgs"},
        *(pytest.param(s, marks=pytest.mark.slow) for s in ({}, {"space": "w"}, {"initial_noise": 0.05})),
    ],
)
def test_that_a_face_of_the_generator_is_found_again(model: Model, settings: dict[str, Any]) -> None:
    target = draw(model)
    found = answers(model, job(model, target, steps=150, **settings))
    done = found[-1]
    assert isinstance(done, ProjectionDone)
    assert psnr(done.pixels, target) > 30
    assert done.loss == pytest.approx(min(totals(found)), rel=1e-6)
    assert totals(found)[done.step] == pytest.approx(done.loss, rel=1e-6)
    assert done.stopped == ""


def test_that_w_gives_one_row_and_w_plus_a_row_for_every_layer(model: Model) -> None:
    in_w, in_w_plus = finish(model, job(model, space="w", steps=2)), finish(model, job(model, steps=2))
    assert (in_w.code.space, in_w.code.array.shape) == ("w", (16,))
    assert (in_w_plus.code.space, in_w_plus.code.array.shape) == ("w+", (model.network.num_ws, 16))
    assert in_w_plus.code.generator == model.sha256
    assert in_w_plus.code.origin["photo"] == "face"


def test_that_the_picture_is_what_the_code_draws_noise_and_all(noisy: Model) -> None:
    done = finish(noisy, job(noisy, steps=12))
    assert done.code.noise is not None
    assert [n.shape for n in done.code.noise] == list(noisy.network.noise_shapes)
    assert all(np.array_equal(n, n.astype(np.float16)) for n in done.code.noise)
    with torch.no_grad():
        drawn = noisy.network.synthesize(
            to_tensor(done.code.array)[None], noise=[to_tensor(n) for n in done.code.noise]
        )
    # The renderer adds up in another order than the network: a pixel may round the other way.
    assert np.abs(to_pixels(drawn)[0].astype(int) - done.pixels).max() <= 1
    without = finish(noisy, job(noisy, steps=12, optimise_noise=False))
    assert without.code.noise is None


@pytest.mark.slow
def test_that_optimised_noise_stays_white(noisy: Model) -> None:
    drawing = finish(noisy, job(noisy, steps=100, learning_rate=0.5, noise_weight=0.0)).code.noise
    white = finish(noisy, job(noisy, steps=100, learning_rate=0.5)).code.noise
    assert drawing is not None
    assert white is not None

    def likeness(maps: tuple[np.ndarray, ...]) -> float:
        return float(max(abs((m * np.roll(m, 1, axis)).mean()) for m in maps if len(m) > 8 for axis in (0, 1)))

    assert 5 * likeness(white) < likeness(drawing)
    assert all(abs(float(m.mean())) < 0.01 and abs(float(m.std()) - 1) < 0.01 for m in white)


def test_that_noise_which_does_nothing_is_left_alone_and_that_this_is_said(model: Model) -> None:
    found = answers(model, job(model, steps=3))
    assert [a.message for a in found if isinstance(a, Progress)] == [
        "this generator's noise does nothing, so only the code is optimised"
    ]
    done = found[-1]
    assert isinstance(done, ProjectionDone)
    assert done.code.noise is None


# -- starts, layers, masks ----------------------------------------------------------------------------------------------
def first_ws(model: Model, **settings: Any) -> np.ndarray:
    step = next(a for a in answers(model, job(model, steps=1, **settings)) if isinstance(a, ProjectionStep))
    assert step.ws is not None
    return step.ws


def test_that_a_run_starts_where_it_is_told(model: Model) -> None:
    rows = model.network.num_ws
    seed_w = model.map(seed_to_z(9, 16)[None], None)[0]
    given = np.random.RandomState(0).randn(rows, 16).astype(np.float32)
    code = Code(array=given, space="w+", generator=model.sha256)
    z = Code.from_seed(9, 16, model.sha256)
    for wanted, settings in (
        (model.w_avg, {}),
        (np.zeros(16), {"start": "w0"}),
        (seed_w, {"start": "seed", "seed": 9}),
        (given, {"start": "code", "start_code": code}),
        (seed_w, {"start": "code", "start_code": z}),
    ):
        found = first_ws(model, **settings)
        assert found.shape == (rows, 16)
        assert np.allclose(found, wanted, atol=1e-4)
        assert not found.flags.writeable


@pytest.mark.slow
def test_that_the_best_of_random_faces_starts_lower_than_the_mean(model: Model) -> None:
    lower = 0
    for seed in range(4):
        target = draw(model, seed)
        mean, best = (totals(answers(model, job(model, target, steps=1, start=s)))[0] for s in ("w_avg", "best"))
        assert best <= mean  # the mean is one of them
        lower += best < mean
    assert lower


def test_that_only_the_layers_to_learn_move(model: Model) -> None:
    done = finish(model, job(model, steps=20, learn_layers=(0, 1)))
    assert np.allclose(done.code.array[2:], model.w_avg, atol=0)
    assert np.abs(done.code.array[:2] - model.w_avg).max() > 0.01
    in_w = finish(model, job(model, steps=20, learn_layers=(0, 1), space="w"))
    assert in_w.code.space == "w+"
    assert np.array_equal(in_w.code.array[0], in_w.code.array[1])


def test_that_masked_pixels_do_not_matter(model: Model) -> None:
    target = draw(model)
    mask = np.zeros((32, 32), np.uint8)
    mask[:16] = 255
    other = target.copy()
    other[16:] = 0
    settings = {"mask": mask, "steps": 20, "losses": {"pixels": 1.0}}
    # At the coarse levels a pixel of the pyramid holds 16 of the picture's, so both sides are even there.
    a, b = (finish(model, job(model, t, **settings)) for t in (target, other))
    assert np.allclose(a.code.array, b.code.array, atol=1e-5)


@pytest.mark.slow
def test_that_near_w_keeps_the_rows_together(model: Model) -> None:
    free, near = (finish(model, job(model, draw(model, 3), near_w=weight)).code.array for weight in (0.0, 10.0))
    assert near.std(0).mean() < free.std(0).mean() / 3


@pytest.mark.slow
def test_that_near_w_avg_keeps_the_code_near_the_mean(model: Model) -> None:
    free, near = (finish(model, job(model, draw(model, 3), near_w_avg=weight)).code.array for weight in (0.0, 10.0))
    assert np.abs(near - model.w_avg).mean() < np.abs(free - model.w_avg).mean() / 3


@pytest.mark.slow
def test_that_a_conditional_generator_can_be_projected_into() -> None:
    conditional = open_small(c_dim=3, embed_features=16)
    found = answers(conditional, job(conditional, np.full((32, 32, 3), 90, np.uint8), steps=40, start="seed"))
    assert totals(found)[-1] < totals(found)[0] / 2


@pytest.mark.slow
def test_that_a_target_of_another_size_is_resampled(model: Model) -> None:
    target = draw(model)
    large = np.repeat(np.repeat(target, 4, 0), 4, 1)
    found = [finish(model, job(model, picture, steps=20)).code.array for picture in (large, target)]
    assert np.allclose(*found, atol=1e-4)
    assert psnr(finish(model, job(model, target[::2, ::2], steps=100)).pixels, target) > 15


@pytest.mark.slow
def test_that_a_coarse_phase_draws_small_pictures_and_the_end_full_ones(
    model: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(projection, "_COARSE", 16)
    monkeypatch.setattr(projection, "_PICTURE_EVERY", 0.0)
    target = draw(model)
    found = answers(model, job(model, target, steps=100))
    sizes = [(a.steps[-1], len(a.pixels)) for a in found if isinstance(a, ProjectionStep) and a.pixels is not None]
    assert all(size == (16 if step < 70 else 32) for step, size in sizes)
    done = found[-1]
    assert isinstance(done, ProjectionDone)
    assert done.step >= 70  # the best is one at full size
    assert psnr(done.pixels, target) > 28
    assert all(len(a.pixels) == 32 for a in answers(model, job(model, target, coarse_to_fine=False))
               if isinstance(a, ProjectionStep) and a.pixels is not None)  # fmt: skip


# -- what it tells ------------------------------------------------------------------------------------------------------
@pytest.mark.slow
def test_that_every_step_is_told_once_and_a_geometric_subset_is_kept(model: Model) -> None:
    steps = [a for a in answers(model, job(model, steps=60)) if isinstance(a, ProjectionStep)]
    assert [n for a in steps for n in a.steps] == list(range(60))
    kept = [a.steps[-1] for a in steps if a.kept]
    assert kept == [n for n in range(60) if is_kept(n)] + ([] if is_kept(59) else [59])
    assert all((a.ws is not None) == a.kept for a in steps)
    assert all(len(values) == len(a.steps) for a in steps for values in a.losses.values())
    assert all(a.best <= min(a.losses["total"]) + 1e-6 for a in steps)


def test_that_the_kept_subset_grows_with_the_logarithm() -> None:
    counts = [sum(is_kept(n) for n in range(10**k)) for k in (1, 2, 3, 4)]
    assert counts[0] == 10
    assert all(20 <= b - a <= 28 for a, b in itertools.pairwise(counts[1:]))


def test_that_the_ramps_are_nvidias() -> None:
    assert ramp(0, 1000) == pytest.approx(1 / 50)
    assert ramp(49, 1000) == 1
    assert ramp(700, 1000) == 1
    assert ramp(875, 1000) == pytest.approx(0.5)
    assert ramp(999, 1000) < 1e-4
    assert ramp(0, 1) <= 1


def test_that_total_is_the_weighted_sum_of_the_terms(noisy: Model) -> None:
    found = answers(noisy, job(noisy, steps=5, near_w=0.5, near_w_avg=0.25, losses={"pixels": 2.0, "ms-ssim": 0.5}))
    for step in (a for a in found if isinstance(a, ProjectionStep)):
        of = step.losses
        assert set(of) == {"pixels", "ms-ssim", "near_w", "near_w_avg", "noise", "total"}
        for i, total in enumerate(of["total"]):
            wanted = 2 * of["pixels"][i] + 0.5 * of["ms-ssim"][i] + 0.5 * of["near_w"][i] + 0.25 * of["near_w_avg"][i]
            assert total == pytest.approx(wanted + 1e3 * of["noise"][i], rel=1e-4)


# -- the same again, and on after a stop --------------------------------------------------------------------------------
@pytest.mark.slow
@pytest.mark.parametrize(
    "settings", [{"initial_noise": 0.1}, pytest.param({"optimiser": "lbfgs"}, marks=pytest.mark.slow)]
)
def test_that_the_same_job_gives_the_same_result(noisy: Model, settings: dict[str, Any]) -> None:
    first, second = (answers(noisy, job(noisy, **settings)) for _ in range(2))
    assert totals(first) == totals(second)
    assert first[-1].code == second[-1].code  # type: ignore[attr-defined]
    torch.manual_seed(99)  # nothing hangs on the global stream, nor disturbs it
    before = torch.get_rng_state()
    assert totals(answers(noisy, job(noisy, **settings))) == totals(first)
    assert torch.equal(before, torch.get_rng_state())


def states(model: Model, task: Project, monkeypatch: pytest.MonkeyPatch) -> list[ProjectionState]:
    """A state at every answer."""
    with monkeypatch.context() as patch:
        patch.setattr(projection, "_STATE_EVERY", 0.0)
        patch.setattr(projection, "_STATE_TIMES", 0)
        return [a for a in answers(model, task) if isinstance(a, ProjectionState)]


@pytest.mark.slow
@pytest.mark.parametrize("coarse", [256, pytest.param(16, marks=pytest.mark.slow)])
@pytest.mark.parametrize(
    "settings",
    [
        {"initial_noise": 0.1},
        {"optimiser": "lbfgs"},
        pytest.param({"space": "w", "start": "best"}, marks=pytest.mark.slow),
    ],
)
def test_that_a_resumed_run_ends_as_if_it_had_never_stopped(
    noisy: Model, settings: dict[str, Any], coarse: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(projection, "_COARSE", coarse)
    task = job(noisy, **settings)
    whole = answers(noisy, task)
    saved = [s for s in states(noisy, task, monkeypatch) if s.step in (12, 35, 36, 43)]
    assert saved
    for state in saved:
        rest = answers(noisy, replace(task, resume=state.blob))
        assert totals(rest) == totals(whole)[state.step :]
        assert rest[-1].code == whole[-1].code  # type: ignore[attr-defined]
        assert rest[-1].loss == whole[-1].loss  # type: ignore[attr-defined]
        assert np.array_equal(rest[-1].pixels, whole[-1].pixels)  # type: ignore[attr-defined]


def test_that_a_state_is_given_at_most_once_a_second(model: Model) -> None:
    began = time.monotonic()
    found = [a for a in answers(model, job(model, steps=30)) if isinstance(a, ProjectionState)]
    assert len(found) <= 1 + time.monotonic() - began, "however slow the machine is"


@pytest.mark.slow
def test_that_a_finished_run_can_be_resumed_to_its_result(model: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    task = job(model)
    last = states(model, task, monkeypatch)[-1]
    assert last.step == 50
    assert finish(model, replace(task, resume=last.blob)).code == finish(model, task).code


def changed(blob: bytes, about: dict[str, Any] | None = None, **tensors: torch.Tensor | None) -> bytes:
    """A state with some of its parts replaced, or left away where they are None."""
    found = load_tensors(blob)
    text = json.loads(bytes(found["about"].tolist())) | (about or {})
    found["about"] = torch.tensor(list(json.dumps(text).encode()), dtype=torch.uint8)
    for name, tensor in tensors.items():
        found.pop(name.replace("__", "."))
        if tensor is not None:
            found[name.replace("__", ".")] = tensor
    return save_tensors(found)


@pytest.mark.parametrize("optimiser", ["adam", pytest.param("lbfgs", marks=pytest.mark.slow)])
def test_that_a_broken_or_foreign_state_is_refused_in_one_sentence(
    noisy: Model, optimiser: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    task = job(noisy, steps=30, optimiser=optimiser)
    good = next(s for s in states(noisy, task, monkeypatch) if s.step >= 9).blob
    assert answers(noisy, replace(task, resume=good))
    rows = noisy.network.num_ws
    bad = [
        b"", b"\0" * 40, good[:-7], good[: len(good) // 2], b"\xff" * 8 + good[8:],
        save_tensors({"x": torch.zeros(1)}),
        changed(good, x=torch.zeros(1, rows, 15)), changed(good, x=torch.full((1, rows, 16), math.nan)),
        changed(good, x=torch.zeros(1, rows, 16, dtype=torch.float64)), changed(good, best_x=None),
        changed(good, about={"version": 3}), changed(good, about={"step": -1}), changed(good, about={"step": 1e9}),
        changed(good, about={"step": True}), changed(good, about={"recent": [0.1] * 5000}),
        changed(good, about={"recent": None}), changed(good, about={"seconds": math.inf}),
        changed(good, about={"best": "low"}), changed(good, about={"identity": "0" * 64}),
        changed(good, about={"optimiser": {"kind": "sgd"}}), changed(good, about={"optimiser": None}),
        changed(good, about={"optimiser": {"kind": "lbfgs", "memory": 10**9, "ready": True}}),
        changed(good, about=None, about_=None) if False else save_tensors({"about": torch.zeros(3)}),
    ]  # fmt: skip
    for blob in bad:
        with pytest.raises(BadArgument, match="saved state") as caught:
            answers(noisy, replace(task, resume=blob))
        assert "\n" not in str(caught.value)
    for other in (replace(task, target=draw(noisy, 2)), replace(task, settings=replace(task.settings, seed=1))):
        with pytest.raises(BadArgument, match="another run"):
            answers(noisy, replace(other, resume=good))


# -- how it ends --------------------------------------------------------------------------------------------------------
def test_that_a_cancelled_projection_keeps_its_best_code(model: Model) -> None:
    cancel = threading.Event()
    found: list[Answer] = []
    for answer in project(model, job(model, steps=10_000), cancel):
        if answer is not None:
            found.append(answer)
        if len(found) == 20:
            cancel.set()
    done = found[-1]
    assert isinstance(done, ProjectionDone)
    assert done.stopped == "cancelled"
    assert done.loss == pytest.approx(min(totals(found)), rel=1e-6)


@pytest.mark.slow
def test_that_a_projection_can_be_closed_anywhere(model: Model) -> None:
    for count in range(0, 60, 7):
        running = project(model, job(model), threading.Event())
        for _ in range(count):
            next(running)
        running.close()  # type: ignore[attr-defined]
        assert torch.is_grad_enabled()


@pytest.mark.slow
def test_that_other_work_between_two_stages_does_not_disturb_it(model: Model) -> None:
    undisturbed = totals(answers(model, job(model, steps=10)))
    found: list[Answer] = []
    running: Iterator[Answer | None] = project(model, job(model, steps=10), threading.Event())
    for answer in running:
        draw(model, 4)
        with torch.inference_mode():
            model.network.synthesize(torch.zeros(1, model.network.num_ws, 16))
        if answer is not None:
            found.append(answer)
    assert totals(found) == undisturbed


@pytest.mark.slow
@pytest.mark.parametrize(
    ("settings", "why"),
    [
        ({"stop_loss": 0.02}, "loss"),
        ({"stop_seconds": 0.05}, "time"),
        ({"stop_slope": 0.5, "optimiser": "lbfgs"}, "slope"),
    ],
)
def test_that_a_run_stops_by_loss_by_time_and_by_slope(model: Model, settings: dict[str, Any], why: str) -> None:
    found = answers(model, job(model, steps=5000, **settings))
    done = found[-1]
    assert isinstance(done, ProjectionDone)
    assert done.stopped == why
    assert len(totals(found)) < 5000
    if why == "loss":
        assert done.loss <= 0.02


@pytest.mark.parametrize("slope", [0.0, 1.0])
def test_that_l_bfgs_ends_where_nothing_leads_down(model: Model, slope: float, monkeypatch: pytest.MonkeyPatch) -> None:
    calls = itertools.count()

    def flat(self: PixelPyramid, images: torch.Tensor) -> torch.Tensor:
        # With a slope: each try is found to lie higher, as rounding has it at the bottom.
        return slope * (images - images.detach()).sum((1, 2, 3)) + 1 + 1e-6 * next(calls)

    monkeypatch.setattr(PixelPyramid, "__call__", flat)
    found = answers(model, job(model, steps=500, optimiser="lbfgs", losses={"pixels": 1.0}))
    done = found[-1]
    assert isinstance(done, ProjectionDone)
    assert done.stopped == "slope"
    assert len(totals(found)) == 2
    assert np.allclose(done.code.array, model.w_avg)


@pytest.mark.parametrize("steps", [1, 2, 3])
def test_that_a_very_short_run_ends_at_full_size(model: Model, steps: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(projection, "_COARSE", 16)
    assert len(finish(model, job(model, steps=steps)).pixels) == 32


def test_that_a_loss_which_is_no_longer_finite_ends_the_run_with_its_last_good_code(
    model: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    running = project(model, job(model, steps=500), threading.Event())
    found = list(itertools.islice((a for a in running if a is not None), 12))
    monkeypatch.setattr(PixelPyramid, "__call__", lambda self, images: images.sum((1, 2, 3)) * math.nan)
    with pytest.raises(Diverged, match="learning rate"):
        found.extend(answer for answer in running if answer is not None)
    done = found[-1]
    assert isinstance(done, ProjectionDone)
    assert done.stopped == "diverged"
    assert np.isfinite(done.code.array).all()
    assert done.loss == pytest.approx(min(totals(found)), rel=1e-6)


def test_that_a_run_without_any_finite_loss_gives_no_code(model: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(PixelPyramid, "__call__", lambda self, images: images.sum((1, 2, 3)) * math.nan)
    found: list[Answer] = []
    with pytest.raises(Diverged):
        found.extend(a for a in project(model, job(model), threading.Event()) if a is not None)
    assert not [a for a in found if isinstance(a, ProjectionDone)]


@pytest.mark.parametrize(
    "settings",
    [
        {"space": "z"}, {"steps": 0}, {"steps": 2_000_000}, {"learning_rate": 0.0}, {"learning_rate": math.nan},
        {"start": "somewhere"}, {"start": "code"}, {"optimiser": "sgd"}, {"seed": -1}, {"near_w": -1.0},
        {"noise_weight": math.inf}, {"learn_layers": ()}, {"learn_layers": (99,)}, {"losses": {"beauty": 1.0}},
        {"losses": {"pixels": -1.0}}, {"mask": np.zeros((8, 8), np.uint8)}, {"mask": np.ones((8, 8, 3), np.uint8)}, {"mask": np.ones((8, 4), np.uint8)},
        {"stop_loss": math.nan}, {"losses": {"perceptual": 1.0}}, {"features": "/nowhere/vgg.pth"},
    ],
)  # fmt: skip
def test_that_settings_that_cannot_be_run_are_refused_before_the_first_step(
    model: Model, settings: dict[str, Any]
) -> None:
    with pytest.raises((BadArgument, MissingPart)) as caught:
        answers(model, job(model, **settings))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "target",
    [np.zeros((32, 16, 3), np.uint8), np.zeros((32, 32), np.uint8), np.zeros((32, 32, 3), np.float32), np.zeros((0, 0, 3), np.uint8)],
)  # fmt: skip
def test_that_a_target_that_is_no_square_picture_is_refused(model: Model, target: Any) -> None:
    with pytest.raises(BadArgument, match="target"):
        answers(model, job(model, target))


def test_that_a_job_for_another_generator_is_refused(model: Model) -> None:
    with pytest.raises(WrongGenerator):
        answers(model, replace(job(model), generator="0" * 64))
    code = Code(array=np.zeros(16, np.float32), space="w", generator="0" * 64)
    with pytest.raises(FacelabError):
        answers(model, job(model, start="code", start_code=code))


@pytest.mark.parametrize(("rows", "mean"), [(6, 1.0), (8, 50.0)])
def test_that_the_encoder_is_only_asked_about_its_own_generator(
    model: Model, rows: int, mean: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = Encoder(("yaw",), num_ws=rows, w_dim=16).eval()
    other.w_avg = to_tensor(model.w_avg * mean)
    monkeypatch.setattr(projection, "embedded_encoder", lambda: other)
    with pytest.raises(MissingPart, match="encoder"):
        answers(model, job(model, start="encoder"))


def test_that_a_run_can_start_from_what_the_encoder_reads(model: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    own = Encoder(("yaw", "smile"), num_ws=model.network.num_ws, w_dim=16).eval()
    own.w_avg = to_tensor(model.w_avg)
    own.moves = to_tensor(np.random.RandomState(0).randn(2, 16))
    monkeypatch.setattr(projection, "embedded_encoder", lambda: own)
    wanted = own.guess(draw(model))
    assert np.allclose(first_ws(model, start="encoder"), wanted, atol=1e-4)
    assert not np.allclose(wanted, model.w_avg, atol=1e-4)


# -- coordinates --------------------------------------------------------------------------------------------------------
def test_that_principal_coordinates_give_samples_of_w_unit_variance(model: Model) -> None:
    running = projection.measure(model)
    basis: Basis | None = None
    try:
        while True:
            next(running)
    except StopIteration as stop:
        basis = stop.value
    assert basis is not None
    w = to_tensor(model.map(np.random.RandomState(4).randn(4000, 16).astype(np.float32)))
    x = basis.to_x(w)
    assert torch.allclose(basis.to_w(x), w, atol=1e-3)
    assert float(basis.to_x(basis.origin).abs().max()) < 1e-5
    covariance = torch.cov(x.T)
    strong = basis.axes.norm(dim=1) > 1.01 * basis.axes.norm(dim=1).min()
    assert torch.allclose(covariance.diagonal()[strong], torch.ones(int(strong.sum())), atol=0.15)
    assert float((covariance - torch.diag(covariance.diagonal())).abs().max()) < 0.15
