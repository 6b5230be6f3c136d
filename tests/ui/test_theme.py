"""Both themes can be read, and their greys have no tint."""

from __future__ import annotations

import pytest
from PySide6.QtGui import QColor, QIcon, QPalette
from PySide6.QtWidgets import QApplication

from facelab.ui import theme
from facelab.ui.theme import THEMES


def luminance(colour: str) -> float:
    """Relative luminance, WCAG 2.2."""
    parts = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in QColor(colour).getRgbF()[:3]]
    return 0.2126 * parts[0] + 0.7152 * parts[1] + 0.0722 * parts[2]


def contrast(a: str, b: str) -> float:
    light, dark = sorted((luminance(a), luminance(b)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


TEXT = [
    *((text, ground) for text in ("text", "quiet") for ground in ("ground", "panel", "raised", "hover", "canvas")),
    ("text", "warning"), ("text", "error"), ("on_accent", "accent"), ("link", "panel"),
]  # fmt: skip


@pytest.mark.parametrize("name", THEMES)
@pytest.mark.parametrize(("text", "ground"), TEXT)
def test_that_text_stands_out(name: str, text: str, ground: str) -> None:
    colours = THEMES[name]
    assert contrast(getattr(colours, text), getattr(colours, ground)) >= 4.5


@pytest.mark.parametrize("name", THEMES)
def test_that_edges_and_the_accent_can_be_seen(name: str) -> None:
    colours = THEMES[name]
    for seen in (colours.edge, colours.accent, colours.link):
        assert contrast(seen, colours.panel) >= 3


@pytest.mark.parametrize("name", THEMES)
@pytest.mark.parametrize(
    "grey", ["ground", "panel", "raised", "hover", "canvas", "line", "edge", "text", "quiet", "faint"]
)
def test_that_greys_have_no_tint(name: str, grey: str) -> None:
    colour = QColor(getattr(THEMES[name], grey))
    assert colour.red() == colour.green() == colour.blue()


@pytest.mark.parametrize("name", ["dark", "light", "system"])
def test_that_a_theme_is_put_on(qapp: QApplication, name: str) -> None:
    theme.apply(qapp, name)
    assert qapp.palette().color(QPalette.ColorRole.Window).name() == theme.colours().panel
    assert qapp.font().pixelSize() == theme.TEXT


def test_that_every_icon_draws_in_the_colour_of_text(qapp: QApplication) -> None:
    theme.apply(qapp, "light")
    for name in theme.ICON_NAMES:
        image = theme.icon(name).pixmap(48, 48, QIcon.Mode.Normal).toImage()
        drawn = [image.pixelColor(x, y) for x in range(48) for y in range(48) if image.pixelColor(x, y).alpha() > 250]
        assert drawn, name
        assert all(abs(colour.red() - 0x1C) < 6 for colour in drawn), name
