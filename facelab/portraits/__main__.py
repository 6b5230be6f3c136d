"""``python -m facelab.portraits``: sheets of portraits, training pictures, training, evaluation, export.

``sheet``, ``render`` and ``draw`` use OpenGL and never import torch; the other commands use torch and never OpenGL.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import numpy as np

from facelab.errors import FacelabError


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
    render.add_argument("--part", type=_part, default=(0, 1), metavar="I/N", help="only every N-th chunk, from the I-th")
    render.set_defaults(run=_render)

    draw = commands.add_parser("draw", help="coordinates in a .npy file to pictures in another")
    draw.add_argument("source", type=Path)
    draw.add_argument("target", type=Path)
    draw.add_argument("--resolution", type=int, default=128)
    draw.set_defaults(run=_draw)

    args = parser.parse_args(argv)
    try:
        args.run(args)
    except FacelabError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
