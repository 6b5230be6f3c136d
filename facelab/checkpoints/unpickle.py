"""Reads pickles without running them.

A pickle is a program for a small stack machine, and Python's own machine imports and calls whatever the program
names. This one imports and calls nothing: it knows the names in ``ALLOWED`` and builds inert stand-ins for what
they would have made. Everything else that a pickle can name is refused, with its name. The machine counts its
steps and never takes memory because a file says so: bytes and arrays are views into the file, and a size that
the file declares is compared with the bytes that are there. A memo lets a short file name one object again and
again, in itself even; so what was made is measured as if it were written out, before anyone looks into it.

Source: the opcodes as Python's ``pickletools`` documents them, protocols 0 to 5.
"""

from __future__ import annotations

import codecs
import functools
import itertools
import re
import struct
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from facelab.errors import CheckpointError, UnsafeFile

MAX_STEPS = 500_000  # opcodes in one file; the largest training snapshots have some 60,000
MAX_STACK = 100_000  # objects that wait at once; picklers write lists and dicts in batches of 1,000
MAX_LEVELS = 100  # of objects in objects; modules in modules have some 35
MAX_KEY = 1 << 60  # of a whole number as a key; Python's hashes of larger ones can be made to coincide
MAX_MARKS = 500  # nesting; modules in modules need some 30
MAX_NUMBER = 1024  # bytes of one integer, characters of one number or name in text
MAX_TEXT = 1 << 20  # characters of one string in text form (protocol 0)
MAX_DIMENSIONS = 16
MAX_EXPANDED = 1 << 20  # elements of a tensor that has more of them than its storage

Array = npt.NDArray[Any]


def printable(text: object, limit: int = 80) -> str:
    """A name out of a file, cut and cleaned so that it can stand in a sentence; of other objects only their kind."""
    plain = text is None or isinstance(text, str | int | float | Name | BaseException)
    written = str(text) if plain else type(text).__name__
    shown = "".join(character if character.isprintable() else "?" for character in written[: limit + 1])
    return shown if len(shown) <= limit else shown[: limit - 1] + "…"


# --- stand-ins ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Name:
    """A name of ``ALLOWED`` that a pickle mentioned: a label, not the thing."""

    module: str
    name: str

    def __str__(self) -> str:
        return printable(f"{self.module}.{self.name}")


@dataclass(eq=False)
class Stub:
    """Stands for an object of a known class: the class's name, what it was made from and its state."""

    name: Name
    args: tuple[Any, ...] = ()
    state: dict[Any, Any] = field(default_factory=dict)


@dataclass(eq=False)
class DType:
    """Stands for a numpy dtype: plain numbers, booleans, text, or (where allowed) objects."""

    dtype: np.dtype[Any]


@dataclass(eq=False)
class ArrayBox:
    """Stands for a numpy array; ``array`` is a read-only view into the file once its state has come."""

    array: Array | None = None
    objects: list[Any] | None = None  # of an object array, where those are allowed


@dataclass(eq=False)
class Storage:
    """The numbers of one or more torch tensors: a view into the file."""

    array: Array  # flat; bfloat16 as 16 plain bits
    bfloat16: bool = False

    @functools.cached_property
    def numbers(self) -> Array:
        """``array``, or what its bits mean: float32 in new memory, once for all tensors on this storage."""
        return (self.array.astype(np.uint32) << 16).view(np.float32) if self.bfloat16 else self.array


@dataclass(eq=False)
class TensorBox:
    """Stands for a torch tensor: a checked window on a storage."""

    storage: Storage
    offset: int
    size: tuple[int, ...]
    stride: tuple[int, ...]

    @property
    def array(self) -> Array:
        """A read-only view of the storage's numbers."""
        flat = self.storage.numbers
        item = flat.dtype.itemsize
        return np.lib.stride_tricks.as_strided(
            flat[self.offset :], self.size, [step * item for step in self.stride], writeable=False
        )


def as_array(value: object) -> Array | None:
    """The numbers of an array, tensor or scalar stand-in; None for anything else."""
    if isinstance(value, TensorBox | ArrayBox):
        return value.array
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return np.asarray(value, np.float64)


def as_bytes(machine: Machine, value: object) -> memoryview:
    """The bytes of a byte string in any of the forms in which pickles hold them."""
    if isinstance(value, str):  # protocols below 3 have no byte strings: latin-1 text stands for them
        machine.spend(len(value))
        return memoryview(value.encode("latin-1"))
    if isinstance(value, bytes | bytearray | memoryview):
        return memoryview(value)
    raise ValueError("bytes were expected")


