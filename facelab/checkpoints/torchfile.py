"""Reads what ``torch.save`` writes: zip archives, legacy streams, and the legacy stream inside a pickled storage.

Nothing is decompressed, nothing is extracted and torch is not asked: tensors become checked windows on the file.
"""

from __future__ import annotations

import struct
import zipfile
import zlib
from collections.abc import Callable
from typing import Any, BinaryIO, cast

import numpy as np

from facelab.checkpoints.unpickle import STORAGES, Machine, Name, Storage, printable
from facelab.errors import CheckpointError, UnknownFormat, UnsafeFile

LEGACY_MAGIC = 0x1950A86A20F9469CFC6C
LEGACY_VERSION = 1001
MAX_DIRECTORY = 8 << 20  # bytes of an archive's list of entries
MAX_ENTRIES = 20_000  # in one archive; the largest snapshots have some 1,500


def _storage_type(kind: object) -> tuple[np.dtype[Any], bool]:
    if not isinstance(kind, Name) or kind.name not in STORAGES:
        raise UnsafeFile(f"the file holds a tensor of the type {printable(kind)}, which facelab does not know")
    return np.dtype(STORAGES[kind.name]), kind.name == "BFloat16Storage"


def _persistent_fields(key: object) -> tuple[Name, str, int]:
    """(type, key, number of elements) of a persistent id that stands for a storage."""
    if not isinstance(key, tuple) or len(key) not in {5, 6} or key[0] not in ("storage", b"storage"):
        raise UnsafeFile("the file refers to an object outside of itself; facelab does not follow that")
    kind, name, count = key[1], key[2], key[4]
    if not isinstance(kind, Name) or not isinstance(name, str | int) or isinstance(count, bool):
        raise CheckpointError("the file is damaged: a storage has no name or type")
    if not isinstance(count, int) or count < 0:
        raise CheckpointError("the file is damaged: a storage has no size")
    if len(key) == 6 and key[5] is not None:
        raise CheckpointError("the file was written by a torch older than 0.4; save it again with a newer one")
    return kind, str(name), count


# --- zip ---------------------------------------------------------------------------------------------------------


class Archive:
    """The entries of a zip file, as views where they are stored as they are."""

    def __init__(self, view: memoryview) -> None:
        self.view = view
        try:
            entries = zipfile.ZipFile(cast(BinaryIO, _ViewFile(view))).infolist()
        except (zipfile.BadZipFile, NotImplementedError, ValueError, OSError, EOFError, struct.error) as error:
            raise CheckpointError(f"the archive is cut off or damaged: {printable(error)}") from None
        if len(entries) > MAX_ENTRIES:
            raise UnsafeFile(f"the archive has {len(entries):,} entries; no generator needs that")
        if sum(entry.compress_size for entry in entries) > len(view):
            raise UnsafeFile("the archive's entries overlap; they declare more than the file holds")
        self.entries: dict[str, zipfile.ZipInfo] = {}
        for entry in entries:
            parts = entry.filename.split("/")
            link = (entry.external_attr >> 16) & 0o170000 == 0o120000
            if link or ".." in parts or parts[0] == "" or "\\" in entry.filename or ":" in entry.filename:
                raise UnsafeFile(f"the archive has an entry named {printable(entry.filename)!r}")
            if entry.filename in self.entries:
                raise UnsafeFile(f"the archive has two entries named {printable(entry.filename)!r}")
            self.entries[entry.filename] = entry

    def read(self, name: str, *, room: int = 0) -> memoryview:
        """The bytes of one entry.

        Args:
            name: of the entry.
            room: how many bytes a compressed entry may unpack to; 0 refuses compression (torch uses none).

        Raises:
            UnsafeFile: it is compressed and has no room, or declares what is not there.
            CheckpointError: it is missing, encrypted, damaged or cut off.
        """
        entry = self.entries.get(name)
        if entry is None:
            raise CheckpointError(f"the archive lacks its entry {printable(name)!r}; it may be cut off")
        if entry.flag_bits & 1:
            raise CheckpointError(f"the archive's entry {printable(name)!r} is encrypted")
        stored = entry.compress_type == zipfile.ZIP_STORED and entry.file_size == entry.compress_size
        if not stored and (not room or entry.compress_type != zipfile.ZIP_DEFLATED):
            raise UnsafeFile(f"the archive's entry {printable(name)!r} is compressed, which torch never does")
        if not stored and entry.file_size > room:
            raise UnsafeFile(
                f"the archive's entry {printable(name)!r} unpacks to {entry.file_size} bytes, much more than it holds"
            )
        header = bytes(self.view[entry.header_offset : entry.header_offset + 30])
        if len(header) != 30 or header[:4] != b"PK\x03\x04":
            raise CheckpointError("the archive is damaged: an entry is not where it should be")
        name_length, extra_length = struct.unpack("<HH", header[26:30])
        start = entry.header_offset + 30 + name_length + extra_length
        if start + entry.compress_size > len(self.view):
            raise UnsafeFile(
                f"the archive's entry {printable(name)!r} declares {entry.compress_size} bytes, more than the file holds"
            )
        raw = self.view[start : start + entry.compress_size]
        return raw if stored else _inflate(raw, entry.file_size)


def _inflate(raw: memoryview, size: int) -> memoryview:
    """Unpack a deflated entry of ``size`` bytes, and not one byte more."""
    unpacker = zlib.decompressobj(-zlib.MAX_WBITS)
    try:
        unpacked = unpacker.decompress(raw, size + 1)
    except zlib.error as error:
        raise CheckpointError(f"the archive is damaged: {printable(error)}") from None
    if len(unpacked) != size:
        raise CheckpointError("the archive is damaged: an entry has another size than it declares")
    return memoryview(unpacked)


