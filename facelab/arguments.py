"""The arguments of the command line: how each command's are read, and what ``--help`` says of them."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NoReturn, TypeAlias

import numpy as np

from facelab import __version__
from facelab.latent.path import EASINGS, INTERPOLATIONS
from facelab.latent.recipe import Noise

# What runs a command, its line in the list of commands, what adds its options.
Command: TypeAlias = tuple[Callable[..., None], str, Callable[[argparse.ArgumentParser], None]]

STARTS = ("w_avg", "w0", "seed", "best", "encoder")

FACES = """\
A FACE is one of
  7                     the face of a seed
  me.face.safetensors   a face saved by facelab or found by `facelab encode`
  me.png                a picture saved by facelab, which carries its recipe
  w.npz, w.npy, w.pt    a latent code in W+, W or Z, of any program
  w.npz:3               the third of several codes
"""


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: {message}; see {self.prog} --help\n")


def _numbers(text: str) -> tuple[float, ...]:
    try:
        values = tuple(float(part) for part in text.split(","))
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number, or numbers with commas between") from None
    if not all(np.isfinite(values)):
        raise argparse.ArgumentTypeError(f"{text!r} is not finite")
    return values


def _four(text: str) -> tuple[float, float, float, float]:
    values = _numbers(text)
    if len(values) == 3:
        values = (*values, 0.0)
    if len(values) != 4:
        raise argparse.ArgumentTypeError("give x,y,size or x,y,size,angle")
    return values


def _move(text: str) -> tuple[float, ...]:
    values = _numbers(text)
    if len(values) not in (2, 3):
        raise argparse.ArgumentTypeError("give x,y or x,y,degrees")
    return values


def _finite(text: str) -> float:
    (value, *more) = _numbers(text)
    if more:
        raise argparse.ArgumentTypeError(f"{text!r} is not one number")
    return value


def _seeds(text: str) -> list[int]:
    found: list[int] = []
    for part in text.split(","):
        first, dash, last = part.partition("-")
        if not first.isdecimal() or (dash and not last.isdecimal()):
            raise argparse.ArgumentTypeError(f"{text!r} is not a seed, like 7, nor seeds, like 1,4,10-20")
        low, high = int(first), int(last or first)
        if high >= 2**32 or not 0 <= high - low < 10_000:
            raise argparse.ArgumentTypeError(f"{part!r} is not up to 10,000 seeds below {2**32}")
        found += range(low, high + 1)
    return found


def _steps(text: str) -> list[int]:
    return [_count(1, 1_000_000)(part.strip()) for part in text.split(",")]


def _layers(text: str) -> tuple[int, ...]:
    try:
        spans = [[int(end) for end in part.split("-")] for part in text.split(",")]
        # Bounded before the range is spelt out.
        found = sorted({n for span in spans for n in range(max(span[0], 0), min(span[-1], 64) + 1) if len(span) <= 2})
    except ValueError:
        found = []
    if not found:
        raise argparse.ArgumentTypeError(f"{text!r} is no range of layers, like 0-7, nor layers, like 0,2,5-7")
    return tuple(found)


def _layer_shares(text: str) -> tuple[tuple[int, ...], tuple[float, ...]]:
    layers, equals, shares = text.partition("=")
    if not equals:
        raise argparse.ArgumentTypeError(f"{text!r} is not layers and a share, like 0-3=1")
    return _layers(layers), _numbers(shares)


def _weight(text: str) -> tuple[str, float]:
    name, _, weight = text.partition("=")
    try:
        return name, _finite(weight or "1")
    except argparse.ArgumentTypeError:
        raise argparse.ArgumentTypeError(f"{text!r} is not the name of a loss and its weight, like pixels=2") from None


def _noise(text: str) -> Noise:
    if text in ("const", "none", "own"):
        return Noise(mode=text)  # type: ignore[arg-type]
    if text.isdecimal() and int(text) < 2**32:
        return Noise(mode="seed", seed=int(text))
    raise argparse.ArgumentTypeError(f"{text!r} is not const, none, own or a seed")


def _count(low: int, high: int) -> Callable[[str], int]:
    def count(text: str) -> int:
        if not text.isdecimal() or not low <= int(text) <= high:
            raise argparse.ArgumentTypeError(f"{text!r} is not a whole number from {low:,} to {high:,}")
        return int(text)

    return count


def parser(commands: Mapping[str, Command]) -> argparse.ArgumentParser:
    """The parser of all commands; what it parsed has ``run``, the command's function."""
    made = _Parser(
        prog="facelab",
        description="Explore the latent space of a face generator. Without a command the window opens.",
        epilog="`facelab COMMAND --help` tells more of each. The generator is the one that comes with facelab unless -g names another.",
    )
    made.add_argument("--version", action="version", version=f"facelab {__version__}")
    places = made.add_subparsers(metavar="COMMAND", required=True)
    for name, (run, about, describe) in commands.items():
        command = places.add_parser(
            name,
            help=about,
            description=about[0].upper() + about[1:] + ".",
            formatter_class=argparse.RawDescriptionHelpFormatter,
            epilog=FACES if describe in (render, mix, plane, morph, paste) else None,
        )
        command.set_defaults(run=run)
        common = command.add_argument_group("in general")
        common.add_argument("-q", "--quiet", action="store_true", help="say nothing but errors")
        common.add_argument(
            "-v", "--verbose", action="store_true", help="show progress where stderr is no terminal, too"
        )
        if name not in ("window", "convert", "demo", "catalogue", "download"):
            common.add_argument("--device", default="auto", help="auto (a GPU where there is one), cpu, cuda or mps")
        if name not in ("window", "convert", "demo", "catalogue", "download", "info"):
            common.add_argument(
                "-g",
                "--generator",
                type=Path,
                metavar="FILE",
                help="a checkpoint, or the name of one of the catalogue that is here; else facelab's own",
            )
            if name != "encode":  # which begins from a generator as it is
                common.add_argument(
                    "--tuning",
                    type=Path,
                    metavar="FILE",
                    help="what `encode --tune` wrote, or a project with tunings, to draw faces of theirs with",
                )
        describe(command)
    return made


