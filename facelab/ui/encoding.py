"""Photographs to be encoded, and encodings from their start to their end: what is known of them, and how it is said."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from facelab import runs
from facelab.jobs import Cropped, PhotoOpened, Pixels, Project, ProjectionSettings
from facelab.latent.code import Floats
from facelab.latent.recipe import Recipe
from facelab.project import Project as ProjectFile
from facelab.ui.photo import Crop
from facelab.worker import Ticket


@dataclass(eq=False)
class Run:
    """One encoding, from its start to its end.

    Attributes:
        project: where it is recorded.
        state: "waiting", "running", "paused", "done", "failed" or "cancelled".
        steps: done so far, of ``settings.steps``.
        pixels: the picture of a late step.
        face: its id in the library, when it is done.
    """

    id: str
    project: ProjectFile
    name: str
    target: Pixels
    settings: ProjectionSettings
    generator: str
    photo: str | None
    quad: Floats | None
    ticket: Ticket | None = None
    state: str = "waiting"
    steps: int = 0
    best: float = math.inf
    pixels: Pixels | None = None
    recipe: Recipe | None = None
    face: int | None = None
    times: list[tuple[float, int]] = field(default_factory=list)

    @property
    def open(self) -> bool:
        return self.state in ("waiting", "running", "paused")

    def job(self) -> Project:
        """What the worker is asked to do, from the beginning."""
        return Project(
            run=self.id, generator=self.generator, target=self.target, settings=self.settings, name=self.name
        )

    def rate(self) -> float | None:
        """Steps a second, lately."""
        if len(self.times) < 2 or self.times[-1][0] - self.times[0][0] < 0.2:
            return None
        return (self.times[-1][1] - self.times[0][1]) / (self.times[-1][0] - self.times[0][0])


@dataclass(eq=False)
class Item:
    """One photograph of the queue; a run that is taken up again has no photograph any more, only its crop."""

    name: str
    path: Path | None = None
    opened: PhotoOpened | None = None
    face: int | None = None
    crop: Crop | None = None
    cut: Cropped | None = None
    run: Run | None = None
    error: str = ""
    searching: str = ""  # what for, while it is searched again
    listed: Pixels | None = None  # its picture in the queue

    @property
    def ready(self) -> bool:
        """Whether its crop is cut out as it stands."""
        return self.run is None and self.cut is not None and self.crop is not None and np.array_equal(
            self.cut.quad, self.crop.quad()
        )  # fmt: skip

    @property
    def state(self) -> str:
        if self.run is not None:
            return self.run.state
        if self.error:
            return "failed"
        return "opening" if self.opened is None else "ready"


def said(run: Run, *, after_others: bool = False) -> str:
    """How far a run is, for a person; ``after_others``: whether others were begun before it."""
    at = f"step {run.steps:,} of {run.settings.steps:,}"
    loss = f", loss {run.best:.4g}" if math.isfinite(run.best) else ""
    if run.state == "waiting":
        return "Waiting for what was begun before" if after_others else "Preparing…"
    if run.state == "done":
        if runs.is_zero_run(run.id):
            return f"Done{loss}. Its curve is there to compare with."
        return f"Done{loss}. It is the current face now, and in the library as {run.name}."
    if run.state in ("cancelled", "failed"):
        return f"{'Stopped' if run.state == 'cancelled' else 'It failed'} at {at}{loss}. Nothing is lost."
    if run.state == "paused":
        return f"Paused at {at}{loss}"
    if not run.steps:
        return "Preparing…"
    rate = run.rate()
    left = ""
    if rate:
        seconds = (run.settings.steps - run.steps) / rate
        left = f", {rate:.1f} steps a second, about {duration(seconds)} left"
    return f"S{at[1:]}{loss}{left}"


def words(item: Item) -> str:
    """The state of a photograph, for its line in the queue."""
    run = item.run
    if run is not None and run.state in ("running", "paused"):
        return f"{run.state}, {run.steps} of {run.settings.steps}"
    if run is not None and run.state == "done":
        return f"done, loss {run.best:.3g}"
    return {"failed": "could not be encoded" if item.run else "could not be opened"}.get(item.state, item.state)


def sentence(text: str) -> str:
    """With a capital and a full stop."""
    text = text.strip()
    return text[:1].upper() + text[1:] + ("" if text[-1:] in ".!?…:" else ".")


def duration(seconds: float) -> str:
    """Seconds as a person says them."""
    if seconds < 90:
        return f"{max(1, round(seconds))} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
