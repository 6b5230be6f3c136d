"""The mixing table: cells take some layers from rows; everything in it can be undone."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PySide6.QtCore import Qt
from pytestqt.qtbot import QtBot

from facelab.jobs import ExportTable, Job
from facelab.latent.code import Code
from facelab.latent.mixing_table import MixingTable
from facelab.latent.recipe import Recipe
from facelab.ui.panels.table import ExportTableDialog, TablePanel
from facelab.ui.session import Session, State
from facelab.worker import Client
from tests import fakes

Idle = Callable[[], None]
JobsOf = Callable[[type[Job]], list[Job]]


def face(seed: int) -> Recipe:
    return Recipe.of(Code.from_seed(seed, fakes.Z_DIM, fakes.SHA))


@pytest.fixture
def panel(qtbot: QtBot, opened: Session, client: Client) -> TablePanel:
    made = TablePanel(opened, client)
    qtbot.addWidget(made)
    made.resize(690, 460)
    made.show()
    return made


@pytest.fixture
def filled(panel: TablePanel, opened: Session, idle: Idle) -> TablePanel:
    columns, rows = (face(1).change(psi=(0.7,)), face(2)), (face(3), face(4), face(5))
    opened.edit("Table", table=MixingTable(columns=columns, rows=rows, layers=(4, 8)))
    idle()
    return panel


def ws(recipe: Recipe | None) -> np.ndarray:
    assert recipe is not None
    return fakes.ws_of(recipe)


def test_that_a_cell_has_the_rows_layers_and_the_columns_rest(filled: TablePanel, opened: Session) -> None:
    table = opened.state.table
    assert table is not None
    assert [len(row) for row in filled.matrix.cells] == [2, 2, 2]
    for row, of_row in zip(filled.matrix.cells, table.rows, strict=True):
        for view, of_column in zip(row, table.columns, strict=True):
            expected = ws(of_column)
            expected[4:8] = ws(of_row)[4:8]
            np.testing.assert_allclose(ws(view.recipe), expected, atol=1e-6)


def test_that_cells_are_drawn_and_a_click_takes_one(qtbot: QtBot, filled: TablePanel, opened: Session) -> None:
    qtbot.waitUntil(lambda: all(view.pixels is not None for row in filled.matrix.cells for view in row))
    view = filled.matrix.cells[2][1]
    qtbot.mouseClick(view, Qt.MouseButton.LeftButton)
    assert opened.state.recipe == view.recipe


def test_that_random_faces_fill_the_table_and_undo_empties_it(panel: TablePanel, opened: Session, idle: Idle) -> None:
    assert panel.empty.isVisible()
    panel.fill()
    idle()
    table = opened.state.table
    assert table is not None
    assert (len(table.columns), len(table.rows), table.layers) == (5, 3, (0, 4))
    assert panel.matrix.isVisible()
    opened.stack.undo()
    assert panel.empty.isVisible()


def test_that_faces_are_added_replaced_and_removed_at_the_heads(
    filled: TablePanel, opened: Session, idle: Idle
) -> None:
    filled._heads["columns"][-1].dropped.emit(face(8))
    filled._heads["rows"][0].dropped.emit(face(9))
    idle()
    table = opened.state.table
    assert table is not None
    assert table.columns[-1] == face(8)
    assert table.rows == (face(9), face(4), face(5))
    filled._heads["columns"][0].cleared.emit()
    filled._heads["columns"][-1].clicked.emit()  # one random face more
    idle()
    table = opened.state.table
    assert table is not None
    assert table.columns[:2] == (face(2), face(8))
    assert [len(row) for row in filled.matrix.cells] == [3, 3, 3]
    for _ in range(4):
        opened.stack.undo()
    assert [len(row) for row in filled.matrix.cells] == [2, 2, 2]
    assert [view.recipe for view in filled._heads["rows"][:-1]] == [face(3), face(4), face(5)]


def test_that_layers_are_chosen_by_group_and_by_number(filled: TablePanel, opened: Session, idle: Idle) -> None:
    filled._choose_group("fine")
    assert opened.state.table is not None
    assert opened.state.table.layers == (8, 12)
    assert filled.groups.button(2).isChecked()
    filled.first.setValue(2)
    filled.last.setValue(1)
    assert opened.state.table.layers == (1, 2)
    assert filled.first.value() == 1
    filled.first.setValue(7)
    assert opened.state.table.layers == (7, 8)
    assert filled.last.value() == 7
    assert not any(filled.groups.button(i).isChecked() for i in range(3))


def test_that_a_face_of_another_generator_is_refused(filled: TablePanel, opened: Session) -> None:
    before = opened.state
    filled.put("rows", 0, Recipe.of(Code.from_seed(1, fakes.Z_DIM, "00" * 32)))
    assert opened.state is before
    assert "another generator" in filled._messages.text


def test_that_the_table_is_exported_as_it_is_seen(
    qtbot: QtBot, filled: TablePanel, opened: Session, client: Client, idle: Idle, jobs_of: JobsOf, tmp_path: Path
) -> None:
    assert opened.state.table is not None
    dialog = ExportTableDialog(opened, client, opened.state.table, filled)
    dialog.open()
    dialog.path.setText(str(tmp_path / "table.png"))
    dialog.tile.setCurrentIndex(dialog.tile.findData(64))
    dialog._export()
    idle()
    (job,) = jobs_of(ExportTable)
    assert isinstance(job, ExportTable)
    assert (job.columns, job.rows, job.layers) == (opened.state.table.columns, opened.state.table.rows, (4, 8))
    assert (tmp_path / "table.png").exists()


def test_that_the_table_comes_back_with_the_project(filled: TablePanel, opened: Session) -> None:
    assert State.from_json(opened.state.to_json()) == opened.state


def test_that_an_empty_row_of_heads_still_takes_a_face(panel: TablePanel, opened: Session, idle: Idle) -> None:
    panel.put("columns", 0, face(1))
    idle()
    assert panel.matrix.isVisible()
    assert not panel.export_button.isEnabled()
    panel._heads["rows"][-1].dropped.emit(face(2))
    idle()
    assert [len(row) for row in panel.matrix.cells] == [1]
    assert panel.export_button.isEnabled()
