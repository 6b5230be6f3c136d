"""What the proofs share: claims, pictures beside one another, curves."""

from __future__ import annotations

import math
import os
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageDraw

from facelab.engine.model import Model
from facelab.engine.projection import project
from facelab.jobs import Pixels, Project, ProjectionDone, ProjectionSettings, ProjectionStep
from facelab.latent.code import Floats
from facelab.media.sheet import font


class Skipped(Exception):
    """A proof needs what is not here."""


@dataclass(frozen=True)
class Claim:
    """A figure: what it is, what is wanted, what was seen, and whether that is enough (None: it is only reported)."""

    text: str
    wanted: str
    seen: str
    holds: bool | None = None

    @property
    def verdict(self) -> str:
        return "-" if self.holds is None else "yes" if self.holds else "NO"

    def __str__(self) -> str:
        return f"[{self.verdict}] {self.text}: {self.seen} (wanted: {self.wanted})"


def test_data() -> Path:
    where = os.environ.get("FACELAB_TEST_DATA")
    if not where:
        raise Skipped("FACELAB_TEST_DATA is not set")
    return Path(where).resolve()


@dataclass(eq=False)
class Run:
    """A projection that has ended: its result, and the loss of each step by term."""

    done: ProjectionDone
    terms: dict[str, list[float]]

    @property
    def losses(self) -> list[float]:
        """The weighted sum."""
        return self.terms["total"]


def encode(model: Model, target: Pixels, **settings: Any) -> Run:
    """Project a picture, uint8 [S, S, 3]."""
    job = Project(run="evidence", generator=model.sha256, target=target, settings=ProjectionSettings(**settings))
    terms: dict[str, list[float]] = {}
    done: ProjectionDone | None = None
    for answer in project(model, job, threading.Event()):
        if isinstance(answer, ProjectionStep):
            if answer.steps[-1] // 100 > (answer.steps[0] - 1) // 100:
                print(f"    step {answer.steps[-1] + 1}, loss {answer.best:.4g}", flush=True)
            for name, values in answer.losses.items():
                terms.setdefault(name, []).extend(values)
        elif isinstance(answer, ProjectionDone):
            done = answer
    assert done is not None, "a projection that raises nothing ends with its result"
    return Run(done, terms)


def draw(model: Model, w: Floats) -> Pixels:
    """The picture of a code [C] or [L, C], uint8 [H, W, 3]."""
    from facelab.engine.model import to_pixels, to_tensor

    ws = to_tensor(np.broadcast_to(w, (model.network.num_ws, model.network.w_dim)))[None]
    *_, (_, picture) = model.renderer.steps(ws)
    assert picture is not None
    return to_pixels(picture)[0]


def psnr(a: Pixels, b: Pixels) -> float:
    """Peak signal to noise ratio of two pictures in dB."""
    error = float(((a.astype(np.float64) - b) ** 2).mean())
    return math.inf if error == 0 else 10 * math.log10(255**2 / error)


COLOURS = ("#1f77b4", "#d62728", "#2ca02c", "#9467bd", "#ff7f0e", "#17becf", "#8c564b", "#7f7f7f")


def plot_losses(path: Path, curves: Mapping[str, Sequence[float]], title: str) -> None:
    """Losses by step on log-log axes, one curve for each name."""
    width, height, left, top, bottom, right = 980, 560, 80, 44, 52, 310
    image = Image.new("RGB", (width, height), "white")
    pen = ImageDraw.Draw(image)
    values = [v for curve in curves.values() for v in curve if v > 0]
    low, high = math.floor(math.log10(min(values))), math.ceil(math.log10(max(values)))
    last = math.log10(max(len(curve) for curve in curves.values()))

    def place(step: int, value: float) -> tuple[float, float]:
        across = math.log10(step) / max(last, 1e-9)
        up = (math.log10(max(value, 10.0**low)) - low) / max(high - low, 1)
        return left + across * (width - left - right), height - bottom - up * (height - top - bottom)

    words = font("0123456789abc", 13)
    for decade in range(low, high + 1):
        y = place(1, 10.0**decade)[1]
        pen.line([(left, y), (width - right, y)], fill="#dddddd")
        pen.text((left - 8, y), f"1e{decade}", font=words, fill="black", anchor="rm")
    for decade in range(int(last) + 1):
        x = place(10**decade, 1)[0]
        pen.line([(x, top), (x, height - bottom)], fill="#dddddd")
        pen.text((x, height - bottom + 8), str(10**decade), font=words, fill="black", anchor="mt")
    pen.text((left, 14), title, font=words, fill="black")
    pen.text((width - right, height - 14), "step", font=words, fill="black", anchor="rb")
    for number, (name, curve) in enumerate(curves.items()):
        colour = COLOURS[number % len(COLOURS)]
        pen.line([place(i, v) for i, v in enumerate(curve, 1)], fill=colour, width=2)
        y = top + 20 * number
        pen.line([(width - right + 12, y), (width - right + 34, y)], fill=colour, width=3)
        pen.text((width - right + 40, y), name, font=words, fill="black", anchor="lm")
    image.save(path)
