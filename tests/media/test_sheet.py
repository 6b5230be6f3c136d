from __future__ import annotations

import numpy as np
import pytest

from facelab.errors import BadArgument
from facelab.media import sheet as sheet_module
from facelab.media.sheet import PAPER, font, sheet


def tile(value: int, height: int = 40, width: int = 60) -> np.ndarray:
    return np.full((height, width, 3), value, np.uint8)


def inked(area: np.ndarray) -> bool:
    return bool((np.abs(area.astype(int) - PAPER).max(axis=2) > 60).any())


def test_that_a_montage_is_its_pictures_side_by_side() -> None:
    pictures = [np.random.RandomState(i).randint(0, 256, (8, 12, 3)).astype(np.uint8) for i in range(6)]
    wanted = np.concatenate([np.concatenate(pictures[:3], axis=1), np.concatenate(pictures[3:], axis=1)])
    assert np.array_equal(sheet(pictures, 3, gap=0), wanted)


def test_that_a_sheet_is_about_square_and_leaves_empty_places_as_paper() -> None:
    result = sheet([tile(200)] * 5, gap=4)
    assert result.shape == (40 * 2 + 4, 60 * 3 + 8, 3)
    assert (result[44:, 128:] == PAPER).all()
    assert (result[44:, 64:124] == 200).all()


def test_that_every_word_has_its_place_and_no_picture_is_written_over() -> None:
    result = sheet(
        [tile(128)] * 4,
        2,
        labels=["one", "two", "three", "four"],
        row_labels=["−1 σ", "+1 σ"],
        column_labels=["ψ 0.5", "ψ 1"],
        title="Plane",
        x_title="younger → older",
        y_title="smile",
    )
    grey = np.all(result == 128, axis=2)
    assert grey.sum() >= 4 * 40 * 60
    rows, columns = np.flatnonzero(grey.sum(axis=1) >= 120), np.flatnonzero(grey.sum(axis=0) >= 80)
    top, bottom, left = rows[0], rows[-1], columns[0]
    assert len(rows) == 80
    assert len(columns) == 120
    assert inked(result[:top, left:])
    assert inked(result[bottom + 24 :, left:])
    assert inked(result[top:bottom, :20])
    assert inked(result[top : top + 40, 20:left])
    for x in (left, left + 64):
        assert inked(result[bottom + 1 : bottom + 24, x : x + 60])


def test_that_long_words_end_in_an_ellipsis_within_their_picture() -> None:
    short, long = (sheet([tile(128, width=80)] * 2, 2, gap=30, labels=[words, ""]) for words in ("abc", "abc" * 50))
    assert short.shape == long.shape
    gap = long[:, 30 + 80 + 2 : 30 + 80 + 28]
    assert not inked(gap)
    assert inked(long[42 + 30 :, 30:110])


def test_that_letters_of_many_scripts_are_drawn() -> None:
    face = font("Größe ψσ жизнь →½", 20)
    empty = face.getmask("\U0010ffff")
    for character in "Gößeψσжь→½":
        mask = face.getmask(character)
        assert (mask.size, bytes(mask)) != (empty.size, bytes(empty)), character


def test_that_labels_with_line_breaks_or_unknown_letters_do_no_harm() -> None:
    result = sheet([tile(128)], labels=["a\nb\tc \U0001f9ff\u202e\0"], row_labels=["x\ny"], title=" ")
    assert inked(result[50:])


@pytest.mark.parametrize(
    ("pictures", "options", "said"),
    [([], {}, "at least one"), ([tile(1), tile(1, 41)], {}, "one shape"), ([np.zeros((4, 4), np.uint8)], {}, "one shape"),
     ([tile(1)], {"labels": ["a", "b"]}, "labels has 2 entries for 1"), ([tile(1)] * 4, {"row_labels": ["a"]}, "row_labels"),
     ([tile(1)] * 4, {"column_labels": ["a"] * 3}, "column_labels"), ([tile(1)], {"columns": -1}, "columns"),
     ([tile(1)], {"gap": -1}, "gap")],
)  # fmt: skip
def test_that_what_does_not_fit_is_named(pictures: list[np.ndarray], options: dict, said: str) -> None:
    with pytest.raises(BadArgument, match=said):
        sheet(pictures, **options)


def test_that_a_sheet_too_large_to_open_is_not_made(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sheet_module, "MAX_PIXELS", 60 * 40 * 3)
    with pytest.raises(BadArgument, match="million pixels"):
        sheet([tile(1)] * 4)
