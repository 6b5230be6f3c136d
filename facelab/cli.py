"""The command line: what the window does, without it; ``facelab`` alone opens the window.

What a person needs to read goes to stderr, what another program reads to stdout. Exit codes: 0 done, 2 something in the world is
not as it must be (one sentence says what), 130 interrupted (Ctrl+C; says what was kept), 1 a mistake of facelab's own.
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import json
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import numpy as np

from facelab import arguments
from facelab.errors import (
    AmbiguousLatent,
    BadArgument,
    ExportError,
    FacelabError,
    LatentError,
    PictureError,
    ProjectError,
    WrongGenerator,
)
from facelab.jobs import (
    LIKELY,
    Answer,
    Catalogue,
    Codes,
    Download,
    Engine,
    ExportMorph,
    ExportPictures,
    ExportPlane,
    GeneratorInfo,
    Images,
    Job,
    ListCatalogue,
    OpenPhoto,
    PasteBack,
    PhotoOpened,
    Progress,
    ProjectionSettings,
    ReadLatents,
    Resolve,
    Thumbnails,
    UseTuning,
    UseTunings,
    WriteLatents,
    Written,
)
from facelab.latent.code import Code, Floats, frozen
from facelab.latent.plane import Plane
from facelab.latent.recipe import Recipe, Transform
from facelab.latent.spaces import layer_groups

if TYPE_CHECKING:  # torch is only loaded by a command that draws
    from facelab.engine.engine import TorchEngine
    from facelab.engine.model import Model
    from facelab.project import Project


def main(argv: Sequence[str]) -> int:
    """Run one command; returns the exit code."""
    argv = list(argv)
    if not argv or (argv[0] not in COMMANDS and Path(argv[0]).exists()):
        argv = ["window", *argv]
    interrupted: list[str] = []
    try:
        options = arguments.parser(COMMANDS).parse_args(argv)
        with _terminated():
            options.run(options, interrupted.append)
        return 0
    except FacelabError as error:
        _say(f"facelab: {error}")
        return 2
    except KeyboardInterrupt:
        _say("facelab: interrupted; " + (interrupted[-1] if interrupted else "nothing was written"))
        return 130
    except BrokenPipeError:  # whoever read the output has closed it
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0


# -- the commands -------------------------------------------------------------------------------------------------------
Keep = Callable[[str], None]  # what to say was kept, should an interrupt come now


def _window(options: argparse.Namespace, keep: Keep) -> None:
    from facelab import app

    code = app.run(options.files)
    if code:
        raise SystemExit(code)


def _render(options: argparse.Namespace, keep: Keep) -> None:
    if not options.faces and options.seed is None:
        raise BadArgument("say whom to draw: facelab render --seed 7 -o face.png, or a face file")
    with _engine(options) as (engine, model):
        faces = [*options.faces, *map(str, options.seed or ())]
        recipes = [_styled(_face(engine, model, face, options), options, model) for face in faces]
        paths = _targets(options.output, faces)
        _draw(engine, recipes, paths, options, keep)
    _told(options, paths)


def _draw(
    engine: TorchEngine, recipes: Sequence[Recipe], paths: Sequence[Path], options: argparse.Namespace, keep: Keep
) -> None:
    """Write faces as pictures, or as codes where the names say so."""
    if _is_latents(paths[0]):
        for recipe, path in zip(recipes, paths, strict=True):
            _work(engine, WriteLatents(recipes=(recipe,), path=path), options)
            keep(f"{path} is whole")
        return
    job = ExportPictures(recipes=tuple(recipes), paths=tuple(paths), scale=options.scale)
    for answer in _answers(engine, job, options):
        if isinstance(answer, Written):
            keep(f"the pictures up to {answer.path} are whole")


def _mix(options: argparse.Namespace, keep: Keep) -> None:
    if len(options.faces) < 2:
        raise BadArgument("a mix takes at least two faces")
    _check_folder(options.output)
    with _engine(options) as (engine, model):
        recipes = [_face(engine, model, face, options) for face in options.faces]
        codes = [recipe.sources[0] for recipe in recipes]
        if any(recipe != Recipe.of(code) for recipe, code in zip(recipes, codes, strict=True)):
            codes = _worked_out(engine, recipes, options)
        weights = _shares(options, len(codes), model)
        mixed = Recipe.of(codes[0]).change(sources=tuple(codes), weights=tuple(map(tuple, weights.tolist())))
        _draw(engine, [_styled(mixed, options, model)], [options.output], options, keep)
    _told(options, [options.output])


def _shares(options: argparse.Namespace, faces: int, model: Model) -> Floats:
    """How much of each face goes into each layer, [faces, num_ws]: what the options leave open is the first face's; without
    any all have equal parts."""
    network = model.network
    groups = layer_groups(network.family, network.num_ws)
    given = [(rows, shares) for name, rows in groups.items() if (shares := getattr(options, name)) is not None]
    given += options.layers or ()
    others = np.full((faces - 1, network.num_ws), 0.0 if given else 1 / faces, np.float32)
    for rows, shares in given:
        if len(shares) != faces - 1:
            raise BadArgument(
                f"{len(shares)} share{'s' * (len(shares) > 1)} for {faces} faces; give one for each face but the first"
            )
        if max(rows, default=0) >= network.num_ws:
            raise BadArgument(f"this generator has layers 0 to {network.num_ws - 1}, not {max(rows)}")
        others[:, list(rows)] = np.asarray(shares, np.float32)[:, None]
    return np.concatenate([1 - others.sum(0, keepdims=True), others])


def _plane(options: argparse.Namespace, keep: Keep) -> None:
    if len(options.faces) not in (0, 3):
        raise BadArgument("a plane is spanned by three faces: its origin, the end of its x-axis and that of its y-axis")
    with _engine(options) as (engine, model):
        recipes = [_face(engine, model, face, options) for face in options.faces or ("0", "1", "2")]
        plain = all(r.sources[0].space == "z" and r == Recipe.of(r.sources[0]) for r in recipes)
        codes = [r.sources[0] for r in recipes]
        if not plain or options.space == "w+":
            # The noise of one corner would be no other's.
            codes = [dataclasses.replace(c, noise=None) for c in _worked_out(engine, recipes, options)]
        template = _styled(Recipe.of(codes[0]), options, model)
        _work(
            engine,
            ExportPlane(
                plane=Plane(origin=codes[0], x=codes[1], y=codes[2]),
                template=template,
                columns=tuple(np.linspace(options.u[0], options.u[1], options.columns).tolist()),
                rows=tuple(np.linspace(options.v[0], options.v[1], options.rows)[::-1].tolist()),
                path=options.output,
                tile=options.tile,
                labels=not options.no_labels,
            ),
            options,
        )
    _told(options, [options.output])


def _morph(options: argparse.Namespace, keep: Keep) -> None:
    if len(options.faces) < 2:
        raise BadArgument("a morph goes through at least two faces")
    with _engine(options) as (engine, model):
        recipes = tuple(_styled(_face(engine, model, face, options), options, model) for face in options.faces)
        if not options.output.suffix:
            keep(f"the frames so far stay in {options.output}; the same command goes on with them")
        _work(
            engine,
            ExportMorph(
                keys=recipes,
                path=options.output,
                seconds=options.seconds,
                fps=options.fps,
                size=options.size,
                easing=options.easing,
                interpolation=options.interpolation,
                loop=options.loop,
            ),
            options,
        )
    _told(options, [options.output])


def _encode(options: argparse.Namespace, keep: Keep) -> None:
    from facelab import api

    if options.project is not None:
        _encode_into(options, keep)
        return
    if len(options.photos) != 1 or options.output is None:
        raise BadArgument("give one photograph and -o FILE for its face, or many and --project FILE")
    if options.mask:
        raise BadArgument("--mask goes with --project")
    if not _is_latents(options.output) and options.output.suffix.lower() != ".png":
        raise BadArgument(
            f"cannot tell the format of {options.output.name!r}; end its name in .face.safetensors or .png"
        )
    _check_folder(options.output)
    generator = api.open(_checkpoint(options), options.device)
    if options.crop is None:
        _notice(options)
    settings = _settings(options)
    if (code := _start(options, generator.sha256)) is not None:
        settings["start"] = code.array
    run = api.encode(
        generator,
        options.photos[0],
        face=options.face,
        crop=options.crop,
        upsample=options.upsample,
        detector=options.detector,
        **settings,
    )
    for note in run.notes:
        _note(options, note)
    progress = _ProgressLine(options)
    try:
        for step in run:
            progress.show(step.step + 1, run.steps, f"loss {step.loss:.5f}")
    except KeyboardInterrupt:
        progress.end()
        if run.losses:
            _save(run, options.output)
            keep(f"the best code of {len(run.losses)} steps, loss {run.loss:.5f}, is in {options.output}")
        raise
    progress.end()
    _save(run, options.output)
    if options.tune is None:
        _told(options, [options.output], f" (loss {run.loss:.5f} after {len(run.losses)} steps)")
        return
    keep(f"{options.output} is whole, though not tuned")
    _note(options, f"tuning the generator to it, {options.tune} steps")
    tuned = api.tune(run, options.tune, features=options.features)
    beside = options.output.with_name(f"{options.output.name.split('.')[0]}.tuning.safetensors")
    tuned.save(beside)
    _save(run, options.output, tuned)
    _told(options, [options.output, beside], f" (loss {tuned.loss:.5f}; it was {run.loss:.5f} before tuning)")


def _encode_into(options: argparse.Namespace, keep: Keep) -> None:
    """Many photographs, or what was left of them, into a project."""
    from facelab.batch import Told, encode_photos
    from facelab.project import Project

    if options.output is not None:
        raise BadArgument("-o is for one photograph without --project; the faces of many go into the project")
    if options.tune is not None:
        raise BadArgument("--tune is for one photograph with -o")
    photos = [photo for given in options.photos for photo in _photos(given)]
    if options.crop is not None and len(photos) != 1:
        raise BadArgument("--crop is for one photograph; give the others in a command of their own")
    where, name = options.project, options.project.name
    keep(f"what is done is in {name}; the same command goes on with it")
    if photos and options.crop is None:
        _notice(options)
    line, last = _ProgressLine(options), {}
    with _engine(options) as (engine, model), Project.open(where) as project, _stopping() as cancel:
        settings = ProjectionSettings(**_settings(options))
        if (code := _start(options, model.sha256)) is not None:
            settings = dataclasses.replace(settings, start="code", start_code=code)

        def say(told: Told, words: str) -> None:
            line.end()
            if not options.quiet or told.event == "failed":
                _say(f"[{told.number}/{told.total}] {told.name}: {words}")

        for told in encode_photos(
            project, engine, model, photos, settings, cancel, face=options.face, crop=options.crop, mask=options.mask,
            upsample=options.upsample, detector=options.detector,
        ):  # fmt: skip
            if told.event == "step":
                line.show(told.step, told.steps, f"loss {told.loss:.5f}  {told.name}")
                continue
            last[told.number] = told.event
            if told.event in ("begun", "resumed"):
                say(told, _beginning(told))
                line = _ProgressLine(options)
            elif told.event == "there":
                say(told, f"was encoded before (loss {told.loss:.5f} after {told.step} steps)")
            elif told.event == "failed":
                say(told, f"passed over: {told.message}")
            elif told.event == "done":
                say(told, f"loss {told.loss:.5f} after {told.step} steps")
            else:
                say(told, f"stopped at step {told.step} of {told.steps}")
        if cancel.is_set():
            raise KeyboardInterrupt
    ends = list(last.values())
    if ends.count("failed"):
        raise PictureError(
            f"{ends.count('failed')} of {len(ends)} were not encoded, for the reasons above; {name} holds the others"
        )
    if not options.quiet:
        _say(
            f"{name}: {ends.count('done')} encoded, {ends.count('there')} before"
            if ends
            else f"nothing is left to go on with in {name}"
        )


def _settings(options: argparse.Namespace) -> dict[str, Any]:
    """What the options say of a descent, as fields of ``ProjectionSettings``; the rest stays as it is there."""
    names = (
        "space", "steps", "start", "seed", "features", "learning_rate", "optimiser", "near_w", "near_w_avg", "noise_weight", "learn_layers", "stop_loss",
        "stop_seconds", "stop_slope",
    )  # fmt: skip
    given = dict(LIKELY) if options.likely else {}
    given |= {name: value for name in names if (value := getattr(options, name)) is not None}
    return given | {"losses": dict(options.loss or ()), "optimise_noise": not options.no_noise}


def _start(options: argparse.Namespace, generator: str) -> Code | None:
    """The code that ``--start`` names, when it is the file of a face; it is taken for one of the open generator."""
    from facelab.engine.latents import load_latents

    if options.start in arguments.STARTS:
        return None
    path = Path(options.start)
    if not path.is_file():
        raise BadArgument(f"--start is {', '.join(arguments.STARTS)}, or the file of a face, not {options.start!r}")
    codes = load_latents(path)
    if len(codes) != 1:
        raise LatentError(f"{path.name!r} holds {len(codes)} codes; save the one that is meant by itself")
    return Code(array=frozen(codes[0], "the start"), space="w" if codes[0].ndim == 1 else "w+", generator=generator)


def _beginning(told: Any) -> str:
    if told.event == "begun":
        return f"{told.steps} steps" + (f" ({told.message})" if told.message else "")
    if told.step == 0:
        return f"begins again: {told.message or 'it was stopped before anything of it was kept'}"
    return f"goes on after step {told.step} of {told.steps}"


def _photos(given: Path) -> list[Path]:
    """The photographs of an argument: a file, the pictures of a folder, or what a pattern stands for where no shell spells it out."""
    from facelab.faces.photo import SUFFIXES

    found = [given]
    if given.is_dir():
        found = sorted(p for p in given.iterdir() if p.suffix.lower() in SUFFIXES)
    elif not given.exists() and any(c in given.name for c in "*?["):
        found = sorted(given.parent.glob(given.name))
    if not found:
        raise BadArgument(f"there is no photograph in {given}")
    return found


def _save(run: Any, path: Path, tuned: Any = None) -> None:
    """Write an encoding as a face file, or as its picture with the recipe inside."""
    if path.suffix.lower() == ".png":
        from facelab.media.picture import save_picture

        save_picture(path, (tuned or run).image, run.recipe(tuned).to_json())
    else:
        run.save(path, tuned)


def _descent(options: argparse.Namespace, keep: Keep) -> None:
    from facelab import runs

    with _project(options.project) as project:
        row = runs.named(project, options.name)
        job = runs.descent(
            project, row, options.output, curve=not options.no_curve, seconds=options.seconds, back=options.back,
            fps=options.fps, size=options.size,
        )  # fmt: skip
    if not options.output.suffix:
        keep(f"the frames so far stay in {options.output}; the same command goes on with them")
    with _engine(options) as (engine, _):
        _work(engine, job, options)
    _told(options, [options.output])


def _report(options: argparse.Namespace, keep: Keep) -> None:
    from facelab import runs
    from facelab.batch import encode_zeros

    _check_folder(options.output)
    paths = [options.output] if options.csv is None else [options.output, options.csv]
    keep(f"the baselines so far are kept in {options.project.name}; the same command goes on")
    with _project(options.project) as project, _engine(options) as (engine, model), _stopping() as cancel:
        rows = runs.reported(project, model.sha256, options.names)
        if not options.no_zero:
            line = _ProgressLine(options)
            for step in encode_zeros(project, engine, model, rows, cancel):
                if step.event == "failed":
                    line.end()
                    _say(f"no curve of the zero face for some of them: {step.message}")
                line.show(step.step, step.steps, f"of the zero face, loss {step.loss:.5f}")
            line.end()
        if cancel.is_set():
            raise KeyboardInterrupt
        _work(engine, runs.report(project, rows, paths, level=options.level, steps=tuple(options.at)), options)
    _told(options, paths, f" ({len(rows)} photographs)")


def _paste(options: argparse.Namespace, keep: Keep) -> None:
    from facelab.engine.desk import Desk

    _check_folder(options.output)
    desk = Desk()
    with _engine(options) as (engine, model):
        recipe, quad = _pasted(engine, model, options)
        if quad is None:
            quad = _quad(desk, options)
        job = Thumbnails(recipes=(_styled(recipe, options, model),), resolution=model.network.resolution)
        (drawn,) = [a.pixels for a in _answers(engine, job, options) if isinstance(a, Images) and a.final]
    paste = PasteBack(
        photo=options.photo, quad=quad, pixels=drawn[0], path=options.output, feather=options.feather, mask=options.mask
    )
    for _ in _answers(desk, paste, options):
        pass
    _told(options, [options.output])


def _pasted(engine: TorchEngine, model: Model, options: argparse.Namespace) -> tuple[Recipe, Any]:
    """The face to paste, of a file or of the project's library, and its crop where the project knows it."""
    from facelab import runs

    if options.project is None:
        return _face(engine, model, options.face, options), None
    with _project(options.project) as project:
        rows = [] if Path(options.face).exists() else [row for row in project.faces() if row.name == options.face]
        recipe = project.recipe(rows[0].id) if rows else _face(engine, model, options.face, options)
        found = (project.photo(rows[0].id) if rows else None) or runs.photo_of(project, recipe)
    return recipe, None if found is None or options.crop is not None else found[1]


