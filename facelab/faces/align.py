"""Cuts a face out of a photograph the way FFHQ was cut, and sets it back in.

A **quad** is float64 [4, 2]: the corners of the crop, top left, bottom left, bottom right, top right as seen in the face's own
upright, as x and y in the photograph's full-resolution upright pixels, where 0, 0 is the centre of the first pixel. The
quads made here are squares, turned as the head is.

Source: Karras et al. 2018 (arXiv:1710.10196), appendix C, with the constants of FFHQ (Karras et al. 2019, arXiv:1812.04948).
"""

from __future__ import annotations

import math
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
from PIL import Image

from facelab.errors import BadArgument
from facelab.faces.detect import Face
from facelab.faces.photo import Photo, Pixels

Quad = npt.NDArray[np.float64]
Floats = npt.NDArray[np.float32]

MAX_SIZE = 4096
MAX_RATIO = 4.0
"""The longest side of a hand-placed crop, in longer sides of its photograph."""

_SUPERSAMPLING = 4  # the crop is sampled at this many times its size and reduced, against jagged edges


def quad_of(face: Face, level: bool = False) -> Quad:
    """Where FFHQ would crop this face.

    Args:
        face: a face with its 68 landmarks.
        level: keep the crop upright in the photograph instead of turning it with the head.
    """
    points = face.landmarks
    left_eye, right_eye = points[36:42].mean(axis=0), points[42:48].mean(axis=0)
    eyes = (left_eye + right_eye) / 2
    across = right_eye - left_eye
    down = (points[48] + points[54]) / 2 - eyes
    # Half of the crop's width as a vector: along the line of the eyes, evened out by the line from eyes to mouth.
    x = across - down[::-1] * (-1, 1)
    length = max(2.0 * math.hypot(*across), 1.8 * math.hypot(*down))
    norm = math.hypot(*x)
    x = x * (length / norm) if norm > 0 and not level else np.array((length, 0.0))
    return _square(eyes + 0.1 * down, x)


def quad_at(centre: tuple[float, float], size: float, rotation: float = 0.0) -> Quad:
    """A square placed by hand.

    Args:
        centre: x and y in the photograph's pixels.
        size: its side in pixels, above 0.
        rotation: degrees by which it is turned clockwise as seen.

    Raises:
        BadArgument: a number is not finite, or ``size`` is not above 0.
    """
    if not all(map(math.isfinite, (*centre, size, rotation))) or size <= 0:
        raise BadArgument(f"a crop needs a finite place and a size above 0, not {centre}, {size}, {rotation}")
    angle = math.radians(rotation)
    return _square(np.array(centre, np.float64), np.array((math.cos(angle), math.sin(angle))) * (size / 2))


def square_of(quad: Quad) -> tuple[tuple[float, float], float, float]:
    """Centre, size and rotation of a square quad: what ``quad_at`` takes."""
    quad = _checked(quad)
    x, y = quad.mean(axis=0)
    right = (quad[3] + quad[2] - quad[0] - quad[1]) / 2
    return (float(x), float(y)), math.hypot(*right), math.degrees(math.atan2(right[1], right[0]))


def crop(photo: Photo, quad: Quad, size: int = 1024) -> tuple[Pixels, float]:
    """The picture inside a quad, uint8 [size, size, 3], and the share of it that lies outside of the photograph.

    What lies outside is filled as FFHQ's was: mirrored, ever more blurred, fading to the median colour. A large share
    (above about 0.1) means that much of the picture is made up.

    Raises:
        BadArgument: ``size`` is not within 1 and ``MAX_SIZE``; the quad is not finite [4, 2], its centre lies outside of the
            photograph, or it is more than ``MAX_RATIO`` times as large.
    """
    if not 1 <= size <= MAX_SIZE:
        raise BadArgument(f"the size of a crop is 1 to {MAX_SIZE} pixels, not {size}")
    quad = _checked(quad)
    outside = _share_outside(photo, quad)
    pixels, quad = _cut(photo.pixels, quad, size)
    side = _side(quad)
    border = max(round(0.1 * side), 3)
    # How far the quad reaches beyond each edge: left, top, right, bottom.
    height, width = pixels.shape[:2]
    low, high = np.floor(quad.min(axis=0)).astype(int), np.ceil(quad.max(axis=0)).astype(int)
    beyond = np.maximum((-low[0], -low[1], high[0] - width, high[1] - height), -border) + border
    if beyond.max() > border - 4:
        pads = np.maximum(beyond, round(0.3 * side))
        pixels = _padded(pixels, pads, 0.02 * side)
        quad = quad + pads[:2]
    sampled = Image.fromarray(pixels).transform(
        (size * _SUPERSAMPLING,) * 2, Image.Transform.QUAD, (quad + 0.5).ravel().tolist(), Image.Resampling.BILINEAR
    )
    return np.asarray(sampled.resize((size, size), Image.Resampling.LANCZOS)), outside


