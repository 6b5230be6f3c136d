"""Where the panels stand: docks with their bars, tabs in the middle, the shares of the sides, and the file that remembers it."""

from __future__ import annotations

import base64
import binascii
import contextlib
import json
from collections.abc import Callable, Mapping
from pathlib import Path

import platformdirs
from PySide6.QtCore import QByteArray, QEvent, QObject, QSize, Qt, QTimer, Signal
from PySide6.QtWidgets import (
    QDockWidget,
    QHBoxLayout,
    QMainWindow,
    QSizePolicy,
    QTabWidget,
    QToolButton,
    QVBoxLayout,
    QWidget,
)

from facelab.errors import FacelabError
from facelab.files import replacing
from facelab.ui import theme
from facelab.ui.panels import Panel
from facelab.ui.widgets import as_panel, heading, tool

VERSION = 1  # of the docks' saved state; one of another version is not restored
FIRST_SIZE, FIRST_SHARE = QSize(1280, 800), 0.85  # of a screen that is larger
MIDDLE = QSize(520, 240)  # the smallest middle
LEFT, RIGHT, BOTTOM = 216, 400, 176  # px, of the dock areas at first, in the smallest window
LEFT_SHARE, RIGHT_SHARE, BOTTOM_SHARE = 0.14, 0.29, 0.22  # of a larger one

Side = Qt.DockWidgetArea


def layout_file() -> Path:
    """Where the window remembers its size and docks."""
    return platformdirs.user_state_path("facelab", appauthor=False) / "window.json"


