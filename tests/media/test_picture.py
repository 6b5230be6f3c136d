from __future__ import annotations

import json
import struct
import xml.etree.ElementTree as ET
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, PngImagePlugin

from facelab.assets import SAMPLE_PHOTO, resource
from facelab.errors import BadArgument, ExportError, PictureError
from facelab.faces.photo import open_photo
from facelab.media import picture as picture_module
from facelab.media.picture import MAX_RECIPE_BYTES, RECIPE_KEY, read_recipe, save_picture, xmp_packet

SYNTHETIC = "http://cv.iptc.org/newscodes/digitalsourcetype/trainedAlgorithmicMedia"
COMPOSITE = "http://cv.iptc.org/newscodes/digitalsourcetype/compositeWithTrainedAlgorithmicMedia"


@pytest.fixture
def noise() -> np.ndarray:
    return np.random.RandomState(0).randint(0, 256, (48, 64, 3)).astype(np.uint8)


def source_type(path: Path) -> str | None:
    with Image.open(path) as image:
        packet = image.info["xmp"]
    root = ET.fromstring(packet.decode() if isinstance(packet, bytes) else packet)
    return root.findtext(".//{http://iptc.org/std/Iptc4xmpExt/2008-02-29/}DigitalSourceType")


@pytest.mark.parametrize("recipe", ['{"version": 1, "name": "Mäd\u2028chen 顔 \U0001f600"}', "", "x" * 3_000_000])
def test_that_a_png_gives_back_its_pixels_and_its_recipe(tmp_path: Path, noise: np.ndarray, recipe: str) -> None:
    path = save_picture(tmp_path / "face.png", noise, recipe)
    assert read_recipe(path) == recipe
    assert np.array_equal(open_photo(path).pixels, noise)


def test_that_the_recipe_is_one_uncompressed_chunk_that_any_program_can_find(tmp_path: Path, noise: np.ndarray) -> None:
    path = save_picture(tmp_path / "face.png", noise, '{"seed": 7}')
    assert RECIPE_KEY.encode() + b'\0\0\0\0\0{"seed": 7}' in path.read_bytes()


def test_that_a_recipe_of_the_largest_size_is_read_and_a_larger_one_never_written(tmp_path: Path) -> None:
    small = np.zeros((16, 16, 3), np.uint8)
    largest = "r" * MAX_RECIPE_BYTES
    assert read_recipe(save_picture(tmp_path / "a.png", small, largest)) == largest
    with pytest.raises(ExportError, match="16 MiB"):
        save_picture(tmp_path / "b.png", small, largest + "r")
    assert not (tmp_path / "b.png").exists()


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".webp"])
def test_that_every_picture_is_marked_as_synthetic_and_a_paste_back_as_composite(
    tmp_path: Path, noise: np.ndarray, suffix: str
) -> None:
    assert source_type(save_picture(tmp_path / f"a{suffix}", noise)) == SYNTHETIC
    assert source_type(save_picture(tmp_path / f"b{suffix}", noise, composite=True)) == COMPOSITE


def test_that_a_description_with_odd_characters_is_still_xml() -> None:
    root = ET.fromstring(xmp_packet('a < b & "c" \0\x1b\ud800 ]]> ' + "ü" * 5000))
    text = root.findtext(".//{http://www.w3.org/1999/02/22-rdf-syntax-ns#}li")
    assert text.startswith('a < b & "c"')
    assert len(xmp_packet("ü" * 10**6)) < 65_000  # what a JPEG can hold


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".webp"])
def test_that_no_path_and_no_place_is_written(tmp_path: Path, noise: np.ndarray, suffix: str) -> None:
    path = save_picture(tmp_path / f"secret name{suffix}", noise, None, description="seed 7")
    data = path.read_bytes()
    assert b"secret name" not in data
    assert str(tmp_path).encode() not in data
    with Image.open(path) as image:
        assert not dict(image.getexif())


