from __future__ import annotations

import contextlib
import io
import os
import struct
import sys
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageCms

from facelab.errors import PictureError
from facelab.faces import photo as photo_module
from facelab.faces.photo import MAX_PIXELS, NEUTRAL, Photo, open_photo

RED, GREEN, BLUE, WHITE = (255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 255)


def four_corners(width: int = 64, height: int = 48) -> Image.Image:
    """Red, green over blue, white: a picture that shows how it lies."""
    pixels = np.empty((height, width, 3), np.uint8)
    pixels[: height // 2, : width // 2], pixels[: height // 2, width // 2 :] = RED, GREEN
    pixels[height // 2 :, : width // 2], pixels[height // 2 :, width // 2 :] = BLUE, WHITE
    return Image.fromarray(pixels)


def encoded(image: Image.Image, kind: str, **options: object) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def corners(photo: Photo) -> list[tuple[int, ...]]:
    p = photo.pixels
    return [tuple(p[y, x].tolist()) for y in (4, -5) for x in (4, -5)]


def close(found: tuple[int, ...], wanted: tuple[int, ...], within: int = 8) -> bool:
    return all(abs(a - b) <= within for a, b in zip(found, wanted, strict=True))


def test_that_a_photo_is_upright_rgb_that_nobody_can_change(tmp_path: Path) -> None:
    path = tmp_path / "four corners.png"
    four_corners().save(path)
    photo = open_photo(path)
    assert (photo.name, photo.size, photo.warnings) == ("four corners.png", (64, 48), ())
    assert photo.pixels.shape == (48, 64, 3)
    assert photo.pixels.dtype == np.uint8
    assert corners(photo) == [RED, GREEN, BLUE, WHITE]
    with pytest.raises(ValueError, match="read-only"):
        photo.pixels[0, 0] = 0


# How a camera that was held so stored the picture, for each EXIF orientation.
STORED = {
    1: None,
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_90,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_270,
}


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF"])
@pytest.mark.parametrize("orientation", STORED)
def test_that_a_picture_is_turned_upright_by_its_exif_orientation(orientation: int, kind: str) -> None:
    stored = four_corners()
    if STORED[orientation] is not None:
        stored = stored.transpose(STORED[orientation])
    exif = Image.Exif()
    exif[0x0112] = orientation
    options = {"JPEG": {"quality": 95, "subsampling": 0}, "WEBP": {"lossless": True}}.get(kind, {})
    photo = open_photo(encoded(stored, kind, exif=exif, **options))
    assert photo.size == (64, 48)
    assert all(map(close, corners(photo), [RED, GREEN, BLUE, WHITE]))


@pytest.mark.parametrize("orientation", [1, 3, 6, 8])
def test_that_a_heic_picture_opens_upright(orientation: int) -> None:
    stored = four_corners(128, 96)
    if STORED[orientation] is not None:
        stored = stored.transpose(STORED[orientation])
    exif = Image.Exif()
    exif[0x0112] = orientation
    photo = open_photo(encoded(stored, "HEIF", quality=95, exif=exif.tobytes()), "phone.heic")
    assert photo.size == (128, 96)
    assert all(close(a, b, 20) for a, b in zip(corners(photo), [RED, GREEN, BLUE, WHITE], strict=True))


@pytest.mark.parametrize(
    ("mode", "kind"),
    [("1", "PNG"), ("L", "PNG"), ("LA", "PNG"), ("P", "GIF"), ("P", "PNG"), ("RGB", "BMP"), ("RGBA", "PNG"), ("RGBA", "WEBP"),
     ("CMYK", "JPEG"), ("CMYK", "TIFF"), ("YCbCr", "TIFF"), ("LAB", "TIFF"), ("L", "JPEG2000"), ("RGB", "JPEG2000"),
     ("RGB", "TGA"), ("RGB", "PPM"), ("RGB", "AVIF")],
)  # fmt: skip
def test_that_every_kind_of_pixels_becomes_rgb(mode: str, kind: str) -> None:
    image = four_corners()
    if mode == "LAB":
        image = ImageCms.profileToProfile(
            image, ImageCms.createProfile("sRGB"), ImageCms.createProfile("LAB"), outputMode="LAB"
        )
    else:
        image = image.convert(mode, dither=Image.Dither.NONE)
    photo = open_photo(encoded(image, kind))
    assert photo.pixels.shape == (48, 64, 3)
    if mode in {"1", "L", "LA"}:
        assert close(corners(photo)[3], WHITE)
        assert np.ptp(photo.pixels, axis=2).max() == 0
    else:
        within = 24 if mode == "LAB" else 12  # 8-bit Lab is coarse
        assert all(close(a, b, within) for a, b in zip(corners(photo), [RED, GREEN, BLUE, WHITE], strict=True))


def test_that_a_cmyk_picture_without_a_profile_says_that_its_colours_are_approximate() -> None:
    photo = open_photo(encoded(four_corners().convert("CMYK"), "JPEG"))
    (sentence,) = photo.warnings
    assert sentence.startswith("It is in print colours (CMYK)")
    assert sentence.endswith(".")


def test_that_sixteen_bit_greyscale_keeps_its_brightness() -> None:
    ramp = np.linspace(0, 65535, 64 * 48).reshape(48, 64).astype(np.uint16)
    for kind in ("PNG", "TIFF"):
        photo = open_photo(encoded(Image.fromarray(ramp), kind))
        assert np.array_equal(photo.pixels[..., 0], np.floor(ramp / 257 + 0.5).astype(np.uint8))


@pytest.mark.parametrize(
    ("values", "ends", "noted"),
    [(np.linspace(0, 1, 1024), (0, 255), False), (np.linspace(10, 200, 1024), (10, 200), False),
     (np.linspace(-5, 5000, 1024), (0, 255), True)],
)  # fmt: skip
def test_that_floating_point_pictures_open(values: np.ndarray, ends: tuple[int, int], noted: bool) -> None:
    photo = open_photo(encoded(Image.fromarray(values.reshape(32, 32).astype(np.float32)), "TIFF"))
    assert (photo.pixels.min(), photo.pixels.max()) == ends
    assert bool(photo.warnings) == noted


def test_that_a_picture_of_values_that_are_no_numbers_is_refused() -> None:
    with pytest.raises(PictureError, match="not numbers"):
        open_photo(encoded(Image.fromarray(np.full((32, 32), np.nan, np.float32)), "TIFF"))


@pytest.mark.parametrize("kind", ["rgba", "la", "palette", "colour key"])
def test_that_transparent_parts_are_laid_on_neutral_grey(kind: str) -> None:
    image = four_corners().convert("RGBA")
    alpha = np.full((48, 64), 255, np.uint8)
    alpha[:24, :32] = 0
    image.putalpha(Image.fromarray(alpha))
    if kind == "rgba":
        data = encoded(image, "PNG")
    elif kind == "la":
        data = encoded(image.convert("LA"), "PNG")
    elif kind == "palette":
        data = encoded(image.quantize(16), "PNG")
    else:
        data = encoded(four_corners(), "PNG", transparency=RED)
    photo = open_photo(data)
    assert corners(photo)[0] == NEUTRAL
    assert close(corners(photo)[3], WHITE)


def wide_gamut_profile() -> bytes:
    """A display profile whose red and green are swapped: wrong colours show when it is ignored."""
    profile = bytearray(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    tags = {}
    for i in range(struct.unpack(">I", profile[128:132])[0]):
        name, offset, size = struct.unpack(">4sII", profile[132 + 12 * i : 144 + 12 * i])
        tags[name] = slice(offset, offset + size)
    profile[tags[b"rXYZ"]], profile[tags[b"gXYZ"]] = profile[tags[b"gXYZ"]], profile[tags[b"rXYZ"]]
    for name in (b"sRGB",):  # lcms names it so; a name is what tells facelab that nothing is to be converted
        at = profile.find(name.decode().encode("utf-16-be"))
        profile[at : at + 8] = "odd ".encode("utf-16-be")
    return bytes(profile)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "TIFF", "WEBP", "HEIF", "AVIF"])
def test_that_a_colour_profile_is_followed(kind: str) -> None:
    options = {"PNG": {}, "TIFF": {}, "WEBP": {"lossless": True}}.get(kind, {"quality": 98})
    photo = open_photo(encoded(four_corners(), kind, icc_profile=wide_gamut_profile(), **options))
    assert photo.warnings == ()
    assert all(close(a, b, 14) for a, b in zip(corners(photo), [GREEN, RED, BLUE, WHITE], strict=True))


def test_that_a_colour_profile_holds_for_a_transparent_picture_too() -> None:
    photo = open_photo(encoded(four_corners().convert("RGBA"), "PNG", icc_profile=wide_gamut_profile()))
    assert all(map(close, corners(photo), [GREEN, RED, BLUE, WHITE]))


def test_that_a_picture_tagged_as_srgb_keeps_every_pixel() -> None:
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    noise = np.random.RandomState(0).randint(0, 256, (40, 40, 3)).astype(np.uint8)
    assert np.array_equal(open_photo(encoded(Image.fromarray(noise), "PNG", icc_profile=profile)).pixels, noise)


def test_that_a_broken_colour_profile_is_said_and_left_out() -> None:
    photo = open_photo(encoded(four_corners(), "PNG", icc_profile=b"no profile at all" * 20))
    assert any("profile" in sentence for sentence in photo.warnings)
    assert corners(photo) == [RED, GREEN, BLUE, WHITE]


def test_that_damaged_exif_loses_nothing_but_the_orientation() -> None:
    data = encoded(four_corners(), "PNG", exif=b"Exif\0\0II*\0\xff\xff\xff\xff" + b"\xff" * 40)
    assert corners(open_photo(data)) == [RED, GREEN, BLUE, WHITE]


def test_that_of_an_animation_the_first_frame_is_taken_and_said() -> None:
    other = Image.new("RGB", (64, 48), BLUE)
    photo = open_photo(encoded(four_corners(), "GIF", save_all=True, append_images=[other]))
    assert "first of its frames" in photo.warnings[0]
    assert close(corners(photo)[0], RED)


def png_declaring(width: int, height: int) -> bytes:
    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"\0" * 100)) + chunk(b"IEND", b"")
    )


