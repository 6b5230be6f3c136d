"""What is dragged and copied: faces, directions, files, pictures."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from PySide6.QtCore import QByteArray, QMimeData, QPoint, Qt, QUrl
from PySide6.QtGui import QDrag, QImage, QPixmap
from PySide6.QtWidgets import QWidget

from facelab.errors import FacelabError
from facelab.jobs import Pixels
from facelab.latent.code import Direction
from facelab.latent.recipe import Recipe
from facelab.ui.pixels import image_of

RECIPE_MIME = "application/x-facelab-recipe"
MORE_MIME = "application/x-facelab-recipes"
DIRECTION_MIME = "application/x-facelab-direction"
DRAG_SIZE = 96  # px, of the face beside the pointer


def recipe_mime(recipe: Recipe, pixels: Pixels | None = None, *, others: Sequence[Recipe] = ()) -> QMimeData:
    """What is dragged or copied for a face: its recipe, and its picture for other programs.

    Where several are dragged, ``others`` go along; what takes one face takes the first.
    """
    mime = QMimeData()
    mime.setData(RECIPE_MIME, recipe.to_json().encode())
    if others:
        mime.setData(MORE_MIME, json.dumps([other.to_json() for other in others]).encode())
    if pixels is not None:
        mime.setImageData(image_of(pixels))
    return mime


def recipe_of(mime: QMimeData) -> Recipe | None:
    """The face in what was dragged or copied; None where there is none that can be read."""
    if not mime.hasFormat(RECIPE_MIME):
        return None
    try:
        return Recipe.from_json(bytes(mime.data(RECIPE_MIME).data()).decode("utf-8"))
    except (FacelabError, UnicodeDecodeError, json.JSONDecodeError):
        return None


def recipes_of(mime: QMimeData) -> list[Recipe]:
    """All faces in what was dragged, the first one first; those that cannot be read are left out."""
    first = recipe_of(mime)
    if first is None or not mime.hasFormat(MORE_MIME):
        return [] if first is None else [first]
    try:
        return [first, *(Recipe.from_json(text) for text in json.loads(bytes(mime.data(MORE_MIME).data())))]
    except (FacelabError, ValueError, TypeError, RecursionError):
        return [first]


def direction_mime(direction: Direction) -> QMimeData:
    """What is dragged for a direction."""
    mime = QMimeData()
    mime.setData(DIRECTION_MIME, json.dumps(direction.to_json()).encode())
    return mime


def direction_of(mime: QMimeData) -> Direction | None:
    """The direction in what was dragged; None where there is none that can be read."""
    if not mime.hasFormat(DIRECTION_MIME):
        return None
    try:
        return Direction.from_json(json.loads(bytes(mime.data(DIRECTION_MIME).data())))
    except (FacelabError, ValueError, RecursionError):
        return None


def files_of(mime: QMimeData) -> list[Path]:
    """The local files in what was dragged or copied."""
    return [Path(url.toLocalFile()) for url in mime.urls() if url.isLocalFile()]


def link_of(mime: QMimeData) -> str:
    """The address of what a browser gave only a link to; an empty string where there is none."""
    return next(
        (
            url.toString(QUrl.ComponentFormattingOption.FullyEncoded)
            for url in mime.urls()
            if url.scheme() in ("http", "https")
        ),
        "",
    )


def picture_in(mime: QMimeData) -> QImage:
    """The picture itself in what was dragged or copied, an address that holds its data included; else a null one."""
    if mime.hasImage():
        return QImage(mime.imageData())
    for url in mime.urls():
        head, _, data = url.toString(QUrl.ComponentFormattingOption.FullyEncoded).partition(",")
        if head.startswith("data:image/") and head.endswith(";base64"):
            return QImage.fromData(QByteArray.fromBase64(QByteArray.fromPercentEncoding(data.encode("ascii"))))
    return QImage()


def start_drag(source: QWidget, mime: QMimeData, picture: QPixmap | None) -> None:
    """Begin a drag with a small picture beside the pointer."""
    drag = QDrag(source)
    drag.setMimeData(mime)
    if picture is not None and not picture.isNull():
        ratio = source.devicePixelRatioF()
        side = round(DRAG_SIZE * ratio)
        small = picture.scaled(
            side, side, Qt.AspectRatioMode.KeepAspectRatio, Qt.TransformationMode.SmoothTransformation
        )
        small.setDevicePixelRatio(ratio)
        drag.setPixmap(small)
        size = small.deviceIndependentSize().toSize()
        drag.setHotSpot(QPoint(size.width() // 2, size.height() // 2))
    drag.exec(Qt.DropAction.CopyAction)
