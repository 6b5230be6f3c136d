"""Faces that the embedded generator draws are found again in W+ within 500 steps from w_avg, and the same twice."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from PIL import Image

from facelab.assets import EMBEDDED_GENERATOR, resource
from facelab.engine.model import Model
from facelab.latent.code import seed_to_z
from facelab.media.sheet import sheet
from tests.evidence.claims import Claim, draw, encode, plot_losses, psnr

SEEDS = range(1000, 1008)
STEPS = 500


def prove(out: Path) -> list[Claim]:
    model = Model.open(resource(EMBEDDED_GENERATOR), "cpu")
    pictures, labels, values, curves = [], [], [], {}
    for seed in SEEDS:
        w = model.map(seed_to_z(seed, model.network.z_dim)[None])[0]
        target = draw(model, w)
        run = encode(model, target, space="w+", steps=STEPS, start="w_avg")
        values.append(psnr(run.done.pixels, target))
        curves[f"seed {seed}: {values[-1]:.1f} dB"] = run.losses
        pictures += [target, run.done.pixels]
        labels += [f"seed {seed}", f"{values[-1]:.1f} dB"]
        if seed == SEEDS[0]:
            again = encode(model, target, space="w+", steps=STEPS, start="w_avg")
            same = again.done.code == run.done.code and again.losses == run.losses
    Image.fromarray(sheet(pictures, 8, labels=labels)).save(out / "sheet.png")
    plot_losses(out / "losses.png", curves, f"self-inversion in W+ from w_avg, {STEPS} steps")
    median = float(np.median(values))
    (out / "figures.json").write_text(
        json.dumps({"generator": model.sha256, "steps": STEPS, "psnr": dict(zip(map(str, SEEDS), values, strict=True))})
    )
    return [
        Claim(f"median PSNR of {len(values)} faces, W+, {STEPS} steps from w_avg", ">= 27 dB, aim 29", f"{median:.1f} dB",
              median >= 27),
        Claim("the lowest of them", "-", f"{min(values):.1f} dB"),
        Claim("the same run twice gives the same losses and code, bit for bit", "yes", "yes" if same else "no", same),
    ]  # fmt: skip
