"""Encodes many photographs into one project, one after the other; started again, it goes on where it was stopped or killed.

A photograph's run has an id that follows from the file's bytes, the generator and the settings. So the same command finds again what
it began, wherever the files lie by now: what is done is passed over, what was cut off goes on from its last saved state.
"""

from __future__ import annotations

import functools
import hashlib
import math
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal, TypeAlias, TypeVar

import numpy as np

from facelab import runs
from facelab.engine.desk import Desk
from facelab.engine.engine import TorchEngine
from facelab.engine.model import Model
from facelab.engine.projection import check
from facelab.errors import BadArgument, FacelabError, NoFaceFound, ProjectError
from facelab.faces import detect
from facelab.faces.align import face_mask, quad_at
from facelab.jobs import (
    Cropped,
    CropPhoto,
    Face,
    Images,
    Job,
    OpenPhoto,
    PhotoOpened,
    Pixels,
    Project,
    ProjectionDone,
    ProjectionSettings,
    ProjectionStep,
    Thumbnails,
    read_only,
)
from facelab.latent.code import Floats, digest_of, frozen
from facelab.latent.recipe import Recipe
from facelab.media.picture import pixels_of_png, png_of
from facelab.project import Project as ProjectFile
from facelab.project import RunRow

THUMBNAIL = 96  # px, as the window keeps them

Event: TypeAlias = Literal["begun", "resumed", "there", "step", "done", "failed", "stopped"]
Crop: TypeAlias = tuple[float, float, float, float]
A = TypeVar("A")


@dataclass(frozen=True)
class Told:
    """What has just happened to one photograph of many.

    Attributes:
        number, total: the photograph's, from 1.
        name: the photograph's, or the run's.
        event: "begun"; "resumed" after ``step`` steps, or from the beginning for the reason in ``message``; "there": done before; "step"; "done"; "failed", for the reason in ``message``;
            "stopped": by ``cancel``, it can go on.
        step: number of steps done, of ``steps``.
        loss: the lowest so far.
        message: for a person; empty where there is nothing to say.
    """

    number: int
    total: int
    name: str
    event: Event
    step: int = 0
    steps: int = 0
    loss: float = math.inf
    message: str = ""


def encode_photos(
    project: ProjectFile,
    engine: TorchEngine,
    model: Model,
    photos: Sequence[Path],
    settings: ProjectionSettings,
    cancel: threading.Event,
    *,
    face: int = 0,
    crop: Crop | None = None,
    mask: bool = False,
    upsample: int = 0,
    detector: Literal["hog", "cnn"] = "hog",
) -> Iterator[Told]:
    """Encode photographs, and write everything into the project as it comes.

    Args:
        project: where runs and faces go.
        engine, model: the open generator.
        photos: files; without any, the unfinished runs of the project go on instead, with their own settings.
        settings: of runs that begin.
        cancel: stops after the step at hand; what is done is kept.
        face: which face of a photograph, the largest is 0.
        crop: instead of finding a face: x and y of the centre, side in pixels, degrees clockwise.
        mask: compare the face itself only, the hull of its landmarks.
        upsample, detector: how faces are sought, see `facelab.faces.detect.find_faces`.

    Yields:
        What happens. A photograph that cannot be encoded is told as "failed", and the next one follows.

    Raises:
        BadArgument: the settings cannot be run.
        ProjectError: the project cannot be written.
    """
    network = model.network
    check(settings, network.num_ws)
    project.note_generator(model.sha256, model.path, model.name, family=network.family, resolution=network.resolution)
    batch = _Batch(project, engine, model, settings, cancel, face, crop, mask, upsample, detector)
    todo: list[Path | RunRow] = [*photos] or [*batch.unfinished()]
    for number, work in enumerate(todo, 1):
        if cancel.is_set():
            return
        yield from batch.one(work, number, len(todo))


