"""The window: its panels, menus, toolbar and status line, and what the commands do."""

from __future__ import annotations

import logging
import random
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from pathlib import Path
from typing import TypeVar

import numpy as np
from PySide6.QtCore import QMimeData, QSize, Qt, QTimer
from PySide6.QtGui import (
    QAction,
    QActionGroup,
    QCloseEvent,
    QDragEnterEvent,
    QDragLeaveEvent,
    QDropEvent,
    QKeySequence,
    QUndoCommand,
)
from PySide6.QtWidgets import (
    QApplication,
    QLabel,
    QMainWindow,
    QMenu,
    QMessageBox,
    QSizePolicy,
    QToolBar,
    QToolButton,
    QWidget,
)
from shiboken6 import isValid

from facelab import assets, jobs, runs
from facelab.errors import FacelabError
from facelab.jobs import Answer, GeneratorInfo
from facelab.latent.as_python import as_python
from facelab.latent.code import Floats
from facelab.latent.recipe import Recipe
from facelab.project import Project
from facelab.ui import dialogs, theme
from facelab.ui.about import AboutDialog
from facelab.ui.catalogue import CatalogueDialog
from facelab.ui.commands import CommandPalette, ShortcutSheet, actions_of
from facelab.ui.dragging import recipe_mime
from facelab.ui.generators import Generators
from facelab.ui.intake import Intake
from facelab.ui.layout import Layout
from facelab.ui.messages import MessageBar
from facelab.ui.numbers import Whole
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
from facelab.ui.status_line import StatusLine
from facelab.ui.tune_dialog import tune
from facelab.ui.widgets import Wait, tool
from facelab.worker import Client, Ticket

BRING_MS = 800  # a long job that takes longer brings the list of jobs up

log = logging.getLogger(__name__)

P = TypeVar("P", bound=Panel)


