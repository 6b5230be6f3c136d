"""Files of latents and directions as people exchange them, and such as only pretend to be."""

from __future__ import annotations

import io
import json
import pickle
import struct
import time
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from facelab.checkpoints.latents import read_arrays
from facelab.errors import LatentError

W = np.random.RandomState(0).randn(3, 18, 512).astype(np.float32)


def npy(array: Any, **options: Any) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, array, **options)
    return buffer.getvalue()


def npz(compressed: bool = False, **arrays: Any) -> bytes:
    buffer = io.BytesIO()
    (np.savez_compressed if compressed else np.savez)(buffer, **arrays)
    return buffer.getvalue()


def pt(value: Any, *, legacy: bool = False) -> bytes:
    buffer = io.BytesIO()
    torch.save(value, buffer, _use_new_zipfile_serialization=not legacy)
    return buffer.getvalue()


def objects(value: Any) -> Any:
    box = np.empty((), object)
    box[()] = value
    return box


T = torch.from_numpy(W)
FILES: dict[str, tuple[bytes, dict[str, Any]]] = {
    "projected_w.npz": (npz(w=W[:1]), {"w": W[:1]}),
    "dlatents.npz, packed": (npz(True, dlatents=np.zeros((300, 18, 512), np.float32)), {"dlatents": np.zeros((300, 18, 512))}),
    "puzer.npy": (npy(W[0]), {"": W[0]}),
    "half precision": (npy(W.astype(np.float16)), {"": W.astype(np.float16)}),
    "column order": (npy(np.asfortranarray(W[0])), {"": W[0]}),
    "big-endian": (npy(W[0].astype(">f8")), {"": W[0]}),
    "e4e latents.pt": (pt(T), {"": W}),
    "an old .pt": (pt(T[0], legacy=True), {"": W[0]}),
    "rosinality projector": (
        pt({"a.png": {"img": T[0, :3, :4], "latent": T[0], "noise": [T[:1, :1, :4], T[:1, :1, :8]]}}),
        {"img": W[0, :3, :4], "latent": W[0]},
    ),
    "rosinality projector, two photographs": (
        pt({"a.png": {"latent": T[0], "noise": []}, "b.png": {"latent": T[1], "noise": []}}),
        {"latent": W[:2]},
    ),
    "one row for all layers": (pt(T[0, :1].expand(18, 512)), {"": np.repeat(W[0, :1], 18, 0)}),
    "StyleFlow": (pickle.dumps({"Latent": [W[:1], W[1:2]]}), {"Latent": W[:2, None]}),
    "ReStyle": (npy(objects({"a.jpg": [W[0], W[1]], "b.jpg": [W[1], W[2]]})), {"a.jpg": W[:2], "b.jpg": W[1:]}),
    "lists of arrays": (npy(np.array([W[0, 0], None, W[0, 1]], object)), {"": W[0, :2]}),
    "JSON lines": ("\n".join(json.dumps(row.tolist()) for row in W[:, :2, :3]).encode(), {"": W[:, :2, :3]}),
    "GANSpace": (npz(lat_comp=W[:2, None, 0], lat_mean=W[:1, 0], lat_stdev=W[0, 0, :2]), {"lat_comp": W[:2, None, 0], "lat_mean": W[:1, 0], "lat_stdev": W[0, 0, :2]}),
    "ffhq_pca.pt": (pt({"mean": T[0, :1], "comp": T[:2, :1], "std": T[0, 0, :2]}), {"mean": W[0, :1], "comp": W[:2, :1], "std": W[0, 0, :2]}),
    "factor.pt": (pt({"ckpt": "g.pt", "eigvec": T[0, :3, :3]}), {"eigvec": W[0, :3, :3]}),
    "a text array beside": (npz(w=W[0], recipes=np.array(["x" * 20_000])), {"w": W[0], "recipes": np.array(["x" * 20_000])}),
}  # fmt: skip


@pytest.mark.parametrize("kind", FILES)
def test_that_arrays_are_read_whatever_wrote_them(kind: str, tmp_path: Path) -> None:
    contents, expected = FILES[kind]
    path = tmp_path / "file"
    path.write_bytes(contents)
    found = read_arrays(path)
    assert found.keys() == expected.keys()
    for name, array in expected.items():
        assert found[name].shape == np.shape(array)
        assert np.array_equal(found[name], np.asarray(array).astype(found[name].dtype))