@pytest.mark.slow
def test_that_jpeg_and_webp_keep_the_picture(tmp_path: Path) -> None:
    photo = open_photo(resource(SAMPLE_PHOTO)).pixels
    for name, floor in (("a.jpg", 38), ("a.webp", 36)):
        error = open_photo(save_picture(tmp_path / name, photo)).pixels.astype(float) - photo
        assert 10 * np.log10(255**2 / np.mean(error**2)) > floor
    lossless = save_picture(tmp_path / "b.webp", photo, quality=100)
    assert np.array_equal(open_photo(lossless).pixels, photo)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["a.jpg", "a.webp", "a.png"])
def test_that_pictures_that_hardly_compress_can_be_written(tmp_path: Path, name: str) -> None:
    static = np.random.RandomState(1).randint(0, 256, (300, 300, 3)).astype(np.uint8)
    error = open_photo(save_picture(tmp_path / name, static, quality=100)).pixels.astype(float) - static
    assert np.abs(error).mean() < 2


@pytest.mark.parametrize("scale", [2, 3, 4])
def test_that_a_picture_is_enlarged_smoothly(tmp_path: Path, scale: int) -> None:
    ramp = np.repeat(np.linspace(0, 255, 32).astype(np.uint8)[None, :, None], 20, axis=0).repeat(3, axis=2)
    large = open_photo(save_picture(tmp_path / "a.png", ramp, scale=scale)).pixels
    assert large.shape == (20 * scale, 32 * scale, 3)
    assert np.abs(np.diff(large[5, :, 0].astype(int))).max() <= 9 / scale + 4


@pytest.mark.parametrize(
    ("change", "said"),
    [({"path": "face.tiff"}, "format"), ({"path": "face"}, "format"), ({"scale": 5}, "enlarged"), ({"quality": 0}, "quality"),
     ({"pixels": np.zeros((4, 4), np.uint8)}, "uint8"), ({"pixels": np.zeros((4, 4, 3))}, "uint8"),
     ({"pixels": np.zeros((0, 4, 3), np.uint8)}, "uint8"), ({"path": "a.jpg", "recipe_json": "{}"}, "only a PNG")],
)  # fmt: skip
def test_that_wrong_arguments_are_named_and_nothing_is_written(
    tmp_path: Path, change: dict[str, Any], said: str
) -> None:
    arguments: dict[str, Any] = {"path": "face.png", "pixels": np.zeros((4, 4, 3), np.uint8)} | change
    arguments["path"] = tmp_path / arguments["path"]
    with pytest.raises(BadArgument, match=said):
        save_picture(**arguments)
    assert list(tmp_path.iterdir()) == []


def test_that_a_picture_larger_than_can_be_opened_again_is_not_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(picture_module, "MAX_PIXELS", 100)
    with pytest.raises(BadArgument, match="million pixels"):
        save_picture(tmp_path / "a.png", np.zeros((6, 6, 3), np.uint8), scale=2)


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".webp"])
def test_that_a_full_disk_leaves_the_old_picture_and_says_so(
    tmp_path: Path, noise: np.ndarray, suffix: str, small_disk: Any
) -> None:
    path = save_picture(tmp_path / f"face{suffix}", noise)
    old = path.read_bytes()
    large = np.random.RandomState(1).randint(0, 256, (300, 300, 3)).astype(np.uint8)
    with small_disk(20_000), pytest.raises(ExportError, match=r"^cannot write 'face\.\w+': .*grows larger"):
        save_picture(path, large)
    assert path.read_bytes() == old
    assert len(list(tmp_path.iterdir())) == 1


def test_that_a_side_too_long_for_a_format_is_said(tmp_path: Path) -> None:
    with pytest.raises(ExportError, match="choose PNG"):
        save_picture(tmp_path / "a.webp", np.zeros((2, 20_000, 3), np.uint8))
    assert list(tmp_path.iterdir()) == []


