"""Puts a conformity report together: draws what was found, tells identities apart, writes the page or the table."""

from __future__ import annotations

import math
import threading
from collections.abc import Callable, Generator, Iterator

import numpy as np

from facelab.errors import BadArgument, MissingPart
from facelab.faces import identity
from facelab.files import replacing
from facelab.jobs import Answer, Pixels, Progress, WriteReport, Written
from facelab.latent.recipe import Recipe
from facelab.media.picture import pixels_of_png
from facelab.media.report import Encoded, Report

SUFFIXES = (".html", ".csv")


def write(
    job: WriteReport, draw: Callable[[Recipe], Generator[None, None, Pixels]], generator: str, cancel: threading.Event
) -> Iterator[Answer | None]:
    """Work the job off.

    Args:
        job: what to report.
        draw: gives a recipe's picture, uint8 [H, W, 3].
        generator: its name.
        cancel: ends it with nothing written.

    Raises:
        BadArgument: there is nothing to report, or a path has another ending than ``SUFFIXES``.
        PictureError: a run's crop is damaged.
    """
    if not job.runs:
        raise BadArgument("there is no encoded photograph to report on; encode some first")
    if any(path.suffix.lower() not in SUFFIXES for path in job.paths):
        raise BadArgument(f"a report ends in {' or '.join(SUFFIXES)}")
    rows, notes, known = [], [], True
    for done, run in enumerate(job.runs):
        target = pixels_of_png(run.target, run.name)
        found = None if run.recipe is None else (yield from draw(run.recipe))
        apart = None
        if known and found is not None:
            try:
                apart = identity.distance(identity.embed(target), identity.embed(found))
            except MissingPart as error:
                known = False
                notes.append(f"Identity distances are missing: {error}.")
        rows.append(
            Encoded(
                run.name, run.settings, np.asarray(run.losses, np.float64), np.asarray(run.seconds, np.float64),
                None if run.zero is None else np.asarray(run.zero, np.float64), target, found, apart,
            )
        )  # fmt: skip
        yield Progress(done + 1, len(job.runs), "comparing pictures")
        if cancel.is_set():
            return
    # Nearest to what the generator knows first; those without a baseline by their loss, after the others.
    rows.sort(
        key=lambda row: (math.isnan(row.best_relative()), row.best_relative() if row.zero is not None else row.best)
    )
    level = max(row.best for row in rows) if job.level is None else job.level
    if job.level is None:
        notes.append(
            f"The loss to which times are told, {level:.3g}, is the lowest that all of these photographs reached."
        )
    notes.append(
        "The zero face is the face of z = 0, encoded with the same settings from the same start: what the generator knows best. "
        "A photograph at 1 conforms as well as it does; the higher, the less of the photograph the generator knows."
    )
    report = Report(generator, rows, level, job.steps, identity.SAME_PERSON, notes)
    for path in job.paths:
        with replacing(path) as temporary:
            temporary.write_text(report.csv() if path.suffix.lower() == ".csv" else report.html(), "utf-8", newline="")
        yield Written(path)