@pytest.mark.parametrize("side", [15_000, 25_000, 2**31 - 1])
def test_that_a_huge_declared_size_is_refused_before_anything_is_decoded(side: int) -> None:
    assert side * side > MAX_PIXELS
    with pytest.raises(PictureError, match="million pixels"):
        open_photo(png_declaring(side, side), "bomb.png")


def test_that_a_picture_within_the_bound_is_not_refused_for_its_size(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(photo_module, "MAX_PIXELS", 64 * 48)
    assert open_photo(encoded(four_corners(), "PNG")).size == (64, 48)
    with pytest.raises(PictureError, match="too large, 65 × 48"):
        open_photo(encoded(four_corners(65), "PNG"))


@pytest.mark.slow
def test_that_a_picture_of_a_hundred_million_pixels_opens() -> None:
    image = Image.new("L", (11_648, 8_736), 90)
    assert open_photo(encoded(image, "PNG", compress_level=1)).size == (11_648, 8_736)


@pytest.mark.parametrize("size", [(1, 1), (4000, 3)])
def test_that_a_tiny_picture_is_refused(size: tuple[int, int]) -> None:
    with pytest.raises(PictureError, match="too small"):
        open_photo(encoded(Image.new("RGB", size), "PNG"), "dot.png")


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "HEIF", "TIFF", "GIF", "AVIF", "JPEG2000"])
def test_that_a_file_cut_off_anywhere_is_refused_in_one_sentence(kind: str) -> None:
    noise = np.random.RandomState(0).randint(0, 256, (96, 96, 3)).astype(np.uint8)
    whole = encoded(Image.fromarray(noise), kind)
    for share in (0.02, 0.1, 0.5, 0.9):
        with pytest.raises(PictureError) as caught:
            open_photo(whole[: int(len(whole) * share)], "cut.bin")
        assert str(caught.value).startswith("'cut.bin' is ")
        assert "\n" not in str(caught.value)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "HEIF", "TIFF", "GIF", "AVIF", "JPEG2000", "BMP", "TGA"])
