"""The loss of encodings, drawn while they run, beside earlier ones."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, cast

import numpy as np
import numpy.typing as npt
from PySide6.QtCore import QEvent, QPointF, QSize, Qt, QTimer, Signal
from PySide6.QtGui import QColor, QIcon, QPainter, QPen, QPixmap, QResizeEvent
from PySide6.QtWidgets import (
    QComboBox,
    QHBoxLayout,
    QListWidget,
    QListWidgetItem,
    QMenu,
    QStackedWidget,
    QToolButton,
    QVBoxLayout,
    QWidget,
)

from facelab.errors import FacelabError
from facelab.jobs import Answer, Images, Pixels, Project, ProjectionDone, ProjectionStep, Thumbnails, WriteFile
from facelab.latent.code import Code
from facelab.latent.recipe import Recipe
from facelab.runs import is_zero_run, reported
from facelab.ui import theme
from facelab.ui.dialogs import ExportDescentDialog, ask_save, folder, free_name
from facelab.ui.face_view import FaceView
from facelab.ui.panels.base import Panel
from facelab.ui.pixels import pixels_of
from facelab.ui.run_dialogs import ReportDialog
from facelab.ui.session import Session
from facelab.ui.widgets import Elided, EmptyState, button, tool
from facelab.worker import Client, Ticket

if TYPE_CHECKING:  # pyqtgraph takes long to load
    from facelab.ui.plot import Lines, LossPlot

Values = npt.NDArray[np.float64]
WINDOW = 50  # steps of the moving average
UPDATE_MS = 50  # the plot is drawn at most so often
POINTS = 500  # of a curve that are drawn; more cannot be told apart on the screen
NEAR = 10  # px within which the cursor finds a kept step
RUNS = 60  # earlier runs that are offered
HOVER_MS = 60
FIGURE = QSize(1200, 750)  # of an exported plot
LINES = 500  # of a table that are written at a stretch
ROW = Qt.ItemDataRole.UserRole
# Told apart in both themes, by lightness too; the first is the accent's place.
COLOURS = {
    "dark": ("#78aeff", "#ffb454", "#7ddf8c", "#ff8f9f", "#c9a5ff", "#5fd7d7", "#e0d56a"),
    "light": ("#1763d6", "#a85b00", "#197a2c", "#c01f3a", "#7034b8", "#00717a", "#6f6500"),
}


def moving_average(values: Values, window: int = WINDOW) -> Values:
    """The mean of each value and those before it, at most ``window`` in all; values that are missing (NaN) do not count."""
    known = np.isfinite(values)
    sums = np.concatenate([[0.0], np.cumsum(np.where(known, values, 0.0))])
    counts = np.concatenate([[0], np.cumsum(known)])
    ends = np.arange(1, len(values) + 1)
    starts = np.maximum(ends - window, 0)
    count = counts[ends] - counts[starts]
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(count > 0, (sums[ends] - sums[starts]) / count, np.nan)


def thinned(count: int, log: bool, most: int = POINTS) -> npt.NDArray[np.intp]:
    """Which of ``count`` steps are drawn, evenly on the axis that is shown; the first and the last are among them."""
    if count <= most:
        return np.arange(count)
    places = np.geomspace(1, count, most) - 1 if log else np.linspace(0, count - 1, most)
    return np.unique(np.round(places).astype(np.intp))


@dataclass(eq=False)
class Curve:
    """The losses of one run, by term, one value for each step; NaN where none is known.

    Attributes:
        kept: steps whose codes are in the project.
        live: whether it may still grow.
    """

    run: str
    name: str
    colour: int
    terms: dict[str, Values] = field(default_factory=dict)
    kept: set[int] = field(default_factory=set)
    live: bool = False
    loaded: bool = False
    shown: bool = False
    count: int = 0

    def add(self, steps: Sequence[int], losses: Mapping[str, Sequence[float]]) -> None:
        """Take losses; where a run went on from a checkpoint, later ones count."""
        if not steps:
            return
        last = max(steps) + 1
        for term, values in losses.items():
            held = self.terms.get(term, np.empty(0))
            if len(held) < last:
                grown = np.full(max(256, 2 * last), np.nan)
                grown[: len(held)] = held
                self.terms[term] = held = grown
            held[list(steps)] = values
        self.count = max(self.count, last)

    def values(self, term: str) -> Values:
        return self.terms[term][: self.count] if term in self.terms else np.empty(0)

    @property
    def best(self) -> float:
        values = self.values("total")
        return float(np.nanmin(values)) if np.isfinite(values).any() else math.inf


class LossPanel(Panel):
    """Live log-log curves; a click on a kept step takes its face."""

    title: ClassVar[str] = "Loss"
    area: ClassVar = Qt.DockWidgetArea.BottomDockWidgetArea
    hint: ClassVar[str] = "How fast and how far a photograph is found"

    photo_asked = Signal()

    def __init__(self, session: Session, client: Client) -> None:
        super().__init__(session, client)
        self.curves: dict[str, Curve] = {}
        self._lines: dict[str, Lines] = {}
        self._tickets: dict[Ticket, str] = {}
        self._pictures: dict[tuple[str, int], Pixels] = {}
        self._drawing: tuple[Ticket, tuple[str, int]] | None = None
        self._near: tuple[str, int] | None = None
        self.log = True
        self._soon = QTimer(self, interval=UPDATE_MS, singleShot=True)
        self._soon.timeout.connect(self.draw)
        self._hover_soon = QTimer(self, interval=HOVER_MS, singleShot=True)
        self._hover_soon.timeout.connect(self._want_picture)
        self._build()
        client.submitted.connect(self._submitted)
        session.project_changed.connect(self._project_changed)
        session.generator_changed.connect(self._generator_changed)
        if session.generator is not None:
            self._load_runs()  # else when it comes: until then earlier curves are not worth a wait

    # -- building -------------------------------------------------------------------------------------------------------------
    def _build(self) -> None:
        self.term = QComboBox(accessibleName="Term", toolTip="Which term of the loss is drawn")
        self.term.addItem("Total", "total")
        self.term.activated.connect(lambda _: self._redraw())
        self.log_button = QToolButton(text="log", checkable=True, checked=True, toolTip="Logarithmic or linear axes")
        self.log_button.toggled.connect(self.set_log)
        self.fit_button = tool("Show all", "fit", self.fit, tip="Show all of the curves")
        export = tool("Export", "export", tip="Export the plot or its numbers")
        menu = QMenu(export)
        for suffix, text in ((".png", "Picture (PNG)…"), (".svg", "Drawing (SVG)…"), (".csv", "Numbers (CSV)…")):
            menu.addAction(text, partial(self._ask_export, suffix))
        menu.addSeparator()
        menu.addAction("Descent as a video…", self._export_descent)
        menu.addAction("Conformity report…", self._export_report)
        export.setMenu(menu)
        export.setPopupMode(QToolButton.ToolButtonPopupMode.InstantPopup)
        self.note = Elided()  # a long text would make the window wider
        self.note.setProperty("quiet", True)
        self.note.setProperty("small", True)
        bar = QHBoxLayout()
        bar.setContentsMargins(theme.GRID, 2, theme.GRID, 2)
        bar.setSpacing(4)
        for each in (self.term, self.log_button, self.fit_button, export):
            bar.addWidget(each)
        bar.addSpacing(theme.GRID)
        bar.addWidget(self.note, 1)

        self.legend = QListWidget()
        self.legend.setAccessibleName("Runs")
        self.legend.setToolTip("Runs that are drawn; tick earlier ones to compare")
        self.legend.setIconSize(QSize(12, 12))
        self.legend.setProperty("small", True)
        self.legend.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.legend.setTextElideMode(Qt.TextElideMode.ElideMiddle)  # a name's end and the loss behind it stay
        self.legend.itemChanged.connect(self._ticked)
        right = QVBoxLayout()
        right.setContentsMargins(0, 0, 0, 0)
        right.setSpacing(4)
        right.addWidget(self.legend, 1)
        self._middle = QHBoxLayout()
        self._middle.setContentsMargins(0, 0, 0, 0)
        self._middle.setSpacing(0)
        self._middle.addLayout(right)
        page = QWidget()
        rows = QVBoxLayout(page)
        rows.setContentsMargins(0, 0, 0, 0)
        rows.setSpacing(0)
        rows.addLayout(bar)
        rows.addLayout(self._middle, 1)
        self.empty = EmptyState(
            "chart", "While a photograph is encoded, its loss is drawn here, and stays to compare with.",
            button("Encode a photo…", self.photo_asked.emit, icon="photo"),
        )  # fmt: skip
        self.stack = QStackedWidget()
        self.stack.addWidget(self.empty)
        self.stack.addWidget(page)
        self.body.addWidget(self.stack, 1)
        self.setMinimumHeight(140)

    @cached_property
    def plot(self) -> LossPlot:
        """Made when there is a first curve to draw."""
        from facelab.ui.plot import LossPlot

        plot = LossPlot(self.log)
        plot.scene().sigMouseClicked.connect(self._clicked)
        plot.scene().sigMouseMoved.connect(self._moved)
        plot.installEventFilter(self)
        self.picture = FaceView("Face of the step", side=72)
        self.picture.setParent(plot)
        self.picture.hide()
        self._middle.insertWidget(0, plot, 1)
        return plot

    @property
    def _plotted(self) -> bool:
        return "plot" in self.__dict__

    def resizeEvent(self, event: QResizeEvent) -> None:
        super().resizeEvent(event)
        self.legend.setFixedWidth(min(max(self.width() * 2 // 5, 104), 200))

    def changeEvent(self, event: QEvent) -> None:
        super().changeEvent(event)
        if event.type() == QEvent.Type.PaletteChange and self._plotted:
            self.plot.dress()
            for curve in self.curves.values():
                self._colour(curve)

    def _colour_of(self, curve: Curve) -> QColor:
        colours = COLOURS["dark" if theme.is_dark() else "light"]
        return QColor(colours[curve.colour % len(colours)])

    def _colour(self, curve: Curve) -> None:
        colour = self._colour_of(curve)
        lines = self._lines.get(curve.run)
        if lines is not None:
            lines.colour(colour, dashed=is_zero_run(curve.run))
        row = self._row(curve.run)
        if row is not None:
            icon = QIcon(_swatch(colour, None))
            icon.addPixmap(
                _swatch(colour, theme.colours().on_accent), QIcon.Mode.Selected
            )  # not tinted, but seen on the accent
            row.setIcon(icon)

    # -- runs -----------------------------------------------------------------------------------------------------------------
    def _load_runs(self) -> None:
        """Offer the runs of the project; their numbers are read when they are ticked."""
        try:
            rows = self.session.project.runs()[:RUNS]
        except FacelabError as error:
            self.say(error)
            return
        for row in reversed(rows):
            if row.steps_done and row.id not in self.curves:
                self._add(Curve(row.id, row.name, len(self.curves)), row.best)
        if self.curves and not any(c.shown for c in self.curves.values()):
            QTimer.singleShot(
                0, self, partial(self._tick_soon, self.legend.item(0).data(ROW))
            )  # the newest that has steps
        self._show_page()

    def _generator_changed(self, _: object) -> None:
        self._pictures.clear()
        if not self.curves:
            self._load_runs()

    def _project_changed(self, _: object) -> None:
        for lines in self._lines.values():
            for each in lines.items:
                self.plot.removeItem(each)
        self._lines.clear()
        self.curves.clear()
        self._tickets.clear()
        self._pictures.clear()
        self.legend.clear()
        self._load_runs()

    def _add(self, curve: Curve, best: float) -> None:
        self.curves[curve.run] = curve
        row = QListWidgetItem(_words(curve.name, best))
        row.setData(ROW, curve.run)
        row.setFlags(row.flags() | Qt.ItemFlag.ItemIsUserCheckable)
        row.setCheckState(Qt.CheckState.Unchecked)
        self.legend.insertItem(0, row)
        self._colour(curve)

    def _row(self, run: str) -> QListWidgetItem | None:
        for number in range(self.legend.count()):
            if self.legend.item(number).data(ROW) == run:
                return self.legend.item(number)
        return None

    def _show_page(self) -> None:
        self.stack.setCurrentIndex(1 if self.curves else 0)

    def _ticked(self, row: QListWidgetItem) -> None:
        curve = self.curves.get(row.data(ROW))
        shown = row.checkState() == Qt.CheckState.Checked
        if curve is None or curve.shown == shown:
            return
        curve.shown = shown
        if shown and not curve.loaded and not curve.live:
            self._read(curve)
        lines = self._lines_of(curve)
        for each in lines.items:
            each.setVisible(shown)
        self._redraw()
        self.fit()

    def _read(self, curve: Curve) -> None:
        try:
            losses = self.session.project.losses(curve.run)
            curve.kept = set(self.session.project.kept_steps(curve.run))
        except FacelabError as error:
            self.say(error)
            return
        for term, values in losses.items():
            curve.add(range(len(values)), {term: values.tolist()})
        curve.loaded = True
        self._offer(curve.terms)

    def _lines_of(self, curve: Curve) -> Lines:
        from facelab.ui.plot import Lines

        lines = self._lines.get(curve.run)
        if lines is None:
            lines = self._lines[curve.run] = Lines(self.plot, self.log)
            self._colour(curve)
        return lines

    def _offer(self, terms: Mapping[str, object]) -> None:
        known = {self.term.itemData(i) for i in range(self.term.count())}
        for term in terms:
            if term not in known:
                self.term.addItem(term.replace("_", " ").capitalize(), term)

    # -- live -----------------------------------------------------------------------------------------------------------------
    def _submitted(self, ticket: Ticket) -> None:
        job = ticket.job
        if not isinstance(job, Project):
            return
        curve = self.curves.get(job.run)
        if curve is None:
            curve = Curve(job.run, job.name or "a photograph", len(self.curves))
            self._add(curve, math.inf)
        elif not curve.loaded:
            self._read(curve)
        curve.live = True
        self._tickets[ticket] = job.run
        ticket.answered.connect(self._answered)
        ticket.closed.connect(self._closed)
        QTimer.singleShot(0, self, partial(self._tick_soon, job.run))
        self._show_page()

    def _tick_soon(self, run: str) -> None:
        """Tick a run, with the plot there already: to make that, and what draws in it, at once would take too long."""
        _ = self.plot
        QTimer.singleShot(0, self, partial(self._tick, run))

    def _tick(self, run: str) -> None:
        row = self._row(run)
        if row is not None:
            row.setCheckState(Qt.CheckState.Checked)

    def _answered(self, answer: Answer) -> None:
        curve = self.curves.get(self._tickets.get(cast(Ticket, self.sender()), ""))
        if curve is None:
            return
        if isinstance(answer, ProjectionStep):
            first = not curve.count
            curve.add(answer.steps, answer.losses)
            if answer.kept:
                curve.kept.add(answer.steps[-1])
            self._offer(answer.losses)
            if not self._soon.isActive():
                self._soon.start()
            if first:
                self.fit()
        elif isinstance(answer, ProjectionDone):
            self._soon.start()

    def _closed(self, _: str) -> None:
        curve = self.curves.get(self._tickets.pop(cast(Ticket, self.sender()), ""))
        if curve is not None:
            curve.live, curve.loaded = False, True
            self.draw()

    def draw(self) -> None:
        """Draw what has changed."""
        term = self.term.currentData()
        for curve in self.curves.values():
            if not curve.shown:
                continue
            lines, values = self._lines_of(curve), curve.values(term)
            places = thinned(len(values), self.log)
            x, mean = places + 1.0, moving_average(values)[places]
            # Zero and below have no logarithm: they are left out, not lifted.
            fit = np.isfinite(values[places]) & ((values[places] > 0) | (not self.log))
            lines.raw.setData(x[fit], values[places][fit])
            fit = np.isfinite(mean) & ((mean > 0) | (not self.log))
            lines.mean.setData(x[fit], mean[fit])
            self._draw_kept(curve, lines, values)
            row = self._row(curve.run)
            if row is not None and curve.live:
                row.setText(_words(curve.name, curve.best))

    def _draw_kept(self, curve: Curve, lines: Lines, values: Values) -> None:
        mean = moving_average(values)
        steps = np.array(sorted(s for s in curve.kept if s < len(values)), np.intp)
        x, y = steps + 1.0, mean[steps] if len(steps) else np.empty(0)
        fit = np.isfinite(y) & ((y > 0) | (not self.log))
        x, y = x[fit], y[fit]
        lines.kept.setData(np.log10(x) if self.log else x, np.log10(y) if self.log else y)

    def _redraw(self) -> None:
        self._soon.stop()
        self.draw()
        self.fit()

    def set_log(self, log: bool) -> None:
        """Logarithmic axes, or linear ones."""
        self.log = log
        self.plot.setLogMode(log, log)
        self._redraw()

    def fit(self) -> None:
        """Show all of the curves, and follow them while they grow."""
        self.plot.enableAutoRange()

    # -- pointing ---------------------------------------------------------------------------------------------------------------
    def nearest(self, position: QPointF) -> tuple[str, int, float] | None:
        """The run, step and value nearest to a point of the scene; a kept step within reach comes first."""
        box = self.plot.box
        best: tuple[float, str, int, float] | None = None
        for curve in self.curves.values():
            values = moving_average(curve.values(self.term.currentData())) if curve.shown else np.empty(0)
            if not len(values):
                continue
            at = box.mapSceneToView(position)
            here = 10 ** at.x() if self.log else at.x()
            steps = {int(min(max(round(here) - 1, 0), len(values) - 1))}
            steps |= {s for s in curve.kept if s < len(values) and self._away(position, s, None) <= NEAR}
            for step in steps:
                if not math.isfinite(values[step]) or (self.log and values[step] <= 0):
                    continue
                away = self._away(position, step, float(values[step]))
                away -= NEAR if step in curve.kept else 0
                if best is None or away < best[0]:
                    best = (away, curve.run, step, float(values[step]))
        return None if best is None else best[1:]

    def _away(self, position: QPointF, step: int, value: float | None) -> float:
        """Pixels between a point of the scene and a step; across only, without a value."""
        x = math.log10(step + 1) if self.log else step + 1
        y = 0.0 if value is None else math.log10(value) if self.log else value
        there = self.plot.scene_point(x, y)
        return (
            abs(there.x() - position.x())
            if value is None
            else math.hypot(there.x() - position.x(), there.y() - position.y())
        )

    def _moved(self, position: QPointF) -> None:
        inside = self.plot.box.sceneBoundingRect().contains(position)
        found = self.nearest(position) if inside else None
        if found is None:
            self._forget_hover()
            return
        run, step, value = found
        curve = self.curves[run]
        x, y = step + 1.0, value
        self.plot.point_at(math.log10(x) if self.log else x, math.log10(y) if self.log else y)
        kept = step in curve.kept
        raw = curve.values(self.term.currentData())[step]
        said = f"step {step + 1:,}   loss {raw:.4g}   mean {value:.4g}"  # first what is read again and again: room may be short
        self.note.setText(said + ("   click to take this face" if kept else "") + f"   {curve.name}")
        self.plot.setCursor(Qt.CursorShape.PointingHandCursor if kept else Qt.CursorShape.CrossCursor)
        near = (run, step) if kept else None
        if near != self._near:
            self._near = near
            self.picture.hide()
            if near is not None:
                self._hover_soon.start()

    def _forget_hover(self) -> None:
        self._near = None
        self.note.setText("")
        if self._plotted:
            self.picture.hide()
            self.plot.point_nowhere()

    def eventFilter(self, watched: object, event: QEvent) -> bool:
        if event.type() == QEvent.Type.Leave:
            self._forget_hover()
        return False

    def _clicked(self, event: object) -> None:
        found = self.nearest(event.scenePos())  # type: ignore[attr-defined]
        if found is not None and found[1] in self.curves[found[0]].kept:
            self.take(found[0], found[1])

    def _recipe(self, run: str, step: int) -> Recipe | None:
        """The face of a kept step."""
        row = next((r for r in self.session.project.runs() if r.id == run), None)
        info = self.session.generator
        if row is None or info is None or row.generator != info.sha256:
            self.say("this run belongs to another generator; open that one to see its faces")
            return None
        ws = self.session.project.kept(run, step)
        origin = {"photo": row.name, "run": run, "step": step}
        return Recipe.of(Code(array=ws, space="w+" if ws.ndim == 2 else "w", generator=row.generator, origin=origin))

    def take(self, run: str, step: int) -> None:
        """Make the face of a kept step the current one."""
        try:
            recipe = self._recipe(run, step)
        except FacelabError as error:
            self.say(error)
            return
        if recipe is not None:
            self.unsay()
            self.session.take(recipe, f"Take step {step + 1}")

    def _want_picture(self) -> None:
        """Draw the face of the step under the cursor, once."""
        near, info = self._near, self.session.generator
        if near is None or info is None:
            return
        if near in self._pictures:
            self._show_picture(near)
            return
        if self._drawing is not None:
            return  # asked again when that one is done
        try:
            recipe = self._recipe(*near)
        except FacelabError:
            return  # a step that is not written yet has no picture; a click says so
        if recipe is not None:
            ticket = self.client.submit(Thumbnails(recipes=(recipe,), resolution=min(64, info.resolution)))
            self._drawing = ticket, near
            ticket.answered.connect(self._drawn)
            ticket.failed.connect(self.say)
            ticket.closed.connect(self._drawing_closed)

    def _drawn(self, answer: Answer) -> None:
        if isinstance(answer, Images) and self._drawing is not None:
            if len(self._pictures) > 400:
                self._pictures.clear()
            self._pictures[self._drawing[1]] = answer.pixels[0]
            if self._near == self._drawing[1]:
                self._show_picture(self._near)

    def _drawing_closed(self, _: str) -> None:
        done, self._drawing = self._drawing, None
        if done is not None and self._near not in (None, done[1]):
            self._want_picture()

    def _show_picture(self, near: tuple[str, int]) -> None:
        self.picture.set_pixels(self._pictures[near])
        x = self.plot.scene_point(math.log10(near[1] + 1) if self.log else near[1] + 1, 0).x()
        left = x + 10 if x + 92 < self.plot.width() else x - 82
        self.picture.move(round(left), 8)
        self.picture.show()

    # -- export -----------------------------------------------------------------------------------------------------------------
    def _ask_export(self, suffix: str) -> None:
        name = {".png": "Pictures (*.png)", ".svg": "Drawings (*.svg)", ".csv": "Tables (*.csv)"}[suffix]
        ask_save(self, "Export the loss", name, free_name(folder() / f"loss{suffix}"), self.export)

    def _export_descent(self) -> None:
        """The run that is chosen in the legend, or else the newest that is drawn."""
        row = self.legend.currentItem()
        shown = [c.run for c in self.curves.values() if c.shown]
        name = row.data(ROW) if row is not None else shown[-1] if shown else None
        try:
            found = next((r for r in self.session.project.runs() if r.id == name), None)
        except FacelabError as error:
            self.say(error)
            return
        info = self.session.generator
        if found is None:
            self.say("choose a run in the list first")
        elif info is None or found.generator != info.sha256:
            self.say("this run belongs to another generator; open that one to play it")
        else:
            ExportDescentDialog(self.session, self.client, found, self).open()

    def _export_report(self) -> None:
        info = self.session.generator
        if info is None:
            return
        try:
            rows = reported(self.session.project, info.sha256)
        except FacelabError as error:
            self.say(error)
            return
        ReportDialog(self.session, self.client, rows, self).open()

    def export(self, path: Path) -> None:
        """Write the plot as .png or .svg, or the numbers of the shown runs as .csv, by the suffix."""
        self._forget_hover()
        self._make(self._csv() if path.suffix == ".csv" else self._figure(path.suffix), path)

    def _make(self, making: Generator[None, None, bytes | Pixels], path: Path) -> None:
        """A part of a file at a time, so that the window goes on meanwhile; a side thread writes it."""
        try:
            next(making)
        except StopIteration as made:
            self.submit(WriteFile(path=path, data=made.value))
        else:
            QTimer.singleShot(0, self, partial(self._make, making, path))

    def _figure(self, suffix: str) -> Generator[None, None, bytes | Pixels]:
        """The curves and the range that are shown, as they leave the window."""
        from facelab.ui.plot import Figure

        title = "loss" if self.term.currentData() == "total" else self.term.currentText()
        shown = [
            (c, c.values(self.term.currentData()).copy(), COLOURS["light"][c.colour % len(COLOURS["light"])])
            for c in self.curves.values() if c.shown
        ]  # fmt: skip
        figure = Figure(FIGURE, self.log, title)
        try:
            yield
            figure.look_at(self.plot)
            yield
            for curve, values, colour in shown:
                places = thinned(len(values), figure.log)
                both = values[places], moving_average(values)[places]
                figure.draw(_words(curve.name, curve.best), QColor(colour), is_zero_run(curve.run), places + 1.0, *both)
                yield
            return figure.as_svg("Loss by step") if suffix == ".svg" else pixels_of(figure.as_picture())
        finally:
            figure.close()
            figure.deleteLater()

    def _csv(self) -> Generator[None, None, bytes | Pixels]:
        shown = [
            (c.run, c.name, c.count, {t: c.values(t).copy() for t in c.terms}) for c in self.curves.values() if c.shown
        ]
        terms = sorted({t for *_, own in shown for t in own}, key=lambda t: (t != "total", t))
        text = io.StringIO(newline="")
        writer = csv.writer(text)
        writer.writerow(["run", "name", "step", *terms])
        for run, name, count, own in shown:
            for step in range(count):
                values = [own[t][step] if t in own else math.nan for t in terms]
                if any(math.isfinite(v) for v in values):
                    writer.writerow([run, name, step + 1, *("" if math.isnan(v) else f"{v:.8g}" for v in values)])
                if step % LINES == LINES - 1:
                    yield
        return text.getvalue().encode()


def _swatch(colour: QColor, edge: str | None) -> QPixmap:
    """A spot in a curve's colour."""
    made = QPixmap(24, 24)
    made.fill(Qt.GlobalColor.transparent)
    painter = QPainter(made)
    painter.setRenderHint(QPainter.RenderHint.Antialiasing)
    painter.setBrush(colour)
    painter.setPen(Qt.PenStyle.NoPen if edge is None else QPen(QColor(edge), 3))
    painter.drawEllipse(2, 2, 20, 20)
    painter.end()
    return made


def _words(name: str, best: float) -> str:
    return f"{name}  {best:.3g}" if math.isfinite(best) else name
