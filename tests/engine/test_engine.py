"""The engine, with the embedded generator and tiny random ones."""

from __future__ import annotations

import inspect
import itertools
import json
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import pytest
import torch
from PIL import Image

from facelab import checkpoints, jobs, nets
from facelab.engine import bfloat16, projection
from facelab.engine import engine as module
from facelab.engine.desk import Desk
from facelab.engine.engine import TorchEngine
from facelab.engine.losses import LOSSES
from facelab.engine.model import Recent, to_pixels
from facelab.errors import (
    AmbiguousLatent,
    BadArgument,
    CheckpointError,
    ExportError,
    FacelabError,
    LatentError,
    MissingPart,
    OutOfMemory,
    WrongGenerator,
)
from facelab.jobs import (
    Answer,
    Codes,
    Directions,
    ExportMorph,
    ExportPictures,
    ExportPlane,
    ExportTable,
    FindDirections,
    GeneratorInfo,
    Images,
    Job,
    OpenGenerator,
    Progress,
    Project,
    ProjectionDone,
    ProjectionSettings,
    ProjectionStep,
    ReadLatents,
    Render,
    RenderTiles,
    Resolve,
    SaveGenerator,
    Thumbnails,
    Tiles,
    Tune,
    TuningDone,
    TuningReady,
    TuningSettings,
    UseTuning,
    UseTunings,
    WriteLatents,
    Written,
)
from facelab.latent.code import Code, frozen
from facelab.latent.plane import Plane
from facelab.latent.recipe import Applied, Noise, Recipe, Transform
from facelab.media.picture import read_recipe
from facelab.nets.encoder import Encoder
from facelab.project import Project as ProjectFile

A = TypeVar("A", bound=Answer)


def answers(engine: TorchEngine, job: Job, kind: type[A] = Answer) -> list[A]:  # type: ignore[assignment]
    return [a for a in engine.run(job, threading.Event()) if isinstance(a, kind)]


def drawn(engine: TorchEngine, *recipes: Recipe, resolution: int | None = None) -> np.ndarray:
    return answers(engine, Render(recipes=recipes, resolution=resolution), Images)[-1].pixels


def small(engine: TorchEngine, *recipes: Recipe) -> np.ndarray:
    return answers(engine, Thumbnails(recipes=recipes, resolution=64), Images)[-1].pixels


def opened(path: Path) -> np.ndarray:
    with Image.open(path) as image:
        return np.asarray(image)


def refused(engine: TorchEngine, job: Job, error: type[FacelabError], words: str) -> None:
    with pytest.raises(error, match=words):
        answers(engine, job)