def _quad(desk: Engine, options: argparse.Namespace) -> Any:
    """Where the face of a photograph is: as told, or as found."""
    from facelab.faces.align import quad_at

    if options.crop is not None:
        x, y, side, angle = options.crop
        return quad_at((x, y), side, angle)
    _notice(options)
    (opened,) = [a for a in _answers(desk, OpenPhoto(path=options.photo), options) if isinstance(a, PhotoOpened)]
    if not opened.faces:
        raise PictureError(opened.message.replace("place the crop by hand", "give its place with --crop"))
    if options.number >= len(opened.faces):
        raise BadArgument(f"{options.photo.name!r} shows {len(opened.faces)} faces, numbered from 0, the largest")
    return opened.faces[options.number].quad


def _info(options: argparse.Namespace, keep: Keep) -> None:
    from facelab.engine.desk import look_at

    what = "generator" if options.file is None else look_at(options.file).what
    if what == "generator":
        options.generator = options.file
        with _engine(options) as (_, model):
            facts = _generator_facts(model.info())
    elif what == "recipe":
        recipe = look_at(options.file).recipe
        assert recipe is not None
        facts = {"what": "face", "file": str(options.file), **json.loads(recipe.to_json())}
        for source in facts["sources"]:
            source.pop("array", None)
            source.pop("noise", None)
        for use in facts["directions"]:
            use["direction"].pop("vector", None)
    elif what == "latents":
        from facelab.engine.latents import load_latents

        array = load_latents(options.file)
        facts = {"what": "latents", "file": str(options.file), "shape": list(array.shape),
                 "mean": float(array.mean()), "standard deviation": float(array.std())}  # fmt: skip
    else:
        facts = {"what": what, "file": str(options.file)}
    if options.json:
        print(json.dumps(facts, indent=2))
        return
    for name, value in facts.items():
        if name == "layers":
            print("layers:")
            for row, layer in enumerate(value):
                channels = f"{layer['in_channels']} -> {layer['out_channels']}"
                print(f"  {row:2}  {layer['name']:<18} {layer['resolution']:>5} px  {channels:>12} channels")
        elif name == "noise_shapes" and value:
            print(f"noise: {', '.join(f'{h} x {w}' for h, w in value)}")
        elif isinstance(value, dict):
            print("".join(f"{name}.{key}: {one}\n" for key, one in value.items()), end="")
        elif isinstance(value, list | tuple):
            print("".join(f"{name}: {json.dumps(one) if isinstance(one, dict) else one}\n" for one in value), end="")
        elif value not in (None, ""):
            print(f"{name}: {value}")


