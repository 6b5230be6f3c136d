"""Finds faces and their 68 landmarks with dlib.

Sources: Dalal & Triggs 2005 (histograms of oriented gradients) and King 2015 (arXiv:1502.00046) for the detectors,
Kazemi & Sullivan 2014 for the landmarks.
"""

from __future__ import annotations

import functools
import hashlib
import importlib.util
import threading
from dataclasses import dataclass
from pathlib import Path

import cv2
import dlib
import numpy as np
import numpy.typing as npt

from facelab.errors import BadArgument, MissingPart, NoFaceFound
from facelab.faces.photo import Photo, Pixels

DETECTION_SIDE = 1024
"""Faces are sought on a copy of the photograph whose longer side is at most this, in pixels."""

DETECTORS = ("hog", "cnn")

DOUBTFUL = 0.3
"""Faces of a lower score are put last, however large: patches and folds that look like one score 0 to 0.1, portraits above 1."""

MAX_UPSAMPLE = 2

LANDMARK_NOTICE = (
    "facelab finds faces with dlib's 68-point landmark model. It was trained on the iBUG 300-W photographs, whose licence "
    "excludes commercial use; ask Imperial College London before you use it for anything commercial."
)
"""What the window and the command line say when the landmark model is used for the first time."""

# dlib's own model files as the package face-recognition-models 0.3.0 ships them.
_SHA256 = {
    "shape_predictor_68_face_landmarks.dat": "fbdc2cb80eb9aa7a758672cbfdda32ba6300efe9b6e6c7a299ff7e736b11b92f",
    "shape_predictor_5_face_landmarks.dat": "c4b1e9804792707d3a405c2c16a80a20269e6675021f64a41d30fffafbc41888",
    "dlib_face_recognition_resnet_model_v1.dat": "55533b28a95800a551ba546ba62fe69625c7e95a7061c338adffead08719da30",
    "mmod_human_face_detector.dat": "4cb19393e2fbaf2b1609a9319ad5386618c886a6234ec1b971f3e87c85d87fe6",
}

Landmarks = npt.NDArray[np.float64]

# dlib's detectors and predictors keep scratch space inside: one caller at a time.
dlib_lock = threading.RLock()


@dataclass(frozen=True, eq=False)
class Face:
    """A face found in a photograph; all positions in its full-resolution upright pixels (0, 0 is the centre of the first).

    Attributes:
        box: left, top, right, bottom.
        landmarks: float64 [68, 2], x and y, in the order of iBUG 300-W; read-only.
        score: the detector's confidence; above 0 for the HOG detector, larger is surer.
    """

    box: tuple[float, float, float, float]
    landmarks: Landmarks
    score: float

    @property
    def area(self) -> float:
        """Of the box, in square pixels."""
        left, top, right, bottom = self.box
        return (right - left) * (bottom - top)


def find_faces(photo: Photo, upsample: int = 0, detector: str = "hog") -> tuple[Face, ...]:
    """All faces of a photograph, the largest first, ``DOUBTFUL`` ones last.

    Args:
        photo: the photograph.
        upsample: how many times the search copy is doubled first, 0 to ``MAX_UPSAMPLE``: finds faces below 80 pixels of the
            copy, takes four times as long each time, and sees more faces that are none.
        detector: "hog", fast, for faces that look roughly at the camera; "cnn", also for turned and partly hidden ones, some
            seconds.

    Raises:
        NoFaceFound: there is none.
        MissingPart: the landmark model is not installed.
        BadArgument: ``upsample`` or ``detector`` is not one of those named.
    """
    if upsample not in range(MAX_UPSAMPLE + 1):
        raise BadArgument(f"upsample is 0 to {MAX_UPSAMPLE}, not {upsample}")
    if detector not in DETECTORS:
        raise BadArgument(f"detector is one of {', '.join(DETECTORS)}, not {detector!r}")
    copy, scale = _search_copy(photo.pixels)
    with dlib_lock:
        predictor = landmark_predictor(68)
        faces = tuple(
            Face(_scaled_box(box, scale), _landmarks(predictor, photo.pixels, box, scale), score)
            for box, score in _detect(copy, upsample, detector)
        )
    if not faces:
        more = "" if upsample == MAX_UPSAMPLE else ", or search again for smaller faces"
        raise NoFaceFound(f"no face was found in {photo.name!r}; place the crop by hand{more}")
    return tuple(sorted(faces, key=lambda face: (face.score >= DOUBTFUL, face.area), reverse=True))


def model_file(name: str) -> str:
    """The path of one of dlib's model files, its contents checked.

    The package that ships them is located, never imported: its import needs a part of setuptools that is gone.

    Raises:
        MissingPart: it is not installed, or the file is not the one that facelab was made for.
    """
    package = importlib.util.find_spec("face_recognition_models")
    folders = package.submodule_search_locations if package else None
    for folder in folders or ():
        path = Path(folder) / "models" / name
        if path.is_file():
            if _sha256(path) != _SHA256[name]:
                raise MissingPart(
                    f'{name} is damaged or of another version; pip install --force-reinstall "facelab[photos]"'
                )
            return str(path)
    raise MissingPart('facelab needs dlib\'s face models for photographs; pip install "facelab[photos]"')


@functools.cache
def landmark_predictor(points: int) -> dlib.shape_predictor:
    """dlib's landmark model of 68 or of 5 points, loaded once."""
    return dlib.shape_predictor(model_file(f"shape_predictor_{points}_face_landmarks.dat"))


@functools.cache
def _hog_detector() -> dlib.fhog_object_detector:
    return dlib.get_frontal_face_detector()


@functools.cache
def _cnn_detector() -> dlib.cnn_face_detection_model_v1:
    return dlib.cnn_face_detection_model_v1(model_file("mmod_human_face_detector.dat"))


def _detect(copy: Pixels, upsample: int, detector: str) -> list[tuple[dlib.rectangle, float]]:
    if detector == "cnn":
        return [(found.rect, found.confidence) for found in _cnn_detector()(copy, upsample)]
    boxes, scores, _ = _hog_detector().run(copy, upsample, 0.0)
    return list(zip(boxes, scores, strict=True))


def _search_copy(pixels: Pixels) -> tuple[Pixels, float]:
    """A copy within ``DETECTION_SIDE``, and by how much its positions are multiplied to come to the original's."""
    height, width = pixels.shape[:2]
    scale = max(height, width) / DETECTION_SIDE
    if scale <= 1:
        return pixels, 1.0
    size = (max(1, round(width / scale)), max(1, round(height / scale)))
    return cv2.resize(pixels, size, interpolation=cv2.INTER_AREA).astype(np.uint8, copy=False), scale


def _scaled_box(box: dlib.rectangle, scale: float) -> tuple[float, float, float, float]:
    left, top, right, bottom = ((v + 0.5) * scale - 0.5 for v in (box.left(), box.top(), box.right(), box.bottom()))
    return left, top, right, bottom


def _landmarks(predictor: dlib.shape_predictor, pixels: Pixels, box: dlib.rectangle, scale: float) -> Landmarks:
    # On the original, not the copy: the predictor answers in whole pixels.
    left, top, right, bottom = (round(v) for v in _scaled_box(box, scale))
    shape = predictor(pixels, dlib.rectangle(left, top, right, bottom))
    points = np.array([(point.x, point.y) for point in shape.parts()], np.float64)
    points.flags.writeable = False
    return points


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
