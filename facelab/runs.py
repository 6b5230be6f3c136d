"""Projection runs in a project: begun, recorded answer by answer, and gone on with after a stop. Window and command line do it alike.

A run is kept with its settings as plain JSON, so that one that was cut off goes on as it began. The baseline that losses are compared
with, the zero face's own curve, is a run like any other, under an id that follows from the settings: it is made once.
"""

from __future__ import annotations

import base64
import binascii
import contextlib
import dataclasses
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from facelab.errors import BadArgument, ProjectError
from facelab.jobs import (
    Answer,
    EncodedPhoto,
    ExportDescent,
    Pixels,
    Project,
    ProjectionDone,
    ProjectionSettings,
    ProjectionState,
    ProjectionStep,
    WriteReport,
    read_only,
)
from facelab.latent.code import Code, Floats, digest_of, frozen
from facelab.latent.recipe import Recipe
from facelab.project import Project as ProjectFile
from facelab.project import RunRow

ZERO_NAME = "Zero face"
_ZERO = "zero-"
_MAX_SIDE = 4096  # of a mask


# -- settings as the project keeps them -----------------------------------------------------------------------------------------
def settings_json(settings: ProjectionSettings) -> dict[str, Any]:
    """Settings as plain JSON."""
    value = {f.name: getattr(settings, f.name) for f in dataclasses.fields(settings)}
    value["losses"] = dict(settings.losses)
    value["learn_layers"] = None if settings.learn_layers is None else list(settings.learn_layers)
    value["start_code"] = None if settings.start_code is None else settings.start_code.to_json()
    value["mask"] = None if settings.mask is None else _pack(settings.mask)
    return value


def settings_of(value: Mapping[str, Any]) -> ProjectionSettings:
    """The settings of `settings_json`; what this facelab does not know is an error, for such a run would not go on as it began.

    Raises:
        BadArgument: the value is not what `settings_json` writes.
    """
    known = {f.name: f for f in dataclasses.fields(ProjectionSettings)}
    if not set(value) <= set(known):
        raise BadArgument(
            "this run was begun by another version of facelab and cannot go on; encode the photograph again"
        )
    given = dict(value)
    try:
        if given.get("start_code") is not None:
            given["start_code"] = Code.from_json(given["start_code"])
        if given.get("learn_layers") is not None:
            given["learn_layers"] = tuple(int(n) for n in given["learn_layers"])
        if given.get("mask") is not None:
            given["mask"] = _unpack(given["mask"])
        if "losses" in given:
            given["losses"] = {str(k): float(v) for k, v in given["losses"].items()}
        for name, default in ((f.name, f.default) for f in known.values()):
            if type(default) in (int, float) and name in given and type(given[name]) not in (int, float):
                raise BadArgument(f"{name} is not a number")
        return ProjectionSettings(**given)
    except (TypeError, ValueError, AttributeError, KeyError, zlib.error, binascii.Error) as error:
        raise BadArgument("the settings of this run cannot be read; encode the photograph again") from error


def _pack(mask: Pixels) -> dict[str, Any]:
    """A mask, uint8 [S, S], as JSON."""
    return {
        "side": len(mask),
        "zlib": base64.b64encode(zlib.compress(np.ascontiguousarray(mask).tobytes())).decode("ascii"),
    }


def _unpack(value: Mapping[str, Any]) -> Pixels:
    side = value["side"]
    if type(side) is not int or not 1 <= side <= _MAX_SIDE:
        raise ValueError("a mask has another size")
    opened = zlib.decompressobj()
    data = opened.decompress(base64.b64decode(value["zlib"], validate=True), side * side + 1)
    if len(data) != side * side:
        raise ValueError("a mask has another length")
    return read_only(np.frombuffer(data, np.uint8).reshape(side, side))


# -- a run, from its beginning to its end ---------------------------------------------------------------------------------------
def begin(
    project: ProjectFile,
    job: Project,
    target_png: bytes | None = None,
    photo: str | None = None,
    quad: npt.ArrayLike | None = None,
) -> None:
    """Begin to record a run before its job is handed on; one that is there already goes on.

    Args:
        project: where.
        job: what is going to be done.
        target_png: ``job.target`` as a PNG.
        photo: name of the photograph, without its folder.
        quad: the crop in it, [4, 2].
    """
    project.start_run(job.run, job.generator, settings_json(job.settings), job.name, target_png, photo, quad)