def _generator_facts(info: GeneratorInfo) -> dict[str, Any]:
    values = dataclasses.asdict(info)
    w_avg = values.pop("w_avg")
    values["metadata"] = dict(info.metadata)
    return {
        "what": "generator",
        **values,
        "w_avg": {"mean": float(w_avg.mean()), "length": float(np.linalg.norm(w_avg))},
    }


def _convert(options: argparse.Namespace, keep: Keep) -> None:
    from facelab import checkpoints

    if options.output.suffix.lower() != ".safetensors" or options.output.name.lower().endswith(".face.safetensors"):
        raise BadArgument(f"a generator is written as .safetensors; {options.output.name!r} has another ending")
    found = checkpoints.load(options.input)
    metadata = {"name": options.input.stem, "source_format": found.format, **found.metadata}
    checkpoints.save(found.network, options.output, metadata, half=options.half)
    for note in found.notes:
        _note(options, note)
    # Halved weights are another generator.
    sha256 = checkpoints.load(options.output).sha256 if options.half else found.sha256
    _told(options, [options.output], f" ({found.network.family}, {found.network.resolution} px, {sha256[:12]})")


def _catalogue(options: argparse.Namespace, keep: Keep) -> None:
    from facelab.engine.desk import Desk

    (catalogue,) = [a for a in Desk().run(ListCatalogue(), threading.Event()) if isinstance(a, Catalogue)]
    if options.json:
        print(
            json.dumps([{**dataclasses.asdict(e), "path": e.path and str(e.path)} for e in catalogue.entries], indent=2)
        )
        return
    for entry in catalogue.entries:
        size = "size unknown" if entry.bytes is None else f"{entry.bytes / 1e6:,.0f} MB"
        print(f"{entry.name}\n    {entry.title}; {entry.family}, {entry.resolution} px, {size}; {entry.licence}")
        if entry.by_hand:
            print(f"    only with a browser: {entry.address}")
        elif entry.path is not None:
            print(f"    is here: {entry.path}")


