"""Paths through latent space: easing, interpolation between keyframes, walks, and loops that deform one face.

A key is an array: z [Z], w [C] or W+ [L, C], the same shape for all keys of a path. A morph between recipes is a path through
the W+ codes that the engine resolves them to; the rest of a recipe (noise, transform) goes along in a `Morph`.
Time runs from 0 to 1 over the whole path, and on beyond both ends where a path is extrapolated.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Literal, TypeAlias

import numpy as np
import numpy.typing as npt

from facelab.errors import BadArgument
from facelab.latent.code import Code, Floats, seed_to_z
from facelab.latent.recipe import Noise, Recipe, Transform

Interpolation: TypeAlias = Literal["linear", "spherical", "spline"]
INTERPOLATIONS: tuple[Interpolation, ...] = ("linear", "spherical", "spline")


# -- easing -----------------------------------------------------------------------------------------------------------------
def _cosine(t: float) -> float:
    return (1 - math.cos(math.pi * t)) / 2


def _smoothstep(t: float) -> float:
    return t * t * (3 - 2 * t)


def _smootherstep(t: float) -> float:
    return t**3 * (t * (6 * t - 15) + 10)


def _smooth_sinusoid(t: float) -> float:
    """The cosine, stepped smoothly once more: rests at each key and moves fast between them."""
    return _smoothstep(_cosine(t))


def _in(t: float) -> float:
    return t * t


def _out(t: float) -> float:
    return t * (2 - t)


def _hold(t: float) -> float:
    return float(t >= 1)


# How far a leg has come at a share of its time: [0, 1] -> [0, 1], 0 at 0 and 1 at 1, never back. The first is the default.
EASINGS: dict[str, Callable[[float], float]] = {
    "ease": _cosine,
    "linear": float,
    "smooth": _smoothstep,
    "smoother": _smootherstep,
    "sinusoid": _smooth_sinusoid,
    "ease-in": _in,
    "ease-out": _out,
    "hold": _hold,
}


def ease(name: str, t: float) -> float:
    """How far a leg has come at time ``t``; beyond [0, 1] it goes on as if linear, so that extrapolation moves.

    Raises:
        BadArgument: no easing of that name.
    """
    try:
        function = EASINGS[name]
    except KeyError:
        raise BadArgument(f"the easings are {', '.join(EASINGS)}, not {name!r}") from None
    return function(t) if 0 <= t <= 1 else t


# -- between two codes --------------------------------------------------------------------------------------------------------
def lerp(a: npt.ArrayLike, b: npt.ArrayLike, t: float) -> Floats:
    """a + t (b - a); a at 0 and b at 1 exactly; other t extrapolate."""
    a, b = np.asarray(a, np.float32), np.asarray(b, np.float32)
    if t in (0, 1):
        return np.array(b if t else a)
    return np.asarray(a + np.float32(t) * (b - a), np.float32)


def slerp(a: npt.ArrayLike, b: npt.ArrayLike, t: float) -> Floats:
    """Along the great circle through a and b, row by row; the length goes linearly from one to the other.

    Meant for Z, whose codes lie near a sphere. Codes in one line (or zero) have no circle between them and go straight.

    Source: Shoemake 1985, "Animating rotation with quaternion curves".
    """
    a, b = np.asarray(a, np.float32), np.asarray(b, np.float32)
    if t in (0, 1):
        return np.array(b if t else a)
    start, end = a.astype(np.float64), b.astype(np.float64)
    length_a, length_b = (np.linalg.norm(x, axis=-1, keepdims=True) for x in (start, end))
    with np.errstate(invalid="ignore", divide="ignore"):
        unit_a, unit_b = start / length_a, end / length_b
        # By the half-angle, which stays exact for nearly equal and nearly opposite codes.
        half = np.arctan2(
            np.linalg.norm(unit_a - unit_b, axis=-1, keepdims=True),
            np.linalg.norm(unit_a + unit_b, axis=-1, keepdims=True),
        )
        angle = 2 * half
        curve = (np.sin((1 - t) * angle) * unit_a + np.sin(t * angle) * unit_b) / np.sin(angle)
        curve *= (1 - t) * length_a + t * length_b
    straight = (1 - t) * start + t * end
    flat = ~np.isfinite(angle) | (angle < 1e-5) | (math.pi - angle < 1e-5)
    return np.where(flat, straight, curve).astype(np.float32)


# -- through many ---------------------------------------------------------------------------------------------------------------
def leg(t: float, keys: int, loop: bool) -> tuple[int, float]:
    """The leg of a path that time ``t`` falls on, and the share of it that has gone by.

    A loop has as many legs as keys, and time wraps; an open path has one less, and the first and last leg go on beyond the ends.
    """
    legs = keys if loop else keys - 1
    if loop:
        t %= 1.0
    at = t * legs
    if abs(at - round(at)) < 1e-9:  # i / legs * legs is not always i, and a key's time shows the key
        at = float(round(at))
    if loop and at == legs:
        return 0, 0.0
    number = min(max(math.floor(at), 0), legs - 1)
    return number, at - number


def spline_slopes(keys: Floats, loop: bool) -> Floats:
    """The slope at each key of the smoothest curve through them all (second derivatives meet), per leg of time 1.

    An open curve has no bend at its ends (a natural spline); in a loop the end meets the start as smoothly as any other keys meet.

    Args:
        keys: [K, ...], at least two; a loop's first key is not repeated at the end.

    Source: the cubic spline's tridiagonal equations, e.g. Bartels, Beatty and Barsky 1987, chapter 3.
    """
    count = len(keys)
    points = keys.reshape(count, -1).astype(np.float64)
    if loop:
        system = 4 * np.eye(count) + np.roll(np.eye(count), 1, 1) + np.roll(np.eye(count), -1, 1)
        right = 3 * (np.roll(points, -1, 0) - np.roll(points, 1, 0))
    else:
        system = 4 * np.eye(count) + np.eye(count, k=1) + np.eye(count, k=-1)
        system[0, 0] = system[-1, -1] = 2
        right = np.empty_like(points)
        right[1:-1] = 3 * (points[2:] - points[:-2])
        right[0], right[-1] = 3 * (points[1] - points[0]), 3 * (points[-1] - points[-2])
    slopes: Floats = np.linalg.solve(system, right).astype(np.float32).reshape(keys.shape)
    return slopes


class Path:
    """A path through keys; call it with a time.

    Args:
        keys: [K, ...], at least two codes of one shape.
        interpolation: "linear", "spherical" (each row along its circle; for Z), or "spline" (a smooth curve through all keys).
        easing: a name in `EASINGS`, applied to each leg. A spline runs smoothly by itself: its easing is best left "linear".
        loop: whether the last key goes on to the first.

    Raises:
        BadArgument: fewer than two keys, shapes that differ, numbers that are not finite, an unknown name.
    """

    def __init__(
        self,
        keys: Sequence[npt.ArrayLike] | Floats,
        *,
        interpolation: str = "linear",
        easing: str = "linear",
        loop: bool = False,
    ) -> None:
        arrays = [np.asarray(k, np.float32) for k in keys]
        if len(arrays) < 2:
            raise BadArgument("a path goes through at least two faces")
        if len({a.shape for a in arrays}) > 1:
            raise BadArgument(f"the faces of a path have one shape, not {sorted({a.shape for a in arrays})}")
        if interpolation not in INTERPOLATIONS:
            raise BadArgument(f"a path is {', '.join(INTERPOLATIONS)}, not {interpolation!r}")
        self.keys: Floats = np.stack(arrays)
        if not np.isfinite(self.keys).all():
            raise BadArgument("the faces of a path hold numbers that are not finite")
        ease(easing, 0.5)
        self.interpolation, self.easing, self.loop = interpolation, easing, loop
        self._slopes = spline_slopes(self.keys, loop) if interpolation == "spline" else None

    def __call__(self, t: float) -> Floats:
        """The code at time ``t``; 0 is the first key and 1 the last (of a loop: the first again)."""
        if not math.isfinite(t):
            raise BadArgument("time is a finite number")
        number, share = leg(t, len(self.keys), self.loop)
        after = (number + 1) % len(self.keys)
        share = ease(self.easing, share)
        a, b = self.keys[number], self.keys[after]
        if self.interpolation == "spherical":
            return slerp(a, b, share)
        if self._slopes is None or share in (0, 1):
            return lerp(a, b, share)
        if share < 0:  # beyond the ends a spline goes on straight: its cubic would fly off
            return np.asarray(a + np.float32(share) * self._slopes[number], np.float32)
        if share > 1:
            return np.asarray(b + np.float32(share - 1) * self._slopes[after], np.float32)
        s = np.float32(share)
        hermite = (
            (2 * s**3 - 3 * s**2 + 1) * a
            + (s**3 - 2 * s**2 + s) * self._slopes[number]
            + (3 * s**2 - 2 * s**3) * b
            + (s**3 - s**2) * self._slopes[after]
        )
        return np.asarray(hermite, np.float32)

    def frames(self, count: int) -> Floats:
        """``count`` codes at even times, [count, ...]. An open path shows both ends; a loop leaves its end out, which is its start."""
        return np.stack([self(t) for t in times(count, self.loop)])


def times(count: int, loop: bool = False) -> list[float]:
    """Even times of ``count`` frames over a path."""
    if count < 1:
        raise BadArgument("a path has at least one frame")
    if loop:
        return [i / count for i in range(count)]
    return [i / (count - 1) for i in range(count)] if count > 1 else [0.0]


def interpolate(
    keys: Sequence[npt.ArrayLike] | Floats,
    t: float,
    *,
    interpolation: str = "linear",
    easing: str = "linear",
    loop: bool = False,
) -> Floats:
    """The code at one time of a path; see `Path`, which is quicker for many."""
    return Path(keys, interpolation=interpolation, easing=easing, loop=loop)(t)


# -- recipes along a path -----------------------------------------------------------------------------------------------------------
class Morph:
    """A morph through recipes: call it with a time for the recipe of that frame.

    Recipes may differ in everything: sources, weights, psi, directions, noise. So a frame is defined by what its keys come to:

    - its code is the point of the path through the W+ codes that the keys resolve to, drawn with psi 1;
    - noise of one mode and seed stays as it is. Where both keys have their maps at hand (``codes[k].noise``) they are mixed by the
      sine and cosine of a quarter turn, which keeps independent unit noises at unit variance. Otherwise there is no middle between
      them, and their strength fades to nothing at the half and back, so that no frame jumps;
    - noise strengths go along linearly, and "none" is any noise at strength 0;
    - the transform goes along linearly (None counts as no move, unless both are None), angles the shorter way.

    Args:
        keys: the recipes, at least two, of one generator and tuning.
        codes: what each resolves to, in W+, with the noise maps that it is drawn with or None (``jobs.Resolve`` answers so).
        interpolation, easing, loop: as of `Path`.

    Raises:
        BadArgument: the keys belong to different generators, or the codes do not go with them.
    """

    def __init__(
        self,
        keys: Sequence[Recipe],
        codes: Sequence[Code],
        *,
        interpolation: str = "linear",
        easing: str = "ease",
        loop: bool = False,
    ) -> None:
        if len(keys) != len(codes) or any(c.space != "w+" for c in codes):
            raise BadArgument("a morph takes the W+ code that each of its faces resolves to")
        if len({(k.generator, k.tuning) for k in keys} | {(c.generator, keys[0].tuning) for c in codes}) > 1:
            raise BadArgument("the faces of a morph belong to different generators; choose faces of one")
        self.keys, self.codes = tuple(keys), tuple(codes)
        self.path = Path([c.array for c in codes], interpolation=interpolation, easing=easing, loop=loop)

    def __call__(self, t: float) -> Recipe:
        """The recipe at time ``t``; at the time of a key it draws that key's picture."""
        ws = self.path(t)
        number, share = leg(t, len(self.keys), self.path.loop)
        share = min(max(ease(self.path.easing, share), 0.0), 1.0)
        after = (number + 1) % len(self.keys)
        noise, maps = self._noise(number, after, share)
        first = self.keys[0]
        code = Code(array=ws, space="w+", generator=first.generator, origin={"morph": round(t, 6)}, noise=maps)
        move = _mix_transform(self.keys[number].transform, self.keys[after].transform, share)
        return Recipe(sources=(code,), noise=noise, transform=move, tuning=first.tuning)

    def _noise(self, number: int, after: int, share: float) -> tuple[Noise, tuple[Floats, ...] | None]:
        a, b = self.keys[number].noise, self.keys[after].noise
        count = max(len(a.strength), len(b.strength))
        one, two = (s * count if len(s) == 1 else s for s in (a.strength, b.strength))
        if len(one) != len(two):
            raise BadArgument(
                f"the faces of a morph have {len(one)} and {len(two)} noise strengths; give as many for each"
            )
        # "none" is the other's noise at strength 0.
        if a.mode == "none":
            a, number, one = b, after, (0.0,) * count
        elif b.mode == "none":
            b, after, two = a, number, (0.0,) * count
        strength = tuple((1 - share) * x + share * y for x, y in zip(one, two, strict=True))
        maps_a, maps_b = self.codes[number].noise, self.codes[after].noise
        near, maps = (a, maps_a) if share < 0.5 else (b, maps_b)
        if not _alike(a, b, maps_a, maps_b) and share not in (0, 1):
            if maps_a and maps_b and [m.shape for m in maps_a] == [m.shape for m in maps_b]:
                p, q = math.cos(share * math.pi / 2), math.sin(share * math.pi / 2)
                maps = tuple(np.asarray(p * x + q * y, np.float32) for x, y in zip(maps_a, maps_b, strict=True))
                near = replace(near, mode="own")
            else:
                strength = tuple(abs(1 - 2 * share) * x for x in strength)
        if len(set(strength)) == 1:
            strength = strength[:1]
        return replace(near, strength=strength), maps if near.mode == "own" else None


