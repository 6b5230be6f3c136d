"""Files that want to run code, take memory or hang the reader: each is refused in one sentence, quickly.

A payload that ran would leave a mark: a file in ``tmp_path`` or an attribute on something of the process.
"""

from __future__ import annotations

import collections
import copy
import functools
import io
import json
import math
import os
import pickle
import struct
import subprocess
import sys
import time
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from facelab import checkpoints
from facelab.checkpoints import unpickle
from facelab.checkpoints.assemble import assemble
from facelab.checkpoints.contents import Contents
from facelab.checkpoints.unpickle import Machine
from facelab.errors import CheckpointError, UnsafeFile
from facelab.nets import build
from tests.checkpoints import examples, writers


def refused(
    contents: bytes, tmp_path: Path, said: str | None = None, kind: type[CheckpointError] = CheckpointError
) -> str:
    """Load a file of these bytes; it must be refused within seconds, in one sentence, and leave nothing."""
    path = tmp_path / "suspect"
    path.write_bytes(contents)
    started = time.process_time()
    with pytest.raises(kind, match=said) as caught:
        checkpoints.load(path)
    assert time.process_time() - started < 5
    sentence = str(caught.value)
    assert "\n" not in sentence
    assert 15 < len(sentence) < 300
    assert list(tmp_path.iterdir()) == [path]
    return sentence


# --- pickles -----------------------------------------------------------------------------------------------------


def text(value: str) -> bytes:
    raw = value.encode()
    return b"X" + struct.pack("<I", len(raw)) + raw


def name(module: str, attribute: str) -> bytes:
    return f"c{module}\n{attribute}\n".encode()


def program(body: bytes) -> bytes:
    return b"\x80\x04" + body + b"."


@functools.cache
def _valid_module() -> bytes:
    return writers.pickled(writers.nvidia_module(examples.stylegan2()), 2)[2:-1]


def snapshot_with(body: bytes) -> bytes:
    """A whole and valid snapshot in whose options this object lies."""
    return b"\x80\x02}(" + text("G_ema") + _valid_module() + text("training_set_kwargs") + body + b"u."