@pytest.fixture(autouse=True)
def exact_pictures(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is drawn for the eye is compared with what is exported, so both as on a processor without fast bfloat16."""
    monkeypatch.setattr(bfloat16, "pays", lambda: False)


@pytest.fixture(scope="module")
def engine() -> Iterator[TorchEngine]:
    made = TorchEngine("cpu")
    yield made
    made.close()


@pytest.fixture(scope="module")
def info(engine: TorchEngine) -> GeneratorInfo:
    return answers(engine, OpenGenerator(), GeneratorInfo)[0]


@pytest.fixture
def seed(info: GeneratorInfo) -> Callable[[int], Recipe]:
    return lambda number: Recipe.of(Code.from_seed(number, info.z_dim, info.sha256))


def tiny(folder: Path, number: int = 0, **options: Any) -> Path:
    """A small random generator whose noise shows."""
    given: dict[str, Any] = {
        "resolution": 32, "channels": [12, 12, 8, 8], "z_dim": 16, "w_dim": 16, "mapping_features": [16, 16],
    }  # fmt: skip
    network = nets.build("stylegan2", given | options, seed=number)
    with torch.no_grad():
        for name, tensor in network.state_dict(keep_vars=True).items():
            if name.endswith("noise_strength"):
                tensor.fill_(0.4)
    path = folder / f"tiny{number}.safetensors"
    checkpoints.save(network, path)
    return path


# -- opening ------------------------------------------------------------------------------------------------------------
def test_that_the_embedded_generator_opens_and_describes_itself(info: GeneratorInfo) -> None:
    assert info.family == "stylegan2"
    assert len(info.layers) == info.num_ws
    assert info.layers[0].name == "b4.conv1"
    assert info.layers[-1].name.endswith("torgb")
    assert info.w_avg.shape == (info.w_dim,)
    assert not info.w_avg.flags.writeable
    assert info.parameters > 1_000_000


def test_that_w_std_is_the_deviation_of_one_channel_of_w(engine: TorchEngine, info: GeneratorInfo) -> None:
    z = np.random.RandomState(1).randn(2000, info.z_dim).astype(np.float32)
    w = engine.model(info.sha256).map(z)
    assert info.w_std == pytest.approx(float(np.sqrt(np.mean(np.square(w - w.mean(0))))), rel=0.03)


def test_that_opening_tells_whether_noise_does_anything(tmp_path: Path) -> None:
    engine = TorchEngine("cpu")
    (loud,) = answers(engine, OpenGenerator(path=tiny(tmp_path)), GeneratorInfo)
    assert loud.noise_works
    assert len(loud.noise_shapes) == 7


def test_that_a_file_that_is_no_generator_is_refused(engine: TorchEngine, tmp_path: Path) -> None:
    (tmp_path / "x.pkl").write_bytes(b"no generator")
    refused(engine, OpenGenerator(path=tmp_path / "x.pkl"), CheckpointError, "x.pkl")


def test_that_an_unknown_device_is_refused(engine: TorchEngine) -> None:
    refused(engine, OpenGenerator(device="tpu"), BadArgument, "tpu")


@pytest.mark.slow
def test_that_a_saved_generator_is_the_same_one(engine: TorchEngine, info: GeneratorInfo, tmp_path: Path) -> None:
    path = tmp_path / "copy.safetensors"
    assert answers(engine, SaveGenerator(generator=info.sha256, path=path), Written)[0].path == path
    (again,) = answers(TorchEngine("cpu"), OpenGenerator(path=path), GeneratorInfo)
    assert again.sha256 == info.sha256


def test_that_a_generator_put_out_of_memory_is_read_again(tmp_path: Path) -> None:
    engine = TorchEngine("cpu")
    opened = [
        answers(engine, OpenGenerator(path=tiny(tmp_path, n)), GeneratorInfo)[0] for n in range(module.MODELS + 1)
    ]
    assert len(engine._models) == module.MODELS
    assert drawn(engine, Recipe.of(Code.from_seed(1, 16, opened[0].sha256))).shape == (1, 32, 32, 3)


def test_that_a_face_of_the_embedded_generator_is_drawn_before_anybody_opened_it(
    info: GeneratorInfo, seed: Callable[[int], Recipe], tmp_path: Path
) -> None:
    fresh = TorchEngine("cpu")
    answers(fresh, OpenGenerator(path=tiny(tmp_path)))
    assert drawn(fresh, seed(1)).shape == (1, info.resolution, info.resolution, 3)


def test_that_every_job_has_its_method_on_its_side() -> None:
    engine, desk = (
        {job for job in inspect.getattr_static(kind, "_run").dispatcher.registry if job is not object}
        for kind in (TorchEngine, Desk)
    )
    known = {one for _, one in inspect.getmembers(jobs, inspect.isclass) if issubclass(one, Job) and one is not Job}
    assert desk == {one for one in known if one.kind == "side"}
    assert engine == known - desk


# -- pictures -----------------------------------------------------------------------------------------------------------
def test_that_the_face_of_a_seed_is_what_the_network_draws(
    engine: TorchEngine, info: GeneratorInfo, seed: Callable[[int], Recipe]
) -> None:
    network = engine.model(info.sha256).network
    z = torch.tensor(np.random.RandomState(7).randn(1, info.z_dim), dtype=torch.float32)
    with torch.no_grad():
        ws = network.map(z)[:, None].expand(-1, info.num_ws, -1)
        plain = ((network.synthesize(ws) + 1) * 127.5).round().clamp(0, 255)
    pixels = drawn(engine, seed(7)).astype(int)
    assert np.abs(pixels - plain.permute(0, 2, 3, 1).numpy()).max() <= 1


def test_that_pictures_come_coarse_to_fine_where_it_takes_long(
    engine: TorchEngine, seed: Callable[[int], Recipe], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "PATIENCE", 0)
    images = answers(engine, Render(recipes=(seed(70),)), Images)
    assert [i.resolution for i in images] == [32, 64, 128, 256]
    assert [i.final for i in images] == [False, False, False, True]
    assert all(i.pixels.shape == (1, i.resolution, i.resolution, 3) for i in images)
    assert all(i.pixels.flags.c_contiguous and not i.pixels.flags.writeable for i in images)
    assert images[0].seconds <= images[-1].seconds


@pytest.mark.slow
def test_that_many_pictures_come_in_the_order_of_their_recipes(
    engine: TorchEngine, seed: Callable[[int], Recipe]
) -> None:
    recipes = [seed(n).change(noise=Noise("none" if n % 3 else "const"), psi=(0.1 * n,)) for n in range(12)]
    together = drawn(engine, *recipes, resolution=64)
    alone = np.concatenate([drawn(engine, r, resolution=64) for r in recipes])
    assert np.abs(together.astype(int) - alone).max() <= 1


def test_that_thumbnails_answer_once(engine: TorchEngine, seed: Callable[[int], Recipe]) -> None:
    (images,) = answers(engine, Thumbnails(recipes=(seed(1), seed(2)), resolution=64), Images)
    assert images.pixels.shape == (2, 64, 64, 3)


def test_that_thumbnails_are_the_whole_picture_made_small(
    engine: TorchEngine, seed: Callable[[int], Recipe], tmp_path: Path
) -> None:
    whole = drawn(engine, seed(1))[0]
    reduced = np.asarray(Image.fromarray(whole).resize((48, 48), Image.Resampling.LANCZOS))
    (images,) = answers(engine, Thumbnails(recipes=(seed(1),), resolution=48), Images)
    assert np.array_equal(images.pixels[0], reduced)
    (info,) = answers(engine, OpenGenerator(path=tiny(tmp_path)), GeneratorInfo)
    mixed = (seed(1), Recipe.of(Code.from_seed(1, 16, info.sha256)))
    (images,) = answers(engine, Thumbnails(recipes=mixed, resolution=48), Images)
    assert np.array_equal(images.pixels[0], reduced)
    refused(engine, Render(recipes=mixed), BadArgument, "different sizes")
    for side in (0, -3, 100_000):
        refused(engine, Thumbnails(recipes=mixed, resolution=side), BadArgument, "pixels wide")


def test_that_no_yield_stands_inside_a_torch_context(engine: TorchEngine, seed: Callable[[int], Recipe]) -> None:
    for _ in engine.run(Render(recipes=(seed(3),)), threading.Event()):
        assert not torch.is_inference_mode_enabled()
        assert torch.is_grad_enabled()


@pytest.mark.slow
def test_that_a_render_that_is_closed_half_way_leaves_the_engine_sound(
    engine: TorchEngine, seed: Callable[[int], Recipe]
) -> None:
    for stop in range(1, 6):
        run = engine.run(Render(recipes=(seed(90 + stop),)), threading.Event())
        for _ in range(stop):
            next(run)
        run.close()  # type: ignore[attr-defined]
        whole = drawn(engine, seed(90 + stop))
        engine.trim()
        assert np.abs(drawn(engine, seed(90 + stop)).astype(int) - whole).max() <= 1


def test_that_a_resolution_the_network_does_not_have_is_refused(
    engine: TorchEngine, seed: Callable[[int], Recipe]
) -> None:
    for resolution in (100, 512, 0, -64):
        refused(engine, Render(recipes=(seed(1),), resolution=resolution), BadArgument, "resolution must be one of")


def test_that_nothing_to_draw_is_said(engine: TorchEngine) -> None:
    refused(engine, Render(recipes=()), BadArgument, "nothing to draw")


def test_that_a_face_of_another_generator_is_refused(engine: TorchEngine, info: GeneratorInfo) -> None:
    stranger = Recipe.of(Code.from_seed(1, info.z_dim, "ab" * 32))
    refused(engine, Render(recipes=(stranger,)), WrongGenerator, "abababababab")


def test_that_a_face_of_a_tuned_generator_says_what_is_missing(
    engine: TorchEngine, seed: Callable[[int], Recipe]
) -> None:
    refused(engine, Render(recipes=(seed(1).change(tuning="cd" * 32),)), WrongGenerator, "tuned")


def test_that_a_code_of_the_wrong_length_is_refused(engine: TorchEngine, info: GeneratorInfo) -> None:
    refused(engine, Render(recipes=(Recipe.of(Code.from_seed(1, 64, info.sha256)),)), BadArgument, "z of 64 numbers")
    short = Code(array=np.ones((3, 512)), space="w+", generator=info.sha256)
    refused(engine, Render(recipes=(Recipe.of(short),)), BadArgument, r"\[3, 512\]")


def test_that_a_picture_without_finite_numbers_is_refused(engine: TorchEngine, info: GeneratorInfo) -> None:
    far = Code(array=np.full((info.num_ws, info.w_dim), 3e38), space="w+", generator=info.sha256)
    refused(engine, Render(recipes=(Recipe.of(far),)), BadArgument, "far out")


def test_that_a_transform_on_stylegan2_is_refused(engine: TorchEngine, seed: Callable[[int], Recipe]) -> None:
    refused(engine, Render(recipes=(seed(1).change(transform=Transform(0.1)),)), BadArgument, "StyleGAN3")


@pytest.mark.parametrize("channels", [1, 3, 4])
def test_that_grey_and_transparent_pictures_become_rgb(tmp_path: Path, channels: int) -> None:
    engine = TorchEngine("cpu")
    (info,) = answers(engine, OpenGenerator(path=tiny(tmp_path, img_channels=channels)), GeneratorInfo)
    pixels = drawn(engine, Recipe.of(Code.from_seed(1, 16, info.sha256)))
    assert pixels.shape == (1, 32, 32, 3)
    if channels == 1:
        assert (pixels[..., 0] == pixels[..., 2]).all()


def test_that_levels_are_rounded_and_transparency_lies_on_middle_grey() -> None:
    x = torch.tensor([-1.0, -0.999, 0.0, 1.0, 7.0]).reshape(1, 1, 1, 5)
    assert to_pixels(x)[0, 0, :, 0].tolist() == [0, 0, 128, 255, 255]
    clear = torch.tensor([1.0, 1.0, 1.0, -1.0]).reshape(1, 4, 1, 1)
    assert to_pixels(clear).ravel().tolist() == [128, 128, 128]


# -- conditional generators ---------------------------------------------------------------------------------------------
def test_that_a_class_chooses_the_face_and_a_missing_one_names_c_dim(tmp_path: Path) -> None:
    engine = TorchEngine("cpu")
    (info,) = answers(engine, OpenGenerator(path=tiny(tmp_path, c_dim=3, embed_features=16)), GeneratorInfo)
    assert info.c_dim == 3
    one, two = (drawn(engine, Recipe.of(Code.from_seed(1, 16, info.sha256, label))) for label in (0, 2))
    assert not np.array_equal(one, two)
    for label in (None, 3):
        bare = Recipe.of(Code.from_seed(1, 16, info.sha256, label))
        refused(engine, Render(recipes=(bare,)), BadArgument, "c_dim 3")


# -- noise --------------------------------------------------------------------------------------------------------------
@pytest.fixture
def noisy(tmp_path: Path) -> tuple[TorchEngine, GeneratorInfo]:
    engine = TorchEngine("cpu")
    return engine, answers(engine, OpenGenerator(path=tiny(tmp_path)), GeneratorInfo)[0]


def with_noise(info: GeneratorInfo, number: int) -> Code:
    """The face of a seed with maps of its own."""
    random = np.random.RandomState(100 + number)
    code = Code.from_seed(number, info.z_dim, info.sha256)
    return replace(code, noise=tuple(frozen(random.randn(*shape)) for shape in info.noise_shapes))


def test_that_noise_modes_and_strength_are_told_apart(noisy: tuple[TorchEngine, GeneratorInfo]) -> None:
    engine, info = noisy
    face = Recipe.of(Code.from_seed(1, info.z_dim, info.sha256))
    const, none, one, two, off = (
        drawn(engine, face.change(noise=n))
        for n in (Noise(), Noise("none"), Noise("seed", 1), Noise("seed", 2), Noise("const", strength=(0.0,)))
    )
    for a, b in ((const, none), (const, one), (one, two)):
        assert np.abs(a.astype(int) - b).mean() > 1
    assert np.array_equal(none, off)
    assert np.array_equal(one, drawn(engine, face.change(noise=Noise("seed", 1))))


def test_that_a_wrong_number_of_noise_strengths_is_refused(noisy: tuple[TorchEngine, GeneratorInfo]) -> None:
    engine, info = noisy
    face = Recipe.of(Code.from_seed(1, info.z_dim, info.sha256))
    refused(engine, Render(recipes=(face.change(noise=Noise(strength=(1.0, 2.0))),)), BadArgument, "7 numbers")


def test_that_a_code_is_drawn_with_its_own_noise(noisy: tuple[TorchEngine, GeneratorInfo]) -> None:
    engine, info = noisy
    code = with_noise(info, 1)
    face = Recipe.of(code)
    assert face.noise.mode == "own"
    network = engine.model(info.sha256).network
    with torch.no_grad():
        ws = torch.tensor(engine.model(info.sha256).ws(face))[None]
        plain = network.synthesize(ws, noise=[torch.tensor(np.array(n)) for n in code.noise or ()])
    assert np.abs(drawn(engine, face).astype(int) - to_pixels(plain)).max() <= 1


def test_that_own_noise_of_other_shapes_is_refused(noisy: tuple[TorchEngine, GeneratorInfo]) -> None:
    engine, info = noisy
    code = replace(Code.from_seed(1, info.z_dim, info.sha256), noise=(frozen(np.ones((4, 4))),))
    refused(engine, Render(recipes=(Recipe.of(code),)), BadArgument, "noise of this face does not fit")


def test_that_mixed_own_noise_is_as_strong_as_each_and_exact_at_the_ends(
    noisy: tuple[TorchEngine, GeneratorInfo],
) -> None:
    engine, info = noisy
    model = engine.model(info.sha256)
    one, two = with_noise(info, 1), with_noise(info, 2)
    half = Recipe(sources=(one, two), weights=((0.5,), (0.5,)), noise=Noise("own"))
    mixed = model.own_noise(half)
    assert mixed is not None
    assert mixed[-1].std() == pytest.approx(1, abs=0.05)
    per_layer = tuple(float(n < 4) for n in range(info.num_ws))
    other = tuple(1 - w for w in per_layer)
    split = model.own_noise(Recipe(sources=(one, two), weights=(per_layer, other), noise=Noise("own")))
    assert split is not None
    assert np.array_equal(split[0], (one.noise or ())[0])
    assert np.array_equal(split[-1], (two.noise or ())[-1])


# -- tuning -------------------------------------------------------------------------------------------------------------
@pytest.mark.slow
def test_that_a_tuned_generator_draws_its_faces_until_after_it_had_to_go(
    noisy: tuple[TorchEngine, GeneratorInfo], tmp_path: Path
) -> None:
    engine, info = noisy
    code = Code.from_seed(1, info.z_dim, info.sha256)
    target = drawn(engine, Recipe.of(Code.from_seed(2, info.z_dim, info.sha256)))[0]
    job = Tune(run="t", generator=info.sha256, code=code, target=target, settings=TuningSettings(steps=3, locality=0))
    (done,) = answers(engine, job, TuningDone)
    tuned = Recipe.of(code).change(tuning=done.tuning)
    assert np.abs(drawn(engine, tuned)[0].astype(int) - done.pixels).max() <= 1
    assert not np.array_equal(drawn(engine, tuned), drawn(engine, Recipe.of(code)))
    for number in range(1, 5):
        answers(engine, OpenGenerator(path=tiny(tmp_path, number)))
    assert np.abs(drawn(engine, tuned)[0].astype(int) - done.pixels).max() <= 1

    other = TorchEngine("cpu")
    answers(other, OpenGenerator(path=tmp_path / "tiny0.safetensors"))
    refused(other, Render(recipes=(tuned,)), WrongGenerator, "tuned")
    (ready,) = answers(other, UseTuning(generator=info.sha256, blob=done.blob), TuningReady)
    assert ready.tuning == done.tuning
    assert np.abs(drawn(other, tuned)[0].astype(int) - done.pixels).max() <= 1
    refused(other, UseTuning(generator=info.sha256, blob=done.blob[:50]), BadArgument, "cannot be read")

    third = TorchEngine("cpu")
    answers(third, OpenGenerator(path=tmp_path / "tiny0.safetensors"))
    with ProjectFile.open(tmp_path / "people.facelab") as project:
        project.add_tuning(done.tuning, info.sha256, done.blob)
        project.add_tuning("ab" * 32, info.sha256, done.blob)
        project.flush()
        answers(third, UseTunings(project=project.path))
        assert np.abs(drawn(third, tuned)[0].astype(int) - done.pixels).max() <= 1
        refused(third, Render(recipes=(tuned.change(tuning="ab" * 32),)), WrongGenerator, "tuned")


# -- the encoder --------------------------------------------------------------------------------------------------------
def own_encoder(info: GeneratorInfo, path: Path, mean: float = 1.0) -> Encoder:
    """A small encoder of seeded weights that gives codes of a generator, as read from its file."""
    with torch.random.fork_rng():
        torch.manual_seed(3)
        made = Encoder(("yaw", "smile"), num_ws=info.num_ws, w_dim=info.w_dim)
    made.w_avg = torch.from_numpy(info.w_avg * np.float32(mean))
    made.moves = torch.randn(2, info.w_dim, generator=torch.Generator().manual_seed(4)) * 0.3
    made.save(path, {})
    return Encoder.load(path)


@pytest.mark.slow
def test_that_the_window_is_told_whether_the_encoder_knows_the_generator(
    engine: TorchEngine, info: GeneratorInfo, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def told(found: Encoder | None) -> bool:
        def encoder() -> Encoder:
            if found is None:
                raise MissingPart("no encoder here")
            return found

        monkeypatch.setattr(projection, "embedded_encoder", encoder)
        return answers(engine, OpenGenerator(), GeneratorInfo)[0].encoder

    assert told(own_encoder(info, tmp_path / "a.safetensors"))
    assert not told(own_encoder(info, tmp_path / "b.safetensors", mean=50.0))
    assert not told(None)


def test_that_every_loss_is_described_with_what_it_needs(info: GeneratorInfo) -> None:
    told = {loss.name: loss for loss in info.losses}
    assert list(told) == [loss.name for loss in LOSSES]
    assert (told["perceptual"].needs, told["portraits"].needs, told["pixels"].needs) == ("vgg16", "encoder", "")
    assert told["pixels"].weight > 0


@pytest.mark.slow
def test_that_a_photograph_is_encoded_from_the_encoders_guess_by_its_features(
    engine: TorchEngine, info: GeneratorInfo, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    encoder = own_encoder(info, tmp_path / "encoder.safetensors")
    monkeypatch.setattr(projection, "embedded_encoder", lambda: encoder)
    target = drawn(engine, Recipe.of(Code.from_seed(4, info.z_dim, info.sha256)))[0]
    settings = ProjectionSettings(steps=12, start="encoder", losses={"portraits": 1.0, "pixels": 1.0})
    job = Project(run="r", generator=info.sha256, target=target, settings=settings, every_step=True)
    steps = answers(engine, job, ProjectionStep)
    assert steps[0].ws is not None
    assert np.allclose(steps[0].ws, encoder.guess(target), atol=1e-3)
    losses = {name: [v for step in steps for v in step.losses[name]] for name in ("portraits", "pixels")}
    assert losses["portraits"][-1] < losses["portraits"][0]
    assert losses["pixels"][-1] < losses["pixels"][0]


# -- memory -------------------------------------------------------------------------------------------------------------
def full_above(monkeypatch: pytest.MonkeyPatch, engine: TorchEngine, sha256: str, most: int) -> list[int]:
    """Let memory run out for batches of more than ``most``; returns the sizes that were tried."""
    renderer = engine.model(sha256).renderer
    steps, tried = renderer.steps, []

    def scarce(ws: torch.Tensor, **options: Any) -> Any:
        tried.append(len(ws))
        if len(ws) > most:
            raise RuntimeError("[enforce fail at alloc_cpu.cpp:121] DefaultCPUAllocator: can't allocate memory")
        return steps(ws, **options)

    monkeypatch.setattr(renderer, "steps", scarce)
    return tried


def test_that_a_batch_that_does_not_fit_is_halved_and_caches_are_dropped(
    engine: TorchEngine, info: GeneratorInfo, seed: Callable[[int], Recipe], monkeypatch: pytest.MonkeyPatch
) -> None:
    recipes = [seed(n) for n in range(7)]
    plain = drawn(engine, *recipes, resolution=64)
    plane = Plane(origin=seed(1).sources[0], x=seed(2).sources[0], y=seed(3).sources[0])
    answers(engine, RenderTiles(plane=plane, template=None, cells=((0, 0),), step=1, resolution=32))
    assert len(engine._tiles)
    tried = full_above(monkeypatch, engine, info.sha256, 2)
    assert np.abs(drawn(engine, *recipes, resolution=64).astype(int) - plain).max() <= 1
    assert tried == [7, 4, 2, 2, 3, 2, 1]
    assert not len(engine._tiles)


def test_that_out_of_memory_is_said_when_not_even_one_picture_fits(
    engine: TorchEngine, info: GeneratorInfo, seed: Callable[[int], Recipe], monkeypatch: pytest.MonkeyPatch
) -> None:
    full_above(monkeypatch, engine, info.sha256, 0)
    refused(engine, Render(recipes=(seed(1), seed(2)), resolution=64), OutOfMemory, "not even one picture of 64 px")


@pytest.mark.slow
def test_that_an_encoding_that_does_not_fit_says_so(
    engine: TorchEngine, info: GeneratorInfo, seed: Callable[[int], Recipe], monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: Any, **__: Any) -> Any:
        raise RuntimeError("[enforce fail] DefaultCPUAllocator: not enough memory: you tried to allocate 9 bytes.")

    target = drawn(engine, seed(1))[0]
    monkeypatch.setattr(torch.autograd, "grad", full)  # the step that takes most
    refused(engine, Project(run="r", generator=info.sha256, target=target), OutOfMemory, "this encoding does not fit")


def test_that_other_errors_of_torch_stay_bugs(
    engine: TorchEngine, info: GeneratorInfo, seed: Callable[[int], Recipe], monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: Any, **__: Any) -> Any:
        raise RuntimeError("shape mismatch")

    monkeypatch.setattr(engine.model(info.sha256).renderer, "steps", broken)
    with pytest.raises(RuntimeError, match="shape mismatch"):
        drawn(engine, seed(1))


def test_that_what_was_used_longest_ago_goes_first() -> None:
    recent: Recent[str, int] = Recent(10, lambda n: n)
    assert not recent.put("a", 4)
    recent.put("b", 4)
    assert recent.get("a") == 4
    assert recent.put("c", 4) == [4]
    assert recent.get("b") is None
    assert recent.put("huge", 100) == [4, 4]
    assert recent.get("huge") == 100


# -- tiles --------------------------------------------------------------------------------------------------------------
@pytest.fixture
def plane(seed: Callable[[int], Recipe]) -> Plane:
    return Plane(origin=seed(1).sources[0], x=seed(2).sources[0], y=seed(3).sources[0])


@pytest.mark.slow
def test_that_tiles_of_a_slow_generator_come_coarse_first_and_all_of_them(engine: TorchEngine, plane: Plane) -> None:
    cells = tuple((i, j) for i in range(-2, 3) for j in range(3))
    tiles = answers(engine, RenderTiles(plane=plane, template=None, cells=cells, step=0.5, resolution=64), Tiles)
    sizes = [t.resolution for t in tiles]
    assert sizes == sorted(sizes)
    assert sizes[0] < sizes[-1] == 64
    for size in set(sizes):
        assert sum((t.cells for t in tiles if t.resolution == size), ()) == cells
    assert all(t.pixels.shape == (len(t.cells), t.resolution, t.resolution, 3) for t in tiles)


def test_that_a_tile_is_the_face_at_its_place(engine: TorchEngine, plane: Plane, seed: Callable[[int], Recipe]) -> None:
    template = seed(9).change(psi=(0.6,))
    job = RenderTiles(plane=plane, template=template, cells=((1, -2),), step=0.25, resolution=64)
    tile = answers(engine, job, Tiles)[-1].pixels
    face = Recipe(sources=(plane.at(0.25, -0.5),), psi=(0.6,))
    assert np.abs(tile.astype(int) - small(engine, face)).max() <= 1


def test_that_tiles_drawn_before_come_at_once(
    engine: TorchEngine, info: GeneratorInfo, plane: Plane, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = RenderTiles(plane=plane, template=None, cells=((0, 0), (5, 5)), step=0.125, resolution=32)
    first = np.concatenate([tiles.pixels for tiles in answers(engine, job, Tiles) if tiles.resolution == 32])
    tried = full_above(monkeypatch, engine, info.sha256, 99)
    (again,) = answers(engine, job, Tiles)
    assert not tried
    assert np.array_equal(again.pixels, first)
    changed = replace(job, template=Recipe.of(plane.origin).change(psi=(0.3,)))
    answers(engine, changed, Tiles)
    assert tried


def test_that_tiles_stop_between_batches(engine: TorchEngine, plane: Plane) -> None:
    cells = tuple((i, 77) for i in range(40))
    run = engine.run(RenderTiles(plane=plane, template=None, cells=cells, step=1, resolution=64), threading.Event())
    first = next(a for a in run if a is not None)
    run.close()  # type: ignore[attr-defined]
    assert isinstance(first, Tiles)
    assert len(first.cells) <= 16


# -- codes --------------------------------------------------------------------------------------------------------------
def test_that_a_resolved_recipe_draws_the_same_picture(noisy: tuple[TorchEngine, GeneratorInfo]) -> None:
    engine, info = noisy
    one, two = with_noise(info, 1), Code.from_seed(2, info.z_dim, info.sha256)
    (found,) = answers(
        engine,
        FindDirections(generator=info.sha256, method="pair", groups=((one,), (two,)), name="there"),
        Directions,
    )
    rich = Recipe(
        sources=(one, two), weights=((0.7,), (0.3,)), psi=(0.8,), cutoff=5, noise=Noise("own"),
        directions=(Applied(found.directions[0], 0.5),),
    )  # fmt: skip
    for recipe in (rich, rich.change(noise=Noise("seed", 4))):
        ((code,),) = [a.codes for a in answers(engine, Resolve(recipes=(recipe,)), Codes)]
        assert code.space == "w+"
        assert np.abs(drawn(engine, Recipe.of(code)).astype(int) - drawn(engine, recipe)).max() <= 1


@pytest.mark.slow
@pytest.mark.parametrize("method", ["sefa", "pca"])
def test_that_directions_are_found_in_a_range_of_layers(engine: TorchEngine, info: GeneratorInfo, method: str) -> None:
    job = FindDirections(generator=info.sha256, method=method, count=4, layers=(0, 4))
    (found,) = answers(engine, job, Directions)
    assert len(found.directions) == len(found.shares) == 4
    assert all(d.layers == (0, 4) and d.generator == info.sha256 for d in found.directions)
    assert list(found.shares) == sorted(found.shares, reverse=True)
    refused(engine, replace(job, layers=(3, 40)), BadArgument, "layers 3 to 40")


def test_that_a_pair_direction_leads_from_one_face_to_the_other(
    engine: TorchEngine, info: GeneratorInfo, seed: Callable[[int], Recipe]
) -> None:
    groups = ((seed(1).sources[0],), (seed(2).sources[0],))
    (found,) = answers(engine, FindDirections(generator=info.sha256, method="pair", groups=groups), Directions)
    (direction,) = found.directions
    w1, w2 = engine.model(info.sha256).mapped([groups[0][0], groups[1][0]])
    there = seed(1).change(directions=(Applied(direction, float(np.linalg.norm(w2 - w1)) / direction.sigma),))
    assert np.abs(drawn(engine, there).astype(int) - drawn(engine, seed(2))).max() <= 1


# -- files of latents ---------------------------------------------------------------------------------------------------
def test_that_a_face_file_restores_recipe_code_and_noise(
    noisy: tuple[TorchEngine, GeneratorInfo], tmp_path: Path
) -> None:
    from facelab.engine.latents import read_face

    engine, info = noisy
    for number, recipe in enumerate(
        (
            Recipe.of(with_noise(info, 1)).change(psi=(0.7,)),
            Recipe(sources=(with_noise(info, 1), with_noise(info, 2)), weights=((1.0,), (1.0,)), noise=Noise("own")),
            Recipe.of(Code.from_seed(3, info.z_dim, info.sha256)).change(noise=Noise("seed", 2)),
        )
    ):
        path = tmp_path / f"{number}.face.safetensors"
        answers(engine, WriteLatents(recipes=(recipe,), path=path))
        again, code = read_face(path)
        assert again == recipe
        assert np.array_equal(code.array, engine.resolve(recipe).array)
        ((read,),) = [a.codes for a in answers(engine, ReadLatents(path=path, generator=info.sha256), Codes)]
        assert np.abs(drawn(engine, Recipe.of(read)).astype(int) - drawn(engine, recipe)).max() <= 1


@pytest.mark.parametrize("suffix", [".npz", ".npy", ".pt"])
def test_that_arrays_of_codes_come_back(
    engine: TorchEngine, info: GeneratorInfo, seed: Callable[[int], Recipe], tmp_path: Path, suffix: str
) -> None:
    path = tmp_path / f"two{suffix}"
    answers(engine, WriteLatents(recipes=(seed(1), seed(2)), path=path))
    (found,) = answers(engine, ReadLatents(path=path, generator=info.sha256), Codes)
    assert [c.array.tolist() for c in found.codes] == [engine.resolve(seed(n)).array.tolist() for n in (1, 2)]


def test_that_a_code_that_may_be_w_or_z_is_asked_about(
    engine: TorchEngine, info: GeneratorInfo, tmp_path: Path
) -> None:
    path = tmp_path / "w.npy"
    np.save(path, np.ones((1, info.w_dim), np.float32))
    with pytest.raises(AmbiguousLatent) as asked:
        answers(engine, ReadLatents(path=path, generator=info.sha256))
    assert asked.value.choices == ("w", "z")
    (found,) = answers(engine, ReadLatents(path=path, generator=info.sha256, space="z"), Codes)
    assert found.codes[0].space == "z"


def test_that_rows_that_may_be_one_face_or_many_are_asked_about(
    engine: TorchEngine, info: GeneratorInfo, tmp_path: Path
) -> None:
    rows = np.random.RandomState(1).randn(info.num_ws, info.w_dim).astype(np.float32)
    path = tmp_path / "rows.npy"
    np.save(path, rows)
    with pytest.raises(AmbiguousLatent, match=f"one code in W\\+ or {info.num_ws} codes in W or in Z") as asked:
        answers(engine, ReadLatents(path=path, generator=info.sha256))
    assert asked.value.choices == ("w+", "w", "z")
    for space, expected in (("w+", [rows]), ("w", list(rows)), ("z", list(rows))):
        (found,) = answers(engine, ReadLatents(path=path, generator=info.sha256, space=space), Codes)
        assert [(one.space, one.array.tolist()) for one in found.codes] == [(space, one.tolist()) for one in expected]


def test_that_what_a_file_says_or_its_shape_settles_is_not_asked_about(
    engine: TorchEngine, info: GeneratorInfo, tmp_path: Path
) -> None:
    rows = np.random.RandomState(1).randn(info.num_ws, info.w_dim).astype(np.float32)
    for name, array, space, count in (
        ("z", rows[:2], "z", 2),  # the array's name says it
        ("wplus", rows, "w+", 1),
        ("w", rows[None], "w+", 1),  # its shape does
        ("w", np.repeat(rows[:1], info.num_ws, 0), "w+", 1),  # one w, laid out for each layer
    ):
        np.savez(tmp_path / "a.npz", **{name: array})
        (found,) = answers(engine, ReadLatents(path=tmp_path / "a.npz", generator=info.sha256), Codes)
        assert ({one.space for one in found.codes}, len(found.codes)) == ({space}, count)
    np.save(tmp_path / "other.npy", rows[None, 1:])  # of a generator of fewer layers
    refused(engine, ReadLatents(path=tmp_path / "other.npy", generator=info.sha256), LatentError, "do not fit")
    np.save(tmp_path / "wplus.npy", rows[None])
    job = ReadLatents(path=tmp_path / "wplus.npy", generator=info.sha256, space="z")
    refused(engine, job, LatentError, "no code in Z")


def test_that_a_file_of_several_arrays_is_asked_about(engine: TorchEngine, info: GeneratorInfo, tmp_path: Path) -> None:
    path = tmp_path / "several.npz"
    np.savez(path, alpha=np.ones((1, info.w_dim), np.float32), beta=np.ones((2, info.num_ws, info.w_dim), np.float32))
    with pytest.raises(AmbiguousLatent) as asked:
        answers(engine, ReadLatents(path=path, generator=info.sha256))
    assert (asked.value.choices, asked.value.asks) == (("alpha", "beta"), "array")
    (found,) = answers(engine, ReadLatents(path=path, generator=info.sha256, array="beta"), Codes)
    assert len(found.codes) == 2
    with pytest.raises(AmbiguousLatent) as again:
        answers(engine, ReadLatents(path=path, generator=info.sha256, array="alpha"))
    assert again.value.choices == ("w", "z")


def test_that_damaged_and_strange_files_of_latents_are_refused(
    engine: TorchEngine, info: GeneratorInfo, seed: Callable[[int], Recipe], tmp_path: Path
) -> None:
    whole = tmp_path / "whole.face.safetensors"
    answers(engine, WriteLatents(recipes=(seed(1),), path=whole))
    data = whole.read_bytes()
    np.save(tmp_path / "nan.npy", np.full((1, info.num_ws, 512), np.nan, np.float32))
    np.save(tmp_path / "shape.npy", np.ones((2, 7, 3), np.float32))
    np.save(tmp_path / "text.npy", np.array(["a"]))
    cases = {
        "cut.face.safetensors": data[: len(data) // 2],
        "short.face.safetensors": data[:5],
        "newer.face.safetensors": data.replace(b'"version":"1"', b'"version":"9"'),
        "no recipe.face.safetensors": data.replace(b"facelab", b"faceless", 0).replace(b"recipe", b"rezipe"),
        "empty.npz": b"",
        "random.pt": bytes(range(256)),
    }
    for name, content in cases.items():
        (tmp_path / name).write_bytes(content)
    for name in (*cases, "nan.npy", "shape.npy", "text.npy", "missing.npy"):
        refused(engine, ReadLatents(path=tmp_path / name, generator=info.sha256), LatentError, name.split(".")[0])


def test_that_codes_of_another_generator_are_refused(
    engine: TorchEngine, info: GeneratorInfo, seed: Callable[[int], Recipe], tmp_path: Path
) -> None:
    answers(engine, OpenGenerator(path=tiny(tmp_path)))
    (other,) = answers(engine, OpenGenerator(path=tiny(tmp_path)), GeneratorInfo)
    for name in ("me.face.safetensors", "me.npz"):
        answers(engine, WriteLatents(recipes=(seed(1),), path=tmp_path / name))
        refused(engine, ReadLatents(path=tmp_path / name, generator=other.sha256), WrongGenerator, "another generator")


def test_that_several_faces_do_not_go_into_a_face_file(
    engine: TorchEngine, seed: Callable[[int], Recipe], tmp_path: Path
) -> None:
    job = WriteLatents(recipes=(seed(1), seed(2)), path=tmp_path / "two.face.safetensors")
    refused(engine, job, BadArgument, "one face")
    refused(engine, replace(job, path=tmp_path / "two.txt"), BadArgument, "two.txt")
    assert not list(tmp_path.iterdir())


# -- exports ------------------------------------------------------------------------------------------------------------
def test_that_an_exported_picture_restores_its_face(
    engine: TorchEngine, seed: Callable[[int], Recipe], tmp_path: Path
) -> None:
    paths = (tmp_path / "a.png", tmp_path / "b.jpg", tmp_path / "c.png")
    recipes = (seed(1), seed(2), seed(3).change(psi=(0.5,)))
    found = answers(engine, ExportPictures(recipes=recipes, paths=paths, scale=2), Written)
    assert [w.path for w in found] == list(paths)
    assert Recipe.from_json(read_recipe(paths[2]) or "") == recipes[2]
    assert read_recipe(paths[1]) is None
    assert opened(paths[0]).shape == (512, 512, 3)
    answers(engine, ExportPictures(recipes=recipes[:1], paths=paths[:1], keep_recipe=False))
    assert read_recipe(paths[0]) is None
    assert np.array_equal(opened(paths[0]), drawn(engine, seed(1))[0])


def test_that_pictures_need_a_name_each(engine: TorchEngine, seed: Callable[[int], Recipe], tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    refused(engine, ExportPictures(recipes=(seed(1), seed(2)), paths=(path,)), BadArgument, "2 pictures")
    refused(engine, ExportPictures(recipes=(seed(1), seed(2)), paths=(path, path)), BadArgument, "2 pictures")
    missing = tmp_path / "no" / "a.png"
    refused(engine, ExportPictures(recipes=(seed(1),), paths=(missing,)), ExportError, "folder does not exist")


def test_that_a_morph_begins_and_ends_with_its_faces(
    engine: TorchEngine, seed: Callable[[int], Recipe], tmp_path: Path
) -> None:
    folder = tmp_path / "frames"
    job = ExportMorph(keys=(seed(1), seed(2)), path=folder, seconds=0.5, fps=10)
    found = answers(engine, job)
    assert isinstance(found[-1], Written)
    progress = [a for a in found if isinstance(a, Progress)]
    assert (progress[-1].done, progress[-1].total) == (5, 5)
    frames = [opened(p) for p in sorted(folder.glob("*.png"))]
    assert len(frames) == 5
    for frame, number in ((frames[0], 1), (frames[-1], 2)):
        assert np.abs(frame.astype(int) - drawn(engine, seed(number))[0]).max() <= 1
    changes = [np.abs(a.astype(int) - b).mean() for a, b in itertools.pairwise(frames)]
    assert min(changes) > 0


@pytest.mark.slow
def test_that_an_interrupted_folder_of_frames_is_gone_on_with(
    engine: TorchEngine, seed: Callable[[int], Recipe], tmp_path: Path
) -> None:
    job = ExportMorph(keys=(seed(1), seed(2)), path=tmp_path / "frames", seconds=2, fps=10, size=32)
    run = engine.run(job, threading.Event())
    next(a for a in run if isinstance(a, Progress))
    run.close()  # type: ignore[attr-defined]
    before = sorted(job.path.glob("*.png"))
    assert 0 < len(before) < 20
    stamp = before[0].stat().st_mtime_ns
    first = answers(engine, job, Progress)[0]
    assert first.done > len(before)
    assert before[0].stat().st_mtime_ns == stamp
    assert len(list(job.path.glob("*.png"))) == 20


@pytest.mark.parametrize("how", ["close", "cancel"])
def test_that_a_cancelled_video_leaves_nothing_behind(
    engine: TorchEngine, seed: Callable[[int], Recipe], tmp_path: Path, how: str
) -> None:
    cancel = threading.Event()
    run = engine.run(ExportMorph(keys=(seed(1), seed(2)), path=tmp_path / "x.mp4", seconds=2), cancel)
    next(a for a in run if isinstance(a, Progress))
    if how == "close":
        run.close()  # type: ignore[attr-defined]
    else:
        cancel.set()
        assert not [a for a in run if isinstance(a, Written)]
    assert not list(tmp_path.iterdir())


def test_that_a_morph_that_cannot_be_is_refused_before_anything_is_written(
    engine: TorchEngine, seed: Callable[[int], Recipe], tmp_path: Path
) -> None:
    good = ExportMorph(keys=(seed(1), seed(2)), path=tmp_path / "x.mp4", seconds=1)
    refused(engine, replace(good, keys=(seed(1),)), BadArgument, "two faces")
    refused(engine, replace(good, easing="wobble"), BadArgument, "wobble")
    refused(engine, replace(good, interpolation="wobble"), BadArgument, "wobble")
    refused(engine, replace(good, path=tmp_path / "x.txt"), BadArgument, "x.txt")
    for seconds in (float("nan"), -1.0, 0.0, 1e12):
        refused(engine, replace(good, seconds=seconds), BadArgument, "frames")
    assert not list(tmp_path.iterdir())


def test_that_a_plane_sheet_shows_its_corners(
    engine: TorchEngine, plane: Plane, seed: Callable[[int], Recipe], tmp_path: Path
) -> None:
    path = tmp_path / "plane.png"
    job = ExportPlane(plane=plane, template=None, columns=(0.0, 1.0), rows=(1.0, 0.0), path=path, tile=64, labels=False)
    answers(engine, job)
    sheet = opened(path).astype(int)
    for number, (y, x) in ((1, (-64, 0)), (2, (-64, -64)), (3, (0, 0))):
        corner = sheet[y : (y + 64) or None, x : (x + 64) or None]
        assert np.abs(corner - small(engine, seed(number))[0]).max() <= 1
    answers(engine, replace(job, labels=True))
    assert opened(path).shape[1] > sheet.shape[1]
    refused(engine, replace(job, tile=8192, columns=tuple(map(float, range(90)))), BadArgument, "million pixels")
    refused(engine, replace(job, columns=()), BadArgument, "at least one row")


def test_that_a_mixing_table_takes_its_layers_from_the_rows(
    engine: TorchEngine, info: GeneratorInfo, seed: Callable[[int], Recipe], tmp_path: Path
) -> None:
    path = tmp_path / "table.png"
    job = ExportTable(columns=(seed(1), seed(2)), rows=(seed(3),), layers=(0, 4), path=path, tile=64)
    answers(engine, job)
    sheet = opened(path).astype(int)
    inside = tuple(float(n < 4) for n in range(info.num_ws))
    mixed = Recipe(sources=(seed(2).sources[0], seed(3).sources[0]), weights=(tuple(1 - x for x in inside), inside))
    assert np.abs(sheet[-64:, -64:] - small(engine, mixed)[0]).max() <= 1
    assert np.abs(sheet[-64:, :64] - small(engine, seed(3))[0]).max() <= 1
    refused(engine, replace(job, layers=(4, 40)), BadArgument, "range within")
    refused(engine, replace(job, rows=()), BadArgument, "at least one")


# -- projection ---------------------------------------------------------------------------------------------------------
@pytest.mark.slow
def test_that_a_projection_runs_beside_renders_and_ends_with_a_better_code(
    engine: TorchEngine, info: GeneratorInfo, seed: Callable[[int], Recipe]
) -> None:
    target = drawn(engine, seed(5))[0]
    job = Project(
        run="r", generator=info.sha256, target=target, settings=ProjectionSettings(steps=12), name="me", every_step=True
    )
    found: list[Answer] = []
    for answer in engine.run(job, threading.Event()):
        assert not torch.is_inference_mode_enabled()
        if isinstance(answer, ProjectionStep):
            drawn(engine, seed(6), resolution=32)  # what the worker does at a yield
        if answer is not None:
            found.append(answer)
    steps = [a for a in found if isinstance(a, ProjectionStep)]
    assert [s for a in steps for s in a.steps] == list(range(12))
    assert all(a.ws is not None and a.pixels is not None for a in steps)
    done = found[-1]
    assert isinstance(done, ProjectionDone)
    assert done.loss < 0.5 * steps[0].losses["total"][0]
    assert done.code.generator == info.sha256
    assert np.abs(drawn(engine, Recipe.of(done.code)).astype(int) - done.pixels).max() <= 1
    json.dumps(dict(done.code.origin))
