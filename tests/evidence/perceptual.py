"""With a real VGG16, the loss of a projection into a StyleGAN2-ADA generator falls steadily; and at what speed."""

from __future__ import annotations

import importlib.util
import json
import threading
import time
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from facelab.engine import losses
from facelab.engine.model import Model, to_tensor
from facelab.engine.projection import project
from facelab.jobs import Project, ProjectionSettings, ProjectionStep
from facelab.latent.code import seed_to_z
from facelab.media.sheet import sheet
from facelab.nets import features
from tests.evidence.claims import Claim, Skipped, draw, encode, plot_losses, psnr, test_data

STEPS, WINDOW = 300, 50


def vgg16() -> Path:
    """The trained VGG16 of the package stlpips-pytorch, whose code is not run."""
    spec = importlib.util.find_spec("stlpips_pytorch")
    if spec is None or not spec.submodule_search_locations:
        raise Skipped("stlpips-pytorch is not here (pip install --no-deps stlpips-pytorch)")
    return Path(spec.submodule_search_locations[0], "weights/vST0.0/vgg_shift_tolerant.pth")


def prove(out: Path) -> list[Claim]:
    weights = vgg16()
    model = Model.open(test_data() / "fixtures" / "public" / "a2_sg2ada_128_512.pkl", "cpu")
    w = model.map(seed_to_z(1, model.network.z_dim)[None])[0]
    target = draw(model, w)
    run = encode(model, target, space="w+", steps=STEPS, start="w_avg", features=str(weights))
    # The regularisation of the noise outweighs all else in the first steps, so the picture's own loss is judged too.
    total = np.array(run.losses)
    picture = total - ProjectionSettings().noise_weight * np.array(run.terms["noise"])
    claims, curves = [], {}
    for name, curve in (("the loss", total), ("the picture's own loss", picture)):
        average = np.convolve(curve, np.ones(WINDOW) / WINDOW, "valid")
        rise = float((average / np.minimum.accumulate(average)).max() - 1)
        end = float(average[-1] / curve[9])
        curves |= {name: curve.tolist(), f"mean of {WINDOW}, {name}": average.tolist()}
        claims += [
            Claim(f"{name}: rise of the moving average ({WINDOW}) over its running minimum, at most", "<= 5 %",
                  f"{100 * rise:.1f} %", rise <= 0.05),
            Claim(f"{name}: the moving average at the end over the value at step 10", "< 25 %", f"{100 * end:.1f} %",
                  end < 0.25),
        ]  # fmt: skip
    plot_losses(out / "losses.png", curves, "a2_sg2ada_128_512, seed 1, W+")
    Image.fromarray(
        sheet([target, run.done.pixels], 2, labels=["target", f"{psnr(run.done.pixels, target):.1f} dB"])
    ).save(out / "pair.png")
    (out / "losses.json").write_text(json.dumps(run.terms))
    plain, own = speeds(model, target, weights)
    seen = f"{own:.2f} against {plain:.2f}"
    return [*claims, Claim("steps a second of CPU time, against the plain loop", "reported", seen)]


def speeds(model: Model, target: np.ndarray, weights: Path, steps: int = 10) -> tuple[float, float]:
    """Steps a second of a loop as the textbook writes it, and of ours, both with noise and VGG16; taking turns."""
    task = Project(
        run="speed", generator=model.sha256, target=target,
        settings=ProjectionSettings(steps=1_000_000, features=str(weights)),
    )  # fmt: skip
    answers = project(model, task, threading.Event())
    ours = (answer for answer in answers if isinstance(answer, ProjectionStep))
    next(ours)
    aids = losses.Aids(features.load(weights))
    wanted = to_tensor(target).permute(2, 0, 1)[None] / 127.5 - 1
    compare = losses.Sum(losses.default_weights(aids), wanted, None, aids)
    network = model.network
    ws = network.w_avg.detach()[None, None].repeat(1, network.num_ws, 1).requires_grad_()
    noise = [torch.randn(shape).requires_grad_() for shape in network.noise_shapes]
    adam = torch.optim.Adam([ws, *noise], lr=0.1)

    def plain() -> None:
        terms = compare(network.synthesize(ws, noise=noise))
        loss = compare.total(terms).sum() + 1e5 * losses.noise_regularisation(noise)
        adam.zero_grad()
        loss.backward()
        adam.step()
        loss.item()

    times: list[list[float]] = [[], []]
    for _ in range(steps):
        started = time.process_time()
        plain()
        times[0].append(time.process_time() - started)
        started = time.process_time()
        done = len(next(ours).steps)
        times[1].append((time.process_time() - started) / done)
    answers.close()
    return 1 / float(np.median(times[0])), 1 / float(np.median(times[1]))