def test_that_the_carrier_of_the_payloads_is_itself_read(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_bytes(snapshot_with(b"N"))
    assert checkpoints.load(path).format == "nvidia-pytorch"


CALLS = [
    ("os", "system"),
    ("posix", "system"),
    ("nt", "system"),
    ("builtins", "eval"),
    ("builtins", "exec"),
    ("builtins", "getattr"),
    ("builtins", "__import__"),
    ("builtins", "open"),
    ("builtins", "object"),
    ("subprocess", "Popen"),
    ("importlib", "import_module"),
    ("functools", "partial"),
    ("operator", "attrgetter"),
    ("pickle", "loads"),
    ("torch", "load"),
    ("torch.serialization", "load"),
    ("torch.hub", "load"),
    ("torch.jit", "load"),
    ("numpy", "load"),
    ("numpy", "fromfile"),
    ("numpy", "memmap"),
    ("torch.nn", "Module"),
    ("torch._utils", "_rebuild_wrapper_subclass"),
    ("torch.multiprocessing.reductions", "rebuild_storage_fd"),
    ("collections", "OrderedDict.fromkeys"),
    ("torch_utils", "persistence._reconstruct_persistent_obj.__globals__"),
    ("facelab.checkpoints", "save"),
    ("copyreg", "_reconstructor"),
    ("builtins\u0000", "eval"),
]


def _asking(how: str, module: str, attribute: str, argument: bytes) -> bytes:
    call = name(module, attribute) + argument + b"\x85R"
    match how:
        case "STACK_GLOBAL":
            return program(text(module) + text(attribute) + b"\x93" + argument + b"\x85R")
        case "INST":
            return program(b"(" + argument + f"i{module}\n{attribute}\n".encode())
        case "in a snapshot":
            return snapshot_with(call)
        case "in a storage":
            inner = program(call)
            raw = b"B" + struct.pack("<I", len(inner)) + inner
            return snapshot_with(name("torch.storage", "_load_from_bytes") + raw + b"\x85R")
    return program(call)


@pytest.mark.slow
@pytest.mark.parametrize("how", ["GLOBAL", "STACK_GLOBAL", "INST", "in a snapshot", "in a storage"])
def test_that_a_name_that_is_not_on_the_list_is_refused_by_its_name(how: str, tmp_path: Path) -> None:
    for module, attribute in CALLS:
        contents = _asking(how, module, attribute, text(f"touch {tmp_path}/pwned"))
        sentence = refused(contents, tmp_path, "runs no code from files", UnsafeFile)
        assert unpickle.printable(f"{module}.{attribute}") in sentence


def test_that_every_allowed_name_is_a_label_and_never_the_thing() -> None:
    for module, attribute in sorted(unpickle.ALLOWED):
        found = Machine(memoryview(program(name(module, attribute)))).run()
        assert found == unpickle.Name(module, attribute)


@pytest.mark.slow
def test_that_nothing_of_the_process_can_be_changed(tmp_path: Path) -> None:
    state = b"}" + text("facelab_pwned") + b"\x88s"
    for target in sorted(unpickle.ALLOWED):
        refused(snapshot_with(name(*target) + state + b"b"), tmp_path, "sets attributes", UnsafeFile)
    for thing in (collections.OrderedDict, torch._utils._rebuild_tensor_v2, torch.nn.Parameter, np.ndarray):
        assert not hasattr(thing, "facelab_pwned")


DTYPE = (
    name("numpy", "dtype")
    + text("f4")
    + b"\x89\x88\x87R(K\x03"
    + text("<")
    + b"NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb"
)
OBJECTS = DTYPE.replace(text("f4"), text("O8")).replace(text("<"), text("|"))
ARRAY = name("numpy.core.multiarray", "_reconstruct") + name("numpy", "ndarray") + b"K\x00\x85C\x01b\x87R"


def storage(count: int = 1, kind: str = "FloatStorage", stated: int | None = None, raw: bytes | None = None) -> bytes:
    """A storage as a pickled tensor carries it; ``stated`` and ``raw`` may lie."""
    stream = b"\x80\x02\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19.\x80\x02M\xe9\x03."
    stream += pickle.dumps({"little_endian": True}, 2)
    key = b"(" + text("storage") + name("torch", kind) + text("0") + text("cpu") + b"\x8a\x08"
    stream += b"\x80\x02" + key + struct.pack("<q", count if stated is None else stated) + b"NtQ."
    stream += pickle.dumps(["0"], 2) + struct.pack("<q", count) + (bytes(4 * count) if raw is None else raw)
    return name("torch.storage", "_load_from_bytes") + b"B" + struct.pack("<I", len(stream)) + stream + b"\x85R"


def integer(value: int) -> bytes:
    raw = value.to_bytes(16, "little", signed=True)
    return b"\x8a\x10" + raw


def tensor(size: list[int], stride: list[int], offset: int = 0, inner: bytes | None = None) -> bytes:
    sizes = b"(" + b"".join(integer(n) for n in size) + b"t"
    strides = b"(" + b"".join(integer(n) for n in stride) + b"t"
    hooks = name("collections", "OrderedDict") + b")R"
    return (
        name("torch._utils", "_rebuild_tensor_v2") + b"(" + (inner or storage()) + integer(offset) + sizes + strides
        + b"\x89" + hooks + b"tR"
    )  # fmt: skip


def doubling(twice: bytes) -> bytes:
    """A leaf, then again and again what holds it, object 0, twice: short, and without end when it is written out."""
    return text("leaf") + b"q\x00" + (b"0" + twice + b"q\x00") * 60


def inner(keys: bytes) -> bytes:
    """A storage's stream whose list of keys is this object."""
    stream = b"\x80\x02\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19.\x80\x02M\xe9\x03.\x80\x02}.\x80\x02("
    stream += text("storage") + name("torch", "FloatStorage") + text("0") + text("cpu") + b"K\x01NtQ.\x80\x02"
    stream += keys + b"." + struct.pack("<q", 1) + bytes(4)
    return b"B" + struct.pack("<I", len(stream)) + stream


def test_that_a_small_tensor_is_read_as_it_is_meant() -> None:
    box = Machine(memoryview(program(tensor([2, 2], [1, 2], 1, storage(5))))).run()
    assert box.array.shape == (2, 2)
    scalar = name("numpy.core.multiarray", "scalar") + DTYPE + b"C\x04\x00\x00\x80?\x86R"
    assert Machine(memoryview(program(scalar))).run() == 1.0


LIES = {
    "stride 0, 4 TB": tensor([1 << 40], [0]),
    "stride 0, 8 MB": tensor([1 << 21], [0]),
    "reaches behind": tensor([1], [1], offset=1),
    "reaches behind by stride": tensor([2, 2], [3, 1], 0, storage(4)),
    "negative offset": tensor([1], [1], offset=-1),
    "negative stride": tensor([2], [-1], 1, storage(4)),
    "negative size": tensor([-1], [1]),
    "overflowing size": tensor([1 << 62, 4], [1, 1]),
    "a huge size beside nothing": tensor([0, 1 << 62], [1 << 62, 1]),
    "many dimensions": tensor([1] * 40, [1] * 40),
    "sizes without strides": tensor([1, 1], [1]),
    "storage larger than the file": tensor([1], [1], 0, storage(1, stated=1 << 50)),
    "storage of another size": tensor([1], [1], 0, storage(1, stated=2)),
    "storage cut off": tensor([1], [1], 0, storage(8, raw=b"1234")),
    "negative storage": tensor([1], [1], 0, storage(-1, raw=b"")),
    "unknown storage": tensor([1], [1], 0, storage(1, kind="QInt8Storage")),
    "typed tensors in typed tensors": name("torch._tensor", "_rebuild_from_type_v2") + (b"(" + name("torch._tensor", "_rebuild_from_type_v2") + name("torch", "Tensor")) * 450 + b")N" + b"t" * 450 + b"R",
    "no storage": tensor([1], [1], 0, b"N"),
    "storage is a pickle": name("torch.storage", "_load_from_bytes") + b"C\x04\x80\x02N.\x85R",
    "array of a number": name("numpy.core.multiarray", "_reconstruct") + name("numpy", "ndarray") + integer(1 << 40) + b"\x85C\x01b\x87R",
    "array of an own class": ARRAY.replace(name("numpy", "ndarray"), name("torch", "Tensor")),
    "array of 4 TB": ARRAY + b"(K\x01" + integer(1 << 40) + b"\x85" + DTYPE + b"\x89C\x04abcdtb",
    "array of negative size": ARRAY + b"(K\x01" + integer(-4) + b"\x85" + DTYPE + b"\x89C\x04abcdtb",
    "array of objects": ARRAY + b"(K\x01K\x01\x85" + OBJECTS + b"\x89](Ne" + b"tb",
    "array of a record": name("numpy", "dtype") + text("V8") + b"\x89\x88\x87R",
    "array of a composed type": DTYPE.replace(b"NNN", b"K\x01NN"),
    "scalar of an object": name("numpy.core.multiarray", "scalar") + OBJECTS + b"C\x01N\x86R",
    "scalar too short": name("numpy.core.multiarray", "scalar") + DTYPE + b"C\x01N\x86R",
    "bytes by number": name("builtins", "bytearray") + integer(1 << 40) + b"\x85R",
    "bytes by number, old": name("__builtin__", "bytes") + integer(1 << 33) + b"\x85R",
    "text in another encoding": name("_codecs", "encode") + text("abc") + text("zlib") + b"\x86R",
    "an object's state is a list": name("argparse", "Namespace") + b")\x81]b",
    "attributes on a list": b"]}" + text("a") + b"Nsb",
    "attributes on a tensor": tensor([1], [1]) + b"}" + text("a") + b"Nsb",
    "attributes on a table": b"}}" + text("__class__") + b"Nsb",
    "another class for an object": name("argparse", "Namespace") + b")\x81N}" + text("__class__") + name("torch", "Size") + b"s\x86b",
    "attributes on a number": b"K\x01}" + text("a") + b"Nsb",
    "a number is called": b"K\x01)R",
    "a label is called": name("torch", "Tensor") + b")R",
    "named arguments": name("argparse", "Namespace") + b")}" + text("a") + b"Ns\x92",
    "extension": b"\x82\x01",
    "extension, long": b"\x84\x01\x00\x00\x00",
    "persistent id": text("a") + b"Q",
    "persistent id, text": b"Pa\n",
    "outside buffer": b"\x97",
    "read-only outside buffer": b"N\x98",
    "integer of 2 GB": b"\x8b\xff\xff\xff\x7f",
    "integer of negative length": b"\x8b\xff\xff\xff\xff",
    "integer of 1 MB": b"\x8b\x00\x00\x10\x00" + bytes(1 << 20),
    "decimal without end": b"L" + b"9" * 100_000 + b"L\n",
    "text of 2^62": b"\x8d" + struct.pack("<Q", 1 << 62),
    "bytes of 2^63": b"\x8e" + struct.pack("<Q", 1 << 63),
    "byte array of 2^63": b"\x96" + struct.pack("<Q", 1 << 63),
    "frame of 2^63": b"\x95" + struct.pack("<Q", 1 << 63),
    "old string of negative length": b"T\xff\xff\xff\xff",
    "memo 2^32": b"Nr\xff\xff\xff\xff",
    "memo not there": b"j\xff\xff\x00\x00",
    "memo of a mark": b"(q\x00",
    "not UTF-8": b"X\x02\x00\x00\x00\xff\xfe",
    "no operand": b"R",
    "no mark": b"t",
    "mark eaten": b"(0t",
    "unknown instruction": b"\xff",
    "append to a tuple": b")Na",
    "items on a list": b"]NNs",
    "odd items": b"}(Nu",
    "a key of lists": b"}]Ns",
    "a key of nested tuples": b"}" + b")" + b"2\x86" * 200 + b"Ns",
    "a member of nested tuples": b"\x8f(" + b")" + b"2\x86" * 200 + b"\x90",
    "a frozen member of nested tuples": b"()" + b"2\x86" * 200 + b"\x91",
    "marks without end": b"(" * 100_000,
    "stack without end": b"N" * 500_000,
    "instructions without end": b"N0" * 1_000_000,
    "copies of a long text": text("x" * 200_000) + b"q\x000" + (name("_codecs", "encode") + b"h\x00" + text("latin1") + b"\x86R0") * 300 + b"N",
    "keys of one hash": b"}(" + b"".join(integer((2**61 - 1) * k) + b"N" for k in range(1, 40_000)) + b"u",
    "members of one hash": b"\x8f(" + b"".join(integer((2**61 - 1) * k) for k in range(1, 80_000)) + b"\x90",
    "short lines without end": b"S''\n0" * 240_000 + b"R",
    "a long list as sizes": b"](" + b"K\x01" * 90_000 + b"e\x85q\x000" + name("torch", "Size") + b"q\x010" + b"h\x01h\x00R0" * 80_000 + b"N",
    "storages without end": storage()[:-1] + b"q\x000" + name("torch.storage", "_load_from_bytes") + b"q\x010(" + b"h\x01h\x00R" * 20_000 + b"t",
    "copies of a long scalar": name("numpy.core.multiarray", "scalar") + b"q\x010" + DTYPE.replace(text("f4"), text("S9000000")) + b"B" + struct.pack("<I", 9_000_000) + b"a" * 9_000_000 + b"\x86q\x000(" + b"h\x01h\x00R" * 200 + b"t",
    "copies of bfloat16": storage(4_000_000, "BFloat16Storage", raw=bytes(8_000_000))[:-1] + b"q\x000" + name("torch.storage", "_load_from_bytes") + b"q\x010(" + b"h\x01h\x00R" * 200 + b"t",
    "a list that doubles": doubling(b"](h\x00h\x00e"),
    "a tuple that doubles": doubling(b"h\x00h\x00\x86"),
    "a table that doubles": doubling(b"}(K\x01h\x00K\x02h\x00u"),
    "an object that doubles": doubling(name("argparse", "Namespace") + b")R}(" + text("a") + b"h\x00" + text("b") + b"h\x00ub"),
    "a storage whose keys double": name("torch.storage", "_load_from_bytes") + inner(doubling(b"](h\x00h\x00e")) + b"\x85R",
    "a storage whose key doubles": name("torch.storage", "_load_from_bytes") + inner(b"](" + doubling(b"](h\x00h\x00e") + b"e") + b"\x85R",
    "a shape of nothing, 2^124 times": ARRAY + b"(K\x01K\x00" + integer(1 << 62) * 2 + b"\x87" + DTYPE + b"\x89C\x00tb",
    "an array of text of no length": ARRAY + b"(K\x01" + integer(1 << 40) + b"\x85" + DTYPE.replace(text("f4"), text("S0")) + b"\x89C\x00tb",
    "copies of a long list": b"](" + b"K\x01" * 50_000 + b"eq\x000" + (name("builtins", "set") + b"h\x00\x85R0") * 300 + b"N",
}  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("lie", LIES)
def test_that_a_lie_in_an_otherwise_whole_snapshot_is_refused(lie: str, tmp_path: Path) -> None:
    refused(snapshot_with(LIES[lie]), tmp_path)


@pytest.mark.slow
def test_that_deep_nesting_neither_crashes_nor_hangs(tmp_path: Path) -> None:
    for deep in (b")" + b"\x85" * 200_000, b"]" * 50_000 + b"a" * 49_999, b"N" + (b"q\x00h\x00\x86" * 50_000)):
        refused(snapshot_with(deep), tmp_path, "deep")
    refused(snapshot_with(b"]q\xf0h\xf0a"), tmp_path, "contains itself")


def _module(kind: str, children: bytes) -> bytes:
    state = b"}(" + text("_parameters") + b"}" + text("_buffers") + b"}" + text("_modules") + children + b"u"
    meta = b"}(" + text("type") + text("class") + text("class_name") + text(kind) + text("state") + state + b"u"
    return name("torch_utils.persistence", "_reconstruct_persistent_obj") + meta + b"\x85R"


def test_that_modules_within_themselves_are_refused(tmp_path: Path) -> None:
    ring = _module("Generator", b"}q\x07") + b"0h\x07" + text("mapping") + _module("Generator", b"h\x07") + b"s0"
    refused(program(ring + _module("Generator", b"h\x07")), tmp_path, "contains itself")
    tower = b"}"
    for _ in range(100):
        tower = b"}" + text("mapping") + _module("Generator", tower) + b"s"
    refused(program(_module("Generator", tower)), tmp_path, "nests")
    broad = b"}(" + b"".join(text(f"m{i}") + _module("SynthesisLayer", b"}") for i in range(150)) + b"u"
    wide = b"}(" + b"".join(text(f"m{i}") + _module("SynthesisLayer", broad) for i in range(20)) + b"u"
    refused(program(_module("Generator", wide)), tmp_path, "nests")


def test_that_a_module_has_few_names_and_short_ones(tmp_path: Path) -> None:
    """One long table that a thousand modules share, or one long name, would be gone through a thousand times."""
    many = b"}(" + b"".join(text(f"m{i}") + b"N" for i in range(1000)) + b"u"
    long = b"}" + text("x" * 1000) + b"Ns"
    for table in (many, long):
        refused(program(_module("Generator", table)), tmp_path, "of a kind that no generator has")


def _tf(**state: bytes) -> bytes:
    fields = b"".join(text(key) + value for key, value in state.items())
    return name("dnnlib.tflib.network", "Network") + b")\x81}(" + fields + b"ub"


def test_that_a_tensorflow_network_has_few_variables_with_short_names(tmp_path: Path) -> None:
    def generator(variables: bytes) -> bytes:
        part = {"version": b"K\x04", "static_kwargs": b"}", "variables": variables}
        parts = b"}(" + text("mapping") + _tf(**part) + text("synthesis") + _tf(**part) + b"u"
        return program(_tf(name=text("Gs"), version=b"K\x04", static_kwargs=b"}", variables=b"]", components=parts))

    refused(generator(b"](" + b"N" * 20_000 + b"e"), tmp_path, "20,000 variables")
    refused(generator(b"](" + text("x" * 1000) + b"K\x01\x86e"), tmp_path, "is no array")


def test_that_noise_that_is_not_in_the_file_is_not_drawn_without_end(tmp_path: Path) -> None:
    ones = torch.ones
    state = {"style.1.weight": ones(2, 2), "style.1.bias": ones(2), "input.input": ones(1, 1, 4, 4)}
    for layer in ("conv1", "to_rgb1", *(f"convs.{k}" for k in range(40)), *(f"to_rgbs.{k}" for k in range(20))):
        rgb = layer.startswith("to_rgb")
        state[f"{layer}.conv.weight"] = ones(1, 3, 1, 1, 1) if rgb else ones(1, 1, 1, 3, 3)
        state |= {f"{layer}.conv.modulation.weight": ones(1, 2), f"{layer}.conv.modulation.bias": ones(1)}
        state |= {f"{layer}.bias": ones(1, 3, 1, 1)} if rgb else {f"{layer}.activate.bias": ones(1)}
        state |= {} if rgb else {f"{layer}.noise.weight": ones(1)}
    buffer = io.BytesIO()
    torch.save({"g_ema": state}, buffer)
    refused(buffer.getvalue(), tmp_path, "unfolds", UnsafeFile)


def test_that_one_piece_cannot_be_all_tensors(tmp_path: Path) -> None:
    """A short file whose every layer is the same storage must not unfold into gigabytes."""
    shared = np.broadcast_to(np.float32(0), (4096, 4096))
    architecture = {"resolution": 4, "channels": [4], "z_dim": 4096, "w_dim": 4096, "mapping_features": [4096] * 64}
    arrays = {f"mapping.fc{i}.weight": shared for i in range(64)}
    network = build("stylegan2", architecture, seed=None)
    for key, value in network.state_dict().items():
        arrays.setdefault(key, np.zeros(value.shape, np.float32))
    with pytest.raises(UnsafeFile, match="unfolds"):
        assemble(Contents("pickle", 1000, None), "stylegan2", architecture, arrays)


# --- archives and other containers -------------------------------------------------------------------------------


def archive(entries: dict[str, bytes], compression: int = zipfile.ZIP_STORED) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", compression) as file:
        for entry, raw in entries.items():
            file.writestr(entry, raw)
    return buffer.getvalue()


def torch_zip(count: int = 1, raw: bytes = bytes(4), key: bytes | None = None) -> dict[str, bytes]:
    pid = b"(" + text("storage") + name("torch", "FloatStorage") + text("0") + text("cpu") + integer(count) + b"tQ"
    return {"a/data.pkl": program(key or pid), "a/version": b"3\n", "a/data/0": raw}


def _compressed_beside() -> bytes:
    buffer = io.BytesIO(archive(torch_zip()))
    with zipfile.ZipFile(buffer, "a", zipfile.ZIP_DEFLATED) as file:
        file.writestr("a/bomb", bytes(1 << 20))
    return buffer.getvalue()


def _link() -> bytes:
    buffer = io.BytesIO(archive(torch_zip()))
    with zipfile.ZipFile(buffer, "a") as file:
        info = zipfile.ZipInfo("a/link")
        info.external_attr = 0o120777 << 16
        file.writestr(info, "/etc/passwd")
    return buffer.getvalue()


ARCHIVES: dict[str, Callable[[], bytes]] = {
    "compressed, a bomb": lambda: archive(torch_zip(1 << 26, bytes(1 << 28)), zipfile.ZIP_DEFLATED),
    "a compressed entry beside": _compressed_beside,
    "a link": _link,
    "entries that overlap": lambda: archive(torch_zip()).replace(struct.pack("<II", 4, 4), struct.pack("<II", 4000, 4000)),
    "traversal": lambda: archive(torch_zip() | {"a/../../../tmp/facelab_pwned": b"x"}),
    "absolute": lambda: archive(torch_zip() | {"/tmp/facelab_pwned": b"x"}),
    "backslashes": lambda: archive(torch_zip() | {"a\\..\\facelab_pwned": b"x"}),
    "storage larger than its entry": lambda: archive(torch_zip(1 << 40)),
    "storage smaller than its entry": lambda: archive(torch_zip(1, bytes(8))),
    "storage not there": lambda: archive({"a/data.pkl": torch_zip()["a/data.pkl"]}),
    "storage named outside": lambda: archive(
        torch_zip(key=b"(" + text("storage") + name("torch", "FloatStorage") + text("../../etc/passwd") + text("cpu") + b"K\x01tQ")
    ),
    "another persistent id": lambda: archive(torch_zip(key=text("module") + b"Q")),
    "two programs": lambda: archive(torch_zip() | {"b/data.pkl": program(b"N")}),
    "big-endian": lambda: archive(torch_zip() | {"a/byteorder": b"big"}),
    "TorchScript": lambda: archive(torch_zip() | {"a/constants.pkl": program(b"N"), "a/code/evil.py": b"import os"}),
    "os.system": lambda: archive(torch_zip(key=name("os", "system") + text("true") + b"\x85R")),
    "a long directory": lambda: archive({f"a/{i}{'x' * 450}": b"" for i in range(17_000)}),
    "another archive": lambda: archive({"photo.jpg": b"x"}),
    "latents": lambda: archive({"w.npy": b"x"}),
    "empty": lambda: archive({}),
    "cut off": lambda: archive(torch_zip())[:-30],
    "many entries": lambda: archive({f"a/{i}": b"" for i in range(20_001)}),
    "directory points elsewhere": lambda: archive(torch_zip()).replace(b"PK\x03\x04", b"PK\x03\x05"),
    "legacy stream of lies": lambda: b"\x80\x02\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19.\x80\x02M\xe9\x03.\x80\x02}.\x80\x02("
    + text("storage") + name("torch", "FloatStorage") + text("0") + text("cpu") + integer(1 << 40) + b"NtQ.",
    "legacy stream of a version": lambda: b"\x80\x02\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19.\x80\x02M\xea\x03.",
    "legacy stream cut off": lambda: b"\x80\x02\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19.",
    "tar": lambda: bytes(257) + b"ustar" + bytes(250),
    "gzip": lambda: b"\x1f\x8b" + bytes(100),
    "a web page": lambda: b"\n <!DOCTYPE html><html>Quota exceeded</html>",
    "a Git LFS pointer": lambda: b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 381624121\n",
    "HDF5": lambda: b"\x89HDF\r\n\x1a\n" + bytes(100),
    "zeros": lambda: bytes(1000),
    "one byte": lambda: b"\x80",
    "a line of text": lambda: b"hello\n",
    "JSON": lambda: b'{"w": [1, 2, 3]}',
    "a future protocol": lambda: b"\x80\x09N.",
}  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("kind", ARCHIVES)
def test_that_a_container_that_lies_or_is_another_is_refused(kind: str, tmp_path: Path) -> None:
    refused(ARCHIVES[kind](), tmp_path)


def safetensors(header: object, data: bytes = b"") -> bytes:
    raw = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(raw)) + raw + data