def encode_zeros(
    project: ProjectFile, engine: TorchEngine, model: Model, rows: Sequence[RunRow], cancel: threading.Event
) -> Iterator[Told]:
    """Encode the zero face with the settings of each of these runs, where the project does not have it yet.

    Yields:
        A "step" now and then; "failed" where a baseline cannot be had, as with settings that do not fit the generator.

    Raises:
        ProjectError: the project cannot be written.
    """
    missing = runs.zeros_missing(project, rows)
    if not missing:
        return
    network = model.network
    face = Recipe.of(runs.zero_face(model.sha256, network.z_dim, network.c_dim))
    (images,) = [
        answer for answer in engine.run(Thumbnails(recipes=(face,), resolution=network.resolution), cancel)
        if isinstance(answer, Images)
    ]  # fmt: skip
    batch = _Batch(project, engine, model, ProjectionSettings(), cancel)
    for number, (name, settings) in enumerate(missing.items(), 1):
        told = functools.partial(Told, number, len(missing), runs.ZERO_NAME)
        job = Project(run=name, generator=model.sha256, target=images.pixels[0], settings=settings, name=runs.ZERO_NAME)
        job, _ = runs.resumed(project, job)
        runs.begin(project, job, png_of(job.target))
        try:
            yield from batch.run(job, told)
        except ProjectError:
            raise
        except FacelabError as error:
            yield told("failed", message=str(error))
        if cancel.is_set():
            return


