"""The arrays in files of latents and directions, whatever wrote them; no code of a file runs.

Read are .npy (of numbers, and of Python objects as ReStyle and StyleGAN3-editing write them), .npz, what torch.save
and pickle write (e4e, rosinality's projector, StyleFlow, GANSpace), .safetensors and JSON lines (older encoders).
What the arrays mean is not told here: no such file names its space or its generator.
"""

from __future__ import annotations

import json
import mmap
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from facelab.checkpoints.source import Source, looks_like_safetensors, open_source, read_contents, read_safetensors
from facelab.checkpoints.torchfile import Archive
from facelab.checkpoints.unpickle import (
    Array,
    ArrayBox,
    Machine,
    TensorBox,
    array_view,
    numpy_type,
    printable,
)
from facelab.errors import CheckpointError, LatentError, UnknownFormat, UnsafeFile

_ROOM = 64 << 20  # bytes that a compressed archive may unpack to, besides ``_RATIO`` times its own size
_RATIO = 30  # equal rows, the most that codes repeat themselves, pack 18 to 1
_MAX_HEADER = 16_384  # characters of an .npy header
_MAX_LINE = 4 << 20  # characters of one code in JSON; 18 x 512 numbers take 0.2 MB
_MAX_OBJECTS = 100_000  # that are looked through for arrays
_MAX_DEPTH = 3


def read_arrays(path: str | os.PathLike[str]) -> dict[str, Array]:
    """Every array of numbers or text in a file, by its name; "" for one that has none.

    Arrays in dictionaries bear the innermost key; arrays of one shape that lie in a list, or bear one key in several
    dictionaries (one for each photograph), are stacked into one.

    Raises:
        LatentError: the file is missing, damaged, cut off, asks for code to be run, declares what it does not hold, or
            is no file of arrays.
    """
    path = Path(path)
    try:
        with open_source(path) as source:
            return _collect(_contents(source), source)
    except UnknownFormat as error:
        raise LatentError(f"{path.name!r} is no file of latents that facelab knows") from error
    except CheckpointError as error:
        raise LatentError(_with_name(path.name, str(error))) from error
    except (ArithmeticError, LookupError, MemoryError, TypeError, ValueError) as error:
        # The readers check what they take; what slips through came out of the file all the same.
        raise LatentError(f"{path.name!r} is damaged or of an unknown variant: {printable(error)}") from error


def _with_name(name: str, sentence: str) -> str:
    return sentence if name in sentence else f"{name!r}: {sentence}"


def _contents(source: Source) -> Any:
    view = source.view
    if bytes(view[:6]) == b"\x93NUMPY":
        return read_npy(view)
    if bytes(view[:2]) == b"PK":
        archive = Archive(view)
        names = list(archive.entries)
        if names and all(name.endswith(".npy") for name in names):
            room = _ROOM + _RATIO * len(view)
            arrays: dict[str, Any] = {}
            for name in names:
                raw = archive.read(name, room=room)
                room -= len(raw)
                arrays[name.removesuffix(".npy")] = read_npy(raw)
            return arrays
    if looks_like_safetensors(view):
        return read_safetensors(source).value
    if bytes(view[:16]).lstrip()[:1] == b"[":
        return _json_lines(view)
    return read_contents(source, objects=True).value


