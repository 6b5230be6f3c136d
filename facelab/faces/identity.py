"""Whose face is it: dlib's face-recognition embedding, and how far two of them lie apart.

Source: the residual network of He et al. 2015 (arXiv:1512.03385), 29 layers, as Davis King trained it for dlib
(http://blog.dlib.net/2017/02/high-quality-face-recognition-with-deep.html): 99.38 % on Labeled Faces in the Wild.
"""

from __future__ import annotations

import functools

import dlib
import numpy as np
import numpy.typing as npt

from facelab.errors import BadArgument
from facelab.faces.detect import dlib_lock, landmark_predictor, model_file
from facelab.faces.photo import Pixels

DIMENSIONS = 128

SAME_PERSON = 0.6
"""The distance below which dlib's author takes two embeddings for one person."""

Embedding = npt.NDArray[np.float32]
Box = tuple[float, float, float, float]

# Where dlib's detector sees the face in a picture aligned as FFHQ, in shares of its side: the mean over 21 photographs.
_ALIGNED_BOX = (0.19, 0.31, 0.79, 0.91)


def embed(pixels: Pixels, box: Box | None = None) -> Embedding:
    """The identity of a face, float32 [128], read-only.

    Args:
        pixels: uint8 [H, W, 3]; a photograph with the ``box`` of a face in it, or a picture aligned as FFHQ is.
        box: left, top, right, bottom in pixels, as ``Face.box``; None for an aligned picture, whose face is where faces are.

    Raises:
        BadArgument: ``pixels`` is not uint8 [H, W, 3], or the box is empty.
        MissingPart: dlib's models are not installed.
    """
    if pixels.dtype != np.uint8 or pixels.ndim != 3 or pixels.shape[2] != 3:
        raise BadArgument(f"a picture is uint8 [H, W, 3], not {pixels.dtype} {list(pixels.shape)}")
    height, width = pixels.shape[:2]
    if box is None:
        left, top, right, bottom = _ALIGNED_BOX
        box = left * width, top * height, right * width, bottom * height
    left, top, right, bottom = (round(v) for v in box)
    if left >= right or top >= bottom:
        raise BadArgument(f"the box {box} is empty")
    with dlib_lock:
        shape = landmark_predictor(5)(pixels, dlib.rectangle(left, top, right, bottom))
        values = _recogniser().compute_face_descriptor(pixels, shape)
    embedding = np.array(values, np.float32)
    embedding.flags.writeable = False
    return embedding


def distance(a: Embedding, b: Embedding) -> float:
    """How far two embeddings lie apart (Euclidean): up to about 0.4 for one person, 0.5 to 1 for two."""
    return float(np.linalg.norm(np.asarray(a, np.float64) - np.asarray(b, np.float64)))


def distances(embeddings: npt.ArrayLike) -> npt.NDArray[np.float64]:
    """All distances among N embeddings [N, 128], as a matrix [N, N]."""
    points = np.asarray(embeddings, np.float64)
    return np.asarray(np.linalg.norm(points[:, None] - points[None, :], axis=-1))


@functools.cache
def _recogniser() -> dlib.face_recognition_model_v1:
    return dlib.face_recognition_model_v1(model_file("dlib_face_recognition_resnet_model_v1.dat"))
