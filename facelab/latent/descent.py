"""The way of a projection, played: its kept steps in exponential time, and the result easing back to where it began."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from facelab.errors import BadArgument
from facelab.latent.code import Floats
from facelab.latent.path import ease, lerp

BACK = "sinusoid"  # the easing of the way back


@dataclass(frozen=True, eq=False)
class Frame:
    """One picture of a descent.

    Attributes:
        ws: the code, [L, C].
        share: how far it is from the start (0) to the result (1), which is the share of the optimised noise that it is drawn with.
        step: the step that it stands for, from 0, a fraction between two steps; None on the way back.
    """

    ws: Floats
    share: float
    step: float | None


class Descent:
    """A descent as a film.

    On the way down the number of the step grows by the same factor in equal times, as it moves evenly along a logarithmic axis: most
    happens in the first steps. Between two kept steps the code goes straight.

    Args:
        steps: the kept steps, from 0, rising.
        codes: the code of each, [L, C].
        result: the code that was found, [L, C], which takes the place of the last; None ends with the last.
        down, rest, back: seconds of the way down, of standing still at the result, and of the way back to the start.
        fps: frames a second.

    Raises:
        BadArgument: fewer than two steps, codes that do not go with them, times that are none.
    """

    def __init__(
        self, steps: Sequence[int], codes: Sequence[Floats], result: Floats | None = None, *, down: float, rest: float,
        back: float, fps: float,
    ) -> None:  # fmt: skip
        if len(steps) < 2 or len(steps) != len(codes):
            raise BadArgument("a descent is played from at least two kept steps; this run has fewer")
        if any(b <= a for a, b in itertools.pairwise(steps)) or steps[0] < 0:
            raise BadArgument("the steps of a descent are in rising order, from 0 on")
        keys = [*codes[:-1], codes[-1] if result is None else result]
        if any(k.ndim != 2 or k.shape != keys[0].shape for k in keys):
            raise BadArgument("the codes of a descent are [L, C], all of one shape")
        if not all(map(math.isfinite, (down, rest, back, fps))) or down <= 0 or rest < 0 or back < 0 or fps <= 0:
            raise BadArgument("a descent takes some time, and its rest and way back none or some")
        self._keys = keys
        self._places = np.log(np.asarray(steps, np.float64) + 1)
        self._counts = (max(2, round(down * fps)), round(rest * fps), round(back * fps))

    def __len__(self) -> int:
        return sum(self._counts)

    def __getitem__(self, number: int) -> Frame:
        """Frame ``number``, from 0. The last one of the way back is next to the start, so that it plays on in a loop."""
        down, rest, back = self._counts
        if not 0 <= number < len(self):
            raise IndexError(number)
        if number < down:
            return self._on_the_way(number / (down - 1))
        end = self._keys[-1]
        if number < down + rest:
            return Frame(end, 1.0, float(np.expm1(self._places[-1])))
        share = 1 - ease(BACK, (number - down - rest + 1) / (back + 1))
        return Frame(lerp(self._keys[0], end, share), share, None)

    def _on_the_way(self, time: float) -> Frame:
        first, last = self._places[0], self._places[-1]
        at = first + time * (last - first)
        after = min(max(int(np.searchsorted(self._places, at)), 1), len(self._keys) - 1)
        low, high = self._places[after - 1], self._places[after]
        between = min(max((at - low) / (high - low), 0.0), 1.0)
        return Frame(lerp(self._keys[after - 1], self._keys[after], between), time, float(np.expm1(at)))
