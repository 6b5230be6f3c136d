from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from facelab.errors import BadArgument
from facelab.faces.align import crop, face_mask, paste_back, quad_at, quad_of, square_of
from facelab.faces.detect import Face, find_faces
from facelab.faces.photo import Photo, open_photo


def ffhq_quad(landmarks: np.ndarray) -> np.ndarray:
    """FFHQ's formula once more, as it is written down: the crop's corners from 68 landmarks."""
    lm = landmarks
    eye_left, eye_right = np.mean(lm[36:42], axis=0), np.mean(lm[42:48], axis=0)
    eye_avg = 0.5 * (eye_left + eye_right)
    e = eye_right - eye_left
    m = 0.5 * (lm[48] + lm[54]) - eye_avg
    x = e - np.flipud(m) * [-1, 1]
    x = x / np.hypot(*x)
    x = x * max(np.hypot(*e) * 2.0, np.hypot(*m) * 1.8)
    y = np.flipud(x) * [-1, 1]
    c = eye_avg + 0.1 * m
    return np.stack([c - x - y, c - x + y, c + x + y, c + x - y])


def gradient_photo(width: int = 300, height: int = 240) -> Photo:
    """Red grows to the right and green downwards, so that a colour tells where it came from."""
    pixels = np.full((height, width, 3), 60, np.uint8)
    pixels[..., 0] = (np.arange(width) * 255 / width).astype(np.uint8)
    pixels[..., 1] = (np.arange(height) * 255 / height).astype(np.uint8)[:, None]
    return Photo(pixels)


def psnr(a: np.ndarray, b: np.ndarray) -> float:
    return 10 * np.log10(255**2 / max(np.mean((a.astype(float) - b) ** 2), 1e-12))


def test_that_the_alignment_agrees_with_ffhq_on_twenty_portraits(test_data: Path, astronaut: Photo) -> None:
    portraits = sorted((test_data / "photos").glob("*.jpg"))
    assert len(portraits) == 20
    for photo in [astronaut, *map(open_photo, portraits)]:
        face = find_faces(photo)[0]
        quad, wanted = quad_of(face), ffhq_quad(face.landmarks)
        side = np.hypot(*(wanted[3] - wanted[0]))
        assert np.abs(quad - wanted).max() / side * 1024 < 0.5, photo.name


def test_that_a_level_crop_has_the_size_of_the_turned_one_and_stands_upright(astronaut: Photo) -> None:
    face = find_faces(astronaut)[0]
    turned, level = square_of(quad_of(face)), square_of(quad_of(face, level=True))
    assert level[2] == 0
    assert abs(turned[2]) > 1
    assert np.allclose((*turned[0], turned[1]), (*level[0], level[1]))


@given(
    st.tuples(*[st.floats(-5000, 5000)] * 2), st.floats(1, 5000), st.floats(-179, 179)
)  # fmt: skip
def test_that_a_hand_placed_square_is_read_back(centre: tuple[float, float], size: float, rotation: float) -> None:
    quad = quad_at(centre, size, rotation)
    found = square_of(quad)
    assert np.allclose((*found[0], found[1]), (*centre, size), atol=1e-6)
    assert abs(found[2] - rotation) < 1e-5
    assert np.allclose(np.hypot(*(quad[1:] - quad[:-1]).T), size)


def test_that_the_corners_run_from_top_left_counter_clockwise() -> None:
    assert quad_at((10, 20), 4).tolist() == [[8, 18], [8, 22], [12, 22], [12, 18]]
    assert np.allclose(quad_at((10, 20), 4, 90), [[12, 18], [8, 18], [8, 22], [12, 22]])


def test_that_a_crop_on_whole_pixels_shows_these_pixels(astronaut: Photo) -> None:
    picture, outside = crop(astronaut, quad_at((255.5, 255.5), 256), 256)
    assert outside == 0
    assert picture.dtype == np.uint8
    assert psnr(picture, astronaut.pixels[128:384, 128:384]) > 35


@pytest.mark.parametrize("rotation", [0, 30, -120])
def test_that_the_crop_shows_what_lies_in_the_quad(rotation: float) -> None:
    photo = gradient_photo()
    quad = quad_at((150, 120), 100, rotation)
    picture, _ = crop(photo, quad, 64)
    for corner, (row, column) in zip(quad, [(0, 0), (63, 0), (63, 63), (0, 63)], strict=True):
        x, y = corner + (quad.mean(axis=0) - corner) / 64
        assert np.allclose(picture[row, column, :2], (x * 255 / 300, y * 255 / 240), atol=3)


@pytest.mark.slow
def test_that_crops_of_all_sizes_show_the_same(astronaut: Photo) -> None:
    quad = quad_of(find_faces(astronaut)[0])
    large, _ = crop(astronaut, quad, 1024)
    for size in (256, 128, 32):
        reduced = cv2.resize(large, (size, size), interpolation=cv2.INTER_AREA)
        assert psnr(crop(astronaut, quad, size)[0], reduced) > 30, size


