"""The desk of side jobs: photographs with their faces, crops, what a dropped file is."""

from __future__ import annotations

import dataclasses
import functools
import http.server
import io
import subprocess
import sys
import threading
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import numpy as np
import pytest
import torch
from PIL import Image

from facelab import nets
from facelab.assets import EMBEDDED_GENERATOR, SAMPLE_PHOTO, resource
from facelab.checkpoints import catalogue
from facelab.engine import latents
from facelab.engine.desk import PREVIEW_SIDE, Desk, look_at
from facelab.errors import BadArgument, FacelabError, MissingPart, PictureError
from facelab.faces import detect
from facelab.jobs import (
    Answer,
    Catalogue,
    Cropped,
    CropPhoto,
    Download,
    Dropped,
    Job,
    ListCatalogue,
    LookAtFile,
    OpenPhoto,
    PhotoOpened,
    Progress,
    Written,
)
from facelab.latent.code import Code
from facelab.latent.recipe import Recipe
from facelab.media.picture import save_picture
from facelab.project import Project

A = TypeVar("A", bound=Answer)
GENERATOR = "ab" * 32


def answer(job: Job, kind: type[A], desk: Desk | None = None) -> A:
    (found,) = [a for a in (desk or Desk()).run(job, threading.Event()) if isinstance(a, kind)]
    return found


@pytest.fixture(scope="module")
def photo() -> PhotoOpened:
    return answer(OpenPhoto(path=resource(SAMPLE_PHOTO)), PhotoOpened)


