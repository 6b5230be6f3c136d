"""The log-log plot that the loss panel draws in.

A module of its own, since pyqtgraph takes as long to load as a third of the window: it is loaded with the first curve.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import cast

import numpy as np
import numpy.typing as npt
import pyqtgraph as pg
from PySide6.QtCore import QBuffer, QPointF, QSize, Qt
from PySide6.QtGui import QColor, QFont, QImage, QPainter
from PySide6.QtSvg import QSvgGenerator

from facelab.ui import theme

Values = npt.NDArray[np.floating]


def ticks(low: float, high: float, pixels: float, apart: float) -> tuple[list[float], list[float]]:
    """Ticks of a logarithmic axis: those with a label and those without.

    Args:
        low, high: the range, in powers of ten.
        pixels: its length on the screen.
        apart: pixels that a label needs.

    Returns:
        Two lists of powers of ten. Labels never come closer than ``apart``: 1 of each (or each few) decades, 1-3, 1-2-5, 1 to 9,
        or a linear scale within less than a decade, whatever is finest.
    """
    span = max(high - low, 1e-9)
    scale = pixels / span
    ladders: list[Sequence[float]] = [(1,), (1, 3), (1, 2, 5), tuple(range(1, 10))]
    fit = [m for m in ladders if min(np.diff(np.log10([*m, 10]))) * scale >= apart]
    every = 1
    while not fit and every * scale < apart:
        every += 1
    decades = range(math.floor(low), math.ceil(high) + 1)
    labelled = [d + math.log10(m) for d in decades if d % every == 0 for m in (fit[-1] if fit else (1,))]
    bare = [d + math.log10(m) for d in decades for m in range(1, 10)] if every == 1 else [float(d) for d in decades]
    inside = [t for t in labelled if low <= t <= high]
    if len(inside) < 3 and span < 1:
        finer: list[float] = []
        for value in _linear(10**low, 10**high, max(2, int(2 * pixels // apart))):
            tick = math.log10(value)
            if not finer or (tick - finer[-1]) * scale >= apart:
                finer.append(tick)
        inside = finer if len(finer) > len(inside) else inside
    taken = set(inside)
    return inside, [t for t in bare if low <= t <= high and t not in taken]


def _linear(low: float, high: float, most: int) -> list[float]:
    """Round numbers between two, at most ``most``."""
    raw = (high - low) / most
    unit = 10 ** math.floor(math.log10(max(raw, 1e-300)))
    step = next(unit * m for m in (1, 2, 5, 10) if unit * m >= raw)
    first = math.ceil(low / step)
    return [n * step for n in range(first, math.floor(high / step) + 1) if n > 0]


class LogAxis(pg.AxisItem):  # type: ignore[misc]
    """An axis whose labels never overlap, however few decades it spans (pyqtgraph's own write every minor one)."""

    def _apart(self) -> float:
        return 44.0 if self.orientation == "bottom" else 20.0

    def tickValues(self, minVal: float, maxVal: float, size: float) -> list[tuple[float | None, list[float]]]:
        if not self.logMode:
            return cast("list[tuple[float | None, list[float]]]", super().tickValues(minVal, maxVal, size))
        low, high = min(minVal, maxVal), max(minVal, maxVal)
        if not (math.isfinite(low) and math.isfinite(high)) or high - low > 60:
            return []
        labelled, bare = ticks(low, high, max(size, 1), self._apart())
        return [(1.0, labelled), (None, bare)]

    def tickStrings(self, values: Sequence[float], scale: float, spacing: float | None) -> list[str]:
        if not self.logMode:
            return cast("list[str]", super().tickStrings(values, scale, spacing))
        return ["" if spacing is None else f"{10**v:.6g}" for v in values]


class Lines:
    """What draws one curve: its values, their moving average, and the steps that are kept."""

    def __init__(self, plot: LossPlot, log: bool) -> None:
        self.raw, self.mean, self.kept = pg.PlotDataItem(), pg.PlotDataItem(), pg.ScatterPlotItem(size=6)
        for each in (self.raw, self.mean):
            each.setLogMode(log, log)
        for each in self.items:
            plot.addItem(each)

    @property
    def items(self) -> tuple[pg.GraphicsObject, ...]:
        return self.raw, self.mean, self.kept

    def colour(self, colour: QColor, dashed: bool) -> None:
        """Give them a colour; the values themselves are drawn faintly."""
        faint = QColor(colour)
        faint.setAlpha(75)
        self.raw.setPen(pg.mkPen(faint, width=1))
        style = Qt.PenStyle.DashLine if dashed else Qt.PenStyle.SolidLine
        self.mean.setPen(pg.mkPen(colour, width=2, style=style))
        self.kept.setBrush(pg.mkBrush(colour))
        self.kept.setPen(pg.mkPen(theme.colours().panel, width=1))


class LossPlot(pg.PlotWidget):  # type: ignore[misc]
    """Losses over steps, with a rule and a spot for what is pointed at."""

    def __init__(self, log: bool) -> None:
        super().__init__(axisItems={"bottom": LogAxis("bottom"), "left": LogAxis("left")}, enableMenu=False)
        self.hideButtons()
        self.setLogMode(log, log)
        self.setAccessibleName("Loss by step")
        item = self.getPlotItem()
        item.setContentsMargins(0, 6, 10, 0)
        for side in ("left", "bottom"):
            item.getAxis(side).setStyle(tickLength=4)
        item.getAxis("left").setWidth(52)
        self.rule = pg.InfiniteLine(angle=90, movable=False)
        self.spot = pg.ScatterPlotItem(size=10)
        for each in (self.rule, self.spot):
            each.setZValue(50)
            each.hide()
            item.addItem(each, ignoreBounds=True)
        self.dress()

    @property
    def box(self) -> pg.ViewBox:
        """What maps between the scene's points and the axes' values."""
        return self.getPlotItem().vb

    def dress(self) -> None:
        """Give everything the theme's colours."""
        c = theme.colours()
        self.setBackground(c.panel)
        font = QFont(self.font())
        font.setPixelSize(11)
        for side in ("left", "bottom"):
            axis = self.getPlotItem().getAxis(side)
            axis.setPen(pg.mkPen(c.edge))
            axis.setTextPen(pg.mkPen(c.quiet))
            axis.setTickFont(font)
            axis.setGrid(40)
        self.rule.setPen(pg.mkPen(c.quiet, width=1, style=Qt.PenStyle.DashLine))
        self.spot.setBrush(pg.mkBrush(c.text))
        self.spot.setPen(pg.mkPen(c.panel, width=2))

    def point_at(self, x: float, y: float) -> None:
        """Put the rule and the spot at a point of the axes, in powers of ten where they are logarithmic."""
        self.rule.setPos(x)
        self.spot.setData([x], [y])
        self.rule.show()
        self.spot.show()

    def point_nowhere(self) -> None:
        self.rule.hide()
        self.spot.hide()

    def scene_point(self, x: float, y: float) -> QPointF:
        """The scene's point of values of the axes, in powers of ten where they are logarithmic."""
        return cast(QPointF, self.box.mapViewToScene(QPointF(x, y)))


class Figure(pg.PlotWidget):  # type: ignore[misc]
    """A plot as it leaves the window: dark on white, of a size for a page, labelled, with a legend; never seen on the screen."""

    def __init__(self, size: QSize, log: bool, title: str) -> None:
        super().__init__(axisItems={"bottom": LogAxis("bottom"), "left": LogAxis("left")}, enableMenu=False)
        self.setAttribute(Qt.WidgetAttribute.WA_DontShowOnScreen)
        self.resize(size)
        self.setBackground("#ffffff")
        self.setLogMode(log, log)
        self.log = log
        ink = QColor("#1a1a1a")
        item = self.getPlotItem()
        item.hideButtons()
        item.setContentsMargins(8, 12, 16, 8)
        item.addLegend(offset=(-16, 16), labelTextColor=ink, brush=pg.mkBrush("#ffffffd0"), pen=pg.mkPen("#d0d0d0"))
        item.setLabel("bottom", "step", color=ink.name())
        item.setLabel("left", title, color=ink.name())
        for side in ("left", "bottom"):
            axis = item.getAxis(side)
            axis.setPen(pg.mkPen("#b0b0b0"))
            axis.setTextPen(pg.mkPen(ink))
            axis.setGrid(40)

    def draw(self, name: str, colour: QColor, dashed: bool, x: Values, raw: Values, mean: Values) -> None:
        """Draw a curve: its values faintly, and their moving average under its name."""
        faint = QColor(colour)
        faint.setAlpha(90)
        style = Qt.PenStyle.DashLine if dashed else Qt.PenStyle.SolidLine
        for y, pen, said in (
            (raw, pg.mkPen(faint, width=1), None),
            (mean, pg.mkPen(colour, width=2, style=style), name),
        ):
            fit = np.isfinite(y) & ((y > 0) | (not self.log))
            self.getPlotItem().plot(x[fit], y[fit], pen=pen, name=said)

    def look_at(self, plot: LossPlot) -> None:
        """Show the range that another plot shows."""
        across, up = plot.box.viewRange()
        self.setRange(xRange=across, yRange=up, padding=0)
        self.show()

    def as_picture(self) -> QImage:
        """The figure as a picture."""
        image = QImage(self.size(), QImage.Format.Format_RGB32)
        painter = QPainter(image)
        self.render(painter)
        painter.end()
        return image

    def as_svg(self, title: str) -> bytes:
        """The figure as a drawing."""
        buffer = QBuffer()
        drawing = QSvgGenerator()
        drawing.setOutputDevice(buffer)
        drawing.setSize(self.size())
        drawing.setViewBox(self.rect())
        drawing.setTitle(title)
        painter = QPainter(drawing)
        self.render(painter)
        painter.end()
        return bytes(buffer.data().data())
