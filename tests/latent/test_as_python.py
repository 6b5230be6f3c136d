"""The lines of Python draw what the window draws, bit for bit, with the embedded generator."""

from __future__ import annotations

import contextlib
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from facelab.errors import BadArgument
from facelab.jobs import GeneratorInfo, Images, OpenGenerator, Render, Resolve
from facelab.latent.as_python import as_python
from facelab.latent.code import Code, Direction
from facelab.latent.recipe import Applied, Noise, Recipe, Transform


@pytest.fixture(scope="module")
def engine() -> Iterator[Any]:
    from facelab.engine.engine import TorchEngine

    made = TorchEngine("cpu")
    yield made
    made.close()


def answers(engine: Any, job: object) -> list[Any]:
    return [a for a in engine.run(job, threading.Event()) if a is not None]


@pytest.fixture(scope="module")
def info(engine: Any) -> GeneratorInfo:
    (found,) = (a for a in answers(engine, OpenGenerator()) if isinstance(a, GeneratorInfo))
    return found


def seed(info: GeneratorInfo, number: int) -> Code:
    return Code.from_seed(number, info.z_dim, info.sha256)


def random(*shape: int, by: int = 0) -> np.ndarray:
    return np.random.RandomState(by).randn(*shape).astype(np.float32)


def recipes(info: GeneratorInfo) -> dict[str, Recipe]:
    L, C = info.num_ws, info.w_dim
    a, b, c = (seed(info, n) for n in (7, 8, 9))
    flat = Direction(name="age", vector=random(C) / np.linalg.norm(random(C)), sigma=1.7, generator=info.sha256)
    deep = Direction(name="a\nb", vector=random(L, C, by=1) / 99, sigma=0.3, generator=info.sha256, layers=(2, 5))
    axis = np.zeros(info.z_dim, np.float32)
    axis[4] = -1
    first = (1.0,) * 4 + (0.0,) * (L - 4)
    second = (0.0,) * 4 + (1.0,) * (L - 4)
    noise = tuple(0.5 * random(*shape, by=i) for i, shape in enumerate(info.noise_shapes))
    spaces = {
        "w": Code(array=info.w_avg + 0.3 * random(C), space="w", generator=info.sha256),
        "w+": Code(array=info.w_avg + 0.3 * random(L, C), space="w+", generator=info.sha256),
        "z": Code(array=random(info.z_dim), space="z", generator=info.sha256, origin={"plane": [0.5, 0.5]}),
        "axis": Code(array=axis, space="z", generator=info.sha256),
        "zero": Code(array=np.zeros_like(axis), space="z", generator=info.sha256),
        # An origin is only said: it may name a seed that the array is not of.
        "false seed": Code(array=random(info.z_dim, by=5), space="z", generator=info.sha256, origin={"seed": 3}),
    }
    return {name: Recipe.of(code) for name, code in spaces.items()} | {
        "seed": Recipe.of(a),
        "psi": Recipe.of(a).change(psi=(0.7,)),
        "cutoff": Recipe.of(a).change(psi=(0.3,), cutoff=5),
        "psi by layer": Recipe.of(a).change(psi=tuple(i / 10 for i in range(L))),
        "insert": Recipe(sources=(a, b), weights=(first, second)),
        "insert at both ends": Recipe(sources=(a, b), weights=(second, first), psi=(0.5,)),
        "blend": Recipe(sources=(a, spaces["w"], c), weights=((0.2,), tuple(i / 7 for i in range(L)), (1 / 3,)), psi=(0.8,)),
        "unused": Recipe(sources=(a, b), weights=((1.0,), (0.0,))),
        "directions": Recipe.of(a).change(directions=(Applied(flat, 1.5), Applied(deep, -2.25), Applied(flat, 0.1, (0, 3)), Applied(deep, 0.0))),
        "no noise": Recipe.of(b).change(noise=Noise("none")),
        "seeded noise": Recipe.of(b).change(noise=Noise("seed", 12, (0.5,))),
        "noise by layer": Recipe.of(b).change(noise=Noise("seed", 3, tuple(i / 5 for i in range(len(info.noise_shapes))))),
        "own noise": Recipe.of(Code(array=info.w_avg, space="w", generator=info.sha256, noise=noise)),
        "all": Recipe(
            sources=(a, spaces["w+"]), weights=((0.4,), (0.6,)), psi=(0.6,), cutoff=9, directions=(Applied(deep, 1.0, (0, L)),),
            noise=Noise("seed", 1),
        ),
    }  # fmt: skip


NAMES = [
    "w", "w+", "z", "axis", "zero", "false seed", "seed", "psi", "cutoff", "psi by layer", "insert", "insert at both ends",
    "blend", "unused", "directions", "no noise", "seeded noise", "noise by layer", "own noise", "all",
]  # fmt: skip