def record(project: ProjectFile, answer: Answer) -> None:
    """Write what a projection answered, as it comes; other answers are left alone.

    Put the face that a run found into the library before its ``ProjectionDone`` is recorded: a run that is done then has its face,
    whenever the process ends; and see `face_of`, for one that is not done may have it already.
    """
    if isinstance(answer, ProjectionStep):
        project.add_losses(answer.run, answer.steps[0], answer.losses)
        project.add_seconds(answer.run, answer.steps[-1], answer.seconds)
        if answer.kept and answer.ws is not None:
            project.keep_step(answer.run, answer.steps[-1], answer.ws)
    elif isinstance(answer, ProjectionState):
        project.checkpoint(answer.run, answer.step, answer.blob)
    elif isinstance(answer, ProjectionDone):
        project.finish_run(answer.run, "cancelled" if answer.stopped == "cancelled" else "done", answer.code)


def resumed(project: ProjectFile, job: Project) -> tuple[Project, int]:
    """The job that goes on with a run where it was cut off, and the number of steps it had done there.

    Raises:
        ProjectError: the project cannot be read.
    """
    last = project.last_checkpoint(job.run)
    return (job, 0) if last is None else (replace(job, resume=last[1]), last[0])


def face_of(project: ProjectFile, run: str) -> int | None:
    """The face that a run put into the library, be it in the bin by now."""
    for deleted in (False, True):
        for row in project.faces(deleted=deleted):
            if row.run == run:
                return row.id
    return None


def named(project: ProjectFile, text: str) -> RunRow:
    """The run that a person means: by its id or the first letters of it, or by its name, of several the newest.

    Raises:
        ProjectError: there is none.
    """
    rows = project.runs()
    begun = [row for row in rows if len(text) >= 6 and row.id.startswith(text)]
    for row in (*(r for r in rows if r.id == text), *(r for r in rows if r.name == text), *begun):
        return row
    names = ", ".join(sorted({row.name for row in rows if not is_zero_run(row.id)})[:20])
    raise ProjectError(
        f"the project {project.path.name!r} has no run {text!r}; " + (f"it has {names}" if names else "it has none")
    )


def descent(project: ProjectFile, row: RunRow, path: Path, *, curve: bool = True, **more: Any) -> ExportDescent:
    """The job that plays a run as a video; ``more`` are fields of `ExportDescent`.

    Raises:
        ProjectError: the run cannot be read, or too little of it was kept.
    """
    steps = project.kept_steps(row.id)
    if len(steps) < 2:
        raise ProjectError(f"of {row.name!r} too few steps were kept to be played")
    losses = project.losses(row.id).get("total") if curve else None
    return ExportDescent(
        generator=row.generator, steps=tuple(steps), codes=tuple(project.kept(row.id, step) for step in steps),
        result=project.run_code(row.id), losses=losses, path=path, **more,
    )  # fmt: skip


def photo_of(project: ProjectFile, recipe: Recipe) -> tuple[str, Floats] | None:
    """The name of the photograph that a face was encoded from, and the crop in it [4, 2], however it was edited since; or None."""
    for code, weights in zip(recipe.sources, recipe.weights, strict=True):
        run = code.origin.get("run")
        found = project.run_photo(run) if isinstance(run, str) and any(weights) else None
        if found is not None and found[1] is not None:
            return found[0], found[1]
    return None


@dataclasses.dataclass(frozen=True, eq=False)
class Pivot:
    """What a generator is tuned to: a photograph, and the code that is to draw it.

    Attributes:
        run: the encoding that found the code.
        name: of the photograph, as the run calls it.
        code: what it found.
        png: the aligned crop.
        photo, quad: the photograph's file name and the crop in it [4, 2], where they are known.
    """

    run: str
    name: str
    code: Code
    png: bytes
    photo: str | None
    quad: Floats | None


def pivot_of(project: ProjectFile, recipe: Recipe) -> Pivot:
    """The photograph that a face was encoded from, however it was edited since, with the code that was found.

    Raises:
        ProjectError: it was not encoded in this project, or that cannot be read.
    """
    for source, weights in zip(recipe.sources, recipe.weights, strict=True):
        run = source.origin.get("run")
        if not isinstance(run, str) or not any(weights):
            continue
        row = next((row for row in project.runs() if row.id == run), None)
        code, png = project.run_code(run), project.target(run)
        if row is None or code is None or png is None:
            continue
        photo, quad = project.run_photo(run) or (None, None)
        return Pivot(run, row.name, code, png, photo, quad)
    raise ProjectError(
        "this face was not encoded from a photograph of this project; encode one, and tune the generator to that"
    )


