"""The desk: side jobs that need no network. Photographs, dropped files, downloads; on plain threads, never with torch."""

from __future__ import annotations

import json
import math
import threading
from collections.abc import Iterator
from functools import singledispatchmethod
from pathlib import Path

import cv2
import numpy as np
from PIL import Image, UnidentifiedImageError

from facelab.checkpoints import catalogue
from facelab.checkpoints.download import download
from facelab.checkpoints.link import fetch_picture
from facelab.checkpoints.source import MAX_HEADER, open_source
from facelab.checkpoints.torchfile import Archive
from facelab.engine import directions
from facelab.engine.latents import FACE_FORMAT, read_face
from facelab.errors import BadArgument, FacelabError, MissingPart, NoFaceFound, PictureError
from facelab.faces import align, detect
from facelab.faces.photo import Photo, open_photo
from facelab.files import replacing
from facelab.jobs import (
    Answer,
    Catalogue,
    CatalogueEntry,
    Cropped,
    CropPhoto,
    Download,
    Dropped,
    Face,
    FetchPicture,
    Job,
    ListCatalogue,
    LookAtFile,
    OpenPhoto,
    PasteBack,
    PhotoOpened,
    Pixels,
    Progress,
    SavePicture,
    WriteDirections,
    WriteFile,
    Written,
    read_only,
)
from facelab.latent.code import frozen
from facelab.latent.recipe import MAX_JSON, Recipe
from facelab.media.picture import read_recipe, save_picture

PREVIEW_SIDE = 1024  # pixels of the copy for the screen
_SEARCHED = 64 << 20  # how many bytes of a pickle are looked through for the names of a generator

# What a file of weights is called by in its first pages; a file of latents has none of these names.
_WEIGHTS = (b"G_ema", b"g_ema", b"dnnlib", b"torch_utils", b"synthesis", b"state_dict", b"conv1.weight", b"generator")


