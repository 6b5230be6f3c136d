"""The film of a descent: exponential time down, a smooth way back that closes the loop."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from facelab.errors import BadArgument
from facelab.latent.descent import Descent

CODES = [np.full((2, 3), float(step), np.float32) for step in (0, 1, 9, 99)]
STEPS = (0, 1, 9, 99)


def film(**more: object) -> Descent:
    values = {"down": 2.0, "rest": 0.5, "back": 1.0, "fps": 20} | more
    return Descent(STEPS, CODES, np.full((2, 3), 200, np.float32), **values)  # type: ignore[arg-type]


def test_that_steps_grow_by_the_same_factor_in_equal_times() -> None:
    made = film()
    assert len(made) == 40 + 10 + 20
    steps = np.array([made[i].step for i in range(40)], float)
    assert steps[0] == pytest.approx(0)
    assert steps[-1] == pytest.approx(99)
    np.testing.assert_allclose(np.diff(np.log(steps + 1)), np.log(100) / 39, rtol=1e-6)


def test_that_kept_codes_are_met_at_their_steps_and_the_result_at_the_end() -> None:
    made = Descent(STEPS, CODES, None, down=100, rest=0, back=0, fps=60)
    for i in (0, 500, 3000, len(made) - 1):
        frame = made[i]
        assert frame.step is not None
        after = min(max(1, int(np.searchsorted(STEPS, frame.step))), 3)
        low, high = (np.log(s + 1) for s in (STEPS[after - 1], STEPS[after]))
        share = (np.log(frame.step + 1) - low) / (high - low)
        wanted = STEPS[after - 1] + share * (STEPS[after] - STEPS[after - 1])
        np.testing.assert_allclose(frame.ws, wanted, atol=1e-3)
    assert (film()[39].ws == 200).all()
    assert (film()[45].ws == 200).all()
    assert film()[45].share == 1


def test_that_the_way_back_eases_and_plays_on_in_a_loop() -> None:
    made = film()
    shares = [made[i].share for i in range(49, len(made))]
    assert shares[0] == 1
    assert all(b < a for a, b in itertools.pairwise(shares))
    steps = -np.diff([*shares, 0.0])
    assert steps[0] < 0.01  # slow at both ends, fast between
    assert steps[-1] < 0.01
    assert steps.max() > 0.08
    assert made[len(made) - 1].step is None


@pytest.mark.parametrize(
    "change", [{"down": 0}, {"down": float("nan")}, {"rest": -1}, {"fps": 0}, {"back": float("inf")}]
)
def test_that_times_that_are_none_are_refused(change: dict[str, float]) -> None:
    with pytest.raises(BadArgument):
        film(**change)


def test_that_steps_and_codes_that_do_not_go_together_are_refused() -> None:
    for steps, codes in (
        ((0,), CODES[:1]),
        ((0, 1), CODES[:1]),
        ((1, 1), CODES[:2]),
        ((0, 1), [CODES[0], np.zeros((3, 3))]),
    ):
        with pytest.raises(BadArgument):
            Descent(steps, codes, None, down=1, rest=0, back=0, fps=10)  # type: ignore[arg-type]
    with pytest.raises(IndexError):
        film()[1000]
