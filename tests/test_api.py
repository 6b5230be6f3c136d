"""The Python API, as an outside program uses it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

import facelab
from facelab import checkpoints, nets
from facelab.assets import SAMPLE_PHOTO, resource
from facelab.engine.latents import read_face
from facelab.errors import BadArgument, CheckpointError, ExportError, LatentError, NoFaceFound, PictureError
from facelab.latent.spaces import seeded_noise, truncate


def network(seed: int = 0, **options: Any) -> nets.Network:
    """A small random StyleGAN2 whose noise shows."""
    given: dict[str, Any] = {
        "resolution": 32, "channels": [12, 12, 8, 8], "z_dim": 16, "w_dim": 20, "mapping_features": [16, 20],
    }  # fmt: skip
    made = nets.build("stylegan2", given | options, seed=seed)
    with torch.no_grad():
        made.w_avg.copy_(torch.linspace(-1, 1, 20))
        for name, tensor in made.state_dict(keep_vars=True).items():
            if name.endswith("noise_strength"):
                tensor.fill_(0.4)
    return made


@pytest.fixture
def make(tmp_path: Path) -> Callable[..., facelab.Generator]:
    def make(**options: Any) -> facelab.Generator:
        path = tmp_path / "tiny.safetensors"
        checkpoints.save(network(**options), path)
        return facelab.open(path, device="cpu")

    return make


@pytest.fixture
def tiny(make: Callable[..., facelab.Generator]) -> facelab.Generator:
    return make()


@pytest.fixture(scope="module")
def portraits() -> facelab.Generator:
    return facelab.open(device="cpu")


def z_of(count: int = 3, dim: int = 16, seed: int = 1) -> np.ndarray:
    return np.random.RandomState(seed).randn(count, dim)


# -- opening ------------------------------------------------------------------------------------------------------------
@pytest.mark.slow
def test_that_importing_facelab_does_not_load_torch() -> None:
    program = "import sys, facelab; facelab.FacelabError; assert 'torch' not in sys.modules; facelab.open; assert 'torch' in sys.modules"
    assert subprocess.run([sys.executable, "-c", program], timeout=60, check=False).returncode == 0


def test_that_the_embedded_generator_opens_without_a_path(portraits: facelab.Generator) -> None:
    assert portraits.family == "stylegan2"
    assert (portraits.resolution, portraits.num_ws, portraits.c_dim) == (256, 14, 0)
    assert portraits.z_dim == portraits.w_dim == 512
    assert portraits.w_avg.shape == (512,)
    assert portraits.w_avg.dtype == np.float32
    assert len(portraits.sha256) == 64
    assert "stylegan2 256 px" in repr(portraits)


def test_that_a_saved_generator_is_the_same_and_draws_the_same(tiny: facelab.Generator, tmp_path: Path) -> None:
    tiny.save(tmp_path / "copy.safetensors")
    again = facelab.open(str(tmp_path / "copy.safetensors"))
    assert again.sha256 == tiny.sha256
    ws = tiny.map(z_of())
    assert np.array_equal(tiny.synthesize(ws), again.synthesize(ws))
    with pytest.raises(ExportError, match="folder does not exist"):
        tiny.save(tmp_path / "no" / "copy.safetensors")


def test_that_what_cannot_be_opened_says_why(tmp_path: Path) -> None:
    (tmp_path / "x.pkl").write_bytes(b"nothing")
    for path in (tmp_path / "x.pkl", tmp_path / "missing.pkl", tmp_path):
        with pytest.raises(CheckpointError):
            facelab.open(path)
    with pytest.raises(BadArgument, match="tpu"):
        facelab.open(device="tpu")


# -- map ----------------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_that_map_gives_a_row_for_each_layer(tiny: facelab.Generator, dtype: type) -> None:
    ws = tiny.map(z_of().astype(dtype))
    assert ws.shape == (3, tiny.num_ws, tiny.w_dim)
    assert ws.dtype == np.float32
    with torch.no_grad():
        w = network().map(torch.tensor(z_of(), dtype=torch.float32)).numpy()
    assert np.allclose(ws, w[:, None], atol=1e-5)
    ws[:] = 0  # the caller's own


def test_that_psi_pulls_toward_w_avg_up_to_the_cutoff(tiny: facelab.Generator) -> None:
    ws, half = tiny.map(z_of()), tiny.map(z_of(), truncation_psi=0.5, truncation_cutoff=3)
    assert np.allclose(half[:, :3], (tiny.w_avg + ws[:, :3]) / 2, atol=1e-5)
    assert np.allclose(half[:, 3:], ws[:, 3:], atol=1e-6)
    assert np.allclose(tiny.map(z_of(), truncation_psi=0), np.broadcast_to(tiny.w_avg, ws.shape), atol=1e-6)
    assert np.allclose(tiny.map(z_of(), truncation_psi=-1), 2 * tiny.w_avg - ws, atol=1e-5)


def test_that_psi_goes_layer_by_layer(tiny: facelab.Generator) -> None:
    psi = np.linspace(-0.5, 1.5, tiny.num_ws)
    expected = truncate(tiny.map(z_of()), tiny.w_avg, psi)
    assert np.allclose(tiny.map(z_of(), truncation_psi=psi), expected, atol=1e-6)
    assert np.allclose(tiny.map(z_of(), truncation_psi=list(psi)), expected, atol=1e-6)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"z": np.zeros((2, 15))}, r"z must be \[N, 16\]"),
        ({"z": np.zeros(16)}, r"z must be \[N, 16\]"),
        ({"z": np.zeros((0, 16))}, r"z must be \[N, 16\]"),
        ({"z": np.full((1, 16), np.nan)}, "z holds numbers that are not finite"),
        ({"z": np.full((1, 16), 1e300)}, "z holds numbers that are not finite"),
        ({"z": [["a"] * 16]}, "z must hold numbers"),
        ({"z": [[1, 2], [3]]}, "z must be an array of numbers"),
        ({"z": None}, "z must hold numbers"),
        ({"c": np.ones((3, 2))}, "unconditional"),
        ({"truncation_psi": np.ones(6), "truncation_cutoff": None}, r"truncation_psi must be a number or \[8\]"),
        ({"truncation_psi": np.ones(8), "truncation_cutoff": 2}, "not both"),
        ({"truncation_psi": np.inf}, "truncation_psi holds numbers that are not finite"),
        ({"truncation_psi": "much"}, "truncation_psi must hold numbers"),
        ({"truncation_psi": 0.5, "truncation_cutoff": 1.5}, "truncation_cutoff must be a layer's number"),
        ({"truncation_psi": 0.5, "truncation_cutoff": -1}, "from 0 on"),
    ],
)
def test_that_wrong_arguments_of_map_are_said(tiny: facelab.Generator, arguments: dict[str, Any], words: str) -> None:
    with pytest.raises(BadArgument, match=words) as said:
        tiny.map(**({"z": z_of()} | arguments))
    assert isinstance(said.value, ValueError)
    assert isinstance(said.value, facelab.FacelabError)


def test_that_a_conditional_generator_needs_a_label_and_names_c_dim(make: Callable[..., facelab.Generator]) -> None:
    generator = make(c_dim=3, embed_features=8)
    labels = np.eye(3)[[0, 1, 2]]
    ws = generator.map(z_of(), labels)
    assert not np.allclose(ws[0], generator.map(z_of(), labels[::-1])[0])
    with pytest.raises(BadArgument, match=r"c_dim 3"):
        generator.map(z_of())
    with pytest.raises(BadArgument, match=r"c must be \[3, 3\]"):
        generator.map(z_of(), labels[:2])


# -- synthesize ---------------------------------------------------------------------------------------------------------
def test_that_synthesize_is_the_network_in_float32(tiny: facelab.Generator) -> None:
    ws = tiny.map(z_of(11))
    with torch.no_grad():
        plain = network().synthesize(torch.tensor(ws)).numpy()
    x = tiny.synthesize(ws)
    assert x.shape == (11, 3, 32, 32)
    assert x.dtype == np.float32
    assert np.abs(x - plain).max() < 1e-3


def test_that_the_embedded_generator_is_exact(portraits: facelab.Generator) -> None:
    ws = portraits.map(z_of(2, 512))
    with torch.no_grad():
        plain = portraits._model.network.synthesize(torch.tensor(ws)).numpy()
    assert np.abs(portraits.synthesize(ws) - plain).max() < 1e-3


def test_that_noise_is_the_files_or_none_or_of_a_seed_or_given(tiny: facelab.Generator) -> None:
    ws = tiny.map(z_of(2))
    const, none = tiny.synthesize(ws), tiny.synthesize(ws, noise_mode="none")
    one, other = tiny.synthesize(ws, noise_mode=1), tiny.synthesize(ws, noise_mode=np.int64(2))
    for a, b in ((const, none), (const, one), (one, other)):
        assert np.abs(a - b).max() > 0.01
    maps = seeded_noise(1, tiny.noise_shapes)
    assert np.allclose(tiny.synthesize(ws, noise=maps), one, atol=1e-5)
    assert np.allclose(tiny.synthesize(ws, noise_strength=0), none, atol=1e-5)
    off_but_one = np.zeros(len(maps))
    off_but_one[3] = 2
    with torch.no_grad():
        given = [torch.tensor(np.array(m)) * s for m, s in zip(maps, off_but_one, strict=True)]
        plain = network().synthesize(torch.tensor(ws), noise=given).numpy()
    assert np.allclose(tiny.synthesize(ws, noise=maps, noise_strength=off_but_one), plain, atol=1e-4)


def test_that_drawing_stops_early_at_a_power_of_two(tiny: facelab.Generator) -> None:
    ws = tiny.map(z_of(2))
    for resolution in (4, 8, 16, 32):
        assert tiny.synthesize(ws, resolution=resolution).shape == (2, 3, resolution, resolution)
        assert tiny.render(ws, resolution=resolution).shape == (2, resolution, resolution, 3)


def test_that_render_gives_the_rounded_levels_of_synthesize(portraits: facelab.Generator) -> None:
    ws = portraits.map(z_of(3, 512))
    pixels = portraits.render(ws)
    assert pixels.dtype == np.uint8
    assert pixels.shape == (3, 256, 256, 3)
    levels = np.clip(np.rint((portraits.synthesize(ws) + 1) * 127.5), 0, 255).transpose(0, 2, 3, 1)
    assert (pixels != levels).mean() < 1e-3


def test_that_grey_is_repeated(make: Callable[..., facelab.Generator]) -> None:
    generator = make(img_channels=1)
    ws = generator.map(z_of(2))
    assert generator.synthesize(ws).shape == (2, 1, 32, 32)
    assert generator.render(ws).shape == (2, 32, 32, 3)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"ws": np.zeros((1, 7, 20))}, r"ws must be \[N, 8, 20\]"),
        ({"ws": np.zeros((8, 20))}, r"ws must be \[N, 8, 20\]"),
        ({"ws": np.full((1, 8, 20), np.inf)}, "ws holds numbers that are not finite"),
        ({"noise_mode": "random"}, "noise_mode must be"),
        ({"noise_mode": -1}, "noise_mode must be"),
        ({"noise_mode": True}, "noise_mode must be"),
        ({"noise_mode": 1.5}, "noise_mode must be"),
        ({"noise": [np.zeros((4, 4))]}, "takes 7 noise maps, not 1"),
        ({"noise": [np.zeros((4, 4))] * 7}, r"noise map 1 must be \[8, 8\]"),
        ({"noise": seeded_noise(1, [(4, 4), (8, 8), (8, 8), (16, 16), (16, 16), (32, 32), (32, 32)]),
          "noise_mode": "none"}, "not both"),
        ({"noise_strength": np.ones(3)}, r"noise_strength must be a number or \[7\]"),
        ({"noise_strength": np.nan}, "noise_strength holds numbers that are not finite"),
        ({"resolution": 100}, "resolution must be one of 4, 8, 16, 32"),
        ({"resolution": 64}, "resolution must be one of"),
        ({"resolution": "big"}, "resolution must be one of"),
        ({"transform": np.eye(3)}, "only StyleGAN3"),
    ],
)  # fmt: skip
def test_that_wrong_arguments_of_drawing_are_said(
    tiny: facelab.Generator, arguments: dict[str, Any], words: str
) -> None:
    given = {"ws": tiny.map(z_of(1))} | arguments
    for draw in (tiny.synthesize, tiny.render):
        with pytest.raises(BadArgument, match=words):
            draw(**given)


@pytest.mark.slow
def test_that_every_published_format_draws_its_references(test_data: Path) -> None:
    folder = test_data / "fixtures" / "public"
    rows = [row for row in json.loads((folder / "manifest.json").read_text())["files"] if row["what"] == "model"]
    assert rows
    for row in rows:
        generator = facelab.open(folder / row["file"], device="cpu")
        with np.load(folder / row["reference"]) as reference:
            c = reference.get("c")
            for psi, cutoff, name in (
                (1, None, "psi1"),
                (0.7, None, "psi07"),
                (0.5, int(reference["cutoff"]), "psi05_cut"),
            ):
                ws = generator.map(reference["z"], c, truncation_psi=psi, truncation_cutoff=cutoff)
                assert np.abs(ws - reference[f"ws_{name}"]).max() <= row["tol_ws"], row["id"]
            ws = reference["ws_psi1"][:2]
            for mode in ("const", "none"):
                image = generator.synthesize(ws, noise_mode=mode)
                assert np.abs(image - reference[f"img_psi1_{mode}"][:2]).max() <= row["tol_img"], row["id"]
            for key in (k for k in reference.files if k.startswith("tf") and k.endswith("_matrix")):
                # The file's matrix is what lies in the network's buffer: the inverse of the picture's move.
                image = generator.synthesize(ws, transform=np.linalg.inv(reference[key].astype(np.float64)))
                assert np.abs(image - reference[f"img_{key.split('_')[0]}"][:2]).max() <= row["tol_img"], row["id"]


# -- encode -------------------------------------------------------------------------------------------------------------
@pytest.fixture(scope="module")
def picture(portraits: facelab.Generator) -> np.ndarray:
    return portraits.render(portraits.map(z_of(1, 512, 5)))[0]


@pytest.mark.slow
def test_that_an_encoding_iterates_over_its_steps(portraits: facelab.Generator, picture: np.ndarray) -> None:
    run = facelab.encode(portraits, picture, steps=6)
    steps = list(run)
    assert [s.step for s in steps] == list(range(6))
    assert all(s.ws.shape == (1, 14, 512) and s.image.shape == (256, 256, 3) for s in steps)
    assert run.losses == [s.loss for s in steps]
    assert run.loss == pytest.approx(min(run.losses))
    assert run.ws.shape == (1, 14, 512)
    assert np.abs(portraits.render(run.ws, noise=run.noise)[0].astype(int) - run.image).max() <= 1
    assert steps[-1].loss < 0.7 * steps[0].loss
    assert not list(run)


@pytest.mark.slow
def test_that_touching_the_result_runs_to_the_end(portraits: facelab.Generator, picture: np.ndarray) -> None:
    run = facelab.encode(portraits, picture, space="w", steps=5)
    assert run.ws.shape == (1, 14, 512)
    assert (run.ws == run.ws[:, :1]).all()
    assert len(run.losses) == 5
    assert run.noise is None  # this generator's noise does nothing


def test_that_leaving_the_loop_keeps_the_best_so_far(portraits: facelab.Generator, picture: np.ndarray) -> None:
    run = facelab.encode(portraits, picture, steps=500)
    for step in run:
        if step.step == 3:
            break
    assert len(run.losses) == 4
    assert run.loss == pytest.approx(min(run.losses))


def test_that_an_interrupt_keeps_the_best_so_far(portraits: facelab.Generator, picture: np.ndarray) -> None:
    run = facelab.encode(portraits, picture, steps=500)

    def loop() -> None:
        for step in run:
            if step.step == 2:
                # Arrives while the next step is being worked out.
                threading.Timer(0.005, os.kill, (os.getpid(), signal.SIGINT)).start()

    with pytest.raises(KeyboardInterrupt):
        loop()
    assert 3 <= len(run.losses) < 500
    assert run.loss == pytest.approx(min(run.losses))


@pytest.mark.slow
def test_that_the_same_seed_gives_the_same_code(portraits: facelab.Generator, picture: np.ndarray) -> None:
    runs = [facelab.encode(portraits, picture, steps=4, initial_noise=0.1, seed=3) for _ in range(2)]
    assert np.array_equal(runs[0].ws, runs[1].ws)


def test_that_optimised_noise_comes_with_the_code(tiny: facelab.Generator, tmp_path: Path) -> None:
    picture = tiny.render(tiny.map(z_of(1)))[0]
    run = facelab.encode(tiny, picture, steps=8)
    assert run.noise is not None
    assert [n.shape for n in run.noise] == list(tiny.noise_shapes)
    assert np.abs(tiny.render(run.ws, noise=run.noise)[0].astype(int) - run.image).max() <= 1
    run.save(tmp_path / "me.face.safetensors")
    recipe, code = read_face(tmp_path / "me.face.safetensors")
    assert recipe.sources[0] == run.code
    assert np.array_equal(facelab.load_latents(tmp_path / "me.face.safetensors"), run.ws)
    assert code.noise is not None
    assert np.array_equal(code.noise[-1], run.noise[-1])


def test_that_a_run_starts_from_a_given_code(portraits: facelab.Generator, picture: np.ndarray) -> None:
    ws = portraits.map(z_of(1, 512, 5))
    for start in (ws, ws[0, 0]):
        assert facelab.encode(portraits, picture, steps=1, start=start).loss < 0.01


@pytest.mark.slow
def test_that_a_photograph_is_aligned_and_encoded(portraits: facelab.Generator) -> None:
    run = facelab.encode(portraits, resource(SAMPLE_PHOTO), steps=2)
    assert run.target.shape == (256, 256, 3)
    assert dict(run.code.origin)["photo"] == "astronaut"
    by_hand = facelab.encode(portraits, str(resource(SAMPLE_PHOTO)), steps=2, crop=(220, 120, 200, 10))
    assert not np.array_equal(by_hand.target, run.target)


@pytest.mark.slow
def test_that_several_faces_and_a_crop_beyond_the_edge_are_noted(portraits: facelab.Generator, tmp_path: Path) -> None:
    with Image.open(resource(SAMPLE_PHOTO)) as image:
        wide = Image.new("RGB", (900, 512))
        wide.paste(image)
        wide.paste(image.resize((380, 380)), (520, 60))
    wide.save(tmp_path / "two.png")
    one, two = (facelab.encode(portraits, tmp_path / "two.png", face=face) for face in (0, 1))
    assert "faces were found" in one.notes[0]
    assert not np.array_equal(one.target, two.target)
    beyond = facelab.encode(portraits, tmp_path / "two.png", crop=(20, 20, 200, 0))
    assert "outside of the photograph" in beyond.notes[0]
    assert not facelab.encode(portraits, resource(SAMPLE_PHOTO)).notes


def test_that_wrong_arguments_of_encode_are_said(
    portraits: facelab.Generator, picture: np.ndarray, tmp_path: Path
) -> None:

    Image.new("RGB", (200, 200), (90, 120, 90)).save(tmp_path / "field.png")
    cases: list[tuple[Any, dict[str, Any], type[Exception], str]] = [
        (picture[:50], {}, BadArgument, r"uint8 \[S, S, 3\]"),
        (picture.astype(float), {}, BadArgument, r"uint8 \[S, S, 3\]"),
        (picture, {"space": "z"}, BadArgument, "w or w"),
        (picture, {"steps": 0}, BadArgument, "number of steps"),
        (picture, {"step": 5}, BadArgument, "encode knows no 'step'"),
        (picture, {"start": "middle"}, BadArgument, "unknown start"),
        (picture, {"start": np.ones(5)}, BadArgument, r"start must be \[512\]"),
        (tmp_path / "field.png", {}, NoFaceFound, "field.png"),
        (tmp_path / "missing.png", {}, PictureError, "missing.png"),
        (resource(SAMPLE_PHOTO), {"face": 1}, BadArgument, "shows 1 face"),
        (resource(SAMPLE_PHOTO), {"crop": (0, 0, -5, 0)}, BadArgument, "crop"),
    ]
    for photo, options, error, words in cases:
        with pytest.raises(error, match=words):
            facelab.encode(portraits, photo, **options)


# -- latents ------------------------------------------------------------------------------------------------------------
def test_that_latents_are_read_whatever_wrote_them(tmp_path: Path) -> None:
    random = np.random.RandomState(0).randn(3, 18, 512).astype(np.float32)
    np.savez(tmp_path / "projected_w.npz", w=random[:1])
    np.savez(tmp_path / "dlatents.npz", dlatents=random[:1])
    np.save(tmp_path / "one.npy", random[0])
    np.save(tmp_path / "half.npy", random.astype(np.float16))
    np.save(tmp_path / "w.npy", random[0, :1])
    np.save(tmp_path / "flat.npy", random[0, 0])
    torch.save(torch.tensor(random), tmp_path / "many.pt")
    torch.save({"me.png": {"img": torch.zeros(3, 8, 8), "latent": torch.tensor(random[0])}}, tmp_path / "ros.pt")
    np.save(tmp_path / "steps.npy", np.array({"me": list(random)}, dtype=object), allow_pickle=True)
    (tmp_path / "lines.npy").write_text("\n".join(str(r[:2, :4].tolist()) for r in random))
    for name, expected in {
        "projected_w.npz": random[:1], "dlatents.npz": random[:1], "one.npy": random[:1],
        "half.npy": random.astype(np.float16), "w.npy": random[0, :1], "flat.npy": random[0, :1],
        "many.pt": random, "ros.pt": random[:1], "steps.npy": random, "lines.npy": random[:, :2, :4],
    }.items():  # fmt: skip
        found = facelab.load_latents(tmp_path / name)
        assert found.dtype == np.float32, name
        assert found.shape == expected.shape, name
        assert np.allclose(found, expected), name
    assert facelab.load_latents(tmp_path / "one.npy", space="w").shape == (18, 512)


def test_that_no_code_of_a_latent_file_runs(tmp_path: Path) -> None:
    import pickle

    class Evil:
        def __reduce__(self) -> tuple[Any, ...]:
            return (os.mkdir, (str(tmp_path / "harm"),))

    (tmp_path / "evil.pkl").write_bytes(pickle.dumps(Evil()))
    (tmp_path / "evil.pt").write_bytes(pickle.dumps({"w": Evil()}))
    np.save(tmp_path / "evil.npy", np.array([Evil()], dtype=object), allow_pickle=True)
    for name in ("evil.pkl", "evil.pt", "evil.npy"):
        with pytest.raises(LatentError):
            facelab.load_latents(tmp_path / name)
    assert not (tmp_path / "harm").exists()


def test_that_the_latent_fixtures_are_read(test_data: Path) -> None:
    folder = test_data / "fixtures" / "public"
    for path in sorted((folder / "latents").iterdir()):
        with np.load(folder / "refs" / f"l_{path.name.replace('.', '_')}.npz") as reference:
            expected = reference["w"]
        assert np.array_equal(facelab.load_latents(path).ravel(), expected.ravel()), path.name


# -- the manual ---------------------------------------------------------------------------------------------------------
MANUAL = (Path(__file__).parent.parent / "docs" / "python.md").read_text("utf-8")


@pytest.mark.slow
@pytest.mark.parametrize("number", range(MANUAL.count("```python")))
def test_that_the_scripts_of_the_manual_run(number: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    script = MANUAL.split("```python\n")[number + 1].split("```")[0]
    exec(compile(script, f"docs/python.md, script {number + 1}", "exec"), {"__name__": "script"})


# -- tuning -------------------------------------------------------------------------------------------------------------
@pytest.mark.slow
def test_that_a_tuned_generator_draws_the_photograph_and_comes_back_from_its_file(
    tiny: facelab.Generator, tmp_path: Path
) -> None:
    y, x = np.mgrid[:32, :32] * 8
    photo = np.stack([x, y, 0 * x], -1).astype(np.uint8)
    run = facelab.encode(tiny, photo, space="w", steps=5)
    before = tiny.render(run.ws, noise=run.noise)
    tuned = facelab.tune(run, steps=25, learning_rate=0.02)

    def error(pixels: Any) -> float:
        return float(((pixels.astype(float) - photo) ** 2).mean())

    assert error(tuned.image) < 0.7 * error(run.image)
    path = tmp_path / "me.tuning.safetensors"
    tuned.save(path)
    for generator in (tuned.generator, tiny.tuned(path)):
        drawn = generator.render(run.ws, noise=run.noise)[0]
        assert np.abs(drawn.astype(int) - tuned.image).max() <= 1
    assert np.array_equal(tiny.render(run.ws, noise=run.noise), before)
    with pytest.raises(BadArgument, match="beauty"):
        facelab.tune(run, beauty=1)
    for wrong in (tmp_path / "absent.safetensors", tmp_path):
        with pytest.raises(BadArgument, match="tuning"):
            tiny.tuned(wrong)
    path.write_bytes(b"not a tuning")
    with pytest.raises(BadArgument, match="tuning"):
        tiny.tuned(path)
