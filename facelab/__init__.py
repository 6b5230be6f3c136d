"""facelab: explore the latent space of a face generator by hand.

The names of the Python API (``open``, ``encode``, ``load_latents``, the errors) are forwarded to
``facelab.api`` on first use, so that importing any part of the package never loads torch.
"""

from __future__ import annotations

import importlib
from typing import Any

__version__ = "0.1.0"

_API = ("Encoding", "Generator", "Step", "Tuning", "encode", "load_latents", "open", "tune")


def __getattr__(name: str) -> Any:
    # By name: ``from facelab import errors`` would ask this very function for it, and the root, whose version every layer
    # may read, must not be seen to depend on the API.
    if name in _API:
        return getattr(importlib.import_module("facelab.api"), name)
    errors = importlib.import_module("facelab.errors")
    if isinstance(getattr(errors, name, None), type):
        return getattr(errors, name)
    raise AttributeError(f"module 'facelab' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *_API, "BadArgument", "FacelabError"})