@pytest.mark.slow
def test_that_the_crop_does_not_depend_on_the_resolution_of_the_photograph(astronaut: Photo) -> None:
    quad = quad_of(find_faces(astronaut)[0])
    wanted, _ = crop(astronaut, quad, 128)
    for scale in (2, 3, 9):
        larger = Photo(cv2.resize(astronaut.pixels, None, fx=scale, fy=scale, interpolation=cv2.INTER_CUBIC))
        picture, _ = crop(larger, (quad + 0.5) * scale - 0.5, 128)
        assert psnr(picture, wanted) > 33, scale


def test_that_the_share_outside_is_measured() -> None:
    photo = gradient_photo(200, 200)
    assert crop(photo, quad_at((99.5, 99.5), 200), 16)[1] == 0
    assert crop(photo, quad_at((-0.5, 99.5), 100), 16)[1] == pytest.approx(0.5, abs=0.01)
    assert crop(photo, quad_at((-0.5, -0.5), 100), 16)[1] == pytest.approx(0.75, abs=0.01)
    assert crop(photo, quad_at((99.5, 99.5), 400), 16)[1] == pytest.approx(0.75, abs=0.01)


def test_that_what_lies_outside_fades_to_the_median_and_shows_no_second_face(astronaut: Photo) -> None:
    # Half of the face lies beyond the left edge.
    photo = Photo(np.ascontiguousarray(astronaut.pixels[:300, 225:500]))
    picture, outside = crop(photo, quad_at((0, 110), 200), 256)
    assert 0.4 < outside < 0.6
    filled, real = picture[:, :100].astype(float), picture[:, 156:].astype(float)

    def detail(part: np.ndarray) -> float:
        return float(np.abs(np.diff(part, axis=1)).mean())

    mirrored = cv2.copyMakeBorder(photo.pixels, 0, 0, 110, 0, cv2.BORDER_REFLECT_101)[10:210, 10:88]
    assert detail(filled) < 0.35 * detail(real)
    assert detail(filled) < 0.35 * detail(mirrored.astype(float)) * 200 / 256
    assert np.ptp(picture[:, 0].mean(axis=1)) < 0.3 * np.ptp(real.mean(axis=2))
    assert len(find_faces(Photo(cv2.resize(picture, (512, 512))))) == 1


def test_that_a_crop_inside_is_not_touched_by_the_filling() -> None:
    photo = gradient_photo()
    inner, _ = crop(photo, quad_at((150, 120), 180), 90)
    assert psnr(inner, cv2.resize(photo.pixels[30:210, 60:240], (90, 90), interpolation=cv2.INTER_AREA)) > 40


@given(
    st.floats(0, 40), st.floats(0, 30), st.floats(0.01, 100), st.floats(-180, 180), st.integers(1, 40)
)  # fmt: skip
@pytest.mark.slow
def test_that_any_square_placed_on_a_photo_gives_a_crop(x: float, y: float, size: float, turn: float, out: int) -> None:
    photo = Photo(np.arange(40 * 30 * 3, dtype=np.uint32).reshape(30, 40, 3).astype(np.uint8))
    picture, outside = crop(photo, quad_at((min(x, 39), min(y, 29)), size, turn), out)
    assert picture.shape == (out, out, 3)
    assert 0 <= outside <= 1


@pytest.mark.parametrize(
    ("quad", "size", "said"),
    [(quad_at((20, 20), 10), 0, "size"), (quad_at((20, 20), 10), 5000, "size"), (quad_at((20, 20), 5000), 64, "as large"),
     (quad_at((-30, 20), 10), 64, "centre"), (np.full((4, 2), np.nan), 64, "finite"), (np.zeros((3, 2)), 64, r"\[4, 2\]"),
     (np.zeros((4, 2)), 64, "one point")],
)  # fmt: skip
def test_that_an_impossible_crop_is_refused(quad: np.ndarray, size: int, said: str) -> None:
    with pytest.raises(BadArgument, match=said):
        crop(gradient_photo(), quad, size)


@pytest.mark.parametrize("wrong", [((0, 0), 0, 0), ((0, 0), -1, 0), ((np.nan, 0), 1, 0), ((0, 0), 1, np.inf)])
def test_that_a_square_needs_finite_numbers(wrong: tuple) -> None:
    with pytest.raises(BadArgument, match="finite"):
        quad_at(*wrong)