def test_that_random_damage_gives_a_picture_or_one_sentence(kind: str) -> None:
    random = np.random.RandomState(7)
    noise = random.randint(0, 256, (32, 32, 3)).astype(np.uint8)
    whole = np.frombuffer(encoded(Image.fromarray(noise), kind), np.uint8)
    for _ in range(60):
        damaged = whole.copy()
        damaged[random.randint(0, min(len(whole), 600), 4)] = random.randint(0, 256, 4)
        with contextlib.suppress(PictureError):  # any other error or a warning fails
            assert open_photo(damaged.tobytes()).pixels.ndim == 3


@pytest.mark.parametrize(
    ("contents", "said"),
    [(b"", "not a picture"), (b"Dear diary, " * 40, "not a picture"), (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "not a picture"),
     (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "not a picture"), (bytes(2000), "not a picture")],
)  # fmt: skip
def test_that_what_is_not_a_picture_is_called_so(tmp_path: Path, contents: bytes, said: str) -> None:
    path = tmp_path / "holiday.jpg"
    path.write_bytes(contents)
    with pytest.raises(PictureError, match=said) as caught:
        open_photo(path)
    assert "holiday.jpg" in str(caught.value)
    assert str(tmp_path) not in str(caught.value)


def test_that_missing_files_folders_and_devices_get_a_sentence_each(tmp_path: Path) -> None:
    with pytest.raises(PictureError, match="not there"):
        open_photo(tmp_path / "gone.jpg")
    with pytest.raises(PictureError, match="is a folder"):
        open_photo(tmp_path)
    with pytest.raises(PictureError, match="cannot be read"):
        open_photo("nul\0.jpg")
    if sys.platform != "win32":
        os.mkfifo(tmp_path / "pipe.jpg")
        with pytest.raises(PictureError, match="not a file"):
            open_photo(tmp_path / "pipe.jpg")


def test_that_a_file_that_may_not_be_read_gets_a_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def denied(self: Path, *_: object) -> None:
        raise PermissionError(13, "Permission denied")

    path = tmp_path / "secret.jpg"
    four_corners().save(path)
    monkeypatch.setattr(Path, "open", denied)  # tests may run as root, whom no permission stops
    with pytest.raises(PictureError, match="may not be read"):
        open_photo(path)


def test_that_a_photo_of_an_array_keeps_a_copy_and_checks_its_shape() -> None:
    pixels = np.zeros((20, 30, 3), np.uint8)
    photo = Photo(pixels)
    pixels[:] = 9
    assert photo.pixels.max() == 0
    with pytest.raises(PictureError, match="uint8"):
        Photo(np.zeros((20, 30), np.uint8))
    with pytest.raises(PictureError, match="uint8"):
        Photo(np.zeros((20, 30, 3), np.float32))