def _liar(shape: str, descr: str = "<f4") -> bytes:
    header = f"{{'descr': '{descr}', 'fortran_order': False, 'shape': {shape}, }}".encode()
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header + bytes(16)


class _Evil:
    def __reduce__(self) -> tuple[Any, ...]:
        import os

        return os.system, ("touch facelab_was_here",)


def _packed(size: int, stated: int | None = None) -> bytes:
    """An archive whose one entry unpacks to ``size`` bytes, and may state another size."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("w.npy", bytes(size))
    raw = buffer.getvalue()
    return raw if stated is None else raw.replace(struct.pack("<I", size), struct.pack("<I", stated))


PICKLED = npy(objects(1))
HOSTILE = {
    "declares 4 TB": _liar("(1099511627776,)"),
    "declares more than it holds": _liar("(5,)"),
    "overflows": _liar("(4294967296, 4294967296, 4294967296)"),
    "a shape of endless digits": _liar("(" + "9" * 5000 + ",)"),
    "a shape of a call": _liar("(__import__('os').system('true'),)"),
    "many dimensions": _liar("(" + "1," * 40 + ")"),
    "a composed type": _liar("(1,)", "V16"),
    "a header without end": b"\x93NUMPY\x01\x00\xff\xff{",
    "version 9": b"\x93NUMPY\x09\x00" + bytes(20),
    "the mark alone": b"\x93NUMPY",
    "objects that call": npy(objects(_Evil())),
    "objects cut off": PICKLED[:-3],
    "a pickle that calls": pickle.dumps({"w": _Evil()}),
    "a .pt that calls": pt({"w": _Evil()}),
    "unpacks to gigabytes": _packed(200 << 20),
    "unpacks to more than stated": _packed(100_000, 1000),
    "unpacks to less than stated": _packed(1000, 100_000),
    "an archive cut off": npz(w=W)[:5000],
    "JSON without end": b"[" * 100_000,
    "JSON that is no number": b'["a"]\n',
    "JSON of endless numbers": b"[1e999, NaN]\n",
    "JSON cut off": json.dumps(W[0, :2].tolist()).encode()[:-40],
    "JSON of two shapes": b"[[1, 2]]\n[[1]]\n",
    "JSON of one endless line": b"[" + b"1," * (3 << 20),
    "one array a thousand times": pickle.dumps([np.zeros(100_000, np.float32)] * 1000),
    "tables in tables": pickle.dumps([{i: i for i in range(900)}] * 900),
    "a picture": b"\x89PNG\r\n\x1a\n" + bytes(50),
    "empty": b"",
}  # fmt: skip


@pytest.mark.parametrize("kind", HOSTILE)
def test_that_a_file_that_only_pretends_is_refused(kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "codes"
    path.write_bytes(HOSTILE[kind])
    started = time.process_time()
    with pytest.raises(LatentError) as caught:
        read_arrays(path)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) > 15
    assert time.process_time() - started < 5
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.slow
@settings(
    deadline=None,
    max_examples=150,
    derandomize=True,
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
    phases=[Phase.generate],
)
@given(data=st.data())
def test_that_a_mutated_file_is_read_or_refused(data: st.DataObject, tmp_path: Path) -> None:
    contents = bytearray(FILES[data.draw(st.sampled_from(sorted(FILES)))][0])
    for _ in range(data.draw(st.integers(1, 4))):
        place = data.draw(st.integers(0, min(len(contents), 700) - 1))
        place = data.draw(st.sampled_from([place, len(contents) - 1 - place]))
        piece = data.draw(st.binary(max_size=6))
        contents[place : place + data.draw(st.integers(0, 6))] = piece
    path = tmp_path / "codes"
    path.write_bytes(contents)
    sentence = ""
    try:
        read_arrays(path)
    except LatentError as error:
        sentence = str(error)
    assert "\n" not in sentence


def test_that_a_refusal_names_the_file_and_what_it_asked_for(tmp_path: Path) -> None:
    path = tmp_path / "codes.pkl"
    path.write_bytes(HOSTILE["a pickle that calls"])
    with pytest.raises(LatentError, match=r"codes\.pkl.*\.system; facelab runs no code from files"):
        read_arrays(path)
