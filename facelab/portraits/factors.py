"""What can vary in a portrait: the table of factors and the ways between its three scales.

A face is described on three scales, each an array whose last axis runs over ``FACTORS``:

- ``y``: standard normal coordinates, what a random face is drawn in;
- ``phi``: standardised coordinates, mean 0 and variance 1 over random faces, bounded, in which the picture changes
  smoothly. These are what W holds linearly, and what the layers of the generator read;
- ``values``: the natural values that the renderer takes (radians, shares, multiples), units as in the table.

A factor is either *graded* (uniform between ``low`` and ``high``) or a *gate*: something that most faces do not have,
such as a hat. A gate opens smoothly around the threshold ``low`` of y, over a half width ``high``; at phi = 0 every gate
is shut, so the mean face wears nothing.

Groups say which layers of the generator own a factor: coarse (w 0-3), middle (w 4-7), fine (the rest).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import expit, logit, ndtr

Floats = NDArray[np.floating]
Group = Literal["coarse", "middle", "fine"]
GROUPS: tuple[Group, ...] = ("coarse", "middle", "fine")

TEACHER_VERSION = 1
"""Counts changes of the table, of the settling rules or of the shader: pictures of two versions are not comparable."""


@dataclass(frozen=True)
class Factor:
    """One thing that varies.

    Attributes:
        name: identifier, also in data files and direction sets.
        group: which layers own it.
        low, high: ends of a graded factor in ``unit``; threshold and half width on the y scale for a gate.
        unit: of the value; "share" runs 0 to 1, "signed" about -1 to 1, "times" multiplies a length.
        meaning: what rises with the value.
        gate: True for something most faces lack; its value is the share shown, 0 to 1.
    """

    name: str
    group: Group
    low: float
    high: float
    unit: str
    meaning: str
    gate: bool = False


def _gate(name: str, group: Group, threshold: float, half_width: float, meaning: str) -> Factor:
    return Factor(name, group, threshold, half_width, "share", meaning, gate=True)


FACTORS: tuple[Factor, ...] = (
    Factor("yaw", "coarse", -0.40, 0.40, "rad", "head turned, to the viewer's right"),
    Factor("pitch", "coarse", -0.16, 0.16, "rad", "head tipped down"),
    Factor("roll", "coarse", -0.08, 0.08, "rad", "head leaned, anticlockwise"),
    Factor("face_width", "coarse", 0.93, 1.08, "times", "wider head and face"),
    Factor("jaw_width", "coarse", 0.84, 1.16, "times", "wider jaw"),
    Factor("face_length", "coarse", 0.94, 1.07, "times", "longer from eyes to chin"),
    Factor("cheeks", "coarse", 0.0, 1.0, "share", "fuller cheeks"),
    Factor("chin", "coarse", 0.0, 1.0, "share", "longer, more forward chin"),
    Factor("hair_length", "coarse", 0.0, 1.0, "share", "bald, cropped, short, bob, long"),
    Factor("hair_volume", "coarse", 0.0, 1.0, "share", "thicker hair"),
    Factor("fringe", "coarse", 0.0, 1.0, "share", "hairline comes down over the forehead"),
    Factor("parting", "coarse", -1.0, 1.0, "signed", "hair swept to one side"),
    Factor("curl", "coarse", -0.5, 1.0, "signed", "waves and curls; straight below 0"),
    _gate("afro", "coarse", 1.10, 0.30, "a round cloud of coily hair"),
    _gate("braids", "coarse", 1.10, 0.30, "hair in braids or locs"),
    _gate("puffs", "coarse", 1.15, 0.20, "two buns on top"),
    _gate("hat", "coarse", 1.15, 0.15, "a knitted hat"),
    _gate("scarf", "coarse", 1.40, 0.15, "a head scarf"),
    _gate("glasses", "coarse", 0.60, 0.12, "glasses"),
    Factor("frame_shape", "coarse", 0.0, 1.0, "share", "round to square frames"),
    _gate("beard", "coarse", 0.75, 0.45, "a full beard"),
    Factor("collar", "coarse", 0.0, 1.0, "share", "open neckline to roll-neck"),
    Factor("age", "middle", -1.0, 1.0, "signed", "child, adult, old"),
    Factor("eye_size", "middle", 0.86, 1.18, "times", "larger eyes"),
    Factor("eye_spacing", "middle", 0.93, 1.08, "times", "eyes further apart"),
    Factor("squint", "middle", 0.0, 1.0, "share", "narrower lids"),
    Factor("eye_tilt", "middle", -0.30, 0.40, "signed", "outer corners higher"),
    Factor("gaze", "middle", -0.24, 0.24, "signed", "looks past the camera, to the viewer's right"),
    Factor("brow_angle", "middle", -1.10, 0.20, "signed", "outer ends of the brows higher"),
    Factor("brow_height", "middle", -1.0, 1.0, "signed", "raised brows"),
    Factor("brow_thickness", "middle", 0.55, 1.50, "times", "thicker brows"),
    Factor("nose_length", "middle", 0.78, 1.22, "times", "longer nose"),
    Factor("nose_width", "middle", 0.74, 1.45, "times", "wider nose"),
    Factor("mouth_width", "middle", 0.78, 1.26, "times", "wider mouth"),
    Factor("smile", "middle", -0.30, 1.15, "signed", "corners of the mouth up"),
    Factor("mouth_open", "middle", -0.8, 1.0, "signed", "open mouth; shut below 0"),
    Factor("lips", "middle", 0.55, 1.65, "times", "fuller lips"),
    _gate("moustache", "middle", 1.00, 0.30, "a moustache"),
    Factor("light_azimuth", "middle", -0.85, 0.85, "rad", "main light from the viewer's right"),
    Factor("light_elevation", "middle", 0.20, 0.90, "rad", "main light from higher"),
    Factor("skin", "fine", 0.0, 1.0, "share", "more melanin"),
    Factor("undertone", "fine", -1.0, 1.0, "signed", "olive to warm"),
    Factor("hair_lightness", "fine", 0.0, 1.0, "share", "black, brown, blond"),
    Factor("hair_tint", "fine", -1.0, 1.0, "signed", "grey, natural, red"),
    Factor("iris", "fine", 0.0, 1.0, "share", "brown, hazel, green, blue, grey"),
    Factor("lipstick", "fine", -0.6, 1.0, "signed", "painted lips; bare below 0"),
    Factor("eyeshadow", "fine", -1.0, 1.0, "signed", "painted lids; bare below 0"),
    Factor("blush", "fine", 0.0, 1.0, "share", "redder cheeks"),
    Factor("background_hue", "fine", 0.0, 1.0, "turn", "around the colour circle from red"),
    Factor("background_lightness", "fine", 0.0, 1.0, "share", "lighter background"),
    Factor("bokeh", "fine", -1.0, 1.0, "signed", "discs of light behind; none below 0"),
    Factor("clothes_hue", "fine", 0.0, 1.0, "turn", "around the colour circle from red"),
    Factor("clothes_lightness", "fine", 0.0, 1.0, "share", "lighter clothes"),
    Factor("light_warmth", "fine", -1.0, 1.0, "signed", "cool to warm light"),
)

K = len(FACTORS)
NAMES: tuple[str, ...] = tuple(f.name for f in FACTORS)
INDEX: dict[str, int] = {name: i for i, name in enumerate(NAMES)}
GROUP: NDArray[np.int64] = np.array([GROUPS.index(f.group) for f in FACTORS])
GATES: NDArray[np.bool_] = np.array([f.gate for f in FACTORS])
_LOW = np.array([f.low for f in FACTORS])
_HIGH = np.array([f.high for f in FACTORS])
# A gate's coordinate in phi is a softer sigmoid than the gate itself, so that the shut side is not one flat point.
_SHIFT, _SOFT = 0.75, 0.4


def raw_from_y(y: ArrayLike) -> Floats:
    """y [..., K] -> shares in 0..1 [..., K]: the normal quantile of a graded factor, the soft sigmoid of a gate."""
    y = np.asarray(y, np.float64)
    shares: Floats = np.where(GATES, expit((y - _LOW + _SHIFT * _HIGH) / (_SOFT * _HIGH)), ndtr(y))
    return shares


def _standard() -> tuple[Floats, Floats]:
    """Mean and deviation of raw over y ~ N(0, 1), by the midpoint rule in the quantile (exact for graded factors)."""
    from scipy.special import ndtri

    quantiles = (np.arange(20000) + 0.5) / 20000
    raw = raw_from_y(np.repeat(ndtri(quantiles)[:, None], K, 1))
    return raw.mean(0), raw.std(0)


RAW_MEAN, RAW_STD = _standard()


def phi_from_raw(raw: ArrayLike) -> Floats:
    """Shares [..., K] -> standardised coordinates float32 [..., K]."""
    return ((np.asarray(raw, np.float64) - RAW_MEAN) / RAW_STD).astype(np.float32)


def raw_from_phi(phi: ArrayLike) -> Floats:
    """Standardised coordinates [..., K] -> shares, outside 0..1 where phi lies outside the range of random faces."""
    return np.asarray(phi, np.float64) * RAW_STD + RAW_MEAN


def phi_from_y(y: ArrayLike) -> Floats:
    """y [..., K] -> phi float32 [..., K]."""
    return phi_from_raw(raw_from_y(y))


def values_from_phi(phi: ArrayLike) -> Floats:
    """phi [..., K] -> natural values float32 [..., K]; shares outside 0..1 are drawn as the nearest end."""
    raw = raw_from_phi(phi)
    graded = _LOW + (_HIGH - _LOW) * np.clip(raw, 0.0, 1.0)
    y = logit(np.clip(raw, 1e-6, 1 - 1e-6)) * _SOFT * _HIGH + _LOW - _SHIFT * _HIGH
    t = np.clip((y - _LOW + _HIGH) / (2 * _HIGH), 0.0, 1.0)
    values: Floats = np.where(GATES, t * t * (3 - 2 * t), graded).astype(np.float32)
    return values


def values_from_y(y: ArrayLike) -> Floats:
    """y [..., K] -> natural values float32 [..., K]."""
    return values_from_phi(phi_from_y(y))


def sample_phi(rng: np.random.Generator, count: int) -> Floats:
    """Coordinates to train on, float32 [count, K].

    70 % are random faces. 20 % draw every share uniformly, gates too, since half-open gates are rare among random
    faces and yet lie on every line between two of them. 10 % draw shares from -0.1 to 1.1 (drawn as the nearest end),
    so that codes a little outside the range keep a clean face.
    """
    phi = phi_from_y(rng.standard_normal((count, K)))
    kind = rng.random(count)
    uniform = phi_from_raw(rng.random((count, K)))
    beyond = phi_from_raw(-0.1 + 1.2 * rng.random((count, K)))
    phi = np.where((kind < 0.2)[:, None], uniform, phi)
    # Gates stay as in random faces here: otherwise these pictures would show everything at once.
    return np.where((kind >= 0.9)[:, None] & ~GATES, beyond, phi).astype(np.float32)


def smooth_step(low: float, high: float, x: float) -> float:
    """0 up to low, 1 from high on, and a cubic without corners between."""
    t = min(max((x - low) / (high - low), 0.0), 1.0)
    return t * t * (3 - 2 * t)


def _mix(a: float, b: float, t: float) -> float:
    return a + (b - a) * t


def settle(values: Floats) -> dict[str, float]:
    """Factor values [K] -> shader scalars by name, after factors that exclude one another have come to terms.

    Factors are drawn independently; some pairs would look absurd or break the geometry (buns on a bald head, hair
    through a scarf, lipstick in a beard). The one that covers more wins, smoothly, so that no step enters the picture.
    """
    v = {name: float(x) for name, x in zip(NAMES, values, strict=True)}
    child, old = max(-v["age"], 0.0), max(v["age"], 0.0)
    # Head wear and hair: scarf over everything, then hat, braids, afro, buns.
    for hidden in ("hat", "puffs", "afro", "braids", "beard", "moustache", "fringe"):
        v[hidden] *= 1.0 - v["scarf"]
    for hidden in ("puffs", "afro"):
        v[hidden] *= 1.0 - v["hat"]
    v["afro"] *= 1.0 - v["braids"]
    v["puffs"] *= 1.0 - v["afro"]
    hair = v["hair_length"]
    hair = _mix(hair, 0.50 + 0.50 * hair, v["braids"])
    hair = _mix(hair, 0.30, v["afro"])
    hair = _mix(hair, max(hair, 0.22), v["puffs"])
    hair = _mix(hair, min(hair, 0.15), smooth_step(0.0, 0.4, v["scarf"]))
    v["hair_length"] = hair
    v["fringe"] *= smooth_step(0.12, 0.30, hair) * (1.0 - 0.8 * v["afro"]) * (1.0 - 0.5 * v["braids"])
    v["parting"] *= smooth_step(0.10, 0.40, hair) * (1.0 - 0.8 * v["afro"])
    v["curl"] *= (1.0 - v["braids"]) * smooth_step(0.12, 0.30, hair)
    v["hair_cover"] = smooth_step(0.03, 0.12, hair) * (1.0 - smooth_step(0.16, 0.27, hair))
    depth = -0.05 + 0.11 * smooth_step(0.04, 0.20, hair) + 0.15 * v["hair_volume"] * smooth_step(0.08, 0.40, hair)
    v["hair_depth"] = depth + v["afro"] * (0.24 + 0.12 * v["hair_volume"])
    v["curl_depth"] = max(v["curl"], 0.0) * smooth_step(0.02, 0.14, v["hair_depth"])
    # Ages: a child has a rounder, shorter face with large eyes and a small nose; age thins lips and brows.
    v["eye_size"] *= 1.0 + 0.13 * child - 0.04 * old
    v["nose_length"] *= 1.0 - 0.22 * child + 0.08 * old
    v["nose_width"] *= 1.0 - 0.10 * child + 0.08 * old
    v["face_length"] *= 1.0 - 0.08 * child
    v["jaw_width"] *= 1.0 - 0.05 * child + 0.03 * old
    v["cheeks"] = _mix(v["cheeks"], 0.95, 0.6 * child)
    v["chin"] *= 1.0 - 0.7 * child
    v["lips"] *= 1.0 - 0.22 * old
    v["brow_thickness"] *= 1.0 - 0.25 * child
    v["old"] = old
    for grown in ("beard", "moustache"):
        v[grown] *= 1.0 - smooth_step(0.1, 0.7, child)
    # Paint: none on children, none in whiskers.
    bare = (1.0 - smooth_step(0.2, 0.8, child)) * (1.0 - max(v["beard"], v["moustache"]))
    v["lipstick"] = max(v["lipstick"], 0.0) * bare
    v["eyeshadow"] = max(v["eyeshadow"], 0.0) * bare
    v["skin_shine"] = 0.10 + 0.10 * v["skin"]
    return v