@pytest.mark.parametrize("scale", [1, 4])
def test_that_a_crop_pasted_back_gives_the_photograph(astronaut: Photo, scale: int) -> None:
    photo = Photo(cv2.resize(astronaut.pixels, None, fx=scale, fy=scale, interpolation=cv2.INTER_CUBIC))
    quad = quad_of(find_faces(astronaut)[0])
    quad = (quad + 0.5) * scale - 0.5
    picture, _ = crop(photo, quad, 512)
    result = paste_back(photo, quad, picture, feather=0.1)
    assert result.shape == photo.pixels.shape
    left, top = quad.min(axis=0).astype(int)
    right, bottom = quad.max(axis=0).astype(int)
    assert psnr(result[top:bottom, left:right], photo.pixels[top:bottom, left:right]) > 33


def test_that_pasting_changes_nothing_outside_of_the_quad_and_fades_in(astronaut: Photo) -> None:
    quad = quad_at((200, 150), 100, 20)
    result = paste_back(astronaut, quad, np.full((64, 64, 3), (255, 0, 255), np.uint8), feather=0.2)
    inside = np.zeros((512, 512), np.uint8)
    cv2.fillConvexPoly(inside, np.rint(quad).astype(np.int32), (1,))
    beyond = cv2.dilate(inside, np.ones((5, 5))) == 0
    assert np.array_equal(result[beyond], astronaut.pixels[beyond])
    assert result[150, 200].tolist() == [255, 0, 255]
    corner = (quad[0] * 0.9 + quad[2] * 0.1).round().astype(int)
    assert np.abs(result[corner[1], corner[0]].astype(int) - astronaut.pixels[corner[1], corner[0]]).max() < 90
    assert astronaut.pixels.flags.writeable is False


def test_that_without_feather_the_whole_quad_is_replaced() -> None:
    photo = gradient_photo()
    result = paste_back(photo, quad_at((99.5, 99.5), 40), np.full((40, 40, 3), 255, np.uint8), feather=0)
    assert (result[80:120, 80:120] == 255).all()
    assert np.array_equal(np.delete(result, np.s_[80:120], axis=0), np.delete(photo.pixels, np.s_[80:120], axis=0))


def test_that_a_quad_partly_outside_pastes_its_inner_part() -> None:
    photo = gradient_photo()
    result = paste_back(photo, quad_at((-0.5, 99.5), 40), np.full((8, 8, 3), 255, np.uint8), feather=0)
    assert (result[80:120, :20] == 255).all()
    assert np.array_equal(result[:, 20:], photo.pixels[:, 20:])
    assert np.array_equal(paste_back(photo, quad_at((-500, 0), 40), np.zeros((8, 8, 3), np.uint8)), photo.pixels)


def test_that_a_mask_keeps_the_photograph_where_it_is_zero(astronaut: Photo) -> None:
    quad = quad_at((255.5, 255.5), 100)
    mask = np.zeros((50, 50), np.float32)
    mask[:, 25:] = 1
    result = paste_back(astronaut, quad, np.full((50, 50, 3), 255, np.uint8), 0.0, mask)
    assert np.array_equal(result[210:300, 210:250], astronaut.pixels[210:300, 210:250])
    assert (result[210:300, 262:300] == 255).all()


@pytest.mark.parametrize(
    ("picture", "feather", "mask"),
    [(np.zeros((8, 9, 3), np.uint8), 0.1, None), (np.zeros((8, 8, 3)), 0.1, None), (np.zeros((8, 8, 3), np.uint8), 0.7, None),
     (np.zeros((8, 8, 3), np.uint8), 0.1, np.ones((4, 4), np.float32)), (np.zeros((8, 8, 3), np.uint8), 0.1, np.full((8, 8), 2.0, np.float32))],
)  # fmt: skip
def test_that_a_wrong_picture_feather_or_mask_is_refused(
    picture: np.ndarray, feather: float, mask: np.ndarray | None
) -> None:
    with pytest.raises(BadArgument):
        paste_back(gradient_photo(), quad_at((100, 100), 50), picture, feather, mask)


def test_that_the_face_mask_covers_the_landmarks_and_not_the_corners(astronaut: Photo) -> None:
    face = find_faces(astronaut)[0]
    quad = quad_of(face)
    mask = face_mask(face, quad, 128)
    assert mask.shape == (128, 128)
    assert 0 <= mask.min() <= mask.max() <= 1
    assert mask[[0, 0, -1, -1], [0, -1, 0, -1]].max() < 0.01
    shown, _ = crop(astronaut, quad, 128)
    again = find_faces(Photo(cv2.resize(shown, (512, 512))))[0].landmarks / 4
    inside = again[[30, 33, 51, 57]].round().astype(int)  # nose and mouth
    assert (mask[inside[:, 1], inside[:, 0]] > 0.95).all()
    assert 0.15 < mask.mean() < 0.5


def test_that_landmarks_all_in_one_point_still_give_no_crash() -> None:
    face = Face((0, 0, 1, 1), np.full((68, 2), 5.0), 1.0)
    with pytest.raises(BadArgument, match="one point"):
        crop(gradient_photo(), quad_of(face), 64)