class _Batch:
    def __init__(
        self, project: ProjectFile, engine: TorchEngine, model: Model, settings: ProjectionSettings, cancel: threading.Event,
        face: int = 0, crop: Crop | None = None, mask: bool = False, upsample: int = 0, detector: Literal["hog", "cnn"] = "hog",
    ) -> None:  # fmt: skip
        self._project, self._engine, self._model, self._settings = project, engine, model, settings
        self._cancel, self._face, self._crop, self._mask = cancel, face, crop, mask
        self._upsample, self._detector = upsample, detector
        self._desk = Desk()
        self._known = {row.id: row for row in project.runs()}

    def unfinished(self) -> list[RunRow]:
        """The runs that can go on with this generator, the oldest first."""
        return [
            row for row in reversed(self._known.values())
            if row.status != "done" and row.generator == self._model.sha256 and not runs.is_zero_run(row.id)
        ]  # fmt: skip

    def one(self, work: Path | RunRow, number: int, total: int) -> Iterator[Told]:
        """One photograph, or one run that was cut off."""
        name = work.stem if isinstance(work, Path) else work.name
        told = functools.partial(Told, number, total, name)
        try:
            if isinstance(work, RunRow):
                yield from self._go_on(work, told)
                return
            run = self._id(work)
            row = self._known.get(run)
            if row is None:
                yield from self._begin(run, work, told)
            elif row.status == "done":
                yield told("there", step=row.steps_done, steps=row.steps_done, loss=row.best)
            else:
                yield from self._go_on(row, told)
        except ProjectError:
            raise  # what cannot be written for one cannot be for the next
        except FacelabError as error:
            yield told("failed", message=str(error))

    def _begin(self, run: str, photo: Path, told: Callable[..., Told]) -> Iterator[Told]:
        cropped, mask = self._cut(photo)
        job = Project(
            run=run, generator=self._model.sha256, target=cropped.pixels, settings=replace(self._settings, mask=mask),
            name=photo.stem,
        )  # fmt: skip
        runs.begin(self._project, job, png_of(job.target), photo.name, cropped.quad)
        outside = cropped.outside
        note = f"{outside:.0%} of the crop lies outside of the photograph and is filled in" if outside > 0.1 else ""
        yield told("begun", steps=job.settings.steps, message=note)
        yield from self.run(job, told, (photo.name, cropped.quad))

    def _go_on(self, row: RunRow, told: Callable[..., Told]) -> Iterator[Told]:
        job, step = runs.resumed(self._project, self._job_of(row))
        runs.begin(self._project, job)
        yield told("resumed", step=step, steps=job.settings.steps)
        # The process may have ended between a face and the end of its run.
        photo = (
            None if runs.face_of(self._project, row.id) is not None else self._project.run_photo(row.id) or (None, None)
        )
        try:
            yield from self.run(job, told, photo)
        except BadArgument as error:
            if job.resume is None:
                raise
            # Nobody is here to be asked: a state that a newer facelab cannot read costs the steps so far, not the photograph.
            yield told("resumed", step=0, steps=job.settings.steps, message=str(error))
            job = replace(job, resume=None)
            runs.begin(self._project, job)
            yield from self.run(job, told, photo)

    def run(
        self, job: Project, told: Callable[..., Told], photo: tuple[str | None, Floats | None] | None = None
    ) -> Iterator[Told]:
        """Descend, and record it; what was found goes into the library, where ``photo`` says what it came from."""
        done: ProjectionDone | None = None
        steps, reached = job.settings.steps, 0
        try:
            for answer in self._engine.run(job, self._cancel):
                if isinstance(answer, ProjectionDone):
                    done = answer
                    if done.stopped != "cancelled" and photo is not None:
                        name, quad = photo
                        small = png_of(done.pixels, THUMBNAIL)
                        self._project.add_face(
                            Recipe.of(done.code), job.name, thumbnail=small, photo=name, quad=quad, run=job.run
                        )
                if answer is not None:
                    runs.record(self._project, answer)
                if isinstance(answer, ProjectionStep):
                    reached = answer.steps[-1] + 1
                    yield told("step", step=reached, steps=steps, loss=answer.best)
        except BaseException as error:
            if done is None:  # a loss that is no number comes after the best code
                self._project.finish_run(job.run, "failed" if isinstance(error, FacelabError) else "cancelled")
            if done is None and isinstance(error, FacelabError) and self._cancel.is_set():
                yield told("stopped", steps=steps)  # before its first step
                return
            raise
        self._project.flush()
        assert done is not None, "a projection that raises nothing ends with its result"
        stopped = done.stopped == "cancelled"
        if not stopped:  # the same photograph may come again
            settings = runs.settings_json(job.settings)
            self._known[job.run] = RunRow(
                job.run, job.name, "done", reached, done.loss, time.time(), job.generator, settings
            )
        yield told("stopped" if stopped else "done", step=reached, steps=steps, loss=done.loss)

    def _id(self, photo: Path) -> str:
        try:
            if not photo.is_file():
                return ""  # whoever opens it says what is wrong
            with photo.open("rb") as file:
                digest = hashlib.file_digest(file, "sha256").hexdigest()
        except (OSError, ValueError):
            return ""
        settings = runs.settings_json(self._settings)
        # The plain search is left out: runs of before there was another keep their names.
        search = [] if (self._upsample, self._detector) == (0, "hog") else [self._upsample, self._detector]
        return digest_of([digest, self._model.sha256, settings, self._face, self._crop, self._mask, *search])

    def _cut(self, photo: Path) -> tuple[Cropped, Pixels | None]:
        """A face of a photograph, cut out as FFHQ's were, and the mask where one is wanted."""
        found: Face | None = None
        if self._crop is not None:
            x, y, side, angle = self._crop
            quad = frozen(quad_at((x, y), side, angle), "the crop")
        else:
            (opened,) = self._desk_answers(
                OpenPhoto(path=photo, upsample=self._upsample, detector=self._detector), PhotoOpened
            )
            if not opened.faces:
                raise NoFaceFound(opened.message)
            if self._face >= len(opened.faces):
                raise NoFaceFound(f"{photo.name!r} shows {len(opened.faces)} faces, numbered from 0, the largest")
            found = opened.faces[self._face]
            quad = found.quad
        size = self._model.network.resolution
        (cropped,) = self._desk_answers(CropPhoto(path=photo, quad=quad, size=size), Cropped)
        if not self._mask:
            return cropped, None
        if found is None or not len(found.landmarks):
            raise NoFaceFound(f"without landmarks there is no mask for {photo.name!r}; leave the mask or the crop out")
        known = detect.Face(found.box, np.asarray(found.landmarks, np.float64), found.score)
        return cropped, read_only(np.rint(255 * face_mask(known, np.asarray(quad, np.float64), size)).astype(np.uint8))

    def _desk_answers(self, job: Job, kind: type[A]) -> list[A]:
        return [answer for answer in self._desk.run(job, self._cancel) if isinstance(answer, kind)]

    def _job_of(self, row: RunRow) -> Project:
        """What a run of the project was asked to do."""
        target = read_only(pixels_of_png(self._project.target(row.id), row.name))
        return Project(
            run=row.id, generator=row.generator, target=target, settings=runs.settings_of(row.settings), name=row.name
        )
