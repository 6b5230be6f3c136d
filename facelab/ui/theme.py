"""How the window looks: two palettes on Fusion, neutral greys with one accent, 13 px text, an 8 px grid.

The greys have no tint, so that colours beside them are judged rightly. Text stands at 4.5:1 or more against what it lies on
(tests/ui/test_theme.py computes it for every pair used here).
"""

from __future__ import annotations

from dataclasses import dataclass
from string import Template

from PySide6.QtCore import QByteArray, QRectF, QSize, Qt
from PySide6.QtGui import QColor, QFont, QIcon, QIconEngine, QPainter, QPalette, QPixmap
from PySide6.QtSvg import QSvgRenderer
from PySide6.QtWidgets import QApplication, QStyleFactory

from facelab.assets import resource

GRID = 8  # px; every gap is a multiple, or half of it
TEXT = 13  # px
SMALL = 12  # px
ROUND = 4  # px, corners


@dataclass(frozen=True)
class Colours:
    """The colours of a theme, as "#rrggbb".

    Attributes:
        ground: behind everything; panel: of docks; raised: of buttons and fields; canvas: behind pictures.
        line: between things; edge: of controls, 3:1 against what they lie on.
        text, quiet, faint: of text, of notes beside it, of what is disabled.
        accent: the one colour; on_accent: text upon it; link: the accent as text.
        warning, error: behind messages; their text is ``text``.
    """

    ground: str
    panel: str
    raised: str
    hover: str
    canvas: str
    line: str
    edge: str
    text: str
    quiet: str
    faint: str
    accent: str
    on_accent: str
    link: str
    warning: str
    error: str


DARK = Colours(
    ground="#1b1b1b", panel="#232323", raised="#303030", hover="#3a3a3a", canvas="#171717", line="#0f0f0f", edge="#7a7a7a",
    text="#ececec", quiet="#ababab", faint="#7d7d7d", accent="#3f8cff", on_accent="#06121f", link="#78aeff",
    warning="#4a3a10", error="#571f1f",
)  # fmt: skip
LIGHT = Colours(
    ground="#e4e4e4", panel="#f3f3f3", raised="#ffffff", hover="#e9e9e9", canvas="#d6d6d6", line="#c4c4c4", edge="#7c7c7c",
    text="#1c1c1c", quiet="#585858", faint="#8a8a8a", accent="#1763d6", on_accent="#ffffff", link="#0d54bd",
    warning="#ffe9b3", error="#ffd9d6",
)  # fmt: skip
THEMES = {"dark": DARK, "light": LIGHT}

_current = DARK


def colours() -> Colours:
    """The colours of the theme that is on."""
    return _current


def is_dark() -> bool:
    return _current is DARK


def apply(app: QApplication, theme: str) -> None:
    """Dress the application: "dark", "light", or "system" (dark where the system does not say)."""
    global _current
    if theme == "system":
        light = app.styleHints().colorScheme() is Qt.ColorScheme.Light
        theme = "light" if light else "dark"
    _current = THEMES[theme]
    sheet = _sheet(_current)
    if app.styleSheet() == sheet:
        return  # any of this dresses every widget anew, which takes a while
    # Off with the former one first: over another, Qt dresses a widget once for itself and once more for each that it lies in.
    app.setStyleSheet("")
    if app.style().objectName().lower() != "fusion":
        app.setStyle(QStyleFactory.create("Fusion"))
    font = QFont(app.font())
    if font.pixelSize() != TEXT:
        font.setPixelSize(TEXT)
        app.setFont(font)
    app.setPalette(_palette(_current))
    app.setStyleSheet(sheet)