def _alike(a: Noise, b: Noise, maps_a: tuple[Floats, ...] | None, maps_b: tuple[Floats, ...] | None) -> bool:
    if a.mode != b.mode or (a.mode == "seed" and a.seed != b.seed):
        return False
    if a.mode != "own" or maps_a is maps_b:
        return True
    if maps_a is None or maps_b is None or len(maps_a) != len(maps_b):
        return False
    return all(np.array_equal(x, y) for x, y in zip(maps_a, maps_b, strict=True))


def _mix_transform(a: Transform | None, b: Transform | None, share: float) -> Transform | None:
    if a is None and b is None:
        return None
    if share in (0, 1):
        return b if share else a
    a, b = a or Transform(), b or Transform()
    turn = (b.degrees - a.degrees + 180) % 360 - 180
    return Transform(a.x + share * (b.x - a.x), a.y + share * (b.y - a.y), a.degrees + share * turn)


# -- walks and loops --------------------------------------------------------------------------------------------------------------
def random_walk(start: npt.ArrayLike, steps: int, step: float, seed: int, *, pull: float = 0.0) -> Floats:
    """The keys of an aimless walk, [steps + 1, ...], the start among them.

    Args:
        start: where it begins.
        steps: how many more keys.
        step: root mean square length of a step in one channel.
        seed: of its random numbers.
        pull: share by which each step returns to the start first, 0 to 1; above 0 the walk stays in the neighbourhood.
    """
    if steps < 1 or not 0 <= pull <= 1 or not (math.isfinite(step) and step >= 0):
        raise BadArgument("a walk has at least one step, a length from 0 on, and a pull from 0 to 1")
    first = np.asarray(start, np.float32)
    numbers = np.random.RandomState(seed)
    keys = [first]
    for _ in range(steps):
        back = np.float32(pull) * (first - keys[-1])
        keys.append(np.asarray(keys[-1] + back + np.float32(step) * numbers.randn(*first.shape), np.float32))
    return np.stack(keys)