def read_npy(view: memoryview) -> Any:
    """The array of an .npy file, a view of its bytes; an array of Python objects as its stand-in.

    The header is matched, not evaluated, and the size that it declares compared with the bytes behind it.

    Raises:
        CheckpointError: it is no .npy, damaged or cut off.
    """
    version = view[6] if len(view) >= 12 and bytes(view[:6]) == b"\x93NUMPY" else 0
    if version not in (1, 2, 3):
        raise CheckpointError("the NumPy file is damaged: it has no header")
    start = 10 if version == 1 else 12
    length = int.from_bytes(view[8:start], "little")
    if length > min(_MAX_HEADER, len(view) - start):
        raise CheckpointError("the NumPy file is damaged: its header does not end")
    header = bytes(view[start : start + length]).decode("latin-1")
    kind = re.search(r"'descr'\s*:\s*'([^']{1,20})'", header)
    fortran = re.search(r"'fortran_order'\s*:\s*(True|False)", header)
    shape = re.search(r"'shape'\s*:\s*\(([0-9,\sL]*)\)", header)
    if kind is None or fortran is None or shape is None:
        raise CheckpointError("the NumPy file holds no plain array, or its header is damaged")
    raw = view[start + length :]
    dtype = numpy_type(kind[1], objects=True)
    if dtype.hasobject:
        return Machine(raw, objects=True).run()
    digits = re.findall(r"[0-9]+", shape[1])
    if len(digits) > 16 or any(len(one) > 18 for one in digits):
        raise UnsafeFile("the NumPy file declares an array of impossible size")
    return array_view(raw, dtype, tuple(int(one) for one in digits), fortran[1] == "True", exact=False)


def _json_lines(view: memoryview) -> Array:
    rows: list[Array] = []
    for line in _lines(view):
        if not line.strip():
            continue
        try:
            row = np.array(json.loads(line, parse_constant=_no_constant), np.float32)
        except (ValueError, TypeError, OverflowError, RecursionError) as error:
            raise CheckpointError(f"line {len(rows) + 1} of the file is no code: {printable(error)}") from None
        if rows and row.shape != rows[0].shape:
            raise CheckpointError(
                f"line {len(rows) + 1} of the file has another shape than the first; it may be cut off"
            )
        rows.append(row)
    return np.stack(rows)


def _no_constant(name: str) -> float:
    raise ValueError(f"{name} is no finite number")


def _lines(view: memoryview) -> Iterator[bytes]:
    mapped = view.obj
    assert isinstance(mapped, mmap.mmap), "a source is a mapped file"
    start = 0
    while start < len(view):
        end = mapped.find(b"\n", start, start + _MAX_LINE)
        if end < 0:
            end = len(view)
            if end - start > _MAX_LINE:
                raise UnsafeFile("the file has a line longer than any code")
        yield bytes(view[start:end])
        start = end + 1


def _collect(value: Any, source: Source) -> dict[str, Array]:
    seen = 0
    room = 4 * len(source.view) + (16 << 20)  # a memo can name one array a thousand times

    def stack(arrays: list[Array]) -> Array:
        nonlocal room
        room -= sum(one.nbytes for one in arrays)
        if room < 0:
            raise UnsafeFile("the file unfolds into much more than it holds")
        return np.stack(arrays)

    def look(value: Any, depth: int) -> dict[str, Array]:
        nonlocal seen
        seen += 1
        if seen > _MAX_OBJECTS:
            raise UnsafeFile(f"the file holds more than {_MAX_OBJECTS:,} objects; no file of latents does")
        if isinstance(value, ArrayBox) and value.objects is not None:
            value = value.objects[0] if len(value.objects) == 1 else value.objects
        if isinstance(value, ArrayBox | TensorBox):
            value = value.array
        if isinstance(value, np.ndarray):
            return {"": value} if value.dtype.kind in "fiubUS" else {}
        found: dict[str, Array] = {}
        if depth > _MAX_DEPTH:
            return found
        if isinstance(value, dict):
            together: dict[str, list[Array]] = {}
            for key, inner in value.items():
                for name, array in look(inner, depth + 1).items():
                    together.setdefault(name or printable(key), []).append(array)
            for name, parts in together.items():
                alike = len({(part.shape, part.dtype.str) for part in parts}) == 1
                found[name] = stack(parts) if alike and len(parts) > 1 else parts[0]
        elif isinstance(value, list | tuple):
            parts = [array for inner in value for array in look(inner, depth + 1).values()]
            if parts and len({(part.shape, part.dtype.str) for part in parts}) == 1:
                found[""] = stack(parts)
        return found

    return look(value, 0)
