"""A typed line becomes a face."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from PySide6.QtCore import Qt
from PySide6.QtTest import QTest
from pytestqt.qtbot import QtBot

from facelab.latent.code import Code
from facelab.latent.recipe import Recipe
from facelab.ui.panels.arithmetic import ArithmeticPanel
from facelab.ui.session import Session
from facelab.worker import Client
from tests import fakes

Idle = Callable[[], None]


def face(seed: int) -> Recipe:
    return Recipe.of(Code.from_seed(seed, fakes.Z_DIM, fakes.SHA))


def rows(seed: int) -> np.ndarray:
    return fakes.ws_of(face(seed))


@pytest.fixture
def panel(qtbot: QtBot, opened: Session, client: Client) -> ArithmeticPanel:
    for seed, name in ((1, "trixie"), (2, "me in 1987")):
        opened.project.add_face(face(seed), name, thumbnail=None)
    opened.project.flush()
    made = ArithmeticPanel(opened, client)
    qtbot.addWidget(made)
    made.resize(376, 400)
    made.show()
    return made


def computed(panel: ArithmeticPanel, text: str, idle: Idle) -> np.ndarray | None:
    panel.set_text(text)
    panel._later.stop()
    panel._compute()
    idle()
    return None if panel._code is None else panel._code.array


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("trixie", lambda: rows(1)),
        ("trixie + 2/3*('me in 1987' - A)", lambda: rows(1) + 2 / 3 * (rows(2) - rows(0))),
        ("mean(seed(3), seed(4), average)", lambda: (rows(3) + rows(4)) / 3),
        ("A[coarse] + seed(5)[4:]", lambda: np.concatenate([rows(0)[:4], rows(5)[4:]])),
    ],
)
def test_that_a_line_comes_to_a_face(
    panel: ArithmeticPanel, idle: Idle, text: str, expected: Callable[[], np.ndarray]
) -> None:
    np.testing.assert_allclose(computed(panel, text, idle), expected(), atol=1e-5)
    assert panel.view.pixels is not None


def test_that_enter_takes_the_face_and_the_line_is_remembered(
    panel: ArithmeticPanel, opened: Session, idle: Idle
) -> None:
    panel.line.setFocus()
    QTest.keyClicks(panel.line, "seed(3) + seed(4) - seed(5)")
    panel.line._completer.popup().hide()
    QTest.keyClick(panel.line, Qt.Key.Key_Return)
    idle()
    assert opened.state.recipe is not None
    (code,) = opened.state.recipe.sources
    np.testing.assert_allclose(code.array, rows(3) + rows(4) - rows(5), atol=1e-5)
    assert code.origin["expression"] == "seed(3) + seed(4) - seed(5)"
    assert opened.stack.undoText() == "Compute face"
    assert opened.project.meta("expressions") == ["seed(3) + seed(4) - seed(5)"]
    assert panel._past.item(0).text() == "seed(3) + seed(4) - seed(5)"


@pytest.mark.parametrize(
    ("text", "position", "words"),
    [("trixie + nobody", 9, "nobody"), ("trixie + (A", 9, ""), ("3", 0, "number"), ("A @ B", None, "")],
)
def test_that_an_error_is_placed_under_its_character(
    panel: ArithmeticPanel, idle: Idle, text: str, position: int | None, words: str
) -> None:
    assert computed(panel, text, idle) is None
    assert words in panel.note.text()
    assert panel.pointer._position is not None
    if position is not None:
        assert panel.pointer._position == position
    assert not panel.take_button.isEnabled()


def test_that_a_face_far_out_can_be_pulled_in(panel: ArithmeticPanel, opened: Session, idle: Idle) -> None:
    computed(panel, "average + 6*(trixie - average)", idle)
    assert panel.note.text().startswith("Far out")
    assert panel.pull_in.isVisible()
    panel.pull_in.click()
    assert opened.state.recipe is not None
    assert opened.state.recipe.psi[0] < 0.5
    idle()


def test_that_names_are_completed_at_the_cursor(panel: ArithmeticPanel, idle: Idle) -> None:
    panel.line.setText("A - tri")
    panel.line._complete()
    assert panel.line._completer.currentCompletion() == "trixie"
    panel.line._insert("trixie")
    assert panel.line.text() == "A - trixie"
    panel._later.stop()
    idle()