def _download(options: argparse.Namespace, keep: Keep) -> None:
    from facelab.checkpoints import catalogue
    from facelab.engine.desk import Desk

    entry = catalogue.find(options.name)
    if not options.accept:
        terms = f"{entry.title}: {entry.licence}, {entry.licence_address}"
        if not sys.stdin.isatty():
            raise BadArgument(f"read its terms first ({terms}); then give --accept")
        _say(terms)
        if input("Do you accept these terms? [y/N] ").strip().lower() not in ("y", "yes"):
            raise BadArgument("its terms were not accepted, so nothing was downloaded")
    keep(f"what has arrived of {entry.name} is kept; the same command goes on with it")
    for answer in _answers(Desk(), Download(entry=entry.name), options):
        if isinstance(answer, Written):
            _told(options, [answer.path])


def _demo(options: argparse.Namespace, keep: Keep) -> None:
    from facelab.assets import SAMPLE_PHOTO, resource

    folder: Path = options.folder
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ExportError(f"cannot make the folder {folder}: {error.strerror}; choose another one") from error
    keep(f"what is whole lies in {folder}")
    face = folder / "astronaut.face.safetensors"
    photo, seconds = str(resource(SAMPLE_PHOTO)), "3"
    for words in (
        ["encode", photo, "-o", str(face), "--steps", str(options.steps), "--likely"],
        ["render", str(face), "-o", str(folder / "astronaut.png")],
        ["plane", "11", "4", "8", "-o", str(folder / "plane.png")],
        ["morph", str(face), "4", "11", str(face), "-o", str(folder / "morph.mp4"), "--seconds", seconds],
    ):
        step = arguments.parser(COMMANDS).parse_args(words)
        step.run(step, keep)
    from facelab import app

    app.screenshot(folder / "window.png", [face])
    _told(options, [folder / "window.png"])


