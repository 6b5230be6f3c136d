"""Videos of descents and reports, by the engine: noise, cancelling, going on, errors."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
import torch

from facelab import checkpoints, nets
from facelab.engine.engine import TorchEngine
from facelab.engine.model import Model
from facelab.errors import BadArgument, PictureError, WrongGenerator
from facelab.jobs import EncodedPhoto, ExportDescent, Job, Progress, WriteReport, Written
from facelab.latent.code import Code
from facelab.latent.recipe import Recipe
from facelab.media.picture import png_of

SIDE = 32


@pytest.fixture(scope="module")
def engine() -> Iterator[TorchEngine]:
    made = TorchEngine("cpu")
    yield made
    made.close()


@pytest.fixture(scope="module")
def model(engine: TorchEngine, tmp_path_factory: pytest.TempPathFactory) -> Model:
    """A small generator whose noise shows, open in the engine."""
    network = nets.build(
        "stylegan2",
        {"resolution": SIDE, "channels": [8, 8, 8, 8], "z_dim": 8, "w_dim": 8, "mapping_features": [8]},
        seed=1,
    )
    with torch.no_grad():
        for name, tensor in network.state_dict().items():
            if name.endswith("noise_strength"):
                tensor.fill_(0.5)
    path = tmp_path_factory.mktemp("generator") / "small.safetensors"
    checkpoints.save(network, path)
    return engine.open(path)


@pytest.fixture
def parts(model: Model) -> dict[str, Any]:
    """A descent of three kept steps to a result with noise of its own."""
    random = np.random.RandomState(3)
    shape = (model.network.num_ws, model.network.w_dim)
    noise = tuple(random.randn(*s).astype(np.float32) for s in model.network.noise_shapes)
    codes = tuple(random.randn(*shape).astype(np.float32) for _ in range(3))
    result = Code(array=random.randn(*shape), space="w+", generator=model.sha256, noise=noise)
    return {
        "generator": model.sha256, "steps": (0, 4, 9), "codes": codes, "result": result, "seconds": 0.6, "rest": 0.2,
        "back": 0.4, "fps": 10, "size": SIDE,
    }  # fmt: skip


def work(engine: TorchEngine, job: Job, cancel_after: int | None = None) -> list[object]:
    cancel, answers = threading.Event(), []
    for answer in engine.run(job, cancel):
        answers += [] if answer is None else [answer]
        if cancel_after is not None and sum(isinstance(a, Progress) for a in answers) >= cancel_after:
            cancel.set()
    return answers


def drawn(engine: TorchEngine, recipe: Recipe) -> np.ndarray:
    *_, images = (a for a in engine.draw([recipe], SIDE, exact=True) if a is not None)
    return images.pixels[0].astype(int)


def test_that_noise_turns_from_the_generators_own_into_what_was_found(
    engine: TorchEngine, parts: dict[str, Any], tmp_path: Path
) -> None:
    path = tmp_path / "d.mkv"
    answers = work(engine, ExportDescent(path=path, **parts))
    assert answers[-1] == Written(path, f"12 frames of {SIDE} px")
    with av.open(str(path)) as video:
        frames = [frame.to_ndarray(format="rgb24").astype(int) for frame in video.decode(video=0)]
    assert len(frames) == 6 + 2 + 4
    first = Recipe.of(Code(array=parts["codes"][0], space="w+", generator=parts["generator"]))
    assert np.abs(frames[0] - drawn(engine, first)).max() <= 1
    for at_the_end in frames[5:8]:
        assert np.abs(at_the_end - drawn(engine, Recipe.of(parts["result"]))).max() <= 1


def test_that_the_loss_is_drawn_under_the_picture(engine: TorchEngine, parts: dict[str, Any], tmp_path: Path) -> None:
    path = tmp_path / "d.mkv"
    work(engine, ExportDescent(path=path, losses=np.geomspace(1, 0.1, 10).astype(np.float32), **(parts | {"size": 64})))
    with av.open(str(path)) as video:
        frames = [frame.to_ndarray(format="rgb24").astype(int) for frame in video.decode(video=0)]
    assert frames[0].shape == (128, 64, 3)
    assert np.abs(frames[0][64:] - frames[5][64:]).max() > 60


def test_that_a_cancelled_film_leaves_no_file_and_a_folder_goes_on(
    engine: TorchEngine, parts: dict[str, Any], tmp_path: Path
) -> None:
    assert not [a for a in work(engine, ExportDescent(path=tmp_path / "d.mp4", **parts), 1) if isinstance(a, Written)]
    assert not list(tmp_path.iterdir())
    folder, many = tmp_path / "frames", parts | {"fps": 40}
    work(engine, ExportDescent(path=folder, **many), 1)
    before = {p.name: p.stat().st_mtime_ns for p in folder.glob("*.png")}
    assert 0 < len(before) < 48
    work(engine, ExportDescent(path=folder, **many))
    assert len(list(folder.glob("*.png"))) == 48
    assert all((folder / name).stat().st_mtime_ns == when for name, when in before.items())


@pytest.mark.parametrize(
    ("change", "error"),
    [
        ({"steps": (0,), "codes": ()}, BadArgument), ({"fps": 0}, BadArgument), ({"seconds": float("nan")}, BadArgument),
        ({"seconds": 1e9}, BadArgument), ({"generator": "f" * 64}, WrongGenerator), ({"losses": np.zeros(9)}, BadArgument),
        ({"codes": (np.zeros((2, 2), np.float32),) * 3, "result": None}, BadArgument),
    ],
)  # fmt: skip
def test_that_a_descent_that_cannot_be_played_is_refused(
    engine: TorchEngine, parts: dict[str, Any], tmp_path: Path, change: dict[str, Any], error: type[Exception]
) -> None:
    with pytest.raises(error):
        work(engine, ExportDescent(path=tmp_path / "d.mp4", **(parts | change)))
    assert not list(tmp_path.iterdir())


# -- reports ------------------------------------------------------------------------------------------------------------
def photo(generator: str, **change: Any) -> EncodedPhoto:
    values = {
        "name": "me", "settings": "W+", "losses": np.geomspace(1, 0.1, 20).astype(np.float32), "seconds": np.arange(20.0),
        "zero": None, "target": png_of(np.full((SIDE, SIDE, 3), 90, np.uint8)), "recipe": None,
    } | change  # fmt: skip
    return EncodedPhoto(**values)


@pytest.mark.slow
def test_that_a_report_is_written_whole_or_not_at_all(
    engine: TorchEngine, parts: dict[str, Any], tmp_path: Path
) -> None:
    sha = parts["generator"]
    paths = (tmp_path / "r.html", tmp_path / "r.csv")
    runs = (photo(sha), photo(sha, name="you", recipe=Recipe.of(parts["result"])))
    answers = work(engine, WriteReport(generator=sha, runs=runs, paths=paths))
    assert [a for a in answers if isinstance(a, Written)] == [Written(p) for p in paths]
    assert paths[1].read_text().count("\n") == 3
    for path in paths:
        path.unlink()
    work(engine, WriteReport(generator=sha, runs=runs, paths=paths), 1)
    for change, error in (
        ({"runs": ()}, BadArgument), ({"paths": (tmp_path / "r.pdf",)}, BadArgument), ({"generator": "f" * 64}, WrongGenerator),
        ({"runs": (photo(sha), photo(sha, target=b"no picture"))}, PictureError),
        ({"runs": (photo(sha, target=None),)}, PictureError),
    ):  # fmt: skip
        with pytest.raises(error):
            work(engine, WriteReport(**({"generator": sha, "runs": runs, "paths": paths} | change)))
    assert not list(tmp_path.iterdir())
