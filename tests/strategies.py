"""Random codes and recipes for property tests."""

from __future__ import annotations

import numpy as np
from hypothesis import strategies as st

from facelab.latent.code import Code, Direction
from facelab.latent.recipe import Applied, Noise, Recipe, Transform

GENERATOR = "ab" * 32
L, C, Z = 6, 8, 10

_seeds = st.integers(0, 2**32 - 1)
_numbers = st.floats(-1e3, 1e3, allow_nan=False)
_layers = st.none() | st.integers(0, L - 1).flatmap(lambda a: st.tuples(st.just(a), st.integers(a + 1, L)))
_json = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-1000, 1000)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=9),
    lambda v: st.lists(v, max_size=3) | st.dictionaries(st.text(max_size=5), v, max_size=3),
    max_leaves=5,
)


def array(seed: int, *shape: int, half: bool = False) -> np.ndarray:
    numbers = np.random.RandomState(seed).randn(*shape).astype(np.float32)
    return numbers.astype(np.float16).astype(np.float32) if half else numbers


@st.composite
def codes(draw: st.DrawFn, generator: str = GENERATOR) -> Code:
    space = draw(st.sampled_from(["z", "w", "w+"]))
    if space == "z" and draw(st.booleans()):
        return Code.from_seed(draw(_seeds), Z, generator, draw(st.none() | st.integers(0, 9)))
    noise = None
    if draw(st.booleans()):
        half = draw(st.booleans())
        noise = tuple(array(draw(_seeds), r, r, half=half) for r in (4, 8))
    return Code(
        array=array(draw(_seeds), *{"z": (Z,), "w": (C,), "w+": (L, C)}[space]), space=space, generator=generator,
        origin=draw(st.dictionaries(st.text(max_size=5), _json, max_size=3)), noise=noise,
    )  # fmt: skip


@st.composite
def directions(draw: st.DrawFn, generator: str = GENERATOR) -> Direction:
    return Direction(
        name=draw(st.text(max_size=20)), vector=array(draw(_seeds), *draw(st.sampled_from([(C,), (L, C)]))),
        sigma=draw(st.floats(1e-3, 1e3)), generator=generator, layers=draw(_layers), method=draw(st.sampled_from(["pca", "pair"])),
    )  # fmt: skip


@st.composite
def recipes(draw: st.DrawFn) -> Recipe:
    sources = tuple(draw(st.lists(codes(), min_size=1, max_size=4)))

    def some() -> st.SearchStrategy[tuple[float, ...]]:
        return st.lists(_numbers, min_size=1, max_size=1).map(tuple) | st.lists(_numbers, min_size=L, max_size=L).map(
            tuple
        )

    psi = draw(some())
    return Recipe(
        sources=sources,
        weights=draw(st.just(()) | st.tuples(*(some() for _ in sources))),
        psi=psi,
        cutoff=draw(st.none() | st.integers(0, L)) if len(psi) == 1 else None,
        directions=tuple(Applied(d, draw(_numbers), draw(_layers)) for d in draw(st.lists(directions(), max_size=3))),
        noise=Noise(draw(st.sampled_from(["const", "none", "seed", "own"])), draw(_seeds), draw(some())),
        transform=draw(st.none() | st.builds(Transform, _numbers, _numbers, _numbers)),
        tuning=draw(st.none() | st.text(max_size=64)),
    )