class Layout(QObject):
    """The panels of a window in their places.

    Signals:
        moved: a dock came or went.

    Attributes:
        tabs: the panels in the middle; docks: the others, by class.
    """

    moved = Signal()

    def __init__(
        self,
        window: QMainWindow,
        panels: Mapping[type[Panel], Panel],
        above: QWidget,
        at_work: Callable[[], bool],
        *,
        own: bool,
    ) -> None:
        """
        Args:
            above: what stands over the middle.
            at_work: whether there is anything for the docks at the bottom to show.
            own: whether the person's own layout is restored, and kept for the next time.
        """
        super().__init__(window)
        self._window, self._panels, self._at_work, self._own = window, panels, at_work, own
        self._shares: dict[Qt.DockWidgetArea, float] = {}  # of the width, that the sides have
        self._measured_at = 0  # px, the width of the window when they were measured
        self._brought: set[type[Panel]] = set()  # docks that came up by themselves; closed, they stay closed
        self._first_show = True
        self._prepare_window()
        self.tabs = QTabWidget()
        self.tabs.setDocumentMode(True)
        self.tabs.setMinimumSize(MIDDLE)
        self.tabs.setAccessibleName("Panels in the middle")
        middle = QWidget()
        as_panel(middle)
        column = QVBoxLayout(middle)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(0)
        column.addWidget(above)
        column.addWidget(self.tabs, 1)
        window.setCentralWidget(middle)
        self.docks: dict[type[Panel], QDockWidget] = {}
        for kind, panel in panels.items():
            if kind.area == "centre":
                # A wide page must not take the docks' room: the middle has a smallest width of its own.
                panel.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Ignored)
                index = self.tabs.addTab(panel, kind.title)
                self.tabs.setTabToolTip(index, kind.hint)
            else:
                self.docks[kind] = self._dock(kind, panel)
        self._titles_soon = QTimer(self, singleShot=True, interval=0)
        self._titles_soon.timeout.connect(self.refresh)
        self.place()
        window.installEventFilter(self)

    def _prepare_window(self) -> None:
        window = self._window
        window.setDockNestingEnabled(True)
        window.setTabPosition(Side.AllDockWidgetAreas, QTabWidget.TabPosition.North)
        window.setDockOptions(
            QMainWindow.DockOption.AnimatedDocks
            | QMainWindow.DockOption.AllowNestedDocks
            | QMainWindow.DockOption.AllowTabbedDocks
        )
        for corner, side in (
            (Qt.Corner.BottomLeftCorner, Side.LeftDockWidgetArea),
            (Qt.Corner.BottomRightCorner, Side.RightDockWidgetArea),
        ):
            window.setCorner(corner, side)

    def _dock(self, kind: type[Panel], panel: Panel) -> QDockWidget:
        dock = QDockWidget(kind.title, self._window)
        dock.setObjectName(f"dock {kind.__name__}")
        dock.setWidget(panel)
        dock.setTitleBarWidget(_DockTitle(dock, kind.hint))
        dock.installEventFilter(self)
        # Where one comes or goes, another may be left alone in its place.
        for moved in (dock.visibilityChanged, dock.topLevelChanged, dock.dockLocationChanged):
            moved.connect(self._docks_moved)
        return dock

    # -- places -----------------------------------------------------------------------------------------------------
    def place(self) -> None:
        """The layout to begin with: the docks of a side one below the other, those at the bottom side by side.

        Those at the bottom show work that goes on: they come up with it, and until then the faces have their room.
        """
        window = self._window
        # Hidden while they are put in their places: one above the other, they would for a moment make the window grow.
        for dock in self.docks.values():
            dock.hide()
        for kind, dock in self.docks.items():
            dock.setFloating(False)
            window.addDockWidget(kind.area, dock)  # type: ignore[arg-type]
        self._split(Side.LeftDockWidgetArea, 1, Qt.Orientation.Vertical)
        self._split(Side.RightDockWidgetArea, 2, Qt.Orientation.Vertical)
        self._split(Side.BottomDockWidgetArea, 2, Qt.Orientation.Horizontal)
        self._measured_at = window.width()
        wide = max(RIGHT, round(RIGHT_SHARE * window.width()))
        left, right = self._docks_at(Side.LeftDockWidgetArea), self._docks_at(Side.RightDockWidgetArea)
        for side, found, size in (
            (Side.LeftDockWidgetArea, left, max(LEFT, round(LEFT_SHARE * window.width()))),
            (Side.RightDockWidgetArea, right, wide),
        ):
            window.resizeDocks(found, [size] * len(found), Qt.Orientation.Horizontal)
            if window.isVisible():  # before it is shown it has not its size
                self._shares[side] = size / window.width()
        high = min(wide + 64, round(0.56 * window.height()))  # a square picture with its title and its buttons
        window.resizeDocks(right[:2], [high, window.height() - high], Qt.Orientation.Vertical)
        bottom = self._docks_at(Side.BottomDockWidgetArea)
        if self._at_work():
            self._size_bottom()
        else:
            self._brought.clear()
            for dock in bottom:
                dock.hide()
        self.refresh()

    def reset(self) -> None:
        """Back to the layout to begin with."""
        self.place()
        self.tabs.setCurrentIndex(0)

    def _size_bottom(self) -> None:
        bottom = self._docks_at(Side.BottomDockWidgetArea)
        high = max(BOTTOM, round(BOTTOM_SHARE * self._window.height()))
        self._window.resizeDocks(bottom, [high] * len(bottom), Qt.Orientation.Vertical)
        share = self.tabs.width() // 5
        self._window.resizeDocks(bottom, [3 * share] + [2 * share] * (len(bottom) - 1), Qt.Orientation.Horizontal)

    def bring_up(self, *kinds: type[Panel]) -> None:
        """Show docks that have something to show now, each once: a person who closes one wants it closed."""
        new = [kind for kind in kinds if kind not in self._brought]
        self._brought.update(new)
        hidden = [self.docks[kind] for kind in new if self.docks[kind].isHidden()]
        for dock in hidden:
            dock.show()
        if hidden:
            self._size_bottom()
            self.refresh()

    def to_front(self, kind: type[Panel]) -> None:
        """Bring a panel to the front."""
        if kind in self.docks:
            self.docks[kind].show()
            self.docks[kind].raise_()
        else:
            self.tabs.setCurrentWidget(self._panels[kind])

    def toggle(self, kind: type[Panel]) -> None:
        """Bring a dock to the front; close it when it is there already."""
        dock, panel = self.docks[kind], self._panels[kind]
        if dock.isHidden() or panel.visibleRegion().isEmpty():
            self.to_front(kind)
        else:
            dock.hide()
        self.refresh()

    def refresh(self) -> None:
        """Show the bars of those docks that stand alone."""
        for dock in self.docks.values():
            bar = dock.titleBarWidget()
            if isinstance(bar, _DockTitle):
                bar.refresh()
        self.moved.emit()

    def _docks_moved(self) -> None:
        self._titles_soon.start()

    def _docks_at(self, side: Qt.DockWidgetArea) -> list[QDockWidget]:
        return [dock for kind, dock in self.docks.items() if kind.area is side]

    def _split(self, side: Qt.DockWidgetArea, places: int, orientation: Qt.Orientation) -> None:
        """Preview above the mixer, the loss beside the jobs; what comes after shares the last place, as tabs."""
        found = self._docks_at(side)
        for index, dock in enumerate(found[1:], 1):
            if index < places:
                self._window.splitDockWidget(found[index - 1], dock, orientation)
            else:
                self._window.tabifyDockWidget(found[places - 1], dock)
        for dock in found:
            dock.show()
        if len(found) > places:
            found[places - 1].raise_()

    # -- what is remembered -----------------------------------------------------------------------------------------
    def restore(self) -> None:
        """Give the window the size and the docks that it had, or those to begin with."""
        window = self._window
        screen = window.screen().availableGeometry().size()
        window.resize(FIRST_SIZE.expandedTo(screen * FIRST_SHARE).boundedTo(screen))
        if not self._own:
            return
        # Whatever is wrong with the file costs the layout, nothing else.
        with contextlib.suppress(OSError, ValueError, TypeError, KeyError, binascii.Error):
            kept = json.loads(layout_file().read_text("utf-8"))
            if kept["version"] == VERSION:
                window.restoreGeometry(QByteArray(base64.b64decode(kept["geometry"], validate=True)))
                window.restoreState(QByteArray(base64.b64decode(kept["docks"], validate=True)), VERSION)
                self.tabs.setCurrentIndex(int(kept["tab"]))
                self._first_show = False

    def save(self) -> None:
        """Keep it for the next time."""
        if not self._own:
            return
        kept = {
            "version": VERSION,
            "geometry": base64.b64encode(self._window.saveGeometry().data()).decode("ascii"),
            "docks": base64.b64encode(self._window.saveState(VERSION).data()).decode("ascii"),
            "tab": self.tabs.currentIndex(),
        }
        file = layout_file()
        # A folder that cannot be written is no reason to hold a person up who is leaving.
        with contextlib.suppress(OSError, FacelabError):
            file.parent.mkdir(parents=True, exist_ok=True)
            with replacing(file) as temporary:
                temporary.write_text(json.dumps(kept), "utf-8")

    # -- sizes ------------------------------------------------------------------------------------------------------
    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        if watched is self._window:
            if event.type() is QEvent.Type.Show:
                # Sizes of docks take hold only in a window of its real size.
                QTimer.singleShot(0, self, self.place if self._first_show else self.refresh)
                self._first_show = False
            elif event.type() is QEvent.Type.Resize:
                QTimer.singleShot(0, self, self._keep_shares)
        # A side that changes while the window stays as wide as it is was moved by its edge: that is its share from now on.
        elif event.type() is QEvent.Type.Resize and isinstance(watched, QDockWidget) and not watched.isFloating():
            side = self._window.dockWidgetArea(watched)
            if self._window.width() == self._measured_at and side in (Side.LeftDockWidgetArea, Side.RightDockWidgetArea):  # fmt: skip
                self._shares[side] = watched.width() / self._window.width()
        return super().eventFilter(watched, event)

    def _keep_shares(self) -> None:
        """Give the sides of a window that became wider or narrower the same share of it as before, not the same width."""
        window = self._window
        if window.width() == self._measured_at:
            return
        for side, share in self._shares.items():
            docks = [d for d in self.docks.values() if window.dockWidgetArea(d) is side and not d.isFloating()]
            window.resizeDocks(docks, [round(share * window.width())] * len(docks), Qt.Orientation.Horizontal)
        self._measured_at = window.width()


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
