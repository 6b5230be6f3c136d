"""The classes of a conditional generator, chosen in the window."""

from __future__ import annotations

from dataclasses import replace

import pytest
from PySide6.QtCore import Qt
from pytestqt.qtbot import QtBot

from facelab.latent.code import Code
from facelab.latent.recipe import Recipe
from facelab.ui.main_window import MainWindow
from facelab.ui.session import Session
from facelab.worker import Client
from tests import fakes


@pytest.fixture
def conditional(session: Session, engine: fakes.FakeEngine) -> Session:
    engine.open.add(fakes.SHA)
    session.open_generator(replace(fakes.info(), c_dim=10))
    return session


def test_that_a_class_is_given_to_every_code_that_is_still_to_be_mapped(conditional: Session) -> None:
    assert conditional.label == 0
    photo = Code(array=fakes.W_AVG, space="w", generator=fakes.SHA)
    seeds = conditional.state.recipe
    assert seeds is not None
    conditional.take(seeds.change(sources=(*seeds.sources, photo), weights=()))
    conditional.choose_class(7)
    recipe, plane = conditional.state.recipe, conditional.state.plane
    assert recipe is not None
    assert plane is not None
    assert [code.label for code in recipe.sources] == [7, None]
    assert (plane.origin.label, plane.x.label, plane.y.label) == (7, 7, 7)  # type: ignore[union-attr]
    assert conditional.label == 7
    new = conditional.of_seed(3)
    assert new is not None
    assert new.sources[0].label == 7
    conditional.stack.undo()
    assert conditional.label == 0


def test_that_a_generator_without_classes_has_none_to_choose(qtbot: QtBot, opened: Session, client: Client) -> None:
    window = MainWindow(opened, client)
    qtbot.addWidget(window, before_close_func=lambda _: client.close())
    assert opened.label is None
    assert not window._label_action.isVisible()


def test_that_the_window_offers_the_classes_of_a_conditional_generator(
    qtbot: QtBot, session: Session, client: Client, engine: fakes.FakeEngine
) -> None:
    window = MainWindow(session, client)
    qtbot.addWidget(window, before_close_func=lambda _: client.close())
    window.show()
    assert not window._label_action.isVisible()
    engine.open.add(fakes.SHA)
    session.open_generator(replace(fakes.info(), c_dim=10))  # comes after the window, as it does when facelab starts
    assert window._label_action.isVisible()
    assert (window.label.minimum(), window.label.maximum()) == (0, 9)
    window.label.setFocus()
    qtbot.keyClick(window.label, Qt.Key.Key_Up)
    assert session.state.recipe == Recipe.of(Code.from_seed(0, fakes.Z_DIM, fakes.SHA, 1))
    session.stack.undo()
    assert window.label.value() == 0
