"""Recipes: one value for all that makes a picture, the same after any file."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from facelab.errors import BadArgument
from facelab.latent.code import Code, Direction, Floats
from facelab.latent.recipe import MAX_SOURCES, VERSION, Applied, Noise, Recipe, Transform
from tests import strategies
from tests.strategies import GENERATOR, C, L, Z, array

W_AVG = array(99, C)


def code(seed: int = 0) -> Code:
    return Code(array=array(seed, L, C), space="w+", generator=GENERATOR)


def mapped(recipe: Recipe) -> list[Floats]:
    """Stands in for the mapping network: any function of z that gives a w will do here."""
    return [c.array if c.space != "z" else np.tanh(np.resize(c.array, C)) for c in recipe.sources]


def reference(recipe: Recipe) -> np.ndarray:
    """The order of operations, written out number by number."""
    result = np.zeros((L, C))
    sources = mapped(recipe)
    for layer in range(L):
        shares = [w[0] if len(w) == 1 else w[layer] for w in recipe.weights]
        rows = [s if s.ndim == 1 else s[layer] for s in sources]
        w = sum(share / sum(shares) * row.astype(np.float64) for share, row in zip(shares, rows, strict=True))
        psi = recipe.psi[0] if len(recipe.psi) == 1 else recipe.psi[layer]
        if recipe.cutoff is not None and layer >= recipe.cutoff:
            psi = 1.0
        w = W_AVG + psi * (w - W_AVG)
        for use in recipe.directions:
            first, last = use.layers or use.direction.layers or (0, L)
            if first <= layer < last:
                vector = use.direction.vector if use.direction.vector.ndim == 1 else use.direction.vector[layer]
                w = w + use.amount * use.direction.sigma * vector
        result[layer] = w
    return result


@pytest.mark.slow
@settings(max_examples=40, deadline=None)
@given(strategies.recipes())
def test_that_a_recipe_is_worked_out_in_its_order(recipe: Recipe) -> None:
    recipe = recipe.change(weights=tuple(tuple(abs(x) + 0.1 for x in w) for w in recipe.weights))
    expected = reference(recipe)
    scale = np.abs(expected).max() + 1e3
    np.testing.assert_allclose(recipe.ws(mapped(recipe), W_AVG, L), expected, atol=2e-5 * scale)


def test_that_directions_come_after_truncation() -> None:
    d = Direction(name="d", vector=np.eye(C)[1], sigma=2.0, generator=GENERATOR, layers=(1, 3))
    still = Recipe.of(code()).change(psi=(0.5,))
    moved = still.change(directions=(Applied(d, 1.5),))
    difference = moved.ws(mapped(moved), W_AVG, L) - still.ws(mapped(still), W_AVG, L)
    expected = np.zeros((L, C))
    expected[1:3, 1] = 3.0
    np.testing.assert_allclose(difference, expected, atol=1e-6)
    elsewhere = still.change(directions=(Applied(d, 1.5, (0, L)),))
    assert (elsewhere.ws(mapped(elsewhere), W_AVG, L) - still.ws(mapped(still), W_AVG, L))[0, 1] == pytest.approx(3)


def test_that_a_plain_recipe_draws_its_code_bit_for_bit() -> None:
    np.testing.assert_array_equal(Recipe.of(code()).ws([code().array], W_AVG, L), code().array)
    mixed = Recipe(sources=(code(0), code(1)), weights=((1.0, 1, 1, 0, 0, 0), (0.0, 0, 0, 1, 1, 1)))
    np.testing.assert_array_equal(
        mixed.ws(mapped(mixed), W_AVG, L), np.concatenate([code(0).array[:3], code(1).array[3:]])
    )


def test_that_working_out_changes_no_source() -> None:
    c = code()
    before = c.array.copy()
    d = Direction(name="d", vector=np.ones(C), sigma=1.0, generator=GENERATOR)
    recipe = Recipe(sources=(c,), directions=(Applied(d, 1.0),))
    assert recipe.ws([c.array], W_AVG, L).flags.writeable
    np.testing.assert_array_equal(c.array, before)


def test_that_shapes_of_another_generator_are_refused() -> None:
    d = Direction(name="d", vector=np.ones(C), sigma=1.0, generator=GENERATOR, layers=(0, L + 1))
    for recipe, arrays in (
        (Recipe.of(code()), [array(0, L + 1, C)]),
        (Recipe.of(code()), [array(0, C + 1)]),
        (Recipe.of(code()).change(psi=(1.0, 2.0)), [array(0, C)]),
        (Recipe.of(code()).change(weights=((1.0, 2.0),)), [array(0, C)]),
        (Recipe.of(code()).change(directions=(Applied(d, 1.0),)), [array(0, C)]),
        (Recipe(sources=(code(0), code(1)), weights=((1.0,), (-1.0,))), [array(0, C), array(1, C)]),
    ):
        with pytest.raises(BadArgument):
            recipe.ws(arrays, W_AVG, L)


# -- one value --------------------------------------------------------------------------------------------------------------------
@pytest.mark.slow
@settings(max_examples=40, deadline=None)
@given(strategies.recipes())
def test_that_a_recipe_comes_back_from_json_equal(recipe: Recipe) -> None:
    text = recipe.to_json()
    again = Recipe.from_json(text)
    assert again == recipe
    assert hash(again) == hash(recipe)
    assert again.to_json() == text
    assert [dict(c.origin) for c in again.sources] == [dict(c.origin) for c in recipe.sources]


def test_that_numbers_of_any_kind_make_one_recipe() -> None:
    plain = Recipe(
        sources=(code(),),
        weights=((1.0,),),
        psi=(1.0,),
        noise=Noise("seed", 3, (2.0,)),
        transform=Transform(1.0, 0.0, 90.0),
    )
    others = Recipe(
        sources=[code()], weights=[[np.float32(1)]], psi=np.ones(1), noise=Noise("seed", 3, [2]), transform=Transform(1, 0, np.float32(90)),
    )  # fmt: skip
    assert plain == others
    assert Recipe.from_json(others.to_json()) == plain


def test_that_every_field_makes_a_difference() -> None:
    d = Direction(name="d", vector=np.ones(C), sigma=1.0, generator=GENERATOR)
    base = Recipe.of(code())
    others = [
        base, base.change(sources=(code(1),)), base.change(weights=((2.0,),)), base.change(psi=(0.5,)), base.change(psi=(1.0,) * L),
        base.change(cutoff=3), base.change(directions=(Applied(d, 1.0),)), base.change(directions=(Applied(d, 2.0),)),
        base.change(directions=(Applied(d, 1.0, (0, 2)),)), base.change(noise=Noise("none")), base.change(noise=Noise("seed")),
        base.change(noise=Noise("seed", 1)), base.change(noise=Noise(strength=(0.5,))), base.change(transform=Transform()),
        base.change(transform=Transform(x=0.1)), base.change(tuning="cd" * 32), Recipe(sources=(code(), code(1))),
    ]  # fmt: skip
    assert len(set(others)) == len(others)
    assert len({r.digest for r in others}) == len(others)


def test_that_own_noise_is_used_where_a_code_has_some() -> None:
    with_noise = Code(array=array(0, C), space="w", generator=GENERATOR, noise=(array(0, 4, 4),))
    assert Recipe.of(with_noise).noise.mode == "own"
    assert Recipe.of(code()).noise.mode == "const"
    assert Recipe.of(code()).weights == ((1.0,),)
    assert Recipe(sources=(code(), code(1))).weights == ((1.0,), (0.0,))


@pytest.mark.parametrize(
    "fields",
    [
        {"sources": ()}, {"sources": (code(),) * (MAX_SOURCES + 1)}, {"weights": ((1.0,), (1.0,))}, {"weights": ((),)},
        {"weights": ((float("nan"),),)}, {"psi": ()}, {"psi": (float("inf"),)}, {"psi": (1.0, 1.0), "cutoff": 2}, {"cutoff": -1},
        {"psi": ("x",)}, {"psi": (10**400,)}, {"weights": (5,)}, {"psi": (1e7,)}, {"psi": (1.0,) * 65}, {"tuning": "x" * 2000}, {"cutoff": 99},
        {"directions": (Applied(Direction(name="d", vector=np.ones(C), sigma=1.0, generator=GENERATOR), 1.0),) * 257},
        {"sources": (code(), Code(array=array(0, C), space="w", generator="cd" * 32))},
        {"directions": (Applied(Direction(name="d", vector=np.ones(C), sigma=1.0, generator="cd" * 32), 1.0),)},
    ],
)  # fmt: skip
def test_that_what_is_no_recipe_is_refused(fields: dict[str, Any]) -> None:
    with pytest.raises(BadArgument):
        Recipe(**({"sources": (code(),)} | fields))


def test_that_parts_check_themselves() -> None:
    d = Direction(name="d", vector=np.ones(C), sigma=1.0, generator=GENERATOR)
    for make in (
        lambda: Noise("loud"), lambda: Noise("seed", -1), lambda: Noise(strength=()), lambda: Noise(strength=(float("nan"),)),
        lambda: Transform(float("inf")), lambda: Applied(d, float("nan")), lambda: Applied(d, 1.0, (4, 2)),
    ):  # fmt: skip
        with pytest.raises(BadArgument):
            make()


def test_that_a_transform_moves_the_picture_as_it_says() -> None:
    np.testing.assert_allclose(Transform(0.25, -0.5, 90).matrix(), [[0, 1, 0.25], [-1, 0, -0.5], [0, 0, 1]], atol=1e-7)
    np.testing.assert_array_equal(Transform().matrix(), np.eye(3))


# -- files of anybody -------------------------------------------------------------------------------------------------------------
def _whole() -> dict[str, Any]:
    d = Direction(name="d", vector=array(1, L, C), sigma=1.0, generator=GENERATOR, layers=(0, 3))
    recipe = Recipe(
        sources=(Code.from_seed(1, Z, GENERATOR), Code(array=array(0, L, C), space="w+", generator=GENERATOR, noise=(array(0, 4, 4),))),
        weights=((1.0,), (0.5,) * L), psi=(0.5,), cutoff=3, directions=(Applied(d, 1.0, (1, 2)),),
        noise=Noise("seed", 3, (0.5,)), transform=Transform(0.1, 0.2, 30), tuning="cd" * 32,
    )  # fmt: skip
    value: dict[str, Any] = json.loads(recipe.to_json())
    return value


def _places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    yield path
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in items:
        yield from _places(inner, (*path, key))


_PLACES = [p for p in _places(_whole()) if p]
_NASTY: list[Any] = [
    None, True, -1, 0, 1.5, 1e30, 1e308, float("nan"), float("inf"), 2**31, 2**64, 10**400, "", "x", "\ud800", "\0", "x" * 5000, [], {}, [[]],
    [None], [1, 2], ["a"], {"shape": [1], "f32": "AAAAAA=="}, {"shape": [2**24, 2**24], "f32": ""}, [1.0] * 100, {"a": {}}, [[1.0]] * 100,
]  # fmt: skip


@pytest.mark.parametrize("place", _PLACES, ids=lambda p: ".".join(map(str, p)))
def test_that_no_value_in_any_place_of_a_recipe_raises_anything_but_badargument(place: tuple[Any, ...]) -> None:
    refused = 0
    for nasty in [*_NASTY, KeyError]:
        value = copy.deepcopy(_whole())
        target = value
        for key in place[:-1]:
            target = target[key]
        if nasty is KeyError:
            del target[place[-1]]
        else:
            target[place[-1]] = nasty
        refused += _survives(json.dumps(value))
    # All that is nasty is refused but where a value is the person's own: an origin, a name, a generator's hash.
    assert refused > 5 or {"origin", "name", "method", "tuning", "generator"} & set(place)


def _survives(text: str) -> bool:
    """Whether it was refused; what was not must be a sound recipe."""
    said = ""
    try:
        recipe = Recipe.from_json(text)
    except BadArgument as error:
        said = str(error)
    else:
        assert Recipe.from_json(recipe.to_json()) == recipe
    assert "\n" not in said
    assert len(said) < 300
    return bool(said)


@pytest.mark.slow
@settings(max_examples=150, deadline=None)
@given(st.data())
def test_that_damaged_text_raises_nothing_but_badargument(data: st.DataObject) -> None:
    text = json.dumps(_whole())
    start = data.draw(st.integers(0, len(text)))
    length = data.draw(st.integers(0, 40))
    _survives(text[:start] + data.draw(st.text(max_size=10)) + text[start + length :])


@pytest.mark.parametrize(
    "text",
    ["", "null", "[]", "{", "5", '"x"', "[" * 100_000, '{"a":' * 100_000, "9" * 5000, '{"facelab": "recipe"}', "\0", "\ud800",
     '{"facelab":"recipe","version":' + "9" * 4000 + "}", '{"facelab": "recipe", "version": 1}', "NaN", " " * 1000],
)  # fmt: skip
def test_that_what_is_not_json_of_a_recipe_is_refused(text: str) -> None:
    assert _survives(text)


def test_that_a_newer_recipe_says_to_update() -> None:
    value = _whole() | {"version": VERSION + 1}
    with pytest.raises(BadArgument, match="update facelab"):
        Recipe.from_json(json.dumps(value))


def test_that_a_recipe_without_what_has_a_default_is_read() -> None:
    value = {"facelab": "recipe", "version": 1, "sources": [Code.from_seed(7, Z, GENERATOR).to_json()]}
    assert Recipe.from_json(json.dumps(value)) == Recipe.of(Code.from_seed(7, Z, GENERATOR))


def test_that_a_deep_origin_is_refused_or_kept() -> None:
    deep: Any = 1
    for _ in range(900):
        deep = [deep]
    value = _whole()
    value["sources"][0]["origin"]["x"] = deep
    _survives(json.dumps(value))