def _palette(c: Colours) -> QPalette:
    role, group = QPalette.ColorRole, QPalette.ColorGroup
    p = QPalette()
    for which, value in {
        role.Window: c.panel, role.WindowText: c.text, role.Base: c.raised, role.AlternateBase: c.panel,
        role.Text: c.text, role.PlaceholderText: c.quiet, role.Button: c.raised, role.ButtonText: c.text,
        role.BrightText: c.text, role.Highlight: c.accent, role.HighlightedText: c.on_accent, role.Accent: c.accent,
        role.Link: c.link, role.LinkVisited: c.link, role.ToolTipBase: c.raised, role.ToolTipText: c.text,
        role.Light: c.hover, role.Midlight: c.raised, role.Mid: c.line, role.Dark: c.line, role.Shadow: c.line,
    }.items():  # fmt: skip
        p.setColor(which, QColor(value))
    for which in (role.WindowText, role.Text, role.ButtonText, role.HighlightedText):
        p.setColor(group.Disabled, which, QColor(c.faint))
    p.setColor(group.Disabled, role.Highlight, QColor(c.hover))
    return p


# Fusion draws most of it; the sheet sets what a palette cannot say: gaps, corners, focus.
_SHEET = Template("""
QMainWindow, QMainWindow::separator { background: $ground; }
QMainWindow::separator { width: 8px; height: 8px; }
QMainWindow::separator:hover { background: $accent; }
QToolTip { background: $raised; color: $text; border: 1px solid $edge; padding: 4px 6px; }

QMenuBar { background: $ground; padding: 2px 4px; }
QMenuBar::item { padding: 4px 8px; border-radius: 4px; background: transparent; }
QMenuBar::item:selected { background: $hover; }
QMenu { background: $panel; border: 1px solid $edge; padding: 4px; }
QMenu::item { padding: 5px 24px 5px 24px; border-radius: 3px; }
QMenu::item:selected { background: $accent; color: $on_accent; }
QMenu::item:disabled { color: $faint; background: transparent; }
QMenu::separator { height: 1px; background: $hover; margin: 4px 8px; }
QMenu::indicator { left: 6px; width: 12px; height: 12px; border: none; background: transparent; border-radius: 3px; }
QMenu::indicator:checked { background: $accent; image: url("$icons/check-$name.svg"); }

QToolBar { background: $ground; border: none; spacing: 8px; padding: 4px 8px; }
QToolBar::separator { width: 1px; background: $hover; margin: 4px; }
QStatusBar { background: $ground; color: $quiet; }
QStatusBar::item { border: none; }
QStatusBar QLabel { color: $quiet; padding: 0 8px; font-size: 12px; }

QDockWidget { titlebar-close-icon: none; }
*[panel="true"] { background: $panel; }
QTabWidget::pane { border: none; background: $panel; }
QTabBar { qproperty-drawBase: 0; }
QTabBar { background: $ground; }
QTabBar::tab { background: transparent; color: $quiet; padding: 6px 12px; border: none; border-bottom: 2px solid transparent; }
QTabBar::tab:selected { color: $text; border-bottom: 2px solid $accent; background: $panel; }
QTabBar::tab:hover:!selected { color: $text; background: $hover; }
QTabBar::tab:focus { border-bottom: 2px solid $link; color: $text; }

QPushButton { background: $raised; border: 1px solid $control; border-radius: 4px; padding: 4px 12px; min-height: 16px; }
QPushButton:hover { background: $hover; }
QPushButton:pressed, QPushButton:checked { background: $accent; color: $on_accent; border-color: $accent; }
QPushButton:focus { border: 1px solid $link; }
QPushButton:disabled { color: $faint; }
QPushButton[primary="true"] { background: $accent; color: $on_accent; border-color: $accent; }
QPushButton[primary="true"]:focus { border: 1px solid $text; }
QPushButton[primary="true"]:disabled { background: $hover; color: $faint; border-color: $hover; }

QToolButton { background: transparent; border: 1px solid transparent; border-radius: 4px; padding: 3px; }
QToolButton:hover { background: $hover; }
QToolButton:pressed, QToolButton:checked { background: $pressed; border-color: $accent; }
QToolButton:focus { border: 1px solid $link; }
QToolButton:disabled { color: $faint; }
QToolButton::menu-indicator { image: none; width: 0; }
QToolButton#chip { background: $raised; border: 1px solid $control; padding: 3px 10px 3px 6px; }
QToolButton#chip:hover { background: $hover; }
QToolButton#chip:focus { border-color: $link; }

QLineEdit, QSpinBox, QDoubleSpinBox, QComboBox, QPlainTextEdit, QTextEdit {
    background: $raised; border: 1px solid $control; border-radius: 4px; padding: 3px 6px; min-height: 16px;
    selection-background-color: $accent; selection-color: $on_accent; }
QLineEdit:focus, QSpinBox:focus, QDoubleSpinBox:focus, QComboBox:focus, QPlainTextEdit:focus, QTextEdit:focus { border: 1px solid $link; }
QLineEdit:disabled, QSpinBox:disabled, QDoubleSpinBox:disabled, QComboBox:disabled { color: $faint; background: $panel; }
QSpinBox::up-button, QSpinBox::down-button, QDoubleSpinBox::up-button, QDoubleSpinBox::down-button { width: 0; border: none; }
QComboBox { padding-right: 2px; }
QComboBox::drop-down { border: none; width: 20px; }
QComboBox::down-arrow { image: url("$icons/down-$name.svg"); width: 12px; height: 12px; }
QComboBox QAbstractItemView { background: $panel; border: 1px solid $edge; selection-background-color: $accent; selection-color: $on_accent; }

QScrollBar { background: transparent; border: none; }
QScrollBar:vertical { width: 10px; }
QScrollBar:horizontal { height: 10px; }
QScrollBar::handle { background: $thumb; border-radius: 4px; margin: 1px; }
QScrollBar::handle:vertical { min-height: 24px; }
QScrollBar::handle:horizontal { min-width: 24px; }
QScrollBar::handle:hover { background: $edge; }
QScrollBar::add-line, QScrollBar::sub-line { width: 0; height: 0; }
QScrollBar::add-page, QScrollBar::sub-page { background: none; }
QScrollArea, QScrollArea > QWidget > QWidget { background: transparent; border: none; }
QAbstractScrollArea { border: none; }
QListView, QTreeView, QTableView { background: $panel; border: none; outline: none; selection-background-color: $accent; selection-color: $on_accent; }
QTreeView::item, QListWidget::item { padding: 4px; }
QTreeView::item:selected, QListWidget::item:selected { background: $accent; color: $on_accent; }
QHeaderView::section { background: $panel; color: $quiet; border: none; padding: 4px 8px; }

QProgressBar { background: $hover; border: none; border-radius: 3px; min-height: 6px; max-height: 6px; text-align: center; }
QProgressBar::chunk { background: $accent; border-radius: 3px; }
QCheckBox, QRadioButton { spacing: 8px; }
QCheckBox::indicator, QRadioButton::indicator { width: 14px; height: 14px; border: 1px solid $edge; background: $raised; }
QCheckBox::indicator { border-radius: 3px; }
QRadioButton::indicator { border-radius: 8px; }
QCheckBox::indicator:checked, QRadioButton::indicator:checked { background: $accent; border-color: $accent; }
QCheckBox::indicator:checked { image: url("$icons/check-$name.svg"); }
QRadioButton::indicator:checked { image: url("$icons/dot-$name.svg"); }
QCheckBox::indicator:hover, QRadioButton::indicator:hover { border-color: $link; }
QListView::indicator, QTreeView::indicator { width: 14px; height: 14px; border: 1px solid $edge; border-radius: 3px; background: $raised; }
QListView::indicator:checked, QTreeView::indicator:checked { background: $accent; border-color: $panel; image: url("$icons/check-$name.svg"); }
QCheckBox::indicator:focus, QRadioButton::indicator:focus { border: 2px solid $link; width: 12px; height: 12px; }
QCheckBox::indicator:disabled, QRadioButton::indicator:disabled { border-color: $control; background: $panel; }
QCheckBox:disabled, QRadioButton:disabled { color: $faint; }
QDialogButtonBox, QMessageBox { dialogbuttonbox-buttons-have-icons: 0; }
QGroupBox { border: none; margin-top: 20px; font-weight: 600; }
QGroupBox::title { subcontrol-origin: margin; left: 0; color: $quiet; }
QSplitter::handle { background: $ground; }
QLabel[quiet="true"], QCheckBox[quiet="true"] { color: $quiet; }
QLabel[small="true"], QListWidget[small="true"] { font-size: 12px; }
QLabel[heading="true"] { font-weight: 600; }
""")


