"""The panels of the window, one file each. The docks, the tabs and the View menu derive from `PANELS`."""

from __future__ import annotations

from facelab.ui.panels.arithmetic import ArithmeticPanel
from facelab.ui.panels.base import Panel
from facelab.ui.panels.directions import DirectionsPanel
from facelab.ui.panels.encode import EncodePanel
from facelab.ui.panels.gallery import GalleryPanel
from facelab.ui.panels.history import HistoryPanel
from facelab.ui.panels.jobs import JobsPanel
from facelab.ui.panels.library import LibraryPanel
from facelab.ui.panels.loss import LossPanel
from facelab.ui.panels.mixer import MixerPanel
from facelab.ui.panels.plane import PlanePanel
from facelab.ui.panels.preview import PreviewPanel
from facelab.ui.panels.table import TablePanel

# In the order of their tabs and of the View menu.
PANELS: tuple[type[Panel], ...] = (
    PlanePanel, GalleryPanel, TablePanel, EncodePanel, LibraryPanel, HistoryPanel, PreviewPanel, MixerPanel, DirectionsPanel,
    ArithmeticPanel, LossPanel, JobsPanel,
)  # fmt: skip

__all__ = ["PANELS", "Panel"]
