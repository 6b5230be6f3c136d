"""An encoding on the screen: the photograph, what was found so far, where they differ, how far it is, and what can be done."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

from PySide6.QtCore import Qt, QTimer
from PySide6.QtWidgets import QHBoxLayout, QLabel, QProgressBar, QVBoxLayout, QWidget

from facelab import runs
from facelab.jobs import Pixels
from facelab.ui import theme
from facelab.ui.encoding import Item, Run, said
from facelab.ui.face_view import FaceView
from facelab.ui.photo import Squares, WipeView, difference
from facelab.ui.pixels import image_of, pixels_of
from facelab.ui.widgets import button

DIFFERENCE_MS = 150

Action: TypeAlias = Callable[[], object]


class RunPage(QWidget):
    """Shows the run of one photograph of the queue."""

    def __init__(
        self,
        *,
        pause: Action,
        cancel: Action,
        go_on: Action,
        take: Action,
        tune: Action,
        paste_back: Action,
        remove: Action,
    ) -> None:
        """What its buttons do."""
        super().__init__()
        self._run: Run | None = None
        self._heat = False
        self._compare_soon = QTimer(self, interval=DIFFERENCE_MS, singleShot=True)
        self._compare_soon.timeout.connect(self._show_difference)
        column = QVBoxLayout(self)
        column.setContentsMargins(*(2 * theme.GRID,) * 4)
        column.setSpacing(theme.GRID)
        self.target_view = FaceView("Photograph")
        self.live_view = WipeView("Found")
        self.difference_view = FaceView("Difference")
        self.difference_view.setToolTip("Where the two differ: black is alike. Click for a heat map, and back.")
        self.difference_view.clicked.connect(self._toggle_heat)
        squares = Squares(
            (self.target_view, "Photograph"), (self.live_view, "Found"), (self.difference_view, "Difference")
        )
        column.addWidget(squares, 1)
        self.progress = QProgressBar(textVisible=False)
        self.progress.setAccessibleName("Steps done")
        self.text = QLabel()
        self.text.setWordWrap(True)
        column.addWidget(self.progress)
        column.addWidget(self.text)
        foot = QHBoxLayout()
        foot.setSpacing(theme.GRID)
        foot.addStretch(1)
        self.pause_button = button("Pause", pause, icon="pause")
        self.cancel_button = button("Cancel", cancel, icon="close", tip="Stop; it can be taken up again")
        self.again_button = button("Go on", go_on, icon="play", primary=True)
        self.take_button = button("Take this face", take, icon="face", tip="Make it the current face")
        self.paste_button = button(
            "Set into photo…",
            paste_back,
            icon="photo",
            tip="Set the face, edited or not, back into its photograph",
        )
        self.tune_button = button(
            "Tune…", tune, icon="target", tip="Bend a copy of the generator until it draws this photograph"
        )
        self.next_button = button("Another photo", remove, icon="photo")
        for each in (
            self.pause_button,
            self.cancel_button,
            self.again_button,
            self.take_button,
            self.tune_button,
            self.paste_button,
            self.next_button,
        ):
            foot.addWidget(each)
            each.hide()  # all at once would make the window wider than a small screen
        column.addLayout(foot)

    def show_item(self, item: Item, *, after_others: bool) -> None:
        """Show the run of a photograph, and what can be done with it; ``after_others``: whether others were begun before it."""
        run = self._run = item.run
        if run is None:
            return
        if self.target_view.pixels is not run.target:
            self.target_view.set_pixels(run.target)
            self.live_view.set_under(run.target)
            self.live_view.set_face(None)
            self.difference_view.set_pixels(None)
        if run.pixels is not None and self.live_view.pixels is not run.pixels:
            self.live_view.set_pixels(run.pixels)
            if not self._compare_soon.isActive():
                self._compare_soon.start()
        self.live_view.recipe = run.recipe
        preparing = run.state == "running" and not run.steps
        self.progress.setRange(0, 0 if preparing else run.settings.steps)
        self.progress.setValue(run.settings.steps if run.state == "done" else run.steps)
        self.text.setText(said(run, after_others=after_others))
        state = run.state
        self.pause_button.setVisible(run.open)
        self.pause_button.setText("Resume" if state == "paused" else "Pause")
        self.pause_button.setIcon(theme.icon("play" if state == "paused" else "pause"))
        self.cancel_button.setVisible(run.open)
        self.again_button.setVisible(state in ("cancelled", "failed"))
        self.take_button.setVisible(run.recipe is not None)
        self.paste_button.setVisible(run.recipe is not None and item.path is not None and run.quad is not None)
        self.tune_button.setVisible(state == "done" and not runs.is_zero_run(run.id))
        self.next_button.setVisible(not run.open)

    def _show_difference(self) -> None:
        run = self._run
        if run is None or run.pixels is None:
            return
        target, found = run.target, run.pixels
        if target.shape != found.shape:  # a picture of a step may be smaller than the target
            side = min(target.shape[0], found.shape[0], 256)
            target, found = (_resized(p, side) for p in (target, found))
        self.difference_view.set_pixels(difference(target, found, heat=self._heat))

    def _toggle_heat(self) -> None:
        self._heat = not self._heat
        self._show_difference()


def _resized(pixels: Pixels, side: int) -> Pixels:
    image = image_of(pixels).scaled(
        side, side, Qt.AspectRatioMode.IgnoreAspectRatio, Qt.TransformationMode.SmoothTransformation
    )
    return pixels_of(image)
