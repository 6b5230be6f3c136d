"""32 more faces are found again in 1,000 steps; how far they end from where they came from, in the factors of a portrait."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from PIL import Image

from facelab.assets import EMBEDDED_GENERATOR, resource
from facelab.engine.model import Model
from facelab.engine.projection import embedded_encoder
from facelab.errors import MissingPart
from facelab.latent.code import seed_to_z
from facelab.media.sheet import sheet
from tests.evidence.claims import Claim, draw, encode, psnr

SEEDS = range(20_000, 20_032)
STEPS = 1000
FROM_ENCODER = 50  # steps


def prove(out: Path) -> list[Claim]:
    model = Model.open(resource(EMBEDDED_GENERATOR), "cpu")
    with np.load(resource("portraits_directions.npz")) as file:
        to_factors, names, layers = file["R"], [str(name) for name in file["names"]], file["layers"]
    # A row that does not show a factor is free to stay where it started: a factor counts in the layers that it is meant for.
    rows = np.arange(model.network.num_ws)[:, None]
    shown = (layers[:, 0] <= rows) & (rows < layers[:, 1])
    try:
        embedded_encoder()
        encoder_there = True
    except MissingPart:
        encoder_there = False
    pictures, labels, values, distances, errors, from_encoder = [], [], [], [], [], []
    for seed in SEEDS:
        w = model.map(seed_to_z(seed, model.network.z_dim)[None])[0]
        target = draw(model, w)
        done = encode(model, target, space="w+", steps=STEPS, start="w_avg").done
        values.append(psnr(done.pixels, target))
        # phi = R w + b0, in standard deviations of each factor; a W+ code has one for every row.
        difference = (done.code.array - w) @ to_factors.T
        errors.append(np.abs(difference * shown).sum(0) / shown.sum(0))
        distances.append(float(np.sqrt((difference[shown] ** 2).mean())))
        if encoder_there:
            quick = encode(model, target, space="w+", steps=FROM_ENCODER, start="encoder").done
            from_encoder.append(psnr(quick.pixels, target))
        pictures += [target, done.pixels]
        labels += [f"seed {seed}", f"{values[-1]:.1f} dB, {distances[-1]:.2f}"]
        print(f"  seed {seed}: {values[-1]:.1f} dB, factors {distances[-1]:.2f}", flush=True)
    Image.fromarray(sheet(pictures, 8, labels=labels, text_size=12)).save(out / "sheet.png")
    by_factor = dict(sorted(zip(names, np.mean(errors, 0).tolist(), strict=True), key=lambda pair: pair[1]))
    (out / "figures.json").write_text(
        json.dumps({
            "generator": model.sha256, "steps": STEPS, "psnr": dict(zip(map(str, SEEDS), values, strict=True)),
            "psnr_from_encoder": from_encoder, "factor_distance": dict(zip(map(str, SEEDS), distances, strict=True)), "by_factor": by_factor,
        }, indent=1)
    )  # fmt: skip
    median = float(np.median(values))
    claims = [
        Claim(
            f"median PSNR of {len(values)} faces, W+, {STEPS} steps from w_avg",
            ">= 30 dB, aim 32",
            f"{median:.1f} dB",
            median >= 30,
        ),
        Claim("the lowest, the lower quarter", "-", f"{min(values):.1f}, {np.percentile(values, 25):.1f} dB"),
        Claim(
            "distance in factor coordinates, root mean square over factors, in the layers that show them, median",
            "reported",
            f"{np.median(distances):.2f} standard deviations",
        ),
    ]
    if from_encoder:
        quick_median = float(np.median(from_encoder))
        claims.append(
            Claim(f"median PSNR from the encoder's guess after {FROM_ENCODER} steps", ">= 26 dB, aim 28",
                  f"{quick_median:.1f} dB", quick_median >= 26)
        )  # fmt: skip
    else:
        claims.append(Claim("PSNR from the encoder's guess", ">= 26 dB, aim 28", "no encoder is among the resources"))
    return claims