def _output(command: argparse.ArgumentParser, help: str) -> None:
    command.add_argument("-o", "--output", type=Path, required=True, metavar="FILE", help=help)


def _look_options(command: argparse.ArgumentParser) -> None:
    look = command.add_argument_group("how faces are drawn (what is left open stays as the face's file says)")
    look.add_argument("--psi", type=_numbers, metavar="P", help="truncation: one number, or one per layer with commas")
    look.add_argument("--cutoff", type=_count(0, 64), metavar="N", help="layers from N on keep psi 1")
    look.add_argument(
        "--noise", type=_noise, metavar="N", help="const (the generator's), none, own (the face's) or a seed"
    )
    look.add_argument(
        "--move",
        type=_move,
        metavar="X,Y[,DEG]",
        help="StyleGAN3 only: move the picture by shares of its width, and turn it counter-clockwise",
    )
    look.add_argument(
        "--class",
        dest="label",
        type=_count(0, 1 << 20),
        metavar="K",
        help="the class of seeds, for a conditional generator",
    )
    codes = command.add_argument_group("how files of latent codes are read, where they do not say it")
    codes.add_argument("--read-as", choices=("w+", "w", "z"), help="the space of their codes")
    codes.add_argument("--read-array", metavar="NAME", help="which of their arrays is meant")


def window(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "files", nargs="*", type=Path, metavar="FILE", help="a project, generator, photograph or face to open"
    )


def render(command: argparse.ArgumentParser) -> None:
    command.add_argument("faces", nargs="*", metavar="FACE", help="see below")
    command.add_argument("--seed", type=_seeds, metavar="N", help="draw the face of a seed, or of several: 1,4,10-20")
    _output(
        command,
        ".png (carries its recipe), .jpg, .webp, .face.safetensors, .npz, .npy or .pt; a folder for several faces",
    )
    command.add_argument("--scale", type=_count(1, 4), default=1, metavar="K", help="enlarge the picture 2 to 4 times")
    _look_options(command)


def mix(command: argparse.ArgumentParser) -> None:
    command.add_argument("faces", nargs="+", metavar="FACE", help="two or more; see below")
    _output(command, ".png (carries its recipe), .jpg, .webp, .face.safetensors, .npz, .npy or .pt")
    shares = command.add_argument_group(
        "how much of the second face, from 0 to 1 (of the third and so on after commas); without any, equal parts"
    )
    for name, what in (
        ("coarse", "pose, head and hair"),
        ("middle", "features and expression"),
        ("fine", "colours"),
    ):
        shares.add_argument(f"--{name}", type=_numbers, metavar="S", help=f"in the {name} layers: {what}")
    shares.add_argument(
        "--layers", type=_layer_shares, action="append", metavar="A-B=S", help="in these layers: 0-3=1, or 2,5=0.4"
    )
    command.add_argument("--scale", type=_count(1, 4), default=1, metavar="K", help="enlarge the picture 2 to 4 times")
    _look_options(command)


