"""The command line: what it writes, what it says, its exit codes."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from PIL import Image

from facelab import __version__, checkpoints, cli, nets, settings
from facelab.assets import EMBEDDED_GENERATOR, SAMPLE_PHOTO, resource
from facelab.engine.latents import load_latents, read_face
from facelab.latent.recipe import Recipe
from facelab.media.picture import read_recipe

PHOTO = str(resource(SAMPLE_PHOTO))


@pytest.fixture(autouse=True)
def in_own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def done(*words: object) -> None:
    assert cli.main([str(w) for w in words]) == 0


def said(capsys: pytest.CaptureFixture[str], *words: object) -> str:
    """The one sentence with which a command is refused."""
    try:
        code = cli.main([str(w) for w in words])
    except SystemExit as left:
        code = int(left.code or 0)
    out, err = capsys.readouterr()
    assert code == 2, err
    assert not out
    assert err.startswith("facelab")
    assert err.count("\n") == 1, err
    return err


def pixels(path: str | Path) -> np.ndarray:
    with Image.open(path) as image:
        return np.asarray(image.convert("RGB")).astype(int)


def recipe(path: str | Path) -> Recipe:
    return Recipe.from_json(read_recipe(path) or "")


def files() -> list[str]:
    return sorted(p.name for p in Path().iterdir() if not p.name.startswith("xdg_"))


# -- render -------------------------------------------------------------------------------------------------------------
def test_that_a_seed_is_drawn_and_its_picture_restores_it(capsys: pytest.CaptureFixture[str]) -> None:
    done("render", "--seed", 7, "-o", "a.png")
    assert dict(recipe("a.png").sources[0].origin) == {"seed": 7}
    assert capsys.readouterr() == ("", "wrote a.png\n")
    done("render", "a.png", "-o", "again.png", "-q")
    assert np.array_equal(pixels("a.png"), pixels("again.png"))
    assert capsys.readouterr() == ("", "")


def test_that_several_seeds_go_into_a_folder() -> None:
    done("render", "--seed", "1,4,8-9", "-o", "faces/", "-q")
    assert sorted(p.name for p in Path("faces").iterdir()) == [f"seed000{n}.png" for n in (1, 4, 8, 9)]


def test_that_psi_cutoff_and_noise_go_into_the_recipe() -> None:
    done("render", "--seed", 7, "--psi", 0.5, "--cutoff", 4, "--noise", 3, "-o", "a.png", "-q")
    made = recipe("a.png")
    assert (made.psi, made.cutoff, made.noise.mode, made.noise.seed) == ((0.5,), 4, "seed", 3)
    psi = ",".join(f"{n / 10}" for n in range(14))
    done("render", "a.png", "--psi", psi, "-o", "b.png", "-q")
    assert recipe("b.png").psi == tuple(n / 10 for n in range(14))
    assert recipe("b.png").noise.seed == 3
    done("render", "a.png", "--psi", "-0.5", "-o", "anti.png", "-q")
    assert recipe("anti.png").psi == (-0.5,)


@pytest.mark.slow
def test_that_a_face_file_and_arrays_are_written_and_read() -> None:
    done("render", 3, "--psi", 0.7, "-o", "me.face.safetensors", "-q")
    done("render", 3, "--psi", 0.7, "-o", "me.png", "-q")
    done("render", "me.face.safetensors", "-o", "again.png", "-q")
    assert np.array_equal(pixels("me.png"), pixels("again.png"))
    for suffix in ("npz", "npy", "pt"):
        done("render", "me.png", "-o", f"me.{suffix}", "-q")
        assert np.array_equal(load_latents(f"me.{suffix}"), read_face(Path("me.face.safetensors"))[1].array[None])
        done("render", f"me.{suffix}", "-o", f"{suffix}.png", "-q")
        assert np.abs(pixels(f"{suffix}.png") - pixels("me.png")).max() <= 1


@pytest.mark.slow
def test_that_what_a_file_of_codes_does_not_say_is_said_by_options(capsys: pytest.CaptureFixture[str]) -> None:
    rows = np.random.RandomState(1).randn(14, 512).astype(np.float32)
    np.savez("rows.npz", one=rows, other=rows[:1])
    assert "--read-array one or other" in said(capsys, "render", "rows.npz", "-o", "a.png")
    take = ("--read-array", "one")
    assert "--read-as w+ or w or z" in said(capsys, "render", "rows.npz", "-o", "a.png", *take)
    done("render", "rows.npz", "-o", "whole.npy", "-q", *take, "--read-as", "w+")
    assert np.array_equal(np.load("whole.npy")[0], rows)
    assert f"holds {len(rows)} codes" in said(capsys, "render", "rows.npz", "-o", "a.png", *take, "--read-as", "w")
    assert f"number {len(rows) + 1}" in said(
        capsys, "render", f"rows.npz:{len(rows) + 1}", "-o", "a.png", *take, "--read-as", "w"
    )
    done("render", "rows.npz:3", "-o", "third.npy", "-q", *take, "--read-as", "w")
    assert np.array_equal(np.load("third.npy")[0], np.repeat(rows[2:3], len(rows), 0))


# -- mix ----------------------------------------------------------------------------------------------------------------
@pytest.mark.slow
def test_that_a_mix_takes_each_group_of_layers_from_the_face_that_is_said() -> None:
    done("render", 1, 7, 9, "-o", "faces", "-q")
    done("mix", 1, 7, "--coarse", 1, "--middle", 0.25, "--layers", "9=0.5", "--psi", 0.8, "-o", "mix.png", "-q")
    made = recipe("mix.png")
    second = np.array([1.0] * 4 + [0.25] * 4 + [0, 0.5, 0, 0, 0, 0])
    np.testing.assert_allclose(made.weights, [1 - second, second])
    assert [dict(code.origin) for code in made.sources] == [{"seed": 1}, {"seed": 7}]
    assert made.psi == (0.8,)
    done("mix", 1, 7, 9, "--coarse", "1,0", "--middle", "1,0", "--fine", "1,0", "-o", "seven.png", "-q")
    assert np.abs(pixels("seven.png") - pixels("faces/seed0007.png")).max() <= 1
    done("mix", 1, 7, 9, "-o", "mean.png", "-q")
    np.testing.assert_allclose(recipe("mean.png").weights, 1 / 3, rtol=1e-6)


def test_that_a_mixed_and_truncated_face_is_mixed_again_as_it_looks() -> None:
    done("mix", 1, 7, "--psi", 0.5, "-o", "mix.png", "-q")
    done("mix", "mix.png", 9, "--coarse", 0, "-o", "again.png", "-q")
    assert np.abs(pixels("again.png") - pixels("mix.png")).max() <= 1


# -- plane, morph -------------------------------------------------------------------------------------------------------
@pytest.mark.slow
def test_that_a_plane_has_its_three_faces_at_its_corners() -> None:
    done("plane", 1, 2, 3, "-o", "p.png", "--columns", 2, "--rows", 2, "--tile", 64, "--no-labels", "-q")
    sheet = pixels("p.png")
    done("render", "--seed", "1-3", "-o", "faces", "-q")
    for number, (y, x) in ((1, (-64, 0)), (2, (-64, -64)), (3, (0, 0))):
        face = np.asarray(Image.fromarray(pixels(f"faces/seed000{number}.png").astype(np.uint8)).resize((64, 64), 1))
        corner = sheet[y : (y + 64) or None, x : (x + 64) or None]
        assert np.abs(corner - face).max() <= 1
    done("plane", "-o", "beyond.png", "--columns", 3, "--rows", 1, "--u", -1, 1, "--tile", 32, "-q")
    assert pixels("beyond.png").shape[1] > 3 * 32


def test_that_a_plane_between_a_file_and_seeds_lies_in_w_plus() -> None:
    done("render", 1, "-o", "me.face.safetensors", "-q")
    done("plane", "me.face.safetensors", 2, 3, "-o", "p.png", "--columns", 2, "--rows", 2, "--tile", 32, "-q")
    assert Path("p.png").exists()


@pytest.mark.slow
def test_that_a_morph_is_a_video_of_the_length_asked_for() -> None:
    done("render", 2, "-o", "b.png", "-q")
    done("morph", 1, "b.png", "-o", "x.mp4", "--seconds", 0.5, "--fps", 20, "-q")
    with av.open("x.mp4") as video:
        frames = [f.to_ndarray(format="rgb24") for f in video.decode(video=0)]
    assert len(frames) == 10
    assert frames[0].shape == (256, 256, 3)
    assert np.abs(frames[-1].astype(int) - pixels("b.png")).mean() < 6


def test_that_a_morph_without_an_ending_is_a_folder_of_frames() -> None:
    done("morph", 1, 2, 3, "-o", "frames", "--seconds", 0.5, "--fps", 12, "--size", 32, "--loop", "-q")
    assert len(list(Path("frames").glob("*.png"))) == 6


# -- encode -------------------------------------------------------------------------------------------------------------
@pytest.mark.slow
def test_that_a_photograph_becomes_a_face_and_the_licence_is_said_once(capsys: pytest.CaptureFixture[str]) -> None:
    done("encode", PHOTO, "-o", "me.face.safetensors", "--steps", 4, "-v")
    err = capsys.readouterr().err
    assert "300-W" in err
    assert "4 of 4  loss 0." in err or "4 of 4  loss 1." in err
    assert "wrote me.face.safetensors (loss " in err
    made, code = read_face(Path("me.face.safetensors"))
    assert made.sources[0].origin["photo"] == "astronaut"
    assert code.array.shape == (14, 512)
    done("encode", PHOTO, "-o", "me.png", "--steps", 2, "--space", "w")
    assert "300-W" not in capsys.readouterr().err
    assert recipe("me.png").sources[0].space == "w"
    done("render", "me.png", "-o", "again.png", "-q")
    assert np.abs(pixels("me.png") - pixels("again.png")).max() <= 1


@pytest.mark.slow
def test_that_a_crop_by_hand_needs_no_face(capsys: pytest.CaptureFixture[str]) -> None:
    Image.new("RGB", (100, 80), (200, 30, 30)).save("wall.png")
    done("encode", PHOTO, "-o", "first.png", "--steps", 1, "-q")  # says the licence
    capsys.readouterr()
    assert "no face was found in 'wall.png'" in said(capsys, "encode", "wall.png", "-o", "w.png", "-q")
    done("encode", "wall.png", "--crop", "50,40,60,15", "-o", "wall.face.safetensors", "--steps", 2, "-q")
    assert Path("wall.face.safetensors").exists()


# -- info, convert ------------------------------------------------------------------------------------------------------
@pytest.mark.slow
def test_that_an_encoding_starts_from_the_face_of_a_file(capsys: pytest.CaptureFixture[str]) -> None:
    done("render", "--seed", 4, "-o", "four.face.safetensors")
    (start,) = load_latents("four.face.safetensors")
    done(
        "encode", resource(SAMPLE_PHOTO), "-o", "me.face.safetensors", "--steps", 1, "--start", "four.face.safetensors"
    )
    (found,) = load_latents("me.face.safetensors")
    np.testing.assert_allclose(found, start, atol=1e-4)
    capsys.readouterr()
    assert "or the file of a face" in said(
        capsys, "encode", resource(SAMPLE_PHOTO), "-o", "x.png", "--start", "nowhere"
    )


@pytest.mark.slow
def test_that_a_tuned_face_is_drawn_again_with_its_tuning_and_not_without(capsys: pytest.CaptureFixture[str]) -> None:
    done("encode", resource(SAMPLE_PHOTO), "-o", "me.png", "--space", "w", "--steps", 3, "--tune", 3)
    assert files() == ["me.png", "me.tuning.safetensors"]
    assert recipe("me.png").tuning is not None
    done("render", "me.png", "--tuning", "me.tuning.safetensors", "-o", "again.png")
    assert np.array_equal(pixels("again.png"), pixels("me.png"))
    capsys.readouterr()
    assert "tuning is not here" in said(capsys, "render", "me.png", "-o", "without.png")
    assert "without.png" not in files()


@pytest.mark.slow
def test_that_info_tells_of_the_generator(capsys: pytest.CaptureFixture[str]) -> None:
    done("info", "--json")
    facts = json.loads(capsys.readouterr().out)
    assert (facts["what"], facts["family"], facts["resolution"]) == ("generator", "stylegan2", 256)
    assert len(facts["layers"]) == facts["num_ws"] == 14
    done("info", resource(EMBEDDED_GENERATOR))
    out = capsys.readouterr().out
    assert f"sha256: {facts['sha256']}\n" in out
    assert "b256.torgb" in out


def test_that_info_tells_of_faces_latents_and_photographs(capsys: pytest.CaptureFixture[str]) -> None:
    done("render", 3, "-o", "me.face.safetensors", "-q")
    done("render", 3, "-o", "me.npz", "-q")
    facts = []
    for path in ("me.face.safetensors", "me.npz", PHOTO):
        done("info", path, "--json")
        facts.append(json.loads(capsys.readouterr().out))
    assert [f["what"] for f in facts] == ["face", "latents", "photo"]
    assert facts[0]["sources"][0]["origin"] == {"seed": 3}
    assert facts[1]["shape"] == [1, 14, 512]


def test_that_the_catalogue_is_listed(capsys: pytest.CaptureFixture[str]) -> None:
    done("catalogue")
    listed = capsys.readouterr().out
    done("catalogue", "--json")
    entries = json.loads(capsys.readouterr().out)
    assert len(entries) > 20
    assert all(e["name"] in listed and e["licence"] in listed for e in entries)


def test_that_terms_have_to_be_accepted(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    assert "--accept" in said(capsys, "download", "stylegan2-ada-ffhq")
    monkeypatch.setattr("sys.stdin.isatty", lambda: True, raising=False)
    monkeypatch.setattr("builtins.input", lambda _: "n")
    assert cli.main(["download", "stylegan2-ada-ffhq"]) == 2
    err = capsys.readouterr().err
    assert "non-commercial" in err
    assert "nothing was downloaded" in err


def test_that_a_converted_generator_draws_the_same(capsys: pytest.CaptureFixture[str]) -> None:
    network = nets.build(
        "stylegan2", {"resolution": 16, "channels": [8, 8, 8], "z_dim": 8, "w_dim": 8, "mapping_features": [8]}, seed=1
    )
    checkpoints.save(network, "in.safetensors")
    done("convert", "in.safetensors", "out.safetensors")
    assert checkpoints.identity(network)[:12] in capsys.readouterr().err
    for name in ("in", "out"):
        done("render", "-g", f"{name}.safetensors", "--seed", 1, "-o", f"{name}.png", "-q")
    assert np.array_equal(pixels("in.png"), pixels("out.png"))
    done("convert", "in.safetensors", "half.safetensors", "--half", "-q")
    assert Path("half.safetensors").stat().st_size < Path("out.safetensors").stat().st_size
    assert "another generator" in said(capsys, "render", "in.png", "-g", "half.safetensors", "-o", "x.png")


# -- what is wrong ------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["rendr"], "rendr"),
        (["render"], "-o"),
        (["render", "-o", "a.png"], "say whom to draw"),
        (["render", "--seed", "x", "-o", "a.png"], "is not a seed"),
        (["render", "--seed", "5000000000", "-o", "a.png"], "seeds below"),
        (["render", "--seed", "0-99999", "-o", "faces"], "10,000 seeds"),
        (["render", "--seed", "1-2", "-o", "a.png"], "give a folder"),
        (["render", "--seed", "1", "-o", "a.bmp"], "a.bmp"),
        (["render", "--seed", "1", "-o", "no/a.png"], "folder does not exist"),
        (["render", "--seed", "1", "--psi", "nan", "-o", "a.png"], "not finite"),
        (["render", "--seed", "1", "--psi", "1,2", "-o", "a.png"], "one number or 14"),
        (["render", "--seed", "1", "--psi", "1,1,1,1,1,1,1,1,1,1,1,1,1,1", "--cutoff", "2", "-o", "a.png"], "not both"),
        (["render", "--seed", "1", "--noise", "loud", "-o", "a.png"], "const, none, own or a seed"),
        (["render", "--seed", "1", "--move", "0.1,0", "-o", "a.png"], "StyleGAN3"),
        (["render", "--seed", "1", "--move", "1", "-o", "a.png"], "x,y"),
        (["render", "missing.png", "-o", "a.png"], "missing.png"),
        (["render", PHOTO, "-o", "a.png"], "facelab encode"),
        (["render", str(resource(EMBEDDED_GENERATOR)), "-o", "a.png"], "not a face"),
        (["render", "--seed", "1", "-g", "missing.pkl", "-o", "a.png"], "missing.pkl"),
        (["render", "--seed", "1", "--device", "tpu", "-o", "a.png"], "tpu"),
        (["plane", "1", "2", "-o", "a.png"], "three faces"),
        (["plane", "-o", "a.png", "--tile", "1024", "--columns", "200", "--rows", "200"], "million pixels"),
        (["mix", "1", "-o", "a.png"], "at least two faces"),
        (["mix", "1", "2", "3", "--fine", "1", "-o", "a.png"], "1 share for 3 faces"),
        (["mix", "1", "2", "--layers", "14=1", "-o", "a.png"], "layers 0 to 13"),
        (["mix", "1", "2", "--layers", "1-3", "-o", "a.png"], "layers and a share"),
        (["mix", "1", "2", "-o", "no/a.png"], "folder does not exist"),
        (["morph", "1", "-o", "x.mp4"], "at least two faces"),
        (["morph", "1", "2", "-o", "x.txt"], "x.txt"),
        (["morph", "1", "2", "-o", "x.mp4", "--seconds", "-1"], "frames"),
        (["morph", "1", "2", "-o", "x.mp4", "--easing", "wobble"], "wobble"),
        (["encode", "missing.jpg", "-o", "me.png"], "missing.jpg"),
        (["encode", PHOTO, "-o", "me.txt"], "me.txt"),
        (["encode", PHOTO, "-o", "no/me.png"], "folder does not exist"),
        (["encode", PHOTO, "-o", "me.png", "--face", "4"], "shows 1 face"),
        (["encode", PHOTO, "-o", "me.png", "--crop", "1,2"], "x,y,size"),
        (["encode", PHOTO, "-o", "me.png", "--detector", "haar"], "haar"),
        (["encode", PHOTO, "-o", "me.png", "--steps", "0"], "whole number from 1"),
        (["info", "missing"], "missing"),
        (["download", "nothing", "--accept"], "catalogue"),
        (["download", "stylegan-ffhq", "--accept"], "browser"),
        (["render", "-g", "stylegan2-ada-ffhq", "--seed", "1", "-o", "a.png"], "facelab download"),
        (["convert", "missing.pkl", "out.safetensors"], "missing.pkl"),
        (["convert", "missing.pkl", "out.pkl"], "out.pkl"),
    ],
)
def test_that_what_is_wrong_is_said_in_one_sentence_and_nothing_is_written(
    capsys: pytest.CaptureFixture[str], words: list[str], sentence: str
) -> None:
    settings.save(settings.Settings(notice_accepted=True))  # else the landmark model's licence is said as well
    assert sentence in said(capsys, *words)
    assert not [name for name in files() if name != "faces"]


def test_that_a_face_of_another_generator_names_the_option(capsys: pytest.CaptureFixture[str]) -> None:
    network = nets.build(
        "stylegan2", {"resolution": 8, "channels": [8, 8], "w_dim": 8, "mapping_features": [8]}, seed=1
    )
    checkpoints.save(network, "other.safetensors")
    done("render", 1, "-o", "mine.png", "-q")
    assert "--generator" in said(capsys, "render", "mine.png", "-g", "other.safetensors", "-o", "x.png")


def test_that_a_conditional_generator_asks_for_a_class(capsys: pytest.CaptureFixture[str]) -> None:
    options: dict[str, Any] = {
        "resolution": 8, "channels": [8, 8], "w_dim": 8, "mapping_features": [8], "c_dim": 3, "embed_features": 8
    }  # fmt: skip
    checkpoints.save(nets.build("stylegan2", options, seed=1), "classes.safetensors")
    given = ("render", "-g", "classes.safetensors", "--seed", 1, "-o", "a.png")
    assert "c_dim 3" in said(capsys, *given)
    done(*given, "--class", 2, "-q")


@pytest.mark.parametrize("command", [(), *((name,) for name in cli.COMMANDS)])
def test_that_help_tells_of_every_command(capsys: pytest.CaptureFixture[str], command: tuple[str, ...]) -> None:
    with pytest.raises(SystemExit) as left:
        cli.main([*command, "--help"])
    assert left.value.code == 0
    out = capsys.readouterr().out
    assert "usage: facelab" in out
    assert all(name in out for name in (command or cli.COMMANDS))


def test_that_the_version_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        cli.main(["--version"])
    assert capsys.readouterr().out == f"facelab {__version__}\n"


FULL = """
import resource, sys
from facelab import cli, settings
settings.save(settings.Settings(notice_accepted=True))
resource.setrlimit(resource.RLIMIT_FSIZE, (3000, 3000))
for words in WORDS:
    assert cli.main(words) == 2, words
