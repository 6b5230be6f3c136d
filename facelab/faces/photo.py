"""Opens photographs as people have them, as one kind of array: upright sRGB."""

from __future__ import annotations

import contextlib
import io
import os
import stat
import threading
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np
import numpy.typing as npt
import pillow_heif
from PIL import Image, ImageCms, ImageFile, ImageOps, UnidentifiedImageError

from facelab.errors import PictureError

MAX_PIXELS = 200_000_000
"""The largest picture that is opened, in pixels; the largest phone cameras make 199.8 million. Takes 1.5 GB for a moment."""

MIN_SIDE = 16
"""The smallest side of a picture that is opened, in pixels."""

SUFFIXES = (
    ".jpg", ".jpeg", ".png", ".heic", ".heif", ".avif", ".webp", ".tif", ".tiff", ".bmp", ".gif", ".jp2", ".ppm", ".pgm", ".tga",
)  # fmt: skip
"""The usual file endings of what can be opened, for file dialogs; a file's contents decide, not its name."""

NEUTRAL = (128, 128, 128)
"""What transparent pixels are laid on: no colour that a generator would take for skin, hair or light."""

_KINDS = "JPEG, PNG, HEIC, AVIF, WebP, TIFF, BMP or GIF"

Image.init()  # all decoders are known from here on; Pillow would load most of them only after a first failure
pillow_heif.register_heif_opener()
# Only decoders of pictures people have: Pillow's list holds some that start other programs (EPS) or fetch nothing useful. A Pillow
# built without one of them does without.
_FORMATS = tuple(
    kind
    for kind in ("JPEG", "PNG", "HEIF", "AVIF", "WEBP", "TIFF", "BMP", "GIF", "JPEG2000", "PPM", "TGA")
    if kind in Image.OPEN
)
# Pillow warns above its bound and refuses above twice that; ours is one bound, checked before anything is decoded.
Image.MAX_IMAGE_PIXELS = MAX_PIXELS

# One at a time: a big picture takes much memory, and Python's list of warning filters belongs to the whole process.
_decoding = threading.Lock()

Pixels = npt.NDArray[np.uint8]


@dataclass(frozen=True, eq=False)
class Photo:
    """A photograph as seen: rotated upright, in sRGB.

    Attributes:
        pixels: uint8 [H, W, 3], read-only.
        name: the file's name, without its folder.
        warnings: what had to be assumed or left out, one sentence each.

    Raises:
        PictureError: ``pixels`` is not uint8 [H, W, 3] with sides of at least ``MIN_SIDE``.
    """

    pixels: Pixels
    name: str = "picture"
    warnings: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        pixels = self.pixels
        if pixels.dtype != np.uint8 or pixels.ndim != 3 or pixels.shape[2] != 3:
            raise PictureError(f"{self.name!r}: a picture is uint8 [H, W, 3], not {pixels.dtype} {list(pixels.shape)}")
        _check_size(self.name, pixels.shape[1], pixels.shape[0])
        if pixels.flags.writeable:
            pixels = pixels.copy()
            pixels.flags.writeable = False
            object.__setattr__(self, "pixels", pixels)

    @property
    def size(self) -> tuple[int, int]:
        """Width and height in pixels."""
        return self.pixels.shape[1], self.pixels.shape[0]


def open_photo(source: str | os.PathLike[str] | bytes, name: str | None = None) -> Photo:
    """Open a picture file, or its contents, whatever its kind of pixels.

    Turned upright by its EXIF orientation, converted to sRGB by its colour profile, reduced to 8 bit; transparent parts are
    laid on ``NEUTRAL``; of an animation the first frame is taken.

    Raises:
        PictureError: it is missing, unreadable, no picture, damaged, cut off, too small or over ``MAX_PIXELS``.
    """
    if isinstance(source, bytes):
        return _decode(io.BytesIO(source), name or "picture")
    path = Path(source)
    name = name or path.name
    try:
        kind = path.stat().st_mode
        if stat.S_ISDIR(kind):
            raise PictureError(f"{name!r} is a folder; choose a picture in it")
        if not stat.S_ISREG(kind):
            raise PictureError(f"{name!r} is a device, not a file; choose a picture file")
        with path.open("rb") as file:
            return _decode(file, name)
    except FileNotFoundError:
        raise PictureError(f"{name!r} is not there; it may have been moved or renamed") from None
    except PermissionError:
        raise PictureError(f"{name!r} may not be read; change its permissions or copy it elsewhere") from None
    except (OSError, ValueError) as error:  # ValueError: a NUL in the name
        raise PictureError(
            f"{name!r} cannot be read: {getattr(error, 'strerror', None) or error}; copy it elsewhere"
        ) from error


def _decode(file: BinaryIO, name: str) -> Photo:
    notes: list[str] = []
    with decoding(name) as told, Image.open(file, formats=_FORMATS) as image:
        _check_size(name, *image.size)
        if getattr(image, "n_frames", 1) > 1 and image.format not in {"MPO", "HEIF"}:
            notes.append("Only the first of its frames is used.")
        pixels = _array(_upright_srgb(image, notes))
    if told:
        notes.append("Parts of its metadata are damaged and were left out.")
    return Photo(pixels, name, tuple(notes))