def plane(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "faces", nargs="*", metavar="FACE", help="origin, end of the x-axis, end of the y-axis; else seeds 0 1 2"
    )
    _output(command, ".png, .jpg or .webp")
    command.add_argument("--columns", type=_count(1, 200), default=7, metavar="N", help="faces in a row (7)")
    command.add_argument("--rows", type=_count(1, 200), default=7, metavar="N", help="rows (7)")
    command.add_argument(
        "--u", type=_finite, nargs=2, default=(0.0, 1.0), metavar=("A", "B"), help="from where to where along x (0 1)"
    )
    command.add_argument(
        "--v", type=_finite, nargs=2, default=(0.0, 1.0), metavar=("A", "B"), help="from where to where along y (0 1)"
    )
    command.add_argument("--tile", type=_count(8, 1024), metavar="PX", help="side of a face; else the generator's own")
    command.add_argument(
        "--space", choices=("z", "w+"), default="z", help="space of the plane between seeds (z); files are in w+"
    )
    command.add_argument("--no-labels", action="store_true", help="faces only, without words")
    _look_options(command)


def encode(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "photos",
        nargs="*",
        type=Path,
        metavar="PHOTO",
        help="a photograph (JPEG, PNG, HEIC, WebP, TIFF ...); with --project many, or folders; none goes on with what was stopped",
    )
    command.add_argument(
        "-o",
        "--output",
        type=Path,
        metavar="FILE",
        help=".face.safetensors, or .png, a picture that carries its recipe",
    )
    command.add_argument(
        "-p",
        "--project",
        type=Path,
        metavar="FILE",
        help="a .facelab that takes every run and face; given again, the same command goes on where it was stopped",
    )
    command.add_argument(
        "--steps", type=_count(1, 1_000_000), default=500, metavar="N", help="steps of gradient descent (500)"
    )
    command.add_argument(
        "--space", choices=("w", "w+"), default="w+", help="w+ (default) comes nearer, w stays easier to edit"
    )
    command.add_argument(
        "--start",
        default="w_avg",
        metavar="START",
        help=f"where the descent begins: {', '.join(STARTS)}, or the face of a file (w_avg)",
    )
    command.add_argument(
        "--seed", type=_count(0, 2**32 - 1), default=303, metavar="N", help="of the random numbers (303)"
    )
    command.add_argument("--face", type=_count(0, 1000), default=0, metavar="N", help="which face, the largest is 0")
    command.add_argument(
        "--upsample",
        type=_count(0, 2),
        default=0,
        metavar="N",
        help="look for smaller faces, too: 1, or 2, which is slow",
    )
    command.add_argument(
        "--detector", choices=("hog", "cnn"), default="hog", help="cnn finds turned and covered faces, too, and is slow"
    )
    command.add_argument(
        "--crop",
        type=_four,
        metavar="X,Y,SIZE[,ANGLE]",
        help="place the crop by hand: centre and side in pixels, degrees clockwise",
    )
    command.add_argument(
        "--mask", action="store_true", help="with --project: compare the face only, not hair and background"
    )
    descent = command.add_argument_group("the descent")
    descent.add_argument(
        "--loss", type=_weight, action="append", metavar="NAME=W",
        help="what is compared, with its weight: pixels, gradients, ms-ssim, portraits, perceptual; give it once for each",
    )  # fmt: skip
    descent.add_argument(
        "--features", metavar="FILE", help="VGG16 weights (torchvision's or NVIDIA's) for the perceptual loss"
    )
    descent.add_argument(
        "--tune",
        type=_count(1, 100_000),
        metavar="N",
        help="then bend the generator itself to the photograph, in N steps (350 are usual; best with --space w); "
        "NAME.tuning.safetensors takes what was changed",
    )
    descent.add_argument("--learning-rate", type=_finite, metavar="R", help="in standard deviations of W")
    descent.add_argument("--optimiser", choices=("adam", "lbfgs"), help="adam (default), or lbfgs for the code alone")
    descent.add_argument(
        "--near-w", type=_finite, metavar="W", help="weight of the penalty that keeps layers together in w+"
    )
    descent.add_argument(
        "--near-w-avg",
        type=_finite,
        metavar="W",
        help="weight of the penalty that keeps the code near the average face",
    )
    descent.add_argument(
        "--noise-weight", type=_finite, metavar="W", help="weight of the penalty that keeps optimised noise a noise"
    )
    descent.add_argument(
        "--likely", action="store_true", help="stay among the faces that the generator knows: less like the photograph"
    )
    descent.add_argument(
        "--layers", dest="learn_layers", type=_layers, metavar="A-B", help="only these rows of w+ move: 0-7,9"
    )
    descent.add_argument("--no-noise", action="store_true", help="leave the generator's noise as it is")
    descent.add_argument("--stop-loss", type=_finite, metavar="L", help="end at this loss")
    descent.add_argument("--stop-seconds", type=_finite, metavar="S", help="end after so many seconds of work")
    descent.add_argument(
        "--stop-slope", type=_finite, metavar="S", help="end when 50 steps lower the loss by less than this share"
    )


