"""Opens a file as bytes in memory-mapped form and finds out which container it is, by its first bytes."""

from __future__ import annotations

import contextlib
import mmap
import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from safetensors import SafetensorError, safe_open

from facelab.checkpoints.contents import Contents
from facelab.errors import CheckpointError, UnknownFormat

LARGEST_FILE = 32 << 30  # bytes; the largest checkpoints in circulation have a tenth of it


@dataclass(frozen=True)
class Source:
    """A file's bytes, mapped into memory and read only where they are touched."""

    path: Path
    view: memoryview


@contextlib.contextmanager
def open_source(path: str | os.PathLike[str]) -> Iterator[Source]:
    """Map a regular file into memory.

    Raises:
        CheckpointError: it is missing, not a regular file, empty, unreadable or absurdly large.
    """
    path = Path(path)
    try:
        # Opened without waiting, so that a pipe nobody writes to cannot hold the caller.
        handle = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
    except FileNotFoundError:
        raise CheckpointError(f"there is no file {path}") from None
    except (OSError, ValueError) as error:
        raise CheckpointError(f"{path} cannot be opened: {getattr(error, 'strerror', None) or error}") from None
    try:
        status = os.fstat(handle)
        if stat.S_ISDIR(status.st_mode):
            raise CheckpointError(f"{path} is a folder; choose the file in it")
        if not stat.S_ISREG(status.st_mode):
            raise CheckpointError(f"{path} is not a regular file")
        if status.st_size == 0:
            raise CheckpointError(f"{path.name} is empty; it may have been cut off while it was downloaded")
        if status.st_size > LARGEST_FILE:
            raise CheckpointError(f"{path.name} has {status.st_size >> 30} GB, more than any generator file")
        mapped = mmap.mmap(handle, status.st_size, access=mmap.ACCESS_READ)
    except OSError as error:
        raise CheckpointError(f"{path} cannot be read: {error.strerror or error}") from None
    finally:
        os.close(handle)
    # Not closed by hand: arrays may still look into it; the last of them releases it.
    yield Source(path, memoryview(mapped))


def read_contents(source: Source) -> Contents:
    """Read the container, by its first bytes.

    Raises:
        UnknownFormat: it is no container of generators.
        CheckpointError: it is one, and it is damaged.
        UnsafeFile: it asks for what facelab never does.
    """
    if looks_like_safetensors(source.view):
        return read_safetensors(source)
    raise UnknownFormat(f"{source.path.name} is not a generator file that facelab knows")


def looks_like_safetensors(view: memoryview) -> bool:
    """Whether it starts with a header length that fits, and a brace."""
    return len(view) > 9 and 2 <= int.from_bytes(view[:8], "little") <= len(view) - 8 and view[8] == ord("{")


def read_safetensors(source: Source) -> Contents:
    """The tensors and text fields of a .safetensors file."""
    try:
        with safe_open(source.path, framework="pt", device="cpu") as file:
            tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118 - not a mapping
            metadata = dict(file.metadata() or {})
    except (SafetensorError, OSError, ValueError) as error:
        raise CheckpointError(f"{source.path.name} is damaged or cut off: {error}") from None
    return Contents("safetensors", tensors, metadata)
