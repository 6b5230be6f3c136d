"""Directions: found where they are, measured in sigmas, freed of one another."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from facelab.errors import BadArgument
from facelab.latent.code import Direction, Floats
from facelab.latent.direction import (
    METHODS,
    SHRINKAGE,
    Material,
    amount_of,
    find,
    from_array,
    group_of,
    layer_shares,
    orthogonalise,
    rank_layers,
    sigma_of,
    to_arrays,
)

GENERATOR = "ab" * 32
L, C = 6, 16


def spread(count: int = 4000, seed: int = 0) -> Floats:
    """Samples of a W whose axes have the standard deviations 16, 15, ... 1, about a mean."""
    return (np.random.RandomState(seed).randn(count, C) * np.arange(C, 0, -1) + 5).astype(np.float32)


def one(method: str, material: Material, **options: object) -> Direction:
    (direction,), _ = find(method, material, generator=GENERATOR, **options)
    return direction


def test_that_a_pair_leads_from_the_first_face_to_the_second() -> None:
    a, b = spread(2)
    d = one("pair", Material(spread(), (a[None], b[None])), name="to b")
    np.testing.assert_allclose(a + d.vector * np.linalg.norm(b - a), b, atol=1e-4)
    assert np.linalg.norm(d.vector) == pytest.approx(1)
    assert (d.name, d.method) == ("to b", "pair")
    w_avg = spread().mean(0)
    steps = amount_of(b, d, w_avg) - amount_of(a, d, w_avg)
    np.testing.assert_allclose(a + d.vector * d.sigma * steps, b, atol=1e-3)


def test_that_groups_differ_by_their_means() -> None:
    a, b = spread(300, 1), spread(300, 2)
    b[:, 3] += 100
    d = one("groups", Material(spread(), (a, b)))
    assert abs(d.vector[3]) > 0.99
    assert d.vector[3] > 0
    assert d.sigma == pytest.approx(13, rel=0.05)
    alone = one("groups", Material(spread(), (b,)))
    assert alone.vector[3] > 0.99


def test_that_groups_of_w_and_wplus_go_together() -> None:
    w = spread(5)
    wplus = np.repeat(spread(4, 3)[:, None], L, 1) + 1
    d = one("groups", Material(spread(), (w, wplus)), layers=(2, 4))
    assert d.vector.shape == (L, C)
    assert d.layers == (2, 4)
    mixed = group_of([w[0], wplus[0]])
    np.testing.assert_array_equal(mixed[0], np.repeat(w[:1], L, 0))
    assert group_of(list(w)).shape == (5, C)


def test_that_principal_components_come_by_falling_variance() -> None:
    directions, shares = find("pca", Material(spread(20000)), generator=GENERATOR, count=5)
    for i, d in enumerate(directions):
        assert d.vector[i] > 0.9, "of v and -v the one whose largest entry is positive"
        assert d.sigma == pytest.approx(C - i, rel=0.03)
    squares = np.arange(C, 0, -1.0) ** 2
    np.testing.assert_allclose(shares, squares[:5] / squares.sum(), rtol=0.05)
    assert [d.name for d in directions][:2] == ["Principal components 1", "Principal components 2"]
    assert len(find("pca", Material(spread(4)), generator=GENERATOR)[0]) == 3


def test_that_factorisation_finds_what_the_layers_answer_to() -> None:
    numbers = np.random.RandomState(0)
    loud = numbers.randn(40, 1) @ np.eye(C)[3:4] + 0.1 * numbers.randn(40, C)
    affines = (loud.astype(np.float32) * 7, np.zeros((3, C), np.float32))
    directions, shares = find("sefa", Material(spread(), affines=affines), generator=GENERATOR, count=C)
    assert directions[0].vector[3] > 0.95
    assert sum(shares) == pytest.approx(1)
    assert list(shares) == sorted(shares, reverse=True)
    gram = np.stack([d.vector for d in directions])
    np.testing.assert_allclose(gram @ gram.T, np.eye(C), atol=1e-5)
    # The definition, independently: right singular vectors of the normalised rows.
    rows = affines[0] / np.linalg.norm(affines[0], axis=1, keepdims=True)
    np.testing.assert_allclose(abs(np.linalg.svd(rows)[2][0] @ directions[0].vector), 1, atol=1e-4)


@pytest.mark.parametrize(
    ("method", "material"),
    [
        ("magic", Material(spread())),
        ("pair", Material(spread())),
        ("pair", Material(spread(), (spread(2), spread(1)))),
        ("pair", Material(spread(), (spread(1), spread(1)))),
        ("groups", Material(spread(), ())),
        ("groups", Material(spread(), (spread(1),) * 3)),
        ("groups", Material(spread(), (spread(2), np.zeros((0, C), np.float32)))),
        ("groups", Material(spread(), (spread(2), np.zeros((2, 7), np.float32)))),
        ("groups", Material(spread(), (spread(2), np.full((2, C), np.nan, np.float32)))),
        ("sefa", Material(spread())),
        ("sefa", Material(spread(), affines=(np.full((2, C), np.inf),))),
        ("pca", Material(spread(1))),
        ("pca", Material(np.full((5, C), np.nan, np.float32))),
        ("pca", Material(np.zeros((5, C), np.float32))),
    ],
)
def test_that_what_tells_nothing_is_refused(method: str, material: Material) -> None:
    with pytest.raises(BadArgument):
        find(method, material, generator=GENERATOR)


def test_that_every_method_says_what_it_needs() -> None:
    for method in METHODS.values():
        assert method.needs in ("groups", "samples", "affines")
        assert method.help.endswith(".")


# -- sigmas -----------------------------------------------------------------------------------------------------------------------
def test_that_sigma_is_the_spread_of_the_faces() -> None:
    w = spread()
    for i in range(C):
        assert sigma_of(3 * np.eye(C)[i], w) == pytest.approx(w[:, i].std(), rel=1e-5)


def test_that_a_direction_has_the_same_step_in_w_and_in_wplus() -> None:
    w, v = spread(), np.random.RandomState(3).randn(C)
    full = np.repeat(v[None], L, 0)
    np.testing.assert_allclose(
        full / np.linalg.norm(full) * sigma_of(full, w),
        np.repeat((v / np.linalg.norm(v))[None], L, 0) * sigma_of(v, w),
        rtol=1e-5,
    )
    single = np.zeros((L, C))
    single[2] = v
    assert sigma_of(single, w) == pytest.approx(sigma_of(v, w))
    cancelling = np.concatenate([full[:3], -full[3:]])
    assert sigma_of(cancelling, w) == pytest.approx(sigma_of(full, w))
    assert sigma_of(full + 1e-9, w) == pytest.approx(sigma_of(full, w), rel=1e-4)


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 1000), st.booleans(), st.floats(-5, 5))
def test_that_the_amount_of_a_moved_face_is_what_it_was_moved_by(seed: int, wplus: bool, amount: float) -> None:
    numbers = np.random.RandomState(seed)
    vector = numbers.randn(L, C) if wplus else numbers.randn(C)
    d = Direction(name="d", vector=vector, sigma=1.5, generator=GENERATOR, layers=(1, 5))
    w_avg = numbers.randn(C)
    code = np.repeat(w_avg[None], L, 0)
    code[1:5] += amount * d.sigma * np.broadcast_to(d.vector, (L, C))[1:5]
    assert amount_of(code, d, w_avg) == pytest.approx(amount, abs=1e-4)


# -- free of one another ------------------------------------------------------------------------------------------------------------
@settings(max_examples=40, deadline=None)
@given(st.integers(0, 1000), st.integers(1, 5), st.booleans())
def test_that_an_orthogonalised_direction_leaves_the_others_alone(seed: int, count: int, wplus: bool) -> None:
    numbers = np.random.RandomState(seed)
    others = [Direction(name="o", vector=numbers.randn(C), sigma=1, generator=GENERATOR) for _ in range(count)]
    others.append(Direction(name="twice", vector=others[0].vector * 2 + 1e-9, sigma=1, generator=GENERATOR))
    vector = numbers.randn(L, C) if wplus else numbers.randn(C)
    d = Direction(name="d", vector=vector, sigma=9, generator=GENERATOR, layers=(1, 3), method="pca")
    free = orthogonalise(d, others, spread())
    assert (free.name, free.layers, free.method) == ("d", (1, 3), "pca")
    assert np.linalg.norm(free.vector) == pytest.approx(1, abs=1e-5)
    covariance = np.cov(spread().T)
    read = np.linalg.inv(covariance + SHRINKAGE * np.trace(covariance) / C * np.eye(C))
    for o in others:
        reading = o.vector @ read / np.linalg.norm(o.vector @ read)
        assert abs((free.vector * reading).sum()) < 1e-4 * L, "what tells faces with it from others is the same"
    assert ((free.vector @ read) * d.vector).sum() > 0
    assert free.sigma == pytest.approx(sigma_of(free.vector, spread()))


def test_that_a_direction_of_groups_is_freed_of_another_that_comes_along_with_it() -> None:
    """Two attributes that W reads along axes of their own, on faces where they and a third thing are correlated."""
    numbers = np.random.RandomState(3)
    mix = numbers.randn(C, C) / 4 + np.eye(C)
    w = numbers.randn(20_000, C) @ mix
    a, b = numbers.randn(2, C)  # what a judge of faces reads: w @ a and w @ b
    made = {
        name: find("groups", Material(samples=w, groups=(w[w @ axis < -1][:2000], w[w @ axis > 1][:2000])), generator=GENERATOR)[0][0]
        for name, axis in (("a", a), ("b", b))
    }  # fmt: skip
    free = orthogonalise(made["a"], [made["b"]], w)
    as_found, freed = (abs(v @ b) / abs(v @ a) for v in (made["a"].vector, free.vector))
    assert freed < 0.25 * as_found
    assert free.vector @ a > 0


def test_that_orthogonalising_refuses_what_leaves_nothing() -> None:
    a, b = (
        Direction(name=n, vector=v, sigma=1, generator=GENERATOR) for n, v in (("a", np.eye(C)[0]), ("b", np.eye(C)[1]))
    )
    both = Direction(name="both", vector=np.eye(C)[0] + np.eye(C)[1], sigma=1, generator=GENERATOR)
    with pytest.raises(BadArgument, match="nothing of it is left"):
        orthogonalise(both, [a, b], spread())
    assert orthogonalise(a, [], spread()) is a
    with pytest.raises(BadArgument, match="generators"):
        orthogonalise(a, [Direction(name="x", vector=np.ones(C), sigma=1, generator="other")], spread())
    with pytest.raises(BadArgument, match="shapes"):
        orthogonalise(a, [Direction(name="x", vector=np.ones(C + 1), sigma=1, generator=GENERATOR)], spread())


def test_that_layers_are_ranked_by_what_they_move() -> None:
    vector = np.zeros((L, C))
    vector[4, 15], vector[1, 0] = 1.0, 4.0  # axis 15 spreads by 1, axis 0 by 16: a quarter of a sigma
    shares = layer_shares(vector, spread(20000))
    assert rank_layers(vector, spread(20000))[:2] == (4, 1)
    np.testing.assert_allclose(shares[[4, 1]], [0.8, 0.2], atol=0.01)
    assert shares.sum() == pytest.approx(1)
    with pytest.raises(BadArgument):
        layer_shares(np.zeros((L, C)), spread())


# -- files --------------------------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("shape", "count", "each"),
    [
        ((C,), 1, (C,)),
        ((1, C), 1, (C,)),
        ((L, C), 1, (L, C)),
        ((1, L, C), 1, (L, C)),
        ((4, L, C), 4, (L, C)),
        ((9, C), 9, (C,)),
    ],
)
def test_that_the_usual_shapes_of_direction_files_are_read(
    shape: tuple[int, ...], count: int, each: tuple[int, ...]
) -> None:
    array = np.random.RandomState(0).randn(*shape)
    found = from_array(array, name="age", generator=GENERATOR, num_ws=L, samples=spread())
    assert len(found) == count
    assert found[0].vector.shape == each
    assert found[0].method == "file"
    assert found[-1].name == (f"age {count}" if count > 1 else "age")
    assert np.linalg.norm(found[0].vector) == pytest.approx(1)


def test_that_rows_that_are_all_alike_are_one_direction_of_w() -> None:
    (d,) = from_array(np.repeat(np.ones((1, C)), L, 0), name="age", generator=GENERATOR, num_ws=L, samples=spread())
    assert d.vector.shape == (C,)


@pytest.mark.parametrize(
    "array",
    [
        np.zeros(C),
        np.zeros((0, C)),
        np.ones(C + 1),
        np.full(C, np.nan),
        np.ones((2, 2, 2, C)),
        np.ones((5000, C)),
        np.array(["a"] * C),
    ],
)
def test_that_arrays_that_are_no_directions_are_refused(array: Floats) -> None:
    with pytest.raises(BadArgument):
        from_array(array, name="x", generator=GENERATOR, num_ws=L, samples=spread())


def test_that_written_directions_are_read_again() -> None:
    directions, _ = find("pca", Material(spread()), generator=GENERATOR, count=3, layers=(0, 4))
    arrays = to_arrays(directions, L)
    assert arrays["vectors"].shape == (3, L, C)
    assert arrays["layers"].tolist() == [[0, 4]] * 3
    again = from_array(arrays["vectors"], name="x", generator=GENERATOR, num_ws=L, samples=spread())
    for a, b in zip(directions, again, strict=True):
        np.testing.assert_allclose(a.vector, b.vector, atol=1e-6)
        assert a.sigma == pytest.approx(b.sigma, rel=1e-5)
    with pytest.raises(BadArgument):
        to_arrays([], L)
