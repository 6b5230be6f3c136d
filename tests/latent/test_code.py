"""Codes and directions: immutable, told apart by digest, and safe to read from anybody's file."""

from __future__ import annotations

import base64
import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from facelab.errors import BadArgument
from facelab.latent.code import Code, Direction, frozen, number, pack, seed_to_z, unpack
from tests import strategies
from tests.strategies import GENERATOR, array


def w(seed: int = 0, **fields: object) -> Code:
    return Code(**({"array": array(seed, 8), "space": "w", "generator": GENERATOR} | fields))


@pytest.mark.parametrize(("seed", "first"), [(0, 1.7640524), (7, 1.6905257), (85, None), (2**32 - 1, None)])
def test_that_seeds_give_nvidias_codes(seed: int, first: float | None) -> None:
    """``np.random.RandomState(seed).randn(1, z_dim)``, as generate.py of every StyleGAN draws them; the values are published NumPy's."""
    z = seed_to_z(seed, 512)
    np.testing.assert_array_equal(z, np.random.RandomState(seed).randn(1, 512)[0].astype(np.float32))
    if first is not None:
        assert z[0] == pytest.approx(first, abs=1e-6)
    assert not z.flags.writeable


@pytest.mark.parametrize("seed", [-1, 2**32])
def test_that_other_seeds_are_refused(seed: int) -> None:
    with pytest.raises(BadArgument, match="a seed lies between"):
        Code.from_seed(seed, 8, GENERATOR)


def test_that_a_code_cannot_be_changed() -> None:
    given_array = array(0, 8)
    code = w(array=given_array)
    before = code.digest
    given_array[0] = 9
    assert code.array[0] != 9
    assert code.digest == before
    with pytest.raises(ValueError, match="read-only"):
        code.array[0] = 1
    with pytest.raises(TypeError):
        code.origin["seed"] = 1  # type: ignore[index]


def test_that_codes_are_equal_by_what_they_draw() -> None:
    assert w() == w(origin={"photo": "a.jpg"})
    assert hash(w()) == hash(w())
    different = [
        w(), w(1), w(generator="cd" * 32), w(label=3), w(space="z"), w(noise=(array(0, 4, 4),)), w(noise=(array(1, 4, 4),)),
        w(array=array(0, 1, 8), space="w+"), w(noise=(array(0, 4, 4), array(1, 4, 4))),
    ]  # fmt: skip
    assert len(set(different)) == len(different)
    assert w() != "a code"


def test_that_no_noise_maps_are_no_noise() -> None:
    assert w(noise=()) == w()
    assert w(noise=()).noise is None


@pytest.mark.parametrize(
    "fields",
    [
        {"space": "x"}, {"array": array(0, 2, 8)}, {"array": np.zeros(0)}, {"array": np.array([1, np.nan])}, {"array": [1e300]},
        {"array": "abc"}, {"array": [[1], [1, 2]]}, {"space": "w+"}, {"origin": {"x": {1}}}, {"origin": {"x": float("nan")}},
        {"noise": (np.zeros(4),)}, {"noise": (np.full((4, 4), np.inf),)}, {"noise": (np.zeros((4, 0)),)}, {"noise": (np.zeros((1, 1)),) * 65},
        {"label": -1}, {"label": 1 << 20}, {"generator": "x" * 2000}, {"generator": 5}, {"origin": {"x": "y" * 70000}},
    ],
)  # fmt: skip
def test_that_what_is_no_code_is_refused(fields: dict[str, object]) -> None:
    with pytest.raises(BadArgument):
        w(**fields)


# -- arrays as JSON ---------------------------------------------------------------------------------------------------------------
@given(st.lists(st.integers(1, 5), max_size=3).map(tuple), st.integers(0, 99), st.booleans())
def test_that_packed_arrays_come_back_exactly(shape: tuple[int, ...], seed: int, half: bool) -> None:
    a = array(seed, *shape, half=half) if shape else np.float32(0.1 * seed).reshape(())
    packed = json.loads(json.dumps(pack(a)))
    np.testing.assert_array_equal(unpack(packed), a)
    if shape and half:
        assert "f16" in packed, "half the size where nothing is lost"


def test_that_large_numbers_are_packed_as_they_are() -> None:
    np.testing.assert_array_equal(unpack(pack(frozen([1e30, -70000.0, 0]))), np.array([1e30, -70000, 0], np.float32))


_ENCODED = base64.b64encode(np.zeros(4, "<f4").tobytes()).decode()


