"""Finds the files of resources/, in a checkout, in a wheel and in a frozen bundle."""

from __future__ import annotations

import sys
from pathlib import Path

from facelab.errors import MissingPart

EMBEDDED_GENERATOR = "portraits.safetensors"
EMBEDDED_DIRECTIONS = "portraits_directions.npz"
EMBEDDED_ENCODER = "portraits_encoder.safetensors"
SAMPLE_PHOTO = "astronaut.jpg"


def resources() -> Path:
    """The folder of resources: beside the package in a checkout, inside it when installed or frozen."""
    package = Path(__file__).resolve().parent
    bundle = Path(getattr(sys, "_MEIPASS", package))
    for folder in (bundle / "facelab" / "resources", package / "resources", package.parent / "resources"):
        if folder.is_dir():
            return folder
    raise MissingPart("facelab's resources folder is missing; install facelab again")


def resource(name: str) -> Path:
    """The path of one resource, by its name.

    Raises:
        MissingPart: it is not there.
    """
    path = resources() / name
    if not path.is_file():
        raise MissingPart(f"the file {name} is missing from facelab's resources; install facelab again")
    return path
