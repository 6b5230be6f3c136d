"""What lies in a file, read without running any of it: the input of every format's ``detect`` and ``load``."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any


@dataclass
class Contents:
    """A file's inert contents.

    Attributes:
        container: ``"safetensors"``, ``"pickle"``, ``"torch"`` (zip or legacy torch stream) or ``"numpy"``.
        size: bytes of the file.
        value: the outermost object: builtin containers, numbers, strings, arrays and the stand-ins of
            ``facelab.checkpoints.unpickle``; for safetensors a dict name -> array.
        metadata: the container's own text fields (safetensors only).
        ignored: what a format found and did not use; formats append to it.
        notes: what the person should know about how the file was read; formats append to it.
    """

    container: str
    size: int
    value: Any
    metadata: dict[str, str] = field(default_factory=dict)
    ignored: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
