"""The crop's corners of twenty portraits and the sample photograph against FFHQ's formula, written a second time."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from facelab.assets import SAMPLE_PHOTO, resource
from facelab.faces.align import quad_of
from facelab.faces.detect import find_faces
from facelab.faces.photo import open_photo
from tests.evidence.claims import Claim, test_data
from tests.faces.test_align import ffhq_quad

SIDE = 1024  # pixels, of the crop that differences are told in


def prove(out: Path) -> list[Claim]:
    photos = [resource(SAMPLE_PHOTO), *sorted((test_data() / "photos").glob("*.jpg"))]
    differences, lines = [], []
    for path in photos:
        face = find_faces(open_photo(path))[0]
        quad, wanted = quad_of(face), ffhq_quad(face.landmarks)
        side = float(np.hypot(*(wanted[3] - wanted[0])))
        differences.append(float(np.hypot(*(quad - wanted).T).max()) / side * SIDE)
        lines.append(f"{path.name}  {differences[-1]:.2g}")
    (out / "corners.txt").write_text("\n".join(lines) + "\n")
    return [
        Claim(f"largest distance of a corner over {len(photos)} portraits, pixels of {SIDE}", "< 0.5",
              f"{max(differences):.2g}", max(differences) < 0.5)
    ]  # fmt: skip
