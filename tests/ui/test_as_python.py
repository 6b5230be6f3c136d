"""The lines that are copied draw the face that is seen."""

from __future__ import annotations

import threading
from typing import Any

import numpy as np
import pytest

from facelab.errors import BadArgument
from facelab.jobs import GeneratorInfo, OpenGenerator, Render
from facelab.latent.code import Code, Direction
from facelab.latent.recipe import Applied, Noise, Recipe, Transform
from facelab.ui.as_python import as_python
from tests import fakes


def code(seed: int, sha: str = fakes.SHA, dim: int = fakes.Z_DIM) -> Code:
    return Code.from_seed(seed, dim, sha)


def recipes(info: GeneratorInfo) -> dict[str, Recipe]:
    random = np.random.RandomState(3)
    w = Code(array=info.w_avg + 0.3 * random.randn(info.w_dim).astype(np.float32), space="w", generator=info.sha256)
    full = Code(
        array=info.w_avg + 0.3 * random.randn(info.num_ws, info.w_dim).astype(np.float32),
        space="w+", generator=info.sha256, noise=tuple(random.randn(*s) for s in info.noise_shapes),
    )  # fmt: skip
    z = Code(array=random.randn(info.z_dim), space="z", generator=info.sha256)
    axis = Direction(
        name="a # \n name", vector=np.eye(info.w_dim, dtype=np.float32)[3], sigma=0.4, generator=info.sha256
    )
    seed = code(7, info.sha256, info.z_dim)
    ramp = tuple(np.linspace(0, 1, info.num_ws).round(6).tolist())
    return {
        "a seed": Recipe.of(seed),
        "every space, mixed by layer": Recipe(sources=(seed, w, z), weights=(ramp, ramp[::-1], (0.5,))),
        "psi with a cutoff": Recipe(sources=(seed,), psi=(0.6,), cutoff=5),
        "psi by layer": Recipe(sources=(full,), psi=ramp),
        "directions": Recipe(sources=(seed,), directions=(Applied(axis, 2.5, (2, 6)), Applied(axis, -1.0))),
        "seeded noise": Recipe(sources=(seed,), noise=Noise("seed", 5, (1.5,))),
        "no noise": Recipe(sources=(seed,), noise=Noise("none")),
        "its own noise": Recipe.of(full),
    }


@pytest.mark.parametrize("name", recipes(fakes.info()))
def test_that_the_lines_are_python_that_only_needs_the_api(name: str) -> None:
    text = as_python(recipes(fakes.info())[name], fakes.info())
    compile(text, name, "exec")
    assert text.count("facelab.open()") == 1


def test_that_a_transform_is_written_as_its_matrix() -> None:
    moved = Recipe(sources=(code(1),), transform=Transform(0.1, 0.0, 90.0))
    assert "transform=transform" in as_python(moved, fakes.info())


def test_that_a_path_is_quoted() -> None:
    text = as_python(Recipe.of(code(1)), fakes.info(path="/models/it's.pkl"))
    assert 'facelab.open("/models/it\'s.pkl")' in text


def test_that_what_the_api_cannot_do_is_refused_in_a_sentence() -> None:
    with pytest.raises(BadArgument, match="tuned"):
        as_python(Recipe(sources=(code(1),), tuning="ab" * 32), fakes.info())


@pytest.mark.slow
def test_that_the_lines_draw_the_face() -> None:
    from facelab.engine.engine import TorchEngine

    engine = TorchEngine("cpu")
    try:
        (info,) = [a for a in engine.run(OpenGenerator(), threading.Event()) if isinstance(a, GeneratorInfo)]
        for name, recipe in recipes(info).items():
            *_, seen = engine.run(Render(recipes=(recipe,)), threading.Event())
            space: dict[str, Any] = {}
            exec(as_python(recipe, info), space)
            away = np.abs(space["pixels"].astype(int) - seen.pixels[0].astype(int))  # type: ignore[union-attr]
            assert away.max() <= 2, name
    finally:
        engine.close()
