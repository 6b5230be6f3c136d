"""The growing picture of a loss."""

from __future__ import annotations

import numpy as np
import pytest

from facelab.errors import BadArgument
from facelab.media.curve import LINE, CurvePicture, ticks

LOSSES = 2.0 / np.arange(1, 400)


def blue(picture: np.ndarray) -> np.ndarray:
    """Which columns hold the colour of the curve."""
    return (np.abs(picture.astype(int) - LINE).max(2) < 40).any(0)


def test_that_the_curve_grows_with_the_step_and_time_is_logarithmic() -> None:
    curve = CurvePicture(LOSSES, (400, 160))
    widths = [int(np.flatnonzero(blue(curve.at(step))).max()) for step in (3, 19, 99, 398)]
    assert widths == sorted(widths)
    gaps = np.diff(widths) / np.log([5, 5, 3.99])
    assert gaps.max() - gaps.min() < 6
    assert curve.at(None).shape == (160, 400, 3)
    assert np.abs(curve.at(None).astype(int) - curve.at(0)).max() > 50


def test_that_what_has_no_logarithm_is_left_out() -> None:
    with_gaps = np.array([np.nan, 1.0, 0.0, 0.5, -1.0, 0.25, np.inf])
    assert blue(CurvePicture(with_gaps, (200, 80)).at(None)).any()
    for values in ([], [1.0], [np.nan, 0, -1]):
        with pytest.raises(BadArgument):
            CurvePicture(values, (200, 80))
    with pytest.raises(BadArgument):
        CurvePicture(LOSSES, (20, 20))


def test_that_a_flat_curve_is_drawn_too() -> None:
    assert blue(CurvePicture([1.0, 1.0, 1.0], (200, 80)).at(1.5)).any()


def test_that_ticks_lie_in_the_range_and_are_not_too_many() -> None:
    for low, high in ((0.0, 0.4), (-3.2, 1.1), (0.0, 6.0), (-9.0, 9.0)):
        found = ticks(low, high, 6)
        assert all(low - 1e-9 <= place <= high + 1e-9 for place in found)
        assert 1 <= len(found) <= 10