@pytest.mark.parametrize(
    "value",
    [
        None, 5, [], {}, {"shape": [4]}, {"shape": "4", "f32": _ENCODED}, {"shape": [4], "f32": 5}, {"shape": [5], "f32": _ENCODED},
        {"shape": [4.0], "f32": _ENCODED}, {"shape": [True, 4], "f32": _ENCODED}, {"shape": [-4], "f32": _ENCODED},
        {"shape": [0], "f32": ""}, {"shape": [1 << 24, 1 << 24], "f32": ""}, {"shape": [10**40], "f32": ""},
        {"shape": [1, 1, 1, 4], "f32": _ENCODED}, {"shape": [4], "f32": "é" * len(_ENCODED)}, {"shape": [4], "f32": "*" * len(_ENCODED)},
        {"shape": [4], "f16": _ENCODED}, {"shape": [2], "f32": base64.b64encode(np.array([1, np.nan], "<f4").tobytes()).decode()},
        {"shape": [2], "f16": base64.b64encode(np.array([1, np.inf], "<f2").tobytes()).decode()},
    ],
)  # fmt: skip
def test_that_what_is_no_array_is_refused(value: object) -> None:
    with pytest.raises(BadArgument):
        unpack(value)


@pytest.mark.parametrize("value", [True, "1", None, [1], float("nan"), float("inf"), 1e7, 10**400])
def test_that_what_is_no_sane_number_is_refused(value: object) -> None:
    with pytest.raises(BadArgument):
        number(value, "x")


# -- codes as JSON ----------------------------------------------------------------------------------------------------------------
@settings(max_examples=50, deadline=None)
@given(strategies.codes())
def test_that_a_code_comes_back_from_json_equal(code: Code) -> None:
    again = Code.from_json(json.loads(json.dumps(code.to_json())))
    assert again == code
    assert (again.space, dict(again.origin), again.label) == (code.space, dict(code.origin), code.label)
    np.testing.assert_array_equal(again.array, code.array)


def test_that_a_seed_is_written_as_a_seed() -> None:
    assert "array" not in Code.from_seed(7, 512, GENERATOR).to_json()
    # Someone else's array under that seed's name is kept as it is.
    claimed = Code(array=array(0, 8), space="z", generator=GENERATOR, origin={"seed": 7})
    assert Code.from_json(claimed.to_json()) == claimed
    for seed in (-1, 2**32, "7", 1.0, True, None):
        odd = Code(array=array(0, 8), space="z", generator=GENERATOR, origin={"seed": seed})
        assert Code.from_json(odd.to_json()) == odd


@pytest.mark.parametrize(
    "change",
    [
        {"space": "v"}, {"space": []}, {"space": None}, {"space": "w"}, {"generator": None}, {"generator": 5}, {"generator": "x" * 2000},
        {"origin": []}, {"origin": {"seed": -1}}, {"origin": {"seed": "7"}}, {"origin": {"seed": 2**70}}, {"origin": {"seed": 7, "x": "y" * 70000}},
        {"z_dim": 0}, {"z_dim": -8}, {"z_dim": 1e3}, {"z_dim": 10**9}, {"z_dim": True}, {"label": -1}, {"label": "1"}, {"label": 1 << 20},
        {"label": True}, {"noise": {}}, {"noise": [5]}, {"noise": [None] * 65}, {"origin": {"seed": 7, "x": float("nan")}},
    ],
)  # fmt: skip
def test_that_hostile_codes_are_refused(change: dict[str, object]) -> None:
    good = Code.from_seed(7, 8, GENERATOR).to_json()
    assert Code.from_json(good) == Code.from_seed(7, 8, GENERATOR)
    with pytest.raises(BadArgument):
        Code.from_json(good | change)


def test_that_odd_names_of_generators_do_no_harm() -> None:
    code = w(generator="\ud800")
    assert Code.from_json(json.loads(json.dumps(code.to_json()))) == code


# -- directions -------------------------------------------------------------------------------------------------------------------
@settings(max_examples=60, deadline=None)
@given(strategies.directions())
def test_that_a_direction_comes_back_from_json_equal(direction: Direction) -> None:
    again = Direction.from_json(json.loads(json.dumps(direction.to_json())))
    assert again == direction
    assert again.name == direction.name


def test_that_a_direction_is_one_value_however_its_numbers_are_written() -> None:
    fields: dict[str, object] = {"name": "d", "vector": np.ones(3), "generator": GENERATOR}
    assert Direction(sigma=2, layers=[0, 4], **fields) == Direction(sigma=np.float32(2.0), layers=(0, 4), **fields)


@pytest.mark.parametrize(
    "change",
    [
        {"vector": np.zeros(3)}, {"vector": np.ones((1, 2, 3))}, {"vector": np.float32(3)}, {"sigma": 0}, {"sigma": -1}, {"sigma": float("nan")},
        {"layers": (3, 3)}, {"layers": (-1, 3)}, {"layers": (0, 99)}, {"layers": (1,)}, {"name": "x" * 2000}, {"sigma": 1e7}, {"method": None},
    ],
)  # fmt: skip
def test_that_what_is_no_direction_is_refused(change: dict[str, object]) -> None:
    with pytest.raises(BadArgument):
        Direction(**({"name": "d", "vector": np.ones(3), "sigma": 1.0, "generator": GENERATOR} | change))
