"""A latent code and a direction: immutable arrays that know their space and their generator."""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from types import MappingProxyType
from typing import Any, Literal, TypeAlias

import numpy as np
import numpy.typing as npt

from facelab.errors import BadArgument

Floats: TypeAlias = npt.NDArray[np.float32]
Space: TypeAlias = Literal["z", "w", "w+"]
SPACES: tuple[Space, ...] = ("z", "w", "w+")
_NDIM = {"z": 1, "w": 1, "w+": 2}
# 2^24 numbers are 450 codes of 18 x 512 with room to spare, or the noise of a 1024 px generator.
_MAX_NUMBERS = 1 << 24


def frozen(array: npt.ArrayLike, name: str = "array") -> Floats:
    """A read-only float32 copy, finite throughout.

    Raises:
        BadArgument: it does not hold numbers, or one that is not finite in float32.
    """
    try:
        with np.errstate(over="ignore"):
            copy = np.array(array, np.float32, order="C")
    except (TypeError, ValueError) as error:
        raise BadArgument(f"{name} is not an array of numbers") from error
    if not np.isfinite(copy).all():
        raise BadArgument(f"{name} holds numbers that are not finite")
    copy.flags.writeable = False
    return copy


_TYPES: dict[str, npt.DTypeLike] = {"f32": "<f4", "f16": "<f2"}


def pack(array: Floats) -> dict[str, Any]:
    """An array as JSON: its shape, and base64 of its little-endian bytes: as float16 where that loses nothing, else float32."""
    with np.errstate(over="ignore"):
        half = array.astype("<f2")
    kind, data = ("f16", half) if np.array_equal(half.astype(np.float32), array) else ("f32", array.astype("<f4"))
    return {"shape": list(array.shape), kind: base64.b64encode(data.tobytes()).decode("ascii")}


def unpack(value: object, name: str = "array") -> Floats:
    """The array of ``pack``; checks the shape before it takes memory.

    Raises:
        BadArgument: the value is not what ``pack`` writes.
    """
    packed = expect(value, dict, name)
    shape, kind = packed.get("shape"), next((k for k in _TYPES if k in packed), "f32")
    text = expect(packed.get(kind), str, name)
    if (
        not isinstance(shape, list)
        or len(shape) > 3
        or not all(type(n) is int and 0 < n <= _MAX_NUMBERS for n in shape)
    ):
        raise BadArgument(f"{name} has an impossible shape")
    count, size = math.prod(shape), np.dtype(_TYPES[kind]).itemsize
    if count > _MAX_NUMBERS or len(text) != 4 * math.ceil(size * count / 3):
        raise BadArgument(f"{name} has another length than its shape says")
    try:
        data = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise BadArgument(f"{name} is not base64") from error
    if len(data) != size * count:
        raise BadArgument(f"{name} has another length than its shape says")
    return frozen(np.frombuffer(data, _TYPES[kind]).reshape(shape), name)


def seed_to_z(seed: int, z_dim: int) -> Floats:
    """The z of a seed, [Z]: ``RandomState(seed).randn(1, z_dim)`` as NVIDIA's scripts draw it, so their seeds give their faces."""
    if not 0 <= seed < 2**32:
        raise BadArgument(f"a seed lies between 0 and {2**32 - 1}, not {seed!s:.60}")
    if not 0 < z_dim <= 65536:
        raise BadArgument(f"a z has 1 to 65536 numbers, not {z_dim!s:.60}")
    return frozen(np.random.RandomState(seed).randn(1, z_dim)[0], "z")


