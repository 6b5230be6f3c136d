from __future__ import annotations

import io
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from facelab.errors import BadArgument, MissingPart, NoFaceFound
from facelab.faces import detect
from facelab.faces.detect import find_faces, model_file
from facelab.faces.photo import Photo, open_photo

EYES_OF_THE_ASTRONAUT = ((205, 104), (242, 106))  # read off the picture


def test_that_the_one_face_of_the_sample_is_found_with_its_landmarks(astronaut: Photo) -> None:
    (face,) = find_faces(astronaut)
    left, top, right, bottom = face.box
    assert 150 < left < 200 < right < 290
    assert 50 < top < 100 < bottom < 190
    assert face.score > 1
    assert face.landmarks.shape == (68, 2)
    eyes = face.landmarks[36:42].mean(axis=0), face.landmarks[42:48].mean(axis=0)
    for found, seen in zip(eyes, EYES_OF_THE_ASTRONAUT, strict=True):
        assert np.hypot(*(found - seen)) < 8
    with pytest.raises(ValueError, match="read-only"):
        face.landmarks[0] = 0


def test_that_every_portrait_has_one_face(test_data: Path) -> None:
    for path in sorted((test_data / "photos").glob("*.jpg")):
        assert len(find_faces(open_photo(path))) == 1, path.name


def test_that_the_largest_face_comes_first(astronaut: Photo) -> None:
    head = astronaut.pixels[:256, 100:356]
    wide = np.full((256, 700, 3), 128, np.uint8)
    wide[:180, 10:190] = cv2.resize(head, (180, 180), interpolation=cv2.INTER_AREA)
    wide[:, 400:656] = head
    faces = find_faces(Photo(wide))
    assert len(faces) == 2
    assert faces[0].box[0] > 400 > faces[1].box[0]
    assert faces[0].area > faces[1].area


def test_that_a_doubtful_face_comes_last_however_large(astronaut: Photo) -> None:
    file = io.BytesIO()  # compressed so, the badge on the suit is taken for a face, larger than the real one
    Image.fromarray(astronaut.pixels).save(file, "JPEG", quality=96)
    sure, *doubtful = find_faces(open_photo(file.getvalue()), upsample=1)
    assert sure.box[1] < 100
    assert all(face.score < detect.DOUBTFUL for face in doubtful)
    assert doubtful


@pytest.mark.parametrize("scale", [3, 6])
def test_that_positions_are_those_of_the_full_photograph_whatever_its_size(astronaut: Photo, scale: int) -> None:
    small = find_faces(astronaut)[0]
    large = cv2.resize(astronaut.pixels, None, fx=scale, fy=scale, interpolation=cv2.INTER_CUBIC)
    face = find_faces(Photo(large))[0]
    assert np.abs((face.landmarks + 0.5) / scale - 0.5 - small.landmarks).mean() < 3


def test_that_where_there_is_no_face_the_person_is_told_to_place_the_crop() -> None:
    grey = Photo(np.full((300, 300, 3), 120, np.uint8), "wall.jpg")
    with pytest.raises(NoFaceFound, match=r"'wall.jpg'; place the crop by hand, or search again for smaller faces"):
        find_faces(grey)
    with pytest.raises(NoFaceFound, match=r"by hand$"):
        find_faces(Photo(grey.pixels[:64, :64]), upsample=2)


def test_that_upsampling_finds_a_small_face(astronaut: Photo) -> None:
    small = Photo(cv2.resize(astronaut.pixels, (256, 256), interpolation=cv2.INTER_AREA))
    with pytest.raises(NoFaceFound):
        find_faces(small)
    face = find_faces(small, upsample=1)[0]
    assert 75 < face.box[0] < 100


@pytest.mark.slow
def test_that_the_cnn_detector_finds_a_face_lying_on_its_side_that_hog_does_not(astronaut: Photo) -> None:
    (face,) = find_faces(astronaut, detector="cnn")
    assert 150 < face.box[0] < 210
    turned = Photo(np.ascontiguousarray(astronaut.pixels[:300, 80:380][:, ::-1]))
    assert find_faces(turned, detector="cnn")[0].score > 0.5


@pytest.mark.parametrize("wrong", [{"upsample": 3}, {"upsample": -1}, {"detector": "haar"}])
def test_that_wrong_arguments_are_named(astronaut: Photo, wrong: dict) -> None:
    with pytest.raises(BadArgument, match=next(iter(wrong))):
        find_faces(astronaut, **wrong)


@pytest.fixture
def fresh_models() -> None:
    detect.landmark_predictor.cache_clear()
    yield
    detect.landmark_predictor.cache_clear()


@pytest.mark.usefixtures("fresh_models")
def test_that_a_missing_landmark_model_says_how_to_get_it(astronaut: Photo, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(detect.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(MissingPart, match=r'pip install "facelab\[photos\]"'):
        find_faces(astronaut)


@pytest.mark.usefixtures("fresh_models")
def test_that_a_model_file_of_other_contents_is_not_loaded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "models").mkdir()
    (tmp_path / "models" / "shape_predictor_5_face_landmarks.dat").write_bytes(b"another model")

    class Spec:
        submodule_search_locations = (str(tmp_path),)

    monkeypatch.setattr(detect.importlib.util, "find_spec", lambda name: Spec)
    with pytest.raises(MissingPart, match="damaged"):
        model_file("shape_predictor_5_face_landmarks.dat")


def test_that_faces_need_neither_torch_nor_the_import_of_the_model_package() -> None:
    code = (
        "import sys, facelab.faces.align, facelab.faces.identity, facelab.faces.detect as d\n"
        "d.model_file('shape_predictor_5_face_landmarks.dat')\n"
        "print([m for m in ('torch', 'PySide6', 'face_recognition_models', 'pkg_resources') if m in sys.modules])"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "[]"


def test_that_the_licence_of_the_landmark_model_is_said() -> None:
    assert "commercial" in detect.LANDMARK_NOTICE