# -- the engine ---------------------------------------------------------------------------------------------------------
@contextlib.contextmanager
def _engine(options: argparse.Namespace) -> Iterator[tuple[TorchEngine, Model]]:
    """The engine with the generator of ``--generator`` open in it."""
    from facelab.engine.engine import TorchEngine

    engine = TorchEngine(options.device)
    try:
        model = engine.open(_checkpoint(options))
        given = getattr(options, "tuning", None)
        if given is not None and given.suffix.lower() == ".facelab":
            _work(engine, UseTunings(project=given), options)
        elif given is not None:
            from facelab.engine import tuning

            _work(engine, UseTuning(generator=model.sha256, blob=tuning.read(given, model)), options)
        yield engine, model
    finally:
        engine.close()


@contextlib.contextmanager
def _project(path: Path) -> Iterator[Project]:
    """A project that is there."""
    from facelab.project import Project

    if not path.exists():
        raise ProjectError(f"the project {path} is not there; make it with facelab encode --project, or in the window")
    with Project.open(path) as project:
        yield project


def _checkpoint(options: argparse.Namespace) -> Path | None:
    """The file of ``--generator``: a path, or the name of an entry of the catalogue that was downloaded."""
    given: Path | None = options.generator
    if given is None or given.exists():
        return given
    from facelab.checkpoints import catalogue

    named = [entry for entry in catalogue.entries() if entry.name == str(given)]
    if named and not named[0].path().is_file():
        raise BadArgument(f"{given} is in the catalogue, but not here yet; fetch it first: facelab download {given}")
    return named[0].path() if named else given


