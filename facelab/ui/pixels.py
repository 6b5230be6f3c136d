"""Pixels as Qt's pictures, and back."""

from __future__ import annotations

import numpy as np
from PySide6.QtGui import QImage, QPixmap

from facelab.jobs import Pixels, read_only


def image_of(pixels: Pixels) -> QImage:
    """A QImage of its own of pixels, uint8 [H, W, 3]."""
    pixels = np.ascontiguousarray(pixels)
    h, w = pixels.shape[:2]
    return QImage(pixels.data, w, h, 3 * w, QImage.Format.Format_RGB888).copy()


def pixels_of(image: QImage) -> Pixels:
    """uint8 [H, W, 3] of a picture."""
    image = image.convertToFormat(QImage.Format.Format_RGB888)
    rows = np.frombuffer(image.constBits(), np.uint8).reshape(image.height(), image.bytesPerLine())
    return read_only(rows[:, : 3 * image.width()].reshape(image.height(), image.width(), 3).copy())


def pixmap_of(pixels: Pixels) -> QPixmap:
    """A QPixmap of pixels, uint8 [H, W, 3]."""
    return QPixmap.fromImage(image_of(pixels))