def seed_walk(seeds: Sequence[int], z_dim: int) -> Floats:
    """The z of each seed as keys, [K, Z]: a tour through faces."""
    return np.stack([seed_to_z(seed, z_dim) for seed in seeds])


def deform_loop(
    ws: Floats,
    t: float,
    *,
    layers: tuple[int, int],
    amount: float,
    seed: int,
    w_std: float = 1.0,
    turns: int = 1,
) -> Floats:
    """A face that wavers and comes back: a sinusoid on some of its layers, closed at t = 1.

    Each channel of the layers moves by amount * w_std * direction * sin(2 pi turns t + phase) - its value at 0, with a phase of its
    own per layer, so that the layers do not move in step; at t = 0 and t = 1 the face is ``ws`` exactly.

    Args:
        ws: the face, [L, C].
        t: time; 0 and 1 are the same.
        layers: half-open range of the layers that move.
        amount: root mean square excursion of a channel, in units of ``w_std``.
        seed: of the directions and phases.
        w_std: the generator's root mean square deviation of W in one channel.
        turns: full waves in one loop.

    Raises:
        BadArgument: the range is not one of ``ws``, or ``turns`` is below 1.
    """
    first, last = layers
    if ws.ndim != 2 or not 0 <= first < last <= len(ws):
        raise BadArgument(f"layers {first} to {last} are not in a code of {len(ws)} layers")
    if turns < 1 or not all(map(math.isfinite, (t, amount, w_std))):
        raise BadArgument("a loop has at least one turn, and finite numbers")
    moved = np.array(ws, np.float32)
    # A time that is a whole number is exactly the start, whatever rounding would make of the sines.
    angle = 2 * math.pi * turns * (t % 1.0)
    if angle == 0:
        return moved
    for layer in range(first, last):
        numbers = np.random.RandomState([seed & 0xFFFFFFFF, layer])
        direction = numbers.randn(ws.shape[1]).astype(np.float32)
        phase = numbers.uniform(0, 2 * math.pi)
        # sqrt(2) makes the root mean square of a sine 1.
        moved[layer] += (
            np.float32(amount * w_std * math.sqrt(2) * (math.sin(angle + phase) - math.sin(phase))) * direction
        )
    return moved
