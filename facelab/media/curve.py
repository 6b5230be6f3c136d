"""The loss of a run as a picture that grows with it, on log-log axes."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw

from facelab.errors import BadArgument
from facelab.faces.photo import Pixels
from facelab.media.sheet import INK, PAPER, Colour, font

LINE: Colour = (120, 174, 255)
FAINT: Colour = (96, 108, 128)
GRID: Colour = (48, 48, 48)
_FINER = 2  # drawn at so many times the size, and reduced: Pillow's lines have jagged edges


class CurvePicture:
    """Draws a curve up to a step.

    Args:
        values: the loss of each step from 0 on; what is not a positive number is left out.
        size: width and height in pixels.

    Raises:
        BadArgument: fewer than two values can be drawn, or the picture is too small for them.
    """

    def __init__(self, values: npt.ArrayLike, size: tuple[int, int]) -> None:
        losses = np.asarray(values, np.float64).ravel()
        steps = np.flatnonzero(np.isfinite(losses) & (losses > 0))
        if len(steps) < 2:
            raise BadArgument("a curve needs at least two losses above 0")
        width, height = size
        if width < 64 or height < 48:
            raise BadArgument(f"a curve is at least 64 x 48 pixels, not {width} x {height}")
        self._size = size
        self._text = font("0123456789.,lossep ", _FINER * max(9, height // 14))
        self._steps, self._losses = steps, losses[steps]
        self._x = np.log10(steps + 1.0)
        self._y = np.log10(self._losses)
        line = round(1.6 * self._text.size)
        self._box = (3 * line, line // 2, _FINER * width - line // 2, _FINER * height - line)
        self._low, self._high = self._y.min(), max(self._y.max(), self._y.min() + 0.1)
        self._ground = self._drawn_ground()

    def at(self, step: float | None) -> Pixels:
        """The picture, uint8 [H, W, 3], with the curve drawn up to a step (from 0, perhaps between two); None draws all of it."""
        image = self._ground.copy()
        draw = ImageDraw.Draw(image)
        end = self._x[-1] if step is None else math.log10(max(step, 0.0) + 1)
        value = float(np.interp(end, self._x, self._y))
        until = self._x <= end
        points = [*self._points(self._x[until], self._y[until])]
        if step is not None:
            points.append(*self._points(np.array([end]), np.array([value])))
        if len(points) > 1:
            draw.line(points, LINE, 2 * _FINER, joint="curve")
        if step is not None:
            (x, y), radius = points[-1], 3 * _FINER
            draw.ellipse((x - radius, y - radius, x + radius, y + radius), fill=INK)
            words = f"step {round(step) + 1:,}   loss {10**value:.3g}"
            draw.text((self._box[2], self._box[1]), words, INK, self._text, anchor="ra")
        return np.asarray(image.resize(self._size, Image.Resampling.LANCZOS))

    def _points(self, x: npt.NDArray[np.float64], y: npt.NDArray[np.float64]) -> list[tuple[float, float]]:
        left, top, right, bottom = self._box
        across = left + (right - left) * x / max(self._x[-1], 1e-9)
        down = bottom - (bottom - top) * (y - self._low) / (self._high - self._low)
        return list(zip(across.tolist(), down.tolist(), strict=True))

    def _drawn_ground(self) -> Image.Image:
        image = Image.new("RGB", (_FINER * self._size[0], _FINER * self._size[1]), PAPER)
        draw = ImageDraw.Draw(image)
        left, top, right, bottom = self._box
        for place in ticks(0.0, float(self._x[-1]), 6):
            ((x, _),) = self._points(np.array([place]), np.array([self._low]))
            draw.line(((x, top), (x, bottom)), GRID, _FINER)
            anchor = "ra" if x > right - self._text.size else "ma"
            draw.text((x, bottom + self._text.size // 4), f"{10**place:,.0f}", INK, self._text, anchor=anchor)
        for place in ticks(self._low, self._high, 6):
            ((_, y),) = self._points(np.array([0.0]), np.array([place]))
            draw.line(((left, y), (right, y)), GRID, _FINER)
            draw.text((left - self._text.size // 2, y), f"{10**place:.3g}", INK, self._text, anchor="rm")
        draw.line(self._points(self._x, self._y), FAINT, _FINER)
        return image


def ticks(low: float, high: float, most: int) -> list[float]:
    """Places of a logarithmic axis to be labelled, in powers of ten: at most about ``most`` of them."""
    span = max(high - low, 1e-9)
    per_decade = most / span
    steps = (1, 2, 3, 5, 7) if per_decade >= 8 else (1, 2, 5) if per_decade >= 3 else (1,)
    every = max(1, math.ceil(span / most))
    places = [
        decade + math.log10(step)
        for decade in range(math.floor(low), math.ceil(high) + 1)
        if decade % every == 0
        for step in steps
    ]
    return [place for place in places if low - 1e-9 <= place <= high + 1e-9]
