"""The plane of faces: three codes, or codes and directions, span it, or all seeds lie on it; every point of it is a code."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar, TypeAlias

import numpy as np

from facelab.errors import BadArgument
from facelab.latent.code import Code, Direction, Floats, Space, Value, digest_of, seed_to_z

# The farthest point that a plane is asked for, in its units: beyond it float32 tells neighbours apart no more.
FAR = 1e5
ROW = 1000  # seeds in a row of the lattice: the one above seed 7 is seed 1007
SEEDS = 2**31  # of the lattice; after the last comes the first


@dataclass(frozen=True, kw_only=True, eq=False)
class Plane(Value):
    """An endless flat piece of Z, W or W+.

    The point (u, v) is origin + u (x - origin) + v (y - origin); where an axis is a direction it is origin + u sigma direction.
    In Z the length of a code does not matter (the mapping network normalises it), so a plane there is a patch of a sphere.
    In W+ a direction moves the layers that it is meant for, in W all.

    Attributes:
        origin: the face at (0, 0).
        x, y: the faces at (1, 0) and (0, 1), or directions of which one unit is one sigma.
    """

    origin: Code
    x: Code | Direction
    y: Code | Direction

    def __post_init__(self) -> None:
        for axis in (self.x, self.y):
            if axis.generator != self.origin.generator:
                raise BadArgument("the three anchors of a plane belong to one generator")
            if isinstance(axis, Code) and axis.space != self.origin.space:
                raise BadArgument(
                    f"the anchors of a plane lie in one space; {axis.space} and {self.origin.space} were given"
                )
            if isinstance(axis, Direction) and self.space == "z":
                raise BadArgument("directions live in W: use a plane in W or W+")
            shape = axis.array.shape if isinstance(axis, Code) else axis.vector.shape
            if shape != self.origin.array.shape and not (
                isinstance(axis, Direction) and shape == self.origin.array.shape[-1:]
            ):
                raise BadArgument(
                    f"the anchors of a plane have one shape; {shape} and {self.origin.array.shape} were given"
                )

    @property
    def space(self) -> Space:
        return self.origin.space

    @property
    def generator(self) -> str:
        return self.origin.generator

    @cached_property
    def digest(self) -> str:
        return digest_of([self.origin.digest, self.x.digest, self.y.digest])

    @cached_property
    def _axes(self) -> tuple[Floats, Floats]:
        return self._axis(self.x), self._axis(self.y)

    def _axis(self, end: Code | Direction) -> Floats:
        if isinstance(end, Code):
            return np.asarray(end.array - self.origin.array, np.float32)
        step = np.array(np.broadcast_to(end.vector * np.float32(end.sigma), self.origin.array.shape), np.float32)
        if end.layers is not None and self.space == "w+":
            step[: end.layers[0]] = 0
            step[end.layers[1] :] = 0
        return step

    def at(self, u: float, v: float) -> Code:
        """The code at (u, v). The three anchors come back as they are, with their own noise and origin.

        Raises:
            BadArgument: the point is not finite, or too far out for numbers.
        """
        if not (abs(u) <= FAR and abs(v) <= FAR):
            raise BadArgument(f"a point of a plane lies within {FAR:g} units of its origin")
        for corner, end in (((0.0, 0.0), self.origin), ((1.0, 0.0), self.x), ((0.0, 1.0), self.y)):
            if (u, v) == corner and isinstance(end, Code):
                return end
        across, up = self._axes
        array = self.origin.array + np.float32(u) * across + np.float32(v) * up
        return Code(
            array=array,
            space=self.space,
            generator=self.generator,
            origin={"plane": [round(float(u), 6), round(float(v), 6)]},
            label=self.origin.label,
        )

    def coordinates(self, code: Code) -> tuple[float, float]:
        """The point of the plane nearest to a code, by least squares; a code of W counts as the same in every layer.

        Raises:
            BadArgument: the code has another generator or size, or only one of the two lies in Z.
        """
        if code.generator != self.generator or (code.space == "z") != (self.space == "z"):
            raise BadArgument(
                f"a face in {code.space} has no place on a plane in {self.space}, or belongs to another generator"
            )
        array = code.array.mean(0) if code.space == "w+" and self.space == "w" else code.array
        if array.shape not in (self.origin.array.shape, self.origin.array.shape[-1:]):
            raise BadArgument(f"a code of the shape {array.shape} has no place on a plane of {self.origin.array.shape}")
        across, up = (a.ravel().astype(np.float64) for a in self._axes)
        away = (array - self.origin.array).ravel().astype(np.float64)
        (u, v), *_ = np.linalg.lstsq(np.stack([across, up], 1), away, rcond=None)
        return float(u), float(v)

    def to_json(self) -> dict[str, Any]:
        return {"origin": self.origin.to_json(), "x": self.x.to_json(), "y": self.y.to_json()}

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> Plane:
        """The plane of ``to_json``.

        Raises:
            BadArgument: the value is not one.
        """
        if not isinstance(value, dict):
            raise BadArgument("this is not a plane")
        x, y = (
            Direction.from_json(e) if isinstance(e, dict) and "vector" in e else Code.from_json(e)
            for e in (value.get("x"), value.get("y"))
        )
        return cls(origin=Code.from_json(value.get("origin")), x=x, y=y)


@dataclass(frozen=True, kw_only=True, eq=False)
class Lattice(Value):
    """All seeds, side by side, as a surface in Z.

    At the whole point (i, j) lies the face of the seed ``first + i + ROW * j``, exactly; between four of them their z are blended
    bilinearly. The mapping network brings every z to one length, so that a square between four seeds is a patch of the sphere.

    Attributes:
        first: the seed at (0, 0).
        z_dim: Z of the generator.
        generator: SHA-256 of it.
        label: the class of a conditional generator.
    """

    first: int
    z_dim: int
    generator: str
    label: int | None = None

    space: ClassVar[Space] = "z"

    def __post_init__(self) -> None:
        whole = all(type(n) is int for n in (self.first, self.z_dim))
        if not whole or not 0 <= self.first < SEEDS or not 0 < self.z_dim <= 1 << 16:
            raise BadArgument(f"a lattice of seeds begins at a seed below {SEEDS:,}, in Z")

    @property
    def origin(self) -> Code:
        return self.at(0, 0)

    @property
    def x(self) -> Code:
        return self.at(1, 0)

    @property
    def y(self) -> Code:
        return self.at(0, 1)

    @cached_property
    def digest(self) -> str:
        return digest_of(self.to_json())

    def seed(self, i: int, j: int) -> int:
        """The seed at a whole point."""
        return (self.first + i + ROW * j) % SEEDS

    def at(self, u: float, v: float) -> Code:
        """The code at (u, v).

        Raises:
            BadArgument: the point is not finite, or too far out for numbers.
        """
        if not (abs(u) <= FAR and abs(v) <= FAR):
            raise BadArgument(f"a point of a plane lies within {FAR:g} units of its origin")
        i, j = int(np.floor(u)), int(np.floor(v))
        du, dv = u - i, v - j
        if not du and not dv:
            return Code.from_seed(self.seed(i, j), self.z_dim, self.generator, self.label)
        shares = {(0, 0): (1 - du) * (1 - dv), (1, 0): du * (1 - dv), (0, 1): (1 - du) * dv, (1, 1): du * dv}
        z = sum(
            np.float32(share) * seed_to_z(self.seed(i + a, j + b), self.z_dim)
            for (a, b), share in shares.items()
            if share
        )
        return Code(
            array=np.asarray(z, np.float32), space="z", generator=self.generator, label=self.label,
            origin={"plane": [round(float(u), 6), round(float(v), 6)]},
        )  # fmt: skip

    def coordinates(self, code: Code) -> tuple[float, float]:
        """The point at which a seed lies, or at which a code of this lattice was taken.

        Raises:
            BadArgument: the code is neither.
        """
        seed, point = code.origin.get("seed"), code.origin.get("plane")
        if code.space != "z" or code.generator != self.generator or code.array.size != self.z_dim:
            raise BadArgument("this face has no place among the seeds")
        if type(seed) is int and 0 <= seed < SEEDS:
            row, column = divmod((seed - self.first + SEEDS // 2) % SEEDS - SEEDS // 2 + ROW // 2, ROW)
            found = float(column - ROW // 2), float(row)
        elif isinstance(point, list) and len(point) == 2 and all(isinstance(n, int | float) for n in point):
            found = float(point[0]), float(point[1])
        else:
            raise BadArgument("this face has no place among the seeds")
        if max(map(abs, found)) > FAR or not np.allclose(self.at(*found).array, code.array, atol=1e-4):
            raise BadArgument("this face has no place among the seeds")
        return found

    def to_json(self) -> dict[str, Any]:
        value: dict[str, Any] = {"lattice": self.first, "z_dim": self.z_dim, "generator": self.generator}
        return value if self.label is None else {**value, "label": self.label}

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> Lattice:
        """The lattice of ``to_json``.

        Raises:
            BadArgument: the value is not one.
        """
        label = value.get("label")
        if not isinstance(value.get("generator"), str) or not (label is None or type(label) is int):
            raise BadArgument("this is not a lattice of seeds")
        return cls(first=value["lattice"], z_dim=value.get("z_dim", 0), generator=value["generator"], label=label)


Surface: TypeAlias = Plane | Lattice  # what tiles are drawn of


def surface_from_json(value: object) -> Surface:
    """The plane or lattice of its ``to_json``.

    Raises:
        BadArgument: the value is neither.
    """
    if not isinstance(value, dict):
        raise BadArgument("this is not a plane")
    return Lattice.from_json(value) if "lattice" in value else Plane.from_json(value)
