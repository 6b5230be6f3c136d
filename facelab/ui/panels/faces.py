"""What panels that show faces have in common: what can be done with a face that is pointed at."""

from __future__ import annotations

from functools import partial

from PySide6.QtCore import QPoint, Qt, Signal
from PySide6.QtWidgets import QMenu

from facelab.latent.recipe import Recipe
from facelab.ui.dialogs import ExportPictureDialog
from facelab.ui.panels.base import Panel
from facelab.ui.session import describe


class FacesPanel(Panel):
    """A panel whose faces have a menu.

    Signals:
        slot_asked(index, recipe): put a face into the mixer's slot.
        anchor_asked(name, recipe): put it on "origin", "x" or "y" of the plane.
        keep_asked(recipe): put it into the library.
    """

    slot_asked = Signal(int, object)
    anchor_asked = Signal(str, object)
    keep_asked = Signal(object)

    def take(self, recipe: Recipe) -> None:
        """Make a face the current one."""
        self.session.take(recipe, f"Take {describe(recipe)}")

    def face_menu(self, recipe: Recipe, at: QPoint) -> None:
        """Open the menu of a face at a global position."""
        self.menu_of(recipe).popup(at)

    def menu_of(self, recipe: Recipe) -> QMenu:
        """What can be done with a face."""
        menu = QMenu(self)
        menu.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        menu.addAction("Take", partial(self.take, recipe))
        menu.addAction("Keep in library", partial(self.keep_asked.emit, recipe))
        menu.addSeparator()
        for slot in range(len(self.session.state.slots)):
            menu.addAction(f"Put in slot {chr(65 + slot)}", partial(self.slot_asked.emit, slot, recipe))
        plane = menu.addMenu("Put on the plane")
        for name in ("origin", "x", "y"):
            plane.addAction(f"as {name}", partial(self.anchor_asked.emit, name, recipe))
        menu.addSeparator()
        menu.addAction("Export picture…", partial(self._export_face, recipe))
        return menu

    def _export_face(self, recipe: Recipe) -> None:
        ExportPictureDialog(self.session, self.client, [recipe], [describe(recipe)], self).open()
