"""The catalogue shows terms before it fetches, and opens what it fetched."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from PySide6.QtWidgets import QWidget
from pytestqt.qtbot import QtBot

from facelab.errors import DownloadError
from facelab.jobs import Download, Job
from facelab.ui.catalogue import CatalogueDialog
from facelab.ui.session import Session
from facelab.worker import Client
from tests import fakes

Idle = Callable[[], None]


@pytest.fixture
def dialog(qtbot: QtBot, opened: Session, client: Client, idle: Idle) -> Iterator[CatalogueDialog]:
    parent = QWidget()
    qtbot.addWidget(parent)
    made = CatalogueDialog(opened, client, parent)
    made.show()
    idle()
    yield made
    idle()
    parent.close()


def choose(dialog: CatalogueDialog, title: str) -> None:
    for index in range(dialog.tree.topLevelItemCount()):
        item = dialog.tree.topLevelItem(index)
        if item is not None and item.text(0) == title:
            dialog.tree.setCurrentItem(item)
            return
    raise AssertionError(title)


def test_that_terms_are_accepted_before_a_download_and_each_time_anew(dialog: CatalogueDialog) -> None:
    assert "CC BY-NC 4.0 &lt;non-commercial&gt;" in dialog.terms.text()
    assert not dialog.act.isEnabled()
    dialog.accept_terms.setChecked(True)
    assert dialog.act.isEnabled()
    choose(dialog, "Cats (AFHQ)")
    assert not dialog.act.isEnabled()


def test_that_what_was_downloaded_is_opened(
    dialog: CatalogueDialog, idle: Idle, jobs_of: Callable[[type[Job]], list[Job]]
) -> None:
    choose(dialog, "Cats (AFHQ)")
    dialog.accept_terms.setChecked(True)
    dialog.act.click()
    idle()
    (job,) = jobs_of(Download)
    assert isinstance(job, Download)
    assert job.entry == "cats"
    assert "cats.pkl is here" in dialog.message.text.lower()
    assert dialog.act.text() == "Open"
    heard: list[Path] = []
    dialog.chosen.connect(heard.append)
    dialog.act.click()
    assert heard == [Path("/models/cats.pkl")]


def test_that_a_download_shows_how_far_it_is_and_is_cancelled(
    qtbot: QtBot, dialog: CatalogueDialog, desk: fakes.FakeDesk, idle: Idle
) -> None:
    desk.pause = 0.05
    dialog.accept_terms.setChecked(True)
    dialog.act.click()
    qtbot.waitUntil(lambda: dialog.bar.value() > 0, timeout=5000)
    assert dialog.stop.isVisible()
    assert not dialog.act.isEnabled()
    dialog.stop.click()
    idle()
    assert not dialog.stop.isVisible()
    assert desk.here == {}


def test_that_a_download_that_fails_says_why(dialog: CatalogueDialog, desk: fakes.FakeDesk, idle: Idle) -> None:
    desk.fail[Download] = DownloadError("the server does not answer; try again later")
    dialog.accept_terms.setChecked(True)
    dialog.act.click()
    idle()
    assert dialog.message.text == "The server does not answer; try again later."


def test_that_features_become_the_setting_for_encoding(
    dialog: CatalogueDialog, opened: Session, desk: fakes.FakeDesk, idle: Idle
) -> None:
    desk.here["vgg"] = Path("/models/vgg.pt")
    dialog._list()
    idle()
    choose(dialog, "VGG16 features")
    dialog.act.click()
    assert opened.settings.vgg16 == str(Path("/models/vgg.pt"))


def test_that_the_list_is_searched_by_any_words(dialog: CatalogueDialog) -> None:
    dialog.search.setText("faces 1024")
    shown = [dialog.tree.topLevelItem(i) for i in range(dialog.tree.topLevelItemCount())]
    assert [item.text(0) for item in shown if item is not None and not item.isHidden()] == [
        "Faces (FFHQ)",
        "Faces, the first StyleGAN",
    ]


def test_that_what_only_a_browser_gets_is_said(dialog: CatalogueDialog) -> None:
    choose(dialog, "Faces, the first StyleGAN")
    assert dialog.act.text() == "Open its page"
    assert "browser" in dialog.hint.text()
