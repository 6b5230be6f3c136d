"""The plane: three anchors span it, every point is a code."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from facelab.errors import BadArgument
from facelab.latent.code import Code, Direction
from facelab.latent.plane import FAR, ROW, SEEDS, Lattice, Plane, surface_from_json
from tests.strategies import GENERATOR, C, L, Z, array


def code(seed: int, space: str = "w+", **fields: object) -> Code:
    shape = {"z": (Z,), "w": (C,), "w+": (L, C)}[space]
    return Code(**({"array": array(seed, *shape), "space": space, "generator": GENERATOR} | fields))


def direction(*shape: int, layers: tuple[int, int] | None = None) -> Direction:
    return Direction(name="d", vector=array(9, *shape), sigma=2.0, generator=GENERATOR, layers=layers)


def plane(space: str = "w+") -> Plane:
    return Plane(origin=code(0, space), x=code(1, space), y=code(2, space))


@pytest.mark.parametrize("space", ["z", "w", "w+"])
def test_that_the_anchors_come_back_as_they_are(space: str) -> None:
    noisy = code(1, space, noise=(array(0, 4, 4),), origin={"photo": "a.jpg"})
    p = Plane(origin=code(0, space, origin={"seed": 3}), x=noisy, y=code(2, space))
    assert p.at(0, 0) is p.origin
    assert p.at(1, 0) is noisy
    assert p.at(0.0, 1.0) is p.y
    assert p.at(1, 1).noise is None


@settings(deadline=None)
@given(st.floats(-50, 50), st.floats(-50, 50), st.sampled_from(["z", "w", "w+"]))
def test_that_a_point_has_the_coordinates_that_it_was_asked_for(u: float, v: float, space: str) -> None:
    p = plane(space)
    point = p.at(u, v)
    assert point.space == space
    np.testing.assert_allclose(
        point.array,
        p.origin.array + u * (p.x.array - p.origin.array) + v * (p.y.array - p.origin.array),
        atol=1e-3,  # type: ignore[union-attr]
    )
    assert p.coordinates(point) == (pytest.approx(u, abs=1e-3), pytest.approx(v, abs=1e-3))


def test_that_a_face_off_the_plane_has_the_nearest_point() -> None:
    p = Plane(origin=code(0), x=direction(L, C), y=direction(C))
    off = code(7)
    u, v = p.coordinates(off)
    nearest = np.linalg.norm(p.at(u, v).array - off.array)
    for du, dv in ((0.01, 0), (-0.01, 0), (0, 0.01), (0, -0.01)):
        assert np.linalg.norm(p.at(u + du, v + dv).array - off.array) > nearest


def test_that_a_unit_of_a_direction_is_one_sigma() -> None:
    p = Plane(origin=code(0), x=direction(C), y=direction(L, C))
    np.testing.assert_allclose(p.at(1, 0).array, p.origin.array + 2 * array(9, C), atol=1e-5)
    np.testing.assert_allclose(p.at(0, -1.5).array, p.origin.array - 3 * array(9, L, C), atol=1e-5)


def test_that_a_direction_moves_the_layers_that_it_is_meant_for() -> None:
    p = Plane(origin=code(0), x=direction(C, layers=(1, 3)), y=code(2))
    moved = p.at(1, 0).array - p.origin.array
    assert not moved[[0, 3, 4, 5]].any()
    np.testing.assert_allclose(moved[1:3], np.repeat(2 * array(9, 1, C), 2, 0), atol=1e-5)


def test_that_codes_of_w_and_wplus_find_each_other() -> None:
    p, flat = plane(), plane("w")
    w = code(5, "w")
    assert p.coordinates(w) == pytest.approx(p.coordinates(code(0, array=np.repeat(w.array[None], L, 0))))
    same = code(0, array=np.repeat(flat.at(0.3, -2).array[None], L, 0))
    assert flat.coordinates(same) == (pytest.approx(0.3, abs=1e-5), pytest.approx(-2, abs=1e-5))


@pytest.mark.parametrize(
    "other",
    [code(1, "z"), code(1, "w", generator="cd" * 32), Code(array=array(0, L + 1, C), space="w+", generator=GENERATOR)],
)
def test_that_faces_from_elsewhere_have_no_place_on_a_plane(other: Code) -> None:
    with pytest.raises(BadArgument):
        plane().coordinates(other)


def test_that_a_flat_plane_still_answers() -> None:
    p = Plane(origin=code(0), x=code(0), y=code(2))
    u, v = p.coordinates(code(2))
    assert (u, v) == (pytest.approx(0), pytest.approx(1, abs=1e-5))


@pytest.mark.parametrize("point", [(float("nan"), 0), (0, float("inf")), (1e300, 0), (0, -2 * FAR)])
def test_that_a_point_out_of_numbers_is_refused(point: tuple[float, float]) -> None:
    with pytest.raises(BadArgument):
        plane().at(*point)


@pytest.mark.parametrize(
    "anchors",
    [
        {"x": code(1, "w")}, {"x": code(1, "z")}, {"y": code(1, generator="cd" * 32)}, {"x": code(1, array=array(0, L + 1, C))},
        {"origin": code(0, "z"), "y": code(2, "z"), "x": direction(Z)}, {"x": direction(C + 1)},
        {"origin": code(0, "w"), "y": code(2, "w"), "x": direction(L, C)},
    ],
)  # fmt: skip
def test_that_anchors_that_span_nothing_are_refused(anchors: dict[str, object]) -> None:
    with pytest.raises(BadArgument):
        Plane(**({"origin": code(0), "x": code(1), "y": code(2)} | anchors))


def test_that_a_plane_comes_back_from_json() -> None:
    for p in (plane(), plane("z"), Plane(origin=code(0), x=direction(C), y=direction(L, C, layers=(0, 2)))):
        again = Plane.from_json(json.loads(json.dumps(p.to_json())))
        assert again == p
        assert hash(again) == hash(p)
    assert plane() != Plane(origin=code(0), x=code(2), y=code(1))
    for bad in (
        None,
        [],
        {},
        {"origin": code(0).to_json(), "x": 5, "y": {}},
        plane().to_json() | {"x": code(1, "w").to_json()},
    ):
        with pytest.raises(BadArgument):
            Plane.from_json(bad)  # type: ignore[arg-type]


# -- the lattice ------------------------------------------------------------------------------------------------------------
def lattice(first: int = 7, **fields: object) -> Lattice:
    return Lattice(**({"first": first, "z_dim": Z, "generator": GENERATOR} | fields))


@settings(deadline=None)
@given(st.integers(0, SEEDS - 1), st.integers(-400, 400), st.integers(-50, 50))
def test_that_every_whole_point_of_the_lattice_is_the_face_of_a_seed(first: int, i: int, j: int) -> None:
    p = lattice(first)
    found = p.at(i, j)
    assert found == Code.from_seed((first + i + ROW * j) % SEEDS, Z, GENERATOR)
    assert p.coordinates(found) == (i, j)


def test_that_between_seeds_their_codes_are_blended_without_a_seam() -> None:
    p = lattice()
    np.testing.assert_allclose(p.at(0.25, 0).array, 0.75 * p.at(0, 0).array + 0.25 * p.at(1, 0).array, atol=1e-6)
    middle = sum(p.at(a, b).array for a in (0, 1) for b in (0, 1)) / 4
    np.testing.assert_allclose(p.at(0.5, 0.5).array, middle, atol=1e-6)
    for edge in (1.0, -2.0):
        np.testing.assert_allclose(p.at(edge - 1e-6, 0.3).array, p.at(edge, 0.3).array, atol=1e-4)
    assert p.coordinates(p.at(0.25, -3.5)) == (0.25, -3.5)


def test_that_a_face_that_is_no_seeds_has_no_place_among_them() -> None:
    p = lattice()
    for other in (code(3, "z"), code(3, "w"), code(3, "z", origin={"plane": [1, 2]}), code(3, "z", origin={"seed": 5})):
        with pytest.raises(BadArgument, match="no place"):
            p.coordinates(other)
    with pytest.raises(BadArgument, match="units"):
        p.at(2 * FAR, 0)


def test_that_a_lattice_survives_json_beside_planes() -> None:
    for surface in (lattice(), lattice(label=3), plane("z")):
        again = surface_from_json(json.loads(json.dumps(surface.to_json())))
        assert again == surface
        assert again.digest == surface.digest
    for broken in ({"lattice": -1}, {"lattice": "7", "z_dim": Z, "generator": GENERATOR}, [], None,
                   {"lattice": 7, "z_dim": Z, "generator": 3}, {"lattice": 7, "generator": GENERATOR}):  # fmt: skip
        with pytest.raises(BadArgument):
            surface_from_json(broken)
