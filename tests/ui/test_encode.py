"""Encoding from the window: photographs, crops, runs, and what the project keeps of them."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PySide6.QtCore import QMimeData, QPoint, QPointF, Qt, QUrl
from PySide6.QtGui import QDragEnterEvent, QDropEvent
from PySide6.QtWidgets import QApplication, QLabel, QMenu, QPushButton
from pytestqt.qtbot import QtBot

from facelab.errors import Diverged, PictureError
from facelab.jobs import CropPhoto, Face, Job, OpenPhoto, PasteBack, Project, ProjectionSettings, Tune
from facelab.latent.code import Code
from facelab.latent.recipe import Recipe
from facelab.project import Project as ProjectFile
from facelab.runs import settings_json
from facelab.ui.dragging import recipe_mime
from facelab.ui.encode_settings import RESULTS
from facelab.ui.panels.encode import EncodePanel
from facelab.ui.panels.library import png_of
from facelab.ui.photo import Crop, difference, face_mask
from facelab.ui.pixels import image_of
from facelab.ui.run_dialogs import PasteBackDialog
from facelab.ui.session import Session
from facelab.ui.tune_dialog import TuneDialog
from facelab.worker import Client
from tests import fakes


# -- values -----------------------------------------------------------------------------------------------------------------
@given(st.floats(-500, 4000), st.floats(-500, 4000), st.floats(10, 3000), st.floats(-179, 179))
def test_that_a_crop_comes_back_from_its_corners(x: float, y: float, half: float, degrees: float) -> None:
    back = Crop.of_quad(Crop(x, y, half, degrees).quad())
    assert (back.x, back.y, back.half) == pytest.approx((x, y, half), abs=0.01)
    assert abs((back.degrees - degrees + 180) % 360 - 180) < 0.01


def test_that_corners_come_in_ffhqs_order() -> None:
    quad = Crop(100, 100, 50).quad()
    np.testing.assert_allclose(quad, [[50, 50], [50, 150], [150, 150], [150, 50]])


def test_that_a_crop_stays_in_reach() -> None:
    crop = Crop(-500, 900, 1e6, 400).within(640, 480)
    assert 0 <= crop.x <= 640
    assert 0 <= crop.y <= 480
    assert crop.half <= 480
    assert crop.degrees == pytest.approx(40)


def test_that_the_difference_of_like_pictures_is_black_and_grows_with_them() -> None:
    a = np.zeros((4, 4, 3), np.uint8)
    b = a.copy()
    b[0, 0], b[0, 1] = 40, 255
    grey, heat = difference(a, b), difference(a, b, heat=True)
    assert not grey[1:].any()
    assert not heat[1:].any()
    assert grey[0, 0, 0] == 80
    assert grey[0, 1, 0] == 255
    assert heat[0, 1].astype(int).sum() > heat[0, 0].astype(int).sum() > 0


# -- the panel --------------------------------------------------------------------------------------------------------------
@pytest.fixture
def panel(qtbot: QtBot, opened: Session, client: Client) -> EncodePanel:
    made = EncodePanel(opened, client)
    qtbot.addWidget(made, before_close_func=lambda _: client.close())
    made.resize(720, 430)
    made.show()
    made.how.steps.setValue(40)
    return made


def ready(panel: EncodePanel) -> Callable[[], bool]:
    return lambda: panel.item is not None and panel.item.ready


def state(panel: EncodePanel) -> str:
    return "" if panel.item is None else panel.item.state


def test_that_the_empty_panel_says_that_nothing_leaves_and_offers_a_sample(
    qtbot: QtBot, panel: EncodePanel, jobs_of: Callable[[type[Job]], list[OpenPhoto]]
) -> None:
    assert panel.pages.currentWidget() is panel.drop_page
    sample = next(b for b in panel.drop_page.findChildren(QPushButton) if "sample" in b.text())
    qtbot.mouseClick(sample, Qt.MouseButton.LeftButton)
    qtbot.waitUntil(lambda: bool(jobs_of(OpenPhoto)), timeout=5000)
    assert jobs_of(OpenPhoto)[0].path.name == "astronaut.jpg"


def test_that_a_dropped_photograph_is_opened_and_its_largest_face_cropped(
    qtbot: QtBot, panel: EncodePanel, tmp_path: Path, jobs_of: Callable[[type[Job]], list[CropPhoto]]
) -> None:
    mime = QMimeData()
    mime.setUrls([QUrl.fromLocalFile(str(tmp_path / "me.jpg"))])
    button, keys = Qt.MouseButton.LeftButton, Qt.KeyboardModifier.NoModifier
    enter = QDragEnterEvent(QPoint(50, 50), Qt.DropAction.CopyAction, mime, button, keys)
    QApplication.sendEvent(panel, enter)
    assert enter.isAccepted()
    panel.session.files_offered.connect(panel.open_photos)  # as the window does with what it sees to be photographs
    QApplication.sendEvent(panel, QDropEvent(QPointF(50, 50), Qt.DropAction.CopyAction, mime, button, keys))
    qtbot.waitUntil(ready(panel), timeout=5000)
    assert panel.pages.currentWidget() is panel.choose_page
    np.testing.assert_allclose(jobs_of(CropPhoto)[0].quad, [[96, 96], [96, 416], [416, 416], [416, 96]])
    assert jobs_of(CropPhoto)[0].size == fakes.RESOLUTION
    assert panel.cut_view.pixels is not None


def test_that_without_a_face_the_crop_is_placed_by_hand(
    qtbot: QtBot, panel: EncodePanel, tmp_path: Path, jobs_of: Callable[[type[Job]], list[CropPhoto]]
) -> None:
    panel.open_photo(tmp_path / "noface.jpg")
    qtbot.waitUntil(ready(panel), timeout=5000)
    assert "no face was found" in panel.photo_note.text().lower()
    photo = panel.photo
    assert photo.crop is not None
    before = photo.crop
    centre = photo.to_screen(before.x, before.y).toPoint()
    qtbot.mousePress(photo, Qt.MouseButton.LeftButton, pos=centre)
    qtbot.mouseMove(photo, centre + QPoint(20, -10))
    qtbot.mouseRelease(photo, Qt.MouseButton.LeftButton, pos=centre + QPoint(20, -10))
    assert photo.crop.x > before.x
    assert photo.crop.y < before.y
    corner = photo.corners()[2].toPoint()
    qtbot.mousePress(photo, Qt.MouseButton.LeftButton, pos=corner)
    qtbot.mouseMove(photo, corner - QPoint(15, 15))
    qtbot.mouseRelease(photo, Qt.MouseButton.LeftButton, pos=corner - QPoint(15, 15))
    assert photo.crop.half < before.half
    knob = photo.knob().toPoint()
    qtbot.mousePress(photo, Qt.MouseButton.LeftButton, pos=knob)
    qtbot.mouseMove(photo, knob + QPoint(25, 3))
    qtbot.mouseRelease(photo, Qt.MouseButton.LeftButton, pos=knob + QPoint(25, 3))
    assert photo.crop.degrees > 2
    qtbot.waitUntil(ready(panel), timeout=5000)
    np.testing.assert_allclose(jobs_of(CropPhoto)[-1].quad, photo.crop.quad())


@pytest.mark.slow
def test_that_an_overlooked_face_is_searched_for_again_at_more_length(
    qtbot: QtBot, panel: EncodePanel, tmp_path: Path, jobs_of: Callable[[type[Job]], list[OpenPhoto]]
) -> None:
    panel.open_photo(tmp_path / "small, noface.jpg")
    qtbot.waitUntil(ready(panel), timeout=5000)
    assert panel.item is not None
    assert panel.item.face is None
    smaller, turned = panel.search_button.menu().actions()
    turned.trigger()
    assert not panel.search_button.isEnabled()
    assert "Looking for turned" in panel.photo_note.text()
    qtbot.waitUntil(panel.search_button.isEnabled, timeout=5000)
    assert "no face was found" in panel.photo_note.text().lower()
    smaller.trigger()
    qtbot.waitUntil(lambda: panel.item is not None and panel.item.face == 0 and panel.item.ready, timeout=5000)
    assert [(job.upsample, job.detector) for job in jobs_of(OpenPhoto)] == [(0, "hog"), (0, "cnn"), (1, "hog")]
    assert not panel.photo_note.text()
    assert panel.photo.chosen == 0


def test_that_a_crop_placed_by_hand_outlives_a_search_in_vain(qtbot: QtBot, panel: EncodePanel, tmp_path: Path) -> None:
    panel.open_photo(tmp_path / "noface.jpg")
    qtbot.waitUntil(ready(panel), timeout=5000)
    qtbot.keyClick(panel.photo, Qt.Key.Key_Right)
    placed = panel.photo.crop
    panel.search_button.menu().actions()[1].trigger()
    qtbot.waitUntil(panel.search_button.isEnabled, timeout=5000)
    assert panel.photo.crop == placed


def test_that_a_photograph_is_taken_off_the_queue_with_a_key(qtbot: QtBot, panel: EncodePanel, tmp_path: Path) -> None:
    for name in ("a.jpg", "b.jpg"):
        panel.open_photo(tmp_path / name)
    qtbot.waitUntil(lambda: [item.ready for item in panel.items] == [True, True], timeout=5000)
    panel.queue.setFocus()
    qtbot.keyClick(panel.queue, Qt.Key.Key_Delete)
    assert [item.name for item in panel.items] == ["b"]
    assert panel.item is panel.items[0]
    assert panel.queue.count() == 1


def test_that_keys_move_scale_and_turn_the_crop(qtbot: QtBot, panel: EncodePanel, tmp_path: Path) -> None:
    panel.open_photo(tmp_path / "me.jpg")
    qtbot.waitUntil(ready(panel), timeout=5000)
    before = panel.photo.crop
    assert before is not None
    for key in (Qt.Key.Key_Right, Qt.Key.Key_Down, Qt.Key.Key_Plus, Qt.Key.Key_BracketRight):
        qtbot.keyClick(panel.photo, key)
    after = panel.photo.crop
    assert after is not None
    assert after.x > before.x
    assert after.y > before.y
    assert after.half > before.half
    assert after.degrees == pytest.approx(1)


def encode(qtbot: QtBot, panel: EncodePanel, path: Path) -> None:
    panel.open_photo(path)
    qtbot.waitUntil(ready(panel), timeout=5000)
    qtbot.mouseClick(panel.encode_button, Qt.MouseButton.LeftButton)


def test_that_an_encoded_photograph_becomes_the_face_and_is_kept_under_its_name(
    qtbot: QtBot, panel: EncodePanel, tmp_path: Path
) -> None:
    encode(qtbot, panel, tmp_path / "Ada Lovelace.jpg")
    qtbot.waitUntil(lambda: state(panel) == "done", timeout=20_000)
    session = panel.session
    assert session.state.recipe is not None
    assert session.state.recipe.sources[0].origin["photo"] == "Ada Lovelace"
    (kept,) = session.project.faces()
    assert kept.name == "Ada Lovelace"
    assert kept.has_photo
    assert session.project.thumbnail(kept.id) is not None
    assert session.project.recipe(kept.id) == session.state.recipe
    (run,) = session.project.runs()
    assert (run.status, run.steps_done) == ("done", 40)
    assert len(session.project.losses(run.id)["total"]) == 40
    assert session.project.kept_steps(run.id)[:3] == [0, 1, 2]
    assert panel.run_page.live_view.pixels is not None
    qtbot.waitUntil(lambda: panel.run_page.difference_view.pixels is not None, timeout=2000)
    assert "Done" in panel.run_page.text.text()


@pytest.mark.slow
def test_that_a_run_can_be_paused_and_resumed(
    qtbot: QtBot, panel: EncodePanel, engine: fakes.FakeEngine, tmp_path: Path
) -> None:
    engine.pause = 0.01
    encode(qtbot, panel, tmp_path / "me.jpg")
    qtbot.waitUntil(
        lambda: panel.item is not None and panel.item.run is not None and panel.item.run.steps > 3, timeout=10_000
    )
    assert panel.item is not None
    run = panel.item.run
    assert run is not None
    qtbot.mouseClick(panel.run_page.pause_button, Qt.MouseButton.LeftButton)
    qtbot.wait(150)
    steps = run.steps
    qtbot.wait(200)
    assert run.steps == steps
    assert "Paused" in panel.run_page.text.text()
    qtbot.mouseClick(panel.run_page.pause_button, Qt.MouseButton.LeftButton)
    qtbot.waitUntil(lambda: state(panel) == "done", timeout=20_000)


@pytest.mark.slow
def test_that_a_cancelled_run_keeps_what_it_has_and_goes_on_from_its_checkpoint(
    qtbot: QtBot,
    panel: EncodePanel,
    engine: fakes.FakeEngine,
    tmp_path: Path,
    jobs_of: Callable[[type[Job]], list[Project]],
) -> None:
    engine.pause = 0.01
    encode(qtbot, panel, tmp_path / "me.jpg")
    qtbot.waitUntil(
        lambda: panel.item is not None and panel.item.run is not None and panel.item.run.steps > 25, timeout=10_000
    )
    qtbot.mouseClick(panel.run_page.cancel_button, Qt.MouseButton.LeftButton)
    qtbot.waitUntil(lambda: state(panel) == "cancelled", timeout=5000)
    (run,) = panel.session.project.runs()
    assert run.status == "cancelled"
    assert run.steps_done > 20
    assert panel.run_page.again_button.isVisible()
    qtbot.mouseClick(panel.run_page.again_button, Qt.MouseButton.LeftButton)
    qtbot.waitUntil(lambda: state(panel) == "done", timeout=20_000)
    assert jobs_of(Project)[-1].resume == b"state"
    assert jobs_of(Project)[-1].run == run.id


def test_that_a_run_of_an_earlier_session_is_offered_and_goes_on(
    qtbot: QtBot, opened: Session, client: Client, jobs_of: Callable[[type[Job]], list[Project]]
) -> None:
    target = fakes.draw(fakes.ws_of(Recipe.of(Code.from_seed(9, fakes.Z_DIM, fakes.SHA))))
    project = opened.project
    project.start_run(
        "r1",
        fakes.SHA,
        settings_json(ProjectionSettings(steps=40)),
        "Grace",
        png_of(image_of(target)),
        photo="grace.jpg",
    )
    project.add_losses("r1", 0, {"total": [1.0, 0.9, 0.8]})
    project.checkpoint("r1", 2, b"blob")
    project.finish_run("r1", "cancelled")
    panel = EncodePanel(opened, client)
    qtbot.addWidget(panel, before_close_func=lambda _: client.close())
    panel.show()
    go_on = next(b for b in panel.drop_page.findChildren(QPushButton) if "Go on" in b.text())
    qtbot.mouseClick(go_on, Qt.MouseButton.LeftButton)
    qtbot.waitUntil(lambda: state(panel) == "done", timeout=20_000)
    job = jobs_of(Project)[0]
    assert job.resume == b"blob"
    np.testing.assert_array_equal(job.target, target)
    assert [f.name for f in project.faces()] == ["Grace"]


def test_that_a_queue_that_was_cut_off_is_offered_as_a_whole_and_goes_on_in_its_order(
    qtbot: QtBot, opened: Session, client: Client, jobs_of: Callable[[type[Job]], list[Project]]
) -> None:
    target = png_of(image_of(fakes.draw(fakes.ws_of(Recipe.of(Code.from_seed(9, fakes.Z_DIM, fakes.SHA))))))
    names = ["one", "two", "three", "four", "five"]
    with ProjectFile.open(opened.project.path.with_name("killed.facelab")) as project:
        for name in names:
            project.start_run(name, fakes.SHA, settings_json(ProjectionSettings(steps=20)), name, target)
        project.add_losses("one", 0, {"total": [1.0, 0.9]})
        project.start_run("given up", fakes.SHA, settings_json(ProjectionSettings(steps=20)), "given up", target)
        project.finish_run("given up", "cancelled")
    opened.open_project(ProjectFile.open(opened.project.path.with_name("killed.facelab")))
    panel = EncodePanel(opened, client)
    qtbot.addWidget(panel, before_close_func=lambda _: client.close())
    panel.show()
    assert "one was stopped at step 2 of 20" in said(panel)
    assert "two was waiting" in said(panel)
    assert "5 were not finished" in said(panel)
    everything = next(b for b in panel.drop_page.findChildren(QPushButton) if "all" in b.text())
    qtbot.mouseClick(everything, Qt.MouseButton.LeftButton)
    qtbot.waitUntil(lambda: len(panel.items) == 5 and all(i.state == "done" for i in panel.items), timeout=30_000)
    assert [job.name for job in jobs_of(Project)] == names
    assert sorted(face.name for face in opened.project.faces()) == sorted(names)


def said(panel: EncodePanel) -> str:
    return " ".join(label.text() for label in panel.drop_page.findChildren(QLabel) if label.isVisible())


@pytest.mark.slow
def test_that_several_photographs_form_a_queue_and_are_encoded_one_after_the_other(
    qtbot: QtBot, panel: EncodePanel, tmp_path: Path
) -> None:
    panel.open_photos([tmp_path / "one.jpg", tmp_path / "two.jpg", tmp_path / "three.jpg"])
    qtbot.waitUntil(lambda: all(item.ready for item in panel.items), timeout=10_000)
    assert panel.queue.isVisible()
    qtbot.mouseClick(panel.encode_all, Qt.MouseButton.LeftButton)
    qtbot.waitUntil(lambda: all(item.state == "done" for item in panel.items), timeout=30_000)
    assert sorted(f.name for f in panel.session.project.faces()) == ["one", "three", "two"]


def test_that_a_photograph_that_comes_while_another_is_ready_is_shown(
    qtbot: QtBot, panel: EncodePanel, tmp_path: Path
) -> None:
    panel.open_photo(tmp_path / "first.jpg")
    qtbot.waitUntil(lambda: panel.items[0].ready, timeout=10_000)
    panel.open_photos([tmp_path / "second.jpg", tmp_path / "third.jpg"])
    assert panel.item is panel.items[1], "of several that come at once, the first"
    assert panel.queue.currentRow() == 1
    qtbot.waitUntil(lambda: all(item.ready for item in panel.items), timeout=10_000)


def test_that_a_file_that_is_no_photograph_is_said_and_can_be_removed(
    qtbot: QtBot, panel: EncodePanel, desk: fakes.FakeDesk, tmp_path: Path
) -> None:
    desk.fail[OpenPhoto] = PictureError("notes.jpg is not a picture; choose another file")
    panel.open_photo(tmp_path / "notes.jpg")
    qtbot.waitUntil(lambda: "not a picture" in panel.wait_text.text(), timeout=5000)
    qtbot.mouseClick(panel.forget_button, Qt.MouseButton.LeftButton)
    assert panel.pages.currentWidget() is panel.drop_page


def test_that_a_run_that_fails_says_why_and_can_begin_again(
    qtbot: QtBot, panel: EncodePanel, engine: fakes.FakeEngine, tmp_path: Path
) -> None:
    engine.fail[Project] = Diverged("the loss is no number any more; lower the learning rate")
    encode(qtbot, panel, tmp_path / "me.jpg")
    qtbot.waitUntil(lambda: state(panel) == "failed", timeout=5000)
    assert "lower the learning rate" in panel._messages.text
    assert panel.session.project.runs()[0].status == "failed"
    del engine.fail[Project]
    qtbot.mouseClick(panel.run_page.again_button, Qt.MouseButton.LeftButton)
    qtbot.waitUntil(lambda: state(panel) == "done", timeout=20_000)


def test_that_the_notice_of_the_landmark_model_is_shown_once(
    qtbot: QtBot, panel: EncodePanel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened = fakes.FakeDesk.open_photo

    def with_notice(self: fakes.FakeDesk, job: OpenPhoto) -> object:
        for answer in opened(self, job):
            yield type(answer)(answer.path, answer.preview, answer.size, answer.faces, "", "For research only.")  # type: ignore[union-attr, call-arg]

    monkeypatch.setitem(fakes._DESK, OpenPhoto, with_notice)
    panel.open_photo(tmp_path / "one.jpg")
    qtbot.waitUntil(panel.notice.isVisible, timeout=5000)
    accept = next(b for b in panel.notice.findChildren(QPushButton))
    qtbot.mouseClick(accept, Qt.MouseButton.LeftButton)
    assert not panel.notice.isVisible()
    assert panel.session.settings.notice_accepted
    panel.open_photo(tmp_path / "two.jpg")
    qtbot.waitUntil(lambda: panel.items[-1].opened is not None, timeout=5000)
    assert not panel.notice.isVisible()


def test_that_a_start_from_a_mixed_face_hands_over_the_code_that_it_draws(
    qtbot: QtBot, panel: EncodePanel, tmp_path: Path, jobs_of: Callable[[type[Job]], list[Project]]
) -> None:
    a, b = (Code.from_seed(s, fakes.Z_DIM, fakes.SHA) for s in (5, 6))
    mixed = Recipe(sources=(a, b), weights=((1.0,), (1.0,)))
    panel.session.take(mixed)
    panel.how.start.setCurrentIndex(panel.how.start.findData("code"))
    encode(qtbot, panel, tmp_path / "me.jpg")
    qtbot.waitUntil(lambda: bool(jobs_of(Project)), timeout=5000)
    start = jobs_of(Project)[0].settings.start_code
    assert start is not None
    np.testing.assert_allclose(start.array, fakes.ws_of(mixed), atol=1e-6)
    assert math.isfinite(float(start.array.sum()))
    qtbot.waitUntil(lambda: state(panel) == "done", timeout=20_000)


@pytest.mark.slow
def test_that_the_zero_face_is_encoded_once_to_compare_with(
    qtbot: QtBot, panel: EncodePanel, tmp_path: Path, jobs_of: Callable[[type[Job]], list[Project]]
) -> None:
    panel.how.baseline.setChecked(True)
    encode(qtbot, panel, tmp_path / "one.jpg")
    qtbot.waitUntil(lambda: len(panel.items) == 2 and all(i.state == "done" for i in panel.items), timeout=30_000)
    assert [f.name for f in panel.session.project.faces()] == ["one"], "the baseline is no face of the library"
    assert sorted(row.name for row in panel.session.project.runs()) == ["Zero face", "one"]
    encode(qtbot, panel, tmp_path / "two.jpg")
    qtbot.waitUntil(lambda: len(panel.session.project.faces()) == 2, timeout=30_000)
    assert len(jobs_of(Project)) == 3


def test_that_the_photograph_can_be_wiped_over_what_was_found(qtbot: QtBot, panel: EncodePanel, tmp_path: Path) -> None:
    encode(qtbot, panel, tmp_path / "me.jpg")
    qtbot.waitUntil(lambda: state(panel) == "done", timeout=20_000)
    view = panel.run_page.live_view
    plain = view.grab().toImage()
    qtbot.mouseMove(view, view.rect().center())
    wiped = view.grab().toImage()
    middle, quarter = view.width() // 2, view.width() // 4
    left = [plain.pixel(quarter, y) != wiped.pixel(quarter, y) for y in range(0, view.height(), 7)]
    right = [plain.pixel(middle + quarter, y) != wiped.pixel(middle + quarter, y) for y in range(0, view.height(), 7)]
    assert any(left)
    assert not any(right)


def test_that_an_edited_face_is_set_back_into_its_photograph(
    qtbot: QtBot,
    panel: EncodePanel,
    engine: fakes.FakeEngine,
    tmp_path: Path,
    jobs_of: Callable[[type[Job]], list[PasteBack]],
) -> None:
    (tmp_path / "me.jpg").touch()
    encode(qtbot, panel, tmp_path / "me.jpg")
    qtbot.waitUntil(lambda: state(panel) == "done", timeout=20_000)
    assert panel.item is not None
    run = panel.item.run
    assert run is not None
    assert run.recipe is not None
    code = replace(run.recipe.sources[0], origin={"photo": "me", "run": run.id})
    edited = Recipe.of(code).change(psi=(0.5,))
    panel.session.take(edited)
    qtbot.mouseClick(panel.run_page.paste_button, Qt.MouseButton.LeftButton)
    dialog = panel.findChild(PasteBackDialog)
    assert dialog is not None
    assert dialog.recipe == edited, "what a person has made of it is what they mean"
    qtbot.waitUntil(dialog.export_button.isEnabled, timeout=5000)
    dialog.path.setText(str(tmp_path / "out.jpg"))
    with qtbot.waitSignal(dialog.written, timeout=5000):
        qtbot.mouseClick(dialog.export_button, Qt.MouseButton.LeftButton)
    (job,) = jobs_of(PasteBack)
    assert (job.photo, job.path) == (tmp_path / "me.jpg", tmp_path / "out.jpg")
    np.testing.assert_allclose(job.quad, [[96, 96], [96, 416], [416, 416], [416, 96]])


def test_that_a_mask_covers_the_face_and_fades_around_it() -> None:
    landmarks = np.zeros((68, 2), np.float32)
    landmarks[:17] = [(100 + 100 * np.cos(a), 120 + 100 * np.sin(a)) for a in np.linspace(np.pi, 0, 17)]
    landmarks[17:27] = [(x, 100) for x in np.linspace(20, 180, 10)]
    landmarks[27], landmarks[33] = (100, 110), (100, 150)
    face = Face((0, 0, 200, 220), landmarks, Crop(100, 130, 160).quad(), 1.0)
    mask = face_mask(face, face.quad, 128)
    assert mask.shape == (128, 128)
    assert mask[64, 64] == 255
    assert not mask[[0, 0, -1, -1], [0, -1, 0, -1]].any()
    assert ((mask > 0) & (mask < 255)).any()
    aside = face_mask(face, Crop(180, 130, 160).quad(), 128)
    assert aside[64, 32] == 255, "the face lies where it lies in the crop"
    assert aside[64, 120] == 0


def test_that_every_setting_is_handed_over_as_chosen(
    qtbot: QtBot, panel: EncodePanel, tmp_path: Path, jobs_of: Callable[[type[Job]], list[Project]]
) -> None:
    how = panel.how
    how.weights["ms-ssim"].setValue(2.5)
    how.weights["gradients"].setValue(0)
    how.penalties["near_w"].setValue(0.5)
    how.penalties["noise_weight"].setValue(50)
    how.optimiser.setCurrentIndex(how.optimiser.findData("lbfgs"))
    how.rate.setValue(0.2)
    how.noise.setChecked(False)
    how.stop_rest.setChecked(True)
    how.stop_loss.setValue(0.125)
    how.stop_minutes.setValue(1.5)
    how.layers.set_value((0, 1, 7))
    how.start.setCurrentIndex(how.start.findData("w0"))
    how.only_face.setChecked(True)
    encode(qtbot, panel, tmp_path / "me.jpg")
    qtbot.waitUntil(lambda: state(panel) == "done", timeout=20_000)
    settings = jobs_of(Project)[0].settings
    assert settings.losses == {"pixels": 1.0, "ms-ssim": 2.5}
    assert (settings.near_w, settings.noise_weight, settings.learning_rate) == (0.5, 50, 0.2)
    assert (settings.optimiser, settings.optimise_noise, settings.start) == ("lbfgs", False, "w0")
    assert (settings.stop_slope, settings.stop_loss, settings.stop_seconds) == (0.01, 0.125, 90)
    assert settings.learn_layers == (0, 1, 7)
    assert settings.mask is None, "a face without landmarks has no outline"


def test_that_untouched_weights_are_the_losses_own(panel: EncodePanel) -> None:
    assert panel.how.value().losses == {}
    panel.how.weights["pixels"].setValue(3)
    assert panel.how.value().losses == {"pixels": 3, "gradients": 0.5}
    panel.how.reset()
    assert panel.how.value().losses == {}


def test_that_a_result_sets_its_penalties_and_other_penalties_are_called_so(panel: EncodePanel) -> None:
    how = panel.how
    for place in range(how.result.count()):
        name = how.result.itemData(place)
        if name:
            how.result.setCurrentIndex(place)
            how.result.activated.emit(place)
            wanted = RESULTS[name][2]
            assert how.value().near_w == pytest.approx(wanted.get("near_w", 0))
            assert how.value().near_w_avg == pytest.approx(wanted.get("near_w_avg", 0))
    how.penalties["near_w"].setValue(7)
    assert how.result.currentData() == ""
    how.penalties["near_w"].setValue(0.03)
    how.penalties["near_w_avg"].setValue(0)
    assert how.result.currentData() == "edits"


def test_that_a_loss_whose_network_is_missing_cannot_be_weighed(panel: EncodePanel, tmp_path: Path) -> None:
    how = panel.how
    assert not how.weights["perceptual"].isEnabled()
    assert not how.weights["portraits"].isEnabled()
    assert how.start.findData("encoder") < 0
    panel.session.configure(vgg16=str(tmp_path / "vgg16.pt"))
    assert how.weights["perceptual"].isEnabled()
    assert how.value().losses == {}, "with a file, the perceptual loss is among the usual ones"
    assert how.weights["perceptual"].value() == 1
    panel.session.open_generator(replace(fakes.info(), encoder=True))
    assert how.weights["portraits"].isEnabled()
    assert how.start.findData("encoder") >= 0


def test_that_nothing_to_compare_is_said_before_anything_begins(
    qtbot: QtBot, panel: EncodePanel, tmp_path: Path
) -> None:
    for field in panel.how.weights.values():
        field.setValue(0)
    encode(qtbot, panel, tmp_path / "me.jpg")
    assert "give a loss a weight" in panel._messages.text
    assert state(panel) == "ready"


def test_that_any_face_can_be_dropped_to_start_from(
    qtbot: QtBot, panel: EncodePanel, tmp_path: Path, jobs_of: Callable[[type[Job]], list[Project]]
) -> None:
    how = panel.how
    panel.open_photo(tmp_path / "me.jpg")
    qtbot.waitUntil(ready(panel), timeout=5000)
    assert not how.slot.isVisible()
    how.start.setCurrentIndex(how.start.findData("code"))
    qtbot.waitUntil(lambda: how.slot.isVisible() and how.slot.pixels is not None, timeout=5000)
    face = Recipe.of(Code.from_seed(77, fakes.Z_DIM, fakes.SHA))
    button, keys = Qt.MouseButton.LeftButton, Qt.KeyboardModifier.NoModifier
    mime = recipe_mime(face)
    enter = QDragEnterEvent(QPoint(9, 9), Qt.DropAction.CopyAction, mime, button, keys)
    QApplication.sendEvent(how.slot, enter)
    assert enter.isAccepted()
    QApplication.sendEvent(how.slot, QDropEvent(QPointF(9, 9), Qt.DropAction.CopyAction, mime, button, keys))
    qtbot.mouseClick(panel.encode_button, Qt.MouseButton.LeftButton)
    qtbot.waitUntil(lambda: state(panel) == "done", timeout=20_000)
    assert jobs_of(Project)[0].settings.start_code == face.sources[0]


# -- the queue's order --------------------------------------------------------------------------------------------------------
@pytest.mark.slow
def test_that_waiting_photographs_are_encoded_in_the_order_in_which_they_are_put(
    qtbot: QtBot,
    panel: EncodePanel,
    engine: fakes.FakeEngine,
    tmp_path: Path,
    jobs_of: Callable[[type[Job]], list[Project]],
) -> None:
    engine.pause = 0.01
    panel.open_photos([tmp_path / f"{name}.jpg" for name in ("one", "two", "three", "four")])
    qtbot.waitUntil(lambda: all(item.ready for item in panel.items), timeout=10_000)
    qtbot.mouseClick(panel.encode_all, Qt.MouseButton.LeftButton)
    qtbot.waitUntil(lambda: panel.items[0].state == "running", timeout=5000)
    panel.put(3, 1)
    panel.put(2, 3)
    assert [item.name for item in panel.items] == ["one", "four", "three", "two"]
    assert [panel.queue.item(row).text().split("\n")[0] for row in range(4)] == ["one", "four", "three", "two"]
    assert panel.item is panel.items[panel.queue.currentRow()]
    qtbot.waitUntil(lambda: all(item.state == "done" for item in panel.items), timeout=60_000)
    assert [job.name for job in jobs_of(Project)] == ["one", "four", "three", "two"]


@pytest.mark.slow
def test_that_the_queues_menu_pauses_cancels_and_removes_any_photograph(
    qtbot: QtBot, panel: EncodePanel, engine: fakes.FakeEngine, tmp_path: Path
) -> None:
    def choose(row: int, text: str) -> None:
        panel.queue.customContextMenuRequested.emit(panel.queue.visualItemRect(panel.queue.item(row)).center())
        (menu,) = [w for w in QApplication.topLevelWidgets() if isinstance(w, QMenu) and w.isVisible()]
        action = next(a for a in menu.actions() if a.text() == text)
        assert action.isEnabled()
        action.trigger()
        menu.close()
        qtbot.waitUntil(lambda: not menu_there())

    def menu_there() -> bool:
        return any(isinstance(w, QMenu) and w.isVisible() for w in QApplication.topLevelWidgets())

    engine.pause = 0.02
    panel.open_photos([tmp_path / f"{name}.jpg" for name in ("one", "two", "three")])
    qtbot.waitUntil(lambda: all(item.ready for item in panel.items), timeout=10_000)
    qtbot.mouseClick(panel.encode_all, Qt.MouseButton.LeftButton)
    qtbot.waitUntil(lambda: panel.items[0].state == "running", timeout=5000)
    choose(0, "Pause")
    assert panel.items[0].state == "paused"
    qtbot.waitUntil(lambda: panel.items[1].state == "running", timeout=5000)
    choose(2, "Cancel")
    qtbot.waitUntil(lambda: panel.items[2].state == "cancelled", timeout=5000)
    choose(2, "Remove")
    assert [item.name for item in panel.items] == ["one", "two"]
    choose(1, "Move to the front")
    assert [item.name for item in panel.items] == ["two", "one"]
    choose(1, "Resume")
    qtbot.waitUntil(lambda: all(item.state == "done" for item in panel.items), timeout=30_000)


# -- tuning -------------------------------------------------------------------------------------------------------------------
def test_that_a_generator_is_tuned_to_a_photograph_and_the_tuning_kept(
    qtbot: QtBot, panel: EncodePanel, tmp_path: Path, jobs_of: Callable[[type[Job]], list[Tune]]
) -> None:
    encode(qtbot, panel, tmp_path / "Ada.jpg")
    qtbot.waitUntil(lambda: state(panel) == "done", timeout=20_000)
    qtbot.mouseClick(panel.run_page.tune_button, Qt.MouseButton.LeftButton)
    dialog = panel.findChild(TuneDialog)
    assert dialog is not None
    assert "2.0 MB in the project" in dialog.cost.text()
    assert "16 MB of memory" in dialog.cost.text()
    assert not jobs_of(Tune), "the cost is said before anything begins"
    dialog.steps.setValue(6)
    dialog.locality.setValue(0.5)
    qtbot.mouseClick(dialog.tune_button, Qt.MouseButton.LeftButton)
    session = panel.session
    qtbot.waitUntil(lambda: bool(session.project.tunings()), timeout=10_000)
    (job,) = jobs_of(Tune)
    assert (job.settings.steps, job.settings.locality, job.name) == (6, 0.5, "Ada")
    assert panel.item is not None
    assert panel.item.run is not None
    np.testing.assert_array_equal(job.target, panel.item.run.target)
    (kept,) = session.project.tunings()
    assert (kept.sha256, kept.run) == ("7" * 64, panel.item.run.id)
    assert session.project.tuning(kept.sha256) == b"delta"
    qtbot.waitUntil(lambda: len(session.project.faces()) == 2, timeout=5000)
    assert "Ada tuned" in [face.name for face in session.project.faces()]
    now = session.state.recipe
    assert now is not None
    assert (now.tuning, now.sources[0]) == ("7" * 64, job.code)


def test_that_a_tuning_that_is_stopped_changes_nothing(
    qtbot: QtBot, panel: EncodePanel, engine: fakes.FakeEngine, tmp_path: Path
) -> None:
    encode(qtbot, panel, tmp_path / "Ada.jpg")
    qtbot.waitUntil(lambda: state(panel) == "done", timeout=20_000)
    engine.pause = 0.02
    qtbot.mouseClick(panel.run_page.tune_button, Qt.MouseButton.LeftButton)
    dialog = panel.findChild(TuneDialog)
    assert dialog is not None
    qtbot.mouseClick(dialog.tune_button, Qt.MouseButton.LeftButton)
    qtbot.waitUntil(lambda: "Step" in dialog.said.text(), timeout=5000)
    qtbot.mouseClick(dialog.close_button, Qt.MouseButton.LeftButton)
    qtbot.waitUntil(dialog.tune_button.isEnabled, timeout=5000)
    assert not panel.session.project.tunings()
    assert len(panel.session.project.faces()) == 1
    qtbot.mouseClick(dialog.close_button, Qt.MouseButton.LeftButton)
    qtbot.waitUntil(lambda: panel.findChild(TuneDialog) is None, timeout=5000)


def test_that_a_dropped_generator_is_left_to_the_window(panel: EncodePanel, tmp_path: Path) -> None:
    for name, taken in (("me.JPG", True), ("ffhq.pkl", False), ("people.facelab", False), (".", True)):
        mime = QMimeData()
        mime.setUrls([QUrl.fromLocalFile(str(tmp_path / name))])
        button, keys = Qt.MouseButton.LeftButton, Qt.KeyboardModifier.NoModifier
        enter = QDragEnterEvent(QPoint(50, 50), Qt.DropAction.CopyAction, mime, button, keys)
        enter.ignore()
        QApplication.sendEvent(panel, enter)
        assert enter.isAccepted() == taken, name
