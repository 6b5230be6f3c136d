"""facelab as the independent fixture check wants to see it: through the public API alone."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np

import facelab

ERRORS = (facelab.FacelabError,)


def warmup() -> None:
    """Imports do not count."""
    facelab.open()


def load(path: str) -> Any:
    return SimpleNamespace(generator=facelab.open(Path(path)), transform=None)


def mapping(handle: Any, z: Any, c: Any, psi: float, cutoff: int | None) -> Any:
    return handle.generator.map(z, c, truncation_psi=psi, truncation_cutoff=cutoff)


def synthesis(handle: Any, ws: Any, noise_mode: str) -> Any:
    options = {} if handle.transform is None else {"transform": handle.transform}
    return handle.generator.synthesize(ws, noise_mode=noise_mode, **options)


def set_transform(handle: Any, matrix: Any) -> None:
    """The check gives what the network's buffer holds, the inverse of the picture's movement."""
    handle.transform = None if matrix is None else np.linalg.inv(np.asarray(matrix, np.float64)).astype(np.float32)


def info(handle: Any) -> dict[str, int]:
    g = handle.generator
    return {
        "z_dim": g.z_dim,
        "w_dim": g.w_dim,
        "c_dim": g.c_dim,
        "num_ws": g.num_ws,
        "img_resolution": g.resolution,
        "img_channels": g.img_channels,
    }


def load_latents(path: str) -> Any:
    return facelab.load_latents(path)