class Desk:
    """Runs side jobs; safe to call from several threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._last: tuple[tuple[object, ...], Photo] | None = None

    def run(self, job: Job, cancel: threading.Event) -> Iterator[Answer | None]:
        """Work a job off; see ``jobs.Engine``."""
        return self._run(job, cancel)

    def trim(self) -> None:
        """Let go of the photograph opened last."""
        with self._lock:
            self._last = None

    def close(self) -> None:
        self.trim()

    @singledispatchmethod
    def _run(self, job: Job, cancel: threading.Event) -> Iterator[Answer | None]:
        raise TypeError(f"no desk method for {type(job).__name__}")

    # -- photographs ------------------------------------------------------------------------------------------------
    @_run.register
    def _open_photo(self, job: OpenPhoto, cancel: threading.Event) -> Iterator[Answer | None]:
        yield Progress(0, 0, "opening the photograph")
        photo = self._photo(job.path)
        yield Progress(0, 0, "looking for faces")
        message = " ".join(photo.warnings)
        faces: tuple[Face, ...] = ()
        try:
            found = detect.find_faces(photo, job.upsample, job.detector)
            faces = tuple(Face(f.box, frozen(f.landmarks), frozen(align.quad_of(f)), float(f.score)) for f in found)
        except (NoFaceFound, MissingPart) as error:  # the crop can still be placed by hand
            message = str(error)
        yield PhotoOpened(
            job.path,
            read_only(_reduced(photo.pixels)),
            photo.size,
            faces,
            message,
            detect.LANDMARK_NOTICE if faces else "",
        )

    @_run.register
    def _crop_photo(self, job: CropPhoto, cancel: threading.Event) -> Iterator[Answer | None]:
        photo = self._photo(job.path)
        yield None
        pixels, outside = align.crop(photo, np.asarray(job.quad, np.float64), job.size)
        yield Cropped(read_only(pixels), frozen(job.quad), outside)

    @_run.register
    def _paste_back(self, job: PasteBack, cancel: threading.Event) -> Iterator[Answer | None]:
        yield Progress(0, 0, "opening the photograph")
        photo, quad = self._photo(job.photo), np.asarray(job.quad, np.float64)
        if job.path.exists() and job.path.samefile(job.photo):
            raise BadArgument("this would write over the photograph itself; choose another name")
        mask = None
        if job.mask:
            yield Progress(0, 0, "looking for the face")
            # Of several faces the one in the middle of the crop is meant.
            faces = [face for face in detect.find_faces(photo) if len(face.landmarks)]
            away = [float(np.hypot(*(face.landmarks.mean(0) - quad.mean(0)))) for face in faces]
            if not faces or min(away) > math.hypot(*(quad[3] - quad[0])) / 2:
                raise NoFaceFound(
                    f"no face was found in this crop of {photo.name!r}; set the whole crop in, without the mask"
                )
            mask = align.face_mask(faces[int(np.argmin(away))], quad, len(job.pixels))
        yield Progress(0, 0, "setting the face in")
        pixels = align.paste_back(photo, quad, job.pixels, job.feather, mask)
        if cancel.is_set():
            return
        save_picture(job.path, pixels, description="A photograph with a face drawn by facelab", composite=True)
        yield Written(job.path)

    def _photo(self, path: Path) -> Photo:
        """The photograph of a file; that of the last one is kept, for it is cropped next."""
        try:
            status = path.stat()
            key = (str(path), status.st_mtime_ns, status.st_size)
        except (OSError, ValueError):
            return open_photo(path)  # which says what is wrong
        with self._lock:
            if self._last is not None and self._last[0] == key:
                return self._last[1]
        photo = open_photo(path)
        with self._lock:
            self._last = (key, photo)
        return photo

    # -- dropped files ----------------------------------------------------------------------------------------------
    @_run.register
    def _look_at_file(self, job: LookAtFile, cancel: threading.Event) -> Iterator[Answer | None]:
        yield None
        yield look_at(job.path)

    @_run.register
    def _save_picture(self, job: SavePicture, cancel: threading.Event) -> Iterator[Answer | None]:
        yield None
        yield Written(save_picture(job.path, job.pixels))

    @_run.register
    def _write_file(self, job: WriteFile, cancel: threading.Event) -> Iterator[Answer | None]:
        yield None
        with replacing(job.path) as temporary:
            if isinstance(job.data, bytes):
                temporary.write_bytes(job.data)
            else:
                Image.fromarray(job.data).save(temporary, "PNG")
        yield Written(job.path)

    @_run.register
    def _write_directions(self, job: WriteDirections, cancel: threading.Event) -> Iterator[Answer | None]:
        yield None
        yield Written(directions.write(job.path, job.directions, job.num_ws))

    # -- the catalogue ----------------------------------------------------------------------------------------------
    @_run.register
    def _list_catalogue(self, job: ListCatalogue, cancel: threading.Event) -> Iterator[Answer | None]:
        yield Catalogue(tuple(_shown(entry) for entry in catalogue.entries()))

    @_run.register
    def _download(self, job: Download, cancel: threading.Event) -> Iterator[Answer | None]:
        path = yield from download(catalogue.find(job.entry))
        yield Written(path)

    @_run.register
    def _fetch_picture(self, job: FetchPicture, cancel: threading.Event) -> Iterator[Answer | None]:
        path = yield from fetch_picture(job.address, job.path)
        yield Written(path)


def _shown(entry: catalogue.Entry) -> CatalogueEntry:
    path = entry.path()
    return CatalogueEntry(
        name=entry.name,
        title=entry.title,
        kind=entry.kind,
        family=entry.family,
        resolution=entry.resolution,
        licence=entry.licence,
        licence_address=entry.licence_address,
        address=entry.address,
        bytes=entry.bytes,
        by_hand=entry.by_hand,
        path=path if path.is_file() else None,
    )


def look_at(path: Path) -> Dropped:
    """What a file is, by its contents and never by its name.

    Returns:
        ``what`` is "generator", "photo", "recipe" (a PNG or a face file that says how it was made; the recipe comes along),
        "project" or "latents".

    Raises:
        FacelabError: it cannot be read, or is nothing that facelab opens.
    """
    try:
        if path.is_dir():
            raise PictureError(f"{path.name!r} is a folder; drop the files in it")
        if not path.is_file():
            raise PictureError(f"{path.name!r} is not there; it may have been moved or renamed")
        with path.open("rb") as file:
            head = file.read(16)
        if head.startswith(b"SQLite format 3\0"):
            return Dropped(path, "project")
        if head.startswith(b"\x89PNG\r\n\x1a\n"):
            text = read_recipe(path)
            return Dropped(path, "photo") if text is None else Dropped(path, "recipe", Recipe.from_json(text))
        if head.startswith(b"\x93NUMPY"):
            return Dropped(path, "latents")
        if head.startswith(b"PK"):
            return Dropped(path, _in_zip(path))
        if head[8:9] == b"{":
            return _in_safetensors(path)
        if head.lstrip()[:1] == b"{" and path.stat().st_size <= MAX_JSON:
            return Dropped(path, "recipe", Recipe.from_json(path.read_text("utf-8")))
        if head[:1] == b"\x80":
            return Dropped(path, _in_pickle(path))
        if head.startswith(b"["):
            return Dropped(path, "latents")
        if _is_picture(path):
            return Dropped(path, "photo")
    except (OSError, ValueError, RecursionError) as error:
        if isinstance(error, FacelabError):
            raise
        reason = getattr(error, "strerror", None) or "it is damaged or cut off"
        raise PictureError(f"{path.name!r} cannot be read: {reason}; copy it again or choose another file") from error
    raise PictureError(
        f"{path.name!r} is nothing that facelab opens; drop a photograph, a picture or face saved by facelab, "
        "a generator or a project"
    )


def _in_safetensors(path: Path) -> Dropped:
    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        if not 2 <= length <= min(MAX_HEADER, path.stat().st_size - 8):
            raise PictureError(f"{path.name!r} is damaged or cut off; copy it again or choose another file")
        header = json.loads(file.read(length))
    fields = header.get("__metadata__") if isinstance(header, dict) else None
    form = fields.get("format") if isinstance(fields, dict) else None
    if form == FACE_FORMAT:
        return Dropped(path, "recipe", read_face(path)[0])
    few = isinstance(header, dict) and len(header) < 20 and path.stat().st_size < _SEARCHED
    return Dropped(path, "latents" if few and form != "facelab.generator" else "generator")


def _in_zip(path: Path) -> str:
    """Tells NumPy's archives from torch's, and torch's latents from its generators."""
    with open_source(path) as source:
        archive = Archive(source.view)
        names = list(archive.entries)
        if names and all(name.endswith(".npy") for name in names):
            return "latents"
        pickle = next((name for name in names if name.endswith("data.pkl")), None)
        if pickle is None:
            raise PictureError(f"{path.name!r} is an archive; unpack it and drop what is in it")
        return "generator" if _mentions(bytes(archive.read(pickle)[:_SEARCHED])) else "latents"


def _in_pickle(path: Path) -> str:
    with path.open("rb") as file:
        return "generator" if _mentions(file.read(_SEARCHED)) else "latents"


def _mentions(data: bytes) -> bool:
    return any(name in data for name in _WEIGHTS)


def _is_picture(path: Path) -> bool:
    """Whether it begins like a picture; nothing is decoded."""
    try:
        with Image.open(path):
            return True
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):
        return True  # whoever opens it says that it is too large
    except (UnidentifiedImageError, OSError, ValueError, SyntaxError):
        return False


def _reduced(pixels: Pixels) -> Pixels:
    height, width = pixels.shape[:2]
    scale = PREVIEW_SIDE / max(height, width)
    if scale >= 1:
        return pixels
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    return cv2.resize(pixels, size, interpolation=cv2.INTER_AREA).astype(np.uint8, copy=False)
