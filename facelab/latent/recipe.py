"""The recipe: everything that makes one picture, as one immutable value.

Order of operations: each source's code as W+ -> normalised blend per layer -> truncation psi per layer -> directions (after
psi, so that a slider keeps its sigmas) -> noise -> StyleGAN3's transform.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Literal, TypeAlias, get_args

import numpy as np

from facelab.errors import BadArgument
from facelab.latent.code import Code, Direction, Floats, Value, digest_of, expect, layer_range, number, span, text
from facelab.latent.spaces import blend, psi_by_layer, truncate

VERSION = 1
# A recipe with the optimised noise of a 1024 px generator is 15 MB; what is longer is not a recipe.
MAX_JSON = 64 << 20
MAX_SOURCES = 64
MAX_DIRECTIONS = 256
NoiseMode: TypeAlias = Literal["const", "none", "seed", "own"]


def _floats(values: Sequence[float], name: str) -> tuple[float, ...]:
    """Numbers as plain floats.

    Raises:
        BadArgument: there is none, or one that is not finite.
    """
    try:
        floats = tuple(float(x) for x in values)
    except (TypeError, ValueError, OverflowError) as error:
        raise BadArgument(f"{name} are numbers") from error
    if not 0 < len(floats) <= 64 or not all(abs(x) <= 1e6 for x in floats):
        raise BadArgument(f"{name} are 1 to 64 finite numbers up to a million")
    return floats


@dataclass(frozen=True)
class Noise:
    """How a picture's noise is made.

    Attributes:
        mode: "const", the maps stored in the generator; "none"; "seed", drawn anew from ``seed``; "own", the code's optimised maps.
        seed: for mode "seed".
        strength: factor on the generator's own strengths, one for all layers or one per noise map.
    """

    mode: NoiseMode = "const"
    seed: int = 0
    strength: tuple[float, ...] = (1.0,)

    def __post_init__(self) -> None:
        if self.mode not in get_args(NoiseMode) or not 0 <= self.seed < 2**32:
            raise BadArgument(f"noise is {', '.join(get_args(NoiseMode))}, with a seed from 0 to {2**32 - 1}")
        object.__setattr__(self, "strength", _floats(self.strength, "noise strengths"))


@dataclass(frozen=True)
class Transform:
    """StyleGAN3's input transform, as the picture moves.

    Attributes:
        x, y: shift, in picture widths, to the right and downwards.
        degrees: turn about the centre, counter-clockwise.
    """

    x: float = 0.0
    y: float = 0.0
    degrees: float = 0.0

    def __post_init__(self) -> None:
        for name, value in zip(
            ("x", "y", "degrees"), _floats((self.x, self.y, self.degrees), "a transform"), strict=True
        ):
            object.__setattr__(self, name, value)

    def matrix(self) -> Floats:
        """The 3x3 matrix [[c, s, x], [-s, c, y], [0, 0, 1]] by which the picture moves (1.0 is its width)."""
        c, s = math.cos(math.radians(self.degrees)), math.sin(math.radians(self.degrees))
        return np.array([[c, s, self.x], [-s, c, self.y], [0, 0, 1]], np.float32)


@dataclass(frozen=True)
class Applied:
    """A direction and how much of it.

    Attributes:
        direction: where to.
        amount: in sigmas of the direction.
        layers: half-open range of layers; None takes the direction's own.
    """

    direction: Direction
    amount: float
    layers: tuple[int, int] | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "amount", _floats((self.amount,), "an amount")[0])
        object.__setattr__(self, "layers", span(self.layers))


@dataclass(frozen=True, kw_only=True, eq=False)
class Recipe(Value):
    """What is drawn: sources mixed by layer, truncated, moved along directions, with noise.

    Attributes:
        sources: the codes, at least one; all of one generator.
        weights: for each source one weight for all layers, or one per layer.
        psi: truncation, one for all layers or one per layer.
        cutoff: with a single psi: the layers from here on keep psi 1.
        directions: added after truncation.
        noise: see `Noise`.
        transform: StyleGAN3 only; None keeps the file's own.
        tuning: SHA-256 of a pivotal tuning of the generator, or None.
    """

    sources: tuple[Code, ...]
    weights: tuple[tuple[float, ...], ...] = ()
    psi: tuple[float, ...] = (1.0,)
    cutoff: int | None = None
    directions: tuple[Applied, ...] = ()
    noise: Noise = Noise()
    transform: Transform | None = None
    tuning: str | None = None

    def __post_init__(self) -> None:
        if not 0 < len(self.sources) <= MAX_SOURCES:
            raise BadArgument(f"a recipe has 1 to {MAX_SOURCES} sources, not {len(self.sources)}")
        if len(self.directions) > MAX_DIRECTIONS:
            raise BadArgument(f"a recipe has up to {MAX_DIRECTIONS} directions, not {len(self.directions)}")
        if self.tuning is not None:
            text(self.tuning, "a tuning")
        if len({c.generator for c in self.sources} | {a.direction.generator for a in self.directions}) > 1:
            raise BadArgument("the faces of a recipe belong to different generators")
        if not self.weights:
            first = ((1.0,), *(((0.0,),) * (len(self.sources) - 1)))
            object.__setattr__(self, "weights", first)
        if len(self.weights) != len(self.sources):
            raise BadArgument("a recipe has weights for each source")
        if len(self.psi) > 1 and self.cutoff is not None:
            raise BadArgument("give a psi per layer or a cutoff, not both")
        # 1 and 1.0, or a float of numpy, are one number: digests are over the text.
        object.__setattr__(self, "weights", tuple(_floats(w, "weights") for w in self.weights))
        object.__setattr__(self, "psi", _floats(self.psi, "psi"))
        if self.cutoff is not None and not 0 <= self.cutoff <= 64:
            raise BadArgument("a truncation cutoff is a layer's number, from 0 to 64")

    @classmethod
    def of(cls, code: Code) -> Recipe:
        """The plain picture of one code, with its own noise where it has some."""
        return cls(sources=(code,), noise=Noise(mode="own") if code.noise else Noise())

    @property
    def generator(self) -> str:
        """SHA-256 of the generator that all codes belong to."""
        return self.sources[0].generator

    @cached_property
    def digest(self) -> str:
        return digest_of(
            self._shell()
            | {
                "sources": [c.digest for c in self.sources],
                "directions": [self._use(a, short=True) for a in self.directions],
            }
        )

    def change(self, **fields: Any) -> Recipe:
        """A copy with some fields changed."""
        return replace(self, **fields)

    def ws(self, mapped: Sequence[Floats], w_avg: Floats, num_ws: int) -> Floats:
        """The W+ code that is drawn, [L, C].

        Args:
            mapped: each source as W [C] or W+ [L, C], in the order of ``sources`` (z already through the mapping network).
            w_avg: mean of W, [C].
            num_ws: L.

        Raises:
            BadArgument: a code, a weight or a psi does not fit the generator.
        """
        full = np.stack([broadcast(m, num_ws, w_avg.size) for m in mapped])
        mixed = blend(full, np.stack([_per_layer(w, num_ws) for w in self.weights]))
        moved = truncate(mixed, w_avg, psi_by_layer(self.psi, num_ws, self.cutoff))
        for use in self.directions:
            first, last = use.layers or use.direction.layers or (0, num_ws)
            if last > num_ws:
                raise BadArgument(f"a direction is meant for layers {first} to {last - 1}; this generator has {num_ws}")
            step = broadcast(use.direction.vector, num_ws, w_avg.size) * np.float32(use.amount * use.direction.sigma)
            moved[first:last] += step[first:last]
        return moved

    # -- JSON -------------------------------------------------------------------------------------------------------
    def _shell(self) -> dict[str, Any]:
        return {
            "facelab": "recipe", "version": VERSION, "weights": [list(w) for w in self.weights], "psi": list(self.psi), "cutoff": self.cutoff,
            "noise": {"mode": self.noise.mode, "seed": self.noise.seed, "strength": list(self.noise.strength)},
            "transform": None if self.transform is None else [self.transform.x, self.transform.y, self.transform.degrees],
            "tuning": self.tuning,
        }  # fmt: skip

    @staticmethod
    def _use(use: Applied, short: bool = False) -> dict[str, Any]:
        direction: Any = use.direction.digest if short else use.direction.to_json()
        return {
            "direction": direction,
            "amount": use.amount,
            "layers": None if use.layers is None else list(use.layers),
        }

    def to_json(self) -> str:
        """The recipe as JSON text; `from_json` gives it back, equal."""
        value = self._shell() | {
            "sources": [c.to_json() for c in self.sources],
            "directions": [self._use(a) for a in self.directions],
        }
        return json.dumps(value, separators=(",", ":"), allow_nan=False)

    @classmethod
    def from_json(cls, source: str) -> Recipe:
        """Reads a recipe from a file that may be anybody's.

        Raises:
            BadArgument: not a recipe, of a newer version, too long, or with numbers that are not finite.
        """
        if len(source) > MAX_JSON:
            raise BadArgument("the recipe is too long to be one")
        try:
            v = expect(json.loads(source), dict, "the recipe")
        except BadArgument:
            raise
        except (ValueError, RecursionError) as error:  # ValueError also for an integer of thousands of digits
            raise BadArgument("the recipe is not readable: it is not whole JSON") from error
        if v.get("facelab") != "recipe":
            raise BadArgument("this is not a recipe of facelab")
        if type(v.get("version")) is not int or not 1 <= v["version"] <= VERSION:
            raise BadArgument(
                f"the recipe has version {v.get('version')!s:.20}; this facelab reads up to {VERSION}: update facelab"
            )
        sources = _list(v.get("sources"), MAX_SOURCES, "the sources")
        noise, transform, cutoff, tuning = (
            expect(v.get("noise", {}), dict, "the noise"),
            v.get("transform"),
            v.get("cutoff"),
            v.get("tuning"),
        )
        mode, seed = noise.get("mode", "const"), noise.get("seed", 0)
        if mode not in get_args(NoiseMode) or type(seed) is not int or not 0 <= seed < 2**32:
            raise BadArgument("the recipe's noise is not one that facelab knows")
        if cutoff is not None and type(cutoff) is not int:
            raise BadArgument("the recipe's cutoff is not a layer")
        directions = []
        for use in _list(v.get("directions", []), MAX_DIRECTIONS, "the directions"):
            d = expect(use, dict, "a direction")
            directions.append(
                Applied(
                    Direction.from_json(d.get("direction")),
                    number(d.get("amount"), "an amount"),
                    layer_range(d.get("layers")),
                )
            )
        move = None
        if transform is not None:
            values = _numbers(transform, 3, "the transform")
            if len(values) != 3:
                raise BadArgument("a transform is x, y and degrees")
            move = Transform(*values)
        return cls(
            sources=tuple(Code.from_json(c) for c in sources),
            weights=tuple(_numbers(w, 64, "the weights") for w in _list(v.get("weights", []), MAX_SOURCES, "the weights")),
            psi=_numbers(v.get("psi", [1.0]), 64, "psi"), cutoff=cutoff, directions=tuple(directions),
            noise=Noise(mode, seed, _numbers(noise.get("strength", [1.0]), 64, "the noise strength")), transform=move,
            tuning=tuning,
        )  # fmt: skip


def broadcast(code: Floats, num_ws: int, w_dim: int) -> Floats:
    """A W code [C] or W+ code [L, C] as [num_ws, C].

    Raises:
        BadArgument: the shape belongs to another generator.
    """
    if code.shape == (w_dim,):
        return np.broadcast_to(code, (num_ws, w_dim))
    if code.shape == (num_ws, w_dim):
        return code
    raise BadArgument(
        f"a code of shape {list(code.shape)} does not fit this generator, which takes [{num_ws}, {w_dim}] or [{w_dim}]"
    )


def _per_layer(weights: tuple[float, ...], num_ws: int) -> Floats:
    if len(weights) not in (1, num_ws):
        raise BadArgument(f"{len(weights)} weights for {num_ws} layers; give one for all, or one for each")
    return np.broadcast_to(np.asarray(weights, np.float32), (num_ws,))


def _list(value: object, most: int, name: str) -> list[Any]:
    checked: list[Any] = expect(value, list, name)
    if len(checked) > most:
        raise BadArgument(f"{name} are too many")
    return checked


def _numbers(value: object, most: int, name: str) -> tuple[float, ...]:
    return tuple(number(x, name) for x in _list(value, most, name))
