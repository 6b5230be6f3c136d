"""Generator files of every format people have -> networks, and no code of any file ever runs.

``FORMATS`` is the list of formats, asked in order; the first whose ``detect`` says yes loads the file. What a file
is follows from its contents alone, never from its name.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from safetensors import SafetensorError

from facelab.checkpoints import native, nvidia, rosinality, tensorflow
from facelab.checkpoints.contents import Contents
from facelab.checkpoints.native import identity
from facelab.checkpoints.source import open_source, read_contents
from facelab.checkpoints.unpickle import printable
from facelab.errors import CheckpointError, ExportError, UnknownFormat, UnsafeFile
from facelab.files import replacing
from facelab.nets import Network


class Format(Protocol):
    """What a format's module offers."""

    name: str

    def detect(self, contents: Contents) -> bool: ...

    def load(self, contents: Contents) -> Network: ...


MAX_LISTED = 200  # ignored things that are named

FORMATS: tuple[Format, ...] = (native, nvidia, tensorflow, rosinality)


@dataclass(frozen=True)
class Checkpoint:
    """A generator that was read from a file.

    Attributes:
        network: float32, on the CPU, frozen, in evaluation mode.
        sha256: the generator's identity (see ``identity``): the same for a file and its conversion.
        file_sha256: of the file's bytes, for the catalogue and display.
        format: which of ``FORMATS`` read it.
        ignored: what lay in the file and was not used (discriminator, optimiser, source text).
        notes: sentences on how the file was read, e.g. that w_avg was estimated.
        metadata: further fields of the file: its name and licence where it has them.
    """

    network: Network
    sha256: str
    file_sha256: str
    format: str
    ignored: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    metadata: dict[str, str] = field(default_factory=dict)


def load(path: str | os.PathLike[str]) -> Checkpoint:
    """Open a generator file, whatever its format, without running code from it.

    Raises:
        UnsafeFile: it asks for code to be run, or declares sizes that cannot be meant.
        UnknownFormat: it is no generator file that facelab knows.
        CheckpointError: it cannot be read: missing, cut off, damaged, an unknown variant.
    """
    with open_source(path) as source:
        contents = read_contents(source)
        for known in FORMATS:
            if known.detect(contents):
                network = _network(known, contents)
                return Checkpoint(
                    network=network,
                    sha256=identity(network),
                    file_sha256=source.sha256(),
                    format=known.name,
                    ignored=_listed(contents.ignored),
                    notes=tuple(contents.notes),
                    metadata=native.extra_metadata(contents),
                )
        raise UnknownFormat(f"{source.path.name!r} holds no generator that facelab knows")


def _network(known: Format, contents: Contents) -> Network:
    try:
        return known.load(contents)
    except (MemoryError, RecursionError) as error:
        raise UnsafeFile("the file asks for more memory than there is") from error
    except (ArithmeticError, AttributeError, LookupError, RuntimeError, TypeError, ValueError) as error:
        # Formats check what they take; what slips through still came out of the file, not out of a bug of the window.
        raise CheckpointError(f"the file is damaged or of an unknown variant: {printable(error, 160)}") from error


def _listed(names: list[str]) -> tuple[str, ...]:
    """What people are told; a file can hold any number of things."""
    return (*names[:MAX_LISTED], f"{len(names) - MAX_LISTED} more") if len(names) > MAX_LISTED else tuple(names)


def save(
    network: Network, path: str | os.PathLike[str], metadata: Mapping[str, str] | None = None, *, half: bool = False
) -> None:
    """Write a network as facelab's own .safetensors; nothing half-written is left behind.

    Args:
        network: any family.
        path: where to; an existing file is replaced once the new one is whole.
        metadata: text fields to keep with it: name, licence, origin.
        half: store the synthesis weights as float16 (half the size, no longer bit-equal).

    Raises:
        ExportError: it cannot be written there.
    """
    with replacing(path) as temporary:
        try:
            native.write(network, temporary, metadata or {}, half=half)
        except SafetensorError as error:
            raise ExportError(f"cannot write {Path(path).name!r}: {error}") from error


__all__ = ["FORMATS", "Checkpoint", "Contents", "Format", "identity", "load", "save"]