META = {"format": "facelab.generator", "version": "1", "family": "stylegan2"}
SAFETENSORS = {
    "other": safetensors({"a": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}}, bytes(4)),
    "header cut off": safetensors({})[:9] + b"{",
    "header longer than the file": struct.pack("<Q", 1 << 40) + b"{" + bytes(100),
    "deep header": safetensors(b"{" + b'"a":{' * 100_000 + b"}" * 100_001),
    "offsets behind the end": safetensors({"a": {"dtype": "F32", "shape": [1 << 40], "data_offsets": [0, 1 << 42]}}),
    "another version": safetensors({"__metadata__": META | {"version": "7"}}),
    "another family": safetensors({"__metadata__": META | {"family": "diffusion"}}),
    "no architecture": safetensors({"__metadata__": META}),
    "deep architecture": safetensors({"__metadata__": META | {"architecture": "[" * 100_000}}),
    "architecture is a list": safetensors({"__metadata__": META | {"architecture": "[1]"}}),
    "no such option": safetensors({"__metadata__": META | {"architecture": '{"colour": 1}'}}),
    "endless mapping": safetensors(
        {"__metadata__": META | {"architecture": json.dumps({"resolution": 4, "channels": [4], "mapping_features": [512] * 99999})}}
    ),
    "endless resolution": safetensors(
        {"__metadata__": META | {"architecture": json.dumps({"resolution": 1 << 60, "channels": [4] * 59})}}
    ),
    "endless channels": safetensors(
        {"__metadata__": META | {"architecture": json.dumps({"resolution": 4, "channels": [1 << 62]})}}
    ),
    "text for a number": safetensors({"__metadata__": META | {"architecture": '{"resolution": "x", "channels": [4]}'}}),
    "w_avg of 16 TB": safetensors(
        {"__metadata__": META | {"architecture": json.dumps({"resolution": 4, "channels": [4], "w_dim": 1 << 42, "mapping_features": [1 << 42]})}}
    ),
    "endless classes": safetensors(
        {"__metadata__": META | {"architecture": json.dumps({"resolution": 4, "channels": [4], "c_dim": 10**7, "embed_features": 4})}}
    ),
    "numbers of 8 bits": safetensors({"a": {"dtype": "F8_E4M3", "shape": [4], "data_offsets": [0, 4]}}, bytes(4)),
    "tensors that overlap": safetensors(
        {key: {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]} for key in ("a", "b")}, bytes(4)
    ),
    "tensors missing": safetensors({"__metadata__": META | {"architecture": '{"resolution": 4, "channels": [4]}'}}),
}  # fmt: skip


