"""Every photograph goes through unattended: found, aligned, encoded; the pairs, and each loss against the zero face's."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
from PIL import Image

from facelab.api import cut_out
from facelab.assets import EMBEDDED_GENERATOR, SAMPLE_PHOTO, resource
from facelab.engine.model import Model
from facelab.errors import FacelabError
from facelab.media.sheet import sheet
from tests.evidence.claims import Claim, draw, encode, psnr, test_data

STEPS = 1000
AT = (10, 100, 1000)


def prove(out: Path) -> list[Claim]:
    model = Model.open(resource(EMBEDDED_GENERATOR), "cpu")
    photos = [resource(SAMPLE_PHOTO), *sorted((test_data() / "photos").glob("*.jpg"))]
    zero = encode(model, draw(model, model.map(np.zeros((1, model.network.z_dim), np.float32))[0]), steps=STEPS).losses
    pictures, labels, failed, values = [], [], [], []
    with (out / "report.csv").open("w", newline="") as file:
        table = csv.writer(file)
        table.writerow(["photo", "psnr", *(f"loss at {n}" for n in AT), "best", *(f"at {n} / zero face" for n in AT)])
        for photo in photos:
            try:
                target, _ = cut_out(photo, model.network.resolution)
                run = encode(model, target, steps=STEPS)
            except FacelabError as error:
                failed.append(f"{photo.name}: {error}")
                continue
            values.append(psnr(run.done.pixels, target))
            losses = [run.losses[n - 1] for n in AT]
            table.writerow([photo.name, f"{values[-1]:.2f}", *(f"{v:.5f}" for v in losses), f"{run.done.loss:.5f}",
                            *(f"{v / zero[n - 1]:.2f}" for v, n in zip(losses, AT, strict=True))])  # fmt: skip
            pictures += [target, run.done.pixels]
            labels += [photo.stem, f"{values[-1]:.1f} dB"]
            print(f"  {photo.name}: {values[-1]:.1f} dB", flush=True)
    Image.fromarray(sheet(pictures, 6, labels=labels, text_size=12)).save(out / "pairs.png")
    return [
        Claim(f"photographs of {len(photos)} that went through unattended", "all", f"{len(values)}" + "".join(
            f"; {sentence}" for sentence in failed), not failed),
        Claim(f"median PSNR after {STEPS} steps in W+", "reported", f"{np.median(values):.1f} dB"),
    ]  # fmt: skip