def paste_back(photo: Photo, quad: Quad, picture: Pixels, feather: float = 0.1, mask: Floats | None = None) -> Pixels:
    """The photograph with a picture set into the quad, uint8 [H, W, 3].

    Args:
        photo: the photograph; it is not changed.
        quad: where the picture came from, a square.
        picture: uint8 [S, S, 3].
        feather: over which share of the side, from the edge inwards, the picture fades in, 0 to 0.5.
        mask: float32 [S, S] in 0 to 1, multiplied onto the fading: how much of the picture is taken where.

    Raises:
        BadArgument: a value has not the shape or range named.
    """
    quad = _checked(quad)
    if picture.dtype != np.uint8 or picture.ndim != 3 or picture.shape[0] != picture.shape[1] or picture.shape[2] != 3:
        raise BadArgument(f"the picture to set in is uint8 [S, S, 3], not {picture.dtype} {list(picture.shape)}")
    if not 0 <= feather <= 0.5:
        raise BadArgument(f"feather is 0 to 0.5 of the side, not {feather}")
    if mask is not None and (mask.shape != picture.shape[:2] or not np.all((mask >= 0) & (mask <= 1))):
        raise BadArgument(f"the mask is [{len(picture)}, {len(picture)}] in 0 to 1")
    if np.abs(quad[0] + quad[2] - quad[1] - quad[3]).max() > 1e-3 * _side(quad):
        raise BadArgument("the quad is not a square")
    result = photo.pixels.copy()
    width, height = photo.size
    left, top = (int(v) for v in np.clip(np.floor(quad.min(axis=0)), 0, (width, height)))
    right, bottom = (int(v) for v in np.clip(np.ceil(quad.max(axis=0)) + 1, 0, (width, height)))
    if left >= right or top >= bottom:
        return result

    # A picture larger than its place is first reduced to it, against aliasing.
    size = min(len(picture), max(1, math.ceil(_side(quad))))
    if size < len(picture):
        picture = cv2.resize(picture, (size, size), interpolation=cv2.INTER_AREA).astype(np.uint8, copy=False)
        mask = (
            None
            if mask is None
            else np.asarray(cv2.resize(mask, (size, size), interpolation=cv2.INTER_AREA), np.float32)
        )
    # u and v run from 0 to 1 across the quad; a 2 x 3 matrix takes them to pixels of the photograph's part.
    origin, u_axis, v_axis = quad[0] - (left, top), quad[3] - quad[0], quad[1] - quad[0]
    from_uv = np.column_stack((u_axis, v_axis, origin))
    from_pixels = from_uv @ np.array([[1 / size, 0, 0.5 / size], [0, 1 / size, 0.5 / size], [0, 0, 1]])
    part = (right - left, bottom - top)
    warped = cv2.warpAffine(picture, from_pixels, part, flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)

    rows, columns = np.mgrid[0 : part[1], 0 : part[0]].astype(np.float32)
    to_uv = cv2.invertAffineTransform(from_uv)
    weight = np.ones(part[::-1], np.float32)
    for a, b, c in to_uv:
        share = (a * columns + b * rows + c).astype(np.float32)
        edge = np.minimum(share, 1 - share)
        inwards = np.clip(edge / feather, 0, 1) if feather > 0 else (edge >= 0).astype(np.float32)
        weight *= inwards * inwards * (3 - 2 * inwards)
    if mask is not None:
        weight *= cv2.warpAffine(np.asarray(mask, np.float32), from_pixels, part, flags=cv2.INTER_LINEAR)
    under = result[top:bottom, left:right]
    blended = under + weight[..., None] * (warped.astype(np.float32) - under)
    result[top:bottom, left:right] = np.clip(np.rint(blended), 0, 255).astype(np.uint8)
    return result


def face_mask(face: Face, quad: Quad, size: int, softness: float = 0.03) -> Floats:
    """Where in its crop the face is, float32 [size, size] in 0 to 1: the hull of its landmarks, softened.

    Args:
        face: the face.
        quad: its crop.
        size: side of the mask in pixels.
        softness: standard deviation of the blur, as a share of the side; 0 gives a hard edge.
    """
    quad = _checked(quad)
    axes = np.column_stack((quad[3] - quad[0], quad[1] - quad[0]))
    inside = np.linalg.solve(axes, (face.landmarks - quad[0]).T).T * size - 0.5
    mask = np.zeros((size, size), np.float32)
    cv2.fillConvexPoly(mask, cv2.convexHull(np.rint(inside).astype(np.int32)), (1.0,))
    if softness > 0:
        mask = np.clip(cv2.GaussianBlur(mask, (0, 0), softness * size), 0, 1)
    return mask


def _square(centre: npt.NDArray[np.float64], x: npt.NDArray[np.float64]) -> Quad:
    """The square around a centre, with ``x`` the vector from it to the middle of the right edge."""
    y = np.array((-x[1], x[0]))
    return np.stack((centre - x - y, centre - x + y, centre + x + y, centre + x - y))