def noise_picture(path: Path, size: tuple[int, int]) -> Path:
    pixels = np.random.RandomState(0).randint(0, 255, (size[1] // 8 + 1, size[0] // 8 + 1, 3)).astype(np.uint8)
    Image.fromarray(pixels).resize(size).save(path)
    return path


# -- photographs --------------------------------------------------------------------------------------------------------
def test_that_the_face_of_the_sample_photograph_is_found(photo: PhotoOpened) -> None:
    (face,) = photo.faces
    assert face.landmarks.shape == (68, 2)
    assert face.quad.shape == (4, 2)
    assert not face.quad.flags.writeable
    assert photo.size == (512, 512)
    assert not photo.preview.flags.writeable
    assert "300-W" in photo.notice


def test_that_a_crop_has_the_size_asked_for_and_is_the_face(photo: PhotoOpened) -> None:
    crop = answer(CropPhoto(path=photo.path, quad=photo.faces[0].quad, size=96), Cropped)
    assert crop.pixels.shape == (96, 96, 3)
    assert not crop.pixels.flags.writeable
    assert crop.outside == pytest.approx(0, abs=0.01)
    assert np.allclose(crop.quad, photo.faces[0].quad)
    left, top, right, bottom = (int(v) for v in photo.faces[0].box)
    # Skin is warm: red leads over blue, in the crop as in the box of the face.
    for part in (crop.pixels[32:64, 32:64], photo.preview[top:bottom, left:right]):
        assert part[..., 0].mean() > part[..., 2].mean() + 20


def test_that_a_photograph_without_a_face_opens_and_says_so(tmp_path: Path) -> None:
    found = answer(OpenPhoto(path=noise_picture(tmp_path / "sand.png", (300, 200))), PhotoOpened)
    assert not found.faces
    assert "no face was found in 'sand.png'" in found.message
    assert not found.notice


def test_that_a_photograph_opens_without_the_landmark_model_and_says_what_is_missing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def missing(points: int) -> None:
        raise MissingPart('pip install "facelab[photos]"')

    monkeypatch.setattr(detect, "landmark_predictor", missing)
    found = answer(OpenPhoto(path=resource(SAMPLE_PHOTO)), PhotoOpened)
    assert not found.faces
    assert "facelab[photos]" in found.message


def test_that_the_preview_of_a_large_photograph_is_small_and_its_size_told(tmp_path: Path) -> None:
    found = answer(OpenPhoto(path=noise_picture(tmp_path / "wide.jpg", (3000, 1500))), PhotoOpened)
    assert found.size == (3000, 1500)
    assert found.preview.shape == (PREVIEW_SIDE // 2, PREVIEW_SIDE, 3)


def test_that_a_photograph_is_decoded_once_for_opening_and_cropping(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from facelab.engine import desk as module

    opened: list[Path] = []
    real = module.open_photo
    monkeypatch.setattr(module, "open_photo", lambda path: (opened.append(path), real(path))[1])
    path, desk = noise_picture(tmp_path / "a.png", (200, 200)), Desk()
    quad = np.array([[50, 50], [50, 150], [150, 150], [150, 50]], np.float32)
    answer(OpenPhoto(path=path), PhotoOpened, desk)
    first = answer(CropPhoto(path=path, quad=quad, size=64), Cropped, desk)
    assert len(opened) == 1
    Image.new("RGB", (200, 200), (255, 0, 0)).save(path)
    assert not np.array_equal(answer(CropPhoto(path=path, quad=quad, size=64), Cropped, desk).pixels, first.pixels)
    desk.trim()
    answer(CropPhoto(path=path, quad=quad, size=64), Cropped, desk)
    assert len(opened) == 3


def test_that_a_crop_that_cannot_be_is_refused(photo: PhotoOpened) -> None:
    for quad, size in ((np.zeros((4, 2)), 64), (photo.faces[0].quad, 0), (np.full((4, 2), np.nan), 64)):
        with pytest.raises(BadArgument):
            answer(CropPhoto(path=photo.path, quad=quad, size=size), Cropped)


@pytest.mark.parametrize("name", ["missing.jpg", "text.jpg", "cut.jpg", "."])
def test_that_what_is_no_photograph_gets_a_sentence(tmp_path: Path, name: str) -> None:
    (tmp_path / "text.jpg").write_text("no picture")
    (tmp_path / "cut.jpg").write_bytes(resource(SAMPLE_PHOTO).read_bytes()[:5000])
    with pytest.raises(PictureError, match=name if name != "." else "folder"):
        answer(OpenPhoto(path=tmp_path / name), PhotoOpened)


# -- dropped files ------------------------------------------------------------------------------------------------------
def face_recipe(number: int = 1) -> Recipe:
    return Recipe.of(Code.from_seed(number, 512, GENERATOR))


def generator_file(path: Path) -> None:
    path.write_bytes(resource(EMBEDDED_GENERATOR).read_bytes())


def rosinality_file(path: Path) -> None:
    torch.save({"g_ema": {"conv1.conv.weight": torch.zeros(1, 4, 4, 3, 3)}}, path)


def state_dict_file(path: Path) -> None:
    network = nets.build("stylegan2", {"resolution": 8, "channels": [4, 4], "w_dim": 8, "mapping_features": [8]})
    torch.save(network.state_dict(), path)


def recipe_picture(path: Path) -> None:
    save_picture(path, np.zeros((32, 32, 3), np.uint8), face_recipe().to_json())


def face_file(path: Path) -> None:
    code = Code(array=np.ones((12, 512)), space="w+", generator=GENERATOR)
    latents.write_face(path, face_recipe(), code)


def project_file(path: Path) -> None:
    Project.open(path).close()


def latent_tensor(path: Path) -> None:
    torch.save(torch.zeros(1, 18, 512), path)


def plain_picture(path: Path) -> None:
    save_picture(path, np.zeros((32, 32, 3), np.uint8))


def recipe_text(path: Path) -> None:
    path.write_text(face_recipe().to_json())


@pytest.mark.parametrize(
    ("write", "what"),
    [
        (generator_file, "generator"),
        (rosinality_file, "generator"),
        (state_dict_file, "generator"),
        (recipe_picture, "recipe"),
        (face_file, "recipe"),
        (recipe_text, "recipe"),
        (project_file, "project"),
        (latent_tensor, "latents"),
        (plain_picture, "photo"),
    ],
)
def test_that_a_dropped_file_is_told_by_its_contents(tmp_path: Path, write: Callable[[Path], None], what: str) -> None:
    path = tmp_path / "right.png"
    write(path)
    path = path.rename(tmp_path / "misleading.txt")
    found = answer(LookAtFile(path=path), Dropped)
    assert (found.path, found.what) == (path, what)
    assert (found.recipe == face_recipe()) if what == "recipe" else found.recipe is None


def test_that_arrays_are_latents(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", np.zeros((18, 512)))
    np.savez(tmp_path / "a.npz", w=np.zeros((1, 18, 512)))
    assert [look_at(tmp_path / n).what for n in ("a.npy", "a.npz")] == ["latents", "latents"]


def test_that_photographs_are_photos(tmp_path: Path) -> None:
    assert look_at(resource(SAMPLE_PHOTO)).what == "photo"
    for suffix in ("webp", "tif", "gif", "bmp", "avif"):
        assert look_at(noise_picture(tmp_path / f"a.{suffix}", (40, 40))).what == "photo"


def _zip(name: str) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr(name, b"N.")
    return buffer.getvalue()


def test_that_strange_and_damaged_files_are_refused_in_a_sentence(tmp_path: Path) -> None:
    face_file(tmp_path / "whole.safetensors")
    whole = (tmp_path / "whole.safetensors").read_bytes()
    cases = {
        "text.txt": b"hello",
        "empty.bin": b"",
        "other.json": b'{"a": 1}',
        "cut.json": b'{"facelab": "recipe"',
        "deep.json": b"{" + b'"a":[' * 100_000,
        "cut.zip": b"PK\x03\x04 nothing more",
        "locked.zip": _zip("a/data.pkl").replace(b"\x14\x00\x00\x00\x00\x00", b"\x14\x00\x01\x00\x00\x00"),
        "other.zip": _zip("notes.txt"),
        "cut.safetensors": whole[:100],
        "lying.safetensors": (2**40).to_bytes(8, "little") + b"{" + bytes(50),
        "no header.safetensors": (20).to_bytes(8, "little") + b"{" * 20 + bytes(50),
        "deep.safetensors": (200_000).to_bytes(8, "little") + b'{"a":' + b"[" * 200_000,
        "nan.json": face_recipe().to_json().replace('"psi":[1.0]', '"psi":[NaN]').encode(),
        "newer.json": face_recipe().to_json().replace('"version":1', '"version":7').encode(),
    }
    for name, content in cases.items():
        path = tmp_path / name
        path.write_bytes(content)
        with pytest.raises(FacelabError) as said:
            look_at(path)
        assert len(str(said.value)) > 20, name
    for path in (tmp_path, tmp_path / "missing", tmp_path / "a\0b"):
        with pytest.raises(FacelabError):
            look_at(path)


def test_that_every_fixture_is_told_apart(test_data: Path) -> None:
    for path in sorted((test_data / "fixtures" / "public").glob("*.p*")):
        assert look_at(path).what == "generator", path.name
    for path in sorted((test_data / "fixtures" / "public" / "latents").iterdir()):
        assert look_at(path).what == "latents", path.name


@pytest.mark.slow
def test_that_the_desk_never_loads_torch() -> None:
    program = (
        "import sys, threading\nfrom pathlib import Path\nfrom facelab.engine.desk import Desk\n"
        "from facelab.jobs import LookAtFile, OpenPhoto\nfrom facelab.assets import resource\n"
        "for name in ('astronaut.jpg', 'portraits.safetensors'):\n"
        "    print([a.what for a in Desk().run(LookAtFile(path=resource(name)), threading.Event()) if a])\n"
        "assert not any(m.split('.')[0] in ('torch', 'scipy', 'sklearn', 'PySide6') for m in sys.modules), sys.modules\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == ["['photo']", "['generator']"]


# -- the catalogue ------------------------------------------------------------------------------------------------------
def test_that_the_catalogue_is_listed_with_its_terms() -> None:
    entries = answer(ListCatalogue(), Catalogue).entries
    assert len({e.name for e in entries}) == len(entries) > 20
    assert all(e.licence and e.address.startswith("https://") and e.path is None for e in entries)


@pytest.mark.slow
def test_that_a_download_tells_its_progress_and_where_the_file_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    content = bytes(range(256)) * 3000
    (tmp_path / "served").mkdir()
    (tmp_path / "served" / "net.pkl").write_bytes(content)
    handler = functools.partial(QuietHandler, directory=str(tmp_path / "served"))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            first = dataclasses.replace(
                catalogue.entries()[0],
                address=f"http://127.0.0.1:{server.server_port}/net.pkl",
                bytes=None,
                sha256=None,
            )
            monkeypatch.setattr(catalogue, "entries", lambda: (first,))
            found = list(Desk().run(Download(entry=first.name), threading.Event()))
        finally:
            server.shutdown()
            thread.join()
    assert isinstance(found[0], Progress)
    assert isinstance(found[-1], Written)
    assert found[-1].path.read_bytes() == content
    assert answer(ListCatalogue(), Catalogue).entries[0].path == found[-1].path


def test_that_an_unknown_entry_is_refused() -> None:
    with pytest.raises(BadArgument, match="nothing"):
        answer(Download(entry="nothing"), Written)


class QuietHandler(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        pass