def morph(command: argparse.ArgumentParser) -> None:
    command.add_argument("faces", nargs="+", metavar="FACE", help="two or more; see below")
    _output(
        command,
        ".mp4, .webm, .mkv, .gif, .webp, or a folder (no ending) for PNG frames, which an interrupted run goes on with",
    )
    command.add_argument("--seconds", type=_finite, default=4.0, metavar="S", help="length (4)")
    command.add_argument("--fps", type=_finite, default=30.0, metavar="N", help="frames a second (30)")
    command.add_argument(
        "--size", type=_count(16, 8192), metavar="PX", help="side of a frame; else the generator's own"
    )
    command.add_argument(
        "--easing", choices=tuple(EASINGS), default="ease", help="how it moves from face to face (ease)"
    )
    command.add_argument(
        "--interpolation", choices=INTERPOLATIONS, default="linear", help="the path between faces (linear)"
    )
    command.add_argument("--loop", action="store_true", help="go back to the first face")
    _look_options(command)


def descent(command: argparse.ArgumentParser) -> None:
    command.add_argument("project", type=Path, metavar="PROJECT", help="the .facelab that holds the run")
    command.add_argument("name", metavar="RUN", help="its name, or the first letters of its id")
    _output(command, ".mp4, .webm, .mkv, .gif, .webp, or a folder (no ending) for PNG frames")
    command.add_argument("--seconds", type=_finite, default=6.0, metavar="S", help="length of the way down (6)")
    command.add_argument("--back", type=_finite, default=2.0, metavar="S", help="length of the way back (2)")
    command.add_argument("--fps", type=_finite, default=30.0, metavar="N", help="frames a second (30)")
    command.add_argument(
        "--size",
        type=_count(64, 4096),
        metavar="PX",
        help="side of the picture; else the generator's own, at least 512",
    )
    command.add_argument("--no-curve", action="store_true", help="without the loss curve under the picture")


def report(command: argparse.ArgumentParser) -> None:
    command.add_argument("project", type=Path, metavar="PROJECT", help="the .facelab that holds the runs")
    command.add_argument(
        "names", nargs="*", metavar="RUN", help="which photographs, by name or id; else all of the generator"
    )
    _output(command, ".html, a page with plots and pictures that needs nothing else, or .csv, the table alone")
    command.add_argument("--csv", type=Path, metavar="FILE", help="write the table, too")
    command.add_argument(
        "--at", type=_steps, default=(10, 100, 1000), metavar="N,N", help="steps at which losses are told (10,100,1000)"
    )
    command.add_argument(
        "--level",
        type=_finite,
        metavar="LOSS",
        help="the loss to which times are told; else the lowest that all reached",
    )
    command.add_argument(
        "--no-zero", action="store_true", help="do not encode the zero face where its curve is missing; leave it out"
    )


def paste(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "face", metavar="FACE", help="see below; with --project also the name of a face of its library"
    )
    command.add_argument("photo", type=Path, metavar="PHOTO", help="the photograph that it was encoded from")
    _output(command, ".png, .jpg or .webp, marked as a photograph with a generated part")
    command.add_argument(
        "-p", "--project", type=Path, metavar="FILE", help="the .facelab that knows where the face was"
    )
    command.add_argument(
        "--face", dest="number", type=_count(0, 1000), default=0, metavar="N",
        help="without --project: which face of the photograph, the largest is 0",
    )  # fmt: skip
    command.add_argument(
        "--crop",
        type=_four,
        metavar="X,Y,SIZE[,ANGLE]",
        help="or its place: centre and side in pixels, degrees clockwise",
    )
    command.add_argument(
        "--feather", type=_finite, default=0.1, metavar="S", help="share of the side that fades in (0.1)"
    )
    command.add_argument("--mask", action="store_true", help="only the face itself, without hair and background")
    _look_options(command)


def info(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "file", nargs="?", type=Path, metavar="FILE", help="a generator, face or file of latents; else facelab's own"
    )
    command.add_argument("--json", action="store_true", help="as JSON, for other programs")


def convert(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "input", type=Path, metavar="IN", help="a checkpoint of any kind that facelab opens; no code of it runs"
    )
    command.add_argument("output", type=Path, metavar="OUT", help="the .safetensors to write")
    command.add_argument("--half", action="store_true", help="float16 weights: half the size, no longer bit-equal")


def catalogue(command: argparse.ArgumentParser) -> None:
    command.add_argument("--json", action="store_true", help="as JSON, for other programs")


def download(command: argparse.ArgumentParser) -> None:
    command.add_argument("name", metavar="NAME", help="as `facelab catalogue` lists it")
    command.add_argument("--accept", action="store_true", help="accept its terms, which are shown otherwise")


def demo(command: argparse.ArgumentParser) -> None:
    command.add_argument("folder", type=Path, metavar="FOLDER", help="where pictures and video go")
    command.add_argument("--steps", type=_count(1, 100_000), default=200, metavar="N", help="of the encoding (200)")
