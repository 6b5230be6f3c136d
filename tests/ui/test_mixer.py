"""The mixer changes the recipe as it says."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from PySide6.QtCore import QPoint, Qt
from PySide6.QtGui import QContextMenuEvent
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QApplication, QMenu, QToolButton
from pytestqt.qtbot import QtBot

from facelab.jobs import Job, Resolve, Thumbnails
from facelab.latent.code import Code
from facelab.latent.recipe import Recipe
from facelab.ui.numbers import ValueSlider
from facelab.ui.panels.mixer import MixerPanel, _give, shares
from facelab.ui.session import Session
from facelab.ui.widgets import Wide
from facelab.worker import Client
from tests import fakes


def face(seed: int) -> Recipe:
    return Recipe.of(Code.from_seed(seed, fakes.Z_DIM, fakes.SHA))


@pytest.fixture
def mixer(qtbot: QtBot, opened: Session, client: Client) -> MixerPanel:
    made = MixerPanel(opened, client)
    qtbot.addWidget(made)
    made.resize(376, 900)
    made.show()
    return made


def table(session: Session) -> np.ndarray:
    assert session.state.recipe is not None
    return shares(session.state.recipe, len(session.state.slots), fakes.NUM_WS)


def drag(row: ValueSlider, to: float, keys: Qt.KeyboardModifier = Qt.KeyboardModifier.NoModifier) -> None:
    inner = row.slider
    y, here = inner.height() // 2, round(inner._x_of(inner.value()))
    there = 7 + round(to * (inner.width() - 14))
    QTest.mousePress(inner, Qt.MouseButton.LeftButton, keys, QPoint(here, y))
    for x in np.linspace(here, there, 8).round().astype(int):
        QTest.mouseMove(inner, QPoint(int(x), y))
    QTest.mouseRelease(inner, Qt.MouseButton.LeftButton, keys, QPoint(there, y))


def test_that_a_face_dropped_on_b_is_mixed_in_evenly_as_one_step(mixer: MixerPanel, opened: Session) -> None:
    mixer.put(1, face(5))
    assert opened.stack.count() == 1
    assert opened.state.slots == (face(0), face(5))
    assert opened.state.recipe == Recipe(sources=(*face(0).sources, *face(5).sources), weights=((0.5,), (0.5,)))


def unfold(mixer: MixerPanel, *groups: str) -> None:
    for name in groups:
        next(b for b in mixer.findChildren(QToolButton) if b.accessibleName() == f"Layers of {name}").click()


def test_that_layers_unfold_in_their_place_for_the_tab_key_and_stay_unfolded(
    mixer: MixerPanel, opened: Session
) -> None:
    mixer.put(1, face(5))
    unfold(mixer, "Coarse")
    assert [layer for _, layer in mixer._layer_rows] == [0, 1, 2, 3]
    chain, widget = [], mixer._folds["coarse"].button.nextInFocusChain()
    while len(chain) < 8:
        if widget in (row.slider for row in mixer._layer_rows.values()) or widget is mixer._folds["middle"].button:
            chain.append(widget)
        widget = widget.nextInFocusChain()
    assert chain[:5] == [*(mixer._layer_rows[1, k].slider for k in range(4)), mixer._folds["middle"].button]
    mixer.add_slot()
    assert len(mixer._layer_rows) == 8, "in the further column, too"
    unfold(mixer, "Coarse")
    assert not mixer._layer_rows[1, 0].isVisible()


def test_that_a_further_face_leaves_the_sliders_that_are_there(mixer: MixerPanel, opened: Session) -> None:
    mixer.put(1, face(5))
    unfold(mixer, "Coarse")
    before = {**mixer._group_rows, **mixer._layer_rows}
    assert all(row.number.isVisible() for row in before.values())
    mixer.add_slot()
    mixer.put(2, face(6))
    assert all({**mixer._group_rows, **mixer._layer_rows}[key] is row for key, row in before.items())
    assert not any(row.number.isVisible() for row in before.values()), "two columns have no room for numbers"
    assert mixer._layer_rows[2, 0].value == pytest.approx(0.5)
    mixer.clear(2)
    assert set(mixer._group_rows) | set(mixer._layer_rows) == set(before)
    assert all(row.number.isVisible() for row in before.values())


def test_that_faces_that_are_not_there_take_no_room(mixer: MixerPanel, opened: Session) -> None:
    mixer.put(1, face(5))
    QApplication.processEvents()
    row, lock = mixer._group_rows[1, "coarse"], mixer._folds["coarse"].lock
    assert lock.x() - (row.x() + row.width()) <= mixer._mix_grid.horizontalSpacing()


def test_that_the_numbers_are_whole_however_narrow_the_mixer_is_made(mixer: MixerPanel, opened: Session) -> None:
    mixer.put(1, face(5))
    mixer.resize(mixer.minimumSizeHint().width(), 2000)
    QApplication.processEvents()
    number = mixer._psi.number
    assert number.visibleRegion().boundingRect() == number.rect()


def test_that_many_faces_are_reached_sideways(qtbot: QtBot, mixer: MixerPanel, opened: Session) -> None:
    wide = mixer.findChild(Wide)
    assert wide is not None
    mixer.resize(360, 700)
    for _ in range(6):
        mixer.add_slot()
    qtbot.waitUntil(lambda: wide.horizontalScrollBar().maximum() > 0, timeout=2000)
    qtbot.waitUntil(lambda: wide.verticalScrollBar().maximum() == 0, timeout=2000)
    assert mixer.width() == 360


def test_that_a_rows_menu_opens_from_its_slider_too(qtbot: QtBot, mixer: MixerPanel, opened: Session) -> None:
    mixer.put(1, face(5))
    slider = mixer._group_rows[1, "coarse"].slider
    QApplication.sendEvent(
        slider, QContextMenuEvent(QContextMenuEvent.Reason.Keyboard, QPoint(5, 5), slider.mapToGlobal(QPoint(5, 5)))
    )
    qtbot.waitUntil(lambda: isinstance(QApplication.activePopupWidget(), QMenu), timeout=2000)
    menu = QApplication.activePopupWidget()
    assert isinstance(menu, QMenu)
    next(a for a in menu.actions() if a.text() == "All of B here, A elsewhere").trigger()
    menu.close()
    expected = np.zeros(12)
    expected[:4] = 1
    assert table(opened)[1] == pytest.approx(expected)


def test_that_a_layers_slider_moves_its_layer_and_a_groups_slider_its_rows(mixer: MixerPanel, opened: Session) -> None:
    mixer.put(1, face(5))
    mixer._group_rows[1, "all"].number.setValue(0.0)
    unfold(mixer, "Coarse", "Middle")
    mixer._layer_rows[1, 6].number.setValue(0.25)
    expected = np.zeros(12)
    expected[6] = 0.25
    assert table(opened)[1] == pytest.approx(expected)
    mixer._group_rows[1, "coarse"].number.setValue(1.0)
    expected[:4] = 1
    assert table(opened)[1] == pytest.approx(expected)
    assert table(opened).sum(0) == pytest.approx(np.ones(12))
    assert mixer._layer_rows[1, 2].value == 1.0, "the group moves its rows along"
    assert mixer._group_rows[1, "middle"].value == pytest.approx(0.25 / 4, abs=0.01)


def test_that_a_drag_of_a_slider_is_one_step_and_two_are_two(mixer: MixerPanel, opened: Session) -> None:
    mixer.put(1, face(5))
    count = opened.stack.count()
    drag(mixer._group_rows[1, "fine"], 0.9)
    assert opened.stack.count() == count + 1
    drag(mixer._group_rows[1, "fine"], 0.2)
    assert opened.stack.count() == count + 2
    assert table(opened)[1, 8:] == pytest.approx(np.full(4, 0.2), abs=0.02)
    opened.stack.undo()
    opened.stack.undo()
    assert table(opened)[1] == pytest.approx(np.full(12, 0.5))


def test_that_clearing_b_gives_the_face_back(mixer: MixerPanel, opened: Session) -> None:
    mixer.put(1, face(5))
    mixer.clear(1)
    assert opened.state.recipe == face(0)
    assert opened.state.slots == (face(0), None)


def test_that_no_share_of_b_leaves_the_bare_face(mixer: MixerPanel, opened: Session) -> None:
    mixer.put(1, face(5))
    mixer._group_rows[1, "all"].number.setValue(0.0)
    assert opened.state.recipe == face(0)
    assert opened.state.slots == (face(0), face(5)), "B stays at hand"


def test_that_swapping_swaps_the_faces_under_the_sliders(mixer: MixerPanel, opened: Session) -> None:
    mixer.put(1, face(5))
    mixer._group_rows[1, "coarse"].number.setValue(1.0)
    shown = table(opened)
    mixer.swap()
    assert opened.state.slots == (face(5), face(0))
    assert table(opened) == pytest.approx(shown)


def test_that_hard_sliders_take_all_or_nothing(mixer: MixerPanel, opened: Session) -> None:
    mixer.put(1, face(5))
    mixer._hard.setChecked(True)
    mixer._group_rows[1, "fine"].number.setValue(0.7)
    mixer._group_rows[1, "coarse"].number.setValue(0.3)
    assert table(opened)[1, 8:].tolist() == [1] * 4
    assert table(opened)[1, :4].tolist() == [0] * 4
    assert mixer._group_rows[1, "fine"].value == 1.0


def test_that_further_faces_come_in_their_own_columns(mixer: MixerPanel, opened: Session) -> None:
    mixer.put(1, face(5))
    mixer.add_slot()
    mixer.put(2, face(6))
    assert opened.state.slots == (face(0), face(5), face(6))
    assert table(opened)[:, 0] == pytest.approx([0.25, 0.25, 0.5])
    mixer.clear(1)
    assert opened.state.slots == (face(0), face(6))
    assert table(opened).sum(0) == pytest.approx(np.ones(12))


def test_that_a_mixed_face_is_worked_out_to_one_code_before_it_goes_into_a_slot(
    mixer: MixerPanel, opened: Session, idle: Callable[[], None], jobs_of: Callable[[type[Job]], list[Job]]
) -> None:
    mix = Recipe(sources=(*face(3).sources, *face(4).sources), weights=((0.5,), (0.5,)), psi=(0.7,))
    mixer.put(1, mix)
    idle()
    assert len(jobs_of(Resolve)) == 1
    slot = opened.state.slots[1]
    assert slot is not None
    np.testing.assert_array_equal(slot.sources[0].array, fakes.ws_of(mix))


def test_that_a_face_that_wears_the_same_goes_in_bare(mixer: MixerPanel, opened: Session) -> None:
    opened.change("Change psi", psi=(0.7,))
    mixer.put(1, face(5).change(psi=(0.7,)))
    assert opened.state.slots[1] == face(5)


def test_that_a_face_of_another_generator_is_refused_in_a_sentence(mixer: MixerPanel, opened: Session) -> None:
    mixer.put(1, Recipe.of(Code.from_seed(1, fakes.Z_DIM, "0b" * 32)))
    assert opened.stack.count() == 0
    assert "another generator" in mixer._messages.text


def test_that_the_slots_show_their_faces(
    mixer: MixerPanel, idle: Callable[[], None], jobs_of: Callable[[type[Job]], list[Job]]
) -> None:
    mixer.put(1, face(5))
    idle()
    drawn = mixer._slots[1].face.pixels
    assert drawn is not None
    assert drawn.shape == (128, 128, 3)
    assert len(jobs_of(Thumbnails)) == 2, "a face that stays is not drawn anew"


def test_that_psi_overall_by_layer_and_cutoff_become_the_recipes(mixer: MixerPanel, opened: Session) -> None:
    def recipe() -> Recipe:
        assert opened.state.recipe is not None
        return opened.state.recipe

    mixer._psi.number.setValue(0.5)
    assert recipe().psi == (0.5,)
    mixer._cutoff.setValue(8)
    assert recipe().cutoff == 8
    mixer._psi_fold.set_folded(False)
    assert [row.value for row in mixer._psi_rows] == [0.5] * 8 + [1.0] * 4
    mixer._psi_rows[0].number.setValue(-1.0)
    assert recipe().psi == (-1.0, *(0.5,) * 7, *(1.0,) * 4)
    assert recipe().cutoff is None
    mixer._psi.number.setValue(0.7)
    assert recipe().psi == (0.7,)


def test_that_noise_mode_seed_and_strength_become_the_recipes(mixer: MixerPanel, opened: Session) -> None:
    mixer._mode.setCurrentIndex(mixer._mode.findData("seed"))
    mixer._mode.activated.emit(mixer._mode.currentIndex())
    mixer._noise_seed.setValue(12)
    mixer._strength.number.setValue(0.5)
    assert opened.state.recipe is not None
    noise = opened.state.recipe.noise
    assert (noise.mode, noise.seed, noise.strength) == ("seed", 12, (0.5,))
    mixer._strength_fold.set_folded(False)
    mixer._strength_rows[2].number.setValue(2.0)
    assert opened.state.recipe.noise.strength == (0.5, 0.5, 2.0, *(0.5,) * 8)


def test_that_noise_that_does_nothing_is_said_and_switched_off(qtbot: QtBot, session: Session, client: Client) -> None:
    panel = MixerPanel(session, client)
    qtbot.addWidget(panel)
    session.open_generator(fakes.info(noise_works=False))
    assert not panel._noise_controls.isEnabled()
    assert "does nothing" in panel._noise_note.text()
    assert not panel._noise_note.isHidden()


def test_that_undo_shows_in_the_sliders(mixer: MixerPanel, opened: Session) -> None:
    mixer._psi.number.setValue(0.3)
    opened.stack.undo()
    assert mixer._psi.value == 1.0


@pytest.mark.parametrize("value", [0.0, 0.4, 1.0])
def test_that_shares_of_many_faces_stay_whole(value: float) -> None:
    shared = np.array([[0.2], [0.5], [0.3]], np.float32)
    _give(shared, 1, 0, value)
    assert shared.sum() == pytest.approx(1)
    assert shared[1, 0] == pytest.approx(value)
    assert (shared >= -1e-6).all()