@pytest.mark.parametrize("kind", SAFETENSORS)
def test_that_a_safetensors_file_that_lies_is_refused(kind: str, tmp_path: Path) -> None:
    refused(SAFETENSORS[kind], tmp_path)


def test_that_what_is_no_regular_file_is_refused_at_once(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "link").symlink_to(tmp_path / "nowhere")
    (tmp_path / "folder").mkdir()
    (tmp_path / "empty").touch()
    for path, said in (
        (tmp_path / "pipe", "not a regular file"),
        (tmp_path / "link", "no file"),
        (tmp_path / "folder", "is a folder"),
        (tmp_path / "empty", "is empty"),
        (tmp_path / "missing", "no file"),
        (Path("/dev/zero"), "not a regular file"),
        (tmp_path / "a\0b", "cannot be opened"),
        (tmp_path / ("x" * 5000), "cannot be opened"),
    ):
        with pytest.raises(CheckpointError, match=said):
            checkpoints.load(path)


_PEAK = """
import resource, sys
from pathlib import Path
from facelab import checkpoints
from facelab.errors import CheckpointError
def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10
for path in sorted(Path(sys.argv[1]).iterdir()):
    before = peak()
    try:
        checkpoints.load(path)
    except CheckpointError:
        pass
    if peak() - before > 300:
        sys.exit(f"{path.name}: {peak() - before} MB")
"""