def test_that_a_missing_folder_is_said(tmp_path: Path, noise: np.ndarray) -> None:
    with pytest.raises(ExportError, match="folder does not exist"):
        save_picture(tmp_path / "gone" / "face.png", noise)


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(*chunks: bytes, size: tuple[int, int] = (2, 2)) -> bytes:
    header = struct.pack(">IIBBBBB", *size, 8, 2, 0, 0, 0)
    pixels = zlib.compress(b"\0" * 14)
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + b"".join(chunks) + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")
    )


def itxt(text: bytes, compressed: bool = False) -> bytes:
    return chunk(b"iTXt", RECIPE_KEY.encode() + (b"\0\1\0\0\0" if compressed else b"\0\0\0\0\0") + text)


def test_that_a_picture_without_a_recipe_has_none(tmp_path: Path, noise: np.ndarray) -> None:
    path = tmp_path / "plain.png"
    Image.fromarray(noise).save(path)
    assert read_recipe(path) is None
    for name in ("a.jpg", "a.webp"):
        assert read_recipe(save_picture(tmp_path / name, noise)) is None
    path.write_bytes(b"no picture at all")
    assert read_recipe(path) is None
    assert read_recipe(resource(SAMPLE_PHOTO)) is None


def test_that_latin_text_of_the_same_name_is_no_recipe(tmp_path: Path) -> None:
    text = PngImagePlugin.PngInfo()
    text.add_text(RECIPE_KEY, "{}")
    path = tmp_path / "a.png"
    Image.new("RGB", (16, 16)).save(path, pnginfo=text)
    assert read_recipe(path) is None


@pytest.mark.parametrize(
    "contents",
    [png(itxt(b"{}"))[:60], png(itxt(b"{}"))[:-40].replace(b"{}", b"[]"), png(itxt(zlib.compress(b"x" * 40_000_000), compressed=True)),
     b"\x89PNG\r\n\x1a\n", b"\x89PNG\r\n\x1a\n" + b"\xff" * 100, png(size=(2**31 - 1, 2**31 - 1)),
     png(itxt(b"r" * (MAX_RECIPE_BYTES + 2**20)))],
    ids=["cut off", "checksum", "bomb", "only a signature", "rubbish", "huge", "recipe too large"],
)  # fmt: skip
def test_that_a_hostile_or_damaged_png_gets_one_sentence(tmp_path: Path, contents: bytes) -> None:
    path = tmp_path / "gift.png"
    path.write_bytes(contents)
    with pytest.raises(PictureError, match=r"gift\.png") as caught:
        read_recipe(path)
    assert "\n" not in str(caught.value)


def test_that_no_more_of_a_file_is_read_than_a_recipe_can_take(tmp_path: Path) -> None:
    path = tmp_path / "gift.png"
    contents = png(itxt(b"{}"))
    with path.open("wb") as file:
        file.write(contents[:-12])
        file.truncate(5 * 2**30)  # a file with a hole
    assert read_recipe(path) == "{}"
    with path.open("wb") as file:
        file.write(contents[:33] + struct.pack(">I", 2**31 - 1) + b"iTXt")
        file.truncate(5 * 2**30)
    with pytest.raises(PictureError, match="larger texts"):
        read_recipe(path)


def test_that_a_recipe_that_is_not_utf8_is_none(tmp_path: Path) -> None:
    path = tmp_path / "gift.png"
    path.write_bytes(png(itxt(b"\xff\xfe{}")))
    assert read_recipe(path) is None


def test_that_a_missing_file_and_a_folder_get_a_sentence(tmp_path: Path) -> None:
    for path in (tmp_path / "gone.png", tmp_path):
        with pytest.raises(PictureError, match="cannot be read"):
            read_recipe(path)


def test_that_a_recipe_is_never_run(tmp_path: Path, noise: np.ndarray) -> None:
    text = '__import__("pathlib").Path("owned").touch()'
    assert read_recipe(save_picture(tmp_path / "a.png", noise, text)) == text
    assert not Path("owned").exists()
    assert json.loads(read_recipe(save_picture(tmp_path / "b.png", noise, '{"a": 1}')) or "") == {"a": 1}