# --- what the allowed names make ---------------------------------------------------------------------------------


def _tuple(value: object, length: int | None = None) -> tuple[Any, ...]:
    if not isinstance(value, tuple) or (length is not None and len(value) != length):
        raise ValueError("a tuple was expected")
    return value


def _sizes(value: object) -> tuple[int, ...]:
    if not isinstance(value, tuple | list):
        raise ValueError("sizes were expected")
    if len(value) > MAX_DIMENSIONS:
        raise UnsafeFile(f"the file declares an array of {len(value)} dimensions")
    return tuple(_integer(one) for one in value)


def _integer(value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise ValueError("a size was expected")
    return value


def product(sizes: tuple[int, ...]) -> int:
    """The number of elements, as a Python integer that cannot overflow."""
    result = 1
    for size in sizes:
        result *= size
    return result


_NUMBERS = re.compile(r"[<>|=]?(b1|[iu][1248]|f[248]|[SU][1-9][0-9]{0,7}|O8?)")


def _dtype(machine: Machine, args: tuple[Any, ...]) -> DType:
    text = args[0] if args else None
    if isinstance(text, bytes | memoryview):
        text = bytes(text[:16]).decode("latin-1")
    return DType(numpy_type(text, objects=machine.objects))


def numpy_type(text: object, *, objects: bool = False) -> np.dtype[Any]:
    """The numpy type of a name like ``<f4``: numbers, booleans, text, and Python objects where allowed.

    Raises:
        UnsafeFile: it is another one.
    """
    if not isinstance(text, str) or not _NUMBERS.fullmatch(text):
        raise UnsafeFile(f"the file holds an array of the type {printable(text)!r}, which is no plain number")
    if "O" in text:
        if not objects:
            raise UnsafeFile("the file holds an array of Python objects; facelab reads plain numbers only")
        return np.dtype(object)
    return np.dtype(text)


def _build_dtype(box: DType, state: object) -> None:
    fields = _tuple(state)
    if len(fields) < 5 or fields[1] not in ("<", ">", "|", "=") or any(one is not None for one in fields[2:5]):
        raise UnsafeFile("the file holds an array of a composed type; facelab reads plain numbers only")
    if fields[1] in ("<", ">"):
        box.dtype = box.dtype.newbyteorder(fields[1])


def array_view(
    raw: memoryview, dtype: np.dtype[Any], shape: tuple[int, ...], fortran: bool, *, exact: bool = True
) -> Array:
    """A read-only array over ``raw``, which must hold what the shape declares (at least, if not ``exact``).

    Raises:
        UnsafeFile: it holds less or more, or the shape is an impossible one.
    """
    declared = product(shape) * dtype.itemsize
    if declared > len(raw) or (exact and declared != len(raw)):
        raise UnsafeFile(f"the file declares an array of {declared} bytes and holds {len(raw)} for it")
    flat = np.frombuffer(raw[:declared], dtype) if declared else np.zeros(0, dtype)
    try:
        array = flat.reshape(shape, order="F" if fortran else "C")
    except ValueError:
        raise UnsafeFile("the file declares an array of an impossible shape") from None
    array.flags.writeable = False
    return array


def _reconstruct_array(machine: Machine, args: tuple[Any, ...]) -> ArrayBox:
    kind, shape, _ = _tuple(args, 3)
    if not isinstance(kind, Name) or kind.name != "ndarray":
        raise UnsafeFile("the file asks for an array of a class that facelab does not know")
    if _sizes(shape) != (0,):
        raise UnsafeFile("the file declares an array whose size does not come from its contents")
    return ArrayBox()


def _build_array(machine: Machine, box: ArrayBox, state: object) -> None:
    _, shape, dtype, fortran, raw = _tuple(state, 5)
    if box.array is not None or box.objects is not None or not isinstance(dtype, DType):
        raise ValueError("an array has its state twice or no type")
    if dtype.dtype.hasobject:
        if not machine.objects or not isinstance(raw, list) or len(raw) != product(_sizes(shape)):
            raise UnsafeFile("the file holds an array of Python objects; facelab reads plain numbers only")
        box.objects = raw
    else:
        box.array = array_view(as_bytes(machine, raw), dtype.dtype, _sizes(shape), bool(fortran))


def _array_from_buffer(machine: Machine, args: tuple[Any, ...]) -> ArrayBox:
    raw, dtype, shape, order = _tuple(args, 4)
    if not isinstance(dtype, DType) or dtype.dtype.hasobject or order not in ("C", "F"):
        raise ValueError("an array has no type or order")
    return ArrayBox(array_view(as_bytes(machine, raw), dtype.dtype, _sizes(shape), order == "F"))


def _scalar(machine: Machine, args: tuple[Any, ...]) -> object:
    dtype, raw = _tuple(args, 2)
    if not isinstance(dtype, DType) or dtype.dtype.hasobject:
        raise UnsafeFile("the file holds a scalar that is no plain number")
    machine.spend(dtype.dtype.itemsize)
    return array_view(as_bytes(machine, raw), dtype.dtype, (), fortran=False).item()


def _encode(machine: Machine, args: tuple[Any, ...]) -> bytes:
    text, encoding = _tuple(args, 2)
    if not isinstance(text, str) or encoding not in ("latin1", "latin-1", "latin_1"):
        raise ValueError("latin-1 text was expected")
    machine.spend(len(text))
    return text.encode("latin-1")


def _bytes(machine: Machine, args: tuple[Any, ...]) -> bytes | memoryview:
    if not args:
        return b""
    return as_bytes(machine, args[0])  # a number here would ask for that many zeros: refused


def _mapping(machine: Machine, args: tuple[Any, ...]) -> dict[Any, Any]:
    made: dict[Any, Any] = {}
    if args:
        pairs = args[0].items() if isinstance(args[0], dict) else args[0]
        machine.spend(64 * len(pairs))
        for key, value in pairs:
            made[_key(key)] = value
    return made


def _set(machine: Machine, args: tuple[Any, ...]) -> set[Any]:
    members = args[0] if args else []
    if not isinstance(members, list | tuple):
        raise ValueError("a list was expected")
    machine.spend(64 * len(members))
    return {_key(one) for one in members}


def _key(key: Any) -> Any:
    """A dictionary key; refused is what takes time without end: hashing nested tuples, telling equal hashes apart."""
    parts = key if isinstance(key, tuple) else (key,)
    if len(parts) > MAX_DIMENSIONS or not all(
        one is None or isinstance(one, str | int | float | bytes | Name) for one in parts
    ):
        raise UnsafeFile("the file uses a composed object as the key of a table")
    if any(isinstance(one, int) and not -MAX_KEY < one < MAX_KEY for one in parts):
        raise UnsafeFile("the file uses a number of more than 60 bits as the key of a table")
    return key


def _size(machine: Machine, args: tuple[Any, ...]) -> tuple[int, ...]:
    return _sizes(args[0]) if args else ()


def _tensor(machine: Machine, args: tuple[Any, ...]) -> TensorBox:
    storage, offset, size, stride = args[0], _integer(args[1]), _sizes(args[2]), _sizes(args[3])
    if not isinstance(storage, Storage) or len(size) != len(stride):
        raise ValueError("a tensor has no storage or not one stride per dimension")
    there, count = len(storage.array), product(size)
    # One code for all layers is sometimes saved as one row with a stride of 0; larger copies are never meant.
    declared = product(tuple(max(length, 1) for length in size))  # numpy refuses large sizes beside a 0
    if declared > max(there, MAX_EXPANDED):
        raise UnsafeFile(
            f"the file declares a tensor of {declared * storage.array.dtype.itemsize} bytes over a storage of "
            f"{storage.array.nbytes}"
        )
    last = offset + sum((length - 1) * step for length, step in zip(size, stride, strict=True))
    if (last >= there) if count else (offset > there):
        raise UnsafeFile(f"the file declares a tensor that reaches to element {last} of a storage of {there}")
    return TensorBox(storage, offset, size, stride if count else (0,) * len(size))


def _parameter(machine: Machine, args: tuple[Any, ...]) -> object:
    if not args or not isinstance(args[0], TensorBox):
        raise ValueError("a parameter has no tensor")
    return args[0]


def _typed_tensor(machine: Machine, args: tuple[Any, ...]) -> object:
    function, _, inner, _ = _tuple(args, 4)
    if not isinstance(function, Name) or function.name not in ("_rebuild_tensor", "_rebuild_tensor_v2"):
        raise UnsafeFile("the file holds a tensor of a kind that facelab does not know")
    return _tensor(machine, _tuple(inner))


def _nested_storage(machine: Machine, args: tuple[Any, ...]) -> Storage:
    # Imported here as that module needs this one: a storage is a stream of pickles inside a pickle.
    from facelab.checkpoints.torchfile import read_nested_storage

    (raw,) = _tuple(args, 1)
    storage = read_nested_storage(as_bytes(machine, raw), machine)
    if storage.bfloat16:
        machine.spend(2 * storage.array.nbytes)  # of `numbers`; the bytes may be in the memo
    return storage


def _stub(name: Name, args: tuple[Any, ...]) -> Stub:
    return Stub(name, args)


_Maker = Callable[["Machine", tuple[Any, ...]], object]

_MADE: dict[tuple[str, str], _Maker] = {
    ("_codecs", "encode"): _encode,
    ("builtins", "bytearray"): _bytes,
    ("builtins", "bytes"): _bytes,
    ("builtins", "frozenset"): _set,
    ("builtins", "set"): _set,
    ("collections", "OrderedDict"): _mapping,
    ("dnnlib.util", "EasyDict"): _mapping,
    ("numpy", "dtype"): _dtype,
    ("numpy.core.multiarray", "_reconstruct"): _reconstruct_array,
    ("numpy.core.multiarray", "scalar"): _scalar,
    ("numpy.core.numeric", "_frombuffer"): _array_from_buffer,
    ("torch", "Size"): _size,
    ("torch._tensor", "_rebuild_from_type_v2"): _typed_tensor,
    ("torch._utils", "_rebuild_parameter"): _parameter,
    ("torch._utils", "_rebuild_parameter_with_state"): _parameter,
    ("torch._utils", "_rebuild_tensor"): _tensor,
    ("torch._utils", "_rebuild_tensor_v2"): _tensor,
    ("torch.storage", "_load_from_bytes"): _nested_storage,
}

PERSISTENT = ("torch_utils.persistence", "_reconstruct_persistent_obj")
NETWORK = ("dnnlib.tflib.network", "Network")

# Objects of these become a Stub: a name, arguments and a state.
_STUBS = {
    PERSISTENT,
    NETWORK,
    ("argparse", "Namespace"),
    ("pathlib", "Path"),
    ("pathlib", "PosixPath"),
    ("pathlib", "PurePosixPath"),
    ("pathlib", "PureWindowsPath"),
    ("pathlib", "WindowsPath"),
    ("torch", "device"),
    ("types", "SimpleNamespace"),
}

# torch's storage classes and the numpy types of their elements; bfloat16 is read as 16 plain bits.
STORAGES: dict[str, str] = {
    "BFloat16Storage": "<u2",
    "BoolStorage": "|b1",
    "ByteStorage": "|u1",
    "CharStorage": "|i1",
    "DoubleStorage": "<f8",
    "FloatStorage": "<f4",
    "HalfStorage": "<f2",
    "IntStorage": "<i4",
    "LongStorage": "<i8",
    "ShortStorage": "<i2",
}
_DTYPES = ("bfloat16", "bool", "float16", "float32", "float64", "int16", "int32", "int64", "int8", "uint8")

# These may be mentioned (as an argument of something above) but make nothing.
_LABELS = {
    ("numpy", "ndarray"),
    ("torch", "Tensor"),
    ("torch.nn.parameter", "Parameter"),
    *(("torch", name) for name in (*STORAGES, *_DTYPES)),
    *(("torch.cuda", name) for name in STORAGES),
}

_SAME_MODULE = {
    "__builtin__": "builtins",
    "numpy._core.multiarray": "numpy.core.multiarray",
    "numpy._core.numeric": "numpy.core.numeric",
    "pathlib._local": "pathlib",
}

ALLOWED: frozenset[tuple[str, str]] = frozenset({*_MADE, *_STUBS, *_LABELS})


def _parts(value: object) -> Iterator[Any] | None:
    """What a container holds; None for what is none."""
    match value:
        case Stub():
            return iter((value.args, value.state))
        case dict():
            return itertools.chain(value.keys(), value.values())
        case ArrayBox():
            return iter(value.objects or ())
        case list() | tuple():
            return iter(value)
    return None


def check_unfolded(value: object, room: int) -> None:
    """Measure what a pickle made as if each object were written out wherever it is referred to.

    Args:
        value: the outermost object.
        room: bytes that it may take then, with 8 for an object and one for each character.

    Raises:
        UnsafeFile: it is larger, refers to itself, or nests so deep that those who walk it could run out of stack.
    """
    known: dict[int, tuple[int, int]] = {}  # id of a container -> (bytes, levels), once it is known
    open_: dict[int, None] = {}
    path: list[list[Any]] = []  # of the containers around: [id, what is left of its parts, bytes, levels]

    def enter(container: object, parts: Iterator[Any]) -> None:
        if id(container) in open_:
            raise UnsafeFile("the file holds an object that contains itself; no generator needs that")
        open_[id(container)] = None
        path.append([id(container), parts, 8, 1])
        if len(path) > MAX_LEVELS:
            raise UnsafeFile(f"the file nests objects more than {MAX_LEVELS} deep; no generator needs that")

    def add(size: int, levels: int) -> None:
        around = path[-1]
        around[2] += size
        around[3] = max(around[3], levels + 1)
        if around[2] > room:
            raise UnsafeFile("the file unfolds into much more than it holds; no generator does")
        if around[3] > MAX_LEVELS:
            raise UnsafeFile(f"the file nests objects more than {MAX_LEVELS} deep; no generator needs that")

    parts = _parts(value)
    if parts is not None:
        enter(value, parts)
    while path:
        for part in path[-1][1]:
            if isinstance(part, str | bytes):
                add(8 + len(part), 0)
            elif id(part) in known:
                add(*known[id(part)])
            elif (parts := _parts(part)) is not None:
                enter(part, parts)
                break
            else:
                add(8, 0)
        else:
            done, _, size, levels = path.pop()
            del open_[done]
            known[done] = size, levels
            if path:
                add(size, levels)


# --- the machine -------------------------------------------------------------------------------------------------


class _Mark:
    """What MARK leaves on the stack."""


_MARK = _Mark()


class Machine:
    """The stack machine for one pickle.

    Args:
        view: the bytes of the file.
        start: where in them the pickle begins.
        persistent: what a persistent id stands for (torch's storages); without it they are refused.
        objects: allow numpy arrays of Python objects (some latent files are one).
        parent: the machine of the pickle around this one, whose steps it shares.
    """

    def __init__(
        self,
        view: memoryview,
        start: int = 0,
        *,
        persistent: Callable[[object], object] | None = None,
        objects: bool = False,
        parent: Machine | None = None,
    ) -> None:
        self.view = view
        self.position = start
        self.persistent = persistent
        self.objects = objects
        self._parent = parent
        self._steps = 0
        # What copying may take: a memo lets a short file name one long object again and again.
        self._budget = 4 * len(view) + (16 << 20)
        self._depth: int = 0 if parent is None else parent._depth + 1
        self._stack: list[Any] = []
        self._marks: list[int] = []
        self._memo: dict[int, Any] = {}

    def run(self) -> Any:
        """Run to STOP; ``position`` is then behind it.

        Raises:
            UnsafeFile: the pickle names what is not in ``ALLOWED``, or declares what cannot be.
            CheckpointError: it is no pickle, damaged or cut off.
        """
        if self._depth > 2:
            raise UnsafeFile("the file nests pickles in pickles in pickles")
        try:
            while True:
                code = self._read(1)[0]
                if code == _STOP:
                    value = self._pop()
                    check_unfolded(value, 4 * len(self._root().view) + (64 << 20))
                    return value
                self._count()
                action = _ACTIONS.get(code)
                if action is None:
                    raise CheckpointError(f"the file is damaged: byte {self.position - 1} is no pickle instruction")
                action(self)
        except CheckpointError:
            raise
        except (ValueError, TypeError, LookupError, ArithmeticError, AttributeError, struct.error) as error:
            raise CheckpointError(f"the file is damaged near byte {self.position}: {printable(error)}") from None
        except (MemoryError, RecursionError):
            raise UnsafeFile("the file asks for more memory than there is") from None

    def call(self, function: object, args: tuple[Any, ...]) -> object:
        """What an allowed function or class would make of ``args``, inertly."""
        if not isinstance(function, Name):
            raise UnsafeFile("the file calls an object that is no function; facelab runs no code from files")
        key = (function.module, function.name)
        if key in _MADE:
            return _MADE[key](self, args)
        if key in _STUBS:
            return _stub(function, args)
        raise UnsafeFile(f"the file calls {function}; facelab runs no code from files")

    # Steps and limits

    def spend(self, count: int) -> None:
        """Note that ``count`` bytes are about to be copied.

        Raises:
            UnsafeFile: in all it would be several times what the whole file holds.
        """
        root = self._root()
        root._budget -= count
        if root._budget < 0:
            raise UnsafeFile("the file unfolds into much more than it holds; no generator does")

    def _root(self) -> Machine:
        root = self
        while root._parent is not None:
            root = root._parent
        return root

    def _count(self) -> None:
        machine: Machine | None = self
        while machine is not None:
            machine._steps += 1
            if machine._steps > MAX_STEPS:
                raise UnsafeFile(f"the file has more than {MAX_STEPS:,} pickle instructions; no generator needs that")
            machine = machine._parent

    def _push(self, value: object) -> None:
        if len(self._stack) >= MAX_STACK:
            raise UnsafeFile(f"the file stacks more than {MAX_STACK:,} objects; no generator needs that")
        self._stack.append(value)

    def _pop(self) -> Any:
        if not self._stack or self._stack[-1] is _MARK:
            raise CheckpointError("the file is damaged: an instruction lacks its operand")
        return self._stack.pop()

    def _top(self) -> Any:
        if not self._stack or self._stack[-1] is _MARK:
            raise CheckpointError("the file is damaged: an instruction lacks its operand")
        return self._stack[-1]

    def _pop_mark(self) -> list[Any]:
        if not self._marks:
            raise CheckpointError("the file is damaged: a mark is missing")
        start = self._marks.pop()
        if start >= len(self._stack) or self._stack[start] is not _MARK:
            raise CheckpointError("the file is damaged: a mark is missing")
        items = self._stack[start + 1 :]
        del self._stack[start:]
        return items

    # Reading

    def _read(self, count: int) -> memoryview:
        end = self.position + count
        if end > len(self.view):
            raise CheckpointError(
                f"the file is cut off or damaged: {count} bytes were announced at byte {self.position}, "
                f"{len(self.view) - self.position} are left"
            )
        piece = self.view[self.position : end]
        self.position = end
        return piece

    def _unpack(self, layout: struct.Struct) -> int:
        value: int = layout.unpack(self._read(layout.size))[0]
        if value < 0:
            raise CheckpointError("the file is damaged: a length is negative")
        return value

    def _line(self, limit: int) -> bytes:
        size = 64
        while True:
            size = min(8 * size, limit + 1)
            window = bytes(self.view[self.position : self.position + size])
            end = window.find(b"\n")
            if end >= 0:
                self.position += end + 1
                return window[:end]
            if len(window) < size or size > limit:
                raise CheckpointError("the file is cut off or damaged: a line of text does not end")

    # Instructions

    def proto(self) -> None:
        version = self._read(1)[0]
        if version > 5:
            raise CheckpointError(f"the file has pickle protocol {version}, facelab reads 0 to 5; it may be damaged")

    def frame(self) -> None:
        length = self._unpack(_U64)
        if length > len(self.view) - self.position:
            raise CheckpointError("the file is cut off: its last part is missing")

    def mark(self) -> None:
        if len(self._marks) >= MAX_MARKS:
            raise UnsafeFile(f"the file nests more than {MAX_MARKS} objects; no generator needs that")
        self._marks.append(len(self._stack))
        self._push(_MARK)

    def pop(self) -> None:
        if self._stack and self._stack[-1] is _MARK:
            self._pop_mark()
        else:
            self._pop()

    def pop_mark(self) -> None:
        self._pop_mark()

    def dup(self) -> None:
        self._push(self._top())

    def text_int(self) -> None:
        line = self._line(MAX_NUMBER)
        self._push({b"00": False, b"01": True}[line] if line in (b"00", b"01") else int(line))

    def text_long(self) -> None:
        self._push(int(self._line(MAX_NUMBER).rstrip(b"L")))

    def text_float(self) -> None:
        self._push(float(self._line(MAX_NUMBER)))

    def text_string(self) -> None:
        line = self._line(MAX_TEXT).strip()
        if len(line) < 2 or line[:1] not in (b"'", b'"') or line[-1:] != line[:1]:
            raise ValueError("a string has no quotes")
        self._push(codecs.escape_decode(line[1:-1])[0].decode("latin-1"))

    def text_unicode(self) -> None:
        self._push(self._line(MAX_TEXT).decode("raw-unicode-escape"))

    def integer(self, size: int, *, signed: bool = False) -> None:
        self._push(int.from_bytes(self._read(size), "little", signed=signed))

    def long(self, length: int) -> None:
        if length > MAX_NUMBER:
            raise UnsafeFile(f"the file holds an integer of {length} bytes; no generator needs that")
        self._push(int.from_bytes(self._read(length), "little", signed=True))

    def binary_float(self) -> None:
        self._push(struct.unpack(">d", self._read(8))[0])

    def unicode(self, length: int) -> None:
        self._push(str(self._read(length), "utf-8", "surrogatepass"))

    def string(self, length: int) -> None:
        self._push(str(self._read(length), "latin-1"))

    def raw(self, length: int) -> None:
        piece = self._read(length)
        self._push(bytes(piece) if length < 256 else piece)

    def name(self, module: str, name: str) -> Name:
        module = _SAME_MODULE.get(module, module)
        if (module, name) not in ALLOWED:
            raise UnsafeFile(f"the file asks for {printable(f'{module}.{name}')}; facelab runs no code from files")
        return Name(module, name)

    def _text_name(self) -> Name:
        module = self._line(MAX_NUMBER).decode("utf-8")
        return self.name(module, self._line(MAX_NUMBER).decode("utf-8"))

    def text_global(self) -> None:
        self._push(self._text_name())

    def stack_global(self) -> None:
        name, module = self._pop(), self._pop()
        if not isinstance(name, str) or not isinstance(module, str):
            raise ValueError("a name is not text")
        self._push(self.name(module, name))

    def extension(self) -> None:
        raise UnsafeFile("the file asks for a registered extension; facelab runs no code from files")

    def buffer(self) -> None:
        raise CheckpointError("the file keeps its data outside of itself; facelab cannot read it")

    def text_persistent(self) -> None:
        self._persistent(self._line(MAX_NUMBER).decode("utf-8"))

    def binary_persistent(self) -> None:
        self._persistent(self._pop())

    def _persistent(self, key: object) -> None:
        if self.persistent is None:
            raise UnsafeFile("the file refers to an object outside of itself; facelab does not follow that")
        self._push(self.persistent(key))

    def reduce(self) -> None:
        args, function = self._pop(), self._pop()
        self._push(self.call(function, _tuple(args)))

    def new_object(self) -> None:
        args, kind = self._pop(), self._pop()
        self._push(self.call(kind, _tuple(args)))

    def new_object_ex(self) -> None:
        keywords, args, kind = self._pop(), self._pop(), self._pop()
        if keywords != {}:
            raise UnsafeFile("the file makes an object with named arguments; facelab does not know such")
        self._push(self.call(kind, _tuple(args)))

    def text_instance(self) -> None:
        kind = self._text_name()
        self._push(self.call(kind, tuple(self._pop_mark())))

    def stack_instance(self) -> None:
        items = self._pop_mark()
        self._push(self.call(items[0], tuple(items[1:])))

    def build(self) -> None:
        state, target = self._pop(), self._top()
        if isinstance(target, Stub):
            parts = state if isinstance(state, tuple) else (state,)
            for part in parts:
                if isinstance(part, dict):
                    self.spend(64 * len(part))
                    if any(not isinstance(key, str) or key.startswith("__") for key in part):
                        raise UnsafeFile(f"the file changes what {target.name} is; facelab runs no code from files")
                    target.state.update(part)
                elif part is not None:
                    raise ValueError("an object's state is no table")
        elif isinstance(target, DType):
            _build_dtype(target, state)
        elif isinstance(target, ArrayBox):
            _build_array(self, target, state)
        elif isinstance(target, dict) and isinstance(state, dict) and state.keys() <= {"_metadata"}:
            pass  # a state dictionary's table of versions, or nothing: not read
        else:
            shown = target if isinstance(target, Name) else type(target).__name__
            raise UnsafeFile(f"the file sets attributes of {shown}; facelab runs no code from files")

    # Containers

    def tuple_of(self, count: int) -> None:
        items = tuple(self._pop() for _ in range(count))
        self._push(items[::-1])

    def marked_tuple(self) -> None:
        self._push(tuple(self._pop_mark()))

    def marked_list(self) -> None:
        self._push(self._pop_mark())

    def marked_dict(self) -> None:
        made: dict[Any, Any] = {}
        self._set(made, self._pop_mark())
        self._push(made)

    def marked_set(self) -> None:
        self._push(frozenset(_key(one) for one in self._pop_mark()))

    def append(self) -> None:
        value, target = self._pop(), self._top()
        self._list(target).append(value)

    def appends(self) -> None:
        items = self._pop_mark()
        self._list(self._top()).extend(items)

    def set_item(self) -> None:
        value, key = self._pop(), self._pop()
        self._set(self._top(), [key, value])

    def set_items(self) -> None:
        items = self._pop_mark()
        self._set(self._top(), items)

    def add_items(self) -> None:
        items, target = self._pop_mark(), self._top()
        if type(target) is not set:
            raise ValueError("members are added to what is no set")
        target.update(_key(one) for one in items)

    @staticmethod
    def _list(target: object) -> list[Any]:
        if type(target) is not list:
            raise ValueError("items are added to what is no list")
        return target

    @staticmethod
    def _set(target: object, items: list[Any]) -> None:
        if type(target) is not dict or len(items) % 2:
            raise ValueError("items are set on what is no table")
        for index in range(0, len(items), 2):
            target[_key(items[index])] = items[index + 1]

    # Memo

    def put(self, index: int) -> None:
        if index > MAX_STEPS:
            raise UnsafeFile(f"the file numbers an object {index}; no generator has that many")
        self._memo[index] = self._top()

    def memoize(self) -> None:
        self._memo[len(self._memo)] = self._top()

    def get(self, index: int) -> None:
        if index not in self._memo:
            raise CheckpointError(f"the file is damaged: it refers to object {index}, which is not there")
        self._push(self._memo[index])


_U8, _U16, _U32, _I32, _U64 = (struct.Struct(layout) for layout in ("<B", "<H", "<I", "<i", "<Q"))
_STOP = ord(".")


def _constant(value: object) -> Callable[[Machine], None]:
    return lambda machine: machine._push(value)


_ACTIONS: Mapping[int, Callable[[Machine], None]] = {
    0x80: Machine.proto,
    0x95: Machine.frame,
    ord("("): Machine.mark,
    ord("0"): Machine.pop,
    ord("1"): Machine.pop_mark,
    ord("2"): Machine.dup,
    ord("N"): _constant(None),
    0x88: _constant(True),
    0x89: _constant(False),
    ord("I"): Machine.text_int,
    ord("L"): Machine.text_long,
    ord("F"): Machine.text_float,
    ord("S"): Machine.text_string,
    ord("V"): Machine.text_unicode,
    ord("K"): lambda m: m.integer(1),
    ord("M"): lambda m: m.integer(2),
    ord("J"): lambda m: m.integer(4, signed=True),
    0x8A: lambda m: m.long(m._unpack(_U8)),
    0x8B: lambda m: m.long(m._unpack(_I32)),
    ord("G"): Machine.binary_float,
    0x8C: lambda m: m.unicode(m._unpack(_U8)),
    ord("X"): lambda m: m.unicode(m._unpack(_U32)),
    0x8D: lambda m: m.unicode(m._unpack(_U64)),
    ord("U"): lambda m: m.string(m._unpack(_U8)),
    ord("T"): lambda m: m.string(m._unpack(_I32)),
    ord("C"): lambda m: m.raw(m._unpack(_U8)),
    ord("B"): lambda m: m.raw(m._unpack(_U32)),
    0x8E: lambda m: m.raw(m._unpack(_U64)),
    0x96: lambda m: m.raw(m._unpack(_U64)),
    0x97: Machine.buffer,
    0x98: Machine.buffer,
    ord("c"): Machine.text_global,
    0x93: Machine.stack_global,
    0x82: Machine.extension,
    0x83: Machine.extension,
    0x84: Machine.extension,
    ord("P"): Machine.text_persistent,
    ord("Q"): Machine.binary_persistent,
    ord("R"): Machine.reduce,
    0x81: Machine.new_object,
    0x92: Machine.new_object_ex,
    ord("i"): Machine.text_instance,
    ord("o"): Machine.stack_instance,
    ord("b"): Machine.build,
    ord(")"): lambda m: m.tuple_of(0),
    0x85: lambda m: m.tuple_of(1),
    0x86: lambda m: m.tuple_of(2),
    0x87: lambda m: m.tuple_of(3),
    ord("t"): Machine.marked_tuple,
    ord("]"): lambda m: m._push([]),
    ord("l"): Machine.marked_list,
    ord("}"): lambda m: m._push({}),
    ord("d"): Machine.marked_dict,
    0x8F: lambda m: m._push(set()),
    0x91: Machine.marked_set,
    0x90: Machine.add_items,
    ord("a"): Machine.append,
    ord("e"): Machine.appends,
    ord("s"): Machine.set_item,
    ord("u"): Machine.set_items,
    ord("p"): lambda m: m.put(int(m._line(20))),
    ord("q"): lambda m: m.put(m._unpack(_U8)),
    ord("r"): lambda m: m.put(m._unpack(_U32)),
    0x94: Machine.memoize,
    ord("g"): lambda m: m.get(int(m._line(20))),
    ord("h"): lambda m: m.get(m._unpack(_U8)),
    ord("j"): lambda m: m.get(m._unpack(_U32)),
}