@pytest.mark.slow
def test_that_no_lie_takes_memory(tmp_path: Path) -> None:
    """In a process of its own, as only its peak can be measured."""
    for lie, body in LIES.items():
        (tmp_path / f"{lie}.pkl".replace("/", " ")).write_bytes(snapshot_with(body))
    for kind, make in ARCHIVES.items():
        (tmp_path / f"{kind}.pt").write_bytes(make())
    for kind, raw in SAFETENSORS.items():
        (tmp_path / f"{kind}.safetensors").write_bytes(raw)
    done = subprocess.run([sys.executable, "-c", _PEAK, str(tmp_path)], capture_output=True, text=True, timeout=250)
    assert done.returncode == 0, done.stderr[-2000:]


# --- mutations ---------------------------------------------------------------------------------------------------

_VALID = {
    "nvidia": writers.pickled(writers.snapshot(examples.stylegan2()), 4),
    "nvidia, protocol 2": writers.pickled(writers.snapshot(examples.stylegan3()), 2),
    "tensorflow": writers.pickled(writers.tf_tuple(writers.tf_stylegan1(examples.stylegan1())), 3),  # type: ignore[arg-type]
}


def _torch(legacy: bool) -> bytes:
    buffer = io.BytesIO()
    state = writers.rosinality_training(examples.stylegan2())  # type: ignore[arg-type]
    torch.save(state, buffer, _use_new_zipfile_serialization=not legacy)
    return buffer.getvalue()