# -- the baseline ---------------------------------------------------------------------------------------------------------------
def zero_run(settings: ProjectionSettings, generator: str) -> tuple[str, ProjectionSettings]:
    """The id and the settings of the run that is the baseline of runs with these settings.

    It encodes the zero face (`zero_face`) with the run's own settings and start, but to the last step and as a whole picture: a mask
    belongs to its photograph.
    """
    own = replace(settings, stop_loss=None, stop_seconds=None, stop_slope=None, mask=None)
    return _ZERO + digest_of([generator, settings_json(own)]), own


def reported(project: ProjectFile, generator: str, names: Sequence[str] = ()) -> list[RunRow]:
    """The runs that a report is about, the oldest first: all photographs of a generator, or those that are named.

    Raises:
        ProjectError: there is none, or none of a name.
    """
    rows = [named(project, name) for name in names] or project.runs()[::-1]
    rows = [row for row in rows if row.generator == generator and row.steps_done and not is_zero_run(row.id)]
    if not rows:
        raise ProjectError(
            f"the project {project.path.name!r} has no photograph that was encoded with this generator; encode some first"
        )
    return rows


def zeros_missing(project: ProjectFile, rows: Sequence[RunRow]) -> dict[str, ProjectionSettings]:
    """The baselines, by id, that runs still want before they can be compared; none for runs of an older facelab."""
    done = {row.id for row in project.runs() if row.status == "done"}
    wanted = {}
    for row in rows:
        with contextlib.suppress(BadArgument):
            name, settings = zero_run(settings_of(row.settings), row.generator)
            wanted[name] = settings
    return {name: settings for name, settings in wanted.items() if name not in done}


def report(project: ProjectFile, rows: Sequence[RunRow], paths: Sequence[Path], **more: Any) -> WriteReport:
    """The job that reports on runs of one generator; ``more`` are fields of `WriteReport`. A baseline that is not there is left out.

    Raises:
        ProjectError: a run cannot be read.
    """
    missing, zeros = zeros_missing(project, rows), dict[str, Floats]()
    photos = []
    for row in rows:
        zero, words = None, ""
        with contextlib.suppress(BadArgument):
            settings = settings_of(row.settings)
            name, _ = zero_run(settings, row.generator)
            words = _words(settings)
            if name not in missing:
                zero = zeros.setdefault(name, project.losses(name)["total"])
        photos.append(
            EncodedPhoto(
                name=row.name, settings=words, losses=project.losses(row.id).get("total", np.empty(0, np.float32)),
                seconds=project.seconds(row.id), zero=zero, target=project.target(row.id), recipe=_result(project, row),
            )
        )  # fmt: skip
    return WriteReport(generator=rows[0].generator, runs=tuple(photos), paths=tuple(paths), **more)


def _result(project: ProjectFile, row: RunRow) -> Recipe | None:
    """What a run found, or the last step that was kept of one that has not ended."""
    code = project.run_code(row.id)
    if code is None:
        steps = project.kept_steps(row.id)
        if not steps:
            return None
        code = Code(array=project.kept(row.id, steps[-1]), space="w+", generator=row.generator)
    return Recipe.of(code)


def _words(settings: ProjectionSettings) -> str:
    """Settings in a few words."""
    start = {"w_avg": "the average face", "w0": "w = 0", "code": "a face", "encoder": "the encoder's guess"}.get(
        settings.start, settings.start if settings.start != "seed" else f"seed {settings.seed}"
    )
    words = [settings.space.upper(), f"{settings.steps} steps", settings.optimiser, f"from {start}"]
    words.append(", ".join(settings.losses) or "usual losses")
    words += [f"near W {settings.near_w:g}"] if settings.near_w else []
    words += [f"near the average face {settings.near_w_avg:g}"] if settings.near_w_avg else []
    words += ["some layers"] if settings.learn_layers is not None else []
    words += ["face only"] if settings.mask is not None else []
    return ", ".join(words)


def is_zero_run(run: str) -> bool:
    """Whether a run is a baseline rather than a photograph's."""
    return run.startswith(_ZERO)


def zero_face(generator: str, z_dim: int, c_dim: int = 0) -> Code:
    """The zero face: z = 0, of the first class where a generator has classes."""
    return Code(
        array=frozen(np.zeros(z_dim, np.float32)), space="z", generator=generator, origin={"name": ZERO_NAME},
        label=0 if c_dim else None,
    )  # fmt: skip
