"""A real photograph for the tests of faces: the sample that facelab ships."""

from __future__ import annotations

import pytest

from facelab.assets import SAMPLE_PHOTO, resource
from facelab.faces.photo import Photo, open_photo


@pytest.fixture(scope="session")
def astronaut() -> Photo:
    return open_photo(resource(SAMPLE_PHOTO))
