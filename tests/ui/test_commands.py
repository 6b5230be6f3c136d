"""Commands are found by a part of their name."""

from __future__ import annotations

import pytest

from facelab.ui.commands import score


@pytest.mark.parametrize(
    ("typed", "best", "other"),
    [
        ("exp", "Export picture", "Open recent project"),
        ("em", "Export morph", "Embedded generator"),
        ("undo", "Undo take face", "Sound or other"),
        ("fsf", "Full screen face", "Find shortcuts for"),
    ],
)
def test_that_the_beginning_of_words_counts_most(typed: str, best: str, other: str) -> None:
    first, second = score(typed, best), score(typed, other)
    assert first is not None
    assert second is None or first > second


def test_that_letters_out_of_order_find_nothing() -> None:
    assert score("tropxe", "Export picture") is None
    assert score("", "Anything") is not None
