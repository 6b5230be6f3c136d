"""The panels of the window, one file each. The docks, the tabs and the View menu derive from `PANELS`."""

from __future__ import annotations

from facelab.ui.panels.base import Panel

# In the order of their tabs and of the View menu.
PANELS: tuple[type[Panel], ...] = ()

__all__ = ["PANELS", "Panel"]