_VALID |= {"torch zip": _torch(False), "torch legacy": _torch(True)}
_INSTRUCTIONS = bytes(unpickle._ACTIONS)


@st.composite
def mutated(draw: st.DrawFn) -> bytes:
    contents = bytearray(_VALID[draw(st.sampled_from(sorted(_VALID)))])
    for _ in range(draw(st.integers(1, 4))):
        # Programs are mostly numbers; half of the changes go where instructions are dense, near the ends.
        near = draw(st.sampled_from([len(contents), 3000]))
        place = draw(st.integers(0, min(near, len(contents)) - 1))
        place = draw(st.sampled_from([place, len(contents) - 1 - place]))
        piece = draw(st.one_of(st.binary(min_size=1, max_size=9), st.sampled_from([bytes([i]) for i in _INSTRUCTIONS])))
        match draw(st.sampled_from(["set", "insert", "delete", "cut", "repeat"])):
            case "set":
                contents[place : place + len(piece)] = piece
            case "insert":
                contents[place:place] = piece
            case "delete":
                del contents[place : place + len(piece)]
            case "cut":
                del contents[place:]
            case _:
                contents[place:place] = contents[place : place + 500]
        contents = contents or bytearray(b"\x80")
    return bytes(contents)


def _survives(contents: bytes, path: Path) -> None:
    path.write_bytes(contents)
    started = time.process_time()
    sentence = ""
    try:
        checkpoints.load(path)
    except CheckpointError as error:
        sentence = str(error)
    assert "\n" not in sentence
    # The net for what formats do not check themselves should stay empty.
    assert "unknown variant: " not in sentence
    assert time.process_time() - started < 5


