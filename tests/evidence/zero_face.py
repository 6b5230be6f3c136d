"""The curve of the zero face is the baseline: a photographed face lies above it, and so does a picture of something else."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from PIL import Image

from facelab.api import cut_out
from facelab.assets import EMBEDDED_GENERATOR, SAMPLE_PHOTO, resource
from facelab.engine.model import Model
from facelab.jobs import Pixels
from facelab.media.sheet import sheet
from tests.evidence.claims import Claim, draw, encode, plot_losses, psnr

STEPS = 300


def something_else(size: int) -> Pixels:
    """A chequerboard over a slope of colours: nothing of a face."""
    y, x = np.mgrid[:size, :size] / size
    board = ((x * 8).astype(int) + (y * 8).astype(int)) % 2
    return np.stack([255 * board, 255 * x, 255 * (1 - y)], -1).round().astype(np.uint8)


def prove(out: Path) -> list[Claim]:
    model = Model.open(resource(EMBEDDED_GENERATOR), "cpu")
    size, network = model.network.resolution, model.network
    targets = {
        "zero face (z = 0)": draw(model, model.map(np.zeros((1, network.z_dim), np.float32))[0]),
        "a photograph": cut_out(resource(SAMPLE_PHOTO), size)[0],
        "something else": something_else(size),
    }
    pictures, labels, curves = [], [], {}
    for name, target in targets.items():
        run = encode(model, target, space="w+", steps=STEPS, start="w_avg")
        curves[name] = run.losses
        pictures += [target, run.done.pixels]
        labels += [name, f"{psnr(run.done.pixels, target):.1f} dB"]
    Image.fromarray(sheet(pictures, 2, labels=labels)).save(out / "sheet.png")
    plot_losses(out / "losses.png", curves, f"encoding in W+ from w_avg, {STEPS} steps")
    (out / "losses.json").write_text(json.dumps(curves))
    zero, photo, other = (np.array(curve) for curve in curves.values())
    at = [9, 99, STEPS - 1]

    def seen(curve: np.ndarray) -> str:
        return ", ".join(f"{curve[i] / zero[i]:.1f}" for i in at) + " times the zero face's at steps 10, 100, 300"

    return [
        Claim("a photographed face lies above the zero face at every step", "above", seen(photo), bool((photo > zero).all())),
        Claim("something else lies above the zero face at every step", "above", seen(other), bool((other > zero).all())),
        Claim("something else lies above the photographed face at the end", "above", f"{other[-1] / photo[-1]:.2f} times",
              bool(other[-1] > photo[-1])),
    ]  # fmt: skip
