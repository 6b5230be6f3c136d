"""Exports: what is asked, what keeps one from going on, what becomes of it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from PySide6.QtCore import Qt
from PySide6.QtWidgets import QLabel, QWidget
from pytestqt.qtbot import QtBot

from facelab.errors import ExportError
from facelab.jobs import ExportMorph, ExportPictures, ExportPlane, Job
from facelab.latent.code import Code
from facelab.latent.recipe import Recipe
from facelab.ui import dialogs
from facelab.ui.dialogs import (
    ExportMorphDialog,
    ExportPictureDialog,
    ExportPlaneDialog,
    GeneratorDialog,
    file_name,
    free_name,
    size_text,
)
from facelab.ui.session import Session
from facelab.worker import Client
from tests import fakes


@pytest.fixture
def parent(qtbot: QtBot, client: Client, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[QWidget]:
    monkeypatch.setattr(dialogs, "_folder", tmp_path)
    made = QWidget()
    qtbot.addWidget(made, before_close_func=lambda _: client.close())
    made.show()
    return made


def face(seed: int, generator: str = fakes.SHA) -> Recipe:
    return Recipe.of(Code.from_seed(seed, fakes.Z_DIM, generator))


def test_that_enter_exports_from_wherever_the_focus_is(
    qtbot: QtBot, parent: QWidget, opened: Session, client: Client, tmp_path: Path
) -> None:
    for field in (None, "path", "scale"):
        dialog = ExportPictureDialog(opened, client, [face(0)], ["ada"], parent)
        dialog.path.setText(str(tmp_path / f"{field}.png"))
        dialog.open()
        if field is not None:
            getattr(dialog, field).setFocus()
        qtbot.keyClick(dialog.focusWidget(), Qt.Key.Key_Return)
        qtbot.waitUntil((tmp_path / f"{field}.png").is_file, timeout=5000)


def test_that_names_of_faces_become_names_of_files() -> None:
    assert file_name("photo: Ada/Lovelace?") == "photo Ada Lovelace"
    assert file_name("../..") == "face"
    assert len(file_name("x" * 500)) == 80


def test_that_an_export_never_proposes_to_overwrite(tmp_path: Path) -> None:
    (tmp_path / "face.png").touch()
    (tmp_path / "face 2.png").touch()
    assert free_name(tmp_path / "face.png") == tmp_path / "face 3.png"
    assert free_name(tmp_path / "other.png") == tmp_path / "other.png"


def test_that_sizes_are_said_as_a_person_says_them() -> None:
    assert [size_text(n) for n in (5, 1500, 25_000, 4_300_000, 2e9)] == [
        "5 bytes",
        "1.5 kB",
        "25 kB",
        "4.3 MB",
        "2.0 GB",
    ]


def test_that_a_picture_is_exported_as_set(
    qtbot: QtBot, opened: Session, client: Client, parent: QWidget, jobs_of: Callable[[type[Job]], list[ExportPictures]]
) -> None:
    dialog = ExportPictureDialog(opened, client, [face(7)], ["seed 7"], parent)
    dialog.open()
    assert dialog.with_recipe.isChecked()
    dialog.format.setCurrentIndex(dialog.format.findData(".webp"))
    dialog.scale.setCurrentIndex(dialog.scale.findData(4))
    path = Path(dialog.path.text())
    assert path.name == "seed 7.webp"
    with qtbot.waitSignal(dialog.written, timeout=5000) as written:
        qtbot.mouseClick(dialog.export_button, Qt.MouseButton.LeftButton)
        assert not dialog.isVisible()
    assert written.args == [path]
    (job,) = jobs_of(ExportPictures)
    assert (job.recipes, job.paths, job.scale, job.keep_recipe) == ((face(7),), (path,), 4, True)


def test_that_the_recipe_of_an_encoded_person_is_left_out_unless_it_is_asked_for(
    qtbot: QtBot, opened: Session, client: Client, parent: QWidget
) -> None:
    code = Code(array=fakes.ws_of(face(1)), space="w+", generator=fakes.SHA, origin={"photo": "me"})
    dialog = ExportPictureDialog(opened, client, [Recipe.of(code)], ["me"], parent)
    dialog.open()
    assert dialog.without.isChecked()
    assert any("encoded from a photograph" in label.text() for label in dialog.findChildren(QLabel))
    assert not dialog.job().keep_recipe


def test_that_several_pictures_get_names_of_their_own(
    opened: Session, client: Client, parent: QWidget, tmp_path: Path
) -> None:
    (tmp_path / "b.png").touch()
    dialog = ExportPictureDialog(opened, client, [face(1), face(2), face(3)], ["a", "a", "b"], parent)
    dialog.open()
    assert [p.name for p in dialog.job().paths] == ["a.png", "a 2.png", "b 2.png"]


def test_that_a_wrong_folder_or_suffix_is_said_in_the_dialog(
    qtbot: QtBot, opened: Session, client: Client, parent: QWidget, tmp_path: Path,
    jobs_of: Callable[[type[Job]], list[Job]],
) -> None:  # fmt: skip
    dialog = ExportPictureDialog(opened, client, [face(7)], ["seed 7"], parent)
    dialog.open()
    for text, said in (
        (str(tmp_path / "missing" / "a.png"), "does not exist"),
        (str(tmp_path / "a.tiff"), "not a format"),
        ("  ", "Give the file a name"),
    ):
        dialog.path.setText(text)
        qtbot.mouseClick(dialog.export_button, Qt.MouseButton.LeftButton)
        assert said in dialog.message.text
        assert dialog.isVisible()
    assert not jobs_of(ExportPictures)


def test_that_a_failed_export_brings_the_dialog_back_with_its_reason(
    qtbot: QtBot, opened: Session, client: Client, parent: QWidget, engine: fakes.FakeEngine
) -> None:
    engine.fail[ExportPictures] = ExportError("cannot write 'a.png': the disk is full; free some space")
    dialog = ExportPictureDialog(opened, client, [face(7)], ["seed 7"], parent)
    dialog.open()
    qtbot.mouseClick(dialog.export_button, Qt.MouseButton.LeftButton)
    qtbot.waitUntil(lambda: dialog.isVisible() and "disk is full" in dialog.message.text, timeout=5000)
    del engine.fail[ExportPictures]
    with qtbot.waitSignal(dialog.written, timeout=5000):
        qtbot.mouseClick(dialog.export_button, Qt.MouseButton.LeftButton)


def test_that_a_morph_is_exported_through_its_faces(
    qtbot: QtBot, opened: Session, client: Client, parent: QWidget, jobs_of: Callable[[type[Job]], list[ExportMorph]]
) -> None:
    dialog = ExportMorphDialog(opened, client, [face(1)], parent)
    dialog.open()
    qtbot.mouseClick(dialog.export_button, Qt.MouseButton.LeftButton)
    assert "at least two faces" in dialog.message.text
    dialog._add.many_dropped.emit([face(2), face(3)])
    qtbot.keyClick(dialog._views[1], Qt.Key.Key_Delete)
    assert dialog.keys == [face(1), face(3)]
    dialog.seconds.setValue(2.5)
    dialog.fps.setValue(24)
    dialog.loop.setChecked(True)
    dialog.format.setCurrentIndex(dialog.format.findData(".gif"))
    assert "60 pictures" in dialog.estimate.text()
    with qtbot.waitSignal(dialog.written, timeout=5000):
        qtbot.mouseClick(dialog.export_button, Qt.MouseButton.LeftButton)
    (job,) = jobs_of(ExportMorph)
    assert job.keys == (face(1), face(3))
    assert (job.seconds, job.fps, job.loop, job.path.suffix, job.easing) == (2.5, 24, True, ".gif", "ease")


def test_that_a_morph_between_generators_is_refused(
    qtbot: QtBot, opened: Session, client: Client, parent: QWidget
) -> None:
    dialog = ExportMorphDialog(opened, client, [face(1), face(2)], parent)
    dialog.keys[1] = face(2, "cd" * 32)
    assert "different generators" in (dialog.problem() or "")


def test_that_the_plane_is_exported_as_it_is_seen(
    qtbot: QtBot, opened: Session, client: Client, parent: QWidget, jobs_of: Callable[[type[Job]], list[ExportPlane]]
) -> None:
    plane = opened.state.plane
    assert plane is not None
    dialog = ExportPlaneDialog(opened, client, plane, face(0), (0.0, 0.5, 1.0), (1.0, 0.0), parent)
    dialog.open()
    dialog.tile.setCurrentIndex(dialog.tile.findData(64))
    assert "192 × 128 px" in dialog.tile.currentText()
    dialog.labels.setChecked(False)
    with qtbot.waitSignal(dialog.written, timeout=5000):
        qtbot.mouseClick(dialog.export_button, Qt.MouseButton.LeftButton)
    (job,) = jobs_of(ExportPlane)
    assert (job.columns, job.rows, job.tile, job.labels) == ((0.0, 0.5, 1.0), (1.0, 0.0), 64, False)


def test_that_the_generators_details_name_all_that_was_opened(opened: Session, parent: QWidget) -> None:
    info = fakes.info()
    dialog = GeneratorDialog(info, parent)
    dialog.open()
    said = " ".join(label.text() for label in dialog.findChildren(QLabel))
    for part in ("stylegan2", "128 × 128", "Z 32, W 32, 12 layers", "cpu, float32", info.sha256[:32]):
        assert part in said


def test_that_a_suffix_that_is_typed_chooses_the_format(
    opened: Session, client: Client, parent: QWidget, tmp_path: Path
) -> None:
    dialog = ExportPictureDialog(opened, client, [face(7)], ["seed 7"], parent)
    dialog.path.setText(str(tmp_path / "mine.JPG"))
    assert dialog.format.currentData() == ".jpg"
    assert dialog.target() == tmp_path / "mine.JPG"
