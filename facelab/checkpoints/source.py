"""Opens a file as bytes in memory-mapped form and finds out which container it is, by its first bytes."""

from __future__ import annotations

import contextlib
import hashlib
import mmap
import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from safetensors import SafetensorError, safe_open

from facelab.checkpoints.contents import Contents
from facelab.checkpoints.torchfile import LEGACY_MAGIC, Archive, read_archive, read_legacy
from facelab.checkpoints.unpickle import Machine, printable
from facelab.errors import CheckpointError, UnknownFormat, UnsafeFile

MAX_HEADER = 16 << 20  # bytes of a .safetensors header; generators need some 50 kB
LARGEST_FILE = 32 << 30  # bytes; the largest checkpoints in circulation have a tenth of it


@dataclass(frozen=True)
class Source:
    """A file's bytes, mapped into memory and read only where they are touched."""

    path: Path
    view: memoryview
    handle: int

    def sha256(self) -> str:
        """Of all its bytes; read rather than mapped, so that a large file does not crowd the memory."""
        digest = hashlib.sha256()
        os.lseek(self.handle, 0, os.SEEK_SET)
        while piece := os.read(self.handle, 1 << 20):
            digest.update(piece)
        return digest.hexdigest()


@contextlib.contextmanager
def open_source(path: str | os.PathLike[str]) -> Iterator[Source]:
    """Map a regular file into memory.

    Raises:
        CheckpointError: it is missing, not a regular file, empty, unreadable or absurdly large.
    """
    path = Path(path)
    shown = printable(str(path), 200)
    try:
        # Opened without waiting, so that a pipe nobody writes to cannot hold the caller.
        handle = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
    except FileNotFoundError:
        raise CheckpointError(f"there is no file {str(path)!r}") from None
    except (OSError, ValueError) as error:
        raise CheckpointError(f"{shown} cannot be opened: {getattr(error, 'strerror', None) or error}") from None
    try:
        status = os.fstat(handle)
        if stat.S_ISDIR(status.st_mode):
            raise CheckpointError(f"{shown} is a folder; choose the file in it")
        if not stat.S_ISREG(status.st_mode):
            raise CheckpointError(f"{shown} is not a regular file")
        if status.st_size == 0:
            raise CheckpointError(f"{path.name!r} is empty; it may have been cut off while it was downloaded")
        if status.st_size > LARGEST_FILE:
            raise CheckpointError(f"{path.name!r} has {status.st_size >> 30} GB, more than any generator file")
        mapped = mmap.mmap(handle, status.st_size, access=mmap.ACCESS_READ)
        # The mapping is not closed by hand: arrays may still look into it; the last of them releases it.
        yield Source(path, memoryview(mapped), handle)
    except OSError as error:
        raise CheckpointError(f"{shown} cannot be read: {error.strerror or error}") from None
    finally:
        os.close(handle)


# What people take for a generator, by its first bytes.
_OTHERS: tuple[tuple[bytes, str], ...] = (
    (b"version https://git-lfs", "is a Git LFS pointer, not the file itself; fetch it with `git lfs pull`"),
    (b"\x1f\x8b", "is compressed with gzip; unpack it first"),
    (b"BZh", "is compressed with bzip2; unpack it first"),
    (b"\xfd7zXZ\x00", "is compressed with xz; unpack it first"),
    (b"\x28\xb5\x2f\xfd", "is compressed with zstd; unpack it first"),
    (b"7z\xbc\xaf\x27\x1c", "is a 7-Zip archive; unpack it first"),
    (b"Rar!", "is a RAR archive; unpack it first"),
    (b"\x89HDF", "is an HDF5 file (Keras, for one); facelab does not read such networks"),
    (b"GGUF", "is a language model (GGUF), not a generator of pictures"),
    (b"\x93NUMPY", "is a NumPy array, perhaps a latent code, not a generator"),
    (b"\x89PNG", "is a PNG picture, not a generator"),
    (b"\xff\xd8\xff", "is a JPEG picture, not a generator"),
    (b"%PDF", "is a PDF document, not a generator"),
    (b"\x7fELF", "is a program, not a generator"),
    (b"MZ", "is a program, not a generator"),
    (b"SQLite format 3", "is a database, perhaps a facelab project, not a generator"),
)


def read_contents(source: Source, *, objects: bool = False) -> Contents:
    """Read the container, by its first bytes.

    Args:
        source: the file.
        objects: allow numpy arrays of Python objects (some latent files are one).

    Raises:
        UnknownFormat: it is no container of generators.
        CheckpointError: it is one, and it is damaged.
        UnsafeFile: it asks for what facelab never does.
    """
    view, name = source.view, repr(source.path.name)
    head = bytes(view[:512])
    for start, what in _OTHERS:
        if head.startswith(start):
            raise UnknownFormat(f"{name} {what}")
    if head[257:262] == b"ustar":
        raise UnknownFormat(f"{name} is a tar archive; unpack it first")
    if head.lstrip()[:1] == b"<":
        raise UnknownFormat(f"{name} is a web page, not a generator; the download gave a page in place of the file")
    if head.startswith(b"PK"):
        archive = Archive(view)
        if archive.entries and all(entry.endswith(".npy") for entry in archive.entries):
            raise UnknownFormat(f"{name} is a NumPy archive, perhaps of latent codes, not a generator")
        return Contents("torch", len(view), read_archive(archive, objects=objects))
    if looks_like_safetensors(view):
        return read_safetensors(source)
    machine = Machine(view, objects=objects)
    try:
        value = machine.run()
    except UnsafeFile:
        raise
    except CheckpointError:
        if head[:1] == b"\x80" and head[1:2] <= b"\x05":
            raise
        raise UnknownFormat(f"{name} is not a generator file of a kind that facelab knows") from None
    if value == LEGACY_MAGIC:
        return Contents("torch", len(view), read_legacy(view, objects=objects))
    contents = Contents("pickle", len(view), value)
    if machine.position < len(view):
        contents.notes.append(f"{len(view) - machine.position} bytes behind the end of the pickle were not read")
    return contents


def looks_like_safetensors(view: memoryview) -> bool:
    """Whether it starts with a header length that fits, and a brace."""
    return len(view) > 9 and 2 <= int.from_bytes(view[:8], "little") <= len(view) - 8 and view[8] == ord("{")


def read_safetensors(source: Source) -> Contents:
    """The tensors and text fields of a .safetensors file."""
    if int.from_bytes(source.view[:8], "little") > MAX_HEADER:
        raise UnsafeFile(f"{source.path.name!r} has a header larger than any generator needs")
    try:
        with safe_open(source.path, framework="numpy") as file:
            tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118 - not a mapping
            metadata = dict(file.metadata() or {})
    except (SafetensorError, AttributeError, OSError, ValueError, TypeError) as error:
        raise CheckpointError(
            f"{source.path.name!r} is damaged or cut off; copy or download it again ({printable(error, 200)})"
        ) from None
    return Contents("safetensors", len(source.view), tensors, metadata)