class MainWindow(QMainWindow):
    """The one window of facelab.

    It shows at once; `start` then opens a generator, and until that is there the panels say that it loads. With
    ``own_layout`` its size and docks are those that the person left, and are kept for the next time.
    """

    def __init__(self, session: Session, client: Client, *, own_layout: bool = True) -> None:
        super().__init__()
        self.session, self.client = session, client
        self.setAcceptDrops(True)
        self._sure = False

        self._build_panels(own_layout)
        session.changed.connect(self._show_state)
        self.status_line = StatusLine(session, client)
        self.setStatusBar(self.status_line)
        self._build_ways_in()
        self._build_actions()
        self._build_menus()
        self._build_toolbar()
        self.places.restore()

        session.generator_changed.connect(self._generator_changed)
        session.project_changed.connect(lambda _: self._retitle())
        session.settings_changed.connect(self._settings_changed)
        session.project_failed.connect(self.say)
        session.files_offered.connect(self.intake.open)
        client.submitted.connect(self._submitted)
        self._retitle()
        self._generator_changed(session.generator)

    # -- panels -----------------------------------------------------------------------------------------------------
    def _build_panels(self, own_layout: bool) -> None:
        self.panels: dict[type[Panel], Panel] = {kind: kind(self.session, self.client) for kind in PANELS}
        self._messages = MessageBar()
        self._dock_actions: dict[type[Panel], QAction] = {}
        self.places = Layout(
            self, self.panels, self._messages, lambda: bool(self.panel(JobsPanel).running()), own=own_layout
        )
        self.places.moved.connect(self._show_docks)
        self.tabs, self.docks = self.places.tabs, self.places.docks
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

    def _build_ways_in(self) -> None:
        self.generators = Generators(self.session, self.client, self)
        self.generators.changed.connect(self._show_chip)
        self.intake = Intake(self.session, self.client, self)
        self.intake.photos.connect(lambda paths: self.show_panel(EncodePanel).open_photos(paths))
        self.intake.generator.connect(self.generators.open)
        self.intake.project.connect(self.open_project)
        self.intake.faces.connect(self._keep_all)
        for each in (self.generators, self.intake):
            each.failed.connect(self.say)
            each.noted.connect(self.status_line.note)

    def panel(self, kind: type[P]) -> P:
        """The panel of a class."""
        found = self.panels[kind]
        assert isinstance(found, kind)
        return found

    def show_panel(self, kind: type[P]) -> P:
        """Bring a panel to the front."""
        self.places.to_front(kind)
        return self.panel(kind)

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
        self.embedded = make("&Embedded generator", lambda: self.generators.open(None))
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
        self.reset_layout = make("&Reset layout", self.places.reset)
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
            action = self._action(kind.title, partial(self.places.toggle, kind), keys)
            action.setCheckable(True)
            self._dock_actions[kind] = action
        else:
            action = self._action(kind.title, partial(self.tabs.setCurrentWidget, panel), keys)
        action.setToolTip(kind.hint)
        return action

    def _show_docks(self) -> None:
        for kind, action in self._dock_actions.items():
            action.setChecked(not self.docks[kind].isHidden())

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
        self._add_recent(menu, self.session.settings.recent_generators, self.generators.open)
        menu.addSeparator()
        menu.addAction(self.save_generator)
        menu.addAction(self.about_generator)

    def _show_chip(self) -> None:
        info = self.session.generator
        if self.generators.opening is not None:
            text = f"Loading {self.generators.opening}…"
            tip = "The generator is being loaded; everything else can be used meanwhile"
        elif info is None:
            text, tip = "No generator", "Choose a generator"
        else:
            text = f"{info.name}  ·  {info.resolution} px  ·  {info.device.upper()}"
            tip = f"{info.name}: {info.family}, {info.num_ws} layers, {info.precision}; click for others"
        self.chip.setText(f" {text}")
        self.chip.setAccessibleName(f"Generator: {text}")
        self.chip.setToolTip(tip)
        self._wait.setVisible(self.generators.opening is not None)

    def say(self, error: object) -> None:
        """Show an error that belongs to no panel."""
        self._messages.say(error)

    # -- following the session --------------------------------------------------------------------------------------
    def _show_state(self, state: State, before: State | None = None) -> None:
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

    def _generator_changed(self, info: GeneratorInfo | None) -> None:
        self._show_chip()
        self._show_state(self.session.state)

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
        if isinstance(ticket.job, jobs.Project | jobs.Tune):
            self.places.bring_up(LossPanel, JobsPanel)
        elif ticket.job.kind == "long":
            wait = QTimer(ticket, singleShot=True, interval=BRING_MS)
            wait.timeout.connect(lambda: self.places.bring_up(JobsPanel) if ticket.open and isValid(self) else None)
            wait.start()

    # -- the generator ----------------------------------------------------------------------------------------------
    def start(self) -> None:
        """Open the first generator."""
        self.generators.open_first()

    def _ask_open_generator(self) -> None:
        dialogs.ask_open(self, "Open generator", dialogs.GENERATOR_FILTER, lambda paths: self.generators.open(paths[0]))

    def _show_catalogue(self) -> None:
        dialog = CatalogueDialog(self.session, self.client, self)
        dialog.chosen.connect(self.generators.open)
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
            ticket.answered.connect(lambda _: self.status_line.note(f"Saved {path.name}"))

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
            self.status_line.note("Kept in the library: F2 names it there, a double-click takes it again")

    def _copy(self) -> None:
        recipe = self.session.state.recipe
        if recipe is not None:
            QApplication.clipboard().setMimeData(recipe_mime(recipe, self.panel(PreviewPanel).pixels))
            self.status_line.note("Copied the picture")

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
        self.status_line.note(f"Copied {text.count(chr(10))} lines of Python that draw this face")

    def _paste(self) -> None:
        self._take_in(QApplication.clipboard().mimeData(), "Paste face")

    def _take_in(self, mime: QMimeData, text: str) -> bool:
        self._messages.hide()  # what was wrong with the last is no matter any more
        return self.intake.take(mime, text)

    def _keep_all(self, recipes: Sequence[Recipe], name: str) -> None:
        """Put the faces of a file into the library."""
        library = self.show_panel(LibraryPanel)
        for number, recipe in enumerate(recipes, 1):
            library.keep(recipe, f"{name} {number}")

    def _ask_photo(self) -> None:
        dialogs.ask_open(self, "Import photographs", dialogs.PHOTO_FILTER, self.intake.open, many=True)

    def _ask_faces(self) -> None:
        filters = "Faces and latents (*.face.safetensors *.safetensors *.png *.npy *.npz *.pt);;All files (*)"
        dialogs.ask_open(self, "Import faces", filters, self.intake.open, many=True)

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
        dialog.written.connect(lambda path: self.status_line.note(f"Saved {path.name}"))
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
        ticket.answered.connect(lambda _: self.status_line.note(f"Saved {path.name}"))

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
        kept = self.session.settings.remember("recent_projects", project.path).recent_projects
        self._configure(recent_projects=kept, last_project=str(project.path))
        self.status_line.note(f"Opened {project.path.name}")

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
        self._add_recent(self._recent_generators, self.session.settings.recent_generators, self.generators.open)
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
            self.status_line.note("Drop a photograph to encode it; a face, a generator or a project to open it")

    def dragLeaveEvent(self, event: QDragLeaveEvent) -> None:
        self.status_line.unsay()

    def dropEvent(self, event: QDropEvent) -> None:
        self.status_line.unsay()
        if self._take_in(event.mimeData(), "Drop face"):
            event.acceptProposedAction()

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
        self.status_line.stop()
        self.places.save()
        self.client.close()
        try:
            self.session.close()
        except FacelabError as error:
            log.error("closing the project: %s", error)
        super().closeEvent(event)

    def _quit_for_sure(self) -> None:
        self._sure = True
        self.close()


def _spring() -> QWidget:
    made = QWidget()
    made.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Preferred)
    made.setFixedHeight(1)
    return made


def _retext(action: QAction, text: str, tip: str, what: str) -> None:
    keys = action.shortcut().toString(QKeySequence.SequenceFormat.NativeText)
    action.setText(f"{text} {what[:1].lower()}{what[1:]}" if what else text)
    action.setToolTip(f"{tip} {what[:1].lower()}{what[1:]} ({keys})" if what else f"{tip} ({keys})")