def _check_size(name: str, width: int, height: int) -> None:
    if min(width, height) < MIN_SIDE:
        raise PictureError(
            f"{name!r} is too small, {width} × {height} pixels; choose one of at least {MIN_SIDE} × {MIN_SIDE}"
        )
    if width * height > MAX_PIXELS:
        raise PictureError(
            f"{name!r} is too large, {width} × {height} pixels; "
            f"make it smaller than {MAX_PIXELS // 10**6} million pixels and open it again"
        )


@contextlib.contextmanager
def decoding(name: str) -> Iterator[list[warnings.WarningMessage]]:
    """Around Pillow's reading of a stranger's file: gives the list of its warnings, turns its errors into ``PictureError``."""
    with _decoding, warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        try:
            yield told
        except PictureError:
            raise
        except UnidentifiedImageError:
            raise PictureError(f"{name!r} is not a picture that facelab can read; choose a {_KINDS} file") from None
        except Image.DecompressionBombError:
            bound = MAX_PIXELS // 10**6
            raise PictureError(f"{name!r} declares more than {bound} million pixels; make it smaller first") from None
        except MemoryError:
            raise PictureError(f"{name!r} does not fit in memory; make it smaller or close other programs") from None
        # Decoders answer damaged bytes with whatever their code runs into: KeyError, struct.error, SyntaxError, ...
        except Exception as error:
            raise PictureError(
                f"{name!r} is damaged or cut off; copy or download it again ({_brief(error)})"
            ) from error


def _brief(error: Exception) -> str:
    return " ".join(str(error).split())[:120] or type(error).__name__


def _upright_srgb(image: ImageFile.ImageFile, notes: list[str]) -> Image.Image:
    image.load()
    try:
        ImageOps.exif_transpose(image, in_place=True)
    except Exception:  # EXIF is a format of its own, as easily damaged as the picture; the pixels are there already
        notes.append("Its orientation could not be read; it may lie on its side.")
    profile = image.info.get("icc_profile")
    plain = _eight_bit(image, notes)
    if not plain.has_transparency_data:
        return _srgb(plain, profile, notes)
    plain = plain.convert("LA" if plain.mode == "La" else "RGBA")
    alpha = plain.getchannel("A")
    below = Image.new("RGB", plain.size, NEUTRAL)
    below.paste(_srgb(plain.convert("L" if plain.mode == "LA" else "RGB"), profile, notes), mask=alpha)
    return below


def _eight_bit(image: Image.Image, notes: list[str]) -> Image.Image:
    """The same picture with 8 bits a channel; only greyscale can have more in Pillow."""
    if image.mode.startswith("I;16"):
        deep = np.asarray(image).astype(np.float32) / 257
    elif image.mode in {"I", "F"}:
        deep = np.asarray(image).astype(np.float64)
        if not np.isfinite(deep).all():
            raise ValueError("it holds values that are not numbers")
        low, high = float(deep.min()), float(deep.max())
        if image.mode == "F" and low >= 0 and high <= 1:
            deep = deep * 255
        elif image.mode == "I" and low >= 0 and 255 < high <= 65535:
            deep = deep / 257
        elif low < 0 or high > 255:
            notes.append("Its brightness has no known range and was stretched from its darkest to its brightest pixel.")
            deep = (deep - low) * (255 / max(high - low, 1e-300))
    else:
        return image
    return Image.fromarray((deep + 0.5).astype(np.uint8))


def _srgb(image: Image.Image, profile: bytes | None, notes: list[str]) -> Image.Image:
    """RGB in sRGB by the colour profile; without one, by what the mode usually means."""
    if image.mode == "LAB":
        return _transform(image, ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB")))
    if profile:
        try:
            source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
            space = source.profile.xcolor_space.strip()
            if space == "RGB":
                image = image.convert("RGB")
                if ImageCms.getProfileDescription(source).startswith("sRGB"):
                    return image
            elif space == "GRAY" and image.mode == "1":
                image = image.convert("L")
            return _transform(image, source)
        except (ImageCms.PyCMSError, OSError, ValueError, TypeError):
            notes.append("Its colour profile could not be used; its colours are taken as sRGB.")
    elif image.mode == "CMYK":
        notes.append("It is in print colours (CMYK) without a profile; its colours are approximate.")
    return image if image.mode == "RGB" else image.convert("RGB")


def _array(image: Image.Image) -> Pixels:
    """uint8 [H, W, 3], read-only; copied in strips, for Pillow's own way takes two more copies of the whole picture."""
    pixels = np.empty((image.height, image.width, 3), np.uint8)
    for top in range(0, image.height, 256):
        pixels[top : top + 256] = np.asarray(image.crop((0, top, image.width, min(top + 256, image.height))))
    pixels.flags.writeable = False
    return pixels


def _transform(image: Image.Image, source: ImageCms.ImageCmsProfile) -> Image.Image:
    target = ImageCms.createProfile("sRGB")
    intent = ImageCms.Intent.RELATIVE_COLORIMETRIC
    flags = ImageCms.Flags.BLACKPOINTCOMPENSATION
    result = ImageCms.profileToProfile(image, source, target, renderingIntent=intent, outputMode="RGB", flags=flags)
    if result is None:
        raise ImageCms.PyCMSError("no picture came out of the colour conversion")
    return result
