"""facelab: explore the latent space of a face generator by hand.

The names of the Python API (``open``, ``encode``, ``load_latents``, the errors) are forwarded to
``facelab.api`` on first use, so that importing any part of the package never loads torch.
"""

from __future__ import annotations

import importlib
from typing import Any

__version__ = "0.1.0"

_API = ("Encoding", "Generator", "Step", "encode", "load_latents", "open")


def __getattr__(name: str) -> Any:
    if name in _API:
        from facelab import api

        return getattr(api, name)
    # Not ``from facelab import errors``, which would ask this very function for it.
    errors = importlib.import_module("facelab.errors")
    if isinstance(getattr(errors, name, None), type):
        return getattr(errors, name)
    raise AttributeError(f"module 'facelab' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *_API, "BadArgument", "FacelabError"})
