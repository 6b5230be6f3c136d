"""Paths: easing, interpolation, morphs through recipes, walks and loops."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.interpolate import CubicSpline

from facelab.errors import BadArgument
from facelab.latent.code import Code, Direction, Floats, seed_to_z
from facelab.latent.path import (
    EASINGS,
    INTERPOLATIONS,
    Morph,
    Path,
    deform_loop,
    ease,
    interpolate,
    leg,
    lerp,
    random_walk,
    seed_walk,
    slerp,
    times,
)
from facelab.latent.recipe import Applied, Noise, Recipe, Transform

GENERATOR = "cd" * 32


def keys(count: int = 4, *shape: int) -> Floats:
    return np.random.RandomState(count).randn(count, *(shape or (6, 8))).astype(np.float32)


@pytest.mark.parametrize("name", EASINGS)
def test_that_an_easing_goes_from_0_to_1_and_never_back(name: str) -> None:
    values = [ease(name, t) for t in np.linspace(0, 1, 101)]
    assert (values[0], values[-1]) == (0, 1)
    assert all(b >= a - 1e-12 for a, b in itertools.pairwise(values))
    assert (ease(name, -0.5), ease(name, 1.5)) == (-0.5, 1.5)


def test_that_the_smooth_stepped_sinusoid_rests_at_its_ends_longer_than_the_sinusoid() -> None:
    assert ease("sinusoid", 0.1) < ease("ease", 0.1) < 0.1
    assert ease("sinusoid", 0.5) == pytest.approx(0.5)
    assert ease("sinusoid", 0.3) + ease("sinusoid", 0.7) == pytest.approx(1)
    with pytest.raises(BadArgument, match="sinusoid"):
        ease("bouncy", 0.5)


@pytest.mark.parametrize(
    ("interpolation", "easing", "loop"), list(itertools.product(INTERPOLATIONS, EASINGS, [False, True]))
)
def test_that_every_path_goes_through_its_keys_exactly(interpolation: str, easing: str, loop: bool) -> None:
    k = keys()
    legs = len(k) if loop else len(k) - 1
    path = Path(k, interpolation=interpolation, easing=easing, loop=loop)
    for i, key in enumerate(k):
        np.testing.assert_array_equal(path(i / legs), key)
    if loop:
        np.testing.assert_array_equal(path(1.0), k[0])
        np.testing.assert_allclose(path(1.1), path(0.1), atol=1e-5)
        np.testing.assert_allclose(path(-0.1), path(0.9), atol=1e-5)


def test_that_splines_are_those_of_scipy() -> None:
    k = keys(5)
    path, loop = Path(k, interpolation="spline"), Path(k, interpolation="spline", loop=True)
    open_reference = CubicSpline(np.arange(5), k, bc_type="natural")
    loop_reference = CubicSpline(np.arange(6), np.concatenate([k, k[:1]]), bc_type="periodic")
    for t in np.linspace(0, 0.999, 37):
        np.testing.assert_allclose(path(t), open_reference(4 * t), atol=2e-6)
        np.testing.assert_allclose(loop(t), loop_reference(5 * t), atol=2e-6)


def test_that_a_spline_goes_on_straight_beyond_its_ends() -> None:
    path = Path(keys(), interpolation="spline")
    for end in (0.0, 1.0):
        out = end + np.array([0.1, 0.2, 0.3]) * (1 if end else -1)
        a, b, c = (path(t) for t in out)
        np.testing.assert_allclose(c - b, b - a, atol=1e-5)
        np.testing.assert_allclose(path(end + 1e-4) - path(end), path(end) - path(end - 1e-4), atol=1e-5)


def test_that_lines_extrapolate() -> None:
    a, b = keys(2)
    np.testing.assert_allclose(interpolate([a, b], 1.5), a + 1.5 * (b - a), atol=1e-6)
    np.testing.assert_allclose(interpolate([a, b], -0.5, easing="smooth"), a - 0.5 * (b - a), atol=1e-6)


@given(st.integers(0, 10**6), st.floats(-1, 2))
def test_that_slerp_keeps_the_length_of_codes_of_one_length_and_turns_evenly(seed: int, t: float) -> None:
    a, b = np.random.RandomState(seed).randn(2, 3, 16).astype(np.float32)
    b *= np.linalg.norm(a, axis=-1, keepdims=True) / np.linalg.norm(b, axis=-1, keepdims=True)
    c = slerp(a, b, t)
    np.testing.assert_allclose(np.linalg.norm(c, axis=-1), np.linalg.norm(a, axis=-1), rtol=1e-4)
    cosine = (a * b).sum(-1) / np.linalg.norm(a, axis=-1) ** 2
    np.testing.assert_allclose(
        (a * c).sum(-1) / np.linalg.norm(a, axis=-1) ** 2, np.cos(t * np.arccos(cosine)), atol=1e-3
    )


def test_that_slerp_of_codes_in_one_line_is_finite() -> None:
    a = keys(1)[0]
    for b in (a, -a, 2 * a, np.zeros_like(a), a + np.float32(1e-7)):
        assert np.isfinite(slerp(a, b, 0.3)).all()
    np.testing.assert_allclose(slerp(a, 3 * a, 0.5), 2 * a, rtol=1e-5)
    np.testing.assert_array_equal(slerp(a, -a, 1), -a)
    np.testing.assert_array_equal(lerp(a, -a, 0), a)


def test_that_frames_show_both_ends_and_a_loop_shows_its_start_once() -> None:
    k = keys(3)
    frames = Path(k).frames(5)
    np.testing.assert_array_equal(frames[[0, 2, 4]], k)
    loop = Path(k, loop=True).frames(6)
    np.testing.assert_array_equal(loop[[0, 2, 4]], k)
    assert times(1) == [0.0]
    with pytest.raises(BadArgument):
        times(0)


@given(st.floats(-5, 5), st.integers(2, 9), st.booleans())
def test_that_every_time_falls_on_a_leg(t: float, count: int, loop: bool) -> None:
    number, share = leg(t, count, loop)
    legs = count if loop else count - 1
    assert 0 <= number < legs
    assert loop <= (0 <= share <= 1)
    away = (number + share) / legs - t
    assert (away - round(away) if loop else away) == pytest.approx(0, abs=1e-8)


@pytest.mark.parametrize("count", range(2, 120))
def test_that_the_time_of_a_key_is_exactly_on_it(count: int) -> None:
    for i in range(count):
        assert leg(i / count, count, True) == (i, 0.0)
        assert leg(i / (count - 1), count, False) == ((i, 0.0) if i < count - 1 else (count - 2, 1.0))


@pytest.mark.parametrize(
    ("bad", "options"),
    [
        ([], {}),
        ([np.zeros(3)], {}),
        ([np.zeros(3), np.zeros(4)], {}),
        ([np.zeros(3), np.full(3, np.nan)], {}),
        ([np.zeros(3), np.ones(3)], {"interpolation": "cubic"}),
        ([np.zeros(3), np.ones(3)], {"easing": "none"}),
    ],
)
def test_that_bad_keys_are_refused(bad: list[Floats], options: dict[str, str]) -> None:
    with pytest.raises(BadArgument):
        Path(bad, **options)


def test_that_time_is_finite() -> None:
    with pytest.raises(BadArgument):
        Path(keys())(float("nan"))


# -- morphs through recipes -----------------------------------------------------------------------------------------------------
def resolved(seed: int, noise: tuple[Floats, ...] | None = None) -> Code:
    array = np.random.RandomState(seed).randn(6, 8)
    return Code(array=array, space="w+", generator=GENERATOR, noise=noise)


def maps(seed: int) -> tuple[Floats, ...]:
    numbers = np.random.RandomState(seed)
    return tuple(numbers.randn(r, r).astype(np.float32) for r in (4, 64))


def test_that_a_morph_between_recipes_that_differ_in_everything_ends_in_them() -> None:
    smile = Direction(name="smile", vector=np.eye(8)[0], sigma=2.0, generator=GENERATOR)
    a = Recipe(
        sources=(Code.from_seed(1, 8, GENERATOR), resolved(3)), weights=((0.5,), (0.5,)), psi=(0.5,),
        directions=(Applied(smile, 2.0),), noise=Noise("const"),
    )  # fmt: skip
    b = Recipe.of(resolved(2)).change(psi=(1.2,), noise=Noise("none"), transform=Transform(0.1, 0, 10))
    codes = [resolved(10), resolved(11)]
    morph = Morph([a, b], codes)
    for t, code in ((0, codes[0]), (1, codes[1])):
        frame = morph(t)
        np.testing.assert_array_equal(frame.sources[0].array, code.array)
        assert (frame.psi, frame.directions, frame.cutoff) == ((1.0,), (), None)
    assert morph(0).noise == Noise("const")
    assert morph(1).noise == Noise("const", strength=(0.0,))
    assert morph(0.5).noise.strength == (0.5,)
    assert morph(0).transform is None
    assert morph(1).transform == Transform(0.1, 0, 10)
    middle = morph(0.5).transform
    assert middle is not None
    assert middle.degrees == pytest.approx(5)
    assert hash(morph(0.25)) == hash(morph(0.25))


def test_that_optimised_noise_is_mixed_at_full_variance() -> None:
    one, two = maps(1), maps(2)
    a, b = resolved(1, one), resolved(2, two)
    morph = Morph([Recipe.of(a), Recipe.of(b)], [a, b], easing="linear")
    for t in (0, 0.3, 0.5, 1):
        noise = morph(t).sources[0].noise
        assert noise is not None
        assert noise[1].std() == pytest.approx(1, abs=0.05)
        assert morph(t).noise == Noise("own")
    np.testing.assert_array_equal((morph(0).sources[0].noise or ())[1], one[1])
    np.testing.assert_array_equal((morph(1).sources[0].noise or ())[1], two[1])
    same = Morph([Recipe.of(a), Recipe.of(resolved(2, one))], [a, resolved(2, one)])
    np.testing.assert_array_equal((same(0.5).sources[0].noise or ())[1], one[1])


def test_that_noise_without_a_middle_fades_and_comes_back() -> None:
    a, b = resolved(1, maps(1)), resolved(2)
    morph = Morph([Recipe.of(a), Recipe.of(b).change(noise=Noise("seed", 5))], [a, b], easing="linear")
    assert [morph(t).noise.mode for t in (0, 0.4, 0.6, 1)] == ["own", "own", "seed", "seed"]
    assert [round(morph(t).noise.strength[0], 6) for t in (0, 0.25, 0.5, 0.75, 1)] == [1, 0.5, 0, 0.5, 1]
    assert morph(0.6).sources[0].noise is None


def test_that_noise_of_one_kind_stays_and_its_strengths_go_along() -> None:
    a = Recipe.of(resolved(1)).change(noise=Noise("seed", 4, (0.0,)))
    b = Recipe.of(resolved(2)).change(noise=Noise("seed", 4, (1.0, 0.5)))
    morph = Morph([a, b], [resolved(1), resolved(2)], easing="linear")
    assert morph(0.5).noise == Noise("seed", 4, (0.5, 0.25))
    c = b.change(noise=Noise("seed", 4, (1.0, 0.5, 2.0)))
    with pytest.raises(BadArgument, match="strengths"):
        Morph([b, c], [resolved(1), resolved(2)])(0.5)


def test_that_a_turn_takes_the_shorter_way() -> None:
    a, b = (Recipe.of(resolved(i)).change(transform=Transform(degrees=d)) for i, d in ((1, 170.0), (2, -170.0)))
    middle = Morph([a, b], [resolved(1), resolved(2)])(0.5).transform
    assert middle is not None
    assert middle.degrees == pytest.approx(180)


def test_that_a_morph_of_two_generators_is_refused() -> None:
    other = Code(array=np.zeros((6, 8)), space="w+", generator="ef" * 32)
    for recipes, codes in (
        ([Recipe.of(resolved(1)), Recipe.of(other)], [resolved(1), other]),
        ([Recipe.of(resolved(1)), Recipe.of(resolved(2)).change(tuning="t")], [resolved(1), resolved(2)]),
        ([Recipe.of(resolved(1))], [resolved(1), resolved(2)]),
        ([Recipe.of(resolved(1))] * 2, [Code.from_seed(1, 8, GENERATOR)] * 2),
    ):
        with pytest.raises(BadArgument):
            Morph(recipes, codes)


# -- walks and loops ------------------------------------------------------------------------------------------------------------
def test_that_a_walk_is_the_same_for_the_same_seed_and_stays_near_when_it_is_pulled() -> None:
    start = np.zeros((4, 64), np.float32)
    walk = random_walk(start, 200, 0.1, seed=3)
    assert walk.shape == (201, 4, 64)
    np.testing.assert_array_equal(walk, random_walk(start, 200, 0.1, seed=3))
    np.testing.assert_array_equal(walk[0], start)
    assert np.sqrt(np.mean((walk[1:] - walk[:-1]) ** 2)) == pytest.approx(0.1, rel=0.02)
    near = random_walk(start, 200, 0.1, seed=3, pull=0.5)
    assert np.abs(near[-1]).mean() < np.abs(walk[-1]).mean() / 3
    with pytest.raises(BadArgument):
        random_walk(start, 0, 0.1, seed=1)


def test_that_a_tour_of_seeds_has_nvidias_codes() -> None:
    tour = seed_walk([1, 7], 16)
    np.testing.assert_array_equal(tour[1], seed_to_z(7, 16))


def test_that_a_deform_loop_is_closed_smooth_and_leaves_other_layers_alone() -> None:
    ws = keys(1, 8, 512)[0]
    loop = [deform_loop(ws, t, layers=(2, 5), amount=0.5, seed=1, w_std=2.0) for t in np.linspace(0, 1, 65)]
    np.testing.assert_array_equal(loop[0], ws)
    np.testing.assert_array_equal(loop[-1], ws)
    for frame in loop:
        np.testing.assert_array_equal(frame[[0, 1, 5, 6, 7]], ws[[0, 1, 5, 6, 7]])
    moved = np.stack(loop[:-1])[:, 2:5] - np.stack(loop[:-1])[:, 2:5].mean(0)
    assert np.sqrt((moved**2).mean()) == pytest.approx(1.0, rel=0.05)
    jumps = [np.abs(b - a).max() for a, b in itertools.pairwise(loop)]
    assert max(jumps) < 0.2 * 2 * 0.5 * 5
    with pytest.raises(BadArgument):
        deform_loop(ws, 0.5, layers=(5, 9), amount=1, seed=1)
    with pytest.raises(BadArgument):
        deform_loop(ws, 0.5, layers=(0, 2), amount=1, seed=1, turns=0)