class _ViewFile:
    """Just enough of a file for ``zipfile`` to read a directory from a memoryview."""

    def __init__(self, view: memoryview) -> None:
        self._view, self._at = view, 0

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = 0) -> int:
        at = (0, self._at, len(self._view))[whence] + offset
        if at < 0:
            raise ValueError("it points before its own beginning")
        self._at = at
        return at

    def tell(self) -> int:
        return self._at

    def read(self, count: int = -1) -> bytes:
        end = len(self._view) if count < 0 else min(self._at + count, len(self._view))
        if end - self._at > MAX_DIRECTORY:
            raise UnsafeFile("the archive has a directory larger than any generator needs")
        piece = bytes(self._view[self._at : end])
        self._at = max(self._at, end)
        return piece


def read_archive(archive: Archive, *, objects: bool = False) -> Any:
    """The object that ``torch.save`` put into a zip archive, with inert stand-ins.

    Raises:
        UnknownFormat: the archive is no such file.
        UnsafeFile, CheckpointError: see ``Machine.run``.
    """
    programs = [name for name in archive.entries if name.rpartition("/")[2] == "data.pkl"]
    if any(name.rpartition("/")[2] == "constants.pkl" for name in archive.entries):
        raise UnknownFormat("this is a TorchScript program, not weights; facelab runs no code from files")
    if len(programs) != 1:
        raise UnknownFormat("this is a zip archive of another kind, not one that torch.save wrote")
    if any(entry.compress_type != zipfile.ZIP_STORED for entry in archive.entries.values()):
        raise UnsafeFile("the archive is compressed, which torch's never are; unpack it and save it again with torch")
    prefix = programs[0][: -len("data.pkl")]
    order = f"{prefix}byteorder"
    if order in archive.entries and bytes(archive.read(order)[:8]) != b"little":
        raise CheckpointError("the file was written on a big-endian machine; save it again on a usual one")
    known: dict[str, Storage] = {}

    def storage(key: object) -> Storage:
        kind, name, count = _persistent_fields(key)
        dtype, bfloat16 = _storage_type(kind)
        raw = archive.read(f"{prefix}data/{name}")
        if len(raw) != count * dtype.itemsize:
            raise UnsafeFile(
                f"the file declares a storage of {count * dtype.itemsize} bytes and holds {len(raw)} for it"
            )
        if name not in known:
            known[name] = Storage(np.frombuffer(raw, dtype) if count else np.zeros(0, dtype), bfloat16)
        elif known[name].array.dtype != dtype:
            raise CheckpointError("the file is damaged: one storage has two types")
        return known[name]

    return Machine(archive.read(programs[0]), persistent=storage, objects=objects).run()


# --- legacy streams ----------------------------------------------------------------------------------------------


def read_legacy(view: memoryview, *, objects: bool = False, parent: Machine | None = None) -> Any:
    """The object of a stream from before torch 1.6: magic, version, system, program, keys, numbers.

    The numbers follow the program that refers to them, so storages are made empty and filled at the end; each
    one's declared size is compared with the bytes that are left before anything is made of it.
    """
    position = 0

    def part(persistent: Callable[[object], object] | None = None) -> Any:
        nonlocal position
        machine = Machine(view, position, persistent=persistent, objects=objects, parent=parent)
        value = machine.run()
        position = machine.position
        return value

    if part() != LEGACY_MAGIC:
        raise CheckpointError("the file is damaged: a torch stream does not start as one")
    version = part()
    if version != LEGACY_VERSION:
        raise CheckpointError(f"the file has version {printable(version)} of torch's old format, which is not known")
    system = part()
    if not isinstance(system, dict) or system.get("little_endian", True) is not True:
        raise CheckpointError("the file was written on a big-endian machine; save it again on a usual one")
    declared: dict[str, tuple[Storage, int]] = {}

    def storage(key: object) -> Storage:
        kind, name, count = _persistent_fields(key)
        dtype, bfloat16 = _storage_type(kind)
        if count * dtype.itemsize > len(view) - position:
            raise UnsafeFile(
                f"the file declares a storage of {count * dtype.itemsize} bytes, {len(view) - position} are left"
            )
        if name not in declared:
            # Of the right length and type, without memory: tensors are checked against it before it is filled.
            placeholder = np.broadcast_to(np.zeros((), dtype), (count,))
            declared[name] = Storage(placeholder, bfloat16), count
        made, known = declared[name]
        if known != count or made.array.dtype != dtype:
            raise CheckpointError("the file is damaged: one storage has two sizes or types")
        return made

    value = part(storage)
    keys = part()
    named = isinstance(keys, list) and all(isinstance(key, str | int) for key in keys)
    if not named or len(keys) != len(declared) or {str(key) for key in keys} != set(declared):
        raise CheckpointError("the file is damaged: its storages are not those that it refers to")
    for key in keys:
        made, count = declared[str(key)]
        header = view[position : position + 8]
        if len(header) < 8 or int.from_bytes(header, "little", signed=True) != count:
            raise CheckpointError("the file is cut off or damaged: a storage does not have its declared size")
        start, size = position + 8, count * made.array.dtype.itemsize
        if size > len(view) - start:
            raise CheckpointError(f"the file is cut off: a storage of {size} bytes has {len(view) - start} left")
        made.array = np.frombuffer(view[start : start + size], made.array.dtype) if count else made.array
        position = start + size
    return value


def read_nested_storage(raw: memoryview, machine: Machine) -> Storage:
    """The storage that a tensor in a plain pickle carries along, itself a legacy stream."""
    value = read_legacy(raw, parent=machine)
    if not isinstance(value, Storage):
        raise UnsafeFile("the file hides something else where a tensor's numbers should be")
    return value
