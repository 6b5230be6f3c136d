"""Truncation, blending, groups of layers, seeded noise."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from facelab.errors import BadArgument
from facelab.latent.spaces import blend, layer_groups, psi_by_layer, seeded_noise, truncate
from tests.strategies import C, L, array

W_AVG = array(99, C)


@given(st.integers(0, 99), st.floats(-2, 2))
def test_that_truncation_is_the_papers_formula(seed: int, psi: float) -> None:
    ws = array(seed, 3, L, C)
    np.testing.assert_allclose(truncate(ws, W_AVG, psi), W_AVG + np.float32(psi) * (ws - W_AVG), atol=1e-5)
    by_layer = np.linspace(-1, psi, L)
    result = truncate(ws, W_AVG, by_layer)
    for i, p in enumerate(by_layer):
        np.testing.assert_allclose(result[:, i], W_AVG + np.float32(p) * (ws[:, i] - W_AVG), atol=1e-5)


def test_that_psi_1_is_exact_and_a_copy() -> None:
    ws = array(0, L, C)
    for psi in (1, np.ones(L)):
        same = truncate(ws, W_AVG, psi)
        np.testing.assert_array_equal(same, ws)
        assert not np.shares_memory(same, ws)
    np.testing.assert_array_equal(truncate(ws, W_AVG, 0), np.broadcast_to(W_AVG, (L, C)))


@pytest.mark.parametrize(
    ("shape", "psi"), [((C + 1,), 1), ((L, C), 1), ((C,), [1, 2]), ((C,), float("nan")), ((C,), np.ones((1, L)))]
)
def test_that_psi_and_mean_have_to_fit(shape: tuple[int, ...], psi: object) -> None:
    with pytest.raises(BadArgument):
        truncate(array(0, L, C), np.zeros(shape, np.float32), psi)


def test_that_a_cutoff_is_psi_1_from_there_on() -> None:
    np.testing.assert_array_equal(psi_by_layer([0.5], 5, 2), np.float32([0.5, 0.5, 1, 1, 1]))
    np.testing.assert_array_equal(psi_by_layer([0.5], 5, 0), np.ones(5))
    np.testing.assert_array_equal(psi_by_layer([0.5], 5, 9), np.full(5, 0.5))
    np.testing.assert_array_equal(psi_by_layer([0.5], 5), np.full(5, 0.5))
    np.testing.assert_array_equal(psi_by_layer([1, 2, 3], 3), [1, 2, 3])
    for psi, cutoff in (([0.5] * 5, 2), ([0.5], -1), ([0.5] * 4, None), ([], None)):
        with pytest.raises(BadArgument):
            psi_by_layer(psi, 5, cutoff)


@given(st.integers(1, 5), st.integers(0, 99))
def test_that_a_blend_is_the_weighted_mean_of_each_layer(sources: int, seed: int) -> None:
    ws = array(seed, sources, L, C)
    weights = array(seed + 1, sources, L)
    weights[0] += 10  # away from a sum of zero
    expected = (ws.astype(np.float64) * (weights / weights.sum(0))[..., None]).sum(0)
    np.testing.assert_allclose(blend(ws, weights), expected, atol=1e-4)
    np.testing.assert_allclose(blend(ws, 3 * weights), blend(ws, weights), atol=1e-4)


def test_that_a_source_alone_in_a_layer_comes_through_bit_for_bit() -> None:
    ws = array(0, 3, L, C)
    weights = np.zeros((3, L), np.float32)
    owner = [0, 1, 2, 2, 1, 0]
    for layer, source in enumerate(owner):
        weights[source, layer] = 0.3
    np.testing.assert_array_equal(blend(ws, weights), ws[owner, np.arange(L)])


def test_that_weights_that_cancel_each_other_still_count() -> None:
    ws = array(0, 3, L, C)
    weights = np.repeat(np.float32([[1], [0.5], [-0.5]]), L, 1)
    np.testing.assert_allclose(blend(ws, weights), ws[0] + 0.5 * (ws[1] - ws[2]), atol=1e-6)


def test_that_weights_that_sum_to_nothing_are_refused_by_layer() -> None:
    weights = np.ones((2, L), np.float32)
    weights[1, 3] = -1
    with pytest.raises(BadArgument, match="layer 3"):
        blend(array(0, 2, L, C), weights)
    for bad in (np.ones((2, L + 1)), np.full((2, L), np.nan), np.ones((3, L))):
        with pytest.raises(BadArgument):
            blend(array(0, 2, L, C), bad.astype(np.float32))


@pytest.mark.parametrize("num_ws", [2, 6, 8, 12, 16, 18])
@pytest.mark.parametrize("family", ["stylegan1", "stylegan2", "stylegan3-t", "stylegan3-r"])
def test_that_the_groups_are_every_layer_once(family: str, num_ws: int) -> None:
    groups = layer_groups(family, num_ws)
    assert list(groups) == ["coarse", "middle", "fine"]
    assert [layer for group in groups.values() for layer in group] == list(range(num_ws))


def test_that_the_groups_are_the_papers() -> None:
    assert layer_groups("stylegan2", 18) == {"coarse": range(4), "middle": range(4, 8), "fine": range(8, 18)}
    assert layer_groups("stylegan3-t", 16) == {"coarse": range(6), "middle": range(6, 11), "fine": range(11, 16)}


def test_that_seeded_noise_is_drawn_layer_by_layer() -> None:
    one, other = seeded_noise(5, [(4, 4), (8, 8), (8, 8)]), seeded_noise(5, [(16, 16), (8, 8), (8, 8)])
    np.testing.assert_array_equal(one[1], other[1])
    assert not np.array_equal(one[1], one[2])
    assert not np.array_equal(one[1], seeded_noise(6, [(4, 4), (8, 8)])[1])
    large = seeded_noise(5, [(256, 256)])[0]
    assert (large.mean(), large.std()) == (pytest.approx(0, abs=0.02), pytest.approx(1, abs=0.02))
    assert large.dtype == np.float32
