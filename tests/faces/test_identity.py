from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from facelab.errors import BadArgument
from facelab.faces.align import crop, quad_of
from facelab.faces.detect import find_faces
from facelab.faces.identity import DIMENSIONS, SAME_PERSON, distance, distances, embed
from facelab.faces.photo import Photo, open_photo


@pytest.mark.slow
def test_that_a_face_is_itself_in_every_size_and_mirrored(astronaut: Photo) -> None:
    face = find_faces(astronaut)[0]
    original = embed(astronaut.pixels, face.box)
    assert original.shape == (DIMENSIONS,)
    assert original.dtype == np.float32
    for size in (512, 128):
        picture, _ = crop(astronaut, quad_of(face), size)
        assert distance(original, embed(picture)) < 0.2
    mirrored = np.ascontiguousarray(picture[:, ::-1])
    assert distance(original, embed(mirrored)) < 0.35


@pytest.mark.slow
def test_that_different_people_lie_apart(astronaut: Photo, test_data: Path) -> None:
    photos = [astronaut, *(open_photo(path) for path in sorted((test_data / "photos").glob("*.jpg"))[:5])]
    matrix = distances([embed(photo.pixels, find_faces(photo)[0].box) for photo in photos])
    assert np.allclose(matrix, matrix.T)
    assert np.allclose(np.diag(matrix), 0)
    others = matrix[np.triu_indices(len(photos), 1)]
    assert others.min() > 0.5
    assert np.median(others) > SAME_PERSON


def test_that_wrong_pixels_and_empty_boxes_are_refused(astronaut: Photo) -> None:
    with pytest.raises(BadArgument, match="uint8"):
        embed(np.zeros((9, 9), np.uint8))
    with pytest.raises(BadArgument, match="empty"):
        embed(astronaut.pixels, (10, 10, 10, 40))