def _checked(quad: Quad) -> Quad:
    quad = np.asarray(quad, np.float64)
    if quad.shape != (4, 2) or not np.isfinite(quad).all():
        raise BadArgument(f"a quad is four finite corners [4, 2], not {list(quad.shape)}")
    if _side(quad) <= 0:
        raise BadArgument("the corners of the crop lie in one point")
    return quad


def _side(quad: Quad) -> float:
    return math.hypot(*((quad[3] + quad[2] - quad[0] - quad[1]) / 2))


def _share_outside(photo: Photo, quad: Quad) -> float:
    """Which share of the quad the photograph does not cover, from a grid of points in it."""
    width, height = photo.size
    x, y = quad.mean(axis=0)
    if not (-0.5 <= x <= width - 0.5 and -0.5 <= y <= height - 0.5):
        raise BadArgument("the crop's centre lies outside of the photograph; move it inside")
    if _side(quad) > MAX_RATIO * max(width, height):
        raise BadArgument(f"the crop is more than {MAX_RATIO:g} times as large as the photograph; make it smaller")
    u, v = np.meshgrid(*[(np.arange(256) + 0.5) / 256] * 2)
    corners = [(1 - u) * (1 - v), (1 - u) * v, u * v, u * (1 - v)]
    points = sum(share[..., None] * corner for share, corner in zip(corners, quad, strict=True))
    inside = np.all((points >= -0.5) & (points <= (width - 0.5, height - 0.5)), axis=-1)
    return float(1 - inside.mean())


def _cut(pixels: Pixels, quad: Quad, size: int) -> tuple[Pixels, Quad]:
    """The part of the photograph around the quad, with a margin, reduced by a whole factor where it is far larger than ``size``."""
    shrink = max(1, math.floor(_side(quad) / size / 2))
    height, width = pixels.shape[:2]
    border = max(round(0.1 * _side(quad)), 3 * shrink)
    low = np.maximum(np.floor(quad.min(axis=0)).astype(int) - border, 0)
    high = np.minimum(np.ceil(quad.max(axis=0)).astype(int) + border, (width, height))
    part = pixels[low[1] : high[1], low[0] : high[0]]
    quad = quad - low
    if shrink == 1:
        return part, quad
    before = np.array((part.shape[1], part.shape[0]))
    after = np.maximum(np.rint(before / shrink).astype(int), 1)
    small = Image.fromarray(part).resize(tuple(after.tolist()), Image.Resampling.LANCZOS)
    # Pixel centres lie at whole numbers, so half a pixel is added before and taken off after scaling.
    return np.asarray(small), (quad + 0.5) * (after / before) - 0.5


def _padded(pixels: Pixels, pads: npt.NDArray[np.int64], sigma: float) -> Pixels:
    """The picture with mirrored edges, blurred where mirrored and fading to the median with the distance.

    Plain mirroring would show half a second face where the crop leaves the picture.

    Args:
        pixels: uint8 [H, W, 3].
        pads: pixels to add left, top, right, bottom.
        sigma: of the blur, in pixels.
    """
    left, top, right, bottom = (max(1, int(v)) for v in pads)
    mirrored = np.pad(pixels, ((int(pads[1]), int(pads[3])), (int(pads[0]), int(pads[2])), (0, 0)), "reflect")
    height, width = mirrored.shape[:2]
    across, along = np.arange(width, dtype=np.float32), np.arange(height, dtype=np.float32)
    # 1 at the outer edge, 0 where the photograph begins, below 0 in it.
    beside = 1 - np.minimum(across / left, across[::-1] / right)
    above = 1 - np.minimum(along / top, along[::-1] / bottom)
    depth = np.maximum(beside[None, :], above[:, None])
    blurring, fading = np.clip(3 * depth + 1, 0, 1), np.clip(depth, 0, 1)
    result = np.empty_like(mirrored)
    for channel in range(3):
        plane = mirrored[..., channel].astype(np.float32)
        plane += blurring * (_blurred(plane, sigma) - plane)
        plane += fading * (np.median(plane) - plane)
        result[..., channel] = np.clip(np.rint(plane), 0, 255)
    return result


def _blurred(plane: Floats, sigma: float) -> Floats:
    """A Gaussian blur; a wide one on a reduced copy, which nobody can tell apart and costs a fraction."""
    reduce = max(1, int(sigma / 4))
    height, width = plane.shape
    small: npt.NDArray[Any] = plane
    if reduce > 1:
        small = cv2.resize(plane, (-(-width // reduce), -(-height // reduce)), interpolation=cv2.INTER_AREA)
    small = cv2.GaussianBlur(small, (0, 0), sigma / reduce, borderType=cv2.BORDER_REFLECT)
    if reduce > 1:
        small = cv2.resize(small, (width, height), interpolation=cv2.INTER_LINEAR)
    return np.asarray(small, np.float32)