def _answers(engine: Engine, job: Job, options: argparse.Namespace) -> Iterator[Answer]:
    """What a job answers; its progress goes to stderr."""
    line = _ProgressLine(options)
    run = engine.run(job, threading.Event())
    try:
        for answer in run:
            if isinstance(answer, Progress):
                line.show(answer.done, answer.total, answer.message)
            elif answer is not None:
                yield answer
    finally:
        line.end()
        run.close()  # type: ignore[attr-defined]


def _work(engine: TorchEngine, job: Job, options: argparse.Namespace) -> None:
    for _ in _answers(engine, job, options):
        pass


def _face(engine: TorchEngine, model: Model, face: str, options: argparse.Namespace) -> Recipe:
    """The recipe of a FACE argument."""
    if face.isdecimal():
        label = options.label if model.network.c_dim else None
        return Recipe.of(Code.from_seed(int(face), model.network.z_dim, model.sha256, label))
    from facelab.engine.desk import look_at

    path, number = Path(face), None
    file, colon, digits = face.rpartition(":")
    if colon and digits.isdecimal() and not path.exists():
        path, number = Path(file), int(digits)
    found = look_at(path)
    if found.recipe is not None:
        if found.recipe.generator != model.sha256:
            raise WrongGenerator(
                f"{path.name!r} was made with another generator ({found.recipe.generator[:12]}); give its file with --generator"
            )
        return found.recipe
    if found.what == "latents":
        job = ReadLatents(path=path, generator=model.sha256, space=options.read_as, array=options.read_array)
        try:
            (codes,) = [a.codes for a in _answers(engine, job, options) if isinstance(a, Codes)]
        except AmbiguousLatent as error:
            option = "--read-as" if error.asks == "space" else "--read-array"
            raise LatentError(f"{error}: {option} {' or '.join(error.choices)}") from error
        if number is None and len(codes) > 1:
            raise LatentError(f"{path.name!r} holds {len(codes)} codes; name the one that is meant: {face}:1")
        if number is not None and not 1 <= number <= len(codes):
            raise LatentError(f"{path.name!r} holds {len(codes)} codes, number {number} is none of them")
        return Recipe.of(codes[(number or 1) - 1])
    if found.what == "photo":
        raise BadArgument(
            f"{path.name!r} is a picture without a recipe; find its face first: facelab encode {face} -o me.face.safetensors"
        )
    raise BadArgument(f"{path.name!r} is a {found.what}, not a face")