def digest_of(value: Any) -> str:
    """SHA-256 over canonical JSON."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()


class Value:
    """Equality and hash by digest, for frozen dataclasses that hold arrays."""

    @property
    def digest(self) -> str:
        raise NotImplementedError

    def __eq__(self, other: object) -> bool:
        return type(other) is type(self) and isinstance(other, Value) and other.digest == self.digest

    def __hash__(self) -> int:
        return hash(self.digest)


def _plain(origin: Mapping[str, Any]) -> Mapping[str, Any]:
    try:
        written = json.dumps(dict(origin), allow_nan=False)
    except (TypeError, ValueError, RecursionError) as error:
        raise BadArgument("an origin is plain JSON") from error
    if len(written) > 65536:
        raise BadArgument("an origin is too long")
    return MappingProxyType(json.loads(written))


@dataclass(frozen=True, kw_only=True, eq=False)
class Code(Value):
    """One face of one generator, as a point of its latent space.

    Attributes:
        array: float32, read-only: z [Z], w [C], or w+ [L, C] (L layers of C channels).
        space: "z", "w" or "w+".
        generator: SHA-256 of the generator that the code belongs to.
        origin: where it came from, plain JSON: ``{"seed": 7}``, ``{"photo": "name"}``, ``{"expression": "a - b"}``. Not part of equality.
        noise: optimised noise, one [r, r] array per layer, coarse to fine, or None.
        label: the class of a conditional generator, for z codes.
    """

    array: Floats
    space: Space
    generator: str
    origin: Mapping[str, Any] = field(default_factory=dict)
    noise: tuple[Floats, ...] | None = None
    label: int | None = None

    def __post_init__(self) -> None:
        if self.space not in _NDIM:
            raise BadArgument(f"a code lies in z, w or w+, not {self.space!r}")
        array = frozen(self.array, "the code")
        if array.ndim != _NDIM[self.space] or array.size == 0:
            raise BadArgument(f"a code in {self.space} has {_NDIM[self.space]} dimensions, not the shape {array.shape}")
        text(self.generator, "a generator")
        if self.label is not None and not 0 <= self.label < 1 << 20:
            raise BadArgument("a label is a small number")
        object.__setattr__(self, "array", array)
        object.__setattr__(self, "origin", _plain(self.origin))
        if self.noise is not None:
            object.__setattr__(self, "noise", tuple(frozen(n, "the noise") for n in self.noise) or None)
            if any(n.ndim != 2 or not n.size for n in self.noise or ()) or len(self.noise or ()) > 64:
                raise BadArgument("noise is one [r, r] array per layer")

    @classmethod
    def from_seed(cls, seed: int, z_dim: int, generator: str, label: int | None = None) -> Code:
        """The face of a seed."""
        return cls(
            array=seed_to_z(seed, z_dim), space="z", generator=generator, origin={"seed": int(seed)}, label=label
        )

    @cached_property
    def digest(self) -> str:
        h = hashlib.sha256(json.dumps([self.space, self.array.shape, self.generator, self.label]).encode())
        h.update(self.array.tobytes())
        for n in self.noise or ():
            h.update(str(n.shape).encode())
            h.update(n.tobytes())
        return h.hexdigest()

    def to_json(self) -> dict[str, Any]:
        """Plain JSON. The z of a seed is written as the seed alone."""
        value: dict[str, Any] = {"space": self.space, "generator": self.generator, "origin": dict(self.origin)}
        if self.label is not None:
            value["label"] = self.label
        seed: Any = self.origin.get("seed")
        sown = self.space == "z" and type(seed) is int and 0 <= seed < 2**32
        if sown and np.array_equal(self.array, seed_to_z(seed, self.array.size)):
            value["z_dim"] = self.array.size
        else:
            value["array"] = pack(self.array)
        if self.noise is not None:
            value["noise"] = [pack(n) for n in self.noise]
        return value

    @classmethod
    def from_json(cls, value: object) -> Code:
        """The code of ``to_json``.

        Raises:
            BadArgument: the value is not what ``to_json`` writes.
        """
        v = expect(value, dict, "a code")
        origin = expect(v.get("origin", {}), dict, "an origin")
        label = v.get("label")
        if label is not None and type(label) is not int:
            raise BadArgument("a label is a small number")
        noise = v.get("noise")
        if noise is not None:
            noise = expect(noise, list, "the noise")
            if len(noise) > 64:
                raise BadArgument("too many noise maps")
        if "z_dim" in v:
            z_dim, seed = v["z_dim"], origin.get("seed")
            if type(z_dim) is not int or type(seed) is not int or v.get("space") != "z":
                raise BadArgument("a seed code names a seed and a small z_dim")
            array = seed_to_z(seed, z_dim)
        else:
            array = unpack(v.get("array"), "the code")
        space = v.get("space")
        if space not in SPACES:
            raise BadArgument("a code lies in z, w or w+")
        return cls(
            array=array, space=space, generator=expect(v.get("generator"), str, "a generator"), origin=origin, label=label,
            noise=None if noise is None else tuple(unpack(n, "a noise map") for n in noise),
        )  # fmt: skip


@dataclass(frozen=True, kw_only=True, eq=False)
class Direction(Value):
    """A direction in W or W+, with the length of one sigma.

    Attributes:
        name: what a person calls it.
        vector: unit vector, [C] for W (the same in every layer) or [L, C] for W+.
        sigma: standard deviation of this generator's codes along it; an amount of 1 moves by so much.
        generator: SHA-256 of the generator.
        layers: the half-open range of layers that it is meant for, or None for all.
        method: where it came from: "pair", "groups", "sefa", "pca", "file", "factor".
    """

    name: str
    vector: Floats
    sigma: float
    generator: str
    layers: tuple[int, int] | None = None
    method: str = "pair"

    def __post_init__(self) -> None:
        vector = frozen(self.vector, "the direction")
        if vector.ndim not in (1, 2) or not np.any(vector):
            raise BadArgument(f"a direction is a vector [C] or [L, C] other than zero, not the shape {vector.shape}")
        if not 0 < self.sigma <= 1e6:
            raise BadArgument("the sigma of a direction is a positive number")
        for words, what in (
            (self.name, "a direction's name"),
            (self.generator, "a generator"),
            (self.method, "a method"),
        ):
            text(words, what)
        object.__setattr__(self, "vector", vector)
        # 2 and 2.0 are one sigma: the digest is over the text.
        object.__setattr__(self, "sigma", float(self.sigma))
        object.__setattr__(self, "layers", span(self.layers))

    @cached_property
    def digest(self) -> str:
        return digest_of(self.to_json())

    def to_json(self) -> dict[str, Any]:
        return {
            "name": self.name, "vector": pack(self.vector), "sigma": self.sigma, "generator": self.generator,
            "layers": None if self.layers is None else list(self.layers), "method": self.method,
        }  # fmt: skip

    @classmethod
    def from_json(cls, value: object) -> Direction:
        v = expect(value, dict, "a direction")
        return cls(
            name=expect(v.get("name"), str, "a direction's name"), vector=unpack(v.get("vector"), "the direction"),
            sigma=number(v.get("sigma"), "sigma"), generator=expect(v.get("generator"), str, "a generator"),
            layers=layer_range(v.get("layers")), method=expect(v.get("method", "pair"), str, "a method"),
        )  # fmt: skip


def expect(value: object, kind: type, name: str) -> Any:
    """The value, when it is of a plain JSON kind.

    Raises:
        BadArgument: it is not.
    """
    if not isinstance(value, kind):
        raise BadArgument(f"{name} is not what facelab writes")
    return value


def text(value: object, name: str) -> str:
    """A short text of a file, checked."""
    checked: str = expect(value, str, name)
    if len(checked) > 1024:
        raise BadArgument(f"{name} is too long")
    return checked


def number(value: object, name: str) -> float:
    """A finite number of a file, checked."""
    # Compared first: an integer of 400 digits has no float to ask whether it is finite.
    if isinstance(value, bool) or not isinstance(value, int | float) or not abs(value) <= 1e6:
        raise BadArgument(f"{name} is not a finite number")
    return float(value)


def span(layers: tuple[int, int] | None) -> tuple[int, int] | None:
    """A half-open range of layers, checked; None is all.

    Raises:
        BadArgument: it is none.
    """
    if layers is None:
        return None
    if len(layers) != 2 or not 0 <= layers[0] < layers[1] <= 64:
        raise BadArgument(f"a range of layers is (first, last + 1), not {layers!s:.60}")
    return int(layers[0]), int(layers[1])


def layer_range(value: object) -> tuple[int, int] | None:
    """A half-open range of layers of a file, checked."""
    if value is None:
        return None
    pair = expect(value, list, "a layer range")
    if len(pair) != 2 or not all(type(n) is int for n in pair):
        raise BadArgument("a layer range is [first, last + 1]")
    return span((pair[0], pair[1]))
