"""The table of factors, its three scales, and how factors that exclude one another come to terms."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from facelab.portraits import factors as f


def test_that_the_table_is_ordered_by_group_and_has_no_name_twice() -> None:
    assert len(set(f.NAMES)) == f.K
    assert list(f.GROUP) == sorted(f.GROUP)
    assert all(factor.low < factor.high for factor in f.FACTORS if not factor.gate)
    assert all(factor.meaning and factor.unit for factor in f.FACTORS)


def test_that_nine_units_of_w_per_factor_fit_into_512() -> None:
    assert 9 * f.K <= 512


def test_that_phi_of_random_faces_has_mean_zero_and_variance_one() -> None:
    phi = f.phi_from_y(np.random.default_rng(0).standard_normal((40000, f.K)))
    assert np.abs(phi.mean(0)).max() < 0.03
    assert np.abs(phi.std(0) - 1).max() < 0.05


def test_that_the_mean_face_wears_nothing() -> None:
    values = f.values_from_phi(np.zeros(f.K))
    assert values[f.GATES] == pytest.approx(0.0)
    assert {f.NAMES[i] for i in np.flatnonzero(f.GATES)} >= {"hat", "glasses", "scarf", "beard"}


def test_that_values_from_y_and_by_way_of_phi_agree() -> None:
    y = np.random.default_rng(1).standard_normal((200, f.K)).clip(-2.5, 2.5)
    values = f.values_from_y(y)
    i = f.INDEX["yaw"]
    assert np.abs(values[:, i]).max() <= 0.40 + 1e-6
    # A gate as the table defines it: a smooth step of half width b around threshold a.
    gate = f.FACTORS[f.INDEX["glasses"]]
    t = ((y[:, f.INDEX["glasses"]] - gate.low + gate.high) / (2 * gate.high)).clip(0, 1)
    assert values[:, f.INDEX["glasses"]] == pytest.approx(t * t * (3 - 2 * t), abs=2e-3)


def test_that_shares_beyond_the_ends_are_drawn_as_the_ends() -> None:
    beyond = f.phi_from_raw(np.full(f.K, 1.1))
    ends = np.array([factor.high for factor in f.FACTORS])
    assert f.values_from_phi(beyond)[~f.GATES] == pytest.approx(ends[~f.GATES])


def test_that_training_coordinates_hold_half_open_gates_and_reach_beyond_the_range() -> None:
    phi = f.sample_phi(np.random.default_rng(2), 4000)
    raw = f.raw_from_phi(phi)
    hats = f.values_from_phi(phi)[:, f.INDEX["hat"]]
    random_hats = f.values_from_y(np.random.default_rng(3).standard_normal((4000, f.K)))[:, f.INDEX["hat"]]
    half_open = ((hats > 0.2) & (hats < 0.8)).mean()
    assert half_open > 1.3 * ((random_hats > 0.2) & (random_hats < 0.8)).mean()
    outside = (raw[:, ~f.GATES] < -0.02) | (raw[:, ~f.GATES] > 1.02)
    assert 0.05 < outside.any(1).mean() < 0.15
    assert phi.dtype == np.float32


def test_that_the_same_seed_gives_the_same_coordinates() -> None:
    assert np.array_equal(f.sample_phi(np.random.default_rng(4), 50), f.sample_phi(np.random.default_rng(4), 50))


def _settled(**values: float) -> dict[str, float]:
    chosen = f.values_from_phi(np.zeros(f.K))
    for name, value in values.items():
        chosen[f.INDEX[name]] = value
    return f.settle(chosen)


def test_that_a_scarf_takes_off_hat_beard_and_buns() -> None:
    settled = _settled(scarf=1.0, hat=1.0, beard=1.0, puffs=1.0, afro=1.0, hair_length=1.0)
    assert settled["hat"] == settled["beard"] == settled["puffs"] == settled["afro"] == 0.0
    assert settled["hair_length"] <= 0.1501


def test_that_buns_sit_on_hair_never_on_a_bald_head() -> None:
    assert _settled(hair_length=0.0)["hair_length"] == 0.0
    assert _settled(hair_length=0.0, puffs=1.0)["hair_length"] >= 0.22


def test_that_children_have_neither_whiskers_nor_make_up() -> None:
    child = _settled(age=-1.0, beard=1.0, moustache=1.0, lipstick=1.0, eyeshadow=1.0)
    assert child["beard"] == child["moustache"] == child["lipstick"] == child["eyeshadow"] == 0.0
    grown = _settled(age=0.3, lipstick=1.0)
    assert grown["lipstick"] == 1.0


@given(st.integers(0, 10**6), st.sampled_from(f.NAMES))
def test_that_settling_has_no_steps(seed: int, name: str) -> None:
    """A small change of one factor changes every shader scalar a little: nothing jumps along a line of W."""
    raw = np.random.default_rng(seed).random(f.K)
    near = raw.copy()
    near[f.INDEX[name]] = min(raw[f.INDEX[name]] + 1e-4, 1.0)
    a, b = (f.settle(f.values_from_phi(f.phi_from_raw(x))) for x in (raw, near))
    assert max(abs(a[key] - b[key]) for key in a) < 0.02