def _worked_out(engine: TorchEngine, recipes: Sequence[Recipe], options: argparse.Namespace) -> list[Code]:
    """Each face as one code in W+, whatever it is made of."""
    (answer,) = [a for a in _answers(engine, Resolve(recipes=tuple(recipes)), options) if isinstance(a, Codes)]
    return list(answer.codes)


def _styled(recipe: Recipe, options: argparse.Namespace, model: Model) -> Recipe:
    """The recipe with what the options say of truncation and noise; what they leave open stays as it is."""
    if options.psi is not None or options.cutoff is not None:
        psi = options.psi or recipe.psi
        if len(psi) not in (1, model.network.num_ws):
            raise BadArgument(f"--psi takes one number or {model.network.num_ws}, one per layer, not {len(psi)}")
        recipe = recipe.change(psi=psi, cutoff=options.cutoff)
    if options.noise is not None:
        recipe = recipe.change(noise=options.noise)
    if options.move is not None:
        recipe = recipe.change(transform=Transform(*options.move))
    return recipe


# -- what is written ----------------------------------------------------------------------------------------------------
def _is_latents(path: Path) -> bool:
    return path.name.lower().endswith((".safetensors", ".npz", ".npy", ".pt"))


def _targets(output: Path, faces: Sequence[str]) -> list[Path]:
    """Where each face goes: the file itself for one, a folder for several."""
    if len(faces) == 1 and not output.is_dir():
        _check_folder(output)
        return [output]
    if output.suffix and not output.is_dir():
        raise BadArgument(f"{len(faces)} faces do not go into one file; give a folder: -o {output.stem}/")
    try:
        output.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ExportError(f"cannot make the folder {output}: {error.strerror}; choose another one") from error
    names = [f"seed{int(f):04}" if f.isdecimal() else Path(f).name.split(".")[0] for f in faces]
    unique = [name if names.count(name) == 1 else f"{name}-{i}" for i, name in enumerate(names)]
    return [output / f"{name}.png" for name in unique]


