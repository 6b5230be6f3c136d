"""Generator files of every format people have -> networks, and no code of any file ever runs.

``load``, ``save`` and the rest of ``facelab.checkpoints.formats`` are forwarded on first use: files of latents, the
catalogue and downloads are read without torch, whose import takes seconds.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from facelab.checkpoints.formats import FORMATS, Checkpoint, Format, identity, load, save

__all__ = ["FORMATS", "Checkpoint", "Format", "identity", "load", "save"]


def __getattr__(name: str) -> Any:
    if name in __all__:
        from facelab.checkpoints import formats

        return getattr(formats, name)
    raise AttributeError(f"module 'facelab.checkpoints' has no attribute {name!r}")
