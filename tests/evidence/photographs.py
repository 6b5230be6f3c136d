"""Every photograph goes through unattended: found, aligned, encoded into a project, reported on against the zero face."""

from __future__ import annotations

import csv
import statistics
import threading
from pathlib import Path

from PIL import Image

from facelab import runs
from facelab.assets import SAMPLE_PHOTO, resource
from facelab.batch import encode_photos, encode_zeros
from facelab.engine.engine import TorchEngine
from facelab.jobs import Images, ProjectionSettings, Thumbnails
from facelab.latent.recipe import Recipe
from facelab.media.picture import pixels_of_png
from facelab.media.sheet import sheet
from facelab.project import Project
from tests.evidence.claims import Claim, test_data

STEPS = 1000


def prove(out: Path) -> list[Claim]:
    photos = [resource(SAMPLE_PHOTO), *sorted((test_data() / "photos").glob("*.jpg"))]
    engine, never = TorchEngine("cpu"), threading.Event()
    model = engine.open()
    with Project.open(out / "people.facelab") as project:  # what an earlier attempt encoded is not encoded again
        told = []
        for event in encode_photos(project, engine, model, photos, ProjectionSettings(steps=STEPS), never):
            if event.event not in ("step", "begun"):
                told.append(event)
                print(f"  {event.name}: {event.event} {event.message or f'{event.loss:.4f}'}", flush=True)
        rows = runs.reported(project, model.sha256)
        for _ in encode_zeros(project, engine, model, rows, never):
            pass
        for _ in engine.run(runs.report(project, rows, [out / "report.html", out / "report.csv"]), never):
            pass
        pictures, labels = [], []
        for row in rows:
            target, code = pixels_of_png(project.target(row.id), row.name), project.run_code(row.id)
            assert code is not None, "a run that is done has its code"
            job = Thumbnails(recipes=(Recipe.of(code),), resolution=model.network.resolution)
            (found,) = [a.pixels[0] for a in engine.run(job, never) if isinstance(a, Images)]
            pictures += [target, found]
            labels += [row.name, f"loss {row.best:.3f}"]
    engine.close()
    Image.fromarray(sheet(pictures, 6, labels=labels, text_size=12)).save(out / "pairs.png")
    table = list(csv.DictReader((out / "report.csv").read_text("utf-8").splitlines()))
    failed = [event for event in told if event.event == "failed"]

    def median(column: str) -> str:
        values = [float(row[column]) for row in table if row[column]]
        return f"{statistics.median(values):.2f} ({min(values):.2f} to {max(values):.2f})" if values else "-"

    return [
        Claim(f"photographs of {len(photos)} that went through unattended", "all", f"{len(told) - len(failed)}" + "".join(
            f"; {event.message}" for event in failed), not failed),
        Claim("photographs in the report, each with the zero face's curve", "all", str(sum(bool(
            row["best / zero face"]) for row in table)), all(row["best / zero face"] for row in table)),
        Claim(f"median PSNR after {STEPS} steps in W+, dB", "reported", median("PSNR, dB")),
        Claim("best loss, as a multiple of the zero face's", "reported", median("best / zero face")),
        Claim("identity distance between photograph and reconstruction", "reported", median("identity distance")),
    ]  # fmt: skip