_SETTINGS = settings(
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow, HealthCheck.data_too_large],
    phases=[Phase.explicit, Phase.generate],
    derandomize=True,
    database=None,
)


@pytest.mark.slow
@settings(_SETTINGS, max_examples=150)
@given(contents=mutated())
def test_that_a_mutated_file_is_read_or_refused(contents: bytes, tmp_path: Path) -> None:
    _survives(contents, tmp_path / "a")


@pytest.mark.slow
@settings(_SETTINGS, max_examples=3000)
@given(contents=mutated())
def test_that_many_mutated_files_are_read_or_refused(contents: bytes, tmp_path: Path) -> None:
    _survives(contents, tmp_path / "a")


_ANYTHING: tuple[Any, ...] = (
    None, True, -1, 0, 1, 3, 2**40, 10**400, 1.5, math.inf, math.nan, "x", "b4", "resnet", b"x", [], [1], [None], {}, (), (1, 2),
    np.float64("inf"), np.int64(-7), np.zeros(3), np.zeros((2, 2), np.float32), np.zeros((0, 4)), np.ones((4, 4), np.int32),
    torch.zeros(2), torch.zeros(()), torch.full((3,), math.nan), torch.zeros(1, 1, 1, 1), torch.ones(2, dtype=torch.int64),
)  # fmt: skip
_TREES: dict[str, Callable[[], Any]] = {
    "nvidia StyleGAN2": lambda: writers.snapshot(examples.stylegan2("labels")),
    "nvidia StyleGAN3": lambda: writers.snapshot(examples.stylegan3("r")),
    "tensorflow StyleGAN1": lambda: writers.tf_stylegan1(examples.stylegan1("labels")),  # type: ignore[arg-type]
    "tensorflow StyleGAN2": lambda: writers.tf_stylegan2(examples.stylegan2("labels beside z")),  # type: ignore[arg-type]
    "rosinality": lambda: writers.rosinality_training(examples.stylegan2()),  # type: ignore[arg-type]
    "facelab": lambda: copy.deepcopy(examples.stylegan3().architecture),
}


