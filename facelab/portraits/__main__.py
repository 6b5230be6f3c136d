"""``python -m facelab.portraits``: sheets of portraits, training pictures, training, evaluation, export.

``sheet``, ``render`` and ``draw`` use OpenGL and never import torch; the other commands use torch and never OpenGL.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from pathlib import Path

import numpy as np

from facelab.assets import resource
from facelab.errors import BadArgument, FacelabError


def _part(text: str) -> tuple[int, int]:
    i, _, n = text.partition("/")
    if not (i.isdigit() and n.isdigit() and int(i) < int(n)):
        raise argparse.ArgumentTypeError(f"{text!r} is not a part such as 0/2")
    return int(i), int(n)


def _sheet(args: argparse.Namespace) -> None:
    from PIL import Image

    from facelab.portraits.factors import K, values_from_y
    from facelab.portraits.renderer import Renderer, sheet

    values = values_from_y(np.random.default_rng(args.seed).standard_normal((args.count, K)))
    pictures = np.empty((args.count, args.resolution, args.resolution, 3), np.uint8)
    for i, picture in Renderer(args.resolution).draw_all(values):
        pictures[i] = picture
    Image.fromarray(sheet(pictures, args.columns)).save(args.file)


def _render(args: argparse.Namespace) -> None:
    from facelab.portraits.dataset import render

    render(args.folder, args.count, seed=args.seed, resolution=args.resolution, part=args.part)


def _draw(args: argparse.Namespace) -> None:
    from facelab.portraits.factors import values_from_phi
    from facelab.portraits.renderer import Renderer

    values = values_from_phi(np.load(args.source, allow_pickle=False))
    pictures = np.empty((len(values), args.resolution, args.resolution, 3), np.uint8)
    for i, picture in Renderer(args.resolution).draw_all(values):
        pictures[i] = picture
    np.save(args.target, pictures)


def _generator(args: argparse.Namespace) -> Path:
    return args.generator or resource("portraits.safetensors")


def _directions(args: argparse.Namespace) -> Path:
    return args.directions or resource("portraits_directions.npz")


def _prepare_for_torch() -> None:
    from facelab.engine.memory import keep_memory

    keep_memory()
    # Threads that spin while they wait for one another take most of a busy machine and give nothing.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")


def _train(args: argparse.Namespace) -> None:
    _prepare_for_torch()
    import torch

    from facelab.checkpoints import load
    from facelab.portraits.forward import fastest_precision
    from facelab.portraits.mapping import Readout
    from facelab.portraits.training import Plan, Run

    torch.set_num_threads(args.threads)
    if (args.start is None) != (args.directions is None):
        raise BadArgument("--start and --directions belong together: a generator and the directions of its factors.")
    start = (load(args.start).network, Readout.load(args.directions)) if args.start else None
    precision = str(fastest_precision()).removeprefix("torch.")
    plan = Plan(
        resolution=args.resolution,
        seed=args.seed,
        rate=args.rate,
        precision=precision,
        muon=not args.adam,
        slope_share=args.slopes,
        batch=args.batch,
    )
    run = Run(args.resume, args.pictures, plan, start)
    run.train(args.minutes)


def _encoder(args: argparse.Namespace) -> None:
    _prepare_for_torch()
    import torch

    from facelab.nets.encoder import Encoder
    from facelab.portraits.encoding import EncoderRun
    from facelab.portraits.forward import fastest_precision

    torch.set_num_threads(args.threads)
    start = Encoder.load(args.start) if args.start else None
    run = EncoderRun(args.resume, args.pictures, args.seed, fastest_precision(), start)
    if args.minutes:
        run.train(args.minutes)
    if args.export:
        from facelab.checkpoints import load
        from facelab.portraits.mapping import Readout

        run.export(args.export, Readout.load(_directions(args)), load(_generator(args)).network.w_avg.numpy())


def _evaluate(args: argparse.Namespace) -> None:
    from facelab.portraits.evaluation import evaluate

    figures = evaluate(_generator(args), _directions(args), args.count, args.seed, args.json, args.encoder)
    print(json.dumps(figures, indent=1))


def _export(args: argparse.Namespace) -> None:
    from facelab.portraits.export import export
    from facelab.portraits.training import Run

    export(Run(args.folder, args.pictures), args.file, args.directions)


def main(argv: list[str] | None = None) -> int:
    """Run one command; 0 when it worked, 1 with one sentence on stderr when it did not."""
    parser = argparse.ArgumentParser(prog="python -m facelab.portraits", description=__doc__)
    commands = parser.add_subparsers(required=True, metavar="command")

    sheet = commands.add_parser("sheet", help="draw a contact sheet of random portraits")
    sheet.add_argument("file", type=Path)
    sheet.add_argument("--count", type=int, default=64)
    sheet.add_argument("--columns", type=int, default=8)
    sheet.add_argument("--seed", type=int, default=0)
    sheet.add_argument("--resolution", type=int, default=128)
    sheet.set_defaults(run=_sheet)

    render = commands.add_parser("render", help="render pictures to train on; goes on where it stopped")
    render.add_argument("folder", type=Path)
    render.add_argument("--count", type=int, default=40000)
    render.add_argument("--seed", type=int, default=0)
    render.add_argument("--resolution", type=int, default=128)
    render.add_argument(
        "--part", type=_part, default=(0, 1), metavar="I/N", help="only every N-th chunk, from the I-th"
    )
    render.set_defaults(run=_render)

    draw = commands.add_parser("draw", help="coordinates in a .npy file to pictures in another")
    draw.add_argument("source", type=Path)
    draw.add_argument("target", type=Path)
    draw.add_argument("--resolution", type=int, default=128)
    draw.set_defaults(run=_draw)

    train = commands.add_parser("train", help="train the generator for one round")
    train.add_argument("--minutes", type=float, required=True, help="length of the round")
    train.add_argument(
        "--resume", type=Path, required=True, metavar="DIR", help="folder of the run; goes on from what it holds"
    )
    train.add_argument("--pictures", type=Path, required=True, metavar="DIR", help="what `render` fills")
    train.add_argument("--threads", type=int, default=1)
    train.add_argument(
        "--resolution", type=int, default=128, help="of a new run, and of its pictures; may exceed that of --start"
    )
    train.add_argument("--rate", type=float, default=0.002, help="base learning rate of a new run")
    train.add_argument("--batch", type=int, default=8, help="pictures per step of a new run")
    train.add_argument("--adam", action="store_true", help="a new run learns its convolutions by Adam, not by Muon")
    train.add_argument(
        "--slopes", type=float, default=0.75, help="weight of slopes in the loss of a new run: crispness"
    )
    train.add_argument("--seed", type=int, default=0)
    train.add_argument("--start", type=Path, metavar="GENERATOR", help="weights that a new run begins with")
    train.add_argument("--directions", type=Path, metavar="NPZ", help="the directions of that generator")
    train.set_defaults(run=_train)

    encoder = commands.add_parser("encoder", help="train the encoder for one round, export it, or both")
    encoder.add_argument("--minutes", type=float, default=0.0)
    encoder.add_argument("--resume", type=Path, required=True, metavar="DIR")
    encoder.add_argument("--pictures", type=Path, required=True, metavar="DIR")
    encoder.add_argument("--threads", type=int, default=1)
    encoder.add_argument("--seed", type=int, default=0)
    encoder.add_argument("--start", type=Path, metavar="ENCODER", help="weights that a new run begins with")
    encoder.add_argument("--export", type=Path, metavar="FILE")
    encoder.add_argument("--generator", type=Path, help="default: the embedded one")
    encoder.add_argument("--directions", type=Path, metavar="NPZ")
    encoder.set_defaults(run=_encoder)

    export = commands.add_parser("export", help="write a run's generator as .safetensors, and its directions")
    export.add_argument("folder", type=Path)
    export.add_argument("file", type=Path)
    export.add_argument("directions", type=Path)
    export.add_argument("--pictures", type=Path, required=True, metavar="DIR")
    export.set_defaults(run=_export)

    evaluate = commands.add_parser("evaluate", help="compare a generator with the renderer")
    evaluate.add_argument("--count", type=int, default=128)
    evaluate.add_argument("--seed", type=int, default=0)
    evaluate.add_argument("--json", type=Path, required=True, help="figures; the sheet takes its name with .png")
    evaluate.add_argument("--generator", type=Path, help="default: the embedded one")
    evaluate.add_argument("--directions", type=Path, metavar="NPZ")
    evaluate.add_argument("--encoder", type=Path, metavar="FILE", help="judge this encoder too")
    evaluate.set_defaults(run=_evaluate)

    args = parser.parse_args(argv)
    try:
        args.run(args)
    except FacelabError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
