"""Many photographs into one project: what is written, said, passed over, and gone on with after a stop."""

from __future__ import annotations

import csv
import io
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image, ImageOps

from facelab import checkpoints, cli, nets, runs
from facelab.assets import SAMPLE_PHOTO, resource
from facelab.engine.latents import write_face
from facelab.jobs import Answer, ProjectionStep
from facelab.latent.recipe import Recipe
from facelab.project import Project

STEPS = 6


@pytest.fixture(autouse=True)
def photos(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A face twice, one of them mirrored, and a wall, in a folder of their own."""
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "photos"
    folder.mkdir()
    with Image.open(resource(SAMPLE_PHOTO)) as image:
        image.convert("RGB").save(folder / "a.jpg")
        ImageOps.mirror(image.convert("RGB")).save(folder / "c.jpg")
    Image.new("RGB", (100, 80), (200, 30, 30)).save(folder / "b.png")
    network = nets.build(
        "stylegan2",
        {"resolution": 32, "channels": [16, 16, 16, 16], "z_dim": 16, "w_dim": 16, "mapping_features": [16]},
        seed=1,
    )
    checkpoints.save(network, tmp_path / "small.safetensors")


def run(*words: object) -> int:
    """A command with a small generator; returns the exit code."""
    return cli.main([*map(str, words), "-g", "small.safetensors"])


def encode(*words: object) -> int:
    return run("encode", *words, "--project", "p.facelab", "--steps", STEPS)


@pytest.mark.slow
def test_that_a_batch_goes_through_and_is_not_done_twice(capsys: pytest.CaptureFixture[str]) -> None:
    assert encode("photos/a.jpg", "photos/b.png", "photos/c.jpg") == 2
    err = capsys.readouterr().err
    assert "[2/3] b: passed over: no face was found in 'b.png'" in err
    assert "1 of 3 were not encoded" in err
    with Project.open("p.facelab") as project:
        assert project.check() == []
        rows, faces = project.runs(), project.faces()
        assert [(r.name, r.status, r.steps_done) for r in rows] == [("c", "done", STEPS), ("a", "done", STEPS)]
        assert sorted(f.name for f in faces) == ["a", "c"]
        face = next(f for f in faces if f.name == "a")
        photo = project.photo(face.id)
        assert face.run == rows[1].id
        assert photo is not None
        assert photo[0] == "a.jpg"
        assert photo[1] is not None
        assert (project.thumbnail(face.id) or b"").startswith(b"\x89PNG")
        assert project.recipe(face.id).sources[0] == project.run_code(face.run)
        assert project.losses(face.run)["total"].shape == (STEPS,)
        assert project.kept_steps(face.run) == list(range(STEPS))
        assert project.seconds(face.run)[-1] > 0
    assert encode("photos/a.jpg", "photos/c.jpg") == 0
    err = capsys.readouterr().err
    assert "[1/2] a: was encoded before (loss " in err
    assert "0 encoded, 2 before" in err
    Path("photos/a.jpg").rename("elsewhere.jpg")
    assert encode("elsewhere.jpg") == 0
    assert "was encoded before" in capsys.readouterr().err
    with Project.open("p.facelab") as project:
        assert len(project.runs()) == len(project.faces()) == 2


@pytest.mark.slow
def test_that_a_stopped_batch_goes_on_as_if_it_had_not_been(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert encode("photos/a.jpg", "photos/c.jpg", "-q") == 0
    with Project.open("p.facelab") as project:
        whole = {row.name: (project.losses(row.id)["total"], project.run_code(row.id)) for row in project.runs()}
    Path("p.facelab").unlink()
    record = runs.record

    def stop_in_the_middle(project: Project, answer: Answer) -> None:
        record(project, answer)
        if isinstance(answer, ProjectionStep) and answer.steps[-1] == 2:
            os.kill(os.getpid(), signal.SIGINT)

    monkeypatch.setattr(runs, "record", stop_in_the_middle)
    assert encode("photos/a.jpg", "photos/c.jpg") == 130
    monkeypatch.setattr(runs, "record", record)
    err = capsys.readouterr().err
    assert "[1/2] a: stopped at step 3 of 6" in err
    assert "the same command goes on" in err
    with Project.open("p.facelab") as project:
        assert [(r.name, r.status) for r in project.runs()] == [("a", "cancelled")]
        assert not project.faces()
    assert encode("photos/a.jpg", "photos/c.jpg") == 0
    err = capsys.readouterr().err
    assert "[1/2] a: goes on after step 3 of 6" in err
    assert "2 encoded, 0 before" in err
    with Project.open("p.facelab") as project:
        for row in project.runs():
            losses, code = whole[row.name]
            np.testing.assert_array_equal(project.losses(row.id)["total"], losses)
            assert project.run_code(row.id) == code
        assert len(project.faces()) == 2


@pytest.mark.slow
def test_that_without_photographs_everything_unfinished_goes_on(capsys: pytest.CaptureFixture[str]) -> None:
    assert encode("photos/a.jpg", "-q") == 0
    with Project.open("p.facelab") as project:
        (row,) = project.runs()
        target = project.target(row.id)
        project.start_run("mine", row.generator, {**row.settings, "steps": 3}, "by hand", target)
        project.start_run("broken", row.generator, row.settings, "broken", b"no picture")
        project.checkpoint("mine", 1, b"a state that cannot be read")
        project.start_run("other", "f" * 64, row.settings, "of another generator", target)
        project.start_run("zero-1", row.generator, row.settings, "a baseline", target)
    assert encode() == 2
    err = capsys.readouterr().err
    assert "[1/2] by hand: goes on after step 1 of 3" in err
    assert "[1/2] by hand: begins again: the saved state of this run cannot be read" in err
    assert "[1/2] by hand: loss " in err
    assert "[2/2] broken: passed over: the crop of 'broken' is missing or damaged" in err
    with Project.open("p.facelab") as project:
        assert {r.id: r.status for r in project.runs()}["mine"] == "done"
        project.delete_run("broken")
    assert encode() == 0
    assert "nothing is left to go on with in p.facelab" in capsys.readouterr().err


@pytest.mark.slow
def test_that_the_descent_goes_as_the_options_say(capsys: pytest.CaptureFixture[str]) -> None:
    words = [
        "--loss", "pixels=2", "--loss", "ms-ssim", "--layers", "0-2,5", "--stop-loss", "0.001", "--learning-rate", "0.2",
        "--no-noise", "--mask", "--space", "w+", "--near-w", "0.5", "--optimiser", "adam", "-q",
    ]  # fmt: skip
    assert encode("photos/a.jpg", *words) == 0
    assert encode("photos/a.jpg", "-q") == 0  # with other settings it is another run
    with Project.open("p.facelab") as project:
        _, row = project.runs()
        settings = runs.settings_of(row.settings)
        assert set(project.losses(row.id)) >= {"total", "pixels", "ms-ssim", "near_w"}
    assert settings.losses == {"pixels": 2, "ms-ssim": 1}
    assert settings.learn_layers == (0, 1, 2, 5)
    assert (settings.stop_loss, settings.learning_rate, settings.near_w) == (0.001, 0.2, 0.5)
    assert not settings.optimise_noise
    assert settings.mask is not None
    assert settings.mask[:, 0].max() == 0
    assert settings.mask[16, 16] > 200
    for more, sentence in (
        (("--loss", "beauty=1"), "unknown loss 'beauty'"), (("--layers", "7-2"), "no range of layers"),
        (("--loss", "pixels=x"), "like pixels=2"), (("--layers", "0-40"), "the layers to learn are some of 0 to"),
        (("--mask", "--crop", "200,200,90"), "without landmarks there is no mask"),
    ):  # fmt: skip
        try:
            code = encode("photos/a.jpg", *more)
        except SystemExit as left:
            code = int(left.code or 0)
        assert code == 2
        assert sentence in capsys.readouterr().err
    assert run("encode", "photos/a.jpg", "-o", "x.png", "--mask") == 2
    assert run("encode", "photos/a.jpg", "-o", "x.png", "--loss", "pixels", "--steps", 2, "-q") == 0


def test_that_what_cannot_be_meant_is_refused_before_anything_is_written(capsys: pytest.CaptureFixture[str]) -> None:
    Path("empty").mkdir()
    for words, sentence in (
        (("photos/a.jpg", "-o", "x.png"), "-o is for one photograph"),
        (("photos", "--crop", "1,2,3"), "--crop is for one photograph"),
        (("empty",), "there is no photograph in empty"),
        (("photos/*.tiff",), "there is no photograph in photos/*.tiff"),
    ):
        assert encode(*words) == 2
        assert sentence in capsys.readouterr().err
        assert not Path("p.facelab").exists()
    assert run("encode", "photos/a.jpg", "photos/c.jpg", "-o", "x.png") == 2
    assert "--project FILE" in capsys.readouterr().err
    Path("p.facelab").write_text(
        "something else, longer than a header of SQLite would be, and no project of facelab at all"
    )
    assert encode("photos/a.jpg") == 2
    assert "p.facelab" in capsys.readouterr().err


@pytest.mark.slow
def test_that_a_descent_is_played(capsys: pytest.CaptureFixture[str]) -> None:
    assert encode("photos/a.jpg", "-q") == 0
    short = ["--seconds", "0.6", "--back", "0.3", "--fps", "10", "--size", "64"]
    assert run("descent", "p.facelab", "a", "-o", "d.mkv", *short) == 0
    with av.open("d.mkv") as video:
        frames = [frame.to_ndarray(format="rgb24").astype(int) for frame in video.decode(video=0)]
    assert len(frames) == 6 + 10 + 3
    assert frames[0].shape == (64 + 64, 64, 3)
    with Project.open("p.facelab") as project:
        (row,) = project.runs()
        png = project.thumbnail(project.faces()[0].id)
    found = np.asarray(Image.open(io.BytesIO(png or b"")).resize((64, 64))).astype(int)
    assert np.abs(frames[5][:64] - found).mean() < 6
    assert np.abs(frames[0][:64] - found).mean() > 8
    assert np.abs(frames[-1][:64] - frames[0][:64]).mean() < np.abs(frames[-3][:64] - frames[0][:64]).mean()
    assert run("descent", "p.facelab", row.id[:8], "-o", "frames", "--no-curve", "-q", *short) == 0
    assert len(list(Path("frames").glob("*.png"))) == 19
    for words, sentence in (
        (("p.facelab", "b"), "has no run 'b'; it has a"),
        (("none.facelab", "a"), "none.facelab is not there"),
        (("p.facelab", "a", "--seconds", "0"), "a descent takes some time"),
    ):
        assert run("descent", *words, "-o", "e.mp4") == 2
        assert sentence in capsys.readouterr().err
    assert not Path("e.mp4").exists()
    assert not Path("none.facelab").exists()


@pytest.mark.slow
def test_that_a_killed_batch_loses_no_run() -> None:
    words = [
        sys.executable,
        "-m",
        "facelab",
        "encode",
        "photos/a.jpg",
        "photos/c.jpg",
        "-p",
        "p.facelab",
        "--steps",
        "80",
    ]
    process = subprocess.Popen(words, stderr=subprocess.DEVNULL)
    until = time.monotonic() + 300
    while time.monotonic() < until:
        if Path("p.facelab").exists():
            with Project.open("p.facelab") as project:
                if any(r.steps_done > 5 and project.last_checkpoint(r.id) for r in project.runs()):
                    break
        time.sleep(0.05)
    process.kill()
    process.wait()
    with Project.open("p.facelab") as project:
        assert project.check() == []
        step = (project.last_checkpoint(project.runs()[-1].id) or (0,))[0]
        assert step > 0
    done = subprocess.run(words, capture_output=True, text=True, check=True)
    assert f"goes on after step {step} of 80" in done.stderr
    with Project.open("p.facelab") as project:
        assert [(r.status, r.steps_done) for r in project.runs()] == [("done", 80)] * 2
        assert len(project.faces()) == 2


@pytest.mark.slow
def test_that_a_face_is_set_back_into_its_photograph(capsys: pytest.CaptureFixture[str]) -> None:
    assert encode("photos/a.jpg", "-q") == 0

    def paste(*words: object) -> np.ndarray:
        assert run("paste", *map(str, words), "-o", "out.png", "-q") == 0
        with Image.open("out.png") as image:
            assert "compositeWithTrainedAlgorithmicMedia" in str(image.info)
            return np.asarray(image.convert("RGB")).astype(int)

    with Image.open("photos/a.jpg") as image:
        photo = np.asarray(image.convert("RGB")).astype(int)
    whole = paste("a", "photos/a.jpg", "-p", "p.facelab")
    changed = (whole != photo).any(2)
    with Project.open("p.facelab") as project:
        face = project.faces()[0]
        quad = (project.photo(face.id) or ("", None))[1]
        assert quad is not None
        done = project.run_code(face.run or "")
    rows, columns = np.nonzero(changed)
    low, high = quad.min(0), quad.max(0)
    assert (columns.min() >= low[0] - 1) & (columns.max() <= high[0] + 1)
    assert (rows.min() >= low[1] - 1) & (rows.max() <= high[1] + 1)
    assert changed[int(quad[:, 1].mean()), int(quad[:, 0].mean())]
    masked = paste("a", "photos/a.jpg", "-p", "p.facelab", "--mask")
    assert 0 < (masked != photo).any(2).sum() < 0.7 * changed.sum()

    # An edited face finds its place by the run that its code came from, or anew in the photograph.
    write_face(Path("a.face.safetensors"), Recipe.of(done).change(psi=(0.7,)), done)
    for words in (("-p", "p.facelab"), ("--face", 0)):
        edited = paste("a.face.safetensors", "photos/a.jpg", *words)
        assert np.abs(edited - whole).max() > 3
        outside = ~np.pad(changed, 2)[2:-2, 2:-2]
        assert (edited != photo).any(2)[outside].mean() < 0.01
    assert np.array_equal(paste("7", "photos/b.png", "--crop", "50,40,40")[0], np.full((100, 3), (200, 30, 30)))
    for words, sentence in (
        (("7", "photos/b.png"), "give its place with --crop"),
        (("7", "photos/b.png", "--crop", "50,40,40", "--mask"), "no face was found"),
        (("7", "photos/a.jpg", "--face", "4"), "numbered from 0"),
        (("7", "photos/a.jpg", "--feather", "2"), "feather"),
        (("a", "photos/a.jpg", "-p", "no.facelab"), "is not there"),
        (("7", "photos/a.jpg", "-o", "photos/a.jpg"), "write over the photograph itself"),
        (("7", "photos/none.jpg", "--crop", "50,40,40"), "none.jpg"),
    ):
        Path("out.png").unlink(missing_ok=True)
        assert run("paste", "-o", "out.png", "-q", *words) == 2
        assert sentence in capsys.readouterr().err
        assert not Path("out.png").exists()


@pytest.mark.slow
def test_that_a_project_is_reported_on_against_the_zero_face(capsys: pytest.CaptureFixture[str]) -> None:
    assert encode("photos/a.jpg", "-q") == 0
    words = ["report", "p.facelab", "-o", "r.html", "--csv", "r.csv", "--at", "2,6,99"]
    assert run(*words) == 0
    (row,) = list(csv.DictReader(Path("r.csv").read_text().splitlines()))
    with Project.open("p.facelab") as project:
        one, zero = sorted(project.runs(), key=lambda r: runs.is_zero_run(r.id))
        assert (zero.name, zero.status, zero.steps_done) == (runs.ZERO_NAME, "done", STEPS)
        own, base = (project.losses(r.id)["total"] for r in (one, zero))
        assert len(project.faces()) == 1  # the baseline is no face of the library
    assert float(row["loss at 6"]) == pytest.approx(own[5], rel=1e-5)
    assert float(row["at 2 / zero face"]) == pytest.approx(own[1] / base[1], rel=1e-5)
    assert float(row["best / zero face"]) == pytest.approx(own.min() / base.min(), rel=1e-5)
    assert row["loss at 99"] == ""
    assert float(row[next(h for h in row if h and h.startswith("seconds to"))]) > 0
    assert 0.2 < float(row["identity distance"]) < 1.5
    page = Path("r.html").read_text("utf-8")
    assert page.count("data:image/jpeg") == 2
    assert "zero face" in page

    # The second time the baseline is there; a run that was cut off is told by its last kept step.
    with Project.open("p.facelab") as project:
        project.start_run("half", one.generator, one.settings, "half", project.target(one.id))
        project.add_losses("half", 0, {"total": own[:3]})
        project.keep_step("half", 2, project.kept(one.id, 2))
        for name, settings in (("odd", {"unheard of": 1}), ("wrong", {**one.settings, "learn_layers": [99]})):
            project.start_run(name, one.generator, settings, name, project.target(one.id))
            project.add_losses(name, 0, {"total": own})
    capsys.readouterr()
    assert run("report", "p.facelab", "-o", "all.csv", "-v") == 0
    err = capsys.readouterr().err
    assert "of the zero face, loss" not in err
    assert "no curve of the zero face for some of them: the layers to learn" in err
    rows = {row["photo"]: row for row in csv.DictReader(Path("all.csv").read_text().splitlines())}
    assert set(list(rows)[-2:]) == {"odd", "wrong"}  # without a baseline, after those that have one
    assert rows["half"]["steps"] == "3"
    assert rows["half"]["PSNR, dB"]
    assert rows["odd"]["best / zero face"] == ""

    for words, sentence in (
        (["p.facelab", "nobody", "-o", "x.html"], "has no run 'nobody'"),
        (["p.facelab", "-o", "x.pdf"], "a report ends in .html or .csv"),
        (["p.facelab", "-o", "x.html", "--no-zero", "half", "--level", "nan"], "is not finite"),
    ):
        try:
            code = run("report", *words)
        except SystemExit as left:
            code = int(left.code or 0)
        assert code == 2
        assert sentence in capsys.readouterr().err
    with Project.open("empty.facelab"):
        pass
    assert run("report", "empty.facelab", "-o", "x.html") == 2
    assert "no photograph that was encoded" in capsys.readouterr().err
    assert not Path("x.html").exists()