def _places(tree: Any, found: list[tuple[Any, Any]]) -> list[tuple[Any, Any]]:
    """Every (container, key) of what a file holds."""
    if isinstance(tree, writers.Persistent | writers.TFNetwork):
        _places(tree.state, found)
    elif isinstance(tree, dict | list):
        for key in list(tree) if isinstance(tree, dict) else range(len(tree)):
            found.append((tree, key))
            _places(tree[key], found)
    return found


def _with_anything(data: st.DataObject, tmp_path: Path) -> None:
    kind = data.draw(st.sampled_from(sorted(_TREES)))
    tree = _TREES[kind]()
    for _ in range(data.draw(st.integers(1, 2))):
        places = _places(tree, [])
        container, key = places[data.draw(st.integers(0, len(places) - 1))]
        if data.draw(st.booleans()) or isinstance(container, list):
            container[key] = data.draw(st.sampled_from(_ANYTHING))
        else:
            del container[key]
    if kind == "facelab":
        plain = json.dumps(tree, default=str)
        _survives(
            safetensors({"__metadata__": META | {"family": "stylegan3-t", "architecture": plain}}), tmp_path / "a"
        )
    else:
        _survives(writers.pickled(tree), tmp_path / "a")


@pytest.mark.slow
@settings(_SETTINGS, max_examples=60)
@given(data=st.data())
def test_that_any_field_of_a_file_may_be_anything(data: st.DataObject, tmp_path: Path) -> None:
    _with_anything(data, tmp_path)


@pytest.mark.slow
@settings(_SETTINGS, max_examples=1500)
@given(data=st.data())
def test_that_any_field_of_many_files_may_be_anything(data: st.DataObject, tmp_path: Path) -> None:
    _with_anything(data, tmp_path)


@pytest.mark.slow
@settings(_SETTINGS, max_examples=300)
@given(
    body=st.lists(st.one_of(st.sampled_from([bytes([i]) for i in _INSTRUCTIONS]), st.binary(max_size=6)), max_size=60)
)
def test_that_arbitrary_programs_end(body: list[bytes], tmp_path: Path) -> None:
    _survives(program(b"".join(body)), tmp_path / "a")


def test_that_arrays_of_a_file_cannot_be_written_through() -> None:
    box: Any = Machine(memoryview(program(tensor([1], [1])))).run()
    assert not box.array.flags.writeable