def _sheet(c: Colours) -> str:
    dark = c is DARK
    return _SHEET.substitute(
        vars(c), control="#474747" if dark else "#b4b4b4", thumb="#4d4d4d" if dark else "#b0b0b0",
        pressed="#1f3350" if dark else "#d3e3fb",
        name="dark" if dark else "light", icons=resource("icons/check-dark.svg").parent.as_posix(),
    )  # fmt: skip


# -- icons --------------------------------------------------------------------------------------------------------------
# Drawn for facelab on a 24 px grid, as strokes of 1.6 px in the colour of the text beside them.
_ICONS = {
    "undo": '<path d="M9 14 4 9l5-5"/><path d="M4 9h10a6 6 0 0 1 0 12h-3"/>',
    "redo": '<path d="m15 14 5-5-5-5"/><path d="M20 9H10a6 6 0 0 0 0 12h3"/>',
    "shuffle": '<path d="M3 7h3c4 0 7 10 11 10h4"/><path d="M3 17h3c1.6 0 3-1.500 4.300-3.300M13.500 9.500C14.600 8 15.700 7 17 7h4"/><path d="m18 4 3 3-3 3m0 4 3 3-3 3"/>',
    "close": '<path d="M6 6l12 12M18 6 6 18"/>',
    "float": '<path d="M9 5h10v10h-10z"/><path d="M15 19H5V9"/>',
    "pause": '<path d="M9 6v12M15 6v12"/>',
    "play": '<path d="M8 5v14l11-7z"/>',
    "fit": '<path d="M4 9V4h5M20 9V4h-5M4 15v5h5M20 15v5h-5"/>',
    "actual": '<rect x="4" y="4" width="16" height="16" rx="1.500"/><path d="M9 9v6M15 9v6M12 10.500v.1M12 13.500v.1"/>',
    "compare": '<rect x="3.500" y="5" width="17" height="14" rx="1.500"/><path d="M12 3v18"/><path d="M15 9.500h3M15 12.500h3"/>',
    "export": '<path d="M12 15V4M8 8l4-4 4 4"/><path d="M5 13v6h14v-6"/>',
    "open": '<path d="M3 19V6h6l2 2.500h9V19z"/>',
    "photo": '<rect x="3.500" y="5" width="17" height="14" rx="1.500"/><circle cx="9" cy="10" r="1.700"/><path d="m4 17 5-4 3.500 2.500L16 12l4.500 4"/>',
    "face": '<circle cx="12" cy="12" r="8.500"/><path d="M9 10v.1M15 10v.1M8.500 14.500c1.800 2.300 5.200 2.300 7 0"/>',
    "faces": '<circle cx="8.500" cy="9" r="4.500"/><circle cx="16.500" cy="15.500" r="4.500"/>',
    "plus": '<path d="M12 5v14M5 12h14"/>',
    "swap": '<path d="M4 8h14l-3-3M20 16H6l3 3"/>',
    "reset": '<path d="M5 5v5h5"/><path d="M5.500 10a7.500 7.500 0 1 1-1 4.500"/>',
    "copy": '<rect x="8.500" y="8.500" width="11" height="11" rx="1.500"/><path d="M15.500 5v-.5h-11v11H5"/>',
    "more": '<path d="M6 12v.1M12 12v.1M18 12v.1"/>',
    "down": '<path d="m7 10 5 5 5-5"/>',
    "right": '<path d="m10 7 5 5-5 5"/>',
    "search": '<circle cx="10.500" cy="10.500" r="6"/><path d="m15 15 5 5"/>',
    "command": '<path d="m6 8 4 4-4 4M12.500 16H18"/>',
    "star": '<path d="m12 4 2.500 5.200 5.700.8-4.100 4 1 5.700-5.100-2.700-5.100 2.700 1-5.700-4.100-4 5.700-.8z"/>',
    "trash": '<path d="M5 7h14M10 7V4.500h4V7M7 7l1 12.500h8L17 7M10.500 10.500v6M13.500 10.500v6"/>',
    "tag": '<path d="M4 12V4h8l8 8-8 8z"/><path d="M8 8v.1"/>',
    "plane": '<path d="M4 4v16h16"/><rect x="8" y="5" width="4.500" height="4.500"/><rect x="15" y="5" width="4.500" height="4.500"/><rect x="8" y="12" width="4.500" height="4.500"/><rect x="15" y="12" width="4.500" height="4.500"/>',
    "chart": '<path d="M4 4v16h16"/><path d="M7 8c2 6 5 8 12 9"/>',
    "film": '<rect x="3.500" y="5" width="17" height="14" rx="1.500"/><path d="M8 5v14M16 5v14M3.500 9.500H8M3.500 14.500H8M16 9.500h4.500M16 14.500h4.500"/>',
    "target": '<circle cx="12" cy="12" r="7"/><path d="M12 2v6M12 16v6M2 12h6M16 12h6"/>',
    "lock": '<rect x="6" y="11" width="12" height="9" rx="1.500"/><path d="M8.500 11V8a3.500 3.500 0 0 1 7 0v3"/>',
    "unlock": '<rect x="6" y="11" width="12" height="9" rx="1.500"/><path d="M8.500 11V8a3.500 3.500 0 0 1 6.800-1"/>',
    "expand": '<path d="M14 4h6v6M20 4l-7 7M10 20H4v-6M4 20l7-7"/>',
    "done": '<path d="m5 12.500 4.500 4.500L19 7"/>',
    "warning": '<path d="M12 4 2.500 20h19z"/><path d="M12 10v5M12 17.500v.1"/>',
    "chip": '<rect x="6" y="6" width="12" height="12" rx="1.500"/><path d="M9.500 2.500V6M14.500 2.500V6M9.500 18v3.500M14.500 18v3.500M2.500 9.500H6M2.500 14.500H6M18 9.500h3.500M18 14.500h3.500"/>',
}  # fmt: skip
_SVG = (
    '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 24 24" fill="none" stroke="{colour}" stroke-width="1.6" '
    'stroke-linecap="round" stroke-linejoin="round">{body}</svg>'
)
ICON_NAMES = tuple(_ICONS)