def test_that_every_recipe_is_tried(info: GeneratorInfo) -> None:
    assert sorted(recipes(info)) == sorted(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_that_the_lines_draw_the_same_pixels(
    engine: Any, info: GeneratorInfo, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = recipes(info)[name]
    drawn = next(a for a in answers(engine, Render(recipes=(recipe,))) if isinstance(a, Images) and a.final)
    noise = answers(engine, Resolve(recipes=(recipe,)))[0].codes[0].noise if recipe.noise.mode == "own" else None
    lines = as_python(recipe, num_ws=info.num_ws, w_dim=info.w_dim, noise=noise, title=name)
    monkeypatch.chdir(tmp_path)
    space: dict[str, Any] = {"__name__": "lines"}
    exec(compile(lines, "<lines>", "exec"), space)
    np.testing.assert_array_equal(space["pixels"][0], drawn.pixels[0])
    np.testing.assert_array_equal(np.asarray(Image.open(tmp_path / "face.png")), drawn.pixels[0])


def drawn_alike(engine: Any, recipe: Recipe, info: GeneratorInfo, folder: Path) -> str:
    """Run the lines of a recipe of a generator from a file, compare what they draw, and give them back."""
    drawn = next(a for a in answers(engine, Render(recipes=(recipe,))) if isinstance(a, Images) and a.final)
    noise = answers(engine, Resolve(recipes=(recipe,)))[0].codes[0].noise if recipe.noise.mode == "own" else None
    lines = as_python(recipe, num_ws=info.num_ws, w_dim=info.w_dim, path=info.path, noise=noise)
    space: dict[str, Any] = {}
    with contextlib.chdir(folder):
        exec(compile(lines, "<lines>", "exec"), space)
    np.testing.assert_array_equal(space["pixels"][0], drawn.pixels[0])
    return lines


def opened(engine: Any, folder: Path, network: Any) -> GeneratorInfo:
    import torch

    from facelab import checkpoints

    with torch.no_grad():
        for name, tensor in network.state_dict(keep_vars=True).items():
            if name.endswith("noise_strength"):
                tensor.fill_(0.4)
    checkpoints.save(network, folder / "it's tiny.safetensors")
    found = answers(engine, OpenGenerator(path=folder / "it's tiny.safetensors"))[-1]
    assert isinstance(found, GeneratorInfo)
    return found


def test_that_noise_and_classes_of_another_generator_are_drawn_alike(engine: Any, tmp_path: Path) -> None:
    from facelab import nets

    shape = {
        "resolution": 16,
        "channels": [8, 8, 8],
        "z_dim": 16,
        "w_dim": 16,
        "c_dim": 3,
        "mapping_features": [16, 16],
    }
    info = opened(engine, tmp_path, nets.build("stylegan2", shape, seed=4))
    noise = tuple(random(*one, by=i) for i, one in enumerate(info.noise_shapes))
    a = Code(array=random(info.num_ws, 16), space="w+", generator=info.sha256, noise=noise)
    b = Code.from_seed(5, 16, info.sha256, 2)
    none = drawn_alike(engine, Recipe.of(b).change(noise=Noise("none")), info, tmp_path)
    assert "np.eye(g.c_dim)[[2]]" in none
    for recipe in (
        Recipe.of(b), Recipe.of(a), Recipe.of(b).change(noise=Noise("seed", 9, (0.7,))), Recipe.of(b).change(noise=Noise("own")),
        Recipe(sources=(a, b), weights=((0.3,), (0.7,)), noise=Noise("own", strength=(1.5,))),
    ):  # fmt: skip
        drawn_alike(engine, recipe, info, tmp_path)


def test_that_the_position_of_stylegan3_is_drawn_alike(engine: Any, tmp_path: Path) -> None:
    from tests.checkpoints import examples

    info = opened(engine, tmp_path, examples.stylegan3())
    recipe = Recipe.of(Code.from_seed(1, info.z_dim, info.sha256)).change(psi=(0.5,))
    still = drawn_alike(engine, recipe, info, tmp_path)
    assert "transform" not in still
    drawn_alike(engine, recipe.change(transform=Transform(0.1, -0.2, 30.0)), info, tmp_path)


def test_that_a_seed_is_written_as_a_person_would(info: GeneratorInfo) -> None:
    lines = as_python(Recipe.of(seed(info, 7)).change(psi=(0.7,)), num_ws=info.num_ws, w_dim=info.w_dim, title="seed 7")
    assert (
        lines
        == f'''# seed 7
import numpy as np
from PIL import Image

import facelab

g = facelab.open()
assert g.sha256 == "{info.sha256}", "another generator than the one that drew this face"

ws = g.map(np.random.RandomState(7).randn(1, g.z_dim))

ws = g.w_avg + np.float32(0.7) * (ws - g.w_avg)  # truncation psi

pixels = g.render(ws)  # uint8 [1, H, W, 3]
Image.fromarray(pixels[0]).save("face.png")
'''
    )


def test_that_a_file_is_named_by_its_path_and_no_name_becomes_code(info: GeneratorInfo) -> None:
    nasty = 'x"\n)\nimport os  # '
    odd = Direction(name=nasty, vector=random(info.w_dim), sigma=1.0, generator=info.sha256)
    recipe = Recipe.of(seed(info, 1)).change(directions=(Applied(odd, 1.0),))
    lines = as_python(recipe, num_ws=info.num_ws, w_dim=info.w_dim, path=nasty, title=nasty)
    assert f"facelab.open({nasty!r})" in lines
    assert not [line for line in lines.splitlines() if line.startswith("import os")]
    compile(lines, "<lines>", "exec")


def test_that_what_lines_cannot_give_is_said(info: GeneratorInfo) -> None:
    recipe = Recipe.of(seed(info, 1))
    with pytest.raises(BadArgument, match="tuned"):
        as_python(recipe.change(tuning="ab" * 32), num_ws=info.num_ws, w_dim=info.w_dim)
    big = Code(array=info.w_avg, space="w", generator=info.sha256, noise=(np.zeros((1024, 1024), np.float32),))
    with pytest.raises(BadArgument, match="too much"):
        as_python(Recipe.of(big), num_ws=info.num_ws, w_dim=info.w_dim, noise=big.noise)
    with pytest.raises(BadArgument, match="noise maps"):
        as_python(Recipe.of(big), num_ws=info.num_ws, w_dim=info.w_dim)


def test_that_writing_lines_needs_neither_torch_nor_qt() -> None:
    import subprocess

    code = "import sys, facelab.latent.as_python; sys.exit(bool({'torch', 'PySide6'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