"""


@pytest.mark.slow
@pytest.mark.skipif(os.name == "nt", reason="limits of POSIX")
def test_that_a_disk_that_is_full_leaves_nothing_half_written() -> None:
    render, morph = ["render", "--seed", "1", "-o"], ["morph", "1", "2", "--seconds", "0.2", "-o"]
    words = [
        *([*render, f"a.{kind}"] for kind in ("png", "jpg", "face.safetensors", "npz", "npy", "pt")),
        *([*morph, name] for name in ("a.mp4", "a.gif", "frames")),
        ["plane", "--columns", "2", "--rows", "2", "-o", "plane.png"],
        ["convert", str(resource(EMBEDDED_GENERATOR)), "b.safetensors"],
        ["encode", PHOTO, "--steps", "1", "-q", "-o", "me.face.safetensors"],
    ]
    program = FULL.replace("WORDS", repr(words))
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=120)
    assert run.returncode == 0, run.stderr
    assert run.stderr.count("cannot write") == len(words), run.stderr
    assert files() == []


# -- the window ---------------------------------------------------------------------------------------------------------
def test_that_facelab_alone_or_with_files_opens_the_window(monkeypatch: pytest.MonkeyPatch) -> None:
    from facelab import app

    opened: list[list[Path]] = []
    monkeypatch.setattr(app, "run", lambda files: opened.append(list(files)) or 0)
    Path("me.png").write_bytes(b"")
    for words in ((), ("window",), ("me.png",), ("window", "a.facelab", "b.pkl")):
        done(*words)
    assert opened == [[], [], [Path("me.png")], [Path("a.facelab"), Path("b.pkl")]]
    monkeypatch.setattr(app, "run", lambda files: 3)
    with pytest.raises(SystemExit) as left:
        cli.main([])
    assert left.value.code == 3


@pytest.mark.slow
def test_that_the_demonstration_does_the_main_job_without_a_display() -> None:
    environment = {k: v for k, v in os.environ.items() if k not in ("DISPLAY", "WAYLAND_DISPLAY")}
    words = [sys.executable, "-m", "facelab", "demo", "out", "--steps", "10"]
    run = subprocess.run(words, capture_output=True, text=True, timeout=200, env=environment)
    assert run.returncode == 0, run.stderr
    assert sorted(p.name for p in Path("out").iterdir()) == [
        "astronaut.face.safetensors", "astronaut.png", "morph.mp4", "plane.png", "window.png",
    ]  # fmt: skip
    assert pixels("out/window.png").std() > 20


# -- as a process -------------------------------------------------------------------------------------------------------
def started(*words: str) -> subprocess.Popen[str]:
    return subprocess.Popen([sys.executable, "-m", "facelab", *words], stderr=subprocess.PIPE, text=True)


def wait_for(run: subprocess.Popen[str], words: str) -> None:
    """Read stderr up to a line with these words."""
    assert run.stderr is not None
    for line in run.stderr:
        if words in line:
            return
    raise AssertionError(f"it ended with {run.wait()} and never said {words!r}")


def test_that_help_needs_no_torch() -> None:
    program = (
        "import sys, contextlib\nfrom facelab import __main__\n"
        "with contextlib.suppress(SystemExit): __main__.main(['render', '--help'])\n"
        "assert 'torch' not in sys.modules and 'PySide6' not in sys.modules"
    )
    assert subprocess.run([sys.executable, "-c", program], capture_output=True, timeout=60).returncode == 0


@pytest.mark.slow
@pytest.mark.skipif(os.name == "nt", reason="signals of POSIX")
def test_that_an_interrupted_encoding_keeps_its_best_code() -> None:
    run = started("encode", PHOTO, "--crop", "220,120,200", "-o", "me.face.safetensors", "--steps", "600", "-v")
    wait_for(run, "60 of 600")
    run.send_signal(signal.SIGINT)
    _, err = run.communicate(timeout=30)
    assert run.returncode == 130
    assert "the best code of" in err
    assert read_face(Path("me.face.safetensors"))[1].array.shape == (14, 512)


@pytest.mark.slow
@pytest.mark.skipif(os.name == "nt", reason="signals of POSIX")
@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 128 + signal.SIGTERM)])
def test_that_an_interrupted_video_leaves_nothing(number: signal.Signals, code: int) -> None:
    run = started("morph", "1", "2", "-o", "x.mp4", "--seconds", "300", "-v")
    deadline = time.monotonic() + 60
    while not files() and time.monotonic() < deadline and run.poll() is None:
        time.sleep(0.02)
    run.send_signal(number)
    _, err = run.communicate(timeout=30)
    assert run.returncode == code, err
    assert files() == []
    if number == signal.SIGINT:
        assert "nothing was written" in err