class _Icon(QIconEngine):
    """Draws an icon in the colour that text has right now, so a change of theme needs no new icons."""

    def __init__(self, name: str, *, on_accent: bool = False) -> None:
        super().__init__()
        self._name, self._on_accent = name, on_accent

    def clone(self) -> QIconEngine:
        return _Icon(self._name, on_accent=self._on_accent)

    def paint(self, painter: QPainter, rect, mode: QIcon.Mode, state: QIcon.State) -> None:  # type: ignore[no-untyped-def]
        c = colours()
        usual = c.on_accent if self._on_accent else c.text
        colour = {QIcon.Mode.Disabled: c.faint, QIcon.Mode.Selected: c.on_accent}.get(mode, usual)
        paint_icon(painter, self._name, QRectF(rect), colour)

    def pixmap(self, size: QSize, mode: QIcon.Mode, state: QIcon.State) -> QPixmap:
        picture = QPixmap(size.expandedTo(QSize(1, 1)))  # a widget without room asks for none
        picture.fill(Qt.GlobalColor.transparent)
        painter = QPainter(picture)
        self.paint(painter, picture.rect(), mode, state)
        painter.end()
        return picture


_renderers: dict[tuple[str, str], QSvgRenderer] = {}


def paint_icon(painter: QPainter, name: str, rect: QRectF, colour: str) -> None:
    """Draw an icon into a rectangle in a colour."""
    renderer = _renderers.get((name, colour))
    if renderer is None:
        svg = _SVG.format(colour=colour, body=_ICONS[name])
        renderer = _renderers[name, colour] = QSvgRenderer(QByteArray(svg.encode()))
    renderer.render(painter, rect)


def icon(name: str, *, on_accent: bool = False) -> QIcon:
    """One of `ICON_NAMES`, in the colour of text, or of what stands on the accent."""
    if name not in _ICONS:
        raise KeyError(name)
    return QIcon(_Icon(name, on_accent=on_accent))