def _check_folder(path: Path) -> None:
    """Refuse before the work is done what could not be written after it."""
    if not path.parent.is_dir():
        raise ExportError(f"cannot write {path.name!r}: its folder does not exist; make it or choose another one")
    if not os.access(path.parent, os.W_OK):
        raise ExportError(f"cannot write {path.name!r}: that folder may not be written; choose another folder")


def _told(options: argparse.Namespace, paths: Sequence[Path], more: str = "") -> None:
    if not options.quiet:
        for path in paths:
            _say(f"wrote {path}{more}")


def _note(options: argparse.Namespace, words: str) -> None:
    if not options.quiet:
        _say(f"note: {words}")


def _notice(options: argparse.Namespace) -> None:
    """Say once what the landmark model may be used for."""
    from facelab import settings
    from facelab.faces.detect import LANDMARK_NOTICE

    chosen, _ = settings.load()
    if chosen.notice_accepted:
        return
    _say(LANDMARK_NOTICE)
    with contextlib.suppress(FacelabError):  # where it cannot be kept it is said again
        settings.save(chosen.change(notice_accepted=True))


def _say(words: str) -> None:
    print(words, file=sys.stderr, flush=True)


class _ProgressLine:
    """Progress on stderr: one line that is rewritten on a terminal, else a line for each tenth when it takes long."""

    def __init__(self, options: argparse.Namespace) -> None:
        self._on, self._rewrite = not options.quiet, sys.stderr.isatty()
        self._tenth, self._width, self._shown = 0, 0, 0.0
        self._patience = 0.0 if options.verbose else 2.0
        self._begun = time.monotonic()

    def show(self, done: int, total: int, words: str) -> None:
        if not self._on or total <= 0:
            return
        now = time.monotonic()
        if self._rewrite:
            if done < total and now - self._shown < 0.1:
                return
            text = f"{done} of {total}  {words}"
            print("\r" + text.ljust(self._width), end="", file=sys.stderr, flush=True)
            self._width, self._shown = len(text), now
        elif 10 * done // total > self._tenth and now - self._begun >= self._patience:
            self._tenth = 10 * done // total
            _say(f"{done} of {total}  {words}")

    def end(self) -> None:
        if self._width:
            print("\r" + " " * self._width + "\r", end="", file=sys.stderr, flush=True)
            self._width = 0


@contextlib.contextmanager
def _stopping() -> Iterator[threading.Event]:
    """An event that the first Ctrl+C or SIGTERM sets, so that the step at hand ends whole; the second interrupts at once."""
    stop = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield stop
        return

    def note(number: int, frame: object) -> None:
        if stop.is_set():
            raise KeyboardInterrupt
        stop.set()

    before = {number: signal.signal(number, note) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextlib.contextmanager
def _terminated() -> Iterator[None]:
    """Let SIGTERM unwind, so that nothing half-written stays."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def leave(number: int, frame: object) -> NoReturn:
        raise SystemExit(128 + number)

    before = signal.signal(signal.SIGTERM, leave)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


COMMANDS: dict[str, arguments.Command] = {
    "window": (_window, "open the window, with files if any are named", arguments.window),
    "render": (_render, "draw faces", arguments.render),
    "mix": (_mix, "mix faces layer by layer", arguments.mix),
    "plane": (_plane, "draw a plane of faces between three", arguments.plane),
    "encode": (_encode, "find the faces of photographs in the generator", arguments.encode),
    "morph": (_morph, "write a video that goes from face to face", arguments.morph),
    "descent": (_descent, "write a video of how a face was found", arguments.descent),
    "report": (_report, "tell how well the photographs of a project conform to the generator", arguments.report),
    "paste": (_paste, "set a face back into the photograph that it came from", arguments.paste),
    "info": (_info, "tell what a file is", arguments.info),
    "catalogue": (_catalogue, "list well-known checkpoints and their terms", arguments.catalogue),
    "download": (_download, "fetch a checkpoint of the catalogue; goes on where it broke off", arguments.download),
    "convert": (_convert, "write a checkpoint as facelab's own .safetensors", arguments.convert),
    "demo": (_demo, "do the main job without a window: encode the sample photograph, draw, morph", arguments.demo),
}
